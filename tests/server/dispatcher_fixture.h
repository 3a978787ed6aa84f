/* What the tests of the dispatcher share: a segment, a store in a folder of its own, committer and dispatcher
 * as the front runs them, and no worker processes: a test takes tickets, runs, finishes and dies by hand. */
#ifndef FORKPOOL_TESTS_DISPATCHER_FIXTURE_H
#define FORKPOOL_TESTS_DISPATCHER_FIXTURE_H

#include "shared/segment_fixture.h"
#include "store_fixture.h"

#include "dispatcher.h"
#include "ring.h"
#include "scoreboard.h"

#include <sys/eventfd.h>

enum { SLOT_COUNT = 64, WORKER_COUNT = 4, PATIENCE_S = 30 };

static struct config config;
static struct hot hot;
static struct waiters *waiters;
static struct metrics *metrics;
static struct committer committer;
static struct dispatcher dispatcher;
static struct store_reader *reader;
static bool committing;
static int wake_fd;
static struct compose composing; /* what makes the jobs of schedules; set before rig_up, if at all */

/* --- a front's life --- */

static inline void count_load(void *argument, struct work *work);
static _Atomic int loads_seen, rows_loaded; /* what the committer has read for the dispatcher */

static inline void front_prepare(void)
{
    open_store();
    ok(store_reader_open(url, &reader));
    ck_assert_ptr_nonnull(waiters = calloc(1, sizeof *waiters));
    ck_assert_ptr_nonnull(metrics = calloc(1, sizeof *metrics));
    ok(hot_init(&hot, segment.shape.slot_count));
    waiters_init(waiters);
    committer_init(&committer, store, metrics, count_load, &dispatcher);
    struct dispatcher_setup setup = {&config,    &segment, &hot,      waiters, metrics,
                                     &committer, wake_fd,  composing, NULL};
    ok(dispatcher_init(&dispatcher, &setup));
    ok(recovery_take_over(&dispatcher));
}

static inline void committer_up(void)
{
    ok(committer_start(&committer));
    committing = true;
}

static inline void front_up(void)
{
    front_prepare();
    committer_up();
}

static inline void free_list(struct work *work)
{
    while (work != NULL) {
        struct work *next = work->parked;
        work_free(work);
        work = next;
    }
}

static inline void free_inbox(struct inbox *inbox)
{
    for (struct inbox_node *node = inbox_take(inbox), *next; node != NULL; node = next) {
        next = node->next;
        work_free((struct work *)(void *)node);
    }
}

/* The front dies: what was committed is committed, the rest of its memory is gone. Slots and workers stay. */
static inline void front_dies(void)
{
    if (committing)
        committer_stop(&committer);
    committing = false;
    free_inbox(&committer.inbox);
    free_inbox(&dispatcher.inbox);
    free_list(dispatcher.deferred);
    free_list(dispatcher.settings);
    free_list(dispatcher.timetable.changes);
    for (uint32_t i = 0; i < segment.shape.slot_count; i++)
        free_list(dispatcher.cells[i].parked);
    dispatcher_fini(&dispatcher);
    store_reader_close(reader);
    close_store();
    hot_fini(&hot);
    free(waiters);
    free(metrics);
}

static inline void restart(void)
{
    front_dies();
    front_up();
}

/* Everything dies: a new segment, too. */
static inline void make_segment(uint32_t slots)
{
    struct segment_shape shape = {.slot_count = slots,
                                  .worker_count = WORKER_COUNT,
                                  .arena_bytes = 1 << 20,
                                  .tray_bytes = 1 << 14,
                                  .max_result = 1 << 13};
    ok(segment_create(&shape, &segment));
    atomic_store(&segment.header->catalogue_epoch, 1);
}

static inline void rig_up_with(uint32_t slots)
{
    make_folder();
    config = (struct config){
        .jobs_max_crashes = 3, .jobs_max_lost = 20, .jobs_key_concurrency = 1, .state_dir = folder};
    wake_fd = eventfd(0, EFD_NONBLOCK);
    atomic_store(&loads_seen, 0);
    atomic_store(&rows_loaded, 0);
    make_segment(slots);
    front_up();
}

