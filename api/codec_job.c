#include "codec.h"
#include "extras.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void put_text(struct buf *out, const char *text)
{
    buf_put_json(out, text, strlen(text));
}

static void put_text_or_null(struct buf *out, const char *text)
{
    if (text[0] != '\0')
        put_text(out, text);
    else
        PUT(out, "null");
}

/* Names and ids, which hold nothing to escape. */
static void put_plain(struct buf *out, const char *text)
{
    PUT(out, "\"");
    buf_put(out, text);
    PUT(out, "\"");
}

static void put_time_or_null(struct buf *out, int64_t real_ms)
{
    if (real_ms > 0)
        buf_put_time(out, real_ms);
    else
        PUT(out, "null");
}

static void put_int_or_null(struct buf *out, int64_t value)
{
    if (value >= 0)
        buf_put_int(out, value);
    else
        PUT(out, "null");
}

static void put_seconds_or_null(struct buf *out, int64_t ms)
{
    if (ms >= 0)
        buf_put_seconds(out, ms);
    else
        PUT(out, "null");
}

/* What the clocks of two moments give: never negative, since a clock may have been set back in between. */
static int64_t between(int64_t from_ms, int64_t to_ms)
{
    if (from_ms <= 0 || to_ms <= 0)
        return -1;
    return to_ms > from_ms ? to_ms - from_ms : 0;
}

