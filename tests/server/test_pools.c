#include "run.h"

#include "clock.h"
#include "log.h"
#include "supervisor.h"
#include "worker_setup.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A supervisor with two pools whose workers do nothing but what their boards say. */

enum { SLOW = 1, SLOW_FIRST = 3 }; /* default has boards 0 to 2; slow, 1 to 4 workers, 3 to 7 */

static struct supervisor supervisor;
static struct config config;
static struct pool_config pool_configs[2];
static char any_cpu[] = "";
static volatile sig_atomic_t ended;
static _Atomic int *busy; /* shared: 1 where a worker runs a job and does not look at itself */

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void worker(const struct worker_setup *setup)
{
    struct board *board = &setup->segment->boards[setup->number];
    struct sigaction action = {.sa_handler = on_end};
    sigaction(SIGTERM, &action, NULL);
    atomic_store(&board->waiting, 1);
    if (setup->standby != 0)
        atomic_store(&board->standing, 1);
    while (!ended) {
        uint32_t offer = SEAT_OFFERED;
        _Atomic uint32_t *seat = &setup->segment->header->seats[setup->pool];
        if (atomic_load(&board->retire) != RETIRE_NONE && atomic_load(&busy[setup->number]) == 0 &&
            atomic_compare_exchange_strong(seat, &offer, setup->number + 1))
            _exit(WORKER_EXIT_RECYCLED);
        clock_sleep_ms(1);
    }
    _exit(WORKER_EXIT_DRAINED);
}

static void worker_that_cannot(const struct worker_setup *setup)
{
    atomic_store(&setup->segment->boards[setup->number].waiting, 1);
    if (setup->standby != 0)
        _exit(WORKER_EXIT_SETUP);
    worker(setup);
}

static struct supervisor_mains mains;

static struct pool_config pool_of(const char *name, int64_t workers, int64_t min_workers)
{
    struct pool_config pool = {
        .workers = workers, .min_workers = min_workers, .idle_timeout_ms = 1000, .cpus = any_cpu};
    strcpy(pool.name, name);
    return pool;
}

/* Until each has its handler: before, SIGTERM would mean something else. */
static void wait_for_workers(void)
{
    for (uint32_t i = 0; i < supervisor.worker_count; i++)
        while (supervisor.workers[i].pid > 0 && atomic_load(&supervisor.segment.boards[i].waiting) == 0)
            clock_sleep_ms(1);
}

static void set_up(void)
{
    log_set_level(LOG_LEVEL_COUNT);
    busy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(busy, MAP_FAILED);
    mains = (struct supervisor_mains){.worker = worker};
    pool_configs[0] = pool_of("default", 2, 2);
    pool_configs[1] = pool_of("slow", 4, 1);
    config = (struct config){.pools = pool_configs, .pool_count = 2};
    supervisor = (struct supervisor){.config = &config,
                                     .mains = &mains,
                                     .worker_count = 8,
                                     .listen_fd = -1,
                                     .signal_fd = -1,
                                     .timer_fd = -1,
                                     .epoll_fd = -1,
                                     .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct segment_shape shape = {.slot_count = 16,
                                  .worker_count = 8,
                                  .pool_count = 2,
                                  .pools = {{0, 3, "default"}, {3, 5, "slow"}},
                                  .arena_bytes = 1 << 16,
                                  .tray_bytes = 1 << 13,
                                  .max_result = 1 << 12};
    ck_assert_int_eq(segment_create(&shape, &supervisor.segment), ERR_OK);
    supervisor.workers = calloc(supervisor.worker_count, sizeof *supervisor.workers);
    pools_init(&supervisor);
    atomic_store(&supervisor.segment.header->catalogue_epoch, 1);
    pools_turn(&supervisor);
    wait_for_workers();
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < supervisor.worker_count; i++)
        if (supervisor.workers[i].pid > 0) {
            kill(supervisor.workers[i].pid, SIGKILL);
            waitpid(supervisor.workers[i].pid, NULL, 0);
        }
    munmap((void *)busy, 4096);
    close(supervisor.wake_fd);
    free(supervisor.workers);
    segment_close(&supervisor.segment);
}

/* As the loop does. */
static void turn(void)
{
    reap_children(&supervisor);
    reap_settle(&supervisor);
    pools_turn(&supervisor);
    wait_for_workers();
    for (uint32_t i = 0; i < supervisor.worker_count; i++) { /* the front reads the deaths */
        struct death death;
        while (board_read_death(&supervisor.segment.boards[i], &death))
            board_ack_death(&supervisor.segment.boards[i]);
    }
}

