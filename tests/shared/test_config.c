#include "config_fixture.h"

#include "config_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* ── what is accepted ── */

START_TEST(without_any_source_the_defaults_of_the_table_hold)
{
    char *flags[] = {NULL};
    struct config *config = load(flags, no_env);
    ck_assert_str_eq(config->http_listen, "127.0.0.1:8080");
    ck_assert_int_eq(config->http_max_body, 1 << 20);
    ck_assert_int_eq(config->http_max_wait_ms, 60000);
    ck_assert_uint_eq(config->http_hosts.count, 0);
    ck_assert_int_eq(config->auth_mode, AUTH_LOOPBACK);
    ck_assert_int_eq(config->store_durability, DURABILITY_FULL);
    ck_assert_str_eq(config->store_path, "/var/lib/forkpool/forkpool.db");
    ck_assert_str_eq(config->state_dir, "/var/lib/forkpool");
    ck_assert_int_eq(config->jobs_timeout_ms, 3600000);
    ck_assert_int_eq(config->jobs_backoff, BACKOFF_EXPONENTIAL);
    ck_assert_str_eq(config->tasks_dir, "");
    ck_assert_int_eq(config->log_level, LOG_INFO);
    ck_assert_int_eq(config->log_format, LOG_AUTO);
    ck_assert_int_eq(config->shutdown_drain_ms, 8000);
    ck_assert_uint_eq(config->task_count, 0);
    ck_assert_ptr_null(config->file);
    config_free(config);
}
END_TEST

START_TEST(workers_count_0_becomes_the_cores_but_at_least_two)
{
    char *flags[] = {NULL}, *seven[] = {"--workers-count=7", NULL};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct config *config = load(flags, no_env);
    ck_assert_int_eq(config->workers_count, cores < 2 ? 2 : cores);
    config_free(config);
    config = load(seven, no_env);
    ck_assert_int_eq(config->workers_count, 7);
    config_free(config);
}
END_TEST

START_TEST(a_file_sets_keys_of_every_type)
{
    write_yaml("# a comment\n"
               "http:\n"
               "  listen: '[::1]:0'\n"
               "  loops: 4\n"
               "  max_body: 64KiB\n"
               "  max_wait: 250ms\n"
               "  hosts: [jobs.example, \"b.example\"]\n"
               "store: {url: sqlite:state/f.db, durability: memory}\n"
               "jobs:\n"
               "  timeout: 1.5h\n"
               "  kill_after: 0.25\n"
               "  backoff: fixed\n"
               "tasks_dir: /srv/tasks\n"
               "log: {level: debug, format: json}\n");
    struct config *config = load_file();
    ck_assert_str_eq(config->http_listen, "[::1]:0");
    ck_assert_int_eq(config->http_loops, 4);
    ck_assert_int_eq(config->http_max_body, 65536);
    ck_assert_int_eq(config->http_max_wait_ms, 250);
    ck_assert_uint_eq(config->http_hosts.count, 2);
    ck_assert_str_eq(config->http_hosts.items[0], "jobs.example");
    ck_assert_str_eq(config->http_hosts.items[1], "b.example");
    ck_assert_ptr_null(config->http_hosts.items[2]);
    ck_assert_str_eq(config->store_path, "state/f.db");
    ck_assert_str_eq(config->state_dir, "state");
    ck_assert_int_eq(config->store_durability, DURABILITY_MEMORY);
    ck_assert_int_eq(config->jobs_timeout_ms, 5400000);
    ck_assert_int_eq(config->jobs_kill_after_ms, 250);
    ck_assert_int_eq(config->jobs_backoff, BACKOFF_FIXED);
    ck_assert_str_eq(config->tasks_dir, "/srv/tasks");
    ck_assert_int_eq(config->log_level, LOG_DEBUG);
    ck_assert_int_eq(config->log_format, LOG_JSON_LINES);
    ck_assert_str_eq(config->file, file);
    config_free(config);
}
END_TEST

START_TEST(an_empty_file_and_empty_sections_are_fine)
{
    static const char *const YAMLS[] = {"",
                                        "\n\n",
                                        "# nothing\n",
                                        "---\n",
                                        "{}",
                                        "http:\n  # listen: x\ntasks:\n",
                                        "http: {hosts: }\nlog: ~\n"};
    for (size_t i = 0; i < sizeof YAMLS / sizeof *YAMLS; i++) {
        write_yaml(YAMLS[i]);
        config_free(load_file());
    }
}
END_TEST

