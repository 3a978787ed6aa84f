#include "json.h"

#include <string.h>

enum { WIDTH = 72, CONTEXT = WIDTH / 2 };

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The character at `at`, a stray byte counting as one. */
static size_t forward(const char *text, size_t bytes, size_t at)
{
    size_t length = json_utf8_length(text + at, bytes - at);
    return at + (length > 0 ? length : 1);
}

static size_t backward(const char *text, size_t bytes, size_t at)
{
    size_t lead = at - 1;
    while (lead > 0 && at - lead < 4 && is_continuation(text[lead]))
        lead--;
    return forward(text, bytes, lead) == at ? lead : at - 1;
}

static bool ends_line(const char *text, size_t bytes, size_t at)
{
    return at >= bytes || text[at] == '\n' || (text[at] == '\r' && (at + 1 == bytes || text[at + 1] == '\n'));
}

/* How many characters the line has on either side of the fault; one more than is ever shown is as good as
 * all, so that a line of megabytes costs no more than a short one. */
static size_t count_before(const char *text, size_t bytes, size_t at)
{
    size_t count = 0;
    for (; at > 0 && text[at - 1] != '\n' && count <= WIDTH; count++)
        at = backward(text, bytes, at);
    return count;
}

static size_t count_after(const char *text, size_t bytes, size_t at)
{
    size_t count = 0;
    for (; !ends_line(text, bytes, at) && count <= WIDTH; count++)
        at = forward(text, bytes, at);
    return count;
}

/* Controls and characters that take no cell, or steer the terminal, or reorder the line. */
static bool is_unprintable(const char *at, size_t length)
{
    static const unsigned char RANGES[][2][3] = {
        {{0xe2, 0x80, 0x8b}, {0xe2, 0x80, 0x8f}}, /* U+200B to U+200F: zero width, direction marks */
        {{0xe2, 0x80, 0xa8}, {0xe2, 0x80, 0xae}}, /* U+2028 to U+202E: separators, embeddings, overrides */
        {{0xe2, 0x81, 0xa0}, {0xe2, 0x81, 0xaf}}, /* U+2060 to U+206F: joiners, isolates */
        {{0xef, 0xbb, 0xbf}, {0xef, 0xbb, 0xbf}}, /* U+FEFF: the byte order mark */
    };
    if (length < 3)
        return length == 1 ? (unsigned char)at[0] >= 0x80 : at[0] == '\xc2' && (unsigned char)at[1] < 0xa0;
    for (size_t i = 0; length == 3 && i < sizeof RANGES / sizeof RANGES[0]; i++) {
        if (memcmp(at, RANGES[i][0], 3) >= 0 && memcmp(at, RANGES[i][1], 3) <= 0)
            return true;
    }
    return false;
}

/* One cell for each character, whatever the terminal would make of it: ASCII controls become their pictures.
 */
static void put_cell(struct buf *out, const char *at, size_t length)
{
    unsigned char byte = (unsigned char)at[0];
    if (byte == '\t')
        buf_put(out, " ");
    else if (byte < 0x20 || byte == 0x7f)
        buf_add(out, (char[]){'\xe2', '\x90', (char)(byte == 0x7f ? 0xa1 : 0x80 + byte)}, 3);
    else if (is_unprintable(at, length))
        buf_put(out, "\xef\xbf\xbd");
    else
        buf_add(out, at, length);
}

void json_excerpt(const char *text, size_t bytes, const struct json_fault *fault, struct buf *out)
{
    size_t place = fault->at < bytes ? fault->at : bytes;
    size_t before = count_before(text, bytes, place), after = count_after(text, bytes, place);
    size_t left = before < CONTEXT ? before : CONTEXT;
    if (after < WIDTH - left) /* a short end leaves room for more of the beginning */
        left = before < WIDTH - after ? before : WIDTH - after;
    size_t right = after < WIDTH - left ? after : WIDTH - left, at = place;
    for (size_t i = 0; i < left; i++)
        at = backward(text, bytes, at);
    for (size_t i = 0; i < left + right; i++) {
        size_t next = forward(text, bytes, at);
        bool cut = (i == 0 && left < before) || (i == left + right - 1 && right < after);
        if (cut)
            buf_put(out, "\xe2\x80\xa6"); /* … */
        else
            put_cell(out, text + at, next - at);
        at = next;
    }
    buf_put(out, "\n");
    for (size_t i = 0; i < left; i++)
        buf_put(out, " ");
    buf_put(out, "^");
}
