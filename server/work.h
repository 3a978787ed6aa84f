/* What goes back and forth between HTTP loops, dispatcher and committer: one struct, one owner at a time.
 *
 *     SUBMIT   HTTP ─▶ committer (insert) ─▶ dispatcher (slot, or cold)
 *     CANCEL   HTTP ─▶ dispatcher ─▶ (no slot) committer ─▶ dispatcher
 *     LAND     dispatcher (a verdict) ─▶ committer (commit) ─▶ dispatcher (free or requeue the slot)
 *     DUE      dispatcher ─▶ committer (retrying → queued) ─▶ dispatcher (slots, or cold)
 *     LOAD     dispatcher ─▶ committer (read cold rows) ─▶ dispatcher (slots)
 *     SWEEP    checkpointer ─▶ committer
 *     RETRY    HTTP ─▶ dispatcher ─▶ (no slot) committer (finished → queued) ─▶ dispatcher (slot, or cold)
 *     FORGET   HTTP ─▶ dispatcher ─▶ (no slot) committer (delete) ─▶ dispatcher
 *     RETAIN   checkpointer ─▶ committer (a batch of retention.h)
 *
 * Whoever holds it frees it with work_free or passes it on. Results come back with `err` set.
 */
#ifndef FORKPOOL_WORK_H
#define FORKPOOL_WORK_H

#include "front.h"
#include "inbox.h"
#include "store.h"

enum work_kind {
    WORK_SUBMIT,
    WORK_CANCEL,
    WORK_LAND,
    WORK_DUE,
    WORK_LOAD,
    WORK_SWEEP,
    WORK_RETRY,
    WORK_FORGET,
    WORK_RETAIN
};

enum { WORK_BATCH = 512 };

struct work {
    struct inbox_node node; /* first, so that a node is a work */
    enum work_kind kind;
    enum err err;
    struct errand *errand; /* SUBMIT, CANCEL, RETRY, FORGET: borrowed until its notify; NULL: nobody waits */
    struct id id;          /* CANCEL, RETRY, FORGET */
    bool answered;         /* RETRY, FORGET: it has been to the store, err is its answer */
    struct retain *retain; /* RETAIN: borrowed until its `done` */
    bool ask_only;         /* CANCEL: the job runs and was told; the store is to remember it */
    struct job *job;       /* SUBMIT, LAND, and RETRY from the store: a reference */
    struct work *parked;   /* CANCEL, RETRY, FORGET: the next one waiting for the same slot */

    uint32_t slot; /* LAND */
    bool keep_attempt;
    union {
        struct store_submit submit;
        struct store_land land;
        struct store_cancel cancel;
        struct store_retry retry;
        struct store_past past;
    } op;

    unsigned priority;   /* LOAD */
    int64_t after;       /* LOAD: rows with seq > after; then the last seq seen */
    size_t limit, count; /* LOAD, DUE */
    bool more;           /* LOAD: the store holds further rows of this priority */
    int64_t next_ms;     /* DUE */
    struct job **jobs;   /* LOAD, DUE: owned, [limit] */
};

struct work *work_new(enum work_kind kind); /* NULL without memory */
void work_free(struct work *work);          /* with its job reference and jobs */

#endif