static uint32_t count(enum worker_status status, uint32_t first, uint32_t end)
{
    uint32_t found = 0;
    for (uint32_t i = first; i < end; i++)
        found += atomic_load(&supervisor.segment.boards[i].status) == status;
    return found;
}

static uint32_t slow(enum worker_status status)
{
    return count(status, SLOW_FIRST, 8);
}

/* Turns until so many workers of the slow pool are live, and no more at any time. */
static void until_slow(uint32_t wanted, uint32_t most)
{
    int64_t end = clock_mono_ns() + 20 * NS_PER_SEC;
    while (slow(WORKER_LIVE) != wanted || slow(WORKER_STANDBY) != 0) {
        turn();
        ck_assert_uint_le(slow(WORKER_LIVE), most);
        ck_assert(clock_mono_ns() < end);
        clock_sleep_ms(1);
    }
}

static void want(uint32_t workers)
{
    atomic_store(&supervisor.segment.header->wanted[SLOW], workers);
}

static void retire(uint32_t number, enum retire_reason reason)
{
    atomic_store(&supervisor.segment.boards[number].retire, reason);
}

static void idle_for_ms(uint32_t number, int64_t ms)
{
    atomic_store(&supervisor.segment.boards[number].idle_since_ns, clock_mono_ns() - ms * NS_PER_MS);
}

START_TEST(each_pool_begins_with_its_minimum_and_a_spare_board)
{
    ck_assert_uint_eq(count(WORKER_LIVE, 0, 3), 2);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[2].status), WORKER_ABSENT);
    ck_assert_uint_eq(slow(WORKER_LIVE), 1);
    ck_assert_uint_eq(slow(WORKER_ABSENT), 4);
}
END_TEST

START_TEST(what_the_front_wants_is_kept_between_minimum_and_maximum)
{
    want(3);
    turn();
    ck_assert_uint_eq(slow(WORKER_LIVE), 3);
    want(100);
    turn();
    ck_assert_uint_eq(slow(WORKER_LIVE), 4);
    ck_assert_uint_eq(count(WORKER_LIVE, 0, 3), 2);
}
END_TEST

START_TEST(above_what_is_wanted_the_idle_end_and_the_busy_stay)
{
    want(4);
    turn();
    want(0);
    turn();
    ck_assert_uint_eq(slow(WORKER_LIVE), 4); /* none has said that it is idle */
    idle_for_ms(SLOW_FIRST, 1500);
    idle_for_ms(SLOW_FIRST + 1, 500);
    until_slow(3, 4);
    ck_assert_int_eq(supervisor.workers[SLOW_FIRST].pid, 0);
    for (uint32_t i = 1; i < 4; i++)
        idle_for_ms(SLOW_FIRST + i, 1500);
    until_slow(1, 3);
    for (int i = 0; i < 20; i++)
        turn();
    ck_assert_uint_eq(slow(WORKER_LIVE), 1);
}
END_TEST

START_TEST(a_worker_that_served_long_enough_is_followed_by_one_that_stood_by)
{
    pid_t old = supervisor.workers[SLOW_FIRST].pid;
    retire(SLOW_FIRST, RETIRE_JOBS);
    turn();
    ck_assert_uint_eq(slow(WORKER_STANDBY), 1);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST + 1].status), WORKER_STANDBY);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST + 1].released), 0);
    until_slow(1, 1);
    ck_assert_int_ne(supervisor.workers[SLOW_FIRST].pid, old);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST + 1].released), 1);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST + 1].replaces), RETIRE_JOBS);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST].restarts[DEATH_RECYCLED]), 1);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST].status), WORKER_ABSENT);
}
END_TEST

START_TEST(all_workers_of_a_full_pool_are_replaced_one_after_another)
{
    pid_t old[8];
    want(4);
    turn();
    for (uint32_t i = SLOW_FIRST; i < SLOW_FIRST + 4; i++) {
        old[i] = supervisor.workers[i].pid;
        retire(i, RETIRE_AGE);
    }
    for (int round = 0; round < 4; round++) {
        turn();
        ck_assert_uint_eq(slow(WORKER_STANDBY), 1);
        until_slow(4, 4);
    }
    for (uint32_t i = SLOW_FIRST; i < 8; i++)
        for (uint32_t j = SLOW_FIRST; j < SLOW_FIRST + 4; j++)
            ck_assert_int_ne(supervisor.workers[i].pid, old[j]);
}
END_TEST

