/* A plugin as FP_ABI 1 had it: struct fp_job ended with cancelled. */
#include "forkpool.h"

#include <stdio.h>
#include <string.h>

static int old(struct fp_job *job)
{
    char text[64];
    snprintf(text, sizeof text, "[%u,%zu,%d]", (unsigned)job->abi, job->args_bytes, fp_cancelled(job));
    return fp_result(job, text, strlen(text));
}

static const struct fp_task TASKS[] = {{.name = "old", .run = old}};

FP_EXPORT const struct fp_plugin fp_plugin = {1, 1, TASKS};
