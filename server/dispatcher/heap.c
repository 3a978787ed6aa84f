#include "heap.h"

#include "check.h"

#include <stdlib.h>

static void put(struct heap *heap, size_t at, struct heap_node *node)
{
    heap->nodes[at] = node;
    node->at = at;
}

static void rise(struct heap *heap, struct heap_node *node)
{
    size_t at = node->at;
    for (; at > 1 && heap->before(node, heap->nodes[at / 2]); at /= 2)
        put(heap, at, heap->nodes[at / 2]);
    put(heap, at, node);
}

static void sink(struct heap *heap, struct heap_node *node)
{
    size_t at = node->at;
    for (size_t child; (child = 2 * at) <= heap->count; at = child) {
        if (child < heap->count && heap->before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!heap->before(heap->nodes[child], node))
            break;
        put(heap, at, heap->nodes[child]);
    }
    put(heap, at, node);
}

void heap_fini(struct heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->room = 0;
}

void heap_add(struct heap *heap, struct heap_node *node)
{
    CHECK(node->at == 0);
    if (heap->count + 1 >= heap->room) {
        heap->room = heap->room > 0 ? 2 * heap->room : 8;
        struct heap_node **grown = reallocarray(heap->nodes, heap->room, sizeof(struct heap_node *));
        CHECK(grown != NULL);
        heap->nodes = grown;
    }
    put(heap, ++heap->count, node);
    rise(heap, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    CHECK(node->at > 0 && node->at <= heap->count && heap->nodes[node->at] == node);
    struct heap_node *last = heap->nodes[heap->count--];
    size_t at = node->at;
    node->at = 0;
    if (last == node)
        return;
    put(heap, at, last);
    heap_fix(heap, last);
}

void heap_fix(struct heap *heap, struct heap_node *node)
{
    rise(heap, node);
    sink(heap, node);
}
