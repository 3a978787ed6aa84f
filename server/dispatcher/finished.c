#include "dispatcher.h"

#include "log.h"

/* A finished job has no slot. One whose end is being committed is waited for: a list may have shown it as
 * finished already. That no load brings a row into a slot that is finished by now needs no care: a job that a
 * load has read as queued ends by a commit behind that load, whose outcome comes here behind it too. */
void finished_asked(struct dispatcher *dispatcher, struct work *work)
{
    uint32_t slot = hot_find(dispatcher->hot, work->id);
    if (slot == HOT_NONE && work->kind == WORK_RETRY) {
        change_send(dispatcher, work);
        return;
    }
    if (slot == HOT_NONE) {
        committer_give(dispatcher->committer, work);
        return;
    }
    bool ending = dispatcher->cells[slot].place == CELL_LANDING ||
                  slot_claim_load(&dispatcher->segment->slots[slot]).state == SLOT_DONE;
    if (ending)
        cells_park(dispatcher, slot, work);
    else
        work_answer(work, ERR_NOT_FINISHED);
}

/* From the store, where it is queued again or gone, or neither. */
void finished_answered(struct dispatcher *dispatcher, struct work *work)
{
    enum err err = work->err;
    bool retry = work->kind == WORK_RETRY;
    if (retry)
        change_is_back(dispatcher, work);
    if (err == ERR_OK && work->kind == WORK_RETRY) {
        LOG(JOB_AGAIN, LOG_ID(work->id), LOG_TEXT("task", work->job->spec.task));
        admit_waiting(dispatcher, work->job); /* in line, or for others again */
    } else if (err == ERR_OK) {
        LOG(JOB_FORGET, LOG_ID(work->id));
    }
    if (retry && err == ERR_DUPLICATE_JOB && work->errand != NULL)
        work->errand->original = work->op.retry.holder;
    work_answer(work, err);
    if (retry)
        cancel_undefer(dispatcher);
}
