/* The world of the simulation: its clock, its chance, the jobs, limits and workers as they should be, and the
 * real front that is tried. See sim_dispatcher.c. */
#ifndef FORKPOOL_TESTS_SIM_WORLD_H
#define FORKPOOL_TESTS_SIM_WORLD_H

#include "run.h"

#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

/* No runner of Check is there: what the fixture asserts ends the process. */
static inline _Noreturn void fixture_broken(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    _exit(1);
}
#undef ck_assert_msg
#define ck_assert_msg(expression, ...)                                                                       \
    ((expression) ? (void)0 : fixture_broken(__FILE__, __LINE__, #expression))

#include "dispatcher_fixture.h"
#include "extras.h"

enum {
    QUEUES = 4,
    TASKS = 3,
    KEYS = 4,
    POOLS = 3,
    JOBS = 60,
    REQUESTS = 400,
    PARENTS = 3,
    UNIQUES = 2,
    BULK = 8,
    SCHEDULES = 2,
    FIRED = 40, /* jobs that schedules make, besides */
    SLOTS = 64,
    MAX_CRASHES = 3,
    MAX_LOST = 20,
    AWAY_MS = 30,          /* … without a front */
    JUMP_MS = 50,          /* the clock moves by at most so much at a time */
    BOUND_MS = 10 * 60000, /* by when all has ended once everything is resumed */
    IDLE_MS =
        700, /* a job that may run does so in so long and so many rounds if a worker has nothing to do */
    IDLE_ROUNDS = 30,
    SCOPES = QUEUES + TASKS + 1
};

/* --- clock --- */

static int64_t now_ns, base_ms; /* virtual, since the scenario began; real time of that */

int64_t __wrap_clock_mono_ns(void);
int64_t __wrap_clock_real_ms(void);

int64_t __wrap_clock_mono_ns(void)
{
    return NS_PER_SEC + now_ns;
}

int64_t __wrap_clock_real_ms(void)
{
    return base_ms + now_ns / NS_PER_MS;
}

/* --- chance --- */

static uint64_t chance_state;

static inline uint32_t below(uint32_t count)
{
    return next_random(&chance_state) % count;
}

static inline int64_t between(int64_t least, int64_t most)
{
    return least + (int64_t)below((uint32_t)(most - least + 1));
}

static inline bool percent(uint32_t share)
{
    return below(100) < share;
}

/* --- what is said --- */

static bool tracing;
static uint64_t seed;

static inline void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void trace(const char *format, ...)
{
    va_list list;
    if (!tracing)
        return;
    printf("%9.3f ms  ", (double)now_ns / NS_PER_MS);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout); /* what comes next may abort */
}

/* An invariant does not hold. */
static inline _Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline _Noreturn void broken(const char *format, ...)
{
    va_list list;
    fflush(stdout);
    fprintf(stderr, "seed %llu, at %.3f ms: ", (unsigned long long)seed, (double)now_ns / NS_PER_MS);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    _exit(1);
}

/* --- what should be --- */

struct sim_job {
    struct id id;
    uint32_t queue, task, key; /* key 0: none */
    uint8_t priority, durability;
    int64_t sent_ns, expires_ms, not_before_ms; /* real time; 0: none */
    uint32_t max_attempts;
    bool sent, accepted, gone; /* gone: refused, or dropped with the front before it was accepted */
    bool running, over;        /* over: it may not start again unless it is retried */
    bool pristine;             /* never begun, changed or retried: it goes in order of seq */
    bool retried, cancel_asked, stop_asked;
    uint32_t runs, errors, crashes, lost; /* runs: in all; the others since it was retried */
    bool ran;                             /* since it was retried */
    bool failed;                          /* its last run used up what it may try */
    enum outcome last;
    int64_t may_since_ns;    /* nothing has held it up since then; −1: something does */
    uint32_t may_rounds;     /* … for so many rounds in which an idle worker found nothing */
    uint32_t expired_rounds; /* rounds of committer and dispatcher since it expired */
    uint32_t after_count;    /* what it waits for */
    int after[PARENTS];
    uint32_t unique; /* 0: no uniqueness key */
    uint8_t after_policy, on_conflict;
    struct id batch; /* zero: none */
    int schedule;    /* that made it; −1: none */
    bool patched;
    int bulk; /* the request that brought it with others; −1: none */
};

struct request {
    struct errand errand; /* first */
    int job;
    bool open;
    struct setting setting;
    struct store_patch patch;
    struct bulk bulk; /* of jobs from `job` on */
    struct bulk_line lines[BULK];
    size_t first[BULK + 1], befores[BULK * PARENTS]; /* bulk's */
    bool any_unique;
    struct schedule_change change;
    char definition[256];
};

/* Starts that a rate counts. */
struct starts {
    int64_t at_ns[JOBS * 8];
    uint32_t count;
};

struct sim_worker {
    uint32_t pool;
    int job; /* −1: none */
    uint64_t ticket;
    int64_t ends_ns, back_ns; /* of its run; when it is there again after a death */
    enum outcome outcome;
    bool hungry;           /* it has just looked for a job in vain */
    bool retryable, quiet; /* quiet: it dies between DONE and its completion */
    bool gone;
};

/* A slot whose job stands at the front of its lane with nothing in its way, since when. */
struct front_slot {
    int64_t seq, since_ns;
    uint64_t since_round; /* 0: it does not */
};

struct sim_schedule {
    int step_s; /* it is due at each multiple of so many seconds */
    enum overlap overlap;
    enum catch_up catch_up;
    uint32_t queue, task;
    int64_t first_ms; /* its first time; 0: not known */
};

static struct sim_job jobs[JOBS + FIRED];
static struct sim_schedule schedules[SCHEDULES];
static struct request requests[REQUESTS];
static struct sim_worker workers[WORKER_COUNT];
static struct limits queue_limits[QUEUES], task_limits[TASKS];
static bool whole_paused;
static int64_t key_concurrency;
static struct starts queue_starts[QUEUES], task_starts[TASKS], key_starts[SCOPES][KEYS + 1];
static struct front_slot front_slots[SLOTS];
static uint32_t job_count, request_count, worker_count, queue_count, task_count, key_count, pool_count;
static uint32_t queue_pool[QUEUES];
static uint64_t round_number;
static bool bulks_likely;
static struct id batches[JOBS];
static uint32_t batch_count, schedule_count;
static struct {
    int64_t seq;
    uint32_t queue, task, key, priority;
    bool used;
} last_of_lane[JOBS * 2];

static inline const char *name_of(char letter, uint32_t number)
{
    static char names[4][16];
    static uint32_t turn_of;
    char *name = names[turn_of++ % 4];
    snprintf(name, sizeof names[0], "%c%u", letter, number);
    return name;
}

static inline int job_of(struct id id)
{
    for (uint32_t i = 0; i < job_count; i++)
        if (id_equal(jobs[i].id, id))
            return (int)i;
    broken("a slot holds a job that nobody submitted");
}

/* --- the front --- */

static struct meter meter_entries[METERS_MOST]; /* outlives a front */
static struct meters meters = {meter_entries};
static struct pool_config pool_configs[POOLS];
static struct queue_config queue_configs[QUEUES];

static inline void front_begins(void)
{
    ok(hot_init(&hot, segment.shape.slot_count));
    committer_init(&committer, store, metrics, dispatcher_give, &dispatcher);
    struct dispatcher_setup setup = {&config,    &segment, &hot,      waiters, metrics,
                                     &committer, wake_fd,  composing, &meters};
    ok(dispatcher_init(&dispatcher, &setup));
    ok(recovery_take_over(&dispatcher));
}

static inline void front_ends(void)
{
    free_inbox(&committer.inbox);
    free_inbox(&dispatcher.inbox);
    free_list(dispatcher.deferred);
    free_list(dispatcher.settings);
    free_list(dispatcher.timetable.changes);
    for (uint32_t i = 0; i < segment.shape.slot_count; i++)
        free_list(dispatcher.cells[i].parked);
    dispatcher_fini(&dispatcher);
    hot_fini(&hot);
    sem_destroy(&committer.wake);
}

static inline void make_config(void)
{
    config = (struct config){.jobs_max_crashes = MAX_CRASHES,
                             .jobs_max_lost = MAX_LOST,
                             .jobs_key_concurrency = key_concurrency,
                             .state_dir = folder,
                             .pools = pool_configs,
                             .pool_count = pool_count,
                             .queues = queue_configs,
                             .queue_count = queue_count};
    for (uint32_t i = 0; i < queue_count; i++) {
        queue_configs[i] = (struct queue_config){.weight = LIMIT_NOT_SET,
                                                 .concurrency = LIMIT_NOT_SET,
                                                 .burst = LIMIT_NOT_SET,
                                                 .key_concurrency = LIMIT_NOT_SET,
                                                 .key_burst = LIMIT_NOT_SET,
                                                 .max_depth = LIMIT_NOT_SET};
        strcpy(queue_configs[i].name, name_of('q', i));
        strcpy(queue_configs[i].pool, name_of('p', queue_pool[i]));
    }
}

/* Every pool has a worker at least. */
static inline void make_world_segment(uint32_t slots)
{
    struct segment_shape shape = {.slot_count = slots,
                                  .worker_count = worker_count,
                                  .pool_count = pool_count,
                                  .arena_bytes = 1 << 14,
                                  .tray_bytes = 1 << 13,
                                  .max_result = 1 << 12};
    for (uint32_t i = 0, first = 0; i < pool_count; i++) {
        uint32_t count = i + 1 < pool_count ? 1 : worker_count - first;
        shape.pools[i] = (struct segment_pool){.first = first, .count = count};
        strcpy(shape.pools[i].name, name_of('p', i));
        pool_configs[i] = (struct pool_config){.workers = count, .min_workers = count};
        strcpy(pool_configs[i].name, name_of('p', i));
        for (uint32_t w = first; w < first + count; w++)
            workers[w] = (struct sim_worker){.pool = i, .job = -1};
        first += count;
    }
    ok(segment_create(&shape, &segment));
    atomic_store(&segment.header->catalogue_epoch, 1);
}

#endif
