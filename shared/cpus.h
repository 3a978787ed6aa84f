/* A set of processors as text: "0-3,5". Callable from anywhere. */
#ifndef FORKPOOL_CPUS_H
#define FORKPOOL_CPUS_H

#include "err.h"

#include <sched.h>

/* ERR_CONFIG unless the text is a list of numbers and ranges below CPU_SETSIZE. */
enum err cpus_parse(const char *text, cpu_set_t *cpus) MUST_USE;

#endif
