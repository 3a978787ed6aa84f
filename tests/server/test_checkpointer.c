/* The checkpointer beside a committer that has nothing to do. */
#include "store_fixture.h"

#include "checkpointer.h"
#include "front.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct committer committer;
static struct checkpointer checkpointer;

static void swallow(void *argument, struct work *work)
{
    (void)argument;
    work_free(work);
}

static off_t file_bytes(void)
{
    struct stat status;
    ck_assert_int_eq(stat(file_path(), &status), 0);
    return status.st_size;
}

/* A store with many new rows in its log. */
static void rig_up(struct metrics *metrics)
{
    ck_assert_ptr_nonnull(metrics);
    open_store();
    committer_init(&committer, store, metrics, swallow, NULL);
    ok(committer_start(&committer));
    begin();
    for (int i = 0; i < 500; i++) {
        JOB_AUTO job = make_job("q", "t");
        submit_in_group(job);
    }
    ok(store_commit(store));
}

static void start_checkpointer(bool check)
{
    struct config config = {.state_dir = folder, .store_url = url};
    ok(checkpointer_start(&checkpointer, &config, &committer, check));
}

START_TEST(the_log_is_copied_into_the_file_soon)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    off_t before = file_bytes();
    rig_up(metrics);
    start_checkpointer(false);
    for (int tries = 0; file_bytes() == before && tries < 10000; tries++)
        clock_sleep_ms(1);
    ck_assert_int_gt(file_bytes(), before);
    checkpointer_stop(&checkpointer);
    committer_stop(&committer);
    close_store();
    free(metrics);
}
END_TEST

/* The root page of an empty table. */
static void damage_file(void)
{
    int64_t page = look("SELECT rootpage FROM sqlite_schema WHERE name = 'schedules'"),
            page_bytes = look("PRAGMA page_size");
    int fd = open(file_path(), O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "damage!!", 8, (off_t)((page - 1) * page_bytes)), 8);
    close(fd);
}

/* A large file takes long to check, and a server that died again and again before the end of that would never
 * come to copy the log, which would grow as long as that goes on. That it was copied is seen by a check that
 * ends everything. */
START_TEST(after_an_unclean_stop_the_log_is_copied_before_the_file_is_checked)
{
    int status;
    damage_file();
    off_t before = file_bytes();
    pid_t pid = fork();
    if (pid == 0) {
        rig_up(calloc(1, sizeof(struct metrics)));
        start_checkpointer(true);
        clock_sleep_ms(20000);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == FRONT_EXIT_STORE, "%x", (unsigned)status);
    ck_assert_int_gt(file_bytes(), before);
}
END_TEST

/* Made and closed, so that its tables are in the file. */
static void make_store(void)
{
    make_folder();
    open_store();
    close_store();
}

int main(void)
{
    Suite *suite = suite_create("checkpointer");
    TCase *tests = tcase_create("checkpointer");
    tcase_add_checked_fixture(tests, make_store, remove_folder);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, the_log_is_copied_into_the_file_soon);
    tcase_add_test(tests, after_an_unclean_stop_the_log_is_copied_before_the_file_is_checked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
