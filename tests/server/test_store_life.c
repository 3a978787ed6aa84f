/* The store: what becomes of finished jobs (again, forgotten, pruned), what is old, and the line. */
#include "scarce_fixture.h"

static struct store_retry retry(struct id id)
{
    struct store_retry retry = {.id = id};
    begin();
    ok(store_retry(store, &retry));
    ok(store_commit(store));
    return retry;
}

static struct store_past forget_ended(struct id id, int64_t finished_ms)
{
    struct store_past past = {.id = id, .finished_ms = finished_ms};
    begin();
    ok(store_forget(store, &past));
    ok(store_commit(store));
    return past;
}

static enum err forget(struct id id)
{
    return forget_ended(id, 0).err;
}

static enum err prune(struct id id, int64_t finished_ms)
{
    struct store_past past = {.id = id, .finished_ms = finished_ms};
    begin();
    ok(store_prune(store, &past));
    ok(store_commit(store));
    return past.err;
}

static struct job *ended(enum job_state state, enum outcome outcome)
{
    struct job *job = submitted();
    run_ended(job, state, outcome);
    ck_assert(land(job, job->spec.attempt - 1));
    return job;
}

static void cancel(struct id id)
{
    ck_assert_int_eq(end_job(id, END_CANCEL, 777), ERR_OK);
}

/* How the attempts ended, as letters. */
static void assert_attempts(struct id id, const char *outcomes)
{
    struct attempt *attempts;
    size_t count;
    ok(store_attempts(store_own_reader(store), id, &attempts, &count));
    ck_assert_uint_eq(count, strlen(outcomes));
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(attempts[i].number, i + 1);
        ck_assert_int_eq(outcome_text((enum outcome)attempts[i].outcome)[0], outcomes[i]);
    }
    free(attempts);
}

START_TEST(a_job_that_never_ran_has_no_attempts)
{
    JOB_AUTO job = submitted();
    struct attempt *attempts;
    size_t count;
    assert_attempts(job->spec.id, "");
    ck_assert_int_eq(store_attempts(store_own_reader(store), id_new(), &attempts, &count), ERR_UNKNOWN_JOB);
}
END_TEST

/* Again. */

START_TEST(a_failed_job_runs_again_with_its_history_and_new_counters)
{
    JOB_AUTO job = submitted();
    run_ended(job, JOB_RETRYING, OUTCOME_ERROR);
    ck_assert(land(job, 0));
    struct job *due[1];
    size_t count;
    int64_t next_ms;
    begin();
    ok(store_due(store, INT64_MAX, 1, due, &count, &next_ms));
    ok(store_commit(store));
    job_free(due[0]);
    run_ended(job, JOB_FAILED, OUTCOME_ERROR);
    job->spec.crashes = job->spec.lost = 1;
    ck_assert(land(job, 1));
    struct store_retry again = retry(job->spec.id);
    ck_assert_int_eq(again.err, ERR_OK);
    JOB_AUTO given = again.job, *row = get(job->spec.id);
    ck_assert_int_eq(row->state, JOB_QUEUED);
    ck_assert_int_eq(given->state, JOB_QUEUED);
    ck_assert_int_gt(row->spec.seq, job->spec.seq);
    ck_assert_int_eq(row->spec.seq, given->spec.seq);
    ck_assert_uint_eq(row->spec.attempt, 2);
    ck_assert_uint_eq(row->spec.errors + row->spec.crashes + row->spec.lost, 0);
    ck_assert_uint_eq(row->attempt.number, 0);
    ck_assert_uint_eq(given->spec.stored, 1);
    assert_attempts(job->spec.id, "ee");
    counts_are_right();
    run_ended(given, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(given, 2));
    assert_attempts(job->spec.id, "ees");
    counts_are_right();
}
END_TEST

START_TEST(a_succeeded_job_that_runs_again_has_no_result_until_it_ends)
{
    JOB_AUTO job = ended(JOB_SUCCEEDED, OUTCOME_SUCCESS);
    JOB_AUTO given = retry(job->spec.id).job, *row = get(job->spec.id);
    ck_assert_ptr_nonnull(given);
    ck_assert_ptr_null(given->result.at);
    ck_assert_ptr_null(row->result.at);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 0 AND result IS NULL"), 1);
}
END_TEST

