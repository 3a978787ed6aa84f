/* The store: those who waited are told, a few at a time; what runs again meanwhile; what they are handed. */
#include "together_fixture.h"

/* A few at a time. */

static void free_all(struct store_release *done)
{
    while (done->count > 0)
        job_free(done->jobs[--done->count]);
}

START_TEST(a_release_tells_no_more_than_its_limit_and_says_whether_there_is_more)
{
    struct job *jobs[3];
    struct id before = id_submitted(), behind[7];
    for (int i = 0; i < 7; i++)
        behind[i] = id_waiting_for(&before, 1, AFTER_CANCEL);
    finish(before, JOB_SUCCEEDED);
    for (int round = 0; round < 2; round++) {
        struct store_release done = release(jobs, 3);
        ck_assert_uint_eq(done.count, 3);
        ck_assert(done.more);
        ck_assert(store_releases_wait(store));
        for (int i = 0; i < 3; i++)
            ck_assert(id_equal(jobs[i]->spec.id, behind[3 * round + i])); /* the oldest first */
        free_all(&done);
        edges_are_right();
    }
    waits_for(behind[6], 1);
    struct store_release last = release(jobs, 3);
    ck_assert_uint_eq(last.count, 1);
    ck_assert(!last.more);
    free_all(&last);
    nothing_is_left();
}
END_TEST

START_TEST(pairs_without_a_job_to_hand_out_count_as_well)
{
    struct job *jobs[2];
    struct id before[] = {id_submitted(), id_submitted()};
    for (int i = 0; i < 3; i++)
        (void)id_waiting_for(before, 2, AFTER_CANCEL);
    finish(before[0], JOB_SUCCEEDED);
    struct store_release done = release(jobs, 2);
    ck_assert_uint_eq(done.count, 0);
    ck_assert(done.more);
    ck_assert_int_eq(look("SELECT count(*) FROM edges"), 4);
    edges_are_right();
    done = release(jobs, 2);
    ck_assert_uint_eq(done.count, 0);
    ck_assert(!done.more);
    ck_assert_int_eq(look("SELECT count(*) FROM edges"), 3);
    ck_assert(store->any_edges);
}
END_TEST

START_TEST(one_call_goes_on_to_the_next_parent_and_to_those_behind_what_it_ends)
{
    struct job *jobs[8];
    struct id a = id_submitted(), x = id_submitted();
    struct id b = id_waiting_for(&a, 1, AFTER_CANCEL), c = id_waiting_for(&b, 1, AFTER_CANCEL),
              y = id_waiting_for(&x, 1, AFTER_CANCEL);
    finish(a, JOB_FAILED);
    finish(x, JOB_SUCCEEDED);
    struct store_release done = release(jobs, 8);
    ck_assert_uint_eq(done.count, 3);
    ck_assert(!done.more);
    ck_assert(id_equal(jobs[0]->spec.id, b) && id_equal(jobs[1]->spec.id, y) &&
              id_equal(jobs[2]->spec.id, c));
    free_all(&done);
    nothing_is_left();
}
END_TEST

START_TEST(without_anything_to_tell_a_release_does_nothing)
{
    struct job *jobs[1];
    struct id before = id_submitted();
    (void)id_waiting_for(&before, 1, AFTER_CANCEL);
    struct store_release done = release(jobs, 1);
    ck_assert_uint_eq(done.count, 0);
    ck_assert(!done.more);
    ck_assert(store->any_edges);
}
END_TEST

START_TEST(a_plain_end_writes_nothing_of_all_this)
{
    struct id before = id_submitted(), plain = id_submitted();
    (void)id_waiting_for(&before, 1, AFTER_CANCEL);
    finish(plain, JOB_SUCCEEDED);
    ck_assert(!store_releases_wait(store));
    ck_assert_int_eq(look("SELECT count(*) FROM releases"), 0);
}
END_TEST

