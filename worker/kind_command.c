#include "command.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EXIT_FOR_GOOD = 65,
    HINT_BYTES = 151,
    HEIRS_MS = 5000
}; /* EX_DATAERR; EX_TEMPFAIL (75) is what any other status means too */

static const char HEIRS_LINE[] =
    "forkpool: the command ended and left processes behind; those of its process group were killed\n";

/* stdout, and stdout as a JSON string; kept until the next run, for run->result points into them. */
static struct buf output, encoded;

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* The last line of stderr that is not blank: nearly always what went wrong. */
static void last_line(const struct command *command, char line[HINT_BYTES])
{
    const char *tail = command->tail;
    size_t end = command->tail_bytes;
    while (end > 0 && is_blank(tail[end - 1]))
        end--;
    size_t start = end;
    while (start > 0 && tail[start - 1] != '\n' && tail[start - 1] != '\r')
        start--;
    while (start < end && (is_blank(tail[start]) || ((unsigned char)tail[start] & 0xc0) == 0x80))
        start++; /* the tail may begin inside a character */
    text_copy(line, HINT_BYTES, tail + start, end - start);
}

static void fail_with_hint(struct command *command, enum err code, bool retryable, const char *what)
{
    char hint[HINT_BYTES];
    last_line(command, hint);
    run_fail(command->run, code, retryable, "%s%s%s", what, hint[0] != '\0' ? ": " : "", hint);
}

static void fail_by_signal(struct command *command, int number)
{
    const struct task *task = command->run->task;
    const char *name = sigabbrev_np(number);
    char what[128];
    int bytes = name != NULL ? snprintf(what, sizeof what, "ended by SIG%s (%d)", name, number)
                             : snprintf(what, sizeof what, "ended by signal %d", number);
    if (number == SIGKILL && command->run->stopped == STOP_NONE)
        snprintf(what + bytes, sizeof what - (size_t)bytes,
                 ", sent from outside, or by the kernel for want of memory");
    if (number == SIGXCPU && task->limit_cpu_ms >= 0)
        snprintf(what + bytes, sizeof what - (size_t)bytes, ", its CPU limit of %" PRId64 " s is used up",
                 (task->limit_cpu_ms + 999) / 1000);
    fail_with_hint(command, ERR_TASK_SIGNAL, true, what);
}

static void fail_too_large(struct run *run, int64_t bytes)
{
    run_fail(run, ERR_RESULT_TOO_LARGE, false,
             "the result has %" PRId64 " bytes, max_result is %" PRId64 TOO_LARGE_ADVICE, bytes,
             run->max_result);
}

static void fail_flooded(struct run *run)
{
    run_fail(run, ERR_RESULT_TOO_LARGE, false,
             "the result has more than %" PRId64 " bytes, max_result is %" PRId64
             ": standard output was closed" TOO_LARGE_ADVICE,
             run->max_result + COMMAND_FLOOD_BYTES, run->max_result);
}

/* stdout as the result: JSON as it stands, or else its text as a JSON string. */
static void take_result(struct command *command)
{
    struct run *run = command->run;
    struct json_scan scan;
    if (output.failed) {
        run_fail(run, ERR_NO_MEMORY, true, "no memory for the result");
        return;
    }
    if (command->output_bytes > run->max_result + 1) {
        fail_too_large(run, command->output_bytes);
        return;
    }
    if (output.bytes == 0) {
        run->result = (struct text){.at = "null", .bytes = 4};
    } else if (json_scan(output.data, output.bytes, &scan, NULL) == ERR_OK) {
        run->result = (struct text){.at = scan.value.at, .bytes = scan.value.bytes};
    } else {
        size_t bytes = output.bytes;
        bytes -= output.data[bytes - 1] == '\n';
        bytes -= bytes > 0 && bytes < output.bytes && output.data[bytes - 1] == '\r';
        buf_put_json(&encoded, output.data, bytes);
        run->result = (struct text){.at = encoded.data, .bytes = encoded.bytes};
    }
    if (encoded.failed)
        run_fail(run, ERR_NO_MEMORY, true, "no memory for the result");
    else if ((int64_t)run->result.bytes > run->max_result)
        fail_too_large(run, (int64_t)run->result.bytes);
    else
        run->attempt->outcome = OUTCOME_SUCCESS;
}

