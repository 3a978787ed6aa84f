#include "store_sqlite.h"

#include <string.h>

static enum err run_tag(struct connection *connection, enum sql sql, const char *tag, struct id id)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, sql, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, tag, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, id_key(id));
    return store_sql_done(connection, sql);
}

enum err store_tags_write(struct store *store, const struct job *job)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    char tag[TAG_BYTES];
    enum err err = store_sql_get(connection, SQL_TAGGED_ADD, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(job->spec.id));
    sqlite3_bind_text64(statement, 2, job->tags.at, job->tags.bytes, SQLITE_STATIC, SQLITE_UTF8);
    err = store_sql_done(connection, SQL_TAGGED_ADD);
    for (size_t at = 0; err == ERR_OK && tags_next(job->tags, &at, tag);)
        err = run_tag(connection, SQL_TAG_ADD, tag, job->spec.id);
    return err;
}

enum err store_tags_forget(struct store *store, struct id id)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement;
    char tag[TAG_BYTES];
    bool row;
    enum err err = store_sql_get(connection, SQL_TAGGED_FORGET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, id_key(id));
    err = store_sql_row(connection, SQL_TAGGED_FORGET, &row);
    if (!row)
        return err;
    struct text tags = {sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0)};
    for (size_t at = 0; err == ERR_OK && tags_next(tags, &at, tag);)
        err = run_tag(connection, SQL_TAG_FORGET, tag, id);
    store_sql_reset(connection, SQL_TAGGED_FORGET);
    return err;
}
