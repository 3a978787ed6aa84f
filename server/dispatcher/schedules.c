#include "schedules.h"

#include "extras.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- definitions --- */

#define O(name, text) [OVERLAP_##name] = text,
static const char *const OVERLAP_WORDS[] = {OVERLAPS(O)};
#undef O
#define C(name, text) [CATCH_UP_##name] = text,
static const char *const CATCH_UP_WORDS[] = {CATCH_UPS(C)};
#undef C

static void put_text(struct buf *out, const char *text)
{
    buf_put_json(out, text, strlen(text));
}

void schedule_definition_write(struct buf *out, const struct schedule_definition *definition)
{
    buf_put(out, "{\"cron\":");
    put_text(out, definition->cron);
    buf_put(out, ",\"timezone\":");
    put_text(out, definition->timezone);
    buf_printf(out, ",\"overlap\":\"%s\",\"catch_up\":\"%s\",\"paused\":%s,\"job\":",
               OVERLAP_WORDS[definition->overlap], CATCH_UP_WORDS[definition->catch_up],
               definition->paused ? "true" : "false");
    buf_add(out, definition->job.at, definition->job.bytes);
    buf_put(out, "}");
}

static bool is_true(struct json_span span)
{
    return span.bytes == 4 && memcmp(span.at, "true", 4) == 0;
}

