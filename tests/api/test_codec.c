#include "run.h"

#include "submission.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

static void document(void)
{
    BUF_AUTO out = {0};
    codec_job(&out, f.job, true);
    f.json = json_loadb(out.data, out.bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(f.json);
}

static void assert_text(struct text text, const char *expected)
{
    ck_assert_uint_eq(text.bytes, strlen(expected));
    ck_assert_mem_eq(text.at, expected, text.bytes);
}

START_TEST(a_task_alone_is_a_job_with_the_defaults_of_that_task)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    const struct job_spec *spec = &f.job->spec;
    ck_assert_str_eq(spec->task, "echo");
    ck_assert_str_eq(spec->queue, "default");
    ck_assert_int_eq(spec->priority, PRIORITY_DEFAULT);
    ck_assert_int_eq(spec->timeout_ms, 90000);
    ck_assert_int_eq(spec->kill_after_ms, 2000);
    ck_assert_int_eq(spec->retry.max_attempts, 4);
    ck_assert_int_eq(spec->durability, DURABILITY_FULL);
    ck_assert_int_eq(spec->epoch, 7);
    ck_assert_int_eq(f.job->state, JOB_QUEUED);
    assert_text(f.job->args, "null");
    ck_assert_int_eq(submit(&f, "{\"task\":\"sha256\"}"), ERR_OK);
    ck_assert_str_eq(f.job->spec.queue, "hashes");
}
END_TEST

START_TEST(every_option_of_a_body_is_taken)
{
    ck_assert_int_eq(
        submit(&f, "{\"task\":\"echo\",\"args\":[1],\"queue\":\"mail\",\"priority\":9,\"timeout\":1.5,"
                   "\"kill_after\":0,\"durability\":\"process\",\"retry\":{\"max_attempts\":7,"
                   "\"backoff\":\"linear\",\"initial\":0.25,\"max\":3,\"jitter\":0.07}}"),
        ERR_OK);
    const struct job_spec *spec = &f.job->spec;
    ck_assert_str_eq(spec->queue, "mail");
    ck_assert_int_eq(spec->priority, 9);
    ck_assert_int_eq(spec->timeout_ms, 1500);
    ck_assert_int_eq(spec->kill_after_ms, 0);
    ck_assert_int_eq(spec->durability, DURABILITY_PROCESS);
    ck_assert_int_eq(spec->retry.max_attempts, 7);
    ck_assert_int_eq(spec->retry.backoff, BACKOFF_LINEAR);
    ck_assert_int_eq(spec->retry.initial_ms, 250);
    ck_assert_int_eq(spec->retry.max_ms, 3000);
    ck_assert_int_eq(spec->retry.jitter, 7);
}
END_TEST

START_TEST(arguments_are_kept_to_the_byte)
{
    ck_assert_int_eq(
        submit(&f, "{\"args\" : {\"n\": 12345678901234567890.10, \"s\":\"\\u00e9\"} , \"task\":\"echo\"}"),
        ERR_OK);
    assert_text(f.job->args, "{\"n\": 12345678901234567890.10, \"s\":\"\\u00e9\"}");
}
END_TEST

START_TEST(large_arguments_outlive_the_body_without_a_copy)
{
    BUF_AUTO body = {0};
    buf_put(&body, "{\"task\":\"echo\",\"args\":\"");
    for (int i = 0; i < 20000; i++)
        buf_put(&body, "x");
    buf_put(&body, "\"}");
    const char *at = body.data;
    struct submission submission = {.config = f.config, .catalogue = f.catalogue, .body = &body};
    ck_assert_int_eq(codec_submission(&submission, &f.job, &f.start_within_ms, &f.problem), ERR_OK);
    ck_assert_ptr_eq(f.job->owned[0], at);
    ck_assert_ptr_null(body.data);
    ck_assert_uint_eq(f.job->args.bytes, 20002);
}
END_TEST

START_TEST(escaped_names_of_members_are_the_same_names)
{
    ck_assert_int_eq(submit(&f, "{\"t\\u0061sk\":\"echo\",\"pri\\u006frity\":3}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.priority, 3);
}
END_TEST

START_TEST(whole_numbers_may_be_written_as_reals)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"priority\":3.0}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.priority, 3);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"priority\":3.5}"), ERR_INVALID_FIELD);
}
END_TEST

