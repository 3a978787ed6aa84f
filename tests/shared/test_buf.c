#include "buf.h"
#include "run.h"

#include <string.h>

static void ck_holds(const struct buf *buf, const char *expected)
{
    ck_assert(!buf->failed);
    ck_assert_msg(buf->bytes == strlen(expected) && memcmp(buf->data, expected, buf->bytes) == 0,
                  "%.*s != %s", (int)buf->bytes, buf->data, expected);
}

START_TEST(an_empty_buffer_owns_nothing)
{
    struct buf buf = {0};
    buf_put(&buf, "");
    buf_add(&buf, NULL, 0);
    ck_assert_uint_eq(buf.bytes, 0);
    buf_fini(&buf);
    ck_assert_ptr_null(buf.data);
    buf_fini(&buf);
}
END_TEST

START_TEST(pieces_follow_each_other)
{
    BUF_AUTO buf = {0};
    buf_put(&buf, "a");
    buf_add(&buf, "bcd", 2);
    buf_printf(&buf, "%s-%05d", "x", 42);
    buf_put_int(&buf, 7);
    ck_holds(&buf, "abcx-000427");
}
END_TEST

START_TEST(a_buffer_grows_beyond_any_first_room)
{
    BUF_AUTO buf = {0};
    for (int i = 0; i < 100000; i++)
        buf_put(&buf, "0123456789");
    ck_assert_uint_eq(buf.bytes, 1000000);
    for (size_t i = 0; i < buf.bytes; i++)
        ck_assert_int_eq(buf.data[i], (int)('0' + i % 10));
}
END_TEST

START_TEST(reserved_room_is_filled_by_the_caller)
{
    BUF_AUTO buf = {0};
    char *at = buf_reserve(&buf, 5000);
    ck_assert_ptr_nonnull(at);
    memset(at, 'z', 5000);
    buf.bytes += 5000;
    buf_put(&buf, "!");
    ck_assert_uint_eq(buf.bytes, 5001);
    ck_assert_int_eq(buf.data[4999], 'z');
}
END_TEST

START_TEST(a_reservation_of_nothing_is_a_place_too)
{
    BUF_AUTO buf = {0};
    ck_assert_ptr_nonnull(buf_reserve(&buf, 0));
    ck_assert(!buf.failed);
}
END_TEST

START_TEST(a_reservation_that_cannot_be_fails_the_buffer_for_good)
{
    BUF_AUTO buf = {0};
    buf_put(&buf, "kept");
    ck_assert_ptr_null(buf_reserve(&buf, SIZE_MAX - 2));
    ck_assert(buf.failed);
    buf_put(&buf, "more");
    buf_printf(&buf, "%d", 1);
    ck_assert_uint_eq(buf.bytes, 4);
    size_t bytes = 99;
    ck_assert_ptr_null(buf_take(&buf, &bytes));
}
END_TEST

START_TEST(integers_are_written_to_their_limits)
{
    BUF_AUTO buf = {0};
    int64_t values[] = {0, -1, 10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buf_put_int(&buf, values[i]);
        buf_put(&buf, " ");
    }
    ck_holds(&buf, "0 -1 10 9223372036854775807 -9223372036854775808 ");
}
END_TEST

START_TEST(seconds_have_no_needless_zeros)
{
    static const struct {
        int64_t ms;
        const char *text;
    } CASES[] = {{0, "0"},       {1, "0.001"},   {10, "0.01"},
                 {1500, "1.5"},  {1050, "1.05"}, {60000, "60"},
                 {-500, "-0.5"}, {-2000, "-2"},  {INT64_MIN, "-9223372036854775.808"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        BUF_AUTO buf = {0};
        buf_put_seconds(&buf, CASES[i].ms);
        ck_holds(&buf, CASES[i].text);
    }
}
END_TEST

START_TEST(times_stand_in_quotes)
{
    BUF_AUTO buf = {0};
    buf_put_time(&buf, 1795415760123);
    ck_holds(&buf, "\"2026-11-23T06:36:00.123Z\"");
}
END_TEST

static const struct {
    const char *text;
    size_t bytes;
    const char *json;
} STRINGS[] = {
#define S(text, json)                                                                                        \
    {                                                                                                        \
        text, sizeof text - 1, json                                                                          \
    }
    S("", "\"\""),
    S("plain", "\"plain\""),
    S("say \"hi\" \\ /", "\"say \\\"hi\\\" \\\\ /\""),
    S("a\nb\rc\td", "\"a\\nb\\rc\\td\""),
    S("\b\f\x01\x1f\x7f", "\"\\u0008\\u000c\\u0001\\u001f\\u007f\""),
    S("a\0b", "\"a\\u0000b\""),
    S("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""),
    S("\xff", "\"\xef\xbf\xbd\""),
    S("a\xe9z", "\"a\xef\xbf\xbdz\""),
    S("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""),                   /* cut off */
    S("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""),                   /* overlong */
    S("\xed\xa0\x80x", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\""), /* a surrogate */
#undef S
};

START_TEST(strings_are_escaped_and_always_valid_utf8)
{
    BUF_AUTO buf = {0};
    buf_put_json(&buf, STRINGS[_i].text, STRINGS[_i].bytes);
    ck_holds(&buf, STRINGS[_i].json);
}
END_TEST

START_TEST(no_text_at_all_is_an_empty_string)
{
    BUF_AUTO buf = {0};
    buf_put_json(&buf, NULL, 0);
    ck_holds(&buf, "\"\"");
}
END_TEST

START_TEST(taking_hands_over_a_nul_terminated_text_and_empties_the_buffer)
{
    struct buf buf = {0};
    buf_put(&buf, "text");
    size_t bytes = 0;
    char *text = buf_take(&buf, &bytes);
    ck_assert_str_eq(text, "text");
    ck_assert_uint_eq(bytes, 4);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.bytes, 0);
    free(text);
    text = buf_take(&buf, &bytes);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(bytes, 0);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tests = tcase_create("buf");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, an_empty_buffer_owns_nothing);
    tcase_add_test(tests, pieces_follow_each_other);
    tcase_add_test(tests, a_buffer_grows_beyond_any_first_room);
    tcase_add_test(tests, reserved_room_is_filled_by_the_caller);
    tcase_add_test(tests, a_reservation_of_nothing_is_a_place_too);
    tcase_add_test(tests, a_reservation_that_cannot_be_fails_the_buffer_for_good);
    tcase_add_test(tests, integers_are_written_to_their_limits);
    tcase_add_test(tests, seconds_have_no_needless_zeros);
    tcase_add_test(tests, times_stand_in_quotes);
    tcase_add_loop_test(tests, strings_are_escaped_and_always_valid_utf8, 0,
                        sizeof STRINGS / sizeof STRINGS[0]);
    tcase_add_test(tests, no_text_at_all_is_an_empty_string);
    tcase_add_test(tests, taking_hands_over_a_nul_terminated_text_and_empties_the_buffer);
    return run_suite(suite);
}
