/* A lineup without a dispatcher: jobs are seqs in an array a lane, times are made up. */
#ifndef FORKPOOL_TESTS_LINEUP_FIXTURE_H
#define FORKPOOL_TESTS_LINEUP_FIXTURE_H

#include "run.h"

#include "clock.h"
#include "lineup.h"

#include <string.h>

static struct lineup lineup;
static int64_t last_seq, now_ns;

static inline void lineup_up(void)
{
    lineup_init(&lineup, 1, NULL);
    last_seq = 0;
    now_ns = 1000 * NS_PER_SEC;
}

static inline void lineup_down(void)
{
    lineup_fini(&lineup);
}

static inline struct job_spec spec_of(const char *queue, const char *task, const char *key, uint8_t priority)
{
    struct job_spec spec = {.priority = priority};
    strcpy(spec.queue, queue);
    strcpy(spec.task, task);
    strcpy(spec.concurrency_key, key);
    spec.lane = job_lane(&spec);
    return spec;
}

/* So many jobs, one seq after the other, in a lane that has none: with more from elsewhere in between its
 * seqs would have gaps. */
static inline struct lane *stands(const char *queue, const char *task, const char *key, uint8_t priority,
                                  int64_t jobs)
{
    struct job_spec spec = spec_of(queue, task, key, priority);
    struct lane *lane = lineup_lane(&lineup, &spec);
    if (lane->ready_seq == NO_SEQ)
        lane->ready_seq = last_seq + 1;
    last_seq += jobs;
    lane->slots += (uint32_t)jobs;
    lineup_wait(lane, jobs);
    lineup_place(&lineup, lane);
    return lane;
}

static inline struct lane *next_at(uint32_t level)
{
    return lineup_next(&lineup, 0, level, now_ns);
}

/* The first job of the first lane goes; NULL if none may. */
static inline struct lane *take_at(uint32_t level)
{
    struct lane *lane = next_at(level);
    if (lane == NULL)
        return NULL;
    lineup_take(&lineup, lane, now_ns);
    lane->ready_seq = lane->waiting > 0 ? lane->ready_seq + 1 : NO_SEQ;
    lineup_place(&lineup, lane);
    return lane;
}

static inline struct lane *take(void)
{
    for (uint32_t level = PRIORITY_COUNT; level-- > 0;) {
        struct lane *lane = take_at(level);
        if (lane != NULL)
            return lane;
    }
    return NULL;
}

static inline int take_all(void)
{
    int count = 0;
    while (take() != NULL)
        count++;
    return count;
}

static inline void give_after(struct lane *lane, int64_t charged_ns, int64_t run_ns)
{
    lane->slots--;
    lineup_give(&lineup, lane, charged_ns, run_ns, now_ns);
    lineup_place(&lineup, lane);
}

static inline void give(struct lane *lane)
{
    give_after(lane, NS_PER_MS, NS_PER_MS);
}

/* Taken back: it is the first of its lane again. */
static inline void give_back(struct lane *lane)
{
    lineup_give(&lineup, lane, lane->queue->run_ns, -1, now_ns);
    lineup_wait(lane, 1);
    lane->ready_seq = lane->ready_seq == NO_SEQ ? last_seq : lane->ready_seq - 1;
    lineup_place(&lineup, lane);
}

/* The first job of a lane is cancelled. */
static inline void drop_first(struct lane *lane)
{
    lane->slots--;
    lineup_wait(lane, -1);
    lane->ready_seq = lane->waiting > 0 ? lane->ready_seq + 1 : NO_SEQ;
    lineup_place(&lineup, lane);
}

static inline void limit_queue(const char *queue, enum limit limit, int64_t value)
{
    lineup_queue(&lineup, queue)->now.values[limit] = value;
}

static inline void limit_task(const char *task, enum limit limit, int64_t value)
{
    lineup_task(&lineup, task)->now.values[limit] = value;
}

static inline void resettle(void)
{
    lineup_resettle(&lineup);
}

static inline int64_t rate_of(uint32_t count, uint32_t period_s)
{
    return limit_rate((struct rate){.count = count, .period_s = period_s});
}

static inline int64_t tick(void)
{
    int64_t next_ns;
    lineup_tick(&lineup, now_ns, &next_ns);
    return next_ns;
}

#endif
