#include "routes.h"

#include "bearer.h"
#include "handlers.h"
#include "nearest.h"
#include "problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SUBMIT_PARAMETERS                                                                                    \
    "queue priority timeout kill_after max_attempts durability delay scheduled_at expires_at expires_in "    \
    "start_within concurrency_key tag unique_key unique_period on_conflict after after_policy wait"

const struct route routes[] = {
    {"POST", "/v1/jobs", submit_job, "submitJob", "wait", ROUTE_BODY, SCOPE_SUBMIT, "Submit a job",
     "--json '{\"task\":\"echo\",\"args\":{\"hello\":\"world\"}}' %s/v1/jobs"},
    {"POST", "/v1/jobs/bulk", submit_bulk, "submitBulk", "atomic batch", ROUTE_LINES, SCOPE_SUBMIT,
     "Submit many jobs, one a line",
     "-H 'Content-Type: application/x-ndjson' --data-binary @jobs.ndjson %s/v1/jobs/bulk"},
    {"GET", "/v1/jobs", list_jobs, "listJobs",
     "state task queue tag batch created_after created_before q sort limit cursor", 0, SCOPE_READ,
     "List jobs, newest first", "'%s/v1/jobs?state=failed&limit=20'"},
    {"POST", "/v1/jobs/actions", act_on_jobs, "actOnJobs", "", ROUTE_BODY, SCOPE_ADMIN,
     "Retry, cancel or delete many jobs",
     "--json '{\"action\":\"retry\",\"filter\":{\"state\":\"failed\"},\"dry_run\":true}' %s/v1/jobs/actions"},
    {"GET", "/v1/jobs/{id}", get_job, "getJob", "wait", 0, SCOPE_READ, "A job; with wait, once it has ended",
     "'%s/v1/jobs/{id}?wait=30'"},
    {"GET", "/v1/jobs/{id}/result", get_job_result, "getJobResult", "wait", 0, SCOPE_READ,
     "The bare result of a job", "%s/v1/jobs/{id}/result"},
    {"GET", "/v1/jobs/{id}/log", get_job_log, "getJobLog", "attempt tail", 0, SCOPE_READ,
     "The log of an attempt", "'%s/v1/jobs/{id}/log?tail=50'"},
    {"GET", "/v1/jobs/{id}/attempts", list_attempts, "listAttempts", "", 0, SCOPE_READ,
     "Every attempt of a job", "%s/v1/jobs/{id}/attempts"},
    {"GET", "/v1/jobs/{id}/why", get_job_why, "getJobWhy", "", 0, SCOPE_READ, "Why a job does not run",
     "%s/v1/jobs/{id}/why"},
    {"POST", "/v1/jobs/{id}/cancel", cancel_job, "cancelJob", "wait", 0, SCOPE_SUBMIT, "Cancel a job",
     "-X POST %s/v1/jobs/{id}/cancel"},
    {"POST", "/v1/jobs/{id}/retry", retry_job, "retryJob", "", 0, SCOPE_ADMIN, "Run a finished job again",
     "-X POST %s/v1/jobs/{id}/retry"},
    {"DELETE", "/v1/jobs/{id}", delete_job, "deleteJob", "", 0, SCOPE_ADMIN, "Forget a finished job",
     "-X DELETE %s/v1/jobs/{id}"},
    {"PATCH", "/v1/jobs/{id}", patch_job, "patchJob", "", ROUTE_BODY, SCOPE_ADMIN, "Change a job that waits",
     "-X PATCH --json '{\"priority\":9,\"scheduled_at\":null}' %s/v1/jobs/{id}"},
    {"GET", "/v1/batches/{id}", get_batch, "getBatch", "limit cursor", 0, SCOPE_READ,
     "Jobs that came in one request: how far they are, and who waits for whom", "%s/v1/batches/{id}"},
    {"POST", "/v1/batches/{id}/cancel", cancel_batch, "cancelBatch", "", 0, SCOPE_SUBMIT,
     "Cancel all jobs of a batch that have not ended", "-X POST %s/v1/batches/{id}/cancel"},
    {"GET", "/v1/tasks", list_tasks, "listTasks", "", 0, SCOPE_READ, "What can be run", "%s/v1/tasks"},
    {"GET", "/v1/tasks/{task}", get_task, "getTask", "", 0, SCOPE_READ, "One task", "%s/v1/tasks/echo"},
    {"POST", "/v1/tasks/{task}/jobs", submit_task_job, "submitTaskJob", SUBMIT_PARAMETERS, ROUTE_BODY,
     SCOPE_SUBMIT, "Submit a job whose body is the arguments",
     "--json '{\"hello\":\"world\"}' '%s/v1/tasks/echo/jobs?priority=9'"},
    {"POST", "/v1/tasks/{task}/call", call_task, "callTask", SUBMIT_PARAMETERS, ROUTE_BODY, SCOPE_SUBMIT,
     "Run a task and answer with its result",
     "--json '{\"hello\":\"world\"}' '%s/v1/tasks/echo/call?wait=5'"},
    {"PATCH", "/v1/tasks/{task}", patch_task, "patchTask", "", ROUTE_BODY, SCOPE_ADMIN,
     "Set limits of a task", "-X PATCH --json '{\"concurrency\":2}' %s/v1/tasks/echo"},
    {"POST", "/v1/tasks/{task}/pause", pause_task, "pauseTask", "", 0, SCOPE_ADMIN,
     "Let no job of a task start", "-X POST %s/v1/tasks/echo/pause"},
    {"POST", "/v1/tasks/{task}/resume", resume_task, "resumeTask", "", 0, SCOPE_ADMIN,
     "Let jobs of a task start again", "-X POST %s/v1/tasks/echo/resume"},
    {"GET", "/v1/queues", list_queues, "listQueues", "", 0, SCOPE_READ,
     "The queues, with how much waits in each", "%s/v1/queues"},
    {"GET", "/v1/queues/{queue}", get_queue, "getQueue", "", 0, SCOPE_READ, "One queue",
     "%s/v1/queues/default"},
    {"PATCH", "/v1/queues/{queue}", patch_queue, "patchQueue", "", ROUTE_BODY, SCOPE_ADMIN,
     "Set limits of a queue", "-X PATCH --json '{\"concurrency\":2,\"rate\":\"10/s\"}' %s/v1/queues/default"},
    {"POST", "/v1/queues/{queue}/pause", pause_queue, "pauseQueue", "", 0, SCOPE_ADMIN,
     "Let no job of a queue start", "-X POST %s/v1/queues/default/pause"},
    {"POST", "/v1/queues/{queue}/drain", drain_queue, "drainQueue", "", 0, SCOPE_ADMIN,
     "Let a queue take no new jobs", "-X POST %s/v1/queues/default/drain"},
    {"POST", "/v1/queues/{queue}/resume", resume_queue, "resumeQueue", "", 0, SCOPE_ADMIN,
     "End a pause and a drain of a queue", "-X POST %s/v1/queues/default/resume"},
    {"POST", "/v1/queues/{queue}/purge", purge_queue, "purgeQueue", "confirm", 0, SCOPE_ADMIN,
     "Cancel all that waits in a queue", "-X POST %s/v1/queues/default/purge"},
    {"POST", "/v1/pause", pause_all, "pauseAll", "", 0, SCOPE_ADMIN, "Let no job start",
     "-X POST %s/v1/pause"},
    {"POST", "/v1/drain", drain_all, "drainAll", "", 0, SCOPE_ADMIN, "Take no new jobs",
     "-X POST %s/v1/drain"},
    {"POST", "/v1/resume", resume_all, "resumeAll", "", 0, SCOPE_ADMIN,
     "End a pause and a drain of everything", "-X POST %s/v1/resume"},
    {"GET", "/v1/schedules", list_schedules, "listSchedules", "limit cursor", 0, SCOPE_READ,
     "The schedules, by name", "%s/v1/schedules"},
    {"POST", "/v1/schedules/preview", preview_schedule, "previewSchedule", "", ROUTE_BODY, SCOPE_READ,
     "When an expression fires",
     "--json '{\"cron\":\"30 2 * * *\",\"timezone\":\"Europe/Berlin\"}' %s/v1/schedules/preview"},
    {"GET", "/v1/schedules/{schedule}", get_schedule, "getSchedule", "", 0, SCOPE_READ, "One schedule",
     "%s/v1/schedules/nightly"},
    {"PUT", "/v1/schedules/{schedule}", put_schedule, "putSchedule", "", ROUTE_BODY, SCOPE_ADMIN,
     "Make or replace a schedule",
     "-X PUT --json '{\"cron\":\"0 3 * * *\",\"job\":{\"task\":\"echo\"}}' %s/v1/schedules/nightly"},
    {"PATCH", "/v1/schedules/{schedule}", patch_schedule, "patchSchedule", "", ROUTE_BODY, SCOPE_ADMIN,
     "Change some of a schedule", "-X PATCH --json '{\"cron\":\"0 4 * * *\"}' %s/v1/schedules/nightly"},
    {"DELETE", "/v1/schedules/{schedule}", delete_schedule, "deleteSchedule", "", 0, SCOPE_ADMIN,
     "Remove a schedule", "-X DELETE %s/v1/schedules/nightly"},
    {"POST", "/v1/schedules/{schedule}/pause", pause_schedule, "pauseSchedule", "", 0, SCOPE_ADMIN,
     "Let a schedule make no jobs", "-X POST %s/v1/schedules/nightly/pause"},
    {"POST", "/v1/schedules/{schedule}/resume", resume_schedule, "resumeSchedule", "", 0, SCOPE_ADMIN,
     "Let a schedule make jobs again", "-X POST %s/v1/schedules/nightly/resume"},
    {"POST", "/v1/schedules/{schedule}/trigger", trigger_schedule, "triggerSchedule", "", 0, SCOPE_ADMIN,
     "Submit the job of a schedule now", "-X POST %s/v1/schedules/nightly/trigger"},
    {"GET", "/v1/workers", list_workers, "listWorkers", "", 0, SCOPE_READ, "The worker processes",
     "%s/v1/workers"},
    {"GET", "/v1/stats", get_stats, "getStats", "", 0, SCOPE_READ, "Numbers of jobs, slots and workers",
     "%s/v1/stats"},
    {"GET", "/livez", get_live, "getLive", "", 0, SCOPE_NONE, "Is the process alive?", "%s/livez"},
    {"GET", "/readyz", get_ready, "getReady", "verbose", 0, SCOPE_NONE, "Can it take jobs?",
     "'%s/readyz?verbose'"},
    {"GET", "/metrics", get_metrics, "getMetrics", "", 0, SCOPE_READ, "Metrics for Prometheus", "%s/metrics"},
    {"GET", "/version", get_version, "getVersion", "", 0, SCOPE_NONE, "The version of the server",
     "%s/version"},
    {"GET", "/openapi.json", get_openapi, "getOpenapi", "", 0, SCOPE_READ, "This API as OpenAPI 3.1",
     "%s/openapi.json"},
    {"GET", "/", get_index, "getIndex", "", 0, SCOPE_READ, "This list", NULL},
};

