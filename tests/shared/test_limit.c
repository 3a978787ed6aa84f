#include "run.h"

#include "limit.h"

#include <stdlib.h>
#include <string.h>

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static void puts_as(enum limit limit, int64_t value, const char *text)
{
    struct buf out = {0};
    size_t bytes;
    limit_put(&out, limit, value);
    char *put = buf_take(&out, &bytes);
    ck_assert_str_eq(put, text);
    free(put);
}

static void reads(enum limit limit, const char *text, int64_t expected)
{
    int64_t value = 12345;
    ck_assert_msg(limit_read(limit, span(text), &value), "%s: %s", limit_member(limit), text);
    ck_assert_int_eq(value, expected);
}

static void refuses(enum limit limit, const char *text)
{
    int64_t value;
    ck_assert_msg(!limit_read(limit, span(text), &value), "%s: %s", limit_member(limit), text);
}

START_TEST(none_says_nothing_about_anything)
{
    struct limits limits = limits_none();
    for (int i = 0; i < LIMIT_COUNT; i++)
        ck_assert_int_eq(limits.values[i], LIMIT_NOT_SET);
}
END_TEST

START_TEST(what_is_set_above_goes_before_what_is_below_value_by_value)
{
    struct limits over = limits_none(), under = limits_none();
    over.values[LIMIT_CONCURRENCY] = 1;
    under.values[LIMIT_CONCURRENCY] = 2;
    under.values[LIMIT_WEIGHT] = 3;
    over.values[LIMIT_PAUSED] = 0;
    under.values[LIMIT_PAUSED] = 1;
    struct limits joined = limits_join(&over, &under);
    ck_assert_int_eq(joined.values[LIMIT_CONCURRENCY], 1);
    ck_assert_int_eq(joined.values[LIMIT_WEIGHT], 3);
    ck_assert_int_eq(joined.values[LIMIT_PAUSED], 0); /* false is said, and not nothing */
    ck_assert_int_eq(joined.values[LIMIT_RATE], LIMIT_NOT_SET);
}
END_TEST

START_TEST(every_limit_has_a_member_of_its_own_and_says_what_would_be_right)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        ck_assert_int_gt((int)strlen(limit_right((enum limit)i)), 0);
        ck_assert(limit_is_for((enum limit)i, FOR_QUEUE | FOR_TASK));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(limit_member((enum limit)i), limit_member((enum limit)j));
    }
}
END_TEST

START_TEST(shares_depth_and_draining_are_for_queues_alone)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        bool alone = i == LIMIT_WEIGHT || i == LIMIT_MAX_DEPTH || i == LIMIT_DRAINING;
        ck_assert(limit_is_for((enum limit)i, FOR_QUEUE));
        ck_assert_int_eq(limit_is_for((enum limit)i, FOR_TASK), !alone);
    }
}
END_TEST

START_TEST(null_takes_any_limit_back)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        reads((enum limit)i, "null", LIMIT_NOT_SET);
        puts_as((enum limit)i, LIMIT_NOT_SET, "null");
    }
}
END_TEST

START_TEST(numbers_are_whole_and_within_their_bounds)
{
    reads(LIMIT_CONCURRENCY, "1", 1);
    reads(LIMIT_CONCURRENCY, "1000000", 1000000);
    reads(LIMIT_CONCURRENCY, "5.0", 5);
    reads(LIMIT_WEIGHT, "1000", 1000);
    reads(LIMIT_MAX_DEPTH, "1000000000", 1000000000);
    static const char *const WRONG[] = {"0", "-1", "1.5", "1000000001", "1e300", "true", "\"5\"", "[]", "{}"};
    for (int i = 0; i < LIMIT_COUNT; i++)
        for (size_t w = 0; w < sizeof WRONG / sizeof *WRONG; w++)
            if (i != LIMIT_PAUSED && i != LIMIT_DRAINING)
                refuses((enum limit)i, WRONG[w]);
    refuses(LIMIT_WEIGHT, "1001");
    refuses(LIMIT_CONCURRENCY, "1000001");
    refuses(LIMIT_BURST, "1000001");
    puts_as(LIMIT_KEY_BURST, 77, "77");
}
END_TEST

START_TEST(switches_are_true_or_false)
{
    reads(LIMIT_PAUSED, "true", 1);
    reads(LIMIT_PAUSED, "false", 0);
    refuses(LIMIT_PAUSED, "1");
    refuses(LIMIT_DRAINING, "\"true\"");
    refuses(LIMIT_DRAINING, "True");
    puts_as(LIMIT_PAUSED, 1, "true");
    puts_as(LIMIT_DRAINING, 0, "false");
}
END_TEST

