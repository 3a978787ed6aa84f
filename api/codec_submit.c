#include "codec.h"

#include "clock.h"
#include "codec_options.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPIED_BYTES = 4096 }; /* larger bodies are handed to the job instead of being copied */

/* A job in the making. */
struct draft {
    const struct submission *from;
    struct options options; /* with the job and the problem */
    const struct task *task;
    struct json_span args;
};

/* ------------------------------------------------------------------------------------------------- the
 * objects */

static void take_retry(struct draft *draft, struct json_span span)
{
    struct value value = {span, PLACE_POINTER, "/retry"};
    if (!options_take_members(&draft->options, IN_RETRY, span))
        options_refuse(&draft->options, &value, "retry",
                       "an object, such as {\"max_attempts\":5,\"initial\":2}");
}

static void take_member(struct draft *draft, const struct json_member *member)
{
    enum option_name name;
    unsigned where = IN_BODY | (draft->from->bulk ? IN_BULK : 0u);
    char pointer[OPTION_TEXT_BYTES] = "/";
    if (json_key_is(member->key, "task"))
        return; /* read first, for the defaults */
    if (json_key_is(member->key, "args")) {
        draft->args = member->value;
    } else if (json_key_is(member->key, "retry")) {
        take_retry(draft, member->value);
    } else if (options_find(member->key, where, &name)) {
        strcat(pointer, option_table[name].text);
        options_take(&draft->options, name, &(struct value){member->value, PLACE_POINTER, pointer});
    } else {
        options_unknown(&draft->options, member->key, where);
    }
}

/* ---------------------------------------------------------------------------------------- task and its
 * defaults */

static void find_task(struct draft *draft, const char *name)
{
    enum err unknown = draft->from->task != NULL ? ERR_NO_SUCH_TASK : ERR_UNKNOWN_TASK;
    draft->task = catalogue_find(draft->from->catalogue, name);
    if (draft->task == NULL) {
        codec_unknown_task(draft->options.problem, unknown, draft->from->catalogue, name);
    } else if (draft->task->broken != 0) {
        problem_set(draft->options.problem, ERR_BROKEN_TASK, "the task \"%s\" cannot be run: %s", name,
                    draft->task->reason);
    }
}

static void set_defaults(struct draft *draft)
{
    const struct config *config = draft->from->config;
    const struct task *task = draft->task;
    struct job_spec *spec = &draft->options.job->spec;
    const char *queue = task->queue[0] != '\0' ? task->queue : "default";
    text_copy(spec->task, sizeof spec->task, task->name, strlen(task->name));
    text_copy(spec->queue, sizeof spec->queue, queue, strlen(queue));
    spec->priority = PRIORITY_DEFAULT;
    spec->durability = (uint8_t)config->store_durability;
    spec->timeout_ms = task->timeout_ms > 0 ? task->timeout_ms : config->jobs_timeout_ms;
    spec->kill_after_ms = task->kill_after_ms >= 0 ? task->kill_after_ms : config->jobs_kill_after_ms;
    spec->retry = task->retry;
    if (task->retry.max_attempts == 0)
        spec->retry = (struct retry){.max_attempts = (uint32_t)config->jobs_max_attempts,
                                     .backoff = (uint32_t)config->jobs_backoff,
                                     .initial_ms = config->jobs_backoff_initial_ms,
                                     .max_ms = config->jobs_backoff_max_ms,
                                     .jitter = (uint32_t)config->jobs_jitter};
    draft->options.rules = retry_rules_read(codec_task_retry(task));
    spec->epoch = draft->from->catalogue->epoch;
    spec->id = id_new();
    spec->created_ms = clock_real_ms();
    draft->options.job->state = JOB_QUEUED;
}

struct json_span codec_task_retry(const struct task *task)
{
    size_t bytes = strlen(task->retry_more);
    return (struct json_span){bytes > 0 ? task->retry_more : NULL, bytes};
}

