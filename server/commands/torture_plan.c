/* Which jobs a run asks for. All is chosen by the load's dice. */
#include "torture_private.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS = 4, RECENT = 40, FAILS_MAX = 2, ATTEMPTS_MAX = 1000 };

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
        if (load->jobs[number].acked)
            job->after[job->after_count++] = number;
    }
}

static void choose_work(const struct load *load, struct dice *dice, struct planned *job)
{
    struct torture_order *order = &job->order;
    order->work_ms = dice_below(dice, 4);
    switch (job->kind) {
    case KIND_LONG:
        order->work_ms = dice_between(dice, 60, 400);
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
        order->work_ms = dice_between(dice, 20, 600);
        job->errand_ms = dice_between(dice, 0, 500);
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

struct planned *plan_next(struct load *load)
{
    struct planned job = {.kind = KIND_QUICK, .order = {.number = load->job_count}};
    struct dice dice = dice_of(load->instance->options->seed, load->job_count);
    if (!make_room(load))
        return NULL;
    if (!load->calm)
        job.kind = (enum torture_kind)dice_share(&dice, SHARES, KIND_COUNT);
    choose_work(load, &dice, &job);
    job.priority = dice_below(&dice, 2) == 0 ? PRIORITY_COUNT - 1 : dice_below(&dice, PRIORITY_COUNT);
    job.plugin = dice_below(&dice, COMMANDS[job.kind]) > 0 && job.order.heir_ms == 0 &&
                 load->instance->options->plugin != NULL;
    load->jobs[load->job_count] = job;
    return &load->jobs[load->job_count++];
}

static void put_after(const struct load *load, const struct planned *job, struct buf *body)
{
    for (unsigned i = 0; i < job->after_count; i++)
        buf_printf(body, "%s\"%s\"", i == 0 ? ",\"after\":[" : ",", load->jobs[job->after[i]].id);
    if (job->after_count > 0)
        buf_printf(body, "],\"after_policy\":\"%s\"", job->kind == KIND_AFTER ? "run" : "cancel");
}

static void put_seconds(struct buf *body, const char *name, unsigned ms)
{
    if (ms > 0)
        buf_printf(body, ",\"%s\":%u.%03u", name, ms / 1000, ms % 1000);
}

void plan_body(const struct load *load, unsigned number, struct buf *body)
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
    put_seconds(body, "delay", job->delay_ms);
    put_seconds(body, "timeout", job->timeout_ms);
    put_seconds(body, "expires_in", job->expires_ms);
    put_after(load, job, body);
    buf_put(body, "}");
    buf_add(body, "", 1);
}
