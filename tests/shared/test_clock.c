#include "clock.h"
#include "run.h"

#include <string.h>

static void ck_format(int64_t ms, const char *expected)
{
    char text[CLOCK_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    clock_format(ms, text);
    ck_assert_str_eq(text, expected);
}

static void ck_parse(const char *text, int64_t expected)
{
    int64_t ms = -1;
    ck_assert_msg(clock_parse(text, &ms) == ERR_OK, "%s", text);
    ck_assert_msg(ms == expected, "%s: %lld", text, (long long)ms);
}

START_TEST(times_are_written_as_rfc_3339_with_milliseconds)
{
    ck_format(0, "1970-01-01T00:00:00.000Z");
    ck_format(1, "1970-01-01T00:00:00.001Z");
    ck_format(951782399999, "2000-02-28T23:59:59.999Z");
    ck_format(951782400000, "2000-02-29T00:00:00.000Z");
    ck_format(1795415760123, "2026-11-23T06:36:00.123Z");
    ck_format(253402300799999, "9999-12-31T23:59:59.999Z");
}
END_TEST

START_TEST(times_with_z_are_read)
{
    ck_parse("1970-01-01T00:00:00Z", 0);
    ck_parse("2026-11-23T06:36:00.123Z", 1795415760123);
    ck_parse("2026-11-23t06:36:00.123z", 1795415760123);
    ck_parse("2026-11-23 06:36:00.123Z", 1795415760123);
    ck_parse("9999-12-31T23:59:59.999Z", 253402300799999);
}
END_TEST

START_TEST(fractions_of_any_length_are_cut_to_milliseconds)
{
    ck_parse("1970-01-01T00:00:00.5Z", 500);
    ck_parse("1970-01-01T00:00:00.05Z", 50);
    ck_parse("1970-01-01T00:00:00.123999999999999999999Z", 123);
}
END_TEST

START_TEST(offsets_are_taken_into_account)
{
    ck_parse("2026-11-23T07:36:00+01:00", 1795415760000);
    ck_parse("2026-11-23T01:06:00-05:30", 1795415760000);
    ck_parse("2026-11-23T06:36:00-00:00", 1795415760000);
    ck_parse("1970-01-01T01:00:00+01:00", 0);
    ck_parse("2024-03-01T00:30:00+01:00", 1709249400000); /* 29 February in UTC */
}
END_TEST

START_TEST(a_leap_second_is_the_next_second)
{
    ck_parse("2016-12-31T23:59:60Z", 1483228800000);
    ck_parse("2016-12-31T23:59:60.5Z", 1483228800500);
}
END_TEST

static const char *const REFUSED[] = {
    "",
    "now",
    "2026-11-23",
    "2026-11-23T06:36:00",
    "2026-11-23T06:36Z",
    "2026-11-23T06:36:00.Z",
    "2026-11-23T06:36:00,5Z",
    "2026-11-23T06:36:00Z ",
    " 2026-11-23T06:36:00Z",
    "2026-11-23T06:36:00+1:00",
    "2026-11-23T06:36:00+01",
    "2026-11-23T06:36:00+0100",
    "2026-11-23T06:36:00+24:00",
    "2026-11-23T06:36:00+01:60",
    "2026-11-23T24:00:00Z",
    "2026-11-23T06:60:00Z",
    "2026-11-23T06:36:61Z",
    "2026-00-23T06:36:00Z",
    "2026-13-23T06:36:00Z",
    "2026-11-00T06:36:00Z",
    "2026-11-31T06:36:00Z",
    "2026-02-29T06:36:00Z",
    "2026-06-31T23:59:60Z", /* a leap second does not excuse a wrong day */
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+00:01", /* before 1970 once in UTC */
    "9999-12-31T23:59:59-00:01", /* after 9999 once in UTC */
    "9999-12-31T23:59:60Z",
    "26-11-23T06:36:00Z",
    "+2026-11-23T06:36:00Z",
    "2026-11-23T06:36:00\xe2\x88\x92-01:00",
};

START_TEST(what_is_not_rfc_3339_is_refused)
{
    int64_t ms = 42;
    ck_assert_msg(clock_parse(REFUSED[_i], &ms) == ERR_INVALID_PARAMETER, "%s", REFUSED[_i]);
    ck_assert_int_eq(ms, 42);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
    for (int64_t ms = 0; ms <= 253402300799999; ms += 86399999 * 37LL) {
        char text[CLOCK_TEXT_BYTES];
        clock_format(ms, text);
        ck_parse(text, ms);
    }
}
END_TEST

START_TEST(the_monotonic_clock_does_not_go_back)
{
    int64_t last = clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ns();
        ck_assert_int_ge(now, last);
        last = now;
    }
}
END_TEST

START_TEST(the_real_clock_is_in_this_century)
{
    ck_assert_int_gt(clock_real_ms(), 946684800000);
    ck_assert_int_lt(clock_real_ms(), 4102444800000);
}
END_TEST

START_TEST(a_month_has_so_many_days)
{
    int days = 0;
    ck_assert(clock_no_such_day("2030-02-30T00:00:00Z", &days) && days == 28);
    ck_assert(clock_no_such_day("2032-02-30", &days) && days == 29);
    ck_assert(clock_no_such_day("2100-02-29T00:00:00Z", &days) && days == 28);
    ck_assert(clock_no_such_day("2030-06-31T00:00:00Z", &days) && days == 30);
    static const char *const OTHERS[] = {"2032-02-29T00:00:00Z", "2030-13-40T00:00:00Z", "2030-00-40", "soon",
                                         ""};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        ck_assert(!clock_no_such_day(OTHERS[i], &days));
}
END_TEST

START_TEST(a_sleep_lasts_at_least_as_long_as_asked)
{
    int64_t before = clock_mono_ns();
    clock_sleep_ms(20);
    ck_assert_int_ge(clock_mono_ns() - before, 20 * NS_PER_MS);
}
END_TEST

START_TEST(a_sleep_of_nothing_or_less_returns_at_once)
{
    int64_t before = clock_mono_ns();
    clock_sleep_ms(0);
    clock_sleep_ms(-1500);
    ck_assert_int_lt(clock_mono_ns() - before, NS_PER_SEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tests = tcase_create("clock");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, times_are_written_as_rfc_3339_with_milliseconds);
    tcase_add_test(tests, times_with_z_are_read);
    tcase_add_test(tests, fractions_of_any_length_are_cut_to_milliseconds);
    tcase_add_test(tests, offsets_are_taken_into_account);
    tcase_add_test(tests, a_leap_second_is_the_next_second);
    tcase_add_loop_test(tests, what_is_not_rfc_3339_is_refused, 0, sizeof REFUSED / sizeof REFUSED[0]);
    tcase_add_test(tests, what_is_written_reads_back);
    tcase_add_test(tests, the_monotonic_clock_does_not_go_back);
    tcase_add_test(tests, the_real_clock_is_in_this_century);
    tcase_add_test(tests, a_month_has_so_many_days);
    tcase_add_test(tests, a_sleep_lasts_at_least_as_long_as_asked);
    tcase_add_test(tests, a_sleep_of_nothing_or_less_returns_at_once);
    return run_suite(suite);
}
