#include "dispatcher.h"

#include "clock.h"
#include "crash_point.h"
#include "log.h"
#include "ring.h"

#include <string.h>

/* --- a waiting job --- */

void change_send(struct dispatcher *dispatcher, struct work *work)
{
    work->way = dispatcher->on_way;
    dispatcher->on_way = work;
    committer_give(dispatcher->committer, work);
}

void change_is_back(struct dispatcher *dispatcher, struct work *work)
{
    struct work **at = &dispatcher->on_way;
    while (*at != work)
        at = &(*at)->way;
    *at = work->way;
}

bool change_on_way(const struct dispatcher *dispatcher, struct id id)
{
    for (const struct work *work = dispatcher->on_way; work != NULL; work = work->way)
        if (id_equal(work->id, id))
            return true;
    return false;
}

/* Only rows are changed: a job that waits in a slot goes back to its row first. A row that was read before
 * the change must not come into a slot after it. */
enum err change_make_cold(struct dispatcher *dispatcher, struct work *work)
{
    uint32_t slot = hot_find(dispatcher->hot, work->id);
    if (dispatcher->loads_running > 0 ||
        change_on_way(dispatcher, work->id)) { /* its row may be on its way into a slot, or back into one */
        work->parked = dispatcher->deferred;
        dispatcher->deferred = work;
        return ERR_AGAIN;
    }
    if (slot == HOT_NONE)
        return ERR_OK;
    const struct cell *cell = &dispatcher->cells[slot];
    bool waits = !cell->memory && (cell->place == CELL_READY ||
                                   (cell->place == CELL_LIVE && publish_take_back(dispatcher, slot)));
    if (!waits)
        return ERR_NOT_NOW;
    cells_leave_ready(dispatcher, slot);
    admit_send_back(dispatcher, slot);
    CRASH_POINT(PATCH_COLD);
    return ERR_OK;
}

void change_asked(struct dispatcher *dispatcher, struct work *work)
{
    enum err err = change_make_cold(dispatcher, work);
    if (err == ERR_OK)
        change_send(dispatcher, work);
    else if (err == ERR_NOT_NOW)
        work_answer(work, err);
}

/* Its old lane has one less, whatever became of it. */
static void leave_old_lane(struct dispatcher *dispatcher, const struct store_patch *patch)
{
    struct lane *lane = lineup_find(&dispatcher->lineup, patch->from_lane);
    if (patch->from == JOB_QUEUED && lane != NULL)
        lineup_wait(lane, -1);
}

void change_answered(struct dispatcher *dispatcher, struct work *work)
{
    const struct job *job = work->job;
    change_is_back(dispatcher, work);
    if (work->err == ERR_OK) {
        leave_old_lane(dispatcher, &work->op.patch);
        admit_waiting(dispatcher, job);
        admit_put_off_ends(dispatcher, &job->spec, work->op.patch.from);
        if (job->spec.expires_ms > 0 && job->spec.attempt == 0) { /* it may lie before what was looked at */
            fetch_expiry_at(dispatcher, &job->spec);
            if (job->spec.expires_ms <= dispatcher->expiry.after_ms)
                dispatcher->expiry.after_ms = job->spec.expires_ms - 1;
        }
        LOG(JOB_CHANGE, LOG_ID(work->id), LOG_TEXT("task", job->spec.task));
    }
    work_answer(work, work->err);
    cancel_undefer(dispatcher);
}

/* --- limits --- */

static void send_back_paused(struct dispatcher *dispatcher, uint32_t level)
{
    uint32_t next;
    for (uint32_t at = dispatcher->ready[level].first; at != CELL_END; at = next) {
        const struct cell *cell = &dispatcher->cells[at];
        next = cell->links[dispatcher->ready[level].link].next;
        if (cell->memory || !lane_is_paused(&dispatcher->lineup, cell->lane))
            continue;
        cells_leave_ready(dispatcher, at);
        admit_send_back(dispatcher, at);
    }
}

void change_settle(struct dispatcher *dispatcher)
{
    publish_take_all_back(dispatcher);
    lineup_resettle(&dispatcher->lineup);
    for (uint32_t at = dispatcher->live.first; at != CELL_END;
         at = dispatcher->cells[at].links[dispatcher->live.link].next)
        lineup_count(dispatcher->cells[at].lane);
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
        send_back_paused(dispatcher, level); /* what is paused fills no slots */
}

/* Where the limits that were set by request lie; those of the whole are two words. */
static struct limits *limits_of(struct dispatcher *dispatcher, enum setting_kind kind, const char *name)
{
    if (kind == SETTING_QUEUE)
        return &lineup_queue(&dispatcher->lineup, name)->set;
    if (kind == SETTING_TASK)
        return &lineup_task(&dispatcher->lineup, name)->set;
    return &dispatcher->whole;
}

