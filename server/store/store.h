/* The store: the truth about what was accepted and what finished. An interface; store_sqlite implements it.
 *
 * Writing is one thread's (the committer's): store_begin, operations, store_commit. Outcomes of operations
 * are valid only after store_commit returned ERR_OK; operation structs must live until then, so that an
 * implementation may send them as one pipeline. After any error the transaction is rolled back and nothing of
 * the group has happened. A `struct job **jobs` to be filled is the caller's array of `limit` pointers; on an
 * error it holds none. Reading is by readers, one per thread, each with its own connection, each call its own
 * short snapshot. Handles never cross a fork.
 *
 * Errors: ERR_STORE_FULL (no space, read-only, or another program keeps the file locked: nothing is broken,
 * try later), ERR_STORE_FAILED (anything else; logged as STORE_ERROR where it happened; a failed sync has
 * left its marker, marker.h), ERR_STORE_UNUSABLE (cannot be opened: `message` says why, for people),
 * ERR_NO_MEMORY.
 *
 *     store_begin(store, highest level of the group);
 *     for each: store_submit / store_land / store_end / store_due;
 *     store_commit(store);            only now are answers sent and slots freed
 *
 * Whatever ends a job (store_land, store_end, store_release) also gives up its uniqueness key, counts in its
 * batch, and remembers that the jobs which wait for it are to be released: all in the same transaction.
 */
#ifndef FORKPOOL_STORE_H
#define FORKPOOL_STORE_H

#include "buf.h"
#include "job.h"
#include "tags.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_reader;

/* Opens and, if need be, makes or migrates the store. url as in the configuration (sqlite:///path).
 * ERR_STORE_FULL, with `message`: its disk is full. */
enum err store_open(const char *url, struct store **store, struct buf *message) MUST_USE;
void store_close(struct store *store);

/* What was true when it was opened: its own id; the greatest id key (for id_raise); whether the last stop was
 * unclean (store_close after a good life marks it clean). */
struct id store_identity(const struct store *store);
int64_t store_greatest_key(const struct store *store);
bool store_was_unclean(const struct store *store);

/* The next place in the order: strictly growing over all lives of the store. Inside begin … commit. */
enum err store_next_seq(struct store *store, int64_t *seq) MUST_USE;

enum err store_begin(struct store *store, enum durability level) MUST_USE;
enum err store_commit(struct store *store) MUST_USE;
void store_rollback(struct store *store);

/* A new job in its spec.seq. Two of one group see each other. If it is not inserted, err and `original` say
 * why, in this order:
 *   an idempotency key that stands already (for 24 h from the created_ms of its job): ERR_OK with `replayed`
 *     and the first job's id if the fingerprint is the same, else ERR_KEY_REUSED
 *   JOB_FLAG_UNIQUE, and another job holds the key in EXTRA_UNIQUE (until it has ended, or for the period
 * from its created_ms): ERR_DUPLICATE_JOB with that job; with on_conflict "return" ERR_OK and `returned`
 *   `after` names no job and no batch: ERR_UNKNOWN_DEPENDENCY with that id
 * `after`: what it waits for (borrowed; at most AFTER_MAX; an id that is named twice counts once). Those that
 * have succeeded already, or just ended if its after_policy is RUN, count as done. If others are left,
 * job->state becomes BLOCKED and job->waits their number; one of them that did not succeed is dealt with by
 * store_release. The job of a batch (spec.batch) counts among its jobs, unless it has JOB_FLAG_FOLLOWER. */
struct store_submit {
    struct job *job; /* borrowed */
    const struct id *after;
    size_t after_count;
    enum err err;
    bool replayed, returned;
    struct id original;
};
enum err store_submit(struct store *store, struct store_submit *submit) MUST_USE;

/* Jobs that waited for others which have ended since. For at most `limit` such pairs: one that waits for no
 * more is queued with a new seq, or scheduled for its scheduled_ms if that is to come; one of which a job
 * before it did not succeed ends at once as its after_policy says, under attempt.number 0, cancelled or
 * failed, with the error code `dependency_failed` and a sentence that names that job. Those are the `jobs`
 * (an array of `limit`; whole if queued; owned by the caller); others only wait for less than before. `more`:
 * again. Inside begin … commit. store_releases_wait: whether there is anything to do, also right after
 * store_open. */
