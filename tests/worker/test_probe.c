#include "harness.h"

#include "probe.h"

#include <errno.h>
#include <sys/wait.h>

static struct config config;
static struct task_config entries[4];
static struct catalogue bank;

static void init(void)
{
    harness_init();
    memset(entries, 0, sizeof entries);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        struct task_config *entry = &entries[i];
        entry->timeout_ms = entry->kill_after_ms = entry->max_attempts = entry->backoff = -1;
        entry->backoff_initial_ms = entry->backoff_max_ms = entry->jitter = -1;
        entry->limit_memory_bytes = entry->limit_cpu_ms = entry->limit_files = -1;
        entry->retry_max_age_ms = -1;
    }
    config = (struct config){.tasks_dir = harness.dir,
                             .tasks = entries,
                             .jobs_timeout_ms = 3600000,
                             .jobs_kill_after_ms = 5000,
                             .jobs_max_attempts = 3,
                             .jobs_backoff = BACKOFF_LINEAR,
                             .jobs_backoff_initial_ms = 1000,
                             .jobs_backoff_max_ms = 300000,
                             .jobs_jitter = 20};
    memset(&bank, 0xff, sizeof bank); /* a bank was used before */
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", harness.dir, name);
    write_file(path, text, mode);
}

static void put_plugin(const char *from, const char *name)
{
    char target[192], path[192];
    snprintf(target, sizeof target, TEST_PLUGINS "/%s", from);
    snprintf(path, sizeof path, "%s/%s", harness.dir, name);
    ck_assert_int_eq(symlink(target, path), 0);
}

static void probe(void)
{
    ck_assert_int_eq(probe_tasks(&config, 7, &bank), ERR_OK);
    ck_assert_uint_eq(bank.epoch, 7);
    for (uint32_t i = 1; i < bank.task_count; i++)
        ck_assert_int_lt(strcmp(bank.tasks[i - 1].name, bank.tasks[i].name), 0);
}

static const struct task *found(const char *name)
{
    const struct task *task = catalogue_find(&bank, name);
    ck_assert_msg(task != NULL, "no task %s", name);
    return task;
}

static const struct task *usable(const char *name)
{
    const struct task *task = found(name);
    ck_assert_msg(!task->broken, "%s is broken: %s", name, task->reason);
    ck_assert_str_eq(task->reason, "");
    return task;
}

static void broken(const char *name, const char *part)
{
    const struct task *task = found(name);
    ck_assert_int_eq((int)task->broken, 1);
    ck_assert_msg(strstr(task->reason, part) != NULL, "\"%s\" is not in \"%s\"", part, task->reason);
}

/* ---- the folder ---- */

START_TEST(an_executable_file_is_a_command_named_without_its_extension)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    put("world", "#!/bin/sh\n", 0755);
    probe();
    ck_assert_uint_eq(bank.task_count, 2);
    const struct task *task = usable("hello");
    char path[192];
    snprintf(path, sizeof path, "%s/hello.sh", harness.dir);
    ck_assert_str_eq(task->path, path);
    ck_assert_uint_eq(task->kind, TASK_COMMAND);
    ck_assert_str_eq(task->cwd, "");
    usable("world");
}
END_TEST

START_TEST(defaults_come_from_the_configuration)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    probe();
    const struct task *task = usable("hello");
    ck_assert_str_eq(task->queue, "default");
    ck_assert_int_eq(task->timeout_ms, 3600000);
    ck_assert_int_eq(task->kill_after_ms, 5000);
    ck_assert_uint_eq(task->retry.max_attempts, 3);
    ck_assert_uint_eq(task->retry.backoff, BACKOFF_LINEAR);
    ck_assert_int_eq(task->retry.initial_ms, 1000);
    ck_assert_int_eq(task->retry.max_ms, 300000);
    ck_assert_uint_eq(task->retry.jitter, 20);
    ck_assert_int_eq(task->limit_memory_bytes, -1);
    ck_assert_int_eq(task->limit_cpu_ms, -1);
    ck_assert_int_eq(task->limit_files, -1);
    ck_assert_uint_eq(task->argv_count, 0);
    ck_assert_uint_eq(task->env_count, 0);
}
END_TEST

