#include "verdict.h"

#include "check.h"

/* min(initial × 2^(errors-1), max) without overflow. */
static int64_t exponential(const struct retry *retry, uint32_t errors)
{
    int64_t wait = retry->initial_ms;
    for (uint32_t i = 1; i < errors && wait > 0 && wait < retry->max_ms; i++)
        wait *= 2;
    return wait;
}

static int64_t linear(const struct retry *retry, uint32_t errors)
{
    if (retry->initial_ms > 0 && errors > retry->max_ms / retry->initial_ms)
        return retry->max_ms;
    return retry->initial_ms * errors;
}

int64_t verdict_backoff_ms(const struct retry *retry, uint32_t errors, uint64_t random)
{
    int64_t wait = 0;
    switch ((enum backoff)retry->backoff) {
    case BACKOFF_EXPONENTIAL:
        wait = exponential(retry, errors);
        break;
    case BACKOFF_LINEAR:
        wait = linear(retry, errors);
        break;
    case BACKOFF_FIXED:
        wait = retry->initial_ms;
        break;
    case BACKOFF_COUNT:
        CHECK_NEVER("a backoff");
    }
    if (wait > retry->max_ms)
        wait = retry->max_ms;
    /* The random part lies within the wait, so max stays the maximum: wait × (1 - jitter … 1). */
    int64_t span = wait / 100 * (int64_t)retry->jitter + wait % 100 * (int64_t)retry->jitter / 100;
    return span > 0 ? wait - (int64_t)(random % (uint64_t)(span + 1)) : wait;
}

/* Runs again now, unless its counter is exhausted. */
static enum job_state again_unless(uint32_t count, uint32_t most)
{
    return count >= most ? JOB_FAILED : JOB_QUEUED;
}

static enum job_state after_failure(struct job *job, int64_t now_ms, uint64_t random)
{
    struct job_spec *spec = &job->spec;
    spec->errors++;
    if (!job->attempt.retryable || spec->errors >= spec->retry.max_attempts)
        return JOB_FAILED;
    spec->run_at_ms = now_ms + verdict_backoff_ms(&spec->retry, spec->errors, random);
    return JOB_RETRYING;
}

void verdict_apply(struct job *job, const struct verdict_limits *limits, int64_t now_ms, uint64_t random)
{
    struct job_spec *spec = &job->spec;
    enum outcome outcome = (enum outcome)job->attempt.outcome;
    if (outcome != OUTCOME_RETURNED)
        spec->attempt++;
    switch (outcome) {
    case OUTCOME_SUCCESS:
        job->state = JOB_SUCCEEDED;
        break;
    case OUTCOME_CANCELLED:
        job->state = JOB_CANCELLED;
        break;
    case OUTCOME_ERROR:
    case OUTCOME_TIMEOUT:
        job->state = after_failure(job, now_ms, random);
        break;
    case OUTCOME_CRASH:
        job->state = again_unless(++spec->crashes, limits->max_crashes);
        break;
    case OUTCOME_LOST:
        job->state = again_unless(++spec->lost, limits->max_lost);
        break;
    case OUTCOME_RETURNED:
        job->state = JOB_QUEUED;
        break;
    case OUTCOME_NONE:
    case OUTCOME_COUNT:
        CHECK_NEVER("an attempt has an outcome");
    }
    if (job->cancel_requested && !job_is_terminal(job->state))
        job->state = JOB_CANCELLED;
    if (job->state != JOB_RETRYING)
        spec->run_at_ms = 0;
}
