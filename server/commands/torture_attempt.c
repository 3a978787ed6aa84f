#include "torture_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 4200, RECORD_BYTES = 256, SLICE_MS = 10 };

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
    int ledger, job, unique;
};

static void let_go(struct hold *hold)
{
    int *all[] = {&hold->ledger, &hold->job, &hold->unique};
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

/* 1: locked; 0: somebody else has it; -1: it cannot be opened. */
static int take_lock(const char *folder, const char *name, int *fd)
{
    char path[FILE_BYTES];
    snprintf(path, sizeof path, "%s/locks/%s", folder, name);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return -1;
    return flock(*fd, LOCK_EX | LOCK_NB) == 0;
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

/* The locks it needs; as take_lock. */
static int take_locks(const char *folder, struct hold *hold, const struct torture_attempt *attempt,
                      const struct torture_order *order)
{
    char key[32];
    int taken = take_lock(folder, attempt->id, &hold->job);
    if (taken == 0)
        (void)!record(hold, "overlap", attempt, order, "-");
    if (taken != 1 || order->unique == 0)
        return taken;
    snprintf(key, sizeof key, "unique-%u", order->unique);
    taken = take_lock(folder, key, &hold->unique);
    if (taken == 0)
        (void)!record(hold, "clash", attempt, order, "-");
    return taken;
}

/* order NULL: the arguments are not whole. */
static enum torture_end run_held(const char *folder, struct hold *hold, struct torture_attempt *attempt,
                                 const struct torture_order *order)
{
    static const struct torture_order NONE = {.number = 0};
    char path[FILE_BYTES];
    snprintf(path, sizeof path, "%s/ledger", folder);
    hold->ledger = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (hold->ledger < 0)
        return complain(path);
    if (order == NULL) {
        (void)!record(hold, "garbled", attempt, &NONE, "-");
        errno = EINVAL;
        return complain("its arguments are not whole");
    }
    int taken = take_locks(folder, hold, attempt, order);
    if (taken < 0)
        return complain("a lock cannot be opened");
    return taken == 0 ? TORTURE_AGAIN : run_locked(hold, attempt, order);
}

enum torture_end torture_attempt_run(const char *folder, struct torture_attempt *attempt)
{
    struct torture_order order = {.number = 0};
    struct hold hold = {-1, -1, -1};
    errno = EINVAL;
    if (folder == NULL || attempt->id == NULL)
        return complain("not started by forkpool torture");
    int whole = read_order(attempt->args, &order);
    enum torture_end end = run_held(folder, &hold, attempt, whole ? &order : NULL);
    let_go(&hold);
    return end;
}
