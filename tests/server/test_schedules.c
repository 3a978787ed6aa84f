#include "run.h"

#include "clock.h"
#include "extras.h"
#include "schedules.h"

#include <string.h>

enum { SECOND = 1000, HOUR = 3600 * SECOND };

static struct schedule *schedule;
static struct zone *zone;

static int64_t at(const char *text)
{
    int64_t ms;
    ck_assert_msg(clock_parse(text, &ms) == ERR_OK, "%s: no time", text);
    return ms;
}

static struct schedule *made_of(const char *cron, const char *timezone, const char *more)
{
    struct schedule *made;
    BUF_AUTO text = {0};
    buf_printf(&text, "{\"cron\":\"%s\",\"timezone\":\"%s\"%s,\"job\":{\"task\":\"echo\"}}", cron, timezone,
               more);
    ck_assert_int_eq(schedule_new("nightly", (struct text){text.data, text.bytes}, &made), ERR_OK);
    return made;
}

/* A new schedule, begun at that time. */
static void begin(const char *cron, const char *timezone, const char *more, const char *now)
{
    schedule = made_of(cron, timezone, more);
    ck_assert(schedule_zone(schedule, &zone));
    schedule_begin(schedule, at(now));
}

static void teardown(void)
{
    schedule_free(schedule);
    zone_close(zone);
    schedule = NULL;
    zone = NULL;
}

static struct schedule_plan plan_at(int64_t now_ms)
{
    return schedule_plan(schedule, zone, now_ms);
}

static void assert_time(int64_t ms, const char *expected)
{
    char shown[CLOCK_TEXT_BYTES] = "none";
    if (ms > 0 && ms < INT64_MAX)
        clock_format(ms, shown);
    ck_assert_msg(ms == at(expected), "%s, not %s", shown, expected);
}

/* Its time comes and is handled at once; when it was. */
static int64_t fire(void)
{
    static const struct id job = {{1}};
    int64_t due_ms = schedule->next_ms;
    struct schedule_plan early = plan_at(due_ms - 1), plan = plan_at(due_ms);
    ck_assert_int_eq(early.due_ms, 0);
    ck_assert_int_eq(early.skipped, 0);
    ck_assert_int_eq(early.next_ms, due_ms);
    ck_assert_int_eq(plan.due_ms, due_ms);
    ck_assert_int_eq(plan.skipped, 0);
    ck_assert(!plan.late);
    schedule->next_ms = plan.next_ms;
    schedule->seen_ms = due_ms;
    schedule_made(schedule, due_ms, job, NULL, 0);
    return due_ms;
}

#define FIRES(...)                                                                                           \
    do {                                                                                                     \
        static const char *const TIMES[] = {__VA_ARGS__};                                                    \
        for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++)                                          \
            assert_time(fire(), TIMES[i]);                                                                   \
    } while (0)

/* --- due times --- */

START_TEST(a_time_that_is_jumped_over_fires_at_the_jump)
{
    begin("30 2 * * *", "Europe/Berlin", "", "2026-03-27T12:00:00Z");
    FIRES("2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00");
}
END_TEST

START_TEST(a_time_that_comes_twice_fires_once)
{
    begin("30 2 * * *", "Europe/Berlin", "", "2026-10-23T12:00:00Z");
    FIRES("2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00");
}
END_TEST

START_TEST(leap_days_come_every_four_years)
{
    begin("0 0 29 2 *", "UTC", "", "2026-01-01T00:00:00Z");
    FIRES("2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z");
}
END_TEST

START_TEST(a_year_ends)
{
    begin("59 59 23 31 12 *", "America/New_York", "", "2026-06-01T00:00:00Z");
    FIRES("2026-12-31T23:59:59-05:00", "2027-12-31T23:59:59-05:00");
}
END_TEST

/* --- changes --- */

/* Takes the place of `schedule`. */
static void follow(struct schedule *fresh, const char *now)
{
    schedule_follow(fresh, schedule, at(now));
    teardown();
    schedule = fresh;
    ck_assert(schedule_zone(schedule, &zone));
}

