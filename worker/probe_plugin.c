#include "probe_private.h"

#include "clock.h"
#include "plugin.h"
#include "title.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOAD_LIMIT_MS = 5000, LOOK_MS = 5 };

/* Shared with the child that loads. */
struct exchange {
    _Atomic uint32_t done;
    struct found found;
};

static void copy_text(char *to, size_t room, const char *from)
{
    if (from == NULL)
        from = "";
    text_copy(to, room, from, strlen(from));
}

static void read_table(const struct fp_plugin *plugin, struct found *found)
{
    for (uint32_t i = 0; i < plugin->task_count; i++) {
        const struct fp_task *task = &plugin->tasks[i];
        struct found_task *to = &found->tasks[i];
        copy_text(to->name, sizeof to->name, task->name);
        copy_text(to->description, sizeof to->description, task->description);
        to->timeout_ms = task->timeout_ms;
        to->max_attempts = task->max_attempts;
        if (task->run == NULL)
            snprintf(found->reason, sizeof found->reason, "its task %s has no function run",
                     task->name != NULL ? task->name : "?");
    }
    found->task_count = plugin->task_count;
}

_Noreturn static void loader_main(const char *path, struct exchange *exchange, int parent_pid)
{
    child_begin(parent_pid);
    setpgid(0, 0);
    const struct fp_plugin *plugin = plugin_load(path, exchange->found.reason);
    if (plugin != NULL)
        read_table(plugin, &exchange->found);
    atomic_store(&exchange->done, 1);
    _exit(EXIT_SUCCESS);
}

/* Where there are no pidfds: in a sandbox that does not know them, and under valgrind. */
static bool ends_in_time(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    for (int waited_ms = 0; info.si_pid == 0 && waited_ms < LOAD_LIMIT_MS; waited_ms += LOOK_MS) {
        clock_sleep_ms(LOOK_MS);
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    }
    return info.si_pid != 0;
}

/* True if the child ended within the limit. It is dead and reaped in any case. */
static bool wait_for(pid_t pid, int *status)
{
    int pidfd = pidfd_open(pid, 0);
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    int ready;
    do
        ready = pidfd < 0 ? ends_in_time(pid) : poll(&fd, 1, LOAD_LIMIT_MS);
    while (ready < 0 && errno == EINTR);
    if (pidfd >= 0)
        close(pidfd);
    kill(pid, SIGKILL);
    kill(-pid, SIGKILL); /* its id is ours until the wait below, and so is its group's */
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return ready > 0;
}

static void load(const char *path, struct exchange *exchange)
{
    char *reason = exchange->found.reason;
    int parent_pid = (int)getpid(), status = 0;
    pid_t pid = fork();
    if (pid == 0)
        loader_main(path, exchange, parent_pid);
    if (pid < 0) {
        snprintf(reason, TASK_REASON_BYTES, "no process to load it in: %s", strerror(errno));
        return;
    }
    bool ended = wait_for(pid, &status);
    if (atomic_load(&exchange->done) != 0)
        return;
    if (!ended)
        snprintf(reason, TASK_REASON_BYTES, "it did not load within %d s", LOAD_LIMIT_MS / 1000);
    else if (WIFSIGNALED(status))
        snprintf(reason, TASK_REASON_BYTES, "it crashed while it was loaded: SIG%s (%d)",
                 sigabbrev_np(WTERMSIG(status)) != NULL ? sigabbrev_np(WTERMSIG(status)) : "?",
                 WTERMSIG(status));
    else
        snprintf(reason, TASK_REASON_BYTES, "it ended its process while it was loaded, with exit status %d",
                 WEXITSTATUS(status));
}

const struct found *probe_plugin(const char *path)
{
    static struct exchange *exchange;
    static const struct found no_memory = {.reason = "no memory to load it in"};
    if (exchange == NULL) {
        void *at = mmap(NULL, sizeof *exchange, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return &no_memory;
        exchange = at;
    }
    memset(exchange, 0, sizeof *exchange);
    load(path, exchange);
    /* Foreign code has had its hands on this. */
    exchange->found.reason[TASK_REASON_BYTES - 1] = '\0';
    if (exchange->found.task_count > TASKS_MAX)
        exchange->found.task_count = TASKS_MAX;
    for (uint32_t i = 0; i < exchange->found.task_count; i++) {
        exchange->found.tasks[i].name[NAME_BYTES] = '\0';
        exchange->found.tasks[i].description[TASK_REASON_BYTES - 1] = '\0';
    }
    return &exchange->found;
}

void probe_set_plugin(struct task *task, const char *path, const struct found_task *found)
{
    enum { ATTEMPTS_MAX = 1000 }; /* as jobs.max_attempts */
    task->kind = TASK_PLUGIN;
    text_copy(task->path, sizeof task->path, path, strlen(path));
    text_copy(task->description, sizeof task->description, found->description, strlen(found->description));
    if (found->timeout_ms > 0)
        task->timeout_ms = found->timeout_ms;
    if (found->max_attempts > 0)
        task->retry.max_attempts =
            (uint32_t)(found->max_attempts < ATTEMPTS_MAX ? found->max_attempts : ATTEMPTS_MAX);
}
