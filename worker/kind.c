#include "kind.h"

#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void (*const RUNNERS[TASK_KIND_COUNT])(struct run *run) = {
    [TASK_PLUGIN] = kind_plugin_run,
    [TASK_COMMAND] = kind_command_run,
};

void kind_run(struct run *run)
{
    CHECK(run->task->kind < TASK_KIND_COUNT);
    if (run->args.bytes == 0)
        run->args = (struct text){.at = "null", .bytes = 4};
    run->result = (struct text){0};
    run->stopped = STOP_NONE;
    RUNNERS[run->task->kind](run);
}

void run_fail(struct run *run, enum err code, bool retryable, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const char *name = err_code(code);
    text_copy(run->attempt->error_code, sizeof run->attempt->error_code, name, strlen(name));
    text_copy(run->attempt->error_message, sizeof run->attempt->error_message, text, strlen(text));
    run->attempt->outcome = OUTCOME_ERROR;
    run->attempt->retryable = retryable;
    run->result = (struct text){0};
}
