/* Crash points: named places in the code where a process kills itself, for tests only.
 *
 * In a build with FORKPOOL_CRASH_POINTS (preset `crash`) each process counts how often it comes by each
 * point, in a file that outlives it. At one of these hits, named by the environment, it ends by SIGKILL: once
 * over all lives, since the count goes on. In every other build nothing of this is there.
 *
 *     FORKPOOL_TEST_CRASH=RUNNING:2      the second time that any process comes by RUNNING
 *     FORKPOOL_TEST_CRASH_FILE=path      the counts: an array of 64-bit words in the order of the table
 *
 * A point counts only in the kind of process that the table gives it. tests/crash/points walks the table;
 * docs/crash-points.md says how.
 *
 *     CRASH_PROCESS(WORKER);                       once, at the start of a process
 *     CRASH_POINT(RUNNING);                        a place between two statements
 *     err = CRASH_AROUND(STORE_LAND, store_land(store, &land));    before and after a call: two points
 *     CRASH_COPY(TRAY_HALF, to, from, bytes);      memcpy, with the point in the middle
 */
#ifndef FORKPOOL_CRASH_POINT_H
#define FORKPOOL_CRASH_POINT_H

/* name; process: SUPERVISOR, FRONT or WORKER; row of the failure matrix (docs/crash-points.md); what it says
 */
