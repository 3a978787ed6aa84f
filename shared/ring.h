/* A ring of tickets: one per pool and priority level. One producer (the dispatcher), many consumers
 * (workers).
 *
 * A hint: the claim word decides. Head and tail only grow; a cell is one word.
 *
 *  1. Producer: slot QUEUED first, then the cell, then the tail (release), then a post.
 *  2. Consumer: head (acquire), then tail; claim first, then move the head. Whoever is killed in between
 * leaves a cell that the next worker finds unclaimable and passes. Popping first would lose the job.
 *  3. Only a cell whose claim word differs from its ticket is passed without a claim.
 *
 * The loop of a consumer:
 *
 *     uint64_t head, ticket;
 *     while (ring_peek(ring, &head, &ticket)) {
 *         bool mine = slot_claim(…ticket…);
 *         ring_advance(ring, head);
 *         if (mine)
 *             return ticket;
 *     }
 */
#ifndef FORKPOOL_RING_H
#define FORKPOOL_RING_H

#include "segment.h"

#include <stdalign.h>
#include <stdbool.h>

struct ring {
    alignas(CACHE_LINE) _Atomic uint64_t head; /* consumers, by CAS */
    alignas(CACHE_LINE) _Atomic uint64_t tail; /* producer */
    alignas(CACHE_LINE) _Atomic uint64_t cells[RING_CELLS];
};

/* Producer. ERR_FULL when RING_CELLS tickets lie between head and tail: then ring_clear and publish anew. */
enum err ring_push(struct ring *ring, uint64_t ticket) MUST_USE;

/* Producer: moves the head to the tail; what lay between is forgotten. */
void ring_clear(struct ring *ring);

/* Consumer: the oldest ticket and its position; false when empty. */
bool ring_peek(struct ring *ring, uint64_t *head, uint64_t *ticket);

/* Consumer: past that position, unless somebody already did. */
void ring_advance(struct ring *ring, uint64_t head);

/* Tickets between head and tail, as a rough figure. */
uint64_t ring_depth(struct ring *ring);

#endif
