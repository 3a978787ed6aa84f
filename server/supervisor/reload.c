#include "supervisor.h"

#include "crash_point.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void reload_publish_access(struct supervisor *supervisor)
{
    const struct config *config = supervisor->config;
    access_publish(supervisor->access, config);
    if (config->auth_mode == AUTH_TOKEN)
        LOG(ACCESS_LOAD, LOG_INT("tokens", (int64_t)config->token_count));
}

/* Tokens come and go; but what is guarded by tokens is not opened by a reload, since the address that we
 * listen on stays as it is. Takes the tokens out of `fresh`. */
static void reload_access(struct supervisor *supervisor, struct config *fresh)
{
    struct config *config = supervisor->config;
    struct token *tokens = config->tokens;
    if (fresh->auth_mode != AUTH_TOKEN)
        return;
    config->auth_mode = fresh->auth_mode;
    config->tokens = fresh->tokens;
    config->token_count = fresh->token_count;
    fresh->tokens = tokens;
    reload_publish_access(supervisor);
}

static enum err load_again(const struct supervisor *supervisor, struct config **fresh, struct buf *message)
{
    enum err err = config_load(supervisor->argc, supervisor->argv, environ, fresh, message);
    if (err != ERR_OK || supervisor->config->auth_mode != AUTH_TOKEN || (*fresh)->auth_mode == AUTH_TOKEN)
        return err;
    config_free(*fresh);
    buf_put(message, "no tokens are left, but a reload does not open what was guarded by tokens: restart, or "
                     "configure a token");
    return ERR_CONFIG;
}

/* Exchanges what is read again: the rest goes with `fresh`. */
#define EXCHANGE(member)                                                                                     \
    do {                                                                                                     \
        __typeof__(config->member) kept = config->member;                                                    \
        config->member = fresh->member;                                                                      \
        fresh->member = kept;                                                                                \
    } while (0)

static void take_over(struct config *config, struct config *fresh)
{
    EXCHANGE(tasks);
    EXCHANGE(task_count);
    EXCHANGE(tasks_dir);
    EXCHANGE(queues);
    EXCHANGE(queue_count);
    EXCHANGE(schedules);
    EXCHANGE(schedule_count);
    config->jobs_key_concurrency = fresh->jobs_key_concurrency;
    config->log_level = fresh->log_level;
}

static bool same_pools(const struct config *a, const struct config *b)
{
    bool same = a->pool_count == b->pool_count;
    for (size_t i = 0; same && i < a->pool_count; i++) {
        const struct pool_config *one = &a->pools[i], *other = &b->pools[i];
        same = strcmp(one->name, other->name) == 0 && one->workers == other->workers &&
               one->min_workers == other->min_workers && one->idle_timeout_ms == other->idle_timeout_ms &&
               one->max_jobs == other->max_jobs && one->max_rss_bytes == other->max_rss_bytes &&
               one->max_age_ms == other->max_age_ms && one->nice == other->nice &&
               strcmp(one->cpus, other->cpus) == 0;
    }
    return same;
}

void reload_config(struct supervisor *supervisor)
{
    struct config *fresh;
    BUF_AUTO message = {0};
    if (load_again(supervisor, &fresh, &message) != ERR_OK) {
        buf_add(&message, "", 1);
        LOG(CONFIG_ERROR, LOG_TEXT("reason", message.failed ? "out of memory" : message.data));
        return;
    }
    struct config *config = supervisor->config;
    struct segment_header *header = supervisor->segment.header;
    LOG_EVENT(CONFIG_LOAD);
    if (!same_pools(config, fresh))
        LOG_EVENT(CONFIG_POOLS);
    reload_access(supervisor, fresh);
    take_over(config, fresh);
    config_free(fresh);
    log_set_level((enum log_level)config->log_level);
    atomic_store_explicit(&header->log_level, (uint32_t)config->log_level, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->config_epoch, 1, memory_order_release);
    CRASH_POINT(RELOADED);
    sem_hint(&header->done); /* the front looks when it turns */
    spawn_probe(supervisor);
}
