/* The lineup: what waits, and which of it is next. The rules of order and limits, without slots, store or
 * clock: every time is an argument, so that a test can go through years.
 *
 *     pool ─┬─ level 9 ─┬─ queue ─┬─ lane ─ jobs in order of seq
 *           ├─ level 8  ├─ queue  ├─ lane
 *           …           …         …
 *
 *  1. A higher level (priority) goes first.
 *  2. Within a level the queue goes first that has had the least of the workers' time, by its weight (its
 * `pass`: time that its jobs ran, over its weight). A queue that had nothing to run for a while has no claim
 * to that time: its pass is raised to that of the queue served last.
 *  3. Within a queue and level the job with the lowest seq goes first.
 *  4. Jobs of one lane (queue, task, concurrency key, level) share every limit, so a lane that is held up
 * holds up nothing but itself. It waits at the gate that is closed, and the gate wakes it; a queue whose own
 * gate is closed waits as a whole.
 *  5. A gate counts jobs in flight (handed to workers) against its concurrency, and meters its rate by GCRA
 * (ITU-T I.371): `tat_ns` is when the next job would be due if they came evenly; one may go if it is at most
 *     (burst − 1) intervals ahead. That outlives the lineup (meters.h); another rate takes it over, but never
 * more than a burst of its own.
 *  6. A gate that is open has no waiter that has not been offered the place: whoever is woken and does not
 * use it passes it on, be it that it is stopped elsewhere (lineup_next), that its queue is, or that it has no
 * job any more (lineup_place); and so does a taker while the gate is open still.
 *
 * One thread, the dispatcher's. Owns everything in it. Memory that cannot be had ends the front (CHECK).
 *
 *     lane = lineup_lane(lineup, &spec);            find or make
 *     lane->…_seq = …; lineup_place(lineup, lane);  after each change of its head
 *     while ((lane = lineup_next(lineup, pool, level, now_ns)) != NULL)
 *         …hand its first job to a worker…, lineup_take(lineup, lane, now_ns);
 *     lineup_give(lineup, lane, …);                 it has ended, or was taken back
 */
#ifndef FORKPOOL_LINEUP_H
#define FORKPOOL_LINEUP_H

#include "heap.h"
#include "job.h"
#include "limit.h"
#include "meters.h"
#include "why.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LINEUP_POOLS = 16, QUEUE_BUCKETS = 1024 };
#define NO_SEQ INT64_MAX

enum gate_kind { GATE_QUEUE, GATE_TASK, GATE_KEY, GATE_KINDS };

/* Slots in a row, through their cells (dispatcher.h). */
struct cell_list {
    uint32_t first, last, count;
    uint32_t link; /* which of a cell's two links holds this list together */
};

struct gate {
    enum gate_kind kind;
    bool paused;
    int64_t concurrency;        /* LIMIT_NOT_SET: none */
    int64_t interval_ns, burst; /* of the rate; interval_ns 0: none */
    int64_t rate;               /* as limit_rate packs it, to be shown */
    uint32_t in_flight;
    int64_t tat_ns;
    uint64_t sum;           /* of kind and names: which meter is its own */
    struct heap waiters;    /* lanes: of a task or key that is closed */
    struct heap_node timer; /* among the closed gates that open by time */
    int64_t opens_ns;
};

struct queue;

/* One priority of a queue, as it stands among the queues of its pool. */
struct queue_level {
    struct queue *queue;
    uint8_t level;
    bool loading;                     /* its first lane is being read from the store */
    struct queue_level *next_loading; /* the dispatcher's list of those */
    struct heap lanes;                /* those that are not waiting at a gate */
    struct heap_node node;
};