/* The index of a word, or -1. */
static int find_word(struct json_span span, const char *const *words, int count)
{
    char text[16];
    if (!json_text(span, text, sizeof text))
        return -1;
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

static bool take_member(struct schedule_definition *definition, const struct json_member *member)
{
    struct json_span value = member->value;
    int word = 0;
    if (json_key_is(member->key, "cron"))
        return json_text(value, definition->cron, sizeof definition->cron);
    if (json_key_is(member->key, "timezone"))
        return json_text(value, definition->timezone, sizeof definition->timezone);
    if (json_key_is(member->key, "overlap")) {
        word = find_word(value, OVERLAP_WORDS, OVERLAP_COUNT);
        definition->overlap = (enum overlap)word;
    } else if (json_key_is(member->key, "catch_up")) {
        word = find_word(value, CATCH_UP_WORDS, CATCH_UP_COUNT);
        definition->catch_up = (enum catch_up)word;
    } else if (json_key_is(member->key, "paused")) {
        definition->paused = is_true(value);
    } else if (json_key_is(member->key, "job")) {
        definition->job = (struct text){value.at, value.bytes};
    }
    return word >= 0;
}

enum err schedule_definition_read(struct text text, struct schedule_definition *definition)
{
    struct json_scan scan;
    *definition = (struct schedule_definition){.timezone = "UTC", .catch_up = CATCH_UP_ONE};
    if (json_scan(text.at, text.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return ERR_CORRUPT;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        if (!take_member(definition, &scan.members[i]))
            return ERR_CORRUPT;
    return definition->cron[0] != '\0' && definition->job.at != NULL ? ERR_OK : ERR_CORRUPT;
}

/* --- one schedule --- */

enum err schedule_new(const char *name, struct text definition, struct schedule **schedule)
{
    BUF_AUTO why = {0};
    struct schedule *made = calloc(1, sizeof *made);
    char *text = malloc(definition.bytes + 1);
    *schedule = NULL;
    if (made == NULL || text == NULL) {
        free(made);
        free(text);
        return ERR_NO_MEMORY;
    }
    memcpy(text, definition.at, definition.bytes);
    made->text = (struct text){text, definition.bytes};
    text_copy(made->name, sizeof made->name, name, strlen(name));
    enum err err = schedule_definition_read(made->text, &made->definition);
    if (err == ERR_OK && cron_parse(made->definition.cron, &made->cron, &why) != ERR_OK)
        err = ERR_CORRUPT;
    if (err != ERR_OK)
        schedule_free(made);
    else
        *schedule = made;
    return err;
}

void schedule_free(struct schedule *schedule)
{
    if (schedule == NULL)
        return;
    free((char *)(uintptr_t)schedule->text.at);
    free(schedule);
}

enum err schedule_copy(const struct schedule *from, struct schedule **schedule)
{
    enum err err = schedule_new(from->name, from->text, schedule);
    if (err != ERR_OK)
        return err;
    struct text text = (*schedule)->text;
    struct schedule_definition definition = (*schedule)->definition;
    **schedule = *from;
    (*schedule)->text = text;
    (*schedule)->definition = definition;
    (*schedule)->next = NULL;
    (*schedule)->again_ms = 0;
    (*schedule)->refused = (*schedule)->busy = false;
    return ERR_OK;
}

/* --- its row --- */

static void put_error(struct buf *out, const struct schedule *schedule)
{
    buf_put(out, ",\"error\":{\"at\":");
    buf_put_int(out, schedule->error_ms);
    buf_put(out, ",\"message\":");
    put_text(out, schedule->error);
    buf_put(out, "}");
}

struct store_schedule schedule_row(const struct schedule *schedule, struct buf *body)
{
    char behind[ID_TEXT_BYTES];
    buf_printf(body, "{\"origin\":\"%s\"", schedule->from_file ? "file" : "api");
    if (schedule->held != HELD_NOT_SET)
        buf_printf(body, ",\"held\":%s", schedule->held == HELD_YES ? "true" : "false");
    if (!id_is_none(schedule->behind)) {
        id_format(schedule->behind, behind);
        buf_printf(body, ",\"behind\":\"%s\"", behind);
    }
    if (schedule->error_ms > 0 && !schedule->doubted)
        put_error(body, schedule);
    buf_put(body, ",\"definition\":");
    buf_add(body, schedule->text.at, schedule->text.bytes);
    buf_put(body, "}");
    return (struct store_schedule){.name = schedule->name,
                                   .body = {body->data, body->bytes},
                                   .next_ms = schedule->next_ms,
                                   .last_ms = schedule->last_ms,
                                   .last_job = schedule->last_job,
                                   .made = schedule->made,
                                   .skipped = schedule->skipped};
}

static struct json_span member_of(const struct json_scan *scan, const char *name)
{
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++)
        if (json_key_is(scan->members[i].key, name))
            return scan->members[i].value;
    return (struct json_span){NULL, 0};
}

static void read_error(struct schedule *schedule, struct json_span span)
{
    struct json_scan scan;
    if (span.at == NULL || json_scan(span.at, span.bytes, &scan, NULL) != ERR_OK)
        return;
    struct json_span at = member_of(&scan, "at"), message = member_of(&scan, "message");
    if (at.at == NULL || !json_int(at, &schedule->error_ms) || message.at == NULL ||
        !json_text(message, schedule->error, sizeof schedule->error))
        schedule->error_ms = 0;
}

enum err schedule_read(const struct store_schedule *row, struct schedule **schedule)
{
    struct json_scan scan;
    char text[ID_TEXT_BYTES];
    *schedule = NULL;
    if (json_scan(row->body.at, row->body.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return ERR_CORRUPT;
    struct json_span definition = member_of(&scan, "definition"), origin = member_of(&scan, "origin");
    struct json_span held = member_of(&scan, "held"), behind = member_of(&scan, "behind");
    if (definition.at == NULL || origin.at == NULL)
        return ERR_CORRUPT;
    enum err err = schedule_new(row->name, (struct text){definition.at, definition.bytes}, schedule);
    if (err != ERR_OK)
        return err;
    struct schedule *made = *schedule;
    made->from_file = json_text(origin, text, sizeof text) && strcmp(text, "file") == 0;
    made->held = held.at == NULL ? HELD_NOT_SET : is_true(held) ? HELD_YES : HELD_NO;
    if (behind.at == NULL || !json_text(behind, text, sizeof text) || id_parse(text, &made->behind) != ERR_OK)
        made->behind = (struct id){0};
    read_error(made, member_of(&scan, "error"));
    made->next_ms = row->next_ms;
    made->last_ms = row->last_ms;
    made->last_job = row->last_job;
    made->made = row->made;
    made->skipped = row->skipped;
    return ERR_OK;
}

bool schedule_paused(const struct schedule *schedule)
{
    return schedule->held == HELD_NOT_SET ? schedule->definition.paused : schedule->held == HELD_YES;
}

const char *schedule_clash(enum overlap overlap, const struct job *job)
{
    if (overlap != OVERLAP_REPLACE || (job->spec.flags & JOB_FLAG_UNIQUE) == 0)
        return NULL;
    return "overlap is \"replace\", and the job is unique: the last job would be asked to stop, and hold its "
           "uniqueness key against the new one, so that nothing took its place";
}

void schedule_fail(struct schedule *schedule, int64_t now_ms, const char *message, size_t bytes)
{
    schedule->error_ms = now_ms;
    text_copy(schedule->error, sizeof schedule->error, message, bytes);
    schedule->doubted = false;
}

void schedule_made(struct schedule *schedule, int64_t due_ms, struct id job, const struct id *open,
                   size_t open_count)
{
    schedule->made++;
    schedule->last_ms = due_ms;
    schedule->last_job = job;
    /* The oldest that has not ended: the others have been cancelled on its account, and wait for it. */
    bool replaces = schedule->definition.overlap == OVERLAP_REPLACE && open_count > 0;
    schedule->behind = replaces ? open[open_count - 1] : (struct id){0};
}

static enum err take_extras(struct job *job, struct buf *extras)
{
    size_t bytes;
    char *at = buf_take(extras, &bytes);
    if (at == NULL)
        return ERR_NO_MEMORY;
    free(job->owned[3]);
    job->owned[3] = at;
    job->extras = (struct text){at, bytes};
    return ERR_OK;
}

enum err schedule_mark(struct job *job, const char *name)
{
    BUF_AUTO extras = {0};
    size_t bytes = job->extras.at != NULL ? job->extras.bytes : 0;
    bool more = bytes > 2;
    buf_add(&extras, more ? job->extras.at : "{", more ? bytes - 1 : 1); /* without its brace */
    buf_printf(&extras, "%s\"%s\":\"%s\"}", more ? "," : "", extra_member(EXTRA_SCHEDULE), name);
    return take_extras(job, &extras);
}

/* Where the member begins. */
static size_t member_at(struct text extras, enum extra extra, size_t otherwise)
{
    struct json_span value;
    if (!extras_find(extras, extra, &value))
        return otherwise;
    return (size_t)(value.at - extras.at) - strlen(extra_member(extra)) - strlen("\"\":");
}

enum err schedule_mark_after(struct job *job, const struct id *ids, size_t count)
{
    BUF_AUTO extras = {0};
    struct text old = job->extras;
    size_t marked = member_at(old, EXTRA_SCHEDULE, old.bytes - 1), kept = member_at(old, EXTRA_AFTER, marked);
    if (kept == marked && count == 0)
        return ERR_OK;
    buf_add(&extras, old.at, kept);
    for (size_t i = 0; i < count; i++) {
        char text[ID_TEXT_BYTES];
        id_format(ids[i], text);
        if (i == 0)
            buf_printf(&extras, "\"%s\":[\"%s\"", extra_member(EXTRA_AFTER), text);
        else
            buf_printf(&extras, ",\"%s\"", text);
    }
    buf_put(&extras, count > 0 ? "]," : "");
    buf_add(&extras, old.at + marked, old.bytes - marked);
    return take_extras(job, &extras);
}

/* --- all of them --- */

/* Where the one of that name stands, or would. */
static struct schedule **place_of(struct schedules *schedules, const char *name)
{
    struct schedule **at = &schedules->first;
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    return at;
}

struct schedule *schedules_find(const struct schedules *schedules, const char *name)
{
    for (struct schedule *schedule = schedules->first; schedule != NULL; schedule = schedule->next)
        if (strcmp(schedule->name, name) == 0)
            return schedule;
    return NULL;
}

void schedules_drop(struct schedules *schedules, const char *name)
{
    struct schedule **at = place_of(schedules, name), *old = *at;
    if (old == NULL || strcmp(old->name, name) != 0)
        return;
    *at = old->next;
    schedules->count--;
    schedule_free(old);
}

void schedules_put(struct schedules *schedules, struct schedule *schedule)
{
    schedules_drop(schedules, schedule->name);
    struct schedule **at = place_of(schedules, schedule->name);
    schedule->next = *at;
    *at = schedule;
    schedules->count++;
}

void schedules_free(struct schedules *schedules)
{
    for (struct schedule *schedule = schedules->first, *next; schedule != NULL; schedule = next) {
        next = schedule->next;
        schedule_free(schedule);
    }
    *schedules = (struct schedules){0};
}

void fire_free(struct fire *fire)
{
    if (fire == NULL)
        return;
    schedule_free(fire->to);
    job_free(fire->replaced);
    free(fire);
}