START_TEST(jitter_may_be_a_truth_value)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"jitter\":true}}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.retry.jitter, 30);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"jitter\":false}}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.retry.jitter, 0);
}
END_TEST

START_TEST(a_longer_first_wait_lengthens_the_default_longest_one)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"initial\":120}}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.retry.max_ms, 120000);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"max\":0.1}}"), ERR_OK);
    ck_assert_int_eq(f.job->spec.retry.initial_ms, 100);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"initial\":2,\"max\":1}}"),
                     ERR_INVALID_FIELD);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/retry/max");
}
END_TEST

START_TEST(every_fault_of_a_body_is_listed_with_its_pointer)
{
    ck_assert_int_eq(
        submit(&f, "{\"task\":\"echo\",\"priority\":10,\"timeout\":0,\"queue\":\"a b\","
                   "\"durability\":\"ful\",\"retry\":{\"backoff\":\"x\",\"max_attempts\":0},\"a/b~\":1}"),
        ERR_INVALID_FIELD);
    const char *pointers[] = {"/priority",           "/timeout", "/queue", "/durability", "/retry/backoff",
                              "/retry/max_attempts", "/a~1b~0"};
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++)
        ck_assert_str_eq(fault_at(&f, i, "pointer"), pointers[i]);
    ck_assert_str_eq(text_at(&f, "detail"),
                     "priority is 10, but must be a whole number from 0 to 9; 9 runs first");
    ck_assert_ptr_null(f.job);
}
END_TEST

START_TEST(values_of_a_wrong_type_are_refused)
{
    const char *members[] = {"\"priority\":\"5\"", "\"timeout\":\"1h\"", "\"timeout\":null",
                             "\"queue\":1",        "\"queue\":\"\"",     "\"durability\":true",
                             "\"retry\":3",        "\"retry\":[]",       "\"retry\":{\"jitter\":1.5}",
                             "\"kill_after\":-1",  "\"timeout\":1e300"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"task\":\"echo\",%s}", members[i]);
        ck_assert_msg(submit(&f, body) == ERR_INVALID_FIELD, "%s", body);
    }
}
END_TEST

START_TEST(an_unknown_field_names_the_nearest_one)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"arg\":1}"), ERR_UNKNOWN_FIELD);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "did you mean \"args\"?"));
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"max_attempts\":1}"), ERR_UNKNOWN_FIELD);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "belongs into retry"));
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"retry\":{\"jiter\":1}}"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/retry/jiter");
}
END_TEST

START_TEST(more_members_than_a_scan_notes_are_refused)
{
    BUF_AUTO body = {0};
    buf_put(&body, "{\"task\":\"echo\"");
    for (int i = 0; i < 100; i++)
        buf_printf(&body, ",\"x%d\":1", i);
    buf_add(&body, "}", 2);
    ck_assert_int_eq(submit(&f, body.data), ERR_UNKNOWN_FIELD);
    ck_assert_uint_le(json_array_size(json_object_get(f.json, "errors")), 20);
}
END_TEST

START_TEST(an_unknown_task_names_the_nearest_and_the_known_ones)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"sha25\",\"priority\":11}"), ERR_UNKNOWN_TASK);
    ck_assert_str_eq(text_at(&f, "detail"), "there is no task \"sha25\"; did you mean \"sha256\"?");
    ck_assert_str_eq(text_at(&f, "hint"),
                     "known tasks: broken, echo, sha256 (a new one counts after a reload: SIGHUP)");
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/task");
    ck_assert_str_eq(fault_at(&f, 1, "pointer"), "/priority");
}
END_TEST

START_TEST(a_broken_task_is_refused_with_its_reason)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"broken\"}"), ERR_BROKEN_TASK);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "no such file"));
}
END_TEST

START_TEST(a_body_without_a_task_or_that_is_no_object_is_refused)
{
    const char *bodies[] = {"{}", "{\"args\":1}", "{\"task\":5}", "{\"task\":\"\"}", "[]",
                            "1",  "null",         "\"echo\""};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        ck_assert_msg(submit(&f, bodies[i]) == ERR_INVALID_FIELD, "%s", bodies[i]);
}
END_TEST

