/* The load of power_loss.c: groups of everything that a store can be asked for, drawn by chance from what is
 * in it. It keeps no books of its own: what a commit has made is read back as a whole (power_state.h). */
#ifndef FORKPOOL_TESTS_POWER_LOAD_H
#define FORKPOOL_TESTS_POWER_LOAD_H

#include "buf.h"
#include "err.h"
#include "power_vfs.h"
#include "store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_OPS = 8, GROUP_JOBS = 64, BATCH_LIMIT = 4, ARGS_BYTES = 20000 };

static int64_t now_ms;
static int64_t id_counter;
static struct store *store;
static struct job *held[GROUP_JOBS]; /* operations borrow them until the commit */
static size_t held_count;

_Noreturn static void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

int64_t __wrap_clock_real_ms(void);
struct id __wrap_id_new(void);

int64_t __wrap_clock_real_ms(void)
{
    return now_ms;
}

struct id __wrap_id_new(void)
{
    int64_t random = (int64_t)power_below(1u << 31) << 31 | power_below(1u << 31);
    return id_join((now_ms << 12) + ++id_counter % 4096, random);
}

static bool percent(uint32_t of_100)
{
    return power_below(100) < of_100;
}

static void must(enum err err, const char *what)
{
    if (err != ERR_OK)
        broken("%s: %s", what, err_code(err));
}

static struct job *hold(struct job *job)
{
    if (job == NULL)
        return NULL;
    if (held_count == GROUP_JOBS)
        broken("too many jobs in a group");
    return held[held_count++] = job;
}

static void let_go(void)
{
    while (held_count > 0)
        job_free(held[--held_count]);
}

static int64_t ask(const char *sql)
{
    int64_t value;
    must(store_sql_ask(&store->reader.connection, sql, &value), sql);
    return value;
}

/* One row of that table, by chance. */
static bool pick(const char *table, const char *where, struct id *id)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s", table, where);
    int64_t count = ask(sql), at = count == 0 ? 0 : power_below((uint32_t)count);
    if (count == 0)
        return false;
    snprintf(sql, sizeof sql, "SELECT id_key FROM %s WHERE %s ORDER BY id_key LIMIT 1 OFFSET %lld", table,
             where, (long long)at);
    int64_t key = ask(sql);
    snprintf(sql, sizeof sql, "SELECT id_random FROM %s WHERE id_key = %lld", table, (long long)key);
    *id = id_join(key, ask(sql));
    return true;
}

static struct job *read_job(struct id id)
{
    struct job *job = NULL;
    must(store_get(store_own_reader(store), id, &job), "get");
    return hold(job);
}

/* --- new jobs --- */

static void own_text(struct job *job, struct text *text, size_t place, struct buf *buf)
{
    job->owned[place] = buf_take(buf, &text->bytes);
    text->at = job->owned[place];
    if (text->at == NULL)
        broken("no memory");
}

static void give_args(struct job *job)
{
    BUF_AUTO args = {0};
    size_t bytes = percent(85) ? power_below(200) : power_below(ARGS_BYTES);
    buf_put(&args, "\"");
    for (size_t i = 0; i < bytes; i++)
        buf_add(&args, &"abcdefghijklmnop"[power_below(16)], 1);
    buf_put(&args, "\"");
    own_text(job, &job->args, 0, &args);
}

static void give_tags(struct job *job)
{
    BUF_AUTO tags = {0};
    buf_printf(&tags, "[\"tag%u\",\"all\"]", power_below(4));
    own_text(job, &job->tags, 2, &tags);
}

/* Its extras: a uniqueness key, and jobs and batches to wait for. */
static size_t give_extras(struct job *job, struct id *after)
{
    BUF_AUTO extras = {0};
    size_t count = 0, wanted = percent(35) ? 1 + power_below(3) : 0;
    bool unique = percent(15);
    while (count < wanted && pick(percent(80) ? "jobs" : "batches", "1", &after[count]))
        count++;
    if (!unique && count == 0)
        return 0;
    buf_put(&extras, "{");
    if (unique) {
        job->spec.flags |= JOB_FLAG_UNIQUE;
        buf_printf(&extras, "\"unique\":{\"key\":\"u%u\"%s,\"on_conflict\":\"%s\"}", power_below(6),
                   percent(30) ? ",\"period\":60" : "", percent(50) ? "reject" : "return");
    }
    for (size_t i = 0; i < count; i++) {
        char text[ID_TEXT_BYTES];
        id_format(after[i], text);
        buf_printf(&extras, "%s\"%s\"", i > 0 ? "," : unique ? ",\"after\":[" : "\"after\":[", text);
    }
    if (count > 0) {
        job->spec.flags |= JOB_FLAG_INPUTS;
        job->spec.after_policy = (uint8_t)power_below(AFTER_POLICY_COUNT);
        buf_put(&extras, "]");
    }
    buf_put(&extras, "}");
    own_text(job, &job->extras, 3, &extras);
    return count;
}

