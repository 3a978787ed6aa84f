#include "committer_private.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"
#include "title.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* At the start, and after each commit before anybody hears of it. */
static void note_releases(struct committer *committer)
{
    atomic_store_explicit(&committer->releases, store_releases_wait(committer->store), memory_order_relaxed);
}

static void wake(struct doorbell *bell)
{
    struct committer *committer = (void *)((char *)bell - offsetof(struct committer, bell));
    sem_post(&committer->wake);
}

void committer_init(struct committer *committer, struct store *store, struct metrics *metrics,
                    void (*deliver)(void *dispatcher, struct work *work), void *dispatcher)
{
    *committer = (struct committer){
        .store = store, .metrics = metrics, .deliver = deliver, .dispatcher = dispatcher, .bell = {wake}};
    committer->unlanded_end = &committer->unlanded;
    note_releases(committer);
    CHECK(sem_init(&committer->wake, 0, 0) == 0);
}

void committer_give(struct committer *committer, struct work *work)
{
    if (inbox_push(&committer->inbox, &work->node))
        doorbell_ring(&committer->bell);
}

static struct work *work_of(struct inbox_node *node)
{
    return (struct work *)(void *)node;
}

static struct work *next_of(const struct work *work)
{
    return work_of(work->node.next);
}

/* Memory that ran out says nothing against the store: another front goes on. */
static _Noreturn void store_broken(enum err err, const char *what)
{
    bool again = err == ERR_NO_MEMORY;
    LOG(SERVER_FAIL, LOG_TEXT("reason", again ? "out of memory: the front is replaced" : "the store failed"),
        LOG_TEXT("code", err_code(err)), LOG_TEXT("operation", what));
    _exit(again ? FRONT_EXIT_AGAIN : FRONT_EXIT_STORE);
}

/* --- groups --- */

static enum durability level_of(const struct work *work)
{
    if (work->kind == WORK_SUBMIT || work->kind == WORK_LAND || work->kind == WORK_REPLACE ||
        (work->kind == WORK_FIRE && work->job != NULL))
        return (enum durability)work->job->spec.durability;
    bool asked = work->kind == WORK_CANCEL || work->kind == WORK_RETRY || work->kind == WORK_FORGET ||
                 work->kind == WORK_PATCH || work->kind == WORK_SET || work->kind == WORK_SCHEDULE;
    return asked ? DURABILITY_FULL : DURABILITY_PROCESS;
}

/* A submission of durability memory changes nothing: at most its key is looked up. */
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
    enum err err = CRASH_AROUND(STORE_BEGIN, store_begin(committer->store, level));
    CRASH_POINT(GROUP_BEGUN);
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = committer_run(committer, committer->group[i]);
    CRASH_POINT(GROUP_WRITTEN);
    if (err == ERR_OK)
        return CRASH_AROUND(STORE_COMMIT, store_commit(committer->store));
    store_rollback(committer->store);
    return err;
}

static void note_commit(struct committer *committer, int64_t begun_ns, size_t count)
{
    metrics_observe(committer->metrics, HISTOGRAM_COMMIT, clock_mono_ns() - begun_ns);
    metrics_observe(committer->metrics, HISTOGRAM_COMMIT_JOBS, (int64_t)count);
    atomic_fetch_add_explicit(&committer->commits, 1, memory_order_relaxed);
    note_releases(committer);
    /* The checkpointer looks now and then only, and a log that the file has no room for cannot be cut. */
    if (store_log_fits(committer->store) == ERR_STORE_FULL)
        atomic_store_explicit(&committer->cramped, true, memory_order_relaxed);
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
    if (err == ERR_OK && store)
        note_commit(committer, begun, count);
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
            committer_refuse(committer, work, ERR_STORE_FULL);
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
    CRASH_POINT(GROUP_COMMITTED);
    doorbells_hold();
    for (size_t i = 0; i < count; i++) {
        if (err == ERR_OK)
            committer_hand_out(committer, committer->group[i]);
        else
            committer_refuse(committer, committer->group[i], err);
    }
    doorbells_release();
    if (count > 0 && (is_full(committer) || is_lean(committer)))
        (void)settle(committer); /* the disk has little room for a log */
}

