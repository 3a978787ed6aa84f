#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

static bool text_ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

bool landing_spec_sound(const struct job_spec *spec)
{
    return spec->priority < PRIORITY_COUNT && spec->durability < DURABILITY_COUNT && spec->lane >= 0 &&
           spec->retry.backoff < BACKOFF_COUNT && spec->retry.jitter <= 100 &&
           spec->after_policy < AFTER_POLICY_COUNT && text_ends(spec->task, NAME_BYTES) &&
           text_ends(spec->queue, NAME_BYTES) && text_ends(spec->idempotency_key, KEY_BYTES) &&
           text_ends(spec->concurrency_key, KEY_BYTES) && text_ends(spec->traceparent, TRACEPARENT_BYTES);
}

/* What a plugin may have scribbled over is looked at before it is believed. */
static bool slot_sound(const struct dispatcher *dispatcher, uint32_t number)
{
    const struct slot *slot = &dispatcher->segment->slots[number];
    const struct attempt *attempt = &slot->attempt;
    return landing_spec_sound(&slot->spec) && id_equal(slot->spec.id, dispatcher->hot->ids[number]) &&
           slot->spec.seq == dispatcher->cells[number].seq &&
           slot->spec.flags == dispatcher->cells[number].flags && attempt->outcome < OUTCOME_COUNT &&
           text_ends(attempt->error_code, ERROR_CODE_BYTES) &&
           text_ends(attempt->error_message, MESSAGE_BYTES) &&
           text_ends(attempt->progress_message, MESSAGE_BYTES);
}

struct job *landing_job(struct dispatcher *dispatcher, uint32_t number)
{
    const struct slot *slot = &dispatcher->segment->slots[number];
    if (!slot_sound(dispatcher, number))
        dispatcher_corrupt("a slot", number);
    struct job *job = job_new();
    struct text inputs; /* looked at only: what becomes of the job needs none of them */
    CHECK(job != NULL);
    job->spec = slot->spec;
    job->attempt = slot->attempt;
    job->state = JOB_RUNNING;
    job->cancel_requested = atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0;
    if (slot_args(dispatcher->segment, slot, &job->args) != ERR_OK ||
        slot_tags(dispatcher->segment, slot, &job->tags) != ERR_OK ||
        slot_extras(dispatcher->segment, slot, &job->extras) != ERR_OK ||
        slot_inputs(dispatcher->segment, slot, &inputs) != ERR_OK)
        dispatcher_corrupt("arguments", number);
    return job;
}

/* Copies what the job borrows, for readers that outlive its slot. */
static enum err own_texts(struct job *job)
{
    struct text *texts[JOB_TEXTS] = {&job->args, &job->result, &job->tags, &job->extras, &job->inputs};
    for (int i = 0; i < JOB_TEXTS; i++) {
        if (texts[i]->at == NULL || job->owned[i] != NULL)
            continue;
        char *copy = malloc(texts[i]->bytes + 1);
        if (copy == NULL)
            return ERR_NO_MEMORY;
        memcpy(copy, texts[i]->at, texts[i]->bytes);
        copy[texts[i]->bytes] = '\0';
        job->owned[i] = copy;
        texts[i]->at = copy;
    }
    return ERR_OK;
}

void landing_send(struct dispatcher *dispatcher, uint32_t number, struct job *job, uint32_t before,
                  bool keep_attempt)
{
    struct work *work = work_new(WORK_LAND);
    CHECK(work != NULL);
    work->job = job;
    work->slot = number;
    work->keep_attempt = keep_attempt;
    work->op.land.before = before;
    dispatcher->cells[number].place = CELL_LANDING;
    dispatcher->landing_count++;
    committer_give(dispatcher->committer, work);
}

/* --- collecting what workers finished --- */

static uint64_t random_bits(void)
{
    return (uint64_t)id_random(id_new());
}

static void land_done(struct dispatcher *dispatcher, uint32_t number)
{
    const struct slot *slot = &dispatcher->segment->slots[number];
    cells_leave_live(dispatcher, number, slot->run_ns < 0 ? 0 : slot->run_ns);
    struct job *job = landing_job(dispatcher, number);
    if (job->attempt.outcome != OUTCOME_CANCELLED && slot->run_ns > 0) /* else it would have run longer */
        lineup_ran(dispatcher->cells[number].lane->task, slot->run_ns);
    if (job->attempt.outcome == OUTCOME_NONE ||
        slot_result(dispatcher->segment, slot, &job->result) != ERR_OK)
        dispatcher_corrupt("a result", number);
    uint32_t before = job->spec.attempt;
    struct verdict_limits limits = {(uint32_t)dispatcher->config->jobs_max_crashes,
                                    (uint32_t)dispatcher->config->jobs_max_lost};
    verdict_apply(job, &limits, clock_real_ms(), random_bits());
    metrics_observe(dispatcher->metrics, HISTOGRAM_JOB_WAIT, slot->wait_ns);
    metrics_observe(dispatcher->metrics, HISTOGRAM_JOB_RUN, slot->run_ns);
    CRASH_POINT(LANDING);
    landing_send(dispatcher, number, job, before, true);
}