START_TEST(another_zone_means_other_times_and_the_past_stays)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T00:00:00Z");
    FIRES("2026-06-01T03:00:00Z");
    follow(made_of("0 3 * * *", "Europe/Berlin", ""), "2026-06-01T12:00:00Z");
    assert_time(schedule->next_ms, "2026-06-02T03:00:00+02:00");
    assert_time(schedule->last_ms, "2026-06-01T03:00:00Z");
    ck_assert_int_eq(schedule->made, 1);
}
END_TEST

START_TEST(the_same_times_go_on_where_they_were)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T00:00:00Z");
    follow(made_of("0 3 * * *", "UTC", ",\"overlap\":\"queue\""), "2026-06-01T05:00:00Z");
    assert_time(schedule->next_ms, "2026-06-01T03:00:00Z"); /* still to be made up for */
}
END_TEST

START_TEST(what_passed_in_a_pause_is_over)
{
    begin("0 3 * * *", "UTC", ",\"paused\":true", "2026-06-01T00:00:00Z");
    ck_assert(schedule_paused(schedule));
    follow(made_of("0 3 * * *", "UTC", ""), "2026-06-04T05:00:00Z");
    assert_time(schedule->next_ms, "2026-06-05T03:00:00Z");
}
END_TEST

START_TEST(a_time_that_has_fired_is_never_set_again)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T00:00:00Z");
    FIRES("2026-06-01T03:00:00Z");
    follow(made_of("* 3 * * *", "UTC", ""), "2026-06-01T02:00:00Z"); /* the clock was put back */
    assert_time(schedule->next_ms, "2026-06-01T03:01:00Z");
}
END_TEST

START_TEST(held_goes_before_paused)
{
    begin("0 3 * * *", "UTC", ",\"paused\":true", "2026-06-01T00:00:00Z");
    schedule->held = HELD_NO;
    ck_assert(!schedule_paused(schedule));
    schedule->definition.paused = false;
    schedule->held = HELD_YES;
    ck_assert(schedule_paused(schedule));
}
END_TEST

/* --- clocks --- */

START_TEST(a_clock_that_is_put_back_fires_nothing_twice)
{
    begin("*/10 * * * * *", "UTC", "", "2026-06-01T00:00:00Z");
    FIRES("2026-06-01T00:00:10Z", "2026-06-01T00:00:20Z");
    for (int64_t now = at("2026-06-01T00:00:00Z"); now < at("2026-06-01T00:00:30Z"); now += SECOND) {
        schedule_refresh(schedule, now);
        ck_assert_int_eq(plan_at(now).due_ms, 0);
    }
    FIRES("2026-06-01T00:00:30Z");
}
END_TEST

START_TEST(times_are_computed_anew_from_where_they_were_computed_last)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T02:00:00Z");
    schedule->next_ms = at("2026-06-01T09:00:00Z"); /* as if the zone had said so then */
    schedule_refresh(schedule, at("2026-06-01T03:00:05Z"));
    assert_time(schedule->next_ms, "2026-06-01T03:00:00Z"); /* not gone by unseen */
    ck_assert_int_eq(plan_at(at("2026-06-01T03:00:05Z")).due_ms, schedule->next_ms);
    schedule_refresh(schedule, at("2026-06-01T03:00:06Z")); /* it is due: that is no longer touched */
    assert_time(schedule->next_ms, "2026-06-01T03:00:00Z");
}
END_TEST

START_TEST(a_time_that_the_zone_no_longer_has_is_passed_by)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T00:00:00Z");
    schedule->next_ms = at("2026-06-01T01:00:00Z");
    struct schedule_plan plan = plan_at(at("2026-06-01T01:00:00Z"));
    ck_assert_int_eq(plan.due_ms, 0);
    ck_assert_int_eq(plan.skipped, 0);
    assert_time(plan.next_ms, "2026-06-01T03:00:00Z");
}
END_TEST

/* --- catching up --- */

START_TEST(a_little_late_is_in_time_for_all)
{
    begin("0 3 * * *", "UTC", ",\"catch_up\":\"none\"", "2026-06-01T00:00:00Z");
    struct schedule_plan plan = plan_at(schedule->next_ms + SCHEDULE_LATE_MS);
    ck_assert_int_eq(plan.due_ms, schedule->next_ms);
    ck_assert(!plan.late);
    plan = plan_at(schedule->next_ms + SCHEDULE_LATE_MS + 1);
    ck_assert_int_eq(plan.due_ms, 0);
    ck_assert_int_eq(plan.skipped, 1);
}
END_TEST

