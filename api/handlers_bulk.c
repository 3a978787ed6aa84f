/* POST /v1/jobs/bulk: many jobs in one request, one a line. */
#include "await.h"
#include "bulk.h"
#include "codec.h"
#include "extras.h"
#include "handlers.h"
#include "routes.h"

#include <stdlib.h>
#include <string.h>

/* -----------------------------------------------------------------------------------------------------
 * the request without its body */

static bool take_key(struct request *request, const char **key)
{
    const char *text = *key = request->headers[HEADER_IDEMPOTENCY_KEY];
    size_t bytes = text != NULL ? strlen(text) : 1, printable = 0;
    while (text != NULL && printable < bytes && text[printable] >= 0x20 && text[printable] < 0x7f)
        printable++;
    if (text == NULL || (bytes > 0 && bytes <= BULK_KEY_MAX && printable == bytes))
        return true;
    PROBLEM_AUTO problem = {0};
    problem_hint(&problem, "each line gets a key of its own: this one, \"#\" and the number of the line");
    problem_add(&problem, ERR_INVALID_PARAMETER, PLACE_HEADER, "Idempotency-Key",
                "Idempotency-Key has %zu bytes%s, but must be 1 to %d printable ASCII characters here", bytes,
                printable < bytes ? ", not all of them printable ASCII" : "", BULK_KEY_MAX);
    problem_reply(request, &problem);
    return false;
}

/* Part of what a repeated request must have in common with the first. */
static struct id print_query(const struct bulk_request *bulk)
{
    const char said[] = {bulk->atomic ? 'a' : '-', bulk->batch_said ? 's' : '-', bulk->batch ? 'b' : '-'};
    return id_fingerprint(said, sizeof said);
}

/* ------------------------------------------------------------------------------------------------------
 * refusals of lines */

static void refuse(struct bulk_request *bulk, size_t at, enum err err, const char *where, const char *detail)
{
    PROBLEM_AUTO problem = {.line = bulk->entries[at].number};
    problem_add(&problem, err, PLACE_POINTER, where, "%s", detail);
    bulk_refuse(bulk, at, &problem);
}

static void on_graph_fault(void *context, size_t at, enum err err, const char *where, const char *detail)
{
    refuse(context, at, err, where, detail);
}

/* Another line has what only one job may have. All are refused, so that its job was never there: its id would
 * lead nowhere. */
static void refuse_twin(struct bulk_request *bulk, size_t at, enum err err, const struct bulk_entry *twin)
{
    struct unique_rule rule = {0};
    const struct job *job = bulk->entries[at].job;
    PROBLEM_AUTO problem = {.line = bulk->entries[at].number};
    if (err == ERR_KEY_REUSED) {
        problem_add(&problem, err, PLACE_POINTER, "/idempotency_key",
                    "line %zu of this request has the same idempotency_key \"%s\", and is another job",
                    twin->number, job->spec.idempotency_key);
        problem_hint(&problem, "give each line an idempotency_key of its own");
    } else {
        (void)extras_unique(job->extras, &rule);
        problem_add(&problem, err, PLACE_POINTER, "/unique",
                    "line %zu of this request has the same uniqueness key \"%s\"", twin->number, rule.key);
        problem_hint(&problem, "leave one of them out, or give them keys of their own; with on_conflict "
                               "\"return\" the second one is answered with the job of the first");
    }
    bulk_refuse(bulk, at, &problem);
}

static void refuse_behind(struct bulk_request *bulk, size_t at, const struct bulk_entry *before)
{
    refuse(
        bulk, at, ERR_UNKNOWN_DEPENDENCY, "/after",
        request_printf(bulk->request, "it waits for the job of line %zu, which was refused", before->number));
}

static enum err read_graph(struct bulk_request *bulk)
{
    const struct id none = {0};
    bool needed = bulk_graph_needed(bulk->entries, bulk->count);
    bulk->batch = bulk->batch_said ? bulk->batch : needed;
    bulk->bulk.batch = bulk->batch_id = bulk->batch ? id_new() : none;
    bulk->graph = (struct bulk_graph){.entries = bulk->entries,
                                      .count = bulk->count,
                                      .batch = bulk->bulk.batch,
                                      .fault = on_graph_fault,
                                      .context = bulk};
    return needed ? bulk_graph_read(&bulk->graph) : ERR_OK;
}

/* ------------------------------------------------------------------------------------------------------
 * admission */

static void give_back_place(struct bulk_request *bulk, struct bulk_entry *entry)
{
    if (entry->admitted)
        front_unadmit(bulk->request->front, &entry->job->spec);
    entry->admitted = false;
}

static void give_back_all(struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++)
        give_back_place(bulk, &bulk->entries[i]);
}

/* How many jobs of the request go to the queue, and how many of them have their places already. */
static int64_t count_lines(const struct bulk_request *bulk, const char *queue, int64_t *admitted)
{
    int64_t lines = 0;
    *admitted = 0;
    for (size_t i = 0; i < bulk->count; i++) {
        const struct bulk_entry *entry = &bulk->entries[i];
        if (entry->err != ERR_OK || strcmp(entry->job->spec.queue, queue) != 0)
            continue;
        lines++;
        *admitted += entry->admitted;
    }
    return lines;
}

