#include "lineup_private.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 256 };

/* --- orders --- */

bool line_lane_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct lane *one = HEAP_OF(a, struct lane, node), *two = HEAP_OF(b, struct lane, node);
    return one->level != two->level ? one->level > two->level : lane_head(one) < lane_head(two);
}

static int64_t level_head(const struct queue_level *level)
{
    const struct heap_node *first = heap_first(&level->lanes);
    return first == NULL ? NO_SEQ : lane_head(HEAP_OF(first, struct lane, node));
}

static bool level_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct queue_level *one = HEAP_OF(a, struct queue_level, node),
                             *two = HEAP_OF(b, struct queue_level, node);
    if (one->queue->pass != two->queue->pass)
        return one->queue->pass < two->queue->pass;
    return level_head(one) < level_head(two);
}

static bool opens_before(const struct heap_node *a, const struct heap_node *b)
{
    return HEAP_OF(a, struct gate, timer)->opens_ns < HEAP_OF(b, struct gate, timer)->opens_ns;
}

/* --- queues, tasks, keys, lanes --- */

uint64_t line_hash(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u; /* FNV-1a */
    return (hash ^ 0xff) * 1099511628211u;
}

void line_gate_init(struct gate *gate, enum gate_kind kind, const char *scope, const char *name)
{
    uint64_t hash = line_hash(line_hash(LINE_HASH_FIRST + (uint64_t)kind, scope), name);
    *gate = (struct gate){.kind = kind,
                          .concurrency = LIMIT_NOT_SET,
                          .sum = hash == 0 ? 1 : hash,
                          .waiters = {.before = line_lane_before}};
}

/* What was used up before: by an earlier life, or under another rate. Never more than a whole burst. */
static void take_over_rate(const struct lineup *lineup, struct gate *gate)
{
    int64_t most_ns = lineup->now_ns + gate->burst * gate->interval_ns;
    if (gate->tat_ns == 0 && lineup->meters != NULL)
        gate->tat_ns = meters_read(lineup->meters, gate->sum);
    if (gate->tat_ns > most_ns)
        gate->tat_ns = most_ns;
}

void line_gate_limit(const struct lineup *lineup, struct gate *gate, int64_t concurrency, int64_t rate,
                     int64_t burst)
{
    int64_t many = burst == LIMIT_NOT_SET ? 1 : burst;
    bool changed = gate->rate != rate || gate->burst != many;
    gate->concurrency = concurrency;
    gate->rate = rate;
    gate->interval_ns = rate == LIMIT_NOT_SET ? 0 : limit_rate_interval_ns(rate);
    gate->burst = many;
    if (changed && gate->interval_ns > 0)
        take_over_rate(lineup, gate);
}

void lineup_init(struct lineup *lineup, int64_t key_concurrency, struct meters *meters)
{
    *lineup = (struct lineup){.timers = {.before = opens_before},
                              .key_concurrency = key_concurrency,
                              .meters = meters,
                              .bucket_count = BUCKETS_FIRST,
                              .key_bucket_count = BUCKETS_FIRST};
    for (int pool = 0; pool < LINEUP_POOLS; pool++)
        for (int level = 0; level < PRIORITY_COUNT; level++)
            lineup->pools[pool].levels[level].before = level_before;
    lineup->lanes = calloc(BUCKETS_FIRST, sizeof(struct lane *));
    lineup->keys = calloc(BUCKETS_FIRST, sizeof(struct key_line *));
    CHECK(lineup->lanes != NULL && lineup->keys != NULL &&
          pthread_mutex_init(&lineup->queues_mutex, NULL) == 0);
}

static void free_keys(struct lineup *lineup)
{
    for (size_t i = 0; i < lineup->key_bucket_count; i++) {
        for (struct key_line *key = lineup->keys[i], *next; key != NULL; key = next) {
            next = key->next;
            heap_fini(&key->gate.waiters);
            free(key);
        }
    }
    free(lineup->keys);
}

