/* A job of `forkpool torture` in a worker itself: tests/crash/torture gives it to --plugin. */
#include "forkpool.h"
#include "torture_attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_stopped(void *argument)
{
    return fp_cancelled(argument);
}

static int run(struct fp_job *job)
{
    static char args[ORDER_BYTES + 2], result[ORDER_BYTES];
    size_t bytes;
    const char *text = fp_args(job, &bytes);
    snprintf(args, sizeof args, "%.*s", (int)bytes, text);
    struct torture_attempt attempt = {.id = job->id,
                                      .args = args,
                                      .attempt = job->attempt,
                                      .worker = (int)getpid(),
                                      .stop = is_stopped,
                                      .argument = job};
    switch (torture_attempt_run(getenv(TORTURE_FOLDER), &attempt)) {
    case TORTURE_AGAIN:
        return fp_error(job, "try_again", "this attempt was to fail");
    case TORTURE_HOPELESS:
        return fp_fail(job, "hopeless", "this job was to fail");
    case TORTURE_DONE:
        break;
    }
    torture_result_write(&attempt, result);
    return fp_result(job, result, strlen(result));
}

FP_PLUGIN({.name = "torture_plugin", .run = run, .description = "a job of forkpool torture"});
