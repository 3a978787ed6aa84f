#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

/* Half of the slots for jobs that lie in the store too, half for jobs that lie nowhere else. */
uint32_t admit_hot_most(const struct dispatcher *dispatcher)
{
    return dispatcher->segment->shape.slot_count / 2;
}

static bool is_memory(const struct job_spec *spec)
{
    return spec->durability == DURABILITY_MEMORY && !spec->stored;
}

static void count_slots(struct dispatcher *dispatcher)
{
    atomic_store_explicit(&dispatcher->slots_used,
                          dispatcher->segment->shape.slot_count - dispatcher->free_count,
                          memory_order_relaxed);
    atomic_store_explicit(&dispatcher->slots_memory, dispatcher->memory_count, memory_order_relaxed);
    atomic_store_explicit(&dispatcher->arena_used, dispatcher->arena.used, memory_order_relaxed);
}

static uint64_t key_sum(const char *key)
{
    return bytes_sum(key, strlen(key));
}

static void index_slot(struct dispatcher *dispatcher, const struct job_spec *spec, uint32_t number)
{
    struct cell *cell = &dispatcher->cells[number];
    cell->level = spec->priority;
    cell->seq = spec->seq;
    cell->expires_ms = spec->attempt == 0 ? spec->expires_ms : 0;
    cell->lane = lineup_lane(&dispatcher->lineup, spec);
    cell->lane->slots++;
    cell->memory = is_memory(spec);
    cell->key_sum = cell->memory ? key_sum(spec->idempotency_key) : 0;
    cell->flags = spec->flags;
    cell->in_arena = slot_arena_bytes(&dispatcher->segment->slots[number]) > 0;
    if (cell->memory && cell->expires_ms > 0 && cell->expires_ms < dispatcher->next_memory_expiry_ms)
        dispatcher->next_memory_expiry_ms = cell->expires_ms;
    hot_add(dispatcher->hot, spec->id, number);
    if (cell->memory)
        dispatcher->memory_count++;
    else
        dispatcher->hot_count++;
    count_slots(dispatcher);
}

/* Epochs count anew in each life: a job that an earlier one accepted must not ask for a catalogue of the
 * future. */
static uint32_t epoch_now(const struct dispatcher *dispatcher, uint32_t accepted)
{
    uint32_t now = atomic_load_explicit(&dispatcher->segment->header->catalogue_epoch, memory_order_relaxed);
    return accepted < now ? accepted : now;
}

/* Before its first use, so that a new front looks at it. */
static void touch_slot(struct segment_header *header, uint32_t number)
{
    if (number >= atomic_load_explicit(&header->slots_touched, memory_order_relaxed))
        atomic_store_explicit(&header->slots_touched, number + 1, memory_order_release);
}

/* FREE → BUILDING → HELD: spec and arguments in, then visible. ERR_FULL leaves nothing behind. */
static enum err fill_slot(struct dispatcher *dispatcher, const struct job *job, uint32_t *number)
{
    uint64_t at = 0;
    if (dispatcher->free_count == 0)
        return ERR_FULL;
    size_t bytes = job->args.bytes + job->tags.bytes + job->extras.bytes + job->inputs.bytes;
    if (bytes > 0 && arena_alloc(&dispatcher->arena, bytes, &at) != ERR_OK)
        return ERR_FULL;
    *number = dispatcher->free_slots[--dispatcher->free_count];
    touch_slot(dispatcher->segment->header, *number);
    struct slot *slot = &dispatcher->segment->slots[*number];
    struct claim claim = slot_claim_load(slot);
    /* A new generation, so that a reader of the slot's last job cannot take this one for it. */
    struct claim building = {.generation = claim.generation + 1, .state = SLOT_BUILDING};
    CHECK(claim.state == SLOT_FREE && slot_move(slot, claim, building));
    CRASH_POINT(SLOT_BUILDING);
    atomic_store_explicit(&slot->cancel_requested, 0, memory_order_relaxed);
    slot->spec = job->spec;
    slot->spec.epoch = epoch_now(dispatcher, job->spec.epoch);
    slot->attempt = attempt_blank();
    slot->result_place = RESULT_NONE;
    slot->args_at = at;
    slot->args_bytes = (uint32_t)job->args.bytes;
    slot->tags_bytes = (uint32_t)job->tags.bytes;
    slot->extras_bytes = (uint32_t)job->extras.bytes;
    slot->inputs_bytes = (uint32_t)job->inputs.bytes;
    CRASH_POINT(SLOT_SPEC);
    const struct text texts[] = {job->args, job->tags, job->extras, job->inputs};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; at += texts[i++].bytes)
        if (texts[i].bytes > 0)
            CRASH_COPY(SLOT_HALF_COPIED, dispatcher->segment->arena + at, texts[i].at, texts[i].bytes);
    CRASH_POINT(SLOT_COPIED);
    slot_hold(slot); /* rule 3: everything above before this */
    CRASH_POINT(SLOT_HELD);
    index_slot(dispatcher, &job->spec, *number);
    return ERR_OK;
}

