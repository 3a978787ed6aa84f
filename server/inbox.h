/* An inbox: many threads of the front push, one takes all. A lock-free stack that is reversed when taken, so
 * each pusher's items come out in the order in which they were pushed.
 *
 *     pusher: if (inbox_push(&inbox, &item->node)) wake the taker;      true: it was empty, the taker may
 * sleep taker:  for (node = inbox_take(&inbox); node; node = next) …      take after waking, before looking
 * elsewhere
 */
#ifndef FORKPOOL_INBOX_H
#define FORKPOOL_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct inbox_node {
    struct inbox_node *next;
};

struct inbox {
    _Atomic(struct inbox_node *) top;
};

static inline bool inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    struct inbox_node *top = atomic_load_explicit(&inbox->top, memory_order_relaxed);
    do
        node->next = top;
    while (!atomic_compare_exchange_weak_explicit(&inbox->top, &top, node, /* I1: release, pairs with I2 */
                                                  memory_order_acq_rel, memory_order_relaxed));
    return top == NULL;
}

/* Everything pushed so far, oldest first, or NULL. */
static inline struct inbox_node *inbox_take(struct inbox *inbox)
{
    struct inbox_node *top =
        atomic_exchange_explicit(&inbox->top, NULL, memory_order_acq_rel); /* I2: acquire */
    struct inbox_node *first = NULL;
    while (top != NULL) {
        struct inbox_node *next = top->next;
        top->next = first;
        first = top;
        top = next;
    }
    return first;
}

#endif
