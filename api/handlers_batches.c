/* The jobs of one bulk request: how far they are and who waits for whom, and the end of all of them. */
#include "action.h"
#include "codec.h"
#include "extras.h"
#include "handlers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

static enum answer no_batch(struct request *request)
{
    return problem_answer(
        request, ERR_UNKNOWN_BATCH, NULL,
        "there is no batch %.64s; it may never have been accepted, or was forgotten with the "
        "last of its jobs",
        request->capture);
}

static void put_id(struct buf *out, const char *name, struct id id)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    buf_printf(out, "\"%s\":\"%s\"", name, text);
}

static void put_batch(struct buf *out, const struct store_batch *batch)
{
    int64_t ended = batch->succeeded + batch->failed + batch->cancelled;
    const char *state = batch->finished_ms == 0           ? "running"
                        : batch->succeeded == batch->jobs ? "succeeded"
                                                          : "failed";
    put_id(out, "id", batch->id);
    PUT(out, ",\"created_at\":");
    buf_put_time(out, batch->created_ms);
    PUT(out, ",\"finished_at\":");
    if (batch->finished_ms > 0)
        buf_put_time(out, batch->finished_ms);
    else
        PUT(out, "null");
    buf_printf(out,
               ",\"state\":\"%s\",\"jobs\":%" PRId64 ",\"succeeded\":%" PRId64 ",\"failed\":%" PRId64
               ",\"cancelled\":%" PRId64 ",\"waiting\":%" PRId64 ",\"progress\":%.4g",
               state, batch->jobs, batch->succeeded, batch->failed, batch->cancelled, batch->jobs - ended,
               batch->jobs > 0 ? (double)ended / (double)batch->jobs : 0.0);
}

static void put_node(struct buf *out, const struct job *job)
{
    struct json_span value;
    PUT(out, "{");
    put_id(out, "id", job->spec.id);
    if (extras_find(job->extras, EXTRA_REF, &value)) {
        PUT(out, ",\"ref\":");
        buf_add(out, value.at, value.bytes);
    }
    buf_printf(out, ",\"task\":\"%s\",\"state\":\"%s\",\"after\":", job->spec.task,
               job_state_text(job->state));
    if (extras_find(job->extras, EXTRA_AFTER, &value))
        buf_add(out, value.at, value.bytes);
    else
        PUT(out, "[]");
    buf_put(out, (job->spec.flags & JOB_FLAG_FOLLOWER) != 0 ? ",\"follower\":true}" : "}");
}

static void put_graph(struct buf *out, const struct job_page *page)
{
    char cursor[CURSOR_BYTES];
    PUT(out, ",\"graph\":{\"nodes\":[");
    for (size_t i = 0; i < page->count; i++) {
        buf_put(out, i > 0 ? ",\n" : "");
        put_node(out, page->jobs[i]);
    }
    PUT(out, "],\"next_cursor\":");
    if (page->next_key < 0)
        PUT(out, "null}");
    else
        buf_printf(out, "\"%s\"}", handler_cursor_text(page->next_key, cursor));
}

static void put_links(struct buf *out, struct id id)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    buf_printf(out,
               ",\"links\":{\"self\":\"/v1/batches/%s\",\"jobs\":\"/v1/jobs?batch=%s\","
               "\"cancel\":\"/v1/batches/%s/cancel\"}",
               text, text, text);
}

enum answer get_batch(struct request *request)
{
    struct store_batch batch;
    struct store_filter filter = {.created_after_ms = -1, .created_before_ms = -1, .ascending = true};
    JOB_PAGE_AUTO page = {.next_key = -1};
    int64_t limit;
    if (id_parse(request->capture, &filter.batch) != ERR_OK)
        return no_batch(request);
    if (!handler_int(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) ||
        !handler_cursor(request, &filter.after_key))
        return ANSWERED;
    filter.limit = (size_t)limit;
    enum err err = store_batch_get(request_reader(request), filter.batch, &batch);
    if (err == ERR_OK)
        err = handler_page(request, &filter, &page);
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_BATCH ? no_batch(request) : problem_plain(request, err);
    struct buf *out = reply_json(request, 200);
    PUT(out, "{");
    put_batch(out, &batch);
    put_graph(out, &page);
    put_links(out, batch.id);
    PUT(out, "}\n");
    return ANSWERED;
}

enum answer cancel_batch(struct request *request)
{
    struct action action = {.wanted = REQUEST_CANCEL, .by_filter = true, .filter = filter_all()};
    struct store_batch batch;
    if (id_parse(request->capture, &action.filter.stored.batch) != ERR_OK)
        return no_batch(request);
    enum err err = store_batch_get(request_reader(request), action.filter.stored.batch, &batch);
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_BATCH ? no_batch(request) : problem_plain(request, err);
    return action_run(request, &action);
}
