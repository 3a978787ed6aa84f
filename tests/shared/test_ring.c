#include "segment_fixture.h"

#include "ring.h"

#include <pthread.h>

static struct ring *ring;

static void setup(void)
{
    open_segment();
    ring = segment_ring(&segment, 0, 3);
}

static void push(uint64_t ticket)
{
    ck_assert_int_eq(ring_push(ring, ticket), ERR_OK);
}

/* The loop of ring.h. */
static bool take(uint32_t worker, uint64_t *ticket)
{
    uint64_t head;
    while (ring_peek(ring, &head, ticket)) {
        bool mine = slot_claim(&segment.slots[ticket_slot(*ticket)], ticket_generation(*ticket), worker, 7);
        ring_advance(ring, head);
        if (mine)
            return true;
    }
    return false;
}

/* --- one thread --- */

START_TEST(an_empty_ring_has_nothing_to_peek)
{
    uint64_t head, ticket;
    ck_assert(!ring_peek(ring, &head, &ticket));
    ck_assert_uint_eq(ring_depth(ring), 0);
}
END_TEST

START_TEST(tickets_come_out_in_the_order_in_which_they_went_in)
{
    uint64_t head, ticket;
    for (uint64_t i = 1; i <= 5; i++)
        push(i * 11);
    ck_assert_uint_eq(ring_depth(ring), 5);
    for (uint64_t i = 1; i <= 5; i++) {
        ck_assert(ring_peek(ring, &head, &ticket));
        ck_assert_uint_eq(ticket, i * 11);
        ring_advance(ring, head);
    }
    ck_assert(!ring_peek(ring, &head, &ticket));
}
END_TEST

START_TEST(a_peek_takes_nothing)
{
    uint64_t head, ticket;
    push(9);
    for (int i = 0; i < 3; i++) {
        ck_assert(ring_peek(ring, &head, &ticket));
        ck_assert_uint_eq(ticket, 9);
    }
    ck_assert_uint_eq(ring_depth(ring), 1);
}
END_TEST

START_TEST(an_advance_from_a_position_that_was_left_does_nothing)
{
    uint64_t head, ticket;
    push(1);
    push(2);
    ck_assert(ring_peek(ring, &head, &ticket));
    ring_advance(ring, head);
    ring_advance(ring, head); /* another consumer, later */
    ck_assert(ring_peek(ring, &head, &ticket));
    ck_assert_uint_eq(ticket, 2);
}
END_TEST

START_TEST(it_is_full_with_ring_cells_tickets_and_says_so)
{
    for (uint64_t i = 0; i < RING_CELLS; i++)
        push(i + 1);
    ck_assert_int_eq(ring_push(ring, 4711), ERR_FULL);
    ck_assert_uint_eq(ring_depth(ring), RING_CELLS);
    uint64_t head, ticket;
    ck_assert(ring_peek(ring, &head, &ticket));
    ck_assert_uint_eq(ticket, 1);
    ring_advance(ring, head);
    push(4711);
    ck_assert_int_eq(ring_push(ring, 4712), ERR_FULL);
}
END_TEST

START_TEST(it_wraps_many_times_without_mixing_tickets_up)
{
    uint64_t head, ticket, in = 0, out = 0, random = 5;
    while (out < 20 * RING_CELLS) {
        for (uint32_t n = next_random(&random) % RING_CELLS; n > 0 && ring_push(ring, in + 1) == ERR_OK; n--)
            in++;
        for (uint32_t n = next_random(&random) % RING_CELLS; n > 0 && ring_peek(ring, &head, &ticket); n--) {
            ck_assert_uint_eq(ticket, ++out);
            ring_advance(ring, head);
        }
        ck_assert_uint_eq(ring_depth(ring), in - out);
    }
}
END_TEST

START_TEST(clearing_forgets_what_lay_there_and_leaves_a_working_ring)
{
    uint64_t head, ticket, stale;
    for (uint64_t i = 0; i < RING_CELLS; i++)
        push(i + 1);
    ck_assert(ring_peek(ring, &stale, &ticket));
    ring_clear(ring);
    ck_assert_uint_eq(ring_depth(ring), 0);
    ck_assert(!ring_peek(ring, &head, &ticket));
    ring_advance(ring, stale); /* a consumer from before */
    ck_assert(!ring_peek(ring, &head, &ticket));
    push(77);
    ck_assert(ring_peek(ring, &head, &ticket));
    ck_assert_uint_eq(ticket, 77);
    ring_clear(ring);
    ring_clear(ring);
    ck_assert_uint_eq(ring_depth(ring), 0);
}
END_TEST

