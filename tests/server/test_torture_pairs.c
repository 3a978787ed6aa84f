/* `forkpool torture` beside a fresh instance: which rounds are disturbed, and what is said of the others. */
#include "run.h"

#include "torture_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct pairs pairs;
static struct verdict verdict;

static void begin_pairs(void)
{
    pairs = (struct pairs){.count = 0};
    verdict = (struct verdict){.samples = 0};
}

static struct pair *add(double ratio)
{
    struct pair *pair = &pairs.at[pairs.count++];
    *pair = (struct pair){.tortured = {.jobs = 4000 * ratio}, .fresh = {.jobs = 4000}};
    return pair;
}

static void add_all(const double *ratios, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(ratios[i]);
}

static char *report(void)
{
    struct buf text = {0};
    pairs_report(&text, &pairs);
    buf_add(&text, "", 1);
    return text.data;
}

/* --- processors --- */

START_TEST(a_line_of_all_processors_is_read)
{
    struct processors processors = {.own = 7};
    ck_assert(processors_parse("cpu  100 20 30 1000 50 6 4 90 99 98\n", &processors));
    ck_assert_int_eq(processors.busy, 150);
    ck_assert_int_eq(processors.stolen, 90);
    ck_assert_int_eq(processors.all, 1300);
    ck_assert_int_eq(processors.own, 7);
    ck_assert(!processors_parse("cpu0 100 20 30 1000 50 6 4 90 99 98\n", &processors));
    ck_assert(!processors_parse("cpu 100 20 30\n", &processors));
}
END_TEST

START_TEST(what_others_and_the_host_took_is_a_share_of_all_processors)
{
    struct processors before = {1000, 500, 10, 300}, after = {1400, 700, 18, 460};
    struct round round = {.jobs = 1};
    round_disturb(&round, &before, &after);
    ck_assert_double_eq_tol(round.disturbances[DISTURBANCE_OTHERS], 10, 1e-9);
    ck_assert_double_eq_tol(round.disturbances[DISTURBANCE_STOLEN], 2, 1e-9);
}
END_TEST

START_TEST(a_round_of_which_nothing_is_known_is_disturbed)
{
    struct pair *pair = add(1);
    static const struct processors NOTHING = {.all = 0};
    round_disturb(&pair->fresh, &NOTHING, &NOTHING);
    ck_assert(pair_is_disturbed(pair));
}
END_TEST

START_TEST(a_pair_is_disturbed_by_either_round_and_only_above_the_limit)
{
    struct pair *pair = add(1);
    pair->tortured.disturbances[DISTURBANCE_OTHERS] = 10;
    pair->fresh.disturbances[DISTURBANCE_STOLEN] = 2;
    ck_assert(!pair_is_disturbed(pair));
    pair->fresh.disturbances[DISTURBANCE_STOLEN] = 2.1;
    ck_assert(pair_is_disturbed(pair));
    pair->fresh.disturbances[DISTURBANCE_STOLEN] = 0;
    pair->tortured.disturbances[DISTURBANCE_OTHERS] = 10.1;
    ck_assert(pair_is_disturbed(pair));
}
END_TEST

static void burn(long ms)
{
    struct timespec used;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < ms);
}

/* A child of the caller: burns so long, in a child of its own that ends first, in another one that lives, and
 * by itself. */
static pid_t fork_tree(long ms, int told)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int ready[2];
    if (pipe(ready) != 0)
        _exit(1);
    for (int lives = 0; lives < 2; lives++) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            burn(ms);
            while (lives && write(ready[1], "x", 1) == 1)
                pause();
            _exit(0);
        }
        if (!lives)
            waitpid(child, NULL, 0);
    }
    burn(ms);
    char byte;
    if (read(ready[0], &byte, 1) == 1 && write(told, &byte, 1) == 1)
        pause();
    _exit(1);
}

START_TEST(the_time_of_an_instance_is_that_of_its_living_and_its_dead)
{
    enum { BURN_MS = 200 };
    int told[2];
    char byte;
    ck_assert_int_eq(pipe(told), 0);
    struct instance instance = {.supervisor = fork_tree(BURN_MS, told[1])};
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
    int64_t ms = instance_ticks(&instance) * 1000 / sysconf(_SC_CLK_TCK);
    kill(instance.supervisor, SIGKILL);
    waitpid(instance.supervisor, NULL, 0);
    close(told[0]);
    close(told[1]);
    ck_assert_int_ge(ms, 3 * (BURN_MS - 40));
    ck_assert_int_le(ms, 3 * (BURN_MS + 100));
}
END_TEST

/* --- judging --- */

START_TEST(mean_and_interval_are_those_of_the_logarithms)
{
    static const double RATIOS[] = {0.9, 1.0, 1.1, 1.05, 0.95, 1.0};
    add_all(RATIOS, 6);
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(pairs.used, 6);
    ck_assert_double_eq_tol(pairs.ratio, 0.997910, 1e-5);
    ck_assert_double_eq_tol(pairs.low, 0.926295, 1e-5);
    ck_assert_double_eq_tol(pairs.high, 1.075062, 1e-5);
    ck_assert_uint_eq(verdict_total(&verdict), 0);
    char *text = report();
    ck_assert_ptr_nonnull(strstr(text, "0.998 of a fresh instance's, with 95 % from 0.926 to 1.075"));
    ck_assert_ptr_nonnull(strstr(text, "6 used, 0 left out"));
    ck_assert_ptr_nonnull(strstr(text, "other processes than 10 %"));
    free(text);
}
END_TEST

