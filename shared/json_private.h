/* What the files of json share: the scanner, and what it says when it refuses. */
#ifndef FORKPOOL_JSON_PRIVATE_H
#define FORKPOOL_JSON_PRIVATE_H

#include "json.h"

struct scanner {
    const unsigned char *start, *at, *end;
    unsigned depth;
    bool unsure;
    struct json_scan *scan;   /* or NULL */
    struct json_fault *fault; /* or NULL */
};

enum { END = -1 };

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

/* json_refuse.c: what stands at s->at, or at `at`, cannot stand there. */
enum err json_refuse_in_string(const struct scanner *s, const unsigned char *string) __attribute__((cold));
enum err json_refuse_number(const struct scanner *s) __attribute__((cold));
enum err json_refuse_value(const struct scanner *s) __attribute__((cold));
enum err json_refuse_token(const struct scanner *s, const char *expected) __attribute__((cold));
enum err json_refuse_word(const struct scanner *s) __attribute__((cold));
enum err json_refuse_key(const struct scanner *s) __attribute__((cold));
enum err json_refuse_scan(const struct scanner *s, const unsigned char *at, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

#endif
