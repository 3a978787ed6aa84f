#include "job.h"
#include "run.h"

#include <string.h>

/* The machine as it is drawn at the head of job.h, written down a second time: rows move to columns, each in
 * the order queued, running, retrying, succeeded, failed, cancelled, scheduled, blocked. */
/* clang-format off */
static const char *const DRAWN[JOB_STATE_COUNT] = {
    [JOB_QUEUED]    = ".x..xxx.",
    [JOB_RUNNING]   = "x.xxxx..",
    [JOB_RETRYING]  = "x....xx.",
    [JOB_SUCCEEDED] = "x......x",
    [JOB_FAILED]    = "x......x",
    [JOB_CANCELLED] = "x......x",
    [JOB_SCHEDULED] = "x...xx..",
    [JOB_BLOCKED]   = "x...xxx.",
};
/* clang-format on */

START_TEST(a_job_moves_as_the_machine_is_drawn_and_not_otherwise)
{
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int to = 0; to < JOB_STATE_COUNT; to++)
            ck_assert_msg(job_may_move((enum job_state)from, (enum job_state)to) == (DRAWN[from][to] == 'x'),
                          "%s to %s", job_state_text((enum job_state)from),
                          job_state_text((enum job_state)to));
    }
}
END_TEST

START_TEST(a_state_is_terminal_just_when_nothing_but_a_request_leads_out_of_it)
{
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        bool leads_on =
            false; /* anywhere but back to where a job waits for its turn, as a retry on request does */
        for (int to = 0; to < JOB_STATE_COUNT; to++)
            leads_on = leads_on || (to != JOB_QUEUED && to != JOB_BLOCKED &&
                                    job_may_move((enum job_state)from, (enum job_state)to));
        ck_assert_int_eq(job_is_terminal((enum job_state)from), !leads_on);
        ck_assert(!job_is_terminal((enum job_state)from) || job_may_move((enum job_state)from, JOB_QUEUED));
    }
}
END_TEST

START_TEST(the_numbers_in_the_store_never_change)
{
    ck_assert_int_eq(JOB_QUEUED, 0);
    ck_assert_int_eq(JOB_RUNNING, 1);
    ck_assert_int_eq(JOB_RETRYING, 2);
    ck_assert_int_eq(JOB_SUCCEEDED, 3);
    ck_assert_int_eq(JOB_FAILED, 4);
    ck_assert_int_eq(JOB_CANCELLED, 5);
    ck_assert_int_eq(JOB_SCHEDULED, 6);
    ck_assert_int_eq(JOB_BLOCKED, 7);
    ck_assert_int_eq(JOB_STATE_COUNT, 8);
}
END_TEST

/* The same by the rule behind the table: what waits can be changed, what has not ended cancelled, what has
 * ended run again or forgotten. */
static bool may(enum job_state state, enum job_request request)
{
    switch (request) {
    case REQUEST_CANCEL:
        return !job_is_terminal(state);
    case REQUEST_PATCH:
        return !job_is_terminal(state) && state != JOB_RUNNING;
    case REQUEST_RETRY:
    case REQUEST_FORGET:
        return job_is_terminal(state);
    case REQUEST_COUNT:
        break;
    }
    return false;
}

START_TEST(every_state_takes_or_refuses_every_request_and_says_why)
{
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        for (int request = 0; request < REQUEST_COUNT; request++) {
            const char *why = job_refusal((enum job_state)state, (enum job_request)request);
            ck_assert_msg((why == NULL) == may((enum job_state)state, (enum job_request)request), "%s, %s",
                          job_state_text((enum job_state)state),
                          job_request_participle((enum job_request)request));
            ck_assert(why == NULL || why[0] != '\0');
        }
    }
}
END_TEST

/* One request of each kind leads to one state: what it takes must be a legal move, and what it does not must
 * not be one, but where the move has other reasons. */
