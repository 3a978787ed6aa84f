/* The dispatcher and what holds jobs up: limits and pauses by request, patches, and what it says of
 * them. */
#include "limits_fixture.h"

static struct asked many[2 * MANY];

/* --- limits --- */

START_TEST(a_queue_that_may_run_one_runs_one_at_a_time)
{
    uint64_t ticket;
    set(SETTING_QUEUE, "default", LIMIT_CONCURRENCY, 1);
    workers_wait(3);
    struct id first = submitted_job(), second = submitted_job(), other = submitted_in("other", "");
    assert_starts(0, first, &ticket);
    assert_runs(other);
    assert_nothing_starts();
    succeed(0, ticket);
    assert_runs(second);
    assert_nothing_left();
}
END_TEST

START_TEST(a_burst_needs_a_rate)
{
    static const enum limit PAIRS[][2] = {{LIMIT_BURST, LIMIT_RATE}, {LIMIT_KEY_BURST, LIMIT_KEY_RATE}};
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(try_to_set(SETTING_QUEUE, "mail", PAIRS[i][0], 5), ERR_INVALID_FIELD);
        ck_assert_int_eq(try_to_set(SETTING_TASK, "echo", PAIRS[i][0], 5), ERR_INVALID_FIELD);
        set(SETTING_QUEUE, "mail", PAIRS[i][0], LIMIT_NOT_SET); /* taking one back says nothing */
        set(SETTING_QUEUE, "mail", PAIRS[i][1], limit_rate((struct rate){10, 1}));
        set(SETTING_QUEUE, "mail", PAIRS[i][0], 5);
        lineup_task(&dispatcher.lineup, "echo")->file.values[PAIRS[i][1]] = limit_rate((struct rate){10, 1});
        set(SETTING_TASK, "echo", PAIRS[i][0], 5); /* the file has a rate */
    }
}
END_TEST

START_TEST(a_limit_that_is_set_counts_what_runs_already)
{
    uint64_t one, two;
    struct id ids[] = {submitted_job(), submitted_job(), submitted_job()};
    assert_starts(0, ids[0], &one);
    assert_starts(1, ids[1], &two);
    set(SETTING_TASK, "echo", LIMIT_CONCURRENCY, 2);
    assert_nothing_starts();
    set(SETTING_TASK, "echo", LIMIT_CONCURRENCY, 1);
    succeed(0, one);
    assert_nothing_starts();
    succeed(1, two);
    assert_runs(ids[2]);
    assert_nothing_left();
}
END_TEST

START_TEST(a_limit_that_is_taken_back_holds_nothing_up)
{
    uint64_t ticket;
    set(SETTING_QUEUE, "default", LIMIT_CONCURRENCY, 1);
    struct id first = submitted_job(), second = submitted_job();
    assert_starts(0, first, &ticket);
    assert_nothing_starts();
    set(SETTING_QUEUE, "default", LIMIT_CONCURRENCY, LIMIT_NOT_SET);
    assert_runs(second);
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_rate_lets_the_next_go_when_its_time_has_come)
{
    set(SETTING_QUEUE, "default", LIMIT_RATE, limit_rate((struct rate){.count = 5, .period_s = 1}));
    workers_wait(3);
    struct id first = submitted_job(), second = submitted_job();
    uint64_t ticket;
    TURN_UNTIL((ticket = claim_next(0)) != 0);
    int64_t begun_ns = clock_mono_ns();
    ck_assert(id_equal(id_of_ticket(ticket), first));
    begin_run(0, ticket);
    succeed(0, ticket);
    assert_runs(second);
    ck_assert_int_ge(clock_mono_ns() - begun_ns, 100 * NS_PER_MS); /* 200, less the way to the first claim */
    assert_nothing_left();
}
END_TEST

