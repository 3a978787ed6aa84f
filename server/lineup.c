#include "lineup_private.h"

#include "check.h"
#include "clock.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 256, RUN_FIRST_MS = 1 };

/* --- orders --- */

static bool lane_before(const struct heap_node *a, const struct heap_node *b)
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

static void gate_init(struct gate *gate, enum gate_kind kind)
{
    *gate = (struct gate){.kind = kind, .concurrency = LIMIT_NOT_SET, .waiters = {.before = lane_before}};
}

void line_gate_limit(struct gate *gate, int64_t concurrency, int64_t rate, int64_t burst)
{
    gate->concurrency = concurrency;
    gate->rate = rate;
    gate->interval_ns = rate == LIMIT_NOT_SET ? 0 : limit_rate_interval_ns(rate);
    gate->burst = burst == LIMIT_NOT_SET ? 1 : burst;
}

void lineup_init(struct lineup *lineup, int64_t key_concurrency)
{
    *lineup = (struct lineup){.timers = {.before = opens_before},
                              .key_concurrency = key_concurrency,
                              .bucket_count = BUCKETS_FIRST,
                              .key_bucket_count = BUCKETS_FIRST};
    for (int pool = 0; pool < LINEUP_POOLS; pool++)
        for (int level = 0; level < PRIORITY_COUNT; level++)
            lineup->pools[pool].levels[level].before = level_before;
    lineup->lanes = calloc(BUCKETS_FIRST, sizeof(struct lane *));
    lineup->keys = calloc(BUCKETS_FIRST, sizeof(struct key_line *));
    CHECK(lineup->lanes != NULL && lineup->keys != NULL);
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
    for (struct queue *queue = lineup->queues, *next; queue != NULL; queue = next) {
        next = queue->next;
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
    *lineup = (struct lineup){.paused = false};
}

struct queue *lineup_queue(struct lineup *lineup, const char *name)
{
    struct queue **at = &lineup->queues;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    struct queue *queue = calloc(1, sizeof *queue);
    CHECK(queue != NULL);
    text_copy(queue->name, sizeof queue->name, name, strlen(name));
    queue->file = queue->set = queue->now = limits_none();
    gate_init(&queue->gate, GATE_QUEUE);
    queue->run_ns = RUN_FIRST_MS * NS_PER_MS;
    atomic_init(&queue->max_depth, LIMIT_NOT_SET);
    for (int level = 0; level < PRIORITY_COUNT; level++) {
        queue->levels[level].queue = queue;
        queue->levels[level].level = (uint8_t)level;
        queue->levels[level].lanes.before = lane_before;
    }
    *at = queue;
    return queue;
}

struct task_line *lineup_task(struct lineup *lineup, const char *name)
{
    struct task_line **at = &lineup->tasks;
    for (; *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0)
            return *at;
    struct task_line *task = calloc(1, sizeof *task);
    CHECK(task != NULL);
    text_copy(task->name, sizeof task->name, name, strlen(name));
    task->file = task->set = task->now = limits_none();
    gate_init(&task->gate, GATE_TASK);
    *at = task;
    return task;
}

static bool limits_keys(const struct limits *limits)
{
    return limits->values[LIMIT_KEY_CONCURRENCY] != LIMIT_NOT_SET ||
           limits->values[LIMIT_KEY_RATE] != LIMIT_NOT_SET;
}

void line_limit_key(const struct lineup *lineup, struct gate *gate, const struct limits *limits)
{
    if (limits == NULL)
        line_gate_limit(gate, lineup->key_concurrency, LIMIT_NOT_SET, LIMIT_NOT_SET);
    else
        line_gate_limit(gate, limits->values[LIMIT_KEY_CONCURRENCY], limits->values[LIMIT_KEY_RATE],
                        limits->values[LIMIT_KEY_BURST]);
}

static uint64_t hash_key(const char *key, const void *scope)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)(uintptr_t)scope; /* FNV-1a */
    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * 1099511628211u;
    return hash ^ hash >> 29;
}

static void grow_keys(struct lineup *lineup)
{
    size_t count = 2 * lineup->key_bucket_count;
    struct key_line **buckets = calloc(count, sizeof(struct key_line *));
    CHECK(buckets != NULL);
    for (size_t i = 0; i < lineup->key_bucket_count; i++) {
        for (struct key_line *key = lineup->keys[i], *next; key != NULL; key = next) {
            next = key->next;
            key->next = buckets[key->hash % count];
            buckets[key->hash % count] = key;
        }
    }
    free(lineup->keys);
    lineup->keys = buckets;
    lineup->key_bucket_count = count;
}

