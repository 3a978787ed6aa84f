/* What the files of the configuration share; nobody else includes it.
 *
 * A struct config_key describes a row of CONFIG_TABLE or of CONFIG_TASK_TABLE. config_value.c moves one value
 * between text and its member, config_yaml.c walks a file, config_auth.c gathers tokens and checks who may
 * get in, config.c joins the sources. A `base` is the struct that a key's member lies in: a struct config, a
 * struct task_config or a struct token.
 */
#ifndef FORKPOOL_CONFIG_PRIVATE_H
#define FORKPOOL_CONFIG_PRIVATE_H

#include "config.h"

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
    K("limits", "memory", BYTES, limit_memory_bytes, NULL, 1048576, 1099511627776, "address space")          \
    K("limits", "cpu", DURATION, limit_cpu_ms, NULL, 1000, 2592000000, "processor time")                     \
    K("limits", "files", INT, limit_files, NULL, 8, 1048576, "open files")

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
    /* in tasks[] only */
    CONFIG_NAME, /* char[NAME_BYTES] */
    CONFIG_WORD, /* a STRING that must be one of `words` */
    CONFIG_ARGV,
    CONFIG_ENV,
    /* in auth.tokens only */
    CONFIG_SCOPES, /* uint32_t, bits of enum scope */
    CONFIG_HASH    /* uint8_t[TOKEN_HASH_BYTES] */
};

struct config_key {
    const char *section, *key;
    enum config_type type;
    size_t at; /* of the member in its base */
    const char *fallback;
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

enum config_task_key_index {
#define K(section, key, type, member, fallback, minimum, maximum, description) CONFIG_TASK_KEY_##member,
    CONFIG_TASK_TABLE(K)
#undef K
        CONFIG_TASK_KEY_COUNT
};

enum config_token_key_index {
#define K(section, key, type, member, fallback, minimum, maximum, description) CONFIG_TOKEN_KEY_##member,
    CONFIG_TOKEN_TABLE(K)
#undef K
        CONFIG_TOKEN_KEY_COUNT
};

extern const struct config_key config_keys[CONFIG_KEY_COUNT];
extern const struct config_key config_token_keys[CONFIG_TOKEN_KEY_COUNT];
extern const struct config_key config_task_keys[CONFIG_TASK_KEY_COUNT];

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

/* Starts the sentence about a value with where it came from; a default came from nowhere. */
enum err config_refuse(struct loader *loader, enum config_key_index index);
/* Of two settings that do not go together, the one that was set more deliberately. */
enum err config_refuse_pair(struct loader *loader, enum config_key_index a, enum config_key_index b);

/* Tokens from the environment and from files of their own, then the mode and the address that it allows. */
enum err config_auth_check(struct loader *loader) MUST_USE;
/* Adds a copy. On ERR_CONFIG `why` got a sentence without an end: "the token ci stands twice". */
enum err config_auth_add(struct config *config, const struct token *token, struct buf *why) MUST_USE;

/* Replaces the member by what the text says. On ERR_CONFIG the member is as before and `why` got a predicate:
 * "must be a whole number from 1 to 64, not "many"". */
enum err config_value_set(const struct config_key *key, void *base, const char *text,
                          struct buf *why) MUST_USE;
/* The same for LIST, ARGV, ENV and SCOPES; takes the NULL-terminated items, also when it fails. */
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
