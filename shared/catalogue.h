/* The catalogue: what tasks there are and how they run, as the probe found them.
 *
 * Two banks in the segment; epoch e lies in bank e % 2. The probe alone writes, into the bank that is not
 * current; the supervisor then raises segment_header.catalogue_epoch. Front and workers take a private copy
 * (catalogue_copy) and look at the epoch again, so a bank that is being rewritten is never used. Entries hold
 * no pointers.
 */
#ifndef FORKPOOL_CATALOGUE_H
#define FORKPOOL_CATALOGUE_H

#include "job.h"
#include "segment.h"

enum {
    TASKS_MAX = 256,
    TASK_PATH_BYTES = 512,
    TASK_BLOB_BYTES = 2048,
    TASK_REASON_BYTES = 256,
    RETRY_MORE_BYTES = 512,
    CATALOGUE_FAULTS_MAX = 8
};

/* name, text */
#define TASK_KINDS(K)                                                                                        \
    K(PLUGIN, "plugin")                                                                                      \
    K(COMMAND, "command")

enum task_kind {
#define K(name, text) TASK_##name,
    TASK_KINDS(K)
#undef K
        TASK_KIND_COUNT
};

const char *task_kind_text(enum task_kind kind);

struct task {
    char name[NAME_BYTES];
    uint32_t kind;   /* enum task_kind */
    uint32_t broken; /* 1: listed, but jobs for it are refused; reason says why */
    char reason[TASK_REASON_BYTES];
    char description[TASK_REASON_BYTES];
    char queue[NAME_BYTES];
    char path[TASK_PATH_BYTES]; /* the shared object or executable, absolute */
    char cwd[TASK_PATH_BYTES];  /* "": the tasks folder */
    int64_t timeout_ms, kill_after_ms;
    struct retry retry;
    /* The rest of how it is retried, a JSON object of what is set, "" if nothing is; times in seconds:
     * {"intervals":[1,5,30],"max_age":3600,"on":["exit_status"],"never":["no_such_user"]} */
    char retry_more[RETRY_MORE_BYTES];
    int64_t limit_memory_bytes, limit_cpu_ms, limit_files; /* -1: none */
    uint32_t argv_count, env_count;
    uint32_t blob_bytes;
    char blob[TASK_BLOB_BYTES]; /* argv strings, then env strings, each with its NUL */
};

/* Something that did not even become a broken task: a folder that is not there, a name that cannot be one. */
struct catalogue_fault {
    char file[TASK_REASON_BYTES], reason[TASK_REASON_BYTES];
};

struct catalogue {
    uint32_t epoch, task_count;
    uint32_t fault_count; /* the first ones only; all are in the log */
    struct catalogue_fault faults[CATALOGUE_FAULTS_MAX];
    char tasks_dir[TASK_PATH_BYTES];
    struct task tasks[TASKS_MAX]; /* sorted by name */
};

/* A heap copy of the current catalogue, trimmed to task_count; free() it. ERR_NOT_FOUND before the first
 * epoch. */
enum err catalogue_copy(const struct segment *segment, struct catalogue **catalogue) MUST_USE;

/* NULL if there is no such task. Borrowed. */
const struct task *catalogue_find(const struct catalogue *catalogue, const char *name);

/* Appends a string to the blob; ERR_FULL if it does not fit. Probe only; argv before env. */
enum err task_add_argv(struct task *task, const char *text) MUST_USE;
enum err task_add_env(struct task *task, const char *text) MUST_USE;

/* Points argv[0..argv_count] and env[0..env_count] (NULL-terminated, with room for all) into the blob. */
void task_vectors(const struct task *task, char **argv, char **env);

#endif
