#include "dispatcher.h"

/* The job that holds the key gives way if it waits. One that runs, or is about to land, does not. */
void replace_asked(struct dispatcher *dispatcher, struct work *work)
{
    enum err err = change_make_cold(dispatcher, work);
    if (err == ERR_OK) {
        change_send(dispatcher, work);
    } else if (err == ERR_NOT_NOW) {
        work->errand->original = work->id;
        work_answer(work, ERR_DUPLICATE_JOB);
    }
}

/* From the store: the old one has ended there, unless it had before; the new one stands, unless yet another
 * was quicker. */
void replace_answered(struct dispatcher *dispatcher, struct work *work)
{
    const struct store_submit *submit = &work->op.replace.submit;
    struct errand *errand = work->errand;
    bool inserted = work->err == ERR_OK && !submit->replayed && !submit->returned;
    change_is_back(dispatcher, work);
    if (work->replaced != NULL)
        cancel_ended_cold(dispatcher, work->replaced, work->op.replace.end.from);
    if (inserted) {
        committer_accepted(dispatcher->committer, work->job);
        admit_new(dispatcher, work->job);
    } else {
        errand->replayed = submit->replayed;
        errand->returned = submit->returned;
        errand->original = submit->original;
    }
    work_answer(work, work->err);
    cancel_undefer(dispatcher);
}
