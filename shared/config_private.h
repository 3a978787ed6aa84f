/* What the files of the configuration share; nobody else includes it.
 *
 * A struct config_key describes a row of CONFIG_TABLE or of a table below; all are laid out in
 * config_tables.c. config_value.c moves one value between text and its member, config_yaml.c walks a file and
 * config_lists.c the lists in it, config_json.c turns a part of it into JSON, config_auth.c gathers tokens
 * and checks who may get in, config_check.c looks at what must go together, config_help.c prints, config.c
 * joins the sources. A `base` is the struct that a key's member lies in: a struct config, an entry of a list
 * or a struct token.
 */
#ifndef FORKPOOL_CONFIG_PRIVATE_H
#define FORKPOOL_CONFIG_PRIVATE_H

#include "config.h"

/* How many at a time, how often, and both for the jobs of one concurrency_key: a queue's and a task's. */
#define CONFIG_LIMITS(K)                                                                                     \
    K("", "concurrency", LIMIT, concurrency, NULL, 1, 1000000, "how many run at a time")                     \
    K("", "rate", RATE, rate, NULL, 0, 0, "how often one may start: 10/s, 30/m, 100/h, 5/d, 3/10s")          \
    K("", "burst", INT, burst, NULL, 1, 1000000, "how many may start at once after a pause")                 \
    K("", "key_concurrency", LIMIT, key_concurrency, NULL, 1, 1000000,                                       \
      "how many of one concurrency_key run at a time; overrides jobs.key_concurrency")                       \
    K("", "key_rate", RATE, key_rate, NULL, 0, 0, "the rate for each concurrency_key")                       \
    K("", "key_burst", INT, key_burst, NULL, 1, 1000000, "the burst for each concurrency_key")

/* The keys of an entry of tasks[], laid out like CONFIG_TABLE. No row has a default: what is not written
 * falls back to the task's own file or to jobs.*. For STRING the minimum is one of length. */
#define CONFIG_TASK_TABLE(K)                                                                                 \
    K("", "name", NAME, name, NULL, 0, 0, "which task: one of the folder, or a new one")                     \
    K("", "kind", WORD, kind, NULL, 0, 0, "plugin or command; by the file when absent")                      \
    K("", "path", STRING, path, NULL, 1, 0, "the plugin or the executable")                                  \
    K("", "argv", ARGV, argv, NULL, 0, 0, "the command, one item a word; no shell reads it")                 \
    K("", "env", ENV, env, NULL, 0, 0, "variables set for the command")                                      \
    K("", "cwd", STRING, cwd, NULL, 1, 0, "the folder it runs in")                                           \
    K("", "description", STRING, description, NULL, 0, 0, "one sentence for people")                         \
    K("", "queue", NAME, queue, NULL, 0, 0, "the queue of its jobs unless they say otherwise")               \
    K("", "timeout", DURATION, timeout_ms, NULL, 1, 2592000000, "overrides jobs.timeout")                    \
    K("", "kill_after", DURATION, kill_after_ms, NULL, 0, 3600000, "overrides jobs.kill_after")              \
    K("retry", "max_attempts", INT, max_attempts, NULL, 1, 1000, "overrides jobs.max_attempts")              \
    K("retry", "backoff", ENUM, backoff, NULL, 0, 0, "overrides jobs.backoff")                               \
    K("retry", "initial", DURATION, backoff_initial_ms, NULL, 0, 86400000, "overrides jobs.backoff_initial") \
    K("retry", "max", DURATION, backoff_max_ms, NULL, 0, 2592000000, "overrides jobs.backoff_max")           \
    K("retry", "jitter", INT, jitter, NULL, 0, 100, "overrides jobs.jitter")                                 \
    K("retry", "intervals", TIMES, retry_intervals, NULL, 0, 2592000000,                                     \
      "the waits one after another instead of a backoff; the last one repeats")                              \
    K("retry", "max_age", DURATION, retry_max_age_ms, NULL, 1, 315360000000,                                 \
      "no attempt starts so long after the job was submitted")                                               \
    K("retry", "on", CODES, retry_on, NULL, 0, 0, "only errors with these codes are retried")                \
    K("retry", "never", CODES, retry_never, NULL, 0, 0, "errors with these codes are not retried")           \
    K("limits", "memory", BYTES, limit_memory_bytes, NULL, 1048576, 1099511627776, "address space")          \
    K("limits", "cpu", DURATION, limit_cpu_ms, NULL, 1000, 2592000000, "processor time")                     \
    K("limits", "files", INT, limit_files, NULL, 8, 1048576, "open files")                                   \
    CONFIG_LIMITS(K)                                                                                         \
    K("", "retain_succeeded", DURATION, retain_succeeded_ms, NULL, 0, 315360000000,                          \
      "overrides jobs.retain_succeeded")                                                                     \
    K("", "retain_failed", DURATION, retain_failed_ms, NULL, 0, 315360000000, "overrides jobs.retain_failed")

