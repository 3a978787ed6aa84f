/* The workers, as their boards in shared memory show them to a client. Any thread of the front. */
#ifndef FORKPOOL_WORKERS_H
#define FORKPOOL_WORKERS_H

#include "scoreboard.h"
#include "slots.h"

#define WORKER_STATES(S)                                                                                     \
    S(STARTING, "starting")                                                                                  \
    S(IDLE, "idle")                                                                                          \
    S(BUSY, "busy")                                                                                          \
    S(STANDBY, "standby")                                                                                    \
    S(DYING, "dying")                                                                                        \
    S(BACKOFF, "backoff")

enum worker_state {
#define S(name, text) WORKER_STATE_##name,
    WORKER_STATES(S)
#undef S
        WORKER_STATE_COUNT
};

struct worker_view {
    enum worker_state state;
    bool in_use;                            /* false: nobody is there, and nobody is due */
    enum retire_reason recycling, replaces; /* why it will be replaced; why it replaced another */
    bool has_job;                           /* id and task are set */
    struct id id;
    char task[NAME_BYTES];
};

const char *worker_state_text(enum worker_state state);

void workers_look(const struct segment *segment, uint32_t worker, struct worker_view *view);

#endif