START_TEST(a_head_seen_before_a_late_tail_reads_as_empty_not_as_huge)
{
    push(1);
    atomic_store(&ring->head, 3); /* a head beyond the tail: what a stale tail looks like */
    uint64_t head, ticket;
    ck_assert(!ring_peek(ring, &head, &ticket));
    ck_assert_uint_eq(ring_depth(ring), 0);
}
END_TEST

/* --- with claims --- */

static uint64_t offer(uint32_t slot)
{
    uint64_t ticket = ticket_pack(slot, slot_offer(&segment.slots[slot]));
    push(ticket);
    return ticket;
}

START_TEST(a_cell_whose_taker_died_between_claim_and_advance_is_passed)
{
    uint64_t ticket, second;
    uint64_t first = offer(0);
    second = offer(1);
    ck_assert(slot_claim(&segment.slots[0], ticket_generation(first), 2, 7)); /* and never advances */
    ck_assert(take(1, &ticket));
    ck_assert_uint_eq(ticket, second);
    ck_assert_uint_eq(ring_depth(ring), 0);
    ck_assert_uint_eq(slot_claim_load(&segment.slots[0]).worker, 2);
}
END_TEST

START_TEST(a_cell_whose_taker_died_before_its_claim_is_taken_by_the_next)
{
    uint64_t head, ticket, first = offer(0);
    ck_assert(ring_peek(ring, &head, &ticket)); /* and dies */
    ck_assert(take(1, &ticket));
    ck_assert_uint_eq(ticket, first);
}
END_TEST

START_TEST(tickets_of_an_earlier_publication_are_passed)
{
    uint64_t ticket;
    offer(0);
    ck_assert(slot_unpublish(&segment.slots[0]));
    uint64_t again = ticket_pack(0, slot_publish(&segment.slots[0]));
    push(again);
    ck_assert(take(1, &ticket));
    ck_assert_uint_eq(ticket, again);
    ck_assert(!take(1, &ticket));
}
END_TEST

START_TEST(a_ring_of_nothing_but_stale_cells_is_emptied_in_one_look)
{
    uint64_t ticket;
    for (int i = 0; i < RING_CELLS; i++) {
        offer(0);
        ck_assert(slot_unpublish(&segment.slots[0]));
        slot_set_state(&segment.slots[0], SLOT_FREE);
    }
    ck_assert(!take(1, &ticket));
    ck_assert_uint_eq(ring_depth(ring), 0);
}
END_TEST

/* --- threads: each publication is claimed exactly once, or was taken back --- */

enum { CONSUMERS = 4, SLOTS = 16, PUBLICATIONS = 400000, GENERATIONS = PUBLICATIONS + 1 };

static struct {
    _Atomic uint8_t *seen[SLOTS];         /* [generation]: how often claimed or taken back */
    uint64_t args[SLOTS], results[SLOTS]; /* plain: ordered by the claim words alone */
    _Atomic bool stop;
    _Atomic uint64_t claimed;
} play;

static void note(uint32_t slot, uint32_t generation)
{
    CHECK(atomic_fetch_add_explicit(&play.seen[slot][generation], 1, memory_order_relaxed) == 0);
}

static void *consume(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    for (;;) {
        bool stop = atomic_load(&play.stop); /* before the last look */
        uint64_t ticket;
        if (take(me, &ticket)) {
            uint32_t slot = ticket_slot(ticket);
            note(slot, ticket_generation(ticket));
            CHECK(play.args[slot] == ticket); /* the argument of this publication, not of another */
            play.results[slot] = ~ticket;
            slot_finish(&segment.slots[slot], me, 7);
            board_complete(&segment.boards[me], ticket);
            atomic_fetch_add_explicit(&play.claimed, 1, memory_order_relaxed);
        } else if (stop) {
            return NULL;
        } else {
            sem_hint_wait(&segment.header->work[0], 1);
        }
    }
}

static void publish(uint32_t slot)
{
    struct slot *at = &segment.slots[slot];
    uint32_t next = slot_claim_load(at).generation + 1;
    play.args[slot] = ticket_pack(slot, next);
    CHECK(slot_publish(at) == next);
    if (ring_push(ring, ticket_pack(slot, next)) != ERR_OK) {
        ring_clear(ring);
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (slot_unpublish(&segment.slots[i])) {
                note(i, slot_claim_load(&segment.slots[i]).generation);
                publish(i);
            }
        }
    }
    sem_hint(&segment.header->work[0]);
}

