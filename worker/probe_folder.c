#include "probe_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool ends_in(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes > end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* The file's name up to its last dot; one that is too long stays too long to be a name. */
static void strip_extension(const char *file, char name[NAME_BYTES + 1])
{
    const char *dot = strrchr(file, '.');
    size_t bytes = dot != NULL && dot != file ? (size_t)(dot - file) : strlen(file);
    snprintf(name, NAME_BYTES + 1, "%.*s", (int)bytes, file);
}

/* A name that two files claim stays with the first; the second is listed under its whole file name. */
static struct task *add_file(struct probe *probe, const char *name, const char *file)
{
    const struct task *first = probe_find(probe, name);
    if (first == NULL)
        return probe_add(probe, name);
    const char *first_file = strrchr(first->path, '/') != NULL ? strrchr(first->path, '/') + 1 : first->path;
    char reason[TASK_REASON_BYTES];
    snprintf(reason, sizeof reason,
             "the task %.63s is already defined by %.100s: rename one of the two files", name, first_file);
    struct task *second = probe_find(probe, file) == NULL ? probe_add(probe, file) : NULL;
    if (second != NULL)
        probe_break(second, "%s", reason);
    else
        probe_fault(probe, file, reason);
    return NULL;
}

static void add_plugin(struct probe *probe, const char *path, const char *file)
{
    char name[NAME_BYTES + 1];
    const struct found *found = probe_plugin(path);
    for (uint32_t i = 0; found->reason[0] == '\0' && i < found->task_count; i++) {
        struct task *task = add_file(probe, found->tasks[i].name, file);
        if (task != NULL)
            probe_set_plugin(task, path, &found->tasks[i]);
    }
    if (found->reason[0] == '\0')
        return;
    strip_extension(file, name);
    struct task *task = add_file(probe, name, file);
    if (task != NULL) {
        task->kind = TASK_PLUGIN;
        text_copy(task->path, sizeof task->path, path, strlen(path));
        probe_break(task, "%s", found->reason);
    }
}

static bool starts_as_script(const char *path)
{
    char head[2] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool script = fd >= 0 && read(fd, head, 2) == 2 && memcmp(head, "#!", 2) == 0;
    if (fd >= 0)
        close(fd);
    return script;
}

static void add_command(struct probe *probe, const char *path, const char *file)
{
    /* A script without the x bit was probably meant to be a task; any other file without it was not. */
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0 && !starts_as_script(path))
        return;
    char name[NAME_BYTES + 1];
    strip_extension(file, name);
    struct task *task = add_file(probe, name, file);
    if (task != NULL) {
        task->kind = TASK_COMMAND;
        text_copy(task->path, sizeof task->path, path, strlen(path));
    }
}

static void add_entry(struct probe *probe, const char *file)
{
    char path[2 * TASK_PATH_BYTES];
    struct stat status;
    int bytes = snprintf(path, sizeof path, "%s/%s", probe->bank->tasks_dir, file);
    if (bytes >= TASK_PATH_BYTES)
        probe_fault(probe, file, "its path is longer than 511 bytes");
    else if (stat(path, &status) != 0)
        probe_fault(probe, path, errno == ENOENT ? "it is a link to nothing" : strerror(errno));
    else if (S_ISREG(status.st_mode) && ends_in(file, ".so"))
        add_plugin(probe, path, file);
    else if (S_ISREG(status.st_mode))
        add_command(probe, path, file);
}

static const char *reason_of(int number)
{
    switch (number) {
    case ENOENT:
        return "there is no such folder: make it, or set tasks_dir, and reload (SIGHUP)";
    case ENOTDIR:
        return "it is no folder; tasks_dir names one";
    case EACCES:
        return "the server's user may not read this folder";
    default:
        return strerror(number);
    }
}

/* The folder as an absolute path; "" and a log line if it cannot be used. */
static void resolve_folder(struct probe *probe)
{
    const char *folder = probe->config->tasks_dir;
    char *path = probe->bank->tasks_dir;
    char *real = realpath(folder, NULL);
    path[0] = '\0';
    if (real == NULL)
        probe_fault(probe, folder, reason_of(errno));
    else if (strlen(real) >= TASK_PATH_BYTES)
        probe_fault(probe, folder, "tasks_dir: the path is longer than 511 bytes");
    else
        text_copy(path, TASK_PATH_BYTES, real, strlen(real));
    free(real);
}

void probe_folder(struct probe *probe)
{
    struct dirent **entries;
    const char *folder = probe->config->tasks_dir;
    if (folder == NULL || folder[0] == '\0')
        return;
    resolve_folder(probe);
    if (probe->bank->tasks_dir[0] == '\0')
        return;
    int count = scandir(probe->bank->tasks_dir, &entries, is_visible, by_name);
    if (count < 0) {
        probe_fault(probe, probe->bank->tasks_dir, reason_of(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        add_entry(probe, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}
