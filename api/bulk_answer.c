#include "bulk.h"

#include "await.h"
#include "codec.h"

#include <inttypes.h>
#include <string.h>

static void put_id(struct buf *out, struct id id)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    PUT(out, "\"");
    buf_add(out, text, ID_TEXT_BYTES - 1);
    PUT(out, "\"");
}

/* The first of those that were accepted before; NULL unless all were. */
static const struct bulk_entry *all_replayed(const struct bulk_request *bulk)
{
    const struct bulk_entry *first = NULL;
    for (size_t i = 0; i < bulk->count; i++) {
        const struct bulk_entry *entry = &bulk->entries[i];
        if (entry->err == ERR_OK && !entry->replayed)
            return NULL;
        if (first == NULL && entry->err == ERR_OK)
            first = entry;
    }
    return first;
}

static bool any_new(const struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        const struct bulk_entry *entry = &bulk->entries[i];
        if (entry->err == ERR_OK && !entry->replayed && !entry->returned)
            return true;
    }
    return false;
}

/* The batch that the jobs belong to, with the headers that go with it. Of a repeated request it is that of
 * the first one; zero: there is none. */
static struct id say_batch(struct bulk_request *bulk)
{
    struct request *request = bulk->request;
    struct id batch = {0};
    char text[ID_TEXT_BYTES];
    const struct bulk_entry *first = all_replayed(bulk);
    if (first != NULL) {
        reply_header(request, "Idempotency-Replayed", "true");
        if (await_read(request, first->id) == ERR_OK)
            batch = request->job->spec.batch;
    } else if (any_new(bulk)) {
        batch = bulk->bulk.batch;
    }
    if (!id_is_none(batch)) {
        id_format(batch, text);
        reply_header(request, "Location", request_printf(request, "/v1/batches/%s", text));
    }
    return batch;
}

void bulk_say_when(struct bulk_request *bulk, enum err err)
{
    if (bulk->retry_after_s == 0 || bulk->never || (err != ERR_QUEUE_FULL && err != ERR_QUEUE_CLOSED))
        return;
    reply_header(bulk->request, "Retry-After",
                 request_printf(bulk->request, "%" PRId64, bulk->retry_after_s));
    bulk->retry_after_s = 0; /* said */
}

enum answer bulk_answer_ids(struct bulk_request *bulk)
{
    struct id batch = say_batch(bulk);
    struct buf *out = reply_json(bulk->request, 202);
    buf_printf(out, "{\"count\":%zu,\"ids\":[", bulk->count);
    for (size_t i = 0; i < bulk->count; i++) {
        buf_put(out, i > 0 ? "," : "");
        put_id(out, bulk->entries[i].id);
    }
    PUT(out, "]");
    if (!id_is_none(batch)) {
        PUT(out, ",\"batch\":");
        put_id(out, batch);
    }
    PUT(out, "}\n");
    return ANSWERED;
}

enum answer bulk_answer_lines(struct bulk_request *bulk)
{
    (void)say_batch(bulk);
    for (size_t i = 0; i < bulk->count; i++)
        bulk_say_when(bulk, bulk->entries[i].err);
    struct buf *out = reply_json(bulk->request, 200);
    bulk->request->reply.content_type = "application/x-ndjson";
    for (size_t i = 0; i < bulk->count; i++) {
        const struct bulk_entry *entry = &bulk->entries[i];
        buf_printf(out, "{\"line\":%zu,\"status\":", entry->number);
        if (entry->err == ERR_OK) {
            PUT(out, "202,\"id\":");
            put_id(out, entry->id);
            buf_put(out, entry->replayed ? ",\"replayed\":true" : "");
            buf_put(out, entry->returned ? ",\"returned\":true" : "");
        } else {
            const char *detail = entry->detail != NULL ? entry->detail : err_title(entry->err);
            buf_printf(out, "%d,\"code\":\"%s\",\"detail\":", err_status(entry->err), err_code(entry->err));
            buf_put_json(out, detail, strlen(detail));
        }
        PUT(out, "}\n");
    }
    return ANSWERED;
}
