/* Schedules fire. The job and how far the schedule has come then are kept together, so that each time becomes
 * one job, or none, whatever dies when. */
#include "dispatcher.h"

#include "clock.h"
#include "crash_point.h"
#include "extras.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The job of a schedule as it is submitted now, with its place in the queue. */
static enum err make_job(struct dispatcher *dispatcher, const struct schedule *schedule, int64_t due_ms,
                         struct job **job, struct admission *admission, struct buf *why)
{
    struct lineup *lineup = &dispatcher->lineup;
    enum err err = prove_make(dispatcher, schedule, job, why);
    if (err != ERR_OK)
        return err;
    (*job)->spec.scheduled_ms = due_ms;
    err = schedule_mark(*job, schedule->name);
    if (err == ERR_OK)
        err = lineup_reserve(lineup, lineup_queue(lineup, (*job)->spec.queue), admission);
    if (err == ERR_QUEUE_CLOSED || err == ERR_QUEUE_FULL)
        buf_printf(why, "the queue %s %s", (*job)->spec.queue,
                   err == ERR_QUEUE_FULL ? "holds as many waiting jobs as it may (max_depth)"
                                         : "takes no new jobs: it, or everything, is being drained");
    return err;
}

static void drop_job(struct work *work)
{
    job_free(work->job);
    work->job = NULL;
}

static struct work *new_fire(const char *name)
{
    struct work *work = work_new(WORK_FIRE);
    struct fire *fire = calloc(1, sizeof *fire);
    if (work == NULL || fire == NULL) {
        work_free(work);
        free(fire);
        return NULL;
    }
    text_copy(fire->name, sizeof fire->name, name, strlen(name));
    work->fire = fire;
    return work;
}

/* --- a time has come --- */

/* Waiting ones are cancelled, a running one is asked to stop. Asked before the new job is there: should
 * everything die in between, the time is still due. */
static void cancel_earlier(struct dispatcher *dispatcher, struct id id)
{
    uint32_t slot = hot_find(dispatcher->hot, id);
    if (slot != HOT_NONE &&
        atomic_load_explicit(&dispatcher->segment->slots[slot].cancel_requested, memory_order_relaxed) != 0)
        return; /* for an earlier time, and it takes its time */
    struct work *work = work_new(WORK_CANCEL);
    if (work == NULL)
        return; /* then the new job waits for its end */
    work->id = id;
    cancel_asked(dispatcher, work);
}

/* Whom the job may have to wait for. Times that are made up for wait for each other, or `all` would be one.
 */
static void set_before(struct fire *fire, const struct schedule *schedule, bool late)
{
    const struct id ids[] = {schedule->last_job, schedule->behind};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (!id_is_none(ids[i]))
            fire->before[fire->before_count++] = ids[i];
    fire->wait = schedule->definition.overlap != OVERLAP_SKIP ||
                 (late && schedule->definition.catch_up == CATCH_UP_ALL);
}

static void hand_over(struct dispatcher *dispatcher, struct schedule *schedule, struct work *work)
{
    schedule->busy = true;
    committer_give(dispatcher->committer, work);
}

static void put_off(struct schedule *schedule, int64_t now_ms)
{
    schedule->again_ms = now_ms + FIRE_AGAIN_MS;
}

/* True: work->fire->to is what is to be kept, perhaps with a job. */
static bool prepare(struct dispatcher *dispatcher, struct schedule *schedule,
                    const struct schedule_plan *plan, int64_t now_ms, struct work *work)
{
    BUF_AUTO why = {0};
    struct admission admission;
    struct fire *fire = work->fire;
    if (schedule_copy(schedule, &fire->to) != ERR_OK)
        return false;
    fire->to->next_ms = plan->next_ms;
    fire->to->seen_ms = now_ms;
    fire->to->skipped += plan->skipped;
    fire->due_ms = plan->due_ms;
    if (plan->due_ms == 0)
        return true;
    enum err err = make_job(dispatcher, schedule, plan->due_ms, &work->job, &admission, &why);
    if (err != ERR_OK)
        drop_job(work);
    if (prove_is_passing(err))
        return false;
    if (err != ERR_OK) {
        fire->to->skipped++;
        prove_failed(fire->to, err, now_ms, &why);
        memcpy(schedule->complaints, fire->to->complaints,
               sizeof schedule->complaints); /* said, kept or not */
        return true;
    }
    set_before(fire, schedule, plan->late);
    fire->replace = schedule->definition.overlap == OVERLAP_REPLACE;
    for (size_t i = 0; fire->replace && i < fire->before_count; i++)
        cancel_earlier(dispatcher, fire->before[i]);
    return true;
}

