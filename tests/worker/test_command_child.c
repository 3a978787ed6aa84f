/* The child of a command: its surroundings, limits and group, and how it fails to start. */
#include "harness.h"

#include "command.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static double seconds_since(int64_t begin_ns)
{
    return (double)(clock_mono_ns() - begin_ns) / 1e9;
}

/* ---- what it finds ---- */

START_TEST(the_environment_is_the_servers_without_its_own_variables)
{
    setenv("FORKPOOL_SECRET", "no", 1);
    setenv("TRACEPARENT", "no", 1);
    setenv("INHERITED", "yes", 1);
    strcpy(harness.spec.traceparent, "00-x-y-01");
    run_script("env | grep -E '^(FORKPOOL|TRACE|INHER)' | sort", "{}");
    expect_result("\"FORKPOOL_ATTEMPT=2\\n"
                  "FORKPOOL_JOB_ID=00112233-4455-6677-8899-aabbccddeeff\\n"
                  "FORKPOOL_TASK=program\\nINHERITED=yes\\nTRACEPARENT=00-x-y-01\"");
    harness.spec.traceparent[0] = '\0';
    run_script("echo \"<$TRACEPARENT>\"", "{}");
    expect_result("\"<>\"");
}
END_TEST

START_TEST(the_tasks_own_variables_win_once)
{
    setenv("COLOUR", "grey", 1);
    ck_assert_int_eq(task_add_env(&harness.task, "COLOUR=red"), ERR_OK);
    ck_assert_int_eq(task_add_env(&harness.task, "FORKPOOL_JOB_ID=false"), ERR_OK);
    ck_assert_int_eq(task_add_env(&harness.task, "EMPTY="), ERR_OK);
    run_script("cat /proc/$$/environ | tr '\\0' '\\n' | grep -E '^(COLOUR|FORKPOOL_JOB|EMPTY)' | cut -c 1-20",
               "{}");
    expect_result("\"FORKPOOL_JOB_ID=0011\\nCOLOUR=red\\nEMPTY=\"");
}
END_TEST

START_TEST(there_is_a_path_even_if_the_server_has_none)
{
    char *kept = strdup(getenv("PATH"));
    unsetenv("PATH");
    run_script("echo \"$PATH\"", "{}");
    setenv("PATH", kept, 1);
    free(kept);
    expect_result("\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"");
}
END_TEST

START_TEST(it_runs_in_the_tasks_folder_or_in_its_own)
{
    char expected[128];
    run_script("pwd", "{}");
    snprintf(expected, sizeof expected, "\"%s\"", harness.dir);
    expect_result(expected);
    strcpy(harness.task.cwd, "/usr");
    run_script("pwd", "{}");
    expect_result("\"/usr\"");
}
END_TEST

START_TEST(argv_is_passed_as_it_is)
{
    ck_assert_int_eq(task_add_argv(&harness.task, "program"), ERR_OK);
    ck_assert_int_eq(task_add_argv(&harness.task, "$(rm -rf /) *"), ERR_OK);
    ck_assert_int_eq(task_add_argv(&harness.task, ""), ERR_OK);
    run_script("printf '<%s>' \"$@\"", "{}");
    expect_result("\"<$(rm -rf /) *><>\"");
}
END_TEST

START_TEST(its_descriptors_are_0_to_3)
{
    int leaked = dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 57); /* not close-on-exec */
    ck_assert_int_eq(leaked, 57);
    run_script("exec ls /proc/self/fd", "{}");
    close(57);
    expect_result("\"0\\n1\\n2\\n3\\n4\""); /* 4: the folder that ls reads */
}
END_TEST

START_TEST(it_gets_its_pipes_when_the_worker_has_no_descriptors_0_to_3)
{
    int kept[4];
    for (int fd = 0; fd < 4; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    write_file(harness.program, "#!/bin/sh\necho log >&2\necho '{\"progress\":0.5}' >&3\ncat\n", 0755);
    run_args("{\"n\":1}");
    for (int fd = 0; fd < 4; fd++) {
        if (kept[fd] >= 0) {
            dup2(kept[fd], fd);
            close(kept[fd]);
        }
    }
    expect_result("{\"n\":1}");
    expect_log("log\n");
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 0.5);
}
END_TEST

START_TEST(signals_are_at_their_defaults_and_none_is_blocked)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGHUP, SIG_IGN);
    run_script("exec grep -E 'Sig(Blk|Ign):' /proc/self/status", "{}");
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    signal(SIGHUP, SIG_DFL);
    expect_result("\"SigBlk:\\t0000000000000000\\nSigIgn:\\t0000000000000000\"");
}
END_TEST

/* ---- limits ---- */

