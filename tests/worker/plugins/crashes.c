#include "forkpool.h"

#include <stdlib.h>

__attribute__((constructor)) static void at_load(void)
{
    abort();
}

static int run(struct fp_job *job)
{
    (void)job;
    return FP_OK;
}

FP_PLUGIN({.name = "crashes", .run = run});
