#include "run.h"

#include "problem.h"

#include <jansson.h>
#include <string.h>

static struct problem problem;
static json_t *json;

static void setup(void)
{
    problem = (struct problem){0};
    json = NULL;
}

static void teardown(void)
{
    problem_fini(&problem);
    json_decref(json);
}

static void document(void)
{
    BUF_AUTO out = {0};
    problem_write(&problem, "req-1", &out);
    json = json_loadb(out.data, out.bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(json);
}

static const char *member(const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : "";
}

START_TEST(a_document_has_the_members_of_rfc_9457_and_ours)
{
    problem_set(&problem, ERR_UNKNOWN_JOB, "there is no job %d", 7);
    document();
    ck_assert_str_eq(member("type"), "urn:forkpool:problem:unknown_job");
    ck_assert_str_eq(member("title"), err_title(ERR_UNKNOWN_JOB));
    ck_assert_int_eq(json_integer_value(json_object_get(json, "status")), 404);
    ck_assert_str_eq(member("detail"), "there is no job 7");
    ck_assert_str_eq(member("code"), "unknown_job");
    ck_assert_str_eq(member("request_id"), "req-1");
    ck_assert_str_ne(member("hint"), "");
    ck_assert_ptr_null(json_object_get(json, "errors"));
}
END_TEST

START_TEST(every_error_of_the_table_makes_a_valid_document)
{
    for (int err = ERR_OK + 1; err < ERR_COUNT; err++) {
        problem_fini(&problem);
        json_decref(json);
        problem = (struct problem){.err = (enum err)err};
        document();
        ck_assert_str_eq(member("detail"), err_title((enum err)err));
        ck_assert_str_ne(member("hint"), "");
        bool clients = err_status((enum err)err) < 500 && err != ERR_NOT_FOUND; /* that one is never shown */
        ck_assert_msg(!clients || strstr(member("hint"), "log") == NULL, "%s has no hint of its own",
                      err_code((enum err)err));
    }
}
END_TEST

START_TEST(the_first_fault_gives_code_and_detail_and_all_are_listed)
{
    problem_add(&problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, "/foo", "no field \"foo\"");
    problem_add(&problem, ERR_INVALID_FIELD, PLACE_POINTER, "/priority", "too high");
    problem_add(&problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, "wait", "too long");
    problem_set(&problem, ERR_NO_MEMORY, "not said any more");
    document();
    ck_assert_str_eq(member("code"), "unknown_field");
    ck_assert_str_eq(member("detail"), "no field \"foo\"");
    const json_t *errors = json_object_get(json, "errors");
    ck_assert_uint_eq(json_array_size(errors), 3);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(errors, 1), "pointer")), "/priority");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(errors, 1), "code")), "invalid_field");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(errors, 2), "parameter")), "wait");
}
END_TEST

START_TEST(a_hint_of_its_own_replaces_the_usual_one_and_the_first_stays)
{
    problem_set(&problem, ERR_UNKNOWN_JOB, "x");
    problem_hint(&problem, "look %s", "here");
    problem_hint(&problem, "not there");
    document();
    ck_assert_str_eq(member("hint"), "look here");
}
END_TEST

START_TEST(what_clients_sent_cannot_break_the_document)
{
    problem_add(&problem, ERR_INVALID_FIELD, PLACE_POINTER, "/\"\\\x01\xff", "value \"%s\"", "\xff\n\"}");
    document();
    ck_assert_ptr_nonnull(strstr(member("detail"), "\n\"}"));
}
END_TEST

START_TEST(long_details_are_whole)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    problem_set(&problem, ERR_INVALID_JSON, "%s", text);
    document();
    ck_assert_str_eq(member("detail"), text);
}
END_TEST

static void merge_line(size_t line, bool placed, const char *detail)
{
    PROBLEM_AUTO fault = {.line = line};
    if (placed)
        problem_add(&fault, ERR_INVALID_FIELD, PLACE_POINTER, "/priority", "%s", detail);
    else
        problem_set(&fault, ERR_INVALID_JSON, "%s", detail);
    buf_put(&fault.extra, ",\"column\":3");
    problem_hint(&fault, "hint of line %zu", line);
    problem_merge(&problem, &fault);
}

static void assert_error(size_t number, const char *pointer, int line, const char *detail)
{
    const json_t *error = json_array_get(json_object_get(json, "errors"), number);
    ck_assert_str_eq(json_string_value(json_object_get(error, "pointer")), pointer);
    ck_assert_int_eq(json_integer_value(json_object_get(error, "line")), line);
    ck_assert_str_eq(json_string_value(json_object_get(error, "detail")), detail);
}

START_TEST(faults_of_lines_are_gathered_and_the_first_names_its_line)
{
    merge_line(17, true, "too high");
    merge_line(20, false, "broken");
    document();
    ck_assert_str_eq(member("code"), "invalid_field");
    ck_assert_str_eq(member("detail"), "line 17: too high");
    ck_assert_str_eq(member("hint"), "hint of line 17");
    ck_assert_int_eq(json_integer_value(json_object_get(json, "line")), 17);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "column")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "errors")), 2);
    assert_error(0, "/17/priority", 17, "too high");
    assert_error(1, "/20", 20, "broken");
}
END_TEST

START_TEST(no_more_faults_are_listed_than_wanted)
{
    problem.most = 2;
    for (int i = 0; i < 5; i++)
        problem_add(&problem, ERR_INVALID_FIELD, PLACE_POINTER, "/x", "fault %d", i);
    document();
    ck_assert_uint_eq(problem.count, 2);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "errors")), 2);
    ck_assert_str_eq(member("detail"), "fault 0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("problem");
    TCase *tcase = tcase_create("problem");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_document_has_the_members_of_rfc_9457_and_ours);
    tcase_add_test(tcase, every_error_of_the_table_makes_a_valid_document);
    tcase_add_test(tcase, the_first_fault_gives_code_and_detail_and_all_are_listed);
    tcase_add_test(tcase, a_hint_of_its_own_replaces_the_usual_one_and_the_first_stays);
    tcase_add_test(tcase, what_clients_sent_cannot_break_the_document);
    tcase_add_test(tcase, long_details_are_whole);
    tcase_add_test(tcase, faults_of_lines_are_gathered_and_the_first_names_its_line);
    tcase_add_test(tcase, no_more_faults_are_listed_than_wanted);
    return run_suite(suite);
}
