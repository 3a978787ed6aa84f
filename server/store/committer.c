#include "committer.h"

#include "check.h"
#include "clock.h"
#include "log.h"
#include "retention.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void committer_init(struct committer *committer, struct store *store, struct metrics *metrics,
                    void (*deliver)(void *dispatcher, struct work *work), void *dispatcher)
{
    *committer =
        (struct committer){.store = store, .metrics = metrics, .deliver = deliver, .dispatcher = dispatcher};
    committer->unlanded_end = &committer->unlanded;
    CHECK(sem_init(&committer->wake, 0, 0) == 0);
}

void committer_give(struct committer *committer, struct work *work)
{
    if (inbox_push(&committer->inbox, &work->node))
        sem_post(&committer->wake);
}

static struct work *work_of(struct inbox_node *node)
{
    return (struct work *)(void *)node;
}

static struct work *next_of(const struct work *work)
{
    return work_of(work->node.next);
}

static _Noreturn void store_broken(enum err err, const char *what)
{
    LOG(SERVER_FAIL, LOG_TEXT("reason", "the store failed"), LOG_TEXT("code", err_code(err)),
        LOG_TEXT("operation", what));
    _exit(FRONT_EXIT_STORE);
}

/* --- handing out --- */

static void answer(struct errand *errand, enum err err)
{
    if (errand == NULL)
        return;
    errand->err = err;
    errand->notify(errand);
}

/* A durable submission is acknowledged here, after the dispatcher was told; a memory one only once it is
 * HELD. */
static void hand_out_submit(struct committer *committer, struct work *work)
{
    struct errand *errand = work->errand;
    struct store_submit submit = work->op.submit; /* a copy: it outlives the work */
    bool stands = submit.replayed || submit.err == ERR_KEY_REUSED;
    if (stands) {
        errand->replayed = submit.replayed;
        errand->original = submit.original;
        work_free(work);
        answer(errand, submit.err);
    } else if (errand != NULL && errand->otherwise != ERR_OK &&
               work->job->spec.durability != DURABILITY_MEMORY) {
        enum err otherwise = errand->otherwise;
        work_free(work);
        answer(errand, otherwise);
    } else if (work->job->spec.durability == DURABILITY_MEMORY) {
        committer->deliver(committer->dispatcher, work);
    } else {
        work->errand = NULL;
        metrics_submitted(committer->metrics, &work->job->spec);
        LOG(JOB_ACCEPT, LOG_ID(work->job->spec.id), LOG_TEXT("task", work->job->spec.task));
        committer->deliver(committer->dispatcher, work);
        answer(errand, ERR_OK);
    }
}

/* What a finished job was asked for: the dispatcher hears of it before the client does. */
static void hand_back(struct committer *committer, struct work *work, enum err err)
{
    work->err = err;
    work->answered = true;
    committer->deliver(committer->dispatcher, work);
}

static void hand_out(struct committer *committer, struct work *work)
{
    work->err = ERR_OK;
    switch (work->kind) {
    case WORK_SUBMIT:
        hand_out_submit(committer, work);
        break;
    case WORK_CANCEL:
        hand_back(committer, work, work->op.end.err);
        break;
    case WORK_PATCH:
        hand_back(committer, work, work->op.patch.err);
        break;
    case WORK_SET:
    case WORK_SCHEDULE:
        hand_back(committer, work, ERR_OK);
        break;
    case WORK_FIRE:
        hand_back(committer, work, work->job != NULL ? work->op.submit.err : ERR_OK);
        break;
    case WORK_LAND:
    case WORK_DUE:
    case WORK_EXPIRED:
    case WORK_LOAD:
    case WORK_LOOK:
        committer->deliver(committer->dispatcher, work);
        break;
    case WORK_RETRY:
        hand_back(committer, work, work->op.retry.err);
        break;
    case WORK_FORGET:
        hand_back(committer, work, work->op.past.err);
        break;
    case WORK_RETAIN:
        retention_done(work->retain, ERR_OK);
        work_free(work);
        break;
    case WORK_BULK:
    case WORK_REPLACE:
    case WORK_RELEASE:
        CHECK_NEVER("not yet"); /* BASE */
    case WORK_SWEEP:
        work_free(work);
        break;
    }
}

