/* A configuration, a catalogue of three tasks, and submits against them. */
#ifndef FORKPOOL_TESTS_SUBMISSION_H
#define FORKPOOL_TESTS_SUBMISSION_H

#include "codec.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct config *config;
    struct catalogue *catalogue;
    struct job *job;
    int64_t start_within_ms;
    struct problem problem;
    json_t *json; /* of the problem, or of the job's document */
};

static inline void add_task(struct catalogue *catalogue, const char *name, const char *broken)
{
    struct task *task = &catalogue->tasks[catalogue->task_count++];
    strcpy(task->name, name);
    task->timeout_ms = 90000;
    task->kill_after_ms = 2000;
    task->retry = (struct retry){.max_attempts = 4, .initial_ms = 500, .max_ms = 60000, .jitter = 30};
    if (broken != NULL) {
        task->broken = 1;
        strcpy(task->reason, broken);
    }
}

static inline void fixture_init(struct fixture *f)
{
    static char *none[] = {NULL};
    BUF_AUTO message = {0};
    memset(f, 0, sizeof *f);
    if (config_load(0, none, none, &f->config, &message) != ERR_OK)
        abort();
    f->catalogue = calloc(1, sizeof *f->catalogue);
    f->catalogue->epoch = 7;
    add_task(f->catalogue, "broken", "no such file");
    add_task(f->catalogue, "echo", NULL);
    add_task(f->catalogue, "sha256", NULL);
    strcpy(f->catalogue->tasks[2].queue, "hashes");
}

static inline void fixture_reset(struct fixture *f)
{
    job_free(f->job);
    problem_fini(&f->problem);
    json_decref(f->json);
    f->job = NULL;
    f->problem = (struct problem){0};
    f->json = NULL;
}

static inline void fixture_fini(struct fixture *f)
{
    fixture_reset(f);
    config_free(f->config);
    free(f->catalogue);
}

/* A submit; afterwards f->job, or f->problem and f->json. */
static inline enum err submit_as(struct fixture *f, struct submission submission, const char *body)
{
    BUF_AUTO bytes = {0};
    fixture_reset(f);
    buf_put(&bytes, body);
    submission.config = f->config;
    submission.catalogue = f->catalogue;
    submission.body = &bytes;
    enum err err = codec_submission(&submission, &f->job, &f->start_within_ms, &f->problem);
    if (err != ERR_OK) {
        BUF_AUTO out = {0};
        problem_write(&f->problem, "req-1", &out);
        f->json = json_loadb(out.data, out.bytes, 0, NULL);
    }
    return err;
}

static inline enum err submit(struct fixture *f, const char *body)
{
    return submit_as(f, (struct submission){0}, body);
}

static inline const char *text_at(const struct fixture *f, const char *member)
{
    const char *text = json_string_value(json_object_get(f->json, member));
    return text != NULL ? text : "";
}

/* The pointer (or parameter, or header) of the n-th fault. */
static inline const char *fault_at(const struct fixture *f, size_t number, const char *place)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(f->json, "errors"), number), place));
    return text != NULL ? text : "";
}

#endif
