#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct scanner {
    const unsigned char *start, *at, *end;
    unsigned depth;
    bool unsure;
    struct json_scan *scan;   /* or NULL */
    struct json_fault *fault; /* or NULL */
};

/* Up to that many members and bytes of a number json_check needs no second opinion: a double has room for
 * numbers of 308 digits. */
enum { END = -1, SURE_MEMBERS = 16, SURE_BYTES = 300 };

static inline int peek(const struct scanner *s)
{
    return s->at < s->end ? *s->at : END;
}

static inline bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool is_word(int byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' ||
           byte == '$';
}

static inline bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

static inline void skip_space(struct scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

size_t json_utf8_length(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    if (bytes == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xe0)
        return at[0] >= 0xc2 && bytes >= 2 && is_continuation(at[1]) ? 2 : 0;
    if (bytes < 3 || !is_continuation(at[1]) || !is_continuation(at[2]))
        return 0;
    unsigned first = (unsigned)at[0] << 8 | at[1]; /* the lead byte narrows what its follower may be */
    if (at[0] < 0xf0)
        return first >= 0xe0a0 && (first < 0xeda0 || first >= 0xee80) ? 3 : 0;
    return first >= 0xf090 && first < 0xf490 && bytes >= 4 && is_continuation(at[3]) ? 4 : 0;
}

/* The code point of a character that json_utf8_length has found valid. */
static unsigned code_point(const unsigned char *at, size_t length)
{
    static const unsigned char LEAD_BITS[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned code = at[0] & LEAD_BITS[length];
    for (size_t i = 1; i < length; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

/* ------------------------------------------------------------------ faults: off the hot path, so they may
 * search */

static enum err fill_fault(struct json_fault *fault, enum err err, const char *text, size_t at,
                           const char *format, va_list list)
{
    if (fault == NULL)
        return err;
    *fault = (struct json_fault){.err = err, .at = at, .line = 1, .column = 1};
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            fault->line++;
            fault->column = 1;
        } else if (!is_continuation((unsigned char)text[i])) {
            fault->column++;
        }
    }
    vsnprintf(fault->what, sizeof fault->what, format, list);
    return err;
}

enum err json_refuse(struct json_fault *fault, enum err err, const char *text, size_t at, const char *format,
                     ...)
{
    va_list list;
    va_start(list, format);
    fill_fault(fault, err, text, at, format, list);
    va_end(list);
    return err;
}

__attribute__((cold, format(printf, 3, 4))) static enum err
refuse(const struct scanner *s, const unsigned char *at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fill_fault(s->fault, ERR_INVALID_JSON, (const char *)s->start, (size_t)(at - s->start), format, list);
    va_end(list);
    return ERR_INVALID_JSON;
}

/* Does the text stop before its last character is complete? */
static bool is_cut_off(const unsigned char *at, const unsigned char *end)
{
    for (const unsigned char *next = at + 1; next < end; next++) {
        if (!is_continuation(*next))
            return false;
    }
    return end - at < (*at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4);
}

__attribute__((cold)) static enum err refuse_utf8(const struct scanner *s, const unsigned char *at)
{
    unsigned first = at[0], next = s->end - at > 1 ? at[1] : 0;
    const char *what = "byte 0x%02x does not continue as UTF-8 does; perhaps the text is Latin-1";
    if (at == s->start && ((first == 0xff && next == 0xfe) || (first == 0xfe && next == 0xff)))
        what = "the text is UTF-16 (it begins with byte 0x%02x); send UTF-8";
    else if (first < 0xc0 || first > 0xf7)
        what = "byte 0x%02x begins no UTF-8 character; perhaps the text is Latin-1";
    else if (first < 0xc2 || (first == 0xe0 && next >= 0x80 && next < 0xa0) ||
             (first == 0xf0 && next >= 0x80 && next < 0x90))
        what = "the character that begins with byte 0x%02x is longer than UTF-8 allows (overlong)";
    else if (first == 0xed && next >= 0xa0 && next < 0xc0)
        what = "half of a surrogate pair (from byte 0x%02x on) is not UTF-8";
    else if (first > 0xf4 || (first == 0xf4 && next >= 0x90 && next < 0xc0))
        what = "the character that begins with byte 0x%02x lies beyond U+10FFFF";
    else if (is_cut_off(at, s->end))
        what = "the text ends inside the UTF-8 character that begins with byte 0x%02x";
    return json_refuse(s->fault, ERR_INVALID_UTF8, (const char *)s->start, (size_t)(at - s->start), what,
                       first);
}

__attribute__((cold)) static enum err refuse_end(const struct scanner *s, const char *expected)
{
    const unsigned char *last =
        s->end; /* the place after the last text, not after a file's final line break */
    while (last > s->start && memchr(" \n\r\t", last[-1], 4) != NULL)
        last--;
    if (last == s->start)
        return refuse(s, last, "the body is empty");
    return refuse(s, last, "the text ends early: %s", expected);
}

__attribute__((cold)) static enum err refuse_beyond_ascii(const struct scanner *s, const char *expected)
{
    size_t length = json_utf8_length((const char *)s->at, (size_t)(s->end - s->at));
    if (length == 0)
        return refuse_utf8(s, s->at);
    unsigned code = code_point(s->at, length);
    if (code == 0xfeff && s->at == s->start)
        return refuse(s, s->at, "the text begins with a byte order mark (U+FEFF); send it without");
    if (code >= 0x2018 && code <= 0x201f)
        return refuse(s, s->at, "typographic quotes are not JSON; strings stand in plain double quotes");
    if (code == 0xa0 || code == 0x3000 || code == 0xfeff || (code >= 0x2000 && code <= 0x200b))
        return refuse(s, s->at, "the character U+%04X is not white space in JSON", code);
    return refuse(s, s->at, "%s", expected);
}

/* What stands at s->at cannot stand there: the habits of other languages first, then what was expected. */
__attribute__((cold)) static enum err refuse_token(const struct scanner *s, const char *expected)
{
    int byte = peek(s), next = s->end - s->at > 1 ? s->at[1] : END;
    if (byte == END)
        return refuse_end(s, expected);
    if (byte == '#' || (byte == '/' && (next == '/' || next == '*')))
        return refuse(s, s->at, "comments are not allowed in JSON");
    if (byte == '\'' || byte == '`')
        return refuse(s, s->at, "strings stand in double quotes, not in %s",
                      byte == '`' ? "backquotes" : "single quotes");
    if (byte == '\0')
        return refuse(s, s->at, "a NUL byte cannot stand in JSON; perhaps the text is UTF-16");
    if (byte < 0x20 || byte == 0x7f)
        return refuse(s, s->at, "control character 0x%02x is not white space in JSON", (unsigned)byte);
    if (byte >= 0x80)
        return refuse_beyond_ascii(s, expected);
    return refuse(s, s->at, "%s", expected);
}

enum { WORD_BYTES = 33 };

static void copy_word(const unsigned char *at, const unsigned char *end, char word[WORD_BYTES])
{
    size_t bytes = 0;
    while (at < end && is_word(*at) && bytes < WORD_BYTES - 1)
        word[bytes++] = (char)*at++;
    word[bytes] = '\0';
}

/* NULL if the word is not one that other languages have for a JSON value; "" if JSON has none for it. */
static const char *translate(const char *word)
{
    static const char *const WORDS[][2] = {{"true", "true"}, {"false", "false"}, {"null", "null"},
                                           {"none", "null"}, {"nil", "null"},    {"undefined", "null"},
                                           {"nan", ""},      {"inf", ""},        {"infinity", ""}};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcasecmp(word, WORDS[i][0]) == 0)
            return WORDS[i][1];
    }
    return NULL;
}

