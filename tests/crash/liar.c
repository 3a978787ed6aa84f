/* A plugin that is no good: each fourth of its jobs returns a result that no attempt has worked for. A
 * torture with it has to find that. */
#include "forkpool.h"
#include "torture_attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(struct fp_job *job)
{
    static char args[ORDER_BYTES + 2], result[ORDER_BYTES];
    size_t bytes;
    const char *text = fp_args(job, &bytes);
    snprintf(args, sizeof args, "%.*s", (int)bytes, text);
    struct torture_attempt attempt = {
        .id = job->id, .args = args, .attempt = job->attempt, .worker = (int)getpid()};
    enum torture_end end = torture_attempt_run(getenv(TORTURE_FOLDER), &attempt);
    if (end != TORTURE_DONE)
        return end == TORTURE_AGAIN ? FP_RETRY : FP_FAIL;
    if (atoi(args + 1) % 4 == 0)
        strcpy(attempt.nonce, "0123456789abcdef");
    torture_result_write(&attempt, result);
    return fp_result(job, result, strlen(result));
}

FP_PLUGIN({.name = "torture_plugin", .run = run});
