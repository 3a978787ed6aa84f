/* Cancels, in every place where a job can be. */
#include "dispatcher_fixture.h"

#include <signal.h>

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

/* Slots stay HELD. */
static void hold_back(bool on)
{
    atomic_store(&segment.header->draining, on ? DRAIN_WORKERS : DRAIN_NONE);
}

static struct id held_job(void)
{
    hold_back(true);
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    return id;
}

static struct id published_job(void)
{
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    return id;
}

static void assert_cancelled_unrun(struct id id)
{
    assert_nothing_left();
    JOB_AUTO job = row(id);
    ck_assert_int_eq(job->state, JOB_CANCELLED);
    ck_assert(job->cancel_requested);
    ck_assert_uint_eq(job->spec.attempt, 0);
    ck_assert_uint_eq(job->attempt.number, 0);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_CANCELLED);
    ck_assert_int_gt(job->attempt.finished_ms, 0);
    ck_assert_int_eq(job->attempt.started_ms, 0);
    hold_back(false);
    turns(3);
    ck_assert_uint_eq(claim_next(0), 0); /* and never runs */
}

static uint64_t wakes(void)
{
    uint64_t count = 0;
    return read(wake_fd, &count, sizeof count) < 0 ? 0 : count;
}

/* --- waiting jobs --- */

START_TEST(a_held_job_is_cancelled)
{
    struct id id = held_job();
    ok(cancel_job(id));
    assert_cancelled_unrun(id);
}
END_TEST

START_TEST(a_published_job_is_cancelled)
{
    struct id id = published_job();
    ok(cancel_job(id));
    assert_cancelled_unrun(id);
}
END_TEST

START_TEST(a_cold_job_is_cancelled)
{
    static struct asked asked[2 * SLOT_COUNT];
    struct id last = {{0}};
    for (int i = 0; i < 2 * SLOT_COUNT; i++)
        last = send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&asked[2 * SLOT_COUNT - 1]));
    turns(20);
    ck_assert_uint_eq(hot_find(&hot, last), HOT_NONE);
    ok(cancel_job(last));
    run_all(2 * SLOT_COUNT - 1);
    assert_cancelled_unrun(last);
}
END_TEST

START_TEST(a_job_that_waits_for_its_retry_is_cancelled)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    struct id id;
    job->spec.retry.initial_ms = job->spec.retry.max_ms = 300;
    ok(submit_job(job, &id));
    finish_run(0, start_next(0), OUTCOME_ERROR);
    TURN_UNTIL(all_free());
    ck_assert_int_eq(state_of(id), JOB_RETRYING);
    ok(cancel_job(id));
    ck_assert_int_eq(state_of(id), JOB_CANCELLED);
    turns(400);
    ck_assert_uint_eq(claim_next(0), 0);
    assert_row(id, JOB_CANCELLED, 1, 1, 0, 0);
    assert_nothing_left();
}
END_TEST

static int heard;

static void on_cancel(struct waiter *waiter, struct job *job)
{
    (void)waiter;
    heard++;
    if (job == NULL) /* then it is read in the store */
        return;
    ck_assert_int_eq(job->state, JOB_CANCELLED);
    ck_assert_uint_eq(job->attempt.number, 0);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_CANCELLED);
    job_free(job);
}

START_TEST(those_who_wait_hear_of_a_cancel_wherever_the_job_was)
{
    for (int published = 0; published < 2; published++) {
        struct id id = published ? published_job() : held_job();
        struct waiter waiter = {.id = id, .notify = on_cancel};
        heard = 0;
        waiters_add(waiters, &waiter);
        ok(cancel_job(id));
        ck_assert_int_eq(heard, 1);
        assert_cancelled_unrun(id);
    }
}
END_TEST

/* --- jobs that run --- */

START_TEST(a_running_job_is_asked_to_stop)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    ck_assert_uint_eq(atomic_load(&board_of(2)->cancel), ticket);
    ck_assert_uint_eq(atomic_load(&slot_of_ticket(ticket)->cancel_requested), 1);
    ck_assert_uint_eq(wakes(), 1);
    finish_run(2, ticket, OUTCOME_CANCELLED);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 0, 0, 0);
    ck_assert_int_eq(cancel_job(id), ERR_ALREADY_FINISHED);
}
END_TEST

