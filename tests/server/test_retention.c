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
static struct id past_job_of(const char *task, enum job_state state, int64_t age_ms)
{
    JOB_AUTO job = make_job("q", task);
    job->spec.created_ms -= age_ms; /* its id is of now: the store notes how far the two lie apart */
    submit(job);
    run_ended(job, state, state == JOB_SUCCEEDED ? OUTCOME_SUCCESS : OUTCOME_ERROR);
    job->attempt.finished_ms = clock_real_ms() - age_ms;
    ck_assert(land(job, 0));
    return job->spec.id;
}

static struct id past_job(enum job_state state, int64_t age_ms)
{
    return past_job_of("t", state, age_ms);
}

/* Of all tasks, and of these alone; -1: not set. */
static void configure_tasks(struct task_config *tasks, size_t count)
{
    config.tasks = tasks;
    config.task_count = count;
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

/* --- tasks with times of their own --- */

START_TEST(a_task_may_keep_its_jobs_for_a_time_of_its_own)
{
    struct task_config tasks[] = {
        {.name = "short", .retain_succeeded_ms = 1000, .retain_failed_ms = 2000},
        {.name = "ever", .retain_succeeded_ms = 0, .retain_failed_ms = 0},
        {.name = "long", .retain_succeeded_ms = 100000, .retain_failed_ms = -1},
        {.name = "also", .retain_succeeded_ms = 1000, .retain_failed_ms = -1},
        {.name = "as_all", .retain_succeeded_ms = -1, .retain_failed_ms = 60000},
    };
    const char *names[] = {"short", "ever", "long", "also", "as_all", "other"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int64_t age_ms = 30000; age_ms <= 200000; age_ms += 50000) { /* 30, 80, 130 and 180 s */
            past_job_of(names[i], JOB_SUCCEEDED, age_ms);
            past_job_of(names[i], JOB_FAILED, age_ms);
            past_job_of(names[i], JOB_CANCELLED, age_ms);
        }
    }
    config.jobs_retain_succeeded_ms = 50000;
    config.jobs_retain_failed_ms = 60000;
    configure_tasks(tasks, sizeof tasks / sizeof tasks[0]);
    ok(retention_init(&retention, &config, &committer));
    /* succeeded: ever 4, long 2, as_all and other 1; failed and cancelled: ever 4, the others but short 1 */
    turn_until("SELECT count(*) FROM jobs", (4 + 2 + 1 + 1) + 2 * (4 + 1 + 1 + 1 + 1));
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE task IN ('short')"), 0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE task = 'ever'"), 12);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE task = 'long' AND state = 3"), 2);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE task = 'also' AND state = 3"), 0);
}
END_TEST

START_TEST(a_task_may_be_the_only_one_whose_jobs_are_ever_over)
{
    struct task_config task = {.name = "short", .retain_succeeded_ms = 1000, .retain_failed_ms = -1};
    past_job_of("short", JOB_SUCCEEDED, 5000);
    past_job_of("short", JOB_FAILED, 5000);
    past_job_of("other", JOB_SUCCEEDED, 1000000000);
    configure_tasks(&task, 1);
    ok(retention_init(&retention, &config, &committer));
    ck_assert_uint_eq(retention.rules->count, 1);
    turn_until("SELECT count(*) FROM jobs", 2);
}
END_TEST

START_TEST(results_go_before_jobs_that_a_task_keeps_longer_than_all_others)
{
    struct task_config task = {.name = "long", .retain_succeeded_ms = 500000, .retain_failed_ms = -1};
    past_job_of("long", JOB_SUCCEEDED, 120000);
    past_job_of("long", JOB_SUCCEEDED, 10000);
    past_job_of("other", JOB_SUCCEEDED, 10000);
    past_job_of("other", JOB_SUCCEEDED, 120000);
    config.jobs_retain_succeeded_ms = 50000;
    config.jobs_retain_results_ms = 100000;
    ok(retention_init(&retention, &config, &committer));
    ck_assert_uint_eq(retention.rules->count, 1); /* no result outlives its job */
    retention_fini(&retention);
    configure_tasks(&task, 1);
    ok(retention_init(&retention, &config, &committer));
    ck_assert_uint_eq(retention.rules->count, 3);
    turn_until("SELECT count(*) FROM jobs", 3);
    turn_until("SELECT count(*) FROM jobs WHERE result IS NOT NULL", 2);
}
END_TEST

