/* The orders of docs/memory-order.md under Relacy, which runs C11 atomics with every value that a load may
 * see. The code of ring.c and slots.c is the code itself, as tests/model/c11 has cut it out (code.h); what
 * stands here are the threads around it, and the patterns whose code is tied to system calls or to bytes:
 * semaphores, trays, progress, deaths.
 *
 * A plain<> is plain memory: two accesses that are not ordered are a race, and an error. */
#include <relacy/relacy.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>

using namespace rl;

#define atomic_load_explicit(at, ...)         ((at)->load(__VA_ARGS__))
#define atomic_store_explicit(at, value, ...) ((at)->store(value, __VA_ARGS__))
#define atomic_compare_exchange_strong_explicit(at, expected, ...)                                           \
    ((at)->compare_exchange_strong(*(expected), __VA_ARGS__))
#define atomic_compare_exchange_weak_explicit(at, expected, ...)                                             \
    ((at)->compare_exchange_weak(*(expected), __VA_ARGS__))

#define CHECK             RL_ASSERT
#define CRASH_POINT(name) ((void)0)
#define MUST_USE

enum err { ERR_OK, ERR_FULL };

template <typename T> struct plain {
    rl::var<T> var;
    operator T()
    {
        return var($).load();
    }
    void operator=(T value)
    {
        var($).store(value);
    }
};

/* The orders are chosen at the start: those of the code, or one of them weakened. relaxed: no fence. */
static rl::memory_order orders[32];
#define ORDER(label) orders[label], $
#define FENCE(label)                                                                                         \
    do {                                                                                                     \
        if (orders[label] != rl::mo_relaxed)                                                                 \
            rl::atomic_thread_fence(ORDER(label));                                                           \
    } while (false)

enum { RING_CELLS = 2, WORKERS = 2, SLOTS = 2 };

struct board {
    rl::atomic<uint32_t> incarnation, waiting;
    rl::atomic<uint64_t> tray_head, tray_tail;
};

struct slot {
    rl::atomic<uint64_t> claim;
    plain<unsigned> payload, result;
};

struct segment {
    struct {
        uint32_t worker_count = WORKERS;
    } shape;
    struct board boards[WORKERS];
    struct slot slots[SLOTS];
};

#include "code.h"

/* What all scenarios begin with: slots HELD, boards and ring at 0. */
template <typename derived, thread_id_t threads> struct scenario : rl::test_suite<derived, threads> {
    struct segment segment;
    struct ring ring;

    void before()
    {
        ring.head.store(0, memory_order_relaxed);
        ring.tail.store(0, memory_order_relaxed);
        for (auto &cell : ring.cells)
            cell.store(0, memory_order_relaxed);
        for (auto &slot : segment.slots)
            slot.claim.store(claim_pack({.generation = 0, .state = SLOT_HELD}), memory_order_relaxed);
        for (auto &board : segment.boards) {
            board.incarnation.store(0, memory_order_relaxed);
            board.waiting.store(0, memory_order_relaxed);
            board.tray_head.store(0, memory_order_relaxed);
            board.tray_tail.store(0, memory_order_relaxed);
        }
    }

    uint32_t publish(uint32_t number)
    {
        struct slot *slot = &segment.slots[number];
        slot->payload = slot_claim_load(slot).generation + 1;
        return slot_publish(slot);
    }

    /* The loop of ring.h. */
    bool take(uint32_t worker, uint64_t *ticket)
    {
        uint64_t head;
        while (ring_peek(&ring, &head, ticket)) {
            struct slot *slot = &segment.slots[ticket_slot(*ticket)];
            bool mine = slot_claim(slot, ticket_generation(*ticket), worker, 0);
            ring_advance(&ring, head);
            if (mine) {
                RL_ASSERT(slot->payload == ticket_generation(*ticket));
                return true;
            }
        }
        return false;
    }
};

/* R1–R4, S1: two publications through the ring, and workers that look. Nothing is passed unclaimed. */
template <typename derived, unsigned workers, int looks>
struct through_the_ring : scenario<derived, 1 + workers> {
    uint32_t pushed;

    void thread(unsigned number)
    {
        uint64_t ticket;
        for (int look = 0; look < looks && number > 0; look++)
            this->take(number - 1, &ticket);
        for (pushed = number == 0 ? 0 : pushed; number == 0 && pushed < SLOTS; pushed++)
            if (ring_push(&this->ring, ticket_pack(pushed, this->publish(pushed))) != ERR_OK)
                return;
    }

    void after()
    {
        uint64_t head = this->ring.head.load(memory_order_seq_cst);
        for (uint32_t i = 0; i < pushed; i++)
            RL_ASSERT(i >= head || slot_claim_load(&this->segment.slots[i]).state != SLOT_QUEUED);
    }
};
struct publication : through_the_ring<publication, 1, 2> {
};
struct publication_pair : through_the_ring<publication_pair, 2, 1> {
};

