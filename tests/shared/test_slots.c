#include "segment_fixture.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>

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

/* --- copies --- */

static struct id id_of(char letter)
{
    struct id id;
    memset(id.bytes, letter, sizeof id.bytes);
    return id;
}

/* A job all of one letter, so that a mixture shows. */
static void build(char letter)
{
    memset(&slot->spec, 0, sizeof slot->spec);
    slot->spec.id = id_of(letter);
    memset(slot->spec.task, letter, NAME_BYTES - 1);
    memset(slot->spec.traceparent, letter, TRACEPARENT_BYTES - 1);
    slot->spec.seq = slot->spec.created_ms = letter;
    slot->args_bytes = 1000 + (uint32_t)letter;
    slot->args_at = letter % 2 == 0 ? 0 : 4096;
    memset(segment.arena + slot->args_at, letter, slot->args_bytes);
}

static bool all_are(const char *text, int letter, size_t bytes)
{
    size_t same = 0;
    while (same < bytes && text[same] == letter)
        same++;
    return same == bytes;
}

static void assert_all(const struct job *job, char letter)
{
    ck_assert(id_equal(job->spec.id, id_of(letter)));
    ck_assert_uint_eq(job->args.bytes, 1000 + (uint32_t)letter);
    ck_assert_int_eq(job->spec.seq, letter);
    ck_assert_int_eq(job->spec.created_ms, letter);
    ck_assert(all_are(job->args.at, letter, job->args.bytes));
    ck_assert_int_eq(job->args.at[job->args.bytes], '\0');
    ck_assert(all_are(job->spec.task, letter, NAME_BYTES - 1));
    ck_assert(all_are(job->spec.traceparent, letter, TRACEPARENT_BYTES - 1));
}

START_TEST(a_copy_shows_what_a_client_may_see)
{
    static const struct {
        enum err err;
        enum job_state state;
    } SEEN[SLOT_STATE_COUNT] = {[SLOT_FREE] = {ERR_NOT_FOUND, 0},       [SLOT_BUILDING] = {ERR_NOT_FOUND, 0},
                                [SLOT_HELD] = {ERR_OK, JOB_QUEUED},     [SLOT_QUEUED] = {ERR_OK, JOB_QUEUED},
                                [SLOT_RUNNING] = {ERR_OK, JOB_RUNNING}, [SLOT_DONE] = {ERR_OK, JOB_RUNNING}};
    build('a');
    for (int state = 0; state < SLOT_STATE_COUNT; state++) {
        struct job *job = NULL;
        put((enum slot_state)state, 3, 2, 1);
        ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), SEEN[state].err);
        if (SEEN[state].err != ERR_OK)
            continue;
        ck_assert_int_eq(job->state, SEEN[state].state);
        assert_all(job, 'a');
        ck_assert_ptr_null(job->result.at);
        job_free(job);
    }
}
END_TEST

START_TEST(a_slot_that_holds_another_job_is_not_found)
{
    struct job *job;
    build('a');
    put(SLOT_HELD, 3, 0, 0);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('b'), &job), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_copy_of_a_done_slot_shows_nothing_that_is_not_committed)
{
    struct job *job;
    build('a');
    put(SLOT_QUEUED, 3, 0, 0);
    ck_assert(slot_claim(slot, 3, 2, 1));
    slot_begin_attempt(slot, 2, 5000);
    slot_progress_write(slot, 0.5, "half", 4, 6000);
    slot->attempt.outcome = OUTCOME_SUCCESS;
    slot->attempt.finished_ms = 7000;
    strcpy(slot->attempt.error_code, "no");
    memcpy(slot->inline_result, "[1]", 3);
    put_result(RESULT_INLINE, 0, 0, 3);
    slot_finish(slot, 2, 1);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_OK);
    ck_assert_int_eq(job->state, JOB_RUNNING);
    ck_assert_int_eq(job->attempt.outcome, OUTCOME_NONE);
    ck_assert_int_eq(job->attempt.finished_ms, 0);
    ck_assert_str_eq(job->attempt.error_code, "");
    ck_assert_ptr_null(job->result.at);
    ck_assert_int_eq(job->attempt.number, 1);
    ck_assert_int_eq(job->attempt.worker, 2);
    ck_assert_int_eq(job->attempt.started_ms, 5000);
    ck_assert_double_eq(job->attempt.progress, 0.5);
    ck_assert_str_eq(job->attempt.progress_message, "half");
    job_free(job);
}
END_TEST

START_TEST(a_claimed_attempt_that_has_not_begun_shows_nothing_of_the_one_before)
{
    struct job *job;
    build('a');
    slot_begin_attempt(slot, 1, 4000);
    slot_progress_write(slot, 0.9, "old", 3, 4500);
    slot->spec.attempt = 1;
    put(SLOT_RUNNING, 3, 2, 1);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_OK);
    ck_assert_int_eq(job->attempt.number, 2);
    ck_assert_int_eq(job->attempt.started_ms, 0);
    ck_assert_double_eq(job->attempt.progress, -1);
    ck_assert_str_eq(job->attempt.progress_message, "");
    job_free(job);
}
END_TEST

START_TEST(a_request_to_cancel_shows)
{
    struct job *job;
    build('a');
    put(SLOT_RUNNING, 3, 2, 1);
    atomic_store(&slot->cancel_requested, 1);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_OK);
    ck_assert(job->cancel_requested);
    job_free(job);
}
END_TEST

START_TEST(arguments_that_cannot_be_are_corrupt_when_nothing_moves)
{
    struct job *job;
    build('a');
    slot->args_at = UINT64_MAX;
    put(SLOT_HELD, 3, 0, 0);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_CORRUPT);
}
END_TEST

