/* The front, as the HTTP side sees it: submit, cancel, read, wait, look.
 *
 * Callable from any HTTP loop thread of the front process. Errands and waiters are answered by a callback on
 * a thread of the server (committer or dispatcher): it must only hand them to their loop and wake it.
 *
 * Way in:    front_submit ─▶ committer (durable) ─▶ dispatcher ─▶ notify after the commit (or, memory: once
 * HELD) Way back:  result committed ─▶ waiters of that id ─▶ notify with the finished job To wait without
 * missing the end: front_wait first, then submit or read; if it is terminal already, front_unwait.
 */
#ifndef FORKPOOL_FRONT_H
#define FORKPOOL_FRONT_H

#include "access.h"
#include "blackbox.h"
#include "catalogue.h"
#include "config.h"
#include "inbox.h"
#include "job.h"
#include "limit.h"
#include "metrics.h"
#include "schedules.h"
#include "scoreboard.h"
#include "store.h"
#include "why.h"

struct front;

enum errand_kind {
    ERRAND_SUBMIT,
    ERRAND_CANCEL,
    ERRAND_RETRY,
    ERRAND_FORGET,
    ERRAND_PATCH,
    ERRAND_SET,  /* limits of a queue or a task, or of the whole */
    ERRAND_LOOK, /* at what only the dispatcher knows */
    ERRAND_BULK,
    ERRAND_SCHEDULE
};

/* ERRAND_BULK: the jobs of one request, in its order. Lent to the server until notify. A line whose err is
 * not ERR_OK already is left out. Atomic: either all are inserted, or none, and `failed` is the first that
 * could not be (errand.err is then that line's). Else each line has its own err, as of ERRAND_SUBMIT. `batch`
 * is made with the jobs (those that wait for it come last) unless it is zero or all of them stood already.
 * Jobs of durability memory are not taken. */
struct bulk_line {
    struct job *job; /* a reference; NULL: the line was refused before */
    enum err err;
    enum err otherwise; /* as of an errand */
    bool replayed, returned;
    struct id original;
};
struct bulk {
    struct bulk_line *lines; /* [count] */
    size_t count, failed;
    const uint32_t *order; /* in which they are inserted, a permutation of 0 … count − 1, so that each comes
                              after those that it waits for; NULL: as they stand. Borrowed */
    /* Line i waits for the lines befores[first[i]] to befores[first[i + 1] − 1], whose ids are in its
     * EXTRA_AFTER: where one of them stood already, as another job, it waits for that. NULL: none does.
     * Borrowed */
    const size_t *first, *befores;
    bool atomic;
    struct id batch;
};

/* ERRAND_SCHEDULE. Lent to the server until notify. DROP, PAUSE, RESUME and TRIGGER of a name that does not
 * exist: ERR_UNKNOWN_SCHEDULE; PUT and DROP of one that the file gives: ERR_CONFLICT. TRIGGER, if the job
 * cannot be submitted: what POST /v1/jobs would say, and `why`. */
struct schedule_change {
    enum schedule_verb {
        SCHEDULE_PUT,
        SCHEDULE_DROP,
        SCHEDULE_PAUSE,
        SCHEDULE_RESUME,
        SCHEDULE_TRIGGER
    } verb;
    char name[NAME_BYTES];
    struct text body;    /* PUT: its definition, canonical JSON (dispatcher/schedules.h); borrowed */
    struct text expects; /* PUT: only if its definition is this one now, else CONFLICT (or UNKNOWN_SCHEDULE);
                            borrowed. at NULL: whatever it is */
    bool created;        /* PUT: there was none of that name */
    struct id job;       /* TRIGGER: what was submitted */
    char queue[NAME_BYTES];         /* TRIGGER, QUEUE_CLOSED and QUEUE_FULL: which, … */
    struct admission admission;     /* … and how it stands */
    char why[SCHEDULE_ERROR_BYTES]; /* TRIGGER: what is wrong with the job that it would submit */
};

/* ERRAND_SET. Lent to the server until notify. */
struct setting {
    enum setting_kind kind;
    char name[NAME_BYTES];   /* of the queue or task; "" for the whole */
    struct limits to;        /* the new values */
    bool given[LIMIT_COUNT]; /* which of `to` count; given and not set: as if it had never been set */
    enum limit alone;        /* INVALID_FIELD: the burst whose rate would not be set */
};

