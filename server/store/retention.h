/* Retention: finished jobs, and results apart from their jobs, are deleted when their time is over.
 *
 * The checkpointer's thread looks for them, on a reader of its own, and unlinks the log files of jobs that
 * are gone; the committer deletes, a batch at a time, as a member of one of its groups. Batches are spaced so
 * that deleting takes a tenth of the committer's time at most.
 *
 *  1. Rows lie in the order in which jobs were created, and there is no index by their end. So a class, rows
 * of a kind that are kept equally long, is walked once from its low-water mark to the first row that is too
 * young to be over; the mark stays there, and the next walk goes on from it. Rows that were passed because
 * they ended late are met by a full walk now and then, which takes a tenth of the time at most.
 *  2. What the walk has seen is checked again by the delete itself: the job may have been run again.
 *  3. Classes take turns, a few steps of at most 5,000 rows each a turn, so none waits for another to be done
 * and the checkpointer gets back to its other work.
 *  4. At most one batch is on its way; it belongs to the committer until `done`.
 */
#ifndef FORKPOOL_RETENTION_H
#define FORKPOOL_RETENTION_H

#include "config.h"
#include "store.h"

#include <stdatomic.h>

struct committer;

enum { RETAIN_BATCH = 200 };

struct retain {
    struct store_past past[RETAIN_BATCH];
    struct store_debris gone[RETAIN_BATCH]; /* unlinked */
    size_t past_count, gone_count;
    bool results;     /* past: the results alone */
    int64_t spent_ns; /* of the committer's time */
    enum err err;
    _Atomic bool done;
};

/* name, state, what is deleted of it (true: the result), the setting, a task's own */
#define RETAINED(R)                                                                                          \
    R(SUCCEEDED, JOB_SUCCEEDED, false, jobs_retain_succeeded_ms, RETAIN_OWN(retain_succeeded_ms))            \
    R(FAILED, JOB_FAILED, false, jobs_retain_failed_ms, RETAIN_OWN(retain_failed_ms))                        \
    R(CANCELLED, JOB_CANCELLED, false, jobs_retain_failed_ms, RETAIN_OWN(retain_failed_ms))                  \
    R(RESULTS, JOB_SUCCEEDED, true, jobs_retain_results_ms, RETAIN_NO_OWN)

enum retained {
#define R(name, state, results, setting, own) RETAINED_##name,
    RETAINED(R)
#undef R
        RETAINED_COUNT
};

/* Rows of one kind that are kept equally long: those of a few tasks, or of all others. And how far they were
 * walked. */
struct retain_class {
    enum job_state state;
    bool results;
    int64_t kept_ms;                 /* never 0 */
    const char (*tasks)[NAME_BYTES]; /* sorted; the rules' */
    size_t task_count;               /* 0: of any task */
    bool but_these;
    int64_t mark;             /* the key up to which rows were looked at */
    int64_t next_ms, full_ms; /* monotonic: the next walk, the next full walk */
    bool full;                /* this walk began at the beginning, */
    int64_t full_since_ms;    /* then */
};

/* What is over when, by a configuration. */
struct retain_rules {
    char (*names)[NAME_BYTES]; /* owned */
    size_t name_count;
    struct retain_class *classes; /* owned: [count] */
    size_t count;
    size_t turn; /* whose it is */
};
enum err retain_rules_new(const struct config *config, struct retain_rules **rules) MUST_USE;
void retain_rules_free(struct retain_rules *rules);

struct retention {
    const struct config *config; /* of the start */
    struct committer *committer;
    struct store_reader *reader;          /* owned */
    struct retain_rules *rules;           /* owned */
    _Atomic(struct retain_rules *) fresh; /* owned: to be taken over on the next turn; or NULL */
    bool sent;                            /* the batch is on its way */
    int64_t rest_until_ms;
    struct retain batch;
};

enum err retention_init(struct retention *retention, const struct config *config,
                        struct committer *committer) MUST_USE;
void retention_fini(struct retention *retention);

/* Another thread, one at a time: from the next turn on the rules of that configuration hold. */
enum err retention_configure(struct retention *retention, const struct config *config) MUST_USE;

/* Checkpointer: one step; after how many milliseconds it wants the next one, at most `most_ms`. */
int64_t retention_turn(struct retention *retention, int64_t most_ms);

/* Committer: the batch within a group; and its outcome. */
enum err retention_run(struct store *store, struct retain *batch) MUST_USE;
void retention_done(struct retain *batch, enum err err);

#endif
