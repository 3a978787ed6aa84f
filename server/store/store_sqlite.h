/* What the files of the SQLite store share: columns, statements, connections. Nobody else includes this, nor
 * sqlite3.h.
 *
 *   store_sqlite.c        connections, statements and their errors, begin … commit, the checkpointer
 *   store_sqlite_open.c   open with its refusals, migrations, close
 *   store_sqlite_write.c  what happens between begin and commit: submit, land, order, counts
 *   store_sqlite_wait.c   jobs that wait: due, ended, changed, expired, loaded
 *   store_sqlite_read.c   get, list, attempts, lanes, counts
 *   store_sqlite_settings.c  settings
 *   store_sqlite_life.c   finished jobs: again, forgotten, pruned
 *   store_sqlite_tags.c   tags beside the rows
 *   store_sqlite_unique.c    uniqueness keys
 *   store_sqlite_batches.c   sets of jobs, and how many of each have ended
 *   store_sqlite_together.c  who waits for whom, and what is due at an end and at a new beginning
 *   store_sqlite_release.c   those who waited are told
 *   store_sqlite_inputs.c    what they are handed
 *   store_sqlite_care.c   copies: backup, and the rewrite after a failed sync; is there room again
 *
 *  1. One thread uses a connection; so it has no mutex (SQLITE_OPEN_NOMUTEX).
 *  2. A statement is prepared at its first use and kept. Whoever stepped it to a row resets it.
 *  3. Columns that are NULL read as blank (attempt_blank), so that a new row binds only what is known.
 *
 *     sqlite3_stmt *statement;
 *     enum err err = store_sql_get(connection, SQL_GET, &statement);
 *     …bind…
 *     err = store_sql_row(connection, SQL_GET, &found);   or store_sql_done for a statement without rows
 *     if (found) { …read…  store_sql_reset(connection, SQL_GET); }
 */
#ifndef FORKPOOL_STORE_SQLITE_H
#define FORKPOOL_STORE_SQLITE_H

#include "extras.h"
#include "store.h"

#include <sqlite3.h>

/* schema.sql and those after it, by cmake/embed.cmake. */
extern const char store_schema_sql[], store_schema_2_sql[], store_schema_3_sql[], store_schema_4_sql[];
enum { APPLICATION_ID = 0x666f726b }; /* "fork", in the header of the file */
enum { BUSY_TIMEOUT_MS = 5000 };

/* C(kind, column, member of struct job). Fixed by the submission: */
#define JOB_FIXED(C)                                                                                         \
    C(INT, created_ms, spec.created_ms)                                                                      \
    C(TEXT, queue, spec.queue)                                                                               \
    C(TEXT, task, spec.task)                                                                                 \
    C(INT, durability, spec.durability)                                                                      \
    C(INT, timeout_ms, spec.timeout_ms)                                                                      \
    C(INT, kill_after_ms, spec.kill_after_ms)                                                                \
    C(INT, max_attempts, spec.retry.max_attempts)                                                            \
    C(INT, backoff, spec.retry.backoff)                                                                      \
    C(INT, initial_ms, spec.retry.initial_ms)                                                                \
    C(INT, max_ms, spec.retry.max_ms)                                                                        \
    C(INT, jitter, spec.retry.jitter)                                                                        \
    C(INT, epoch, spec.epoch)                                                                                \
    C(INT, flags, spec.flags)                                                                                \
    C(INT, after_policy, spec.after_policy)                                                                  \
    C(TEXT, concurrency_key, spec.concurrency_key)                                                           \
    C(ID, batch, spec.batch)                                                                                 \
    C(TEXT, idempotency_key, spec.idempotency_key)                                                           \
    C(ID, fingerprint, spec.fingerprint)                                                                     \
    C(TEXT, traceparent, spec.traceparent)

