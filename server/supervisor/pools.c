#include "supervisor.h"

#include "check.h"
#include "clock.h"
#include "crash_point.h"
#include "log.h"

enum { AGAIN_FIRST_MS = 10, AGAIN_LAST_MS = 5000 };

/* One pool while it is looked at. */
struct look {
    struct supervisor *supervisor;
    const struct pool_config *config;
    struct pool *pool;
    uint32_t number, first, end; /* of the pool; of its boards */
    int64_t now_ns;
};

static struct board *board_of(const struct look *look, uint32_t worker)
{
    return &look->supervisor->segment.boards[worker];
}

static uint32_t status_of(const struct look *look, uint32_t worker)
{
    return atomic_load_explicit(&board_of(look, worker)->status, memory_order_relaxed);
}

void pools_init(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->config->pool_count; i++)
        supervisor->pools[i] = (struct pool){.standby = NO_WORKER};
}

/* ── how many ── */

static uint32_t target(const struct look *look)
{
    const struct segment_header *header = look->supervisor->segment.header;
    int64_t wanted = atomic_load_explicit(&header->wanted[look->number], memory_order_relaxed);
    int64_t most = wanted < look->config->workers ? wanted : look->config->workers;
    return (uint32_t)(most > look->config->min_workers ? most : look->config->min_workers);
}

/* True for a place that is taken: by a worker, by what is left of one, or by the pause after one. A board in
 * standby takes no place: its worker takes over that of another one. */
static bool takes_place(const struct look *look, uint32_t worker)
{
    switch ((enum worker_status)status_of(look, worker)) {
    case WORKER_LIVE:
    case WORKER_DYING:
        return worker != look->pool->standby;
    case WORKER_BACKOFF:
        return look->now_ns < look->supervisor->workers[worker].respawn_ns;
    case WORKER_ABSENT:
    case WORKER_STANDBY:
        break;
    }
    return false;
}

static uint32_t places_taken(const struct look *look)
{
    uint32_t taken = 0;
    for (uint32_t i = look->first; i < look->end; i++)
        taken += takes_place(look, i);
    return taken;
}

/* Live, and not told to end. */
static bool serves(const struct look *look, uint32_t worker)
{
    return status_of(look, worker) == WORKER_LIVE && !look->supervisor->workers[worker].told_to_end;
}

static uint32_t serving(const struct look *look)
{
    uint32_t count = 0;
    for (uint32_t i = look->first; i < look->end; i++)
        count += serves(look, i);
    return count;
}

/* A board where a worker can be put now: after its pause, or empty, with room for the next death. */
static uint32_t free_board(const struct look *look)
{
    uint32_t empty = NO_WORKER;
    for (uint32_t i = look->end; i-- > look->first;) {
        uint32_t status = status_of(look, i);
        int64_t due_ns = look->supervisor->workers[i].respawn_ns;
        if (look->now_ns < due_ns || board_deaths_full(board_of(look, i)))
            continue;
        if (status == WORKER_BACKOFF)
            return i;
        if (status == WORKER_ABSENT)
            empty = i;
    }
    return empty;
}

/* Pauses that are over, but nobody is needed there. */
static void end_pauses(const struct look *look)
{
    for (uint32_t i = look->first; i < look->end; i++) {
        if (status_of(look, i) == WORKER_BACKOFF && look->now_ns >= look->supervisor->workers[i].respawn_ns)
            atomic_store_explicit(&board_of(look, i)->status, WORKER_ABSENT, memory_order_relaxed);
    }
}

static void fill(const struct look *look)
{
    uint32_t wanted = target(look);
    for (uint32_t taken = places_taken(look); taken < wanted; taken++) {
        uint32_t board = free_board(look);
        if (board == NO_WORKER)
            return;
        spawn_worker(look->supervisor, board, false);
        if (status_of(look, board) != WORKER_LIVE)
            return; /* the fork failed: later */
    }
}

/* What is more than wanted ends when it has found nothing for long, one a turn. */
static void shrink(const struct look *look)
{
    if (serving(look) <= target(look))
        return;
    for (uint32_t i = look->end; i-- > look->first;) {
        int64_t since_ns = atomic_load_explicit(&board_of(look, i)->idle_since_ns, memory_order_relaxed);
        if (!serves(look, i) || since_ns == 0 ||
            look->now_ns - since_ns < look->config->idle_timeout_ms * NS_PER_MS)
            continue;
        stops_drain(look->supervisor, i);
        return;
    }
}

/* ── replacement ── */

/* R2: acquire, pairs with R1 in worker.c. */
static uint32_t find_retiring(const struct look *look)
{
    for (uint32_t i = look->first; i < look->end; i++) {
        if (serves(look, i) &&
            atomic_load_explicit(&board_of(look, i)->retire, memory_order_acquire) != RETIRE_NONE)
            return i;
    }
    return NO_WORKER;
}

/* The worker that took the seat, or NO_WORKER. Whoever looks for an offer from now on finds none. */
static uint32_t withdraw_offer(const struct supervisor *supervisor, uint32_t pool)
{
    _Atomic uint32_t *seat = &supervisor->segment.header->seats[pool];
    uint32_t word = atomic_exchange_explicit(seat, SEAT_NONE, memory_order_acq_rel);
    return word == SEAT_NONE || word == SEAT_OFFERED ? NO_WORKER : word - 1;
}

