/* The dispatcher: the one thread that decides which job may run, and that owns the slots.
 *
 * It never blocks on the disk: what must be written or read goes to the committer as work and comes back.
 * Everything here is private to the front and rebuilt from slots and store by a new one (recovery.c). One
 * concern a file:
 *
 *     dispatcher  the loop, what comes in
 *     lineup      (lineup.h) order and limits: which job is next
 *     admit       a stored job gets a slot or stays cold
 *     fetch       what the store is asked for: rows of lanes, what is due, what has expired
 *     publish     windows, rings, posts; what is taken back
 *     landing     a finished attempt becomes a verdict, a commit, a free slot
 *     deaths      what a dead worker leaves behind
 *     cancel      waiting, running, cold
 *     change      a waiting job is changed on request; limits and pauses are set
 *     replace     a waiting job gives way to a newer one with the same uniqueness key
 *     look        where queues and tasks stand
 *     forecast    why a job does not run, and when it would
 *     fire        schedules: which are due, the jobs that they make, what is changed about them
 *     prove       what is wrong with their jobs, before they are due
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
#include "lineup.h"
#include "schedules.h"
#include "slots.h"
#include "trays.h"
#include "verdict.h"
#include "waiters.h"

#include <stdbool.h>

enum cell_place { CELL_NONE, CELL_READY, CELL_LIVE, CELL_LANDING };

enum {
    WINDOW_MOST = 256,   /* jobs published ahead of the workers of a pool */
    WINDOW_MS = 5,       /* … as many as they end in so long, */
    TAKE_BACK_MS = 50,   /* and limited ones go back when no worker came for so long */
    LANE_MOST = 1024,    /* jobs of one lane that have slots and wait */
    LANE_HELD_MOST = 64, /* … of a lane that is held up by a limit */
    LOAD_LOW = 256,      /* fewer, and more are read */
    LOAD_BATCH = 512,
    LOAD_LANES = 64, /* lanes that are read at a time */
    DUE_BATCH = 512,
    EXPIRY_BATCH = 256,
    RELEASE_BATCH = 512,
    REFRESH_MS = 10000,        /* the times of schedules are computed anew */
    COMPLAIN_AGAIN_MS = 60000, /* the same of the same schedule */
    CATALOGUE_WAIT_MS = 10000, /* a reload that brings no new catalogue by then has failed to */
    FIRE_AGAIN_MS = 250,
    STALL_MS = 100,
    TURN_WAIT_MS = 500,
    SCAN_EVERY_MS = 100
};

struct cell {
    struct {
        uint32_t next, prev;
    } links[2]; /* 0: READY in its lane, LIVE in `live`; 1: READY in its level's `ready`, limited LIVE in
                   `exposed` */
    enum cell_place place;
    uint8_t level;      /* the job's priority, kept here because plugins can write to the slot */
    bool memory;        /* the job lies nowhere but in this slot */
    uint8_t pool;       /* LIVE: whose workers it was handed to */
    uint8_t flags;      /* the job's, likewise */
    bool in_arena;      /* the slot has room in the arena */
    bool limited;       /* LIVE: it counts against a limit, and may have to be taken back */
    uint64_t key_sum;   /* of its idempotency key, if memory */
    int64_t seq;        /* likewise the job's */
    int64_t expires_ms; /* and this, if it was never begun; else 0 */
    struct lane *lane;  /* while the slot holds a job */
    int64_t charged_ns, published_ns; /* LIVE */
    struct work
        *parked; /* cancels, and what is asked of a finished job, that wait until the slot has landed */
};

/* What a pool of workers takes. */
struct pool_flow {
    uint32_t live;            /* jobs of it that are LIVE */
    int64_t backlog_since_ns; /* more waits than goes out, since then; 0: no */
    int64_t ended;            /* attempts that ended, so far */
    int64_t sampled, sampled_ns;
    double per_ms; /* smoothed: rises at once, falls slowly */
    bool doubtful; /* somebody was killed who may have left a token while others sleep */
};

/* Makes a job of the body of a submit (front_http.compose). */
struct compose {
    enum err (*make)(void *context, struct text body, struct job **job, struct buf *why);
    void *context;
};

