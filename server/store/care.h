/* What a start does for its store before anything is served. Called by the front, with the lock of the state
 * folder held: the marker of a failed sync is there    the store is rewritten, then the marker removed the
 * disk is full                        the ballast is given up, so that results can still be recorded Then the
 * store is opened. */
#ifndef FORKPOOL_CARE_H
#define FORKPOOL_CARE_H

#include "ballast.h"
#include "config.h"
#include "store.h"

/* Errors as of store_open, with the same `message` for people. Initializes ballast. */
enum err care_open_store(const struct config *config, struct ballast *ballast, struct store **store,
                         struct buf *message) MUST_USE;

#endif
