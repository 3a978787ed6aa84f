#include "config_private.h"

#include "cpus.h"
#include "cron.h"
#include "nearest.h"
#include "segment.h"
#include "zone.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err config_refuse(struct loader *loader, enum config_key_index index)
{
    const struct config_origin *origin = &loader->origins[index];
    switch (origin->source) {
    case ORIGIN_DEFAULT:
        break;
    case ORIGIN_FILE:
        buf_printf(loader->message, "%s:%d:%d: ", loader->config->file, origin->line, origin->column);
        break;
    case ORIGIN_ENV:
        buf_printf(loader->message, "%s: ", loader->env.names.list[index]);
        break;
    case ORIGIN_FLAG:
        buf_printf(loader->message, "%s: ", loader->flags.names.list[index]);
        break;
    }
    return ERR_CONFIG;
}

enum err config_refuse_pair(struct loader *loader, enum config_key_index a, enum config_key_index b)
{
    return config_refuse(loader, loader->origins[b].source > loader->origins[a].source ? b : a);
}

static bool read_port(const char *text, in_port_t *port)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > 5 || strspn(text, "0123456789") != bytes)
        return false;
    long number = strtol(text, NULL, 10);
    *port = htons((uint16_t)number);
    return number <= UINT16_MAX;
}

enum err config_listen_address(const char *listen, struct sockaddr_storage *address, socklen_t *bytes)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(listen, ':');
    in_port_t port;
    if (colon == NULL || !read_port(colon + 1, &port))
        return ERR_CONFIG;
    size_t host_bytes = (size_t)(colon - listen);
    bool bracketed = host_bytes >= 2 && listen[0] == '[' && colon[-1] == ']';
    if (host_bytes - (bracketed ? 2 : 0) >= sizeof host)
        return ERR_CONFIG;
    text_copy(host, sizeof host, listen + bracketed, host_bytes - (bracketed ? 2 : 0));

    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
    *address = (struct sockaddr_storage){0};
    if (bracketed && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, *bytes = sizeof v6);
        return ERR_OK;
    }
    const char *digits = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (!bracketed && inet_pton(AF_INET, digits, &v4.sin_addr) == 1) {
        memcpy(address, &v4, *bytes = sizeof v4);
        return ERR_OK;
    }
    return ERR_CONFIG;
}

/* SQLite gives a meaning of its own to ":memory:" and "?mode=…"; here a path is nothing but a path. */
static bool is_file_path(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 0 && path[bytes - 1] != '/' && path[0] != ':' && strchr(path, '?') == NULL;
}

