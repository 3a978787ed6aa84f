/* Jobs that wait for others, are unique, or belong to a batch, as a submit makes them. */
#ifndef FORKPOOL_TESTS_TOGETHER_FIXTURE_H
#define FORKPOOL_TESTS_TOGETHER_FIXTURE_H

#include "scarce_fixture.h"

#include <stdarg.h>

static inline void give_extras(struct job *job, const char *format, ...)
{
    BUF_AUTO text = {0};
    char piece[12000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    buf_put(&text, piece);
    job->owned[3] = buf_take(&text, &job->extras.bytes);
    job->extras.at = job->owned[3];
}

/* Its extras name those ids. */
static inline struct job *make_after(const struct id *after, size_t count, enum after_policy policy)
{
    struct job *job = make_job("q", "t");
    char list[AFTER_MAX * (ID_TEXT_BYTES + 2) + 1] = "", id[ID_TEXT_BYTES];
    for (size_t i = 0, at = 0; i < count; i++) {
        id_format(after[i], id);
        at += (size_t)snprintf(list + at, sizeof list - at, "%s\"%s\"", i > 0 ? "," : "", id);
    }
    give_extras(job, "{\"after\":[%s]}", list);
    job->spec.flags = JOB_FLAG_INPUTS;
    job->spec.after_policy = (uint8_t)policy;
    job->args = (struct text){"{\"n\":1}", 7};
    return job;
}

static inline struct store_submit wait_in_group(struct job *job, const struct id *after, size_t count)
{
    struct store_submit submit = {.job = job, .after = after, .after_count = count};
    job->spec.lane = job_lane(&job->spec);
    ok(store_next_seq(store, &job->spec.seq));
    ok(store_submit(store, &submit));
    return submit;
}

static inline struct store_submit submit_after(struct job *job, const struct id *after, size_t count)
{
    begin();
    struct store_submit submit = wait_in_group(job, after, count);
    ok(store_commit(store));
    return submit;
}

/* Submitted, and taken. */
static inline struct job *waiting_for(const struct id *after, size_t count, enum after_policy policy)
{
    struct job *job = make_after(after, count, policy);
    ck_assert_int_eq(submit_after(job, after, count).err, ERR_OK);
    return job;
}

static inline struct id id_waiting_for(const struct id *after, size_t count, enum after_policy policy)
{
    JOB_AUTO job = waiting_for(after, count, policy);
    return job->spec.id;
}

static inline struct id id_submitted(void)
{
    JOB_AUTO job = submitted();
    return job->spec.id;
}

/* A run of the stored job ended so, with [1] or the error `bad`. */
static inline void finish_in_group(struct id id, enum job_state state)
{
    JOB_AUTO job = get(id);
    ck_assert_int_eq(job->state, JOB_QUEUED);
    run_ended(job, state,
              state == JOB_SUCCEEDED ? OUTCOME_SUCCESS
              : state == JOB_FAILED  ? OUTCOME_ERROR
                                     : OUTCOME_CANCELLED);
    if (state == JOB_FAILED) {
        strcpy(job->attempt.error_code, "bad");
        strcpy(job->attempt.error_message, "It was \"bad\"");
    }
    ck_assert(land_in_group(job, job->spec.attempt - 1));
}

static inline void finish(struct id id, enum job_state state)
{
    begin();
    finish_in_group(id, state);
    ok(store_commit(store));
}

static inline struct id id_ended(enum job_state state)
{
    struct id id = id_submitted();
    finish(id, state);
    return id;
}

static inline struct store_retry retry_job(struct id id)
{
    struct store_retry retry = {.id = id};
    begin();
    ok(store_retry(store, &retry));
    ok(store_commit(store));
    return retry;
}

/* Again, and what it becomes is only its state. */
static inline void retry_as(struct id id, enum job_state state)
{
    struct store_retry retry = retry_job(id);
    ck_assert_int_eq(retry.err, ERR_OK);
    ck_assert_int_eq(retry.job->state, state);
    job_free(retry.job);
}

static inline enum err forget_job(struct id id)
{
    struct store_past past = {.id = id};
    begin();
    ok(store_forget(store, &past));
    ok(store_commit(store));
    return past.err;
}

enum { RELEASE_NOW_MS = 5000 };

/* One call, committed; the jobs are the caller's. */
static inline struct store_release release(struct job **jobs, size_t limit)
{
    struct store_release release = {.now_ms = RELEASE_NOW_MS, .limit = limit, .jobs = jobs};
    begin();
    ok(store_release(store, &release));
    ok(store_commit(store));
    return release;
}

/* All that there is to tell; how many jobs it was about. */
static inline size_t release_all(void)
{
    struct job *jobs[8];
    size_t count = 0;
    while (store_releases_wait(store)) {
        struct store_release done = release(jobs, 8);
        count += done.count;
        while (done.count > 0)
            job_free(jobs[--done.count]);
    }
    return count;
}

static inline void is(struct id id, enum job_state state)
{
    JOB_AUTO job = get(id);
    ck_assert_msg(job->state == state, "%s, not %s", job_state_text(job->state), job_state_text(state));
    ck_assert_uint_eq(job->waits > 0, state == JOB_BLOCKED);
}

static inline void waits_for(struct id id, uint32_t count)
{
    JOB_AUTO job = get(id);
    ck_assert_int_eq(job->state, JOB_BLOCKED);
    ck_assert_uint_eq(job->waits, count);
}

/* Each blocked job waits for as many as there are edges to it, and nothing else is left. */
static inline void edges_are_right(void)
{
    ck_assert_int_eq(
        look("SELECT count(*) FROM jobs WHERE state = 7 AND waits <> (SELECT count(*) FROM edges "
             "WHERE child_key = id_key AND child_random = id_random)"),
        0);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state <> 7 AND waits <> 0"), 0);
    counts_are_right();
}

static inline void nothing_is_left(void)
{
    edges_are_right();
    ck_assert_int_eq(look("SELECT (SELECT count(*) FROM edges) + (SELECT count(*) FROM releases)"), 0);
    ck_assert(!store->any_edges);
    ck_assert(!store_releases_wait(store));
}

/* Batches. */

static inline struct id add_batch(void)
{
    struct id id = id_new();
    ok(store_batch_add(store, id, 4000));
    return id;
}

static inline struct job *make_member(struct id batch)
{
    struct job *job = make_job("q", "t");
    job->spec.batch = batch;
    return job;
}

static inline struct id member_in_group(struct id batch)
{
    JOB_AUTO job = make_member(batch);
    submit_in_group(job);
    return job->spec.id;
}

/* A batch with those jobs, committed. */
static inline struct id batch_of(struct id *members, size_t count)
{
    begin();
    struct id batch = add_batch();
    for (size_t i = 0; i < count; i++)
        members[i] = member_in_group(batch);
    ok(store_commit(store));
    return batch;
}

static inline struct store_batch batch_now(struct id id)
{
    struct store_batch batch;
    ok(store_batch_get(store_own_reader(store), id, &batch));
    return batch;
}

static inline void batch_is(struct id id, int64_t jobs, int64_t succeeded, int64_t failed, int64_t cancelled)
{
    struct store_batch batch = batch_now(id);
    ck_assert(id_equal(batch.id, id));
    ck_assert_int_eq(batch.jobs, jobs);
    ck_assert_int_eq(batch.succeeded, succeeded);
    ck_assert_int_eq(batch.failed, failed);
    ck_assert_int_eq(batch.cancelled, cancelled);
    ck_assert_int_eq(batch.finished_ms > 0, jobs == succeeded + failed + cancelled);
}

#endif