START_TEST(a_flag_beats_the_environment_beats_the_file_beats_the_default)
{
    write_yaml("http: {loops: 3}\nlog: {level: warn}\njobs: {jitter: 1}\n");
    char *flags[] = {"--http-loops", "5", "--config", file, NULL};
    char *env[] = {"FORKPOOL_HTTP_LOOPS=4", "FORKPOOL_LOG_LEVEL=error", NULL};
    struct config *config = load(flags, env);
    ck_assert_int_eq(config->http_loops, 5);
    ck_assert_int_eq(config->log_level, LOG_ERROR);
    ck_assert_int_eq(config->jobs_jitter, 1);
    ck_assert_int_eq(config->jobs_max_attempts, 3);
    config_free(config);
}
END_TEST

START_TEST(every_key_is_read_from_file_environment_and_flag)
{
    char name[64], yaml[256], variable[256], flag[256];
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        if (i == CONFIG_KEY_auth_token_file || i == CONFIG_KEY_auth_tokens_file)
            continue; /* they are read at once: test_config_auth.c */
        const char *joint = key->section[0] ? "_" : "", *value = key->fallback[0] ? key->fallback : "x";
        snprintf(name, sizeof name, "%s%s%s", key->section, joint, key->key);
        if (key->section[0])
            snprintf(yaml, sizeof yaml, key->type == CONFIG_LIST ? "%s: {%s: ['%s']}" : "%s: {%s: '%s'}",
                     key->section, key->key, value);
        else
            snprintf(yaml, sizeof yaml, "%s: '%s'", key->key, value);
        write_yaml(yaml);
        config_free(load_file());

        snprintf(variable, sizeof variable, "FORKPOOL_%s=%s", name, value);
        for (char *at = variable; *at != '='; at++)
            *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        char *none[] = {NULL}, *env[] = {variable, NULL};
        config_free(load(none, env));

        snprintf(flag, sizeof flag, "--%s=%s", name, value);
        for (char *at = flag; *at != '='; at++)
            *at = *at == '_' ? '-' : *at;
        char *flags[] = {flag, NULL};
        config_free(load(flags, no_env));
    }
}
END_TEST

START_TEST(flags_take_their_value_after_a_blank_or_an_equals_sign_and_the_last_one_counts)
{
    char *flags[] = {"--http-max-body", "2MiB", "--tasks-dir=/a=b", "--log-level=warn", "--log-level",
                     "debug",           NULL};
    struct config *config = load(flags, no_env);
    ck_assert_int_eq(config->http_max_body, 2 << 20);
    ck_assert_str_eq(config->tasks_dir, "/a=b");
    ck_assert_int_eq(config->log_level, LOG_DEBUG);
    config_free(config);
}
END_TEST

START_TEST(a_list_in_a_flag_or_variable_is_split_at_commas)
{
    char *flags[] = {"--http-hosts", "a.example, b.example", NULL}, *none[] = {NULL};
    char *env[] = {"FORKPOOL_HTTP_HOSTS=c", NULL};
    struct config *config = load(flags, env);
    ck_assert_uint_eq(config->http_hosts.count, 2);
    ck_assert_str_eq(config->http_hosts.items[0], "a.example");
    ck_assert_str_eq(config->http_hosts.items[1], "b.example");
    config_free(config);
    config = load(none, env);
    ck_assert_uint_eq(config->http_hosts.count, 1);
    config_free(config);
    refused_flag("--http-hosts=a,,b", "--http-hosts: must not have an empty item");
}
END_TEST

START_TEST(the_environment_can_name_the_file_and_a_flag_another)
{
    write_yaml("http: {loops: 9}");
    char named[sizeof file + 32];
    snprintf(named, sizeof named, "FORKPOOL_CONFIG=%s", file);
    char *none[] = {NULL}, *env[] = {named, NULL}, *absent[] = {"FORKPOOL_CONFIG=/nowhere", NULL};
    char *flags[] = {"--config", file, NULL};
    struct config *config = load(none, env);
    ck_assert_int_eq(config->http_loops, 9);
    config_free(config);
    config = load(flags, absent);
    ck_assert_int_eq(config->http_loops, 9);
    config_free(config);
    refused(none, absent, "FORKPOOL_CONFIG: cannot read /nowhere: No such file or directory");
}
END_TEST

