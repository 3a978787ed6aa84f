/* What each attempt of the walk's tasks leaves behind, outside of all that may die: lines in a file that is
 * only appended to, and a lock on a file of its job for as long as it runs. A lock that another attempt holds
 * already is an overlap.
 *
 *     ID ATTEMPT begin|overlap|end NONCE
 *
 * Arguments: {"ms": how long it runs, "once": only the first time that the job runs, "gate": only until
 * the walk opens the gate of that number (plugin), "fail": so many attempts
 * fail, "crash": so many crash (plugin), "bytes": padding of the result, "deaf": does not stop when asked
 * to}.
 */
#ifndef FORKPOOL_TESTS_LEDGER_H
#define FORKPOOL_TESTS_LEDGER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

struct ledger {
    const char *id;
    unsigned attempt;
    char nonce[64];
    int lock;
    bool again; /* the job has begun before */
};

static inline void ledger_write(const struct ledger *ledger, const char *what)
{
    char line[256];
    const char *path = getenv("CRASH_LEDGER");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int bytes =
        snprintf(line, sizeof line, "%s %u %s %s\n", ledger->id, ledger->attempt, what, ledger->nonce);
    if (fd < 0 || write(fd, line, (size_t)bytes) != bytes)
        abort();
    close(fd);
}

static inline void ledger_begin(struct ledger *ledger)
{
    char path[4096];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(ledger->nonce, sizeof ledger->nonce, "%d-%ld.%09ld", (int)getpid(), (long)now.tv_sec,
             now.tv_nsec);
    snprintf(path, sizeof path, "%s.%s", getenv("CRASH_LEDGER"), ledger->id);
    ledger->again = access(path, F_OK) == 0;
    ledger->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ledger->lock < 0)
        abort();
    ledger_write(ledger, flock(ledger->lock, LOCK_EX | LOCK_NB) == 0 ? "begin" : "overlap");
}

/* {"nonce":"…","attempt":1,"inputs":0,"pad":"…"}; owned by the caller. */
static inline char *ledger_end(struct ledger *ledger, size_t inputs, size_t pad)
{
    char *result = malloc(256 + pad);
    if (result == NULL)
        abort();
    int bytes = sprintf(result, "{\"nonce\":\"%s\",\"attempt\":%u,\"inputs\":%zu,\"pad\":\"", ledger->nonce,
                        ledger->attempt, inputs);
    memset(result + bytes, 'x', pad);
    strcpy(result + bytes + pad, "\"}");
    ledger_write(ledger, "end");
    close(ledger->lock);
    return result;
}

static inline bool ledger_gate_open(int gate)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.gate%d", getenv("CRASH_LEDGER"), gate);
    return access(path, F_OK) == 0;
}

static inline void ledger_sleep_ms(double ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)((long)ms % 1000 * 1000000L)};
    while (nanosleep(&time, &time) != 0)
        ;
}

#endif
