#include "forkpool.h"

FP_EXPORT extern const int nothing_of_ours;
const int nothing_of_ours = 1;
