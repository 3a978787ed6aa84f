/* Which schedules there are: those of the file and those of requests, each kept before it is in force. */
#include "dispatcher.h"

#include "clock.h"
#include "crash_point.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

int64_t timetable_wakes_ms(const struct schedule *schedule)
{
    if (schedule->busy || schedule_paused(schedule))
        return INT64_MAX;
    return schedule->again_ms > schedule->next_ms ? schedule->again_ms : schedule->next_ms;
}

/* --- one change --- */

/* Takes `to`, which may be NULL: then the schedule goes. True: it is on its way. */
static bool keep(struct dispatcher *dispatcher, struct work *work, const char *name, struct schedule *to)
{
    struct schedule *old = schedules_find(&dispatcher->timetable.in_force, name);
    work->fire = calloc(1, sizeof *work->fire);
    if (work->fire == NULL) {
        schedule_free(to);
        return false;
    }
    text_copy(work->fire->name, sizeof work->fire->name, name, strlen(name));
    work->fire->to = to;
    if (old != NULL)
        old->busy = true;
    dispatcher->timetable.changing = true;
    committer_give(dispatcher->committer, work);
    return true;
}

static bool is_busy(const struct dispatcher *dispatcher, const char *name)
{
    const struct schedule *schedule = schedules_find(&dispatcher->timetable.in_force, name);
    return schedule != NULL && schedule->busy;
}

/* --- of the file --- */

static bool is_text(const struct text *a, const struct text *b)
{
    return a->bytes == b->bytes && memcmp(a->at, b->at, a->bytes) == 0;
}

/* The first difference between what the file gives and what is in force: `wanted`, or `gone`. */
static bool find_difference(const struct timetable *timetable, const struct schedule **wanted,
                            const struct schedule **gone)
{
    const struct schedule *file = timetable->file.first, *now = timetable->in_force.first;
    *wanted = *gone = NULL;
    while (file != NULL || now != NULL) { /* both are in order of names */
        int order = file == NULL ? 1 : now == NULL ? -1 : strcmp(file->name, now->name);
        if (order < 0 || (order == 0 && (!now->from_file || !is_text(&now->text, &file->text)))) {
            *wanted = file;
            return true;
        }
        if (order > 0 && now->from_file) {
            *gone = now;
            return true;
        }
        file = order <= 0 ? file->next : file;
        now = now->next;
    }
    return false;
}

/* True: something is under way, or has to be waited for. */
static bool settle_file(struct dispatcher *dispatcher)
{
    struct timetable *timetable = &dispatcher->timetable;
    const struct schedule *wanted, *gone;
    if (!timetable->unsettled)
        return false;
    int64_t now_ms = clock_real_ms();
    timetable->unsettled = find_difference(timetable, &wanted, &gone);
    if (!timetable->unsettled)
        return false;
    const char *name = wanted != NULL ? wanted->name : gone->name;
    if (is_busy(dispatcher, name) || now_ms < timetable->settle_ms)
        return now_ms >= timetable->settle_ms;
    struct schedule *to = NULL;
    struct work *work = work_new(WORK_SCHEDULE);
    if (work == NULL || (wanted != NULL && schedule_copy(wanted, &to) != ERR_OK)) {
        work_free(work);
        return false; /* asked again on the next turn */
    }
    const struct schedule *old = schedules_find(&timetable->in_force, name);
    if (to != NULL) {
        to->proven = false;
        to->held = old != NULL && old->from_file ? old->held : HELD_NOT_SET;
        schedule_follow(to, old, now_ms);
    }
    if (!keep(dispatcher, work, name, to))
        work_free(work);
    return timetable->changing;
}

static void want(struct schedules *file, const struct schedule_config *config)
{
    BUF_AUTO text = {0};
    struct schedule *schedule = NULL;
    struct schedule_definition definition = {.overlap = (enum overlap)config->overlap,
                                             .catch_up = (enum catch_up)config->catch_up,
                                             .paused = config->paused,
                                             .job = {config->job, strlen(config->job)}};
    text_copy(definition.cron, sizeof definition.cron, config->cron, strlen(config->cron));
    text_copy(definition.timezone, sizeof definition.timezone, config->timezone, strlen(config->timezone));
    schedule_definition_write(&text, &definition);
    enum err err = text.failed ? ERR_NO_MEMORY
                               : schedule_new(config->name, (struct text){text.data, text.bytes}, &schedule);
    if (err != ERR_OK) { /* not by what it says: the file has been checked */
        LOG(SCHEDULE_FAIL, LOG_TEXT("schedule", config->name), LOG_TEXT("reason", err_title(err)));
        return;
    }
    schedule->from_file = true;
    schedules_put(file, schedule);
}

void timetable_configure(struct dispatcher *dispatcher, const struct config *config)
{
    struct timetable *timetable = &dispatcher->timetable;
    schedules_free(&timetable->file);
    for (size_t i = 0; i < config->schedule_count; i++)
        want(&timetable->file, &config->schedules[i]);
    timetable->unsettled = true;
    timetable->settle_ms = 0;
}

/* --- by request --- */

/* What is to take the place of `old`. */
static enum err make_change(const struct schedule_change *change, const struct schedule *old,
                            struct schedule **to)
{
    int64_t now_ms = clock_real_ms();
    *to = NULL;
    if (change->verb == SCHEDULE_DROP)
        return ERR_OK;
    enum err err =
        change->verb == SCHEDULE_PUT ? schedule_new(change->name, change->body, to) : schedule_copy(old, to);
    if (err != ERR_OK)
        return err;
    if (change->verb != SCHEDULE_PUT)
        (*to)->held = change->verb == SCHEDULE_PAUSE ? HELD_YES : HELD_NO;
    schedule_follow(*to, old, now_ms);
    return ERR_OK;
}

