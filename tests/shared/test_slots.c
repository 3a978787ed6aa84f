#include "segment_fixture.h"

#include <signal.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096 };

static struct slot *slot;

static void setup(void)
{
    open_segment();
    slot = &segment.slots[3];
}

static void put(enum slot_state state, uint32_t generation, uint32_t worker, uint16_t incarnation)
{
    slot_set(slot, (struct claim){generation, state, worker, incarnation});
}

static void assert_claim(uint32_t generation, enum slot_state state, uint32_t worker, uint16_t incarnation)
{
    struct claim claim = slot_claim_load(slot);
    ck_assert_uint_eq(claim.generation, generation);
    ck_assert_int_eq(claim.state, state);
    ck_assert_uint_eq(claim.worker, worker);
    ck_assert_uint_eq(claim.incarnation, incarnation);
}

/* --- the claim word --- */

START_TEST(a_claim_word_gives_back_what_was_packed)
{
    static const uint32_t GENERATIONS[] = {0, 1, 0x80000000, UINT32_MAX}, WORKERS[] = {0, 1, 0x800, 0xfff};
    static const uint16_t INCARNATIONS[] = {0, 1, 0x8000, UINT16_MAX};
    for (int g = 0; g < 4; g++)
        for (int w = 0; w < 4; w++)
            for (int i = 0; i < 4; i++)
                for (int state = 0; state < SLOT_STATE_COUNT; state++) {
                    put((enum slot_state)state, GENERATIONS[g], WORKERS[w], INCARNATIONS[i]);
                    assert_claim(GENERATIONS[g], (enum slot_state)state, WORKERS[w], INCARNATIONS[i]);
                }
}
END_TEST

START_TEST(a_zeroed_word_is_free)
{
    struct claim claim = claim_unpack(0);
    ck_assert_int_eq(claim.state, SLOT_FREE);
    ck_assert_uint_eq(claim.generation, 0);
}
END_TEST

START_TEST(a_ticket_gives_back_slot_and_generation_and_is_never_0)
{
    uint64_t ticket = ticket_pack(SLOTS_MAX - 1, UINT32_MAX);
    ck_assert_uint_eq(ticket_slot(ticket), SLOTS_MAX - 1);
    ck_assert_uint_eq(ticket_generation(ticket), UINT32_MAX);
    ck_assert_uint_ne(ticket_pack(0, 1), 0);
}
END_TEST

START_TEST(a_move_needs_the_whole_word_to_be_as_expected)
{
    struct claim now = {5, SLOT_RUNNING, 2, 9}, next = {5, SLOT_DONE, 2, 9};
    struct claim wrong[] = {
        {4, SLOT_RUNNING, 2, 9}, {5, SLOT_QUEUED, 2, 9}, {5, SLOT_RUNNING, 1, 9}, {5, SLOT_RUNNING, 2, 8}};
    slot_set(slot, now);
    for (int i = 0; i < 4; i++)
        ck_assert(!slot_move(slot, wrong[i], next));
    assert_claim(5, SLOT_RUNNING, 2, 9);
    ck_assert(slot_move(slot, now, next));
    assert_claim(5, SLOT_DONE, 2, 9);
}
END_TEST

/* --- the legal way --- */

START_TEST(the_life_of_a_slot_from_free_to_free)
{
    put(SLOT_BUILDING, 7, 0, 0);
    slot_hold(slot);
    assert_claim(7, SLOT_HELD, 0, 0);
    ck_assert_uint_eq(slot_publish(slot), 8);
    assert_claim(8, SLOT_QUEUED, 0, 0);
    ck_assert(slot_claim(slot, 8, 3, 40000));
    assert_claim(8, SLOT_RUNNING, 3, 40000);
    slot_finish(slot, 3, 40000);
    assert_claim(8, SLOT_DONE, 3, 40000);
    slot_let_go(slot);
    ck_assert_int_eq(slot_claim_load(slot).state, SLOT_FREE);
    ck_assert_uint_ge(slot_claim_load(slot).generation, 8); /* it never falls */
}
END_TEST

