#include "harness.h"

static void run_task(const char *name)
{
    harness.task.kind = TASK_PLUGIN;
    strcpy(harness.task.path, TEST_PLUGINS "/many.so");
    snprintf(harness.task.name, sizeof harness.task.name, "%s", name);
    run_args("{\"n\": 1}");
}

START_TEST(the_arguments_may_come_back_as_the_result)
{
    run_task("echo");
    expect_result("{\"n\": 1}");
    ck_assert_int_eq(harness.run.stopped, STOP_NONE);
    ck_assert_int_eq(harness.attempt.exit_code, -1);
}
END_TEST

START_TEST(absent_arguments_are_null)
{
    run_task("echo");
    run_args("");
    expect_result("null");
}
END_TEST

START_TEST(a_task_knows_what_it_runs_for)
{
    run_task("context");
    expect_result("[2,2,\"00112233-4455-6677-8899-aabbccddeeff\",\"context\",\"\"]");
    strcpy(harness.spec.traceparent, "00-x-y-01");
    run_task("context");
    expect_result("[2,2,\"00112233-4455-6677-8899-aabbccddeeff\",\"context\",\"00-x-y-01\"]");
}
END_TEST

START_TEST(a_task_gets_what_the_jobs_before_it_returned)
{
    harness.run.inputs = (struct text){"[{\"result\":1}],", 14}; /* not NUL-terminated */
    run_task("inputs");
    expect_result("[{\"result\":1}]");
}
END_TEST

START_TEST(without_jobs_before_it_a_task_gets_nothing)
{
    run_task("inputs");
    expect_result("\"none\"");
}
END_TEST

START_TEST(a_plugin_of_an_earlier_abi_runs_on)
{
    harness.run.inputs = (struct text){"[]", 2};
    harness.task.kind = TASK_PLUGIN;
    strcpy(harness.task.path, TEST_PLUGINS "/abi_1.so");
    strcpy(harness.task.name, "old");
    run_args("1234");
    expect_result("[1,4,0]");
}
END_TEST

START_TEST(success_without_a_result_is_null)
{
    run_task("nothing");
    expect_result("null");
}
END_TEST

START_TEST(a_result_that_is_no_json_fails_for_good_whatever_is_returned)
{
    run_task("bad_json");
    expect_error("invalid_result", false, "the task returned something that is not JSON: ");
    run_task("bad_json_ignored");
    expect_error("invalid_result", false, "(byte 5)");
}
END_TEST

START_TEST(a_good_result_replaces_a_bad_one)
{
    run_task("bad_then_good");
    expect_result("2");
    ck_assert_str_eq(harness.attempt.error_code, "");
    ck_assert_str_eq(harness.attempt.error_message, "");
}
END_TEST

START_TEST(a_result_over_max_result_says_both_numbers)
{
    harness.run.max_result = 41;
    run_task("too_large");
    expect_error("result_too_large", false, "the result has 42 bytes, max_result is 41");
    harness.run.max_result = 42;
    run_task("too_large");
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_SUCCESS);
}
END_TEST

START_TEST(a_length_below_zero_is_too_large_and_nothing_is_read)
{
    run_task("negative_length");
    expect_error("result_too_large", false, "the result has 18446744073709551615 bytes");
}
END_TEST

START_TEST(an_unknown_answer_is_a_failure_that_says_so)
{
    run_task("unknown_answer");
    expect_error("task_failed", true, "run returned 42, which is none of FP_OK, FP_RETRY and FP_FAIL");
}
END_TEST

START_TEST(a_failure_without_a_reason_says_so)
{
    run_task("silent_retry");
    expect_error("task_failed", true, "the task returned FP_RETRY and gave no reason");
    run_task("silent_fail");
    expect_error("task_failed", false, "the task returned FP_FAIL and gave no reason");
}
END_TEST

START_TEST(an_error_carries_its_code_and_message)
{
    run_task("retry");
    expect_error("not_today", true, "come back tomorrow");
    run_task("for_good");
    expect_error("never", false, "and not tomorrow either");
}
END_TEST

START_TEST(a_code_that_is_not_snake_case_is_task_failed)
{
    run_task("wrong_code");
    expect_error("task_failed", true, "m");
    run_task("long_code");
    expect_error("task_failed", true, "m");
    run_task("longest_code");
    expect_error("a23456789012345678901234567890123456789", true, "");
}
END_TEST

START_TEST(an_error_before_a_success_is_forgotten)
{
    run_task("mended");
    expect_result("1");
    ck_assert_str_eq(harness.attempt.error_code, "");
}
END_TEST

START_TEST(log_lines_end_in_a_newline)
{
    run_task("logs");
    expect_log("one\ntwo\n");
}
END_TEST