#define CRASH_POINTS(P)                                                                                      \
    P(SUBMIT_VALIDATED, FRONT, "1", "a submission is valid, nobody else knows of it")                        \
    P(BULK_VALIDATED, FRONT, "1", "a bulk request is valid, nobody else knows of it")                        \
    P(GROUP_BEGUN, FRONT, "2", "the transaction of a group has begun, nothing is in it")                     \
    P(GROUP_WRITTEN, FRONT, "2", "all of the group is written, COMMIT is not")                               \
    P(GROUP_COMMITTED, FRONT, "3", "the group is committed, nobody has heard of it")                         \
    P(SUBMIT_DELIVERED, FRONT, "3", "the dispatcher has the submission, the client no answer")               \
    P(SUBMIT_ANSWERED, FRONT, "3", "the client's request was told, its answer is not sent yet")              \
    P(BULK_COMMITTED, FRONT, "3", "a bulk request is committed, nobody has heard of it")                     \
    P(SLOT_BUILDING, FRONT, "4", "a slot is reserved, nothing is in it")                                     \
    P(SLOT_SPEC, FRONT, "5", "the job is in the slot, its arguments are not")                                \
    P(SLOT_HALF_COPIED, FRONT, "5", "half of the arguments are copied")                                      \
    P(SLOT_COPIED, FRONT, "5", "the arguments are copied, the slot is not HELD")                             \
    P(SLOT_HELD, FRONT, "4", "the slot is HELD, the front has not noted it")                                 \
    P(PUBLISH_READY, FRONT, "6", "the job left its lane, the slot is not QUEUED")                            \
    P(PUBLISH_QUEUED, FRONT, "6", "the slot is QUEUED, no cell names it")                                    \
    P(PUBLISH_CELL, FRONT, "6", "the cell is written, the tail is not moved")                                \
    P(PUBLISH_TAIL, FRONT, "7", "the tail is moved, nobody is woken")                                        \
    P(PUBLISH_POSTED, FRONT, "7", "workers are woken")                                                       \
    P(TAKEN_BACK, FRONT, "6", "a QUEUED slot is HELD again, its ticket still lies in the ring")              \
    P(WAITING, WORKER, "8", "about to sleep, and has said so")                                               \
    P(WOKEN, WORKER, "9", "has slept and taken a token, has not looked")                                     \
    P(CELL_READ, WORKER, "10", "has read a cell, has claimed nothing")                                       \
    P(CLAIMED, WORKER, "11", "has claimed the slot, the ring's head is not moved")                           \
    P(ADVANCED, WORKER, "11", "the head is moved, the run is not begun")                                     \
    P(BOX_BEGUN, WORKER, "20b", "the black box names the job, its slot has no attempt")                      \
    P(ATTEMPT_BEGUN, WORKER, "12", "the attempt is recorded in the slot, the run word says idle")            \
    P(RUNNING, WORKER, "12", "the run word says running, the task is not called")                            \
    P(RAN, WORKER, "12", "a plugin has returned, the run is not FINISHING")                                  \
    P(FINISHING, WORKER, "12a", "the run is FINISHING, its outcome is not recorded")                         \
    P(CHILD_BORN, WORKER, "13", "a command's child lives, its process group is not on the board")            \
    P(CHILD_GROUPED, WORKER, "13", "the child's group is on the board, it has not come to exec")             \
    P(CHILD_STARTED, WORKER, "13", "the command runs, its worker has not looked at it")                      \
    P(CHILD_ENDED, WORKER, "13", "the command has ended, the run is not FINISHING")                          \
    P(CHILD_GROUP_KILLED, WORKER, "13", "its group is killed, and still on the board")                       \
    P(CHILD_UNGROUPED, WORKER, "13", "its group is off the board, it is not reaped")                         \
    P(CHILD_REAPED, WORKER, "13", "the command is reaped, its result is not looked at")                      \
    P(RESULT_HALF, WORKER, "14", "half of a small result is in the slot")                                    \
    P(TRAY_HEADER, WORKER, "14", "a record's header is in the tray, the result is not")                      \
    P(TRAY_HALF, WORKER, "14", "half of a large result is in the tray")                                      \
    P(TRAY_PUT, WORKER, "14", "the record is in the tray, the slot does not name it")                        \
    P(RESULT_WRITTEN, WORKER, "14", "the result is written, the slot is not DONE")                           \
    P(DONE, WORKER, "15", "the slot is DONE, no completion says so")                                         \
    P(COMPLETED, WORKER, "15", "the completion is there, the black box still names the job")                 \
    P(BOX_ENDED, WORKER, "15", "the black box is empty, the run word says FINISHING")                        \
    P(IDLE, WORKER, "15", "the run is over, nobody is told")                                                 \
    P(RECYCLED, WORKER, "20", "has taken the offer to be replaced, has not ended")                           \
    P(STANDING, WORKER, "20", "is ready to replace another one")                                             \
    P(LANDING, FRONT, "16", "a result is collected, the committer does not have it")                         \
    P(LANDED, FRONT, "17", "a result is committed, nobody is told")                                          \
    P(UNINDEXED, FRONT, "18", "the job is over, its slot is not in the index any more")                      \
    P(ARENA_FREED, FRONT, "19", "its arguments' room is free, the slot is not")                              \
    P(SLOT_FREED, FRONT, "18", "the slot is FREE, its tray is not looked at")                                \
    P(RELEASED, FRONT, "18", "everything is free, who waits has not been told")                              \
    P(WAITERS_TOLD, FRONT, "17", "who waited is told, the answer is not sent yet")                           \
    P(CHARGED, FRONT, "12", "a death is charged, and being committed")                                       \
    P(REQUEUE_BUILDING, FRONT, "12", "a death is on record, the slot is BUILDING again")                     \
    P(REQUEUED, FRONT, "12", "the job waits again, the death is not acknowledged")                           \
    P(DEATH_ACKED, FRONT, "12", "the death is acknowledged")                                                 \
    P(GIVEN_BACK, FRONT, "12", "a job was given back uncharged, the death is not acknowledged")              \
    P(CANCEL_NOTED, FRONT, "12a", "a running job is to be stopped, the board does not say so")               \
    P(CANCEL_SENT, FRONT, "12a", "the board names the job to be stopped")                                    \
    P(SETTING_KEPT, FRONT, "3", "a setting is kept, and not in force")                                       \
    P(SCHEDULE_DUE, FRONT, "1", "a schedule's time has come, and is not with the committer")                 \
    P(SCHEDULE_FIRED, FRONT, "3", "a schedule's time is committed, and not in force")                        \
    P(SCHEDULE_KEPT, FRONT, "3", "a change of a schedule is kept, and not in force")                         \
    P(SCHEDULE_TRIGGERED, FRONT, "3", "a trigger's job is committed, the client has no answer")              \
    P(PATCH_COLD, FRONT, "16", "a job to be changed has left its slot, its row is not changed")              \
    P(LOGS_UNLINKED, FRONT, "18", "the logs of a forgotten job are unlinked, its debris is still noted")     \
    P(STORE_OPENED, FRONT, "20", "the store is open, the black box not charged")                             \
    P(BOX_CHARGED, FRONT, "20b", "the black box is charged, the slots are not looked at")                    \
    P(RINGS_CLEARED, FRONT, "6", "a new front has emptied the rings, the slots are not taken over")          \
    P(SLOT_ADOPTED, FRONT, "6", "a new front has taken over a slot")                                         \
    P(LINED_UP, FRONT, "6", "a new front has taken over the slots, the store is not read")                   \
    P(FRONT_READY, FRONT, "20", "a new front serves, and has not said so")                                   \
    P(FRONT_DRAINED, FRONT, "20", "all is settled at the end of a drain, the store is open")                 \
    P(STORE_CLOSED, FRONT, "20", "the store is closed, the front has not ended")                             \
    P(REAPED, SUPERVISOR, "20", "a child is reaped, nothing says so")                                        \
    P(BURIED, SUPERVISOR, "12", "a worker's death is known, its process group not killed")                   \
    P(GROUP_GONE, SUPERVISOR, "13", "its process group is gone, the death not recorded")                     \
    P(DEATH_RECORDED, SUPERVISOR, "12", "the death is recorded, the incarnation not raised")                 \
    P(INCARNATION_RAISED, SUPERVISOR, "8", "the incarnation is raised, nobody is posted")                    \
    P(DEATH_POSTED, SUPERVISOR, "8", "workers are posted, the front is not")                                 \
    P(WORKER_CLEAN, SUPERVISOR, "20", "a board is clean for a new worker, which is not forked")              \
    P(WORKER_FORKED, SUPERVISOR, "20", "a worker is forked, nothing says so")                                \
    P(FRONT_REAPED, SUPERVISOR, "20", "the front is reaped, no new one is there")                            \
    P(FRONT_FORKED, SUPERVISOR, "20", "a front is forked, nothing says so")                                  \
    P(PROBE_FORKED, SUPERVISOR, "20", "a probe is forked, nothing says so")                                  \
    P(PROBE_REAPED, SUPERVISOR, "20", "the catalogue is complete, its epoch not raised")                     \
    P(STOP_SIGNALLING, SUPERVISOR, "12a", "a run is SIGNALLING, its group has no signal yet")                \
    P(STOP_SIGNALLED, SUPERVISOR, "12a", "the group has its signal, the run is still SIGNALLING")            \
    P(STOP_STOPPING, SUPERVISOR, "12a", "the run is STOPPING")                                               \
    P(STOP_KILLED, SUPERVISOR, "12a", "the run is KILLED, its worker lives")                                 \
    P(SEAT_RELEASED, SUPERVISOR, "20", "a replacement may serve, and is not told")                           \
    P(BOX_RETIRED, SUPERVISOR, "20b", "the old black box is out of the way, there is no new one")            \
    P(BOX_MADE, SUPERVISOR, "20b", "the new black box is there")                                             \
    P(DRAIN_BEGUN, SUPERVISOR, "20", "a drain has begun, no worker is told")                                 \
    P(DRAIN_KILLING, SUPERVISOR, "20", "the grace of a drain is over, a worker's run is KILLED")             \
    P(DRAIN_WORKERS_GONE, SUPERVISOR, "20", "the workers are gone, the front is not told")                   \
    P(RELOADED, SUPERVISOR, "20", "the file was read again, nobody is told")

