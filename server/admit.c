#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

/* Half of the slots for jobs that lie in the store too, half for jobs that lie nowhere else. */
static uint32_t hot_most(const struct dispatcher *dispatcher)
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
    cell->memory = is_memory(spec);
    cell->key_sum = cell->memory ? key_sum(spec->idempotency_key) : 0;
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
    size_t bytes = job->args.bytes + job->tags.bytes;
    if (bytes > 0 && arena_alloc(&dispatcher->arena, bytes, &at) != ERR_OK)
        return ERR_FULL;
    *number = dispatcher->free_slots[--dispatcher->free_count];
    touch_slot(dispatcher->segment->header, *number);
    struct slot *slot = &dispatcher->segment->slots[*number];
    struct claim claim = slot_claim_load(slot);
    /* A new generation, so that a reader of the slot's last job cannot take this one for it. */
    struct claim building = {.generation = claim.generation + 1, .state = SLOT_BUILDING};
    CHECK(claim.state == SLOT_FREE && slot_move(slot, claim, building));
    atomic_store_explicit(&slot->cancel_requested, 0, memory_order_relaxed);
    slot->spec = job->spec;
    slot->spec.epoch = epoch_now(dispatcher, job->spec.epoch);
    slot->attempt = attempt_blank();
    slot->result_place = RESULT_NONE;
    slot->args_at = at;
    slot->args_bytes = (uint32_t)job->args.bytes;
    slot->tags_bytes = (uint32_t)job->tags.bytes;
    if (job->args.bytes > 0)
        memcpy(dispatcher->segment->arena + at, job->args.at, job->args.bytes);
    if (job->tags.bytes > 0)
        memcpy(dispatcher->segment->arena + at + job->args.bytes, job->tags.at, job->tags.bytes);
    slot_hold(slot); /* rule 3: everything above before this */
    index_slot(dispatcher, &job->spec, *number);
    return ERR_OK;
}

void admit_adopt(struct dispatcher *dispatcher, uint32_t number)
{
    const struct slot *slot = &dispatcher->segment->slots[number];
    if (slot->spec.priority >= PRIORITY_COUNT || slot->spec.durability >= DURABILITY_COUNT ||
        hot_find(dispatcher->hot, slot->spec.id) != HOT_NONE ||
        (slot_arena_bytes(slot) > 0 &&
         arena_claim(&dispatcher->arena, slot->args_at, slot_arena_bytes(slot)) != ERR_OK))
        dispatcher_corrupt("a slot", number);
    index_slot(dispatcher, &slot->spec, number);
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
    struct slot *slot = &dispatcher->segment->slots[number];
    slot->queued_ns = clock_mono_ns();
    dispatcher->cells[number].place = CELL_READY;
    cells_insert_by_seq(dispatcher, &dispatcher->lanes[dispatcher->cells[number].level].ready, number);
}

static struct lane *lane_of(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    CHECK(spec->priority < PRIORITY_COUNT);
    return &dispatcher->lanes[spec->priority];
}

/* Back to the store, where its row is queued. */
static void send_back(struct dispatcher *dispatcher, uint32_t slot)
{
    struct job_spec spec = dispatcher->segment->slots[slot].spec;
    spec.priority = dispatcher->cells[slot].level;
    admit_release(dispatcher, slot);
    admit_reopen(dispatcher, &spec);
}

static bool evict_ready(struct dispatcher *dispatcher, uint32_t level)
{
    for (uint32_t low = 0; low < level; low++) {
        uint32_t slot = dispatcher->lanes[low].ready.last;
        while (slot != CELL_END && dispatcher->cells[slot].memory)
            slot = dispatcher->cells[slot].prev;
        if (slot == CELL_END)
            continue;
        cells_leave_ready(dispatcher, slot);
        send_back(dispatcher, slot);
        return true;
    }
    return false;
}

/* One that is published, but not claimed yet. */
static bool evict_published(struct dispatcher *dispatcher, uint32_t level)
{
    for (uint32_t slot = dispatcher->live.last; slot != CELL_END; slot = dispatcher->cells[slot].prev) {
        const struct cell *cell = &dispatcher->cells[slot];
        if (cell->level >= level || cell->memory || !slot_unpublish(&dispatcher->segment->slots[slot]))
            continue;
        cells_leave_live(dispatcher, slot);
        send_back(dispatcher, slot);
        return true;
    }
    return false;
}

