/* The supervisor: makes the segment, forks front, workers and probe, reaps them, stops what must be stopped.
 *
 * One thread, no lock, no database; of the segment it touches the header and the scoreboard only. It alone
 * signals workers and the process groups of their tasks. One verb a file:
 *
 *     spawn     fork front, worker, probe
 *     reap      wait for deaths, say why, clear the process group, raise the incarnation, respawn
 *     stops     deadlines and cancels: ask, then kill
 *     pools     how many workers there are, and their replacement
 *     reload    the configuration again, at SIGHUP
 *     supervisor  the loop, drain, reload, reset
 *
 * A pool has one board more than workers. A worker that has served long enough is replaced without a gap and
 * without an excess: a new one gets ready on the spare board (standby), the old one ends when it is between
 * two jobs, and when it is reaped the new one is released; then the old one's board is the spare one.
 *
 * Deaths and what follows:
 *     worker            its group is killed, its death recorded, a new one forked (with a pause only if it
 * died before its first job) front             a new one on the same segment; two deaths by its own fault
 * within 10 s of its start, or exit status FRONT_EXIT_CORRUPT: everything restarts from the store with a new
 * segment front, FATAL or STORE exit status: everything stops supervisor        everything dies (death
 * signals)
 */
#ifndef FORKPOOL_SUPERVISOR_H
#define FORKPOOL_SUPERVISOR_H

#include "access.h"
#include "blackbox.h"
#include "config.h"
#include "scoreboard.h"
#include "segment.h"

#include <stdbool.h>
#include <sys/types.h>

struct front_http;
struct front_setup;
struct worker_setup;

/* The other processes' main functions, handed down so that this file depends on neither. */
struct supervisor_mains {
    void (*front)(const struct front_setup *setup);
    void (*worker)(const struct worker_setup *setup);
    void (*probe)(const struct config *config, const struct segment *segment, uint32_t epoch);
    const struct front_http *http;
};

/* What the supervisor alone knows of a worker. */
struct worker_child {
    pid_t pid;   /* 0: none */
    pid_t group; /* of a dead worker's task, until it is gone */
    int64_t spawned_ns, respawn_ns, backoff_ms;
    uint64_t ticket_at_spawn; /* board.ticket then: no difference means it died before its first claim */
    uint64_t stop_run;        /* the run number that was asked to stop */
    int64_t stop_ns;          /* when */
    bool stop_signalled, stop_killed; /* its task's group got SIGTERM; SIGKILL */
    bool ordered;                     /* its end was our order: charge nothing */
    bool told_to_end;                 /* it was drained */
    struct death death;               /* complete but for the group */
};

enum { NO_WORKER = WORKERS_MAX };

/* What the supervisor alone knows of a pool: a replacement under way, or none. */
struct pool {
    uint32_t standby;             /* a worker number, or NO_WORKER */
    int64_t again_ns, backoff_ms; /* after a replacement that died before it was ready */
};

struct supervisor {
    struct config *config; /* owned */
    const struct supervisor_mains *mains;
    int argc; /* of the flags, for reload */
    char **argv;
    struct segment segment;
    struct access *access; /* shared with the front */
    struct blackbox box;
    int listen_fd, wake_fd, signal_fd, timer_fd, epoll_fd;

    pid_t front, probe;
    int64_t front_spawned_ns, front_respawn_ns, probe_spawned_ns;
    int front_quick_deaths;
    int64_t reset_backoff_ms;
    uint32_t probe_epoch;
    bool probe_again; /* a reload came while a probe ran */

    struct worker_child *workers; /* owned */
    uint32_t worker_count;        /* of boards: one more than workers for each pool */
    struct pool pools[POOLS_MAX];
    bool draining, front_stopping, hurried;
    int64_t drain_until_ns;
    uint64_t oom_kills;
    int64_t oom_looked_ns;
    bool over;
    int exit_status;
};

/* Runs until the server has stopped; returns the exit status. Takes config. listen_fd is bound and listening.
 */
int supervisor_run(struct config *config, int listen_fd, int argc, char **argv,
                   const struct supervisor_mains *mains);

/* spawn.c */
void spawn_front(struct supervisor *supervisor);
void spawn_probe(struct supervisor *supervisor);
/* The board is empty and has room for a death. A fork that fails leaves it so. */
void spawn_worker(struct supervisor *supervisor, uint32_t number, bool standby);

/* pools.c */
void pools_init(struct supervisor *supervisor);
/* As many workers as each pool should have, replacements for those who served long enough. */
void pools_turn(struct supervisor *supervisor);
/* True if the dead worker was a replacement in standby: then the old one goes on, and the pause before the
 * next try is set. */
bool pools_standby_died(struct supervisor *supervisor, uint32_t worker);

/* reap.c */
void reap_children(struct supervisor *supervisor);
/* Dead workers whose group is gone get their incarnation raised. */
void reap_settle(struct supervisor *supervisor);
/* Kills what is left of a dead worker's process group; true once nothing of it is left, zombies included. */
bool reap_group_gone(pid_t group);
bool reap_workers_gone(const struct supervisor *supervisor);

/* stops.c */
void stops_check(struct supervisor *supervisor);
/* SIGTERM: end after the current job. SIGKILL: at the end of a drain, or for a reset; a worker that
 * is publishing its result is spared unless forced. Both are our order: nothing is charged. */
void stops_drain(struct supervisor *supervisor, uint32_t number);
void stops_kill(struct supervisor *supervisor, uint32_t number, bool force);

/* reload.c */
/* The file again, for what may change while running: tasks, queues, schedules, tokens, times of retention
 * and the log level. */
void reload_config(struct supervisor *supervisor);
void reload_publish_access(struct supervisor *supervisor);

/* supervisor.c, for reap.c */
void supervisor_reset(struct supervisor *supervisor, const char *reason);
void supervisor_stop(struct supervisor *supervisor, int exit_status);

#endif
