/* The tasks that are shipped, run as a worker runs them. */
#include "harness.h"

#include <sys/wait.h>

static void use_plugin(const char *name)
{
    harness.task.kind = TASK_PLUGIN;
    snprintf(harness.task.name, sizeof harness.task.name, "%s", name);
    snprintf(harness.task.path, sizeof harness.task.path, TEST_TASKS "/%s.so", name);
}

static void use_command(const char *name)
{
    snprintf(harness.task.name, sizeof harness.task.name, "%s", name);
    snprintf(harness.task.path, sizeof harness.task.path, TEST_TASKS "/%s", name);
}

static const char *in_folder(const char *format, const char *name)
{
    static char text[512];
    char path[256];
    snprintf(path, sizeof path, "%s/%s", harness.dir, name);
    snprintf(text, sizeof text, format, path);
    return text;
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", harness.dir, name);
    write_file(path, text, 0644);
}

static bool installed(const char *program)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    return system(command) == 0;
}

START_TEST(echo_returns_its_arguments)
{
    use_plugin("echo");
    run_args("[1, \"\\u00e4\"]");
    expect_result("[1, \"\\u00e4\"]");
}
END_TEST

START_TEST(sleep_waits_as_long_as_it_is_told)
{
    use_plugin("sleep");
    int64_t begin = clock_mono_ns();
    run_args("{\"seconds\":0.1}");
    int64_t took = clock_mono_ns() - begin;
    expect_result("{\"slept\":0.1}");
    ck_assert_int_ge(took, 100 * NS_PER_MS);
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 1);
    run_args("{\"seconds\":0}");
    expect_result("{\"slept\":0}");
    run_args("{\"seconds\":-1}");
    expect_error("invalid_arguments", false, "seconds must be a number");
    run_args("{\"seconds\":\"1\"}");
    expect_error("invalid_arguments", false, "seconds must be a number");
}
END_TEST

START_TEST(sleep_stops_soon_when_it_is_asked_to)
{
    use_plugin("sleep");
    pid_t supervisor = fork();
    if (supervisor == 0) {
        struct board *board = &harness.shared->board;
        uint64_t seen;
        do
            seen = atomic_load(&board->run);
        while (run_phase(seen) != RUN_RUNNING);
        usleep(50000);
        atomic_store(&board->stop_cause, STOP_CANCEL);
        atomic_store(&board->run, run_pack(run_number(seen), RUN_STOPPING));
        _exit(0);
    }
    int64_t begin = clock_mono_ns();
    run_args("{\"seconds\":30}");
    ck_assert_int_lt(clock_mono_ns() - begin, 2 * NS_PER_SEC);
    expect_error("cancelled", true, "asked to stop");
    ck_assert_int_eq(harness.run.stopped, STOP_CANCEL);
    waitpid(supervisor, NULL, 0);
}
END_TEST

START_TEST(fail_fails_as_it_is_told)
{
    use_plugin("fail");
    run_args("{}");
    expect_error("told_to_fail", true, "it failed, as it was asked to");
    run_args("{\"message\":\"no \\\"luck\\\"\",\"retryable\":false}");
    expect_error("told_to_fail", false, "no \"luck\"");
    run_args("{\"until_attempt\":3}"); /* this is attempt 2 */
    expect_error("told_to_fail", true, "");
    run_args("{\"until_attempt\":2}");
    expect_result("{\"attempt\":2}");
    run_args("{\"retryable\":1}");
    expect_error("invalid_arguments", false, "retryable must be true or false");
}
END_TEST

static void expect_death(const char *args, int number, int exit_code)
{
    int status;
    pid_t worker = fork();
    if (worker == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would explain it at length */
        signal(SIGABRT, SIG_DFL);
        run_args(args);
        _exit(77);
    }
    ck_assert_int_eq(waitpid(worker, &status, 0), worker);
    atomic_store(&harness.shared->board.run, 0); /* as a new worker finds it */
    if (number > 0)
        ck_assert_int_eq(WIFSIGNALED(status) ? WTERMSIG(status) : 0, number);
    else
        ck_assert_int_eq(WIFEXITED(status) ? WEXITSTATUS(status) : -1, exit_code);
}

START_TEST(crash_takes_its_worker_down)
{
    use_plugin("crash");
    expect_death("{}", SIGSEGV, 0);
    expect_death("{\"signal\":\"SEGV\"}", SIGSEGV, 0);
    expect_death("{\"signal\":\"ABRT\"}", SIGABRT, 0);
    expect_death("{\"signal\":\"KILL\"}", SIGKILL, 0);
    expect_death("{\"signal\":\"exit\"}", 0, 3);
    run_args("{\"until_attempt\":2}");
    expect_result("{\"attempt\":2}");
    run_args("{\"signal\":\"HUP\"}");
    expect_error("invalid_arguments", false, "signal must be SEGV, ABRT, KILL or exit");
}
END_TEST

START_TEST(sha256_is_that_of_the_file)
{
    use_plugin("sha256");
    put("abc", "abc");
    run_args(in_folder("{\"path\":\"%s\"}", "abc"));
    expect_result(
        "{\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"bytes\":3}");
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 1);
    put("empty", "");
    run_args(in_folder("{\"path\":\"%s\"}", "empty"));
    expect_result(
        "{\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"bytes\":0}");
}
END_TEST