START_TEST(variables_of_jobs_tasks_tests_and_benchmarks_are_passed_over)
{
    char *none[] = {NULL};
    char *env[] = {"FORKPOOL_JOB_ID=1",   "FORKPOOL_TASK_NAME=x", "FORKPOOL_TEST_SEED=1",
                   "FORKPOOL_BENCH_N=10", "FORKPOOLX=1",          NULL};
    config_free(load(none, env));
}
END_TEST

START_TEST(a_task_carries_what_its_entry_says_and_minus_one_for_the_rest)
{
    write_yaml("tasks:\n"
               "  - name: thumbnail\n"
               "    kind: command\n"
               "    path: bin/thumb\n"
               "    argv: [thumb, --size, 64, '']\n"
               "    env: {TZ: UTC, EMPTY: ''}\n"
               "    cwd: /tmp\n"
               "    description: makes a small picture\n"
               "    queue: images\n"
               "    timeout: 2m\n"
               "    kill_after: 0\n"
               "    retry: {max_attempts: 7, backoff: linear, initial: 2s, max: 1h, jitter: 0}\n"
               "    limits: {memory: 512MiB, cpu: 90s, files: 64}\n"
               "  - name: bare\n");
    struct config *config = load_file();
    ck_assert_uint_eq(config->task_count, 2);
    const struct task_config *task = &config->tasks[0], *bare = &config->tasks[1];
    ck_assert_str_eq(task->name, "thumbnail");
    ck_assert_str_eq(task->kind, "command");
    ck_assert_str_eq(task->path, "bin/thumb");
    ck_assert_int_eq(count_of(task->argv), 4);
    ck_assert_str_eq(task->argv[2], "64");
    ck_assert_str_eq(task->argv[3], "");
    ck_assert_int_eq(count_of(task->env), 2);
    ck_assert_str_eq(task->env[0], "TZ=UTC");
    ck_assert_str_eq(task->env[1], "EMPTY=");
    ck_assert_str_eq(task->cwd, "/tmp");
    ck_assert_str_eq(task->description, "makes a small picture");
    ck_assert_str_eq(task->queue, "images");
    ck_assert_int_eq(task->timeout_ms, 120000);
    ck_assert_int_eq(task->kill_after_ms, 0);
    ck_assert_int_eq(task->max_attempts, 7);
    ck_assert_int_eq(task->backoff, BACKOFF_LINEAR);
    ck_assert_int_eq(task->backoff_initial_ms, 2000);
    ck_assert_int_eq(task->backoff_max_ms, 3600000);
    ck_assert_int_eq(task->jitter, 0);
    ck_assert_int_eq(task->limit_memory_bytes, 512LL << 20);
    ck_assert_int_eq(task->limit_cpu_ms, 90000);
    ck_assert_int_eq(task->limit_files, 64);
    ck_assert_int_eq(task->line, 2);
    ck_assert_int_eq(bare->line, 14);

    ck_assert_str_eq(bare->name, "bare");
    ck_assert_str_eq(bare->queue, "");
    ck_assert(!bare->kind && !bare->path && !bare->argv && !bare->env && !bare->cwd && !bare->description);
    ck_assert(bare->timeout_ms == -1 && bare->kill_after_ms == -1 && bare->max_attempts == -1);
    ck_assert(bare->backoff == -1 && bare->backoff_initial_ms == -1 && bare->backoff_max_ms == -1);
    ck_assert(bare->jitter == -1 && bare->limit_memory_bytes == -1 && bare->limit_cpu_ms == -1);
    ck_assert(bare->limit_files == -1);
    config_free(config);
}
END_TEST

START_TEST(loading_again_reads_the_changed_file)
{
    write_yaml("log: {level: info}");
    struct config *first = load_file();
    write_yaml("log: {level: debug}\ntasks: [{name: a}]");
    struct config *second = load_file();
    ck_assert_int_eq(first->log_level, LOG_INFO);
    ck_assert_int_eq(second->log_level, LOG_DEBUG);
    ck_assert_uint_eq(second->task_count, 1);
    config_free(first);
    config_free(second);
    config_free(NULL);
}
END_TEST

