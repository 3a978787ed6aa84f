#include "bulk_graph.h"

#include "buf.h"
#include "check.h"
#include "extras.h"
#include "nearest.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEIGHBOURS = 128, /* a ref that is not there was probably meant to be one of those before and behind */
    GUESSES = 16,     /* guessing takes time */
    CIRCLE_NAMES = 8  /* of a longer circle some are left out */
};

/* An entry's ref, sorted by it. */
struct name {
    const char *ref; /* borrowed */
    size_t at;
};

struct reading {
    struct bulk_graph *graph;
    struct name *names; /* owned */
    size_t name_count;
    size_t before_count, before_room;
    size_t guesses;
};

/* A walk in depth: who stands on the path, and which of its edges come next. */
struct walk {
    struct bulk_graph *graph;
    size_t *path, *next; /* owned, [count] and by entry */
    uint8_t *seen;       /* owned */
    size_t depth, ordered;
};
enum { SEEN_NOT, SEEN_ON_PATH, SEEN_DONE };

static void fault(struct bulk_graph *graph, size_t at, enum err err, const char *where, struct buf *detail)
{
    if (graph->entries[at].err != ERR_OK) /* rule 2 */
        return;
    buf_add(detail, "", 1);
    graph->entries[at].err = err;
    graph->fault(graph->context, at, err, where, detail->failed ? err_title(err) : detail->data);
}

/* The next element of EXTRA_AFTER as text; false: that was all. */
static bool next_after(struct json_span after, size_t *at, char text[NAME_BYTES + 1])
{
    struct json_span element;
    return extras_element(after, at, &element) && json_text(element, text, NAME_BYTES + 1);
}

static bool find_after(const struct bulk_entry *entry, struct json_span *after)
{
    return entry->job != NULL && extras_find(entry->job->extras, EXTRA_AFTER, after);
}

bool bulk_graph_needed(const struct bulk_entry *entries, size_t count)
{
    struct json_span after;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].ref[0] != '\0' ||
            (find_after(&entries[i], &after) && memchr(after.at, '@', after.bytes) != NULL))
            return true;
    }
    return false;
}

/* --------------------------------------------------------------------------------------------------------
 * names */

static int by_ref(const void *a, const void *b)
{
    const struct name *one = a, *two = b;
    int order = strcmp(one->ref, two->ref);
    return order != 0 ? order : one->at < two->at ? -1 : one->at > two->at;
}

static int by_ref_alone(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->ref, ((const struct name *)b)->ref);
}

static enum err read_names(struct reading *reading)
{
    struct bulk_graph *graph = reading->graph;
    size_t kept = 0;
    reading->names = calloc(graph->count, sizeof reading->names[0]);
    if (reading->names == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->entries[i].ref[0] != '\0')
            reading->names[reading->name_count++] = (struct name){graph->entries[i].ref, i};
    }
    if (reading->name_count == 0)
        return ERR_OK;
    qsort(reading->names, reading->name_count, sizeof reading->names[0], by_ref);
    for (size_t i = 1; i < reading->name_count; i++) {
        const struct name *first = &reading->names[kept], *name = &reading->names[i];
        BUF_AUTO detail = {0};
        if (strcmp(first->ref, name->ref) != 0) {
            reading->names[++kept] = *name;
            continue;
        }
        buf_printf(&detail, "the ref \"%s\" is that of line %zu already; each line needs its own", name->ref,
                   graph->entries[first->at].number);
        fault(graph, name->at, ERR_INVALID_FIELD, "/ref", &detail);
    }
    reading->name_count = kept + 1;
    return ERR_OK;
}

static const char *guess(struct reading *reading, size_t at, const char *ref)
{
    const struct bulk_graph *graph = reading->graph;
    const char *known[2 * NEIGHBOURS];
    size_t count = 0, from = at > NEIGHBOURS ? at - NEIGHBOURS : 0;
    if (reading->guesses++ >= GUESSES)
        return NULL;
    for (size_t i = from; i < graph->count && i < at + NEIGHBOURS; i++) {
        if (i != at && graph->entries[i].ref[0] != '\0')
            known[count++] = graph->entries[i].ref;
    }
    return nearest_name(ref, known, count);
}

static void unknown_ref(struct reading *reading, size_t at, const char *ref)
{
    BUF_AUTO detail = {0};
    if (reading->graph->entries[at].err != ERR_OK)
        return;
    const char *near = guess(reading, at, ref);
    buf_printf(&detail, "after names @%s, but no line of this request has the ref \"%s\"", ref, ref);
    if (near != NULL)
        buf_printf(&detail, "; did you mean @%s?", near);
    fault(reading->graph, at, ERR_UNKNOWN_DEPENDENCY, "/after", &detail);
}

/* --------------------------------------------------------------------------------------------------------
 * edges */

