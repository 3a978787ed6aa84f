#include "store_sqlite.h"
#include "witness.h"

/* The numbers of states as schema.sql has them: 3 succeeded, 4 failed, 5 cancelled. */
static const char INSTALL[] =
    "CREATE TABLE IF NOT EXISTS witness (number INTEGER PRIMARY KEY, id_key INTEGER NOT NULL,"
    " id_random INTEGER NOT NULL, before INTEGER NOT NULL, after INTEGER);"
    "CREATE TRIGGER IF NOT EXISTS witness_update BEFORE UPDATE ON jobs"
    " WHEN OLD.state = 3 OR OLD.state = 4 OR OLD.state = 5 BEGIN"
    " INSERT INTO witness (id_key, id_random, before, after)"
    " VALUES (OLD.id_key, OLD.id_random, OLD.state, NEW.state); END;"
    "CREATE TRIGGER IF NOT EXISTS witness_delete BEFORE DELETE ON jobs"
    " WHEN OLD.state <> 3 AND OLD.state <> 4 AND OLD.state <> 5 BEGIN"
    " INSERT INTO witness (id_key, id_random, before, after)"
    " VALUES (OLD.id_key, OLD.id_random, OLD.state, NULL); END";

enum err witness_install(const char *url, struct buf *message)
{
    struct store *store;
    enum err err = store_open(url, &store, message);
    if (err != ERR_OK)
        return err;
    err = store_sql_exec(&store->reader.connection, "witness", INSTALL);
    store_close(store);
    return err;
}

static struct witness_note read_note(sqlite3_stmt *statement)
{
    bool deleted = sqlite3_column_type(statement, 3) == SQLITE_NULL;
    return (struct witness_note){
        .id = id_join(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1)),
        .before = (enum job_state)sqlite3_column_int(statement, 2),
        .after = (enum job_state)sqlite3_column_int(statement, 3),
        .deleted = deleted};
}

enum err witness_read(const char *url, witness_fn *visit, void *context)
{
    static const char READ[] = "SELECT id_key, id_random, before, after FROM witness ORDER BY number";
    struct store_reader *reader;
    sqlite3_stmt *statement = NULL;
    enum err err = store_reader_open(url, &reader);
    if (err != ERR_OK)
        return err;
    int code = sqlite3_prepare_v2(reader->connection.db, READ, -1, &statement, NULL);
    while (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        struct witness_note note = read_note(statement);
        visit(context, &note);
    }
    if (code != SQLITE_OK || sqlite3_finalize(statement) != SQLITE_OK)
        err = store_sql_fail(&reader->connection, "witness");
    store_reader_close(reader);
    return err;
}
