/* The store: files of versions 2 and 3, with jobs in all states of their time, become files of version 4. */
#include "scarce_fixture.h"

enum { JOBS = 50 };

/* Every column that version 2 had. */
#define COLUMNS                                                                                              \
    "id_key, id_random, state, created_ms, queue, task, seq, run_at_ms, attempt, errors, crashes, lost, "    \
    "cancel_requested, priority, durability, timeout_ms, kill_after_ms, max_attempts, backoff, initial_ms, " \
    "max_ms, jitter, epoch, idempotency_key, fingerprint, traceparent, number, outcome, retryable, "         \
    "started_ms, finished_ms, worker, exit_code, signal, cpu_us, max_rss_bytes, progress, progress_ms, "     \
    "progress_message, error_code, error_message, result, args"

/* Its schema as it was, and rows as it wrote them: each value another one, so that none can change places
 * with its neighbour. States go 0, 2, 3, 4, 5. */
static const char ROWS[] =
    "INSERT INTO meta VALUES ('id', x'00112233445566778899aabbccddeeff');"
    "UPDATE meta SET value = 500 WHERE name = 'seq';"
    "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49) "
    "SELECT i, CASE i % 5 WHEN 0 THEN 0 ELSE i % 5 + 1 END AS state, ((7000 + i) << 12) | i AS key FROM n;"
    "INSERT INTO jobs (" COLUMNS ") SELECT key, i, state, 7000 + i, 'q' || (i % 3), 't' || (i % 2), 100 + i,"
    " iif(state = 2, 9000 + i, 0), state > 0, 10 + i, 20 + i, 30 + i, i % 2, i % 10, i % 3, 1000 + i, 2000 + "
    "i,"
    " 3 + i, i % 3, 3000 + i, 4000 + i, i % 100, i, iif(i % 7 = 0, 'key' || i, NULL),"
    " iif(i % 7 = 0, randomblob(16), NULL), iif(i % 4 = 0, 'trace' || i, NULL), iif(state > 0, 1, NULL),"
    " iif(state > 0, 2, NULL), iif(state > 0, i % 2, NULL), iif(state > 0, 7100 + i, NULL),"
    " iif(state > 0, 7200 + i, NULL), 40 + i, 50 + i, 60 + i, 70 + i, 80 + i, i / 50.0, 90 + i, 'half' || i,"
    " 'code' || i, 'message' || i, iif(state = 3, '[' || i || ']', NULL), '{\"n\":' || i || '}' FROM n;"
    "INSERT INTO counts SELECT queue, task, state, count(*) FROM jobs GROUP BY 1, 2, 3;"
    "INSERT INTO tagged SELECT key, '[\"a\"]' FROM n WHERE i % 6 = 0;"
    "INSERT INTO tags SELECT 'a', key FROM n WHERE i % 6 = 0;";

static void make_version_2(void)
{
    BUF_AUTO sql = {0};
    buf_put(&sql, "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x666f726b; PRAGMA user_version = 2;");
    buf_put(&sql, store_schema_sql);
    buf_put(&sql, store_schema_2_sql);
    buf_put(&sql, ROWS);
    buf_add(&sql, "", 1);
    change_file(sql.data);
}

/* Puts the file, as it is, aside as old.db. */
static void keep_old(void)
{
    char command[160];
    snprintf(command, sizeof command, "cp %s/jobs.db %s/old.db", folder, folder);
    ck_assert_int_eq(system(command), 0);
}

