/* The marker of a failed sync: forkpool.fsync-failed, beside the store.
 *
 * After a failed fsync nobody knows which writes have reached the disk, and a second fsync that succeeds
 * proves nothing: the kernel has dropped what it could not write. So the server stops at once, and whoever
 * saw the failure leaves the marker, a few lines for people. The next start finds it, rewrites the store into
 * a new file (store_rewrite) and removes it. Any thread; the state folder's lock is held.
 */
#ifndef FORKPOOL_MARKER_H
#define FORKPOOL_MARKER_H

#include "err.h"

#include <stdbool.h>

#define MARKER_FILE "forkpool.fsync-failed"

/* Says in the log and in the file what was being done and which errno it met. On a disk that fails the file
 * may not come to be: the log says that, too. */
void marker_leave(const char *store_path, const char *operation, int number);
bool marker_found(const char *store_path);
/* ERR_SYSTEM, logged. */
enum err marker_remove(const char *store_path) MUST_USE;

#endif
