#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* What the loader says begins with the path, sometimes; with a missing library's name at other times. */
static void say_why_not(const char *path, const char *said, char *text, size_t room)
{
    size_t bytes = strlen(path);
    if (strncmp(said, path, bytes) == 0 && strncmp(said + bytes, ": ", 2) == 0)
        said += bytes + 2;
    snprintf(text, room, "%s cannot be loaded: %s", path, said);
}

const struct fp_plugin *plugin_load(const char *path, char reason[TASK_REASON_BYTES])
{
    char text[1024];
    const struct fp_plugin *plugin = NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object != NULL)
        plugin = dlsym(object, "fp_plugin");

    if (object == NULL)
        say_why_not(path, dlerror(), text, sizeof text);
    else if (plugin == NULL)
        snprintf(text, sizeof text,
                 "%s is no plugin: it exports no fp_plugin (FP_PLUGIN in forkpool.h makes it)", path);
    else if (plugin->abi == 0 || plugin->abi > FP_ABI)
        snprintf(text, sizeof text,
                 "%s was built for ABI %u of forkpool.h, this server takes 1 to %d: build it again", path,
                 plugin->abi, FP_ABI);
    else if (plugin->task_count == 0 || plugin->task_count > TASKS_MAX || plugin->tasks == NULL)
        snprintf(text, sizeof text, "%s has a table of %u tasks; 1 to %d are possible", path,
                 plugin->task_count, TASKS_MAX);
    else
        return plugin;
    text_copy(reason, TASK_REASON_BYTES, text, strlen(text));
    return NULL;
}

const struct fp_task *plugin_find(const struct fp_plugin *plugin, const char *name)
{
    for (uint32_t i = 0; i < plugin->task_count; i++) {
        if (plugin->tasks[i].name != NULL && strcmp(plugin->tasks[i].name, name) == 0)
            return &plugin->tasks[i];
    }
    return NULL;
}
