/* GET /v1/queues and /v1/queues/{queue}: what waits, runs and has ended in each. */
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "tally.h"

#include <stdlib.h>
#include <string.h>

struct queue {
    char name[NAME_BYTES];
    int64_t jobs[JOB_STATE_COUNT];
    int64_t oldest_ms; /* created_ms of the oldest job met that waits; INT64_MAX: none */
    int level;         /* in which it was met last: the first of a level is that level's oldest */
};

struct queues {
    struct front *front;
    struct queue *items; /* owned, by name */
    size_t count, room;
    size_t waiting; /* queues in which something waits */
    size_t met;     /* of these, in this level */
    int level;
};

/* ------------------------------------------------------------------------------------------------------
 * gathering */

static struct queue *find(struct queues *queues, const char *name)
{
    for (size_t i = 0; i < queues->count; i++) {
        if (strcmp(queues->items[i].name, name) == 0)
            return &queues->items[i];
    }
    return NULL;
}

static bool add(struct queues *queues, const char *name)
{
    if (find(queues, name) != NULL)
        return true;
    if (queues->count == queues->room) {
        size_t room = queues->room > 0 ? 2 * queues->room : 16;
        struct queue *grown = reallocarray(queues->items, room, sizeof *grown);
        if (grown == NULL)
            return false;
        queues->items = grown;
        queues->room = room;
    }
    struct queue *queue = &queues->items[queues->count++];
    *queue = (struct queue){.oldest_ms = INT64_MAX, .level = -1};
    text_copy(queue->name, sizeof queue->name, name, strlen(name));
    return true;
}

/* Those of jobs that there are, those that tasks name, and the default. */
static bool add_all(struct queues *queues, const struct tally *tally, const struct catalogue *catalogue)
{
    bool ok = add(queues, "default");
    for (uint32_t i = 0; ok && i < catalogue->task_count; i++)
        ok = catalogue->tasks[i].queue[0] == '\0' || add(queues, catalogue->tasks[i].queue);
    for (size_t i = 0; ok && i < tally->count; i++)
        ok = add(queues, tally->rows[i].queue);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct queue *)a)->name, ((const struct queue *)b)->name);
}

/* Rows of running jobs stand first in the line, but do not wait. Within a level the first of a queue is its
 * oldest, so a level is left once each queue was met. */
static bool meet(void *context, const struct store_waiting *waiting)
{
    struct queues *queues = context;
    struct queue *queue = find(queues, waiting->queue);
    if (waiting->priority != queues->level) {
        queues->level = waiting->priority;
        queues->met = 0;
    }
    if (queue == NULL || queue->level == queues->level || front_is_running(queues->front, waiting->id))
        return true;
    queue->level = queues->level;
    if (waiting->created_ms < queue->oldest_ms)
        queue->oldest_ms = waiting->created_ms;
    return ++queues->met < queues->waiting;
}

static enum err look_at_line(struct request *request, struct queues *queues)
{
    queues->level = -1;
    for (size_t i = 0; i < queues->count; i++)
        queues->waiting += queues->items[i].jobs[JOB_QUEUED] > 0;
    return queues->waiting > 0 ? store_line(request->reader, meet, queues) : ERR_OK;
}

static enum err gather(struct request *request, struct queues *queues)
{
    TALLY_AUTO tally = {0};
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return err;
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return ERR_STARTING;
    bool ok = add_all(queues, &tally, ref->catalogue);
    front_catalogue_drop(ref);
    if (!ok)
        return ERR_NO_MEMORY;
    qsort(queues->items, queues->count, sizeof queues->items[0], by_name);
    for (size_t i = 0; i < queues->count; i++)
        tally_sum(&tally, queues->items[i].name, NULL, queues->items[i].jobs);
    return look_at_line(request, queues);
}

/* ------------------------------------------------------------------------------------------------------
 * answers */

static void put_queue(struct buf *out, const struct queue *queue)
{
    int64_t age_ms = clock_real_ms() - queue->oldest_ms;
    buf_printf(out, "{\"queue\":\"%s\",\"jobs\":", queue->name);
    tally_put(out, queue->jobs);
    PUT(out, ",\"oldest_queued_seconds\":");
    if (queue->oldest_ms == INT64_MAX)
        PUT(out, "null");
    else
        buf_put_seconds(out, age_ms > 0 ? age_ms : 0);
    buf_printf(out, ",\"links\":{\"self\":\"/v1/queues/%s\",\"jobs\":\"/v1/jobs?queue=%s\"}}", queue->name,
               queue->name);
}

static void put_queues(struct request *request, const struct queues *queues)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"items\":[");
    for (size_t i = 0; i < queues->count; i++) {
        buf_put(out, i > 0 ? ",\n" : "");
        put_queue(out, &queues->items[i]);
    }
    PUT(out, "]}\n");
}

enum answer list_queues(struct request *request)
{
    struct queues queues = {.front = request->front};
    enum err err = gather(request, &queues);
    if (err == ERR_OK)
        put_queues(request, &queues);
    free(queues.items);
    return err != ERR_OK ? problem_plain(request, err) : ANSWERED;
}

static void answer_queue(struct request *request, struct queues *queues)
{
    const struct queue *queue = find(queues, request->capture);
    if (queue == NULL) {
        problem_answer(request, ERR_UNKNOWN_QUEUE, NULL,
                       "there is no queue \"%.64s\": no task names it, and no job is in it",
                       request->capture);
        return;
    }
    struct buf *out = reply_json(request, 200);
    put_queue(out, queue);
    PUT(out, "\n");
}

enum answer get_queue(struct request *request)
{
    struct queues queues = {.front = request->front};
    enum err err = gather(request, &queues);
    if (err == ERR_OK)
        answer_queue(request, &queues);
    free(queues.items);
    return err != ERR_OK ? problem_plain(request, err) : ANSWERED;
}