START_TEST(folders_hidden_files_and_plain_files_are_passed_over)
{
    char path[192];
    snprintf(path, sizeof path, "%s/sub", harness.dir);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/pipe", harness.dir);
    ck_assert_int_eq(mkfifo(path, 0755), 0);
    put(".hidden", "#!/bin/sh\n", 0755);
    put("README.md", "no task\n", 0644);
    put("empty", "", 0644);
    probe();
    ck_assert_uint_eq(bank.task_count, 0);
}
END_TEST

START_TEST(a_link_to_a_program_is_a_task_and_a_link_to_nothing_is_not)
{
    char path[192];
    snprintf(path, sizeof path, "%s/list", harness.dir);
    ck_assert_int_eq(symlink("/bin/ls", path), 0);
    snprintf(path, sizeof path, "%s/gone", harness.dir);
    ck_assert_int_eq(symlink("/no/such/file", path), 0);
    probe();
    ck_assert_uint_eq(bank.task_count, 1);
    usable("list");
}
END_TEST

START_TEST(a_script_without_the_x_bit_says_chmod)
{
    put("hello.sh", "#!/bin/sh\n", 0644);
    probe();
    broken("hello", "/hello.sh is not executable: chmod +x ");
}
END_TEST

START_TEST(a_script_without_its_first_line_is_broken)
{
    put("hello.sh", "echo hello\n", 0755);
    put("nothing.sh", "", 0755);
    probe();
    broken("hello", "has no #! line and is no program: begin it with #!/bin/sh");
    broken("nothing", "is empty");
}
END_TEST

START_TEST(a_missing_interpreter_is_named)
{
    put("a", "#!/opt/no/such\n", 0755);
    put("b", "#! /usr/bin/env no-such-program\n", 0755);
    put("c", "#!/usr/bin/env -S no-such-program -x\n", 0755);
    put("d", "#!python3\n", 0755);
    put("e", "#!\n", 0755);
    put("f", "#!/bin/sh\r\n", 0755);
    probe();
    broken("a", "its interpreter /opt/no/such does not exist");
    broken("b", "its interpreter no-such-program is not installed");
    broken("c", "its interpreter no-such-program is not installed");
    broken("d", "needs a full path: #!/usr/bin/env python3");
    broken("e", "names no interpreter");
    broken("f", "CR LF");
}
END_TEST

START_TEST(what_env_does_to_find_an_interpreter_is_understood_or_left_to_it)
{
    put("a", "#!/usr/bin/env sh\n", 0755);
    put("b", "#!/usr/bin/env -S sh -e\n", 0755);
    put("c", "#!/usr/bin/env -S A=1 no-such-program\n", 0755);
    put("d", "#!/usr/bin/env -i no-such-program\n", 0755);
    put("e", "#!\t/bin/sh -e", 0755);
    probe();
    for (const char *name = "a\0b\0c\0d\0e\0"; *name != '\0'; name += 2)
        usable(name);
}
END_TEST

START_TEST(a_name_that_is_not_legal_is_passed_over)
{
    put("not a name", "#!/bin/sh\n", 0755);
    put("a234567890123456789012345678901234567890123456789012345678901234.sh", "#!/bin/sh\n", 0755);
    put("a23456789012345678901234567890123456789012345678901234567890123.sh", "#!/bin/sh\n", 0755);
    probe();
    ck_assert_uint_eq(bank.task_count, 1);
    usable("a23456789012345678901234567890123456789012345678901234567890123");
}
END_TEST

