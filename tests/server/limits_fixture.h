/* What the tests of limits, patches and expiry ask of the dispatcher. */
#ifndef FORKPOOL_TESTS_LIMITS_FIXTURE_H
#define FORKPOOL_TESTS_LIMITS_FIXTURE_H

#include "dispatcher_fixture.h"

enum { MANY = 3 * SLOT_COUNT };

/* --- requests --- */

static inline void send_errand(struct asked *asked, enum work_kind kind, struct id id)
{
    struct work *work = work_new(kind);
    asked->errand.notify = on_answer;
    work->errand = &asked->errand;
    work->id = id;
    dispatcher_give(&dispatcher, work);
}

static inline enum err answer_of(struct asked *asked)
{
    TURN_UNTIL(answered(asked));
    ck_assert_int_eq(atomic_load(&asked->answers), 1);
    return asked->errand.err;
}

static inline enum err try_to_set(enum setting_kind kind, const char *name, enum limit limit, int64_t value)
{
    struct setting setting = {.kind = kind, .to = limits_none()};
    struct asked asked = {.errand = {.kind = ERRAND_SET, .setting = &setting}};
    strcpy(setting.name, name);
    setting.to.values[limit] = value;
    setting.given[limit] = true;
    send_errand(&asked, WORK_SET, (struct id){0});
    enum err err = answer_of(&asked);
    if (err == ERR_INVALID_FIELD)
        ck_assert_int_eq(setting.alone, limit);
    return err;
}

static inline void set(enum setting_kind kind, const char *name, enum limit limit, int64_t value)
{
    ok(try_to_set(kind, name, limit, value));
}

static inline enum err patch_job(struct id id, struct store_patch patch)
{
    struct asked asked = {.errand = {.kind = ERRAND_PATCH, .id = id, .patch = &patch}};
    send_errand(&asked, WORK_PATCH, id);
    return answer_of(&asked);
}

static inline enum err prioritise(struct id id, uint8_t priority)
{
    return patch_job(id, (struct store_patch){.has_priority = true, .priority = priority});
}

static inline void look_at_job(struct look *look, enum look_kind kind, struct id id)
{
    struct asked asked = {.errand = {.kind = ERRAND_LOOK, .id = id, .look = look}};
    look->kind = kind;
    send_errand(&asked, WORK_LOOK, id);
    ok(answer_of(&asked));
}

static inline void look_at(struct look *look, enum look_kind kind)
{
    look_at_job(look, kind, (struct id){0});
}

static inline struct why why_of(struct id id)
{
    JOB_AUTO job = row(id);
    struct look look = {.why = {.lane = job->spec.lane, .seq = job->spec.seq}};
    look_at_job(&look, LOOK_WHY, id);
    return look.why;
}

static inline struct job *job_in(const char *queue, const char *key)
{
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    strcpy(job->spec.queue, queue);
    strcpy(job->spec.concurrency_key, key);
    return job;
}

static inline struct id submitted_in(const char *queue, const char *key)
{
    struct id id;
    ok(submit_job(job_in(queue, key), &id));
    return id;
}

static inline bool expired(struct id id)
{
    JOB_AUTO job = row(id);
    return job->state == JOB_FAILED && strcmp(job->attempt.error_code, err_code(ERR_EXPIRED)) == 0 &&
           job->spec.attempt == 0;
}

/* --- what workers find --- */

static inline void assert_starts(uint32_t worker, struct id id, uint64_t *ticket)
{
    *ticket = start_next(worker);
    ck_assert(id_equal(id_of_ticket(*ticket), id));
}

static inline void assert_runs(struct id id)
{
    uint64_t ticket;
    assert_starts(2, id, &ticket);
    succeed(2, ticket);
}

static inline void assert_nothing_starts(void)
{
    turns(30);
    ck_assert_uint_eq(claim_next(3), 0);
}

#endif
