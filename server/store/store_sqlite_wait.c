#include "store_sqlite.h"

#include "check.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_jobs(struct job **jobs, size_t *count)
{
    while (*count > 0)
        job_free(jobs[--*count]);
}

enum err store_change_read(struct store *store, const char *operation, const struct job *job,
                           const struct attempt *attempt, enum job_state from)
{
    bool changed;
    enum err err = store_change(store, job, attempt, from, job->spec.attempt, &changed);
    return err != ERR_OK || changed ? err : store_corrupt(operation, job->spec.id);
}

/* Due. */

static enum err requeue(struct store *store, struct job *job)
{
    enum job_state from = job->state;
    job->state = JOB_QUEUED;
    job->spec.run_at_ms = 0;
    enum err err = store_next_seq(store, &job->spec.seq);
    if (err == ERR_OK)
        err = store_change_read(store, "due", job, NULL, from);
    return err;
}

static enum err next_due(struct store *store, int64_t *next_ms)
{
    struct connection *connection = &store->reader.connection;
    bool row;
    enum err err = store_sql_row(connection, SQL_NEXT_DUE, &row);
    *next_ms = INT64_MAX;
    if (!row)
        return err;
    sqlite3_stmt *statement = connection->statements[SQL_NEXT_DUE];
    for (int at = 0; at < 2; at++) { /* retrying, scheduled; NULL: none */
        int64_t due_ms = sqlite3_column_int64(statement, at);
        if (sqlite3_column_type(statement, at) != SQLITE_NULL && due_ms < *next_ms)
            *next_ms = due_ms;
    }
    store_sql_reset(connection, SQL_NEXT_DUE);
    return ERR_OK;
}

/* Reads the due jobs first and changes them afterwards: the indexes must not move under their own scan. */
static enum err due(struct store *store, int64_t now_ms, size_t limit, struct job **jobs, size_t *count)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    bool row = true;
    enum err err = store_sql_get(connection, SQL_DUE, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, now_ms);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)limit);
    while ((err = store_sql_row(connection, SQL_DUE, &row)) == ERR_OK && row) {
        struct id id = id_join(sqlite3_column_int64(statement, 1), sqlite3_column_int64(statement, 2));
        err = store_get(&store->reader, id, &jobs[*count]);
        if (err != ERR_OK)
            break;
        ++*count;
    }
    store_sql_reset(connection, SQL_DUE);
    for (size_t i = 0; err == ERR_OK && i < *count; i++)
        err = requeue(store, jobs[i]);
    return err;
}

enum err store_due(struct store *store, int64_t now_ms, size_t limit, struct job **jobs, size_t *count,
                   int64_t *next_ms)
{
    CHECK(store->in_group);
    *count = 0;
    enum err err = due(store, now_ms, limit, jobs, count);
    if (err == ERR_OK)
        err = next_due(store, next_ms);
    if (err != ERR_OK)
        free_jobs(jobs, count);
    return store_checked(store, err);
}

/* Ended without a run. */

/* Why that ending cannot be, or ERR_OK. */
static enum err refusal(const struct store_end *end, const struct job *job)
{
    const struct job_spec *spec = &job->spec;
    if (job_is_terminal(job->state))
        return ERR_ALREADY_FINISHED;
    if (end->ending != END_EXPIRE)
        return ERR_OK;
    bool expired = job->state != JOB_RETRYING && spec->attempt == 0 && spec->expires_ms > 0 &&
                   spec->expires_ms <= end->now_ms;
    return expired ? ERR_OK : ERR_NOT_NOW;
}

static struct attempt expiry(const struct store_end *end, const struct job *job)
{
    struct attempt attempt = store_unrun(OUTCOME_ERROR, end->now_ms);
    attempt_expire(&attempt, job->spec.expires_ms);
    return attempt;
}

static struct attempt replacement(const struct store_end *end)
{
    struct attempt attempt = store_unrun(OUTCOME_CANCELLED, end->now_ms);
    char by[ID_TEXT_BYTES];
    id_format(end->by, by);
    snprintf(attempt.error_code, sizeof attempt.error_code, "%s", err_code(ERR_REPLACED));
    snprintf(attempt.error_message, sizeof attempt.error_message,
             "The job %s with the same uniqueness key took its place", by);
    return attempt;
}

