/* The job of tests/crash/peers/run as forkpool runs it: a line in the ledger at its start and at its end, and
 * time in between. Arguments: {"n":JOB,"ms":HOW LONG}, in just this form. */
#include "forkpool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void note(int ledger, const char *what, long job, unsigned attempt, const char *nonce)
{
    char line[160];
    int bytes = snprintf(line, sizeof line, "%s %ld %u %s %d %lld\n", what, job, attempt, nonce,
                         (int)getpid(), now_ns());
    if (write(ledger, line, (size_t)bytes) != bytes)
        abort();
}

static int run(struct fp_job *job)
{
    char args[64], nonce[48], result[80];
    long number, ms;
    size_t bytes;
    const char *text = fp_args(job, &bytes);
    snprintf(args, sizeof args, "%.*s", (int)bytes, text);
    if (sscanf(args, "{\"n\":%ld,\"ms\":%ld}", &number, &ms) != 2)
        return fp_fail(job, "bad_args", "arguments are {\"n\":JOB,\"ms\":HOW LONG}");
    int ledger = open(getenv("PEERS_LEDGER"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (ledger < 0)
        return fp_fail(job, "no_ledger", "the ledger of PEERS_LEDGER cannot be opened");
    snprintf(nonce, sizeof nonce, "%d-%lld", (int)getpid(), now_ns());
    note(ledger, "start", number, job->attempt, nonce);
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0)
        ;
    note(ledger, "end", number, job->attempt, nonce);
    close(ledger);
    snprintf(result, sizeof result, "{\"nonce\":\"%s\"}", nonce);
    return fp_result(job, result, strlen(result));
}

FP_PLUGIN({.name = "peer_job", .run = run, .description = "a job of tests/crash/peers/run"});
