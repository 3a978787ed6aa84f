#include "run.h"

#include "torture_attempt.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];

static void make_folder(void)
{
    static const char *const FILES[] = {"locks", "ledger"};
    char path[96];
    strcpy(folder, "/tmp/test_torture.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FILES[i]);
        ck_assert_int_ge(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
    }
}

static void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* The words of the ledger's records, each followed by a blank. */
static const char *ledger(void)
{
    static char words[256];
    char path[96], line[256], what[16];
    words[0] = '\0';
    snprintf(path, sizeof path, "%s/ledger", folder);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%15s", what) == 1) {
            strcat(words, what);
            strcat(words, " ");
        }
    fclose(file);
    return words;
}

static enum torture_end run_job(const char *id, struct torture_order order, unsigned number,
                                struct torture_attempt *attempt)
{
    static char args[ORDER_BYTES];
    torture_order_write(&order, args);
    *attempt = (struct torture_attempt){.id = id, .args = args, .attempt = number, .worker = 7};
    return torture_attempt_run(folder, attempt);
}

static enum torture_end run_plain(const char *id, struct torture_order order)
{
    struct torture_attempt attempt;
    return run_job(id, order, 1, &attempt);
}

START_TEST(an_attempt_writes_its_start_and_its_end_and_returns_the_nonce)
{
    struct torture_attempt attempt;
    char path[160], text[256] = "";
    static char result[ORDER_BYTES];
    ck_assert_int_eq(
        run_job("job-a", (struct torture_order){.number = 5, .work_ms = 1, .padding = 3000}, 1, &attempt),
        TORTURE_DONE);
    ck_assert_str_eq(ledger(), "start end ");
    ck_assert_uint_eq(strlen(attempt.nonce), NONCE_BYTES - 1);
    torture_result_write(&attempt, result);
    ck_assert_uint_eq(strlen(result), NONCE_BYTES - 1 + 2 + 3000);
    snprintf(path, sizeof path, "grep -c '^end job-a 5 1 %s ' %s/ledger", attempt.nonce, folder);
    FILE *found = popen(path, "re");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, found));
    pclose(found);
    ck_assert_str_eq(text, "1\n");
}
END_TEST

START_TEST(one_that_is_to_fail_twice_succeeds_at_its_third_attempt)
{
    struct torture_order order = {.number = 1, .fails = 2};
    struct torture_attempt attempt;
    ck_assert_int_eq(run_job("job-a", order, 1, &attempt), TORTURE_AGAIN);
    ck_assert_int_eq(run_job("job-a", order, 2, &attempt), TORTURE_AGAIN);
    ck_assert_int_eq(run_job("job-a", order, 3, &attempt), TORTURE_DONE);
}
END_TEST

START_TEST(a_hopeless_one_fails_for_good)
{
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.hopeless = 1}), TORTURE_HOPELESS);
}
END_TEST

/* An heir that is left alive holds what its parent held. */
START_TEST(an_attempt_beside_something_that_is_left_of_the_last_one_is_an_overlap)
{
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.heir_ms = 200}), TORTURE_DONE);
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.number = 1}), TORTURE_AGAIN);
    ck_assert_str_eq(ledger(), "start end overlap ");
    ck_assert_int_gt(wait(NULL), 0);
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.number = 1}), TORTURE_DONE);
    ck_assert_str_eq(ledger(), "start end overlap start end ");
}
END_TEST

START_TEST(another_job_with_the_same_uniqueness_key_clashes_while_the_first_one_runs)
{
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.heir_ms = 200, .unique = 3}), TORTURE_DONE);
    ck_assert_int_eq(run_plain("job-b", (struct torture_order){.unique = 4}), TORTURE_DONE);
    ck_assert_int_eq(run_plain("job-c", (struct torture_order){.unique = 3}), TORTURE_AGAIN);
    ck_assert_str_eq(ledger(), "start end start end clash ");
    ck_assert_int_gt(wait(NULL), 0);
    ck_assert_int_eq(run_plain("job-c", (struct torture_order){.unique = 3}), TORTURE_DONE);
}
END_TEST

/* The kernel gives the lock up with the last holder, however it ends. */
START_TEST(a_killed_attempt_leaves_a_start_and_no_lock)
{
    pid_t pid = fork();
    if (pid == 0) {
        run_plain("job-a", (struct torture_order){.work_ms = 60000});
        _exit(0);
    }
    for (int tries = 0; strcmp(ledger(), "start ") != 0 && tries < 5000; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(run_plain("job-a", (struct torture_order){.number = 1}), TORTURE_DONE);
    ck_assert_str_eq(ledger(), "start start end ");
}
END_TEST

static int at_once(void *argument)
{
    (void)argument;
    return 1;
}

START_TEST(one_that_is_asked_to_stop_does)
{
    struct torture_attempt attempt = {
        .id = "job-a", .args = "\"1 2000 0 0 0 0 0 \"", .attempt = 1, .stop = at_once};
    ck_assert_int_eq(torture_attempt_run(folder, &attempt), TORTURE_AGAIN);
    ck_assert_str_eq(ledger(), "start fail ");
}
END_TEST

START_TEST(arguments_that_are_not_whole_are_refused)
{
    struct torture_attempt attempt = {.id = "job-a", .args = "{\"path\":\"/etc/hosts\"}", .attempt = 1};
    ck_assert_int_eq(torture_attempt_run(folder, &attempt), TORTURE_HOPELESS);
    attempt.args = "\"1 0 0 0 0 0 3 xx\"";
    ck_assert_int_eq(torture_attempt_run(folder, &attempt), TORTURE_HOPELESS);
    attempt.args = "\"1 0 0 0 0 0 3 xxx";
    ck_assert_int_eq(torture_attempt_run(folder, &attempt), TORTURE_HOPELESS);
    ck_assert_str_eq(ledger(), "garbled garbled garbled ");
    attempt.args = "\"1 0 0 0 0 0 3 xxx\"";
    ck_assert_int_eq(torture_attempt_run(folder, &attempt), TORTURE_DONE);
    ck_assert_int_eq(torture_attempt_run(NULL, &attempt), TORTURE_HOPELESS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_attempt");
    TCase *tests = tcase_create("attempt");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, an_attempt_writes_its_start_and_its_end_and_returns_the_nonce);
    tcase_add_test(tests, one_that_is_to_fail_twice_succeeds_at_its_third_attempt);
    tcase_add_test(tests, a_hopeless_one_fails_for_good);
    tcase_add_test(tests, an_attempt_beside_something_that_is_left_of_the_last_one_is_an_overlap);
    tcase_add_test(tests, another_job_with_the_same_uniqueness_key_clashes_while_the_first_one_runs);
    tcase_add_test(tests, a_killed_attempt_leaves_a_start_and_no_lock);
    tcase_add_test(tests, one_that_is_asked_to_stop_does);
    tcase_add_test(tests, arguments_that_are_not_whole_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
