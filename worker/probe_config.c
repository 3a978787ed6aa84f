#include "probe_private.h"

#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path of the configuration: absolute, or within the tasks folder (without one: the current folder). */
static bool resolve(const struct probe *probe, const char *text, char path[TASK_PATH_BYTES])
{
    char here[TASK_PATH_BYTES];
    const char *base = probe->bank->tasks_dir;
    if (text[0] == '/')
        return snprintf(path, TASK_PATH_BYTES, "%s", text) < TASK_PATH_BYTES;
    if (base[0] == '\0')
        base = getcwd(here, sizeof here);
    return base != NULL && snprintf(path, TASK_PATH_BYTES, "%s/%s", base, text) < TASK_PATH_BYTES;
}

static void add_vectors(struct task *task, const struct task_config *entry)
{
    enum err err = ERR_OK;
    task->argv_count = task->env_count = task->blob_bytes = 0;
    for (char **text = entry->argv; text != NULL && *text != NULL && err == ERR_OK; text++)
        err = task_add_argv(task, *text);
    for (char **text = entry->env; text != NULL && *text != NULL && err == ERR_OK; text++)
        err = task_add_env(task, *text);
    if (err != ERR_OK)
        probe_break(task, "argv and env together are longer than %d bytes", TASK_BLOB_BYTES);
}

static void use_plugin(const struct probe *probe, struct task *task, const char *text)
{
    char path[TASK_PATH_BYTES];
    if (!resolve(probe, text, path)) {
        probe_break(task, "the path of the plugin is too long");
        return;
    }
    const struct found *found = probe_plugin(path);
    task->kind = TASK_PLUGIN;
    text_copy(task->path, sizeof task->path, path, strlen(path));
    if (found->reason[0] != '\0') {
        probe_break(task, "%s", found->reason);
        return;
    }
    for (uint32_t i = 0; i < found->task_count; i++) {
        if (strcmp(found->tasks[i].name, task->name) == 0) {
            probe_set_plugin(task, path, &found->tasks[i]);
            return;
        }
    }
    probe_break(task, "%s has no task %s; its first is %s", path, task->name, found->tasks[0].name);
}

/* `path`, or else argv[0] as a shell would find it, or else argv[0] in the tasks folder. */
static void use_command(const struct probe *probe, struct task *task, const struct task_config *entry)
{
    const char *first = entry->argv != NULL ? entry->argv[0] : NULL;
    task->kind = TASK_COMMAND;
    if (entry->path == NULL && first != NULL && strchr(first, '/') == NULL &&
        program_find(first, probe_search(task), task->path))
        return;
    const char *text = entry->path != NULL ? entry->path : first;
    if (text == NULL || text[0] == '\0')
        probe_break(task, "argv is empty");
    else if (!resolve(probe, text, task->path))
        probe_break(task, "its path is too long");
    else if (entry->path == NULL && strchr(first, '/') == NULL && access(task->path, F_OK) != 0)
        probe_break(task, "%s was found neither in PATH nor in the tasks folder", first);
}

static bool ends_in_so(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 3 && strcmp(path + bytes - 3, ".so") == 0;
}

static bool names_program(const struct task_config *entry)
{
    return entry->path != NULL || entry->argv != NULL;
}

/* What is run: the file that was found in the folder, unless the entry names another. */
static void set_program(const struct probe *probe, struct task *task, const struct task_config *entry)
{
    bool plugin = entry->kind != NULL ? strcmp(entry->kind, task_kind_text(TASK_PLUGIN)) == 0
                                      : entry->path != NULL && ends_in_so(entry->path);
    if (names_program(entry) && !plugin) {
        use_command(probe, task, entry);
    } else if (entry->argv != NULL) {
        probe_break(task, "a plugin has a path, and no argv");
    } else if (entry->path != NULL) {
        use_plugin(probe, task, entry->path);
    } else if (task->path[0] == '\0') {
        probe_break(
            task,
            "no file of that name in the tasks folder, and the configuration names neither path nor argv");
    } else if (entry->kind != NULL && strcmp(entry->kind, task_kind_text((enum task_kind)task->kind)) != 0) {
        probe_break(task, "the configuration says %s, but %s is a %s", entry->kind, task->path,
                    task_kind_text((enum task_kind)task->kind));
    }
}