/* The store is full: requests hear so, results are kept. */
static void refuse(struct committer *committer, struct work *work, enum err err)
{
    struct errand *errand = work->errand;
    work->err = err;
    switch (work->kind) {
    case WORK_SUBMIT:
    case WORK_SWEEP:
        work_free(work);
        answer(errand, err);
        break;
    case WORK_LAND:
        work->node.next = NULL;
        *committer->unlanded_end = work;
        committer->unlanded_end = (struct work **)(void *)&work->node.next;
        break;
    case WORK_RETRY:
    case WORK_FORGET:
    case WORK_CANCEL:
    case WORK_PATCH:
    case WORK_SET:
    case WORK_FIRE:
    case WORK_SCHEDULE:
        hand_back(committer, work, err);
        break;
    case WORK_RETAIN:
        retention_done(work->retain, err);
        work_free(work);
        break;
    case WORK_BULK:
    case WORK_REPLACE:
    case WORK_RELEASE:
        CHECK_NEVER("not yet"); /* BASE */
    case WORK_DUE:
    case WORK_EXPIRED:
    case WORK_LOAD:
    case WORK_LOOK:
        committer->deliver(committer->dispatcher, work);
        break;
    }
}

/* --- groups --- */

static enum durability level_of(const struct work *work)
{
    if (work->kind == WORK_SUBMIT || work->kind == WORK_LAND ||
        (work->kind == WORK_FIRE && work->job != NULL))
        return (enum durability)work->job->spec.durability;
    bool asked = work->kind == WORK_CANCEL || work->kind == WORK_RETRY || work->kind == WORK_FORGET ||
                 work->kind == WORK_PATCH || work->kind == WORK_SET || work->kind == WORK_SCHEDULE;
    return asked ? DURABILITY_FULL : DURABILITY_PROCESS;
}

/* A submission of durability memory without a key touches nothing. */
static bool needs_store(const struct work *work)
{
    return work->kind != WORK_SUBMIT || work->job->spec.durability != DURABILITY_MEMORY;
}

static enum err write_group(struct committer *committer, size_t count)
{
    enum durability level = DURABILITY_MEMORY;
    for (size_t i = 0; i < count; i++)
        if (level_of(committer->group[i]) > level)
            level = level_of(committer->group[i]);
    enum err err = store_begin(committer->store, level);
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = committer_run(committer, committer->group[i]);
    if (err == ERR_OK)
        return store_commit(committer->store);
    store_rollback(committer->store);
    return err;
}

/* ERR_OK or ERR_STORE_FULL. */
static enum err try_group(struct committer *committer, size_t count)
{
    int64_t begun = clock_mono_ns();
    bool store = false;
    for (size_t i = 0; i < count; i++)
        store = store || needs_store(committer->group[i]);
    enum err err = count == 0 ? ERR_OK : write_group(committer, count);
    if (err != ERR_OK && err != ERR_STORE_FULL)
        store_broken(err, "commit");
    if (err == ERR_OK && store) {
        metrics_observe(committer->metrics, HISTOGRAM_COMMIT, clock_mono_ns() - begun);
        metrics_observe(committer->metrics, HISTOGRAM_COMMIT_JOBS, (int64_t)count);
        atomic_fetch_add_explicit(&committer->commits, 1, memory_order_relaxed);
    }
    return err;
}

/* What may be turned away while results wait for room. */
static bool can_wait(const struct work *work)
{
    switch (work->kind) {
    case WORK_SUBMIT:
        return needs_store(work);
    case WORK_DUE:
    case WORK_SWEEP:
    case WORK_RETRY:
    case WORK_PATCH:
    case WORK_EXPIRED:
    case WORK_BULK:
    case WORK_REPLACE:
    case WORK_RELEASE:
    case WORK_FIRE:
    case WORK_SCHEDULE:
        return true;
    case WORK_LAND:
    case WORK_CANCEL:
    case WORK_SET:
    case WORK_LOOK:
    case WORK_LOAD:
    case WORK_FORGET: /* deletes make room */
    case WORK_RETAIN:
        return false;
    }
    CHECK_NEVER("a kind of work");
}

static bool is_full(const struct committer *committer)
{
    return atomic_load_explicit(&committer->full, memory_order_relaxed);
}

/* The log goes into the file and gives its room back, if the file has room to grow. */
static bool settle(struct committer *committer)
{
    enum err err = store_settle(committer->store);
    if (err != ERR_OK && err != ERR_STORE_FULL)
        store_broken(err, "checkpoint");
    return err == ERR_OK;
}

