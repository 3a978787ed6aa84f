/* What rates have used up, in a small file beside the store: it outlives the death of any process and of all
 * of them, so that a restart is no way around a limit.
 *
 * The dispatcher alone reads and writes it, through a shared mapping: nothing is synced, and a loss of power
 * may forget it. Of so many gates that METERS_MOST do not hold them, those are forgotten whose rate is used
 * up for the shortest time. Times are kept as real time; a clock that was set since is allowed for by whoever
 * reads (lineup.c never waits longer than a full burst takes).
 */
#ifndef FORKPOOL_METERS_H
#define FORKPOOL_METERS_H

#include "err.h"

#include <stdint.h>

#define METERS_FILE "forkpool.rates"
enum { METERS_MOST = 8192 };

struct meter {
    uint64_t gate;  /* which; 0: none */
    int64_t tat_ns; /* real time: when its next job would be due if they came evenly */
};

struct meters {
    struct meter *entries; /* [METERS_MOST] */
};

/* Maps the file of that folder, made if need be. ERR_SYSTEM, logged: there is no room for it, say. */
enum err meters_open(const char *state_dir, struct meters *meters) MUST_USE;
void meters_close(struct meters *meters);

/* Monotonic time, in the future; 0: nothing is known. */
int64_t meters_read(const struct meters *meters, uint64_t gate);
void meters_write(struct meters *meters, uint64_t gate, int64_t tat_ns);

#endif
