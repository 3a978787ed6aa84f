/* The probe: a short-lived process that finds the tasks and writes the catalogue, so that foreign code is
 * loaded neither by the supervisor nor by the front.
 *
 * Forked by the supervisor; writes into the bank of `epoch`; exits 0 (written), or 1 with a log line and the
 * earlier catalogue stays. A task that cannot be used is listed as broken, with the sentence a user needs.
 */
#ifndef FORKPOOL_PROBE_H
#define FORKPOOL_PROBE_H

#include "catalogue.h"
#include "config.h"

/* Reads config->tasks_dir and config->tasks. Sources, in order: files of the folder (NAME.so: a plugin, its
 * tasks; any other executable regular file: a command named after the file without its extension; dot files
 * and others are passed over), then tasks[], which overrides by name or adds. Two files with one name: the
 * second in order is listed as broken under its whole file name. Relative paths in tasks[] lie in the tasks
 * folder; an argv[0] without a slash is looked for in PATH first. A missing folder is logged and gives an
 * empty catalogue. A plugin is loaded in a child of the probe: a crash, or 5 s without an end, breaks that
 * one task only. */
enum err probe_tasks(const struct config *config, uint32_t epoch, struct catalogue *bank) MUST_USE;

/* The whole process: title, death signal, probe_tasks, _exit. */
_Noreturn void probe_main(const struct config *config, const struct segment *segment, uint32_t epoch);

#endif
