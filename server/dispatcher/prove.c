/* What is wrong with the job of a schedule: looked for before it is due, since nothing but this server has
 * looked at the job that the file gives; and said once a minute, since a schedule may fire each second. */
#include "dispatcher.h"

#include "clock.h"
#include "log.h"

#include <string.h>

bool prove_is_passing(enum err err)
{
    return err == ERR_STARTING || err == ERR_NO_MEMORY || err == ERR_DRAINING;
}

enum err prove_make(struct dispatcher *dispatcher, const struct schedule *schedule, struct job **job,
                    struct buf *why)
{
    const struct compose *compose = &dispatcher->compose;
    enum err err = compose->make(compose->context, schedule->definition.job, job, why);
    const char *clash = err == ERR_OK ? schedule_clash(schedule->definition.overlap, *job) : NULL;
    if (clash == NULL)
        return err;
    buf_put(why, clash);
    job_free(*job);
    *job = NULL;
    return ERR_INVALID_FIELD;
}

/* --- saying it --- */

/* The one for this reason; else the one that was said longest ago becomes it. */
static struct complaint *find_complaint(struct schedule *schedule, enum err err)
{
    struct complaint *oldest = &schedule->complaints[0];
    for (size_t i = 0; i < SCHEDULE_COMPLAINTS; i++) {
        struct complaint *at = &schedule->complaints[i];
        if (at->err == err)
            return at;
        if (at->said_ns < oldest->said_ns)
            oldest = at;
    }
    *oldest = (struct complaint){.err = err};
    return oldest;
}

static void complain(struct schedule *schedule, enum err err)
{
    struct complaint *complaint = find_complaint(schedule, err);
    int64_t now_ns = clock_mono_ns();
    if (complaint->said_ns != 0 && now_ns - complaint->said_ns < COMPLAIN_AGAIN_MS * NS_PER_MS) {
        complaint->unsaid++;
        return;
    }
    LOG(SCHEDULE_FAIL, LOG_TEXT("schedule", schedule->name), LOG_TEXT("code", err_code(err)),
        LOG_TEXT("reason", schedule->error), LOG_INT("unsaid", complaint->unsaid));
    complaint->said_ns = now_ns;
    complaint->unsaid = 0;
}

void prove_failed(struct schedule *schedule, enum err err, int64_t now_ms, const struct buf *why)
{
    const char *text = why->failed || why->bytes == 0 ? err_title(err) : why->data;
    schedule_fail(schedule, now_ms, text, text == why->data ? why->bytes : strlen(text));
    complain(schedule, err);
}

/* --- before it is due --- */

static void prove(struct dispatcher *dispatcher, struct schedule *schedule, int64_t now_ms)
{
    BUF_AUTO why = {0};
    JOB_AUTO job = NULL;
    enum err err = prove_make(dispatcher, schedule, &job, &why);
    if (prove_is_passing(err))
        return;
    schedule->proven = true;
    if (err == ERR_OK) {
        if (schedule->doubted) /* mended meanwhile */
            schedule->error_ms = 0;
        schedule->doubted = false;
        return;
    }
    prove_failed(schedule, err, now_ms, &why);
    schedule->doubted = true;
}

void prove_ask(struct dispatcher *dispatcher)
{
    struct timetable *timetable = &dispatcher->timetable;
    if (!timetable->unproven || clock_mono_ns() < timetable->prove_ns)
        return;
    int64_t now_ms = clock_real_ms();
    timetable->unproven = timetable->unsettled || timetable->changing;
    for (struct schedule *at = timetable->in_force.first; at != NULL; at = at->next) {
        if (!at->from_file || at->proven)
            continue;
        if (!at->busy)
            prove(dispatcher, at, now_ms);
        timetable->unproven = timetable->unproven || !at->proven;
    }
}

void prove_after_reload(struct dispatcher *dispatcher)
{
    dispatcher->timetable.unproven = true;
    dispatcher->timetable.prove_ns = clock_mono_ns() + CATALOGUE_WAIT_MS * NS_PER_MS;
}

void prove_again(struct dispatcher *dispatcher)
{
    struct timetable *timetable = &dispatcher->timetable;
    timetable->unproven = true;
    timetable->prove_ns = 0;
    for (struct schedule *at = timetable->in_force.first; at != NULL; at = at->next) {
        at->proven = false;
        memset(at->complaints, 0, sizeof at->complaints);
    }
}
