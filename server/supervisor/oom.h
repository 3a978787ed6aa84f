/* How often the kernel's OOM killer has struck in our own cgroup: memory.events (version 2) or
 * memory.oom_control (version 1). The supervisor compares two looks to tell an OOM kill from a kill by hand.
 */
#ifndef FORKPOOL_OOM_H
#define FORKPOOL_OOM_H

#include <stdint.h>

/* 0 where neither file can be read. One open and read; the path is found at the first call. */
uint64_t oom_kills(void);

#endif
