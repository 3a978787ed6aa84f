/* GET /v1/jobs: pages of jobs, with what runs now laid over what is stored. */
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "nearest.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 1000, CURSOR_DIGITS = CURSOR_BYTES - 1 };

/* What the query asks for. `filter` holds all of it, except that running is no stored state. */
struct query {
    struct store_filter filter;
    bool only_running;
};

void handler_page_free(struct job_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        job_free(page->jobs[i]);
    free(page->jobs);
}

/* ---------------------------------------------------------------------------------------------------------
 * query */

static bool take_state(struct request *request, struct query *query)
{
    static const char *const STATES[] = {
#define S(name, text, terminal, number) text,
        JOB_STATES(S)
#undef S
    };
    const char *text = request_parameter(request, "state");
    if (text == NULL)
        return true;
    query->filter.by_state = job_state_parse(text, &query->filter.state);
    query->only_running = query->filter.by_state && query->filter.state == JOB_RUNNING;
    if (query->filter.by_state)
        return true;
    const char *near = nearest_name(text, STATES, sizeof STATES / sizeof STATES[0]);
    handler_bad_parameter(request, "state",
                          "state is \"%.64s\"%s%s%s, but must be "
                          "queued, scheduled, blocked, running, retrying, succeeded, failed or cancelled",
                          text, near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                          near != NULL ? "?)" : "");
    return false;
}

static bool take_name(struct request *request, const char *parameter, char name[NAME_BYTES])
{
    const char *text = request_parameter(request, parameter);
    if (text == NULL)
        return true;
    if (!job_name_ok(text)) {
        handler_bad_parameter(request, parameter,
                              "%s is \"%.64s\", but must be a name of 1 to 63 letters, digits, dots, _ or -",
                              parameter, text);
        return false;
    }
    text_copy(name, NAME_BYTES, text, strlen(text));
    return true;
}

static bool take_time(struct request *request, const char *parameter, int64_t *real_ms)
{
    const char *text = request_parameter(request, parameter);
    *real_ms = -1;
    if (text == NULL || clock_parse(text, real_ms) == ERR_OK)
        return true;
    handler_bad_parameter(request, parameter,
                          "%s is \"%.64s\", but must be a time such as 2026-11-23T06:36:00Z (RFC 3339)",
                          parameter, text);
    return false;
}

static bool take_tag(struct request *request, char tag[TAG_BYTES])
{
    const char *text = request_parameter(request, "tag");
    if (text == NULL)
        return true;
    if (!tag_ok(text)) {
        handler_bad_parameter(
            request, "tag",
            "tag is \"%.64s\", but must be 1 to 64 characters, none of them a control character", text);
        return false;
    }
    text_copy(tag, TAG_BYTES, text, strlen(text));
    return true;
}

static bool take_text(struct request *request, char out[FILTER_BYTES])
{
    const char *text = request_parameter(request, "q");
    if (text == NULL)
        return true;
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes >= FILTER_BYTES) {
        handler_bad_parameter(request, "q", "q has %zu bytes, but must have 1 to %d", bytes,
                              FILTER_BYTES - 1);
        return false;
    }
    memcpy(out, text, bytes + 1);
    return true;
}

static bool take_batch(struct request *request, struct id *batch)
{
    const char *text = request_parameter(request, "batch");
    if (text == NULL || id_parse(text, batch) == ERR_OK)
        return true;
    handler_bad_parameter(request, "batch",
                          "batch is \"%.64s\", but must be the id of a batch, such as "
                          "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f",
                          text);
    return false;
}

/* Rows lie in the order of their creation, and pages follow that: any other order would need an index that
 * each job pays for. */
static bool take_sort(struct request *request, bool *ascending)
{
    const char *text = request_parameter(request, "sort");
    *ascending = text != NULL && strcmp(text, "created") == 0;
    if (text == NULL || *ascending || strcmp(text, "-created") == 0)
        return true;
    handler_bad_parameter(request, "sort",
                          "sort is \"%.64s\", but must be -created (newest first, the default) or created",
                          text);
    return false;
}

bool handler_cursor(struct request *request, int64_t *key)
{
    const char *text = request_parameter(request, "cursor");
    if (text == NULL)
        return true;
    if (strlen(text) == CURSOR_DIGITS && strspn(text, "0123456789abcdef") == CURSOR_DIGITS && text[0] < '8') {
        *key = (int64_t)strtoull(text, NULL, 16);
        return true;
    }
    handler_bad_parameter(request, "cursor", "cursor is \"%.64s\", which is no next_cursor of this server",
                          text);
    return false;
}

const char *handler_cursor_text(int64_t key, char text[CURSOR_BYTES])
{
    snprintf(text, CURSOR_BYTES, "%016" PRIx64, key);
    return text;
}

static bool take_query(struct request *request, struct query *query)
{
    int64_t limit;
    *query = (struct query){0};
    if (!take_state(request, query) || !take_name(request, "task", query->filter.task) ||
        !take_name(request, "queue", query->filter.queue) ||
        !take_time(request, "created_after", &query->filter.created_after_ms) ||
        !take_time(request, "created_before", &query->filter.created_before_ms) ||
        !handler_int(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) ||
        !take_tag(request, query->filter.tag) || !take_text(request, query->filter.text) ||
        !take_batch(request, &query->filter.batch) || !take_sort(request, &query->filter.ascending))
        return false;
    query->filter.before_key = INT64_MAX;
    query->filter.limit = (size_t)limit;
    return handler_cursor(request,
                          query->filter.ascending ? &query->filter.after_key : &query->filter.before_key);
}