/* What the dispatcher knows of schedules (fire.c). One change at a time, so that each starts from what the
 * one before it left; what the file wants is brought about first. */
struct timetable {
    struct schedules in_force;
    struct schedules file; /* as the file gives them */
    bool unsettled;        /* in_force may differ from that */
    int64_t settle_ms;     /* real time: not before that, since the store was full */
    struct work *changes;  /* asked for by request, oldest first */
    bool changing;         /* one is being kept */
    int64_t next_ms;       /* real time: nothing is due before; INT64_MAX: nothing */
    int64_t refreshed_ns;
    bool unproven;    /* some of the file may not be proven */
    int64_t prove_ns; /* not before that: the tasks are being read again */
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
    struct doorbell bell;
    struct arena arena;
    struct cell *cells;   /* owned, [slots] */
    uint32_t *free_slots; /* owned, a stack */
    uint32_t free_count, hot_count, memory_count, landing_count;
    _Atomic uint32_t slots_used, slots_memory; /* the same, for other threads to read */
    _Atomic uint64_t arena_used;
    struct lineup lineup;
    struct limits whole; /* set by request for everything: PAUSED, DRAINING */
    int64_t last_seq;    /* the greatest that was seen */
    struct cell_list live, exposed;
    struct cell_list ready[PRIORITY_COUNT]; /* by level, those that became ready last at the end */
    struct pool_flow flows[LINEUP_POOLS];
    uint16_t stale[LINEUP_POOLS]; /* bits: levels whose ring holds void tickets */
    int64_t next_gate_ns;         /* monotonic: when a gate opens by time */

    uint32_t *death_slots; /* owned, [workers]: the slot whose landing resolves the worker's oldest death, or
                              none */
    int64_t next_due_ms;   /* real time; INT64_MAX: none */
    bool due_running, load_running, release_running;
    int64_t next_expiry_ms;     /* real time; INT64_MAX: none */
    struct store_expiry expiry; /* up to where expired jobs were looked at */
    bool expiry_running;
    int64_t next_memory_expiry_ms;   /* of jobs that lie in slots alone */
    struct lane *wanted[LOAD_LANES]; /* rows of these are to be read */
    uint32_t wanted_count;
    struct queue_level *loading_levels; /* that wait for the load under way, or the next one */
    uint32_t loads_running;
    bool stalled; /* a row did not fit: no load before something is released, or STALL_MS have passed */
    int64_t stalled_ns;
    struct work *deferred; /* CANCELs, PATCHes, REPLACEs of jobs that may be on their way into a slot */
    struct work
        *on_way; /* PATCHes, RETRYs, REPLACEs that the committer has: they may bring a job into a slot */
    struct work *settings; /* that wait for the one that is being kept, oldest first */
    bool setting_running;
    struct compose compose;
    struct timetable timetable;
    bool any_parked; /* some cell may have cancels that wait for its landing */
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
    struct compose compose; /* needed once there are schedules */
    struct meters *meters;  /* NULL: none */
};

enum err dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_setup *setup) MUST_USE;
void dispatcher_fini(struct dispatcher *dispatcher);

/* Any thread of the front; takes work and wakes the dispatcher. Fits committer's `deliver`. */
void dispatcher_give(void *dispatcher, struct work *work);

/* All of a turn but the sleep. */
void dispatcher_step(struct dispatcher *dispatcher);
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
/* A HELD slot among the ready ones of its lane, by rising seq. The lane is placed anew. */
void cells_go_ready(struct dispatcher *dispatcher, uint32_t slot);
void cells_leave_ready(struct dispatcher *dispatcher, uint32_t slot);
/* Handed to a worker; and that is over: run_ns, or −1 if no worker had it. */
void cells_go_live(struct dispatcher *dispatcher, uint32_t slot);
void cells_leave_live(struct dispatcher *dispatcher, uint32_t slot, int64_t run_ns);
/* Work that waits until the slot has landed; cancel_unpark or cancel_done takes it up again. */
void cells_park(struct dispatcher *dispatcher, uint32_t slot, struct work *work);

/* admit.c */
void admit_submitted(struct dispatcher *dispatcher, struct work *work);
void admit_bulk(struct dispatcher *dispatcher, struct work *work);
/* The place that was reserved for it (front_admit) is given up: it counts by itself now, or did not come to
 * that. */
