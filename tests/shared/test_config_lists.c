#include "config_fixture.h"

/* ── what is accepted ── */

START_TEST(the_default_pool_is_there_and_first_also_when_not_listed)
{
    write_yaml("workers: {count: 3}\n"
               "pools: [{name: slow, workers: 2, min_workers: 1}]\n");
    struct config *config = load_file();
    ck_assert_uint_eq(config->pool_count, 2);
    ck_assert_str_eq(config->pools[0].name, "default");
    ck_assert_int_eq(config->pools[0].workers, 3);
    ck_assert_int_eq(config->pools[0].min_workers, 3);
    ck_assert_int_eq(config->pools[0].idle_timeout_ms, 60000);
    ck_assert_int_eq(config->pools[0].max_jobs, 0);
    ck_assert_int_eq(config->pools[0].nice, 0);
    ck_assert_str_eq(config->pools[0].cpus, "");
    ck_assert_str_eq(config->pools[1].name, "slow");
    ck_assert_int_eq(config->pools[1].workers, 2);
    ck_assert_int_eq(config->pools[1].min_workers, 1);
    config_free(config);
}
END_TEST

START_TEST(a_pool_carries_what_its_entry_says)
{
    write_yaml("pools:\n"
               "  - {name: slow}\n"
               "  - name: default\n"
               "    workers: 8\n"
               "    min_workers: 2\n"
               "    idle_timeout: 5s\n"
               "    max_jobs: 1000\n"
               "    max_rss: 256MiB\n"
               "    max_age: 1h\n"
               "    nice: -5\n"
               "    cpus: 0-3,5\n");
    struct config *config = load_file();
    const struct pool_config *pool = &config->pools[0];
    ck_assert_uint_eq(config->pool_count, 2);
    ck_assert_str_eq(pool->name, "default");
    ck_assert_int_eq(pool->workers, 8);
    ck_assert_int_eq(pool->min_workers, 2);
    ck_assert_int_eq(pool->idle_timeout_ms, 5000);
    ck_assert_int_eq(pool->max_jobs, 1000);
    ck_assert_int_eq(pool->max_rss_bytes, 256 << 20);
    ck_assert_int_eq(pool->max_age_ms, 3600000);
    ck_assert_int_eq(pool->nice, -5);
    ck_assert_str_eq(pool->cpus, "0-3,5");
    ck_assert_str_eq(config->pools[1].name, "slow");
    config_free(config);
}
END_TEST

START_TEST(a_queue_has_defaults_and_carries_what_its_entry_says)
{
    write_yaml("pools: [{name: slow}]\n"
               "queues:\n"
               "  - name: plain\n"
               "  - {name: mail, pool: slow, weight: 10, concurrency: 4, rate: 30/m, burst: 5,\n"
               "     key_concurrency: 2, key_rate: 3/10s, key_burst: 2, max_depth: 100, paused: true}\n");
    struct config *config = load_file();
    const struct queue_config *plain = &config->queues[0], *mail = &config->queues[1];
    ck_assert_uint_eq(config->queue_count, 2);
    ck_assert_str_eq(plain->pool, "default");
    ck_assert_int_eq(plain->weight, 1);
    ck_assert_int_eq(plain->concurrency, -1);
    ck_assert_uint_eq(plain->rate.count, 0);
    ck_assert_int_eq(plain->burst, -1);
    ck_assert_int_eq(plain->key_concurrency, -1);
    ck_assert_uint_eq(plain->key_rate.count, 0);
    ck_assert_int_eq(plain->max_depth, -1);
    ck_assert(!plain->paused);
    ck_assert_str_eq(mail->pool, "slow");
    ck_assert_int_eq(mail->weight, 10);
    ck_assert_int_eq(mail->concurrency, 4);
    ck_assert_uint_eq(mail->rate.count, 30);
    ck_assert_uint_eq(mail->rate.period_s, 60);
    ck_assert_int_eq(mail->burst, 5);
    ck_assert_int_eq(mail->key_concurrency, 2);
    ck_assert_uint_eq(mail->key_rate.period_s, 10);
    ck_assert_int_eq(mail->key_burst, 2);
    ck_assert_int_eq(mail->max_depth, 100);
    ck_assert(mail->paused);
    config_free(config);
}
END_TEST