/* The keys of an entry of pools[]. */
#define CONFIG_POOL_TABLE(K)                                                                                 \
    K("", "name", NAME, name, NULL, 0, 0, "what queues call it; default is there also when not listed")      \
    K("", "workers", INT, workers, NULL, 1, 1024, "how many workers at most; workers.count when absent")     \
    K("", "min_workers", INT, min_workers, NULL, 1, 1024,                                                    \
      "how many workers at least; as many as workers when absent")                                           \
    K("", "idle_timeout", DURATION, idle_timeout_ms, "60s", 100, 2592000000,                                 \
      "a worker above min_workers ends when it found no job for so long")                                    \
    K("", "max_jobs", INT, max_jobs, "0", 0, 1000000000,                                                     \
      "a worker is replaced after so many jobs; 0: no limit")                                                \
    K("", "max_rss", BYTES, max_rss_bytes, "0", 0, 1099511627776,                                            \
      "a worker is replaced after a job when its memory is larger; 0: no limit")                             \
    K("", "max_age", DURATION, max_age_ms, "0s", 0, 315360000000,                                            \
      "a worker is replaced when it is older; 0: no limit")                                                  \
    K("", "nice", INT, nice, "0", -20, 19, "its priority among processes; below 0 needs the right to")       \
    K("", "cpus", CPUS, cpus, "", 0, 0, "the processors it may use: 0-3,5")

/* The keys of an entry of queues[]. */
#define CONFIG_QUEUE_TABLE(K)                                                                                \
    K("", "name", NAME, name, NULL, 0, 0, "the name that jobs give")                                         \
    K("", "pool", NAME, pool, "default", 0, 0, "whose workers run its jobs")                                 \
    K("", "weight", INT, weight, "1", 1, 1000, "its share of the pool while several queues have work")       \
    CONFIG_LIMITS(K)                                                                                         \
    K("", "max_depth", INT, max_depth, NULL, 1, 1000000000,                                                  \
      "how many jobs may wait: queued, scheduled, retrying or blocked; more are refused")                    \
    K("", "paused", BOOL, paused, "false", 0, 0, "true: jobs are taken, but none starts")

/* The keys of an entry of schedules[]. */
#define CONFIG_SCHEDULE_TABLE(K)                                                                             \
    K("", "name", NAME, name, NULL, 0, 0, "what people call it")                                             \
    K("", "cron", STRING, cron, NULL, 1, 0, "when: minute hour day month weekday")                           \
    K("", "timezone", STRING, timezone, "UTC", 1, 0, "whose clock: Europe/Berlin")                           \
    K("", "overlap", ENUM, overlap, "skip", 0, 0,                                                            \
      "while its last job has not ended: skip, queue or replace (that one is cancelled)")                    \
    K("", "catch_up", ENUM, catch_up, "one", 0, 0,                                                           \
      "of the times that passed while the server did not run: none, one or all")                             \
    K("", "paused", BOOL, paused, "false", 0, 0, "true: no job is submitted")                                \
    K("", "job", JOB, job, NULL, 0, 0, "what is submitted: task, args and so on, as in POST /v1/jobs")

/* The lists of entries in the file: word, list, table, title. */
#define CONFIG_LISTS(L)                                                                                      \
    L(task, tasks, TASK, "a task")                                                                           \
    L(pool, pools, POOL, "a pool")                                                                           \
    L(queue, queues, QUEUE, "a queue")                                                                       \
    L(schedule, schedules, SCHEDULE, "a schedule")

/* The keys of an entry of auth.tokens, all of them needed. */
#define CONFIG_TOKEN_TABLE(K)                                                                                \
    K("", "name", NAME, name, NULL, 0, 0, "what people call it; shown in refusals")                          \
    K("", "scopes", SCOPES, scopes, NULL, 0, 0, "what it may do: read, submit, admin")                       \
    K("", "hash", HASH, hash, NULL, 0, 0, "SHA-256 of the token, as forkpool token prints it")

enum config_type {
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_BYTES,
    CONFIG_DURATION,
    CONFIG_ENUM,
    CONFIG_LIST,
    /* in lists only */
    CONFIG_NAME,  /* char[NAME_BYTES] */
    CONFIG_WORD,  /* a STRING that must be one of `words` */
    CONFIG_BOOL,  /* bool */
    CONFIG_LIMIT, /* an INT that says what to do instead of 0 */
    CONFIG_RATE,  /* struct rate */
    CONFIG_CPUS,  /* a STRING that cpus_parse reads, or "" */
    CONFIG_TIMES, /* struct config_times */
    CONFIG_CODES, /* struct config_codes */
    CONFIG_ARGV,
    CONFIG_ENV,
    CONFIG_JOB, /* a YAML mapping, kept as JSON text */
    /* in auth.tokens only */
    CONFIG_SCOPES, /* uint32_t, bits of enum scope */
    CONFIG_HASH    /* uint8_t[TOKEN_HASH_BYTES] */
};

struct config_key {
    const char *section, *key;
    enum config_type type;
    size_t at;            /* of the member in its base */
    const char *fallback; /* NULL: none */
    int64_t minimum, maximum;
    const char *description;
    const char *const *words; /* of ENUM and WORD, NULL-terminated; an ENUM's value is the index */
};