START_TEST(a_limited_job_that_no_worker_takes_gives_its_place_to_a_more_urgent_one)
{
    struct id late = submitted_in("default", "key"), urgent;
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    struct job *job = job_in("default", "key");
    job->spec.priority = 9;
    ok(submit_job(job, &urgent));
    int64_t until_ns = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
    for (uint32_t slot; (slot = hot_find(&hot, urgent)) == HOT_NONE ||
                        slot_claim_load(&segment.slots[slot]).state != SLOT_QUEUED;
         turn())
        ck_assert(clock_mono_ns() < until_ns);
    assert_runs(urgent);
    assert_runs(late);
    assert_nothing_left();
}
END_TEST

START_TEST(a_limited_job_that_a_worker_has_taken_keeps_its_place)
{
    uint64_t ticket;
    struct id first = submitted_in("default", "key"), second = submitted_in("default", "key");
    assert_starts(0, first, &ticket);
    for (int64_t until_ns = clock_mono_ns() + 3 * TAKE_BACK_MS * NS_PER_MS; clock_mono_ns() < until_ns;)
        turns(5);
    assert_nothing_starts();
    succeed(0, ticket);
    assert_runs(second);
    assert_nothing_left();
}
END_TEST

/* --- pauses --- */

static void assert_pause_holds(enum setting_kind kind, const char *name)
{
    workers_wait(3);
    struct id first = submitted_job(), second = submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 2);
    set(kind, name, LIMIT_PAUSED, 1);
    ck_assert_uint_eq(slots_in(SLOT_QUEUED), 0); /* from its answer on nothing starts */
    ck_assert_uint_eq(claim_next(0), 0);
    struct id third = submitted_job();
    assert_nothing_starts();
    set(kind, name, LIMIT_PAUSED, LIMIT_NOT_SET);
    assert_runs(first);
    assert_runs(second);
    assert_runs(third);
    assert_nothing_left();
}

START_TEST(a_paused_queue_takes_back_what_is_published_and_starts_nothing)
{
    assert_pause_holds(SETTING_QUEUE, "default");
}
END_TEST

START_TEST(a_paused_task_takes_back_what_is_published_and_starts_nothing)
{
    assert_pause_holds(SETTING_TASK, "echo");
}
END_TEST

START_TEST(a_paused_server_takes_back_what_is_published_and_starts_nothing)
{
    assert_pause_holds(SETTING_SERVER, "");
}
END_TEST