static void say_not_admitted(struct bulk_request *bulk, enum err err, const char *queue,
                             struct admission *admission, struct problem *problem)
{
    int64_t together = 1, admitted = 0;
    if (bulk->atomic && bulk->not_admitted++ < BULK_FAULTS_MAX) { /* those come to nothing with this one */
        together = count_lines(bulk, queue, &admitted);
        admission->depth -= admitted;
    }
    bulk->retry_after_s = codec_not_admitted(problem, err, queue, admission, together);
    bulk->never = bulk->never || bulk->retry_after_s == 0;
}

static void admit(struct bulk_request *bulk, size_t at)
{
    struct admission admission;
    const struct job_spec *spec = &bulk->entries[at].job->spec;
    PROBLEM_AUTO problem = {.line = bulk->entries[at].number};
    enum err err = front_admit(bulk->request->front, spec, &admission);
    bulk->entries[at].admitted = err == ERR_OK;
    if (err == ERR_OK)
        return;
    say_not_admitted(bulk, err, spec->queue, &admission, &problem);
    if (!extras_may_stand(bulk->entries[at].job)) {
        bulk_refuse(bulk, at, &problem);
        return;
    }
    bulk->entries[at].otherwise = err;
    bulk->entries[at].detail = strndup(problem.detail.data, problem.detail.bytes);
}

/* Those before others come first, so that who waits for a refused one is refused too. */
static void admit_all(struct bulk_request *bulk)
{
    const struct bulk_graph *graph = &bulk->graph;
    for (size_t i = 0; i < bulk->count; i++) {
        size_t at = graph->order != NULL ? graph->order[i] : i;
        if (bulk->entries[at].err != ERR_OK)
            continue;
        const struct bulk_entry *before = graph->order != NULL ? bulk_graph_refused(graph, at) : NULL;
        if (before != NULL)
            refuse_behind(bulk, at, before);
        else
            admit(bulk, at);
        if (bulk->atomic && bulk->problem.err != ERR_OK)
            return;
    }
}

/* -----------------------------------------------------------------------------------------------------
 * the server's answer */

static enum answer refuse_whole(struct bulk_request *bulk)
{
    bulk_say_when(bulk, bulk->problem.err);
    bulk->problem.for_good = bulk->problem.err == ERR_QUEUE_FULL && bulk->never;
    return problem_reply(bulk->request, &bulk->problem);
}

static const struct bulk_entry *entry_of(const struct bulk_request *bulk, struct id id)
{
    for (size_t i = 0; i < bulk->count && bulk->looks < BULK_LOOKS_MAX; i++) {
        if (bulk->entries[i].job != NULL && id_equal(bulk->entries[i].job->spec.id, id))
            return &bulk->entries[i];
    }
    return NULL;
}

static void not_accepted(struct bulk_request *bulk, const struct bulk_entry *entry,
                         const struct bulk_line *line, struct problem *problem)
{
    struct request *request = bulk->request;
    bool read = (line->err == ERR_DUPLICATE_JOB || line->err == ERR_UNKNOWN_DEPENDENCY) &&
                bulk->looks < BULK_LOOKS_MAX && await_read(request, line->original) == ERR_OK;
    const struct job *other = read ? request->job : NULL;
    if (entry->otherwise != ERR_OK && line->err == entry->otherwise)
        problem_set(problem, line->err, "%s", entry->detail != NULL ? entry->detail : err_title(line->err));
    else if (line->err == ERR_DUPLICATE_JOB)
        codec_duplicate(problem, entry->job, false, line->original, other);
    else if (line->err == ERR_UNKNOWN_DEPENDENCY)
        codec_unknown_dependency(problem, entry->job, line->original, other, false);
    else if (line->err == ERR_KEY_REUSED)
        problem_set(problem, line->err, "the Idempotency-Key \"%s\" was used for another request",
                    entry->job->spec.idempotency_key);
    else
        problem_set(problem, line->err, "%s", err_title(line->err));
}

/* What the server said of one line. */
static void refused_by_server(struct bulk_request *bulk, size_t at, const struct bulk_line *line)
{
    struct bulk_entry *entry = &bulk->entries[at];
    PROBLEM_AUTO problem = {.line = entry->number};
    const struct bulk_entry *before =
        line->err == ERR_UNKNOWN_DEPENDENCY ? entry_of(bulk, line->original) : NULL;
    if (before != NULL) {
        refuse_behind(bulk, at, before);
        return;
    }
    bool twin = line->err == ERR_DUPLICATE_JOB || line->err == ERR_KEY_REUSED;
    before = twin && bulk->atomic ? entry_of(bulk, line->original) : NULL;
    if (before != NULL) {
        refuse_twin(bulk, at, line->err, before);
        return;
    }
    if (line->err == ERR_UNKNOWN_DEPENDENCY && id_equal(line->original, bulk->batch_id)) {
        refuse(bulk, at, line->err, "/after",
               "it waits for @batch, and no other job of the request is new: they were refused, or stood "
               "already");
        return;
    }
    not_accepted(bulk, entry, line, &problem);
    bulk_refuse(bulk, at, &problem);
}