START_TEST(each_publication_raises_the_generation)
{
    put(SLOT_HELD, 1, 0, 0);
    for (uint32_t i = 2; i < 10; i++) {
        ck_assert_uint_eq(slot_publish(slot), i);
        ck_assert(slot_unpublish(slot));
        assert_claim(i, SLOT_HELD, 0, 0);
    }
}
END_TEST

START_TEST(a_publication_forgets_the_owner_of_an_earlier_run)
{
    put(SLOT_HELD, 4, 3, 77); /* as left by a reap */
    slot_publish(slot);
    assert_claim(5, SLOT_QUEUED, 0, 0);
    ck_assert(slot_claim(slot, 5, 1, 2));
}
END_TEST

START_TEST(the_generation_wraps_past_0)
{
    put(SLOT_HELD, UINT32_MAX, 0, 0);
    ck_assert_uint_eq(slot_publish(slot), 1);
    assert_claim(1, SLOT_QUEUED, 0, 0);
}
END_TEST

START_TEST(only_queued_in_the_tickets_generation_can_be_claimed)
{
    for (int state = 0; state < SLOT_STATE_COUNT; state++) {
        put((enum slot_state)state, 6, 0, 0);
        ck_assert_int_eq(slot_claim(slot, 6, 1, 1), state == SLOT_QUEUED);
    }
    put(SLOT_QUEUED, 6, 0, 0);
    ck_assert(!slot_claim(slot, 5, 1, 1)); /* stale */
    ck_assert(!slot_claim(slot, 7, 1, 1));
    assert_claim(6, SLOT_QUEUED, 0, 0);
}
END_TEST

START_TEST(only_queued_can_be_taken_back)
{
    for (int state = 0; state < SLOT_STATE_COUNT; state++) {
        put((enum slot_state)state, 6, 0, 0);
        ck_assert_int_eq(slot_unpublish(slot), state == SLOT_QUEUED);
        assert_claim(6, state == SLOT_QUEUED ? SLOT_HELD : (enum slot_state)state, 0, 0);
    }
}
END_TEST

/* --- what aborts: each with the state it is tried in --- */

START_TEST(holding_aborts_unless_building)
{
    put((enum slot_state)_i, 6, 0, 0);
    slot_hold(slot);
}
END_TEST

START_TEST(publishing_aborts_unless_held)
{
    put((enum slot_state)_i, 6, 0, 0);
    (void)slot_publish(slot);
}
END_TEST

START_TEST(finishing_aborts_unless_running)
{
    put((enum slot_state)_i, 6, 1, 1);
    slot_finish(slot, 1, 1);
}
END_TEST

START_TEST(finishing_what_another_runs_aborts)
{
    put(SLOT_RUNNING, 6, _i == 0 ? 2 : 1, _i == 0 ? 1 : 2);
    slot_finish(slot, 1, 1);
}
END_TEST

START_TEST(an_owner_that_cannot_be_aborts)
{
    put(SLOT_RUNNING, 6, segment.shape.worker_count, 1);
    (void)slot_owner_dead(&segment, slot);
}
END_TEST

START_TEST(copying_a_slot_that_cannot_be_aborts)
{
    struct job *job;
    (void)!slot_copy(&segment, segment.shape.slot_count, (struct id){{0}}, &job);
}
END_TEST

static void add_aborts(TCase *tcase, const TTest *test, enum slot_state but)
{
    for (int state = 0; state < SLOT_STATE_COUNT; state++)
        if (state != (int)but)
            tcase_add_loop_test_raise_signal(tcase, test, SIGABRT, state, state + 1);
}

/* --- dead owners --- */

static bool dead(uint16_t claimed, uint32_t now)
{
    put(SLOT_RUNNING, 6, 2, claimed);
    atomic_store(&segment.boards[2].incarnation, now);
    return slot_owner_dead(&segment, slot);
}

