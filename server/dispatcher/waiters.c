#include "waiters.h"

void waiters_init(struct waiters *waiters)
{
    for (int i = 0; i < WAITER_BUCKETS; i++)
        pthread_mutex_init(&waiters->buckets[i].mutex, NULL);
}

static uint32_t bucket_of(struct id id)
{
    return (uint32_t)id_random(id) % WAITER_BUCKETS;
}

void waiters_add(struct waiters *waiters, struct waiter *waiter)
{
    uint32_t bucket = bucket_of(waiter->id);
    pthread_mutex_lock(&waiters->buckets[bucket].mutex);
    waiter->next = waiters->buckets[bucket].first;
    waiters->buckets[bucket].first = waiter;
    pthread_mutex_unlock(&waiters->buckets[bucket].mutex);
    atomic_fetch_add_explicit(&waiters->count, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}

bool waiters_remove(struct waiters *waiters, struct waiter *waiter)
{
    uint32_t bucket = bucket_of(waiter->id);
    pthread_mutex_lock(&waiters->buckets[bucket].mutex);
    struct waiter **link = &waiters->buckets[bucket].first;
    while (*link != NULL && *link != waiter)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = waiter->next;
    pthread_mutex_unlock(&waiters->buckets[bucket].mutex);
    if (found)
        atomic_fetch_sub_explicit(&waiters->count, 1, memory_order_relaxed);
    return found;
}

struct waiter *waiters_take(struct waiters *waiters, struct id id)
{
    /* What made the job terminal comes before this look; waiters_add comes before its owner's look at the
     * job. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&waiters->count, memory_order_seq_cst) == 0)
        return NULL;
    uint32_t bucket = bucket_of(id);
    struct waiter *taken = NULL;
    pthread_mutex_lock(&waiters->buckets[bucket].mutex);
    struct waiter **link = &waiters->buckets[bucket].first;
    while (*link != NULL) {
        struct waiter *waiter = *link;
        if (!id_equal(waiter->id, id)) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        waiter->next = taken;
        taken = waiter;
        atomic_fetch_sub_explicit(&waiters->count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&waiters->buckets[bucket].mutex);
    return taken;
}
