#include "run.h"

#include "cpus.h"

START_TEST(numbers_and_ranges_become_a_set)
{
    cpu_set_t cpus;
    ck_assert_int_eq(cpus_parse("0-3,5", &cpus), ERR_OK);
    ck_assert_int_eq(CPU_COUNT(&cpus), 5);
    for (size_t cpu = 0; cpu < 8; cpu++)
        ck_assert_int_eq(CPU_ISSET(cpu, &cpus) != 0, cpu <= 3 || cpu == 5);
    ck_assert_int_eq(cpus_parse("1023", &cpus), ERR_OK);
    ck_assert_int_eq(CPU_COUNT(&cpus), 1);
    ck_assert_int_eq(cpus_parse("2,0-4,2-2", &cpus), ERR_OK);
    ck_assert_int_eq(CPU_COUNT(&cpus), 5);
}
END_TEST

START_TEST(what_is_no_set_is_refused)
{
    static const char *const TEXTS[] = {"",  ",",    "0,",   "0-",     "-1",   "3-1",
                                        "a", "0 ,1", "1024", "0-1024", "0,,1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        cpu_set_t cpus;
        ck_assert_msg(cpus_parse(TEXTS[i], &cpus) == ERR_CONFIG, "%s", TEXTS[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/cpus");
    TCase *tests = tcase_create("cpus");
    tcase_add_test(tests, numbers_and_ranges_become_a_set);
    tcase_add_test(tests, what_is_no_set_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
