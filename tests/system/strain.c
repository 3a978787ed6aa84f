/* Preloaded into a server under test: allocations that fail, and a clock that jumps, as a shared file says.
 *
 * FORKPOOL_TEST_STRAIN names the file, of one struct control; tests/system/strain.py writes it. While it is
 * armed, the allocations of processes whose title begins with `role` ("" means all of them, also before they
 * have one) count `countdown` down; the one that makes it 0 fails, and `burst` - 1 after it. Every process
 * sees the real time shifted by `shift_ms`; monotonic clocks are as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct control {
    _Atomic uint32_t armed, burst;
    _Atomic int64_t countdown, struck, shift_ms;
    char role[16];
};

/* glibc's own, under the names by which replacements find them. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

EXPORT void *malloc(size_t bytes);
EXPORT void *calloc(size_t count, size_t bytes);
EXPORT void *realloc(void *old, size_t bytes);
EXPORT int clock_gettime(clockid_t clock, struct timespec *now);

static struct control *control;

__attribute__((constructor)) static void find_control(void)
{
    const char *path = getenv("FORKPOOL_TEST_STRAIN");
    int fd = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    control = at == MAP_FAILED ? NULL : at;
}

/* Titles change after a fork, so it is read each time. */
static bool is_meant(void)
{
    static const char PREFIX[] = "forkpool: ";
    char title[64] = "";
    if (control->role[0] == '\0')
        return true;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    syscall(SYS_read, fd, title, sizeof title - 1);
    syscall(SYS_close, fd);
    return strncmp(title, PREFIX, sizeof PREFIX - 1) == 0 &&
           strncmp(title + sizeof PREFIX - 1, control->role, strlen(control->role)) == 0;
}

static bool fails(void)
{
    int kept = errno;
    if (control == NULL || atomic_load(&control->armed) == 0)
        return false;
    bool meant = is_meant();
    errno = kept;
    if (!meant)
        return false;
    int64_t left = atomic_fetch_sub(&control->countdown, 1) - 1;
    if (left > 0 || left <= -(int64_t)atomic_load(&control->burst))
        return false;
    atomic_fetch_add(&control->struck, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(old, bytes);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long code = syscall(SYS_clock_gettime, clock, now);
    if (code == 0 && clock == CLOCK_REALTIME && control != NULL) {
        int64_t ms = atomic_load(&control->shift_ms);
        int64_t ns = now->tv_nsec + ms % 1000 * 1000000;
        now->tv_sec += (time_t)(ms / 1000) + (ns < 0 ? -1 : ns >= 1000000000 ? 1 : 0);
        now->tv_nsec = (long)(ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000 : ns);
    }
    return (int)code;
}
