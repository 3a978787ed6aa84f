#include "metrics.h"

#include "check.h"

#include <pthread.h>
#include <string.h>

static const struct {
    const char *metric;
    double divisor;
    const char *help;
} HISTOGRAM[HISTOGRAM_COUNT] = {
#define H(name, metric, divisor, help) [HISTOGRAM_##name] = {metric, divisor, help},
    HISTOGRAMS(H)
#undef H
};

static pthread_mutex_t rows_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Bucket i holds values up to 2^(shift + i): for nanoseconds from 8.2 µs to 69 s, for counts from 1. */
static int shift_of(enum histogram histogram)
{
    return HISTOGRAM[histogram].divisor > 1 ? 13 : 0;
}

void metrics_observe(struct metrics *metrics, enum histogram histogram, int64_t value)
{
    uint64_t above = value > 1 ? (uint64_t)value - 1 : 0; /* bounds belong to their bucket */
    int bits = above > 0 ? 64 - __builtin_clzll(above) : 0;
    int bucket = bits - shift_of(histogram);
    if (bucket < 0)
        bucket = 0;
    if (bucket > BUCKETS)
        bucket = BUCKETS;
    atomic_fetch_add_explicit(&metrics->histograms[histogram].bucket[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->histograms[histogram].sum, value > 0 ? value : 0,
                              memory_order_relaxed);
}

static struct metrics_row *find_row(struct metrics *metrics, int from, int count, const char *queue,
                                    const char *task)
{
    for (int i = from; i < count; i++) {
        if (strcmp(metrics->rows[i].task, task) == 0 && strcmp(metrics->rows[i].queue, queue) == 0)
            return &metrics->rows[i];
    }
    return NULL;
}

static struct metrics_row *add_row(struct metrics *metrics, const char *queue, const char *task)
{
    int count = atomic_load_explicit(&metrics->row_count, memory_order_relaxed);
    if (count >= COUNTER_ROWS - 1)
        queue = task = "other";
    if (count == COUNTER_ROWS)
        return &metrics->rows[COUNTER_ROWS - 1];
    struct metrics_row *row = &metrics->rows[count];
    text_copy(row->queue, sizeof row->queue, queue, strlen(queue));
    text_copy(row->task, sizeof row->task, task, strlen(task));
    atomic_store_explicit(&metrics->row_count, count + 1, memory_order_release); /* M1: pairs with M2 */
    return row;
}

struct metrics_row *metrics_row(struct metrics *metrics, const char *queue, const char *task)
{
    int count = atomic_load_explicit(&metrics->row_count, memory_order_acquire); /* M2: names are whole */
    struct metrics_row *row = find_row(metrics, 0, count, queue, task);
    if (row != NULL)
        return row;
    CHECK(pthread_mutex_lock(&rows_mutex) == 0);
    int now = atomic_load_explicit(&metrics->row_count, memory_order_relaxed);
    row = find_row(metrics, count, now, queue, task); /* another thread may have made it meanwhile */
    if (row == NULL)
        row = add_row(metrics, queue, task);
    CHECK(pthread_mutex_unlock(&rows_mutex) == 0);
    return row;
}

void metrics_submitted(struct metrics *metrics, const struct job_spec *spec)
{
    struct metrics_row *row = metrics_row(metrics, spec->queue, spec->task);
    atomic_fetch_add_explicit(&row->submitted, 1, memory_order_relaxed);
}

double metrics_bound(enum histogram histogram, int bucket)
{
    return (double)((uint64_t)1 << (shift_of(histogram) + bucket));
}

const char *metrics_histogram_name(enum histogram histogram)
{
    CHECK(histogram < HISTOGRAM_COUNT);
    return HISTOGRAM[histogram].metric;
}

const char *metrics_histogram_help(enum histogram histogram)
{
    CHECK(histogram < HISTOGRAM_COUNT);
    return HISTOGRAM[histogram].help;
}

double metrics_divisor(enum histogram histogram)
{
    CHECK(histogram < HISTOGRAM_COUNT);
    return HISTOGRAM[histogram].divisor;
}
