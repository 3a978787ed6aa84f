/* A VFS below the writer that gathers what a transaction adds to the write-ahead log.
 *
 * SQLite writes a frame of the log in two pieces, so a commit of twenty pages is forty calls of pwrite(2).
 * Here they lie in memory until the transaction's last frame, which says in its header that it is the last
 * (https://www.sqlite.org/fileformat2.html#wal_file_format), and go out as one. So each error comes back from
 * a write of the transaction that it belongs to, and nothing is committed before it is written: the index of
 * the log, by which others find frames, is brought up to date after the last write. Whatever else SQLite does
 * with the log comes after what lies in memory was written.
 *
 * Only where a write of one sector leaves the others alone (SQLITE_IOCAP_POWERSAFE_OVERWRITE); elsewhere
 * SQLite cuts and repeats the last frame, and everything goes straight through.
 */
#include "store_sqlite.h"

#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* SQLite's own xWrite takes less than 128 KiB at a time. */
enum { FRAME_HEADER_BYTES = 24, GATHERED_MOST = 31 * 4120 };

struct wal_file {
    sqlite3_file base; /* first */
    sqlite3_file *real;
    char *gathered; /* [GATHERED_MOST], NULL: straight through */
    size_t bytes;
    sqlite3_int64 at; /* where they belong */
    bool last_frame;  /* of a transaction: it is being written */
};

static sqlite3_vfs gathering_vfs, *real_vfs;

static struct wal_file *wal_of(sqlite3_file *file)
{
    return (struct wal_file *)(void *)file;
}

static int put_out(struct wal_file *wal)
{
    size_t bytes = wal->bytes;
    wal->bytes = 0; /* if it fails, so does the transaction */
    return bytes == 0 ? SQLITE_OK
                      : wal->real->pMethods->xWrite(wal->real, wal->gathered, (int)bytes, wal->at);
}

static bool commits(const void *frame_header)
{
    static const char NO[4];
    return memcmp((const char *)frame_header + 4, NO, sizeof NO) != 0; /* the database's size after it */
}

static int wal_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
    struct wal_file *wal = wal_of(file);
    size_t more = (size_t)bytes;
    int code = SQLITE_OK;
    if (wal->gathered == NULL || more > GATHERED_MOST)
        code = put_out(wal);
    if (code != SQLITE_OK || wal->gathered == NULL || more > GATHERED_MOST)
        return code != SQLITE_OK ? code : wal->real->pMethods->xWrite(wal->real, from, bytes, at);
    if (at != wal->at + (sqlite3_int64)wal->bytes || more > GATHERED_MOST - wal->bytes)
        code = put_out(wal);
    if (code != SQLITE_OK)
        return code;
    if (wal->bytes == 0)
        wal->at = at;
    memcpy(wal->gathered + wal->bytes, from, more);
    wal->bytes += more;
    if (bytes == FRAME_HEADER_BYTES) {
        wal->last_frame = commits(from);
        return SQLITE_OK;
    }
    return wal->last_frame ? put_out(wal) : SQLITE_OK;
}

static int wal_close(sqlite3_file *file)
{
    struct wal_file *wal = wal_of(file);
    int code = put_out(wal), closed = wal->real->pMethods->xClose(wal->real);
    free(wal->gathered);
    free(wal->real);
    return code != SQLITE_OK ? code : closed;
}

static int wal_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 at)
{
    int code = put_out(wal_of(file));
    return code != SQLITE_OK ? code : wal_of(file)->real->pMethods->xRead(wal_of(file)->real, to, bytes, at);
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    int code = put_out(wal_of(file));
    return code != SQLITE_OK ? code : wal_of(file)->real->pMethods->xTruncate(wal_of(file)->real, bytes);
}

static int wal_sync(sqlite3_file *file, int flags)
{
    int code = put_out(wal_of(file));
    return code != SQLITE_OK ? code : wal_of(file)->real->pMethods->xSync(wal_of(file)->real, flags);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    int code = put_out(wal_of(file));
    return code != SQLITE_OK ? code : wal_of(file)->real->pMethods->xFileSize(wal_of(file)->real, bytes);
}

static int wal_lock(sqlite3_file *file, int lock)
{
    return wal_of(file)->real->pMethods->xLock(wal_of(file)->real, lock);
}

static int wal_unlock(sqlite3_file *file, int lock)
{
    return wal_of(file)->real->pMethods->xUnlock(wal_of(file)->real, lock);
}

static int wal_check_lock(sqlite3_file *file, int *locked)
{
    return wal_of(file)->real->pMethods->xCheckReservedLock(wal_of(file)->real, locked);
}

static int wal_control(sqlite3_file *file, int operation, void *argument)
{
    int code = put_out(wal_of(file));
    return code != SQLITE_OK
               ? code
               : wal_of(file)->real->pMethods->xFileControl(wal_of(file)->real, operation, argument);
}

static int wal_sector_size(sqlite3_file *file)
{
    return wal_of(file)->real->pMethods->xSectorSize(wal_of(file)->real);
}

static int wal_characteristics(sqlite3_file *file)
{
    return wal_of(file)->real->pMethods->xDeviceCharacteristics(wal_of(file)->real);
}

static const sqlite3_io_methods WAL_METHODS = {.iVersion = 1,
                                               .xClose = wal_close,
                                               .xRead = wal_read,
                                               .xWrite = wal_write,
                                               .xTruncate = wal_truncate,
                                               .xSync = wal_sync,
                                               .xFileSize = wal_size,
                                               .xLock = wal_lock,
                                               .xUnlock = wal_unlock,
                                               .xCheckReservedLock = wal_check_lock,
                                               .xFileControl = wal_control,
                                               .xSectorSize = wal_sector_size,
                                               .xDeviceCharacteristics = wal_characteristics};

static int open_wal(const char *name, struct wal_file *wal, int flags, int *out_flags)
{
    *wal = (struct wal_file){.real = calloc(1, (size_t)real_vfs->szOsFile)};
    if (wal->real == NULL)
        return SQLITE_NOMEM;
    int code = real_vfs->xOpen(real_vfs, name, wal->real, flags, out_flags);
    if (code != SQLITE_OK) {
        if (wal->real->pMethods != NULL)
            wal->real->pMethods->xClose(wal->real);
        free(wal->real);
        return code;
    }
    if (wal->real->pMethods->xDeviceCharacteristics(wal->real) & SQLITE_IOCAP_POWERSAFE_OVERWRITE)
        wal->gathered = malloc(GATHERED_MOST); /* without it: straight through */
    wal->base.pMethods = &WAL_METHODS;
    return SQLITE_OK;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    return flags & SQLITE_OPEN_WAL ? open_wal(name, wal_of(file), flags, out_flags)
                                   : real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
}

static void install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    CHECK(real_vfs != NULL);
    gathering_vfs = *real_vfs;
    gathering_vfs.zName = "forkpool";
    gathering_vfs.pNext = NULL;
    gathering_vfs.xOpen = open_file;
    if (gathering_vfs.szOsFile < (int)sizeof(struct wal_file))
        gathering_vfs.szOsFile = (int)sizeof(struct wal_file);
    CHECK(sqlite3_vfs_register(&gathering_vfs, 0) == SQLITE_OK);
}

const char *store_writer_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, install) == 0);
    return gathering_vfs.zName;
}
