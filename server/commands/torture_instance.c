#include "torture_private.h"

#include "clock.h"
#include "rss.h"
#include "title.h"
#include "torture_attempt.h"
#include "witness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TITLE_BYTES = 256, PROC_BYTES = 96, STOP_S = 30, GONE_S = 5, FILE_BYTES = TORTURE_PATH_BYTES + 32 };

/* ------------------------------------------------------------------------------------------ preparation */

static bool complain(const char *what)
{
    fprintf(stderr, "forkpool: torture: %s: %s\n", what, strerror(errno));
    return false;
}

/* A fresh folder, or the one that is to be kept: it may be there, but must be empty. */
static bool make_folder(struct instance *instance)
{
    const char *base = getenv("TMPDIR"), *keep = instance->options->keep;
    if (keep == NULL) {
        snprintf(instance->folder, sizeof instance->folder, "%s/forkpool-torture.XXXXXX",
                 base != NULL && base[0] == '/' && strlen(base) < TORTURE_PATH_BYTES / 2 ? base : "/tmp");
        return mkdtemp(instance->folder) != NULL || complain(instance->folder);
    }
    if (mkdir(keep, 0750) != 0 && (errno != EEXIST || rmdir(keep) != 0 || mkdir(keep, 0750) != 0))
        return complain(keep);
    char *real = realpath(keep, NULL);
    bool fits = real != NULL && strlen(real) < TORTURE_PATH_BYTES / 2;
    if (fits)
        snprintf(instance->folder, sizeof instance->folder, "%s", real);
    free(real);
    errno = fits ? 0 : ENAMETOOLONG;
    return fits || complain(keep);
}

/* In the folder. */
static void path_in(const struct instance *instance, const char *name, char path[FILE_BYTES])
{
    snprintf(path, FILE_BYTES, "%s/%s", instance->folder, name);
}

static bool make_inside(const struct instance *instance)
{
    static const char *const FILES[] = {"ledger", "locks"};
    char path[FILE_BYTES];
    path_in(instance, "state", path);
    if (mkdir(path, 0750) != 0)
        return complain(path);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        path_in(instance, FILES[i], path);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (fd < 0)
            return complain(path);
        close(fd);
    }
    return true;
}

/* Free now; whoever takes it in between makes the start fail. */
static bool find_port(struct instance *instance)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &bytes) == 0;
    instance->port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return found || complain("no port on 127.0.0.1");
}

static void put_quoted(FILE *file, const char *text)
{
    BUF_AUTO quoted = {0};
    buf_put_json(&quoted, text, strlen(text)); /* a JSON string is a YAML string */
    fwrite(quoted.data, 1, quoted.bytes, file);
}

/* Limits on crashes and losses are what kills would exhaust. Few slots, so that jobs also wait in the store.
 */
static bool write_configuration(const struct instance *instance)
{
    const struct torture_options *options = instance->options;
    char path[FILE_BYTES], url[TORTURE_PATH_BYTES];
    torture_store_url(instance->folder, url);
    path_in(instance, "forkpool.yaml", path);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return complain(path);
    fprintf(file, "http:\n  listen: 127.0.0.1:%u\nstore:\n  durability: %s\n  url: ", instance->port,
            durability_text(options->durability));
    put_quoted(file, url);
    fprintf(
        file,
        "\nworkers:\n  count: %u\nmemory:\n  slots: %d\nlog:\n  format: json\njobs:\n  max_crashes: 1000\n"
        "  max_lost: 1000000\n  kill_after: 200ms\ntasks:\n  - name: torture\n    argv: [",
        options->workers, TORTURE_SLOTS);
    put_quoted(file, instance->program);
    fputs(", torture-attempt]\n", file);
    if (options->plugin != NULL) {
        fputs("  - name: torture_plugin\n    kind: plugin\n    path: ", file);
        put_quoted(file, options->plugin);
        fputs("\n", file);
    }
    bool bad = ferror(file) != 0;
    return fclose(file) == 0 && !bad ? true : complain(path);
}

static bool make_store(const struct instance *instance)
{
    BUF_AUTO message = {0};
    char url[TORTURE_PATH_BYTES];
    torture_store_url(instance->folder, url);
    enum err err = witness_install(url, &message);
    if (err != ERR_OK)
        fprintf(stderr, "forkpool: torture: the store: %s. %.*s\n", err_title(err), (int)message.bytes,
                message.bytes > 0 ? message.data : "");
    return err == ERR_OK;
}

/* Without it we would find nobody to kill. */
static bool can_see_children(void)
{
    char path[PROC_BYTES];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    return access(path, R_OK) == 0 || complain(path);
}

bool instance_prepare_beside(struct instance *fresh, struct instance *other)
{
    *fresh = (struct instance){.options = other->options, .beside = other};
    memcpy(fresh->program, other->program, sizeof fresh->program);
    int bytes = snprintf(fresh->folder, sizeof fresh->folder, "%.*s/fresh", TORTURE_PATH_BYTES / 2 + 64,
                         other->folder);
    if (bytes < 0 || mkdir(fresh->folder, 0750) != 0)
        return complain(fresh->folder);
    other->beside = fresh;
    return make_inside(fresh) && find_port(fresh) && write_configuration(fresh) && make_store(fresh);
}

