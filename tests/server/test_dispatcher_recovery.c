/* A new front on the segment that an earlier one left, in every state in which it can leave a slot; and the
 * charge of the black box. Each job ends on record once. */
#include "dispatcher_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

static uint64_t published_and_started(struct id *id)
{
    *id = submitted_job();
    return start_next(1);
}

/* The dispatcher has handed over what there is, the committer has committed it, and nobody was told. */
#define COMMIT_AND_DIE(committed)                                                                            \
    do {                                                                                                     \
        turn();                                                                                              \
        int64_t until_ns = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;                                        \
        while (!(committed)) {                                                                               \
            ck_assert(clock_mono_ns() < until_ns);                                                           \
            usleep(200);                                                                                     \
        }                                                                                                    \
        front_dies();                                                                                        \
    } while (0)

/* --- waiting --- */

START_TEST(held_slots_wait_again_in_their_order)
{
    struct id ids[20];
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    for (int i = 0; i < 20; i++)
        ids[i] = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 20);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    restart();
    for (int i = 0; i < 20; i++) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(published_slots_are_published_anew_in_their_order_and_old_tickets_are_void)
{
    struct id ids[20];
    uint64_t head, stale;
    for (int i = 0; i < 20; i++)
        ids[i] = submitted_job();
    workers_wait(20);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 20);
    ck_assert(ring_peek(segment_ring(&segment, 0, PRIORITY_DEFAULT), &head, &stale)); /* a worker, half-way */
    restart();
    workers_wait(20);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 20);
    ck_assert(!slot_claim(slot_of_ticket(stale), ticket_generation(stale), 3, incarnation_of(3)));
    for (int i = 0; i < 20; i++) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 3 AND attempt = 1"), 20);
}
END_TEST

START_TEST(a_slot_published_without_its_cell_is_not_stuck)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    slot_publish(&segment.slots[hot_find(&hot, id)]); /* died before the cell */
    atomic_store(&segment.header->draining, DRAIN_NONE);
    restart();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_slot_that_was_being_filled_is_free)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    slot_set_state(&segment.slots[hot_find(&hot, id)], SLOT_BUILDING);
    segment.slots[hot_find(&hot, id)].args_at = 99; /* half written */
    atomic_store(&segment.header->draining, DRAIN_NONE);
    restart();
    run_all(1); /* from its row */
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_row_whose_slot_was_adopted_is_not_loaded_a_second_time)
{
    enum { JOBS = 3 * SLOT_COUNT };
    static struct asked asked[JOBS];
    for (int i = 0; i < JOBS; i++)
        send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&asked[JOBS - 1]));
    for (int i = 0; i < JOBS; i++) {
        if (i % 40 == 7)
            restart();
        succeed(0, start_next(0));
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 3 AND attempt = 1"), JOBS);
}
END_TEST

/* --- running --- */

START_TEST(a_running_job_goes_on_untouched)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    restart();
    turns(150);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    ck_assert_uint_eq(claim_next(2), 0);
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_job_claimed_while_there_was_no_front_goes_on)
{
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    front_dies();
    uint64_t ticket = claim_next(1);
    ck_assert_uint_ne(ticket, 0);
    begin_run(1, ticket);
    front_up();
    turns(5);
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_death_without_a_front_is_charged_by_the_next)
{
    struct id id;
    published_and_started(&id);
    front_dies();
    die(1, DEATH_CRASH, SIGSEGV);
    front_up();
    TURN_UNTIL(deaths_acknowledged(1));
    assert_row(id, JOB_QUEUED, 1, 0, 1, 0);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(a_crash_that_is_committed_and_not_requeued_is_charged_once)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    die(1, DEATH_CRASH, SIGSEGV);
    COMMIT_AND_DIE(look("SELECT crashes FROM jobs") == 1);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    ck_assert(!deaths_acknowledged(1));
    front_up();
    TURN_UNTIL(deaths_acknowledged(1));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
    ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 1);
}
END_TEST

START_TEST(a_crash_whose_slot_was_being_rewritten_is_charged_once)
{
    for (int written = 0; written < 2; written++) {
        struct id id;
        uint64_t ticket = published_and_started(&id);
        die(1, DEATH_CRASH, SIGSEGV);
        COMMIT_AND_DIE(look("SELECT count(*) FROM jobs WHERE crashes = 1 AND state = 0") == 1);
        struct slot *slot = slot_of_ticket(ticket); /* as requeue() leaves it when it dies half-way */
        slot_set(slot, (struct claim){.generation = ticket_generation(ticket) + 1, .state = SLOT_BUILDING});
        if (written)
            slot->spec.attempt = slot->spec.crashes = 1;
        front_up();
        run_all(1);
        assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
    }
}
END_TEST

