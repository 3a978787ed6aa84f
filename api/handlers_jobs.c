/* GET /v1/jobs: pages of jobs, with what runs now laid over what is stored. */
#include "codec.h"
#include "filter.h"
#include "handlers.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 1000, CURSOR_DIGITS = CURSOR_BYTES - 1 };

void handler_page_free(struct job_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        job_free(page->jobs[i]);
    free(page->jobs);
}

/* ---------------------------------------------------------------------------------------------------------
 * query */

/* False: the reply says why. */
static bool take_members(struct request *request, struct filter *filter)
{
    PROBLEM_AUTO problem = {0};
    for (int i = 0; i < FILTER_COUNT; i++) {
        const char *text = request_parameter(request, filter_texts[i]);
        if (text != NULL)
            (void)filter_take(filter, (enum filter_member)i, text, PLACE_PARAMETER, filter_texts[i],
                              &problem);
    }
    if (problem.err != ERR_OK)
        problem_reply(request, &problem);
    return problem.err == ERR_OK;
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

static bool take_query(struct request *request, struct filter *filter)
{
    int64_t limit;
    struct store_filter *stored = &filter->stored;
    *filter = filter_all();
    if (!take_members(request, filter) ||
        !handler_int(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) ||
        !take_sort(request, &stored->ascending))
        return false;
    stored->limit = (size_t)limit;
    return handler_cursor(request, stored->ascending ? &stored->after_key : &stored->before_key);
}

/* ---------------------------------------------------------------------------------------------------------
 * pages */

static bool is_beyond(const struct store_filter *stored, const struct job *job)
{
    int64_t key = id_key(job->spec.id);
    return stored->ascending ? key > stored->after_key : key < stored->before_key;
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
static enum err page_running(struct front *front, const struct filter *filter, struct job_page *page)
{
    size_t limit = filter->stored.limit;
    struct running running;
    enum err err = handler_running(front, &running);
    size_t kept = 0;
    page->next_key = -1;
    page->jobs = running.jobs;
    if (err != ERR_OK)
        return err;
    if (filter->stored.ascending)
        turn_over(&running);
    for (size_t i = 0; i < running.count; i++) {
        struct job *job = running.jobs[i];
        bool wanted = filter_fits(filter, job) && is_beyond(&filter->stored, job);
        if (wanted && kept == limit && page->next_key < 0)
            page->next_key = id_key(running.jobs[kept - 1]->spec.id);
        if (wanted && kept < limit)
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
            if (front_read(request->front, request_reader(request), stored->spec.id, &now) == ERR_OK) {
                job_free(stored);
                stored = now;
            }
        }
        page->jobs[kept++] = stored;
    }
    page->count = kept;
}

enum err handler_page(struct request *request, const struct store_filter *stored, struct job_page *page)
{
    page->jobs = calloc(stored->limit, sizeof page->jobs[0]);
    if (page->jobs == NULL)
        return ERR_NO_MEMORY;
    enum err err = store_list(request_reader(request), stored, page->jobs, &page->count, &page->next_key);
    if (err == ERR_OK)
        overlay(request, stored->by_state, page);
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

void handler_link_next(struct request *request, const char *path, const char *cursor)
{
    BUF_AUTO link = {0};
    buf_printf(&link, "<%s?", path);
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
        handler_link_next(request, "/v1/jobs", cursor);
    } else {
        PUT(out, "null}\n");
    }
    return ANSWERED;
}

enum answer list_jobs(struct request *request)
{
    struct filter filter;
    JOB_PAGE_AUTO page = {0};
    if (!take_query(request, &filter))
        return ANSWERED;
    enum err err = filter.running ? page_running(request->front, &filter, &page)
                                  : handler_page(request, &filter.stored, &page);
    return err != ERR_OK ? problem_plain(request, err) : answer_page(request, &page);
}