static struct job *new_job(enum durability level)
{
    struct job *job = hold(job_new());
    if (job == NULL)
        broken("no memory");
    job->spec.id = id_new();
    job->spec.created_ms = now_ms;
    job->spec.priority = (uint8_t)power_below(PRIORITY_COUNT);
    job->spec.durability = (uint8_t)level;
    job->spec.retry.max_attempts = 3;
    snprintf(job->spec.queue, sizeof job->spec.queue, "queue%u", power_below(3));
    snprintf(job->spec.task, sizeof job->spec.task, "task%u", power_below(3));
    job->spec.lane = job_lane(&job->spec);
    must(store_next_seq(store, &job->spec.seq), "next_seq");
    give_args(job);
    return job;
}

static void do_submit_in(struct id batch, enum durability level)
{
    struct id after[4];
    struct job *job = new_job(level);
    job->spec.batch = batch;
    if (percent(15))
        snprintf(job->spec.idempotency_key, sizeof job->spec.idempotency_key, "key%u", power_below(20));
    if (percent(20))
        give_tags(job);
    if (percent(20)) {
        job->state = JOB_SCHEDULED;
        job->spec.scheduled_ms = job->spec.run_at_ms = now_ms + power_below(20000);
    }
    if (percent(15))
        job->spec.expires_ms = now_ms + power_below(20000);
    struct store_submit submit = {.job = job, .after = after, .after_count = give_extras(job, after)};
    must(store_submit(store, &submit), "submit");
}

static void do_submit(enum durability level)
{
    static const struct id none;
    do_submit_in(none, level);
}

static void do_bulk(enum durability level)
{
    struct id batch = id_new();
    must(store_batch_add(store, batch, now_ms), "batch_add");
    for (uint32_t i = power_below(6); i > 0; i--)
        do_submit_in(batch, level);
}

/* --- what becomes of jobs --- */

static void end_run(struct job *job)
{
    uint32_t fate = power_below(100);
    job->attempt = attempt_blank();
    job->attempt.number = ++job->spec.attempt;
    job->attempt.started_ms = now_ms - 5;
    job->attempt.finished_ms = now_ms;
    job->attempt.outcome = (uint8_t)(fate < 60 ? OUTCOME_SUCCESS : fate < 90 ? OUTCOME_ERROR : OUTCOME_LOST);
    job->state = fate < 60 ? JOB_SUCCEEDED : fate < 75 ? JOB_RETRYING : fate < 90 ? JOB_FAILED : JOB_QUEUED;
    job->spec.errors += fate >= 60 && fate < 90;
    job->spec.lost += fate >= 90;
    job->spec.run_at_ms = job->state == JOB_RETRYING ? now_ms + power_below(5000) : 0;
    job->result = fate < 60 ? (struct text){"{\"done\":true}", 13} : (struct text){NULL, 0};
}

static void do_land(enum durability level)
{
    struct id id;
    (void)level;
    if (!pick("jobs", "state = 0", &id))
        return;
    struct job *job = read_job(id);
    struct store_land land = {.job = job, .before = job->spec.attempt, .keep_attempt = true};
    end_run(job);
    must(store_land(store, &land), "land");
    if (!land.landed)
        broken("a result did not land");
}

/* Of durability memory: its row comes with its end. */
static void do_land_late(enum durability level)
{
    struct job *job = new_job(DURABILITY_MEMORY);
    struct store_land land = {.job = job, .keep_attempt = true};
    (void)level;
    end_run(job);
    must(store_land(store, &land), "land");
}

static void do_end(enum durability level)
{
    static const enum store_ending ENDINGS[] = {END_CANCEL, END_CANCEL, END_ASK, END_EXPIRE, END_REPLACE};
    struct store_end end = {.ending = ENDINGS[power_below(5)], .now_ms = now_ms, .by = id_new()};
    (void)level;
    if (!pick("jobs", percent(80) ? "state NOT IN (3, 4, 5)" : "1", &end.id))
        return;
    must(store_end(store, &end), "end");
    hold(end.job);
}

