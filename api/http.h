/* HTTP without libmicrohttpd: what a request brought, what its answer will be, and how it waits in between.
 *
 * A handler runs on the HTTP loop that owns the request and never on another thread. It fills request->reply
 * and returns ANSWERED, or sets request->then and returns SUSPENDED; then `then` is called on the same loop
 * after each wake, until it returns ANSWERED.
 *
 * The handler of a route with ROUTE_LINES is called before the body is there. Its SUSPENDED means: let the
 * body come; then `take` is called with each piece of it, and `then` at its end.
 *
 *  1. Another thread touches a request only by http_wake, with a wake that lies in it.
 *  2. A request is answered only when none of its wakes can still come. Wakes of its own, beyond the two that
 * each request has, are counted in `lent` by whoever opens them; `woken` is which one `then` is called for.
 *  3. Bytes had from request_alloc and its friends live until the answer was sent. Header values and the path
 * are borrowed from the request in the same way.
 */
#ifndef FORKPOOL_HTTP_H
#define FORKPOOL_HTTP_H

#include "access.h"
#include "buf.h"
#include "err.h"
#include "front.h"
#include "inbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer { ANSWERED, SUSPENDED };

struct request;
struct route;
struct action_run;
typedef enum answer handler_fn(struct request *request);
typedef void piece_fn(struct request *request, const char *data, size_t bytes);

/* The headers that are looked at. name, text */
#define HTTP_HEADERS(H)                                                                                      \
    H(HOST, "Host")                                                                                          \
    H(ORIGIN, "Origin")                                                                                      \
    H(AUTHORIZATION, "Authorization")                                                                        \
    H(CONTENT_TYPE, "Content-Type")                                                                          \
    H(CONTENT_LENGTH, "Content-Length")                                                                      \
    H(TRANSFER_ENCODING, "Transfer-Encoding")                                                                \
    H(ACCEPT, "Accept")                                                                                      \
    H(PREFER, "Prefer")                                                                                      \
    H(IF_NONE_MATCH, "If-None-Match")                                                                        \
    H(IDEMPOTENCY_KEY, "Idempotency-Key")                                                                    \
    H(TRACEPARENT, "traceparent")                                                                            \
    H(X_REQUEST_ID, "X-Request-Id")

enum header {
#define H(name, text) HEADER_##name,
    HTTP_HEADERS(H)
#undef H
        HEADER_COUNT
};

enum {
    REQUEST_SPACE_BYTES = 4096, /* what does not fit is allocated apart */
    REQUEST_ID_BYTES = 65,
    PARAMETERS_MAX = 32,
    REPLY_HEADERS_MAX = 10
};

struct parameter {
    const char *name, *value; /* decoded */
};

struct reply {
    int status;
    const char *content_type; /* static */
    struct buf body;          /* owned */
    const void *fixed;        /* instead of body: bytes that live for ever */
    size_t fixed_bytes;
    int file; /* instead of body: an owned descriptor, else -1 */
    int64_t file_at, file_bytes;
    struct parameter headers[REPLY_HEADERS_MAX]; /* static or in the request's space */
    size_t header_count;
    bool close; /* this was the connection's last request */
};

/* Something that another thread will say to a suspended request, once. */
struct wake {
    struct inbox_node node;
    struct request *request;
    bool open; /* it is still to come; the loop's */
};

struct request {
    /* What it brought. */
    const char *method;
    char *path;       /* decoded, without query */
    char *query;      /* raw, "" if there is none */
    const char *host; /* of the Host header or an absolute target; NULL if there is none */
    struct parameter parameters[PARAMETERS_MAX];
    size_t parameter_count;
    const char *headers[HEADER_COUNT]; /* the first of each name, or NULL */
    uint8_t header_counts[HEADER_COUNT];
    struct buf body;
    size_t body_bytes; /* how many have come */
    char id[REQUEST_ID_BYTES];
    int64_t started_ns; /* monotonic: when it was complete */

    /* Where it is handled. */
    const struct route *route;
    const char *capture; /* what {id}, {task} and so on stand for */
    struct front *front;
    struct store_reader *reader; /* the loop's own */

    struct reply reply;

    piece_fn *take; /* of the body as it comes; NULL: it is gathered */
    void *own;      /* the handler's; released with the request by own_free */
    void (*own_free)(void *own);

    /* While it waits for the front (await.h). */
    handler_fn *then;
    handler_fn *answer; /* await_job's */
    struct errand errand;
    struct waiter waiter;
    struct wake errand_wake, waiter_wake;
    struct wake *woken;         /* the wake that `then` is called for; NULL: a deadline, or the stop */
    size_t lent;                /* wakes that are still to come, besides these two */
    struct action_run *action;  /* action.c's */
    struct job *job;            /* a reference: what was submitted or read last */
    struct job *ended;          /* a reference: what the waiter brought */
    bool unwait_failed;         /* its notify is on the way */
    bool expired;               /* the time to wait is over */
    bool stopping;              /* the server stops: answer as soon as can be */
    bool acknowledged;          /* the errand's answer was looked at */
    bool replayed, returned;    /* handlers_submit: it stood already, by its idempotency or uniqueness key */
    bool call;                  /* handlers_submit */
    enum err refusal;           /* the job was not admitted, but may be a replay all the same */
    struct admission admission; /* with that refusal, … */
    struct look *start;         /* … or if it would be too late; in the request's space */
    bool admitted;              /* a place is reserved that the job may not come to take */
    int64_t wait_ms;
    int64_t deadline_ns;
    size_t deadline_at; /* place among the loop's deadlines, from 1; 0: none */

    /* http's own. */
    struct http_loop *loop;
    struct http_connection *connection;
    struct request *next, *previous; /* free list; list of the suspended */
    struct request_chunk *chunks;    /* owned */
    bool malformed;                  /* the target holds what no target may hold */
    bool guarded, answered, suspended, sending;
    size_t used;
    _Alignas(int64_t) char space[REQUEST_SPACE_BYTES];
};

/* For request->then's sake: from any thread. The request may be gone once this returns. */
void http_wake(struct wake *wake);

/* Loop thread: `then` is called with `expired` at that time (monotonic), unless it was answered before. */
void http_expire_at(struct request *request, int64_t deadline_ns);

/* Who may do what, as of now; borrowed until the next call on this loop. */
const struct access_rules *http_rules(struct request *request);

/* The loop's connection to the store. Reading may take long, so who is still to be woken is woken first. */
struct store_reader *request_reader(struct request *request);

/* NULL without memory. request_printf never is: then it is "". */
char *request_alloc(struct request *request, size_t bytes);
void *request_new(struct request *request, size_t bytes); /* zeroed, and aligned for pointers and int64_t */
const char *request_printf(struct request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The value of a query parameter, or NULL. */
const char *request_parameter(const struct request *request, const char *name);

/* name is static, value static or in the request's space. */
void reply_header(struct request *request, const char *name, const char *value);

/* Begins a JSON answer; write into the returned buffer. */
struct buf *reply_json(struct request *request, int status);

/* The HTTP side, for the front (front.h). */
extern const struct front_http http_service;

#endif
