/* Schedules that fire, with the real committer and store. */
#include "schedules_fixture.h"

/* --- firing --- */

START_TEST(a_time_becomes_one_job_that_says_where_it_is_from)
{
    struct json_span name;
    ok(put(""));
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    assert_kept();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    JOB_AUTO job = row(nightly()->last_job);
    ck_assert_int_eq(job->spec.scheduled_ms, nightly()->last_ms);
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &name));
    ck_assert_mem_eq(name.at, "\"nightly\"", 9);
    run_all(1);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}
END_TEST

START_TEST(a_front_that_dies_before_the_commit_leaves_the_time_due)
{
    ok(put(""));
    front_dies();
    front_prepare(); /* without a committer: nothing is kept */
    once();
    turns(3);
    ck_assert(nightly()->busy);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
    front_dies();
    front_up();
    ck_assert_int_eq(nightly()->made, 0);
    fire_once();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    run_all(1);
}
END_TEST

START_TEST(a_front_that_dies_after_the_commit_fires_no_second_time)
{
    ok(put(""));
    once();
    turn(); /* it is on its way */
    ck_assert(nightly()->busy);
    front_dies(); /* which commits what was given, and tells nobody */
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    front_up();
    ck_assert_int_eq(nightly()->made, 1);
    turns(5);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    run_all(1);
}
END_TEST

START_TEST(times_that_passed_are_made_up_for_by_one)
{
    ok(put(""));
    make_due(20000);
    TURN_UNTIL(nightly()->made == 1);
    ck_assert_int_ge(nightly()->skipped, 19);
    assert_kept();
    ck_assert_int_ge(nightly()->last_ms, clock_real_ms() - 5000);
}
END_TEST

START_TEST(none_is_made_up_for)
{
    ok(put(",\"catch_up\":\"none\""));
    make_due(20000);
    TURN_UNTIL(nightly()->skipped >= 20);
    ck_assert_int_eq(nightly()->made, 0);
    assert_kept();
    ck_assert_int_eq(composed, 0);
}
END_TEST

START_TEST(all_are_made_up_for_and_wait_for_each_other)
{
    ok(put(",\"catch_up\":\"all\""));
    make_due(10000);
    TURN_UNTIL(nightly()->made >= 10);
    ok(change(SCHEDULE_PAUSE, "nightly", NULL));
    int64_t made = nightly()->made;
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 7"), made - 1);
    ck_assert_int_eq(look("SELECT count(DISTINCT scheduled_ms) FROM jobs"), made);
    run_all((int)made);
}
END_TEST

/* --- overlap --- */

START_TEST(a_time_is_skipped_while_the_last_job_has_not_ended)
{
    ok(put(""));
    fire_once();
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert_int_eq(nightly()->skipped, 1);
    assert_kept();
    uint64_t ticket = start_next(0);
    fire_once(); /* nor while it runs */
    ck_assert_int_eq(nightly()->skipped, 2);
    succeed(0, ticket);
    TURN_UNTIL(state_of(nightly()->last_job) == JOB_SUCCEEDED);
    fire_once();
    ck_assert_int_eq(nightly()->made, 2);
    run_all(1);
}
END_TEST

START_TEST(a_job_waits_for_the_last_one)
{
    ok(put(",\"overlap\":\"queue\""));
    fire_once();
    struct id first = nightly()->last_job;
    fire_once();
    struct id second = nightly()->last_job;
    ck_assert(!id_equal(first, second));
    ck_assert_int_eq(state_of(second), JOB_BLOCKED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), first));
    ck_assert_uint_eq(claim_next(1), 0);
    finish_run(0, ticket, OUTCOME_SUCCESS);
    ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), second));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

static size_t after_of(struct id id, struct id after[AFTER_MAX])
{
    JOB_AUTO job = row(id);
    struct json_span name;
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &name));
    return extras_after(job->extras, after);
}

START_TEST(a_job_that_waits_says_for_whom_and_waits_again_when_it_is_run_again)
{
    struct id after[AFTER_MAX];
    struct asked again = {.errand = {.notify = on_answer}};
    ok(put(",\"overlap\":\"queue\""));
    fire_once();
    struct id first = nightly()->last_job;
    ck_assert_uint_eq(after_of(first, after), 0);
    fire_once();
    struct id second = nightly()->last_job;
    ck_assert_uint_eq(after_of(second, after), 1);
    ck_assert(id_equal(after[0], first));
    ok(cancel_job(second));
    struct work *work = work_new(WORK_RETRY);
    work->errand = &again.errand;
    work->id = second;
    dispatcher_give(&dispatcher, work);
    TURN_UNTIL(answered(&again));
    ok(again.errand.err);
    ck_assert_int_eq(state_of(second), JOB_BLOCKED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), first));
    ck_assert_uint_eq(claim_next(1), 0);
    succeed(0, ticket);
    run_all(1);
}
END_TEST

START_TEST(a_job_that_waits_is_replaced)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    struct id first = nightly()->last_job;
    fire_once();
    TURN_UNTIL(state_of(first) == JOB_CANCELLED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), nightly()->last_job));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_runs_is_asked_to_stop_and_all_later_ones_wait_for_it)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    uint64_t ticket = start_next(0);
    fire_once();
    struct id second = nightly()->last_job;
    ck_assert_uint_eq(atomic_load(&board_of(0)->cancel), ticket);
    ck_assert_int_eq(state_of(second), JOB_BLOCKED);
    fire_once(); /* the second one never ran, but the first one still does */
    struct id third = nightly()->last_job;
    TURN_UNTIL(state_of(second) == JOB_CANCELLED);
    turns(5);
    ck_assert_int_eq(state_of(third), JOB_BLOCKED);
    ck_assert_uint_eq(claim_next(1), 0);
    restart(); /* that is kept, too */
    fire_once();
    TURN_UNTIL(state_of(third) == JOB_CANCELLED);
    turns(5);
    ck_assert_uint_eq(claim_next(1), 0);
    finish_run(0, ticket, OUTCOME_CANCELLED);
    ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), nightly()->last_job));
    succeed(0, ticket);
    assert_nothing_left();
    ck_assert_int_eq(nightly()->made, 4);
}
END_TEST

