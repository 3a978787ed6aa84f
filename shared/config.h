/* The configuration: one table from which the parser, --help, the reference in docs/ and the defaults derive.
 *
 * Sources, strongest first: flag (--http-listen), environment (FORKPOOL_HTTP_LISTEN), file (YAML, --config or
 * FORKPOOL_CONFIG), default. Tokens have no flag, which ps would show; those of all sources count together.
 * An unknown FORKPOOL_… variable is an error, but for the prefixes FORKPOOL_JOB_, _TASK_, _TEST_ and _BENCH_,
 * which belong to others. Read by the supervisor before it forks; children inherit it and never change it.
 * Owned by its struct; config_free releases all of it.
 *
 * Errors are ERR_CONFIG with one sentence for people, "file:line:column: …", "--flag: …" or "FORKPOOL_X: …",
 * naming the wrong value, what would be right and, for an unknown key, the nearest known one; or
 * ERR_NO_MEMORY.
 */
#ifndef FORKPOOL_CONFIG_H
#define FORKPOOL_CONFIG_H

#include "buf.h"
#include "err.h"
#include "job.h"
#include "log.h"
#include "nearest.h"
#include "rate.h"
#include "token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* K(section, key, type, member, default text, minimum, maximum, description). A key of section "" stands at
 * the top level. The default is parsed like any other value. Units: BYTES takes 64KiB, 1MiB, 4GiB or a plain
 * number; DURATION takes 250ms, 8s, 5m, 1h, 7d or a plain number of seconds, and is kept in milliseconds.
 * LIST is a YAML list or, in a flag or variable, a,b. */
#define CONFIG_TABLE(K)                                                                                      \
    K("http", "listen", STRING, http_listen, "127.0.0.1:8080", 0, 0,                                         \
      "address and port: 127.0.0.1:8080, [::1]:8080, 0.0.0.0:8080")                                          \
    K("http", "loops", INT, http_loops, "2", 1, 64, "HTTP threads, each with an epoll loop of its own")      \
    K("http", "max_body", BYTES, http_max_body, "1MiB", 1024, 67108864, "largest request body")              \
    K("http", "max_bulk", BYTES, http_max_bulk, "64MiB", 1024, 1073741824,                                   \
      "largest body of a bulk submission")                                                                   \
    K("http", "max_header", BYTES, http_max_header, "16KiB", 4096, 1048576,                                  \
      "memory for one request's headers")                                                                    \
    K("http", "max_wait", DURATION, http_max_wait_ms, "60s", 0, 3600000,                                     \
      "longest wait a request may ask for")                                                                  \
    K("http", "max_connections", INT, http_max_connections, "4096", 4, 1000000, "connections at a time")     \
    K("http", "request_timeout", DURATION, http_request_timeout_ms, "75s", 1000, 3600000,                    \
      "a connection is closed when it brings no complete request for so long")                               \
    K("http", "hosts", LIST, http_hosts, "", 0, 0,                                                           \
      "host names to answer for, besides localhost and addresses")                                           \
    K("auth", "mode", ENUM, auth_mode, "loopback", 0, 0,                                                     \
      "loopback: no token, and only loopback addresses; none: no token on any address; token: one of the "   \
      "tokens, on any address, and the default once there are some")                                         \
    K("auth", "token_file", STRING, auth_token_file, "", 0, 0,                                               \
      "file with one token, plain or as its hash, that may do everything")                                   \
    K("auth", "tokens_file", STRING, auth_tokens_file, "", 0, 0,                                             \
      "file of tokens, one a line: name:scopes:sha256:HEX; # starts a comment")                              \
    K("store", "url", STRING, store_url, "sqlite:///var/lib/forkpool/forkpool.db", 0, 0,                     \
      "sqlite:///absolute/path or sqlite:relative/path; logs and the black box lie beside it")               \
    K("store", "durability", ENUM, store_durability, "full", 0, 0,                                           \
      "what 202 means unless a job says otherwise: full, process or memory")                                 \
    K("store", "ballast", BYTES, store_ballast, "16MiB", 0, 1073741824,                                      \
      "space kept beside the store, so that results can be recorded when its disk is full; 0: none")         \
    K("workers", "count", INT, workers_count, "0", 0, 1024,                                                  \
      "preforked workers of a pool that does not say how many; 0: max(2, cores)")                            \
    K("jobs", "timeout", DURATION, jobs_timeout_ms, "1h", 1, 2592000000, "how long an attempt may run")      \
    K("jobs", "kill_after", DURATION, jobs_kill_after_ms, "5s", 0, 3600000,                                  \
      "from the request to stop until the kill")                                                             \
    K("jobs", "max_attempts", INT, jobs_max_attempts, "3", 1, 1000, "attempts before a job has failed")      \
    K("jobs", "backoff", ENUM, jobs_backoff, "exponential", 0, 0, "exponential, linear or fixed")            \
    K("jobs", "backoff_initial", DURATION, jobs_backoff_initial_ms, "1s", 0, 86400000,                       \
      "wait before the second attempt")                                                                      \
    K("jobs", "backoff_max", DURATION, jobs_backoff_max_ms, "5m", 0, 2592000000,                             \
      "longest wait between attempts")                                                                       \
    K("jobs", "jitter", INT, jobs_jitter, "20", 0, 100, "percent of the wait that is random")                \
    K("jobs", "max_crashes", INT, jobs_max_crashes, "3", 1, 1000,                                            \
      "workers a job may take down before it has failed")                                                    \
    K("jobs", "max_lost", INT, jobs_max_lost, "20", 1, 1000000,                                              \
      "workers killed from outside under a job before it has failed")                                        \
    K("jobs", "max_result", BYTES, jobs_max_result, "1MiB", 1024, 67108864, "largest result")                \
    K("jobs", "max_log", BYTES, jobs_max_log, "1MiB", 1024, 1073741824,                                      \
      "largest log of an attempt; the rest is cut")                                                          \
    K("jobs", "retain_succeeded", DURATION, jobs_retain_succeeded_ms, "7d", 0, 315360000000,                 \
      "how long a succeeded job is kept after its end; 0: for ever")                                         \
    K("jobs", "retain_failed", DURATION, jobs_retain_failed_ms, "30d", 0, 315360000000,                      \
      "how long a failed or cancelled job is kept after its end; 0: for ever")                               \
    K("jobs", "retain_results", DURATION, jobs_retain_results_ms, "0s", 0, 315360000000,                     \
      "how long a result is kept, if not as long as its job; 0: as long")                                    \
    K("jobs", "key_concurrency", INT, jobs_key_concurrency, "1", 1, 1000000,                                 \
      "how many jobs with one concurrency_key may run at a time, unless queue or task says otherwise")       \
    K("jobs", "max_inputs", BYTES, jobs_max_inputs, "4MiB", 1024, 1073741824,                                \
      "results of earlier jobs handed to one that waited for them")                                          \
    K("memory", "slots", INT, memory_slots, "16384", 64, 4194304, "jobs in shared memory at a time")         \
    K("memory", "arena", BYTES, memory_arena, "64MiB", 1048576, 17179869184,                                 \
      "shared memory for arguments, used as touched")                                                        \
    K("memory", "tray", BYTES, memory_tray, "4MiB", 65536, 1073741824,                                       \
      "shared memory for a worker's large results")                                                          \
    K("", "tasks_dir", STRING, tasks_dir, "", 0, 0, "folder of tasks: executables and plugins (*.so)")       \
    K("log", "level", ENUM, log_level, "info", 0, 0, "debug, info, warn or error")                           \
    K("log", "format", ENUM, log_format, "auto", 0, 0, "auto, text or json; auto: text on a terminal")       \
    K("shutdown", "drain", DURATION, shutdown_drain_ms, "8s", 0, 3600000,                                    \
      "how long running jobs may go on after SIGTERM")

