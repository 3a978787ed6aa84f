/* Small JSON arguments without a library: finds a member of the top-level object.
 *
 * The server has checked the text before it is submitted, so what is read here is valid JSON; still, no
 * function reads past the end. If a name stands twice, the first counts.
 *
 *     char path[4096];
 *     switch (args_string(args, bytes, "path", path, sizeof path)) {
 *     case ARGS_OK: …   case ARGS_ABSENT: …   case ARGS_WRONG: …   (another type, too long, or holding a NUL)
 *     }
 */
#ifndef FORKPOOL_ARGS_H
#define FORKPOOL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum args_found { ARGS_OK, ARGS_ABSENT, ARGS_WRONG };

struct args_text {
    const char *at, *end;
};

static inline void args_skip_blank(struct args_text *text)
{
    while (text->at < text->end && strchr(" \t\r\n", *text->at) != NULL && *text->at != '\0')
        text->at++;
}

/* From an opening quote to behind the closing one. */
static inline void args_skip_string(struct args_text *text)
{
    text->at++;
    while (text->at < text->end && *text->at != '"')
        text->at += *text->at == '\\' ? 2 : 1;
    text->at = text->at < text->end ? text->at + 1 : text->end;
}

/* Over one value of any type, up to the comma or bracket behind it. */
static inline void args_skip_value(struct args_text *text)
{
    int depth = 0;
    while (text->at < text->end) {
        char byte = *text->at;
        if (depth == 0 && (byte == ',' || byte == '}' || byte == ']'))
            return;
        depth += (byte == '{' || byte == '[') - (byte == '}' || byte == ']');
        if (byte == '"')
            args_skip_string(text);
        else
            text->at++;
    }
}

static inline unsigned args_hex4(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned char)at[i];
        value = value << 4 | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static inline size_t args_put_utf8(unsigned code, char out[4])
{
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes == 1) {
        out[0] = (char)code;
        return 1;
    }
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> bytes & 0xff) | code);
    return bytes;
}

/* One escape at text->at, a backslash; returns how many bytes it put into out, 0 if it is cut off. */
static inline size_t args_unescape(struct args_text *text, char out[4])
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (text->end - text->at < 2)
        return 0;
    if (text->at[1] != 'u') {
        const char *letter = strchr(letters, text->at[1]);
        out[0] = letter != NULL && *letter != '\0' ? meanings[letter - letters] : text->at[1];
        text->at += 2;
        return 1;
    }
    if (text->end - text->at < 6)
        return 0;
    unsigned code = args_hex4(text->at + 2);
    text->at += 6;
    if (code >= 0xd800 && code <= 0xdbff && text->end - text->at >= 6 && text->at[0] == '\\') {
        code = 0x10000 + ((code - 0xd800) << 10) + (args_hex4(text->at + 2) - 0xdc00);
        text->at += 6;
    }
    return args_put_utf8(code & 0x1fffff, out);
}

/* The string at text->at, unescaped and NUL-terminated. */
static inline enum args_found args_read_string(struct args_text text, char *out, size_t room)
{
    size_t used = 0;
    if (text.at >= text.end || *text.at != '"')
        return ARGS_WRONG;
    for (text.at++; text.at < text.end && *text.at != '"';) {
        char bytes[4] = {*text.at};
        size_t count = 1;
        if (*text.at == '\\')
            count = args_unescape(&text, bytes);
        else
            text.at++;
        if (count == 0 || bytes[0] == '\0' || count >= room - used)
            return ARGS_WRONG;
        memcpy(out + used, bytes, count);
        used += count;
    }
    out[used] = '\0';
    return ARGS_OK;
}

/* Moves *text to the value of a member. */
static inline enum args_found args_find(struct args_text *text, const char *name)
{
    char key[64];
    args_skip_blank(text);
    if (text->at >= text->end || *text->at != '{')
        return ARGS_ABSENT;
    while (text->at < text->end && *text->at != '}') {
        text->at++; /* the opening bracket, later the comma */
        args_skip_blank(text);
        bool found = args_read_string(*text, key, sizeof key) == ARGS_OK && strcmp(key, name) == 0;
        if (text->at >= text->end || *text->at != '"')
            return ARGS_ABSENT;
        args_skip_string(text);
        args_skip_blank(text);
        if (text->at < text->end) /* the colon */
            text->at++;
        args_skip_blank(text);
        if (found)
            return ARGS_OK;
        args_skip_value(text);
    }
    return ARGS_ABSENT;
}

static inline enum args_found args_string(const char *args, size_t bytes, const char *name, char *out,
                                          size_t room)
{
    struct args_text text = {args, args + bytes};
    enum args_found found = args_find(&text, name);
    return found == ARGS_OK ? args_read_string(text, out, room) : found;
}

static inline enum args_found args_number(const char *args, size_t bytes, const char *name, double *value)
{
    struct args_text text = {args, args + bytes};
    char digits[64] = "", *end;
    enum args_found found = args_find(&text, name);
    if (found != ARGS_OK)
        return found;
    for (size_t i = 0;
         i < sizeof digits - 1 && text.at < text.end && strchr("+-.0123456789eE", *text.at) != NULL; i++)
        digits[i] = *text.at++;
    *value = strtod(digits, &end);
    return end != digits && *end == '\0' && *value - *value == 0 ? ARGS_OK
                                                                 : ARGS_WRONG; /* the last: it is finite */
}

static inline enum args_found args_bool(const char *args, size_t bytes, const char *name, bool *value)
{
    struct args_text text = {args, args + bytes};
    enum args_found found = args_find(&text, name);
    if (found != ARGS_OK)
        return found;
    size_t left = (size_t)(text.end - text.at);
    *value = left >= 4 && memcmp(text.at, "true", 4) == 0;
    return *value || (left >= 5 && memcmp(text.at, "false", 5) == 0) ? ARGS_OK : ARGS_WRONG;
}

#endif
