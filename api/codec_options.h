/* The options of a submit: one table, from which what a body, its `retry`, a query and a PATCH may hold
 * derives. codec_submit.c and codec_patch.c use it, and nobody else.
 *
 *     struct options options = {.job = job, .problem = problem, .in = IN_BODY};
 *     if (options_find(key, IN_BODY, &name)) options_take(&options, name, &value);
 *     options_keep(&options);   hands what has no place in job->spec over to the job
 *     options_fini(&options);
 */
#ifndef FORKPOOL_CODEC_OPTIONS_H
#define FORKPOOL_CODEC_OPTIONS_H

#include "extras.h"
#include "job.h"
#include "json.h"
#include "problem.h"
#include "tags.h"

enum {
    IN_BODY = 1,
    IN_RETRY = 2,
    IN_QUERY = 4,
    IN_PATCH = 8,
    OPTION_TEXT_BYTES = 160,
    META_BYTES = 16384 /* without white space */
};

/* name, text, kind, least, most, where it may stand, what would be right */
#define OPTIONS(O)                                                                                           \
    O(QUEUE, "queue", NAME, 0, 0, IN_BODY | IN_QUERY, "a name of 1 to 63 letters, digits, dots, _ or -")     \
    O(PRIORITY, "priority", INT, 0, 9, IN_BODY | IN_QUERY | IN_PATCH,                                        \
      "a whole number from 0 to 9; 9 runs first")                                                            \
    O(TIMEOUT, "timeout", SECONDS, 0.001, 2592000, IN_BODY | IN_QUERY,                                       \
      "a number of seconds above 0, up to 2592000")                                                          \
    O(KILL_AFTER, "kill_after", SECONDS, 0, 3600, IN_BODY | IN_QUERY, "a number of seconds from 0 to 3600")  \
    O(DURABILITY, "durability", DURABILITY, 0, 0, IN_BODY | IN_QUERY, "full, process or memory")             \
    O(DELAY, "delay", SECONDS, 0, 315360000, IN_BODY | IN_QUERY | IN_PATCH,                                  \
      "a number of seconds from 0 to 315360000")                                                             \
    O(SCHEDULED_AT, "scheduled_at", TIME, 0, 0, IN_BODY | IN_QUERY | IN_PATCH,                               \
      "a time such as 2026-11-23T06:36:00Z (RFC 3339)")                                                      \
    O(EXPIRES_AT, "expires_at", TIME, 0, 0, IN_BODY | IN_QUERY | IN_PATCH,                                   \
      "a time such as 2026-11-23T06:36:00Z (RFC 3339)")                                                      \
    O(EXPIRES_IN, "expires_in", SECONDS, 0.001, 315360000, IN_BODY | IN_QUERY,                               \
      "a number of seconds above 0, up to 315360000")                                                        \
    O(START_WITHIN, "start_within", SECONDS, 0, 315360000, IN_BODY | IN_QUERY,                               \
      "a number of seconds from 0 to 315360000")                                                             \
    O(CONCURRENCY_KEY, "concurrency_key", KEY, 0, 0, IN_BODY | IN_QUERY,                                     \
      "1 to 128 printable ASCII characters")                                                                 \
    O(META, "meta", META, 0, 0, IN_BODY, "JSON of up to 16384 bytes, white space not counted")               \
    O(MAX_ATTEMPTS, "max_attempts", INT, 1, 1000, IN_RETRY | IN_QUERY, "a whole number from 1 to 1000")      \
    O(BACKOFF, "backoff", BACKOFF, 0, 0, IN_RETRY, "exponential, linear or fixed")                           \
    O(INITIAL, "initial", SECONDS, 0, 86400, IN_RETRY, "a number of seconds from 0 to 86400")                \
    O(MAX, "max", SECONDS, 0, 2592000, IN_RETRY, "a number of seconds from 0 to 2592000")                    \
    O(JITTER, "jitter", JITTER, 0, 1, IN_RETRY, "a number from 0 to 1, or true or false")                    \
    O(INTERVALS, "intervals", INTERVALS, 0, 2592000, IN_RETRY,                                               \
      "an array of 1 to 16 numbers of seconds, each from 0 to 2592000")                                      \
    O(MAX_AGE, "max_age", SECONDS, 0.001, 315360000, IN_RETRY,                                               \
      "a number of seconds above 0, up to 315360000")                                                        \
    O(ON, "on", CODES, 0, 0, IN_RETRY,                                                                       \
      "an array of 1 to 8 error codes, each of 1 to 39 of a-z, 0-9, _, . and -")                             \
    O(NEVER, "never", CODES, 0, 0, IN_RETRY,                                                                 \
      "an array of 1 to 8 error codes, each of 1 to 39 of a-z, 0-9, _, . and -")                             \
    O(TAGS, "tags", TAGS, 0, 0, IN_BODY | IN_PATCH, "an array of up to 16 strings of 1 to 64 characters")    \
    O(TAG, "tag", TAG, 0, 0, IN_QUERY, "1 to 64 characters, none of them a control character; up to 16 times")