static inline void rig_up(void)
{
    rig_up_with(SLOT_COUNT);
}

static inline void rig_down(void)
{
    front_dies();
    segment_close(&segment);
    close(wake_fd);
    remove_folder();
}

static inline void everything_dies(void)
{
    uint32_t slots = segment.shape.slot_count;
    front_dies();
    segment_close(&segment);
    make_segment(slots);
    front_up();
}

static inline void count_load(void *argument, struct work *work)
{
    if (work->kind == WORK_LOAD) {
        atomic_fetch_add(&loads_seen, 1);
        atomic_fetch_add(&rows_loaded, (int)work->count);
    }
    dispatcher_give(argument, work);
}

static inline void turn(void)
{
    sem_hint(&segment.header->done); /* no sleep */
    dispatcher_turn(&dispatcher);
}

/* No lane has rows without slots: what is submitted from now on goes straight into a slot. */
static inline bool all_warm(void)
{
    bool warm = true;
    for (size_t i = 0; i < dispatcher.lineup.bucket_count; i++)
        for (const struct lane *lane = dispatcher.lineup.lanes[i]; lane != NULL; lane = lane->next)
            warm = warm && lane->cold_seq == NO_SEQ;
    return warm;
}

static inline void turns(int count)
{
    for (int i = 0; i < count; i++) {
        turn();
        clock_sleep_ms(1);
    }
}

/* As if so many workers waited for work: so many jobs are published, and one more. */
static inline void workers_wait(uint32_t workers)
{
    atomic_store(&segment.boards[0].waiting, workers);
}

#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ns = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;                                        \
        for (turn(); !(condition); turn()) {                                                                 \
            ck_assert_msg(clock_mono_ns() < until_ns, "waited in vain: %s", #condition);                     \
            usleep(200);                                                                                     \
        }                                                                                                    \
    } while (0)

/* --- requests --- */

struct asked {
    struct errand errand; /* first */
    _Atomic int answers;
};

static inline void on_answer(struct errand *errand)
{
    atomic_fetch_add(&((struct asked *)(void *)errand)->answers, 1);
}

static inline bool answered(const struct asked *asked)
{
    return atomic_load(&asked->answers) > 0;
}

static inline struct job *new_job(uint8_t priority, enum durability durability)
{
    struct job *job = make_job("default", "echo");
    job->spec.priority = priority;
    job->spec.durability = (uint8_t)durability;
    job->spec.retry = (struct retry){.max_attempts = 3, .initial_ms = 20, .max_ms = 20};
    job->spec.epoch = 1;
    job->args = (struct text){"[1,2,3]", 7};
    return job;
}

/* Takes the job. */
static inline struct id send_job(struct asked *asked, struct job *job)
{
    struct work *work = work_new(WORK_SUBMIT);
    *asked = (struct asked){.errand = {.kind = ERRAND_SUBMIT, .job = job, .notify = on_answer}};
    asked->errand.id = job->spec.id;
    work->errand = &asked->errand;
    work->job = job;
    job->spec.lane = job_lane(&job->spec);
    struct id id = job->spec.id;
    committer_give(&committer, work);
    return id;
}

/* Submits, turns until it is answered; the answer. */
static inline enum err submit_job(struct job *job, struct id *id)
{
    struct asked asked;
    *id = send_job(&asked, job);
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(atomic_load(&asked.answers), 1);
    return asked.errand.err;
}

static inline struct id submitted_at(uint8_t priority)
{
    struct id id;
    ok(submit_job(new_job(priority, DURABILITY_PROCESS), &id));
    return id;
}

static inline struct id submitted_job(void)
{
    return submitted_at(PRIORITY_DEFAULT);
}

static inline struct id submitted_memory(void)
{
    struct id id;
    ok(submit_job(new_job(PRIORITY_DEFAULT, DURABILITY_MEMORY), &id));
    return id;
}

