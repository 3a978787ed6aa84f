#include "harness.h"

#include <sys/resource.h>
#include <sys/wait.h>

static double seconds_since(int64_t begin_ns)
{
    return (double)(clock_mono_ns() - begin_ns) / 1e9;
}

/* ---- result ---- */

START_TEST(json_on_stdout_is_the_result_without_the_blanks_around_it)
{
    run_script("echo ' {\"a\": [1, 2.50]} '", "{}");
    expect_result("{\"a\": [1, 2.50]}");
    ck_assert_int_eq(harness.attempt.exit_code, 0);
    ck_assert_int_eq(harness.attempt.signal, -1);
    ck_assert_int_eq(harness.run.stopped, STOP_NONE);
}
END_TEST

START_TEST(other_text_is_a_json_string_without_its_last_newline)
{
    run_script("printf 'say \"hi\"\\n\\n'", "{}");
    expect_result("\"say \\\"hi\\\"\\n\"");
    run_script("printf 'dos\\r\\n'", "{}");
    expect_result("\"dos\"");
    run_script("echo", "{}");
    expect_result("\"\"");
    run_script("printf '1 2'", "{}");
    expect_result("\"1 2\"");
}
END_TEST

START_TEST(bytes_that_are_no_text_become_replacement_characters)
{
    run_script("printf 'a\\377b'", "{}");
    expect_result("\"a\xef\xbf\xbd"
                  "b\"");
}
END_TEST

START_TEST(no_output_is_null)
{
    run_script(":", "{}");
    expect_result("null");
}
END_TEST

START_TEST(a_result_of_max_result_bytes_is_accepted_and_one_more_is_not)
{
    harness.run.max_result = 1000;
    run_script("printf '\"%0998d\"\\n' 0", "{}");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    ck_assert_uint_eq(harness.run.result.bytes, 1000);
    run_script("printf '\"%0999d\"' 0", "{}");
    expect_error("result_too_large", false, "the result has 1001 bytes, max_result is 1000");
    run_script("printf '%0500d\\n%0499d' 0 0", "{}"); /* 1000 bytes, and more as a string */
    expect_error("result_too_large", false, "the result has 1003 bytes");
}
END_TEST

START_TEST(a_flood_of_output_is_drained_and_counted)
{
    run_script("head -c 20000000 /dev/zero", "{}");
    expect_error("result_too_large", false, "the result has 20000000 bytes, max_result is 1048576");
    ck_assert_int_eq(harness.attempt.exit_code, 0);
}
END_TEST

START_TEST(a_large_result_arrives_whole)
{
    harness.run.max_result = 2000000;
    run_script("printf '\"'; head -c 1900000 /dev/zero | tr '\\0' x; printf '\"'", "{}");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    ck_assert_uint_eq(harness.run.result.bytes, 1900002);
}
END_TEST

/* ---- arguments ---- */

START_TEST(the_arguments_arrive_on_stdin_with_a_newline)
{
    run_script("cat; echo x", "{\"n\":1}");
    expect_result("\"{\\\"n\\\":1}\\nx\"");
}
END_TEST

START_TEST(absent_arguments_are_null)
{
    run_script("cat", "");
    expect_result("null");
}
END_TEST