START_TEST(anchors_of_yaml_work)
{
    write_yaml("tasks: [{name: a, env: &e {X: '1'}}, {name: b, env: *e}]");
    struct config *config = load_file();
    ck_assert_str_eq(config->tasks[1].env[0], "X=1");
    config_free(config);
}
END_TEST

/* ── settings that do not go together ── */

START_TEST(a_listen_address_that_is_none_is_refused)
{
    static const char *const WRONG[] = {
        "8080",  ":8080",  "127.0.0.1",      "127.0.0.1:", "127.0.0.1:65536", "host:80",        "::1:80",
        "[::1]", "[::1]:", "[127.0.0.1]:80", "1.2.3:80",   "127.0.0.1:-1",    "127.0.0.1:0x50", "[::1:80",
        "",      "[]:80",  "[:80",           "]:80",       "[localhost]:80",  "127.0.0.1:8 ",   "1:000080"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char flag[64], expected[256];
        snprintf(flag, sizeof flag, "--http-listen=%s", WRONG[i]);
        snprintf(
            expected, sizeof expected,
            "--http-listen: http.listen must be ADDRESS:PORT (127.0.0.1:8080, localhost:8080, 0.0.0.0:8080, "
            "[::1]:8080), not \"%s\"",
            WRONG[i]);
        refused_flag(flag, expected);
    }
}
END_TEST