/* ---------------------------------------------------------------------------------------------------------
 * pages */

static bool fits(const struct store_filter *filter, const struct job *job)
{
    const struct job_spec *spec = &job->spec;
    const struct id any = {0};
    int64_t key = id_key(spec->id);
    return (filter->task[0] == '\0' || strcmp(filter->task, spec->task) == 0) &&
           (filter->queue[0] == '\0' || strcmp(filter->queue, spec->queue) == 0) &&
           (filter->created_after_ms < 0 || spec->created_ms > filter->created_after_ms) &&
           (filter->created_before_ms < 0 || spec->created_ms < filter->created_before_ms) &&
           (id_equal(filter->batch, any) || id_equal(filter->batch, spec->batch)) &&
           (filter->tag[0] == '\0' || tags_hold(job->tags, filter->tag)) &&
           store_text_is(filter->text, spec->id, spec->task, job->attempt.error_message) &&
           (filter->ascending ? key > filter->after_key : key < filter->before_key);
}

/* They come newest first. */
static void turn_over(struct running *running)
{
    for (size_t i = 0; i < running->count / 2; i++) {
        struct job *job = running->jobs[i];
        running->jobs[i] = running->jobs[running->count - 1 - i];
        running->jobs[running->count - 1 - i] = job;
    }
}

/* Keeps what fits, in place; the rest is released. */
static enum err page_running(struct front *front, const struct store_filter *filter, struct job_page *page)
{
    struct running running;
    enum err err = handler_running(front, &running);
    size_t kept = 0;
    page->next_key = -1;
    page->jobs = running.jobs;
    if (err != ERR_OK)
        return err;
    if (filter->ascending)
        turn_over(&running);
    for (size_t i = 0; i < running.count; i++) {
        struct job *job = running.jobs[i];
        bool wanted = fits(filter, job);
        if (wanted && kept == filter->limit && page->next_key < 0)
            page->next_key = id_key(running.jobs[kept - 1]->spec.id);
        if (wanted && kept < filter->limit)
            running.jobs[kept++] = job;
        else
            job_free(job);
    }
    page->count = kept;
    return ERR_OK;
}

/* Stored rows that run now are shown as they are, or left out where queued ones are asked for. */
static void overlay(struct request *request, bool leave_out, struct job_page *page)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->count; i++) {
        struct job *stored = page->jobs[i], *now = NULL;
        if (stored->state == JOB_QUEUED && front_is_running(request->front, stored->spec.id)) {
            if (leave_out) {
                job_free(stored);
                continue;
            }
            if (front_read(request->front, request->reader, stored->spec.id, &now) == ERR_OK) {
                job_free(stored);
                stored = now;
            }
        }
        page->jobs[kept++] = stored;
    }
    page->count = kept;
}

enum err handler_page(struct request *request, const struct store_filter *filter, struct job_page *page)
{
    page->jobs = calloc(filter->limit, sizeof page->jobs[0]);
    if (page->jobs == NULL)
        return ERR_NO_MEMORY;
    enum err err = store_list(request->reader, filter, page->jobs, &page->count, &page->next_key);
    if (err == ERR_OK)
        overlay(request, filter->by_state, page);
    return err;
}

/* --------------------------------------------------------------------------------------------------------
 * answer */

/* A value as a query may hold it (RFC 3986: all but the unreserved characters escaped). */
static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (isalnum(byte) || strchr("-._~:", byte) != NULL)
            buf_add(out, text, 1);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

/* The same query with the next cursor. */
static void link_next(struct request *request, const char *cursor)
{
    BUF_AUTO link = {0};
    PUT(&link, "</v1/jobs?");
    for (size_t i = 0; i < request->parameter_count; i++) {
        if (strcmp(request->parameters[i].name, "cursor") != 0) {
            buf_printf(&link, "%s=", request->parameters[i].name);
            put_escaped(&link, request->parameters[i].value);
            PUT(&link, "&");
        }
    }
    buf_printf(&link, "cursor=%s>; rel=\"next\"", cursor);
    if (!link.failed)
        reply_header(request, "Link", request_printf(request, "%.*s", (int)link.bytes, link.data));
}

static enum answer answer_page(struct request *request, const struct job_page *page)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"items\":[");
    for (size_t i = 0; i < page->count; i++) {
        buf_put(out, i > 0 ? ",\n" : "");
        codec_job(out, page->jobs[i], false);
    }
    PUT(out, "],\"next_cursor\":");
    if (page->next_key >= 0) {
        char cursor[CURSOR_BYTES];
        handler_cursor_text(page->next_key, cursor);
        buf_printf(out, "\"%s\"}\n", cursor);
        link_next(request, cursor);
    } else {
        PUT(out, "null}\n");
    }
    return ANSWERED;
}

enum answer list_jobs(struct request *request)
{
    struct query query;
    JOB_PAGE_AUTO page = {0};
    if (!take_query(request, &query))
        return ANSWERED;
    enum err err = query.only_running ? page_running(request->front, &query.filter, &page)
                                      : handler_page(request, &query.filter, &page);
    return err != ERR_OK ? problem_plain(request, err) : answer_page(request, &page);
}
