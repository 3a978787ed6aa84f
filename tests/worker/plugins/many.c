/* Tasks that behave and misbehave, for test_kind_plugin and test_probe. */
#include "forkpool.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int give(struct fp_job *job, const char *json)
{
    return fp_result(job, json, strlen(json));
}

static int echo(struct fp_job *job)
{
    size_t bytes;
    const char *args = fp_args(job, &bytes);
    return fp_result(job, args, bytes);
}

static int context(struct fp_job *job)
{
    char text[256];
    snprintf(text, sizeof text, "[%u,%u,\"%s\",\"%s\",\"%s\"]", (unsigned)job->abi, (unsigned)job->attempt,
             job->id, job->task, job->traceparent);
    return give(job, text);
}

static int inputs(struct fp_job *job)
{
    size_t bytes = 1;
    const char *json = fp_inputs(job, &bytes);
    if (json == NULL)
        return give(job, bytes == 0 ? "\"none\"" : "\"no text, but bytes\"");
    return fp_result(job, json, bytes);
}

static int nothing(struct fp_job *job)
{
    (void)job;
    return FP_OK;
}

static int bad_json(struct fp_job *job)
{
    return give(job, "{\"a\":}");
}

static int bad_json_ignored(struct fp_job *job)
{
    give(job, "{\"a\":}");
    return FP_OK;
}

static int bad_then_good(struct fp_job *job)
{
    give(job, "nonsense");
    return give(job, " 2 ");
}

static int too_large(struct fp_job *job)
{
    return give(job, "\"0123456789012345678901234567890123456789\"");
}

static int negative_length(struct fp_job *job)
{
    return fp_result(job, "1", (size_t)-1);
}

static int unknown_answer(struct fp_job *job)
{
    (void)job;
    return 42;
}

static int silent_retry(struct fp_job *job)
{
    (void)job;
    return FP_RETRY;
}

static int silent_fail(struct fp_job *job)
{
    (void)job;
    return FP_FAIL;
}

static int retry(struct fp_job *job)
{
    give(job, "1");
    return fp_error(job, "not_today", "come back tomorrow");
}

static int for_good(struct fp_job *job)
{
    return fp_fail(job, "never", "and not tomorrow either");
}

static int wrong_code(struct fp_job *job)
{
    return fp_error(job, "Not Snake", "m");
}

static int long_code(struct fp_job *job)
{
    return fp_error(job, "a234567890123456789012345678901234567890", "m");
}

static int longest_code(struct fp_job *job)
{
    return fp_error(job, "a23456789012345678901234567890123456789", NULL);
}

static int mended(struct fp_job *job)
{
    (void)fp_error(job, "oops", "never mind");
    return give(job, "1");
}

static int logs(struct fp_job *job)
{
    fp_log(job, "one", 3);
    fp_log(job, "two\n", 4);
    fp_log(job, NULL, 0);
    return FP_OK;
}

static int reports(struct fp_job *job)
{
    volatile double zero = 0;
    fp_progress(job, zero / zero, NULL);
    fp_progress(job, -1, "x");
    fp_progress(job, 7, "done");
    return FP_OK;
}

static int asks(struct fp_job *job)
{
    return give(job, fp_cancelled(job) ? "true" : "false");
}

static int spins(struct fp_job *job)
{
    clock_t begin = clock();
    while (clock() - begin < CLOCKS_PER_SEC / 20)
        ;
    return give(job, "1");
}

static int counts(struct fp_job *job)
{
    static int calls;
    char text[16];
    snprintf(text, sizeof text, "%d", ++calls);
    return give(job, text);
}

FP_PLUGIN({.name = "echo",
           .run = echo,
           .description = "returns its arguments",
           .timeout_ms = 1234,
           .max_attempts = 7},
          {.name = "context", .run = context}, {.name = "inputs", .run = inputs},
          {.name = "nothing", .run = nothing}, {.name = "bad_json", .run = bad_json},
          {.name = "bad_json_ignored", .run = bad_json_ignored},
          {.name = "bad_then_good", .run = bad_then_good}, {.name = "too_large", .run = too_large},
          {.name = "negative_length", .run = negative_length},
          {.name = "unknown_answer", .run = unknown_answer}, {.name = "silent_retry", .run = silent_retry},
          {.name = "silent_fail", .run = silent_fail}, {.name = "retry", .run = retry},
          {.name = "for_good", .run = for_good}, {.name = "wrong_code", .run = wrong_code},
          {.name = "long_code", .run = long_code}, {.name = "longest_code", .run = longest_code},
          {.name = "mended", .run = mended}, {.name = "logs", .run = logs},
          {.name = "reports", .run = reports}, {.name = "asks", .run = asks}, {.name = "spins", .run = spins},
          {.name = "counts", .run = counts}, {.name = "not a name", .run = nothing});
