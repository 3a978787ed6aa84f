#include "crash_point.h"

#ifdef FORKPOOL_CRASH_POINTS

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum crash_process process;
} TABLE[CRASH_POINT_COUNT] = {
#define P(name, process, row, text) {#name, CRASH_##process},
#define C(name, text)               {#name "_BEFORE", CRASH_FRONT}, {#name "_AFTER", CRASH_FRONT},
    CRASH_POINTS(P) CRASH_CALLS(C)
#undef P
#undef C
};

static _Atomic uint64_t *hits; /* [CRASH_POINT_COUNT], shared by all lives; NULL: nothing is counted */
static enum crash_process here;
static int wanted = -1; /* the point at which to die */
static uint64_t wanted_hit;

static void map_hits(const char *path)
{
    size_t bytes = CRASH_POINT_COUNT * sizeof *hits;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mapped != MAP_FAILED);
    close(fd);
    hits = mapped;
}

/* NAME:N */
static void read_wanted(const char *text)
{
    size_t bytes = strcspn(text, ":");
    for (int i = 0; i < CRASH_POINT_COUNT; i++)
        if (strlen(TABLE[i].name) == bytes && strncmp(TABLE[i].name, text, bytes) == 0)
            wanted = i;
    CHECK(wanted >= 0 && text[bytes] == ':');
    wanted_hit = strtoull(text + bytes + 1, NULL, 10);
    CHECK(wanted_hit > 0);
}

void crash_process(enum crash_process process)
{
    const char *path = getenv("FORKPOOL_TEST_CRASH_FILE"), *text = getenv("FORKPOOL_TEST_CRASH");
    here = process;
    if (hits != NULL || path == NULL)
        return;
    map_hits(path);
    if (text != NULL && text[0] != '\0')
        read_wanted(text);
}

void crash_point(enum crash_point point)
{
    if (hits == NULL || TABLE[point].process != here)
        return;
    uint64_t hit = atomic_fetch_add_explicit(&hits[point], 1, memory_order_relaxed) + 1;
    if ((int)point != wanted || hit != wanted_hit)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause(); /* not one instruction more of this thread */
}

int crash_passing(int returned, enum crash_point point)
{
    crash_point(point);
    return returned;
}

void crash_copy(enum crash_point point, void *to, const void *from, size_t bytes)
{
    size_t half = bytes / 2;
    memcpy(to, from, half);
    crash_point(point);
    memcpy((char *)to + half, (const char *)from + half, bytes - half);
}

#endif
