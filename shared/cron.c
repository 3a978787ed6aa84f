#include "cron.h"

#include "nearest.h"

#include <string.h>
#include <strings.h>
#include <time.h>

enum { DAY_S = 86400 };
enum field_index { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };

static const int64_t HORIZON_S = (int64_t)CRON_HORIZON_YEARS * 366 * DAY_S;
static const int64_t LAST_MS = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z, as in clock.c */

/* ── the days of a month ── */

struct month {
    int64_t begin_s; /* local time of its first midnight */
    int year, number, length, first_weekday;
};

static int length_of(int year, int number)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return number == 2 ? 28 + leap : 30 + (number + (number > 7)) % 2;
}

static void next_month(struct month *month)
{
    month->begin_s += (int64_t)month->length * DAY_S;
    month->first_weekday = (month->first_weekday + month->length) % 7;
    month->year += month->number / 12;
    month->number = month->number % 12 + 1;
    month->length = length_of(month->year, month->number);
}

/* The seven days from `first` of the month on, of which `weekday` is the first one's weekday: bit n is day n.
 */
static uint64_t week_of(uint8_t weekdays, int weekday, int first)
{
    uint64_t twice = (uint64_t)weekdays << 7 | weekdays;
    return (twice >> weekday & 0x7f) << first;
}

static uint64_t bits(int low, int high)
{
    return (UINT64_MAX >> (63 - high)) & (UINT64_MAX << low);
}

/* The days of the month that match: bit n is day n. */
static uint64_t days_of(const struct cron *cron, const struct month *month)
{
    if (!(cron->months >> month->number & 1))
        return 0;
    uint64_t by_date = cron->days | (uint64_t)cron->last_day << month->length;
    uint64_t by_weekday = 0;
    for (int week = 0; week < 5; week++)
        by_weekday |= week_of(cron->weekdays | cron->nth_weekdays[week], month->first_weekday, week * 7 + 1);
    by_weekday |= week_of(cron->last_weekdays, (month->first_weekday + month->length) % 7, month->length - 6);
    return (cron->either_day ? by_date | by_weekday : by_date & by_weekday) & bits(1, month->length);
}

/* ── the next firing ── */

static int lowest(uint64_t mask)
{
    return __builtin_ctzll(mask);
}

/* The lowest bit from `low` on, -1 if there is none. */
static int next_bit(uint64_t mask, int low)
{
    uint64_t rest = mask & (UINT64_MAX << low);
    return rest ? lowest(rest) : -1;
}

/* The first matching time of a day from second_of_day on, itself in seconds; -1 if there is none. */
static int time_from(const struct cron *cron, int second_of_day)
{
    int hour = second_of_day / 3600, minute = second_of_day / 60 % 60, second = -1;
    int first_second = lowest(cron->seconds);
    if (cron->hours >> hour & 1) {
        if (cron->minutes >> minute & 1)
            second = next_bit(cron->seconds, second_of_day % 60);
        if (second >= 0)
            return hour * 3600 + minute * 60 + second;
        minute = next_bit(cron->minutes, minute + 1);
        if (minute >= 0)
            return hour * 3600 + minute * 60 + first_second;
    }
    hour = next_bit(cron->hours, hour + 1);
    return hour < 0 ? -1 : hour * 3600 + lowest(cron->minutes) * 60 + first_second;
}

