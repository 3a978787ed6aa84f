/* What is wrong with a body or a task's name, in sentences that several handlers need. */
#include "codec.h"
#include "clock.h"
#include "extras.h"
#include "nearest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void hint_tasks(struct problem *problem, const struct catalogue *catalogue)
{
    enum { LISTED = 16 };
    BUF_AUTO list = {0};
    for (uint32_t i = 0; i < catalogue->task_count && i < LISTED; i++)
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", catalogue->tasks[i].name);
    if (list.bytes == 0 && catalogue->fault_count > 0)
        problem_hint(problem, "there are no tasks; %s: %s", catalogue->faults[0].file,
                     catalogue->faults[0].reason);
    else if (list.bytes == 0 && catalogue->tasks_dir[0] == '\0')
        problem_hint(problem, "there are no tasks: start the server with --tasks-dir FOLDER");
    else if (list.bytes == 0)
        problem_hint(problem, "there are no tasks: put executables or plugins into %s and reload (SIGHUP)",
                     catalogue->tasks_dir);
    else
        problem_hint(problem, "known tasks: %.*s%s (a new one counts after a reload: SIGHUP)",
                     (int)list.bytes, list.data, catalogue->task_count > LISTED ? ", …" : "");
}

void codec_unknown_task(struct problem *problem, enum err err, const struct catalogue *catalogue,
                        const char *name)
{
    const char *known[TASKS_MAX];
    char detail[2 * NAME_BYTES + 64];
    for (uint32_t i = 0; i < catalogue->task_count; i++)
        known[i] = catalogue->tasks[i].name;
    const char *near = nearest_name(name, known, catalogue->task_count);
    if (near != NULL)
        snprintf(detail, sizeof detail, "there is no task \"%.64s\"; did you mean \"%s\"?", name, near);
    else
        snprintf(detail, sizeof detail, "there is no task \"%.64s\"", name);
    if (err == ERR_UNKNOWN_TASK)
        problem_add(problem, err, PLACE_POINTER, "/task", "%s", detail);
    else
        problem_set(problem, err, "%s", detail);
    hint_tasks(problem, catalogue);
}

static void hint_json(struct problem *problem, const struct json_fault *fault)
{
    if (strstr(fault->what, "double quotes") != NULL)
        problem_hint(problem, "in a shell, single quotes around the JSON keep the double quotes inside: "
                              "curl --json '{\"task\":\"NAME\"}' …");
}

void codec_json_fault(struct problem *problem, const char *text, size_t bytes, const struct json_fault *fault)
{
    BUF_AUTO excerpt = {0};
    if (bytes == 0) {
        problem_set(problem, fault->err, "%s", fault->what);
        problem_hint(problem, "send {\"task\":\"NAME\",\"args\":…}");
        return;
    }
    json_excerpt(text, bytes, fault, &excerpt);
    if (problem->line == 0) {
        problem_set(problem, fault->err, "line %zu, column %zu: %s\n%.*s", fault->line, fault->column,
                    fault->what, (int)excerpt.bytes, excerpt.bytes > 0 ? excerpt.data : "");
        buf_printf(&problem->extra, ",\"line\":%zu", fault->line);
    } else { /* that of the body is known */
        problem_set(problem, fault->err, "column %zu: %s\n%.*s", fault->column, fault->what,
                    (int)excerpt.bytes, excerpt.bytes > 0 ? excerpt.data : "");
    }
    buf_printf(&problem->extra, ",\"column\":%zu", fault->column);
    if (problem->line == 0) /* else it comes from a file */
        hint_json(problem, fault);
}

void codec_refusal(struct problem *problem, enum err err, const struct job *job, enum job_request request)
{
    char id[ID_TEXT_BYTES];
    const char *hint = job_refusal(job->state, request);
    id_format(job->spec.id, id);
    problem_set(problem, err, "the job %s is %s, so it cannot be %s", id, job_state_text(job->state),
                job_request_participle(request));
    if (hint != NULL)
        problem_hint(problem, "%s", hint);
    else if (request == REQUEST_PATCH && job->spec.durability == DURABILITY_MEMORY)
        problem_hint(problem, "it has the durability memory: such a job is not stored, and runs as it is");
    else
        problem_hint(problem, "it has changed its state meanwhile; send the request again");
}

