/* The front while its store is full: what is refused, what waits, in which order it lands, and what a failed
 * sync does. */
#include "dispatcher_fixture.h"

#include "fault_vfs.h"
#include "marker.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { BALLAST_BYTES = 1 << 20 };

static struct ballast ballast;

/* The front of the fixture, with a ballast. */
static void front_up_with_ballast(void)
{
    front_prepare();
    ballast_init(&ballast, folder, BALLAST_BYTES);
    committer.ballast = &ballast;
    committer_up();
}

static void faulty_up(void)
{
    fault_vfs_install();
    rig_up();
    front_dies();
    front_up_with_ballast();
}

static void faulty_down(void)
{
    fault_off();
    rig_down();
}

static void fill_disk(void)
{
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, "-wal");
}

static bool full(void)
{
    return atomic_load(&committer.full);
}

static int64_t ballast_bytes(void)
{
    char path[128];
    struct stat status;
    snprintf(path, sizeof path, "%s/" BALLAST_FILE, folder);
    return stat(path, &status) == 0 ? status.st_size : -1;
}

static enum err asked_as(enum durability durability)
{
    struct id id;
    return submit_job(new_job(PRIORITY_DEFAULT, durability), &id);
}

/* The store is full from here on: a submission has found out. */
static void become_full(void)
{
    fill_disk();
    ck_assert_int_eq(asked_as(DURABILITY_FULL), ERR_STORE_FULL);
    ck_assert(full());
}

static void become_free(void)
{
    fault_off();
    TURN_UNTIL(!full());
}

static int64_t free_bytes = INT64_MAX;

int64_t __wrap_path_free_bytes(const char *of);
int64_t __wrap_path_free_bytes(const char *of)
{
    (void)of;
    return free_bytes;
}

START_TEST(a_log_that_the_file_has_no_room_for_makes_the_store_full_before_it_grows_on)
{
    free_bytes = 0; /* the log lies where there is room, the file does not grow any more */
    int jobs = 0;
    while (asked_as(DURABILITY_PROCESS) == ERR_OK && jobs < 5000)
        jobs++;
    ck_assert(full());
    ck_assert_int_gt(jobs, 10);
    ck_assert_int_lt(jobs, 2000); /* 2 MB of pages, one or more a commit */
    free_bytes = INT64_MAX;
    TURN_UNTIL(!full());
    submitted_job();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), jobs + 1);
}
END_TEST

START_TEST(a_full_store_refuses_submissions_until_there_is_room_again)
{
    become_full();
    int writes = atomic_load(&fault_writes);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(asked_as(DURABILITY_PROCESS), ERR_STORE_FULL);
    ck_assert_int_le(atomic_load(&fault_writes) - writes,
                     3); /* nobody tried but the one that looks for room */
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
    become_free();
    submitted_job();
    run_all(1);
}
END_TEST

