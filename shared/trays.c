#include "trays.h"

#include "check.h"
#include "crash_point.h"

#include <string.h>

_Static_assert(sizeof(struct tray_record) == CACHE_LINE, "a record's header is one cache line");

static uint64_t record_room(uint64_t bytes)
{
    return sizeof(struct tray_record) + (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static struct tray_record *record_at(const struct segment *segment, uint32_t worker, uint64_t position)
{
    return (struct tray_record *)(void *)(segment_tray(segment, worker) +
                                          position % segment->shape.tray_bytes);
}

enum err tray_put(const struct segment *segment, uint32_t worker, uint64_t ticket, uint16_t incarnation,
                  const void *result, size_t bytes, uint64_t *at)
{
    struct board *board = &segment->boards[worker];
    uint64_t room = segment->shape.tray_bytes, need = record_room(bytes);
    if (need > room / 2) /* a filler and the record must fit together */
        return ERR_RESULT_TOO_LARGE;
    uint64_t tail = atomic_load_explicit(&board->tray_tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&board->tray_head, memory_order_acquire); /* T1: pairs with T2 */
    uint64_t rest = room - tail % room, filler = rest < need ? rest : 0;
    if (tail - head + filler + need > room)
        return ERR_FULL;
    if (filler > 0) {
        *record_at(segment, worker, tail) = (struct tray_record){.bytes = filler, .slot = SLOT_NONE};
        tail += filler;
    }
    struct tray_record *record = record_at(segment, worker, tail);
    *record = (struct tray_record){.bytes = bytes,
                                   .slot = ticket_slot(ticket),
                                   .generation = ticket_generation(ticket),
                                   .worker = worker,
                                   .incarnation = incarnation};
    CRASH_POINT(TRAY_HEADER);
    CRASH_COPY(TRAY_HALF, record + 1, result, bytes);
    *at = tail % room + sizeof *record;
    atomic_store_explicit(&board->tray_tail, tail + need,
                          memory_order_release); /* T3: release, pairs with T4 */
    return ERR_OK;
}

/* True while the record's result may still be wanted. */
static bool record_live(const struct segment *segment, const struct tray_record *record)
{
    const struct slot *slot = &segment->slots[record->slot];
    struct claim claim = slot_claim_load(slot);
    if (claim.generation != record->generation)
        return false;
    if (claim.state == SLOT_DONE)
        return true;
    return claim.state == SLOT_RUNNING && claim.worker == record->worker &&
           claim.incarnation == record->incarnation && !slot_owner_dead(segment, slot);
}

enum err tray_reclaim(const struct segment *segment, uint32_t worker)
{
    struct board *board = &segment->boards[worker];
    uint64_t room = segment->shape.tray_bytes;
    uint64_t head = atomic_load_explicit(&board->tray_head, memory_order_relaxed);
    uint64_t tail =
        atomic_load_explicit(&board->tray_tail, memory_order_acquire); /* T4: acquire, pairs with T3 */
    if (tail - head > room || head % CACHE_LINE != 0)
        return ERR_CORRUPT;
    while (head != tail) {
        const struct tray_record *record = record_at(segment, worker, head);
        uint64_t rest = room - head % room;
        if (record->bytes > room)
            return ERR_CORRUPT; /* before it is rounded up, which could wrap around */
        uint64_t step = record->slot == SLOT_NONE ? record->bytes : record_room(record->bytes);
        if (step == 0 || step > rest || step > tail - head || step % CACHE_LINE != 0 ||
            (record->slot != SLOT_NONE &&
             (record->slot >= segment->shape.slot_count || record->worker != worker)))
            return ERR_CORRUPT;
        if (record->slot != SLOT_NONE && record_live(segment, record))
            break;
        head += step;
    }
    atomic_store_explicit(&board->tray_head, head, memory_order_release); /* T2: release, pairs with T1 */
    return ERR_OK;
}

uint64_t tray_used(const struct segment *segment, uint32_t worker)
{
    const struct board *board = &segment->boards[worker];
    /* A look: tray_put and tray_reclaim look for themselves. */
    return atomic_load_explicit(&board->tray_tail, memory_order_acquire) -
           atomic_load_explicit(&board->tray_head, memory_order_acquire);
}
