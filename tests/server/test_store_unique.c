/* The store: uniqueness keys. */
#include "together_fixture.h"

enum { CREATED_MS = 1000000 };

/* A job that is unique as `rule` says: members of EXTRA_UNIQUE behind the key. */
static struct job *make_unique(const char *key, const char *rule, int64_t created_ms)
{
    struct job *job = make_job("q", "t");
    give_extras(job, "{\"unique\":{\"key\":\"%s\"%s}}", key, rule);
    job->spec.flags = JOB_FLAG_UNIQUE;
    job->spec.created_ms = created_ms;
    return job;
}

static struct id id_unique(const char *key, const char *rule, int64_t created_ms)
{
    JOB_AUTO job = make_unique(key, rule, created_ms);
    struct store_submit done = submit(job);
    ck_assert_int_eq(done.err, ERR_OK);
    ck_assert(!done.returned && !done.replayed);
    is(job->spec.id, JOB_QUEUED);
    return job->spec.id;
}

static void held_by(struct id holder, const char *key, const char *rule, int64_t created_ms)
{
    JOB_AUTO job = make_unique(key, rule, created_ms), *none = NULL;
    struct store_submit done = submit(job);
    ck_assert_int_eq(done.err, ERR_DUPLICATE_JOB);
    ck_assert(id_equal(done.original, holder));
    ck_assert(!done.returned && !done.replayed);
    ck_assert_int_eq(store_get(store_own_reader(store), job->spec.id, &none), ERR_UNKNOWN_JOB);
    counts_are_right();
}

static int64_t keys(void)
{
    return look("SELECT count(*) FROM uniques");
}

START_TEST(a_key_is_held_until_its_job_has_ended_in_whatever_way)
{
    struct id first = id_unique("k", "", CREATED_MS);
    held_by(first, "k", "", CREATED_MS);
    held_by(first, "k", "", INT64_MAX / 2);
    id_unique("other", "", CREATED_MS);
    finish(first, JOB_RETRYING);
    held_by(first, "k", "", CREATED_MS);
    ck_assert_int_eq(end_job(first, END_CANCEL, 1), ERR_OK);
    struct id second = id_unique("k", "", CREATED_MS);
    finish(second, JOB_SUCCEEDED);
    struct id third = id_unique("k", "", CREATED_MS);
    finish(third, JOB_FAILED);
    struct id fourth = id_unique("k", "", CREATED_MS);
    held_by(fourth, "k", "", CREATED_MS);
    reopen_store();
    held_by(fourth, "k", "", CREATED_MS);
    ck_assert_int_eq(keys(), 2);
}
END_TEST

START_TEST(a_key_with_a_period_is_held_for_it_from_created_ms_and_no_longer)
{
    struct id first = id_unique("k", ",\"period\":2.5", CREATED_MS);
    held_by(first, "k", ",\"period\":2.5", CREATED_MS + 2499);
    finish(first, JOB_SUCCEEDED);
    held_by(first, "k", ",\"period\":2.5", CREATED_MS + 2499);
    held_by(first, "k", "", CREATED_MS + 2499);
    struct id second = id_unique("k", ",\"period\":1", CREATED_MS + 2500);
    held_by(second, "k", "", CREATED_MS + 2501);
    id_unique("k", "", CREATED_MS + 3500); /* the second has not even begun */
    ck_assert_int_eq(keys(), 1);
}
END_TEST

