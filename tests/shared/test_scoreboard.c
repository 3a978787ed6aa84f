#include "segment_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

static struct board *board;

static void setup(void)
{
    open_segment();
    board = &segment.boards[1];
}

static uint64_t run_word(void)
{
    return atomic_load(&board->run);
}

static enum run_phase phase(void)
{
    return run_phase(run_word());
}

/* What the supervisor does with the board of a worker it has reaped. */
static void clean(void)
{
    atomic_store(&board->run, run_pack(run_number(run_word()) + 1, RUN_IDLE));
}

/* --- the run word --- */

START_TEST(a_run_word_gives_back_number_and_phase)
{
    uint64_t word = run_pack((1ULL << 56) - 1, RUN_KILLED);
    ck_assert_uint_eq(run_number(word), (1ULL << 56) - 1);
    ck_assert_int_eq(run_phase(word), RUN_KILLED);
    ck_assert_int_eq(run_phase(0), RUN_IDLE);
}
END_TEST

START_TEST(a_run_begins_with_everything_in_place)
{
    uint64_t before = run_number(run_word());
    atomic_store(&board->group, 77); /* of the run before */
    uint64_t run = board_begin(board, ticket_pack(3, 9), 111, 222);
    ck_assert_uint_eq(run, run_word());
    ck_assert_uint_eq(run_number(run), before + 1);
    ck_assert_int_eq(run_phase(run), RUN_RUNNING);
    ck_assert_uint_eq(atomic_load(&board->ticket), ticket_pack(3, 9));
    ck_assert_int_eq(atomic_load(&board->soft_ns), 111);
    ck_assert_int_eq(atomic_load(&board->kill_after_ns), 222);
    ck_assert_int_eq(atomic_load(&board->group), 0);
}
END_TEST

START_TEST(an_undisturbed_run_finishes_without_a_cause)
{
    uint64_t run = board_begin(board, 1, 0, 0);
    atomic_store(&board->stop_cause, STOP_CANCEL); /* left over: it was not this run that stopped */
    ck_assert(!board_stopping(board));
    ck_assert_int_eq(board_finish(board), STOP_NONE);
    ck_assert_int_eq(phase(), RUN_FINISHING);
    board_idle(board);
    ck_assert_int_eq(phase(), RUN_IDLE);
    ck_assert_uint_eq(run_number(run_word()), run_number(run));
}
END_TEST

START_TEST(a_run_that_was_asked_to_stop_finishes_with_the_cause)
{
    for (int cause = STOP_DEADLINE; cause <= STOP_CANCEL; cause++) {
        uint64_t run = board_begin(board, 1, 0, 0);
        atomic_store(&board->stop_cause, (uint32_t)cause);
        ck_assert(board_move_run(board, run, RUN_SIGNALLING));
        ck_assert(board_move_run(board, run_word(), RUN_STOPPING));
        ck_assert(board_stopping(board));
        ck_assert_int_eq(board_finish(board), cause);
        board_idle(board);
    }
}
END_TEST

START_TEST(a_move_fails_once_the_run_went_on)
{
    uint64_t run = board_begin(board, 1, 0, 0);
    ck_assert_int_eq(board_finish(board), STOP_NONE);
    ck_assert(!board_move_run(board, run, RUN_KILLED));
    board_idle(board);
    ck_assert(!board_move_run(board, run, RUN_KILLED));
    board_begin(board, 2, 0, 0);
    ck_assert(!board_move_run(board, run, RUN_KILLED)); /* the next run is not hit */
    ck_assert(!board_move_run(board, run, RUN_SIGNALLING));
    ck_assert_int_eq(phase(), RUN_RUNNING);
}
END_TEST

START_TEST(a_kill_may_come_from_running_and_from_stopping)
{
    uint64_t run = board_begin(board, 1, 0, 0);
    ck_assert(board_move_run(board, run, RUN_KILLED));
    ck_assert_int_eq(phase(), RUN_KILLED);
    clean();
    run = board_begin(board, 1, 0, 0);
    ck_assert(board_move_run(board, run, RUN_SIGNALLING));
    ck_assert(board_move_run(board, run_word(), RUN_STOPPING));
    ck_assert(!board_move_run(board, run, RUN_KILLED)); /* an old view */
    ck_assert(board_move_run(board, run_word(), RUN_KILLED));
    ck_assert_int_eq(phase(), RUN_KILLED);
}
END_TEST

START_TEST(beginning_in_the_middle_of_a_run_aborts)
{
    board_begin(board, 1, 0, 0);
    board_begin(board, 2, 0, 0);
}
END_TEST

START_TEST(finishing_without_a_run_aborts)
{
    board_finish(board);
}
END_TEST

