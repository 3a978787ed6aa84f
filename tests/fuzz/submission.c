/* Bodies of POST /v1/jobs, of the routes of a task with options in the query, and lines of a bulk request.
 *
 *     line 1: the mode: t the body is the arguments (the query has the options), b a line of a bulk request
 *     line 2: the query, as name=value&…    line 3: Idempotency-Key    line 4: traceparent    then the body
 */
#include "submission_fuzz.h"

static struct fixture f;

enum { PARAMETERS = 8 };

static size_t split_query(char *query, struct parameter parameters[PARAMETERS])
{
    size_t count = 0;
    for (char *next; query != NULL && *query != '\0' && count < PARAMETERS; query = next) {
        next = strchr(query, '&');
        if (next != NULL)
            *next++ = '\0';
        char *value = strchr(query, '=');
        if (value != NULL)
            *value++ = '\0';
        parameters[count++] = (struct parameter){query, value != NULL ? value : ""};
    }
    return count;
}

static struct job *submit_once(struct submission submission, struct input body)
{
    struct buf bytes = {0};
    struct problem problem = {0};
    struct job *job = NULL;
    int64_t start_within_ms = -7;
    submission.config = f.config;
    submission.catalogue = f.catalogue;
    submission.body = &bytes;
    if (body.bytes > 0)
        buf_add(&bytes, body.data, body.bytes);
    enum err err = codec_submission(&submission, &job, &start_within_ms, &problem);
    if (err != ERR_OK) {
        HOLDS(job == NULL, "refused, and a job");
        holds_problem(&problem, err);
    } else {
        HOLDS(start_within_ms >= -1, "start_within %lld", (long long)start_within_ms);
        holds_job(job, submission.bulk);
    }
    problem_fini(&problem);
    buf_fini(&bytes);
    return job;
}

static bool same(struct text a, struct text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}

/* One id of after becomes another: it is found, and all else stays as it was. */
static void rename_after(struct job *job)
{
    static struct id ids[AFTER_MAX], now[AFTER_MAX];
    size_t count = extras_after(job->extras, ids);
    if (count == 0)
        return;
    struct id other = id_new();
    extras_rename_after(job, ids[0], other);
    HOLDS(extras_after(job->extras, now) == count && id_equal(now[0], other) &&
              memcmp(&now[1], &ids[1], (count - 1) * sizeof ids[0]) == 0,
          "after is not what it was renamed to");
    holds_canonical(job->extras);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes}, mode = input_line(&input);
    char *query = input_text(input_line(&input)), *key = input_text(input_line(&input)),
         *trace = input_text(input_line(&input));
    struct parameter parameters[PARAMETERS];
    if (f.config == NULL)
        fixture_init(&f);
    bool in_path = memchr(mode.data, 't', mode.bytes) != NULL;
    struct submission submission = {.task = in_path ? "echo" : NULL,
                                    .bulk = !in_path && memchr(mode.data, 'b', mode.bytes) != NULL,
                                    .idempotency_key = *key != '\0' ? key : NULL,
                                    .traceparent = *trace != '\0' ? trace : NULL,
                                    .parameters = parameters};
    submission.parameter_count = in_path ? split_query(query, parameters) : 0;
    struct job *first = submit_once(submission, input), *again = submit_once(submission, input);
    HOLDS((first == NULL) == (again == NULL), "once it is taken, once not");
    if (first != NULL) {
        HOLDS(same(first->extras, again->extras) && same(first->args, again->args) &&
                  same(first->tags, again->tags) &&
                  id_equal(first->spec.fingerprint, again->spec.fingerprint) &&
                  job_lane(&first->spec) == job_lane(&again->spec),
              "the same request gives another job");
        rename_after(again);
    }
    job_free(first);
    job_free(again);
    free(query);
    free(key);
    free(trace);
    return 0;
}