START_TEST(a_blocked_job_ends_with_the_commit_of_the_one_that_replaces_it)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    uint64_t ticket = start_next(0);
    fire_once();
    struct id second = nightly()->last_job;
    dispatcher.loads_running++; /* cancels have to wait */
    fire_once();
    ck_assert_ptr_nonnull(dispatcher.deferred);
    ck_assert_int_eq(state_of(second), JOB_CANCELLED);
    dispatcher.loads_running--;
    cancel_undefer(&dispatcher);
    TURN_UNTIL(dispatcher.deferred == NULL);
    finish_run(0, ticket, OUTCOME_CANCELLED);
    run_all(1);
}
END_TEST

/* --- refusals --- */

START_TEST(what_cannot_be_submitted_is_skipped_and_says_why)
{
    ok(put(""));
    compose_err = ERR_UNKNOWN_TASK;
    fire_once();
    ck_assert_int_eq(nightly()->made, 0);
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_str_eq(nightly()->error, "there is no task \"echo\"");
    assert_kept();
    restart();
    ck_assert_str_eq(nightly()->error, "there is no task \"echo\"");
}
END_TEST

START_TEST(before_the_catalogue_is_there_times_wait)
{
    ok(put(""));
    compose_err = ERR_STARTING;
    once();
    TURN_UNTIL(composed > 0);
    ck_assert_int_eq(handled(), 0);
    compose_err = ERR_OK;
    nightly()->again_ms = 0;
    dispatcher.timetable.next_ms = 0;
    TURN_UNTIL(nightly()->made == 1);
    run_all(1);
}
END_TEST

START_TEST(a_drain_skips_and_a_pause_does_not)
{
    ok(put(",\"overlap\":\"queue\""));
    dispatcher.whole.values[LIMIT_PAUSED] = 1;
    change_join(&dispatcher);
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    dispatcher.whole.values[LIMIT_PAUSED] = 0;
    dispatcher.whole.values[LIMIT_DRAINING] = 1;
    change_join(&dispatcher);
    fire_once();
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_ptr_nonnull(strstr(nightly()->error, "drained"));
    ck_assert_int_eq(change(SCHEDULE_TRIGGER, "nightly", NULL), ERR_QUEUE_CLOSED);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}
END_TEST

START_TEST(a_full_queue_skips)
{
    ok(put(",\"overlap\":\"queue\""));
    struct queue *queue = lineup_queue(&dispatcher.lineup, "default");
    queue->set.values[LIMIT_MAX_DEPTH] = 1;
    queue->set.values[LIMIT_PAUSED] = 1;
    change_join(&dispatcher);
    change_settle(&dispatcher);
    fire_once();
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_ptr_nonnull(strstr(nightly()->error, "max_depth"));
}
END_TEST

START_TEST(what_a_full_store_refuses_is_tried_again)
{
    ok(put(",\"catch_up\":\"none\""));
    atomic_store(&committer.full, true);
    committer.look_ns = INT64_MAX; /* it stays so */
    once();
    TURN_UNTIL(nightly()->refused);
    ck_assert_int_eq(handled(), 0);
    ck_assert_int_ne(nightly()->error_ms, 0);
    atomic_store(&committer.full, false);
    TURN_UNTIL(nightly()->made == 1);
    run_all(1);
}
END_TEST

START_TEST(while_the_server_ends_nothing_fires)
{
    ok(put(""));
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    once();
    turns(5);
    ck_assert_int_eq(composed, 0);
    ck_assert_int_eq(handled(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher_schedules");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, schedules_up, rig_down);
    tcase_add_test(tests, a_time_becomes_one_job_that_says_where_it_is_from);
    tcase_add_test(tests, times_that_passed_are_made_up_for_by_one);
    tcase_add_test(tests, none_is_made_up_for);
    tcase_add_test(tests, all_are_made_up_for_and_wait_for_each_other);
    tcase_add_test(tests, a_time_is_skipped_while_the_last_job_has_not_ended);
    tcase_add_test(tests, a_job_waits_for_the_last_one);
    tcase_add_test(tests, a_job_that_waits_says_for_whom_and_waits_again_when_it_is_run_again);
    tcase_add_test(tests, a_job_that_waits_is_replaced);
    tcase_add_test(tests, a_job_that_runs_is_asked_to_stop_and_all_later_ones_wait_for_it);
    tcase_add_test(tests, a_blocked_job_ends_with_the_commit_of_the_one_that_replaces_it);
    tcase_add_test(tests, what_cannot_be_submitted_is_skipped_and_says_why);
    tcase_add_test(tests, before_the_catalogue_is_there_times_wait);
    tcase_add_test(tests, a_drain_skips_and_a_pause_does_not);
    tcase_add_test(tests, a_full_queue_skips);
    tcase_add_test(tests, what_a_full_store_refuses_is_tried_again);
    tcase_add_test(tests, while_the_server_ends_nothing_fires);
    tcase_add_test(tests, a_front_that_dies_before_the_commit_leaves_the_time_due);
    tcase_add_test(tests, a_front_that_dies_after_the_commit_fires_no_second_time);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
