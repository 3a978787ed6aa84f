/* The one table of errors: what a function can return, what HTTP status and code that becomes, and its
 * sentence.
 *
 * Every function that can fail returns `enum err` and is marked MUST_USE. The problem documents of the API,
 * the reference in docs/ and the tests read this table; there is no second list. Callable from anywhere.
 */
#ifndef FORKPOOL_ERR_H
#define FORKPOOL_ERR_H

#define MUST_USE __attribute__((warn_unused_result))

/* name, stable code, HTTP status, title */
#define ERR_TABLE(E)                                                                                         \
    E(OK, "ok", 200, "No error")                                                                             \
    /* the request as HTTP */                                                                                \
    E(BAD_REQUEST, "bad_request", 400, "The request is not well-formed HTTP")                                \
    E(BAD_HOST, "misdirected_request", 421, "This server does not answer for that host name")                \
    E(BAD_ORIGIN, "origin_refused", 403, "Pages of that origin may not call this server")                    \
    E(UNAUTHORIZED, "unauthorized", 401, "This needs a token")                                               \
    E(FORBIDDEN, "insufficient_scope", 403, "The token does not allow this")                                 \
    E(UNKNOWN_PATH, "unknown_path", 404, "There is nothing at this path")                                    \
    E(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "The path exists, the method does not")                 \
    E(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "The body is of the wrong media type")          \
    E(BODY_TOO_LARGE, "body_too_large", 413, "The body is larger than this server accepts")                  \
    E(REQUEST_TIMEOUT, "request_timeout", 408, "The request did not arrive in time")                         \
    /* the body as JSON */                                                                                   \
    E(INVALID_JSON, "invalid_json", 400, "The body is not valid JSON")                                       \
    E(INVALID_UTF8, "invalid_utf8", 400, "The body is not valid UTF-8")                                      \
    E(TOO_DEEP, "json_too_deep", 400, "The body is nested too deeply")                                       \
    E(DUPLICATE_KEY, "duplicate_key", 400, "An object in the body names a member twice")                     \
    E(NUMBER_RANGE, "number_out_of_range", 422, "A number in the body is beyond the range of a double")      \
    /* the request as a request for a job */                                                                 \
    E(INVALID_FIELD, "invalid_field", 422, "A field has a wrong type or value")                              \
    E(UNKNOWN_FIELD, "unknown_field", 422, "A field is not known")                                           \
    E(INVALID_PARAMETER, "invalid_parameter", 422, "A query parameter or header has a wrong value")          \
    E(UNKNOWN_TASK, "unknown_task", 422, "The task is not known")                                            \
    E(NO_SUCH_TASK, "unknown_task", 404, "The task is not known")                                            \
    E(BROKEN_TASK, "broken_task", 422, "The task is known, but cannot be run")                               \
    E(KEY_REUSED, "idempotency_key_reused", 422, "The Idempotency-Key was used for another request")         \
    E(UNKNOWN_JOB, "unknown_job", 404, "There is no such job")                                               \
    E(NO_SUCH_ATTEMPT, "unknown_attempt", 404, "The job has no such attempt")                                \
    E(UNKNOWN_QUEUE, "unknown_queue", 404, "There is no such queue")                                         \
    E(UNKNOWN_BATCH, "unknown_batch", 404, "There is no such batch")                                         \
    E(UNKNOWN_SCHEDULE, "unknown_schedule", 404, "There is no such schedule")                                \
    E(UNKNOWN_DEPENDENCY, "unknown_dependency", 422, "A job in `after` is not known")                        \
    E(CYCLE, "dependency_cycle", 422, "The jobs wait for each other in a circle")                            \
    E(DUPLICATE_JOB, "duplicate_job", 409, "A job with the same uniqueness key stands already")              \
    E(NOT_NOW, "not_possible_now", 409, "The state of the job does not allow this")                          \
    E(UNCONFIRMED, "confirmation_needed", 409, "This would change everything")                               \
    E(CONFLICT, "conflict", 409, "The change does not fit what is there")                                    \
    E(QUEUE_FULL, "queue_full", 429, "The queue holds as many waiting jobs as it may")                       \
    E(TOO_LATE, "cannot_start_in_time", 429, "The job would not start within start_within")                  \
    E(QUEUE_CLOSED, "queue_draining", 503, "The queue takes no new jobs")                                    \
    E(NOT_FINISHED, "not_finished", 409, "The job has not finished")                                         \
    E(ALREADY_FINISHED, "already_finished", 409, "The job has already finished")                             \
    E(PRUNED, "pruned", 410, "The result was kept for its time and is gone")                                 \
    E(JOB_FAILED, "job_failed", 500, "The job failed")                                                       \
    E(JOB_CANCELLED, "job_cancelled", 500, "The job was cancelled")                                          \
    /* the server's own condition */                                                                         \
    E(DRAINING, "draining", 503, "The server is shutting down")                                              \
    E(STARTING, "starting", 503, "The server is starting")                                                   \
    E(MEMORY_FULL, "memory_full", 503, "Too many jobs of durability memory are waiting")                     \
    E(OVERLOADED, "overloaded", 503, "Too many requests are in progress")                                    \
    E(STORE_FULL, "store_full", 507, "The disk of the store is full or cannot be written")                   \
    E(STORE_FAILED, "store_failed", 500, "The store reported an error")                                      \
    E(STORE_UNUSABLE, "store_unusable", 500, "The store cannot be opened")                                   \
    E(CORRUPT, "segment_corrupt", 500, "Shared memory holds an impossible value")                            \
    E(NO_MEMORY, "out_of_memory", 500, "Memory could not be allocated")                                      \
    E(SYSTEM, "system_error", 500, "A call to the operating system failed")                                  \
    /* an attempt: what a worker records as error.code */                                                    \
    E(TASK_FAILED, "task_failed", 500, "The task reported a failure")                                        \
    E(TASK_EXIT, "exit_status", 500, "The command ended with a non-zero exit status")                        \
    E(TASK_SIGNAL, "killed_by_signal", 500, "The command was ended by a signal")                             \
    E(TASK_START, "task_not_started", 500, "The task could not be started")                                  \
    E(TIMEOUT, "timeout", 500, "The attempt did not end within its timeout")                                 \
    E(RESULT_TOO_LARGE, "result_too_large", 500, "The result is larger than max_result")                     \
    E(INVALID_RESULT, "invalid_result", 500, "The task returned something that is not JSON")                 \
    E(EXPIRED, "expired", 500, "The job was not started in time")                                            \
    E(DEPENDENCY_FAILED, "dependency_failed", 500, "A job that it waited for did not succeed")               \
    E(REPLACED, "replaced", 500, "A newer job with the same uniqueness key took its place")                  \
    E(WORKER_CRASHED, "worker_crashed", 500, "The worker died of the task")                                  \
    E(WORKER_LOST, "worker_lost", 500, "The worker was killed from outside while it ran the job")            \
    /* configuration */                                                                                      \
    E(CONFIG, "invalid_configuration", 500, "The configuration is not acceptable")                           \
    /* answers of primitives, never shown to a client */                                                     \
    E(NOT_FOUND, "not_found", 404, "Not found")                                                              \
    E(FULL, "full", 503, "No space")                                                                         \
    E(AGAIN, "again", 503, "Not now")

enum err {
#define E(name, code, status, title) ERR_##name,
    ERR_TABLE(E)
#undef E
        ERR_COUNT
};

/* The stable snake_case code, the HTTP status and the title of an error; never NULL. */
const char *err_code(enum err err);
int err_status(enum err err);
const char *err_title(enum err err);

#endif
