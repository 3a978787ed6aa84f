/* Deadlines, cancels and the end of a drain, where it is close: between the supervisor's look at the run word
 * and what it does, the worker gets on. The code of stops.c itself, with a worker that does so just there. */
#include "run.h"

#include "clock.h"
#include "scoreboard.h"

static bool late_move(struct board *board, uint64_t seen, enum run_phase phase);
#define board_move_run late_move
#include "stops.c"
#undef board_move_run

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICKET = 77, HOUR_MS = 3600 * 1000, LIVED = 7 };

static struct supervisor supervisor;
static struct board board;
static struct worker_child child;
static int life; /* of the worker: it ends, with LIVED, when this is closed */

static enum { STAYS, FINISHES, RUNS_THE_NEXT } meanwhile;

static void finish(void)
{
    uint64_t seen = atomic_load(&board.run);
    ck_assert(board_move_run(&board, seen, RUN_FINISHING));
}

static void run_the_next(void)
{
    finish();
    board_idle(&board);
    board_begin(&board, TICKET + 1, clock_mono_ns() + HOUR_MS * NS_PER_MS, 0);
}

static bool late_move(struct board *moved, uint64_t seen, enum run_phase phase)
{
    if (meanwhile == FINISHES)
        finish();
    if (meanwhile == RUNS_THE_NEXT)
        run_the_next();
    meanwhile = STAYS;
    return board_move_run(moved, seen, phase);
}

/* Leads a process group of its own, as a command does; a plugin's worker is killed by its own number. */
static void start_worker(void)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(pipe(ends), 0);
    signal(SIGTERM, SIG_DFL); /* Check has a handler that would go along */
    child.pid = fork();
    ck_assert_int_ge(child.pid, 0);
    if (child.pid == 0) {
        setpgid(0, 0);
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? LIVED : 1);
    }
    ck_assert_int_eq(setpgid(child.pid, child.pid), 0);
    close(ends[0]);
    life = ends[1];
}

static void set_up(void)
{
    meanwhile = STAYS;
    board = (struct board){0};
    child = (struct worker_child){0};
    supervisor = (struct supervisor){.workers = &child, .worker_count = 1, .segment = {.boards = &board}};
    board_begin(&board, TICKET, 0, 0); /* its time is over already, and there is no grace */
    start_worker();
}

static void tear_down(void)
{
    close(life);
}

/* The signal that it died of, or 0: it lived until it was let go. */
static int died_of(void)
{
    int status;
    close(life);
    ck_assert_int_eq(waitpid(child.pid, &status, 0), child.pid);
    child.pid = 0;
    ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == LIVED);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static enum run_phase phase_now(void)
{
    return run_phase(atomic_load(&board.run));
}

static void stop_it(void)
{
    stops_check(&supervisor);
    ck_assert_int_eq(phase_now(), RUN_STOPPING);
}

START_TEST(a_run_past_its_time_is_killed_with_its_worker)
{
    stop_it();
    stops_check(&supervisor);
    ck_assert_int_eq(phase_now(), RUN_KILLED);
    ck_assert_int_eq(died_of(), SIGKILL);
}
END_TEST

START_TEST(a_run_that_finishes_before_the_kill_is_not_killed)
{
    stop_it();
    meanwhile = FINISHES;
    stops_check(&supervisor);
    ck_assert_int_eq(phase_now(), RUN_FINISHING);
    ck_assert_int_eq(died_of(), 0);
}
END_TEST

START_TEST(a_kill_does_not_hit_the_next_run)
{
    stop_it();
    meanwhile = RUNS_THE_NEXT;
    stops_check(&supervisor);
    ck_assert_int_eq(phase_now(), RUN_RUNNING);
    ck_assert_int_eq(died_of(), 0);
}
END_TEST

START_TEST(a_command_past_its_time_gets_sigterm)
{
    atomic_store(&board.group, child.pid);
    stop_it();
    ck_assert_int_eq(died_of(), SIGTERM);
}
END_TEST

START_TEST(a_command_that_ends_before_the_signal_gets_none)
{
    atomic_store(&board.group, child.pid);
    meanwhile = RUNS_THE_NEXT;
    stops_check(&supervisor);
    ck_assert_int_eq(phase_now(), RUN_RUNNING);
    ck_assert_int_eq(died_of(), 0);
}
END_TEST

START_TEST(the_end_of_a_drain_spares_a_result_that_is_being_published)
{
    meanwhile = FINISHES;
    stops_kill(&supervisor, 0, false);
    ck_assert_int_eq(phase_now(), RUN_FINISHING);
    ck_assert(!child.ordered);
    ck_assert_int_eq(died_of(), 0);
}
END_TEST

START_TEST(the_end_of_a_drain_kills_who_runs_and_an_order_kills_anyone)
{
    finish();
    stops_kill(&supervisor, 0, true);
    ck_assert(child.ordered);
    ck_assert_int_eq(died_of(), SIGKILL);
    board_idle(&board);
    board_begin(&board, TICKET, 0, 0);
    start_worker();
    stops_kill(&supervisor, 0, false);
    ck_assert_int_eq(phase_now(), RUN_KILLED);
    ck_assert_int_eq(died_of(), SIGKILL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stops");
    TCase *tests = tcase_create("run word");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_run_past_its_time_is_killed_with_its_worker);
    tcase_add_test(tests, a_run_that_finishes_before_the_kill_is_not_killed);
    tcase_add_test(tests, a_kill_does_not_hit_the_next_run);
    tcase_add_test(tests, a_command_past_its_time_gets_sigterm);
    tcase_add_test(tests, a_command_that_ends_before_the_signal_gets_none);
    tcase_add_test(tests, the_end_of_a_drain_spares_a_result_that_is_being_published);
    tcase_add_test(tests, the_end_of_a_drain_kills_who_runs_and_an_order_kills_anyone);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
