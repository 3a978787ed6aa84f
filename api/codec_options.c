#include "codec_options.h"

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
    case OPTION_MAX_ATTEMPTS:
        spec->retry.max_attempts = (uint32_t)number;
        break;
    case OPTION_INITIAL:
        spec->retry.initial_ms = to_ms(number);
        break;
    case OPTION_MAX:
        spec->retry.max_ms = to_ms(number);
        break;
    case OPTION_JITTER:
        if (!options->jitter_default)
            spec->retry.jitter = (uint32_t)(number * 100 + 0.5);
        break;
    case OPTION_QUEUE:
    case OPTION_DURABILITY:
    case OPTION_BACKOFF:
    case OPTION_TAGS:
    case OPTION_TAG:
    case OPTION_COUNT:
        break;
    }
}

static bool set_text(struct options *options, enum option_kind kind, const char *text)
{
    struct job_spec *spec = &options->job->spec;
    enum durability durability;
    enum backoff backoff;
    if (kind == KIND_NAME) {
        if (!job_name_ok(text))
            return false;
        text_copy(spec->queue, sizeof spec->queue, text, strlen(text));
        return true;
    }
    if (kind == KIND_DURABILITY && durability_parse(text, &durability)) {
        spec->durability = (uint8_t)durability;
        return true;
    }
    if (kind == KIND_BACKOFF && backoff_parse(text, &backoff)) {
        spec->retry.backoff = (uint32_t)backoff;
        return true;
    }
    return false;
}

/* --- tags --- */

static bool add_tag(struct options *options, const char *tag)
{
    if (!tag_ok(tag))
        return false;
    if (tags_hold((struct text){options->tags.data, options->tags.bytes}, tag))
        return true;
    if (options->tag_count == TAGS_MAX)
        return false;
    options->tag_count += tags_add(&options->tags, tag);
    return true;
}

/* The string that begins at *at of an array of strings; false if there is none. *at is moved behind it. */
static bool next_string(struct json_span array, size_t *at, struct json_span *string)
{
    size_t from = *at, to = from + 1;
    if (from >= array.bytes || array.at[from] != '"')
        return false;
    while (array.at[to] != '"') /* the array is valid JSON */
        to += array.at[to] == '\\' ? 2 : 1;
    *string = (struct json_span){array.at + from, to + 1 - from};
    *at = to + 1;
    return true;
}

static size_t skip_space(struct json_span span, size_t at)
{
    while (at < span.bytes && strchr(" \t\r\n", span.at[at]) != NULL)
        at++;
    return at;
}

static void refuse_tag(struct options *options, struct json_span array, size_t number)
{
    char pointer[OPTION_TEXT_BYTES];
    snprintf(pointer, sizeof pointer, "/tags/%zu", number);
    struct value value = {array, PLACE_POINTER, pointer};
    options_refuse(options, &value, "tags",
                   number >= TAGS_MAX ? "an array of up to 16 strings"
                                      : "strings of 1 to 64 characters, none of them a control character");
}

static bool take_tags(struct options *options, struct json_span array)
{
    if (array.bytes == 0 || array.at[0] != '[')
        return false;
    size_t at = skip_space(array, 1), number = 0;
    for (; array.at[at] != ']'; number++) {
        struct json_span string;
        char tag[TAG_BYTES];
        if (!next_string(array, &at, &string) || !json_text(string, tag, sizeof tag) ||
            !add_tag(options, tag)) {
            refuse_tag(options, array, number);
            return true; /* said already */
        }
        at = skip_space(array, at);
        if (array.at[at] == ',')
            at = skip_space(array, at + 1);
    }
    return true;
}

static bool take_tag(struct options *options, const struct value *value)
{
    char tag[TAG_BYTES];
    if (value->span.bytes >= sizeof tag)
        return false;
    memcpy(tag, value->span.at, value->span.bytes);
    tag[value->span.bytes] = '\0';
    return add_tag(options, tag);
}

void options_keep_tags(struct options *options)
{
    size_t bytes = options->tags.bytes;
    bool none = bytes == 0 && !options->tags.failed;
    char *text = none ? NULL : buf_take(&options->tags, &bytes);
    if (text == NULL) {
        if (!none)
            problem_set(options->problem, ERR_NO_MEMORY, "Memory could not be allocated");
        return;
    }
    options->job->owned[2] = text;
    options->job->tags = (struct text){text, bytes};
}

void options_fini(struct options *options)
{
    buf_fini(&options->tags);
}

/* --- any of them --- */

void options_take(struct options *options, enum option_name name, const struct value *value)
{
    const struct option *option = &option_table[name];
    char text[OPTION_TEXT_BYTES];
    double number;
    bool ok;
    if (option->kind == KIND_NAME || option->kind == KIND_DURABILITY || option->kind == KIND_BACKOFF) {
        ok = read_text(value, text) && set_text(options, option->kind, text);
    } else if (option->kind == KIND_TAGS) {
        ok = take_tags(options, value->span);
    } else if (option->kind == KIND_TAG) {
        ok = take_tag(options, value);
    } else {
        ok = option->kind == KIND_JITTER ? read_jitter(options, value, option, &number)
                                         : read_number(value, option, &number);
        if (ok)
            set_number(options, name, number);
    }
    if (!ok)
        options_refuse(options, value, option->text, option->right);
    options->given[name] = true;
}

bool options_find(struct json_span key, unsigned where, enum option_name *name)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((option_table[i].where & where) != 0 && json_key_is(key, option_table[i].text)) {
            *name = (enum option_name)i;
            return true;
        }
    }
    return false;
}
