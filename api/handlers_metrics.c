/* GET /metrics: the Prometheus text format, version 0.0.4. */
#include "codec.h"
#include "handlers.h"
#include "tally.h"
#include "rss.h"
#include "workers.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name{a="x",b="y"} value; a label without a name ends the list. */
struct label {
    const char *name, *value;
};

static void put_value(struct buf *out, const char *name, const struct label *labels, double value)
{
    buf_put(out, name);
    for (size_t i = 0; labels != NULL && labels[i].name != NULL; i++) {
        buf_printf(out, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
        for (const char *at = labels[i].value; *at != '\0'; at++) {
            if (*at == '\n')
                PUT(out, "\\n");
            else
                buf_printf(out, "%s%c", *at == '"' || *at == '\\' ? "\\" : "", *at);
        }
        PUT(out, "\"");
    }
    buf_printf(out, "%s %.16g\n", labels != NULL && labels[0].name != NULL ? "}" : "", value);
}

#define LABELS(...) ((const struct label[]){__VA_ARGS__, {NULL, NULL}})

static void put_gauge(struct buf *out, const char *name, const char *help, double value)
{
    put_head(out, name, "gauge", help);
    put_value(out, name, NULL, value);
}

static void put_counter(struct buf *out, const char *name, const char *help, double value)
{
    put_head(out, name, "counter", help);
    put_value(out, name, NULL, value);
}

/* -----------------------------------------------------------------------------------------------------------
 * jobs */

static int row_count(struct metrics *metrics)
{
    return atomic_load_explicit(&metrics->row_count, memory_order_acquire);
}

static void put_submitted(struct buf *out, struct metrics *metrics)
{
    static const char NAME[] = "forkpool_jobs_submitted_total";
    put_head(out, NAME, "counter", "Jobs accepted since the front process started.");
    for (int i = 0; i < row_count(metrics); i++) {
        struct metrics_row *row = &metrics->rows[i];
        put_value(out, NAME, LABELS({"queue", row->queue}, {"task", row->task}),
                  (double)atomic_load_explicit(&row->submitted, memory_order_relaxed));
    }
}

static void put_finished(struct buf *out, struct metrics *metrics)
{
    static const char NAME[] = "forkpool_jobs_finished_total";
    put_head(out, NAME, "counter", "Jobs that reached a terminal state.");
    for (int i = 0; i < row_count(metrics); i++) {
        struct metrics_row *row = &metrics->rows[i];
        for (int state = 0; state < JOB_STATE_COUNT; state++) {
            const char *text = job_state_text((enum job_state)state);
            if (job_is_terminal((enum job_state)state))
                put_value(out, NAME, LABELS({"queue", row->queue}, {"task", row->task}, {"state", text}),
                          (double)atomic_load_explicit(&row->finished[state], memory_order_relaxed));
        }
    }
}

static void put_attempts(struct buf *out, struct metrics *metrics)
{
    static const char NAME[] = "forkpool_attempts_total";
    put_head(out, NAME, "counter", "Attempts by how they ended.");
    for (int i = 0; i < row_count(metrics); i++) {
        struct metrics_row *row = &metrics->rows[i];
        for (int outcome = OUTCOME_NONE + 1; outcome < OUTCOME_COUNT; outcome++) {
            const char *text = outcome_text((enum outcome)outcome);
            put_value(out, NAME, LABELS({"queue", row->queue}, {"task", row->task}, {"outcome", text}),
                      (double)atomic_load_explicit(&row->attempts[outcome], memory_order_relaxed));
        }
    }
}

static void put_jobs(struct buf *out, const struct tally *tally)
{
    static const char NAME[] = "forkpool_jobs";
    put_head(out, NAME, "gauge", "Jobs by queue and state.");
    for (size_t i = 0; i < tally->count; i++) {
        const char *queue = tally->rows[i].queue;
        int64_t sums[JOB_STATE_COUNT] = {0};
        size_t earlier = 0;
        while (earlier < i && strcmp(tally->rows[earlier].queue, queue) != 0)
            earlier++;
        if (earlier < i)
            continue;
        tally_sum(tally, queue, NULL, sums);
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            put_value(out, NAME, LABELS({"queue", queue}, {"state", job_state_text((enum job_state)state)}),
                      (double)sums[state]);
    }
}

/* -----------------------------------------------------------------------------------------------------
 * histograms */

static void put_histogram(struct buf *out, struct metrics *metrics, enum histogram histogram)
{
    const char *name = metrics_histogram_name(histogram);
    double divisor = metrics_divisor(histogram);
    char series[128], bound[32];
    int64_t total = 0;
    put_head(out, name, "histogram", metrics_histogram_help(histogram));
    snprintf(series, sizeof series, "%s_bucket", name);
    for (int i = 0; i <= BUCKETS; i++) {
        total += atomic_load_explicit(&metrics->histograms[histogram].bucket[i], memory_order_relaxed);
        snprintf(bound, sizeof bound, "%.9g", metrics_bound(histogram, i) / divisor);
        put_value(out, series, LABELS({"le", i < BUCKETS ? bound : "+Inf"}), (double)total);
    }
    int64_t sum = atomic_load_explicit(&metrics->histograms[histogram].sum, memory_order_relaxed);
    snprintf(series, sizeof series, "%s_sum", name);
    put_value(out, series, NULL, (double)sum / divisor);
    snprintf(series, sizeof series, "%s_count", name);
    put_value(out, series, NULL, (double)total);
}

/* -------------------------------------------------------------------------------------------- workers and
 * memory */

struct pool_numbers {
    unsigned states[WORKER_STATE_COUNT];
    uint64_t restarts[DEATH_CAUSE_COUNT];
};

static void count_pool(const struct segment *segment, uint32_t pool, struct pool_numbers *numbers)
{
    const struct segment_pool *range = &segment->shape.pools[pool];
    *numbers = (struct pool_numbers){.states = {0}};
    for (uint32_t i = range->first; i < range->first + range->count; i++) {
        struct worker_view view;
        workers_look(segment, i, &view);
        numbers->states[view.state] += view.in_use;
        for (int cause = 0; cause < DEATH_CAUSE_COUNT; cause++)
            numbers->restarts[cause] +=
                atomic_load_explicit(&segment->boards[i].restarts[cause], memory_order_relaxed);
    }
}

static void put_workers(struct buf *out, const struct segment *segment)
{
    static const char WORKERS[] = "forkpool_workers", RESTARTS[] = "forkpool_worker_restarts_total";
    struct pool_numbers pools[POOLS_MAX];
    for (uint32_t pool = 0; pool < segment->shape.pool_count; pool++)
        count_pool(segment, pool, &pools[pool]);
    put_head(out, WORKERS, "gauge", "Worker processes by what they do.");
    for (uint32_t pool = 0; pool < segment->shape.pool_count; pool++)
        for (int state = 0; state < WORKER_STATE_COUNT; state++)
            put_value(out, WORKERS,
                      LABELS({"pool", segment->shape.pools[pool].name},
                             {"state", worker_state_text((enum worker_state)state)}),
                      pools[pool].states[state]);
    put_head(out, RESTARTS, "counter", "Workers that ended and were replaced.");
    for (uint32_t pool = 0; pool < segment->shape.pool_count; pool++)
        for (int cause = DEATH_NONE + 1; cause < DEATH_CAUSE_COUNT; cause++)
            put_value(out, RESTARTS,
                      LABELS({"pool", segment->shape.pools[pool].name},
                             {"cause", death_cause_text((enum death_cause)cause)}),
                      (double)pools[pool].restarts[cause]);
    put_counter(out, "forkpool_front_restarts_total", "Front processes that died and were replaced.",
                atomic_load_explicit(&segment->header->front_restarts, memory_order_relaxed));
    put_counter(out, "forkpool_resets_total", "Restarts of everything from the store.",
                atomic_load_explicit(&segment->header->resets, memory_order_relaxed));
}

static void put_memory(struct buf *out, const struct front_numbers *numbers)
{
    static const char SLOTS[] = "forkpool_slots";
    put_head(out, SLOTS, "gauge", "Places in the shared table of jobs.");
    put_value(out, SLOTS, LABELS({"state", "free"}), (double)(numbers->slots_total - numbers->slots_used));
    put_value(out, SLOTS, LABELS({"state", "waiting"}),
              (double)(numbers->slots_used - numbers->slots_running));
    put_value(out, SLOTS, LABELS({"state", "running"}), (double)numbers->slots_running);
    put_gauge(out, "forkpool_memory_jobs", "Jobs of durability memory in the table.",
              (double)numbers->slots_memory);
    put_gauge(out, "forkpool_store_full", "1 while the store cannot be written and submissions are refused.",
              numbers->store_full ? 1 : 0);
    put_gauge(out, "forkpool_arena_bytes", "Shared memory for arguments.", (double)numbers->arena_bytes);
    put_gauge(out, "forkpool_arena_used_bytes", "Shared memory that holds arguments now.",
              (double)numbers->arena_used);
}

static void put_http(struct buf *out, struct metrics *metrics)
{
    static const char REQUESTS[] = "forkpool_http_requests_total";
    put_head(out, REQUESTS, "counter", "HTTP answers by class of status.");
    for (int i = 1; i < HTTP_STATUS_CLASSES; i++) {
        char class[] = {(char)('0' + i), 'x', 'x', '\0'};
        put_value(out, REQUESTS, LABELS({"status", class}),
                  (double)atomic_load_explicit(&metrics->http_requests[i], memory_order_relaxed));
    }
    put_gauge(out, "forkpool_http_connections", "Open HTTP connections.",
              (double)atomic_load_explicit(&metrics->http_connections, memory_order_relaxed));
}

/* --------------------------------------------------------------------------------------------- the process's
 * own */

static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the folder itself */
}

