/* What a job has beyond its spec: tags, and the canonical text of its extras (extras.h). */
#include "codec.h"
#include "codec_options.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------------
 * writing */

/* The next byte of valid JSON that is not white space outside of strings; false at the end. */
struct compact {
    struct json_span from;
    size_t at;
    bool in_string, escaped;
};

static bool next_byte(struct compact *compact, char *byte)
{
    while (compact->at < compact->from.bytes) {
        char c = compact->from.at[compact->at++];
        if (!compact->in_string && strchr(" \t\r\n", c) != NULL && c != '\0')
            continue;
        if (c == '"' && !compact->escaped)
            compact->in_string = !compact->in_string;
        compact->escaped = compact->in_string && c == '\\' && !compact->escaped;
        *byte = c;
        return true;
    }
    return false;
}

size_t codec_compact_bytes(struct json_span json)
{
    struct compact compact = {.from = json};
    size_t bytes = 0;
    for (char byte; next_byte(&compact, &byte);)
        bytes++;
    return bytes;
}

void codec_compact(struct buf *out, struct json_span json)
{
    struct compact compact = {.from = json};
    char *to = buf_reserve(out, json.bytes);
    size_t bytes = 0;
    if (to == NULL)
        return;
    while (next_byte(&compact, to + bytes))
        bytes++;
    out->bytes += bytes;
}

static void put_between(struct buf *out)
{
    bool first = out->bytes == 0 || out->data[out->bytes - 1] == '{';
    PUT(out, ",");
    out->bytes -= first && !out->failed;
}

static void put_codes(struct buf *out, const char *member, const char codes[][ERROR_CODE_BYTES], size_t count)
{
    if (count == 0)
        return;
    put_between(out);
    buf_printf(out, "\"%s\":[", member);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", codes[i]);
    PUT(out, "]");
}

/* {} if there are none. */
static void put_rules(struct buf *out, const struct retry_rules *rules)
{
    PUT(out, "{");
    if (rules->interval_count > 0) {
        PUT(out, "\"intervals\":[");
        for (size_t i = 0; i < rules->interval_count; i++) {
            buf_put(out, i > 0 ? "," : "");
            buf_put_seconds(out, rules->intervals_ms[i]);
        }
        PUT(out, "]");
    }
    if (rules->max_age_ms >= 0) {
        put_between(out);
        PUT(out, "\"max_age\":");
        buf_put_seconds(out, rules->max_age_ms);
    }
    put_codes(out, "on", rules->on, rules->on_count);
    put_codes(out, "never", rules->never, rules->never_count);
    PUT(out, "}");
}

static void put_member(struct buf *out, enum extra extra)
{
    put_between(out);
    buf_printf(out, "\"%s\":", extra_member(extra));
}

static bool has_rules(const struct retry_rules *rules)
{
    return rules->interval_count > 0 || rules->max_age_ms >= 0 || rules->on_count > 0 ||
           rules->never_count > 0;
}

/* {"key":"…","period":60,"on_conflict":"return"} */
static void put_unique(struct buf *out, const struct unique_rule *unique)
{
    PUT(out, "{\"key\":");
    buf_put_json(out, unique->key, strlen(unique->key));
    if (unique->period_ms > 0) {
        PUT(out, ",\"period\":");
        buf_put_seconds(out, unique->period_ms);
    }
    buf_printf(out, ",\"on_conflict\":\"%s\"}", on_conflict_text(unique->on_conflict));
}

/* In the order of EXTRAS. A meta of null is none. */
static void put_extras(struct buf *out, const struct options *options)
{
    PUT(out, "{");
    bool null = options->meta.bytes == 4 && memcmp(options->meta.at, "null", 4) == 0;
    if (options->meta.at != NULL && !null) {
        put_member(out, EXTRA_META);
        codec_compact(out, options->meta);
    }
    if (has_rules(&options->rules)) {
        put_member(out, EXTRA_RETRY);
        put_rules(out, &options->rules);
    }
    if ((options->job->spec.flags & JOB_FLAG_UNIQUE) != 0) {
        put_member(out, EXTRA_UNIQUE);
        put_unique(out, &options->unique);
    }
    if (options->after_count > 0) {
        put_member(out, EXTRA_AFTER);
        buf_add(out, options->after.data, options->after.bytes);
        PUT(out, "]");
    }
    if (options->ref[0] != '\0') {
        put_member(out, EXTRA_REF);
        buf_printf(out, "\"%s\"", options->ref);
    }
    out->failed = out->failed || options->after.failed;
    PUT(out, "}");
}

/* ------------------------------------------------------------------------------------------------------
 * keeping */

/* Absent if it is what nothing is written as. */
static void keep(struct options *options, struct buf *from, const char *nothing, struct text *text,
                 void **owned)
{
    size_t bytes = strlen(nothing);
    if (!from->failed && from->bytes == bytes &&
        memcmp(from->bytes > 0 ? from->data : "", nothing, bytes) == 0)
        return;
    char *at = buf_take(from, &bytes);
    if (at == NULL) {
        problem_set(options->problem, ERR_NO_MEMORY, "Memory could not be allocated");
        return;
    }
    *owned = at;
    *text = (struct text){at, bytes};
}

void options_keep(struct options *options)
{
    BUF_AUTO extras = {0};
    struct job *job = options->job;
    put_extras(&extras, options);
    keep(options, &options->tags, "", &job->tags, &job->owned[2]);
    keep(options, &extras, "{}", &job->extras, &job->owned[3]);
}

void options_fini(struct options *options)
{
    buf_fini(&options->tags);
    buf_fini(&options->after);
}
