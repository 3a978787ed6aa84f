#include "buf.h"

#include "clock.h"
#include "json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

char *buf_reserve(struct buf *buf, size_t bytes)
{
    if (buf->failed || bytes > SIZE_MAX / 4 - buf->bytes) { /* doubling must not wrap around */
        buf->failed = true;
        return NULL;
    }
    if (buf->data == NULL || buf->room - buf->bytes < bytes) {
        size_t room = buf->room ? buf->room : 256;
        while (room - buf->bytes < bytes)
            room *= 2;
        char *data = realloc(buf->data, room);
        if (data == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->room = room;
    }
    return buf->data + buf->bytes;
}

void buf_add_growing(struct buf *buf, const void *data, size_t bytes)
{
    char *at = bytes > 0 ? buf_reserve(buf, bytes) : NULL;
    if (at != NULL) {
        memcpy(at, data, bytes);
        buf->bytes += bytes;
    }
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int bytes = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *at = buf_reserve(buf, bytes < 0 ? SIZE_MAX
                                          : (size_t)bytes + 1); /* a format that fails, fails the buffer */
    if (at != NULL) {
        vsnprintf(at, (size_t)bytes + 1, format, again);
        buf->bytes += (size_t)bytes;
    }
    va_end(again);
}

void buf_put_int(struct buf *buf, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        *--at = '-';
    buf_add(buf, at, (size_t)(digits + sizeof digits - at));
}

void buf_put_seconds(struct buf *buf, int64_t ms)
{
    if (ms < 0)
        buf_put(buf, "-");
    uint64_t positive = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    buf_put_int(buf, (int64_t)(positive / 1000));
    int rest = (int)(positive % 1000);
    if (rest == 0)
        return;
    char digits[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10)};
    size_t bytes = sizeof digits;
    while (digits[bytes - 1] == '0')
        bytes--;
    buf_add(buf, digits, bytes);
}

void buf_put_time(struct buf *buf, int64_t real_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_format(real_ms, text);
    buf_put(buf, "\"");
    buf_put(buf, text);
    buf_put(buf, "\"");
}

static void put_escape(struct buf *buf, unsigned char byte)
{
    switch (byte) {
    case '"':
        buf_put(buf, "\\\"");
        break;
    case '\\':
        buf_put(buf, "\\\\");
        break;
    case '\n':
        buf_put(buf, "\\n");
        break;
    case '\r':
        buf_put(buf, "\\r");
        break;
    case '\t':
        buf_put(buf, "\\t");
        break;
    default:
        buf_printf(buf, "\\u%04x", byte);
    }
}

void buf_put_json(struct buf *buf, const char *text, size_t bytes)
{
    buf_put(buf, "\"");
    size_t at = 0, run = 0; /* run: first byte not yet copied */
    while (at < bytes) {
        unsigned char byte = (unsigned char)text[at];
        size_t length = byte < 0x80 ? 1 : json_utf8_length(text + at, bytes - at);
        bool plain = length > 0 && byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f;
        if (plain) {
            at += length;
            continue;
        }
        buf_add(buf, text + run, at - run);
        if (length == 0)
            buf_put(buf, "\xef\xbf\xbd");
        else
            put_escape(buf, byte);
        run = ++at;
    }
    if (at > run)
        buf_add(buf, text + run, at - run);
    buf_put(buf, "\"");
}

char *buf_take(struct buf *buf, size_t *bytes)
{
    char *end = buf_reserve(buf, 1);
    if (end == NULL)
        return NULL;
    *end = '\0';
    char *data = buf->data;
    *bytes = buf->bytes;
    *buf = (struct buf){0};
    return data;
}