/* ERRAND_LOOK. Lent to the server until notify; what it fills is owned by the caller. */
struct look {
    enum look_kind { LOOK_WHY, LOOK_START, LOOK_QUEUES, LOOK_TASKS, LOOK_SCHEDULES } kind;
    struct why why; /* LOOK_WHY: of errand.id, whose lane and seq are filled in by the caller from the stored
                       job; LOOK_START: of the job to be submitted */
    const struct job_spec *spec; /* LOOK_START: that job's, with its lane; borrowed */
    int64_t within_ms;          /* LOOK_START: OK if it starts within so long; with a place, as front_admit */
    struct admission admission; /* LOOK_START */
    struct lane_view *views;    /* LOOK_QUEUES, LOOK_TASKS: [count], by name; free() it */
    size_t count;
    bool paused, draining; /* the whole */
    /* LOOK_SCHEDULES: asked for is the one of that name, if `one`; else those behind it in order, "" for the
     * first, `most` of them or (0) all. */
    char name[NAME_BYTES];
    bool one;
    size_t most;
    struct schedules schedules; /* copies; schedules_free() it */
    bool more;                  /* there are others behind them */
};

/* One request's business with the server. Owned by the HTTP side; lent to the server until notify. */
struct errand {
    enum errand_kind kind;
    struct id id;    /* SUBMIT: the job's id; else: which */
    struct job *job; /* SUBMIT: a reference is held by the errand's owner; the server takes its own */
    void (*notify)(struct errand *errand);
    enum err otherwise; /* SUBMIT: if not OK, only a job that stands already (extras_may_stand) is wanted,
                           and this is the answer if there is none: nothing is inserted */

    bool waiting; /* CANCEL: only if it waits; one that runs is left alone, which is NOT_NOW */

    /* The answer, valid from notify on.
     * SUBMIT: OK (durable as asked), KEY_REUSED, DUPLICATE_JOB (`original` holds its uniqueness key),
     *         UNKNOWN_DEPENDENCY (`original` is what it waits for), STORE_FULL, STORE_FAILED, MEMORY_FULL,
     *         DRAINING.
     * CANCEL: OK (cancelled now, recorded), AGAIN (it runs: asked to stop), NOT_NOW (see `waiting`),
     *         ALREADY_FINISHED, UNKNOWN_JOB, STORE_FULL, STORE_FAILED.
     * RETRY, FORGET: OK (queued again, or gone, synced), NOT_FINISHED, UNKNOWN_JOB, DUPLICATE_JOB (RETRY:
     *         `original` holds its uniqueness key), STORE_FULL, STORE_FAILED.
     * PATCH: OK (changed, recorded), NOT_NOW (it runs, has ended, or lies in memory alone), UNKNOWN_JOB,
     *         STORE_FULL, STORE_FAILED.
     * SET: OK (recorded and in force: what was forbidden does not start any more), INVALID_FIELD (`alone`),
     *         STORE_FULL, STORE_FAILED.
     * LOOK: OK, NO_MEMORY; START: OK, TOO_LATE, QUEUE_CLOSED, QUEUE_FULL.
     * BULK: OK (what its lines say), of an atomic one the error of the line `failed`; STORE_FULL,
     *         STORE_FAILED, DRAINING.
     * SCHEDULE: OK (recorded, in force), UNKNOWN_SCHEDULE, CONFLICT, STORE_FULL, STORE_FAILED; TRIGGER also
     *         what a submit has. */
    enum err err;
    bool replayed; /* SUBMIT: the idempotency key stood already; `original` is that job */
    bool returned; /* SUBMIT: `original` holds its uniqueness key, and is what is wanted instead */
    struct id original;
    struct store_patch *patch;        /* PATCH: what is asked for; borrowed */
    struct setting *setting;          /* SET */
    struct look *look;                /* LOOK */
    struct bulk *bulk;                /* BULK */
    struct schedule_change *schedule; /* SCHEDULE */
};

void front_submit(struct front *front, struct errand *errand);
void front_cancel(struct front *front, struct errand *errand);
void front_retry(struct front *front, struct errand *errand);
void front_forget(struct front *front, struct errand *errand);
void front_patch(struct front *front, struct errand *errand);
void front_set(struct front *front, struct errand *errand);
void front_look(struct front *front, struct errand *errand);
void front_bulk(struct front *front, struct errand *errand);
void front_schedule(struct front *front, struct errand *errand);

