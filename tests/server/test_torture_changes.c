/* The checker of `forkpool torture`, on what is asked of jobs that are there, and on what the server holds
 * over time. */
#include "torture_fixture.h"

/* A perishable job that should start by then, by a clock of which `now` is now. */
static struct job *perishable(int64_t expires_ms)
{
    struct job *job = make_job("q", "torture");
    torture_key(1, job->spec.idempotency_key);
    job->spec.priority = PRIORITY_COUNT - 1;
    job->spec.fingerprint = job->spec.id;
    job->spec.expires_ms = expires_ms;
    submit(job);
    asked(1, "perishable", "any", "-");
    acked(1, job->spec.id);
    return job;
}

static void expire(struct job *job, int64_t at_ms)
{
    run_ended(job, JOB_FAILED, OUTCOME_ERROR);
    attempt_expire(&job->attempt, job->spec.expires_ms);
    job->attempt.finished_ms = at_ms;
    ck_assert(land(job, 0));
    job_free(job);
}

START_TEST(a_job_that_expires_when_its_time_has_come_is_in_order)
{
    int64_t now = clock_real_ms();
    expire(perishable(now + 100), now + 100);
    passes();
}
END_TEST

START_TEST(one_that_expires_before_its_time_is_wrong)
{
    int64_t now = clock_real_ms();
    expire(perishable(now + 100), now + 99);
    is_found(FAULT_EXPIRY);
}
END_TEST

START_TEST(one_that_expires_and_was_not_to_is_wrong)
{
    struct job *job = waiting(1);
    asked(1, "hopeless", "failed", "-");
    acked(1, job->spec.id);
    expire(job, clock_real_ms());
    is_found(FAULT_EXPIRY);
}
END_TEST

/* Its attempt of that number, after its time. */
static void start_late(unsigned number, int64_t late_ms)
{
    struct job *job = perishable(clock_real_ms() - 10000);
    run_ended(job, JOB_CANCELLED, OUTCOME_CANCELLED);
    job->attempt.started_ms = job->spec.expires_ms + late_ms;
    job->attempt.number = number;
    ck_assert(land(job, job->spec.attempt - 1));
    job_free(job);
}

START_TEST(one_that_is_started_after_its_time_is_wrong)
{
    start_late(1, 1100);
    is_found(FAULT_EXPIRY);
}
END_TEST

START_TEST(one_that_began_in_time_may_have_further_attempts)
{
    start_late(2, 1100);
    passes();
}
END_TEST

START_TEST(one_that_was_handed_out_in_time_may_start_a_little_later)
{
    start_late(1, 900);
    passes();
}
END_TEST

START_TEST(a_change_that_was_acknowledged_and_is_in_the_row_is_in_order)
{
    good(1);
    write_line("client.log", "change 3 1 2\nunknown 4 1\nchange 5 1 2\nchanged 6 1 200\n");
    change_file("DROP TRIGGER witness_update; UPDATE jobs SET priority = 2");
    passes();
}
END_TEST

START_TEST(a_change_that_was_refused_is_in_no_row)
{
    good(1);
    write_line("client.log", "change 3 1 2\nchanged 6 1 409\n");
    passes();
}
END_TEST

START_TEST(a_change_that_was_acknowledged_and_is_not_in_the_row_is_lost)
{
    good(1);
    write_line("client.log", "change 3 1 2\nchanged 6 1 200\n");
    is_found(FAULT_CHANGE);
}
END_TEST

START_TEST(a_change_that_nobody_asked_for_is_found)
{
    good(1);
    change_file("DROP TRIGGER witness_update; UPDATE jobs SET priority = 2");
    is_found(FAULT_CHANGE);
}
END_TEST

/* Asked to run again at 50 ms; the row says that it was, so often; its second result. */
static void run_again(unsigned times, const char *nonce)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "rerun", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    wrote("end", id, 1, strcmp(nonce, "bb") == 0 ? "aa" : "bb", 20);
    write_line("client.log", "retry 50000000 1\nretried 51000000 1 202\n");
    wrote("start", id, 1, nonce, 60);
    wrote("end", id, 1, nonce, 70);
    for (unsigned i = 0; i < times; i++)
        change_file("INSERT INTO witness (id_key, id_random, before, after) SELECT id_key, id_random, 3, 0 "
                    "FROM jobs");
}

START_TEST(a_job_that_is_run_again_on_request_is_in_order)
{
    run_again(1, "bb");
    passes();
}
END_TEST

