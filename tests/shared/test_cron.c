#include "run.h"

#include "clock.h"
#include "cron.h"

#include <string.h>
#include <time.h>

/* ── helpers: times are written as on the wall with its offset, "2026-03-29T03:00:00+02:00" ── */

static int64_t at(const char *text)
{
    int64_t ms;
    ck_assert_msg(clock_parse(text, &ms) == ERR_OK, "%s: no time", text);
    return ms;
}

static struct cron parsed(const char *text)
{
    BUF_AUTO why = {0};
    struct cron cron;
    enum err err = cron_parse(text, &cron, &why);
    ck_assert_msg(err == ERR_OK, "%s: %.*s", text, (int)why.bytes, why.data);
    ck_assert_uint_eq(why.bytes, 0);
    return cron;
}

static struct zone *open_zone(const char *name)
{
    struct zone *zone = NULL;
    ck_assert_msg(zone_open(name, &zone) == ERR_OK, "%s: no such zone", name);
    return zone;
}

/* From `after` on, the expression fires at exactly these times, one after the other. */
static void check_fires(const char *text, const char *zone_name, const char *after, const char *const *times)
{
    struct cron cron = parsed(text);
    struct zone *zone = open_zone(zone_name);
    int64_t ms = at(after);
    for (; *times; times++) {
        char shown[CLOCK_TEXT_BYTES] = "never";
        bool found = cron_next(&cron, zone, ms, &ms);
        if (found)
            clock_format(ms, shown);
        ck_assert_msg(found && ms == at(*times), "%s in %s: %s, not %s", text, zone_name, shown, *times);
    }
    zone_close(zone);
}

#define FIRES(text, zone, after, ...) check_fires(text, zone, after, (const char *const[]){__VA_ARGS__, NULL})

static bool same(const struct cron *a, const struct cron *b)
{
    return a->seconds == b->seconds && a->minutes == b->minutes && a->hours == b->hours &&
           a->days == b->days && a->months == b->months && a->weekdays == b->weekdays &&
           memcmp(a->nth_weekdays, b->nth_weekdays, sizeof a->nth_weekdays) == 0 &&
           a->last_weekdays == b->last_weekdays && a->last_day == b->last_day &&
           a->either_day == b->either_day && a->real_time == b->real_time;
}

static void check_same(const char *const (*pairs)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct cron a = parsed(pairs[i][0]), b = parsed(pairs[i][1]);
        ck_assert_msg(same(&a, &b), "%s is not %s", pairs[i][0], pairs[i][1]);
    }
}

#define SAME(pairs) check_same(pairs, sizeof(pairs) / sizeof *(pairs))

/* ── reading ── */

START_TEST(five_fields_fire_at_second_0)
{
    struct cron cron = parsed("5 4 3 2 1");
    ck_assert_uint_eq(cron.seconds, 1);
    ck_assert_uint_eq(cron.minutes, 1 << 5);
    ck_assert_uint_eq(cron.hours, 1 << 4);
    ck_assert_uint_eq(cron.days, 1 << 3);
    ck_assert_uint_eq(cron.months, 1 << 2);
    ck_assert_uint_eq(cron.weekdays, 1 << 1);
}
END_TEST

START_TEST(six_fields_begin_with_the_second)
{
    struct cron cron = parsed("6 5 4 3 2 1");
    ck_assert_uint_eq(cron.seconds, 1 << 6);
    ck_assert_uint_eq(cron.minutes, 1 << 5);
    ck_assert_uint_eq(cron.weekdays, 1 << 1);
}
END_TEST

START_TEST(lists_ranges_and_steps_are_read)
{
    static const char *const PAIRS[][2] = {
        {"*/20 * * * *", "0,20,40 * * * *"},     {"5-20/5 * * * *", "5,10,15,20 * * * *"},
        {"50/3 * * * *", "50,53,56,59 * * * *"}, {"0-59 * * * *", "* * * * *"},
        {"1,1,1-2 3-3 * * *", "1,2 3 * * *"},    {"0 22-23,0-2 * * *", "0 0,1,2,22,23 * * *"},
        {"0 0 10/10 * *", "0 0 10,20,30 * *"},   {"0 0 1 11/1 *", "0 0 1 11,12 *"},
        {"0 0 * * 4/1", "0 0 * * 4,5,6"},        {"*/60 1 * * *", "0 1 * * *"},
        {"00 01 02 03 04", "0 1 2 3 4"},         {" \t0  0\t* * * ", "0 0 * * *"},
    };
    SAME(PAIRS);
}
END_TEST

