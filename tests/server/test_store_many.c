/* The store with many jobs: counts over random operations, lists. */
#include "store_fixture.h"

enum { JOB_MAX = 3000 };

static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13; /* xorshift: the same numbers in every run */
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)(dice_state % sides);
}

/* Random operations. */

static struct id ids[JOB_MAX];
static size_t id_count;

static void submit_some(void)
{
    static const char *const QUEUES[] = {"a", "b", "default"}, *const TASKS[] = {"x", "y"};
    JOB_AUTO job = make_job(QUEUES[dice(3)], TASKS[dice(2)]);
    if (dice(3) == 0) {
        snprintf(job->spec.idempotency_key, KEY_BYTES, "key-%u", dice(40));
        job->spec.fingerprint = id_fingerprint(job->spec.queue, 1);
    }
    job->spec.priority = (uint8_t)dice(PRIORITY_COUNT);
    job->state = dice(4) == 0 ? JOB_SCHEDULED : dice(8) == 0 ? JOB_BLOCKED : JOB_QUEUED;
    job->spec.run_at_ms = job->state == JOB_SCHEDULED ? 1 + dice(2000) : 0;
    job->spec.expires_ms = dice(2) * dice(2000);
    struct store_submit submission = submit_in_group(job);
    if (submission.err == ERR_OK && !submission.replayed)
        ids[id_count++] = job->spec.id;
}

static void land_some(struct id id)
{
    static const enum job_state ENDS[] = {JOB_SUCCEEDED, JOB_SUCCEEDED, JOB_RETRYING, JOB_QUEUED, JOB_FAILED};
    struct job *job = NULL;
    if (store_get(store_own_reader(store), id, &job) != ERR_OK)
        return; /* its group was undone */
    uint32_t before = job->spec.attempt;
    bool waits = job->state == JOB_QUEUED;
    if (waits || job_is_terminal(job->state)) { /* no other has a run that could land */
        run_ended(job, ENDS[dice(5)], OUTCOME_ERROR);
        ck_assert(land_in_group(job, before) == waits);
    }
    job_free(job);
}

static void end_some(struct id id)
{
    static const enum store_ending ENDINGS[] = {END_CANCEL, END_ASK, END_EXPIRE, END_EXPIRE};
    job_free(end_in_group(id, ENDINGS[dice(4)], 1000).job);
}

static void patch_some(struct id id)
{
    struct store_patch patch = {.id = id,
                                .has_priority = dice(2) == 0,
                                .priority = (uint8_t)dice(PRIORITY_COUNT),
                                .has_run_at = dice(2) == 0,
                                .run_at_ms = 1 + dice(2000),
                                .now_ms = 1000,
                                .has_expires = dice(2) == 0,
                                .expires_ms = dice(2000)};
    ok(store_patch(store, &patch));
    if (patch.job != NULL)
        ck_assert_int_eq(patch.job->spec.lane, job_lane(&patch.job->spec));
    job_free(patch.job);
}

static void requeue_some(void)
{
    struct job *jobs[4];
    size_t count;
    int64_t next_ms;
    ok(store_due(store, INT64_MAX, 4, jobs, &count, &next_ms));
    while (count > 0)
        job_free(jobs[--count]);
}

static void retry_some(struct id id)
{
    struct store_retry retry = {.id = id};
    ok(store_retry(store, &retry));
    job_free(retry.job);
}

static void forget_some(struct id id)
{
    struct store_past past = {.id = id};
    ok(store_forget(store, &past));
}

static void do_something(void)
{
    unsigned what = dice(16);
    if (what < 4 || id_count == 0)
        submit_some();
    else if (what < 8)
        land_some(ids[dice((unsigned)id_count)]);
    else if (what == 8)
        end_some(ids[dice((unsigned)id_count)]);
    else if (what < 11)
        retry_some(ids[dice((unsigned)id_count)]);
    else if (what == 11)
        forget_some(ids[dice((unsigned)id_count)]);
    else if (what < 15)
        patch_some(ids[dice((unsigned)id_count)]);
    else
        requeue_some();
}

static void attempts_are_whole(struct id id)
{
    struct job *job = NULL;
    struct attempt *attempts;
    size_t count;
    if (store_get(store_own_reader(store), id, &job) != ERR_OK)
        return;
    ok(store_attempts(store_own_reader(store), id, &attempts, &count));
    ck_assert_uint_eq(count, job->spec.attempt);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(attempts[i].number, i + 1);
    free(attempts);
    job_free(job);
}

