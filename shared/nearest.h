/* The known name that somebody probably meant. Callable from anywhere; allocates nothing. */
#ifndef FORKPOOL_NEAREST_H
#define FORKPOOL_NEAREST_H

#include <stddef.h>

/* The known name nearest to a wrong one by edit distance, upper and lower case being the same; NULL if none
 * is near enough (a third of the wrong one's length, at least 2) or shares no character with it. Borrowed
 * from `known`. */
const char *nearest_name(const char *wrong, const char *const *known, size_t count);

#endif
