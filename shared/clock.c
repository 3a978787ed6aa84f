#include "clock.h"

#include "check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t LAST_MS = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */

int64_t clock_mono_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

int64_t clock_real_ms(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static char *put_digits(char *at, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

enum { SECONDS_BYTES = sizeof "2026-01-31T23:59:59." - 1 };

static void format_seconds(time_t seconds, char *text)
{
    struct tm tm;
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    char *at = put_digits(text, tm.tm_year + 1900, 4);
    *at++ = '-';
    at = put_digits(at, tm.tm_mon + 1, 2);
    *at++ = '-';
    at = put_digits(at, tm.tm_mday, 2);
    *at++ = 'T';
    at = put_digits(at, tm.tm_hour, 2);
    *at++ = ':';
    at = put_digits(at, tm.tm_min, 2);
    *at++ = ':';
    at = put_digits(at, tm.tm_sec, 2);
    *at = '.';
}

void clock_format(int64_t real_ms, char text[CLOCK_TEXT_BYTES])
{
    static _Thread_local struct {
        time_t seconds;
        char text[CLOCK_TEXT_BYTES];
    } recent[4]; /* the times of one document lie in few seconds */
    time_t seconds = (time_t)(real_ms / 1000);
    char *known = recent[seconds & 3].text;
    if (recent[seconds & 3].seconds != seconds || known[0] == '\0') {
        format_seconds(seconds, known);
        recent[seconds & 3].seconds = seconds;
    }
    memcpy(text, known, SECONDS_BYTES);
    char *at = put_digits(text + SECONDS_BYTES, (int)(real_ms % 1000), 3);
    *at++ = 'Z';
    *at = '\0';
}

static bool take_digits(const char **at, int digits, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool take_char(const char **at, const char *any)
{
    if (**at == '\0' || strchr(any, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool take_date_time(const char **at, struct tm *tm)
{
    return take_digits(at, 4, &tm->tm_year) && take_char(at, "-") && take_digits(at, 2, &tm->tm_mon) &&
           take_char(at, "-") && take_digits(at, 2, &tm->tm_mday) && take_char(at, "Tt ") &&
           take_digits(at, 2, &tm->tm_hour) && take_char(at, ":") && take_digits(at, 2, &tm->tm_min) &&
           take_char(at, ":") && take_digits(at, 2, &tm->tm_sec);
}

static bool take_fraction_ms(const char **at, int *ms)
{
    *ms = 0;
    if (**at != '.')
        return true;
    (*at)++;
    int scale = 100, digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++, scale /= 10)
        *ms += (**at - '0') * scale;
    return digits > 0;
}

static bool take_offset_minutes(const char **at, int *minutes)
{
    *minutes = 0;
    if (take_char(at, "Zz"))
        return true;
    int sign = **at == '-' ? -1 : 1, hours = 0, rest = 0;
    if (!take_char(at, "+-") || !take_digits(at, 2, &hours) || !take_char(at, ":") ||
        !take_digits(at, 2, &rest) || hours > 23 || rest > 59)
        return false;
    *minutes = sign * (hours * 60 + rest);
    return true;
}

enum err clock_parse(const char *text, int64_t *real_ms)
{
    struct tm tm = {0};
    int ms = 0, offset = 0;
    const char *at = text;
    if (!take_date_time(&at, &tm) || !take_fraction_ms(&at, &ms) || !take_offset_minutes(&at, &offset) ||
        *at != '\0')
        return ERR_INVALID_PARAMETER;
    struct tm asked = tm;
    if (asked.tm_hour > 23 || asked.tm_min > 59 || asked.tm_sec > 60)
        return ERR_INVALID_PARAMETER;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    tm.tm_sec = 0; /* added below: a leap second must not move the date that is compared */
    int64_t minute = (int64_t)timegm(&tm);
    if (tm.tm_mday != asked.tm_mday || tm.tm_mon + 1 != asked.tm_mon) /* timegm turned 31 June into 1 July */
        return ERR_INVALID_PARAMETER;
    int64_t found = (minute + asked.tm_sec - (int64_t)offset * 60) * 1000 + ms;
    if (found < 0 || found > LAST_MS) /* also when only the offset leads out of what clock_format can write */
        return ERR_INVALID_PARAMETER;
    *real_ms = found;
    return ERR_OK;
}

bool clock_no_such_day(const char *text, int *days)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *at = text;
    int year, month, day;
    if (!take_digits(&at, 4, &year) || !take_char(&at, "-") || !take_digits(&at, 2, &month) ||
        !take_char(&at, "-") || !take_digits(&at, 2, &day) || month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    *days = DAYS[month - 1] + (month == 2 && leap ? 1 : 0);
    return day > *days;
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec span = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};
    nanosleep(&span, NULL);
}