START_TEST(a_task_carries_its_limits_and_the_rest_of_its_retry)
{
    write_yaml("tasks:\n"
               "  - name: t\n"
               "    argv: [true]\n"
               "    concurrency: 3\n"
               "    rate: 10/s\n"
               "    retain_succeeded: 1h\n"
               "    retry: {intervals: [1, 500ms, 1m], max_age: 1h, on: [exit_status], never: [a.b, c-d]}\n"
               "  - {name: u, argv: [true]}\n");
    struct config *config = load_file();
    const struct task_config *task = &config->tasks[0], *other = &config->tasks[1];
    ck_assert_int_eq(task->concurrency, 3);
    ck_assert_uint_eq(task->rate.count, 10);
    ck_assert_int_eq(task->retain_succeeded_ms, 3600000);
    ck_assert_int_eq(task->retain_failed_ms, -1);
    ck_assert_uint_eq(task->retry_intervals.count, 3);
    ck_assert_int_eq(task->retry_intervals.ms[1], 500);
    ck_assert_int_eq(task->retry_intervals.ms[2], 60000);
    ck_assert_int_eq(task->retry_max_age_ms, 3600000);
    ck_assert_uint_eq(task->retry_on.count, 1);
    ck_assert_str_eq(task->retry_on.items[0], "exit_status");
    ck_assert_uint_eq(task->retry_never.count, 2);
    ck_assert_str_eq(task->retry_never.items[1], "c-d");
    ck_assert_int_eq(other->concurrency, -1);
    ck_assert_uint_eq(other->rate.count, 0);
    ck_assert_uint_eq(other->retry_intervals.count, 0);
    ck_assert_int_eq(other->retry_max_age_ms, -1);
    config_free(config);
}
END_TEST

START_TEST(a_schedule_keeps_its_job_as_json)
{
    write_yaml(
        "schedules:\n"
        "  - name: nightly\n"
        "    cron: 0 3 * * *\n"
        "    timezone: Europe/Berlin\n"
        "    overlap: replace\n"
        "    catch_up: all\n"
        "    paused: true\n"
        "    job:\n"
        "      task: report\n"
        "      args: {n: 007, hex: 0x1F, f: .5, t: yes, b: true, z: ~, s: '12', tag: !!str 5, l: [1, -2e3]}\n"
        "  - {name: plain, cron: '@hourly', job: {task: t}}\n");
    struct config *config = load_file();
    const struct schedule_config *nightly = &config->schedules[0], *plain = &config->schedules[1];
    ck_assert_uint_eq(config->schedule_count, 2);
    ck_assert_str_eq(nightly->cron, "0 3 * * *");
    ck_assert_str_eq(nightly->timezone, "Europe/Berlin");
    ck_assert_int_eq(nightly->overlap, OVERLAP_REPLACE);
    ck_assert_int_eq(nightly->catch_up, CATCH_UP_ALL);
    ck_assert(nightly->paused);
    ck_assert_str_eq(nightly->job,
                     "{\"task\":\"report\",\"args\":{\"n\":7,\"hex\":31,\"f\":0.5,\"t\":\"yes\",\"b\":true,"
                     "\"z\":null,\"s\":\"12\",\"tag\":\"5\",\"l\":[1,-2e3]}}");
    ck_assert_int_eq(nightly->line, 2);
    ck_assert_str_eq(plain->timezone, "UTC");
    ck_assert_int_eq(plain->overlap, OVERLAP_SKIP);
    ck_assert_int_eq(plain->catch_up, CATCH_UP_ONE);
    ck_assert(!plain->paused);
    config_free(config);
}
END_TEST

/* ── what is refused ── */

START_TEST(names_that_stand_twice_are_refused_with_both_places)
{
    refused_yaml("pools:\n- {name: a}\n- {name: a}\n",
                 ":3:3: the pool a stands in pools twice, first in line 2");
    refused_yaml("queues:\n- {name: a}\n- {name: a}\n",
                 ":3:3: the queue a stands in queues twice, first in line 2");
    refused_yaml("schedules:\n- {name: a, cron: x, job: {task: t}}\n- {name: a, cron: x, job: {task: t}}\n",
                 ":3:3: the schedule a stands in schedules twice, first in line 2");
}
END_TEST

START_TEST(a_queue_of_a_pool_that_is_not_there_is_refused_with_the_nearest)
{
    refused_yaml("pools: [{name: slow}]\nqueues:\n- {name: q, pool: slwo}\n",
                 ":3:3: the queue q names the pool slwo, which is not in pools; did you mean slow?");
}
END_TEST

static void refused_in(const char *list, const char *entry, const char *expected)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "%s:\n- {name: a, %s}\n", list, entry);
    refused_yaml(yaml, expected);
}

