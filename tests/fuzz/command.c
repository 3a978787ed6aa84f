/* What a command writes: its standard output as the result, standard error as the log and as a hint, and
 * progress on descriptor 3. The input is a series of pieces: which pipe, how many bytes, the bytes.
 *
 *     byte 0: exit status and max_result    then for each piece: the pipe (1 to 3), its length (2 bytes),
 * bytes
 */
#include "kind_command.c" /* for what it makes of the output */

#include "codec.h"
#include "fuzz.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

enum { PIPE_BYTES = 1 << 16 };

static struct board board;
static struct slot slot;
static struct task task;
static struct job_spec spec;
static _Atomic int32_t box_group;

static void check_slot(void)
{
    const struct attempt *attempt = &slot.attempt;
    HOLDS(attempt->progress == -1 || (attempt->progress >= 0 && attempt->progress <= 1), "progress %g",
          attempt->progress);
    HOLDS(memchr(attempt->progress_message, '\0', MESSAGE_BYTES) != NULL, "the message has no end");
    holds_utf8("the message", attempt->progress_message);
    HOLDS(atomic_load(&slot.progress_version) % 2 == 0, "progress is being written for ever");
}

static void check_result(const struct run *run)
{
    const struct attempt *attempt = run->attempt;
    struct buf out = {0};
    codec_attempt(&out, attempt);
    holds_json("an attempt", out.data, out.bytes);
    buf_fini(&out);
    HOLDS(attempt->outcome == OUTCOME_SUCCESS || attempt->outcome == OUTCOME_ERROR, "no outcome");
    if (attempt->outcome == OUTCOME_SUCCESS) {
        HOLDS((int64_t)run->result.bytes <= run->max_result, "%zu bytes", run->result.bytes);
        HOLDS(json_scan(run->result.at, run->result.bytes, NULL, NULL) == ERR_OK, "no JSON: %.*s",
              (int)run->result.bytes, run->result.at);
        return;
    }
    HOLDS(run->result.bytes == 0 && attempt->error_code[0] != '\0', "an error without its code");
    HOLDS(memchr(attempt->error_message, '\0', MESSAGE_BYTES) != NULL, "the error has no end");
}

/* Into the pipe that the command's end is read from; what does not fit is not written. */
static void write_piece(struct command *command, int pipes[][2], struct input *input)
{
    int number = 1 + input_byte(input) % 3;
    size_t length = (size_t)input_byte(input) << 8 | input_byte(input);
    struct input piece = input_take(input, length);
    if (piece.bytes > 0 && write(pipes[number][1], piece.data, piece.bytes) < 0)
        HOLDS(errno == EAGAIN || errno == EPIPE, "write");
    if (input->bytes % 2 == 0)
        command_pump(command); /* it returns since the child is over; what is there is taken all the same */
}

static void open_pipes(struct command *command, int pipes[][2])
{
    for (int i = COMMAND_STDIN; i < COMMAND_PIPES; i++) {
        HOLDS(pipe2(pipes[i], O_NONBLOCK | O_CLOEXEC) == 0, "a pipe");
        int ours = i == COMMAND_STDIN ? 1 : 0;
        command->pipes[i] = pipes[i][ours];
        pipes[i][ours] = -1;
    }
}

static void close_pipes(int pipes[][2])
{
    for (int i = 0; i < COMMAND_PIPES; i++)
        for (int end = 0; end < 2; end++)
            if (pipes[i][end] >= 0)
                close(pipes[i][end]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct command command;
    struct input input = {data, bytes};
    struct attempt attempt = attempt_blank();
    int pipes[COMMAND_PIPES][2], first = input_byte(&input);
    struct run run = {.task = &task,
                      .spec = &spec,
                      .args = {"{}", 2},
                      .log_path = "/dev/null",
                      .max_result = first & 8 ? 1 << 16 : 64,
                      .max_log = 4096,
                      .board = &board,
                      .box_group = &box_group,
                      .slot = &slot,
                      .attempt = &attempt};
    log_set_level(LOG_LEVEL_COUNT);
    signal(SIGPIPE, SIG_IGN);
    slot.attempt = attempt_blank();
    buf_fini(&output);
    buf_fini(&encoded);
    command = (struct command){.run = &run, .pid = -1, .pidfd = eventfd(1, EFD_CLOEXEC), .output = &output};
    task_log_init(&command.log, run.log_path, run.max_log);
    open_pipes(&command, pipes);
    for (int pieces = 0; input.bytes > 0 && pieces < 64; pieces++)
        write_piece(&command, pipes, &input);
    command_drain(&command);
    HOLDS(command.tail_bytes <= COMMAND_TAIL_BYTES && command.line_bytes <= COMMAND_LINE_BYTES, "a buffer");
    HOLDS((int64_t)output.bytes <= run.max_result + 1 && (int64_t)output.bytes <= command.output_bytes,
          "%zu bytes of %lld", output.bytes, (long long)command.output_bytes);
    if ((first & 7) == 0)
        take_result(&command);
    else
        fail_with_hint(&command, ERR_TASK_EXIT, true, "exit status");
    check_slot();
    check_result(&run);
    close(command.pidfd);
    command.pidfd = -1;
    command_fini(&command);
    close_pipes(pipes);
    return 0;
}
