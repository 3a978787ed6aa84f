/* The dispatcher and what was not started in time. */
#include "limits_fixture.h"

static struct asked many[2 * MANY];

static struct id sent_expiring(struct asked *asked, enum durability durability, int64_t after_ms)
{
    struct job *job = new_job(PRIORITY_DEFAULT, durability);
    job->spec.expires_ms = clock_real_ms() + after_ms;
    return send_job(asked, job);
}

static struct id expiring(enum durability durability, int64_t after_ms)
{
    struct asked asked;
    struct id id = sent_expiring(&asked, durability, after_ms);
    ok(answer_of(&asked));
    return id;
}

START_TEST(a_job_that_no_worker_takes_in_time_fails)
{
    struct id stays = submitted_job(), id = expiring(DURABILITY_PROCESS, 100);
    TURN_UNTIL(hot_find(&hot, id) != HOT_NONE);
    TURN_UNTIL(expired(id));
    assert_row(id, JOB_FAILED, 0, 0, 0, 0);
    assert_runs(stays);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_is_published_fails_in_time_too)
{
    struct id id = expiring(DURABILITY_PROCESS, 200);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    TURN_UNTIL(expired(id));
    ck_assert_uint_eq(claim_next(0), 0);
    assert_nothing_left();
}
END_TEST

START_TEST(jobs_without_slots_fail_in_time)
{
    struct id last = {0};
    for (int i = 0; i < MANY; i++)
        last = sent_expiring(&many[i], DURABILITY_PROCESS, i % 2 == 0 ? 3600000 : 300);
    TURN_UNTIL(answered(&many[MANY - 1]));
    TURN_UNTIL(look("SELECT count(*) FROM jobs WHERE state = 4") == MANY / 2);
    ck_assert(expired(last));
    run_all(MANY / 2);
}
END_TEST

START_TEST(paused_jobs_fail_in_time_and_their_queue_counts_them_out)
{
    set(SETTING_QUEUE, "default", LIMIT_PAUSED, 1);
    struct id id = expiring(DURABILITY_PROCESS, 100);
    TURN_UNTIL(expired(id));
    TURN_UNTIL(lineup_queue(&dispatcher.lineup, "default")->waiting == 0);
}
END_TEST

START_TEST(jobs_in_memory_fail_in_time)
{
    struct id id = expiring(DURABILITY_MEMORY, 100);
    ck_assert(!in_store(id));
    TURN_UNTIL(in_store(id));
    ck_assert(expired(id));
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_was_started_in_time_runs_on)
{
    uint64_t one, two;
    struct id stored = expiring(DURABILITY_PROCESS, 300), memory = expiring(DURABILITY_MEMORY, 300);
    assert_starts(0, stored, &one);
    assert_starts(1, memory, &two);
    for (int64_t until_ms = clock_real_ms() + 400; clock_real_ms() < until_ms;)
        turns(5);
    succeed(0, one);
    succeed(1, two);
    assert_nothing_left();
    assert_row(stored, JOB_SUCCEEDED, 1, 0, 0, 0);
    assert_row(memory, JOB_SUCCEEDED, 1, 0, 0, 0);
}
END_TEST

START_TEST(a_retry_does_not_expire)
{
    uint64_t ticket;
    struct id id = expiring(DURABILITY_PROCESS, 200);
    assert_starts(0, id, &ticket);
    for (int64_t until_ms = clock_real_ms() + 250; clock_real_ms() < until_ms;)
        turns(5);
    finish_run(0, ticket, OUTCOME_ERROR);
    assert_runs(id);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_new_time_may_be_earlier_or_none)
{
    struct id sooner = expiring(DURABILITY_PROCESS, 3600000), never = expiring(DURABILITY_PROCESS, 400);
    ok(patch_job(sooner, (struct store_patch){.has_expires = true, .expires_ms = clock_real_ms() + 100}));
    ok(patch_job(never, (struct store_patch){.has_expires = true}));
    TURN_UNTIL(expired(sooner));
    for (int64_t until_ms = clock_real_ms() + 500; clock_real_ms() < until_ms;)
        turns(5);
    assert_runs(never);
    assert_nothing_left();
}
END_TEST

START_TEST(what_expires_while_the_front_is_down_fails_afterwards)
{
    struct id stored = expiring(DURABILITY_PROCESS, 50), memory = expiring(DURABILITY_MEMORY, 50);
    front_dies();
    clock_sleep_ms(100);
    front_up();
    TURN_UNTIL(expired(stored));
    TURN_UNTIL(in_store(memory));
    ck_assert(expired(memory));
    assert_nothing_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: expiry");
    TCase *tests = tcase_create("expiry");
    tcase_add_checked_fixture(tests, rig_up, rig_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_job_that_no_worker_takes_in_time_fails);
    tcase_add_test(tests, a_job_that_is_published_fails_in_time_too);
    tcase_add_test(tests, jobs_without_slots_fail_in_time);
    tcase_add_test(tests, paused_jobs_fail_in_time_and_their_queue_counts_them_out);
    tcase_add_test(tests, jobs_in_memory_fail_in_time);
    tcase_add_test(tests, a_job_that_was_started_in_time_runs_on);
    tcase_add_test(tests, a_retry_does_not_expire);
    tcase_add_test(tests, a_new_time_may_be_earlier_or_none);
    tcase_add_test(tests, what_expires_while_the_front_is_down_fails_afterwards);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
