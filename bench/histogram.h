/* Times by their size: 32 buckets for each power of two of nanoseconds, so a bucket is at most 3 % wide.
 *
 * A program adds what it measured and prints the buckets that are not empty, as JSON: [[upper end in µs,
 * count], …]. What follows from them (percentiles, plots) is computed in figure.py.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { HISTOGRAM_SUB = 32, HISTOGRAM_SUB_BITS = 5, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_SUB };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline void histogram_add(struct histogram *all, int64_t ns)
{
    uint64_t value = ns < 1 ? 1 : (uint64_t)ns;
    int power = 63 - __builtin_clzll(value);
    int shift = power > HISTOGRAM_SUB_BITS ? power - HISTOGRAM_SUB_BITS : 0;
    all->counts[shift * HISTOGRAM_SUB + (int)(value >> shift)]++;
}

/* The smallest value that is over those of the bucket. The buckets of shift 0 hold 0 to 63, the others 32 to
 * 63 each. */
static inline double histogram_end_ns(int bucket)
{
    int shift = bucket < 2 * HISTOGRAM_SUB ? 0 : bucket / HISTOGRAM_SUB - 1;
    return (double)((uint64_t)(bucket - shift * HISTOGRAM_SUB + 1) << shift);
}

static inline void histogram_print(const struct histogram *all)
{
    const char *comma = "";
    printf("[");
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (all->counts[i] == 0)
            continue;
        printf("%s[%.3f,%llu]", comma, histogram_end_ns(i) / 1000, (unsigned long long)all->counts[i]);
        comma = ",";
    }
    printf("]");
}

#endif
