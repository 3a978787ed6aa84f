#include "supervisor.h"

#include "clock.h"
#include "crash_point.h"
#include "log.h"

#include <signal.h>

enum { LAST_GRACE_MS = 1000 }; /* from the SIGKILL of a task's group until its worker goes too */

static void signal_group(const struct board *board, int number)
{
    pid_t group = atomic_load_explicit(&board->group, memory_order_relaxed);
    if (group > 0)
        kill(-group, number);
}

/* A signal for the task's group, in SIGNALLING: the worker cannot end the run, nor reap the group's leader,
 * before we are done, so the number cannot be another's by now. */
static bool signal_run(struct board *board, uint64_t seen, int number)
{
    if (!board_move_run(board, seen, RUN_SIGNALLING))
        return false;
    atomic_thread_fence(
        memory_order_seq_cst); /* B7: the phase before the group; pairs with K1 in command_spawn */
    CRASH_POINT(STOP_SIGNALLING);
    signal_group(board, number);
    CRASH_POINT(STOP_SIGNALLED);
    return board_move_run(board, run_pack(run_number(seen), RUN_SIGNALLING), RUN_STOPPING);
}

static enum stop_cause wanted_stop(const struct board *board, int64_t now)
{
    uint64_t cancel = atomic_load_explicit(&board->cancel, memory_order_acquire);
    if (cancel != 0 && cancel == atomic_load_explicit(&board->ticket, memory_order_relaxed))
        return STOP_CANCEL;
    return now >= atomic_load_explicit(&board->soft_ns, memory_order_relaxed) ? STOP_DEADLINE : STOP_NONE;
}

/* RUNNING → STOPPING when its time is over or a cancel names it. */
static void ask(struct worker_child *child, struct board *board, uint64_t seen, int64_t now)
{
    enum stop_cause cause = wanted_stop(board, now);
    if (cause == STOP_NONE)
        return;
    atomic_store_explicit(&board->stop_cause, cause,
                          memory_order_relaxed); /* before the CAS that publishes it */
    bool child_there = atomic_load_explicit(&board->group, memory_order_relaxed) > 0;
    if (!signal_run(board, seen, SIGTERM))
        return; /* it ended in between: the run number or phase has moved on */
    CRASH_POINT(STOP_STOPPING);
    child->stop_run = run_number(seen);
    child->stop_ns = now;
    child->stop_signalled = child_there;
    child->stop_killed = false;
}

static void kill_worker(struct worker_child *child, struct board *board, uint64_t seen)
{
    if (!board_move_run(board, seen, RUN_KILLED))
        return;
    CRASH_POINT(STOP_KILLED);
    signal_group(board, SIGKILL);
    kill(child->pid, SIGKILL); /* ours until we wait for it: the number cannot be reused */
}

/* STOPPING: a late SIGTERM if the group came late, SIGKILL for the group after the grace, then for the
 * worker. A task without a group (a plugin) lives in the worker: it goes at once. */
static void press(struct worker_child *child, struct board *board, uint64_t seen, int64_t now)
{
    bool child_there = atomic_load_explicit(&board->group, memory_order_relaxed) > 0;
    int64_t grace_ns = atomic_load_explicit(&board->kill_after_ns, memory_order_relaxed);
    if (child->stop_run != run_number(seen)) { /* cannot be: only we move a run to STOPPING */
        child->stop_run = run_number(seen);
        child->stop_ns = now;
        return;
    }
    if (now - child->stop_ns < grace_ns) {
        if (child_there && !child->stop_signalled)
            child->stop_signalled = signal_run(board, seen, SIGTERM);
    } else if (child_there && !child->stop_killed) {
        child->stop_killed = signal_run(board, seen, SIGKILL);
    } else if (!child_there || now - child->stop_ns >= grace_ns + LAST_GRACE_MS * NS_PER_MS) {
        kill_worker(child, board, seen);
    }
}

void stops_check(struct supervisor *supervisor)
{
    int64_t now = clock_mono_ns();
    for (uint32_t i = 0; i < supervisor->worker_count; i++) {
        struct worker_child *child = &supervisor->workers[i];
        struct board *board = &supervisor->segment.boards[i];
        if (child->pid == 0)
            continue;
        uint64_t seen =
            atomic_load_explicit(&board->run, memory_order_acquire); /* B2: acquire, pairs with B1 */
        if (run_phase(seen) == RUN_RUNNING)
            ask(child, board, seen, now);
        else if (run_phase(seen) == RUN_STOPPING)
            press(child, board, seen, now);
    }
}

void stops_drain(struct supervisor *supervisor, uint32_t number)
{
    struct worker_child *child = &supervisor->workers[number];
    if (child->pid > 0) {
        uint32_t pool = segment_pool_of(&supervisor->segment, number);
        child->told_to_end = true;
        kill(child->pid, SIGTERM);
        sem_hint(&supervisor->segment.header->work[pool]);
    }
}

/* Wins the run word, so that the worker does not land the death of its child as a failure. False: it is
 * publishing a result. */
static bool win_run(struct board *board)
{
    for (;;) {
        uint64_t seen = atomic_load_explicit(&board->run, memory_order_acquire);
        enum run_phase phase = run_phase(seen);
        if (phase == RUN_FINISHING)
            return false;
        if (phase == RUN_IDLE || phase == RUN_KILLED || board_move_run(board, seen, RUN_KILLED))
            return true;
    }
}

void stops_kill(struct supervisor *supervisor, uint32_t number, bool force)
{
    struct worker_child *child = &supervisor->workers[number];
    if (child->pid == 0 || (!win_run(&supervisor->segment.boards[number]) && !force))
        return;
    CRASH_POINT(DRAIN_KILLING);
    child->ordered = true;
    signal_group(&supervisor->segment.boards[number], SIGKILL);
    kill(child->pid, SIGKILL);
}
