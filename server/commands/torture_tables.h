/* The tables of `forkpool torture`: what it asks for, whom it kills, what it looks for. All else derives from
 * them. */
#ifndef FORKPOOL_TORTURE_TABLES_H
#define FORKPOOL_TORTURE_TABLES_H

/* Kinds of jobs: name, text, how many of a thousand, one of how many is a command if there is a plugin, how
 * they have to end. Most are quick and in the plugin, so that a run has many; the slow ones are few, since
 * each keeps a worker, and are commands often enough that there are some to kill at any time. */
#define TORTURE_KINDS(K)                                                                                     \
    K(QUICK, "quick", 535, 24, SUCCEEDED)                                                                    \
    K(LONG, "long", 14, 2, SUCCEEDED)                                                                        \
    K(FLAKY, "flaky", 50, 12, SUCCEEDED)    /* fails once or twice */                                        \
    K(HOPELESS, "hopeless", 25, 12, FAILED) /* fails for good */                                             \
    K(OVERDUE, "overdue", 5, 2, FAILED)     /* works longer than its timeout */                              \
    K(LARGE, "large", 40, 12, SUCCEEDED)    /* arguments and result of some KiB */                           \
    K(HEIR, "heir", 12, 1, SUCCEEDED)       /* leaves a child behind */                                      \
    K(CANCELLED, "cancelled", 18, 3, ANY)   /* a cancel is sent some time later */                           \
    K(UNIQUE, "unique", 40, 4, ANY)         /* one of few keys; refused, returned or replaced */             \
    K(AFTER, "after", 50, 12, SUCCEEDED)    /* behind up to three others; runs whatever becomes of them */   \
    K(DEPENDENT, "dependent", 25, 12, ANY)  /* the same, but cancelled if one of them does not succeed */    \
    K(DELAYED, "delayed", 25, 12, SUCCEEDED)                                                                 \
    K(WAITED, "waited", 20, 12, SUCCEEDED)     /* the request waits for its end */                           \
    K(PERISHABLE, "perishable", 30, 12, ANY)   /* starts soon, or not at all */                              \
    K(CHANGED, "changed", 25, 12, SUCCEEDED)   /* put off, later changed: to run at once */                  \
    K(RERUN, "rerun", 12, 12, SUCCEEDED)       /* run again by request once it has ended */                  \
    K(REVIVED, "revived", 8, 12, FAILED)       /* the same, failing each time */                             \
    K(PAUSABLE, "pausable", 20, 12, SUCCEEDED) /* in a queue that is paused now and then */                  \
    K(MEMORY, "memory", 30, 12, SUCCEEDED)     /* of durability memory; looked at until it has ended */      \
    K(BATCHED, "batched", 16, 12, SUCCEEDED)   /* the first of a bulk request, and others of it */           \
    K(FOLLOWER, "follower", 0, 12, SUCCEEDED)  /* its last line, behind all others */

enum torture_kind {
#define K(name, ...) KIND_##name,
    TORTURE_KINDS(K)
#undef K
        KIND_COUNT
};

#define TORTURE_EXPECTS(E)                                                                                   \
    E(SUCCEEDED, "succeeded")                                                                                \
    E(FAILED, "failed")                                                                                      \
    E(ANY, "any")

enum torture_expect {
#define E(name, text) EXPECT_##name,
    TORTURE_EXPECTS(E)
#undef E
        EXPECT_COUNT
};

/* Schedules that fire each second while it kills: name, its overlap policy, how long its jobs work */
#define TORTURE_SCHEDULES(S)                                                                                 \
    S(SKIP, "skip", 600)                                                                                     \
    S(QUEUE, "queue", 200)

enum torture_schedule {
#define S(name, ...) SCHEDULE_##name,
    TORTURE_SCHEDULES(S)
#undef S
        SCHEDULE_COUNT
};

/* Whom to kill: name, text, ms until the next kill at least and at most */
#define TORTURE_VICTIMS(V)                                                                                   \
    V(WORKER, "worker", 5, 120)                                                                              \
    V(CHILD, "child", 5, 80) /* of a worker: the command itself */                                           \
    V(FRONT, "front", 30, 600)                                                                               \
    V(SUPERVISOR, "supervisor", 60, 1600)                                                                    \
    V(GROUP, "group", 60, 1600) /* everything at once; commands have groups of their own */

enum torture_victim {
#define V(name, text, least, most) VICTIM_##name,
    TORTURE_VICTIMS(V)
#undef V
        VICTIM_COUNT
};

