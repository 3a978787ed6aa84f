#include "ring.h"

#include "crash_point.h"

enum err ring_push(struct ring *ring, uint64_t ticket)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* ours alone */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire); /* R4: pairs with R3 */
    if (tail - head >= RING_CELLS)
        return ERR_FULL;
    atomic_store_explicit(&ring->cells[tail % RING_CELLS], ticket, memory_order_relaxed);
    CRASH_POINT(PUBLISH_CELL);
    atomic_store_explicit(&ring->tail, tail + 1,
                          memory_order_release); /* R1: release, pairs with R2 in ring_peek */
    return ERR_OK;
}

void ring_clear(struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while ((int64_t)(tail - head) > 0 &&
           !atomic_compare_exchange_weak_explicit(&ring->head, &head, tail, memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
}

bool ring_peek(struct ring *ring, uint64_t *head, uint64_t *ticket)
{
    /* Head before tail: the other way round a stale tail could hide cells behind a head that others moved on.
     */
    *head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* R2: acquire, pairs with R1 */
    if ((int64_t)(tail - *head) <= 0)
        return false;
    /* The cell may be reused by the producer once the head moved on; then ring_advance fails and, if the slot
     * was claimed from the newer cell, that claim stands all the same: the claim word is the truth. */
    *ticket = atomic_load_explicit(&ring->cells[*head % RING_CELLS], memory_order_relaxed);
    return true;
}

void ring_advance(struct ring *ring, uint64_t head)
{
    atomic_compare_exchange_strong_explicit(&ring->head, &head, head + 1,
                                            memory_order_acq_rel, /* R3: who passes a cell has read it */
                                            memory_order_relaxed);
}

uint64_t ring_depth(struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    int64_t depth = (int64_t)(atomic_load_explicit(&ring->tail, memory_order_acquire) - head);
    return depth > 0 ? (uint64_t)depth : 0;
}