enum auth_mode { AUTH_LOOPBACK, AUTH_NONE, AUTH_TOKEN };

/* What becomes of a time of a schedule while the job of an earlier one has not ended. */
#define OVERLAPS(O)                                                                                          \
    O(SKIP, "skip")                                                                                          \
    O(QUEUE, "queue")                                                                                        \
    O(REPLACE, "replace")

/* Which of the times that passed while nothing ran are made up for. */
#define CATCH_UPS(C)                                                                                         \
    C(NONE, "none")                                                                                          \
    C(ONE, "one")                                                                                            \
    C(ALL, "all")

#define O(name, text) OVERLAP_##name,
enum overlap { OVERLAPS(O) OVERLAP_COUNT };
#undef O
#define C(name, text) CATCH_UP_##name,
enum catch_up { CATCH_UPS(C) CATCH_UP_COUNT };
#undef C

#define DEFAULT_POOL "default"

enum { INTERVALS_MAX = 16, ERROR_CODES_MAX = 8 };

struct config_times {
    size_t count; /* 0: not set */
    int64_t ms[INTERVALS_MAX];
};

struct config_codes {
    size_t count; /* 0: not set */
    char items[ERROR_CODES_MAX][ERROR_CODE_BYTES];
};

/* The entries of the lists. `name` comes first, which config_lists.c relies on; line and column stand in the
 * file, for messages, and are 0 for an entry that does not. A number is -1, a text NULL or "" and a rate's
 * count 0 where nothing is set. */