enum option_name {
#define O(name, text, kind, least, most, where, right) OPTION_##name,
    OPTIONS(O)
#undef O
        OPTION_COUNT
};

enum option_kind {
    KIND_NAME,
    KIND_INT,
    KIND_SECONDS,
    KIND_DURABILITY,
    KIND_BACKOFF,
    KIND_JITTER,
    KIND_TAGS,
    KIND_TAG,
    KIND_TIME,
    KIND_KEY,
    KIND_META,
    KIND_INTERVALS,
    KIND_CODES
};

struct option {
    const char *text;
    enum option_kind kind;
    double least, most;
    unsigned where;
    const char *right;
};
extern const struct option option_table[OPTION_COUNT];

/* One value, from the body or from the query. */
struct value {
    struct json_span span; /* JSON text, or the bare text of a parameter */
    enum problem_place place;
    const char *where; /* pointer or parameter */
};

/* What was taken so far. Faults are added to `problem`, up to a number that people still read. */
struct options {
    struct job *job;         /* borrowed */
    struct problem *problem; /* borrowed */
    unsigned in;             /* where all of it stands: IN_BODY, IN_QUERY or IN_PATCH */
    bool given[OPTION_COUNT];
    bool jitter_default; /* "jitter": true: as much as there would be anyway */
    /* What does not go into the job as it is; valid if given. A time of 0 was null in a PATCH. */
    int64_t delay_ms, scheduled_ms, expires_ms, expires_in_ms, start_within_ms;
    struct retry_rules rules;
    struct json_span meta; /* borrowed */
    struct buf tags;       /* owned */
    size_t tag_count;
};

bool options_find(struct json_span key, unsigned where, enum option_name *name);
void options_take(struct options *options, enum option_name name, const struct value *value);
/* The fault "`name` is <value>, but must be `right`". */
void options_refuse(struct options *options, const struct value *value, const char *name, const char *right);
/* The fault of an option that is right by itself, but not with the others or at this time. */
void options_object(struct options *options, enum option_name name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The fault of a member that nothing is called; names the nearest. */
void options_unknown(struct options *options, struct json_span key, unsigned where);
bool options_full(const struct options *options);

/* The lists among them (codec_lists.c): true if the value was taken, or refused with the element's place. */
bool options_take_tags(struct options *options, const struct value *value);
bool options_take_tag(struct options *options, const struct value *value);
bool options_take_intervals(struct options *options, const struct value *value);
bool options_take_codes(struct options *options, enum option_name name, const struct value *value);

/* The next element of an array that is valid JSON; *at is 0 for the first. */
bool options_next_element(struct json_span array, size_t *at, struct json_span *element);

/* Tags and extras go over to the job. */
void options_keep(struct options *options);
void options_fini(struct options *options);

#endif
