/* The dispatcher: the way of a job there and back, and the order in which jobs go. */
#include "dispatcher_fixture.h"

/* --- there --- */

START_TEST(a_submitted_job_is_stored_answered_and_published)
{
    struct id id = submitted_job();
    assert_row(id, JOB_QUEUED, 0, 0, 0, 0);
    uint64_t ticket = start_next(1);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    struct text args;
    ok(slot_args(&segment, slot_of_ticket(ticket), &args));
    ck_assert_uint_eq(args.bytes, 7);
    ck_assert_mem_eq(args.at, "[1,2,3]", 7);
    ck_assert_uint_eq(hot_find(&hot, id), ticket_slot(ticket));
    ck_assert_uint_eq(claim_next(2), 0); /* once */
    succeed(1, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_submission_without_arguments_is_fine)
{
    struct job *job = new_job(5, DURABILITY_FULL);
    struct id id;
    job->args = (struct text){NULL, 0};
    ok(submit_job(job, &id));
    run_all(1);
    ck_assert_int_eq(state_of(id), JOB_SUCCEEDED);
}
END_TEST

START_TEST(jobs_go_by_priority_and_then_by_submission)
{
    static const uint8_t PRIORITIES[] = {5, 0, 9, 5, 9, 0, 3};
    static const int ORDER[] = {2, 4, 0, 3, 6, 1, 5};
    struct id ids[7];
    atomic_store(&segment.header->draining, DRAIN_WORKERS); /* published together */
    for (int i = 0; i < 7; i++)
        ids[i] = submitted_at(PRIORITIES[i]);
    turns(5);
    ck_assert_uint_eq(claim_next(0), 0);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    for (int i = 0; i < 7; i++) {
        uint64_t ticket = start_next(0);
        ck_assert_msg(id_equal(id_of_ticket(ticket), ids[ORDER[i]]), "place %d", i);
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(a_waiting_worker_gets_a_token)
{
    sem_t *work = &segment.header->work[0];
    atomic_store(&board_of(2)->waiting, 1);
    submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_int_eq(sem_trywait(work), 0);
    turn(); /* it was killed between waking and claiming: the job is still there, so is a token */
    ck_assert_int_eq(sem_trywait(work), 0);
    run_all(1);
}
END_TEST

START_TEST(a_drain_publishes_nothing_and_loses_nothing)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    struct id id = submitted_job();
    turns(10);
    ck_assert_uint_eq(slots_in(SLOT_QUEUED), 0);
    assert_row(id, JOB_QUEUED, 0, 0, 0, 0);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    run_all(1);
}
END_TEST

START_TEST(a_slot_never_shows_one_generation_for_two_jobs)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS); /* never published, which would raise it */
    uint32_t seen[50];
    for (int i = 0; i < 50; i++) {
        struct id id = submitted_job();
        TURN_UNTIL(hot_find(&hot, id) != HOT_NONE);
        uint32_t slot = hot_find(&hot, id);
        seen[i] = slot_claim_load(&segment.slots[slot]).generation;
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(seen[i], seen[k]); /* the slot is the same: it was freed last */
        ok(cancel_job(id));
    }
}
END_TEST

START_TEST(a_job_of_an_earlier_life_asks_for_no_catalogue_of_the_future)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    struct id id;
    atomic_store(&segment.header->catalogue_epoch, 7);
    job->spec.epoch = 7;
    ok(submit_job(job, &id));
    everything_dies(); /* catalogues count from 1 again */
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    ck_assert_uint_le(slot_of_ticket(ticket)->spec.epoch, 1);
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

/* --- and back --- */

static struct job *finished;
static int notified;

static void on_end(struct waiter *waiter, struct job *job)
{
    (void)waiter;
    notified++;
    finished = job;
}

static struct waiter wait_for_end(struct id id)
{
    notified = 0;
    finished = NULL;
    return (struct waiter){.id = id, .notify = on_end};
}

START_TEST(a_result_lands_in_its_row_and_with_those_who_wait)
{
    struct id id = submitted_job();
    struct waiter waiter = wait_for_end(id);
    waiters_add(waiters, &waiter);
    uint64_t ticket = start_next(3);
    turns(3);
    ck_assert_int_eq(notified, 0);
    succeed(3, ticket);
    TURN_UNTIL(notified == 1);
    ck_assert_int_eq(finished->state, JOB_SUCCEEDED);
    ck_assert_mem_eq(finished->result.at, "42", 2);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
    JOB_AUTO stored = row(id);
    ck_assert_uint_eq(stored->result.bytes, 2);
    ck_assert_mem_eq(stored->result.at, "42", 2);
    ck_assert_int_eq(stored->attempt.worker, 3);
    ck_assert_int_eq(stored->attempt.outcome, OUTCOME_SUCCESS);
    assert_nothing_left();
    ck_assert_mem_eq(finished->args.at, "[1,2,3]", 7); /* its own: the slot is gone */
    ck_assert_int_eq(notified, 1);
    job_free(finished);
}
END_TEST

