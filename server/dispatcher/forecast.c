/* Why a job does not run, and when it would: at each place where it has to queue up (the workers of its pool,
 * each limit that it counts against) by what runs there, by what goes before it, and by how long jobs of
 * those tasks ran so far. The slowest place decides. What nobody can know is infinite. */
#include "dispatcher.h"

#include "clock.h"
#include "scoreboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROW_SECONDS 0.1 /* until one more worker is up, of a pool that may have more */

enum place { AT_QUEUE = GATE_QUEUE, AT_TASK = GATE_TASK, AT_KEY = GATE_KEY, AT_WORKERS, PLACES };

struct crowd {
    double ends[WORKERS_MAX]; /* seconds until each of those that run here has ended */
    size_t running;
    int64_t before;      /* jobs that go before this one */
    double work_seconds; /* how long all of those will run */
};

struct outlook {
    struct dispatcher *dispatcher;
    const struct lane *lane;
    int64_t seq;
    uint32_t slot; /* of the job, if it is out itself: published, and not begun; else HOT_NONE */
    bool passed;   /* in the order of publishing */
    struct out out;
    struct crowd at[PLACES];
    int64_t position;
    bool exact;
};

/* --- how long --- */

static double run_seconds(const struct lane *lane)
{
    return lane->task->run_ns > 0 ? (double)lane->task->run_ns / NS_PER_SEC : INFINITY;
}

/* What has run for longer than usual is taken to go on for as long again. */
static double rest_seconds(const struct lane *lane, const struct slot *slot)
{
    double run = run_seconds(lane);
    double ran = (double)(clock_real_ms() - slot->attempt.started_ms) / 1000;
    if (slot_claim_load(slot).state == SLOT_DONE)
        return 0;
    if (isinf(run) || slot->attempt.started_ms <= 0 || ran < 0)
        return run;
    return ran < run ? run - ran : ran;
}

static int by_size(const void *a, const void *b)
{
    const double *one = a, *two = b;
    return (*one > *two) - (*one < *two);
}

/* `idle` may start now (below 0: so many more run than may), and one more with each that ends; each then goes
 * on with what comes next. */
static double start_seconds(struct crowd *crowd, int64_t idle)
{
    double started = (double)idle, wanted = (double)crowd->before + 1, servers = started, now = 0;
    double run = crowd->before > 0 ? crowd->work_seconds / (double)crowd->before : INFINITY;
    qsort(crowd->ends, crowd->running, sizeof crowd->ends[0], by_size);
    for (size_t i = 0; started < wanted && i < crowd->running && !isinf(crowd->ends[i]); i++) {
        double more = servers > 0 ? servers * (crowd->ends[i] - now) / run : 0;
        if (started + more >= wanted)
            break;
        started += more + 1;
        servers++;
        now = crowd->ends[i];
    }
    if (started >= wanted)
        return now;
    return servers > 0 ? now + (wanted - started) * run / servers : INFINITY;
}

/* --- what is out, and what runs --- */

static bool is_at(const struct outlook *outlook, const struct lane *lane, enum place place)
{
    const struct lane *mine = outlook->lane;
    switch (place) {
    case AT_QUEUE:
        return lane->queue == mine->queue;
    case AT_TASK:
        return lane->task == mine->task;
    case AT_KEY:
        return mine->key != NULL && lane->key == mine->key;
    case AT_WORKERS:
        return lane->queue->pool == mine->queue->pool;
    case PLACES:
        break;
    }
    return false;
}

static void add_running(struct crowd *crowd, double seconds)
{
    if (crowd->running < WORKERS_MAX)
        crowd->ends[crowd->running++] = seconds;
}

static void add_before(struct crowd *crowd, const struct lane *lane, int64_t jobs)
{
    crowd->before += jobs;
    if (jobs > 0)
        crowd->work_seconds += (double)jobs * run_seconds(lane);
}

/* A worker takes it before this job. */
static bool goes_before(const struct outlook *outlook, const struct cell *cell)
{
    return cell->level == outlook->lane->level ? !outlook->passed : cell->level > outlook->lane->level;
}