START_TEST(there_is_never_a_core_file_nor_a_new_privilege)
{
    run_script("ulimit -c; grep NoNewPrivs /proc/self/status", "{}");
    expect_result("\"0\\nNoNewPrivs:\\t1\"");
}
END_TEST

START_TEST(limits_are_set_for_the_child_alone)
{
    struct rlimit before, after;
    getrlimit(RLIMIT_NOFILE, &before);
    harness.task.limit_files = 32;
    harness.task.limit_cpu_ms = 1500;
    harness.task.limit_memory_bytes = 200 << 20;
    run_script("ulimit -n; ulimit -t; ulimit -v", "{}");
    expect_result("\"32\\n2\\n204800\"");
    getrlimit(RLIMIT_NOFILE, &after);
    ck_assert_uint_eq(before.rlim_cur, after.rlim_cur);
}
END_TEST

START_TEST(used_up_cpu_time_is_said_to_be_that)
{
    harness.task.limit_cpu_ms = 500;
    run_script("while :; do :; done", "{}");
    expect_error("killed_by_signal", true, "SIGXCPU (24), its CPU limit of 1 s is used up");
}
END_TEST

/* ---- its process group ---- */

START_TEST(the_group_is_on_record_while_it_runs_and_not_afterwards)
{
    pid_t watcher = fork();
    if (watcher == 0) {
        while (atomic_load(&harness.shared->board.group) == 0)
            usleep(1000);
        int32_t group = atomic_load(&harness.shared->board.group);
        if (group == atomic_load(&harness.shared->box_group) && getpgid(group) == group)
            atomic_store(&harness.shared->seen_group, group);
        _exit(0);
    }
    run_script("sleep 0.3; echo $$", "{}");
    ck_assert_int_eq(waitpid(watcher, NULL, 0), watcher);
    char expected[16];
    snprintf(expected, sizeof expected, "%d", (int)atomic_load(&harness.shared->seen_group));
    expect_result(expected);
    ck_assert_int_eq(atomic_load(&harness.shared->board.group), 0);
    ck_assert_int_eq(atomic_load(&harness.shared->box_group), 0);
}
END_TEST

static void ask_to_stop(void)
{
    struct board *board = &harness.shared->board;
    uint64_t seen;
    do
        seen = atomic_load(&board->run);
    while (run_phase(seen) != RUN_RUNNING);
    atomic_store(&board->stop_cause, STOP_DEADLINE);
    ck_assert(board_move_run(board, seen, RUN_SIGNALLING));
    seen = run_pack(run_number(seen), RUN_SIGNALLING);
    int32_t group = atomic_load(&board->group);
    if (group > 0)
        kill(-group, SIGTERM);
    atomic_store(&board->run, run_pack(run_number(seen), RUN_STOPPING));
}

START_TEST(a_stop_request_ends_it_and_is_reported)
{
    int64_t begin = clock_mono_ns();
    pid_t supervisor = fork();
    if (supervisor == 0) {
        while (atomic_load(&harness.shared->board.group) == 0)
            usleep(1000);
        usleep(100000);
        ask_to_stop();
        _exit(0);
    }
    run_script("sleep 30", "{}");
    ck_assert_int_eq(waitpid(supervisor, NULL, 0), supervisor);
    expect_error("killed_by_signal", true, "SIGTERM (15)");
    ck_assert_int_eq(harness.run.stopped, STOP_DEADLINE);
    ck_assert(seconds_since(begin) < 5);
}
END_TEST

START_TEST(a_stop_request_at_any_moment_of_its_start_is_not_missed)
{
    write_file(harness.program, "#!/bin/sh\nexec sleep 30\n", 0755);
    for (int i = 0; i < 40; i++) {
        atomic_store(&harness.shared->seen_group, 0);
        pid_t supervisor = fork();
        if (supervisor == 0) {
            atomic_store(&harness.shared->seen_group, 1);
            while (run_phase(atomic_load(&harness.shared->board.run)) != RUN_RUNNING)
                ;
            for (int64_t begin = clock_mono_ns(); clock_mono_ns() - begin < i * 20000;)
                ;
            ask_to_stop();
            _exit(0);
        }
        while (atomic_load(&harness.shared->seen_group) == 0)
            ; /* it spins: so it can be faster than a fork */
        int64_t begin = clock_mono_ns();
        run_args("{}");
        ck_assert_int_eq(waitpid(supervisor, NULL, 0), supervisor);
        ck_assert_int_eq(harness.run.stopped, STOP_DEADLINE);
        ck_assert_msg(seconds_since(begin) < 5, "missed after %d us", i * 20);
    }
}
END_TEST