static void take_completions(struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++) {
        uint64_t ticket;
        int taken = 0;
        if (board_overfull(&dispatcher->segment->boards[i]))
            dispatcher_corrupt("a board", CELL_END);
        while (board_take_completion(&dispatcher->segment->boards[i], &ticket)) {
            if (++taken == COMPLETIONS)
                dispatcher->scan_now = true; /* the ring was full: more may be done than it could say */
            uint32_t slot = ticket_slot(ticket);
            if (slot >= dispatcher->segment->shape.slot_count)
                dispatcher_corrupt("a completion", slot);
            struct claim claim = slot_claim_load(&dispatcher->segment->slots[slot]);
            if (dispatcher->cells[slot].place == CELL_LIVE && claim.state == SLOT_DONE &&
                claim.generation == ticket_generation(ticket))
                land_done(dispatcher, slot);
        }
    }
}

/* Completions are hints: a worker may have died between DONE and its completion, or found its ring full. */
static void scan_live(struct dispatcher *dispatcher)
{
    uint32_t next;
    for (uint32_t at = dispatcher->live.first; at != CELL_END; at = next) {
        next = dispatcher->cells[at].links[dispatcher->live.link].next;
        if (slot_claim_load(&dispatcher->segment->slots[at]).state == SLOT_DONE)
            land_done(dispatcher, at);
    }
}

/* Records of workers that died before DONE are nobody's: without this look a tray could stay full of them. */
static void reclaim_trays(const struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++)
        if (tray_used(dispatcher->segment, i) > 0 && tray_reclaim(dispatcher->segment, i) != ERR_OK)
            dispatcher_corrupt("a result tray", i);
}

void landing_collect(struct dispatcher *dispatcher)
{
    take_completions(dispatcher);
    int64_t now = clock_mono_ns();
    if (dispatcher->scan_now || now - dispatcher->scanned_ns >= SCAN_EVERY_MS * NS_PER_MS) {
        dispatcher->scan_now = false;
        dispatcher->scanned_ns = now;
        scan_live(dispatcher);
        reclaim_trays(dispatcher);
    }
}

/* --- after the commit --- */

/* Why an attempt failed, in our own words: what the task said stands in the job and in the attempt's log, and
 * may hold what is nobody else's business. */
static void say_why(const struct attempt *attempt, char reason[MESSAGE_BYTES])
{
    static const enum err OURS[] = {
        ERR_TASK_START,     ERR_BROKEN_TASK,    ERR_UNKNOWN_TASK, ERR_TIMEOUT,   ERR_RESULT_TOO_LARGE,
        ERR_INVALID_RESULT, ERR_WORKER_CRASHED, ERR_WORKER_LOST,  ERR_NO_MEMORY, ERR_EXPIRED};
    static const enum err BEGINS_OURS[] = {ERR_TASK_EXIT, ERR_TASK_SIGNAL}; /* and ": " before the task's */
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++) {
        if (strcmp(attempt->error_code, err_code(OURS[i])) == 0)
            bytes = strlen(attempt->error_message);
    }
    for (size_t i = 0; i < sizeof BEGINS_OURS / sizeof BEGINS_OURS[0]; i++) {
        if (strcmp(attempt->error_code, err_code(BEGINS_OURS[i])) == 0)
            bytes = strcspn(attempt->error_message, ":");
    }
    if (bytes > 0)
        text_copy(reason, MESSAGE_BYTES, attempt->error_message, bytes);
    else
        text_copy(reason, MESSAGE_BYTES, err_title(ERR_TASK_FAILED), strlen(err_title(ERR_TASK_FAILED)));
}

static void log_failure(enum log_event event, const struct job *job)
{
    char reason[MESSAGE_BYTES];
    say_why(&job->attempt, reason);
    log_write(event, (const struct log_field[]){LOG_ID(job->spec.id),
                                                LOG_TEXT("task", job->spec.task),
                                                LOG_INT("attempt", job->spec.attempt),
                                                LOG_TEXT("code", job->attempt.error_code),
                                                LOG_TEXT("reason", reason),
                                                {.name = NULL}});
}

static void log_outcome(const struct job *job)
{
    const struct attempt *attempt = &job->attempt;
    enum outcome outcome = (enum outcome)attempt->outcome;
    if (outcome == OUTCOME_CRASH)
        LOG(JOB_CRASH, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task),
            LOG_INT("crashes", job->spec.crashes), LOG_INT("signal", attempt->signal));
    else if (outcome == OUTCOME_LOST)
        LOG(JOB_LOST, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task),
            LOG_INT("lost", job->spec.lost));
    else if (outcome == OUTCOME_TIMEOUT)
        LOG(JOB_TIMEOUT, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task),
            LOG_INT("timeout_ms", job->spec.timeout_ms));
    if (job->state == JOB_RETRYING)
        log_failure(EVENT_JOB_RETRY, job);
    else if (job->state == JOB_FAILED)
        log_failure(EVENT_JOB_FAIL, job);
    if (job_is_terminal(job->state))
        LOG(JOB_END, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task),
            LOG_TEXT("state", job_state_text(job->state)), LOG_INT("attempt", job->spec.attempt));
}

