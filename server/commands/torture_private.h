/* What the files of `forkpool torture` share. One process, one thread.
 *
 *     torture_tables.h    what it asks for, whom it kills, what it looks for
 *     torture.c           the command line, the phases
 *     torture_instance.c  the scratch instance: start, stop, its processes, what they hold
 *     torture_load.c      requests: what is asked, repeated, acknowledged; what the server says of itself
 *     torture_plan.c      which jobs there are
 *     torture_kill.c      who is killed when, and how long it takes to recover
 *     torture_soak.c      what the server holds meanwhile
 *     torture_check.c     the evidence against the promises; reads files only, so tests give it doctored ones
 *     torture_ticks.c     of the evidence, what schedules have made
 *     torture_evidence.c  reading those files
 *     torture_falls.c     of them, when all memory was gone, and which jobs may be gone with it
 *     torture_pairs.c     as many jobs a second as a fresh instance: what disturbs, what is said
 *     torture_report.c    the page at the end
 *     torture_attempt.c   what a job does (its own header: plugins use it, too)
 *
 * All choices are made by dice. Those of job N and of blow N are thrown from the seed and N alone, so they
 * are the same in each run; what the machine makes of them is not, so the evidence is kept when something was
 * found.
 *
 * The evidence, in one folder: client.log (torture_tables.h), ledger (torture_attempt.h), state/forkpool.db
 * with its witness (server/store/witness.h), server.log, samples.csv (TORTURE_GAUGES). A line of client.log
 * is a word, nanoseconds of the monotonic clock, and what DIARY has for that word.
 */
#ifndef FORKPOOL_TORTURE_PRIVATE_H
#define FORKPOOL_TORTURE_PRIVATE_H

#include "buf.h"
#include "http_client.h"
#include "ids.h"
#include "job.h"
#include "torture_attempt.h"
#include "torture_tables.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

extern const char *const torture_kind_texts[KIND_COUNT],
    *const torture_expect_texts[EXPECT_COUNT],
        *const torture_victim_texts[VICTIM_COUNT],
            *const torture_mix_texts[MIX_COUNT],
                *const torture_blow_texts[BLOW_COUNT],
                    *const torture_fault_texts[FAULT_COUNT],
                        *const torture_fault_meanings[FAULT_COUNT],
                            *const torture_diary_texts[DIARY_COUNT],
                                *const torture_gauge_texts[GAUGE_COUNT],
                                    *const torture_schedule_texts[SCHEDULE_COUNT];

/* The place of a text in such a list, `count` if it is not there. */
int torture_find(const char *const *texts, int count, const char *text);

/* ---------------------------------------------------------------------------------------------- small things
 */

struct dice {
    uint64_t state;
};
struct dice dice_of(uint64_t seed, uint64_t number);                     /* for one job or blow */
uint32_t dice_below(struct dice *dice, uint32_t limit);                  /* 0 to limit - 1 */
uint32_t dice_between(struct dice *dice, uint32_t least, uint32_t most); /* both included */
int dice_share(struct dice *dice, const unsigned *shares, int count);    /* by weights, not all 0 */

struct samples {
    int64_t *at; /* owned */
    size_t count, room;
};
void samples_add(struct samples *samples, int64_t value);   /* without memory the value is dropped */
int64_t samples_rank(struct samples *samples, int percent); /* sorts; 100: the greatest. 0 if there is none */
void samples_fini(struct samples *samples);

struct torture_options {
    double minutes;
    uint64_t seed;
    unsigned jobs; /* at most, while it kills; 0: as many as there is time for */
    unsigned workers;
    unsigned pairs; /* of rounds, on it and on a fresh instance, afterwards */
    enum torture_mix mix;
    enum durability durability;
    const char *keep, *plugin; /* NULL: not said */
};

enum {
    TORTURE_PATH_BYTES = 512,
    TORTURE_AFTER_MAX = 3,
    TORTURE_KEY_BYTES = 24,
    TORTURE_KEPT = 5,
    TENTHS = 10,
    TORTURE_SLOTS = 64
};