START_TEST(a_grandchild_that_keeps_stdout_open_is_not_waited_for)
{
    int64_t begin = clock_mono_ns();
    run_script("setsid sleep 3 & echo 1", "{}");
    expect_result("1");
    ck_assert(seconds_since(begin) < 2);
}
END_TEST

START_TEST(a_grandchild_that_floods_stdout_is_not_waited_for)
{
    int64_t begin = clock_mono_ns();
    run_script("setsid timeout 3 yes & sleep 0.1", "{}");
    expect_error("result_too_large", false, "the result has");
    ck_assert(seconds_since(begin) < 2);
}
END_TEST

START_TEST(what_it_leaves_in_its_group_is_killed)
{
    run_script("sleep 100 & echo $!", "{}");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    char digits[16];
    snprintf(digits, sizeof digits, "%.*s", (int)harness.run.result.bytes, harness.run.result.at);
    ck_assert(dies_within((pid_t)atoi(digits), 2000));
}
END_TEST

/* As under a supervisor, which adopts what is left and reaps it – here only after a while. */
START_TEST(a_run_is_over_only_when_nothing_is_left_in_its_group)
{
    int status;
    int64_t begin = clock_mono_ns();
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t worker = fork();
    if (worker == 0) {
        run_script("sleep 100 >&- 2>&- 3>&- & echo $$", "{}");
        pid_t group = (pid_t)strtol(harness.run.result.at, NULL, 10);
        bool gone = group > 0 && kill(-group, 0) < 0 && errno == ESRCH;
        _exit(gone && atomic_load(&harness.shared->board.group) == 0 ? 0 : 1);
    }
    while (atomic_load(&harness.shared->board.group) == 0)
        usleep(1000);
    int32_t group = atomic_load(&harness.shared->board.group);
    usleep(300000);
    ck_assert_int_eq(waitpid(worker, &status, WNOHANG), 0);
    ck_assert_int_eq(atomic_load(&harness.shared->board.group), group); /* still on record */
    ck_assert_int_eq(atomic_load(&harness.shared->box_group), group);
    while (waitpid(-group, NULL, 0) > 0) {
    }
    ck_assert_int_eq(waitpid(worker, &status, 0), worker);
    ck_assert_int_eq(status, 0);
    ck_assert(seconds_since(begin) < 4);
}
END_TEST

START_TEST(it_dies_with_its_worker)
{
    write_file(harness.program, "#!/bin/sh\nexec sleep 100\n", 0755);
    pid_t worker = fork();
    if (worker == 0) {
        run_args("{}");
        _exit(0);
    }
    int32_t group;
    while ((group = atomic_load(&harness.shared->board.group)) == 0)
        usleep(1000);
    usleep(50000);
    kill(worker, SIGKILL);
    ck_assert_int_eq(waitpid(worker, NULL, 0), worker);
    ck_assert(dies_within(group, 2000));
}
END_TEST

/* ---- it cannot be started ---- */

START_TEST(a_missing_file_is_named)
{
    run_args("{}");
    expect_error("task_not_started", true, "/program does not exist");
    ck_assert_int_eq(harness.attempt.exit_code, -1);
    ck_assert_int_eq(atomic_load(&harness.shared->board.group), 0);
}
END_TEST

START_TEST(a_file_without_the_x_bit_says_chmod)
{
    write_file(harness.program, "#!/bin/sh\n", 0644);
    run_args("{}");
    expect_error("task_not_started", true, "is not executable: chmod +x /tmp/");
}
END_TEST

START_TEST(a_missing_interpreter_is_named)
{
    write_file(harness.program, "#!/opt/no/such -x\n", 0755);
    run_args("{}");
    expect_error("task_not_started", true, "its interpreter /opt/no/such does not exist");
}
END_TEST

START_TEST(a_script_without_its_first_line_is_told_so)
{
    write_file(harness.program, "echo hello\n", 0755);
    run_args("{}");
    expect_error("task_not_started", true, "has no #! line");
}
END_TEST

START_TEST(a_program_for_another_machine_is_told_so)
{
    write_file(harness.program, "\177ELF and nonsense\n", 0755);
    run_args("{}");
    expect_error("task_not_started", true, "no program for this machine");
}
END_TEST

START_TEST(a_folder_is_no_program)
{
    strcpy(harness.task.path, harness.dir);
    run_args("{}");
    expect_error("task_not_started", true, "is not a regular file");
}
END_TEST

START_TEST(a_missing_working_folder_is_named)
{
    strcpy(harness.task.cwd, "/no/such/folder");
    run_script("echo 1", "{}");
    expect_error("task_not_started", true,
                 "the working folder /no/such/folder cannot be entered: No such file");
}
END_TEST