START_TEST(a_request_that_is_taken_leads_along_a_legal_move)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        enum job_state state = (enum job_state)i;
        ck_assert_int_eq(job_refusal(state, REQUEST_CANCEL) == NULL, job_may_move(state, JOB_CANCELLED));
        if (job_refusal(state, REQUEST_RETRY) == NULL)
            ck_assert(job_may_move(state, JOB_QUEUED));
        if (job_refusal(state, REQUEST_PATCH) == NULL && state != JOB_SCHEDULED) /* that one stays it */
            ck_assert(job_may_move(state, JOB_SCHEDULED));
        ck_assert_int_eq(job_refusal(state, REQUEST_FORGET) == NULL, job_is_terminal(state));
    }
}
END_TEST

START_TEST(no_job_moves_to_the_state_that_it_has)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        ck_assert(!job_may_move((enum job_state)i, (enum job_state)i));
}
END_TEST

static struct job_spec laned(uint8_t priority, const char *queue, const char *task, const char *key)
{
    struct job_spec spec = {.priority = priority};
    strcpy(spec.queue, queue);
    strcpy(spec.task, task);
    strcpy(spec.concurrency_key, key);
    return spec;
}

START_TEST(jobs_with_the_same_four_parts_are_in_one_lane_whatever_else_differs)
{
    struct job_spec one = laned(5, "q", "t", "k"), two = one;
    two.id = id_new();
    two.seq = 7;
    two.durability = DURABILITY_FULL;
    two.expires_ms = two.run_at_ms = two.created_ms = 99;
    strcpy(two.idempotency_key, "other");
    strcpy(two.queue + 2, "behind the end");
    ck_assert_int_eq(job_lane(&one), job_lane(&two));
    ck_assert_int_ge(job_lane(&one), 0);
}
END_TEST

START_TEST(a_lane_differs_when_any_of_its_four_parts_does)
{
    const struct job_spec specs[] = {
        laned(5, "q", "t", "k"),  laned(6, "q", "t", "k"), laned(5, "r", "t", "k"), laned(5, "q", "u", "k"),
        laned(5, "q", "t", "l"),  laned(5, "q", "t", ""),  laned(5, "t", "q", "k"), laned(5, "qt", "k", ""),
        laned(5, "q", "tk", ""),  laned(5, "qt", "t", ""), laned(5, "q", "k", "t"), laned(5, "q", "t", "k/"),
        laned(5, "q", "t", "/k"), laned(0, "q", "t", "k"), laned(9, "q", "t", "k"), laned(5, "5q", "t", "k"),
    };
    int count = sizeof specs / sizeof specs[0];
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            ck_assert_msg(job_lane(&specs[i]) != job_lane(&specs[j]), "%d and %d", i, j);
}
END_TEST

START_TEST(the_longest_names_and_key_have_a_lane_and_their_last_bytes_count)
{
    struct job_spec one = {.priority = 9};
    memset(one.queue, 'q', NAME_BYTES - 1);
    memset(one.task, 't', NAME_BYTES - 1);
    memset(one.concurrency_key, 'k', KEY_BYTES - 1);
    struct job_spec queue = one, task = one, key = one;
    queue.queue[NAME_BYTES - 2] = task.task[NAME_BYTES - 2] = key.concurrency_key[KEY_BYTES - 2] = 'x';
    ck_assert_int_ne(job_lane(&one), job_lane(&queue));
    ck_assert_int_ne(job_lane(&one), job_lane(&task));
    ck_assert_int_ne(job_lane(&one), job_lane(&key));
}
END_TEST

START_TEST(states_read_back_from_their_text)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        enum job_state state = JOB_STATE_COUNT;
        ck_assert(job_state_parse(job_state_text((enum job_state)i), &state));
        ck_assert_int_eq(state, i);
    }
    enum job_state state = JOB_FAILED;
    ck_assert(!job_state_parse("", &state));
    ck_assert(!job_state_parse("Queued", &state));
    ck_assert(!job_state_parse("queue", &state));
    ck_assert(!job_state_parse("queued ", &state));
    ck_assert_int_eq(state, JOB_FAILED);
}
END_TEST

