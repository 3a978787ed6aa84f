#include "filter.h"

#include "check.h"
#include "clock.h"
#include "nearest.h"

#include <string.h>

const char *const filter_texts[FILTER_COUNT] = {
#define F(name, text, right) text,
    FILTERS(F)
#undef F
};

static const char *const RIGHTS[FILTER_COUNT] = {
#define F(name, text, right) right,
    FILTERS(F)
#undef F
};

struct filter filter_all(void)
{
    return (struct filter){
        .stored = {.created_after_ms = -1, .created_before_ms = -1, .before_key = INT64_MAX}};
}

/* ---------------------------------------------------------------------------------------------------------
 * reading */

static bool take_state(struct filter *filter, const char *text)
{
    struct store_filter *stored = &filter->stored;
    stored->by_state = job_state_parse(text, &stored->state);
    filter->running = stored->by_state && stored->state == JOB_RUNNING;
    return stored->by_state;
}

static bool take_name(char name[NAME_BYTES], const char *text)
{
    if (!job_name_ok(text))
        return false;
    text_copy(name, NAME_BYTES, text, strlen(text));
    return true;
}

static bool take_tag(char tag[TAG_BYTES], const char *text)
{
    if (!tag_ok(text))
        return false;
    text_copy(tag, TAG_BYTES, text, strlen(text));
    return true;
}

static bool take_text(char out[FILTER_BYTES], const char *text)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes >= FILTER_BYTES)
        return false;
    memcpy(out, text, bytes + 1);
    return true;
}

static bool take(struct filter *filter, enum filter_member member, const char *text)
{
    struct store_filter *stored = &filter->stored;
    switch (member) {
    case FILTER_STATE:
        return take_state(filter, text);
    case FILTER_TASK:
        return take_name(stored->task, text);
    case FILTER_QUEUE:
        return take_name(stored->queue, text);
    case FILTER_TAG:
        return take_tag(stored->tag, text);
    case FILTER_BATCH:
        return id_parse(text, &stored->batch) == ERR_OK;
    case FILTER_CREATED_AFTER:
        return clock_parse(text, &stored->created_after_ms) == ERR_OK;
    case FILTER_CREATED_BEFORE:
        return clock_parse(text, &stored->created_before_ms) == ERR_OK;
    case FILTER_Q:
        return take_text(stored->text, text);
    case FILTER_COUNT:
        break;
    }
    CHECK_NEVER("a member of a filter");
}

/* A state that was meant, or NULL. */
static const char *near_state(const char *text)
{
    static const char *const STATES[] = {
#define S(name, text, terminal, number) text,
        JOB_STATES(S)
#undef S
    };
    return nearest_name(text, STATES, sizeof STATES / sizeof STATES[0]);
}

bool filter_take(struct filter *filter, enum filter_member member, const char *text, enum problem_place place,
                 const char *where, struct problem *problem)
{
    if (take(filter, member, text))
        return true;
    enum err err = place == PLACE_POINTER ? ERR_INVALID_FIELD : ERR_INVALID_PARAMETER;
    const char *near = member == FILTER_STATE ? near_state(text) : NULL;
    int days;
    if ((member == FILTER_CREATED_AFTER || member == FILTER_CREATED_BEFORE) && clock_no_such_day(text, &days))
        problem_add(problem, err, place, where,
                    "%s is \"%.64s\", but must be a day that there is: that month has %d",
                    filter_texts[member], text, days);
    else if (member == FILTER_Q)
        problem_add(problem, err, place, where, "q has %zu bytes, but must have 1 to %d", strlen(text),
                    FILTER_BYTES - 1);
    else
        problem_add(problem, err, place, where, "%s is \"%.64s\"%s%s%s, but must be %s", filter_texts[member],
                    text, near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                    near != NULL ? "?)" : "", RIGHTS[member]);
    return false;
}

void filter_refuse(enum filter_member member, struct json_span value, const char *where,
                   struct problem *problem)
{
    enum { SHOWN_BYTES = 48 };
    int shown = (int)(value.bytes > SHOWN_BYTES ? SHOWN_BYTES : value.bytes);
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, where, "%s is %.*s%s, but must be %s",
                filter_texts[member], shown, value.at, value.bytes > SHOWN_BYTES ? "…" : "", RIGHTS[member]);
}

/* ---------------------------------------------------------------------------------------------------------
 * asking */

static bool is_zero(struct id id)
{
    return id_equal(id, (struct id){0});
}

bool filter_fits(const struct filter *filter, const struct job *job)
{
    const struct store_filter *stored = &filter->stored;
    const struct job_spec *spec = &job->spec;
    return (stored->task[0] == '\0' || strcmp(stored->task, spec->task) == 0) &&
           (stored->queue[0] == '\0' || strcmp(stored->queue, spec->queue) == 0) &&
           (stored->created_after_ms < 0 || spec->created_ms > stored->created_after_ms) &&
           (stored->created_before_ms < 0 || spec->created_ms < stored->created_before_ms) &&
           (stored->tag[0] == '\0' || tags_hold(job->tags, stored->tag)) &&
           (is_zero(stored->batch) || id_equal(stored->batch, spec->batch)) &&
           store_text_is(stored->text, spec->id, spec->task, job->attempt.error_message);
}

bool filter_restricts(const struct filter *filter, int64_t now_ms)
{
    const struct store_filter *stored = &filter->stored;
    return stored->by_state || stored->task[0] != '\0' || stored->queue[0] != '\0' ||
           stored->tag[0] != '\0' || stored->text[0] != '\0' || !is_zero(stored->batch) ||
           stored->created_after_ms > 0 ||
           (stored->created_before_ms >= 0 && stored->created_before_ms <= now_ms);
}
