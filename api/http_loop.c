#include "http_private.h"

#include "check.h"
#include "title.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void wake_loop(struct doorbell *bell)
{
    struct http_loop *loop = (void *)((char *)bell - offsetof(struct http_loop, bell));
    uint64_t one = 1;
    if (write(loop->event_fd, &one, sizeof one) < 0)
        log_errno("write", "the eventfd of an HTTP loop");
}

void http_wake(struct wake *wake)
{
    struct http_loop *loop = wake->request->loop; /* before the push: after it the request may be gone */
    if (inbox_push(&loop->inbox, &wake->node))
        doorbell_ring(&loop->bell);
}

void http_suspend(struct request *request)
{
    struct http_loop *loop = request->loop;
    request->suspended = true;
    request->previous = NULL;
    request->next = loop->suspended;
    if (loop->suspended != NULL)
        loop->suspended->previous = request;
    loop->suspended = request;
}

/* Something that the request waits for has happened. woken NULL: its time is over, or the server stops. */
static void go_on(struct request *request, struct wake *woken)
{
    struct http_loop *loop = request->loop;
    request->woken = woken;
    if (request->then(request) == SUSPENDED)
        return;
    CHECK(!request->errand_wake.open && !request->waiter_wake.open &&
          request->lent == 0); /* http.h, rule 2 */
    http_deadline_remove(request);
    if (request->next != NULL)
        request->next->previous = request->previous;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        loop->suspended = request->next;
    request->suspended = false;
    request->answered = true;
    MHD_resume_connection(request->connection->mhd);
}

static void take_wakes(struct http_loop *loop)
{
    struct inbox_node *node = inbox_take(&loop->inbox), *next;
    for (; node != NULL; node = next) {
        struct wake *wake = (struct wake *)((char *)node - offsetof(struct wake, node));
        next = node->next; /* the request may be recycled by go_on */
        wake->open = false;
        go_on(wake->request, wake);
    }
}

static void take_deadlines(struct http_loop *loop)
{
    struct request *request;
    while ((request = http_deadline_take(loop)) != NULL) {
        request->expired = true;
        go_on(request, NULL);
    }
}

static void sweep(struct http_loop *loop)
{
    if (loop->now_ns < loop->next_sweep_ns)
        return;
    loop->next_sweep_ns = loop->now_ns + NS_PER_SEC;
    loop->logged = 0;
    http_connections_sweep(loop);
}

