/* What the tests of schedules in the dispatcher share: the schedule "nightly", and times that pass by being
 * written into next_ms. */
#ifndef FORKPOOL_TESTS_SCHEDULES_FIXTURE_H
#define FORKPOOL_TESTS_SCHEDULES_FIXTURE_H

#include "dispatcher_fixture.h"

#include "extras.h"

static enum err compose_err;
static int composed;
static bool compose_unique;

/* Jobs as a submit would make them. */
static inline enum err compose(void *context, struct text body, struct job **job, struct buf *why)
{
    (void)context;
    composed++;
    *job = NULL;
    ck_assert_uint_eq(body.bytes, strlen("{\"task\":\"echo\"}"));
    if (compose_err != ERR_OK) {
        buf_put(why, "there is no task \"echo\"");
        return compose_err;
    }
    *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    (*job)->spec.lane = job_lane(&(*job)->spec);
    if (compose_unique)
        (*job)->spec.flags |= JOB_FLAG_UNIQUE;
    return ERR_OK;
}

static inline void schedules_up(void)
{
    compose_err = ERR_OK;
    composed = 0;
    compose_unique = false;
    composing = (struct compose){compose, NULL};
    rig_up();
}

/* --- requests --- */

struct changed {
    struct asked asked; /* first */
    struct schedule_change change;
};

static inline void send_change(struct changed *changed, enum schedule_verb verb, const char *name,
                               const char *body)
{
    struct work *work = work_new(WORK_SCHEDULE);
    *changed = (struct changed){.asked.errand = {.kind = ERRAND_SCHEDULE, .notify = on_answer},
                                .change = {.verb = verb, .body = {body, body != NULL ? strlen(body) : 0}}};
    strcpy(changed->change.name, name);
    changed->asked.errand.schedule = &changed->change;
    work->errand = &changed->asked.errand;
    dispatcher_give(&dispatcher, work);
}

static inline enum err change(enum schedule_verb verb, const char *name, const char *body)
{
    struct changed changed;
    send_change(&changed, verb, name, body);
    TURN_UNTIL(answered(&changed.asked));
    return changed.asked.errand.err;
}

/* The one of the tests: each day at three, so never by itself while they run (unless they run then). */
static inline enum err put(const char *more)
{
    char body[256];
    snprintf(body, sizeof body, "{\"cron\":\"0 3 1 1 *\",\"timezone\":\"UTC\"%s,\"job\":{\"task\":\"echo\"}}",
             more);
    return change(SCHEDULE_PUT, "nightly", body);
}

static inline struct schedule *nightly(void)
{
    struct schedule *schedule = schedules_find(&dispatcher.timetable.in_force, "nightly");
    ck_assert_ptr_nonnull(schedule);
    return schedule;
}

/* --- time --- */

/* Seconds, each of which is a firing: now it is due, or was so long ago. */
static inline void make_due(int64_t ago_ms)
{
    struct schedule *schedule = nightly();
    BUF_AUTO why = {0};
    ok(cron_parse("* * * * * *", &schedule->cron, &why));
    schedule->next_ms = (clock_real_ms() - ago_ms) / 1000 * 1000;
    dispatcher.timetable.next_ms = 0;
}

/* … and that one alone, until it is made due again. */
static inline void once(void)
{
    struct schedule *schedule = nightly();
    BUF_AUTO why = {0};
    int64_t second = clock_real_ms() / 1000;
    char cron[64];
    /* This second of each hour: cron fires at it, and not soon again. */
    snprintf(cron, sizeof cron, "%d %d * * * *", (int)(second % 60), (int)(second / 60 % 60));
    ok(cron_parse(cron, &schedule->cron, &why));
    schedule->last_ms = 0; /* as if a second of an earlier hour had fired: tests are quick */
    schedule->next_ms = second * 1000;
    dispatcher.timetable.next_ms = 0;
}

static inline int64_t handled(void)
{
    return nightly()->made + nightly()->skipped;
}

static inline void fire_once(void)
{
    int64_t before = handled();
    once();
    TURN_UNTIL(handled() == before + 1);
}

static inline int64_t row_of(const char *column)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT %s FROM schedules WHERE name = 'nightly'", column);
    return look(sql);
}

static inline void assert_kept(void)
{
    ck_assert_int_eq(row_of("made"), nightly()->made);
    ck_assert_int_eq(row_of("skipped"), nightly()->skipped);
    ck_assert_int_eq(row_of("last_ms"), nightly()->last_ms);
    ck_assert_int_eq(row_of("next_ms"), nightly()->next_ms);
}

#endif
