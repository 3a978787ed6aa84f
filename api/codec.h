/* JSON in and out: bodies and query into jobs, jobs into documents. No JSON tree is built on either way.
 *
 * Reentrant. What was sent as arguments, and what a task returned, is kept and given back as the text it was.
 */
#ifndef FORKPOOL_CODEC_H
#define FORKPOOL_CODEC_H

#include "buf.h"
#include "catalogue.h"
#include "config.h"
#include "http.h"
#include "json.h"
#include "job.h"
#include "problem.h"

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
};

/* A new job, without seq, or a problem with every fault that was found. *job is owned by the caller. */
enum err codec_submission(const struct submission *submission, struct job **job,
                          struct problem *problem) MUST_USE;

/* The fault of a text that is not JSON, with line, column and excerpt. */
void codec_json_fault(struct problem *problem, const char *text, size_t bytes,
                      const struct json_fault *fault);

/* The fault of a task that the catalogue does not have: ERR_UNKNOWN_TASK (in a body) or ERR_NO_SUCH_TASK (in
 * a path). */
void codec_unknown_task(struct problem *problem, enum err err, const struct catalogue *catalogue,
                        const char *name);

/* The job document; without args and result if not `whole`. */
void codec_job(struct buf *out, const struct job *job, bool whole);

/* One attempt; `outcome` is null while it runs. */
void codec_attempt(struct buf *out, const struct attempt *attempt);

/* The error of an attempt, or null. */
void codec_error(struct buf *out, const struct attempt *attempt);

/* {"max_attempts":…,"backoff":…,"initial":…,"max":…,"jitter":…} */
void codec_retry(struct buf *out, const struct retry *retry);

/* A static string without its length being counted at run time. */
#define PUT(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

#endif
