#include "segment.h"

#include "catalogue.h"
#include "check.h"
#include "clock.h"
#include "job.h"
#include "log.h"
#include "ring.h"
#include "scoreboard.h"
#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct slot) % CACHE_LINE == 0, "slots do not share cache lines");
_Static_assert(sizeof(struct board) % CACHE_LINE == 0, "boards do not share cache lines");
_Static_assert(sizeof(struct ring) % CACHE_LINE == 0, "rings do not share cache lines");
_Static_assert(SLOTS_MAX <= UINT32_MAX && WORKERS_MAX <= 0xfff, "slots and workers fit their fields");

enum { PAGE = 4096 };

static uint64_t place(uint64_t *end, uint64_t bytes)
{
    uint64_t at = *end;
    *end = (at + bytes + PAGE - 1) / PAGE * PAGE;
    return at;
}

static struct segment_header lay_out(const struct segment_shape *shape)
{
    struct segment_header header = {.magic = SEGMENT_MAGIC,
                                    .version = SEGMENT_VERSION,
                                    .header_bytes = sizeof(struct segment_header),
                                    .shape = *shape};
    uint64_t end = 0;
    place(&end, sizeof(struct segment_header));
    header.scoreboard_at = place(&end, sizeof(struct board) * shape->worker_count);
    header.slots_at = place(&end, sizeof(struct slot) * shape->slot_count);
    header.rings_at = place(&end, sizeof(struct ring) * shape->pool_count * PRIORITY_COUNT);
    header.catalogue_at = place(&end, sizeof(struct catalogue) * 2);
    header.arena_at = place(&end, shape->arena_bytes);
    header.trays_at = place(&end, shape->tray_bytes * shape->worker_count);
    header.bytes = end;
    return header;
}

static enum err map_sealed(uint64_t bytes, int *fd, void **base)
{
    *fd = memfd_create("forkpool-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) {
        log_errno("memfd_create", "segment");
        return ERR_SYSTEM;
    }
    if (ftruncate(*fd, (off_t)bytes) < 0 ||
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        log_errno("ftruncate", "segment");
        close(*fd);
        return ERR_SYSTEM;
    }
    *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
    if (*base == MAP_FAILED) {
        log_errno("mmap", "segment");
        close(*fd);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

static void check_pools(const struct segment_shape *shape)
{
    uint32_t end = 0;
    CHECK(shape->pool_count <= POOLS_MAX);
    for (uint32_t pool = 0; pool < shape->pool_count; pool++) {
        CHECK(shape->pools[pool].first == end && shape->pools[pool].count > 0);
        end += shape->pools[pool].count;
    }
    CHECK(end == shape->worker_count);
}

static void init_semaphores(const struct segment *segment)
{
    CHECK(sem_init(&segment->header->done, 1, 0) == 0);
    for (uint32_t pool = 0; pool < segment->shape.pool_count; pool++)
        CHECK(sem_init(&segment->header->work[pool], 1, 0) == 0);
    for (uint32_t worker = 0; worker < segment->shape.worker_count; worker++)
        CHECK(sem_init(&segment->boards[worker].go, 1, 0) == 0);
}

enum err segment_create(const struct segment_shape *wanted, struct segment *segment)
{
    struct segment_shape shape = *wanted;
    CHECK(shape.slot_count <= SLOTS_MAX && shape.worker_count > 0 && shape.worker_count <= WORKERS_MAX);
    if (shape.pool_count == 0) {
        shape.pool_count = 1;
        shape.pools[0] = (struct segment_pool){.count = shape.worker_count, .name = "default"};
    }
    check_pools(&shape);
    struct segment_header header = lay_out(&shape);
    void *mapped;
    int fd;
    enum err err = map_sealed(header.bytes, &fd, &mapped);
    if (err != ERR_OK)
        return err;
    uint8_t *base = mapped;
    memcpy(base, &header, sizeof header);
    *segment = (struct segment){.header = mapped,
                                .boards = (struct board *)(void *)(base + header.scoreboard_at),
                                .slots = (struct slot *)(void *)(base + header.slots_at),
                                .rings = (struct ring *)(void *)(base + header.rings_at),
                                .catalogues = (struct catalogue *)(void *)(base + header.catalogue_at),
                                .arena = base + header.arena_at,
                                .trays = base + header.trays_at,
                                .shape = shape,
                                .fd = fd};
    init_semaphores(segment);
    return ERR_OK; /* a fresh memfd is zero: every slot FREE, every ring empty, every run word IDLE */
}

void segment_close(struct segment *segment)
{
    if (segment->header == NULL)
        return;
    munmap(segment->header, lay_out(&segment->shape).bytes);
    close(segment->fd);
    *segment = (struct segment){.fd = -1};
}

enum err segment_verify(const struct segment *segment)
{
    struct segment_header wanted = lay_out(&segment->shape);
    const struct segment_header *found = segment->header;
    size_t constant = offsetof(struct segment_header, trays_at) + sizeof wanted.trays_at;
    return memcmp(found, &wanted, constant) == 0 ? ERR_OK : ERR_CORRUPT;
}

struct ring *segment_ring(const struct segment *segment, uint32_t pool, uint32_t level)
{
    CHECK(pool < segment->shape.pool_count && level < PRIORITY_COUNT);
    return &segment->rings[pool * PRIORITY_COUNT + level];
}

uint32_t segment_pool_of(const struct segment *segment, uint32_t worker)
{
    CHECK(worker < segment->shape.worker_count);
    uint32_t pool = 0;
    while (worker >= segment->shape.pools[pool].first + segment->shape.pools[pool].count)
        pool++;
    return pool;
}

uint8_t *segment_tray(const struct segment *segment, uint32_t worker)
{
    CHECK(worker < segment->shape.worker_count);
    return segment->trays + segment->shape.tray_bytes * worker;
}

void sem_hint(sem_t *sem)
{
    if (sem_post(sem) != 0)
        CHECK(errno == EOVERFLOW);
}

void sem_hint_wait(sem_t *sem, int64_t timeout_ms)
{
    int64_t until = clock_mono_ns() + timeout_ms * NS_PER_MS;
    struct timespec end = {.tv_sec = (time_t)(until / NS_PER_SEC), .tv_nsec = (long)(until % NS_PER_SEC)};
    if (sem_clockwait(sem, CLOCK_MONOTONIC, &end) != 0)
        CHECK(errno == ETIMEDOUT || errno == EINTR);
}

void sem_hint_drain(sem_t *sem)
{
    while (sem_trywait(sem) == 0)
        ;
}