START_TEST(a_retry_that_was_acknowledged_and_is_not_in_the_store_is_lost)
{
    run_again(0, "bb");
    is_found(FAULT_AGAIN);
}
END_TEST

START_TEST(a_retry_that_was_acknowledged_and_never_started_is_lost)
{
    struct id id = ended(waiting(1), JOB_FAILED, "");
    asked(1, "revived", "failed", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    wrote("fail", id, 1, "aa", 20);
    write_line("client.log", "retry 50000000 1\nretried 51000000 1 202\n");
    change_file(
        "INSERT INTO witness (id_key, id_random, before, after) SELECT id_key, id_random, 4, 0 FROM jobs");
    is_found(FAULT_AGAIN);
}
END_TEST

START_TEST(a_job_that_is_run_again_more_often_than_asked_for_is_a_changed_record)
{
    run_again(2, "bb");
    is_found(FAULT_CHANGED);
}
END_TEST

START_TEST(a_retry_without_an_answer_may_have_run_it_again)
{
    run_again(2, "bb");
    write_line("client.log", "retry 52000000 1\n");
    passes();
}
END_TEST

START_TEST(a_retry_that_was_refused_may_not_run_it_again)
{
    run_again(2, "bb");
    write_line("client.log", "retry 52000000 1\nretried 53000000 1 409\n");
    is_found(FAULT_CHANGED);
}
END_TEST

START_TEST(the_result_of_the_run_before_a_retry_is_unproved)
{
    run_again(1, "cc");
    is_found(FAULT_NONCE);
}
END_TEST

/* A request of two lines, the second of which waits for the first, at 30 ms. */
static void bulk(int end, int start)
{
    struct id first = ended(waiting(1), JOB_SUCCEEDED, "\"aa\""),
              second = ended(waiting(2), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "batched", "succeeded", "-");
    asked(2, "follower", "succeeded", "-");
    write_line("client.log", "bulk 1 1 2\n");
    acked(1, first);
    acked(2, second);
    wrote("start", first, 1, "aa", 10);
    if (end < start)
        wrote("end", first, 1, "aa", end);
    wrote("start", second, 2, "bb", start);
    if (end > start)
        wrote("end", first, 1, "aa", end);
    wrote("end", second, 2, "bb", 90);
}

START_TEST(a_bulk_request_whose_last_line_runs_behind_the_others_is_in_order)
{
    bulk(20, 30);
    passes();
}
END_TEST

START_TEST(a_follower_that_starts_before_the_end_of_its_batch_is_too_early)
{
    bulk(40, 30);
    is_found(FAULT_EARLY);
}
END_TEST

START_TEST(a_bulk_request_of_which_a_part_is_stored_is_torn)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"aa\"");
    wrote("start", id, 1, "aa", 10);
    wrote("end", id, 1, "aa", 20);
    asked(1, "batched", "succeeded", "-");
    asked(2, "batched", "succeeded", "-");
    write_line("client.log", "bulk 1 1 2\nunknown 1 1\n");
    is_found(FAULT_PART);
}
END_TEST

START_TEST(a_bulk_request_of_which_nothing_is_stored_and_nothing_acknowledged_is_in_order)
{
    asked(1, "batched", "succeeded", "-");
    asked(2, "batched", "succeeded", "-");
    write_line("client.log", "bulk 1 1 2\nunknown 1 1\n");
    passes();
}
END_TEST

/* A job of the queue that was paused from 1000 to 2000, which began then. */
static void began(int64_t started_ms)
{
    struct job *job = make_job(TORTURE_QUEUE, "torture");
    torture_key(1, job->spec.idempotency_key);
    job->spec.priority = PRIORITY_COUNT - 1;
    job->spec.fingerprint = job->spec.id;
    submit(job);
    asked(1, "pausable", "any", "-");
    acked(1, job->spec.id);
    write_line("client.log", "paused 5 1000\nresume 6 2000\nresume 7 2100\n");
    run_ended(job, JOB_CANCELLED, OUTCOME_CANCELLED);
    job->attempt.started_ms = started_ms;
    ck_assert(land(job, 0));
    job_free(job);
}

START_TEST(a_job_that_began_before_a_pause_or_after_it_is_in_order)
{
    began(_i == 0 ? 1000 : 2000);
    passes();
}
END_TEST

