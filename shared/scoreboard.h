/* The scoreboard: one board per worker, each cache line with one writer.
 *
 * Run word: run number:56 | phase:8, one per worker.
 *
 *     worker: IDLE ─▶ RUNNING ─────────────────▶ FINISHING ─▶ IDLE
 *                        │  ▲ supervisor            ▲
 *     supervisor:        ├─▶ SIGNALLING ─▶ STOPPING ┤        (asked to stop: SIGTERM to the task's group)
 *                        └──────────────▶ KILLED ◀──┘        (from RUNNING or STOPPING; then SIGKILL)
 *
 *  1. A worker wins RUNNING or STOPPING → FINISHING before it publishes a result and before it reaps its
 * child, so neither a kill nor a signal hits the next job. It waits out SIGNALLING (microseconds) and sleeps
 * for ever in KILLED: the kill is on its way.
 *  2. Deadlines, ticket and process group are written before RUNNING (the group: before exec) and are valid
 * while the run number is unchanged.
 *  3. The supervisor raises the incarnation only after worker and process group are dead and reaped.
 *
 * Deaths: a ring of DEATHS per worker, written by the supervisor, acknowledged by the front; the supervisor
 * does not respawn a worker whose ring is full.
 *
 * Replacement, when a worker has served long enough (retire): another one gets ready on the pool's spare
 * board (STANDBY, standing) and is offered (segment_header.seats); the first who has served long enough and
 * is between two jobs takes the offer and ends, and once it is dead the new one is released (released, go).
 *
 * Completions: a ring of tickets per worker, written by it, read by the dispatcher. A hint.
 */
#ifndef FORKPOOL_SCOREBOARD_H
#define FORKPOOL_SCOREBOARD_H

#include "segment.h"

#include <stdalign.h>
#include <stdbool.h>

enum run_phase { RUN_IDLE, RUN_RUNNING, RUN_SIGNALLING, RUN_STOPPING, RUN_FINISHING, RUN_KILLED };

enum stop_cause { STOP_NONE, STOP_DEADLINE, STOP_CANCEL };

/* Why a worker ended. name, text for logs, metrics and /v1/workers */
#define DEATH_CAUSES(C)                                                                                      \
    C(NONE, "none")                                                                                          \
    C(DRAINED, "drained")   /* ended by itself or by the supervisor's order: nothing is charged */           \
    C(RECYCLED, "recycled") /* older catalogue: it gave the job back; or it had served long enough */        \
    C(CRASH, "crash")       /* a signal or exit the task brought on itself, or an OOM kill of our cgroup */  \
    C(LOST, "lost")         /* killed by nobody here */                                                      \
    C(DEADLINE, "deadline") /* killed by the supervisor at the deadline */                                   \
    C(CANCEL, "cancel")     /* killed by the supervisor on request */

enum death_cause {
#define C(name, text) DEATH_##name,
    DEATH_CAUSES(C)
#undef C
        DEATH_CAUSE_COUNT
};

const char *death_cause_text(enum death_cause cause);

/* Why a worker should be replaced. name, text: the key of its pool */
#define RETIRE_REASONS(R)                                                                                    \
    R(NONE, "none")                                                                                          \
    R(JOBS, "max_jobs")                                                                                      \
    R(RSS, "max_rss")                                                                                        \
    R(AGE, "max_age")

enum retire_reason {
#define R(name, text) RETIRE_##name,
    RETIRE_REASONS(R)
#undef R
        RETIRE_REASON_COUNT
};

const char *retire_reason_text(enum retire_reason reason);

enum { DEATHS = 8, COMPLETIONS = 512 };

struct death {
    uint64_t ticket; /* what the board named last; the claim words decide */
    int64_t cpu_us, max_rss_bytes, died_ms;
    int32_t exit_code, signal; /* -1: none */
    uint16_t incarnation;
    uint16_t cause; /* enum death_cause */
    uint32_t oom;   /* 1: the kernel's OOM killer of our cgroup */
};

enum worker_status { WORKER_ABSENT, WORKER_LIVE, WORKER_DYING, WORKER_BACKOFF, WORKER_STANDBY };

