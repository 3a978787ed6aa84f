/* Limits: what holds up the jobs of a queue or a task, and how much a queue takes. One table, from which the
 * settings in the file, the body of PATCH, its documents and what the store keeps derive.
 *
 * A value that is LIMIT_NOT_SET says nothing: then the weaker source counts (request > file > none). Numbers
 * are whole; a rate is packed by limit_rate. Reentrant.
 */
#ifndef FORKPOOL_LIMIT_H
#define FORKPOOL_LIMIT_H

#include "buf.h"
#include "err.h"
#include "json.h"
#include "rate.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_NOT_SET (-1)

enum { FOR_QUEUE = 1, FOR_TASK = 2 };

/* name, member of a document, kind, least, most, whom it is for, what would be right */
#define LIMITS(L)                                                                                            \
    L(PAUSED, "paused", BOOL, 0, 1, FOR_QUEUE | FOR_TASK, "true or false")                                   \
    L(DRAINING, "draining", BOOL, 0, 1, FOR_QUEUE, "true or false")                                          \
    L(WEIGHT, "weight", INT, 1, 1000, FOR_QUEUE, "a whole number from 1 to 1000")                            \
    L(CONCURRENCY, "concurrency", INT, 1, 1000000, FOR_QUEUE | FOR_TASK,                                     \
      "a whole number from 1 to 1000000, or null")                                                           \
    L(RATE, "rate", RATE, 0, 0, FOR_QUEUE | FOR_TASK,                                                        \
      "a rate of 1 to 1000000 in a time, such as \"10/s\", \"30/m\", \"5/10s\", or null")                    \
    L(BURST, "burst", INT, 1, 1000000, FOR_QUEUE | FOR_TASK, "a whole number from 1 to 1000000, or null")    \
    L(KEY_CONCURRENCY, "key_concurrency", INT, 1, 1000000, FOR_QUEUE | FOR_TASK,                             \
      "a whole number from 1 to 1000000, or null")                                                           \
    L(KEY_RATE, "key_rate", RATE, 0, 0, FOR_QUEUE | FOR_TASK,                                                \
      "a rate of 1 to 1000000 in a time, such as \"10/s\", \"30/m\", \"5/10s\", or null")                    \
    L(KEY_BURST, "key_burst", INT, 1, 1000000, FOR_QUEUE | FOR_TASK,                                         \
      "a whole number from 1 to 1000000, or null")                                                           \
    L(MAX_DEPTH, "max_depth", INT, 1, 1000000000, FOR_QUEUE, "a whole number from 1 to 1000000000, or null")

enum limit {
#define L(name, member, kind, least, most, whom, right) LIMIT_##name,
    LIMITS(L)
#undef L
        LIMIT_COUNT
};

struct limits {
    int64_t values[LIMIT_COUNT];
};

struct limits limits_none(void);
/* Each value of `over` that is set, else that of `under`. */
struct limits limits_join(const struct limits *over, const struct limits *under);

const char *limit_member(enum limit limit);
/* What would be right, for refusals. */
const char *limit_right(enum limit limit);
bool limit_is_for(enum limit limit, unsigned whom);

/* A value from JSON; null: LIMIT_NOT_SET. False if it is not one that the limit may have. */
bool limit_read(enum limit limit, struct json_span span, int64_t *value);
/* Appends the value as JSON; null if it is not set. */
void limit_put(struct buf *out, enum limit limit, int64_t value);

/* As the store keeps them: an object with the values that are set. Members that are not known are left out.
 */
void limits_write(struct buf *out, const struct limits *limits);
/* Those that are `given` alone, also as null. */
void limits_write_given(struct buf *out, const struct limits *limits, const bool given[LIMIT_COUNT]);
struct limits limits_read(struct json_span object);

/* A rate as one number; LIMIT_NOT_SET if none is set. */
int64_t limit_rate(struct rate rate);
/* Nanoseconds from one start to the next. */
int64_t limit_rate_interval_ns(int64_t rate);

#endif