START_TEST(of_two_files_with_one_name_the_second_is_broken)
{
    put("hello.py", "#!/bin/sh\n", 0755);
    put("hello.sh", "#!/bin/sh\n", 0755);
    probe();
    ck_assert_uint_eq(bank.task_count, 2);
    ck_assert_ptr_nonnull(strstr(usable("hello")->path, "/hello.py"));
    broken("hello.sh", "the task hello is already defined by hello.py: rename one of the two files");
}
END_TEST

START_TEST(tasks_beyond_the_most_there_can_be_are_dropped)
{
    char name[16];
    for (int i = 0; i < TASKS_MAX + 3; i++) {
        snprintf(name, sizeof name, "t%03d", i);
        put(name, "#!/bin/sh\n", 0755);
    }
    probe();
    ck_assert_uint_eq(bank.task_count, TASKS_MAX);
    usable("t255");
}
END_TEST

START_TEST(a_missing_folder_is_an_empty_catalogue)
{
    config.tasks_dir = "/no/such/folder";
    probe();
    ck_assert_uint_eq(bank.task_count, 0);
    ck_assert_uint_eq(bank.fault_count, 1);
    ck_assert_str_eq(bank.faults[0].file, "/no/such/folder");
    ck_assert_ptr_nonnull(strstr(bank.faults[0].reason, "there is no such folder"));
    ck_assert_str_eq(bank.tasks_dir, "");
    config.tasks_dir = "";
    probe();
    ck_assert_uint_eq(bank.task_count, 0);
    ck_assert_uint_eq(bank.fault_count, 0);
    ck_assert_str_eq(bank.tasks_dir, "");
}
END_TEST

START_TEST(a_relative_folder_becomes_absolute)
{
    ck_assert_int_eq(chdir(harness.dir), 0);
    config.tasks_dir = ".";
    put("hello.sh", "#!/bin/sh\n", 0755);
    probe();
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_str_eq(bank.tasks_dir, harness.dir);
    ck_assert_int_eq(usable("hello")->path[0], '/');
}
END_TEST

/* ---- plugins ---- */

START_TEST(a_plugin_gives_all_its_tasks_with_their_defaults)
{
    put_plugin("many.so", "many.so");
    probe();
    const struct task *task = usable("echo");
    ck_assert_uint_eq(task->kind, TASK_PLUGIN);
    ck_assert_str_eq(task->description, "returns its arguments");
    ck_assert_int_eq(task->timeout_ms, 1234);
    ck_assert_uint_eq(task->retry.max_attempts, 7);
    ck_assert_int_eq(usable("nothing")->timeout_ms, 3600000);
    ck_assert_uint_eq(usable("nothing")->retry.max_attempts, 3);
    ck_assert_uint_eq(bank.task_count, 23); /* without the one whose name is not legal */
}
END_TEST

START_TEST(a_plugin_that_cannot_be_used_is_listed_under_its_file_with_the_reason)
{
    put("text.so", "no object\n", 0644);
    put_plugin("wrong_abi.so", "old.so");
    put_plugin("no_table.so", "other.so");
    put_plugin("no_tasks.so", "no_tasks.so");
    put_plugin("no_run.so", "no_run.so");
    probe();
    ck_assert_uint_eq(bank.task_count, 5);
    broken("text", "text.so cannot be loaded: ");
    broken("old", "was built for ABI 99 of forkpool.h, this server takes 1 to 2: build it again");
    broken("other", "exports no fp_plugin");
    broken("no_tasks", "has a table of 0 tasks");
    broken("no_run", "its task no_run has no function run");
}
END_TEST

