/* What dead workers leave behind: who is charged, what runs again, and when. */
#include "dispatcher_fixture.h"

#include <signal.h>

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

static bool requeued(uint64_t ticket)
{
    enum slot_state state = slot_claim_load(slot_of_ticket(ticket)).state;
    return state == SLOT_HELD || state == SLOT_QUEUED;
}

/* --- one death --- */

START_TEST(a_crash_is_on_record_before_the_job_runs_again)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(1);
    die(1, DEATH_CRASH, SIGSEGV);
    int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
    for (; !requeued(ticket); turn()) {
        ck_assert(clock_mono_ns() < until);
        ck_assert_uint_eq(claim_next(2), 0);
    }
    assert_row(id, JOB_QUEUED, 1, 0, 1, 0);
    ck_assert(deaths_acknowledged(1));
    uint64_t again = start_next(2);
    ck_assert(id_equal(id_of_ticket(again), id));
    ck_assert_uint_gt(ticket_generation(again), ticket_generation(ticket));
    ck_assert_uint_eq(slot_of_ticket(again)->spec.attempt, 1);
    ck_assert_uint_eq(slot_of_ticket(again)->spec.crashes, 1);
    ck_assert_uint_eq(slot_of_ticket(again)->attempt.number, 2);
    succeed(2, again);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(the_record_of_a_crash_says_what_happened)
{
    struct id id = submitted_job();
    start_next(1);
    int64_t begun_ms = clock_real_ms();
    die(1, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(deaths_acknowledged(1));
    JOB_AUTO job = row(id);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_CRASH);
    ck_assert_int_eq(job->attempt.signal, SIGSEGV);
    ck_assert_int_eq(job->attempt.worker, 1);
    ck_assert_uint_eq(job->attempt.number, 1);
    ck_assert_str_eq(job->attempt.error_code, err_code(ERR_WORKER_CRASHED));
    ck_assert_ptr_nonnull(strstr(job->attempt.error_message, "11"));
    ck_assert_int_le(job->attempt.started_ms, begun_ms);
    ck_assert_int_gt(job->attempt.started_ms, 0);
    ck_assert_int_ge(job->attempt.finished_ms, job->attempt.started_ms);
    run_all(1);
}
END_TEST

START_TEST(a_death_between_claim_and_beginning_is_a_run_all_the_same)
{
    struct id id = submitted_job();
    workers_wait(1);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_uint_ne(claim_next(3), 0); /* and not a step further */
    die(3, DEATH_LOST, SIGKILL);
    TURN_UNTIL(deaths_acknowledged(3));
    JOB_AUTO job = row(id);
    ck_assert_uint_eq(job->spec.lost, 1);
    ck_assert_int_eq(job->attempt.worker, 3);
    ck_assert_uint_eq(job->attempt.number, 1);
    ck_assert_int_gt(job->attempt.started_ms, 0);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 1);
}
END_TEST

START_TEST(the_record_of_a_run_that_was_given_back_does_not_leak_into_the_next)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(1);
    slot_of_ticket(ticket)->attempt.started_ms = 5;
    slot_progress_write(slot_of_ticket(ticket), 0.5, "half", 4, 6);
    die(1, DEATH_DRAINED, -1);
    workers_wait(1);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_uint_ne(claim_next(2), 0);
    die(2, DEATH_LOST, SIGKILL);
    TURN_UNTIL(deaths_acknowledged(2));
    JOB_AUTO job = row(id);
    ck_assert_int_gt(job->attempt.started_ms, 5);
    ck_assert_double_eq(job->attempt.progress, -1);
    ck_assert_int_eq(job->attempt.worker, 2);
    run_all(1);
}
END_TEST