/* A default gives way to what was given; two given ones that contradict each other are a fault. */
static void reconcile(struct draft *draft)
{
    struct retry *retry = &draft->options.job->spec.retry;
    if (retry->initial_ms <= retry->max_ms)
        return;
    if (draft->options.given[OPTION_INITIAL] && draft->options.given[OPTION_MAX]) {
        problem_hint(draft->options.problem, "send, say, {\"retry\":{\"initial\":1,\"max\":300}}");
        problem_add(
            draft->options.problem, ERR_INVALID_FIELD, PLACE_POINTER, "/retry/max",
            "retry.max is less than retry.initial; the longest wait cannot be shorter than the first");
    } else if (draft->options.given[OPTION_MAX])
        retry->initial_ms = retry->max_ms;
    else
        retry->max_ms = retry->initial_ms;
}

/* --------------------------------------------------------------------------------------------------------
 * times */

/* A time that has passed, and a delay of 0, mean now. */
static void set_schedule(struct options *options)
{
    struct job_spec *spec = &options->job->spec;
    bool delayed = options->given[OPTION_DELAY];
    int64_t at_ms = delayed ? spec->created_ms + options->delay_ms : options->scheduled_ms;
    if (delayed && options->given[OPTION_SCHEDULED_AT])
        options_object(options, OPTION_SCHEDULED_AT,
                       "delay and scheduled_at both say when the job is to run; send one of them");
    if ((!delayed && !options->given[OPTION_SCHEDULED_AT]) || at_ms <= spec->created_ms)
        return;
    enum option_name name = delayed ? OPTION_DELAY : OPTION_SCHEDULED_AT;
    if (spec->durability == DURABILITY_MEMORY)
        options_object(options, name,
                       "%s needs a job that is stored, and this one has the durability memory; send "
                       "\"durability\":\"process\" or \"full\"",
                       option_table[name].text);
    spec->scheduled_ms = spec->run_at_ms = at_ms;
    options->job->state = JOB_SCHEDULED;
}

static void set_expiry(struct options *options)
{
    struct job_spec *spec = &options->job->spec;
    bool in = options->given[OPTION_EXPIRES_IN];
    enum option_name name = in ? OPTION_EXPIRES_IN : OPTION_EXPIRES_AT;
    char text[CLOCK_TEXT_BYTES];
    if (!in && !options->given[OPTION_EXPIRES_AT])
        return;
    if (in && options->given[OPTION_EXPIRES_AT])
        options_object(options, OPTION_EXPIRES_AT,
                       "expires_in and expires_at both say when the job expires; send one of them");
    spec->expires_ms = in ? spec->created_ms + options->expires_in_ms : options->expires_ms;
    clock_format(spec->created_ms, text);
    if (spec->expires_ms <= spec->created_ms)
        options_object(options, name, "%s has passed, so the job would never run; it is %s here",
                       option_table[name].text, text);
    else if (spec->expires_ms <= spec->scheduled_ms)
        options_object(options, name, "the job would expire before it is to run");
}

static void set_times(struct draft *draft)
{
    struct options *options = &draft->options;
    if (options->problem->err != ERR_OK)
        return; /* what is wrong by itself may not be compared */
    set_schedule(options);
    set_expiry(options);
    if (options->given[OPTION_START_WITHIN] && options->job->state == JOB_SCHEDULED)
        options_object(options, OPTION_START_WITHIN,
                       "start_within is for a job that is to run now; for a later one there is expires_in");
}

/* ------------------------------------------------------------------------------------------------------
 * headers */

static void take_key(struct draft *draft)
{
    const char *key = draft->from->idempotency_key;
    if (key == NULL)
        return;
    size_t bytes = strlen(key), printable = 0;
    while (printable < bytes && key[printable] >= 0x20 && key[printable] < 0x7f)
        printable++;
    if (bytes == 0 || bytes >= KEY_BYTES || printable < bytes)
        problem_add(draft->options.problem, ERR_INVALID_PARAMETER, PLACE_HEADER, "Idempotency-Key",
                    "Idempotency-Key has %zu bytes%s, but must be 1 to %d printable ASCII characters", bytes,
                    printable < bytes ? ", not all of them printable ASCII" : "", KEY_BYTES - 1);
    else
        memcpy(draft->options.job->spec.idempotency_key, key, bytes + 1);
}

