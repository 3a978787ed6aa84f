/* Actions: one request made of many jobs (POST /v1/jobs/actions, a purge of a queue, a cancel of a batch).
 *
 * Loop thread. The jobs are those of a list of ids, or those that a filter finds in the store, page by page
 * from the newest down; each gets an errand of its own, a bounded number of them at a time, so that other
 * requests go in between: on this loop, in the dispatcher and in the committer's groups.
 *
 *  1. Jobs made after the action began are left alone, and so are those that ended after it began: a job that
 * it has just queued again is not met a second time.
 *  2. One page is read a turn of the loop, and no snapshot outlives it.
 *  3. It stops for lack of time, or since the server stops, only between jobs; then it says `more`, and the
 * same request goes on where it stopped, as what is done is no longer among what it looks for.
 *  4. While a cancel walks through the states, jobs pass from one to another behind it. So it walks again
 * until a walk finds nothing new.
 *
 *     struct action action = {.wanted = REQUEST_CANCEL, .by_filter = true, .filter = filter_all()};
 *     return action_run(request, &action);
 */
#ifndef FORKPOOL_ACTION_H
#define FORKPOOL_ACTION_H

#include "filter.h"

enum { ACTION_IDS_MAX = 10000 };

struct action {
    enum job_request wanted; /* CANCEL, RETRY or FORGET */
    bool by_filter;          /* else by ids */
    struct filter filter;
    bool waiting;         /* CANCEL by filter: what runs goes on */
    const struct id *ids; /* each once; they live as long as the request */
    size_t id_count;
    bool dry_run, confirm; /* confirm is looked at by whoever calls action_run */
};

/* The word for it in bodies and answers: "cancel", "retry" or "delete". */
const char *action_word(enum job_request wanted);

/* Does it, and answers. `action` is copied. */
enum answer action_run(struct request *request, const struct action *action);

/* How many jobs there are that it would be made of: *jobs. The filter counts with its state and queue alone.
 */
enum err action_count(struct request *request, const struct action *action, int64_t *jobs) MUST_USE;

#endif