START_TEST(progress_is_kept_between_0_and_1)
{
    run_task("reports");
    ck_assert_double_eq(harness.shared->slot.attempt.progress, 1);
    ck_assert_str_eq(harness.shared->slot.attempt.progress_message, "done");
}
END_TEST

START_TEST(cancelled_follows_the_run_word)
{
    run_task("asks");
    expect_result("false");
    harness.attempt = attempt_blank();
    uint64_t run = board_begin(&harness.shared->board, 1, 0, 0);
    ck_assert(board_move_run(&harness.shared->board, run, RUN_SIGNALLING));
    atomic_store(&harness.shared->board.stop_cause, STOP_CANCEL);
    atomic_store(&harness.shared->board.run, run_pack(run_number(run), RUN_STOPPING));
    kind_run(&harness.run);
    expect_result("true");
    ck_assert_int_eq(harness.run.stopped, STOP_CANCEL);
}
END_TEST

START_TEST(cpu_time_is_that_of_the_run)
{
    run_task("spins");
    ck_assert_int_ge(harness.attempt.cpu_us, 40000);
    run_task("nothing");
    ck_assert_int_lt(harness.attempt.cpu_us, 40000);
}
END_TEST

START_TEST(an_object_is_loaded_once)
{
    run_task("counts");
    expect_result("1");
    run_task("counts");
    expect_result("2");
}
END_TEST

START_TEST(a_task_the_plugin_no_longer_has_is_not_started)
{
    run_task("gone");
    expect_error("task_not_started", true, "the plugin has no task of that name: ");
}
END_TEST

START_TEST(an_object_that_cannot_be_loaded_says_why)
{
    harness.task.kind = TASK_PLUGIN;
    snprintf(harness.task.path, sizeof harness.task.path, "%s/none.so", harness.dir);
    run_args("1");
    expect_error("task_not_started", true, "none.so cannot be loaded: cannot open shared object file");
    strcpy(harness.task.path, TEST_PLUGINS "/wrong_abi.so");
    run_args("1");
    expect_error("task_not_started", true,
                 "was built for ABI 99 of forkpool.h, this server takes 1 to 2: build it again");
    strcpy(harness.task.path, TEST_PLUGINS "/abi_0.so");
    run_args("1");
    expect_error("task_not_started", true, "was built for ABI 0 of forkpool.h");
    strcpy(harness.task.path, TEST_PLUGINS "/no_table.so");
    run_args("1");
    expect_error("task_not_started", true, "exports no fp_plugin");
}
END_TEST

START_TEST(a_task_without_a_function_is_not_started)
{
    harness.task.kind = TASK_PLUGIN;
    strcpy(harness.task.path, TEST_PLUGINS "/no_run.so");
    strcpy(harness.task.name, "no_run");
    run_args("1");
    expect_error("task_not_started", true, "no_run");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kind_plugin");
    TCase *tcase = tcase_create("runs");
    tcase_add_checked_fixture(tcase, harness_init, harness_fini);
    tcase_add_test(tcase, the_arguments_may_come_back_as_the_result);
    tcase_add_test(tcase, absent_arguments_are_null);
    tcase_add_test(tcase, a_task_knows_what_it_runs_for);
    tcase_add_test(tcase, a_task_gets_what_the_jobs_before_it_returned);
    tcase_add_test(tcase, without_jobs_before_it_a_task_gets_nothing);
    tcase_add_test(tcase, a_plugin_of_an_earlier_abi_runs_on);
    tcase_add_test(tcase, success_without_a_result_is_null);
    tcase_add_test(tcase, a_result_that_is_no_json_fails_for_good_whatever_is_returned);
    tcase_add_test(tcase, a_good_result_replaces_a_bad_one);
    tcase_add_test(tcase, a_result_over_max_result_says_both_numbers);
    tcase_add_test(tcase, a_length_below_zero_is_too_large_and_nothing_is_read);
    tcase_add_test(tcase, an_unknown_answer_is_a_failure_that_says_so);
    tcase_add_test(tcase, a_failure_without_a_reason_says_so);
    tcase_add_test(tcase, an_error_carries_its_code_and_message);
    tcase_add_test(tcase, a_code_that_is_not_snake_case_is_task_failed);
    tcase_add_test(tcase, an_error_before_a_success_is_forgotten);
    tcase_add_test(tcase, log_lines_end_in_a_newline);
    tcase_add_test(tcase, progress_is_kept_between_0_and_1);
    tcase_add_test(tcase, cancelled_follows_the_run_word);
    tcase_add_test(tcase, cpu_time_is_that_of_the_run);
    tcase_add_test(tcase, an_object_is_loaded_once);
    tcase_add_test(tcase, a_task_the_plugin_no_longer_has_is_not_started);
    tcase_add_test(tcase, an_object_that_cannot_be_loaded_says_why);
    tcase_add_test(tcase, a_task_without_a_function_is_not_started);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
