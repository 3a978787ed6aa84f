/* A new front takes over: first the slots as they lie in shared memory, then (by the lanes)
 * the rows of the store; rows whose job has a slot are skipped. On a fresh segment all slots are FREE and the
 * store decides. */
#include "dispatcher.h"

#include "blackbox.h"
#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"
#include "ring.h"

#include <stdio.h>
#include <stdlib.h>

static void free_slot(struct dispatcher *dispatcher, uint32_t number, struct claim claim)
{
    if (claim.state == SLOT_BUILDING) { /* never acknowledged: rule of the failure matrix, row 4 */
        struct claim nobody = {.generation = claim.generation, .state = SLOT_FREE};
        CHECK(slot_move(&dispatcher->segment->slots[number], claim, nobody));
    }
    dispatcher->free_slots[dispatcher->free_count++] = number;
}

struct waiting {
    int64_t seq;
    uint32_t slot;
};

/* HELD and QUEUED wait again; RUNNING and DONE are adopted, and resolved by the first turns. */
static void take_slot(struct dispatcher *dispatcher, uint32_t number, struct waiting *waiting,
                      uint32_t *waiting_count)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    admit_adopt(dispatcher, number);
    id_raise(id_key(slot->spec.id));
    if (slot_claim_load(slot).state == SLOT_HELD || slot_unpublish(slot)) {
        waiting[(*waiting_count)++] = (struct waiting){slot->spec.seq, number};
        return;
    }
    cells_go_live(dispatcher, number);
    lineup_count(dispatcher->cells[number].lane);
    dispatcher->cells[number].expires_ms = 0;
    if (!dispatcher->cells[number].memory) /* its row will be counted as waiting, and it is not */
        lineup_wait(dispatcher->cells[number].lane, -1);
    struct claim claim = slot_claim_load(slot);
    bool cancel = atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0;
    if (cancel && claim.state == SLOT_RUNNING && claim.worker < dispatcher->segment->shape.worker_count)
        atomic_store_explicit(&dispatcher->segment->boards[claim.worker].cancel,
                              ticket_pack(number, claim.generation), memory_order_release);
}

static int by_seq(const void *a, const void *b)
{
    const struct waiting *one = a, *two = b;
    return one->seq < two->seq ? -1 : one->seq > two->seq;
}

/* In order, so that each goes to the end of its lane. */
static void line_up(struct dispatcher *dispatcher, struct waiting *waiting, uint32_t count)
{
    qsort(waiting, count, sizeof *waiting, by_seq);
    for (uint32_t i = 0; i < count; i++) {
        const struct slot *slot = &dispatcher->segment->slots[waiting[i].slot];
        if (dispatcher->cells[waiting[i].slot].memory)
            lineup_wait(dispatcher->cells[waiting[i].slot].lane, 1);
        admit_ready(dispatcher, waiting[i].slot);
        if (atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0)
            cancel_held(dispatcher, waiting[i].slot);
    }
}

/* A lane of the store: rows of it that have slots already are met, and passed, when it is read. */
static enum err take_lane(void *context, const struct store_lane *found)
{
    struct dispatcher *dispatcher = context;
    struct job_spec spec = found->spec;
    spec.lane = found->lane;
    struct lane *lane = lineup_lane(&dispatcher->lineup, &spec);
    lane->cold_seq = found->first_seq;
    lane->cold_created_ms = found->first_created_ms;
    lineup_wait(lane, found->jobs);
    if (found->last_seq > dispatcher->last_seq)
        dispatcher->last_seq = found->last_seq;
    lineup_place(&dispatcher->lineup, lane);
    return ERR_OK;
}

/* What waits in the store for its time, or for others. */
static enum err count_put_off(struct dispatcher *dispatcher, struct store_reader *reader)
{
    struct store_count *counts;
    size_t count;
    enum err err = store_counts(reader, &counts, &count);
    for (size_t i = 0; i < count; i++)
        if (admit_is_put_off(counts[i].state))
            lineup_put_off(&dispatcher->lineup, counts[i].queue, counts[i].jobs);
    free(counts);
    return err;
}

