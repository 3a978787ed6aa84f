#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *what, const char *file, int line)
{
    char text[512];
    int bytes = snprintf(text, sizeof text, "forkpool: %s:%d: broken invariant: %s\n", file, line, what);
    if (bytes > 0) {
        size_t wanted = (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1;
        if (write(STDERR_FILENO, text, wanted) < 0)
            abort();
    }
    abort();
}