START_TEST(none_skips_all_that_passed)
{
    begin("0 3 * * *", "UTC", ",\"catch_up\":\"none\"", "2026-06-01T00:00:00Z");
    struct schedule_plan plan = plan_at(at("2026-06-05T12:00:00Z"));
    ck_assert_int_eq(plan.due_ms, 0);
    ck_assert_int_eq(plan.skipped, 5);
    assert_time(plan.next_ms, "2026-06-06T03:00:00Z");
}
END_TEST

START_TEST(none_tries_again_what_the_store_refused)
{
    begin("0 3 * * *", "UTC", ",\"catch_up\":\"none\"", "2026-06-01T00:00:00Z");
    schedule->refused = true;
    struct schedule_plan plan = plan_at(at("2026-06-02T12:00:00Z"));
    assert_time(plan.due_ms, "2026-06-02T03:00:00Z");
    ck_assert_int_eq(plan.skipped, 1);
}
END_TEST

START_TEST(one_makes_up_for_the_latest)
{
    begin("0 3 * * *", "UTC", "", "2026-06-01T00:00:00Z");
    struct schedule_plan plan = plan_at(at("2026-06-05T12:00:00Z"));
    assert_time(plan.due_ms, "2026-06-05T03:00:00Z");
    assert_time(plan.next_ms, "2026-06-06T03:00:00Z");
    ck_assert_int_eq(plan.skipped, 4);
    ck_assert(plan.late);
}
END_TEST

START_TEST(all_makes_up_for_each_one_after_the_other)
{
    begin("0 3 * * *", "UTC", ",\"catch_up\":\"all\"", "2026-06-01T00:00:00Z");
    int64_t now_ms = at("2026-06-05T12:00:00Z");
    for (int day = 1; day <= 5; day++) {
        char expected[CLOCK_TEXT_BYTES];
        struct schedule_plan plan = plan_at(now_ms);
        snprintf(expected, sizeof expected, "2026-06-0%dT03:00:00Z", day);
        assert_time(plan.due_ms, expected);
        ck_assert_int_eq(plan.skipped, 0);
        schedule_made(schedule, plan.due_ms, (struct id){{1}}, NULL, 0);
        schedule->next_ms = plan.next_ms;
    }
    ck_assert_int_eq(plan_at(now_ms).due_ms, 0);
    assert_time(schedule->next_ms, "2026-06-06T03:00:00Z");
}
END_TEST

START_TEST(all_makes_up_for_the_latest_thousand)
{
    begin("* * * * * *", "UTC", ",\"catch_up\":\"all\"", "2026-06-01T00:00:00Z");
    int64_t first_ms = schedule->next_ms, now_ms = first_ms + 2 * HOUR - SECOND;
    struct schedule_plan plan = plan_at(now_ms);
    ck_assert_int_eq(plan.skipped, 7200 - SCHEDULE_CATCH_UP_MOST);
    ck_assert_int_eq(plan.due_ms, now_ms - (SCHEDULE_CATCH_UP_MOST - 1) * SECOND);
    ck_assert_int_eq(plan.next_ms, plan.due_ms + SECOND);
}
END_TEST

START_TEST(years_of_seconds_are_passed_in_no_time)
{
    static const char *const KINDS[] = {"none", "one", "all"};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char more[32];
        snprintf(more, sizeof more, ",\"catch_up\":\"%s\"", KINDS[i]);
        begin("* * * * * *", "Europe/Berlin", more, "2020-01-01T00:00:00Z");
        int64_t begun_ns = clock_mono_ns();
        struct schedule_plan plan = plan_at(at("2026-06-01T00:00:00Z"));
        ck_assert_int_lt(clock_mono_ns() - begun_ns, 5 * NS_PER_SEC); /* 200 million of them */
        ck_assert_int_eq(plan.skipped, SCHEDULE_COUNT_MOST);
        ck_assert_int_gt(plan.next_ms, at("2026-05-31T23:00:00Z"));
        teardown();
    }
}
END_TEST

/* --- rows --- */

