#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static unsigned hex4(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned char)at[i];
        value = value << 4 | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t put_utf8(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> length & 0xff) | code);
    return length;
}

/* The character of the escape at `at`; returns the bytes the escape takes up. The scan has seen to its
 * grammar. */
static size_t read_escape(const char *at, char out[4], size_t *length)
{
    static const char LETTERS[] = "\"\\/bfnrt", MEANINGS[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        const char *letter = memchr(LETTERS, at[1], sizeof LETTERS - 1);
        out[0] = letter != NULL ? MEANINGS[letter - LETTERS] : at[1];
        *length = 1;
        return 2;
    }
    unsigned code = hex4(at + 2);
    bool pair = code >= 0xd800 && code <= 0xdbff;
    if (pair)
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(at + 8) - 0xdc00);
    *length = put_utf8(code, out);
    return pair ? 12 : 6;
}

/* The bytes between a string's quotes, unescaped and NUL-terminated. */
static bool unescape(struct json_span inside, char *out, size_t room)
{
    size_t used = 0;
    for (size_t at = 0; at < inside.bytes;) {
        const char *escape = memchr(inside.at + at, '\\', inside.bytes - at);
        size_t plain = escape != NULL ? (size_t)(escape - inside.at) - at : inside.bytes - at;
        if (plain >= room - used)
            return false;
        memcpy(out + used, inside.at + at, plain);
        used += plain;
        at += plain;
        if (escape == NULL)
            break;
        char character[4];
        size_t length;
        at += read_escape(escape, character, &length);
        if (character[0] == '\0' || length >= room - used)
            return false;
        memcpy(out + used, character, length);
        used += length;
    }
    if (used >= room)
        return false;
    out[used] = '\0';
    return true;
}

bool json_key(struct json_span key, char *out, size_t room)
{
    return unescape(key, out, room);
}

bool json_key_is(struct json_span key, const char *text)
{
    size_t bytes = strlen(text);
    if (key.bytes == bytes)
        return memcmp(key.at, text, bytes) == 0 && memchr(key.at, '\\', bytes) == NULL;
    char unescaped[256];
    return key.bytes > bytes && memchr(key.at, '\\', key.bytes) != NULL &&
           unescape(key, unescaped, sizeof unescaped) && strcmp(unescaped, text) == 0;
}

/* Is the span, to its last byte, a value of this type? The scan decides, so that no span can lead out of its
 * text. */
static bool has_type(struct json_span span, char type)
{
    struct json_scan scan;
    return span.at != NULL && json_scan(span.at, span.bytes, &scan, NULL) == ERR_OK && scan.type == type &&
           scan.value.bytes == span.bytes;
}

bool json_text(struct json_span span, char *out, size_t room)
{
    return has_type(span, '"') && unescape((struct json_span){span.at + 1, span.bytes - 2}, out, room);
}

bool json_number(struct json_span span, double *value)
{
    if (!has_type(span, '0'))
        return false;
    char few[64], *end;
    char *digits = span.bytes < sizeof few ? few : malloc(span.bytes + 1); /* strtod needs the NUL */
    if (digits == NULL)
        return false;
    memcpy(digits, span.at, span.bytes);
    digits[span.bytes] = '\0';
    *value = strtod(digits, &end);
    bool whole = end == digits + span.bytes; /* false under a locale with a decimal comma */
    if (digits != few)
        free(digits);
    return whole && isfinite(*value);
}

static bool only_digits(struct json_span span, int64_t *value)
{
    bool negative = span.at[0] == '-';
    int64_t sum = 0; /* kept negative: INT64_MIN has no positive counterpart */
    for (size_t i = negative; i < span.bytes; i++) {
        int digit = span.at[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit, &sum))
            return false;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *value = negative ? sum : -sum;
    return true;
}

bool json_int(struct json_span span, int64_t *value)
{
    const double exact =
        9007199254740992.0; /* 2^53: beyond it a double may stand for more than one integer */
    double real;
    if (!has_type(span, '0'))
        return false;
    if (only_digits(span, value))
        return true;
    if (!json_number(span, &real) || real < -exact || real > exact || real != (double)(int64_t)real)
        return false;
    *value = (int64_t)real;
    return true;
}
