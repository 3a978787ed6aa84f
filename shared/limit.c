#include "limit.h"

#include "check.h"
#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum limit_kind { LIMIT_BOOL_KIND, LIMIT_INT_KIND, LIMIT_RATE_KIND };

static const struct {
    const char *member, *right;
    enum limit_kind kind;
    int64_t least, most;
    unsigned whom;
} TABLE[LIMIT_COUNT] = {
#define L(name, member, kind, least, most, whom, right)                                                      \
    {member, right, LIMIT_##kind##_KIND, least, most, whom},
    LIMITS(L)
#undef L
};

static const struct {
    char letter;
    uint32_t seconds;
} UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
enum { UNIT_COUNT = sizeof UNITS / sizeof UNITS[0] };

struct limits limits_none(void)
{
    struct limits limits;
    for (int i = 0; i < LIMIT_COUNT; i++)
        limits.values[i] = LIMIT_NOT_SET;
    return limits;
}

struct limits limits_join(const struct limits *over, const struct limits *under)
{
    struct limits joined;
    for (int i = 0; i < LIMIT_COUNT; i++)
        joined.values[i] = over->values[i] != LIMIT_NOT_SET ? over->values[i] : under->values[i];
    return joined;
}

const char *limit_member(enum limit limit)
{
    CHECK(limit < LIMIT_COUNT);
    return TABLE[limit].member;
}

const char *limit_right(enum limit limit)
{
    CHECK(limit < LIMIT_COUNT);
    return TABLE[limit].right;
}

bool limit_is_for(enum limit limit, unsigned whom)
{
    CHECK(limit < LIMIT_COUNT);
    return (TABLE[limit].whom & whom) != 0;
}

int64_t limit_rate(uint32_t count, uint32_t period_s)
{
    CHECK(count > 0 && period_s > 0 && count <= INT32_MAX);
    return (int64_t)count << 32 | period_s;
}

int64_t limit_rate_interval_ns(int64_t rate)
{
    int64_t count = rate >> 32, period_s = rate & UINT32_MAX;
    CHECK(count > 0 && period_s > 0);
    return period_s * NS_PER_SEC / count;
}

static uint32_t unit_seconds(char letter)
{
    for (int i = 0; i < UNIT_COUNT; i++)
        if (UNITS[i].letter == letter)
            return UNITS[i].seconds;
    return 0;
}

/* "10/s", "3/10s" */
static bool read_rate(const char *text, int64_t *value)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    long count = strtol(text, &end, 10), times = 1;
    if (*end++ != '/' || count < 1 || count > 1000000)
        return false;
    if (*end >= '0' && *end <= '9')
        times = strtol(end, &end, 10);
    uint32_t seconds = unit_seconds(*end);
    if (seconds == 0 || end[1] != '\0' || times < 1 || times > 31536000 / (long)seconds)
        return false;
    *value = limit_rate((uint32_t)count, (uint32_t)times * seconds);
    return true;
}

static void put_rate(struct buf *out, int64_t rate)
{
    uint32_t period_s = (uint32_t)(rate & UINT32_MAX);
    int unit = UNIT_COUNT - 1;
    while (unit > 0 && period_s % UNITS[unit].seconds != 0)
        unit--;
    uint32_t times = period_s / UNITS[unit].seconds;
    buf_printf(out, "\"%" PRId64 "/", rate >> 32);
    if (times > 1)
        buf_printf(out, "%" PRIu32, times);
    buf_printf(out, "%c\"", UNITS[unit].letter);
}

static bool is_word(struct json_span span, const char *word)
{
    return span.bytes == strlen(word) && memcmp(span.at, word, span.bytes) == 0;
}

bool limit_read(enum limit limit, struct json_span span, int64_t *value)
{
    char text[64];
    CHECK(limit < LIMIT_COUNT);
    *value = LIMIT_NOT_SET;
    if (is_word(span, "null"))
        return true;
    switch (TABLE[limit].kind) {
    case LIMIT_BOOL_KIND:
        *value = is_word(span, "true");
        return *value == 1 || is_word(span, "false");
    case LIMIT_INT_KIND:
        return json_int(span, value) && *value >= TABLE[limit].least && *value <= TABLE[limit].most;
    case LIMIT_RATE_KIND:
        return json_text(span, text, sizeof text) && read_rate(text, value);
    }
    CHECK_NEVER("a kind of limit");
}

void limit_put(struct buf *out, enum limit limit, int64_t value)
{
    CHECK(limit < LIMIT_COUNT);
    if (value == LIMIT_NOT_SET)
        buf_put(out, "null");
    else if (TABLE[limit].kind == LIMIT_BOOL_KIND)
        buf_put(out, value != 0 ? "true" : "false");
    else if (TABLE[limit].kind == LIMIT_RATE_KIND)
        put_rate(out, value);
    else
        buf_put_int(out, value);
}

void limits_write(struct buf *out, const struct limits *limits)
{
    const char *between = "{";
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (limits->values[i] == LIMIT_NOT_SET)
            continue;
        buf_printf(out, "%s\"%s\":", between, TABLE[i].member);
        limit_put(out, (enum limit)i, limits->values[i]);
        between = ",";
    }
    buf_put(out, between[0] == '{' ? "{}" : "}");
}

struct limits limits_read(struct json_span object)
{
    struct limits limits = limits_none();
    struct json_scan scan;
    if (object.at == NULL || json_scan(object.at, object.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return limits;
    for (size_t m = 0; m < scan.member_count && m < JSON_MAX_MEMBERS; m++) {
        for (int i = 0; i < LIMIT_COUNT; i++) {
            if (json_key_is(scan.members[m].key, TABLE[i].member) &&
                !limit_read((enum limit)i, scan.members[m].value, &limits.values[i]))
                limits.values[i] = LIMIT_NOT_SET;
        }
    }
    return limits;
}