static void count_outcome(struct dispatcher *dispatcher, const struct work *work)
{
    const struct job *job = work->job;
    struct metrics_row *row = metrics_row(dispatcher->metrics, job->spec.queue, job->spec.task);
    if (work->keep_attempt && job->spec.attempt > work->op.land.before)
        atomic_fetch_add_explicit(&row->attempts[job->attempt.outcome], 1, memory_order_relaxed);
    if (job_is_terminal(job->state))
        atomic_fetch_add_explicit(&row->finished[job->state], 1, memory_order_relaxed);
}

void landing_notify(struct waiter *waiter, struct job *job)
{
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        waiter->notify(waiter, job == NULL ? NULL : job_share(job));
        waiter = next;
    }
}

/* Terminal, or waiting in the store: the slot is free, then those who wait hear of it. */
static void leave_slot(struct dispatcher *dispatcher, struct work *work)
{
    struct job *job = work->job;
    struct waiter *waiter =
        job_is_terminal(job->state) ? waiters_take(dispatcher->waiters, job->spec.id) : NULL;
    if (waiter != NULL)
        CHECK(own_texts(job) == ERR_OK);
    admit_release(dispatcher, work->slot);
    CRASH_POINT(RELEASED);
    landing_notify(waiter, job);
    CRASH_POINT(WAITERS_TOLD);
    if (job_is_terminal(job->state)) /* who came in between saw the slot, which still read as running */
        landing_notify(waiters_take(dispatcher->waiters, job->spec.id), NULL);
    admit_put_off(dispatcher, job);
}

/* A crash or loss, now on record: the job waits again in its slot. */
static void requeue(struct dispatcher *dispatcher, struct work *work)
{
    struct slot *slot = &dispatcher->segment->slots[work->slot];
    struct claim claim = slot_claim_load(slot);
    struct claim building = {.generation = claim.generation + 1, .state = SLOT_BUILDING};
    /* BUILDING while the counters change: a reader looks into the store meanwhile, and a front that dies here
     * leaves a slot that its successor frees; the row, queued, is loaded again. Never is one death charged
     * twice. */
    CHECK(claim.state == SLOT_RUNNING && slot_move(slot, claim, building));
    CRASH_POINT(REQUEUE_BUILDING);
    slot->spec = work->job->spec;
    admit_mark_stored(dispatcher, work->slot);
    slot_hold(slot);
    dispatcher->cells[work->slot].expires_ms = 0; /* it was begun in time */
    lineup_wait(dispatcher->cells[work->slot].lane, 1);
    admit_ready(dispatcher, work->slot);
    if (atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0)
        cancel_held(dispatcher, work->slot);
}

/* It was asked to cancel after the verdict had been made, and is to be retried: cancel it in the store. */
static void cancel_retrying(struct dispatcher *dispatcher, const struct job *job)
{
    struct work *cancel = work_new(WORK_CANCEL);
    if (cancel == NULL)
        return;
    cancel->id = job->spec.id;
    cancel_asked(dispatcher, cancel);
}

void landing_outcome(struct dispatcher *dispatcher, struct work *work)
{
    uint32_t number = work->slot;
    struct job *job = work->job;
    CHECK(work->err == ERR_OK && dispatcher->cells[number].place == CELL_LANDING);
    dispatcher->landing_count--;
    CRASH_POINT(LANDED);
    bool cancelled_late = atomic_load_explicit(&dispatcher->segment->slots[number].cancel_requested,
                                               memory_order_relaxed) != 0 &&
                          !job->cancel_requested;
    struct work *parked = dispatcher->cells[number].parked;
    dispatcher->cells[number].parked = NULL;
    if (!work->op.land.landed) { /* an earlier life had committed it: the row says what the job is */
        struct lane *lane = dispatcher->cells[number].lane;
        lineup_wait(lane, 1); /* perhaps; put right once its lane is warm */
        admit_reopen(dispatcher, &job->spec);
        admit_release(dispatcher, number);
        dispatcher->next_due_ms = 0;
        landing_notify(waiters_take(dispatcher->waiters, job->spec.id), NULL);
    } else {
        count_outcome(dispatcher, work);
        log_outcome(job);
        if (job->state == JOB_QUEUED && work->keep_attempt)
            requeue(dispatcher, work);
        else
            leave_slot(dispatcher, work);
        if (cancelled_late && job->state == JOB_RETRYING)
            cancel_retrying(dispatcher, job);
    }
    deaths_landed(dispatcher, number);
    if (work->op.land.landed && job->state == JOB_CANCELLED)
        cancel_done(dispatcher, parked);
    else
        cancel_unpark(dispatcher, parked);
    work_free(work);
}
