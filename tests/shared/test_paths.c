#include "paths.h"
#include "run.h"

#include <string.h>
#include <sys/stat.h>

START_TEST(a_log_lies_in_the_folder_of_its_last_two_digits)
{
    struct id id = {.bytes = {[0] = 0x01, [15] = 0xaf}};
    char path[PATH_BYTES];
    ck_assert_int_eq(log_path("/var/lib/forkpool", id, 12, path), ERR_OK);
    ck_assert_str_eq(path, "/var/lib/forkpool/logs/af/01000000-0000-0000-0000-0000000000af.12.log");
}
END_TEST

START_TEST(a_path_that_does_not_fit_is_refused)
{
    char state_dir[PATH_BYTES], path[PATH_BYTES];
    memset(state_dir, 'x', sizeof state_dir);
    size_t longest = PATH_BYTES - 1 - strlen("/logs/00/00000000-0000-0000-0000-000000000000.1.log");
    state_dir[longest] = '\0';
    ck_assert_int_eq(log_path(state_dir, (struct id){{0}}, 1, path), ERR_OK);
    ck_assert_uint_eq(strlen(path), PATH_BYTES - 1);
    state_dir[longest] = 'x';
    state_dir[longest + 1] = '\0';
    ck_assert_int_eq(log_path(state_dir, (struct id){{0}}, 1, path), ERR_FULL);
}
END_TEST

START_TEST(the_folders_are_made_once_and_may_exist)
{
    char state_dir[] = "/tmp/forkpool-test-XXXXXX", path[PATH_BYTES], command[64];
    struct stat status;
    ck_assert_ptr_nonnull(mkdtemp(state_dir));
    ck_assert_int_eq(log_dirs_create(state_dir), ERR_OK);
    ck_assert_int_eq(log_dirs_create(state_dir), ERR_OK);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(path, sizeof path, "%s/logs/%02x", state_dir, i);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert(S_ISDIR(status.st_mode));
        ck_assert_int_eq(status.st_mode & 07, 0);
    }
    snprintf(command, sizeof command, "rm -rf %s", state_dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(a_state_folder_that_is_missing_or_too_long_is_an_error)
{
    char state_dir[PATH_BYTES];
    memset(state_dir, 'x', sizeof state_dir);
    state_dir[PATH_BYTES - 1] = '\0';
    ck_assert_int_eq(log_dirs_create("/no/such/folder"), ERR_SYSTEM);
    ck_assert_int_eq(log_dirs_create(state_dir), ERR_SYSTEM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("paths");
    TCase *tcase = tcase_create("paths");
    tcase_add_test(tcase, a_log_lies_in_the_folder_of_its_last_two_digits);
    tcase_add_test(tcase, a_path_that_does_not_fit_is_refused);
    tcase_add_test(tcase, the_folders_are_made_once_and_may_exist);
    tcase_add_test(tcase, a_state_folder_that_is_missing_or_too_long_is_an_error);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