START_TEST(a_crash_that_was_requeued_and_not_acknowledged_is_charged_once)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    die(1, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(slot_claim_load(slot_of_ticket(ticket)).state == SLOT_QUEUED);
    atomic_fetch_sub(&board_of(1)->deaths_read, 1); /* died before the acknowledgement */
    restart();
    TURN_UNTIL(deaths_acknowledged(1));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(a_job_given_back_and_not_acknowledged_is_given_back_once)
{
    struct id id;
    published_and_started(&id);
    die(1, DEATH_DRAINED, -1);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    atomic_fetch_sub(&board_of(1)->deaths_read, 1);
    restart();
    TURN_UNTIL(deaths_acknowledged(1));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_request_to_stop_is_made_again)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    atomic_store(&slot_of_ticket(ticket)->cancel_requested, 1); /* died before it was on the board */
    restart();
    TURN_UNTIL(atomic_load(&board_of(1)->cancel) == ticket);
    finish_run(1, ticket, OUTCOME_CANCELLED);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 0, 0, 0);
}
END_TEST

/* --- done --- */

START_TEST(a_result_that_was_not_committed_is_committed)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    char result[6000];
    memset(result, '8', sizeof result);
    end_run(1, ticket, OUTCOME_SUCCESS, result, sizeof result);
    restart();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    JOB_AUTO job = row(id);
    ck_assert_uint_eq(job->result.bytes, sizeof result);
    ck_assert_uint_eq(tray_used(&segment, 1), 0);
}
END_TEST

START_TEST(a_result_that_was_committed_and_not_freed_is_freed)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    succeed(1, ticket);
    COMMIT_AND_DIE(look("SELECT count(*) FROM jobs WHERE state = 3") == 1);
    JOB_AUTO first = NULL;
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_DONE);
    front_up();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    first = row(id);
    ck_assert_uint_eq(first->attempt.number, 1);
    ck_assert_uint_eq(claim_next(0), 0);
}
END_TEST

START_TEST(a_failure_that_was_committed_and_not_freed_is_retried_once)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    finish_run(1, ticket, OUTCOME_ERROR);
    COMMIT_AND_DIE(look("SELECT errors FROM jobs") == 1);
    front_up();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_failure_that_is_due_again_before_its_slot_was_freed_runs_once)
{
    struct id id;
    uint64_t ticket = published_and_started(&id);
    finish_run(1, ticket, OUTCOME_ERROR);
    COMMIT_AND_DIE(look("SELECT errors FROM jobs") == 1);
    change_file("UPDATE jobs SET state = 0, run_at_ms = 0, seq = seq + 10");
    change_file("UPDATE counts SET jobs = (SELECT count(*) FROM jobs WHERE jobs.state = counts.state)");
    front_up();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_tray_record_whose_slot_was_freed_is_reclaimed)
{
    struct id id;
    char result[6000];
    memset(result, '8', sizeof result);
    uint64_t ticket = published_and_started(&id);
    end_run(1, ticket, OUTCOME_SUCCESS, result, sizeof result);
    board_complete(board_of(1), ticket);
    COMMIT_AND_DIE(look("SELECT count(*) FROM jobs WHERE state = 3") == 1);
    slot_let_go(slot_of_ticket(ticket)); /* died between the two lines of admit_release */
    front_up();
    TURN_UNTIL(tray_used(&segment, 1) == 0);
    assert_nothing_left();
}
END_TEST

/* --- cancelled --- */

START_TEST(a_cancel_that_was_committed_and_not_freed_never_runs)
{
    for (int published = 0; published < 2; published++) {
        struct asked asked;
        atomic_store(&segment.header->draining, published ? DRAIN_NONE : DRAIN_WORKERS);
        struct id id = submitted_job();
        TURN_UNTIL(slots_in(published ? SLOT_QUEUED : SLOT_HELD) == 1);
        send_cancel(&asked, id);
        COMMIT_AND_DIE(look("SELECT count(*) FROM jobs WHERE state = 0") == 0);
        ck_assert_uint_eq(slots_in(SLOT_HELD), 1);
        ck_assert(!answered(&asked));
        atomic_store(&segment.header->draining, DRAIN_NONE);
        front_up();
        turn();
        ck_assert_uint_eq(claim_next(0), 0);
        assert_nothing_left();
        assert_row(id, JOB_CANCELLED, 0, 0, 0, 0);
    }
}
END_TEST

/* --- damage: the front ends with FRONT_EXIT_CORRUPT, and everything starts from the store --- */

static void bad_state(struct slot *slot)
{
    slot_set_state(slot, (enum slot_state)9);
}