START_TEST(broken_json_is_shown_with_its_place)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\n 'echo'}"), ERR_INVALID_JSON);
    ck_assert_int_eq(json_integer_value(json_object_get(f.json, "line")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(f.json, "column")), 2);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "\n 'echo'}\n ^"));
    ck_assert_int_eq(submit(&f, ""), ERR_INVALID_JSON);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"args\":1e999}"), ERR_NUMBER_RANGE);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"task\":\"echo\"}"), ERR_DUPLICATE_KEY);
}
END_TEST

START_TEST(by_task_the_body_is_the_arguments_and_the_query_the_options)
{
    struct parameter query[] = {{"priority", "7"},        {"timeout", "2.5"}, {"max_attempts", "1"},
                                {"durability", "memory"}, {"queue", "q"},     {"wait", "3"}};
    struct submission by_task = {.task = "echo", .parameters = query, .parameter_count = 6};
    ck_assert_int_eq(submit_as(&f, by_task, " {\"task\":\"not a field\"} "), ERR_OK);
    assert_text(f.job->args, "{\"task\":\"not a field\"}");
    ck_assert_int_eq(f.job->spec.priority, 7);
    ck_assert_int_eq(f.job->spec.timeout_ms, 2500);
    ck_assert_int_eq(f.job->spec.retry.max_attempts, 1);
    ck_assert_int_eq(f.job->spec.durability, DURABILITY_MEMORY);
    ck_assert_str_eq(f.job->spec.queue, "q");
    ck_assert_int_eq(submit_as(&f, by_task, ""), ERR_OK);
    assert_text(f.job->args, "null");
}
END_TEST

START_TEST(a_wrong_option_in_the_query_names_the_parameter)
{
    struct parameter query[] = {{"priority", "high"}, {"timeout", "1e"}, {"queue", ""}};
    ck_assert_int_eq(
        submit_as(&f, (struct submission){.task = "echo", .parameters = query, .parameter_count = 3}, "1"),
        ERR_INVALID_PARAMETER);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(fault_at(&f, i, "parameter"), query[i].name);
}
END_TEST

START_TEST(an_unknown_task_in_the_path_is_not_found)
{
    ck_assert_int_eq(submit_as(&f, (struct submission){.task = "eccho"}, "1"), ERR_NO_SUCH_TASK);
    ck_assert_int_eq(json_integer_value(json_object_get(f.json, "status")), 404);
    ck_assert_str_eq(text_at(&f, "code"), "unknown_task");
}
END_TEST

static struct id fingerprint(struct submission submission, const char *body)
{
    submission.idempotency_key = "k";
    ck_assert_int_eq(submit_as(&f, submission, body), ERR_OK);
    return f.job->spec.fingerprint;
}

START_TEST(the_fingerprint_is_that_of_what_was_sent_without_the_wait)
{
    struct parameter waits[] = {{"wait", "5"}}, one[] = {{"priority", "1"}, {"queue", "a"}},
                     other[] = {{"queue", "a"}, {"wait", "1"}, {"priority", "1"}},
                     third[] = {{"priority", "2"}};
    struct id first = fingerprint((struct submission){0}, "{\"task\":\"echo\"}");
    ck_assert(id_equal(first, fingerprint((struct submission){.parameters = waits, .parameter_count = 1},
                                          "{\"task\":\"echo\"}")));
    ck_assert(!id_equal(first, fingerprint((struct submission){0}, "{\"task\":\"echo\",\"args\":1}")));
    struct submission by_task = {.task = "echo", .parameters = one, .parameter_count = 2};
    struct id second = fingerprint(by_task, "1");
    by_task.parameters = other;
    by_task.parameter_count = 3;
    ck_assert(id_equal(second, fingerprint(by_task, "1")));
    by_task.parameters = third;
    by_task.parameter_count = 1;
    ck_assert(!id_equal(second, fingerprint(by_task, "1")));
    ck_assert(!id_equal(
        second,
        fingerprint((struct submission){.task = "sha256", .parameters = one, .parameter_count = 2}, "1")));
}
END_TEST

