/* When a schedule is due, and which of the times that passed become jobs. */
#include "schedules.h"

#include <string.h>

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t after(const struct schedule *schedule, const struct zone *zone, int64_t after_ms)
{
    int64_t next_ms;
    return cron_next(&schedule->cron, zone, after_ms, &next_ms) ? next_ms : INT64_MAX;
}

bool schedule_zone(const struct schedule *schedule, struct zone **zone)
{
    return zone_open(schedule->definition.timezone, zone) == ERR_OK;
}

/* From the later one of where it is and last_ms (rule 1). */
static void compute(struct schedule *schedule, int64_t from_ms, int64_t now_ms)
{
    struct zone *zone;
    if (!schedule_zone(schedule, &zone))
        return;
    schedule->seen_ms = now_ms;
    schedule->next_ms = after(schedule, zone, later(from_ms, schedule->last_ms));
    zone_close(zone);
}

void schedule_begin(struct schedule *schedule, int64_t now_ms)
{
    schedule->next_ms = INT64_MAX;
    schedule->seen_ms = now_ms;
    compute(schedule, now_ms, now_ms);
}

void schedule_refresh(struct schedule *schedule, int64_t now_ms)
{
    if (schedule->next_ms > now_ms)
        compute(schedule, schedule->seen_ms < now_ms ? schedule->seen_ms : now_ms, now_ms);
}

void schedule_follow(struct schedule *schedule, const struct schedule *old, int64_t now_ms)
{
    bool same = false;
    if (old != NULL) {
        schedule->last_ms = old->last_ms;
        schedule->last_job = old->last_job;
        schedule->behind = old->behind;
        schedule->made = old->made;
        schedule->skipped = old->skipped;
        schedule->seen_ms = old->seen_ms;
        same = strcmp(schedule->definition.cron, old->definition.cron) == 0 &&
               strcmp(schedule->definition.timezone, old->definition.timezone) == 0 && !schedule_paused(old);
    }
    if (same)
        schedule->next_ms = old->next_ms;
    else
        schedule_begin(schedule, now_ms);
}

/* --- times that passed --- */

/* How many times lie in (from_ms, now_ms], counted up to `most`. */
static int64_t count(const struct schedule *schedule, const struct zone *zone, int64_t from_ms,
                     int64_t now_ms, int64_t most)
{
    int64_t found = 0;
    while (found < most && (from_ms = after(schedule, zone, from_ms)) <= now_ms)
        found++;
    return found;
}

/* From when on there are no more than `most` times up to now. */
static int64_t start_of_last(const struct schedule *schedule, const struct zone *zone, int64_t from_ms,
                             int64_t now_ms, int64_t most)
{
    if (count(schedule, zone, from_ms, now_ms, most + 1) <= most)
        return from_ms;
    int64_t many_ms = from_ms, few_ms = now_ms;
    while (few_ms - many_ms > 1) {
        int64_t middle_ms = many_ms + (few_ms - many_ms) / 2;
        if (count(schedule, zone, middle_ms, now_ms, most + 1) > most)
            many_ms = middle_ms;
        else
            few_ms = middle_ms;
    }
    return few_ms;
}

static struct schedule_plan make_up(const struct schedule *schedule, const struct zone *zone, int64_t from_ms,
                                    int64_t now_ms)
{
    int64_t most = schedule->definition.catch_up == CATCH_UP_ALL    ? SCHEDULE_CATCH_UP_MOST
                   : schedule->definition.catch_up == CATCH_UP_NONE ? schedule->refused
                                                                    : 1;
    int64_t start_ms = most == 0 ? now_ms : start_of_last(schedule, zone, from_ms, now_ms, most);
    struct schedule_plan plan = {.skipped = count(schedule, zone, from_ms, start_ms, SCHEDULE_COUNT_MOST),
                                 .next_ms = after(schedule, zone, start_ms),
                                 .late = true};
    if (plan.next_ms <= now_ms) {
        plan.due_ms = plan.next_ms;
        plan.next_ms = after(schedule, zone, plan.due_ms);
    }
    return plan;
}

/* The times are computed anew from next_ms on: by what the zone says now, there may be none any more. */
struct schedule_plan schedule_plan(const struct schedule *schedule, const struct zone *zone, int64_t now_ms)
{
    if (schedule->next_ms > now_ms)
        return (struct schedule_plan){.next_ms = schedule->next_ms};
    int64_t from_ms = later(schedule->next_ms - 1, schedule->last_ms);
    int64_t first_ms = after(schedule, zone, from_ms);
    if (first_ms > now_ms)
        return (struct schedule_plan){.next_ms = first_ms};
    int64_t second_ms = after(schedule, zone, first_ms);
    if (now_ms - first_ms > SCHEDULE_LATE_MS || second_ms <= now_ms)
        return make_up(schedule, zone, from_ms, now_ms);
    return (struct schedule_plan){.due_ms = first_ms, .next_ms = second_ms};
}
