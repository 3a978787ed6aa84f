/* A worker that is killed at its 1st, 2nd, 3rd … instruction, from the claim of a job to the post behind its
 * completion. The code of worker.c itself, on a real segment, with a real dispatcher, committer and store;
 * the supervisor's own spawn and reap. The task is trivial: its run is only finished. */
#define kind_run trivial_run
#include "worker.c"

#include "step_fixture.h"
#include "supervisor.h"

enum { STEPPED = 1, LARGE_BYTES = 1100 };

static struct supervisor supervisor;
static struct worker_child children[WORKER_COUNT];
static struct catalogue *catalogue;
static char result[LARGE_BYTES];
static size_t result_bytes;

void trivial_run(struct run *run)
{
    run->stopped = board_finish(run->board);
    run->attempt->outcome = OUTCOME_SUCCESS;
    run->result = (struct text){result, result_bytes};
}

static void stepped_worker(const struct worker_setup *setup)
{
    struct worker worker = {.setup = setup,
                            .segment = setup->segment,
                            .board = &setup->segment->boards[setup->number],
                            .catalogue = catalogue,
                            .pool = &config.pools[0],
                            .number = setup->number,
                            .incarnation = setup->incarnation};
    uint64_t ticket;
    be_stepped();
    if (scan_rings(&worker, &ticket))
        run_job(&worker, ticket);
    _exit(WORKER_EXIT_DRAINED);
}

static const struct supervisor_mains MAINS = {.worker = stepped_worker};

static void rig_supervisor(void)
{
    rig_up_with(FEW_SLOTS);
    supervisor = (struct supervisor){.config = &config,
                                     .mains = &MAINS,
                                     .segment = segment,
                                     .listen_fd = -1,
                                     .wake_fd = wake_fd,
                                     .signal_fd = -1,
                                     .timer_fd = -1,
                                     .epoll_fd = -1,
                                     .workers = children,
                                     .worker_count = WORKER_COUNT};
    pools_init(&supervisor);
    ok(blackbox_create(folder, WORKER_COUNT, &supervisor.box));
    catalogue = calloc(1, sizeof *catalogue);
    ck_assert_ptr_nonnull(catalogue);
    catalogue->epoch = catalogue->task_count = 1;
    strcpy(catalogue->tasks[0].name, "echo");
    TURN_UNTIL(all_warm());
    stay_on_one_cpu();
}

static void unrig_supervisor(void)
{
    free(catalogue);
    blackbox_close(&supervisor.box);
    rig_down();
}

/* --- one death --- */

/* What the worker held when it was killed. */
struct held {
    struct id id;
    bool any, done;
};

static struct held look_at_held(void)
{
    for (uint32_t i = 0; i < segment.shape.slot_count; i++) {
        struct claim claim = slot_claim_load(&segment.slots[i]);
        bool done = claim.state == SLOT_DONE;
        if ((claim.state == SLOT_RUNNING || done) && claim.worker == STEPPED)
            return (struct held){.id = segment.slots[i].spec.id, .any = true, .done = done};
    }
    return (struct held){.any = false};
}

static bool both_ended(const struct id ids[2])
{
    return job_is_terminal(state_of(ids[0])) && job_is_terminal(state_of(ids[1]));
}

static void reap(void)
{
    int64_t until = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;
    while (children[STEPPED].pid != 0 || atomic_load(&segment.boards[STEPPED].status) == WORKER_DYING) {
        reap_children(&supervisor);
        reap_settle(&supervisor);
        ck_assert(clock_mono_ns() < until);
    }
}

/* Which worker's result it is, and how many attempts it took: exactly those that were begun. */
static void check_job(struct id id, const struct held *held)
{
    JOB_AUTO job = row(id);
    bool mine = held->any && id_equal(held->id, id), lost = mine && !held->done;
    ck_assert_str_eq(job_state_text(job->state), "succeeded");
    ck_assert_uint_eq(job->spec.lost, lost);
    ck_assert_uint_eq(job->spec.attempt, 1u + lost);
    ck_assert_uint_eq(job->attempt.number, job->spec.attempt);
    ck_assert_int_eq(job->attempt.worker, mine && held->done ? STEPPED : RIVAL);
    if (mine && held->done)
        ck_assert(job->result.bytes == result_bytes && memcmp(job->result.at, result, result_bytes) == 0);
    else
        ck_assert(job->result.bytes == 2 && memcmp(job->result.at, "42", 2) == 0);
}

/* Two jobs are out. False: the worker came to its end before the kill. */
static bool die_at(uint64_t instruction)
{
    struct id ids[2];
    starts = 0;
    workers_wait(2);
    ids[0] = submitted_job();
    ids[1] = submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 2);
    spawn_worker(&supervisor, STEPPED, false);
    bool killed = step_child(children[STEPPED].pid, instruction);
    struct held held = look_at_held();
    rival_works(); /* the ring is blocked for nobody */
    ck_assert_uint_eq(starts, held.any ? 1 : 2);
    turns(1);
    if (held.any && !held.done) /* not reaped: nobody else runs it */
        ck_assert(id_equal(look_at_held().id, held.id) && claim_next(RIVAL) == 0);
    reap();
    TURN_UNTIL((rival_works(), both_ended(ids)));
    ck_assert_uint_eq(starts, held.done ? 1 : 2);
    check_job(ids[0], &held);
    check_job(ids[1], &held);
    assert_nothing_left();
    assert_trays_empty();
    return killed;
}

static void walk(const char *name, size_t bytes)
{
    result_bytes = bytes;
    memset(result, '7', sizeof result);
    for (uint64_t at = 1; die_at(at); at += stride)
        ;
    print_path(name);
}

START_TEST(a_worker_may_die_at_each_instruction)
{
    walk("worker, a result in the slot", 2);
}
END_TEST

START_TEST(a_worker_with_a_large_result_may_die_at_each_instruction)
{
    walk("worker, a result in the tray", LARGE_BYTES);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("step_worker");
    TCase *tests = tcase_create("worker");
    read_options(argc, argv, false);
    tcase_add_checked_fixture(tests, rig_supervisor, unrig_supervisor);
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, a_worker_may_die_at_each_instruction);
    tcase_add_test(tests, a_worker_with_a_large_result_may_die_at_each_instruction);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
