#include "harness.h"

static struct task_log task_log;

static void init(int64_t max)
{
    task_log_init(&task_log, harness.log_path, max);
}

static void put(const char *text)
{
    task_log_write(&task_log, text, strlen(text));
}

START_TEST(no_file_is_made_before_the_first_byte)
{
    init(100);
    put("");
    task_log_close(&task_log);
    ck_assert_int_ne(access(harness.log_path, F_OK), 0);
}
END_TEST

START_TEST(bytes_arrive_at_once_in_a_file_of_mode_0640)
{
    struct stat status;
    umask(0);
    init(100);
    put("one\n");
    expect_log("one\n"); /* before the close: a crash must not take it along */
    put("two\n");
    expect_log("one\ntwo\n");
    task_log_close(&task_log);
    ck_assert_int_eq(stat(harness.log_path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0640);
}
END_TEST

START_TEST(exactly_max_bytes_are_not_a_cut)
{
    init(4);
    put("1234");
    task_log_close(&task_log);
    expect_log("1234");
}
END_TEST

START_TEST(what_is_over_max_is_cut_with_one_line)
{
    init(6);
    put("1234");
    put("5678");
    put("90");
    task_log_close(&task_log);
    expect_log("123456\nforkpool: the log was cut here, max_log is 6 bytes\n");
}
END_TEST

START_TEST(a_full_log_is_cut_at_the_next_byte)
{
    init(4);
    put("1234");
    put("5");
    task_log_close(&task_log);
    expect_log("1234\nforkpool: the log was cut here, max_log is 4 bytes\n");
}
END_TEST

START_TEST(what_an_earlier_run_left_is_kept_and_counts)
{
    write_file(harness.log_path, "old\n", 0640);
    init(6);
    put("12345");
    task_log_close(&task_log);
    expect_log("old\n12\nforkpool: the log was cut here, max_log is 6 bytes\n");
    init(6);
    put("more");
    task_log_close(&task_log);
    expect_log("old\n12\nforkpool: the log was cut here, max_log is 6 bytes\n");
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_is_given_up)
{
    int before = count_fds();
    task_log_init(&task_log, "/no/such/folder/x.log", 100);
    put("one");
    put("two");
    ck_assert(task_log.cut);
    task_log_close(&task_log);
    ck_assert_int_eq(count_fds(), before);
}
END_TEST

START_TEST(a_full_disk_gives_the_log_up)
{
    task_log_init(&task_log, "/dev/full", 100);
    put("one");
    ck_assert(task_log.cut);
    put("two");
    task_log_close(&task_log);
}
END_TEST

START_TEST(a_log_is_not_written_through_a_link)
{
    char other[128];
    snprintf(other, sizeof other, "%s/other", harness.dir);
    write_file(other, "", 0644);
    ck_assert_int_eq(symlink(other, harness.log_path), 0);
    init(100);
    put("one");
    task_log_close(&task_log);
    expect_log("");
}
END_TEST

START_TEST(closing_twice_is_harmless)
{
    init(100);
    put("one");
    task_log_close(&task_log);
    task_log_close(&task_log);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("task_log");
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, harness_init, harness_fini);
    tcase_add_test(tcase, no_file_is_made_before_the_first_byte);
    tcase_add_test(tcase, bytes_arrive_at_once_in_a_file_of_mode_0640);
    tcase_add_test(tcase, exactly_max_bytes_are_not_a_cut);
    tcase_add_test(tcase, what_is_over_max_is_cut_with_one_line);
    tcase_add_test(tcase, a_full_log_is_cut_at_the_next_byte);
    tcase_add_test(tcase, what_an_earlier_run_left_is_kept_and_counts);
    tcase_add_test(tcase, a_log_that_cannot_be_opened_is_given_up);
    tcase_add_test(tcase, a_full_disk_gives_the_log_up);
    tcase_add_test(tcase, a_log_is_not_written_through_a_link);
    tcase_add_test(tcase, closing_twice_is_harmless);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
