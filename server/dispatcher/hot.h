/* The hot index: which slot holds a job, by id. The dispatcher writes, every thread of the front reads.
 *
 * Striped mutexes, private to the front. An answer is a hint: the slot may have been freed meanwhile;
 * slot_copy checks. A new front rebuilds it from the slots.
 */
#ifndef FORKPOOL_HOT_H
#define FORKPOOL_HOT_H

#include "err.h"
#include "ids.h"

#include <pthread.h>
#include <stdint.h>

enum { HOT_STRIPES = 64 };

struct hot {
    uint32_t bucket_count;    /* a power of two ≥ the slots */
    uint32_t *buckets, *next; /* owned; slot numbers, HOT_NONE ends a chain */
    struct id *ids;           /* owned, [slots] */
    pthread_mutex_t stripes[HOT_STRIPES];
};

#define HOT_NONE UINT32_MAX

enum err hot_init(struct hot *hot, uint32_t slot_count) MUST_USE;
void hot_fini(struct hot *hot);

/* Dispatcher. The id must not be in it yet. */
void hot_add(struct hot *hot, struct id id, uint32_t slot);
void hot_remove(struct hot *hot, uint32_t slot);

/* HOT_NONE if no slot holds it. */
uint32_t hot_find(struct hot *hot, struct id id);

#endif