static void set_cwd(const struct probe *probe, struct task *task, const char *cwd)
{
    struct stat status;
    if (!resolve(probe, cwd, task->cwd))
        probe_break(task, "the path of its cwd is too long");
    else if (stat(task->cwd, &status) != 0 || !S_ISDIR(status.st_mode))
        probe_break(task, "its cwd %s is no folder", task->cwd);
}

static void set(int64_t *to, int64_t value)
{
    if (value >= 0)
        *to = value;
}

static void put_codes(struct buf *out, const char *key, const struct config_codes *codes)
{
    if (codes->count == 0)
        return;
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < codes->count; i++) {
        buf_put(out, i > 0 ? "," : "");
        buf_put_json(out, codes->items[i], strlen(codes->items[i]));
    }
    buf_put(out, "]");
}

/* Each member starts with a comma; the first one becomes the brace. */
static void set_retry_more(struct task *task, const struct task_config *entry)
{
    BUF_AUTO out = {0};
    for (size_t i = 0; i < entry->retry_intervals.count; i++) {
        buf_put(&out, i > 0 ? "," : ",\"intervals\":[");
        buf_put_seconds(&out, entry->retry_intervals.ms[i]);
    }
    buf_put(&out, entry->retry_intervals.count > 0 ? "]" : "");
    if (entry->retry_max_age_ms >= 0) {
        buf_put(&out, ",\"max_age\":");
        buf_put_seconds(&out, entry->retry_max_age_ms);
    }
    put_codes(&out, "on", &entry->retry_on);
    put_codes(&out, "never", &entry->retry_never);
    if (out.bytes == 0 && !out.failed)
        return;
    buf_add(&out, "}", 2);
    if (out.failed || out.bytes > sizeof task->retry_more) {
        probe_break(task, "its retry intervals, on and never are together longer than %d bytes",
                    RETRY_MORE_BYTES - 1);
        return;
    }
    memcpy(task->retry_more, out.data, out.bytes);
    task->retry_more[0] = '{';
}

static void set_options(struct task *task, const struct task_config *entry)
{
    if (entry->description != NULL)
        text_copy(task->description, sizeof task->description, entry->description,
                  strlen(entry->description));
    if (entry->queue[0] != '\0')
        text_copy(task->queue, sizeof task->queue, entry->queue, strlen(entry->queue));
    set(&task->timeout_ms, entry->timeout_ms);
    set(&task->kill_after_ms, entry->kill_after_ms);
    set(&task->retry.initial_ms, entry->backoff_initial_ms);
    set(&task->retry.max_ms, entry->backoff_max_ms);
    set(&task->limit_memory_bytes, entry->limit_memory_bytes);
    set(&task->limit_cpu_ms, entry->limit_cpu_ms);
    set(&task->limit_files, entry->limit_files);
    if (entry->max_attempts >= 0)
        task->retry.max_attempts = (uint32_t)entry->max_attempts;
    if (entry->backoff >= 0)
        task->retry.backoff = (uint32_t)entry->backoff;
    if (entry->jitter >= 0)
        task->retry.jitter = (uint32_t)entry->jitter;
    set_retry_more(task, entry);
}

void probe_config(struct probe *probe)
{
    for (size_t i = 0; i < probe->config->task_count; i++) {
        const struct task_config *entry = &probe->config->tasks[i];
        struct task *task = probe_find(probe, entry->name);
        if (task == NULL)
            task = probe_add(probe, entry->name);
        if (task == NULL)
            continue;
        if (names_program(entry)) /* what was wrong with the file of that name no longer matters */
            task->broken = 0, task->reason[0] = '\0';
        add_vectors(task, entry); /* before the program: its PATH decides where argv[0] is found */
        set_program(probe, task, entry);
        if (entry->cwd != NULL)
            set_cwd(probe, task, entry->cwd);
        set_options(task, entry);
    }
}
