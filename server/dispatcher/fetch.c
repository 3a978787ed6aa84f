#include "dispatcher.h"

#include "check.h"
#include "clock.h"

#include <stdlib.h>

/* --- rows of lanes --- */

static void want(struct dispatcher *dispatcher, struct lane *lane)
{
    if (lane->wanted || lane->loading || dispatcher->wanted_count == LOAD_LANES)
        return; /* full: it is asked for again once these are there */
    lane->wanted = true;
    dispatcher->wanted[dispatcher->wanted_count++] = lane;
}

/* What else of this level will be first in line soon, and lies in the store: the front of the heap is near
 * enough to the front of the line. */
static void want_neighbours(struct dispatcher *dispatcher, struct queue_level *level)
{
    for (size_t i = 1; i <= level->lanes.count && i <= LOAD_LANES; i++) {
        struct lane *lane = HEAP_OF(level->lanes.nodes[i], struct lane, node);
        if (lane->cold_seq < lane->ready_seq)
            want(dispatcher, lane);
    }
}

void fetch_want(struct dispatcher *dispatcher, struct lane *lane, bool first)
{
    struct queue_level *level = &lane->queue->levels[lane->level];
    want(dispatcher, lane);
    if (!first)
        return;
    want_neighbours(dispatcher, level);
    level->next_loading = dispatcher->loading_levels;
    dispatcher->loading_levels = level;
    lineup_loading(&dispatcher->lineup, level);
}

/* After a load that did not fit: until something was released, or a while has passed. */
static bool still_stalled(struct dispatcher *dispatcher)
{
    if (dispatcher->stalled && clock_mono_ns() - dispatcher->stalled_ns >= STALL_MS * NS_PER_MS)
        dispatcher->stalled = false;
    return dispatcher->stalled;
}

static uint32_t free_room(const struct dispatcher *dispatcher)
{
    uint32_t most = admit_hot_most(dispatcher);
    uint32_t room = most > dispatcher->hot_count ? most - dispatcher->hot_count : 0;
    return room < dispatcher->free_count ? room : dispatcher->free_count;
}

static struct work *new_load(struct dispatcher *dispatcher, size_t rows)
{
    struct work *work = work_new(WORK_LOAD);
    if (work == NULL)
        return NULL;
    work->loads = calloc(dispatcher->wanted_count, sizeof *work->loads);
    work->lanes = calloc(dispatcher->wanted_count, sizeof(struct lane *));
    work->jobs = calloc(rows * dispatcher->wanted_count, sizeof(struct job *));
    if (work->loads == NULL || work->lanes == NULL || work->jobs == NULL) {
        work_free(work);
        return NULL; /* asked again on the next turn */
    }
    return work;
}

/* One load at a time. Ahead of need only when there is room for much; what is first in line always. */
static void ask_load(struct dispatcher *dispatcher)
{
    uint32_t room = free_room(dispatcher), rows = room < LOAD_BATCH ? room : LOAD_BATCH;
    if (dispatcher->wanted_count == 0 || dispatcher->load_running)
        return;
    if (dispatcher->loading_levels == NULL && room < LOAD_BATCH && room < admit_hot_most(dispatcher) / 4)
        return;
    rows = rows / dispatcher->wanted_count + 1;
    struct work *work = new_load(dispatcher, rows);
    if (work == NULL)
        return;
    work->load_count = dispatcher->wanted_count;
    dispatcher->wanted_count = 0;
    for (size_t i = 0; i < work->load_count; i++) {
        struct lane *lane = dispatcher->wanted[i];
        work->lanes[i] = lane;
        work->loads[i] = (struct store_load){.lane = lane->id, .from_seq = lane->cold_seq, .limit = rows};
        lane->wanted = false;
        lane->loading = true;
        lane->reopened_seq = NO_SEQ;
    }
    dispatcher->load_running = true;
    dispatcher->loads_running++;
    committer_give(dispatcher->committer, work);
}

