/* sleep: waits {"seconds": N}, 1 if absent, and returns {"slept": N}. Stops when it is asked to. */
#include "forkpool.h"

#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define SLICE 0.02 /* seconds between two looks at fp_cancelled */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sleep_for(double seconds)
{
    struct timespec time = {.tv_nsec = (long)(seconds * 1e9)};
    nanosleep(&time, NULL);
}

static int run(struct fp_job *job)
{
    double seconds = 1;
    if (args_number(job->args, job->args_bytes, "seconds", &seconds) == ARGS_WRONG || seconds < 0)
        return fp_fail(job, "invalid_arguments", "seconds must be a number, 0 or more: {\"seconds\": 1.5}");

    double begin = now(), left;
    while ((left = begin + seconds - now()) > 0) {
        if (fp_cancelled(job))
            return fp_error(job, "cancelled", "asked to stop while it slept");
        fp_progress(job, 1 - left / seconds, NULL);
        sleep_for(left < SLICE ? left : SLICE);
    }
    fp_progress(job, 1, NULL);

    char result[64];
    int bytes = snprintf(result, sizeof result, "{\"slept\":%.15g}", seconds);
    return fp_result(job, result, (size_t)bytes);
}

FP_PLUGIN({.name = "sleep", .description = "waits: {\"seconds\": 1.5}", .run = run});
