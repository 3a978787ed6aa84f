/* Each kind of error, with its exact words and place. */
#include "config_fixture.h"

/* ── names that are wrong ── */

START_TEST(a_misspelt_key_names_its_place_and_the_nearest_key)
{
    refused_yaml(
        "http:\n  lisen: 127.0.0.1:80\n",
        ":2:3: http has no key \"lisen\"; did you mean listen? It has listen, loops, max_body, max_bulk, "
        "max_header, max_wait, max_connections, request_timeout, hosts");
    refused_yaml(
        "shutdwn: {drain: 1s}",
        ":1:1: the configuration has no key \"shutdwn\"; did you mean shutdown? It has http, auth, store, "
        "workers, jobs, memory, tasks_dir, log, shutdown, tasks, pools, queues, schedules");
    refused_yaml("log: {colour: red}", ":1:7: log has no key \"colour\"; it has level, format");
}
END_TEST

START_TEST(a_misspelt_key_of_a_task_names_its_place_and_the_nearest_key)
{
    refused_yaml("tasks:\n  - name: a\n    timout: 1s\n",
                 ":3:5: a task has no key \"timout\"; did you mean timeout?");
    refused_yaml("tasks: [{name: a, limits: {ram: 1GiB}}]",
                 ":1:28: tasks[].limits has no key \"ram\"; it has memory, cpu, files");
}
END_TEST

START_TEST(a_key_that_stands_twice_is_refused)
{
    refused_yaml("http:\n  loops: 1\n  loops: 2\n",
                 ":3:3: the key \"loops\" stands here twice, first in line 2");
    refused_yaml("log: {}\nhttp: {}\nlog: {}\n", ":3:1: the key \"log\" stands here twice, first in line 1");
    refused_yaml("tasks: [{name: a, env: {A: x, A: y}}]",
                 ":1:31: the key \"A\" stands here twice, first in line 1");
}
END_TEST

START_TEST(a_key_that_is_no_word_is_refused)
{
    refused_yaml("[a, b]: 1", ":1:1: a key must be a single value, not a list");
    refused_yaml("http: {{a: b}: c}", ":1:8: a key must be a single value, not a mapping");
    refused_yaml("\"a\\0b\": 1", ":1:1: a key must not hold a NUL character");
}
END_TEST

START_TEST(an_unknown_flag_names_the_nearest_one)
{
    refused_flag("--http-listn=x", "--http-listn: there is no such flag; did you mean --http-listen?");
    refused_flag("--http_max_body", "--http_max_body: there is no such flag; did you mean --http-max-body?");
    refused_flag("--confg=a", "--confg: there is no such flag; did you mean --config?");
    refused_flag("-v", "-v: there is no such flag; forkpool serve --help lists all");
}
END_TEST

START_TEST(a_flag_without_its_value_says_so)
{
    char *flags[] = {"--http-listen", "--http-loops", "2", NULL};
    refused_flag("--config", "--config: a value is missing: write --config VALUE or --config=VALUE");
    refused(flags, no_env,
            "--http-listen: a value is missing before --http-loops: write --http-listen VALUE or "
            "--http-listen=VALUE");
}
END_TEST

START_TEST(an_argument_that_is_no_flag_is_refused)
{
    static const char *const WORDS[] = {"forkpool.yaml", "-", "--", ""};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        char word[32], expected[160];
        strcpy(word, WORDS[i]);
        snprintf(
            expected, sizeof expected,
            "\"%s\": only flags are taken here, --http-listen VALUE and so on; --config FILE names the file",
            word);
        refused_flag(word, expected);
    }
}
END_TEST

START_TEST(an_unknown_variable_names_the_nearest_one)
{
    refused_env("FORKPOOL_HTTP_LISTE=x",
                "FORKPOOL_HTTP_LISTE: there is no such setting; did you mean FORKPOOL_HTTP_LISTEN?");
    refused_env("FORKPOOL_A_THING_NOBODY_KNOWS=1",
                "FORKPOOL_A_THING_NOBODY_KNOWS: there is no such setting; forkpool serve --help lists all");
}
END_TEST

/* ── values that are wrong ── */

START_TEST(a_number_out_of_range_names_its_range)
{
    refused_yaml("http: {loops: 65}", ":1:15: http.loops must be a whole number from 1 to 64, not \"65\"");
    refused_yaml("http: {loops: -1}", ":1:15: http.loops must be a whole number from 1 to 64, not \"-1\"");
    refused_flag("--jobs-jitter=99999999999999999999",
                 "--jobs-jitter: must be a whole number from 0 to 100, not \"99999999999999999999\"");
    refused_env("FORKPOOL_JOBS_JITTER=101",
                "FORKPOOL_JOBS_JITTER: must be a whole number from 0 to 100, not \"101\"");
}
END_TEST

START_TEST(a_number_that_is_none_is_refused)
{
    static const char *const WRONG[] = {"many", "", "-", "1x", "0x10", "1.5", "1e3", " 1", "1 ", "--1", "+1"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char flag[64], expected[128];
        snprintf(flag, sizeof flag, "--http-loops=%s", WRONG[i]);
        snprintf(expected, sizeof expected, "--http-loops: must be a whole number from 1 to 64, not \"%s\"",
                 WRONG[i]);
        refused_flag(flag, expected);
    }
}
END_TEST