void admit_adopt(struct dispatcher *dispatcher, uint32_t number)
{
    const struct slot *slot = &dispatcher->segment->slots[number];
    if (!landing_spec_sound(&slot->spec) || hot_find(dispatcher->hot, slot->spec.id) != HOT_NONE ||
        (slot_arena_bytes(slot) > 0 &&
         arena_claim(&dispatcher->arena, slot->args_at, slot_arena_bytes(slot)) != ERR_OK))
        dispatcher_corrupt("a slot", number);
    index_slot(dispatcher, &slot->spec, number);
    if (dispatcher->cells[number].lane->level != slot->spec.priority)
        dispatcher_corrupt("a lane", number);
}

void admit_mark_stored(struct dispatcher *dispatcher, uint32_t number)
{
    dispatcher->segment->slots[number].spec.stored = 1;
    if (dispatcher->cells[number].memory) {
        dispatcher->cells[number].memory = false;
        dispatcher->memory_count--;
        dispatcher->hot_count++;
    }
}

void admit_ready(struct dispatcher *dispatcher, uint32_t number)
{
    dispatcher->segment->slots[number].queued_ns = clock_mono_ns();
    cells_go_ready(dispatcher, number);
}

/* Rows from this one on may lie in the store without a slot. */
static void cool(struct lane *lane, int64_t seq, int64_t created_ms)
{
    if (seq < lane->cold_seq) {
        lane->cold_seq = seq;
        lane->cold_created_ms = created_ms;
    }
    if (lane->loading && seq < lane->reopened_seq)
        lane->reopened_seq = seq;
}

void admit_send_back(struct dispatcher *dispatcher, uint32_t slot)
{
    const struct cell *cell = &dispatcher->cells[slot];
    cool(cell->lane, cell->seq, dispatcher->segment->slots[slot].spec.created_ms);
    admit_release(dispatcher, slot);
}

/* The last of the ready ones of a level that has a row and stands behind `seq`. */
static uint32_t last_ready(const struct dispatcher *dispatcher, uint32_t level, int64_t seq)
{
    const struct cell_list *ready = &dispatcher->ready[level];
    uint32_t slot = ready->last;
    while (slot != CELL_END && (dispatcher->cells[slot].memory || dispatcher->cells[slot].seq <= seq))
        slot = dispatcher->cells[slot].links[ready->link].prev;
    return slot;
}

static bool evict_ready(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    for (uint32_t level = 0; level <= spec->priority; level++) {
        uint32_t slot = last_ready(dispatcher, level, level < spec->priority ? -1 : spec->seq);
        if (slot == CELL_END)
            continue;
        cells_leave_ready(dispatcher, slot);
        admit_send_back(dispatcher, slot);
        return true;
    }
    return false;
}

/* One that a limit holds up, however urgent it is. */
static bool evict_held_up(struct dispatcher *dispatcher)
{
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++) {
        const struct cell_list *ready = &dispatcher->ready[level];
        for (uint32_t slot = ready->last; slot != CELL_END;
             slot = dispatcher->cells[slot].links[ready->link].prev) {
            const struct cell *cell = &dispatcher->cells[slot];
            if (cell->memory || !lane_is_held_up(cell->lane))
                continue;
            cells_leave_ready(dispatcher, slot);
            admit_send_back(dispatcher, slot);
            return true;
        }
    }
    return false;
}

/* One that is published, but not claimed yet. */
static bool evict_published(struct dispatcher *dispatcher, uint32_t level)
{
    for (uint32_t slot = dispatcher->live.last; slot != CELL_END;
         slot = dispatcher->cells[slot].links[dispatcher->live.link].prev) {
        const struct cell *cell = &dispatcher->cells[slot];
        if (cell->level >= level || cell->memory || !publish_take_back(dispatcher, slot))
            continue;
        cells_leave_ready(dispatcher, slot);
        admit_send_back(dispatcher, slot);
        return true;
    }
    return false;
}