/* How many rows are not in both. */
static int64_t differing(const char *select)
{
    char sql[4096];
    sqlite3 *db;
    sqlite3_stmt *statement;
    snprintf(sql, sizeof sql, "ATTACH '%s/old.db' AS old", folder);
    ck_assert_int_eq(sqlite3_open(file_path(), &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql,
             "SELECT (SELECT count(*) FROM (SELECT %s FROM main.jobs EXCEPT SELECT %s FROM old.jobs)) + "
             "(SELECT count(*) FROM (SELECT %s FROM old.jobs EXCEPT SELECT %s FROM main.jobs))",
             select, select, select, select);
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

static struct id id_at(int64_t i)
{
    return id_join(((7000 + i) << 12) | i, i);
}

START_TEST(each_row_of_version_2_is_there_unchanged)
{
    make_version_2();
    keep_old();
    ck_assert_int_eq(look("SELECT count(DISTINCT state) FROM jobs"), 5);
    open_store();
    ck_assert_int_eq(look("PRAGMA user_version"), 4);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
    ck_assert_int_eq(differing(COLUMNS), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE scheduled_ms OR expires_ms OR waits OR flags OR "
                          "after_policy OR batch OR extras OR concurrency_key"),
                     0);
    ck_assert_int_eq(look("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    ck_assert_int_eq(store_identity(store).bytes[1], 0x11);
    ck_assert_int_eq(store_greatest_key(store), id_key(id_at(JOBS - 1)));
    counts_are_right();
    close_store();
}
END_TEST

START_TEST(a_migrated_file_has_the_tables_and_indexes_of_a_new_one)
{
    static const char NAMES[] = "SELECT count(*) FROM sqlite_schema WHERE name IN ('jobs_ready', 'jobs_due', "
                                "'jobs_scheduled', 'jobs_expiry', 'jobs_listed') AND tbl_name = 'jobs'";
    make_version_2();
    open_store();
    ck_assert_int_eq(look(NAMES), 5);
    int64_t all = look("SELECT count(*) FROM sqlite_schema");
    close_store();
    ck_assert_int_eq(remove(file_path()), 0);
    open_store();
    ck_assert_int_eq(look(NAMES), 5);
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema"), all);
    close_store();
}
END_TEST

START_TEST(old_jobs_have_the_lane_that_a_new_one_like_them_gets)
{
    make_version_2();
    open_store();
    for (int i = 0; i < JOBS; i++) {
        JOB_AUTO job = get(id_at(i));
        char queue[8];
        snprintf(queue, sizeof queue, "q%d", i % 3);
        ck_assert_str_eq(job->spec.queue, queue);
        ck_assert_int_eq(job->spec.lane, job_lane(&job->spec));
        ck_assert_uint_eq(job->tags.bytes, i % 6 == 0 ? 5 : 0);
    }
    ck_assert_int_gt(look("SELECT count(DISTINCT lane) FROM jobs"), 10);
    close_store();
}
END_TEST

START_TEST(old_jobs_are_loaded_due_patched_and_retried_like_new_ones)
{
    make_version_2();
    open_store();
    struct job *jobs[JOBS];
    size_t count;
    int64_t next_ms;
    JOB_AUTO queued = get(id_at(0));
    struct store_load load = {.lane = queued->spec.lane, .limit = JOBS};
    ok(store_load(store, &load, 1, SIZE_MAX, jobs, &count));
    ck_assert_uint_ge(count, 1);
    ck_assert(id_equal(jobs[0]->spec.id, queued->spec.id));
    while (count > 0)
        job_free(jobs[--count]);
    struct store_patch patch = {.id = id_at(5), .has_priority = true, .priority = 9};
    struct store_retry retry = {.id = id_at(3)};
    begin();
    ok(store_due(store, 9001, JOBS, jobs, &count, &next_ms));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(next_ms, 9006);
    ck_assert_int_gt(jobs[0]->spec.seq, 500);
    ok(store_patch(store, &patch));
    ok(store_retry(store, &retry));
    ok(store_commit(store));
    ck_assert_int_eq(patch.err | retry.err, ERR_OK);
    job_free(jobs[0]);
    job_free(patch.job);
    job_free(retry.job);
    counts_are_right();
    close_store();
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_file_at_version_2)
{
    BUF_AUTO message = {0};
    make_version_2();
    keep_old();
    change_file("CREATE TABLE settings (x)"); /* in the way */
    ck_assert_int_eq(store_open(url, &store, &message), ERR_STORE_UNUSABLE);
    ck_assert_int_eq(look("PRAGMA user_version"), 2);
    ck_assert_int_eq(differing("*"), 0);
    change_file("DROP TABLE settings");
    open_store();
    ck_assert_int_eq(differing(COLUMNS), 0);
    close_store();
}
END_TEST

START_TEST(memory_that_runs_out_anywhere_in_a_migration_leaves_the_file_at_version_2)
{
    make_memory_scarce();
    make_version_2();
    keep_old();
    enum err err = ERR_NO_MEMORY;
    int tries = 0;
    for (int n = 0; err != ERR_OK; n += 1 + n / 50, tries++) {
        BUF_AUTO message = {0};
        allocations_left = n;
        err = store_open(url, &store, &message);
        allocations_left = -1;
        /* Short of memory SQLite stays out of WAL mode and does not say why: that is unusable. */
        bool refused = err == ERR_NO_MEMORY || err == ERR_STORE_UNUSABLE;
        ck_assert_msg(err == ERR_OK || refused, "allocation %d: %s", n, err_code(err));
        if (err != ERR_OK && look("PRAGMA user_version") == 2)
            ck_assert_int_eq(differing("*"), 0);
    }
    ck_assert_int_gt(tries, 50);
    ck_assert_int_eq(differing(COLUMNS), 0);
    close_store();
}
END_TEST

/* Version 3. Of its rows nothing is touched: they are what they were, and the new tables are empty. */

static const char ROWS_3[] =
    "UPDATE jobs SET state = iif(id_random % 2, 6, 7), scheduled_ms = 8000 + id_random, expires_ms = 9500, "
    "run_at_ms = iif(id_random % 2, 8000 + id_random, 0), flags = 2, after_policy = 1, "
    "concurrency_key = 'c' || id_random, batch = randomblob(16), extras = '{\"ref\":\"a\"}' WHERE state = 2;"
    "DELETE FROM counts; INSERT INTO counts SELECT queue, task, state, count(*) FROM jobs GROUP BY 1, 2, 3;"
    "INSERT INTO settings VALUES (1, 'q', '{}');"
    "PRAGMA user_version = 3;";

static void lane_5(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_int64(context, 5 + sqlite3_value_int(values[0]));
}

static void make_version_3(void)
{
    BUF_AUTO sql = {0};
    sqlite3 *db;
    make_version_2();
    buf_put(&sql, store_schema_3_sql);
    buf_put(&sql, ROWS_3);
    buf_add(&sql, "", 1);
    ck_assert_int_eq(sqlite3_open(file_path(), &db), SQLITE_OK);
    sqlite3_create_function(db, "forkpool_lane", 3, SQLITE_UTF8, NULL, lane_5, NULL, NULL);
    ck_assert_msg(sqlite3_exec(db, sql.data, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema WHERE name = 'edges'"), 0);
}

START_TEST(each_row_of_version_3_is_there_unchanged)
{
    make_version_3();
    keep_old();
    open_store();
    ck_assert_int_eq(look("PRAGMA user_version"), 4);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
    ck_assert_int_eq(differing("*"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM settings"), 1);
    ck_assert_int_eq(look("SELECT (SELECT count(*) FROM edges) + (SELECT count(*) FROM releases) + (SELECT "
                          "count(*) FROM uniques) + (SELECT count(*) FROM batches) + (SELECT count(*) FROM "
                          "schedules)"),
                     0);
    ck_assert_int_eq(look("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs INDEXED BY jobs_batch WHERE batch IS NOT NULL"),
                     JOBS / 5);
    ck_assert_int_eq(store_identity(store).bytes[1], 0x11);
    ck_assert_int_eq(store_greatest_key(store), id_key(id_at(JOBS - 1)));
    ck_assert(!store_releases_wait(store));
    counts_are_right();
    close_store();
}
END_TEST

START_TEST(a_migrated_file_of_version_3_is_made_like_a_new_one)
{
    make_version_3();
    open_store();
    int64_t all = look("SELECT count(*) FROM sqlite_schema"),
            sum = look("SELECT sum(length(sql)) FROM sqlite_schema");
    close_store();
    ck_assert_int_eq(remove(file_path()), 0);
    open_store();
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema"), all);
    ck_assert_int_eq(look("SELECT sum(length(sql)) FROM sqlite_schema"), sum);
    close_store();
}
END_TEST

START_TEST(jobs_of_version_3_may_be_waited_for)
{
    make_version_3();
    open_store();
    JOB_AUTO open = get(id_at(0)), *job = make_job("q", "t");
    struct id after[] = {open->spec.id, id_at(2)}; /* queued, and succeeded */
    struct store_submit submission = {.job = job, .after = after, .after_count = 2};
    struct job *jobs[1];
    struct store_release release = {.limit = 1, .jobs = jobs};
    begin();
    ok(store_submit(store, &submission));
    ck_assert_uint_eq(job->waits, 1);
    job_free(end_in_group(open->spec.id, END_CANCEL, 1).job);
    ok(store_release(store, &release));
    ok(store_commit(store));
    ck_assert_uint_eq(release.count, 1);
    ck_assert_int_eq(jobs[0]->state, JOB_CANCELLED);
    job_free(jobs[0]);
    counts_are_right();
    close_store();
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_file_at_version_3)
{
    BUF_AUTO message = {0};
    make_version_3();
    keep_old();
    change_file("CREATE TABLE batches (x)"); /* in the way, behind others */
    ck_assert_int_eq(store_open(url, &store, &message), ERR_STORE_UNUSABLE);
    ck_assert_int_eq(look("PRAGMA user_version"), 3);
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema WHERE name IN ('edges', 'uniques')"), 0);
    ck_assert_int_eq(differing("*"), 0);
    change_file("DROP TABLE batches");
    open_store();
    ck_assert_int_eq(differing("*"), 0);
    close_store();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_migrate");
    TCase *tcase = tcase_create("store_migrate");
    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_row_of_version_2_is_there_unchanged);
    tcase_add_test(tcase, a_migrated_file_has_the_tables_and_indexes_of_a_new_one);
    tcase_add_test(tcase, old_jobs_have_the_lane_that_a_new_one_like_them_gets);
    tcase_add_test(tcase, old_jobs_are_loaded_due_patched_and_retried_like_new_ones);
    tcase_add_test(tcase, a_migration_that_fails_leaves_the_file_at_version_2);
    tcase_add_test(tcase, memory_that_runs_out_anywhere_in_a_migration_leaves_the_file_at_version_2);
    tcase_add_test(tcase, each_row_of_version_3_is_there_unchanged);
    tcase_add_test(tcase, a_migrated_file_of_version_3_is_made_like_a_new_one);
    tcase_add_test(tcase, jobs_of_version_3_may_be_waited_for);
    tcase_add_test(tcase, a_migration_that_fails_leaves_the_file_at_version_3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
