/* The bodies of PATCH: of a job, by the table of options; of a queue or a task, by the table of limits. */
#include "codec.h"
#include "codec_options.h"
#include "nearest.h"

#include <stdio.h>
#include <string.h>

/* False: the problem says why. */
static bool read_object(const struct buf *body, struct json_scan *scan, const char *example,
                        struct problem *problem)
{
    struct json_fault fault;
    if (body->bytes == 0 || json_check(body->data, body->bytes, scan, &fault) == ERR_OK) {
        if (body->bytes > 0 && scan->type == '{' && scan->member_count > 0)
            return true;
        problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "",
                    "the body must be an object that says what is to be changed");
        problem_hint(problem, "send, say, %s", example);
        return false;
    }
    codec_json_fault(problem, body->data, body->bytes, &fault);
    return false;
}

/* ----------------------------------------------------------------------------------------------------------
 * job */

static void take_members(struct options *options, const struct json_scan *scan)
{
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++) {
        enum option_name name;
        char pointer[OPTION_TEXT_BYTES];
        if (!options_find(scan->members[i].key, IN_PATCH, &name)) {
            options_unknown(options, scan->members[i].key, IN_PATCH);
            continue;
        }
        snprintf(pointer, sizeof pointer, "/%s", option_table[name].text);
        options_take(options, name, &(struct value){scan->members[i].value, PLACE_POINTER, pointer});
    }
}

static void set_times(struct options *options, struct store_patch *patch)
{
    bool delayed = options->given[OPTION_DELAY];
    if (delayed && options->given[OPTION_SCHEDULED_AT])
        options_object(options, OPTION_SCHEDULED_AT,
                       "delay and scheduled_at both say when the job is to run; send one of them");
    if (delayed)
        patch->run_at_ms = options->delay_ms > 0 ? patch->now_ms + options->delay_ms : 0;
    else if (options->given[OPTION_SCHEDULED_AT])
        patch->run_at_ms = options->scheduled_ms > patch->now_ms ? options->scheduled_ms : 0;
    patch->has_run_at = delayed || options->given[OPTION_SCHEDULED_AT];
    patch->has_expires = options->given[OPTION_EXPIRES_AT];
    patch->expires_ms = options->expires_ms;
    if (!patch->has_expires || patch->expires_ms == 0)
        return;
    if (patch->expires_ms <= patch->now_ms)
        options_object(options, OPTION_EXPIRES_AT,
                       "expires_at has passed; POST /v1/jobs/{id}/cancel ends a job that is not to run");
    else if (patch->has_run_at && patch->expires_ms <= patch->run_at_ms)
        options_object(options, OPTION_EXPIRES_AT, "the job would expire before it is to run");
}

enum err codec_patch(const struct buf *body, int64_t now_ms, struct store_patch *patch, struct buf *tags,
                     struct problem *problem)
{
    struct json_scan scan;
    JOB_AUTO job = job_new();
    struct options options = {.job = job, .problem = problem, .in = IN_PATCH};
    *patch = (struct store_patch){.now_ms = now_ms};
    if (job == NULL)
        problem_set(problem, ERR_NO_MEMORY, "Memory could not be allocated");
    else if (read_object(body, &scan, "{\"priority\":9} or {\"scheduled_at\":null}", problem))
        take_members(&options, &scan);
    if (problem->err == ERR_OK)
        set_times(&options, patch);
    if (problem->err == ERR_OK) {
        patch->has_priority = options.given[OPTION_PRIORITY];
        patch->priority = job->spec.priority;
        patch->has_tags = options.given[OPTION_TAGS];
        *tags = options.tags;
        options.tags = (struct buf){0};
        if (patch->has_tags && tags->bytes == 0)
            buf_put(tags, "[]");
        patch->tags = (struct text){tags->data, tags->bytes};
        if (tags->failed)
            problem_set(problem, ERR_NO_MEMORY, "Memory could not be allocated");
    }
    options_fini(&options);
    return problem->err;
}