START_TEST(a_whole_interval_below_is_slower_than_before)
{
    static const double RATIOS[] = {0.5, 0.6, 0.55, 0.52, 0.58};
    add_all(RATIOS, 5);
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(verdict.faults[FAULT_SLOWER], 1);
    ck_assert_uint_eq(verdict_total(&verdict), 1);
    ck_assert_str_eq(verdict.examples[FAULT_SLOWER][0],
                     "0.549 of a fresh one's throughput, with 95 % from 0.500 to 0.602");
}
END_TEST

START_TEST(an_interval_that_reaches_the_aim_is_no_fault)
{
    static const double RATIOS[] = {0.5, 1.3, 0.55, 0.52, 0.58};
    add_all(RATIOS, 5);
    pairs_judge(&pairs, &verdict);
    ck_assert_double_gt(pairs.high, 0.95);
    ck_assert_double_lt(pairs.ratio, 0.7);
    ck_assert_uint_eq(verdict_total(&verdict), 0);
}
END_TEST

START_TEST(the_aim_itself_is_within_and_a_little_less_is_not)
{
    for (int i = 0; i < TORTURE_PAIRS_NEEDED; i++)
        add(_i == 0 ? 0.951 : 0.949);
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(verdict.faults[FAULT_SLOWER], _i == 0 ? 0 : 1);
}
END_TEST

START_TEST(of_too_few_pairs_nothing_is_said)
{
    for (int i = 0; i < TORTURE_PAIRS_NEEDED - 1; i++)
        add(0.1);
    add(0.1)->fresh.disturbances[DISTURBANCE_OTHERS] = 50;
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(verdict_total(&verdict), 0);
    char *text = report();
    ck_assert_ptr_nonnull(strstr(text, "nothing can be said without 5 undisturbed pairs"));
    ck_assert_ptr_nonnull(strstr(text, "4 used, 1 left out"));
    free(text);
}
END_TEST

START_TEST(disturbed_pairs_count_for_nothing)
{
    for (int i = 0; i < TORTURE_PAIRS_NEEDED; i++) {
        add(1);
        add(0.1)->tortured.disturbances[DISTURBANCE_STOLEN] = 3;
    }
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(pairs.used, TORTURE_PAIRS_NEEDED);
    ck_assert_double_eq_tol(pairs.ratio, 1, 1e-9);
    ck_assert_uint_eq(verdict_total(&verdict), 0);
}
END_TEST

START_TEST(rounds_in_which_nothing_ended_are_slower)
{
    for (int i = 0; i < TORTURE_PAIRS_NEEDED; i++)
        add(0);
    pairs_judge(&pairs, &verdict);
    ck_assert_uint_eq(verdict.faults[FAULT_SLOWER], 1);
}
END_TEST

START_TEST(many_pairs_make_the_interval_no_wider_than_few)
{
    for (int i = 0; i < PAIRS_MAX; i++)
        add(i % 2 == 0 ? 0.9 : 1.1);
    pairs_judge(&pairs, &verdict);
    ck_assert_double_lt(pairs.high - pairs.low, 0.015);
    ck_assert_double_gt(pairs.high - pairs.low, 0.010);
}
END_TEST

START_TEST(without_pairs_the_report_says_so)
{
    pairs_judge(&pairs, &verdict);
    char *text = report();
    ck_assert_ptr_nonnull(strstr(text, "not compared with a fresh instance"));
    ck_assert_uint_eq(verdict_total(&verdict), 0);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_pairs");
    TCase *tests = tcase_create("pairs");
    tcase_add_checked_fixture(tests, begin_pairs, NULL);
    tcase_add_test(tests, a_line_of_all_processors_is_read);
    tcase_add_test(tests, what_others_and_the_host_took_is_a_share_of_all_processors);
    tcase_add_test(tests, a_round_of_which_nothing_is_known_is_disturbed);
    tcase_add_test(tests, a_pair_is_disturbed_by_either_round_and_only_above_the_limit);
    tcase_add_test(tests, the_time_of_an_instance_is_that_of_its_living_and_its_dead);
    tcase_add_test(tests, mean_and_interval_are_those_of_the_logarithms);
    tcase_add_test(tests, a_whole_interval_below_is_slower_than_before);
    tcase_add_test(tests, an_interval_that_reaches_the_aim_is_no_fault);
    tcase_add_loop_test(tests, the_aim_itself_is_within_and_a_little_less_is_not, 0, 2);
    tcase_add_test(tests, of_too_few_pairs_nothing_is_said);
    tcase_add_test(tests, disturbed_pairs_count_for_nothing);
    tcase_add_test(tests, rounds_in_which_nothing_ended_are_slower);
    tcase_add_test(tests, many_pairs_make_the_interval_no_wider_than_few);
    tcase_add_test(tests, without_pairs_the_report_says_so);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
