/* The dispatcher: the one thread that decides which job may run, and that owns the slots.
 *
 * It never blocks on the disk: what must be written or read goes to the committer as work and comes back.
 * Everything here is private to the front and rebuilt from slots and store by a new one (recovery.c). One
 * concern a file:
 *
 *     dispatcher  the loop, what comes in
 *     admit       a stored job gets a slot or stays cold; loads and due retries
 *     publish     order, window, rings, posts
 *     landing     a finished attempt becomes a verdict, a commit, a free slot
 *     deaths      what a dead worker leaves behind
 *     cancel      waiting, running, cold
 *     finished    what is asked of a finished job: run again, be forgotten
 *     recovery    a new front on a live segment; charging the black box
 *
 * A slot's place here (cell.place), beside its claim word:
 *     NONE (FREE) → READY (HELD) → LIVE (QUEUED, RUNNING or DONE) → LANDING (its verdict is being committed)
 * → NONE ▲_________________________________________________|   crash, loss
 */
#ifndef FORKPOOL_DISPATCHER_H
#define FORKPOOL_DISPATCHER_H

#include "arena.h"
#include "committer.h"
#include "hot.h"
#include "slots.h"
#include "trays.h"
#include "verdict.h"
#include "waiters.h"

#include <stdbool.h>

enum cell_place { CELL_NONE, CELL_READY, CELL_LIVE, CELL_LANDING };

enum {
    WINDOW = 256,
    LOAD_BATCH = 512,
    DUE_BATCH = 128,
    STALL_MS = 100,
    TURN_WAIT_MS = 500,
    SCAN_EVERY_MS = 100
};

struct cell {
    uint32_t next, prev; /* in the list of its place */
    enum cell_place place;
    uint8_t level;    /* the job's priority, kept here because plugins can write to the slot */
    bool memory;      /* the job lies nowhere but in this slot */
    uint64_t key_sum; /* of its idempotency key, if memory */
    struct work
        *parked; /* cancels, and what is asked of a finished job, that wait until the slot has landed */
};

/* A list of slots through cell.next and cell.prev. */
struct cell_list {
    uint32_t first, last, count;
};

/* Jobs of one priority. Cold: rows beyond `cursor` may lie in the store without a slot, so new ones stay
 * there too. */
struct lane {
    struct cell_list ready;
    bool cold, loading;
    int64_t cursor; /* the greatest seq that has been given a slot, or looked at */
};

struct dispatcher {
    const struct config *config;
    const struct segment *segment;
    struct hot *hot;
    struct waiters *waiters;
    struct metrics *metrics;
    struct committer *committer;
    int supervisor_wake_fd;

    struct inbox inbox;
    struct arena arena;
    struct cell *cells;   /* owned, [slots] */
    uint32_t *free_slots; /* owned, a stack */
    uint32_t free_count, hot_count, memory_count, landing_count;
    _Atomic uint32_t slots_used, slots_memory; /* the same, for other threads to read */
    _Atomic uint64_t arena_used;
    struct lane lanes[PRIORITY_COUNT];
    struct cell_list live;
    uint32_t live_by_level[PRIORITY_COUNT];

    uint32_t *death_slots; /* owned, [workers]: the slot whose landing resolves the worker's oldest death, or
                              none */
    int64_t next_due_ms;   /* real time; INT64_MAX: none */
    bool due_running;
    uint32_t loads_running;
    bool stalled; /* a row did not fit: no load before something is released, or STALL_MS have passed */
    int64_t stalled_ns;
    struct work *deferred; /* cancels of jobs without a slot, while a load or due runs */
    bool any_parked;       /* some cell may have cancels that wait for its landing */
    int64_t scanned_ns;
    bool scan_now;
};

struct dispatcher_setup {
    const struct config *config;
    const struct segment *segment;
    struct hot *hot;
    struct waiters *waiters;
    struct metrics *metrics;
    struct committer *committer;
    int supervisor_wake_fd;
};

enum err dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_setup *setup) MUST_USE;
void dispatcher_fini(struct dispatcher *dispatcher);

/* Any thread of the front; takes work and wakes the dispatcher. Fits committer's `deliver`. */
void dispatcher_give(void *dispatcher, struct work *work);

/* One turn: sleep until something may be there, at most TURN_WAIT_MS; then do all of it. */
void dispatcher_turn(struct dispatcher *dispatcher);

