#include "supervisor.h"

#include "check.h"
#include "clock.h"
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
        supervisor->pools[i] = (struct pool){.standby = NO_WORKER, .replaced = NO_WORKER};
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

static void release_standby(const struct look *look)
{
    uint32_t standby = look->pool->standby;
    struct board *board = board_of(look, standby);
    atomic_store_explicit(&board->status, WORKER_LIVE, memory_order_relaxed);
    atomic_store_explicit(&board->released, 1, memory_order_release); /* R6: pairs with R5 in worker.c */
    sem_hint(&board->go);
    look->pool->standby = look->pool->replaced = NO_WORKER;
    look->pool->backoff_ms = look->pool->again_ns = 0;
}

static void begin_replacement(const struct look *look, uint32_t old, enum retire_reason reason)
{
    uint32_t board = free_board(look);
    if (board == NO_WORKER)
        return;
    spawn_worker(look->supervisor, board, true);
    if (status_of(look, board) != WORKER_STANDBY)
        return;
    atomic_store_explicit(&board_of(look, board)->replaces, reason, memory_order_relaxed);
    look->pool->standby = board;
    look->pool->replaced = old;
    look->pool->replaced_pid = look->supervisor->workers[old].pid;
    LOG(WORKER_RECYCLE, LOG_TEXT("pool", look->config->name), LOG_INT("worker", old),
        LOG_TEXT("reason", retire_reason_text(reason)));
}

/* One that serves, or one that ends already and lost the replacement that stood by for it. */
static bool may_be_replaced(const struct look *look, uint32_t worker)
{
    return serves(look, worker) ||
           (status_of(look, worker) == WORKER_LIVE && look->supervisor->workers[worker].recycled &&
            serving(look) < target(look));
}

/* R2: acquire, pairs with R1 in worker.c. The longest serving one first, so that nobody waits for ever. */
static uint32_t find_retiring(const struct look *look, enum retire_reason *reason)
{
    uint32_t found = NO_WORKER;
    for (uint32_t i = look->first; i < look->end; i++) {
        uint32_t word = atomic_load_explicit(&board_of(look, i)->retire, memory_order_acquire);
        if (word == RETIRE_NONE || word >= RETIRE_REASON_COUNT || !may_be_replaced(look, i))
            continue;
        if (found != NO_WORKER &&
            look->supervisor->workers[i].spawned_ns >= look->supervisor->workers[found].spawned_ns)
            continue;
        found = i;
        *reason = (enum retire_reason)word;
    }
    return found;
}

/* The old one ends once the new one is ready, and the new one begins once the old one is dead: at no moment
 * are there more workers that take jobs than the pool has, and hardly ever fewer. */
static void go_on_replacing(const struct look *look)
{
    struct pool *pool = look->pool;
    struct worker_child *old = &look->supervisor->workers[pool->replaced];
    if (old->pid != pool->replaced_pid) {
        release_standby(look); /* also when the old one died by itself */
        return;
    }
    bool ready = atomic_load_explicit(&board_of(look, pool->standby)->standing, memory_order_acquire) !=
                 0; /* R4: pairs with R3 in worker.c */
    if (ready && !old->told_to_end) {
        old->recycled = true;
        stops_drain(look->supervisor, pool->replaced);
    }
}

static void replace(const struct look *look)
{
    enum retire_reason reason = RETIRE_NONE;
    if (look->pool->standby != NO_WORKER) {
        if (status_of(look, look->pool->standby) == WORKER_STANDBY)
            go_on_replacing(look);
        return;
    }
    uint32_t old = look->now_ns >= look->pool->again_ns ? find_retiring(look, &reason) : NO_WORKER;
    if (old == NO_WORKER)
        return;
    if (serving(look) > target(look)) {
        look->supervisor->workers[old].recycled = true;
        stops_drain(look->supervisor, old); /* nobody need follow */
    } else {
        begin_replacement(look, old, reason);
    }
}

bool pools_standby_died(struct supervisor *supervisor, uint32_t worker)
{
    struct pool *pool = &supervisor->pools[segment_pool_of(&supervisor->segment, worker)];
    struct worker_child *child = &supervisor->workers[worker];
    if (pool->standby != worker)
        return false;
    pool->standby = pool->replaced = NO_WORKER;
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
