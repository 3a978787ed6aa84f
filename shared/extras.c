#include "extras.h"

#include "check.h"

#include <string.h>

static const char *const MEMBERS[EXTRA_COUNT] = {
#define X(name, member) member,
    EXTRAS(X)
#undef X
};

const char *extra_member(enum extra extra)
{
    CHECK(extra < EXTRA_COUNT);
    return MEMBERS[extra];
}

static bool find_member(struct json_span object, const char *name, struct json_span *value)
{
    struct json_scan scan;
    if (object.at == NULL || json_scan(object.at, object.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return false;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        if (json_key_is(scan.members[i].key, name)) {
            *value = scan.members[i].value;
            return true;
        }
    }
    return false;
}

bool extras_find(struct text extras, enum extra extra, struct json_span *value)
{
    return find_member((struct json_span){extras.at, extras.bytes}, extra_member(extra), value);
}

/* The next element of a canonical array of numbers or plain strings: no white space, no escapes, no nesting.
 */
bool extras_may_stand(const struct job *job)
{
    struct unique_rule rule;
    if (job->spec.idempotency_key[0] != '\0')
        return true;
    return (job->spec.flags & JOB_FLAG_UNIQUE) != 0 && extras_unique(job->extras, &rule) &&
           rule.on_conflict == CONFLICT_RETURN;
}

bool extras_element(struct json_span array, size_t *at, struct json_span *element)
{
    if (*at == 0)
        *at = 1; /* behind the bracket */
    size_t from = *at, to = from;
    while (to < array.bytes && array.at[to] != ',' && array.at[to] != ']')
        to++;
    if (to == from || to >= array.bytes)
        return false;
    *element = (struct json_span){array.at + from, to - from};
    *at = to + 1;
    return true;
}

static size_t read_codes(struct json_span retry, const char *name, char codes[][ERROR_CODE_BYTES])
{
    struct json_span array, element;
    size_t at = 0, count = 0;
    if (!find_member(retry, name, &array))
        return 0;
    while (count < RETRY_CODES_MAX && extras_element(array, &at, &element))
        count += json_text(element, codes[count], ERROR_CODE_BYTES);
    return count;
}

static void read_intervals(struct json_span retry, struct retry_rules *rules)
{
    struct json_span array, element;
    size_t at = 0;
    double seconds;
    if (!find_member(retry, "intervals", &array))
        return;
    while (rules->interval_count < RETRY_INTERVALS_MAX && extras_element(array, &at, &element)) {
        if (json_number(element, &seconds) && seconds >= 0)
            rules->intervals_ms[rules->interval_count++] = (int64_t)(seconds * 1000 + 0.5);
    }
}

struct retry_rules retry_rules_read(struct json_span retry)
{
    struct retry_rules rules = {.max_age_ms = -1};
    struct json_span value;
    double seconds;
    if (retry.at == NULL)
        return rules;
    read_intervals(retry, &rules);
    if (find_member(retry, "max_age", &value) && json_number(value, &seconds) && seconds >= 0)
        rules.max_age_ms = (int64_t)(seconds * 1000 + 0.5);
    rules.on_count = read_codes(retry, "on", rules.on);
    rules.never_count = read_codes(retry, "never", rules.never);
    return rules;
}

/* --- uniqueness --- */

static const char *const ON_CONFLICT_TEXTS[CONFLICT_COUNT] = {
#define C(name, text) text,
    ON_CONFLICTS(C)
#undef C
};

const char *on_conflict_text(enum on_conflict on_conflict)
{
    CHECK(on_conflict < CONFLICT_COUNT);
    return ON_CONFLICT_TEXTS[on_conflict];
}

bool on_conflict_parse(const char *text, enum on_conflict *on_conflict)
{
    for (int i = 0; i < CONFLICT_COUNT; i++) {
        if (strcmp(text, ON_CONFLICT_TEXTS[i]) == 0) {
            *on_conflict = (enum on_conflict)i;
            return true;
        }
    }
    return false;
}

bool extras_unique(struct text extras, struct unique_rule *rule)
{
    struct json_span unique, value;
    double seconds;
    char text[16];
    *rule = (struct unique_rule){.on_conflict = CONFLICT_REJECT};
    if (!extras_find(extras, EXTRA_UNIQUE, &unique) || !find_member(unique, "key", &value) ||
        !json_text(value, rule->key, sizeof rule->key))
        return false;
    if (find_member(unique, "period", &value) && json_number(value, &seconds) && seconds > 0)
        rule->period_ms = (int64_t)(seconds * 1000 + 0.5);
    if (find_member(unique, "on_conflict", &value) && json_text(value, text, sizeof text))
        (void)on_conflict_parse(text, &rule->on_conflict);
    return true;
}

/* --- dependencies --- */

size_t extras_after(struct text extras, struct id ids[AFTER_MAX])
{
    struct json_span array, element;
    size_t at = 0, count = 0;
    char text[ID_TEXT_BYTES];
    if (!extras_find(extras, EXTRA_AFTER, &array))
        return 0;
    while (count < AFTER_MAX && extras_element(array, &at, &element)) {
        if (json_text(element, text, sizeof text) && id_parse(text, &ids[count]) == ERR_OK)
            count++;
    }
    return count;
}

void extras_rename_after(struct job *job, struct id from, struct id to)
{
    enum { BYTES = ID_TEXT_BYTES - 1 };
    struct json_span after;
    char old[ID_TEXT_BYTES], new[ID_TEXT_BYTES];
    if (!extras_find(job->extras, EXTRA_AFTER, &after))
        return;
    CHECK(job->owned[3] == job->extras.at);
    id_format(from, old);
    id_format(to, new);
    char *at = memmem(after.at, after.bytes, old, BYTES);
    if (at != NULL)
        memcpy(at, new, BYTES);
}
