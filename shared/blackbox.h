/* The black box: which jobs ran when everything died, in a small file beside the store that outlives every
 * process.
 *
 * One page-aligned mapping: a header (boot id, pid namespace, store id, draining) and one entry per worker,
 * written by that worker under a version word. It costs no system call. The supervisor makes it fully written
 * at start and renames the earlier one first; the front of the new life charges `lost` to exactly the jobs in
 * it, in one transaction, if boot id and store id match and the stop was no drain, and then removes it.
 */
#ifndef FORKPOOL_BLACKBOX_H
#define FORKPOOL_BLACKBOX_H

#include "ids.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BLACKBOX_FILE     "forkpool.blackbox"
#define BLACKBOX_OLD_FILE "forkpool.blackbox.old"

struct blackbox_entry {
    _Atomic uint32_t version; /* odd while it is being written */
    uint32_t running;         /* 1: a job runs */
    struct id id;
    uint32_t attempt;      /* the number this run will be recorded as */
    _Atomic int32_t group; /* process group of the task's child, 0: none */
    int64_t started_ms;
    uint8_t pad[24];
};

struct blackbox_header {
    uint64_t magic;
    uint32_t version, worker_count;
    char boot_id[40];
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid */
    struct id store_id;     /* written by the front once the store is open */
    _Atomic uint32_t draining;
    uint8_t pad[44];
};

struct blackbox {
    struct blackbox_header *header; /* mapped */
    struct blackbox_entry *entries; /* [worker_count] */
    uint32_t worker_count;
    uint64_t mapped_bytes;
};

/* Supervisor: renames an existing box to the old name (unless an uncharged old one stands there: then that
 * one stays and the newer is dropped), kills what is left of the process groups it names – only processes
 * whose environment carries the job's id – waits for their end (5 s at most each), and makes a new one. */
enum err blackbox_create(const char *state_dir, uint32_t worker_count, struct blackbox *box) MUST_USE;
void blackbox_close(struct blackbox *box);

/* Worker. */
void blackbox_begin(struct blackbox *box, uint32_t worker, struct id id, uint32_t attempt,
                    int64_t started_ms);
void blackbox_end(struct blackbox *box, uint32_t worker);

/* Front: what the old box says, if it belongs to this store and boot and was no drain. *charges is owned by
 * the caller (free); *count is 0 when there is nothing to charge. blackbox_forget removes the old box after
 * the charge. */
struct blackbox_charge {
    struct id id;
    uint32_t attempt;
    int32_t worker;
    int64_t started_ms;
};
enum err blackbox_read_old(const char *state_dir, struct id store_id, struct blackbox_charge **charges,
                           uint32_t *count) MUST_USE;
enum err blackbox_forget(const char *state_dir) MUST_USE;

#endif
