#include "committer_private.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "extras.h"
#include "retention.h"
#include "schedules.h"

#include <stdlib.h>

/* What the job waits for, by its extras; work->ids outlives the group. */
static enum err read_after(struct work *work, struct job *job, size_t *count)
{
    *count = 0;
    if ((job->spec.flags & JOB_FLAG_INPUTS) == 0)
        return ERR_OK;
    if (work->ids == NULL)
        work->ids = calloc(AFTER_MAX, sizeof *work->ids);
    if (work->ids == NULL)
        return ERR_NO_MEMORY;
    *count = extras_after(job->extras, work->ids);
    return ERR_OK;
}

/* The ids that `submit` borrows live in `work`. */
static enum err insert(struct store *store, struct work *work, struct job *job, struct store_submit *submit)
{
    size_t count;
    enum err err = store_next_seq(store, &job->spec.seq);
    if (err == ERR_OK)
        err = read_after(work, job, &count);
    if (err != ERR_OK)
        return err;
    job->spec.stored = 1;
    *submit = (struct store_submit){.job = job, .after = work->ids, .after_count = count};
    return CRASH_AROUND(STORE_SUBMIT, store_submit(store, submit));
}

static enum err run_submit(const struct committer *committer, struct work *work)
{
    struct job *job = work->job;
    bool wanted = work->errand == NULL || work->errand->otherwise == ERR_OK;
    if (wanted && job->spec.durability != DURABILITY_MEMORY)
        return insert(committer->store, work, job, &work->op.submit);
    work->op.submit = (struct store_submit){.job = job};
    enum err err = store_next_seq(committer->store, &job->spec.seq);
    if (err != ERR_OK)
        return err;
    return store_find_standing(committer->store, &work->op.submit);
}

/* The one that holds the key gives way, if it still waits; whatever it did meanwhile, the new one is tried.
 */
static enum err run_replace(const struct committer *committer, struct work *work)
{
    struct store_end *end = &work->op.replace.end;
    job_free(work->replaced); /* a second try after a rollback */
    work->replaced = NULL;
    *end = (struct store_end){
        .id = work->id, .by = work->job->spec.id, .ending = END_REPLACE, .now_ms = clock_real_ms()};
    enum err err = CRASH_AROUND(STORE_END, store_end(committer->store, end));
    work->replaced = end->job;
    return err != ERR_OK ? err : insert(committer->store, work, work->job, &work->op.replace.submit);
}

/* Jobs of the same request that stood already go by other ids than it was told. */
static void rename_befores(const struct bulk *bulk, size_t at)
{
    for (size_t i = bulk->first[at]; i < bulk->first[at + 1]; i++) {
        const struct bulk_line *before = &bulk->lines[bulk->befores[i]];
        if (before->replayed || before->returned)
            extras_rename_after(bulk->lines[at].job, before->job->spec.id, before->original);
    }
}

/* Why the line may not be inserted, though it may stand already: what it says itself; or it waits for its
 * batch, which has no job. */
static enum err otherwise(const struct work *work, const struct bulk_line *line)
{
    bool follows_nobody = (line->job->spec.flags & JOB_FLAG_FOLLOWER) != 0 && work->count == 0;
    return line->otherwise == ERR_OK && follows_nobody ? ERR_UNKNOWN_DEPENDENCY : line->otherwise;
}

static enum err find_only(struct store *store, const struct bulk *bulk, const struct bulk_line *line,
                          enum err refusal, struct store_submit *submit)
{
    *submit = (struct store_submit){.job = line->job};
    enum err err = store_find_standing(store, submit);
    if (submit->err != ERR_NOT_FOUND)
        return err;
    submit->err = refusal;
    submit->original = bulk->batch;
    return err;
}