/* The first matching local time in from_s <= time < until_s. */
static bool local_match(const struct cron *cron, int64_t from_s, int64_t until_s, int64_t *found_s)
{
    time_t from = (time_t)from_s;
    struct tm tm;
    if (!gmtime_r(&from, &tm))
        return false;
    int second_of_day = tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
    int64_t midnight = from_s - second_of_day;
    struct month month = {.begin_s = midnight - (int64_t)(tm.tm_mday - 1) * DAY_S,
                          .year = tm.tm_year + 1900,
                          .number = tm.tm_mon + 1,
                          .first_weekday = (tm.tm_wday + 36 - tm.tm_mday) % 7};
    month.length = length_of(month.year, month.number);
    uint64_t days = days_of(cron, &month) & (UINT64_MAX << tm.tm_mday);
    int today = days >> tm.tm_mday & 1 ? time_from(cron, second_of_day) : -1;
    if (today >= 0) {
        *found_s = midnight + today;
        return *found_s < until_s;
    }
    days &= UINT64_MAX << (tm.tm_mday + 1);
    for (; !days && month.begin_s < until_s; days = days_of(cron, &month))
        next_month(&month);
    if (!days)
        return false;
    *found_s = month.begin_s + (int64_t)(lowest(days) - 1) * DAY_S + time_from(cron, 0);
    return *found_s < until_s;
}

/* Once for each local time: when the clocks reach the next one that they have not reached yet. */
static bool next_once(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t *next_s)
{
    int64_t from = zone_reached_local_s(zone, after_s) + 1, local;
    if (!local_match(cron, from, from + HORIZON_S, &local))
        return false;
    *next_s = zone_reach_s(zone, local);
    return true;
}

/* As often as the clocks show a local time: looks for one from shift to shift. */
static bool next_shown(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t *next_s)
{
    int64_t end = after_s + HORIZON_S;
    for (int64_t at = after_s + 1; at < end;) {
        int64_t offset = zone_offset_s(zone, at), local, found = end;
        if (local_match(cron, at + offset, end + offset, &local))
            found = local - offset;
        int64_t shift = zone_shift_s(zone, at, found);
        if (shift > found) {
            *next_s = found;
            return found < end;
        }
        at = shift;
    }
    return false;
}

bool cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, int64_t *next_ms)
{
    if (after_ms < -LAST_MS || after_ms > LAST_MS)
        return false;
    int64_t after_s = after_ms / 1000 - (after_ms % 1000 < 0), next_s;
    if (!(cron->real_time ? next_shown : next_once)(cron, zone, after_s, &next_s) || next_s * 1000 > LAST_MS)
        return false;
    *next_ms = next_s * 1000;
    return true;
}

/* ── reading ── */