const size_t route_count = sizeof routes / sizeof routes[0];

bool routes_match(const char *template, const char *path, struct text *capture)
{
    while (*template != '\0') {
        if (*template == '{') {
            size_t bytes = strcspn(path, "/");
            if (bytes == 0)
                return false;
            *capture = (struct text){path, bytes};
            path += bytes;
            template = strchr(template, '}') + 1;
        } else if (*template ++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* ------------------------------------------------------------------------------------ what was probably
 * meant */

static bool next_segment(const char **path, char *segment, size_t room)
{
    const char *at = *path + strspn(*path, "/");
    size_t bytes = strcspn(at, "/");
    if (bytes == 0 || bytes >= room)
        return false;
    memcpy(segment, at, bytes);
    segment[bytes] = '\0';
    *path = at + bytes;
    return true;
}

/* Segment by segment; -1: too different, else how many differ. Writes the template with the path's own
 * placeholders. */
static int compare(const char *template, const char *path, char *out, size_t room)
{
    char ours[64], theirs[128];
    int differ = 0;
    size_t used = 0;
    out[0] = '\0';
    while (next_segment(&template, ours, sizeof ours)) {
        const char *known = ours;
        if (!next_segment(&path, theirs, sizeof theirs))
            return -1;
        bool placeholder = ours[0] == '{';
        if (!placeholder && nearest_name(theirs, &known, 1) == NULL)
            return -1;
        differ += !placeholder && strcmp(ours, theirs) != 0;
        int bytes = snprintf(out + used, room - used, "/%s", placeholder ? theirs : ours);
        if (bytes < 0 || (used += (size_t)bytes) >= room)
            return -1;
    }
    return path[strspn(path, "/")] == '\0' ? differ : -1;
}

bool routes_nearest(const char *path, char *out, size_t room)
{
    char prefixed[512], candidate[512];
    const char *tried[] = {path, prefixed};
    int least = -1;
    if (snprintf(prefixed, sizeof prefixed, "/v1%s", path) >= (int)sizeof prefixed)
        return false;
    for (size_t t = 0; t < 2 && least < 0; t++) {
        for (size_t i = 0; i < route_count; i++) {
            int differ = compare(routes[i].path, tried[t], candidate, sizeof candidate);
            if (differ < 0 || (least >= 0 && differ >= least) || candidate[0] == '\0')
                continue;
            least = differ;
            snprintf(out, room, "%s", candidate);
        }
    }
    return least >= 0;
}

/* ---------------------------------------------------------------------------------------------------
 * refusals */

static enum answer unknown_path(struct request *request)
{
    char near[512];
    if (routes_nearest(request->path, near, sizeof near))
        return problem_answer(request, ERR_UNKNOWN_PATH,
                              request_printf(request, "did you mean %.300s?", near),
                              "there is nothing at %.300s", request->path);
    return problem_answer(request, ERR_UNKNOWN_PATH, NULL, "there is nothing at %.300s", request->path);
}

static enum answer wrong_method(struct request *request, const char *allow)
{
    reply_header(request, "Allow", allow);
    return problem_answer(request, ERR_METHOD_NOT_ALLOWED, NULL, "%s does not take %.32s, only %s",
                          request->path, request->method, allow);
}

static bool media_type_is(const char *value, const char *type)
{
    size_t bytes = strlen(type);
    return strncasecmp(value, type, bytes) == 0 && strchr("; \t", value[bytes]) != NULL;
}

static bool body_ok(struct request *request)
{
    const char *type = request->headers[HEADER_CONTENT_TYPE];
    if (request->body.bytes == 0 || (type != NULL && media_type_is(type, "application/json")))
        return true;
    if (type == NULL || type[0] == '\0')
        problem_answer(request, ERR_UNSUPPORTED_MEDIA_TYPE, NULL,
                       "the body has no Content-Type; only application/json is accepted");
    else if (media_type_is(type, "application/x-www-form-urlencoded"))
        problem_answer(request, ERR_UNSUPPORTED_MEDIA_TYPE, "use curl --json '…' instead of curl -d '…'",
                       "the body is application/x-www-form-urlencoded; only application/json is accepted");
    else /* up to its parameters: a boundary helps nobody */
        problem_answer(request, ERR_UNSUPPORTED_MEDIA_TYPE, NULL,
                       "the body is %.*s; only application/json is accepted",
                       (int)strnlen(type, strcspn(type, "; \t") < 100 ? strcspn(type, "; \t") : 100), type);
    return false;
}

/* The body is still to come. */
static bool lines_ok(struct request *request)
{
    const char *type = request->headers[HEADER_CONTENT_TYPE],
               *length = request->headers[HEADER_CONTENT_LENGTH];
    bool none = request->headers[HEADER_TRANSFER_ENCODING] == NULL &&
                (length == NULL || length[strspn(length, "0")] == '\0');
    if (none || (type != NULL && media_type_is(type, "application/x-ndjson")))
        return true;
    const char *hint = request_printf(
        request,
        "curl -H 'Content-Type: application/x-ndjson' --data-binary @jobs.ndjson …%s, one job a line",
        request->path);
    if (type == NULL || type[0] == '\0')
        problem_answer(request, ERR_UNSUPPORTED_MEDIA_TYPE, hint,
                       "the body has no Content-Type; only application/x-ndjson is accepted here");
    else
        problem_answer(request, ERR_UNSUPPORTED_MEDIA_TYPE, hint,
                       "the body is %.*s; only application/x-ndjson is accepted here",
                       (int)(strcspn(type, "; \t") < 100 ? strcspn(type, "; \t") : 100), type);
    return false;
}

/* The route takes none: an empty object is let pass, since clients like to send one. */
static bool no_body_ok(struct request *request)
{
    static const char EMPTY[] = "{}";
    size_t seen = 0, at = 0;
    if (request->body.bytes == 0 || strcmp(request->method, "GET") == 0 ||
        strcmp(request->method, "HEAD") == 0)
        return true;
    for (; at < request->body.bytes; at++) {
        char byte = request->body.data[at];
        if (strchr(" \t\r\n", byte) != NULL && byte != '\0')
            continue;
        if (seen == 2 || byte != EMPTY[seen])
            break;
        seen++;
    }
    if (at == request->body.bytes && seen == 2)
        return body_ok(request);
    problem_answer(request, ERR_INVALID_FIELD, "send the request without a body", "%s %s takes no body",
                   request->method, request->route->path);
    return false;
}

enum { NAMES_MAX = 24 };

/* Splits "a b c" into names that live in `room`. */
static size_t split(const char *text, char *room, size_t bytes, const char *names[NAMES_MAX])
{
    size_t count = 0;
    char *save;
    snprintf(room, bytes, "%s", text);
    for (char *name = strtok_r(room, " ", &save); name != NULL && count < NAMES_MAX;
         name = strtok_r(NULL, " ", &save))
        names[count++] = name;
    return count;
}

static void add_unknown_parameter(struct problem *problem, const struct route *route, const char *name)
{
    char room[256];
    const char *known[NAMES_MAX];
    size_t count = split(route->parameters, room, sizeof room, known);
    const char *near = nearest_name(name, known, count);
    if (near != NULL)
        problem_add(problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, name,
                    "there is no query parameter %.100s here; did you mean %s?", name, near);
    else if (count == 0)
        problem_add(problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, name,
                    "there is no query parameter %.100s here; %s takes none", name, route->path);
    else
        problem_add(problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, name,
                    "there is no query parameter %.100s here; known: %s", name, route->parameters);
}

static bool has_parameter(const struct route *route, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = route->parameters; bytes > 0 && (at = strstr(at, name)) != NULL; at += bytes) {
        if ((at == route->parameters || at[-1] == ' ') && (at[bytes] == ' ' || at[bytes] == '\0'))
            return true;
    }
    return false;
}

/* A job has several tags, and may wait for several others; everything else has one value. */
static bool may_repeat(const struct route *route, const char *name)
{
    return (route->flags & ROUTE_BODY) != 0 && (strcmp(name, "tag") == 0 || strcmp(name, "after") == 0);
}

static bool stood_before(const struct request *request, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(request->parameters[i].name, request->parameters[at].name) == 0)
            return true;
    }
    return false;
}