/* Cancelled only if it waits. */
static enum err cancel_waiting(struct id id)
{
    struct asked asked;
    struct work *work = work_new(WORK_CANCEL);
    asked = (struct asked){.errand = {.kind = ERRAND_CANCEL, .id = id, .waiting = true, .notify = on_answer}};
    work->errand = &asked.errand;
    work->id = id;
    dispatcher_give(&dispatcher, work);
    TURN_UNTIL(answered(&asked));
    turns(2);
    return asked.errand.err;
}

START_TEST(a_cancel_of_what_waits_leaves_alone_what_runs)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    ck_assert_int_eq(cancel_waiting(id), ERR_NOT_NOW);
    ck_assert_uint_eq(atomic_load(&board_of(2)->cancel), 0);
    ck_assert_uint_eq(atomic_load(&slot_of_ticket(ticket)->cancel_requested), 0);
    ck_assert_uint_eq(wakes(), 0);
    succeed(2, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    ck_assert_int_eq(cancel_waiting(id), ERR_ALREADY_FINISHED);
}
END_TEST

START_TEST(a_cancel_of_what_waits_takes_a_published_job_back)
{
    struct id id = published_job();
    ok(cancel_waiting(id));
    assert_cancelled_unrun(id);
}
END_TEST

START_TEST(a_result_that_came_before_the_stop_stands)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    succeed(2, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_failure_of_a_job_that_was_asked_to_stop_is_not_retried)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    finish_run(2, ticket, OUTCOME_ERROR);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 1, 0, 0);
}
END_TEST

START_TEST(a_crash_of_a_job_that_was_asked_to_stop_is_not_run_again)
{
    struct id id = published_job();
    start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    die(2, DEATH_CRASH, SIGSEGV);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 0, 1, 0);
}
END_TEST

START_TEST(a_job_given_back_uncharged_after_it_was_asked_to_stop_is_cancelled)
{
    struct id id = published_job();
    start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    die(2, DEATH_DRAINED, -1);
    assert_cancelled_unrun(id);
}
END_TEST

START_TEST(a_kill_on_request_is_a_cancelled_attempt)
{
    struct id id = published_job();
    start_next(2);
    ck_assert_int_eq(cancel_job(id), ERR_AGAIN);
    die(2, DEATH_CANCEL, SIGKILL);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 0, 0, 0);
    JOB_AUTO job = row(id);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_CANCELLED);
    ck_assert_uint_eq(job->attempt.number, 1);
}
END_TEST

/* --- jobs between two states --- */

START_TEST(a_cancel_of_a_done_job_waits_for_its_landing)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    struct asked asked;
    succeed(2, ticket);
    send_cancel(&asked, id); /* taken in before the completion is looked at */
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(asked.errand.err, ERR_ALREADY_FINISHED);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_cancel_while_a_failure_lands_cancels_the_retry)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    struct id id;
    job->spec.retry.initial_ms = job->spec.retry.max_ms = 100000;
    ok(submit_job(job, &id));
    uint64_t ticket = start_next(2);
    struct asked asked;
    finish_run(2, ticket, OUTCOME_ERROR);
    turn(); /* on its way to the committer */
    ck_assert_int_eq(dispatcher.cells[ticket_slot(ticket)].place, CELL_LANDING);
    send_cancel(&asked, id);
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(asked.errand.err, ERR_OK);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 1, 0, 0);
}
END_TEST

START_TEST(a_cancel_while_a_crash_lands_cancels_what_would_run_again)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    struct asked asked;
    die(2, DEATH_CRASH, SIGSEGV);
    turn();
    ck_assert_int_eq(dispatcher.cells[ticket_slot(ticket)].place, CELL_LANDING);
    send_cancel(&asked, id);
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(asked.errand.err, ERR_OK);
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 1, 0, 1, 0);
}
END_TEST

