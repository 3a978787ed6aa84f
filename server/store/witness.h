/* A witness in a store: triggers that note what should never happen to a row, whoever does it. For the
 * scratch store of `forkpool torture` alone.
 *
 * Noted is each UPDATE of a row that is in a terminal state, and each DELETE of one that is not. A job that
 * is run again on request is a change of its terminal row, too: who watches knows of which it was asked. The
 * notes lie in a table of their own, `witness`, written in the transaction of the change.
 *
 * Errors as of store.h.
 */
#ifndef FORKPOOL_WITNESS_H
#define FORKPOOL_WITNESS_H

#include "store.h"

/* Makes the store if there is none. Nothing else may have it open. */
enum err witness_install(const char *url, struct buf *message) MUST_USE;

struct witness_note {
    struct id id;
    enum job_state before, after;
    bool deleted; /* then there is no `after` */
};

/* All notes, oldest first. ERR_STORE_FAILED also if there is no witness in that store. */
typedef void witness_fn(void *context, const struct witness_note *note);
enum err witness_read(const char *url, witness_fn *visit, void *context) MUST_USE;

#endif