/* Calls of the store by the front, each with a point before and one after it. Rows 2 and 16. */
#define CRASH_CALLS(C)                                                                                       \
    C(STORE_BEGIN, "store_begin")                                                                            \
    C(STORE_SUBMIT, "store_submit")                                                                          \
    C(STORE_BATCH_ADD, "store_batch_add")                                                                    \
    C(STORE_LAND, "store_land")                                                                              \
    C(STORE_END, "store_end")                                                                                \
    C(STORE_PATCH, "store_patch")                                                                            \
    C(STORE_DUE, "store_due")                                                                                \
    C(STORE_EXPIRED, "store_expired")                                                                        \
    C(STORE_RELEASE, "store_release")                                                                        \
    C(STORE_RETRY, "store_retry")                                                                            \
    C(STORE_FORGET, "store_forget")                                                                          \
    C(STORE_FORGET_OLD, "store_forget, of an old job")                                                       \
    C(STORE_PRUNE, "store_prune")                                                                            \
    C(STORE_DEBRIS_GONE, "store_debris_gone")                                                                \
    C(STORE_SETTING_PUT, "store_setting_put")                                                                \
    C(STORE_SCHEDULE_SUBMIT, "store_submit, of a schedule's job")                                            \
    C(STORE_SCHEDULE_MADE, "store_schedule_put, together with a job or a skipped time")                      \
    C(STORE_SCHEDULE_PUT, "store_schedule_put, of a new, changed or paused one")                             \
    C(STORE_SCHEDULE_GONE, "store_schedule_put, of a deleted one")                                           \
    C(STORE_SWEEP_KEYS, "store_sweep_keys")                                                                  \
    C(STORE_LOAD, "store_load")                                                                              \
    C(STORE_COMMIT, "store_commit")                                                                          \
    C(STORE_CHECKPOINT, "store_checkpoint")                                                                  \
    C(BOX_FORGET, "blackbox_forget")

