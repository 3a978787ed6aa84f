#include "json.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static size_t string_end(const char *text, size_t bytes, size_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at + 1;
}

/* The start of the token that holds the byte before `end`; jansson reports where it had read to. The scan has
 * accepted the text, so its tokens can be walked without judging them. */
static size_t token_start(const char *text, size_t bytes, size_t end)
{
    static const char SINGLE[] = " \t\r\n{}[]:,";
    size_t start = 0, at = 0;
    while (at < bytes && at < end) {
        start = at;
        if (text[at] == '"')
            at = string_end(text, bytes, at);
        else if (memchr(SINGLE, text[at], sizeof SINGLE - 1) != NULL)
            at++;
        else
            while (at < bytes && text[at] != '"' && memchr(SINGLE, text[at], sizeof SINGLE - 1) == NULL)
                at++;
    }
    return start;
}

/* How many bytes from start to end to show: not more than `most`, and no character cut. */
static int token_bytes(const char *text, size_t bytes, size_t start, size_t end, size_t most)
{
    size_t at = start;
    while (at < end && at < bytes) {
        size_t next = at + json_utf8_length(text + at, bytes - at);
        if (next == at || next - start > most)
            break;
        at = next;
    }
    return (int)(at - start);
}

static enum err explain(const char *text, size_t bytes, const json_error_t *error, struct json_fault *fault)
{
    size_t end = error->position > 0 ? (size_t)error->position : 0;
    size_t start = token_start(text, bytes, end);
    int shown = token_bytes(text, bytes, start, end, 80);
    const char *dots = start + (size_t)shown < end ? "\xe2\x80\xa6" : "";
    if (errno == ENOMEM)
        return json_refuse(fault, ERR_NO_MEMORY, text, start, "memory ran out while the text was checked");
    switch ((int)json_error_code(error)) {
    case json_error_duplicate_key:
        return json_refuse(fault, ERR_DUPLICATE_KEY, text, start, "this object already has a member %.*s%s",
                           shown, text + start, dots);
    case json_error_numeric_overflow:
        return json_refuse(fault, ERR_NUMBER_RANGE, text, start,
                           "the number %.*s%s is beyond the range of a double (1.8e308)", shown, text + start,
                           dots);
    default:
        return json_refuse(fault, ERR_INVALID_JSON, text, start, "%.*s",
                           token_bytes(error->text, strlen(error->text), 0, SIZE_MAX, 150), error->text);
    }
}

enum err json_check(const char *text, size_t bytes, struct json_scan *scan, struct json_fault *fault)
{
    struct json_scan own;
    if (scan == NULL)
        scan = &own;
    enum err err = json_scan(text, bytes, scan, fault);
    if (err != ERR_OK || !scan->unsure)
        return err;
    json_error_t error = {.position = 0};
    errno = 0; /* jansson calls a failed allocation a syntax error; only malloc's errno tells it from one */
    json_auto_t *json = json_loadb(
        text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL,
        &error);
    return json != NULL ? ERR_OK : explain(text, bytes, &error, fault);
}