START_TEST(an_owner_is_dead_once_its_incarnation_has_passed)
{
    ck_assert(!dead(5, 5));
    ck_assert(dead(5, 6));
    ck_assert(dead(5, 5 + 0x7fff));
    ck_assert(!dead(5, 4)); /* a scoreboard read before the claim would look like this: not a death */
}
END_TEST

START_TEST(incarnations_wrap_at_16_bits)
{
    ck_assert(!dead(0xffff, 0xffff));
    ck_assert(dead(0xffff, 0x10000));
    ck_assert(dead(0xffff, 0x10003));
    ck_assert(dead(0, 0x10001));
    ck_assert(!dead(0, 0x10000));
    ck_assert(!dead(2, 0x20001));
    ck_assert(dead(0x8001, 0x8002));
}
END_TEST

START_TEST(only_who_runs_can_be_dead)
{
    atomic_store(&segment.boards[2].incarnation, 9);
    for (int state = 0; state < SLOT_STATE_COUNT; state++) {
        put((enum slot_state)state, 6, 2, 1);
        ck_assert_int_eq(slot_owner_dead(&segment, slot), state == SLOT_RUNNING);
    }
}
END_TEST

/* The page of the owner's incarnation cannot be read until this has run: between the look at the claim word
 * and that at the incarnation, the owner finishes, dies and is reaped. */
static void *incarnation_page;
static volatile sig_atomic_t finishes, ended_between;

static void end_between(int number)
{
    (void)number;
    ended_between = 1;
    if (mprotect(incarnation_page, PAGE_BYTES, PROT_READ | PROT_WRITE) != 0)
        abort();
    if (finishes)
        slot_finish(slot, 2, 5);
    atomic_fetch_add(&segment.boards[2].incarnation, 1);
}

static bool dead_when_it_ends_between(bool finished)
{
    struct sigaction action = {.sa_handler = end_between}, before;
    atomic_store(&segment.boards[2].incarnation, 5);
    put(SLOT_RUNNING, 6, 2, 5);
    uintptr_t at = (uintptr_t)&segment.boards[2].incarnation;
    incarnation_page = (void *)(at - at % PAGE_BYTES);
    finishes = finished;
    ended_between = 0;
    ck_assert_int_eq(sigaction(SIGSEGV, &action, &before), 0);
    ck_assert_int_eq(mprotect(incarnation_page, PAGE_BYTES, PROT_NONE), 0);
    bool dead = slot_owner_dead(&segment, slot);
    ck_assert_int_eq(sigaction(SIGSEGV, &before, NULL), 0);
    ck_assert(ended_between);
    return dead;
}

START_TEST(an_owner_that_finished_before_it_died_is_not_taken_for_dead)
{
    ck_assert(dead_when_it_ends_between(false));
    ck_assert(!dead_when_it_ends_between(true));
    assert_claim(6, SLOT_DONE, 2, 5);
}
END_TEST

/* --- arguments and results --- */