static bool is_hex(const char *text, size_t bytes, bool *all_zero)
{
    *all_zero = true;
    for (size_t i = 0; i < bytes; i++) {
        if (strchr("0123456789abcdef", text[i]) == NULL || text[i] == '\0')
            return false;
        *all_zero = *all_zero && text[i] == '0';
    }
    return true;
}

/* "00-" trace id "-" parent id "-" flags. An invalid one is ignored, as W3C Trace Context asks; of a later
 * version the known part is kept. */
static void take_traceparent(struct draft *draft)
{
    enum { KNOWN = TRACEPARENT_BYTES - 1 };
    const char *text = draft->from->traceparent;
    size_t bytes = text != NULL ? strlen(text) : 0;
    bool zero;
    if (bytes < KNOWN || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return;
    if (!is_hex(text, 2, &zero) || memcmp(text, "ff", 2) == 0 ||
        (bytes > KNOWN && (zero || text[KNOWN] != '-')))
        return;
    if (!is_hex(text + 3, 32, &zero) || zero || !is_hex(text + 36, 16, &zero) || zero ||
        !is_hex(text + 53, 2, &zero))
        return;
    text_copy(draft->options.job->spec.traceparent, TRACEPARENT_BYTES, text, KNOWN);
}

/* -------------------------------------------------------------------------------------------------- the
 * whole */

/* tag may be there several times. */
static int by_name(const void *a, const void *b)
{
    const struct parameter *one = a, *two = b;
    int order = strcmp(one->name, two->name);
    return order != 0 ? order : strcmp(one->value, two->value);
}

/* Of what was sent, not of what it means: a changed default must not make an honest repetition look like
 * another request. */
static void set_fingerprint(struct draft *draft)
{
    const struct submission *from = draft->from;
    BUF_AUTO bytes = {0};
    if (draft->options.job->spec.idempotency_key[0] == '\0')
        return;
    buf_put(&bytes, from->task != NULL ? from->task : "");
    PUT(&bytes, "\n");
    struct parameter sorted[PARAMETERS_MAX];
    size_t count = from->parameter_count < PARAMETERS_MAX ? from->parameter_count : PARAMETERS_MAX;
    for (size_t i = 0; i < count; i++)
        sorted[i] = from->parameters[i];
    qsort(sorted, count, sizeof sorted[0], by_name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sorted[i].name, "wait") != 0)
            buf_printf(&bytes, "%s=%s&", sorted[i].name, sorted[i].value);
    }
    PUT(&bytes, "\n");
    buf_add(&bytes, from->body->data, from->body->bytes);
    if (bytes.failed)
        problem_set(draft->options.problem, ERR_NO_MEMORY, "Memory could not be allocated");
    else
        draft->options.job->spec.fingerprint = id_fingerprint(bytes.data, bytes.bytes);
}

/* The arguments outlive the request: a copy, or the body itself if it is large. */
static void keep_args(struct draft *draft)
{
    struct job *job = draft->options.job;
    struct buf *body = draft->from->body;
    if (draft->args.at == NULL || draft->args.bytes == 0) {
        job->args = (struct text){"null", 4};
        return;
    }
    if (body->bytes > COPIED_BYTES) {
        job->args = (struct text){draft->args.at, draft->args.bytes};
        job->owned[0] = body->data;
        *body = (struct buf){0};
        return;
    }
    char *copy = malloc(draft->args.bytes);
    if (copy == NULL) {
        problem_set(draft->options.problem, ERR_NO_MEMORY, "Memory could not be allocated");
        return;
    }
    memcpy(copy, draft->args.at, draft->args.bytes);
    job->owned[0] = copy;
    job->args = (struct text){copy, draft->args.bytes};
}

