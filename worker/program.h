/* Programs: whether a file can be executed, and if not, the sentence that tells a user what to do.
 *
 * Used by the probe, before a task is offered, and by a command that could not be started. Single-threaded.
 */
#ifndef FORKPOOL_PROGRAM_H
#define FORKPOOL_PROGRAM_H

#include "catalogue.h"

/* Where programs are looked for when the environment holds no PATH. */
#define PROGRAM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* True if `path` is an executable regular file of a format that can be started here, with its interpreter in
 * place; else false and the reason. `search` is the PATH that the program will see (for "#!/usr/bin/env
 * NAME"). */
bool program_check(const char *path, const char *search, char reason[TASK_REASON_BYTES]);

/* Finds a program by name in `search`, as a shell would; false if there is none. */
bool program_find(const char *name, const char *search, char path[TASK_PATH_BYTES]);

#endif
