#include "store_sqlite.h"

#include "log.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLOSE_WAIT_MS = 500 };

/* The writer: synchronous is set per group; checkpoints are the checkpointer's. The cache is small because
 * the system's own holds the file as well, and memory must not grow with the store. No mmap: an I/O error
 * would be a SIGBUS. secure_delete (on in Debian's build) would write every freed page once more. A log file
 * that outgrew 128 MB, while some reader kept it from beginning anew, is cut when it does; smaller ones keep
 * their size, since to overwrite is cheaper to sync than to append. */
static const char WRITER_PRAGMAS[] = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                                     "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;"
                                     "PRAGMA mmap_size = 0; PRAGMA secure_delete = OFF;"
                                     "PRAGMA journal_size_limit = 134217728;";

/* MIGRATIONS[n] leads from version n to n + 1. */
static const char *const MIGRATIONS[] = {store_schema_sql, store_schema_2_sql, store_schema_3_sql,
                                         store_schema_4_sql};
enum { SCHEMA_VERSION = sizeof MIGRATIONS / sizeof *MIGRATIONS };

/* Opening. Each refusal is a sentence that names the path and what to do. */

#define REFUSE(message, ...) (buf_printf(message, __VA_ARGS__), ERR_STORE_UNUSABLE)

static enum err refuse_full(const char *path, struct buf *message)
{
    buf_printf(message, "The disk of the store %s is full. Make room, or set store.url to another place.",
               path);
    return ERR_STORE_FULL;
}

static enum err refuse_errno(const char *path, const char *folder, int number, struct buf *message)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return refuse_full(path, message);
    case ENOENT:
        return REFUSE(
            message,
            "The folder %s of the store does not exist. Make it (mkdir -p %s), or set store.url to a "
            "file in a folder that exists.",
            folder, folder);
    case EACCES:
        return REFUSE(
            message,
            "The store %s, or its folder, is not readable and writable for user %d. Change the owner "
            "(chown %d %s), or set store.url to another place.",
            path, (int)geteuid(), (int)geteuid(), folder);
    case EROFS:
        return REFUSE(message,
                      "The store %s lies on a read-only filesystem. Mount it writable, or set store.url to "
                      "another place.",
                      path);
    default:
        return REFUSE(message,
                      "The store %s cannot be opened: %s. Mend that, or set store.url to another place.",
                      path, strerrordesc_np(number));
    }
}

/* An empty or missing file beside a log that holds something was a store: SQLite would drop the log. */
static enum err check_log(const char *path, struct buf *message)
{
    char log[PATH_BYTES + 8];
    struct stat file, status;
    snprintf(log, sizeof log, "%s-wal", path);
    bool empty = stat(path, &file) != 0 ? errno == ENOENT : S_ISREG(file.st_mode) && file.st_size == 0;
    if (!empty || stat(log, &status) != 0 || status.st_size == 0)
        return ERR_OK;
    return REFUSE(
        message,
        "The store %s is empty or gone, but its write-ahead log %s is there: the file was cut or "
        "removed. Restore a backup (move the log away as well), or move the log away to begin anew.",
        path, log);
}

/* Makes the file if there is none (0640: it holds what people submit; SQLite gives its other files the same
 * mode), and finds out what SQLite would report less plainly. An existing file is not opened: to close it
 * would drop the locks that SQLite holds on it in this process. */
static enum err prepare_file(const char *path, struct buf *message)
{
    char folder[PATH_BYTES];
    path_folder(path, folder);
    if (check_log(path, message) != ERR_OK)
        return ERR_STORE_UNUSABLE;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd >= 0) { /* the entry must survive a power loss as well as the contents */
        close(fd);
        return path_sync_folder(folder) == ERR_OK ? ERR_OK : refuse_errno(path, folder, EIO, message);
    }
    struct stat status;
    if (errno != EEXIST || stat(path, &status) != 0)
        return refuse_errno(path, folder, errno, message);
    if (!S_ISREG(status.st_mode))
        return REFUSE(message, "The store %s is not a file. Set store.url to the path of a file.", path);
    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0 ||
        faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        return refuse_errno(path, folder, errno, message);
    return ERR_OK;
}

