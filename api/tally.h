/* How many jobs there are, by queue, task and state: what is stored, with what runs now laid over it. */
#ifndef FORKPOOL_TALLY_H
#define FORKPOOL_TALLY_H

#include "http.h"

struct tally_row {
    char queue[NAME_BYTES], task[NAME_BYTES];
    int64_t jobs[JOB_STATE_COUNT];
};

struct tally {
    struct tally_row *rows; /* owned */
    size_t count, room;
};

void tally_fini(struct tally *tally);
#define TALLY_AUTO __attribute__((cleanup(tally_fini))) struct tally

/* Loop thread. The errors of the store. */
enum err tally_take(struct request *request, struct tally *tally) MUST_USE;

/* queue and task: NULL for any. Adds to sums[JOB_STATE_COUNT]. */
void tally_sum(const struct tally *tally, const char *queue, const char *task, int64_t *sums);

/* {"queued":…,"running":…,…} */
void tally_put(struct buf *out, const int64_t *sums);

#endif
