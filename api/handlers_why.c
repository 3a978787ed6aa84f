/* GET /v1/jobs/{id}/why: why a job does not run. */
#include "await.h"
#include "codec.h"
#include "handlers.h"

static enum answer answer_why(struct request *request, const struct why *why)
{
    struct buf *out = reply_json(request, 200);
    codec_why(out, request->job, why);
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer look_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    enum err err = request->errand.err;
    if (err != ERR_OK && err != ERR_UNKNOWN_JOB)
        return problem_plain(request, err);
    struct id id = request->errand.id;
    enum err read = await_read(request, id); /* it may have begun to run meanwhile */
    if (read != ERR_OK)
        return handler_job_error(request, id, read);
    bool queued = request->job->state == JOB_QUEUED;
    return answer_why(request, queued && err == ERR_OK ? &request->errand.look->why : NULL);
}

enum answer get_job_why(struct request *request)
{
    struct id id;
    if (!handler_id(request, &id))
        return ANSWERED;
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    if (request->job->state != JOB_QUEUED)
        return answer_why(request, NULL);
    struct look *look = request_new(request, sizeof *look);
    if (look == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    *look = (struct look){.kind = LOOK_WHY,
                          .why = {.lane = request->job->spec.lane, .seq = request->job->spec.seq}};
    request->then = look_done;
    await_look(request, id, look);
    return SUSPENDED;
}
