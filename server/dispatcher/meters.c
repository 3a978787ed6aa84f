#include "meters.h"

#include "clock.h"
#include "log.h"
#include "paths.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PROBES = 16 };

enum err meters_open(const char *state_dir, struct meters *meters)
{
    char path[PATH_BYTES];
    size_t bytes = METERS_MOST * sizeof *meters->entries;
    meters->entries = NULL;
    if (snprintf(path, sizeof path, "%s/" METERS_FILE, state_dir) >= (int)sizeof path)
        return ERR_SYSTEM;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0) { /* a hole would be a SIGBUS on a full disk */
        log_errno("posix_fallocate", path);
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) {
        log_errno("mmap", path);
        return ERR_SYSTEM;
    }
    meters->entries = mapped;
    return ERR_OK;
}

void meters_close(struct meters *meters)
{
    if (meters->entries != NULL)
        munmap(meters->entries, METERS_MOST * sizeof *meters->entries);
    meters->entries = NULL;
}

/* From monotonic to real time, now. */
static int64_t shift_ns(void)
{
    return clock_real_ms() * NS_PER_MS - clock_mono_ns();
}

static struct meter *probe(const struct meters *meters, uint64_t gate, uint64_t step)
{
    return &meters->entries[(gate + step) % METERS_MOST];
}

int64_t meters_read(const struct meters *meters, uint64_t gate)
{
    for (uint64_t step = 0; step < PROBES; step++) {
        const struct meter *meter = probe(meters, gate, step);
        if (meter->gate == gate && meter->tat_ns > clock_real_ms() * NS_PER_MS)
            return meter->tat_ns - shift_ns();
    }
    return 0;
}

/* The gate's own place, else the one that is worth least. */
void meters_write(struct meters *meters, uint64_t gate, int64_t tat_ns)
{
    struct meter *place = probe(meters, gate, 0);
    for (uint64_t step = 0; step < PROBES; step++) {
        struct meter *meter = probe(meters, gate, step);
        if (meter->gate == gate) {
            place = meter;
            break;
        }
        if (meter->tat_ns < place->tat_ns)
            place = meter;
    }
    *place = (struct meter){.gate = gate, .tat_ns = tat_ns + shift_ns()};
}
