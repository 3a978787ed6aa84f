/* Counters and histograms of the front: one table each, from which /metrics, /v1/stats and the docs derive.
 *
 * Any thread of the front adds (relaxed atomics); readers sum. Counters start at 0 with each front process,
 * as Prometheus expects of a restart. Labelled counters (queue, task, state) live in a small fixed table of
 * rows.
 */
#ifndef FORKPOOL_METRICS_H
#define FORKPOOL_METRICS_H

#include "job.h"

#include <stdatomic.h>
#include <stdint.h>

/* name, metric, unit divisor (to base unit), help */
#define HISTOGRAMS(H)                                                                                        \
    H(JOB_WAIT, "forkpool_job_wait_seconds", 1e9, "Time from acceptance to the start of the last attempt.")  \
    H(JOB_RUN, "forkpool_job_run_seconds", 1e9, "Time an attempt ran.")                                      \
    H(HTTP_REQUEST, "forkpool_http_request_seconds", 1e9, "Time from a complete request to its answer.")     \
    H(COMMIT, "forkpool_commit_seconds", 1e9, "Time of one commit of a group.")                              \
    H(COMMIT_JOBS, "forkpool_commit_jobs", 1, "Operations in one commit.")

enum histogram {
#define H(name, metric, divisor, help) HISTOGRAM_##name,
    HISTOGRAMS(H)
#undef H
        HISTOGRAM_COUNT
};

/* Buckets grow by 2 from 2^BUCKET_SHIFT: for times 8 µs … 68 s, for counts 1 … . */
enum { BUCKETS = 24, COUNTER_ROWS = 512, HTTP_STATUS_CLASSES = 6 };

struct metrics_row { /* one queue and task */
    char queue[NAME_BYTES], task[NAME_BYTES];
    _Atomic int64_t submitted;
    _Atomic int64_t finished[JOB_STATE_COUNT];
    _Atomic int64_t attempts[OUTCOME_COUNT];
};

struct metrics {
    struct {
        _Atomic int64_t bucket[BUCKETS + 1]; /* the last: +Inf */
        _Atomic int64_t sum;
    } histograms[HISTOGRAM_COUNT];
    _Atomic int64_t http_requests[HTTP_STATUS_CLASSES]; /* by status / 100 */
    _Atomic int64_t http_connections;                   /* open now */
    _Atomic int row_count;
    struct metrics_row rows[COUNTER_ROWS]; /* the last one collects what no longer fits: "other" */
};

void metrics_observe(struct metrics *metrics, enum histogram histogram, int64_t value);
/* The row of a queue and task; made on first use (under a mutex), found without one. */
struct metrics_row *metrics_row(struct metrics *metrics, const char *queue, const char *task);
/* One more accepted job. */
void metrics_submitted(struct metrics *metrics, const struct job_spec *spec);
/* Upper bound of a bucket in the histogram's own unit. */
double metrics_bound(enum histogram histogram, int bucket);
const char *metrics_histogram_name(enum histogram histogram);
const char *metrics_histogram_help(enum histogram histogram);
double metrics_divisor(enum histogram histogram);

#endif
