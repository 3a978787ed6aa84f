/* What the dispatcher says about what waits: why a job does not run, where a queue stands. Plain data, filled
 * by the dispatcher's thread, written out by the HTTP side. */
#ifndef FORKPOOL_WHY_H
#define FORKPOOL_WHY_H

#include "job.h"
#include "limit.h"

#include <stddef.h>

/* name, code, sentence. Several may hold at once; the first that does is the answer. */
#define REASONS(R)                                                                                           \
    R(SERVER_PAUSED, "server_paused", "everything is paused")                                                \
    R(SERVER_STOPPING, "server_stopping", "the server is shutting down")                                     \
    R(QUEUE_PAUSED, "queue_paused", "its queue is paused")                                                   \
    R(TASK_PAUSED, "task_paused", "its task is paused")                                                      \
    R(QUEUE_CONCURRENCY, "queue_concurrency", "as many jobs of its queue run as may at a time")              \
    R(TASK_CONCURRENCY, "task_concurrency", "as many jobs of its task run as may at a time")                 \
    R(KEY_CONCURRENCY, "key_concurrency", "as many jobs with its concurrency_key run as may at a time")      \
    R(QUEUE_RATE, "queue_rate", "its queue has used up its rate for now")                                    \
    R(TASK_RATE, "task_rate", "its task has used up its rate for now")                                       \
    R(KEY_RATE, "key_rate", "its concurrency_key has used up its rate for now")                              \
    R(NO_WORKER, "no_worker", "no worker of its pool is up")                                                 \
    R(BEHIND, "behind_others", "others stand before it in line")                                             \
    R(NEXT, "next", "it is next: it starts as soon as a worker is free")

enum reason {
#define R(name, code, sentence) REASON_##name,
    REASONS(R)
#undef R
        REASON_COUNT
};

const char *reason_code(enum reason reason);
const char *reason_sentence(enum reason reason);

/* Of one job that is queued, or about to be submitted. */
struct why {
    int64_t lane, seq;           /* in: as the stored job has them */
    bool holds[REASON_COUNT];    /* which reasons hold */
    int64_t limit[REASON_COUNT]; /* of the concurrency or rate reasons: the value of the limit */
    int64_t at_ms[REASON_COUNT]; /* of the rate reasons: when the next one may start, real time; else 0 */
    int64_t position;            /* 0: next; jobs of its queue that come before it */
    bool position_exact;
    double estimate_seconds; /* until it starts; < 0: unknown */
    char pool[NAME_BYTES];

    /* What the estimate, or that there is none, comes from: a pause, a limit, NO_WORKER; BEHIND: the workers
     * of its pool; NEXT: nothing, it starts at once. There so many run now, and so many go before it. */
    enum reason slowest;
    int64_t running, before;
};

/* How a queue stood when a job asked for a place in it. */
struct admission {
    int64_t depth, max_depth;      /* how many wait in it, and may; max_depth −1: any */
    bool queue_paused, all_paused; /* nothing of it starts */
    bool queue_closed, all_closed; /* it, or everything, is being drained */
    int64_t retry_after_s;         /* if it was refused: by the measured rate at which its jobs start */
};

/* Of one queue, or of one task (which has no depth of its own: waiting −1). */
struct lane_view {
    char name[NAME_BYTES], pool[NAME_BYTES];
    struct limits limits; /* in force */
    struct limits set;    /* by request */
    int64_t waiting;      /* queued, not yet handed to a worker */
    int64_t in_flight;    /* handed to workers: running, or about to */
    int64_t oldest_ms;    /* created_ms of the oldest that waits; 0: none */
    double starts_per_second;
    bool holds[REASON_COUNT];
};

#endif
