/* Why a text is not JSON, in words that help whoever wrote it. Off the hot path, so it may search. */
#include "json_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

enum err json_refuse_scan(const struct scanner *s, const unsigned char *at, const char *format, ...)
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
        return json_refuse_scan(s, last, "the body is empty");
    return json_refuse_scan(s, last, "the text ends early: %s", expected);
}

__attribute__((cold)) static enum err refuse_beyond_ascii(const struct scanner *s, const char *expected)
{
    size_t length = json_utf8_length((const char *)s->at, (size_t)(s->end - s->at));
    if (length == 0)
        return refuse_utf8(s, s->at);
    unsigned code = code_point(s->at, length);
    if (code == 0xfeff && s->at == s->start)
        return json_refuse_scan(s, s->at, "the text begins with a byte order mark (U+FEFF); send it without");
    if (code >= 0x2018 && code <= 0x201f)
        return json_refuse_scan(s, s->at,
                                "typographic quotes are not JSON; strings stand in plain double quotes");
    if (code == 0xa0 || code == 0x3000 || code == 0xfeff || (code >= 0x2000 && code <= 0x200b))
        return json_refuse_scan(s, s->at, "the character U+%04X is not white space in JSON", code);
    return json_refuse_scan(s, s->at, "%s", expected);
}

/* What stands at s->at cannot stand there: the habits of other languages first, then what was expected. */
enum err json_refuse_token(const struct scanner *s, const char *expected)
{
    int byte = peek(s), next = s->end - s->at > 1 ? s->at[1] : END;
    if (byte == END)
        return refuse_end(s, expected);
    if (byte == '#' || (byte == '/' && (next == '/' || next == '*')))
        return json_refuse_scan(s, s->at, "comments are not allowed in JSON");
    if (byte == '\'' || byte == '`')
        return json_refuse_scan(s, s->at, "strings stand in double quotes, not in %s",
                                byte == '`' ? "backquotes" : "single quotes");
    if (byte == '\0')
        return json_refuse_scan(s, s->at, "a NUL byte cannot stand in JSON; perhaps the text is UTF-16");
    if (byte < 0x20 || byte == 0x7f)
        return json_refuse_scan(s, s->at, "control character 0x%02x is not white space in JSON",
                                (unsigned)byte);
    if (byte >= 0x80)
        return refuse_beyond_ascii(s, expected);
    return json_refuse_scan(s, s->at, "%s", expected);
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

enum err json_refuse_word(const struct scanner *s)
{
    char word[WORD_BYTES];
    copy_word(s->at, s->end, word);
    const char *json = translate(word);
    if (json == NULL)
        return json_refuse_scan(s, s->at, "%s is not a JSON value; a string needs double quotes", word);
    if (json[0] == '\0')
        return json_refuse_scan(s, s->at, "%s is not a JSON number; send null or a string", word);
    return json_refuse_scan(s, s->at, "%s must be written %s", word, json);
}

enum err json_refuse_value(const struct scanner *s)
{
    int byte = peek(s);
    if (is_word(byte))
        return json_refuse_word(s);
    if (byte == '+')
        return json_refuse_scan(s, s->at, "a number may not begin with +");
    if (byte == '.')
        return json_refuse_scan(s, s->at, "a number needs a digit before its point");
    if (byte == ',' || byte == ']' || byte == '}' || byte == ':')
        return json_refuse_scan(s, s->at, "a value is missing before %c", byte);
    if (byte > ' ' && byte < 0x7f && strchr("#/'`", byte) == NULL)
        return json_refuse_scan(s, s->at, "a value cannot begin with %c", byte);
    return json_refuse_token(s,
                             byte == END ? "a value is missing" : "a value cannot begin with this character");
}

enum err json_refuse_key(const struct scanner *s)
{
    char word[WORD_BYTES];
    int byte = peek(s);
    if (is_digit(byte) || byte == '-' || byte == '{' || byte == '[')
        return json_refuse_scan(s, s->at, "a member's name must be a string in double quotes");
    if (byte == ',' || byte == ':')
        return json_refuse_scan(s, s->at, "a member's name is missing before %c", byte);
    if (!is_word(byte))
        return json_refuse_token(s, "a member's name in double quotes or } is missing");
    copy_word(s->at, s->end, word);
    return json_refuse_scan(s, s->at, "the member's name %s needs double quotes", word);
}

enum err json_refuse_number(const struct scanner *s)
{
    const unsigned char *at = s->at + (*s->at == '-');
    int first = at < s->end ? *at : END, second = s->end - at > 1 ? at[1] : END;
    char word[WORD_BYTES];
    copy_word(at, s->end, word);
    const char *json = translate(word);
    if (json != NULL && json[0] == '\0')
        return json_refuse_scan(s, s->at, "-%s is not a JSON number; send null or a string", word);
    if (!is_digit(first))
        return json_refuse_scan(s, s->at, "a minus sign must be followed by a digit");
    if (first == '0' && is_digit(second))
        return json_refuse_scan(s, s->at, "a number may not begin with a needless 0");
    if (first == '0' && (second == 'x' || second == 'X'))
        return json_refuse_scan(s, s->at, "hexadecimal numbers are not JSON");
    while (at < s->end && is_digit(*at))
        at++;
    if (at < s->end && *at == '.' && (at + 1 == s->end || !is_digit(at[1])))
        return json_refuse_scan(s, s->at, "a number needs a digit after its point");
    while (at < s->end && (is_digit(*at) || *at == '.'))
        at++;
    if (at < s->end && (*at == 'e' || *at == 'E'))
        return json_refuse_scan(s, s->at, "a number's exponent needs digits, and nothing after them");
    return json_refuse_scan(s, s->at, "a number may hold only digits, one point and an exponent");
}

enum err json_refuse_in_string(const struct scanner *s, const unsigned char *string)
{
    int byte = peek(s);
    if (byte == END)
        return json_refuse_scan(s, string, "the closing quote of this string is missing");
    if (byte == '\n' || byte == '\r')
        return json_refuse_scan(
            s, s->at, "a line break in a string must be written \\n, or the closing quote is missing");
    if (byte == '\t')
        return json_refuse_scan(s, s->at, "a tab in a string must be written \\t");
    if (byte < 0x20)
        return json_refuse_scan(s, s->at, "control character 0x%02x in a string must be written \\u%04x",
                                (unsigned)byte, (unsigned)byte);
    return refuse_utf8(s, s->at);
}
