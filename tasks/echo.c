/* echo: returns its arguments. */
#include "forkpool.h"

static int run(struct fp_job *job)
{
    size_t bytes;
    const char *args = fp_args(job, &bytes);
    return fp_result(job, args, bytes);
}

FP_PLUGIN({.name = "echo", .description = "returns its arguments", .run = run});