void lineup_fini(struct lineup *lineup)
{
    for (size_t i = 0; i < lineup->bucket_count; i++) {
        for (struct lane *lane = lineup->lanes[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            free(lane);
        }
    }
    free(lineup->lanes);
    free_keys(lineup);
    for (struct queue *queue = lineup_first_queue(lineup), *next; queue != NULL; queue = next) {
        next = lineup_next_queue(queue);
        for (int level = 0; level < PRIORITY_COUNT; level++)
            heap_fini(&queue->levels[level].lanes);
        free(queue);
    }
    for (struct task_line *task = lineup->tasks, *next; task != NULL; task = next) {
        next = task->next;
        heap_fini(&task->gate.waiters);
        free(task);
    }
    for (int pool = 0; pool < LINEUP_POOLS; pool++)
        for (int level = 0; level < PRIORITY_COUNT; level++)
            heap_fini(&lineup->pools[pool].levels[level]);
    heap_fini(&lineup->timers);
    pthread_mutex_destroy(&lineup->queues_mutex);
}

/* --- where a lane stands --- */

static struct queue_level *level_of(struct lane *lane)
{
    return &lane->queue->levels[lane->level];
}

/* The level stands among those of its pool exactly if it has lanes, and neither a closed gate nor a load
 * keeps it. */
static void settle_level(struct lineup *lineup, struct queue_level *level)
{
    struct line_pool *pool = &lineup->pools[level->queue->pool];
    struct heap *heap = &pool->levels[level->level];
    bool stands = level->lanes.count > 0 && !level->queue->parked && !level->loading;
    if (stands && level->node.at > 0)
        heap_fix(heap, &level->node);
    else if (stands)
        heap_add(heap, &level->node);
    else if (level->node.at > 0)
        heap_remove(heap, &level->node);
}

/* It had nothing that might run until now: rule 2. */
void line_catch_up(struct lineup *lineup, struct queue *queue)
{
    int64_t pass = lineup->pools[queue->pool].pass;
    if (queue->pass < pass && queue->gate.in_flight == 0)
        queue->pass = pass;
}

static void wake_queue(struct lineup *lineup, struct queue *queue)
{
    for (int level = 0; level < PRIORITY_COUNT; level++)
        if (queue->levels[level].lanes.count > 0)
            return;
    line_catch_up(lineup, queue);
}

void line_stand(struct lineup *lineup, struct lane *lane)
{
    struct queue_level *level = level_of(lane);
    wake_queue(lineup, lane->queue);
    lane->heap = &level->lanes;
    heap_add(lane->heap, &lane->node);
    settle_level(lineup, level);
}

static void offer(struct lane *lane)
{
    struct lane **first = &lane->queue->offered;
    lane->offered = true;
    lane->offered_prev = NULL;
    lane->offered_next = *first;
    if (*first != NULL)
        (*first)->offered_prev = lane;
    *first = lane;
}

static void end_offer(struct lane *lane)
{
    if (!lane->offered)
        return;
    lane->offered = false;
    if (lane->offered_next != NULL)
        lane->offered_next->offered_prev = lane->offered_prev;
    if (lane->offered_prev != NULL)
        lane->offered_prev->offered_next = lane->offered_next;
    else
        lane->queue->offered = lane->offered_next;
}

void line_leave(struct lineup *lineup, struct lane *lane)
{
    struct heap *heap = lane->heap;
    end_offer(lane);
    heap_remove(heap, &lane->node);
    lane->heap = NULL;
    if (heap == &level_of(lane)->lanes)
        settle_level(lineup, level_of(lane));
}

void lineup_wait(struct lane *lane, int64_t jobs)
{
    lane->waiting += jobs;
    lane->queue->waiting += jobs;
    atomic_store_explicit(&lane->queue->depth, lane->queue->waiting, memory_order_relaxed);
}

void lineup_loading(struct lineup *lineup, struct queue_level *level)
{
    level->loading = true;
    settle_level(lineup, level);
}

void lineup_loaded(struct lineup *lineup, struct queue_level *level)
{
    level->loading = false;
    settle_level(lineup, level);
}

/* --- gates --- */

int64_t line_rate_wait_ns(const struct gate *gate, int64_t now_ns)
{
    if (gate->interval_ns == 0)
        return 0;
    return gate->tat_ns - now_ns - (gate->burst - 1) * gate->interval_ns;
}

static bool has_room(const struct gate *gate)
{
    return gate->concurrency == LIMIT_NOT_SET || gate->in_flight < gate->concurrency;
}

bool gate_is_open(const struct gate *gate, int64_t now_ns)
{
    return !gate->paused && has_room(gate) && line_rate_wait_ns(gate, now_ns) <= 0;
}

/* A gate that only time will open is looked at again then. */
static void await_time(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    int64_t wait_ns = line_rate_wait_ns(gate, now_ns);
    if (wait_ns <= 0 || gate->paused)
        return;
    gate->opens_ns = now_ns + wait_ns;
    if (gate->timer.at > 0)
        heap_fix(&lineup->timers, &gate->timer);
    else
        heap_add(&lineup->timers, &gate->timer);
}

/* Offers the place behind an open gate to the first that waits; who stands in a queue that is closed cannot
 * use it. */
static void wake_one(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    struct heap_node *first;
    while ((first = heap_first(&gate->waiters)) != NULL) {
        if (!gate_is_open(gate, now_ns)) {
            await_time(lineup, gate, now_ns);
            return;
        }
        struct lane *lane = HEAP_OF(first, struct lane, node);
        heap_remove(&gate->waiters, &lane->node);
        line_stand(lineup, lane);
        if (!lane->queue->parked) {
            offer(lane);
            return;
        }
    }
}

static struct gate *key_gate(struct lane *lane)
{
    return lane->key != NULL ? &lane->key->gate : NULL;
}

/* What was offered to this lane: which of its gates did so is not noted. */
static void pass_on(struct lineup *lineup, struct lane *lane, int64_t now_ns)
{
    struct gate *key = key_gate(lane);
    wake_one(lineup, &lane->task->gate, now_ns);
    if (key != NULL)
        wake_one(lineup, key, now_ns);
}

void lineup_place(struct lineup *lineup, struct lane *lane)
{
    if (lane_head(lane) == NO_SEQ) {
        bool offered = lane->offered;
        if (lane->heap != NULL)
            line_leave(lineup, lane);
        if (offered)
            pass_on(lineup, lane, lineup->now_ns);
        if (lane->slots == 0 && !lane->loading && !lane->wanted)
            line_forget_lane(lineup, lane);
        return;
    }
    if (lane->heap == NULL) {
        line_stand(lineup, lane);
        return;
    }
    heap_fix(lane->heap, &lane->node);
    if (lane->heap == &level_of(lane)->lanes)
        settle_level(lineup, level_of(lane));
}

void line_settle_queue(struct lineup *lineup, struct queue *queue)
{
    for (int level = 0; level < PRIORITY_COUNT; level++)
        settle_level(lineup, &queue->levels[level]);
}

static void unpark_if_open(struct lineup *lineup, struct queue *queue, int64_t now_ns)
{
    if (!queue->parked)
        return;
    if (!gate_is_open(&queue->gate, now_ns)) {
        await_time(lineup, &queue->gate, now_ns);
        return;
    }
    queue->parked = false;
    line_catch_up(lineup, queue);
    line_settle_queue(lineup, queue);
}

static void park(struct lineup *lineup, struct queue *queue, int64_t now_ns)
{
    queue->parked = true;
    line_settle_queue(lineup, queue);
    await_time(lineup, &queue->gate, now_ns);
    for (struct lane *lane; (lane = queue->offered) != NULL;) {
        end_offer(lane);
        pass_on(lineup, lane, now_ns);
    }
}

static void wake_gate(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    if (gate->kind == GATE_QUEUE)
        unpark_if_open(lineup, HEAP_OF(gate, struct queue, gate), now_ns);
    else
        wake_one(lineup, gate, now_ns);
}

void lineup_tick(struct lineup *lineup, int64_t now_ns, int64_t *next_ns)
{
    lineup->now_ns = now_ns;
    for (struct heap_node *first; (first = heap_first(&lineup->timers)) != NULL;) {
        struct gate *gate = HEAP_OF(first, struct gate, timer);
        if (gate->opens_ns > now_ns)
            break;
        heap_remove(&lineup->timers, first);
        if (gate->kind == GATE_KEY && HEAP_OF(gate, struct key_line, gate)->lanes == 0)
            line_drop_key(lineup, HEAP_OF(gate, struct key_line, gate));
        else
            wake_gate(lineup, gate, now_ns);
    }
    const struct heap_node *first = heap_first(&lineup->timers);
    *next_ns = first == NULL ? INT64_MAX : HEAP_OF(first, struct gate, timer)->opens_ns;
}

/* --- the next --- */

static void wait_at(struct lineup *lineup, struct lane *lane, struct gate *gate, int64_t now_ns)
{
    line_leave(lineup, lane);
    lane->heap = &gate->waiters;
    heap_add(lane->heap, &lane->node);
    await_time(lineup, gate, now_ns);
}

/* True if the lane may go; else it waits at the gate that is closed, and what it was offered is offered on.
 */
static bool passes(struct lineup *lineup, struct lane *lane, int64_t now_ns)
{
    struct gate *task = &lane->task->gate, *key = key_gate(lane);
    if (!gate_is_open(task, now_ns)) {
        wait_at(lineup, lane, task, now_ns);
        if (key != NULL)
            wake_one(lineup, key, now_ns);
        return false;
    }
    if (key == NULL || gate_is_open(key, now_ns))
        return true;
    wait_at(lineup, lane, key, now_ns);
    wake_one(lineup, task, now_ns);
    return false;
}

struct lane *lineup_next(struct lineup *lineup, uint32_t pool, uint32_t level, int64_t now_ns)
{
    struct heap *heap = &lineup->pools[pool].levels[level];
    struct heap_node *first;
    lineup->now_ns = now_ns;
    while (!lineup->paused && (first = heap_first(heap)) != NULL) {
        struct queue_level *at = HEAP_OF(first, struct queue_level, node);
        struct queue *queue = at->queue;
        if (!gate_is_open(&queue->gate, now_ns)) {
            park(lineup, queue, now_ns);
            continue;
        }
        struct lane *lane = HEAP_OF(heap_first(&at->lanes), struct lane, node);
        if (passes(lineup, lane, now_ns))
            return lane;
    }
    return NULL;
}

static void meter(struct lineup *lineup, const struct gate *gate)
{
    if (lineup->meters != NULL)
        meters_write(lineup->meters, gate->sum, gate->tat_ns);
}

static void enter(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    gate->in_flight++;
    if (gate->interval_ns == 0)
        return;
    gate->tat_ns = (gate->tat_ns > now_ns ? gate->tat_ns : now_ns) + gate->interval_ns;
    meter(lineup, gate);
}

static void exit_gate(struct lineup *lineup, struct gate *gate, bool unused)
{
    CHECK(gate->in_flight > 0);
    gate->in_flight--;
    if (!unused || gate->interval_ns == 0)
        return;
    gate->tat_ns -= gate->interval_ns;
    meter(lineup, gate);
}

static void charge(struct lineup *lineup, struct queue *queue, int64_t ns)
{
    int64_t weight = queue->now.values[LIMIT_WEIGHT];
    queue->pass += ns / (weight == LIMIT_NOT_SET ? 1 : weight);
    line_settle_queue(lineup, queue);
}

int64_t lineup_take(struct lineup *lineup, struct lane *lane, int64_t now_ns)
{
    struct queue *queue = lane->queue;
    struct gate *key = key_gate(lane);
    lineup->pools[queue->pool].pass = queue->pass;
    enter(lineup, &queue->gate, now_ns);
    enter(lineup, &lane->task->gate, now_ns);
    if (key != NULL)
        enter(lineup, key, now_ns);
    lineup_wait(lane, -1);
    queue->starts++;
    charge(lineup, queue, queue->run_ns);
    end_offer(lane);
    pass_on(lineup, lane, now_ns);
    return queue->run_ns;
}

void lineup_give(struct lineup *lineup, struct lane *lane, int64_t charged_ns, int64_t run_ns, int64_t now_ns)
{
    struct queue *queue = lane->queue;
    struct gate *key = key_gate(lane);
    bool unused = run_ns < 0;
    exit_gate(lineup, &queue->gate, unused);
    exit_gate(lineup, &lane->task->gate, unused);
    if (key != NULL)
        exit_gate(lineup, key, unused);
    charge(lineup, queue, unused ? -charged_ns : run_ns - charged_ns);
    if (!unused)
        queue->run_ns += (run_ns - queue->run_ns) / 8;
    if (queue->run_ns < 1000)
        queue->run_ns = 1000;
    lineup->now_ns = now_ns;
    unpark_if_open(lineup, queue, now_ns);
    pass_on(lineup, lane, now_ns);
}

bool lane_is_limited(const struct lane *lane)
{
    const struct gate *queue = &lane->queue->gate, *task = &lane->task->gate;
    return lane->key != NULL || queue->concurrency != LIMIT_NOT_SET || queue->interval_ns > 0 ||
           task->concurrency != LIMIT_NOT_SET || task->interval_ns > 0;
}

bool lane_is_paused(const struct lineup *lineup, const struct lane *lane)
{
    return lineup->paused || lane->queue->gate.paused || lane->task->gate.paused;
}
