#include "lineup_private.h"

#include "check.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_FIRST_MS = 1 };

static _Atomic(struct queue *) *queue_bucket(struct lineup *lineup, const char *name)
{
    return &lineup->queue_buckets[line_hash(LINE_HASH_FIRST, name) % QUEUE_BUCKETS];
}

static struct queue *find_queue(struct lineup *lineup, const char *name)
{
    struct queue *queue = atomic_load_explicit(queue_bucket(lineup, name), memory_order_acquire); /* L2 */
    while (queue != NULL && strcmp(queue->name, name) != 0)
        queue = queue->next_in_bucket; /* never changes once the queue is there */
    return queue;
}

static struct queue *make_queue(struct lineup *lineup, const char *name)
{
    struct queue *queue = calloc(1, sizeof *queue);
    CHECK(queue != NULL);
    text_copy(queue->name, sizeof queue->name, name, strlen(name));
    queue->file = queue->set = queue->now = limits_none();
    line_gate_init(&queue->gate, GATE_QUEUE, "", queue->name);
    queue->run_ns = RUN_FIRST_MS * NS_PER_MS;
    atomic_init(&queue->max_depth, LIMIT_NOT_SET);
    for (int level = 0; level < PRIORITY_COUNT; level++) {
        queue->levels[level].queue = queue;
        queue->levels[level].level = (uint8_t)level;
        queue->levels[level].lanes.before = line_lane_before;
    }
    _Atomic(struct queue *) *end = lineup->last_queue != NULL ? &lineup->last_queue->next : &lineup->queues,
                            *bucket = queue_bucket(lineup, name);
    queue->next_in_bucket = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_store_explicit(end, queue, memory_order_release);    /* L1: pairs with L2 */
    atomic_store_explicit(bucket, queue, memory_order_release); /* L1 */
    lineup->last_queue = queue;
    return queue;
}

struct queue *lineup_queue(struct lineup *lineup, const char *name)
{
    struct queue *found = find_queue(lineup, name);
    if (found != NULL)
        return found;
    pthread_mutex_lock(&lineup->queues_mutex);
    found = find_queue(lineup, name);
    if (found == NULL)
        found = make_queue(lineup, name);
    pthread_mutex_unlock(&lineup->queues_mutex);
    return found;
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
    line_gate_init(&task->gate, GATE_TASK, "", task->name);
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
        line_gate_limit(lineup, gate, lineup->key_concurrency, LIMIT_NOT_SET, LIMIT_NOT_SET);
    else
        line_gate_limit(lineup, gate, limits->values[LIMIT_KEY_CONCURRENCY], limits->values[LIMIT_KEY_RATE],
                        limits->values[LIMIT_KEY_BURST]);
}

static uint64_t hash_key(const char *key, const void *scope)
{
    uint64_t hash = line_hash(LINE_HASH_FIRST ^ (uint64_t)(uintptr_t)scope, key);
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

/* A queue and a task may have one name: the letter tells them apart. */
static const char *scope_name(const struct lane *lane, const struct limits *limits, char name[NAME_BYTES + 1])
{
    bool task = limits == &lane->task->now;
    snprintf(name, NAME_BYTES + 1, "%c%s", task ? 't' : 'q', task ? lane->task->name : lane->queue->name);
    return limits == NULL ? "" : name;
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
    if (key != NULL) {
        if (key->lanes == 0) /* it was not among those that took new limits */
            line_limit_key(lineup, &key->gate, limits);
        return key;
    }
    if (lineup->key_count >= 2 * lineup->key_bucket_count)
        grow_keys(lineup);
    key = calloc(1, sizeof *key);
    CHECK(key != NULL);
    char name[NAME_BYTES + 1];
    line_gate_init(&key->gate, GATE_KEY, scope_name(lane, limits, name), lane->concurrency_key);
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
    lane->ready = (struct cell_list){UINT32_MAX, UINT32_MAX, 0, 0};
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

bool lane_is_held_up(const struct lane *lane)
{
    return lane->queue->parked ||
           (lane->heap != NULL && lane->heap != &lane->queue->levels[lane->level].lanes);
}

/* Nobody refers to it any more. */
static void retire_key(struct lineup *lineup, struct key_line *key)
{
    struct gate *gate = &key->gate;
    if (gate->interval_ns == 0) {
        line_drop_key(lineup, key);
        return;
    }
    gate->opens_ns = gate->tat_ns; /* lineup_tick drops it then */
    if (gate->timer.at > 0)
        heap_fix(&lineup->timers, &gate->timer);
    else
        heap_add(&lineup->timers, &gate->timer);
}

void line_forget_lane(struct lineup *lineup, struct lane *lane)
{
    struct lane **at = &lineup->lanes[(size_t)lane->id % lineup->bucket_count];
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    lineup->lane_count--;
    if (lane->key != NULL && --lane->key->lanes == 0)
        retire_key(lineup, lane->key);
    free(lane);
}
