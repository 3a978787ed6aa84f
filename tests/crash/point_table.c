/* Prints the table of crash points, one a line, with tabs: name, process, row of the failure matrix, what it
 * says. In the order in which they are counted. */
#include "crash_point.h"

#include <stdio.h>

static const char *const PROCESSES[] = {[CRASH_NOWHERE] = "",
                                        [CRASH_SUPERVISOR] = "supervisor",
                                        [CRASH_FRONT] = "front",
                                        [CRASH_WORKER] = "worker"};

static void print(const char *name, enum crash_process process, const char *row, const char *text)
{
    printf("%s\t%s\t%s\t%s\n", name, PROCESSES[process], row, text);
}

int main(void)
{
#define P(name, process, row, text) print(#name, CRASH_##process, row, text);
#define C(name, text)                                                                                        \
    print(#name "_BEFORE", CRASH_FRONT, "2, 16", "before " text);                                            \
    print(#name "_AFTER", CRASH_FRONT, "2, 16", "after " text);
    CRASH_POINTS(P)
    CRASH_CALLS(C)
    return 0;
}
