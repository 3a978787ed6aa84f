#include "committer.h"

#include "check.h"
#include "clock.h"
#include "retention.h"
#include "schedules.h"

static enum err run_submit(const struct committer *committer, struct work *work)
{
    struct job *job = work->job;
    bool insert = work->errand == NULL || work->errand->otherwise == ERR_OK;
    work->op.submit = (struct store_submit){.job = job};
    enum err err = store_next_seq(committer->store, &job->spec.seq);
    if (err != ERR_OK)
        return err;
    if (insert && job->spec.durability != DURABILITY_MEMORY) {
        job->spec.stored = 1;
        return store_submit(committer->store, &work->op.submit);
    }
    if (job->spec.idempotency_key[0] != '\0')
        return store_find_key(committer->store, &work->op.submit);
    work->op.submit.err = ERR_NOT_FOUND; /* no key: nothing to find */
    return ERR_OK;
}

static enum err run_due(const struct committer *committer, struct work *work)
{
    for (size_t i = 0; i < work->count; i++) /* a second try after a rollback */
        job_free(work->jobs[i]);
    work->count = 0;
    return store_due(committer->store, clock_real_ms(), work->limit, work->jobs, &work->count,
                     &work->next_ms);
}

/* A second try after a rollback drops what the first one has read. */
static void drop_job(struct work *work)
{
    job_free(work->job);
    work->job = NULL;
}

static enum err run_retry(const struct committer *committer, struct work *work)
{
    drop_job(work);
    work->op.retry = (struct store_retry){.id = work->id};
    enum err err = store_retry(committer->store, &work->op.retry);
    if (err == ERR_OK)
        work->job = work->op.retry.job;
    return err;
}

static enum err run_end(const struct committer *committer, struct work *work)
{
    drop_job(work);
    work->op.end = (struct store_end){.id = work->id, .ending = work->ending, .now_ms = clock_real_ms()};
    enum err err = store_end(committer->store, &work->op.end);
    work->job = work->op.end.job;
    return err;
}

static enum err run_patch(const struct committer *committer, struct work *work)
{
    drop_job(work);
    work->op.patch = *work->errand->patch;
    work->op.patch.id = work->id;
    work->op.patch.now_ms = clock_real_ms();
    work->op.patch.job = NULL;
    enum err err = store_patch(committer->store, &work->op.patch);
    work->job = work->op.patch.job;
    return err;
}

static enum err run_set(const struct committer *committer, struct work *work)
{
    const struct setting *setting = work->errand->setting;
    BUF_AUTO body = {0};
    limits_write(&body, &work->limits);
    if (body.failed)
        return ERR_NO_MEMORY;
    return store_setting_put(committer->store, setting->kind, setting->name,
                             (struct text){body.data, body.bytes});
}

/* The row of a schedule, as it is with `job` (NULL: as it is). */
static enum err keep_schedule(const struct committer *committer, const struct fire *fire,
                              const struct job *job)
{
    BUF_AUTO body = {0};
    struct schedule to = *fire->to; /* a second try after a rollback counts from the same */
    if (job != NULL)
        schedule_made(&to, fire->due_ms, job->spec.id, fire->open, fire->open_count);
    else if (fire->overlapped)
        to.skipped++;
    struct store_schedule row = schedule_row(&to, &body);
    return body.failed ? ERR_NO_MEMORY : store_schedule_put(committer->store, &row);
}

static enum err find_open(const struct committer *committer, struct fire *fire)
{
    enum err err = ERR_OK;
    fire->open_count = 0;
    for (size_t i = 0; err == ERR_OK && i < fire->before_count; i++) {
        bool open;
        err = store_is_open(committer->store, fire->before[i], &open);
        if (err == ERR_OK && open)
            fire->open[fire->open_count++] = fire->before[i];
    }
    return err;
}

/* The job, and how far its schedule has come, in one transaction: neither is ever there without the other. */
static enum err run_fire(const struct committer *committer, struct work *work)
{
    struct fire *fire = work->fire;
    struct job *job = work->job;
    enum err err = find_open(committer, fire);
    fire->overlapped = job != NULL && !fire->wait && fire->open_count > 0;
    work->op.submit = (struct store_submit){.job = job};
    if (fire->overlapped)
        job = NULL;
    if (err == ERR_OK && job != NULL)
        err = store_next_seq(committer->store, &job->spec.seq);
    if (err == ERR_OK && job != NULL) {
        job->state = JOB_QUEUED;
        job->spec.stored = 1;
        job->spec.after_policy = fire->open_count > 0 ? AFTER_RUN : AFTER_CANCEL;
        work->op.submit.after = fire->open;
        work->op.submit.after_count = fire->open_count;
        err = store_submit(committer->store, &work->op.submit);
    }
    return err != ERR_OK || fire->to == NULL ? err : keep_schedule(committer, fire, job);
}

static enum err run_schedule(const struct committer *committer, struct work *work)
{
    struct store_schedule gone = {.name = work->fire->name};
    if (work->fire->to != NULL)
        return keep_schedule(committer, work->fire, NULL);
    return store_schedule_put(committer->store, &gone);
}

enum err committer_run(const struct committer *committer, struct work *work)
{
    switch (work->kind) {
    case WORK_SUBMIT:
        return run_submit(committer, work);
    case WORK_LAND:
        work->op.land = (struct store_land){
            .job = work->job, .before = work->op.land.before, .keep_attempt = work->keep_attempt};
        return store_land(committer->store, &work->op.land);
    case WORK_CANCEL:
        return run_end(committer, work);
    case WORK_PATCH:
        return run_patch(committer, work);
    case WORK_SET:
        return run_set(committer, work);
    case WORK_DUE:
        return run_due(committer, work);
    case WORK_SWEEP:
        return store_sweep_keys(committer->store, clock_real_ms(), WORK_BATCH);
    case WORK_RETRY:
        return run_retry(committer, work);
    case WORK_FORGET:
        work->op.past = (struct store_past){.id = work->id};
        return store_forget(committer->store, &work->op.past);
    case WORK_RETAIN:
        return retention_run(committer->store, work->retain);
    case WORK_EXPIRED:
        work->expiry.now_ms = clock_real_ms();
        return store_expired(committer->store, &work->expiry, work->ids);
    case WORK_FIRE:
        return run_fire(committer, work);
    case WORK_SCHEDULE:
        return run_schedule(committer, work);
    case WORK_BULK:
    case WORK_REPLACE:
    case WORK_RELEASE:
    case WORK_LOOK:
    case WORK_LOAD:
        break;
    }
    CHECK_NEVER("not part of a group");
}
