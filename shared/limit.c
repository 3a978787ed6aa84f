#include "limit.h"

#include "check.h"

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

int64_t limit_rate(struct rate rate)
{
    return rate.count == 0 ? LIMIT_NOT_SET : (int64_t)rate.count << 32 | rate.period_s;
}

static struct rate unpack(int64_t rate)
{
    return (struct rate){.count = (uint32_t)(rate >> 32), .period_s = (uint32_t)(rate & UINT32_MAX)};
}

int64_t limit_rate_interval_ns(int64_t rate)
{
    CHECK(rate > 0);
    return rate_interval_ns(unpack(rate));
}

static bool read_rate(const char *text, int64_t *value)
{
    struct rate rate;
    if (rate_parse(text, &rate) != ERR_OK)
        return false;
    *value = limit_rate(rate);
    return true;
}

static void put_rate(struct buf *out, int64_t rate)
{
    buf_put(out, "\"");
    rate_put(out, unpack(rate));
    buf_put(out, "\"");
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

void limits_write_given(struct buf *out, const struct limits *limits, const bool given[LIMIT_COUNT])
{
    const char *between = "{";
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (!given[i])
            continue;
        buf_printf(out, "%s\"%s\":", between, TABLE[i].member);
        limit_put(out, (enum limit)i, limits->values[i]);
        between = ",";
    }
    buf_put(out, between[0] == '{' ? "{}" : "}");
}

void limits_write(struct buf *out, const struct limits *limits)
{
    bool given[LIMIT_COUNT];
    for (int i = 0; i < LIMIT_COUNT; i++)
        given[i] = limits->values[i] != LIMIT_NOT_SET;
    limits_write_given(out, limits, given);
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