struct store_release {
    int64_t now_ms;
    size_t limit;
    struct job **jobs;
    size_t count;
    bool more; /* perhaps nothing: it was just the last pair */
};
enum err store_release(struct store *store, struct store_release *release) MUST_USE;
bool store_releases_wait(const struct store *store);

/* JOB_FLAG_INPUTS: what the jobs in its EXTRA_AFTER returned, in that order, as job->inputs (owned by the
 * job):
 *     [{"id":"…","task":"…","state":"succeeded","result":…},
 *      {"id":"…","task":"…","state":"failed","result":null,"error":{"code":"…","message":"…"}},
 *      {"id":"…","batch":true,"state":"failed","jobs":3,"succeeded":2,"failed":1,"cancelled":0}]
 * One that is gone: {"id":"…","state":null}. A result with which the whole would be larger than the most that
 * was set by store_inputs_most (bytes; at first there is no limit) is left out and says "omitted":true
 * instead. A batch of which jobs have not ended, since they run again, is "running". Only store_load does
 * this by itself: the rest would read them for many jobs at a time. */
enum err store_inputs(struct store *store, struct job *job) MUST_USE;
void store_inputs_most(struct store *store, size_t bytes);

/* A set of jobs that came in one request. Ended: how many of its jobs have; finished_ms: when the last one
 * did, 0 if some have not (a job that is run again makes it 0). A batch without any job to count has finished
 * when it is committed. A batch that nobody has a job of any more is forgotten with its last one; so one of
 * which no job at all was inserted (each was replayed, say) is gone at its commit. store_batch_add: inside
 * begin … commit, before its jobs. ERR_UNKNOWN_BATCH. */
struct store_batch {
    struct id id;
    int64_t created_ms, finished_ms;
    int64_t jobs, succeeded, failed, cancelled;
};
enum err store_batch_add(struct store *store, struct id id, int64_t created_ms) MUST_USE;

/* What a submit is answered with if nothing is to be inserted (a job of durability memory, a full queue): a
 * job that stands under its idempotency key, or, with on_conflict "return", one that holds its uniqueness
 * key; else err is ERR_NOT_FOUND. */
enum err store_find_standing(struct store *store, struct store_submit *submit) MUST_USE;

/* An attempt was resolved: `job` is the row as it shall be (state, counters, run_at_ms, seq, attempt,
 * result). Changes the row only if it is stored as queued with attempt counter `before`. An attempt recorded
 * earlier moves to the table of attempts first. No row and job->spec.durability is memory and spec.stored is
 * 0: the row, its key and its result are inserted. landed is false if somebody had landed it already (row
 * terminal, or its attempt counter > before). Anything else is ERR_CORRUPT. keep_attempt true: the attempt's
 * record is written; false: only state and counters, and in a terminal state finished_ms and outcome under
 * attempt.number 0, "ended without a run" (a cancel before a run). */
struct store_land {
    const struct job *job; /* borrowed */
    uint32_t before;
    bool keep_attempt;
    bool landed;
};
enum err store_land(struct store *store, struct store_land *land) MUST_USE;

/* Ends a waiting job that has no slot, without a run: under attempt.number 0, with finished_ms and outcome.
 *   CANCEL  queued, retrying, scheduled or blocked → cancelled, with cancel_requested
 *   ASK     the job runs: only cancel_requested is kept, so that the request outlives the server
 *   EXPIRE  queued, scheduled or blocked, never begun (attempt 0), expires_ms ≤ now_ms → failed, error code
 *           `expired` and a sentence that names the time
 *   REPLACE as CANCEL, with the error code `replaced` and a sentence that names `by`; its uniqueness key is
 *           given up even if its period is not over
 * err: ERR_OK (but for ASK `job` is what it is now, args and result left out, owned by the caller;
 * and `from` what it was), ERR_UNKNOWN_JOB, ERR_ALREADY_FINISHED, and for EXPIRE ERR_NOT_NOW. */
enum store_ending { END_CANCEL, END_ASK, END_EXPIRE, END_REPLACE };
struct store_end {
    struct id id, by;
    enum store_ending ending;
    int64_t now_ms;
    enum job_state from;
    struct job *job;
    enum err err;
};
enum err store_end(struct store *store, struct store_end *end) MUST_USE;