START_TEST(a_listen_address_becomes_a_socket_address)
{
    struct sockaddr_storage address;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t bytes;
    ck_assert_int_eq(config_listen_address("localhost:8080", &address, &bytes), ERR_OK);
    ck_assert_uint_eq(bytes, sizeof *v4);
    ck_assert_int_eq(v4->sin_family, AF_INET);
    ck_assert_uint_eq(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
    ck_assert_uint_eq(ntohs(v4->sin_port), 8080);
    ck_assert_int_eq(config_listen_address("10.1.2.3:65535", &address, &bytes), ERR_OK);
    ck_assert_uint_eq(ntohl(v4->sin_addr.s_addr), 0x0a010203);
    ck_assert_uint_eq(ntohs(v4->sin_port), 65535);
    ck_assert_int_eq(config_listen_address("[::1]:0", &address, &bytes), ERR_OK);
    ck_assert_uint_eq(bytes, sizeof *v6);
    ck_assert_int_eq(v6->sin6_family, AF_INET6);
    ck_assert(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
    ck_assert_uint_eq(v6->sin6_port, 0);
    ck_assert_int_eq(config_listen_address("nonsense", &address, &bytes), ERR_CONFIG);
}
END_TEST

START_TEST(an_open_address_without_auth_mode_none_is_refused_with_both_names)
{
    refused_flag(
        "--http-listen=0.0.0.0:8080",
        "--http-listen: http.listen is 0.0.0.0:8080, which is not a loopback address: anyone who "
        "reaches it could run jobs; set a token (auth.tokens or FORKPOOL_AUTH_TOKEN; forkpool token "
        "makes one), write auth.mode: none (--auth-mode none) if that is meant, or listen on 127.0.0.1");
    refused_yaml(
        "http:\n  listen: '[::]:8080'\n",
        ":2:11: http.listen is [::]:8080, which is not a loopback address: anyone who reaches it could "
        "run jobs; set a token (auth.tokens or FORKPOOL_AUTH_TOKEN; forkpool token makes one), write "
        "auth.mode: none (--auth-mode none) if that is meant, or listen on 127.0.0.1");
    char *open[] = {"--http-listen=0.0.0.0:8080", "--auth-mode=none", NULL};
    char *loopback[] = {"--http-listen=127.9.9.9:1", NULL};
    config_free(load(open, no_env));
    config_free(load(loopback, no_env));
}
END_TEST

START_TEST(a_store_that_is_no_sqlite_file_is_refused)
{
    static const char *const WRONG[] = {"mysql://h/d",  "/a/b.db",         "sqlite://host/a.db",
                                        "sqlite:/a.db", "sqlite:",         "sqlite:///",
                                        "sqlite:a/",    "sqlite::memory:", "sqlite:a.db?mode=ro"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char flag[64], expected[256];
        snprintf(flag, sizeof flag, "--store-url=%s", WRONG[i]);
        snprintf(expected, sizeof expected,
                 "--store-url: store.url must be sqlite:///absolute/path or sqlite:relative/path of a file, "
                 "not \"%s\"",
                 WRONG[i]);
        refused_flag(flag, expected);
    }
}
END_TEST

START_TEST(postgres_is_refused_without_repeating_its_password)
{
    refused_env(
        "FORKPOOL_STORE_URL=postgres://user:secret@host/db",
        "FORKPOOL_STORE_URL: store.url must be sqlite:///absolute/path or sqlite:relative/path of a file; "
        "postgres:// is not supported in this version");
}
END_TEST

START_TEST(the_folder_of_the_store_is_the_state_folder)
{
    static const char *const CASES[][3] = {{"sqlite:///a/b/c.db", "/a/b/c.db", "/a/b"},
                                           {"sqlite:///c.db", "/c.db", "/"},
                                           {"sqlite:c.db", "c.db", "."},
                                           {"sqlite:a/c.db", "a/c.db", "a"},
                                           {"sqlite:../c.db", "../c.db", ".."}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--store-url=%s", CASES[i][0]);
        char *flags[] = {flag, NULL};
        struct config *config = load(flags, no_env);
        ck_assert_str_eq(config->store_path, CASES[i][1]);
        ck_assert_str_eq(config->state_dir, CASES[i][2]);
        config_free(config);
    }
}
END_TEST

START_TEST(sizes_that_do_not_fit_each_other_are_refused_with_both_names)
{
    refused_flag("--jobs-max-result=3MiB",
                 "--jobs-max-result: memory.tray is 4MiB, but must be at least 2 times "
                 "jobs.max_result, which is 3MiB");
    refused_yaml("memory:\n  tray: 1MiB\n",
                 ":2:9: memory.tray is 1MiB, but must be at least 2 times jobs.max_result, which is 1MiB");
    refused_env("FORKPOOL_HTTP_MAX_BODY=17MiB",
                "FORKPOOL_HTTP_MAX_BODY: memory.arena is 64MiB, but must be at least "
                "4 times http.max_body, which is 17MiB");
    refused_flag("--memory-arena=15MiB",
                 "--memory-arena: memory.arena is 15MiB, but must be at least 4 times jobs.max_inputs, which "
                 "is 4MiB");
    char *fit[] = {"--jobs-max-result=2MiB", "--http-max-body=16MiB", "--jobs-max-inputs=16MiB", NULL};
    config_free(load(fit, no_env));
}
END_TEST

START_TEST(a_backoff_that_starts_above_its_end_is_refused)
{
    refused_flag(
        "--jobs-backoff-initial=10m",
        "--jobs-backoff-initial: jobs.backoff_max is 5m, but must be at least jobs.backoff_initial, which "
        "is 10m");
    refused_yaml("tasks:\n- name: a\n  retry: {initial: 2s, max: 1s}\n",
                 ":2:3: the task a has retry.max, 1s, below retry.initial, 2s");
    refused_yaml("tasks: [{name: a, retry: {initial: 1h}}]",
                 ":1:9: the task a has jobs.backoff_max as its retry.max, 5m, below retry.initial, 1h");
    refused_yaml("tasks: [{name: a, retry: {max: 500ms}}]",
                 ":1:9: the task a has retry.max, 500ms, below jobs.backoff_initial, 1s");
}
END_TEST

/* ── help and reference ── */

START_TEST(help_and_reference_hold_every_key_with_its_default)
{
    struct buf help = {0}, reference = {0};
    size_t bytes;
    config_help(&help);
    config_reference(&reference);
    char *help_text = buf_take(&help, &bytes), *reference_text = buf_take(&reference, &bytes);
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        char flag[64], name[64], fallback[64];
        snprintf(flag, sizeof flag, "--%s%s%s ", key->section, key->section[0] ? "-" : "", key->key);
        for (char *at = flag; *at != '\0'; at++)
            *at = *at == '_' ? '-' : *at;
        snprintf(name, sizeof name, "`%s%s%s`", key->section, key->section[0] ? "." : "", key->key);
        snprintf(fallback, sizeof fallback, "[%s]", key->fallback[0] ? key->fallback : "none");
        const char *found = strstr(help_text, flag);
        ck_assert_msg(found != NULL, "%s is not in the help", flag);
        ck_assert_ptr_nonnull(strstr(found, key->description));
        ck_assert_ptr_nonnull(strstr(found, fallback));
        ck_assert_msg(strstr(reference_text, name) != NULL, "%s is not in the reference", name);
    }
    for (size_t list = 0; list < CONFIG_LIST_COUNT; list++) {
        const struct config_list_kind *kind = &config_list_kinds[list];
        for (size_t i = 0; i < kind->key_count; i++)
            ck_assert_ptr_nonnull(strstr(reference_text, kind->keys[i].description));
    }
    ck_assert_ptr_nonnull(strstr(reference_text,
                                 "| `http.max_body` | `--http-max-body` | `FORKPOOL_HTTP_MAX_BODY` | "
                                 "SIZE, 1KiB to 64MiB | `1MiB` | largest request body |\n"));
    ck_assert_ptr_nonnull(strstr(reference_text, "| `retry.initial` | TIME, 0s to 1d | "));
    free(help_text);
    free(reference_text);
}
END_TEST

START_TEST(no_description_breaks_the_table_of_the_reference)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        ck_assert_ptr_null(strpbrk(config_keys[i].description, "|\n"));
    for (size_t list = 0; list < CONFIG_LIST_COUNT; list++) {
        const struct config_list_kind *kind = &config_list_kinds[list];
        for (size_t i = 0; i < kind->key_count; i++)
            ck_assert_ptr_null(strpbrk(kind->keys[i].description, "|\n"));
    }
}
END_TEST