/* A slot for a stored job, at the cost of less urgent ones if need be, however large the backlog below it is.
 * One that is next in line gets it at the cost of those that are not: they may wait for the place that it
 * has been offered. */
static enum err fill_stored(struct dispatcher *dispatcher, const struct job *job, bool in_line,
                            uint32_t *slot)
{
    enum err err = ERR_FULL;
    do
        if (dispatcher->hot_count < admit_hot_most(dispatcher))
            err = fill_slot(dispatcher, job, slot);
    while (err != ERR_OK &&
           (evict_ready(dispatcher, &job->spec) || evict_published(dispatcher, job->spec.priority) ||
            (in_line && evict_held_up(dispatcher))));
    return err;
}

/* It has its slot now; if it was to be stopped when everything died, it is cancelled instead of run. */
static void admit_filled(struct dispatcher *dispatcher, const struct job *job, uint32_t slot)
{
    admit_ready(dispatcher, slot);
    if (job->cancel_requested)
        cancel_held(dispatcher, slot);
}

/* Where it would only lie, it stays in the store. */
static bool may_be_hot(const struct dispatcher *dispatcher, const struct lane *lane)
{
    return lane->cold_seq == NO_SEQ && !lane_is_paused(&dispatcher->lineup, lane) &&
           lane->ready.count < (lane_is_held_up(lane) ? LANE_HELD_MOST : LANE_MOST);
}

/* They are read with its row, once it is next in line: many at a time would be a lot. */
static bool lacks_inputs(const struct job *job)
{
    return (job->spec.flags & JOB_FLAG_INPUTS) != 0 && job->inputs.at == NULL;
}

void admit_stored(struct dispatcher *dispatcher, const struct job *job)
{
    struct lane *lane = lineup_lane(&dispatcher->lineup, &job->spec);
    uint32_t slot;
    lineup_wait(lane, 1);
    if (job->spec.seq > dispatcher->last_seq)
        dispatcher->last_seq = job->spec.seq;
    fetch_expiry_at(dispatcher, &job->spec);
    lane->slots++; /* so that an eviction does not forget it */
    if (!lacks_inputs(job) && may_be_hot(dispatcher, lane) &&
        fill_stored(dispatcher, job, false, &slot) == ERR_OK)
        admit_filled(dispatcher, job, slot);
    else
        cool(lane, job->spec.seq, job->spec.created_ms);
    lane->slots--;
    lineup_place(&dispatcher->lineup, lane);
}

enum err admit_row(struct dispatcher *dispatcher, const struct job *job)
{
    uint32_t slot;
    if (hot_find(dispatcher->hot, job->spec.id) != HOT_NONE)
        return ERR_OK;
    const struct lane *lane = lineup_find(&dispatcher->lineup, job->spec.lane);
    bool in_line = lane != NULL && lane->heap != NULL && !lane_is_held_up(lane);
    if (fill_stored(dispatcher, job, in_line, &slot) != ERR_OK)
        return ERR_FULL;
    admit_filled(dispatcher, job, slot);
    return ERR_OK;
}

void admit_reopen(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    struct lane *lane = lineup_lane(&dispatcher->lineup, spec);
    cool(lane, spec->seq, spec->created_ms);
    lineup_place(&dispatcher->lineup, lane);
    fetch_due_at(dispatcher, spec->run_at_ms);
}

/* --- submissions --- */

/* The job in shared memory that already carries this idempotency key, or CELL_END. Only jobs of durability
 * memory count: the keys of stored ones are in the store, where the committer looked. */
static uint32_t find_memory_key(const struct dispatcher *dispatcher, const char *key)
{
    uint64_t sum = key_sum(key);
    for (uint32_t i = 0; dispatcher->memory_count > 0 && i < dispatcher->segment->shape.slot_count; i++) {
        const struct cell *cell = &dispatcher->cells[i];
        if (cell->place != CELL_NONE && cell->memory && cell->key_sum == sum &&
            strcmp(dispatcher->segment->slots[i].spec.idempotency_key, key) == 0)
            return i;
    }
    return CELL_END;
}

