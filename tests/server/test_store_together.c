/* The store: jobs that wait for others. */
#include "together_fixture.h"

/* Waiting. */

START_TEST(a_job_is_blocked_until_the_last_one_before_it_has_succeeded)
{
    struct id before[] = {id_submitted(), id_submitted()};
    JOB_AUTO job = waiting_for(before, 2, AFTER_CANCEL);
    ck_assert_int_eq(job->state, JOB_BLOCKED);
    ck_assert_uint_eq(job->waits, 2);
    waits_for(job->spec.id, 2);
    ck_assert(!store_releases_wait(store));
    finish(before[1], JOB_SUCCEEDED);
    ck_assert(store_releases_wait(store));
    ck_assert_uint_eq(release_all(), 0);
    waits_for(job->spec.id, 1);
    edges_are_right();
    finish(before[0], JOB_SUCCEEDED);
    waits_for(job->spec.id, 1); /* nobody has told it yet */
    ck_assert_uint_eq(release_all(), 1);
    is(job->spec.id, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_released_job_comes_whole_and_last_in_the_order)
{
    struct job *jobs[4];
    struct id before = id_submitted();
    JOB_AUTO job = waiting_for(&before, 1, AFTER_CANCEL), *later = submitted();
    finish(before, JOB_SUCCEEDED);
    struct store_release done = release(jobs, 4);
    ck_assert_uint_eq(done.count, 1);
    ck_assert(!done.more);
    ck_assert(id_equal(jobs[0]->spec.id, job->spec.id));
    ck_assert_int_eq(jobs[0]->state, JOB_QUEUED);
    ck_assert_uint_eq(jobs[0]->waits, 0);
    ck_assert_int_gt(jobs[0]->spec.seq, later->spec.seq);
    ck_assert_uint_eq(jobs[0]->args.bytes, 7);
    JOB_AUTO stored = get(job->spec.id);
    ck_assert_int_eq(stored->spec.seq, jobs[0]->spec.seq);
    job_free(jobs[0]);
}
END_TEST

START_TEST(one_with_a_time_is_scheduled_for_it_if_that_is_to_come)
{
    struct id before = id_submitted();
    JOB_AUTO later = make_after(&before, 1, AFTER_CANCEL), *past = make_after(&before, 1, AFTER_CANCEL);
    later->spec.scheduled_ms = later->spec.run_at_ms = RELEASE_NOW_MS + 1;
    past->spec.scheduled_ms = past->spec.run_at_ms = RELEASE_NOW_MS;
    later->state = past->state = JOB_SCHEDULED;
    submit_after(later, &before, 1);
    submit_after(past, &before, 1);
    JOB_AUTO blocked = get(later->spec.id);
    ck_assert_int_eq(blocked->state, JOB_BLOCKED);
    ck_assert_int_eq(blocked->spec.run_at_ms, 0);
    ck_assert_int_eq(blocked->spec.scheduled_ms, RELEASE_NOW_MS + 1);
    finish(before, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 2);
    JOB_AUTO scheduled = get(later->spec.id), *queued = get(past->spec.id);
    ck_assert_int_eq(scheduled->state, JOB_SCHEDULED);
    ck_assert_int_eq(scheduled->spec.run_at_ms, RELEASE_NOW_MS + 1);
    ck_assert_int_eq(queued->state, JOB_QUEUED);
    ck_assert_int_eq(queued->spec.run_at_ms, 0);
    nothing_is_left();
}
END_TEST

START_TEST(those_that_have_succeeded_already_count_as_done)
{
    struct id before[] = {id_ended(JOB_SUCCEEDED), id_ended(JOB_SUCCEEDED)};
    JOB_AUTO job = waiting_for(before, 2, AFTER_CANCEL), *later = make_after(before, 2, AFTER_CANCEL);
    ck_assert_int_eq(job->state, JOB_QUEUED);
    is(job->spec.id, JOB_QUEUED);
    later->state = JOB_SCHEDULED;
    later->spec.scheduled_ms = later->spec.run_at_ms = later->spec.created_ms + 1000;
    submit_after(later, before, 2);
    is(later->spec.id, JOB_SCHEDULED);
    nothing_is_left();
}
END_TEST

START_TEST(those_that_have_just_ended_count_as_done_for_one_that_runs_anyway)
{
    struct id before[] = {id_ended(JOB_FAILED), id_ended(JOB_CANCELLED)};
    is(id_waiting_for(before, 2, AFTER_RUN), JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* It ended because one before it did. */
static void gave_up(struct id id, enum job_state state, struct id before, const char *how)
{
    char text[ID_TEXT_BYTES], sentence[MESSAGE_BYTES];
    JOB_AUTO job = get(id);
    id_format(before, text);
    snprintf(sentence, sizeof sentence, "The job %s, for which it waited, %s", text, how);
    ck_assert_int_eq(job->state, state);
    ck_assert_uint_eq(job->waits, 0);
    ck_assert_uint_eq(job->attempt.number, 0);
    ck_assert_uint_eq(job->attempt.outcome, state == JOB_FAILED ? OUTCOME_ERROR : OUTCOME_CANCELLED);
    ck_assert_int_eq(job->attempt.finished_ms, RELEASE_NOW_MS);
    ck_assert_str_eq(job->attempt.error_code, "dependency_failed");
    ck_assert_str_eq(job->attempt.error_message, sentence);
    ck_assert(!job->cancel_requested);
}

START_TEST(those_that_ended_badly_already_end_a_new_one_at_the_next_release)
{
    struct id failed = id_ended(JOB_FAILED), cancelled = id_ended(JOB_CANCELLED);
    struct id a = id_waiting_for(&failed, 1, AFTER_CANCEL), b = id_waiting_for(&cancelled, 1, AFTER_FAIL);
    waits_for(a, 1);
    ck_assert(store_releases_wait(store));
    ck_assert_uint_eq(release_all(), 2);
    gave_up(a, JOB_CANCELLED, failed, "has failed");
    gave_up(b, JOB_FAILED, cancelled, "was cancelled");
    nothing_is_left();
}
END_TEST

START_TEST(what_follows_from_a_failure_is_up_to_the_policy)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id cancel = id_waiting_for(before, 2, AFTER_CANCEL), fail = id_waiting_for(before, 2, AFTER_FAIL),
              run = id_waiting_for(before, 2, AFTER_RUN);
    struct job *jobs[4];
    finish(before[0], JOB_FAILED);
    struct store_release done = release(jobs, 4);
    ck_assert_uint_eq(done.count, 2);
    ck_assert_str_eq(jobs[0]->attempt.error_code, "dependency_failed");
    ck_assert_ptr_null(jobs[0]->args.at);
    while (done.count > 0)
        job_free(jobs[--done.count]);
    gave_up(cancel, JOB_CANCELLED, before[0], "has failed");
    gave_up(fail, JOB_FAILED, before[0], "has failed");
    waits_for(run, 1);
    finish(before[1], JOB_CANCELLED);
    ck_assert_uint_eq(release_all(), 1);
    is(run, JOB_QUEUED);
    gave_up(cancel, JOB_CANCELLED, before[0], "has failed"); /* it is not told twice */
    nothing_is_left();
}
END_TEST

START_TEST(every_way_to_end_a_job_tells_those_who_wait_for_it)
{
    struct id expired = id_new(), cancelled = id_submitted(), replaced = id_submitted();
    JOB_AUTO short_lived = make_job("q", "t");
    short_lived->spec.id = expired;
    short_lived->spec.expires_ms = 10;
    submit(short_lived);
    struct id a = id_waiting_for(&expired, 1, AFTER_CANCEL), b = id_waiting_for(&cancelled, 1, AFTER_CANCEL),
              c = id_waiting_for(&replaced, 1, AFTER_CANCEL);
    ck_assert_int_eq(end_job(expired, END_EXPIRE, 11), ERR_OK);
    ck_assert_int_eq(end_job(cancelled, END_CANCEL, 11), ERR_OK);
    ck_assert_int_eq(end_job(replaced, END_REPLACE, 11), ERR_OK);
    ck_assert_uint_eq(release_all(), 3);
    gave_up(a, JOB_CANCELLED, expired, "has failed");
    gave_up(b, JOB_CANCELLED, cancelled, "was cancelled");
    gave_up(c, JOB_CANCELLED, replaced, "was cancelled");
    nothing_is_left();
}
END_TEST

START_TEST(asking_a_running_job_to_stop_and_a_failed_try_end_nothing)
{
    struct id before = id_submitted();
    struct id behind = id_waiting_for(&before, 1, AFTER_CANCEL);
    ck_assert_int_eq(end_job(before, END_ASK, 11), ERR_OK);
    finish(before, JOB_RETRYING);
    ck_assert(!store_releases_wait(store));
    waits_for(behind, 1);
}
END_TEST

START_TEST(an_end_goes_on_from_job_to_job)
{
    struct id a = id_submitted();
    struct id b = id_waiting_for(&a, 1, AFTER_CANCEL), c = id_waiting_for(&b, 1, AFTER_FAIL),
              d = id_waiting_for(&c, 1, AFTER_RUN);
    finish(a, JOB_FAILED);
    ck_assert_uint_eq(release_all(), 3);
    gave_up(b, JOB_CANCELLED, a, "has failed");
    gave_up(c, JOB_FAILED, b, "was cancelled");
    is(d, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(two_ways_meet_in_one_job)
{
    struct id top = id_submitted();
    struct id sides[] = {id_waiting_for(&top, 1, AFTER_CANCEL), id_waiting_for(&top, 1, AFTER_CANCEL)};
    struct id bottom = id_waiting_for(sides, 2, AFTER_CANCEL);
    finish(top, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 2);
    waits_for(bottom, 2);
    finish(sides[0], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 0);
    finish(sides[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(bottom, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* Refused. */

START_TEST(an_unknown_id_is_named_and_nothing_of_the_job_stays)
{
    struct id before[] = {id_submitted(), id_new(), id_new()};
    JOB_AUTO job = make_job("q", "t"), *other = make_job("q", "t");
    give_extras(job, "{\"unique\":{\"key\":\"u\"}}");
    job->spec.flags = JOB_FLAG_UNIQUE;
    strcpy(job->spec.idempotency_key, "k");
    begin();
    struct store_submit refused = wait_in_group(job, before, 3);
    submit_in_group(other);
    ok(store_commit(store));
    ck_assert_int_eq(refused.err, ERR_UNKNOWN_DEPENDENCY);
    ck_assert(id_equal(refused.original, before[1]));
    ck_assert_int_eq(look("SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM uniques)"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
    is(other->spec.id, JOB_QUEUED);
    nothing_is_left();
    ck_assert_int_eq(submit_after(job, before, 1).err, ERR_OK); /* neither key was taken */
    ck_assert_int_eq(look("SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM uniques)"), 2);
}
END_TEST

START_TEST(an_id_with_the_right_key_and_wrong_random_bits_is_unknown)
{
    struct id id = id_submitted(), wrong = id_join(id_key(id), id_random(id) ^ 1);
    JOB_AUTO job = make_after(&wrong, 1, AFTER_CANCEL);
    ck_assert_int_eq(submit_after(job, &wrong, 1).err, ERR_UNKNOWN_DEPENDENCY);
}
END_TEST

START_TEST(an_id_that_is_named_twice_counts_once)
{
    struct id a = id_submitted(), b = id_submitted(), before[] = {a, b, a};
    JOB_AUTO job = waiting_for(before, 3, AFTER_CANCEL);
    ck_assert_uint_eq(job->waits, 2);
    edges_are_right();
    ck_assert_int_eq(end_job(job->spec.id, END_CANCEL, 1), ERR_OK);
    retry_as(job->spec.id, JOB_BLOCKED);
    edges_are_right();
    finish(a, JOB_SUCCEEDED);
    finish(b, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    nothing_is_left();
}
END_TEST

START_TEST(a_job_may_wait_for_as_many_as_its_extras_can_name)
{
    struct id before[AFTER_MAX];
    begin();
    for (size_t i = 0; i < AFTER_MAX; i++) {
        JOB_AUTO job = make_job("q", "t");
        submit_in_group(job);
        before[i] = job->spec.id;
    }
    ok(store_commit(store));
    struct id last = id_waiting_for(before, AFTER_MAX, AFTER_CANCEL);
    waits_for(last, AFTER_MAX);
    begin();
    for (size_t i = 0; i < AFTER_MAX; i++)
        finish_in_group(before[i], JOB_SUCCEEDED);
    ok(store_commit(store));
    ck_assert_uint_eq(release_all(), 1);
    is(last, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* Groups and lives. */

START_TEST(jobs_of_one_group_may_wait_for_each_other_and_end_in_it)
{
    JOB_AUTO a = make_job("q", "t"), *b = make_after(&a->spec.id, 1, AFTER_CANCEL);
    struct job *jobs[2];
    struct store_release done = {.now_ms = RELEASE_NOW_MS, .limit = 2, .jobs = jobs};
    begin();
    submit_in_group(a);
    wait_in_group(b, &a->spec.id, 1);
    ck_assert_int_eq(b->state, JOB_BLOCKED);
    finish_in_group(a->spec.id, JOB_SUCCEEDED);
    ok(store_release(store, &done));
    ok(store_commit(store));
    ck_assert_uint_eq(done.count, 1);
    job_free(jobs[0]);
    is(b->spec.id, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_job_that_arrives_ended_is_one_that_has_ended)
{
    JOB_AUTO failed = make_job("q", "t");
    run_ended(failed, JOB_FAILED, OUTCOME_ERROR);
    submit(failed);
    struct id behind = id_waiting_for(&failed->spec.id, 1, AFTER_CANCEL);
    ck_assert_uint_eq(release_all(), 1);
    gave_up(behind, JOB_CANCELLED, failed->spec.id, "has failed");
}
END_TEST

START_TEST(a_rollback_forgets_who_waits)
{
    struct id before = id_submitted();
    JOB_AUTO job = make_after(&before, 1, AFTER_CANCEL);
    begin();
    wait_in_group(job, &before, 1);
    store_rollback(store);
    ck_assert_int_eq(job->state, JOB_BLOCKED);
    nothing_is_left();
    finish(before, JOB_SUCCEEDED);
    nothing_is_left();
    ck_assert_int_eq(submit_after(job, &before, 1).err, ERR_OK); /* a second try finds the other state */
    ck_assert_int_eq(job->state, JOB_QUEUED);
    is(job->spec.id, JOB_QUEUED);
}
END_TEST

START_TEST(a_second_try_finds_its_time_again)
{
    struct id before = id_submitted();
    JOB_AUTO job = make_after(&before, 1, AFTER_CANCEL);
    job->state = JOB_SCHEDULED;
    job->spec.scheduled_ms = job->spec.run_at_ms = job->spec.created_ms + 1000;
    begin();
    wait_in_group(job, &before, 1);
    store_rollback(store);
    finish(before, JOB_SUCCEEDED);
    submit_after(job, &before, 1);
    JOB_AUTO stored = get(job->spec.id);
    ck_assert_int_eq(stored->state, JOB_SCHEDULED);
    ck_assert_int_eq(stored->spec.run_at_ms, job->spec.created_ms + 1000);
}
END_TEST

START_TEST(a_rollback_forgets_an_end_and_a_release)
{
    struct id before = id_submitted();
    struct id behind = id_waiting_for(&before, 1, AFTER_CANCEL);
    struct job *jobs[1];
    struct store_release done = {.limit = 1, .jobs = jobs};
    begin();
    finish_in_group(before, JOB_SUCCEEDED);
    store_rollback(store);
    ck_assert(!store_releases_wait(store));
    ck_assert(store->any_edges);
    finish(before, JOB_SUCCEEDED);
    begin();
    ok(store_release(store, &done));
    ck_assert_uint_eq(done.count, 1);
    job_free(jobs[0]);
    done.limit = 1;
    ok(store_release(store, &done));
    ck_assert(!store->any_edges);
    store_rollback(store);
    ck_assert(store->any_edges);
    ck_assert(store_releases_wait(store));
    waits_for(behind, 1);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(who_waits_and_who_is_to_be_told_outlives_the_store)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id behind = id_waiting_for(before, 2, AFTER_CANCEL);
    reopen_store();
    ck_assert(!store_releases_wait(store));
    finish(before[0], JOB_SUCCEEDED);
    ck_assert(store_releases_wait(store));
    reopen_store();
    ck_assert(store_releases_wait(store));
    ck_assert_uint_eq(release_all(), 0);
    reopen_store();
    ck_assert(!store_releases_wait(store));
    waits_for(behind, 1);
    finish(before[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    nothing_is_left();
    reopen_store();
    nothing_is_left();
}
END_TEST

START_TEST(memory_that_runs_out_anywhere_leaves_all_or_nothing)
{
    close_store();
    make_memory_scarce();
    open_store();
    struct id before[] = {id_submitted(), id_ended(JOB_FAILED)};
    enum err err = ERR_NO_MEMORY;
    int tries = 0;
    for (int n = 0; err != ERR_OK; n += 1 + n / 50, tries++) {
        JOB_AUTO job = make_after(before, 2, AFTER_CANCEL);
        struct store_submit submit = {.job = job, .after = before, .after_count = 2};
        struct job *jobs[2];
        struct store_release done = {.limit = 2, .jobs = jobs};
        reopen_store(); /* statements are prepared anew */
        begin();
        allocations_left = n;
        err = store_submit(store, &submit);
        if (err == ERR_OK)
            err = store_release(store, &done);
        if (err == ERR_OK)
            err = store_commit(store);
        allocations_left = -1;
        while (done.count > 0)
            job_free(jobs[--done.count]);
        ck_assert_msg(err == ERR_OK || err == ERR_NO_MEMORY, "allocation %d: %s", n, err_code(err));
        ck_assert_int_eq(look("SELECT count(*) FROM jobs"), err == ERR_OK ? 3 : 2);
        edges_are_right();
    }
    ck_assert_int_gt(tries, 50);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 5"), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_together");
    TCase *tcase = tcase_create("store_together");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_job_is_blocked_until_the_last_one_before_it_has_succeeded);
    tcase_add_test(tcase, a_released_job_comes_whole_and_last_in_the_order);
    tcase_add_test(tcase, one_with_a_time_is_scheduled_for_it_if_that_is_to_come);
    tcase_add_test(tcase, those_that_have_succeeded_already_count_as_done);
    tcase_add_test(tcase, those_that_have_just_ended_count_as_done_for_one_that_runs_anyway);
    tcase_add_test(tcase, those_that_ended_badly_already_end_a_new_one_at_the_next_release);
    tcase_add_test(tcase, what_follows_from_a_failure_is_up_to_the_policy);
    tcase_add_test(tcase, every_way_to_end_a_job_tells_those_who_wait_for_it);
    tcase_add_test(tcase, asking_a_running_job_to_stop_and_a_failed_try_end_nothing);
    tcase_add_test(tcase, an_end_goes_on_from_job_to_job);
    tcase_add_test(tcase, two_ways_meet_in_one_job);
    tcase_add_test(tcase, an_unknown_id_is_named_and_nothing_of_the_job_stays);
    tcase_add_test(tcase, an_id_with_the_right_key_and_wrong_random_bits_is_unknown);
    tcase_add_test(tcase, an_id_that_is_named_twice_counts_once);
    tcase_add_test(tcase, a_job_may_wait_for_as_many_as_its_extras_can_name);
    tcase_add_test(tcase, jobs_of_one_group_may_wait_for_each_other_and_end_in_it);
    tcase_add_test(tcase, a_job_that_arrives_ended_is_one_that_has_ended);
    tcase_add_test(tcase, a_rollback_forgets_who_waits);
    tcase_add_test(tcase, a_second_try_finds_its_time_again);
    tcase_add_test(tcase, a_rollback_forgets_an_end_and_a_release);
    tcase_add_test(tcase, who_waits_and_who_is_to_be_told_outlives_the_store);
    tcase_add_test(tcase, memory_that_runs_out_anywhere_leaves_all_or_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
