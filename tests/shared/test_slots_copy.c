/* Copies of slots that other threads take: consistent, and nothing that is not committed. */
#include "segment_fixture.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>

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
    slot->result_place = RESULT_INLINE;
    slot->result_bytes = 3;
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
            sched_yield(); /* a task reports now and then, not without a pause */
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
    for (int i = 0; i < COPIES || ((found < 100 || progress == 0) && i < 100 * COPIES); i++) {
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
    Suite *suite = suite_create("slots: copies");
    TCase *copies = tcase_create("copies");
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
    suite_add_tcase(suite, copies);
    return run_suite(suite);
}
