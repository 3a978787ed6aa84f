#include "codec_options.h"

#include "check.h"
#include "clock.h"
#include "codec.h"
#include "nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_MAX = 16, SHOWN_BYTES = 48 };

const struct option option_table[OPTION_COUNT] = {
#define O(name, text, kind, least, most, where, right) {text, KIND_##kind, least, most, where, right},
    OPTIONS(O)
#undef O
};

bool options_full(const struct options *options)
{
    return options->problem->count >= FAULTS_MAX;
}

void options_refuse(struct options *options, const struct value *value, const char *name, const char *right)
{
    if (options_full(options))
        return;
    bool cut = value->span.bytes > SHOWN_BYTES;
    int shown = (int)(cut ? SHOWN_BYTES : value->span.bytes);
    enum err err = value->place == PLACE_POINTER ? ERR_INVALID_FIELD : ERR_INVALID_PARAMETER;
    problem_add(options->problem, err, value->place, value->where, "%s is %s%.*s%s, but must be %s", name,
                shown == 0 ? "empty" : "", shown, value->span.at, cut ? "…" : "", right);
}

static void add_fault(struct options *options, enum problem_place place, const char *where,
                      const char *format, va_list list)
{
    char detail[320];
    if (options_full(options))
        return;
    vsnprintf(detail, sizeof detail, format, list);
    problem_add(options->problem, place == PLACE_POINTER ? ERR_INVALID_FIELD : ERR_INVALID_PARAMETER, place,
                where, "%s", detail);
}

void options_fault(struct options *options, const struct value *value, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_fault(options, value->place, value->where, format, list);
    va_end(list);
}

void options_object(struct options *options, enum option_name name, const char *format, ...)
{
    char where[OPTION_TEXT_BYTES];
    bool query = options->in == IN_QUERY;
    va_list list;
    snprintf(where, sizeof where, "%s%s", query ? "" : "/", option_table[name].text);
    if (options->problem->count == 0)
        problem_hint(options->problem, "leave out %s, or change what it does not go with",
                     option_table[name].text);
    va_start(list, format);
    add_fault(options, query ? PLACE_PARAMETER : PLACE_POINTER, where, format, list);
    va_end(list);
}

/* --- members that nothing is called --- */

/* A pointer's segment: ~ and / are escaped (RFC 6901). */
static void put_pointer(struct buf *out, const char *prefix, const char *name)
{
    buf_put(out, prefix);
    PUT(out, "/");
    for (; *name != '\0'; name++) {
        if (*name == '~')
            PUT(out, "~0");
        else if (*name == '/')
            PUT(out, "~1");
        else
            buf_add(out, name, 1);
    }
    buf_add(out, "", 1);
}

enum { KNOWN_MAX = OPTION_COUNT + 3 };

static size_t list_known(unsigned where, const char *known[KNOWN_MAX])
{
    size_t count = 0;
    if ((where & IN_BODY) != 0) {
        known[count++] = "task";
        known[count++] = "args";
        known[count++] = "retry";
    }
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((option_table[i].where & where) != 0)
            known[count++] = option_table[i].text;
    }
    return count;
}

static void put_known(struct buf *out, const char *const *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " and ", known[i]);
    buf_add(out, "", 1);
}

/* Where a field belongs that has no place in a body. */
static bool place_for(const char *name, char *place, size_t room)
{
    struct json_span key = {name, strlen(name)};
    enum option_name inner;
    const char *object = options_find(key, IN_RETRY, &inner)    ? "retry"
                         : options_find(key, IN_UNIQUE, &inner) ? "unique"
                                                                : NULL;
    if (object != NULL)
        snprintf(place, room, "it belongs into %s: {\"%s\":{\"%s\":…}}", object, object, name);
    else if (!options_find(key, IN_BULK, &inner))
        return false;
    else if (inner == OPTION_IDEMPOTENCY_KEY)
        snprintf(place, room, "send it as the header Idempotency-Key");
    else
        snprintf(place, room, "it names a line of POST /v1/jobs/bulk");
    return true;
}

static bool is_of_submit(const char *name)
{
    const char *known[KNOWN_MAX];
    size_t count = list_known(IN_BODY, known);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(known[i], name) == 0)
            return true;
    }
    return false;
}