/* Changes a waiting job that has no slot: queued, retrying, scheduled or blocked. A member that is not `has`
 * stays. run_at_ms: when it is to run; not in the future (0, say): now. It is kept as scheduled_ms. A queued,
 * scheduled or retrying job becomes scheduled for that time, or queued; a blocked one stays blocked. A job
 * that stays or becomes queued gets a new seq if its priority or its state changed; the lane follows the
 * priority. tags: a JSON array, replaces all. err: ERR_OK (`job` is what it is now, whole, owned by the
 * caller), ERR_UNKNOWN_JOB, ERR_NOT_NOW (finished). Inside begin … commit. */
struct store_patch {
    struct id id;
    bool has_priority, has_run_at, has_expires, has_tags;
    uint8_t priority;
    int64_t run_at_ms, expires_ms, now_ms;
    struct text tags; /* borrowed */
    enum job_state from;
    int64_t from_lane;
    struct job *job;
    enum err err;
};
enum err store_patch(struct store *store, struct store_patch *patch) MUST_USE;

/* Up to `limit` scheduled or retrying jobs that are due become queued, each with a new seq, in the order in
 * which they are due. *next_ms: when the next one is due, or INT64_MAX. Inside begin … commit. Jobs are owned
 * by the caller. */
enum err store_due(struct store *store, int64_t now_ms, size_t limit, struct job **jobs, size_t *count,
                   int64_t *next_ms) MUST_USE;

/* Jobs that wait, were never begun (attempt 0), and were to be started by now_ms at the latest: their ids, in
 * the order of (expires_ms, key), behind (after_ms, after_key), which are moved on. *count < limit: that was
 * all, and *next_ms is when the next one expires (INT64_MAX: none). Running ones are among them, since a
 * start is not stored. On the writer's connection, in or outside of a group. */
struct store_expiry {
    int64_t now_ms, after_ms, after_key;
    size_t limit, count;
    int64_t next_ms;
};
enum err store_expired(struct store *store, struct store_expiry *expiry, struct id *ids) MUST_USE;

/* Queued rows of several lanes, whole, lane after lane as asked for, each in order of seq: rows with seq ≥
 * from_seq, at most `limit` of each, and none at all beyond the one with which the arguments and inputs of
 * all reach most_bytes. On the writer's connection, outside of begin … commit, so that it is ordered with the
 * commits. Jobs are owned by the caller: an array with room for the sum of the limits. */
struct store_load {
    int64_t lane, from_seq;
    size_t limit;
    size_t count;     /* how many of the jobs are of this lane */
    int64_t next_seq; /* of the first row that was not taken; INT64_MAX: there is none */
};
enum err store_load(struct store *store, struct store_load *loads, size_t load_count, size_t most_bytes,
                    struct job **jobs, size_t *count) MUST_USE;

/* Every lane in which rows are queued. One walk over an index: some 0.1 s for a million rows. */
struct store_lane {
    int64_t lane, first_seq, last_seq, jobs;
    int64_t first_created_ms;
    struct job_spec spec; /* priority, queue, task and concurrency_key alone */
};
typedef enum err store_lane_fn(void *context, const struct store_lane *lane);
enum err store_lanes(struct store_reader *reader, store_lane_fn *visit, void *context) MUST_USE;

/* What was set by request and outlives the server: settings of queues, tasks and the whole, each a JSON
 * object. body.at NULL: as if it had never been set. Inside begin … commit. */
enum setting_kind { SETTING_SERVER, SETTING_QUEUE, SETTING_TASK };
enum err store_setting_put(struct store *store, enum setting_kind kind, const char *name,
                           struct text body) MUST_USE;
typedef enum err store_setting_fn(void *context, enum setting_kind kind, const char *name, struct text body);
enum err store_settings(struct store_reader *reader, store_setting_fn *visit, void *context) MUST_USE;

/* A schedule as it is kept: its definition (JSON, server/dispatcher/schedules.h) and how far it has come.
 * store_schedule_put inserts or replaces the row of that name; body.at NULL: the row goes. Inside begin …
 * commit. Texts are borrowed; from store_schedules only until `visit` returns. */
