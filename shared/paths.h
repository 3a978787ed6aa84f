/* Files beside the store. */
#ifndef FORKPOOL_PATHS_H
#define FORKPOOL_PATHS_H

#include "err.h"
#include "ids.h"

#include <stddef.h>
#include <stdint.h>

enum { PATH_BYTES = 1024 };

/* STATE_DIR/logs/XX/ID.ATTEMPT.log, XX the last two hex digits of the id. ERR_FULL if it does not fit. */
enum err log_path(const char *state_dir, struct id id, unsigned attempt, char path[PATH_BYTES]) MUST_USE;

/* Makes STATE_DIR/logs and its 256 folders, mode 0750. ERR_SYSTEM, logged. */
enum err log_dirs_create(const char *state_dir) MUST_USE;

/* The folder that a file lies in; "." without a slash. */
void path_folder(const char *path, char folder[PATH_BYTES]);

/* Bytes that an ordinary user may still take on the folder's disk. INT64_MAX if that cannot be told: the
 * write that fails will tell. */
int64_t path_free_bytes(const char *folder);

/* The entries of a folder survive a power loss from now on. ERR_SYSTEM, logged. */
enum err path_sync_folder(const char *folder) MUST_USE;

#endif
