#include "dispatcher.h"

#include "check.h"
#include "ring.h"
#include "scoreboard.h"

enum { POOL = 0 };

static bool publish_one(struct dispatcher *dispatcher, uint32_t number, uint32_t level)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    uint32_t generation = slot_publish(slot); /* P1: QUEUED first, then the cell and the tail (ring_push) */
    cells_go_live(dispatcher, number);
    return ring_push(segment_ring(dispatcher->segment, POOL, level), ticket_pack(number, generation)) ==
           ERR_OK;
}

/* Takes back every QUEUED slot of a level and empties its ring: cells of cancelled jobs have filled it. */
static void rebuild_level(struct dispatcher *dispatcher, uint32_t level)
{
    ring_clear(segment_ring(dispatcher->segment, POOL, level));
    uint32_t next;
    for (uint32_t at = dispatcher->live.first; at != CELL_END; at = next) {
        next = dispatcher->cells[at].next;
        struct slot *slot = &dispatcher->segment->slots[at];
        if (dispatcher->cells[at].level != level || !slot_unpublish(slot))
            continue;
        cells_leave_live(dispatcher, at);
        dispatcher->cells[at].place = CELL_READY;
        cells_insert_by_seq(dispatcher, &dispatcher->lanes[level].ready, at);
    }
}

/* The window is a level's own, so that urgent work is published however much else is out. */
static void publish_level(struct dispatcher *dispatcher, uint32_t level, uint32_t window)
{
    struct cell_list *ready = &dispatcher->lanes[level].ready;
    while (ready->first != CELL_END && dispatcher->live_by_level[level] < window) {
        uint32_t slot = ready->first;
        cells_remove(dispatcher, ready, slot);
        if (!publish_one(dispatcher, slot, level))
            rebuild_level(dispatcher, level); /* RING_CELLS exceeds every window: there is room afterwards */
    }
}

static uint32_t waiting_workers(const struct dispatcher *dispatcher)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++)
        waiting += atomic_load_explicit(&dispatcher->segment->boards[i].waiting, memory_order_relaxed);
    return waiting;
}

static uint64_t published_depth(const struct dispatcher *dispatcher)
{
    uint64_t depth = 0;
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
        depth += ring_depth(segment_ring(dispatcher->segment, POOL, level));
    return depth;
}

/* min(ready, idle) tokens, less those that lie there already. Missing ones cost a hang, spare ones an empty
 * look. */
static void post_work(struct dispatcher *dispatcher)
{
    atomic_thread_fence(
        memory_order_seq_cst); /* D1: the tails before this look; pairs with W1 in the worker */
    uint32_t waiting = waiting_workers(dispatcher);
    if (waiting == 0)
        return;
    uint64_t wanted = published_depth(dispatcher);
    if (wanted > waiting)
        wanted = waiting;
    sem_t *work = &dispatcher->segment->header->work[POOL];
    int there = 0;
    sem_getvalue(work, &there);
    for (uint64_t i = there > 0 ? (uint64_t)there : 0; i < wanted; i++)
        sem_hint(work);
}

void publish_ready(struct dispatcher *dispatcher)
{
    uint32_t window = WINDOW + dispatcher->segment->shape.worker_count;
    if (window > RING_CELLS / 2)
        window = RING_CELLS / 2;
    bool draining =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
    for (int level = PRIORITY_COUNT - 1; level >= 0 && !draining; level--)
        publish_level(dispatcher, (uint32_t)level, window);
    if (dispatcher->live.count > 0)
        post_work(dispatcher);
}
