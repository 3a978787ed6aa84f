/* The inputs of a command: what the jobs before it returned, in a file at descriptor 4. */
#include "harness.h"

#include <sys/resource.h>

static void give(const char *inputs, size_t bytes)
{
    harness.run.inputs = (struct text){inputs, bytes};
}

static void setup(void)
{
    harness_init();
    give("[{\"result\":1}]", 14);
}

/* A JSON string, not NUL-terminated, that ends at the end of its memory. */
static char *large_text(size_t bytes)
{
    char *text = malloc(bytes);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)('a' + i % 23);
    text[0] = text[bytes - 1] = '"';
    return text;
}

START_TEST(they_can_be_read_by_their_path_and_from_the_descriptor)
{
    run_script("echo \"$FORKPOOL_JOB_INPUTS\"", "{}");
    expect_result("\"/dev/fd/4\"");
    run_script("cat \"$FORKPOOL_JOB_INPUTS\"", "{}");
    expect_result("[{\"result\":1}]");
    run_script("cat <&4", "{}");
    expect_result("[{\"result\":1}]");
}
END_TEST

START_TEST(every_opening_of_the_path_and_every_attempt_begin_at_the_start)
{
    run_script("cat <&4; cat /dev/fd/4; cat /dev/fd/4", "{}");
    expect_result("\"[{\\\"result\\\":1}][{\\\"result\\\":1}][{\\\"result\\\":1}]\"");
    run_script("cat <&4", "{}");
    expect_result("[{\"result\":1}]");
}
END_TEST

START_TEST(the_arguments_still_come_on_stdin)
{
    run_script("cat", "{\"n\":1}");
    expect_result("{\"n\":1}");
}
END_TEST

START_TEST(nobody_can_change_them)
{
    static const char *const TRIES[] = {"echo x >&4", "echo x >/dev/fd/4", "echo x >>/dev/fd/4",
                                        "truncate -s 3 /dev/fd/4", "truncate -s 3000 /dev/fd/4"};
    for (size_t i = 0; i < sizeof TRIES / sizeof TRIES[0]; i++) {
        char script[128];
        snprintf(script, sizeof script, "(%s) 2>/dev/null && exit 65; cat /dev/fd/4", TRIES[i]);
        run_script(script, "{}");
        ck_assert_msg(harness.attempt.outcome == OUTCOME_SUCCESS, "%s: it was changed", TRIES[i]);
        expect_result("[{\"result\":1}]");
    }
}
END_TEST

START_TEST(large_ones_arrive_whole)
{
    size_t bytes = 3 << 20;
    char *inputs = large_text(bytes);
    harness.run.max_result = (int64_t)bytes;
    give(inputs, bytes);
    run_script("cat \"$FORKPOOL_JOB_INPUTS\"", "{}");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    ck_assert_uint_eq(harness.run.result.bytes, bytes);
    ck_assert_int_eq(memcmp(harness.run.result.at, inputs, bytes), 0);
    free(inputs);
}
END_TEST

START_TEST(without_any_there_is_neither_variable_nor_descriptor)
{
    run_script(":", "{}"); /* an earlier run that had some */
    give(NULL, 0);
    setenv("FORKPOOL_JOB_INPUTS", "/etc/passwd", 1);
    run_script("echo \"<${FORKPOOL_JOB_INPUTS-none}>\"; test ! -e /dev/fd/4", "{}");
    unsetenv("FORKPOOL_JOB_INPUTS");
    expect_result("\"<none>\"");
}
END_TEST

START_TEST(the_tasks_own_variable_does_not_hide_them)
{
    ck_assert_int_eq(task_add_env(&harness.task, "FORKPOOL_JOB_INPUTS=/etc/passwd"), ERR_OK);
    run_script("cat \"$FORKPOOL_JOB_INPUTS\"", "{}");
    expect_result("[{\"result\":1}]");
}
END_TEST

START_TEST(its_descriptors_are_0_to_4)
{
    int leaked = dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 57); /* not close-on-exec */
    ck_assert_int_eq(leaked, 57);
    run_script("exec ls /proc/self/fd", "{}");
    close(57);
    expect_result("\"0\\n1\\n2\\n3\\n4\\n5\""); /* 5: the folder that ls reads */
}
END_TEST