static enum err add_before(struct reading *reading, size_t before)
{
    struct bulk_graph *graph = reading->graph;
    if (reading->before_count == reading->before_room) {
        size_t room = reading->before_room > 0 ? 2 * reading->before_room : 64;
        size_t *befores = realloc(graph->befores, room * sizeof befores[0]);
        if (befores == NULL)
            return ERR_NO_MEMORY;
        graph->befores = befores;
        reading->before_room = room;
    }
    graph->befores[reading->before_count++] = before;
    return ERR_OK;
}

static void follow(struct bulk_graph *graph, size_t at)
{
    BUF_AUTO detail = {0};
    graph->follows[at] = true;
    if (!id_is_none(graph->batch))
        return;
    buf_put(&detail, "after names @batch, but the query says batch=false");
    fault(graph, at, ERR_INVALID_FIELD, "/after", &detail);
}

static enum err read_afters(struct reading *reading, size_t at)
{
    struct bulk_graph *graph = reading->graph;
    struct json_span after;
    char text[NAME_BYTES + 1];
    size_t position = 0;
    enum err err = ERR_OK;
    graph->first[at] = reading->before_count;
    if (!find_after(&graph->entries[at], &after))
        return ERR_OK;
    while (err == ERR_OK && next_after(after, &position, text)) {
        if (text[0] != '@')
            continue;
        struct name wanted = {text + 1, 0}, *found = NULL;
        if (strcmp(text, "@batch") == 0) {
            follow(graph, at);
            continue;
        }
        if (reading->name_count > 0)
            found = bsearch(&wanted, reading->names, reading->name_count, sizeof wanted, by_ref_alone);
        if (found == NULL)
            unknown_ref(reading, at, text + 1);
        else
            err = add_before(reading, found->at);
    }
    return err;
}

/* --------------------------------------------------------------------------------------------------------
 * circles */

static void put_name(struct buf *out, const struct bulk_entry *entry)
{
    if (entry->ref[0] != '\0')
        buf_put(out, entry->ref);
    else
        buf_printf(out, "line %zu", entry->number);
}

/* A follower waits for all that are none: one of these that waits for a follower waits for itself. */
static void check_followers(struct bulk_graph *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->follows[i])
            continue;
        for (size_t k = graph->first[i]; k < graph->first[i + 1]; k++) {
            const struct bulk_entry *before = &graph->entries[graph->befores[k]];
            BUF_AUTO detail = {0};
            if (!graph->follows[graph->befores[k]])
                continue;
            buf_put(&detail, "the jobs wait for each other in a circle: ");
            put_name(&detail, &graph->entries[i]);
            buf_printf(&detail, " → %s → @batch → ", before->ref);
            put_name(&detail, &graph->entries[i]);
            buf_put(&detail, "; to run behind the batch as well, it needs \"@batch\" in its own `after`");
            fault(graph, i, ERR_CYCLE, "/after", &detail);
        }
    }
}

/* The path from `from` on ends where it began. */
static void report_circle(struct walk *walk, size_t from)
{
    BUF_AUTO text = {0};
    struct bulk_graph *graph = walk->graph;
    size_t length = walk->depth - from;
    buf_put(&text, "the jobs wait for each other in a circle: ");
    for (size_t i = 0; i < length; i++) {
        if (length > CIRCLE_NAMES && i == CIRCLE_NAMES / 2) {
            i = length - CIRCLE_NAMES / 2;
            buf_printf(&text, "… (%d more) → ", (int)(length - CIRCLE_NAMES));
        }
        put_name(&text, &graph->entries[walk->path[from + i]]);
        buf_put(&text, " → ");
    }
    put_name(&text, &graph->entries[walk->path[from]]);
    for (size_t i = from; i < walk->depth; i++) {
        BUF_AUTO detail = {0};
        buf_add(&detail, text.data, text.bytes);
        fault(graph, walk->path[i], ERR_CYCLE, "/after", &detail);
    }
}

static void step_into(struct walk *walk, size_t at)
{
    walk->seen[at] = SEEN_ON_PATH;
    walk->next[at] = walk->graph->first[at];
    walk->path[walk->depth++] = at;
}

/* All that `root` waits for, then itself. */
static void visit(struct walk *walk, size_t root)
{
    struct bulk_graph *graph = walk->graph;
    step_into(walk, root);
    while (walk->depth > 0) {
        size_t at = walk->path[walk->depth - 1];
        if (walk->next[at] == graph->first[at + 1]) {
            walk->seen[at] = SEEN_DONE;
            graph->order[walk->ordered++] = (uint32_t)at;
            walk->depth--;
            continue;
        }
        size_t before = graph->befores[walk->next[at]++];
        if (walk->seen[before] == SEEN_NOT) {
            step_into(walk, before);
        } else if (walk->seen[before] == SEEN_ON_PATH) {
            size_t from = walk->depth - 1;
            while (walk->path[from] != before)
                from--;
            report_circle(walk, from);
        }
    }
}

static void visit_all(struct walk *walk, bool followers)
{
    for (size_t i = 0; i < walk->graph->count; i++) {
        if (walk->graph->follows[i] == followers && walk->seen[i] == SEEN_NOT)
            visit(walk, i);
    }
}

