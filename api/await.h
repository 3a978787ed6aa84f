/* A request's business with the front: an errand, the end of a job, or both at once.
 *
 * Loop thread only; the front's notifications come back as wakes (http.h).
 *
 *     await_end(request, id);  await_submit(request, job);  request->then = …;  return SUSPENDED;
 *     then:  if (request->errand_wake.open) return SUSPENDED; …
 *            if (!await_enough(request)) return SUSPENDED;
 */
#ifndef FORKPOOL_AWAIT_H
#define FORKPOOL_AWAIT_H

#include "http.h"

/* otherwise: as in struct errand. */
void await_submit(struct request *request, struct job *job, enum err otherwise);
/* CANCEL, RETRY or FORGET, of a job that stands already. */
void await_errand(struct request *request, enum errand_kind kind, struct id id);
/* Patch, setting, change, look and bulk must outlive the errand. */
void await_patch(struct request *request, struct store_patch *patch);
void await_set(struct request *request, struct setting *setting);
void await_schedule(struct request *request, struct schedule_change *change);
void await_look(struct request *request, struct id id, struct look *look);
void await_bulk(struct request *request, struct bulk *bulk);

/* One of several errands that a request has out at a time: CANCEL, RETRY or FORGET. waiting: as in struct
 * errand. It must outlive its wake. */
struct parcel {
    struct errand errand;
    struct wake wake;
    struct parcel *next; /* its owner's */
};
void await_parcel(struct request *request, struct parcel *parcel, enum errand_kind kind, struct id id,
                  bool waiting);
/* In `then`: the parcel of which request->woken says that it is back. */
struct parcel *await_parcel_of(struct wake *woken);

/* Registers for the end of a job; request->ended is what comes. */
void await_end(struct request *request, struct id id);

/* Takes the registration back if it still stands. True: nothing will come any more. False: something is on
 * its way, stay suspended. */
bool await_forget(struct request *request);

/* True if the job has ended, or the time to wait is over and nothing is on its way. */
bool await_enough(struct request *request);

/* Reads a job, waits up to request->wait_ms for its end, and then calls `answer` with it in request->job. On
 * an error of reading it answers with that. */
enum answer await_job(struct request *request, struct id id, handler_fn *answer);

/* request->job = the job as it stands now; the errors of front_read. */
enum err await_read(struct request *request, struct id id) MUST_USE;

#endif
