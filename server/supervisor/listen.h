/* What the supervisor takes hold of before it forks: the state folder, its lock, the listening socket. */
#ifndef FORKPOOL_LISTEN_H
#define FORKPOOL_LISTEN_H

#include "buf.h"
#include "config.h"

/* Makes the state folder (one level) and its log folders if need be and takes its lock, waiting up to 5 s for
 * an earlier life to die. The lock lives while any process of ours does: it is close-on-exec, so tasks do not
 * hold it. ERR_CONFIG with a sentence in `message`. */
enum err listen_lock_state(const struct config *config, struct buf *message) MUST_USE;

/* Binds and listens on http.listen, waiting up to 1 s for an earlier life to give the port up; logs
 * SERVER_LISTEN with the real address. ERR_CONFIG with a sentence. */
enum err listen_open(const struct config *config, int *fd, struct buf *message) MUST_USE;

#endif
