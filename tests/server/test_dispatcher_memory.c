/* Jobs of durability memory: they lie in a slot and nowhere else until they end, crash or are saved. */
#include "dispatcher_fixture.h"

#include <signal.h>

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

static struct job *with_key(const char *key, char print)
{
    struct job *job = new_job(5, DURABILITY_MEMORY);
    strcpy(job->spec.idempotency_key, key);
    memset(job->spec.fingerprint.bytes, print, sizeof job->spec.fingerprint.bytes);
    return job;
}

/* --- in and out --- */

START_TEST(it_is_held_when_it_is_answered_and_in_no_store_before_it_ends)
{
    struct id id = submitted_memory();
    ck_assert_uint_ne(hot_find(&hot, id), HOT_NONE);
    ck_assert_uint_eq(dispatcher.memory_count, 1);
    ck_assert(!in_store(id));
    uint64_t ticket = start_next(1);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    ck_assert(!in_store(id));
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    JOB_AUTO job = row(id);
    ck_assert_mem_eq(job->args.at, "[1,2,3]", 7);
    ck_assert_mem_eq(job->result.at, "42", 2);
}
END_TEST

START_TEST(it_goes_in_order_with_stored_jobs)
{
    struct id ids[10];
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    for (int i = 0; i < 10; i++)
        ids[i] = i % 2 == 0 ? submitted_memory() : submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 10);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    for (int i = 0; i < 10; i++) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(half_of_the_slots_is_the_limit)
{
    struct id id;
    for (int i = 0; i < SLOT_COUNT / 2; i++)
        submitted_memory();
    ck_assert_int_eq(submit_job(new_job(5, DURABILITY_MEMORY), &id), ERR_MEMORY_FULL);
    ck_assert(!in_store(id));
    ck_assert_uint_eq(hot_find(&hot, id), HOT_NONE);
    struct id stored = submitted_job(); /* the other half is not theirs */
    TURN_UNTIL(hot_find(&hot, stored) != HOT_NONE);
    succeed(0, start_next(0));
    TURN_UNTIL(dispatcher.memory_count < SLOT_COUNT / 2);
    submitted_memory();
    run_all(SLOT_COUNT / 2 + 1);
}
END_TEST

START_TEST(a_backlog_of_stored_jobs_leaves_room_for_it)
{
    static struct asked asked[2 * SLOT_COUNT];
    for (int i = 0; i < 2 * SLOT_COUNT; i++)
        send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&asked[2 * SLOT_COUNT - 1]));
    for (int i = 0; i < SLOT_COUNT / 2; i++)
        submitted_memory();
    run_all(2 * SLOT_COUNT + SLOT_COUNT / 2);
}
END_TEST

