#include "verdict.h"

#include "check.h"
#include "extras.h"

#include <string.h>

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

/* The random part lies within the wait, so the maximum stays it: wait × (1 - jitter … 1). */
static int64_t with_jitter(const struct retry *retry, int64_t wait, uint64_t random)
{
    int64_t span = wait / 100 * (int64_t)retry->jitter + wait % 100 * (int64_t)retry->jitter / 100;
    return span > 0 ? wait - (int64_t)(random % (uint64_t)(span + 1)) : wait;
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
    return with_jitter(retry, wait, random);
}

static bool is_among(const char *code, const char codes[][ERROR_CODE_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return false;
}

static bool may_retry(const struct job *job, const struct retry_rules *rules)
{
    const char *code = job->attempt.error_code;
    if (!job->attempt.retryable || job->spec.errors >= job->spec.retry.max_attempts)
        return false;
    return !is_among(code, rules->never, rules->never_count) &&
           (rules->on_count == 0 || is_among(code, rules->on, rules->on_count));
}

static int64_t wait_ms(const struct job_spec *spec, const struct retry_rules *rules, uint64_t random)
{
    if (rules->interval_count == 0)
        return verdict_backoff_ms(&spec->retry, spec->errors, random);
    size_t at = spec->errors <= rules->interval_count ? spec->errors - 1 : rules->interval_count - 1;
    return with_jitter(&spec->retry, rules->intervals_ms[at], random);
}

/* Runs again now, unless its counter is exhausted. */
static enum job_state again_unless(uint32_t count, uint32_t most)
{
    return count >= most ? JOB_FAILED : JOB_QUEUED;
}

static enum job_state after_failure(struct job *job, int64_t now_ms, uint64_t random)
{
    struct job_spec *spec = &job->spec;
    struct json_span more = {NULL, 0};
    (void)extras_find(job->extras, EXTRA_RETRY, &more);
    struct retry_rules rules = retry_rules_read(more);
    spec->errors++;
    if (!may_retry(job, &rules))
        return JOB_FAILED;
    int64_t run_at_ms = now_ms + wait_ms(spec, &rules, random);
    if (rules.max_age_ms >= 0 && run_at_ms > spec->created_ms + rules.max_age_ms)
        return JOB_FAILED;
    spec->run_at_ms = run_at_ms;
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
