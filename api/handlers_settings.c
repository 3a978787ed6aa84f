/* What is set by request and outlives the server: limits of a queue or a task, and the switches `paused` and
 * `draining` of these and of the whole. Each is answered with the document as it is then. */
#include "await.h"
#include "codec.h"
#include "handlers.h"

#include <inttypes.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------------------
 * one */

/* {"paused":…,"draining":…} of the whole. */
static enum answer answer_whole(struct request *request)
{
    const struct look *look = request->errand.look;
    struct buf *out = reply_json(request, 200);
    buf_printf(out, "{\"paused\":%s,\"draining\":%s}\n", look->paused ? "true" : "false",
               look->draining ? "true" : "false");
    return ANSWERED;
}

static enum answer refuse_burst(struct request *request, const struct setting *setting)
{
    PROBLEM_AUTO problem = {0};
    const char *burst = limit_member(setting->alone);
    const char *rate = limit_member(setting->alone == LIMIT_BURST ? LIMIT_RATE : LIMIT_KEY_RATE);
    int64_t value = setting->to.values[setting->alone];
    problem_add(&problem, ERR_INVALID_FIELD, PLACE_POINTER, request_printf(request, "/%s", burst),
                "%s is %" PRId64 ", but the %s %s has no %s that it could exceed", burst, value,
                setting->kind == SETTING_QUEUE ? "queue" : "task", setting->name, rate);
    problem_hint(&problem, "send the rate with it: {\"%s\":\"10/s\",\"%s\":%" PRId64 "}", rate, burst, value);
    return problem_reply(request, &problem);
}

static enum answer set_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    if (request->errand.err == ERR_INVALID_FIELD)
        return refuse_burst(request, request->errand.setting);
    if (request->errand.err != ERR_OK)
        return problem_plain(request, request->errand.err);
    switch (request->errand.setting->kind) {
    case SETTING_QUEUE:
        return handler_queue(request);
    case SETTING_TASK:
        return get_task(request);
    case SETTING_SERVER:
        break;
    }
    return handler_look(request, LOOK_QUEUES, answer_whole);
}

/* A queue is there once something is set for it, as it is once a job is in it; a task is not. False: the
 * reply is 404. */
static bool names_one(struct request *request, enum setting_kind kind)
{
    PROBLEM_AUTO problem = {0};
    if (kind == SETTING_QUEUE && !job_name_ok(request->capture)) {
        problem_answer(
            request, ERR_UNKNOWN_QUEUE, NULL,
            "\"%.64s\" cannot be the name of a queue: that is 1 to 63 letters, digits, dots, _ or -",
            request->capture);
        return false;
    }
    if (kind != SETTING_TASK)
        return true;
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL) {
        problem_plain(request, ERR_STARTING);
        return false;
    }
    bool found = catalogue_find(ref->catalogue, request->capture) != NULL;
    if (!found)
        codec_unknown_task(&problem, ERR_NO_SUCH_TASK, ref->catalogue, request->capture);
    front_catalogue_drop(ref);
    if (!found)
        problem_reply(request, &problem);
    return found;
}

/* NULL: the reply says why. */
static struct setting *new_setting(struct request *request, enum setting_kind kind)
{
    if (!names_one(request, kind))
        return NULL;
    struct setting *setting = request_new(request, sizeof *setting);
    if (setting == NULL) {
        problem_plain(request, ERR_NO_MEMORY);
        return NULL;
    }
    *setting = (struct setting){.kind = kind, .to = limits_none()};
    if (kind != SETTING_SERVER)
        text_copy(setting->name, sizeof setting->name, request->capture, strlen(request->capture));
    return setting;
}

static enum answer set(struct request *request, struct setting *setting)
{
    request->then = set_done;
    await_set(request, setting);
    return SUSPENDED;
}

/* -------------------------------------------------------------------------------------------------------
 * PATCH */

static enum answer patch(struct request *request, enum setting_kind kind, unsigned whom)
{
    PROBLEM_AUTO problem = {0};
    struct setting *setting = new_setting(request, kind);
    if (setting == NULL)
        return ANSWERED;
    if (codec_limits(&request->body, whom, setting, &problem) != ERR_OK)
        return problem_reply(request, &problem);
    return set(request, setting);
}

enum answer patch_queue(struct request *request)
{
    return patch(request, SETTING_QUEUE, FOR_QUEUE);
}

enum answer patch_task(struct request *request)
{
    return patch(request, SETTING_TASK, FOR_TASK);
}

/* ---------------------------------------------------------------------------------------------------------
 * switches */

static void give(struct setting *setting, enum limit limit, bool on)
{
    setting->given[limit] = true;
    setting->to.values[limit] = on;
}

/* Said outright and not taken back, so that it also holds against the file. */
static enum answer turn(struct request *request, enum setting_kind kind, enum limit limit)
{
    struct setting *setting = new_setting(request, kind);
    if (setting == NULL)
        return ANSWERED;
    give(setting, limit, true);
    return set(request, setting);
}

/* Ends a pause and a drain alike. */
static enum answer resume(struct request *request, enum setting_kind kind)
{
    struct setting *setting = new_setting(request, kind);
    if (setting == NULL)
        return ANSWERED;
    give(setting, LIMIT_PAUSED, false);
    if (kind != SETTING_TASK)
        give(setting, LIMIT_DRAINING, false);
    return set(request, setting);
}

enum answer pause_queue(struct request *request)
{
    return turn(request, SETTING_QUEUE, LIMIT_PAUSED);
}

enum answer resume_queue(struct request *request)
{
    return resume(request, SETTING_QUEUE);
}

enum answer drain_queue(struct request *request)
{
    return turn(request, SETTING_QUEUE, LIMIT_DRAINING);
}

enum answer pause_task(struct request *request)
{
    return turn(request, SETTING_TASK, LIMIT_PAUSED);
}

enum answer resume_task(struct request *request)
{
    return resume(request, SETTING_TASK);
}

enum answer pause_all(struct request *request)
{
    return turn(request, SETTING_SERVER, LIMIT_PAUSED);
}

enum answer resume_all(struct request *request)
{
    return resume(request, SETTING_SERVER);
}

enum answer drain_all(struct request *request)
{
    return turn(request, SETTING_SERVER, LIMIT_DRAINING);
}