/* What SQLite's last error means for somebody who wants to start the server. */
static enum err refuse_sqlite(struct store *store, const char *path, struct buf *message)
{
    sqlite3 *db = store->reader.connection.db;
    switch (db == NULL ? SQLITE_NOMEM : sqlite3_errcode(db) & 0xff) {
    case SQLITE_NOTADB:
        return REFUSE(
            message,
            "The file %s is not a database. It was left as it is; move it away, or set store.url to "
            "another file.",
            path);
    case SQLITE_CORRUPT:
        return REFUSE(
            message,
            "The store %s is damaged (%s). It was left as it is; restore a backup, or rescue what can "
            "be read (docs/operations.md)",
            path, sqlite3_errmsg(db));
    case SQLITE_BUSY:
        return REFUSE(
            message,
            "The store %s is locked by another program. Stop that program, or set store.url to another "
            "file.",
            path);
    case SQLITE_FULL:
        return refuse_full(path, message);
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    default:
        return REFUSE(message,
                      "The store %s cannot be opened: %s. Mend that, or set store.url to another place.",
                      path, sqlite3_errmsg(db));
    }
}

/* Reads, and so proves, the header. *version is 0 for a new file. */
static enum err check_header(struct store *store, const char *path, int64_t *version, struct buf *message)
{
    struct connection *connection = &store->reader.connection;
    int64_t application, tables;
    if (store_sql_ask(connection, "PRAGMA application_id", &application) != ERR_OK ||
        store_sql_ask(connection, "PRAGMA user_version", version) != ERR_OK ||
        store_sql_ask(connection, "SELECT count(*) FROM sqlite_schema", &tables) != ERR_OK)
        return refuse_sqlite(store, path, message);
    if (application != APPLICATION_ID && (application != 0 || *version != 0 || tables != 0))
        return REFUSE(message, "The file %s is a database of another program. Set store.url to another file.",
                      path);
    if (*version > SCHEMA_VERSION)
        return REFUSE(
            message,
            "The store %s has schema version %d, this forkpool knows versions up to %d. Run the newer "
            "forkpool that wrote it, or set store.url to another file.",
            path, (int)*version, (int)SCHEMA_VERSION);
    return ERR_OK;
}

static enum err set_identity(struct connection *connection)
{
    sqlite3_stmt *statement = NULL;
    struct id id = id_new();
    if (sqlite3_prepare_v2(connection->db, "INSERT INTO meta VALUES ('id', ?)", -1, &statement, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_blob(statement, 1, id.bytes, sizeof id.bytes, SQLITE_STATIC);
        sqlite3_step(statement);
    }
    return sqlite3_finalize(statement) == SQLITE_OK ? ERR_OK : store_sql_fail(connection, "identity");
}

/* forkpool_lane(priority, queue, task), for jobs of before there were lanes: a migration asks for it. */
static void lane_function(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct job_spec spec = {.priority = (uint8_t)sqlite3_value_int(values[0])};
    const char *queue = (const char *)sqlite3_value_text(values[1]);
    const char *task = (const char *)sqlite3_value_text(values[2]);
    (void)count;
    if (queue == NULL || task == NULL) { /* the columns are NOT NULL */
        sqlite3_result_error_nomem(context);
        return;
    }
    text_copy(spec.queue, sizeof spec.queue, queue, strlen(queue));
    text_copy(spec.task, sizeof spec.task, task, strlen(task));
    sqlite3_result_int64(context, job_lane(&spec));
}

/* All steps in one transaction: the file has the old version or the new one. */
static enum err migrate(struct connection *connection, int64_t version)
{
    if (version == SCHEMA_VERSION)
        return ERR_OK;
    char header[96];
    snprintf(header, sizeof header, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION_ID, (int)SCHEMA_VERSION);
    if (sqlite3_create_function(connection->db, "forkpool_lane", 3, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL,
                                lane_function, NULL, NULL) != SQLITE_OK)
        return store_sql_fail(connection, "migrate");
    enum err err = store_sql_exec(connection, "migrate", "BEGIN EXCLUSIVE");
    for (int64_t step = version; err == ERR_OK && step < SCHEMA_VERSION; step++)
        err = store_sql_exec(connection, "migrate", MIGRATIONS[step]);
    if (err == ERR_OK && version == 0)
        err = set_identity(connection);
    return err != ERR_OK ? err : store_sql_exec(connection, "migrate", header);
}

/* journal_mode answers with the mode it is in, whatever was asked: some filesystems cannot share memory. */
static enum err enter_wal(struct store *store, const char *path, struct buf *message)
{
    sqlite3_stmt *statement = NULL;
    sqlite3 *db = store->reader.connection.db;
    char mode[16] = "";
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        snprintf(mode, sizeof mode, "%s", (const char *)sqlite3_column_text(statement, 0));
    if (sqlite3_finalize(statement) != SQLITE_OK)
        return refuse_sqlite(store, path, message);
    if (strcmp(mode, "wal") != 0)
        return REFUSE(message,
                      "The store %s cannot have a write-ahead log: its filesystem has no shared memory. Set "
                      "store.url to a place on a local filesystem.",
                      path);
    return ERR_OK;
}

static enum err read_identity(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection->db, "SELECT value FROM meta WHERE name = 'id'", -1, &statement,
                           NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_bytes(statement, 0) == sizeof store->identity.bytes)
        memcpy(store->identity.bytes, sqlite3_column_blob(statement, 0), sizeof store->identity.bytes);
    return sqlite3_finalize(statement) == SQLITE_OK ? ERR_OK : store_sql_fail(connection, "identity");
}

