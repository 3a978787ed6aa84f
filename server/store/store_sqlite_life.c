#include "store_sqlite.h"

#include "check.h"
#include "clock.h"

#include <stdlib.h>
#include <string.h>

enum { PAST_LOOK_MAX = 5000 };

static void bind_past(sqlite3_stmt *statement, const struct store_past *past)
{
    sqlite3_bind_int64(statement, 1, id_key(past->id));
    sqlite3_bind_int64(statement, 2, id_random(past->id));
    if (past->finished_ms != 0)
        sqlite3_bind_int64(statement, 3, past->finished_ms);
    else
        sqlite3_bind_null(statement, 3);
}

/* Why a finished job was not found: there is none of that id, or it is not finished, or not then. */
static enum err explain(struct store *store, struct store_past *past)
{
    JOB_AUTO job = NULL;
    enum err err = store_get(&store->reader, past->id, &job);
    past->err = err == ERR_UNKNOWN_JOB ? err : ERR_NOT_FINISHED;
    return err == ERR_UNKNOWN_JOB ? ERR_OK : err;
}

/* Again. */

/* Its uniqueness key, if it has one, must be free again. */
static enum err look_for_holder(struct store *store, const struct job *job, struct store_retry *operation)
{
    bool held;
    enum err err = store_unique_find(store, job, clock_real_ms(), &held, &operation->holder);
    if (err == ERR_OK && held)
        operation->err = ERR_DUPLICATE_JOB;
    return err;
}

static enum err queue_again(struct store *store, struct job *job)
{
    const struct attempt blank = attempt_blank();
    struct id after[AFTER_MAX];
    struct wait wait = {.after = after, .count = extras_after(job->extras, after), .again = true};
    enum job_state from = job->state;
    enum err err = store_wait_look(store, &wait);
    if (err != ERR_OK)
        return err;
    job->state = wait.left > 0 ? JOB_BLOCKED : JOB_QUEUED;
    job->waits = wait.left;
    job->cancel_requested = false;
    job->attempt = blank;
    job->result = (struct text){NULL, 0};
    job->spec.run_at_ms = job->spec.scheduled_ms = 0;
    job->spec.expires_ms = 0; /* it may lie in the past: the job would fail at once */
    job->spec.errors = job->spec.crashes = job->spec.lost = 0;
    err = store_next_seq(store, &job->spec.seq);
    if (err == ERR_OK)
        err = store_change_read(store, "retry", job, &blank, from);
    if (err == ERR_OK)
        err = store_wait_write(store, &wait, job->spec.id);
    if (err == ERR_OK)
        err = store_unique_take(store, job);
    return err;
}

static enum err retry(struct store *store, struct store_retry *operation)
{
    JOB_AUTO job = NULL;
    enum err err = store_get(&store->reader, operation->id, &job);
    operation->err = err == ERR_UNKNOWN_JOB ? err : ERR_OK;
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_JOB ? ERR_OK : err;
    if (!job_may_move(job->state, JOB_QUEUED) || !job_is_terminal(job->state)) {
        operation->err = ERR_NOT_FINISHED;
        return ERR_OK;
    }
    err = look_for_holder(store, job, operation);
    if (err != ERR_OK || operation->err != ERR_OK)
        return err;
    err = queue_again(store, job);
    if (err != ERR_OK)
        return err;
    operation->job = job;
    job = NULL;
    return ERR_OK;
}

enum err store_retry(struct store *store, struct store_retry *operation)
{
    CHECK(store->in_group);
    operation->job = NULL;
    return store_checked(store, retry(store, operation));
}

/* Forgotten. */

/* What the deleted row leaves elsewhere. */
struct remains {
    struct job_spec spec; /* queue, task, attempt, key, batch */
    enum job_state state;
    bool earlier; /* the table of attempts may hold some of it */
};

static void copy_column(sqlite3_stmt *statement, int at, char *to, size_t room)
{
    const char *from = sqlite3_column_blob(statement, at);
    text_copy(to, room, from != NULL ? from : "", (size_t)sqlite3_column_bytes(statement, at));
}

