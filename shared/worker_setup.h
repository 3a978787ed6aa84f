/* What the supervisor gives a new worker, and how a worker's exit status speaks to it. */
#ifndef FORKPOOL_WORKER_SETUP_H
#define FORKPOOL_WORKER_SETUP_H

#include "blackbox.h"
#include "config.h"
#include "segment.h"

/* RECYCLED: it gave a job of a newer catalogue back, or left its seat to a replacement. */
enum { WORKER_EXIT_DRAINED = 0, WORKER_EXIT_SETUP = 69, WORKER_EXIT_RECYCLED = 75 };

/* Everything borrowed from the supervisor's memory, which the fork copied. */
struct worker_setup {
    const struct config *config;
    const struct segment *segment;
    struct blackbox *box;
    uint32_t number; /* its board, tray and black box entry */
    uint32_t pool;
    uint16_t incarnation;
    uint32_t standby;       /* 1: a replacement, which takes no job before it is released */
    int supervisor_wake_fd; /* an eventfd: 1 is written when `retire` or `standing` is set on its board */
};

#endif