START_TEST(a_plugin_that_crashes_or_exits_breaks_itself_only)
{
    put_plugin("crashes.so", "crashes.so");
    put_plugin("exits.so", "exits.so");
    put_plugin("many.so", "zz.so");
    probe();
    broken("crashes", "it crashed while it was loaded: SIGABRT (6)");
    broken("exits", "it ended its process while it was loaded, with exit status 9");
    usable("echo");
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(a_plugin_that_hangs_breaks_itself_only)
{
    put_plugin("hangs.so", "hangs.so");
    put("hello.sh", "#!/bin/sh\n", 0755);
    int64_t begin = clock_mono_ns();
    probe();
    broken("hangs", "it did not load within 5 s");
    usable("hello");
    ck_assert_int_lt(clock_mono_ns() - begin, 8 * NS_PER_SEC);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(the_probe_itself_loads_no_plugin)
{
    put_plugin("many.so", "many.so");
    probe();
    size_t bytes;
    ck_assert_ptr_null(strstr(read_file("/proc/self/maps", &bytes), "many.so"));
}
END_TEST

START_TEST(a_plugins_task_never_takes_the_name_of_an_earlier_file)
{
    put("echo", "#!/bin/sh\n", 0755);
    put_plugin("many.so", "many.so");
    probe();
    ck_assert_uint_eq(usable("echo")->kind, TASK_COMMAND);
    broken("many.so", "the task echo is already defined by echo");
    usable("nothing");
}
END_TEST

/* ---- tasks[] ---- */

static struct task_config *entry(size_t number, const char *name)
{
    config.task_count = number + 1;
    strcpy(entries[number].name, name);
    return &entries[number];
}

START_TEST(an_entry_overrides_what_the_folder_gave)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    struct task_config *given = entry(0, "hello");
    char *env[] = {"A=1", "B=2", NULL};
    given->env = env;
    given->cwd = "/usr";
    given->description = "says hello";
    strcpy(given->queue, "slow");
    given->timeout_ms = 1;
    given->kill_after_ms = 0;
    given->max_attempts = 9;
    given->backoff = BACKOFF_FIXED;
    given->backoff_initial_ms = 2;
    given->backoff_max_ms = 3;
    given->jitter = 0;
    given->limit_memory_bytes = 4;
    given->limit_cpu_ms = 5;
    given->limit_files = 6;
    probe();
    const struct task *task = usable("hello");
    ck_assert_ptr_nonnull(strstr(task->path, "/hello.sh"));
    ck_assert_uint_eq(task->env_count, 2);
    ck_assert_str_eq(task->blob, "A=1");
    ck_assert_str_eq(task->cwd, "/usr");
    ck_assert_str_eq(task->description, "says hello");
    ck_assert_str_eq(task->queue, "slow");
    ck_assert_int_eq(task->timeout_ms, 1);
    ck_assert_int_eq(task->kill_after_ms, 0);
    ck_assert_uint_eq(task->retry.max_attempts, 9);
    ck_assert_uint_eq(task->retry.backoff, BACKOFF_FIXED);
    ck_assert_int_eq(task->retry.initial_ms, 2);
    ck_assert_int_eq(task->retry.max_ms, 3);
    ck_assert_uint_eq(task->retry.jitter, 0);
    ck_assert_int_eq(task->limit_memory_bytes, 4);
    ck_assert_int_eq(task->limit_cpu_ms, 5);
    ck_assert_int_eq(task->limit_files, 6);
    ck_assert_str_eq(task->retry_more, "");
}
END_TEST

START_TEST(the_rest_of_how_a_task_is_retried_stands_in_its_catalogue_as_json)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    struct task_config *given = entry(0, "hello");
    given->retry_intervals = (struct config_times){.count = 3, .ms = {1000, 500, 30000}};
    given->retry_max_age_ms = 3600000;
    given->retry_on = (struct config_codes){.count = 2, .items = {"exit_status", "timeout"}};
    given->retry_never = (struct config_codes){.count = 1, .items = {"no_such_user"}};
    probe();
    ck_assert_str_eq(usable("hello")->retry_more,
                     "{\"intervals\":[1,0.5,30],\"max_age\":3600,\"on\":[\"exit_status\",\"timeout\"],"
                     "\"never\":[\"no_such_user\"]}");
    given->retry_intervals.count = given->retry_on.count = given->retry_never.count = 0;
    probe();
    ck_assert_str_eq(usable("hello")->retry_more, "{\"max_age\":3600}");
}
END_TEST

