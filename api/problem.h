/* Problem documents (RFC 9457): every error that a client sees.
 *
 * A problem gathers one or more faults; the first gives code, status and detail, all are listed in errors[]
 * if they have a place. Owned by its user; problem_fini releases it. One thread at a time.
 *
 *     PROBLEM_AUTO problem = {0};
 *     problem_add(&problem, ERR_INVALID_FIELD, PLACE_POINTER, "/priority", "priority is %d, but …", n);
 *     if (problem.err != ERR_OK)
 *         return problem_reply(request, &problem);
 */
#ifndef FORKPOOL_PROBLEM_H
#define FORKPOOL_PROBLEM_H

#include "http.h"

/* Where a fault lies: how errors[] calls it. */
#define PROBLEM_PLACES(P)                                                                                    \
    P(POINTER, "pointer")     /* a JSON pointer into the body */                                             \
    P(PARAMETER, "parameter") /* a query parameter */                                                        \
    P(HEADER, "header")

enum problem_place {
#define P(name, text) PLACE_##name,
    PROBLEM_PLACES(P)
#undef P
};

struct problem {
    enum err err; /* ERR_OK: none so far */
    size_t count; /* faults with a place */
    size_t most;  /* how many are listed; 0: all */
    size_t line;  /* pointers are into this line of the body, from 1; 0: into the body */
    struct buf detail, hint;
    struct buf errors; /* JSON objects, separated by commas */
    struct buf extra;  /* more members, each as ,"name":value */
    bool for_good;     /* the same request can never succeed: no Retry-After */
    const char *base;  /* what the pointers of faults are relative to, borrowed; NULL: the body */
};

void problem_fini(struct problem *problem);
#define PROBLEM_AUTO __attribute__((cleanup(problem_fini))) struct problem

/* A fault at a place. `where` is the JSON pointer or the name. */
void problem_add(struct problem *problem, enum err err, enum problem_place place, const char *where,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A fault without a place; does nothing if there is one already. */
void problem_set(struct problem *problem, enum err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What is wrong with a line (from->line) goes to what is wrong with the whole, named as that line's. */
void problem_merge(struct problem *into, const struct problem *from);

/* What to do next; the first one stays. */
void problem_hint(struct problem *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The document. */
void problem_write(const struct problem *problem, const char *request_id, struct buf *out);

/* Makes it the reply, with Retry-After where the status wants one. Returns ANSWERED. */
enum answer problem_reply(struct request *request, const struct problem *problem);

/* The same for a single fault without a place. hint may be NULL. */
enum answer problem_answer(struct request *request, enum err err, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Errors of front and store, for which there is nothing more to say than their own sentence. */
enum answer problem_plain(struct request *request, enum err err);

#endif
