#include "run.h"

#include "bearer.h"

#include <string.h>

static void reads(const char *value, const char *expected)
{
    struct text token = {0};
    bool found = bearer_read(value, &token);
    ck_assert_msg(found == (expected != NULL), "\"%s\"", value);
    if (found) {
        ck_assert_uint_eq(token.bytes, strlen(expected));
        ck_assert_mem_eq(token.at, expected, token.bytes);
    }
}

START_TEST(a_token_stands_behind_bearer)
{
    reads("Bearer abc", "abc");
    reads("bearer abc", "abc");
    reads("BEARER\tabc", "abc");
    reads("Bearer   abc  ", "abc");
    reads("Bearer fp_0+/~-.==", "fp_0+/~-.==");
}
END_TEST

START_TEST(anything_else_is_no_token)
{
    static const char *const VALUES[] = {"",           " ",          "Bearer",       "Bearer ",
                                         "Bearer  \t", "Bearerabc",  "Bearer: ",     "abc",
                                         "Basic abc",  "Bearer a b", "Bearer a,b c", "xBearer abc"};
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++)
        reads(VALUES[i], NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bearer");
    TCase *tests = tcase_create("bearer");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, a_token_stands_behind_bearer);
    tcase_add_test(tests, anything_else_is_no_token);
    return run_suite(suite);
}
