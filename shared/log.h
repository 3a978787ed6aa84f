/* Log lines: one JSON object a line on standard error, or text when a terminal looks.
 *
 * Every line is an event from LOG_EVENTS, named noun.verb, with fields. Lines are written with one write(2)
 * each and never hold arguments, results or secrets. Thread-safe; each process calls log_init after its fork.
 *
 *     LOG(WORKER_DIED, LOG_INT("pid", pid), LOG_TEXT("cause", cause), LOG_ID(job));
 *     LOG_EVENT(FRONT_READY);
 */
#ifndef FORKPOOL_LOG_H
#define FORKPOOL_LOG_H

#include "ids.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };
enum log_format { LOG_AUTO, LOG_TEXT_LINES, LOG_JSON_LINES };

/* name, "noun.verb", level, sentence */
#define LOG_EVENTS(V)                                                                                        \
    V(SERVER_START, "server.start", INFO, "the supervisor has started")                                      \
    V(SERVER_LISTEN, "server.listen", INFO, "listening for HTTP")                                            \
    V(SERVER_READY, "server.ready", INFO, "recovered, catalogue loaded, a worker waits")                     \
    V(SERVER_DRAIN, "server.drain", INFO, "stopping: running jobs may finish")                               \
    V(SERVER_HURRY, "server.hurry", WARN, "second signal: running jobs are killed and requeued")             \
    V(SERVER_STOP, "server.stop", INFO, "stopped")                                                           \
    V(SERVER_FAIL, "server.fail", ERROR, "the server cannot go on")                                          \
    V(SERVER_RESET, "server.reset", ERROR, "everything restarts from the store with a new segment")          \
    V(FRONT_START, "front.start", INFO, "the front process has started")                                     \
    V(FRONT_DIED, "front.die", ERROR, "the front process died and is replaced")                              \
    V(FRONT_STUCK, "front.stuck", ERROR, "the front process is silent and is killed")                        \
    V(FRONT_RECOVER, "front.recover", INFO, "took over the jobs found in shared memory")                     \
    V(WORKER_DIED, "worker.die", WARN, "a worker died and is replaced")                                      \
    V(WORKER_BACKOFF, "worker.backoff", ERROR,                                                               \
      "a worker died before its first job; waiting before the next")                                         \
    V(WORKER_RECYCLE, "worker.recycle", INFO, "a worker had served long enough and was replaced")            \
    V(WORKER_FAIL, "worker.fail", ERROR, "a worker cannot go on")                                            \
    V(TASKS_LOAD, "tasks.load", INFO, "the catalogue of tasks is loaded")                                    \
    V(TASK_BROKEN, "task.broken", WARN, "a task cannot be used")                                             \
    V(PROBE_FAIL, "probe.fail", ERROR, "the tasks could not be read; the earlier catalogue stays")           \
    V(JOB_ACCEPT, "job.accept", DEBUG, "a job was accepted")                                                 \
    V(JOB_END, "job.end", DEBUG, "a job reached a terminal state")                                           \
    V(JOB_RETRY, "job.retry", INFO, "an attempt failed; the job will be retried")                            \
    V(JOB_FAIL, "job.fail", WARN, "a job failed and is not retried")                                         \
    V(JOB_CRASH, "job.crash", WARN, "a job took its worker down")                                            \
    V(JOB_LOST, "job.lost", WARN, "the worker of a job was killed from outside")                             \
    V(JOB_TIMEOUT, "job.timeout", WARN, "a job passed its deadline")                                         \
    V(JOB_CANCEL, "job.cancel", INFO, "a running job is asked to stop")                                      \
    V(JOB_AGAIN, "job.again", INFO, "a finished job runs again on request")                                  \
    V(JOB_FORGET, "job.forget", INFO, "a finished job was deleted on request")                               \
    V(JOB_CHANGE, "job.change", INFO, "a waiting job was changed on request")                                \
    V(LIMITS_SET, "limits.set", INFO, "limits or pauses were set on request")                                \
    V(SCHEDULE_FIRE, "schedule.fire", DEBUG, "a schedule made a job")                                        \
    V(SCHEDULE_SKIP, "schedule.skip", INFO, "times of a schedule passed without a job")                      \
    V(SCHEDULE_FAIL, "schedule.fail", WARN, "a schedule could not make its job")                             \
    V(SCHEDULE_SET, "schedule.set", INFO, "a schedule was set, paused, resumed or removed")                  \
    V(STORE_RETAIN, "store.retain", DEBUG, "jobs or results whose time was over were deleted")               \
    V(BOX_CHARGE, "box.charge", WARN, "these jobs ran when everything died")                                 \
    V(BOX_KILL, "box.kill", WARN, "a process left over from an earlier life was killed")                     \
    V(STORE_OPEN, "store.open", INFO, "the store is open")                                                   \
    V(STORE_ERROR, "store.error", ERROR, "the store reported an error")                                      \
    V(STORE_CHECK, "store.check", INFO, "the store was checked")                                             \
    V(ACCESS_LOAD, "access.load", INFO, "from now on these tokens, and no others, are taken")                \
    V(STORE_FULL, "store.full", WARN, "nothing can be written: submissions are refused, results wait")       \
    V(STORE_ROOM, "store.room", INFO, "the store can be written again")                                      \
    V(STORE_BALLAST, "store.ballast", WARN, "there is no room for the ballast; the server goes on without")  \
    V(STORE_UNSYNCED, "store.unsynced", ERROR, "a sync failed; the next start rewrites the store")           \
    V(STORE_REWRITE, "store.rewrite", WARN, "the store was rewritten into a new, synced file")               \
    V(CONFIG_ERROR, "config.error", ERROR, "the configuration is not acceptable")                            \
    V(CONFIG_LOAD, "config.load", INFO, "the configuration was read again")                                  \
    V(CONFIG_POOLS, "config.pools", WARN, "the pools differ in the file; they change only by a restart")     \
    V(HTTP_ERROR, "http.error", WARN, "the HTTP library reported an error")                                  \
    V(SYSTEM_ERROR, "system.error", ERROR, "a call to the operating system failed")

enum log_event {
#define V(name, code, level, sentence) EVENT_##name,
    LOG_EVENTS(V)
#undef V
        EVENT_COUNT
};

struct log_field {
    const char *name; /* NULL ends the list */
    enum { FIELD_TEXT, FIELD_INT, FIELD_ID } kind;
    const char *text;
    int64_t number;
    struct id id;
};

#define LOG_TEXT(field, value) ((struct log_field){.name = (field), .kind = FIELD_TEXT, .text = (value)})
#define LOG_INT(field, value)  ((struct log_field){.name = (field), .kind = FIELD_INT, .number = (value)})
#define LOG_ID(value)          ((struct log_field){.name = "job", .kind = FIELD_ID, .id = (value)})
#define LOG(event, ...)        log_write(EVENT_##event, (const struct log_field[]){__VA_ARGS__, {.name = NULL}})
#define LOG_EVENT(event)       log_write(EVENT_##event, (const struct log_field[]){{.name = NULL}})

/* process: a static string ("supervisor", "front", "worker default/0") that stands in each line. */
void log_init(const char *process, enum log_level level, enum log_format format);
/* The threshold alone, on reload. */
void log_set_level(enum log_level level);
void log_write(enum log_event event, const struct log_field *fields);

/* SYSTEM_ERROR with the call, its object and the text of errno; logged once, where the call failed. */
void log_errno(const char *call, const char *object);

#endif