START_TEST(those_that_are_gone_or_ended_otherwise_are_skipped_and_dropped)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id cancelled = id_waiting_for(before, 2, AFTER_CANCEL),
              gone = id_waiting_for(before, 2, AFTER_CANCEL), waits = id_waiting_for(before, 2, AFTER_CANCEL);
    ck_assert_int_eq(end_job(cancelled, END_CANCEL, 1), ERR_OK);
    ck_assert_int_eq(end_job(gone, END_CANCEL, 1), ERR_OK);
    ck_assert_int_eq(forget_job(gone), ERR_OK);
    edges_are_right();
    finish(before[0], JOB_SUCCEEDED);
    finish(before[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(cancelled, JOB_CANCELLED);
    is(waits, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_job_that_was_changed_while_it_was_blocked_stays_so)
{
    struct id before = id_submitted();
    struct id behind = id_waiting_for(&before, 1, AFTER_CANCEL);
    struct store_patch patch = {.id = behind, .has_priority = true, .priority = 9};
    begin();
    ok(store_patch(store, &patch));
    ok(store_commit(store));
    ck_assert_ptr_null(patch.job->inputs.at);
    job_free(patch.job);
    waits_for(behind, 1);
    finish(before, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    JOB_AUTO job = get(behind);
    ck_assert_uint_eq(job->spec.priority, 9);
    ck_assert_int_eq(job->spec.lane, job_lane(&job->spec));
}
END_TEST

START_TEST(what_waits_for_a_job_is_told_even_if_that_is_forgotten_first)
{
    struct id before = id_submitted();
    struct id behind = id_waiting_for(&before, 1, AFTER_CANCEL);
    finish(before, JOB_FAILED);
    ck_assert_int_eq(forget_job(before), ERR_OK);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_CANCELLED);
    nothing_is_left();
}
END_TEST

/* Again. */

START_TEST(a_job_that_runs_again_waits_for_those_that_run_again_too)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id behind = id_waiting_for(before, 2, AFTER_CANCEL);
    finish(before[0], JOB_FAILED);
    finish(before[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_CANCELLED);
    retry_as(before[0], JOB_QUEUED);
    struct store_retry again = retry_job(behind);
    ck_assert_int_eq(again.err, ERR_OK);
    ck_assert_int_eq(again.job->state, JOB_BLOCKED);
    ck_assert_uint_eq(again.job->waits, 1);
    ck_assert_ptr_null(again.job->inputs.at);
    job_free(again.job);
    waits_for(behind, 1);
    edges_are_right();
    finish(before[0], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    JOB_AUTO job = get(behind);
    ck_assert_int_eq(job->state, JOB_QUEUED);
    ck_assert_str_eq(job->attempt.error_code, "");
    nothing_is_left();
}
END_TEST

START_TEST(a_job_that_runs_again_does_not_mind_those_that_failed_or_are_gone)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id behind = id_waiting_for(before, 2, AFTER_FAIL);
    finish(before[0], JOB_FAILED);
    finish(before[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    ck_assert_int_eq(forget_job(before[1]), ERR_OK);
    retry_as(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(if_one_runs_again_before_others_were_told_they_wait_for_that_run)
{
    struct id before = id_submitted();
    struct id behind = id_waiting_for(&before, 1, AFTER_CANCEL);
    finish(before, JOB_FAILED);
    struct store_retry again = {.id = before};
    begin();
    ok(store_retry(store, &again));
    store_rollback(store);
    job_free(again.job);
    ck_assert_int_eq(look("SELECT count(*) FROM releases"), 1);
    retry_as(before, JOB_QUEUED);
    ck_assert_uint_eq(release_all(), 0);
    ck_assert(!store_releases_wait(store));
    waits_for(behind, 1);
    finish(before, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_word_for_the_run_before_does_not_reach_the_next_one)
{
    struct id before[] = {id_submitted(), id_submitted()};
    struct id behind = id_waiting_for(before, 2, AFTER_CANCEL);
    ck_assert_int_eq(end_job(behind, END_CANCEL, 1), ERR_OK);
    finish(before[0], JOB_FAILED); /* an edge to the cancelled one is still there */
    ck_assert(store_releases_wait(store));
    retry_as(behind, JOB_BLOCKED);
    waits_for(behind, 1);
    ck_assert_uint_eq(release_all(), 0);
    waits_for(behind, 1);
    finish(before[1], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(those_who_wait_for_a_job_that_is_blocked_again_go_on_waiting)
{
    struct id a = id_submitted();
    struct id b = id_waiting_for(&a, 1, AFTER_CANCEL);
    finish(a, JOB_FAILED);
    ck_assert_uint_eq(release_all(), 1);
    retry_as(a, JOB_QUEUED);
    retry_as(b, JOB_BLOCKED);
    struct id c = id_waiting_for(&b, 1, AFTER_CANCEL);
    finish(a, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    finish(b, JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(c, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* Inputs. */

static void inputs_are(const struct job *job, const char *format, struct id a, struct id b)
{
    char expected[2048], texts[2][ID_TEXT_BYTES];
    id_format(a, texts[0]);
    id_format(b, texts[1]);
    snprintf(expected, sizeof expected, format, texts[0], texts[1]);
    ck_assert_ptr_nonnull(job->inputs.at);
    ck_assert_msg(job->inputs.bytes == strlen(expected) &&
                      memcmp(job->inputs.at, expected, job->inputs.bytes) == 0,
                  "%.*s, not %s", (int)job->inputs.bytes, job->inputs.at, expected);
    ck_assert_ptr_eq(job->inputs.at, job->owned[4]);
}

static struct job *with_inputs(struct id id)
{
    struct job *job = get(id);
    ck_assert_ptr_null(job->inputs.at);
    ok(store_inputs(store, job));
    return job;
}

#define SUCCEEDED_TEXT "{\"id\":\"%s\",\"task\":\"t\",\"state\":\"succeeded\",\"result\":[1]}"
#define FAILED_TEXT                                                                                          \
    "{\"id\":\"%s\",\"task\":\"t\",\"state\":\"failed\",\"result\":null,\"error\":{\"code\":\"bad\","        \
    "\"message\":\"It was \\\"bad\\\"\"}}"

START_TEST(inputs_are_the_jobs_before_it_in_the_order_of_their_naming)
{
    struct id before[] = {id_ended(JOB_SUCCEEDED), id_ended(JOB_FAILED)}, turned[] = {before[1], before[0]};
    JOB_AUTO job = with_inputs(id_waiting_for(before, 2, AFTER_RUN)),
             *other = with_inputs(id_waiting_for(turned, 2, AFTER_RUN));
    inputs_are(job, "[" SUCCEEDED_TEXT "," FAILED_TEXT "]", before[0], before[1]);
    inputs_are(other, "[" FAILED_TEXT "," SUCCEEDED_TEXT "]", before[1], before[0]);
    ck_assert_int_eq(json_check(job->inputs.at, job->inputs.bytes, NULL, NULL), ERR_OK);
    ok(store_inputs(store, job)); /* again: the same, and the first text is not lost */
    inputs_are(job, "[" SUCCEEDED_TEXT "," FAILED_TEXT "]", before[0], before[1]);
}
END_TEST

START_TEST(inputs_name_those_that_are_gone_pruned_cancelled_or_open)
{
    struct id before[] = {id_ended(JOB_SUCCEEDED), id_ended(JOB_SUCCEEDED)},
              last[] = {id_submitted(), id_new()};
    JOB_AUTO job = waiting_for(before, 2, AFTER_RUN), *other = make_after(last, 2, AFTER_RUN);
    struct store_past bare = {.id = before[1]};
    begin();
    ok(store_prune(store, &bare));
    ok(store_commit(store));
    ck_assert_int_eq(forget_job(before[0]), ERR_OK);
    ok(store_inputs(store, job));
    inputs_are(job,
               "[{\"id\":\"%s\",\"state\":null},"
               "{\"id\":\"%s\",\"task\":\"t\",\"state\":\"succeeded\",\"result\":null}]",
               before[0], before[1]);
    ok(store_inputs(store, other));
    inputs_are(other,
               "[{\"id\":\"%s\",\"task\":\"t\",\"state\":\"queued\",\"result\":null},"
               "{\"id\":\"%s\",\"state\":null}]",
               last[0], last[1]);
    ck_assert_int_eq(end_job(last[0], END_CANCEL, 1), ERR_OK);
    ok(store_inputs(store, other));
    inputs_are(other,
               "[{\"id\":\"%s\",\"task\":\"t\",\"state\":\"cancelled\",\"result\":null},"
               "{\"id\":\"%s\",\"state\":null}]",
               last[0], last[1]);
}
END_TEST

START_TEST(inputs_sum_a_batch_up)
{
    struct id members[3];
    struct id batch = batch_of(members, 3);
    JOB_AUTO job = make_after(&batch, 1, AFTER_CANCEL);
    ok(store_inputs(store, job));
    inputs_are(job,
               "[{\"id\":\"%s\",\"batch\":true,\"state\":\"running\",\"jobs\":3,\"succeeded\":0,"
               "\"failed\":0,\"cancelled\":0}]",
               batch, batch);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    finish(members[2], JOB_FAILED);
    ok(store_inputs(store, job));
    inputs_are(job,
               "[{\"id\":\"%s\",\"batch\":true,\"state\":\"failed\",\"jobs\":3,\"succeeded\":2,"
               "\"failed\":1,\"cancelled\":0}]",
               batch, batch);
    retry_as(members[2], JOB_QUEUED);
    finish(members[2], JOB_SUCCEEDED);
    ok(store_inputs(store, job));
    inputs_are(job,
               "[{\"id\":\"%s\",\"batch\":true,\"state\":\"succeeded\",\"jobs\":3,\"succeeded\":3,"
               "\"failed\":0,\"cancelled\":0}]",
               batch, batch);
}
END_TEST

START_TEST(a_job_without_the_flag_is_handed_nothing)
{
    struct id before = id_ended(JOB_SUCCEEDED);
    JOB_AUTO job = make_after(&before, 1, AFTER_RUN);
    job->spec.flags = 0;
    ok(store_inputs(store, job));
    ck_assert_ptr_null(job->inputs.at);
}
END_TEST

/* It succeeded with a result of so many bytes. */
static struct id id_with_result(size_t bytes)
{
    JOB_AUTO job = submitted();
    char text[256] = "\"";
    ck_assert_uint_lt(bytes, sizeof text);
    memset(text + 1, 'x', bytes - 2);
    text[bytes - 1] = '"';
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    job->result = (struct text){text, bytes};
    ck_assert(land(job, 0));
    return job->spec.id;
}

static bool has(const struct job *job, const char *text)
{
    return memmem(job->inputs.at, job->inputs.bytes, text, strlen(text)) != NULL;
}

START_TEST(a_result_with_which_they_would_be_too_large_is_left_out)
{
    struct id before[] = {id_with_result(100), id_with_result(200), id_with_result(50),
                          id_ended(JOB_SUCCEEDED)};
    JOB_AUTO job = make_after(before, 4, AFTER_RUN);
    ok(store_inputs(store, job));
    size_t all = job->inputs.bytes;
    store_inputs_most(store, all);
    ok(store_inputs(store, job));
    ck_assert_uint_eq(job->inputs.bytes, all);
    ck_assert(!has(job, "omitted"));
    store_inputs_most(store, all - 1); /* the last large one is too much */
    ok(store_inputs(store, job));
    ck_assert_uint_le(job->inputs.bytes, all - 1);
    ck_assert_uint_eq(job->inputs.bytes, all - strlen("\"result\":") - 50 + strlen("\"omitted\":true"));
    ck_assert(has(job, "\"result\":\"xxxx") && has(job, "\"result\":[1]"));
    ck_assert(has(job, "\"state\":\"succeeded\",\"omitted\":true}"));
    ck_assert_int_eq(json_check(job->inputs.at, job->inputs.bytes, NULL, NULL), ERR_OK);
    store_inputs_most(store, all - 195); /* the largest does not fit, the next one does */
    ok(store_inputs(store, job));
    ck_assert_uint_eq(job->inputs.bytes, all - strlen("\"result\":") - 200 + strlen("\"omitted\":true"));
    store_inputs_most(store, 1);
    ok(store_inputs(store, job));
    ck_assert(!has(job, "xxxx"));
    ck_assert(has(job, "\"result\":[1]")); /* no longer than the word that it is left out */
}
END_TEST

static void is_handed(struct job *job, struct id before)
{
    ck_assert_int_eq(job->state, JOB_QUEUED);
    inputs_are(job, "[" SUCCEEDED_TEXT "]", before, before);
    ck_assert_uint_eq(job->args.bytes, 7);
    job_free(job);
}

static void is_without(struct job *job)
{
    ck_assert_ptr_null(job->inputs.at);
    job_free(job);
}

START_TEST(only_a_load_reads_inputs_since_the_others_may_bring_many_jobs)
{
    struct id before = id_submitted();
    JOB_AUTO job = waiting_for(&before, 1, AFTER_CANCEL);
    struct id behind = job->spec.id;
    struct job *jobs[2];
    size_t count;
    int64_t next_ms;
    finish(before, JOB_SUCCEEDED);
    struct store_release done = release(jobs, 2);
    ck_assert_uint_eq(done.count, 1);
    is_without(jobs[0]);
    struct store_load load = {.lane = job->spec.lane, .limit = 2};
    ok(store_load(store, &load, 1, SIZE_MAX, jobs, &count));
    ck_assert_uint_eq(count, 1);
    is_handed(jobs[0], before);
    finish(behind, JOB_RETRYING);
    begin();
    ok(store_due(store, INT64_MAX, 2, jobs, &count, &next_ms));
    ok(store_commit(store));
    ck_assert_uint_eq(count, 1);
    is_without(jobs[0]);
    finish(behind, JOB_FAILED);
    struct store_retry again = retry_job(behind);
    is_without(again.job);
}
END_TEST

START_TEST(what_is_loaded_at_once_is_bounded_with_its_inputs)
{
    struct id before[] = {id_with_result(200)};
    struct id first = id_waiting_for(before, 1, AFTER_CANCEL);
    (void)id_waiting_for(before, 1, AFTER_CANCEL);
    JOB_AUTO job = get(first);
    struct job *jobs[2];
    size_t count;
    struct store_load load = {.lane = job->spec.lane, .limit = 2};
    ok(store_load(store, &load, 1, 200, jobs, &count)); /* the arguments are 7 bytes each */
    ck_assert_uint_eq(count, 1);
    ck_assert(id_equal(jobs[0]->spec.id, first));
    ck_assert_int_lt(load.next_seq, INT64_MAX);
    job_free(jobs[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_release");
    TCase *tcase = tcase_create("store_release");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_release_tells_no_more_than_its_limit_and_says_whether_there_is_more);
    tcase_add_test(tcase, pairs_without_a_job_to_hand_out_count_as_well);
    tcase_add_test(tcase, one_call_goes_on_to_the_next_parent_and_to_those_behind_what_it_ends);
    tcase_add_test(tcase, without_anything_to_tell_a_release_does_nothing);
    tcase_add_test(tcase, a_plain_end_writes_nothing_of_all_this);
    tcase_add_test(tcase, those_that_are_gone_or_ended_otherwise_are_skipped_and_dropped);
    tcase_add_test(tcase, a_job_that_was_changed_while_it_was_blocked_stays_so);
    tcase_add_test(tcase, what_waits_for_a_job_is_told_even_if_that_is_forgotten_first);
    tcase_add_test(tcase, a_job_that_runs_again_waits_for_those_that_run_again_too);
    tcase_add_test(tcase, a_job_that_runs_again_does_not_mind_those_that_failed_or_are_gone);
    tcase_add_test(tcase, if_one_runs_again_before_others_were_told_they_wait_for_that_run);
    tcase_add_test(tcase, a_word_for_the_run_before_does_not_reach_the_next_one);
    tcase_add_test(tcase, those_who_wait_for_a_job_that_is_blocked_again_go_on_waiting);
    tcase_add_test(tcase, inputs_are_the_jobs_before_it_in_the_order_of_their_naming);
    tcase_add_test(tcase, inputs_name_those_that_are_gone_pruned_cancelled_or_open);
    tcase_add_test(tcase, inputs_sum_a_batch_up);
    tcase_add_test(tcase, a_job_without_the_flag_is_handed_nothing);
    tcase_add_test(tcase, a_result_with_which_they_would_be_too_large_is_left_out);
    tcase_add_test(tcase, only_a_load_reads_inputs_since_the_others_may_bring_many_jobs);
    tcase_add_test(tcase, what_is_loaded_at_once_is_bounded_with_its_inputs);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
