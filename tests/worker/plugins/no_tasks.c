#include "forkpool.h"

FP_EXPORT const struct fp_plugin fp_plugin = {FP_ABI, 0, NULL};
