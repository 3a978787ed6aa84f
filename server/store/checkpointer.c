#include "checkpointer.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"
#include "title.h"

#include <time.h>
#include <unistd.h>

enum { EVERY_MS = 200, SWEEP_EVERY_MS = 60000 };

static void check_file(struct checkpointer *checkpointer)
{
    BUF_AUTO message = {0};
    int64_t begun = clock_mono_ns();
    enum err err = store_check(checkpointer->store, &message);
    if (err == ERR_AGAIN || err == ERR_STORE_FULL || err == ERR_NO_MEMORY)
        return; /* we are to stop, or it cannot be done now: the next start after an unclean stop checks again
                 */
    if (err == ERR_OK) {
        LOG(STORE_CHECK, LOG_INT("ms", (clock_mono_ns() - begun) / NS_PER_MS));
        return;
    }
    buf_add(&message, "", 1);
    LOG(SERVER_FAIL,
        LOG_TEXT("reason",
                 "the store is damaged and was left as it is: restore a backup, or rescue what can be read "
                 "(docs/operations.md)"),
        LOG_TEXT("found", message.failed ? "" : message.data));
    _exit(FRONT_EXIT_STORE);
}

static void sweep(struct checkpointer *checkpointer, int64_t *swept_ms)
{
    int64_t now = clock_mono_ns() / NS_PER_MS;
    if (now - *swept_ms < SWEEP_EVERY_MS)
        return;
    *swept_ms = now;
    struct work *work = work_new(WORK_SWEEP);
    if (work != NULL)
        committer_give(checkpointer->committer, work);
}

static bool sleep_or_stop(struct checkpointer *checkpointer, int64_t ms)
{
    int64_t until = clock_mono_ns() + ms * NS_PER_MS;
    struct timespec end = {.tv_sec = (time_t)(until / NS_PER_SEC), .tv_nsec = (long)(until % NS_PER_SEC)};
    (void)sem_clockwait(&checkpointer->wake, CLOCK_MONOTONIC, &end);
    return atomic_load_explicit(&checkpointer->stop, memory_order_acquire);
}

/* False: no room for now. What the main file did not take, the log still holds; but nobody goes on with a
 * disk that fails. */
static bool checkpoint(struct checkpointer *checkpointer)
{
    int log_pages;
    struct committer *committer = checkpointer->committer;
    if (atomic_load_explicit(&committer->full, memory_order_relaxed))
        return false; /* then the committer does it */
    enum err err = CRASH_AROUND(STORE_CHECKPOINT, store_checkpoint(checkpointer->store, &log_pages));
    if (err == ERR_STORE_FULL)
        atomic_store_explicit(&committer->cramped, true, memory_order_relaxed);
    if (err == ERR_OK || err == ERR_STORE_FULL || err == ERR_NO_MEMORY || err == ERR_AGAIN)
        return err == ERR_OK;
    LOG(SERVER_FAIL, LOG_TEXT("reason", "the store failed"), LOG_TEXT("code", err_code(err)),
        LOG_TEXT("operation", "checkpoint"));
    _exit(FRONT_EXIT_STORE);
}

static void *run(void *argument)
{
    struct checkpointer *checkpointer = argument;
    title_thread("checkpointer");
    uint64_t seen = UINT64_MAX; /* once at the start: an earlier life's log takes room until it is copied */
    int64_t swept_ms = 0, copied_ms = 0, sleep_ms = EVERY_MS;
    if (checkpointer->check) {
        /* First, since the check of a large file may outlast this life and those after it: the log would
         * grow, and with it the time that each start takes to read it. */
        (void)checkpoint(checkpointer);
        check_file(checkpointer);
    }
    while (!sleep_or_stop(checkpointer, sleep_ms)) {
        sleep_ms = retention_turn(&checkpointer->retention, EVERY_MS);
        int64_t now = clock_mono_ns() / NS_PER_MS;
        if (now - copied_ms < EVERY_MS)
            continue;
        copied_ms = now;
        sweep(checkpointer, &swept_ms);
        uint64_t commits = atomic_load_explicit(&checkpointer->committer->commits, memory_order_relaxed);
        if (commits == seen)
            continue;
        seen = commits;
        if (!checkpoint(checkpointer))
            seen = commits - 1; /* the log keeps growing until one succeeds */
    }
    return NULL;
}

enum err checkpointer_start(struct checkpointer *checkpointer, const struct config *config,
                            struct committer *committer, bool check)
{
    *checkpointer = (struct checkpointer){.committer = committer, .check = check};
    CHECK(sem_init(&checkpointer->wake, 0, 0) == 0);
    enum err err = store_checkpointer_open(config->store_url, &checkpointer->store);
    if (err == ERR_OK)
        err = retention_init(&checkpointer->retention, config, committer);
    if (err != ERR_OK)
        return err;
    if (pthread_create(&checkpointer->thread, NULL, run, checkpointer) != 0) {
        log_errno("pthread_create", "checkpointer");
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

void checkpointer_stop(struct checkpointer *checkpointer)
{
    atomic_store_explicit(&checkpointer->stop, true, memory_order_release);
    sem_post(&checkpointer->wake);
    store_check_stop(checkpointer->store);
    pthread_join(checkpointer->thread, NULL);
    retention_fini(&checkpointer->retention);
    store_checkpointer_close(checkpointer->store);
}
