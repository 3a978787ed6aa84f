#include "dispatcher.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "ring.h"
#include "scoreboard.h"

#include <errno.h>
#include <unistd.h>

enum { SAMPLE_MS = 2, GROW_MS = 20 };

/* --- out, and back --- */

static bool push(struct dispatcher *dispatcher, uint32_t number, uint32_t pool, uint32_t level)
{
    struct slot *slot = &dispatcher->segment->slots[number];
    CRASH_POINT(PUBLISH_READY);
    uint32_t generation = slot_publish(slot); /* P1: QUEUED first, then the cell and the tail (ring_push) */
    CRASH_POINT(PUBLISH_QUEUED);
    cells_go_live(dispatcher, number);
    return ring_push(segment_ring(dispatcher->segment, pool, level), ticket_pack(number, generation)) ==
           ERR_OK;
}

bool publish_take_back(struct dispatcher *dispatcher, uint32_t number)
{
    const struct cell *cell = &dispatcher->cells[number];
    if (!slot_unpublish(&dispatcher->segment->slots[number]))
        return false;
    CRASH_POINT(TAKEN_BACK);
    dispatcher->stale[cell->pool] |= (uint16_t)(1u << cell->level); /* its ticket still lies there */
    lineup_wait(dispatcher->cells[number].lane, 1);
    cells_leave_live(dispatcher, number, -1);
    cells_go_ready(dispatcher, number);
    return true;
}

void publish_take_all_back(struct dispatcher *dispatcher)
{
    uint32_t next;
    for (uint32_t at = dispatcher->live.first; at != CELL_END; at = next) {
        next = dispatcher->cells[at].links[dispatcher->live.link].next;
        publish_take_back(dispatcher, at);
    }
}

/* Takes back every QUEUED slot of a ring and empties it: it holds tickets that are void, and would look
 * fuller than it is. What is still to go out is published anew, in order. */
static void rebuild(struct dispatcher *dispatcher, uint32_t pool, uint32_t level)
{
    uint32_t next;
    ring_clear(segment_ring(dispatcher->segment, pool, level));
    for (uint32_t at = dispatcher->live.first; at != CELL_END; at = next) {
        const struct cell *cell = &dispatcher->cells[at];
        next = cell->links[dispatcher->live.link].next;
        if (cell->level == level && cell->pool == pool)
            publish_take_back(dispatcher, at);
    }
    dispatcher->stale[pool] &= (uint16_t) ~(1u << level);
}

/* Limited jobs that no worker came for: they hold a place that something more urgent may want, and when they
 * start is what a rate is about. Those that were claimed need no more looking at. */
static void take_back_late(struct dispatcher *dispatcher, int64_t now_ns)
{
    uint32_t next;
    for (uint32_t at = dispatcher->exposed.first; at != CELL_END; at = next) {
        struct cell *cell = &dispatcher->cells[at];
        next = cell->links[dispatcher->exposed.link].next;
        if (slot_claim_load(&dispatcher->segment->slots[at]).state != SLOT_QUEUED) {
            cells_remove(dispatcher, &dispatcher->exposed, at);
            cell->limited = false;
            continue;
        }
        if (now_ns - cell->published_ns < TAKE_BACK_MS * NS_PER_MS)
            return; /* in the order of publishing */
        publish_take_back(dispatcher, at);
    }
}

/* --- how far ahead --- */

static uint32_t waiting_workers(const struct dispatcher *dispatcher, uint32_t pool)
{
    const struct segment_pool *range = &dispatcher->segment->shape.pools[pool];
    uint32_t waiting = 0;
    for (uint32_t i = range->first; i < range->first + range->count; i++)
        waiting += atomic_load_explicit(&dispatcher->segment->boards[i].waiting, memory_order_relaxed);
    return waiting;
}

/* As many as wait for work, and what all of them end within WINDOW_MS: so the rings do not run dry between
 * two turns, and little is out when something more urgent comes. */
