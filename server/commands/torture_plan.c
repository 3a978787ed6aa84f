/* Which jobs a run asks for. All is chosen by the load's dice. */
#include "torture_private.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_MIN = 3, LINES_MAX = 30, KEYS = 4, RECENT = 40, FAILS_MAX = 2, ATTEMPTS_MAX = 1000 };

static const unsigned SHARES[] = {
#define K(name, text, share, ...) share,
    TORTURE_KINDS(K)
#undef K
};

static const unsigned COMMANDS[] = {
#define K(name, text, share, commands, ...) commands,
    TORTURE_KINDS(K)
#undef K
};

static const char *const CONFLICTS[] = {"reject", "return", "replace"};

enum { CONFLICT_COUNT = sizeof CONFLICTS / sizeof CONFLICTS[0] };

/* Of the last ones that were acknowledged; fewer if there are not so many. */
static void choose_after(const struct load *load, struct dice *dice, struct planned *job)
{
    unsigned wanted = dice_between(dice, 1, TORTURE_AFTER_MAX), number = load->job_count;
    for (unsigned i = 0; i < wanted; i++) {
        number -= number > 1 + RECENT ? dice_between(dice, 1, RECENT) : 1;
        if (number == 0 || number >= load->job_count)
            return;
        if (load->jobs[number].acked && load->jobs[number].kind != KIND_MEMORY) /* that is refused */
            job->after[job->after_count++] = number;
    }
}

static void choose_work(const struct load *load, struct dice *dice, struct planned *job)
{
    struct torture_order *order = &job->order;
    order->work_ms = dice_below(dice, 4);
    switch (job->kind) {
    case KIND_LONG:
        order->work_ms = dice_between(dice, 50, 300);
        break;
    case KIND_FLAKY:
        order->fails = dice_between(dice, 1, FAILS_MAX);
        order->heir_ms = dice_below(dice, 2) * 300;
        break;
    case KIND_HOPELESS:
        order->hopeless = 1;
        break;
    case KIND_OVERDUE:
        order->work_ms = DEAF_MS * 10;
        job->timeout_ms = dice_between(dice, 20, 200);
        break;
    case KIND_LARGE:
        order->padding = dice_between(dice, 1000, PADDING_MAX);
        break;
    case KIND_HEIR:
        order->heir_ms = dice_between(dice, 50, 400);
        break;
    case KIND_CANCELLED:
        order->work_ms = dice_between(dice, 20, 400);
        job->errand_ms = dice_between(dice, 0, 300);
        break;
    case KIND_UNIQUE:
        order->unique = dice_between(dice, 1, KEYS);
        order->work_ms = dice_below(dice, 60);
        order->heir_ms = dice_below(dice, 2) * 100;
        job->conflict = dice_below(dice, CONFLICT_COUNT);
        break;
    case KIND_AFTER:
    case KIND_DEPENDENT:
        choose_after(load, dice, job);
        break;
    case KIND_DELAYED:
        job->delay_ms = dice_between(dice, 20, 1500);
        break;
    case KIND_PERISHABLE:
        job->expires_ms = dice_between(dice, 1, 400);
        break;
    case KIND_CHANGED:
        job->delay_ms = dice_between(dice, 200, 3000);
        job->errand_ms = dice_between(dice, 0, 1000);
        job->new_priority = dice_below(dice, PRIORITY_COUNT);
        break;
    case KIND_REVIVED:
        order->hopeless = 1;
        job->errand_ms = dice_between(dice, 0, 500);
        break;
    case KIND_RERUN:
        job->errand_ms = dice_between(dice, 0, 500);
        break;
    case KIND_MEMORY:
        order->work_ms = dice_below(dice, 80);
        order->fails = dice_below(dice, 4) == 0;
        job->errand_ms = dice_between(dice, 1, 100);
        break;
    case KIND_BATCHED:
        job->lines = dice_between(dice, LINES_MIN, LINES_MAX);
        break;
    case KIND_PAUSABLE:
    case KIND_FOLLOWER:
    case KIND_QUICK:
    case KIND_WAITED:
    case KIND_COUNT:
        break;
    }
}

static bool make_room(struct load *load)
{
    if (load->job_count < load->job_room)
        return true;
    unsigned room = load->job_room * 2;
    struct planned *jobs = realloc(load->jobs, room * sizeof *jobs);
    if (jobs == NULL)
        return false;
    load->jobs = jobs;
    load->job_room = room;
    return true;
}

/* `first`: of its bulk request; 0: none. */
static struct planned *plan_job(struct load *load, struct dice *dice, enum torture_kind kind, unsigned first)
{
    struct planned job = {.kind = kind, .first = first, .order = {.number = load->job_count}};
    choose_work(load, dice, &job);
    job.priority = dice_below(dice, 2) == 0 ? PRIORITY_COUNT - 1 : dice_below(dice, PRIORITY_COUNT);
    job.plugin = dice_below(dice, COMMANDS[job.kind]) > 0 && job.order.heir_ms == 0 &&
                 load->instance->options->plugin != NULL;
    load->jobs[load->job_count] = job;
    return &load->jobs[load->job_count++];
}

