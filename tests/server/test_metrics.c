#include "run.h"

#include "metrics.h"

#include <pthread.h>
#include <string.h>

static struct metrics *metrics;

static void setup(void)
{
    metrics = calloc(1, sizeof *metrics);
    ck_assert_ptr_nonnull(metrics);
}

static void teardown(void)
{
    free(metrics);
}

/* The only bucket with a value in it, or -1. */
static int only_bucket(enum histogram histogram)
{
    int found = -1;
    for (int i = 0; i <= BUCKETS; i++) {
        if (atomic_load(&metrics->histograms[histogram].bucket[i]) == 0)
            continue;
        ck_assert_int_eq(found, -1);
        found = i;
    }
    return found;
}

START_TEST(a_value_falls_into_the_first_bucket_whose_bound_it_does_not_exceed)
{
    for (int h = 0; h < HISTOGRAM_COUNT; h++) {
        for (int bucket = 0; bucket < BUCKETS; bucket++) {
            int64_t bound = (int64_t)metrics_bound((enum histogram)h, bucket);
            memset(metrics, 0, sizeof *metrics);
            metrics_observe(metrics, (enum histogram)h, bound);
            ck_assert_int_eq(only_bucket((enum histogram)h), bucket);
            memset(metrics, 0, sizeof *metrics);
            metrics_observe(metrics, (enum histogram)h, bound + 1);
            ck_assert_int_eq(only_bucket((enum histogram)h), bucket + 1);
        }
    }
}
END_TEST

START_TEST(times_go_from_microseconds_to_a_minute_and_counts_begin_at_1)
{
    double divisor = metrics_divisor(HISTOGRAM_JOB_RUN);
    ck_assert_double_lt(metrics_bound(HISTOGRAM_JOB_RUN, 0) / divisor, 10e-6);
    ck_assert_double_gt(metrics_bound(HISTOGRAM_JOB_RUN, BUCKETS - 1) / divisor, 60);
    ck_assert_double_eq(metrics_bound(HISTOGRAM_COMMIT_JOBS, 0) / metrics_divisor(HISTOGRAM_COMMIT_JOBS), 1);
}
END_TEST

START_TEST(extreme_values_have_a_bucket_too)
{
    metrics_observe(metrics, HISTOGRAM_COMMIT, INT64_MAX / 2);
    ck_assert_int_eq(only_bucket(HISTOGRAM_COMMIT), BUCKETS);
    metrics_observe(metrics, HISTOGRAM_JOB_RUN, -5);
    metrics_observe(metrics, HISTOGRAM_JOB_RUN, 0);
    ck_assert_int_eq(only_bucket(HISTOGRAM_JOB_RUN), 0);
    ck_assert_int_eq(atomic_load(&metrics->histograms[HISTOGRAM_JOB_RUN].sum), 0);
}
END_TEST

START_TEST(sums_add_up)
{
    metrics_observe(metrics, HISTOGRAM_COMMIT_JOBS, 3);
    metrics_observe(metrics, HISTOGRAM_COMMIT_JOBS, 4);
    ck_assert_int_eq(atomic_load(&metrics->histograms[HISTOGRAM_COMMIT_JOBS].sum), 7);
}
END_TEST

START_TEST(a_queue_and_task_have_one_row)
{
    struct metrics_row *row = metrics_row(metrics, "q", "t");
    ck_assert_ptr_eq(metrics_row(metrics, "q", "t"), row);
    ck_assert_ptr_ne(metrics_row(metrics, "t", "q"), row);
    ck_assert_ptr_ne(metrics_row(metrics, "q", "t2"), row);
    ck_assert_str_eq(row->queue, "q");
    ck_assert_str_eq(row->task, "t");
    ck_assert_int_eq(atomic_load(&metrics->row_count), 3);
}
END_TEST

START_TEST(what_no_longer_fits_is_counted_as_other)
{
    char queue[NAME_BYTES];
    for (int i = 0; i < COUNTER_ROWS + 50; i++) {
        snprintf(queue, sizeof queue, "q%d", i);
        struct metrics_row *row = metrics_row(metrics, queue, "t");
        ck_assert_str_eq(row->queue, i < COUNTER_ROWS - 1 ? queue : "other");
    }
    ck_assert_int_eq(atomic_load(&metrics->row_count), COUNTER_ROWS);
    ck_assert_str_eq(metrics->rows[COUNTER_ROWS - 1].task, "other");
}
END_TEST

static void *count_rows(void *context)
{
    char queue[NAME_BYTES];
    (void)context;
    for (int i = 0; i < 200; i++) {
        snprintf(queue, sizeof queue, "q%d", i % 100);
        atomic_fetch_add(&metrics_row(metrics, queue, "t")->submitted, 1);
    }
    return NULL;
}

START_TEST(threads_that_meet_a_new_row_make_it_once)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_rows, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&metrics->row_count), 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(atomic_load(&metrics->rows[i].submitted), 8);
}
END_TEST

START_TEST(every_histogram_has_a_name_and_a_help)
{
    for (int h = 0; h < HISTOGRAM_COUNT; h++) {
        ck_assert_int_eq(strncmp(metrics_histogram_name((enum histogram)h), "forkpool_", 9), 0);
        ck_assert_str_ne(metrics_histogram_help((enum histogram)h), "");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, every_histogram_has_a_name_and_a_help);
    tcase_add_test(tcase, times_go_from_microseconds_to_a_minute_and_counts_begin_at_1);
    tcase_add_test(tcase, a_value_falls_into_the_first_bucket_whose_bound_it_does_not_exceed);
    tcase_add_test(tcase, extreme_values_have_a_bucket_too);
    tcase_add_test(tcase, sums_add_up);
    tcase_add_test(tcase, a_queue_and_task_have_one_row);
    tcase_add_test(tcase, what_no_longer_fits_is_counted_as_other);
    tcase_add_test(tcase, threads_that_meet_a_new_row_make_it_once);
    return run_suite(suite);
}
