#include "json.h"
#include "run.h"

#include <string.h>

static void ck_excerpt(const char *text, size_t bytes, size_t at, const char *expected)
{
    BUF_AUTO out = {0};
    char *copy = malloc(bytes > 0 ? bytes : 1); /* ends where the text ends, for the address sanitizer */
    memcpy(copy, text, bytes);
    json_excerpt(copy, bytes, &(struct json_fault){.err = ERR_INVALID_JSON, .at = at}, &out);
    free(copy);
    ck_assert(!out.failed);
    buf_add(&out, "", 1);
    ck_assert_str_eq(out.data, expected);
}

#define EXCERPT(text, at, expected) ck_excerpt(text, sizeof text - 1, at, expected)

START_TEST(the_caret_stands_under_the_fault)
{
    EXCERPT("{\"a\": 1, \"b\": }", 14,
            "{\"a\": 1, \"b\": }\n"
            "              ^");
    EXCERPT("x", 0,
            "x\n"
            "^");
}
END_TEST

START_TEST(only_the_offending_line_is_shown)
{
    EXCERPT("{\n  \"a\": 1\n  \"b\": 2\n}", 13,
            "  \"b\": 2\n"
            "  ^");
    EXCERPT("[\r\n 1,\r\n x\r\n]\r\n", 9,
            " x\n"
            " ^");
    EXCERPT("{},\n{", 2,
            "{},\n"
            "  ^");
}
END_TEST

START_TEST(a_fault_at_the_end_has_its_caret_behind_the_line)
{
    EXCERPT("[1", 2,
            "[1\n"
            "  ^");
    EXCERPT("[1\n\n", 2,
            "[1\n"
            "  ^");
    EXCERPT("\"a\nb\"", 2,
            "\"a\n"
            "  ^");
    EXCERPT("\"a\r\nb\"", 2,
            "\"a\n"
            "  ^");
    EXCERPT("", 0,
            "\n"
            "^");
    EXCERPT("[1", 99,
            "[1\n"
            "  ^");
}
END_TEST

START_TEST(characters_beyond_ascii_count_as_one)
{
    EXCERPT("[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\", x]", 14,
            "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\", x]\n"
            "        ^");
}
END_TEST

START_TEST(tabs_and_control_characters_take_one_place)
{
    EXCERPT("\t[1,\t\tx]", 6,
            " [1,  x]\n"
            "      ^");
    EXCERPT("[\0\x1b\x7f\r x]", 6,
            "[\xe2\x90\x80\xe2\x90\x9b\xe2\x90\xa1\xe2\x90\x8d x]\n"
            "      ^");
}
END_TEST

START_TEST(bytes_that_are_not_utf8_and_what_steers_a_terminal_become_replacement_characters)
{
#define FFFD "\xef\xbf\xbd"
    EXCERPT("[\"caf\xe9\"]", 5,
            "[\"caf" FFFD "\"]\n"
            "     ^");
    EXCERPT("\xef\xbb\xbf{}", 0,
            FFFD "{}\n"
                 "^");
    EXCERPT("\"\xc2\x9b\xe2\x80\xae\xe2\x80\x8b\xe2\x81\xa6\" x", 14,
            "\"" FFFD FFFD FFFD FFFD "\" x\n"
            "       ^");
    EXCERPT("\"\xe2\x82", 1,
            "\"" FFFD FFFD "\n"
            " ^");
}
END_TEST

/* A line of the alphabet repeated, whose letter at `at` is !. */
static void letters(char *line, size_t bytes, size_t at)
{
    for (size_t i = 0; i < bytes; i++)
        line[i] = (char)('a' + i % 26);
    if (at < bytes)
        line[at] = '!';
}

START_TEST(a_line_of_72_characters_is_whole_and_one_of_73_is_cut)
{
    char line[128];
    letters(line, 73, 20);
    ck_excerpt(line, 72, 20,
               "abcdefghijklmnopqrst!vwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst\n"
               "                    ^");
    ck_excerpt(line, 73, 20,
               "abcdefghijklmnopqrst!vwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs\xe2\x80\xa6\n"
               "                    ^");
}
END_TEST

START_TEST(a_long_line_is_cut_on_both_sides_of_the_fault)
{
    char line[1000];
    letters(line, sizeof line, 520); /* 520 = 20 * 26, so ! stands for an a */
    ck_excerpt(
        line, sizeof line, 520,
        "\xe2\x80\xa6rstuvwxyzabcdefghijklmnopqrstuvwxyz!bcdefghijklmnopqrstuvwxyzabcdefghi\xe2\x80\xa6\n"
        "                                    ^");
}
END_TEST

START_TEST(near_the_end_of_a_long_line_more_of_its_beginning_is_shown)
{
    char line[1000];
    letters(line, sizeof line, 998);
    ck_excerpt(line, sizeof line, 998,
               "\xe2\x80\xa6"
               "tuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij!l\n"
               "                                                                      ^");
}
END_TEST

START_TEST(a_cut_never_divides_a_character)
{
    BUF_AUTO line = {0}, expected = {0};
    for (int i = 0; i < 500; i++)
        buf_put(&line, "\xf0\x9f\x98\x80");
    buf_put(&expected, "\xe2\x80\xa6");
    for (int i = 0; i < 70; i++)
        buf_put(&expected, "\xf0\x9f\x98\x80");
    buf_put(&expected, "\xe2\x80\xa6\n                                    ^");
    buf_add(&expected, "", 1);
    ck_excerpt(line.data, line.bytes, 1000, expected.data);
}
END_TEST

START_TEST(a_line_of_many_megabytes_costs_no_more_than_a_short_one)
{
    size_t bytes = 64u << 20;
    char *line = malloc(bytes);
    ck_assert_ptr_nonnull(line);
    memset(line, 'x', bytes);
    BUF_AUTO out = {0};
    for (int i = 0; i < 10000; i++) { /* by walking the line this would take minutes */
        out.bytes = 0;
        json_excerpt(line, bytes, &(struct json_fault){.at = bytes / 2}, &out);
    }
    free(line);
    ck_assert_uint_eq(out.bytes, 72 + 4 + 1 + 36 + 1); /* two of the 72 are … */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_excerpt");
    TCase *tests = tcase_create("excerpt");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, the_caret_stands_under_the_fault);
    tcase_add_test(tests, only_the_offending_line_is_shown);
    tcase_add_test(tests, a_fault_at_the_end_has_its_caret_behind_the_line);
    tcase_add_test(tests, characters_beyond_ascii_count_as_one);
    tcase_add_test(tests, tabs_and_control_characters_take_one_place);
    tcase_add_test(tests, bytes_that_are_not_utf8_and_what_steers_a_terminal_become_replacement_characters);
    tcase_add_test(tests, a_line_of_72_characters_is_whole_and_one_of_73_is_cut);
    tcase_add_test(tests, a_long_line_is_cut_on_both_sides_of_the_fault);
    tcase_add_test(tests, near_the_end_of_a_long_line_more_of_its_beginning_is_shown);
    tcase_add_test(tests, a_cut_never_divides_a_character);
    tcase_add_test(tests, a_line_of_many_megabytes_costs_no_more_than_a_short_one);
    return run_suite(suite);
}