/* S1, S2: payload to the worker, result to the front, the empty slot to the next publication. */
struct slot_life : scenario<slot_life, 2> {
    void thread(unsigned number)
    {
        struct slot *slot = &segment.slots[0];
        if (number == 0) {
            uint32_t generation = publish(0);
            for (int look = 0; look < 2; look++) {
                struct claim now = slot_claim_load(slot);
                if (now.state != SLOT_DONE)
                    continue;
                RL_ASSERT(slot->result == 100 + generation);
                CHECK(slot_move(slot, now, {.generation = now.generation, .state = SLOT_HELD}));
                generation = publish(0);
            }
            return;
        }
        for (uint32_t generation = 1; generation <= 2; generation++) {
            if (slot_claim(slot, generation, 0, 0)) {
                RL_ASSERT(slot->payload == generation);
                slot->result = 100 + generation;
                slot_finish(slot, 0, 0);
            }
        }
    }
};

/* S8, S9: an owner that has finished and died is never one that died while it ran. */
struct owner_dead : scenario<owner_dead, 2> {
    void thread(unsigned number)
    {
        struct slot *slot = &segment.slots[0];
        if (number == 0) {
            if (slot_claim_load(slot).state == SLOT_RUNNING)
                RL_ASSERT(!slot_owner_dead(&segment, slot));
            return;
        }
        publish(0);
        CHECK(slot_claim(slot, 1, 0, 0));
        slot->result = 1;
        slot_finish(slot, 0, 0);
        segment.boards[0].incarnation.store(1, ORDER(S9)); /* reaped: a death orders everything */
    }
};

/* D1, W1: who sleeps beside a job was seen by the dispatcher, and is woken. */
struct asleep : scenario<asleep, 2> {
    bool posted, sleeps;

    void before()
    {
        scenario::before();
        posted = sleeps = false;
    }

    void thread(unsigned number)
    {
        struct board *board = &segment.boards[0];
        if (number == 0) { /* publish_pool, post_work */
            CHECK(ring_push(&ring, ticket_pack(0, publish(0))) == ERR_OK);
            FENCE(D1);
            posted = board->waiting.load(memory_order_relaxed) != 0;
            return;
        }
        uint64_t head, ticket; /* take_job */
        board->waiting.store(1, ORDER(W1));
        FENCE(W1_FENCE);
        sleeps = !ring_peek(&ring, &head, &ticket);
    }

    void after()
    {
        RL_ASSERT(posted || !sleeps);
    }
};

/* T1–T4: a tray with room for one record. The record is read before its room is given away. */
struct tray : scenario<tray, 2> {
    plain<unsigned> record;

    void thread(unsigned number)
    {
        struct board *board = &segment.boards[0];
        uint64_t mine = 0;
        for (int look = 0; look < 3; look++) {
            if (number == 0) { /* tray_reclaim */
                uint64_t tail = board->tray_tail.load(ORDER(T4));
                if (tail == mine)
                    continue;
                RL_ASSERT(record == tail);
                board->tray_head.store(++mine, ORDER(T2));
            } else if (mine == board->tray_head.load(ORDER(T1))) { /* tray_put */
                record = (unsigned)(mine + 1);
                board->tray_tail.store(++mine, ORDER(T3));
            }
        }
    }
};

/* S3–S6: a copy of the progress between two equal, even versions is whole. The fields are relaxed here, as
 * docs/memory-order.md says of copies that are thrown away. */
struct progress : scenario<progress, 2> {
    rl::atomic<uint32_t> version, value, said;

    void before()
    {
        version.store(0, memory_order_relaxed);
        value.store(0, memory_order_relaxed);
        said.store(0, memory_order_relaxed);
    }

    void thread(unsigned number)
    {
        if (number == 0) { /* slot_progress_write */
            for (uint32_t i = 1; i <= 2; i++) {
                version.store(2 * i - 1, memory_order_relaxed);
                FENCE(S3);
                value.store(i, memory_order_relaxed);
                said.store(i, memory_order_relaxed);
                version.store(2 * i, ORDER(S5));
            }
            return;
        }
        uint32_t seen = version.load(ORDER(S6)); /* copy_progress */
        uint32_t first = value.load(memory_order_relaxed), second = said.load(memory_order_relaxed);
        FENCE(S4);
        if (seen % 2 == 0 && version.load(memory_order_relaxed) == seen)
            RL_ASSERT(first == second);
    }
};

/* c11 SCENARIO ITERATIONS ORDER…: 0 iterations are all there are, more are so many by chance; the orders by
 * number, in the order of code.h. */
int main(int argc, char **argv)
{
    rl::test_params params;
    if (argc != 3 + LABEL_COUNT)
        return 64;
    for (int i = 0; i < LABEL_COUNT; i++)
        orders[i] = (rl::memory_order)std::atoi(argv[3 + i]);
    long iterations = std::atol(argv[2]);
    params.search_type = iterations > 0 ? rl::random_scheduler_type : rl::fair_full_search_scheduler_type;
    params.iteration_count = iterations > 0 ? (rl::iteration_t)iterations : (rl::iteration_t)-1;
    bool (*const simulate[])(rl::test_params &) = {rl::simulate<publication>, rl::simulate<publication_pair>,
                                                   rl::simulate<slot_life>,   rl::simulate<owner_dead>,
                                                   rl::simulate<asleep>,      rl::simulate<tray>,
                                                   rl::simulate<progress>};
    const char *const names[] = {"publication", "publication-pair", "slot-life", "owner-dead", "asleep",
                                 "tray",        "progress"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (std::strcmp(argv[1], names[i]) == 0)
            return simulate[i](params) ? 0 : 1;
    return 64;
}