START_TEST(an_idempotency_key_is_1_to_128_printable_characters)
{
    char key[131];
    memset(key, 'k', sizeof key);
    key[128] = '\0';
    ck_assert_int_eq(submit_as(&f, (struct submission){.idempotency_key = key}, "{\"task\":\"echo\"}"),
                     ERR_OK);
    ck_assert_str_eq(f.job->spec.idempotency_key, key);
    key[128] = 'k';
    key[129] = '\0';
    const char *wrong[] = {key, "", "tab\there", "\xc3\xa9"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(
            submit_as(&f, (struct submission){.idempotency_key = wrong[i]}, "{\"task\":\"echo\"}"),
            ERR_INVALID_PARAMETER);
        ck_assert_str_eq(fault_at(&f, 0, "header"), "Idempotency-Key");
    }
}
END_TEST

START_TEST(a_traceparent_is_kept_if_it_is_one_and_ignored_if_not)
{
    const char *good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const char *cases[][2] = {
        {good, good},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
         "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", ""},
        {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(
            submit_as(&f, (struct submission){.traceparent = cases[i][0]}, "{\"task\":\"echo\"}"), ERR_OK);
        ck_assert_str_eq(f.job->spec.traceparent, cases[i][1]);
    }
}
END_TEST

START_TEST(a_new_job_has_a_document_with_nulls_for_what_is_not_known_yet)
{
    static const char *const NULLS[] = {"idempotency_key", "traceparent",  "progress",    "result",
                                        "error",           "worker",       "started_at",  "finished_at",
                                        "next_attempt_at", "wait_seconds", "run_seconds", "cpu_seconds",
                                        "max_rss_bytes"};
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"args\":{\"a\":1}}"), ERR_OK);
    document();
    ck_assert_str_eq(text_at(&f, "state"), "queued");
    for (size_t i = 0; i < sizeof NULLS / sizeof NULLS[0]; i++)
        ck_assert_msg(json_is_null(json_object_get(f.json, NULLS[i])), "%s", NULLS[i]);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(f.json, "args"), "a")), 1);
}
END_TEST

START_TEST(a_finished_job_has_its_times_its_result_and_its_use_of_resources)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    struct attempt *attempt = &f.job->attempt;
    f.job->state = JOB_SUCCEEDED;
    f.job->result = (struct text){"1.50", 4};
    f.job->spec.created_ms = 1700000000000;
    attempt->number = f.job->spec.attempt = 1;
    attempt->started_ms = 1700000000250;
    attempt->finished_ms = 1700000001000;
    attempt->cpu_us = 1500001;
    attempt->worker = 3;
    attempt->outcome = OUTCOME_SUCCESS;
    BUF_AUTO out = {0};
    codec_job(&out, f.job, true);
    buf_add(&out, "", 1);
    ck_assert_ptr_nonnull(strstr(out.data, "\"result\":1.50,"));
    ck_assert_ptr_nonnull(
        strstr(out.data, "\"wait_seconds\":0.25,\"run_seconds\":0.75,\"cpu_seconds\":1.500001,"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"finished_at\":\"2023-11-14T22:13:21.000Z\""));
    ck_assert_ptr_nonnull(strstr(out.data, "\"worker\":3,"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"error\":null,"));
}
END_TEST

START_TEST(a_clock_that_was_set_back_gives_no_negative_durations)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    f.job->spec.created_ms = 2000;
    f.job->attempt.started_ms = 1000;
    f.job->attempt.finished_ms = 500;
    document();
    ck_assert_double_eq(json_number_value(json_object_get(f.json, "wait_seconds")), 0);
    ck_assert_double_eq(json_number_value(json_object_get(f.json, "run_seconds")), 0);
}
END_TEST

START_TEST(a_failed_job_has_an_error_and_no_result)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    f.job->state = JOB_FAILED;
    f.job->result = (struct text){"1", 1};
    strcpy(f.job->attempt.error_code, "exit_status");
    strcpy(f.job->attempt.error_message, "said \"no\"\n");
    f.job->attempt.exit_code = 3;
    document();
    ck_assert(json_is_null(json_object_get(f.json, "result")));
    const json_t *error = json_object_get(f.json, "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "message")), "said \"no\"\n");
    ck_assert_int_eq(json_integer_value(json_object_get(error, "exit_code")), 3);
    ck_assert(json_is_null(json_object_get(error, "signal")));
    ck_assert(json_is_false(json_object_get(error, "retryable")));
}
END_TEST

