#include "store_sqlite.h"

#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STEP_PAGES = 256,
    STOP_EVERY = 100000,
    FILE_BYTES = PATH_BYTES + 16,
    MB = 1000000,
    SPARE_BYTES = 1048576,
    SETTLE_WAIT_MS = 50
};

/* --- a full disk --- */

enum err store_probe(struct store *store)
{
    /* A new value each time: an unchanged page would not be written. */
    static const char PROBE[] =
        "INSERT INTO meta VALUES ('probes', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    enum err err = store_begin(store, DURABILITY_FULL);
    if (err == ERR_OK)
        err = store_sql_exec(&store->reader.connection, "probe", PROBE);
    if (err == ERR_OK)
        return store_commit(store);
    store_rollback(store);
    return err;
}

enum err store_checkpoint_room(struct connection *connection)
{
    char folder[PATH_BYTES];
    const char *path = sqlite3_db_filename(connection->db, "main");
    int64_t pages, page_bytes;
    struct stat status;
    enum err err = store_sql_ask(connection, "PRAGMA page_count", &pages);
    if (err == ERR_OK)
        err = store_sql_ask(connection, "PRAGMA page_size", &page_bytes);
    if (err != ERR_OK || stat(path, &status) != 0)
        return err;
    int64_t growth = pages * page_bytes - status.st_size;
    path_folder(path, folder);
    return growth <= 0 || path_free_bytes(folder) >= growth + SPARE_BYTES ? ERR_OK : ERR_STORE_FULL;
}

enum err store_log_fits(struct store *store)
{
    enum { LOOK_PAGES = 512 };
    if (store->log_pages < store->log_looked)
        store->log_looked = 0; /* it has begun anew */
    if (store->log_pages - store->log_looked < LOOK_PAGES)
        return ERR_OK;
    store->log_looked = store->log_pages;
    return store_checkpoint_room(&store->reader.connection);
}

/* Readers that are in the middle of a page are not waited for long: then the log is cut the next time. */
enum err store_settle(struct store *store)
{
    struct connection *connection = &store->reader.connection;
    enum err err = store_checkpoint_room(connection);
    if (err != ERR_OK)
        return err;
    sqlite3_busy_timeout(connection->db, SETTLE_WAIT_MS);
    int code = sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    err =
        code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY ? ERR_OK : store_sql_fail(connection, "checkpoint");
    sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS);
    return err;
}

enum err store_room_inside(struct store *store, int64_t *bytes)
{
    struct connection *connection = &store->reader.connection;
    int64_t pages, page_bytes;
    enum err err = store_sql_ask(connection, "PRAGMA freelist_count", &pages);
    if (err == ERR_OK)
        err = store_sql_ask(connection, "PRAGMA page_size", &page_bytes);
    *bytes = err == ERR_OK ? pages * page_bytes : 0;
    return err;
}

/* --- a copy --- */

struct copy {
    const char *source, *target; /* paths; target is made here, and removed on an error */
    struct stat status;          /* of the source */
    struct connection from;
    sqlite3 *to;
    int fd; /* of the target */
    const struct store_watch *watch;
    struct store_copied copied;
    struct buf *message;
};

#define REFUSE(copy, ...) (buf_printf((copy)->message, __VA_ARGS__), ERR_STORE_UNUSABLE)

static enum err refuse_room(struct copy *copy)
{
    buf_printf(copy->message,
               "There is no room for %s: it takes about %lld MB. Make room, or name another place.",
               copy->target, (long long)copy->status.st_size / MB + 1);
    return ERR_STORE_FULL;
}

static enum err refuse_errno(struct copy *copy)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return refuse_room(copy);
    if (errno == EEXIST)
        return REFUSE(
            copy, "%s exists: a copy to that place is under way, or one was killed. If none is, remove it.",
            copy->target);
    return REFUSE(copy, "%s cannot be written: %s.", copy->target, strerrordesc_np(errno));
}

static enum err refuse_damaged(struct copy *copy, const char *found)
{
    return REFUSE(
        copy,
        "The store %s is damaged (%s). It was left as it is; restore a backup, or rescue what can be read "
        "(docs/operations.md)",
        copy->source, found);
}

