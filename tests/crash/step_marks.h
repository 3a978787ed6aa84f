/* A shorter way to the n-th instruction than n steps: marks. A mark is an address that the path passes only
 * once, or so many times behind such a one; a rehearsal that is stepped from end to end finds them. A child
 * runs to a mark by breakpoints, and is stepped from there: 0 instructions behind it, 1, 2 …, until it comes
 * by the next mark. So each instruction of the path gets its turn, also where one run takes a few more or
 * less than another between two marks. */
#ifndef FORKPOOL_TESTS_STEP_MARKS_H
#define FORKPOOL_TESTS_STEP_MARKS_H

#include "step_fixture.h"

#include <errno.h>
#include <stddef.h>
#include <sys/user.h>

enum { MARK_EVERY = 24, MARKS_MAX = 4096, TRAIL_MAX = 1 << 20, MISSES_MAX = 5 };

static uint64_t trail[TRAIL_MAX]; /* of the rehearsal: where it was after each step */
static size_t trail_length;

static uint64_t addresses[TRAIL_MAX]; /* of the trail, each once, in order */
static uint32_t passes[TRAIL_MAX];    /* how often the trail comes by */
static uint32_t passed[TRAIL_MAX];    /* … since the last mark that is passed once */
static size_t address_count;

static struct mark {
    uint64_t base; /* first to this address, which is passed once; 0: no need */
    uint64_t address;
    uint32_t times;    /* then so many times to this one; 0: it is where the child begins */
    uint32_t times_on; /* it is passed so many times from the mark before this one on */
    size_t at;         /* so many steps into the rehearsal */
} marks[MARKS_MAX];
static size_t mark_count;

/* Where the next child is to be killed. */
struct place {
    size_t mark;
    uint64_t behind; /* instructions behind the mark */
    uint32_t misses; /* children in a row that did not come by the mark */
};

enum came { CAME_KILLED, CAME_TO_ITS_END, CAME_PAST };

#ifdef __x86_64__

enum { HAVE_MARKS = 1 };

static inline uint64_t where_is(pid_t pid)
{
    errno = 0;
    long address = ptrace(PTRACE_PEEKUSER, pid, (void *)offsetof(struct user, regs.rip), NULL);
    if (errno != 0)
        ck_abort_msg("its registers cannot be read");
    return (uint64_t)address;
}

static inline void set_debug_register(pid_t pid, size_t number, uint64_t value)
{
    size_t at = offsetof(struct user, u_debugreg) + number * sizeof(uint64_t);
    ck_assert_int_eq(ptrace(PTRACE_POKEUSER, pid, (void *)at, (void *)value), 0);
}

/* False: the child is about to exit, and did not come by so many times. */
static inline bool run_to(pid_t pid, uint64_t address, uint32_t times)
{
    int status = 0;
    set_debug_register(pid, 0, address);
    set_debug_register(pid, 7, 1); /* a breakpoint at what register 0 says */
    for (uint32_t i = 0; i < times && status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8); i++) {
        ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "the child stopped by itself: %x",
                      (unsigned)status);
    }
    set_debug_register(pid, 7, 0);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
        return false;
    ck_assert_uint_eq(where_is(pid), address);
    return true;
}

#else

enum { HAVE_MARKS = 0 };

static inline uint64_t where_is(pid_t pid)
{
    (void)pid;
    return 0;
}

static inline bool run_to(pid_t pid, uint64_t address, uint32_t times)
{
    (void)pid, (void)address, (void)times;
    return false;
}

#endif

/* --- the rehearsal --- */

