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
 *     EXPIRED  dispatcher ─▶ committer (ids of what was not started in time) ─▶ dispatcher (a CANCEL each)
 *     PATCH    HTTP ─▶ dispatcher (out of its slot) ─▶ committer ─▶ dispatcher (slot, or cold)
 *     SET      HTTP ─▶ dispatcher ─▶ committer (kept) ─▶ dispatcher (in force)
 *     LOOK     HTTP ─▶ dispatcher
 *     BULK     HTTP ─▶ committer (all of it, a transaction of its own) ─▶ dispatcher (slots, or cold)
 *     REPLACE  a SUBMIT that found its uniqueness key held, to be replaced: committer ─▶ dispatcher (that job
 *              out of its slot) ─▶ committer (ends it, inserts the new one) ─▶ dispatcher
 *     RELEASE  dispatcher ─▶ committer (who waited for jobs that have ended) ─▶ dispatcher (slots, or cold)
 *     FIRE     dispatcher (a schedule is due) ─▶ committer (job, and how far the schedule is) ─▶ dispatcher
 *     SCHEDULE HTTP ─▶ dispatcher ─▶ committer (kept) ─▶ dispatcher (in force)
 *
 * Whoever holds it frees it with work_free or passes it on. Results come back with `err` set.
 */
#ifndef FORKPOOL_WORK_H
#define FORKPOOL_WORK_H

#include "front.h"
#include "inbox.h"
#include "limit.h"
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
    WORK_RETAIN,
    WORK_EXPIRED,
    WORK_PATCH,
    WORK_SET,
    WORK_LOOK,
    WORK_BULK,
    WORK_REPLACE,
    WORK_RELEASE,
    WORK_FIRE,
    WORK_SCHEDULE
};

struct lane;

enum { WORK_BATCH = 512 };

struct work {
    struct inbox_node node; /* first, so that a node is a work */
    enum work_kind kind;
    enum err err;
    struct errand *errand;    /* borrowed until its notify; NULL: nobody waits */
    struct id id;             /* CANCEL, RETRY, FORGET, PATCH; REPLACE: the job that is to give way */
    bool answered;            /* it has been to the store, err is its answer */
    struct retain *retain;    /* RETAIN: borrowed until its `done` */
    enum store_ending ending; /* CANCEL: what is asked of the store, and why */
    struct job *job;     /* SUBMIT, LAND, REPLACE, FIRE; and what CANCEL, PATCH, RETRY got from the store: a
                            reference */
    struct work *parked; /* the next one that waits for the same: a slot, a load, its turn (SET, SCHEDULE) */

    struct work *way; /* PATCH, RETRY, REPLACE: the next one that the committer has */

    uint32_t slot; /* LAND */
    bool keep_attempt;
    union {
        struct store_submit submit;
        struct store_land land;
        struct store_end end;
        struct store_patch patch;
        struct store_retry retry;
        struct store_past past;
        struct {
            struct store_submit submit;
            struct store_end end;
        } replace;
    } op;

    struct store_load *loads; /* LOAD: owned, [load_count] */
    struct lane **lanes;      /* LOAD: owned, [load_count]; the dispatcher's */
    size_t load_count;
    size_t limit, count;        /* DUE, RELEASE; count: of the jobs, also of a LOAD or BULK */
    struct store_expiry expiry; /* EXPIRED */
    struct id *ids;             /* EXPIRED: owned, [limit]; SUBMIT, REPLACE: what the job waits for */
    struct limits limits;       /* SET: what is to be set from now on */
    int64_t next_ms;            /* DUE */
    struct job **jobs;          /* LOAD, DUE, RELEASE, BULK: owned, [limit] */
    struct job *replaced;       /* REPLACE: what the job `id` is now that it gave way; a reference, or NULL */
    struct fire *fire;          /* FIRE, SCHEDULE: owned (schedules.h) */
};

struct work *work_new(enum work_kind kind); /* NULL without memory */
void work_free(struct work *work);          /* with its job reference and jobs */
/* Frees it, then answers the request behind it, if there is one. */
void work_answer(struct work *work, enum err err);

#endif