enum config_key_index {
#define K(section, key, type, member, fallback, minimum, maximum, description) CONFIG_KEY_##member,
    CONFIG_TABLE(K)
#undef K
        CONFIG_KEY_COUNT
};

#define L(word, list, TABLE, title) CONFIG_LIST_##list,
enum config_list_index { CONFIG_LISTS(L) CONFIG_LIST_COUNT };
#undef L

/* One row of CONFIG_LISTS. */
struct config_list_kind {
    const char *word, *list, *title, *prefix; /* "task", "tasks", "a task", "tasks[]." */
    const struct config_key *keys;
    size_t key_count;
    size_t entry_bytes, line_at, column_at; /* of an entry */
    size_t entries_at, count_at;            /* in struct config */
};

enum config_token_key_index {
#define K(section, key, type, member, fallback, minimum, maximum, description) CONFIG_TOKEN_KEY_##member,
    CONFIG_TOKEN_TABLE(K)
#undef K
        CONFIG_TOKEN_KEY_COUNT
};

extern const struct config_key config_keys[CONFIG_KEY_COUNT];
extern const struct config_key config_token_keys[CONFIG_TOKEN_KEY_COUNT];
extern const struct config_list_kind config_list_kinds[CONFIG_LIST_COUNT];

/* Entry i of a list. */
void *config_entry(const struct config_list_kind *kind, struct config *config, size_t i);
size_t *config_entry_count(const struct config_list_kind *kind, struct config *config);
/* Sets what an entry has without being told. */
enum err config_entry_init(const struct config_list_kind *kind, void *entry) MUST_USE;

/* Where a value came from; a stronger source is greater. */
struct config_origin {
    enum { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENV, ORIGIN_FLAG } source;
    int line, column; /* of ORIGIN_FILE */
};

/* Names besides the keys, on the command line and in the environment: the file, and what only the environment
 * takes. */
enum { GIVEN_FILE = CONFIG_KEY_COUNT, GIVEN_TOKEN, GIVEN_TOKENS, GIVEN_COUNT, NAME_ROOM = 48 };

/* What all keys are called in one style. */
struct names {
    char text[GIVEN_COUNT][NAME_ROOM];
    const char *list[GIVEN_COUNT];
};

/* The texts of one source; NULL where it says nothing. Borrowed from argv or environ. */
struct given {
    struct names names;
    const char *texts[GIVEN_COUNT];
};

struct loader {
    struct config *config;
    struct given flags, env;
    struct config_origin origins[CONFIG_KEY_COUNT];
    struct buf *message;
    bool client; /* config_load_client */
};

enum config_style { STYLE_KEY, STYLE_FLAG, STYLE_ENV, STYLE_COUNT };
/* http.max_body, --http-max-body or FORKPOOL_HTTP_MAX_BODY. */
void config_put_name(char text[NAME_ROOM], const char *section, const char *key, enum config_style style);

/* Starts the sentence about a value with where it came from; a default came from nowhere. */
enum err config_refuse(struct loader *loader, enum config_key_index index);
/* Of two settings that do not go together, the one that was set more deliberately. */
enum err config_refuse_pair(struct loader *loader, enum config_key_index a, enum config_key_index b);

/* Tokens from the environment and from files of their own, then the mode and the address that it allows. */
enum err config_auth_check(struct loader *loader) MUST_USE;
/* What must go together, and what is known only when all is read. */
enum err config_check(struct loader *loader) MUST_USE;
/* Adds a copy. On ERR_CONFIG `why` got a sentence without an end: "the token ci stands twice". */
enum err config_auth_add(struct config *config, const struct token *token, struct buf *why) MUST_USE;

/* Replaces the member by what the text says. On ERR_CONFIG the member is as before and `why` got a predicate:
 * "must be a whole number from 1 to 64, not "many"". */
enum err config_value_set(const struct config_key *key, void *base, const char *text,
                          struct buf *why) MUST_USE;
/* The same for LIST, TIMES, CODES, ARGV, ENV and SCOPES; takes the NULL-terminated items, also when it fails.
 */
enum err config_value_take(const struct config_key *key, void *base, char **items, struct buf *why) MUST_USE;
/* True for the types that config_value_take sets. */
bool config_value_is_many(const struct config_key *key);
/* Marks the member as not set. */
void config_value_unset(const struct config_key *key, void *base);
/* Releases what the member owns. */
void config_value_free(const struct config_key *key, void *base);
/* Appends a number in the unit of the key's type: 65536 bytes → 64KiB, 90000 ms → 90s. */
void config_put_number(struct buf *out, const struct config_key *key, int64_t value);
/* Appends what a user wrote, in quotes, escaped and cut. */
void config_put_quoted(struct buf *out, const char *text);
void config_strings_free(char **strings);

/* All of a file or pipe of at most 4 MiB. ERR_SYSTEM leaves errno. */
enum err config_slurp(const char *path, struct buf *text) MUST_USE;
/* Reads the file into *config and the origins of its values into origins[CONFIG_KEY_COUNT]. named_by is the
 * flag or variable that gave the path. */
enum err config_yaml_read(const char *path, const char *named_by, struct config *config,
                          struct config_origin *origins, struct buf *message) MUST_USE;

#endif
