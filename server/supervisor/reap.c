#include "supervisor.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "front.h"
#include "log.h"
#include "oom.h"
#include "worker_setup.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKOFF_FIRST_MS = 10, BACKOFF_LAST_MS = 5000, QUICK_DEATH_S = 10 };

/* --- why it died --- */

static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
           signal == SIGABRT || signal == SIGSYS || signal == SIGTRAP;
}

/* True if the OOM killer of our cgroup has struck since the last look. */
static bool oom_struck(struct supervisor *supervisor)
{
    uint64_t kills = oom_kills();
    bool struck = kills > supervisor->oom_kills;
    supervisor->oom_kills = kills;
    return struck;
}

static enum death_cause killed_cause(const struct board *board)
{
    return atomic_load_explicit(&board->stop_cause, memory_order_relaxed) == STOP_CANCEL ? DEATH_CANCEL
                                                                                         : DEATH_DEADLINE;
}

static enum death_cause find_cause(struct supervisor *supervisor, uint32_t number, int status, bool *oom)
{
    const struct worker_child *child = &supervisor->workers[number];
    const struct board *board = &supervisor->segment.boards[number];
    enum run_phase phase = run_phase(atomic_load_explicit(&board->run, memory_order_acquire));
    *oom = false;
    if (child->ordered)
        return DEATH_DRAINED;
    if (phase == RUN_KILLED)
        return killed_cause(board);
    if (WIFEXITED(status)) {
        if (phase == RUN_IDLE && WEXITSTATUS(status) == WORKER_EXIT_RECYCLED)
            return DEATH_RECYCLED;
        if (phase == RUN_IDLE && WEXITSTATUS(status) == WORKER_EXIT_DRAINED)
            return DEATH_DRAINED;
        return phase == RUN_IDLE ? DEATH_LOST
                                 : DEATH_CRASH; /* a task that called exit() took its worker along */
    }
    if (is_fault(WTERMSIG(status)))
        return DEATH_CRASH;
    *oom = WTERMSIG(status) == SIGKILL && oom_struck(supervisor);
    return *oom ? DEATH_CRASH : DEATH_LOST;
}

/* --- workers --- */

static void set_backoff(struct supervisor *supervisor, uint32_t number)
{
    struct worker_child *child = &supervisor->workers[number];
    struct board *board = &supervisor->segment.boards[number];
    bool claimed = atomic_load_explicit(&board->ticket, memory_order_relaxed) != child->ticket_at_spawn;
    bool failed = child->death.cause == DEATH_CRASH || child->death.cause == DEATH_LOST;
    if (claimed || !failed || child->death.signal == SIGKILL) {
        child->backoff_ms = 0;
        child->respawn_ns = 0;
        return;
    }
    child->backoff_ms = child->backoff_ms == 0 ? BACKOFF_FIRST_MS : child->backoff_ms * 2;
    if (child->backoff_ms > BACKOFF_LAST_MS)
        child->backoff_ms = BACKOFF_LAST_MS;
    child->respawn_ns = clock_mono_ns() + child->backoff_ms * NS_PER_MS;
    LOG(WORKER_BACKOFF, LOG_INT("worker", number), LOG_INT("pause_ms", child->backoff_ms),
        LOG_INT("exit_code", child->death.exit_code), LOG_INT("signal", child->death.signal));
}

static void bury_worker(struct supervisor *supervisor, uint32_t number, int status,
                        const struct rusage *usage)
{
    struct worker_child *child = &supervisor->workers[number];
    struct board *board = &supervisor->segment.boards[number];
    bool oom;
    enum death_cause cause = find_cause(supervisor, number, status, &oom);
    child->death = (struct death){
        .ticket = atomic_load_explicit(&board->ticket, memory_order_relaxed),
        .cpu_us = (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL + usage->ru_utime.tv_usec +
                  usage->ru_stime.tv_usec,
        .max_rss_bytes = usage->ru_maxrss * 1024LL,
        .died_ms = clock_real_ms(),
        .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1,
        .incarnation = (uint16_t)atomic_load_explicit(&board->incarnation, memory_order_relaxed),
        .cause = (uint16_t)cause,
        .oom = oom};
    child->pid = 0;
    child->group = atomic_load_explicit(&board->group, memory_order_relaxed);
    atomic_store_explicit(&board->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&board->status, WORKER_DYING, memory_order_relaxed);
    CRASH_POINT(BURIED);
    if (cause != DEATH_DRAINED && cause != DEATH_RECYCLED)
        LOG(WORKER_DIED, LOG_INT("worker", number), LOG_TEXT("cause", death_cause_text(cause)),
            LOG_INT("exit_code", child->death.exit_code), LOG_INT("signal", child->death.signal));
}

bool reap_group_gone(pid_t group)
{
    return group <= 0 || (kill(-group, SIGKILL) < 0 && errno == ESRCH);
}

void reap_settle(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->worker_count; i++) {
        struct worker_child *child = &supervisor->workers[i];
        struct board *board = &supervisor->segment.boards[i];
        if (atomic_load_explicit(&board->status, memory_order_relaxed) != WORKER_DYING ||
            !reap_group_gone(child->group))
            continue;
        CRASH_POINT(GROUP_GONE);
        CHECK(board_add_death(board, &child->death)); /* room was checked before it was spawned */
        CRASH_POINT(DEATH_RECORDED);
        atomic_fetch_add_explicit(&board->restarts[child->death.cause], 1, memory_order_relaxed);
        if (!pools_standby_died(supervisor, i))
            set_backoff(supervisor, i);
        /* The death first, then the incarnation, then the posts. S9: release; all that the dead one wrote
         * lies before it, for it was waited for. Pairs with S8 and deaths_resolve. */
        atomic_fetch_add_explicit(&board->incarnation, 1, memory_order_release);
        CRASH_POINT(INCARNATION_RAISED);
        atomic_store_explicit(&board->status, child->respawn_ns > 0 ? WORKER_BACKOFF : WORKER_ABSENT,
                              memory_order_relaxed);
        uint32_t pool = segment_pool_of(&supervisor->segment, i);
        sem_hint(&supervisor->segment.header->work[pool]); /* it may have died with a token */
        CRASH_POINT(DEATH_POSTED);
        sem_hint(&supervisor->segment.header->done);
    }
}

