/* The ballast: really there, given up and made again, and what its file says to the next front. */
#include "run.h"

#include "ballast.h"
#include "log.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES = 1 << 20 };

static char folder[64], path[96];
static struct ballast ballast;

static void setup(void)
{
    log_set_level(LOG_LEVEL_COUNT);
    strcpy(folder, "/tmp/test_ballast.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/" BALLAST_FILE, folder);
}

static void teardown(void)
{
    unlink(path);
    rmdir(folder);
}

static int64_t size(void)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : -1;
}

static int64_t allocated(void)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_blocks * 512 : -1;
}

static void make(int64_t bytes)
{
    ballast_init(&ballast, folder, bytes);
    ck_assert_int_eq(ballast_make(&ballast), ERR_OK);
}

START_TEST(it_is_really_allocated)
{
    make(BYTES);
    ck_assert(ballast.stands);
    ck_assert_int_eq(size(), BYTES);
    ck_assert_int_ge(allocated(), BYTES);
}
END_TEST

START_TEST(none_is_none_and_removes_an_old_one)
{
    make(0);
    ck_assert_int_eq(size(), -1);
    make(BYTES);
    make(0);
    ck_assert_int_eq(size(), -1);
    ck_assert_int_eq(ballast_release(&ballast), 0);
}
END_TEST

START_TEST(it_is_given_up_once_and_made_again)
{
    make(BYTES);
    ck_assert_int_eq(ballast_release(&ballast), BYTES);
    ck_assert_int_eq(ballast_release(&ballast), 0);
    ck_assert(ballast.released && !ballast.stands);
    ck_assert_int_eq(size(), 0);
    ck_assert(ballast_room(&ballast));
    ck_assert_int_eq(ballast_make(&ballast), ERR_OK);
    ck_assert(ballast.stands && !ballast.released);
    ck_assert_int_ge(allocated(), BYTES);
}
END_TEST

START_TEST(the_next_front_knows_whether_it_stands)
{
    make(BYTES);
    ballast_init(&ballast, folder, BYTES);
    ck_assert(ballast.stands && !ballast.released);
    ck_assert_int_eq(ballast_release(&ballast), BYTES);
    ballast_init(&ballast, folder, BYTES);
    ck_assert(!ballast.stands && ballast.released);
    ck_assert_int_eq(unlink(path), 0);
    ballast_init(&ballast, folder, BYTES);
    ck_assert(!ballast.stands && !ballast.released);
}
END_TEST

START_TEST(another_size_is_taken_on)
{
    make(BYTES);
    make(2 * BYTES);
    ck_assert_int_eq(size(), 2 * BYTES);
    ck_assert_int_ge(allocated(), 2 * BYTES);
    make(BYTES / 2);
    ck_assert_int_eq(size(), BYTES / 2);
}
END_TEST

START_TEST(a_disk_without_room_for_it_gets_none)
{
    ballast_init(&ballast, folder, INT64_MAX / 2);
    ck_assert(!ballast_room(&ballast) || !ballast.released);
    ck_assert_int_eq(ballast_make(&ballast), ERR_FULL);
    ck_assert(!ballast.stands && !ballast.released);
    ck_assert_int_eq(size(), -1);
    ck_assert(ballast_room(&ballast)); /* nothing was given up: nothing has to come back */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ballast");
    TCase *tcase = tcase_create("ballast");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_is_really_allocated);
    tcase_add_test(tcase, none_is_none_and_removes_an_old_one);
    tcase_add_test(tcase, it_is_given_up_once_and_made_again);
    tcase_add_test(tcase, the_next_front_knows_whether_it_stands);
    tcase_add_test(tcase, another_size_is_taken_on);
    tcase_add_test(tcase, a_disk_without_room_for_it_gets_none);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
