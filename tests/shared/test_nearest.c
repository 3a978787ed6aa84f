#include "run.h"

#include "nearest.h"

#include <string.h>

START_TEST(the_nearest_name_is_near_or_none)
{
    static const char *const KNOWN[] = {"sha256", "echo", "resize-image", "db"};
    size_t count = sizeof KNOWN / sizeof *KNOWN;
    ck_assert_str_eq(nearest_name("sha265", KNOWN, count), "sha256");
    ck_assert_str_eq(nearest_name("SHA256", KNOWN, count), "sha256");
    ck_assert_str_eq(nearest_name("ehco", KNOWN, count), "echo");
    ck_assert_str_eq(nearest_name("resizeimg", KNOWN, count), "resize-image");
    ck_assert_str_eq(nearest_name("d", KNOWN, count), "db");
    ck_assert_ptr_null(nearest_name("x", KNOWN, count));
    ck_assert_ptr_null(nearest_name("", KNOWN, count));
    ck_assert_ptr_null(nearest_name("thumbnail", KNOWN, count));
    ck_assert_ptr_null(nearest_name("echo", KNOWN, 0));
    char wide[1024] = "";
    memset(wide, 'e', sizeof wide - 1);
    ck_assert_ptr_null(nearest_name(wide, KNOWN, count));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/nearest");
    TCase *tests = tcase_create("nearest");
    tcase_add_test(tests, the_nearest_name_is_near_or_none);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