START_TEST(the_other_job_is_returned_to_one_that_asks_for_it)
{
    struct id first = id_unique("k", "", CREATED_MS);
    JOB_AUTO job = make_unique("k", ",\"on_conflict\":\"return\"", CREATED_MS);
    struct store_submit done = submit(job);
    ck_assert_int_eq(done.err, ERR_OK);
    ck_assert(done.returned);
    ck_assert(!done.replayed);
    ck_assert(id_equal(done.original, first));
    held_by(first, "k", ",\"on_conflict\":\"replace\"", CREATED_MS);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST(a_replaced_job_says_by_whom_and_gives_up_its_key_even_within_its_period)
{
    static const char *const RULES[] = {"", ",\"period\":60"};
    for (int i = 0; i < 2; i++) {
        struct id old = id_unique("k", RULES[i], CREATED_MS);
        JOB_AUTO job = make_unique("k", RULES[i], CREATED_MS + 1);
        struct store_end end = {.id = old, .by = job->spec.id, .ending = END_REPLACE, .now_ms = 77};
        char by[ID_TEXT_BYTES], sentence[MESSAGE_BYTES];
        begin();
        ok(store_end(store, &end));
        struct store_submit done = submit_in_group(job);
        ok(store_commit(store));
        ck_assert_int_eq(end.err, ERR_OK);
        ck_assert_int_eq(done.err, ERR_OK);
        ck_assert_int_eq(end.from, JOB_QUEUED);
        job_free(end.job);
        JOB_AUTO ended = get(old);
        id_format(job->spec.id, by);
        snprintf(sentence, sizeof sentence, "The job %s with the same uniqueness key took its place", by);
        ck_assert_int_eq(ended->state, JOB_CANCELLED);
        ck_assert(ended->cancel_requested);
        ck_assert_uint_eq(ended->attempt.number, 0);
        ck_assert_uint_eq(ended->attempt.outcome, OUTCOME_CANCELLED);
        ck_assert_int_eq(ended->attempt.finished_ms, 77);
        ck_assert_str_eq(ended->attempt.error_code, "replaced");
        ck_assert_str_eq(ended->attempt.error_message, sentence);
        held_by(job->spec.id, "k", "", CREATED_MS + 2);
        ck_assert_int_eq(end_job(old, END_REPLACE, 78), ERR_ALREADY_FINISHED);
        held_by(job->spec.id, "k", "", CREATED_MS + 2);
        change_file("DELETE FROM uniques");
    }
}
END_TEST

START_TEST(cancelling_within_a_period_keeps_the_key)
{
    struct id first = id_unique("k", ",\"period\":60", CREATED_MS);
    ck_assert_int_eq(end_job(first, END_CANCEL, 1), ERR_OK);
    held_by(first, "k", "", CREATED_MS + 59999);
}
END_TEST

START_TEST(an_idempotency_key_comes_first_and_a_conflict_takes_none)
{
    JOB_AUTO first = make_unique("k", "", CREATED_MS), *again = make_unique("k", "", CREATED_MS),
             *other = make_unique("k", "", CREATED_MS), *reuse = make_unique("k", "", CREATED_MS);
    first->spec.fingerprint = again->spec.fingerprint = id_fingerprint("a", 1);
    other->spec.fingerprint = reuse->spec.fingerprint = id_fingerprint("b", 1);
    strcpy(first->spec.idempotency_key, "i");
    strcpy(again->spec.idempotency_key, "i");
    strcpy(reuse->spec.idempotency_key, "i");
    strcpy(other->spec.idempotency_key, "j");
    ck_assert_int_eq(submit(first).err, ERR_OK);
    struct store_submit replay = submit(again), reused = submit(reuse), held = submit(other);
    ck_assert_int_eq(replay.err, ERR_OK);
    ck_assert(replay.replayed && !replay.returned);
    ck_assert(id_equal(replay.original, first->spec.id));
    ck_assert_int_eq(reused.err, ERR_KEY_REUSED);
    ck_assert_int_eq(held.err, ERR_DUPLICATE_JOB);
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 1);
    finish(first->spec.id, JOB_SUCCEEDED);
    ck_assert_int_eq(submit(other).err, ERR_OK);
    ck_assert(submit(other).replayed);
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 2);
}
END_TEST

START_TEST(uniqueness_comes_before_unknown_dependencies)
{
    struct id first = id_unique("k", "", CREATED_MS), unknown = id_new();
    JOB_AUTO job = make_unique("k", "", CREATED_MS);
    struct store_submit done = submit_after(job, &unknown, 1);
    ck_assert_int_eq(done.err, ERR_DUPLICATE_JOB);
    ck_assert(id_equal(done.original, first));
}
END_TEST

START_TEST(two_of_one_group_see_each_other_and_a_rollback_frees_the_key)
{
    JOB_AUTO a = make_unique("k", "", CREATED_MS), *b = make_unique("k", "", CREATED_MS);
    begin();
    ck_assert_int_eq(submit_in_group(a).err, ERR_OK);
    ck_assert_int_eq(submit_in_group(b).err, ERR_DUPLICATE_JOB);
    finish_in_group(a->spec.id, JOB_SUCCEEDED);
    ck_assert_int_eq(submit_in_group(b).err, ERR_OK);
    store_rollback(store);
    ck_assert_int_eq(keys(), 0);
    ck_assert_int_eq(submit(b).err, ERR_OK);
}
END_TEST

