/* The one table of routes. Dispatch, 404 and 405, the index at / and the check of openapi.yaml derive from
 * it.
 *
 * Loop threads. Handlers get a request whose route is known, whose query holds only parameters that the route
 * has, and whose body, if the route takes one, is application/json (of ROUTE_LINES application/x-ndjson) or
 * empty.
 */
#ifndef FORKPOOL_ROUTES_H
#define FORKPOOL_ROUTES_H

#include "http.h"
#include "token.h"

enum route_flags {
    ROUTE_BODY = 1, /* takes a JSON body */
    ROUTE_LINES = 2 /* takes NDJSON, as it comes (http.h) */
};

struct route {
    const char *method, *path; /* a template: {id} and {task} stand for one segment */
    handler_fn *handler;
    const char *name;       /* the operationId */
    const char *parameters; /* of the query, separated by spaces */
    unsigned flags;
    enum scope scope;              /* what a token must allow */
    const char *summary, *example; /* what would be typed after `curl`, or NULL */
};

extern const struct route routes[];
extern const size_t route_count;

/* Is it for a route with ROUTE_LINES? */
bool routes_take_lines(const struct request *request);

/* Finds the handler and calls it, or answers 401, 403, 404, 405, 415 or 422. */
enum answer routes_dispatch(struct request *request);

/* The table as lines "METHOD PATH name scope parameters…", for the test of openapi.yaml and for people. */
void routes_print(struct buf *out);

/* Does a template match a path? *capture is what its placeholder stands for, borrowed from path. */
bool routes_match(const char *template, const char *path, struct text *capture);

/* A path that the client may have meant, written to `out`; false if none is near. */
bool routes_nearest(const char *path, char *out, size_t room);

#endif
