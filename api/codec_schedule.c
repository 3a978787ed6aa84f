/* Schedules in and out: the body of a PUT, of a preview, and the document. */
#include "codec.h"

#include "clock.h"
#include "extras.h"
#include "nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 48, NEXT_TIMES = 5, PREVIEW_MOST = 100, PREVIEW_COUNT = 10 };

/* member of a PUT or a preview, a value that would be taken */
static const char *const EXAMPLES[][2] = {{"cron", "\"0 3 * * *\""},
                                          {"timezone", "\"Europe/Berlin\""},
                                          {"overlap", "\"skip\""},
                                          {"catch_up", "\"one\""},
                                          {"paused", "true"},
                                          {"job", "{\"task\":\"NAME\"}"},
                                          {"from", "\"2026-11-23T06:36:00Z\""},
                                          {"count", "10"}};

static void refuse(struct problem *problem, const char *name, struct json_span value, const char *right)
{
    char pointer[64];
    for (size_t i = 0; problem->count == 0 && i < sizeof EXAMPLES / sizeof EXAMPLES[0]; i++) {
        if (strcmp(EXAMPLES[i][0], name) == 0)
            problem_hint(problem, "send, say, {\"%s\":%s}", name, EXAMPLES[i][1]);
    }
    bool cut = value.bytes > SHOWN_BYTES;
    snprintf(pointer, sizeof pointer, "/%s", name);
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, pointer, "%s is %.*s%s, but must be %s", name,
                (int)(cut ? SHOWN_BYTES : value.bytes), value.at, cut ? "…" : "", right);
}

static void refuse_unknown(struct problem *problem, struct json_span key, const char *const *known,
                           size_t count)
{
    char name[128], pointer[130];
    BUF_AUTO list = {0};
    if (!json_key(key, name, sizeof name))
        text_copy(name, sizeof name, key.at, key.bytes);
    snprintf(pointer, sizeof pointer, "/%s", name);
    for (size_t i = 0; i < count; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " and ", known[i]);
    buf_add(&list, "", 1);
    const char *near = nearest_name(name, known, count);
    if (near != NULL)
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; did you mean \"%s\"?", name, near);
    else
        problem_add(problem, ERR_UNKNOWN_FIELD, PLACE_POINTER, pointer,
                    "there is no field \"%s\"; known are %s", name, list.failed ? "others" : list.data);
}

/* False: the problem says why. */
static bool read_object(const struct buf *body, struct json_scan *scan, const char *example,
                        struct problem *problem)
{
    struct json_fault fault;
    if (body->bytes > 0 && json_check(body->data, body->bytes, scan, &fault) != ERR_OK) {
        codec_json_fault(problem, body->data, body->bytes, &fault);
        return false;
    }
    if (body->bytes > 0 && scan->type == '{')
        return true;
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "", "the body must be a JSON object");
    problem_hint(problem, "send, say, %s", example);
    return false;
}

/* ----------------------------------------------------------------------------------------------------
 * members */

static void take_cron(struct json_span value, char cron[CRON_TEXT_BYTES], struct cron *parsed,
                      struct problem *problem)
{
    BUF_AUTO why = {0};
    if (!json_text(value, cron, CRON_TEXT_BYTES)) {
        refuse(problem, "cron", value, "a string of up to 255 bytes, such as \"0 3 * * *\" or \"@daily\"");
        return;
    }
    if (cron_parse(cron, parsed, &why) == ERR_OK)
        return;
    buf_add(&why, "", 1);
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "/cron", "cron is \"%s\": %s", cron,
                why.failed ? "that is no expression" : why.data);
    problem_hint(problem, "minute hour day month weekday, such as \"0 3 * * *\" for 3 o'clock each day; POST "
                          "/v1/schedules/preview says when an expression fires");
}

static void take_timezone(struct json_span value, char timezone[ZONE_NAME_BYTES], struct problem *problem)
{
    static const char RIGHT[] = "the name of a time zone, such as \"Europe/Berlin\" or \"UTC\"";
    char name[2 * ZONE_NAME_BYTES], nearest[ZONE_NAME_BYTES], right[2 * ZONE_NAME_BYTES];
    struct zone *zone;
    if (!json_text(value, name, sizeof name)) {
        refuse(problem, "timezone", value, RIGHT);
        return;
    }
    if (strlen(name) < ZONE_NAME_BYTES && zone_open(name, &zone) == ERR_OK) {
        zone_close(zone);
        text_copy(timezone, ZONE_NAME_BYTES, name, strlen(name));
        return;
    }
    snprintf(right, sizeof right, "the name of a time zone; did you mean \"%s\"?",
             zone_nearest(name, nearest) != NULL ? nearest : "UTC");
    refuse(problem, "timezone", value, zone_nearest(name, nearest) != NULL ? right : RIGHT);
}

