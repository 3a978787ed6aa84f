/* Why a job was not accepted: its queue is full or drained, or it would start too late. */
#include "clock.h"
#include "codec.h"

#include <inttypes.h>
#include <math.h>

enum { AGAIN_S = 60, AGAIN_MOST_S = 3600 };

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* ------------------------------------------------------------------------------------------------------
 * closed, full */

static void say_closed(struct problem *problem, const char *queue, const struct admission *admission)
{
    bool all = admission->all_closed;
    problem_set(problem, ERR_QUEUE_CLOSED,
                "the queue %s takes no new jobs: %s is being drained; %" PRId64 " job%s wait%s in it", queue,
                all ? "everything" : "it", admission->depth, plural(admission->depth),
                admission->depth == 1 ? "s" : "");
    if (all)
        problem_hint(problem, "POST /v1/resume ends the drain of everything");
    else
        problem_hint(problem, "POST /v1/queues/%s/resume ends its drain", queue);
}

static void say_never(struct problem *problem, const char *queue, const struct admission *admission,
                      int64_t together)
{
    problem_set(problem, ERR_QUEUE_FULL,
                "the queue %s may hold %" PRId64 " waiting job%s (max_depth), and the request has %" PRId64
                " for it: they will never fit together",
                queue, admission->max_depth, plural(admission->max_depth), together);
    problem_hint(problem,
                 "send at most %" PRId64 " job%s for it at a time, or raise max_depth: PATCH /v1/queues/%s",
                 admission->max_depth, plural(admission->max_depth), queue);
}

static void say_full(struct problem *problem, const char *queue, const struct admission *admission,
                     int64_t together)
{
    bool all = admission->all_paused, paused = all || admission->queue_paused;
    problem_set(problem, ERR_QUEUE_FULL,
                "the queue %s holds %" PRId64 " waiting job%s, and may hold %" PRId64 " (max_depth)", queue,
                admission->depth, plural(admission->depth), admission->max_depth);
    if (together > 1)
        buf_printf(&problem->detail, ": there is no room for %" PRId64 " more", together);
    if (paused) {
        buf_printf(&problem->detail, "; none of them starts, as %s is paused", all ? "everything" : "it");
        problem_hint(problem, "POST %s%s/resume ends the pause; or raise max_depth: PATCH /v1/queues/%s",
                     all ? "/v1" : "/v1/queues/", all ? "" : queue, queue);
        return;
    }
    buf_printf(&problem->detail, "; try again in %" PRId64 " s", admission->retry_after_s);
    problem_hint(problem,
                 "send the request again after Retry-After seconds, or raise max_depth: PATCH /v1/queues/%s",
                 queue);
}

int64_t codec_not_admitted(struct problem *problem, enum err err, const char *queue,
                           const struct admission *admission, int64_t together)
{
    bool never = err == ERR_QUEUE_FULL && together > admission->max_depth;
    if (err == ERR_QUEUE_CLOSED)
        say_closed(problem, queue, admission);
    else if (never)
        say_never(problem, queue, admission, together);
    else
        say_full(problem, queue, admission, together);
    return never ? 0 : admission->retry_after_s;
}

/* ------------------------------------------------------------------------------------------------------
 * too late */

/* "the queue mail", "the task echo": whose limit or pause it is. */
static void put_whose(struct buf *out, enum reason reason, const struct job_spec *spec)
{
    switch (reason) {
    case REASON_QUEUE_PAUSED:
    case REASON_QUEUE_CONCURRENCY:
    case REASON_QUEUE_RATE:
        buf_printf(out, "the queue %s", spec->queue);
        break;
    case REASON_TASK_PAUSED:
    case REASON_TASK_CONCURRENCY:
    case REASON_TASK_RATE:
        buf_printf(out, "the task %s", spec->task);
        break;
    case REASON_KEY_CONCURRENCY:
    case REASON_KEY_RATE:
        buf_printf(out, "the concurrency_key %s", spec->concurrency_key);
        break;
    case REASON_SERVER_PAUSED:
        PUT(out, "everything");
        break;
    case REASON_SERVER_STOPPING:
    case REASON_NO_WORKER:
    case REASON_BEHIND:
    case REASON_NEXT:
    case REASON_COUNT:
        break;
    }
}