/* How: signal, share for a worker, child, front, supervisor, group. A stopped process goes on later. */
#define TORTURE_SIGNALS(S)                                                                                   \
    S(KILL, 68, 60, 72, 60, 100)                                                                             \
    S(STOP, 12, 20, 14, 16, 0)                                                                               \
    S(SEGV, 10, 10, 14, 8, 0)                                                                                \
    S(TERM, 10, 10, 0, 8, 0) /* the supervisor drains and ends */                                            \
    S(HUP, 0, 0, 0, 8, 0)    /* the supervisor reads its configuration again and replaces the workers */

enum torture_signal {
#define S(name, ...) BLOW_##name,
    TORTURE_SIGNALS(S)
#undef S
        BLOW_COUNT
};

/* Mixtures: name, text, shares of worker, child, front, supervisor, group */
#define TORTURE_MIXES(M)                                                                                     \
    M(ALL, "all", 65, 22, 8, 3, 2)                                                                           \
    M(WORKERS, "workers", 75, 25, 0, 0, 0)                                                                   \
    M(FRONT, "front", 0, 0, 100, 0, 0)                                                                       \
    M(EVERYTHING, "everything", 0, 0, 0, 50, 50)

enum torture_mix {
#define M(name, ...) MIX_##name,
    TORTURE_MIXES(M)
#undef M
        MIX_COUNT
};

/* What can be violated: name, text, what it means */
#define TORTURE_FAULTS(F)                                                                                    \
    F(LOST, "lost jobs", "acknowledged, and not in the store")                                               \
    F(INVENTED, "invented jobs", "in the store, and never asked for, or refused")                            \
    F(DOUBLED, "doubled records", "two rows or two ids for one request")                                     \
    F(CHANGED, "changed records", "a terminal row was written again, or another one deleted")                \
    F(OVERLAP, "overlapping attempts", "two attempts of one job at the same time")                           \
    F(STUCK, "stuck jobs", "no terminal state at the end")                                                   \
    F(NONCE, "unproved results", "a result that no attempt of the job has written")                          \
    F(GARBLED, "garbled arguments", "not what was sent")                                                     \
    F(EARLY, "started too early", "before the jobs in its `after` had ended")                                \
    F(CLASH, "uniqueness broken", "two jobs with one uniqueness key ran at the same time")                   \
    F(END, "wrong ends", "ended otherwise than it had to, or than an answer said")                           \
    F(ANSWER, "wrong answers", "a status that this request may not get")                                     \
    F(LEFT, "left behind", "slots, memory, processes or descriptors; or a pool that is not full")            \
    F(EXPIRY, "wrong expiries", "expired too early or without need, or started after its time")              \
    F(PART, "torn batches", "some jobs of one bulk request are in the store, others not")                    \
    F(CHANGE, "lost changes", "acknowledged, and not in the row; or in the row, and never asked for")        \
    F(AGAIN, "lost retries", "acknowledged, and not run again")                                              \
    F(PAUSE, "broken pauses", "an attempt began after the pause of its queue was acknowledged")              \
    F(SCHEDULE, "wrong schedules",                                                                           \
      "a time that became two jobs or none, uncounted; or jobs of one that overlap")                         \
    F(SLOWER, "slower than before", "than a fresh instance, by the whole confidence interval")               \
    F(GROWN, "grown over time", "descriptors, memory, log or slots, from the second tenth to the last")      \
    F(ENDED, "ended by itself", "the server stopped, aborted or did not start")

enum torture_fault {
#define F(name, text, meaning) FAULT_##name,
    TORTURE_FAULTS(F)
#undef F
        FAULT_COUNT
};

/* Looked at while it kills, a line of samples.csv each time: column, text and unit in the report. What it has
 * to be: a rank (50: the median; 100: the greatest) of the last tenth may be above that of the second by so
 * much, and by so many percent besides; and no sample may be above `most`. -1: it may be anything. The log of
 * the store begins anew at 64 MiB, as soon as a life lasts long enough for that. */
