/* GET /v1/stats and /v1/workers. */
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "rss.h"
#include "tally.h"
#include "workers.h"

#include <string.h>

/* -------------------------------------------------------------------------------------------------------
 * workers */

static void put_restarts(struct buf *out, const struct board *board)
{
    PUT(out, ",\"restarts\":{");
    for (int cause = DEATH_NONE + 1; cause < DEATH_CAUSE_COUNT; cause++) {
        uint32_t count = atomic_load_explicit(&board->restarts[cause], memory_order_relaxed);
        buf_printf(out, "%s\"%s\":%u", cause > DEATH_NONE + 1 ? "," : "",
                   death_cause_text((enum death_cause)cause), count);
    }
    PUT(out, "}");
}

static void put_reason(struct buf *out, const char *key, enum retire_reason reason)
{
    if (reason == RETIRE_NONE)
        buf_printf(out, ",\"%s\":null", key);
    else
        buf_printf(out, ",\"%s\":\"%s\"", key, retire_reason_text(reason));
}

static void put_worker(struct buf *out, const struct segment *segment, uint32_t worker,
                       struct worker_view view)
{
    const struct board *board = &segment->boards[worker];
    const struct segment_pool *pool = &segment->shape.pools[segment_pool_of(segment, worker)];
    char id[ID_TEXT_BYTES];
    int pid = atomic_load_explicit(&board->pid, memory_order_relaxed);
    int64_t spawned_ms = atomic_load_explicit(&board->spawned_ms, memory_order_relaxed);
    int64_t rss = pid > 0 ? rss_bytes(pid) : -1;
    buf_printf(out, "{\"pool\":\"%s\",\"number\":%u,\"worker\":%u,\"pid\":", pool->name, worker - pool->first,
               worker);
    if (pid > 0)
        buf_put_int(out, pid);
    else
        PUT(out, "null");
    buf_printf(out, ",\"state\":\"%s\",\"job\":", worker_state_text(view.state));
    if (view.has_job) {
        id_format(view.id, id);
        buf_printf(out, "{\"id\":\"%s\",\"task\":\"%s\"}", id, view.task);
    } else {
        PUT(out, "null");
    }
    PUT(out, ",\"jobs_done\":");
    buf_put_int(out, (int64_t)atomic_load_explicit(&board->jobs_done, memory_order_relaxed));
    put_reason(out, "recycling", view.recycling);
    put_reason(out, "replaces", view.replaces);
    put_restarts(out, board);
    PUT(out, ",\"started_at\":");
    if (spawned_ms > 0)
        buf_put_time(out, spawned_ms);
    else
        PUT(out, "null");
    PUT(out, ",\"rss_bytes\":");
    if (rss >= 0)
        buf_put_int(out, rss);
    else
        PUT(out, "null");
    PUT(out, "}");
}

enum answer list_workers(struct request *request)
{
    const struct segment *segment = front_segment(request->front);
    struct buf *out = reply_json(request, 200);
    const char *between = "";
    PUT(out, "{\"items\":[");
    for (uint32_t i = 0; i < segment->shape.worker_count; i++) {
        struct worker_view view;
        workers_look(segment, i, &view);
        if (!view.in_use)
            continue;
        buf_put(out, between);
        put_worker(out, segment, i, view);
        between = ",\n";
    }
    PUT(out, "]}\n");
    return ANSWERED;
}

/* ---------------------------------------------------------------------------------------------------------
 * stats */

static const char *row_queue(const struct tally_row *row)
{
    return row->queue;
}

static const char *row_task(const struct tally_row *row)
{
    return row->task;
}

/* One object per distinct name, in the order in which they turn up. */
static void put_groups(struct buf *out, const struct tally *tally, const char *label,
                       const char *(*name_of)(const struct tally_row *))
{
    bool by_queue = name_of == row_queue, first = true;
    buf_printf(out, ",\"%ss\":[", label);
    for (size_t i = 0; i < tally->count; i++) {
        const char *name = name_of(&tally->rows[i]);
        int64_t sums[JOB_STATE_COUNT] = {0};
        size_t earlier = 0;
        while (earlier < i && strcmp(name_of(&tally->rows[earlier]), name) != 0)
            earlier++;
        if (earlier < i)
            continue;
        tally_sum(tally, by_queue ? name : NULL, by_queue ? NULL : name, sums);
        buf_printf(out, "%s{\"%s\":\"%s\",\"jobs\":", first ? "" : ",", label, name);
        tally_put(out, sums);
        PUT(out, "}");
        first = false;
    }
    PUT(out, "]");
}

static void put_workers(struct buf *out, const struct segment *segment)
{
    unsigned total = 0, counts[WORKER_STATE_COUNT] = {0};
    struct worker_view view;
    for (uint32_t i = 0; i < segment->shape.worker_count; i++) {
        workers_look(segment, i, &view);
        counts[view.state] += view.in_use;
        total += view.in_use;
    }
    buf_printf(out, ",\"workers\":{\"total\":%u", total);
    for (int state = 0; state < WORKER_STATE_COUNT; state++)
        buf_printf(out, ",\"%s\":%u", worker_state_text((enum worker_state)state), counts[state]);
    PUT(out, "}");
}

static void put_memory(struct buf *out, const struct front_numbers *numbers)
{
    buf_printf(out,
               ",\"slots\":{\"total\":%lld,\"used\":%lld,\"running\":%lld,\"memory\":%lld}"
               ",\"arena\":{\"bytes\":%lld,\"used\":%lld}",
               (long long)numbers->slots_total, (long long)numbers->slots_used,
               (long long)numbers->slots_running, (long long)numbers->slots_memory,
               (long long)numbers->arena_bytes, (long long)numbers->arena_used);
}

static void put_http(struct buf *out, const struct metrics *metrics)
{
    int64_t requests = 0;
    for (int i = 0; i < HTTP_STATUS_CLASSES; i++)
        requests += atomic_load_explicit(&metrics->http_requests[i], memory_order_relaxed);
    PUT(out, ",\"http\":{\"connections\":");
    buf_put_int(out, atomic_load_explicit(&metrics->http_connections, memory_order_relaxed));
    PUT(out, ",\"requests\":");
    buf_put_int(out, requests);
    PUT(out, "}");
}

static enum answer answer_stats(struct request *request)
{
    TALLY_AUTO tally = {0};
    const struct look *look = request->errand.look;
    struct front_numbers numbers;
    int64_t sums[JOB_STATE_COUNT] = {0};
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return problem_plain(request, err);
    front_numbers(request->front, &numbers);
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"version\":\"" FORKPOOL_VERSION "\",\"started_at\":");
    buf_put_time(out, numbers.started_ms);
    PUT(out, ",\"uptime_seconds\":");
    buf_put_seconds(out, clock_real_ms() - numbers.started_ms);
    PUT(out, ",\"paused\":");
    buf_put(out, look->paused ? "true" : "false");
    PUT(out, ",\"draining\":"); /* on request, or because it stops */
    buf_put(out, look->draining || front_draining(request->front) ? "true" : "false");
    PUT(out, ",\"jobs\":");
    tally_sum(&tally, NULL, NULL, sums);
    tally_put(out, sums);
    put_groups(out, &tally, "queue", row_queue);
    put_groups(out, &tally, "task", row_task);
    put_memory(out, &numbers);
    put_workers(out, front_segment(request->front));
    put_http(out, front_metrics(request->front));
    PUT(out, "}\n");
    return ANSWERED;
}

enum answer get_stats(struct request *request)
{
    return handler_look(request, LOOK_QUEUES, answer_stats);
}