/* Rows of one lane, in order. It is warm again once the store has no further ones. */
static bool take_rows(struct dispatcher *dispatcher, struct lane *lane, const struct store_load *load,
                      struct job **jobs)
{
    int64_t cold_seq = load->next_seq, cold_ms = lane->cold_created_ms;
    bool all = true;
    for (size_t i = 0; i < load->count && all; i++) {
        all = admit_row(dispatcher, jobs[i]) == ERR_OK;
        if (!all) {
            cold_seq = jobs[i]->spec.seq;
            cold_ms = jobs[i]->spec.created_ms;
        }
    }
    lane->cold_seq = lane->reopened_seq < cold_seq ? lane->reopened_seq : cold_seq;
    lane->cold_created_ms = cold_ms;
    if (lane->cold_seq == NO_SEQ) /* all of it is known: what was guessed, is so no longer */
        lineup_wait(lane, lane->ready.count - lane->waiting);
    return all;
}

static void stall(struct dispatcher *dispatcher)
{
    dispatcher->stalled = true;
    dispatcher->stalled_ns = clock_mono_ns();
}

static void end_loading(struct dispatcher *dispatcher)
{
    while (dispatcher->loading_levels != NULL) {
        struct queue_level *level = dispatcher->loading_levels;
        dispatcher->loading_levels = level->next_loading;
        lineup_loaded(&dispatcher->lineup, level);
    }
}

void fetch_loaded(struct dispatcher *dispatcher, struct work *work)
{
    bool all = work->err == ERR_OK;
    struct job **jobs = work->jobs;
    for (size_t i = 0; i < work->load_count; i++) {
        struct lane *lane = work->lanes[i];
        if (work->err == ERR_OK)
            all = take_rows(dispatcher, lane, &work->loads[i], jobs) && all;
        jobs += work->loads[i].count;
        lane->loading = false;
        lineup_place(&dispatcher->lineup, lane);
    }
    if (!all)
        stall(dispatcher);
    dispatcher->load_running = false;
    dispatcher->loads_running--;
    end_loading(dispatcher);
    work_free(work);
    cancel_undefer(dispatcher);
}

/* --- what is due --- */

void fetch_due_at(struct dispatcher *dispatcher, int64_t real_ms)
{
    if (real_ms > 0 && real_ms < dispatcher->next_due_ms)
        dispatcher->next_due_ms = real_ms;
}

void fetch_due(struct dispatcher *dispatcher, struct work *work)
{
    dispatcher->due_running = false;
    dispatcher->loads_running--;
    if (work->err == ERR_OK) {
        for (size_t i = 0; i < work->count; i++) {
            admit_stored(dispatcher, work->jobs[i]);
            lineup_put_off(&dispatcher->lineup, work->jobs[i]->spec.queue, -1);
        }
        int64_t next_ms = work->count == work->limit ? 0 : work->next_ms;
        if (next_ms < dispatcher->next_due_ms)
            dispatcher->next_due_ms = next_ms;
    } else {
        dispatcher->next_due_ms = clock_real_ms() + RETRY_MS;
    }
    work_free(work);
    cancel_undefer(dispatcher);
}

static void ask_due(struct dispatcher *dispatcher)
{
    if (dispatcher->due_running || clock_real_ms() < dispatcher->next_due_ms)
        return;
    struct work *work = work_new(WORK_DUE);
    if (work == NULL || (work->jobs = calloc(DUE_BATCH, sizeof(struct job *))) == NULL) {
        work_free(work);
        return;
    }
    work->limit = DUE_BATCH;
    dispatcher->due_running = true;
    dispatcher->loads_running++;
    dispatcher->next_due_ms = INT64_MAX; /* lowered by the answer, and by what is put off meanwhile */
    committer_give(dispatcher->committer, work);
}

/* --- what waited for jobs that have ended --- */

static void take_released(struct dispatcher *dispatcher, const struct job *job)
{
    if (job_is_terminal(job->state)) {
        cancel_ended_cold(dispatcher, job, JOB_BLOCKED);
        return;
    }
    admit_waiting(dispatcher, job);
    admit_put_off_ends(dispatcher, &job->spec, JOB_BLOCKED);
}

void fetch_released(struct dispatcher *dispatcher, struct work *work)
{
    dispatcher->release_running = false;
    dispatcher->loads_running--;
    if (work->err == ERR_OK)
        for (size_t i = 0; i < work->count; i++)
            take_released(dispatcher, work->jobs[i]);
    work_free(work);
    cancel_undefer(dispatcher);
}

