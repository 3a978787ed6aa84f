/* A command while it runs: one child process and the pipes to its descriptors 0 to 3; its inputs, if there
 * are any, are a file at descriptor 4.
 *
 *     command_spawn(command)      fork, the pipes, exec
 *     command_pump(command)       until the child has exited
 *     board_finish, kill the rest of the group, command_drain, wait4, and until the rest is gone
 *                                 in kind_command.c
 *     command_fini(command)
 *
 * Private to kind_command.c, command_spawn.c and command_pump.c.
 */
#ifndef FORKPOOL_COMMAND_H
#define FORKPOOL_COMMAND_H

#include "kind.h"

#include "buf.h"

#include <sys/types.h>

/* The child's descriptors: arguments in, result out, log, progress; and the inputs, which are no pipe. */
enum {
    COMMAND_STDIN,
    COMMAND_STDOUT,
    COMMAND_STDERR,
    COMMAND_PROGRESS,
    COMMAND_PIPES,
    COMMAND_INPUTS = COMMAND_PIPES,
    COMMAND_FDS
};

/* So much beyond max_result is read and counted, to say how large the result would have been; at more its
 * standard output is closed. */
enum { COMMAND_LINE_BYTES = 4096, COMMAND_TAIL_BYTES = 1024, COMMAND_FLOOD_BYTES = 64 << 20 };

/* How far the child came before exec, and errno there; number 0: it came through. */
enum command_stage { STAGE_GROUP, STAGE_FOLDER, STAGE_PIPES, STAGE_LIMITS, STAGE_EXEC };
struct command_fault {
    int32_t stage, number;
};

struct command {
    struct run *run;
    pid_t pid;
    int pidfd;
    int pipes[COMMAND_PIPES]; /* our ends, non-blocking; -1: closed */

    size_t args_sent;     /* of the arguments and the newline behind them */
    struct buf *output;   /* stdout, up to max_result and a newline */
    int64_t output_bytes; /* stdout, all of it */
    struct task_log log;
    char tail[COMMAND_TAIL_BYTES]; /* the end of stderr */
    size_t tail_bytes;
    char line[COMMAND_LINE_BYTES]; /* an unfinished line of progress */
    size_t line_bytes;
    bool line_too_long; /* skip to its end */
    double progress;    /* the last value */
};

/* Starts the child. False: there is none, and the run has failed. True with pidfd -1: there is one, but it
 * cannot be watched; it was killed, is to be reaped, and the run has failed. */
bool command_spawn(struct command *command);

/* After the child's exit: true if it never came to exec; then the run has failed. */
bool command_start_failed(struct command *command);

bool command_flooded(const struct command *command);

/* Whether somebody else still holds one of the child's pipes: a process that it left behind. */
bool command_has_heirs(const struct command *command);

/* Writes as much of the arguments and a newline as the pipe takes. Called first before there is a child: what
 * fits is there whole, so whoever kills the worker in between leaves no child that reads a part of it, or
 * nothing, and takes that for the end. */
void command_feed(struct command *command);

/* Moves bytes until the child has exited; then what was left in the pipes, without waiting for other holders.
 */
void command_pump(struct command *command);
void command_drain(struct command *command);

/* Closes what is open. */
void command_fini(struct command *command);

#endif