START_TEST(a_request_that_comes_between_verdict_and_commit_stops_the_retry)
{
    struct id id = published_job();
    uint64_t ticket = start_next(2);
    finish_run(2, ticket, OUTCOME_ERROR);
    turn();
    ck_assert_int_eq(dispatcher.cells[ticket_slot(ticket)].place, CELL_LANDING);
    atomic_store(&slot_of_ticket(ticket)->cancel_requested, 1);
    TURN_UNTIL(state_of(id) == JOB_CANCELLED);
    assert_nothing_left();
}
END_TEST

START_TEST(each_of_many_requests_for_one_job_is_answered_once)
{
    struct id id = held_job();
    struct asked asked[8];
    for (int i = 0; i < 8; i++)
        send_cancel(&asked[i], id);
    for (int i = 0; i < 8; i++) {
        TURN_UNTIL(answered(&asked[i]));
        ck_assert_int_eq(asked[i].errand.err, ERR_OK);
    }
    turns(5);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(atomic_load(&asked[i].answers), 1);
    assert_cancelled_unrun(id);
    ck_assert_int_eq(cancel_job(id), ERR_ALREADY_FINISHED);
}
END_TEST

START_TEST(an_unknown_job_is_unknown)
{
    ck_assert_int_eq(cancel_job(id_new()), ERR_UNKNOWN_JOB);
}
END_TEST

START_TEST(a_finished_job_has_finished)
{
    struct id id = published_job();
    run_all(1);
    ck_assert_int_eq(cancel_job(id), ERR_ALREADY_FINISHED);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_job_that_is_cancelled_between_its_commit_and_its_slot_does_not_run)
{
    front_dies();
    front_prepare(); /* the test is the committer's clock */
    struct asked submission, asked;
    struct job *job = new_job(5, DURABILITY_PROCESS);
    dispatcher.next_due_ms = INT64_MAX;
    struct id id = send_job(&submission, job);
    send_cancel(&asked, id); /* somebody saw the committed row before the dispatcher was told of it */
    turn();
    ck_assert(!answered(&asked));
    committer_up(); /* submission, then cancel: in one group */
    TURN_UNTIL(answered(&asked));
    ok(asked.errand.err);
    ck_assert_int_eq(state_of(id), JOB_CANCELLED);
    assert_nothing_left();
    ck_assert_uint_eq(claim_next(0), 0);
    JOB_AUTO stored = row(id);
    ck_assert_uint_eq(stored->spec.attempt, 0);
}
END_TEST

START_TEST(a_cancel_during_a_load_is_answered_after_it)
{
    static struct asked asked[2 * SLOT_COUNT];
    struct id ids[2 * SLOT_COUNT];
    struct asked cancels[2 * SLOT_COUNT];
    for (int i = 0; i < 2 * SLOT_COUNT; i++)
        ids[i] = send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&asked[2 * SLOT_COUNT - 1]));
    restart(); /* every lane is cold: the first turn loads */
    turn();
    ck_assert_uint_gt(dispatcher.loads_running, 0);
    for (int i = 0; i < 2 * SLOT_COUNT; i++)
        send_cancel(&cancels[i], ids[i]);
    for (int i = 0; i < 2 * SLOT_COUNT; i++) {
        TURN_UNTIL(answered(&cancels[i]));
        ck_assert_int_eq(cancels[i].errand.err, ERR_OK);
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 5 AND attempt = 0"), 2 * SLOT_COUNT);
}
END_TEST