static void turn_full(struct committer *committer, const char *reason)
{
    int64_t freed = committer->ballast == NULL ? 0 : ballast_release(committer->ballast);
    committer->full_since_ns = clock_mono_ns();
    committer->look_ns = committer->full_since_ns + RETRY_MS * NS_PER_MS;
    committer->stuck = false;
    atomic_store_explicit(&committer->full, true, memory_order_relaxed);
    LOG(STORE_FULL, LOG_TEXT("reason", reason), LOG_INT("ballast_freed", freed));
    (void)settle(committer);
}

static int64_t room_inside(struct committer *committer)
{
    int64_t bytes;
    enum err err = store_room_inside(committer->store, &bytes);
    if (err != ERR_OK && err != ERR_STORE_FULL)
        store_broken(err, "room");
    return bytes;
}

/* Not full, but without the ballast: see spacious. */
static bool is_lean(const struct committer *committer)
{
    return !is_full(committer) && committer->ballast != NULL && committer->ballast->released;
}

/* Takes out of the group what a full store turns away; how much is left. Results go behind those that
 * wait. */
static size_t turn_away(struct committer *committer, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        struct work *work = committer->group[i];
        if (can_wait(work) || work->kind == WORK_LAND)
            refuse(committer, work, ERR_STORE_FULL);
        else
            committer->group[left++] = work;
    }
    return left;
}