void admit_arrived(struct dispatcher *dispatcher, const struct job_spec *spec);
/* A stored job that is not running and has not ended: to a slot or its lane, or among those put off. */
void admit_waiting(struct dispatcher *dispatcher, const struct job *job);
/* A stored job that is new: to a slot, to its lane, or nowhere until its time has come. */
void admit_new(struct dispatcher *dispatcher, const struct job *job);
/* A stored, queued job that counts as waiting from now on: a slot if nothing of its lane waits in the store
 * before it, else it stays cold. */
void admit_stored(struct dispatcher *dispatcher, const struct job *job);
/* A stored job that waits for its time or for others (else nothing is done) counts as such; and that it did,
 * being `from` before. */
void admit_put_off(struct dispatcher *dispatcher, const struct job *job);
void admit_put_off_ends(struct dispatcher *dispatcher, const struct job_spec *spec, enum job_state from);
bool admit_is_put_off(enum job_state state);
/* A slot for a row that was read, unless it has one. ERR_FULL: there is no room. */
enum err admit_row(struct dispatcher *dispatcher, const struct job *job) MUST_USE;
/* A queued row has no slot (any more): its lane looks for it from there. */
void admit_reopen(struct dispatcher *dispatcher, const struct job_spec *spec);
/* Gives the slot back: index, arena, tray, claim word. Its row is durable, or there is none. */
void admit_release(struct dispatcher *dispatcher, uint32_t slot);
/* Back to the store, where its row is queued. A HELD slot that is in no list. */
void admit_send_back(struct dispatcher *dispatcher, uint32_t slot);
/* Takes a non-FREE slot that a new front found, into the index, the arena and the counts. */
void admit_adopt(struct dispatcher *dispatcher, uint32_t slot);
/* The job of this slot has a row from now on. */
void admit_mark_stored(struct dispatcher *dispatcher, uint32_t slot);
/* Takes a HELD slot among the ready ones. */
void admit_ready(struct dispatcher *dispatcher, uint32_t slot);
/* How many slots stored jobs may have. */
uint32_t admit_hot_most(const struct dispatcher *dispatcher);

/* fetch.c */
void fetch_ask(struct dispatcher *dispatcher); /* for everything whose time has come */
void fetch_loaded(struct dispatcher *dispatcher, struct work *work);
void fetch_due(struct dispatcher *dispatcher, struct work *work);
void fetch_expired(struct dispatcher *dispatcher, struct work *work);
void fetch_released(struct dispatcher *dispatcher, struct work *work);
/* Rows of this lane are wanted: before anything else of its level of the queue if it is first in line. */
void fetch_want(struct dispatcher *dispatcher, struct lane *lane, bool first);
void fetch_due_at(struct dispatcher *dispatcher, int64_t real_ms);
void fetch_expiry_at(struct dispatcher *dispatcher, const struct job_spec *spec);

/* publish.c */
void publish_ready(struct dispatcher *dispatcher);
/* QUEUED → READY again, if no worker has claimed it. */
bool publish_take_back(struct dispatcher *dispatcher, uint32_t slot);
/* All that is published and not claimed. */
void publish_take_all_back(struct dispatcher *dispatcher);

/* landing.c */
void landing_collect(struct dispatcher *dispatcher);
void landing_outcome(struct dispatcher *dispatcher, struct work *work);
/* A job built from a slot: args and result borrow shared memory. Ends the front if the slot is impossible. */
struct job *landing_job(struct dispatcher *dispatcher, uint32_t slot);
/* Whether a spec in shared memory can be: its texts end, its enumerations are ones. */
bool landing_spec_sound(const struct job_spec *spec);
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
/* A job that waited without a slot, as `from`, has ended in the store: counted, logged, and its waiters told.
 */
void cancel_ended_cold(struct dispatcher *dispatcher, const struct job *job, enum job_state from);
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

/* The job in this READY slot was not started in time. */
void cancel_expired(struct dispatcher *dispatcher, uint32_t slot);

/* configure.c */
/* The limits and pools that the file gives queues and tasks. */
void configure(struct dispatcher *dispatcher, const struct config *config);
const char *configure_pool_name(const struct dispatcher *dispatcher, uint32_t pool);