START_TEST(what_runs_when_its_queue_is_paused_runs_on)
{
    uint64_t ticket;
    struct id id = submitted_job();
    assert_starts(0, id, &ticket);
    set(SETTING_QUEUE, "default", LIMIT_PAUSED, 1);
    succeed(0, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_paused_backlog_fills_no_slots_and_others_go)
{
    set(SETTING_QUEUE, "paused", LIMIT_PAUSED, 1);
    for (int i = 0; i < MANY; i++)
        send_job(&many[i], job_in("paused", ""));
    TURN_UNTIL(answered(&many[MANY - 1]));
    turns(5);
    ck_assert(all_free());
    assert_runs(submitted_job());
    set(SETTING_QUEUE, "paused", LIMIT_PAUSED, 0);
    run_all(MANY);
}
END_TEST

START_TEST(settings_survive_a_restart_of_the_front)
{
    uint64_t ticket;
    set(SETTING_QUEUE, "default", LIMIT_CONCURRENCY, 1);
    set(SETTING_QUEUE, "paused", LIMIT_PAUSED, 1);
    struct id first = submitted_job(), second = submitted_job(), third = submitted_in("paused", "");
    assert_starts(0, first, &ticket);
    restart();
    assert_nothing_starts(); /* what runs is counted */
    succeed(0, ticket);
    assert_runs(second);
    assert_nothing_starts();
    everything_dies();
    assert_nothing_starts();
    set(SETTING_QUEUE, "paused", LIMIT_PAUSED, 0);
    assert_runs(third);
    assert_nothing_left();
}
END_TEST

/* --- backlogs behind limits --- */

START_TEST(a_backlog_behind_a_limit_does_not_stop_others)
{
    uint64_t ticket;
    struct id first = submitted_in("default", "busy");
    assert_starts(0, first, &ticket);
    for (int i = 0; i < MANY; i++)
        send_job(&many[i], job_in("default", "busy"));
    TURN_UNTIL(answered(&many[MANY - 1]));
    struct id keyed = submitted_in("default", "other"), without = submitted_in("default", ""),
              elsewhere = submitted_in("elsewhere", "");
    for (int i = 0; i < 3; i++) {
        uint64_t next = start_next(1);
        struct id id = id_of_ticket(next);
        ck_assert(id_equal(id, keyed) || id_equal(id, without) || id_equal(id, elsewhere));
        succeed(1, next);
    }
    succeed(0, ticket);
    run_all(MANY);
}
END_TEST

START_TEST(backlogs_of_many_keys_larger_than_the_slots_all_go_one_at_a_time_each)
{
    enum { KEYS = 10 };
    uint64_t running[WORKER_COUNT];
    int out[KEYS] = {0};
    char key[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "%d", i % 3 == 0 ? 0 : i % KEYS);
        send_job(&many[i], job_in("default", key));
    }
    TURN_UNTIL(answered(&many[MANY - 1]));
    for (int done = 0; done < MANY;) {
        int started = 0;
        for (uint32_t worker = 0; worker < WORKER_COUNT && done + started < MANY; worker++) {
            running[worker] = worker == 0 ? start_next(0) : claim_next(worker);
            if (worker > 0 && running[worker] != 0)
                begin_run(worker, running[worker]);
            if (running[worker] == 0)
                break;
            ck_assert_int_eq(out[atoi(slot_of_ticket(running[worker])->spec.concurrency_key)]++, 0);
            started++;
        }
        for (uint32_t worker = 0; worker < (uint32_t)started; worker++, done++) {
            out[atoi(slot_of_ticket(running[worker])->spec.concurrency_key)]--;
            succeed(worker, running[worker]);
        }
    }
    assert_nothing_left();
}
END_TEST

/* --- patches --- */

START_TEST(a_waiting_job_that_becomes_more_urgent_overtakes_those_with_slots)
{
    struct id first = submitted_job(), second = submitted_job(), third = submitted_job();
    ok(prioritise(third, 9));
    assert_runs(third);
    assert_runs(first);
    ok(prioritise(second, 0));
    assert_runs(second);
    assert_nothing_left();
}
END_TEST

START_TEST(a_cold_job_that_becomes_more_urgent_overtakes_its_backlog)
{
    struct id ids[MANY];
    for (int i = 0; i < MANY; i++)
        ids[i] = send_job(&many[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&many[MANY - 1]));
    turns(20);
    ck_assert_uint_eq(hot_find(&hot, ids[MANY - 1]), HOT_NONE);
    ok(prioritise(ids[MANY - 1], 9));
    turns(5);
    assert_runs(ids[MANY - 1]);
    for (int i = 0; i < MANY - 1; i++)
        assert_runs(ids[i]);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_is_put_off_waits_and_runs_when_it_is_told_to)
{
    struct id id = submitted_job();
    ok(patch_job(id, (struct store_patch){.has_run_at = true, .run_at_ms = clock_real_ms() + 3600000}));
    ck_assert_int_eq(state_of(id), JOB_SCHEDULED);
    assert_nothing_starts();
    ok(patch_job(id, (struct store_patch){.has_run_at = true}));
    assert_runs(id);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_runs_has_ended_or_is_not_there_is_not_changed)
{
    uint64_t ticket;
    struct id id = submitted_job();
    assert_starts(0, id, &ticket);
    ck_assert_int_eq(prioritise(id, 9), ERR_NOT_NOW);
    ck_assert_uint_eq(slot_of_ticket(ticket)->spec.priority, PRIORITY_DEFAULT);
    succeed(0, ticket);
    assert_nothing_left();
    ck_assert_int_eq(prioritise(id, 9), ERR_NOT_NOW);
    ck_assert_int_eq(prioritise(id_new(), 9), ERR_UNKNOWN_JOB);
}
END_TEST

