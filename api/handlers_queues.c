/* GET /v1/queues and /v1/queues/{queue}: what waits, runs and has ended in each, and what limits it. */
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "tally.h"

#include <stdlib.h>
#include <string.h>

/* Names alone; what is known of each is looked up when it is written. */
struct queues {
    char (*names)[NAME_BYTES]; /* owned, sorted once all are there */
    size_t count, room;
};

/* ------------------------------------------------------------------------------------------------------
 * gathering */

static bool has(const struct queues *queues, const char *name)
{
    for (size_t i = 0; i < queues->count; i++) {
        if (strcmp(queues->names[i], name) == 0)
            return true;
    }
    return false;
}

static bool add(struct queues *queues, const char *name)
{
    if (has(queues, name))
        return true;
    if (queues->count == queues->room) {
        size_t room = queues->room > 0 ? 2 * queues->room : 16;
        void *grown = reallocarray(queues->names, room, sizeof queues->names[0]);
        if (grown == NULL)
            return false;
        queues->names = grown;
        queues->room = room;
    }
    text_copy(queues->names[queues->count++], NAME_BYTES, name, strlen(name));
    return true;
}

/* The dispatcher never forgets a queue; one is there for a client as long as it has something to say. */
static bool is_there(const struct lane_view *view)
{
    bool limited = false;
    for (int i = 0; i < LIMIT_COUNT; i++)
        limited = limited || (view->limits.values[i] != LIMIT_NOT_SET && i != LIMIT_WEIGHT) ||
                  view->set.values[i] != LIMIT_NOT_SET;
    return limited || view->waiting > 0 || view->in_flight > 0;
}

/* Those that the dispatcher knows, those of jobs that there are, those that tasks name, and the default. */
static bool add_all(struct queues *queues, const struct look *look, const struct tally *tally,
                    const struct catalogue *catalogue)
{
    bool ok = add(queues, "default");
    for (size_t i = 0; ok && i < look->count; i++)
        ok = !is_there(&look->views[i]) || add(queues, look->views[i].name);
    for (uint32_t i = 0; ok && i < catalogue->task_count; i++)
        ok = catalogue->tasks[i].queue[0] == '\0' || add(queues, catalogue->tasks[i].queue);
    for (size_t i = 0; ok && i < tally->count; i++)
        ok = add(queues, tally->rows[i].queue);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum err gather(struct request *request, struct tally *tally, struct queues *queues)
{
    enum err err = tally_take(request, tally);
    if (err != ERR_OK)
        return err;
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return ERR_STARTING;
    bool ok = add_all(queues, request->errand.look, tally, ref->catalogue);
    front_catalogue_drop(ref);
    if (!ok)
        return ERR_NO_MEMORY;
    qsort(queues->names, queues->count, sizeof queues->names[0], by_name);
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------------
 * answers */

static void put_oldest(struct buf *out, const struct lane_view *view)
{
    PUT(out, ",\"oldest_queued_seconds\":");
    if (view == NULL || view->oldest_ms <= 0) {
        PUT(out, "null");
        return;
    }
    int64_t age_ms = clock_real_ms() - view->oldest_ms;
    buf_put_seconds(out, age_ms > 0 ? age_ms : 0);
}

static void put_queue(struct buf *out, const char *name, const struct lane_view *view,
                      const struct tally *tally)
{
    int64_t jobs[JOB_STATE_COUNT] = {0};
    tally_sum(tally, name, NULL, jobs);
    buf_printf(out, "{\"queue\":\"%s\",\"pool\":", name);
    if (view != NULL && view->pool[0] != '\0')
        buf_put_json(out, view->pool, strlen(view->pool));
    else
        PUT(out, "null");
    PUT(out, ",\"jobs\":");
    tally_put(out, jobs);
    PUT(out, ",\"waiting\":");
    buf_put_int(out, view != NULL ? view->waiting : 0);
    put_oldest(out, view);
    codec_lane(out, FOR_QUEUE, view, NULL);
    buf_printf(out, ",\"links\":{\"self\":\"/v1/queues/%s\",\"jobs\":\"/v1/jobs?queue=%s\"}}", name, name);
}

static void put_queues(struct request *request, const struct queues *queues, const struct tally *tally)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"items\":[");
    for (size_t i = 0; i < queues->count; i++) {
        const char *name = queues->names[i];
        buf_put(out, i > 0 ? ",\n" : "");
        put_queue(out, name, handler_view(request->errand.look, name), tally);
    }
    PUT(out, "]}\n");
}

/* Of that one, whether or not there is anything to say of it. */
static void put_named(struct request *request, const struct queues *queues, const struct tally *tally)
{
    const char *name = request->capture;
    struct buf *out = reply_json(request, 200);
    (void)queues;
    put_queue(out, name, handler_view(request->errand.look, name), tally);
    PUT(out, "\n");
}

static bool is_known(struct request *request, const struct queues *queues)
{
    const char *name = request->capture;
    if (has(queues, name))
        return true;
    problem_answer(
        request, ERR_UNKNOWN_QUEUE, NULL,
        "there is no queue \"%.64s\": no task names it, no job is in it, and nothing is set for it", name);
    return false;
}

static void put_one(struct request *request, const struct queues *queues, const struct tally *tally)
{
    if (is_known(request, queues))
        put_named(request, queues, tally);
}

static enum answer answer_with(struct request *request,
                               void (*put)(struct request *, const struct queues *, const struct tally *))
{
    TALLY_AUTO tally = {0};
    struct queues queues = {0};
    enum err err = gather(request, &tally, &queues);
    if (err == ERR_OK)
        put(request, &queues, &tally);
    free(queues.names);
    return err != ERR_OK ? problem_plain(request, err) : ANSWERED;
}

static enum answer answer_queues(struct request *request)
{
    return answer_with(request, put_queues);
}

static enum answer answer_queue(struct request *request)
{
    return answer_with(request, put_one);
}

static enum answer answer_named(struct request *request)
{
    return answer_with(request, put_named);
}

bool handler_queue_known(struct request *request)
{
    TALLY_AUTO tally = {0};
    struct queues queues = {0};
    enum err err = gather(request, &tally, &queues);
    bool known = err == ERR_OK && is_known(request, &queues);
    if (err != ERR_OK)
        problem_plain(request, err);
    free(queues.names);
    return known;
}

enum answer handler_queue(struct request *request)
{
    return handler_look(request, LOOK_QUEUES, answer_named);
}

enum answer list_queues(struct request *request)
{
    return handler_look(request, LOOK_QUEUES, answer_queues);
}

enum answer get_queue(struct request *request)
{
    return handler_look(request, LOOK_QUEUES, answer_queue);
}
