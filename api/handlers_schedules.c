/* /v1/schedules: what the dispatcher holds of them, and what is to be changed. */
#include "await.h"
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "nearest.h"

#include <string.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

/* ------------------------------------------------------------------------------------------------------
 * reading */

static const struct schedules *found(const struct request *request)
{
    return &request->errand.look->schedules;
}

static enum answer answer_list(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    const struct schedule *last = NULL;
    PUT(out, "{\"items\":[");
    for (const struct schedule *at = found(request)->first; at != NULL; at = at->next) {
        codec_schedule_item(out, at);
        buf_put(out, at->next != NULL ? ",\n" : "");
        last = at;
    }
    PUT(out, "],\"next_cursor\":");
    if (last == NULL || !request->errand.look->more) {
        PUT(out, "null}\n");
        return ANSWERED;
    }
    buf_printf(out, "\"%s\"}\n", last->name);
    handler_link_next(request, "/v1/schedules", last->name);
    return ANSWERED;
}

enum answer list_schedules(struct request *request)
{
    const char *cursor = request_parameter(request, "cursor");
    struct look look = {.kind = LOOK_SCHEDULES};
    int64_t limit;
    if (!handler_int(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit))
        return ANSWERED;
    if (cursor != NULL && !job_name_ok(cursor))
        return handler_bad_parameter(request, "cursor",
                                     "cursor is \"%.64s\", which is no next_cursor of this server", cursor);
    if (cursor != NULL)
        text_copy(look.name, sizeof look.name, cursor, strlen(cursor));
    look.most = (size_t)limit;
    return handler_look_at(request, &look, answer_list);
}

/* At the one that the path names; a name that none can have is not cut down to one that some have. */
static enum answer look_at_one(struct request *request, handler_fn *answer)
{
    struct look look = {.kind = LOOK_SCHEDULES, .one = true};
    if (job_name_ok(request->capture))
        text_copy(look.name, sizeof look.name, request->capture, strlen(request->capture));
    return handler_look_at(request, &look, answer);
}

static enum answer answer_unknown(struct request *request)
{
    enum { KNOWN_MOST = 256 };
    const char *known[KNOWN_MOST];
    size_t count = 0;
    for (const struct schedule *at = found(request)->first; at != NULL && count < KNOWN_MOST; at = at->next)
        known[count++] = at->name;
    const char *near = nearest_name(request->capture, known, count);
    if (near != NULL)
        return problem_answer(request, ERR_UNKNOWN_SCHEDULE, NULL,
                              "there is no schedule \"%.64s\"; did you mean \"%s\"?", request->capture, near);
    return problem_answer(request, ERR_UNKNOWN_SCHEDULE, NULL, "there is no schedule \"%.64s\"",
                          request->capture);
}

/* Perhaps another was meant. */
static enum answer look_for_names(struct request *request)
{
    return handler_look(request, LOOK_SCHEDULES, answer_unknown);
}

