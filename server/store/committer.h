/* The committer: the one thread that writes the store.
 *
 * Group commit without a timer: whatever gathered while the last commit ran is the next group, at most
 * GROUP_MOST; a group takes the highest durability among its members. Work is taken in the order in which it
 * came, so loads are ordered with the commits around them. After the commit each work goes to the dispatcher
 * (through `deliver`), then the request behind it is answered.
 *
 * When the store is full, or cannot be written now for whatever reason, the ballast is given up. From then
 * on:
 * - submissions that need the store, due retries and sweeps are refused without a try;
 * - cancels are tried, and refused if they do not fit;
 * - results land by themselves, oldest first; one that does not fit waits, and is tried again each RETRY_MS;
 * - after each commit the log is copied into the file and cut; the checkpointer stands down meanwhile.
 * That ends when no result waits, a commit succeeds and the ballast stands again. So: not full, no result
 * waits. Any other error of the store ends the front with FRONT_EXIT_STORE, and so everything; memory that
 * runs out only the front, with FRONT_EXIT_AGAIN.
 */
#ifndef FORKPOOL_COMMITTER_H
#define FORKPOOL_COMMITTER_H

#include "ballast.h"
#include "doorbell.h"
#include "work.h"

#include <pthread.h>
#include <semaphore.h>

enum { GROUP_MOST = 256, RETRY_MS = 500, LOAD_BYTES = 8388608, LAND_BYTES = 1048576 };

struct committer {
    struct store *store;     /* borrowed */
    struct ballast *ballast; /* borrowed; NULL: none. Set between init and start. */
    struct metrics *metrics;
    void (*deliver)(void *dispatcher, struct work *work);
    void *dispatcher;
    struct inbox inbox;
    struct doorbell bell;
    sem_t wake; /* private to the front */
    _Atomic bool stop;
    _Atomic uint64_t commits; /* for the checkpointer */
    _Atomic bool full;        /* for everybody */
    _Atomic bool releases;    /* for the dispatcher: jobs wait to be released (WORK_RELEASE) */
    _Atomic bool cramped; /* the file has no room for what the log holds, as the checkpointer found or we */
    pthread_t thread;

    struct work *queue;                    /* taken from the inbox, oldest first */
    struct work *unlanded, **unlanded_end; /* results that a full store refused */
    bool stuck;                            /* full, and the oldest of them did not fit */
    int64_t full_since_ns, look_ns;        /* when it became full; when to look for room again */
    struct work *group[GROUP_MOST];
};

void committer_init(struct committer *committer, struct store *store, struct metrics *metrics,
                    void (*deliver)(void *dispatcher, struct work *work), void *dispatcher);
enum err committer_start(struct committer *committer) MUST_USE;

/* Any thread; takes work. */
void committer_give(struct committer *committer, struct work *work);

/* A job was inserted: counted and logged. */
void committer_accepted(struct committer *committer, const struct job *job);

/* A turn of the thread, on the caller's and without the sleep: everything given so far, in groups. For tests
 * that start no thread. */
void committer_step(struct committer *committer);

/* Ends the thread after everything given so far is committed and delivered. Results that a full store refuses
 * to the last are dropped: their jobs are queued in the store, and run again in the next life. */
void committer_stop(struct committer *committer);

#endif