static void add_unknown(struct options *options, const char *pointer, const char *name, unsigned where)
{
    const char *known[KNOWN_MAX];
    size_t count = list_known(where, known);
    const char *near = nearest_name(name, known, count);
    BUF_AUTO list = {0};
    char place[128];
    put_known(&list, known, count);
    if (list.failed)
        return;
    if (where == IN_PATCH && is_of_submit(name))
        problem_add(options->problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "%s cannot be changed once the job was accepted; what can is %s", name, list.data);
    else if ((where & IN_BODY) != 0 && place_for(name, place, sizeof place))
        problem_add(options->problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\" here; %s", name, place);
    else if (near != NULL)
        problem_add(options->problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; did you mean \"%s\"?", name, near);
    else
        problem_add(options->problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; known are %s", name, list.data);
    if (where == IN_PATCH && is_of_submit(name))
        problem_hint(options->problem,
                     "cancel it and submit another: POST /v1/jobs/{id}/cancel, POST /v1/jobs");
    if ((where & IN_BODY) != 0 && near == NULL)
        problem_hint(options->problem, "what the task itself is to get belongs into args: "
                                       "{\"task\":\"NAME\",\"args\":{\"path\":\"/etc/hosts\"}}");
}

/* The pointer to the object in which they stand. */
static const char *prefix_of(unsigned where)
{
    return where == IN_RETRY ? "/retry" : where == IN_UNIQUE ? "/unique" : "";
}

void options_unknown(struct options *options, struct json_span key, unsigned where)
{
    char name[128];
    BUF_AUTO pointer = {0};
    if (options_full(options))
        return;
    if (!json_key(key, name, sizeof name))
        text_copy(name, sizeof name, key.at, key.bytes);
    put_pointer(&pointer, prefix_of(where), name);
    if (!pointer.failed)
        add_unknown(options, pointer.data, name, where);
}

bool options_take_members(struct options *options, unsigned where, struct json_span object)
{
    struct json_scan scan;
    if (json_scan(object.at, object.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return false;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        enum option_name name;
        char pointer[OPTION_TEXT_BYTES];
        if (!options_find(scan.members[i].key, where, &name)) {
            options_unknown(options, scan.members[i].key, where);
            continue;
        }
        snprintf(pointer, sizeof pointer, "%s/%s", prefix_of(where), option_table[name].text);
        options_take(options, name, &(struct value){scan.members[i].value, PLACE_POINTER, pointer});
    }
    return true;
}

/* --- numbers --- */

static bool read_text(const struct value *value, char text[OPTION_TEXT_BYTES])
{
    if (value->place == PLACE_POINTER)
        return json_text(value->span, text, OPTION_TEXT_BYTES);
    if (value->span.bytes >= OPTION_TEXT_BYTES)
        return false;
    memcpy(text, value->span.at, value->span.bytes);
    text[value->span.bytes] = '\0';
    return true;
}

static bool read_number(const struct value *value, const struct option *option, double *number)
{
    int64_t whole;
    if (!json_number(value->span, number) || (option->kind == KIND_INT && !json_int(value->span, &whole)))
        return false;
    return *number >= option->least && *number <= option->most;
}

static bool read_jitter(struct options *options, const struct value *value, const struct option *option,
                        double *number)
{
    options->jitter_default = value->span.bytes == 4 && memcmp(value->span.at, "true", 4) == 0;
    *number = 0;
    return options->jitter_default || (value->span.bytes == 5 && memcmp(value->span.at, "false", 5) == 0) ||
           read_number(value, option, number);
}

static int64_t to_ms(double seconds)
{
    return (int64_t)(seconds * 1000 + 0.5);
}

static void set_number(struct options *options, enum option_name name, double number)
{
    struct job_spec *spec = &options->job->spec;
    switch (name) {
    case OPTION_PRIORITY:
        spec->priority = (uint8_t)number;
        break;
    case OPTION_TIMEOUT:
        spec->timeout_ms = to_ms(number);
        break;
    case OPTION_KILL_AFTER:
        spec->kill_after_ms = to_ms(number);
        break;
    case OPTION_DELAY:
        options->delay_ms = to_ms(number);
        break;
    case OPTION_EXPIRES_IN:
        options->expires_in_ms = to_ms(number);
        break;
    case OPTION_START_WITHIN:
        options->start_within_ms = to_ms(number);
        break;
    case OPTION_MAX_ATTEMPTS:
        spec->retry.max_attempts = (uint32_t)number;
        break;
    case OPTION_INITIAL:
        spec->retry.initial_ms = to_ms(number);
        break;
    case OPTION_MAX:
        spec->retry.max_ms = to_ms(number);
        break;
    case OPTION_MAX_AGE:
        options->rules.max_age_ms = to_ms(number);
        break;
    case OPTION_PERIOD:
    case OPTION_UNIQUE_PERIOD:
        options->unique.period_ms = to_ms(number);
        break;
    case OPTION_JITTER:
        if (!options->jitter_default)
            spec->retry.jitter = (uint32_t)(number * 100 + 0.5);
        break;
    case OPTION_QUEUE:
    case OPTION_DURABILITY:
    case OPTION_SCHEDULED_AT:
    case OPTION_EXPIRES_AT:
    case OPTION_CONCURRENCY_KEY:
    case OPTION_META:
    case OPTION_BACKOFF:
    case OPTION_INTERVALS:
    case OPTION_ON:
    case OPTION_NEVER:
    case OPTION_TAGS:
    case OPTION_TAG:
    case OPTION_UNIQUE:
    case OPTION_KEY:
    case OPTION_UNIQUE_KEY:
    case OPTION_ON_CONFLICT:
    case OPTION_AFTER:
    case OPTION_AFTER_POLICY:
    case OPTION_REF:
    case OPTION_IDEMPOTENCY_KEY:
    case OPTION_COUNT:
        CHECK_NEVER("an option that is a number");
    }
}

static bool take_number(struct options *options, enum option_name name, const struct value *value)
{
    const struct option *option = &option_table[name];
    double number;
    bool ok = option->kind == KIND_JITTER ? read_jitter(options, value, option, &number)
                                          : read_number(value, option, &number);
    if (ok)
        set_number(options, name, number);
    return ok;
}

/* --- texts --- */

static char *key_of(struct options *options, enum option_name name)
{
    struct job_spec *spec = &options->job->spec;
    return name == OPTION_CONCURRENCY_KEY   ? spec->concurrency_key
           : name == OPTION_IDEMPOTENCY_KEY ? spec->idempotency_key
                                            : options->unique.key;
}

static bool set_key(char key[KEY_BYTES], const char *text)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes >= KEY_BYTES)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    memcpy(key, text, bytes + 1);
    return true;
}