START_TEST(a_cancelled_job_that_runs_again_is_not_asked_to_stop_any_more)
{
    JOB_AUTO job = submitted();
    cancel(job->spec.id);
    JOB_AUTO given = retry(job->spec.id).job, *row = get(job->spec.id);
    ck_assert(!row->cancel_requested && !given->cancel_requested);
    ck_assert_int_eq(row->attempt.finished_ms, 0);
    assert_attempts(job->spec.id, "");
    run_ended(given, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(given, 0));
    counts_are_right();
}
END_TEST

START_TEST(what_has_not_ended_is_neither_retried_nor_forgotten)
{
    JOB_AUTO queued = submitted(), *retrying = ended(JOB_RETRYING, OUTCOME_ERROR);
    struct id ids[] = {queued->spec.id, retrying->spec.id};
    for (int i = 0; i < 2; i++) {
        struct store_retry again = retry(ids[i]);
        ck_assert_int_eq(again.err, ERR_NOT_FINISHED);
        ck_assert_ptr_null(again.job);
        ck_assert_int_eq(forget(ids[i]), ERR_NOT_FINISHED);
        ck_assert_int_eq(prune(ids[i], 0), ERR_NOT_FINISHED);
    }
    ck_assert_int_eq(retry(id_new()).err, ERR_UNKNOWN_JOB);
    ck_assert_int_eq(forget(id_new()), ERR_UNKNOWN_JOB);
    ck_assert_int_eq(prune(id_new(), 0), ERR_UNKNOWN_JOB);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
    counts_are_right();
}
END_TEST

START_TEST(a_late_landing_of_the_run_before_changes_nothing)
{
    JOB_AUTO job = ended(JOB_FAILED, OUTCOME_ERROR);
    JOB_AUTO given = retry(job->spec.id).job;
    ck_assert_ptr_nonnull(given);
    ck_assert(!land(job, 0));
    JOB_AUTO row = get(job->spec.id);
    ck_assert_int_eq(row->state, JOB_QUEUED);
}
END_TEST

/* Forgotten. */

START_TEST(a_forgotten_job_leaves_only_debris)
{
    JOB_AUTO job = make_job("q", "t"), *other = make_job("q", "t");
    strcpy(job->spec.idempotency_key, "k");
    strcpy(other->spec.idempotency_key, "l");
    job->tags = other->tags = (struct text){"[\"a\",\"b\"]", 9};
    submit(job);
    submit(other);
    run_ended(job, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(job, 0));
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(job, 1));
    ck_assert_int_eq(forget(job->spec.id), ERR_OK);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM tagged"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM tags"), 2);
    counts_are_right();
    ck_assert_int_eq(forget(job->spec.id), ERR_UNKNOWN_JOB);
    struct store_debris debris[4];
    size_t count;
    ok(store_debris_read(store_own_reader(store), 4, debris, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert(id_equal(debris[0].id, job->spec.id));
    ck_assert_uint_eq(debris[0].attempts, 3); /* one more than recorded: it may have been given back */
    begin();
    ok(store_debris_gone(store, &debris[0]));
    ok(store_commit(store));
    ok(store_debris_read(store_own_reader(store), 4, debris, &count));
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(a_key_that_another_job_holds_by_now_is_left_to_it)
{
    JOB_AUTO job = make_job("q", "t"), *later = make_job("q", "t");
    strcpy(job->spec.idempotency_key, "k");
    strcpy(later->spec.idempotency_key, "k");
    later->spec.created_ms += 25 * 3600 * 1000;
    submit(job);
    ck_assert(!submit(later).replayed);
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(job, 0));
    ck_assert_int_eq(forget(job->spec.id), ERR_OK);
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 1);
}
END_TEST

START_TEST(the_attempt_of_a_job_that_was_cancelled_before_its_retry_is_forgotten_too)
{
    JOB_AUTO job = ended(JOB_RETRYING, OUTCOME_ERROR);
    cancel(job->spec.id);
    ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 1);
    ck_assert_int_eq(forget(job->spec.id), ERR_OK);
    ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 0);
}
END_TEST

START_TEST(a_job_that_ended_again_meanwhile_is_not_the_one_that_was_old)
{
    JOB_AUTO job = ended(JOB_SUCCEEDED, OUTCOME_SUCCESS);
    int64_t then = job->attempt.finished_ms;
    JOB_AUTO given = retry(job->spec.id).job;
    ck_assert_int_eq(forget_ended(job->spec.id, then).err, ERR_NOT_FINISHED);
    run_ended(given, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(given, 1));
    ck_assert_int_eq(forget_ended(job->spec.id, then).err, ERR_NOT_FINISHED);
    ck_assert_int_eq(prune(job->spec.id, then), ERR_NOT_FINISHED);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE result IS NOT NULL"), 1);
    ck_assert_int_eq(forget_ended(job->spec.id, given->attempt.finished_ms).err, ERR_OK);
}
END_TEST

