/* What the files of http share: the loop, its connections, and what libmicrohttpd calls. The only files that
 * know libmicrohttpd are http*.c.
 *
 * Everything here belongs to one loop thread, except for the inbox, the eventfd and `stopping`.
 */
#ifndef FORKPOOL_HTTP_PRIVATE_H
#define FORKPOOL_HTTP_PRIVATE_H

#include "clock.h"
#include "doorbell.h"
#include "http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum { LOGS_PER_SECOND = 5, RECYCLED_MAX = 256, KEPT_BODY_BYTES = 16384, LINGERING_MAX = 128 };

#define LINGER_NS    (2 * NS_PER_SEC)
#define STOP_NS      NS_PER_SEC /* to flush answers */
#define STARVED_MS   20
#define STOP_LENT_NS (3 * NS_PER_SEC) /* to get back what is lent to the front */

/* One connection, from accept to close; while it lingers, after libmicrohttpd has closed it. */
struct http_connection {
    struct MHD_Connection *mhd;
    int fd;
    bool linger; /* closed with unread bytes: drain them, or the client would lose the answer to a reset */
    struct request *request; /* the current one, from its request line to the end of its answer */
    int64_t since_ns;        /* opened, or answered last; closed, when it lingers */
    struct http_connection *next, *previous; /* in `idle`, or in `lingering` */
    struct http_connection_list *list;
};

struct http_connection_list {
    struct http_connection *first, *last;
};

struct http_loop {
    struct front *front;
    struct metrics *metrics;
    const struct config *config;
    struct access_rules rules;   /* the loop's copy */
    struct store_reader *reader; /* owned */
    struct MHD_Daemon *daemon;   /* owned */
    int epoll_fd, event_fd;      /* owned; the first watches connections that linger */
    int mhd_fd;                  /* libmicrohttpd's own epoll */
    pthread_t thread;
    struct inbox inbox;
    struct doorbell bell;
    _Atomic bool stopping;

    int64_t now_ns; /* of this turn */
    int64_t next_sweep_ns, stop_by_ns;
    bool quiesced; /* accepts no more connections */
    bool lent;     /* has ended with requests still lent to the front */
    bool closed;   /* a connection was closed in this turn */
    bool starved;  /* no descriptor for a client that waits; until a connection comes or goes */
    bool refused;  /* that was in this turn */
    bool mute;     /* what libmicrohttpd will say next is our own doing */
    int logged;    /* lines this second */
    struct http_connection_list idle;      /* owe us a request, the longest first */
    struct http_connection_list lingering; /* closed, being drained, the longest first */
    size_t lingering_count, sending_count;
    struct request *suspended; /* doubly linked */
    struct request *recycled;  /* free list */
    size_t recycled_count;
    struct request **deadlines; /* owned: a heap from index 1, the earliest first */
    size_t deadline_count, deadline_room;
};

/* http_loop.c */
enum err http_loop_open(struct http_loop *loop, struct front *front, int listen_fd) MUST_USE;
enum err http_loop_start(struct http_loop *loop) MUST_USE;
void http_loop_stop(struct http_loop *loop); /* asks */
bool http_loop_join(
    struct http_loop *loop); /* waits; false: requests are still lent to the front, keep the loop */
void http_loop_close(struct http_loop *loop);
void http_suspend(struct request *request);

/* http.c: the callbacks */
struct MHD_Daemon *http_daemon_start(struct http_loop *loop, int listen_fd);

/* http_connection.c */
struct http_connection *http_connection_open(struct http_loop *loop, struct MHD_Connection *mhd);
void http_connection_close(struct http_loop *loop, struct http_connection *connection);
void http_connection_busy(struct http_connection *connection); /* a complete request is being handled */
void http_connection_idle(struct http_loop *loop, struct http_connection *connection);
void http_connections_sweep(struct http_loop *loop);
void http_connections_spare(struct http_loop *loop); /* one that is idle ends */
void http_connection_drain(struct http_loop *loop, struct http_connection *connection);
void http_connections_drop(struct http_loop *loop); /* those that linger */

/* http_deadline.c */
void http_deadline_remove(struct request *request);
struct request *http_deadline_take(struct http_loop *loop); /* one that is due, or NULL */
int64_t http_deadline_next(const struct http_loop *loop);   /* INT64_MAX: none */

/* http_request.c */
struct request *http_request_new(struct http_loop *loop);
void http_request_free(struct request *request); /* recycles it */
bool http_request_target(struct request *request, const char *target);
/* Decodes path and query; false with a problem as the reply. */
bool http_request_parameters(struct request *request);

/* http_guard.c: notes the headers; true if the request may go on, else the reply is the refusal. */
bool http_guard(struct request *request, struct MHD_Connection *mhd, const char *version);
/* How many bytes its body may have; and the refusal of more. bytes: how many are announced, or NULL. */
size_t http_body_most(const struct request *request);
void http_too_large(struct request *request, const char *bytes);
/* One that is not well-formed enough to be looked at: fills the reply. */
void http_refuse(struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* http_send.c */
enum MHD_Result http_send(struct request *request, struct MHD_Connection *mhd);
/* Writes the reply to the socket past libmicrohttpd, which cannot answer in the middle of a request. The
 * connection must be closed next. */
void http_send_raw(struct request *request, int fd);

#endif