START_TEST(a_row_says_everything)
{
    BUF_AUTO body = {0};
    struct schedule *again;
    begin("0 3 * * *", "Europe/Berlin", ",\"overlap\":\"replace\",\"catch_up\":\"all\",\"paused\":true",
          "2026-06-01T00:00:00Z");
    const struct id open[] = {id_new(), id_new()};
    schedule->from_file = true;
    schedule->held = HELD_NO;
    schedule->skipped = 3;
    schedule_made(schedule, 5000, id_new(), open, 2);
    schedule_fail(schedule, 6000, "no \"task\"", 9);
    struct store_schedule row = schedule_row(schedule, &body);
    ck_assert_int_eq(schedule_read(&row, &again), ERR_OK);
    ck_assert_str_eq(again->name, "nightly");
    ck_assert(again->from_file);
    ck_assert_int_eq(again->held, HELD_NO);
    ck_assert_str_eq(again->definition.cron, "0 3 * * *");
    ck_assert_str_eq(again->definition.timezone, "Europe/Berlin");
    ck_assert_int_eq(again->definition.overlap, OVERLAP_REPLACE);
    ck_assert_int_eq(again->definition.catch_up, CATCH_UP_ALL);
    ck_assert(again->definition.paused);
    ck_assert_int_eq(again->next_ms, schedule->next_ms);
    ck_assert_int_eq(again->last_ms, 5000);
    ck_assert(id_equal(again->last_job, schedule->last_job));
    ck_assert(id_equal(again->behind, open[1]));
    ck_assert_int_eq(again->made, 1);
    ck_assert_int_eq(again->skipped, 3);
    ck_assert_int_eq(again->error_ms, 6000);
    ck_assert_str_eq(again->error, "no \"task\"");
    ck_assert_uint_eq(again->text.bytes, schedule->text.bytes);
    schedule_free(again);
}
END_TEST

START_TEST(what_is_no_row_is_refused)
{
    static const char *const BODIES[] = {
        "",
        "[]",
        "{}",
        "{\"origin\":\"api\"}",
        "{\"origin\":\"api\",\"definition\":{}}",
        "{\"origin\":\"api\",\"definition\":{\"cron\":\"61 * * * *\",\"job\":{}}}",
        "{\"origin\":\"api\",\"definition\":{\"cron\":\"@daily\",\"overlap\":\"no\",\"job\":{}}}"};
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        struct store_schedule row = {.name = "a", .body = {BODIES[i], strlen(BODIES[i])}};
        struct schedule *read;
        ck_assert_int_eq(schedule_read(&row, &read), ERR_CORRUPT);
        ck_assert_ptr_null(read);
    }
}
END_TEST

START_TEST(a_definition_is_read_as_it_is_written)
{
    static const char TEXT[] = "{\"cron\":\"@daily\",\"timezone\":\"UTC\",\"overlap\":\"queue\",\"catch_up\":"
                               "\"none\",\"paused\":false,\"job\":{\"task\": \"a\\\"b\"}}";
    BUF_AUTO out = {0};
    struct schedule_definition definition;
    ck_assert_int_eq(schedule_definition_read((struct text){TEXT, strlen(TEXT)}, &definition), ERR_OK);
    schedule_definition_write(&out, &definition);
    ck_assert_uint_eq(out.bytes, strlen(TEXT));
    ck_assert_mem_eq(out.data, TEXT, out.bytes);
}
END_TEST

/* --- jobs and lists --- */

static void assert_marked(const char *before, const char *expected)
{
    JOB_AUTO job = job_new();
    struct json_span value;
    if (before != NULL) {
        job->owned[3] = strdup(before);
        job->extras = (struct text){job->owned[3], strlen(before)};
    }
    ck_assert_int_eq(schedule_mark(job, "nightly"), ERR_OK);
    ck_assert_uint_eq(job->extras.bytes, strlen(expected));
    ck_assert_mem_eq(job->extras.at, expected, job->extras.bytes);
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &value));
}

START_TEST(a_job_names_its_schedule_behind_its_other_extras)
{
    assert_marked(NULL, "{\"schedule\":\"nightly\"}");
    assert_marked("{}", "{\"schedule\":\"nightly\"}");
    assert_marked("{\"meta\":{\"a\":1}}", "{\"meta\":{\"a\":1},\"schedule\":\"nightly\"}");
}
END_TEST

