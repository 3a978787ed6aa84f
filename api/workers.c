#include "workers.h"

#include "check.h"

#include <string.h>

static const char *const TEXTS[WORKER_STATE_COUNT] = {
#define S(name, text) text,
    WORKER_STATES(S)
#undef S
};

const char *worker_state_text(enum worker_state state)
{
    CHECK(state < WORKER_STATE_COUNT);
    return TEXTS[state];
}

static enum worker_state look_at_live(const struct board *board)
{
    uint64_t run = atomic_load_explicit(&board->run, memory_order_acquire);
    if (run_phase(run) != RUN_IDLE)
        return WORKER_STATE_BUSY;
    bool has_looked = atomic_load_explicit(&board->waiting, memory_order_relaxed) != 0 ||
                      atomic_load_explicit(&board->jobs_done, memory_order_relaxed) > 0;
    return has_looked ? WORKER_STATE_IDLE : WORKER_STATE_STARTING;
}

/* The job is taken from the slot and not from the board's ticket alone: the slot may serve another one by
 * now. */
static void look_at_job(const struct segment *segment, const struct board *board, struct worker_view *view)
{
    uint64_t ticket = atomic_load_explicit(&board->ticket, memory_order_acquire);
    if (ticket_slot(ticket) >= segment->shape.slot_count)
        return;
    const struct slot *slot = &segment->slots[ticket_slot(ticket)];
    struct claim before = slot_claim_load(slot);
    if (before.generation != ticket_generation(ticket) || before.state != SLOT_RUNNING)
        return;
    view->id = slot->spec.id;
    memcpy(view->task, slot->spec.task, sizeof view->task);
    view->task[sizeof view->task - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    struct claim after = slot_claim_load(slot);
    view->has_job = after.generation == before.generation && after.state == before.state;
}

void workers_look(const struct segment *segment, uint32_t worker, struct worker_view *view)
{
    const struct board *board = &segment->boards[worker];
    *view = (struct worker_view){
        .state = WORKER_STATE_STARTING,
        .in_use = true,
        .recycling = (enum retire_reason)atomic_load_explicit(&board->retire, memory_order_relaxed),
        .replaces = (enum retire_reason)atomic_load_explicit(&board->replaces, memory_order_relaxed)};
    CHECK(view->recycling < RETIRE_REASON_COUNT && view->replaces < RETIRE_REASON_COUNT);
    switch ((enum worker_status)atomic_load_explicit(&board->status, memory_order_acquire)) {
    case WORKER_LIVE:
        view->state = look_at_live(board);
        break;
    case WORKER_DYING:
        view->state = WORKER_STATE_DYING;
        break;
    case WORKER_BACKOFF:
        view->state = WORKER_STATE_BACKOFF;
        break;
    case WORKER_STANDBY:
        view->state = WORKER_STATE_STANDBY;
        break;
    case WORKER_ABSENT:
        view->in_use = false;
        break;
    }
    if (view->state == WORKER_STATE_BUSY)
        look_at_job(segment, board, view);
}
