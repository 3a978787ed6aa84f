/* The committer, through a store that cannot be written for a while: another program keeps the file locked,
 * which the store reports as it does a full disk. */
#include "dispatcher_fixture.h"

#include <signal.h>

static sqlite3 *other;

static void warm_up(void)
{
    rig_up();
    front_dies();
    front_prepare();
    sqlite3_busy_timeout(store->reader.connection.db, 20); /* for others that hold the file: 5 s, else */
    committer_up();
    TURN_UNTIL(all_warm());
}

static void lock_store(void)
{
    ck_assert_int_eq(sqlite3_open(file_path(), &other), SQLITE_OK);
    sqlite3_busy_timeout(other, 5000);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

static void unlock_store(void)
{
    ck_assert_int_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
}

START_TEST(submissions_are_refused_and_accepted_again_afterwards)
{
    struct id refused, accepted;
    lock_store();
    ck_assert_int_eq(submit_job(new_job(5, DURABILITY_FULL), &refused), ERR_STORE_FULL);
    unlock_store();
    ck_assert(!in_store(refused));
    enum err err = ERR_STORE_FULL; /* until the committer looks again, each RETRY_MS */
    for (int i = 0; err == ERR_STORE_FULL && i < 200; i++) {
        err = submit_job(new_job(5, DURABILITY_FULL), &accepted);
        clock_sleep_ms(20);
    }
    ok(err);
    run_all(1);
    assert_row(accepted, JOB_SUCCEEDED, 1, 0, 0, 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST(results_are_kept_and_land_in_the_end)
{
    struct id ids[WORKER_COUNT];
    uint64_t tickets[WORKER_COUNT];
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        ids[i] = submitted_job();
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        tickets[i] = start_next(i);
    lock_store();
    for (uint32_t i = 0; i < WORKER_COUNT; i++) { /* one after the other: several groups are refused */
        struct id refused;
        finish_run(i, tickets[i], i % 2 ? OUTCOME_SUCCESS : OUTCOME_ERROR);
        turn();
        ck_assert_int_eq(submit_job(new_job(5, DURABILITY_PROCESS), &refused), ERR_STORE_FULL);
    }
    for (uint32_t i = 0; i < WORKER_COUNT; i++) {
        struct job *job;
        ck_assert_int_eq(slot_claim_load(slot_of_ticket(tickets[i])).state,
                         SLOT_DONE); /* they wait in their slots */
        ok(slot_copy(&segment, ticket_slot(tickets[i]), ids[i], &job));
        ck_assert_int_eq(job->state, JOB_RUNNING);
        job_free(job);
    }
    unlock_store();
    run_all(WORKER_COUNT / 2);
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        assert_row(ids[i], JOB_SUCCEEDED, i % 2 ? 1 : 2, i % 2 ? 0 : 1, 0, 0);
}
END_TEST

START_TEST(a_crash_is_requeued_only_once_it_is_on_record)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(1);
    lock_store();
    die(1, DEATH_CRASH, SIGSEGV);
    turns(300);
    ck_assert_int_eq(slot_claim_load(slot_of_ticket(ticket)).state, SLOT_RUNNING);
    ck_assert(!deaths_acknowledged(1));
    ck_assert_uint_eq(claim_next(2), 0);
    unlock_store();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 1, 0);
}
END_TEST

START_TEST(a_cancel_in_the_store_is_refused_and_may_be_asked_again)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    struct id id;
    job->spec.retry.initial_ms = job->spec.retry.max_ms = 100000;
    ok(submit_job(job, &id));
    finish_run(0, start_next(0), OUTCOME_ERROR);
    TURN_UNTIL(all_free());
    lock_store();
    ck_assert_int_eq(cancel_job(id), ERR_STORE_FULL);
    unlock_store();
    ck_assert_int_eq(state_of(id), JOB_RETRYING);
    ok(cancel_job(id));
    assert_row(id, JOB_CANCELLED, 1, 1, 0, 0);
    assert_nothing_left();
}
END_TEST

START_TEST(what_is_due_comes_back_later)
{
    struct id id = submitted_job();
    finish_run(0, start_next(0), OUTCOME_ERROR);
    TURN_UNTIL(look("SELECT errors FROM jobs") == 1);
    lock_store();
    turns(200); /* due meanwhile; refused, asked again */
    unlock_store();
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_group_larger_than_a_commit_takes_is_committed_in_order)
{
    enum { JOBS = 3 * GROUP_MOST };
    static struct asked asked[JOBS];
    struct id ids[JOBS];
    front_dies();
    front_prepare();
    for (int i = 0; i < JOBS; i++)
        ids[i] = send_job(&asked[i], new_job(5, DURABILITY_FULL));
    committer_up();
    TURN_UNTIL(answered(&asked[JOBS - 1]));
    ck_assert_uint_le(atomic_load(&committer.commits), 8);
    for (int i = 0; i < JOBS; i++) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(everything_given_before_a_stop_is_committed)
{
    enum { JOBS = 2 * GROUP_MOST };
    static struct asked asked[JOBS];
    for (int i = 0; i < JOBS; i++)
        send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    committer_stop(&committer);
    committing = false;
    for (int i = 0; i < JOBS; i++) {
        ck_assert_int_eq(atomic_load(&asked[i].answers), 1);
        ok(asked[i].errand.err);
    }
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), JOBS);
}
END_TEST

START_TEST(a_replay_and_its_first_in_one_group_agree)
{
    struct asked asked[3];
    front_dies();
    front_prepare();
    for (int i = 0; i < 3; i++) {
        struct job *job = new_job(5, DURABILITY_PROCESS);
        strcpy(job->spec.idempotency_key, "key");
        job->spec.fingerprint.bytes[0] = i == 2 ? 9 : 1;
        send_job(&asked[i], job);
    }
    committer_up();
    TURN_UNTIL(answered(&asked[0]) && answered(&asked[1]) && answered(&asked[2]));
    ok(asked[0].errand.err);
    ok(asked[1].errand.err);
    ck_assert(!asked[0].errand.replayed && asked[1].errand.replayed);
    ck_assert(id_equal(asked[1].errand.original, asked[0].errand.id));
    ck_assert_int_eq(asked[2].errand.err, ERR_KEY_REUSED);
    run_all(1);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("committer");
    TCase *locked = tcase_create("locked"), *groups = tcase_create("groups");
    tcase_add_checked_fixture(locked, warm_up, rig_down);
    tcase_set_timeout(locked, 100);
    tcase_add_test(locked, submissions_are_refused_and_accepted_again_afterwards);
    tcase_add_test(locked, results_are_kept_and_land_in_the_end);
    tcase_add_test(locked, a_crash_is_requeued_only_once_it_is_on_record);
    tcase_add_test(locked, a_cancel_in_the_store_is_refused_and_may_be_asked_again);
    tcase_add_test(locked, what_is_due_comes_back_later);
    tcase_add_checked_fixture(groups, warm_up, rig_down);
    tcase_set_timeout(groups, 60);
    tcase_add_test(groups, a_group_larger_than_a_commit_takes_is_committed_in_order);
    tcase_add_test(groups, everything_given_before_a_stop_is_committed);
    tcase_add_test(groups, a_replay_and_its_first_in_one_group_agree);
    suite_add_tcase(suite, locked);
    suite_add_tcase(suite, groups);
    return run_suite(suite);
}
