/* A real front in one thread: dispatcher, committer and store are stepped by hand, and one worker, by hand
 * too, succeeds at everything. Made anew whenever a run has left something behind, so that runs are alike.
 */
#ifndef FORKPOOL_TESTS_FRONT_RIG_H
#define FORKPOOL_TESTS_FRONT_RIG_H

#include "front.c" /* for struct front, which is nobody else's business */

#include "fuzz.h"
#include "ring.h"
#include "scoreboard.h"

#include <sys/eventfd.h>

enum { RIG_SLOTS = 64, RIG_AGE = 512 };

static struct {
    char folder[64], url[96];
    struct config *config;
    struct segment segment;
    struct access *access;
    struct front_setup setup;
    struct front front;
    uint64_t commits; /* of its own start */
    unsigned runs;
    bool up;
} rig;

static inline void rig_ok(enum err err, const char *what)
{
    HOLDS(err == ERR_OK, "the rig: %s: %s", what, err_code(err));
}

static void rig_remove(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", rig.folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", rig.folder);
}

/* Once a process. flags: NULL-terminated, besides the store. */
static inline void rig_prepare(char *const *flags)
{
    char store[128], *argv[16] = {store}, *env[] = {NULL};
    struct buf message = {0};
    int argc = 1;
    if (rig.config != NULL)
        return;
    log_set_level(LOG_LEVEL_COUNT);
    strcpy(rig.folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/forkpool-fuzz.XXXXXX" : "/tmp/forkpool-fuzz.XXXXXX");
    HOLDS(mkdtemp(rig.folder) != NULL, "a folder");
    atexit(rig_remove);
    snprintf(rig.url, sizeof rig.url, "sqlite://%s/jobs.db", rig.folder);
    snprintf(store, sizeof store, "--store-url=%s", rig.url);
    while (*flags != NULL)
        argv[argc++] = *flags++;
    enum err err = config_load(argc, argv, env, &rig.config, &message);
    HOLDS(err == ERR_OK, "%.*s", (int)message.bytes, message.data);
    rig_ok(access_open(&rig.access), "access");
    access_publish(rig.access, rig.config);
}

static inline void rig_task(const char *name)
{
    struct catalogue *bank = &rig.segment.catalogues[1];
    struct task *task = &bank->tasks[bank->task_count++];
    strcpy(task->name, name);
    task->timeout_ms = 60000;
    task->retry = (struct retry){.max_attempts = 3, .initial_ms = 20, .max_ms = 20};
}

static inline void rig_segment(void)
{
    struct segment_shape shape = {.slot_count = RIG_SLOTS,
                                  .worker_count = 2,
                                  .arena_bytes = 1 << 18,
                                  .tray_bytes = 1 << 14,
                                  .max_result = 1 << 13};
    rig_ok(segment_create(&shape, &rig.segment), "a segment");
    rig.segment.catalogues[1].epoch = 1;
    rig_task("echo");
    rig_task("sum");
    atomic_store(&rig.segment.header->catalogue_epoch, 1);
    atomic_store(&rig.segment.header->ready, 1);
    atomic_store(&rig.segment.boards[0].status, WORKER_LIVE);
    atomic_store(&rig.segment.boards[0].epoch, 1);
    atomic_store(&rig.segment.boards[0].waiting, 1);
}

/* Other threads' inboxes are empty when it is taken down: everything was stepped to its end. */
static inline void rig_up(void)
{
    struct front *front = &rig.front;
    struct buf message = {0};
    rig_segment();
    rig.setup = (struct front_setup){.config = rig.config,
                                     .segment = &rig.segment,
                                     .access = rig.access,
                                     .supervisor_wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    memset(front, 0, sizeof *front);
    front->setup = &rig.setup;
    front->started_ms = clock_real_ms();
    pthread_mutex_init(&front->catalogue_mutex, NULL);
    front->metrics = calloc(1, sizeof *front->metrics);
    HOLDS(front->metrics != NULL, "memory");
    rig_ok(hot_init(&front->hot, RIG_SLOTS), "hot");
    waiters_init(&front->waiters);
    rig_ok(store_open(rig.url, &front->store, &message), "a store");
    committer_init(&front->committer, front->store, front->metrics, dispatcher_give, &front->dispatcher);
    struct dispatcher_setup with = {rig.config,
                                    &rig.segment,
                                    &front->hot,
                                    &front->waiters,
                                    front->metrics,
                                    &front->committer,
                                    rig.setup.supervisor_wake_fd,
                                    {0},
                                    NULL};
    rig_ok(dispatcher_init(&front->dispatcher, &with), "a dispatcher");
    rig_ok(recovery_take_over(&front->dispatcher), "recovery");
    refresh_catalogue(front);
    HOLDS(front->catalogue != NULL, "a catalogue");
    rig.runs = 0;
    rig.up = true;
}

static inline void rig_down(void)
{
    static const char *const FILES[] = {"", "-wal", "-shm"};
    char path[128];
    if (!rig.up)
        return;
    dispatcher_fini(&rig.front.dispatcher);
    store_close(rig.front.store);
    hot_fini(&rig.front.hot);
    free(rig.front.metrics);
    front_catalogue_drop(rig.front.catalogue);
    close(rig.setup.supervisor_wake_fd);
    segment_close(&rig.segment);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        snprintf(path, sizeof path, "%s%s", rig.url + strlen("sqlite://"), FILES[i]);
        unlink(path);
    }
    rig.up = false;
}

/* --- the worker --- */

static inline void rig_run(uint64_t ticket)
{
    struct slot *slot = &rig.segment.slots[ticket_slot(ticket)];
    struct board *board = &rig.segment.boards[0];
    uint16_t incarnation = (uint16_t)atomic_load(&board->incarnation);
    if (!slot_claim(slot, ticket_generation(ticket), 0, incarnation))
        return;
    slot_begin_attempt(slot, 0, clock_real_ms());
    board_begin(board, ticket, INT64_MAX, 0);
    HOLDS(board_finish(board) == STOP_NONE, "it was stopped");
    slot->attempt.outcome = OUTCOME_SUCCESS;
    slot->attempt.finished_ms = clock_real_ms();
    memcpy(slot->inline_result, "42", 2);
    slot->result_place = RESULT_INLINE;
    slot->result_bytes = 2;
    slot->result_sum = bytes_sum("42", 2);
    slot_finish(slot, 0, incarnation);
    board_idle(board);
    board_complete(board, ticket);
}

static inline void rig_work(void)
{
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        struct ring *ring = segment_ring(&rig.segment, 0, (uint32_t)level);
        uint64_t head, ticket;
        while (ring_peek(ring, &head, &ticket)) {
            ring_advance(ring, head);
            rig_run(ticket);
        }
    }
    atomic_store(&rig.segment.boards[0].waiting, 1);
}

/* Everybody once. */
static inline void rig_step(void)
{
    committer_step(&rig.front.committer);
    dispatcher_step(&rig.front.dispatcher);
    rig_work();
}

/* Until all that it looks for by itself has been looked for. */
static inline void rig_settle(void)
{
    for (int i = 0; i < 4; i++)
        rig_step();
    rig.commits = atomic_load(&rig.front.committer.commits);
}

/* Whether a run has left something that the next one could see. */
static inline bool rig_is_used(void)
{
    const struct dispatcher *dispatcher = &rig.front.dispatcher;
    return atomic_load(&rig.front.committer.commits) != rig.commits || dispatcher->hot_count > 0 ||
           dispatcher->memory_count > 0 || dispatcher->free_count != RIG_SLOTS || ++rig.runs >= RIG_AGE;
}

#endif
