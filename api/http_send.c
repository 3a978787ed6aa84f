#include "http_private.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* An answer that could not be written for want of memory becomes one that needs next to none. */
static void mend(struct request *request)
{
    struct reply *reply = &request->reply;
    if (!reply->body.failed)
        return;
    const char *code = err_code(ERR_NO_MEMORY), *title = err_title(ERR_NO_MEMORY);
    buf_fini(&reply->body);
    reply->fixed =
        request_printf(request,
                       "{\"type\":\"urn:forkpool:problem:%s\",\"title\":\"%s\",\"status\":500,"
                       "\"detail\":\"%s\",\"code\":\"%s\",\"hint\":\"send the request again later\","
                       "\"request_id\":\"%s\"}\n",
                       code, title, title, code, request->id);
    reply->fixed_bytes = strlen(reply->fixed);
    reply->status = 500;
    reply->content_type = "application/problem+json";
}

static struct MHD_Response *make_response(struct reply *reply)
{
    if (reply->file >= 0) {
        struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(
            (uint64_t)reply->file_bytes, reply->file, (uint64_t)reply->file_at);
        if (response != NULL)
            reply->file = -1; /* the response's now */
        return response;
    }
    if (reply->body.bytes == 0) /* MHD only reads what is persistent, const or not */
        return MHD_create_response_from_buffer(reply->fixed_bytes, (void *)(uintptr_t)reply->fixed,
                                               MHD_RESPMEM_PERSISTENT);
    size_t bytes = reply->body.bytes;
    char *data = reply->body.data;
    struct MHD_Response *response = MHD_create_response_from_buffer(bytes, data, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        reply->body = (struct buf){0};
    return response;
}

static bool add_headers(struct request *request, struct MHD_Response *response)
{
    struct reply *reply = &request->reply;
    reply->close = reply->close || request->loop->quiesced;
    bool ok = MHD_add_response_header(response, "X-Request-Id", request->id) == MHD_YES;
    if (reply->content_type != NULL)
        ok = ok && MHD_add_response_header(response, "Content-Type", reply->content_type) == MHD_YES;
    for (size_t i = 0; i < reply->header_count && ok; i++)
        ok = MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) == MHD_YES;
    if (reply->close)
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    return ok;
}

static void observe(struct request *request)
{
    struct metrics *metrics = request->loop->metrics;
    int class = request->reply.status / 100;
    if (request->started_ns > 0)
        metrics_observe(metrics, HISTOGRAM_HTTP_REQUEST, clock_mono_ns() - request->started_ns);
    if (class > 0 && class < HTTP_STATUS_CLASSES)
        atomic_fetch_add_explicit(&metrics->http_requests[class], 1, memory_order_relaxed);
}

enum MHD_Result http_send(struct request *request, struct MHD_Connection *mhd)
{
    mend(request);
    struct MHD_Response *response = make_response(&request->reply);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(request, response))
        result = MHD_queue_response(mhd, (unsigned)request->reply.status, response);
    MHD_destroy_response(response);
    if (result == MHD_YES) {
        request->sending = true;
        request->loop->sending_count++;
    }
    observe(request);
    return result;
}

void http_send_raw(struct request *request, int fd)
{
    struct reply *reply = &request->reply;
    mend(request);
    const void *body = reply->body.bytes > 0 ? reply->body.data : reply->fixed;
    size_t bytes = reply->body.bytes > 0 ? reply->body.bytes : reply->fixed_bytes;
    BUF_AUTO out = {0};
    buf_printf(&out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nX-Request-Id: %s\r\n",
               reply->status, MHD_get_reason_phrase_for((unsigned)reply->status), reply->content_type, bytes,
               request->id);
    for (size_t i = 0; i < reply->header_count; i++)
        buf_printf(&out, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
    buf_put(&out, "Connection: close\r\n\r\n");
    buf_add(&out, body, bytes);
    if (!out.failed) /* nothing of this request was answered yet: the socket's buffer has room for it */
        (void)send(fd, out.data, out.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    observe(request);
}
