/* The checkpointer: copies the store's write-ahead log into its main file on a connection of its own, so that
 * no commit waits for it; checks the file after an unclean stop; has old idempotency keys swept; and lets
 * retention.h find and delete what is old. */
#ifndef FORKPOOL_CHECKPOINTER_H
#define FORKPOOL_CHECKPOINTER_H

#include "committer.h"
#include "retention.h"

struct checkpointer {
    struct store_checkpointer *store; /* owned */
    struct committer *committer;
    struct retention retention;
    bool check; /* the last stop was unclean */
    _Atomic bool stop;
    sem_t wake;
    pthread_t thread;
};

enum err checkpointer_start(struct checkpointer *checkpointer, const struct config *config,
                            struct committer *committer, bool check) MUST_USE;
void checkpointer_stop(struct checkpointer *checkpointer);

#endif
