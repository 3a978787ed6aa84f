/* Newline-delimited JSON, however it is cut into pieces. */
#include "run.h"

#include "bulk_lines.h"

#include <string.h>

static struct bulk_lines lines;
static struct buf seen; /* "number:line;" for each */

static void note(void *context, size_t number, struct buf *line, bool too_long)
{
    ck_assert_ptr_eq(context, &seen);
    ck_assert(!line->failed);
    buf_printf(&seen, "%zu:%.*s%s;", number, (int)line->bytes, line->bytes > 0 ? line->data : "",
               too_long ? "too long" : "");
}

static void setup(void)
{
    lines = (struct bulk_lines){.most = 20, .visit = note, .context = &seen};
    seen = (struct buf){0};
}

static void teardown(void)
{
    bulk_lines_fini(&lines);
    buf_fini(&seen);
}

static void assert_seen(const char *expected)
{
    ck_assert_msg(seen.bytes == strlen(expected) && memcmp(seen.data, expected, seen.bytes) == 0, "%.*s",
                  (int)seen.bytes, seen.data);
}

static void whole(const char *text)
{
    bulk_lines_feed(&lines, text, strlen(text));
    bulk_lines_end(&lines);
}

START_TEST(each_line_comes_with_its_number)
{
    whole("{\"a\":1}\n{\"b\":2}\n");
    assert_seen("1:{\"a\":1};2:{\"b\":2};");
}
END_TEST

START_TEST(the_last_line_needs_no_end)
{
    whole("one\ntwo");
    assert_seen("1:one;2:two;");
}
END_TEST

START_TEST(blank_lines_are_skipped_and_counted)
{
    whole("\n \t\none\n\r\n\ntwo\n\n");
    assert_seen("3:one;6:two;");
}
END_TEST

START_TEST(a_carriage_return_belongs_to_the_end)
{
    whole("one\r\ntwo\r\nthree\r");
    assert_seen("1:one;2:two;3:three;");
}
END_TEST

START_TEST(nothing_comes_of_nothing)
{
    whole("");
    ck_assert_uint_eq(seen.bytes, 0);
    ck_assert_uint_eq(lines.number, 0);
}
END_TEST

START_TEST(a_line_may_have_as_many_bytes_as_are_allowed)
{
    whole("12345678901234567890\n123456789012345678901\nx\n");
    assert_seen("1:12345678901234567890;2:too long;3:x;");
}
END_TEST

START_TEST(a_line_that_is_too_long_is_not_kept_however_it_comes)
{
    for (int i = 0; i < 1000; i++)
        bulk_lines_feed(&lines, "0123456789", 10);
    ck_assert_uint_le(lines.line.room, 256);
    bulk_lines_feed(&lines, "\nx", 2);
    bulk_lines_end(&lines);
    assert_seen("1:too long;2:x;");
}
END_TEST

START_TEST(pieces_may_end_anywhere)
{
    static const char TEXT[] = "{\"a\":\"ä€😀\"}\r\n\r\nxy\n";
    for (size_t cut = 0; cut < sizeof TEXT; cut++) {
        setup();
        bulk_lines_feed(&lines, TEXT, cut);
        bulk_lines_feed(&lines, TEXT + cut, sizeof TEXT - 1 - cut);
        bulk_lines_end(&lines);
        assert_seen("1:{\"a\":\"ä€😀\"};3:xy;");
        teardown();
    }
    setup();
    for (size_t i = 0; i < sizeof TEXT - 1; i++)
        bulk_lines_feed(&lines, TEXT + i, 1);
    bulk_lines_end(&lines);
    assert_seen("1:{\"a\":\"ä€😀\"};3:xy;");
}
END_TEST

static void take(void *context, size_t number, struct buf *line, bool too_long)
{
    (void)too_long;
    if (number == 1) {
        *(struct buf *)context = *line;
        *line = (struct buf){0};
    }
}

START_TEST(the_bytes_of_a_line_may_be_taken)
{
    struct buf taken = {0};
    lines.visit = take;
    lines.context = &taken;
    whole("first\nsecond\n");
    ck_assert_uint_eq(taken.bytes, 5);
    ck_assert_mem_eq(taken.data, "first", 5);
    buf_fini(&taken);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bulk_lines");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_line_comes_with_its_number);
    tcase_add_test(tcase, the_last_line_needs_no_end);
    tcase_add_test(tcase, blank_lines_are_skipped_and_counted);
    tcase_add_test(tcase, a_carriage_return_belongs_to_the_end);
    tcase_add_test(tcase, nothing_comes_of_nothing);
    tcase_add_test(tcase, a_line_may_have_as_many_bytes_as_are_allowed);
    tcase_add_test(tcase, a_line_that_is_too_long_is_not_kept_however_it_comes);
    tcase_add_test(tcase, pieces_may_end_anywhere);
    tcase_add_test(tcase, the_bytes_of_a_line_may_be_taken);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