static void carry_out(struct dispatcher *dispatcher, struct schedule *schedule,
                      const struct schedule_plan *plan, int64_t now_ms)
{
    if (plan->due_ms == 0 && plan->skipped == 0) { /* the zone says something else by now */
        schedule->next_ms = plan->next_ms;
        return;
    }
    struct work *work = new_fire(schedule->name);
    if (work == NULL || !prepare(dispatcher, schedule, plan, now_ms, work)) {
        work_free(work);
        put_off(schedule, now_ms);
        return;
    }
    if (plan->skipped > 0)
        LOG(SCHEDULE_SKIP, LOG_TEXT("schedule", schedule->name),
            LOG_TEXT("reason", "they passed while nothing ran"), LOG_INT("times", plan->skipped));
    CRASH_POINT(SCHEDULE_DUE);
    hand_over(dispatcher, schedule, work);
}

static void look_at(struct dispatcher *dispatcher, struct schedule *schedule, int64_t now_ms)
{
    struct zone *zone;
    if (!schedule_zone(schedule, &zone)) {
        put_off(schedule, now_ms); /* its file may be being replaced just now */
        if (schedule->error_ms == 0)
            LOG(SCHEDULE_FAIL, LOG_TEXT("schedule", schedule->name),
                LOG_TEXT("reason", "its time zone is not known any more"));
        schedule_fail(schedule, now_ms, "its time zone is not known any more",
                      strlen("its time zone is not known any more"));
        return;
    }
    struct schedule_plan plan = schedule_plan(schedule, zone, now_ms);
    zone_close(zone);
    carry_out(dispatcher, schedule, &plan, now_ms);
}

static void refresh(struct dispatcher *dispatcher, int64_t now_ms)
{
    struct timetable *timetable = &dispatcher->timetable;
    int64_t now_ns = clock_mono_ns();
    if (now_ns - timetable->refreshed_ns < REFRESH_MS * NS_PER_MS)
        return;
    timetable->refreshed_ns = now_ns;
    timetable->next_ms = now_ms;
    for (struct schedule *at = timetable->in_force.first; at != NULL; at = at->next) {
        at->again_ms = 0; /* the clock may have been put back */
        if (!at->busy && !schedule_paused(at))
            schedule_refresh(at, now_ms);
    }
}

static bool is_ending(const struct dispatcher *dispatcher)
{
    return atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
}

void fire_ask(struct dispatcher *dispatcher)
{
    struct timetable *timetable = &dispatcher->timetable;
    int64_t now_ms, next_ms = INT64_MAX;
    timetable_go_on(dispatcher);
    if (timetable->in_force.first == NULL || is_ending(dispatcher)) { /* the next life makes up for it */
        timetable->next_ms = INT64_MAX;
        return;
    }
    now_ms = clock_real_ms();
    prove_ask(dispatcher);
    refresh(dispatcher, now_ms);
    if (now_ms < timetable->next_ms)
        return;
    for (struct schedule *at = timetable->in_force.first; at != NULL; at = at->next) {
        if (timetable_wakes_ms(at) <= now_ms)
            look_at(dispatcher, at, now_ms);
        if (timetable_wakes_ms(at) < next_ms)
            next_ms = timetable_wakes_ms(at);
    }
    timetable->next_ms = next_ms;
}

/* --- it is kept --- */

static void arrive(struct dispatcher *dispatcher, const struct job *job)
{
    committer_accepted(dispatcher->committer, job);
    admit_new(dispatcher, job);
}

/* The job was not inserted, since its uniqueness key is held: its row says otherwise, and is put right. */
static void take_back(struct dispatcher *dispatcher, struct schedule *schedule, const struct work *fired)
{
    BUF_AUTO why = {0};
    struct unique_rule rule;
    char holder[ID_TEXT_BYTES];
    struct work *work = new_fire(schedule->name);
    id_format(fired->op.submit.original, holder);
    if (extras_unique(fired->job->extras, &rule))
        buf_printf(&why, "the job %s holds the uniqueness key \"%s\"", holder, rule.key);
    schedule->skipped++;
    prove_failed(schedule, ERR_DUPLICATE_JOB, clock_real_ms(), &why);
    if (work == NULL || schedule_copy(schedule, &work->fire->to) != ERR_OK) {
        work_free(work); /* what is kept next says it */
        return;
    }
    hand_over(dispatcher, schedule, work);
}