/* The gate that a lane's key goes through, in the scope of whoever limits keys. */
struct key_line *line_key_of(struct lineup *lineup, const struct lane *lane)
{
    const struct limits *limits = limits_keys(&lane->task->now)    ? &lane->task->now
                                  : limits_keys(&lane->queue->now) ? &lane->queue->now
                                                                   : NULL;
    const void *scope = limits == NULL               ? NULL
                        : limits == &lane->task->now ? (const void *)lane->task
                                                     : (const void *)lane->queue;
    uint64_t hash = hash_key(lane->concurrency_key, scope);
    struct key_line *key = lineup->keys[hash % lineup->key_bucket_count];
    while (key != NULL && (key->scope != scope || strcmp(key->key, lane->concurrency_key) != 0))
        key = key->next;
    if (key != NULL)
        return key;
    if (lineup->key_count >= 2 * lineup->key_bucket_count)
        grow_keys(lineup);
    key = calloc(1, sizeof *key);
    CHECK(key != NULL);
    gate_init(&key->gate, GATE_KEY);
    line_limit_key(lineup, &key->gate, limits);
    key->scope = scope;
    key->hash = hash;
    memcpy(key->key, lane->concurrency_key, sizeof key->key);
    key->next = lineup->keys[hash % lineup->key_bucket_count];
    lineup->keys[hash % lineup->key_bucket_count] = key;
    lineup->key_count++;
    return key;
}

/* Keys come and go with their lanes; one whose rate is used up is remembered until it no longer matters. */
void line_drop_key(struct lineup *lineup, struct key_line *key)
{
    struct key_line **at = &lineup->keys[key->hash % lineup->key_bucket_count];
    while (*at != key)
        at = &(*at)->next;
    *at = key->next;
    lineup->key_count--;
    if (key->gate.timer.at > 0)
        heap_remove(&lineup->timers, &key->gate.timer);
    heap_fini(&key->gate.waiters);
    free(key);
}

