#include "handlers.h"

#include "await.h"
#include "codec.h"
#include "json.h"
#include "slots.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum answer handler_bad_parameter(struct request *request, const char *name, const char *format, ...)
{
    PROBLEM_AUTO problem = {0};
    char detail[512];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    problem_add(&problem, ERR_INVALID_PARAMETER, PLACE_PARAMETER, name, "%s", detail);
    return problem_reply(request, &problem);
}

bool handler_int(struct request *request, const char *name, int64_t least, int64_t most, int64_t otherwise,
                 int64_t *value)
{
    const char *text = request_parameter(request, name);
    *value = otherwise;
    if (text == NULL)
        return true;
    if (json_int((struct json_span){text, strlen(text)}, value) && *value >= least && *value <= most)
        return true;
    handler_bad_parameter(request, name,
                          "%s is \"%.100s\", but must be a whole number from %" PRId64 " to %" PRId64, name,
                          text, least, most);
    return false;
}

bool handler_id(struct request *request, struct id *id)
{
    if (id_parse(request->capture, id) == ERR_OK)
        return true;
    problem_answer(request, ERR_UNKNOWN_JOB, NULL,
                   "\"%.64s\" is not the id of a job; one looks like 0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f",
                   request->capture);
    return false;
}

enum answer handler_job_error(struct request *request, struct id id, enum err err)
{
    char text[ID_TEXT_BYTES];
    if (err != ERR_UNKNOWN_JOB)
        return problem_plain(request, err);
    id_format(id, text);
    return problem_answer(request, err, NULL,
                          "there is no job %s; it may never have been accepted, or was forgotten", text);
}

enum answer handler_refused(struct request *request, enum err err, enum job_request wanted)
{
    PROBLEM_AUTO problem = {0};
    enum err read = await_read(request, request->errand.id);
    if (read != ERR_OK)
        return handler_job_error(request, request->errand.id, read);
    codec_refusal(&problem, err, request->job, wanted);
    return problem_reply(request, &problem);
}

enum answer handler_duplicate(struct request *request, bool again)
{
    PROBLEM_AUTO problem = {0};
    JOB_AUTO job = job_share(request->job);
    struct id id = request->errand.original;
    enum err err = await_read(request, id);
    if (err != ERR_OK && err != ERR_UNKNOWN_JOB) /* unknown: it is gone in this moment */
        return problem_plain(request, err);
    codec_duplicate(&problem, job, again, id, request->job);
    handler_location(request, id);
    return problem_reply(request, &problem);
}

enum answer handler_not_admitted(struct request *request, enum err err, const char *queue,
                                 const struct admission *admission)
{
    PROBLEM_AUTO problem = {0};
    int64_t retry_after_s = codec_not_admitted(&problem, err, queue, admission, 1);
    reply_header(request, "Retry-After", request_printf(request, "%" PRId64, retry_after_s));
    return problem_reply(request, &problem);
}

static enum answer looked(struct request *request)
{
    if (request->errand_wake.open)
        return SUSPENDED;
    struct look *look = request->errand.look;
    enum err err = request->errand.err;
    enum answer answer = err != ERR_OK ? problem_plain(request, err) : request->answer(request);
    free(look->views);
    schedules_free(&look->schedules);
    return answer;
}

enum answer handler_look(struct request *request, enum look_kind kind, handler_fn *answer)
{
    return handler_look_at(request, &(struct look){.kind = kind}, answer);
}