static void bad_priority(struct slot *slot)
{
    slot->spec.priority = PRIORITY_COUNT;
}

static void bad_durability(struct slot *slot)
{
    slot->spec.durability = DURABILITY_COUNT;
}

static void bad_args(struct slot *slot)
{
    slot->args_at = 1 << 30;
}

static void same_id_twice(struct slot *slot)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        segment.slots[i].spec.id = slot->spec.id;
}

static void same_args_twice(struct slot *slot)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        segment.slots[i].args_at = slot->args_at;
}

static void bad_header(struct slot *slot)
{
    (void)slot;
    segment.header->slots_at += CACHE_LINE;
}

static void bad_worker(struct slot *slot)
{
    slot_set(slot, (struct claim){slot_claim_load(slot).generation, SLOT_RUNNING, 77, 1}); /* no such board */
}

static void endless_key(struct slot *slot)
{
    memset(slot->spec.concurrency_key, 'x', KEY_BYTES);
}

static void endless_queue(struct slot *slot)
{
    memset(slot->spec.queue, 'x', NAME_BYTES);
}

static void lane_of_another_level(struct slot *slot)
{
    slot->spec.priority = PRIORITY_DEFAULT + 1;
}

static void completions_without_end(struct slot *slot)
{
    (void)slot;
    atomic_fetch_sub(&segment.boards[1].completions_written, 1);
}

static void deaths_without_end(struct slot *slot)
{
    (void)slot;
    atomic_fetch_sub(&segment.boards[1].deaths_written, 1);
}

static void (*const DAMAGES[])(struct slot *slot) = {bad_state,
                                                     bad_priority,
                                                     bad_durability,
                                                     bad_args,
                                                     same_id_twice,
                                                     same_args_twice,
                                                     bad_header,
                                                     bad_worker,
                                                     endless_key,
                                                     endless_queue,
                                                     lane_of_another_level,
                                                     completions_without_end,
                                                     deaths_without_end};
enum { DAMAGE_COUNT = sizeof DAMAGES / sizeof DAMAGES[0] };

/* A new front in a process of its own; its exit status. */
static int status_of_new_front(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        front_up();
        turns(5);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(an_impossible_slot_ends_the_front)
{
    struct id id = submitted_job();
    submitted_job();
    workers_wait(2);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 2);
    struct slot *slot = &segment.slots[hot_find(&hot, id)];
    size_t bytes = sizeof(struct slot) * SLOT_COUNT;
    uint64_t slots_at = segment.header->slots_at;
    struct board board = segment.boards[1];
    void *before = malloc(bytes);
    ck_assert_ptr_nonnull(before);
    front_dies();
    memcpy(before, (void *)segment.slots, bytes);
    DAMAGES[_i](slot);
    ck_assert_int_eq(status_of_new_front(), FRONT_EXIT_CORRUPT);
    memcpy((void *)segment.slots, before, bytes);
    memcpy((void *)&segment.boards[1], (void *)&board, sizeof board);
    segment.header->slots_at = slots_at;
    free(before);
    ck_assert_int_eq(status_of_new_front(), 0);
    front_up();
    run_all(2);
}
END_TEST

/* --- at random --- */

