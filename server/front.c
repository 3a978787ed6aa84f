#include "front.h"

#include "care.h"
#include "check.h"
#include "checkpointer.h"
#include "clock.h"
#include "crash_point.h"
#include "dispatcher.h"
#include "log.h"
#include "title.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SETTLE_MS = 3000 };

struct front {
    const struct front_setup *setup;
    struct store *store; /* owned */
    struct ballast ballast;
    struct metrics *metrics;
    struct hot hot;
    struct waiters waiters;
    struct committer committer;
    struct dispatcher dispatcher;
    struct meters meters;
    struct checkpointer checkpointer;
    pthread_mutex_t catalogue_mutex;
    struct catalogue_ref *catalogue; /* one reference */
    uint32_t config_epoch;           /* of the file whose limits are in force */
    void *http;
    _Atomic bool http_stopped;
    int64_t started_ms;
};

/* --- what the HTTP side asks for (front.h) --- */

void front_submit(struct front *front, struct errand *errand)
{
    struct work *work = front_draining(front) ? NULL : work_new(WORK_SUBMIT);
    if (work == NULL) {
        errand->err = front_draining(front) ? ERR_DRAINING : ERR_NO_MEMORY;
        errand->notify(errand);
        return;
    }
    work->errand = errand;
    work->job = job_share(errand->job);
    CRASH_POINT(SUBMIT_VALIDATED);
    committer_give(&front->committer, work);
}

void front_bulk(struct front *front, struct errand *errand)
{
    struct work *work = front_draining(front) ? NULL : work_new(WORK_BULK);
    if (work != NULL)
        work->jobs = calloc(errand->bulk->count, sizeof(struct job *));
    if (work == NULL || work->jobs == NULL) {
        errand->err = front_draining(front) ? ERR_DRAINING : ERR_NO_MEMORY;
        work_free(work);
        errand->notify(errand);
        return;
    }
    work->errand = errand;
    CRASH_POINT(BULK_VALIDATED);
    committer_give(&front->committer, work);
}

/* Of a job that stands already: the dispatcher knows whether it has a slot. */
static void ask(struct front *front, struct errand *errand, enum work_kind kind)
{
    struct work *work = work_new(kind);
    if (work == NULL) {
        errand->err = ERR_NO_MEMORY;
        errand->notify(errand);
        return;
    }
    work->errand = errand;
    work->id = errand->id;
    dispatcher_give(&front->dispatcher, work);
}

void front_cancel(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_CANCEL);
}

void front_retry(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_RETRY);
}

void front_forget(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_FORGET);
}

void front_patch(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_PATCH);
}

void front_set(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_SET);
}

void front_schedule(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_SCHEDULE);
}

void front_look(struct front *front, struct errand *errand)
{
    ask(front, errand, WORK_LOOK);
}

enum err front_admit(struct front *front, const struct job_spec *spec, struct admission *admission)
{
    struct lineup *lineup = &front->dispatcher.lineup;
    return lineup_reserve(lineup, lineup_queue(lineup, spec->queue), admission);
}

void front_unadmit(struct front *front, const struct job_spec *spec)
{
    lineup_unreserve(lineup_queue(&front->dispatcher.lineup, spec->queue));
}

enum err front_may_retry(struct front *front, const char *queue, struct admission *admission)
{
    struct lineup *lineup = &front->dispatcher.lineup;
    enum err err = lineup_takes(lineup, lineup_queue(lineup, queue), admission);
    return err == ERR_QUEUE_CLOSED ? err : ERR_OK;
}

bool front_any_drain(struct front *front)
{
    struct lineup *lineup = &front->dispatcher.lineup;
    bool any = atomic_load_explicit(&lineup->closed, memory_order_relaxed);
    for (struct queue *queue = lineup_first_queue(lineup); queue; queue = lineup_next_queue(queue))
        any = any || atomic_load_explicit(&queue->closed, memory_order_relaxed);
    return any;
}

void front_wait(struct front *front, struct waiter *waiter)
{
    waiters_add(&front->waiters, waiter);
}

bool front_unwait(struct front *front, struct waiter *waiter)
{
    return waiters_remove(&front->waiters, waiter);
}

static enum err read_hot(struct front *front, struct id id, struct job **job)
{
    uint32_t slot = hot_find(&front->hot, id);
    return slot == HOT_NONE ? ERR_NOT_FOUND : slot_copy(front->setup->segment, slot, id, job);
}

enum err front_read(struct front *front, struct store_reader *reader, struct id id, struct job **job)
{
    enum err err = read_hot(front, id, job);
    if (err != ERR_NOT_FOUND)
        return err;
    err = store_get(reader, id, job); /* a slot is freed only after its row is durable */
    if (err == ERR_UNKNOWN_JOB)
        return read_hot(front, id, job) == ERR_OK ? ERR_OK : ERR_UNKNOWN_JOB; /* it got its slot in between */
    return err;
}

