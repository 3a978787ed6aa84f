/* The options of a submit that say what a job has to do with others: unique, after, ref. */
#include "codec.h"
#include "codec_options.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------
 * unique */

bool options_take_unique(struct options *options, const struct value *value)
{
    if (value->span.bytes == 4 && memcmp(value->span.at, "true", 4) == 0)
        return true;
    return options_take_members(options, IN_UNIQUE, value->span);
}

/* The option that made it unique; OPTION_COUNT: it is not. */
static enum option_name unique_by(const struct options *options)
{
    static const enum option_name NAMES[] = {OPTION_UNIQUE, OPTION_UNIQUE_KEY, OPTION_UNIQUE_PERIOD,
                                             OPTION_ON_CONFLICT};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (options->given[NAMES[i]])
            return NAMES[i];
    }
    return OPTION_COUNT;
}

/* By task and arguments. Numbers and the order of members count as they were written: what is kept of the
 * arguments is their text. */
static void derive_key(struct options *options, struct json_span args)
{
    static const char NONE[] = "null";
    BUF_AUTO text = {0};
    size_t used = strlen("args:");
    buf_printf(&text, "%s\n", options->job->spec.task);
    codec_compact(&text, args.bytes > 0 ? args : (struct json_span){NONE, sizeof NONE - 1});
    if (text.failed) {
        problem_set(options->problem, ERR_NO_MEMORY, "Memory could not be allocated");
        return;
    }
    struct id sum = id_fingerprint(text.data, text.bytes);
    memcpy(options->unique.key, "args:", used);
    for (size_t i = 0; i < sizeof sum.bytes; i++, used += 2)
        snprintf(options->unique.key + used, 3, "%02x", sum.bytes[i]);
}

/* --------------------------------------------------------------------------------------------------------
 * after */

static const char *what_is_right(const struct options *options)
{
    return options->bulk ? "the id of a job or of a batch, \"@\" and the ref of another line, or \"@batch\""
                         : "the id of a job or of a batch";
}

/* The text as it is kept, ids in lower case; false: it is no such text. */
static bool read_one(const struct options *options, char text[OPTION_TEXT_BYTES])
{
    struct id id;
    if (text[0] == '@')
        return options->bulk && job_name_ok(text + 1);
    if (id_parse(text, &id) != ERR_OK)
        return false;
    id_format(id, text);
    return true;
}

static bool stands_already(const struct buf *after, const char *text)
{
    char quoted[OPTION_TEXT_BYTES + 2];
    size_t bytes = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", text);
    return after->bytes > 0 && memmem(after->data, after->bytes, quoted, bytes) != NULL;
}

/* False: it was refused. */
static bool add_one(struct options *options, const struct value *value, char text[OPTION_TEXT_BYTES])
{
    if (text[0] == '@' && !options->bulk)
        problem_hint(options->problem, "a ref stands for another line of the same request, so it belongs "
                                       "into POST /v1/jobs/bulk");
    if (!read_one(options, text)) {
        options_refuse(options, value, "after", what_is_right(options));
        return false;
    }
    if (stands_already(&options->after, text)) {
        options_fault(options, value, "after names %s twice; name each once", text);
        return false;
    }
    if (options->after_count == AFTER_MAX) {
        problem_hint(options->problem, "a batch stands for all jobs of one POST /v1/jobs/bulk, however many: "
                                       "send them so, and name its id here");
        options_fault(options, value, "after names more than %d jobs or batches, but may name 1 to %d",
                      AFTER_MAX, AFTER_MAX);
        return false;
    }
    buf_printf(&options->after, "%s\"%s\"", options->after_count++ == 0 ? "[" : ",", text);
    return true;
}

static void refuse_text(struct options *options, const struct value *value)
{
    options_refuse(options, value, "after", what_is_right(options));
}

