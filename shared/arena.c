#include "arena.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

/* state[b]: what starts at block b. 0: the inside of a block; 1 + order: a free block; 128 + order: a taken
 * one. */
enum { INSIDE = 0, FREE_BASE = 1, TAKEN_BASE = 128 };

static const uint32_t NONE = UINT32_MAX;

static uint32_t order_for(uint64_t bytes)
{
    uint32_t order = 0;
    while (((uint64_t)ARENA_BLOCK_BYTES << order) < bytes)
        order++;
    return order;
}

static void list_add(struct arena *arena, uint32_t block, uint32_t order)
{
    arena->state[block] = (uint8_t)(FREE_BASE + order);
    arena->prev[block] = NONE;
    arena->next[block] = arena->free[order];
    if (arena->free[order] != NONE)
        arena->prev[arena->free[order]] = block;
    arena->free[order] = block;
}

static void list_remove(struct arena *arena, uint32_t block, uint32_t order)
{
    CHECK(arena->state[block] == FREE_BASE + order);
    uint32_t next = arena->next[block], prev = arena->prev[block];
    if (prev == NONE)
        arena->free[order] = next;
    else
        arena->next[prev] = next;
    if (next != NONE)
        arena->prev[next] = prev;
    arena->state[block] = INSIDE;
}

enum err arena_init(struct arena *arena, uint64_t bytes)
{
    *arena = (struct arena){0};
    while (((uint64_t)ARENA_BLOCK_BYTES << (arena->order_count + 1)) <= bytes &&
           arena->order_count + 1 < ARENA_ORDERS)
        arena->order_count++;
    arena->bytes = (uint64_t)ARENA_BLOCK_BYTES << arena->order_count;
    arena->block_count = (uint32_t)1 << arena->order_count;
    arena->order_count++;
    /* calloc gives untouched pages: bookkeeping costs memory only where blocks were used */
    arena->state = calloc(arena->block_count, sizeof *arena->state);
    arena->next = calloc(arena->block_count, sizeof *arena->next);
    arena->prev = calloc(arena->block_count, sizeof *arena->prev);
    if (arena->state == NULL || arena->next == NULL || arena->prev == NULL) {
        arena_fini(arena);
        return ERR_NO_MEMORY;
    }
    for (uint32_t order = 0; order < ARENA_ORDERS; order++)
        arena->free[order] = NONE;
    list_add(arena, 0, arena->order_count - 1);
    return ERR_OK;
}

void arena_fini(struct arena *arena)
{
    free(arena->state);
    free(arena->next);
    free(arena->prev);
    *arena = (struct arena){0};
}

/* Halves a free block until it has the order wanted; keeps the half that holds block `keep`. */
static void split(struct arena *arena, uint32_t block, uint32_t order, uint32_t wanted, uint32_t keep)
{
    list_remove(arena, block, order);
    while (order > wanted) {
        order--;
        uint32_t upper = block + ((uint32_t)1 << order);
        if (keep >= upper) {
            list_add(arena, block, order);
            block = upper;
        } else {
            list_add(arena, upper, order);
        }
    }
    CHECK(block == keep);
    arena->state[block] = (uint8_t)(TAKEN_BASE + order);
    arena->used += (uint64_t)ARENA_BLOCK_BYTES << order;
}

enum err arena_alloc(struct arena *arena, size_t bytes, uint64_t *at)
{
    CHECK(bytes > 0);
    uint32_t wanted = order_for(bytes), order = wanted;
    while (order < arena->order_count && arena->free[order] == NONE)
        order++;
    if (order >= arena->order_count)
        return ERR_FULL;
    uint32_t block = arena->free[order];
    split(arena, block, order, wanted, block);
    *at = (uint64_t)block * ARENA_BLOCK_BYTES;
    return ERR_OK;
}

enum err arena_claim(struct arena *arena, uint64_t at, size_t bytes)
{
    uint32_t wanted = order_for(bytes);
    if (bytes == 0 || at % ARENA_BLOCK_BYTES != 0 || at >= arena->bytes || wanted >= arena->order_count)
        return ERR_CORRUPT;
    uint32_t block = (uint32_t)(at / ARENA_BLOCK_BYTES);
    if (block % ((uint32_t)1 << wanted) != 0)
        return ERR_CORRUPT;
    for (uint32_t order = wanted; order < arena->order_count; order++) {
        uint32_t start = block >> order << order;
        if (arena->state[start] == FREE_BASE + order) {
            split(arena, start, order, wanted, block);
            return ERR_OK;
        }
    }
    return ERR_CORRUPT;
}

void arena_release(struct arena *arena, uint64_t at)
{
    CHECK(at % ARENA_BLOCK_BYTES == 0 && at < arena->bytes);
    uint32_t block = (uint32_t)(at / ARENA_BLOCK_BYTES);
    CHECK(arena->state[block] >= TAKEN_BASE);
    uint32_t order = (uint32_t)arena->state[block] - TAKEN_BASE;
    arena->used -= (uint64_t)ARENA_BLOCK_BYTES << order;
    arena->state[block] = INSIDE;
    while (order + 1 < arena->order_count) {
        uint32_t buddy = block ^ (uint32_t)1 << order;
        if (arena->state[buddy] != FREE_BASE + order)
            break;
        list_remove(arena, buddy, order);
        if (buddy < block)
            block = buddy;
        order++;
    }
    list_add(arena, block, order);
}
