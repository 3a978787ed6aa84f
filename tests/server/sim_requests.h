/* What clients of the simulation ask for, and what their answers make of jobs and limits as they should be.
 */
#ifndef FORKPOOL_TESTS_SIM_REQUESTS_H
#define FORKPOOL_TESTS_SIM_REQUESTS_H

#include "sim_rules.h"

/* --- answers --- */

static inline void submit_answered(struct sim_job *job, int number, enum err err)
{
    job->accepted = err == ERR_OK;
    job->gone = !job->accepted;
    if (err != ERR_OK && err != ERR_MEMORY_FULL && (err != ERR_DUPLICATE_JOB || job->unique == 0))
        broken("job %d is refused: %s", number, err_code(err));
}

/* A line that stood already is waited for as what stands. */
static inline void wait_for_what_stands(const struct request *request, size_t line)
{
    struct sim_job *job = &jobs[request->job + (int)line];
    for (uint32_t i = 0; i < job->after_count; i++) {
        int before = job->after[i] - request->job;
        if (before >= 0 && before < (int)request->bulk.count && request->lines[before].returned)
            job->after[i] = job_of(request->lines[before].original);
    }
}

/* All of it or nothing; or, if it is not atomic, line by line. */
static inline void bulk_answered(struct request *request)
{
    struct bulk *bulk = &request->bulk;
    for (size_t i = 0; i < bulk->count; i++) {
        enum err err = bulk->atomic ? request->errand.err : bulk->lines[i].err;
        bool stands = bulk->lines[i].returned && err == ERR_OK;
        int number = request->job + (int)i;
        jobs[number].accepted = err == ERR_OK && !stands;
        jobs[number].gone = !jobs[number].accepted;
        if (jobs[number].accepted)
            wait_for_what_stands(request, i);
        bool other_refused = err == ERR_UNKNOWN_DEPENDENCY && request->any_unique; /* one that it names */
        if (err != ERR_OK && err != ERR_DUPLICATE_JOB && !other_refused)
            broken("job %d is refused: %s", number, err_code(err));
        if (bulk->atomic && err != ERR_OK && jobs[request->job + (int)bulk->failed].unique == 0)
            broken("a bulk request is refused for line %d, which nothing forbids", (int)bulk->failed);
        job_free(bulk->lines[i].job);
    }
}

static inline void cancel_was_answered(struct sim_job *job, int number, enum err err)
{
    if (err == ERR_OK && job->running)
        broken("job %d is said to be cancelled, and runs", number);
    if (err == ERR_OK)
        job->over = true;
    if (err == ERR_AGAIN)
        job->stop_asked = true;
}

static inline void job_again(struct sim_job *job)
{
    job->over = job->pristine = job->ran = job->failed = job->stop_asked = false;
    job->retried = true;
    job->errors = job->crashes = job->lost = 0;
    job->expires_ms = job->not_before_ms = 0;
    job->expired_rounds = 0;
}

static inline void retry_answered(struct sim_job *job, int number, enum err err)
{
    if (err != ERR_OK)
        return;
    if (job->running)
        broken("job %d is said to be queued again, and runs", number);
    job_again(job);
}

static inline void patch_made(struct sim_job *job, const struct store_patch *patch)
{
    job->pristine = false;
    job->patched = true;
    if (patch->has_priority)
        job->priority = patch->priority;
    if (patch->has_run_at)
        job->not_before_ms = patch->run_at_ms;
}

static inline void patch_answered(struct sim_job *job, int number, const struct request *request)
{
    if (request->errand.err != ERR_OK)
        return;
    if (job->running || job->over)
        broken("job %d is said to be changed, and does not wait", number);
    patch_made(job, &request->patch);
}

static inline struct limits *limits_that(const struct setting *setting)
{
    uint32_t number = (uint32_t)atoi(setting->name + 1);
    return setting->kind == SETTING_QUEUE ? &queue_limits[number] : &task_limits[number];
}

static inline void set_made(const struct setting *setting)
{
    if (setting->kind == SETTING_SERVER)
        whole_paused = setting->to.values[LIMIT_PAUSED] == 1;
    for (int i = 0; i < LIMIT_COUNT && setting->kind != SETTING_SERVER; i++)
        if (setting->given[i])
            limits_that(setting)->values[i] = setting->to.values[i];
    forget_starts();
}

