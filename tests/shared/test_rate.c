#include "run.h"

#include "clock.h"
#include "rate.h"

#include <stdlib.h>

static void reads(const char *text, uint32_t count, uint32_t period_s, const char *again)
{
    struct rate rate = {0};
    struct buf out = {0};
    size_t bytes;
    ck_assert_msg(rate_parse(text, &rate) == ERR_OK, "%s", text);
    ck_assert_uint_eq(rate.count, count);
    ck_assert_uint_eq(rate.period_s, period_s);
    rate_put(&out, rate);
    char *put = buf_take(&out, &bytes);
    ck_assert_str_eq(put, again);
    free(put);
}

START_TEST(a_rate_is_a_count_and_a_period_and_is_put_as_it_was)
{
    reads("10/s", 10, 1, "10/s");
    reads("30/m", 30, 60, "30/m");
    reads("100/h", 100, 3600, "100/h");
    reads("5/d", 5, 86400, "5/d");
    reads("3/10s", 3, 10, "3/10s");
    reads("7/60s", 7, 60, "7/m");
    reads("1000000/s", 1000000, 1, "1000000/s");
    reads("1/2592000s", 1, 2592000, "1/2592000s");
}
END_TEST

START_TEST(what_is_no_rate_is_refused_and_changes_nothing)
{
    static const char *const TEXTS[] = {"",
                                        "10",
                                        "/s",
                                        "10/",
                                        "0/s",
                                        "10/0s",
                                        "-1/s",
                                        "1.5/s",
                                        "10/week",
                                        "10/S",
                                        "1000001/s",
                                        "1/2592001s",
                                        " 1/s",
                                        "1/s ",
                                        "1/ s",
                                        "1/5m",
                                        "1s",
                                        "18446744073709551617/s",
                                        "1/18446744073709551617s"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct rate rate = {.count = 4, .period_s = 2};
        ck_assert_msg(rate_parse(TEXTS[i], &rate) == ERR_CONFIG, "%s", TEXTS[i]);
        ck_assert_uint_eq(rate.count, 4);
        ck_assert_uint_eq(rate.period_s, 2);
    }
}
END_TEST

START_TEST(no_rate_is_put_as_nothing)
{
    struct buf out = {0};
    rate_put(&out, (struct rate){0});
    ck_assert_uint_eq(out.bytes, 0);
}
END_TEST

START_TEST(the_interval_is_the_period_divided_evenly_and_never_0)
{
    ck_assert_int_eq(rate_interval_ns((struct rate){10, 1}), NS_PER_SEC / 10);
    ck_assert_int_eq(rate_interval_ns((struct rate){3, 10}), 3333333333);
    ck_assert_int_eq(rate_interval_ns((struct rate){RATE_COUNT_MAX, 1}), 1000);
    ck_assert_int_eq(rate_interval_ns((struct rate){1, RATE_PERIOD_MAX_S}), RATE_PERIOD_MAX_S * NS_PER_SEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/rate");
    TCase *tests = tcase_create("rate");
    tcase_add_test(tests, a_rate_is_a_count_and_a_period_and_is_put_as_it_was);
    tcase_add_test(tests, what_is_no_rate_is_refused_and_changes_nothing);
    tcase_add_test(tests, no_rate_is_put_as_nothing);
    tcase_add_test(tests, the_interval_is_the_period_divided_evenly_and_never_0);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