static bool set_name(char name[NAME_BYTES], const char *text)
{
    if (!job_name_ok(text))
        return false;
    text_copy(name, NAME_BYTES, text, strlen(text));
    return true;
}

static bool set_text(struct options *options, enum option_name name, const char *text)
{
    struct job_spec *spec = &options->job->spec;
    enum option_kind kind = option_table[name].kind;
    enum after_policy policy;
    enum durability durability;
    enum backoff backoff;
    if (kind == KIND_NAME)
        return set_name(spec->queue, text);
    if (kind == KIND_REF) /* "@batch" is all of them */
        return strcmp(text, "batch") != 0 && set_name(options->ref, text);
    if (kind == KIND_DURABILITY && durability_parse(text, &durability)) {
        spec->durability = (uint8_t)durability;
        return true;
    }
    if (kind == KIND_BACKOFF && backoff_parse(text, &backoff)) {
        spec->retry.backoff = (uint32_t)backoff;
        return true;
    }
    if (kind == KIND_AFTER_POLICY && after_policy_parse(text, &policy)) {
        spec->after_policy = (uint8_t)policy;
        return true;
    }
    if (kind == KIND_ON_CONFLICT)
        return on_conflict_parse(text, &options->unique.on_conflict);
    return kind == KIND_KEY && set_key(key_of(options, name), text);
}

static bool take_text(struct options *options, enum option_name name, const struct value *value)
{
    char text[OPTION_TEXT_BYTES];
    return read_text(value, text) && set_text(options, name, text);
}

/* A time without a zone would mean another moment on another machine. */
static bool take_time(struct options *options, enum option_name name, const struct value *value)
{
    char text[OPTION_TEXT_BYTES + 1];
    int64_t *real_ms = name == OPTION_SCHEDULED_AT ? &options->scheduled_ms : &options->expires_ms;
    if (options->in == IN_PATCH && value->span.bytes == 4 && memcmp(value->span.at, "null", 4) == 0) {
        *real_ms = 0;
        return true;
    }
    if (!read_text(value, text))
        return false;
    if (clock_parse(text, real_ms) == ERR_OK)
        return true;
    int days;
    if (clock_no_such_day(text, &days)) {
        char right[64];
        snprintf(right, sizeof right, "a day that there is: that month has %d", days);
        options_refuse(options, value, option_table[name].text, right);
        return true; /* refused already */
    }
    strcat(text, "Z");
    if (clock_parse(text, real_ms) != ERR_OK)
        return false;
    options_refuse(options, value, option_table[name].text,
                   "a time with its zone: append Z (UTC) or an offset such as +02:00");
    return true; /* refused already */
}