static void commit_group(struct committer *committer, size_t count)
{
    if (is_lean(committer) && room_inside(committer) < committer->ballast->bytes)
        turn_full(committer, "what deletes had left free is used up");
    if (!is_full(committer) && atomic_load_explicit(&committer->cramped, memory_order_relaxed))
        turn_full(committer, "the disk has no room for what the write-ahead log holds");
    if (is_full(committer))
        count = turn_away(committer, count);
    enum err err = try_group(committer, count);
    if (err == ERR_STORE_FULL && !is_full(committer)) {
        turn_full(committer, "a write failed");
        count = turn_away(committer, count);
        err = try_group(committer, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (err == ERR_OK)
            hand_out(committer, committer->group[i]);
        else
            refuse(committer, committer->group[i], err);
    }
    if (count > 0 && (is_full(committer) || is_lean(committer)))
        (void)settle(committer); /* the disk has little room for a log */
}

static void load(struct committer *committer, struct work *work)
{
    work->err =
        store_load(committer->store, work->loads, work->load_count, LOAD_BYTES, work->jobs, &work->count);
    if (work->err == ERR_STORE_FAILED || work->err == ERR_CORRUPT)
        store_broken(work->err, "load");
    committer->deliver(committer->dispatcher, work);
}

/* The oldest results that wait, few enough that a try which fails takes little room; *rest is what comes
 * after them. */
static size_t gather_unlanded(struct committer *committer, struct work **rest)
{
    size_t count = 0, bytes = 0;
    struct work *work = committer->unlanded;
    for (; work != NULL && count < GROUP_MOST && bytes < LAND_BYTES; work = next_of(work)) {
        committer->group[count++] = work;
        bytes += work->job->args.bytes + work->job->result.bytes; /* a row is written whole */
    }
    *rest = work;
    return count;
}

/* Full: results land by themselves, oldest first, and after each group the log gives its room back. True if
 * none is left. */
static bool land_unlanded(struct committer *committer)
{
    while (committer->unlanded != NULL) {
        struct work *rest;
        size_t count = gather_unlanded(committer, &rest);
        if (try_group(committer, count) != ERR_OK)
            return false;
        committer->unlanded = rest;
        if (rest == NULL)
            committer->unlanded_end = &committer->unlanded;
        for (size_t i = 0; i < count; i++)
            hand_out(committer, committer->group[i]);
        (void)settle(committer);
    }
    return true;
}

/* Deletes make room inside the file, not on the disk. If that is plenty, and the log has some, too, then
 * submissions are taken again without a ballast, until it is less than one. */
static bool spacious(struct committer *committer)
{
    const struct ballast *ballast = committer->ballast;
    return room_inside(committer) >= 2 * ballast->bytes &&
           path_free_bytes(ballast->folder) >= ballast->bytes / 2;
}

/* Is there room again? Submissions are taken again only when all of it is as before. */
static bool room_again(struct committer *committer, bool settled)
{
    struct ballast *ballast = committer->ballast;
    if (!settled || committer->stuck || (ballast != NULL && !ballast->released && !ballast_room(ballast)))
        return false;
    if (ballast != NULL && ballast_make(ballast) != ERR_OK && ballast->released && !spacious(committer))
        return false;
    enum err err = store_probe(committer->store);
    if (err != ERR_OK && err != ERR_STORE_FULL)
        store_broken(err, "probe");
    return err == ERR_OK;
}

static void look_for_room(struct committer *committer)
{
    int64_t now = clock_mono_ns();
    if ((!is_full(committer) && !is_lean(committer)) || now < committer->look_ns)
        return;
    committer->look_ns = now + RETRY_MS * NS_PER_MS;
    if (is_lean(committer)) {
        (void)!ballast_make(committer->ballast);
        return;
    }
    bool settled = settle(committer);
    committer->stuck = !land_unlanded(committer);
    if (!room_again(committer, settled))
        return;
    atomic_store_explicit(&committer->cramped, false, memory_order_relaxed);
    atomic_store_explicit(&committer->full, false, memory_order_relaxed);
    LOG(STORE_ROOM, LOG_INT("after_ms", (now - committer->full_since_ns) / NS_PER_MS));
}

static void commit_queue(struct committer *committer)
{
    while (committer->queue != NULL) {
        size_t count = 0;
        while (committer->queue != NULL && count < GROUP_MOST && committer->queue->kind != WORK_LOAD) {
            committer->group[count++] = committer->queue;
            committer->queue = next_of(committer->queue);
        }
        if (count > 0)
            commit_group(committer, count);
        if (committer->queue != NULL && committer->queue->kind == WORK_LOAD) {
            struct work *work = committer->queue;
            committer->queue = next_of(work);
            load(committer, work);
        }
    }
}

static void sleep_until_given(struct committer *committer)
{
    if (!is_full(committer) && !is_lean(committer)) {
        while (sem_wait(&committer->wake) != 0)
            CHECK(errno == EINTR);
        return;
    }
    int64_t until = committer->look_ns;
    struct timespec end = {.tv_sec = (time_t)(until / NS_PER_SEC), .tv_nsec = (long)(until % NS_PER_SEC)};
    (void)sem_clockwait(&committer->wake, CLOCK_MONOTONIC, &end);
}

/* An empty ballast file: an earlier life gave it up. */
static void begin(struct committer *committer)
{
    struct ballast *ballast = committer->ballast;
    if (ballast == NULL)
        return;
    if (ballast_make(ballast) == ERR_OK)
        return;
    if (ballast->released)
        turn_full(committer, "the ballast was given up in an earlier life");
    else
        LOG(STORE_BALLAST, LOG_INT("bytes", ballast->bytes));
}

/* Everything given so far. False: that was nothing. */
static bool take_turn(struct committer *committer)
{
    committer->queue = work_of(inbox_take(&committer->inbox));
    bool any = committer->queue != NULL;
    look_for_room(committer);
    CHECK(is_full(committer) || committer->unlanded == NULL);
    commit_queue(committer);
    if (is_full(committer) && !committer->stuck)
        committer->stuck = !land_unlanded(committer);
    return any;
}

void committer_step(struct committer *committer)
{
    (void)take_turn(committer);
}

static void *run(void *argument)
{
    struct committer *committer = argument;
    begin(committer);
    for (;;) {
        bool stop = atomic_load_explicit(&committer->stop, memory_order_acquire); /* before the last look */
        if (stop)
            committer->look_ns = 0;
        bool idle = !take_turn(committer);
        if (idle && stop)
            return NULL;
        if (idle)
            sleep_until_given(committer);
    }
}

enum err committer_start(struct committer *committer)
{
    if (pthread_create(&committer->thread, NULL, run, committer) != 0) {
        log_errno("pthread_create", "committer");
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

void committer_stop(struct committer *committer)
{
    int64_t dropped = 0;
    atomic_store_explicit(&committer->stop, true, memory_order_release);
    sem_post(&committer->wake);
    pthread_join(committer->thread, NULL);
    for (struct work *work = committer->unlanded, *next; work != NULL; work = next, dropped++) {
        next = next_of(work);
        work_free(work);
    }
    committer->unlanded = NULL;
    if (dropped > 0)
        LOG(STORE_FULL,
            LOG_TEXT("reason", "results could not be recorded before the stop: their jobs run again"),
            LOG_INT("results", dropped));
}