/* Written by every move (priority, lane and times change only on request): */
#define JOB_MOVING(C)                                                                                        \
    C(INT, state, state)                                                                                     \
    C(INT, lane, spec.lane)                                                                                  \
    C(INT, seq, spec.seq)                                                                                    \
    C(INT, priority, spec.priority)                                                                          \
    C(INT, run_at_ms, spec.run_at_ms)                                                                        \
    C(INT, scheduled_ms, spec.scheduled_ms)                                                                  \
    C(INT, expires_ms, spec.expires_ms)                                                                      \
    C(INT, attempt, spec.attempt)                                                                            \
    C(INT, errors, spec.errors)                                                                              \
    C(INT, crashes, spec.crashes)                                                                            \
    C(INT, lost, spec.lost)                                                                                  \
    C(INT, cancel_requested, cancel_requested)                                                               \
    C(INT, waits, waits)

/* C(kind, column, member of struct attempt): the last attempt in jobs, earlier ones in attempts. */
#define ATTEMPT_COLUMNS(C)                                                                                   \
    C(INT, number, number)                                                                                   \
    C(INT, outcome, outcome)                                                                                 \
    C(INT, retryable, retryable)                                                                             \
    C(INT, started_ms, started_ms)                                                                           \
    C(INT, finished_ms, finished_ms)                                                                         \
    C(INT, worker, worker)                                                                                   \
    C(INT, exit_code, exit_code)                                                                             \
    C(INT, signal, signal)                                                                                   \
    C(INT, cpu_us, cpu_us)                                                                                   \
    C(INT, max_rss_bytes, max_rss_bytes)                                                                     \
    C(REAL, progress, progress)                                                                              \
    C(INT, progress_ms, progress_ms)                                                                         \
    C(TEXT, progress_message, progress_message)                                                              \
    C(TEXT, error_code, error_code)                                                                          \
    C(TEXT, error_message, error_message)

/* Pieces of SQL out of the tables above; parameters bind in the same order. */
#define NAME_OF(kind, column, member) ", " #column
#define MARK_OF(kind, column, member) ", ?"
#define SET_OF(kind, column, member)  ", " #column " = ?"

#define TAGS_OF_JOB ", (SELECT tags FROM tagged WHERE tagged.id_key = jobs.id_key)"
#define SELECT_JOB                                                                                           \
    "SELECT id_key, id_random" JOB_FIXED(NAME_OF) JOB_MOVING(NAME_OF) ATTEMPT_COLUMNS(NAME_OF) TAGS_OF_JOB   \
        ", extras"
#define SELECT_GLANCE "SELECT id_key, state, created_ms, queue, task FROM jobs "
#define SAME_JOB      " WHERE id_key = ? AND id_random = ? AND state = ? AND attempt = ?"
#define SELECT_TAGGED                                                                                        \
    "SELECT jobs.id_key, state, created_ms, queue, task FROM tags CROSS JOIN jobs ON jobs.id_key = "         \
    "tags.id_key "                                                                                           \
    "WHERE tags.id_key < ? AND tags.id_key >= ? AND tag = ?"
#define SELECT_BATCHED SELECT_GLANCE "INDEXED BY jobs_batch WHERE id_key < ? AND id_key >= ? AND batch = ? "
/* Columns of a finished row that tell whether its time is over; typeof looks at no byte of the result. */
#define SELECT_PAST "SELECT id_key, id_random, state, finished_ms, typeof(result) <> 'null', task FROM jobs "
#define IS_ENDED    "state BETWEEN 3 AND 5"
#define IS_PAST     " WHERE id_key = ?1 AND id_random = ?2 AND " IS_ENDED " AND (?3 IS NULL OR finished_ms = ?3)"

/* What partial indexes of schema_3.sql say; a query must say it in the same words to use them.
 */
