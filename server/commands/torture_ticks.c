#include "torture_private.h"

#include "clock.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PERIOD_MS = 1000 };

bool ticks_add(struct ticks *ticks, struct tick tick)
{
    if (ticks->count == ticks->room) {
        size_t room = ticks->room == 0 ? 256 : ticks->room * 2;
        struct tick *at = realloc(ticks->at, room * sizeof *at);
        if (at == NULL)
            return false;
        ticks->at = at;
        ticks->room = room;
    }
    ticks->at[ticks->count++] = tick;
    return true;
}

void ticks_fini(struct ticks *ticks)
{
    free(ticks->at);
    *ticks = (struct ticks){0};
}

static int by_due(const void *a, const void *b)
{
    const struct tick *one = a, *two = b;
    if (one->schedule != two->schedule)
        return one->schedule < two->schedule ? -1 : 1;
    return (one->due_ms > two->due_ms) - (one->due_ms < two->due_ms);
}

/* Neighbours of one schedule. Whether the next one is made only when the last has ended, or waits for it: no
 * record of the last one stands behind the first of the next. */
static void check_pair(const struct tick *last, const struct tick *next, struct verdict *verdict)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format(next->due_ms, time);
    if (last->due_ms == next->due_ms)
        verdict_add(verdict, FAULT_SCHEDULE, "%s: two jobs for %s", torture_schedule_texts[next->schedule],
                    time);
    else if (next->first > 0 && last->last > next->first)
        verdict_add(verdict, FAULT_SCHEDULE, "%s: the job of %s began before the end of the one before it",
                    torture_schedule_texts[next->schedule], time);
}

struct counting {
    const struct ticks *ticks;
    struct verdict *verdict;
    bool seen[SCHEDULE_COUNT];
};

/* Each time between the first and the last job has become a job or is counted as skipped. */
static enum err check_count(void *context, const struct store_schedule *schedule)
{
    struct counting *counting = context;
    enum torture_schedule which = torture_schedule_of(schedule->name);
    int64_t jobs = 0, first_ms = 0, last_ms = 0;
    if (which == SCHEDULE_COUNT)
        return ERR_OK;
    counting->seen[which] = true;
    for (size_t i = 0; i < counting->ticks->count; i++) {
        const struct tick *tick = &counting->ticks->at[i];
        if (tick->schedule != which)
            continue;
        first_ms = jobs++ == 0 ? tick->due_ms : first_ms;
        last_ms = tick->due_ms;
    }
    int64_t times = jobs == 0 ? 0 : (last_ms - first_ms) / PERIOD_MS + 1;
    if (jobs != schedule->made || times > schedule->made + schedule->skipped)
        verdict_add(counting->verdict, FAULT_SCHEDULE,
                    "%s: %" PRId64 " jobs over %" PRId64 " times, it says %" PRId64 " made and %" PRId64
                    " skipped",
                    schedule->name, jobs, times, schedule->made, schedule->skipped);
    return ERR_OK;
}

enum err ticks_check(struct ticks *ticks, struct store_reader *reader, struct verdict *verdict)
{
    struct counting counting = {.ticks = ticks, .verdict = verdict};
    if (ticks->count > 0)
        qsort(ticks->at, ticks->count, sizeof *ticks->at, by_due);
    for (size_t i = 1; i < ticks->count; i++)
        if (ticks->at[i - 1].schedule == ticks->at[i].schedule)
            check_pair(&ticks->at[i - 1], &ticks->at[i], verdict);
    enum err err = store_schedules(reader, check_count, &counting);
    for (size_t i = 0; err == ERR_OK && i < ticks->count; i++)
        if (!counting.seen[ticks->at[i].schedule])
            verdict_add(verdict, FAULT_SCHEDULE, "%s: jobs of a schedule that is not there",
                        torture_schedule_texts[ticks->at[i].schedule]);
    return err;
}
