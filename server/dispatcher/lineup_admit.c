#include "lineup.h"

enum { RETRY_S = 60, RETRY_MOST_S = 3600 };

/* In which so many jobs start. */
static int64_t retry_after_s(const struct queue *queue, int64_t jobs)
{
    double per_s = (double)atomic_load_explicit(&queue->starts_milli, memory_order_relaxed) / 1000;
    double seconds = per_s > 0 ? (double)jobs / per_s : RETRY_S;
    return seconds < 1 ? 1 : seconds > RETRY_MOST_S ? RETRY_MOST_S : (int64_t)(seconds + 0.999);
}

static int64_t depth(const struct queue *queue)
{
    return atomic_load_explicit(&queue->depth, memory_order_relaxed) +
           atomic_load_explicit(&queue->put_off, memory_order_relaxed);
}

/* reserved: so many places were before. */
static enum err takes(const struct lineup *lineup, const struct queue *queue, int64_t reserved,
                      struct admission *admission)
{
    *admission =
        (struct admission){.depth = depth(queue) + reserved,
                           .max_depth = atomic_load_explicit(&queue->max_depth, memory_order_relaxed),
                           .queue_paused = atomic_load_explicit(&queue->held, memory_order_relaxed),
                           .all_paused = atomic_load_explicit(&lineup->held, memory_order_relaxed),
                           .queue_closed = atomic_load_explicit(&queue->closed, memory_order_relaxed),
                           .all_closed = atomic_load_explicit(&lineup->closed, memory_order_relaxed),
                           .retry_after_s = RETRY_S};
    bool paused = admission->queue_paused || admission->all_paused;
    if (admission->queue_closed || admission->all_closed)
        return ERR_QUEUE_CLOSED;
    if (admission->max_depth == LIMIT_NOT_SET || admission->depth < admission->max_depth)
        return ERR_OK;
    if (!paused)
        admission->retry_after_s = retry_after_s(queue, admission->depth - admission->max_depth + 1);
    return ERR_QUEUE_FULL;
}

enum err lineup_reserve(struct lineup *lineup, struct queue *queue, struct admission *admission)
{
    int64_t before = atomic_fetch_add_explicit(&queue->incoming, 1, memory_order_acquire); /* L4 */
    enum err err = takes(lineup, queue, before, admission);
    if (err != ERR_OK)
        lineup_unreserve(queue);
    return err;
}

enum err lineup_takes(const struct lineup *lineup, const struct queue *queue, struct admission *admission)
{
    return takes(lineup, queue, atomic_load_explicit(&queue->incoming, memory_order_acquire),
                 admission); /* L4 */
}

void lineup_unreserve(struct queue *queue)
{
    /* L3: pairs with L4. Who sees the place given up sees the depth that has risen for it: a job that arrives
     * is never counted in neither. */
    atomic_fetch_sub_explicit(&queue->incoming, 1, memory_order_release);
}

void lineup_put_off(struct lineup *lineup, const char *queue, int64_t jobs)
{
    atomic_fetch_add_explicit(&lineup_queue(lineup, queue)->put_off, jobs, memory_order_relaxed);
}