/* One entry of tasks[]: overrides for a task found in the folder, or a task of its own. */
struct task_config {
    char name[NAME_BYTES];
    char *kind;                        /* "plugin", "command" or NULL: by the file */
    char *path;                        /* of a plugin or executable, or NULL */
    char **argv, **env;                /* NULL-terminated, or NULL; env entries are "NAME=value" */
    char *cwd, *description;           /* or NULL */
    char queue[NAME_BYTES];            /* "" : default */
    int64_t timeout_ms, kill_after_ms; /* -1: not set */
    int64_t max_attempts, backoff, backoff_initial_ms, backoff_max_ms, jitter, retry_max_age_ms;
    struct config_times retry_intervals;       /* the waits one after another; the last one repeats */
    struct config_codes retry_on, retry_never; /* only after these errors; not after those */
    int64_t limit_memory_bytes, limit_cpu_ms, limit_files;
    int64_t concurrency, burst, key_concurrency, key_burst;
    struct rate rate, key_rate;
    int64_t retain_succeeded_ms, retain_failed_ms;
    int line, column;
};

/* One entry of pools[]. "default" is always there and always the first. */
struct pool_config {
    char name[NAME_BYTES];
    int64_t workers, min_workers; /* resolved: never -1 after config_load */
    int64_t idle_timeout_ms;
    int64_t max_jobs, max_rss_bytes, max_age_ms; /* 0: no limit */
    int64_t nice;
    char *cpus; /* cpus_parse reads it; "": any */
    int line, column;
};

/* One entry of queues[]. */
struct queue_config {
    char name[NAME_BYTES], pool[NAME_BYTES];
    int64_t weight;
    int64_t concurrency, burst, key_concurrency, key_burst, max_depth;
    struct rate rate, key_rate;
    bool paused;
    int line, column;
};

/* One entry of schedules[]. */
struct schedule_config {
    char name[NAME_BYTES];
    char *cron, *timezone;     /* both valid after config_load */
    int64_t overlap, catch_up; /* enum overlap, enum catch_up */
    bool paused;
    char *job; /* the body of a submit, JSON; an object with a task, otherwise not checked here */
    int line, column;
};

struct config_list {
    char **items; /* NULL-terminated */
    size_t count;
};

struct config {
    char *http_listen;
    int64_t http_loops, http_max_body, http_max_bulk, http_max_header, http_max_wait_ms, http_max_connections,
        http_request_timeout_ms;
    struct config_list http_hosts;
    int64_t auth_mode; /* enum auth_mode; resolved: TOKEN exactly if there are tokens */
    char *auth_token_file, *auth_tokens_file; /* "" if none */
    char *store_url;
    int64_t store_durability; /* enum durability */
    int64_t store_ballast;
    int64_t workers_count; /* resolved: never 0 after config_load */
    int64_t jobs_timeout_ms, jobs_kill_after_ms, jobs_max_attempts, jobs_backoff, jobs_backoff_initial_ms,
        jobs_backoff_max_ms, jobs_jitter, jobs_max_crashes, jobs_max_lost, jobs_max_result, jobs_max_log,
        jobs_key_concurrency, jobs_max_inputs;
    int64_t jobs_retain_succeeded_ms, jobs_retain_failed_ms,
        jobs_retain_results_ms; /* 0: for ever; as long */
    int64_t memory_slots, memory_arena, memory_tray;
    char *tasks_dir;               /* "" if none */
    int64_t log_level, log_format; /* enum log_level, enum log_format */
    int64_t shutdown_drain_ms;
    struct task_config *tasks;
    struct pool_config *pools; /* [0] is "default" */
    struct queue_config *queues;
    struct schedule_config *schedules;
    size_t task_count, pool_count, queue_count, schedule_count;
    struct token *tokens; /* of all sources */
    size_t token_count;
    char *file;       /* the path given to --config, or NULL: read again on reload */
    char *state_dir;  /* the folder of the store; derived from store_url */
    char *store_path; /* the path inside store_url */
};

/* Reads everything. argv holds only the flags ("--http-listen", "x" or "--http-listen=x"), without program
 * and command; env is environ. On ERR_CONFIG `message` says what is wrong. On any error *config is NULL. */
enum err config_load(int argc, char *const *argv, char *const *env, struct config **config,
                     struct buf *message) MUST_USE;
/* The same for one who only asks where the server listens, and may not have been given its access: tokens
 * outside the file are not read, no address needs an access mode, and auth_mode is only what was written. */
enum err config_load_client(int argc, char *const *argv, char *const *env, struct config **config,
                            struct buf *message) MUST_USE;
void config_free(struct config *config);

/* A plain FORKPOOL_AUTH_TOKEN in the environment becomes its hash, which says the same to a later
 * config_load; the plain text is wiped, so that neither children nor /proc/PID/environ have it. One thread,
 * before any fork. */
enum err config_hide_token(void) MUST_USE;

/* Appends the table as text for --help: flag, default and description, by section. */
void config_help(struct buf *out);
/* Appends the table as Markdown for docs/configuration.md: key, flag, environment, default, description. */
void config_reference(struct buf *out);

/* The address to bind for ADDRESS:PORT, [IPV6]:PORT or localhost:PORT (127.0.0.1); port 0 is any free one.
 * ERR_CONFIG if it is not that; never for the http_listen of a loaded configuration. */
enum err config_listen_address(const char *listen, struct sockaddr_storage *address,
                               socklen_t *bytes) MUST_USE;

#endif
