/* What rates have used up outlives whoever has written it. */
#include "lineup_fixture.h"
#include "store_fixture.h"

static struct meters book;

static void book_up(void)
{
    make_folder();
    ok(meters_open(folder, &book));
}

static void book_down(void)
{
    meters_close(&book);
    remove_folder();
}

static void open_again(void)
{
    meters_close(&book);
    ok(meters_open(folder, &book));
}

static int64_t seconds_ahead(uint64_t gate)
{
    int64_t tat_ns = meters_read(&book, gate);
    return tat_ns == 0 ? 0 : (tat_ns - clock_mono_ns() + NS_PER_SEC / 2) / NS_PER_SEC;
}

START_TEST(what_was_written_is_there_in_the_next_life)
{
    meters_write(&book, 7, clock_mono_ns() + 100 * NS_PER_SEC);
    meters_write(&book, 8, clock_mono_ns() + 200 * NS_PER_SEC);
    open_again();
    ck_assert_int_eq(seconds_ahead(7), 100);
    ck_assert_int_eq(seconds_ahead(8), 200);
    ck_assert_int_eq(seconds_ahead(9), 0);
    meters_write(&book, 7, clock_mono_ns() + 300 * NS_PER_SEC);
    ck_assert_int_eq(seconds_ahead(7), 300);
}
END_TEST

START_TEST(what_has_passed_is_nothing)
{
    meters_write(&book, 7, clock_mono_ns() - NS_PER_SEC);
    ck_assert_int_eq(meters_read(&book, 7), 0);
}
END_TEST

/* All of these would like the same place. */
START_TEST(of_too_many_those_stay_that_matter_for_longest)
{
    for (uint64_t i = 0; i < 40; i++)
        meters_write(&book, 5 + i * METERS_MOST, clock_mono_ns() + (int64_t)(10 + i) * NS_PER_SEC);
    for (uint64_t i = 24; i < 40; i++)
        ck_assert_int_eq(seconds_ahead(5 + i * METERS_MOST), (int64_t)(10 + i));
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_an_error)
{
    struct meters none;
    ck_assert_int_eq(meters_open("/nowhere/at/all", &none), ERR_SYSTEM);
    ck_assert_ptr_null(none.entries);
}
END_TEST

/* --- with a lineup --- */

static void begin_life(void)
{
    lineup_init(&lineup, 1, &book);
    last_seq = 0;
    now_ns = lineup.now_ns = clock_mono_ns();
}

static int take_all_of(const char *key)
{
    int taken = 0;
    (void)stands("q", "t", key, 5, 100);
    while (take() != NULL)
        taken++;
    return taken;
}

START_TEST(a_restart_is_no_way_around_a_rate)
{
    for (int life = 0; life < 3; life++) {
        begin_life();
        limit_queue("q", LIMIT_RATE, rate_of(5, 3600));
        limit_queue("q", LIMIT_BURST, 5);
        resettle();
        ck_assert_int_eq(take_all_of(""), life == 0 ? 5 : 0);
        lineup_fini(&lineup);
        open_again();
    }
}
END_TEST

START_TEST(nor_around_the_rate_of_a_key)
{
    for (int life = 0; life < 2; life++) {
        begin_life();
        limit_queue("q", LIMIT_KEY_RATE, rate_of(2, 3600));
        limit_queue("q", LIMIT_KEY_BURST, 2);
        limit_queue("q", LIMIT_KEY_CONCURRENCY, 10);
        resettle();
        ck_assert_int_eq(take_all_of("a"), life == 0 ? 2 : 0);
        ck_assert_int_eq(take_all_of(life == 0 ? "b" : "c"), 2);
        lineup_fini(&lineup);
    }
}
END_TEST

/* All ten of a second have gone: twice as many a second are no ten more at once. */
START_TEST(another_rate_is_none_either)
{
    begin_life();
    limit_queue("q", LIMIT_RATE, rate_of(10, 1));
    limit_queue("q", LIMIT_BURST, 10);
    resettle();
    ck_assert_int_eq(take_all_of(""), 10);
    limit_queue("q", LIMIT_RATE, rate_of(20, 1));
    resettle();
    ck_assert_ptr_null(take());
    lineup_fini(&lineup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meters");
    TCase *tcase = tcase_create("meters");
    tcase_add_checked_fixture(tcase, book_up, book_down);
    tcase_add_test(tcase, what_was_written_is_there_in_the_next_life);
    tcase_add_test(tcase, what_has_passed_is_nothing);
    tcase_add_test(tcase, of_too_many_those_stay_that_matter_for_longest);
    tcase_add_test(tcase, a_folder_that_is_not_there_is_an_error);
    tcase_add_test(tcase, a_restart_is_no_way_around_a_rate);
    tcase_add_test(tcase, nor_around_the_rate_of_a_key);
    tcase_add_test(tcase, another_rate_is_none_either);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