START_TEST(concurrency_0_is_refused_with_a_hint)
{
#define HINT "; to start nothing, pause: a queue by paused: true, a task by POST /v1/tasks/NAME/pause"
    refused_in("queues", "concurrency: 0",
               ":2:26: queues[].concurrency must be a whole number from 1 to 1000000, not \"0\"" HINT);
    refused_in("tasks", "key_concurrency: 0",
               ":2:30: tasks[].key_concurrency must be a whole number from 1 to 1000000, not \"0\"" HINT);
#undef HINT
}
END_TEST

START_TEST(pools_that_cannot_be_are_refused)
{
    refused_in("pools", "workers: 0",
               ":2:22: pools[].workers must be a whole number from 1 to 1024, not \"0\"");
    refused_in("pools", "workers: 2, min_workers: 3",
               ":2:3: the pool a has min_workers 3, more than workers, 2");
    refused_yaml("workers: {count: 2}\npools: [{name: a, min_workers: 3}]",
                 ":2:9: the pool a has min_workers 3, more than workers.count, 2");
    refused_in("pools", "nice: 20", ":2:19: pools[].nice must be a whole number from -20 to 19, not \"20\"");
    refused_in(
        "pools", "cpus: 3-1",
        ":2:19: pools[].cpus must be numbers and ranges of processors below 1024 (0-3,5), not \"3-1\"");
    refused_in("pools", "cpus: '1023'", ":2:3: the pool a has cpus 1023, of which this process may use none");
    refused_yaml("pools: [{workers: 1}]", ":1:9: a pool must have a name");
    refused_in("pools", "size: 1",
               ":2:13: a pool has no key \"size\"; did you mean nice? It has name, workers, min_workers, "
               "idle_timeout, max_jobs, max_rss, max_age, nice, cpus");
}
END_TEST

START_TEST(queues_that_cannot_be_are_refused)
{
    refused_in("queues", "weight: 1001",
               ":2:21: queues[].weight must be a whole number from 1 to 1000, not \"1001\"");
    refused_in("queues", "rate: 0/s",
               ":2:19: queues[].rate must be a rate of 1 to 1000000 (10/s, 30/m, 100/h, 5/d or, for another "
               "period, 3/10s), not \"0/s\"");
    refused_in("queues", "burst: 3", ":2:3: the queue a has a burst, but no rate that it could exceed");
    refused_in("queues", "rate: 1/s, key_burst: 3",
               ":2:3: the queue a has a key_burst, but no key_rate that it could exceed");
    refused_in("queues", "max_depth: 0",
               ":2:24: queues[].max_depth must be a whole number from 1 to 1000000000, not \"0\"");
    refused_in("queues", "paused: yes", ":2:21: queues[].paused must be false or true, not \"yes\"");
}
END_TEST

START_TEST(retries_that_cannot_be_are_refused)
{
    refused_in("tasks", "retry: {intervals: []}",
               ":2:32: tasks[].retry.intervals must be a list of 1 to 16, not of 0");
    refused_in("tasks", "retry: {intervals: 5s}",
               ":2:32: tasks[].retry.intervals must be a list [a, b], not a single value");
    refused_in("tasks", "retry: {intervals: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}",
               ":2:32: tasks[].retry.intervals must be a list of 1 to 16, not of 17");
    refused_in("tasks", "retry: {intervals: [1, soon]}",
               ":2:32: tasks[].retry.intervals must be a duration from 0s to 30d (250ms, 8s, 5m, 1h, 7d or a "
               "plain number of seconds), not \"soon\"");
    refused_in("tasks", "retry: {on: [a, b, c, d, e, f, g, h, i]}",
               ":2:25: tasks[].retry.on must be a list of 1 to 8, not of 9");
    refused_in("tasks", "retry: {never: ['A b']}",
               ":2:28: tasks[].retry.never must hold codes of errors, 1 to 39 of a-z 0-9 _ . -, not \"A b\"");
    refused_in("tasks", "key_burst: 5",
               ":2:3: the task a has a key_burst, but no key_rate that it could exceed");
}
END_TEST

/* ── YAML to JSON ── */

static void becomes(const char *yaml, const char *json)
{
    char text[2048], expected[2048];
    snprintf(text, sizeof text,
             "schedules:\n- name: a\n  cron: '* * * * *'\n  job:\n    task: t\n    args: %s\n", yaml);
    snprintf(expected, sizeof expected, "{\"task\":\"t\",\"args\":%s}", json);
    write_yaml(text);
    struct config *config = load_file();
    ck_assert_str_eq(config->schedules[0].job, expected);
    config_free(config);
}