static void do_patch(enum durability level)
{
    struct store_patch patch = {.now_ms = now_ms,
                                .has_priority = percent(50),
                                .has_run_at = percent(50),
                                .has_expires = percent(30),
                                .has_tags = percent(30),
                                .priority = (uint8_t)power_below(PRIORITY_COUNT),
                                .run_at_ms = percent(50) ? 0 : now_ms + power_below(9000),
                                .expires_ms = now_ms + power_below(20000),
                                .tags = {"[\"new\"]", 7}};
    (void)level;
    if (!pick("jobs", "state NOT IN (3, 4, 5)", &patch.id))
        return;
    must(store_patch(store, &patch), "patch");
    hold(patch.job);
}

static void do_due(enum durability level)
{
    struct job *jobs[BATCH_LIMIT];
    size_t count;
    int64_t next_ms;
    (void)level;
    must(store_due(store, now_ms, BATCH_LIMIT, jobs, &count, &next_ms), "due");
    while (count > 0)
        hold(jobs[--count]);
}

static void do_release(enum durability level)
{
    struct job *jobs[BATCH_LIMIT];
    struct store_release release = {.now_ms = now_ms, .limit = BATCH_LIMIT, .jobs = jobs};
    (void)level;
    must(store_release(store, &release), "release");
    while (release.count > 0)
        hold(jobs[--release.count]);
}

static void do_retry(enum durability level)
{
    struct store_retry retry = {0};
    (void)level;
    if (!pick("jobs", "state IN (3, 4, 5)", &retry.id))
        return;
    must(store_retry(store, &retry), "retry");
    hold(retry.job);
}

static void do_forget(enum durability level)
{
    struct store_past past = {0};
    (void)level;
    if (pick("jobs", "state IN (3, 4, 5)", &past.id))
        must(percent(70) ? store_forget(store, &past) : store_prune(store, &past), "forget");
}

static void do_set(enum durability level)
{
    char name[16], text[48];
    (void)level;
    snprintf(name, sizeof name, "queue%u", power_below(3));
    snprintf(text, sizeof text, "{\"paused\":%s,\"n\":%u}", percent(50) ? "true" : "false", power_below(100));
    struct text body = percent(80) ? (struct text){text, strlen(text)} : (struct text){NULL, 0};
    must(store_setting_put(store, SETTING_QUEUE, name, body), "setting_put");
}

/* A schedule fires: its job, and how far it has come, in the same transaction. */
static void do_schedule(enum durability level)
{
    char sql[256];
    do_submit(level);
    snprintf(sql, sizeof sql,
             "INSERT INTO schedules VALUES ('schedule%u', '{}', %lld, 0, NULL, 1, 0) "
             "ON CONFLICT DO UPDATE SET made = made + 1, last_ms = next_ms, next_ms = excluded.next_ms",
             power_below(3), (long long)now_ms + 1000);
    must(store_sql_exec(&store->reader.connection, "schedule", sql), "schedule");
}

static void do_sweep(enum durability level)
{
    struct store_debris debris[BATCH_LIMIT];
    size_t count;
    (void)level;
    must(store_sweep_keys(store, now_ms + (percent(20) ? 25 * 3600 * 1000 : 0), BATCH_LIMIT), "sweep_keys");
    must(store_debris_read(store_own_reader(store), BATCH_LIMIT, debris, &count), "debris_read");
    for (size_t i = 0; i < count; i++)
        must(store_debris_gone(store, &debris[i]), "debris_gone");
}

/* Something, in the group that has begun. */
static void do_something(enum durability level)
{
    static const struct {
        uint32_t weight;
        void (*act)(enum durability level);
    } ACTS[] = {{30, do_submit}, {6, do_bulk},     {28, do_land},   {2, do_land_late}, {7, do_end},
                {6, do_patch},   {6, do_due},      {6, do_release}, {4, do_retry},     {4, do_forget},
                {3, do_set},     {3, do_schedule}, {2, do_sweep}};
    uint32_t sum = 0, at;
    for (size_t i = 0; i < sizeof ACTS / sizeof *ACTS; i++)
        sum += ACTS[i].weight;
    at = power_below(sum);
    size_t act = 0;
    while (at >= ACTS[act].weight)
        at -= ACTS[act++].weight;
    ACTS[act].act(level);
}

#endif