static void take_task_member(struct draft *draft, const struct json_scan *scan)
{
    char name[NAME_BYTES];
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++) {
        if (!json_key_is(scan->members[i].key, "task"))
            continue;
        if (json_text(scan->members[i].value, name, sizeof name) && job_name_ok(name))
            find_task(draft, name);
        else {
            problem_hint(draft->options.problem,
                         "send, say, {\"task\":\"echo\"}; GET /v1/tasks lists the tasks");
            options_refuse(&draft->options, &(struct value){scan->members[i].value, PLACE_POINTER, "/task"},
                           "task", "the name of a task, as GET /v1/tasks lists them");
        }
        return;
    }
    problem_hint(draft->options.problem,
                 "send {\"task\":\"NAME\",\"args\":…}, or the arguments alone to /v1/tasks/NAME/jobs");
    problem_add(draft->options.problem, ERR_INVALID_FIELD, PLACE_POINTER, "/task",
                "the field task is missing");
}

static void take_document(struct draft *draft, const struct json_scan *scan)
{
    static const struct task none = {.kill_after_ms = -1};
    if (scan->type != '{') {
        problem_hint(draft->options.problem, "send {\"task\":\"NAME\",\"args\":…}");
        options_refuse(&draft->options, &(struct value){scan->value, PLACE_POINTER, ""}, "the body",
                       "a JSON object");
        return;
    }
    take_task_member(draft, scan);
    if (draft->task == NULL)
        draft->task = &none; /* go on: the other faults are worth telling too */
    set_defaults(draft);
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++)
        take_member(draft, &scan->members[i]);
}

static void take_query(struct draft *draft, const struct json_scan *scan)
{
    find_task(draft, draft->from->task);
    if (draft->task == NULL)
        return;
    set_defaults(draft);
    draft->args = scan->value;
    for (size_t i = 0; i < draft->from->parameter_count; i++) {
        const struct parameter *parameter = &draft->from->parameters[i];
        enum option_name name;
        struct json_span key = {parameter->name, strlen(parameter->name)};
        struct json_span text = {parameter->value, strlen(parameter->value)};
        if (options_find(key, IN_QUERY, &name))
            options_take(&draft->options, name, &(struct value){text, PLACE_PARAMETER, parameter->name});
    }
}

/* Reads what was sent into the draft; false: it is not JSON. */
static bool read_body(struct draft *draft)
{
    struct json_scan scan;
    struct json_fault fault;
    const struct submission *from = draft->from;
    const struct buf *body = from->body;
    scan.value = (struct json_span){NULL, 0};
    bool no_args = from->task != NULL && body->bytes == 0;
    if (!no_args && json_check(body->data, body->bytes, &scan, &fault) != ERR_OK) {
        codec_json_fault(draft->options.problem, body->data, body->bytes, &fault);
        return false;
    }
    if (from->task != NULL)
        take_query(draft, &scan);
    else
        take_document(draft, &scan);
    return true;
}

static void finish(struct draft *draft)
{
    const struct problem *problem = draft->options.problem;
    struct job_spec *spec = &draft->options.job->spec;
    reconcile(draft);
    set_times(draft);
    options_set_together(&draft->options, draft->args);
    take_key(draft);
    take_traceparent(draft);
    if (problem->err == ERR_OK)
        set_fingerprint(draft);
    if (problem->err == ERR_OK)
        options_keep(&draft->options); /* it borrows from the body, which keep_args may take */
    if (problem->err == ERR_OK)
        keep_args(draft);
    spec->lane = job_lane(spec);
}

enum err codec_submission(const struct submission *submission, struct job **job, int64_t *start_within_ms,
                          struct problem *problem)
{
    struct draft draft = {.from = submission,
                          .options = {.problem = problem,
                                      .bulk = submission->bulk,
                                      .in = submission->task != NULL ? IN_QUERY : IN_BODY,
                                      .start_within_ms = -1}};
    *job = NULL;
    draft.options.job = job_new();
    if (draft.options.job == NULL) {
        problem_set(problem, ERR_NO_MEMORY, "Memory could not be allocated");
        return problem->err;
    }
    if (read_body(&draft))
        finish(&draft);
    options_fini(&draft.options);
    *start_within_ms = draft.options.start_within_ms;
    if (problem->err != ERR_OK)
        job_free(draft.options.job);
    else
        *job = draft.options.job;
    return problem->err;
}