static enum err refuse_sqlite(struct copy *copy, sqlite3 *db, int code)
{
    int number = errno; /* sqlite3_system_errno does not know all of them */
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_INTERRUPT:
        return ERR_AGAIN;
    case SQLITE_FULL:
        return refuse_room(copy);
    case SQLITE_NOTADB:
        return REFUSE(copy, "The file %s is not a store of forkpool.", copy->source);
    case SQLITE_CORRUPT:
        return refuse_damaged(copy, sqlite3_errmsg(db));
    case SQLITE_IOERR:
        if (db == copy->to && number != 0)
            return refuse_errno(copy);
        return REFUSE(copy, "The store %s cannot be read: %s (%s).", copy->source, sqlite3_errmsg(db),
                      strerrordesc_np(number));
    default:
        return REFUSE(copy, "The store %s cannot be read: %s. Its owner is user %d.", copy->source,
                      sqlite3_errmsg(db), (int)copy->status.st_uid);
    }
}

static bool stopped(void *argument)
{
    const struct store_watch *watch = ((struct copy *)argument)->watch;
    return watch != NULL && watch->stop != NULL && watch->stop(watch->argument);
}

static int stop_query(void *argument)
{
    return stopped(argument);
}

/* One snapshot, held over all steps: without it the copy would begin anew whenever a server commits. */
static enum err open_source(struct copy *copy, int flags)
{
    int64_t application = 0;
    sqlite3 *db;
    enum err err = store_connection_open(&copy->from, copy->source, flags);
    if ((db = copy->from.db) == NULL)
        return ERR_NO_MEMORY;
    /* The last one to close would copy the log into the file and sync both: not ours to do. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (err == ERR_OK)
        err = store_sql_exec(&copy->from, "snapshot", "BEGIN");
    if (err == ERR_OK)
        err = store_sql_ask(&copy->from, "SELECT count(*) FROM sqlite_schema", &application);
    if (err == ERR_OK)
        err = store_sql_ask(&copy->from, "PRAGMA application_id", &application);
    if (err != ERR_OK)
        return refuse_sqlite(copy, db, sqlite3_errcode(db));
    if (application != APPLICATION_ID)
        return REFUSE(copy, "The file %s is not a store of forkpool.", copy->source);
    return ERR_OK;
}

static enum err open_target(struct copy *copy, const char *pragmas)
{
    int code = sqlite3_open_v2(copy->target, &copy->to,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(copy->to, pragmas, NULL, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK : refuse_sqlite(copy, copy->to, code);
}

static void close_target(struct copy *copy)
{
    sqlite3_close(copy->to);
    copy->to = NULL;
}

static enum err copy_pages(struct copy *copy)
{
    const struct store_watch *watch = copy->watch;
    sqlite3_backup *backup = sqlite3_backup_init(copy->to, "main", copy->from.db, "main");
    int code = backup == NULL ? sqlite3_errcode(copy->to) : SQLITE_OK;
    while (code == SQLITE_OK && !stopped(copy)) {
        code = sqlite3_backup_step(backup, STEP_PAGES);
        int pages = sqlite3_backup_pagecount(backup);
        if (watch != NULL && watch->progress != NULL && code == SQLITE_OK)
            watch->progress(watch->argument, pages - sqlite3_backup_remaining(backup), pages);
        else if (watch != NULL && watch->progress != NULL && code == SQLITE_DONE)
            watch->progress(watch->argument, pages, pages);
    }
    sqlite3_backup_finish(backup);
    if (code == SQLITE_OK)
        return ERR_AGAIN;
    return code == SQLITE_DONE ? ERR_OK : refuse_sqlite(copy, copy->to, code);
}

static enum err ask_target(struct copy *copy, const char *sql, sqlite3_stmt **statement)
{
    int code = sqlite3_prepare_v2(copy->to, sql, -1, statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(*statement)) == SQLITE_ROW)
        return ERR_OK;
    return refuse_sqlite(copy, copy->to, code);
}

/* Every page and every row, read back. */
static enum err check_target(struct copy *copy)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_progress_handler(copy->to, STOP_EVERY, stop_query, copy);
    enum err err = ask_target(copy, "PRAGMA integrity_check(1)", &statement);
    const char *found = err == ERR_OK ? (const char *)sqlite3_column_text(statement, 0) : "ok";
    if (found == NULL || strcmp(found, "ok") != 0)
        err = refuse_damaged(copy, found == NULL ? "out of memory" : found);
    sqlite3_finalize(statement);
    statement = NULL;
    if (err == ERR_OK)
        err = ask_target(copy, "SELECT coalesce(sum(jobs), 0) FROM counts", &statement);
    if (err == ERR_OK)
        copy->copied.jobs = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return err;
}

/* Mode and owner as the source has them: it holds what people submit. */
static enum err sync_target(struct copy *copy)
{
    struct stat status;
    if (fchmod(copy->fd, copy->status.st_mode & 0777u) < 0 || fsync(copy->fd) < 0 ||
        fstat(copy->fd, &status) < 0)
        return refuse_errno(copy);
    if (geteuid() == 0 && fchown(copy->fd, copy->status.st_uid, copy->status.st_gid) < 0)
        return refuse_errno(copy);
    copy->copied.bytes = status.st_size;
    return ERR_OK;
}