static inline void send_cancel(struct asked *asked, struct id id)
{
    struct work *work = work_new(WORK_CANCEL);
    *asked = (struct asked){.errand = {.kind = ERRAND_CANCEL, .id = id, .notify = on_answer}};
    work->errand = &asked->errand;
    work->id = id;
    dispatcher_give(&dispatcher, work);
}

static inline enum err cancel_job(struct id id)
{
    struct asked asked;
    send_cancel(&asked, id);
    TURN_UNTIL(answered(&asked));
    turns(2);
    ck_assert_int_eq(atomic_load(&asked.answers), 1);
    return asked.errand.err;
}

/* --- the store, as another connection sees it --- */

static inline struct job *row(struct id id)
{
    struct job *job = NULL;
    ok(store_get(reader, id, &job));
    return job;
}

static inline enum job_state state_of(struct id id)
{
    JOB_AUTO job = row(id);
    return job->state;
}

static inline bool in_store(struct id id)
{
    struct job *job = NULL;
    enum err err = store_get(reader, id, &job);
    ck_assert(err == ERR_OK || err == ERR_UNKNOWN_JOB);
    job_free(job);
    return err == ERR_OK;
}

static inline void assert_row(struct id id, enum job_state state, uint32_t attempt, uint32_t errors,
                              uint32_t crashes, uint32_t lost)
{
    JOB_AUTO job = row(id);
    ck_assert_str_eq(job_state_text(job->state), job_state_text(state));
    ck_assert_uint_eq(job->spec.attempt, attempt);
    ck_assert_uint_eq(job->spec.errors, errors);
    ck_assert_uint_eq(job->spec.crashes, crashes);
    ck_assert_uint_eq(job->spec.lost, lost);
}

/* --- workers, by hand --- */

static inline struct board *board_of(uint32_t worker)
{
    return &segment.boards[worker];
}

static inline uint16_t incarnation_of(uint32_t worker)
{
    return (uint16_t)atomic_load(&board_of(worker)->incarnation);
}

static inline struct slot *slot_of_ticket(uint64_t ticket)
{
    return &segment.slots[ticket_slot(ticket)];
}

/* Claims what a worker would claim; 0: nothing is published. */
static inline uint64_t claim_next(uint32_t worker)
{
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        struct ring *ring = segment_ring(&segment, 0, (uint32_t)level);
        uint64_t head, ticket;
        while (ring_peek(ring, &head, &ticket)) {
            bool mine =
                slot_claim(slot_of_ticket(ticket), ticket_generation(ticket), worker, incarnation_of(worker));
            ring_advance(ring, head);
            if (mine)
                return ticket;
        }
    }
    return 0;
}

static inline void begin_run(uint32_t worker, uint64_t ticket)
{
    slot_begin_attempt(slot_of_ticket(ticket), worker, clock_real_ms());
    board_begin(board_of(worker), ticket, INT64_MAX, 0);
}

/* Claims and begins the next job, turning until there is one. */
static inline uint64_t start_next(uint32_t worker)
{
    uint64_t ticket = claim_next(worker);
    if (ticket == 0)
        TURN_UNTIL((ticket = claim_next(worker)) != 0);
    begin_run(worker, ticket);
    return ticket;
}

static inline struct id id_of_ticket(uint64_t ticket)
{
    return slot_of_ticket(ticket)->spec.id;
}

/* The bytes first, then DONE; no completion yet. */
static inline void end_run(uint32_t worker, uint64_t ticket, enum outcome outcome, const char *result,
                           size_t bytes)
{
    struct slot *slot = slot_of_ticket(ticket);
    ck_assert_int_eq(board_finish(board_of(worker)), STOP_NONE);
    slot->attempt.outcome = (uint8_t)outcome;
    slot->attempt.retryable = 1;
    slot->attempt.finished_ms = clock_real_ms();
    if (result != NULL && bytes <= SLOT_INLINE_BYTES) {
        memcpy(slot->inline_result, result, bytes);
        slot->result_place = RESULT_INLINE;
    } else if (result != NULL) {
        ok(tray_put(&segment, worker, ticket, incarnation_of(worker), result, bytes, &slot->result_at));
        slot->result_place = RESULT_TRAY;
        slot->result_worker = worker;
    }
    slot->result_bytes = bytes;
    slot->result_sum = result == NULL ? 0 : bytes_sum(result, bytes);
    slot_finish(slot, worker, incarnation_of(worker));
    board_idle(board_of(worker));
}

