/* Everything that is shared, at once, with threads in place of processes: arguments in the arena, slots,
 * ring, semaphores, trays, completions. One thread is the dispatcher, the others are workers. Run under
 * ThreadSanitizer by
 * ./test.sh tsan; the bytes of arguments and results are ordered by nothing but the words beside them. */
#include "segment_fixture.h"

#include "arena.h"
#include "ring.h"
#include "trays.h"

#include <pthread.h>

enum { WORKERS = 3, SLOTS = 16, INCARNATION = 7, JOBS = UNDER_TSAN ? 20000 : 60000 };
enum { ARGS_MAX = 900, RESULT_MAX = 2600 };

static struct ring *ring;
static struct arena arena;
static _Atomic bool stop;
static uint64_t in_trays, in_slots;

/* --- bytes that belong to a ticket --- */

static size_t bytes_of(uint64_t ticket, size_t most)
{
    uint64_t random = ticket;
    next_random(&random);
    return 1 + next_random(&random) % most;
}

static void fill(uint64_t ticket, char *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (char)(ticket * 31 + (ticket >> 32) + i);
}

static bool is_filled(uint64_t ticket, struct text text, size_t bytes)
{
    char expected[RESULT_MAX];
    fill(ticket, expected, bytes);
    return text.bytes == bytes && memcmp(text.at, expected, bytes) == 0;
}

/* --- a worker --- */

static bool take(uint32_t worker, uint64_t *ticket)
{
    uint64_t head;
    while (ring_peek(ring, &head, ticket)) {
        bool mine =
            slot_claim(&segment.slots[ticket_slot(*ticket)], ticket_generation(*ticket), worker, INCARNATION);
        ring_advance(ring, head);
        if (mine)
            return true;
    }
    return false;
}

static void put_into_slot(struct slot *slot, const char *result, size_t bytes)
{
    memcpy(slot->inline_result, result, bytes);
    slot->result_place = RESULT_INLINE;
}

static void put_into_tray(struct slot *slot, uint32_t me, uint64_t ticket, const char *result, size_t bytes)
{
    enum err err;
    while ((err = tray_put(&segment, me, ticket, INCARNATION, result, bytes, &slot->result_at)) == ERR_FULL) {
        sem_hint(&segment.header->done);
        sched_yield();
    }
    CHECK(err == ERR_OK);
    slot->result_place = RESULT_TRAY;
}

static void run_one(uint32_t me, uint64_t ticket)
{
    struct slot *slot = &segment.slots[ticket_slot(ticket)];
    struct text args;
    char result[RESULT_MAX];
    size_t bytes = bytes_of(ticket, RESULT_MAX);
    CHECK(slot_args(&segment, slot, &args) == ERR_OK && is_filled(ticket, args, bytes_of(ticket, ARGS_MAX)));
    fill(ticket, result, bytes);
    if (bytes <= SLOT_INLINE_BYTES)
        put_into_slot(slot, result, bytes);
    else
        put_into_tray(slot, me, ticket, result, bytes);
    slot->result_worker = me;
    slot->result_bytes = bytes;
    slot->result_sum = bytes_sum(result, bytes);
    slot_finish(slot, me, INCARNATION);
    board_complete(&segment.boards[me], ticket);
    sem_hint(&segment.header->done);
}

static void *work(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    uint64_t ticket;
    while (!atomic_load(&stop)) {
        if (take(me, &ticket))
            run_one(me, ticket);
        else
            sem_hint_wait(&segment.header->work[0], 1);
    }
    return NULL;
}

/* --- the dispatcher --- */

static bool publish(uint32_t number)
{
    struct slot *slot = &segment.slots[number];
    struct claim claim = slot_claim_load(slot);
    uint64_t ticket = ticket_pack(number, claim.generation + 1), at;
    size_t bytes = bytes_of(ticket, ARGS_MAX);
    if (claim.state != SLOT_FREE || arena_alloc(&arena, bytes, &at) != ERR_OK)
        return false;
    CHECK(slot_move(slot, claim, (struct claim){.generation = claim.generation, .state = SLOT_BUILDING}));
    fill(ticket, (char *)segment.arena + at, bytes);
    slot->args_at = at;
    slot->args_bytes = (uint32_t)bytes;
    slot_hold(slot);
    CHECK(slot_publish(slot) == ticket_generation(ticket));
    CHECK(ring_push(ring, ticket) == ERR_OK);
    sem_hint(&segment.header->work[0]);
    return true;
}

static bool collect(uint32_t number)
{
    struct slot *slot = &segment.slots[number];
    struct claim claim = slot_claim_load(slot);
    uint64_t ticket = ticket_pack(number, claim.generation);
    struct text result;
    if (claim.state != SLOT_DONE)
        return false;
    CHECK(slot_result(&segment, slot, &result) == ERR_OK);
    CHECK(is_filled(ticket, result, bytes_of(ticket, RESULT_MAX)));
    *(slot->result_place == RESULT_TRAY ? &in_trays : &in_slots) += 1;
    arena_release(&arena, slot->args_at);
    slot_let_go(slot);
    CHECK(tray_reclaim(&segment, claim.worker) == ERR_OK);
    return true;
}

static uint32_t collect_all(uint64_t turn)
{
    uint32_t ended = 0;
    uint64_t ticket;
    for (uint32_t i = 0; i < WORKERS; i++)
        while (board_take_completion(&segment.boards[i], &ticket))
            ended += collect(ticket_slot(ticket));
    for (uint32_t i = 0; turn % 16 == 0 && i < SLOTS; i++)
        ended += collect(i);
    return ended;
}

START_TEST(arguments_and_results_of_each_job_arrive_whole_with_three_workers_at_once)
{
    pthread_t threads[WORKERS];
    uint32_t begun = 0, ended = 0;
    uint64_t random = 1;
    ring = segment_ring(&segment, 0, 3);
    ck_assert_int_eq(arena_init(&arena, segment.shape.arena_bytes), ERR_OK);
    for (uint32_t i = 0; i < WORKERS; i++) {
        atomic_store(&segment.boards[i].incarnation, INCARNATION);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
    }
    for (uint64_t turn = 0; ended < JOBS; turn++) {
        if (begun < JOBS && publish(next_random(&random) % SLOTS))
            begun++;
        uint32_t more = collect_all(turn);
        ended += more;
        if (more == 0 && begun - ended >= SLOTS / 2)
            sem_hint_wait(&segment.header->done, 1);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(begun, JOBS);
    ck_assert_uint_eq(ended, JOBS);
    ck_assert_uint_eq(in_slots + in_trays, JOBS);
    ck_assert_uint_gt(in_slots, JOBS / 4);
    ck_assert_uint_gt(in_trays, JOBS / 4);
    ck_assert_uint_eq(arena.used, 0);
    ck_assert_uint_eq(ring_depth(ring), 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(tray_reclaim(&segment, i), ERR_OK);
        ck_assert_uint_eq(tray_used(&segment, i), 0);
    }
    arena_fini(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tests = tcase_create("threads");
    tcase_add_checked_fixture(tests, open_segment, close_segment);
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, arguments_and_results_of_each_job_arrive_whole_with_three_workers_at_once);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