static inline int compare_addresses(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static inline size_t number_of(uint64_t address)
{
    const uint64_t *found = bsearch(&address, addresses, address_count, sizeof address, compare_addresses);
    ck_assert_ptr_nonnull(found);
    return (size_t)(found - addresses);
}

static inline void count_addresses(void)
{
    memcpy(addresses, trail, trail_length * sizeof trail[0]);
    qsort(addresses, trail_length, sizeof addresses[0], compare_addresses);
    address_count = 0;
    for (size_t i = 0; i < trail_length; i++) {
        if (address_count == 0 || addresses[address_count - 1] != addresses[i]) {
            addresses[address_count] = addresses[i];
            passes[address_count++] = 0;
        }
        passes[address_count - 1]++;
    }
}

static inline void add_mark(struct mark mark)
{
    for (size_t i = marks[mark_count - 1].at; i < mark.at; i++)
        mark.times_on += trail[i] == mark.address;
    marks[mark_count++] = mark;
}

/* One each MARK_EVERY instructions: of as many as there are, what costs the fewest stops. */
static inline void set_marks(void)
{
    struct mark best = {0};
    uint64_t base = 0;
    count_addresses();
    memset(passed, 0, sizeof passed);
    marks[0] = (struct mark){0};
    mark_count = 1;
    for (size_t i = 0; i < trail_length && mark_count < MARKS_MAX; i++) {
        size_t number = number_of(trail[i]), behind = i + 1 - marks[mark_count - 1].at;
        bool once = passes[number] == 1;
        uint32_t times = once ? 1 : ++passed[number];
        if (behind > MARK_EVERY && (best.times == 0 || times < best.times || once))
            best = (struct mark){once ? 0 : base, trail[i], times, 0, i + 1};
        if (best.times == 1 || (best.times > 0 && behind >= 2 * (size_t)MARK_EVERY)) {
            add_mark(best);
            if (best.base == 0 && passes[number_of(best.address)] == 1) {
                base = best.address;
                memset(passed, 0, sizeof passed);
            }
            best = (struct mark){0};
        }
    }
}

static inline void begin_tracing(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSTOPPED(status), "the child cannot be traced: %x", (unsigned)status);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXIT), 0);
}

/* To the end of the child, which is to be reaped afterwards. */
static inline void rehearse_child(pid_t pid)
{
    begin_tracing(pid);
    for (trail_length = 0; step_once(pid); trail[trail_length++] = where_is(pid))
        ck_assert_uint_lt(trail_length, TRAIL_MAX);
    path = trail_length;
    ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    set_marks();
}

/* --- a walk --- */

/* It is of no use: the one before it serves for its instructions, too. */
static inline void forget_mark(size_t number)
{
    struct mark *mark = &marks[number];
    mark_count--;
    memmove(mark, mark + 1, (mark_count - number) * sizeof marks[0]);
    mark->times_on = 0;
    for (size_t i = marks[number - 1].at; number < mark_count && i < mark->at; i++)
        mark->times_on += trail[i] == mark->address;
}

static inline void forget_this_mark(struct place *place)
{
    size_t at = marks[place->mark].at;
    forget_mark(place->mark);
    *place = (struct place){.mark = place->mark - 1, .behind = at - marks[place->mark - 1].at};
}

/* The next one should have been passed by now: this run goes another way. */
static inline bool is_late(const struct place *place)
{
    const struct mark *mark = &marks[place->mark];
    return place->mark + 1 < mark_count && place->behind > 2 * (mark[1].at - mark[0].at) + MARK_EVERY;
}

static inline enum came child_ended(pid_t pid, struct place *place, bool at_the_mark)
{
    ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    if (at_the_mark && place->mark + 1 == mark_count)
        return CAME_TO_ITS_END;
    if (at_the_mark) /* it went another way to its end: on to what the others do */
        *place = (struct place){.mark = place->mark + 1};
    else if (++place->misses == MISSES_MAX)
        forget_this_mark(place);
    return CAME_PAST;
}

/* To that place and killed there; the place is then the next one. Unless it was killed, the child has done
 * all that it had to do. It is to be reaped in each case. */
static inline enum came kill_at_place(pid_t pid, struct place *place)
{
    begin_tracing(pid);
    while (is_late(place))
        forget_mark(place->mark + 1);
    const struct mark *mark = &marks[place->mark], *next = mark + 1;
    if (mark->times > 0 &&
        ((mark->base != 0 && !run_to(pid, mark->base, 1)) || !run_to(pid, mark->address, mark->times)))
        return child_ended(pid, place, false);
    uint32_t times = place->mark + 1 < mark_count ? next->times_on : UINT32_MAX;
    for (uint64_t i = 0; i < place->behind; i++) {
        if (!step_once(pid))
            return child_ended(pid, place, true);
        steps++;
        if (times != UINT32_MAX && where_is(pid) == next->address && --times == 0)
            *place = (struct place){.mark = place->mark + 1};
    }
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, NULL, NULL), 0); /* no stop before it dies */
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    kills++;
    place->behind++;
    place->misses = 0;
    return CAME_KILLED;
}

#endif
