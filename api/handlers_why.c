/* GET /v1/jobs/{id}/why: why a job does not run. */
#include "await.h"
#include "codec.h"
#include "extras.h"
#include "handlers.h"

#include <string.h>

static enum answer answer_why(struct request *request, const struct why *why, const struct waits *waits)
{
    struct buf *out = reply_json(request, 200);
    codec_why(out, request->job, why, waits);
    PUT(out, "\n");
    return ANSWERED;
}

/* Fills `wait` from what has that id. *open: it has not ended; false also if it is gone. */
static enum err look_at(struct request *request, struct id id, struct wait *wait, bool *open)
{
    JOB_AUTO job = NULL;
    enum err err = front_read(request->front, request_reader(request), id, &job);
    *wait = (struct wait){.id = id};
    *open = false;
    if (err == ERR_OK) {
        wait->state = job->state;
        memcpy(wait->task, job->spec.task, sizeof wait->task);
        *open = !job_is_terminal(job->state);
        return ERR_OK;
    }
    if (err != ERR_UNKNOWN_JOB)
        return err;
    wait->is_batch = true;
    err = store_batch_get(request_reader(request), id, &wait->batch);
    *open = err == ERR_OK && wait->batch.finished_ms == 0;
    return err == ERR_UNKNOWN_BATCH ? ERR_OK : err;
}

static enum answer answer_blocked(struct request *request)
{
    struct id ids[AFTER_MAX];
    struct waits *waits = request_new(request, sizeof *waits);
    size_t count = extras_after(request->job->extras, ids);
    if (waits == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    for (size_t i = 0; i < count; i++) {
        struct wait wait;
        bool open;
        enum err err = look_at(request, ids[i], &wait, &open);
        if (err != ERR_OK)
            return problem_plain(request, err);
        if (open && waits->count < WAITS_LISTED)
            waits->items[waits->count++] = wait;
        else
            waits->others += open;
    }
    return answer_why(request, NULL, waits);
}

static enum answer answer_state(struct request *request)
{
    return request->job->state == JOB_BLOCKED ? answer_blocked(request) : answer_why(request, NULL, NULL);
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
    return queued && err == ERR_OK ? answer_why(request, &request->errand.look->why, NULL)
                                   : answer_state(request);
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
        return answer_state(request);
    struct look *look = request_new(request, sizeof *look);
    if (look == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    *look = (struct look){.kind = LOOK_WHY,
                          .why = {.lane = request->job->spec.lane, .seq = request->job->spec.seq}};
    request->then = look_done;
    await_look(request, id, look);
    return SUSPENDED;
}
