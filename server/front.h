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
#include "metrics.h"
#include "scoreboard.h"
#include "store.h"

struct front;

enum errand_kind { ERRAND_SUBMIT, ERRAND_CANCEL, ERRAND_RETRY, ERRAND_FORGET };

/* One request's business with the server. Owned by the HTTP side; lent to the server until notify. */
struct errand {
    struct inbox_node node; /* the server's */
    enum errand_kind kind;
    struct id id;    /* SUBMIT: the job's id; else: which */
    struct job *job; /* SUBMIT: a reference is held by the errand's owner; the server takes its own */
    void (*notify)(struct errand *errand);

    /* The answer, valid from notify on.
     * SUBMIT: OK (durable as asked), KEY_REUSED, STORE_FULL, STORE_FAILED, MEMORY_FULL, DRAINING.
     * CANCEL: OK (cancelled now, recorded), AGAIN (it runs: asked to stop), ALREADY_FINISHED, UNKNOWN_JOB,
     *         STORE_FULL, STORE_FAILED.
     * RETRY, FORGET: OK (queued again, or gone, synced), NOT_FINISHED, UNKNOWN_JOB, STORE_FULL, STORE_FAILED.
     */
    enum err err;
    bool replayed; /* SUBMIT: the idempotency key stood already; `original` is that job */
    struct id original;
};

void front_submit(struct front *front, struct errand *errand);
void front_cancel(struct front *front, struct errand *errand);
void front_retry(struct front *front, struct errand *errand);
void front_forget(struct front *front, struct errand *errand);

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
};

/* The front process. Exit statuses that the supervisor understands. */
enum { FRONT_EXIT_DRAINED = 0, FRONT_EXIT_FATAL = 78, FRONT_EXIT_CORRUPT = 70, FRONT_EXIT_STORE = 74 };

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
