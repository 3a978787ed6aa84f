/* The options of a submit that are lists: tags, intervals, error codes. */
#include "codec_options.h"

#include <stdio.h>
#include <string.h>

static size_t skip_space(struct json_span span, size_t at)
{
    while (at < span.bytes && strchr(" \t\r\n", span.at[at]) != NULL)
        at++;
    return at;
}

/* Behind the string that begins here; what is walked is valid JSON. */
static size_t skip_string(struct json_span span, size_t at)
{
    for (at++; span.at[at] != '"'; at++)
        at += span.at[at] == '\\';
    return at + 1;
}

/* Behind the element that begins here, and perhaps behind white space. */
static size_t skip_element(struct json_span array, size_t at)
{
    for (int depth = 0; depth > 0 || (array.at[at] != ',' && array.at[at] != ']');) {
        char c = array.at[at];
        if (c == '"') {
            at = skip_string(array, at);
            continue;
        }
        depth += (c == '[' || c == '{') - (c == ']' || c == '}');
        at++;
    }
    return at;
}

bool options_next_element(struct json_span array, size_t *at, struct json_span *element)
{
    size_t from = skip_space(array, *at + 1);
    if (*at >= array.bytes || array.at[*at] == ']' || array.at[from] == ']')
        return false;
    size_t to = skip_element(array, from);
    *at = to; /* the comma or the bracket */
    while (strchr(" \t\r\n", array.at[to - 1]) != NULL)
        to--;
    *element = (struct json_span){array.at + from, to - from};
    return true;
}

/* False: the element is not what may stand there. */
typedef bool take_fn(struct options *options, enum option_name name, struct json_span element, size_t number);

static bool take_elements(struct options *options, enum option_name name, const struct value *value,
                          take_fn *take, const char *right)
{
    struct json_span element;
    size_t at = 0;
    char pointer[OPTION_TEXT_BYTES];
    if (value->span.bytes == 0 || value->span.at[0] != '[')
        return false;
    for (size_t number = 0; options_next_element(value->span, &at, &element); number++) {
        if (take(options, name, element, number))
            continue;
        snprintf(pointer, sizeof pointer, "%s/%zu", value->where, number);
        options_refuse(options, &(struct value){value->span, PLACE_POINTER, pointer}, option_table[name].text,
                       right);
        break;
    }
    return true;
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

static bool take_one_tag(struct options *options, enum option_name name, struct json_span element,
                         size_t number)
{
    char tag[TAG_BYTES];
    (void)name, (void)number;
    return json_text(element, tag, sizeof tag) && add_tag(options, tag);
}

bool options_take_tags(struct options *options, const struct value *value)
{
    return take_elements(options, OPTION_TAGS, value, take_one_tag,
                         "an array of up to 16 strings of 1 to 64 characters, none of them a control "
                         "character");
}

bool options_take_tag(struct options *options, const struct value *value)
{
    char tag[TAG_BYTES];
    if (value->span.bytes >= sizeof tag)
        return false;
    memcpy(tag, value->span.at, value->span.bytes);
    tag[value->span.bytes] = '\0';
    return add_tag(options, tag);
}

/* --- the rules of retrying --- */

static bool take_interval(struct options *options, enum option_name name, struct json_span element,
                          size_t number)
{
    const struct option *option = &option_table[name];
    double seconds;
    if (number >= RETRY_INTERVALS_MAX || !json_number(element, &seconds) || seconds < option->least ||
        seconds > option->most)
        return false;
    options->rules.intervals_ms[number] = (int64_t)(seconds * 1000 + 0.5);
    options->rules.interval_count = number + 1;
    return true;
}

bool options_take_intervals(struct options *options, const struct value *value)
{
    size_t before = options->problem->count;
    options->rules.interval_count = 0;
    return take_elements(options, OPTION_INTERVALS, value, take_interval,
                         option_table[OPTION_INTERVALS].right) &&
           (options->rules.interval_count > 0 || options->problem->count > before);
}

static bool code_ok(const char *code)
{
    size_t bytes = strlen(code);
    return bytes > 0 && strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == bytes;
}

static bool take_code(struct options *options, enum option_name name, struct json_span element, size_t number)
{
    struct retry_rules *rules = &options->rules;
    bool on = name == OPTION_ON;
    char *code = on ? rules->on[number % RETRY_CODES_MAX] : rules->never[number % RETRY_CODES_MAX];
    if (number >= RETRY_CODES_MAX || !json_text(element, code, ERROR_CODE_BYTES) || !code_ok(code))
        return false;
    *(on ? &rules->on_count : &rules->never_count) = number + 1;
    return true;
}

bool options_take_codes(struct options *options, enum option_name name, const struct value *value)
{
    size_t before = options->problem->count;
    size_t *count = name == OPTION_ON ? &options->rules.on_count : &options->rules.never_count;
    *count = 0;
    return take_elements(options, name, value, take_code, option_table[name].right) &&
           (*count > 0 || options->problem->count > before);
}