static void take_status(struct command *command, int status)
{
    struct attempt *attempt = command->run->attempt;
    if (command_start_failed(command))
        return;
    if (WIFSIGNALED(status)) {
        attempt->signal = WTERMSIG(status);
        if (command_flooded(command))
            fail_flooded(command->run);
        else
            fail_by_signal(command, attempt->signal);
        return;
    }
    attempt->exit_code = WEXITSTATUS(status);
    if (command_flooded(command)) {
        fail_flooded(command->run);
        return;
    }
    if (attempt->exit_code != 0) {
        char what[32];
        snprintf(what, sizeof what, "exit status %d", attempt->exit_code);
        fail_with_hint(command, ERR_TASK_EXIT, attempt->exit_code != EXIT_FOR_GOOD, what);
        return;
    }
    take_result(command);
}

static int64_t to_us(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

/* A child is charged with the peak of the process it was vforked from, too, and that is ours: only what is
 * above it is the child's own. */
static int64_t own_memory(const struct rusage *child)
{
    struct rusage own = {0};
    getrusage(RUSAGE_SELF, &own);
    return child->ru_maxrss > own.ru_maxrss ? (int64_t)child->ru_maxrss * 1024 : -1;
}

static void record_group(const struct command *command, pid_t group)
{
    atomic_store(&command->run->board->group, group);
    atomic_store(command->run->box_group, group);
}

/* One that nobody has reaped yet still counts. */
static bool group_is_gone(pid_t group)
{
    return kill(-group, 0) < 0 && errno == ESRCH;
}

/* The child is reaped, and what it left in its group has got its SIGKILL, but may take a while to end; until
 * then the job must not run again. As long as somebody is left the number of the group cannot be another's,
 * so it is on record again, for the case that we are killed meanwhile. Somebody whom the kernel keeps from
 * ending is given up. */
static void await_heirs(const struct command *command)
{
    int64_t end_ns = clock_mono_ns() + HEIRS_MS * NS_PER_MS;
    if (group_is_gone(command->pid))
        return;
    record_group(command, command->pid);
    while (!group_is_gone(command->pid) && clock_mono_ns() < end_ns)
        clock_sleep_ms(1);
    record_group(command, 0);
}

/* The child has exited and is a zombie, so its id, and that of its group, cannot be anyone else's yet. */
static int reap(struct command *command)
{
    struct run *run = command->run;
    CRASH_POINT(CHILD_ENDED);
    run->stopped = board_finish(run->board);
    bool heirs = run->stopped == STOP_NONE && command_has_heirs(command);
    kill(-command->pid, SIGKILL); /* what it left behind in its group; ESRCH if it never had one */
    CRASH_POINT(CHILD_GROUP_KILLED);
    command_drain(command);
    if (heirs)
        task_log_write(&command->log, HEIRS_LINE, sizeof HEIRS_LINE - 1);
    /* Before the wait: killed in between, we leave no group on the board whose number may be another's by
     * then. */
    record_group(command, 0);
    CRASH_POINT(CHILD_UNGROUPED);
    int status = 0;
    struct rusage usage;
    CHECK(wait4(command->pid, &status, 0, &usage) == command->pid);
    CRASH_POINT(CHILD_REAPED);
    await_heirs(command);
    run->attempt->cpu_us = to_us(usage.ru_utime) + to_us(usage.ru_stime);
    run->attempt->max_rss_bytes = own_memory(&usage);
    return status;
}

void kind_command_run(struct run *run)
{
    static struct command command;
    buf_fini(&output);
    buf_fini(&encoded);
    command = (struct command){.run = run, .pidfd = -1, .pipes = {-1, -1, -1, -1}, .output = &output};
    task_log_init(&command.log, run->log_path, run->max_log);
    if (!command_spawn(&command)) {
        run->stopped = board_finish(run->board);
    } else if (command.pidfd < 0) {
        (void)reap(&command);
    } else {
        command_pump(&command);
        take_status(&command, reap(&command));
    }
    command_fini(&command);
}
