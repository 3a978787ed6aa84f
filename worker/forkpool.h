/* forkpool.h: write a task in C as a shared object.
 *
 *     #include "forkpool.h"
 *
 *     static int run(struct fp_job *job) {
 *         size_t bytes;
 *         const char *args = fp_args(job, &bytes);          // JSON text, as it was submitted
 *         return fp_result(job, args, bytes);               // JSON text
 *     }
 *
 *     FP_PLUGIN({.name = "echo", .run = run, .description = "returns its arguments"});
 *
 * Build with: cc -shared -fPIC -o echo.so echo.c      (nothing to link)
 *
 * A worker loads the object after it was forked, and runs one job at a time in it. A crash costs one attempt
 * and one worker. Do not keep threads or children after run returns. Everything behind `struct fp_job` may be
 * called from the thread that run was called on only. ABI: struct fp_job only ever grows at its end, and
 * FP_ABI by one with it. A server runs plugins that were built for its own FP_ABI or an earlier one.
 */
#ifndef FORKPOOL_PLUGIN_H
#define FORKPOOL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define FP_ABI 2

/* What run returns. */
enum {
    FP_OK = 0,    /* the result stands (null if none was given) */
    FP_RETRY = 1, /* failed; the job's retry policy decides */
    FP_FAIL = 2   /* failed for good: no further attempt makes sense */
};

struct fp_job {
    uint32_t abi, attempt;               /* abi: as the plugin was built; attempt counts from 1 */
    const char *id, *task, *traceparent; /* traceparent: "" if the job has none */
    const char *args;                    /* JSON text, not NUL-terminated; "null" if the job has none */
    size_t args_bytes;
    void *host; /* the worker's own */

    int (*result)(struct fp_job *job, const char *json, size_t bytes);
    int (*error)(struct fp_job *job, const char *code, const char *message);
    void (*log)(struct fp_job *job, const char *text, size_t bytes);
    void (*progress)(struct fp_job *job, double value, const char *message);
    int (*cancelled)(struct fp_job *job);

    const char *inputs; /* since FP_ABI 2: JSON text, not NUL-terminated; NULL if the job has none */
    size_t inputs_bytes;
};

struct fp_task {
    const char *name, *description;
    int (*run)(struct fp_job *job);
    int64_t timeout_ms, max_attempts; /* 0: the server's default */
};

struct fp_plugin {
    uint32_t abi, task_count;
    const struct fp_task *tasks;
};

#if defined(__GNUC__)
#define FP_EXPORT __attribute__((visibility("default")))
#else
#define FP_EXPORT
#endif

/* One object may hold several tasks: FP_PLUGIN({…}, {…}); */
#define FP_PLUGIN(...)                                                                                       \
    static const struct fp_task fp_tasks_[] = {__VA_ARGS__};                                                 \
    FP_EXPORT const struct fp_plugin fp_plugin = {FP_ABI, sizeof fp_tasks_ / sizeof fp_tasks_[0], fp_tasks_}

/* The arguments, borrowed until run returns. */
static inline const char *fp_args(struct fp_job *job, size_t *bytes)
{
    *bytes = job->args_bytes;
    return job->args;
}

/* What the jobs in the job's `after` returned, in that order: a JSON array of objects with id, task, state
 * and result (docs/tasks.md). Borrowed until run returns. NULL and 0 bytes if the job waited for none. */
static inline const char *fp_inputs(struct fp_job *job, size_t *bytes)
{
    *bytes = job->inputs_bytes;
    return job->inputs;
}

/* Sets the result (copied) and returns FP_OK, or FP_FAIL with the reason recorded if it is not JSON or too
 * large. */
static inline int fp_result(struct fp_job *job, const char *json, size_t bytes)
{
    return job->result(job, json, bytes);
}

/* Records a failure: code is snake_case, at most 39 characters (else it is recorded as task_failed), message
 * one sentence. Returns FP_RETRY. */
static inline int fp_error(struct fp_job *job, const char *code, const char *message)
{
    return job->error(job, code, message);
}

/* The same, for a failure that no retry can mend. Returns FP_FAIL. */
static inline int fp_fail(struct fp_job *job, const char *code, const char *message)
{
    (void)job->error(job, code, message);
    return FP_FAIL;
}

/* A line or more into the attempt's log; a missing last newline is added. */
static inline void fp_log(struct fp_job *job, const char *text, size_t bytes)
{
    job->log(job, text, bytes);
}

/* value from 0 to 1; message may be NULL. Cheap: call it as often as you like. */
static inline void fp_progress(struct fp_job *job, double value, const char *message)
{
    job->progress(job, value, message);
}

/* Non-zero once the job was cancelled or passed its timeout: stop soon, the kill follows. */
static inline int fp_cancelled(struct fp_job *job)
{
    return job->cancelled(job);
}

#endif
