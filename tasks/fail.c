/* fail: fails, to try out retries.
 *
 *     {"message": "no luck", "retryable": true, "until_attempt": 3}
 *
 * retryable: false makes it fail for good; until_attempt: from that attempt on it succeeds.
 */
#include "forkpool.h"

#include "args.h"

#include <stdio.h>

static int run(struct fp_job *job)
{
    char message[256] = "it failed, as it was asked to";
    bool retryable = true;
    double until = 0;
    if (args_string(job->args, job->args_bytes, "message", message, sizeof message) == ARGS_WRONG)
        return fp_fail(job, "invalid_arguments", "message must be a string of at most 255 bytes");
    if (args_bool(job->args, job->args_bytes, "retryable", &retryable) == ARGS_WRONG)
        return fp_fail(job, "invalid_arguments", "retryable must be true or false");
    if (args_number(job->args, job->args_bytes, "until_attempt", &until) == ARGS_WRONG)
        return fp_fail(job, "invalid_arguments", "until_attempt must be a number");

    if (until > 0 && job->attempt >= until) {
        char result[64];
        int bytes = snprintf(result, sizeof result, "{\"attempt\":%u}", (unsigned)job->attempt);
        return fp_result(job, result, (size_t)bytes);
    }
    fp_log(job, message, strlen(message));
    return retryable ? fp_error(job, "told_to_fail", message) : fp_fail(job, "told_to_fail", message);
}

FP_PLUGIN({.name = "fail",
           .description = "fails: {\"message\": \"no luck\", \"retryable\": true, \"until_attempt\": 3}",
           .run = run});