/* For the end of a drain: jobs of durability memory that never ran are handed to the store. */
void dispatcher_save_memory_jobs(struct dispatcher *dispatcher);
/* True when no attempt is unresolved and no verdict uncommitted. */
bool dispatcher_settled(const struct dispatcher *dispatcher);

/* Ends the front: shared memory holds something impossible. */
_Noreturn void dispatcher_corrupt(const char *what, uint32_t slot);

/* cells.c */
#define CELL_END UINT32_MAX
void cells_append(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot);
void cells_remove(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot);
/* By rising seq; cheap at either end. */
void cells_insert_by_seq(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot);
/* Into and out of the live list, with the count of its level. */
void cells_go_live(struct dispatcher *dispatcher, uint32_t slot);
void cells_leave_live(struct dispatcher *dispatcher, uint32_t slot);
/* Out of its lane's ready list. */
void cells_leave_ready(struct dispatcher *dispatcher, uint32_t slot);
/* Work that waits until the slot has landed; cancel_unpark or cancel_done takes it up again. */
void cells_park(struct dispatcher *dispatcher, uint32_t slot, struct work *work);

/* admit.c */
void admit_submitted(struct dispatcher *dispatcher, struct work *work);
/* A stored, queued job: a slot if nothing of its lane waits in the store before it, else it stays cold. */
void admit_stored(struct dispatcher *dispatcher, const struct job *job);
void admit_loaded(struct dispatcher *dispatcher, struct work *work);
void admit_due(struct dispatcher *dispatcher, struct work *work);
void admit_ask(struct dispatcher *dispatcher); /* loads and due retries whose time has come */
/* A row that this dispatcher had passed is queued without a slot: the lane looks again from there. */
void admit_reopen(struct dispatcher *dispatcher, const struct job_spec *spec);
/* Gives the slot back: index, arena, tray, claim word. Its row is durable, or there is none. */
void admit_release(struct dispatcher *dispatcher, uint32_t slot);
/* Takes a non-FREE slot that a new front found, into the index, the arena and the counts. */
void admit_adopt(struct dispatcher *dispatcher, uint32_t slot);
/* The job of this slot has a row from now on. */
void admit_mark_stored(struct dispatcher *dispatcher, uint32_t slot);
/* Takes a HELD slot among the ready ones. */
void admit_ready(struct dispatcher *dispatcher, uint32_t slot);

/* publish.c */
void publish_ready(struct dispatcher *dispatcher);

/* landing.c */
void landing_collect(struct dispatcher *dispatcher);
void landing_outcome(struct dispatcher *dispatcher, struct work *work);
/* A job built from a slot: args and result borrow shared memory. Ends the front if the slot is impossible. */
struct job *landing_job(struct dispatcher *dispatcher, uint32_t slot);
/* Tells each of a list of waiters; job NULL: they read the store. Borrows job. */
void landing_notify(struct waiter *waiter, struct job *job);
/* Hands the verdict to the committer. Takes job; before: its attempt counter in the store. */
void landing_send(struct dispatcher *dispatcher, uint32_t slot, struct job *job, uint32_t before,
                  bool keep_attempt);

/* deaths.c */
void deaths_resolve(struct dispatcher *dispatcher);
void deaths_landed(struct dispatcher *dispatcher, uint32_t slot);

/* cancel.c */
void cancel_asked(struct dispatcher *dispatcher, struct work *work);
void cancel_answered(struct dispatcher *dispatcher, struct work *work);
/* Everything that waited for a load, or for this slot, is looked at again. */
void cancel_undefer(struct dispatcher *dispatcher);
void cancel_unpark(struct dispatcher *dispatcher, struct work *parked);
/* The job of this slot is cancelled: the cancels that waited for it are answered, the rest looked at again.
 */
void cancel_done(struct dispatcher *dispatcher, struct work *parked);
/* While the store is full, landings take as long as the disk: requesters that wait for one are refused. Their
 * jobs are cancelled all the same once there is room, unless everything dies before. */
void cancel_refuse_parked(struct dispatcher *dispatcher);
/* The job in this HELD slot is to be cancelled (its requester has been answered). */
void cancel_held(struct dispatcher *dispatcher, uint32_t slot);

/* finished.c */
void finished_asked(struct dispatcher *dispatcher, struct work *work);
void finished_answered(struct dispatcher *dispatcher, struct work *work);

/* recovery.c */
void recovery_take_over(struct dispatcher *dispatcher);
enum err recovery_charge(struct store *store, const struct config *config) MUST_USE;

#endif
