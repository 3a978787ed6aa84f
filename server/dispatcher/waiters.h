/* Who waits for the end of which job. Any thread of the front; a mutex per stripe.
 *
 * Register first, then look at the job: an end that the look does not see yet finds the waiter.
 */
#ifndef FORKPOOL_WAITERS_H
#define FORKPOOL_WAITERS_H

#include "front.h"

#include <pthread.h>

enum { WAITER_BUCKETS = 1024 };

struct waiters {
    _Atomic int64_t count; /* a hint that spares the lock when nobody waits */
    struct {
        pthread_mutex_t mutex;
        struct waiter *first;
    } buckets[WAITER_BUCKETS];
};

void waiters_init(struct waiters *waiters);
void waiters_add(struct waiters *waiters, struct waiter *waiter);
/* True: taken out. False: it was notified, or is being notified. */
bool waiters_remove(struct waiters *waiters, struct waiter *waiter);

/* All that wait for this id, taken out, as a list; NULL if none. Notify each with a reference of its own. */
struct waiter *waiters_take(struct waiters *waiters, struct id id);

#endif
