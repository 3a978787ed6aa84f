/* The store: sets of jobs that came in one request. */
#include "together_fixture.h"

START_TEST(a_batch_counts_how_its_jobs_end_and_when_the_last_one_did)
{
    struct id members[4];
    struct id batch = batch_of(members, 4);
    ck_assert_int_eq(batch_now(batch).created_ms, 4000);
    batch_is(batch, 4, 0, 0, 0);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_RETRYING);
    batch_is(batch, 4, 1, 0, 0);
    finish(members[2], JOB_FAILED);
    ck_assert_int_eq(end_job(members[1], END_CANCEL, 1), ERR_OK);
    batch_is(batch, 4, 1, 1, 1);
    ck_assert_int_eq(end_job(members[3], END_CANCEL, 98765), ERR_OK);
    batch_is(batch, 4, 1, 1, 2);
    ck_assert_int_eq(batch_now(batch).finished_ms, 98765);
    reopen_store();
    batch_is(batch, 4, 1, 1, 2);
    ck_assert_int_eq(look("SELECT kept FROM batches"), 4);
}
END_TEST

START_TEST(jobs_of_other_batches_and_of_none_do_not_count)
{
    struct id one[1], two[1], plain = id_submitted();
    struct id a = batch_of(one, 1), b = batch_of(two, 1);
    finish(plain, JOB_SUCCEEDED);
    finish(two[0], JOB_FAILED);
    batch_is(a, 1, 0, 0, 0);
    batch_is(b, 1, 0, 1, 0);
}
END_TEST

START_TEST(many_jobs_of_a_batch_in_one_group_are_one_update)
{
    enum { MANY = 500 };
    int before, after;
    begin();
    struct id batch = add_batch();
    for (int i = 0; i < MANY; i++)
        (void)member_in_group(batch);
    ck_assert_int_eq(batch_now(batch).jobs, 0); /* nothing is written yet */
    before = sqlite3_total_changes(store->reader.connection.db);
    ok(store_commit(store));
    after = sqlite3_total_changes(store->reader.connection.db);
    ck_assert_int_eq(after - before, 2); /* this one, and the counts of queue, task and state */
    batch_is(batch, MANY, 0, 0, 0);
}
END_TEST

START_TEST(an_end_in_the_group_of_the_beginning_finishes_at_the_commit)
{
    begin();
    struct id batch = add_batch(), first = member_in_group(batch);
    finish_in_group(first, JOB_SUCCEEDED);
    struct id second = member_in_group(batch);
    ok(store_commit(store));
    batch_is(batch, 2, 1, 0, 0);
    finish(second, JOB_SUCCEEDED);
    batch_is(batch, 2, 2, 0, 0);
}
END_TEST

START_TEST(the_latest_end_of_a_group_is_when_the_batch_finished)
{
    struct id members[2];
    struct id batch = batch_of(members, 2);
    begin();
    job_free(end_in_group(members[0], END_CANCEL, 900).job);
    job_free(end_in_group(members[1], END_CANCEL, 700).job);
    ok(store_commit(store));
    ck_assert_int_eq(batch_now(batch).finished_ms, 900);
}
END_TEST

START_TEST(members_that_arrive_ended_or_late_count)
{
    struct id members[1];
    struct id batch = batch_of(members, 1);
    JOB_AUTO ended = make_member(batch), *late = make_member(batch);
    run_ended(ended, JOB_FAILED, OUTCOME_ERROR);
    submit(ended);
    batch_is(batch, 2, 0, 1, 0);
    late->spec.durability = DURABILITY_MEMORY;
    run_ended(late, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(late, 0));
    batch_is(batch, 3, 1, 1, 0);
}
END_TEST