/* NULL if the URL names no file. */
static const char *sqlite_path(const char *url)
{
    static const char SCHEME[] = "sqlite:";
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
        return NULL;
    const char *path = url + strlen(SCHEME);
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    else if (path[0] == '/')
        return NULL;
    return is_file_path(path) ? path : NULL;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static enum err check_store(struct loader *loader)
{
    struct config *config = loader->config;
    const char *path = sqlite_path(config->store_url);
    if (path != NULL) {
        config->store_path = strdup(path);
        config->state_dir = folder_of(path);
        return config->store_path == NULL || config->state_dir == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    enum err err = config_refuse(loader, CONFIG_KEY_store_url);
    buf_put(loader->message, "store.url must be sqlite:///absolute/path or sqlite:relative/path of a file");
    /* Not quoted: it may hold a password. */
    if (strncmp(config->store_url, "postgres", strlen("postgres")) == 0) {
        buf_put(loader->message, "; postgres:// is not supported in this version");
        return err;
    }
    buf_put(loader->message, ", not ");
    config_put_quoted(loader->message, config->store_url);
    return err;
}

/* a ≥ factor × b, else a sentence with both. */
static enum err check_holds(struct loader *loader, enum config_key_index a, int factor,
                            enum config_key_index b)
{
    const struct config_key *holder = &config_keys[a], *held = &config_keys[b];
    const char *base = (const char *)loader->config;
    int64_t room, need;
    memcpy(&room, base + holder->at, sizeof room);
    memcpy(&need, base + held->at, sizeof need);
    if (room >= factor * need)
        return ERR_OK;
    enum err err = config_refuse_pair(loader, a, b);
    buf_printf(loader->message, "%s.%s is ", holder->section, holder->key);
    config_put_number(loader->message, holder, room);
    buf_put(loader->message, ", but must be at least ");
    if (factor > 1)
        buf_printf(loader->message, "%d times ", factor);
    buf_printf(loader->message, "%s.%s, which is ", held->section, held->key);
    config_put_number(loader->message, held, need);
    return err;
}

/* Starts the sentence about an entry of the file. */
static enum err refuse_entry(struct loader *loader, const char *word, const char *name, int line, int column)
{
    buf_printf(loader->message, "%s:%d:%d: the %s %s ", loader->config->file, line, column, word, name);
    return ERR_CONFIG;
}

/* A task that sets only one of the two lives with the other from jobs.*. */
static enum err check_backoff(struct loader *loader, const struct task_config *task)
{
    const struct config *config = loader->config;
    int64_t initial =
        task->backoff_initial_ms >= 0 ? task->backoff_initial_ms : config->jobs_backoff_initial_ms;
    int64_t max = task->backoff_max_ms >= 0 ? task->backoff_max_ms : config->jobs_backoff_max_ms;
    if (initial <= max)
        return ERR_OK;
    const struct config_key *key = &config_keys[CONFIG_KEY_jobs_backoff_max_ms];
    enum err err = refuse_entry(loader, "task", task->name, task->line, task->column);
    buf_printf(loader->message, "has %s, ",
               task->backoff_max_ms >= 0 ? "retry.max" : "jobs.backoff_max as its retry.max");
    config_put_number(loader->message, key, max);
    buf_printf(loader->message, ", below %s, ",
               task->backoff_initial_ms >= 0 ? "retry.initial" : "jobs.backoff_initial");
    config_put_number(loader->message, key, initial);
    return err;
}

/* NULL, or what a burst needs. */
static const char *burst_fault(int64_t burst, struct rate rate, int64_t key_burst, struct rate key_rate)
{
    if (burst >= 0 && rate.count == 0)
        return "has a burst, but no rate that it could exceed";
    if (key_burst >= 0 && key_rate.count == 0)
        return "has a key_burst, but no key_rate that it could exceed";
    return NULL;
}

static enum err check_tasks(struct loader *loader)
{
    for (size_t i = 0; i < loader->config->task_count; i++) {
        const struct task_config *task = &loader->config->tasks[i];
        enum err err = check_backoff(loader, task);
        if (err != ERR_OK)
            return err;
        const char *fault = burst_fault(task->burst, task->rate, task->key_burst, task->key_rate);
        if (fault != NULL) {
            err = refuse_entry(loader, "task", task->name, task->line, task->column);
            buf_put(loader->message, fault);
            return err;
        }
    }
    return ERR_OK;
}

static bool pool_exists(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        if (strcmp(config->pools[i].name, name) == 0)
            return true;
    }
    return false;
}

static void put_unknown_pool(const struct config *config, const char *name, struct buf *message)
{
    const char *names[POOLS_MAX];
    for (size_t i = 0; i < config->pool_count; i++)
        names[i] = config->pools[i].name;
    const char *nearest = nearest_name(name, names, config->pool_count);
    buf_printf(message, "names the pool %s, which is not in pools", name);
    if (nearest != NULL)
        buf_printf(message, "; did you mean %s?", nearest);
}

static enum err check_queues(struct loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->queue_count; i++) {
        const struct queue_config *queue = &config->queues[i];
        const char *fault = burst_fault(queue->burst, queue->rate, queue->key_burst, queue->key_rate);
        if (pool_exists(config, queue->pool) && fault == NULL)
            continue;
        enum err err = refuse_entry(loader, "queue", queue->name, queue->line, queue->column);
        if (fault != NULL)
            buf_put(loader->message, fault);
        else
            put_unknown_pool(config, queue->pool, loader->message);
        return err;
    }
    return ERR_OK;
}

/* ── pools ── */

static void resolve_workers(struct config *config)
{
    const struct config_key *key = &config_keys[CONFIG_KEY_workers_count];
    if (config->workers_count != 0)
        return;
    int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
    config->workers_count = cores < 2 ? 2 : cores > key->maximum ? key->maximum : cores;
}