struct queue {
    char name[NAME_BYTES];
    uint32_t pool;
    struct limits file, set, now; /* by configuration; by request; in force */
    struct gate gate;
    bool parked;          /* its gate is closed: none of its levels stands in line */
    bool between_pools;   /* pass is that beyond its pool's: see lineup_leave_pool */
    struct lane *offered; /* its lanes that were woken, and have neither gone nor passed it on */
    struct queue_level levels[PRIORITY_COUNT];
    int64_t pass;   /* nanoseconds of workers' time, over the weight */
    int64_t run_ns; /* how long its jobs run, smoothed: what a job is charged until it has ended */
    int64_t waiting;
    _Atomic(struct queue *) next; /* of all; a queue is never forgotten */
    struct queue *next_in_bucket;
    /* For other threads to read; see lineup_reserve. */
    _Atomic int64_t depth;    /* queued */
    _Atomic int64_t put_off;  /* scheduled, retrying or blocked: these wait, too */
    _Atomic int64_t incoming; /* reserved places */
    _Atomic int64_t max_depth;
    _Atomic int64_t starts_milli; /* per second, times 1000; measured */
    _Atomic bool closed, held;    /* takes no new jobs; paused */
    int64_t starts;               /* handed to workers so far */
    int64_t starts_counted;
    double starts_per_s;
};

/* A task as far as limits go. */
struct task_line {
    char name[NAME_BYTES];
    struct limits file, set, now;
    struct gate gate;
    int64_t run_ns;         /* how long its jobs run, smoothed; 0: none has ended yet */
    struct task_line *next; /* of all */
};

/* A concurrency key in its scope: of the task or queue that limits keys, else of everything. */
struct key_line {
    struct gate gate;
    const void *scope; /* a task_line, a queue or NULL */
    uint64_t hash;
    struct key_line *next; /* of its bucket */
    uint32_t lanes;        /* that refer to it */
    char key[KEY_BYTES];
};

struct lane {
    int64_t id;
    struct lane *next; /* of its bucket */
    struct queue *queue;
    struct task_line *task;
    struct key_line *key; /* NULL: its jobs have none */
    struct heap *heap;    /* where it stands: in its level's, or among a gate's waiters; NULL: nowhere */
    struct heap_node node;
    uint8_t level;
    struct lane *offered_next, *offered_prev; /* of its queue */
    bool offered;
    char concurrency_key[KEY_BYTES];

    /* The dispatcher's; lineup_place after a change of these. */
    int64_t ready_seq; /* of its first job that has a slot; NO_SEQ: none */
    int64_t cold_seq;  /* no job without a slot has a lower one; NO_SEQ: all have slots */
    int64_t cold_created_ms;
    int64_t waiting; /* queued, not handed to a worker, with or without a slot */
    uint32_t slots;  /* that hold jobs of it */
    struct cell_list ready;
    bool loading, wanted; /* rows of it are being read; are to be read */
    int64_t reopened_seq; /* while loading: a row below what is being read lost its slot; NO_SEQ: none */
};

struct line_pool {
    struct heap levels[PRIORITY_COUNT]; /* queue_levels */
    int64_t pass;                       /* of the queue that was served last */
};

struct lineup {
    struct line_pool pools[LINEUP_POOLS];
    _Atomic(struct queue *) queues; /* any thread of the front may walk them, and find or make one */
    _Atomic(struct queue *) queue_buckets[QUEUE_BUCKETS]; /* the same by name */
    struct queue *last_queue;                             /* under the mutex */
    pthread_mutex_t queues_mutex;                         /* to make one */
    struct task_line *tasks;
    struct lane **lanes; /* [bucket_count], by id */
    struct key_line **keys;
    size_t bucket_count, lane_count, key_bucket_count, key_count;
    int64_t measured_ns;
    int64_t now_ns;          /* the latest that was told */
    struct heap timers;      /* gates that open by time */
    struct meters *meters;   /* what rates have used up in earlier lives; NULL: nothing is known. Borrowed */
    int64_t key_concurrency; /* where neither queue nor task says */
    bool paused;             /* the whole */
    _Atomic bool held, closed; /* the same, and whether it takes no new jobs, for any thread */
};

static inline struct queue *lineup_first_queue(struct lineup *lineup)
{
    return atomic_load_explicit(&lineup->queues, memory_order_acquire); /* L2: pairs with L1 in make_queue */
}

static inline struct queue *lineup_next_queue(struct queue *queue)
{
    return atomic_load_explicit(&queue->next, memory_order_acquire); /* L2 */
}

void lineup_init(struct lineup *lineup, int64_t key_concurrency, struct meters *meters);
void lineup_fini(struct lineup *lineup);

/* The lane of a job; made, with its queue and task, if it is not there. */
struct lane *lineup_lane(struct lineup *lineup, const struct job_spec *spec);
/* NULL if it is not there. */
struct lane *lineup_find(const struct lineup *lineup, int64_t id);
/* Find or make. The queue: any thread of the front. */
struct queue *lineup_queue(struct lineup *lineup, const char *name);
struct task_line *lineup_task(struct lineup *lineup, const char *name);