/* What came back DONE becomes FREE. By completions, which are hints, and by a scan. */
static void collect(bool scan)
{
    uint64_t ticket;
    for (uint32_t i = 0; i < CONSUMERS; i++)
        while (board_take_completion(&segment.boards[i], &ticket))
            scan = true;
    for (uint32_t i = 0; scan && i < SLOTS; i++) {
        struct claim claim = slot_claim_load(&segment.slots[i]);
        if (claim.state != SLOT_DONE)
            continue;
        CHECK(play.results[i] == ~ticket_pack(i, claim.generation));
        slot_let_go(&segment.slots[i]);
    }
}

static uint32_t published(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < SLOTS; i++)
        sum += slot_claim_load(&segment.slots[i]).generation;
    return sum;
}

static void produce(void)
{
    uint64_t random = 1;
    for (uint64_t turn = 0; published() < PUBLICATIONS; turn++) {
        collect(turn % 64 == 0);
        uint32_t slot = next_random(&random) % SLOTS;
        struct claim claim = slot_claim_load(&segment.slots[slot]);
        if (claim.state == SLOT_FREE) {
            struct claim building = {.generation = claim.generation, .state = SLOT_BUILDING};
            CHECK(slot_move(&segment.slots[slot], claim, building));
            slot_hold(&segment.slots[slot]);
            publish(slot);
        } else if (next_random(&random) % 8 == 0 && slot_unpublish(&segment.slots[slot])) {
            note(slot,
                 slot_claim_load(&segment.slots[slot]).generation); /* taken back: nobody may claim it */
            publish(slot);
        }
    }
}

START_TEST(each_publication_is_claimed_by_exactly_one_of_four_threads)
{
    pthread_t threads[CONSUMERS];
    for (int i = 0; i < SLOTS; i++)
        ck_assert_ptr_nonnull(play.seen[i] = calloc(GENERATIONS + SLOTS, 1));
    for (uintptr_t i = 0; i < CONSUMERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, consume, (void *)i), 0);
    produce();
    atomic_store(&play.stop, true);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    collect(true);
    uint64_t taken_back = 0, claims = atomic_load(&play.claimed);
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct claim claim = slot_claim_load(&segment.slots[i]);
        ck_assert_int_eq(claim.state, SLOT_FREE); /* nothing is left behind */
        for (uint32_t generation = 1; generation <= claim.generation; generation++)
            ck_assert_uint_eq(atomic_load(&play.seen[i][generation]), 1);
        taken_back += claim.generation;
        free(play.seen[i]);
    }
    taken_back -= claims;
    ck_assert_uint_gt(claims, PUBLICATIONS / 40); /* however busy the machine is */
    ck_assert_uint_gt(taken_back, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *plain = tcase_create("one thread"), *claims = tcase_create("claims"),
          *threads = tcase_create("threads");
    tcase_add_checked_fixture(plain, setup, close_segment);
    tcase_add_test(plain, an_empty_ring_has_nothing_to_peek);
    tcase_add_test(plain, tickets_come_out_in_the_order_in_which_they_went_in);
    tcase_add_test(plain, a_peek_takes_nothing);
    tcase_add_test(plain, an_advance_from_a_position_that_was_left_does_nothing);
    tcase_add_test(plain, it_is_full_with_ring_cells_tickets_and_says_so);
    tcase_add_test(plain, it_wraps_many_times_without_mixing_tickets_up);
    tcase_add_test(plain, clearing_forgets_what_lay_there_and_leaves_a_working_ring);
    tcase_add_test(plain, a_head_seen_before_a_late_tail_reads_as_empty_not_as_huge);
    tcase_add_checked_fixture(claims, setup, close_segment);
    tcase_add_test(claims, a_cell_whose_taker_died_between_claim_and_advance_is_passed);
    tcase_add_test(claims, a_cell_whose_taker_died_before_its_claim_is_taken_by_the_next);
    tcase_add_test(claims, tickets_of_an_earlier_publication_are_passed);
    tcase_add_test(claims, a_ring_of_nothing_but_stale_cells_is_emptied_in_one_look);
    tcase_add_checked_fixture(threads, setup, close_segment);
    tcase_set_timeout(threads, 100);
    tcase_add_test(threads, each_publication_is_claimed_by_exactly_one_of_four_threads);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, claims);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