static struct attempt last_of(const struct store_end *end, const struct job *job)
{
    if (end->ending == END_EXPIRE)
        return expiry(end, job);
    return end->ending == END_REPLACE ? replacement(end) : store_unrun(OUTCOME_CANCELLED, end->now_ms);
}

/* `job` becomes what it is afterwards. One that is replaced gives up its key even before its period is over:
 * the other one is to get it. */
static enum err end_as(struct store *store, const struct store_end *end, struct job *job)
{
    bool expires = end->ending == END_EXPIRE;
    if (end->ending == END_ASK) {
        job->cancel_requested = true;
        return store_change_read(store, "ask", job, NULL, job->state);
    }
    struct attempt last = last_of(end, job);
    job->state = expires ? JOB_FAILED : JOB_CANCELLED;
    job->cancel_requested |= !expires;
    job->spec.run_at_ms = 0;
    job->waits = 0;
    enum err err = store_change_read(store, "end", job, &last, end->from);
    if (err == ERR_OK && end->ending == END_REPLACE)
        err = store_unique_free(store, job->spec.id, job->extras, true);
    job->attempt = last;
    return err;
}

static enum err end_job(struct store *store, struct store_end *end)
{
    JOB_AUTO job = NULL;
    enum err err = store_get_bare(&store->reader, end->id, &job);
    end->err = err == ERR_UNKNOWN_JOB ? err : ERR_OK;
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_JOB ? ERR_OK : err;
    end->from = job->state;
    end->err = refusal(end, job);
    if (end->err != ERR_OK)
        return ERR_OK;
    err = end_as(store, end, job);
    if (err == ERR_OK && end->ending != END_ASK) {
        end->job = job;
        job = NULL;
    }
    return err;
}

enum err store_end(struct store *store, struct store_end *end)
{
    CHECK(store->in_group);
    end->job = NULL;
    return store_checked(store, end_job(store, end));
}

/* Changed on request. */

static enum err replace_tags(struct store *store, struct job *job, struct text tags)
{
    char tag[TAG_BYTES];
    size_t at = 0;
    bool any = tags_next(tags, &at, tag);
    free(job->owned[2]);
    job->owned[2] = NULL;
    job->tags = (struct text){NULL, 0};
    enum err err = store_tags_forget(store, job->spec.id);
    if (err != ERR_OK || !any)
        return err;
    job->owned[2] = malloc(tags.bytes);
    if (job->owned[2] == NULL)
        return ERR_NO_MEMORY;
    memcpy(job->owned[2], tags.at, tags.bytes);
    job->tags = (struct text){job->owned[2], tags.bytes};
    return store_tags_write(store, job);
}

/* A blocked job has no time of its own until it is released. */
static void set_time(const struct store_patch *patch, struct job *job)
{
    bool later = patch->run_at_ms > patch->now_ms;
    job->spec.scheduled_ms = patch->run_at_ms;
    if (job->state == JOB_BLOCKED)
        return;
    job->state = later ? JOB_SCHEDULED : JOB_QUEUED;
    job->spec.run_at_ms = later ? patch->run_at_ms : 0;
}

static enum err patch_as(struct store *store, const struct store_patch *patch, struct job *job)
{
    struct job_spec *spec = &job->spec;
    uint8_t priority = spec->priority;
    enum err err = ERR_OK;
    if (patch->has_priority) {
        spec->priority = patch->priority;
        spec->lane = job_lane(spec);
    }
    if (patch->has_expires)
        spec->expires_ms = patch->expires_ms;
    if (patch->has_run_at)
        set_time(patch, job);
    CHECK(job->state == patch->from || job_may_move(patch->from, job->state));
    if (job->state == JOB_QUEUED && (spec->priority != priority || patch->from != JOB_QUEUED))
        err = store_next_seq(store, &spec->seq);
    if (err == ERR_OK)
        err = store_change_read(store, "patch", job, NULL, patch->from);
    if (err == ERR_OK && patch->has_tags)
        err = replace_tags(store, job, patch->tags);
    return err;
}