START_TEST(at_random_a_job_that_was_cancelled_never_runs_afterwards)
{
    enum { JOBS = 400 };
    static struct asked asked[JOBS], cancels[JOBS];
    static struct id ids[JOBS];
    static bool cancelling[JOBS], running[WORKER_COUNT];
    uint64_t tickets[WORKER_COUNT], random = 77;
    int sent = 0;
    int64_t until = clock_mono_ns() + 60 * NS_PER_SEC;
    while (look("SELECT count(*) FROM jobs WHERE state IN (3, 4, 5)") < JOBS) {
        ck_assert(clock_mono_ns() < until);
        for (int step = 0; step < 100; step++) {
            uint32_t worker = next_random(&random) % WORKER_COUNT;
            if (sent < JOBS)
                ids[sent] = send_job(&asked[sent], new_job(5, DURABILITY_PROCESS)), sent++;
            int which = (int)(next_random(&random) % (uint32_t)sent);
            if (next_random(&random) % 3 == 0 && !cancelling[which] && answered(&asked[which])) {
                cancelling[which] = true;
                send_cancel(&cancels[which], ids[which]);
            }
            if (!running[worker]) {
                running[worker] = (tickets[worker] = claim_next(worker)) != 0;
                for (int i = 0; running[worker] && i < sent;
                     i++) /* answered OK before its claim: must not be */
                    if (cancelling[i] && answered(&cancels[i]) && cancels[i].errand.err == ERR_OK)
                        ck_assert(!id_equal(ids[i], id_of_ticket(tickets[worker])));
                if (running[worker])
                    begin_run(worker, tickets[worker]);
            } else if (next_random(&random) % 2 == 0) {
                finish_run(worker, tickets[worker],
                           next_random(&random) % 4 ? OUTCOME_SUCCESS : OUTCOME_ERROR);
                running[worker] = false;
            }
            turn();
        }
    }
    for (int i = 0; i < JOBS; i++)
        if (cancelling[i])
            TURN_UNTIL(answered(&cancels[i]));
    for (int i = 0; i < JOBS; i++) {
        ck_assert_int_eq(atomic_load(&asked[i].answers), 1);
        if (cancelling[i] && cancels[i].errand.err == ERR_OK)
            ck_assert_int_eq(state_of(ids[i]), JOB_CANCELLED);
    }
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: cancels");
    TCase *waiting = tcase_create("waiting"), *running = tcase_create("running"),
          *between = tcase_create("between");
    tcase_add_checked_fixture(waiting, warm_up, rig_down);
    tcase_set_timeout(waiting, 60);
    tcase_add_test(waiting, a_held_job_is_cancelled);
    tcase_add_test(waiting, a_published_job_is_cancelled);
    tcase_add_test(waiting, a_cold_job_is_cancelled);
    tcase_add_test(waiting, a_job_that_waits_for_its_retry_is_cancelled);
    tcase_add_test(waiting, those_who_wait_hear_of_a_cancel_wherever_the_job_was);
    tcase_add_checked_fixture(running, warm_up, rig_down);
    tcase_set_timeout(running, 60);
    tcase_add_test(running, a_running_job_is_asked_to_stop);
    tcase_add_test(running, a_cancel_of_what_waits_leaves_alone_what_runs);
    tcase_add_test(running, a_cancel_of_what_waits_takes_a_published_job_back);
    tcase_add_test(running, a_result_that_came_before_the_stop_stands);
    tcase_add_test(running, a_failure_of_a_job_that_was_asked_to_stop_is_not_retried);
    tcase_add_test(running, a_crash_of_a_job_that_was_asked_to_stop_is_not_run_again);
    tcase_add_test(running, a_job_given_back_uncharged_after_it_was_asked_to_stop_is_cancelled);
    tcase_add_test(running, a_kill_on_request_is_a_cancelled_attempt);
    tcase_add_checked_fixture(between, warm_up, rig_down);
    tcase_set_timeout(between, 90);
    tcase_add_test(between, a_cancel_of_a_done_job_waits_for_its_landing);
    tcase_add_test(between, a_cancel_while_a_failure_lands_cancels_the_retry);
    tcase_add_test(between, a_cancel_while_a_crash_lands_cancels_what_would_run_again);
    tcase_add_test(between, a_request_that_comes_between_verdict_and_commit_stops_the_retry);
    tcase_add_test(between, each_of_many_requests_for_one_job_is_answered_once);
    tcase_add_test(between, an_unknown_job_is_unknown);
    tcase_add_test(between, a_finished_job_has_finished);
    tcase_add_test(between, a_job_that_is_cancelled_between_its_commit_and_its_slot_does_not_run);
    tcase_add_test(between, a_cancel_during_a_load_is_answered_after_it);
    tcase_add_test(between, at_random_a_job_that_was_cancelled_never_runs_afterwards);
    suite_add_tcase(suite, waiting);
    suite_add_tcase(suite, running);
    suite_add_tcase(suite, between);
    return run_suite(suite);
}
