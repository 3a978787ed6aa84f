/* What a scan is sure of, so that jansson need not be asked. */
#include "run.h"

#include "json.h"

#include <stdio.h>
#include <string.h>

static void is_sure(bool sure, const char *text)
{
    struct json_scan scan;
    ck_assert_int_eq(json_scan(text, strlen(text), &scan, NULL), ERR_OK);
    ck_assert_msg(scan.unsure == !sure, "%s", text);
}

START_TEST(a_scan_is_unsure_of_keys_that_may_be_the_same_and_of_numbers_that_may_be_too_large)
{
    char text[1024], *at = text;
    is_sure(true, "{\"a\":1,\"b\":{\"a\":-2.5,\"aa\":[{\"a\":1},{\"a\":2}]}}");
    is_sure(true, "[\"a\\u0062\",\"1e999\",0]");
    is_sure(false, "{\"a\":1,\"b\":2,\"a\":3}");
    is_sure(false, "[[{\"x\":{\"a\":1,\"a\":3}}]]");
    is_sure(false, "{\"ab\":1,\"a\\u0062\":2}");
    is_sure(false, "{\"a\":1e3}");
    is_sure(false, "[1,2.5E-3]");
    memset(text, '9', 300);
    text[300] = '\0';
    is_sure(true, text);
    text[300] = '9';
    text[301] = '\0';
    is_sure(false, text);
    for (int i = 0; i < 16; i++)
        at += sprintf(at, "%c\"k%d\":0", i == 0 ? '{' : ',', i);
    strcpy(at, "}");
    is_sure(true, text);
    strcpy(at, ",\"k16\":0}");
    is_sure(false, text);
}
END_TEST

START_TEST(a_check_finds_the_same_keys_wherever_they_stand)
{
    char text[1024];
    for (int members = 2; members < 40; members++) {
        for (int last = 0; last < members - 1; last++) { /* the last member again has the key of this one */
            char *at = text;
            for (int i = 0; i < members; i++)
                at += sprintf(at, "%c\"k%d\":0", i == 0 ? '{' : ',', i < members - 1 ? i : last);
            strcpy(at, "}");
            ck_assert_int_eq(json_check(text, strlen(text), NULL, NULL), ERR_DUPLICATE_KEY);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_sure");
    TCase *tests = tcase_create("json_sure");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, a_scan_is_unsure_of_keys_that_may_be_the_same_and_of_numbers_that_may_be_too_large);
    tcase_add_test(tests, a_check_finds_the_same_keys_wherever_they_stand);
    return run_suite(suite);
}