/* A burst without a rate, by what is set: there is no file here. */
static inline void burst_refused(const struct setting *setting)
{
    enum limit rate = setting->alone == LIMIT_BURST ? LIMIT_RATE : LIMIT_KEY_RATE;
    int64_t now = setting->given[rate] ? setting->to.values[rate] : limit_of(limits_that(setting), rate);
    if (setting->kind == SETTING_SERVER || setting->to.values[setting->alone] == LIMIT_NOT_SET ||
        now != LIMIT_NOT_SET)
        broken("a burst is refused that has a rate");
}

static inline void sim_answer(struct errand *errand)
{
    struct request *request = (struct request *)(void *)errand;
    struct sim_job *job = request->job >= 0 ? &jobs[request->job] : NULL;
    if (!request->open)
        broken("request %d is answered twice", (int)(request - requests));
    request->open = false;
    trace("answer to request %d (job %d): %s", (int)(request - requests), request->job,
          err_code(errand->err));
    switch (errand->kind) {
    case ERRAND_SUBMIT:
        submit_answered(job, request->job, errand->returned ? ERR_DUPLICATE_JOB : errand->err);
        break;
    case ERRAND_BULK:
        bulk_answered(request);
        break;
    case ERRAND_CANCEL:
        cancel_was_answered(job, request->job, errand->err);
        break;
    case ERRAND_RETRY:
        retry_answered(job, request->job, errand->err);
        break;
    case ERRAND_PATCH:
        patch_answered(job, request->job, request);
        break;
    case ERRAND_SET:
        if (errand->err == ERR_INVALID_FIELD)
            burst_refused(&request->setting);
        else if (errand->err != ERR_OK)
            broken("limits are refused: %s", err_code(errand->err));
        else
            set_made(&request->setting);
        break;
    case ERRAND_SCHEDULE:
        if (errand->err != ERR_OK && errand->err != ERR_UNKNOWN_SCHEDULE)
            broken("a schedule is refused: %s", err_code(errand->err));
        if (request->change.verb == SCHEDULE_PUT)
            note_first((uint32_t)atoi(request->change.name + 1));
        break;
    case ERRAND_FORGET:
    case ERRAND_LOOK:
        break;
    }
}

/* The front died before it answered: what the store says is what came of it. */
static inline void bulk_dropped(struct request *request)
{
    size_t kept = 0;
    for (size_t i = 0; i < request->bulk.count; i++) {
        struct sim_job *job = &jobs[request->job + (int)i];
        struct job *row = NULL;
        job->accepted = store_get(store_own_reader(store), job->id, &row) == ERR_OK;
        job->gone = !job->accepted;
        kept += job->accepted;
        job_free(row);
        job_free(request->bulk.lines[i].job);
    }
    if (request->bulk.atomic && kept > 0 && kept < request->bulk.count && !request->any_unique)
        broken("of a bulk request %d of %d lines are kept", (int)kept, (int)request->bulk.count);
}

static inline void request_dropped(struct request *request)
{
    struct sim_job *job = request->job >= 0 ? &jobs[request->job] : NULL;
    struct job *row = NULL;
    request->open = false;
    trace("request %d (job %d) is dropped", (int)(request - requests), request->job);
    if (request->errand.kind == ERRAND_BULK) {
        bulk_dropped(request);
        return;
    }
    if (job != NULL && store_get(store_own_reader(store), job->id, &row) != ERR_OK)
        row = NULL;
    if (request->errand.kind == ERRAND_SUBMIT)
        job->gone = !(job->accepted = row != NULL);
    if (request->errand.kind == ERRAND_CANCEL && row != NULL && row->state == JOB_CANCELLED)
        job->over = true;
    if (request->errand.kind == ERRAND_RETRY && row != NULL && job->over && !job_is_terminal(row->state) &&
        row->spec.attempt == job->runs) /* else its end was not kept yet */
        job_again(job);
    if (request->errand.kind == ERRAND_PATCH && row != NULL && !job->running) {
        job->pristine = false;
        job->patched = true;
        job->priority = row->spec.priority;
        if (request->patch.has_run_at && row->spec.scheduled_ms == request->patch.run_at_ms)
            job->not_before_ms = request->patch.run_at_ms;
        else if (request->patch.has_run_at)
            job->not_before_ms = row->spec.run_at_ms;
    }
    job_free(row);
}

static inline bool any_open(void)
{
    for (uint32_t i = 0; i < request_count; i++)
        if (requests[i].open)
            return true;
    return false;
}

/* --- requests --- */

static inline struct request *new_request(enum errand_kind kind, int job)
{
    if (request_count == REQUESTS)
        broken("the simulation has no room for requests");
    struct request *request = &requests[request_count++];
    *request = (struct request){.errand = {.kind = kind, .notify = sim_answer}, .job = job, .open = true};
    if (job >= 0)
        request->errand.id = jobs[job].id;
    return request;
}