/* The index of the word, or -1, and it is refused. */
static int take_word(const char *name, struct json_span value, const char *const *words, int count,
                     const char *right, struct problem *problem)
{
    char text[32];
    for (int i = 0; json_text(value, text, sizeof text) && i < count; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    refuse(problem, name, value, right);
    return -1;
}

static void take_overlap(struct json_span value, struct schedule_definition *definition,
                         struct problem *problem)
{
#define O(name, text) text,
    static const char *const WORDS[] = {OVERLAPS(O)};
#undef O
    int word = take_word("overlap", value, WORDS, OVERLAP_COUNT, "skip, queue or replace", problem);
    definition->overlap = (enum overlap)word;
}

static void take_catch_up(struct json_span value, struct schedule_definition *definition,
                          struct problem *problem)
{
#define C(name, text) text,
    static const char *const WORDS[] = {CATCH_UPS(C)};
#undef C
    int word = take_word("catch_up", value, WORDS, CATCH_UP_COUNT, "none, one or all", problem);
    definition->catch_up = (enum catch_up)word;
}

static void take_paused(struct json_span value, struct schedule_definition *definition,
                        struct problem *problem)
{
    definition->paused = value.at[0] == 't';
    if (value.at[0] != 't' && value.at[0] != 'f')
        refuse(problem, "paused", value, "true or false");
}

/* --------------------------------------------------------------------------------------------------------
 * job */

/* What a submit may have, but not the job of a schedule. */
static const struct {
    const char *name, *why;
} NOT_HERE[] = {
    {"delay", "its times are those of cron"},
    {"scheduled_at", "its times are those of cron"},
    {"expires_at", "that moment passes once and for all; expires_in says how long each job may wait"},
    {"start_within", "nobody waits for the answer; expires_in says how long each job may wait"},
    {"after", "the jobs that it names are there once; overlap says what waits for what"},
    {"ref", "it comes alone"},
    {"batch", "it comes alone"},
    {"idempotency_key",
     "each of its times makes a job of its own, once; unique is for jobs that must not stand "
     "beside each other"}};

static void check_members(const struct json_scan *scan, struct problem *problem)
{
    char pointer[64], text[16];
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++) {
        const struct json_member *member = &scan->members[i];
        for (size_t k = 0; k < sizeof NOT_HERE / sizeof NOT_HERE[0]; k++) {
            if (!json_key_is(member->key, NOT_HERE[k].name))
                continue;
            snprintf(pointer, sizeof pointer, "/%s", NOT_HERE[k].name);
            problem_hint(problem, "leave it out of job");
            problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, pointer,
                        "%s makes no sense in the job of a schedule: %s", NOT_HERE[k].name, NOT_HERE[k].why);
        }
        if (json_key_is(member->key, "durability") && json_text(member->value, text, sizeof text) &&
            strcmp(text, durability_text(DURABILITY_MEMORY)) == 0) {
            problem_hint(problem, "send \"durability\":\"process\", or \"full\"");
            problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "/durability",
                        "durability is \"memory\", but the job of a schedule is stored with it: full or "
                        "process");
        }
    }
}

static void check_unique(const struct job *job, struct problem *problem)
{
    struct unique_rule rule;
    if (!extras_unique(job->extras, &rule) || rule.on_conflict == CONFLICT_REJECT)
        return;
    bool replace = rule.on_conflict == CONFLICT_REPLACE;
    problem_hint(problem,
                 "leave it out: a time whose job would be a duplicate is skipped, and last_error names "
                 "the job that holds the key");
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "/unique/on_conflict",
                "on_conflict is \"%s\", but must be reject in the job of a schedule: %s",
                on_conflict_text(rule.on_conflict),
                replace ? "the schedule's own overlap \"replace\" cancels its last job"
                        : "nobody waits for the answer");
}

