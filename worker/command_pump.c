#include "command.h"

#include "clock.h"
#include "json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 65536, /* what a pipe holds, unless its owner asked for more */
    DRAIN_CHUNKS = 16    /* 1 MiB, the most that a pipe holds without privileges */
};

static void close_pipe(struct command *command, int number)
{
    close(command->pipes[number]);
    command->pipes[number] = -1;
}

bool command_flooded(const struct command *command)
{
    return command->output_bytes > command->run->max_result + COMMAND_FLOOD_BYTES;
}

static void take_output(struct command *command, const char *chunk, size_t bytes)
{
    struct buf *output = command->output;
    int64_t room =
        command->run->max_result + 1 - (int64_t)output->bytes; /* 1: the newline behind the result */
    buf_add(output, chunk, room < (int64_t)bytes ? (size_t)room : bytes);
    command->output_bytes += (int64_t)bytes;
    /* Nobody will see its result any more, and it may never end: it gets SIGPIPE at its next write. */
    if (command_flooded(command))
        close_pipe(command, COMMAND_STDOUT);
}

static void take_log(struct command *command, const char *chunk, size_t bytes)
{
    task_log_write(&command->log, chunk, bytes);
    size_t add = bytes < COMMAND_TAIL_BYTES ? bytes : COMMAND_TAIL_BYTES;
    size_t keep =
        COMMAND_TAIL_BYTES - add < command->tail_bytes ? COMMAND_TAIL_BYTES - add : command->tail_bytes;
    memmove(command->tail, command->tail + command->tail_bytes - keep, keep);
    memcpy(command->tail + keep, chunk + bytes - add, add);
    command->tail_bytes = keep + add;
}

/* {"progress":0.5,"message":"…"}, either may be absent; other lines are passed over. */
static void take_line(struct command *command)
{
    struct json_scan scan;
    char message[COMMAND_LINE_BYTES] = "";
    bool found = false;
    if (json_scan(command->line, command->line_bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        const struct json_member *member = &scan.members[i];
        double value;
        if ((json_key_is(member->key, "progress") || json_key_is(member->key, "value")) &&
            json_number(member->value, &value)) {
            command->progress = value > 1 ? 1 : value > 0 ? value : 0;
            found = true;
        } else if (json_key_is(member->key, "message") && json_text(member->value, message, sizeof message)) {
            found = true;
        }
    }
    if (found)
        slot_progress_write(command->run->slot, command->progress, message, strlen(message), clock_real_ms());
}

static void take_progress(struct command *command, const char *chunk, size_t bytes)
{
    while (bytes > 0) {
        const char *end = memchr(chunk, '\n', bytes);
        size_t part = end != NULL ? (size_t)(end - chunk) : bytes;
        if (part > sizeof command->line - command->line_bytes)
            command->line_too_long = true;
        if (!command->line_too_long) {
            memcpy(command->line + command->line_bytes, chunk, part);
            command->line_bytes += part;
        }
        if (end == NULL)
            return;
        if (!command->line_too_long)
            take_line(command);
        command->line_bytes = 0;
        command->line_too_long = false;
        chunk += part + 1;
        bytes -= part + 1;
    }
}

static void (*const TAKERS[COMMAND_PIPES])(struct command *, const char *, size_t) = {
    [COMMAND_STDOUT] = take_output,
    [COMMAND_STDERR] = take_log,
    [COMMAND_PROGRESS] = take_progress,
};

/* One chunk; false when there was none, now or for ever. */
static bool read_pipe(struct command *command, int number)
{
    static char chunk[CHUNK_BYTES];
    ssize_t bytes;
    do /* once the child has ended, "none now" means "none any more" */
        bytes = read(command->pipes[number], chunk, sizeof chunk);
    while (bytes < 0 && errno == EINTR);
    if (bytes > 0) {
        TAKERS[number](command, chunk, (size_t)bytes);
        return true;
    }
    if (bytes == 0 || errno != EAGAIN)
        close_pipe(command, number);
    return false;
}

/* A child that closes its end early has decided that it read enough. */
void command_feed(struct command *command)
{
    const struct text *args = &command->run->args;
    while (command->args_sent <= args->bytes) {
        struct iovec parts[2] = {
            {.iov_base = (char *)args->at + command->args_sent, .iov_len = args->bytes - command->args_sent},
            {.iov_base = (char *)"\n", .iov_len = 1}};
        ssize_t written = writev(command->pipes[COMMAND_STDIN], parts, 2);
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            break;
        command->args_sent += (size_t)written;
    }
    close_pipe(command, COMMAND_STDIN);
}

void command_pump(struct command *command)
{
    for (;;) {
        struct pollfd fds[COMMAND_PIPES + 1];
        for (int i = 0; i < COMMAND_PIPES; i++)
            fds[i] =
                (struct pollfd){.fd = command->pipes[i], .events = i == COMMAND_STDIN ? POLLOUT : POLLIN};
        fds[COMMAND_PIPES] = (struct pollfd){.fd = command->pidfd, .events = POLLIN};
        if (poll(fds, COMMAND_PIPES + 1, -1) < 0)
            continue; /* EINTR: a drain was asked for, and waits for this job */
        if (fds[COMMAND_STDIN].revents != 0)
            command_feed(command);
        for (int i = COMMAND_STDOUT; i < COMMAND_PIPES; i++) {
            if (fds[i].revents != 0)
                read_pipe(command, i);
        }
        if (fds[COMMAND_PIPES].revents != 0)
            return;
    }
}

bool command_has_heirs(const struct command *command)
{
    struct pollfd fds[COMMAND_PIPES];
    for (int i = 0; i < COMMAND_PIPES; i++)
        fds[i] = (struct pollfd){.fd = i == COMMAND_STDIN ? -1 : command->pipes[i], .events = 0};
    if (poll(fds, COMMAND_PIPES, 0) < 0)
        return false;
    for (int i = COMMAND_STDOUT; i < COMMAND_PIPES; i++) {
        if (fds[i].fd >= 0 && (fds[i].revents & POLLHUP) == 0)
            return true;
    }
    return false;
}

void command_drain(struct command *command)
{
    for (int i = COMMAND_STDOUT; i < COMMAND_PIPES; i++) {
        for (int chunks = 0; chunks < DRAIN_CHUNKS && command->pipes[i] >= 0; chunks++) {
            if (!read_pipe(command, i))
                break;
        }
    }
    if (command->line_bytes > 0 && !command->line_too_long)
        take_line(command); /* a last line without its newline */
}