static void put_process(struct buf *out, const struct front_numbers *numbers)
{
    struct rusage usage;
    struct rlimit limit = {0};
    getrusage(RUSAGE_SELF, &usage);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    put_counter(out, "process_cpu_seconds_total", "CPU time of the front process.", cpu);
    put_gauge(out, "process_resident_memory_bytes", "Resident memory of the front process.",
              (double)rss_bytes(getpid()));
    put_gauge(out, "process_open_fds", "Open descriptors of the front process.", count_descriptors());
    put_gauge(out, "process_max_fds", "Descriptors that it may open.", (double)limit.rlim_cur);
    put_gauge(out, "process_start_time_seconds", "When it started.", (double)numbers->started_ms / 1000);
}

enum answer get_metrics(struct request *request)
{
    struct metrics *metrics = front_metrics(request->front);
    TALLY_AUTO tally = {0};
    struct front_numbers numbers;
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return problem_plain(request, err);
    front_numbers(request->front, &numbers);
    struct buf *out = reply_json(request, 200);
    request->reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    put_head(out, "forkpool_build_info", "gauge", "The version of the server; always 1.");
    put_value(out, "forkpool_build_info", LABELS({"version", FORKPOOL_VERSION}), 1);
    put_submitted(out, metrics);
    put_finished(out, metrics);
    put_attempts(out, metrics);
    put_jobs(out, &tally);
    for (int i = 0; i < HISTOGRAM_COUNT; i++)
        put_histogram(out, metrics, (enum histogram)i);
    put_workers(out, front_segment(request->front));
    put_memory(out, &numbers);
    put_http(out, metrics);
    put_process(out, &numbers);
    return ANSWERED;
}