/* A full store turns this away like a submission: asked again once it has room. */
static void ask_release(struct dispatcher *dispatcher)
{
    const struct committer *committer = dispatcher->committer;
    if (dispatcher->release_running || !atomic_load_explicit(&committer->releases, memory_order_relaxed) ||
        atomic_load_explicit(&committer->full, memory_order_relaxed))
        return;
    struct work *work = work_new(WORK_RELEASE);
    if (work == NULL || (work->jobs = calloc(RELEASE_BATCH, sizeof(struct job *))) == NULL) {
        work_free(work);
        return;
    }
    work->limit = RELEASE_BATCH;
    dispatcher->release_running = true;
    dispatcher->loads_running++;
    committer_give(dispatcher->committer, work);
}

/* --- what was not started in time --- */

void fetch_expiry_at(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    if (spec->expires_ms > 0 && spec->attempt == 0 && spec->expires_ms < dispatcher->next_expiry_ms)
        dispatcher->next_expiry_ms = spec->expires_ms;
}

static void end_expired(struct dispatcher *dispatcher, struct id id)
{
    struct work *work = work_new(WORK_CANCEL);
    if (work == NULL)
        return;
    work->id = id;
    work->ending = END_EXPIRE;
    cancel_asked(dispatcher, work);
}

void fetch_expired(struct dispatcher *dispatcher, struct work *work)
{
    dispatcher->expiry_running = false;
    if (work->err == ERR_OK) {
        for (size_t i = 0; i < work->expiry.count; i++)
            end_expired(dispatcher, work->ids[i]);
        dispatcher->expiry = work->expiry;
        int64_t next_ms = work->expiry.count == work->expiry.limit ? 0 : work->expiry.next_ms;
        if (next_ms < dispatcher->next_expiry_ms)
            dispatcher->next_expiry_ms = next_ms;
    } else {
        dispatcher->next_expiry_ms = clock_real_ms() + RETRY_MS;
    }
    work_free(work);
}

static void ask_expired(struct dispatcher *dispatcher)
{
    if (dispatcher->expiry_running || clock_real_ms() < dispatcher->next_expiry_ms)
        return;
    struct work *work = work_new(WORK_EXPIRED);
    if (work == NULL || (work->ids = calloc(EXPIRY_BATCH, sizeof *work->ids)) == NULL) {
        work_free(work);
        return;
    }
    work->expiry = dispatcher->expiry;
    work->expiry.limit = EXPIRY_BATCH;
    dispatcher->expiry_running = true;
    dispatcher->next_expiry_ms = INT64_MAX;
    committer_give(dispatcher->committer, work);
}

/* A job that no row knows of, and that no worker has. */
static void expire_one(struct dispatcher *dispatcher, uint32_t slot)
{
    const struct cell *cell = &dispatcher->cells[slot];
    if (cell->place == CELL_READY || (cell->place == CELL_LIVE && publish_take_back(dispatcher, slot)))
        cancel_expired(dispatcher, slot);
}

/* Few carry a time, so all are looked at when the first is over. */
static void expire_memory(struct dispatcher *dispatcher)
{
    int64_t now_ms = clock_real_ms();
    if (now_ms < dispatcher->next_memory_expiry_ms)
        return;
    dispatcher->next_memory_expiry_ms = INT64_MAX;
    for (uint32_t i = 0; i < dispatcher->segment->shape.slot_count; i++) {
        const struct cell *cell = &dispatcher->cells[i];
        if (cell->place == CELL_NONE || cell->place == CELL_LANDING || !cell->memory || cell->expires_ms == 0)
            continue;
        if (cell->expires_ms <= now_ms)
            expire_one(dispatcher, i);
        else if (cell->expires_ms < dispatcher->next_memory_expiry_ms)
            dispatcher->next_memory_expiry_ms = cell->expires_ms;
    }
}

void fetch_ask(struct dispatcher *dispatcher)
{
    expire_memory(dispatcher);
    ask_expired(dispatcher);
    if (dispatcher->deferred != NULL)
        return; /* cancels wait for the loads that run: no new ones before they are through */
    ask_due(dispatcher);
    ask_release(dispatcher);
    if (!still_stalled(dispatcher))
        ask_load(dispatcher);
}