START_TEST(rows_of_a_list_have_neither_arguments_nor_result)
{
    BUF_AUTO out = {0};
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"args\":1}"), ERR_OK);
    codec_job(&out, f.job, false);
    f.json = json_loadb(out.data, out.bytes, 0, NULL);
    ck_assert_ptr_nonnull(f.json);
    ck_assert_ptr_null(json_object_get(f.json, "args"));
    ck_assert_ptr_null(json_object_get(f.json, "result"));
}
END_TEST

START_TEST(an_attempt_that_runs_has_no_outcome)
{
    BUF_AUTO out = {0};
    struct attempt attempt = attempt_blank();
    attempt.number = 2;
    attempt.progress = 0.5;
    strcpy(attempt.progress_message, "half");
    codec_attempt(&out, &attempt);
    f.json = json_loadb(out.data, out.bytes, 0, NULL);
    ck_assert_ptr_nonnull(f.json);
    ck_assert(json_is_null(json_object_get(f.json, "outcome")));
    ck_assert_double_eq(json_number_value(json_object_get(json_object_get(f.json, "progress"), "value")),
                        0.5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *in = tcase_create("in"), *out = tcase_create("out");
    tcase_add_checked_fixture(in, setup, teardown);
    tcase_add_checked_fixture(out, setup, teardown);
    suite_add_tcase(suite, in);
    suite_add_tcase(suite, out);
    tcase_add_test(in, a_task_alone_is_a_job_with_the_defaults_of_that_task);
    tcase_add_test(in, every_option_of_a_body_is_taken);
    tcase_add_test(in, arguments_are_kept_to_the_byte);
    tcase_add_test(in, large_arguments_outlive_the_body_without_a_copy);
    tcase_add_test(in, escaped_names_of_members_are_the_same_names);
    tcase_add_test(in, whole_numbers_may_be_written_as_reals);
    tcase_add_test(in, jitter_may_be_a_truth_value);
    tcase_add_test(in, a_longer_first_wait_lengthens_the_default_longest_one);
    tcase_add_test(in, every_fault_of_a_body_is_listed_with_its_pointer);
    tcase_add_test(in, values_of_a_wrong_type_are_refused);
    tcase_add_test(in, an_unknown_field_names_the_nearest_one);
    tcase_add_test(in, more_members_than_a_scan_notes_are_refused);
    tcase_add_test(in, an_unknown_task_names_the_nearest_and_the_known_ones);
    tcase_add_test(in, a_broken_task_is_refused_with_its_reason);
    tcase_add_test(in, a_body_without_a_task_or_that_is_no_object_is_refused);
    tcase_add_test(in, broken_json_is_shown_with_its_place);
    tcase_add_test(in, by_task_the_body_is_the_arguments_and_the_query_the_options);
    tcase_add_test(in, a_wrong_option_in_the_query_names_the_parameter);
    tcase_add_test(in, an_unknown_task_in_the_path_is_not_found);
    tcase_add_test(in, the_fingerprint_is_that_of_what_was_sent_without_the_wait);
    tcase_add_test(in, an_idempotency_key_is_1_to_128_printable_characters);
    tcase_add_test(in, a_traceparent_is_kept_if_it_is_one_and_ignored_if_not);
    tcase_add_test(out, a_new_job_has_a_document_with_nulls_for_what_is_not_known_yet);
    tcase_add_test(out, a_finished_job_has_its_times_its_result_and_its_use_of_resources);
    tcase_add_test(out, a_clock_that_was_set_back_gives_no_negative_durations);
    tcase_add_test(out, a_failed_job_has_an_error_and_no_result);
    tcase_add_test(out, rows_of_a_list_have_neither_arguments_nor_result);
    tcase_add_test(out, an_attempt_that_runs_has_no_outcome);
    return run_suite(suite);
}
