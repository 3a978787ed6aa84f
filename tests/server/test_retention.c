/* Retention: what its turns find, delete and unlink, with the committer as the front runs it. */
#include "store_fixture.h"

#include "committer.h"
#include "paths.h"
#include "retention.h"

static struct committer committer;
static struct metrics *metrics;
static struct config config;
static struct retention retention;

static void swallow(void *argument, struct work *work)
{
    (void)argument;
    work_free(work);
}

static void rig_up(void)
{
    setup();
    ck_assert_ptr_nonnull(metrics = calloc(1, sizeof *metrics));
    committer_init(&committer, store, metrics, swallow, NULL);
    ok(committer_start(&committer));
    config = (struct config){.state_dir = folder, .store_url = url};
    ok(log_dirs_create(folder));
}

static void rig_down(void)
{
    committer_stop(&committer);
    retention_fini(&retention);
    free(metrics);
    teardown();
}

/* Ended so long ago; made by the test before the committer has anything to do. */
static struct id past_job(enum job_state state, int64_t age_ms)
{
    JOB_AUTO job = make_job("q", "t");
    job->spec.created_ms -= age_ms; /* its id is of now: the store notes how far the two lie apart */
    submit(job);
    run_ended(job, state, state == JOB_SUCCEEDED ? OUTCOME_SUCCESS : OUTCOME_ERROR);
    job->attempt.finished_ms = clock_real_ms() - age_ms;
    ck_assert(land(job, 0));
    return job->spec.id;
}

static void write_log(struct id id, unsigned attempt)
{
    char path[PATH_BYTES];
    ok(log_path(folder, id, attempt, path));
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("log\n", file);
    fclose(file);
}

static bool has_log(struct id id, unsigned attempt)
{
    char path[PATH_BYTES];
    ok(log_path(folder, id, attempt, path));
    return access(path, F_OK) == 0;
}

/* Turns until `rows` rows and nothing to be unlinked are left, and then some. */
static void turn_until(const char *sql, int64_t rows)
{
    int64_t until_ns = clock_mono_ns() + 30 * NS_PER_SEC;
    while (look(sql) != rows || look("SELECT count(*) FROM debris") != 0) {
        ck_assert_msg(clock_mono_ns() < until_ns, "%lld rows", (long long)look(sql));
        clock_sleep_ms(retention_turn(&retention, 20));
    }
    for (int i = 0; i < 10; i++)
        clock_sleep_ms(retention_turn(&retention, 20));
    ck_assert_int_eq(look(sql), rows);
    counts_are_right();
}

START_TEST(each_state_is_kept_for_its_own_time)
{
    for (int i = 0; i < 10; i++) {
        past_job(JOB_SUCCEEDED, i < 5 ? 60000 : 5000);
        past_job(JOB_FAILED, i < 3 ? 200000 : 60000);
        past_job(JOB_CANCELLED, i < 2 ? 200000 : 60000);
        job_free(submitted());
    }
    config.jobs_retain_succeeded_ms = 30000;
    config.jobs_retain_failed_ms = 100000;
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 5 + 7 + 8 + 10);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 4"), 7);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 5"), 8);
}
END_TEST

START_TEST(nothing_is_deleted_where_everything_is_kept_for_ever)
{
    past_job(JOB_SUCCEEDED, 1000000000);
    past_job(JOB_FAILED, 1000000000);
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 2);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE result IS NOT NULL"), 1);
}
END_TEST

START_TEST(results_go_before_their_jobs)
{
    past_job(JOB_SUCCEEDED, 60000);
    past_job(JOB_SUCCEEDED, 5000);
    past_job(JOB_SUCCEEDED, 200000);
    config.jobs_retain_succeeded_ms = 100000;
    config.jobs_retain_results_ms = 30000;
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs WHERE result IS NOT NULL", 1);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
}
END_TEST

START_TEST(many_go_batch_by_batch_and_the_young_stay)
{
    begin();
    for (int i = 0; i < 1500; i++) {
        JOB_AUTO job = make_job("q", i % 2 == 0 ? "x" : "y");
        job->spec.created_ms -= 100000;
        submit_in_group(job);
        run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
        job->attempt.finished_ms = clock_real_ms() - (i % 10 == 0 ? 0 : 100000);
        ck_assert(land_in_group(job, 0));
    }
    ok(store_commit(store));
    config.jobs_retain_succeeded_ms = 50000;
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 150);
}
END_TEST

START_TEST(a_job_that_was_passed_because_it_ended_late_is_met_later)
{
    past_job(JOB_SUCCEEDED, 5000);
    past_job(JOB_SUCCEEDED, 500);
    config.jobs_retain_succeeded_ms = 2500;
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 1);
    turn_until("SELECT count(*) FROM jobs", 0);
}
END_TEST

START_TEST(the_logs_of_what_is_deleted_go_too_and_only_those)
{
    struct id old = past_job(JOB_FAILED, 60000), young = past_job(JOB_FAILED, 0);
    write_log(old, 1);
    write_log(old, 2); /* of an attempt that was given back */
    write_log(young, 1);
    config.jobs_retain_failed_ms = 30000;
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 1);
    ck_assert(!has_log(old, 1) && !has_log(old, 2) && has_log(young, 1));
}
END_TEST

START_TEST(logs_that_an_earlier_life_left_are_unlinked)
{
    struct id id = past_job(JOB_FAILED, 0);
    struct store_past past = {.id = id};
    write_log(id, 1);
    begin();
    ok(store_forget(store, &past));
    ok(store_commit(store));
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 0);
    ck_assert(!has_log(id, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retention");
    TCase *tcase = tcase_create("retention");
    tcase_add_checked_fixture(tcase, rig_up, rig_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_state_is_kept_for_its_own_time);
    tcase_add_test(tcase, nothing_is_deleted_where_everything_is_kept_for_ever);
    tcase_add_test(tcase, results_go_before_their_jobs);
    tcase_add_test(tcase, many_go_batch_by_batch_and_the_young_stay);
    tcase_add_test(tcase, a_job_that_was_passed_because_it_ended_late_is_met_later);
    tcase_add_test(tcase, the_logs_of_what_is_deleted_go_too_and_only_those);
    tcase_add_test(tcase, logs_that_an_earlier_life_left_are_unlinked);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
