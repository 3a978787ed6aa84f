/* A binary heap of nodes that lie in other structs: the first in O(1), every change in O(log n).
 *
 * Private to one thread. The heap owns its array only. A node is in one heap at most; `at` is its place
 * there, from 1, and 0 while it is in none. When what `before` compares has changed for a node: heap_fix.
 */
#ifndef FORKPOOL_HEAP_H
#define FORKPOOL_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap_node {
    size_t at;
};

typedef bool heap_before_fn(const struct heap_node *a, const struct heap_node *b);

struct heap {
    struct heap_node **nodes; /* [room], the first at 1 */
    size_t count, room;
    heap_before_fn *before;
};

void heap_fini(struct heap *heap);
void heap_add(struct heap *heap, struct heap_node *node);
void heap_remove(struct heap *heap, struct heap_node *node);
void heap_fix(struct heap *heap, struct heap_node *node);
/* NULL: empty. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[1];
}

/* The struct around a node. */
#define HEAP_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