enum err recovery_take_over(struct dispatcher *dispatcher)
{
    if (segment_verify(dispatcher->segment) != ERR_OK)
        dispatcher_corrupt("the segment's header", 0);
    for (uint32_t pool = 0; pool < dispatcher->segment->shape.pool_count; pool++) {
        dispatcher->flows[pool].doubtful = true; /* the earlier front may have died in the middle of a post */
        for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
            ring_clear(segment_ring(dispatcher->segment, pool, level));
    }
    CRASH_POINT(RINGS_CLEARED);
    struct store_reader *reader = store_own_reader(dispatcher->committer->store);
    enum err err = change_load_settings(dispatcher, reader);
    if (err == ERR_OK)
        err = timetable_load(dispatcher, reader);
    if (err == ERR_OK)
        err = count_put_off(dispatcher, reader);
    if (err != ERR_OK)
        return err;
    configure(dispatcher, dispatcher->config);
    uint32_t touched =
        atomic_load_explicit(&dispatcher->segment->header->slots_touched, memory_order_acquire);
    uint32_t taken = 0, waiting_count = 0;
    struct waiting *waiting = calloc(dispatcher->segment->shape.slot_count, sizeof *waiting);
    CHECK(waiting != NULL);
    for (uint32_t i = dispatcher->segment->shape.slot_count; i-- > 0;) {
        if (i >= touched) { /* reading it would make its page */
            dispatcher->free_slots[dispatcher->free_count++] = i;
            continue;
        }
        struct claim claim = slot_claim_load(&dispatcher->segment->slots[i]);
        bool owned = claim.state == SLOT_RUNNING || claim.state == SLOT_DONE;
        if (claim.state >= SLOT_STATE_COUNT ||
            (owned && claim.worker >= dispatcher->segment->shape.worker_count))
            dispatcher_corrupt("a claim word", i);
        if (claim.state == SLOT_FREE || claim.state == SLOT_BUILDING) {
            free_slot(dispatcher, i, claim);
        } else {
            take_slot(dispatcher, i, waiting, &waiting_count);
            taken++;
            CRASH_POINT(SLOT_ADOPTED);
        }
    }
    line_up(dispatcher, waiting, waiting_count);
    free(waiting);
    CRASH_POINT(LINED_UP);
    dispatcher->scan_now = true;
    if (taken > 0)
        LOG(FRONT_RECOVER, LOG_INT("jobs", taken));
    return store_lanes(reader, take_lane, dispatcher);
}

/* --- the black box --- */

/* Raises `lost` of one job, unless its row says that this attempt was recorded after all. */
static enum err charge_one(struct store *store, const struct verdict_limits *limits,
                           const struct blackbox_charge *charge, uint32_t *charged)
{
    struct job *job;
    enum err err = store_get(store_own_reader(store), charge->id, &job);
    if (err == ERR_UNKNOWN_JOB)
        return ERR_OK; /* a job of durability memory: gone with the memory */
    if (err != ERR_OK)
        return err;
    if (job->state == JOB_QUEUED && job->spec.attempt + 1 == charge->attempt) {
        job->attempt = attempt_blank();
        job->attempt.number = charge->attempt;
        job->attempt.worker = charge->worker;
        job->attempt.started_ms = charge->started_ms;
        job->attempt.finished_ms = clock_real_ms();
        job->attempt.outcome = OUTCOME_LOST;
        job->attempt.retryable = 1;
        snprintf(job->attempt.error_code, ERROR_CODE_BYTES, "%s", err_code(ERR_WORKER_LOST));
        snprintf(job->attempt.error_message, MESSAGE_BYTES, "the whole server was killed while the job ran");
        verdict_apply(job, limits, job->attempt.finished_ms, 0);
        struct store_land land = {.job = job, .before = charge->attempt - 1, .keep_attempt = true};
        err = store_land(store, &land);
        *charged += err == ERR_OK;
    }
    job_free(job);
    return err;
}

enum err recovery_charge(struct store *store, const struct config *config)
{
    struct blackbox_charge *charges;
    uint32_t count, charged = 0;
    struct verdict_limits limits = {(uint32_t)config->jobs_max_crashes, (uint32_t)config->jobs_max_lost};
    enum err err = blackbox_read_old(config->state_dir, store_identity(store), &charges, &count);
    if (err == ERR_OK && count > 0) {
        err = store_begin(store, DURABILITY_FULL);
        for (uint32_t i = 0; err == ERR_OK && i < count; i++)
            err = charge_one(store, &limits, &charges[i], &charged);
        if (err == ERR_OK)
            err = store_commit(store);
        else
            store_rollback(store);
        if (err == ERR_OK && charged > 0)
            LOG(BOX_CHARGE, LOG_INT("jobs", charged));
    }
    free(charges);
    return err == ERR_OK ? CRASH_AROUND(BOX_FORGET, blackbox_forget(config->state_dir)) : err;
}
