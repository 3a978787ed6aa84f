/* The memory of a process that is resident now. Callable from anywhere. */
#ifndef FORKPOOL_RSS_H
#define FORKPOOL_RSS_H

#include <stdint.h>

/* Bytes, or -1 if there is no such process. One file of /proc is read. */
int64_t rss_bytes(int pid);

#endif
