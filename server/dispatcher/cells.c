#include "dispatcher.h"

#include "check.h"
#include "clock.h"

void cells_append(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    cell->links[list->link].next = CELL_END;
    cell->links[list->link].prev = list->last;
    if (list->last == CELL_END)
        list->first = slot;
    else
        dispatcher->cells[list->last].links[list->link].next = slot;
    list->last = slot;
    list->count++;
}

void cells_remove(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    uint32_t next = cell->links[list->link].next, prev = cell->links[list->link].prev;
    if (prev == CELL_END)
        list->first = next;
    else
        dispatcher->cells[prev].links[list->link].next = next;
    if (next == CELL_END)
        list->last = prev;
    else
        dispatcher->cells[next].links[list->link].prev = prev;
    cell->links[list->link].next = cell->links[list->link].prev = CELL_END;
    list->count--;
}

static void insert_before(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot, uint32_t next)
{
    struct cell *cell = &dispatcher->cells[slot], *after = &dispatcher->cells[next];
    uint32_t prev = after->links[list->link].prev;
    cell->links[list->link].next = next;
    cell->links[list->link].prev = prev;
    if (prev == CELL_END)
        list->first = slot;
    else
        dispatcher->cells[prev].links[list->link].next = slot;
    after->links[list->link].prev = slot;
    list->count++;
}

/* By rising seq; cheap at either end. */
static void insert_by_seq(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    int64_t seq = dispatcher->cells[slot].seq;
    if (list->first != CELL_END && seq < dispatcher->cells[list->first].seq) {
        insert_before(dispatcher, list, slot, list->first);
        return;
    }
    uint32_t at = list->last;
    while (at != CELL_END && dispatcher->cells[at].seq > seq)
        at = dispatcher->cells[at].links[list->link].prev;
    if (at == CELL_END || dispatcher->cells[at].links[list->link].next == CELL_END)
        cells_append(dispatcher, list, slot);
    else
        insert_before(dispatcher, list, slot, dispatcher->cells[at].links[list->link].next);
}

static void place_lane(struct dispatcher *dispatcher, struct lane *lane)
{
    uint32_t first = lane->ready.first;
    lane->ready_seq = first == CELL_END ? NO_SEQ : dispatcher->cells[first].seq;
    lineup_place(&dispatcher->lineup, lane);
}

void cells_go_ready(struct dispatcher *dispatcher, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    cell->place = CELL_READY;
    insert_by_seq(dispatcher, &cell->lane->ready, slot);
    cells_append(dispatcher, &dispatcher->ready[cell->level], slot);
    place_lane(dispatcher, cell->lane);
}

void cells_leave_ready(struct dispatcher *dispatcher, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    CHECK(cell->place == CELL_READY);
    cells_remove(dispatcher, &cell->lane->ready, slot);
    cells_remove(dispatcher, &dispatcher->ready[cell->level], slot);
    place_lane(dispatcher, cell->lane); /* it stays: the slot still holds its job */
}

void cells_go_live(struct dispatcher *dispatcher, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    cell->place = CELL_LIVE;
    cell->published_ns = clock_mono_ns();
    cell->pool = (uint8_t)cell->lane->queue->pool;
    dispatcher->flows[cell->pool].live++;
    cells_append(dispatcher, &dispatcher->live, slot);
    cell->limited = lane_is_limited(cell->lane);
    if (cell->limited)
        cells_append(dispatcher, &dispatcher->exposed, slot);
}

void cells_leave_live(struct dispatcher *dispatcher, uint32_t slot, int64_t run_ns)
{
    static const int64_t MOST_NS = 31 * 86400 * NS_PER_SEC; /* more than the longest timeout */
    struct cell *cell = &dispatcher->cells[slot];
    if (run_ns > MOST_NS) /* a plugin wrote it, and its queue would never be next again */
        run_ns = MOST_NS;
    cells_remove(dispatcher, &dispatcher->live, slot);
    if (cell->limited)
        cells_remove(dispatcher, &dispatcher->exposed, slot);
    cell->limited = false;
    dispatcher->flows[cell->pool].live--;
    if (run_ns >= 0)
        dispatcher->flows[cell->pool].ended++;
    lineup_give(&dispatcher->lineup, cell->lane, cell->charged_ns, run_ns, clock_mono_ns());
}

void cells_park(struct dispatcher *dispatcher, uint32_t slot, struct work *work)
{
    work->parked = dispatcher->cells[slot].parked;
    dispatcher->cells[slot].parked = work;
    dispatcher->any_parked = true;
}