/* change.c */
/* What is set by request over what the file says: in force. */
void change_join(struct dispatcher *dispatcher);
void change_asked(struct dispatcher *dispatcher, struct work *work);
void change_answered(struct dispatcher *dispatcher, struct work *work);
/* The job work->id, which waits, has no slot any more, so that its row may be changed. ERR_AGAIN: the work
 * was put off, and is looked at again; ERR_NOT_NOW: the job does not wait, or lies in its slot alone. */
enum err change_make_cold(struct dispatcher *dispatcher, struct work *work) MUST_USE;
/* A PATCH, RETRY or REPLACE goes to the committer; it is back. Nothing else is asked of the store for that
 * job in between: it would hit a job that has got a slot meanwhile, and may run. */
void change_send(struct dispatcher *dispatcher, struct work *work);
void change_is_back(struct dispatcher *dispatcher, struct work *work);
bool change_on_way(const struct dispatcher *dispatcher, struct id id);
void change_set(struct dispatcher *dispatcher, struct work *work);
void change_set_done(struct dispatcher *dispatcher, struct work *work);
/* Limits have changed: everything stands anew, and what may not run now is taken back. */
void change_settle(struct dispatcher *dispatcher);
/* What was set by request in earlier lives. */
enum err change_load_settings(struct dispatcher *dispatcher, struct store_reader *reader) MUST_USE;

/* replace.c */
void replace_asked(struct dispatcher *dispatcher, struct work *work);
void replace_answered(struct dispatcher *dispatcher, struct work *work);

/* fire.c */
void fire_ask(struct dispatcher *dispatcher); /* for every schedule whose time has come */
void fire_done(struct dispatcher *dispatcher, struct work *work);
void fire_trigger(struct dispatcher *dispatcher, struct work *work);

/* prove.c */
/* The job of a schedule as it would be submitted now; a reference for the caller. Else why not. */
enum err prove_make(struct dispatcher *dispatcher, const struct schedule *schedule, struct job **job,
                    struct buf *why) MUST_USE;
/* It says nothing about the schedule: the catalogue is not there yet, or memory is short. */
bool prove_is_passing(enum err err);
/* So a time becomes no job: last_error, and a line in the log unless it said that a minute ago. */
void prove_failed(struct schedule *schedule, enum err err, int64_t now_ms, const struct buf *why);
/* Those of the file that are new are looked at once. */
void prove_ask(struct dispatcher *dispatcher);
/* The file was read again, and the catalogue is to come; it has come: they are all looked at again. */
void prove_after_reload(struct dispatcher *dispatcher);
void prove_again(struct dispatcher *dispatcher);

/* timetable.c */
void timetable_change(struct dispatcher *dispatcher, struct work *work);
void timetable_changed(struct dispatcher *dispatcher, struct work *work);
/* The next change, if none is under way. */
void timetable_go_on(struct dispatcher *dispatcher);
/* What the file gives, from now on. */
void timetable_configure(struct dispatcher *dispatcher, const struct config *config);
/* What was kept in earlier lives. */
enum err timetable_load(struct dispatcher *dispatcher, struct store_reader *reader) MUST_USE;
enum err timetable_look(const struct dispatcher *dispatcher, struct look *look) MUST_USE;
/* When the schedule is to be looked at next (real time). */
int64_t timetable_wakes_ms(const struct schedule *schedule);

/* forecast.c */
/* What holds up the job of that lane with the seq in `why` (NO_SEQ: one that is submitted now), and when it
 * would start. slot: its slot, or HOT_NONE. */
void forecast(struct dispatcher *dispatcher, const struct lane *lane, uint32_t slot, struct why *why);

/* look.c */
void look_asked(struct dispatcher *dispatcher, struct work *work);

/* finished.c */
void finished_asked(struct dispatcher *dispatcher, struct work *work);
void finished_answered(struct dispatcher *dispatcher, struct work *work);

/* recovery.c */
/* Errors of the store. */
enum err recovery_take_over(struct dispatcher *dispatcher) MUST_USE;
enum err recovery_charge(struct store *store, const struct config *config) MUST_USE;

#endif
