#include "store_sqlite.h"

#include "check.h"
#include "clock.h"

#include <stdlib.h>

/* Gathering. */

static struct batch_change *find_change(struct store *store, struct id batch)
{
    for (size_t i = store->batch_count; i-- > 0;) {
        if (id_equal(store->batches[i].id, batch))
            return &store->batches[i];
    }
    return NULL;
}

/* A group knows few batches, so a list will do. NULL without memory. */
static struct batch_change *change_of(struct store *store, struct id batch)
{
    struct batch_change *change = find_change(store, batch);
    if (change != NULL)
        return change;
    if (store->batch_count == store->batch_room) {
        size_t room = store->batch_room > 0 ? 2 * store->batch_room : 16;
        struct batch_change *grown = realloc(store->batches, room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        store->batches = grown;
        store->batch_room = room;
    }
    change = &store->batches[store->batch_count++];
    *change = (struct batch_change){.id = batch};
    return change;
}

static bool counts_in_batch(const struct job_spec *spec)
{
    return !id_is_none(spec->batch) && (spec->flags & JOB_FLAG_FOLLOWER) == 0;
}

static int64_t *counter(struct batch_change *change, enum job_state state)
{
    CHECK(job_is_terminal(state));
    return state == JOB_SUCCEEDED ? &change->succeeded
           : state == JOB_FAILED  ? &change->failed
                                  : &change->cancelled;
}

enum err store_batch_joined(struct store *store, const struct job_spec *spec)
{
    if (id_is_none(spec->batch))
        return ERR_OK;
    struct batch_change *change = change_of(store, spec->batch);
    if (change == NULL)
        return ERR_NO_MEMORY;
    change->kept++;
    change->jobs += counts_in_batch(spec);
    return ERR_OK;
}

enum err store_batch_ended(struct store *store, const struct job_spec *spec, enum job_state state,
                           int64_t finished_ms)
{
    if (!counts_in_batch(spec))
        return ERR_OK;
    struct batch_change *change = change_of(store, spec->batch);
    if (change == NULL)
        return ERR_NO_MEMORY;
    ++*counter(change, state);
    if (finished_ms > change->finished_ms)
        change->finished_ms = finished_ms;
    return ERR_OK;
}

enum err store_batch_again(struct store *store, const struct job_spec *spec, enum job_state from)
{
    if (!counts_in_batch(spec))
        return ERR_OK;
    struct batch_change *change = change_of(store, spec->batch);
    if (change == NULL)
        return ERR_NO_MEMORY;
    --*counter(change, from);
    change->again = true;
    return store_release_drop(store, spec->batch);
}

enum err store_batch_left(struct store *store, const struct job_spec *spec)
{
    if (id_is_none(spec->batch))
        return ERR_OK;
    struct batch_change *change = change_of(store, spec->batch);
    if (change == NULL)
        return ERR_NO_MEMORY;
    change->kept--;
    return ERR_OK;
}

enum err store_batch_add(struct store *store, struct id id, int64_t created_ms)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    CHECK(store->in_group);
    struct batch_change *change = change_of(store, id);
    enum err err = change == NULL ? ERR_NO_MEMORY : store_sql_get(connection, SQL_BATCH_ADD, &statement);
    if (err == ERR_OK) {
        change->finished_ms = created_ms; /* if it has no jobs, that is when it ended */
        sqlite3_bind_int64(statement, 1, id_key(id));
        sqlite3_bind_int64(statement, 2, id_random(id));
        sqlite3_bind_int64(statement, 3, created_ms);
        err = store_sql_done(connection, SQL_BATCH_ADD);
    }
    return store_checked(store, err);
}

/* Writing. */

/* A batch as its row is now. */
struct tally {
    bool found;
    int64_t jobs, succeeded, ended, kept, finished_ms;
};