void change_join(struct dispatcher *dispatcher)
{
    struct lineup *lineup = &dispatcher->lineup;
    lineup->paused = dispatcher->whole.values[LIMIT_PAUSED] == 1;
    atomic_store_explicit(&lineup->held, lineup->paused, memory_order_relaxed);
    atomic_store_explicit(&lineup->closed, dispatcher->whole.values[LIMIT_DRAINING] == 1,
                          memory_order_relaxed);
    for (struct queue *queue = lineup_first_queue(lineup); queue != NULL; queue = lineup_next_queue(queue))
        queue->now = limits_join(&queue->set, &queue->file);
    for (struct task_line *task = lineup->tasks; task != NULL; task = task->next)
        task->now = limits_join(&task->set, &task->file);
}

/* A burst is what a rate may be exceeded by: without one it would say nothing, and nobody would be told. */
static bool lacks_rate(struct dispatcher *dispatcher, struct setting *setting, const struct limits *set)
{
    static const enum limit RATES[][2] = {{LIMIT_BURST, LIMIT_RATE}, {LIMIT_KEY_BURST, LIMIT_KEY_RATE}};
    struct limits none = limits_none();
    const struct limits *file =
        setting->kind == SETTING_QUEUE  ? &lineup_queue(&dispatcher->lineup, setting->name)->file
        : setting->kind == SETTING_TASK ? &lineup_task(&dispatcher->lineup, setting->name)->file
                                        : &none;
    struct limits now = limits_join(set, file);
    for (size_t i = 0; i < sizeof RATES / sizeof RATES[0]; i++) {
        setting->alone = RATES[i][0];
        if (setting->given[RATES[i][0]] && set->values[RATES[i][0]] != LIMIT_NOT_SET &&
            now.values[RATES[i][1]] == LIMIT_NOT_SET)
            return true;
    }
    return false;
}

/* What is kept is all that was ever set and not taken back; it is in force once it is kept. So one at a time:
 * the next one starts from what this one leaves. */
static void keep_next(struct dispatcher *dispatcher)
{
    while (dispatcher->settings != NULL && !dispatcher->setting_running) {
        struct work *work = dispatcher->settings;
        struct setting *setting = work->errand->setting;
        dispatcher->settings = work->parked;
        work->parked = NULL;
        work->limits = *limits_of(dispatcher, setting->kind, setting->name);
        for (int i = 0; i < LIMIT_COUNT; i++)
            if (setting->given[i])
                work->limits.values[i] = setting->to.values[i];
        dispatcher->setting_running = !lacks_rate(dispatcher, setting, &work->limits);
        if (dispatcher->setting_running)
            committer_give(dispatcher->committer, work);
        else
            work_answer(work, ERR_INVALID_FIELD);
    }
}

void change_set(struct dispatcher *dispatcher, struct work *work)
{
    struct work **end = &dispatcher->settings;
    while (*end != NULL)
        end = &(*end)->parked;
    work->parked = NULL;
    *end = work;
    keep_next(dispatcher);
}

static void tell(const struct setting *setting)
{
    static const char *const KINDS[] = {
        [SETTING_SERVER] = "server", [SETTING_QUEUE] = "queue", [SETTING_TASK] = "task"};
    BUF_AUTO set = {0};
    limits_write_given(&set, &setting->to, setting->given);
    buf_add(&set, "", 1);
    LOG(LIMITS_SET, LOG_TEXT("kind", KINDS[setting->kind]), LOG_TEXT("name", setting->name),
        LOG_TEXT("set", set.failed ? "" : set.data));
}

void change_set_done(struct dispatcher *dispatcher, struct work *work)
{
    const struct setting *setting = work->errand->setting;
    CRASH_POINT(SETTING_KEPT);
    if (work->err == ERR_OK) {
        struct limits *limits = limits_of(dispatcher, setting->kind, setting->name);
        for (int i = 0; i < LIMIT_COUNT; i++)
            if (setting->given[i])
                limits->values[i] = setting->to.values[i];
        change_join(dispatcher);
        change_settle(dispatcher);
        tell(setting);
    }
    dispatcher->setting_running = false;
    work_answer(work, work->err);
    keep_next(dispatcher); /* which may be answered at once, but not before this one */
}

static enum err take_setting(void *context, enum setting_kind kind, const char *name, struct text body)
{
    *limits_of(context, kind, name) = limits_read((struct json_span){body.at, body.bytes});
    return ERR_OK;
}

enum err change_load_settings(struct dispatcher *dispatcher, struct store_reader *reader)
{
    dispatcher->whole = limits_none();
    enum err err = store_settings(reader, take_setting, dispatcher);
    change_join(dispatcher);
    lineup_resettle(&dispatcher->lineup);
    return err;
}
