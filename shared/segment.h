/* The segment: one sealed memfd that supervisor, front and workers share, laid out by offsets.
 *
 * Made by the supervisor before it forks; everyone inherits the mapping. A reset makes a new one. Words here:
 * the header is written once, except for the words marked with their single writer. `struct segment` is
 * private to each process and only points into the mapping.
 *
 *     header | scoreboard | slots | rings | catalogue (two banks) | argument arena | result trays
 *
 * Pools of workers are ranges of worker numbers, gapless and in order. Each has rings and a semaphore of its
 * own, and one number more than workers that serve: the place where a replacement gets ready.
 *
 * A value read from the segment that cannot be is ERR_CORRUPT for recovery, and a CHECK for everyone else.
 */
#ifndef FORKPOOL_SEGMENT_H
#define FORKPOOL_SEGMENT_H

#include "err.h"
#include "job.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#define SEGMENT_MAGIC 0x6c6f6f706b726f66ULL /* "forkpool" */

enum {
    SEGMENT_VERSION = 1,
    CACHE_LINE = 64,
    POOLS_MAX = 16,
    RING_CELLS = 1024,              /* a power of two; the dispatcher's window is far smaller */
    WORKERS_MAX = 1024 + POOLS_MAX, /* below the 12 bits of a claim word; a spare one for each pool */
    SLOTS_MAX = 4194304
};

/* DRAIN_WORKERS: submissions are refused, workers end after their job. DRAIN_FRONT: the front ends too. */
enum drain_state { DRAIN_NONE, DRAIN_WORKERS, DRAIN_FRONT };

struct segment_pool {
    uint32_t first, count; /* worker numbers; the spare one is counted */
    char name[NAME_BYTES];
};

/* A pool's seat: a replacement that is ready is offered for whoever has served long enough and is between two
 * jobs; that worker takes the seat and ends. Otherwise a worker's number + 1. */
enum { SEAT_NONE = 0, SEAT_OFFERED = 0xffff };

struct segment_shape {
    uint32_t slot_count, worker_count;
    uint32_t pool_count, unused; /* pool_count 0 is made one pool of all workers, "default" */
    struct segment_pool pools[POOLS_MAX];
    uint64_t arena_bytes, tray_bytes; /* tray_bytes is per worker */
    uint64_t max_result;
};

struct segment_header {
    uint64_t magic;
    uint32_t version, header_bytes;
    uint64_t bytes; /* of the whole segment */
    struct segment_shape shape;
    uint64_t scoreboard_at, slots_at, rings_at, catalogue_at, arena_at, trays_at;

    /* Hints of work; a token is never a count. */
    _Alignas(CACHE_LINE) sem_t work[POOLS_MAX]; /* waited for by the workers of a pool */
    _Alignas(CACHE_LINE) sem_t done;            /* waited for by the dispatcher */

    /* Written by the supervisor. */
    _Alignas(CACHE_LINE) _Atomic uint32_t draining; /* enum drain_state */
    _Atomic uint32_t log_level;                     /* of the current configuration */
    _Atomic uint32_t catalogue_epoch;               /* 0: none yet; bank epoch % 2 holds it */
    _Atomic uint32_t config_epoch;                  /* raised when the file was read again and is fine */
    _Atomic uint32_t front_restarts, resets;
    _Atomic int32_t front_pid, supervisor_pid;

    /* NONE → OFFERED → NONE by the supervisor, OFFERED → a number by a worker, by CAS. */
    _Alignas(CACHE_LINE) _Atomic uint32_t seats[POOLS_MAX];

    /* Written by the front. */
    _Alignas(CACHE_LINE) _Atomic int64_t front_beat_ns; /* monotonic; once a turn */
    _Atomic uint32_t
        slots_touched;      /* slots from this number on have never been used: their pages need not exist */
    _Atomic uint32_t ready; /* 1: recovery is done */
    _Atomic uint32_t wanted[POOLS_MAX];  /* how many workers a pool has work for; 0: not said. Ring the
                                            supervisor's wake_fd after raising it */
    _Atomic uint32_t backlog[POOLS_MAX]; /* 1: more is in line than is published. Who finds nothing to do then
                                            posts `done`: the dispatcher has not seen it wait */
};

struct slot;
struct ring;
struct board;
struct catalogue;

struct segment {
    struct segment_header *header;
    struct board *boards;         /* [worker_count] */
    struct slot *slots;           /* [slot_count] */
    struct ring *rings;           /* [pool_count][PRIORITY_COUNT], pool-major */
    struct catalogue *catalogues; /* [2] */
    uint8_t *arena, *trays;
    struct segment_shape
        shape; /* a private copy: never read back from memory that a plugin could have damaged */
    int fd;
};

/* Makes and maps a sealed segment, every slot FREE, semaphores at 0. ERR_SYSTEM or ERR_NO_MEMORY, logged. */
enum err segment_create(const struct segment_shape *shape, struct segment *segment) MUST_USE;

/* Unmaps it and closes its descriptor; the memory lives on while another process has it mapped. */
void segment_close(struct segment *segment);

/* ERR_CORRUPT unless the header still says what `segment` was mapped with. */
enum err segment_verify(const struct segment *segment) MUST_USE;

/* The ring of a pool's level; the pool of a worker; the tray of a worker. */
struct ring *segment_ring(const struct segment *segment, uint32_t pool, uint32_t level);
uint32_t segment_pool_of(const struct segment *segment, uint32_t worker);
uint8_t *segment_tray(const struct segment *segment, uint32_t worker);

/* Hints. sem_hint posts (a full semaphore is as good as a post); sem_hint_wait returns on a post, after
 * timeout_ms, or at a signal – the caller always looks for itself. sem_hint_drain takes the tokens that piled
 * up: call it before looking, never after. */
void sem_hint(sem_t *sem);
void sem_hint_wait(sem_t *sem, int64_t timeout_ms);
void sem_hint_drain(sem_t *sem);

#endif
