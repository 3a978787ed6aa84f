#include "command.h"

#include "check.h"
#include "crash_point.h"
#include "program.h"
#include "title.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { PIPE_BYTES = 65536 }; /* what a pipe holds */

/* Everything the child needs, made before the fork. */
struct launch {
    const struct run *run;
    char **argv, **env; /* owned arrays; the strings are borrowed, or below */
    size_t env_count, own_count;
    char job_id[ID_TEXT_BYTES + 24], task[NAME_BYTES + 24], attempt[40], traceparent[TRACEPARENT_BYTES + 16];
    const char *folder;    /* NULL: stay */
    int ends[COMMAND_FDS]; /* the child's; -1: none */
    int parent_pid;
};

/* Where a child says why it never came to exec: a page that it shares with us. (A pipe would do as well, and
 * cost each run five system calls.) */
static struct command_fault *start_fault;

static size_t name_bytes(const char *entry)
{
    return strcspn(entry, "=") + 1;
}

/* The first entry of a name wins: ours, then the task's, then what was inherited. */
static void env_put(struct launch *launch, char *entry)
{
    for (size_t i = 0; i < launch->own_count; i++) {
        if (strncmp(launch->env[i], entry, name_bytes(entry)) == 0)
            return;
    }
    launch->env[launch->env_count++] = entry;
}

static void env_put_own(struct launch *launch, char *entry)
{
    env_put(launch, entry);
    launch->own_count = launch->env_count;
}

/* FORKPOOL_ is the server's own configuration, with its secrets; TRACEPARENT names the server's trace, not
 * the job's. */
static bool is_private(const char *entry)
{
    return strncmp(entry, "FORKPOOL_", 9) == 0 || strncmp(entry, "TRACEPARENT=", 12) == 0;
}

static void env_fill(struct launch *launch, char **from_task)
{
    const struct job_spec *spec = launch->run->spec;
    char id[ID_TEXT_BYTES];
    static char default_path[] = "PATH=" PROGRAM_PATH, inputs[] = "FORKPOOL_JOB_INPUTS=/dev/fd/4";
    _Static_assert(COMMAND_INPUTS == 4, "as the variable says");
    id_format(spec->id, id);
    snprintf(launch->job_id, sizeof launch->job_id, "FORKPOOL_JOB_ID=%s", id);
    snprintf(launch->task, sizeof launch->task, "FORKPOOL_TASK=%s", launch->run->task->name);
    snprintf(launch->attempt, sizeof launch->attempt, "FORKPOOL_ATTEMPT=%" PRIu32,
             launch->run->attempt_number);
    snprintf(launch->traceparent, sizeof launch->traceparent, "TRACEPARENT=%s", spec->traceparent);

    env_put_own(launch, launch->job_id);
    env_put_own(launch, launch->task);
    env_put_own(launch, launch->attempt);
    if (launch->run->inputs.at != NULL)
        env_put_own(launch, inputs);
    if (spec->traceparent[0] != '\0')
        env_put_own(launch, launch->traceparent);
    for (; *from_task != NULL; from_task++)
        env_put_own(launch, *from_task);
    bool path_seen = false;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (is_private(*entry))
            continue;
        path_seen |= strncmp(*entry, "PATH=", 5) == 0;
        env_put(launch, *entry);
    }
    if (!path_seen)
        env_put(launch, default_path);
    launch->env[launch->env_count] = NULL;
}

static bool launch_init(struct launch *launch, struct run *run)
{
    const struct task *task = run->task;
    size_t inherited = 0;
    while (environ[inherited] != NULL)
        inherited++;
    *launch = (struct launch){.run = run, .ends = {-1, -1, -1, -1, -1}, .parent_pid = (int)getpid()};
    launch->argv = calloc((size_t)task->argv_count + 2, sizeof *launch->argv);
    launch->env = calloc(inherited + task->env_count + 7, sizeof *launch->env);
    char **from_task = calloc((size_t)task->env_count + 1, sizeof *from_task);
    bool made = launch->argv != NULL && launch->env != NULL && from_task != NULL;
    if (made) {
        task_vectors(task, launch->argv, from_task);
        if (task->argv_count == 0)
            launch->argv[0] = (char *)task->path; /* as in task_vectors */
        env_fill(launch, from_task);
        launch->folder = task->cwd[0] != '\0' ? task->cwd : run->tasks_dir;
        if (launch->folder != NULL && launch->folder[0] == '\0')
            launch->folder = NULL;
    } else {
        run_fail(run, ERR_TASK_START, true, "the command could not be started: %s", strerror(ENOMEM));
    }
    free(from_task);
    return made;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void launch_fini(struct launch *launch)
{
    for (int i = 0; i < COMMAND_FDS; i++)
        close_fd(&launch->ends[i]);
    free(launch->argv);
    free(launch->env);
}

/* Above the child's own descriptors, so that placing one of them never closes another. */
static bool lift(int *fd)
{
    if (*fd >= COMMAND_FDS)
        return true;
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, COMMAND_FDS);
    if (higher < 0) {
        if (errno == EINVAL) /* the limit of descriptors is no higher than that */
            errno = EMFILE;
        return false;
    }
    close(*fd);
    *fd = higher;
    return true;
}

