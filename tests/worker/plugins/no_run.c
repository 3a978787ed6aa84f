#include "forkpool.h"

FP_PLUGIN({.name = "no_run"});
