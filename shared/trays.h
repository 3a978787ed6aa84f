/* Result trays: one bump ring of records per worker, for results that do not fit into their slot.
 *
 * Record: { bytes, slot, generation, worker, incarnation }, then the result, padded to 64 bytes; never across
 * the end (a filler record closes it). The worker writes record, then tail, then DONE. The front moves the
 * head, record by record, never past one whose slot is DONE in that generation or RUNNING by that live owner.
 * Positions only grow; the place in the tray is position % tray_bytes.
 */
#ifndef FORKPOOL_TRAYS_H
#define FORKPOOL_TRAYS_H

#include "scoreboard.h"
#include "slots.h"

struct tray_record {
    uint64_t bytes; /* of the result; the record takes tray_record_room(bytes) */
    uint32_t slot;  /* SLOT_NONE: filler */
    uint32_t generation;
    uint32_t worker;
    uint16_t incarnation;
    uint16_t reserved;
    uint64_t pad[5];
};

/* Worker: copies a result in. ERR_FULL: not now (the front frees; wait and try again). ERR_RESULT_TOO_LARGE:
 * never. *at is the offset of the bytes in the tray. Call in FINISHING, before slot_finish. */
enum err tray_put(const struct segment *segment, uint32_t worker, uint64_t ticket, uint16_t incarnation,
                  const void *result, size_t bytes, uint64_t *at) MUST_USE;

/* Front: frees what can be freed. ERR_CORRUPT if a record is impossible. */
enum err tray_reclaim(const struct segment *segment, uint32_t worker) MUST_USE;

/* Bytes between head and tail. */
uint64_t tray_used(const struct segment *segment, uint32_t worker);

#endif
