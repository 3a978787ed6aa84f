/* The log of the writer: few writes a transaction, and all that transactions are for. */
#include "store_fixture.h"

#include "fault_vfs.h"

#include <sys/stat.h>

enum { LARGE_BYTES = 30000, MANY = 400 }; /* together more than the writer's cache holds */

static char large[LARGE_BYTES];

static void log_setup(void)
{
    fault_vfs_install();
    setup();
    memset(large, 'x', sizeof large);
    large[0] = large[sizeof large - 1] = '"';
}

static void log_teardown(void)
{
    fault_off();
    teardown();
}

static int64_t log_bytes(void)
{
    char path[160];
    struct stat status;
    snprintf(path, sizeof path, "%s-wal", file_path());
    ck_assert_int_eq(stat(path, &status), 0);
    return status.st_size;
}

static enum err insert_many(int count, size_t bytes)
{
    for (int i = 0; i < count; i++) {
        JOB_AUTO job = make_job("q", "t");
        job->args = (struct text){large, bytes};
        struct store_submit submission = {.job = job};
        if (bytes < sizeof large)
            job->args = (struct text){"\"few\"", 5};
        enum err err = store_submit(store, &submission);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void there_are(int64_t jobs)
{
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), jobs);
    ck_assert_int_eq(look("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

START_TEST(a_group_is_one_write_to_the_log)
{
    ok(store_begin(store, DURABILITY_PROCESS));
    ok(insert_many(200, 1));
    int64_t bytes = log_bytes();
    int writes = atomic_load(&fault_writes);
    ok(store_commit(store));
    ck_assert_int_gt(log_bytes() - bytes, 8 * 4120); /* frames of many pages */
    ck_assert_int_eq(atomic_load(&fault_writes) - writes, 1);
    there_are(200);
}
END_TEST

START_TEST(a_transaction_beyond_the_cache_is_whole)
{
    ok(store_begin(store, DURABILITY_PROCESS));
    ok(insert_many(MANY, sizeof large));
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0); /* nobody sees what is not committed */
    ok(store_commit(store));
    there_are(MANY);
    ck_assert_int_eq(look("SELECT min(length(args)) FROM jobs"), sizeof large);
    reopen_store();
    there_are(MANY);
}
END_TEST

START_TEST(what_is_undone_leaves_nothing_and_harms_nothing)
{
    for (int round = 1; round <= 3; round++) {
        ok(store_begin(store, DURABILITY_PROCESS));
        ok(insert_many(MANY, sizeof large));
        store_rollback(store);
        ok(store_begin(store, DURABILITY_PROCESS));
        ok(insert_many(10, 1));
        ok(store_commit(store));
        there_are(round * 10);
    }
}
END_TEST

START_TEST(a_large_transaction_whose_writes_fail_anywhere_has_not_happened)
{
    enum err err = ERR_STORE_FULL;
    int n = 0;
    for (; err != ERR_OK; n += 7) {
        fault_on(FAULT_WRITE, SQLITE_FULL, 0, "-wal");
        fault_after(n);
        err = store_begin(store, DURABILITY_PROCESS);
        if (err == ERR_OK)
            err = insert_many(MANY, sizeof large);
        if (err == ERR_OK)
            err = store_commit(store);
        else
            store_rollback(store);
        fault_off();
        ck_assert_msg(err == ERR_OK || err == ERR_STORE_FULL, "write %d: %s", n, err_code(err));
        if (err != ERR_OK)
            there_are(0);
    }
    ck_assert_int_gt(n, 7);
    there_are(MANY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_wal");
    TCase *tests = tcase_create("store_wal");
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, log_setup, log_teardown);
    tcase_add_test(tests, a_group_is_one_write_to_the_log);
    tcase_add_test(tests, a_transaction_beyond_the_cache_is_whole);
    tcase_add_test(tests, what_is_undone_leaves_nothing_and_harms_nothing);
    tcase_add_test(tests, a_large_transaction_whose_writes_fail_anywhere_has_not_happened);
    return run_suite(suite);
}