static void note_out(struct outlook *outlook, uint32_t slot)
{
    const struct cell *cell = &outlook->dispatcher->cells[slot];
    if (slot == outlook->slot) {
        outlook->passed = true;
        return;
    }
    for (int place = 0; place < GATE_KINDS; place++) {
        if (!is_at(outlook, cell->lane, (enum place)place))
            continue;
        outlook->out.jobs[place]++;
        add_before(&outlook->at[place], cell->lane, 1); /* it has its place already, however urgent it is */
    }
    if (!goes_before(outlook, cell))
        return;
    outlook->position += is_at(outlook, cell->lane, AT_QUEUE);
    if (cell->pool == outlook->lane->queue->pool)
        add_before(&outlook->at[AT_WORKERS], cell->lane, 1);
}

static void note_running(struct outlook *outlook, uint32_t slot)
{
    const struct cell *cell = &outlook->dispatcher->cells[slot];
    double seconds = rest_seconds(cell->lane, &outlook->dispatcher->segment->slots[slot]);
    for (int place = 0; place < GATE_KINDS; place++)
        if (is_at(outlook, cell->lane, (enum place)place))
            add_running(&outlook->at[place], seconds);
    if (cell->pool == outlook->lane->queue->pool)
        add_running(&outlook->at[AT_WORKERS], seconds);
}

static void look_at_live(struct outlook *outlook)
{
    const struct dispatcher *dispatcher = outlook->dispatcher;
    for (uint32_t at = dispatcher->live.first; at != CELL_END;
         at = dispatcher->cells[at].links[dispatcher->live.link].next) {
        if (slot_claim_load(&dispatcher->segment->slots[at]).state == SLOT_QUEUED)
            note_out(outlook, at);
        else
            note_running(outlook, at);
    }
}

/* --- what waits --- */

/* How many of its lane stand before it: exact as far as its jobs have slots, else by the share of the seqs.
 */
static int64_t before_in_lane(const struct dispatcher *dispatcher, const struct lane *lane, int64_t seq,
                              bool *exact)
{
    int64_t before = 0;
    if (seq == NO_SEQ)
        return lane->waiting;
    for (uint32_t at = lane->ready.first; at != CELL_END && dispatcher->cells[at].seq < seq;
         at = dispatcher->cells[at].links[lane->ready.link].next)
        before++;
    if (seq < lane->cold_seq || lane->cold_seq == NO_SEQ || seq == lane->cold_seq)
        return before;
    *exact = false;
    int64_t cold = lane->waiting - lane->ready.count, span = dispatcher->last_seq - lane->cold_seq;
    if (cold <= 1 || span <= 0)
        return before;
    double share = (double)(seq - lane->cold_seq) / (double)span;
    return before + (int64_t)(share * (double)(cold - 1));
}

/* Of the levels above all, of its own level those with a lower seq. */
static int64_t before_in_line(struct outlook *outlook, const struct lane *lane)
{
    bool own = lane->queue == outlook->lane->queue, exact = true;
    int64_t before = 0;
    if (lane->level > outlook->lane->level)
        before = lane->waiting;
    else if (lane->level == outlook->lane->level && outlook->slot == HOT_NONE)
        before = before_in_lane(outlook->dispatcher, lane, outlook->seq, &exact);
    outlook->exact = outlook->exact && (exact || !own);
    return before;
}

/* It takes workers as soon as there are any. */
static bool takes_workers(const struct outlook *outlook, const struct lane *lane)
{
    return lane == outlook->lane ||
           (!lane_is_held_up(lane) && !lane_is_paused(&outlook->dispatcher->lineup, lane));
}

static void look_at_lane(struct outlook *outlook, const struct lane *lane)
{
    bool own = is_at(outlook, lane, AT_QUEUE), above = lane->level > outlook->lane->level;
    int64_t before = before_in_line(outlook, lane);
    for (int place = 0; place < GATE_KINDS; place++)
        if (is_at(outlook, lane, (enum place)place))
            add_before(&outlook->at[place], lane, before);
    outlook->position += own ? before : 0;
    if (is_at(outlook, lane, AT_WORKERS) && (own || above) && takes_workers(outlook, lane))
        add_before(&outlook->at[AT_WORKERS], lane, before);
}

