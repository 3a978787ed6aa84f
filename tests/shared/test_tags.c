#include "tags.h"
#include "run.h"

#include <string.h>

static struct text text_of(const char *text)
{
    return (struct text){text, strlen(text)};
}

static struct text text_in(const struct buf *buf)
{
    return (struct text){buf->data, buf->bytes};
}

START_TEST(tags_have_1_to_64_characters_and_no_control_characters)
{
    char longest[4 * 64 + 2] = "";
    for (int i = 0; i < 64; i++)
        strcat(longest, "é");
    ck_assert(tag_ok("a") && tag_ok("two words, a \"quote\" and a \\") && tag_ok(longest));
    strcat(longest, "x");
    ck_assert(!tag_ok(longest));
    ck_assert(!tag_ok("") && !tag_ok("a\nb") && !tag_ok("\x7f") && !tag_ok("\xc3") && !tag_ok("\xff"));
}
END_TEST

START_TEST(what_was_added_comes_back_once_in_its_order)
{
    static const char *const TAGS[] = {"b", "a\"", "\\", ",", "é\xf0\x9f\x98\x80", "]"};
    enum { COUNT = sizeof TAGS / sizeof TAGS[0] };
    BUF_AUTO out = {0};
    char tag[TAG_BYTES];
    size_t at = 0, count = 0;
    for (int i = 0; i < COUNT; i++)
        ck_assert(tags_add(&out, TAGS[i]));
    for (int i = 0; i < COUNT; i++)
        ck_assert(!tags_add(&out, TAGS[i]));
    while (tags_next(text_in(&out), &at, tag))
        ck_assert_str_eq(tag, TAGS[count++]);
    ck_assert_uint_eq(count, COUNT);
}
END_TEST

START_TEST(a_tag_is_found_whole_or_not_at_all)
{
    struct text tags = text_of("[\"x\",\"y\",\"a\\\"b\"]");
    ck_assert(tags_hold(tags, "x") && tags_hold(tags, "y") && tags_hold(tags, "a\"b"));
    ck_assert(!tags_hold(tags, ",") && !tags_hold(tags, "a") && !tags_hold(tags, "") &&
              !tags_hold(tags, "b"));
    ck_assert(!tags_hold((struct text){NULL, 0}, "x"));
}
END_TEST

START_TEST(a_text_that_is_no_array_of_tags_is_read_to_its_end_at_most)
{
    static const char *const TEXTS[] = {"",         "[",  "[\"", "[\"a",     "[\"a\\",
                                        "[\"a\\\"", "[]", "[1]", "{\"a\":1}"};
    char tag[TAG_BYTES];
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        size_t bytes = strlen(TEXTS[i]), at = 0;
        char *exact = malloc(bytes > 0 ? bytes : 1);
        memcpy(exact, TEXTS[i], bytes);
        int found = 0;
        while (tags_next((struct text){exact, bytes}, &at, tag))
            found++;
        ck_assert_int_eq(found, TEXTS[i][0] == '{');
        free(exact);
    }
}
END_TEST

START_TEST(a_tag_that_is_too_long_ends_the_reading)
{
    char text[TAG_BYTES + 16], tag[TAG_BYTES];
    size_t at = 0;
    memset(text, 'a', sizeof text);
    memcpy(text, "[\"", 2);
    memcpy(text + sizeof text - 2, "\"]", 2);
    ck_assert(!tags_next((struct text){text, sizeof text}, &at, tag));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tags");
    TCase *tcase = tcase_create("tags");
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, tags_have_1_to_64_characters_and_no_control_characters);
    tcase_add_test(tcase, what_was_added_comes_back_once_in_its_order);
    tcase_add_test(tcase, a_tag_is_found_whole_or_not_at_all);
    tcase_add_test(tcase, a_text_that_is_no_array_of_tags_is_read_to_its_end_at_most);
    tcase_add_test(tcase, a_tag_that_is_too_long_ends_the_reading);
    return run_suite(suite);
}