static enum answer answer_one(struct request *request, int status)
{
    const struct schedule *schedule = schedules_find(found(request), request->capture);
    if (schedule == NULL)
        return look_for_names(request);
    struct buf *out = reply_json(request, status);
    codec_schedule(out, schedule, clock_real_ms());
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer answer_found(struct request *request)
{
    return answer_one(request, 200);
}

static enum answer answer_created(struct request *request)
{
    return answer_one(request, 201);
}

enum answer get_schedule(struct request *request)
{
    return look_at_one(request, answer_found);
}

/* ------------------------------------------------------------------------------------------------------
 * changes */

static enum answer answer_triggered(struct request *request, struct id id)
{
    enum err err = await_read(request, id);
    if (err != ERR_OK)
        return handler_job_error(request, id, err);
    handler_location(request, id);
    struct buf *out = reply_json(request, 202);
    codec_job(out, request->job, true);
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer refused(struct request *request, enum err err, const struct schedule_change *change)
{
    if (err == ERR_UNKNOWN_SCHEDULE)
        return handler_look(request, LOOK_SCHEDULES, answer_unknown);
    if (err == ERR_CONFLICT && change->expects.at != NULL)
        return problem_answer(request, err, NULL, "the schedule %s was changed by somebody else meanwhile",
                              change->name);
    if (err == ERR_CONFLICT)
        return problem_answer(request, err,
                              "change it there and reload (SIGHUP); it can be paused, resumed and triggered "
                              "by request",
                              "the schedule %s stands in the configuration file", change->name);
    if (err == ERR_DUPLICATE_JOB) {
        char id[ID_TEXT_BYTES];
        id_format(change->job, id);
        handler_location(request, change->job);
        return problem_answer(request, err, NULL, "the job %s holds the same uniqueness key", id);
    }
    if (err == ERR_QUEUE_CLOSED || err == ERR_QUEUE_FULL)
        return handler_not_admitted(request, err, change->queue, &change->admission);
    if (change->why[0] != '\0')
        return problem_answer(request, err, NULL, "%s", change->why);
    return problem_plain(request, err);
}

static enum answer change_done(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    const struct schedule_change *change = request->errand.schedule;
    if (request->errand.err != ERR_OK)
        return refused(request, request->errand.err, change);
    switch (change->verb) {
    case SCHEDULE_DROP:
        request->reply.status = 204;
        return ANSWERED;
    case SCHEDULE_TRIGGER:
        return answer_triggered(request, change->job);
    case SCHEDULE_PUT:
    case SCHEDULE_PAUSE:
    case SCHEDULE_RESUME:
        break;
    }
    return look_at_one(request, change->created ? answer_created : answer_found);
}

static enum answer change(struct request *request, enum schedule_verb verb, struct text body,
                          struct text expects)
{
    struct schedule_change *asked = request_new(request, sizeof *asked);
    if (asked == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    *asked = (struct schedule_change){.verb = verb, .body = body, .expects = expects};
    text_copy(asked->name, sizeof asked->name, request->capture, strlen(request->capture));
    request->then = change_done;
    await_schedule(request, asked);
    return SUSPENDED;
}

/* A copy that lives as long as the request; at NULL without memory. */
static struct text keep(struct request *request, const char *at, size_t bytes)
{
    char *copy = request_alloc(request, bytes);
    if (copy != NULL)
        memcpy(copy, at, bytes);
    return (struct text){copy, bytes};
}

/* expects NULL: whatever it is now. */
static enum answer put(struct request *request, const struct buf *definition, const struct text *expects)
{
    struct text body = keep(request, definition->data, definition->bytes), before = {0};
    if (expects != NULL)
        before = keep(request, expects->at, expects->bytes);
    if (body.at == NULL || (expects != NULL && before.at == NULL))
        return problem_plain(request, ERR_NO_MEMORY);
    return change(request, SCHEDULE_PUT, body, before);
}

enum answer put_schedule(struct request *request)
{
    PROBLEM_AUTO problem = {0};
    BUF_AUTO definition = {0};
    if (!job_name_ok(request->capture))
        return problem_answer(request, ERR_UNKNOWN_SCHEDULE, NULL,
                              "\"%.64s\" cannot be the name of a schedule: that is 1 to 63 letters, digits, "
                              "dots, _ or -, and no dot first",
                              request->capture);
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    enum err err = codec_schedule_put(front_config(request->front), ref->catalogue, &request->body,
                                      &definition, &problem);
    front_catalogue_drop(ref);
    return err != ERR_OK ? problem_reply(request, &problem) : put(request, &definition, NULL);
}

/* It was looked at; what it is to be takes its place only if it is still that. */
static enum answer patch_found(struct request *request)
{
    PROBLEM_AUTO problem = {0};
    BUF_AUTO definition = {0};
    const struct schedule *now = schedules_find(found(request), request->capture);
    if (now == NULL)
        return look_for_names(request);
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    enum err err = codec_schedule_patch(front_config(request->front), ref->catalogue, &request->body, now,
                                        &definition, &problem);
    front_catalogue_drop(ref);
    if (err != ERR_OK)
        return problem_reply(request, &problem);
    return put(request, &definition, now->from_file ? NULL : &now->text);
}

enum answer patch_schedule(struct request *request)
{
    return look_at_one(request, patch_found);
}

/* A name that none can have is not cut down to one that some have. */
static enum answer change_named(struct request *request, enum schedule_verb verb)
{
    if (!job_name_ok(request->capture))
        return handler_look(request, LOOK_SCHEDULES, answer_unknown);
    return change(request, verb, (struct text){0}, (struct text){0});
}

enum answer delete_schedule(struct request *request)
{
    return change_named(request, SCHEDULE_DROP);
}

enum answer pause_schedule(struct request *request)
{
    return change_named(request, SCHEDULE_PAUSE);
}

enum answer resume_schedule(struct request *request)
{
    return change_named(request, SCHEDULE_RESUME);
}

enum answer trigger_schedule(struct request *request)
{
    if (front_draining(request->front))
        return problem_plain(request, ERR_DRAINING);
    return change_named(request, SCHEDULE_TRIGGER);
}

/* -------------------------------------------------------------------------------------------------------
 * preview */

enum answer preview_schedule(struct request *request)
{
    PROBLEM_AUTO problem = {0};
    BUF_AUTO body = {0};
    if (codec_preview(&body, &request->body, clock_real_ms(), &problem) != ERR_OK)
        return problem_reply(request, &problem);
    struct buf *out = reply_json(request, 200);
    buf_add(out, body.data, body.bytes);
    PUT(out, "\n");
    return ANSWERED;
}
