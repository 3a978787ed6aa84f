#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "log.h"
#include "scoreboard.h"

#include <stdlib.h>
#include <unistd.h>

enum err dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_setup *setup)
{
    const struct segment_shape *shape = &setup->segment->shape;
    *dispatcher = (struct dispatcher){.config = setup->config,
                                      .segment = setup->segment,
                                      .hot = setup->hot,
                                      .waiters = setup->waiters,
                                      .metrics = setup->metrics,
                                      .committer = setup->committer,
                                      .supervisor_wake_fd = setup->supervisor_wake_fd,
                                      .live = {CELL_END, CELL_END, 0}};
    for (int level = 0; level < PRIORITY_COUNT; level++)
        dispatcher->lanes[level] = (struct lane){.ready = {CELL_END, CELL_END, 0}, .cold = true};
    dispatcher->cells = calloc(shape->slot_count, sizeof *dispatcher->cells);
    dispatcher->free_slots = calloc(shape->slot_count, sizeof *dispatcher->free_slots);
    dispatcher->death_slots = calloc(shape->worker_count, sizeof *dispatcher->death_slots);
    if (dispatcher->cells == NULL || dispatcher->free_slots == NULL || dispatcher->death_slots == NULL ||
        arena_init(&dispatcher->arena, shape->arena_bytes) != ERR_OK) {
        dispatcher_fini(dispatcher);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < shape->worker_count; i++)
        dispatcher->death_slots[i] = CELL_END;
    return ERR_OK;
}

void dispatcher_fini(struct dispatcher *dispatcher)
{
    arena_fini(&dispatcher->arena);
    free(dispatcher->cells);
    free(dispatcher->free_slots);
    free(dispatcher->death_slots);
}

_Noreturn void dispatcher_corrupt(const char *what, uint32_t slot)
{
    LOG(SERVER_FAIL, LOG_TEXT("reason", "shared memory holds something impossible"), LOG_TEXT("what", what),
        LOG_INT("slot", slot));
    _exit(FRONT_EXIT_CORRUPT);
}

void dispatcher_give(void *argument, struct work *work)
{
    struct dispatcher *dispatcher = argument;
    if (inbox_push(&dispatcher->inbox, &work->node))
        sem_hint(&dispatcher->segment->header->done);
}

static void take_in(struct dispatcher *dispatcher, struct work *work)
{
    switch (work->kind) {
    case WORK_SUBMIT:
        admit_submitted(dispatcher, work);
        break;
    case WORK_RETRY:
    case WORK_FORGET:
        if (work->answered)
            finished_answered(dispatcher, work);
        else
            finished_asked(dispatcher, work);
        break;
    case WORK_CANCEL:
        if (work->op.cancel.now_ms != 0 || work->err != ERR_OK)
            cancel_answered(dispatcher, work); /* it has been to the store */
        else
            cancel_asked(dispatcher, work);
        break;
    case WORK_LAND:
        landing_outcome(dispatcher, work);
        break;
    case WORK_DUE:
        admit_due(dispatcher, work);
        break;
    case WORK_LOAD:
        admit_loaded(dispatcher, work);
        break;
    case WORK_SWEEP:
    case WORK_RETAIN:
        work_free(work);
        break;
    }
}

static void take_inbox(struct dispatcher *dispatcher)
{
    struct inbox_node *node = inbox_take(&dispatcher->inbox);
    while (node != NULL) {
        struct inbox_node *next = node->next;
        take_in(dispatcher, (struct work *)(void *)node);
        node = next;
    }
}

static int64_t wait_ms(const struct dispatcher *dispatcher)
{
    int64_t until_due = dispatcher->due_running ? TURN_WAIT_MS : dispatcher->next_due_ms - clock_real_ms();
    if (until_due < 0)
        return 0;
    return until_due < TURN_WAIT_MS ? until_due : TURN_WAIT_MS;
}

void dispatcher_turn(struct dispatcher *dispatcher)
{
    struct segment_header *header = dispatcher->segment->header;
    sem_hint_wait(&header->done, wait_ms(dispatcher));
    sem_hint_drain(&header->done); /* before looking: what is posted after this is seen on the next turn */
    atomic_store_explicit(&header->front_beat_ns, clock_mono_ns(), memory_order_relaxed);
    take_inbox(dispatcher);
    deaths_resolve(dispatcher);
    landing_collect(dispatcher);
    cancel_refuse_parked(dispatcher);
    admit_ask(dispatcher);
    publish_ready(dispatcher);
}

bool dispatcher_settled(const struct dispatcher *dispatcher)
{
    if (dispatcher->landing_count > 0)
        return false;
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++) {
        struct death death;
        if (board_read_death(&dispatcher->segment->boards[i], &death))
            return false;
    }
    for (uint32_t at = dispatcher->live.first; at != CELL_END; at = dispatcher->cells[at].next)
        if (slot_claim_load(&dispatcher->segment->slots[at]).state == SLOT_DONE)
            return false;
    return true;
}

void dispatcher_save_memory_jobs(struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < dispatcher->segment->shape.slot_count; i++) {
        struct cell *cell = &dispatcher->cells[i];
        if (!cell->memory || (cell->place != CELL_READY && cell->place != CELL_LIVE))
            continue;
        if (cell->place == CELL_READY)
            cells_leave_ready(dispatcher, i);
        else
            cells_leave_live(dispatcher, i);
        struct job *job = landing_job(dispatcher, i);
        job->state = JOB_QUEUED;
        landing_send(dispatcher, i, job, job->spec.attempt, false);
    }
}
