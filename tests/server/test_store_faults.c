/* The store on a disk that is full, read-only or failing: what is undone, what is refused, what the marker
 * says, and the rewrite after it. */
#include "store_fixture.h"

#include "fault_vfs.h"
#include "marker.h"

#include <errno.h>
#include <sys/stat.h>

static void faulty_setup(void)
{
    fault_vfs_install();
    setup();
}

static void faulty_teardown(void)
{
    fault_off();
    teardown();
}

static bool exists(const char *format)
{
    char path[160];
    snprintf(path, sizeof path, format, file_path());
    return access(path, F_OK) == 0;
}

static bool marked(void)
{
    return marker_found(file_path());
}

/* What a killed server leaves: the log holds all of it, and the index is there. */
static void leave_unclean(void)
{
    char command[512];
    snprintf(command, sizeof command, "mkdir %s/k && cp %s/jobs.db* %s/k/", folder, folder, folder);
    ck_assert_int_eq(system(command), 0);
    close_store();
    snprintf(command, sizeof command, "rm %s/jobs.db* ; cp %s/k/jobs.db* %s/ && rm -r %s/k", folder, folder,
             folder, folder);
    ck_assert_int_eq(system(command), 0);
}

/* One group of a submit, a land and an end. */
static enum err try_group(struct job *fresh, struct job *run, struct job *waiting)
{
    struct store_submit submission = {.job = fresh};
    struct store_land landing = {.job = run, .keep_attempt = true};
    struct store_end end = {.id = waiting->spec.id, .ending = END_CANCEL, .now_ms = 5};
    enum err err = store_begin(store, DURABILITY_FULL);
    if (err == ERR_OK)
        err = store_submit(store, &submission);
    if (err == ERR_OK)
        err = store_land(store, &landing);
    if (err == ERR_OK)
        err = store_end(store, &end);
    job_free(end.job);
    if (err == ERR_OK)
        return store_commit(store);
    store_rollback(store);
    return err;
}

static void nothing_has_happened(void)
{
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 0"), 2);
    counts_are_right();
}

/* The same group, failing at the first write, the second and so on, each time with the same answer. */
static void fails_for_now(int kind, int code, int number)
{
    JOB_AUTO fresh = make_job("q", "t"), *run = submitted(), *waiting = submitted();
    fresh->spec.durability = run->spec.durability = DURABILITY_FULL;
    strcpy(fresh->spec.idempotency_key, "k");
    fresh->args = (struct text){"\"some arguments\"", 16};
    run_ended(run, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    enum err err = ERR_STORE_FULL;
    int n = 0;
    for (; err != ERR_OK; n++) {
        fault_on(kind, code, number, "-wal");
        fault_after(n);
        err = try_group(fresh, run, waiting);
        fault_off();
        ck_assert_msg(err == ERR_OK || err == ERR_STORE_FULL, "write %d: %s", n, err_code(err));
        if (err != ERR_OK)
            nothing_has_happened();
    }
    ck_assert_int_gt(n, 1); /* all of a group is one write, as a rule */
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state IN (3, 5)"), 2);
    counts_are_right();
    ck_assert(!marked());
}

START_TEST(a_disk_that_fills_up_anywhere_in_a_group_undoes_all_of_it)
{
    fails_for_now(FAULT_WRITE, SQLITE_FULL, ENOSPC);
}
END_TEST

START_TEST(a_quota_is_a_full_disk)
{
    fails_for_now(FAULT_WRITE, SQLITE_IOERR_WRITE, EDQUOT);
}
END_TEST

START_TEST(a_disk_that_becomes_read_only_is_tried_again)
{
    fails_for_now(FAULT_WRITE, SQLITE_IOERR_WRITE, EROFS);
}
END_TEST

START_TEST(a_write_that_fails_is_no_full_disk_and_leaves_no_marker)
{
    JOB_AUTO job = make_job("q", "t");
    begin();
    struct store_submit submission = {.job = job};
    ok(store_submit(store, &submission));
    fault_on(FAULT_WRITE, SQLITE_IOERR_WRITE, EIO, "-wal");
    ck_assert_int_eq(store_commit(store), ERR_STORE_FAILED);
    fault_off();
    ck_assert(!marked());
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
}
END_TEST

START_TEST(a_probe_really_writes_and_says_when_there_is_room_again)
{
    for (int i = 0; i < 2; i++) {
        fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, "-wal");
        ck_assert_int_eq(store_probe(store), ERR_STORE_FULL);
        fault_off();
        ok(store_probe(store));
    }
    job_free(submitted());
    reopen_store();
    ck_assert(!store_was_unclean(store));
}
END_TEST

START_TEST(a_full_disk_stops_the_checkpointer_for_a_while_only)
{
    struct store_checkpointer *checkpointer;
    int pages;
    ok(store_checkpointer_open(url, &checkpointer));
    JOB_AUTO job = submitted();
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, ".db");
    ck_assert_int_eq(store_checkpoint(checkpointer, &pages), ERR_STORE_FULL);
    fault_off();
    ok(store_checkpoint(checkpointer, &pages));
    store_checkpointer_close(checkpointer);
    job_free(get(job->spec.id));
    ck_assert(!marked());
}
END_TEST

