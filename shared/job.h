/* What a job is: its states and legal moves, what was asked for (spec) and what its last attempt did
 * (attempt).
 *
 *     POST ─▶ queued ─▶ running ─▶ succeeded
 *      │        ▲          ├─────▶ failed    ◀─ queued, scheduled, blocked: expired, or a job before it
 * failed │        │          ├─────▶ cancelled ◀─ queued, scheduled, blocked, retrying │     retrying ◀────┘
 * (a crash or loss goes straight back to queued) ├─▶ scheduled ─▶ queued      (its time has come) └─▶ blocked
 * ─▶ queued, scheduled   (the jobs before it have ended)
 *
 * A finished job never changes by itself; asked to (POST …/retry), it is queued again.
 *
 * `running` is never stored: it is what a slot adds to a stored `queued`. The structs here hold no pointers,
 * so the same bytes serve a slot in shared memory and a job in the front's heap.
 *
 * Four counters that are never mixed; a retry on request begins anew but for the first:
 *   attempt  the number of recorded runs; never falls
 *   errors   runs that failed, against max_attempts
 *   crashes  workers that died of the task, against jobs.max_crashes
 *   lost     workers killed by nobody here, against jobs.max_lost
 */
#ifndef FORKPOOL_JOB_H
#define FORKPOOL_JOB_H

#include "ids.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* name, text, terminal, number in the store (never reused) */
#define JOB_STATES(S)                                                                                        \
    S(QUEUED, "queued", false, 0)                                                                            \
    S(RUNNING, "running", false, 1)                                                                          \
    S(RETRYING, "retrying", false, 2)                                                                        \
    S(SUCCEEDED, "succeeded", true, 3)                                                                       \
    S(FAILED, "failed", true, 4)                                                                             \
    S(CANCELLED, "cancelled", true, 5)                                                                       \
    S(SCHEDULED, "scheduled", false, 6)                                                                      \
    S(BLOCKED, "blocked", false, 7)

enum job_state {
#define S(name, text, terminal, number) JOB_##name = (number),
    JOB_STATES(S)
#undef S
        JOB_STATE_COUNT
};

#define JOB_MOVES(MOVE)                                                                                      \
    MOVE(QUEUED, RUNNING, "a worker claimed it")                                                             \
    MOVE(QUEUED, CANCELLED, "cancelled while it waited")                                                     \
    MOVE(QUEUED, FAILED, "expired while it waited")                                                          \
    MOVE(QUEUED, SCHEDULED, "put off on request")                                                            \
    MOVE(SCHEDULED, QUEUED, "its time has come")                                                             \
    MOVE(SCHEDULED, CANCELLED, "cancelled before its time")                                                  \
    MOVE(SCHEDULED, FAILED, "expired before its time")                                                       \
    MOVE(BLOCKED, QUEUED, "the jobs before it have ended")                                                   \
    MOVE(BLOCKED, SCHEDULED, "the jobs before it have ended before its time")                                \
    MOVE(BLOCKED, CANCELLED, "cancelled, or a job before it did not succeed")                                \
    MOVE(BLOCKED, FAILED, "expired, or a job before it did not succeed")                                     \
    MOVE(RUNNING, SUCCEEDED, "the attempt returned a result")                                                \
    MOVE(RUNNING, RETRYING, "the attempt failed, more remain")                                               \
    MOVE(RUNNING, FAILED, "the attempt failed for good")                                                     \
    MOVE(RUNNING, CANCELLED, "the attempt was stopped on request")                                           \
    MOVE(RUNNING, QUEUED, "the worker died or was stopped; the job runs again")                              \
    MOVE(RETRYING, QUEUED, "its backoff has passed")                                                         \
    MOVE(RETRYING, SCHEDULED, "put off on request")                                                          \
    MOVE(RETRYING, CANCELLED, "cancelled while it waited to retry")                                          \
    MOVE(SUCCEEDED, QUEUED, "retried on request")                                                            \
    MOVE(FAILED, QUEUED, "retried on request")                                                               \
    MOVE(CANCELLED, QUEUED, "retried on request")                                                            \
    MOVE(SUCCEEDED, BLOCKED, "retried on request, with jobs before it that have not ended")                  \
    MOVE(FAILED, BLOCKED, "retried on request, with jobs before it that have not ended")                     \
    MOVE(CANCELLED, BLOCKED, "retried on request, with jobs before it that have not ended")

