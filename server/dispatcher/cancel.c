#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* A verdict without an attempt: HELD stays HELD until it is committed, so a front that dies here has changed
 * nothing. */
static void land_unrun(struct dispatcher *dispatcher, uint32_t number, enum job_state state,
                       enum outcome outcome)
{
    struct job *job = landing_job(dispatcher, number);
    uint32_t before = job->spec.attempt;
    job->state = state;
    job->attempt = attempt_blank();
    job->attempt.outcome = (uint8_t)outcome;
    job->attempt.finished_ms = clock_real_ms();
    if (state == JOB_FAILED)
        attempt_expire(&job->attempt, job->spec.expires_ms);
    lineup_wait(dispatcher->cells[number].lane, -1);
    landing_send(dispatcher, number, job, before, state == JOB_FAILED); /* why it failed is kept */
}

void cancel_held(struct dispatcher *dispatcher, uint32_t number)
{
    /* Marked first: should we die after the commit, the next front finds the slot HELD, and must not publish
     * it. */
    atomic_store_explicit(&dispatcher->segment->slots[number].cancel_requested, 1, memory_order_relaxed);
    cells_leave_ready(dispatcher, number);
    land_unrun(dispatcher, number, JOB_CANCELLED, OUTCOME_CANCELLED);
}

void cancel_expired(struct dispatcher *dispatcher, uint32_t number)
{
    cells_leave_ready(dispatcher, number);
    land_unrun(dispatcher, number, JOB_FAILED, OUTCOME_ERROR);
}

/* It runs: the supervisor is told, the store remembers, then the requester hears that it was asked. */
static void ask_running(struct dispatcher *dispatcher, struct work *work, uint32_t number, struct claim claim)
{
    CHECK(claim.worker < dispatcher->segment->shape.worker_count);
    struct slot *slot = &dispatcher->segment->slots[number];
    atomic_store_explicit(&slot->cancel_requested, 1, memory_order_relaxed);
    CRASH_POINT(CANCEL_NOTED);
    atomic_store_explicit(&dispatcher->segment->boards[claim.worker].cancel,
                          ticket_pack(number, claim.generation), memory_order_release);
    CRASH_POINT(CANCEL_SENT);
    uint64_t one = 1;
    if (write(dispatcher->supervisor_wake_fd, &one, sizeof one) < 0)
        CHECK(errno == EAGAIN);
    LOG(JOB_CANCEL, LOG_ID(slot->spec.id));
    work->ending = END_ASK; /* kept by the store, or a kill of everything would forget that it was asked */
    committer_give(dispatcher->committer, work);
}

/* It has a slot. */
static void cancel_hot(struct dispatcher *dispatcher, struct work *work, uint32_t number)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    if (dispatcher->cells[number].place == CELL_LIVE)
        publish_take_back(dispatcher, number); /* if no worker has it */
    if (dispatcher->cells[number].place == CELL_READY) {
        cells_park(dispatcher, number, work);
        cancel_held(dispatcher, number);
        return;
    }
    struct claim claim = slot_claim_load(slot);
    bool runs = dispatcher->cells[number].place == CELL_LIVE && claim.state == SLOT_RUNNING;
    if (runs && work->errand != NULL && work->errand->waiting)
        work_answer(work, ERR_NOT_NOW);
    else if (runs)
        ask_running(dispatcher, work, number, claim);
    else
        cells_park(dispatcher, number, work); /* it lands on this turn or one of the next */
}

/* It has a slot, and should have been started by now. One that is running was. */
static void expire_hot(struct dispatcher *dispatcher, struct work *work, uint32_t number)
{
    const struct cell *cell = &dispatcher->cells[number];
    work_free(work);
    if (cell->expires_ms == 0 || (cell->place == CELL_LIVE && !publish_take_back(dispatcher, number)))
        return;
    if (cell->place == CELL_READY)
        cancel_expired(dispatcher, number);
}

void cancel_asked(struct dispatcher *dispatcher, struct work *work)
{
    uint32_t slot = hot_find(dispatcher->hot, work->id);
    if (slot != HOT_NONE && work->ending == END_EXPIRE) {
        expire_hot(dispatcher, work, slot);
    } else if (slot != HOT_NONE) {
        cancel_hot(dispatcher, work, slot);
    } else if (dispatcher->loads_running > 0 ||
               change_on_way(dispatcher, work->id)) { /* the job may be on its way into a slot */
        work->parked = dispatcher->deferred;
        dispatcher->deferred = work;
    } else {
        committer_give(dispatcher->committer, work);
    }
}