struct board {
    /* Written by the supervisor. */
    alignas(CACHE_LINE) _Atomic uint32_t incarnation; /* the low 16 bits count */
    _Atomic int32_t pid;
    _Atomic uint32_t status;     /* enum worker_status */
    _Atomic uint32_t stop_cause; /* of the run that is STOPPING or KILLED */
    _Atomic int64_t spawned_ms;
    _Atomic uint32_t restarts[DEATH_CAUSE_COUNT];
    _Atomic uint32_t released; /* 1: a replacement may take jobs */
    _Atomic uint32_t replaces; /* enum retire_reason of the worker that this one replaced */
    sem_t go;                  /* a hint of `released` */

    /* Written by the worker. */
    alignas(CACHE_LINE) _Atomic uint64_t ticket; /* current or last job */
    _Atomic int64_t soft_ns, kill_after_ns; /* monotonic deadline, and the grace after any stop request */
    _Atomic int32_t group;                  /* process group of the task's child, 0: none */
    _Atomic uint32_t waiting;               /* 1 while it looks for work or sleeps */
    _Atomic uint32_t epoch;
    _Atomic uint64_t jobs_done;
    _Atomic int64_t idle_since_ns; /* monotonic; 0: it runs a job, or does not look for one yet */
    _Atomic uint32_t standing;     /* 1: a replacement that is ready */
    _Atomic uint32_t retire;       /* enum retire_reason: it should be replaced */

    alignas(CACHE_LINE) _Atomic uint64_t run; /* worker and supervisor, by CAS */

    /* Written by the front. */
    alignas(CACHE_LINE) _Atomic uint64_t cancel; /* a ticket that is to be stopped, or 0 */
    _Atomic uint32_t deaths_read;
    _Atomic uint32_t completions_read;
    _Atomic uint64_t tray_head;

    /* Written by the worker. */
    alignas(CACHE_LINE) _Atomic uint64_t tray_tail;
    _Atomic uint32_t completions_written;
    alignas(CACHE_LINE) _Atomic uint64_t completions[COMPLETIONS];

    /* Written by the supervisor. */
    alignas(CACHE_LINE) _Atomic uint32_t deaths_written;
    struct death deaths[DEATHS];
};

static inline uint64_t run_pack(uint64_t number, enum run_phase phase)
{
    return number << 8 | (uint64_t)phase;
}

static inline uint64_t run_number(uint64_t word)
{
    return word >> 8;
}

static inline enum run_phase run_phase(uint64_t word)
{
    return (enum run_phase)(word & 0xff);
}

/* Worker: begins run number+1 with its ticket and deadlines in place; returns the run word. */
uint64_t board_begin(struct board *board, uint64_t ticket, int64_t soft_ns, int64_t kill_after_ns);

/* Worker: rule 1. Returns the cause if the run was asked to stop, STOP_NONE otherwise. Never returns when
 * killed. */
enum stop_cause board_finish(struct board *board);

/* Worker: back to IDLE after DONE was published. */
void board_idle(struct board *board);

/* Worker: true once the supervisor asked this run to stop. */
bool board_stopping(const struct board *board);

/* Worker: hands the ticket to the dispatcher; a full ring is fine, the dispatcher scans. */
void board_complete(struct board *board, uint64_t ticket);

/* Dispatcher: the next completion; false when there is none. */
bool board_take_completion(struct board *board, uint64_t *ticket);

/* Supervisor: CAS from `seen` (RUNNING or STOPPING, same run) to `phase`; false if the run went on. */
bool board_move_run(struct board *board, uint64_t seen, enum run_phase phase);

/* Supervisor: appends a death; false when the ring is full. */
bool board_add_death(struct board *board, const struct death *death);
bool board_deaths_full(const struct board *board);

/* Front: the oldest unacknowledged death; false when there is none. Acknowledge after it was resolved. */
bool board_read_death(const struct board *board, struct death *death);
void board_ack_death(struct board *board);

/* Dispatcher: the rings of deaths and completions say that they hold more than they can. Reading them to
 * their ends would take as long as it takes to count to 2^32. */
bool board_overfull(const struct board *board);

#endif