START_TEST(results_wait_in_their_slots_and_land_by_themselves)
{
    struct id first = submitted_job(), second = submitted_job();
    uint64_t one = start_next(0), two = start_next(1);
    fill_disk();
    succeed(0, one);
    TURN_UNTIL(full());
    succeed(1, two);
    turns(20);
    ck_assert_int_eq(state_of(first), JOB_QUEUED);
    ck_assert_uint_eq(slots_in(SLOT_DONE), 2);
    ck_assert_uint_eq(dispatcher.landing_count, 2);
    become_free();
    assert_nothing_left();
    assert_row(first, JOB_SUCCEEDED, 1, 0, 0, 0);
    assert_row(second, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(more_results_than_a_group_wait_and_land)
{
    enum { JOBS = GROUP_MOST + 50 };
    struct id ids[JOBS];
    front_dies();
    segment_close(&segment);
    make_segment(4 * JOBS);
    front_up_with_ballast();
    for (int i = 0; i < JOBS; i++)
        ids[i] = submitted_job();
    fill_disk();
    for (int i = 0; i < JOBS; i++) {
        succeed(0, start_next(0));
        turn();
    }
    TURN_UNTIL(dispatcher.landing_count == JOBS);
    TURN_UNTIL(full());
    clock_sleep_ms(2 * RETRY_MS); /* tried again, refused again: none is lost, none doubled */
    become_free();
    assert_nothing_left();
    for (int i = 0; i < JOBS; i++)
        ck_assert_int_eq(state_of(ids[i]), JOB_SUCCEEDED);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE attempt = 1 AND outcome = 1"), JOBS);
}
END_TEST

START_TEST(a_failure_a_crash_and_a_retry_wait_as_well)
{
    struct id failed = submitted_job(), crashed = submitted_job();
    uint64_t one = start_next(0);
    start_next(1);
    fill_disk();
    finish_run(0, one, OUTCOME_ERROR);
    die(1, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(full() && dispatcher.landing_count == 2);
    turns(5);
    ck_assert_uint_eq(claim_next(2), 0); /* neither runs again before it is on record */
    become_free();
    run_all(2);
    assert_row(failed, JOB_SUCCEEDED, 2, 1, 0, 0);
    assert_row(crashed, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(jobs_that_are_stored_already_run_on)
{
    struct id id = submitted_job();
    become_full();
    succeed(0, start_next(0));
    turns(5);
    ck_assert_int_eq(state_of(id), JOB_QUEUED);
    become_free();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(jobs_of_durability_memory_need_no_store_until_they_end)
{
    submitted_job(); /* with it a block of places in the order, which are written */
    run_all(1);
    become_full();
    struct id id = submitted_memory();
    succeed(0, start_next(0));
    turns(5);
    ck_assert(!in_store(id));
    become_free();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

/* --- cancels --- */

START_TEST(a_cancel_of_a_waiting_job_is_refused_and_done_once_there_is_room)
{
    struct asked again;
    struct id id = submitted_job();
    TURN_UNTIL(all_warm());
    become_full();
    ck_assert_int_eq(cancel_job(id), ERR_STORE_FULL);
    send_cancel(&again, id); /* its verdict waits: the next one is answered too */
    TURN_UNTIL(answered(&again));
    ck_assert_int_eq(again.errand.err, ERR_STORE_FULL);
    ck_assert_uint_eq(claim_next(0), 0);
    ck_assert_int_eq(state_of(id), JOB_QUEUED);
    become_free();
    assert_nothing_left();
    assert_row(id, JOB_CANCELLED, 0, 0, 0, 0);
    ck_assert_int_eq(cancel_job(id), ERR_ALREADY_FINISHED);
}
END_TEST

START_TEST(a_cancel_that_was_refused_is_forgotten_if_everything_dies)
{
    struct id id = submitted_job();
    TURN_UNTIL(all_warm());
    become_full();
    ck_assert_int_eq(cancel_job(id), ERR_STORE_FULL);
    fault_off();
    committer.ballast = NULL;
    fill_disk();
    front_dies();
    fault_off();
    segment_close(&segment);
    make_segment(SLOT_COUNT);
    front_up();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_cancel_of_a_finished_job_whose_result_waits_is_answered)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    fill_disk();
    succeed(0, ticket);
    TURN_UNTIL(full());
    ck_assert_int_eq(cancel_job(id), ERR_STORE_FULL);
    become_free();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_cancel_of_a_cold_job_is_refused)
{
    struct id id = submitted_job();
    for (uint32_t i = 0; i < SLOT_COUNT + 1; i++)
        id = submitted_job(); /* the last have no slot */
    turns(5);
    ck_assert_uint_eq(hot_find(&hot, id), HOT_NONE);
    become_full();
    ck_assert_int_eq(cancel_job(id), ERR_STORE_FULL);
    become_free();
    ok(cancel_job(id));
    run_all(SLOT_COUNT + 1);
}
END_TEST

/* --- the ballast --- */

START_TEST(the_ballast_is_given_up_so_that_results_land_and_made_again)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    TURN_UNTIL(ballast_bytes() == BALLAST_BYTES);
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, "-wal");
    succeed(0, ticket);
    TURN_UNTIL(ballast_bytes() == 0);
    fault_off(); /* what was freed is room */
    TURN_UNTIL(state_of(id) == JOB_SUCCEEDED);
    TURN_UNTIL(!full());
    ck_assert_int_eq(ballast_bytes(), BALLAST_BYTES);
    assert_nothing_left();
}
END_TEST

START_TEST(submissions_wait_until_the_ballast_stands_again_and_results_do_not)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    become_full();
    ballast.bytes = INT64_MAX / 2; /* no disk has room for that */
    fault_off();
    succeed(0, ticket);
    TURN_UNTIL(state_of(id) == JOB_SUCCEEDED);
    clock_sleep_ms(2 * RETRY_MS);
    ck_assert(full());
    ck_assert_int_eq(asked_as(DURABILITY_FULL), ERR_STORE_FULL);
    ballast.bytes = BALLAST_BYTES;
    TURN_UNTIL(!full());
    submitted_job();
    run_all(1);
}
END_TEST

START_TEST(a_new_front_goes_on_refusing_while_the_ballast_is_not_there)
{
    become_full();
    ck_assert_int_eq(ballast_bytes(), 0);
    ballast.bytes = INT64_MAX / 2;
    fault_off();
    front_dies();
    front_prepare();
    ballast_init(&ballast, folder, INT64_MAX / 2);
    committer.ballast = &ballast;
    committer_up();
    TURN_UNTIL(full());
    ck_assert_int_eq(asked_as(DURABILITY_FULL), ERR_STORE_FULL);
    ballast.bytes = BALLAST_BYTES;
    TURN_UNTIL(!full());
}
END_TEST

START_TEST(without_a_ballast_all_of_it_works_too)
{
    front_dies();
    front_up(); /* none */
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    become_full();
    succeed(0, ticket);
    turns(5);
    ck_assert_int_eq(state_of(id), JOB_QUEUED);
    become_free();
    assert_nothing_left();
    submitted_job();
    run_all(1);
}
END_TEST

/* --- ends --- */

START_TEST(a_stop_on_a_full_disk_drops_results_whose_jobs_run_again)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    fill_disk();
    succeed(0, ticket);
    TURN_UNTIL(full());
    front_dies();
    fault_off();
    segment_close(&segment);
    make_segment(SLOT_COUNT);
    front_up();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_new_front_lands_what_the_old_one_could_not)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    fill_disk();
    succeed(0, ticket);
    TURN_UNTIL(full());
    front_dies();
    fault_off();
    front_up_with_ballast();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

/* In a child, for the front ends there and then. */
static int status_after(int kinds, int code, int number)
{
    front_dies();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct asked asked;
        front_up();
        fault_on(kinds, code, number, "-wal");
        send_job(&asked, new_job(PRIORITY_DEFAULT, DURABILITY_FULL));
        for (int i = 0; i < PATIENCE_S * 1000 && !answered(&asked); i++)
            turns(1);
        _exit(answered(&asked) ? 1 : 2);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    front_up();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(a_failed_sync_ends_the_front_at_once_without_an_answer)
{
    ck_assert_int_eq(status_after(FAULT_SYNC, SQLITE_IOERR_FSYNC, EIO), FRONT_EXIT_STORE);
    ck_assert(marker_found(file_path()));
}
END_TEST

START_TEST(a_failed_write_ends_the_front_without_a_marker)
{
    ck_assert_int_eq(status_after(FAULT_WRITE, SQLITE_IOERR_WRITE, EIO), FRONT_EXIT_STORE);
    ck_assert(!marker_found(file_path()));
}
END_TEST

START_TEST(memory_that_runs_out_says_nothing_against_the_store)
{
    ck_assert_int_eq(status_after(FAULT_WRITE, SQLITE_NOMEM, ENOMEM), FRONT_EXIT_AGAIN);
    ck_assert_int_eq(status_after(FAULT_WRITE, SQLITE_IOERR_NOMEM, ENOMEM), FRONT_EXIT_AGAIN);
    ck_assert(!marker_found(file_path()));
}
END_TEST

START_TEST(a_disk_made_read_only_refuses_and_goes_on)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    fault_on(FAULT_WRITE, SQLITE_IOERR_WRITE, EROFS, "-wal");
    ck_assert_int_eq(asked_as(DURABILITY_FULL), ERR_STORE_FULL);
    succeed(0, ticket);
    turns(5);
    become_free();
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("committer_faults");
    TCase *tcase = tcase_create("committer_faults");
    tcase_add_checked_fixture(tcase, faulty_up, faulty_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_full_store_refuses_submissions_until_there_is_room_again);
    tcase_add_test(tcase, a_log_that_the_file_has_no_room_for_makes_the_store_full_before_it_grows_on);
    tcase_add_test(tcase, results_wait_in_their_slots_and_land_by_themselves);
    tcase_add_test(tcase, more_results_than_a_group_wait_and_land);
    tcase_add_test(tcase, a_failure_a_crash_and_a_retry_wait_as_well);
    tcase_add_test(tcase, jobs_that_are_stored_already_run_on);
    tcase_add_test(tcase, jobs_of_durability_memory_need_no_store_until_they_end);
    tcase_add_test(tcase, a_cancel_of_a_waiting_job_is_refused_and_done_once_there_is_room);
    tcase_add_test(tcase, a_cancel_that_was_refused_is_forgotten_if_everything_dies);
    tcase_add_test(tcase, a_cancel_of_a_finished_job_whose_result_waits_is_answered);
    tcase_add_test(tcase, a_cancel_of_a_cold_job_is_refused);
    tcase_add_test(tcase, the_ballast_is_given_up_so_that_results_land_and_made_again);
    tcase_add_test(tcase, submissions_wait_until_the_ballast_stands_again_and_results_do_not);
    tcase_add_test(tcase, a_new_front_goes_on_refusing_while_the_ballast_is_not_there);
    tcase_add_test(tcase, without_a_ballast_all_of_it_works_too);
    tcase_add_test(tcase, a_stop_on_a_full_disk_drops_results_whose_jobs_run_again);
    tcase_add_test(tcase, a_new_front_lands_what_the_old_one_could_not);
    tcase_add_test(tcase, a_failed_sync_ends_the_front_at_once_without_an_answer);
    tcase_add_test(tcase, a_failed_write_ends_the_front_without_a_marker);
    tcase_add_test(tcase, memory_that_runs_out_says_nothing_against_the_store);
    tcase_add_test(tcase, a_disk_made_read_only_refuses_and_goes_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