static void remove_files(const char *path, bool itself)
{
    static const char *const SUFFIXES[] = {"-wal", "-shm", "-journal"};
    char file[FILE_BYTES];
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++) {
        snprintf(file, sizeof file, "%s%s", path, SUFFIXES[i]);
        (void)unlink(file);
    }
    if (itself)
        (void)unlink(path);
}

/* Not synced and without a journal while it is made: it counts only once sync_target has returned. Then it
 * leaves the write-ahead mode, so that it is one file. */
static enum err fill_target(struct copy *copy, int flags)
{
    enum err err = open_source(copy, flags);
    if (err == ERR_OK)
        err = open_target(copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;");
    if (err == ERR_OK)
        err = copy_pages(copy);
    close_target(copy);
    store_connection_close(&copy->from);
    if (err == ERR_OK)
        err = open_target(copy,
                          "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF;"
                          "PRAGMA journal_mode = DELETE; PRAGMA cache_size = -16384; PRAGMA mmap_size = 0;");
    if (err == ERR_OK)
        err = check_target(copy);
    close_target(copy);
    return err != ERR_OK ? err : sync_target(copy);
}

static enum err make_copy(struct copy *copy, int flags)
{
    copy->fd = open(copy->target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (copy->fd < 0)
        return refuse_errno(copy);
    enum err err = fill_target(copy, flags);
    close(copy->fd); /* only now: SQLite's locks on the file would have gone with it */
    if (err != ERR_OK)
        remove_files(copy->target, true);
    return err;
}

/* --- backup --- */

/* As rename, but never over something. Some filesystems cannot promise that. */
static bool rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    struct stat status;
    if (lstat(to, &status) == 0) {
        errno = EEXIST;
        return false;
    }
    return rename(from, to) == 0;
}

enum err store_backup(const char *url, const char *output, const struct store_watch *watch,
                      struct store_copied *copied, struct buf *message)
{
    char partial[FILE_BYTES], folder[PATH_BYTES];
    struct copy copy = {.source = store_path_of(url), .target = partial, .watch = watch, .message = message};
    struct stat status;
    if (strlen(output) >= PATH_BYTES)
        return REFUSE(&copy, "The name of the copy is too long: at most %d bytes.", PATH_BYTES - 1);
    snprintf(partial, sizeof partial, "%s.partial", output);
    path_folder(output, folder);
    if (lstat(output, &status) == 0)
        return REFUSE(&copy, "%s exists. Nothing was overwritten: name another file, or remove it first.",
                      output);
    if (stat(copy.source, &copy.status) != 0 || !S_ISREG(copy.status.st_mode))
        return REFUSE(&copy, "There is no store at %s. Name it by --store-url.", copy.source);
    enum err err = make_copy(&copy, SQLITE_OPEN_READONLY);
    if (err != ERR_OK)
        return err;
    if (!rename_new(partial, output)) {
        err = REFUSE(&copy, "The copy cannot become %s: %s.", output, strerrordesc_np(errno));
        remove_files(partial, true);
        return err;
    }
    *copied = copy.copied;
    if (path_sync_folder(folder) != ERR_OK)
        return REFUSE(&copy, "The folder %s could not be synced: its disk fails.", folder);
    return ERR_OK;
}

/* --- the rewrite after a failed sync --- */

/* The copy is the same page by page. So should we die before the old log is removed, the next open replays
 * pages that are there already. */
enum err store_rewrite(const char *url, struct buf *message)
{
    char fresh[FILE_BYTES], folder[PATH_BYTES];
    struct copy copy = {.source = store_path_of(url), .target = fresh, .message = message};
    if (stat(copy.source, &copy.status) != 0 || copy.status.st_size == 0)
        return ERR_OK; /* nothing was in it yet */
    snprintf(fresh, sizeof fresh, "%s.rewritten", copy.source);
    path_folder(copy.source, folder);
    remove_files(fresh, true); /* of a start that was killed */
    enum err err = make_copy(&copy, SQLITE_OPEN_READWRITE);
    if (err != ERR_OK)
        return err;
    if (rename(fresh, copy.source) < 0) {
        err = refuse_errno(&copy);
        remove_files(fresh, true);
        return err;
    }
    /* Only once the new file stands for good: the old one is not whole without its log. */
    if (path_sync_folder(folder) != ERR_OK)
        return REFUSE(&copy, "The folder %s of the store cannot be synced: its disk still fails.", folder);
    remove_files(copy.source, false);
    return ERR_OK;
}
