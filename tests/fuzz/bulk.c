/* Bodies of POST /v1/jobs/bulk, cut into pieces at any place: what is read does not depend on the cuts, and
 * the graph of who waits for whom is in order.
 *
 *     line 1: a: atomic, k: with an Idempotency-Key    line 2: each byte is the length of a piece    the body
 */
#include "front_rig.h"

#include "bulk.h"
#include "submission_fuzz.h"

static struct request request;

static const uint8_t CUTS_NONE[] = {0};

/* Reads the body in pieces of these lengths, again and again; 0: the rest. */
static struct bulk_request *read_body(struct input mode, struct input cuts, struct input body)
{
    struct bulk_request *bulk = calloc(1, sizeof *bulk);
    HOLDS(bulk != NULL, "memory");
    bulk->request = &request;
    bulk->lines.most = 1024;
    bulk->atomic = memchr(mode.data, 'a', mode.bytes) != NULL;
    bulk->key = memchr(mode.data, 'k', mode.bytes) != NULL ? "key" : NULL;
    request.own = bulk;
    for (size_t i = 0; body.bytes > 0; i++) {
        size_t length = cuts.bytes > 0 ? cuts.data[i % cuts.bytes] : 0;
        struct input piece = input_take(&body, length > 0 ? length : body.bytes);
        char *copy = input_text(piece); /* on its own, so that reading beyond it is seen */
        bulk_take(&request, copy, piece.bytes);
        free(copy);
    }
    bulk_end(bulk);
    return bulk;
}

static void same_text(const char *what, struct text a, struct text b)
{
    HOLDS(a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0), "%s: %.*s is %.*s", what,
          (int)a.bytes, a.at, (int)b.bytes, b.at);
}

static struct text of_buf(const struct buf *buf)
{
    return (struct text){buf->data, buf->bytes};
}

static void same_entry(const struct bulk_entry *a, const struct bulk_entry *b)
{
    HOLDS(a->number == b->number && a->err == b->err && strcmp(a->ref, b->ref) == 0, "line %zu is %zu",
          a->number, b->number);
    HOLDS((a->job == NULL) == (b->job == NULL) && (a->detail == NULL) == (b->detail == NULL),
          "line %zu: only one has a job", a->number);
    if (a->detail != NULL)
        HOLDS(strcmp(a->detail, b->detail) == 0, "%s: %s", a->detail, b->detail);
    if (a->job == NULL)
        return;
    same_text("extras", a->job->extras, b->job->extras);
    same_text("args", a->job->args, b->job->args);
    HOLDS(id_equal(a->job->spec.fingerprint, b->job->spec.fingerprint) &&
              strcmp(a->job->spec.idempotency_key, b->job->spec.idempotency_key) == 0,
          "line %zu: another fingerprint", a->number);
}

static void same(const struct bulk_request *a, const struct bulk_request *b)
{
    HOLDS(a->count == b->count && a->fatal == b->fatal && a->over == b->over &&
              a->unreadable == b->unreadable && a->lines.number == b->lines.number,
          "%zu lines are %zu", a->count, b->count);
    HOLDS(id_equal(a->print, b->print), "another fingerprint");
    HOLDS(a->problem.err == b->problem.err && a->problem.count == b->problem.count, "another problem");
    same_text("detail", of_buf(&a->problem.detail), of_buf(&b->problem.detail));
    same_text("errors", of_buf(&a->problem.errors), of_buf(&b->problem.errors));
    for (size_t i = 0; i < a->count; i++)
        same_entry(&a->entries[i], &b->entries[i]);
}

static void on_fault(void *context, size_t at, enum err err, const char *where, const char *detail)
{
    struct bulk_request *bulk = context;
    struct problem problem = {.line = bulk->entries[at].number};
    HOLDS(bulk->entries[at].err == err && detail[0] != '\0', "a fault without its error");
    problem_add(&problem, err, PLACE_POINTER, where, "%s", detail);
    bulk_refuse(bulk, at, &problem);
    problem_fini(&problem);
}

static void check_order(const struct bulk_graph *graph)
{
    size_t *place = malloc((graph->count + 1) * sizeof *place);
    HOLDS(place != NULL, "memory");
    memset(place, 0xff, (graph->count + 1) * sizeof *place);
    for (size_t i = 0; i < graph->count; i++) {
        HOLDS(graph->order[i] < graph->count && place[graph->order[i]] == SIZE_MAX, "no permutation");
        place[graph->order[i]] = i;
    }
    for (size_t i = 0; i < graph->count; i++) {
        for (size_t k = graph->first[i]; k < graph->first[i + 1]; k++) {
            HOLDS(graph->befores[k] < graph->count, "it waits for nobody");
            HOLDS(graph->entries[i].err == ERR_CYCLE || graph->entries[graph->befores[k]].err == ERR_CYCLE ||
                      place[graph->befores[k]] < place[i],
                  "entry %zu comes before %zu", i, graph->befores[k]);
        }
    }
    free(place);
}

/* As handlers_bulk.c does it: whoever waits for a refused line is refused for that. */
static void refuse_behind(struct bulk_graph *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        struct bulk_entry *entry = &graph->entries[graph->order[i]];
        if (entry->err == ERR_OK && bulk_graph_refused(graph, graph->order[i]) != NULL)
            entry->err = ERR_UNKNOWN_DEPENDENCY;
    }
}

static void check_graph(struct bulk_request *bulk)
{
    static struct id ids[AFTER_MAX];
    if (bulk->fatal || bulk->count == 0 || !bulk_graph_needed(bulk->entries, bulk->count))
        return;
    bulk->graph = (struct bulk_graph){.entries = bulk->entries,
                                      .count = bulk->count,
                                      .batch = id_new(),
                                      .fault = on_fault,
                                      .context = bulk};
    rig_ok(bulk_graph_read(&bulk->graph), "a graph");
    check_order(&bulk->graph);
    refuse_behind(&bulk->graph);
    rig_ok(bulk_graph_rewrite(&bulk->graph), "a graph");
    for (size_t i = 0; i < bulk->count; i++) {
        struct json_span after = {0};
        const struct bulk_entry *entry = &bulk->entries[i];
        if (entry->job == NULL || entry->err != ERR_OK)
            continue;
        holds_canonical(entry->job->extras);
        (void)extras_find(entry->job->extras, EXTRA_AFTER, &after);
        HOLDS(extras_after(entry->job->extras, ids) == elements(after), "a ref is left: %.*s",
              (int)after.bytes, after.at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char *const FLAGS[] = {"--http-max-body=1KiB", NULL};
    struct input input = {data, bytes}, mode = input_line(&input), cuts = input_line(&input);
    rig_prepare(FLAGS);
    if (!rig.up)
        rig_up();
    request.front = &rig.front;
    request.path = request.query = request.space;
    struct bulk_request *whole = read_body(mode, (struct input){CUTS_NONE, 1}, input);
    struct bulk_request *cut = read_body(mode, cuts, input);
    same(whole, cut);
    for (size_t i = 0; i < whole->count; i++)
        if (whole->entries[i].job != NULL && whole->entries[i].err == ERR_OK)
            holds_job(whole->entries[i].job, true);
    check_graph(cut);
    if (cut->problem.err != ERR_OK)
        holds_problem(&cut->problem, cut->problem.err);
    bulk_free(whole);
    bulk_free(cut);
    request.used = 0;
    return 0;
}
