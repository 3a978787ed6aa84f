/* A copy of the store, while somebody writes it or not: what it holds, what is refused, and that nothing is
 * left behind.
 */
#include "store_fixture.h"

#include "fault_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

static char copy_path[96], copy_url[128], store_url[96];

static void backup_setup(void)
{
    fault_vfs_install();
    setup();
    snprintf(copy_path, sizeof copy_path, "%s/copy.db", folder);
    snprintf(copy_url, sizeof copy_url, "sqlite://%s", copy_path);
    strcpy(store_url, url);
}

static void backup_teardown(void)
{
    fault_off();
    teardown();
}

static struct store_copied copied_with(const struct store_watch *watch)
{
    BUF_AUTO message = {0};
    struct store_copied copied = {0};
    enum err err = store_backup(store_url, copy_path, watch, &copied, &message);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)message.bytes, message.data);
    return copied;
}

static bool exists(const char *suffix)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", copy_path, suffix);
    return access(path, F_OK) == 0;
}

static void refused(enum err expected, const char *text)
{
    BUF_AUTO message = {0};
    struct store_copied copied;
    ck_assert_int_eq(store_backup(store_url, copy_path, NULL, &copied, &message), expected);
    buf_add(&message, "", 1);
    ck_assert_msg(strstr(message.data, text) != NULL, "\"%s\" not in: %s", text, message.data);
    ck_assert(!exists(".partial-wal") && !exists(".partial-shm") && !exists(".partial-journal"));
}

/* From here on the store of the fixture is the copy. */
static void open_copy(void)
{
    close_store();
    strcpy(url, copy_url);
    open_store();
}

START_TEST(a_copy_of_a_store_in_use_is_one_file_with_all_that_was_committed)
{
    struct stat status;
    JOB_AUTO first = submitted(), *second = submitted(), *open = make_job("q", "t");
    run_ended(second, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(second, 0));
    struct id identity = store_identity(store);
    begin();
    submit_in_group(open); /* not committed while the copy is made */
    struct store_copied copied = copied_with(NULL);
    ok(store_commit(store));
    ck_assert_int_eq(copied.jobs, 2);
    ck_assert_int_eq(stat(copy_path, &status), 0);
    ck_assert_int_eq(copied.bytes, status.st_size);
    ck_assert_uint_eq(status.st_mode & 0777, 0640);
    ck_assert(!exists(".partial") && !exists("-wal") && !exists("-shm"));
    open_copy();
    ck_assert(id_equal(store_identity(store), identity));
    JOB_AUTO one = get(first->spec.id), *two = get(second->spec.id);
    ck_assert_int_eq(one->state, JOB_QUEUED);
    ck_assert_int_eq(two->state, JOB_SUCCEEDED);
    struct job *none;
    ck_assert_int_eq(store_get(store_own_reader(store), open->spec.id, &none), ERR_UNKNOWN_JOB);
    counts_are_right();
}
END_TEST

START_TEST(a_store_that_nobody_uses_is_copied_and_stays_as_it_is)
{
    JOB_AUTO job = submitted();
    close_store();
    ck_assert_int_eq(copied_with(NULL).jobs, 1);
    open_store();
    ck_assert(!store_was_unclean(store));
    open_copy();
    ck_assert(!store_was_unclean(store));
    job_free(get(job->spec.id));
}
END_TEST

/* --- while somebody commits --- */

static _Atomic bool writing;
static _Atomic int written;

static void *write_on(void *argument)
{
    (void)argument;
    while (atomic_load(&writing)) {
        job_free(submitted());
        atomic_fetch_add(&written, 1);
    }
    return NULL;
}

struct seen {
    int calls, at_begin;
    int64_t last, of;
};

static void slowly(void *argument, int64_t pages, int64_t of)
{
    struct seen *seen = argument;
    if (seen->calls++ == 0)
        seen->at_begin = atomic_load(&written);
    ck_assert_int_ge(pages, seen->last);
    ck_assert_int_le(pages, of);
    seen->last = pages;
    seen->of = of;
    clock_sleep_ms(5);
}

START_TEST(commits_go_on_during_a_copy_which_ends_all_the_same)
{
    enum { BYTES = 1 << 20, LARGE = 12 };
    struct seen seen = {0};
    struct store_watch watch = {.progress = slowly, .argument = &seen};
    char *args = calloc(1, BYTES);
    pthread_t thread;
    memset(args, '1', BYTES);
    for (int i = 0; i < LARGE; i++) {
        JOB_AUTO job = make_job("q", "t");
        job->args = (struct text){args, BYTES};
        submit(job);
    }
    free(args);
    atomic_store(&writing, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, NULL), 0);
    struct store_copied copied = copied_with(&watch);
    int at_end = atomic_load(&written);
    atomic_store(&writing, false);
    pthread_join(thread, NULL);
    ck_assert_int_gt(seen.calls, LARGE / 2);
    ck_assert_int_eq(seen.last, seen.of);
    ck_assert_int_gt(at_end, seen.at_begin);       /* nobody waited for the copy */
    ck_assert_int_le(copied.jobs - LARGE, at_end); /* one snapshot */
    open_copy();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), copied.jobs);
    counts_are_right();
}
END_TEST

