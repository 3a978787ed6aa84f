#include "http_private.h"
#include "problem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void list_add(struct http_connection_list *list, struct http_connection *connection)
{
    connection->list = list;
    connection->next = NULL;
    connection->previous = list->last;
    if (list->last != NULL)
        list->last->next = connection;
    else
        list->first = connection;
    list->last = connection;
}

static void list_remove(struct http_connection *connection)
{
    struct http_connection_list *list = connection->list;
    if (list == NULL)
        return;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    else
        list->last = connection->previous;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        list->first = connection->next;
    connection->list = NULL;
}

struct http_connection *http_connection_open(struct http_loop *loop, struct MHD_Connection *mhd)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->mhd = mhd;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    loop->starved = false;
    atomic_fetch_add_explicit(&loop->metrics->http_connections, 1, memory_order_relaxed);
    http_connection_idle(loop, connection);
    return connection;
}

/* libmicrohttpd is about to close its descriptor; a duplicate keeps the connection while its bytes are
 * drained. */
static bool begin_linger(struct http_loop *loop, struct http_connection *connection)
{
    if (!connection->linger || loop->lingering_count >= LINGERING_MAX)
        return false;
    connection->fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
    if (connection->fd < 0)
        return false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    shutdown(connection->fd, SHUT_WR);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        close(connection->fd);
        return false;
    }
    connection->since_ns = loop->now_ns;
    list_add(&loop->lingering, connection);
    loop->lingering_count++;
    return true;
}

void http_connection_close(struct http_loop *loop, struct http_connection *connection)
{
    atomic_fetch_sub_explicit(&loop->metrics->http_connections, 1, memory_order_relaxed);
    loop->closed = true;
    loop->starved = false;
    list_remove(connection);
    if (!begin_linger(loop, connection))
        free(connection);
}

void http_connection_busy(struct http_connection *connection)
{
    list_remove(connection);
}

void http_connection_idle(struct http_loop *loop, struct http_connection *connection)
{
    list_remove(connection);
    connection->since_ns = loop->now_ns;
    list_add(&loop->idle, connection);
}

static void end_linger(struct http_loop *loop, struct http_connection *connection)
{
    list_remove(connection);
    loop->lingering_count--;
    close(connection->fd);
    free(connection);
}

void http_connection_drain(struct http_loop *loop, struct http_connection *connection)
{
    char waste[16384];
    ssize_t bytes = recv(connection->fd, waste, sizeof waste, MSG_DONTWAIT);
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
        end_linger(loop, connection);
}

void http_connections_drop(struct http_loop *loop)
{
    while (loop->lingering.first != NULL)
        end_linger(loop, loop->lingering.first);
}

/* Its time is over. Whoever has begun a request is told; then both directions end, and libmicrohttpd closes
 * it. */
static void give_up(struct http_loop *loop, struct http_connection *connection)
{
    struct request *request = connection->request;
    if (request != NULL) {
        long long seconds = loop->config->http_request_timeout_ms / 1000;
        if (request->id[0] == '\0')
            id_format(id_new(), request->id);
        problem_answer(request, ERR_REQUEST_TIMEOUT, NULL, "the request was not complete within %lld seconds",
                       seconds);
        http_send_raw(request, connection->fd);
    }
    shutdown(connection->fd, SHUT_RDWR);
    http_connection_idle(loop, connection); /* to the end of the list */
}

void http_connections_spare(struct http_loop *loop)
{
    struct http_connection *connection = loop->idle.first;
    while (connection != NULL && connection->request != NULL)
        connection = connection->next;
    if (connection != NULL)
        give_up(loop, connection);
}

/* libmicrohttpd takes a short read for all that there is. If the client had closed by then, nothing tells it
 * of that, and half a request would keep its memory until its time is over. */
static void end_if_gone(const struct http_connection *connection)
{
    char byte;
    if (recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        shutdown(connection->fd, SHUT_RDWR);
}

void http_connections_sweep(struct http_loop *loop)
{
    int64_t patience_ns = loop->config->http_request_timeout_ms * NS_PER_MS;
    struct http_connection *first;
    for (first = loop->idle.first; first != NULL; first = first->next) {
        if (first->request != NULL)
            end_if_gone(first);
    }
    while ((first = loop->idle.first) != NULL && loop->now_ns - first->since_ns >= patience_ns)
        give_up(loop, first);
    while ((first = loop->lingering.first) != NULL && loop->now_ns - first->since_ns >= LINGER_NS)
        end_linger(loop, first);
}
