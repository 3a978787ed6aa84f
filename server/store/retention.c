#include "retention.h"

#include "check.h"
#include "clock.h"
#include "committer.h"
#include "crash_point.h"
#include "log.h"
#include "paths.h"

#include <errno.h>
#include <unistd.h>

enum {
    WALK_LEAST_MS = 100,
    WALK_MOST_MS = 60000, /* between walks: a twentieth of the time that is kept, within these */
    FULL_LEAST_MS = 1000,
    FULL_MOST_MS = 6 * 60 * 60 * 1000, /* between full walks: a tenth */
    FULL_SHARE = 10,                   /* and of all time, one part in so many */
    STEPS_MOST = 4,                    /* a turn */
    STEP_LEAST_MS = 20,                /* between steps while there is more to do */
    AFTER_REFUSAL_MS = 1000,
    SHARE = 10 /* of the committer's time, one part in so many */
};

static int64_t within(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* --- committer --- */

enum err retention_run(struct store *store, struct retain *batch)
{
    int64_t begun = clock_mono_ns();
    enum err err = ERR_OK;
    for (size_t i = 0; i < batch->past_count && err == ERR_OK; i++)
        err = batch->results ? CRASH_AROUND(STORE_PRUNE, store_prune(store, &batch->past[i]))
                             : CRASH_AROUND(STORE_FORGET_OLD, store_forget(store, &batch->past[i]));
    for (size_t i = 0; i < batch->gone_count && err == ERR_OK; i++)
        err = CRASH_AROUND(STORE_DEBRIS_GONE, store_debris_gone(store, &batch->gone[i]));
    batch->spent_ns = clock_mono_ns() - begun;
    return err;
}

void retention_done(struct retain *batch, enum err err)
{
    batch->err = err;
    atomic_store_explicit(&batch->done, true, memory_order_release); /* R1: pairs with R2 in retention_turn */
}

/* --- checkpointer --- */

enum err retention_init(struct retention *retention, const struct config *config, struct committer *committer)
{
    *retention = (struct retention){.config = config, .committer = committer};
    enum err err = retain_rules_new(config, &retention->rules);
    return err != ERR_OK ? err : store_reader_open(config->store_url, &retention->reader);
}

void retention_fini(struct retention *retention)
{
    store_reader_close(retention->reader);
    retention->reader = NULL;
    retain_rules_free(retention->rules);
    retention->rules = NULL;
    retain_rules_free(atomic_exchange(&retention->fresh, NULL));
}

enum err retention_configure(struct retention *retention, const struct config *config)
{
    struct retain_rules *rules;
    enum err err = retain_rules_new(config, &rules);
    if (err == ERR_OK) /* R3: release, pairs with R4 in take_rules */
        retain_rules_free(atomic_exchange_explicit(&retention->fresh, rules, memory_order_acq_rel));
    return err;
}

/* Each class begins with a full walk. */
static void take_rules(struct retention *retention)
{
    struct retain_rules *fresh =
        atomic_exchange_explicit(&retention->fresh, NULL, memory_order_acq_rel); /* R4: acquire */
    if (fresh == NULL)
        return;
    retain_rules_free(retention->rules);
    retention->rules = fresh;
}

static void unlink_logs(const char *state_dir, const struct store_debris *debris)
{
    char path[PATH_BYTES];
    for (uint32_t attempt = 1; attempt <= debris->attempts; attempt++) {
        if (log_path(state_dir, debris->id, attempt, path) == ERR_OK && unlink(path) != 0 && errno != ENOENT)
            log_errno("unlink", path);
    }
}

/* Their rows are deleted and committed: a reader sees nothing else. */
static enum err clear_debris(struct retention *retention)
{
    struct retain *batch = &retention->batch;
    enum err err = store_debris_read(retention->reader, RETAIN_BATCH, batch->gone, &batch->gone_count);
    for (size_t i = 0; i < batch->gone_count; i++)
        unlink_logs(retention->config->state_dir, &batch->gone[i]);
    if (batch->gone_count > 0)
        CRASH_POINT(LOGS_UNLINKED);
    return err;
}

static void begin_walk(struct retain_class *class, int64_t now_ms)
{
    if (class->full || class->full_ms > now_ms)
        return;
    class->full = true;
    class->full_since_ms = now_ms;
    class->mark = 0;
}

static void end_walk(struct retain_class *class, int64_t now_ms)
{
    class->next_ms = now_ms + within(class->kept_ms / 20, WALK_LEAST_MS, WALK_MOST_MS);
    if (!class->full)
        return;
    int64_t usual = within(class->kept_ms / 10, FULL_LEAST_MS, FULL_MOST_MS);
    class->full = false;
    class->full_ms = now_ms + within((now_ms - class->full_since_ms) * (FULL_SHARE - 1), usual, FULL_MOST_MS);
}

/* One step of a walk. True if it found something; then the same walk goes on when it is its turn again. */
static bool walk(struct retention *retention, struct retain_class *class, int64_t now_ms)
{
    struct retain *batch = &retention->batch;
    bool end;
    begin_walk(class, now_ms);
    struct store_ageing ageing = {.state = class->state,
                                  .results = class->results,
                                  .tasks = class->tasks,
                                  .task_count = class->task_count,
                                  .but_these = class->but_these,
                                  .before_ms = clock_real_ms() - class->kept_ms,
                                  .after_key = class->mark,
                                  .limit = RETAIN_BATCH};
    batch->results = class->results;
    enum err err =
        store_find_past(retention->reader, &ageing, batch->past, &batch->past_count, &class->mark, &end);
    if (err != ERR_OK) /* logged there */
        batch->past_count = 0;
    if (err != ERR_OK || end)
        end_walk(class, now_ms);
    return batch->past_count > 0;
}

/* The next class whose time has come and of which a step finds some. *walked: a step was made. */
static void find_past(struct retention *retention, int64_t now_ms, bool *walked)
{
    struct retain_rules *rules = retention->rules;
    int steps = 0;
    retention->batch.past_count = 0;
    *walked = false;
    for (size_t i = 0; i < rules->count && steps < STEPS_MOST; i++) {
        struct retain_class *class = &rules->classes[rules->turn];
        rules->turn = (rules->turn + 1) % rules->count;
        if (class->next_ms > now_ms)
            continue;
        steps++;
        *walked = true;
        if (walk(retention, class, now_ms))
            return;
    }
}

static void send_batch(struct retention *retention)
{
    struct work *work = work_new(WORK_RETAIN);
    if (work == NULL)
        return; /* the rows are found again by the next full walk */
    atomic_store_explicit(&retention->batch.done, false, memory_order_relaxed);
    work->retain = &retention->batch;
    retention->sent = true;
    committer_give(retention->committer, work);
}

/* A tenth of the committer's time. What a full disk has refused is tried again by a walk from the start. */
static void take_outcome(struct retention *retention, int64_t now_ms)
{
    const struct retain *batch = &retention->batch;
    retention->sent = false;
    retention->rest_until_ms =
        now_ms + within(batch->spent_ns * (SHARE - 1) / NS_PER_MS, STEP_LEAST_MS, AFTER_REFUSAL_MS);
    if (batch->err == ERR_OK) {
        if (batch->past_count > 0)
            LOG(STORE_RETAIN, LOG_INT("rows", (int64_t)batch->past_count),
                LOG_INT("results", batch->results));
        return;
    }
    retention->rest_until_ms = now_ms + AFTER_REFUSAL_MS;
    for (size_t i = 0; i < retention->rules->count; i++) {
        struct retain_class *class = &retention->rules->classes[i];
        class->full = false;
        class->full_ms = class->next_ms = 0;
    }
}

int64_t retention_turn(struct retention *retention, int64_t most_ms)
{
    int64_t now_ms = clock_mono_ns() / NS_PER_MS;
    bool walked;
    take_rules(retention);
    if (retention->sent) {
        if (!atomic_load_explicit(&retention->batch.done, memory_order_acquire)) /* R2 */
            return STEP_LEAST_MS;
        take_outcome(retention, now_ms);
    }
    if (now_ms < retention->rest_until_ms)
        return within(retention->rest_until_ms - now_ms, 1, most_ms);
    find_past(retention, now_ms, &walked);
    if (clear_debris(retention) != ERR_OK) /* logged there */
        retention->batch.gone_count = 0;
    if (retention->batch.past_count > 0 || retention->batch.gone_count > 0)
        send_batch(retention);
    return retention->sent || walked ? STEP_LEAST_MS : most_ms;
}
