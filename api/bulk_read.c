#include "bulk.h"

#include "codec.h"
#include "extras.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void drop_entries(struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        job_free(bulk->entries[i].job);
        free(bulk->entries[i].detail);
    }
    bulk->count = 0;
}

void bulk_free(void *own)
{
    struct bulk_request *bulk = own;
    drop_entries(bulk);
    free(bulk->entries);
    free(bulk->bulk.lines);
    bulk_lines_fini(&bulk->lines);
    bulk_graph_fini(&bulk->graph);
    problem_fini(&bulk->problem);
    free(bulk);
}

/* The request as a whole is refused, whatever else is wrong with it. */
static void give_up(struct bulk_request *bulk, enum err err, const char *hint, const char *detail)
{
    problem_fini(&bulk->problem);
    bulk->problem = (struct problem){0};
    problem_set(&bulk->problem, err, "%s", detail);
    if (hint != NULL)
        problem_hint(&bulk->problem, "%s", hint);
    bulk->fatal = bulk->over = true;
    drop_entries(bulk);
}

void bulk_refuse(struct bulk_request *bulk, size_t at, const struct problem *fault)
{
    struct bulk_entry *entry = &bulk->entries[at];
    entry->err = fault->err;
    if (!bulk->atomic && entry->detail == NULL)
        entry->detail = strndup(fault->detail.bytes > 0 ? fault->detail.data : "", fault->detail.bytes);
    if (bulk->problem.count < BULK_FAULTS_MAX)
        problem_merge(&bulk->problem, fault);
    bulk->over = bulk->over || (bulk->atomic && bulk->problem.count >= BULK_FAULTS_MAX);
}

static struct bulk_entry *add_entry(struct bulk_request *bulk, size_t number)
{
    if (bulk->count == bulk->room) {
        size_t room = bulk->room > 0 ? 2 * bulk->room : 16;
        struct bulk_entry *entries = realloc(bulk->entries, room * sizeof entries[0]);
        if (entries == NULL)
            return NULL;
        bulk->entries = entries;
        bulk->room = room;
    }
    struct bulk_entry *entry = &bulk->entries[bulk->count++];
    memset(entry, 0, sizeof *entry);
    entry->number = number;
    return entry;
}