static int64_t weight_of(const struct queue *queue)
{
    int64_t weight = queue->now.values[LIMIT_WEIGHT];
    return weight == LIMIT_NOT_SET ? 1 : weight;
}

/* Of another queue as many as its share has it while this job and those of its queue before it start. */
static void look_at_other(struct outlook *outlook, const struct lane *lane)
{
    const struct queue *mine = outlook->lane->queue, *other = lane->queue;
    if (other == mine || other->pool != mine->pool || lane->level != outlook->lane->level ||
        lane->waiting <= 0 || !takes_workers(outlook, lane))
        return;
    double part = other->waiting > 0 ? (double)lane->waiting / (double)other->waiting : 1;
    double share = (double)(outlook->position + 1) * (double)weight_of(other) / (double)weight_of(mine);
    double jobs = ceil(share * (part < 1 ? part : 1));
    add_before(&outlook->at[AT_WORKERS], lane, jobs < (double)lane->waiting ? (int64_t)jobs : lane->waiting);
}

static void look_at_lanes(struct outlook *outlook, void (*look)(struct outlook *, const struct lane *))
{
    const struct lineup *lineup = &outlook->dispatcher->lineup;
    for (size_t i = 0; i < lineup->bucket_count; i++)
        for (const struct lane *lane = lineup->lanes[i]; lane != NULL; lane = lane->next)
            look(outlook, lane);
}

/* Accepted before a job that is submitted now, and not in line yet. How urgent they are, and of which task,
 * is not known: they are taken to be like this one. */
static void look_at_incoming(struct outlook *outlook)
{
    const struct lane *mine = outlook->lane;
    struct lineup *lineup = &outlook->dispatcher->lineup;
    for (struct queue *queue = lineup_first_queue(lineup); queue; queue = lineup_next_queue(queue)) {
        int64_t jobs = atomic_load_explicit(&queue->incoming, memory_order_relaxed);
        if (jobs <= 0 || queue->pool != mine->queue->pool)
            continue;
        add_before(&outlook->at[AT_WORKERS], mine, jobs);
        if (queue == mine->queue)
            add_before(&outlook->at[AT_QUEUE], mine, jobs);
    }
}

/* --- the slowest place --- */

static uint32_t live_workers(const struct segment *segment, uint32_t pool)
{
    const struct segment_pool *range = &segment->shape.pools[pool];
    uint32_t live = 0;
    for (uint32_t i = range->first; i < range->first + range->count; i++)
        live += atomic_load_explicit(&segment->boards[i].status, memory_order_relaxed) == WORKER_LIVE;
    return live;
}

static void consider(const struct outlook *outlook, enum place place, enum reason reason, double seconds,
                     struct why *why)
{
    const struct crowd *crowd = &outlook->at[place];
    if (seconds <= why->estimate_seconds)
        return;
    why->estimate_seconds = seconds;
    why->slowest = reason;
    why->running = (int64_t)crowd->running;
    why->before = crowd->before;
}

static void consider_gate(struct outlook *outlook, const struct gate *gate, struct why *why)
{
    static const enum reason CONCURRENCY[] = {REASON_QUEUE_CONCURRENCY, REASON_TASK_CONCURRENCY,
                                              REASON_KEY_CONCURRENCY},
                             RATE[] = {REASON_QUEUE_RATE, REASON_TASK_RATE, REASON_KEY_RATE};
    enum place place = (enum place)gate->kind;
    struct crowd *crowd = &outlook->at[place];
    int64_t rate_ns = lineup_rate_ns(gate, outlook->out.jobs[place], crowd->before, clock_mono_ns());
    why->limit[RATE[place]] = gate->rate;
    consider(outlook, place, RATE[place], (double)rate_ns / NS_PER_SEC, why);
    if (gate->concurrency == LIMIT_NOT_SET)
        return;
    why->limit[CONCURRENCY[place]] = gate->concurrency;
    consider(outlook, place, CONCURRENCY[place],
             start_seconds(crowd, gate->concurrency - (int64_t)crowd->running), why);
}