START_TEST(progress_left_half_written_by_a_killed_worker_hides_it_and_heals_with_the_next)
{
    struct job *job;
    build('a');
    put(SLOT_RUNNING, 3, 2, 1);
    slot_begin_attempt(slot, 2, 5000);
    slot_progress_write(slot, 0.25, "quarter", 7, 5500);
    atomic_fetch_add(&slot->progress_version, 1); /* killed inside slot_progress_write */
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_OK);
    ck_assert_double_eq(job->attempt.progress, -1);
    job_free(job);
    slot_progress_write(slot, 0.75, "most", 4, 6000);
    ck_assert_uint_eq(atomic_load(&slot->progress_version) % 2, 0);
    ck_assert_int_eq(slot_copy(&segment, 3, id_of('a'), &job), ERR_OK);
    ck_assert_double_eq(job->attempt.progress, 0.75);
    job_free(job);
}
END_TEST

START_TEST(a_long_progress_message_is_cut_at_a_character)
{
    char message[400];
    for (size_t i = 0; i < sizeof message; i += 2)
        memcpy(message + i, "\xc3\xbc", 2);
    slot_begin_attempt(slot, 2, 1);
    slot_progress_write(slot, 0.5, message, sizeof message, 2);
    size_t bytes = strlen(slot->attempt.progress_message);
    ck_assert_uint_lt(bytes, MESSAGE_BYTES);
    ck_assert_uint_eq(bytes % 2, 0);
}
END_TEST

/* --- copies while the slot changes --- */

enum { COPIES = 60000 };

static _Atomic bool over;

static void *live_many_lives(void *argument)
{
    (void)argument;
    for (uint64_t life = 0; !atomic_load(&over); life++) {
        struct claim claim = slot_claim_load(slot);
        struct claim building = {.generation = claim.generation, .state = SLOT_BUILDING};
        CHECK(slot_move(slot, claim, building));
        build((char)('a' + life % 2));
        slot_hold(slot);
        uint32_t generation = slot_publish(slot);
        CHECK(slot_claim(slot, generation, 2, 1));
        slot_begin_attempt(slot, 2, (int64_t)life + 1);
        for (int step = 1; step <= 20; step++) {
            char message[MESSAGE_BYTES];
            memset(message, 'A' + step, sizeof message);
            slot_progress_write(slot, step, message, sizeof message, step);
        }
        slot_finish(slot, 2, 1);
        slot_let_go(slot);
    }
    return NULL;
}

static void assert_progress(const struct attempt *attempt)
{
    int step = (int)lround(attempt->progress);
    if (step <= 0)
        return;
    ck_assert_int_eq(attempt->progress_ms, step);
    ck_assert_uint_eq(strlen(attempt->progress_message), MESSAGE_BYTES - 1);
    ck_assert(all_are(attempt->progress_message, 'A' + step, MESSAGE_BYTES - 1));
}

START_TEST(a_copy_is_never_a_mixture_while_another_thread_changes_the_slot)
{
    pthread_t thread;
    int found = 0, progress = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, live_many_lives, NULL), 0);
    for (int i = 0; i < COPIES || (found < 100 && i < 50 * COPIES); i++) {
        char letter = (char)('a' + i % 2);
        struct job *job;
        if (slot_copy(&segment, 3, id_of(letter), &job) != ERR_OK)
            continue;
        found++;
        assert_all(job, letter);
        assert_progress(&job->attempt);
        progress += job->attempt.progress > 0;
        job_free(job);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    ck_assert_int_ge(found, 100); /* else nothing was tested */
    ck_assert_int_gt(progress, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *words = tcase_create("claim words"), *lives = tcase_create("lives"),
          *aborts = tcase_create("aborts"), *data = tcase_create("arguments and results"),
          *copies = tcase_create("copies");
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
    tcase_add_test(data, an_inline_result_is_given_back);
    tcase_add_test(data, a_result_in_a_tray_is_given_back);
    tcase_add_test(data, no_result_is_no_result);
    tcase_add_test(data, an_impossible_result_is_corrupt);
    tcase_add_test(data, a_changed_byte_of_a_result_is_corrupt);
    tcase_add_test(data, sums_differ_by_length_even_of_zeroes);
    tcase_add_checked_fixture(copies, setup, close_segment);
    tcase_set_timeout(copies, 60);
    tcase_add_test(copies, a_copy_shows_what_a_client_may_see);
    tcase_add_test(copies, a_slot_that_holds_another_job_is_not_found);
    tcase_add_test(copies, a_copy_of_a_done_slot_shows_nothing_that_is_not_committed);
    tcase_add_test(copies, a_claimed_attempt_that_has_not_begun_shows_nothing_of_the_one_before);
    tcase_add_test(copies, a_request_to_cancel_shows);
    tcase_add_test(copies, arguments_that_cannot_be_are_corrupt_when_nothing_moves);
    tcase_add_test(copies, progress_left_half_written_by_a_killed_worker_hides_it_and_heals_with_the_next);
    tcase_add_test(copies, a_long_progress_message_is_cut_at_a_character);
    if (!UNDER_TSAN) /* a seqlock reads bytes that are being written, and then throws them away */
        tcase_add_test(copies, a_copy_is_never_a_mixture_while_another_thread_changes_the_slot);
    suite_add_tcase(suite, words);
    suite_add_tcase(suite, lives);
    suite_add_tcase(suite, aborts);
    suite_add_tcase(suite, data);
    suite_add_tcase(suite, copies);
    return run_suite(suite);
}
