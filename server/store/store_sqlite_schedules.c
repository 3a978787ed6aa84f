#include "store_sqlite.h"

#include "check.h"

#include <string.h>

static enum err drop(struct connection *connection, const char *name)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_SCHEDULE_DROP, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    return store_sql_done(connection, SQL_SCHEDULE_DROP);
}

static enum err put(struct connection *connection, const struct store_schedule *schedule)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_SCHEDULE_PUT, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, schedule->name, -1, SQLITE_STATIC);
    sqlite3_bind_text64(statement, 2, schedule->body.at, schedule->body.bytes, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(statement, 3, schedule->next_ms);
    sqlite3_bind_int64(statement, 4, schedule->last_ms);
    if (id_is_none(schedule->last_job))
        sqlite3_bind_null(statement, 5);
    else
        sqlite3_bind_blob(statement, 5, schedule->last_job.bytes, sizeof schedule->last_job.bytes,
                          SQLITE_STATIC);
    sqlite3_bind_int64(statement, 6, schedule->made);
    sqlite3_bind_int64(statement, 7, schedule->skipped);
    return store_sql_done(connection, SQL_SCHEDULE_PUT);
}

enum err store_schedule_put(struct store *store, const struct store_schedule *schedule)
{
    struct connection *connection = &store->reader.connection;
    CHECK(store->in_group);
    return store_checked(store, schedule->body.at == NULL ? drop(connection, schedule->name)
                                                          : put(connection, schedule));
}

/* ERR_NO_MEMORY: a text could not be had. */
static enum err read_row(sqlite3_stmt *statement, struct store_schedule *schedule)
{
    const void *job = sqlite3_column_blob(statement, 4);
    *schedule = (struct store_schedule){.name = (const char *)sqlite3_column_text(statement, 0),
                                        .body.at = (const char *)sqlite3_column_text(statement, 1),
                                        .next_ms = sqlite3_column_int64(statement, 2),
                                        .last_ms = sqlite3_column_int64(statement, 3),
                                        .made = sqlite3_column_int64(statement, 5),
                                        .skipped = sqlite3_column_int64(statement, 6)};
    schedule->body.bytes = (size_t)sqlite3_column_bytes(statement, 1);
    if (job != NULL && sqlite3_column_bytes(statement, 4) == (int)sizeof schedule->last_job.bytes)
        memcpy(schedule->last_job.bytes, job, sizeof schedule->last_job.bytes);
    return schedule->name == NULL || schedule->body.at == NULL ? ERR_NO_MEMORY : ERR_OK;
}

enum err store_schedules(struct store_reader *reader, store_schedule_fn *visit, void *context)
{
    struct connection *connection = &reader->connection;
    bool row;
    enum err err;
    while ((err = store_sql_row(connection, SQL_SCHEDULES, &row)) == ERR_OK && row) {
        struct store_schedule schedule;
        err = read_row(connection->statements[SQL_SCHEDULES], &schedule);
        if (err == ERR_OK)
            err = visit(context, &schedule);
        if (err != ERR_OK)
            break;
    }
    store_sql_reset(connection, SQL_SCHEDULES);
    return err;
}

enum err store_is_open(struct store *store, struct id id, bool *open)
{
    struct glance glance = {.found = false};
    enum err err = store_glance(store, id, &glance);
    *open = err == ERR_OK && glance.found && !job_is_terminal(glance.state);
    return store_checked(store, err);
}