START_TEST(sha256_says_what_is_wrong_with_a_path)
{
    use_plugin("sha256");
    run_args("{}");
    expect_error("invalid_arguments", false, "path must be the path of a file");
    run_args("{\"path\":\"/no/such\"}");
    expect_error("no_such_file", false, "there is no file /no/such");
    run_args("{\"path\":\"/tmp\"}");
    expect_error("not_a_file", false, "/tmp is not a regular file");
    run_args("{\"path\":\"/dev/zero\"}");
    expect_error("not_a_file", false, "/dev/zero is not a regular file");
}
END_TEST

START_TEST(wordcount_counts_text_and_files)
{
    if (!installed("jq"))
        return;
    use_command("wordcount");
    run_args("{\"text\":\"one two\\nthree \\u00e4\\n\"}");
    expect_result("{\"lines\":2,\"words\":4,\"bytes\":17}");
    run_args("{\"text\":\"\"}");
    expect_result("{\"lines\":0,\"words\":0,\"bytes\":0}");
    put("file", "one two\n");
    run_args(in_folder("{\"path\":\"%s\"}", "file"));
    expect_result("{\"lines\":1,\"words\":2,\"bytes\":8}");
}
END_TEST

START_TEST(wordcount_says_what_is_wrong)
{
    if (!installed("jq"))
        return;
    use_command("wordcount");
    run_args("{\"path\":\"/no/such\"}");
    expect_error("exit_status", false, "exit status 65: wordcount: there is no file /no/such");
    run_args("{\"path\":\"/tmp\"}");
    expect_error("exit_status", false, "/tmp is not a regular file");
    const char *wrong[] = {"", "[]", "{}", "{\"text\":1}", "{\"text\":\"a\",\"path\":\"b\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        run_args(wrong[i]);
        expect_error("exit_status", false, "the arguments must be {\"text\": ");
    }
}
END_TEST

START_TEST(thumbnail_makes_a_small_copy)
{
    if (!installed("jq") || !installed("convert") || !installed("identify"))
        return;
    char expected[256];
    char plain[128], strange[128];
    snprintf(plain, sizeof plain, "%s/plain.png", harness.dir);
    snprintf(strange, sizeof strange, "%s/a%%d b.png", harness.dir);
    ck_assert_int_eq(system(in_folder("convert -size 400x300 xc:red %s", "plain.png")), 0);
    ck_assert_int_eq(rename(plain, strange), 0);
    use_command("thumbnail");
    run_args(in_folder("{\"path\":\"%s\"}", "a%d b.png"));
    snprintf(expected, sizeof expected,
             "{\"path\":\"%s/a%%d b.thumb.png\",\"width\":160,\"height\":120,\"bytes\":", harness.dir);
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    ck_assert(strncmp(harness.run.result.at, expected, strlen(expected)) == 0);
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 1);
    ck_assert_str_eq(harness.shared->slot.attempt.progress_message, "done");
    run_args(in_folder("{\"path\":\"%s\",\"width\":40,\"height\":10,\"output\":\"small.jpg\"}", "a%d b.png"));
    const char *small = "{\"path\":\"small.jpg\",\"width\":13,\"height\":10,\"bytes\":";
    ck_assert(strncmp(harness.run.result.at, small, strlen(small)) == 0);
}
END_TEST

START_TEST(thumbnail_says_what_is_wrong)
{
    if (!installed("jq") || !installed("convert") || !installed("identify"))
        return;
    use_command("thumbnail");
    put("a.png", "no picture\n");
    run_args("{}");
    expect_error("exit_status", false, "path must be the path of a picture");
    run_args("{\"path\":\"/no/such.png\"}");
    expect_error("exit_status", false, "there is no file /no/such.png");
    run_args("{\"path\":\"/etc/passwd\"}");
    expect_error("exit_status", false, "the name must end in .jpg");
    run_args("{\"path\":\"/no/such.png\",\"width\":\"9; rm\"}");
    expect_error("exit_status", false, "width and height must be whole numbers");
    run_args(in_folder("{\"path\":\"%s\"}", "a.png"));
    expect_error("exit_status", false, "a.png is no readable png picture");
    ck_assert_int_ne(access(in_folder("%s", "a.thumb.png"), F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tasks");
    TCase *plugins = tcase_create("plugins"), *commands = tcase_create("commands");
    tcase_add_checked_fixture(plugins, harness_init, harness_fini);
    tcase_set_timeout(plugins, 30);
    tcase_add_test(plugins, echo_returns_its_arguments);
    tcase_add_test(plugins, sleep_waits_as_long_as_it_is_told);
    tcase_add_test(plugins, sleep_stops_soon_when_it_is_asked_to);
    tcase_add_test(plugins, fail_fails_as_it_is_told);
    tcase_add_test(plugins, crash_takes_its_worker_down);
    tcase_add_test(plugins, sha256_is_that_of_the_file);
    tcase_add_test(plugins, sha256_says_what_is_wrong_with_a_path);
    tcase_add_checked_fixture(commands, harness_init, harness_fini);
    tcase_set_timeout(commands, 30);
    tcase_set_tags(commands, "pidfd");
    tcase_add_test(commands, wordcount_counts_text_and_files);
    tcase_add_test(commands, wordcount_says_what_is_wrong);
    tcase_add_test(commands, thumbnail_makes_a_small_copy);
    tcase_add_test(commands, thumbnail_says_what_is_wrong);
    suite_add_tcase(suite, plugins);
    suite_add_tcase(suite, commands);
    return run_suite(suite);
}