static enum err patch_job(struct store *store, struct store_patch *patch)
{
    JOB_AUTO job = NULL;
    enum err err = store_get(&store->reader, patch->id, &job);
    patch->err = err == ERR_UNKNOWN_JOB ? err : ERR_OK;
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_JOB ? ERR_OK : err;
    patch->from = job->state;
    patch->from_lane = job->spec.lane;
    if (job_is_terminal(job->state)) {
        patch->err = ERR_NOT_NOW;
        return ERR_OK;
    }
    err = patch_as(store, patch, job);
    if (err == ERR_OK) {
        patch->job = job;
        job = NULL;
    }
    return err;
}

enum err store_patch(struct store *store, struct store_patch *patch)
{
    CHECK(store->in_group);
    patch->job = NULL;
    return store_checked(store, patch_job(store, patch));
}

/* Expired. */

static enum err next_expiry(struct connection *connection, struct store_expiry *expiry)
{
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_NEXT_EXPIRY, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, expiry->now_ms);
    err = store_sql_row(connection, SQL_NEXT_EXPIRY, &row);
    if (row && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        expiry->next_ms = sqlite3_column_int64(statement, 0);
    store_sql_reset(connection, SQL_NEXT_EXPIRY);
    return err;
}

static enum err find_expired(struct connection *connection, struct store_expiry *expiry, struct id *ids)
{
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_EXPIRED, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, expiry->now_ms);
    sqlite3_bind_int64(statement, 2, expiry->after_ms);
    sqlite3_bind_int64(statement, 3, expiry->after_key);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)expiry->limit);
    while ((err = store_sql_row(connection, SQL_EXPIRED, &row)) == ERR_OK && row) {
        expiry->after_key = sqlite3_column_int64(statement, 0);
        expiry->after_ms = sqlite3_column_int64(statement, 2);
        ids[expiry->count++] = id_join(expiry->after_key, sqlite3_column_int64(statement, 1));
    }
    return err;
}

enum err store_expired(struct store *store, struct store_expiry *expiry, struct id *ids)
{
    struct connection *connection = &store->reader.connection;
    expiry->count = 0;
    expiry->next_ms = INT64_MAX;
    enum err err = find_expired(connection, expiry, ids);
    if (err == ERR_OK)
        err = next_expiry(connection, expiry);
    if (err != ERR_OK)
        expiry->count = 0;
    return store->in_group ? store_checked(store, err) : err;
}

/* Loaded. */

/* One further row than can be taken tells where to go on; of a row that is not taken, no overflow page is
 * read. */
static enum err load_lane(struct store *store, struct store_load *load, size_t most_bytes, size_t *bytes,
                          struct job **jobs)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_LOAD, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, load->lane);
    sqlite3_bind_int64(statement, 2, load->from_seq);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)load->limit + 1);
    while ((err = store_sql_row(connection, SQL_LOAD, &row)) == ERR_OK && row) {
        if (load->count == load->limit || *bytes >= most_bytes) {
            load->next_seq = sqlite3_column_int64(statement, sqlite3_column_count(statement) - 1);
            break;
        }
        err = store_row_read(statement, true, &jobs[load->count]);
        if (err != ERR_OK)
            break;
        struct job *job = jobs[load->count++];
        err = store_inputs(store, job);
        if (err != ERR_OK)
            break;
        *bytes += job->args.bytes + job->inputs.bytes;
    }
    store_sql_reset(connection, SQL_LOAD);
    return err;
}

enum err store_load(struct store *store, struct store_load *loads, size_t load_count, size_t most_bytes,
                    struct job **jobs, size_t *count)
{
    size_t bytes = 0;
    enum err err = ERR_OK;
    CHECK(!store->in_group);
    *count = 0;
    for (size_t i = 0; err == ERR_OK && i < load_count; i++) {
        loads[i].count = 0;
        loads[i].next_seq = INT64_MAX;
        err = load_lane(store, &loads[i], most_bytes, &bytes, jobs + *count);
        *count += loads[i].count;
    }
    if (err != ERR_OK)
        free_jobs(jobs, count);
    return err;
}