struct store_schedule {
    const char *name;
    struct text body;
    int64_t next_ms; /* real time; when it is due next. 0: not known yet; INT64_MAX: never */
    int64_t last_ms; /* the time for which the last job was made; 0: none yet */
    struct id last_job;
    int64_t made, skipped; /* times that became a job; times that did not */
};
enum err store_schedule_put(struct store *store, const struct store_schedule *schedule) MUST_USE;
typedef enum err store_schedule_fn(void *context, const struct store_schedule *schedule);
enum err store_schedules(struct store_reader *reader, store_schedule_fn *visit, void *context) MUST_USE;

/* Whether the job has not ended; false also if there is none. On the writer's connection. */
enum err store_is_open(struct store *store, struct id id, bool *open) MUST_USE;

/* Forgets up to `limit` idempotency keys older than 24 h, and uniqueness keys whose period is over. Inside
 * begin … commit. */
enum err store_sweep_keys(struct store *store, int64_t now_ms, size_t limit) MUST_USE;

/* The checkpointer's own connection: copies what the log holds into the main file, so that commits need not.
 * *log_pages is what the log held. */
struct store_checkpointer;
enum err store_checkpointer_open(const char *url, struct store_checkpointer **checkpointer) MUST_USE;
/* ERR_AGAIN: store_check_stop came in between. */
enum err store_checkpoint(struct store_checkpointer *checkpointer, int *log_pages) MUST_USE;
/* An integrity check of the whole file; ERR_STORE_FAILED with what was found in *message. May take long. */
enum err store_check(struct store_checkpointer *checkpointer, struct buf *message) MUST_USE;
/* From another thread: a store_check that is under way ends soon, with ERR_AGAIN. */
void store_check_stop(struct store_checkpointer *checkpointer);
void store_checkpointer_close(struct store_checkpointer *checkpointer);

/* On a full disk: copies the log into the file and cuts it, so that its room is free again. ERR_STORE_FULL:
 * the file has no room for that. Outside of begin … commit. */
enum err store_settle(struct store *store) MUST_USE;
/* ERR_STORE_FULL: the disk has no room for what the log would make the file grow by. After each commit; it
 * looks only once the log has grown by 2 MB. */
enum err store_log_fits(struct store *store) MUST_USE;

/* What deletes have left free inside the file: new rows go there first. */
enum err store_room_inside(struct store *store, int64_t *bytes) MUST_USE;

/* Whether it can be written again after ERR_STORE_FULL: a small commit of its own, synced. */
enum err store_probe(struct store *store) MUST_USE;

/* A copy of the whole store, whether a server writes it or not: one snapshot, copied in steps that hold up no
 * commit, checked page by page and row by row, synced, and only then under its name, which must be free. On
 * any error nothing is left behind and `message` says what to do: ERR_STORE_UNUSABLE, ERR_STORE_FULL (no
 * room), ERR_AGAIN (stop said so), ERR_NO_MEMORY. */
struct store_watch {
    void (*progress)(void *argument, int64_t pages, int64_t of); /* equal: copied, being checked */
    bool (*stop)(void *argument);                                /* asked often, from this thread */
    void *argument;
};
struct store_copied {
    int64_t bytes, jobs;
};
enum err store_backup(const char *url, const char *output, const struct store_watch *watch,
                      struct store_copied *copied, struct buf *message) MUST_USE;

/* After a failed sync, before store_open: the store, as it can be read now, becomes a new file, checked and
 * synced, in the place of the old one. A crash at any moment leaves the old or the new one. Errors as of
 * store_backup. */
enum err store_rewrite(const char *url, struct buf *message) MUST_USE;

/* Reading. */
enum err store_reader_open(const char *url, struct store_reader **reader) MUST_USE;
void store_reader_close(struct store_reader *reader);

/* The whole job, args and result included. ERR_UNKNOWN_JOB. Works on the writer too (same thread). */
enum err store_get(struct store_reader *reader, struct id id, struct job **job) MUST_USE;
struct store_reader *store_own_reader(struct store *store);

/* All recorded attempts, oldest first, the last one included. Owned by the caller (free). ERR_UNKNOWN_JOB. */
enum err store_attempts(struct store_reader *reader, struct id id, struct attempt **attempts,
                        size_t *count) MUST_USE;

enum { FILTER_BYTES = 129 };