static void put_rate_of(struct buf *out, const struct why *why)
{
    BUF_AUTO rate = {0};
    limit_put(&rate, LIMIT_RATE, why->limit[why->slowest]);
    if (rate.bytes > 2) /* without its quotation marks */
        buf_printf(out, " may start %.*s (rate)", (int)rate.bytes - 2, rate.data + 1);
}

/* What stands in the way. */
static void put_obstacle(struct buf *out, const struct job_spec *spec, const struct why *why)
{
    put_whose(out, why->slowest, spec);
    switch (why->slowest) {
    case REASON_SERVER_PAUSED:
    case REASON_QUEUE_PAUSED:
    case REASON_TASK_PAUSED:
        PUT(out, " is paused");
        return;
    case REASON_SERVER_STOPPING:
        PUT(out, "the server is shutting down");
        return;
    case REASON_NO_WORKER:
        buf_printf(out, "no worker of the pool %s is up", why->pool);
        return;
    case REASON_QUEUE_CONCURRENCY:
    case REASON_TASK_CONCURRENCY:
    case REASON_KEY_CONCURRENCY:
        buf_printf(out, " may run %" PRId64 " at a time (concurrency), %" PRId64 " run%s",
                   why->limit[why->slowest], why->running, why->running == 1 ? "s" : "");
        break;
    case REASON_QUEUE_RATE:
    case REASON_TASK_RATE:
    case REASON_KEY_RATE:
        put_rate_of(out, why);
        break;
    case REASON_BEHIND:
    case REASON_NEXT:
    case REASON_COUNT:
        buf_printf(out, "the workers of the pool %s run %" PRId64 " job%s", why->pool, why->running,
                   plural(why->running));
        break;
    }
    buf_printf(out, ", and %" PRId64 " go%s before it", why->before, why->before == 1 ? "es" : "");
}

static bool is_pause(enum reason reason)
{
    return reason == REASON_SERVER_PAUSED || reason == REASON_QUEUE_PAUSED || reason == REASON_TASK_PAUSED;
}

static void hint_resume(struct problem *problem, const struct job_spec *spec, enum reason reason)
{
    if (reason == REASON_SERVER_PAUSED)
        problem_hint(problem, "POST /v1/resume ends the pause; without start_within the job waits for that");
    else if (reason == REASON_QUEUE_PAUSED)
        problem_hint(problem,
                     "POST /v1/queues/%s/resume ends the pause; without start_within the job waits for that",
                     spec->queue);
    else if (reason == REASON_TASK_PAUSED)
        problem_hint(problem,
                     "POST /v1/tasks/%s/resume ends the pause; without start_within the job waits for that",
                     spec->task);
}

int64_t codec_too_late(struct problem *problem, const struct job_spec *spec, const struct why *why,
                       int64_t within_ms)
{
    BUF_AUTO obstacle = {0};
    double within = (double)within_ms / 1000, seconds = why->estimate_seconds;
    bool stops =
        is_pause(why->slowest) || why->slowest == REASON_SERVER_STOPPING || why->slowest == REASON_NO_WORKER;
    put_obstacle(&obstacle, spec, why);
    int bytes = (int)obstacle.bytes;
    if (stops)
        problem_set(problem, ERR_TOO_LATE, "nobody knows whether the job would start within %g s: %.*s",
                    within, bytes, obstacle.data);
    else if (seconds < 0)
        problem_set(problem, ERR_TOO_LATE,
                    "nobody knows whether the job would start within %g s: %.*s, and how long jobs of those "
                    "tasks run has not been measured yet",
                    within, bytes, obstacle.data);
    else
        problem_set(problem, ERR_TOO_LATE,
                    seconds < 100 ? "the job would start in about %.3g s, and not within %g s: %.*s"
                                  : "the job would start in about %.0f s, and not within %g s: %.*s",
                    seconds, within, bytes, obstacle.data);
    hint_resume(problem, spec, why->slowest);
    double again = seconds < 0 ? AGAIN_S : ceil(seconds - within);
    return again < 1 ? 1 : again > AGAIN_MOST_S ? AGAIN_MOST_S : (int64_t)again;
}