START_TEST(finishing_twice_aborts)
{
    board_begin(board, 1, 0, 0);
    board_finish(board);
    board_finish(board);
}
END_TEST

START_TEST(idling_in_the_middle_of_a_run_aborts)
{
    board_begin(board, 1, 0, 0);
    board_idle(board);
}
END_TEST

START_TEST(a_cause_that_does_not_exist_aborts)
{
    (void)death_cause_text(DEATH_CAUSE_COUNT);
}
END_TEST

/* --- the run word, contended --- */

static _Atomic int finished_with = -1;

static void *finish(void *argument)
{
    (void)argument;
    atomic_store(&finished_with, (int)board_finish(board));
    return NULL;
}

START_TEST(signalling_is_waited_out)
{
    pthread_t thread;
    uint64_t run = board_begin(board, 1, 0, 0);
    atomic_store(&board->stop_cause, STOP_DEADLINE);
    ck_assert(board_move_run(board, run, RUN_SIGNALLING));
    ck_assert_int_eq(pthread_create(&thread, NULL, finish, NULL), 0);
    clock_sleep_ms(50);
    ck_assert_int_eq(atomic_load(&finished_with), -1);
    ck_assert_int_eq(phase(), RUN_SIGNALLING);
    ck_assert(board_move_run(board, run_word(), RUN_STOPPING));
    pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&finished_with), STOP_DEADLINE);
    ck_assert_int_eq(phase(), RUN_FINISHING);
}
END_TEST

enum { RUNS = 100000 };

/* A killed worker sleeps for ever in board_finish; here a signal takes its thread out again. */
static struct {
    sigjmp_buf out;
    volatile sig_atomic_t in_finish;
    pthread_t worker, supervisor;
    _Atomic uint64_t reaped; /* the number of the last run that was killed and cleaned up after */
    _Atomic bool over;
    _Atomic int finished, stopped, killed, kills_won;
} race;

static void on_signal(int number)
{
    (void)number;
    if (!race.in_finish || phase() != RUN_KILLED) /* a late signal for an earlier run may come too */
        return;
    race.in_finish = 0; /* the jump lets the next signal in before it has left this stack */
    siglongjmp(race.out, 1);
}

static bool cause_fits(enum stop_cause cause, uint64_t run)
{
    return cause == STOP_NONE || cause == (run_number(run) % 2 ? STOP_CANCEL : STOP_DEADLINE);
}

/* One run, to its end or its death. */
static void work(uint64_t *random)
{
    volatile uint64_t run = board_begin(board, 5, 0, 0);
    if (next_random(random) % 8 == 0)
        sched_yield();
    for (uint32_t spin = next_random(random) % 64; spin > 0; spin--)
        (void)run_word();
    if (sigsetjmp(race.out, 1) == 0) {
        race.in_finish = 1;
        enum stop_cause cause = board_finish(board);
        race.in_finish = 0;
        CHECK(cause_fits(cause, run) && run_word() == run_pack(run_number(run), RUN_FINISHING));
        atomic_fetch_add(&race.finished, 1);
        atomic_fetch_add(&race.stopped, cause != STOP_NONE);
        board_idle(board);
    } else {
        race.in_finish = 0;
        CHECK(run_word() == run_pack(run_number(run), RUN_KILLED));
        atomic_fetch_add(&race.killed, 1);
        atomic_store(&race.reaped, run_number(run));
        clean();
    }
}

static void *work_all(void *argument)
{
    uint64_t random = 11;
    (void)argument;
    for (int i = 0; i < RUNS; i++)
        work(&random);
    atomic_store(&race.over, true);
    return NULL;
}

static void kill_run(uint64_t seen)
{
    if (!board_move_run(board, seen, RUN_KILLED))
        return;
    atomic_fetch_add(&race.kills_won, 1);
    while (atomic_load(&race.reaped) != run_number(seen)) {
        pthread_kill(race.worker, SIGUSR1);
        sched_yield();
    }
}

static void supervise(uint64_t *random)
{
    uint64_t seen = run_word();
    uint32_t dice = next_random(random) % 8;
    if (dice == 7) {
        sched_yield();
    } else if (run_phase(seen) == RUN_RUNNING && dice == 0) {
        kill_run(seen);
    } else if (run_phase(seen) == RUN_RUNNING && dice < 4) {
        atomic_store(&board->stop_cause, run_number(seen) % 2 ? STOP_CANCEL : STOP_DEADLINE);
        if (board_move_run(board, seen, RUN_SIGNALLING))
            CHECK(board_move_run(board, run_pack(run_number(seen), RUN_SIGNALLING), RUN_STOPPING));
    } else if (run_phase(seen) == RUN_STOPPING && dice == 0) {
        kill_run(seen);
    }
}

