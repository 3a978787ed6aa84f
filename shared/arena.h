/* The argument arena: shared bytes, allocated by the front alone, read by workers.
 *
 * A buddy allocator whose bookkeeping is private to the front (nothing of it is shared, so a crash cannot
 * damage it): a new front rebuilds it by claiming the ranges that live slots name. Blocks are 128 bytes to
 * the whole arena. One thread (the dispatcher).
 */
#ifndef FORKPOOL_ARENA_H
#define FORKPOOL_ARENA_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

enum { ARENA_BLOCK_BYTES = 128, ARENA_ORDERS = 32 };

struct arena {
    uint64_t bytes; /* a power of two times ARENA_BLOCK_BYTES; rounded down at init */
    uint64_t used;  /* bytes in allocated blocks */
    uint32_t block_count, order_count;
    uint8_t *state;        /* owned, [block_count]: what starts at each block */
    uint32_t *next, *prev; /* owned, [block_count]: free lists */
    uint32_t free[ARENA_ORDERS];
};

enum err arena_init(struct arena *arena, uint64_t bytes) MUST_USE;
void arena_fini(struct arena *arena);

/* ERR_FULL when no block is large enough. *at is an offset. bytes > 0. */
enum err arena_alloc(struct arena *arena, size_t bytes, uint64_t *at) MUST_USE;

/* Recovery: takes the block that once was allocated for (at, bytes). ERR_CORRUPT if it is impossible or
 * taken. */
enum err arena_claim(struct arena *arena, uint64_t at, size_t bytes) MUST_USE;

void arena_release(struct arena *arena, uint64_t at);

#endif