/* Makes room for urgent work at the cost of the last of the less urgent, however large the backlog below it
 * is. */
static bool evict_below(struct dispatcher *dispatcher, uint32_t level)
{
    return evict_ready(dispatcher, level) || evict_published(dispatcher, level);
}

/* A slot for a stored job, at the cost of less urgent ones if need be. */
static enum err fill_stored(struct dispatcher *dispatcher, const struct job *job, uint32_t *slot)
{
    enum err err = ERR_FULL;
    do
        if (dispatcher->hot_count < hot_most(dispatcher))
            err = fill_slot(dispatcher, job, slot);
    while (err != ERR_OK && evict_below(dispatcher, job->spec.priority));
    return err;
}

/* It has its slot now; if it was to be stopped when everything died, it is cancelled instead of run. */
static void admit_filled(struct dispatcher *dispatcher, const struct job *job, uint32_t slot)
{
    admit_ready(dispatcher, slot);
    if (job->cancel_requested)
        cancel_held(dispatcher, slot);
}

void admit_stored(struct dispatcher *dispatcher, const struct job *job)
{
    struct lane *lane = lane_of(dispatcher, &job->spec);
    uint32_t slot;
    if (lane->cold || fill_stored(dispatcher, job, &slot) != ERR_OK) {
        lane->cold = true;
        return;
    }
    lane->cursor = job->spec.seq;
    admit_filled(dispatcher, job, slot);
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
    if (dispatcher->memory_count >= dispatcher->segment->shape.slot_count / 2 ||
        fill_slot(dispatcher, work->job, &slot) != ERR_OK)
        return ERR_MEMORY_FULL;
    admit_ready(dispatcher, slot);
    metrics_submitted(dispatcher->metrics, spec);
    LOG(JOB_ACCEPT, LOG_ID(spec->id), LOG_TEXT("task", spec->task));
    return ERR_OK;
}

void admit_submitted(struct dispatcher *dispatcher, struct work *work)
{
    if (work->job->spec.durability != DURABILITY_MEMORY) {
        admit_stored(dispatcher, work->job);
        work_free(work);
        return;
    }
    /* Once the front ends, what lies only in memory has been handed to the store: nothing may be added to it.
     */
    bool ending =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) == DRAIN_FRONT;
    struct errand *errand = work->errand;
    errand->err = ending ? ERR_DRAINING : admit_memory(dispatcher, work);
    work_free(work);
    errand->notify(errand);
}

/* --- from the store --- */

static bool is_hot(struct dispatcher *dispatcher, const struct job *job)
{
    return hot_find(dispatcher->hot, job->spec.id) != HOT_NONE;
}

/* Rows of a cold lane, in order. The lane is warm again once the store had fewer than were asked for. */
void admit_loaded(struct dispatcher *dispatcher, struct work *work)
{
    struct lane *lane = &dispatcher->lanes[work->priority];
    bool all = true, reopened = lane->cursor < work->after; /* then what was passed is looked at again */
    for (size_t i = 0; work->err == ERR_OK && all && i < work->count; i++) {
        const struct job *job = work->jobs[i];
        uint32_t slot;
        if (!is_hot(dispatcher, job)) {
            if (fill_stored(dispatcher, job, &slot) != ERR_OK) {
                all = false;
                break;
            }
            admit_filled(dispatcher, job, slot);
        }
        if (!reopened)
            lane->cursor = job->spec.seq;
    }
    lane->loading = false;
    lane->cold = work->err != ERR_OK || !all || work->more || reopened;
    if (work->err != ERR_OK || !all) {
        dispatcher->stalled = true;
        dispatcher->stalled_ns = clock_mono_ns();
    }
    dispatcher->loads_running--;
    work_free(work);
    cancel_undefer(dispatcher);
}

void admit_due(struct dispatcher *dispatcher, struct work *work)
{
    dispatcher->due_running = false;
    dispatcher->loads_running--;
    if (work->err == ERR_OK) {
        for (size_t i = 0; i < work->count; i++)
            admit_stored(dispatcher, work->jobs[i]);
        int64_t next_ms = work->count == work->limit ? 0 : work->next_ms;
        if (next_ms < dispatcher->next_due_ms)
            dispatcher->next_due_ms = next_ms;
    } else {
        dispatcher->next_due_ms = clock_real_ms() + RETRY_MS;
    }
    work_free(work);
    cancel_undefer(dispatcher);
}