START_TEST(durabilities_read_back_and_rise)
{
    for (int i = 0; i < DURABILITY_COUNT; i++) {
        enum durability durability = DURABILITY_COUNT;
        ck_assert(durability_parse(durability_text((enum durability)i), &durability));
        ck_assert_int_eq(durability, i);
    }
    ck_assert(DURABILITY_MEMORY < DURABILITY_PROCESS && DURABILITY_PROCESS < DURABILITY_FULL);
    enum durability durability;
    ck_assert(!durability_parse("fsync", &durability));
}
END_TEST

START_TEST(backoffs_read_back)
{
    for (int i = 0; i < BACKOFF_COUNT; i++) {
        enum backoff backoff = BACKOFF_COUNT;
        ck_assert(backoff_parse(backoff_text((enum backoff)i), &backoff));
        ck_assert_int_eq(backoff, i);
    }
    enum backoff backoff;
    ck_assert(!backoff_parse("", &backoff));
}
END_TEST

START_TEST(outcomes_have_texts_that_differ)
{
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        for (int j = i + 1; j < OUTCOME_COUNT; j++)
            ck_assert_str_ne(outcome_text((enum outcome)i), outcome_text((enum outcome)j));
    }
    ck_assert_str_eq(outcome_text(OUTCOME_RETURNED), "returned");
}
END_TEST

#if !defined(__SANITIZE_THREAD__) /* whose tests do not fork, so none of them may abort */
START_TEST(a_state_beyond_the_table_aborts)
{
    fclose(stderr);
    job_state_text((enum job_state)JOB_STATE_COUNT);
}
END_TEST
#endif