START_TEST(each_cause_is_charged_to_its_own_counter_or_to_none)
{
    static const struct {
        enum death_cause cause;
        uint32_t attempt, errors, crashes, lost;
    } CASES[] = {{DEATH_CRASH, 1, 0, 1, 0},
                 {DEATH_LOST, 1, 0, 0, 1},
                 {DEATH_DEADLINE, 1, 1, 0, 0},
                 {DEATH_DRAINED, 0, 0, 0, 0},
                 {DEATH_RECYCLED, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct id id = submitted_job();
        start_next(1);
        die(1, CASES[i].cause, SIGKILL);
        uint64_t ticket = start_next(2);
        ck_assert(id_equal(id_of_ticket(ticket), id));
        assert_row(id, JOB_QUEUED, CASES[i].attempt, CASES[i].errors, CASES[i].crashes, CASES[i].lost);
        succeed(2, ticket);
        assert_nothing_left();
        assert_row(id, JOB_SUCCEEDED, CASES[i].attempt + 1, CASES[i].errors, CASES[i].crashes, CASES[i].lost);
    }
}
END_TEST

START_TEST(crashes_and_losses_have_their_own_limits)
{
    for (int crash = 0; crash < 2; crash++) {
        struct id id = submitted_job();
        uint32_t limit = crash ? 3 : 20;
        for (uint32_t i = 1; i <= limit; i++) {
            start_next(i % WORKER_COUNT);
            die(i % WORKER_COUNT, crash ? DEATH_CRASH : DEATH_LOST, SIGKILL);
            TURN_UNTIL(deaths_acknowledged(i % WORKER_COUNT));
            assert_row(id, i < limit ? JOB_QUEUED : JOB_FAILED, i, 0, crash ? i : 0, crash ? 0 : i);
        }
        assert_nothing_left();
    }
}
END_TEST

START_TEST(a_deadline_uses_up_an_attempt_and_waits_for_the_backoff)
{
    struct id id = submitted_job();
    start_next(1);
    die(1, DEATH_DEADLINE, SIGKILL);
    TURN_UNTIL(all_free());
    JOB_AUTO job = row(id);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_TIMEOUT);
    ck_assert_str_eq(job->attempt.error_code, err_code(ERR_TIMEOUT));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_death_of_an_idle_worker_charges_nobody)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(1);
    die(2, DEATH_LOST, SIGKILL);
    die(3, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(deaths_acknowledged(2) && deaths_acknowledged(3));
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_death_after_done_saves_the_result)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(1);
    char result[5000];
    memset(result, '7', sizeof result);
    end_run(1, ticket, OUTCOME_SUCCESS, result, sizeof result); /* no completion, no post */
    die(1, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(state_of(id) == JOB_SUCCEEDED);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    ck_assert_uint_eq(tray_used(&segment, 1), 0);
}
END_TEST

START_TEST(a_death_that_is_not_reaped_to_the_end_is_not_acted_upon)
{
    submitted_job();
    uint64_t ticket = start_next(1);
    struct death death = {.died_ms = 1, .incarnation = incarnation_of(1), .cause = DEATH_CRASH};
    ck_assert(board_add_death(board_of(1), &death)); /* the incarnation has not been raised yet */
    turns(20);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    ck_assert(!deaths_acknowledged(1));
    atomic_fetch_add(&board_of(1)->incarnation, 1);
    TURN_UNTIL(deaths_acknowledged(1));
    atomic_store(&board_of(1)->run, 0);
    run_all(1);
}
END_TEST

START_TEST(a_slot_is_never_requeued_because_its_worker_seems_dead)
{
    submitted_job();
    uint64_t ticket = start_next(1);
    atomic_store(&board_of(1)->status, WORKER_DYING);
    atomic_store(&board_of(1)->pid, 0);
    turns(150);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    succeed(1, ticket);
    assert_nothing_left();
}
END_TEST

/* --- several deaths --- */

