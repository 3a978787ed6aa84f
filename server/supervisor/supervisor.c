#include "supervisor.h"

#include "ballast.h"
#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "front.h"
#include "log.h"
#include "oom.h"
#include "title.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TICK_MS = 50,
    FRONT_SILENT_S = 10,
    PROBE_LIMIT_S = 60,
    FRONT_STOP_S = 10,
    RESET_LAST_MS = 5000,
    KILL_LIMIT_S = 10,
    FINISH_LIMIT_S = 1
};

/* --- the segment --- */

static uint32_t count_boards(const struct config *config)
{
    int64_t boards = 0;
    for (size_t i = 0; i < config->pool_count; i++)
        boards += config->pools[i].workers + 1;
    return (uint32_t)boards;
}

static void place_pools(const struct config *config, struct segment_shape *shape)
{
    uint32_t first = 0;
    shape->pool_count = (uint32_t)config->pool_count;
    for (uint32_t i = 0; i < shape->pool_count; i++) {
        struct segment_pool *pool = &shape->pools[i];
        pool->first = first;
        pool->count = (uint32_t)config->pools[i].workers + 1;
        text_copy(pool->name, sizeof pool->name, config->pools[i].name, strlen(config->pools[i].name));
        first += pool->count;
    }
}

static enum err make_memory(struct supervisor *supervisor)
{
    const struct config *config = supervisor->config;
    struct segment_shape shape = {.slot_count = (uint32_t)config->memory_slots,
                                  .worker_count = supervisor->worker_count,
                                  .arena_bytes = (uint64_t)config->memory_arena,
                                  /* headers and padding on top, so that half a tray takes max_result */
                                  .tray_bytes = ((uint64_t)config->memory_tray / CACHE_LINE + 4) * CACHE_LINE,
                                  .max_result = (uint64_t)config->jobs_max_result};
    place_pools(config, &shape);
    pools_init(supervisor);
    enum err err = segment_create(&shape, &supervisor->segment);
    if (err != ERR_OK)
        return err;
    struct segment_header *header = supervisor->segment.header;
    atomic_store_explicit(&header->supervisor_pid, getpid(), memory_order_relaxed);
    atomic_store_explicit(&header->log_level, (uint32_t)config->log_level, memory_order_relaxed);
    ballast_ease(config->state_dir); /* the black box needs a block even of a full disk */
    return blackbox_create(config->state_dir, supervisor->worker_count, &supervisor->box);
}

static void kill_front(struct supervisor *supervisor)
{
    if (supervisor->front > 0)
        kill(supervisor->front, SIGKILL);
}

static void kill_everyone(struct supervisor *supervisor)
{
    kill_front(supervisor);
    if (supervisor->probe > 0)
        kill(supervisor->probe, SIGKILL);
    for (uint32_t i = 0; i < supervisor->worker_count; i++)
        stops_kill(supervisor, i, true);
}

static void forget_pid(struct supervisor *supervisor, pid_t pid)
{
    if (supervisor->front == pid)
        supervisor->front = 0;
    if (supervisor->probe == pid)
        supervisor->probe = 0;
    for (uint32_t i = 0; i < supervisor->worker_count; i++) {
        struct worker_child *child = &supervisor->workers[i];
        if (child->pid != pid)
            continue;
        child->pid = 0;
        child->group = atomic_load_explicit(&supervisor->segment.boards[i].group, memory_order_relaxed);
    }
}

static bool anyone_left(struct supervisor *supervisor)
{
    bool left = supervisor->front > 0 || supervisor->probe > 0;
    for (uint32_t i = 0; i < supervisor->worker_count; i++) {
        struct worker_child *child = &supervisor->workers[i];
        if (child->pid == 0 && reap_group_gone(child->group))
            child->group = 0;
        left = left || child->pid > 0 || child->group > 0;
    }
    return left;
}

/* SIGKILL for all of them, until the last is reaped. Descendants that left their task's group are not waited
 * for. */
static void kill_everything(struct supervisor *supervisor)
{
    if (supervisor->segment.header == NULL)
        return;
    int64_t until = clock_mono_ns() + KILL_LIMIT_S * NS_PER_SEC;
    kill_everyone(supervisor);
    while (anyone_left(supervisor) && clock_mono_ns() < until) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0)
            forget_pid(supervisor, pid);
        else
            clock_sleep_ms(1);
    }
}

