#include "dispatcher.h"

#include <string.h>

/* Pools are those of the start: a file that was read again may name others. */
static uint32_t pool_number(const struct dispatcher *dispatcher, const char *name)
{
    const struct config *config = dispatcher->config;
    for (uint32_t i = 0; i < config->pool_count && i < dispatcher->segment->shape.pool_count; i++)
        if (strcmp(config->pools[i].name, name) == 0)
            return i;
    return 0;
}

const char *configure_pool_name(const struct dispatcher *dispatcher, uint32_t pool)
{
    return pool < dispatcher->config->pool_count ? dispatcher->config->pools[pool].name : DEFAULT_POOL;
}

static struct limits of_queue(const struct queue_config *config)
{
    struct limits limits = limits_none();
    limits.values[LIMIT_PAUSED] = config->paused ? 1 : LIMIT_NOT_SET;
    limits.values[LIMIT_WEIGHT] = config->weight;
    limits.values[LIMIT_CONCURRENCY] = config->concurrency;
    limits.values[LIMIT_RATE] = limit_rate(config->rate);
    limits.values[LIMIT_BURST] = config->burst;
    limits.values[LIMIT_KEY_CONCURRENCY] = config->key_concurrency;
    limits.values[LIMIT_KEY_RATE] = limit_rate(config->key_rate);
    limits.values[LIMIT_KEY_BURST] = config->key_burst;
    limits.values[LIMIT_MAX_DEPTH] = config->max_depth;
    return limits;
}

static struct limits of_task(const struct task_config *config)
{
    struct limits limits = limits_none();
    limits.values[LIMIT_CONCURRENCY] = config->concurrency;
    limits.values[LIMIT_RATE] = limit_rate(config->rate);
    limits.values[LIMIT_BURST] = config->burst;
    limits.values[LIMIT_KEY_CONCURRENCY] = config->key_concurrency;
    limits.values[LIMIT_KEY_RATE] = limit_rate(config->key_rate);
    limits.values[LIMIT_KEY_BURST] = config->key_burst;
    return limits;
}

void configure(struct dispatcher *dispatcher, const struct config *config)
{
    struct lineup *lineup = &dispatcher->lineup;
    publish_take_all_back(
        dispatcher); /* a queue may change its pool: nothing of it may lie in the old one's rings */
    for (struct queue *queue = lineup_first_queue(lineup); queue != NULL; queue = lineup_next_queue(queue)) {
        lineup_leave_pool(lineup, queue);
        queue->file = limits_none();
        queue->pool = 0;
    }
    for (size_t i = 0; i < config->queue_count; i++) {
        struct queue *queue = lineup_queue(lineup, config->queues[i].name);
        queue->file = of_queue(&config->queues[i]);
        queue->pool = pool_number(dispatcher, config->queues[i].pool);
    }
    for (struct task_line *task = lineup->tasks; task != NULL; task = task->next)
        task->file = limits_none();
    for (size_t i = 0; i < config->task_count; i++)
        lineup_task(lineup, config->tasks[i].name)->file = of_task(&config->tasks[i]);
    lineup->key_concurrency = config->jobs_key_concurrency;
    change_join(dispatcher);
    change_settle(dispatcher);
    timetable_configure(dispatcher, config);
}
