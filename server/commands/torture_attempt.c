#include "torture_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 4200, RECORD_BYTES = 256, SLICE_MS = 10 };

/* In the file of locks: bytes of jobs, and from here on those of uniqueness keys. */
static const off_t KEYS_AT = (off_t)1 << 62;

static void put_padding(char *at, unsigned padding)
{
    memset(at, 'x', padding);
    strcpy(at + padding, "\"");
}

void torture_order_write(const struct torture_order *order, char text[ORDER_BYTES])
{
    int bytes = snprintf(text, ORDER_BYTES, "\"%u %u %u %u %u %u %u ", order->number, order->work_ms,
                         order->fails, order->hopeless, order->heir_ms, order->unique, order->padding);
    put_padding(text + bytes, order->padding);
}

void torture_result_write(const struct torture_attempt *attempt, char text[ORDER_BYTES])
{
    int bytes = snprintf(text, ORDER_BYTES, "\"%s", attempt->nonce);
    put_padding(text + bytes, attempt->padding);
}

/* Also whether the padding is whole. */
static int read_order(const char *text, struct torture_order *order)
{
    int bytes = 0;
    if (sscanf(text, "\"%u %u %u %u %u %u %u %n", &order->number, &order->work_ms, &order->fails,
               &order->hopeless, &order->heir_ms, &order->unique, &order->padding, &bytes) != 7)
        return 0;
    return bytes > 0 && order->padding <= PADDING_MAX && strspn(text + bytes, "x") == order->padding &&
           text[(size_t)bytes + order->padding] == '"';
}

static enum torture_end complain(const char *what)
{
    fprintf(stderr, "torture: %s: %s\n", what, strerror(errno));
    return TORTURE_HOPELESS;
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void make_nonce(char nonce[NONCE_BYTES])
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (unsigned long long)now_ns() * 0x9e3779b97f4a7c15u ^ (unsigned long long)getpid();
    snprintf(nonce, NONCE_BYTES, "%016llx", number);
}

/* Descriptors of one attempt; -1: not open. */
struct hold {
    int ledger, locks;
};

static void let_go(struct hold *hold)
{
    int *all[] = {&hold->ledger, &hold->locks};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (*all[i] >= 0)
            close(*all[i]);
}

static int record(const struct hold *hold, const char *what, const struct torture_attempt *attempt,
                  const struct torture_order *order, const char *nonce)
{
    char text[RECORD_BYTES];
    int bytes = snprintf(text, sizeof text, "\n%s %s %u %u %s %d %d %lld .\n", what, attempt->id,
                         order->number, attempt->attempt, nonce, (int)getpid(), attempt->worker, now_ns());
    return write(hold->ledger, text, (size_t)bytes) == bytes;
}

/* The byte of a job: FNV-1a of its id, and a second mixing so that all bits count. The same id is always the
 * same byte, so no overlap is missed; that two ids share one has a chance of 1 in 2^62. */
static off_t byte_of(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *at = id; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
    return (off_t)((hash ^ (hash >> 32)) % (uint64_t)KEYS_AT);
}

/* False: somebody else has it. */
static int take_byte(int fd, off_t at)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* True once it was asked to stop. */
static int work(const struct torture_attempt *attempt, unsigned ms)
{
    long long end = now_ns() + ms * 1000000LL, left;
    while ((left = end - now_ns()) > 0) {
        if (ms < DEAF_MS && attempt->stop != NULL && attempt->stop(attempt->argument))
            return 1;
        long long slice = left < SLICE_MS * 1000000LL ? left : SLICE_MS * 1000000LL;
        nanosleep(&(struct timespec){.tv_nsec = slice}, NULL);
    }
    return 0;
}

/* A child that outlives us, with our locks, unless somebody sees to it. */
static void leave_heir(unsigned ms)
{
    if (ms == 0 || fork() != 0)
        return;
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
    _exit(0);
}

/* Says how it ended, in the ledger too: a worker whose last record is a start was killed in it. */
static enum torture_end finish(const struct hold *hold, const struct torture_attempt *attempt,
                               const struct torture_order *order, enum torture_end end)
{
    if (!record(hold, end == TORTURE_DONE ? "end" : "fail", attempt, order, attempt->nonce))
        return complain("the ledger cannot be written");
    return end;
}

static enum torture_end run_locked(const struct hold *hold, struct torture_attempt *attempt,
                                   const struct torture_order *order)
{
    make_nonce(attempt->nonce);
    attempt->padding = order->padding;
    if (!record(hold, "start", attempt, order, attempt->nonce))
        return complain("the ledger cannot be written");
    leave_heir(order->heir_ms);
    if (work(attempt, order->work_ms) || attempt->attempt <= order->fails)
        return finish(hold, attempt, order, TORTURE_AGAIN);
    return finish(hold, attempt, order, order->hopeless ? TORTURE_HOPELESS : TORTURE_DONE);
}

/* False: somebody else has one of them; that is in the ledger then. */
static int take_locks(const struct hold *hold, const struct torture_attempt *attempt,
                      const struct torture_order *order)
{
    const char *fault = !take_byte(hold->locks, byte_of(attempt->id))                           ? "overlap"
                        : order->unique > 0 && !take_byte(hold->locks, KEYS_AT + order->unique) ? "clash"
                                                                                                : NULL;
    if (fault != NULL)
        (void)!record(hold, fault, attempt, order, "-");
    return fault == NULL;
}

/* Of the folder; -1: said why. */
static int open_file(const char *folder, const char *name, int flags)
{
    char path[FILE_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        complain(path);
    return fd;
}

/* order NULL: the arguments are not whole. */
static enum torture_end run_held(const char *folder, struct hold *hold, struct torture_attempt *attempt,
                                 const struct torture_order *order)
{
    static const struct torture_order NONE = {.number = 0};
    hold->ledger = open_file(folder, "ledger", O_WRONLY | O_APPEND);
    hold->locks = open_file(folder, "locks", O_RDWR);
    if (hold->ledger < 0 || hold->locks < 0)
        return TORTURE_HOPELESS;
    if (order == NULL) {
        (void)!record(hold, "garbled", attempt, &NONE, "-");
        errno = EINVAL;
        return complain("its arguments are not whole");
    }
    return take_locks(hold, attempt, order) ? run_locked(hold, attempt, order) : TORTURE_AGAIN;
}

enum torture_end torture_attempt_run(const char *folder, struct torture_attempt *attempt)
{
    struct torture_order order = {.number = 0};
    struct hold hold = {-1, -1};
    errno = EINVAL;
    if (folder == NULL || attempt->id == NULL)
        return complain("not started by forkpool torture");
    int whole = read_order(attempt->args, &order);
    enum torture_end end = run_held(folder, &hold, attempt, whole ? &order : NULL);
    let_go(&hold);
    return end;
}
