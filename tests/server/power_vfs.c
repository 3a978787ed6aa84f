#include "power_disk.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct power_handle {
    sqlite3_file base;       /* first */
    struct inode *inode;     /* NULL: not watched */
    bool is_log, new_entry;  /* the first sync of a journal syncs its folder, too: so the real VFS does it */
    _Alignas(8) char real[]; /* the file of the real VFS; SQLite aligns to 8 */
};

static sqlite3_vfs power_vfs, *real_vfs;

/* Declared here, since the linker makes them. */
int __real_open(const char *path, int flags, ...);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);

/* --- the calls of the program itself --- */

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const char *name = (flags & O_CREAT) != 0 ? disk_name(path) : NULL;
    bool makes = name != NULL && disk_find(name) == NULL;
    if (makes)
        disk_point(true);
    int fd = __real_open(path, flags, mode);
    if (fd >= 0 && makes)
        disk_make(name);
    return fd;
}

int __wrap_fsync(int fd)
{
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    const char *name = disk_name(path);
    struct inode *inode = name == NULL ? NULL : disk_find(name);
    if (inode != NULL) {
        disk_point(false);
        disk_sync(inode, POWER_DEAF_FILE);
    } else if (disk_is_folder(path)) {
        disk_point(true);
        disk_sync_folder();
    }
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    const char *old = disk_name(from), *new = disk_name(to);
    if (old != NULL && new != NULL && disk_find(old) != NULL) {
        disk_point(true);
        disk_rename(old, new);
    }
    return __real_rename(from, to);
}

static void note_removal(const char *path)
{
    const char *name = disk_name(path);
    if (name == NULL || disk_find(name) == NULL)
        return;
    disk_point(true);
    disk_remove(name);
}

int __wrap_unlink(const char *path)
{
    note_removal(path);
    return __real_unlink(path);
}

/* --- the calls of SQLite --- */

static struct power_handle *handle_of(sqlite3_file *file)
{
    return (struct power_handle *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)handle_of(file)->real;
}

static int power_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int power_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), to, bytes, at);
}

static int power_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
    struct inode *inode = handle_of(file)->inode;
    if (inode != NULL) {
        disk_point(false);
        disk_record(inode, (size_t)at, from, (size_t)bytes);
    }
    return real_of(file)->pMethods->xWrite(real_of(file), from, bytes, at);
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    struct inode *inode = handle_of(file)->inode;
    if (inode != NULL) {
        disk_point(false);
        disk_record(inode, (size_t)bytes, NULL, 0);
    }
    return real_of(file)->pMethods->xTruncate(real_of(file), bytes);
}

static int power_sync(sqlite3_file *file, int flags)
{
    struct power_handle *handle = handle_of(file);
    if (handle->inode != NULL) {
        disk_point(false);
        disk_sync(handle->inode, handle->is_log ? POWER_DEAF_LOG : POWER_DEAF_FILE);
        if (handle->new_entry) {
            disk_point(true);
            disk_sync_folder();
        }
        handle->new_entry = false;
    }
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int power_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), bytes);
}

static int power_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int power_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int power_reserved(sqlite3_file *file, int *locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), locked);
}

/* The size hint would allocate room past what is recorded. */
static int power_control(sqlite3_file *file, int what, void *argument)
{
    if (what == SQLITE_FCNTL_SIZE_HINT || what == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int power_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int power_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int power_shm_map(sqlite3_file *file, int region, int bytes, int extend, void volatile **at)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), region, bytes, extend, at);
}

static int power_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void power_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int power_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static int power_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_out)
{
    static const sqlite3_io_methods METHODS = {2,
                                               power_close,
                                               power_read,
                                               power_write,
                                               power_truncate,
                                               power_sync,
                                               power_size,
                                               power_lock,
                                               power_unlock,
                                               power_reserved,
                                               power_control,
                                               power_sector,
                                               power_device,
                                               power_shm_map,
                                               power_shm_lock,
                                               power_shm_barrier,
                                               power_shm_unmap,
                                               NULL,
                                               NULL};
    struct power_handle *handle = handle_of(file);
    const char *name = disk_name(path);
    (void)vfs;
    if (name != NULL && disk_find(name) == NULL)
        disk_point(true);
    int code = real_vfs->xOpen(real_vfs, path, real_of(file), flags, flags_out);
    file->pMethods = code == SQLITE_OK ? &METHODS : NULL;
    handle->inode = NULL;
    if (code != SQLITE_OK || name == NULL)
        return code;
    handle->inode = disk_find(name) == NULL ? disk_make(name) : disk_find(name);
    handle->is_log = (flags & SQLITE_OPEN_WAL) != 0;
    handle->new_entry = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    return code;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    note_removal(path);
    int code = real_vfs->xDelete(real_vfs, path, 0);
    if (sync && disk_name(path) != NULL) {
        disk_point(true);
        disk_sync_folder();
    }
    return code;
}

static int power_randomness(sqlite3_vfs *vfs, int bytes, char *to)
{
    (void)vfs;
    for (int i = 0; i < bytes; i++)
        to[i] = (char)disk_draw();
    return bytes;
}

void power_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    power_vfs = *real_vfs; /* what is not about one file goes straight to the real one */
    power_vfs.zName = "power";
    power_vfs.szOsFile = (int)sizeof(struct power_handle) + real_vfs->szOsFile;
    power_vfs.pNext = NULL;
    power_vfs.xOpen = power_open;
    power_vfs.xDelete = power_delete;
    power_vfs.xRandomness = power_randomness;
    sqlite3_vfs_register(&power_vfs, 1);
}
