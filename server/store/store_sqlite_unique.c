#include "store_sqlite.h"

enum err store_unique_find(struct store *store, const struct job *job, int64_t now_ms, bool *held,
                           struct id *holder)
{
    struct connection *connection = &store->reader.connection;
    struct unique_rule rule;
    sqlite3_stmt *statement;
    bool row;
    *held = false;
    if ((job->spec.flags & JOB_FLAG_UNIQUE) == 0 || !extras_unique(job->extras, &rule))
        return ERR_OK;
    enum err err = store_sql_get(connection, SQL_UNIQUE_FIND, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, rule.key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, now_ms);
    err = store_sql_row(connection, SQL_UNIQUE_FIND, &row);
    if (!row)
        return err;
    struct id id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    *held = !id_equal(id, job->spec.id);
    if (*held)
        *holder = id;
    store_sql_reset(connection, SQL_UNIQUE_FIND);
    return ERR_OK;
}

enum err store_unique_take(struct store *store, const struct job *job)
{
    struct connection *connection = &store->reader.connection;
    struct unique_rule rule;
    sqlite3_stmt *statement;
    if ((job->spec.flags & JOB_FLAG_UNIQUE) == 0 || !extras_unique(job->extras, &rule))
        return ERR_OK;
    int64_t until_ms = rule.period_ms > 0 ? job->spec.created_ms + rule.period_ms : 0;
    enum err err = store_sql_get(connection, SQL_UNIQUE_TAKE, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, rule.key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, id_key(job->spec.id));
    sqlite3_bind_int64(statement, 3, id_random(job->spec.id));
    sqlite3_bind_int64(statement, 4, until_ms);
    return store_sql_done(connection, SQL_UNIQUE_TAKE);
}

enum err store_unique_free(struct store *store, struct id id, struct text extras, bool all)
{
    struct connection *connection = &store->reader.connection;
    struct unique_rule rule;
    sqlite3_stmt *statement;
    if (!extras_unique(extras, &rule))
        return ERR_OK;
    enum err err = store_sql_get(connection, SQL_UNIQUE_FREE, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, rule.key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, id_key(id));
    sqlite3_bind_int64(statement, 3, id_random(id));
    sqlite3_bind_int64(statement, 4, all);
    return store_sql_done(connection, SQL_UNIQUE_FREE);
}
