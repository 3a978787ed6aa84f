/* What a job of `forkpool torture` does, whatever its task kind, and the ledger that it writes.
 *
 * One attempt: it takes the lock of its job (and of its uniqueness key), writes `start`, works, writes `end`
 * with a nonce, and returns that nonce. A lock that is taken is written as `overlap` or `clash`: somebody
 * else runs this job, or a job with this key, at this moment. `fail` is an attempt that was to fail. A lock
 * is one byte of a file, found by the id or the key and held by an open file description that children
 * inherit; the kernel gives it up with the last of them.
 *
 * Uses nothing but libc, so that a plugin may be built with it (tests/crash/plugin.c). One attempt at a time
 * in a process.
 *
 * The folder has `ledger`, written by all attempts, and `locks`, which stays empty. A record is one write to
 * a file that is open for appending, so their order is the order of what happened. It begins with a line
 * break as well, and ends with a full stop: one that a kill has torn spoils no other, and is seen to be torn.
 */
#ifndef FORKPOOL_TORTURE_ATTEMPT_H
#define FORKPOOL_TORTURE_ATTEMPT_H

#include <stddef.h>
#include <stdint.h>

#define TORTURE_FOLDER "TORTURE_FOLDER" /* the environment variable that names the folder */

enum { NONCE_BYTES = 17, PADDING_MAX = 8000, ORDER_BYTES = PADDING_MAX + 128, DEAF_MS = 3000 };

/* The arguments of a job: a JSON string of these numbers and of as many "x" as the last one says, so that one
 * that is torn is seen. Results are the nonce with as many. */
struct torture_order {
    unsigned number;   /* of the request, in the client's log */
    unsigned work_ms;  /* how long it works; from DEAF_MS on it does not listen to who wants it to stop */
    unsigned fails;    /* so many attempts say "try again" */
    unsigned hopeless; /* 1: it says "failed for good" */
    unsigned heir_ms;  /* it leaves a child behind that would live so long; commands only */
    unsigned unique;   /* the number of its uniqueness key, 0: none */
    unsigned padding;  /* at most PADDING_MAX */
};

void torture_order_write(const struct torture_order *order, char text[ORDER_BYTES]);

enum torture_end { TORTURE_DONE, TORTURE_AGAIN, TORTURE_HOPELESS };

struct torture_attempt {
    const char *id, *args; /* args: JSON text, NUL-terminated */
    unsigned attempt;
    int worker;                  /* pid */
    int (*stop)(void *argument); /* NULL: nobody asks */
    void *argument;              /* for stop */
    char nonce[NONCE_BYTES];     /* set when it is done */
    unsigned padding;            /* likewise */
};

/* JSON text, once it is done. */
void torture_result_write(const struct torture_attempt *attempt, char text[ORDER_BYTES]);

/* folder NULL, arguments that are not whole (then the ledger has `garbled`) and files that cannot be opened
 * are TORTURE_HOPELESS, with a line on standard error. */
enum torture_end torture_attempt_run(const char *folder, struct torture_attempt *attempt);

#endif