START_TEST(no_run_leaves_a_descriptor_or_a_child_behind)
{
    run_script("echo x >&2", "{}");
    int before = count_fds();
    for (int i = 0; i < 5; i++) {
        run_script("echo x >&2; exit 1", "{}");
        write_file(harness.program, "no\n", 0755);
        run_args("{}");
    }
    ck_assert_int_eq(count_fds(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(without_descriptors_it_fails_and_can_be_retried)
{
    struct rlimit kept, few;
    write_file(harness.program, "#!/bin/sh\necho 1\n", 0755);
    getrlimit(RLIMIT_NOFILE, &kept);
    for (rlim_t room = 0; room < 12; room++) {
        few = (struct rlimit){.rlim_cur = (rlim_t)count_fds() + room, .rlim_max = kept.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        run_args("{}");
        setrlimit(RLIMIT_NOFILE, &kept);
        if (harness.attempt.outcome == OUTCOME_ERROR)
            expect_error("task_not_started", true, "Too many open files");
    }
    run_args("{}");
    expect_result("1");
}
END_TEST

/* As if the worker had been killed as soon as the command was there. */
START_TEST(the_arguments_are_there_whole_before_the_command_starts)
{
    static const size_t SIZES[] = {20, 60000, 500000};
    static struct command command;
    char path[128];
    size_t bytes;
    int status;
    char *args = malloc(SIZES[_i]);
    ck_assert_ptr_nonnull(args);
    memset(args, '7', SIZES[_i]);
    snprintf(path, sizeof path, "%s/read", harness.dir);
    write_file(harness.program, "#!/bin/sh\ncat >read\n", 0755);
    harness.run.args = (struct text){args, SIZES[_i]};
    board_begin(&harness.shared->board, 1, 0, 0);
    command = (struct command){.run = &harness.run, .pidfd = -1, .pipes = {-1, -1, -1, -1}};
    ck_assert(command_spawn(&command));
    command_fini(&command);
    ck_assert_int_eq(waitpid(command.pid, &status, 0), command.pid);
    const char *text = read_file(path, &bytes);
    ck_assert_uint_eq(bytes, SIZES[_i] + 1);
    ck_assert(memcmp(text, args, SIZES[_i]) == 0 && text[SIZES[_i]] == '\n');
    free(args);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command_child");
    TCase *tcase = tcase_create("command_child");
    tcase_add_checked_fixture(tcase, harness_init, harness_fini);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, the_environment_is_the_servers_without_its_own_variables);
    tcase_add_test(tcase, the_tasks_own_variables_win_once);
    tcase_add_test(tcase, there_is_a_path_even_if_the_server_has_none);
    tcase_add_test(tcase, it_runs_in_the_tasks_folder_or_in_its_own);
    tcase_add_test(tcase, argv_is_passed_as_it_is);
    tcase_add_test(tcase, its_descriptors_are_0_to_3);
    tcase_add_test(tcase, it_gets_its_pipes_when_the_worker_has_no_descriptors_0_to_3);
    tcase_add_test(tcase, signals_are_at_their_defaults_and_none_is_blocked);
    tcase_add_test(tcase, there_is_never_a_core_file_nor_a_new_privilege);
    tcase_add_test(tcase, limits_are_set_for_the_child_alone);
    tcase_add_test(tcase, used_up_cpu_time_is_said_to_be_that);
    tcase_add_test(tcase, the_group_is_on_record_while_it_runs_and_not_afterwards);
    tcase_add_test(tcase, a_stop_request_ends_it_and_is_reported);
    tcase_add_test(tcase, a_stop_request_at_any_moment_of_its_start_is_not_missed);
    tcase_add_test(tcase, a_grandchild_that_keeps_stdout_open_is_not_waited_for);
    tcase_add_test(tcase, a_grandchild_that_floods_stdout_is_not_waited_for);
    tcase_add_test(tcase, what_it_leaves_in_its_group_is_killed);
    tcase_add_test(tcase, a_run_is_over_only_when_nothing_is_left_in_its_group);
    tcase_add_test(tcase, it_dies_with_its_worker);
    tcase_add_test(tcase, a_missing_file_is_named);
    tcase_add_test(tcase, a_file_without_the_x_bit_says_chmod);
    tcase_add_test(tcase, a_missing_interpreter_is_named);
    tcase_add_test(tcase, a_script_without_its_first_line_is_told_so);
    tcase_add_test(tcase, a_program_for_another_machine_is_told_so);
    tcase_add_loop_test(tcase, the_arguments_are_there_whole_before_the_command_starts, 0, 3);
    tcase_add_test(tcase, a_folder_is_no_program);
    tcase_add_test(tcase, a_missing_working_folder_is_named);
    tcase_add_test(tcase, no_run_leaves_a_descriptor_or_a_child_behind);
    tcase_add_test(tcase, without_descriptors_it_fails_and_can_be_retried);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