void supervisor_reset(struct supervisor *supervisor, const char *reason)
{
    LOG(SERVER_RESET, LOG_TEXT("reason", reason));
    kill_everything(supervisor);
    uint32_t resets = atomic_load_explicit(&supervisor->segment.header->resets, memory_order_relaxed);
    supervisor->front = supervisor->probe = 0;
    supervisor->front_quick_deaths = 0;
    memset(supervisor->workers, 0, sizeof *supervisor->workers * supervisor->worker_count);
    blackbox_close(&supervisor->box);
    segment_close(&supervisor->segment);
    if (clock_mono_ns() - supervisor->front_spawned_ns < FRONT_SILENT_S * NS_PER_SEC) {
        supervisor->reset_backoff_ms =
            supervisor->reset_backoff_ms == 0 ? TICK_MS : supervisor->reset_backoff_ms * 2;
        if (supervisor->reset_backoff_ms > RESET_LAST_MS)
            supervisor->reset_backoff_ms = RESET_LAST_MS;
        clock_sleep_ms(supervisor->reset_backoff_ms);
    } else {
        supervisor->reset_backoff_ms = 0;
    }
    if (make_memory(supervisor) != ERR_OK) {
        supervisor_stop(supervisor, FRONT_EXIT_FATAL);
        return;
    }
    atomic_store_explicit(&supervisor->segment.header->resets, resets + 1, memory_order_relaxed);
    if (supervisor->draining) { /* what was accepted lies in the store; there is nothing left to drain */
        supervisor_stop(supervisor, 0);
        return;
    }
    spawn_front(supervisor);
    spawn_probe(supervisor);
}

void supervisor_stop(struct supervisor *supervisor, int exit_status)
{
    supervisor->over = true;
    supervisor->exit_status = exit_status;
}

/* --- drain --- */

static void begin_drain(struct supervisor *supervisor)
{
    LOG(SERVER_DRAIN, LOG_INT("grace_ms", supervisor->config->shutdown_drain_ms));
    supervisor->draining = true;
    supervisor->drain_until_ns = clock_mono_ns() + supervisor->config->shutdown_drain_ms * NS_PER_MS;
    atomic_store_explicit(&supervisor->box.header->draining, 1, memory_order_relaxed);
    atomic_store_explicit(&supervisor->segment.header->draining, DRAIN_WORKERS, memory_order_release);
    CRASH_POINT(DRAIN_BEGUN);
    for (uint32_t i = 0; i < supervisor->worker_count; i++)
        stops_drain(supervisor, i);
    sem_hint(&supervisor->segment.header->done);
}

static void hurry(struct supervisor *supervisor)
{
    if (supervisor->hurried)
        return;
    LOG_EVENT(SERVER_HURRY);
    supervisor->hurried = true;
    supervisor->drain_until_ns = clock_mono_ns();
}

/* Workers gone, or killed when their time is over; then the front is told; then we end. */
static void go_on_draining(struct supervisor *supervisor)
{
    int64_t now = clock_mono_ns();
    if (!supervisor->front_stopping) {
        if (now >= supervisor->drain_until_ns)
            for (uint32_t i = 0; i < supervisor->worker_count; i++)
                stops_kill(supervisor, i, now >= supervisor->drain_until_ns + FINISH_LIMIT_S * NS_PER_SEC);
        if (!reap_workers_gone(supervisor))
            return;
        CRASH_POINT(DRAIN_WORKERS_GONE);
        supervisor->front_stopping = true;
        supervisor->drain_until_ns = now + FRONT_STOP_S * NS_PER_SEC;
        atomic_store_explicit(&supervisor->segment.header->draining, DRAIN_FRONT, memory_order_release);
        sem_hint(&supervisor->segment.header->done);
        if (supervisor->front == 0)
            supervisor_stop(supervisor, 0);
    } else if (now >= supervisor->drain_until_ns) {
        kill_front(supervisor);
    }
}

/* --- the loop --- */

static void read_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (!supervisor->over && read(supervisor->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            if (supervisor->draining)
                hurry(supervisor);
            else
                begin_drain(supervisor);
            break;
        case SIGHUP:
            if (!supervisor->draining)
                reload_config(supervisor);
            break;
        default: /* SIGCHLD: reaped on every turn */
            break;
        }
    }
}

/* The front beats once a turn; silent for long, it is stuck. */
static void watch_front(struct supervisor *supervisor)
{
    if (supervisor->front == 0) {
        if (!supervisor->draining && clock_mono_ns() >= supervisor->front_respawn_ns)
            spawn_front(supervisor); /* an earlier fork failed */
        return;
    }
    int64_t beat = atomic_load_explicit(&supervisor->segment.header->front_beat_ns, memory_order_relaxed);
    if (beat < supervisor->front_spawned_ns)
        return; /* it is still recovering: that may take long */
    if (clock_mono_ns() - beat > FRONT_SILENT_S * NS_PER_SEC) {
        LOG_EVENT(FRONT_STUCK);
        kill_front(supervisor);
        atomic_store_explicit(&supervisor->segment.header->front_beat_ns, 0, memory_order_relaxed);
    }
}

