/* What a command is given and what becomes of what it says; its surroundings are in test_command_child.c. */
#include "harness.h"

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
    size_t bytes = 16 << 20; /* of shared memory, as a worker has it in its segment */
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

int main(void)
{
    Suite *suite = suite_create("kind_command");
    TCase *tcase = tcase_create("kind_command");
    tcase_add_checked_fixture(tcase, harness_init, harness_fini);
    tcase_set_timeout(tcase, 30);
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
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