bool instance_prepare(struct instance *instance, const struct torture_options *options)
{
    *instance = (struct instance){.options = options};
    ssize_t bytes = readlink("/proc/self/exe", instance->program, sizeof instance->program - 1);
    if (bytes < 0)
        return complain("/proc/self/exe");
    instance->program[bytes] = '\0';
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) /* whoever outlives the supervisor becomes our child */
        return complain("PR_SET_CHILD_SUBREAPER");
    return can_see_children() && make_folder(instance) && make_inside(instance) && find_port(instance) &&
           write_configuration(instance) && make_store(instance);
}

/* ------------------------------------------------------------------------------------------ life */

/* Settings of the environment would reach the instance; TORTURE_FOLDER has to. */
static char **make_environment(const struct instance *instance)
{
    static char folder[TORTURE_PATH_BYTES + 32];
    size_t count = 0, kept = 0;
    while (environ[count] != NULL)
        count++;
    char **made = calloc(count + 2, sizeof *made);
    for (size_t i = 0; made != NULL && i < count; i++)
        if (strncmp(environ[i], "FORKPOOL_", strlen("FORKPOOL_")) != 0)
            made[kept++] = environ[i];
    snprintf(folder, sizeof folder, TORTURE_FOLDER "=%s", instance->folder);
    if (made != NULL)
        made[kept] = folder;
    return made;
}

static void become_server(const struct instance *instance, int log_fd, char **environment, pid_t parent)
{
    char config[FILE_BYTES];
    path_in(instance, "forkpool.yaml", config);
    char *argv[] = {(char *)instance->program, (char *)"serve", (char *)"--config", config, NULL};
    child_begin(parent); /* it does not outlive us */
    setsid();
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execve(instance->program, argv, environment);
    _exit(127);
}

bool instance_start(struct instance *instance)
{
    char path[FILE_BYTES];
    path_in(instance, "server.log", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    char **environment = fd < 0 ? NULL : make_environment(instance);
    pid_t parent = getpid(), pid = environment == NULL ? -1 : fork();
    if (pid == 0)
        become_server(instance, fd, environment, parent);
    if (pid < 0)
        complain(path);
    free(environment);
    if (fd >= 0)
        close(fd);
    instance->supervisor = pid > 0 ? pid : 0;
    instance->felled = false;
    instance->started_ns = clock_mono_ns();
    instance->lives += pid > 0;
    return pid > 0;
}

static void say_end(struct verdict *verdict, int status)
{
    if (WIFSIGNALED(status))
        verdict_add(verdict, FAULT_ENDED, "the supervisor ended by signal %d", WTERMSIG(status));
    else
        verdict_add(verdict, FAULT_ENDED, "the supervisor ended with status %d", WEXITSTATUS(status));
}

static void take_end(struct instance *instance, pid_t pid, int status, struct verdict *verdict)
{
    if (instance == NULL || instance->supervisor != pid)
        return;
    if (!instance->felled)
        say_end(verdict, status);
    instance->supervisor = 0;
}

bool instance_reap(struct instance *instance, struct verdict *verdict)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        take_end(instance, pid, status, verdict);
        take_end(instance->beside, pid, status, verdict);
    }
    return instance->supervisor != 0;
}

void instance_fell(struct instance *instance)
{
    if (instance->supervisor == 0)
        return;
    instance->felled = true;
    kill(instance->supervisor, SIGKILL); /* our child, not reaped yet */
}

/* Children of ours that are no supervisor. */
static size_t orphans(const struct instance *instance)
{
    struct process own[PROCESSES_MAX];
    size_t found = 0, count = instance_children(getpid(), own, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++)
        found += own[i].pid != instance->supervisor &&
                 (instance->beside == NULL || own[i].pid != instance->beside->supervisor);
    return found;
}

void instance_stop(struct instance *instance, struct verdict *verdict)
{
    int status = 0;
    int64_t end_ns = clock_mono_ns() + STOP_S * NS_PER_SEC;
    if (instance->supervisor == 0)
        return;
    kill(instance->supervisor, SIGTERM);
    while (instance->supervisor != 0 && clock_mono_ns() < end_ns) {
        if (waitpid(instance->supervisor, &status, WNOHANG) == instance->supervisor)
            instance->supervisor = 0;
        else
            clock_sleep_ms(5);
    }
    if (instance->supervisor != 0)
        verdict_add(verdict, FAULT_ENDED, "it did not end within %d s of SIGTERM", STOP_S);
    else if (status != 0)
        say_end(verdict, status);
    instance_fell(instance);
    for (end_ns = clock_mono_ns() + GONE_S * NS_PER_SEC; orphans(instance) > 0 && clock_mono_ns() < end_ns;
         clock_sleep_ms(5))
        (void)instance_reap(instance, verdict);
    if (orphans(instance) > 0)
        verdict_add(verdict, FAULT_LEFT, "a process has outlived the server by %d s", GONE_S);
}