START_TEST(they_arrive_when_the_worker_has_no_descriptors_0_to_4)
{
    int kept[5];
    for (int fd = 0; fd < 5; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    write_file(harness.program, "#!/bin/sh\necho log >&2\necho '{\"progress\":0.5}' >&3\ncat\ncat <&4\n",
               0755);
    run_args("7");
    for (int fd = 0; fd < 5; fd++) {
        if (kept[fd] >= 0) {
            dup2(kept[fd], fd);
            close(kept[fd]);
        }
    }
    expect_result("\"7\\n[{\\\"result\\\":1}]\"");
    expect_log("log\n");
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 0.5);
}
END_TEST

START_TEST(they_arrive_when_the_worker_uses_descriptor_4_itself)
{
    int kept = fcntl(4, F_DUPFD_CLOEXEC, 100);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(null, 0);
    ck_assert(null == 4 || dup2(null, 4) == 4);
    run_script("cat <&4", "{}");
    struct stat ours;
    ck_assert_int_eq(fstat(4, &ours), 0);
    ck_assert(S_ISCHR(ours.st_mode)); /* still the one from before */
    close(4);
    if (null != 4)
        close(null);
    if (kept >= 0) {
        dup2(kept, 4);
        close(kept);
    }
    expect_result("[{\"result\":1}]");
}
END_TEST

START_TEST(without_room_for_them_it_is_not_started_and_can_be_retried)
{
    struct rlimit kept, small;
    char *inputs = large_text(100000);
    write_file(harness.program, "#!/bin/sh\necho 1\n", 0755);
    give(inputs, 100000);
    int before = count_fds();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &kept);
    small = (struct rlimit){.rlim_cur = 70000, .rlim_max = kept.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    run_args("{}");
    setrlimit(RLIMIT_FSIZE, &kept);
    expect_error("task_not_started", true, "its inputs (100000 bytes) found no place: File too large");
    ck_assert_int_eq(count_fds(), before);
    run_args("{}");
    expect_result("1");
    free(inputs);
}
END_TEST

START_TEST(no_run_leaves_a_descriptor_behind)
{
    run_script("echo x >&2", "{}");
    int before = count_fds();
    for (int i = 0; i < 5; i++) {
        run_script("echo x >&2; exit 1", "{}");
        write_file(harness.program, "no\n", 0755);
        run_args("{}");
    }
    ck_assert_int_eq(count_fds(), before);
}
END_TEST

/* How many times it could not be started, with more descriptors each time. */
static int failures_for_want_of_descriptors(void)
{
    struct rlimit kept, few;
    int failures = 0, before = count_fds();
    getrlimit(RLIMIT_NOFILE, &kept);
    for (rlim_t room = 0; room < 16; room++) {
        few = (struct rlimit){.rlim_cur = (rlim_t)before + room, .rlim_max = kept.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        run_args("{}");
        setrlimit(RLIMIT_NOFILE, &kept);
        ck_assert_int_eq(count_fds(), before);
        if (harness.attempt.outcome == OUTCOME_ERROR) {
            expect_error("task_not_started", true, "Too many open files");
            failures++;
        }
    }
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS); /* there was room enough in the end */
    return failures;
}

START_TEST(without_a_descriptor_for_them_it_fails_and_can_be_retried)
{
    write_file(harness.program, "#!/bin/sh\ncat\n", 0755);
    int with = failures_for_want_of_descriptors();
    give(NULL, 0);
    ck_assert_int_eq(with, failures_for_want_of_descriptors() + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command_inputs");
    TCase *tcase = tcase_create("command_inputs");
    tcase_add_checked_fixture(tcase, setup, harness_fini);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, they_can_be_read_by_their_path_and_from_the_descriptor);
    tcase_add_test(tcase, every_opening_of_the_path_and_every_attempt_begin_at_the_start);
    tcase_add_test(tcase, the_arguments_still_come_on_stdin);
    tcase_add_test(tcase, nobody_can_change_them);
    tcase_add_test(tcase, large_ones_arrive_whole);
    tcase_add_test(tcase, without_any_there_is_neither_variable_nor_descriptor);
    tcase_add_test(tcase, the_tasks_own_variable_does_not_hide_them);
    tcase_add_test(tcase, its_descriptors_are_0_to_4);
    tcase_add_test(tcase, they_arrive_when_the_worker_has_no_descriptors_0_to_4);
    tcase_add_test(tcase, they_arrive_when_the_worker_uses_descriptor_4_itself);
    tcase_add_test(tcase, without_room_for_them_it_is_not_started_and_can_be_retried);
    tcase_add_test(tcase, no_run_leaves_a_descriptor_behind);
    tcase_add_test(tcase, without_a_descriptor_for_them_it_fails_and_can_be_retried);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