START_TEST(of_a_finish_and_a_kill_exactly_one_wins_in_each_of_100000_runs)
{
    struct sigaction action = {.sa_handler = on_signal};
    uint64_t random = 3;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_create(&race.worker, NULL, work_all, NULL), 0);
    while (!atomic_load(&race.over))
        supervise(&random);
    pthread_join(race.worker, NULL);
    int finished = atomic_load(&race.finished), killed = atomic_load(&race.killed);
    ck_assert_int_eq(finished + killed, RUNS);
    ck_assert_int_eq(killed, atomic_load(&race.kills_won));
    ck_assert_int_gt(finished, 0);
    ck_assert_int_gt(killed, 0);
    ck_assert_int_gt(atomic_load(&race.stopped), 0);
}
END_TEST

/* --- completions --- */

START_TEST(completions_come_out_in_order)
{
    uint64_t ticket;
    ck_assert(!board_take_completion(board, &ticket));
    for (uint64_t i = 1; i <= 3; i++)
        board_complete(board, i);
    for (uint64_t i = 1; i <= 3; i++) {
        ck_assert(board_take_completion(board, &ticket));
        ck_assert_uint_eq(ticket, i);
    }
    ck_assert(!board_take_completion(board, &ticket));
}
END_TEST

START_TEST(completions_that_find_no_room_are_dropped_and_harm_nothing)
{
    uint64_t ticket;
    for (uint64_t i = 1; i <= 2 * COMPLETIONS; i++)
        board_complete(board, i);
    for (uint64_t i = 1; i <= COMPLETIONS; i++) {
        ck_assert(board_take_completion(board, &ticket));
        ck_assert_uint_eq(ticket, i);
    }
    ck_assert(!board_take_completion(board, &ticket));
    board_complete(board, 7);
    ck_assert(board_take_completion(board, &ticket));
    ck_assert_uint_eq(ticket, 7);
}
END_TEST

START_TEST(completions_go_on_past_32_bits)
{
    uint64_t ticket;
    atomic_store(&board->completions_written, UINT32_MAX - 1);
    atomic_store(&board->completions_read, UINT32_MAX - 1);
    for (uint64_t i = 1; i <= 5; i++)
        board_complete(board, i);
    for (uint64_t i = 1; i <= 5; i++) {
        ck_assert(board_take_completion(board, &ticket));
        ck_assert_uint_eq(ticket, i);
    }
    ck_assert(!board_take_completion(board, &ticket));
}
END_TEST

enum { MANY = 200000 };

static uint64_t payload[8];

static void *complete_many(void *argument)
{
    (void)argument;
    for (uint64_t i = 1; i <= MANY; i++) {
        while (atomic_load(&board->completions_written) - atomic_load(&board->completions_read) >= 8)
            sched_yield();
        payload[i % 8] = i * 3; /* plain: the completion orders it */
        board_complete(board, i);
    }
    return NULL;
}

START_TEST(completions_carry_what_was_written_before_them)
{
    pthread_t thread;
    uint64_t ticket, expected = 1;
    ck_assert_int_eq(pthread_create(&thread, NULL, complete_many, NULL), 0);
    while (expected <= MANY) {
        if (atomic_load(&board->completions_written) == atomic_load(&board->completions_read)) {
            sched_yield();
            continue;
        }
        uint64_t value = payload[expected % 8];
        ck_assert(board_take_completion(board, &ticket));
        ck_assert_uint_eq(ticket, expected);
        ck_assert_uint_eq(value, expected * 3);
        expected++;
    }
    pthread_join(thread, NULL);
}
END_TEST

/* --- deaths --- */

static struct death death_of(uint16_t incarnation)
{
    return (struct death){.ticket = 100u + incarnation,
                          .died_ms = 5,
                          .exit_code = -1,
                          .signal = SIGSEGV,
                          .incarnation = incarnation,
                          .cause = DEATH_CRASH};
}

START_TEST(a_death_stays_until_it_is_acknowledged)
{
    struct death death, found;
    ck_assert(!board_read_death(board, &found));
    death = death_of(4);
    ck_assert(board_add_death(board, &death));
    for (int i = 0; i < 3; i++) {
        ck_assert(board_read_death(board, &found));
        ck_assert_uint_eq(found.incarnation, 4);
        ck_assert_uint_eq(found.ticket, 104);
        ck_assert_int_eq(found.cause, DEATH_CRASH);
        ck_assert_int_eq(found.signal, SIGSEGV);
    }
    board_ack_death(board);
    ck_assert(!board_read_death(board, &found));
}
END_TEST

