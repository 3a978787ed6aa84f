/* Which jobs are meant: what GET /v1/jobs has as query parameters and a body as members of "filter".
 *
 * One table, from which both derive: the same names, the same checks, the same sentences. Reentrant.
 *
 *     struct filter filter = filter_all();
 *     for each member that was given: filter_take(&filter, member, text, PLACE_…, where, &problem);
 */
#ifndef FORKPOOL_FILTER_H
#define FORKPOOL_FILTER_H

#include "problem.h"

/* name, text, what would be right */
#define FILTERS(F)                                                                                           \
    F(STATE, "state", "queued, scheduled, blocked, running, retrying, succeeded, failed or cancelled")       \
    F(TASK, "task", "a name of 1 to 63 letters, digits, dots, _ or -")                                       \
    F(QUEUE, "queue", "a name of 1 to 63 letters, digits, dots, _ or -")                                     \
    F(TAG, "tag", "1 to 64 characters, none of them a control character")                                    \
    F(BATCH, "batch", "the id of a batch, such as 0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f")                     \
    F(CREATED_AFTER, "created_after", "a time such as 2026-11-23T06:36:00Z (RFC 3339)")                      \
    F(CREATED_BEFORE, "created_before", "a time such as 2026-11-23T06:36:00Z (RFC 3339)")                    \
    F(Q, "q", "a text of 1 to 128 bytes")

enum filter_member {
#define F(name, text, right) FILTER_##name,
    FILTERS(F)
#undef F
        FILTER_COUNT
};

extern const char *const filter_texts[FILTER_COUNT];

/* `stored` holds all of it, except that running is no stored state. */
struct filter {
    struct store_filter stored;
    bool running;
};

/* Everything, from the newest on. */
struct filter filter_all(void);

/* False: one more fault in `problem`, at that place. */
bool filter_take(struct filter *filter, enum filter_member member, const char *text, enum problem_place place,
                 const char *where, struct problem *problem);

/* The fault of a value that is not even a text: as it stands in the body. */
void filter_refuse(enum filter_member member, struct json_span value, const char *where,
                   struct problem *problem);

/* Whether a job is among them: all but its state, and the cursor. */
bool filter_fits(const struct filter *filter, const struct job *job);

/* Whether there can be a job by now that is not among them. */
bool filter_restricts(const struct filter *filter, int64_t now_ms);

#endif
