/* POST /v1/jobs, …/tasks/{task}/jobs and …/tasks/{task}/call: three ways of asking, one way through. */
#include "await.h"
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "routes.h"

static enum answer answer_document(struct request *request, const struct job *job)
{
    bool ended = job_is_terminal(job->state);
    handler_location(request, job->spec.id);
    if (request->replayed)
        reply_header(request, "Idempotency-Replayed", "true");
    if (!ended && request->expired)
        reply_header(request, "Retry-After", "1");
    /* A replay is answered as the first request was: 202, unless it waited for the end and saw it. */
    struct buf *out = reply_json(request, ended && request->wait_ms > 0 ? 200 : 202);
    codec_job(out, job, true);
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer answer_call(struct request *request, const struct job *job)
{
    if (!job_is_terminal(job->state))
        return answer_document(request, job);
    handler_location(request, job->spec.id);
    if (request->replayed)
        reply_header(request, "Idempotency-Replayed", "true");
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

static enum answer refused(struct request *request, enum err err)
{
    if (err == ERR_KEY_REUSED)
        return problem_answer(request, err, NULL, "the Idempotency-Key \"%s\" was used for another request",
                              request->headers[HEADER_IDEMPOTENCY_KEY]);
    return problem_plain(request, err);
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
    if (err != ERR_OK || request->errand.replayed) {
        if (!await_forget(request)) /* of the job that did not come into being */
            return SUSPENDED;
        request->replayed = err == ERR_OK;
        return err != ERR_OK ? refused(request, err)
                             : await_job(request, request->errand.original, answer_read);
    }
    return await_enough(request) ? conclude(request) : SUSPENDED;
}

static enum answer submit(struct request *request, struct job *job)
{
    request->job = job;
    request->then = go_on;
    if (request->wait_ms > 0) {
        await_end(request, job->spec.id);
        http_expire_at(request, request->started_ns + request->wait_ms * NS_PER_MS);
    }
    await_submit(request, job);
    return SUSPENDED;
}

static enum answer begin(struct request *request, const char *task, int64_t wait_ms)
{
    PROBLEM_AUTO problem = {0};
    struct job *job;
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
    enum err err = codec_submission(&submission, &job, &problem);
    front_catalogue_drop(ref);
    return err != ERR_OK ? problem_reply(request, &problem) : submit(request, job);
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