static uint64_t window(struct dispatcher *dispatcher, uint32_t pool, uint32_t waiting, int64_t now_ns)
{
    struct pool_flow *flow = &dispatcher->flows[pool];
    int64_t elapsed_ns = now_ns - flow->sampled_ns;
    if (elapsed_ns >= SAMPLE_MS * NS_PER_MS) {
        double per_ms = (double)(flow->ended - flow->sampled) * NS_PER_MS / (double)elapsed_ns;
        flow->per_ms = per_ms > flow->per_ms ? per_ms : 0.7 * flow->per_ms + 0.3 * per_ms;
        flow->sampled = flow->ended;
        flow->sampled_ns = now_ns;
    }
    double ahead = 1 + flow->per_ms * WINDOW_MS;
    return (uint64_t)(ahead < WINDOW_MOST ? ahead : WINDOW_MOST) + waiting;
}

static uint64_t depth(const struct dispatcher *dispatcher, uint32_t pool, uint32_t level)
{
    return ring_depth(segment_ring(dispatcher->segment, pool, level));
}

/* min(ready, idle) tokens, less those that lie there already. Missing ones cost a hang, spare ones an empty
 * look. A token may lie there while workers sleep, for whoever was to be woken by it, or to wake somebody,
 * was killed: until there is none, those that lie there do not count. */
static void post_work(struct dispatcher *dispatcher, uint32_t pool)
{
    struct pool_flow *flow = &dispatcher->flows[pool];
    atomic_thread_fence(
        memory_order_seq_cst); /* D1: the tails before this look; pairs with W1 in the worker */
    uint32_t waiting = waiting_workers(dispatcher, pool);
    if (waiting == 0)
        return;
    uint64_t wanted = 0;
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
        wanted += depth(dispatcher, pool, level);
    if (wanted > waiting)
        wanted = waiting;
    sem_t *work = &dispatcher->segment->header->work[pool];
    int there = 0;
    sem_getvalue(work, &there);
    flow->doubtful = flow->doubtful && there > 0;
    for (uint64_t i = there > 0 && !flow->doubtful ? (uint64_t)there : 0; i < wanted; i++)
        sem_hint(work);
    CRASH_POINT(PUBLISH_POSTED);
}

/* --- what goes out --- */

/* The first job of the lane, which lies in a slot. */
static void publish_one(struct dispatcher *dispatcher, struct lane *lane, uint32_t pool, int64_t now_ns)
{
    uint32_t slot = lane->ready.first, level = lane->level;
    struct cell *cell = &dispatcher->cells[slot];
    if (cell->expires_ms > 0 && cell->expires_ms <= clock_real_ms()) {
        cancel_expired(dispatcher, slot);
        return;
    }
    cell->charged_ns = lineup_take(&dispatcher->lineup, lane, now_ns);
    cells_leave_ready(dispatcher, slot);
    if (lane->cold_seq != NO_SEQ && lane->ready.count < LOAD_LOW)
        fetch_want(dispatcher, lane, false);
    if (!push(dispatcher, slot, pool, level))
        rebuild(dispatcher, pool, level); /* RING_CELLS exceeds every window: there is room afterwards */
    CRASH_POINT(PUBLISH_TAIL);
}

/* The window is that of this level and those above, so that urgent work is published however much less urgent
 * work is out, and less urgent work is not while that would only lie there. */
static uint64_t publish_level(struct dispatcher *dispatcher, uint32_t pool, uint32_t level, uint64_t out,
                              uint64_t most, int64_t now_ns)
{
    struct lane *lane;
    while (out < most && (lane = lineup_next(&dispatcher->lineup, pool, level, now_ns)) != NULL) {
        if (lane->cold_seq < lane->ready_seq) {
            fetch_want(dispatcher, lane, true);
            continue;
        }
        publish_one(dispatcher, lane, pool, now_ns);
        out++;
    }
    return out;
}

/* How many workers the pool should have: as many as jobs are out, and, once more has waited for GROW_MS than
 * goes out, one for each that waits. */
