/* What the tests of the store share: a store in a folder of its own, jobs, and a second connection to look at
 * tables. */
#ifndef FORKPOOL_TESTS_STORE_FIXTURE_H
#define FORKPOOL_TESTS_STORE_FIXTURE_H

#include "run.h"

#include "clock.h"
#include "log.h"
#include "store_sqlite.h"

#include <string.h>
#include <unistd.h>

static char folder[64], url[96];
static struct store *store;

static inline void ok(enum err err)
{
    ck_assert_msg(err == ERR_OK, "%s", err_code(err));
}

static inline const char *file_path(void)
{
    return url + strlen("sqlite://");
}

static inline void open_store(void)
{
    BUF_AUTO message = {0};
    enum err err = store_open(url, &store, &message);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)message.bytes, message.data);
}

static inline void close_store(void)
{
    store_close(store);
    store = NULL;
}

static inline void reopen_store(void)
{
    close_store();
    open_store();
}

static inline void make_folder(void)
{
    log_set_level(LOG_LEVEL_COUNT); /* errors are provoked here */
    strcpy(folder, "/tmp/test_store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite://%s/jobs.db", folder);
}

static inline void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static inline void setup(void)
{
    make_folder();
    open_store();
}

static inline void teardown(void)
{
    close_store();
    remove_folder();
}

/* One number from the file, by a connection of its own. */
static inline int64_t look(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    ck_assert_int_eq(sqlite3_open(file_path(), &db), SQLITE_OK);
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static inline void change_file(const char *sql)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(file_path(), &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static inline struct job *make_job(const char *queue, const char *task)
{
    struct job *job = job_new();
    ck_assert_ptr_nonnull(job);
    job->spec.id = id_new();
    job->spec.created_ms = clock_real_ms();
    job->spec.priority = PRIORITY_DEFAULT;
    job->spec.durability = DURABILITY_PROCESS;
    strcpy(job->spec.queue, queue);
    strcpy(job->spec.task, task);
    return job;
}

static inline void begin(void)
{
    ok(store_begin(store, DURABILITY_PROCESS));
}

static inline struct store_submit submit_in_group(struct job *job)
{
    struct store_submit submit = {.job = job};
    job->spec.lane = job_lane(&job->spec);
    ok(store_next_seq(store, &job->spec.seq));
    ok(store_submit(store, &submit));
    return submit;
}

static inline struct store_submit submit(struct job *job)
{
    begin();
    struct store_submit submit = submit_in_group(job);
    ok(store_commit(store));
    return submit;
}

static inline struct job *get(struct id id)
{
    struct job *job = NULL;
    ok(store_get(store_own_reader(store), id, &job));
    return job;
}

/* The next recorded run of `job` ended so. */
static inline void run_ended(struct job *job, enum job_state state, enum outcome outcome)
{
    job->attempt = attempt_blank();
    job->attempt.number = ++job->spec.attempt;
    job->attempt.outcome = (uint8_t)outcome;
    job->attempt.started_ms = 1000 * job->spec.attempt;
    job->attempt.finished_ms = job->attempt.started_ms + 5;
    job->state = state;
    job->spec.run_at_ms = state == JOB_RETRYING ? job->attempt.finished_ms + 1000 : 0;
    job->spec.errors += outcome == OUTCOME_ERROR;
    job->result = state == JOB_SUCCEEDED ? (struct text){"[1]", 3} : (struct text){NULL, 0};
}

static inline bool land_in_group(struct job *job, uint32_t before)
{
    struct store_land land = {.job = job, .before = before, .keep_attempt = true};
    ok(store_land(store, &land));
    return land.landed;
}

static inline bool land(struct job *job, uint32_t before)
{
    begin();
    bool landed = land_in_group(job, before);
    ok(store_commit(store));
    return landed;
}

/* A job that was submitted for later, or one that waits for others. */
static inline struct job *submitted_as(enum job_state state, int64_t run_at_ms)
{
    struct job *job = make_job("q", "t");
    job->state = state;
    job->spec.scheduled_ms = run_at_ms;
    job->spec.run_at_ms = state == JOB_SCHEDULED ? run_at_ms : 0;
    submit(job);
    return job;
}

static inline struct job *submitted(void)
{
    struct job *job = make_job("q", "t");
    submit(job);
    return job;
}

static inline struct store_end end_in_group(struct id id, enum store_ending ending, int64_t now_ms)
{
    struct store_end end = {.id = id, .ending = ending, .now_ms = now_ms};
    ok(store_end(store, &end));
    return end;
}

/* Ended, and what it became is not looked at. */
static inline enum err end_job(struct id id, enum store_ending ending, int64_t now_ms)
{
    begin();
    struct store_end end = end_in_group(id, ending, now_ms);
    ok(store_commit(store));
    job_free(end.job);
    return end.err;
}

static inline void counts_are_right(void)
{
    ck_assert_int_eq(
        look("WITH truth AS (SELECT queue, task, state, count(*) AS jobs FROM jobs GROUP BY 1, 2, 3),"
             "kept AS (SELECT queue, task, state, jobs FROM counts WHERE jobs <> 0)"
             "SELECT (SELECT count(*) FROM (SELECT * FROM truth EXCEPT SELECT * FROM kept)) +"
             "(SELECT count(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM truth))"),
        0);
}

#endif
