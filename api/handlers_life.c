/* What is asked of a job that stands already: POST …/cancel, POST …/retry, DELETE and PATCH. What it does not
 * take in its state, by the table in job.h, is a 409 with the hint from there. */
#include "await.h"
#include "clock.h"
#include "codec.h"
#include "handlers.h"

#include <string.h>

/* The job as it is now. */
static enum answer answer_now(struct request *request, int status)
{
    struct id id = request->errand.id;
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    struct buf *out = reply_json(request, status);
    codec_job(out, request->job, true);
    PUT(out, "\n");
    return ANSWERED;
}

/* ------------------------------------------------------------------------------------------------------
 * cancel */

static enum answer answer_cancel(struct request *request, bool now, int status)
{
    struct id id = request->errand.id;
    if (request->ended != NULL) {
        job_free(request->job);
        request->job = request->ended;
        request->ended = NULL;
    } else {
        enum err err = await_read(request, id);
        if (err != ERR_OK)
            return handler_job_error(request, id, err);
    }
    if (request->wait_ms > 0 && job_is_terminal(request->job->state))
        status = 200;
    else if (request->wait_ms > 0 && status == 202)
        reply_header(request, "Retry-After", "1");
    struct buf *out = reply_json(request, status);
    codec_cancelled(out, request->job, now);
    PUT(out, "\n");
    return ANSWERED;
}

/* With wait: called when the errand is done, when the job has ended, at the deadline and at a stop. */
static enum answer cancel_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err == ERR_AGAIN)
        return await_enough(request) ? answer_cancel(request, false, 202) : SUSPENDED;
    if (!await_forget(request))
        return SUSPENDED;
    if (err == ERR_OK)
        return answer_cancel(request, true, 200);
    return err == ERR_ALREADY_FINISHED ? handler_refused(request, err, REQUEST_CANCEL)
                                       : handler_job_error(request, request->errand.id, err);
}

enum answer cancel_job(struct request *request)
{
    struct id id;
    if (!handler_id(request, &id) || !handler_wait(request, 0))
        return ANSWERED;
    request->then = cancel_done;
    if (request->wait_ms > 0) {
        await_end(request, id); /* before it is asked to stop, so that no end falls between */
        http_expire_at(request, request->started_ns + request->wait_ms * NS_PER_MS);
    }
    await_errand(request, ERRAND_CANCEL, id);
    return SUSPENDED;
}

/* ------------------------------------------------------------------------------------------------------
 * retry */

static enum answer retry_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err == ERR_NOT_FINISHED)
        return handler_refused(request, err, REQUEST_RETRY);
    if (err == ERR_DUPLICATE_JOB) {
        enum err read = await_read(request, request->errand.id);
        return read == ERR_OK ? handler_duplicate(request, true)
                              : handler_job_error(request, request->errand.id, read);
    }
    if (err != ERR_OK)
        return handler_job_error(request, request->errand.id, err);
    handler_location(request, request->errand.id);
    return answer_now(request, 202);
}

enum answer retry_job(struct request *request)
{
    struct id id;
    struct admission admission;
    if (!handler_id(request, &id))
        return ANSWERED;
    if (front_draining(request->front)) /* new work, like a submit */
        return problem_plain(request, ERR_DRAINING);
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    if (job_is_terminal(request->job->state)) {
        const char *queue = request->job->spec.queue;
        err = front_may_retry(request->front, queue, &admission);
        if (err != ERR_OK)
            return handler_not_admitted(request, err, queue, &admission);
    }
    request->then = retry_done;
    await_errand(request, ERRAND_RETRY, id);
    return SUSPENDED;
}

/* ------------------------------------------------------------------------------------------------------
 * delete */

static enum answer delete_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err == ERR_NOT_FINISHED)
        return handler_refused(request, err, REQUEST_FORGET);
    if (err != ERR_OK)
        return handler_job_error(request, request->errand.id, err);
    request->reply.status = 204;
    return ANSWERED;
}

enum answer delete_job(struct request *request)
{
    struct id id;
    if (!handler_id(request, &id))
        return ANSWERED;
    request->then = delete_done;
    await_errand(request, ERRAND_FORGET, id);
    return SUSPENDED;
}

/* -------------------------------------------------------------------------------------------------------
 * patch */

static enum answer patch_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    job_free(request->errand.patch->job);
    request->errand.patch->job = NULL;
    if (err == ERR_NOT_NOW)
        return handler_refused(request, err, REQUEST_PATCH);
    return err != ERR_OK ? handler_job_error(request, request->errand.id, err) : answer_now(request, 200);
}

/* The tags live as long as the request; what they were read into does not. */
static bool keep_tags(struct request *request, struct text *tags)
{
    if (tags->bytes == 0)
        return true;
    char *copy = request_alloc(request, tags->bytes);
    if (copy != NULL)
        memcpy(copy, tags->at, tags->bytes);
    tags->at = copy;
    return copy != NULL;
}

enum answer patch_job(struct request *request)
{
    struct id id;
    PROBLEM_AUTO problem = {0};
    BUF_AUTO tags = {0};
    if (!handler_id(request, &id))
        return ANSWERED;
    struct store_patch *patch = request_new(request, sizeof *patch);
    if (patch == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    if (codec_patch(&request->body, clock_real_ms(), patch, &tags, &problem) != ERR_OK)
        return problem_reply(request, &problem);
    if (!keep_tags(request, &patch->tags))
        return problem_plain(request, ERR_NO_MEMORY);
    patch->id = id;
    request->then = patch_done;
    await_patch(request, patch);
    return SUSPENDED;
}
