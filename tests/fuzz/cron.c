/* Cron expressions: three lines: a zone, milliseconds since 1970 to begin at, the expression. What comes out
 * of cron_next rises, and is what a checker finds that knows nothing but the bits and the calendar. */
#include "fuzz.h"

#include "cron.h"

#include <time.h>

enum { FIRES = 5, PROBES = 16 };

/* One zone is kept: opening it reads files. */
static struct zone *zone;
static char zone_name[ZONE_NAME_BYTES];

static bool has(uint64_t bits, int number)
{
    return (bits >> number & 1) != 0;
}

static int month_days(const struct tm *day)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = day->tm_year + 1900;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return DAYS[day->tm_mon] + (day->tm_mon == 1 && leap);
}

static bool day_matches(const struct cron *cron, const struct tm *day)
{
    int last = month_days(day);
    bool by_date = has(cron->days, day->tm_mday) || (cron->last_day && day->tm_mday == last);
    bool by_weekday = has(cron->weekdays, day->tm_wday) ||
                      has(cron->nth_weekdays[(day->tm_mday - 1) / 7], day->tm_wday) ||
                      (day->tm_mday + 7 > last && has(cron->last_weekdays, day->tm_wday));
    return has(cron->months, day->tm_mon + 1) &&
           (cron->either_day ? by_date || by_weekday : by_date && by_weekday);
}

/* What the clocks show, counted as if it were UTC. */
static bool local_matches(const struct cron *cron, int64_t local_s)
{
    struct tm day;
    time_t at = (time_t)local_s;
    HOLDS(gmtime_r(&at, &day) != NULL, "calendar");
    return has(cron->seconds, day.tm_sec) && has(cron->minutes, day.tm_min) &&
           has(cron->hours, day.tm_hour) && day_matches(cron, &day);
}

/* How many seconds the clocks jump at that moment; below 0: they are put back. */
static int32_t jump_s(int64_t utc_s)
{
    return zone_offset_s(zone, utc_s) - zone_offset_s(zone, utc_s - 1);
}

static bool in_second_pass(int64_t utc_s)
{
    return zone_reach_s(zone, utc_s + zone_offset_s(zone, utc_s)) != utc_s;
}

/* One of the times that the clocks have just jumped over. */
static bool jumped_over(const struct cron *cron, int64_t utc_s)
{
    int64_t shown = utc_s + zone_offset_s(zone, utc_s);
    for (int64_t local = shown - jump_s(utc_s); local < shown; local++)
        if (local_matches(cron, local))
            return true;
    return false;
}

static bool fires_at(const struct cron *cron, int64_t utc_s)
{
    bool shown = local_matches(cron, utc_s + zone_offset_s(zone, utc_s));
    if (cron->real_time)
        return shown;
    return (shown && !in_second_pass(utc_s)) || jumped_over(cron, utc_s);
}

static void check_fires(const struct cron *cron, int64_t after_ms, uint32_t seed)
{
    int64_t next_ms = 0;
    for (int i = 0; i < FIRES && cron_next(cron, zone, after_ms, &next_ms); i++) {
        HOLDS(next_ms > after_ms && next_ms % 1000 == 0, "%lld after %lld", (long long)next_ms,
              (long long)after_ms);
        HOLDS(fires_at(cron, next_ms / 1000), "it does not fire at %lld", (long long)next_ms);
        int64_t from_s = after_ms / 1000 + 1, span_s = next_ms / 1000 - from_s;
        for (int probe = 0; probe < PROBES && span_s > 0; probe++) {
            seed = seed * 1103515245 + 12345;
            int64_t at_s = probe == 0 ? next_ms / 1000 - 1 : from_s + (int64_t)seed % span_s;
            HOLDS(!fires_at(cron, at_s), "%lld is passed over", (long long)at_s);
        }
        after_ms = next_ms;
    }
}

static bool take_zone(const char *name)
{
    if (zone != NULL && strcmp(name, zone_name) == 0)
        return true;
    struct zone *opened = NULL;
    if (zone_open(name, &opened) != ERR_OK)
        return false;
    HOLDS(strlen(name) < sizeof zone_name, "a zone has no such name: %s", name);
    zone_close(zone);
    zone = opened;
    strcpy(zone_name, name);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes};
    char *name = input_text(input_line(&input)), *when = input_text(input_line(&input)),
         *text = input_text(input);
    struct cron cron;
    struct buf why = {0};
    int64_t after_ms = strtoll(when, NULL, 10);
    if (cron_parse(text, &cron, &why) != ERR_OK) {
        HOLDS(why.bytes > 0, "no reason");
        buf_add(&why, "", 1);
        HOLDS(!is_utf8(text) || is_utf8(why.data), "the reason is no UTF-8: %s", why.data);
    } else if (after_ms >= 0 && after_ms < 4000000000000 && take_zone(name)) {
        HOLDS(why.bytes == 0, "taken, and a reason");
        check_fires(&cron, after_ms, (uint32_t)bytes + (uint32_t)after_ms);
    }
    buf_fini(&why);
    free(name);
    free(when);
    free(text);
    return 0;
}
