/* The handlers, one for each row of the table of routes, and what several of them share. Loop threads. */
#ifndef FORKPOOL_HANDLERS_H
#define FORKPOOL_HANDLERS_H

#include "http.h"
#include "problem.h"

/* handlers_submit.c */
handler_fn submit_job, submit_task_job, call_task;
/* handlers_bulk.c */
handler_fn submit_bulk;
/* handlers_batches.c */
handler_fn get_batch, cancel_batch;
/* handlers_jobs.c */
handler_fn list_jobs;
/* handlers_job.c */
handler_fn get_job, get_job_result, get_job_log, list_attempts;
/* handlers_life.c */
handler_fn cancel_job, retry_job, delete_job, patch_job;
/* handlers_actions.c */
handler_fn act_on_jobs, purge_queue;
/* handlers_why.c */
handler_fn get_job_why;
/* handlers_queues.c */
handler_fn list_queues, get_queue;
/* handlers_settings.c */
handler_fn patch_queue, pause_queue, resume_queue, drain_queue, patch_task, pause_task, resume_task,
    pause_all, resume_all, drain_all;
/* handlers_schedules.c */
handler_fn list_schedules, get_schedule, put_schedule, patch_schedule, delete_schedule, pause_schedule,
    resume_schedule, trigger_schedule, preview_schedule;
/* handlers_tasks.c */
handler_fn list_tasks, get_task;
/* handlers_stats.c */
handler_fn get_stats, list_workers;
/* handlers_metrics.c */
handler_fn get_metrics;
/* handlers_ops.c */
handler_fn get_index, get_live, get_ready, get_version, get_openapi;

/* Fills request->wait_ms from ?wait= or Prefer: wait=, `otherwise` if neither is there. False: the reply says
 * why. */
bool handler_wait(struct request *request, int64_t otherwise_ms);

/* Prefer: return=minimal (RFC 7240): id and state are enough of a job. Says so in the reply. */
bool handler_minimal(struct request *request);

/* The id in the path. False: the reply is 404. */
bool handler_id(struct request *request, struct id *id);

/* Errors of front_read and its like, for a job. */
enum answer handler_job_error(struct request *request, struct id id, enum err err);

/* A request that the job, as request->errand.id, does not take in its state: read now, for the sentence. */
enum answer handler_refused(struct request *request, enum err err, enum job_request wanted);

/* The 409 of the job in request->job, submitted or to be run `again`, whose uniqueness key another one has:
 * request->errand.original. */
enum answer handler_duplicate(struct request *request, bool again);

/* The 429 or 503 of one job for a queue that is full or drained. */
enum answer handler_not_admitted(struct request *request, enum err err, const char *queue,
                                 const struct admission *admission);

/* Looks at what only the dispatcher knows, then calls `answer`, which finds it in request->errand.look and
 * answers at once. */
enum answer handler_look(struct request *request, enum look_kind kind, handler_fn *answer);
/* The same for a look of which more is to be said; it is copied. */
enum answer handler_look_at(struct request *request, const struct look *asked, handler_fn *answer);

/* The document of the queue that the path names, even if there is nothing to say of it: what was just set. */
handler_fn handler_queue;

/* Within the answer to a look at queues: whether there is one of the name in the path. False: the reply says
 * no. */
bool handler_queue_known(struct request *request);

/* Of a look at queues or tasks, the one of that name; NULL: it is not there. */
const struct lane_view *handler_view(const struct look *look, const char *name);

/* The problem of a job that ended without a result; with `error` and the job's id in it. */
enum answer handler_job_failed(struct request *request, const struct job *job);

/* The bare result of a job that has ended; or the problem of one that has none, or has it no longer. */
enum answer handler_result(struct request *request, const struct job *job);

/* Adds the ETag of the reply's body as it is now, and makes the reply a 304 if the client has that already.
 */
void handler_etag(struct request *request);

/* A whole number from a query parameter, `otherwise` if it is not there. False: the reply says why. */
bool handler_int(struct request *request, const char *name, int64_t least, int64_t most, int64_t otherwise,
                 int64_t *value);

/* One more fault of a query parameter, as the whole answer. */
enum answer handler_bad_parameter(struct request *request, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A query parameter that is true or false; `otherwise` if it is not there. False: the reply says why not. */
bool handler_flag(struct request *request, const char *name, bool otherwise, bool *value);

/* Adds Location: /v1/jobs/ID. */
void handler_location(struct request *request, struct id id);

/* A page of stored jobs, with what runs now laid over it; and where the next one begins, as clients say it.
 */
enum { CURSOR_BYTES = 17 };
struct job_page {
    struct job **jobs; /* owned, references */
    size_t count;
    int64_t next_key; /* -1: the end */
};
enum err handler_page(struct request *request, const struct store_filter *filter,
                      struct job_page *page) MUST_USE;
void handler_page_free(struct job_page *page);
#define JOB_PAGE_AUTO __attribute__((cleanup(handler_page_free))) struct job_page
const char *handler_cursor_text(int64_t key, char text[CURSOR_BYTES]);
/* The header Link of a page: the same query of `path` with the next cursor. */
void handler_link_next(struct request *request, const char *path, const char *cursor);
/* The parameter `cursor`, if it is there. False: the reply says what is wrong with it. */
bool handler_cursor(struct request *request, int64_t *key);

/* The jobs that run now, newest first; at most WORKERS_MAX. References, owned by the caller. */
struct running {
    struct job **jobs;
    size_t count;
};
enum err handler_running(struct front *front, struct running *running) MUST_USE;
void handler_running_free(struct running *running);
#define RUNNING_AUTO __attribute__((cleanup(handler_running_free))) struct running

#endif