static bool take_meta(struct options *options, const struct value *value)
{
    options->meta = value->span;
    return codec_compact_bytes(value->span) <= META_BYTES;
}

/* --- any of them --- */

static bool take(struct options *options, enum option_name name, const struct value *value)
{
    switch (option_table[name].kind) {
    case KIND_INT:
    case KIND_SECONDS:
    case KIND_JITTER:
        return take_number(options, name, value);
    case KIND_NAME:
    case KIND_DURABILITY:
    case KIND_BACKOFF:
    case KIND_KEY:
    case KIND_ON_CONFLICT:
    case KIND_AFTER_POLICY:
    case KIND_REF:
        return take_text(options, name, value);
    case KIND_TIME:
        return take_time(options, name, value);
    case KIND_META:
        return take_meta(options, value);
    case KIND_TAGS:
        return options_take_tags(options, value);
    case KIND_TAG:
        return options_take_tag(options, value);
    case KIND_INTERVALS:
        return options_take_intervals(options, value);
    case KIND_CODES:
        return options_take_codes(options, name, value);
    case KIND_UNIQUE:
        return options_take_unique(options, value);
    case KIND_AFTER:
        return options_take_after(options, value);
    }
    CHECK_NEVER("a kind of option");
}

/* A value that would be taken, as JSON. */
static const char *const EXAMPLES[] = {[KIND_NAME] = "\"mail\"",
                                       [KIND_INT] = "5",
                                       [KIND_SECONDS] = "5",
                                       [KIND_DURABILITY] = "\"process\"",
                                       [KIND_BACKOFF] = "\"fixed\"",
                                       [KIND_JITTER] = "0.5",
                                       [KIND_TAGS] = "[\"mail\",\"customer 17\"]",
                                       [KIND_TAG] = "\"mail\"",
                                       [KIND_TIME] = "\"2030-01-01T06:00:00+01:00\"",
                                       [KIND_KEY] = "\"customer-17\"",
                                       [KIND_META] = "{\"order\":17}",
                                       [KIND_INTERVALS] = "[1,10,60]",
                                       [KIND_CODES] = "[\"timeout\"]",
                                       [KIND_UNIQUE] = "{\"key\":\"daily\",\"period\":3600}",
                                       [KIND_ON_CONFLICT] = "\"return\"",
                                       [KIND_AFTER] = "[\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\"]",
                                       [KIND_AFTER_POLICY] = "\"run\"",
                                       [KIND_REF] = "\"first\""};

static void hint_example(struct options *options, enum option_name name, const struct value *value)
{
    const struct option *option = &option_table[name];
    const char *example = EXAMPLES[option->kind];
    const char *object = (option->where & IN_RETRY) != 0    ? "retry"
                         : (option->where & IN_UNIQUE) != 0 ? "unique"
                                                            : NULL;
    if (value->place != PLACE_POINTER) /* a query has no quotes; an array there is one value or several */
        problem_hint(options->problem, "send, say, ?%s=%.*s", option->text,
                     (int)strcspn(example + strspn(example, "[\""), "]\""), example + strspn(example, "[\""));
    else if (object != NULL)
        problem_hint(options->problem, "send, say, {\"%s\":{\"%s\":%s}}", object, option->text, example);
    else
        problem_hint(options->problem, "send, say, {\"%s\":%s}", option->text, example);
}

void options_take(struct options *options, enum option_name name, const struct value *value)
{
    bool first = options->problem->count == 0;
    options->given[name] = true;
    if (!take(options, name, value))
        options_refuse(options, value, option_table[name].text, option_table[name].right);
    if (first && options->problem->count > 0)
        hint_example(options, name, value);
}

/* The name of a parameter stands for itself: nothing has seen to the grammar of what looks like an escape. */
static bool is_named(struct json_span key, unsigned where, const char *text)
{
    if (where == IN_QUERY)
        return strlen(text) == key.bytes && memcmp(text, key.at, key.bytes) == 0;
    return json_key_is(key, text);
}

bool options_find(struct json_span key, unsigned where, enum option_name *name)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((option_table[i].where & where) != 0 && is_named(key, where, option_table[i].text)) {
            *name = (enum option_name)i;
            return true;
        }
    }
    return false;
}
