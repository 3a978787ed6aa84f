#include "store_sqlite.h"

#include "check.h"

static const enum standing STANDINGS[JOB_STATE_COUNT] = {
    [JOB_QUEUED] = STANDING_OPEN,    [JOB_RUNNING] = STANDING_OPEN,
    [JOB_RETRYING] = STANDING_OPEN,  [JOB_SUCCEEDED] = STANDING_SUCCEEDED,
    [JOB_FAILED] = STANDING_FAILED,  [JOB_CANCELLED] = STANDING_CANCELLED,
    [JOB_SCHEDULED] = STANDING_OPEN, [JOB_BLOCKED] = STANDING_OPEN,
};

/* Waiting. */

static enum err stand(struct store *store, struct id id, uint8_t *standing)
{
    struct store_batch batch;
    struct glance glance = {.found = false};
    enum err err = store_glance(store, id, &glance);
    if (glance.found) {
        CHECK(glance.state < JOB_STATE_COUNT);
        *standing = (uint8_t)STANDINGS[glance.state];
        return err;
    }
    *standing = STANDING_UNKNOWN;
    if (err == ERR_OK)
        err = store_batch_look(store, id, &batch);
    if (err != ERR_OK)
        return err == ERR_UNKNOWN_BATCH ? ERR_OK : err;
    *standing = batch.finished_ms == 0          ? STANDING_OPEN
                : batch.succeeded == batch.jobs ? STANDING_SUCCEEDED
                                                : STANDING_FAILED;
    return ERR_OK;
}

static bool is_left(const struct wait *wait, size_t i)
{
    switch ((enum standing)wait->standings[i]) {
    case STANDING_OPEN:
        return true;
    case STANDING_FAILED:
    case STANDING_CANCELLED:
        return !wait->again && wait->policy != AFTER_RUN;
    case STANDING_REPEATED:
    case STANDING_UNKNOWN:
    case STANDING_SUCCEEDED:
        break;
    }
    return false;
}

static bool is_repeated(const struct wait *wait, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (id_equal(wait->after[i], wait->after[j]))
            return true;
    }
    return false;
}

enum err store_wait_look(struct store *store, struct wait *wait)
{
    enum err err = ERR_OK;
    wait->left = 0;
    for (size_t i = 0; err == ERR_OK && i < wait->count; i++) {
        wait->standings[i] = STANDING_REPEATED;
        if (!is_repeated(wait, i))
            err = stand(store, wait->after[i], &wait->standings[i]);
        wait->left += is_left(wait, i);
    }
    return err;
}

static enum err add_edge(struct store *store, struct id parent, struct id child)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_EDGE_ADD, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    sqlite3_bind_int64(statement, 2, id_random(parent));
    sqlite3_bind_int64(statement, 3, id_key(child));
    sqlite3_bind_int64(statement, 4, id_random(child));
    store->any_edges = true;
    return store_sql_done(connection, SQL_EDGE_ADD);
}

static enum err drop_edge(struct store *store, struct id parent, struct id child)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_EDGE_DROP, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    sqlite3_bind_int64(statement, 2, id_key(child));
    return store_sql_done(connection, SQL_EDGE_DROP);
}

/* One that has ended already is told of by the next release. */
static enum err wait_for(struct store *store, struct id parent, enum standing standing, struct id child)
{
    enum err err = add_edge(store, parent, child);
    if (err != ERR_OK || standing == STANDING_OPEN)
        return err;
    return store_release_add(store, parent, standing == STANDING_FAILED ? JOB_FAILED : JOB_CANCELLED);
}

enum err store_wait_write(struct store *store, const struct wait *wait, struct id child)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < wait->count; i++) {
        if (is_left(wait, i))
            err = wait_for(store, wait->after[i], (enum standing)wait->standings[i], child);
        else if (wait->again && store->any_edges &&
                 wait->standings[i] != STANDING_REPEATED) /* of before it was cancelled while it waited */
            err = drop_edge(store, wait->after[i], child);
    }
    return err;
}

/* Releases. */

/* A look costs a third of what an INSERT … SELECT does that finds nothing. */
static enum err is_waited_for(struct store *store, struct id parent, bool *waited_for)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    *waited_for = false;
    enum err err = store->any_edges ? store_sql_get(connection, SQL_EDGE_HAS, &statement) : ERR_OK;
    if (err != ERR_OK || !store->any_edges)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    err = store_sql_row(connection, SQL_EDGE_HAS, waited_for);
    store_sql_reset(connection, SQL_EDGE_HAS);
    return err;
}

enum err store_release_add(struct store *store, struct id parent, enum job_state state)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    bool waited_for;
    enum err err = is_waited_for(store, parent, &waited_for);
    if (err == ERR_OK && waited_for)
        err = store_sql_get(connection, SQL_RELEASE_ADD, &statement);
    if (err != ERR_OK || !waited_for)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    sqlite3_bind_int64(statement, 2, id_random(parent));
    sqlite3_bind_int64(statement, 3, state);
    store->any_releases = true;
    return store_sql_done(connection, SQL_RELEASE_ADD);
}

enum err store_release_drop(struct store *store, struct id parent)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    if (!store->any_releases)
        return ERR_OK;
    enum err err = store_sql_get(connection, SQL_RELEASE_DROP, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    return store_sql_done(connection, SQL_RELEASE_DROP);
}

bool store_releases_wait(const struct store *store)
{
    return store->any_releases;
}

/* What is due elsewhere. Most jobs have none of it, and for them this asks the store nothing. */

static enum err ended(struct store *store, const struct job *job, const struct attempt *attempt)
{
    const struct job_spec *spec = &job->spec;
    enum err err = ERR_OK;
    if ((spec->flags & JOB_FLAG_UNIQUE) != 0)
        err = store_unique_free(store, spec->id, job->extras, false);
    if (err == ERR_OK)
        err = store_batch_ended(store, spec, job->state, attempt != NULL ? attempt->finished_ms : 0);
    return err != ERR_OK ? err : store_release_add(store, spec->id, job->state);
}

enum err store_born(struct store *store, const struct job *job, const struct attempt *attempt)
{
    enum err err = store_batch_joined(store, &job->spec);
    return err != ERR_OK || !job_is_terminal(job->state) ? err : ended(store, job, attempt);
}

/* Those who wait for a job that runs again wait for this run, unless they were told already. */
enum err store_turned(struct store *store, const struct job *job, const struct attempt *attempt,
                      enum job_state from)
{
    if (job_is_terminal(from) == job_is_terminal(job->state))
        return ERR_OK;
    if (job_is_terminal(job->state))
        return ended(store, job, attempt);
    enum err err = store_batch_again(store, &job->spec, from);
    return err != ERR_OK ? err : store_release_drop(store, job->spec.id);
}
