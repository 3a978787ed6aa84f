/* The jobs table: slots, and the claim word that says who owns each.
 *
 *        front             front              front               worker             worker
 *   FREE ─────▶ BUILDING ─────▶ HELD ◀─────▶ QUEUED(generation) ─────▶ RUNNING ─────▶ DONE ─────▶ FREE
 *                                 ▲                                        │     front, after commit
 *                                 └──────── front, after the reap ─────────┘
 *   HELD, QUEUED ─▶ DONE by the front: a verdict of cancelled, committed like any end.
 *
 * Claim word, 64 bits: generation:32 | state:4 | worker:12 | incarnation:16.
 *
 *  1. The claim word is the truth about ownership; it changes by CAS only. Rings and semaphores are hints.
 *  2. Only QUEUED may be claimed, and only in the generation of the ticket; each publication raises the
 * generation.
 *  3. spec and args are written by the front in BUILDING and read by others only from QUEUED on.
 *  4. attempt and result are written by the owner while RUNNING (or by the front for a dead owner, or for a
 * verdict), and read by others only in DONE; progress is the exception, under its own version word.
 *  5. Owner dead: load the claim word first (acquire), then the scoreboard's incarnation, never a remembered
 * one; then the claim word again: an owner that finished before it died does not hold the slot.
 *  6. A DONE slot is freed only after its row is durable at the job's level.
 *
 * A reader that is not the owner copies, then compares the claim word again, and retries on change
 * (slot_copy).
 */
#ifndef FORKPOOL_SLOTS_H
#define FORKPOOL_SLOTS_H

#include "job.h"
#include "segment.h"

#include <stdalign.h>
#include <stddef.h>

enum slot_state {
    SLOT_FREE,
    SLOT_BUILDING,
    SLOT_HELD,
    SLOT_QUEUED,
    SLOT_RUNNING,
    SLOT_DONE,
    SLOT_STATE_COUNT
};

enum { SLOT_INLINE_BYTES = 1024 };
#define SLOT_NONE UINT32_MAX

enum result_place { RESULT_NONE, RESULT_INLINE, RESULT_TRAY };

struct slot {
    alignas(CACHE_LINE) _Atomic uint64_t claim;
    _Atomic uint32_t cancel_requested; /* front: set once, kept until FREE */
    uint32_t args_bytes;
    uint64_t args_at;                                /* in the arena; meaningless if args_bytes is 0 */
    int64_t queued_ns;                               /* monotonic: when it became ready to run */
    uint32_t tags_bytes, extras_bytes, inputs_bytes; /* in the arena too, one behind the other */

    alignas(CACHE_LINE) struct job_spec spec;

    alignas(CACHE_LINE) _Atomic uint32_t progress_version; /* odd while progress is being written */
    uint32_t result_place;                                 /* enum result_place */
    uint64_t result_at;                                    /* in the owner's tray, if RESULT_TRAY */
    uint64_t result_bytes, result_sum;
    uint32_t result_worker; /* whose tray */
    uint32_t reserved;
    int64_t wait_ns, run_ns; /* of this attempt, for the histograms */
    struct attempt attempt;
    char inline_result[SLOT_INLINE_BYTES];
};

/* A claim word taken apart. */
struct claim {
    uint32_t generation;
    enum slot_state state;
    uint32_t worker;
    uint16_t incarnation;
};

static inline uint64_t claim_pack(struct claim claim)
{
    return (uint64_t)claim.generation << 32 | (uint64_t)claim.state << 28 |
           (uint64_t)(claim.worker & 0xfff) << 16 | claim.incarnation;
}

static inline struct claim claim_unpack(uint64_t word)
{
    return (struct claim){.generation = (uint32_t)(word >> 32),
                          .state = (enum slot_state)(word >> 28 & 0xf),
                          .worker = (uint32_t)(word >> 16 & 0xfff),
                          .incarnation = (uint16_t)word};
}

/* A ticket names a slot in one publication: slot:32 | generation:32. 0 is no ticket: generations begin at 1.
 */
static inline uint64_t ticket_pack(uint32_t slot, uint32_t generation)
{
    return (uint64_t)slot << 32 | generation;
}

static inline uint32_t ticket_slot(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

static inline uint32_t ticket_generation(uint64_t ticket)
{
    return (uint32_t)ticket;
}

/* The claim word now (acquire). */
struct claim slot_claim_load(const struct slot *slot);

/* One CAS from the expected word to a state with the given owner; false if it had changed. Release on
 * success. */
bool slot_move(struct slot *slot, struct claim expected, struct claim next);

/* Front: BUILDING → HELD, HELD → QUEUED (raises the generation, which it returns), QUEUED → HELD (false:
 * claimed). */
void slot_hold(struct slot *slot);
uint32_t slot_publish(struct slot *slot);
bool slot_unpublish(struct slot *slot);

/* Worker: QUEUED in the ticket's generation → RUNNING by me. Exactly one caller wins. */
bool slot_claim(struct slot *slot, uint32_t generation, uint32_t worker, uint16_t incarnation);

/* Worker: RUNNING by me → DONE. CHECKs that it was mine. */
void slot_finish(struct slot *slot, uint32_t worker, uint16_t incarnation);

/* Rule 5: true if the slot is RUNNING, and stays so, for its owner's incarnation has passed. */
bool slot_owner_dead(const struct segment *segment, const struct slot *slot);

/* Worker: a blank record of the attempt that begins now, under the version word. */
void slot_begin_attempt(struct slot *slot, uint32_t worker, int64_t now_ms);

/* Progress: the worker writes, anyone reads (a torn read is retried). */
void slot_progress_write(struct slot *slot, double value, const char *message, size_t bytes, int64_t now_ms);

/* Front, other threads than the dispatcher: a consistent copy of a slot holding job `id`, arguments and (in
 * DONE only) nothing of the result, since it is not committed yet. ERR_NOT_FOUND if the slot no longer holds
 * that job. state is what a client may see: QUEUED or RUNNING. *job is owned by the caller. */
enum err slot_copy(const struct segment *segment, uint32_t number, struct id id, struct job **job) MUST_USE;

/* The slot's result in shared memory, its place, bounds and checksum verified: ERR_CORRUPT if they are
 * impossible. */
enum err slot_result(const struct segment *segment, const struct slot *slot, struct text *result) MUST_USE;
enum err slot_args(const struct segment *segment, const struct slot *slot, struct text *args) MUST_USE;
/* Absent if there are none. */
enum err slot_tags(const struct segment *segment, const struct slot *slot, struct text *tags) MUST_USE;
enum err slot_extras(const struct segment *segment, const struct slot *slot, struct text *extras) MUST_USE;
enum err slot_inputs(const struct segment *segment, const struct slot *slot, struct text *inputs) MUST_USE;
/* What the slot takes up in the arena: these four. */
size_t slot_arena_bytes(const struct slot *slot);

/* A cheap 64-bit checksum of a result. Not cryptographic. */
uint64_t bytes_sum(const void *data, size_t bytes);

#endif
