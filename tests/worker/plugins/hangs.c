#include "forkpool.h"

#include <unistd.h>

__attribute__((constructor)) static void at_load(void)
{
    for (;;)
        pause();
}

FP_PLUGIN({.name = "hangs"});