START_TEST(the_ring_of_deaths_fills_and_loses_nothing)
{
    struct death death, found;
    for (uint16_t i = 0; i < DEATHS; i++) {
        ck_assert(!board_deaths_full(board));
        death = death_of(i);
        ck_assert(board_add_death(board, &death));
    }
    ck_assert(board_deaths_full(board));
    death = death_of(99);
    ck_assert(!board_add_death(board, &death));
    for (uint16_t i = 0; i < 3 * DEATHS; i++) {
        ck_assert(board_read_death(board, &found));
        ck_assert_uint_eq(found.incarnation, i);
        board_ack_death(board);
        ck_assert(!board_deaths_full(board));
        death = death_of((uint16_t)(i + DEATHS));
        ck_assert(board_add_death(board, &death));
    }
}
END_TEST

START_TEST(each_reason_to_retire_is_named_like_its_key)
{
    ck_assert_str_eq(retire_reason_text(RETIRE_JOBS), "max_jobs");
    ck_assert_str_eq(retire_reason_text(RETIRE_RSS), "max_rss");
    ck_assert_str_eq(retire_reason_text(RETIRE_AGE), "max_age");
}
END_TEST

START_TEST(each_cause_has_a_text_of_its_own)
{
    for (int i = 0; i < DEATH_CAUSE_COUNT; i++) {
        ck_assert_str_ne(death_cause_text((enum death_cause)i), "");
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(death_cause_text((enum death_cause)i), death_cause_text((enum death_cause)k));
    }
}
END_TEST

START_TEST(no_two_processes_write_to_one_cache_line)
{
    /* first member of each writer's part */
    static const size_t PARTS[] = {offsetof(struct board, incarnation),   offsetof(struct board, ticket),
                                   offsetof(struct board, run),           offsetof(struct board, cancel),
                                   offsetof(struct board, tray_tail),     offsetof(struct board, completions),
                                   offsetof(struct board, deaths_written)};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++)
        ck_assert_uint_eq(PARTS[i] % CACHE_LINE, 0);
    ck_assert_uint_eq(sizeof(struct board) % CACHE_LINE, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scoreboard");
    TCase *runs = tcase_create("runs"), *aborts = tcase_create("aborts"), *races = tcase_create("races"),
          *rings = tcase_create("rings");
    tcase_add_checked_fixture(runs, setup, close_segment);
    tcase_add_test(runs, a_run_word_gives_back_number_and_phase);
    tcase_add_test(runs, a_run_begins_with_everything_in_place);
    tcase_add_test(runs, an_undisturbed_run_finishes_without_a_cause);
    tcase_add_test(runs, a_run_that_was_asked_to_stop_finishes_with_the_cause);
    tcase_add_test(runs, a_move_fails_once_the_run_went_on);
    tcase_add_test(runs, a_kill_may_come_from_running_and_from_stopping);
    tcase_add_test(runs, each_reason_to_retire_is_named_like_its_key);
    tcase_add_test(runs, each_cause_has_a_text_of_its_own);
    tcase_add_test(runs, no_two_processes_write_to_one_cache_line);
    if (tests_fork()) {
        tcase_add_checked_fixture(aborts, setup, close_segment);
        tcase_add_test_raise_signal(aborts, beginning_in_the_middle_of_a_run_aborts, SIGABRT);
        tcase_add_test_raise_signal(aborts, finishing_without_a_run_aborts, SIGABRT);
        tcase_add_test_raise_signal(aborts, finishing_twice_aborts, SIGABRT);
        tcase_add_test_raise_signal(aborts, idling_in_the_middle_of_a_run_aborts, SIGABRT);
        tcase_add_test_raise_signal(aborts, a_cause_that_does_not_exist_aborts, SIGABRT);
    }
    tcase_add_checked_fixture(races, setup, close_segment);
    tcase_set_timeout(races, 100);
    tcase_add_test(races, signalling_is_waited_out);
    tcase_add_test(races, of_a_finish_and_a_kill_exactly_one_wins_in_each_of_100000_runs);
    tcase_add_checked_fixture(rings, setup, close_segment);
    tcase_set_timeout(rings, 60);
    tcase_add_test(rings, completions_come_out_in_order);
    tcase_add_test(rings, completions_that_find_no_room_are_dropped_and_harm_nothing);
    tcase_add_test(rings, completions_go_on_past_32_bits);
    tcase_add_test(rings, completions_carry_what_was_written_before_them);
    tcase_add_test(rings, a_death_stays_until_it_is_acknowledged);
    tcase_add_test(rings, the_ring_of_deaths_fills_and_loses_nothing);
    suite_add_tcase(suite, runs);
    suite_add_tcase(suite, aborts);
    suite_add_tcase(suite, races);
    suite_add_tcase(suite, rings);
    return run_suite(suite);
}