static void consider_workers(struct outlook *outlook, uint32_t live, struct why *why)
{
    const struct dispatcher *dispatcher = outlook->dispatcher;
    uint32_t pool = outlook->lane->queue->pool;
    struct crowd *crowd = &outlook->at[AT_WORKERS];
    int64_t idle = (int64_t)live - (int64_t)crowd->running, running = (int64_t)crowd->running;
    int64_t most = pool < dispatcher->config->pool_count ? dispatcher->config->pools[pool].workers : 0;
    for (int64_t more = live; more < most; more++)
        add_running(crowd, GROW_SECONDS);
    double seconds = start_seconds(crowd, idle);
    crowd->running = (size_t)running;
    consider(outlook, AT_WORKERS, REASON_BEHIND, seconds, why);
}

/* What says for itself that nothing starts. */
static bool nothing_starts(struct why *why)
{
    static const enum reason STOPS[] = {REASON_SERVER_PAUSED, REASON_SERVER_STOPPING, REASON_QUEUE_PAUSED,
                                        REASON_TASK_PAUSED, REASON_NO_WORKER};
    for (size_t i = 0; i < sizeof STOPS / sizeof STOPS[0]; i++) {
        if (!why->holds[STOPS[i]])
            continue;
        why->slowest = STOPS[i];
        why->estimate_seconds = -1;
        return true;
    }
    return false;
}

static void estimate(struct outlook *outlook, uint32_t live, struct why *why)
{
    const struct lane *lane = outlook->lane;
    if (nothing_starts(why))
        return;
    why->estimate_seconds = 0;
    why->slowest = REASON_NEXT;
    consider_workers(outlook, live, why);
    if (outlook->slot == HOT_NONE) { /* else the limits have let it go */
        consider_gate(outlook, &lane->queue->gate, why);
        consider_gate(outlook, &lane->task->gate, why);
        if (lane->key != NULL)
            consider_gate(outlook, &lane->key->gate, why);
    }
    if (isinf(why->estimate_seconds))
        why->estimate_seconds = -1;
}

/* --- all of it --- */

static bool any_limit(const struct why *why)
{
    for (int i = 0; i < REASON_NO_WORKER; i++)
        if (why->holds[i])
            return true;
    return false;
}

static void say_reasons(const struct outlook *outlook, uint32_t live, struct why *why)
{
    const struct dispatcher *dispatcher = outlook->dispatcher;
    if (outlook->slot == HOT_NONE)
        lineup_why(&dispatcher->lineup, outlook->lane, &outlook->out, clock_mono_ns(), why);
    why->holds[REASON_SERVER_STOPPING] =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
    why->holds[REASON_NO_WORKER] = live == 0;
    why->position = outlook->position;
    why->position_exact = outlook->exact;
    why->holds[REASON_BEHIND] = why->position > 0;
    why->holds[REASON_NEXT] = why->position == 0 && !any_limit(why) && !why->holds[REASON_NO_WORKER];
    const char *pool = configure_pool_name(dispatcher, outlook->lane->queue->pool);
    text_copy(why->pool, sizeof why->pool, pool, strlen(pool));
}

void forecast(struct dispatcher *dispatcher, const struct lane *lane, uint32_t slot, struct why *why)
{
    struct outlook outlook = {
        .dispatcher = dispatcher, .lane = lane, .seq = why->seq, .slot = HOT_NONE, .exact = true};
    uint32_t live = live_workers(dispatcher->segment, lane->queue->pool);
    if (slot != HOT_NONE && dispatcher->cells[slot].place == CELL_LIVE)
        outlook.slot = slot; /* if it runs by now, nobody will ask further */
    look_at_live(&outlook);
    look_at_lanes(&outlook, look_at_lane);
    look_at_lanes(&outlook, look_at_other);
    if (why->seq == NO_SEQ)
        look_at_incoming(&outlook);
    say_reasons(&outlook, live, why);
    estimate(&outlook, live, why);
}
