/* Process titles and what every child does first.
 *
 * title_init moves the environment and the strings that argv points to off the argument area (call once,
 * first thing in main); title_set writes "forkpool: worker default/0" where ps and /proc/PID/cmdline look.
 * Before title_init it does nothing.
 */
#ifndef FORKPOOL_TITLE_H
#define FORKPOOL_TITLE_H

#include "err.h"

enum err title_init(int argc, char **argv) MUST_USE;
/* What top -H and /proc/PID/task/TID/comm show of the thread that calls; at most 15 characters. */
void title_thread(const char *name);
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* In a child: SIGKILL when the parent dies, checked against a parent that died in between (then _exit);
 * default signal dispositions, nothing blocked. Async-signal-safe. */
void child_begin(int parent_pid);

#endif
