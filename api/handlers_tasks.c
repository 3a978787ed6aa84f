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

static void put_limits(struct buf *out, const struct task *task)
{
    put_limit(out, ",\"limits\":{\"memory_bytes\":", task->limit_memory_bytes);
    PUT(out, ",\"cpu_seconds\":");
    if (task->limit_cpu_ms >= 0)
        buf_put_seconds(out, task->limit_cpu_ms);
    else
        PUT(out, "null");
    put_limit(out, ",\"files\":", task->limit_files);
    PUT(out, "}");
}

static void put_task(struct buf *out, const struct task *task, const struct tally *tally)
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
    codec_retry(out, &task->retry);
    put_limits(out, task);
    PUT(out, ",\"jobs\":");
    tally_sum(tally, NULL, task->name, sums);
    tally_put(out, sums);
    PUT(out, ",\"links\":{\"self\":\"/v1/tasks/");
    buf_put(out, task->name);
    PUT(out, "\",\"jobs\":\"/v1/jobs?task=");
    buf_put(out, task->name);
    PUT(out, "\"}}");
}

enum answer list_tasks(struct request *request)
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
        put_task(out, &ref->catalogue->tasks[i], &tally);
    }
    buf_printf(out, "],\"epoch\":%u}\n", ref->catalogue->epoch);
    front_catalogue_drop(ref);
    return ANSWERED;
}

static enum answer answer_task(struct request *request, const struct catalogue *catalogue)
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
    put_task(out, task, &tally);
    PUT(out, "\n");
    return ANSWERED;
}

enum answer get_task(struct request *request)
{
    struct catalogue_ref *ref = front_catalogue(request->front);
    if (ref == NULL)
        return problem_plain(request, ERR_STARTING);
    enum answer answer = answer_task(request, ref->catalogue);
    front_catalogue_drop(ref);
    return answer;
}
