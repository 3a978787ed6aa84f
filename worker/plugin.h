/* Plugins: loading a shared object and finding its table of tasks.
 *
 * Used by a worker (kind_plugin.c) and by the probe's loaders; foreign code runs here. Loaded objects are
 * never unloaded: the process ends first.
 */
#ifndef FORKPOOL_PLUGIN_LOADER_H
#define FORKPOOL_PLUGIN_LOADER_H

#include "forkpool.h"

#include "catalogue.h"

/* Loads the object and checks its ABI and its table. NULL and a sentence if it cannot be used. */
const struct fp_plugin *plugin_load(const char *path, char reason[TASK_REASON_BYTES]);

/* NULL if it has no such task. */
const struct fp_task *plugin_find(const struct fp_plugin *plugin, const char *name);

#endif
