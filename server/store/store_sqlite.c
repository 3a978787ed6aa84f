#include "store_sqlite.h"

#include "check.h"
#include "clock.h"
#include "log.h"
#include "marker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOG_CAP_PAGES = 16384, /* 64 MB: from here on the checkpointer makes the log begin anew */
    RESTART_WAIT_MS = 20,  /* how long that may wait for readers, with writing held up */
    REMIND_MS = 10000      /* a full disk is tried twice a second and logged so often */
};

static const char READER_PRAGMAS[] =
    "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;";

/* NORMAL syncs the log before copying from it and the file after: all that a checkpoint needs. */
static const char CHECKPOINTER_PRAGMAS[] = "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                                           "PRAGMA cache_size = -1024; PRAGMA mmap_size = 0;";

static const struct {
    const char *name, *text;
} STATEMENTS[SQL_COUNT] = {
#define S(name, text) {#name, text},
    STORE_SQL(S)
#undef S
};

/* Statements. */

static bool is_sync(int code)
{
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

/* Codes of calls that tell by errno; there it says more than the code does. sqlite3_system_errno knows
 * nothing of what failed inside a COMMIT, but nothing that SQLite does afterwards touches errno. */
static int errno_of(struct connection *connection, int code, int number)
{
    bool tells = is_sync(code) || code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_READ ||
                 code == SQLITE_IOERR_TRUNCATE || code == SQLITE_IOERR_SHMSIZE ||
                 code == SQLITE_IOERR_SHMMAP || code == SQLITE_IOERR_SHMOPEN ||
                 (code & 0xff) == SQLITE_CANTOPEN;
    return !tells ? 0 : number != 0 ? number : sqlite3_system_errno(connection->db);
}

/* Nothing is broken, it only cannot be done now. Of a failed sync nobody knows what it has left behind. */
static bool is_for_now(int code, int number)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
        return true;
    case SQLITE_IOERR: /* no space for the log's index, say; or a disk that was made read-only */
    case SQLITE_CANTOPEN:
        return (number == ENOSPC || number == EDQUOT || number == EROFS) && !is_sync(code);
    default:
        return code == SQLITE_READONLY_DIRECTORY;
    }
}

static void log_failure(struct connection *connection, const char *operation, int code, int number)
{
    const char *reason = number == 0 ? NULL : strerrordesc_np(number);
    LOG(STORE_ERROR, LOG_TEXT("operation", operation), LOG_TEXT("error", sqlite3_errmsg(connection->db)),
        LOG_INT("code", code), LOG_INT("errno", number), LOG_TEXT("reason", reason == NULL ? "" : reason));
}

/* Called at once after the failure: it reads errno. */
enum err store_sql_fail(struct connection *connection, const char *operation)
{
    int number = errno, code = sqlite3_extended_errcode(connection->db);
    if (code == SQLITE_INTERRUPT) /* store_check_stop */
        return ERR_AGAIN;
    number = errno_of(connection, code, number);
    if (is_for_now(code, number)) {
        int64_t now = clock_mono_ns();
        if (connection->reminded_ns == 0 || now - connection->reminded_ns >= REMIND_MS * NS_PER_MS) {
            connection->reminded_ns = now;
            log_failure(connection, operation, code, number);
        }
        return ERR_STORE_FULL;
    }
    log_failure(connection, operation, code, number);
    if ((code & 0xff) == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        return ERR_NO_MEMORY;
    if (is_sync(code))
        marker_leave(sqlite3_db_filename(connection->db, "main"), operation, number);
    connection->failed = true;
    return ERR_STORE_FAILED;
}

enum err store_sql_get(struct connection *connection, enum sql sql, sqlite3_stmt **statement)
{
    *statement = connection->statements[sql];
    if (*statement != NULL)
        return ERR_OK;
    if (sqlite3_prepare_v3(connection->db, STATEMENTS[sql].text, -1, SQLITE_PREPARE_PERSISTENT, statement,
                           NULL) != SQLITE_OK)
        return store_sql_fail(connection, STATEMENTS[sql].name);
    connection->statements[sql] = *statement;
    return ERR_OK;
}

enum err store_sql_row(struct connection *connection, enum sql sql, bool *row)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, sql, &statement);
    *row = false;
    if (err != ERR_OK)
        return err;
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    if (!*row && code != SQLITE_DONE)
        err = store_sql_fail(connection, STATEMENTS[sql].name);
    if (!*row)
        sqlite3_reset(statement);
    return err;
}

