#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const PLACES[] = {
#define P(name, text) [PLACE_##name] = text,
    PROBLEM_PLACES(P)
#undef P
};

/* What to do next, where the fault itself does not know better. */
static const char *const HINTS[ERR_COUNT] = {
    [ERR_BAD_REQUEST] = "send HTTP/1.1 as RFC 9112 has it; any HTTP client does",
    [ERR_BAD_HOST] = "use localhost or an IP address, or add the name to http.hosts",
    [ERR_BAD_ORIGIN] = "call the API from a page of the same host and port, or from a server",
    [ERR_UNAUTHORIZED] = "send Authorization: Bearer TOKEN (curl --oauth2-bearer TOKEN); who runs the server "
                         "has tokens from forkpool token",
    [ERR_FORBIDDEN] = "use a token that has the scope",
    [ERR_UNKNOWN_PATH] = "GET / lists the paths, GET /openapi.json describes them",
    [ERR_METHOD_NOT_ALLOWED] = "the header Allow names the methods that the path has",
    [ERR_UNSUPPORTED_MEDIA_TYPE] = "send Content-Type: application/json (curl --json does)",
    [ERR_BODY_TOO_LARGE] = "send less, or raise http.max_body",
    [ERR_REQUEST_TIMEOUT] = "send the whole request at once, or raise http.request_timeout",
    [ERR_INVALID_JSON] = "the caret stands under the place; send one JSON value (RFC 8259)",
    [ERR_INVALID_UTF8] = "send the text as UTF-8",
    [ERR_TOO_DEEP] = "nest fewer arrays and objects, or send the inner ones as a string",
    [ERR_DUPLICATE_KEY] = "name each member of an object once",
    [ERR_NUMBER_RANGE] = "send a smaller number, or send it as a string",
    [ERR_INVALID_FIELD] = "GET /openapi.json has the types and ranges of all fields",
    [ERR_UNKNOWN_FIELD] = "GET /openapi.json has all fields",
    [ERR_INVALID_PARAMETER] = "GET /openapi.json has the parameters of each path",
    [ERR_UNKNOWN_TASK] = "GET /v1/tasks lists the tasks",
    [ERR_NO_SUCH_TASK] = "GET /v1/tasks lists the tasks",
    [ERR_BROKEN_TASK] =
        "mend the task and reload the server (SIGHUP); GET /readyz?verbose lists what is broken",
    [ERR_KEY_REUSED] =
        "use a new Idempotency-Key for a new request; a repeated one must be the same, byte for byte",
    [ERR_UNKNOWN_JOB] = "ids stand in the answer to a submit and in GET /v1/jobs",
    [ERR_NO_SUCH_ATTEMPT] = "GET /v1/jobs/{id}/attempts lists the attempts",
    [ERR_UNKNOWN_QUEUE] = "GET /v1/queues lists the queues",
    [ERR_UNKNOWN_SCHEDULE] = "GET /v1/schedules lists the schedules; PUT /v1/schedules/NAME makes one",
    [ERR_UNKNOWN_DEPENDENCY] = "leave it out of after, or submit first what is to be waited for",
    [ERR_UNKNOWN_BATCH] = "the id of a batch stands in the answer to POST /v1/jobs/bulk, and in its jobs",
    [ERR_CYCLE] =
        "take one of these out of after: the jobs of a graph start with one that waits for no other",
    [ERR_DUPLICATE_JOB] = "wait for that job with GET /v1/jobs/{id}?wait=30, or choose another on_conflict",
    [ERR_CONFLICT] = "GET it again, and change it as it is now",
    [ERR_UNCONFIRMED] = "name what is meant, or send confirm",
    [ERR_NOT_NOW] = "GET /v1/jobs/{id} says in which state it is",
    [ERR_QUEUE_FULL] = "send the request again after Retry-After seconds, or raise max_depth: PATCH "
                       "/v1/queues/NAME",
    [ERR_TOO_LATE] = "send the request again after Retry-After seconds, or with a longer start_within",
    [ERR_QUEUE_CLOSED] = "POST /v1/queues/NAME/resume, or /v1/resume, ends a drain",
    [ERR_PRUNED] = "run it again with POST /v1/jobs/{id}/retry, or raise jobs.retain_results",
    [ERR_NOT_FINISHED] = "wait for the end with GET /v1/jobs/{id}?wait=30",
    [ERR_ALREADY_FINISHED] = "a finished job changes only by POST /v1/jobs/{id}/retry; see GET /v1/jobs/{id}",
    [ERR_JOB_FAILED] = "GET /v1/jobs/{id} has all of it, GET /v1/jobs/{id}/log what it wrote",
    [ERR_JOB_CANCELLED] = "submit it again if it should run after all",
    [ERR_DRAINING] = "send the request again after Retry-After seconds: another process will answer",
    [ERR_STARTING] = "send the request again after Retry-After seconds",
    [ERR_MEMORY_FULL] = "wait, or submit with durability process or full: those jobs wait on disk",
    [ERR_OVERLOADED] = "send the request again after Retry-After seconds",
    [ERR_STORE_FULL] = "free space on the disk of the store, or make it writable again (the server's log "
                       "says which); running "
                       "jobs go on, their results are kept, and submissions are taken again by themselves",
};

static const char USUAL_HINT[] = "the server's log says what happened";

void problem_fini(struct problem *problem)
{
    buf_fini(&problem->detail);
    buf_fini(&problem->hint);
    buf_fini(&problem->errors);
    buf_fini(&problem->extra);
}

static void put_list(struct buf *buf, const char *format, va_list list)
{
    va_list again;
    va_copy(again, list);
    int bytes = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *at = bytes < 0 ? NULL : buf_reserve(buf, (size_t)bytes + 1);
    if (at == NULL)
        return;
    vsnprintf(at, (size_t)bytes + 1, format, list);
    buf->bytes += (size_t)bytes;
}