static void settle_made(struct dispatcher *dispatcher, struct work *work, struct schedule *schedule)
{
    struct fire *fire = work->fire;
    schedule_made(schedule, fire->due_ms, work->job->spec.id, fire->open, fire->open_count);
    LOG(SCHEDULE_FIRE, LOG_ID(work->job->spec.id), LOG_TEXT("schedule", schedule->name));
    arrive(dispatcher, work->job);
}

static bool is_inserted(const struct work *work)
{
    const struct store_submit *submit = &work->op.submit;
    return work->job != NULL && work->err == ERR_OK && !work->fire->overlapped && !submit->returned &&
           !submit->replayed;
}

/* The trigger of somebody who waits. */
static void answer_trigger(struct dispatcher *dispatcher, struct work *work)
{
    enum err err = work->err;
    CRASH_POINT(SCHEDULE_TRIGGERED);
    if (is_inserted(work)) {
        work->errand->schedule->job = work->job->spec.id;
        arrive(dispatcher, work->job);
    } else {
        work->errand->schedule->job = work->op.submit.original;
        admit_arrived(dispatcher, &work->job->spec);
    }
    work_answer(work, err);
}

static void keep_refused(struct schedule *schedule, bool with_job)
{
    int64_t now_ms = clock_real_ms();
    const char *why = err_title(ERR_STORE_FULL);
    schedule->refused = schedule->refused || with_job;
    put_off(schedule, now_ms);
    schedule_fail(schedule, now_ms, why, strlen(why));
}

void fire_done(struct dispatcher *dispatcher, struct work *work)
{
    struct fire *fire = work->fire;
    if (fire->to == NULL) {
        answer_trigger(dispatcher, work);
        return;
    }
    struct schedule *schedule = schedules_find(&dispatcher->timetable.in_force, fire->name);
    schedule->busy = false;
    CRASH_POINT(SCHEDULE_FIRED);
    if (work->err == ERR_STORE_FULL) {
        keep_refused(schedule, work->job != NULL);
    } else { /* no other change of it has been kept meanwhile */
        if (fire->replaced != NULL)
            cancel_ended_cold(dispatcher, fire->replaced, JOB_BLOCKED);
        schedule = fire->to;
        fire->to = NULL;
        schedules_put(&dispatcher->timetable.in_force, schedule);
        if (is_inserted(work))
            settle_made(dispatcher, work, schedule);
        else if (fire->overlapped)
            schedule->skipped++;
        else if (work->job != NULL)
            take_back(dispatcher, schedule, work);
        if (fire->overlapped)
            LOG(SCHEDULE_SKIP, LOG_TEXT("schedule", schedule->name),
                LOG_TEXT("reason", "its last job has not ended"), LOG_INT("times", 1));
    }
    if (work->job != NULL && !is_inserted(work))
        admit_arrived(dispatcher, &work->job->spec);
    work_free(work);
    dispatcher->timetable.next_ms = 0;
    timetable_go_on(dispatcher);
}

/* --- by request --- */

void fire_trigger(struct dispatcher *dispatcher, struct work *work)
{
    BUF_AUTO why = {0};
    struct schedule_change *change = work->errand->schedule;
    const struct schedule *schedule = schedules_find(&dispatcher->timetable.in_force, change->name);
    struct work *fire = schedule == NULL ? NULL : new_fire(change->name);
    enum err err = schedule == NULL ? ERR_UNKNOWN_SCHEDULE : fire == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK)
        err = make_job(dispatcher, schedule, 0, &fire->job, &change->admission, &why);
    if (err != ERR_OK) {
        text_copy(change->why, sizeof change->why, why.bytes > 0 ? why.data : "", why.bytes);
        if (fire != NULL && fire->job != NULL)
            memcpy(change->queue, fire->job->spec.queue, sizeof change->queue);
        work_free(fire);
        work_answer(work, err);
        return;
    }
    fire->errand = work->errand;
    work_free(work);
    committer_give(dispatcher->committer, fire);
}