/* -------------------------------------------------------------------------------------------------------
 * limits */

static bool find_limit(struct json_span key, unsigned whom, enum limit *limit)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (limit_is_for((enum limit)i, whom) && json_key_is(key, limit_member((enum limit)i))) {
            *limit = (enum limit)i;
            return true;
        }
    }
    return false;
}

static void add_unknown(struct problem *problem, struct json_span key, unsigned whom)
{
    const char *known[LIMIT_COUNT];
    size_t count = 0;
    char name[128], pointer[160];
    BUF_AUTO list = {0};
    if (!json_key(key, name, sizeof name))
        text_copy(name, sizeof name, key.at, key.bytes);
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (!limit_is_for((enum limit)i, whom))
            continue;
        buf_printf(&list, "%s%s", count > 0 ? ", " : "", limit_member((enum limit)i));
        known[count++] = limit_member((enum limit)i);
    }
    buf_add(&list, "", 1);
    snprintf(pointer, sizeof pointer, "/%s", name);
    const char *near = nearest_name(name, known, count);
    if (near != NULL)
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no limit \"%s\"; did you mean \"%s\"?", name, near);
    else
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no limit \"%s\"; a %s has %s", name, whom == FOR_QUEUE ? "queue" : "task",
                    list.failed ? "others" : list.data);
}

/* What was probably wanted, or a value that is right. */
static void hint_limit(struct problem *problem, enum limit limit, bool zero)
{
    static const char *const EXAMPLES[LIMIT_COUNT] = {[LIMIT_PAUSED] = "true",
                                                      [LIMIT_DRAINING] = "true",
                                                      [LIMIT_RATE] = "\"10/s\"",
                                                      [LIMIT_KEY_RATE] = "\"10/s\""};
    const char *example = EXAMPLES[limit] != NULL ? EXAMPLES[limit] : "10";
    if (zero && limit == LIMIT_MAX_DEPTH)
        problem_hint(problem, "to take no jobs, send {\"draining\":true}; null takes the limit back");
    else if (zero && limit == LIMIT_WEIGHT)
        problem_hint(problem,
                     "1 is the smallest share; jobs of priority 0 run only when no others of the pool can");
    else if (zero && limit != LIMIT_BURST && limit != LIMIT_KEY_BURST)
        problem_hint(problem, "to let nothing start, send {\"paused\":true}; null takes the limit back");
    else
        problem_hint(problem, "send, say, {\"%s\":%s}; null takes back what was set by request",
                     limit_member(limit), example);
}

static void refuse_limit(struct problem *problem, enum limit limit, struct json_span value)
{
    enum { SHOWN_BYTES = 48 };
    char pointer[64];
    double number;
    int shown = (int)(value.bytes > SHOWN_BYTES ? SHOWN_BYTES : value.bytes);
    snprintf(pointer, sizeof pointer, "/%s", limit_member(limit));
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, pointer, "%s is %.*s%s, but must be %s",
                limit_member(limit), shown, value.at, value.bytes > SHOWN_BYTES ? "…" : "",
                limit_right(limit));
    bool zero =
        (json_number(value, &number) && number == 0) || (value.bytes > 2 && memcmp(value.at, "\"0/", 3) == 0);
    hint_limit(problem, limit, zero);
}

enum err codec_limits(const struct buf *body, unsigned whom, struct setting *setting, struct problem *problem)
{
    struct json_scan scan;
    enum limit limit;
    setting->to = limits_none();
    if (!read_object(body, &scan, "{\"concurrency\":2}", problem))
        return problem->err;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        const struct json_member *member = &scan.members[i];
        if (!find_limit(member->key, whom, &limit))
            add_unknown(problem, member->key, whom);
        else if (!limit_read(limit, member->value, &setting->to.values[limit]))
            refuse_limit(problem, limit, member->value);
        else
            setting->given[limit] = true;
    }
    return problem->err;
}