static enum err put_in_order(struct bulk_graph *graph)
{
    struct walk walk = {.graph = graph,
                        .path = calloc(graph->count, sizeof(size_t)),
                        .next = calloc(graph->count, sizeof(size_t)),
                        .seen = calloc(graph->count, 1)};
    bool ok = walk.path != NULL && walk.next != NULL && walk.seen != NULL;
    if (ok) {
        visit_all(&walk, false);
        visit_all(&walk, true);
        CHECK(walk.ordered == graph->count);
    }
    free(walk.path);
    free(walk.next);
    free(walk.seen);
    return ok ? ERR_OK : ERR_NO_MEMORY;
}

/* Else they would wait for a batch without jobs. */
static void check_somebody_leads(struct bulk_graph *graph)
{
    BUF_AUTO detail = {0};
    size_t followers = 0;
    for (size_t i = 0; i < graph->count; i++)
        followers += graph->follows[i];
    if (graph->count == 0 || followers < graph->count)
        return;
    buf_put(&detail, "all jobs of the request wait for @batch, so there is none that they could wait for");
    fault(graph, 0, ERR_CYCLE, "/after", &detail);
}

enum err bulk_graph_read(struct bulk_graph *graph)
{
    struct reading reading = {.graph = graph};
    size_t count = graph->count;
    graph->order = calloc(count, sizeof graph->order[0]);
    graph->first = calloc(count + 1, sizeof graph->first[0]);
    graph->follows = calloc(count, sizeof graph->follows[0]);
    enum err err = graph->order == NULL || graph->first == NULL || graph->follows == NULL
                       ? ERR_NO_MEMORY
                       : read_names(&reading);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = read_afters(&reading, i);
    free(reading.names);
    if (err != ERR_OK)
        return err;
    graph->first[count] = reading.before_count;
    check_followers(graph);
    check_somebody_leads(graph);
    return put_in_order(graph);
}

/* -----------------------------------------------------------------------------------------------------
 * afterwards */

static const struct bulk_entry *leader_refused(const struct bulk_graph *graph)
{
    const struct bulk_entry *refused = NULL;
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->follows[i])
            continue;
        if (graph->entries[i].err == ERR_OK)
            return NULL;
        if (refused == NULL)
            refused = &graph->entries[i];
    }
    return refused;
}

const struct bulk_entry *bulk_graph_refused(const struct bulk_graph *graph, size_t at)
{
    for (size_t k = graph->first[at]; k < graph->first[at + 1]; k++) {
        const struct bulk_entry *before = &graph->entries[graph->befores[k]];
        if (before->err != ERR_OK)
            return before;
    }
    return graph->follows[at] ? leader_refused(graph) : NULL;
}

/* The extras anew, with ids: those of befores come in the order of their refs. */
static enum err rewrite(struct bulk_graph *graph, size_t at)
{
    struct job *job = graph->entries[at].job;
    struct json_span after;
    char text[NAME_BYTES + 1], id[ID_TEXT_BYTES];
    size_t position = 0, before = graph->first[at], bytes;
    BUF_AUTO out = {0};
    if (!find_after(&graph->entries[at], &after) || memchr(after.at, '@', after.bytes) == NULL)
        return ERR_OK;
    const char *end = job->extras.at + job->extras.bytes, *rest = after.at + after.bytes;
    buf_add(&out, job->extras.at, (size_t)(after.at - job->extras.at));
    buf_put(&out, "[");
    for (bool first = true; next_after(after, &position, text); first = false) {
        bool batch = strcmp(text, "@batch") == 0;
        if (text[0] == '@')
            id_format(batch ? graph->batch : graph->entries[graph->befores[before++]].job->spec.id, id);
        buf_printf(&out, "%s\"%s\"", first ? "" : ",", text[0] == '@' ? id : text);
    }
    buf_put(&out, "]");
    buf_add(&out, rest, (size_t)(end - rest));
    char *extras = buf_take(&out, &bytes);
    if (extras == NULL)
        return ERR_NO_MEMORY;
    free(job->owned[3]);
    job->owned[3] = extras;
    job->extras = (struct text){extras, bytes};
    return ERR_OK;
}

enum err bulk_graph_rewrite(struct bulk_graph *graph)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < graph->count && err == ERR_OK; i++) {
        if (graph->entries[i].err != ERR_OK)
            continue;
        CHECK(graph->entries[i].job != NULL);
        if (graph->follows[i])
            graph->entries[i].job->spec.flags |= JOB_FLAG_FOLLOWER;
        err = rewrite(graph, i);
    }
    return err;
}

void bulk_graph_fini(struct bulk_graph *graph)
{
    free(graph->order);
    free(graph->first);
    free(graph->befores);
    free(graph->follows);
    graph->order = NULL;
    graph->first = graph->befores = NULL;
    graph->follows = NULL;
}