/* ---------------------------------------------------------------------------------------------- verdict */

struct verdict {
    size_t faults[FAULT_COUNT];
    char examples[FAULT_COUNT][TORTURE_KEPT][160];
    size_t asked, acknowledged, refused, repeated, unknown, cancels;
    size_t rows, ends[JOB_STATE_COUNT]; /* ends: rows by state */
    size_t starts, torn;
    size_t memory, gone; /* acknowledged jobs of durability memory; of them gone with it, as they may be */
    size_t kills[VICTIM_COUNT][BLOW_COUNT];
    /* ns from a worker's death until its job is charged and queued again, and until its next start; the
     * latter if the job is one of the first priority */
    struct samples requeued, again;
    size_t samples;                         /* lines of samples.csv */
    int64_t over_time[GAUGE_COUNT][TENTHS]; /* the greatest of each tenth; -1: there was nothing to see */
};
void verdict_add(struct verdict *verdict, enum torture_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t verdict_total(const struct verdict *verdict);
void verdict_fini(struct verdict *verdict);

/* Adds to the verdict what the files of that folder show. The store must not be in use. An error: they cannot
 * be read. */
enum err torture_check(const char *folder, struct verdict *verdict) MUST_USE;
/* What was asked under that number carries this Idempotency-Key; the reverse, 0 if it is no such key. Line n
 * of a bulk request has "#n" behind it. */
void torture_key(unsigned number, char key[TORTURE_KEY_BYTES]);
unsigned torture_key_number(const char *key);
void torture_store_url(const char *folder, char url[TORTURE_PATH_BYTES]);

#define TORTURE_QUEUE "pausable" /* of jobs of that kind */

/* The queue of a schedule's jobs, which is also its name. */
void torture_schedule_name(enum torture_schedule schedule, char name[TORTURE_KEY_BYTES]);
enum torture_schedule torture_schedule_of(const char *queue); /* SCHEDULE_COUNT: of none */

/* ---------------------------------------------------------------------------------------------- ticks */

/* A job that a schedule has made. */
struct tick {
    enum torture_schedule schedule;
    int64_t due_ms;     /* the time for which it was made */
    size_t first, last; /* its records in the ledger, from 1; 0: none */
};

struct ticks {
    struct tick *at; /* owned */
    size_t count, room;
};

/* False without memory. */
bool ticks_add(struct ticks *ticks, struct tick tick) MUST_USE;
void ticks_fini(struct ticks *ticks);
/* Sorts. Compares with what the store says of its schedules. */
struct store_reader;
enum err ticks_check(struct ticks *ticks, struct store_reader *reader, struct verdict *verdict) MUST_USE;

/* ---------------------------------------------------------------------------------------------- evidence */

/* One request, and what became of it. */
struct asked {
    unsigned number;
    enum torture_kind kind;
    enum torture_expect expect;
    unsigned priority, padding;
    unsigned after[TORTURE_AFTER_MAX], after_count;
    unsigned lines; /* of a bulk request that begins with it; 0: none does */
    bool known, acked, refused, returned, ended;
    int64_t sent_ns,
        gone_ns; /* sent last, if acked: what was acknowledged; when it was not there, 0: never */
    bool may_change, changed;                        /* a change was asked for; it was acknowledged */
    unsigned new_priority;                           /* of that */
    unsigned retries, unretried, retried, ran_again; /* asked for, refused, acknowledged; by the witness */
    int64_t retry_ns, retried_ns; /* when the last one, and when the last acknowledged one, was sent */
    struct id id;                 /* if acked */
    enum job_state told;          /* if ended */
    size_t rows;                  /* in the store */
    struct id row;                /* of one of them */
    enum job_state state;         /* of the row */
    size_t first, last,
        done; /* its records in the ledger, from 1: the first start, the last of any, the first end */
};

/* One record of the ledger. */
struct entry {
    struct id id;
    int64_t at_ns;
    unsigned number, attempt;
    int pid, worker;
    char what[8], nonce[20];
};

struct blow {
    int64_t at_ns, real_ms;
    enum torture_victim victim;
    enum torture_signal signal;
    int pid;
};

/* The queue was paused from the one time to the other; `to_ms` INT64_MAX: to the end. */
struct pause {
    int64_t from_ms, to_ms;
};

/* What lay in shared memory alone was gone after that, whatever was put there meanwhile; `to_ns` INT64_MAX:
 * to the end. */
struct fall {
    int64_t from_ns, to_ns;
};

/* What the server's log says of a job whose worker died: it was charged and is to run again. */
struct requeue {
    struct id id;
    int64_t real_ms;
};

struct evidence {
    struct asked *asked; /* [asked_count], by number; those that are not `known` were not asked. Owned */
    size_t asked_count;
    struct entry *entries; /* in the order of the ledger. Owned */
    size_t entry_count, entry_room;
    struct blow *blows; /* owned */
    size_t blow_count, blow_room;
    struct pause *pauses; /* owned */
    size_t pause_count, pause_room;
    struct requeue *requeues; /* owned */
    size_t requeue_count, requeue_room;
    struct fall *falls; /* owned */
    size_t fall_count, fall_room;
    int64_t drain_ns;     /* since when the server drains; 0: it does not */
    int64_t real_zero_ns; /* the monotonic clock when real time was 0; 0: nobody has said */
};

/* What the lines contradict by themselves goes into the verdict. */
enum err evidence_read(const char *folder, struct evidence *evidence, struct verdict *verdict) MUST_USE;
void evidence_fini(struct evidence *evidence);
struct asked *evidence_find(struct evidence *evidence, unsigned number); /* NULL: it was not asked */

/* ---------------------------------------------------------------------------------------------- falls */

/* While the diary is read. False without memory. */
bool falls_blow(struct evidence *evidence, const struct blow *blow) MUST_USE;
void falls_start(struct evidence *evidence, int64_t at_ns);
/* While the server's log is read, after the diary. False without memory. */
bool falls_reset(struct evidence *evidence, int64_t real_ms) MUST_USE;
/* A job of durability memory without a row: it was there in a fall, and nobody knows of its end before. */
bool falls_excuse(const struct evidence *evidence, const struct asked *asked);

/* ---------------------------------------------------------------------------------------------- the instance
 */

enum role { ROLE_FRONT, ROLE_WORKER, ROLE_OTHER };

struct process {
    pid_t pid;
    enum role role;
};

/* What processes hold: of supervisor and front descriptors, of all together memory. */
struct holding {
    int front_fds, supervisor_fds;
    int64_t front_rss, supervisor_rss, worker_rss; /* worker: the largest */
    int64_t front_own; /* of it what it shares with nobody: no segment, no files */
};

struct instance {
    const struct torture_options *options;
    char folder[TORTURE_PATH_BYTES], program[TORTURE_PATH_BYTES];
    uint16_t port;
    pid_t supervisor; /* 0: it does not run */
    bool felled;      /* we have killed it */
    int64_t felled_ns, started_ns;
    unsigned lives;
    struct instance *beside; /* another one of ours that may run, too; NULL: none. Borrowed */
};

enum { PROCESSES_MAX = 256 };

/* Makes folder, configuration and store. False: said why. */
bool instance_prepare(struct instance *instance, const struct torture_options *options);
/* A fresh one like that one, in its folder; from then on each is beside the other. False: said why. */
bool instance_prepare_beside(struct instance *fresh, struct instance *other);
bool instance_start(struct instance *instance);
/* Reaps what has ended, of the one beside it, too; true while the supervisor lives. An end that we did not
 * bring about is a fault. */
bool instance_reap(struct instance *instance, struct verdict *verdict);
/* The children of a process; of the supervisor with their roles. */
size_t instance_children(pid_t parent, struct process *children, size_t room);
/* Signals a child of that parent, if it still is one and has that role. *pidfd (may be NULL) is then the
 * caller's. */
bool instance_signal(pid_t pid, pid_t parent, enum role role, int number, int *pidfd);
unsigned instance_workers(const struct instance *instance);
void instance_look(const struct instance *instance, struct holding *holding);
/* The time of processors that it has used, its dead included, in ticks of the clock. */
int64_t instance_ticks(const struct instance *instance);
/* Whatever of it is left apart from supervisor, front and workers, zombies included. */
size_t instance_strays(const struct instance *instance);
/* SIGTERM and the end of everything. */
void instance_stop(struct instance *instance, struct verdict *verdict);
/* SIGKILL to everything. */
void instance_fell(struct instance *instance);
void instance_remove(const struct instance *instance);

/* ---------------------------------------------------------------------------------------------- load */

enum { LANES = 32, DUE_MAX = 1024 };

/* What the server says of itself. */
struct report_card {
    int64_t jobs[JOB_STATE_COUNT];
    int64_t open, ready; /* not ended; of these what waits for no time and no other job */
    int64_t slots_used, arena_used, workers;
};

struct planned {
    enum torture_kind kind;
    unsigned conflict; /* which on_conflict */
    unsigned after[TORTURE_AFTER_MAX], after_count;
    unsigned delay_ms, timeout_ms, expires_ms, priority;
    unsigned errand_ms,
        new_priority; /* how long after its acknowledgement it is cancelled, changed, retried or looked at */
    unsigned lines; /* of a bulk request that begins with it; 0: it comes alone, or is another of its lines */
    unsigned first; /* the first of its bulk request; 0: it came alone */
    bool plugin;
    bool asked, acked;
    char id[ID_TEXT_BYTES];
    struct torture_order order;
};

enum errand {
    ERRAND_NONE,
    ERRAND_SUBMIT,
    ERRAND_CANCEL,
    ERRAND_CHANGE,
    ERRAND_RETRY,
    ERRAND_LOOK,
    ERRAND_SCHEDULE,
    ERRAND_PAUSE,
    ERRAND_CARD
};

struct lane {
    struct http_client client;
    enum errand errand;
    unsigned number;
    bool sent, ready; /* sent: it waits for an answer; ready: something has come */
    int64_t since_ns, not_before_ns;
};

struct load {
    struct instance *instance;
    FILE *diary; /* owned */
    struct dice dice;
    struct planned *jobs; /* [job_count], owned; jobs[0] is not used */
    unsigned job_count, job_room;
    unsigned asked, acked, unsettled; /* unsettled: asked, and not answered */
    struct {
        unsigned number;
        enum errand errand;
        int64_t at_ns;
    } due[DUE_MAX]; /* what is to be asked of jobs that are there */
    size_t due_count;
    /* Of the schedules, first each is to be made, then each to be paused: how many of these have been done,
     * and are to be done now. */
    unsigned schedules_done, schedules_wanted;
    bool scheduling;      /* a lane is at it */
    bool paused, pausing; /* the queue is; a lane is at it, or at the resume */
    int64_t pause_due_ns; /* when that changes */
    unsigned most;        /* numbers up to this one may be asked; 0: all */
    unsigned limit;       /* how many may be ready */
    int64_t limit_until_ns, card_due_ns;
    bool calm;                    /* quick jobs alone */
    bool pouring;                 /* new jobs are wanted */
    struct lane lanes[LANES + 1]; /* the last one asks for cards alone */
    struct report_card card;
    int64_t card_asked_ns, card_ns;     /* when the last answered one was asked for; 0: never */
    unsigned acked_then, acked_counted; /* of `acked`: when the last card was asked for, and in `card` */
};

bool load_init(struct load *load, struct instance *instance);
void load_fini(struct load *load);
/* Does what can be done now, and waits at most timeout_ms for more. */
void load_turn(struct load *load, int timeout_ms);
/* Everything asked has been answered, and all jobs have ended. */
bool load_is_done(const struct load *load);
void load_note(struct load *load, enum torture_diary word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void load_note_start(struct load *load); /* of its instance, just now */

/* A new job under the next number; NULL without memory. If it has `lines`, plan_batch has to follow, which
 * plans the others of its request; false without memory: then there are fewer lines. */
struct planned *plan_next(struct load *load);
bool plan_batch(struct load *load, unsigned first);
/* Its request body, of all its lines. */
void plan_body(const struct load *load, unsigned number, struct buf *body);
/* The body of the request that makes a schedule. */
void plan_schedule(const struct load *load, enum torture_schedule schedule, struct buf *body);

/* ---------------------------------------------------------------------------------------------- killer */

enum { STOPPED_MAX = 16 };

struct watch {
    int64_t since_ns; /* 0: not watching */
    pid_t gone;       /* has to be away */
    struct samples samples;
};

struct killer {
    struct instance *instance;
    struct load *load;
    struct dice dice;
    int64_t next_ns;
    unsigned kills, tries; /* tries: also those that have met nobody */
    struct {
        int pidfd;
        bool heavy; /* front or supervisor: nothing that is measured meanwhile counts */
        int64_t until_ns;
    } stopped[STOPPED_MAX];
    size_t stopped_count;
    struct watch pool, front, start;
    struct http_client probe;
    bool probing;
    int64_t probe_ns;
};

void killer_init(struct killer *killer, struct instance *instance, struct load *load);
void killer_fini(struct killer *killer);
/* Kills if it is time to (and `strike`), lets go on who was stopped, restarts what is down, measures. */
void killer_turn(struct killer *killer, bool strike, struct verdict *verdict);
/* Nobody is stopped, everything is up again. */
bool killer_is_quiet(const struct killer *killer);

/* ---------------------------------------------------------------------------------------------- soak */

struct soak {
    const struct instance *instance;
    FILE *file; /* owned */
    int64_t every_ms, next_ns, since_ns;
};

bool soak_init(struct soak *soak, const struct instance *instance);
void soak_fini(struct soak *soak);
/* Writes a sample if it is time to. */
void soak_turn(struct soak *soak, const struct load *load);
/* Adds to the verdict what that folder's samples show. */
enum err soak_check(const char *folder, struct verdict *verdict) MUST_USE;

/* ---------------------------------------------------------------------------------------------- pairs */

/* Time of all processors since the machine started, in ticks. */
struct processors {
    int64_t all, busy, stolen, own; /* own: of ours */
};

/* The first line of /proc/stat; `own` stays. False: it is none. */
bool processors_parse(const char *line, struct processors *processors) MUST_USE;
/* With what we, this instance and the one beside it have used. */
void processors_look(const struct instance *instance, struct processors *processors);

struct round {
    double jobs;                            /* a second */
    double disturbances[DISTURBANCE_COUNT]; /* percent of the time of all processors */
};

void round_disturb(struct round *round, const struct processors *before, const struct processors *after);

struct pair {
    struct round tortured, fresh;
    bool fresh_first;
};

bool pair_is_disturbed(const struct pair *pair);

enum { PAIRS_MAX = 1000 };

struct pairs {
    struct pair at[PAIRS_MAX];
    size_t count, used;      /* used: not disturbed */
    double ratio, low, high; /* tortured by fresh, and its confidence interval; if `used` is 2 or more */
};

/* Sets what follows from the pairs. A whole interval below TORTURE_PAIRS_PERCENT is a fault, if
 * TORTURE_PAIRS_NEEDED or more are used. */
void pairs_judge(struct pairs *pairs, struct verdict *verdict);
/* pairs.csv in that folder. */
void pairs_write(const struct pairs *pairs, const char *folder);
void pairs_report(struct buf *out, const struct pairs *pairs);

/* ---------------------------------------------------------------------------------------------- report */

struct figures {
    double seconds;               /* of the storm */
    double before, during, after; /* jobs a second: without kills, with them, and without again */
    struct holding held_before, held_after;
    unsigned kills, lives;
    struct samples *pool, *front, *start;
    const struct pairs *pairs;
};

void report_write(struct buf *out, const struct torture_options *options, struct verdict *verdict,
                  const struct figures *figures);

#endif
