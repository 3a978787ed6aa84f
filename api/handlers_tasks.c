/* GET /v1/tasks and /v1/tasks/{task}: what can be run, with which defaults. */
#include "codec.h"
#include "handlers.h"
#include "tally.h"

#include <string.h>

static void put_text_or_null(struct buf *out, const char *text)
{
    if (text[0] != '\0')
        buf_put_json(out, text, strlen(text));
    else
        PUT(out, "null");
}

static void put_limit(struct buf *out, const char *name, int64_t value)
{
    buf_put(out, name);
    if (value >= 0)
        buf_put_int(out, value);
    else
        PUT(out, "null");
}

/* What an attempt may use of the machine; the limits of how many may run stand beside it. */
static void put_resources(struct buf *out, const struct task *task)
{
    put_limit(out, "\"memory_bytes\":", task->limit_memory_bytes);
    PUT(out, ",\"cpu_seconds\":");
    if (task->limit_cpu_ms >= 0)
        buf_put_seconds(out, task->limit_cpu_ms);
    else
        PUT(out, "null");
    put_limit(out, ",\"files\":", task->limit_files);
}

static void put_lane(struct buf *out, const struct task *task, const struct look *look)
{
    BUF_AUTO resources = {0};
    put_resources(&resources, task);
    codec_lane(out, FOR_TASK, handler_view(look, task->name),
               &(struct text){resources.data, resources.bytes});
}

static void put_task(struct buf *out, const struct task *task, const struct look *look,
                     const struct tally *tally)
{
    int64_t sums[JOB_STATE_COUNT] = {0};
    PUT(out, "{\"name\":");
    buf_put_json(out, task->name, strlen(task->name));
    PUT(out, ",\"kind\":");
    put_text_or_null(out, task_kind_text((enum task_kind)task->kind));
    PUT(out, ",\"description\":");
    put_text_or_null(out, task->description);
    PUT(out, ",\"broken\":");
    buf_put(out, task->broken != 0 ? "true" : "false");
    PUT(out, ",\"reason\":");
    put_text_or_null(out, task->reason);
    PUT(out, ",\"queue\":");
    put_text_or_null(out, task->queue[0] != '\0' ? task->queue : "default");
    PUT(out, ",\"timeout\":");
    buf_put_seconds(out, task->timeout_ms);
    PUT(out, ",\"kill_after\":");
    buf_put_seconds(out, task->kill_after_ms);
    PUT(out, ",\"retry\":");
    codec_retry(out, &task->retry, codec_task_retry(task));
    put_lane(out, task, look);
    PUT(out, ",\"jobs\":");
    tally_sum(tally, NULL, task->name, sums);
    tally_put(out, sums);
    PUT(out, ",\"links\":{\"self\":\"/v1/tasks/");
    buf_put(out, task->name);
    PUT(out, "\",\"jobs\":\"/v1/jobs?task=");
    buf_put(out, task->name);
    PUT(out, "\"}}");
}

static enum answer answer_tasks(struct request *request)
{
    TALLY_AUTO tally = {0};
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return problem_plain(request, err);
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"items\":[");
    for (uint32_t i = 0; i < ref->catalogue->task_count; i++) {
        buf_put(out, i > 0 ? ",\n" : "");
        put_task(out, &ref->catalogue->tasks[i], request->errand.look, &tally);
    }
    buf_printf(out, "],\"epoch\":%u}\n", ref->catalogue->epoch);
    front_catalogue_drop(ref);
    return ANSWERED;
}

static enum answer answer_one(struct request *request, const struct catalogue *catalogue)
{
    TALLY_AUTO tally = {0};
    const struct task *task = catalogue_find(catalogue, request->capture);
    if (task == NULL) {
        PROBLEM_AUTO problem = {0};
        codec_unknown_task(&problem, ERR_NO_SUCH_TASK, catalogue, request->capture);
        return problem_reply(request, &problem);
    }
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return problem_plain(request, err);
    struct buf *out = reply_json(request, 200);
    put_task(out, task, request->errand.look, &tally);
    PUT(out, "\n");
    return ANSWERED;
}

static enum answer answer_task(struct request *request)
{
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    enum answer answer = answer_one(request, ref->catalogue);
    front_catalogue_drop(ref);
    return answer;
}

enum answer list_tasks(struct request *request)
{
    return handler_look(request, LOOK_TASKS, answer_tasks);
}

enum answer get_task(struct request *request)
{
    return handler_look(request, LOOK_TASKS, answer_task);
}