enum crash_process { CRASH_NOWHERE, CRASH_SUPERVISOR, CRASH_FRONT, CRASH_WORKER };

enum crash_point {
#define P(name, process, row, text) CRASH_POINT_##name,
#define C(name, text)               CRASH_POINT_##name##_BEFORE, CRASH_POINT_##name##_AFTER,
    CRASH_POINTS(P) CRASH_CALLS(C)
#undef P
#undef C
        CRASH_POINT_COUNT
};

#ifdef FORKPOOL_CRASH_POINTS

#include <stddef.h>

/* Which kind of process this is from now on. The first call of a life maps the file of counts; it aborts if
 * that cannot be done. */
void crash_process(enum crash_process process);

/* Counts the hit, and does not return if it is the one. Any thread; also a vforked child. */
void crash_point(enum crash_point point);

/* crash_point, handing through what a call before it has returned. */
int crash_passing(int returned, enum crash_point point);

/* memcpy, with the point in the middle. */
void crash_copy(enum crash_point point, void *to, const void *from, size_t bytes);

#define CRASH_PROCESS(name) crash_process(CRASH_##name)
#define CRASH_POINT(name)   crash_point(CRASH_POINT_##name)
#define CRASH_AROUND(name, call)                                                                             \
    (CRASH_POINT(name##_BEFORE), (enum err)crash_passing((int)(call), CRASH_POINT_##name##_AFTER))

#define CRASH_COPY(name, to, from, bytes) crash_copy(CRASH_POINT_##name, to, from, bytes)

#else

#define CRASH_PROCESS(name)               ((void)0)
#define CRASH_POINT(name)                 ((void)0)
#define CRASH_AROUND(name, call)          (call)
#define CRASH_COPY(name, to, from, bytes) memcpy(to, from, bytes)

#endif

#endif
