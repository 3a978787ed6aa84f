/* POST /v1/jobs/bulk: what its files share. The request comes line by line (bulk_read.c), is put in order,
 * sent to the server (handlers_bulk.c) and answered (bulk_answer.c).
 *
 * Loop thread only. One struct bulk_request a request, which owns it (request->own).
 */
#ifndef FORKPOOL_BULK_H
#define FORKPOOL_BULK_H

#include "bulk_graph.h"
#include "bulk_lines.h"
#include "http.h"
#include "problem.h"

enum {
    BULK_LINES_MAX = 10000,
    BULK_KEY_MAX = 120, /* characters of its Idempotency-Key: "#" and a line's number are added */
    BULK_FAULTS_MAX = 16,
    BULK_LOOKS_MAX = 256 /* lines whose refusal is explained by a look at the other job */
};

struct bulk_request {
    struct request *request;           /* borrowed */
    const struct catalogue *catalogue; /* borrowed while lines are read */
    bool atomic;
    bool batch, batch_said; /* the jobs become a batch; the query says whether */
    struct id batch_id;     /* the id that the batch has, or would have had; zero: none */
    const char *key;        /* Idempotency-Key of the whole; NULL: none */

    struct bulk_lines lines;
    struct bulk_entry *entries; /* owned */
    size_t count, room;
    size_t unreadable;      /* lines that are no JSON at all */
    struct id print;        /* of all lines so far, for the fingerprints of keyed jobs */
    struct problem problem; /* of the lines, or of the whole if `fatal` */
    bool fatal, over;       /* over: further lines are not looked at */

    struct bulk_graph graph;
    struct bulk bulk;      /* lines are owned: one for each entry */
    int64_t retry_after_s; /* of those that were not admitted; 0: none */
    size_t not_admitted;   /* how many */
    size_t looks;          /* at other jobs so far */
    bool never;            /* they are more for one queue than it may hold */
};

/* bulk_read.c: what a request brings. */
piece_fn bulk_take;
void bulk_end(struct bulk_request *bulk);
/* What is wrong with an entry: it is refused. fault->line is its line. */
void bulk_refuse(struct bulk_request *bulk, size_t at, const struct problem *fault);
void bulk_free(void *bulk);

/* bulk_answer.c */
/* Adds Retry-After if err is a refusal of front_admit. */
void bulk_say_when(struct bulk_request *bulk, enum err err);
enum answer bulk_answer_ids(struct bulk_request *bulk);
enum answer bulk_answer_lines(struct bulk_request *bulk);

#endif
