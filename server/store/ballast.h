/* The ballast: a file beside the store, really allocated, that is given up when the disk is full, so that
 * results (and what frees space) can still be recorded while submissions are refused.
 *
 * forkpool.ballast says by its size what is the case, also to the next front and the next start:
 *     absent   never made: there was no room, or store.ballast is 0
 *     empty    given up: it is made again before submissions are taken again
 *     larger   it stands
 * One thread of the front at a time: first the one that opens the store, then the committer. ballast_ease is
 * for the supervisor, while there is no front.
 *
 *     ballast_init(&ballast, state_dir, bytes); ballast_make(&ballast);
 *     store full:  ballast_release(&ballast);  go on without submissions
 *     now and then: if (ballast_room(&ballast) && …) ballast_make(&ballast);   it stands: submissions again
 */
#ifndef FORKPOOL_BALLAST_H
#define FORKPOOL_BALLAST_H

#include "err.h"
#include "paths.h"

#include <stdbool.h>
#include <stdint.h>

#define BALLAST_FILE "forkpool.ballast"

/* What must be free besides the ballast before a full disk counts as having room again. */
enum { BALLAST_SPARE_BYTES = 1048576 };

struct ballast {
    char folder[PATH_BYTES];
    int64_t bytes; /* as configured; 0: none */
    bool stands, released;
};

/* Looks at the file; removes it if bytes is 0. */
void ballast_init(struct ballast *ballast, const char *state_dir, int64_t bytes);

/* Makes it, or brings it to its size, if the disk has room for it and for BALLAST_SPARE_BYTES. ERR_FULL: it
 * has not. */
enum err ballast_make(struct ballast *ballast) MUST_USE;

/* Gives its space back to the disk; how much that was. */
int64_t ballast_release(struct ballast *ballast);

/* True if the disk has room for what was given up, and for BALLAST_SPARE_BYTES. */
bool ballast_room(const struct ballast *ballast);

/* A start on a full disk: gives the ballast up if even small files would find no room. */
void ballast_ease(const char *state_dir);

#endif