static void put_cpu(struct buf *out, int64_t us)
{
    if (us < 0) {
        PUT(out, "null");
        return;
    }
    char digits[] = ".000000";
    for (int64_t i = 6, rest = us % 1000000; i > 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    buf_put_int(out, us / 1000000);
    buf_put(out, digits);
}

void codec_error(struct buf *out, const struct attempt *attempt)
{
    if (attempt->error_code[0] == '\0') {
        PUT(out, "null");
        return;
    }
    PUT(out, "{\"code\":");
    put_text(out, attempt->error_code);
    PUT(out, ",\"message\":");
    put_text(out, attempt->error_message);
    PUT(out, ",\"exit_code\":");
    put_int_or_null(out, attempt->exit_code);
    PUT(out, ",\"signal\":");
    put_int_or_null(out, attempt->signal);
    PUT(out, ",\"retryable\":");
    buf_put(out, attempt->retryable != 0 ? "true}" : "false}");
}

void codec_retry(struct buf *out, const struct retry *retry, struct json_span more)
{
    PUT(out, "{\"max_attempts\":");
    buf_put_int(out, retry->max_attempts);
    PUT(out, ",\"backoff\":");
    put_plain(out, backoff_text((enum backoff)retry->backoff));
    PUT(out, ",\"initial\":");
    buf_put_seconds(out, retry->initial_ms);
    PUT(out, ",\"max\":");
    buf_put_seconds(out, retry->max_ms);
    PUT(out, ",\"jitter\":");
    buf_put_seconds(out, retry->jitter * 10); /* hundredths, as thousandths */
    if (more.at != NULL && more.bytes > 2) {  /* not {} */
        PUT(out, ",");
        buf_add(out, more.at + 1, more.bytes - 1);
    } else {
        PUT(out, "}");
    }
}

static void put_progress(struct buf *out, const struct attempt *attempt)
{
    if (attempt->progress < 0 || attempt->progress > 1) {
        PUT(out, "null");
        return;
    }
    buf_printf(out, "{\"value\":%.6g,\"message\":", attempt->progress);
    put_text(out, attempt->progress_message);
    PUT(out, ",\"updated_at\":");
    put_time_or_null(out, attempt->progress_ms);
    PUT(out, "}");
}

static void put_options(struct buf *out, const struct job *job)
{
    const struct job_spec *spec = &job->spec;
    struct json_span rules = {NULL, 0};
    if (!extras_find(job->extras, EXTRA_RETRY, &rules))
        rules.at = NULL;
    PUT(out, ",\"priority\":");
    buf_put_int(out, spec->priority);
    PUT(out, ",\"timeout\":");
    buf_put_seconds(out, spec->timeout_ms);
    PUT(out, ",\"kill_after\":");
    buf_put_seconds(out, spec->kill_after_ms);
    PUT(out, ",\"retry\":");
    codec_retry(out, &spec->retry, rules);
    PUT(out, ",\"durability\":");
    put_plain(out, durability_text((enum durability)spec->durability));
    PUT(out, ",\"concurrency_key\":");
    put_text_or_null(out, spec->concurrency_key);
    PUT(out, ",\"idempotency_key\":");
    put_text_or_null(out, spec->idempotency_key);
    PUT(out, ",\"traceparent\":");
    put_text_or_null(out, spec->traceparent);
}

static void put_extra(struct buf *out, const struct job *job, enum extra extra)
{
    struct json_span value;
    if (!extras_find(job->extras, extra, &value))
        return;
    buf_printf(out, ",\"%s\":", extra_member(extra));
    buf_add(out, value.at, value.bytes);
}

/* What few jobs have: absent from the others. */
static void put_together(struct buf *out, const struct job *job)
{
    struct json_span after;
    put_extra(out, job, EXTRA_UNIQUE);
    put_extra(out, job, EXTRA_AFTER);
    if (extras_find(job->extras, EXTRA_AFTER, &after)) {
        PUT(out, ",\"after_policy\":");
        put_plain(out, after_policy_text((enum after_policy)job->spec.after_policy));
    }
    put_extra(out, job, EXTRA_REF);
    put_extra(out, job, EXTRA_SCHEDULE);
    if (!id_is_none(job->spec.batch)) {
        char batch[ID_TEXT_BYTES];
        id_format(job->spec.batch, batch);
        PUT(out, ",\"batch\":");
        put_plain(out, batch);
    }
}

static void put_counters(struct buf *out, const struct job *job)
{
    /* A running attempt is already shown, though only its end will be recorded. */
    uint32_t attempt = job->spec.attempt > job->attempt.number ? job->spec.attempt : job->attempt.number;
    PUT(out, ",\"attempt\":");
    buf_put_int(out, attempt);
    PUT(out, ",\"max_attempts\":");
    buf_put_int(out, job->spec.retry.max_attempts);
    PUT(out, ",\"errors\":");
    buf_put_int(out, job->spec.errors);
    PUT(out, ",\"crashes\":");
    buf_put_int(out, job->spec.crashes);
    PUT(out, ",\"lost\":");
    buf_put_int(out, job->spec.lost);
}

static void put_times(struct buf *out, const struct job *job)
{
    const struct attempt *attempt = &job->attempt;
    PUT(out, ",\"created_at\":");
    put_time_or_null(out, job->spec.created_ms);
    PUT(out, ",\"scheduled_at\":");
    put_time_or_null(out, job->spec.scheduled_ms);
    PUT(out, ",\"expires_at\":");
    put_time_or_null(out, job->spec.expires_ms);
    PUT(out, ",\"started_at\":");
    put_time_or_null(out, attempt->started_ms);
    PUT(out, ",\"finished_at\":");
    put_time_or_null(out, job_is_terminal(job->state) ? attempt->finished_ms : 0);
    PUT(out, ",\"next_attempt_at\":");
    bool timed = job->state == JOB_RETRYING || job->state == JOB_SCHEDULED;
    put_time_or_null(out, timed ? job->spec.run_at_ms : 0);
    PUT(out, ",\"wait_seconds\":");
    put_seconds_or_null(out, between(job->spec.created_ms, attempt->started_ms));
    PUT(out, ",\"run_seconds\":");
    put_seconds_or_null(out, between(attempt->started_ms, attempt->finished_ms));
    PUT(out, ",\"cpu_seconds\":");
    put_cpu(out, attempt->cpu_us);
    PUT(out, ",\"max_rss_bytes\":");
    put_int_or_null(out, attempt->max_rss_bytes);
}

static void put_links(struct buf *out, const char *id)
{
    static const char *const NAMES[] = {"result", "log", "attempts", "why", "cancel", "retry"};
    PUT(out, ",\"links\":{\"self\":\"/v1/jobs/");
    buf_put(out, id);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        PUT(out, "\",\"");
        buf_put(out, NAMES[i]);
        PUT(out, "\":\"/v1/jobs/");
        buf_put(out, id);
        PUT(out, "/");
        buf_put(out, NAMES[i]);
    }
    PUT(out, "\"}");
}

/* Each success has a result, JSON null at least: one without has lost it to time. */
static void put_result(struct buf *out, const struct job *job)
{
    bool succeeded = job->state == JOB_SUCCEEDED;
    PUT(out, ",\"result\":");
    if (succeeded && job->result.bytes > 0)
        buf_add(out, job->result.at, job->result.bytes);
    else
        PUT(out, "null");
    PUT(out, ",\"result_pruned\":");
    buf_put(out, succeeded && job->result.at == NULL ? "true" : "false");
}

static void put_meta(struct buf *out, const struct job *job)
{
    struct json_span meta;
    PUT(out, ",\"meta\":");
    if (extras_find(job->extras, EXTRA_META, &meta))
        buf_add(out, meta.at, meta.bytes);
    else
        PUT(out, "null");
}