static int by_id_downward(const void *a, const void *b)
{
    const struct job *const *left = a, *const *right = b;
    int64_t one = id_key((*left)->spec.id), two = id_key((*right)->spec.id);
    return one < two ? 1 : one > two ? -1 : 0;
}

enum err front_running(struct front *front, size_t limit, struct job **jobs, size_t *count)
{
    const struct segment *segment = front->setup->segment;
    *count = 0;
    for (uint32_t i = 0; i < segment->shape.worker_count && *count < limit; i++) {
        uint64_t run = atomic_load_explicit(&segment->boards[i].run, memory_order_acquire);
        uint32_t slot = ticket_slot(atomic_load_explicit(&segment->boards[i].ticket, memory_order_relaxed));
        if (run_phase(run) == RUN_IDLE || slot >= segment->shape.slot_count ||
            slot_claim_load(&segment->slots[slot]).state != SLOT_RUNNING)
            continue;
        enum err err = slot_copy(segment, slot, segment->slots[slot].spec.id, &jobs[*count]);
        if (err == ERR_OK && jobs[*count]->state == JOB_RUNNING)
            (*count)++;
        else if (err == ERR_OK)
            job_free(jobs[*count]);
        else if (err != ERR_NOT_FOUND)
            return err;
    }
    qsort(jobs, *count, sizeof(struct job *), by_id_downward);
    return ERR_OK;
}

bool front_is_running(struct front *front, struct id id)
{
    uint32_t slot = hot_find(&front->hot, id);
    if (slot == HOT_NONE)
        return false;
    enum slot_state state = slot_claim_load(&front->setup->segment->slots[slot]).state;
    return state == SLOT_RUNNING || state == SLOT_DONE;
}

struct catalogue_ref *front_catalogue(struct front *front)
{
    pthread_mutex_lock(&front->catalogue_mutex);
    struct catalogue_ref *ref = front->catalogue;
    if (ref != NULL)
        atomic_fetch_add_explicit(&ref->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&front->catalogue_mutex);
    return ref;
}

void front_catalogue_drop(struct catalogue_ref *ref)
{
    if (ref == NULL || atomic_fetch_sub_explicit(&ref->references, 1, memory_order_acq_rel) > 1)
        return;
    free(ref->catalogue);
    free(ref);
}

const struct config *front_config(const struct front *front)
{
    return front->setup->config;
}

const struct segment *front_segment(const struct front *front)
{
    return front->setup->segment;
}

const struct access *front_access(const struct front *front)
{
    return front->setup->access;
}

struct metrics *front_metrics(struct front *front)
{
    return front->metrics;
}