START_TEST(counts_equal_the_rows_after_any_operations_and_rollbacks)
{
    dice_state = 20261123;
    for (int done = 0; done < 2500;) {
        begin();
        for (unsigned more = 1 + dice(8); more > 0; more--, done++)
            do_something();
        if (dice(5) == 0)
            store_rollback(store);
        else
            ok(store_commit(store));
        counts_are_right();
        if (dice(100) == 0)
            reopen_store();
    }
    for (size_t i = 0; i < id_count; i++)
        attempts_are_whole(ids[i]);
    ck_assert_int_gt(look("SELECT count(*) FROM attempts"), 50);
    ck_assert_int_gt(look("SELECT count(*) FROM debris"), 10);
    ck_assert_int_eq(look("SELECT count(*) FROM attempts WHERE id_key NOT IN (SELECT id_key FROM jobs)"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM keys WHERE job_key NOT IN (SELECT id_key FROM jobs)"), 0);
    struct store_count *counts;
    size_t count;
    int64_t jobs = 0;
    ok(store_counts(store_own_reader(store), &counts, &count));
    for (size_t i = 0; i < count; i++)
        jobs += counts[i].jobs;
    ck_assert_int_eq(jobs, look("SELECT count(*) FROM jobs"));
    free(counts);
}
END_TEST

/* Lists. */

static const struct store_filter ANY = {
    .created_after_ms = -1, .created_before_ms = -1, .before_key = INT64_MAX, .limit = 7};

static struct store_reader *reader;

static void setup_reader(void)
{
    setup();
    ok(store_reader_open(url, &reader));
}

static void teardown_reader(void)
{
    store_reader_close(reader);
    teardown();
}

/* Follows the pages: all keys must fall, each row must be one that SQL finds too, and their number the same.
 */
static void list_equals(struct store_filter filter, const char *condition)
{
    struct job *jobs[64];
    size_t count, total = 0;
    int64_t last = INT64_MAX, next = INT64_MAX;
    char sql[256];
    while (next != -1) {
        filter.before_key = next;
        ok(store_list(reader, &filter, jobs, &count, &next));
        ck_assert_uint_le(count, filter.limit);
        ck_assert(next == -1 || next < filter.before_key);
        total += count;
        for (size_t i = 0; i < count; i++) {
            int64_t key = id_key(jobs[i]->spec.id);
            ck_assert_int_lt(key, last);
            last = key;
            snprintf(sql, sizeof sql, "SELECT count(*) FROM jobs WHERE id_key = %lld AND %s", (long long)key,
                     condition);
            ck_assert_int_eq(look(sql), 1);
            ck_assert_ptr_null(jobs[i]->args.at);
            job_free(jobs[i]);
        }
    }
    snprintf(sql, sizeof sql, "SELECT count(*) FROM jobs WHERE %s", condition);
    ck_assert_int_eq((int64_t)total, look(sql));
}

/* 300 jobs in all states, queues and tasks; those of the last third were created in the past, by a clock set
 * back. */
static void fill_store(void)
{
    static const enum job_state STATES[] = {JOB_QUEUED,    JOB_SUCCEEDED, JOB_FAILED, JOB_RETRYING,
                                            JOB_CANCELLED, JOB_SCHEDULED, JOB_BLOCKED};
    dice_state = 7;
    for (int i = 0; i < 300; i++) {
        JOB_AUTO job = make_job(dice(2) ? "a" : "b", dice(2) ? "x" : "y");
        job->spec.created_ms = i < 200 ? 1000 + i : 500 + i;
        job->args = (struct text){"[]", 2};
        enum job_state state = STATES[dice(7)];
        bool never_ran = state == JOB_SCHEDULED || state == JOB_BLOCKED;
        job->state = never_ran ? state : JOB_QUEUED;
        submit(job);
        if (never_ran)
            continue;
        run_ended(job, state, OUTCOME_ERROR);
        if (dice(5) > 0)
            ck_assert(land(job, 0));
    }
}

START_TEST(pages_cover_every_job_once_under_each_filter)
{
    fill_store();
    list_equals(ANY, "1");
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        struct store_filter filter = ANY;
        char condition[64];
        if (state == JOB_RUNNING)
            continue;
        filter.by_state = true;
        filter.state = (enum job_state)state;
        snprintf(condition, sizeof condition, "state = %d", state);
        list_equals(filter, condition);
        strcpy(filter.queue, "a");
        strcpy(filter.task, "y");
        snprintf(condition, sizeof condition, "state = %d AND queue = 'a' AND task = 'y'", state);
        list_equals(filter, condition);
    }
    struct store_filter filter = ANY;
    strcpy(filter.queue, "no");
    list_equals(filter, "0");
}
END_TEST

START_TEST(lists_by_time_are_exact_even_after_the_clock_was_set_back)
{
    fill_store();
    struct store_filter filter = ANY;
    filter.created_after_ms = 1100;
    list_equals(filter, "created_ms > 1100");
    filter.created_before_ms = 1150;
    list_equals(filter, "created_ms > 1100 AND created_ms < 1150");
    filter.created_after_ms = -1;
    list_equals(filter, "created_ms < 1150");
    filter.by_state = true;
    filter.state = JOB_FAILED;
    list_equals(filter, "created_ms < 1150 AND state = 4");
}
END_TEST

START_TEST(a_list_by_time_looks_only_where_keys_of_that_time_lie)
{
    struct job *jobs[8];
    size_t count;
    int64_t next;
    for (int i = 0; i < 60000; i++) { /* two hours ago; more than one page looks at */
        JOB_AUTO job = make_job("q", "t");
        job->spec.created_ms -= 7200000;
        job->spec.id = id_join(((job->spec.created_ms) << 12) + i, 1);
        if (i % 1000 == 0)
            begin();
        submit_in_group(job);
        if (i % 1000 == 999)
            ok(store_commit(store));
    }
    struct store_filter filter = ANY;
    filter.created_after_ms = clock_real_ms() - 3600000;
    strcpy(filter.task, "t");
    ok(store_list(reader, &filter, jobs, &count, &next));
    ck_assert(count == 0 && next == -1);
}
END_TEST

START_TEST(a_page_ends_after_50000_rows_and_the_next_goes_on)
{
    struct job *jobs[8];
    size_t count;
    int64_t next;
    JOB_AUTO wanted = make_job("rare", "t");
    submit(wanted);
    for (int group = 0; group < 51; group++) {
        begin();
        for (int i = 0; i < 1000; i++) {
            JOB_AUTO job = make_job("q", "t");
            submit_in_group(job);
        }
        ok(store_commit(store));
    }
    struct store_filter filter = ANY;
    strcpy(filter.queue, "rare");
    filter.by_state = true; /* so many queued ones are not sorted but walked */
    filter.state = JOB_QUEUED;
    ok(store_list(reader, &filter, jobs, &count, &next));
    ck_assert_uint_eq(count, 0);
    ck_assert_int_gt(next, 0);
    filter.before_key = next;
    ok(store_list(reader, &filter, jobs, &count, &next));
    ck_assert(count == 1 && next == -1 && id_equal(jobs[0]->spec.id, wanted->spec.id));
    job_free(jobs[0]);
}
END_TEST

START_TEST(a_list_within_a_group_sees_the_group)
{
    struct job *jobs[8];
    size_t count;
    int64_t next;
    JOB_AUTO job = make_job("q", "t");
    begin();
    submit_in_group(job);
    ok(store_list(store_own_reader(store), &ANY, jobs, &count, &next));
    ck_assert_uint_eq(count, 1);
    job_free(jobs[0]);
    ok(store_list(reader, &ANY, jobs, &count, &next));
    ck_assert_uint_eq(count, 0);
    ok(store_commit(store));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_many");
    TCase *tcase = tcase_create("store_many");
    tcase_add_checked_fixture(tcase, setup_reader, teardown_reader);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, counts_equal_the_rows_after_any_operations_and_rollbacks);
    tcase_add_test(tcase, pages_cover_every_job_once_under_each_filter);
    tcase_add_test(tcase, lists_by_time_are_exact_even_after_the_clock_was_set_back);
    tcase_add_test(tcase, a_list_by_time_looks_only_where_keys_of_that_time_lie);
    tcase_add_test(tcase, a_page_ends_after_50000_rows_and_the_next_goes_on);
    tcase_add_test(tcase, a_list_within_a_group_sees_the_group);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