/* --- what a start refuses --- */

static void refused(enum err expected, const char *text)
{
    BUF_AUTO message = {0};
    ck_assert_int_eq(store_open(url, &store, &message), expected);
    ck_assert_ptr_null(store);
    buf_add(&message, "", 1);
    ck_assert_msg(strstr(message.data, text) != NULL, "\"%s\" not in: %s", text, message.data);
    ck_assert_ptr_nonnull(strstr(message.data, file_path()));
}

START_TEST(a_truncated_file_is_refused_and_left_alone)
{
    struct stat status;
    for (int i = 0; i < 300; i++)
        job_free(submitted());
    close_store();
    ck_assert_int_eq(truncate(file_path(), 3 * 4096), 0);
    refused(ERR_STORE_UNUSABLE, "is damaged");
    ck_assert_int_eq(stat(file_path(), &status), 0);
    ck_assert_int_eq(status.st_size, 3 * 4096);
    ck_assert_int_eq(truncate(file_path(), 100), 0);
    refused(ERR_STORE_UNUSABLE, "is damaged");
}
END_TEST

START_TEST(an_empty_or_missing_file_beside_a_full_log_is_refused)
{
    job_free(submitted());
    leave_unclean();
    ck_assert_int_eq(truncate(file_path(), 0), 0);
    refused(ERR_STORE_UNUSABLE, "was cut or removed");
    ck_assert_int_eq(unlink(file_path()), 0);
    refused(ERR_STORE_UNUSABLE, "was cut or removed");
    ck_assert(exists("%s-wal"));
}
END_TEST

START_TEST(a_file_that_may_only_be_read_is_refused)
{
    close_store();
    ck_assert_int_eq(chmod(folder, 0777), 0);
    ck_assert_int_eq(chmod(file_path(), 0444), 0);
    if (geteuid() == 0 && seteuid(65534) != 0) /* root may write anywhere */
        return;
    refused(ERR_STORE_UNUSABLE, "is not readable and writable");
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_start_on_a_full_disk_says_so)
{
    close_store();
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, "-wal");
    refused(ERR_STORE_FULL, "is full");
    fault_off();
    open_store();
}
END_TEST

START_TEST(a_start_whose_first_sync_fails_is_refused_and_leaves_the_marker)
{
    close_store();
    fault_on(FAULT_SYNC, SQLITE_IOERR_FSYNC, EIO, "");
    refused(ERR_STORE_UNUSABLE, "cannot be opened");
    fault_off();
    ck_assert(marked());
}
END_TEST

/* --- failed syncs --- */

START_TEST(a_sync_that_fails_in_a_commit_leaves_the_marker_and_acknowledges_nothing)
{
    JOB_AUTO job = make_job("q", "t");
    struct store_submit submission = {.job = job};
    job->spec.durability = DURABILITY_FULL;
    ok(store_begin(store, DURABILITY_FULL));
    ok(store_submit(store, &submission));
    fault_on(FAULT_SYNC, SQLITE_IOERR_FSYNC, EIO, "-wal");
    ck_assert_int_eq(store_commit(store), ERR_STORE_FAILED);
    ck_assert(marked());
    char path[128], text[1024] = "";
    snprintf(path, sizeof path, "%s/" MARKER_FILE, folder);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, file_path()));
    ck_assert_ptr_nonnull(strstr(text, "errno 5"));
    ck_assert_ptr_nonnull(strstr(text, "COMMIT"));
}
END_TEST

START_TEST(even_a_sync_that_fails_for_want_of_space_leaves_the_marker)
{
    JOB_AUTO job = make_job("q", "t");
    struct store_submit submission = {.job = job};
    ok(store_begin(store, DURABILITY_FULL));
    ok(store_submit(store, &submission));
    fault_on(FAULT_SYNC, SQLITE_IOERR_FSYNC, ENOSPC, "-wal");
    ck_assert_int_eq(store_commit(store), ERR_STORE_FAILED);
    ck_assert(marked());
}
END_TEST

START_TEST(a_sync_that_fails_in_a_checkpoint_leaves_the_marker)
{
    struct store_checkpointer *checkpointer;
    int pages;
    ok(store_checkpointer_open(url, &checkpointer));
    job_free(submitted());
    fault_on(FAULT_SYNC, SQLITE_IOERR_FSYNC, EIO, ".db");
    ck_assert_int_eq(store_checkpoint(checkpointer, &pages), ERR_STORE_FAILED);
    ck_assert(marked());
    fault_off();
    store_checkpointer_close(checkpointer);
}
END_TEST

/* --- the rewrite --- */

static void rewrite(void)
{
    BUF_AUTO message = {0};
    enum err err = store_rewrite(url, &message);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)message.bytes, message.data);
}

static ino_t inode(void)
{
    struct stat status;
    ck_assert_int_eq(stat(file_path(), &status), 0);
    return status.st_ino;
}