enum err codec_schedule_job(const struct config *config, const struct catalogue *catalogue, struct text body,
                            struct job **job, struct problem *problem)
{
    struct json_scan scan;
    BUF_AUTO copy = {0}; /* the job may take it */
    int64_t start_within_ms;
    struct submission submission = {.config = config, .catalogue = catalogue, .body = &copy};
    *job = NULL;
    problem->base = "/job";
    buf_add(&copy, body.at, body.bytes);
    if (copy.failed)
        problem_set(problem, ERR_NO_MEMORY, "Memory could not be allocated");
    else if (json_scan(body.at, body.bytes, &scan, NULL) == ERR_OK && scan.type == '{')
        check_members(&scan, problem);
    if (problem->err == ERR_OK && codec_submission(&submission, job, &start_within_ms, problem) == ERR_OK)
        check_unique(*job, problem);
    problem->base = NULL;
    if (problem->err == ERR_OK && (*job)->spec.durability == DURABILITY_MEMORY) /* by default */
        (*job)->spec.durability = DURABILITY_PROCESS;
    if (problem->err != ERR_OK) {
        job_free(*job);
        *job = NULL;
    }
    return problem->err;
}

/* ---------------------------------------------------------------------------------------------------------
 * PUT */

static void take_member(const struct json_member *member, struct schedule_definition *definition,
                        struct problem *problem)
{
    static const char *const KNOWN[] = {"cron", "timezone", "overlap", "catch_up", "paused", "job"};
    struct cron cron;
    if (json_key_is(member->key, "cron"))
        take_cron(member->value, definition->cron, &cron, problem);
    else if (json_key_is(member->key, "timezone"))
        take_timezone(member->value, definition->timezone, problem);
    else if (json_key_is(member->key, "overlap"))
        take_overlap(member->value, definition, problem);
    else if (json_key_is(member->key, "catch_up"))
        take_catch_up(member->value, definition, problem);
    else if (json_key_is(member->key, "paused"))
        take_paused(member->value, definition, problem);
    else if (json_key_is(member->key, "job"))
        definition->job = (struct text){member->value.at, member->value.bytes};
    else
        refuse_unknown(problem, member->key, KNOWN, sizeof KNOWN / sizeof KNOWN[0]);
}

static void miss(struct problem *problem, const char *name, const char *example)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/%s", name);
    problem_hint(problem, "send, say, %s", example);
    problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, pointer, "the field %s is missing", name);
}

static bool has(const struct json_scan *scan, const char *name)
{
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++)
        if (json_key_is(scan->members[i].key, name))
            return true;
    return false;
}

/* What was made of the members, if it can be. */
static enum err finish(const struct config *config, const struct catalogue *catalogue,
                       const struct schedule_definition *made, struct buf *definition,
                       struct problem *problem)
{
    JOB_AUTO job = NULL;
    if (made->job.at[0] != '{')
        refuse(problem, "job", (struct json_span){made->job.at, made->job.bytes},
               "an object, as for POST /v1/jobs");
    else if (problem->err == ERR_OK &&
             codec_schedule_job(config, catalogue, made->job, &job, problem) != ERR_OK)
        return problem->err;
    const char *clash = job != NULL ? schedule_clash(made->overlap, job) : NULL;
    if (clash != NULL) {
        problem_hint(problem,
                     "leave out unique: no other job of this schedule is there to be one too many; or take "
                     "the overlap skip or queue");
        problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "/overlap", "%s", clash);
    }
    if (problem->err == ERR_OK)
        schedule_definition_write(definition, made);
    if (definition->failed)
        problem_set(problem, ERR_NO_MEMORY, "Memory could not be allocated");
    return problem->err;
}

enum err codec_schedule_patch(const struct config *config, const struct catalogue *catalogue,
                              const struct buf *body, const struct schedule *now, struct buf *definition,
                              struct problem *problem)
{
    static const char EXAMPLE[] = "{\"cron\":\"0 4 * * *\"}";
    struct json_scan scan;
    struct schedule_definition made = now->definition;
    made.paused = schedule_paused(now);
    if (!read_object(body, &scan, EXAMPLE, problem))
        return problem->err;
    if (scan.member_count == 0) {
        problem_hint(problem, "send, say, %s", EXAMPLE);
        problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "", "the body must say what is to be changed");
    }
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        take_member(&scan.members[i], &made, problem);
    return finish(config, catalogue, &made, definition, problem);
}

