#include "probe_private.h"

#include "log.h"
#include "program.h"
#include "title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void probe_fault(struct probe *probe, const char *file, const char *reason)
{
    struct catalogue *bank = probe->bank;
    LOG(TASK_BROKEN, LOG_TEXT("file", file), LOG_TEXT("reason", reason));
    if (bank->fault_count == CATALOGUE_FAULTS_MAX)
        return;
    struct catalogue_fault *fault = &bank->faults[bank->fault_count++];
    memset(fault, 0, sizeof *fault);
    text_copy(fault->file, sizeof fault->file, file, strlen(file));
    text_copy(fault->reason, sizeof fault->reason, reason, strlen(reason));
}

void probe_break(struct task *task, const char *format, ...)
{
    if (task->broken)
        return;
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    text_copy(task->reason, sizeof task->reason, text, strlen(text));
    task->broken = 1;
}

struct task *probe_find(struct probe *probe, const char *name)
{
    for (uint32_t i = 0; i < probe->bank->task_count; i++) {
        if (strcmp(probe->bank->tasks[i].name, name) == 0)
            return &probe->bank->tasks[i];
    }
    return NULL;
}

static void set_defaults(struct task *task, const struct config *config)
{
    text_copy(task->queue, sizeof task->queue, "default", 7);
    task->timeout_ms = config->jobs_timeout_ms;
    task->kill_after_ms = config->jobs_kill_after_ms;
    task->retry = (struct retry){.max_attempts = (uint32_t)config->jobs_max_attempts,
                                 .backoff = (uint32_t)config->jobs_backoff,
                                 .initial_ms = config->jobs_backoff_initial_ms,
                                 .max_ms = config->jobs_backoff_max_ms,
                                 .jitter = (uint32_t)config->jobs_jitter};
    task->limit_memory_bytes = task->limit_cpu_ms = task->limit_files = -1;
}

struct task *probe_add(struct probe *probe, const char *name)
{
    if (!job_name_ok(name)) {
        probe_fault(
            probe, name,
            "a task's name has 1 to 63 of the characters A-Z a-z 0-9 . _ - and does not begin with a dot");
        return NULL;
    }
    if (probe->bank->task_count == TASKS_MAX) {
        probe_fault(probe, name, "there are more than 256 tasks");
        return NULL;
    }
    struct task *task = &probe->bank->tasks[probe->bank->task_count++];
    memset(task, 0, sizeof *task);
    text_copy(task->name, sizeof task->name, name, strlen(name));
    set_defaults(task, probe->config);
    return task;
}

const char *probe_search(const struct task *task)
{
    const char *at = task->blob, *end = task->blob + task->blob_bytes;
    for (uint32_t i = 0; at < end; i++, at += strlen(at) + 1) {
        if (i >= task->argv_count && strncmp(at, "PATH=", 5) == 0)
            return at + 5;
    }
    const char *inherited = getenv("PATH");
    return inherited != NULL ? inherited : PROGRAM_PATH;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct task *)a)->name, ((const struct task *)b)->name);
}

enum err probe_tasks(const struct config *config, uint32_t epoch, struct catalogue *bank)
{
    struct probe probe = {.config = config, .bank = bank};
    bank->epoch = epoch;
    bank->task_count = bank->fault_count = 0;
    memset(bank->tasks_dir, 0, sizeof bank->tasks_dir);
    probe_folder(&probe);
    probe_config(&probe);
    for (uint32_t i = 0; i < bank->task_count; i++) {
        struct task *task = &bank->tasks[i];
        char reason[TASK_REASON_BYTES];
        if (!task->broken && task->kind == TASK_COMMAND &&
            !program_check(task->path, probe_search(task), reason))
            probe_break(task, "%s", reason);
        if (task->broken)
            LOG(TASK_BROKEN, LOG_TEXT("task", task->name), LOG_TEXT("reason", task->reason));
    }
    qsort(bank->tasks, bank->task_count, sizeof bank->tasks[0], by_name);
    return ERR_OK;
}

_Noreturn void probe_main(const struct config *config, const struct segment *segment, uint32_t epoch)
{
    child_begin(atomic_load(&segment->header->supervisor_pid));
    title_set("forkpool: probe");
    log_init("probe", (enum log_level)config->log_level, (enum log_format)config->log_format);
    enum err err = probe_tasks(config, epoch, &segment->catalogues[epoch % 2]);
    if (err != ERR_OK)
        LOG(PROBE_FAIL, LOG_TEXT("reason", err_title(err)));
    _exit(err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE);
}
