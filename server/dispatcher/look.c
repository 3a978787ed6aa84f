#include "dispatcher.h"

#include "clock.h"
#include "scoreboard.h"

#include <stdlib.h>
#include <string.h>

/* --- why --- */

/* How many of its lane stand before it: exact as far as its jobs have slots, else by the share of the seqs.
 */
static int64_t before_in_lane(const struct dispatcher *dispatcher, const struct lane *lane, int64_t seq,
                              bool *exact)
{
    int64_t before = 0;
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

/* Of the levels above all, of its own level those of its queue with a lower seq. */
static void find_position(const struct dispatcher *dispatcher, const struct lane *mine, struct why *why)
{
    const struct lineup *lineup = &dispatcher->lineup;
    why->position_exact = true;
    for (size_t i = 0; i < lineup->bucket_count; i++) {
        for (const struct lane *lane = lineup->lanes[i]; lane != NULL; lane = lane->next) {
            if (lane->queue != mine->queue || lane->level < mine->level)
                continue;
            why->position += lane->level > mine->level
                                 ? lane->waiting
                                 : before_in_lane(dispatcher, lane, why->seq, &why->position_exact);
        }
    }
}

static bool any_worker(const struct segment *segment, uint32_t pool)
{
    const struct segment_pool *range = &segment->shape.pools[pool];
    for (uint32_t i = range->first; i < range->first + range->count; i++)
        if (atomic_load_explicit(&segment->boards[i].status, memory_order_relaxed) == WORKER_LIVE)
            return true;
    return false;
}

static bool any_limit(const struct why *why)
{
    for (int i = 0; i < REASON_NO_WORKER; i++)
        if (why->holds[i])
            return true;
    return false;
}

static void look_why(struct dispatcher *dispatcher, struct why *why)
{
    struct lane *lane = lineup_find(&dispatcher->lineup, why->lane);
    why->estimate_seconds = -1;
    if (lane == NULL)
        return;
    int64_t now_ns = clock_mono_ns();
    lineup_why(&dispatcher->lineup, lane, now_ns, why);
    why->holds[REASON_SERVER_STOPPING] =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
    why->holds[REASON_NO_WORKER] = !any_worker(dispatcher->segment, lane->queue->pool);
    find_position(dispatcher, lane, why);
    why->holds[REASON_BEHIND] = why->position > 0;
    why->holds[REASON_NEXT] = why->position == 0 && !any_limit(why) && !why->holds[REASON_NO_WORKER];
    const char *pool = configure_pool_name(dispatcher, lane->queue->pool);
    text_copy(why->pool, sizeof why->pool, pool, strlen(pool));
    if (lane->queue->starts_per_s > 0 && !lane_is_paused(&dispatcher->lineup, lane))
        why->estimate_seconds = (double)(why->position + 1) / lane->queue->starts_per_s;
}

/* --- queues and tasks --- */

static void older(struct lane_view *view, int64_t created_ms)
{
    if (view->oldest_ms == 0 || created_ms < view->oldest_ms)
        view->oldest_ms = created_ms;
}

static void find_oldest(const struct dispatcher *dispatcher, const struct lane *lane, struct lane_view *view)
{
    int64_t oldest_ms = lane->cold_seq != NO_SEQ ? lane->cold_created_ms : INT64_MAX;
    if (lane->ready.first != CELL_END) {
        int64_t created_ms = dispatcher->segment->slots[lane->ready.first].spec.created_ms;
        oldest_ms = created_ms < oldest_ms ? created_ms : oldest_ms;
    }
    if (oldest_ms != INT64_MAX)
        older(view, oldest_ms);
}

static struct lane_view *view_of(struct look *look, const struct queue *queue)
{
    for (size_t i = 0; i < look->count; i++)
        if (strcmp(look->views[i].name, queue->name) == 0)
            return &look->views[i];
    return NULL;
}

/* Of those in line, and of those that are out for a worker that has not come yet. */
static void fill_oldest(const struct dispatcher *dispatcher, struct look *look)
{
    const struct lineup *lineup = &dispatcher->lineup;
    struct lane_view *view;
    for (size_t i = 0; i < lineup->bucket_count; i++)
        for (const struct lane *lane = lineup->lanes[i]; lane != NULL; lane = lane->next)
            if (lane->waiting > 0 && (view = view_of(look, lane->queue)) != NULL)
                find_oldest(dispatcher, lane, view);
    for (uint32_t at = dispatcher->live.first; at != CELL_END;
         at = dispatcher->cells[at].links[dispatcher->live.link].next) {
        const struct slot *slot = &dispatcher->segment->slots[at];
        if (slot_claim_load(slot).state == SLOT_QUEUED &&
            (view = view_of(look, dispatcher->cells[at].lane->queue)) != NULL)
            older(view, slot->spec.created_ms);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct lane_view *)a)->name, ((const struct lane_view *)b)->name);
}