static bool take_array(struct options *options, const struct value *value)
{
    struct json_span element;
    size_t at = 0;
    char pointer[OPTION_TEXT_BYTES], text[OPTION_TEXT_BYTES];
    if (value->span.bytes == 0 || value->span.at[0] != '[')
        return false;
    for (size_t number = 0; options_next_element(value->span, &at, &element); number++) {
        snprintf(pointer, sizeof pointer, "%s/%zu", value->where, number);
        struct value one = {element, PLACE_POINTER, pointer};
        bool read = json_text(element, text, sizeof text);
        if (!read)
            refuse_text(options, &one);
        if (!read || !add_one(options, &one, text))
            return true; /* refused already */
    }
    return options->after_count > 0;
}

/* Of a query: ids with commas between them. */
static void take_list(struct options *options, const struct value *value)
{
    const char *from = value->span.at, *end = from + value->span.bytes;
    char text[OPTION_TEXT_BYTES];
    for (bool more = true; more;) {
        const char *comma = memchr(from, ',', (size_t)(end - from));
        size_t bytes = (size_t)((comma != NULL ? comma : end) - from);
        struct value one = {{from, bytes}, value->place, value->where};
        bool read = bytes < sizeof text;
        if (!read)
            refuse_text(options, &one);
        text_copy(text, sizeof text, from, bytes);
        more = read && add_one(options, &one, text) && comma != NULL;
        from += bytes + 1;
    }
}

bool options_take_after(struct options *options, const struct value *value)
{
    if (value->place == PLACE_POINTER)
        return take_array(options, value);
    take_list(options, value);
    return true;
}

/* ------------------------------------------------------------------------------------------------------
 * together with the rest */

static void need_store(struct options *options, enum option_name name)
{
    if (options->job->spec.durability == DURABILITY_MEMORY)
        options_object(options, name,
                       "%s needs a job that is stored, and this one has the durability memory; send "
                       "\"durability\":\"process\" or \"full\"",
                       option_table[name].text);
}

static void check_bulk(struct options *options)
{
    if (options->job->spec.durability == DURABILITY_MEMORY)
        options_object(options, OPTION_DURABILITY,
                       "the jobs of a bulk request are stored, all at once, and this one has the durability "
                       "memory; send \"durability\":\"process\" or \"full\"");
    if (options->given[OPTION_START_WITHIN])
        options_object(options, OPTION_START_WITHIN,
                       "start_within is for a job that comes alone; one of a bulk request may have "
                       "expires_in");
    if (options->unique.on_conflict == CONFLICT_REPLACE)
        options_object(
            options, OPTION_UNIQUE,
            "on_conflict is \"replace\", which is for a job that comes alone; one of a bulk request "
            "may have \"reject\" or \"return\"");
}

static void check_after(struct options *options)
{
    if (options->given[OPTION_AFTER_POLICY] && !options->given[OPTION_AFTER])
        options_object(options, OPTION_AFTER_POLICY,
                       "after_policy says what becomes of a job when one that it waits for does not "
                       "succeed, and this one waits for none; send after, too");
    if (!options->given[OPTION_AFTER])
        return;
    need_store(options, OPTION_AFTER);
    if (options->given[OPTION_START_WITHIN])
        options_object(options, OPTION_START_WITHIN,
                       "start_within is for a job that is to run now; for one that waits for others there "
                       "is expires_in");
}

void options_set_together(struct options *options, struct json_span args)
{
    struct job_spec *spec = &options->job->spec;
    enum option_name by = unique_by(options);
    if (options->problem->err != ERR_OK)
        return; /* what is wrong by itself may not be compared */
    if (options->bulk)
        check_bulk(options);
    else if (by != OPTION_COUNT)
        need_store(options, by);
    if (!options->bulk || options->problem->err == ERR_OK)
        check_after(options);
    if (by != OPTION_COUNT && options->unique.key[0] == '\0')
        derive_key(options, args);
    spec->flags |= (uint8_t)(by != OPTION_COUNT ? JOB_FLAG_UNIQUE : 0);
    spec->flags |= (uint8_t)(options->after_count > 0 ? JOB_FLAG_INPUTS : 0);
}