START_TEST(an_unknown_batch_is_said_to_be_and_a_member_of_one_is_a_job_like_any_other)
{
    struct store_batch batch;
    struct id members[1], known = batch_of(members, 1);
    struct id wrong = id_join(id_key(known), id_random(known) ^ 1);
    ck_assert_int_eq(store_batch_get(store_own_reader(store), id_new(), &batch), ERR_UNKNOWN_BATCH);
    ck_assert_int_eq(store_batch_get(store_own_reader(store), wrong, &batch), ERR_UNKNOWN_BATCH);
    JOB_AUTO job = make_member(wrong);
    submit(job);
    finish(job->spec.id, JOB_SUCCEEDED);
    ck_assert_int_eq(forget_job(job->spec.id), ERR_OK);
    batch_is(known, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_rollback_forgets_what_was_counted)
{
    struct id members[1];
    struct id batch = batch_of(members, 1);
    begin();
    (void)member_in_group(batch);
    finish_in_group(members[0], JOB_SUCCEEDED);
    (void)add_batch();
    store_rollback(store);
    finish(id_submitted(), JOB_SUCCEEDED);
    batch_is(batch, 1, 0, 0, 0);
    ck_assert_int_eq(look("SELECT count(*) FROM batches"), 1);
}
END_TEST

START_TEST(ids_of_batches_are_not_given_to_jobs_after_a_start)
{
    begin();
    struct id batch = id_join(id_key(id_new()) + 1000000, 1);
    ok(store_batch_add(store, batch, 1));
    (void)member_in_group(batch);
    ok(store_commit(store));
    reopen_store();
    ck_assert_int_eq(store_greatest_key(store), id_key(batch));
}
END_TEST

/* Empty ones. */

START_TEST(a_batch_without_jobs_has_finished_if_somebody_waits_for_it_and_is_gone_if_not)
{
    struct store_batch none;
    begin();
    struct id empty = add_batch(), alone = add_batch();
    JOB_AUTO follower = make_after(&alone, 1, AFTER_CANCEL), *outsider = make_after(&empty, 1, AFTER_CANCEL);
    follower->spec.batch = alone;
    follower->spec.flags |= JOB_FLAG_FOLLOWER;
    wait_in_group(follower, &alone, 1);
    wait_in_group(outsider, &empty, 1);
    ok(store_commit(store));
    ck_assert_int_eq(store_batch_get(store_own_reader(store), empty, &none), ERR_UNKNOWN_BATCH);
    batch_is(alone, 0, 0, 0, 0);
    ck_assert_int_eq(batch_now(alone).finished_ms, 4000);
    ck_assert_uint_eq(release_all(), 2);
    is(follower->spec.id, JOB_QUEUED);
    is(outsider->spec.id, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* As a parent. */

/* Three jobs and one that waits for them all. */
static struct id followed_batch(struct id members[3], struct id *follower, enum after_policy policy)
{
    begin();
    struct id batch = add_batch();
    for (int i = 0; i < 3; i++)
        members[i] = member_in_group(batch);
    JOB_AUTO job = make_after(&batch, 1, policy);
    job->spec.batch = batch;
    job->spec.flags |= JOB_FLAG_FOLLOWER;
    ck_assert_int_eq(wait_in_group(job, &batch, 1).err, ERR_OK);
    *follower = job->spec.id;
    ok(store_commit(store));
    waits_for(*follower, 1);
    return batch;
}

START_TEST(a_job_may_wait_for_all_of_its_batch_and_does_not_count)
{
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    batch_is(batch, 3, 0, 0, 0);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    ck_assert(!store_releases_wait(store));
    finish(members[2], JOB_SUCCEEDED);
    ck_assert(store_releases_wait(store));
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_QUEUED);
    finish(follower, JOB_FAILED);
    batch_is(batch, 3, 3, 0, 0);
    nothing_is_left();
}
END_TEST

START_TEST(a_batch_has_succeeded_only_if_each_of_its_jobs_has)
{
    struct id members[3], cancelled, fails, runs;
    char text[ID_TEXT_BYTES], sentence[MESSAGE_BYTES];
    struct id batch = followed_batch(members, &cancelled, AFTER_CANCEL);
    fails = id_waiting_for(&batch, 1, AFTER_FAIL);
    runs = id_waiting_for(&batch, 1, AFTER_RUN);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    ck_assert_int_eq(end_job(members[2], END_CANCEL, 1), ERR_OK);
    ck_assert_uint_eq(release_all(), 3);
    is(cancelled, JOB_CANCELLED);
    is(fails, JOB_FAILED);
    is(runs, JOB_QUEUED);
    JOB_AUTO job = get(cancelled);
    id_format(batch, text);
    snprintf(sentence, sizeof sentence, "Not every job of the batch %s, for which it waited, has succeeded",
             text);
    ck_assert_str_eq(job->attempt.error_code, "dependency_failed");
    ck_assert_str_eq(job->attempt.error_message, sentence);
    nothing_is_left();
}
END_TEST

START_TEST(a_batch_that_has_ended_already_is_like_a_job_that_has)
{
    struct id good[1], bad[1];
    struct id succeeded = batch_of(good, 1), failed = batch_of(bad, 1);
    finish(good[0], JOB_SUCCEEDED);
    finish(bad[0], JOB_FAILED);
    is(id_waiting_for(&succeeded, 1, AFTER_CANCEL), JOB_QUEUED);
    is(id_waiting_for(&failed, 1, AFTER_RUN), JOB_QUEUED);
    struct id behind = id_waiting_for(&failed, 1, AFTER_FAIL);
    waits_for(behind, 1);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_FAILED);
    nothing_is_left();
}
END_TEST

START_TEST(a_rollback_forgets_that_a_batch_has_ended)
{
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    begin();
    finish_in_group(members[2], JOB_FAILED);
    store_rollback(store);
    ck_assert(!store_releases_wait(store));
    batch_is(batch, 3, 2, 0, 0);
    finish(members[2], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_QUEUED);
}
END_TEST

/* Again. */

START_TEST(a_member_that_runs_again_opens_its_batch)
{
    struct id members[2];
    struct id batch = batch_of(members, 2);
    finish(members[0], JOB_FAILED);
    finish(members[1], JOB_SUCCEEDED);
    batch_is(batch, 2, 1, 1, 0);
    retry_as(members[0], JOB_QUEUED);
    batch_is(batch, 2, 1, 0, 0);
    struct id behind = id_waiting_for(&batch, 1, AFTER_CANCEL);
    waits_for(behind, 1);
    finish(members[0], JOB_SUCCEEDED);
    batch_is(batch, 2, 2, 0, 0);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_member_that_runs_again_before_others_were_told_lets_them_wait_on)
{
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    finish(members[2], JOB_FAILED);
    ck_assert(store_releases_wait(store));
    retry_as(members[2], JOB_QUEUED);
    ck_assert_uint_eq(release_all(), 0);
    waits_for(follower, 1);
    finish(members[2], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_QUEUED);
    batch_is(batch, 3, 3, 0, 0);
}
END_TEST

START_TEST(a_member_that_runs_again_and_ends_in_one_group_ends_its_batch_anew)
{
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    finish(members[2], JOB_FAILED);
    struct store_retry retry = {.id = members[2]};
    begin();
    ok(store_retry(store, &retry));
    struct store_end end = end_in_group(members[2], END_CANCEL, 123456);
    ok(store_commit(store));
    job_free(retry.job);
    job_free(end.job);
    batch_is(batch, 3, 2, 0, 1);
    ck_assert_int_eq(batch_now(batch).finished_ms, 123456);
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_CANCELLED);
    nothing_is_left();
}
END_TEST

