/* Extras: what few jobs have, as one JSON object, written by the codec of a submit and never changed. It goes
 * with the job through store and slot as text; documents show its members as they are.
 *
 * Canonical: one level of members, in the order of EXTRAS, no white space outside of strings. Reentrant.
 *
 *     {"meta":{…},"retry":{"intervals":[1,5],"max_age":60,"on":["timeout"],"never":["bad_input"]},
 *      "unique":{"key":"…","period":60,"on_conflict":"return"},"after":["ID",…],"ref":"a","schedule":"nightly"}
 */
#ifndef FORKPOOL_EXTRAS_H
#define FORKPOOL_EXTRAS_H

#include "job.h"
#include "json.h"

/* name, member */
#define EXTRAS(X)                                                                                            \
    X(META, "meta")         /* any JSON, the client's own */                                                 \
    X(RETRY, "retry")       /* what struct retry does not hold */                                            \
    X(UNIQUE, "unique")     /* key, period (seconds, absent: until it has ended), on_conflict */             \
    X(AFTER, "after")       /* ids of jobs and batches; in a bulk request, until resolved, also "@ref" */    \
    X(REF, "ref")           /* its name within the bulk request that brought it */                           \
    X(SCHEDULE, "schedule") /* the schedule that made it */

enum extra {
#define X(name, member) EXTRA_##name,
    EXTRAS(X)
#undef X
        EXTRA_COUNT
};

const char *extra_member(enum extra extra);

/* The value of a member, a part of the text; false if it is not there. */
bool extras_find(struct text extras, enum extra extra, struct json_span *value);

/* The further rules of retrying (EXTRA_RETRY). */
enum { RETRY_INTERVALS_MAX = 16, RETRY_CODES_MAX = 8 };
struct retry_rules {
    int64_t intervals_ms[RETRY_INTERVALS_MAX]; /* the last one repeats */
    size_t interval_count;                     /* 0: by the backoff */
    int64_t max_age_ms;                        /* from created_ms; -1: none */
    char on[RETRY_CODES_MAX][ERROR_CODE_BYTES], never[RETRY_CODES_MAX][ERROR_CODE_BYTES];
    size_t on_count, never_count; /* on_count 0: every error */
};

/* The rules in a value of EXTRA_RETRY; without any (span.at NULL): none. Unreadable parts are left out. */
struct retry_rules retry_rules_read(struct json_span retry);

/* What becomes of a job whose uniqueness key is held by another. */
#define ON_CONFLICTS(C)                                                                                      \
    C(REJECT, "reject")                                                                                      \
    C(RETURN, "return")   /* the client gets that other job instead */                                       \
    C(REPLACE, "replace") /* that other one is cancelled, if it waits */

enum on_conflict {
#define C(name, text) CONFLICT_##name,
    ON_CONFLICTS(C)
#undef C
        CONFLICT_COUNT
};

const char *on_conflict_text(enum on_conflict on_conflict);
bool on_conflict_parse(const char *text, enum on_conflict *on_conflict);

struct unique_rule {
    char key[KEY_BYTES];
    int64_t period_ms; /* 0: until the job has ended */
    enum on_conflict on_conflict;
};

/* EXTRA_UNIQUE; false if there is none, or it is unreadable. */
bool extras_unique(struct text extras, struct unique_rule *rule);

/* A submit of it may be answered with a job that stands already: by its idempotency key, or as its uniqueness
 * key is held and on_conflict is "return". */
bool extras_may_stand(const struct job *job);

/* The next element of an array of an extra that holds plain texts or numbers. *at: 0 at the start. */
bool extras_element(struct json_span array, size_t *at, struct json_span *element);

enum { AFTER_MAX = 256 };

/* EXTRA_AFTER: how many ids there are, at most AFTER_MAX; what is not an id is left out. */
size_t extras_after(struct text extras, struct id ids[AFTER_MAX]);

/* In the EXTRA_AFTER of a job that owns its extras and is not shared yet, one id becomes another. */
void extras_rename_after(struct job *job, struct id from, struct id to);

#endif