START_TEST(names_are_letters_digits_dots_dashes_and_underscores)
{
    static const char *const GOOD[] = {"a", "sha256", "mail.send-now_2", "A.B", "9", "_", "-", "a.."};
    static const char *const BAD[] = {"",   ".",    "..",  ".hidden", "a b",         "a/b",
                                      "a%", "\xc3", "a\n", "a:b",     "caf\xc3\xa9", "a,b"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        ck_assert_msg(job_name_ok(GOOD[i]), "%s", GOOD[i]);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(!job_name_ok(BAD[i]), "%s", BAD[i]);
}
END_TEST

START_TEST(names_have_at_most_63_bytes)
{
    char name[NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    name[NAME_BYTES - 1] = '\0';
    ck_assert(job_name_ok(name));
    name[NAME_BYTES - 1] = 'n';
    name[NAME_BYTES] = '\0';
    ck_assert(!job_name_ok(name));
}
END_TEST

static const struct {
    size_t room;
    const char *text, *copy;
} COPIES[] = {
    {6, "hello", "hello"},
    {5, "hello", "hell"},
    {1, "hello", ""},
    {10, "", ""},
    {4, "ab\xc3\xa9z", "ab"}, /* only the first half of é would fit */
    {5, "ab\xc3\xa9z", "ab\xc3\xa9"},
    {3, "\xe2\x82\xac!", ""}, /* two thirds of € */
    {4, "\xe2\x82\xac!", "\xe2\x82\xac"},
    {4, "\xf0\x9f\x98\x80", ""},
    {5, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    {7, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    {3, "\x80\x80\x80\x80", ""}, /* not UTF-8 at all: nothing to hold on to */
};

START_TEST(copies_are_cut_at_the_border_of_a_character)
{
    char to[32];
    memset(to, 'x', sizeof to);
    size_t room = COPIES[_i].room;
    text_copy(to, room, COPIES[_i].text, strlen(COPIES[_i].text));
    ck_assert_str_eq(to, COPIES[_i].copy);
    ck_assert_int_eq(to[room], 'x');
}
END_TEST

START_TEST(a_copy_of_no_text_is_empty)
{
    char to[4] = "abc";
    text_copy(to, sizeof to, NULL, 0);
    ck_assert_str_eq(to, "");
}
END_TEST

START_TEST(a_copy_reads_no_byte_beyond_its_source)
{
    char to[8], *from = malloc(4); /* not NUL-terminated: the address sanitizer watches its end */
    memcpy(from, "abcd", 4);
    text_copy(to, sizeof to, from, 4);
    ck_assert_str_eq(to, "abcd");
    text_copy(to, 4, from, 4);
    ck_assert_str_eq(to, "abc");
    free(from);
}
END_TEST

START_TEST(a_blank_attempt_knows_nothing)
{
    struct attempt attempt = attempt_blank();
    ck_assert_int_eq(attempt.number, 0);
    ck_assert_int_eq(attempt.outcome, OUTCOME_NONE);
    ck_assert_int_eq(attempt.started_ms, 0);
    ck_assert_int_eq(attempt.finished_ms, 0);
    ck_assert_int_eq(attempt.cpu_us, -1);
    ck_assert_int_eq(attempt.max_rss_bytes, -1);
    ck_assert_int_eq(attempt.worker, -1);
    ck_assert_int_eq(attempt.exit_code, -1);
    ck_assert_int_eq(attempt.signal, -1);
    ck_assert(attempt.progress < 0);
    ck_assert_str_eq(attempt.error_code, "");
}
END_TEST

START_TEST(a_job_frees_what_it_owns_and_not_what_it_borrows)
{
    JOB_AUTO job = job_new();
    ck_assert_ptr_nonnull(job);
    ck_assert_int_eq(job->state, JOB_QUEUED);
    ck_assert_int_eq(job->attempt.signal, -1);
    job->args = (struct text){"[]", 2};
    job->owned[1] = strdup("{}");
    job->result = (struct text){job->owned[1], 2};
    job_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job");
    TCase *tests = tcase_create("job");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, a_job_moves_as_the_machine_is_drawn_and_not_otherwise);
    tcase_add_test(tests, a_state_is_terminal_just_when_nothing_but_a_request_leads_out_of_it);
    tcase_add_test(tests, every_state_takes_or_refuses_every_request_and_says_why);
    tcase_add_test(tests, a_request_that_is_taken_leads_along_a_legal_move);
    tcase_add_test(tests, no_job_moves_to_the_state_that_it_has);
    tcase_add_test(tests, jobs_with_the_same_four_parts_are_in_one_lane_whatever_else_differs);
    tcase_add_test(tests, a_lane_differs_when_any_of_its_four_parts_does);
    tcase_add_test(tests, the_longest_names_and_key_have_a_lane_and_their_last_bytes_count);
    tcase_add_test(tests, the_numbers_in_the_store_never_change);
    tcase_add_test(tests, states_read_back_from_their_text);
    tcase_add_test(tests, durabilities_read_back_and_rise);
    tcase_add_test(tests, backoffs_read_back);
    tcase_add_test(tests, outcomes_have_texts_that_differ);
#if !defined(__SANITIZE_THREAD__)
    tcase_add_test_raise_signal(tests, a_state_beyond_the_table_aborts, 6);
#endif
    tcase_add_test(tests, names_are_letters_digits_dots_dashes_and_underscores);
    tcase_add_test(tests, names_have_at_most_63_bytes);
    tcase_add_loop_test(tests, copies_are_cut_at_the_border_of_a_character, 0,
                        sizeof COPIES / sizeof COPIES[0]);
    tcase_add_test(tests, a_copy_of_no_text_is_empty);
    tcase_add_test(tests, a_copy_reads_no_byte_beyond_its_source);
    tcase_add_test(tests, a_blank_attempt_knows_nothing);
    tcase_add_test(tests, a_job_frees_what_it_owns_and_not_what_it_borrows);
    return run_suite(suite);
}