static void add_accepted(TCase *tests)
{
    tcase_add_test(tests, without_any_source_the_defaults_of_the_table_hold);
    tcase_add_test(tests, workers_count_0_becomes_the_cores_but_at_least_two);
    tcase_add_test(tests, flags_take_their_value_after_a_blank_or_an_equals_sign_and_the_last_one_counts);
    tcase_add_test(tests, a_list_in_a_flag_or_variable_is_split_at_commas);
    tcase_add_test(tests, variables_of_jobs_tasks_tests_and_benchmarks_are_passed_over);
    tcase_add_test(tests, an_empty_file_and_empty_sections_are_fine);
    tcase_add_test(tests, a_file_sets_keys_of_every_type);
    tcase_add_test(tests, a_task_carries_what_its_entry_says_and_minus_one_for_the_rest);
    tcase_add_test(tests, anchors_of_yaml_work);
    tcase_add_test(tests, the_environment_can_name_the_file_and_a_flag_another);
    tcase_add_test(tests, a_flag_beats_the_environment_beats_the_file_beats_the_default);
    tcase_add_test(tests, every_key_is_read_from_file_environment_and_flag);
    tcase_add_test(tests, loading_again_reads_the_changed_file);
}

static void add_checks(TCase *tests)
{
    tcase_add_test(tests, a_listen_address_that_is_none_is_refused);
    tcase_add_test(tests, a_listen_address_becomes_a_socket_address);
    tcase_add_test(tests, an_open_address_without_auth_mode_none_is_refused_with_both_names);
    tcase_add_test(tests, a_store_that_is_no_sqlite_file_is_refused);
    tcase_add_test(tests, postgres_is_refused_without_repeating_its_password);
    tcase_add_test(tests, the_folder_of_the_store_is_the_state_folder);
    tcase_add_test(tests, sizes_that_do_not_fit_each_other_are_refused_with_both_names);
    tcase_add_test(tests, a_backoff_that_starts_above_its_end_is_refused);
}

static void add_help(TCase *tests)
{
    tcase_add_test(tests, help_and_reference_hold_every_key_with_its_default);
    tcase_add_test(tests, no_description_breaks_the_table_of_the_reference);
}

int main(void)
{
    Suite *suite = suite_create("shared/config");
    add_case(suite, "help", add_help);
    add_case(suite, "accepted", add_accepted);
    add_case(suite, "checks", add_checks);
    return run_suite(suite);
}
