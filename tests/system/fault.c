/* Preloaded into a server under test: writes and syncs fail, or are slow, while a control file says so.
 *
 * FORKPOOL_TEST_FAULT names the control file. While it exists, each of its lines is "CALL ERRNO NEEDLE": CALL
 * (write, pwrite or sync) on a file whose path holds NEEDLE fails with that errno; "slow MS NEEDLE": a sync
 * of it takes so many milliseconds longer. SQLite writes by pwrite and syncs by fdatasync; logs of tasks are
 * written by write. The calls themselves are made directly, so nothing here recurses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at);
EXPORT ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at);
EXPORT ssize_t write(int fd, const void *from, size_t bytes);
EXPORT int fdatasync(int fd);
EXPORT int fsync(int fd);

static bool read_control(char *text, size_t room)
{
    const char *path = getenv("FORKPOOL_TEST_FAULT");
    int fd = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    long bytes = syscall(SYS_read, fd, text, room - 1);
    syscall(SYS_close, fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    return bytes > 0;
}

/* The errno that this call shall fail with, or 0. */
static int fault_of(const char *call, int fd)
{
    char text[1024], link[64], path[4096], name[16], needle[256];
    int kept = errno, number, found = 0;
    if (!read_control(text, sizeof text)) {
        errno = kept;
        return 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    for (char *rest = NULL, *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, "%15s %d %255s", name, &number, needle) == 3 && strcmp(name, call) == 0 &&
            strstr(path, needle) != NULL)
            found = number;
    errno = found != 0 ? found : kept;
    return found;
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at)
{
    return fault_of("pwrite", fd) != 0 ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, from, bytes, at);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
    return pwrite64(fd, from, bytes, at);
}

ssize_t write(int fd, const void *from, size_t bytes)
{
    return fault_of("write", fd) != 0 ? -1 : (ssize_t)syscall(SYS_write, fd, from, bytes);
}

static void be_slow(int fd)
{
    int ms = fault_of("slow", fd);
    if (ms > 0)
        usleep((useconds_t)ms * 1000);
}

int fdatasync(int fd)
{
    be_slow(fd);
    return fault_of("sync", fd) != 0 ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    be_slow(fd);
    return fault_of("sync", fd) != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}