static enum err admit_memory(struct dispatcher *dispatcher, struct work *work)
{
    const struct job_spec *spec = &work->job->spec;
    uint32_t slot =
        spec->idempotency_key[0] == '\0' ? CELL_END : find_memory_key(dispatcher, spec->idempotency_key);
    if (slot != CELL_END) {
        const struct job_spec *first = &dispatcher->segment->slots[slot].spec;
        if (!id_equal(first->fingerprint, spec->fingerprint))
            return ERR_KEY_REUSED;
        work->errand->replayed = true;
        work->errand->original = first->id;
        return ERR_OK;
    }
    if (work->errand->otherwise != ERR_OK)
        return work->errand->otherwise;
    if (dispatcher->memory_count >= dispatcher->segment->shape.slot_count / 2 ||
        fill_slot(dispatcher, work->job, &slot) != ERR_OK)
        return ERR_MEMORY_FULL;
    lineup_wait(dispatcher->cells[slot].lane, 1);
    admit_ready(dispatcher, slot);
    metrics_submitted(dispatcher->metrics, spec);
    LOG(JOB_ACCEPT, LOG_ID(spec->id), LOG_TEXT("task", spec->task));
    return ERR_OK;
}

void admit_arrived(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    lineup_unreserve(lineup_queue(&dispatcher->lineup, spec->queue));
}

bool admit_is_put_off(enum job_state state)
{
    return state == JOB_SCHEDULED || state == JOB_RETRYING || state == JOB_BLOCKED;
}

void admit_put_off(struct dispatcher *dispatcher, const struct job *job)
{
    if (!admit_is_put_off(job->state))
        return;
    lineup_put_off(&dispatcher->lineup, job->spec.queue, 1);
    fetch_due_at(dispatcher, job->spec.run_at_ms);
}

void admit_put_off_ends(struct dispatcher *dispatcher, const struct job_spec *spec, enum job_state from)
{
    if (admit_is_put_off(from))
        lineup_put_off(&dispatcher->lineup, spec->queue, -1);
}

void admit_waiting(struct dispatcher *dispatcher, const struct job *job)
{
    if (job->state == JOB_QUEUED)
        admit_stored(dispatcher, job);
    else
        admit_put_off(dispatcher, job);
}

void admit_new(struct dispatcher *dispatcher, const struct job *job)
{
    if (!job_is_terminal(job->state)) {
        admit_waiting(dispatcher, job);
        fetch_expiry_at(dispatcher, &job->spec);
    }
    admit_arrived(dispatcher, &job->spec);
}

void admit_submitted(struct dispatcher *dispatcher, struct work *work)
{
    if (work->job->spec.durability != DURABILITY_MEMORY) {
        admit_new(dispatcher, work->job);
        work_free(work);
        return;
    }
    /* Once the front ends, what lies only in memory has been handed to the store: nothing may be added to it.
     */
    bool ending =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) == DRAIN_FRONT;
    struct errand *errand = work->errand;
    errand->err = ending ? ERR_DRAINING : admit_memory(dispatcher, work);
    if (errand->err == ERR_OK && !errand->replayed) /* else front_unadmit */
        admit_arrived(dispatcher, &work->job->spec);
    work_free(work);
    errand->notify(errand);
}

void admit_bulk(struct dispatcher *dispatcher, struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        admit_new(dispatcher, work->jobs[i]);
    work_free(work);
}

void admit_release(struct dispatcher *dispatcher, uint32_t number)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    struct cell *cell = &dispatcher->cells[number];
    struct claim claim = slot_claim_load(slot);
    struct claim nobody = {.generation = claim.generation, .state = SLOT_FREE};
    bool in_tray = claim.state == SLOT_DONE && slot->result_place == RESULT_TRAY;
    uint32_t tray = slot->result_worker;
    hot_remove(dispatcher->hot, number);
    CRASH_POINT(UNINDEXED);
    if (cell->in_arena)
        arena_release(&dispatcher->arena, slot->args_at);
    CRASH_POINT(ARENA_FREED);
    if (dispatcher->cells[number].memory)
        dispatcher->memory_count--;
    else
        dispatcher->hot_count--;
    CHECK(slot_move(slot, claim, nobody));
    CRASH_POINT(SLOT_FREED);
    if (in_tray && (tray >= dispatcher->segment->shape.worker_count ||
                    tray_reclaim(dispatcher->segment, tray) != ERR_OK))
        dispatcher_corrupt("a result tray", number);
    cell->place = CELL_NONE;
    dispatcher->free_slots[dispatcher->free_count++] = number;
    dispatcher->stalled = false;
    count_slots(dispatcher);
    cell->lane->slots--;
    lineup_place(&dispatcher->lineup, cell->lane); /* which may be its end */
    cell->lane = NULL;
}