static const struct field {
    const char *name;
    int low, high, greatest; /* of what * stands for; greatest: a number that may be written */
    const char *names, *also;
} FIELDS[FIELD_COUNT] = {
    [SECOND] = {"second", 0, 59, 59, "", ""},
    [MINUTE] = {"minute", 0, 59, 59, "", ""},
    [HOUR] = {"hour", 0, 23, 23, "", ""},
    [DAY] = {"day of the month", 1, 31, 31, "", ", or L alone for the last day"},
    [MONTH] = {"month", 1, 12, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", " or a name from JAN to DEC"},
    [WEEKDAY] = {"day of the week", 0, 6, 7, "SUNMONTUEWEDTHUFRISAT", " or a name from SUN to SAT"},
};

static const struct macro {
    const char *name, *text;
} MACROS[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};
enum { MACRO_COUNT = sizeof MACROS / sizeof *MACROS };

/* What is read so far: a mask a field; what only weekdays and last days have goes into the cron itself. */
struct reader {
    struct cron *cron;
    struct buf *why;
    uint64_t masks[FIELD_COUNT];
};

/* A number of one or two digits within the bounds; -1 if the text is not that. */
static int number_of(const char *text, int low, int high)
{
    size_t digits = strspn(text, "0123456789");
    if (digits < 1 || digits > 2 || text[digits] != '\0')
        return -1;
    int number = digits == 1 ? text[0] - '0' : (text[0] - '0') * 10 + text[1] - '0';
    return number >= low && number <= high ? number : -1;
}

static int named(const struct field *field, const char *text)
{
    if (strlen(text) == 3)
        for (int i = 0; field->names[i * 3]; i++)
            if (strncasecmp(field->names + (ptrdiff_t)i * 3, text, 3) == 0)
                return field->low + i;
    return -1;
}

static enum err read_value(struct reader *reader, const struct field *field, const char *text, int *value)
{
    *value = number_of(text, field->low, field->greatest);
    if (*value < 0)
        *value = named(field, text);
    if (*value >= 0)
        return ERR_OK;
    buf_printf(reader->why, "the %s \"%s\" is not a number from %d to %d%s", field->name, text, field->low,
               field->greatest, field->also);
    return ERR_INVALID_FIELD;
}

/* Ends the text at the first such character; what follows it, or NULL. */
static char *cut(char *text, char at)
{
    char *found = strchr(text, at);
    if (found)
        *found++ = '\0';
    return found;
}

static enum err read_step(struct reader *reader, const struct field *field, const char *text, int *step)
{
    int most = field->high - field->low + 1;
    *step = number_of(text, 1, most);
    if (*step > 0)
        return ERR_OK;
    buf_printf(reader->why, "the step \"%s\" of the %s is not a number from 1 to %d", text, field->name,
               most);
    return ERR_INVALID_FIELD;
}

/* a-b. Sunday may be written as 0 at the end of a range, and as 7 at the beginning. */
static enum err read_range(struct reader *reader, const struct field *field, const char *from, const char *to,
                           int *low, int *high)
{
    enum err err = read_value(reader, field, from, low);
    if (!err)
        err = read_value(reader, field, to, high);
    if (err)
        return err;
    if (*low > field->high && *high < *low)
        *low = field->low;
    if (field->greatest > field->high && *high == field->low && *low > *high)
        *high = field->greatest;
    if (*low <= *high)
        return ERR_OK;
    buf_printf(reader->why, "the range \"%s-%s\" of the %s ends before it begins; write \"%s-%d,%d-%s\"",
               from, to, field->name, from, field->high, field->low, to);
    return ERR_INVALID_FIELD;
}

/* One of a list that stands for numbers: *, a, a-b, each also with a step. */
static enum err read_numbers(struct reader *reader, enum field_index index, char *item)
{
    const struct field *field = &FIELDS[index];
    const char *step_text = cut(item, '/'), *to = cut(item, '-');
    int low = field->low, high = field->high, step = 1;
    enum err err = ERR_OK;
    if (to)
        err = read_range(reader, field, item, to, &low, &high);
    else if (strcmp(item, "*") != 0) {
        err = read_value(reader, field, item, &low);
        if (!step_text || high < low)
            high = low;
    }
    if (!err && step_text)
        err = read_step(reader, field, step_text, &step);
    for (; !err && low <= high; low += step)
        reader->masks[index] |= UINT64_C(1) << low;
    return err;
}

/* w#k and wL. */
static enum err read_some_weekday(struct reader *reader, char *item, const char *week)
{
    int weekday, number = week ? number_of(week, 1, 5) : 0;
    enum err err = read_value(reader, &FIELDS[WEEKDAY], item, &weekday);
    if (err)
        return err;
    if (number < 0) {
        buf_printf(reader->why, "the week \"%s\" of \"%s#%s\" is not a number from 1 to 5", week, item, week);
        return ERR_INVALID_FIELD;
    }
    uint8_t *weekdays = week ? &reader->cron->nth_weekdays[number - 1] : &reader->cron->last_weekdays;
    *weekdays |= (uint8_t)(1 << weekday % 7);
    return ERR_OK;
}

static enum err read_item(struct reader *reader, enum field_index index, char *item)
{
    size_t bytes = strlen(item);
    bool last = bytes > 0 && (item[bytes - 1] == 'L' || item[bytes - 1] == 'l');
    if (index == DAY && last && bytes == 1) {
        reader->cron->last_day = true;
        return ERR_OK;
    }
    char *week = index == WEEKDAY ? cut(item, '#') : NULL;
    if (index == WEEKDAY && !week && last && bytes > 1)
        item[bytes - 1] = '\0';
    else if (!week)
        return read_numbers(reader, index, item);
    return read_some_weekday(reader, item, week);
}

static enum err read_field(struct reader *reader, enum field_index index, const char *text)
{
    if ((index == DAY || index == WEEKDAY) && strcmp(text, "?") == 0)
        text = "*";
    char copy[CRON_TEXT_BYTES], *rest = copy;
    strcpy(copy, text);
    enum err err = ERR_OK;
    while (!err && rest)
        err = read_item(reader, index, strsep(&rest, ","));
    return err;
}

/* These 28 years are all kinds of year: each weekday to begin with, leap or not. */
static bool fires(const struct cron *cron)
{
    struct month month = {.year = 2000, .number = 1, .length = 31, .first_weekday = 6};
    for (; month.year < 2028; next_month(&month))
        if (days_of(cron, &month))
            return true;
    return false;
}

static bool unrestricted(const char *text)
{
    return *text == '*' || *text == '?';
}

static enum err read_fields(const char *const words[FIELD_COUNT], struct cron *cron, struct buf *why)
{
    *cron = (struct cron){0};
    struct reader reader = {.cron = cron, .why = why};
    enum err err = ERR_OK;
    for (enum field_index i = SECOND; !err && i < FIELD_COUNT; i++)
        err = read_field(&reader, i, words[i]);
    if (err)
        return err;
    uint64_t weekdays = reader.masks[WEEKDAY];
    cron->seconds = reader.masks[SECOND];
    cron->minutes = reader.masks[MINUTE];
    cron->hours = (uint32_t)reader.masks[HOUR];
    cron->days = (uint32_t)reader.masks[DAY];
    cron->months = (uint16_t)reader.masks[MONTH];
    cron->weekdays = (uint8_t)((weekdays | weekdays >> 7) & 0x7f);
    cron->either_day = !unrestricted(words[DAY]) && !unrestricted(words[WEEKDAY]);
    cron->real_time = words[HOUR][0] == '*';
    if (fires(cron))
        return ERR_OK;
    buf_printf(why,
               "it would never fire: no day is day of the month \"%s\" in the month \"%s\" and day of the "
               "week \"%s\"",
               words[DAY], words[MONTH], words[WEEKDAY]);
    return ERR_INVALID_FIELD;
}

static enum err parse_macro(const char *name, struct cron *cron, struct buf *why)
{
    const char *names[MACRO_COUNT];
    for (size_t i = 0; i < MACRO_COUNT; i++) {
        names[i] = MACROS[i].name;
        if (strcasecmp(name, names[i]) == 0)
            return cron_parse(MACROS[i].text, cron, why);
    }
    const char *nearest = nearest_name(name, names, MACRO_COUNT);
    if (nearest)
        buf_printf(why, "\"%s\" is not known; did you mean \"%s\"?", name, nearest);
    else
        buf_printf(why, "\"%s\" is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly",
                   name);
    return ERR_INVALID_FIELD;
}

enum err cron_parse(const char *text, struct cron *cron, struct buf *why)
{
    if (strlen(text) >= CRON_TEXT_BYTES) {
        buf_printf(why, "the expression is longer than %d bytes", CRON_TEXT_BYTES - 1);
        return ERR_INVALID_FIELD;
    }
    char copy[CRON_TEXT_BYTES], *rest = strcpy(copy, text);
    const char *words[FIELD_COUNT] = {"0"};
    int count = 0;
    for (const char *word; (word = strsep(&rest, " \t"));) {
        if (*word != '\0' && count < FIELD_COUNT)
            words[count] = word;
        count += *word != '\0';
    }
    if (count > 0 && words[0][0] == '@')
        return parse_macro(count == 1 ? words[0] : text, cron, why);
    if (count == FIELD_COUNT)
        return read_fields(words, cron, why);
    if (count == FIELD_COUNT - 1) {
        memmove(words + 1, words, sizeof *words * (FIELD_COUNT - 1));
        words[0] = "0";
        return read_fields(words, cron, why);
    }
    buf_printf(
        why,
        "the expression has %d field%s: it must be five (minute, hour, day of the month, month, day of the "
        "week), or six with the second first",
        count, count == 1 ? "" : "s");
    return ERR_INVALID_FIELD;
}
