#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The slot that a dead worker still holds: RUNNING by that worker in that incarnation. CELL_END: it held
 * none. */
static uint32_t find_held(const struct dispatcher *dispatcher, uint32_t worker, uint16_t incarnation)
{
    for (uint32_t at = dispatcher->live.first; at != CELL_END;
         at = dispatcher->cells[at].links[dispatcher->live.link].next) {
        struct claim claim = slot_claim_load(&dispatcher->segment->slots[at]);
        if (claim.state == SLOT_RUNNING && claim.worker == worker && claim.incarnation == incarnation)
            return at;
    }
    return CELL_END;
}

static void say(struct attempt *attempt, enum err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct attempt *attempt, enum err code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    snprintf(attempt->error_code, sizeof attempt->error_code, "%s", err_code(code));
    vsnprintf(attempt->error_message, sizeof attempt->error_message, format, list);
    va_end(list);
}

static void describe_crash(struct attempt *attempt, const struct death *death)
{
    if (death->oom)
        say(attempt, ERR_WORKER_CRASHED, "the kernel killed the worker: out of memory");
    else if (death->signal > 0)
        say(attempt, ERR_WORKER_CRASHED, "the task took its worker down: signal %d (%s)", (int)death->signal,
            strsignal(death->signal));
    else
        say(attempt, ERR_WORKER_CRASHED, "the task ended its worker with exit status %d",
            (int)death->exit_code);
}

/* What the dead cannot write itself. */
static void describe(struct job *job, const struct death *death)
{
    struct attempt *attempt = &job->attempt;
    attempt->finished_ms = death->died_ms;
    attempt->max_rss_bytes = death->max_rss_bytes;
    attempt->signal = death->signal;
    attempt->exit_code = death->exit_code;
    attempt->retryable = 1;
    switch ((enum death_cause)death->cause) {
    case DEATH_CRASH:
        attempt->outcome = OUTCOME_CRASH;
        describe_crash(attempt, death);
        break;
    case DEATH_DEADLINE:
        attempt->outcome = OUTCOME_TIMEOUT;
        say(attempt, ERR_TIMEOUT,
            "the attempt did not end within its timeout of %g s, nor when asked to, and was killed with its "
            "worker",
            (double)job->spec.timeout_ms / 1000.0);
        break;
    case DEATH_CANCEL:
        attempt->outcome = OUTCOME_CANCELLED;
        say(attempt, ERR_JOB_CANCELLED, "the attempt was killed on request");
        break;
    case DEATH_LOST:
    case DEATH_NONE:
    case DEATH_DRAINED:
    case DEATH_RECYCLED:
    case DEATH_CAUSE_COUNT:
        attempt->outcome = OUTCOME_LOST;
        say(attempt, ERR_WORKER_LOST, "the worker was killed from outside");
        break;
    }
}

/* The claim came before the board and the record of the attempt: it may have died in between. */
static void begin_if_unbegun(struct job *job, uint32_t worker, const struct death *death)
{
    struct attempt *attempt = &job->attempt;
    if (attempt->number == job->spec.attempt + 1 && attempt->started_ms > 0) {
        attempt->outcome = OUTCOME_NONE;
        return;
    }
    *attempt = attempt_blank();
    attempt->number = job->spec.attempt + 1;
    attempt->worker = (int32_t)worker;
    attempt->started_ms = death->died_ms;
}

/* Drain, reload: nothing is charged, the job waits again. */
static void give_back(struct dispatcher *dispatcher, uint32_t number)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    struct claim claim = slot_claim_load(slot);
    struct claim held = {.generation = claim.generation + 1, .state = SLOT_HELD};
    slot->attempt =
        attempt_blank(); /* the next run has the same number: nothing of this one may look like it */
    CHECK(slot_move(slot, claim, held));
    cells_leave_live(dispatcher, number, 0);
    dispatcher->cells[number].expires_ms = 0;
    lineup_wait(dispatcher->cells[number].lane, 1);
    admit_ready(dispatcher, number);
    if (atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0)
        cancel_held(dispatcher, number);
}

/* By the clocks on the walls: good enough for the fair share of its queue. */
static int64_t ran_ns(const struct slot *slot, const struct death *death)
{
    int64_t ms = slot->attempt.started_ms > 0 ? death->died_ms - slot->attempt.started_ms : 0;
    return ms > 0 && ms < slot->spec.timeout_ms + slot->spec.kill_after_ms ? ms * NS_PER_MS : 0;
}

static void charge(struct dispatcher *dispatcher, uint32_t worker, uint32_t number, const struct death *death)
{
    cells_leave_live(dispatcher, number, ran_ns(&dispatcher->segment->slots[number], death));
    struct job *job = landing_job(dispatcher, number);
    begin_if_unbegun(job, worker, death);
    describe(job, death);
    uint32_t before = job->spec.attempt;
    struct verdict_limits limits = {(uint32_t)dispatcher->config->jobs_max_crashes,
                                    (uint32_t)dispatcher->config->jobs_max_lost};
    verdict_apply(job, &limits, clock_real_ms(), (uint64_t)id_random(id_new()));
    dispatcher->death_slots[worker] = number;
    landing_send(dispatcher, number, job, before, true); /* committed before it is requeued */
    CRASH_POINT(CHARGED);
}

/* The oldest unacknowledged death of a worker. One at a time: it is acknowledged once its job has landed. */
static void resolve(struct dispatcher *dispatcher, uint32_t worker)
{
    struct board *board = &dispatcher->segment->boards[worker];
    struct death death;
    if (board_overfull(board))
        dispatcher_corrupt("a board", CELL_END);
    while (dispatcher->death_slots[worker] == CELL_END && board_read_death(board, &death)) {
        uint32_t now = atomic_load_explicit(&board->incarnation, memory_order_acquire);
        if ((int16_t)((uint16_t)now - death.incarnation) <= 0)
            return;                  /* the death is written before the incarnation is raised */
        dispatcher->scan_now = true; /* it may have died between DONE and its completion */
        dispatcher->flows[segment_pool_of(dispatcher->segment, worker)].doubtful = true;
        uint32_t slot = find_held(dispatcher, worker, death.incarnation);
        if (slot != CELL_END && death.cause != DEATH_DRAINED && death.cause != DEATH_RECYCLED) {
            charge(dispatcher, worker, slot, &death);
            return;
        }
        if (slot != CELL_END)
            give_back(dispatcher, slot);
        if (slot != CELL_END)
            CRASH_POINT(GIVEN_BACK);
        board_ack_death(board);
    }
}

void deaths_resolve(struct dispatcher *dispatcher)
{
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++)
        resolve(dispatcher, i);
}

void deaths_landed(struct dispatcher *dispatcher, uint32_t number)
{
    for (uint32_t i = 0; i < dispatcher->segment->shape.worker_count; i++) {
        if (dispatcher->death_slots[i] != number)
            continue;
        dispatcher->death_slots[i] = CELL_END;
        CRASH_POINT(REQUEUED);
        board_ack_death(&dispatcher->segment->boards[i]);
        CRASH_POINT(DEATH_ACKED);
    }
}