static inline void finish_run(uint32_t worker, uint64_t ticket, enum outcome outcome)
{
    end_run(worker, ticket, outcome, outcome == OUTCOME_SUCCESS ? "42" : NULL,
            outcome == OUTCOME_SUCCESS ? 2 : 0);
    board_complete(board_of(worker), ticket);
    sem_hint(&segment.header->done);
}

static inline void succeed(uint32_t worker, uint64_t ticket)
{
    finish_run(worker, ticket, OUTCOME_SUCCESS);
}

/* What the supervisor does after a reap: the death, then the incarnation, then the posts. */
static inline void die(uint32_t worker, enum death_cause cause, int signal)
{
    struct board *board = board_of(worker);
    struct death death = {.ticket = atomic_load(&board->ticket),
                          .died_ms = clock_real_ms(),
                          .max_rss_bytes = 4096,
                          .exit_code = -1,
                          .signal = signal,
                          .incarnation = incarnation_of(worker),
                          .cause = (uint16_t)cause};
    ck_assert(board_add_death(board, &death));
    atomic_fetch_add(&board->incarnation, 1);
    atomic_store(&board->run, run_pack(run_number(atomic_load(&board->run)) + 1, RUN_IDLE));
    sem_hint(&segment.header->work[0]);
    sem_hint(&segment.header->done);
}

static inline bool deaths_acknowledged(uint32_t worker)
{
    struct death death;
    return !board_read_death(board_of(worker), &death);
}

/* --- what must hold when nothing is left to do --- */

static inline uint32_t slots_in(enum slot_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < segment.shape.slot_count; i++)
        count += slot_claim_load(&segment.slots[i]).state == state;
    return count;
}

static inline bool all_free(void)
{
    return slots_in(SLOT_FREE) == segment.shape.slot_count;
}

/* What each queue says of jobs that wait for their time or for others is what the store has of them. */
static inline bool put_off_is_right(void)
{
    struct store_count *counts;
    size_t count;
    bool right = true;
    ok(store_counts(reader, &counts, &count));
    for (struct queue *queue = lineup_first_queue(&dispatcher.lineup); queue != NULL;
         queue = lineup_next_queue(queue)) {
        int64_t jobs = 0;
        for (size_t i = 0; i < count; i++)
            if (admit_is_put_off(counts[i].state) && strcmp(counts[i].queue, queue->name) == 0)
                jobs += counts[i].jobs;
        right = right && atomic_load(&queue->put_off) == jobs;
    }
    free(counts);
    return right;
}

static inline void assert_nothing_left(void)
{
    TURN_UNTIL(all_free() && dispatcher.lineup.lane_count == 0 && put_off_is_right());
    ck_assert_uint_eq(dispatcher.free_count, segment.shape.slot_count);
    ck_assert_uint_eq(dispatcher.hot_count, 0);
    ck_assert_uint_eq(dispatcher.memory_count, 0);
    ck_assert_uint_eq(dispatcher.landing_count, 0);
    ck_assert_uint_eq(dispatcher.live.count, 0);
    ck_assert_uint_eq(dispatcher.exposed.count, 0);
    for (struct queue *queue = lineup_first_queue(&dispatcher.lineup); queue != NULL;
         queue = lineup_next_queue(queue)) {
        ck_assert_int_eq(queue->waiting, 0);
        ck_assert_uint_eq(queue->gate.in_flight, 0);
    }
    ck_assert_uint_eq(dispatcher.arena.used, 0);
    ck_assert(dispatcher_settled(&dispatcher));
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        ck_assert(deaths_acknowledged(i));
    counts_are_right();
}

/* Runs everything that is there to success, one at a time, in the order in which it comes. */
static inline void run_all(int jobs)
{
    for (int i = 0; i < jobs; i++)
        succeed(0, start_next(0));
    assert_nothing_left();
}

#endif