/* The pool that takes what belongs nowhere else is there, and the first. */
static enum err place_default_pool(struct config *config)
{
    const struct config_list_kind *kind = &config_list_kinds[CONFIG_LIST_pools];
    size_t at = 0;
    while (at < config->pool_count && strcmp(config->pools[at].name, DEFAULT_POOL) != 0)
        at++;
    struct pool_config found = {.line = 0};
    if (at < config->pool_count) {
        found = config->pools[at];
    } else {
        struct pool_config *more = realloc(config->pools, (config->pool_count + 1) * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        config->pools = more;
        enum err err = config_entry_init(kind, &found);
        if (err != ERR_OK) {
            free(found.cpus);
            return err;
        }
        text_copy(found.name, sizeof found.name, DEFAULT_POOL, strlen(DEFAULT_POOL));
        config->pool_count++;
    }
    memmove(&config->pools[1], &config->pools[0], at * sizeof found);
    config->pools[0] = found;
    return ERR_OK;
}

/* A processor that this machine lets nobody use would make every worker of the pool fail. */
static bool cpus_usable(const char *text)
{
    cpu_set_t wanted, allowed, common;
    if (text[0] == '\0' || cpus_parse(text, &wanted) != ERR_OK ||
        sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return true;
    CPU_AND(&common, &wanted, &allowed);
    return CPU_COUNT(&common) > 0;
}

static enum err check_pool(struct loader *loader, struct pool_config *pool)
{
    bool own_workers = pool->workers >= 0;
    if (!own_workers)
        pool->workers = loader->config->workers_count;
    if (pool->min_workers < 0)
        pool->min_workers = pool->workers;
    bool too_few = pool->min_workers > pool->workers;
    if (!too_few && (loader->client || cpus_usable(pool->cpus)))
        return ERR_OK;
    enum err err = refuse_entry(loader, "pool", pool->name, pool->line, pool->column);
    if (too_few)
        buf_printf(loader->message, "has min_workers %lld, more than %s, %lld", (long long)pool->min_workers,
                   own_workers ? "workers" : "workers.count", (long long)pool->workers);
    else
        buf_printf(loader->message, "has cpus %s, of which this process may use none", pool->cpus);
    return err;
}

/* Each pool has one board more than workers, for the replacement of one of them. */
static enum err check_pools(struct loader *loader)
{
    struct config *config = loader->config;
    int64_t boards = 0;
    resolve_workers(config);
    if (config->pool_count > POOLS_MAX ||
        (config->pool_count == POOLS_MAX && !pool_exists(config, DEFAULT_POOL))) {
        buf_printf(loader->message, "%s: there are more than %d pools, counting %s", config->file, POOLS_MAX,
                   DEFAULT_POOL);
        return ERR_CONFIG;
    }
    enum err err = place_default_pool(config);
    for (size_t i = 0; err == ERR_OK && i < config->pool_count; i++) {
        err = check_pool(loader, &config->pools[i]);
        boards += config->pools[i].workers + 1;
    }
    if (err != ERR_OK || boards <= WORKERS_MAX)
        return err;
    buf_printf(loader->message,
               "%s: the pools have %lld workers in all; %lld are possible with so many pools", config->file,
               (long long)(boards - (int64_t)config->pool_count),
               (long long)(WORKERS_MAX - (int64_t)config->pool_count));
    return ERR_CONFIG;
}

/* Of the job only the form is known here: which tasks there are is found out later. */
static enum err check_schedule(struct loader *loader, const struct schedule_config *schedule)
{
    BUF_AUTO why = {0};
    struct cron cron;
    struct zone *zone;
    char nearest[ZONE_NAME_BYTES];
    bool fires = cron_parse(schedule->cron, &cron, &why) == ERR_OK;
    if (fires && zone_open(schedule->timezone, &zone) == ERR_OK) {
        zone_close(zone);
        return ERR_OK;
    }
    enum err err = refuse_entry(loader, "schedule", schedule->name, schedule->line, schedule->column);
    if (!fires) {
        buf_printf(loader->message, "has cron \"%s\": ", schedule->cron);
        buf_add(loader->message, why.data, why.bytes);
        return err;
    }
    buf_printf(loader->message, "has timezone %s, which is not known", schedule->timezone);
    if (zone_nearest(schedule->timezone, nearest) != NULL)
        buf_printf(loader->message, "; did you mean %s?", nearest);
    return err;
}

static enum err check_schedules(struct loader *loader)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < loader->config->schedule_count; i++)
        err = check_schedule(loader, &loader->config->schedules[i]);
    return err;
}

enum err config_check(struct loader *loader)
{
    enum err err = config_auth_check(loader);
    if (err == ERR_OK)
        err = check_store(loader);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_memory_tray, 2, CONFIG_KEY_jobs_max_result);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_memory_arena, 4, CONFIG_KEY_http_max_body);
    if (err == ERR_OK) /* with its arguments beside them: a job that fits into no arena would never start */
        err = check_holds(loader, CONFIG_KEY_memory_arena, 4, CONFIG_KEY_jobs_max_inputs);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_jobs_backoff_max_ms, 1, CONFIG_KEY_jobs_backoff_initial_ms);
    if (err == ERR_OK)
        err = check_tasks(loader);
    if (err == ERR_OK)
        err = check_pools(loader);
    if (err == ERR_OK)
        err = check_queues(loader);
    if (err == ERR_OK)
        err = check_schedules(loader);
    return err;
}
