/* What is asked of a job that has ended: POST …/retry and DELETE. */
#include "await.h"
#include "codec.h"
#include "handlers.h"

static enum answer not_finished(struct request *request, const char *wanted)
{
    char id[ID_TEXT_BYTES];
    id_format(request->errand.id, id);
    if (await_read(request, request->errand.id) != ERR_OK)
        return problem_plain(request, ERR_NOT_FINISHED);
    return problem_answer(
        request, ERR_NOT_FINISHED, "cancel it first, or wait for its end with GET /v1/jobs/{id}?wait=30",
        "the job %s is %s; only a finished one can be %s", id, job_state_text(request->job->state), wanted);
}

/* ------------------------------------------------------------------------------------------------------
 * retry */

static enum answer retry_done(struct request *request)
{
    struct id id = request->errand.id;
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err == ERR_NOT_FINISHED)
        return not_finished(request, "retried");
    if (err == ERR_OK)
        err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    handler_location(request, id);
    struct buf *out = reply_json(request, 202);
    codec_job(out, request->job, true);
    PUT(out, "\n");
    return ANSWERED;
}

enum answer retry_job(struct request *request)
{
    struct id id;
    if (!handler_id(request, &id))
        return ANSWERED;
    if (front_draining(request->front)) /* new work, like a submit */
        return problem_plain(request, ERR_DRAINING);
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
        return not_finished(request, "deleted");
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