/* --- bulk requests --- */

static enum durability bulk_level(const struct bulk *bulk)
{
    enum durability level = DURABILITY_PROCESS;
    for (size_t i = 0; i < bulk->count; i++)
        if (bulk->lines[i].err == ERR_OK && bulk->lines[i].job->spec.durability > level)
            level = (enum durability)bulk->lines[i].job->spec.durability;
    return level;
}

/* What was found out about its lines is void: nothing of it has happened. */
static void forget_bulk(struct work *work)
{
    while (work->count > 0)
        job_free(work->jobs[--work->count]);
}

static enum err write_bulk(struct committer *committer, struct work *work)
{
    enum err err = CRASH_AROUND(STORE_BEGIN, store_begin(committer->store, bulk_level(work->errand->bulk)));
    if (err == ERR_OK)
        err = committer_run_bulk(committer, work);
    if (err == ERR_OK)
        err = CRASH_AROUND(STORE_COMMIT, store_commit(committer->store));
    else
        store_rollback(committer->store);
    if (err != ERR_OK)
        forget_bulk(work);
    return err;
}

/* The dispatcher first, then the client. Its jobs are the dispatcher's from here on. */
static void hand_out_bulk(struct committer *committer, struct work *work, enum err err)
{
    static const struct id none;
    struct errand *errand = work->errand;
    bool inserted = work->count > 0;
    if (!inserted)
        errand->bulk->batch = none;
    for (size_t i = 0; i < work->count; i++)
        committer_accepted(committer, work->jobs[i]);
    work->errand = NULL;
    if (inserted)
        committer->deliver(committer->dispatcher, work);
    else
        work_free(work);
    committer_answer(errand, err);
}

/* A transaction of its own: an atomic one is rolled back without the requests around it. */
static void commit_bulk(struct committer *committer, struct work *work)
{
    int64_t begun = clock_mono_ns();
    if (is_full(committer)) {
        committer_refuse(committer, work, ERR_STORE_FULL);
        return;
    }
    enum err err = write_bulk(committer, work);
    if (err == ERR_AGAIN) {
        hand_out_bulk(committer, work, work->err);
        return;
    }
    if (err == ERR_STORE_FULL)
        turn_full(committer, "a write failed");
    else if (err != ERR_OK)
        store_broken(err, "bulk");
    if (err != ERR_OK) {
        committer_refuse(committer, work, err);
        return;
    }
    CRASH_POINT(BULK_COMMITTED);
    note_commit(committer, begun, work->count);
    hand_out_bulk(committer, work, ERR_OK);
}

static void load(struct committer *committer, struct work *work)
{
    work->err = CRASH_AROUND(STORE_LOAD, store_load(committer->store, work->loads, work->load_count,
                                                    LOAD_BYTES, work->jobs, &work->count));
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
            committer_hand_out(committer, committer->group[i]);
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

static bool stands_alone(const struct work *work)
{
    return work->kind == WORK_LOAD || work->kind == WORK_BULK;
}

static void commit_queue(struct committer *committer)
{
    while (committer->queue != NULL) {
        size_t count = 0;
        while (committer->queue != NULL && count < GROUP_MOST && !stands_alone(committer->queue)) {
            committer->group[count++] = committer->queue;
            committer->queue = next_of(committer->queue);
        }
        if (count > 0)
            commit_group(committer, count);
        if (committer->queue != NULL && stands_alone(committer->queue)) {
            struct work *work = committer->queue;
            committer->queue = next_of(work);
            if (work->kind == WORK_LOAD)
                load(committer, work);
            else
                commit_bulk(committer, work);
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
    title_thread("committer");
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
