/* What the tests that kill at each instruction share: a child under ptrace, made to run so many instructions
 * and then killed; and what must be true of the jobs afterwards. */
#ifndef FORKPOOL_TESTS_STEP_FIXTURE_H
#define FORKPOOL_TESTS_STEP_FIXTURE_H

#include "server/dispatcher_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { RIVAL = 2 }; /* the worker that the tests are by hand */

enum { FEW_SLOTS = 8, WATCHED_BYTES = 4096 };

static uint32_t stride = 1;                  /* killed at each so-many-th instruction */
static bool by_change;                       /* … of those that changed shared memory */
static bool by_marks;                        /* each of them, by the way of step_marks.h */
static int only;                             /* this walk; 0: all */
static uint64_t kills, steps, path, changes; /* path, changes: of the last one that came to its end */

/* [--changes] [--stride N]; --marks and --only N for who has them */
static inline void read_options(int argc, char **argv, bool have_marks)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--changes") == 0) {
            by_change = true;
        } else if (have_marks && strcmp(argv[i], "--marks") == 0) {
            by_marks = true;
        } else if (have_marks && strcmp(argv[i], "--only") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            only = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--stride") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            stride = (uint32_t)atoi(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--changes] [--stride N]%s\n", argv[0],
                    have_marks ? " or --marks" : "");
            exit(EXIT_FAILURE);
        }
    }
}

static inline void print_path(const char *name)
{
    printf("%s: %llu instructions", name, (unsigned long long)path);
    if (by_change)
        printf(", %llu of them change shared memory", (unsigned long long)changes);
    printf("; killed %llu times, after %llu steps in all\n", (unsigned long long)kills,
           (unsigned long long)steps);
    fflush(stdout);
}

/* Both on one processor: a step is two switches between them. */
static inline void stay_on_one_cpu(void)
{
    cpu_set_t set;
    int cpu = sched_getcpu();
    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &set);
    (void)!sched_setaffinity(0, sizeof set, &set);
}

/* --- what the child changes --- */

/* Header, boards, slots and rings; the beginnings of the arena and of the trays. */
static uint8_t *seen;

static inline bool compare(const void *memory, size_t bytes, size_t *at)
{
    bool changed = memcmp(seen + *at, memory, bytes) != 0;
    if (changed)
        memcpy(seen + *at, memory, bytes);
    *at += bytes;
    return changed;
}

static inline bool memory_changed(void)
{
    const uint8_t *begin = (const uint8_t *)segment.header, *end = (const uint8_t *)segment.catalogues;
    size_t bytes = (size_t)(end - begin), at = 0;
    if (seen == NULL)
        seen = calloc(1, bytes + (1 + WORKER_COUNT) * WATCHED_BYTES);
    ck_assert_ptr_nonnull(seen);
    bool changed = compare(begin, bytes, &at);
    changed |= compare(segment.arena, WATCHED_BYTES, &at);
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        changed |= compare(segment_tray(&segment, i), WATCHED_BYTES, &at);
    return changed;
}

/* --- the child --- */

/* In the child: from here on each of its instructions counts. */
static inline void be_stepped(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(99);
    raise(SIGSTOP);
}

/* One instruction. False: it was the last one, the child is about to exit. */
static inline bool step_once(pid_t pid)
{
    int status = 0; /* ck_assert would write twice, each time */
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid)
        ck_abort_msg("the child cannot be stepped");
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
        ck_abort_msg("the child stopped by itself: %x", (unsigned)status);
    return status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8);
}

/* So many instructions of the child (or so many that change something), then it is killed. False: it came to
 * its end before. It is to be reaped in both cases. */
static inline bool step_child(pid_t pid, uint64_t count)
{
    int status;
    uint64_t stepped = 0, counted = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "the child cannot be traced: %x", (unsigned)status);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXIT), 0);
    if (by_change)
        memory_changed();
    while (counted < count) {
        if (!step_once(pid)) {
            path = stepped;
            changes = counted;
            ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
            return false;
        }
        stepped++;
        steps++;
        counted += !by_change || memory_changed();
    }
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, NULL, NULL), 0); /* no stop before it dies */
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    kills++;
    return true;
}

/* --- the rival --- */

static uint32_t starts; /* attempts that it has begun */

/* Runs whatever it can claim. */
static inline void rival_works(void)
{
    uint64_t ticket;
    while ((ticket = claim_next(RIVAL)) != 0) {
        begin_run(RIVAL, ticket);
        starts++;
        succeed(RIVAL, ticket);
    }
}

static inline void assert_trays_empty(void)
{
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        ck_assert_uint_eq(tray_used(&segment, i), 0);
}

#endif