START_TEST(a_pruned_result_is_gone_and_the_rest_stays)
{
    JOB_AUTO job = make_job("q", "t");
    job->args = (struct text){"[7]", 3};
    submit(job);
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(job, 0));
    ck_assert_int_eq(prune(job->spec.id, job->attempt.finished_ms), ERR_OK);
    JOB_AUTO row = get(job->spec.id);
    ck_assert_int_eq(row->state, JOB_SUCCEEDED);
    ck_assert_ptr_null(row->result.at);
    ck_assert_uint_eq(row->args.bytes, 3);
    ck_assert_int_eq(row->attempt.finished_ms, job->attempt.finished_ms);
    counts_are_right();
}
END_TEST

/* What is old: the nth job ends n milliseconds after `base`. */

enum { OLD_COUNT = 40 };

static struct id old_ids[OLD_COUNT];
static int64_t base;

static void fill_with_old(void)
{
    static const enum job_state STATES[] = {JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_QUEUED};
    base = clock_real_ms();
    for (int i = 0; i < OLD_COUNT; i++) {
        JOB_AUTO job = submitted();
        old_ids[i] = job->spec.id;
        run_ended(job, STATES[i % 4], OUTCOME_ERROR);
        job->attempt.finished_ms = base + i;
        ck_assert(land(job, 0));
    }
}

static size_t find_all(struct store_ageing ageing, struct store_past *past)
{
    size_t total = 0, count;
    bool end = false;
    while (!end) {
        ok(store_find_past(store_own_reader(store), &ageing, past + total, &count, &ageing.after_key, &end));
        ck_assert_uint_le(count, ageing.limit);
        total += count;
    }
    return total;
}

START_TEST(old_jobs_of_each_terminal_state_are_found_in_steps)
{
    struct store_past past[OLD_COUNT];
    fill_with_old();
    for (int state = 0; state < 3; state++) {
        struct store_ageing ageing = {
            .state = (enum job_state)(JOB_SUCCEEDED + state), .before_ms = base + 20, .limit = 2};
        size_t count = find_all(ageing, past);
        ck_assert_uint_eq(count, 5);
        for (size_t i = 0; i < count; i++) {
            ck_assert(id_equal(past[i].id, old_ids[4 * i + (size_t)state]));
            ck_assert_int_eq(past[i].finished_ms, base + 4 * (int64_t)i + state);
        }
    }
}
END_TEST

START_TEST(old_jobs_are_found_of_some_tasks_or_of_all_others)
{
    static const char TASKS[][NAME_BYTES] = {"a", "ab", "c"};
    static const char *const NAMES[] = {"", "a", "aa", "ab", "b", "c", "d"};
    struct store_past past[8];
    size_t count;
    for (size_t i = 1; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        JOB_AUTO job = make_job("q", NAMES[i]);
        submit(job);
        run_ended(job, JOB_FAILED, OUTCOME_ERROR);
        ck_assert(land(job, 0));
        old_ids[i] = job->spec.id;
    }
    struct store_ageing ageing = {
        .state = JOB_FAILED, .tasks = TASKS, .task_count = 3, .before_ms = INT64_MAX / 8192, .limit = 8};
    count = find_all(ageing, past);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++)
        ck_assert(id_equal(past[i].id, old_ids[2 * i + 1]));
    ageing.but_these = true;
    count = find_all(ageing, past);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++)
        ck_assert(id_equal(past[i].id, old_ids[2 * i + 2]));
    ageing.task_count = 0;
    ck_assert_uint_eq(find_all(ageing, past), 6);
    ageing.but_these = false;
    ck_assert_uint_eq(find_all(ageing, past), 6);
}
END_TEST

START_TEST(only_those_that_have_a_result_are_found_for_pruning)
{
    struct store_past past[OLD_COUNT];
    fill_with_old();
    struct store_ageing ageing = {
        .state = JOB_SUCCEEDED, .results = true, .before_ms = INT64_MAX / 8192, .limit = 50};
    ck_assert_uint_eq(find_all(ageing, past), OLD_COUNT / 4);
    ck_assert_int_eq(prune(past[3].id, past[3].finished_ms), ERR_OK);
    ck_assert_uint_eq(find_all(ageing, past), OLD_COUNT / 4 - 1);
}
END_TEST