/* The head of the lane is another than before. Forgets the lane once nothing of it waits or is in flight: do
 * not use it afterwards. */
void lineup_place(struct lineup *lineup, struct lane *lane);
/* So many jobs more wait in the lane, or (negative) fewer. */
void lineup_wait(struct lane *lane, int64_t jobs);
static inline int64_t lane_head(const struct lane *lane)
{
    return lane->ready_seq < lane->cold_seq ? lane->ready_seq : lane->cold_seq;
}

/* Whether the queue takes one job more: OK, QUEUE_CLOSED, QUEUE_FULL, and how it stands. OK reserves a place,
 * which is given back once the job counts, or does not come to that. Any thread of the front. */
enum err lineup_reserve(struct lineup *lineup, struct queue *queue, struct admission *admission) MUST_USE;
void lineup_unreserve(struct queue *queue);
enum err lineup_takes(const struct lineup *lineup, const struct queue *queue,
                      struct admission *admission) MUST_USE; /* the same without a place */
/* So many jobs more of the queue wait for their time or for others, or (negative) fewer. */
void lineup_put_off(struct lineup *lineup, const char *queue, int64_t jobs);

/* The lane whose first job goes next, or NULL. */
struct lane *lineup_next(struct lineup *lineup, uint32_t pool, uint32_t level, int64_t now_ns);

/* Its first job goes: what its queue is charged for now, to be handed to lineup_give. */
int64_t lineup_take(struct lineup *lineup, struct lane *lane, int64_t now_ns);
/* It has ended after running for run_ns, or (run_ns < 0) was taken back before a worker had it. */
void lineup_give(struct lineup *lineup, struct lane *lane, int64_t charged_ns, int64_t run_ns,
                 int64_t now_ns);

/* Nothing of this level of the queue goes before lineup_loaded: its first lane is being read. */
void lineup_loading(struct lineup *lineup, struct queue_level *level);
void lineup_loaded(struct lineup *lineup, struct queue_level *level);

/* True if a job of this lane counts against some limit. */
bool lane_is_limited(const struct lane *lane);
/* True if it waits at a gate that is closed, or its whole queue does. */
bool lane_is_held_up(const struct lane *lane);
/* True if nothing of the lane may run before somebody says so. */
bool lane_is_paused(const struct lineup *lineup, const struct lane *lane);

/* Opens what opens by time; *next_ns: when the next gate does, INT64_MAX: none. */
void lineup_tick(struct lineup *lineup, int64_t now_ns, int64_t *next_ns);

/* Before its pool is changed; lineup_resettle puts it in line again. */
void lineup_leave_pool(struct lineup *lineup, struct queue *queue);

/* How fast jobs of each queue start, smoothed over some seconds; looks at the clock once in MEASURE_MS. */
enum { MEASURE_MS = 1000 };
void lineup_measure(struct lineup *lineup, int64_t now_ns);
/* A job of the task has run for so long. */
void lineup_ran(struct task_line *task, int64_t run_ns);

/* Limits have changed: of a queue, of a task (`now` of each is what counts), of key_concurrency. Everything
 * is placed anew, with no job in flight: the caller then counts those that are, by lineup_count. */
void lineup_resettle(struct lineup *lineup);
void lineup_count(struct lane *lane);

/* Of the jobs that a gate has let go, those that lie out for a worker and that none has begun: [gate_kind]. A
 * job is held up by those that run, and waits behind those that are out. */
struct out {
    uint32_t jobs[GATE_KINDS];
};
/* Why a job of this lane that is not out itself does not go. */
void lineup_why(const struct lineup *lineup, const struct lane *lane, const struct out *out, int64_t now_ns,
                struct why *why);
/* For how long the rate of the gate holds up a job before which so many go, those that are out among them. */
int64_t lineup_rate_ns(const struct gate *gate, uint32_t out, int64_t before, int64_t now_ns);
/* Reasons that hold for a queue or task as a whole. */
void lineup_gate_reasons(const struct gate *gate, int64_t now_ns, bool holds[REASON_COUNT]);
bool gate_is_open(const struct gate *gate, int64_t now_ns);

#endif