enum err codec_schedule_put(const struct config *config, const struct catalogue *catalogue,
                            const struct buf *body, struct buf *definition, struct problem *problem)
{
    static const char EXAMPLE[] = "{\"cron\":\"0 3 * * *\",\"job\":{\"task\":\"NAME\"}}";
    struct json_scan scan;
    struct schedule_definition made = {.timezone = "UTC", .catch_up = CATCH_UP_ONE};
    if (!read_object(body, &scan, EXAMPLE, problem))
        return problem->err;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        take_member(&scan.members[i], &made, problem);
    if (!has(&scan, "cron"))
        miss(problem, "cron", EXAMPLE);
    if (made.job.at != NULL)
        return finish(config, catalogue, &made, definition, problem);
    miss(problem, "job", EXAMPLE);
    return problem->err;
}

/* ----------------------------------------------------------------------------------------------------
 * document */

static void put_time(struct buf *out, int64_t real_ms)
{
    if (real_ms <= 0 || real_ms == INT64_MAX)
        PUT(out, "null");
    else
        buf_put_time(out, real_ms);
}

/* What is due now first, then as the database of zones says at this moment. */
static size_t find_times(const struct schedule *schedule, int64_t now_ms, int64_t times[NEXT_TIMES])
{
    struct zone *zone;
    size_t count = 0;
    int64_t at_ms = now_ms > schedule->last_ms ? now_ms : schedule->last_ms;
    if (schedule_paused(schedule) || !schedule_zone(schedule, &zone))
        return 0;
    if (schedule->next_ms <= now_ms)
        times[count++] = schedule->next_ms;
    for (; count < NEXT_TIMES && cron_next(&schedule->cron, zone, at_ms, &times[count]); count++)
        at_ms = times[count];
    zone_close(zone);
    return count;
}

static void put_progress(struct buf *out, const struct schedule *schedule)
{
    char id[ID_TEXT_BYTES];
    PUT(out, ",\"last_at\":");
    put_time(out, schedule->last_ms);
    id_format(schedule->last_job, id);
    if (id_is_none(schedule->last_job))
        PUT(out, ",\"last_job\":null");
    else
        buf_printf(out, ",\"last_job\":\"%s\"", id);
    PUT(out, ",\"made\":");
    buf_put_int(out, schedule->made);
    PUT(out, ",\"skipped\":");
    buf_put_int(out, schedule->skipped);
    if (schedule->error_ms == 0) {
        PUT(out, ",\"last_error\":null");
        return;
    }
    PUT(out, ",\"last_error\":{\"at\":");
    put_time(out, schedule->error_ms);
    PUT(out, ",\"message\":");
    buf_put_json(out, schedule->error, strlen(schedule->error));
    PUT(out, "}");
}

static void put_definition(struct buf *out, const struct schedule *schedule)
{
    struct schedule_definition shown = schedule->definition;
    BUF_AUTO members = {0};
    shown.paused = schedule_paused(schedule);
    schedule_definition_write(&members, &shown);
    buf_printf(out, "{\"schedule\":\"%s\",\"origin\":\"%s\",", schedule->name,
               schedule->from_file ? "file" : "api");
    out->failed = out->failed || members.failed;
    if (!members.failed)
        buf_add(out, members.data + 1, members.bytes - 2); /* without its braces */
}

static void put_links(struct buf *out, const struct schedule *schedule)
{
    buf_printf(out, ",\"links\":{\"self\":\"/v1/schedules/%s\"}}", schedule->name);
}

void codec_schedule(struct buf *out, const struct schedule *schedule, int64_t now_ms)
{
    int64_t times[NEXT_TIMES] = {0};
    size_t count = find_times(schedule, now_ms, times);
    put_definition(out, schedule);
    PUT(out, ",\"next_at\":");
    put_time(out, count > 0 ? times[0] : 0);
    PUT(out, ",\"next_times\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put(out, i > 0 ? "," : "");
        buf_put_time(out, times[i]);
    }
    PUT(out, "]");
    put_progress(out, schedule);
    put_links(out, schedule);
}

