#include "dispatcher.h"

void cells_append(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    cell->next = CELL_END;
    cell->prev = list->last;
    if (list->last == CELL_END)
        list->first = slot;
    else
        dispatcher->cells[list->last].next = slot;
    list->last = slot;
    list->count++;
}

void cells_remove(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    struct cell *cell = &dispatcher->cells[slot];
    if (cell->prev == CELL_END)
        list->first = cell->next;
    else
        dispatcher->cells[cell->prev].next = cell->next;
    if (cell->next == CELL_END)
        list->last = cell->prev;
    else
        dispatcher->cells[cell->next].prev = cell->prev;
    cell->next = cell->prev = CELL_END;
    list->count--;
}

static int64_t seq_of(const struct dispatcher *dispatcher, uint32_t slot)
{
    return dispatcher->segment->slots[slot].spec.seq;
}

static void insert_before(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot, uint32_t next)
{
    struct cell *cell = &dispatcher->cells[slot];
    cell->next = next;
    cell->prev = dispatcher->cells[next].prev;
    if (cell->prev == CELL_END)
        list->first = slot;
    else
        dispatcher->cells[cell->prev].next = slot;
    dispatcher->cells[next].prev = slot;
    list->count++;
}

void cells_insert_by_seq(struct dispatcher *dispatcher, struct cell_list *list, uint32_t slot)
{
    int64_t seq = seq_of(dispatcher, slot);
    if (list->first != CELL_END && seq < seq_of(dispatcher, list->first)) {
        insert_before(dispatcher, list, slot, list->first);
        return;
    }
    uint32_t at = list->last;
    while (at != CELL_END && seq_of(dispatcher, at) > seq)
        at = dispatcher->cells[at].prev;
    if (at == CELL_END || dispatcher->cells[at].next == CELL_END)
        cells_append(dispatcher, list, slot);
    else
        insert_before(dispatcher, list, slot, dispatcher->cells[at].next);
}

void cells_go_live(struct dispatcher *dispatcher, uint32_t slot)
{
    dispatcher->cells[slot].place = CELL_LIVE;
    cells_append(dispatcher, &dispatcher->live, slot);
    dispatcher->live_by_level[dispatcher->cells[slot].level]++;
}

void cells_leave_live(struct dispatcher *dispatcher, uint32_t slot)
{
    cells_remove(dispatcher, &dispatcher->live, slot);
    dispatcher->live_by_level[dispatcher->cells[slot].level]--;
}

void cells_park(struct dispatcher *dispatcher, uint32_t slot, struct work *work)
{
    work->parked = dispatcher->cells[slot].parked;
    dispatcher->cells[slot].parked = work;
    dispatcher->any_parked = true;
}

void cells_leave_ready(struct dispatcher *dispatcher, uint32_t slot)
{
    cells_remove(dispatcher, &dispatcher->lanes[dispatcher->cells[slot].level].ready, slot);
}