static char *megabyte(void)
{
    static char text[1048576];
    memset(text, 'x', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    return text;
}

START_TEST(a_child_that_never_reads_a_megabyte_of_arguments_ends_all_the_same)
{
    int64_t begin = clock_mono_ns();
    write_file(harness.program, "#!/bin/sh\nsleep 0.1\necho 1\n", 0755);
    run_bytes(megabyte(), 1048576);
    expect_result("1");
    ck_assert(seconds_since(begin) < 3);
}
END_TEST

START_TEST(a_megabyte_of_arguments_can_be_read_slowly)
{
    write_file(harness.program, "#!/bin/sh\nsleep 0.1\nwc -c\n", 0755);
    run_bytes(megabyte(), 1048576);
    expect_result("1048577");
}
END_TEST

START_TEST(a_child_may_close_stdin_early_and_go_on)
{
    write_file(harness.program, "#!/bin/sh\nhead -c 5 >/dev/null\nexec <&-\nsleep 0.1\necho 1\n", 0755);
    run_bytes(megabyte(), 1048576);
    expect_result("1");
}
END_TEST

START_TEST(arguments_and_results_may_flow_at_the_same_time)
{
    harness.run.max_result = 2000000;
    write_file(harness.program, "#!/bin/sh\ncat\n", 0755);
    run_bytes(megabyte(), 1048576);
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    ck_assert_uint_eq(harness.run.result.bytes, 1048576);
}
END_TEST

/* ---- log ---- */

START_TEST(stderr_is_the_log)
{
    run_script("echo one >&2; echo two >&2; echo 1", "{}");
    expect_result("1");
    expect_log("one\ntwo\n");
}
END_TEST

START_TEST(without_stderr_there_is_no_log)
{
    run_script("echo 1", "{}");
    ck_assert_int_ne(access(harness.log_path, F_OK), 0);
}
END_TEST

START_TEST(a_flood_into_the_log_is_cut_and_does_not_block)
{
    harness.run.max_log = 5000;
    run_script("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo; echo 1 >&2; echo 2", "{}");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
    size_t bytes;
    char *text = read_file(harness.log_path, &bytes);
    ck_assert_uint_lt(bytes, 5100);
    ck_assert_ptr_nonnull(strstr(text, "x\nforkpool: the log was cut here, max_log is 5000 bytes\n"));
}
END_TEST

/* ---- how it ended ---- */

START_TEST(exit_statuses_decide_about_a_retry)
{
    run_script("exit 75", "{}");
    expect_error("exit_status", true, "exit status 75");
    ck_assert_int_eq(harness.attempt.exit_code, 75);
    run_script("exit 65", "{}");
    expect_error("exit_status", false, "exit status 65");
    run_script("echo 1; exit 3", "{}");
    expect_error("exit_status", true, "exit status 3");
    ck_assert_int_eq(harness.attempt.exit_code, 3);
}
END_TEST

START_TEST(the_last_line_of_stderr_explains_an_exit_status)
{
    run_script("echo first >&2; echo 'cannot: because' >&2; echo >&2; exit 1", "{}");
    ck_assert_str_eq(harness.attempt.error_message, "exit status 1: cannot: because");
}
END_TEST

START_TEST(a_long_last_line_is_cut_to_150_bytes_at_a_character)
{
    run_script("printf 'x' >&2; for i in $(seq 300); do printf '\303\274' >&2; done; exit 1", "{}");
    const char *hint = strchr(harness.attempt.error_message, ':') + 2;
    ck_assert_uint_eq(strlen(hint), 149);
    ck_assert_int_eq((unsigned char)hint[147], 0xc3);
}
END_TEST

START_TEST(a_last_line_longer_than_the_tail_still_gives_whole_characters)
{
    run_script("for i in $(seq 3000); do printf '\303\274'; done >&2; printf x >&2; exit 1", "{}");
    const char *hint = strchr(harness.attempt.error_message, ':') + 2;
    ck_assert_int_eq((unsigned char)hint[0], 0xc3);
}
END_TEST

START_TEST(a_signal_is_named)
{
    run_script("echo oh >&2; kill -SEGV $$", "{}");
    expect_error("killed_by_signal", true, "SIGSEGV (11): oh");
    ck_assert_int_eq(harness.attempt.signal, 11);
    ck_assert_int_eq(harness.attempt.exit_code, -1);
    run_script("kill -KILL $$", "{}");
    expect_error("killed_by_signal", true, "SIGKILL (9)");
    run_script("kill -40 $$", "{}");
    expect_error("killed_by_signal", true, "signal 40");
}
END_TEST

START_TEST(cpu_time_is_that_of_the_child)
{
    run_script("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done", "{}");
    ck_assert_int_gt(harness.attempt.cpu_us, 10000);
    ck_assert_int_lt(harness.attempt.cpu_us, 20000000);
}
END_TEST

START_TEST(peak_memory_is_that_of_the_child_or_unknown)
{
    size_t bytes = 64 << 20; /* of shared memory, as a worker has it in its segment */
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED);
    memset(memory, 1, bytes);
    run_script(":", "{}"); /* smaller than we are: its peak is hidden behind ours */
    ck_assert_int_eq(harness.attempt.max_rss_bytes, -1);
    run_script("dd if=/dev/zero of=/dev/null bs=300M count=1", "{}");
    ck_assert_int_gt(harness.attempt.max_rss_bytes, 300 << 20);
    ck_assert_int_lt(harness.attempt.max_rss_bytes, 320 << 20);
    munmap(memory, bytes);
}
END_TEST

/* ---- progress ---- */

static void expect_progress(double value, const char *message)
{
    ck_assert_double_eq_tol(harness.shared->slot.attempt.progress, value, 1e-9);
    ck_assert_str_eq(harness.shared->slot.attempt.progress_message, message);
}

START_TEST(json_lines_on_descriptor_3_are_progress)
{
    run_script("echo '{\"progress\":0.5,\"message\":\"h\\u00e4lf\"}' >&3", "{}");
    expect_progress(0.5, "h\xc3\xa4lf");
    ck_assert_int_gt(harness.shared->slot.attempt.progress_ms, 0);
    run_script("echo '{\"value\":0.25}' >&3", "{}");
    expect_progress(0.25, "");
    run_script("echo '{\"progress\":0.1}' >&3; sleep 0.05; echo '{\"message\":\"on\"}' >&3", "{}");
    expect_progress(0.1, "on");
}
END_TEST

