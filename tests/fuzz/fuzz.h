/* What the targets share: a claim that must hold, and an input that is eaten from the front.
 *
 * A target is one file with a LLVMFuzzerTestOneInput. It is a pure function of its input, as far as can be:
 * no threads, no clock in what it decides. Inputs are kept readable where they are text: parts end at a line
 * break.
 */
#ifndef FORKPOOL_TESTS_FUZZ_H
#define FORKPOOL_TESTS_FUZZ_H

#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A property that is broken ends the run; libFuzzer keeps the input. */
#define HOLDS(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s: ", __FILE__, __LINE__, #condition);                   \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct input {
    const uint8_t *data; /* borrowed */
    size_t bytes;
};

static inline uint8_t input_byte(struct input *input)
{
    if (input->bytes == 0)
        return 0;
    input->bytes--;
    return *input->data++;
}

static inline uint32_t input_u32(struct input *input)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | input_byte(input);
    return value;
}

static inline struct input input_take(struct input *input, size_t bytes)
{
    struct input part = {input->data, bytes < input->bytes ? bytes : input->bytes};
    input->data += part.bytes;
    input->bytes -= part.bytes;
    return part;
}

/* Up to a line break, which is passed, or to the end. */
static inline struct input input_line(struct input *input)
{
    const uint8_t *end = input->bytes > 0 ? memchr(input->data, '\n', input->bytes) : NULL;
    struct input line = input_take(input, end != NULL ? (size_t)(end - input->data) : input->bytes);
    (void)input_take(input, end != NULL);
    return line;
}

/* As a text of its own, so that reading behind its end is seen; the caller frees it. */
static inline char *input_text(struct input part)
{
    char *text = malloc(part.bytes + 1);
    HOLDS(text != NULL, "memory");
    if (part.bytes > 0)
        memcpy(text, part.data, part.bytes);
    text[part.bytes] = '\0';
    return text;
}

/* What is written as JSON must be JSON. */
static inline void holds_json(const char *what, const char *text, size_t bytes)
{
    struct json_fault fault;
    HOLDS(json_check(text, bytes, NULL, &fault) == ERR_OK, "%s is no JSON: %s at byte %zu: %.*s", what,
          fault.what, fault.at, (int)bytes, text);
}

static inline bool is_utf8(const char *text)
{
    size_t bytes = strlen(text);
    for (size_t at = 0, next; at < bytes; at += next) {
        next = json_utf8_length(text + at, bytes - at);
        if (next == 0)
            return false;
    }
    return true;
}

static inline void holds_utf8(const char *what, const char *text)
{
    HOLDS(is_utf8(text), "%s is no UTF-8: %s", what, text);
}

#endif