/* ERR_OK: under way. */
static enum err begin_change(struct dispatcher *dispatcher, struct work *work)
{
    struct timetable *timetable = &dispatcher->timetable;
    struct schedule_change *change = work->errand->schedule;
    const struct schedule *old = schedules_find(&timetable->in_force, change->name);
    bool file = (old != NULL && old->from_file) || schedules_find(&timetable->file, change->name) != NULL;
    struct schedule *to;
    if (old == NULL && (change->verb != SCHEDULE_PUT || change->expects.at != NULL))
        return ERR_UNKNOWN_SCHEDULE;
    if (change->expects.at != NULL && !is_text(&old->text, &change->expects))
        return ERR_CONFLICT;
    if (file && (change->verb == SCHEDULE_PUT || change->verb == SCHEDULE_DROP))
        return ERR_CONFLICT;
    change->created = old == NULL;
    enum err err = make_change(change, old, &to);
    if (err == ERR_OK && !keep(dispatcher, work, change->name, to))
        err = ERR_NO_MEMORY;
    return err;
}

void timetable_go_on(struct dispatcher *dispatcher)
{
    struct timetable *timetable = &dispatcher->timetable;
    while (!timetable->changing && !settle_file(dispatcher) && timetable->changes != NULL) {
        struct work *work = timetable->changes;
        if (is_busy(dispatcher, work->errand->schedule->name))
            return; /* what it makes now is kept first */
        timetable->changes = work->parked;
        work->parked = NULL;
        enum err err = begin_change(dispatcher, work);
        if (err != ERR_OK)
            work_answer(work, err);
    }
}

void timetable_change(struct dispatcher *dispatcher, struct work *work)
{
    struct work **end = &dispatcher->timetable.changes;
    if (work->errand->schedule->verb == SCHEDULE_TRIGGER) {
        fire_trigger(dispatcher, work);
        return;
    }
    while (*end != NULL)
        end = &(*end)->parked;
    work->parked = NULL;
    *end = work;
    timetable_go_on(dispatcher);
}

/* What was done to it, and by whom: a request, or the file. */
static void tell(const struct work *work, bool gone)
{
    static const char *const VERBS[] = {[SCHEDULE_PUT] = "put",
                                        [SCHEDULE_DROP] = "drop",
                                        [SCHEDULE_PAUSE] = "pause",
                                        [SCHEDULE_RESUME] = "resume",
                                        [SCHEDULE_TRIGGER] = "trigger"};
    const struct errand *errand = work->errand;
    const char *verb = errand != NULL ? VERBS[errand->schedule->verb] : gone ? "drop" : "put";
    LOG(SCHEDULE_SET, LOG_TEXT("schedule", work->fire->name), LOG_TEXT("done", verb),
        LOG_TEXT("by", errand != NULL ? "request" : "file"));
}

void timetable_changed(struct dispatcher *dispatcher, struct work *work)
{
    struct timetable *timetable = &dispatcher->timetable;
    bool gone = work->fire->to == NULL;
    struct schedule *old = schedules_find(&timetable->in_force, work->fire->name);
    timetable->changing = false;
    if (old != NULL)
        old->busy = false;
    CRASH_POINT(SCHEDULE_KEPT);
    if (work->err == ERR_OK && work->fire->to != NULL) {
        timetable->unproven = timetable->unproven || work->fire->to->from_file;
        schedules_put(&timetable->in_force, work->fire->to);
        work->fire->to = NULL;
    } else if (work->err == ERR_OK) {
        schedules_drop(&timetable->in_force, work->fire->name);
    } else if (work->errand == NULL) {
        timetable->settle_ms = clock_real_ms() + FIRE_AGAIN_MS;
    }
    if (work->err == ERR_OK)
        tell(work, gone);
    timetable->next_ms = 0; /* looked at on this turn */
    work_answer(work, work->err);
    timetable_go_on(dispatcher);
}

/* --- all of them --- */

static enum err take(void *context, const struct store_schedule *row)
{
    struct timetable *timetable = context;
    struct schedule *schedule;
    enum err err = schedule_read(row, &schedule);
    if (err == ERR_CORRUPT) { /* of a later version, say; the others go on */
        LOG(SCHEDULE_FAIL, LOG_TEXT("schedule", row->name), LOG_TEXT("reason", "its row cannot be read"));
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    schedule->seen_ms = clock_real_ms();
    if (schedule->next_ms == 0)
        schedule_begin(schedule, schedule->seen_ms);
    schedules_put(&timetable->in_force, schedule);
    return ERR_OK;
}

enum err timetable_load(struct dispatcher *dispatcher, struct store_reader *reader)
{
    dispatcher->timetable.next_ms = 0;
    dispatcher->timetable.unproven = true;
    return store_schedules(reader, take, &dispatcher->timetable);
}

static bool is_wanted(const struct look *look, const char *name)
{
    int order = strcmp(name, look->name);
    return look->one ? order == 0 : order > 0;
}

enum err timetable_look(const struct dispatcher *dispatcher, struct look *look)
{
    struct schedules *copies = &look->schedules;
    enum err err = ERR_OK;
    *copies = (struct schedules){0};
    struct schedule **end = &copies->first; /* in their order already */
    look->more = false;
    for (const struct schedule *at = dispatcher->timetable.in_force.first; err == ERR_OK && at != NULL;
         at = at->next) {
        if (!is_wanted(look, at->name))
            continue;
        look->more = look->most > 0 && copies->count == look->most;
        if (look->more)
            break;
        err = schedule_copy(at, end);
        if (err == ERR_OK) {
            copies->count++;
            end = &(*end)->next;
        }
    }
    if (err != ERR_OK)
        schedules_free(copies);
    return err;
}
