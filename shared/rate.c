#include "rate.h"

#include "check.h"
#include "clock.h"

#include <stddef.h>
#include <string.h>

static const struct {
    char letter;
    uint32_t period_s;
} LETTERS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

enum { LETTER_COUNT = sizeof LETTERS / sizeof *LETTERS };

/* A number from 1 to most; NULL if there is none. */
static const char *read_number(const char *text, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= most; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *number = (uint32_t)value;
    return value == 0 || value > most ? NULL : at;
}

static bool read_period(const char *text, uint32_t *period_s)
{
    for (size_t i = 0; i < LETTER_COUNT; i++) {
        if (text[0] == LETTERS[i].letter && text[1] == '\0') {
            *period_s = LETTERS[i].period_s;
            return true;
        }
    }
    const char *unit = read_number(text, RATE_PERIOD_MAX_S, period_s);
    return unit != NULL && strcmp(unit, "s") == 0;
}

enum err rate_parse(const char *text, struct rate *rate)
{
    struct rate read;
    const char *slash = read_number(text, RATE_COUNT_MAX, &read.count);
    if (slash == NULL || *slash != '/' || !read_period(slash + 1, &read.period_s))
        return ERR_CONFIG;
    *rate = read;
    return ERR_OK;
}

void rate_put(struct buf *out, struct rate rate)
{
    if (rate.count == 0)
        return;
    for (size_t i = 0; i < LETTER_COUNT; i++) {
        if (rate.period_s == LETTERS[i].period_s) {
            buf_printf(out, "%u/%c", rate.count, LETTERS[i].letter);
            return;
        }
    }
    buf_printf(out, "%u/%us", rate.count, rate.period_s);
}

int64_t rate_interval_ns(struct rate rate)
{
    CHECK(rate.count > 0 && rate.period_s > 0);
    return rate.period_s * NS_PER_SEC / rate.count; /* at least 1 µs, by the bounds above */
}
