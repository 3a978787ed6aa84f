/* The jobs of one bulk request and which of them wait for which: "@ref" and "@batch" in `after` become ids.
 *
 * Pure; one thread at a time. A job names itself by EXTRA_REF, and waits for those that EXTRA_AFTER names,
 * before or behind it in the request. One that waits for "@batch" is a follower: it waits for all that are
 * none.
 *
 *  1. Nothing here recurses: a chain may be as long as the request.
 *  2. An entry that has a fault is only ever reported once.
 *
 *     struct bulk_graph graph = {.entries = …, .count = …, .batch = …, .fault = …, .context = …};
 *     if (bulk_graph_read(&graph) != ERR_OK) …            no memory
 *     for each of graph.order: bulk_graph_refused(…)      those before it come first
 *     if (bulk_graph_rewrite(&graph) != ERR_OK) …
 *     bulk_graph_fini(&graph);
 */
#ifndef FORKPOOL_BULK_GRAPH_H
#define FORKPOOL_BULK_GRAPH_H

#include "job.h"

#include <stddef.h>

/* One job of the request. */
struct bulk_entry {
    struct job *job;      /* a reference; NULL: its line could not be read */
    size_t number;        /* of its line in the body, from 1 */
    enum err err;         /* why it is refused; OK: not so far */
    char ref[NAME_BYTES]; /* "": none */
    /* Not the graph's business (bulk.h). */
    enum err otherwise;      /* not admitted, but it may stand already: wanted only then, else refused so */
    char *detail;            /* owned: the sentence for err; or NULL */
    bool admitted;           /* a place in its queue is reserved */
    bool replayed, returned; /* the job of `id` is what it stands for */
    struct id id;
};

/* The err of the entry is set already. where: a JSON pointer into the job. */
typedef void bulk_fault_fn(void *context, size_t at, enum err err, const char *where, const char *detail);

struct bulk_graph {
    struct bulk_entry *entries; /* borrowed */
    size_t count;
    struct id batch; /* zero: "@batch" means nothing */
    bulk_fault_fn *fault;
    void *context;

    uint32_t *order; /* owned: places of all entries; who is waited for comes first, else as they came */
    size_t *first;   /* owned, [count + 1]: where what entry i waits for begins in `befores` */
    size_t *befores; /* owned: places of entries */
    bool *follows;   /* owned: the followers */
};

/* Whether any of these has to do with another. */
bool bulk_graph_needed(const struct bulk_entry *entries, size_t count);

/* Finds who waits for whom, and the order. Faults: refs that are not there, or there twice
 * (ERR_INVALID_FIELD, ERR_UNKNOWN_DEPENDENCY), circles (ERR_CYCLE). */
enum err bulk_graph_read(struct bulk_graph *graph) MUST_USE;

/* One that entry `at` waits for and that is refused; NULL: there is none. For a follower: any of the others,
 * if all of them are. */
const struct bulk_entry *bulk_graph_refused(const struct bulk_graph *graph, size_t at);

/* Writes ids for refs into the extras of all entries that are not refused, and marks the followers. */
enum err bulk_graph_rewrite(struct bulk_graph *graph) MUST_USE;

void bulk_graph_fini(struct bulk_graph *graph);

#endif