START_TEST(a_size_or_duration_out_of_range_names_its_range_in_its_unit)
{
    refused_yaml("http: {max_body: 1GiB}",
                 ":1:18: http.max_body must be a size from 1KiB to 64MiB, not \"1GiB\"");
    refused_yaml("http: {max_body: 99999999999GiB}",
                 ":1:18: http.max_body must be a size from 1KiB to 64MiB, not \"99999999999GiB\"");
    refused_yaml("jobs: {timeout: 0}", ":1:17: jobs.timeout must be a duration from 1ms to 30d, not \"0\"");
    refused_yaml("shutdown: {drain: 2h}",
                 ":1:19: shutdown.drain must be a duration from 0s to 1h, not \"2h\"");
    refused_yaml("tasks: [{name: a, limits: {memory: 1}}]",
                 ":1:36: tasks[].limits.memory must be a size from 1MiB to 1024GiB, not \"1\"");
}
END_TEST

START_TEST(a_size_or_duration_in_a_strange_unit_is_told_the_units)
{
    refused_flag("--http-max-body=1MB",
                 "--http-max-body: must be a size from 1KiB to 64MiB (64KiB, 1MiB, 4GiB or "
                 "a plain number of bytes), not \"1MB\"");
    refused_flag("--jobs-timeout=5min",
                 "--jobs-timeout: must be a duration from 1ms to 30d (250ms, 8s, 5m, 1h, 7d "
                 "or a plain number of seconds), not \"5min\"");
    refused_flag("--jobs-timeout=0.0001",
                 "--jobs-timeout: must be a duration from 1ms to 30d (250ms, 8s, 5m, 1h, "
                 "7d or a plain number of seconds), not \"0.0001\"");
}
END_TEST

START_TEST(an_unknown_word_lists_the_words_and_the_nearest)
{
    refused_yaml("log: {level: debugg}",
                 ":1:14: log.level must be debug, info, warn or error, not \"debugg\"; did you mean debug?");
    refused_flag("--auth-mode=tokens",
                 "--auth-mode: must be loopback, none or token, not \"tokens\"; did you mean token?");
    refused_flag(
        "--store-durability=proces",
        "--store-durability: must be memory, process or full, not \"proces\"; did you mean process?");
    refused_env("FORKPOOL_LOG_FORMAT=JSON",
                "FORKPOOL_LOG_FORMAT: must be auto, text or json, not \"JSON\"; did you mean json?");
    refused_yaml("tasks: [{name: a, kind: script}]",
                 ":1:25: tasks[].kind must be plugin or command, not \"script\"");
    refused_yaml("tasks: [{name: a, retry: {backoff: expo}}]",
                 ":1:36: tasks[].retry.backoff must be exponential, linear or fixed, not \"expo\"");
}
END_TEST

START_TEST(a_value_of_the_wrong_type_says_what_it_is)
{
    refused_yaml("http: {loops: [1]}", ":1:15: http.loops must be a single value, not a list");
    refused_yaml("http: {listen: {port: 1}}", ":1:16: http.listen must be a single value, not a mapping");
    refused_yaml("http:\n  listen:\n", ":2:10: http.listen must be a single value, not nothing");
    refused_yaml("http: {hosts: a}", ":1:15: http.hosts must be a list [a, b], not a single value");
    refused_yaml("http: {hosts: [[a]]}", ":1:16: an item of http.hosts must be a single value, not a list");
    refused_yaml("http: 8080", ":1:7: http must be a mapping {key: value}, not a single value");
    refused_yaml("- http", ":1:1: the configuration must be a mapping {key: value}, not a list");
    refused_yaml("tasks: {a: b}", ":1:8: tasks must be a list of mappings [{name: …}], not a mapping");
    refused_yaml("tasks: [a]", ":1:9: a task must be a mapping {key: value}, not a single value");
    refused_yaml("tasks: [{name: a, env: [A]}]",
                 ":1:24: tasks[].env must be a mapping {NAME: value}, not a list");
    refused_yaml("tasks: [{name: a, env: {A: [1]}}]",
                 ":1:28: an item of tasks[].env must be a single value, not a list");
    refused_yaml("log: {level: \"in\\0fo\"}", ":1:14: log.level must not hold a NUL character");
}
END_TEST

START_TEST(a_task_must_have_a_legal_name_of_its_own)
{
    refused_yaml("tasks:\n  - {name: a}\n  - {kind: plugin}\n", ":3:5: a task must have a name");
    refused_yaml("tasks:\n  - {name: a b}\n",
                 ":2:12: tasks[].name must be 1 to 63 of A-Z a-z 0-9 . _ - and not "
                 "start with a dot, not \"a b\"");
    refused_yaml("tasks:\n  - {name: a}\n  - {name: b}\n  - {name: a}\n",
                 ":4:5: the task a stands in tasks twice, first in line 2");
}
END_TEST