#define TORTURE_GAUGES(G)                                                                                    \
    G(FRONT_FDS, "front_fds", "descriptors, front", 1, 100, 8, 0, -1)                                        \
    G(SUPERVISOR_FDS, "supervisor_fds", "descriptors, supervisor", 1, 100, 8, 0, -1)                         \
    G(FRONT_RSS, "front_rss", "MiB, front", 1 << 20, 50, 32 << 20, 50, -1)                                   \
    G(FRONT_OWN, "front_own", "MiB, front, unshared", 1 << 20, 50, 16 << 20, 50, -1)                         \
    G(SUPERVISOR_RSS, "supervisor_rss", "MiB, supervisor", 1 << 20, 50, 32 << 20, 50, -1)                    \
    G(WORKER_RSS, "worker_rss", "MiB, largest worker", 1 << 20, 50, 32 << 20, 50, -1)                        \
    G(WAL, "wal_bytes", "MiB, log of the store", 1 << 20, 50, -1, 0, 128 << 20)                              \
    G(STORE, "store_bytes", "MiB, store", 1 << 20, 50, -1, 0, -1)                                            \
    G(ROW, "bytes_per_job", "bytes a job in the store", 1, 50, 512, 50, -1)                                  \
    G(OPEN, "open_jobs", "open jobs", 1, 50, -1, 0, -1)                                                      \
    G(SLOTS, "slots_used", "slots in use", 1, 50, -1, 0, TORTURE_SLOTS)                                      \
    G(SPARE, "slots_beyond_jobs", "slots beyond open jobs", 1, 50, 4, 0, -1)                                 \
    G(ARENA, "arena_used", "KiB, arena", 1 << 10, 50, -1, 0, -1)                                             \
    G(ASTRAY, "arena_beyond_slots", "bytes, arena beyond slots", 1, 50, 4096, 0, -1)

enum torture_gauge {
#define G(name, ...) GAUGE_##name,
    TORTURE_GAUGES(G)
#undef G
        GAUGE_COUNT
};

/* What disturbs a round of the comparison with a fresh instance: name, column of pairs.csv, what it is in the
 * report, percent of the time of all processors above which neither the round nor the other one of its pair
 * counts. */
#define TORTURE_DISTURBANCES(D)                                                                              \
    D(OTHERS, "others_percent", "other processes", 10)                                                       \
    D(STOLEN, "stolen_percent", "the host of this virtual machine", 2)

enum torture_disturbance {
#define D(name, ...) DISTURBANCE_##name,
    TORTURE_DISTURBANCES(D)
#undef D
        DISTURBANCE_COUNT
};

/* How many pairs of rounds are usual, from how many minutes on; how many undisturbed ones are needed to say
 * anything; and which percentage of the fresh one's throughput has to be within the confidence interval, or
 * below it. */
enum {
    TORTURE_PAIRS_USUAL = 12,
    TORTURE_PAIRS_FROM_MINUTES = 1,
    TORTURE_PAIRS_NEEDED = 5,
    TORTURE_PAIRS_PERCENT = 95
};

/* client.log: word, fields as scanf has them, and what it says */
#define TORTURE_DIARY(D)                                                                                     \
    D(ASKED, "asked")       /* number kind expect priority padding after(comma-separated numbers, or -) */   \
    D(REPEATED, "repeated") /* number: the same request with the same key */                                 \
    D(UNKNOWN, "unknown")   /* number: no answer */                                                          \
    D(ACKED, "acked")       /* number id */                                                                  \
    D(RETURNED, "returned") /* number id: of another job with its uniqueness key */                          \
    D(REFUSED, "refused")   /* number: 409 duplicate_job */                                                  \
    D(ODD, "odd")           /* number status: what may not be answered */                                    \
    D(CANCEL, "cancel")     /* number status */                                                              \
    D(CHANGE, "change")     /* number priority: asked for now */                                             \
    D(CHANGED, "changed")   /* number status */                                                              \
    D(RETRY, "retry")       /* number: asked to run again now */                                             \
    D(BULK, "bulk")         /* number lines: these and those behind it came in one request */                \
    D(PAUSED, "paused")     /* milliseconds of real time: the queue is, as an answer says */                 \
    D(RESUME, "resume")     /* milliseconds of real time: asked for now */                                   \
    D(RETRIED, "retried")   /* number status */                                                              \
    D(ENDED, "ended")       /* number state: what an answer said */                                          \
    D(GONE, "gone")         /* number: 404, there is no such job */                                          \
    D(STARTED, "started")   /* how often by now, milliseconds of real time */                                \
    D(KILLED, "killed")     /* victim signal pid, milliseconds of real time */

enum torture_diary {
#define D(name, text) DIARY_##name,
    TORTURE_DIARY(D)
#undef D
        DIARY_COUNT
};

#endif
