#include "dispatcher.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

/* --- one job --- */

static void look_why(struct dispatcher *dispatcher, struct id id, struct why *why)
{
    struct lane *lane = lineup_find(&dispatcher->lineup, why->lane);
    why->estimate_seconds = -1;
    if (lane != NULL)
        forecast(dispatcher, lane, hot_find(dispatcher->hot, id), why);
}

/* Of a job that does not wait yet: its lane may be there for this look alone. One after the other, so that
 * each counts those that were admitted before it. */
static enum err look_start(struct dispatcher *dispatcher, struct look *look)
{
    struct lineup *lineup = &dispatcher->lineup;
    struct lane *lane = lineup_lane(lineup, look->spec);
    struct queue *queue = lane->queue;
    struct why *why = &look->why;
    why->seq = NO_SEQ;
    forecast(dispatcher, lane, HOT_NONE, why);
    if (lane_head(lane) == NO_SEQ)
        lineup_place(lineup, lane);
    enum err err = lineup_reserve(lineup, queue, &look->admission);
    bool in_time = why->estimate_seconds >= 0 && why->estimate_seconds * 1000 <= (double)look->within_ms;
    if (err != ERR_OK || in_time)
        return err;
    lineup_unreserve(queue);
    return ERR_TOO_LATE;
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
        look_why(dispatcher, work->id, &look->why);
        break;
    case LOOK_START:
        err = look_start(dispatcher, look);
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