enum answer handler_look_at(struct request *request, const struct look *asked, handler_fn *answer)
{
    struct look *look = request_new(request, sizeof *look);
    if (look == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    *look = *asked;
    request->answer = answer;
    request->then = looked;
    await_look(request, (struct id){0}, look);
    return SUSPENDED;
}

const struct lane_view *handler_view(const struct look *look, const char *name)
{
    for (size_t i = 0; i < look->count; i++) {
        if (strcmp(look->views[i].name, name) == 0)
            return &look->views[i];
    }
    return NULL;
}

bool handler_flag(struct request *request, const char *name, bool otherwise, bool *value)
{
    const char *text = request_parameter(request, name);
    *value = text == NULL ? otherwise : strcmp(text, "true") == 0;
    if (text == NULL || *value || strcmp(text, "false") == 0)
        return true;
    handler_bad_parameter(request, name, "%s is \"%.64s\", but must be true or false", name, text);
    return false;
}

void handler_location(struct request *request, struct id id)
{
    static const char PREFIX[] = "/v1/jobs/";
    char *location = request_alloc(request, sizeof PREFIX - 1 + ID_TEXT_BYTES);
    if (location == NULL)
        return;
    memcpy(location, PREFIX, sizeof PREFIX - 1);
    id_format(id, location + sizeof PREFIX - 1);
    reply_header(request, "Location", location);
}

/* -------------------------------------------------------------------------------------------------------
 * waiting */

enum { PREFERENCE_BYTES = 16 };

/* What is preferred of that name (RFC 7240): names in any case, values perhaps quoted, parameters after ';'.
 * Anything else is ignored, as the RFC asks. */
static bool preferred(const struct request *request, const char *name, char value[PREFERENCE_BYTES])
{
    const char *prefer = request->headers[HEADER_PREFER];
    size_t name_bytes = strlen(name);
    for (const char *at = prefer != NULL ? prefer : ""; *at != '\0'; at += strcspn(at, ",")) {
        at += strspn(at, ", \t");
        if (strncasecmp(at, name, name_bytes) != 0)
            continue;
        const char *from = at + name_bytes + strspn(at + name_bytes, " \t");
        if (*from++ != '=')
            continue;
        from += strspn(from, " \t\"");
        size_t bytes = strcspn(from, "\"; \t,");
        if (bytes >= PREFERENCE_BYTES)
            continue;
        text_copy(value, PREFERENCE_BYTES, from, bytes);
        return true;
    }
    return false;
}

static bool preferred_wait(const struct request *request, int64_t *seconds)
{
    char value[PREFERENCE_BYTES];
    if (!preferred(request, "wait", value))
        return false;
    size_t digits = strspn(value, "0123456789");
    *seconds = strtol(value, NULL, 10);
    return digits > 0 && digits <= 9 && value[digits] == '\0';
}

bool handler_minimal(struct request *request)
{
    char value[PREFERENCE_BYTES];
    if (!preferred(request, "return", value) || strcasecmp(value, "minimal") != 0)
        return false;
    reply_header(request, "Preference-Applied", "return=minimal");
    return true;
}

bool handler_wait(struct request *request, int64_t otherwise_ms)
{
    int64_t max_ms = front_config(request->front)->http_max_wait_ms, seconds;
    const char *text = request_parameter(request, "wait");
    double number;
    request->wait_ms = otherwise_ms;
    if (text != NULL) {
        if (!json_number((struct json_span){text, strlen(text)}, &number) || number < 0 ||
            number * 1000 > (double)max_ms) {
            handler_bad_parameter(
                request, "wait",
                "wait is \"%.100s\", but must be a number of seconds from 0 to %g (http.max_wait)", text,
                (double)max_ms / 1000);
            return false;
        }
        request->wait_ms = (int64_t)(number * 1000);
    } else if (preferred_wait(request, &seconds)) {
        request->wait_ms = seconds * 1000 < max_ms ? seconds * 1000 : max_ms;
        reply_header(request, "Preference-Applied",
                     request_printf(request, "wait=%" PRId64, request->wait_ms / 1000));
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------- jobs that
 * failed */

enum answer handler_job_failed(struct request *request, const struct job *job)
{
    char id[ID_TEXT_BYTES];
    PROBLEM_AUTO problem = {0};
    id_format(job->spec.id, id);
    if (job->state == JOB_CANCELLED)
        problem_set(&problem, ERR_JOB_CANCELLED, "the job %s was cancelled, so it has no result", id);
    else if (job->attempt.error_message[0] != '\0')
        problem_set(&problem, ERR_JOB_FAILED, "%s", job->attempt.error_message);
    else
        problem_set(&problem, ERR_JOB_FAILED, "the job %s failed", id);
    problem_hint(&problem, "GET /v1/jobs/%s has all of it, GET /v1/jobs/%s/log what it wrote", id, id);
    buf_printf(&problem.extra, ",\"job_id\":\"%s\",\"error\":", id);
    codec_error(&problem.extra, &job->attempt);
    return problem_reply(request, &problem);
}

/* ------------------------------------------------------------------------------------------------------
 * results */

static enum answer answer_pruned(struct request *request, const struct job *job)
{
    char id[ID_TEXT_BYTES];
    id_format(job->spec.id, id);
    return problem_answer(request, ERR_PRUNED, NULL,
                          "the job %s has succeeded; its result was kept for jobs.retain_results and is gone",
                          id);
}

enum answer handler_result(struct request *request, const struct job *job)
{
    if (job->state != JOB_SUCCEEDED)
        return handler_job_failed(request, job);
    if (job->result.at == NULL)
        return answer_pruned(request, job);
    struct buf *out = reply_json(request, 200);
    buf_add(out, job->result.at, job->result.bytes);
    PUT(out, "\n");
    return ANSWERED;
}

void handler_etag(struct request *request)
{
    struct reply *reply = &request->reply;
    const char *known = request->headers[HEADER_IF_NONE_MATCH];
    if (reply->body.failed)
        return;
    enum { DIGITS = 16 };
    char *tag = request_alloc(request, DIGITS + sizeof "\"\"");
    if (tag == NULL)
        return;
    uint64_t sum = bytes_sum(reply->body.data, reply->body.bytes);
    for (int i = DIGITS; i > 0; i--, sum >>= 4)
        tag[i] = "0123456789abcdef"[sum & 15];
    tag[0] = tag[DIGITS + 1] = '"';
    tag[DIGITS + 2] = '\0';
    reply_header(request, "ETag", tag);
    if (known == NULL || (strcmp(known, "*") != 0 && strstr(known, tag) == NULL))
        return;
    buf_fini(&reply->body);
    reply->status = 304;
    reply->content_type = NULL;
}

/* ------------------------------------------------------------------------------------------------------
 * running */

enum err handler_running(struct front *front, struct running *running)
{
    running->count = 0;
    running->jobs = calloc(WORKERS_MAX, sizeof running->jobs[0]);
    if (running->jobs == NULL)
        return ERR_NO_MEMORY;
    return front_running(front, WORKERS_MAX, running->jobs, &running->count);
}

void handler_running_free(struct running *running)
{
    for (size_t i = 0; i < running->count; i++)
        job_free(running->jobs[i]);
    free(running->jobs);
}
