/* POST /v1/jobs, …/tasks/{task}/jobs and …/tasks/{task}/call: three ways of asking, one way through. */
#include "await.h"
#include "clock.h"
#include "codec.h"
#include "extras.h"
#include "handlers.h"
#include "routes.h"

#include <inttypes.h>

/* The answer is of a job that stood already. */
static void name_standing(struct request *request)
{
    if (request->replayed)
        reply_header(request, "Idempotency-Replayed", "true");
    if (request->returned)
        reply_header(request, "Unique-Returned", "true");
}

static enum answer answer_document(struct request *request, const struct job *job)
{
    bool ended = job_is_terminal(job->state);
    handler_location(request, job->spec.id);
    name_standing(request);
    if (!ended && request->expired)
        reply_header(request, "Retry-After", "1");
    /* One that stood already is answered as its own request was: 202, unless its end was waited for. */
    struct buf *out = reply_json(request, ended && request->wait_ms > 0 ? 200 : 202);
    if (handler_minimal(request))
        codec_job_minimal(out, job);
    else
        codec_job(out, job, true);
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer answer_call(struct request *request, const struct job *job)
{
    if (!job_is_terminal(job->state))
        return answer_document(request, job);
    handler_location(request, job->spec.id);
    name_standing(request);
    return handler_result(request, job);
}

static enum answer answer_submit(struct request *request, const struct job *job)
{
    return request->call ? answer_call(request, job) : answer_document(request, job);
}

static enum answer answer_read(struct request *request)
{
    return answer_submit(request, request->job);
}

static enum answer unknown_dependency(struct request *request)
{
    PROBLEM_AUTO problem = {0};
    JOB_AUTO job = job_share(request->job);
    struct id id = request->errand.original;
    enum err err = await_read(request, id);
    if (err != ERR_OK && err != ERR_UNKNOWN_JOB)
        return problem_plain(request, err);
    codec_unknown_dependency(&problem, job, id, request->job, request->capture[0] != '\0');
    return problem_reply(request, &problem);
}

static enum answer refused(struct request *request, enum err err)
{
    if (err == ERR_DUPLICATE_JOB)
        return handler_duplicate(request, false);
    if (err == ERR_UNKNOWN_DEPENDENCY)
        return unknown_dependency(request);
    if (err == ERR_KEY_REUSED)
        return problem_answer(request, err, NULL, "the Idempotency-Key \"%s\" was used for another request",
                              request->headers[HEADER_IDEMPOTENCY_KEY]);
    return problem_plain(request, err);
}

/* ------------------------------------------------------------------------------------------------------
 * admission */

static enum answer not_admitted(struct request *request, enum err err)
{
    PROBLEM_AUTO problem = {0};
    const struct job_spec *spec = &request->job->spec;
    if (err != ERR_TOO_LATE)
        return handler_not_admitted(request, err, spec->queue, &request->admission);
    int64_t retry_after_s = codec_too_late(&problem, spec, &request->start->why, request->start->within_ms);
    reply_header(request, "Retry-After", request_printf(request, "%" PRId64, retry_after_s));
    return problem_reply(request, &problem);
}

/* The job did not come into being, or stood already: its place is free again. */
static void give_back_place(struct request *request)
{
    if (request->admitted)
        front_unadmit(request->front, &request->job->spec);
    request->admitted = false;
}

/* What became of the job: its end, if that came, else where it stands. */
static enum answer conclude(struct request *request)
{
    struct id id = request->job->spec.id;
    if (request->ended != NULL)
        return answer_submit(request, request->ended);
    if (request->wait_ms == 0)
        return answer_submit(request, request->job); /* as it was accepted */
    struct job *accepted = job_share(request->job);
    if (await_read(request, id) !=
        ERR_OK) { /* it was accepted all the same, and the client must learn its id */
        request->job = accepted;
        return answer_submit(request, accepted);
    }
    job_free(accepted);
    return answer_submit(request, request->job);
}

/* Called when the errand is done, when the job has ended, at the deadline and at a stop, in any order. */
static enum answer go_on(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err != ERR_OK || request->errand.replayed || request->errand.returned) {
        give_back_place(request);
        if (!await_forget(request)) /* of the job that did not come into being */
            return SUSPENDED;
        request->replayed = request->errand.replayed;
        request->returned = request->errand.returned;
        if (err != ERR_OK && err == request->refusal)
            return not_admitted(request, err);
        return err != ERR_OK ? refused(request, err)
                             : await_job(request, request->errand.original, answer_read);
    }
    return await_enough(request) ? conclude(request) : SUSPENDED;
}

/* refusal: ERR_OK, or why it was not admitted. */
static enum answer hand_in(struct request *request, enum err refusal)
{
    struct job *job = request->job;
    request->refusal = refusal;
    if (refusal != ERR_OK && !extras_may_stand(job)) /* else however full the queue is */
        return not_admitted(request, refusal);
    request->admitted = refusal == ERR_OK;
    request->then = go_on;
    if (request->wait_ms > 0 && request->admitted) {
        await_end(request, job->spec.id);
        http_expire_at(request, request->started_ns + request->wait_ms * NS_PER_MS);
    }
    await_submit(request, job, refusal);
    return SUSPENDED;
}

/* The dispatcher has said whether it starts in time. */
static enum answer start_known(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err == ERR_NO_MEMORY)
        return problem_plain(request, err);
    request->admission = request->start->admission;
    return hand_in(request, err);
}

static enum answer submit(struct request *request, struct job *job, int64_t start_within_ms)
{
    request->job = job;
    if (start_within_ms < 0)
        return hand_in(request, front_admit(request->front, &job->spec, &request->admission));
    request->start = request_new(request, sizeof *request->start);
    if (request->start == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    *request->start = (struct look){.kind = LOOK_START, .spec = &job->spec, .within_ms = start_within_ms};
    request->then = start_known;
    await_look(request, job->spec.id, request->start);
    return SUSPENDED;
}

static enum answer begin(struct request *request, const char *task, int64_t wait_ms)
{
    PROBLEM_AUTO problem = {0};
    struct job *job;
    int64_t start_within_ms;
    if (!handler_wait(request, wait_ms))
        return ANSWERED;
    if (front_draining(request->front))
        return problem_plain(request, ERR_DRAINING);
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    struct submission submission = {.config = front_config(request->front),
                                    .catalogue = ref->catalogue,
                                    .task = task,
                                    .parameters = request->parameters,
                                    .parameter_count = request->parameter_count,
                                    .idempotency_key = request->headers[HEADER_IDEMPOTENCY_KEY],
                                    .traceparent = request->headers[HEADER_TRACEPARENT],
                                    .body = &request->body};
    enum err err = codec_submission(&submission, &job, &start_within_ms, &problem);
    front_catalogue_drop(ref);
    return err != ERR_OK ? problem_reply(request, &problem) : submit(request, job, start_within_ms);
}

enum answer submit_job(struct request *request)
{
    return begin(request, NULL, 0);
}

enum answer submit_task_job(struct request *request)
{
    return begin(request, request->capture, 0);
}

enum answer call_task(struct request *request)
{
    request->call = true;
    return begin(request, request->capture, front_config(request->front)->http_max_wait_ms);
}