START_TEST(a_job_without_the_flag_holds_and_heeds_no_key)
{
    id_unique("k", "", CREATED_MS);
    JOB_AUTO job = make_unique("k", "", CREATED_MS), *bare = make_unique("l", "", CREATED_MS);
    job->spec.flags = bare->spec.flags = 0;
    ck_assert_int_eq(submit(job).err, ERR_OK);
    ck_assert_int_eq(submit(bare).err, ERR_OK);
    ck_assert_int_eq(keys(), 1);
}
END_TEST

START_TEST(a_job_that_arrives_ended_holds_its_key_only_for_a_period)
{
    JOB_AUTO until_end = make_unique("k", "", CREATED_MS),
             *period = make_unique("p", ",\"period\":9", CREATED_MS);
    run_ended(until_end, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    run_ended(period, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert_int_eq(submit(until_end).err, ERR_OK);
    ck_assert_int_eq(submit(period).err, ERR_OK);
    id_unique("k", "", CREATED_MS);
    held_by(period->spec.id, "p", "", CREATED_MS);
}
END_TEST

START_TEST(a_memory_job_takes_its_key_when_it_lands_unless_another_has_it)
{
    JOB_AUTO late = make_unique("p", ",\"period\":9", CREATED_MS), *loser = make_unique("k", "", CREATED_MS);
    struct id holder = id_unique("k", "", CREATED_MS);
    late->spec.durability = loser->spec.durability = DURABILITY_MEMORY;
    run_ended(late, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    run_ended(loser, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(late, 0));
    ck_assert(land(loser, 0));
    held_by(late->spec.id, "p", "", CREATED_MS);
    held_by(holder, "k", "", CREATED_MS);
}
END_TEST

/* Again, forgotten, swept. */

START_TEST(a_job_that_runs_again_takes_its_key_again)
{
    struct id first = id_unique("k", "", CREATED_MS);
    finish(first, JOB_FAILED);
    retry_as(first, JOB_QUEUED);
    held_by(first, "k", "", CREATED_MS);
    finish(first, JOB_FAILED);
    ck_assert_int_eq(keys(), 0);
}
END_TEST

static struct store_submit standing(const char *key, const char *rule, const char *idempotency_key)
{
    JOB_AUTO job = make_unique(key, rule, CREATED_MS);
    struct store_submit find = {.job = job};
    strcpy(job->spec.idempotency_key, idempotency_key);
    ok(store_find_standing(store, &find));
    return find;
}

START_TEST(what_stands_is_found_without_inserting_anything)
{
    static const char RETURN[] = ",\"on_conflict\":\"return\"";
    struct id first = id_unique("k", "", CREATED_MS);
    struct store_submit found = standing("k", RETURN, "");
    ck_assert(found.err == ERR_OK && found.returned && id_equal(found.original, first));
    found = standing("k", RETURN, "unknown"); /* the idempotency key first, then the other */
    ck_assert(found.err == ERR_OK && found.returned && id_equal(found.original, first));
    ck_assert_int_eq(standing("k", "", "").err, ERR_NOT_FOUND);
    ck_assert_int_eq(standing("k", ",\"on_conflict\":\"replace\"", "").err, ERR_NOT_FOUND);
    ck_assert_int_eq(standing("free", RETURN, "").err, ERR_NOT_FOUND);
    finish(first, JOB_SUCCEEDED);
    ck_assert_int_eq(standing("k", RETURN, "").err, ERR_NOT_FOUND);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    ck_assert_int_eq(keys(), 0);
}
END_TEST

START_TEST(a_job_whose_key_another_holds_does_not_run_again)
{
    struct id first = id_unique("k", "", CREATED_MS);
    finish(first, JOB_FAILED);
    struct id second = id_unique("k", "", CREATED_MS);
    struct store_retry refused = retry_job(first);
    ck_assert_int_eq(refused.err, ERR_DUPLICATE_JOB);
    ck_assert(id_equal(refused.holder, second));
    ck_assert_ptr_null(refused.job);
    is(first, JOB_FAILED);
    counts_are_right();
    held_by(second, "k", "", CREATED_MS);
    finish(second, JOB_SUCCEEDED);
    retry_as(first, JOB_QUEUED);
}
END_TEST

START_TEST(a_period_is_not_begun_anew_by_another_run)
{
    int64_t now_ms = clock_real_ms();
    struct id over = id_unique("over", ",\"period\":1", now_ms - 60000),
              within = id_unique("within", ",\"period\":600", now_ms - 60000);
    finish(over, JOB_FAILED);
    finish(within, JOB_FAILED);
    retry_as(over, JOB_QUEUED);
    retry_as(within, JOB_QUEUED);
    ck_assert_int_eq(look("SELECT until_ms FROM uniques WHERE key = 'within'"), now_ms + 540000);
    held_by(within, "within", "", now_ms + 539999);
    id_unique("over", "", now_ms);
}
END_TEST

START_TEST(a_forgotten_job_holds_no_key)
{
    struct id first = id_unique("k", ",\"period\":600", CREATED_MS);
    finish(first, JOB_SUCCEEDED);
    held_by(first, "k", "", CREATED_MS);
    ck_assert_int_eq(forget_job(first), ERR_OK);
    struct id second = id_unique("k", ",\"period\":600", CREATED_MS);
    finish(second, JOB_SUCCEEDED);
    begin();
    struct store_end replaced = end_in_group(second, END_REPLACE, 1);
    ok(store_commit(store));
    ck_assert_int_eq(replaced.err, ERR_ALREADY_FINISHED);
    held_by(second, "k", "", CREATED_MS);
}
END_TEST

START_TEST(forgetting_a_job_leaves_the_key_to_whoever_took_it_since)
{
    struct id first = id_unique("k", "", CREATED_MS);
    finish(first, JOB_SUCCEEDED);
    struct id second = id_unique("k", "", CREATED_MS);
    ck_assert_int_eq(forget_job(first), ERR_OK);
    held_by(second, "k", "", CREATED_MS);
}
END_TEST

START_TEST(keys_whose_period_is_over_are_swept_a_few_at_a_time)
{
    id_unique("a", ",\"period\":1", CREATED_MS);
    id_unique("b", ",\"period\":2", CREATED_MS);
    id_unique("c", ",\"period\":3", CREATED_MS);
    id_unique("d", "", CREATED_MS);
    begin();
    ok(store_sweep_keys(store, CREATED_MS + 2000, 1));
    ok(store_commit(store));
    ck_assert_int_eq(keys(), 3);
    begin();
    ok(store_sweep_keys(store, CREATED_MS + 2000, 10));
    ok(store_commit(store));
    ck_assert_int_eq(keys(), 2);
    ck_assert_int_eq(look("SELECT count(*) FROM uniques WHERE key IN ('c', 'd')"), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_unique");
    TCase *tcase = tcase_create("store_unique");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_key_is_held_until_its_job_has_ended_in_whatever_way);
    tcase_add_test(tcase, a_key_with_a_period_is_held_for_it_from_created_ms_and_no_longer);
    tcase_add_test(tcase, the_other_job_is_returned_to_one_that_asks_for_it);
    tcase_add_test(tcase, a_replaced_job_says_by_whom_and_gives_up_its_key_even_within_its_period);
    tcase_add_test(tcase, cancelling_within_a_period_keeps_the_key);
    tcase_add_test(tcase, an_idempotency_key_comes_first_and_a_conflict_takes_none);
    tcase_add_test(tcase, uniqueness_comes_before_unknown_dependencies);
    tcase_add_test(tcase, two_of_one_group_see_each_other_and_a_rollback_frees_the_key);
    tcase_add_test(tcase, a_job_without_the_flag_holds_and_heeds_no_key);
    tcase_add_test(tcase, a_job_that_arrives_ended_holds_its_key_only_for_a_period);
    tcase_add_test(tcase, a_memory_job_takes_its_key_when_it_lands_unless_another_has_it);
    tcase_add_test(tcase, a_job_that_runs_again_takes_its_key_again);
    tcase_add_test(tcase, what_stands_is_found_without_inserting_anything);
    tcase_add_test(tcase, a_job_whose_key_another_holds_does_not_run_again);
    tcase_add_test(tcase, a_period_is_not_begun_anew_by_another_run);
    tcase_add_test(tcase, a_forgotten_job_holds_no_key);
    tcase_add_test(tcase, forgetting_a_job_leaves_the_key_to_whoever_took_it_since);
    tcase_add_test(tcase, keys_whose_period_is_over_are_swept_a_few_at_a_time);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
