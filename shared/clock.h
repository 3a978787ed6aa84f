/* Clocks and their text forms.
 *
 * Monotonic nanoseconds measure and schedule; real milliseconds since 1970 are what is stored and shown, as
 * RFC 3339 in UTC with milliseconds. Callable from anywhere.
 */
#ifndef FORKPOOL_CLOCK_H
#define FORKPOOL_CLOCK_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS  1000000LL
#define NS_PER_SEC 1000000000LL

enum { CLOCK_TEXT_BYTES = 25 }; /* "2026-11-23T06:36:00.123Z" and its NUL */

int64_t clock_mono_ns(void);
int64_t clock_real_ms(void);

/* Writes RFC 3339 text, NUL-terminated. Years 1970 to 9999. */
void clock_format(int64_t real_ms, char text[CLOCK_TEXT_BYTES]);

/* Reads RFC 3339 ("Z" or an offset; fraction optional). ERR_INVALID_PARAMETER if it is not that. */
enum err clock_parse(const char *text, int64_t *real_ms) MUST_USE;

/* The text begins with a date of a month that has not so many days; *days: how many it has. */
bool clock_no_such_day(const char *text, int *days);

/* Sleeps; returns early when a signal arrives. */
void clock_sleep_ms(int64_t ms);

#endif
