#include "worker.h"

#include "catalogue.h"
#include "check.h"
#include "clock.h"
#include "cpus.h"
#include "crash_point.h"
#include "kind.h"
#include "log.h"
#include "paths.h"
#include "ring.h"
#include "rss.h"
#include "scoreboard.h"
#include "slots.h"
#include "title.h"
#include "trays.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IDLE_WAIT_MS = 500, TRAY_WAIT_MS = 1 };

struct worker {
    const struct worker_setup *setup;
    const struct segment *segment;
    struct board *board;
    struct catalogue *catalogue; /* owned: the epoch this worker was born under */
    const struct pool_config *pool;
    uint32_t number;
    uint16_t incarnation;
    int64_t released_ns; /* when it began to serve */
    int64_t jobs;        /* that it has run */
};

static volatile sig_atomic_t drain_asked;

static void on_drain(int number)
{
    (void)number;
    drain_asked = 1;
}

static void set_signals(void)
{
    struct sigaction drain = {.sa_handler = on_drain, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    CHECK(sigaction(SIGTERM, &drain, NULL) == 0);
    CHECK(sigaction(SIGINT, &ignore, NULL) == 0); /* Ctrl-C reaches the whole group; the supervisor decides */
    CHECK(sigaction(SIGHUP, &ignore, NULL) == 0);
    CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

static bool draining(const struct worker *worker)
{
    return drain_asked || atomic_load_explicit(&worker->segment->header->draining, memory_order_relaxed) != 0;
}

/* The first job that can be claimed, highest level first. */
static bool scan_rings(const struct worker *worker, uint64_t *ticket)
{
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        struct ring *ring = segment_ring(worker->segment, worker->setup->pool, (uint32_t)level);
        uint64_t head;
        while (ring_peek(ring, &head, ticket)) {
            CHECK(ticket_slot(*ticket) < worker->segment->shape.slot_count);
            struct slot *slot = &worker->segment->slots[ticket_slot(*ticket)];
            CRASH_POINT(CELL_READ);
            bool mine = slot_claim(slot, ticket_generation(*ticket), worker->number, worker->incarnation);
            if (mine)
                CRASH_POINT(CLAIMED);
            ring_advance(ring, head); /* killed before this line: the next worker passes the cell */
            if (mine)
                return true;
        }
    }
    return false;
}

/* --- when it has served long enough --- */

static void ring_supervisor(const struct worker *worker)
{
    uint64_t one = 1;
    ssize_t written = write(worker->setup->supervisor_wake_fd, &one, sizeof one);
    (void)written; /* it looks every 50 ms anyway */
}

static enum retire_reason reason_to_retire(const struct worker *worker)
{
    const struct pool_config *pool = worker->pool;
    if (pool->max_jobs > 0 && worker->jobs >= pool->max_jobs)
        return RETIRE_JOBS;
    if (pool->max_age_ms > 0 && clock_mono_ns() - worker->released_ns >= pool->max_age_ms * NS_PER_MS)
        return RETIRE_AGE;
    if (pool->max_rss_bytes > 0 && worker->jobs > 0 && rss_bytes(getpid()) > pool->max_rss_bytes)
        return RETIRE_RSS;
    return RETIRE_NONE;
}

/* Between two jobs: says so when it should be replaced, and ends once a replacement is offered. */
static void look_at_oneself(const struct worker *worker)
{
    uint32_t reason = atomic_load_explicit(&worker->board->retire, memory_order_relaxed);
    if (reason == RETIRE_NONE && (reason = reason_to_retire(worker)) != RETIRE_NONE) {
        atomic_store_explicit(&worker->board->retire, reason, memory_order_release); /* R1: pairs with R2 */
        ring_supervisor(worker);
    }
    uint32_t offer = SEAT_OFFERED;
    _Atomic uint32_t *seat = &worker->segment->header->seats[worker->setup->pool];
    if (reason != RETIRE_NONE &&
        atomic_compare_exchange_strong_explicit(seat, &offer, worker->number + 1, memory_order_acq_rel,
                                                memory_order_relaxed)) {
        CRASH_POINT(RECYCLED);
        _exit(WORKER_EXIT_RECYCLED);
    }
}

/* --- jobs --- */

/* `waiting` is set and nothing was found: the dispatcher is told if it keeps jobs back, which it does as long
 * as it has not seen that we wait. */
static void wait_for_work(const struct worker *worker)
{
    struct segment_header *header = worker->segment->header;
    uint32_t pool = worker->setup->pool;
    if (atomic_load_explicit(&header->backlog[pool], memory_order_relaxed) != 0) /* W2: after W1's fence */
        sem_hint(&header->done);
    CRASH_POINT(WAITING);
    sem_hint_wait(&header->work[pool], IDLE_WAIT_MS);
    CRASH_POINT(WOKEN);
}

/* Waits for a job. False: drain. `waiting` is set before the last look, so that the dispatcher either sees it
 * or has published something that this look finds, or has said that it keeps jobs back. */
static bool take_job(const struct worker *worker, uint64_t *ticket)
{
    bool idle = false;
    for (; !draining(worker); idle = true) {
        if (scan_rings(worker, ticket))
            return true;
        if (!idle)
            atomic_store_explicit(&worker->board->idle_since_ns, clock_mono_ns(), memory_order_relaxed);
        atomic_store_explicit(&worker->board->waiting, 1,
                              memory_order_seq_cst); /* W1: pairs with D1, dispatcher */
        atomic_thread_fence(memory_order_seq_cst);
        bool found = scan_rings(worker, ticket);
        if (!found && !draining(worker))
            wait_for_work(worker);
        atomic_store_explicit(&worker->board->waiting, 0, memory_order_relaxed);
        if (found)
            return true;
        look_at_oneself(worker);
    }
    return false;
}

static void fail_stopped(const struct run *run)
{
    struct attempt *attempt = run->attempt;
    double timeout = (double)run->spec->timeout_ms / 1000.0;
    if (attempt->outcome == OUTCOME_SUCCESS)
        return; /* asked to stop, but it had finished: the result stands */
    if (run->stopped == STOP_DEADLINE) {
        if (attempt->signal == SIGKILL)
            run_fail(
                (struct run *)run, ERR_TIMEOUT, true,
                "the attempt did not end within its timeout of %g s, nor on SIGTERM, and was killed %g s "
                "later",
                timeout, (double)run->spec->kill_after_ms / 1000.0);
        else
            run_fail((struct run *)run, ERR_TIMEOUT, true,
                     "the attempt did not end within its timeout of %g s", timeout);
        attempt->outcome = OUTCOME_TIMEOUT;
    } else if (run->stopped == STOP_CANCEL) {
        attempt->outcome = OUTCOME_CANCELLED;
    }
}

static enum err put_in_tray(const struct worker *worker, uint64_t ticket, struct text result, uint64_t *at)
{
    enum err err;
    while ((err = tray_put(worker->segment, worker->number, ticket, worker->incarnation, result.at,
                           result.bytes, at)) == ERR_FULL) {
        sem_hint(&worker->segment->header->done);
        clock_sleep_ms(TRAY_WAIT_MS); /* in FINISHING: no deadline strikes here */
    }
    return err;
}

/* The bytes first, then DONE. */
static void place_result(const struct worker *worker, struct slot *slot, uint64_t ticket, struct run *run)
{
    struct text result = run->result;
    if (slot->attempt.outcome != OUTCOME_SUCCESS)
        return;
    if (result.bytes <= SLOT_INLINE_BYTES) {
        CRASH_COPY(RESULT_HALF, slot->inline_result, result.at, result.bytes);
        slot->result_place = RESULT_INLINE;
    } else {
        enum err err = put_in_tray(worker, ticket, result, &slot->result_at);
        if (err != ERR_OK) {
            run_fail(run, err, false, "the result has %zu bytes, more than a tray takes", result.bytes);
            return;
        }
        CRASH_POINT(TRAY_PUT);
        slot->result_place = RESULT_TRAY;
        slot->result_worker = worker->number;
    }
    slot->result_bytes = result.bytes;
    slot->result_sum = bytes_sum(result.at, result.bytes);
    CRASH_POINT(RESULT_WRITTEN);
}

static void run_claimed(const struct worker *worker, struct slot *slot, struct run *run)
{
    run->task = catalogue_find(worker->catalogue, slot->spec.task);
    if (run->task == NULL || run->task->broken) {
        run->stopped = board_finish(worker->board);
        if (run->task == NULL)
            run_fail(run, ERR_UNKNOWN_TASK, true, "there is no task \"%s\" any more", slot->spec.task);
        else
            run_fail(run, ERR_BROKEN_TASK, true, "%s", run->task->reason);
        return;
    }
    kind_run(run);
}

/* One claimed job, from its deadline to DONE. Not inlined, since its instructions are counted by a test. */
__attribute__((noinline)) static void run_job(const struct worker *worker, uint64_t ticket)
{
    struct slot *slot = &worker->segment->slots[ticket_slot(ticket)];
    const struct config *config = worker->setup->config;
    if (slot->spec.epoch > worker->catalogue->epoch)
        _exit(WORKER_EXIT_RECYCLED); /* accepted under a newer catalogue: the claim falls back uncharged */
    CRASH_POINT(ADVANCED);
    atomic_store_explicit(&worker->board->idle_since_ns, 0, memory_order_relaxed);
    int64_t now_ms = clock_real_ms();
    blackbox_begin(worker->setup->box, worker->number, slot->spec.id, slot->spec.attempt + 1, now_ms);
    CRASH_POINT(BOX_BEGUN);
    slot_begin_attempt(slot, worker->number, now_ms);
    CRASH_POINT(ATTEMPT_BEGUN);
    int64_t begun_ns = clock_mono_ns();
    slot->wait_ns = begun_ns - slot->queued_ns;
    board_begin(worker->board, ticket, begun_ns + slot->spec.timeout_ms * NS_PER_MS,
                slot->spec.kill_after_ms * NS_PER_MS);
    CRASH_POINT(RUNNING);

    char path[PATH_BYTES];
    CHECK(log_path(config->state_dir, slot->spec.id, slot->spec.attempt + 1, path) == ERR_OK);
    struct run run = {.tasks_dir = worker->catalogue->tasks_dir,
                      .spec = &slot->spec,
                      .attempt_number = slot->spec.attempt + 1,
                      .log_path = path,
                      .max_result = config->jobs_max_result,
                      .max_log = config->jobs_max_log,
                      .board = worker->board,
                      .box_group = &worker->setup->box->entries[worker->number].group,
                      .slot = slot,
                      .attempt = &slot->attempt};
    CHECK(slot_args(worker->segment, slot, &run.args) == ERR_OK);
    CHECK(slot_inputs(worker->segment, slot, &run.inputs) == ERR_OK);
    run_claimed(worker, slot, &run);
    fail_stopped(&run);
    slot->attempt.finished_ms = clock_real_ms();
    slot->run_ns = clock_mono_ns() - begun_ns;
    place_result(worker, slot, ticket, &run);

    slot_finish(slot, worker->number, worker->incarnation);
    CRASH_POINT(DONE);
    board_complete(worker->board, ticket);
    CRASH_POINT(COMPLETED);
    atomic_fetch_add_explicit(&worker->board->jobs_done, 1, memory_order_relaxed);
    blackbox_end(worker->setup->box, worker->number);
    CRASH_POINT(BOX_ENDED);
    board_idle(worker->board);
    CRASH_POINT(IDLE);
    sem_hint(&worker->segment->header->done);
}

/* --- the process --- */

/* It serves on when it may not have what its pool is to have; the log says so. */
static void set_share(const struct pool_config *pool)
{
    cpu_set_t cpus;
    if (pool->nice != 0 && setpriority(PRIO_PROCESS, 0, (int)pool->nice) != 0)
        log_errno("setpriority", pool->name);
    if (pool->cpus[0] != '\0' && cpus_parse(pool->cpus, &cpus) == ERR_OK &&
        sched_setaffinity(0, sizeof cpus, &cpus) != 0)
        log_errno("sched_setaffinity", pool->name);
}

static void load_plugins(const struct catalogue *catalogue)
{
    for (uint32_t i = 0; i < catalogue->task_count; i++) {
        const struct task *task = &catalogue->tasks[i];
        if (task->kind == TASK_PLUGIN && !task->broken)
            kind_plugin_load(task->path);
    }
}

/* A replacement, until the one that it replaces is gone: everything is loaded, so that its first job is not
 * slower than the last one of the other. False: drain. */
static bool wait_for_release(const struct worker *worker)
{
    struct board *board = worker->board;
    load_plugins(worker->catalogue);
    atomic_store_explicit(&board->standing, 1, memory_order_release); /* R3: pairs with R4 */
    CRASH_POINT(STANDING);
    ring_supervisor(worker);
    while (!draining(worker)) {
        if (atomic_load_explicit(&board->released, memory_order_acquire) != 0) /* R5: pairs with R6 */
            return true;
        sem_hint_wait(&board->go, IDLE_WAIT_MS);
    }
    return false;
}

static void serve(struct worker *worker)
{
    uint64_t ticket;
    worker->released_ns = clock_mono_ns();
    while (take_job(worker, &ticket)) {
        run_job(worker, ticket);
        worker->jobs++;
        look_at_oneself(worker);
    }
}

_Noreturn void worker_main(const struct worker_setup *setup)
{
    static char name[NAME_BYTES + 32];
    const struct pool_config *pool = &setup->config->pools[setup->pool];
    snprintf(name, sizeof name, "worker %s/%u", pool->name,
             setup->number - setup->segment->shape.pools[setup->pool].first);
    CRASH_PROCESS(WORKER);
    title_set("forkpool: %s", name);
    log_init(name, (enum log_level)setup->config->log_level, (enum log_format)setup->config->log_format);
    set_signals();
    set_share(pool);
    struct worker worker = {.setup = setup,
                            .segment = setup->segment,
                            .board = &setup->segment->boards[setup->number],
                            .pool = pool,
                            .number = setup->number,
                            .incarnation = setup->incarnation};
    if (catalogue_copy(setup->segment, &worker.catalogue) != ERR_OK) {
        LOG(WORKER_FAIL, LOG_TEXT("reason", "there is no catalogue of tasks"));
        _exit(WORKER_EXIT_SETUP);
    }
    atomic_store_explicit(&worker.board->epoch, worker.catalogue->epoch, memory_order_relaxed);
    if (setup->standby == 0 || wait_for_release(&worker))
        serve(&worker);
    _exit(WORKER_EXIT_DRAINED);
}