static void watch_probe(struct supervisor *supervisor)
{
    if (supervisor->probe == 0 && supervisor->probe_again && !supervisor->draining)
        spawn_probe(supervisor); /* an earlier fork failed */
    if (supervisor->probe > 0 && clock_mono_ns() - supervisor->probe_spawned_ns > PROBE_LIMIT_S * NS_PER_SEC)
        kill(supervisor->probe, SIGKILL);
}

static void clear_fd(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        CHECK(errno == EAGAIN);
}

/* The OOM killer also strikes children of tasks: without a fresh figure the next kill from outside would look
 * like it. */
static void watch_oom(struct supervisor *supervisor)
{
    int64_t now = clock_mono_ns();
    if (now - supervisor->oom_looked_ns < NS_PER_SEC)
        return;
    supervisor->oom_looked_ns = now;
    supervisor->oom_kills = oom_kills();
}

static void take_turn(struct supervisor *supervisor)
{
    struct epoll_event events[4];
    if (epoll_wait(supervisor->epoll_fd, events, 4, -1) < 0)
        CHECK(errno == EINTR);
    clear_fd(supervisor->timer_fd);
    clear_fd(supervisor->wake_fd);
    read_signals(supervisor);
    reap_children(supervisor);
    if (supervisor->over)
        return;
    reap_settle(supervisor);
    pools_turn(supervisor);
    stops_check(supervisor);
    watch_front(supervisor);
    watch_probe(supervisor);
    watch_oom(supervisor);
    if (supervisor->draining)
        go_on_draining(supervisor);
}

static int watch_fd(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    return fd < 0 ? -1 : epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static enum err open_descriptors(struct supervisor *supervisor)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct itimerspec tick = {.it_interval = {.tv_nsec = TICK_MS * NS_PER_MS},
                              .it_value = {.tv_nsec = TICK_MS * NS_PER_MS}};
    supervisor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    supervisor->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    supervisor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (supervisor->epoll_fd < 0 || watch_fd(supervisor->epoll_fd, supervisor->signal_fd) < 0 ||
        watch_fd(supervisor->epoll_fd, supervisor->timer_fd) < 0 ||
        watch_fd(supervisor->epoll_fd, supervisor->wake_fd) < 0 ||
        timerfd_settime(supervisor->timer_fd, 0, &tick, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        log_errno("epoll", "supervisor");
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

static void close_all(struct supervisor *supervisor)
{
    kill_everything(supervisor);
    blackbox_close(&supervisor->box);
    segment_close(&supervisor->segment);
    access_close(supervisor->access);
    close(supervisor->epoll_fd);
    close(supervisor->signal_fd);
    close(supervisor->timer_fd);
    close(supervisor->wake_fd);
    close(supervisor->listen_fd);
    free(supervisor->workers);
    config_free(supervisor->config);
}

static void serve(struct supervisor *supervisor)
{
    reload_publish_access(supervisor);
    spawn_front(supervisor);
    spawn_probe(supervisor);
    while (!supervisor->over)
        take_turn(supervisor);
}

int supervisor_run(struct config *config, int listen_fd, int argc, char **argv,
                   const struct supervisor_mains *mains)
{
    struct supervisor supervisor = {.config = config,
                                    .mains = mains,
                                    .argc = argc,
                                    .argv = argv,
                                    .listen_fd = listen_fd,
                                    .worker_count = count_boards(config),
                                    .oom_kills = oom_kills(),
                                    .exit_status = FRONT_EXIT_FATAL};
    CRASH_PROCESS(SUPERVISOR);
    title_set("forkpool: supervisor");
    log_init("supervisor", (enum log_level)config->log_level, (enum log_format)config->log_format);
    LOG(SERVER_START, LOG_TEXT("version", FORKPOOL_VERSION),
        LOG_INT("workers", (int64_t)supervisor.worker_count - (int64_t)config->pool_count),
        LOG_TEXT("store", config->store_url));
    supervisor.workers = calloc(supervisor.worker_count, sizeof *supervisor.workers);
    if (supervisor.workers != NULL && open_descriptors(&supervisor) == ERR_OK &&
        access_open(&supervisor.access) == ERR_OK && make_memory(&supervisor) == ERR_OK)
        serve(&supervisor);
    close_all(&supervisor);
    LOG(SERVER_STOP, LOG_INT("exit_status", supervisor.exit_status));
    return supervisor.exit_status;
}