static inline struct work *work_for(struct request *request, enum work_kind kind)
{
    struct work *work = work_new(kind);
    work->errand = &request->errand;
    work->id = request->errand.id;
    return work;
}

static inline struct job *make_sim_job(int number)
{
    struct sim_job *sim = &jobs[number];
    struct job *job = new_job(sim->priority, (enum durability)sim->durability);
    snprintf(job->spec.queue, NAME_BYTES, "q%u", sim->queue);
    snprintf(job->spec.task, NAME_BYTES, "t%u", sim->task);
    if (sim->key > 0)
        snprintf(job->spec.concurrency_key, KEY_BYTES, "k%u", sim->key);
    job->spec.retry.max_attempts = sim->max_attempts;
    job->spec.retry.backoff = BACKOFF_FIXED;
    job->spec.expires_ms = sim->expires_ms;
    job->spec.lane = job_lane(&job->spec);
    job->spec.timeout_ms = 1000000;
    if (sim->not_before_ms > clock_real_ms()) {
        job->state = JOB_SCHEDULED;
        job->spec.run_at_ms = job->spec.scheduled_ms = sim->not_before_ms;
    }
    put_graph(sim, job);
    sim->id = job->spec.id;
    sim->sent = true;
    return job;
}

static inline void trace_submit(int request, int number)
{
    const struct sim_job *sim = &jobs[number];
    trace("request %d: submit job %d: q%u t%u k%u priority %u%s, expires %d, not before %d, after %u, "
          "unique u%u %s",
          request, number, sim->queue, sim->task, sim->key, sim->priority,
          sim->durability == DURABILITY_MEMORY ? " memory" : "",
          sim->expires_ms > 0 ? (int)(sim->expires_ms - base_ms) : -1,
          sim->not_before_ms > 0 ? (int)(sim->not_before_ms - base_ms) : -1, sim->after_count, sim->unique,
          on_conflict_text(sim->on_conflict));
}

static inline void ask_submit(int number)
{
    struct job *job = make_sim_job(number);
    struct request *request = new_request(ERRAND_SUBMIT, number);
    struct work *work = work_for(request, WORK_SUBMIT);
    work->job = job;
    trace_submit((int)(request - requests), number);
    committer_give(&committer, work);
}

/* Those of its parents that come in the same request. */
static inline void name_befores(struct request *request, size_t line)
{
    const struct sim_job *job = &jobs[request->job + (int)line];
    size_t count = request->first[line];
    for (uint32_t i = 0; i < job->after_count; i++) {
        if (job->after[i] >= request->job)
            request->befores[count++] = (size_t)(job->after[i] - request->job);
    }
    request->first[line + 1] = count;
}

/* The jobs from `number` on, in one request. */
static inline void ask_bulk(int number, uint32_t count)
{
    struct request *request = new_request(ERRAND_BULK, number);
    struct bulk *bulk = &request->bulk;
    *bulk = (struct bulk){.lines = request->lines,
                          .count = count,
                          .first = request->first,
                          .befores = request->befores,
                          .atomic = percent(70)};
    request->first[0] = 0;
    if (percent(60))
        batches[batch_count++] = bulk->batch = id_new();
    for (uint32_t i = 0; i < count; i++) {
        jobs[number + (int)i].bulk = (int)(request - requests);
        struct job *job = make_sim_job(number + (int)i);
        job->spec.batch = jobs[number + (int)i].batch = bulk->batch;
        request->any_unique = request->any_unique || jobs[number + (int)i].unique > 0;
        request->lines[i] = (struct bulk_line){.job = job};
        name_befores(request, i);
        trace_submit((int)(request - requests), number + (int)i);
    }
    request->errand.bulk = bulk;
    struct work *work = work_for(request, WORK_BULK);
    work->jobs = calloc(count, sizeof(struct job *));
    committer_give(&committer, work);
}

static inline void ask_cancel(int job)
{
    struct request *request = new_request(ERRAND_CANCEL, job);
    jobs[job].cancel_asked = true;
    trace("request %d: cancel job %d", (int)(request - requests), job);
    dispatcher_give(&dispatcher, work_for(request, WORK_CANCEL));
}

static inline void ask_retry(int job)
{
    struct request *request = new_request(ERRAND_RETRY, job);
    trace("request %d: retry job %d", (int)(request - requests), job);
    dispatcher_give(&dispatcher, work_for(request, WORK_RETRY));
}