static void grow_lanes(struct lineup *lineup)
{
    size_t count = 2 * lineup->bucket_count;
    struct lane **buckets = calloc(count, sizeof(struct lane *));
    CHECK(buckets != NULL);
    for (size_t i = 0; i < lineup->bucket_count; i++) {
        for (struct lane *lane = lineup->lanes[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            lane->next = buckets[(size_t)lane->id % count];
            buckets[(size_t)lane->id % count] = lane;
        }
    }
    free(lineup->lanes);
    lineup->lanes = buckets;
    lineup->bucket_count = count;
}

struct lane *lineup_find(const struct lineup *lineup, int64_t id)
{
    struct lane *lane = lineup->lanes[(size_t)id % lineup->bucket_count];
    while (lane != NULL && lane->id != id)
        lane = lane->next;
    return lane;
}

struct lane *lineup_lane(struct lineup *lineup, const struct job_spec *spec)
{
    struct lane *lane = lineup_find(lineup, spec->lane);
    if (lane != NULL)
        return lane;
    if (lineup->lane_count >= 2 * lineup->bucket_count)
        grow_lanes(lineup);
    CHECK(spec->priority < PRIORITY_COUNT);
    lane = calloc(1, sizeof *lane);
    CHECK(lane != NULL);
    lane->id = spec->lane;
    lane->level = spec->priority;
    lane->queue = lineup_queue(lineup, spec->queue);
    lane->task = lineup_task(lineup, spec->task);
    memcpy(lane->concurrency_key, spec->concurrency_key, sizeof lane->concurrency_key);
    lane->ready_seq = lane->cold_seq = lane->reopened_seq = NO_SEQ;
    lane->first = lane->last = UINT32_MAX;
    if (lane->concurrency_key[0] != '\0') {
        lane->key = line_key_of(lineup, lane);
        lane->key->lanes++;
    }
    size_t bucket = (size_t)lane->id % lineup->bucket_count;
    lane->next = lineup->lanes[bucket];
    lineup->lanes[bucket] = lane;
    lineup->lane_count++;
    return lane;
}

static void forget_lane(struct lineup *lineup, struct lane *lane)
{
    struct lane **at = &lineup->lanes[(size_t)lane->id % lineup->bucket_count];
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    lineup->lane_count--;
    if (lane->key != NULL && --lane->key->lanes == 0 && lane->key->gate.interval_ns == 0)
        line_drop_key(lineup, lane->key);
    else if (lane->key != NULL && lane->key->lanes == 0 && lane->key->gate.timer.at == 0) {
        lane->key->gate.opens_ns = lane->key->gate.tat_ns; /* lineup_tick drops it then */
        heap_add(&lineup->timers, &lane->key->gate.timer);
    }
    free(lane);
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

/* Its lanes waited for nothing but workers until now, or there were none: rule 2. */
static void wake_queue(struct lineup *lineup, struct queue *queue)
{
    int64_t pass = lineup->pools[queue->pool].pass;
    for (int level = 0; level < PRIORITY_COUNT; level++)
        if (queue->levels[level].lanes.count > 0)
            return;
    if (queue->pass < pass && queue->gate.in_flight == 0)
        queue->pass = pass;
}

void line_stand(struct lineup *lineup, struct lane *lane)
{
    struct queue_level *level = level_of(lane);
    wake_queue(lineup, lane->queue);
    lane->heap = &level->lanes;
    heap_add(lane->heap, &lane->node);
    settle_level(lineup, level);
}

void line_leave(struct lineup *lineup, struct lane *lane)
{
    struct heap *heap = lane->heap;
    heap_remove(heap, &lane->node);
    lane->heap = NULL;
    if (heap == &level_of(lane)->lanes)
        settle_level(lineup, level_of(lane));
}

void lineup_place(struct lineup *lineup, struct lane *lane)
{
    if (lane_head(lane) == NO_SEQ) {
        if (lane->heap != NULL)
            line_leave(lineup, lane);
        if (lane->live == 0 && !lane->loading && !lane->wanted)
            forget_lane(lineup, lane);
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

/* ≤ 0: the rate allows one now; else how long until it does. */
static int64_t rate_wait_ns(const struct gate *gate, int64_t now_ns)
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
    return !gate->paused && has_room(gate) && rate_wait_ns(gate, now_ns) <= 0;
}

/* A gate that only time will open is looked at again then. */
static void await_time(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    int64_t wait_ns = rate_wait_ns(gate, now_ns);
    if (wait_ns <= 0 || gate->paused)
        return;
    gate->opens_ns = now_ns + wait_ns;
    if (gate->timer.at > 0)
        heap_fix(&lineup->timers, &gate->timer);
    else
        heap_add(&lineup->timers, &gate->timer);
}

/* Offers the place behind an open gate to the first that waits. */
static void wake_one(struct lineup *lineup, struct gate *gate, int64_t now_ns)
{
    struct heap_node *first = heap_first(&gate->waiters);
    if (first == NULL)
        return;
    if (!gate_is_open(gate, now_ns)) {
        await_time(lineup, gate, now_ns);
        return;
    }
    struct lane *lane = HEAP_OF(first, struct lane, node);
    heap_remove(&gate->waiters, &lane->node);
    line_stand(lineup, lane);
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
    line_settle_queue(lineup, queue);
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

static struct gate *key_gate(struct lane *lane)
{
    return lane->key != NULL ? &lane->key->gate : NULL;
}

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
    while (!lineup->paused && (first = heap_first(heap)) != NULL) {
        struct queue_level *at = HEAP_OF(first, struct queue_level, node);
        struct queue *queue = at->queue;
        if (!gate_is_open(&queue->gate, now_ns)) {
            queue->parked = true;
            line_settle_queue(lineup, queue);
            await_time(lineup, &queue->gate, now_ns);
            continue;
        }
        struct lane *lane = HEAP_OF(heap_first(&at->lanes), struct lane, node);
        if (passes(lineup, lane, now_ns))
            return lane;
    }
    return NULL;
}

static void enter(struct gate *gate, int64_t now_ns)
{
    gate->in_flight++;
    if (gate->interval_ns > 0)
        gate->tat_ns = (gate->tat_ns > now_ns ? gate->tat_ns : now_ns) + gate->interval_ns;
}

static void exit_gate(struct gate *gate, bool unused)
{
    CHECK(gate->in_flight > 0);
    gate->in_flight--;
    if (unused)
        gate->tat_ns -= gate->interval_ns;
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
    enter(&queue->gate, now_ns);
    enter(&lane->task->gate, now_ns);
    if (key != NULL)
        enter(key, now_ns);
    lane->live++;
    lane->waiting--;
    queue->waiting--;
    charge(lineup, queue, queue->run_ns);
    wake_one(lineup, &lane->task->gate, now_ns);
    if (key != NULL)
        wake_one(lineup, key, now_ns);
    return queue->run_ns;
}

void lineup_give(struct lineup *lineup, struct lane *lane, int64_t charged_ns, int64_t run_ns, int64_t now_ns)
{
    struct queue *queue = lane->queue;
    struct gate *key = key_gate(lane);
    bool unused = run_ns < 0;
    CHECK(lane->live > 0);
    exit_gate(&queue->gate, unused);
    exit_gate(&lane->task->gate, unused);
    if (key != NULL)
        exit_gate(key, unused);
    lane->live--;
    charge(lineup, queue, unused ? -charged_ns : run_ns - charged_ns);
    if (!unused)
        queue->run_ns += (run_ns - queue->run_ns) / 8;
    if (queue->run_ns < 1000)
        queue->run_ns = 1000;
    unpark_if_open(lineup, queue, now_ns);
    wake_one(lineup, &lane->task->gate, now_ns);
    if (key != NULL)
        wake_one(lineup, key, now_ns);
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
