/* A worker without a server: a folder, a board, a slot and one run, for the tests of task kinds.
 *
 *     tcase_add_checked_fixture(tcase, harness_init, harness_fini);
 *     run_script("echo 1", "{}");  expect_result("1");
 */
#ifndef FORKPOOL_TESTS_HARNESS_H
#define FORKPOOL_TESTS_HARNESS_H

#include "clock.h"
#include "kind.h"
#include "run.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What other processes see of it. */
struct harness_shared {
    struct board board;
    _Atomic int32_t box_group, seen_group;
    struct slot slot;
};

static struct {
    char dir[64], log_path[128], program[128];
    struct harness_shared *shared;
    struct task task;
    struct job_spec spec;
    struct attempt attempt;
    struct run run;
} harness;

static inline void harness_init(void)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&harness, 0, sizeof harness);
    strcpy(harness.dir, "/tmp/forkpool-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(harness.dir));
    snprintf(harness.log_path, sizeof harness.log_path, "%s/attempt.log", harness.dir);
    snprintf(harness.program, sizeof harness.program, "%s/program", harness.dir);
    harness.shared =
        mmap(NULL, sizeof *harness.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(harness.shared != MAP_FAILED);

    strcpy(harness.task.name, "program");
    strcpy(harness.task.path, harness.program);
    harness.task.kind = TASK_COMMAND;
    harness.task.limit_memory_bytes = harness.task.limit_cpu_ms = harness.task.limit_files = -1;
    for (size_t i = 0; i < sizeof harness.spec.id.bytes; i++)
        harness.spec.id.bytes[i] = (uint8_t)(i * 17);
    harness.run = (struct run){.task = &harness.task,
                               .tasks_dir = harness.dir,
                               .spec = &harness.spec,
                               .attempt_number = 2,
                               .log_path = harness.log_path,
                               .max_result = 1048576,
                               .max_log = 1048576,
                               .board = &harness.shared->board,
                               .box_group = &harness.shared->box_group,
                               .slot = &harness.shared->slot,
                               .attempt = &harness.attempt};
}

static inline void harness_fini(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", harness.dir);
    ck_assert_int_eq(system(command), 0);
    munmap(harness.shared, sizeof *harness.shared);
}

static inline void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static inline char *read_file(const char *path, size_t *bytes)
{
    static char text[4194304];
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    *bytes = fread(text, 1, sizeof text - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

/* Runs what harness.task says. */
static inline void run_bytes(const char *args, size_t bytes)
{
    harness.attempt = attempt_blank();
    harness.shared->slot.attempt = attempt_blank();
    harness.run.args = (struct text){args, bytes};
    board_begin(&harness.shared->board, 1, 0, 0);
    kind_run(&harness.run);
    board_idle(&harness.shared->board); /* CHECKs that the run was finished */
}

static inline void run_args(const char *args)
{
    run_bytes(args, strlen(args));
}

static inline void run_script(const char *script, const char *args)
{
    static char text[65536];
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    write_file(harness.program, text, 0755);
    run_args(args);
}

static inline void expect_result(const char *expected)
{
    ck_assert_msg(harness.attempt.outcome == OUTCOME_SUCCESS, "%s: %s", harness.attempt.error_code,
                  harness.attempt.error_message);
    ck_assert_msg(harness.run.result.bytes == strlen(expected) &&
                      memcmp(harness.run.result.at, expected, harness.run.result.bytes) == 0,
                  "%.*s != %s", (int)harness.run.result.bytes, harness.run.result.at, expected);
}

static inline void expect_error(const char *code, bool retryable, const char *part)
{
    ck_assert_int_eq(harness.attempt.outcome, OUTCOME_ERROR);
    ck_assert_str_eq(harness.attempt.error_code, code);
    ck_assert_msg(strstr(harness.attempt.error_message, part) != NULL, "\"%s\" is not in \"%s\"", part,
                  harness.attempt.error_message);
    ck_assert_int_eq(harness.attempt.retryable, retryable);
    ck_assert_uint_eq(harness.run.result.bytes, 0);
}

static inline void expect_log(const char *expected)
{
    size_t bytes;
    ck_assert_str_eq(read_file(harness.log_path, &bytes), expected);
}

static inline int count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* True once the process is gone, or dead and not yet reaped by whoever inherited it. */
static inline bool dies_within(pid_t pid, int ms)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (; ms > 0; ms -= 5) {
        FILE *file = fopen(path, "re");
        if (file == NULL)
            return true;
        bool dead = fgets(line, sizeof line, file) == NULL || strstr(line, ") Z ") != NULL;
        fclose(file);
        if (dead)
            return true;
        usleep(5000);
    }
    return false;
}

#endif
