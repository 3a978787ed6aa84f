/* The front's dispatcher that is killed at its 1st, 2nd, 3rd … instruction, in each of its dealings with a
 * slot: reserve, fill, publish and take back; collect what is DONE; free it; charge a death; requeue after
 * it. Then a new front takes over the same segment and the same store, and the job must end once, with as
 * many attempts on record as were begun. Each is tried twice: with a worker that claims what is out before
 * the new front comes, and without. */
#include "step_marks.h"

struct deed {
    const char *name;
    void (*prepare)(void); /* in the front that will die, up to the deed */
    void (*run)(void);     /* the deed, in a child that has the front's memory */
    uint32_t attempts;     /* of the job, in the end */
};

static struct asked asked;
static struct id job_id;

/* --- a front without threads --- */

static void rig_calm(void)
{
    make_folder();
    config = (struct config){
        .jobs_max_crashes = 3, .jobs_max_lost = 20, .jobs_key_concurrency = 1, .state_dir = folder};
    wake_fd = eventfd(0, EFD_NONBLOCK);
    make_segment(FEW_SLOTS);
    front_prepare();
    stay_on_one_cpu();
}

static void step_all(void)
{
    committer_step(&committer);
    dispatcher_step(&dispatcher);
}

#define STEP_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ns = clock_mono_ns() + PATIENCE_S * NS_PER_SEC;                                        \
        for (step_all(); !(condition); step_all())                                                           \
            ck_assert_msg(clock_mono_ns() < until_ns, "waited in vain: %s", #condition);                     \
    } while (0)

/* --- the deeds --- */

/* Committed and acknowledged; the dispatcher has not looked yet. */
static void prepare_accepted(void)
{
    workers_wait(1);
    job_id = send_job(&asked, new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS));
    committer_step(&committer);
    ck_assert(answered(&asked) && asked.errand.err == ERR_OK);
}

static void run_step(void)
{
    dispatcher_step(&dispatcher);
}

static void run_publish_and_take_back(void)
{
    dispatcher_step(&dispatcher);
    publish_take_all_back(&dispatcher);
    publish_ready(&dispatcher);
}

static uint64_t prepare_running(void)
{
    uint64_t ticket;
    prepare_accepted();
    STEP_UNTIL((ticket = claim_next(RIVAL)) != 0);
    begin_run(RIVAL, ticket);
    starts++;
    return ticket;
}

static void prepare_done(void)
{
    succeed(RIVAL, prepare_running());
}

static void prepare_landed(void)
{
    prepare_done();
    dispatcher_step(&dispatcher);
    committer_step(&committer);
    ck_assert_int_eq(state_of(job_id), JOB_SUCCEEDED);
}

static void prepare_dead(void)
{
    prepare_running();
    die(RIVAL, DEATH_LOST, SIGKILL);
}

static void prepare_charged(void)
{
    prepare_dead();
    dispatcher_step(&dispatcher);
    committer_step(&committer);
    assert_row(job_id, JOB_QUEUED, 1, 0, 0, 1);
}

static const struct deed DEEDS[] = {
    {"front, accept: reserve, fill, publish, take back, publish", prepare_accepted, run_publish_and_take_back,
     1},
    {"front, collect what is DONE", prepare_done, run_step, 1},
    {"front, free what is landed", prepare_landed, run_step, 1},
    {"front, charge a death", prepare_dead, run_step, 2},
    {"front, requeue after a death", prepare_charged, run_step, 2},
};

/* --- one death --- */

static pid_t fork_deed(const struct deed *deed)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    be_stepped();
    deed->run();
    _exit(0);
}

static void new_front(void)
{
    front_dies();
    front_prepare();
}

static bool rival_ends_it(void)
{
    rival_works();
    return job_is_terminal(state_of(job_id));
}

static void check_end(const struct deed *deed)
{
    STEP_UNTIL(rival_ends_it());
    assert_row(job_id, JOB_SUCCEEDED, deed->attempts, 0, 0, deed->attempts - 1);
    ck_assert_uint_eq(starts, deed->attempts);
    STEP_UNTIL(all_free() && dispatcher.lineup.lane_count == 0 && dispatcher_settled(&dispatcher));
    assert_nothing_left();
    assert_trays_empty();
}

static pid_t begin_deed(const struct deed *deed)
{
    starts = 0;
    deed->prepare();
    pid_t pid = fork_deed(deed);
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void end_deed(const struct deed *deed, pid_t pid, bool worker_in_between)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (worker_in_between)
        rival_works();
    new_front();
    check_end(deed);
}

/* False: the deed was done before the kill. */
static bool die_at(const struct deed *deed, uint64_t instruction, bool worker_in_between)
{
    pid_t pid = begin_deed(deed);
    bool killed = step_child(pid, instruction);
    end_deed(deed, pid, worker_in_between);
    return killed;
}

/* The same at each instruction, by the way of marks. */
static void die_everywhere(const struct deed *deed, bool worker_in_between)
{
    struct place place = {.behind = 1};
    uint64_t before = kills;
    enum came came;
    for (int i = 0; i < 2; i++) { /* the first one still binds the symbols of libraries */
        pid_t pid = begin_deed(deed);
        rehearse_child(pid);
        end_deed(deed, pid, worker_in_between);
    }
    do {
        pid_t pid = begin_deed(deed);
        came = kill_at_place(pid, &place);
        end_deed(deed, pid, worker_in_between);
    } while (came != CAME_TO_ITS_END);
    ck_assert_uint_ge(kills - before, path - path / 20); /* one run takes a few more or less than another */
}

/* Two walks a deed: without a worker in between, and with one. */
START_TEST(a_front_may_die_at_each_instruction_of)
{
    const struct deed *deed = &DEEDS[_i / 2];
    bool worker_in_between = _i % 2 != 0;
    if (by_marks)
        die_everywhere(deed, worker_in_between);
    else
        for (uint64_t at = 1 + (worker_in_between ? stride / 2 : 0); die_at(deed, at, worker_in_between);)
            at += stride;
    printf("%s ", worker_in_between ? "with a worker in between:" : "nobody in between:");
    print_path(deed->name);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("step_front");
    TCase *tests = tcase_create("front");
    int walks = 2 * (int)(sizeof DEEDS / sizeof DEEDS[0]);
    read_options(argc, argv, HAVE_MARKS);
    if (only > walks) {
        fprintf(stderr, "%s: --only 1 to --only %d\n", argv[0], walks);
        return EXIT_FAILURE;
    }
    tcase_add_checked_fixture(tests, rig_calm, rig_down);
    tcase_set_timeout(tests, 0);
    tcase_add_loop_test(tests, a_front_may_die_at_each_instruction_of, only > 0 ? only - 1 : 0,
                        only > 0 ? only : walks);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