static void take_answers(struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        const struct bulk_line *line = &bulk->bulk.lines[i];
        struct bulk_entry *entry = &bulk->entries[i];
        bool other = line->replayed || line->returned;
        if (entry->err != ERR_OK)
            continue;
        entry->replayed = line->replayed;
        entry->returned = line->returned;
        entry->id = other ? line->original : entry->job->spec.id;
        if (line->err != ERR_OK || other)
            give_back_place(bulk, entry);
        if (line->err != ERR_OK) {
            refused_by_server(bulk, i, line);
            bulk->looks++;
        }
    }
}

static enum answer go_on(struct request *request)
{
    struct bulk_request *bulk = request->own;
    struct bulk *sent = &bulk->bulk;
    enum err err = request->errand.err;
    if (request->errand_wake.open)
        return SUSPENDED;
    if (err == ERR_OK) {
        take_answers(bulk);
        return bulk->atomic ? bulk_answer_ids(bulk) : bulk_answer_lines(bulk);
    }
    give_back_all(bulk);
    if (!bulk->atomic || sent->failed >= sent->count || sent->lines[sent->failed].err != err)
        return problem_plain(request, err);
    refused_by_server(bulk, sent->failed, &sent->lines[sent->failed]);
    return refuse_whole(bulk);
}

/* ---------------------------------------------------------------------------------------------------- the
 * body is there */

static enum err send_lines(struct bulk_request *bulk)
{
    const struct bulk_graph *graph = &bulk->graph;
    struct bulk *sent = &bulk->bulk;
    sent->lines = calloc(bulk->count, sizeof sent->lines[0]);
    if (sent->lines == NULL || (graph->order != NULL && bulk_graph_rewrite(&bulk->graph) != ERR_OK))
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < bulk->count; i++) {
        struct bulk_entry *entry = &bulk->entries[i];
        sent->lines[i] =
            (struct bulk_line){.job = entry->job, .err = entry->err, .otherwise = entry->otherwise};
        if (entry->err == ERR_OK)
            entry->job->spec.batch = sent->batch;
    }
    sent->count = bulk->count;
    sent->order = graph->order;
    sent->first = graph->first;
    sent->befores = graph->befores;
    sent->atomic = bulk->atomic;
    await_bulk(bulk->request, sent);
    return ERR_OK;
}

static enum answer no_jobs(struct request *request)
{
    return problem_answer(
        request, ERR_INVALID_FIELD, "send one job a line, such as {\"task\":\"echo\",\"args\":1}",
        "the body holds no job: it %s", request->body_bytes == 0 ? "is empty" : "has blank lines only");
}

static bool all_refused(const struct bulk_request *bulk)
{
    for (size_t i = 0; i < bulk->count; i++) {
        if (bulk->entries[i].err == ERR_OK)
            return false;
    }
    return true;
}

static enum answer body_is_there(struct request *request)
{
    struct bulk_request *bulk = request->own;
    bulk_end(bulk);
    if (bulk->fatal)
        return refuse_whole(bulk);
    if (bulk->count == 0)
        return no_jobs(request);
    if (!bulk->atomic && bulk->unreadable == bulk->count)
        return refuse_whole(bulk);
    if (front_draining(request->front))
        return problem_plain(request, ERR_DRAINING);
    enum err err = read_graph(bulk);
    if (err == ERR_OK && !(bulk->atomic && bulk->problem.err != ERR_OK))
        admit_all(bulk);
    if (err == ERR_OK && bulk->atomic && bulk->problem.err != ERR_OK) {
        give_back_all(bulk);
        return refuse_whole(bulk);
    }
    if (err == ERR_OK && all_refused(bulk))
        return bulk_answer_lines(bulk);
    request->then = go_on;
    if (err == ERR_OK)
        err = send_lines(bulk);
    if (err == ERR_OK)
        return SUSPENDED;
    give_back_all(bulk);
    return problem_plain(request, err);
}

enum answer submit_bulk(struct request *request)
{
    struct bulk_request *bulk = calloc(1, sizeof *bulk);
    if (bulk == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    request->own = bulk;
    request->own_free = bulk_free;
    bulk->request = request;
    bulk->lines.most = (size_t)front_config(request->front)->http_max_body;
    bulk->batch_said = request_parameter(request, "batch") != NULL;
    if (!handler_flag(request, "atomic", true, &bulk->atomic) ||
        !handler_flag(request, "batch", false, &bulk->batch) || !take_key(request, &bulk->key))
        return ANSWERED;
    if (front_draining(request->front))
        return problem_plain(request, ERR_DRAINING);
    bulk->print = print_query(bulk);
    request->take = bulk_take;
    request->then = body_is_there;
    return SUSPENDED;
}
