/* A worker: one preforked process that runs one job at a time.
 *
 *     wait for a hint ─▶ scan the rings, 9 to 0 ─▶ claim ─▶ run ─▶ result into slot or tray ─▶ DONE ─▶ post
 *
 * Never opens the store, never listens, has one thread. SIGTERM: finish the current job, then end. When it
 * has served long enough by the limits of its pool it says so on its board, goes on, and ends between two
 * jobs once a replacement is offered.
 */
#ifndef FORKPOOL_WORKER_H
#define FORKPOOL_WORKER_H

#include "worker_setup.h"

_Noreturn void worker_main(const struct worker_setup *setup);

#endif