/* Milliseconds until there is something to do though no descriptor says so; -1: never. */
static int patience(const struct http_loop *loop)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    int64_t until = http_deadline_next(loop);
    if (loop->closed) /* if the limit was reached, libmicrohttpd listens again only when it is run once more
                       */
        return 0;
    if (MHD_get_timeout(loop->daemon, &mhd_ms) == MHD_YES) {
        if (mhd_ms == 0)
            return 0;
        if (mhd_ms < 3600000 && loop->now_ns + (int64_t)mhd_ms * NS_PER_MS < until)
            until = loop->now_ns + (int64_t)mhd_ms * NS_PER_MS;
    }
    if ((loop->idle.first != NULL || loop->lingering.first != NULL) && loop->next_sweep_ns < until)
        until = loop->next_sweep_ns;
    if (loop->quiesced && loop->now_ns + 20 * NS_PER_MS < until)
        until = loop->now_ns + 20 * NS_PER_MS;
    if (until == INT64_MAX)
        return -1;
    return until <= loop->now_ns ? 0 : (int)((until - loop->now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void drain(struct http_loop *loop)
{
    enum { EVENTS = 16 };
    struct epoll_event events[EVENTS];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++)
        http_connection_drain(loop, events[i].data.ptr);
}

/* poll(2), for an epoll that lies in another one makes each connection that is added to it pass a mutex of
 * the whole kernel (ep_insert looks for circles). */
static void wait_for_events(struct http_loop *loop)
{
    enum { CONNECTIONS, WAKES, LINGERING, DESCRIPTORS };
    uint64_t spent;
    struct pollfd fds[DESCRIPTORS] = {[CONNECTIONS] = {.fd = loop->mhd_fd, .events = POLLIN},
                                      [WAKES] = {.fd = loop->event_fd, .events = POLLIN},
                                      [LINGERING] = {.fd = loop->epoll_fd, .events = POLLIN}};
    int count = poll(fds, DESCRIPTORS, patience(loop));
    loop->now_ns = clock_mono_ns();
    if (count <= 0)
        return;
    if (fds[WAKES].revents != 0 && read(loop->event_fd, &spent, sizeof spent) < 0 && errno != EAGAIN)
        log_errno("read", "the eventfd of an HTTP loop");
    if (fds[LINGERING].revents != 0)
        drain(loop);
}

/* No more connections, and whoever waits is answered with what there is. */
static void quiesce(struct http_loop *loop)
{
    loop->quiesced = true;
    loop->stop_by_ns = loop->now_ns + STOP_NS;
    int listen_fd = MHD_quiesce_daemon(loop->daemon);
    if (listen_fd >= 0)
        close(listen_fd);
    for (struct request *request = loop->suspended, *next; request != NULL; request = next) {
        next = request->next;
        request->stopping = true;
        go_on(request, NULL);
    }
}

static bool over(struct http_loop *loop)
{
    if (!loop->quiesced)
        return false;
    if (loop->suspended != NULL)
        return loop->now_ns >= loop->stop_by_ns + STOP_LENT_NS;
    return loop->sending_count == 0 || loop->now_ns >= loop->stop_by_ns;
}

/* Without a descriptor a client that waits makes the listening socket ready again at once, over and over. And
 * once there are some again, libmicrohttpd accepts only after a connection of its own has gone. */
static void make_room(struct http_loop *loop)
{
    if (loop->refused)
        clock_sleep_ms(STARVED_MS);
    loop->refused = false;
    http_connections_spare(loop);
}

static void *run(void *context)
{
    struct http_loop *loop = context;
    title_thread("http loop");
    do {
        wait_for_events(loop);
        if (!loop->quiesced && atomic_load_explicit(&loop->stopping, memory_order_acquire))
            quiesce(loop);
        doorbells_hold();
        take_wakes(loop);
        take_deadlines(loop);
        sweep(loop);
        loop->closed = false;
        MHD_run(loop->daemon);
        doorbells_release();
        if (loop->starved)
            make_room(loop);
    } while (!over(loop));
    loop->lent = loop->suspended != NULL;
    if (!loop->lent) { /* libmicrohttpd aborts when it is stopped with suspended connections */
        MHD_stop_daemon(loop->daemon);
        loop->daemon = NULL;
        http_connections_drop(loop);
    }
    return NULL;
}

static enum err open_descriptors(struct http_loop *loop, int listen_fd)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_fd < 0 || loop->event_fd < 0) {
        log_errno(loop->epoll_fd < 0 ? "epoll_create1" : "eventfd", "an HTTP loop");
        return ERR_SYSTEM;
    }
    /* libmicrohttpd closes the socket that it is given, and several loops accept from one. */
    int own = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        log_errno("fcntl", "the listening socket");
        return ERR_SYSTEM;
    }
    loop->daemon = http_daemon_start(loop, own);
    if (loop->daemon == NULL) {
        LOG(HTTP_ERROR, LOG_TEXT("error", "libmicrohttpd did not start"));
        close(own);
        return ERR_SYSTEM;
    }
    loop->mhd_fd = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return ERR_OK;
}

enum err http_loop_open(struct http_loop *loop, struct front *front, int listen_fd)
{
    memset(loop, 0, sizeof *loop);
    loop->epoll_fd = loop->event_fd = -1;
    loop->front = front;
    loop->bell.wake = wake_loop;
    loop->metrics = front_metrics(front);
    loop->config = front_config(front);
    loop->now_ns = clock_mono_ns();
    enum err err = store_reader_open(loop->config->store_url, &loop->reader);
    if (err == ERR_OK)
        err = open_descriptors(loop, listen_fd);
    if (err != ERR_OK)
        http_loop_close(loop);
    return err;
}

enum err http_loop_start(struct http_loop *loop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int error = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return ERR_OK;
    errno = error;
    log_errno("pthread_create", "an HTTP loop");
    return ERR_SYSTEM;
}

void http_loop_stop(struct http_loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    wake_loop(&loop->bell);
}

bool http_loop_join(struct http_loop *loop)
{
    pthread_join(loop->thread, NULL);
    return !loop->lent;
}

void http_loop_close(struct http_loop *loop)
{
    if (loop->daemon != NULL)
        MHD_stop_daemon(loop->daemon);
    for (struct request *request = loop->recycled, *next; request != NULL; request = next) {
        next = request->next;
        buf_fini(&request->body);
        free(request);
    }
    free(loop->deadlines);
    if (loop->event_fd >= 0)
        close(loop->event_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->reader != NULL)
        store_reader_close(loop->reader);
}