bool front_draining(struct front *front)
{
    return atomic_load_explicit(&front->setup->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
}

static bool any_worker(const struct segment *segment)
{
    for (uint32_t i = 0; i < segment->shape.worker_count; i++)
        if (atomic_load_explicit(&segment->boards[i].status, memory_order_relaxed) == WORKER_LIVE &&
            atomic_load_explicit(&segment->boards[i].epoch, memory_order_relaxed) > 0)
            return true;
    return false;
}

/* Its own copy: a submission looks there. */
static bool has_catalogue(struct front *front)
{
    struct catalogue_ref *ref = front_catalogue(front);
    front_catalogue_drop(ref);
    return ref != NULL;
}

bool front_ready(struct front *front, const char **why)
{
    const struct segment_header *header = front->setup->segment->header;
    *why = "ready";
    if (front_draining(front))
        *why = "shutting down";
    else if (!atomic_load_explicit(&header->ready, memory_order_acquire))
        *why = "recovering";
    else if (!has_catalogue(front))
        *why = "the tasks are being read";
    else if (!any_worker(front->setup->segment))
        *why = "no worker is up";
    else
        return true;
    return false;
}

void front_numbers(struct front *front, struct front_numbers *numbers)
{
    const struct segment *segment = front->setup->segment;
    const struct dispatcher *dispatcher = &front->dispatcher;
    *numbers = (struct front_numbers){
        .slots_total = segment->shape.slot_count,
        .slots_used = atomic_load_explicit(&dispatcher->slots_used, memory_order_relaxed),
        .slots_memory = atomic_load_explicit(&dispatcher->slots_memory, memory_order_relaxed),
        .arena_bytes = (int64_t)segment->shape.arena_bytes,
        .arena_used = (int64_t)atomic_load_explicit(&dispatcher->arena_used, memory_order_relaxed),
        .started_ms = front->started_ms,
        .store_full = atomic_load_explicit(&front->committer.full, memory_order_relaxed)};
    for (uint32_t i = 0; i < segment->shape.worker_count; i++)
        numbers->slots_running +=
            run_phase(atomic_load_explicit(&segment->boards[i].run, memory_order_relaxed)) != RUN_IDLE;
}

/* --- the process --- */

static void set_signals(void)
{
    /* Only the supervisor ends the front, by the header's drain word: a signal to the whole group must not.
     */
    static const int IGNORED[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < sizeof IGNORED / sizeof IGNORED[0]; i++)
        CHECK(sigaction(IGNORED[i], &ignore, NULL) == 0);
}

/* The new catalogue, once the probe has made one. */
static void refresh_catalogue(struct front *front)
{
    uint32_t epoch =
        atomic_load_explicit(&front->setup->segment->header->catalogue_epoch, memory_order_acquire);
    if (epoch == 0 || (front->catalogue != NULL && front->catalogue->catalogue->epoch == epoch))
        return;
    struct catalogue_ref *ref = calloc(1, sizeof *ref);
    if (ref == NULL || catalogue_copy(front->setup->segment, &ref->catalogue) != ERR_OK) {
        free(ref);
        return; /* tried again on the next turn */
    }
    atomic_init(&ref->references, 1);
    pthread_mutex_lock(&front->catalogue_mutex);
    struct catalogue_ref *old = front->catalogue;
    front->catalogue = ref;
    pthread_mutex_unlock(&front->catalogue_mutex);
    front_catalogue_drop(old);
    LOG(TASKS_LOAD, LOG_INT("tasks", ref->catalogue->task_count), LOG_INT("epoch", epoch));
    prove_again(&front->dispatcher);
}

/* The file again, as the supervisor has just read it: limits of queues and tasks, and how long jobs are
 * kept. */
static void refresh_config(struct front *front)
{
    const struct front_setup *setup = front->setup;
    uint32_t epoch = atomic_load_explicit(&setup->segment->header->config_epoch, memory_order_acquire);
    if (epoch == front->config_epoch)
        return;
    front->config_epoch = epoch;
    struct config *fresh;
    BUF_AUTO message = {0};
    if (config_load(setup->argc, setup->argv, environ, &fresh, &message) != ERR_OK) {
        buf_add(&message, "", 1); /* it was fine a moment ago */
        LOG(CONFIG_ERROR, LOG_TEXT("reason", message.failed ? "out of memory" : message.data));
        return;
    }
    configure(&front->dispatcher, fresh);
    prove_after_reload(&front->dispatcher);
    if (retention_configure(&front->checkpointer.retention, fresh) != ERR_OK)
        LOG(CONFIG_ERROR, LOG_TEXT("reason", "out of memory: jobs are kept as long as before"));
    config_free(fresh);
}

/* What is only short for now ends a start, but not a server that was already at work. */
static _Noreturn void give_up(const struct front *front, enum err err, const char *reason, int exit_status)
{
    const struct segment_header *header = front->setup->segment->header;
    bool later = atomic_load_explicit(&header->front_restarts, memory_order_relaxed) > 0 ||
                 atomic_load_explicit(&header->resets, memory_order_relaxed) > 0;
    bool short_now = err == ERR_NO_MEMORY || err == ERR_SYSTEM;
    LOG(SERVER_FAIL, LOG_TEXT("reason", reason), LOG_TEXT("code", err_code(err)));
    _exit(later && short_now ? FRONT_EXIT_AGAIN : exit_status);
}

static void open_store(struct front *front)
{
    const struct config *config = front->setup->config;
    BUF_AUTO message = {0};
    int64_t begun = clock_mono_ns();
    enum err err = care_open_store(config, &front->ballast, &front->store, &message);
    if (err != ERR_OK) {
        buf_add(&message, "", 1);
        give_up(front, err,
                message.failed || message.bytes == 1 ? "the store cannot be opened" : message.data,
                FRONT_EXIT_FATAL);
    }
    store_inputs_most(front->store, (size_t)config->jobs_max_inputs);
    id_raise(store_greatest_key(front->store));
    front->setup->box->header->store_id = store_identity(front->store);
    CRASH_POINT(STORE_OPENED);
    err = recovery_charge(front->store, config);
    if (err != ERR_OK)
        give_up(front, err, "the black box could not be charged to the store", FRONT_EXIT_STORE);
    CRASH_POINT(BOX_CHARGED);
    LOG(STORE_OPEN, LOG_INT("ms", (clock_mono_ns() - begun) / NS_PER_MS));
}

static enum err compose(void *context, struct text body, struct job **job, struct buf *why)
{
    struct front *front = context;
    return front->setup->http->compose(front, body, job, why);
}

static void start(struct front *front)
{
    const struct front_setup *setup = front->setup;
    front->metrics = calloc(1, sizeof *front->metrics);
    if (front->metrics == NULL || hot_init(&front->hot, setup->segment->shape.slot_count) != ERR_OK)
        give_up(front, ERR_NO_MEMORY, "out of memory", FRONT_EXIT_FATAL);
    waiters_init(&front->waiters);
    open_store(front);
    committer_init(&front->committer, front->store, front->metrics, dispatcher_give, &front->dispatcher);
    front->committer.ballast = &front->ballast;
    bool metered = meters_open(setup->config->state_dir, &front->meters) == ERR_OK;
    struct dispatcher_setup with = {.config = setup->config,
                                    .segment = setup->segment,
                                    .hot = &front->hot,
                                    .waiters = &front->waiters,
                                    .metrics = front->metrics,
                                    .committer = &front->committer,
                                    .supervisor_wake_fd = setup->supervisor_wake_fd,
                                    .compose = {compose, front},
                                    .meters = metered ? &front->meters : NULL};
    if (dispatcher_init(&front->dispatcher, &with) != ERR_OK)
        give_up(front, ERR_NO_MEMORY, "out of memory", FRONT_EXIT_FATAL);
    enum err err = recovery_take_over(&front->dispatcher);
    if (err != ERR_OK)
        give_up(front, err, "the waiting jobs could not be read from the store", FRONT_EXIT_STORE);
    err = committer_start(&front->committer);
    if (err == ERR_OK)
        err = checkpointer_start(&front->checkpointer, setup->config, &front->committer,
                                 store_was_unclean(front->store));
    if (err != ERR_OK)
        give_up(front, err, "a thread could not be started", FRONT_EXIT_FATAL);
    front->config_epoch = atomic_load_explicit(&setup->segment->header->config_epoch, memory_order_acquire);
    refresh_catalogue(front);
    err = setup->http->start(front, setup->listen_fd, &front->http);
    if (err != ERR_OK)
        give_up(front, err, "HTTP could not be started", FRONT_EXIT_FATAL);
    CRASH_POINT(FRONT_READY);
    atomic_store_explicit(&setup->segment->header->ready, 1, memory_order_release);
}

static void *stop_http_thread(void *argument)
{
    struct front *front = argument;
    front->setup->http->stop(front->http);
    atomic_store_explicit(&front->http_stopped, true, memory_order_release);
    sem_hint(&front->setup->segment->header->done);
    return NULL;
}

/* Requests that are under way still get their answers from the dispatcher meanwhile. */
static void stop_http(struct front *front)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, stop_http_thread, front) != 0) {
        log_errno("pthread_create", "stop");
        return;
    }
    while (!atomic_load_explicit(&front->http_stopped, memory_order_acquire))
        dispatcher_turn(&front->dispatcher);
    pthread_join(thread, NULL);
}

