/* The charge of the black box to the store, when everything was killed while jobs ran. */
#include "dispatcher_fixture.h"

#include "blackbox.h"
#include "fault_vfs.h"

#include <signal.h>

static void warm_up(void)
{
    fault_vfs_install();
    rig_up();
    TURN_UNTIL(all_warm());
}

static struct blackbox box;

/* Everything is killed while these run; the next start has come to where the store is open. */
static void killed_before_charge(const struct id *ids, const uint32_t *attempts, uint32_t count)
{
    if (box.header == NULL) /* the first life's; later ones have theirs from below */
        ok(blackbox_create(folder, WORKER_COUNT, &box));
    box.header->store_id = store_identity(store);
    for (uint32_t i = 0; i < count; i++)
        blackbox_begin(&box, i, ids[i], attempts[i], 1234);
    blackbox_close(&box);
    front_dies();
    ok(blackbox_create(folder, WORKER_COUNT, &box));
    segment_close(&segment);
    make_segment(SLOT_COUNT);
    open_store();
}

static void charge_and_go_on(void)
{
    ok(recovery_charge(store, &config));
    close_store();
    front_up();
}

static void killed_while_running(const struct id *ids, const uint32_t *attempts, uint32_t count)
{
    killed_before_charge(ids, attempts, count);
    charge_and_go_on();
}

static void charged_down(void)
{
    blackbox_close(&box);
    rig_down();
}

START_TEST(what_ran_when_everything_died_is_charged_once_and_runs_again)
{
    struct id ids[2] = {submitted_job(), submitted_job()};
    killed_while_running(ids, (uint32_t[]){1}, 1);
    assert_row(ids[0], JOB_QUEUED, 1, 0, 0, 1);
    assert_row(ids[1], JOB_QUEUED, 0, 0, 0, 0);
    JOB_AUTO job = row(ids[0]);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_LOST);
    ck_assert_int_eq(job->attempt.started_ms, 1234);
    ck_assert_str_eq(job->attempt.error_code, err_code(ERR_WORKER_LOST));
    front_dies();
    open_store();
    charge_and_go_on(); /* the next start: the box is gone */
    assert_row(ids[0], JOB_QUEUED, 1, 0, 0, 1);
    run_all(2);
    assert_row(ids[0], JOB_SUCCEEDED, 2, 0, 0, 1);
}
END_TEST

START_TEST(a_charge_that_is_not_committed_is_made_at_the_next_start)
{
    struct id id = submitted_job();
    killed_before_charge(&id, (uint32_t[]){1}, 1);
    fault_on(FAULT_WRITE, SQLITE_FULL, ENOSPC, "-wal");
    ck_assert_int_eq(recovery_charge(store, &config), ERR_STORE_FULL);
    fault_off();
    close_store();
    open_store();
    charge_and_go_on();
    assert_row(id, JOB_QUEUED, 1, 0, 0, 1);
    run_all(1);
}
END_TEST

START_TEST(a_run_that_was_on_record_when_everything_died_is_not_charged)
{
    struct id done = submitted_job();
    run_all(1);
    struct id crashed = submitted_job();
    start_next(1);
    die(1, DEATH_CRASH, SIGSEGV);
    TURN_UNTIL(deaths_acknowledged(1));
    struct id ids[3] = {done, crashed, id_new()}; /* the last: a job of durability memory */
    killed_while_running(ids, (uint32_t[]){1, 1, 1}, 3);
    assert_row(done, JOB_SUCCEEDED, 1, 0, 0, 0);
    assert_row(crashed, JOB_QUEUED, 1, 0, 1, 0);
    run_all(1);
}
END_TEST

START_TEST(a_job_that_kills_the_machine_again_and_again_fails_in_the_end)
{
    struct id id = submitted_job();
    config.jobs_max_lost = 3;
    for (uint32_t life = 1; life <= 3; life++) {
        killed_while_running(&id, &life, 1);
        assert_row(id, life < 3 ? JOB_QUEUED : JOB_FAILED, life, 0, 0, life);
    }
    assert_nothing_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recovery: black box");
    TCase *charged = tcase_create("black box");
    tcase_add_checked_fixture(charged, warm_up, charged_down);
    tcase_set_timeout(charged, 60);
    tcase_add_test(charged, what_ran_when_everything_died_is_charged_once_and_runs_again);
    tcase_add_test(charged, a_charge_that_is_not_committed_is_made_at_the_next_start);
    tcase_add_test(charged, a_run_that_was_on_record_when_everything_died_is_not_charged);
    tcase_add_test(charged, a_job_that_kills_the_machine_again_and_again_fails_in_the_end);
    suite_add_tcase(suite, charged);
    return run_suite(suite);
}
