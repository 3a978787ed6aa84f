#include "work.h"

#include "schedules.h"

#include <stdlib.h>

struct work *work_new(enum work_kind kind)
{
    struct work *work = calloc(1, sizeof *work);
    if (work != NULL)
        work->kind = kind;
    return work;
}

void work_free(struct work *work)
{
    if (work == NULL)
        return;
    for (size_t i = 0; i < work->count; i++)
        job_free(work->jobs[i]);
    free(work->jobs);
    free(work->loads);
    free(work->lanes);
    free(work->ids);
    fire_free(work->fire);
    job_free(work->job);
    job_free(work->replaced);
    free(work);
}

void work_answer(struct work *work, enum err err)
{
    struct errand *errand = work->errand;
    work_free(work);
    if (errand == NULL)
        return;
    errand->err = err;
    errand->notify(errand);
}
