#include "json_private.h"

#include <string.h>

/* Up to that many members and bytes of a number json_check needs no second opinion: a double has room for
 * numbers of 308 digits. */
enum { SURE_MEMBERS = 16, SURE_BYTES = 300 };

/* Any of eight bytes that is a quote, a backslash, a control character or beyond ASCII? May also say yes for
 * a byte above such a one; never no. */
static inline bool has_special(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    return ((word | (word - ones * 0x20) | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones)) &
            ones * 0x80) != 0;
}

static inline const unsigned char *skip_plain(const unsigned char *at, const unsigned char *end)
{
    for (uint64_t word; end - at >= 8; at += 8) {
        memcpy(&word, at, sizeof word);
        if (has_special(word))
            break;
    }
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* The value of four hexadecimal digits, or -1. */
static int hex4(const unsigned char *at, const unsigned char *end)
{
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int byte = at[i], letter = byte | 0x20;
        if (is_digit(byte))
            value = value << 4 | (byte - '0');
        else if (letter >= 'a' && letter <= 'f')
            value = value << 4 | (letter - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* At "\u": the code point, a surrogate pair taken as one, or -1; *bytes is what it takes up. Half a pair is
 * returned as the surrogate it is. */
static int unicode_escape(const unsigned char *at, const unsigned char *end, size_t *bytes)
{
    int high = hex4(at + 2, end);
    *bytes = 6;
    if (high < 0xd800 || high > 0xdbff || end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return high;
    int low = hex4(at + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return high;
    *bytes = 12;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static enum err scan_escape(struct scanner *s, bool is_key)
{
    int letter = s->end - s->at > 1 ? s->at[1] : '"'; /* a lone backslash at the end: the quote is missing */
    if (letter != 'u') {
        if (memchr("\"\\/bfnrt", letter, 8) == NULL)
            return json_refuse_scan(s, s->at,
                                    letter > 0x20 && letter < 0x7f
                                        ? "\\%c is no escape; a backslash is written \\\\"
                                        : "a backslash in a string is written \\\\",
                                    letter);
        s->at += s->end - s->at > 1 ? 2 : 1;
        return ERR_OK;
    }
    size_t bytes;
    int code = unicode_escape(s->at, s->end, &bytes);
    if (code < 0)
        return json_refuse_scan(s, s->at, "\\u needs four hexadecimal digits");
    if (code >= 0xd800 && code <= 0xdfff)
        return json_refuse_scan(s, s->at, "\\u%04x is half of a surrogate pair; the %s half is missing",
                                (unsigned)code, code < 0xdc00 ? "second" : "first");
    if (code == 0 && is_key)
        return json_refuse_scan(s, s->at, "a member's name may not hold \\u0000");
    s->at += bytes;
    return ERR_OK;
}

static enum err scan_string(struct scanner *s, bool is_key)
{
    const unsigned char *string = s->at++;
    for (;;) {
        s->at = skip_plain(s->at, s->end);
        int byte = peek(s);
        if (byte == '"') {
            s->at++;
            return ERR_OK;
        }
        if (byte == '\\') {
            enum err err = scan_escape(s, is_key);
            if (err != ERR_OK)
                return err;
            continue;
        }
        if (byte < 0x80)
            return json_refuse_in_string(s, string);
        size_t length = json_utf8_length((const char *)s->at, (size_t)(s->end - s->at));
        if (length == 0)
            return json_refuse_in_string(s, string);
        s->at += length;
    }
}

static inline const unsigned char *skip_digits(const unsigned char *at, const unsigned char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* The end of the number at `at`, or NULL if it is malformed. */
static const unsigned char *number_end(const unsigned char *at, const unsigned char *end)
{
    if (at < end && *at == '-')
        at++;
    const unsigned char *whole = at;
    at = skip_digits(at, end);
    if (at == whole || (*whole == '0' && at - whole > 1))
        return NULL;
    if (at < end && *at == '.') {
        const unsigned char *fraction = ++at;
        at = skip_digits(at, end);
        if (at == fraction)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const unsigned char *exponent = at;
        at = skip_digits(at, end);
        if (at == exponent)
            return NULL;
    }
    return at;
}

static bool has_exponent(const unsigned char *at, const unsigned char *end)
{
    while (at < end && *at != 'e' && *at != 'E')
        at++;
    return at < end;
}

static enum err scan_number(struct scanner *s)
{
    const unsigned char *after = number_end(s->at, s->end);
    /* 1_000, 1.2.3, 12px: one wrong number is what its writer sees, not a number and something after it */
    if (after == NULL ||
        (after < s->end && (is_word(*after) || *after == '.' || *after == '+' || *after == '-')))
        return json_refuse_number(s);
    if (after - s->at > SURE_BYTES || has_exponent(s->at, after))
        s->unsure = true;
    s->at = after;
    return ERR_OK;
}

static enum err scan_literal(struct scanner *s, const char *literal, size_t bytes)
{
    size_t left = (size_t)(s->end - s->at);
    if (left < bytes || memcmp(s->at, literal, bytes) != 0 || (left > bytes && is_word(s->at[bytes])))
        return json_refuse_word(s);
    s->at += bytes;
    return ERR_OK;
}

static enum err scan_value(struct scanner *s);

static inline struct json_span span_of(const unsigned char *from, const unsigned char *to)
{
    return (struct json_span){(const char *)from, (size_t)(to - from)};
}

static enum err scan_member(struct scanner *s, struct json_member *member)
{
    if (peek(s) != '"')
        return json_refuse_key(s);
    const unsigned char *key = s->at;
    enum err err = scan_string(s, true);
    if (err != ERR_OK)
        return err;
    member->key = span_of(key + 1, s->at - 1);
    skip_space(s);
    if (peek(s) != ':')
        return json_refuse_token(s, "a colon is missing after the member's name");
    s->at++;
    skip_space(s);
    const unsigned char *value = s->at;
    err = scan_value(s);
    member->value = span_of(value, s->at);
    return err;
}

/* After a value: past the closing bracket (*more false) or past a comma (*more true). */
static inline enum err scan_separator(struct scanner *s, char close, bool *more)
{
    skip_space(s);
    int byte = peek(s);
    if (byte != ',' && byte != close)
        return json_refuse_token(s, close == '}' ? "a comma or } is missing" : "a comma or ] is missing");
    const unsigned char *comma = s->at++;
    *more = byte == ',';
    if (!*more)
        return ERR_OK;
    skip_space(s);
    return peek(s) == close ? json_refuse_scan(s, comma, "the comma before %c is one too many", close)
                            : ERR_OK;
}

/* The keys of an object so far; json_check asks jansson where the bytes alone do not tell them apart. */
struct keys {
    size_t count;
    struct json_span spans[SURE_MEMBERS];
};

static void note_key(struct scanner *s, struct keys *keys, struct json_span key)
{
    if (keys->count == SURE_MEMBERS || memchr(key.at, '\\', key.bytes) != NULL) {
        s->unsure = true;
        return;
    }
    for (size_t i = 0; i < keys->count; i++)
        if (keys->spans[i].bytes == key.bytes && memcmp(keys->spans[i].at, key.at, key.bytes) == 0)
            s->unsure = true;
    keys->spans[keys->count++] = key;
}

static enum err scan_object(struct scanner *s)
{
    bool noting = s->depth == 1 && s->scan != NULL;
    struct keys keys;
    keys.count = 0;
    for (bool more = true; more;) {
        struct json_member spare;
        struct json_member *member = &spare;
        if (noting && s->scan->member_count++ < JSON_MAX_MEMBERS)
            member = &s->scan->members[s->scan->member_count - 1];
        enum err err = scan_member(s, member);
        if (err != ERR_OK)
            return err;
        note_key(s, &keys, member->key);
        err = scan_separator(s, '}', &more);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err scan_array(struct scanner *s)
{
    for (bool more = true; more;) {
        enum err err = scan_value(s);
        if (err == ERR_OK)
            err = scan_separator(s, ']', &more);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* At { or [. The recursion is bounded by JSON_MAX_DEPTH. */
static enum err scan_nested(struct scanner *s)
{
    if (s->depth == JSON_MAX_DEPTH)
        return json_refuse(s->fault, ERR_TOO_DEEP, (const char *)s->start, (size_t)(s->at - s->start),
                           "more than %d arrays and objects lie in each other", JSON_MAX_DEPTH);
    s->depth++;
    bool is_object = *s->at++ == '{';
    enum err err = ERR_OK;
    skip_space(s);
    if (peek(s) == (is_object ? '}' : ']'))
        s->at++;
    else
        err = is_object ? scan_object(s) : scan_array(s);
    s->depth--;
    return err;
}

static enum err scan_value(struct scanner *s)
{
    int byte = peek(s);
    switch (byte) {
    case '"':
        return scan_string(s, false);
    case '{':
    case '[':
        return scan_nested(s);
    case 't':
        return scan_literal(s, "true", 4);
    case 'f':
        return scan_literal(s, "false", 5);
    case 'n':
        return scan_literal(s, "null", 4);
    default:
        return byte == '-' || is_digit(byte) ? scan_number(s) : json_refuse_value(s);
    }
}

enum err json_scan(const char *text, size_t bytes, struct json_scan *scan, struct json_fault *fault)
{
    const unsigned char *start = (const unsigned char *)(text != NULL ? text : "");
    struct scanner s = {.start = start, .at = start, .end = start + bytes, .scan = scan, .fault = fault};
    if (scan != NULL)
        scan->member_count = 0;
    skip_space(&s);
    const unsigned char *value = s.at;
    enum err err = scan_value(&s);
    if (err != ERR_OK)
        return err;
    if (scan != NULL) {
        scan->value = span_of(value, s.at);
        scan->unsure = s.unsure;
        scan->type = *value == '-' || is_digit(*value) ? '0' : (char)*value;
    }
    skip_space(&s);
    return s.at == s.end ? ERR_OK
                         : json_refuse_token(&s, "more text follows the JSON value; only one is allowed");
}