/* Workers are gone: what they finished is committed and answered, what lies only in memory is handed to the
 * store. */
static void finish(struct front *front)
{
    int64_t until = clock_mono_ns() + SETTLE_MS * NS_PER_MS;
    front->dispatcher.scan_now = true;
    while (!dispatcher_settled(&front->dispatcher) && clock_mono_ns() < until)
        dispatcher_turn(&front->dispatcher);
    dispatcher_save_memory_jobs(&front->dispatcher);
    while (!dispatcher_settled(&front->dispatcher) && clock_mono_ns() < until)
        dispatcher_turn(&front->dispatcher);
    stop_http(front);
    committer_stop(&front->committer);
    checkpointer_stop(&front->checkpointer);
    meters_close(&front->meters);
    CRASH_POINT(FRONT_DRAINED);
    store_close(front->store);
    CRASH_POINT(STORE_CLOSED);
}

_Noreturn void front_main(const struct front_setup *setup)
{
    static struct front front;
    const struct config *config = setup->config;
    struct segment_header *header = setup->segment->header;
    CRASH_PROCESS(FRONT);
    title_set("forkpool: front");
    log_init("front", (enum log_level)config->log_level, (enum log_format)config->log_format);
    set_signals();
    umask(0027);
    front.setup = setup;
    front.started_ms = clock_real_ms();
    pthread_mutex_init(&front.catalogue_mutex, NULL);
    start(&front);
    LOG(FRONT_START,
        LOG_INT("restarts", atomic_load_explicit(&header->front_restarts, memory_order_relaxed)));
    bool said_ready = false;
    while (atomic_load_explicit(&header->draining, memory_order_acquire) != DRAIN_FRONT) {
        const char *why;
        dispatcher_turn(&front.dispatcher);
        refresh_config(&front); /* first: it waits for the catalogue that comes with it */
        refresh_catalogue(&front);
        log_set_level((enum log_level)atomic_load_explicit(&header->log_level, memory_order_relaxed));
        if (!said_ready && front_ready(&front, &why)) {
            LOG_EVENT(SERVER_READY);
            said_ready = true;
        }
    }
    finish(&front);
    _exit(FRONT_EXIT_DRAINED);
}
