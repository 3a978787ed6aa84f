/* The body of POST /v1/jobs/actions. */
#include "codec.h"
#include "codec_options.h"
#include "nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* name, text */
#define MEMBERS(M)                                                                                           \
    M(ACTION, "action")                                                                                      \
    M(IDS, "ids")                                                                                            \
    M(FILTER, "filter")                                                                                      \
    M(DRY_RUN, "dry_run")                                                                                    \
    M(CONFIRM, "confirm")

enum member {
#define M(name, text) MEMBER_##name,
    MEMBERS(M)
#undef M
        MEMBER_COUNT
};

static const char *const TEXTS[MEMBER_COUNT] = {
#define M(name, text) text,
    MEMBERS(M)
#undef M
};

struct taken {
    struct action *action;
    struct buf *ids;
    struct problem *problem;
    bool given[MEMBER_COUNT];
};

enum { POINTER_BYTES = 160 };

/* Its place among the names, or `count`: refused, with the nearest of them. */
static size_t find_member(struct json_span key, const char *const *names, size_t count, const char *base,
                          struct problem *problem)
{
    char name[128], pointer[POINTER_BYTES];
    BUF_AUTO list = {0};
    for (size_t i = 0; i < count; i++) {
        if (json_key_is(key, names[i]))
            return i;
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    buf_add(&list, "", 1);
    if (!json_key(key, name, sizeof name))
        text_copy(name, sizeof name, key.at, key.bytes);
    snprintf(pointer, sizeof pointer, "%s/%s", base, name);
    const char *near = nearest_name(name, names, count);
    if (near != NULL)
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; did you mean \"%s\"?", name, near);
    else
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; known here: %s", name, list.failed ? "others" : list.data);
    return count;
}

static void refuse(struct problem *problem, const char *pointer, struct json_span value, const char *right)
{
    enum { SHOWN_BYTES = 48 };
    int shown = (int)(value.bytes > SHOWN_BYTES ? SHOWN_BYTES : value.bytes);
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, pointer, "%s is %.*s%s, but must be %s",
                pointer + 1, shown, value.at, value.bytes > SHOWN_BYTES ? "…" : "", right);
}

/* --- members --- */

static void take_action(struct taken *taken, struct json_span value)
{
    static const enum job_request WANTED[] = {REQUEST_RETRY, REQUEST_CANCEL, REQUEST_FORGET};
    char text[16];
    for (size_t i = 0; json_text(value, text, sizeof text) && i < sizeof WANTED / sizeof WANTED[0]; i++) {
        if (strcmp(text, action_word(WANTED[i])) == 0) {
            taken->action->wanted = WANTED[i];
            return;
        }
    }
    refuse(taken->problem, "/action", value, "\"retry\", \"cancel\" or \"delete\"");
}

static bool take_id(struct taken *taken, struct json_span element, size_t number)
{
    char text[ID_TEXT_BYTES], pointer[POINTER_BYTES];
    struct id id;
    if (json_text(element, text, sizeof text) && id_parse(text, &id) == ERR_OK) {
        buf_add(taken->ids, &id, sizeof id);
        return true;
    }
    snprintf(pointer, sizeof pointer, "/ids/%zu", number);
    refuse(taken->problem, pointer, element,
           "the id of a job; one looks like 0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f");
    return false;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

/* A job that is named twice is meant once. */
static void keep_ids(struct taken *taken, size_t given)
{
    struct id *ids = (struct id *)(void *)taken->ids->data;
    size_t count = 0;
    qsort(ids, given, sizeof *ids, by_id);
    for (size_t i = 0; i < given; i++) {
        if (count == 0 || !id_equal(ids[count - 1], ids[i]))
            ids[count++] = ids[i];
    }
    taken->action->ids = ids;
    taken->action->id_count = count;
}

static void take_ids(struct taken *taken, struct json_span value)
{
    struct json_span element;
    size_t at = 0, given = 0;
    if (value.at[0] != '[') {
        refuse(taken->problem, "/ids", value, "an array of 1 to 10000 ids of jobs");
        return;
    }
    while (options_next_element(value, &at, &element)) {
        if (given < ACTION_IDS_MAX && !take_id(taken, element, given))
            return;
        given++;
    }
    if (given == 0 || given > ACTION_IDS_MAX)
        problem_add(taken->problem, ERR_INVALID_FIELD, PLACE_POINTER, "/ids",
                    "ids has %zu elements, but must have 1 to %d", given, ACTION_IDS_MAX);
    else if (taken->ids->failed)
        problem_set(taken->problem, ERR_NO_MEMORY, "Memory could not be allocated");
    else
        keep_ids(taken, given);
}

static void take_filter(struct taken *taken, struct json_span value)
{
    enum { TEXT_BYTES = 512 };
    struct json_scan scan;
    char text[TEXT_BYTES], pointer[POINTER_BYTES];
    if (value.at[0] != '{' || json_scan(value.at, value.bytes, &scan, NULL) != ERR_OK) {
        refuse(taken->problem, "/filter", value,
               "an object such as {\"state\":\"failed\",\"queue\":\"mail\"}");
        return;
    }
    taken->action->by_filter = true;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        const struct json_member *member = &scan.members[i];
        size_t found = find_member(member->key, filter_texts, FILTER_COUNT, "/filter", taken->problem);
        if (found == FILTER_COUNT)
            continue;
        snprintf(pointer, sizeof pointer, "/filter/%s", filter_texts[found]);
        if (json_text(member->value, text, sizeof text))
            (void)filter_take(&taken->action->filter, (enum filter_member)found, text, PLACE_POINTER, pointer,
                              taken->problem);
        else
            filter_refuse((enum filter_member)found, member->value, pointer, taken->problem);
    }
}