/* The text of a state; CHECKs the number. */
const char *job_state_text(enum job_state state);
bool job_state_parse(const char *text, enum job_state *state);
bool job_is_terminal(enum job_state state);
bool job_may_move(enum job_state from, enum job_state to);

/* What a client may ask of a job that stands already. name, participle for sentences */
#define JOB_REQUESTS(R)                                                                                      \
    R(CANCEL, "cancelled")                                                                                   \
    R(RETRY, "retried")                                                                                      \
    R(FORGET, "deleted")                                                                                     \
    R(PATCH, "changed")

enum job_request {
#define R(name, participle) REQUEST_##name,
    JOB_REQUESTS(R)
#undef R
        REQUEST_COUNT
};

/* Whether a job in that state takes that request; every pair stands here once. The sentence is the hint of
 * the refusal (409), "" where the request is taken. */
#define JOB_TAKES(T)                                                                                         \
    T(QUEUED, CANCEL, true, "")                                                                              \
    T(QUEUED, RETRY, false, "it waits to run already")                                                       \
    T(QUEUED, FORGET, false, "cancel it first, or wait for its end with GET /v1/jobs/{id}?wait=30")          \
    T(QUEUED, PATCH, true, "")                                                                               \
    T(RUNNING, CANCEL, true, "")                                                                             \
    T(RUNNING, RETRY, false, "cancel it first, or wait for its end with GET /v1/jobs/{id}?wait=30")          \
    T(RUNNING, FORGET, false, "cancel it first, or wait for its end with GET /v1/jobs/{id}?wait=30")         \
    T(RUNNING, PATCH, false, "only a job that waits can be changed; this one has begun")                     \
    T(RETRYING, CANCEL, true, "")                                                                            \
    T(RETRYING, RETRY, false, "it is retried by itself; PATCH {\"scheduled_at\":null} runs it now")          \
    T(RETRYING, FORGET, false, "cancel it first, or wait for its end with GET /v1/jobs/{id}?wait=30")        \
    T(RETRYING, PATCH, true, "")                                                                             \
    T(SUCCEEDED, CANCEL, false, "it is too late: the job has ended")                                         \
    T(SUCCEEDED, RETRY, true, "")                                                                            \
    T(SUCCEEDED, FORGET, true, "")                                                                           \
    T(SUCCEEDED, PATCH, false, "only a job that waits can be changed; POST …/retry runs this one again")     \
    T(FAILED, CANCEL, false, "it is too late: the job has ended")                                            \
    T(FAILED, RETRY, true, "")                                                                               \
    T(FAILED, FORGET, true, "")                                                                              \
    T(FAILED, PATCH, false, "only a job that waits can be changed; POST …/retry runs this one again")        \
    T(CANCELLED, CANCEL, false, "it was cancelled already")                                                  \
    T(CANCELLED, RETRY, true, "")                                                                            \
    T(CANCELLED, FORGET, true, "")                                                                           \
    T(CANCELLED, PATCH, false, "only a job that waits can be changed; POST …/retry runs this one again")     \
    T(SCHEDULED, CANCEL, true, "")                                                                           \
    T(SCHEDULED, RETRY, false, "it has not run yet; PATCH {\"scheduled_at\":null} runs it now")              \
    T(SCHEDULED, FORGET, false, "cancel it first")                                                           \
    T(SCHEDULED, PATCH, true, "")                                                                            \
    T(BLOCKED, CANCEL, true, "")                                                                             \
    T(BLOCKED, RETRY, false, "it has not run yet; it runs once the jobs in its `after` have ended")          \
    T(BLOCKED, FORGET, false, "cancel it first")                                                             \
    T(BLOCKED, PATCH, true, "")

