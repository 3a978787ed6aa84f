/* What follows a worker's death, step by step: nothing before all of its task is gone, then the death, the
 * incarnation and the posts. */
#include "run.h"

#include "clock.h"
#include "log.h"
#include "supervisor.h"
#include "worker_setup.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 20 };

static struct supervisor supervisor;
static struct config config;
static struct pool_config pool_config = {.name = "default", .workers = 1, .min_workers = 1};
static struct board *board;

/* It waits until it is killed, with a command that does so, too; and for no longer than a test. */
static void worker(const struct worker_setup *setup)
{
    struct board *mine = &setup->segment->boards[setup->number];
    pid_t command = fork();
    alarm(PATIENCE_S / 2);
    if (command == 0)
        for (setpgid(0, 0);;)
            pause();
    setpgid(command, command);
    atomic_store(&mine->group, command);
    atomic_store(&mine->waiting, 1);
    for (;;)
        pause();
}

static const struct supervisor_mains MAINS = {.worker = worker};

static int tokens(sem_t *semaphore)
{
    int value;
    ck_assert_int_eq(sem_getvalue(semaphore, &value), 0);
    return value;
}

#define WAIT_FOR(condition)                                                                                  \
    for (int64_t until_ns = clock_mono_ns() + PATIENCE_S * NS_PER_SEC; !(condition); clock_sleep_ms(1))      \
    ck_assert_msg(clock_mono_ns() < until_ns, "waited in vain: %s", #condition)

static void set_up(void)
{
    log_set_level(LOG_LEVEL_COUNT);
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* as the supervisor is: orphans come to us */
    config = (struct config){.pools = &pool_config, .pool_count = 1};
    supervisor = (struct supervisor){.config = &config,
                                     .mains = &MAINS,
                                     .worker_count = 2,
                                     .listen_fd = -1,
                                     .signal_fd = -1,
                                     .timer_fd = -1,
                                     .epoll_fd = -1,
                                     .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct segment_shape shape = {.slot_count = 4,
                                  .worker_count = 2,
                                  .pool_count = 1,
                                  .pools = {{0, 2, "default"}},
                                  .arena_bytes = 1 << 16,
                                  .tray_bytes = 1 << 13,
                                  .max_result = 1 << 12};
    ck_assert_int_eq(segment_create(&shape, &supervisor.segment), ERR_OK);
    supervisor.workers = calloc(supervisor.worker_count, sizeof *supervisor.workers);
    ck_assert_ptr_nonnull(supervisor.workers);
    pools_init(&supervisor);
    atomic_store(&supervisor.segment.header->catalogue_epoch, 1); /* else nobody is spawned */
    board = &supervisor.segment.boards[0];
    pools_turn(&supervisor);
    WAIT_FOR(atomic_load(&board->waiting) != 0);
}

static void tear_down(void)
{
    if (supervisor.workers[0].pid > 0) {
        WAIT_FOR(atomic_load(&board->waiting) != 0);
        kill(supervisor.workers[0].pid, SIGKILL);
        kill(-atomic_load(&board->group), SIGKILL);
    }
    segment_close(&supervisor.segment);
    free(supervisor.workers);
    close(supervisor.wake_fd);
}

static void kill_worker(void)
{
    siginfo_t info;
    ck_assert_int_eq(kill(supervisor.workers[0].pid, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)supervisor.workers[0].pid, &info, WEXITED | WNOWAIT), 0);
    reap_children(&supervisor);
    ck_assert_int_eq(supervisor.workers[0].pid, 0);
}

static void assert_unsettled(uint32_t incarnation)
{
    struct death death;
    ck_assert_uint_eq(atomic_load(&board->incarnation), incarnation);
    ck_assert_uint_eq(atomic_load(&board->status), WORKER_DYING);
    ck_assert(!board_read_death(board, &death));
    pools_turn(&supervisor);
    ck_assert_int_eq(supervisor.workers[0].pid, 0);
}

START_TEST(nothing_follows_before_the_group_of_its_task_is_reaped)
{
    struct death death;
    siginfo_t info;
    uint32_t incarnation = atomic_load(&board->incarnation);
    pid_t command = atomic_load(&board->group);
    kill_worker();
    assert_unsettled(incarnation);
    reap_settle(&supervisor); /* kills the group, which dies when it likes */
    assert_unsettled(incarnation);
    ck_assert_int_eq(waitid(P_PID, (id_t)command, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(info.si_status, SIGKILL);
    reap_settle(&supervisor); /* dead, and not reaped */
    assert_unsettled(incarnation);
    reap_children(&supervisor);
    reap_settle(&supervisor);
    ck_assert_uint_eq(atomic_load(&board->incarnation), incarnation + 1);
    ck_assert_uint_eq(atomic_load(&board->status), WORKER_ABSENT);
    ck_assert(board_read_death(board, &death));
    ck_assert_uint_eq(death.incarnation, incarnation);
    ck_assert_int_eq(death.signal, SIGKILL);
    pools_turn(&supervisor);
    ck_assert_int_gt(supervisor.workers[0].pid, 0);
}
END_TEST

START_TEST(each_death_wakes_a_worker_and_the_front)
{
    struct segment_header *header = supervisor.segment.header;
    int work = tokens(&header->work[0]), done = tokens(&header->done);
    kill_worker();
    WAIT_FOR(
        (reap_settle(&supervisor), reap_children(&supervisor), atomic_load(&board->status) == WORKER_ABSENT));
    ck_assert_int_eq(tokens(&header->work[0]), work + 1);
    ck_assert_int_eq(tokens(&header->done), done + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reap");
    TCase *tests = tcase_create("deaths");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 2 * PATIENCE_S);
    tcase_add_test(tests, nothing_follows_before_the_group_of_its_task_is_reaped);
    tcase_add_test(tests, each_death_wakes_a_worker_and_the_front);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
