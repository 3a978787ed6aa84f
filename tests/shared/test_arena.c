#include "segment_fixture.h"

#include "arena.h"

#include <signal.h>

enum { BYTES = 1 << 16, BLOCKS = BYTES / ARENA_BLOCK_BYTES };

static struct arena arena;

static void setup(void)
{
    ck_assert_int_eq(arena_init(&arena, BYTES), ERR_OK);
}

static void teardown(void)
{
    arena_fini(&arena);
}

static uint64_t take(size_t bytes)
{
    uint64_t at = UINT64_MAX;
    ck_assert_int_eq(arena_alloc(&arena, bytes, &at), ERR_OK);
    return at;
}

/* The whole of it is one free block again. */
static void assert_whole(struct arena *of)
{
    uint64_t at;
    ck_assert_uint_eq(of->used, 0);
    ck_assert_int_eq(arena_alloc(of, (size_t)of->bytes, &at), ERR_OK);
    ck_assert_uint_eq(at, 0);
    arena_release(of, at);
}

/* --- allocating --- */

START_TEST(a_new_arena_is_one_free_block)
{
    ck_assert_uint_eq(arena.bytes, BYTES);
    assert_whole(&arena);
}
END_TEST

START_TEST(odd_sizes_are_rounded_down_to_a_power_of_two)
{
    struct arena odd;
    ck_assert_int_eq(arena_init(&odd, 3 * BYTES - 1), ERR_OK);
    ck_assert_uint_eq(odd.bytes, 2 * BYTES);
    assert_whole(&odd);
    arena_fini(&odd);
    ck_assert_int_eq(arena_init(&odd, ARENA_BLOCK_BYTES), ERR_OK);
    ck_assert_uint_eq(odd.bytes, ARENA_BLOCK_BYTES);
    assert_whole(&odd);
    arena_fini(&odd);
}
END_TEST

START_TEST(blocks_are_powers_of_two_and_counted_in_full)
{
    static const struct {
        size_t bytes;
        uint64_t used;
    } CASES[] = {{1, 128}, {128, 128}, {129, 256}, {256, 256}, {257, 512}, {1000, 1024}, {BYTES, BYTES}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        uint64_t at = take(CASES[i].bytes);
        ck_assert_uint_eq(arena.used, CASES[i].used);
        ck_assert_uint_eq(at % CASES[i].used, 0);
        arena_release(&arena, at);
        ck_assert_uint_eq(arena.used, 0);
    }
}
END_TEST

START_TEST(it_can_be_filled_to_the_last_byte_and_then_is_full)
{
    uint64_t at;
    for (int i = 0; i < BLOCKS; i++)
        take(1);
    ck_assert_uint_eq(arena.used, BYTES);
    ck_assert_int_eq(arena_alloc(&arena, 1, &at), ERR_FULL);
    arena_release(&arena, 5 * ARENA_BLOCK_BYTES);
    ck_assert_uint_eq(take(1), 5 * ARENA_BLOCK_BYTES);
}
END_TEST

START_TEST(what_is_larger_than_the_arena_is_full_not_an_overrun)
{
    uint64_t at;
    ck_assert_int_eq(arena_alloc(&arena, BYTES + 1, &at), ERR_FULL);
    ck_assert_int_eq(arena_alloc(&arena, UINT32_MAX, &at), ERR_FULL);
    assert_whole(&arena);
}
END_TEST

START_TEST(neighbours_that_are_not_buddies_do_not_join)
{
    uint64_t at[BLOCKS], large;
    for (int i = 0; i < BLOCKS; i++)
        at[i] = take(1);
    arena_release(&arena, 1 * ARENA_BLOCK_BYTES);
    arena_release(&arena, 2 * ARENA_BLOCK_BYTES);
    ck_assert_int_eq(arena_alloc(&arena, 256, &large), ERR_FULL);
    arena_release(&arena, 3 * ARENA_BLOCK_BYTES);
    ck_assert_int_eq(arena_alloc(&arena, 256, &large), ERR_OK);
    ck_assert_uint_eq(large, 2 * ARENA_BLOCK_BYTES);
    ck_assert_uint_eq(at[0] % ARENA_BLOCK_BYTES, 0);
}
END_TEST

START_TEST(allocating_nothing_aborts)
{
    uint64_t at;
    (void)!arena_alloc(&arena, 0, &at);
}
END_TEST

START_TEST(releasing_what_is_not_taken_aborts)
{
    static const uint64_t PLACES[] = {128, 64, BYTES, 0};
    take(256);
    if (PLACES[_i] == 0)
        arena_release(&arena, 0);
    arena_release(&arena, PLACES[_i]);
}
END_TEST

/* --- claiming --- */

START_TEST(a_claim_takes_just_its_block)
{
    ck_assert_int_eq(arena_claim(&arena, 512, 200), ERR_OK);
    ck_assert_uint_eq(arena.used, 256);
    uint64_t at;
    for (uint64_t used = arena.used; arena_alloc(&arena, 1, &at) == ERR_OK; used = arena.used) {
        ck_assert_uint_eq(arena.used, used + ARENA_BLOCK_BYTES);
        ck_assert(at < 512 || at >= 768);
    }
    ck_assert_uint_eq(arena.used, BYTES);
}
END_TEST

