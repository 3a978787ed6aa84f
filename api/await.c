#include "await.h"

#include "check.h"
#include "clock.h"
#include "handlers.h"

#include <stddef.h>

/* All are called on a thread of the server. */
static void on_errand(struct errand *errand)
{
    http_wake(&((struct request *)((char *)errand - offsetof(struct request, errand)))->errand_wake);
}

static void on_parcel(struct errand *errand)
{
    http_wake(&((struct parcel *)((char *)errand - offsetof(struct parcel, errand)))->wake);
}

static void on_end(struct waiter *waiter, struct job *job)
{
    struct request *request = (struct request *)((char *)waiter - offsetof(struct request, waiter));
    request->ended = job; /* the wake's push publishes it to the loop */
    http_wake(&request->waiter_wake);
}

static void prepare(struct request *request, enum errand_kind kind, struct id id, struct job *job)
{
    request->errand = (struct errand){.kind = kind, .id = id, .job = job, .notify = on_errand};
    request->errand_wake.open = true;
}

void await_submit(struct request *request, struct job *job, enum err otherwise)
{
    prepare(request, ERRAND_SUBMIT, job->spec.id, job);
    request->errand.otherwise = otherwise;
    front_submit(request->front, &request->errand);
}

static void ask(struct front *front, struct errand *errand)
{
    CHECK(errand->kind == ERRAND_CANCEL || errand->kind == ERRAND_RETRY || errand->kind == ERRAND_FORGET);
    if (errand->kind == ERRAND_CANCEL)
        front_cancel(front, errand);
    else if (errand->kind == ERRAND_RETRY)
        front_retry(front, errand);
    else
        front_forget(front, errand);
}

void await_errand(struct request *request, enum errand_kind kind, struct id id)
{
    prepare(request, kind, id, NULL);
    ask(request->front, &request->errand);
}

void await_parcel(struct request *request, struct parcel *parcel, enum errand_kind kind, struct id id,
                  bool waiting)
{
    parcel->errand = (struct errand){.kind = kind, .id = id, .waiting = waiting, .notify = on_parcel};
    parcel->wake = (struct wake){.request = request, .open = true};
    request->lent++;
    ask(request->front, &parcel->errand);
}

struct parcel *await_parcel_of(struct wake *woken)
{
    return (struct parcel *)((char *)woken - offsetof(struct parcel, wake));
}

void await_patch(struct request *request, struct store_patch *patch)
{
    prepare(request, ERRAND_PATCH, patch->id, NULL);
    request->errand.patch = patch;
    front_patch(request->front, &request->errand);
}

void await_set(struct request *request, struct setting *setting)
{
    prepare(request, ERRAND_SET, (struct id){0}, NULL);
    request->errand.setting = setting;
    front_set(request->front, &request->errand);
}

void await_schedule(struct request *request, struct schedule_change *change)
{
    prepare(request, ERRAND_SCHEDULE, (struct id){0}, NULL);
    request->errand.schedule = change;
    front_schedule(request->front, &request->errand);
}

void await_bulk(struct request *request, struct bulk *bulk)
{
    prepare(request, ERRAND_BULK, bulk->batch, NULL);
    request->errand.bulk = bulk;
    front_bulk(request->front, &request->errand);
}

void await_look(struct request *request, struct id id, struct look *look)
{
    prepare(request, ERRAND_LOOK, id, NULL);
    request->errand.look = look;
    front_look(request->front, &request->errand);
}

void await_end(struct request *request, struct id id)
{
    CHECK(!request->waiter_wake.open);
    job_free(request->ended);
    request->ended = NULL;
    request->unwait_failed = false;
    request->waiter = (struct waiter){.id = id, .notify = on_end};
    request->waiter_wake.open = true;
    front_wait(request->front, &request->waiter);
}

bool await_forget(struct request *request)
{
    if (!request->waiter_wake.open)
        return true;
    if (!request->unwait_failed && front_unwait(request->front, &request->waiter)) {
        request->waiter_wake.open = false;
        return true;
    }
    request->unwait_failed = true;
    return false;
}

bool await_enough(struct request *request)
{
    if (!request->waiter_wake.open)
        return true;
    return (request->expired || request->stopping) && await_forget(request);
}

enum err await_read(struct request *request, struct id id)
{
    job_free(request->job);
    request->job = NULL;
    return front_read(request->front, request_reader(request), id, &request->job);
}

/* The look at the job is over; now only its end, or the end of the patience, is of interest. */
static enum answer go_on_waiting(struct request *request)
{
    if (!await_enough(request))
        return SUSPENDED;
    if (request->ended != NULL) {
        job_free(request->job);
        request->job = request->ended;
        request->ended = NULL;
        return request->answer(request);
    }
    CHECK(request->job != NULL);
    struct id id = request->job->spec.id;
    enum err err = await_read(request, id); /* it may have begun to run meanwhile */
    return err != ERR_OK ? handler_job_error(request, id, err) : request->answer(request);
}

enum answer await_job(struct request *request, struct id id, handler_fn *answer)
{
    bool waits = request->wait_ms > 0 && !request->expired && !request->stopping;
    if (waits)
        await_end(request, id); /* before the look, so that no end falls between */
    enum err err = await_read(request, id);
    bool done = err != ERR_OK || !waits || job_is_terminal(request->job->state);
    if (done && await_forget(request))
        return err != ERR_OK ? handler_job_error(request, id, err) : answer(request);
    request->answer = answer;
    request->then = go_on_waiting;
    if (!done)
        http_expire_at(request, clock_mono_ns() + request->wait_ms * NS_PER_MS);
    return SUSPENDED;
}