START_TEST(deaths_of_one_worker_are_resolved_in_order_each_with_its_own_job)
{
    struct id ids[DEATHS];
    for (int i = 0; i < DEATHS; i++)
        ids[i] = submitted_job();
    workers_wait(DEATHS);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == DEATHS);
    for (int i = 0; i < DEATHS; i++) { /* the dispatcher looks at none of them meanwhile */
        ck_assert_uint_ne(claim_next(1), 0);
        die(1, i % 2 == 0 ? DEATH_CRASH : DEATH_LOST, SIGKILL);
    }
    ck_assert(board_deaths_full(board_of(1)));
    TURN_UNTIL(deaths_acknowledged(1));
    for (int i = 0; i < DEATHS; i++)
        assert_row(ids[i], JOB_QUEUED, 1, 0, i % 2 == 0, i % 2 != 0);
    for (int i = 0; i < DEATHS; i++) { /* still in the order in which they came */
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(all_workers_may_die_at_once)
{
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        submitted_job();
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        start_next(i);
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        die(i, DEATH_LOST, SIGKILL);
    run_all(WORKER_COUNT);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 3 AND attempt = 2 AND lost = 1"),
                     WORKER_COUNT);
}
END_TEST

START_TEST(incarnations_past_16_bits_make_no_difference)
{
    atomic_store(&board_of(1)->incarnation, 0xffff);
    struct id id = submitted_job();
    start_next(1);
    die(1, DEATH_CRASH, SIGSEGV); /* the next is 0x10000, 0 in a claim word */
    uint64_t ticket = start_next(1);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    ck_assert_uint_eq(slot_claim_load(slot_of_ticket(ticket)).incarnation, 0);
    turns(5);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    die(1, DEATH_CRASH, SIGSEGV);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 3, 0, 2, 0);
}
END_TEST

/* --- trays of the dead --- */

START_TEST(what_dead_workers_left_in_their_tray_does_not_block_the_next)
{
    char result[8000];
    memset(result, '7', sizeof result);
    for (int i = 0; i < 12; i++) {
        uint64_t at, ticket = start_next((submitted_job(), 1));
        board_finish(board_of(1));
        int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
        while (tray_put(&segment, 1, ticket, incarnation_of(1), result, 3000 + (size_t)i * 450, &at) ==
               ERR_FULL) {
            ck_assert_msg(clock_mono_ns() < until, "the tray stays full, in life %d", i);
            turn(); /* as the worker's own loop has it */
        }
        die(1, DEATH_LOST, SIGKILL); /* killed between the tray and DONE */
        TURN_UNTIL(deaths_acknowledged(1));
        succeed(2, start_next(2));
    }
    assert_nothing_left();
    TURN_UNTIL(tray_used(&segment, 1) == 0);
}
END_TEST

/* --- at random --- */

START_TEST(at_random_jobs_end_once_and_never_run_twice_at_the_same_time)
{
    enum { JOBS = 300 };
    static const enum death_cause CAUSES[] = {DEATH_CRASH, DEATH_LOST, DEATH_DRAINED, DEATH_DEADLINE};
    static struct asked asked[JOBS];
    uint64_t tickets[WORKER_COUNT] = {0}, random = (uint64_t)_i + 5;
    int sent = 0;
    config.jobs_max_crashes = 1000;
    int64_t until = clock_mono_ns() + 60 * NS_PER_SEC;
    while (look("SELECT count(*) FROM jobs WHERE state IN (3, 4, 5)") < JOBS) {
        ck_assert(clock_mono_ns() < until);
        for (int step = 0; step < 100; step++) {
            uint32_t worker = next_random(&random) % WORKER_COUNT, dice = next_random(&random) % 10;
            if (sent < JOBS)
                send_job(&asked[sent++], new_job(5, DURABILITY_PROCESS));
            if (dice == 0 && !board_deaths_full(board_of(worker))) {
                die(worker, CAUSES[next_random(&random) % 4], SIGKILL);
                tickets[worker] = 0;
            } else if (tickets[worker] == 0 && (tickets[worker] = claim_next(worker)) != 0) {
                for (uint32_t i = 0; i < WORKER_COUNT; i++)
                    if (i != worker && tickets[i] != 0)
                        ck_assert(!id_equal(id_of_ticket(tickets[i]), id_of_ticket(tickets[worker])));
                begin_run(worker, tickets[worker]);
            } else if (tickets[worker] != 0 && dice < 6) {
                finish_run(worker, tickets[worker], OUTCOME_SUCCESS);
                tickets[worker] = 0;
            }
            turn();
        }
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
    /* every run is on record: counted once, under its own number, and nothing else is */
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE attempt <> errors + crashes + lost + (state = 3)"),
                     0);
    ck_assert_int_eq(look("SELECT sum(attempt - 1) - (SELECT count(*) FROM attempts) FROM jobs"), 0);
}
END_TEST