START_TEST(a_task_with_an_empty_command_or_a_bad_variable_is_refused)
{
    refused_yaml("tasks: [{name: a, argv: []}]", ":1:25: tasks[].argv must start with the name of a program");
    refused_yaml("tasks: [{name: a, argv: ['', b]}]",
                 ":1:25: tasks[].argv must start with the name of a program");
    refused_yaml("tasks: [{name: a, path: ''}]", ":1:25: tasks[].path must not be empty");
    refused_yaml("tasks: [{name: a, env: {A=B: c}}]",
                 ":1:25: \"A=B\" is no name of a variable: letters, digits and _, not starting with a digit");
}
END_TEST

START_TEST(a_long_or_strange_value_is_escaped_and_cut)
{
    char flag[400] = "--log-level=\n\"";
    memset(flag + strlen(flag), 'x', 300);
    char expected[400];
    snprintf(expected, sizeof expected,
             "--log-level: must be debug, info, warn or error, not \"\\n\\\"%.93s\" (cut)", flag + 20);
    refused_flag(flag, expected);
}
END_TEST

/* ── the file itself ── */

START_TEST(a_file_that_cannot_be_read_says_why)
{
    refused_flag("--config=/nowhere/f.yaml",
                 "--config: cannot read /nowhere/f.yaml: No such file or directory");
    refused_flag("--config=/", "--config: cannot read /: Is a directory");
    refused_flag("--config=", "--config: cannot read : No such file or directory");
    refused_flag("--config=/dev/zero", "--config: cannot read /dev/zero: File too large");
}
END_TEST

START_TEST(bad_yaml_names_its_place)
{
    refused_yaml(
        "http: {listen: a\nlog: b",
        ":2:4: this is not valid YAML: did not find expected ',' or '}', while parsing a flow mapping that "
        "starts in line 1");
    refused_yaml("http:\n\tlisten: a\n", ":2:1: a tab stands here; YAML is indented with spaces");
    refused_yaml("# \xc3\xa4\nhttp:\n\tlisten: a\n", ":3:1: a tab stands here; YAML is indented with spaces");
    refused_yaml("a: *b\n", ":1:4: this is not valid YAML: found undefined alias");
}
END_TEST

START_TEST(bytes_that_are_no_text_name_their_place)
{
    refused_yaml("log:\n  # \xc3\xa4 \xff\n", ":2:7: this is not valid YAML: invalid leading UTF-8 octet");
    char *flags[] = {"--config", file, NULL};
    write_bytes("log: \0", 6);
    refused(flags, no_env, ":1:6: this is not valid YAML: control characters are not allowed");
}
END_TEST

START_TEST(a_second_document_is_refused)
{
    refused_yaml("log: {}\n---\nhttp: {}\n", ":3:1: a second document starts; the file must hold one");
}
END_TEST

START_TEST(an_alias_to_what_encloses_it_ends)
{
    refused_yaml("http: &h {hosts: &l [*l]}",
                 ":1:18: an item of http.hosts must be a single value, not a list");
    refused_yaml("tasks: &t [*t]", ":1:8: a task must be a mapping {key: value}, not a list");
}
END_TEST

static void add_refused(TCase *tests)
{
    tcase_add_test(tests, a_misspelt_key_names_its_place_and_the_nearest_key);
    tcase_add_test(tests, a_misspelt_key_of_a_task_names_its_place_and_the_nearest_key);
    tcase_add_test(tests, a_key_that_stands_twice_is_refused);
    tcase_add_test(tests, a_key_that_is_no_word_is_refused);
    tcase_add_test(tests, an_unknown_flag_names_the_nearest_one);
    tcase_add_test(tests, a_flag_without_its_value_says_so);
    tcase_add_test(tests, an_argument_that_is_no_flag_is_refused);
    tcase_add_test(tests, an_unknown_variable_names_the_nearest_one);
    tcase_add_test(tests, a_number_out_of_range_names_its_range);
    tcase_add_test(tests, a_number_that_is_none_is_refused);
    tcase_add_test(tests, a_size_or_duration_out_of_range_names_its_range_in_its_unit);
    tcase_add_test(tests, a_size_or_duration_in_a_strange_unit_is_told_the_units);
    tcase_add_test(tests, an_unknown_word_lists_the_words_and_the_nearest);
    tcase_add_test(tests, a_value_of_the_wrong_type_says_what_it_is);
    tcase_add_test(tests, a_task_must_have_a_legal_name_of_its_own);
    tcase_add_test(tests, a_task_with_an_empty_command_or_a_bad_variable_is_refused);
    tcase_add_test(tests, a_long_or_strange_value_is_escaped_and_cut);
    tcase_add_test(tests, a_file_that_cannot_be_read_says_why);
    tcase_add_test(tests, bad_yaml_names_its_place);
    tcase_add_test(tests, bytes_that_are_no_text_name_their_place);
    tcase_add_test(tests, a_second_document_is_refused);
    tcase_add_test(tests, an_alias_to_what_encloses_it_ends);
}

int main(void)
{
    Suite *suite = suite_create("shared/config, refused");
    add_case(suite, "refused", add_refused);
    return run_suite(suite);
}