START_TEST(at_random_fronts_and_workers_die_and_each_job_is_on_record_once)
{
    enum { JOBS = 150 };
    static const enum death_cause CAUSES[] = {DEATH_CRASH, DEATH_LOST, DEATH_DRAINED};
    static struct asked asked[JOBS];
    uint64_t tickets[WORKER_COUNT] = {0}, random = (uint64_t)_i + 31;
    int sent = 0;
    config.jobs_max_crashes = config.jobs_max_lost = 1000;
    int64_t until = clock_mono_ns() + 100 * NS_PER_SEC;
    while (sent < JOBS || look("SELECT count(*) FROM jobs WHERE state NOT IN (3, 4)") > 0) {
        ck_assert(clock_mono_ns() < until);
        for (int step = 0; step < 200; step++) {
            uint32_t worker = next_random(&random) % WORKER_COUNT, dice = next_random(&random) % 200;
            if (sent < JOBS)
                send_job(&asked[sent++], new_job((uint8_t)(dice % 3), DURABILITY_PROCESS));
            if (dice == 0) {
                front_dies();
                front_prepare(); /* this one dies before it commits anything, or a later one comes */
            } else if (dice < 6 && !committing) {
                committer_up();
            } else if (dice < 12 && !board_deaths_full(board_of(worker))) {
                die(worker, CAUSES[next_random(&random) % 3], SIGKILL);
                tickets[worker] = 0;
            } else if (tickets[worker] == 0 && (tickets[worker] = claim_next(worker)) != 0) {
                for (uint32_t i = 0; i < WORKER_COUNT; i++)
                    if (i != worker && tickets[i] != 0)
                        ck_assert(!id_equal(id_of_ticket(tickets[i]), id_of_ticket(tickets[worker])));
                begin_run(worker, tickets[worker]);
            } else if (tickets[worker] != 0 && dice < 120) {
                finish_run(worker, tickets[worker], dice % 5 ? OUTCOME_SUCCESS : OUTCOME_ERROR);
                tickets[worker] = 0;
            }
            if (dice % 2)
                turn();
        }
    }
    if (!committing)
        committer_up();
    submitted_job(); /* once it is answered, everything given before is committed */
    for (uint32_t i = 0; look("SELECT count(*) FROM jobs WHERE state NOT IN (3, 4)") > 0; i++) {
        ck_assert(clock_mono_ns() < until);
        uint64_t *ticket = &tickets[i % WORKER_COUNT];
        if (*ticket != 0)
            succeed(i % WORKER_COUNT, *ticket);
        else if ((*ticket = claim_next(i % WORKER_COUNT)) != 0) {
            begin_run(i % WORKER_COUNT, *ticket);
            succeed(i % WORKER_COUNT, *ticket);
        }
        *ticket = 0;
        turn();
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE attempt <> errors + crashes + lost + (state = 3)"),
                     0);
    ck_assert_int_eq(look("SELECT sum(attempt - 1) - (SELECT count(*) FROM attempts) FROM jobs"), 0);
    for (int i = 0; i < JOBS; i++) /* an answer means a row */
        if (answered(&asked[i]))
            ck_assert(in_store(asked[i].errand.id));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: recovery");
    TCase *waiting = tcase_create("waiting"), *running = tcase_create("running"),
          *done = tcase_create("done"), *damage = tcase_create("damage"), *any = tcase_create("random");
    tcase_add_checked_fixture(waiting, warm_up, rig_down);
    tcase_set_timeout(waiting, 60);
    tcase_add_test(waiting, held_slots_wait_again_in_their_order);
    tcase_add_test(waiting, published_slots_are_published_anew_in_their_order_and_old_tickets_are_void);
    tcase_add_test(waiting, a_slot_published_without_its_cell_is_not_stuck);
    tcase_add_test(waiting, a_slot_that_was_being_filled_is_free);
    tcase_add_test(waiting, a_row_whose_slot_was_adopted_is_not_loaded_a_second_time);
    tcase_add_checked_fixture(running, warm_up, rig_down);
    tcase_set_timeout(running, 60);
    tcase_add_test(running, a_running_job_goes_on_untouched);
    tcase_add_test(running, a_job_claimed_while_there_was_no_front_goes_on);
    tcase_add_test(running, a_death_without_a_front_is_charged_by_the_next);
    tcase_add_test(running, a_crash_that_is_committed_and_not_requeued_is_charged_once);
    tcase_add_test(running, a_crash_whose_slot_was_being_rewritten_is_charged_once);
    tcase_add_test(running, a_crash_that_was_requeued_and_not_acknowledged_is_charged_once);
    tcase_add_test(running, a_job_given_back_and_not_acknowledged_is_given_back_once);
    tcase_add_test(running, a_request_to_stop_is_made_again);
    tcase_add_checked_fixture(done, warm_up, rig_down);
    tcase_set_timeout(done, 60);
    tcase_add_test(done, a_result_that_was_not_committed_is_committed);
    tcase_add_test(done, a_result_that_was_committed_and_not_freed_is_freed);
    tcase_add_test(done, a_failure_that_was_committed_and_not_freed_is_retried_once);
    tcase_add_test(done, a_failure_that_is_due_again_before_its_slot_was_freed_runs_once);
    tcase_add_test(done, a_tray_record_whose_slot_was_freed_is_reclaimed);
    tcase_add_test(done, a_cancel_that_was_committed_and_not_freed_never_runs);
    tcase_add_checked_fixture(damage, warm_up, rig_down);
    tcase_set_timeout(damage, 60);
    tcase_add_loop_test(damage, an_impossible_slot_ends_the_front, 0, DAMAGE_COUNT);
    tcase_add_checked_fixture(any, warm_up, rig_down);
    tcase_set_timeout(any, 110);
    tcase_add_loop_test(any, at_random_fronts_and_workers_die_and_each_job_is_on_record_once, 0, 2);
    suite_add_tcase(suite, waiting);
    suite_add_tcase(suite, running);
    suite_add_tcase(suite, done);
    suite_add_tcase(suite, damage);
    suite_add_tcase(suite, any);
    return run_suite(suite);
}