static void assert_after(struct job *job, const struct id *ids, size_t count)
{
    struct id found[AFTER_MAX];
    struct json_span value;
    ck_assert_int_eq(schedule_mark_after(job, ids, count), ERR_OK);
    ck_assert_uint_eq(extras_after(job->extras, found), count);
    for (size_t i = 0; i < count; i++)
        ck_assert(id_equal(found[i], ids[i]));
    ck_assert(extras_find(job->extras, EXTRA_AFTER, &value) == (count > 0));
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &value));
}

/* A commit that was rolled back is tried again, and may find that others have not ended. */
START_TEST(what_a_job_waits_for_takes_the_place_of_what_it_waited_for)
{
    static const char META[] = "{\"meta\":1,\"schedule\":\"nightly\"}";
    const struct id ids[] = {id_new(), id_new()};
    for (int with_meta = 0; with_meta < 2; with_meta++) {
        JOB_AUTO job = job_new();
        if (with_meta == 1) {
            job->owned[3] = strdup("{\"meta\":1}");
            job->extras = (struct text){job->owned[3], strlen("{\"meta\":1}")};
        }
        ck_assert_int_eq(schedule_mark(job, "nightly"), ERR_OK);
        assert_after(job, ids, 0);
        assert_after(job, ids, 2);
        assert_after(job, ids + 1, 1);
        assert_after(job, ids, 0);
        if (with_meta == 1) {
            ck_assert_uint_eq(job->extras.bytes, strlen(META));
            ck_assert_mem_eq(job->extras.at, META, job->extras.bytes);
        }
    }
}
END_TEST

START_TEST(they_stand_in_order_of_their_names)
{
    struct schedules schedules = {0};
    static const char *const NAMES[] = {"m", "z", "a", "m", "q"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        struct schedule *one = made_of("@daily", "UTC", "");
        strcpy(one->name, NAMES[i]);
        one->made = (int64_t)i;
        schedules_put(&schedules, one);
    }
    ck_assert_uint_eq(schedules.count, 4);
    ck_assert_str_eq(schedules.first->name, "a");
    ck_assert_str_eq(schedules.first->next->next->name, "q");
    ck_assert_int_eq(schedules_find(&schedules, "m")->made, 3); /* the later one took its place */
    schedules_drop(&schedules, "m");
    schedules_drop(&schedules, "nobody");
    ck_assert_ptr_null(schedules_find(&schedules, "m"));
    ck_assert_uint_eq(schedules.count, 3);
    schedules_free(&schedules);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedules");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, a_definition_is_read_as_it_is_written);
    tcase_add_test(tests, a_row_says_everything);
    tcase_add_test(tests, what_is_no_row_is_refused);
    tcase_add_test(tests, they_stand_in_order_of_their_names);
    tcase_add_test(tests, a_job_names_its_schedule_behind_its_other_extras);
    tcase_add_test(tests, what_a_job_waits_for_takes_the_place_of_what_it_waited_for);
    tcase_add_test(tests, leap_days_come_every_four_years);
    tcase_add_test(tests, a_year_ends);
    tcase_add_test(tests, a_time_that_is_jumped_over_fires_at_the_jump);
    tcase_add_test(tests, a_time_that_comes_twice_fires_once);
    tcase_add_test(tests, another_zone_means_other_times_and_the_past_stays);
    tcase_add_test(tests, the_same_times_go_on_where_they_were);
    tcase_add_test(tests, what_passed_in_a_pause_is_over);
    tcase_add_test(tests, held_goes_before_paused);
    tcase_add_test(tests, a_time_that_has_fired_is_never_set_again);
    tcase_add_test(tests, a_clock_that_is_put_back_fires_nothing_twice);
    tcase_add_test(tests, times_are_computed_anew_from_where_they_were_computed_last);
    tcase_add_test(tests, a_time_that_the_zone_no_longer_has_is_passed_by);
    tcase_add_test(tests, a_little_late_is_in_time_for_all);
    tcase_add_test(tests, none_skips_all_that_passed);
    tcase_add_test(tests, none_tries_again_what_the_store_refused);
    tcase_add_test(tests, one_makes_up_for_the_latest);
    tcase_add_test(tests, all_makes_up_for_each_one_after_the_other);
    tcase_add_test(tests, all_makes_up_for_the_latest_thousand);
    tcase_add_test(tests, years_of_seconds_are_passed_in_no_time);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