/* Reads what was true, and marks the file as in use: synced, because synchronous is FULL until the first
 * group. */
static enum err begin_life(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    static const char GREATEST_KEY[] = "SELECT max((SELECT coalesce(max(id_key), 0) FROM jobs), "
                                       "(SELECT coalesce(max(id_key), 0) FROM batches))";
    int64_t clean = 0, edges = 0, releases = 0;
    enum err err = read_identity(store);
    if (err == ERR_OK)
        err = store_meta_get(connection, "clean", &clean);
    if (err == ERR_OK)
        err = store_meta_get(connection, "seq", &store->seq_end);
    if (err == ERR_OK)
        err = store_meta_get(connection, "skew_ms", &store->skew_ms);
    if (err == ERR_OK)
        err = store_sql_ask(connection, GREATEST_KEY, &store->greatest_key);
    if (err == ERR_OK)
        err = store_sql_ask(connection, "SELECT EXISTS (SELECT 1 FROM edges)", &edges);
    if (err == ERR_OK)
        err = store_sql_ask(connection, "SELECT EXISTS (SELECT 1 FROM releases)", &releases);
    if (err == ERR_OK)
        err = store_meta_set(connection, "clean", 0);
    store->unclean = clean == 0;
    store->seq_next = store->seq_end + 1; /* what was left of the last block is not used */
    store->seq_end_stored = store->seq_end;
    store->skew_ms_stored = store->skew_ms;
    store->any_edges = store->any_edges_stored = edges != 0;
    store->any_releases = store->any_releases_stored = releases != 0;
    return err;
}

static int note_log(void *store, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct store *)store)->log_pages = pages;
    return SQLITE_OK;
}

static enum err open_file(struct store *store, const char *path, struct buf *message)
{
    struct connection *connection = &store->reader.connection;
    int64_t version = 0;
    enum err err = prepare_file(path, message);
    if (err != ERR_OK)
        return err;
    if (store_connection_open(connection, path, SQLITE_OPEN_READWRITE) != ERR_OK)
        return refuse_sqlite(store, path, message);
    err = check_header(store, path, &version, message);
    if (err == ERR_OK)
        err = enter_wal(store, path, message);
    if (err != ERR_OK)
        return err;
    if (store_sql_exec(connection, "pragmas", WRITER_PRAGMAS) != ERR_OK ||
        migrate(connection, version) != ERR_OK || begin_life(store) != ERR_OK)
        return refuse_sqlite(store, path, message);
    sqlite3_wal_hook(connection->db, note_log, store);
    LOG(STORE_OPEN, LOG_TEXT("path", path), LOG_INT("schema", SCHEMA_VERSION),
        LOG_INT("unclean", store->unclean));
    return ERR_OK;
}

enum err store_open(const char *url, struct store **store, struct buf *message)
{
    *store = calloc(1, sizeof **store);
    if (*store == NULL)
        return ERR_NO_MEMORY;
    (*store)->full = true; /* WRITER_PRAGMAS */
    (*store)->inputs_most = SIZE_MAX;
    enum err err = open_file(*store, store_path_of(url), message);
    if (err != ERR_OK) {
        store_connection_close(&(*store)->reader.connection);
        free(*store);
        *store = NULL;
    }
    return err;
}

/* Marks the file clean, synced, with as much of the log copied as readers allow. */
static void end_life(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    if (store_set_synchronous(store, true) != ERR_OK)
        return;
    sqlite3_busy_timeout(connection->db, CLOSE_WAIT_MS); /* a backup may be reading */
    int code = sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
        (void)!store_sql_fail(connection, "checkpoint");
        return;
    }
    (void)!store_meta_set(connection, "clean", 1); /* if not, the next start checks the file: no harm */
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_rollback(store);
    if (!store->reader.connection.failed)
        end_life(store);
    store_connection_close(&store->reader.connection);
    free(store->changes);
    free(store->batches);
    free(store);
}

struct id store_identity(const struct store *store)
{
    return store->identity;
}

int64_t store_greatest_key(const struct store *store)
{
    return store->greatest_key;
}

bool store_was_unclean(const struct store *store)
{
    return store->unclean;
}

struct store_reader *store_own_reader(struct store *store)
{
    return &store->reader;
}
