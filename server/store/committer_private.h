/* What the files of the committer share: committer.c (the loop, groups, a full store), committer_run.c (one
 * operation of a group), committer_outcome.c (who hears of what). The committer's thread. */
#ifndef FORKPOOL_COMMITTER_PRIVATE_H
#define FORKPOOL_COMMITTER_PRIVATE_H

#include "committer.h"

/* One operation, between begin and commit, with its outcome in work->op. */
enum err committer_run(const struct committer *committer, struct work *work) MUST_USE;

/* Everything of a bulk request, between begin and commit. ERR_OK: it may be committed. ERR_AGAIN: it may not,
 * since nothing is to be inserted, or since one line of an atomic one cannot be, which its `failed` and
 * work->err tell. Else the store's error. */
enum err committer_run_bulk(const struct committer *committer, struct work *work) MUST_USE;

/* After the commit: to the dispatcher, then to the request behind it. Takes work. */
void committer_hand_out(struct committer *committer, struct work *work);

/* Instead of it, the store being full: requests hear so, results are kept. Takes work. */
void committer_refuse(struct committer *committer, struct work *work, enum err err);

/* errand NULL: nobody waits. */
void committer_answer(struct errand *errand, enum err err);

#endif