bool reap_workers_gone(const struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->worker_count; i++) {
        uint32_t status = atomic_load_explicit(&supervisor->segment.boards[i].status, memory_order_relaxed);
        if (status == WORKER_LIVE || status == WORKER_STANDBY || status == WORKER_DYING)
            return false;
    }
    return true;
}

/* --- front and probe --- */

static void front_died(struct supervisor *supervisor, int status)
{
    int64_t now = clock_mono_ns();
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
    CRASH_POINT(FRONT_REAPED);
    supervisor->front = 0;
    atomic_store_explicit(&supervisor->segment.header->front_pid, 0, memory_order_relaxed);
    /* Killed from outside at the end of a drain: the next one finishes it. */
    bool finish =
        supervisor->front_stopping && code < 0 && !is_fault(signal) && now < supervisor->drain_until_ns;
    if ((supervisor->front_stopping && !finish) || code == FRONT_EXIT_FATAL || code == FRONT_EXIT_STORE) {
        supervisor_stop(supervisor, supervisor->front_stopping && code == FRONT_EXIT_DRAINED ? 0
                                    : code > 0                                               ? code
                                               : FRONT_EXIT_FATAL);
        return;
    }
    LOG(FRONT_DIED, LOG_INT("exit_code", code), LOG_INT("signal", signal));
    atomic_fetch_add_explicit(&supervisor->segment.header->front_restarts, 1, memory_order_relaxed);
    if (code == FRONT_EXIT_CORRUPT) {
        supervisor_reset(supervisor, "the front found the segment corrupt");
        return;
    }
    /* Only deaths by its own fault speak against the segment; a kill from outside does not. */
    bool quick =
        now - supervisor->front_spawned_ns < QUICK_DEATH_S * NS_PER_SEC && (is_fault(signal) || code > 0);
    supervisor->front_quick_deaths = quick ? supervisor->front_quick_deaths + 1 : 0;
    if (supervisor->front_quick_deaths >= 2)
        supervisor_reset(supervisor, "the front died twice within 10 s of its start");
    else
        spawn_front(supervisor);
}

static void probe_died(struct supervisor *supervisor, int status)
{
    struct segment_header *header = supervisor->segment.header;
    supervisor->probe = 0;
    bool first = atomic_load_explicit(&header->catalogue_epoch, memory_order_relaxed) == 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        CRASH_POINT(PROBE_REAPED);
        atomic_store_explicit(&header->catalogue_epoch, supervisor->probe_epoch, memory_order_release);
        sem_hint(&header->done);
        for (uint32_t i = 0; !first && i < supervisor->worker_count; i++)
            stops_drain(supervisor, i); /* they come back with the new catalogue, each after its job */
    } else {
        LOG(PROBE_FAIL, LOG_INT("status", status));
        if (first)
            supervisor_stop(supervisor, FRONT_EXIT_FATAL);
    }
    if (supervisor->probe_again && !supervisor->draining)
        spawn_probe(supervisor);
}

void reap_children(struct supervisor *supervisor)
{
    int status;
    struct rusage usage;
    pid_t pid;
    while (!supervisor->over && (pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        CRASH_POINT(REAPED);
        if (pid == supervisor->front)
            front_died(supervisor, status);
        else if (pid == supervisor->probe)
            probe_died(supervisor, status);
        else
            for (uint32_t i = 0; i < supervisor->worker_count; i++)
                if (supervisor->workers[i].pid == pid)
                    bury_worker(supervisor, i, status, &usage);
        /* anything else: a descendant of a task that we adopted as subreaper */
    }
}