/* NULL if a job in that state takes that request, else why not. */
const char *job_refusal(enum job_state state, enum job_request request);
const char *job_request_participle(enum job_request request);

#define DURABILITIES(D)                                                                                      \
    D(MEMORY, "memory")                                                                                      \
    D(PROCESS, "process")                                                                                    \
    D(FULL, "full")

/* In rising order: a commit group takes the highest of its members. */
enum durability {
#define D(name, text) DURABILITY_##name,
    DURABILITIES(D)
#undef D
        DURABILITY_COUNT
};

const char *durability_text(enum durability durability);
bool durability_parse(const char *text, enum durability *durability);

#define BACKOFFS(B)                                                                                          \
    B(EXPONENTIAL, "exponential")                                                                            \
    B(LINEAR, "linear")                                                                                      \
    B(FIXED, "fixed")

enum backoff {
#define B(name, text) BACKOFF_##name,
    BACKOFFS(B)
#undef B
        BACKOFF_COUNT
};

const char *backoff_text(enum backoff backoff);
bool backoff_parse(const char *text, enum backoff *backoff);

/* What becomes of a job when one that it waits for does not succeed. */
#define AFTER_POLICIES(A)                                                                                    \
    A(CANCEL, "cancel")                                                                                      \
    A(FAIL, "fail")                                                                                          \
    A(RUN, "run") /* anyway, once all have ended */

enum after_policy {
#define A(name, text) AFTER_##name,
    AFTER_POLICIES(A)
#undef A
        AFTER_POLICY_COUNT
};

const char *after_policy_text(enum after_policy policy);
bool after_policy_parse(const char *text, enum after_policy *policy);

/* How an attempt ended. What becomes of the job is decided from this by server/verdict. */
#define OUTCOMES(O)                                                                                          \
    O(NONE, "none")                                                                                          \
    O(SUCCESS, "success")     /* a result */                                                                 \
    O(ERROR, "error")         /* a failure; `retryable` says whether another attempt makes sense */          \
    O(TIMEOUT, "timeout")     /* stopped at its deadline */                                                  \
    O(CANCELLED, "cancelled") /* stopped, or never started, on request */                                    \
    O(CRASH, "crash")         /* the worker died of the task */                                              \
    O(LOST, "lost")           /* the worker was killed by nobody here */                                     \
    O(RETURNED, "returned")   /* drain, reload: uncharged and not recorded as an attempt */

enum outcome {
#define O(name, text) OUTCOME_##name,
    OUTCOMES(O)
#undef O
        OUTCOME_COUNT
};

const char *outcome_text(enum outcome outcome);

enum {
    NAME_BYTES = 64,        /* tasks and queues: 1 to 63 of [A-Za-z0-9._-], with NUL */
    KEY_BYTES = 129,        /* Idempotency-Key: 1 to 128 printable ASCII characters, with NUL */
    TRACEPARENT_BYTES = 56, /* W3C trace context, version 00, with NUL */
    ERROR_CODE_BYTES = 40,
    MESSAGE_BYTES = 256, /* error and progress messages, cut at a character */
    PRIORITY_COUNT = 10, /* 0 to 9, 9 first */
    PRIORITY_DEFAULT = 5
};

/* True for a legal task or queue name. */
bool job_name_ok(const char *name);

struct retry {
    uint32_t max_attempts; /* 1: never again */
    uint32_t backoff;      /* enum backoff */
    int64_t initial_ms, max_ms;
    uint32_t jitter; /* percent of the wait that is random, 0 to 100 */
    uint32_t reserved;
};

/* UNIQUE: its extras have a uniqueness key. INPUTS: its extras name jobs that it waits or waited for, and
 * their results are handed to it. FOLLOWER: it waits for its own batch, so it does not count among its jobs.
 */
enum job_flag { JOB_FLAG_UNIQUE = 1, JOB_FLAG_INPUTS = 2, JOB_FLAG_FOLLOWER = 4 };