struct planned *plan_next(struct load *load)
{
    struct dice dice = dice_of(load->instance->options->seed, load->job_count);
    enum torture_kind kind = KIND_QUICK;
    if (!make_room(load))
        return NULL;
    if (!load->calm)
        kind = (enum torture_kind)dice_share(&dice, SHARES, KIND_COUNT);
    return plan_job(load, &dice, kind, kind == KIND_BATCHED ? load->job_count : 0);
}

/* Every fourth waits for one that stands before it, the last one for all. */
bool plan_batch(struct load *load, unsigned first)
{
    unsigned lines = load->jobs[first].lines;
    for (unsigned i = 1; i < lines; i++) {
        struct dice dice = dice_of(load->instance->options->seed, load->job_count);
        if (!make_room(load)) {
            load->jobs[first].lines = i;
            return false;
        }
        struct planned *job = plan_job(load, &dice, i < lines - 1 ? KIND_BATCHED : KIND_FOLLOWER, first);
        job->lines = 0;
        if (job->kind == KIND_BATCHED && dice_below(&dice, 4) == 0)
            job->after[job->after_count++] = dice_between(&dice, first, first + i - 1);
    }
    return true;
}

static void put_after(const struct load *load, const struct planned *job, struct buf *body)
{
    if (job->kind == KIND_FOLLOWER)
        buf_put(body, ",\"after\":[\"@batch\"],\"after_policy\":\"run\"");
    for (unsigned i = 0; i < job->after_count; i++) {
        buf_put(body, i == 0 ? ",\"after\":[" : ",");
        if (job->first > 0)
            buf_printf(body, "\"@%u\"", job->after[i]);
        else
            buf_printf(body, "\"%s\"", load->jobs[job->after[i]].id);
    }
    if (job->after_count > 0)
        buf_printf(body, "],\"after_policy\":\"%s\"", job->kind == KIND_AFTER ? "run" : "cancel");
}

static void put_seconds(struct buf *body, const char *name, unsigned ms)
{
    if (ms > 0)
        buf_printf(body, ",\"%s\":%u.%03u", name, ms / 1000, ms % 1000);
}

static void put_job(const struct load *load, unsigned number, struct buf *body)
{
    static char args[ORDER_BYTES];
    const struct planned *job = &load->jobs[number];
    torture_order_write(&job->order, args);
    buf_printf(body,
               "{\"task\":\"%s\",\"args\":%s,\"priority\":%u,"
               "\"retry\":{\"max_attempts\":%d,\"initial\":0.02,\"max\":0.1}",
               job->plugin ? "torture_plugin" : "torture", args, job->priority,
               job->kind == KIND_OVERDUE ? 1 : ATTEMPTS_MAX);
    if (job->order.unique > 0)
        buf_printf(body, ",\"unique\":{\"key\":\"torture-%u\",\"on_conflict\":\"%s\"}", job->order.unique,
                   CONFLICTS[job->conflict]);
    if (job->kind == KIND_PAUSABLE)
        buf_put(body, ",\"queue\":\"" TORTURE_QUEUE "\"");
    if (job->kind == KIND_MEMORY)
        buf_printf(body, ",\"durability\":\"%s\"", durability_text(DURABILITY_MEMORY));
    put_seconds(body, "delay", job->delay_ms);
    put_seconds(body, "timeout", job->timeout_ms);
    put_seconds(body, "expires_in", job->expires_ms);
    put_after(load, job, body);
    if (job->first > 0)
        buf_printf(body, ",\"ref\":\"%u\"", number);
    buf_put(body, "}");
}

void plan_body(const struct load *load, unsigned number, struct buf *body)
{
    put_job(load, number, body);
    for (unsigned i = 1; i < load->jobs[number].lines; i++) {
        buf_put(body, "\n");
        put_job(load, number + i, body);
    }
    buf_add(body, "", 1);
}

void plan_schedule(const struct load *load, enum torture_schedule schedule, struct buf *body)
{
    static const unsigned WORK_MS[] = {
#define S(name, text, work_ms) work_ms,
        TORTURE_SCHEDULES(S)
#undef S
    };
    char args[ORDER_BYTES], queue[TORTURE_KEY_BYTES];
    torture_order_write(&(struct torture_order){.work_ms = WORK_MS[schedule]}, args);
    torture_schedule_name(schedule, queue);
    buf_printf(
        body,
        "{\"cron\":\"* * * * * *\",\"overlap\":\"%s\",\"job\":{\"task\":\"%s\",\"args\":%s,\"queue\":\"%s\","
        "\"retry\":{\"max_attempts\":%d,\"initial\":0.02,\"max\":0.1}}}",
        torture_schedule_texts[schedule],
        load->instance->options->plugin != NULL ? "torture_plugin" : "torture", args, queue, ATTEMPTS_MAX);
    buf_add(body, "", 1);
}