static void read_remains(sqlite3_stmt *statement, struct remains *remains)
{
    struct job_spec *spec = &remains->spec;
    remains->state = (enum job_state)sqlite3_column_int(statement, 0);
    copy_column(statement, 1, spec->queue, sizeof spec->queue);
    copy_column(statement, 2, spec->task, sizeof spec->task);
    spec->attempt = (uint32_t)sqlite3_column_int64(statement, 3);
    int64_t number = sqlite3_column_int64(statement, 4);
    copy_column(statement, 5, spec->idempotency_key, sizeof spec->idempotency_key);
    if (sqlite3_column_bytes(statement, 6) == sizeof spec->batch.bytes)
        memcpy(spec->batch.bytes, sqlite3_column_blob(statement, 6), sizeof spec->batch.bytes);
    remains->earlier = spec->attempt > 1 || (spec->attempt == 1 && number == 0);
}

/* Its uniqueness key may be held for a time yet; who it would name is gone. */
static enum err free_unique(struct store *store, sqlite3_stmt *statement, struct id id)
{
    struct text extras = {sqlite3_column_blob(statement, 7), (size_t)sqlite3_column_bytes(statement, 7)};
    return extras.at != NULL ? store_unique_free(store, id, extras, true) : ERR_OK;
}

static enum err delete_row(struct store *store, const struct store_past *past, struct remains *remains,
                           bool *found)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_FORGET, &statement);
    *found = false;
    if (err != ERR_OK)
        return err;
    bind_past(statement, past);
    err = store_sql_row(connection, SQL_FORGET, found);
    if (!*found)
        return err;
    read_remains(statement, remains);
    err = free_unique(store, statement, past->id);
    store_sql_reset(connection, SQL_FORGET);
    return err;
}

static enum err delete_attempts(struct connection *connection, struct id id)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_FORGET_ATTEMPTS, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    return store_sql_done(connection, SQL_FORGET_ATTEMPTS);
}

static enum err delete_key(struct connection *connection, const char *key, struct id id)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_FORGET_KEY, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, id_key(id));
    sqlite3_bind_int64(statement, 3, id_random(id));
    return store_sql_done(connection, SQL_FORGET_KEY);
}

/* One log more than attempts: an attempt that was given back is not recorded, but may have written. */
static enum err leave_debris(struct connection *connection, struct id id, uint32_t attempts)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_DEBRIS_ADD, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    sqlite3_bind_int64(statement, 2, id_random(id));
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)attempts + 1);
    return store_sql_done(connection, SQL_DEBRIS_ADD);
}

static enum err forget(struct store *store, struct store_past *past)
{
    struct connection *connection = &store->reader.connection;
    struct remains remains = {.earlier = false};
    bool found;
    enum err err = delete_row(store, past, &remains, &found);
    if (err != ERR_OK || !found)
        return err != ERR_OK ? err : explain(store, past);
    err = store_count_add(store, &remains.spec, remains.state, -1);
    if (err == ERR_OK)
        err = store_batch_left(store, &remains.spec);
    if (err == ERR_OK)
        err = store_tags_forget(store, past->id);
    if (err == ERR_OK && remains.earlier)
        err = delete_attempts(connection, past->id);
    if (err == ERR_OK && remains.spec.idempotency_key[0] != '\0')
        err = delete_key(connection, remains.spec.idempotency_key, past->id);
    return err != ERR_OK ? err : leave_debris(connection, past->id, remains.spec.attempt);
}

enum err store_forget(struct store *store, struct store_past *past)
{
    CHECK(store->in_group);
    past->err = ERR_OK;
    return store_checked(store, forget(store, past));
}

static enum err prune(struct store *store, struct store_past *past)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_PRUNE, &statement);
    if (err != ERR_OK)
        return err;
    bind_past(statement, past);
    err = store_sql_done(connection, SQL_PRUNE);
    if (err != ERR_OK || sqlite3_changes(connection->db) == 1)
        return err;
    return explain(store, past);
}