START_TEST(a_rewrite_makes_a_new_file_with_all_that_was_committed)
{
    JOB_AUTO first = submitted(), *second = submitted();
    run_ended(second, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(second, 0));
    struct id identity = store_identity(store);
    leave_unclean();
    ck_assert(exists("%s-wal"));
    ino_t before = inode();
    rewrite();
    ck_assert_uint_ne(inode(), before);
    ck_assert(!exists("%s-wal") && !exists("%s-shm") && !exists("%s.rewritten"));
    open_store();
    ck_assert(id_equal(store_identity(store), identity));
    ck_assert(store_was_unclean(store));
    JOB_AUTO one = get(first->spec.id), *two = get(second->spec.id);
    ck_assert_int_eq(one->state, JOB_QUEUED);
    ck_assert_int_eq(two->state, JOB_SUCCEEDED);
    counts_are_right();
}
END_TEST

START_TEST(a_rewrite_killed_between_its_rename_and_the_end_of_the_old_log_harms_nothing)
{
    for (int i = 0; i < 50; i++)
        job_free(submitted());
    leave_unclean();
    char command[256];
    snprintf(command, sizeof command, "cp %s-wal %s/old-wal", file_path(), folder);
    ck_assert_int_eq(system(command), 0);
    rewrite();
    snprintf(command, sizeof command, "mv %s/old-wal %s-wal", folder, file_path());
    ck_assert_int_eq(system(command), 0);
    open_store();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 50);
    counts_are_right();
    struct store_checkpointer *checkpointer;
    struct buf message = {0};
    ok(store_checkpointer_open(url, &checkpointer));
    ok(store_check(checkpointer, &message));
    store_checkpointer_close(checkpointer);
}
END_TEST

START_TEST(a_rewrite_without_room_leaves_the_old_file_alone)
{
    BUF_AUTO message = {0};
    JOB_AUTO job = submitted();
    leave_unclean();
    ino_t before = inode();
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, ".rewritten");
    ck_assert_int_eq(store_rewrite(url, &message), ERR_STORE_FULL);
    fault_off();
    ck_assert_uint_eq(inode(), before);
    ck_assert(!exists("%s.rewritten"));
    open_store();
    job_free(get(job->spec.id));
}
END_TEST

START_TEST(a_rewrite_of_a_damaged_store_is_refused)
{
    BUF_AUTO message = {0};
    job_free(submitted());
    close_store();
    long page = (long)look("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'");
    FILE *file = fopen(file_path(), "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, (page - 1) * 4096, SEEK_SET);
    fputs("damage", file);
    fclose(file);
    ino_t before = inode();
    ck_assert_int_eq(store_rewrite(url, &message), ERR_STORE_UNUSABLE);
    buf_add(&message, "", 1);
    ck_assert_msg(strstr(message.data, "is damaged") != NULL, "%s", message.data);
    ck_assert_uint_eq(inode(), before);
    ck_assert(!exists("%s.rewritten"));
}
END_TEST

START_TEST(a_store_that_does_not_exist_yet_needs_no_rewrite)
{
    close_store();
    remove_folder();
    make_folder();
    rewrite();
    ck_assert(!exists("%s"));
    open_store();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_faults");
    TCase *tcase = tcase_create("store_faults");
    tcase_add_checked_fixture(tcase, faulty_setup, faulty_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_disk_that_fills_up_anywhere_in_a_group_undoes_all_of_it);
    tcase_add_test(tcase, a_quota_is_a_full_disk);
    tcase_add_test(tcase, a_disk_that_becomes_read_only_is_tried_again);
    tcase_add_test(tcase, a_write_that_fails_is_no_full_disk_and_leaves_no_marker);
    tcase_add_test(tcase, a_probe_really_writes_and_says_when_there_is_room_again);
    tcase_add_test(tcase, a_full_disk_stops_the_checkpointer_for_a_while_only);
    tcase_add_test(tcase, a_truncated_file_is_refused_and_left_alone);
    tcase_add_test(tcase, an_empty_or_missing_file_beside_a_full_log_is_refused);
    tcase_add_test(tcase, a_file_that_may_only_be_read_is_refused);
    tcase_add_test(tcase, a_start_on_a_full_disk_says_so);
    tcase_add_test(tcase, a_start_whose_first_sync_fails_is_refused_and_leaves_the_marker);
    tcase_add_test(tcase, a_sync_that_fails_in_a_commit_leaves_the_marker_and_acknowledges_nothing);
    tcase_add_test(tcase, even_a_sync_that_fails_for_want_of_space_leaves_the_marker);
    tcase_add_test(tcase, a_sync_that_fails_in_a_checkpoint_leaves_the_marker);
    tcase_add_test(tcase, a_rewrite_makes_a_new_file_with_all_that_was_committed);
    tcase_add_test(tcase, a_rewrite_killed_between_its_rename_and_the_end_of_the_old_log_harms_nothing);
    tcase_add_test(tcase, a_rewrite_without_room_leaves_the_old_file_alone);
    tcase_add_test(tcase, a_rewrite_of_a_damaged_store_is_refused);
    tcase_add_test(tcase, a_store_that_does_not_exist_yet_needs_no_rewrite);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
