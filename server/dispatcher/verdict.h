/* The verdict: what becomes of a job after an attempt. Pure: no clock, no store, no memory; tested as a
 * table.
 *
 *     outcome      counted as  unless exhausted             exhausted
 *     success      –           succeeded                    –
 *     error        errors      retrying, after the backoff  failed   (also when not retryable, by the task's
 * word or timeout      errors      retrying, after the backoff  failed    by retry.on and retry.never, or
 * when the next attempt would begin after retry.max_age) cancelled    –           cancelled – crash crashes
 * queued at once               failed lost         lost        queued at once               failed returned
 * –           queued at once, and the attempt is not recorded
 *
 * A job that was asked to cancel is cancelled wherever the table says retrying or queued.
 */
#ifndef FORKPOOL_VERDICT_H
#define FORKPOOL_VERDICT_H

#include "job.h"

struct verdict_limits {
    uint32_t max_crashes, max_lost;
};

/* Reads job->attempt.outcome, raises the counters and sets state and run_at_ms. random: 64 random bits for
 * the jitter. Does not touch seq. */
void verdict_apply(struct job *job, const struct verdict_limits *limits, int64_t now_ms, uint64_t random);

/* The wait before the next attempt after `errors` failures (≥ 1), in milliseconds, jitter included. */
int64_t verdict_backoff_ms(const struct retry *retry, uint32_t errors, uint64_t random);

#endif