START_TEST(a_job_that_lies_in_memory_alone_is_not_changed)
{
    struct id id = submitted_memory();
    ck_assert_int_eq(prioritise(id, 9), ERR_NOT_NOW);
    run_all(1);
}
END_TEST

/* Else a row that was read before the change would take a slot beside the changed one. */
START_TEST(a_change_waits_for_the_rows_that_are_being_read)
{
    struct store_patch patch = {.has_priority = true, .priority = 9};
    struct asked asked = {.errand = {.kind = ERRAND_PATCH, .patch = &patch}};
    struct id id = submitted_job();
    TURN_UNTIL(hot_find(&hot, id) != HOT_NONE && all_warm());
    dispatcher.loads_running++;
    send_errand(&asked, WORK_PATCH, id);
    turns(20);
    ck_assert(!answered(&asked) && hot_find(&hot, id) != HOT_NONE);
    dispatcher.loads_running--;
    cancel_undefer(&dispatcher);
    ok(answer_of(&asked));
    assert_runs(id);
    assert_nothing_left();
}
END_TEST

/* --- why --- */

START_TEST(a_job_knows_its_place_and_that_no_worker_is_up)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS); /* nothing goes out: all of them wait in slots */
    struct id ids[] = {submitted_job(), submitted_job(), submitted_at(9), submitted_in("other", "")};
    struct why why = why_of(ids[1]);
    ck_assert_int_eq(why.position, 2);
    ck_assert(why.position_exact && why.holds[REASON_BEHIND] && !why.holds[REASON_NEXT]);
    ck_assert(why.holds[REASON_NO_WORKER] && why.holds[REASON_SERVER_STOPPING]);
    atomic_store(&segment.boards[0].status, WORKER_LIVE);
    set(SETTING_QUEUE, "other", LIMIT_PAUSED, 1);
    why = why_of(ids[3]);
    ck_assert(why.position == 0 && why.holds[REASON_QUEUE_PAUSED]);
    ck_assert(!why.holds[REASON_NO_WORKER] && !why.holds[REASON_NEXT]);
    set(SETTING_QUEUE, "other", LIMIT_PAUSED, 0);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    run_all(4);
}
END_TEST

START_TEST(a_job_knows_which_limits_hold_it_up)
{
    uint64_t ticket;
    struct id first = submitted_in("default", "key"), second = submitted_in("default", "key");
    assert_starts(0, first, &ticket);
    set(SETTING_QUEUE, "default", LIMIT_CONCURRENCY, 1);
    set(SETTING_TASK, "echo", LIMIT_PAUSED, 1);
    struct why why = why_of(second);
    ck_assert(why.holds[REASON_QUEUE_CONCURRENCY] && why.limit[REASON_QUEUE_CONCURRENCY] == 1);
    ck_assert(why.holds[REASON_KEY_CONCURRENCY] && why.holds[REASON_TASK_PAUSED]);
    ck_assert(!why.holds[REASON_QUEUE_PAUSED] && !why.holds[REASON_TASK_CONCURRENCY]);
    ck_assert(!why.holds[REASON_BEHIND] && !why.holds[REASON_NEXT]);
    ck_assert_str_eq(why.pool, "default");
    set(SETTING_TASK, "echo", LIMIT_PAUSED, LIMIT_NOT_SET);
    succeed(0, ticket);
    assert_runs(second);
    assert_nothing_left();
}
END_TEST