void codec_schedule_item(struct buf *out, const struct schedule *schedule)
{
    put_definition(out, schedule);
    PUT(out, ",\"next_at\":");
    put_time(out, schedule_paused(schedule) ? 0 : schedule->next_ms);
    put_progress(out, schedule);
    put_links(out, schedule);
}

/* -------------------------------------------------------------------------------------------------------
 * preview */

struct preview {
    char cron_text[CRON_TEXT_BYTES], timezone[ZONE_NAME_BYTES];
    struct cron cron;
    int64_t from_ms, count;
};

static void take_from(struct json_span value, struct preview *preview, struct problem *problem)
{
    char text[64], right[64];
    int days;
    bool is_text = json_text(value, text, sizeof text);
    if (is_text && clock_parse(text, &preview->from_ms) == ERR_OK)
        return;
    snprintf(right, sizeof right, "a time such as 2026-11-23T06:36:00Z (RFC 3339)");
    if (is_text && clock_no_such_day(text, &days))
        snprintf(right, sizeof right, "a day that there is: that month has %d", days);
    refuse(problem, "from", value, right);
}

static void take_asked(const struct json_member *member, struct preview *preview, struct problem *problem)
{
    static const char *const KNOWN[] = {"cron", "timezone", "from", "count"};
    if (json_key_is(member->key, "cron"))
        take_cron(member->value, preview->cron_text, &preview->cron, problem);
    else if (json_key_is(member->key, "timezone"))
        take_timezone(member->value, preview->timezone, problem);
    else if (json_key_is(member->key, "from"))
        take_from(member->value, preview, problem);
    else if (!json_key_is(member->key, "count"))
        refuse_unknown(problem, member->key, KNOWN, sizeof KNOWN / sizeof KNOWN[0]);
    else if (!json_int(member->value, &preview->count) || preview->count < 1 || preview->count > PREVIEW_MOST)
        refuse(problem, "count", member->value, "a whole number from 1 to 100");
}

/* As the clocks there show it, with their offset. */
static void put_local(struct buf *out, const struct zone *zone, int64_t real_ms)
{
    char text[CLOCK_TEXT_BYTES];
    int32_t offset_s = zone_offset_s(zone, real_ms / 1000);
    int minutes = abs(offset_s) / 60;
    clock_format(real_ms + (int64_t)offset_s * 1000, text);
    text[strcspn(text, ".")] = '\0'; /* a firing is on a whole second */
    buf_printf(out, "\"%s%c%02d:%02d\"", text, offset_s < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

static void put_times(struct buf *out, const struct preview *preview, const struct zone *zone)
{
    int64_t at_ms = preview->from_ms;
    PUT(out, ",\"times\":[");
    for (int64_t i = 0; i < preview->count && cron_next(&preview->cron, zone, at_ms, &at_ms); i++) {
        buf_put(out, i > 0 ? ",{\"utc\":" : "{\"utc\":");
        buf_put_time(out, at_ms);
        PUT(out, ",\"local\":");
        put_local(out, zone, at_ms);
        PUT(out, "}");
    }
    PUT(out, "]");
}

enum err codec_preview(struct buf *out, const struct buf *body, int64_t now_ms, struct problem *problem)
{
    static const char EXAMPLE[] = "{\"cron\":\"30 2 * * *\",\"timezone\":\"Europe/Berlin\",\"count\":3}";
    struct json_scan scan;
    struct zone *zone;
    struct preview preview = {.timezone = "UTC", .from_ms = now_ms, .count = PREVIEW_COUNT};
    if (!read_object(body, &scan, EXAMPLE, problem))
        return problem->err;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        take_asked(&scan.members[i], &preview, problem);
    if (!has(&scan, "cron"))
        miss(problem, "cron", EXAMPLE);
    if (problem->err == ERR_OK && zone_open(preview.timezone, &zone) != ERR_OK)
        problem_set(problem, ERR_INVALID_FIELD, "the time zone is not known any more");
    if (problem->err != ERR_OK)
        return problem->err;
    PUT(out, "{\"cron\":");
    buf_put_json(out, preview.cron_text, strlen(preview.cron_text));
    PUT(out, ",\"timezone\":");
    buf_put_json(out, preview.timezone, strlen(preview.timezone));
    PUT(out, ",\"from\":");
    buf_put_time(out, preview.from_ms);
    put_times(out, &preview, zone);
    PUT(out, "}");
    zone_close(zone);
    return ERR_OK;
}