/* Whether a job may be submitted now, before it is: OK, QUEUE_CLOSED, QUEUE_FULL. OK reserves a place in its
 * queue until the job was counted; a submit that does not come to that gives it back by front_unadmit. Any
 * HTTP loop thread. */
enum err front_admit(struct front *front, const struct job_spec *spec, struct admission *admission) MUST_USE;
void front_unadmit(struct front *front, const struct job_spec *spec);
/* QUEUE_CLOSED if the queue takes no new jobs, else OK; and how it stands. */
enum err front_may_retry(struct front *front, const char *queue, struct admission *admission) MUST_USE;
/* False: there is no queue for which it would say so. */
bool front_any_drain(struct front *front);

/* One request waiting for the end of one job. Owned by the HTTP side until notify or a true front_unwait. */
struct waiter {
    struct waiter *next; /* the server's */
    struct id id;
    /* Takes one reference of job: terminal, with result. NULL: something changed in the store, read it there.
     */
    void (*notify)(struct waiter *waiter, struct job *job);
};

void front_wait(struct front *front, struct waiter *waiter);
/* True: taken back, notify will not come. False: notify has come or is coming. */
bool front_unwait(struct front *front, struct waiter *waiter);

/* A job as a client may see it: the table first, the store second; running ones as running. *job is a
 * reference for the caller (job_free). ERR_UNKNOWN_JOB and the store's errors. */
enum err front_read(struct front *front, struct store_reader *reader, struct id id,
                    struct job **job) MUST_USE;

/* The jobs that run now, newest id first, at most `limit`, without results. References for the caller. */
enum err front_running(struct front *front, size_t limit, struct job **jobs, size_t *count) MUST_USE;

/* True if the job is running now (for overlaying a stored page). */
bool front_is_running(struct front *front, struct id id);

/* The current catalogue; give it back with front_catalogue_drop. NULL before the first. */
struct catalogue_ref {
    _Atomic int references;
    struct catalogue *catalogue;
};
struct catalogue_ref *front_catalogue(struct front *front);
void front_catalogue_drop(struct catalogue_ref *ref);

const struct config *front_config(const struct front *front);
const struct segment *front_segment(const struct front *front);
const struct access *front_access(const struct front *front);
struct metrics *front_metrics(struct front *front);

/* 200 or 503 of /readyz: recovered, a catalogue, one live worker, not draining. *why is a static sentence. */
bool front_ready(struct front *front, const char **why);
bool front_draining(struct front *front);

/* Numbers of the slots, for /v1/stats and /metrics. */
struct front_numbers {
    int64_t slots_total, slots_used, slots_running, slots_memory;
    int64_t arena_bytes, arena_used;
    int64_t started_ms; /* of this front process */
    bool store_full;    /* submissions that need the store are refused */
};
void front_numbers(struct front *front, struct front_numbers *numbers);

/* The HTTP side, handed down by main.c. start returns once the loops serve; stop answers what is suspended
 * with 503 draining where it must, stops accepting, joins the threads. */
struct front_http {
    enum err (*start)(struct front *front, int listen_fd, void **http);
    void (*stop)(void *http);
    /* A job as POST /v1/jobs would make it of that body now, without any header; a reference for the caller.
     * Else the error, and in `why` what is wrong with the body. Any thread. */
    enum err (*compose)(struct front *front, struct text body, struct job **job, struct buf *why);
};

/* The front process. Exit statuses that the supervisor understands; after any other it is replaced, so after
 * AGAIN, which says that it was short of memory or threads: the next one may find them. */
enum {
    FRONT_EXIT_DRAINED = 0,
    FRONT_EXIT_CORRUPT = 70,
    FRONT_EXIT_STORE = 74,
    FRONT_EXIT_AGAIN = 75,
    FRONT_EXIT_FATAL = 78
};

struct front_setup {
    const struct config *config;
    const struct segment *segment;
    const struct access *access;
    struct blackbox *box;
    int listen_fd;
    int supervisor_wake_fd; /* an eventfd: 1 is written when a cancel is on a board, or `wanted` has grown */
    int argc;               /* of the flags, to read the file again when segment_header.config_epoch rises */
    char **argv;
    const struct front_http *http;
};

_Noreturn void front_main(const struct front_setup *setup);

#endif
