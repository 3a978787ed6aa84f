/* A growing byte buffer, and JSON written into it without building a tree.
 *
 * Used by one thread at a time. The buffer owns its bytes until buf_take hands them over. A failed allocation
 * marks the buffer as failed and later writes do nothing, so a writer checks once, at the end:
 *
 *     struct buf out = {0};
 *     buf_put(&out, "{\"id\":");  buf_put_json(&out, id, strlen(id));  buf_put(&out, "}");
 *     if (out.failed) return ERR_NO_MEMORY;
 */
#ifndef FORKPOOL_BUF_H
#define FORKPOOL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* owned; not NUL-terminated */
    size_t bytes, room;
    bool failed;
};

void buf_fini(struct buf *buf);
#define BUF_AUTO __attribute__((cleanup(buf_fini))) struct buf

/* Room for `bytes` more at the end: the place to write to, or NULL (and failed). Advance buf->bytes yourself.
 */
char *buf_reserve(struct buf *buf, size_t bytes);
void buf_add_growing(struct buf *buf, const void *data, size_t bytes); /* what buf_add does without room */

static inline void buf_add(struct buf *buf, const void *data, size_t bytes)
{
    if (buf->failed || bytes > buf->room - buf->bytes) {
        buf_add_growing(buf, data, bytes);
    } else if (bytes > 0) {
        memcpy(buf->data + buf->bytes, data, bytes);
        buf->bytes += bytes;
    }
}

static inline void buf_put(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_int(struct buf *buf, int64_t value);
/* Seconds from milliseconds, as a JSON number without needless zeros: 1500 → 1.5 */
void buf_put_seconds(struct buf *buf, int64_t ms);
/* RFC 3339 text in quotes. */
void buf_put_time(struct buf *buf, int64_t real_ms);
/* A JSON string, with quotes and escapes; bytes that are not UTF-8 become U+FFFD. */
void buf_put_json(struct buf *buf, const char *text, size_t bytes);

/* Hands the bytes, NUL-terminated, over to the caller (takes ownership, free()); NULL if failed. */
char *buf_take(struct buf *buf, size_t *bytes);

#endif