START_TEST(one_that_is_more_than_wanted_ends_without_a_replacement)
{
    want(2);
    turn();
    want(1);
    retire(SLOW_FIRST, RETIRE_RSS);
    turn();
    ck_assert_uint_eq(slow(WORKER_STANDBY), 0);
    until_slow(1, 2);
    ck_assert_uint_eq(atomic_load(&supervisor.segment.boards[SLOW_FIRST].restarts[DEATH_DRAINED]), 1);
}
END_TEST

START_TEST(who_runs_a_long_job_does_not_keep_others_from_being_replaced)
{
    want(2);
    turn();
    pid_t long_one = supervisor.workers[SLOW_FIRST].pid, other = supervisor.workers[SLOW_FIRST + 1].pid;
    atomic_store(&busy[SLOW_FIRST], 1);
    retire(SLOW_FIRST, RETIRE_AGE);
    turn();
    ck_assert_uint_eq(slow(WORKER_STANDBY), 1);
    retire(SLOW_FIRST + 1, RETIRE_JOBS);
    until_slow(2, 2);
    ck_assert_int_eq(supervisor.workers[SLOW_FIRST].pid, long_one);
    ck_assert_int_ne(supervisor.workers[SLOW_FIRST + 1].pid, other);
    atomic_store(&busy[SLOW_FIRST], 0);
    turn();
    until_slow(2, 2);
    ck_assert_int_ne(supervisor.workers[SLOW_FIRST].pid, long_one);
}
END_TEST

START_TEST(a_replacement_that_dies_leaves_the_old_one_and_is_tried_again_after_a_growing_pause)
{
    mains.worker = worker_that_cannot;
    pid_t old = supervisor.workers[SLOW_FIRST].pid;
    retire(SLOW_FIRST, RETIRE_JOBS);
    int64_t end = clock_mono_ns() + 20 * NS_PER_SEC;
    while (supervisor.pools[SLOW].backoff_ms < 80) {
        turn();
        ck_assert_int_eq(supervisor.workers[SLOW_FIRST].pid, old);
        ck_assert(clock_mono_ns() < end);
        clock_sleep_ms(1);
    }
    ck_assert_uint_eq(slow(WORKER_LIVE), 1);
    ck_assert_uint_eq(slow(WORKER_BACKOFF), 0);
    mains.worker = worker;
    while (supervisor.workers[SLOW_FIRST].pid == old)
        turn();
    until_slow(1, 1);
    ck_assert_int_eq(supervisor.pools[SLOW].backoff_ms, 0);
}
END_TEST

START_TEST(an_old_one_that_dies_by_itself_is_followed_by_its_replacement_and_nobody_else)
{
    retire(SLOW_FIRST, RETIRE_JOBS);
    turn();
    pid_t standby = supervisor.workers[SLOW_FIRST + 1].pid;
    kill(supervisor.workers[SLOW_FIRST].pid, SIGKILL);
    until_slow(1, 1);
    ck_assert_int_eq(supervisor.workers[SLOW_FIRST + 1].pid, standby);
    for (int i = 0; i < 20; i++)
        turn();
    ck_assert_uint_eq(slow(WORKER_LIVE), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server/pools");
    TCase *tests = tcase_create("pools");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, each_pool_begins_with_its_minimum_and_a_spare_board);
    tcase_add_test(tests, what_the_front_wants_is_kept_between_minimum_and_maximum);
    tcase_add_test(tests, above_what_is_wanted_the_idle_end_and_the_busy_stay);
    tcase_add_test(tests, a_worker_that_served_long_enough_is_followed_by_one_that_stood_by);
    tcase_add_test(tests, all_workers_of_a_full_pool_are_replaced_one_after_another);
    tcase_add_test(tests, one_that_is_more_than_wanted_ends_without_a_replacement);
    tcase_add_test(tests, who_runs_a_long_job_does_not_keep_others_from_being_replaced);
    tcase_add_test(tests,
                   a_replacement_that_dies_leaves_the_old_one_and_is_tried_again_after_a_growing_pause);
    tcase_add_test(tests, an_old_one_that_dies_by_itself_is_followed_by_its_replacement_and_nobody_else);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