START_TEST(plain_scalars_are_what_yaml_says_they_are)
{
    becomes("[null, Null, NULL, ~]", "[null,null,null,null]");
    becomes("{a: , b: }", "{\"a\":null,\"b\":null}");
    becomes("", "null");
    becomes("[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]");
    becomes("[yes, no, on, off, y, nUll, tRUE]", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"nUll\",\"tRUE\"]");
    becomes("[0, 7, -7, +7, 007, -0, 9223372036854775807]", "[0,7,-7,7,7,-0,9223372036854775807]");
    becomes("[0o17, 0x1F, 0xff, 0o, 0xg, -0x1, 0o8]", "[15,31,255,\"0o\",\"0xg\",\"-0x1\",\"0o8\"]");
    becomes("[1.5, .5, 5., -.5e3, 1E+9, 1e-2, 00.10, 1.e2]", "[1.5,0.5,5.0,-0.5e3,1E+9,1e-2,0.10,1.0e2]");
    becomes("[., e3, 1e, 1_000, 1:30, 2024-01-01, 1.2.3, '-', --1, .inf.]",
            "[\".\",\"e3\",\"1e\",\"1_000\",\"1:30\",\"2024-01-01\",\"1.2.3\",\"-\",\"--1\",\".inf.\"]");
}
END_TEST

START_TEST(quoted_and_tagged_scalars_are_text)
{
    becomes("['1', \"true\", 'null', '', \"a\\nb\\0\\u00e9\"]",
            "[\"1\",\"true\",\"null\",\"\",\"a\\nb\\u0000é\"]");
    becomes("[!!str 5, ! 6, &x !!str 7, !!str &y 8, &z 9, *z, *x]", "[\"5\",\"6\",\"7\",\"8\",9,9,\"7\"]");
    becomes("[é, !!str 5, &u !!str 6]", "[\"é\",\"5\",\"6\"]");
    becomes("|\n      12\n      ü", "\"12\\nü\\n\"");
    becomes(">-\n      true", "\"true\"");
}
END_TEST

START_TEST(lists_mappings_and_aliases_keep_their_shape)
{
    becomes("{a: [1, {b: []}, {}], 5: x, \"q\\\"\": y, <<: {z: 1}}",
            "{\"a\":[1,{\"b\":[]},{}],\"5\":\"x\",\"q\\\"\":\"y\",\"<<\":{\"z\":1}}");
    becomes("[&one {a: 1}, *one]", "[{\"a\":1},{\"a\":1}]");
}
END_TEST

static void job_refused(const char *job, const char *expected)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "schedules: [{name: a, cron: x, job: %s}]", job);
    refused_yaml(yaml, expected);
}

START_TEST(jobs_that_json_cannot_say_are_refused)
{
    job_refused("{task: t, args: .inf}", ":1:53: schedules[].job must not hold an infinite number or none, "
                                         "which JSON does not have");
    job_refused("{task: t, args: !!int '5'}", ":1:53: schedules[].job must not hold a tag other than !!str");
    job_refused("{task: t, args: !!set {a}}", ":1:53: schedules[].job must not hold a tag other than !!str");
    job_refused("{task: t, args: 0x8000000000000000}",
                ":1:53: schedules[].job must not hold a whole number above 9223372036854775807");
    job_refused("{task: t, args: {a: 1, a: 2}}", ":1:60: the key \"a\" stands here twice, first in line 1");
    job_refused("{task: t, args: {[a]: 1}}", ":1:54: a key must be a single value, not a list");
    job_refused("&j {task: t, args: *j}", ":1:47: schedules[].job is nested too deeply");
    job_refused("{args: 1}", ":1:37: schedules[].job must have a task");
    job_refused("[t]", ":1:37: schedules[].job must be a mapping {task: NAME, args: …}, not a list");
}
END_TEST

START_TEST(a_number_out_of_range_is_refused)
{
    struct config *config;
    BUF_AUTO message = {0};
    char *flags[] = {"--config", file, NULL};
    write_yaml("schedules: [{name: a, cron: x, job: {task: t, args: 1e999}}]");
    ck_assert_int_eq(config_load(2, flags, no_env, &config, &message), ERR_CONFIG);
    buf_add(&message, "", 1);
    ck_assert_ptr_nonnull(
        strstr(message.data, ":1:37: schedules[].job would be no JSON that a job can have: "));
}
END_TEST

