#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "log.h"
#include "scoreboard.h"

#include <stdlib.h>
#include <unistd.h>

static void wake(struct doorbell *bell)
{
    struct dispatcher *dispatcher = (void *)((char *)bell - offsetof(struct dispatcher, bell));
    sem_hint(&dispatcher->segment->header->done);
}

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
                                      .compose = setup->compose,
                                      .bell = {wake},
                                      .timetable = {.next_ms = INT64_MAX},
                                      .live = {CELL_END, CELL_END, 0, 0},
                                      .exposed = {CELL_END, CELL_END, 0, 1},
                                      .next_gate_ns = INT64_MAX,
                                      .next_memory_expiry_ms = INT64_MAX};
    for (int level = 0; level < PRIORITY_COUNT; level++)
        dispatcher->ready[level] = (struct cell_list){CELL_END, CELL_END, 0, 1};
    lineup_init(&dispatcher->lineup, setup->config->jobs_key_concurrency, setup->meters);
    dispatcher->lineup.now_ns = clock_mono_ns();
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
    schedules_free(&dispatcher->timetable.in_force);
    schedules_free(&dispatcher->timetable.file);
    arena_fini(&dispatcher->arena);
    lineup_fini(&dispatcher->lineup);
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
        doorbell_ring(&dispatcher->bell);
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
    case WORK_PATCH:
        if (work->answered)
            change_answered(dispatcher, work);
        else
            change_asked(dispatcher, work);
        break;
    case WORK_SET:
        if (work->answered)
            change_set_done(dispatcher, work);
        else
            change_set(dispatcher, work);
        break;
    case WORK_FIRE:
        fire_done(dispatcher, work);
        break;
    case WORK_SCHEDULE:
        if (work->answered)
            timetable_changed(dispatcher, work);
        else
            timetable_change(dispatcher, work);
        break;
    case WORK_LOOK:
        look_asked(dispatcher, work);
        break;
    case WORK_EXPIRED:
        fetch_expired(dispatcher, work);
        break;
    case WORK_CANCEL:
        if (work->answered)
            cancel_answered(dispatcher, work); /* it has been to the store */
        else
            cancel_asked(dispatcher, work);
        break;
    case WORK_LAND:
        landing_outcome(dispatcher, work);
        break;
    case WORK_DUE:
        fetch_due(dispatcher, work);
        break;
    case WORK_LOAD:
        fetch_loaded(dispatcher, work);
        break;
    case WORK_BULK:
        admit_bulk(dispatcher, work);
        break;
    case WORK_REPLACE:
        if (work->answered)
            replace_answered(dispatcher, work);
        else
            replace_asked(dispatcher, work);
        break;
    case WORK_RELEASE:
        fetch_released(dispatcher, work);
        break;
    case WORK_SWEEP:
    case WORK_RETAIN:
        CHECK_NEVER("the committer's own");
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

static int64_t sooner(int64_t least, int64_t ms)
{
    return ms < 0 ? 0 : ms < least ? ms : least;
}

static int64_t wait_ms(const struct dispatcher *dispatcher)
{
    int64_t now_ms = clock_real_ms(), least = TURN_WAIT_MS;
    if (!dispatcher->due_running)
        least = sooner(least, dispatcher->next_due_ms - now_ms);
    if (!dispatcher->expiry_running)
        least = sooner(least, dispatcher->next_expiry_ms - now_ms);
    least = sooner(least, dispatcher->next_memory_expiry_ms - now_ms);
    least = sooner(least, dispatcher->timetable.next_ms - now_ms);
    if (dispatcher->next_gate_ns !=
        INT64_MAX) /* rounded up: a gate that is looked at too early is still closed */
        least = sooner(least, (dispatcher->next_gate_ns - clock_mono_ns()) / NS_PER_MS + 1);
    if (dispatcher->exposed.count > 0)
        least = sooner(least, TAKE_BACK_MS);
    return least;
}

void dispatcher_step(struct dispatcher *dispatcher)
{
    take_inbox(dispatcher);
    deaths_resolve(dispatcher);
    landing_collect(dispatcher);
    cancel_refuse_parked(dispatcher);
    fire_ask(dispatcher);
    publish_ready(dispatcher);
    fetch_ask(dispatcher); /* after it: what publishing found missing is asked for at once */
}

void dispatcher_turn(struct dispatcher *dispatcher)
{
    struct segment_header *header = dispatcher->segment->header;
    sem_hint_wait(&header->done, wait_ms(dispatcher));
    sem_hint_drain(&header->done); /* before looking: what is posted after this is seen on the next turn */
    atomic_store_explicit(&header->front_beat_ns, clock_mono_ns(), memory_order_relaxed);
    doorbells_hold();
    dispatcher_step(dispatcher);
    doorbells_release();
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
    for (uint32_t at = dispatcher->live.first; at != CELL_END;
         at = dispatcher->cells[at].links[dispatcher->live.link].next)
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
            cells_leave_live(dispatcher, i, 0);
        struct job *job = landing_job(dispatcher, i);
        job->state = JOB_QUEUED;
        landing_send(dispatcher, i, job, job->spec.attempt, false);
    }
}