START_TEST(a_job_that_began_while_its_queue_was_paused_is_found)
{
    began(1001);
    is_found(FAULT_PAUSE);
}
END_TEST

/* A job made for that second, which runs from one millisecond to the other. */
static void tick(int second, int from, int to)
{
    struct job *job = make_job("torture-skip", "torture");
    job->spec.scheduled_ms = second * 1000;
    submit(job);
    struct id id = ended(job, JOB_SUCCEEDED, "\"aa\"");
    wrote("start", id, 0, "aa", from);
    wrote("end", id, 0, "aa", to);
}

static void says(int64_t made, int64_t skipped)
{
    begin();
    ok(store_schedule_put(store,
                          &(struct store_schedule){
                              .name = "torture-skip", .body = {"{}", 2}, .made = made, .skipped = skipped}));
    ok(store_commit(store));
}

START_TEST(times_that_became_jobs_or_are_counted_as_skipped_are_in_order)
{
    tick(10, 10, 20);
    tick(13, 30, 40);
    says(2, 2);
    passes();
}
END_TEST

START_TEST(a_time_that_is_not_accounted_for_is_found)
{
    tick(10, 10, 20);
    tick(13, 30, 40);
    says(2, 1);
    is_found(FAULT_SCHEDULE);
}
END_TEST

START_TEST(a_time_that_became_a_job_that_is_not_there_is_found)
{
    tick(10, 10, 20);
    says(2, 0);
    is_found(FAULT_SCHEDULE);
}
END_TEST

START_TEST(two_jobs_for_one_time_are_found)
{
    tick(10, 10, 20);
    tick(10, 30, 40);
    says(2, 0);
    is_found(FAULT_SCHEDULE);
}
END_TEST

START_TEST(a_job_of_a_schedule_that_begins_before_the_last_one_has_ended_is_found)
{
    struct id ids[2];
    for (int i = 0; i < 2; i++) {
        struct job *job = make_job("torture-skip", "torture");
        job->spec.scheduled_ms = (i + 1) * 1000;
        submit(job);
        ids[i] = ended(job, JOB_SUCCEEDED, "\"aa\"");
        wrote("start", ids[i], 0, "aa", 10 + i);
    }
    wrote("end", ids[0], 0, "aa", 20);
    wrote("end", ids[1], 0, "aa", 30);
    says(2, 0);
    is_found(FAULT_SCHEDULE);
}
END_TEST

START_TEST(jobs_of_a_schedule_that_is_gone_are_found)
{
    tick(10, 10, 20);
    is_found(FAULT_SCHEDULE);
}
END_TEST

START_TEST(a_job_of_a_schedule_that_did_not_succeed_has_ended_wrong)
{
    struct job *job = make_job("torture-skip", "torture");
    submit(job);
    ended(job, JOB_FAILED, "");
    says(1, 0);
    is_found(FAULT_END);
}
END_TEST

/* Two hundred samples in which one gauge is first that, later this. */
static void sampled(enum torture_gauge grows, int64_t first, int64_t later)
{
    write_line("samples.csv", "seconds,front_fds\n");
    for (int i = 0; i < 200; i++) {
        write_line("samples.csv", "%d.0", i);
        for (int gauge = 0; gauge < GAUGE_COUNT; gauge++)
            write_line("samples.csv", ",%lld",
                       (long long)(gauge != (int)grows ? 7
                                   : i < 100           ? first
                                                       : later));
        write_line("samples.csv", "\n");
    }
}

START_TEST(what_is_flat_over_time_is_in_order)
{
    sampled(GAUGE_FRONT_FDS, 60, 68);
    passes();
    ck_assert_uint_eq(verdict.samples, 200);
    ck_assert_int_eq(verdict.over_time[GAUGE_FRONT_FDS][1], 60);
    ck_assert_int_eq(verdict.over_time[GAUGE_FRONT_FDS][TENTHS - 1], 68);
}
END_TEST

START_TEST(a_store_that_holds_more_jobs_may_grow)
{
    sampled(GAUGE_STORE, 1 << 20, 1 << 30);
    passes();
}
END_TEST

START_TEST(samples_of_what_was_down_count_for_nothing)
{
    sampled(GAUGE_FRONT_FDS, -1, 68);
    passes();
}
END_TEST