START_TEST(queues_are_seen_by_name_with_what_waits_and_runs)
{
    uint64_t ticket;
    struct look look = {0};
    struct id first = submitted_in("b", ""), second = submitted_in("b", "");
    set(SETTING_QUEUE, "a", LIMIT_PAUSED, 1);
    set(SETTING_QUEUE, "b", LIMIT_CONCURRENCY, 1);
    struct id third = submitted_in("a", "");
    assert_starts(0, first, &ticket);
    JOB_AUTO waiting = row(second);
    look_at(&look, LOOK_QUEUES);
    ck_assert_uint_eq(look.count, 2);
    ck_assert(!look.paused && !look.draining);
    const struct lane_view *a = &look.views[0], *b = &look.views[1];
    ck_assert_str_eq(a->name, "a");
    ck_assert_str_eq(b->name, "b");
    ck_assert(a->waiting == 1 && a->in_flight == 0 && a->holds[REASON_QUEUE_PAUSED]);
    ck_assert(b->waiting == 1 && b->in_flight == 1 && b->holds[REASON_QUEUE_CONCURRENCY]);
    ck_assert(!b->holds[REASON_QUEUE_PAUSED] && b->limits.values[LIMIT_CONCURRENCY] == 1);
    ck_assert_int_eq(b->set.values[LIMIT_CONCURRENCY], 1);
    ck_assert_int_eq(b->oldest_ms, waiting->spec.created_ms);
    free(look.views);
    look_at(&look, LOOK_TASKS);
    ck_assert_uint_eq(look.count, 1);
    ck_assert_str_eq(look.views[0].name, "echo");
    ck_assert(look.views[0].in_flight == 1 && look.views[0].waiting == -1);
    free(look.views);
    succeed(0, ticket);
    assert_runs(second);
    set(SETTING_QUEUE, "a", LIMIT_PAUSED, LIMIT_NOT_SET);
    assert_runs(third);
    assert_nothing_left();
}
END_TEST

static TCase *group(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, rig_up, rig_down);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("dispatcher: limits");
    TCase *limits = group(suite, "limits"), *pauses = group(suite, "pauses"),
          *backlogs = group(suite, "backlogs behind limits"), *patches = group(suite, "patches"),
          *reasons = group(suite, "why");
    tcase_add_test(limits, a_queue_that_may_run_one_runs_one_at_a_time);
    tcase_add_test(limits, a_burst_needs_a_rate);
    tcase_add_test(limits, a_limit_that_is_set_counts_what_runs_already);
    tcase_add_test(limits, a_limit_that_is_taken_back_holds_nothing_up);
    tcase_add_test(limits, a_rate_lets_the_next_go_when_its_time_has_come);
    tcase_add_test(limits, a_limited_job_that_no_worker_takes_gives_its_place_to_a_more_urgent_one);
    tcase_add_test(limits, a_limited_job_that_a_worker_has_taken_keeps_its_place);
    tcase_add_test(pauses, a_paused_queue_takes_back_what_is_published_and_starts_nothing);
    tcase_add_test(pauses, a_paused_task_takes_back_what_is_published_and_starts_nothing);
    tcase_add_test(pauses, a_paused_server_takes_back_what_is_published_and_starts_nothing);
    tcase_add_test(pauses, what_runs_when_its_queue_is_paused_runs_on);
    tcase_add_test(pauses, a_paused_backlog_fills_no_slots_and_others_go);
    tcase_add_test(pauses, settings_survive_a_restart_of_the_front);
    tcase_add_test(backlogs, a_backlog_behind_a_limit_does_not_stop_others);
    tcase_add_test(backlogs, backlogs_of_many_keys_larger_than_the_slots_all_go_one_at_a_time_each);
    tcase_add_test(patches, a_waiting_job_that_becomes_more_urgent_overtakes_those_with_slots);
    tcase_add_test(patches, a_cold_job_that_becomes_more_urgent_overtakes_its_backlog);
    tcase_add_test(patches, a_job_that_is_put_off_waits_and_runs_when_it_is_told_to);
    tcase_add_test(patches, a_job_that_runs_has_ended_or_is_not_there_is_not_changed);
    tcase_add_test(patches, a_job_that_lies_in_memory_alone_is_not_changed);
    tcase_add_test(patches, a_change_waits_for_the_rows_that_are_being_read);
    tcase_add_test(reasons, a_job_knows_its_place_and_that_no_worker_is_up);
    tcase_add_test(reasons, a_job_knows_which_limits_hold_it_up);
    tcase_add_test(reasons, queues_are_seen_by_name_with_what_waits_and_runs);
    return run_suite(suite);
}