/* It has ended in the store, where it waited without a slot. */
static void count_ended(struct dispatcher *dispatcher, const struct job *job, enum job_state from)
{
    struct lane *lane = lineup_find(&dispatcher->lineup, job->spec.lane);
    struct metrics_row *row = metrics_row(dispatcher->metrics, job->spec.queue, job->spec.task);
    atomic_fetch_add_explicit(&row->finished[job->state], 1, memory_order_relaxed);
    if (from == JOB_QUEUED && lane != NULL)
        lineup_wait(lane, -1);
    admit_put_off_ends(dispatcher, &job->spec, from);
    LOG(JOB_END, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task),
        LOG_TEXT("state", job_state_text(job->state)), LOG_INT("attempt", job->spec.attempt));
}

void cancel_ended_cold(struct dispatcher *dispatcher, const struct job *job, enum job_state from)
{
    count_ended(dispatcher, job, from);
    landing_notify(waiters_take(dispatcher->waiters, job->spec.id), NULL);
}

/* From the store: ended there, or not waiting there. */
void cancel_answered(struct dispatcher *dispatcher, struct work *work)
{
    struct id id = work->id;
    enum err err = work->err;
    if (err == ERR_OK && work->job != NULL)
        count_ended(dispatcher, work->job, work->op.end.from);
    if (work->ending == END_ASK) { /* whatever the store said: the job was told */
        work_answer(work, ERR_AGAIN);
        return;
    }
    work_answer(work, err);
    uint32_t slot = err == ERR_OK ? hot_find(dispatcher->hot, id) : HOT_NONE;
    struct work *again = slot == HOT_NONE ? NULL : work_new(WORK_CANCEL);
    if (again != NULL) { /* it got its slot while the store cancelled it: take it out of there, too */
        again->id = id;
        cancel_hot(dispatcher, again, slot);
    }
    if (err == ERR_OK)
        landing_notify(waiters_take(dispatcher->waiters, id), NULL);
}

static void ask_again(struct dispatcher *dispatcher, struct work *parked)
{
    parked->parked = NULL;
    if (parked->kind == WORK_CANCEL)
        cancel_asked(dispatcher, parked);
    else if (parked->kind == WORK_PATCH)
        change_asked(dispatcher, parked);
    else if (parked->kind == WORK_REPLACE)
        replace_asked(dispatcher, parked);
    else
        finished_asked(dispatcher, parked);
}

void cancel_done(struct dispatcher *dispatcher, struct work *parked)
{
    while (parked != NULL) {
        struct work *next = parked->parked;
        if (parked->kind == WORK_CANCEL)
            work_answer(parked, ERR_OK);
        else
            ask_again(dispatcher, parked);
        parked = next;
    }
}

static void answer_all(struct work *parked, enum err err)
{
    while (parked != NULL) {
        struct work *next = parked->parked;
        work_answer(parked, err);
        parked = next;
    }
}

void cancel_unpark(struct dispatcher *dispatcher, struct work *parked)
{
    while (parked != NULL) {
        struct work *next = parked->parked;
        ask_again(dispatcher, parked);
        parked = next;
    }
}

void cancel_refuse_parked(struct dispatcher *dispatcher)
{
    if (!dispatcher->any_parked || !atomic_load_explicit(&dispatcher->committer->full, memory_order_relaxed))
        return;
    dispatcher->any_parked = false;
    for (uint32_t i = 0; i < dispatcher->segment->shape.slot_count; i++) {
        struct cell *cell = &dispatcher->cells[i];
        if (cell->place != CELL_LANDING) {
            dispatcher->any_parked = dispatcher->any_parked || cell->parked != NULL;
            continue;
        }
        answer_all(cell->parked, ERR_STORE_FULL);
        cell->parked = NULL;
    }
}

void cancel_undefer(struct dispatcher *dispatcher)
{
    if (dispatcher->loads_running > 0)
        return;
    struct work *deferred = dispatcher->deferred;
    dispatcher->deferred = NULL;
    cancel_unpark(dispatcher, deferred);
}