/* --- tokens --- */

static int tokens(void)
{
    int value;
    ck_assert_int_eq(sem_getvalue(&segment.header->work[0], &value), 0);
    return value;
}

/* The dead one had been woken, or was to wake somebody: its token lies there, and the others sleep on. */
START_TEST(the_token_of_a_dead_worker_does_not_count)
{
    turn(); /* no tokens, no doubt */
    workers_wait(1);
    sem_hint(&segment.header->work[0]);
    die(3, DEATH_LOST, SIGKILL);
    while (tokens() > 1)
        sem_wait(&segment.header->work[0]); /* the supervisor's post woke another one */
    submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_int_ge(tokens(), 2);
    workers_wait(0);
    sem_hint_drain(&segment.header->work[0]);
}
END_TEST

START_TEST(the_token_of_a_dead_front_does_not_count)
{
    sem_hint(&segment.header->work[0]);
    restart();
    workers_wait(1);
    submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_int_ge(tokens(), 2);
}
END_TEST

START_TEST(doubt_ends_when_no_token_is_left)
{
    restart();
    workers_wait(1);
    submitted_job(); /* published with no token there: the doubt is over */
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    turns(3);
    ck_assert_int_eq(tokens(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: deaths");
    TCase *one = tcase_create("one"), *several = tcase_create("several"), *any = tcase_create("random");
    tcase_add_checked_fixture(one, warm_up, rig_down);
    tcase_set_timeout(one, 60);
    tcase_add_test(one, a_crash_is_on_record_before_the_job_runs_again);
    tcase_add_test(one, the_record_of_a_crash_says_what_happened);
    tcase_add_test(one, a_death_between_claim_and_beginning_is_a_run_all_the_same);
    tcase_add_test(one, the_record_of_a_run_that_was_given_back_does_not_leak_into_the_next);
    tcase_add_test(one, each_cause_is_charged_to_its_own_counter_or_to_none);
    tcase_add_test(one, crashes_and_losses_have_their_own_limits);
    tcase_add_test(one, a_deadline_uses_up_an_attempt_and_waits_for_the_backoff);
    tcase_add_test(one, a_death_of_an_idle_worker_charges_nobody);
    tcase_add_test(one, a_death_after_done_saves_the_result);
    tcase_add_test(one, a_death_that_is_not_reaped_to_the_end_is_not_acted_upon);
    tcase_add_test(one, a_slot_is_never_requeued_because_its_worker_seems_dead);
    tcase_add_checked_fixture(several, warm_up, rig_down);
    tcase_set_timeout(several, 60);
    tcase_add_test(several, deaths_of_one_worker_are_resolved_in_order_each_with_its_own_job);
    tcase_add_test(several, all_workers_may_die_at_once);
    tcase_add_test(several, incarnations_past_16_bits_make_no_difference);
    tcase_add_test(several, what_dead_workers_left_in_their_tray_does_not_block_the_next);
    tcase_add_checked_fixture(any, warm_up, rig_down);
    tcase_set_timeout(any, 90);
    tcase_add_loop_test(any, at_random_jobs_end_once_and_never_run_twice_at_the_same_time, 0, 3);
    TCase *lost = tcase_create("tokens");
    tcase_add_checked_fixture(lost, warm_up, rig_down);
    tcase_set_timeout(lost, 60);
    tcase_add_test(lost, the_token_of_a_dead_worker_does_not_count);
    tcase_add_test(lost, the_token_of_a_dead_front_does_not_count);
    tcase_add_test(lost, doubt_ends_when_no_token_is_left);
    suite_add_tcase(suite, lost);
    suite_add_tcase(suite, one);
    suite_add_tcase(suite, several);
    suite_add_tcase(suite, any);
    return run_suite(suite);
}