START_TEST(a_claim_that_cannot_be_is_corrupt_and_changes_nothing)
{
    static const struct {
        uint64_t at;
        size_t bytes;
    } CASES[] = {{0, 0},         {64, 10},           {BYTES, 1},     {BYTES + 128, 1},
                 {128, 256},     {BYTES / 2, BYTES}, {0, BYTES + 1}, {UINT64_MAX - 127, 1},
                 {0, UINT32_MAX}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_msg(arena_claim(&arena, CASES[i].at, CASES[i].bytes) == ERR_CORRUPT, "case %zu", i);
    assert_whole(&arena);
}
END_TEST

START_TEST(a_claim_of_what_is_taken_is_corrupt)
{
    ck_assert_int_eq(arena_claim(&arena, 1024, 1024), ERR_OK);
    ck_assert_int_eq(arena_claim(&arena, 1024, 1024), ERR_CORRUPT); /* the same */
    ck_assert_int_eq(arena_claim(&arena, 1024, 100), ERR_CORRUPT);
    ck_assert_int_eq(arena_claim(&arena, 1024 + 512, 128), ERR_CORRUPT); /* within */
    ck_assert_int_eq(arena_claim(&arena, 0, 2048), ERR_CORRUPT);         /* around */
    ck_assert_int_eq(arena_claim(&arena, 0, BYTES), ERR_CORRUPT);
    ck_assert_int_eq(arena_claim(&arena, 0, 1024), ERR_OK); /* beside */
    arena_release(&arena, 0);
    arena_release(&arena, 1024);
    assert_whole(&arena);
}
END_TEST

/* --- at random --- */

enum { MOST = 300 };

struct range {
    uint64_t at, bytes;
};

static struct range ranges[MOST];
static int range_count;

static void assert_apart(struct range new)
{
    bool apart = new.at + new.bytes <= BYTES;
    for (int i = 0; i < range_count; i++)
        apart = apart && (new.at + new.bytes <= ranges[i].at || ranges[i].at + ranges[i].bytes <= new.at);
    ck_assert(apart); /* one for all: Check writes a message for each assertion */
}

static struct range drop_any(uint64_t *random)
{
    int which = (int)(next_random(random) % (uint32_t)range_count);
    struct range range = ranges[which];
    ranges[which] = ranges[--range_count];
    return range;
}

/* Mostly small ones, sometimes large. */
static size_t any_size(uint64_t *random)
{
    uint32_t most = 1u << (next_random(random) % 14);
    return 1 + next_random(random) % most;
}

static void step(uint64_t *random)
{
    if (next_random(random) % 100 < 55 && range_count < MOST) {
        struct range new = {.bytes = any_size(random)};
        if (arena_alloc(&arena, new.bytes, &new.at) != ERR_OK)
            return;
        assert_apart(new);
        ranges[range_count++] = new;
    } else if (range_count > 0) {
        arena_release(&arena, drop_any(random).at);
    }
}

/* A new front: the same ranges, in any order, into a fresh arena. */
static void assert_rebuilds(uint64_t *random)
{
    struct arena again;
    struct range all[MOST];
    int count = range_count;
    memcpy(all, ranges, sizeof all);
    ck_assert_int_eq(arena_init(&again, BYTES), ERR_OK);
    while (range_count > 0) {
        struct range range = drop_any(random);
        ck_assert_int_eq(arena_claim(&again, range.at, range.bytes), ERR_OK);
    }
    ck_assert_uint_eq(again.used, arena.used);
    ck_assert_mem_eq(again.state, arena.state, arena.block_count);
    for (int i = 0; i < count; i++)
        arena_release(&again, all[i].at);
    assert_whole(&again);
    arena_fini(&again);
    memcpy(ranges, all, sizeof all);
    range_count = count;
}

START_TEST(at_random_nothing_overlaps_and_everything_joins_again)
{
    uint64_t random = (uint64_t)_i + 1;
    range_count = 0;
    for (int i = 0; i < 20000; i++) {
        step(&random);
        if (i % 1000 == 0)
            assert_rebuilds(&random);
    }
    assert_rebuilds(&random);
    while (range_count > 0)
        arena_release(&arena, drop_any(&random).at);
    assert_whole(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *plain = tcase_create("allocating"), *claims = tcase_create("claiming"),
          *any = tcase_create("random");
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_test(plain, a_new_arena_is_one_free_block);
    tcase_add_test(plain, odd_sizes_are_rounded_down_to_a_power_of_two);
    tcase_add_test(plain, blocks_are_powers_of_two_and_counted_in_full);
    tcase_add_test(plain, it_can_be_filled_to_the_last_byte_and_then_is_full);
    tcase_add_test(plain, what_is_larger_than_the_arena_is_full_not_an_overrun);
    tcase_add_test(plain, neighbours_that_are_not_buddies_do_not_join);
    if (tests_fork()) {
        tcase_add_test_raise_signal(plain, allocating_nothing_aborts, SIGABRT);
        tcase_add_loop_test_raise_signal(plain, releasing_what_is_not_taken_aborts, SIGABRT, 0, 4);
    }
    tcase_add_checked_fixture(claims, setup, teardown);
    tcase_add_test(claims, a_claim_takes_just_its_block);
    tcase_add_test(claims, a_claim_that_cannot_be_is_corrupt_and_changes_nothing);
    tcase_add_test(claims, a_claim_of_what_is_taken_is_corrupt);
    tcase_add_checked_fixture(any, setup, teardown);
    tcase_set_timeout(any, 60);
    tcase_add_loop_test(any, at_random_nothing_overlaps_and_everything_joins_again, 0, 4);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, claims);
    suite_add_tcase(suite, any);
    return run_suite(suite);
}
