#include "args.h"
#include "run.h"

static enum args_found string(const char *json, const char *name, char out[64])
{
    /* A copy of exact size, so that a sanitizer sees a byte read too many. */
    size_t bytes = strlen(json);
    char *copy = malloc(bytes + (bytes == 0));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, json, bytes);
    enum args_found found = args_string(copy, bytes, name, out, 64);
    free(copy);
    return found;
}

static void expect(const char *json, const char *name, const char *expected)
{
    char out[64];
    ck_assert_int_eq(string(json, name, out), ARGS_OK);
    ck_assert_str_eq(out, expected);
}

START_TEST(a_member_is_found_wherever_it_stands)
{
    expect("{\"a\":\"x\"}", "a", "x");
    expect(" { \"a\" : \"x\" , \"b\" : \"y\" } ", "b", "y");
    expect("{\"o\":{\"a\":\"inner\",\"l\":[{\"a\":1}]},\"a\":\"x\"}", "a", "x");
    expect("{\"l\":[1,[\"a\",\"}\"]],\"s\":\"\\\"a\\\":1,{\",\"t\":true,\"a\":\"x\"}", "a", "x");
    expect("{\"\":\"empty\"}", "", "empty");
    expect("{\"a\":\"\"}", "a", "");
}
END_TEST

START_TEST(a_member_that_is_not_there_is_absent)
{
    char out[64];
    const char *texts[] = {"",   "null",          "[\"a\",\"x\"]",         "\"a\"",
                           "{}", "{\"b\":\"a\"}", "{\"b\":{\"a\":\"x\"}}", "{\"ab\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_int_eq(string(texts[i], "a", out), ARGS_ABSENT);
}
END_TEST

START_TEST(escapes_are_resolved_in_values_and_names)
{
    expect("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "a", "\"\\/\b\f\n\r\t");
    expect("{\"a\":\"\\u0041\\u00e4\\u20ac\\ud83d\\ude00\"}", "a", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    expect("{\"\\u0061\":\"x\"}", "a", "x");
    expect("{\"s\":\"\\\\\",\"a\":\"x\"}", "a", "x");
    expect("{\"a\":\"\xc3\xa4\"}", "a", "\xc3\xa4");
}
END_TEST

START_TEST(another_type_a_nul_or_too_long_a_string_is_wrong)
{
    char out[64];
    ck_assert_int_eq(string("{\"a\":1}", "a", out), ARGS_WRONG);
    ck_assert_int_eq(string("{\"a\":null}", "a", out), ARGS_WRONG);
    ck_assert_int_eq(string("{\"a\":\"x\\u0000y\"}", "a", out), ARGS_WRONG);
    ck_assert_int_eq(args_string("{\"a\":\"123\"}", 11, "a", out, 3), ARGS_WRONG);
    ck_assert_int_eq(args_string("{\"a\":\"123\"}", 11, "a", out, 4), ARGS_OK);
}
END_TEST

START_TEST(numbers_and_booleans_are_read)
{
    double value = 7;
    bool flag = false;
    const char *json = "{\"n\":-1.5e2,\"t\":true,\"f\":false,\"s\":\"1\",\"big\":1e999,\"last\":3}";
    size_t bytes = strlen(json);
    ck_assert_int_eq(args_number(json, bytes, "n", &value), ARGS_OK);
    ck_assert_double_eq(value, -150);
    ck_assert_int_eq(args_number(json, bytes, "last", &value), ARGS_OK);
    ck_assert_double_eq(value, 3);
    ck_assert_int_eq(args_number(json, bytes, "none", &value), ARGS_ABSENT);
    ck_assert_double_eq(value, 3);
    ck_assert_int_eq(args_number(json, bytes, "s", &value), ARGS_WRONG);
    ck_assert_int_eq(args_number(json, bytes, "t", &value), ARGS_WRONG);
    ck_assert_int_eq(args_number(json, bytes, "big", &value), ARGS_WRONG);
    ck_assert_int_eq(args_bool(json, bytes, "t", &flag), ARGS_OK);
    ck_assert(flag);
    ck_assert_int_eq(args_bool(json, bytes, "f", &flag), ARGS_OK);
    ck_assert(!flag);
    ck_assert_int_eq(args_bool(json, bytes, "n", &flag), ARGS_WRONG);
    ck_assert_int_eq(args_bool(json, bytes, "none", &flag), ARGS_ABSENT);
}
END_TEST

START_TEST(a_text_that_is_cut_off_anywhere_is_never_read_past_its_end)
{
    const char *json = "{\"s\":\"a\\\"\\u00e4\\ud83d\\ude00\",\"l\":[1,{\"x\":\"]\"}],\"a\":\"\\u0041\\n\"}";
    for (size_t bytes = 0; bytes <= strlen(json); bytes++) {
        char *copy = malloc(bytes + (bytes == 0)), out[64];
        double value;
        bool flag;
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, json, bytes);
        (void)args_string(copy, bytes, "a", out, sizeof out);
        (void)args_string(copy, bytes, "none", out, sizeof out);
        (void)args_number(copy, bytes, "l", &value);
        (void)args_bool(copy, bytes, "a", &flag);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("args");
    TCase *tcase = tcase_create("args");
    tcase_add_test(tcase, a_member_is_found_wherever_it_stands);
    tcase_add_test(tcase, a_member_that_is_not_there_is_absent);
    tcase_add_test(tcase, escapes_are_resolved_in_values_and_names);
    tcase_add_test(tcase, another_type_a_nul_or_too_long_a_string_is_wrong);
    tcase_add_test(tcase, numbers_and_booleans_are_read);
    tcase_add_test(tcase, a_text_that_is_cut_off_anywhere_is_never_read_past_its_end);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
