#include "compose.h"
#include "http_private.h"
#include "problem.h"
#include "routes.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http {
    size_t loop_count;
    struct http_loop loops[];
};

static void on_log(void *context, const char *format, va_list list)
{
    struct http_loop *loop = context;
    char text[256];
    if (strncmp(format, "Error accepting connection", 26) == 0)
        loop->starved = loop->refused = true;
    if (loop->mute || loop->logged >= LOGS_PER_SECOND) { /* clients must not be able to fill the log */
        loop->mute = false;
        return;
    }
    vsnprintf(text, sizeof text, format, list);
    if (strncmp(text, "Connection ", 11) == 0) /* clients that went away, as clients do */
        return;
    loop->logged++;
    text[strcspn(text, "\r\n")] = '\0';
    LOG(HTTP_ERROR, LOG_TEXT("error", text));
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = http_connection_open(context, mhd);
        return;
    }
    if (*socket_context != NULL)
        http_connection_close(context, *socket_context);
    *socket_context = NULL;
}

static void *on_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    struct http_connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct request *request = connection != NULL ? http_request_new(context) : NULL;
    if (request == NULL)
        return NULL;
    if (!http_request_target(request, target)) {
        http_request_free(request);
        return NULL;
    }
    request->connection = connection;
    connection->request = request;
    return request;
}

/* Answers before the body was read; libmicrohttpd then closes the connection. */
static enum MHD_Result refuse_early(struct request *request, struct MHD_Connection *mhd)
{
    const char *length = request->headers[HEADER_CONTENT_LENGTH];
    bool body_follows =
        request->headers[HEADER_TRANSFER_ENCODING] != NULL || (length != NULL && strcmp(length, "0") != 0);
    request->connection->linger = body_follows;
    request->answered = true;
    http_connection_busy(request->connection);
    return http_send(request, mhd);
}

static enum MHD_Result begin(struct request *request, struct MHD_Connection *mhd, const char *method,
                             const char *version)
{
    request->guarded = true;
    request->method = method;
    bool ok = http_guard(request, mhd, version);
    if (ok && routes_take_lines(request))
        ok = routes_dispatch(request) == SUSPENDED;
    return ok ? MHD_YES : refuse_early(request, mhd);
}

static enum MHD_Result gather(struct request *request, const char *data, size_t *bytes)
{
    size_t more = *bytes;
    *bytes = 0;
    if (more <= http_body_most(request) - request->body_bytes) {
        request->body_bytes += more;
        if (request->take != NULL)
            request->take(request, data, more);
        else
            buf_add(&request->body, data, more);
        return request->body.failed ? MHD_NO : MHD_YES;
    }
    /* Only a chunked body can come to this. libmicrohttpd takes no answer here, so it goes past it. */
    http_too_large(request, NULL);
    http_send_raw(request, request->connection->fd);
    request->connection->linger = true;
    request->loop->mute = true;
    return MHD_NO;
}

static enum MHD_Result finish(struct request *request, struct MHD_Connection *mhd)
{
    if (!request->answered) {
        http_connection_busy(request->connection);
        request->started_ns = clock_mono_ns();
        request->stopping = request->loop->quiesced;
        if ((request->take != NULL ? request->then(request) : routes_dispatch(request)) == SUSPENDED) {
            http_suspend(request);
            MHD_suspend_connection(mhd);
            return MHD_YES;
        }
        request->answered = true;
    }
    return http_send(request, mhd);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request_context)
{
    struct request *request = *request_context;
    (void)context;
    (void)url;
    if (request == NULL)
        return MHD_NO;
    if (!request->guarded)
        return begin(request, mhd, method, version);
    return *upload_bytes > 0 ? gather(request, upload, upload_bytes) : finish(request, mhd);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *request_context;
    struct http_loop *loop = context;
    (void)mhd;
    (void)code;
    *request_context = NULL;
    if (request == NULL)
        return;
    if (request->sending)
        loop->sending_count--;
    request->connection->request = NULL;
    http_connection_idle(loop, request->connection);
    http_request_free(request);
}

struct MHD_Daemon *http_daemon_start(struct http_loop *loop, int listen_fd)
{
    const struct config *config = loop->config;
    /* The sweep closes who sends too slowly; libmicrohttpd's own clock only has to find who does not read. */
    unsigned timeout = (unsigned)(config->http_request_timeout_ms / 1000) + 5;
    unsigned limit = (unsigned)((config->http_max_connections + config->http_loops - 1) / config->http_loops);
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                            on_request, loop, MHD_OPTION_EXTERNAL_LOGGER, on_log, loop,
                            MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT, limit,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, 0u, MHD_OPTION_CONNECTION_TIMEOUT, timeout,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)config->http_max_header,
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, loop, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, loop, MHD_OPTION_NOTIFY_CONNECTION, on_connection, loop,
                            MHD_OPTION_END);
}

static void close_all(struct http *http)
{
    for (size_t i = 0; i < http->loop_count; i++)
        http_loop_close(&http->loops[i]);
    free(http);
}

static enum err start_all(struct http *http, size_t *started)
{
    for (*started = 0; *started < http->loop_count; ++*started) {
        enum err err = http_loop_start(&http->loops[*started]);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void stop_first(struct http *http, size_t count)
{
    bool all_back = true;
    for (size_t i = 0; i < count; i++)
        http_loop_stop(&http->loops[i]);
    for (size_t i = 0; i < count; i++)
        all_back = http_loop_join(&http->loops[i]) && all_back;
    if (all_back) /* else the front still holds requests and may notify them: they stay */
        close_all(http);
}

static enum err service_start(struct front *front, int listen_fd, void **out)
{
    size_t count = (size_t)front_config(front)->http_loops, started = 0;
    struct http *http = calloc(1, sizeof *http + count * sizeof http->loops[0]);
    if (http == NULL)
        return ERR_NO_MEMORY;
    /* Another loop may accept first: nobody may block in accept. */
    int flags = fcntl(listen_fd, F_GETFL);
    enum err err = ERR_OK;
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        log_errno("fcntl", "the listening socket");
        err = ERR_SYSTEM;
    }
    for (; err == ERR_OK && http->loop_count < count; http->loop_count += err == ERR_OK)
        err = http_loop_open(&http->loops[http->loop_count], front, listen_fd);
    if (err != ERR_OK) {
        close_all(http);
        return err;
    }
    err = start_all(http, &started);
    if (err != ERR_OK) {
        stop_first(http, started);
        return err;
    }
    *out = http;
    return ERR_OK;
}

static void service_stop(void *http)
{
    stop_first(http, ((struct http *)http)->loop_count);
}

const struct front_http http_service = {.start = service_start, .stop = service_stop, .compose = compose_job};