static void view_queue(struct dispatcher *dispatcher, const struct queue *queue, struct lane_view *view)
{
    text_copy(view->name, sizeof view->name, queue->name, strlen(queue->name));
    const char *pool = configure_pool_name(dispatcher, queue->pool);
    text_copy(view->pool, sizeof view->pool, pool, strlen(pool));
    view->limits = queue->now;
    view->set = queue->set;
    view->waiting = queue->waiting;
    view->in_flight = queue->gate.in_flight;
    view->starts_per_second = queue->starts_per_s;
    lineup_gate_reasons(&queue->gate, clock_mono_ns(), view->holds);
    view->holds[REASON_SERVER_PAUSED] = dispatcher->lineup.paused;
}

static void view_task(struct dispatcher *dispatcher, const struct task_line *task, struct lane_view *view)
{
    text_copy(view->name, sizeof view->name, task->name, strlen(task->name));
    view->limits = task->now;
    view->set = task->set;
    view->waiting = -1;
    view->in_flight = task->gate.in_flight;
    lineup_gate_reasons(&task->gate, clock_mono_ns(), view->holds);
    view->holds[REASON_SERVER_PAUSED] = dispatcher->lineup.paused;
}

static bool says_nothing(const struct limits *limits)
{
    const struct limits none = limits_none();
    return memcmp(limits, &none, sizeof none) == 0;
}

/* One that had jobs once and was never spoken of is not there for anybody. */
static bool is_there(const struct queue *queue)
{
    return queue->waiting > 0 || queue->gate.in_flight > 0 || !says_nothing(&queue->file) ||
           !says_nothing(&queue->set);
}

static enum err look_queues(struct dispatcher *dispatcher, struct look *look)
{
    size_t count = 0;
    for (struct queue *queue = lineup_first_queue(&dispatcher->lineup); queue;
         queue = lineup_next_queue(queue))
        count++;
    look->views = calloc(count + 1, sizeof *look->views);
    if (look->views == NULL)
        return ERR_NO_MEMORY;
    for (struct queue *queue = lineup_first_queue(&dispatcher->lineup); queue && look->count < count;
         queue = lineup_next_queue(queue))
        if (is_there(queue))
            view_queue(dispatcher, queue, &look->views[look->count++]);
    fill_oldest(dispatcher, look);
    return ERR_OK;
}

static enum err look_tasks(struct dispatcher *dispatcher, struct look *look)
{
    size_t count = 0;
    for (struct task_line *task = dispatcher->lineup.tasks; task != NULL; task = task->next)
        count++;
    look->views = calloc(count + 1, sizeof *look->views);
    if (look->views == NULL)
        return ERR_NO_MEMORY;
    for (struct task_line *task = dispatcher->lineup.tasks; task != NULL; task = task->next)
        view_task(dispatcher, task, &look->views[look->count++]);
    return ERR_OK;
}

void look_asked(struct dispatcher *dispatcher, struct work *work)
{
    struct look *look = work->errand->look;
    look->paused = dispatcher->lineup.paused;
    look->draining = atomic_load_explicit(&dispatcher->lineup.closed, memory_order_relaxed);
    look->count = 0;
    enum err err = ERR_OK;
    switch (look->kind) {
    case LOOK_WHY:
        look_why(dispatcher, &look->why);
        break;
    case LOOK_QUEUES:
        err = look_queues(dispatcher, look);
        break;
    case LOOK_TASKS:
        err = look_tasks(dispatcher, look);
        break;
    case LOOK_SCHEDULES:
        err = timetable_look(dispatcher, look);
        break;
    }
    if (err == ERR_OK && look->count > 0)
        qsort(look->views, look->count, sizeof *look->views, by_name);
    work_answer(work, err);
}
