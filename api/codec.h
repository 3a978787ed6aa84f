/* JSON in and out: bodies and query into jobs, jobs into documents. No JSON tree is built on either way.
 *
 * Reentrant. What was sent as arguments, and what a task returned, is kept and given back as the text it was.
 */
#ifndef FORKPOOL_CODEC_H
#define FORKPOOL_CODEC_H

#include "action.h"
#include "buf.h"
#include "catalogue.h"
#include "config.h"
#include "http.h"
#include "json.h"
#include "job.h"
#include "problem.h"
#include "schedules.h"

/* What a submit brings. All borrowed, except that the bytes of a large body may be taken. */
struct submission {
    const struct config *config;
    const struct catalogue *catalogue;
    const char
        *task; /* from the path: then the body is the arguments and the query holds the options; or NULL */
    const struct parameter *parameters;
    size_t parameter_count;
    const char *idempotency_key, *traceparent; /* headers, or NULL */
    struct buf *body;
    bool bulk; /* a line of a bulk request: it may have a "ref", `after` may hold "@ref" and stays so in the
                  extras; what only one request can have (start_within, durability memory) is refused */
};

/* A new job, without seq, or a problem with every fault that was found. *job is owned by the caller.
 * *start_within_ms: within what time it must start to be accepted; -1: whenever. */
enum err codec_submission(const struct submission *submission, struct job **job, int64_t *start_within_ms,
                          struct problem *problem) MUST_USE;

/* The body of a PATCH of a job into everything of *patch but its id. now_ms: what the time is. patch->tags
 * borrows from `tags`, which the caller owns. */
enum err codec_patch(const struct buf *body, int64_t now_ms, struct store_patch *patch, struct buf *tags,
                     struct problem *problem) MUST_USE;

/* The body of a PATCH of a queue (FOR_QUEUE) or a task (FOR_TASK): setting->to and given. */
enum err codec_limits(const struct buf *body, unsigned whom, struct setting *setting,
                      struct problem *problem) MUST_USE;

/* The body of POST /v1/jobs/actions. action->ids borrows from `ids`, which the caller owns. */
enum err codec_action(const struct buf *body, struct action *action, struct buf *ids,
                      struct problem *problem) MUST_USE;

/* "paused":…,"limits":{…},"set":{…} and so on of a queue or task, as the dispatcher sees it: members, with a
 * comma in front of each. view NULL: nothing is known of it, nothing is limited. `limits` is put first into
 * the object of limits (members, without a comma at either end), or is NULL. */
void codec_lane(struct buf *out, unsigned whom, const struct lane_view *view, const struct text *limits);

/* What POST /v1/jobs would make of `body`, if it may be the job of a schedule; faults lie below /job. *job is
 * owned by the caller. */
enum err codec_schedule_job(const struct config *config, const struct catalogue *catalogue, struct text body,
                            struct job **job, struct problem *problem) MUST_USE;

/* The body of a PUT of a schedule into its definition as it is kept. */
enum err codec_schedule_put(const struct config *config, const struct catalogue *catalogue,
                            const struct buf *body, struct buf *definition, struct problem *problem) MUST_USE;

/* The same for a PATCH: what is not sent stays as `now` has it. */
enum err codec_schedule_patch(const struct config *config, const struct catalogue *catalogue,
                              const struct buf *body, const struct schedule *now, struct buf *definition,
                              struct problem *problem) MUST_USE;

/* The document of a schedule. now_ms: what the time is. */
void codec_schedule(struct buf *out, const struct schedule *schedule, int64_t now_ms);
/* The same for a list: without next_times, which take long for many. */
void codec_schedule_item(struct buf *out, const struct schedule *schedule);

/* The times that the body of a preview asks for. */
enum err codec_preview(struct buf *out, const struct buf *body, int64_t now_ms,
                       struct problem *problem) MUST_USE;

/* What a blocked job waits for, as far as it is listed, and how much more there is. */
enum { WAITS_LISTED = 20 };
struct waits {
    struct wait {
        struct id id;
        bool is_batch;
        enum job_state state;     /* of a job */
        char task[NAME_BYTES];    /* of a job */
        struct store_batch batch; /* of a batch */
    } items[WAITS_LISTED];
    size_t count, others;
};

/* Why a job does not run. why: what the dispatcher says, if it is queued; else NULL. waits: if it is blocked;
 * else NULL. */
void codec_why(struct buf *out, const struct job *job, const struct why *why, const struct waits *waits);

/* The refusal of a request that a job does not take in the state it is in: the hint is job_refusal's. */
void codec_refusal(struct problem *problem, enum err err, const struct job *job, enum job_request request);

/* The refusal of a job because another one has its uniqueness key. job: the refused one, as it was submitted,
 * or `again`: as it was to be run again. holder: the other one, NULL if nobody knows more than its id. */
void codec_duplicate(struct problem *problem, const struct job *job, bool again, struct id id,
                     const struct job *holder);

/* The refusal of a job by front_admit: what stands in the way. together: so many jobs for that queue had to
 * be accepted or none (`admission` is without them); 1: it came alone. Returns when to try again, in seconds;
 * 0: the same request can never be accepted. */
int64_t codec_not_admitted(struct problem *problem, enum err err, const char *queue,
                           const struct admission *admission, int64_t together);

/* The refusal of one that would not start in time: what is in its way, and for how long. Returns when to try
 * again, in seconds. */
int64_t codec_too_late(struct problem *problem, const struct job_spec *spec, const struct why *why,
                       int64_t within_ms);

/* The fault of a job whose `after` names what is no stored job and no batch. found: it is a job all the same,
 * one that is in memory alone; or NULL. in_query: where its options stand. */
void codec_unknown_dependency(struct problem *problem, const struct job *job, struct id id,
                              const struct job *found, bool in_query);

/* The bytes that a JSON value has without white space outside of its strings. */
size_t codec_compact_bytes(struct json_span json);
void codec_compact(struct buf *out, struct json_span json);

/* The further rules of retrying (EXTRA_RETRY) that jobs of a task have by default; at NULL: none. */
struct json_span codec_task_retry(const struct task *task);

/* The fault of a text that is not JSON, with line, column and excerpt. */
void codec_json_fault(struct problem *problem, const char *text, size_t bytes,
                      const struct json_fault *fault);

/* The fault of a task that the catalogue does not have: ERR_UNKNOWN_TASK (in a body) or ERR_NO_SUCH_TASK (in
 * a path). */
void codec_unknown_task(struct problem *problem, enum err err, const struct catalogue *catalogue,
                        const char *name);

/* The job document; without args, result and meta if not `whole`. */
void codec_job(struct buf *out, const struct job *job, bool whole);
/* Its id and state alone. */
void codec_job_minimal(struct buf *out, const struct job *job);

/* The answer to a cancel: the document, with the member `cancel`. now: it was cancelled at once. */
void codec_cancelled(struct buf *out, const struct job *job, bool now);

/* One attempt; `outcome` is null while it runs. */
void codec_attempt(struct buf *out, const struct attempt *attempt);

/* The error of an attempt, or null. */
void codec_error(struct buf *out, const struct attempt *attempt);

/* {"max_attempts":…,"backoff":…,"initial":…,"max":…,"jitter":…} and the members of `more`, a JSON object or
 * absent. */
void codec_retry(struct buf *out, const struct retry *retry, struct json_span more);

/* A static string without its length being counted at run time. */
#define PUT(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

#endif