__attribute__((cold)) static enum err refuse_word(const struct scanner *s)
{
    char word[WORD_BYTES];
    copy_word(s->at, s->end, word);
    const char *json = translate(word);
    if (json == NULL)
        return refuse(s, s->at, "%s is not a JSON value; a string needs double quotes", word);
    if (json[0] == '\0')
        return refuse(s, s->at, "%s is not a JSON number; send null or a string", word);
    return refuse(s, s->at, "%s must be written %s", word, json);
}

__attribute__((cold)) static enum err refuse_value(const struct scanner *s)
{
    int byte = peek(s);
    if (is_word(byte))
        return refuse_word(s);
    if (byte == '+')
        return refuse(s, s->at, "a number may not begin with +");
    if (byte == '.')
        return refuse(s, s->at, "a number needs a digit before its point");
    if (byte == ',' || byte == ']' || byte == '}' || byte == ':')
        return refuse(s, s->at, "a value is missing before %c", byte);
    if (byte > ' ' && byte < 0x7f && strchr("#/'`", byte) == NULL)
        return refuse(s, s->at, "a value cannot begin with %c", byte);
    return refuse_token(s, byte == END ? "a value is missing" : "a value cannot begin with this character");
}

__attribute__((cold)) static enum err refuse_key(const struct scanner *s)
{
    char word[WORD_BYTES];
    int byte = peek(s);
    if (is_digit(byte) || byte == '-' || byte == '{' || byte == '[')
        return refuse(s, s->at, "a member's name must be a string in double quotes");
    if (byte == ',' || byte == ':')
        return refuse(s, s->at, "a member's name is missing before %c", byte);
    if (!is_word(byte))
        return refuse_token(s, "a member's name in double quotes or } is missing");
    copy_word(s->at, s->end, word);
    return refuse(s, s->at, "the member's name %s needs double quotes", word);
}

