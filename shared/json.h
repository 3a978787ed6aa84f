/* JSON text (RFC 8259), checked and cut without copying it.
 *
 * One scan checks grammar, UTF-8 and depth and notes where each member of the top-level object lies; where it
 * cannot be sure of duplicate keys and the range of numbers, jansson is asked, too. What a user sent is kept
 * as text, so no number is ever rounded. Reentrant; callable from any process. Spans borrow the scanned text.
 */
#ifndef FORKPOOL_JSON_H
#define FORKPOOL_JSON_H

#include "buf.h"
#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_MAX_DEPTH = 64, JSON_MAX_MEMBERS = 64 };

struct json_span {
    const char *at; /* borrowed; NULL when absent */
    size_t bytes;
};

struct json_member {
    struct json_span key;   /* the bytes between the quotes, escapes not resolved */
    struct json_span value; /* the value's text without surrounding white space */
};

/* What a scan found. members are filled only if the value is an object; more than JSON_MAX_MEMBERS top-level
 * members are scanned and counted, but not noted. */
struct json_scan {
    struct json_span value;
    char type;   /* '{' '[' '"' '0' (a number) 't' 'f' 'n' */
    bool unsure; /* keys that may be the same, or numbers that may be too large: see json_check */
    size_t member_count;
    struct json_member members[JSON_MAX_MEMBERS];
};

/* Where and why a text is not acceptable. `at` is the start of the offending token. */
struct json_fault {
    enum err err;
    size_t at;           /* byte offset */
    size_t line, column; /* from 1; columns count characters, not bytes */
    char what[160];      /* one sentence, no full stop: "a comma or } is missing" */
};

/* Scans exactly one value, white space around it allowed. scan and fault may be NULL. The members of a nested
 * object are had by scanning its span. Errors: ERR_INVALID_JSON, ERR_INVALID_UTF8, ERR_TOO_DEEP. Stricter
 * than the RFC where it leaves a choice: an escaped half of a surrogate pair is refused, and so is \u0000 in
 * a key. */
enum err json_scan(const char *text, size_t bytes, struct json_scan *scan, struct json_fault *fault) MUST_USE;

/* Also ERR_DUPLICATE_KEY (at any depth), ERR_NUMBER_RANGE and ERR_NO_MEMORY: what jansson says where the scan
 * is unsure (escaped keys, objects with many members, numbers with exponents or hundreds of digits). */
enum err json_check(const char *text, size_t bytes, struct json_scan *scan,
                    struct json_fault *fault) MUST_USE;

/* Fills the fault (NULL: not) for the byte at `at`, finding its line and column, and returns err. */
enum err json_refuse(struct json_fault *fault, enum err err, const char *text, size_t at, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));

/* Two lines, the last without line break: the offending line cut to 72 characters around the fault, made
 * printable, and a caret under its place. */
void json_excerpt(const char *text, size_t bytes, const struct json_fault *fault, struct buf *out);

/* The number of bytes of the valid UTF-8 character at text (RFC 3629: no overlong forms, no surrogates),
 * or 0. */
size_t json_utf8_length(const char *text, size_t bytes);

/* Keys as a scan notes them: is it this text once unescaped? And the unescaped text, as json_text gives it.
 */
bool json_key_is(struct json_span key, const char *text);
bool json_key(struct json_span key, char *out, size_t room);

/* Values of scalar spans (json_string is a name of jansson's). Strings are unescaped into `out`
 * (NUL-terminated); false if not a string, it does not fit, or it holds a NUL. Numbers: false if not a number
 * in range (or, for json_int, not a whole one: 5, 5.0 and 5e0 are). */
bool json_text(struct json_span span, char *out, size_t room);
bool json_number(struct json_span span, double *value);
bool json_int(struct json_span span, int64_t *value);

#endif