static void want_workers(struct dispatcher *dispatcher, uint32_t pool, bool backlog, int64_t now_ns)
{
    const struct pool_config *config = &dispatcher->config->pools[pool];
    struct pool_flow *flow = &dispatcher->flows[pool];
    if (pool >= dispatcher->config->pool_count || config->min_workers >= config->workers)
        return;
    flow->backlog_since_ns = !backlog ? 0 : flow->backlog_since_ns > 0 ? flow->backlog_since_ns : now_ns;
    int64_t wanted = flow->live;
    if (backlog && now_ns - flow->backlog_since_ns >= GROW_MS * NS_PER_MS) {
        for (struct queue *queue = lineup_first_queue(&dispatcher->lineup); queue;
             queue = lineup_next_queue(queue))
            if (queue->pool == pool)
                wanted += queue->waiting;
    }
    uint32_t next = wanted > config->workers ? (uint32_t)config->workers : (uint32_t)wanted;
    uint32_t before =
        atomic_exchange_explicit(&dispatcher->segment->header->wanted[pool], next, memory_order_relaxed);
    uint64_t one = 1;
    if (next > before && write(dispatcher->supervisor_wake_fd, &one, sizeof one) < 0)
        CHECK(errno == EAGAIN);
}

static bool any_in_line(const struct dispatcher *dispatcher, uint32_t pool)
{
    for (int level = 0; level < PRIORITY_COUNT; level++)
        if (dispatcher->lineup.pools[pool].levels[level].count > 0)
            return !dispatcher->lineup.paused;
    return false;
}

/* Jobs are kept back for want of workers that wait. One that begins to wait from here on sees that, and says
 * so; one that has begun meanwhile was not counted: another turn. */
static void say_backlog(struct dispatcher *dispatcher, uint32_t pool, bool backlog, uint32_t waiting)
{
    struct segment_header *header = dispatcher->segment->header;
    atomic_store_explicit(&header->backlog[pool], backlog, memory_order_relaxed);
    if (!backlog)
        return;
    atomic_thread_fence(
        memory_order_seq_cst); /* D2: the backlog before this look; pairs with W1, W2 in the worker */
    if (waiting_workers(dispatcher, pool) > waiting)
        sem_hint(&header->done);
}

static void publish_pool(struct dispatcher *dispatcher, uint32_t pool, int64_t now_ns)
{
    uint32_t waiting = waiting_workers(dispatcher, pool);
    uint64_t out = 0, most = window(dispatcher, pool, waiting, now_ns);
    for (uint32_t level = 0; level < PRIORITY_COUNT && dispatcher->stale[pool] != 0; level++)
        if (dispatcher->stale[pool] & 1u << level)
            rebuild(dispatcher, pool, level);
    bool more = false;
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        if (more && depth(dispatcher, pool, (uint32_t)level) > 0)
            rebuild(dispatcher, pool,
                    (uint32_t)level); /* or a worker would take it before what is more urgent */
        out = publish_level(dispatcher, pool, (uint32_t)level, out + depth(dispatcher, pool, (uint32_t)level),
                            most, now_ns);
        more = more || dispatcher->lineup.pools[pool].levels[level].count > 0;
    }
    bool backlog = any_in_line(dispatcher, pool);
    want_workers(dispatcher, pool, backlog, now_ns);
    say_backlog(dispatcher, pool, backlog, waiting);
    if (dispatcher->flows[pool].live > 0)
        post_work(dispatcher, pool);
}

void publish_ready(struct dispatcher *dispatcher)
{
    int64_t now_ns = clock_mono_ns();
    bool draining =
        atomic_load_explicit(&dispatcher->segment->header->draining, memory_order_relaxed) != DRAIN_NONE;
    lineup_tick(&dispatcher->lineup, now_ns, &dispatcher->next_gate_ns);
    lineup_measure(&dispatcher->lineup, now_ns);
    take_back_late(dispatcher, now_ns);
    for (uint32_t pool = 0; pool < dispatcher->segment->shape.pool_count && !draining; pool++)
        publish_pool(dispatcher, pool, now_ns);
}
