#include "lineup_private.h"

#include "clock.h"

#include <string.h>

int64_t lineup_rate_ns(const struct gate *gate, uint32_t out, int64_t before, int64_t now_ns)
{
    if (gate->interval_ns == 0)
        return 0;
    int64_t saved_ns = (gate->burst - 1) * gate->interval_ns;
    int64_t wait_ns = line_rate_wait_ns(gate, now_ns) - (int64_t)out * gate->interval_ns;
    if (wait_ns < -saved_ns) /* what was not used long ago is lost */
        wait_ns = -saved_ns;
    wait_ns += before > INT64_MAX / 2 / gate->interval_ns ? INT64_MAX / 2 : before * gate->interval_ns;
    return wait_ns > 0 ? wait_ns : 0;
}

/* The reasons of one gate; those of a queue's, a task's and a key's stand in the same order. */
static void gate_reasons(const struct gate *gate, enum reason paused, enum reason concurrency,
                         enum reason rate, uint32_t out, int64_t now_ns, struct why *why)
{
    int64_t wait_ns = lineup_rate_ns(gate, out, 0, now_ns);
    if (gate->kind != GATE_KEY)
        why->holds[paused] = gate->paused;
    if (gate->concurrency != LIMIT_NOT_SET && (int64_t)gate->in_flight - out >= gate->concurrency) {
        why->holds[concurrency] = true;
        why->limit[concurrency] = gate->concurrency;
    }
    if (wait_ns > 0) {
        why->holds[rate] = true;
        why->limit[rate] = gate->rate;
        why->at_ms[rate] = clock_real_ms() + wait_ns / NS_PER_MS;
    }
}

void lineup_gate_reasons(const struct gate *gate, int64_t now_ns, bool holds[REASON_COUNT])
{
    struct why why = {.lane = 0};
    bool task = gate->kind == GATE_TASK;
    gate_reasons(gate, task ? REASON_TASK_PAUSED : REASON_QUEUE_PAUSED,
                 task ? REASON_TASK_CONCURRENCY : REASON_QUEUE_CONCURRENCY,
                 task ? REASON_TASK_RATE : REASON_QUEUE_RATE, 0, now_ns, &why);
    memcpy(holds, why.holds, sizeof why.holds);
}

void lineup_why(const struct lineup *lineup, const struct lane *lane, const struct out *out, int64_t now_ns,
                struct why *why)
{
    why->holds[REASON_SERVER_PAUSED] = lineup->paused;
    gate_reasons(&lane->queue->gate, REASON_QUEUE_PAUSED, REASON_QUEUE_CONCURRENCY, REASON_QUEUE_RATE,
                 out->jobs[GATE_QUEUE], now_ns, why);
    gate_reasons(&lane->task->gate, REASON_TASK_PAUSED, REASON_TASK_CONCURRENCY, REASON_TASK_RATE,
                 out->jobs[GATE_TASK], now_ns, why);
    if (lane->key != NULL)
        gate_reasons(&lane->key->gate, REASON_KEY_CONCURRENCY, REASON_KEY_CONCURRENCY, REASON_KEY_RATE,
                     out->jobs[GATE_KEY], now_ns, why);
}