START_TEST(progress_is_kept_between_0_and_1)
{
    run_script("echo '{\"progress\":7}' >&3", "{}");
    expect_progress(1, "");
    run_script("echo '{\"progress\":-7}' >&3", "{}");
    expect_progress(0, "");
}
END_TEST

START_TEST(lines_that_are_no_progress_are_passed_over)
{
    run_script("{ echo '{\"progress\":0.5}'; echo; echo nonsense; echo '[1]'; echo '{\"progress\":\"x\"}'; "
               "printf '{\"progress\":0.9,\"message\":\"%05000d\"}\\n' 0; } >&3",
               "{}");
    expect_progress(0.5, "");
    run_script("printf '%09000d\\n{\"progress\":0.75}' 0 >&3", "{}");
    expect_progress(0.75, "");
}
END_TEST

START_TEST(without_progress_none_is_reported)
{
    run_script("echo 1", "{}");
    ck_assert_double_eq(harness.shared->slot.attempt.progress, -1);
}
END_TEST

/* ---- the child's surroundings ---- */

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
    expect_progress(0.5, "");
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

static void add_contract(TCase *tcase)
{
    tcase_add_test(tcase, json_on_stdout_is_the_result_without_the_blanks_around_it);
    tcase_add_test(tcase, other_text_is_a_json_string_without_its_last_newline);
    tcase_add_test(tcase, bytes_that_are_no_text_become_replacement_characters);
    tcase_add_test(tcase, no_output_is_null);
    tcase_add_test(tcase, a_result_of_max_result_bytes_is_accepted_and_one_more_is_not);
    tcase_add_test(tcase, a_flood_of_output_is_drained_and_counted);
    tcase_add_test(tcase, a_large_result_arrives_whole);
    tcase_add_test(tcase, the_arguments_arrive_on_stdin_with_a_newline);
    tcase_add_test(tcase, absent_arguments_are_null);
    tcase_add_test(tcase, a_child_that_never_reads_a_megabyte_of_arguments_ends_all_the_same);
    tcase_add_test(tcase, a_megabyte_of_arguments_can_be_read_slowly);
    tcase_add_test(tcase, a_child_may_close_stdin_early_and_go_on);
    tcase_add_test(tcase, arguments_and_results_may_flow_at_the_same_time);
    tcase_add_test(tcase, stderr_is_the_log);
    tcase_add_test(tcase, without_stderr_there_is_no_log);
    tcase_add_test(tcase, a_flood_into_the_log_is_cut_and_does_not_block);
    tcase_add_test(tcase, exit_statuses_decide_about_a_retry);
    tcase_add_test(tcase, the_last_line_of_stderr_explains_an_exit_status);
    tcase_add_test(tcase, a_long_last_line_is_cut_to_150_bytes_at_a_character);
    tcase_add_test(tcase, a_last_line_longer_than_the_tail_still_gives_whole_characters);
    tcase_add_test(tcase, a_signal_is_named);
    tcase_add_test(tcase, cpu_time_is_that_of_the_child);
    tcase_add_test(tcase, peak_memory_is_that_of_the_child_or_unknown);
    tcase_add_test(tcase, json_lines_on_descriptor_3_are_progress);
    tcase_add_test(tcase, progress_is_kept_between_0_and_1);
    tcase_add_test(tcase, lines_that_are_no_progress_are_passed_over);
    tcase_add_test(tcase, without_progress_none_is_reported);
}

static void add_surroundings(TCase *tcase)
{
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
    tcase_add_test(tcase, it_dies_with_its_worker);
    tcase_add_test(tcase, a_missing_file_is_named);
    tcase_add_test(tcase, a_file_without_the_x_bit_says_chmod);
    tcase_add_test(tcase, a_missing_interpreter_is_named);
    tcase_add_test(tcase, a_script_without_its_first_line_is_told_so);
    tcase_add_test(tcase, a_program_for_another_machine_is_told_so);
    tcase_add_test(tcase, a_folder_is_no_program);
    tcase_add_test(tcase, a_missing_working_folder_is_named);
    tcase_add_test(tcase, no_run_leaves_a_descriptor_or_a_child_behind);
    tcase_add_test(tcase, without_descriptors_it_fails_and_can_be_retried);
}

int main(void)
{
    Suite *suite = suite_create("kind_command");
    TCase *contract = tcase_create("contract"), *surroundings = tcase_create("surroundings");
    tcase_add_checked_fixture(contract, harness_init, harness_fini);
    tcase_add_checked_fixture(surroundings, harness_init, harness_fini);
    tcase_set_timeout(contract, 30);
    tcase_set_timeout(surroundings, 30);
    add_contract(contract);
    add_surroundings(surroundings);
    suite_add_tcase(suite, contract);
    suite_add_tcase(suite, surroundings);
    return run_suite(suite);
}
