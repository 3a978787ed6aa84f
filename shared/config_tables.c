#include "config_private.h"

#include "catalogue.h"

/* The words of each ENUM and WORD, found by the name of its member. */
static const char *const auth_mode_words[] = {
    [AUTH_LOOPBACK] = "loopback", [AUTH_NONE] = "none", [AUTH_TOKEN] = "token", NULL};
static const char *const log_level_words[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
static const char *const log_format_words[] = {
    [LOG_AUTO] = "auto", [LOG_TEXT_LINES] = "text", [LOG_JSON_LINES] = "json", NULL};
#define WORD(name, text) text,
static const char *const store_durability_words[] = {DURABILITIES(WORD) NULL};
static const char *const backoff_words[] = {BACKOFFS(WORD) NULL};
static const char *const kind_words[] = {TASK_KINDS(WORD) NULL};
static const char *const overlap_words[] = {OVERLAPS(WORD) NULL};
static const char *const catch_up_words[] = {CATCH_UPS(WORD) NULL};
#undef WORD
#define jobs_backoff_words backoff_words

#define WORDS_STRING(member)   NULL
#define WORDS_INT(member)      NULL
#define WORDS_BYTES(member)    NULL
#define WORDS_DURATION(member) NULL
#define WORDS_ENUM(member)     member##_words
#define WORDS_LIST(member)     NULL
#define WORDS_NAME(member)     NULL
#define WORDS_WORD(member)     member##_words
#define WORDS_BOOL(member)     NULL
#define WORDS_LIMIT(member)    NULL
#define WORDS_RATE(member)     NULL
#define WORDS_CPUS(member)     NULL
#define WORDS_TIMES(member)    NULL
#define WORDS_CODES(member)    NULL
#define WORDS_ARGV(member)     NULL
#define WORDS_ENV(member)      NULL
#define WORDS_JOB(member)      NULL
#define WORDS_SCOPES(member)   scope_words
#define WORDS_HASH(member)     NULL

#define KEY(base, section, key, type, member, fallback, minimum, maximum, description)                       \
    {section, key,     CONFIG_##type, offsetof(struct base, member), fallback,                               \
     minimum, maximum, description,   WORDS_##type(member)},

const struct config_key config_keys[CONFIG_KEY_COUNT] = {
#define K(...) KEY(config, __VA_ARGS__)
    CONFIG_TABLE(K)
#undef K
};

static const struct config_key task_keys[] = {
#define K(...) KEY(task_config, __VA_ARGS__)
    CONFIG_TASK_TABLE(K)
#undef K
};

static const struct config_key pool_keys[] = {
#define K(...) KEY(pool_config, __VA_ARGS__)
    CONFIG_POOL_TABLE(K)
#undef K
};

static const struct config_key queue_keys[] = {
#define K(...) KEY(queue_config, __VA_ARGS__)
    CONFIG_QUEUE_TABLE(K)
#undef K
};

static const struct config_key schedule_keys[] = {
#define K(...) KEY(schedule_config, __VA_ARGS__)
    CONFIG_SCHEDULE_TABLE(K)
#undef K
};

const struct config_key config_token_keys[CONFIG_TOKEN_KEY_COUNT] = {
#define K(...) KEY(token, __VA_ARGS__)
    CONFIG_TOKEN_TABLE(K)
#undef K
};

const struct config_list_kind config_list_kinds[CONFIG_LIST_COUNT] = {
#define L(word, list, TABLE, title)                                                                          \
    {#word,                                                                                                  \
     #list,                                                                                                  \
     title,                                                                                                  \
     #list "[].",                                                                                            \
     word##_keys,                                                                                            \
     sizeof word##_keys / sizeof *word##_keys,                                                               \
     sizeof(struct word##_config),                                                                           \
     offsetof(struct word##_config, line),                                                                   \
     offsetof(struct word##_config, column),                                                                 \
     offsetof(struct config, list),                                                                          \
     offsetof(struct config, word##_count)},
    CONFIG_LISTS(L)
#undef L
};
#define L(word, list, TABLE, title)                                                                          \
    _Static_assert(offsetof(struct word##_config, name) == 0, "an entry starts with its name");
CONFIG_LISTS(L)
#undef L

/* A member is reached by its offset alone, so its C type is checked here. */
#define C_STRING   char *
#define C_INT      int64_t
#define C_BYTES    int64_t
#define C_DURATION int64_t
#define C_ENUM     int64_t
#define C_LIST     struct config_list
#define C_NAME     char * /* the array decays */
#define C_WORD     char *
#define C_BOOL     bool
#define C_LIMIT    int64_t
#define C_RATE     struct rate
#define C_CPUS     char *
#define C_TIMES    struct config_times
#define C_CODES    struct config_codes
#define C_ARGV     char **
#define C_ENV      char **
#define C_JOB      char *
#define C_SCOPES   uint32_t
#define C_HASH     uint8_t *
#define FITS(base, type, member)                                                                             \
    _Static_assert(_Generic(((struct base *)0)->member, C_##type : 1, default : 0), "type of " #member);
#define K(section, key, type, member, fallback, minimum, maximum, description) FITS(config, type, member)
CONFIG_TABLE(K)
#undef K
#define K(section, key, type, member, fallback, minimum, maximum, description) FITS(task_config, type, member)
CONFIG_TASK_TABLE(K)
#undef K
#define K(section, key, type, member, fallback, minimum, maximum, description) FITS(pool_config, type, member)
CONFIG_POOL_TABLE(K)
#undef K
#define K(section, key, type, member, fallback, minimum, maximum, description)                               \
    FITS(queue_config, type, member)
CONFIG_QUEUE_TABLE(K)
#undef K
#define K(section, key, type, member, fallback, minimum, maximum, description)                               \
    FITS(schedule_config, type, member)
CONFIG_SCHEDULE_TABLE(K)
#undef K
#define K(section, key, type, member, fallback, minimum, maximum, description) FITS(token, type, member)
CONFIG_TOKEN_TABLE(K)
#undef K