enum err store_sql_done(struct connection *connection, enum sql sql)
{
    bool row;
    enum err err = store_sql_row(connection, sql, &row);
    CHECK(!row);
    return err;
}

void store_sql_reset(struct connection *connection, enum sql sql)
{
    sqlite3_reset(connection->statements[sql]);
}

enum err store_sql_exec(struct connection *connection, const char *operation, const char *text)
{
    if (sqlite3_exec(connection->db, text, NULL, NULL, NULL) != SQLITE_OK)
        return store_sql_fail(connection, operation);
    return ERR_OK;
}

/* The first column of the first row; 0 if there is none. */
enum err store_sql_ask(struct connection *connection, const char *text, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection->db, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    *value = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum err err = code == SQLITE_ROW || code == SQLITE_DONE ? ERR_OK : store_sql_fail(connection, text);
    sqlite3_finalize(statement);
    return err;
}

enum err store_meta_get(struct connection *connection, const char *name, int64_t *value)
{
    sqlite3_stmt *statement;
    bool row;
    enum err err = store_sql_get(connection, SQL_META_GET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    err = store_sql_row(connection, SQL_META_GET, &row);
    *value = row ? sqlite3_column_int64(statement, 0) : 0;
    if (row)
        store_sql_reset(connection, SQL_META_GET);
    return err;
}

enum err store_meta_set(struct connection *connection, const char *name, int64_t value)
{
    sqlite3_stmt *statement;
    enum err err = store_sql_get(connection, SQL_META_SET, &statement);
    if (err != ERR_OK)
        return err;
    sqlite3_bind_int64(statement, 1, value);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    return store_sql_done(connection, SQL_META_SET);
}

/* Connections. */

static void configure(void)
{
    /* Counting memory costs a mutex per allocation. Refused, harmlessly, if SQLite is in use already. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* sqlite:///absolute/path or sqlite:relative/path (config.c has said so to people already). */
const char *store_path_of(const char *url)
{
    static const char SCHEME[] = "sqlite:";
    CHECK(strncmp(url, SCHEME, strlen(SCHEME)) == 0);
    const char *path = url + strlen(SCHEME);
    return strncmp(path, "///", 3) == 0 ? path + 2 : path;
}

enum err store_connection_open(struct connection *connection, const char *path, int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, configure) == 0);
    const char *vfs = flags & SQLITE_OPEN_READWRITE ? store_writer_vfs() : NULL;
    int code =
        sqlite3_open_v2(path, &connection->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, vfs);
    if (connection->db == NULL)
        return ERR_NO_MEMORY;
    if (code != SQLITE_OK)
        return store_sql_fail(connection, "open");
    sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS);
    return ERR_OK;
}

void store_connection_close(struct connection *connection)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(connection->statements[i]);
    if (sqlite3_close(connection->db) != SQLITE_OK)
        (void)!store_sql_fail(connection, "close");
    *connection = (struct connection){0};
}

enum err store_reader_open(const char *url, struct store_reader **reader)
{
    *reader = calloc(1, sizeof **reader);
    if (*reader == NULL)
        return ERR_NO_MEMORY;
    enum err err = store_connection_open(&(*reader)->connection, store_path_of(url), SQLITE_OPEN_READONLY);
    if (err == ERR_OK)
        err = store_sql_exec(&(*reader)->connection, "pragmas", READER_PRAGMAS);
    if (err != ERR_OK) {
        store_reader_close(*reader);
        *reader = NULL;
    }
    return err;
}

void store_reader_close(struct store_reader *reader)
{
    if (reader == NULL)
        return;
    store_connection_close(&reader->connection);
    free(reader);
}

/* Groups. */

