/* What the dispatcher says about what waits, as JSON: queues and tasks with their limits, and why a job does
 * not run. */
#include "codec.h"
#include "extras.h"

#include <inttypes.h>
#include <string.h>

static void put_bool(struct buf *out, const char *before, bool value)
{
    buf_put(out, before);
    buf_put(out, value ? "true" : "false");
}

/* ------------------------------------------------------------------------------------------------------
 * lanes */

/* Those that are no switches: the members that stand outside of `limits` are put there. */
static bool is_inner(enum limit limit)
{
    return limit != LIMIT_PAUSED && limit != LIMIT_DRAINING && limit != LIMIT_WEIGHT;
}

static void put_limits(struct buf *out, unsigned whom, const struct limits *limits, const struct text *first)
{
    const char *between = "";
    PUT(out, ",\"limits\":{");
    if (first != NULL) {
        buf_add(out, first->at, first->bytes);
        between = ",";
    }
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (!limit_is_for((enum limit)i, whom) || !is_inner((enum limit)i))
            continue;
        buf_printf(out, "%s\"%s\":", between, limit_member((enum limit)i));
        limit_put(out, (enum limit)i, limits->values[i]);
        between = ",";
    }
    PUT(out, "}");
}

static void put_blocked_by(struct buf *out, const struct lane_view *view)
{
    const char *between = "";
    PUT(out, ",\"blocked_by\":[");
    for (int i = 0; i < REASON_COUNT; i++) {
        if (!view->holds[i])
            continue;
        buf_printf(out, "%s\"%s\"", between, reason_code((enum reason)i));
        between = ",";
    }
    PUT(out, "]");
}

static void put_rate(struct buf *out, double per_second)
{
    buf_printf(out, ",\"starts_per_second\":%.3f", per_second > 0 ? per_second : 0);
}

void codec_lane(struct buf *out, unsigned whom, const struct lane_view *view, const struct text *limits)
{
    struct lane_view none = {.limits = limits_none(), .set = limits_none()};
    if (view == NULL)
        view = &none;
    const int64_t *values = view->limits.values;
    put_bool(out, ",\"paused\":", values[LIMIT_PAUSED] == 1);
    if (whom == FOR_QUEUE) {
        put_bool(out, ",\"draining\":", values[LIMIT_DRAINING] == 1);
        PUT(out, ",\"weight\":");
        buf_put_int(out, values[LIMIT_WEIGHT] != LIMIT_NOT_SET ? values[LIMIT_WEIGHT] : 1);
    }
    put_limits(out, whom, &view->limits, limits);
    PUT(out, ",\"set\":");
    limits_write(out, &view->set);
    PUT(out, ",\"in_flight\":");
    buf_put_int(out, view->in_flight);
    put_rate(out, view->starts_per_second);
    put_blocked_by(out, view);
}

/* --------------------------------------------------------------------------------------------------------
 * why */

/* The limit that a reason speaks of; LIMIT_COUNT: none. */
static enum limit limit_of(enum reason reason)
{
    switch (reason) {
    case REASON_QUEUE_CONCURRENCY:
    case REASON_TASK_CONCURRENCY:
        return LIMIT_CONCURRENCY;
    case REASON_KEY_CONCURRENCY:
        return LIMIT_KEY_CONCURRENCY;
    case REASON_QUEUE_RATE:
    case REASON_TASK_RATE:
        return LIMIT_RATE;
    case REASON_KEY_RATE:
        return LIMIT_KEY_RATE;
    case REASON_SERVER_PAUSED:
    case REASON_SERVER_STOPPING:
    case REASON_QUEUE_PAUSED:
    case REASON_TASK_PAUSED:
    case REASON_NO_WORKER:
    case REASON_BEHIND:
    case REASON_NEXT:
    case REASON_COUNT:
        break;
    }
    return LIMIT_COUNT;
}

static void put_reason(struct buf *out, const struct why *why, enum reason reason)
{
    enum limit limit = limit_of(reason);
    buf_printf(out, "{\"code\":\"%s\",\"sentence\":\"%s\"", reason_code(reason), reason_sentence(reason));
    if (limit != LIMIT_COUNT) {
        PUT(out, ",\"limit\":");
        limit_put(out, limit, why->limit[reason]);
    }
    if (why->at_ms[reason] > 0) {
        PUT(out, ",\"at\":");
        buf_put_time(out, why->at_ms[reason]);
    }
    PUT(out, "}");
}

/* What a state says by itself; `queued` only until the dispatcher knows the job. code, sentence */
static const char *const STATE_REASONS[JOB_STATE_COUNT][2] = {
    [JOB_QUEUED] = {"queued", "it was queued this moment"},
    [JOB_RUNNING] = {"running", "it runs now"},
    [JOB_RETRYING] = {"retrying", "its last attempt failed; it waits for the time of the next one"},
    [JOB_SUCCEEDED] = {"succeeded", "it has run and succeeded"},
    [JOB_FAILED] = {"failed", "it has ended: it failed; its error says why"},
    [JOB_CANCELLED] = {"cancelled", "it has ended: it was cancelled"},
    [JOB_SCHEDULED] = {"scheduled", "its time has not come"},
    [JOB_BLOCKED] = {"blocked", "the jobs that it waits for have not all ended"},
};

/* A job of a schedule waits for the one before it. */
static void put_schedule(struct buf *out, const struct job *job)
{
    struct json_span schedule;
    char name[NAME_BYTES];
    if (extras_find(job->extras, EXTRA_SCHEDULE, &schedule) && json_text(schedule, name, sizeof name))
        buf_printf(out, ", the one before it of the schedule %s", name);
}

