#include "store_sqlite.h"

#include "check.h"

static enum err put(struct connection *connection, enum setting_kind kind, const char *name, struct text body)
{
    enum sql sql = body.at != NULL ? SQL_SETTING_PUT : SQL_SETTING_DROP;
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, sql, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, kind);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    if (body.at != NULL)
        sqlite3_bind_text64(statement, 3, body.at, body.bytes, SQLITE_STATIC, SQLITE_UTF8);
    return store_sql_done(connection, sql);
}

enum err store_setting_put(struct store *store, enum setting_kind kind, const char *name, struct text body)
{
    CHECK(store->in_group);
    return store_checked(store, put(&store->reader.connection, kind, name, body));
}

enum err store_settings(struct store_reader *reader, store_setting_fn *visit, void *context)
{
    struct connection *connection = &reader->connection;
    bool row;
    enum err err;
    while ((err = store_sql_row(connection, SQL_SETTINGS, &row)) == ERR_OK && row) {
        sqlite3_stmt *statement = connection->statements[SQL_SETTINGS];
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        struct text body = {sqlite3_column_blob(statement, 2), (size_t)sqlite3_column_bytes(statement, 2)};
        err = name == NULL ? ERR_NO_MEMORY
                           : visit(context, (enum setting_kind)sqlite3_column_int(statement, 0), name, body);
        if (err != ERR_OK)
            break;
    }
    store_sql_reset(connection, SQL_SETTINGS);
    return err;
}
