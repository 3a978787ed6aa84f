#include "scoreboard.h"

#include "check.h"
#include "clock.h"

#include <sched.h>
#include <unistd.h>

static const char *const CAUSES[DEATH_CAUSE_COUNT] = {
#define C(name, text) text,
    DEATH_CAUSES(C)
#undef C
};

const char *death_cause_text(enum death_cause cause)
{
    CHECK(cause < DEATH_CAUSE_COUNT);
    return CAUSES[cause];
}

static const char *const REASONS[RETIRE_REASON_COUNT] = {
#define R(name, text) text,
    RETIRE_REASONS(R)
#undef R
};

const char *retire_reason_text(enum retire_reason reason)
{
    CHECK(reason < RETIRE_REASON_COUNT);
    return REASONS[reason];
}

uint64_t board_begin(struct board *board, uint64_t ticket, int64_t soft_ns, int64_t kill_after_ns)
{
    uint64_t seen = atomic_load_explicit(&board->run, memory_order_relaxed);
    CHECK(run_phase(seen) == RUN_IDLE);
    atomic_store_explicit(&board->group, 0, memory_order_relaxed);
    atomic_store_explicit(&board->ticket, ticket, memory_order_relaxed);
    atomic_store_explicit(&board->soft_ns, soft_ns, memory_order_relaxed);
    atomic_store_explicit(&board->kill_after_ns, kill_after_ns, memory_order_relaxed);
    uint64_t run = run_pack(run_number(seen) + 1, RUN_RUNNING);
    atomic_store_explicit(&board->run, run,
                          memory_order_release); /* B1: release, pairs with B2 in the supervisor */
    return run;
}

enum stop_cause board_finish(struct board *board)
{
    uint64_t seen = atomic_load_explicit(&board->run, memory_order_acquire);
    for (;;) {
        enum run_phase phase = run_phase(seen);
        if (phase == RUN_KILLED) {
            for (;;)
                pause(); /* rule 1: the kill is on its way */
        }
        if (phase == RUN_SIGNALLING) {
            sched_yield(); /* the supervisor is between two lines */
            seen = atomic_load_explicit(&board->run, memory_order_acquire);
            continue;
        }
        CHECK(phase == RUN_RUNNING || phase == RUN_STOPPING);
        uint64_t next = run_pack(run_number(seen), RUN_FINISHING);
        if (atomic_compare_exchange_strong_explicit(&board->run, &seen, next,
                                                    memory_order_acq_rel, /* B8: acquire, pairs with B9 */
                                                    memory_order_acquire))
            return phase == RUN_STOPPING
                       ? (enum stop_cause)atomic_load_explicit(&board->stop_cause, memory_order_relaxed)
                       : STOP_NONE;
    }
}

void board_idle(struct board *board)
{
    uint64_t seen = atomic_load_explicit(&board->run, memory_order_relaxed);
    CHECK(run_phase(seen) == RUN_FINISHING);
    atomic_store_explicit(&board->run, run_pack(run_number(seen), RUN_IDLE), memory_order_release);
}

bool board_stopping(const struct board *board)
{
    return run_phase(atomic_load_explicit(&board->run, memory_order_relaxed)) != RUN_RUNNING;
}

void board_complete(struct board *board, uint64_t ticket)
{
    uint32_t written = atomic_load_explicit(&board->completions_written, memory_order_relaxed);
    uint32_t read = atomic_load_explicit(&board->completions_read, memory_order_acquire); /* pairs with B10 */
    if (written - read >= COMPLETIONS)
        return;
    atomic_store_explicit(&board->completions[written % COMPLETIONS], ticket, memory_order_relaxed);
    atomic_store_explicit(&board->completions_written, written + 1,
                          memory_order_release); /* B3: pairs with B4 */
}

bool board_take_completion(struct board *board, uint64_t *ticket)
{
    uint32_t read = atomic_load_explicit(&board->completions_read, memory_order_relaxed);
    if (atomic_load_explicit(&board->completions_written, memory_order_acquire) ==
        read) /* B4: pairs with B3 */
        return false;
    *ticket = atomic_load_explicit(&board->completions[read % COMPLETIONS], memory_order_relaxed);
    atomic_store_explicit(&board->completions_read, read + 1,
                          memory_order_release); /* B10: the place is free once it was read */
    return true;
}

bool board_move_run(struct board *board, uint64_t seen, enum run_phase phase)
{
    return atomic_compare_exchange_strong_explicit(&board->run, &seen, run_pack(run_number(seen), phase),
                                                   memory_order_acq_rel, /* B9: the cause before the phase */
                                                   memory_order_relaxed);
}

bool board_deaths_full(const struct board *board)
{
    return atomic_load_explicit(&board->deaths_written, memory_order_relaxed) -
               atomic_load_explicit(&board->deaths_read, memory_order_acquire) >= /* pairs with B11 */
           DEATHS;
}

bool board_add_death(struct board *board, const struct death *death)
{
    if (board_deaths_full(board))
        return false;
    uint32_t written = atomic_load_explicit(&board->deaths_written, memory_order_relaxed);
    board->deaths[written % DEATHS] = *death;
    atomic_store_explicit(&board->deaths_written, written + 1, memory_order_release); /* B5: pairs with B6 */
    return true;
}

bool board_read_death(const struct board *board, struct death *death)
{
    uint32_t read = atomic_load_explicit(&board->deaths_read, memory_order_relaxed);
    if (atomic_load_explicit(&board->deaths_written, memory_order_acquire) == read) /* B6: pairs with B5 */
        return false;
    *death = board->deaths[read % DEATHS];
    return true;
}

bool board_overfull(const struct board *board)
{
    return atomic_load_explicit(&board->deaths_written, memory_order_relaxed) -
                   atomic_load_explicit(&board->deaths_read, memory_order_relaxed) >
               DEATHS ||
           atomic_load_explicit(&board->completions_written, memory_order_relaxed) -
                   atomic_load_explicit(&board->completions_read, memory_order_relaxed) >
               COMPLETIONS;
}

void board_ack_death(struct board *board)
{
    atomic_fetch_add_explicit(&board->deaths_read, 1,
                              memory_order_release); /* B11: the place is free once it was read */
}