static struct work *new_batch(enum work_kind kind, size_t limit)
{
    struct work *work = work_new(kind);
    if (work == NULL || (work->jobs = calloc(limit, sizeof *work->jobs)) == NULL) {
        work_free(work);
        return NULL; /* asked again on the next turn */
    }
    work->limit = limit;
    return work;
}

static void ask_due(struct dispatcher *dispatcher)
{
    if (dispatcher->due_running || clock_real_ms() < dispatcher->next_due_ms)
        return;
    struct work *work = new_batch(WORK_DUE, DUE_BATCH);
    if (work == NULL)
        return;
    dispatcher->due_running = true;
    dispatcher->loads_running++;
    dispatcher->next_due_ms = INT64_MAX; /* lowered by the answer, and by what is retried meanwhile */
    committer_give(dispatcher->committer, work);
}

/* True if a lane below holds slots that evict_below could take. */
static bool lower_ready(const struct dispatcher *dispatcher, uint32_t level)
{
    for (uint32_t low = 0; low < level; low++)
        if (dispatcher->lanes[low].ready.count > 0)
            return true;
    return false;
}

/* After a load that did not fit: until something was released, or a while has passed. */
static bool still_stalled(struct dispatcher *dispatcher)
{
    if (dispatcher->stalled && clock_mono_ns() - dispatcher->stalled_ns >= STALL_MS * NS_PER_MS)
        dispatcher->stalled = false;
    return dispatcher->stalled;
}

/* One load at a time, highest priority first, when few of that lane are ready and there is room. */
static void ask_load(struct dispatcher *dispatcher)
{
    uint32_t room =
        hot_most(dispatcher) > dispatcher->hot_count ? hot_most(dispatcher) - dispatcher->hot_count : 0;
    if (room > dispatcher->free_count)
        room = dispatcher->free_count;
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        struct lane *lane = &dispatcher->lanes[level];
        if (lane->loading)
            return;
        if (!lane->cold || lane->ready.count >= LOAD_BATCH * 2)
            continue;
        if (room < LOAD_BATCH && room < hot_most(dispatcher) / 4 && !lower_ready(dispatcher, (uint32_t)level))
            return;
        struct work *work = new_batch(WORK_LOAD, room < 1 ? 1 : room < LOAD_BATCH ? room : LOAD_BATCH);
        if (work == NULL)
            return;
        work->priority = (unsigned)level;
        work->after = lane->cursor;
        lane->loading = true;
        dispatcher->loads_running++;
        committer_give(dispatcher->committer, work);
        return;
    }
}

void admit_ask(struct dispatcher *dispatcher)
{
    if (dispatcher->deferred != NULL)
        return; /* cancels wait for the loads that run: no new ones before they are through */
    ask_due(dispatcher);
    if (!still_stalled(dispatcher))
        ask_load(dispatcher);
}

void admit_reopen(struct dispatcher *dispatcher, const struct job_spec *spec)
{
    struct lane *lane = lane_of(dispatcher, spec);
    lane->cold = true;
    if (lane->cursor >= spec->seq)
        lane->cursor = spec->seq - 1;
    if (spec->run_at_ms > 0 && spec->run_at_ms < dispatcher->next_due_ms)
        dispatcher->next_due_ms = spec->run_at_ms;
}

void admit_release(struct dispatcher *dispatcher, uint32_t number)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    struct claim claim = slot_claim_load(slot);
    struct claim nobody = {.generation = claim.generation, .state = SLOT_FREE};
    bool in_tray = claim.state == SLOT_DONE && slot->result_place == RESULT_TRAY;
    uint32_t tray = slot->result_worker;
    hot_remove(dispatcher->hot, number);
    if (slot_arena_bytes(slot) > 0)
        arena_release(&dispatcher->arena, slot->args_at);
    if (dispatcher->cells[number].memory)
        dispatcher->memory_count--;
    else
        dispatcher->hot_count--;
    CHECK(slot_move(slot, claim, nobody));
    if (in_tray && (tray >= dispatcher->segment->shape.worker_count ||
                    tray_reclaim(dispatcher->segment, tray) != ERR_OK))
        dispatcher_corrupt("a result tray", number);
    dispatcher->cells[number].place = CELL_NONE;
    dispatcher->free_slots[dispatcher->free_count++] = number;
    dispatcher->stalled = false;
    count_slots(dispatcher);
}
