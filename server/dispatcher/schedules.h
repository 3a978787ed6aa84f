/* Schedules: what makes jobs by itself, at which times, and what becomes of times that passed.
 *
 * Pure but for the database of time zones: no store, no dispatcher, no clock of its own. The dispatcher holds
 * the schedules (fire.c), the HTTP side gets copies. Handles of zones are opened anew for each computation,
 * so that an update of the database counts without a restart.
 *
 * A schedule is kept as one row (struct store_schedule). Its body, canonical JSON without white space outside
 * of strings but within `job`, the members in this order, those with ? only if there is something to say:
 *
 *     {"origin":"file","held"?:true,"behind"?:"ID","error"?:{"at":MS,"message":"…"},"definition":{
 *      "cron":"0 3 * * *","timezone":"UTC","overlap":"skip","catch_up":"one","paused":false,"job":{…}}}
 *
 * origin: file or api. held: paused (true) or resumed (false) by request, which goes before `paused`. behind:
 * what the last job of an overlap `replace` waits for. error: why a time became no job, most recently.
 *
 * 1. No time at or before last_ms ever fires: a clock that is put back repeats nothing.
 * 2. A time is late if a later one has come, too, or LATE_MS have passed; then catch_up decides.
 * 3. A schedule changes only by a copy that has been kept and takes its place.
 */
#ifndef FORKPOOL_SCHEDULES_H
#define FORKPOOL_SCHEDULES_H

#include "config.h"
#include "cron.h"
#include "store.h"
#include "zone.h"

enum {
    SCHEDULE_LATE_MS = 15000,
    SCHEDULE_CATCH_UP_MOST = 1000, /* times that catch_up `all` makes up for; the latest */
    SCHEDULE_COUNT_MOST = 100000,  /* skipped times are counted up to so many at once */
    SCHEDULE_ERROR_BYTES = 512,
    SCHEDULE_COMPLAINTS = 4
};

/* What a definition says; texts of it are borrowed. */
struct schedule_definition {
    char cron[CRON_TEXT_BYTES], timezone[ZONE_NAME_BYTES];
    enum overlap overlap;
    enum catch_up catch_up;
    bool paused;
    struct text job; /* the body of a submit */
};

/* Appends it as JSON. */
void schedule_definition_write(struct buf *out, const struct schedule_definition *definition);
/* Reads what was written so; ERR_CORRUPT if it is not that. */
enum err schedule_definition_read(struct text text, struct schedule_definition *definition) MUST_USE;

/* When it was last logged that the job could not be made for that reason, and how often it was not, since. */
struct complaint {
    enum err err; /* OK: none */
    int64_t said_ns, unsaid;
};

struct schedule {
    struct schedule *next; /* by name */
    char name[NAME_BYTES];
    struct text text;                      /* its definition as JSON; owned */
    struct schedule_definition definition; /* borrows from text */
    struct cron cron;
    bool from_file;
    enum schedule_held { HELD_NOT_SET, HELD_NO, HELD_YES } held;
    int64_t next_ms, last_ms, made, skipped; /* as in struct store_schedule */
    struct id last_job, behind;
    int64_t error_ms; /* real time; 0: none */
    char error[SCHEDULE_ERROR_BYTES];

    /* The dispatcher's own, not kept. */
    int64_t seen_ms;  /* real time: up to then no other time than next_ms is due */
    int64_t again_ms; /* real time: not before that, since it could not be done just now */
    bool refused;     /* … as the store was full: then catch_up `none` is taken for `one` */
    bool busy;        /* a copy is being kept */
    bool proven;      /* a job was made of it once, so that a mistake in the file shows before it is due */
    bool doubted;     /* … and that failed: the error is of no time yet, so it is not kept */
    struct complaint complaints[SCHEDULE_COMPLAINTS];
};

/* Owned by the caller; schedule_free takes NULL. ERR_CORRUPT: the definition is not one, or the expression in
 * it; ERR_NO_MEMORY. */
enum err schedule_new(const char *name, struct text definition, struct schedule **schedule) MUST_USE;
enum err schedule_read(const struct store_schedule *row, struct schedule **schedule) MUST_USE;
enum err schedule_copy(const struct schedule *from, struct schedule **schedule) MUST_USE;
void schedule_free(struct schedule *schedule);

/* The row to be kept; its body is written to `body`, from which the row borrows. body->failed: no memory. */
struct store_schedule schedule_row(const struct schedule *schedule, struct buf *body);

bool schedule_paused(const struct schedule *schedule);

/* NULL, or why a schedule with that overlap cannot have that job: each of its times would be refused. */
const char *schedule_clash(enum overlap overlap, const struct job *job);

/* Why a time became no job. */
void schedule_fail(struct schedule *schedule, int64_t now_ms, const char *message, size_t bytes);

/* Opens its zone, for the caller to close; false: there is none of that name (any more). */
bool schedule_zone(const struct schedule *schedule, struct zone **zone);

/* A new definition takes the place of an old one (NULL: there was none): how far that one has come stays, and
 * when it is due next if the times are the same and it was not paused. */
void schedule_follow(struct schedule *schedule, const struct schedule *old, int64_t now_ms);

/* next_ms is the first time after now and last_ms; INT64_MAX: never, or there is no such zone. */
void schedule_begin(struct schedule *schedule, int64_t now_ms);

/* While next_ms is to come: computes it again, from where it was computed last. */
void schedule_refresh(struct schedule *schedule, int64_t now_ms);

/* What is to be done now. due_ms 0: no job. */
struct schedule_plan {
    int64_t due_ms;  /* the time for which a job is to be made */
    int64_t next_ms; /* when it is due after that; perhaps in the past, too */
    int64_t skipped; /* times that are given up */
    bool late;       /* due_ms is made up for */
};
struct schedule_plan schedule_plan(const struct schedule *schedule, const struct zone *zone, int64_t now_ms);

/* The job for due_ms has been made; `open`: those of its predecessors that had not ended. */
void schedule_made(struct schedule *schedule, int64_t due_ms, struct id job, const struct id *open,
                   size_t open_count);

/* "schedule":NAME joins the extras of a job that nobody else knows yet; and so does what it waits for, as its
 * "after", in the place of what stood there. */
enum err schedule_mark(struct job *job, const char *name) MUST_USE;
enum err schedule_mark_after(struct job *job, const struct id *ids, size_t count) MUST_USE;

/* All of them, in order of their names. */
struct schedules {
    struct schedule *first; /* owned */
    size_t count;
};
struct schedule *schedules_find(const struct schedules *schedules, const char *name);
/* Takes it, in the place of the one of that name. */
void schedules_put(struct schedules *schedules, struct schedule *schedule);
void schedules_drop(struct schedules *schedules, const char *name);
void schedules_free(struct schedules *schedules);

/* WORK_FIRE and WORK_SCHEDULE: what is to be kept, and with it in one transaction work->job is submitted, if
 * there is one. */
struct fire {
    char name[NAME_BYTES];
    struct schedule *to; /* as it shall be but for schedule_made; owned. NULL: FIRE: nothing is kept but the
                            job (a trigger); SCHEDULE: it goes */
    int64_t due_ms;
    bool wait;    /* the job waits for those in `before` that have not ended; else it is not made then */
    bool replace; /* the first of them, if it is blocked, ends with the same commit */
    struct id before[2];
    size_t before_count;

    /* The answer. */
    struct id open[2]; /* which of `before` have not ended */
    size_t open_count;
    bool overlapped;      /* so the job was not made */
    struct job *replaced; /* what that first one is now; owned. NULL: it was not blocked */
};
void fire_free(struct fire *fire);

#endif