START_TEST(retries_that_the_catalogue_has_no_room_for_break_the_task)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    struct task_config *given = entry(0, "hello");
    given->retry_on.count = given->retry_never.count = ERROR_CODES_MAX;
    for (size_t i = 0; i < ERROR_CODES_MAX; i++) {
        memset(given->retry_on.items[i], 'a', ERROR_CODE_BYTES - 1);
        memset(given->retry_never.items[i], 'b', ERROR_CODE_BYTES - 1);
    }
    probe();
    broken("hello", "its retry intervals, on and never are together longer than 511 bytes");
}
END_TEST

START_TEST(an_entry_may_add_a_command_by_argv_from_path)
{
    char *argv[] = {"ls", "-l", NULL}, *nothing[] = {"no-such-program", NULL},
         *in_folder[] = {"hello.sh", NULL};
    put("hello.sh", "#!/bin/sh\n", 0755);
    entry(0, "list")->argv = argv;
    entry(1, "none")->argv = nothing;
    entry(2, "again")->argv = in_folder;
    probe();
    const struct task *task = usable("list");
    ck_assert_ptr_nonnull(strstr(task->path, "/ls"));
    ck_assert_int_eq(task->path[0], '/');
    ck_assert_uint_eq(task->argv_count, 2);
    broken("none", "no-such-program was found neither in PATH nor in the tasks folder");
    ck_assert_ptr_nonnull(strstr(usable("again")->path, "/hello.sh"));
}
END_TEST

START_TEST(an_entrys_own_path_decides_where_argv_is_found)
{
    char path[192], *argv[] = {"hello.sh", NULL}, *env[] = {path, NULL};
    snprintf(path, sizeof path, "PATH=/no/such:%s/bin", harness.dir);
    char folder[192];
    snprintf(folder, sizeof folder, "%s/bin", harness.dir);
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    put("bin/hello.sh", "#!/bin/sh\n", 0755);
    entry(0, "hello")->argv = argv;
    entries[0].env = env;
    probe();
    ck_assert_ptr_nonnull(strstr(usable("hello")->path, "/bin/hello.sh"));
}
END_TEST

START_TEST(an_entry_may_name_a_path_in_or_outside_the_folder)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    entry(0, "inside")->path = "hello.sh";
    entry(1, "outside")->path = "/bin/ls";
    entry(2, "missing")->path = "/no/such";
    probe();
    char path[192];
    snprintf(path, sizeof path, "%s/hello.sh", harness.dir);
    ck_assert_str_eq(usable("inside")->path, path);
    ck_assert_str_eq(usable("outside")->path, "/bin/ls");
    broken("missing", "/no/such does not exist");
}
END_TEST

START_TEST(an_entry_may_mend_a_broken_file)
{
    put("hello.sh", "echo hello\n", 0755);
    put_plugin("wrong_abi.so", "echo.so");
    entry(0, "hello")->path = "/bin/ls";
    entry(1, "echo")->path = TEST_PLUGINS "/many.so";
    probe();
    usable("hello");
    ck_assert_uint_eq(usable("echo")->kind, TASK_PLUGIN);
    ck_assert_int_eq(usable("echo")->timeout_ms, 1234);
}
END_TEST

START_TEST(an_entry_without_anything_to_run_is_broken)
{
    entry(0, "ghost");
    probe();
    broken("ghost", "names neither path nor argv");
}
END_TEST

