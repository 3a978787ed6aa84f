/* The options of a submit: one table, from which what a body, its `retry` and a query may hold derives.
 * codec_submit.c uses it, and nobody else.
 *
 *     struct options options = {.job = job, .problem = problem};
 *     if (options_find(key, IN_BODY, &name)) options_take(&options, name, &value);
 *     options_keep_tags(&options);   or, if the job comes to nothing, options_fini(&options)
 */
#ifndef FORKPOOL_CODEC_OPTIONS_H
#define FORKPOOL_CODEC_OPTIONS_H

#include "job.h"
#include "json.h"
#include "problem.h"
#include "tags.h"

enum { IN_BODY = 1, IN_RETRY = 2, IN_QUERY = 4, OPTION_TEXT_BYTES = 96 };

/* name, text, kind, least, most, where it may stand, what would be right */
#define OPTIONS(O)                                                                                           \
    O(QUEUE, "queue", NAME, 0, 0, IN_BODY | IN_QUERY, "a name of 1 to 63 letters, digits, dots, _ or -")     \
    O(PRIORITY, "priority", INT, 0, 9, IN_BODY | IN_QUERY, "a whole number from 0 to 9; 9 runs first")       \
    O(TIMEOUT, "timeout", SECONDS, 0.001, 2592000, IN_BODY | IN_QUERY,                                       \
      "a number of seconds above 0, up to 2592000")                                                          \
    O(KILL_AFTER, "kill_after", SECONDS, 0, 3600, IN_BODY | IN_QUERY, "a number of seconds from 0 to 3600")  \
    O(DURABILITY, "durability", DURABILITY, 0, 0, IN_BODY | IN_QUERY, "full, process or memory")             \
    O(MAX_ATTEMPTS, "max_attempts", INT, 1, 1000, IN_RETRY | IN_QUERY, "a whole number from 1 to 1000")      \
    O(BACKOFF, "backoff", BACKOFF, 0, 0, IN_RETRY, "exponential, linear or fixed")                           \
    O(INITIAL, "initial", SECONDS, 0, 86400, IN_RETRY, "a number of seconds from 0 to 86400")                \
    O(MAX, "max", SECONDS, 0, 2592000, IN_RETRY, "a number of seconds from 0 to 2592000")                    \
    O(JITTER, "jitter", JITTER, 0, 1, IN_RETRY, "a number from 0 to 1, or true or false")                    \
    O(TAGS, "tags", TAGS, 0, 0, IN_BODY, "an array of up to 16 strings of 1 to 64 characters")               \
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
    KIND_TAG
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
    bool given[OPTION_COUNT];
    bool jitter_default; /* "jitter": true: as much as there would be anyway */
    struct buf tags;     /* owned */
    size_t tag_count;
};

bool options_find(struct json_span key, unsigned where, enum option_name *name);
void options_take(struct options *options, enum option_name name, const struct value *value);
/* The fault "`name` is <value>, but must be `right`". */
void options_refuse(struct options *options, const struct value *value, const char *name, const char *right);
bool options_full(const struct options *options);
/* Hands the tags over to the job. */
void options_keep_tags(struct options *options);
void options_fini(struct options *options);

#endif
