/* CHECK: an assertion that holds in every build.
 *
 * A broken invariant ends the process at once, with the place: a damaged segment is never served. The
 * supervisor sees SIGABRT and starts a replacement. Callable from anywhere, also between fork and exec.
 */
#ifndef FORKPOOL_CHECK_H
#define FORKPOOL_CHECK_H

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* A place that is never reached: CHECK_NEVER("an attempt has an outcome"); */
#define CHECK_NEVER(why) check_failed(why, __FILE__, __LINE__)

/* Writes "file:line: broken invariant: what" to standard error and aborts. */
_Noreturn void check_failed(const char *what, const char *file, int line);

#endif