static void put_fault(struct problem *problem, enum err err, enum problem_place place, const char *where,
                      const struct buf *detail)
{
    struct buf *out = &problem->errors;
    BUF_AUTO path = {0};
    if (problem->line > 0 && place == PLACE_POINTER)
        buf_printf(&path, "/%zu", problem->line);
    if (problem->base != NULL && place == PLACE_POINTER)
        buf_put(&path, problem->base);
    buf_put(&path, where);
    out->failed = out->failed || path.failed;
    buf_printf(out, "%s{\"%s\":", problem->count++ > 0 ? "," : "", PLACES[place]);
    buf_put_json(out, path.data, path.bytes);
    if (problem->line > 0)
        buf_printf(out, ",\"line\":%zu", problem->line);
    buf_put(out, ",\"detail\":");
    buf_put_json(out, detail->data, detail->bytes);
    buf_printf(out, ",\"code\":\"%s\"}", err_code(err));
}

void problem_add(struct problem *problem, enum err err, enum problem_place place, const char *where,
                 const char *format, ...)
{
    BUF_AUTO detail = {0};
    va_list list;
    va_start(list, format);
    put_list(&detail, format, list);
    va_end(list);
    if (problem->err == ERR_OK) {
        problem->err = err;
        buf_add(&problem->detail, detail.data, detail.bytes);
    }
    if (problem->most == 0 || problem->count < problem->most)
        put_fault(problem, err, place, where, &detail);
}

void problem_set(struct problem *problem, enum err err, const char *format, ...)
{
    if (problem->err != ERR_OK)
        return;
    problem->err = err;
    va_list list;
    va_start(list, format);
    put_list(&problem->detail, format, list);
    va_end(list);
}

void problem_merge(struct problem *into, const struct problem *from)
{
    if (into->err == ERR_OK) {
        into->err = from->err;
        buf_printf(&into->detail, "line %zu: ", from->line);
        buf_add(&into->detail, from->detail.data, from->detail.bytes);
        buf_add(&into->hint, from->hint.data, from->hint.bytes);
        buf_printf(&into->extra, ",\"line\":%zu", from->line);
        buf_add(&into->extra, from->extra.data, from->extra.bytes);
    }
    if (from->count == 0) { /* it has no place but the line */
        into->line = from->line;
        put_fault(into, from->err, PLACE_POINTER, "", &from->detail);
        into->line = 0;
        return;
    }
    buf_put(&into->errors, into->count > 0 ? "," : "");
    buf_add(&into->errors, from->errors.data, from->errors.bytes);
    into->count += from->count;
}

void problem_hint(struct problem *problem, const char *format, ...)
{
    if (problem->hint.bytes > 0)
        return;
    va_list list;
    va_start(list, format);
    put_list(&problem->hint, format, list);
    va_end(list);
}

static void put_member(struct buf *out, const char *name, const char *text, size_t bytes)
{
    buf_printf(out, ",\"%s\":", name);
    buf_put_json(out, text, bytes);
}

static void put_hint(const struct problem *problem, struct buf *out)
{
    const char *usual = HINTS[problem->err] != NULL ? HINTS[problem->err] : USUAL_HINT;
    if (problem->hint.bytes > 0)
        put_member(out, "hint", problem->hint.data, problem->hint.bytes);
    else
        put_member(out, "hint", usual, strlen(usual));
}

void problem_write(const struct problem *problem, const char *request_id, struct buf *out)
{
    const char *code = err_code(problem->err), *title = err_title(problem->err);
    buf_printf(out, "{\"type\":\"urn:forkpool:problem:%s\"", code);
    put_member(out, "title", title, strlen(title));
    buf_printf(out, ",\"status\":%d", err_status(problem->err));
    if (problem->detail.bytes > 0)
        put_member(out, "detail", problem->detail.data, problem->detail.bytes);
    else
        put_member(out, "detail", title, strlen(title));
    put_member(out, "code", code, strlen(code));
    put_hint(problem, out);
    if (problem->errors.bytes > 0) {
        buf_put(out, ",\"errors\":[");
        buf_add(out, problem->errors.data, problem->errors.bytes);
        buf_put(out, "]");
    }
    put_member(out, "request_id", request_id, strlen(request_id));
    buf_add(out, problem->extra.data, problem->extra.bytes);
    buf_put(out, "}\n");
}

static bool has_header(const struct reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++) {
        if (strcmp(reply->headers[i].name, name) == 0)
            return true;
    }
    return false;
}

enum answer problem_reply(struct request *request, const struct problem *problem)
{
    struct reply *reply = &request->reply;
    buf_fini(&reply->body);
    reply->fixed = NULL;
    reply->status = err_status(problem->err);
    reply->content_type = "application/problem+json";
    bool later = reply->status == 503 || reply->status == 429 || reply->status == 507;
    if (later && !problem->for_good && !has_header(reply, "Retry-After"))
        reply_header(request, "Retry-After", "1");
    problem_write(problem, request->id, &reply->body);
    return ANSWERED;
}

enum answer problem_answer(struct request *request, enum err err, const char *hint, const char *format, ...)
{
    PROBLEM_AUTO problem = {.err = err};
    va_list list;
    va_start(list, format);
    put_list(&problem.detail, format, list);
    va_end(list);
    if (hint != NULL)
        problem_hint(&problem, "%s", hint);
    return problem_reply(request, &problem);
}

enum answer problem_plain(struct request *request, enum err err)
{
    PROBLEM_AUTO problem = {.err = err};
    return problem_reply(request, &problem);
}