/* Names the first that it waits for. */
static void put_waits_sentence(struct buf *out, const struct job *job, const struct waits *waits)
{
    char id[ID_TEXT_BYTES];
    const struct wait *first = &waits->items[0];
    const struct store_batch *batch = &first->batch;
    size_t more = waits->count + waits->others - 1;
    if (waits->count == 0) {
        PUT(out, "what it waited for has ended, and it is released this moment");
        return;
    }
    id_format(first->id, id);
    if (first->is_batch)
        buf_printf(out, "it waits for the batch %s, of whose %" PRId64 " jobs %" PRId64 " have ended", id,
                   batch->jobs, batch->succeeded + batch->failed + batch->cancelled);
    else {
        buf_printf(out, "it waits for the job %s", id);
        put_schedule(out, job);
        buf_printf(out, ", which is %s", job_state_text(first->state));
    }
    if (more > 0)
        buf_printf(out, ", and for %zu more", more);
}

static void put_state_reason(struct buf *out, const struct job *job, const struct waits *waits)
{
    bool timed = job->state == JOB_RETRYING || job->state == JOB_SCHEDULED;
    buf_printf(out, "{\"code\":\"%s\",\"sentence\":\"", STATE_REASONS[job->state][0]);
    if (waits != NULL)
        put_waits_sentence(out, job, waits);
    else if (job->state == JOB_RUNNING && job->cancel_requested)
        PUT(out, "it runs, and was asked to stop; kill_after says how long that may take");
    else
        buf_put(out, STATE_REASONS[job->state][1]);
    PUT(out, "\"");
    if (timed && job->spec.run_at_ms > 0) {
        PUT(out, ",\"at\":");
        buf_put_time(out, job->spec.run_at_ms);
    }
    PUT(out, "}");
}

static int first_reason(const struct why *why)
{
    for (int i = 0; why != NULL && i < REASON_COUNT; i++) {
        if (why->holds[i])
            return i;
    }
    return REASON_COUNT;
}

static void put_reasons(struct buf *out, const struct job *job, const struct why *why,
                        const struct waits *waits)
{
    int first = first_reason(why);
    PUT(out, ",\"reason\":");
    if (first == REASON_COUNT) {
        put_state_reason(out, job, waits);
        PUT(out, ",\"reasons\":[");
        put_state_reason(out, job, waits);
        PUT(out, "]");
        return;
    }
    put_reason(out, why, (enum reason)first);
    PUT(out, ",\"reasons\":[");
    for (int i = first; i < REASON_COUNT; i++) {
        if (!why->holds[i])
            continue;
        buf_put(out, i > first ? "," : "");
        put_reason(out, why, (enum reason)i);
    }
    PUT(out, "]");
}

static void put_place(struct buf *out, const struct why *why)
{
    if (why == NULL) {
        PUT(out, ",\"position\":null,\"position_exact\":null,\"estimate_seconds\":null,\"pool\":null");
        return;
    }
    PUT(out, ",\"position\":");
    buf_put_int(out, why->position);
    put_bool(out, ",\"position_exact\":", why->position_exact);
    PUT(out, ",\"estimate_seconds\":");
    if (why->estimate_seconds >= 0)
        buf_printf(out, "%.3f", why->estimate_seconds);
    else
        PUT(out, "null");
    PUT(out, ",\"pool\":");
    if (why->pool[0] != '\0')
        buf_put_json(out, why->pool, strlen(why->pool));
    else
        PUT(out, "null");
}

static void put_wait(struct buf *out, const struct wait *wait)
{
    char id[ID_TEXT_BYTES];
    const struct store_batch *batch = &wait->batch;
    id_format(wait->id, id);
    if (wait->is_batch)
        buf_printf(out,
                   "{\"id\":\"%s\",\"batch\":true,\"jobs\":%" PRId64 ",\"succeeded\":%" PRId64
                   ",\"failed\":%" PRId64 ",\"cancelled\":%" PRId64 "}",
                   id, batch->jobs, batch->succeeded, batch->failed, batch->cancelled);
    else
        buf_printf(out, "{\"id\":\"%s\",\"task\":\"%s\",\"state\":\"%s\"}", id, wait->task,
                   job_state_text(wait->state));
}

static void put_waits(struct buf *out, const struct waits *waits)
{
    if (waits == NULL) {
        PUT(out, ",\"waits_for\":null");
        return;
    }
    PUT(out, ",\"waits_for\":{\"items\":[");
    for (size_t i = 0; i < waits->count; i++) {
        buf_put(out, i > 0 ? "," : "");
        put_wait(out, &waits->items[i]);
    }
    buf_printf(out, "],\"others\":%zu}", waits->others);
}

void codec_why(struct buf *out, const struct job *job, const struct why *why, const struct waits *waits)
{
    char id[ID_TEXT_BYTES];
    bool timed = job->state == JOB_RETRYING || job->state == JOB_SCHEDULED;
    id_format(job->spec.id, id);
    buf_printf(out, "{\"id\":\"%s\",\"state\":\"%s\"", id, job_state_text(job->state));
    put_reasons(out, job, why, waits);
    put_place(out, why);
    PUT(out, ",\"next_attempt_at\":");
    if (timed && job->spec.run_at_ms > 0)
        buf_put_time(out, job->spec.run_at_ms);
    else
        PUT(out, "null");
    put_waits(out, waits);
    PUT(out, "}");
}
