/* The probe's own parts: probe.c (the catalogue), probe_folder.c (the files), probe_config.c (tasks[]),
 * probe_plugin.c (a plugin's table, read in a process of its own). Nobody else includes this.
 */
#ifndef FORKPOOL_PROBE_PRIVATE_H
#define FORKPOOL_PROBE_PRIVATE_H

#include "probe.h"

struct probe {
    const struct config *config;
    struct catalogue *bank; /* its tasks in the order they were found, until the end */
};

/* A new task with the server's defaults, or NULL, logged: the name is not legal or the catalogue is full. */
struct task *probe_add(struct probe *probe, const char *name);
struct task *probe_find(struct probe *probe, const char *name);

/* Marks a task as broken; the first reason stays. probe_fault: why something is not listed at all. */
void probe_break(struct task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));
void probe_fault(struct probe *probe, const char *file, const char *reason);

/* Files of the tasks folder, in order of their names. */
void probe_folder(struct probe *probe);

/* The entries of tasks[]. */
void probe_config(struct probe *probe);

/* The PATH that a task will see. */
const char *probe_search(const struct task *task);

/* What a plugin holds. name has room for one character too many, so that an overlong one is noticed. */
struct found_task {
    char name[NAME_BYTES + 1], description[TASK_REASON_BYTES];
    int64_t timeout_ms, max_attempts;
};

struct found {
    char reason[TASK_REASON_BYTES]; /* "": the plugin can be used */
    uint32_t task_count;
    struct found_task tasks[TASKS_MAX];
};

/* Loads a plugin in a child, which may crash or hang. Borrowed until the next call. */
const struct found *probe_plugin(const char *path);

/* Takes kind, path and defaults from a plugin. */
void probe_set_plugin(struct task *task, const char *path, const struct found_task *found);

#endif
