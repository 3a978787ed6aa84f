#include "err.h"
#include "run.h"

#include <string.h>

START_TEST(ok_is_zero_and_has_status_200)
{
    ck_assert_int_eq(ERR_OK, 0);
    ck_assert_str_eq(err_code(ERR_OK), "ok");
    ck_assert_int_eq(err_status(ERR_OK), 200);
}
END_TEST

START_TEST(every_code_is_snake_case)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *code = err_code((enum err)i);
        ck_assert_msg(code[0] >= 'a' && code[0] <= 'z', "%s", code);
        ck_assert_msg(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(code), "%s", code);
    }
}
END_TEST

/* unknown_task stands twice: 404 in a path, 422 in a body. */
START_TEST(a_code_that_stands_twice_differs_in_status)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        for (int j = i + 1; j < ERR_COUNT; j++) {
            enum err a = (enum err)i, b = (enum err)j;
            if (strcmp(err_code(a), err_code(b)) == 0) {
                ck_assert_str_eq(err_code(a), "unknown_task");
                ck_assert_int_ne(err_status(a), err_status(b));
                ck_assert_str_eq(err_title(a), err_title(b));
            }
        }
    }
}
END_TEST

START_TEST(every_error_has_an_http_error_status)
{
    for (int i = ERR_OK + 1; i < ERR_COUNT; i++) {
        int status = err_status((enum err)i);
        ck_assert_msg(status >= 400 && status <= 599, "%s: %d", err_code((enum err)i), status);
    }
}
END_TEST

START_TEST(every_title_is_a_sentence_without_full_stop)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *title = err_title((enum err)i);
        ck_assert_msg(title[0] >= 'A' && title[0] <= 'Z', "%s", title);
        ck_assert_msg(title[strlen(title) - 1] != '.', "%s", title);
    }
}
END_TEST

START_TEST(known_errors_keep_their_code_and_status)
{
    ck_assert_str_eq(err_code(ERR_INVALID_JSON), "invalid_json");
    ck_assert_int_eq(err_status(ERR_INVALID_JSON), 400);
    ck_assert_str_eq(err_code(ERR_UNKNOWN_JOB), "unknown_job");
    ck_assert_int_eq(err_status(ERR_UNKNOWN_JOB), 404);
    ck_assert_int_eq(err_status(ERR_NUMBER_RANGE), 422);
    ck_assert_int_eq(err_status(ERR_STORE_FULL), 507);
    ck_assert_int_eq(err_status(ERR_BAD_HOST), 421);
}
END_TEST

#if !defined(__SANITIZE_THREAD__) /* whose tests do not fork, so none of them may abort */
START_TEST(a_number_beyond_the_table_aborts)
{
    fclose(stderr);
    err_code((enum err)ERR_COUNT);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *tests = tcase_create("table");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, ok_is_zero_and_has_status_200);
    tcase_add_test(tests, every_code_is_snake_case);
    tcase_add_test(tests, a_code_that_stands_twice_differs_in_status);
    tcase_add_test(tests, every_error_has_an_http_error_status);
    tcase_add_test(tests, every_title_is_a_sentence_without_full_stop);
    tcase_add_test(tests, known_errors_keep_their_code_and_status);
#if !defined(__SANITIZE_THREAD__)
    tcase_add_test_raise_signal(tests, a_number_beyond_the_table_aborts, 6);
#endif
    return run_suite(suite);
}
