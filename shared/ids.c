#include "ids.h"

#include "check.h"
#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

enum { COUNTER_BITS = 12, KEY_BITS = 60 };

static const int64_t RANDOM_MASK = (INT64_C(1) << 62) - 1;

/* The key of the last id made, or raised past. Relaxed throughout: it publishes nothing but itself, and all
 * threads see the changes of one atomic in one order. */
static _Atomic int64_t last_key;

/* Random bytes for 64 ids at a time, one batch a thread. A child of fork inherits what its parent had left
 * and must not use it: the handler cannot reach every thread's batch, but it makes them all old. */
struct batch {
    unsigned char bytes[512];
    size_t used;
    unsigned generation; /* 0: never filled */
};

static _Thread_local struct batch batch;
static _Atomic unsigned generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void after_fork(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed); /* the child has one thread */
}

static void watch_forks(void)
{
    CHECK(pthread_atfork(NULL, NULL, after_fork) == 0);
}

static void fill_batch(void)
{
    CHECK(pthread_once(&once, watch_forks) == 0); /* before the first batch there is nothing to inherit */
    batch.generation = atomic_load_explicit(&generation, memory_order_relaxed);
    for (size_t filled = 0; filled < sizeof batch.bytes;) {
        ssize_t got = getrandom(batch.bytes + filled, sizeof batch.bytes - filled, 0);
        CHECK(got > 0 || errno == EINTR); /* without random bytes ids could be guessed: no way to go on */
        filled += got > 0 ? (size_t)got : 0;
    }
    batch.used = 0;
}

static int64_t take_random(void)
{
    int64_t value;
    if (batch.generation != atomic_load_explicit(&generation, memory_order_relaxed) ||
        batch.used + sizeof value > sizeof batch.bytes)
        fill_batch();
    memcpy(&value, batch.bytes + batch.used, sizeof value);
    batch.used += sizeof value;
    return value & RANDOM_MASK;
}

static void put_big_endian(uint8_t *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (uint8_t)value;
}

static uint64_t get_big_endian(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | from[i];
    return value;
}

struct id id_new(void)
{
    int64_t now = clock_real_ms() << COUNTER_BITS, key;
    int64_t last = atomic_load_explicit(&last_key, memory_order_relaxed);
    do {
        key = now > last
                  ? now
                  : last + 1; /* a full counter, or a clock set back, borrows from the next millisecond */
    } while (!atomic_compare_exchange_weak_explicit(&last_key, &last, key, memory_order_relaxed,
                                                    memory_order_relaxed));
    return id_join(key, take_random());
}

void id_raise(int64_t key)
{
    int64_t last = atomic_load_explicit(&last_key, memory_order_relaxed);
    while (last < key && !atomic_compare_exchange_weak_explicit(&last_key, &last, key, memory_order_relaxed,
                                                                memory_order_relaxed)) {
    }
}

void id_format(struct id id, char text[ID_TEXT_BYTES])
{
    uuid_unparse_lower(id.bytes, text);
}

enum err id_parse(const char *text, struct id *id)
{
    struct id read;
    if (uuid_parse(text, read.bytes) != 0 || read.bytes[6] >> 4 != 7 || read.bytes[8] >> 6 != 2)
        return ERR_UNKNOWN_JOB;
    *id = read;
    return ERR_OK;
}

int64_t id_key(struct id id)
{
    uint64_t high = get_big_endian(id.bytes);
    return (int64_t)(high >> 16 << COUNTER_BITS | (high & 0xfff));
}

int64_t id_random(struct id id)
{
    return (int64_t)get_big_endian(id.bytes + 8) & RANDOM_MASK;
}

struct id id_join(int64_t key, int64_t random)
{
    CHECK(key >= 0 && key >> KEY_BITS == 0 && random >= 0 && random <= RANDOM_MASK);
    struct id id;
    put_big_endian(id.bytes, (uint64_t)key >> COUNTER_BITS << 16 | 0x7000 | ((uint64_t)key & 0xfff));
    put_big_endian(id.bytes + 8, (uint64_t)random | UINT64_C(1) << 63);
    return id;
}

bool id_equal(struct id a, struct id b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

bool id_is_none(struct id id)
{
    static const struct id none;
    return id_equal(id, none);
}

struct id id_fingerprint(const void *data, size_t bytes)
{
    /* Any fixed namespace will do, so long as it is ours and never changes: fingerprints are stored. */
    static const uuid_t NAMESPACE = {0x6f, 0x72, 0x6b, 0x70, 0x6f, 0x6f, 0x4c, 0x01,
                                     0x9a, 0x3e, 0x51, 0x07, 0xc4, 0x2d, 0x88, 0xe1};
    struct id id;
    uuid_generate_sha1(id.bytes, NAMESPACE, data, bytes);
    return id;
}
