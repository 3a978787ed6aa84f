#include "lineup_private.h"

#include "clock.h"

static void limit_gate(const struct lineup *lineup, struct gate *gate, const struct limits *now)
{
    gate->paused = now->values[LIMIT_PAUSED] == 1;
    line_gate_limit(lineup, gate, now->values[LIMIT_CONCURRENCY], now->values[LIMIT_RATE],
                    now->values[LIMIT_BURST]);
    gate->in_flight = 0;
}

static void resettle_lane(struct lineup *lineup, struct lane *lane)
{
    if (lane->heap != NULL)
        line_leave(lineup, lane);
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
    for (struct queue *queue = lineup_first_queue(lineup); queue != NULL; queue = lineup_next_queue(queue)) {
        if (queue->between_pools)
            queue->pass += lineup->pools[queue->pool].pass;
        if (queue->parked)
            line_catch_up(lineup, queue);
        queue->parked = queue->between_pools = false;
        limit_gate(lineup, &queue->gate, &queue->now);
        atomic_store_explicit(&queue->max_depth, queue->now.values[LIMIT_MAX_DEPTH], memory_order_relaxed);
        atomic_store_explicit(&queue->closed, queue->now.values[LIMIT_DRAINING] == 1, memory_order_relaxed);
        atomic_store_explicit(&queue->held, queue->gate.paused, memory_order_relaxed);
    }
    for (struct task_line *task = lineup->tasks; task != NULL; task = task->next)
        limit_gate(lineup, &task->gate, &task->now);
    for (size_t i = 0; i < lineup->bucket_count; i++)
        for (struct lane *lane = lineup->lanes[i]; lane != NULL; lane = lane->next)
            resettle_lane(lineup, lane);
    for (struct queue *queue = lineup_first_queue(lineup); queue != NULL; queue = lineup_next_queue(queue))
        line_settle_queue(lineup, queue);
}

void lineup_count(struct lane *lane)
{
    lane->queue->gate.in_flight++;
    lane->task->gate.in_flight++;
    if (lane->key != NULL)
        lane->key->gate.in_flight++;
}

static void measure(struct queue *queue, double seconds)
{
    int64_t starts = queue->starts;
    double now = (double)(starts - queue->starts_counted) / seconds;
    queue->starts_per_s = queue->starts_per_s > 0 ? (2 * queue->starts_per_s + now) / 3 : now;
    if (queue->starts_per_s < 0.001)
        queue->starts_per_s = 0;
    queue->starts_counted = starts;
    atomic_store_explicit(&queue->starts_milli, (int64_t)(queue->starts_per_s * 1000), memory_order_relaxed);
}

void lineup_measure(struct lineup *lineup, int64_t now_ns)
{
    int64_t elapsed_ns = now_ns - lineup->measured_ns;
    if (elapsed_ns < MEASURE_MS * NS_PER_MS)
        return;
    for (struct queue *queue = lineup_first_queue(lineup); queue != NULL; queue = lineup_next_queue(queue))
        measure(queue, (double)elapsed_ns / NS_PER_SEC);
    lineup->measured_ns = now_ns;
}

void lineup_ran(struct task_line *task, int64_t run_ns)
{
    task->run_ns = task->run_ns == 0 ? run_ns : task->run_ns + (run_ns - task->run_ns) / 8;
}

void lineup_leave_pool(struct lineup *lineup, struct queue *queue)
{
    if (!queue->between_pools)
        queue->pass -= lineup->pools[queue->pool].pass;
    queue->between_pools = queue->parked = true;
    line_settle_queue(lineup, queue);
}