START_TEST(a_done_slot_reads_as_running_until_its_commit)
{
    struct job *job;
    front_dies();
    front_prepare(); /* nothing is committed */
    struct job *mine = new_job(5, DURABILITY_MEMORY);
    mine->spec.seq = 1;
    struct work *work = work_new(WORK_SUBMIT);
    struct asked asked = {.errand = {.notify = on_answer}};
    work->errand = &asked.errand;
    work->job = mine;
    struct id id = mine->spec.id;
    dispatcher_give(&dispatcher, work);
    turn();
    uint64_t ticket = start_next(0);
    succeed(0, ticket);
    turns(5);
    ok(slot_copy(&segment, ticket_slot(ticket), id, &job));
    ck_assert_int_eq(job->state, JOB_RUNNING);
    job_free(job);
    ck_assert(!in_store(id));
    committer_up();
    assert_nothing_left();
    ck_assert_int_eq(state_of(id), JOB_SUCCEEDED);
}
END_TEST

START_TEST(a_completion_is_only_a_hint)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    end_run(0, ticket, OUTCOME_SUCCESS, "1", 1); /* killed before its completion: nothing is said */
    TURN_UNTIL(state_of(id) == JOB_SUCCEEDED);
    assert_nothing_left();
}
END_TEST

START_TEST(completions_of_earlier_jobs_and_repeated_ones_do_no_harm)
{
    uint64_t ticket = start_next((submitted_job(), 0));
    succeed(0, ticket);
    board_complete(board_of(0), ticket);
    board_complete(board_of(0), ticket_pack(ticket_slot(ticket), ticket_generation(ticket) + 9));
    board_complete(board_of(0), ticket_pack(SLOT_COUNT - 1, 1));
    assert_nothing_left();
    struct id next = submitted_job();
    ticket = start_next(1);
    board_complete(board_of(0), ticket); /* while it runs */
    turns(5);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(next, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_large_result_goes_through_the_tray_which_is_empty_afterwards)
{
    char result[6000];
    memset(result, '1', sizeof result);
    for (int i = 0; i < 40; i++) {
        struct id id = submitted_job();
        uint64_t ticket = start_next(2);
        end_run(2, ticket, OUTCOME_SUCCESS, result, sizeof result);
        board_complete(board_of(2), ticket);
        TURN_UNTIL(state_of(id) == JOB_SUCCEEDED);
        JOB_AUTO job = row(id);
        ck_assert_uint_eq(job->result.bytes, sizeof result);
        ck_assert_mem_eq(job->result.at, result, sizeof result);
        assert_nothing_left();
        ck_assert_uint_eq(tray_used(&segment, 2), 0);
    }
}
END_TEST

START_TEST(a_failure_goes_to_the_store_and_comes_back_when_it_is_due)
{
    struct id id = submitted_job();
    JOB_AUTO before = row(id);
    finish_run(0, start_next(0), OUTCOME_ERROR);
    TURN_UNTIL(all_free());
    struct job *waiting = row(id);
    if (waiting->state == JOB_RETRYING) /* it may be due already */
        ck_assert_int_gt(waiting->spec.run_at_ms, 0);
    job_free(waiting);
    uint64_t ticket = start_next(1);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    ck_assert_uint_eq(slot_of_ticket(ticket)->spec.attempt, 1);
    ck_assert_uint_eq(slot_of_ticket(ticket)->spec.errors, 1);
    ck_assert_int_gt(slot_of_ticket(ticket)->spec.seq,
                     before->spec.seq); /* behind those that came meanwhile */
    succeed(1, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
    struct attempt *attempts;
    size_t count;
    ok(store_attempts(reader, id, &attempts, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(attempts[0].outcome, OUTCOME_ERROR);
    ck_assert_int_eq(attempts[1].outcome, OUTCOME_SUCCESS);
    free(attempts);
}
END_TEST

START_TEST(the_last_failure_ends_a_job_and_those_who_wait_hear_of_that_one_alone)
{
    struct id id = submitted_job();
    struct waiter waiter = wait_for_end(id);
    waiters_add(waiters, &waiter);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(notified, 0);
        finish_run(0, start_next(0), OUTCOME_ERROR);
    }
    TURN_UNTIL(notified == 1);
    ck_assert_int_eq(finished->state, JOB_FAILED);
    job_free(finished);
    assert_row(id, JOB_FAILED, 3, 3, 0, 0);
    assert_nothing_left();
}
END_TEST

START_TEST(a_retry_waits_its_time)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    struct id id;
    job->spec.retry.initial_ms = job->spec.retry.max_ms = 300;
    ok(submit_job(job, &id));
    finish_run(0, start_next(0), OUTCOME_ERROR);
    int64_t failed_ms = clock_real_ms();
    uint64_t ticket = start_next(0);
    int64_t waited = clock_real_ms() - failed_ms;
    ck_assert_int_ge(waited, 298);
    ck_assert_int_lt(waited, 5000);
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(many_retries_come_back_in_the_order_in_which_they_are_due)
{
    struct id ids[10];
    for (int i = 0; i < 10; i++) {
        struct job *job = new_job(5, DURABILITY_PROCESS);
        job->spec.retry.initial_ms = job->spec.retry.max_ms = 700 - 50 * i;
        ok(submit_job(job, &ids[i]));
    }
    for (int i = 0; i < 10; i++)
        finish_run(0, start_next(0), OUTCOME_ERROR);
    for (int i = 9; i >= 0; i--) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(a_timeout_is_retried_like_an_error)
{
    struct id id = submitted_job();
    finish_run(0, start_next(0), OUTCOME_TIMEOUT);
    succeed(0, start_next(0));
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(many_workers_at_random_and_every_job_is_on_record_once)
{
    enum { JOBS = 600 };
    uint64_t tickets[WORKER_COUNT] = {0}, random = 4;
    int sent = 0;
    struct asked *asked = calloc(JOBS, sizeof *asked);
    int64_t until = clock_mono_ns() + 60 * NS_PER_SEC;
    while (look("SELECT count(*) FROM jobs WHERE state IN (3, 4)") < JOBS) {
        ck_assert(clock_mono_ns() < until);
        for (int step = 0; step < 200; step++) {
            uint32_t worker = next_random(&random) % WORKER_COUNT;
            if (sent < JOBS && next_random(&random) % 2 == 0)
                send_job(&asked[sent++], new_job((uint8_t)(next_random(&random) % 10), DURABILITY_PROCESS));
            if (tickets[worker] == 0 && (tickets[worker] = claim_next(worker)) != 0)
                begin_run(worker, tickets[worker]);
            else if (tickets[worker] != 0 && next_random(&random) % 2 == 0) {
                finish_run(worker, tickets[worker],
                           next_random(&random) % 8 ? OUTCOME_SUCCESS : OUTCOME_ERROR);
                tickets[worker] = 0;
            }
            turn();
        }
    }
    for (int i = 0; i < JOBS; i++)
        ck_assert_int_eq(atomic_load(&asked[i].answers), 1);
    free(asked);
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE attempt <> errors + (state = 3)"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher");
    TCase *there = tcase_create("there"), *back = tcase_create("back");
    tcase_add_checked_fixture(there, rig_up, rig_down);
    tcase_set_timeout(there, 60);
    tcase_add_test(there, a_submitted_job_is_stored_answered_and_published);
    tcase_add_test(there, a_submission_without_arguments_is_fine);
    tcase_add_test(there, jobs_go_by_priority_and_then_by_submission);
    tcase_add_test(there, a_waiting_worker_gets_a_token);
    tcase_add_test(there, a_drain_publishes_nothing_and_loses_nothing);
    tcase_add_test(there, a_slot_never_shows_one_generation_for_two_jobs);
    tcase_add_test(there, a_job_of_an_earlier_life_asks_for_no_catalogue_of_the_future);
    tcase_add_checked_fixture(back, rig_up, rig_down);
    tcase_set_timeout(back, 90);
    tcase_add_test(back, a_result_lands_in_its_row_and_with_those_who_wait);
    tcase_add_test(back, a_done_slot_reads_as_running_until_its_commit);
    tcase_add_test(back, a_completion_is_only_a_hint);
    tcase_add_test(back, completions_of_earlier_jobs_and_repeated_ones_do_no_harm);
    tcase_add_test(back, a_large_result_goes_through_the_tray_which_is_empty_afterwards);
    tcase_add_test(back, a_failure_goes_to_the_store_and_comes_back_when_it_is_due);
    tcase_add_test(back, the_last_failure_ends_a_job_and_those_who_wait_hear_of_that_one_alone);
    tcase_add_test(back, a_retry_waits_its_time);
    tcase_add_test(back, many_retries_come_back_in_the_order_in_which_they_are_due);
    tcase_add_test(back, a_timeout_is_retried_like_an_error);
    tcase_add_test(back, many_workers_at_random_and_every_job_is_on_record_once);
    suite_add_tcase(suite, there);
    suite_add_tcase(suite, back);
    return run_suite(suite);
}
