/* What is asked of many jobs at once: POST /v1/jobs/actions and POST /v1/queues/{queue}/purge. What would be
 * made of everything must be confirmed. */
#include "clock.h"
#include "codec.h"
#include "handlers.h"

#include <inttypes.h>
#include <string.h>

/* 409, with how many jobs it would be. */
static enum answer ask_to_confirm(struct request *request, const struct action *action, const char *what,
                                  const char *hint)
{
    PROBLEM_AUTO problem = {0};
    int64_t jobs;
    enum err err = action_count(request, action, &jobs);
    if (err != ERR_OK)
        return problem_plain(request, err);
    problem_set(&problem, ERR_UNCONFIRMED, "%s: %" PRId64 " job%s would be %s", what, jobs,
                jobs == 1 ? "" : "s", job_request_participle(action->wanted));
    problem_hint(&problem, "%s", hint);
    buf_printf(&problem.extra, ",\"jobs\":%" PRId64, jobs);
    return problem_reply(request, &problem);
}

/* ---------------------------------------------------------------------------------------------------------
 * actions */

/* The ids live as long as the request; what they were read into does not. */
static bool keep_ids(struct request *request, struct action *action)
{
    size_t bytes = action->id_count * sizeof(struct id);
    if (bytes == 0)
        return true;
    struct id *copy = request_new(request, bytes);
    if (copy != NULL)
        memcpy(copy, action->ids, bytes);
    action->ids = copy;
    return copy != NULL;
}

static enum answer run(struct request *request, struct action *action)
{
    if (!keep_ids(request, action))
        return problem_plain(request, ERR_NO_MEMORY);
    bool everything = action->by_filter && !filter_restricts(&action->filter, clock_real_ms());
    if (everything && !action->confirm && !action->dry_run)
        return ask_to_confirm(request, action, "the filter leaves nothing out",
                              "name what is meant in the filter, or send \"confirm\":true; "
                              "\"dry_run\":true changes nothing and counts");
    if (action->wanted == REQUEST_RETRY && front_draining(request->front)) /* new work, like a submit */
        return problem_plain(request, ERR_DRAINING);
    return action_run(request, action);
}

enum answer act_on_jobs(struct request *request)
{
    struct action action;
    PROBLEM_AUTO problem = {0};
    BUF_AUTO ids = {0};
    if (codec_action(&request->body, &action, &ids, &problem) != ERR_OK)
        return problem_reply(request, &problem);
    return run(request, &action);
}

/* ---------------------------------------------------------------------------------------------------------
 * purge */

static enum answer purge(struct request *request)
{
    struct action action = {
        .wanted = REQUEST_CANCEL, .by_filter = true, .filter = filter_all(), .waiting = true};
    if (!handler_queue_known(request) || !handler_flag(request, "confirm", false, &action.confirm))
        return ANSWERED;
    text_copy(action.filter.stored.queue, NAME_BYTES, request->capture, strlen(request->capture));
    if (!action.confirm)
        return ask_to_confirm(request, &action,
                              request_printf(request, "all that waits in the queue %s", request->capture),
                              "send the request again with ?confirm=true; what runs goes on");
    return action_run(request, &action);
}

enum answer purge_queue(struct request *request)
{
    return handler_look(request, LOOK_QUEUES, purge);
}
