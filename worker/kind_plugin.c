#include "kind.h"

#include "buf.h"
#include "clock.h"
#include "crash_point.h"
#include "json.h"
#include "plugin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What the plugin called us with, behind struct fp_job. */
struct host {
    struct run *run;
    struct task_log log;
    bool has_result;
    bool has_error, error_is_of_result; /* attempt holds the code and message */
};

static struct buf result; /* kept until the next run, for run->result points into it */

/* The objects that this worker has loaded, by path. */
static struct loaded {
    char path[TASK_PATH_BYTES];
    const struct fp_plugin *plugin;
} * loaded; /* owned */
static size_t loaded_count;

static const struct fp_plugin *load_once(const char *path, char reason[TASK_REASON_BYTES])
{
    for (size_t i = 0; i < loaded_count; i++) {
        if (strcmp(loaded[i].path, path) == 0)
            return loaded[i].plugin;
    }
    struct loaded *grown = realloc(loaded, (loaded_count + 1) * sizeof *loaded);
    if (grown == NULL) {
        text_copy(reason, TASK_REASON_BYTES, "no memory", 9);
        return NULL;
    }
    loaded = grown;
    const struct fp_plugin *plugin = plugin_load(path, reason);
    if (plugin != NULL) { /* a failure is tried again: the file may be mended meanwhile */
        text_copy(loaded[loaded_count].path, TASK_PATH_BYTES, path, strlen(path));
        loaded[loaded_count++].plugin = plugin;
    }
    return plugin;
}

void kind_plugin_load(const char *path)
{
    char reason[TASK_REASON_BYTES];
    (void)load_once(path, reason);
}

/* ---- what a plugin may call ---- */

static int refuse_result(struct host *host)
{
    host->has_result = false;
    host->has_error = host->error_is_of_result = true;
    return FP_FAIL;
}

static int host_result(struct fp_job *job, const char *json, size_t bytes)
{
    struct host *host = job->host;
    struct json_scan scan;
    struct json_fault fault;
    if (bytes > (uint64_t)host->run->max_result) {
        run_fail(host->run, ERR_RESULT_TOO_LARGE, false,
                 "the result has %zu bytes, max_result is %" PRId64 TOO_LARGE_ADVICE, bytes,
                 host->run->max_result);
        return refuse_result(host);
    }
    if (json_scan(json != NULL ? json : "", json != NULL ? bytes : 0, &scan, &fault) != ERR_OK) {
        run_fail(host->run, ERR_INVALID_RESULT, false,
                 "the task returned something that is not JSON: %s (byte %zu)", fault.what, fault.at);
        return refuse_result(host);
    }
    result.bytes = 0;
    buf_add(&result, scan.value.at, scan.value.bytes);
    if (result.failed) {
        run_fail(host->run, ERR_NO_MEMORY, true, "no memory for the result");
        return refuse_result(host);
    }
    host->has_result = true;
    if (host->error_is_of_result) /* a second, better result replaces a bad first one */
        host->has_error = host->error_is_of_result = false;
    return FP_OK;
}

static bool is_snake_case(const char *code)
{
    size_t bytes = code != NULL ? strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
    return bytes > 0 && bytes < ERROR_CODE_BYTES && code[bytes] == '\0';
}

static int host_error(struct fp_job *job, const char *code, const char *message)
{
    struct host *host = job->host;
    run_fail(host->run, ERR_TASK_FAILED, true, "%s", message != NULL ? message : "");
    if (is_snake_case(code))
        text_copy(host->run->attempt->error_code, ERROR_CODE_BYTES, code, strlen(code));
    host->has_error = true;
    host->error_is_of_result = false;
    return FP_RETRY;
}

static void host_log(struct fp_job *job, const char *text, size_t bytes)
{
    struct host *host = job->host;
    if (text == NULL || bytes == 0)
        return;
    task_log_write(&host->log, text, bytes);
    if (text[bytes - 1] != '\n')
        task_log_write(&host->log, "\n", 1);
}

static void host_progress(struct fp_job *job, double value, const char *message)
{
    struct host *host = job->host;
    if (message == NULL)
        message = "";
    value = value > 1 ? 1 : value > 0 ? value : 0; /* not a number: 0 */
    slot_progress_write(host->run->slot, value, message, strlen(message), clock_real_ms());
}

static int host_cancelled(struct fp_job *job)
{
    struct host *host = job->host;
    return board_stopping(host->run->board);
}

/* ---- the run ---- */

static int64_t cpu_us_now(void)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

static void take_answer(struct host *host, int answer)
{
    struct run *run = host->run;
    if (answer == FP_OK && !host->error_is_of_result) {
        *run->attempt->error_code = *run->attempt->error_message =
            '\0'; /* an error it reported and then mended */
        run->attempt->outcome = OUTCOME_SUCCESS;
        run->result = host->has_result ? (struct text){.at = result.data, .bytes = result.bytes}
                                       : (struct text){.at = "null", .bytes = 4};
    } else if (answer == FP_OK) {
        /* its result was refused, and the attempt already says why */
    } else if (answer != FP_RETRY && answer != FP_FAIL) {
        run_fail(run, ERR_TASK_FAILED, true, "run returned %d, which is none of FP_OK, FP_RETRY and FP_FAIL",
                 answer);
    } else if (host->has_error) {
        run->attempt->retryable = host->error_is_of_result ? run->attempt->retryable : answer == FP_RETRY;
    } else {
        run_fail(run, ERR_TASK_FAILED, answer == FP_RETRY, "the task returned %s and gave no reason",
                 answer == FP_RETRY ? "FP_RETRY" : "FP_FAIL");
    }
}

static int call(struct host *host, const struct fp_plugin *plugin, const struct fp_task *task)
{
    struct run *run = host->run;
    char id[ID_TEXT_BYTES];
    id_format(run->spec->id, id);
    struct fp_job job = {
        .abi = plugin->abi,
        .attempt = run->attempt_number,
        .id = id,
        .task = run->task->name,
        .traceparent = run->spec->traceparent,
        .args = run->args.at,
        .args_bytes = run->args.bytes,
        .host = host,
        .result = host_result,
        .error = host_error,
        .log = host_log,
        .progress = host_progress,
        .cancelled = host_cancelled,
        .inputs = run->inputs.at,
        .inputs_bytes = run->inputs.bytes,
    };
    return task->run(&job);
}

void kind_plugin_run(struct run *run)
{
    struct host host = {.run = run};
    char reason[TASK_REASON_BYTES] = "";
    int64_t before = cpu_us_now();
    int answer = FP_FAIL;

    buf_fini(&result);
    task_log_init(&host.log, run->log_path, run->max_log);
    const struct fp_plugin *plugin = load_once(run->task->path, reason);
    const struct fp_task *task = plugin != NULL ? plugin_find(plugin, run->task->name) : NULL;
    bool runnable = task != NULL && task->run != NULL;
    if (runnable)
        answer = call(&host, plugin, task);
    CRASH_POINT(RAN);
    run->stopped = board_finish(run->board);
    CRASH_POINT(FINISHING);
    run->attempt->cpu_us = cpu_us_now() - before;
    if (runnable)
        take_answer(&host, answer);
    else
        run_fail(run, ERR_TASK_START, true, "%s%s",
                 plugin != NULL ? "the plugin has no task of that name: " : "",
                 plugin != NULL ? run->task->path : reason);
    task_log_close(&host.log);
}
