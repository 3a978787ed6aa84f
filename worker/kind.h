/* Task kinds: how an attempt is run. One file a kind; the table of kinds stands in catalogue.h.
 *
 * The worker loop claims a job, fills a struct run and calls kind_run; the kind fills in the outcome.
 * Single-threaded, in a worker process that ignores SIGPIPE. Spans in struct run borrow: args and inputs
 * from the segment, result from memory the kind keeps until the next call.
 *
 * Every failure becomes an attempt with outcome ERROR, never a return value. A failure to start, an exit
 * status and a signal are retryable; exit 65, FP_FAIL, a result that is too large or no JSON are not.
 */
#ifndef FORKPOOL_KIND_H
#define FORKPOOL_KIND_H

#include "catalogue.h"
#include "scoreboard.h"
#include "slots.h"

struct run {
    const struct task *task; /* borrowed from the worker's copy of the catalogue */
    const char *tasks_dir;
    const struct job_spec *spec;
    uint32_t attempt_number;
    struct text args;     /* JSON text; empty is run as null */
    struct text inputs;   /* JSON text: what the jobs before it returned; absent if it waited for none */
    const char *log_path; /* of this attempt's log; opened when first written to, mode 0640 */
    int64_t max_result, max_log;
    struct board *board;        /* a command stores its process group here, before exec */
    _Atomic int32_t *box_group; /* and here, for the black box */
    struct slot *slot;          /* for progress only */

    /* Filled in by the kind: of attempt the outcome, retryable, error, cpu_us, and for a command exit_code,
     * signal and max_rss_bytes (-1 if it stayed below the worker's own peak, behind which it is hidden). The
     * outcome is SUCCESS or ERROR; the loop turns an ERROR of a run that was asked to stop into TIMEOUT or
     * CANCELLED. result is JSON text, checked by json_scan, at most max_result. */
    struct attempt *attempt;
    struct text result;
    enum stop_cause stopped;
};

/* Runs one attempt to its end and calls board_finish(run->board) exactly once – a command between its child's
 * exit (seen through a pidfd) and the wait that reaps it – storing what it returned in run->stopped. */
void kind_plugin_run(struct run *run);
/* Loads the plugin ahead of its first job; a failure is for that job to report. */
void kind_plugin_load(const char *path);
void kind_command_run(struct run *run);
void kind_run(struct run *run);

#define TOO_LARGE_ADVICE "; return the path of a file instead, or raise jobs.max_result"

/* Fills attempt as a failure, and drops the result. */
void run_fail(struct run *run, enum err code, bool retryable, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The attempt's log: appends up to max bytes in all, then one line that says it was cut. An earlier run under
 * the same number (one that was returned uncharged) may have left a beginning; it counts. A log that cannot
 * be written is given up with one line in the server's log: it never fails a job. */
struct task_log {
    int fd; /* -1 until the first byte */
    int64_t bytes, max;
    const char *path;
    bool cut;
};
void task_log_init(struct task_log *log, const char *path, int64_t max);
void task_log_write(struct task_log *log, const char *text, size_t bytes);
void task_log_close(struct task_log *log);

/* Limits and hardening of a command's child, last thing before exec: no_new_privs, no core, RLIMIT_CPU,
 * RLIMIT_NOFILE, RLIMIT_AS. Returns 0 or errno; async-signal-safe. (The death signal comes with child_begin,
 * first thing after fork.) */
int limits_apply(const struct task *task);

#endif
