#include "tally.h"

#include "handlers.h"

#include <stdlib.h>
#include <string.h>

void tally_fini(struct tally *tally)
{
    free(tally->rows);
    *tally = (struct tally){0};
}

static struct tally_row *find_row(struct tally *tally, const char *queue, const char *task)
{
    for (size_t i = tally->count; i-- > 0;) { /* from the end: stored counts come sorted, or nearly so */
        struct tally_row *row = &tally->rows[i];
        if (strcmp(row->task, task) == 0 && strcmp(row->queue, queue) == 0)
            return row;
    }
    if (tally->count == tally->room) {
        size_t room = tally->room > 0 ? tally->room * 2 : 16;
        struct tally_row *grown = reallocarray(tally->rows, room, sizeof *grown);
        if (grown == NULL)
            return NULL;
        tally->rows = grown;
        tally->room = room;
    }
    struct tally_row *row = &tally->rows[tally->count++];
    *row = (struct tally_row){.jobs = {0}};
    text_copy(row->queue, sizeof row->queue, queue, strlen(queue));
    text_copy(row->task, sizeof row->task, task, strlen(task));
    return row;
}

static enum err add_stored(struct tally *tally, const struct store_count *counts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tally_row *row = find_row(tally, counts[i].queue, counts[i].task);
        if (row == NULL)
            return ERR_NO_MEMORY;
        row->jobs[counts[i].state] += counts[i].jobs;
    }
    return ERR_OK;
}

/* What runs is stored as queued, if it is stored at all. The two looks are not of one moment, so nothing may
 * fall below zero. */
static enum err add_running(struct tally *tally, const struct running *running)
{
    for (size_t i = 0; i < running->count; i++) {
        const struct job_spec *spec = &running->jobs[i]->spec;
        struct tally_row *row = find_row(tally, spec->queue, spec->task);
        if (row == NULL)
            return ERR_NO_MEMORY;
        row->jobs[JOB_RUNNING]++;
        if (spec->stored != 0 && row->jobs[JOB_QUEUED] > 0)
            row->jobs[JOB_QUEUED]--;
    }
    return ERR_OK;
}

enum err tally_take(struct request *request, struct tally *tally)
{
    struct store_count *counts = NULL;
    size_t count = 0;
    RUNNING_AUTO running = {0};
    enum err err = handler_running(request->front, &running);
    if (err == ERR_OK)
        err = store_counts(request_reader(request), &counts, &count);
    if (err == ERR_OK)
        err = add_stored(tally, counts, count);
    if (err == ERR_OK)
        err = add_running(tally, &running);
    free(counts);
    return err;
}

void tally_sum(const struct tally *tally, const char *queue, const char *task, int64_t *sums)
{
    for (size_t i = 0; i < tally->count; i++) {
        const struct tally_row *row = &tally->rows[i];
        if ((queue != NULL && strcmp(queue, row->queue) != 0) ||
            (task != NULL && strcmp(task, row->task) != 0))
            continue;
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            sums[state] += row->jobs[state];
    }
}

void tally_put(struct buf *out, const int64_t *sums)
{
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        buf_put(out, state == 0 ? "{\"" : ",\"");
        buf_put(out, job_state_text((enum job_state)state));
        buf_put(out, "\":");
        buf_put_int(out, sums[state]);
    }
    buf_put(out, "}");
}