/* *ours is made non-blocking; the child's end is not, and the two never share a file description. */
static bool open_pipe(int *ours, int *theirs, bool we_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    *ours = ends[we_write];
    *theirs = ends[!we_write];
    return lift(ours) && lift(theirs) && fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool reset_fault(void)
{
    if (start_fault == NULL) {
        void *page =
            mmap(NULL, sizeof *start_fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return false;
        start_fault = page;
    }
    *start_fault = (struct command_fault){0};
    return true;
}

static bool open_pipes(struct command *command, struct launch *launch)
{
    for (int i = 0; i < COMMAND_PIPES; i++) {
        if (!open_pipe(&command->pipes[i], &launch->ends[i], i == COMMAND_STDIN))
            return false;
    }
    /* If it may not be so large, the rest is written while the child reads. */
    if (command->run->args.bytes >= PIPE_BYTES && command->run->args.bytes < INT_MAX)
        (void)fcntl(command->pipes[COMMAND_STDIN], F_SETPIPE_SZ, (int)command->run->args.bytes + 1);
    return true;
}

static bool write_whole(int fd, struct text text)
{
    for (size_t done = 0; done < text.bytes;) {
        ssize_t written = pwrite(fd, text.at + done, text.bytes - done, (off_t)done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        done += (size_t)written;
    }
    return true;
}

/* A file in memory that nobody can change any more, read from its start; of this attempt alone. */
static bool open_inputs(struct launch *launch)
{
    struct text inputs = launch->run->inputs;
    int *fd = &launch->ends[COMMAND_INPUTS];
    if (inputs.at == NULL)
        return true;
    *fd = memfd_create("forkpool-inputs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return *fd >= 0 && write_whole(*fd, inputs) &&
           fcntl(*fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 && lift(fd);
}

/* ---- in the child, in our memory: async-signal-safe calls only, no write but to shared words ---- */

static enum command_stage child_prepare(const struct launch *launch)
{
    struct board *board = launch->run->board;
    int32_t self = (int32_t)getpid();
    if (setpgid(0, 0) != 0)
        return STAGE_GROUP;
    CRASH_POINT(CHILD_BORN);
    atomic_store(launch->run->box_group, self);
    atomic_store(&board->group, self);
    CRASH_POINT(CHILD_GROUPED);
    /* K1: a full fence. The supervisor first moves the run to SIGNALLING and then reads the group; here it is
     * the other way round: so either it sees the group and signals it, or we see that we are to stop. */
    atomic_thread_fence(memory_order_seq_cst);
    if (board_stopping(board))
        kill(getpid(), SIGTERM); /* not raise: libc still takes us for our parent's thread */

    if (launch->folder != NULL && chdir(launch->folder) != 0)
        return STAGE_FOLDER;
    int count = launch->ends[COMMAND_INPUTS] >= 0 ? COMMAND_FDS : COMMAND_PIPES;
    for (int i = 0; i < count; i++) {
        if (dup2(launch->ends[i], i) < 0)
            return STAGE_PIPES;
    }
    /* Ours are close-on-exec already; a plugin that ran here before may have been less careful. */
    close_range((unsigned)count, ~0U, CLOSE_RANGE_CLOEXEC);
    errno = limits_apply(launch->run->task);
    return errno == 0 ? STAGE_EXEC : STAGE_LIMITS;
}

_Noreturn static void child_main(const struct launch *launch)
{
    child_begin(launch->parent_pid);
    enum command_stage stage = child_prepare(launch);
    if (stage == STAGE_EXEC)
        execve(launch->run->task->path, launch->argv, launch->env);
    *start_fault = (struct command_fault){.stage = (int32_t)stage, .number = errno};
    _exit(127);
}

/* vfork: in a worker with all its libraries a fork costs half as much again as the whole rest (measured: 830
 * us from start to reap of `true`, against 575, and 545 for a bare posix_spawn). What makes it safe: all
 * signals are blocked until the child has our handlers off; the child never returns from child_main; we sleep
 * until it is in exec. */
static pid_t start(const struct launch *launch)
{
    sigset_t all, kept;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &kept);
    pid_t pid = vfork();
    if (pid == 0)
        child_main(launch);
    sigprocmask(SIG_SETMASK, &kept, NULL);
    return pid;
}

/* ---- in the worker ---- */

bool command_spawn(struct command *command)
{
    struct launch launch;
    bool started = false;
    if (launch_init(&launch, command->run)) {
        if (!reset_fault() || !open_pipes(command, &launch)) {
            run_fail(command->run, ERR_TASK_START, true, "the command could not be started: no pipes: %s",
                     strerror(errno));
        } else if (!open_inputs(&launch)) {
            run_fail(command->run, ERR_TASK_START, true,
                     "the command could not be started: its inputs (%zu bytes) found no place: %s",
                     command->run->inputs.bytes, strerror(errno));
        } else {
            command_feed(command);
            command->pid = start(&launch);
            started = command->pid > 0;
            if (!started)
                run_fail(command->run, ERR_TASK_START, true, "the command could not be started: vfork: %s",
                         strerror(errno));
        }
    }
    launch_fini(&launch);
    if (started)
        command->pidfd = pidfd_open(command->pid, 0);
    CRASH_POINT(CHILD_STARTED);
    if (started && command->pidfd < 0) {
        run_fail(command->run, ERR_TASK_START, true, "the command could not be started: pidfd_open: %s",
                 strerror(errno));
        kill(command->pid, SIGKILL);
    }
    return started;
}

static void fail_exec(struct command *command, int number)
{
    const struct task *task = command->run->task;
    char reason[TASK_REASON_BYTES];
    const char *search = getenv("PATH");
    bool fine = program_check(task->path, search != NULL ? search : PROGRAM_PATH, reason);
    if (!fine)
        run_fail(command->run, ERR_TASK_START, true, "%s", reason);
    else if (number == ENOENT)
        run_fail(command->run, ERR_TASK_START, true, "%s: the loader or interpreter it needs does not exist",
                 task->path);
    else if (number == EACCES)
        run_fail(command->run, ERR_TASK_START, true,
                 "%s may not be executed: look at its folders' permissions and for the mount option noexec",
                 task->path);
    else if (number == ENOEXEC)
        run_fail(command->run, ERR_TASK_START, true, "%s is no program for this machine, and has no #! line",
                 task->path);
    else
        run_fail(command->run, ERR_TASK_START, true, "%s could not be executed: %s", task->path,
                 strerror(number));
}

bool command_start_failed(struct command *command)
{
    struct command_fault fault = *start_fault;
    if (fault.number == 0)
        return false;
    const struct task *task = command->run->task;
    switch ((enum command_stage)fault.stage) {
    case STAGE_FOLDER:
        run_fail(command->run, ERR_TASK_START, true, "the working folder %s cannot be entered: %s",
                 task->cwd[0] != '\0' ? task->cwd : command->run->tasks_dir, strerror(fault.number));
        break;
    case STAGE_LIMITS:
        run_fail(command->run, ERR_TASK_START, true, "the task's limits cannot be set: %s",
                 strerror(fault.number));
        break;
    case STAGE_EXEC:
        fail_exec(command, fault.number);
        break;
    case STAGE_GROUP:
    case STAGE_PIPES:
        run_fail(command->run, ERR_TASK_START, true, "the command could not be started: %s: %s",
                 fault.stage == STAGE_GROUP ? "setpgid" : "dup2", strerror(fault.number));
        break;
    }
    return true;
}

void command_fini(struct command *command)
{
    for (int i = 0; i < COMMAND_PIPES; i++)
        close_fd(&command->pipes[i]);
    close_fd(&command->pidfd);
    task_log_close(&command->log);
}