START_TEST(a_rate_is_one_number_and_is_put_as_it_was)
{
    int64_t ten = limit_rate((struct rate){.count = 10, .period_s = 1});
    ck_assert_int_gt(ten, 0);
    ck_assert_int_eq(limit_rate((struct rate){0}), LIMIT_NOT_SET);
    ck_assert_int_ne(ten, limit_rate((struct rate){.count = 1, .period_s = 10}));
    ck_assert_int_eq(limit_rate_interval_ns(ten), 100000000);
    reads(LIMIT_RATE, "\"10/s\"", ten);
    reads(LIMIT_KEY_RATE, "\"10/1s\"", ten);
    refuses(LIMIT_RATE, "\"0/s\"");
    refuses(LIMIT_RATE, "\"10\"");
    refuses(LIMIT_RATE, "10");
    puts_as(LIMIT_RATE, ten, "\"10/s\"");
}
END_TEST

START_TEST(the_greatest_rate_of_the_longest_period_fits)
{
    struct rate most = {.count = RATE_COUNT_MAX, .period_s = RATE_PERIOD_MAX_S};
    ck_assert_int_eq(limit_rate_interval_ns(limit_rate(most)), rate_interval_ns(most));
}
END_TEST

static void written_as(const struct limits *limits, const char *text)
{
    struct buf out = {0};
    size_t bytes;
    limits_write(&out, limits);
    char *written = buf_take(&out, &bytes);
    ck_assert_str_eq(written, text);
    struct limits again = limits_read((struct json_span){written, bytes});
    ck_assert_mem_eq(&again, limits, sizeof again);
    free(written);
}

START_TEST(the_store_keeps_what_is_set_and_reads_it_back)
{
    struct limits limits = limits_none();
    written_as(&limits, "{}");
    limits.values[LIMIT_CONCURRENCY] = 4;
    written_as(&limits, "{\"concurrency\":4}");
    limits.values[LIMIT_PAUSED] = 0;
    limits.values[LIMIT_RATE] = limit_rate((struct rate){.count = 3, .period_s = 10});
    written_as(&limits, "{\"paused\":false,\"concurrency\":4,\"rate\":\"3/10s\"}");
}
END_TEST

START_TEST(what_the_store_does_not_explain_is_not_set)
{
    static const char *const TEXTS[] = {"", "[]", "{", "{\"later\":1}", "{\"weight\":0}", "{\"paused\":3}"};
    const struct limits none = limits_none();
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct limits limits = limits_read(span(TEXTS[i]));
        ck_assert_mem_eq(&limits, &none, sizeof none);
    }
    struct limits limits = limits_read((struct json_span){NULL, 0});
    ck_assert_mem_eq(&limits, &none, sizeof none);
    limits = limits_read(span("{\"later\":1,\"weight\":7,\"burst\":-4}"));
    ck_assert_int_eq(limits.values[LIMIT_WEIGHT], 7);
    ck_assert_int_eq(limits.values[LIMIT_BURST], LIMIT_NOT_SET);
}
END_TEST

START_TEST(what_a_request_gives_is_said_with_what_it_takes_back)
{
    struct limits limits = limits_none();
    bool given[LIMIT_COUNT] = {[LIMIT_PAUSED] = true, [LIMIT_RATE] = true, [LIMIT_MAX_DEPTH] = true};
    BUF_AUTO out = {0};
    limits.values[LIMIT_PAUSED] = 0;
    limits.values[LIMIT_RATE] = limit_rate((struct rate){10, 1});
    limits.values[LIMIT_WEIGHT] = 3; /* not given */
    limits_write_given(&out, &limits, given);
    buf_add(&out, "", 1);
    ck_assert_str_eq(out.data, "{\"paused\":false,\"rate\":\"10/s\",\"max_depth\":null}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limit");
    TCase *tests = tcase_create("limit");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, none_says_nothing_about_anything);
    tcase_add_test(tests, what_is_set_above_goes_before_what_is_below_value_by_value);
    tcase_add_test(tests, every_limit_has_a_member_of_its_own_and_says_what_would_be_right);
    tcase_add_test(tests, shares_depth_and_draining_are_for_queues_alone);
    tcase_add_test(tests, null_takes_any_limit_back);
    tcase_add_test(tests, numbers_are_whole_and_within_their_bounds);
    tcase_add_test(tests, switches_are_true_or_false);
    tcase_add_test(tests, a_rate_is_one_number_and_is_put_as_it_was);
    tcase_add_test(tests, the_greatest_rate_of_the_longest_period_fits);
    tcase_add_test(tests, the_store_keeps_what_is_set_and_reads_it_back);
    tcase_add_test(tests, what_the_store_does_not_explain_is_not_set);
    tcase_add_test(tests, what_a_request_gives_is_said_with_what_it_takes_back);
    return run_suite(suite);
}