START_TEST(a_full_arena_refuses_it)
{
    static char large[600 * 1024];
    struct job *jobs[2] = {new_job(5, DURABILITY_MEMORY), new_job(5, DURABILITY_MEMORY)};
    struct id id;
    for (int i = 0; i < 2; i++)
        jobs[i]->args = (struct text){large, sizeof large};
    ok(submit_job(jobs[0], &id)); /* takes the whole of it */
    ck_assert_int_eq(submit_job(jobs[1], &id), ERR_MEMORY_FULL);
    ck_assert_uint_eq(dispatcher.memory_count, 1);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

START_TEST(a_failure_brings_it_to_the_store_and_back)
{
    struct id id = submitted_memory();
    finish_run(0, start_next(0), OUTCOME_ERROR);
    TURN_UNTIL(in_store(id));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_crash_brings_it_to_the_store_and_it_counts_as_stored_from_then_on)
{
    struct id id = submitted_memory();
    start_next(0);
    die(0, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(deaths_acknowledged(0));
    ck_assert_uint_eq(dispatcher.memory_count, 0);
    ck_assert_uint_eq(dispatcher.hot_count, 1);
    assert_row(id, JOB_QUEUED, 1, 0, 1, 0);
    everything_dies();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(it_is_given_back_uncharged_without_a_row)
{
    struct id id = submitted_memory();
    start_next(0);
    die(0, DEATH_DRAINED, -1);
    TURN_UNTIL(deaths_acknowledged(0));
    ck_assert(!in_store(id));
    ck_assert_uint_eq(dispatcher.memory_count, 1);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_cancel_puts_it_on_record)
{
    struct id id = submitted_memory();
    ok(cancel_job(id));
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 0, 0, 0, 0);
}
END_TEST

/* --- keys --- */

static enum err submit_again(struct job *job, struct id *original, bool *replayed)
{
    struct asked asked;
    send_job(&asked, job);
    TURN_UNTIL(answered(&asked));
    *original = asked.errand.original;
    *replayed = asked.errand.replayed;
    return asked.errand.err;
}

static void assert_replay(const char *key, struct id first)
{
    struct id original;
    bool replayed;
    ok(submit_again(with_key(key, 1), &original, &replayed));
    ck_assert(replayed);
    ck_assert(id_equal(original, first));
    ck_assert_int_eq(submit_again(with_key(key, 2), &original, &replayed), ERR_KEY_REUSED);
    ck_assert(!replayed);
}

START_TEST(a_key_names_its_first_job_while_that_waits_runs_retries_and_after_its_end)
{
    struct id first;
    ok(submit_job(with_key("key", 1), &first));
    assert_replay("key", first);
    uint64_t ticket = start_next(0);
    assert_replay("key", first);
    finish_run(0, ticket, OUTCOME_ERROR);
    assert_replay("key", first);
    ticket = start_next(0);
    assert_replay("key", first);
    die(0, DEATH_CRASH, SIGSEGV);
    assert_replay("key", first);
    succeed(1, start_next(1));
    assert_replay("key", first);
    assert_nothing_left();
    assert_replay("key", first);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST(a_key_is_known_to_the_next_front)
{
    struct id first;
    ok(submit_job(with_key("key", 1), &first));
    restart();
    assert_replay("key", first);
    run_all(1);
    assert_replay("key", first);
}
END_TEST

START_TEST(two_of_one_moment_with_the_same_key_are_one_job)
{
    for (int i = 0; i < 30; i++) {
        struct asked asked[3];
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        for (int k = 0; k < 3; k++)
            send_job(&asked[k], with_key(key, 1));
        TURN_UNTIL(answered(&asked[0]) && answered(&asked[1]) && answered(&asked[2]));
        for (int k = 0; k < 3; k++)
            ok(asked[k].errand.err);
        ck_assert(!asked[0].errand.replayed && asked[1].errand.replayed && asked[2].errand.replayed);
        ck_assert(id_equal(asked[1].errand.original, asked[0].errand.id));
        if (i % 2 == 1) /* so that some find the key in a slot, some in the store */
            run_all(2);
    }
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 30);
}
END_TEST

START_TEST(the_key_of_a_stored_job_is_respected)
{
    struct job *stored = with_key("key", 1);
    struct id first;
    stored->spec.durability = DURABILITY_PROCESS;
    ok(submit_job(stored, &first));
    assert_replay("key", first);
    run_all(1);
}
END_TEST

START_TEST(jobs_without_a_key_are_never_replayed)
{
    struct id one = submitted_memory(), two = submitted_memory();
    ck_assert(!id_equal(one, two));
    run_all(2);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
}
END_TEST

/* --- a new front --- */

START_TEST(a_new_front_adopts_it_in_every_state)
{
    struct id ids[5];
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    for (int i = 0; i < 4; i++)
        ids[i] = submitted_memory();
    atomic_store(&segment.header->draining, DRAIN_NONE);
    workers_wait(4);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 4);
    uint64_t running = start_next(0), dead = start_next(1), done = start_next(2);
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    ids[4] = submitted_memory(); /* held */
    atomic_store(&segment.header->draining, DRAIN_NONE);
    front_dies();
    end_run(2, done, OUTCOME_SUCCESS, "42", 2);
    die(1, DEATH_CRASH, SIGSEGV);
    front_up();
    TURN_UNTIL(deaths_acknowledged(1));
    (void)dead;
    succeed(0, running);
    run_all(3); /* queued, held, crashed */
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(state_of(ids[i]), JOB_SUCCEEDED);
    assert_row(ids[1], JOB_SUCCEEDED, 2, 0, 1, 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 5);
}
END_TEST

START_TEST(a_result_that_was_inserted_and_not_freed_is_freed)
{
    struct id id = submitted_memory();
    succeed(0, start_next(0));
    turn();
    int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
    while (!in_store(id))
        ck_assert(clock_mono_ns() < until);
    restart();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST(a_crash_that_was_inserted_and_not_requeued_is_charged_once)
{
    struct id id = submitted_memory();
    start_next(0);
    die(0, DEATH_CRASH, SIGSEGV);
    turn();
    int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
    while (!in_store(id))
        ck_assert(clock_mono_ns() < until);
    restart();
    TURN_UNTIL(deaths_acknowledged(0));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

/* --- the end of a drain --- */

static void drain(void)
{
    atomic_store(&segment.header->draining, DRAIN_FRONT);
    TURN_UNTIL(dispatcher_settled(&dispatcher));
    dispatcher_save_memory_jobs(&dispatcher);
    TURN_UNTIL(dispatcher_settled(&dispatcher));
}

START_TEST(what_never_ran_is_saved_at_a_drain_and_runs_in_the_next_life)
{
    struct id ids[6];
    ok(submit_job(with_key("key", 1), &ids[0]));
    for (int i = 1; i < 6; i++)
        ids[i] = submitted_memory();
    workers_wait(6);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 6); /* published ones are saved, too */
    uint64_t ticket = start_next(0);
    die(0, DEATH_DRAINED, -1); /* and one that was killed at the end of the grace */
    ck_assert(id_equal(id_of_ticket(ticket), ids[0]));
    drain();
    ck_assert(all_free());
    for (int i = 0; i < 6; i++)
        assert_row(ids[i], JOB_QUEUED, 0, 0, 0, 0);
    everything_dies();
    assert_replay("key", ids[0]);
    for (int i = 0; i < 6; i++) {
        uint64_t next = start_next(0);
        ck_assert(id_equal(id_of_ticket(next), ids[i]));
        succeed(0, next);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(what_had_finished_is_landed_not_saved)
{
    struct id id = submitted_memory();
    end_run(0, start_next(0), OUTCOME_SUCCESS, "42", 2);
    drain();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    assert_nothing_left();
}
END_TEST

START_TEST(nothing_is_accepted_into_memory_once_it_was_saved)
{
    struct id id;
    drain();
    ck_assert_int_eq(submit_job(new_job(5, DURABILITY_MEMORY), &id), ERR_DRAINING);
    ck_assert(all_free());
}
END_TEST

START_TEST(a_stored_job_is_left_to_its_row_at_a_drain)
{
    struct id id = submitted_job();
    workers_wait(1);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    drain();
    ck_assert_uint_eq(slots_in(SLOT_QUEUED), 1);
    everything_dies();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: memory");
    TCase *plain = tcase_create("in and out"), *keys = tcase_create("keys"), *fronts = tcase_create("fronts"),
          *drains = tcase_create("drains");
    tcase_add_checked_fixture(plain, warm_up, rig_down);
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, it_is_held_when_it_is_answered_and_in_no_store_before_it_ends);
    tcase_add_test(plain, it_goes_in_order_with_stored_jobs);
    tcase_add_test(plain, half_of_the_slots_is_the_limit);
    tcase_add_test(plain, a_backlog_of_stored_jobs_leaves_room_for_it);
    tcase_add_test(plain, a_full_arena_refuses_it);
    tcase_add_test(plain, a_failure_brings_it_to_the_store_and_back);
    tcase_add_test(plain, a_crash_brings_it_to_the_store_and_it_counts_as_stored_from_then_on);
    tcase_add_test(plain, it_is_given_back_uncharged_without_a_row);
    tcase_add_test(plain, a_cancel_puts_it_on_record);
    tcase_add_checked_fixture(keys, warm_up, rig_down);
    tcase_set_timeout(keys, 60);
    tcase_add_test(keys, a_key_names_its_first_job_while_that_waits_runs_retries_and_after_its_end);
    tcase_add_test(keys, a_key_is_known_to_the_next_front);
    tcase_add_test(keys, two_of_one_moment_with_the_same_key_are_one_job);
    tcase_add_test(keys, the_key_of_a_stored_job_is_respected);
    tcase_add_test(keys, jobs_without_a_key_are_never_replayed);
    tcase_add_checked_fixture(fronts, warm_up, rig_down);
    tcase_set_timeout(fronts, 60);
    tcase_add_test(fronts, a_new_front_adopts_it_in_every_state);
    tcase_add_test(fronts, a_result_that_was_inserted_and_not_freed_is_freed);
    tcase_add_test(fronts, a_crash_that_was_inserted_and_not_requeued_is_charged_once);
    tcase_add_checked_fixture(drains, warm_up, rig_down);
    tcase_set_timeout(drains, 60);
    tcase_add_test(drains, what_never_ran_is_saved_at_a_drain_and_runs_in_the_next_life);
    tcase_add_test(drains, what_had_finished_is_landed_not_saved);
    tcase_add_test(drains, nothing_is_accepted_into_memory_once_it_was_saved);
    tcase_add_test(drains, a_stored_job_is_left_to_its_row_at_a_drain);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, keys);
    suite_add_tcase(suite, fronts);
    suite_add_tcase(suite, drains);
    return run_suite(suite);
}