START_TEST(each_gauge_that_grows_over_time_is_found)
{
    static const struct {
        enum torture_gauge gauge;
        int64_t first, later;
    } GROWN[] = {{GAUGE_FRONT_FDS, 60, 69},
                 {GAUGE_SUPERVISOR_FDS, 12, 21},
                 {GAUGE_FRONT_RSS, 10 << 20, 60 << 20},
                 {GAUGE_SUPERVISOR_RSS, 6 << 20, 60 << 20},
                 {GAUGE_WORKER_RSS, 4 << 20, 60 << 20},
                 {GAUGE_WAL, 4 << 20, 130 << 20},
                 {GAUGE_SLOTS, 64, 65},
                 {GAUGE_ROW, 600, 1500},
                 {GAUGE_SPARE, 0, 5},
                 {GAUGE_FRONT_OWN, 8 << 20, 30 << 20},
                 {GAUGE_ASTRAY, 0, 5000}};
    sampled(GROWN[_i].gauge, GROWN[_i].first, GROWN[_i].later);
    is_found(FAULT_GROWN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_changes");
    TCase *order = tcase_create("in order"), *planted = tcase_create("planted");
    tcase_add_checked_fixture(order, make_evidence, remove_evidence);
    tcase_add_test(order, what_is_flat_over_time_is_in_order);
    tcase_add_test(order, a_store_that_holds_more_jobs_may_grow);
    tcase_add_test(order, samples_of_what_was_down_count_for_nothing);
    tcase_add_test(order, a_job_that_expires_when_its_time_has_come_is_in_order);
    tcase_add_test(order, a_change_that_was_acknowledged_and_is_in_the_row_is_in_order);
    tcase_add_test(order, a_change_that_was_refused_is_in_no_row);
    tcase_add_test(order, a_job_that_is_run_again_on_request_is_in_order);
    tcase_add_test(order, a_retry_without_an_answer_may_have_run_it_again);
    tcase_add_test(order, a_bulk_request_whose_last_line_runs_behind_the_others_is_in_order);
    tcase_add_test(order, a_bulk_request_of_which_nothing_is_stored_and_nothing_acknowledged_is_in_order);
    tcase_add_test(order, times_that_became_jobs_or_are_counted_as_skipped_are_in_order);
    tcase_add_loop_test(order, a_job_that_began_before_a_pause_or_after_it_is_in_order, 0, 2);
    tcase_add_test(order, one_that_began_in_time_may_have_further_attempts);
    tcase_add_test(order, one_that_was_handed_out_in_time_may_start_a_little_later);
    tcase_add_checked_fixture(planted, make_evidence, remove_evidence);
    tcase_add_test(planted, one_that_expires_before_its_time_is_wrong);
    tcase_add_test(planted, one_that_expires_and_was_not_to_is_wrong);
    tcase_add_test(planted, one_that_is_started_after_its_time_is_wrong);
    tcase_add_test(planted, a_change_that_was_acknowledged_and_is_not_in_the_row_is_lost);
    tcase_add_test(planted, a_change_that_nobody_asked_for_is_found);
    tcase_add_test(planted, a_retry_that_was_acknowledged_and_is_not_in_the_store_is_lost);
    tcase_add_test(planted, a_retry_that_was_acknowledged_and_never_started_is_lost);
    tcase_add_test(planted, a_job_that_is_run_again_more_often_than_asked_for_is_a_changed_record);
    tcase_add_test(planted, a_retry_that_was_refused_may_not_run_it_again);
    tcase_add_test(planted, the_result_of_the_run_before_a_retry_is_unproved);
    tcase_add_test(planted, a_follower_that_starts_before_the_end_of_its_batch_is_too_early);
    tcase_add_test(planted, a_bulk_request_of_which_a_part_is_stored_is_torn);
    tcase_add_test(planted, a_time_that_is_not_accounted_for_is_found);
    tcase_add_test(planted, a_time_that_became_a_job_that_is_not_there_is_found);
    tcase_add_test(planted, two_jobs_for_one_time_are_found);
    tcase_add_test(planted, a_job_of_a_schedule_that_begins_before_the_last_one_has_ended_is_found);
    tcase_add_test(planted, jobs_of_a_schedule_that_is_gone_are_found);
    tcase_add_test(planted, a_job_of_a_schedule_that_did_not_succeed_has_ended_wrong);
    tcase_add_test(planted, a_job_that_began_while_its_queue_was_paused_is_found);
    tcase_add_loop_test(planted, each_gauge_that_grows_over_time_is_found, 0, 11);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, planted);
    return run_suite(suite);
}
