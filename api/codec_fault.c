/* What is wrong with a body or a task's name, in sentences that several handlers need. */
#include "codec.h"
#include "nearest.h"

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
