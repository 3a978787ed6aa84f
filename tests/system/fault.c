/* Preloaded into a server under test: calls fail, fall short or are slow, while a control file says so.
 *
 * FORKPOOL_TEST_FAULT names the control file. While it exists, each of its lines is "CALL NUMBER NEEDLE
 * [EVERY]": write, pwrite, read, pread, send, sendmsg, recv, sync   on a file whose path holds NEEDLE fails
 * with that errno open        of a path that holds NEEDLE; mmap of such a file fork, vfork, pipe, accept,
 * memfd     in a process whose title holds NEEDLE short       writes and reads of such a file do at most
 * NUMBER bytes slow        a sync of such a file takes NUMBER milliseconds longer EVERY: only one call in so
 * many. SQLite writes by pwrite and syncs by fdatasync; logs of tasks are written by write; sockets are
 * "socket:", pipes "pipe:". The calls themselves are made directly, so nothing here recurses.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at);
EXPORT ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at);
EXPORT ssize_t write(int fd, const void *from, size_t bytes);
EXPORT int fdatasync(int fd);
EXPORT int fsync(int fd);
EXPORT ssize_t read(int fd, void *to, size_t bytes);
EXPORT ssize_t pread(int fd, void *to, size_t bytes, off_t at);
EXPORT ssize_t pread64(int fd, void *to, size_t bytes, off_t at);
EXPORT ssize_t send(int fd, const void *from, size_t bytes, int flags);
EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
EXPORT ssize_t recv(int fd, void *to, size_t bytes, int flags);
EXPORT int open(const char *path, int flags, ...);
EXPORT int open64(const char *path, int flags, ...);
EXPORT void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
EXPORT void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
EXPORT pid_t fork(void);
EXPORT pid_t vfork(void);
EXPORT int pipe2(int ends[2], int flags);
EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags);
EXPORT int memfd_create(const char *name, unsigned flags);

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

static bool in_turn(int every)
{
    static _Atomic int calls;
    return every <= 1 || atomic_fetch_add(&calls, 1) % every == 0;
}

/* The number in the line for this call of what is named so, or 0. */
static int number_for(const char *call, const char *named, const char *control)
{
    char name[16], needle[256];
    int number, found = 0;
    for (const char *line = control; line != NULL && *line != '\0';) {
        int every = 1;
        if (sscanf(line, "%15s %d %255s %d", name, &number, needle, &every) >= 3 && strcmp(name, call) == 0 &&
            strstr(named, needle) != NULL && in_turn(every))
            found = number;
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return found;
}

/* The errno that this call shall fail with, or 0. `link` leads to what is named. */
static int fault_at(const char *call, const char *link)
{
    char text[1024], path[4096];
    int kept = errno, found = 0;
    if (read_control(text, sizeof text)) {
        ssize_t bytes = readlink(link, path, sizeof path - 1);
        path[bytes > 0 ? bytes : 0] = '\0';
        found = number_for(call, path, text);
    }
    errno = found != 0 ? found : kept;
    return found;
}

static int fault_of(const char *call, int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return fault_at(call, link);
}

static int fault_named(const char *call, const char *named)
{
    char text[1024];
    int kept = errno, found = read_control(text, sizeof text) ? number_for(call, named, text) : 0;
    errno = found != 0 ? found : kept;
    return found;
}

static int fault_here(const char *call)
{
    char title[128] = "";
    int kept = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        syscall(SYS_read, fd, title, sizeof title - 1);
        syscall(SYS_close, fd);
    }
    errno = kept;
    return fault_named(call, title);
}

static size_t cut(int fd, size_t bytes)
{
    int kept = errno, most = fault_of("short", fd);
    errno = kept;
    return most > 0 && (size_t)most < bytes ? (size_t)most : bytes;
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at)
{
    return fault_of("pwrite", fd) != 0 ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, from, cut(fd, bytes), at);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
    return pwrite64(fd, from, bytes, at);
}

ssize_t write(int fd, const void *from, size_t bytes)
{
    return fault_of("write", fd) != 0 ? -1 : (ssize_t)syscall(SYS_write, fd, from, cut(fd, bytes));
}

ssize_t read(int fd, void *to, size_t bytes)
{
    return fault_of("read", fd) != 0 ? -1 : (ssize_t)syscall(SYS_read, fd, to, cut(fd, bytes));
}

ssize_t pread64(int fd, void *to, size_t bytes, off_t at)
{
    return fault_of("pread", fd) != 0 ? -1 : (ssize_t)syscall(SYS_pread64, fd, to, cut(fd, bytes), at);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t at)
{
    return pread64(fd, to, bytes, at);
}

ssize_t send(int fd, const void *from, size_t bytes, int flags)
{
    return fault_of("send", fd) != 0 ? -1
                                     : (ssize_t)syscall(SYS_sendto, fd, from, cut(fd, bytes), flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr first = *message;
    struct iovec piece;
    if (fault_of("sendmsg", fd) != 0)
        return -1;
    if (message->msg_iovlen > 0 && cut(fd, SIZE_MAX) != SIZE_MAX) {
        piece = (struct iovec){message->msg_iov[0].iov_base, cut(fd, message->msg_iov[0].iov_len)};
        first.msg_iov = &piece;
        first.msg_iovlen = 1;
    }
    return (ssize_t)syscall(SYS_sendmsg, fd, &first, flags);
}

ssize_t recv(int fd, void *to, size_t bytes, int flags)
{
    return fault_of("recv", fd) != 0
               ? -1
               : (ssize_t)syscall(SYS_recvfrom, fd, to, cut(fd, bytes), flags, NULL, NULL);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return fault_named("open", path) != 0 ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return open64(path, flags, mode);
}

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && fault_of("mmap", fd) != 0)
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return mmap64(at, bytes, protection, flags, fd, offset);
}

pid_t fork(void)
{
    static pid_t (*real_fork)(void);
    if (real_fork == NULL)
        *(void **)&real_fork = dlsym(RTLD_NEXT, "fork");
    return fault_here("fork") != 0 ? -1 : real_fork();
}

/* Nothing that has a frame of its own can pass a vfork on; to whoever only calls exec a fork is the same. */
pid_t vfork(void)
{
    return fault_here("vfork") != 0 ? -1 : fork();
}

int pipe2(int ends[2], int flags)
{
    return fault_here("pipe") != 0 ? -1 : (int)syscall(SYS_pipe2, ends, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    return fault_here("accept") != 0 ? -1 : (int)syscall(SYS_accept4, fd, address, bytes, flags);
}

int memfd_create(const char *name, unsigned flags)
{
    return fault_here("memfd") != 0 ? -1 : (int)syscall(SYS_memfd_create, name, flags);
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