START_TEST(a_follower_that_runs_again_waits_for_the_members_that_do)
{
    struct id members[3], follower;
    (void)followed_batch(members, &follower, AFTER_CANCEL);
    for (int i = 0; i < 3; i++)
        finish(members[i], i == 0 ? JOB_FAILED : JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_CANCELLED);
    struct store_retry member = {.id = members[0]}, last = {.id = follower};
    begin();
    ok(store_retry(store, &member));
    ok(store_retry(store, &last)); /* sees the batch open, in the same group */
    ok(store_commit(store));
    ck_assert_int_eq(last.job->state, JOB_BLOCKED);
    job_free(member.job);
    job_free(last.job);
    finish(members[0], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    is(follower, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

START_TEST(a_follower_that_runs_again_does_not_count)
{
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    for (int i = 0; i < 3; i++)
        finish(members[i], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    finish(follower, JOB_FAILED);
    retry_as(follower, JOB_QUEUED);
    batch_is(batch, 3, 3, 0, 0);
}
END_TEST

/* Forgotten. */

START_TEST(a_batch_is_forgotten_with_its_last_job_and_followers_are_jobs_of_it)
{
    struct store_batch none;
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    for (int i = 0; i < 3; i++)
        finish(members[i], JOB_SUCCEEDED);
    ck_assert_uint_eq(release_all(), 1);
    finish(follower, JOB_SUCCEEDED);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(forget_job(members[i]), ERR_OK);
    batch_is(batch, 3, 3, 0, 0); /* what it was stays */
    ck_assert_int_eq(look("SELECT kept FROM batches"), 1);
    begin();
    struct store_past past = {.id = follower};
    ok(store_forget(store, &past));
    store_rollback(store);
    batch_is(batch, 3, 3, 0, 0);
    ck_assert_int_eq(forget_job(follower), ERR_OK);
    ck_assert_int_eq(store_batch_get(store_own_reader(store), batch, &none), ERR_UNKNOWN_BATCH);
    ck_assert_int_eq(look("SELECT count(*) FROM batches"), 0);
    counts_are_right();
}
END_TEST

START_TEST(what_waits_for_a_batch_is_told_even_if_that_is_forgotten_first)
{
    struct id members[2];
    struct id batch = batch_of(members, 2), behind = id_waiting_for(&batch, 1, AFTER_CANCEL);
    finish(members[0], JOB_SUCCEEDED);
    finish(members[1], JOB_SUCCEEDED);
    ck_assert_int_eq(forget_job(members[0]), ERR_OK);
    ck_assert_int_eq(forget_job(members[1]), ERR_OK);
    ck_assert_uint_eq(release_all(), 1);
    is(behind, JOB_QUEUED);
    nothing_is_left();
}
END_TEST

/* Memory. */

static enum err change_much(struct id member, struct id forgotten, struct job *fresh)
{
    struct store_submit submit = {.job = fresh};
    struct store_retry retry = {.id = member};
    struct store_past past = {.id = forgotten};
    enum err err = store_batch_add(store, fresh->spec.batch, 1);
    if (err == ERR_OK)
        err = store_submit(store, &submit);
    if (err == ERR_OK)
        err = store_retry(store, &retry);
    job_free(retry.job);
    if (err == ERR_OK)
        err = store_forget(store, &past);
    return err != ERR_OK ? err : store_commit(store);
}

START_TEST(memory_that_runs_out_anywhere_counts_all_or_nothing)
{
    close_store();
    make_memory_scarce();
    open_store();
    struct id members[3], follower;
    struct id batch = followed_batch(members, &follower, AFTER_CANCEL);
    for (int i = 0; i < 3; i++)
        finish(members[i], i == 0 ? JOB_FAILED : JOB_SUCCEEDED);
    enum err err = ERR_NO_MEMORY;
    int tries = 0;
    for (int n = 0; err != ERR_OK; n += 1 + n / 50, tries++) {
        JOB_AUTO fresh = make_member(id_new());
        begin();
        allocations_left = n;
        err = change_much(members[0], members[1], fresh);
        allocations_left = -1;
        reopen_store(); /* even a rollback takes memory; and statements are prepared anew */
        ck_assert_msg(err == ERR_OK || err == ERR_NO_MEMORY, "allocation %d: %s", n, err_code(err));
        batch_is(batch, 3, 2, err != ERR_OK, 0);
        ck_assert_int_eq(look("SELECT count(*) FROM batches"), err == ERR_OK ? 2 : 1);
        ck_assert_int_eq(look("SELECT count(*) FROM releases"), err != ERR_OK);
        ck_assert_int_eq(look("SELECT max(kept) FROM batches"), err == ERR_OK ? 3 : 4);
        counts_are_right();
    }
    ck_assert_int_gt(tries, 50);
}
END_TEST

/* Lists. */

static size_t list(struct store_filter filter, struct id *first)
{
    struct job *jobs[8];
    size_t count, all = 0;
    int64_t next_key;
    filter.created_after_ms = filter.created_before_ms = -1;
    filter.before_key = INT64_MAX;
    do {
        filter.limit = 2;
        ok(store_list(store_own_reader(store), &filter, jobs, &count, &next_key));
        for (size_t i = 0; i < count; i++) {
            ck_assert(id_equal(jobs[i]->spec.batch, filter.batch));
            if (all++ == 0 && first != NULL)
                *first = jobs[i]->spec.id;
            job_free(jobs[i]);
        }
        filter.before_key = filter.after_key = next_key;
    } while (next_key >= 0);
    return all;
}

START_TEST(lists_by_batch_find_each_of_its_jobs_once_with_other_filters_too)
{
    struct id members[5], others[2], first;
    struct id batch = batch_of(members, 5);
    (void)batch_of(others, 2);
    (void)id_submitted();
    finish(members[1], JOB_FAILED);
    finish(members[2], JOB_SUCCEEDED);
    JOB_AUTO tagged = make_member(batch);
    tagged->tags = (struct text){"[\"red\"]", 7};
    strcpy(tagged->spec.task, "other");
    submit(tagged);
    JOB_AUTO elsewhere = make_job("q", "t");
    elsewhere->tags = tagged->tags;
    submit(elsewhere);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch}, &first), 6);
    ck_assert(id_equal(first, tagged->spec.id));
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .ascending = true}, &first), 6);
    ck_assert(id_equal(first, members[0]));
    ck_assert_uint_eq(
        list((struct store_filter){.batch = batch, .by_state = true, .state = JOB_FAILED}, &first), 1);
    ck_assert(id_equal(first, members[1]));
    ck_assert_uint_eq(
        list((struct store_filter){.batch = batch, .by_state = true, .state = JOB_SUCCEEDED}, NULL), 1);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .by_state = true}, NULL), 4);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .tag = "red"}, &first), 1);
    ck_assert(id_equal(first, tagged->spec.id));
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .tag = "red", .text = "oth"}, NULL), 1);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .tag = "red", .text = "x"}, NULL), 0);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .tag = "blue"}, NULL), 0);
    ck_assert_uint_eq(list((struct store_filter){.batch = batch, .task = "other"}, NULL), 1);
    ck_assert_uint_eq(list((struct store_filter){.batch = id_new()}, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_batches");
    TCase *tcase = tcase_create("store_batches");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_batch_counts_how_its_jobs_end_and_when_the_last_one_did);
    tcase_add_test(tcase, jobs_of_other_batches_and_of_none_do_not_count);
    tcase_add_test(tcase, many_jobs_of_a_batch_in_one_group_are_one_update);
    tcase_add_test(tcase, an_end_in_the_group_of_the_beginning_finishes_at_the_commit);
    tcase_add_test(tcase, the_latest_end_of_a_group_is_when_the_batch_finished);
    tcase_add_test(tcase, members_that_arrive_ended_or_late_count);
    tcase_add_test(tcase, an_unknown_batch_is_said_to_be_and_a_member_of_one_is_a_job_like_any_other);
    tcase_add_test(tcase, a_rollback_forgets_what_was_counted);
    tcase_add_test(tcase, ids_of_batches_are_not_given_to_jobs_after_a_start);
    tcase_add_test(tcase, a_batch_without_jobs_has_finished_if_somebody_waits_for_it_and_is_gone_if_not);
    tcase_add_test(tcase, a_job_may_wait_for_all_of_its_batch_and_does_not_count);
    tcase_add_test(tcase, a_batch_has_succeeded_only_if_each_of_its_jobs_has);
    tcase_add_test(tcase, a_batch_that_has_ended_already_is_like_a_job_that_has);
    tcase_add_test(tcase, a_rollback_forgets_that_a_batch_has_ended);
    tcase_add_test(tcase, a_member_that_runs_again_opens_its_batch);
    tcase_add_test(tcase, a_member_that_runs_again_before_others_were_told_lets_them_wait_on);
    tcase_add_test(tcase, a_member_that_runs_again_and_ends_in_one_group_ends_its_batch_anew);
    tcase_add_test(tcase, a_follower_that_runs_again_waits_for_the_members_that_do);
    tcase_add_test(tcase, a_follower_that_runs_again_does_not_count);
    tcase_add_test(tcase, a_batch_is_forgotten_with_its_last_job_and_followers_are_jobs_of_it);
    tcase_add_test(tcase, what_waits_for_a_batch_is_told_even_if_that_is_forgotten_first);
    tcase_add_test(tcase, memory_that_runs_out_anywhere_counts_all_or_nothing);
    tcase_add_test(tcase, lists_by_batch_find_each_of_its_jobs_once_with_other_filters_too);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