/* Until when a holder has its key; "" if nobody knows. */
static void put_until(struct buf *out, const struct job *holder)
{
    struct unique_rule rule;
    char text[CLOCK_TEXT_BYTES];
    if (holder == NULL || !extras_unique(holder->extras, &rule))
        return;
    if (rule.period_ms == 0) {
        PUT(out, " until it has ended");
        return;
    }
    clock_format(holder->spec.created_ms + rule.period_ms, text);
    buf_printf(out, " until %s", text);
}

static void hint_duplicate(struct problem *problem, const struct unique_rule *rule, bool again,
                           const char *id, const struct job *holder)
{
    bool replace = rule->on_conflict == CONFLICT_REPLACE && holder != NULL;
    if (again)
        problem_hint(problem, "wait for its end with GET /v1/jobs/%s?wait=30, or cancel it", id);
    else if (holder != NULL && job_is_terminal(holder->state))
        problem_hint(problem,
                     "with on_conflict \"return\" the answer is that job, which has ended; a new one "
                     "is taken once the period is over, or under another key");
    else if (replace && holder->state == JOB_RUNNING)
        problem_hint(problem,
                     "it runs already, so it cannot give way; cancel it with POST /v1/jobs/%s/cancel, or "
                     "wait for its end with GET /v1/jobs/%s?wait=30",
                     id, id);
    else if (replace)
        problem_hint(problem, "it changed while it was to give way; send the request again");
    else
        problem_hint(problem, "with on_conflict \"return\" the answer is that job; with \"replace\" that job "
                              "is cancelled, if it has not begun, and the new one takes its place");
}

void codec_duplicate(struct problem *problem, const struct job *job, bool again, struct id id,
                     const struct job *holder)
{
    BUF_AUTO until = {0};
    struct unique_rule rule;
    char text[ID_TEXT_BYTES], own[ID_TEXT_BYTES];
    const char *state = holder != NULL ? job_state_text(holder->state) : NULL;
    (void)extras_unique(job->extras, &rule);
    put_until(&until, holder);
    id_format(id, text);
    id_format(job->spec.id, own);
    problem_set(problem, ERR_DUPLICATE_JOB, "%s%s%sthe job %s%s%s%s holds the uniqueness key \"%s\"%.*s",
                again ? "the job " : "", again ? own : "", again ? " cannot run again: " : "", text,
                state != NULL ? " (" : "", state != NULL ? state : "", state != NULL ? ")" : "", rule.key,
                (int)until.bytes, until.bytes > 0 ? until.data : "");
    hint_duplicate(problem, &rule, again, text, holder);
    buf_printf(&problem->extra, ",\"job_id\":\"%s\"", text);
    if (state != NULL)
        buf_printf(&problem->extra, ",\"job_state\":\"%s\"", state);
}

void codec_unknown_dependency(struct problem *problem, const struct job *job, struct id id,
                              const struct job *found, bool in_query)
{
    struct id ids[AFTER_MAX];
    char text[ID_TEXT_BYTES], pointer[32];
    size_t count = extras_after(job->extras, ids), number = 0;
    while (number < count && !id_equal(ids[number], id))
        number++;
    id_format(id, text);
    snprintf(pointer, sizeof pointer, "/after/%zu", number);
    problem_add(problem, ERR_UNKNOWN_DEPENDENCY, in_query ? PLACE_PARAMETER : PLACE_POINTER,
                in_query ? "after" : pointer,
                found != NULL
                    ? "the job %s has the durability memory: it is not stored before it ends, so no "
                      "other can wait for it"
                    : "there is no job and no batch %s; it may never have been accepted, or was "
                      "forgotten",
                text);
    if (found != NULL)
        problem_hint(problem,
                     "submit what others are to wait for with durability process or full; for this "
                     "one, wait for its end with GET /v1/jobs/%s?wait=30",
                     text);
}