/* Of a line that is refused as well: then who waits for it is not refused for a ref that nobody has. */
static void note_ref(struct bulk_entry *entry, const struct buf *line)
{
    struct json_scan scan;
    if (json_scan(line->data, line->bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++) {
        if (json_key_is(scan.members[i].key, "ref") &&
            !json_text(scan.members[i].value, entry->ref, sizeof entry->ref))
            entry->ref[0] = '\0';
    }
}

/* The first line, if it is no JSON, tells what was meant. */
static void hint_form(struct problem *problem, const struct bulk_entry *entry, const struct buf *line)
{
    size_t blank = 0;
    while (blank < line->bytes && (line->data[blank] == ' ' || line->data[blank] == '\t'))
        blank++;
    if (entry->number > 1 || blank == line->bytes)
        return;
    if (line->data[blank] == '[')
        problem_hint(problem,
                     "send one job a line, without the brackets and commas of an array: jq -c '.[]'");
    else if (line->data[blank] == '{')
        problem_hint(problem, "each line is a whole JSON object, without line breaks in it: jq -c .");
}

static bool is_unreadable(enum err err)
{
    return err == ERR_INVALID_JSON || err == ERR_INVALID_UTF8 || err == ERR_TOO_DEEP ||
           err == ERR_DUPLICATE_KEY || err == ERR_NUMBER_RANGE || err == ERR_BODY_TOO_LARGE;
}

static void chain(struct id *print, const struct buf *line, size_t number, struct id *line_print)
{
    struct {
        struct id before, line;
        uint64_t number;
    } link = {.before = *print, .line = id_fingerprint(line->data, line->bytes), .number = number};
    *line_print = link.line;
    *print = id_fingerprint(&link, sizeof link);
}

/* KEY#n; the fingerprint is finished once all lines are known. */
static void set_key(struct bulk_request *bulk, struct bulk_entry *entry, struct id print,
                    struct problem *problem)
{
    struct job_spec *spec = &entry->job->spec;
    if (spec->idempotency_key[0] != '\0') {
        problem_hint(problem, "send the header alone, which gives each line a key of its own, or keys in the "
                              "lines alone");
        problem_add(problem, ERR_INVALID_FIELD, PLACE_POINTER, "/idempotency_key",
                    "the line has an idempotency_key, and the request has the header Idempotency-Key");
        return;
    }
    snprintf(spec->idempotency_key, sizeof spec->idempotency_key, "%s#%zu", bulk->key, entry->number);
    spec->fingerprint = print;
}

static void read_line(struct bulk_request *bulk, struct bulk_entry *entry, struct buf *line,
                      struct problem *problem)
{
    struct id print = {0};
    int64_t start_within_ms;
    struct submission submission = {.config = front_config(bulk->request->front),
                                    .catalogue = bulk->catalogue,
                                    .traceparent = bulk->request->headers[HEADER_TRACEPARENT],
                                    .body = line,
                                    .bulk = true};
    if (bulk->key != NULL)
        chain(&bulk->print, line, entry->number, &print);
    if (codec_submission(&submission, &entry->job, &start_within_ms, problem) != ERR_OK) {
        if (is_unreadable(problem->err))
            hint_form(problem, entry, line);
        else
            note_ref(entry, line);
        return;
    }
    struct json_span ref;
    if (extras_find(entry->job->extras, EXTRA_REF, &ref))
        (void)json_text(ref, entry->ref, sizeof entry->ref);
    if (bulk->key != NULL)
        set_key(bulk, entry, print, problem);
}

static void take_line(void *context, size_t number, struct buf *line, bool too_long)
{
    struct bulk_request *bulk = context;
    size_t listed = bulk->problem.count;
    PROBLEM_AUTO problem = {.line = number, .most = listed < BULK_FAULTS_MAX ? BULK_FAULTS_MAX - listed : 1};
    if (bulk->over)
        return;
    if (number > BULK_LINES_MAX) {
        give_up(bulk, ERR_BODY_TOO_LARGE, "send the jobs in several requests",
                request_printf(bulk->request, "the body has more than the %d lines that are allowed",
                               BULK_LINES_MAX));
        return;
    }
    struct bulk_entry *entry = line->failed ? NULL : add_entry(bulk, number);
    if (entry == NULL) {
        give_up(bulk, ERR_NO_MEMORY, NULL, err_title(ERR_NO_MEMORY));
        return;
    }
    if (too_long)
        problem_add(&problem, ERR_BODY_TOO_LARGE, PLACE_POINTER, "",
                    "the line has more than the %zu bytes that a job may have (http.max_body)",
                    bulk->lines.most);
    else
        read_line(bulk, entry, line, &problem);
    if (problem.err == ERR_OK)
        return;
    bulk->unreadable += is_unreadable(problem.err);
    bulk_refuse(bulk, bulk->count - 1, &problem);
}

/* The tasks may change between two pieces. */
static bool with_catalogue(struct bulk_request *bulk, const char *data, size_t bytes)
{
    struct catalogue_ref *ref = front_catalogue(bulk->request->front);
    if (ref == NULL)
        return false;
    bulk->catalogue = ref->catalogue;
    bulk->lines.visit = take_line;
    bulk->lines.context = bulk;
    if (data != NULL)
        bulk_lines_feed(&bulk->lines, data, bytes);
    else
        bulk_lines_end(&bulk->lines);
    bulk->catalogue = NULL;
    front_catalogue_drop(ref);
    return true;
}

void bulk_take(struct request *request, const char *data, size_t bytes)
{
    struct bulk_request *bulk = request->own;
    if (!bulk->fatal && !with_catalogue(bulk, data, bytes))
        give_up(bulk, ERR_STARTING, NULL, err_title(ERR_STARTING));
}

/* A repeated request is the same only if all of it is: no line may be new, gone or another one. */
static void finish_prints(struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        struct id prints[2] = {{{0}}, bulk->print};
        if (bulk->entries[i].job == NULL)
            continue;
        prints[0] = bulk->entries[i].job->spec.fingerprint;
        bulk->entries[i].job->spec.fingerprint = id_fingerprint(prints, sizeof prints);
    }
}

void bulk_end(struct bulk_request *bulk)
{
    bulk_take(bulk->request, NULL, 0);
    if (bulk->key != NULL)
        finish_prints(bulk);
}
