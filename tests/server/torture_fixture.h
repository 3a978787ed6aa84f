/* What the tests of the checker of `forkpool torture` share: evidence in a folder of its own, made of small
 * pieces, and what has to come of it. */
#ifndef FORKPOOL_TESTS_TORTURE_FIXTURE_H
#define FORKPOOL_TESTS_TORTURE_FIXTURE_H

#include "store_fixture.h"

#include "torture_private.h"
#include "witness.h"

#include <stdarg.h>
#include <sys/stat.h>

static struct verdict verdict;

/* --- evidence --- */

static inline void write_line(const char *name, const char *format, ...)
{
    char path[128];
    va_list list;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "ae");
    ck_assert_ptr_nonnull(file);
    va_start(list, format);
    vfprintf(file, format, list);
    va_end(list);
    fclose(file);
}

static inline void make_evidence(void)
{
    BUF_AUTO message = {0};
    char state[96];
    make_folder();
    snprintf(state, sizeof state, "%s/state", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    snprintf(url, sizeof url, "sqlite://%s/state/forkpool.db", folder);
    ok(witness_install(url, &message));
    write_line("client.log", "%s", "");
    write_line("ledger", "%s", "");
    write_line("server.log", "%s", "");
    write_line("samples.csv", "%s", "");
    verdict = (struct verdict){0};
    open_store();
}

static inline void remove_evidence(void)
{
    if (store != NULL)
        close_store();
    verdict_fini(&verdict);
    remove_folder();
}

static inline void check(void)
{
    close_store();
    ok(torture_check(folder, &verdict));
}

static inline void passes(void)
{
    check();
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        ck_assert_msg(verdict.faults[fault] == 0, "%s: %s", torture_fault_texts[fault],
                      verdict.examples[fault][0]);
}

static inline void is_found(enum torture_fault expected)
{
    check();
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        ck_assert_msg(verdict.faults[fault] == (fault == (int)expected), "%zu × %s: %s",
                      verdict.faults[fault], torture_fault_texts[fault], verdict.examples[fault][0]);
}

/* --- its pieces --- */

static inline void asked(unsigned number, const char *kind, const char *expect, const char *after)
{
    write_line("client.log", "asked 1 %u %s %s 9 0 %s\n", number, kind, expect, after);
}

static inline void acked(unsigned number, struct id id)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    write_line("client.log", "acked 2 %u %s\n", number, text);
}

/* At that millisecond, in worker 100. */
static inline void wrote(const char *what, struct id id, unsigned number, const char *nonce, int ms)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    write_line("ledger", "\n%s %s %u 1 %s 200 100 %d000000 .\n", what, text, number, nonce, ms);
}

/* A job that waits, of that request. */
static inline struct job *waiting(unsigned number)
{
    struct job *job = make_job("q", "torture");
    torture_key(number, job->spec.idempotency_key);
    job->spec.priority = PRIORITY_COUNT - 1;
    job->spec.fingerprint = job->spec.id;
    submit(job);
    return job;
}

static inline struct id ended(struct job *job, enum job_state state, const char *result)
{
    struct id id = job->spec.id;
    run_ended(job, state, state == JOB_SUCCEEDED ? OUTCOME_SUCCESS : OUTCOME_ERROR);
    if (state == JOB_SUCCEEDED)
        job->result = (struct text){result, strlen(result)};
    ck_assert(land(job, 0));
    job->result = (struct text){NULL, 0};
    job_free(job);
    return id;
}

/* A request in good order, from its row's first state to its end. */
static inline struct id good(unsigned number)
{
    struct id id = ended(waiting(number), JOB_SUCCEEDED, "\"aa\"");
    asked(number, "quick", "succeeded", "-");
    acked(number, id);
    wrote("start", id, number, "aa", 10);
    wrote("end", id, number, "aa", 20);
    return id;
}

#endif
