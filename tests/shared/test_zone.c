#include "run.h"

#include "zone.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static struct zone *open_zone(const char *name)
{
    struct zone *zone = NULL;
    ck_assert_msg(zone_open(name, &zone) == ERR_OK, "%s: no such zone", name);
    return zone;
}

/* "2026-03-29 01:00:00" as seconds since 1970. */
static int64_t at(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    ck_assert_msg(end && !*end, "%s: no time", text);
    return timegm(&tm);
}

START_TEST(zones_are_found_by_their_names)
{
    static const char *const NAMES[] = {
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "America/Argentina/Buenos_Aires",
        "America/Port-au-Prince",
        "GMT+0",
        "EST5EDT",
        "Etc/GMT+12",
        "Australia/Lord_Howe",
        "Etc/GMT-14",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        zone_close(open_zone(NAMES[i]));
    zone_close(NULL);
}
END_TEST

START_TEST(every_name_in_the_database_opens)
{
    FILE *list = fopen("/usr/share/zoneinfo/tzdata.zi", "r");
    ck_assert_ptr_nonnull(list);
    char line[256], name[128];
    int count = 0;
    while (fgets(line, sizeof line, list)) {
        if (sscanf(line, "Z %127s", name) != 1 && sscanf(line, "L %*s %127s", name) != 1)
            continue;
        zone_close(open_zone(name));
        count++;
    }
    fclose(list);
    ck_assert_int_gt(count, 400);
}
END_TEST

/* Makes the file of a zone by the name Other/Place a copy of one of the database's. */
static void place_is(const char *folder, const char *name)
{
    char command[PATH_MAX];
    snprintf(command, sizeof command, "mkdir -p %s/Other && cp -fL /usr/share/zoneinfo/%s %s/Other/Place",
             folder, name, folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(an_update_of_the_database_is_taken_up_when_no_handle_is_open)
{
    char folder[] = "/tmp/forkpool-zone-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("TZDIR", folder, 1);
    place_is(folder, "Etc/GMT-1");
    struct zone *zone = open_zone("Other/Place");
    ck_assert_int_eq(zone_offset_s(zone, 0), 3600);
    place_is(folder, "Etc/GMT-2");
    ck_assert_int_eq(zone_offset_s(zone, 0), 3600);
    zone_close(zone);
    zone = open_zone("Other/Place");
    ck_assert_int_eq(zone_offset_s(zone, 0), 7200);
    zone_close(zone);
    unsetenv("TZDIR");
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(what_is_no_name_of_a_zone_is_refused)
{
    static const char *const WRONG[] = {
        "",
        " ",
        "/",
        ":",
        ".",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "/usr/share/zoneinfo/Europe/Berlin",
        ":Europe/Berlin",
        "Europe/../Europe/Berlin",
        "Europe/./Berlin",
        "Europe//Berlin",
        "Europe/",
        "Europe",
        "/Europe/Berlin",
        "Europe/Berlin ",
        "Europe/Berlin\n",
        "europe/berlin",
        "Europe/Atlantis",
        "right/Europe/Berlin",
        "posix/Europe/Berlin",
        "posixrules",
        "localtime",
        "tzdata.zi",
        "leapseconds",
        "GMT+5",
        "CET-1CEST",
        "+02:00",
        "Z",
        "A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A/A",
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        struct zone *zone = NULL;
        ck_assert_msg(zone_open(WRONG[i], &zone) == ERR_NOT_FOUND, "accepted: %s", WRONG[i]);
        ck_assert_ptr_null(zone);
    }
}
END_TEST

START_TEST(a_misspelt_name_has_a_nearest_one)
{
    static const char *const PAIRS[][2] = {
        {"europe/berlin", "Europe/Berlin"},
        {"Europe/Berln", "Europe/Berlin"},
        {"Berlin", "Europe/Berlin"},
        {"America/New York", "America/New_York"},
    };
    char nearest[ZONE_NAME_BYTES];
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        ck_assert_ptr_nonnull(zone_nearest(PAIRS[i][0], nearest));
        ck_assert_str_eq(nearest, PAIRS[i][1]);
    }
    ck_assert_ptr_null(zone_nearest("../../etc/passwd", nearest));
    ck_assert_ptr_null(zone_nearest("", nearest));
}
END_TEST

START_TEST(offsets_are_those_of_the_database)
{
    static const struct {
        const char *zone, *at;
        int32_t offset_s;
    } CASES[] = {
        {"UTC", "2026-07-01 00:00:00", 0},
        {"Europe/Berlin", "2026-01-01 00:00:00", 3600},
        {"Europe/Berlin", "2026-07-01 00:00:00", 7200},
        {"Europe/Berlin", "2026-03-29 00:59:59", 3600},
        {"Europe/Berlin", "2026-03-29 01:00:00", 7200},
        {"Europe/Berlin", "2036-10-26 00:59:59", 7200},
        {"Europe/Berlin", "2036-10-26 01:00:00", 3600},
        {"America/New_York", "2026-11-01 05:59:59", -4 * 3600},
        {"America/New_York", "2026-11-01 06:00:00", -5 * 3600},
        {"Australia/Lord_Howe", "2026-07-01 00:00:00", 10 * 3600 + 1800},
        {"Australia/Lord_Howe", "2026-01-01 00:00:00", 11 * 3600},
        {"Asia/Kathmandu", "2026-01-01 00:00:00", 5 * 3600 + 45 * 60},
        {"Pacific/Apia", "2011-12-30 09:59:59", -10 * 3600},
        {"Pacific/Apia", "2011-12-30 10:00:00", 14 * 3600},
        {"Etc/GMT+5", "2026-01-01 00:00:00", -5 * 3600},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct zone *zone = open_zone(CASES[i].zone);
        int32_t offset_s = zone_offset_s(zone, at(CASES[i].at));
        ck_assert_msg(offset_s == CASES[i].offset_s, "%s at %s: %d", CASES[i].zone, CASES[i].at,
                      (int)offset_s);
        zone_close(zone);
    }
}
END_TEST

START_TEST(shifts_are_found_in_a_span_that_leaves_out_its_beginning)
{
    struct zone *zone = open_zone("Europe/Berlin");
    int64_t shift = at("2026-03-29 01:00:00");
    ck_assert_int_eq(zone_shift_s(zone, at("2026-01-01 00:00:00"), at("2026-09-01 00:00:00")), shift);
    ck_assert_int_eq(zone_shift_s(zone, at("2026-01-01 00:00:00"), at("2029-01-01 00:00:00")), shift);
    ck_assert_int_eq(zone_shift_s(zone, shift - 1, shift), shift);
    ck_assert_int_eq(zone_shift_s(zone, shift - 2, shift - 1), shift);
    ck_assert_int_eq(zone_shift_s(zone, shift, shift + 60), shift + 61);
    zone_close(zone);
}
END_TEST

START_TEST(a_local_time_is_reached_at_its_first_or_after_the_jump_over_it)
{
    static const struct {
        const char *zone, *local, *utc;
    } CASES[] = {
        {"UTC", "2026-03-29 02:30:00", "2026-03-29 02:30:00"},
        {"Europe/Berlin", "2026-03-29 01:59:59", "2026-03-29 00:59:59"},
        {"Europe/Berlin", "2026-03-29 02:00:00", "2026-03-29 01:00:00"},
        {"Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29 01:00:00"},
        {"Europe/Berlin", "2026-03-29 03:00:00", "2026-03-29 01:00:00"},
        {"Europe/Berlin", "2026-03-29 03:00:01", "2026-03-29 01:00:01"},
        {"Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25 00:30:00"},
        {"Europe/Berlin", "2026-10-25 03:00:00", "2026-10-25 02:00:00"},
        {"Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04 14:45:00"},
        {"Australia/Lord_Howe", "2026-10-04 02:15:00", "2026-10-03 15:30:00"},
        {"America/Santiago", "2026-09-06 00:30:00", "2026-09-06 04:00:00"},
        {"Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 10:00:00"},
        {"Pacific/Apia", "2011-12-31 00:00:00", "2011-12-30 10:00:00"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct zone *zone = open_zone(CASES[i].zone);
        int64_t reached = zone_reach_s(zone, at(CASES[i].local));
        ck_assert_msg(reached == at(CASES[i].utc), "%s %s: %lld", CASES[i].zone, CASES[i].local,
                      (long long)reached);
        zone_close(zone);
    }
}
END_TEST

START_TEST(the_latest_local_time_reached_stands_still_while_an_hour_repeats)
{
    struct zone *zone = open_zone("Europe/Berlin");
    int64_t put_back = at("2026-10-25 01:00:00"), last = at("2026-10-25 02:59:59");
    ck_assert_int_eq(zone_reached_local_s(zone, put_back - 1), last);
    ck_assert_int_eq(zone_reached_local_s(zone, put_back), last);
    ck_assert_int_eq(zone_reached_local_s(zone, put_back + 3599), last);
    ck_assert_int_eq(zone_reached_local_s(zone, put_back + 3600), last + 1);
    int64_t jump = at("2026-03-29 01:00:00");
    ck_assert_int_eq(zone_reached_local_s(zone, jump - 1), at("2026-03-29 01:59:59"));
    ck_assert_int_eq(zone_reached_local_s(zone, jump), at("2026-03-29 03:00:00"));
    zone_close(zone);
}
END_TEST

/* From one local time to the next, across every shift of two years: neither function ever falls. */
START_TEST(what_is_reached_only_ever_rises)
{
    static const char *const NAMES[] = {"Europe/Berlin", "Australia/Lord_Howe", "America/Santiago",
                                        "Pacific/Apia", "Africa/Casablanca"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        struct zone *zone = open_zone(NAMES[i]);
        int64_t reach = INT64_MIN, reached = INT64_MIN;
        for (int64_t s = at("2010-12-30 00:00:00"); s < at("2012-12-30 00:00:00"); s += 900) {
            ck_assert_int_ge(zone_reach_s(zone, s), reach);
            reach = zone_reach_s(zone, s);
            ck_assert_int_ge(zone_reached_local_s(zone, s), reached);
            reached = zone_reached_local_s(zone, s);
            ck_assert_int_ge(zone_reached_local_s(zone, reach), s);
        }
        zone_close(zone);
    }
}
END_TEST

#ifdef __SANITIZE_THREAD__
/* GLib is not built for ThreadSanitizer, which therefore does not see its locks: futexes of its own. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libglib-2.0.so";
}
#endif

static void *use_zones(void *unused)
{
    for (int i = 0; i < 300; i++) {
        struct zone *zone = NULL;
        if (zone_open(i % 2 ? "Europe/Berlin" : "America/New_York", &zone) != ERR_OK)
            return "not opened";
        int32_t offset_s = zone_offset_s(zone, 1767225600);
        zone_close(zone);
        if (offset_s != (i % 2 ? 3600 : -5 * 3600))
            return "wrong offset";
    }
    return unused;
}

START_TEST(zones_may_be_opened_used_and_closed_by_any_thread)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_zones, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failure = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_ptr_null(failure);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/zone");
    TCase *tests = tcase_create("zone");
    tcase_add_test(tests, zones_are_found_by_their_names);
    tcase_add_test(tests, every_name_in_the_database_opens);
    tcase_add_test(tests, an_update_of_the_database_is_taken_up_when_no_handle_is_open);
    tcase_add_test(tests, what_is_no_name_of_a_zone_is_refused);
    tcase_add_test(tests, a_misspelt_name_has_a_nearest_one);
    tcase_add_test(tests, offsets_are_those_of_the_database);
    tcase_add_test(tests, shifts_are_found_in_a_span_that_leaves_out_its_beginning);
    tcase_add_test(tests, a_local_time_is_reached_at_its_first_or_after_the_jump_over_it);
    tcase_add_test(tests, the_latest_local_time_reached_stands_still_while_an_hour_repeats);
    tcase_add_test(tests, what_is_reached_only_ever_rises);
    tcase_add_test(tests, zones_may_be_opened_used_and_closed_by_any_thread);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
