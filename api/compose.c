#include "compose.h"

#include "codec.h"

enum err compose_job(struct front *front, struct text body, struct job **job, struct buf *why)
{
    PROBLEM_AUTO problem = {0};
    struct catalogue_ref *ref = front_catalogue(front);
    *job = NULL;
    if (ref == NULL)
        return ERR_STARTING;
    enum err err = codec_schedule_job(front_config(front), ref->catalogue, body, job, &problem);
    front_catalogue_drop(ref);
    buf_add(why, problem.detail.data, problem.detail.bytes);
    return err;
}
