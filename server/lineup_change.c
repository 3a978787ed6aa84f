#include "lineup_private.h"

static void limit_gate(struct gate *gate, const struct limits *now)
{
    gate->paused = now->values[LIMIT_PAUSED] == 1;
    line_gate_limit(gate, now->values[LIMIT_CONCURRENCY], now->values[LIMIT_RATE], now->values[LIMIT_BURST]);
    gate->in_flight = 0;
}

static void resettle_lane(struct lineup *lineup, struct lane *lane)
{
    if (lane->heap != NULL)
        line_leave(lineup, lane);
    lane->live = 0;
    if (lane->key != NULL) {
        struct key_line *old = lane->key, *now = line_key_of(lineup, lane);
        old->lanes--;
        now->lanes++;
        lane->key = now;
        now->gate.in_flight = 0;
        if (old->lanes == 0)
            line_drop_key(lineup, old);
        line_limit_key(lineup, &now->gate,
                       now->scope == lane->task    ? &lane->task->now
                       : now->scope == lane->queue ? &lane->queue->now
                                                   : NULL);
    }
    if (lane_head(lane) != NO_SEQ)
        line_stand(lineup, lane);
}

void lineup_resettle(struct lineup *lineup)
{
    for (struct queue *queue = lineup->queues; queue != NULL; queue = queue->next) {
        limit_gate(&queue->gate, &queue->now);
        queue->parked = false;
        atomic_store_explicit(&queue->max_depth, queue->now.values[LIMIT_MAX_DEPTH], memory_order_relaxed);
        atomic_store_explicit(&queue->closed, queue->now.values[LIMIT_DRAINING] == 1 || lineup->draining,
                              memory_order_relaxed);
        atomic_store_explicit(&queue->held, queue->gate.paused || lineup->paused, memory_order_relaxed);
    }
    for (struct task_line *task = lineup->tasks; task != NULL; task = task->next)
        limit_gate(&task->gate, &task->now);
    for (size_t i = 0; i < lineup->bucket_count; i++)
        for (struct lane *lane = lineup->lanes[i]; lane != NULL; lane = lane->next)
            resettle_lane(lineup, lane);
    for (struct queue *queue = lineup->queues; queue != NULL; queue = queue->next)
        line_settle_queue(lineup, queue);
}

void lineup_count(struct lane *lane)
{
    lane->live++;
    lane->queue->gate.in_flight++;
    lane->task->gate.in_flight++;
    if (lane->key != NULL)
        lane->key->gate.in_flight++;
}
