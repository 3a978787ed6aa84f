#include "hot.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum err hot_init(struct hot *hot, uint32_t slot_count)
{
    *hot = (struct hot){.bucket_count = 1};
    while (hot->bucket_count < slot_count)
        hot->bucket_count *= 2;
    if (hot->bucket_count < HOT_STRIPES)
        hot->bucket_count = HOT_STRIPES;
    hot->buckets = calloc(hot->bucket_count, sizeof *hot->buckets);
    hot->next = calloc(slot_count, sizeof *hot->next);
    hot->ids = calloc(slot_count, sizeof *hot->ids);
    if (hot->buckets == NULL || hot->next == NULL || hot->ids == NULL) {
        hot_fini(hot);
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < HOT_STRIPES; i++)
        pthread_mutex_init(&hot->stripes[i], NULL);
    return ERR_OK;
}

void hot_fini(struct hot *hot)
{
    free(hot->buckets);
    free(hot->next);
    free(hot->ids);
    *hot = (struct hot){0};
}

/* Buckets hold slot + 1, so that the zeroed pages of calloc are empty buckets. The random bits spread well.
 */
static uint32_t bucket_of(const struct hot *hot, struct id id)
{
    return (uint32_t)id_random(id) & (hot->bucket_count - 1);
}

static pthread_mutex_t *lock_bucket(struct hot *hot, uint32_t bucket)
{
    pthread_mutex_t *stripe = &hot->stripes[bucket % HOT_STRIPES];
    pthread_mutex_lock(stripe);
    return stripe;
}

void hot_add(struct hot *hot, struct id id, uint32_t slot)
{
    uint32_t bucket = bucket_of(hot, id);
    pthread_mutex_t *stripe = lock_bucket(hot, bucket);
    hot->ids[slot] = id;
    hot->next[slot] = hot->buckets[bucket];
    hot->buckets[bucket] = slot + 1;
    pthread_mutex_unlock(stripe);
}

void hot_remove(struct hot *hot, uint32_t slot)
{
    uint32_t bucket = bucket_of(hot, hot->ids[slot]);
    pthread_mutex_t *stripe = lock_bucket(hot, bucket);
    uint32_t *link = &hot->buckets[bucket];
    while (*link != slot + 1) {
        CHECK(*link != 0);
        link = &hot->next[*link - 1];
    }
    *link = hot->next[slot];
    pthread_mutex_unlock(stripe);
}

uint32_t hot_find(struct hot *hot, struct id id)
{
    uint32_t bucket = bucket_of(hot, id);
    pthread_mutex_t *stripe = lock_bucket(hot, bucket);
    uint32_t at = hot->buckets[bucket];
    while (at != 0 && !id_equal(hot->ids[at - 1], id))
        at = hot->next[at - 1];
    pthread_mutex_unlock(stripe);
    return at == 0 ? HOT_NONE : at - 1;
}
