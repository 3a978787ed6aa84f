/* Jobs of the simulation that have to do with each other: which wait for others, of which there may be one at
 * a time, which came in one request. What is drawn, how it is asked for, and what must hold. */
#ifndef FORKPOOL_TESTS_SIM_GRAPH_H
#define FORKPOOL_TESTS_SIM_GRAPH_H

#include "sim_world.h"

/* --- what is drawn --- */

/* Up to PARENTS earlier jobs that are stored. */
static inline void draw_parents(int number)
{
    struct sim_job *job = &jobs[number];
    uint32_t wanted = below(PARENTS + 1);
    job->after_policy = (uint8_t)below(AFTER_POLICY_COUNT);
    for (uint32_t i = 0; number > 0 && i < wanted; i++) {
        int parent = (int)below((uint32_t)number);
        bool twice = false;
        for (uint32_t at = 0; at < job->after_count; at++)
            twice = twice || job->after[at] == parent;
        if (!twice && jobs[parent].durability != DURABILITY_MEMORY)
            job->after[job->after_count++] = parent;
    }
}

/* In order of being sent, so that parents come first. */
static inline void draw_graph(void)
{
    bool graph = percent(35), unique = percent(25);
    for (uint32_t i = 0; i < job_count; i++) {
        struct sim_job *job = &jobs[i];
        if (job->durability == DURABILITY_MEMORY)
            continue;
        if (graph && percent(60))
            draw_parents((int)i);
        if (unique && percent(50)) {
            job->unique = 1 + below(UNIQUES);
            job->on_conflict = (uint8_t)below(CONFLICT_COUNT);
        }
    }
    bulks_likely = percent(30);
    batch_count = 0;
}

/* --- how it is asked for --- */

/* What it waits for: those of its parents that were accepted, or come in the same request. */
static inline void put_after(struct buf *extras, struct sim_job *sim, struct job *job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->after_count; i++)
        if (jobs[sim->after[i]].accepted || (sim->bulk >= 0 && jobs[sim->after[i]].bulk == sim->bulk))
            sim->after[count++] = sim->after[i];
    sim->after_count = count;
    if (count == 0)
        return;
    buf_put(extras, extras->bytes > 1 ? ",\"after\":[" : "\"after\":[");
    for (uint32_t i = 0; i < count; i++) {
        char text[ID_TEXT_BYTES];
        id_format(jobs[sim->after[i]].id, text);
        buf_printf(extras, "%s\"%s\"", i > 0 ? "," : "", text);
    }
    buf_put(extras, "]");
    job->spec.flags |= JOB_FLAG_INPUTS;
    job->spec.after_policy = sim->after_policy;
}

static inline void put_graph(struct sim_job *sim, struct job *job)
{
    BUF_AUTO extras = {0};
    buf_put(&extras, "{");
    if (sim->unique > 0) {
        buf_printf(&extras, "\"unique\":{\"key\":\"u%u\",\"on_conflict\":\"%s\"}", sim->unique,
                   on_conflict_text(sim->on_conflict));
        job->spec.flags |= JOB_FLAG_UNIQUE;
    }
    put_after(&extras, sim, job);
    buf_put(&extras, "}");
    if (extras.bytes == 2)
        return;
    size_t bytes;
    job->owned[3] = buf_take(&extras, &bytes);
    job->extras = (struct text){job->owned[3], bytes};
}

/* --- what must hold --- */

static inline struct job *row_of(int number)
{
    struct job *row;
    if (store_get(store_own_reader(store), jobs[number].id, &row) != ERR_OK)
        broken("job %d has no row", number);
    return row;
}

/* All that it waits for has ended, on record, and well if it must; but for what was run again. */
static inline void check_parents(int number)
{
    const struct sim_job *job = &jobs[number];
    for (uint32_t i = 0; i < job->after_count; i++) {
        int parent = job->after[i];
        JOB_AUTO row = row_of(parent);
        if (jobs[parent].retried)
            continue;
        if (!job_is_terminal(row->state))
            broken("job %d starts before job %d has ended, which is %s", number, parent,
                   job_state_text(row->state));
        if (!job->retried && job->after_policy != AFTER_RUN && row->state != JOB_SUCCEEDED)
            broken("job %d starts although job %d, for which it waited, is %s", number, parent,
                   job_state_text(row->state));
    }
}

static inline void check_unique(int number)
{
    for (uint32_t i = 0; i < job_count && jobs[number].unique > 0; i++)
        if ((int)i != number && jobs[i].running && jobs[i].unique == jobs[number].unique)
            broken("job %d starts while job %u runs, which has the same uniqueness key", number, i);
}

static inline void check_graph_start(int number)
{
    check_parents(number);
    check_unique(number);
}

/* It ended without a run because of another job. */
static inline bool ended_by_others(int number, const struct job *row)
{
    const struct sim_job *job = &jobs[number];
    if (row->state == JOB_CANCELLED && job->unique > 0 &&
        strcmp(row->attempt.error_code, err_code(ERR_REPLACED)) == 0)
        return true;
    if (strcmp(row->attempt.error_code, err_code(ERR_DEPENDENCY_FAILED)) != 0 ||
        job->after_policy == AFTER_RUN ||
        row->state != (job->after_policy == AFTER_FAIL ? JOB_FAILED : JOB_CANCELLED))
        return false;
    for (uint32_t i = 0; i < job->after_count; i++) {
        JOB_AUTO parent = row_of(job->after[i]);
        if (parent->state != JOB_SUCCEEDED || jobs[job->after[i]].retried)
            return true;
    }
    return false;
}

static inline int64_t count_of(const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->reader.connection.db, sql, -1, &statement, NULL) != SQLITE_OK)
        broken("the store cannot be read: %s", sql);
    int64_t count = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    return count;
}

static inline void check_batch(struct id id)
{
    struct store_batch batch;
    int64_t states[JOB_STATE_COUNT] = {0}, members = 0;
    if (store_batch_get(store_own_reader(store), id, &batch) != ERR_OK)
        return; /* it was refused, or dropped with the front; its jobs were checked */
    for (uint32_t i = 0; i < job_count; i++) {
        if (!jobs[i].accepted || !id_equal(jobs[i].batch, id))
            continue;
        JOB_AUTO row = row_of((int)i);
        states[row->state]++;
        members++;
    }
    if (batch.jobs != members || batch.succeeded != states[JOB_SUCCEEDED] ||
        batch.failed != states[JOB_FAILED] || batch.cancelled != states[JOB_CANCELLED])
        broken("a batch of %lld counts %lld jobs: %lld succeeded, %lld failed, %lld cancelled",
               (long long)members, (long long)batch.jobs, (long long)batch.succeeded, (long long)batch.failed,
               (long long)batch.cancelled);
    if (batch.finished_ms == 0)
        broken("a batch of which all jobs have ended has not");
}

static inline void check_graph_end(void)
{
    for (uint32_t i = 0; i < batch_count; i++)
        check_batch(batches[i]);
    if (count_of("SELECT count(*) FROM edges") != 0 || count_of("SELECT count(*) FROM releases") != 0)
        broken("%lld edges and %lld releases are left at the end",
               (long long)count_of("SELECT count(*) FROM edges"),
               (long long)count_of("SELECT count(*) FROM releases"));
    if (count_of("SELECT count(*) FROM uniques") != 0)
        broken("uniqueness keys are held at the end");
}

#endif
