/* What a job of `forkpool torture` does, whatever its task kind, and the ledger that it writes.
 *
 * One attempt: it takes the lock of its job (and of its uniqueness key), writes `start`, works, writes `end`
 * with a nonce, and returns that nonce. A lock that is taken is written as `overlap` or `clash`: somebody
 * else runs this job, or a job with this key, at this moment. Locks are flocks on files named by the id, held
 * by an open file description that children inherit; the kernel gives them up with the last of them.
 *
 * Uses nothing but libc, so that a plugin may be built with it (tests/crash/plugin.c). One attempt at a time
 * in a process.
 *
 * The folder has `ledger`, written by all attempts, and `locks/`. A record is one write to a file that is
 * open for appending, so their order is the order of what happened. It begins with a line break as well, and
 * ends with a full stop: one that a kill has torn spoils no other, and is seen to be torn.
 */
#ifndef FORKPOOL_TORTURE_ATTEMPT_H
#define FORKPOOL_TORTURE_ATTEMPT_H

#include <stddef.h>
#include <stdint.h>

#define TORTURE_FOLDER "TORTURE_FOLDER" /* the environment variable that names the folder */

enum { NONCE_BYTES = 17, ORDER_BYTES = 96 };

/* The arguments of a job: a JSON string of these numbers. */
struct torture_order {
    unsigned number;   /* of the request, in the client's log */
    unsigned work_ms;  /* how long it works */
    unsigned fails;    /* so many attempts say "try again" */
    unsigned hopeless; /* 1: it says "failed for good" */
    unsigned heir_ms;  /* it leaves a child behind that would live so long; commands only */
    unsigned unique;   /* the number of its uniqueness key, 0: none */
};

int torture_order_write(const struct torture_order *order, char text[ORDER_BYTES]);

enum torture_end { TORTURE_DONE, TORTURE_AGAIN, TORTURE_HOPELESS };

struct torture_attempt {
    const char *id, *args; /* args: JSON text, NUL-terminated */
    unsigned attempt;
    int worker;                  /* pid */
    int (*stop)(void *argument); /* NULL: nobody asks */
    void *argument;              /* for stop */
    char nonce[NONCE_BYTES];     /* set when it is done */
};

/* folder NULL, unknown arguments and files that cannot be opened are TORTURE_HOPELESS, with a line on
 * standard error. */
enum torture_end torture_attempt_run(const char *folder, struct torture_attempt *attempt);

#endif