struct store_filter {
    bool by_state;
    enum job_state state;                        /* a stored state: never RUNNING */
    char task[NAME_BYTES], queue[NAME_BYTES];    /* "" : any */
    int64_t created_after_ms, created_before_ms; /* exclusive; -1: any */
    int64_t before_key;                          /* the cursor: keys below this one; INT64_MAX at the start */
    size_t limit;
    char tag[TAG_BYTES];     /* "": any */
    char text[FILTER_BYTES]; /* "": any; see store_text_is */
    bool ascending; /* oldest id first; then after_key is the cursor instead: keys above it, 0 at the start */
    int64_t after_key;
    struct id batch; /* zero: any */
};

/* What a free text means. It is found, whatever the case of its ASCII letters, in the task and in the error
 * message of the last attempt, and at the beginning of the id. A text that has at least the first dash of an
 * id and is the beginning of one means an id and nothing else: then store_text_keys gives the range of keys
 * in which it lies (from ≤ key < below), else false. */
bool store_text_is(const char *text, struct id id, const char *task, const char *message);
bool store_text_keys(const char *text, int64_t *from, int64_t *below);

/* A page, newest id first, without args and result. At most `limit` jobs; it also ends after having looked at
 * 50,000 rows, so that no read takes long. *next_key continues it, or is -1 at the end. Jobs owned by the
 * caller. */
enum err store_list(struct store_reader *reader, const struct store_filter *filter, struct job **jobs,
                    size_t *count, int64_t *next_key) MUST_USE;

enum err store_batch_get(struct store_reader *reader, struct id id, struct store_batch *batch) MUST_USE;

/* Jobs per queue, task and stored state. Owned by the caller (free). */
struct store_count {
    char queue[NAME_BYTES], task[NAME_BYTES];
    enum job_state state;
    int64_t jobs;
};
enum err store_counts(struct store_reader *reader, struct store_count **counts, size_t *count) MUST_USE;

/* --- finished jobs: again, forgotten, pruned --- */

/* A finished job is queued again with a new seq; errors, crashes and lost begin anew, `attempt` goes on, and
 * its last attempt moves to the table of attempts. If jobs in its EXTRA_AFTER have not ended (being run again
 * themselves, say), it is blocked until they have; failed ones do not count. Jobs that still wait for it wait
 * for this run. err: ERR_OK (`job` is what it is now, owned by the caller), ERR_UNKNOWN_JOB,
 * ERR_NOT_FINISHED, ERR_DUPLICATE_JOB (its uniqueness key is now held by `holder`). Inside begin … commit. */
struct store_retry {
    struct id id, holder;
    struct job *job;
    enum err err;
};
enum err store_retry(struct store *store, struct store_retry *retry) MUST_USE;

/* A finished job: to be forgotten (row, attempts, tags, keys; its logs become debris), or its result alone.
 * With finished_ms only if that is still when it ended: a job found to be old may have been run again
 * meanwhile. err: ERR_OK, ERR_UNKNOWN_JOB, ERR_NOT_FINISHED. Inside begin … commit. */
struct store_past {
    struct id id;
    int64_t finished_ms; /* 0: whenever */
    enum err err;
};
enum err store_forget(struct store *store, struct store_past *past) MUST_USE;
enum err store_prune(struct store *store, struct store_past *past) MUST_USE;

/* Jobs in a terminal state that ended before before_ms; `results`: only those that have a result; of these
 * tasks alone, or (but_these) of all others; task_count 0: of any. In order of keys, from after_key on; at
 * most `limit`, and after having looked at 5,000 rows. *seen_key: the last key looked at. *end: there is no
 * older row beyond it. */
struct store_ageing {
    enum job_state state;
    bool results, but_these;
    const char (*tasks)[NAME_BYTES]; /* borrowed; sorted by strcmp */
    size_t task_count;
    int64_t before_ms, after_key;
    size_t limit;
};
enum err store_find_past(struct store_reader *reader, const struct store_ageing *ageing,
                         struct store_past *past, size_t *count, int64_t *seen_key, bool *end) MUST_USE;

/* Forgotten jobs whose log files may still be there, so that a kill between the commit and the unlinking
 * leaves none behind: read, unlinked, then told to be gone (inside begin … commit). */
struct store_debris {
    struct id id;
    uint32_t attempts; /* logs have numbers from 1 up to this one */
};
enum err store_debris_read(struct store_reader *reader, size_t limit, struct store_debris *debris,
                           size_t *count) MUST_USE;
enum err store_debris_gone(struct store *store, const struct store_debris *debris) MUST_USE;

#endif