START_TEST(names_are_read_in_any_case)
{
    static const char *const PAIRS[][2] = {
        {"0 0 1 JAN,feb,Mar,aPr,MAY,JUN *", "0 0 1 1-6 *"},
        {"0 0 1 JUL,AUG,SEP,OCT,NOV,DEC *", "0 0 1 7-12 *"},
        {"0 0 1 jan-dec/3 *", "0 0 1 1,4,7,10 *"},
        {"0 0 * * sun,MON,Tue,weD,THU", "0 0 * * 0-4"},
        {"0 0 * * MON-FRI", "0 0 * * 1-5"},
        {"0 0 * * fri,SAT", "0 0 * * 5,6"},
        {"0 0 * * fril", "0 0 * * 5L"},
        {"0 0 * * Tue#2", "0 0 * * 2#2"},
    };
    SAME(PAIRS);
}
END_TEST

START_TEST(sunday_is_0_and_7_and_at_either_end_of_a_range)
{
    static const char *const PAIRS[][2] = {
        {"0 0 * * 7", "0 0 * * 0"},           {"0 0 * * 7", "0 0 * * SUN"},
        {"0 0 * * 5-7", "0 0 * * 0,5,6"},     {"0 0 * * FRI-SUN", "0 0 * * 0,5,6"},
        {"0 0 * * SUN-TUE", "0 0 * * 0,1,2"}, {"0 0 * * 7-2", "0 0 * * 0,1,2"},
        {"0 0 * * 0-7", "0 0 * * 0-6"},       {"0 0 * * 7#2", "0 0 * * SUN#2"},
        {"0 0 * * 7L", "0 0 * * 0L"},
    };
    SAME(PAIRS);
}
END_TEST

START_TEST(a_question_mark_is_a_star_in_the_day_fields)
{
    static const char *const PAIRS[][2] = {
        {"0 0 ? * MON", "0 0 * * MON"},
        {"0 0 13 * ?", "0 0 13 * *"},
        {"0 0 ? * ?", "0 0 * * *"},
    };
    SAME(PAIRS);
}
END_TEST

START_TEST(macros_stand_for_expressions)
{
    static const char *const PAIRS[][2] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"}, {" @Daily ", "0 0 * * *"},
    };
    SAME(PAIRS);
}
END_TEST