static void bind_change(sqlite3_stmt *statement, const struct batch_change *change)
{
    bool open = change->again || change->jobs > change->succeeded + change->failed + change->cancelled;
    sqlite3_bind_int64(statement, 1, id_key(change->id));
    sqlite3_bind_int64(statement, 2, id_random(change->id));
    sqlite3_bind_int64(statement, 3, change->jobs);
    sqlite3_bind_int64(statement, 4, change->succeeded);
    sqlite3_bind_int64(statement, 5, change->failed);
    sqlite3_bind_int64(statement, 6, change->cancelled);
    sqlite3_bind_int64(statement, 7, change->kept);
    sqlite3_bind_int64(statement, 8, open);
}

/* The differences are written, and are none from here on. The row may be gone: nothing is counted then. */
static enum err write_change(struct store *store, struct batch_change *change, struct tally *tally)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_BATCH_COUNT, &statement);
    if (err != ERR_OK)
        return err;
    bind_change(statement, change);
    err = store_sql_row(connection, SQL_BATCH_COUNT, &tally->found);
    change->jobs = change->succeeded = change->failed = change->cancelled = change->kept = 0;
    if (!tally->found)
        return err;
    tally->jobs = sqlite3_column_int64(statement, 0);
    tally->succeeded = sqlite3_column_int64(statement, 1);
    tally->ended = sqlite3_column_int64(statement, 2);
    tally->kept = sqlite3_column_int64(statement, 3);
    tally->finished_ms = sqlite3_column_int64(statement, 4);
    store_sql_reset(connection, SQL_BATCH_COUNT);
    return ERR_OK;
}

static enum err finish(struct store *store, const struct batch_change *change, const struct tally *tally)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_BATCH_FINISH, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, change->finished_ms > 0 ? change->finished_ms : clock_real_ms());
    sqlite3_bind_int64(statement, 2, id_key(change->id));
    err = store_sql_done(connection, SQL_BATCH_FINISH);
    if (err != ERR_OK)
        return err;
    return store_release_add(store, change->id, tally->succeeded == tally->jobs ? JOB_SUCCEEDED : JOB_FAILED);
}

static enum err forget_batch(struct connection *connection, struct id id)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_BATCH_FORGET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    return store_sql_done(connection, SQL_BATCH_FORGET);
}

/* What waits for a batch that is forgotten is told all the same: that it is to be stands elsewhere. */
static enum err settle(struct store *store, struct batch_change *change)
{
    struct tally tally = {.found = false};
    enum err err = write_change(store, change, &tally);
    if (err != ERR_OK || !tally.found)
        return err;
    if (tally.finished_ms == 0 && tally.jobs == tally.ended)
        err = finish(store, change, &tally);
    return err != ERR_OK || tally.kept > 0 ? err : forget_batch(&store->reader.connection, change->id);
}

enum err store_batches_write(struct store *store)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < store->batch_count; i++)
        err = settle(store, &store->batches[i]);
    return err;
}

/* Reading. */

static enum err read_batch(struct connection *connection, struct id id, struct store_batch *batch)
{
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_BATCH_GET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    sqlite3_bind_int64(statement, 2, id_random(id));
    err = store_sql_row(connection, SQL_BATCH_GET, &row);
    if (!row)
        return err != ERR_OK ? err : ERR_UNKNOWN_BATCH;
    *batch = (struct store_batch){.id = id,
                                  .created_ms = sqlite3_column_int64(statement, 0),
                                  .finished_ms = sqlite3_column_int64(statement, 1),
                                  .jobs = sqlite3_column_int64(statement, 2),
                                  .succeeded = sqlite3_column_int64(statement, 3),
                                  .failed = sqlite3_column_int64(statement, 4),
                                  .cancelled = sqlite3_column_int64(statement, 5)};
    store_sql_reset(connection, SQL_BATCH_GET);
    return ERR_OK;
}

enum err store_batch_look(struct store *store, struct id id, struct store_batch *batch)
{
    struct batch_change *change = find_change(store, id);
    struct tally tally;
    enum err err = change != NULL ? write_change(store, change, &tally) : ERR_OK;
    return err != ERR_OK ? err : read_batch(&store->reader.connection, id, batch);
}

enum err store_batch_get(struct store_reader *reader, struct id id, struct store_batch *batch)
{
    return read_batch(&reader->connection, id, batch);
}