/* Of an atomic one, a line that cannot be inserted ends it all; else only what was inserted counts. */
static enum err run_line(const struct committer *committer, struct work *work, struct bulk *bulk, size_t at)
{
    struct bulk_line *line = &bulk->lines[at];
    struct store_submit submit;
    if (line->err != ERR_OK)
        return ERR_OK;
    if (bulk->first != NULL)
        rename_befores(bulk, at);
    enum err refusal = otherwise(work, line);
    enum err err = refusal != ERR_OK ? find_only(committer->store, bulk, line, refusal, &submit)
                                     : insert(committer->store, work, line->job, &submit);
    if (err != ERR_OK)
        return err;
    line->err = submit.err;
    line->replayed = submit.replayed;
    line->returned = submit.returned;
    line->original = submit.original;
    if (line->err == ERR_OK && !line->replayed && !line->returned)
        work->jobs[work->count++] = job_share(line->job);
    if (line->err == ERR_OK || !bulk->atomic)
        return ERR_OK;
    bulk->failed = at;
    work->err = line->err;
    return ERR_AGAIN;
}

enum err committer_run_bulk(const struct committer *committer, struct work *work)
{
    struct bulk *bulk = work->errand->bulk;
    enum err err = ERR_OK;
    work->err = ERR_OK;
    if (!id_is_none(bulk->batch))
        err = CRASH_AROUND(STORE_BATCH_ADD, store_batch_add(committer->store, bulk->batch, clock_real_ms()));
    for (size_t i = 0; err == ERR_OK && i < bulk->count; i++)
        err = run_line(committer, work, bulk, bulk->order != NULL ? bulk->order[i] : i);
    return err == ERR_OK && work->count == 0 ? ERR_AGAIN : err;
}

static enum err run_release(const struct committer *committer, struct work *work)
{
    for (size_t i = 0; i < work->count; i++) /* a second try after a rollback */
        job_free(work->jobs[i]);
    work->count = 0;
    struct store_release release = {.now_ms = clock_real_ms(), .limit = work->limit, .jobs = work->jobs};
    enum err err = CRASH_AROUND(STORE_RELEASE, store_release(committer->store, &release));
    work->count = release.count;
    return err;
}

static enum err run_due(const struct committer *committer, struct work *work)
{
    for (size_t i = 0; i < work->count; i++) /* a second try after a rollback */
        job_free(work->jobs[i]);
    work->count = 0;
    return CRASH_AROUND(STORE_DUE, store_due(committer->store, clock_real_ms(), work->limit, work->jobs,
                                             &work->count, &work->next_ms));
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
    enum err err = CRASH_AROUND(STORE_RETRY, store_retry(committer->store, &work->op.retry));
    if (err == ERR_OK)
        work->job = work->op.retry.job;
    return err;
}

static enum err run_end(const struct committer *committer, struct work *work)
{
    drop_job(work);
    work->op.end = (struct store_end){.id = work->id, .ending = work->ending, .now_ms = clock_real_ms()};
    enum err err = CRASH_AROUND(STORE_END, store_end(committer->store, &work->op.end));
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
    enum err err = CRASH_AROUND(STORE_PATCH, store_patch(committer->store, &work->op.patch));
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
    return CRASH_AROUND(STORE_SETTING_PUT, store_setting_put(committer->store, setting->kind, setting->name,
                                                             (struct text){body.data, body.bytes}));
}

static enum err put_schedule(struct store *store, const struct store_schedule *row, bool fires)
{
    if (fires)
        return CRASH_AROUND(STORE_SCHEDULE_MADE, store_schedule_put(store, row));
    if (row->body.at == NULL)
        return CRASH_AROUND(STORE_SCHEDULE_GONE, store_schedule_put(store, row));
    return CRASH_AROUND(STORE_SCHEDULE_PUT, store_schedule_put(store, row));
}

/* The row of a schedule, as it is with `job` (NULL: as it is). */
static enum err keep_schedule(const struct committer *committer, const struct work *work,
                              const struct job *job)
{
    BUF_AUTO body = {0};
    const struct fire *fire = work->fire;
    struct schedule to = *fire->to; /* a second try after a rollback counts from the same */
    if (job != NULL)
        schedule_made(&to, fire->due_ms, job->spec.id, fire->open, fire->open_count);
    else if (fire->overlapped)
        to.skipped++;
    struct store_schedule row = schedule_row(&to, &body);
    return body.failed ? ERR_NO_MEMORY : put_schedule(committer->store, &row, work->kind == WORK_FIRE);
}