enum err store_set_synchronous(struct store *store, bool full)
{
    if (store->full == full)
        return ERR_OK;
    enum err err = store_sql_exec(&store->reader.connection, "synchronous",
                                  full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (err == ERR_OK)
        store->full = full;
    return err;
}

enum err store_begin(struct store *store, enum durability level)
{
    CHECK(!store->in_group);
    enum err err = store_set_synchronous(store, level == DURABILITY_FULL);
    if (err == ERR_OK)
        err = store_sql_done(&store->reader.connection, SQL_BEGIN);
    store->in_group = err == ERR_OK;
    return err;
}

enum err store_commit(struct store *store)
{
    CHECK(store->in_group);
    enum err err = store_changes_write(store);
    if (err == ERR_OK)
        err = store_batches_write(store);
    if (err == ERR_OK)
        err = store_sql_done(&store->reader.connection, SQL_COMMIT);
    if (err != ERR_OK) {
        store_rollback(store);
        return err;
    }
    store->in_group = false;
    store->seq_end_stored = store->seq_end;
    store->skew_ms_stored = store->skew_ms;
    store->any_edges_stored = store->any_edges;
    store->any_releases_stored = store->any_releases;
    store->change_count = store->batch_count = 0;
    return ERR_OK;
}

void store_rollback(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    store->in_group = false;
    store->change_count = store->batch_count = 0;
    store->any_edges = store->any_edges_stored;
    store->any_releases = store->any_releases_stored;
    store->seq_end = store->seq_end_stored; /* seq_next stays: a place once given is not given again */
    store->skew_ms = store->skew_ms_stored;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_reset(connection->statements[i]);
    if (!sqlite3_get_autocommit(connection->db)) /* SQLite may have rolled back by itself */
        (void)!store_sql_exec(connection, "rollback", "ROLLBACK");
}

/* The checkpointer. */

struct store_checkpointer {
    struct connection connection;
};

enum err store_checkpointer_open(const char *url, struct store_checkpointer **checkpointer)
{
    *checkpointer = calloc(1, sizeof **checkpointer);
    if (*checkpointer == NULL)
        return ERR_NO_MEMORY;
    struct connection *connection = &(*checkpointer)->connection;
    enum err err = store_connection_open(connection, store_path_of(url), SQLITE_OPEN_READWRITE);
    if (err == ERR_OK)
        err = store_sql_exec(connection, "pragmas", CHECKPOINTER_PRAGMAS);
    if (err != ERR_OK) {
        store_checkpointer_close(*checkpointer);
        *checkpointer = NULL;
    }
    return err;
}

static enum err checkpoint(struct connection *connection, int mode, int *log_pages)
{
    int pages = 0, copied = 0;
    int code = sqlite3_wal_checkpoint_v2(connection->db, NULL, mode, &pages, &copied);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)
        return store_sql_fail(connection, "checkpoint");
    *log_pages = pages < 0 ? 0 : pages;
    return ERR_OK;
}

/* PASSIVE holds nobody up, but while commits go on it never reaches the end of the log, so the log never
 * begins anew. RESTART holds the writer up while it copies and syncs: so only when the log is long, and only
 * after two passive rounds have left it little to copy. */
enum err store_checkpoint(struct store_checkpointer *checkpointer, int *log_pages)
{
    struct connection *connection = &checkpointer->connection;
    int left;
    enum err err = store_checkpoint_room(connection);
    if (err == ERR_OK)
        err = checkpoint(connection, SQLITE_CHECKPOINT_PASSIVE, log_pages);
    if (err != ERR_OK || *log_pages < LOG_CAP_PAGES)
        return err;
    err = checkpoint(connection, SQLITE_CHECKPOINT_PASSIVE, &left);
    sqlite3_busy_timeout(connection->db, RESTART_WAIT_MS);
    if (err == ERR_OK)
        err = checkpoint(connection, SQLITE_CHECKPOINT_RESTART, &left);
    sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS);
    return err;
}

enum err store_check(struct store_checkpointer *checkpointer, struct buf *message)
{
    struct connection *connection = &checkpointer->connection;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const char *found = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    enum err err = ERR_OK;
    if (code == SQLITE_INTERRUPT)
        err = ERR_AGAIN;
    else if (found == NULL)
        err = store_sql_fail(connection, "check");
    else if (strcmp(found, "ok") != 0)
        err = ERR_STORE_FAILED;
    if (err == ERR_STORE_FAILED)
        buf_put(message, found != NULL ? found : sqlite3_errmsg(connection->db));
    sqlite3_finalize(statement);
    return err;
}

void store_check_stop(struct store_checkpointer *checkpointer)
{
    sqlite3_interrupt(checkpointer->connection.db);
}

void store_checkpointer_close(struct store_checkpointer *checkpointer)
{
    if (checkpointer == NULL)
        return;
    store_connection_close(&checkpointer->connection);
    free(checkpointer);
}