/* What was asked for, and the counters. Stable from HELD to FREE in a slot. */
struct job_spec {
    struct id id;
    struct id fingerprint; /* of the request, if idempotency_key is set */
    int64_t seq;           /* order; 0 until the committer gives it */
    int64_t created_ms;    /* real time */
    int64_t run_at_ms;     /* real time; when a scheduled or retrying job is due, else 0 */
    int64_t scheduled_ms;  /* real time; when it was asked to run, 0: at once. Stays for the document */
    int64_t expires_ms;    /* real time; not started by then: failed. 0: never */
    int64_t lane;          /* job_lane: what it waits behind */
    struct id batch;       /* zero: none */
    int64_t timeout_ms, kill_after_ms;
    struct retry retry;
    uint32_t attempt, errors, crashes, lost;
    uint32_t epoch;                              /* of the catalogue it was accepted under */
    uint8_t priority, durability, stored, flags; /* stored: 1 once a row exists; flags: enum job_flag */
    uint8_t after_policy, reserved[3];           /* enum after_policy */
    char task[NAME_BYTES], queue[NAME_BYTES];
    char idempotency_key[KEY_BYTES]; /* "" for none */
    char concurrency_key[KEY_BYTES]; /* "" for none */
    char traceparent[TRACEPARENT_BYTES];
};

/* What one attempt did. Written by its worker, or by the front for a worker that died. */
struct attempt {
    int64_t started_ms, finished_ms;   /* real time; 0: not */
    int64_t cpu_us, max_rss_bytes;     /* -1: unknown */
    double progress;                   /* 0 to 1; -1: never reported */
    int64_t progress_ms;               /* real time */
    int32_t worker, exit_code, signal; /* -1: none */
    uint32_t number;                   /* which attempt this was, from 1 */
    uint8_t outcome, retryable, reserved[2];
    char error_code[ERROR_CODE_BYTES];
    char error_message[MESSAGE_BYTES];
    char progress_message[MESSAGE_BYTES];
};

/* The lane of a job: jobs of one priority, queue, task and concurrency key wait in one line, since whatever
 * holds up one of them holds up all. 63 bits of a hash of these four; it is stored, so it never changes. */
int64_t job_lane(const struct job_spec *spec);

/* An attempt of which nothing is known yet. */
struct attempt attempt_blank(void);

/* Why a job ended that was not started by then: error code and message. */
void attempt_expire(struct attempt *attempt, int64_t expires_ms);

/* Copies text cut to `room` bytes with its NUL, never inside a UTF-8 character. */
void text_copy(char *to, size_t room, const char *from, size_t bytes);

/* Byte ranges that a struct job borrows or, through `owned`, owns. at is NULL when absent. */
struct text {
    const char *at;
    size_t bytes;
};

enum { JOB_TEXTS = 5 };

/* A whole job as the front handles it on its heap. */
struct job {
    struct job_spec spec;
    struct attempt attempt; /* the last one; attempt.number 0 if there was none */
    enum job_state state;
    bool cancel_requested;
    uint32_t waits;           /* for how many jobs and batches a blocked one waits; as of when it was read */
    struct text args, result; /* JSON text */
    struct text tags;         /* a JSON array (tags.h), or absent */
    struct text extras;       /* a JSON object (extras.h), or absent */
    struct text inputs;       /* a JSON array: the jobs it waited for, with their results; or absent */
    void *owned[JOB_TEXTS];   /* what the last job_free releases besides the struct: bytes of these five */
    _Atomic int references;   /* shared jobs do not change any more */
};

struct job *job_new(void);              /* zeroed, attempt blank, one reference; NULL without memory */
struct job *job_share(struct job *job); /* one more reference; returns job */
void job_free(struct job *job);         /* one reference less; NULL is fine */
#define JOB_AUTO __attribute__((cleanup(job_free_at))) struct job *
static inline void job_free_at(struct job **job)
{
    job_free(*job);
}

#endif