static bool parameters_ok(struct request *request)
{
    PROBLEM_AUTO problem = {0};
    for (size_t i = 0; i < request->parameter_count; i++) {
        const char *name = request->parameters[i].name;
        if (!has_parameter(request->route, name))
            add_unknown_parameter(&problem, request->route, name);
        else if (!may_repeat(request->route, name) && stood_before(request, i))
            problem_add(&problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, name, "%s is given twice", name);
    }
    if (problem.err == ERR_OK)
        return true;
    problem_reply(request, &problem);
    return false;
}

static bool method_fits(const struct request *request, const struct route *route)
{
    return strcmp(request->method, route->method) == 0 ||
           (strcmp(request->method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void allow_method(char *allow, size_t room, const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, room - used, "%s%s%s", used > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

bool routes_take_lines(const struct request *request)
{
    struct text capture;
    for (size_t i = 0; i < route_count; i++) {
        if ((routes[i].flags & ROUTE_LINES) != 0 && method_fits(request, &routes[i]) &&
            routes_match(routes[i].path, request->path, &capture))
            return true;
    }
    return false;
}

static bool take_capture(struct request *request, struct text capture)
{
    char *at = request_alloc(request, capture.bytes + 1);
    if (at == NULL)
        return false;
    if (capture.bytes > 0)
        memcpy(at, capture.at, capture.bytes);
    at[capture.bytes] = '\0';
    request->capture = at;
    return true;
}

enum answer routes_dispatch(struct request *request)
{
    char allow[64] = "";
    for (size_t i = 0; i < route_count; i++) {
        struct text capture = {0};
        if (!routes_match(routes[i].path, request->path, &capture))
            continue;
        if (!method_fits(request, &routes[i])) {
            allow_method(allow, sizeof allow, routes[i].method);
            continue;
        }
        request->route = &routes[i];
        if (!take_capture(request, capture))
            return problem_plain(request, ERR_NO_MEMORY);
        if (!bearer_allows(request, routes[i].scope))
            return ANSWERED;
        bool ok = routes[i].flags & ROUTE_LINES  ? lines_ok(request)
                  : routes[i].flags & ROUTE_BODY ? body_ok(request)
                                                 : no_body_ok(request);
        return ok && parameters_ok(request) ? routes[i].handler(request) : ANSWERED;
    }
    if (allow[0] == '\0')
        return unknown_path(request);
    return wrong_method(request, request_printf(request, "%s", allow));
}

void routes_print(struct buf *out)
{
    for (size_t i = 0; i < route_count; i++)
        buf_printf(out, "%s %s %s %s%s%s\n", routes[i].method, routes[i].path, routes[i].name,
                   scope_word(routes[i].scope), routes[i].parameters[0] != '\0' ? " " : "",
                   routes[i].parameters);
}