static inline void ask_patch(int job)
{
    struct request *request = new_request(ERRAND_PATCH, job);
    struct store_patch *patch = &request->patch;
    patch->has_priority = percent(60);
    patch->has_run_at = !patch->has_priority || percent(20);
    patch->priority = (uint8_t)between(3, 7);
    if (patch->has_run_at && percent(50))
        patch->run_at_ms = clock_real_ms() + between(1, 300);
    request->errand.patch = patch;
    trace("request %d: patch job %d: priority %d, run at %d", (int)(request - requests), job,
          patch->has_priority ? patch->priority : -1,
          patch->run_at_ms > 0 ? (int)(patch->run_at_ms - base_ms)
          : patch->has_run_at  ? 0
                               : -1);
    dispatcher_give(&dispatcher, work_for(request, WORK_PATCH));
}

static inline void ask_schedule(uint32_t number, enum schedule_verb verb)
{
    static const char *const OVERLAP_WORDS[] = {"skip", "queue", "replace"};
    static const char *const CATCH_UP_WORDS[] = {"none", "one", "all"};
    const struct sim_schedule *schedule = &schedules[number];
    struct request *request = new_request(ERRAND_SCHEDULE, -1);
    request->change.verb = verb;
    strcpy(request->change.name, name_of('s', number));
    if (verb == SCHEDULE_PUT) {
        int bytes =
            snprintf(request->definition, sizeof request->definition,
                     "{\"cron\":\"*/%d * * * * *\",\"timezone\":\"UTC\",\"overlap\":\"%s\",\"catch_up\":"
                     "\"%s\",\"job\":{\"task\":\"t%u\",\"queue\":\"q%u\",\"meta\":%u}}",
                     schedule->step_s, OVERLAP_WORDS[schedule->overlap], CATCH_UP_WORDS[schedule->catch_up],
                     schedule->task, schedule->queue, number);
        request->change.body = (struct text){request->definition, (size_t)bytes};
    }
    request->errand.schedule = &request->change;
    trace("request %d: %s schedule s%u %s", (int)(request - requests), verb == SCHEDULE_PUT ? "put" : "drop",
          number, request->definition);
    dispatcher_give(&dispatcher, work_for(request, WORK_SCHEDULE));
}

static inline struct request *new_setting(enum setting_kind kind, uint32_t number)
{
    struct request *request = new_request(ERRAND_SET, -1);
    request->setting = (struct setting){.kind = kind, .to = limits_none()};
    if (kind != SETTING_SERVER)
        strcpy(request->setting.name, name_of(kind == SETTING_QUEUE ? 'q' : 't', number));
    request->errand.setting = &request->setting;
    return request;
}

static inline void give(struct setting *setting, enum limit limit, int64_t value)
{
    setting->given[limit] = true;
    setting->to.values[limit] = value;
}

static inline void ask_setting(struct request *request)
{
    BUF_AUTO body = {0};
    limits_write(&body, &request->setting.to);
    trace("request %d: set %s %.*s", (int)(request - requests),
          request->setting.kind == SETTING_SERVER ? "everything" : request->setting.name, (int)body.bytes,
          body.data);
    dispatcher_give(&dispatcher, work_for(request, WORK_SET));
}

static inline void ask_paused(enum setting_kind kind, uint32_t number, bool paused)
{
    struct request *request = new_setting(kind, number);
    give(&request->setting, LIMIT_PAUSED, paused ? 1 : percent(50) ? 0 : LIMIT_NOT_SET);
    ask_setting(request);
}

static inline int64_t some_rate(void)
{
    static const uint32_t RATES[] = {5, 10, 20, 50, 100, 200};
    return percent(30) ? LIMIT_NOT_SET : limit_rate((struct rate){RATES[below(6)], 1});
}

static inline int64_t some(int64_t most)
{
    return percent(30) ? LIMIT_NOT_SET : between(1, most);
}

/* `share`: how likely each limit is among them. */
static inline void ask_limits(enum setting_kind kind, uint32_t number, uint32_t share)
{
    struct request *request = new_setting(kind, number);
    struct setting *setting = &request->setting;
    if (percent(share))
        give(setting, LIMIT_CONCURRENCY, some(3));
    if (percent(share))
        give(setting, LIMIT_RATE, some_rate());
    if (percent(share))
        give(setting, LIMIT_BURST, some(4));
    if (percent(share))
        give(setting, LIMIT_KEY_CONCURRENCY, some(2));
    if (percent(share / 2))
        give(setting, LIMIT_KEY_RATE, some_rate());
    if (percent(share / 2))
        give(setting, LIMIT_KEY_BURST, some(3));
    if (kind == SETTING_QUEUE && percent(share))
        give(setting, LIMIT_WEIGHT, some(5));
    ask_setting(request);
}

#endif