static void take_bool(struct taken *taken, enum member member, struct json_span value, bool *out)
{
    char pointer[POINTER_BYTES];
    *out = value.at[0] == 't';
    if (value.at[0] == 't' || value.at[0] == 'f')
        return;
    snprintf(pointer, sizeof pointer, "/%s", TEXTS[member]);
    refuse(taken->problem, pointer, value, "true or false");
}

static void take_member(struct taken *taken, enum member member, struct json_span value)
{
    taken->given[member] = true;
    switch (member) {
    case MEMBER_ACTION:
        take_action(taken, value);
        break;
    case MEMBER_IDS:
        take_ids(taken, value);
        break;
    case MEMBER_FILTER:
        take_filter(taken, value);
        break;
    case MEMBER_DRY_RUN:
        take_bool(taken, member, value, &taken->action->dry_run);
        break;
    case MEMBER_CONFIRM:
        take_bool(taken, member, value, &taken->action->confirm);
        break;
    case MEMBER_COUNT:
        break;
    }
}

/* --- all of it --- */

/* What is right by itself, but not together. */
static void look_at_all(struct taken *taken)
{
    const struct store_filter *stored = &taken->action->filter.stored;
    enum job_request wanted = taken->action->wanted;
    if (!taken->given[MEMBER_ACTION])
        problem_add(taken->problem, ERR_INVALID_FIELD, PLACE_POINTER, "/action",
                    "action is missing; it must be \"retry\", \"cancel\" or \"delete\"");
    if (taken->given[MEMBER_IDS] == taken->given[MEMBER_FILTER])
        problem_add(taken->problem, ERR_INVALID_FIELD, PLACE_POINTER, "",
                    taken->given[MEMBER_IDS] ? "ids and filter both say which jobs; send one of them"
                                             : "ids or filter is missing: which jobs?");
    if (taken->problem->err != ERR_OK || !stored->by_state || job_refusal(stored->state, wanted) == NULL)
        return;
    problem_add(taken->problem, ERR_INVALID_FIELD, PLACE_POINTER, "/filter/state",
                "no job that is %s can be %s", job_state_text(stored->state), job_request_participle(wanted));
    problem_hint(taken->problem, "leave the state out: then only jobs that can be %s are looked for",
                 job_request_participle(wanted));
}

static void take_body(struct taken *taken, const struct json_scan *scan)
{
    if (scan->type != '{') {
        problem_add(taken->problem, ERR_INVALID_FIELD, PLACE_POINTER, "",
                    "the body must be an object with an action and with ids or a filter");
        return;
    }
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++) {
        size_t found = find_member(scan->members[i].key, TEXTS, MEMBER_COUNT, "", taken->problem);
        if (found < MEMBER_COUNT)
            take_member(taken, (enum member)found, scan->members[i].value);
    }
    look_at_all(taken);
}

enum err codec_action(const struct buf *body, struct action *action, struct buf *ids, struct problem *problem)
{
    struct json_scan scan = {.type = 'n'};
    struct json_fault fault;
    struct taken taken = {.action = action, .ids = ids, .problem = problem};
    *action = (struct action){.filter = filter_all()};
    if (body->bytes > 0 && json_check(body->data, body->bytes, &scan, &fault) != ERR_OK)
        codec_json_fault(problem, body->data, body->bytes, &fault);
    else
        take_body(&taken, &scan);
    if (problem->err == ERR_INVALID_FIELD)
        problem_hint(problem, "send, say, {\"action\":\"retry\",\"filter\":{\"state\":\"failed\"}}");
    return problem->err;
}
