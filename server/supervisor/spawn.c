#include "supervisor.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "front.h"
#include "log.h"
#include "title.h"
#include "worker_setup.h"

#include <stdlib.h>
#include <unistd.h>

/* In the child: what belongs to the supervisor alone. */
static void leave_supervisor(const struct supervisor *supervisor, pid_t parent)
{
    close(supervisor->signal_fd);
    close(supervisor->timer_fd);
    close(supervisor->epoll_fd);
    child_begin(parent);
}

/* What is the front's alone: worker and probe run foreign code. */
static void leave_front(const struct supervisor *supervisor)
{
    close(supervisor->listen_fd);
    access_close(supervisor->access);
}

void spawn_front(struct supervisor *supervisor)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        leave_supervisor(supervisor, parent);
        struct front_setup setup = {.config = supervisor->config,
                                    .segment = &supervisor->segment,
                                    .access = supervisor->access,
                                    .box = &supervisor->box,
                                    .listen_fd = supervisor->listen_fd,
                                    .supervisor_wake_fd = supervisor->wake_fd,
                                    .argc = supervisor->argc,
                                    .argv = supervisor->argv,
                                    .http = supervisor->mains->http};
        supervisor->mains->front(&setup);
        abort();
    }
    CRASH_POINT(FRONT_FORKED);
    supervisor->front_spawned_ns = clock_mono_ns();
    if (pid < 0) {
        log_errno("fork", "front");
        supervisor->front_respawn_ns = supervisor->front_spawned_ns + 100 * NS_PER_MS;
        return;
    }
    supervisor->front = pid;
    atomic_store_explicit(&supervisor->segment.header->front_pid, pid, memory_order_relaxed);
}

void spawn_probe(struct supervisor *supervisor)
{
    if (supervisor->probe != 0) {
        supervisor->probe_again = true;
        return;
    }
    uint32_t epoch =
        atomic_load_explicit(&supervisor->segment.header->catalogue_epoch, memory_order_relaxed) + 1;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        leave_supervisor(supervisor, parent);
        leave_front(supervisor);
        supervisor->mains->probe(supervisor->config, &supervisor->segment, epoch);
        abort();
    }
    CRASH_POINT(PROBE_FORKED);
    if (pid < 0) {
        log_errno("fork", "probe");
        supervisor->probe_again = true;
        return;
    }
    supervisor->probe = pid;
    supervisor->probe_epoch = epoch;
    supervisor->probe_again = false;
    supervisor->probe_spawned_ns = clock_mono_ns();
}

/* What a dead worker left on its board. Nobody else writes there now. */
static void clean_board(struct board *board)
{
    uint64_t run = atomic_load_explicit(&board->run, memory_order_relaxed);
    atomic_store_explicit(&board->run, run_pack(run_number(run) + 1, RUN_IDLE), memory_order_relaxed);
    atomic_store_explicit(&board->group, 0, memory_order_relaxed);
    atomic_store_explicit(&board->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&board->stop_cause, STOP_NONE, memory_order_relaxed);
    atomic_store_explicit(&board->idle_since_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&board->standing, 0, memory_order_relaxed);
    atomic_store_explicit(&board->retire, RETIRE_NONE, memory_order_relaxed);
    atomic_store_explicit(&board->released, 0, memory_order_relaxed);
    atomic_store_explicit(&board->replaces, RETIRE_NONE, memory_order_relaxed);
    CHECK(sem_init(&board->go, 1, 0) == 0); /* the dead one may have waited in it */
}

void spawn_worker(struct supervisor *supervisor, uint32_t number, bool standby)
{
    struct worker_child *child = &supervisor->workers[number];
    struct board *board = &supervisor->segment.boards[number];
    clean_board(board);
    CRASH_POINT(WORKER_CLEAN);
    uint16_t incarnation = (uint16_t)atomic_load_explicit(&board->incarnation, memory_order_relaxed);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        leave_supervisor(supervisor, parent);
        leave_front(supervisor);
        struct worker_setup setup = {.config = supervisor->config,
                                     .segment = &supervisor->segment,
                                     .box = &supervisor->box,
                                     .number = number,
                                     .pool = segment_pool_of(&supervisor->segment, number),
                                     .incarnation = incarnation,
                                     .standby = standby,
                                     .supervisor_wake_fd = supervisor->wake_fd};
        supervisor->mains->worker(&setup);
        abort();
    }
    CRASH_POINT(WORKER_FORKED);
    int64_t now = clock_mono_ns();
    if (pid < 0) {
        log_errno("fork", "worker");
        child->respawn_ns = now + 100 * NS_PER_MS;
        return;
    }
    *child =
        (struct worker_child){.pid = pid,
                              .spawned_ns = now,
                              .backoff_ms = child->backoff_ms,
                              .ticket_at_spawn = atomic_load_explicit(&board->ticket, memory_order_relaxed)};
    atomic_store_explicit(&board->pid, pid, memory_order_relaxed);
    atomic_store_explicit(&board->spawned_ms, clock_real_ms(), memory_order_relaxed);
    atomic_store_explicit(&board->status, standby ? WORKER_STANDBY : WORKER_LIVE, memory_order_relaxed);
}