START_TEST(what_is_refused_says_why)
{
    static const struct {
        const char *text, *why;
    } CASES[] = {
        {"", "the expression has 0 fields: it must be five (minute, hour, day of the month, month, day of "
             "the week), "
             "or six with the second first"},
        {"* * * *",
         "the expression has 4 fields: it must be five (minute, hour, day of the month, month, day of the "
         "week), or six with the second first"},
        {"* * * * * * *",
         "the expression has 7 fields: it must be five (minute, hour, day of the month, month, day "
         "of the week), or six with the second first"},
        {"60 * * * *", "the minute \"60\" is not a number from 0 to 59"},
        {"61 * * * * *", "the second \"61\" is not a number from 0 to 59"},
        {"* 24 * * *", "the hour \"24\" is not a number from 0 to 23"},
        {"* * 0 * *", "the day of the month \"0\" is not a number from 1 to 31, or L alone for the last day"},
        {"* * 15W * *",
         "the day of the month \"15W\" is not a number from 1 to 31, or L alone for the last day"},
        {"* * * 13 *", "the month \"13\" is not a number from 1 to 12 or a name from JAN to DEC"},
        {"* * * JUNE *", "the month \"JUNE\" is not a number from 1 to 12 or a name from JAN to DEC"},
        {"* * * * 8", "the day of the week \"8\" is not a number from 0 to 7 or a name from SUN to SAT"},
        {"* * * * L", "the day of the week \"L\" is not a number from 0 to 7 or a name from SUN to SAT"},
        {"* * * * 5#6", "the week \"6\" of \"5#6\" is not a number from 1 to 5"},
        {"* * * * 5#", "the week \"\" of \"5#\" is not a number from 1 to 5"},
        {"*/0 * * * *", "the step \"0\" of the minute is not a number from 1 to 60"},
        {"*/90 * * * *", "the step \"90\" of the minute is not a number from 1 to 60"},
        {"* */ * * *", "the step \"\" of the hour is not a number from 1 to 24"},
        {"0 22-2 * * *", "the range \"22-2\" of the hour ends before it begins; write \"22-23,0-2\""},
        {"0 0 * * SAT-TUE", "the range \"SAT-TUE\" of the day of the week ends before it begins; write "
                            "\"SAT-6,0-TUE\""},
        {"1,,2 * * * *", "the minute \"\" is not a number from 0 to 59"},
        {"? * * * *", "the minute \"?\" is not a number from 0 to 59"},
        {"-1 * * * *", "the minute \"\" is not a number from 0 to 59"},
        {"+1 * * * *", "the minute \"+1\" is not a number from 0 to 59"},
        {"1.5 * * * *", "the minute \"1.5\" is not a number from 0 to 59"},
        {"005 * * * *", "the minute \"005\" is not a number from 0 to 59"},
        {"@dayly", "\"@dayly\" is not known; did you mean \"@daily\"?"},
        {"@reboot",
         "\"@reboot\" is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        BUF_AUTO why = {0};
        struct cron cron;
        ck_assert_msg(cron_parse(CASES[i].text, &cron, &why) == ERR_INVALID_FIELD, "%s is accepted",
                      CASES[i].text);
        buf_add(&why, "", 1);
        ck_assert_str_eq(why.data, CASES[i].why);
    }
}
END_TEST

START_TEST(nonsense_is_refused)
{
    static const char *const TEXTS[] = {
        "*-5 * * * *",  "*5 * * * *",    "1-2-3 * * * *", "1/2/3 * * * *",
        "5/ * * * *",   "L * * * *",     "* * * L *",     "* * L-3 * *",
        "* * LW * *",   "* * L/2 * *",   "* * ?,1 * *",   "* * ?/2 * *",
        "* * * * ?/2",  "* * * * 5#2#3", "* * * * 5L#2",  "* * * * #2",
        "* * * * 1-5L", "* * * * 1-5#2", "* * * * *#1",   "* * * * *L",
        "* * 5#1 * *",  "* * * * 5#2/2", "JAN * * * *",   "* * * MON *",
        "* * * * JAN",  "@daily @daily", "@daily 1",      "@",
        ", * * * *",    "* * * * *\n",   "* * * * \xff",  "1e1 * * * *",
        "0x1 * * * *",  "* * * * MO",    "* * * * L5",    "*,? * * * *",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        BUF_AUTO why = {0};
        struct cron cron;
        ck_assert_msg(cron_parse(TEXTS[i], &cron, &why) == ERR_INVALID_FIELD, "%s is accepted", TEXTS[i]);
        ck_assert_uint_gt(why.bytes, 0);
    }
}
END_TEST

START_TEST(an_expression_of_any_length_is_read_or_refused)
{
    char text[3 * CRON_TEXT_BYTES] = "";
    for (size_t bytes = 1; bytes < sizeof text; bytes++) {
        memset(text, ' ', bytes);
        memcpy(text, "* * * * *", bytes < 9 ? bytes : 9);
        BUF_AUTO why = {0};
        struct cron cron;
        bool good = bytes >= 9 && bytes < CRON_TEXT_BYTES;
        ck_assert_int_eq(cron_parse(text, &cron, &why), good ? ERR_OK : ERR_INVALID_FIELD);
    }
}
END_TEST

START_TEST(what_can_never_fire_is_refused)
{
    static const char *const TEXTS[] = {
        "0 0 30 2 *",       "0 0 31 2 *",      "0 0 31 4,6,9,11 *", "0 0 31 2-2 ?",
        "0 0 */30 2 MON#2", "0 0 30,31 FEB *", "0 0 0 30 2 *",      "0 0 */31 * MON#2",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        BUF_AUTO why = {0};
        struct cron cron;
        ck_assert_msg(cron_parse(TEXTS[i], &cron, &why) == ERR_INVALID_FIELD, "%s is accepted", TEXTS[i]);
        buf_add(&why, "", 1);
        ck_assert_msg(strncmp(why.data, "it would never fire: ", 21) == 0, "%s: %s", TEXTS[i], why.data);
    }
    parsed("0 0 29 2 *");
    parsed("0 0 30 2 MON"); /* any Monday in February */
    parsed("0 0 31 2,3 *");
}
END_TEST

/* ── firing, without shifts ── */

START_TEST(a_firing_is_strictly_after)
{
    struct cron cron = parsed("*/5 * * * *");
    struct zone *utc = open_zone("UTC");
    int64_t on = at("2026-01-01T00:05:00Z"), next;
    static const struct {
        int after_ms, next_s;
    } CASES[] = {{-1, 0},     {0, 300},      {1, 300},      {999, 300},
                 {1000, 300}, {299999, 300}, {300000, 600}, {-300000, 0}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ck_assert(cron_next(&cron, utc, on + CASES[i].after_ms, &next));
        ck_assert_int_eq(next - on, CASES[i].next_s * 1000);
    }
    cron = parsed("* * * * * *");
    ck_assert(cron_next(&cron, utc, -1, &next));
    ck_assert_int_eq(next, 0);
    zone_close(utc);
}
END_TEST

START_TEST(seconds_fire)
{
    FIRES("*/20 * * * * *", "UTC", "2026-12-31T23:59:30Z", "2026-12-31T23:59:40Z", "2027-01-01T00:00:00Z",
          "2027-01-01T00:00:20Z");
    FIRES("59 59 23 31 12 *", "UTC", "2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z");
    FIRES("* * * * * *", "UTC", "2026-02-28T23:59:58.500Z", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z");
    FIRES("30 15 10 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T10:15:30+05:45");
}
END_TEST

START_TEST(years_and_months_end)
{
    FIRES("0 0 * * *", "UTC", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z");
    FIRES("0 12 31 * *", "UTC", "2026-01-31T12:00:00Z", "2026-03-31T12:00:00Z", "2026-05-31T12:00:00Z",
          "2026-07-31T12:00:00Z", "2026-08-31T12:00:00Z", "2026-10-31T12:00:00Z", "2026-12-31T12:00:00Z");
    FIRES("@yearly", "America/New_York", "2026-01-01T00:00:00-05:00", "2027-01-01T00:00:00-05:00");
    FIRES("@monthly", "UTC", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    FIRES("30 23 L * *", "UTC", "2027-12-01T00:00:00Z", "2027-12-31T23:30:00Z", "2028-01-31T23:30:00Z",
          "2028-02-29T23:30:00Z", "2028-03-31T23:30:00Z", "2028-04-30T23:30:00Z");
    FIRES("0 0 L 2 *", "UTC", "2026-01-01T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z",
          "2028-02-29T00:00:00Z");
}
END_TEST

START_TEST(leap_days_are_waited_for)
{
    FIRES("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z");
    FIRES("0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"); /* 2100 is none */
    FIRES("0 0 29 2 *", "UTC", "1999-01-01T00:00:00Z", "2000-02-29T00:00:00Z");
    FIRES("0 0 29 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00+01:00");
}
END_TEST

START_TEST(what_does_not_fire_within_twelve_years_is_not_waited_for)
{
    struct cron cron = parsed("0 0 */28 2 MON#5"); /* February 29th, a Monday: 2044, 2072 */
    struct zone *utc = open_zone("UTC"), *berlin = open_zone("Europe/Berlin");
    int64_t next;
    ck_assert(!cron_next(&cron, utc, at("2026-01-01T00:00:00Z"), &next));
    ck_assert(cron_next(&cron, utc, at("2040-01-01T00:00:00Z"), &next));
    ck_assert_int_eq(next, at("2044-02-29T00:00:00Z"));
    cron = parsed("0 * */28 2 MON#5");
    ck_assert(!cron_next(&cron, berlin, at("2026-01-01T00:00:00Z"), &next));
    zone_close(utc);
    zone_close(berlin);
}
END_TEST

START_TEST(moments_out_of_all_bounds_have_no_next)
{
    struct cron cron = parsed("* * * * *"), once = parsed("0 0 * * *");
    struct zone *zone = open_zone("Europe/Berlin");
    int64_t next;
    ck_assert(!cron_next(&cron, zone, INT64_MAX, &next));
    ck_assert(!cron_next(&cron, zone, INT64_MIN, &next));
    ck_assert(!cron_next(&once, zone, INT64_MAX, &next));
    ck_assert(!cron_next(&once, zone, INT64_MIN, &next));
    ck_assert(cron_next(&once, zone, -1, &next));
    ck_assert_int_eq(next, at("1970-01-02T00:00:00+01:00"));
    zone_close(zone);
}
END_TEST

/* November 2026 begins on a Sunday. */
START_TEST(weekdays_of_the_month_are_counted)
{
    FIRES("0 9 * * FRI#2", "UTC", "2026-11-01T00:00:00Z", "2026-11-13T09:00:00Z", "2026-12-11T09:00:00Z");
    FIRES("0 9 * * SUN#1", "UTC", "2026-10-31T00:00:00Z", "2026-11-01T09:00:00Z", "2026-12-06T09:00:00Z");
    FIRES("0 9 * * 1#5", "UTC", "2026-10-31T00:00:00Z", "2026-11-30T09:00:00Z", "2027-03-29T09:00:00Z");
    FIRES("0 9 * * 1L", "UTC", "2026-10-31T00:00:00Z", "2026-11-30T09:00:00Z", "2026-12-28T09:00:00Z");
    FIRES("0 9 * * FRIL", "UTC", "2026-10-31T00:00:00Z", "2026-11-27T09:00:00Z", "2026-12-25T09:00:00Z");
    FIRES("0 9 * * 1#1,WED,FRIL", "UTC", "2026-11-20T00:00:00Z", "2026-11-25T09:00:00Z",
          "2026-11-27T09:00:00Z", "2026-12-02T09:00:00Z", "2026-12-07T09:00:00Z");
    FIRES("0 9 * 2 3L", "UTC", "2026-01-01T00:00:00Z", "2026-02-25T09:00:00Z");
}
END_TEST

START_TEST(of_two_restricted_days_either_may_match)
{
    FIRES("0 0 13 * FRI", "UTC", "2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z",
          "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", "2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z");
    FIRES("0 0 L * MON#1", "UTC", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-30T00:00:00Z",
          "2026-12-07T00:00:00Z", "2026-12-31T00:00:00Z");
    FIRES("0 0 30 2 MON", "UTC", "2026-02-20T00:00:00Z", "2026-02-23T00:00:00Z", "2027-02-01T00:00:00Z");
}
END_TEST

START_TEST(of_two_days_of_which_one_begins_with_a_star_both_must_match)
{
    FIRES("0 0 13 * *", "UTC", "2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-12-13T00:00:00Z");
    FIRES("0 0 * * FRI", "UTC", "2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z");
    FIRES("0 0 */2 * FRI", "UTC", "2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-27T00:00:00Z",
          "2026-12-11T00:00:00Z");
}
END_TEST

/* ── firing, where clocks are shifted: once at each time of the day ── */

START_TEST(a_time_that_is_jumped_over_fires_right_after_the_jump)
{
    FIRES("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T02:30:00+01:00",
          "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00");
    FIRES("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-08T03:00:00-04:00",
          "2026-03-09T02:30:00-04:00");
    FIRES("0 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00",
          "2026-03-30T02:00:00+02:00");
}
END_TEST

START_TEST(all_that_is_jumped_over_together_fires_once)
{
    FIRES("*/10 2 * * *", "Europe/Berlin", "2026-03-28T02:50:00+01:00", "2026-03-29T03:00:00+02:00",
          "2026-03-30T02:00:00+02:00", "2026-03-30T02:10:00+02:00");
    FIRES("0 1,2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-29T01:00:00+01:00",
          "2026-03-29T03:00:00+02:00", "2026-03-30T01:00:00+02:00");
    FIRES("30 0-23 * * *", "America/New_York", "2026-03-08T00:30:00-05:00", "2026-03-08T01:30:00-05:00",
          "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00");
    FIRES("* * 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00",
          "2026-03-30T02:00:00+02:00");
}
END_TEST

START_TEST(a_time_that_comes_twice_fires_at_the_first)
{
    FIRES("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00",
          "2026-10-26T02:30:00+01:00");
    FIRES("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T01:30:00-04:00",
          "2026-11-02T01:30:00-05:00");
    FIRES("*/30 1-3 * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", "2026-10-25T02:00:00+02:00",
          "2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00");
    /* asked in between, and in the second pass */
    FIRES("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", "2026-10-26T02:30:00+01:00");
    FIRES("30 2 * * *", "Europe/Berlin", "2026-10-25T02:40:00+02:00", "2026-10-26T02:30:00+01:00");
    FIRES("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+02:00", "2026-10-25T02:30:00+02:00");
}
END_TEST

START_TEST(a_weekday_at_night_fires_at_both_shifts)
{
    FIRES("30 2 * * SUN", "Europe/Berlin", "2026-03-23T00:00:00Z", "2026-03-29T03:00:00+02:00",
          "2026-04-05T02:30:00+02:00");
    FIRES("30 2 L 3 *", "Europe/Berlin", "2024-01-01T00:00:00Z", "2024-03-31T03:00:00+02:00");
    FIRES("0 1 * * SUN#1", "America/New_York", "2026-10-05T00:00:00Z", "2026-11-01T01:00:00-04:00",
          "2026-12-06T01:00:00-05:00");
}
END_TEST

/* ── firing, where clocks are shifted: in real time ── */

START_TEST(an_hour_of_any_value_follows_real_time)
{
    FIRES("30 * * * *", "Europe/Berlin", "2026-03-29T01:00:00+01:00", "2026-03-29T01:30:00+01:00",
          "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00");
    FIRES("30 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00",
          "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00");
    FIRES("@hourly", "America/New_York", "2026-11-01T00:00:00-04:00", "2026-11-01T01:00:00-04:00",
          "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00");
    FIRES("@hourly", "America/New_York", "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00",
          "2026-03-08T04:00:00-04:00");
    FIRES("59 59 * * * *", "Europe/Berlin", "2026-10-25T02:59:58+02:00", "2026-10-25T02:59:59+02:00",
          "2026-10-25T02:59:59+01:00");
}
END_TEST

START_TEST(a_stepped_hour_leaves_out_what_does_not_exist_and_takes_both_passes)
{
    FIRES("0 */2 * * *", "Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-29T04:00:00+02:00");
    FIRES("0 */2 * * *", "Europe/Berlin", "2026-10-25T00:00:00+02:00", "2026-10-25T02:00:00+02:00",
          "2026-10-25T02:00:00+01:00", "2026-10-25T04:00:00+01:00");
}
END_TEST

START_TEST(every_minute_of_a_shift_is_60_seconds_after_the_one_before)
{
    static const char *const ZONES[] = {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                        "America/Santiago", "Pacific/Apia"};
    struct cron cron = parsed("* * * * *");
    for (size_t i = 0; i < sizeof ZONES / sizeof *ZONES; i++) {
        struct zone *zone = open_zone(ZONES[i]);
        int64_t ms = at("2011-01-01T00:00:00Z"), end = at("2012-01-10T00:00:00Z");
        bool even = true; /* one check for all: Check writes down each of them */
        for (int64_t before = ms; even && ms < end; before = ms)
            even = cron_next(&cron, zone, ms, &ms) && ms - before == 60000;
        ck_assert_msg(even, "%s: %lld", ZONES[i], (long long)ms);
        zone_close(zone);
    }
}
END_TEST

/* ── odd zones ── */

START_TEST(half_an_hour_is_shifted_in_lord_howe)
{
    FIRES("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-04T02:30:00+11:00",
          "2026-10-05T02:15:00+11:00");
    FIRES("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05T01:45:00+11:00",
          "2026-04-06T01:45:00+10:30");
    FIRES("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00",
          "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30", "2026-04-05T02:00:00+10:30");
    FIRES("*/15 * * * *", "Australia/Lord_Howe", "2026-10-04T01:45:00+10:30", "2026-10-04T02:30:00+11:00",
          "2026-10-04T02:45:00+11:00");
}
END_TEST

START_TEST(midnight_is_shifted_in_santiago)
{
    FIRES("@daily", "America/Santiago", "2026-09-05T00:00:00-04:00", "2026-09-06T01:00:00-03:00",
          "2026-09-07T00:00:00-03:00");
    FIRES("30 23 * * *", "America/Santiago", "2026-04-04T12:00:00Z", "2026-04-04T23:30:00-03:00",
          "2026-04-05T23:30:00-04:00");
    FIRES("0 * * * SAT", "America/Santiago", "2026-04-04T22:00:00-03:00", "2026-04-04T23:00:00-03:00",
          "2026-04-04T23:00:00-04:00", "2026-04-11T00:00:00-04:00");
}
END_TEST

START_TEST(a_day_is_skipped_in_apia)
{
    FIRES("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-29T12:00:00-10:00",
          "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00");
    FIRES("@daily", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00",
          "2012-01-01T00:00:00+14:00");
    FIRES("0 */12 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-29T12:00:00-10:00",
          "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00");
    FIRES("0 * 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-30T00:00:00+14:00");
    FIRES("0 7,8 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-31T00:00:00+14:00",
          "2012-12-30T07:00:00+14:00");
}
END_TEST

START_TEST(a_firing_is_found_fast)
{
    static const char *const TEXTS[] = {"* * * * * *", "*/5 * * * *", "30 2 * * *", "0 9 * * MON-FRI",
                                        "0 0 L * FRIL"};
    struct zone *zone = open_zone("Europe/Berlin");
    int64_t from_ns = clock_mono_ns(), count = 0;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct cron cron = parsed(TEXTS[i]);
        int64_t ms = at("2026-01-01T00:00:00Z");
        int fired = 0;
        while (fired < 2000 && cron_next(&cron, zone, ms, &ms))
            fired++;
        ck_assert_int_eq(fired, 2000);
        count += fired;
    }
    int64_t each_ns = (clock_mono_ns() - from_ns) / count;
    ck_assert_int_lt(each_ns, 500000); /* some 5 µs; much more under sanitizers on a busy machine */
    zone_close(zone);
}
END_TEST

static TCase *reading(void)
{
    TCase *tests = tcase_create("reading");
    tcase_add_test(tests, five_fields_fire_at_second_0);
    tcase_add_test(tests, six_fields_begin_with_the_second);
    tcase_add_test(tests, lists_ranges_and_steps_are_read);
    tcase_add_test(tests, names_are_read_in_any_case);
    tcase_add_test(tests, sunday_is_0_and_7_and_at_either_end_of_a_range);
    tcase_add_test(tests, a_question_mark_is_a_star_in_the_day_fields);
    tcase_add_test(tests, macros_stand_for_expressions);
    tcase_add_test(tests, what_is_refused_says_why);
    tcase_add_test(tests, nonsense_is_refused);
    tcase_add_test(tests, an_expression_of_any_length_is_read_or_refused);
    tcase_add_test(tests, what_can_never_fire_is_refused);
    return tests;
}

static TCase *firing(void)
{
    TCase *tests = tcase_create("firing");
    tcase_add_test(tests, a_firing_is_strictly_after);
    tcase_add_test(tests, seconds_fire);
    tcase_add_test(tests, years_and_months_end);
    tcase_add_test(tests, leap_days_are_waited_for);
    tcase_add_test(tests, what_does_not_fire_within_twelve_years_is_not_waited_for);
    tcase_add_test(tests, moments_out_of_all_bounds_have_no_next);
    tcase_add_test(tests, weekdays_of_the_month_are_counted);
    tcase_add_test(tests, of_two_restricted_days_either_may_match);
    tcase_add_test(tests, of_two_days_of_which_one_begins_with_a_star_both_must_match);
    return tests;
}

static TCase *shifts(void)
{
    TCase *tests = tcase_create("shifts");
    tcase_add_test(tests, a_time_that_is_jumped_over_fires_right_after_the_jump);
    tcase_add_test(tests, all_that_is_jumped_over_together_fires_once);
    tcase_add_test(tests, a_time_that_comes_twice_fires_at_the_first);
    tcase_add_test(tests, a_weekday_at_night_fires_at_both_shifts);
    tcase_add_test(tests, an_hour_of_any_value_follows_real_time);
    tcase_add_test(tests, a_stepped_hour_leaves_out_what_does_not_exist_and_takes_both_passes);
    tcase_add_test(tests, every_minute_of_a_shift_is_60_seconds_after_the_one_before);
    tcase_add_test(tests, half_an_hour_is_shifted_in_lord_howe);
    tcase_add_test(tests, midnight_is_shifted_in_santiago);
    tcase_add_test(tests, a_day_is_skipped_in_apia);
    tcase_add_test(tests, a_firing_is_found_fast);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("shared/cron");
    suite_add_tcase(suite, reading());
    suite_add_tcase(suite, firing());
    suite_add_tcase(suite, shifts());
    return run_suite(suite);
}