/* ------------------------------------------------------------------------------------------ processes */

static FILE *open_proc(pid_t pid, const char *name)
{
    char path[PROC_BYTES];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* The whole file, NUL bytes as blanks; "" if there is none. */
static void read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    FILE *file = open_proc(pid, name);
    size_t bytes = file == NULL ? 0 : fread(text, 1, room - 1, file);
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[bytes] = '\0';
    if (file != NULL)
        fclose(file);
}

static enum role role_of(pid_t pid)
{
    char title[TITLE_BYTES];
    read_proc(pid, "cmdline", title, sizeof title);
    if (strncmp(title, "forkpool: worker", strlen("forkpool: worker")) == 0)
        return ROLE_WORKER;
    return strncmp(title, "forkpool: front", strlen("forkpool: front")) == 0 ? ROLE_FRONT : ROLE_OTHER;
}

/* 0: it is gone. */
static pid_t parent_of(pid_t pid)
{
    char text[1024];
    int parent;
    read_proc(pid, "stat", text, sizeof text);
    const char *end = strrchr(text, ')');
    return end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

size_t instance_children(pid_t parent, struct process *children, size_t room)
{
    char name[32];
    int pid;
    size_t count = 0;
    snprintf(name, sizeof name, "task/%d/children", (int)parent);
    FILE *file = parent <= 0 ? NULL : open_proc(parent, name);
    while (file != NULL && count < room && fscanf(file, "%d", &pid) == 1)
        children[count++] = (struct process){pid, role_of(pid)};
    if (file != NULL)
        fclose(file);
    return count;
}

bool instance_signal(pid_t pid, pid_t parent, enum role role, int number, int *pidfd)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return false;
    /* Looked at after the descriptor was had, so it is this process that is signalled, and no later one. */
    bool sent =
        parent_of(pid) == parent && role_of(pid) == role && pidfd_send_signal(fd, number, NULL, 0) == 0;
    if (sent && pidfd != NULL)
        *pidfd = fd;
    else
        close(fd);
    return sent;
}

unsigned instance_workers(const struct instance *instance)
{
    struct process children[PROCESSES_MAX];
    unsigned workers = 0;
    size_t count = instance_children(instance->supervisor, children, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++)
        workers += children[i].role == ROLE_WORKER;
    return workers;
}

size_t instance_strays(const struct instance *instance)
{
    struct process children[PROCESSES_MAX], inner[1];
    size_t strays = orphans(instance),
           count = instance_children(instance->supervisor, children, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++)
        strays += children[i].role == ROLE_OTHER || instance_children(children[i].pid, inner, 1) > 0;
    return strays;
}

/* Of a process, and of its children that it has reaped. */
static int64_t ticks_of(pid_t pid)
{
    char text[1024];
    long long user, system, dead_user, dead_system;
    read_proc(pid, "stat", text, sizeof text);
    const char *end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %lld %lld",
                              &user, &system, &dead_user, &dead_system) != 4)
        return 0;
    return user + system + dead_user + dead_system;
}

int64_t instance_ticks(const struct instance *instance)
{
    struct process children[PROCESSES_MAX], inner[PROCESSES_MAX];
    int64_t ticks = ticks_of(instance->supervisor);
    size_t count = instance_children(instance->supervisor, children, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        ticks += ticks_of(children[i].pid);
        size_t commands = instance_children(children[i].pid, inner, PROCESSES_MAX);
        for (size_t j = 0; j < commands; j++)
            ticks += ticks_of(inner[j].pid);
    }
    return ticks;
}

static int count_fds(pid_t pid)
{
    char path[PROC_BYTES];
    int count = -2; /* . and .. */
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* Resident pages that are no shared memory and no file's. */
static int64_t own_bytes(pid_t pid)
{
    char text[128];
    long long all = 0, shared = 0;
    read_proc(pid, "statm", text, sizeof text);
    return sscanf(text, "%*d %lld %lld", &all, &shared) == 2 ? (all - shared) * sysconf(_SC_PAGESIZE) : -1;
}

void instance_look(const struct instance *instance, struct holding *holding)
{
    struct process children[PROCESSES_MAX];
    size_t count = instance_children(instance->supervisor, children, PROCESSES_MAX);
    *holding = (struct holding){.supervisor_fds = count_fds(instance->supervisor),
                                .supervisor_rss = rss_bytes(instance->supervisor)};
    for (size_t i = 0; i < count; i++) {
        int64_t rss = rss_bytes(children[i].pid);
        if (children[i].role == ROLE_FRONT) {
            holding->front_fds = count_fds(children[i].pid);
            holding->front_rss = rss;
            holding->front_own = own_bytes(children[i].pid);
        } else if (children[i].role == ROLE_WORKER && rss > holding->worker_rss) {
            holding->worker_rss = rss;
        }
    }
}

/* ------------------------------------------------------------------------------------------ the end */

/* Files first, then the folder; what lies there was made by us. */
static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner)
            continue;
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

void instance_remove(const struct instance *instance)
{
    remove_tree(instance->folder);
}