enum err store_prune(struct store *store, struct store_past *past)
{
    CHECK(store->in_group);
    past->err = ERR_OK;
    return store_checked(store, prune(store, past));
}

/* Finding what is old. The rarer states have an index in order of keys; succeeded jobs are most of all there
 * are. */

static enum err past_begin(struct store_reader *reader, const struct store_ageing *ageing, enum sql sql,
                           sqlite3_stmt **statement)
{
    int64_t skew_ms;
    int at = 2;
    enum err err = store_meta_get(&reader->connection, "skew_ms", &skew_ms);
    if (err == ERR_OK)
        err = store_sql_get(&reader->connection, sql, statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(*statement, 1, ageing->after_key);
    /* What was made later cannot have ended before. */
    sqlite3_bind_int64(*statement, 2, store_key_at_ms(ageing->before_ms + skew_ms));
    if (sql == SQL_PAST_LISTED)
        sqlite3_bind_int64(*statement, ++at, ageing->state);
    sqlite3_bind_int64(*statement, ++at, PAST_LOOK_MAX);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_of_tasks(const struct store_ageing *ageing, sqlite3_stmt *statement)
{
    char task[NAME_BYTES];
    if (ageing->task_count == 0)
        return true;
    copy_column(statement, 5, task, sizeof task);
    bool among = bsearch(task, ageing->tasks, ageing->task_count, NAME_BYTES, by_name) != NULL;
    return among != ageing->but_these;
}

static bool is_past(const struct store_ageing *ageing, sqlite3_stmt *statement)
{
    return sqlite3_column_int(statement, 2) == (int)ageing->state &&
           sqlite3_column_int64(statement, 3) < ageing->before_ms &&
           (!ageing->results || sqlite3_column_int(statement, 4) != 0) && is_of_tasks(ageing, statement);
}

enum err store_find_past(struct store_reader *reader, const struct store_ageing *ageing,
                         struct store_past *past, size_t *count, int64_t *seen_key, bool *end)
{
    struct connection *connection = &reader->connection;
    enum sql sql = ageing->state == JOB_SUCCEEDED ? SQL_PAST : SQL_PAST_LISTED;
    sqlite3_stmt *statement;
    bool row = true;
    int looked = 0;
    CHECK(job_is_terminal(ageing->state));
    *count = 0;
    *seen_key = ageing->after_key;
    enum err err = past_begin(reader, ageing, sql, &statement);
    while (err == ERR_OK && *count < ageing->limit &&
           (err = store_sql_row(connection, sql, &row)) == ERR_OK && row) {
        struct id id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
        looked++;
        *seen_key = id_key(id);
        if (is_past(ageing, statement))
            past[(*count)++] =
                (struct store_past){.id = id, .finished_ms = sqlite3_column_int64(statement, 3)};
    }
    *end = !row && looked < PAST_LOOK_MAX;
    store_sql_reset(connection, sql);
    return err;
}

/* Debris. */

enum err store_debris_read(struct store_reader *reader, size_t limit, struct store_debris *debris,
                           size_t *count)
{
    struct connection *connection = &reader->connection;
    sqlite3_stmt *statement;
    bool row;
    *count = 0;
    enum err err = store_sql_get(connection, SQL_DEBRIS_READ, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)limit);
    while ((err = store_sql_row(connection, SQL_DEBRIS_READ, &row)) == ERR_OK && row)
        debris[(*count)++] = (struct store_debris){
            .id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1)),
            .attempts = (uint32_t)sqlite3_column_int64(statement, 2)};
    return err;
}

enum err store_debris_gone(struct store *store, const struct store_debris *debris)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    CHECK(store->in_group);
    enum err err = store_sql_get(connection, SQL_DEBRIS_GONE, &statement);
    if (err == ERR_OK) {
        sqlite3_bind_int64(statement, 1, id_key(debris->id));
        err = store_sql_done(connection, SQL_DEBRIS_GONE);
    }
    return store_checked(store, err);
}