START_TEST(a_walk_for_old_jobs_ends_where_jobs_are_too_young)
{
    struct store_past past[8];
    size_t count;
    int64_t seen;
    bool end;
    fill_with_old();
    change_file("UPDATE meta SET value = 0 WHERE name = 'skew_ms'");
    struct store_ageing ageing = {.state = JOB_SUCCEEDED, .before_ms = id_key(old_ids[0]) >> 12, .limit = 8};
    ok(store_find_past(store_own_reader(store), &ageing, past, &count, &seen, &end));
    ck_assert(end);
    ck_assert_int_lt(seen, id_key(old_ids[0])); /* not one of them was looked at */
}
END_TEST

/* Memory that runs out. */

static enum err try_group(struct id again, struct id gone, struct job *tagged)
{
    struct store_retry retried = {.id = again};
    struct store_past past = {.id = gone};
    struct store_submit submission = {.job = tagged};
    enum err err = store_begin(store, DURABILITY_PROCESS);
    if (err == ERR_OK)
        err = store_retry(store, &retried);
    if (err == ERR_OK)
        err = store_forget(store, &past);
    if (err == ERR_OK)
        err = store_submit(store, &submission);
    job_free(retried.job);
    return err != ERR_OK ? err : store_commit(store);
}

START_TEST(memory_that_runs_out_anywhere_undoes_all_of_it)
{
    teardown();
    make_memory_scarce();
    setup();
    JOB_AUTO fresh = make_job("q", "t"), *again = ended(JOB_FAILED, OUTCOME_ERROR),
             *gone = make_job("q", "t");
    strcpy(gone->spec.idempotency_key, "k");
    fresh->tags = gone->tags = (struct text){"[\"a\",\"b\"]", 9};
    submit(gone);
    run_ended(gone, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(gone, 0));
    run_ended(gone, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(gone, 1));
    enum err err = ERR_NO_MEMORY;
    int n = 0;
    for (; err != ERR_OK; n++) {
        reopen_store(); /* cold: statements and pages are allocated anew */
        allocations_left = n;
        err = try_group(again->spec.id, gone->spec.id, fresh);
        allocations_left = -1;
        ck_assert_msg(err == ERR_OK || err == ERR_NO_MEMORY, "allocation %d: %s", n, err_code(err));
        ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 0"), err == ERR_OK ? 2 : 0);
        ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 1);
        ck_assert_int_eq(look("SELECT count(*) FROM keys"), err != ERR_OK);
        ck_assert_int_eq(look("SELECT count(*) FROM tags"), 2);
        counts_are_right();
    }
    ck_assert_int_gt(n, 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_life");
    TCase *tcase = tcase_create("store_life");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_job_that_never_ran_has_no_attempts);
    tcase_add_test(tcase, a_failed_job_runs_again_with_its_history_and_new_counters);
    tcase_add_test(tcase, a_succeeded_job_that_runs_again_has_no_result_until_it_ends);
    tcase_add_test(tcase, a_cancelled_job_that_runs_again_is_not_asked_to_stop_any_more);
    tcase_add_test(tcase, what_has_not_ended_is_neither_retried_nor_forgotten);
    tcase_add_test(tcase, a_late_landing_of_the_run_before_changes_nothing);
    tcase_add_test(tcase, a_forgotten_job_leaves_only_debris);
    tcase_add_test(tcase, a_key_that_another_job_holds_by_now_is_left_to_it);
    tcase_add_test(tcase, the_attempt_of_a_job_that_was_cancelled_before_its_retry_is_forgotten_too);
    tcase_add_test(tcase, a_job_that_ended_again_meanwhile_is_not_the_one_that_was_old);
    tcase_add_test(tcase, a_pruned_result_is_gone_and_the_rest_stays);
    tcase_add_test(tcase, old_jobs_of_each_terminal_state_are_found_in_steps);
    tcase_add_test(tcase, old_jobs_are_found_of_some_tasks_or_of_all_others);
    tcase_add_test(tcase, only_those_that_have_a_result_are_found_for_pruning);
    tcase_add_test(tcase, a_walk_for_old_jobs_ends_where_jobs_are_too_young);
    tcase_add_test(tcase, memory_that_runs_out_anywhere_undoes_all_of_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