__attribute__((cold)) static enum err refuse_number(const struct scanner *s)
{
    const unsigned char *at = s->at + (*s->at == '-');
    int first = at < s->end ? *at : END, second = s->end - at > 1 ? at[1] : END;
    char word[WORD_BYTES];
    copy_word(at, s->end, word);
    const char *json = translate(word);
    if (json != NULL && json[0] == '\0')
        return refuse(s, s->at, "-%s is not a JSON number; send null or a string", word);
    if (!is_digit(first))
        return refuse(s, s->at, "a minus sign must be followed by a digit");
    if (first == '0' && is_digit(second))
        return refuse(s, s->at, "a number may not begin with a needless 0");
    if (first == '0' && (second == 'x' || second == 'X'))
        return refuse(s, s->at, "hexadecimal numbers are not JSON");
    while (at < s->end && is_digit(*at))
        at++;
    if (at < s->end && *at == '.' && (at + 1 == s->end || !is_digit(at[1])))
        return refuse(s, s->at, "a number needs a digit after its point");
    while (at < s->end && (is_digit(*at) || *at == '.'))
        at++;
    if (at < s->end && (*at == 'e' || *at == 'E'))
        return refuse(s, s->at, "a number's exponent needs digits, and nothing after them");
    return refuse(s, s->at, "a number may hold only digits, one point and an exponent");
}

__attribute__((cold)) static enum err refuse_in_string(const struct scanner *s, const unsigned char *string)
{
    int byte = peek(s);
    if (byte == END)
        return refuse(s, string, "the closing quote of this string is missing");
    if (byte == '\n' || byte == '\r')
        return refuse(s, s->at,
                      "a line break in a string must be written \\n, or the closing quote is missing");
    if (byte == '\t')
        return refuse(s, s->at, "a tab in a string must be written \\t");
    if (byte < 0x20)
        return refuse(s, s->at, "control character 0x%02x in a string must be written \\u%04x",
                      (unsigned)byte, (unsigned)byte);
    return refuse_utf8(s, s->at);
}

/* ---------------------------------------------------------------------------------------------------- the
 * scan */

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
            return refuse(s, s->at,
                          letter > 0x20 && letter < 0x7f ? "\\%c is no escape; a backslash is written \\\\"
                                                         : "a backslash in a string is written \\\\",
                          letter);
        s->at += s->end - s->at > 1 ? 2 : 1;
        return ERR_OK;
    }
    size_t bytes;
    int code = unicode_escape(s->at, s->end, &bytes);
    if (code < 0)
        return refuse(s, s->at, "\\u needs four hexadecimal digits");
    if (code >= 0xd800 && code <= 0xdfff)
        return refuse(s, s->at, "\\u%04x is half of a surrogate pair; the %s half is missing", (unsigned)code,
                      code < 0xdc00 ? "second" : "first");
    if (code == 0 && is_key)
        return refuse(s, s->at, "a member's name may not hold \\u0000");
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
            return refuse_in_string(s, string);
        size_t length = json_utf8_length((const char *)s->at, (size_t)(s->end - s->at));
        if (length == 0)
            return refuse_in_string(s, string);
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
        return refuse_number(s);
    if (after - s->at > SURE_BYTES || has_exponent(s->at, after))
        s->unsure = true;
    s->at = after;
    return ERR_OK;
}

static enum err scan_literal(struct scanner *s, const char *literal, size_t bytes)
{
    size_t left = (size_t)(s->end - s->at);
    if (left < bytes || memcmp(s->at, literal, bytes) != 0 || (left > bytes && is_word(s->at[bytes])))
        return refuse_word(s);
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
        return refuse_key(s);
    const unsigned char *key = s->at;
    enum err err = scan_string(s, true);
    if (err != ERR_OK)
        return err;
    member->key = span_of(key + 1, s->at - 1);
    skip_space(s);
    if (peek(s) != ':')
        return refuse_token(s, "a colon is missing after the member's name");
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
        return refuse_token(s, close == '}' ? "a comma or } is missing" : "a comma or ] is missing");
    const unsigned char *comma = s->at++;
    *more = byte == ',';
    if (!*more)
        return ERR_OK;
    skip_space(s);
    return peek(s) == close ? refuse(s, comma, "the comma before %c is one too many", close) : ERR_OK;
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
        return byte == '-' || is_digit(byte) ? scan_number(s) : refuse_value(s);
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
    return s.at == s.end ? ERR_OK : refuse_token(&s, "more text follows the JSON value; only one is allowed");
}