START_TEST(entries_that_contradict_themselves_are_broken)
{
    char *argv[] = {"ls", NULL}, *empty[] = {NULL};
    put("hello.sh", "#!/bin/sh\n", 0755);
    entry(0, "hello")->kind = "plugin";
    entry(1, "b")->kind = "plugin";
    entries[1].argv = argv;
    entry(2, "c")->argv = empty;
    entry(3, "d")->path = TEST_PLUGINS "/many.so";
    probe();
    broken("hello", "the configuration says plugin, but ");
    broken("b", "a plugin has a path, and no argv");
    broken("c", "argv is empty");
    broken("d", "many.so has no task d; its first is echo");
}
END_TEST

START_TEST(argv_and_env_that_do_not_fit_break_the_task)
{
    static char large[TASK_BLOB_BYTES + 1];
    memset(large, 'x', sizeof large - 1);
    char *argv[] = {"ls", large, NULL};
    entry(0, "list")->argv = argv;
    probe();
    broken("list", "argv and env together are longer than 2048 bytes");
}
END_TEST

START_TEST(a_cwd_that_is_no_folder_breaks_the_task)
{
    put("hello.sh", "#!/bin/sh\n", 0755);
    entry(0, "hello")->cwd = "no/such";
    probe();
    broken("hello", "/no/such is no folder");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe");
    TCase *tcase = tcase_create("probe");
    tcase_add_checked_fixture(tcase, init, harness_fini);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, an_executable_file_is_a_command_named_without_its_extension);
    tcase_add_test(tcase, defaults_come_from_the_configuration);
    tcase_add_test(tcase, folders_hidden_files_and_plain_files_are_passed_over);
    tcase_add_test(tcase, a_link_to_a_program_is_a_task_and_a_link_to_nothing_is_not);
    tcase_add_test(tcase, a_script_without_the_x_bit_says_chmod);
    tcase_add_test(tcase, a_script_without_its_first_line_is_broken);
    tcase_add_test(tcase, a_missing_interpreter_is_named);
    tcase_add_test(tcase, what_env_does_to_find_an_interpreter_is_understood_or_left_to_it);
    tcase_add_test(tcase, a_name_that_is_not_legal_is_passed_over);
    tcase_add_test(tcase, of_two_files_with_one_name_the_second_is_broken);
    tcase_add_test(tcase, tasks_beyond_the_most_there_can_be_are_dropped);
    tcase_add_test(tcase, a_missing_folder_is_an_empty_catalogue);
    tcase_add_test(tcase, a_relative_folder_becomes_absolute);
    tcase_add_test(tcase, a_plugin_gives_all_its_tasks_with_their_defaults);
    tcase_add_test(tcase, a_plugin_that_cannot_be_used_is_listed_under_its_file_with_the_reason);
    tcase_add_test(tcase, a_plugin_that_crashes_or_exits_breaks_itself_only);
    tcase_add_test(tcase, a_plugin_that_hangs_breaks_itself_only);
    tcase_add_test(tcase, the_probe_itself_loads_no_plugin);
    tcase_add_test(tcase, a_plugins_task_never_takes_the_name_of_an_earlier_file);
    tcase_add_test(tcase, an_entry_overrides_what_the_folder_gave);
    tcase_add_test(tcase, the_rest_of_how_a_task_is_retried_stands_in_its_catalogue_as_json);
    tcase_add_test(tcase, retries_that_the_catalogue_has_no_room_for_break_the_task);
    tcase_add_test(tcase, an_entry_may_add_a_command_by_argv_from_path);
    tcase_add_test(tcase, an_entrys_own_path_decides_where_argv_is_found);
    tcase_add_test(tcase, an_entry_may_name_a_path_in_or_outside_the_folder);
    tcase_add_test(tcase, an_entry_may_mend_a_broken_file);
    tcase_add_test(tcase, an_entry_without_anything_to_run_is_broken);
    tcase_add_test(tcase, entries_that_contradict_themselves_are_broken);
    tcase_add_test(tcase, argv_and_env_that_do_not_fit_break_the_task);
    tcase_add_test(tcase, a_cwd_that_is_no_folder_breaks_the_task);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