static bool at_once(void *argument)
{
    (void)argument;
    return true;
}

START_TEST(a_copy_that_is_stopped_leaves_nothing_behind)
{
    BUF_AUTO message = {0};
    struct store_copied copied;
    struct store_watch watch = {.stop = at_once};
    ck_assert_int_eq(store_backup(store_url, copy_path, &watch, &copied, &message), ERR_AGAIN);
    ck_assert(!exists("") && !exists(".partial"));
}
END_TEST

/* --- what is refused --- */

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(nothing_is_overwritten)
{
    make_file(copy_path, "precious");
    refused(ERR_STORE_UNUSABLE, "exists. Nothing was overwritten");
    char text[16] = "";
    FILE *file = fopen(copy_path, "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
    fclose(file);
    ck_assert_str_eq(text, "precious");
    ck_assert_int_eq(unlink(copy_path), 0);
    ck_assert_int_eq(symlink("/nowhere", copy_path), 0);
    refused(ERR_STORE_UNUSABLE, "exists. Nothing was overwritten");
}
END_TEST

START_TEST(a_copy_under_way_to_the_same_place_is_left_alone)
{
    char partial[128];
    snprintf(partial, sizeof partial, "%s.partial", copy_path);
    make_file(partial, "half");
    refused(ERR_STORE_UNUSABLE, "is under way, or one was killed");
    ck_assert(exists(".partial") && !exists(""));
}
END_TEST

START_TEST(a_missing_store_a_missing_folder_and_a_foreign_file_are_named)
{
    snprintf(store_url, sizeof store_url, "sqlite://%s/none.db", folder);
    refused(ERR_STORE_UNUSABLE, "There is no store at");
    ck_assert(!exists(".partial"));
    snprintf(store_url, sizeof store_url, "sqlite://%s/notes", folder);
    make_file(store_url + strlen("sqlite://"),
              "these are notes, and there are enough of them to be a header. Or so "
              "one hopes: a hundred bytes at least.");
    refused(ERR_STORE_UNUSABLE, "is not a store of forkpool");
    make_file(store_url + strlen("sqlite://"), "");
    refused(ERR_STORE_UNUSABLE, "is not a store of forkpool");
    ck_assert(!exists(".partial"));
    strcpy(store_url, url);
    snprintf(copy_path, sizeof copy_path, "%s/no/copy.db", folder);
    refused(ERR_STORE_UNUSABLE, "cannot be written: No such file");
}
END_TEST

START_TEST(a_disk_without_room_for_the_copy_is_named_and_nothing_is_left)
{
    for (int n = 0; n < 3; n++) {
        fault_on(FAULT_WRITE, n < 2 ? SQLITE_FULL : SQLITE_IOERR_WRITE, n < 2 ? ENOSPC : EDQUOT, ".partial");
        fault_after(n);
        refused(ERR_STORE_FULL, "There is no room for");
        ck_assert_int_gt(atomic_load(&fault_struck), 0);
        ck_assert(!exists("") && !exists(".partial"));
    }
}
END_TEST

START_TEST(damage_is_found_and_the_copy_thrown_away)
{
    job_free(submitted());
    close_store();
    long page = (long)look("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'");
    FILE *file = fopen(file_path(), "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, (page - 1) * 4096, SEEK_SET);
    fputs("damage", file);
    fclose(file);
    refused(ERR_STORE_UNUSABLE, "is damaged");
    ck_assert(!exists("") && !exists(".partial"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_backup");
    TCase *tcase = tcase_create("store_backup");
    tcase_add_checked_fixture(tcase, backup_setup, backup_teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_copy_of_a_store_in_use_is_one_file_with_all_that_was_committed);
    tcase_add_test(tcase, a_store_that_nobody_uses_is_copied_and_stays_as_it_is);
    tcase_add_test(tcase, commits_go_on_during_a_copy_which_ends_all_the_same);
    tcase_add_test(tcase, a_copy_that_is_stopped_leaves_nothing_behind);
    tcase_add_test(tcase, nothing_is_overwritten);
    tcase_add_test(tcase, a_copy_under_way_to_the_same_place_is_left_alone);
    tcase_add_test(tcase, a_missing_store_a_missing_folder_and_a_foreign_file_are_named);
    tcase_add_test(tcase, a_disk_without_room_for_the_copy_is_named_and_nothing_is_left);
    tcase_add_test(tcase, damage_is_found_and_the_copy_thrown_away);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
