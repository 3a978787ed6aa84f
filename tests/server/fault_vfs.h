/* An SQLite VFS, only for tests, that lets writes and syncs fail on demand. It becomes the default one, so
 * the store needs no hook:
 *
 *     fault_vfs_install();                           once a process, before the store is opened
 *     fault_on(FAULT_WRITE, SQLITE_FULL, 0, "-wal"); every write to a file of that ending fails, with that
 * code fault_after(3);                                only from the fourth on fault_off();
 *
 * number is what errno is then, as SQLite passes it on for SQLITE_IOERR_…. Any thread may switch it.
 */
#ifndef FORKPOOL_TESTS_FAULT_VFS_H
#define FORKPOOL_TESTS_FAULT_VFS_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { FAULT_WRITE = 1, FAULT_SYNC = 2, FAULT_SHM = 4 };

static sqlite3_vfs fault_vfs, *fault_real;
static _Atomic int fault_kinds, fault_code, fault_number, fault_left, fault_struck, fault_writes;
static const char *_Atomic fault_ending;

struct fault_file {
    sqlite3_file base; /* first */
    const char *name;
    _Alignas(8) char real[]; /* the file of the real VFS; SQLite aligns to 8 */
};

static inline sqlite3_file *fault_real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct fault_file *)file)->real;
}

/* SQLITE_OK, or what the operation shall fail with. */
static inline int fault_strikes(sqlite3_file *file, int kind)
{
    const char *name = ((struct fault_file *)file)->name, *ending = atomic_load(&fault_ending);
    size_t bytes = name == NULL ? 0 : strlen(name), most = ending == NULL ? 0 : strlen(ending);
    if ((atomic_load(&fault_kinds) & kind) == 0 || bytes < most || strcmp(name + bytes - most, ending) != 0)
        return SQLITE_OK;
    if (atomic_fetch_sub(&fault_left, 1) > 0)
        return SQLITE_OK;
    atomic_store(&fault_left, 0);
    atomic_fetch_add(&fault_struck, 1);
    errno = atomic_load(&fault_number);
    return atomic_load(&fault_code);
}

static inline int fault_close(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xClose(fault_real_of(file));
}

static inline int fault_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 at)
{
    return fault_real_of(file)->pMethods->xRead(fault_real_of(file), to, bytes, at);
}

static inline int fault_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
    int code = fault_strikes(file, FAULT_WRITE);
    atomic_fetch_add(&fault_writes, 1);
    return code != SQLITE_OK ? code
                             : fault_real_of(file)->pMethods->xWrite(fault_real_of(file), from, bytes, at);
}

static inline int fault_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    return fault_real_of(file)->pMethods->xTruncate(fault_real_of(file), bytes);
}

static inline int fault_sync(sqlite3_file *file, int flags)
{
    int code = fault_strikes(file, FAULT_SYNC);
    return code != SQLITE_OK ? code : fault_real_of(file)->pMethods->xSync(fault_real_of(file), flags);
}

static inline int fault_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return fault_real_of(file)->pMethods->xFileSize(fault_real_of(file), bytes);
}

static inline int fault_lock(sqlite3_file *file, int lock)
{
    return fault_real_of(file)->pMethods->xLock(fault_real_of(file), lock);
}

static inline int fault_unlock(sqlite3_file *file, int lock)
{
    return fault_real_of(file)->pMethods->xUnlock(fault_real_of(file), lock);
}

static inline int fault_reserved(sqlite3_file *file, int *locked)
{
    return fault_real_of(file)->pMethods->xCheckReservedLock(fault_real_of(file), locked);
}

static inline int fault_control(sqlite3_file *file, int what, void *argument)
{
    return fault_real_of(file)->pMethods->xFileControl(fault_real_of(file), what, argument);
}

static inline int fault_sector(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xSectorSize(fault_real_of(file));
}

static inline int fault_device(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xDeviceCharacteristics(fault_real_of(file));
}

static inline int fault_shm_map(sqlite3_file *file, int region, int bytes, int extend, void volatile **at)
{
    int code = extend ? fault_strikes(file, FAULT_SHM) : SQLITE_OK;
    return code != SQLITE_OK
               ? code
               : fault_real_of(file)->pMethods->xShmMap(fault_real_of(file), region, bytes, extend, at);
}

static inline int fault_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return fault_real_of(file)->pMethods->xShmLock(fault_real_of(file), offset, count, flags);
}

static inline void fault_shm_barrier(sqlite3_file *file)
{
    fault_real_of(file)->pMethods->xShmBarrier(fault_real_of(file));
}

static inline int fault_shm_unmap(sqlite3_file *file, int remove)
{
    return fault_real_of(file)->pMethods->xShmUnmap(fault_real_of(file), remove);
}

static inline int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                             int *flags_out)
{
    static const sqlite3_io_methods METHODS = {2,
                                               fault_close,
                                               fault_read,
                                               fault_write,
                                               fault_truncate,
                                               fault_sync,
                                               fault_size,
                                               fault_lock,
                                               fault_unlock,
                                               fault_reserved,
                                               fault_control,
                                               fault_sector,
                                               fault_device,
                                               fault_shm_map,
                                               fault_shm_lock,
                                               fault_shm_barrier,
                                               fault_shm_unmap,
                                               NULL,
                                               NULL};
    (void)vfs;
    int code = fault_real->xOpen(fault_real, name, fault_real_of(file), flags, flags_out);
    ((struct fault_file *)file)->name = name;
    file->pMethods = code == SQLITE_OK ? &METHODS : NULL;
    return code;
}

static inline void fault_vfs_install(void)
{
    fault_real = sqlite3_vfs_find(NULL);
    fault_vfs = *fault_real; /* what is not about one file goes straight to the real one */
    fault_vfs.zName = "fault";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + fault_real->szOsFile;
    fault_vfs.pNext = NULL;
    fault_vfs.xOpen = fault_open;
    sqlite3_vfs_register(&fault_vfs, 1);
}

static inline void fault_after(int calls)
{
    atomic_store(&fault_left, calls);
}

static inline void fault_on(int kinds, int code, int number, const char *ending)
{
    atomic_store(&fault_code, code);
    atomic_store(&fault_number, number);
    atomic_store(&fault_ending, ending);
    atomic_store(&fault_struck, 0);
    fault_after(0);
    atomic_store(&fault_kinds, kinds);
}

static inline void fault_off(void)
{
    atomic_store(&fault_kinds, 0);
}

#endif