/* Once the one who took the seat is dead, or when a place is empty for another reason: then the offer, if it
 * is taken at this moment, costs a fork later. */
static void release_standby(const struct look *look)
{
    uint32_t left = withdraw_offer(look->supervisor, look->number);
    struct board *board = board_of(look, look->pool->standby);
    if (left != NO_WORKER && look->supervisor->workers[left].pid == 0) {
        uint32_t reason = atomic_load_explicit(&board_of(look, left)->retire, memory_order_relaxed);
        atomic_store_explicit(&board->replaces, reason, memory_order_relaxed);
        LOG(WORKER_RECYCLE, LOG_TEXT("pool", look->config->name), LOG_INT("worker", left),
            LOG_TEXT("reason", retire_reason_text((enum retire_reason)reason)));
    }
    atomic_store_explicit(&board->status, WORKER_LIVE, memory_order_relaxed);
    atomic_store_explicit(&board->released, 1, memory_order_release); /* R6: pairs with R5 in worker.c */
    CRASH_POINT(SEAT_RELEASED);
    sem_hint(&board->go);
    look->pool->standby = NO_WORKER;
    look->pool->backoff_ms = look->pool->again_ns = 0;
}

static bool seat_left(const struct look *look)
{
    uint32_t word =
        atomic_load_explicit(&look->supervisor->segment.header->seats[look->number], memory_order_acquire);
    if (word == SEAT_NONE || word == SEAT_OFFERED)
        return false;
    CHECK(word - 1 >= look->first && word - 1 < look->end);
    return look->supervisor->workers[word - 1].pid == 0;
}

/* Those who wait for a job look at once; the others after their job. */
static void offer_seat(const struct look *look)
{
    struct segment_header *header = look->supervisor->segment.header;
    uint32_t none = SEAT_NONE;
    if (!atomic_compare_exchange_strong_explicit(&header->seats[look->number], &none, SEAT_OFFERED,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return; /* offered already */
    for (uint32_t i = serving(look); i > 0; i--)
        sem_hint(&header->work[look->number]);
}

/* At no moment do more workers take jobs than the pool has, and hardly ever fewer: the old one ends only once
 * the new one is ready, and the new one begins only once the old one is dead. */
static void go_on_replacing(const struct look *look)
{
    const struct board *board = board_of(look, look->pool->standby);
    if (seat_left(look) || places_taken(look) < target(look))
        release_standby(look);
    else if (atomic_load_explicit(&board->standing, memory_order_acquire) != 0) /* R4: pairs with R3 */
        offer_seat(look);
}

static void begin_replacement(const struct look *look)
{
    uint32_t board = free_board(look);
    if (board == NO_WORKER)
        return;
    spawn_worker(look->supervisor, board, true);
    if (status_of(look, board) == WORKER_STANDBY)
        look->pool->standby = board;
}

static void replace(const struct look *look)
{
    if (look->pool->standby != NO_WORKER) {
        if (status_of(look, look->pool->standby) == WORKER_STANDBY) /* else it is dead, and settled soon */
            go_on_replacing(look);
        return;
    }
    uint32_t old = look->now_ns >= look->pool->again_ns ? find_retiring(look) : NO_WORKER;
    if (old == NO_WORKER)
        return;
    if (serving(look) > target(look))
        stops_drain(look->supervisor, old); /* nobody need follow */
    else
        begin_replacement(look);
}

bool pools_standby_died(struct supervisor *supervisor, uint32_t worker)
{
    uint32_t number = segment_pool_of(&supervisor->segment, worker);
    struct pool *pool = &supervisor->pools[number];
    struct worker_child *child = &supervisor->workers[worker];
    if (pool->standby != worker)
        return false;
    withdraw_offer(supervisor, number);
    pool->standby = NO_WORKER;
    child->backoff_ms = child->respawn_ns = 0; /* the board is as good as before; the pool waits */
    if (child->death.cause == DEATH_DRAINED)
        return true;
    pool->backoff_ms = pool->backoff_ms == 0 ? AGAIN_FIRST_MS : pool->backoff_ms * 2;
    if (pool->backoff_ms > AGAIN_LAST_MS)
        pool->backoff_ms = AGAIN_LAST_MS;
    pool->again_ns = clock_mono_ns() + pool->backoff_ms * NS_PER_MS;
    return true;
}

void pools_turn(struct supervisor *supervisor)
{
    if (supervisor->draining ||
        atomic_load_explicit(&supervisor->segment.header->catalogue_epoch, memory_order_relaxed) == 0)
        return;
    for (uint32_t i = 0; i < supervisor->segment.shape.pool_count; i++) {
        const struct segment_pool *range = &supervisor->segment.shape.pools[i];
        struct look look = {.supervisor = supervisor,
                            .config = &supervisor->config->pools[i],
                            .pool = &supervisor->pools[i],
                            .number = i,
                            .first = range->first,
                            .end = range->first + range->count,
                            .now_ns = clock_mono_ns()};
        replace(&look);
        fill(&look);
        end_pauses(&look);
        shrink(&look);
    }
}
