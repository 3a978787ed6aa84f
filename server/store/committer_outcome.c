/* After a commit, or instead of one: who hears of what. */
#include "committer_private.h"

#include "check.h"
#include "crash_point.h"
#include "extras.h"
#include "log.h"
#include "retention.h"

void committer_answer(struct errand *errand, enum err err)
{
    if (errand == NULL)
        return;
    errand->err = err;
    errand->notify(errand);
}

void committer_accepted(struct committer *committer, const struct job *job)
{
    metrics_submitted(committer->metrics, &job->spec);
    LOG(JOB_ACCEPT, LOG_ID(job->spec.id), LOG_TEXT("task", job->spec.task));
}

/* Another job holds its uniqueness key, and is to give way to it: the dispatcher knows whether it runs. */
static bool is_to_replace(const struct work *work, const struct store_submit *submit)
{
    struct unique_rule rule;
    return submit->err == ERR_DUPLICATE_JOB && work->errand != NULL &&
           extras_unique(work->job->extras, &rule) && rule.on_conflict == CONFLICT_REPLACE;
}

/* Nothing was inserted: why, and which job stands there already. */
static void answer_standing(struct work *work, const struct store_submit *submit)
{
    struct errand *errand = work->errand;
    if (errand != NULL) {
        errand->replayed = submit->replayed;
        errand->returned = submit->returned;
        errand->original = submit->original;
    }
    work_answer(work, submit->err);
}

/* A durable submission is acknowledged here, after the dispatcher was told; a memory one only once it is
 * HELD. */
static void hand_out_submit(struct committer *committer, struct work *work)
{
    struct errand *errand = work->errand;
    struct store_submit submit = work->op.submit; /* a copy: it outlives the work */
    bool memory = work->job->spec.durability == DURABILITY_MEMORY;
    if (is_to_replace(work, &submit)) {
        work->kind = WORK_REPLACE;
        work->id = submit.original;
        committer->deliver(committer->dispatcher, work);
    } else if (submit.replayed || submit.returned || (submit.err != ERR_OK && submit.err != ERR_NOT_FOUND)) {
        answer_standing(work, &submit);
    } else if (memory) {
        committer->deliver(committer->dispatcher, work);
    } else if (errand != NULL && errand->otherwise != ERR_OK) {
        work_answer(work, errand->otherwise);
    } else {
        work->errand = NULL;
        committer_accepted(committer, work->job);
        committer->deliver(committer->dispatcher, work);
        CRASH_POINT(SUBMIT_DELIVERED);
        committer_answer(errand, ERR_OK);
        CRASH_POINT(SUBMIT_ANSWERED);
    }
}

/* What a finished job was asked for: the dispatcher hears of it before the client does. */
static void hand_back(struct committer *committer, struct work *work, enum err err)
{
    work->err = err;
    work->answered = true;
    committer->deliver(committer->dispatcher, work);
}

void committer_hand_out(struct committer *committer, struct work *work)
{
    work->err = ERR_OK;
    switch (work->kind) {
    case WORK_SUBMIT:
        hand_out_submit(committer, work);
        break;
    case WORK_CANCEL:
        hand_back(committer, work, work->op.end.err);
        break;
    case WORK_PATCH:
        hand_back(committer, work, work->op.patch.err);
        break;
    case WORK_SET:
    case WORK_SCHEDULE:
        hand_back(committer, work, ERR_OK);
        break;
    case WORK_FIRE:
        hand_back(committer, work, work->job != NULL ? work->op.submit.err : ERR_OK);
        break;
    case WORK_LAND:
    case WORK_DUE:
    case WORK_EXPIRED:
    case WORK_RELEASE:
        committer->deliver(committer->dispatcher, work);
        break;
    case WORK_RETRY:
        hand_back(committer, work, work->op.retry.err);
        break;
    case WORK_FORGET:
        hand_back(committer, work, work->op.past.err);
        break;
    case WORK_RETAIN:
        retention_done(work->retain, ERR_OK);
        work_free(work);
        break;
    case WORK_REPLACE:
        hand_back(committer, work, work->op.replace.submit.err);
        break;
    case WORK_BULK:
    case WORK_LOAD:
    case WORK_LOOK:
        CHECK_NEVER("not part of a group");
    case WORK_SWEEP:
        work_free(work);
        break;
    }
}

void committer_refuse(struct committer *committer, struct work *work, enum err err)
{
    struct errand *errand = work->errand;
    work->err = err;
    switch (work->kind) {
    case WORK_SUBMIT:
    case WORK_BULK:
    case WORK_SWEEP:
        work_free(work);
        committer_answer(errand, err);
        break;
    case WORK_LAND:
        work->node.next = NULL;
        *committer->unlanded_end = work;
        committer->unlanded_end = (struct work **)(void *)&work->node.next;
        break;
    case WORK_RETRY:
    case WORK_FORGET:
    case WORK_CANCEL:
    case WORK_PATCH:
    case WORK_SET:
    case WORK_REPLACE:
    case WORK_FIRE:
    case WORK_SCHEDULE:
        hand_back(committer, work, err);
        break;
    case WORK_RETAIN:
        retention_done(work->retain, err);
        work_free(work);
        break;
    case WORK_RELEASE:
    case WORK_DUE:
    case WORK_EXPIRED:
        committer->deliver(committer->dispatcher, work);
        break;
    case WORK_LOAD:
    case WORK_LOOK:
        CHECK_NEVER("not part of a group");
    }
}