START_TEST(arguments_lie_within_the_arena_or_are_corrupt)
{
    static const struct {
        uint64_t at, bytes;
        enum err err;
    } CASES[] = {{0, 0, ERR_OK},
                 {0, 1 << 16, ERR_OK},
                 {128, (1 << 16) - 128, ERR_OK},
                 {1 << 16, 0, ERR_OK},
                 {0, (1 << 16) + 1, ERR_CORRUPT},
                 {128, (1 << 16) - 127, ERR_CORRUPT},
                 {(1 << 16) + 1, 0, ERR_CORRUPT},
                 {UINT64_MAX, 2, ERR_CORRUPT},
                 {UINT64_MAX - 5, UINT32_MAX, ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct text args;
        slot->args_at = CASES[i].at;
        slot->args_bytes = (uint32_t)CASES[i].bytes;
        ck_assert_msg(slot_args(&segment, slot, &args) == CASES[i].err, "case %zu", i);
        if (CASES[i].err == ERR_OK) {
            ck_assert_ptr_eq(args.at, segment.arena + CASES[i].at);
            ck_assert_uint_eq(args.bytes, CASES[i].bytes);
        }
    }
}
END_TEST

static void put_texts(uint64_t at, uint32_t args, uint32_t tags, uint32_t extras, uint32_t inputs)
{
    slot->args_at = at;
    slot->args_bytes = args;
    slot->tags_bytes = tags;
    slot->extras_bytes = extras;
    slot->inputs_bytes = inputs;
}

START_TEST(tags_extras_and_inputs_lie_one_behind_the_other)
{
    struct text args, tags, extras, inputs;
    put_texts(128, 10, 20, 30, 40);
    ck_assert_int_eq(slot_args(&segment, slot, &args), ERR_OK);
    ck_assert_int_eq(slot_tags(&segment, slot, &tags), ERR_OK);
    ck_assert_int_eq(slot_extras(&segment, slot, &extras), ERR_OK);
    ck_assert_int_eq(slot_inputs(&segment, slot, &inputs), ERR_OK);
    ck_assert_ptr_eq(args.at, segment.arena + 128);
    ck_assert_ptr_eq(tags.at, segment.arena + 138);
    ck_assert_ptr_eq(extras.at, segment.arena + 158);
    ck_assert_ptr_eq(inputs.at, segment.arena + 188);
    ck_assert_uint_eq(tags.bytes, 20);
    ck_assert_uint_eq(extras.bytes, 30);
    ck_assert_uint_eq(inputs.bytes, 40);
    ck_assert_uint_eq(slot_arena_bytes(slot), 100);
}
END_TEST

START_TEST(texts_that_are_not_there_are_absent)
{
    struct text tags = {"x", 1}, extras = {"x", 1}, inputs = {"x", 1};
    put_texts(1 << 16, 0, 0, 0, 0);
    ck_assert_int_eq(slot_tags(&segment, slot, &tags), ERR_OK);
    ck_assert_int_eq(slot_extras(&segment, slot, &extras), ERR_OK);
    ck_assert_int_eq(slot_inputs(&segment, slot, &inputs), ERR_OK);
    ck_assert_ptr_null(tags.at);
    ck_assert_ptr_null(extras.at);
    ck_assert_ptr_null(inputs.at);
    ck_assert_uint_eq(tags.bytes + extras.bytes + inputs.bytes, 0);
}
END_TEST

START_TEST(inputs_lie_within_the_arena_or_are_corrupt)
{
    static const struct {
        uint64_t at;
        uint32_t args, tags, extras, inputs;
        enum err err;
    } CASES[] = {{0, 0, 0, 0, 1 << 16, ERR_OK},
                 {128, 1, 2, 3, (1 << 16) - 134, ERR_OK},
                 {0, 0, 0, 0, (1 << 16) + 1, ERR_CORRUPT},
                 {128, 1, 2, 3, (1 << 16) - 133, ERR_CORRUPT},
                 {128, 1, 2, 3, UINT32_MAX, ERR_CORRUPT},
                 {128, UINT32_MAX, 2, 3, 4, ERR_CORRUPT},
                 {128, 1, UINT32_MAX, 3, 4, ERR_CORRUPT},
                 {128, 1, 2, UINT32_MAX, 4, ERR_CORRUPT},
                 {128, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX, ERR_CORRUPT},
                 {1 << 16, 0, 0, 0, 1, ERR_CORRUPT},
                 {UINT64_MAX, 0, 0, 0, 1, ERR_CORRUPT},
                 {UINT64_MAX - 5, 2, 2, 2, 4, ERR_CORRUPT}, /* would begin at 0 */
                 {UINT64_MAX - 5, UINT32_MAX, UINT32_MAX, UINT32_MAX, 4, ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct text inputs;
        put_texts(CASES[i].at, CASES[i].args, CASES[i].tags, CASES[i].extras, CASES[i].inputs);
        ck_assert_msg(slot_inputs(&segment, slot, &inputs) == CASES[i].err, "case %zu", i);
        if (CASES[i].err == ERR_OK)
            ck_assert_uint_eq(inputs.bytes, CASES[i].inputs);
    }
}
END_TEST

static void put_result(uint32_t place, uint32_t worker, uint64_t at, uint64_t bytes)
{
    slot->result_place = place;
    slot->result_worker = worker;
    slot->result_at = at;
    slot->result_bytes = bytes;
}

static enum err result(struct text *found)
{
    return slot_result(&segment, slot, found);
}

START_TEST(an_inline_result_is_given_back)
{
    struct text found;
    for (int i = 0; i < SLOT_INLINE_BYTES; i++)
        slot->inline_result[i] = (char)i;
    for (size_t bytes = 0; bytes <= SLOT_INLINE_BYTES; bytes++) {
        put_result(RESULT_INLINE, 0, 0, bytes);
        slot->result_sum = bytes_sum(slot->inline_result, bytes);
        ck_assert_int_eq(result(&found), ERR_OK);
        ck_assert_ptr_eq(found.at, slot->inline_result);
        ck_assert_uint_eq(found.bytes, bytes);
    }
}
END_TEST

START_TEST(a_result_in_a_tray_is_given_back)
{
    struct text found;
    memset(segment_tray(&segment, 1) + 64, 'x', 3000);
    put_result(RESULT_TRAY, 1, 64, 3000);
    slot->result_sum = bytes_sum(segment_tray(&segment, 1) + 64, 3000);
    ck_assert_int_eq(result(&found), ERR_OK);
    ck_assert_ptr_eq(found.at, segment_tray(&segment, 1) + 64);
    ck_assert_uint_eq(found.bytes, 3000);
}
END_TEST

START_TEST(no_result_is_no_result)
{
    struct text found = {"x", 1};
    put_result(RESULT_NONE, 99, UINT64_MAX, UINT64_MAX);
    ck_assert_int_eq(result(&found), ERR_OK);
    ck_assert_ptr_null(found.at);
    ck_assert_uint_eq(found.bytes, 0);
}
END_TEST

START_TEST(an_impossible_result_is_corrupt)
{
    static const struct {
        uint32_t place, worker;
        uint64_t at, bytes;
    } CASES[] = {{RESULT_INLINE, 0, 0, SLOT_INLINE_BYTES + 1},
                 {RESULT_INLINE, 0, 0, UINT64_MAX},
                 {RESULT_TRAY, 4, 0, 8},
                 {RESULT_TRAY, UINT32_MAX, 0, 8},
                 {RESULT_TRAY, 1, 0, (1 << 13) + 1},
                 {RESULT_TRAY, 1, (1 << 13) - 8, 9},
                 {RESULT_TRAY, 1, (1 << 13) + 1, 0},
                 {RESULT_TRAY, 1, UINT64_MAX, 2},
                 {RESULT_TRAY, 1, 64, UINT64_MAX - 10},
                 {RESULT_TRAY + 1, 0, 0, 0},
                 {UINT32_MAX, 0, 0, 0}};
    struct text found;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        put_result(CASES[i].place, CASES[i].worker, CASES[i].at, CASES[i].bytes);
        ck_assert_msg(result(&found) == ERR_CORRUPT, "case %zu", i);
    }
}
END_TEST

START_TEST(a_changed_byte_of_a_result_is_corrupt)
{
    struct text found;
    for (size_t bytes = 1; bytes <= 40; bytes++) {
        memset(slot->inline_result, 'r', bytes);
        put_result(RESULT_INLINE, 0, 0, bytes);
        slot->result_sum = bytes_sum(slot->inline_result, bytes);
        for (size_t i = 0; i < bytes; i++) {
            slot->inline_result[i] ^= 1;
            ck_assert_int_eq(result(&found), ERR_CORRUPT);
            slot->inline_result[i] ^= 1;
        }
        ck_assert_int_eq(result(&found), ERR_OK);
    }
}
END_TEST

START_TEST(sums_differ_by_length_even_of_zeroes)
{
    static const char ZEROES[64];
    for (size_t a = 0; a < sizeof ZEROES; a++)
        for (size_t b = 0; b < a; b++)
            ck_assert_uint_ne(bytes_sum(ZEROES, a), bytes_sum(ZEROES, b));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *words = tcase_create("claim words"), *lives = tcase_create("lives"),
          *aborts = tcase_create("aborts"), *data = tcase_create("arguments and results");
    tcase_add_checked_fixture(words, setup, close_segment);
    tcase_add_test(words, a_claim_word_gives_back_what_was_packed);
    tcase_add_test(words, a_zeroed_word_is_free);
    tcase_add_test(words, a_ticket_gives_back_slot_and_generation_and_is_never_0);
    tcase_add_test(words, a_move_needs_the_whole_word_to_be_as_expected);
    tcase_add_checked_fixture(lives, setup, close_segment);
    tcase_add_test(lives, the_life_of_a_slot_from_free_to_free);
    tcase_add_test(lives, each_publication_raises_the_generation);
    tcase_add_test(lives, a_publication_forgets_the_owner_of_an_earlier_run);
    tcase_add_test(lives, the_generation_wraps_past_0);
    tcase_add_test(lives, only_queued_in_the_tickets_generation_can_be_claimed);
    tcase_add_test(lives, only_queued_can_be_taken_back);
    tcase_add_test(lives, an_owner_is_dead_once_its_incarnation_has_passed);
    tcase_add_test(lives, incarnations_wrap_at_16_bits);
    tcase_add_test(lives, only_who_runs_can_be_dead);
    if (!UNDER_TSAN) /* whose runtime makes the load itself */
        tcase_add_test(lives, an_owner_that_finished_before_it_died_is_not_taken_for_dead);
    if (tests_fork()) {
        tcase_add_checked_fixture(aborts, setup, close_segment);
        add_aborts(aborts, holding_aborts_unless_building, SLOT_BUILDING);
        add_aborts(aborts, publishing_aborts_unless_held, SLOT_HELD);
        add_aborts(aborts, finishing_aborts_unless_running, SLOT_RUNNING);
        tcase_add_loop_test_raise_signal(aborts, finishing_what_another_runs_aborts, SIGABRT, 0, 2);
        tcase_add_test_raise_signal(aborts, an_owner_that_cannot_be_aborts, SIGABRT);
        tcase_add_test_raise_signal(aborts, copying_a_slot_that_cannot_be_aborts, SIGABRT);
    }
    tcase_add_checked_fixture(data, setup, close_segment);
    tcase_add_test(data, arguments_lie_within_the_arena_or_are_corrupt);
    tcase_add_test(data, tags_extras_and_inputs_lie_one_behind_the_other);
    tcase_add_test(data, texts_that_are_not_there_are_absent);
    tcase_add_test(data, inputs_lie_within_the_arena_or_are_corrupt);
    tcase_add_test(data, an_inline_result_is_given_back);
    tcase_add_test(data, a_result_in_a_tray_is_given_back);
    tcase_add_test(data, no_result_is_no_result);
    tcase_add_test(data, an_impossible_result_is_corrupt);
    tcase_add_test(data, a_changed_byte_of_a_result_is_corrupt);
    tcase_add_test(data, sums_differ_by_length_even_of_zeroes);
    suite_add_tcase(suite, words);
    suite_add_tcase(suite, lives);
    suite_add_tcase(suite, aborts);
    suite_add_tcase(suite, data);
    return run_suite(suite);
}