START_TEST(a_class_with_much_to_delete_lets_others_have_their_turn)
{
    struct task_config task = {.name = "short", .retain_succeeded_ms = 1000, .retain_failed_ms = 1000};
    begin();
    for (int i = 0; i < 3000; i++) {
        JOB_AUTO job = make_job("q", "other");
        job->spec.created_ms -= 100000;
        submit_in_group(job);
        run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
        job->attempt.finished_ms = clock_real_ms() - 100000;
        ck_assert(land_in_group(job, 0));
    }
    ok(store_commit(store));
    for (int i = 0; i < 3; i++) {
        past_job_of("short", JOB_SUCCEEDED, 5000);
        past_job_of("short", JOB_CANCELLED, 5000);
    }
    config.jobs_retain_succeeded_ms = config.jobs_retain_failed_ms = 50000;
    configure_tasks(&task, 1);
    ok(retention_init(&retention, &config, &committer));
    while (look("SELECT count(*) FROM jobs WHERE task = 'short'") > 0) {
        ck_assert_int_gt(look("SELECT count(*) FROM jobs WHERE task = 'other'"), 1000);
        clock_sleep_ms(retention_turn(&retention, 20));
    }
    turn_until("SELECT count(*) FROM jobs", 0);
}
END_TEST

/* The first class, and turns until its full walk is over. */
static struct retain_class *after_a_full_walk(void)
{
    struct retain_class *class = &retention.rules->classes[0];
    for (int i = 0; i < 100 && (class->full || class->full_ms == 0); i++)
        clock_sleep_ms(retention_turn(&retention, 20));
    ck_assert(!class->full && class->full_ms > 0);
    return class;
}

START_TEST(walks_go_on_where_the_last_one_ended)
{
    struct task_config task = {.name = "short", .retain_succeeded_ms = 3600000, .retain_failed_ms = -1};
    for (int i = 0; i < 5; i++)
        past_job_of("other", JOB_SUCCEEDED, 7200000 - i);
    configure_tasks(&task, 1);
    ok(retention_init(&retention, &config, &committer));
    struct retain_class *class = after_a_full_walk();
    int64_t mark = class->mark;
    ck_assert_int_eq(mark, look("SELECT max(id_key) FROM jobs"));
    class->next_ms = 0;
    retention_turn(&retention, 20);
    ck_assert_int_eq(class->mark, mark);
    ck_assert_int_gt(class->next_ms, 0); /* it was walked: from there on there is nothing */
}
END_TEST

START_TEST(full_walks_take_a_tenth_of_the_time_at_most)
{
    struct task_config task = {.name = "short", .retain_succeeded_ms = 1000, .retain_failed_ms = -1};
    past_job_of("other", JOB_SUCCEEDED, 7200000);
    configure_tasks(&task, 1);
    ok(retention_init(&retention, &config, &committer));
    struct retain_class *class = after_a_full_walk();
    int64_t now_ms = clock_mono_ns() / NS_PER_MS;
    ck_assert_int_le(class->full_ms - now_ms,
                     2000); /* it took a moment: as often as the time kept asks for */
    class->full = true;     /* it took a minute */
    class->full_since_ms = now_ms - 60000;
    class->next_ms = 0;
    retention_turn(&retention, 20);
    ck_assert(!class->full);
    ck_assert_int_ge(class->full_ms - now_ms, 9 * 60000);
    ck_assert_int_le(class->full_ms - now_ms, 6 * 3600000);
}
END_TEST

START_TEST(another_configuration_holds_from_the_next_turn_on)
{
    struct task_config tasks[] = {
        {.name = "a", .retain_succeeded_ms = 0, .retain_failed_ms = -1},
        {.name = "b", .retain_succeeded_ms = 1000, .retain_failed_ms = -1},
    };
    past_job_of("a", JOB_SUCCEEDED, 60000);
    past_job_of("b", JOB_SUCCEEDED, 60000);
    config.jobs_retain_succeeded_ms = 600000;
    configure_tasks(tasks, 1);
    ok(retention_init(&retention, &config, &committer));
    turn_until("SELECT count(*) FROM jobs", 2);
    struct config fresh = config;
    fresh.task_count = 2;
    ok(retention_configure(&retention, &config)); /* never in force: the next one comes before the turn */
    ok(retention_configure(&retention, &fresh));
    turn_until("SELECT count(*) FROM jobs", 1);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE task = 'a'"), 1);
    fresh.task_count = 0;
    fresh.jobs_retain_succeeded_ms = 30000;
    ok(retention_configure(&retention, &fresh));
    turn_until("SELECT count(*) FROM jobs", 0);
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
    tcase_add_test(tcase, a_task_may_keep_its_jobs_for_a_time_of_its_own);
    tcase_add_test(tcase, a_task_may_be_the_only_one_whose_jobs_are_ever_over);
    tcase_add_test(tcase, results_go_before_jobs_that_a_task_keeps_longer_than_all_others);
    tcase_add_test(tcase, a_class_with_much_to_delete_lets_others_have_their_turn);
    tcase_add_test(tcase, walks_go_on_where_the_last_one_ended);
    tcase_add_test(tcase, full_walks_take_a_tenth_of_the_time_at_most);
    tcase_add_test(tcase, another_configuration_holds_from_the_next_turn_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