START_TEST(aliases_cannot_make_much_of_little)
{
    BUF_AUTO yaml = {0};
    buf_put(&yaml, "schedules: [{name: a, cron: x, job: {task: t, a0: &a0 [x,x,x,x,x,x,x,x,x,x]");
    for (int i = 1; i < 12; i++) {
        buf_printf(&yaml, ", a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&yaml, "*a%d,", i - 1);
        buf_put(&yaml, "]");
    }
    buf_put(&yaml, "}}]");
    buf_add(&yaml, "", 1);
    refused_yaml(yaml.data, ":1:72: schedules[].job must not be longer than 1 MiB of JSON");
}
END_TEST

START_TEST(schedules_that_cannot_be_are_refused)
{
    refused_yaml("schedules: [{name: a, job: {task: t}}]", ":1:13: a schedule must have a cron");
    refused_yaml("schedules: [{name: a, cron: x}]", ":1:13: a schedule must have a job");
    refused_yaml("schedules: [{cron: x, job: {task: t}}]", ":1:13: a schedule must have a name");
    refused_yaml("schedules: [{name: a, cron: 0 3 * *, job: {task: t}}]",
                 ":1:13: the schedule a has cron \"0 3 * *\": the expression has 4 fields: it must be five "
                 "(minute, hour, day of the month, month, day of the week), or six with the second first");
    refused_yaml(
        "schedules: [{name: a, cron: 0 3 30 2 *, job: {task: t}}]",
        ":1:13: the schedule a has cron \"0 3 30 2 *\": it would never fire: no day is day of the month "
        "\"30\" in the month \"2\" and day of the week \"*\"");
    refused_yaml("schedules: [{name: a, cron: 0 3 * * *, timezone: Europ/Berlin, job: {task: t}}]",
                 ":1:13: the schedule a has timezone Europ/Berlin, which is not known; did you mean "
                 "Europe/Berlin?");
    refused_in("schedules", "cron: x, job: {task: t}, overlap: skp",
               ":2:47: schedules[].overlap must be skip, queue or replace, not \"skp\"; did you mean skip?");
}
END_TEST

START_TEST(too_many_pools_or_workers_are_refused)
{
    char yaml[1024] = "pools:\n";
    for (int i = 0; i < 16; i++)
        sprintf(yaml + strlen(yaml), "- {name: p%d, workers: 1}\n", i);
    refused_yaml(yaml, ": there are more than 16 pools, counting default");
    refused_yaml("pools: [{name: a, workers: 1024}, {name: default, workers: 100}]\n",
                 ": the pools have 1124 workers in all; 1038 are possible with so many pools");
}
END_TEST

static void add_accepted(TCase *tests)
{
    tcase_add_test(tests, the_default_pool_is_there_and_first_also_when_not_listed);
    tcase_add_test(tests, a_pool_carries_what_its_entry_says);
    tcase_add_test(tests, a_queue_has_defaults_and_carries_what_its_entry_says);
    tcase_add_test(tests, a_task_carries_its_limits_and_the_rest_of_its_retry);
    tcase_add_test(tests, a_schedule_keeps_its_job_as_json);
}

static void add_refused(TCase *tests)
{
    tcase_add_test(tests, names_that_stand_twice_are_refused_with_both_places);
    tcase_add_test(tests, a_queue_of_a_pool_that_is_not_there_is_refused_with_the_nearest);
    tcase_add_test(tests, concurrency_0_is_refused_with_a_hint);
    tcase_add_test(tests, pools_that_cannot_be_are_refused);
    tcase_add_test(tests, queues_that_cannot_be_are_refused);
    tcase_add_test(tests, retries_that_cannot_be_are_refused);
    tcase_add_test(tests, schedules_that_cannot_be_are_refused);
    tcase_add_test(tests, too_many_pools_or_workers_are_refused);
}

static void add_json(TCase *tests)
{
    tcase_add_test(tests, plain_scalars_are_what_yaml_says_they_are);
    tcase_add_test(tests, quoted_and_tagged_scalars_are_text);
    tcase_add_test(tests, lists_mappings_and_aliases_keep_their_shape);
    tcase_add_test(tests, jobs_that_json_cannot_say_are_refused);
    tcase_add_test(tests, a_number_out_of_range_is_refused);
    tcase_add_test(tests, aliases_cannot_make_much_of_little);
}

int main(void)
{
    Suite *suite = suite_create("shared/config_lists");
    add_case(suite, "accepted", add_accepted);
    add_case(suite, "refused", add_refused);
    add_case(suite, "json", add_json);
    return run_suite(suite);
}
