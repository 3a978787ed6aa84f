#include "store_sqlite.h"

#include "check.h"

#include <stdio.h>

/* Who has ended, and how. */
struct parent {
    bool found;
    struct id id;
    enum job_state state;
};

static enum err next_parent(struct store *store, struct parent *parent)
{
    struct connection *connection = &store->reader.connection;
    enum err err = store_sql_row(connection, SQL_RELEASE_NEXT, &parent->found);
    if (!parent->found)
        return err;
    sqlite3_stmt *statement = connection->statements[SQL_RELEASE_NEXT];
    parent->id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    parent->state = (enum job_state)sqlite3_column_int(statement, 2);
    store_sql_reset(connection, SQL_RELEASE_NEXT);
    return ERR_OK;
}

/* Takes one of those who wait for it out of the table. */
static enum err pop_child(struct store *store, struct id parent, struct id *child, bool *found)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_EDGE_POP, &statement);
    *found = false;
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(parent));
    err = store_sql_row(connection, SQL_EDGE_POP, found);
    if (!*found)
        return err;
    *child = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    store_sql_reset(connection, SQL_EDGE_POP);
    return ERR_OK;
}

static enum err look_at_child(struct store *store, struct id child, uint32_t *waits,
                              enum after_policy *policy, bool *found)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_WAITING, &statement);
    *found = false;
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(child));
    sqlite3_bind_int64(statement, 2, id_random(child));
    err = store_sql_row(connection, SQL_WAITING, found);
    if (!*found)
        return err;
    *waits = (uint32_t)sqlite3_column_int64(statement, 0);
    *policy = (enum after_policy)sqlite3_column_int(statement, 1);
    store_sql_reset(connection, SQL_WAITING);
    return ERR_OK;
}

static enum err wait_less(struct store *store, struct id child)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_WAITS_LESS, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(child));
    sqlite3_bind_int64(statement, 2, id_random(child));
    return store_sql_done(connection, SQL_WAITS_LESS);
}

/* It waits for no more. */
static enum err let_go(struct store *store, struct store_release *release, struct id id)
{
    JOB_AUTO job = NULL;
    enum err err = store_get(&store->reader, id, &job);
    if (err != ERR_OK)
        return err;
    bool later = job->spec.scheduled_ms > release->now_ms;
    job->state = later ? JOB_SCHEDULED : JOB_QUEUED;
    job->spec.run_at_ms = later ? job->spec.scheduled_ms : 0;
    job->waits = 0;
    if (!later)
        err = store_next_seq(store, &job->spec.seq);
    if (err == ERR_OK)
        err = store_change_read(store, "release", job, NULL, JOB_BLOCKED);
    if (err != ERR_OK)
        return err;
    release->jobs[release->count++] = job;
    job = NULL;
    return ERR_OK;
}

static enum err say_why(struct store *store, const struct parent *parent, struct attempt *attempt)
{
    struct store_batch batch;
    char text[ID_TEXT_BYTES];
    enum err err = store_batch_look(store, parent->id, &batch);
    id_format(parent->id, text);
    snprintf(attempt->error_code, sizeof attempt->error_code, "%s", err_code(ERR_DEPENDENCY_FAILED));
    if (err == ERR_OK)
        snprintf(attempt->error_message, sizeof attempt->error_message,
                 "Not every job of the batch %s, for which it waited, has succeeded", text);
    else
        snprintf(attempt->error_message, sizeof attempt->error_message, "The job %s, for which it waited, %s",
                 text, parent->state == JOB_CANCELLED ? "was cancelled" : "has failed");
    return err == ERR_UNKNOWN_BATCH ? ERR_OK : err;
}

/* One before it did not succeed. */
static enum err give_up(struct store *store, struct store_release *release, const struct parent *parent,
                        struct id id, enum after_policy policy)
{
    JOB_AUTO job = NULL;
    bool fails = policy == AFTER_FAIL;
    struct attempt last = store_unrun(fails ? OUTCOME_ERROR : OUTCOME_CANCELLED, release->now_ms);
    enum err err = say_why(store, parent, &last);
    if (err == ERR_OK)
        err = store_get_bare(&store->reader, id, &job);
    if (err != ERR_OK)
        return err;
    job->state = fails ? JOB_FAILED : JOB_CANCELLED;
    job->waits = 0;
    err = store_change_read(store, "release", job, &last, JOB_BLOCKED);
    if (err != ERR_OK)
        return err;
    job->attempt = last;
    release->jobs[release->count++] = job;
    job = NULL;
    return ERR_OK;
}

static enum err tell(struct store *store, struct store_release *release, const struct parent *parent,
                     struct id child)
{
    enum after_policy policy;
    uint32_t waits;
    bool found;
    enum err err = look_at_child(store, child, &waits, &policy, &found);
    if (err != ERR_OK || !found) /* it is gone, or has ended in another way: nothing to tell */
        return err;
    if (parent->state != JOB_SUCCEEDED && policy != AFTER_RUN)
        return give_up(store, release, parent, child, policy);
    return waits > 1 ? wait_less(store, child) : let_go(store, release, child);
}

/* Until all who wait for it were told, or `pairs` has reached the limit. */
static enum err tell_all(struct store *store, struct store_release *release, const struct parent *parent,
                         size_t *pairs)
{
    struct id child;
    bool found;
    enum err err = ERR_OK;
    while (err == ERR_OK && *pairs < release->limit) {
        err = pop_child(store, parent->id, &child, &found);
        if (err == ERR_OK && !found)
            return store_release_drop(store, parent->id);
        ++*pairs;
        if (err == ERR_OK)
            err = tell(store, release, parent, child);
    }
    return err;
}

/* Nothing is left to tell: perhaps nobody waits any more, either. */
static enum err come_to_rest(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    bool row;
    enum err err = store_sql_row(connection, SQL_EDGES_ANY, &row);
    if (err != ERR_OK)
        return err;
    store->any_edges = sqlite3_column_int(connection->statements[SQL_EDGES_ANY], 0) != 0;
    store->any_releases = false;
    store_sql_reset(connection, SQL_EDGES_ANY);
    return ERR_OK;
}

static enum err release_some(struct store *store, struct store_release *release)
{
    struct parent parent;
    size_t pairs = 0;
    enum err err;
    while ((err = next_parent(store, &parent)) == ERR_OK) {
        if (!parent.found)
            return come_to_rest(store);
        release->more = pairs == release->limit;
        if (release->more)
            return ERR_OK;
        err = tell_all(store, release, &parent, &pairs);
        if (err != ERR_OK)
            break;
    }
    return err;
}

enum err store_release(struct store *store, struct store_release *release)
{
    CHECK(store->in_group);
    release->count = 0;
    release->more = false;
    enum err err = store->any_releases ? release_some(store, release) : ERR_OK;
    while (err != ERR_OK && release->count > 0)
        job_free(release->jobs[--release->count]);
    return store_checked(store, err);
}