/* The document without the brace that ends it. */
static void put_job(struct buf *out, const struct job *job, bool whole)
{
    const struct attempt *attempt = &job->attempt;
    char id[ID_TEXT_BYTES];
    id_format(job->spec.id, id);
    PUT(out, "{\"id\":");
    put_plain(out, id);
    PUT(out, ",\"task\":");
    put_plain(out, job->spec.task);
    PUT(out, ",\"queue\":");
    put_plain(out, job->spec.queue);
    PUT(out, ",\"state\":");
    put_plain(out, job_state_text(job->state));
    if (whole) {
        PUT(out, ",\"args\":");
        if (job->args.bytes > 0)
            buf_add(out, job->args.at, job->args.bytes);
        else
            PUT(out, "null");
    }
    put_options(out, job);
    put_together(out, job);
    if (whole)
        put_meta(out, job);
    PUT(out, ",\"tags\":");
    if (job->tags.bytes > 0)
        buf_add(out, job->tags.at, job->tags.bytes);
    else
        PUT(out, "[]");
    put_counters(out, job);
    PUT(out, ",\"progress\":");
    put_progress(out, attempt);
    if (whole)
        put_result(out, job);
    PUT(out, ",\"error\":");
    codec_error(out, attempt);
    PUT(out, ",\"worker\":");
    put_int_or_null(out, attempt->worker);
    PUT(out, ",\"cancel_requested\":");
    buf_put(out, job->cancel_requested ? "true" : "false");
    put_times(out, job);
    put_links(out, id);
}

void codec_job(struct buf *out, const struct job *job, bool whole)
{
    enum { USUAL_BYTES = 1400 };
    (void)buf_reserve(out, USUAL_BYTES);
    put_job(out, job, whole);
    PUT(out, "}");
}

void codec_job_minimal(struct buf *out, const struct job *job)
{
    char id[ID_TEXT_BYTES];
    id_format(job->spec.id, id);
    PUT(out, "{\"id\":\"");
    buf_put(out, id);
    PUT(out, "\",\"state\":\"");
    buf_put(out, job_state_text(job->state));
    PUT(out, "\"}");
}

/* What ended a cancelled run: the signal that its record has, else the task itself, which was asked to; NULL
 * if it never began, or its worker went down with it in another way. */
static const char *stopped_by(const struct attempt *attempt)
{
    if (attempt->number == 0 || attempt->outcome == OUTCOME_CRASH || attempt->outcome == OUTCOME_LOST)
        return NULL;
    if (attempt->signal < 0)
        return "task";
    return attempt->signal == SIGTERM ? "SIGTERM" : attempt->signal == SIGKILL ? "SIGKILL" : NULL;
}

void codec_cancelled(struct buf *out, const struct job *job, bool now)
{
    bool cancelled = now || job->state == JOB_CANCELLED;
    const char *by = cancelled && !now ? stopped_by(&job->attempt) : NULL;
    put_job(out, job, true);
    PUT(out, ",\"cancel\":{\"outcome\":");
    put_plain(out, cancelled ? "cancelled" : job_is_terminal(job->state) ? "finished_first" : "asked");
    PUT(out, ",\"stopped_by\":");
    put_text_or_null(out, by != NULL ? by : "");
    PUT(out, "}}");
}

void codec_attempt(struct buf *out, const struct attempt *attempt)
{
    PUT(out, "{\"attempt\":");
    buf_put_int(out, attempt->number);
    PUT(out, ",\"outcome\":");
    if (attempt->outcome == OUTCOME_NONE)
        PUT(out, "null");
    else
        put_plain(out, outcome_text((enum outcome)attempt->outcome));
    PUT(out, ",\"worker\":");
    put_int_or_null(out, attempt->worker);
    PUT(out, ",\"started_at\":");
    put_time_or_null(out, attempt->started_ms);
    PUT(out, ",\"finished_at\":");
    put_time_or_null(out, attempt->finished_ms);
    PUT(out, ",\"run_seconds\":");
    put_seconds_or_null(out, between(attempt->started_ms, attempt->finished_ms));
    PUT(out, ",\"cpu_seconds\":");
    put_cpu(out, attempt->cpu_us);
    PUT(out, ",\"max_rss_bytes\":");
    put_int_or_null(out, attempt->max_rss_bytes);
    PUT(out, ",\"error\":");
    codec_error(out, attempt);
    PUT(out, ",\"progress\":");
    put_progress(out, attempt);
    PUT(out, "}");
}