#define IS_QUEUED    "state = 0"
#define IS_RETRYING  "state = 2"
#define IS_SCHEDULED "state = 6"
#define IS_BLOCKED   "state = 7"
#define IS_LISTED    "state <> 0 AND state <> 3"
#define IS_EXPIRING  "expires_ms > 0 AND attempt = 0 AND state <> 3 AND state <> 4 AND state <> 5"
_Static_assert(JOB_QUEUED == 0 && JOB_RETRYING == 2 && JOB_SUCCEEDED == 3 && JOB_FAILED == 4 &&
                   JOB_CANCELLED == 5 && JOB_SCHEDULED == 6 && JOB_BLOCKED == 7 && JOB_STATE_COUNT == 8 &&
                   JOB_FLAG_UNIQUE == 1,
               "schema_3.sql");

/* Every statement that is kept. INDEXED BY fails rather than scan 10 million rows. */
#define STORE_SQL(S)                                                                                         \
    S(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    S(COMMIT, "COMMIT")                                                                                      \
    S(SNAPSHOT, "BEGIN")                                                                                     \
    S(INSERT, "INSERT INTO jobs (id_key, id_random" JOB_FIXED(NAME_OF)                                       \
                  JOB_MOVING(NAME_OF) ", extras, args) "                                                     \
                                      "VALUES (?, ?" JOB_FIXED(MARK_OF) JOB_MOVING(MARK_OF) ", ?, ?)")       \
    S(INSERT_ENDED,                                                                                          \
      "INSERT INTO jobs (id_key, id_random" JOB_FIXED(NAME_OF)                                               \
          JOB_MOVING(NAME_OF) ", extras, args"                                                               \
                              ", result" ATTEMPT_COLUMNS(NAME_OF) ") VALUES (?, ?" JOB_FIXED(MARK_OF)        \
                                  JOB_MOVING(MARK_OF) ", ?, ?, ?" ATTEMPT_COLUMNS(MARK_OF) ")")              \
    S(MOVE, "UPDATE jobs SET id_key = id_key" JOB_MOVING(SET_OF) SAME_JOB)                                   \
    S(LAND, "UPDATE jobs SET result = ?" JOB_MOVING(SET_OF) ATTEMPT_COLUMNS(SET_OF) SAME_JOB)                \
    S(ARCHIVE,                                                                                               \
      "INSERT OR REPLACE INTO attempts (id_key" ATTEMPT_COLUMNS(                                             \
          NAME_OF) ") "                                                                                      \
                   "SELECT id_key" ATTEMPT_COLUMNS(NAME_OF) " FROM jobs" SAME_JOB " AND number >= 1")        \
    S(GLANCE, "SELECT state, attempt FROM jobs WHERE id_key = ? AND id_random = ?")                          \
    S(KEY_TAKE,                                                                                              \
      "INSERT INTO keys (key, job_key, job_random, fingerprint, expires_ms) "                                \
      "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET job_key = ?2, job_random = ?3, "          \
      "fingerprint = ?4, expires_ms = ?5 WHERE expires_ms <= ?6")                                            \
    S(KEY_FIND, "SELECT job_key, job_random, fingerprint FROM keys WHERE key = ? AND expires_ms > ?")        \
    S(KEY_SWEEP, "DELETE FROM keys WHERE key IN (SELECT key FROM keys INDEXED BY keys_expiry "               \
                 "WHERE expires_ms <= ? LIMIT ?)")                                                           \
    S(DUE, "SELECT run_at_ms, id_key, id_random FROM jobs INDEXED BY jobs_due "                              \
           "WHERE " IS_RETRYING " AND run_at_ms <= ?1 UNION ALL "                                            \
           "SELECT run_at_ms, id_key, id_random FROM jobs INDEXED BY jobs_scheduled "                        \
           "WHERE " IS_SCHEDULED " AND run_at_ms <= ?1 ORDER BY 1, 2 LIMIT ?2")                              \
    S(NEXT_DUE, "SELECT (SELECT min(run_at_ms) FROM jobs INDEXED BY jobs_due WHERE " IS_RETRYING "), "       \
                "(SELECT min(run_at_ms) FROM jobs INDEXED BY jobs_scheduled WHERE " IS_SCHEDULED ")")        \
    S(EXPIRED, "SELECT id_key, id_random, expires_ms FROM jobs INDEXED BY jobs_expiry WHERE " IS_EXPIRING    \
               " AND expires_ms <= ? AND (expires_ms, id_key) > (?, ?) ORDER BY expires_ms, id_key LIMIT ?") \
    S(NEXT_EXPIRY,                                                                                           \
      "SELECT min(expires_ms) FROM jobs INDEXED BY jobs_expiry WHERE " IS_EXPIRING " AND expires_ms > ?")    \
    S(LOAD, SELECT_JOB ", args, result, seq FROM jobs INDEXED BY jobs_ready "                                \
                       "WHERE " IS_QUEUED " AND lane = ? AND seq >= ? ORDER BY seq LIMIT ?")                 \
    S(LANES, "SELECT line.lane, first_seq, last_seq, line.jobs, created_ms, priority, queue, task, "         \
             "concurrency_key FROM (SELECT lane, min(seq) AS first_seq, max(seq) AS last_seq, "              \
             "count(*) AS jobs FROM jobs INDEXED BY jobs_ready WHERE " IS_QUEUED " GROUP BY lane) AS line "  \
             "CROSS JOIN jobs INDEXED BY jobs_ready ON " IS_QUEUED                                           \
             " AND jobs.lane = line.lane AND jobs.seq = first_seq")                                          \
    S(SETTING_PUT, "INSERT OR REPLACE INTO settings (kind, name, body) VALUES (?, ?, ?)")                    \
    S(SETTING_DROP, "DELETE FROM settings WHERE kind = ? AND name = ?")                                      \
    S(SETTINGS, "SELECT kind, name, body FROM settings ORDER BY kind, name")                                 \
    S(SCHEDULE_PUT,                                                                                          \
      "INSERT OR REPLACE INTO schedules (name, body, next_ms, last_ms, last_job, made, skipped) "            \
      "VALUES (?, ?, ?, ?, ?, ?, ?)")                                                                        \
    S(SCHEDULE_DROP, "DELETE FROM schedules WHERE name = ?")                                                 \
    S(SCHEDULES,                                                                                             \
      "SELECT name, body, next_ms, last_ms, last_job, made, skipped FROM schedules ORDER BY name")           \
    S(COUNT_ADD, "INSERT INTO counts (queue, task, state, jobs) VALUES (?, ?, ?, ?) "                        \
                 "ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs")                                    \
    S(META_SET, "UPDATE meta SET value = ? WHERE name = ?")                                                  \
    S(META_GET, "SELECT value FROM meta WHERE name = ?")                                                     \
    S(GET, SELECT_JOB ", args, result FROM jobs WHERE id_key = ? AND id_random = ?")                         \
    S(ROW, SELECT_JOB " FROM jobs WHERE id_key = ?")                                                         \
    S(ATTEMPTS, "SELECT id_key" ATTEMPT_COLUMNS(NAME_OF) " FROM attempts WHERE id_key = ? ORDER BY number")  \
    S(WALK, SELECT_GLANCE "NOT INDEXED WHERE id_key < ? AND id_key >= ? ORDER BY id_key DESC")               \
    S(WALK_QUEUED, SELECT_GLANCE "INDEXED BY jobs_ready WHERE id_key < ? AND id_key >= ? AND " IS_QUEUED     \
                                 " ORDER BY id_key DESC")                                                    \
    S(WALK_LISTED, SELECT_GLANCE "INDEXED BY jobs_listed WHERE id_key < ? AND id_key >= ? AND " IS_LISTED    \
                                 " AND state = ? ORDER BY id_key DESC")                                      \
    S(WALK_TAG, SELECT_TAGGED " ORDER BY tags.id_key DESC")                                                  \
    S(WALK_UP, SELECT_GLANCE "NOT INDEXED WHERE id_key < ? AND id_key >= ? ORDER BY id_key")                 \
    S(WALK_QUEUED_UP, SELECT_GLANCE "INDEXED BY jobs_ready WHERE id_key < ? AND id_key >= ? AND " IS_QUEUED  \
                                    " ORDER BY id_key")                                                      \
    S(WALK_LISTED_UP, SELECT_GLANCE "INDEXED BY jobs_listed WHERE id_key < ? AND id_key >= ? AND " IS_LISTED \
                                    " AND state = ? ORDER BY id_key")                                        \
    S(WALK_TAG_UP, SELECT_TAGGED " ORDER BY tags.id_key")                                                    \
    S(TEXTS, "SELECT id_random, error_message FROM jobs WHERE id_key = ?")                                   \
    S(FORGET, "DELETE FROM jobs" IS_PAST " RETURNING state, queue, task, attempt, number, idempotency_key, " \
              "batch, iif(flags & 1, extras, NULL)")                                                         \
    S(FORGET_ATTEMPTS, "DELETE FROM attempts WHERE id_key = ?")                                              \
    S(FORGET_KEY, "DELETE FROM keys WHERE key = ? AND job_key = ? AND job_random = ?")                       \
    S(PRUNE, "UPDATE jobs SET result = NULL" IS_PAST)                                                        \
    S(PAST, SELECT_PAST "NOT INDEXED WHERE id_key > ? AND id_key < ? ORDER BY id_key LIMIT ?")               \
    S(PAST_LISTED, SELECT_PAST "INDEXED BY jobs_listed WHERE id_key > ? AND id_key < ? AND " IS_LISTED       \
                               " AND state = ? ORDER BY id_key LIMIT ?")                                     \
    S(DEBRIS_ADD, "INSERT OR REPLACE INTO debris (id_key, id_random, attempts) VALUES (?, ?, ?)")            \
    S(DEBRIS_READ, "SELECT id_key, id_random, attempts FROM debris ORDER BY id_key LIMIT ?")                 \
    S(DEBRIS_GONE, "DELETE FROM debris WHERE id_key = ?")                                                    \
    S(TAGGED_ADD, "INSERT INTO tagged (id_key, tags) VALUES (?, ?)")                                         \
    S(TAGGED_FORGET, "DELETE FROM tagged WHERE id_key = ? RETURNING tags")                                   \
    S(TAG_ADD, "INSERT INTO tags (tag, id_key) VALUES (?, ?)")                                               \
    S(TAG_FORGET, "DELETE FROM tags WHERE tag = ? AND id_key = ?")                                           \
    S(WALK_BATCH, SELECT_BATCHED "ORDER BY id_key DESC")                                                     \
    S(WALK_BATCH_UP, SELECT_BATCHED "ORDER BY id_key")                                                       \
    S(TAG_HAS, "SELECT 1 FROM tags WHERE tag = ? AND id_key = ?")                                            \
    S(UNIQUE_FIND, "SELECT job_key, job_random FROM uniques WHERE key = ?1 AND (until_ms = 0 OR until_ms > " \
                   "?2)")                                                                                    \
    S(UNIQUE_TAKE,                                                                                           \
      "INSERT OR REPLACE INTO uniques (key, job_key, job_random, until_ms) VALUES (?, ?, ?, ?)")             \
    S(UNIQUE_FREE, "DELETE FROM uniques WHERE key = ?1 AND job_key = ?2 AND job_random = ?3 AND "            \
                   "(until_ms = 0 OR ?4)")                                                                   \
    S(UNIQUE_SWEEP, "DELETE FROM uniques WHERE key IN (SELECT key FROM uniques INDEXED BY uniques_until "    \
                    "WHERE until_ms > 0 AND until_ms <= ? LIMIT ?)")                                         \
    S(BATCH_ADD, "INSERT INTO batches (id_key, id_random, created_ms) VALUES (?, ?, ?)")                     \
    S(BATCH_GET, "SELECT created_ms, finished_ms, jobs, succeeded, failed, cancelled FROM batches "          \
                 "WHERE id_key = ? AND id_random = ?")                                                       \
    S(BATCH_COUNT, "UPDATE batches SET jobs = jobs + ?3, succeeded = succeeded + ?4, failed = failed + ?5, " \
                   "cancelled = cancelled + ?6, kept = kept + ?7, finished_ms = iif(?8, 0, finished_ms) "    \
                   "WHERE id_key = ?1 AND id_random = ?2 "                                                   \
                   "RETURNING jobs, succeeded, succeeded + failed + cancelled, kept, finished_ms")           \
    S(BATCH_FINISH, "UPDATE batches SET finished_ms = ? WHERE id_key = ?")                                   \
    S(BATCH_FORGET, "DELETE FROM batches WHERE id_key = ?")                                                  \
    S(EDGE_ADD, "INSERT OR REPLACE INTO edges (parent_key, parent_random, child_key, child_random) "         \
                "VALUES (?, ?, ?, ?)")                                                                       \
    S(EDGE_DROP, "DELETE FROM edges WHERE parent_key = ? AND child_key = ?")                                 \
    S(EDGE_POP, "DELETE FROM edges WHERE parent_key = ?1 AND child_key = (SELECT min(child_key) FROM edges " \
                "WHERE parent_key = ?1) RETURNING child_key, child_random")                                  \
    S(EDGES_ANY, "SELECT EXISTS (SELECT 1 FROM edges)")                                                      \
    S(EDGE_HAS, "SELECT 1 FROM edges WHERE parent_key = ? LIMIT 1")                                          \
    S(RELEASE_ADD, "INSERT INTO releases (parent_key, parent_random, state) VALUES (?, ?, ?) "               \
                   "ON CONFLICT (parent_key) DO UPDATE SET state = excluded.state")                          \
    S(RELEASE_NEXT, "SELECT parent_key, parent_random, state FROM releases ORDER BY number LIMIT 1")         \
    S(RELEASE_DROP, "DELETE FROM releases WHERE parent_key = ?")                                             \
    S(WAITING, "SELECT waits, after_policy FROM jobs WHERE id_key = ? AND id_random = ? AND " IS_BLOCKED)    \
    S(WAITS_LESS, "UPDATE jobs SET waits = waits - 1 WHERE id_key = ? AND id_random = ?")                    \
    S(INPUT, "SELECT task, state, error_code, error_message, iif(state = 3, result, NULL) FROM jobs "        \
             "WHERE id_key = ? AND id_random = ?")                                                           \
    S(COUNTS, "SELECT queue, task, state, jobs FROM counts WHERE jobs <> 0")                                 \
    S(COUNT_QUEUED, "SELECT coalesce(sum(jobs), 0) FROM counts WHERE " IS_QUEUED)

enum sql {
#define S(name, text) SQL_##name,
    STORE_SQL(S)
#undef S
        SQL_COUNT
};

struct connection {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    bool failed;         /* something worse than no space or no memory has happened */
    int64_t reminded_ns; /* when "not now" was logged last */
};

struct store_reader {
    struct connection connection;
};

/* A change of one number in the table of counts, gathered until the commit. */
struct count_change {
    uint64_t hash;
    struct store_count count; /* jobs: the difference */
};

/* How a batch has changed in this group. */
struct batch_change {
    struct id id;
    int64_t jobs, succeeded, failed, cancelled, kept; /* differences not yet written */
    int64_t finished_ms;                              /* the latest end of one of its jobs */
    bool again;                                       /* one of its jobs runs again */
};

struct store {
    struct store_reader reader; /* the one connection that writes; store_own_reader reads on it too */
    struct id identity;
    int64_t greatest_key;
    bool unclean;              /* found so at open */
    bool full;                 /* PRAGMA synchronous is FULL, not NORMAL */
    bool in_group;             /* between begin and commit */
    int log_pages, log_looked; /* of the log since it began: after the last commit; at the last look */
    int64_t seq_next;
    int64_t seq_end, seq_end_stored; /* of the reserved block: in this group; in the last commit */
    int64_t skew_ms, skew_ms_stored; /* likewise */
    struct count_change *changes;    /* owned */
    size_t change_count, change_room;
    struct batch_change *batches; /* owned */
    size_t batch_count, batch_room;
    /* Whether there are edges at all, so that an end looks for none without need; and releases. Never false
     * if there are some. In this group; in the last commit. */
    bool any_edges, any_edges_stored, any_releases, any_releases_stored;
    size_t inputs_most;
};

/* Logs the last error of the connection, once, and says what it means to callers. */
enum err store_sql_fail(struct connection *connection, const char *operation) MUST_USE;

enum err store_sql_get(struct connection *connection, enum sql sql, sqlite3_stmt **statement) MUST_USE;
/* Steps a statement that returns no rows, and resets it. */
enum err store_sql_done(struct connection *connection, enum sql sql) MUST_USE;
/* Steps to the next row; at the end, or after an error, the statement is reset and *row is false. */
enum err store_sql_row(struct connection *connection, enum sql sql, bool *row) MUST_USE;
void store_sql_reset(struct connection *connection, enum sql sql);

/* Text with several statements, run at once; and a question with one number as its answer (0 without a row).
 */
enum err store_sql_exec(struct connection *connection, const char *operation, const char *text) MUST_USE;
enum err store_sql_ask(struct connection *connection, const char *text, int64_t *value) MUST_USE;

/* The path in sqlite:///absolute/path or sqlite:relative/path. */
const char *store_path_of(const char *url);
/* store_sqlite_wal.c: the name of a VFS for connections that write. */
const char *store_writer_vfs(void);
enum err store_connection_open(struct connection *connection, const char *path, int flags) MUST_USE;
void store_connection_close(struct connection *connection);

/* Whether commits sync. Outside of begin … commit. */
enum err store_set_synchronous(struct store *store, bool full) MUST_USE;

/* A checkpoint makes the main file grow by what the log has added. Begun without room for all of that, it
 * would take what results need, and give nothing back: a log is used anew only once all of it has been
 * copied. ERR_STORE_FULL: there is not enough. */
enum err store_checkpoint_room(struct connection *connection) MUST_USE;

/* A number in meta. */
enum err store_meta_get(struct connection *connection, const char *name, int64_t *value) MUST_USE;
enum err store_meta_set(struct connection *connection, const char *name, int64_t value) MUST_USE;

/* Reads the job without args and result. ERR_UNKNOWN_JOB. */
enum err store_get_bare(struct store_reader *reader, struct id id, struct job **job) MUST_USE;

/* Reads a row of SELECT_JOB; with_bytes: followed by args and result. *job is owned by the caller. */
enum err store_row_read(sqlite3_stmt *statement, bool with_bytes, struct job **job) MUST_USE;

/* Writes the gathered changes of counts; part of the commit. */
enum err store_changes_write(struct store *store) MUST_USE;

/* What the files that write share (store_sqlite_write.c). store_checked: after any error nothing of the group
 * has happened. store_change: the row goes from (from, before) to what `job` says, with the attempt unless
 * that is NULL, and the counts; *changed is false if the row is not in that state. */
enum err store_checked(struct store *store, enum err err) MUST_USE;
enum err store_corrupt(const char *operation, struct id id) MUST_USE;
enum err store_count_add(struct store *store, const struct job_spec *spec, enum job_state state,
                         int difference) MUST_USE;
enum err store_change(struct store *store, const struct job *job, const struct attempt *attempt,
                      enum job_state from, uint32_t before, bool *changed) MUST_USE;
/* As store_change, for a job that was read in this group: so it is in that state, or ERR_CORRUPT. */
enum err store_change_read(struct store *store, const char *operation, const struct job *job,
                           const struct attempt *attempt, enum job_state from) MUST_USE;

struct glance {
    bool found;
    enum job_state state;
    uint32_t attempt;
};
enum err store_glance(struct store *store, struct id id, struct glance *glance) MUST_USE;

/* How a job ended without a run: only when, and as what. */
struct attempt store_unrun(enum outcome outcome, int64_t finished_ms);

/* The tables of tags (store_sqlite_tags.c). A job without tags has no text of them. */
enum err store_tags_write(struct store *store, const struct job *job) MUST_USE;
enum err store_tags_forget(struct store *store, struct id id) MUST_USE;

/* Uniqueness keys (store_sqlite_unique.c). find: who else holds the job's key at that time. take: whoever
 * held it before. free: the job's own, those with a period only if `all`. */
enum err store_unique_find(struct store *store, const struct job *job, int64_t now_ms, bool *held,
                           struct id *holder) MUST_USE;
enum err store_unique_take(struct store *store, const struct job *job) MUST_USE;
enum err store_unique_free(struct store *store, struct id id, struct text extras, bool all) MUST_USE;

/* Batches (store_sqlite_batches.c). Differences are gathered and written at the commit, or before somebody
 * reads them in between; whether a batch has finished, or is to be forgotten, is decided at the commit. */
enum err store_batch_joined(struct store *store, const struct job_spec *spec) MUST_USE;
enum err store_batch_ended(struct store *store, const struct job_spec *spec, enum job_state state,
                           int64_t finished_ms) MUST_USE;
enum err store_batch_again(struct store *store, const struct job_spec *spec, enum job_state from) MUST_USE;
enum err store_batch_left(struct store *store, const struct job_spec *spec) MUST_USE;
enum err store_batches_write(struct store *store) MUST_USE; /* part of the commit */
/* As it is within this group; ERR_UNKNOWN_BATCH. */
enum err store_batch_look(struct store *store, struct id id, struct store_batch *batch) MUST_USE;

/* How a job or batch that others wait for stands. */
/* REPEATED: it was named before, and counts once. */
enum standing {
    STANDING_REPEATED,
    STANDING_UNKNOWN,
    STANDING_OPEN,
    STANDING_SUCCEEDED,
    STANDING_FAILED,
    STANDING_CANCELLED
};

/* What a job waits for (store_sqlite_together.c): looked at first, written once it is known that it may be.
 * `again`: it runs again, so only those that are open count, and word of others that is under way is for the
 * run before. */
struct wait {
    const struct id *after; /* borrowed */
    size_t count;           /* at most AFTER_MAX */
    enum after_policy policy;
    bool again;
    uint8_t standings[AFTER_MAX]; /* enum standing */
    uint32_t left;                /* how many are waited for */
};
enum err store_wait_look(struct store *store, struct wait *wait) MUST_USE;
enum err store_wait_write(struct store *store, const struct wait *wait, struct id child) MUST_USE;

/* A row came, with that state; it ended; it runs again. What is due elsewhere. */
enum err store_born(struct store *store, const struct job *job, const struct attempt *attempt) MUST_USE;
enum err store_turned(struct store *store, const struct job *job, const struct attempt *attempt,
                      enum job_state from) MUST_USE;
/* The jobs that wait for that one, if any, are to be told; or not after all. */
enum err store_release_add(struct store *store, struct id parent, enum job_state state) MUST_USE;
enum err store_release_drop(struct store *store, struct id parent) MUST_USE;

/* Keys of ids made at that time. */
int64_t store_key_at_ms(int64_t ms);

#endif