/* A blocked job has no slot, so nobody else need be asked. Else two that wait for the same job would begin
 * together, if the dispatcher that is about to cancel one of them dies. */
static enum err end_blocked(const struct committer *committer, struct fire *fire)
{
    JOB_AUTO job = NULL;
    job_free(fire->replaced); /* of a first try */
    fire->replaced = NULL;
    if (!fire->replace || fire->before_count == 0)
        return ERR_OK;
    enum err err = store_get(store_own_reader(committer->store), fire->before[0], &job);
    if (err != ERR_OK || job->state != JOB_BLOCKED)
        return err == ERR_UNKNOWN_JOB ? ERR_OK : err;
    struct store_end end = {.id = fire->before[0], .ending = END_CANCEL, .now_ms = clock_real_ms()};
    err = store_end(committer->store, &end);
    fire->replaced = end.job;
    return err;
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
    enum err err = end_blocked(committer, fire);
    if (err == ERR_OK)
        err = find_open(committer, fire);
    fire->overlapped = job != NULL && !fire->wait && fire->open_count > 0;
    work->op.submit = (struct store_submit){.job = job};
    if (fire->overlapped)
        job = NULL;
    if (err == ERR_OK && job != NULL)
        err = store_next_seq(committer->store, &job->spec.seq);
    if (err == ERR_OK && job != NULL) /* so its document says for whom it waits, and a retry does again */
        err = schedule_mark_after(job, fire->open, fire->open_count);
    if (err == ERR_OK && job != NULL) {
        job->state = JOB_QUEUED;
        job->spec.stored = 1;
        job->spec.after_policy = fire->open_count > 0 ? AFTER_RUN : AFTER_CANCEL;
        work->op.submit.after = fire->open;
        work->op.submit.after_count = fire->open_count;
        err = CRASH_AROUND(STORE_SCHEDULE_SUBMIT, store_submit(committer->store, &work->op.submit));
    }
    return err != ERR_OK || fire->to == NULL ? err : keep_schedule(committer, work, job);
}

static enum err run_schedule(const struct committer *committer, struct work *work)
{
    struct store_schedule gone = {.name = work->fire->name};
    if (work->fire->to != NULL)
        return keep_schedule(committer, work, NULL);
    return put_schedule(committer->store, &gone, false);
}

enum err committer_run(const struct committer *committer, struct work *work)
{
    switch (work->kind) {
    case WORK_SUBMIT:
        return run_submit(committer, work);
    case WORK_LAND:
        work->op.land = (struct store_land){
            .job = work->job, .before = work->op.land.before, .keep_attempt = work->keep_attempt};
        return CRASH_AROUND(STORE_LAND, store_land(committer->store, &work->op.land));
    case WORK_CANCEL:
        return run_end(committer, work);
    case WORK_PATCH:
        return run_patch(committer, work);
    case WORK_SET:
        return run_set(committer, work);
    case WORK_DUE:
        return run_due(committer, work);
    case WORK_SWEEP:
        return CRASH_AROUND(STORE_SWEEP_KEYS,
                            store_sweep_keys(committer->store, clock_real_ms(), WORK_BATCH));
    case WORK_RETRY:
        return run_retry(committer, work);
    case WORK_FORGET:
        work->op.past = (struct store_past){.id = work->id};
        return CRASH_AROUND(STORE_FORGET, store_forget(committer->store, &work->op.past));
    case WORK_RETAIN:
        return retention_run(committer->store, work->retain);
    case WORK_EXPIRED:
        work->expiry.now_ms = clock_real_ms();
        return CRASH_AROUND(STORE_EXPIRED, store_expired(committer->store, &work->expiry, work->ids));
    case WORK_REPLACE:
        return run_replace(committer, work);
    case WORK_RELEASE:
        return run_release(committer, work);
    case WORK_FIRE:
        return run_fire(committer, work);
    case WORK_SCHEDULE:
        return run_schedule(committer, work);
    case WORK_BULK:
    case WORK_LOOK:
    case WORK_LOAD:
        break;
    }
    CHECK_NEVER("not part of a group");
}
