/* The store: what it refuses to open and how it says so, what it remembers, the checkpointer, memory that
 * runs out. */
#include "scarce_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Opening is refused, with a sentence that holds both texts. */
static void refused(const char *text, const char *advice)
{
    struct buf message = {0};
    ck_assert_int_eq(store_open(url, &store, &message), ERR_STORE_UNUSABLE);
    ck_assert_ptr_null(store);
    size_t bytes;
    char *sentence = buf_take(&message, &bytes);
    ck_assert_ptr_nonnull(sentence);
    ck_assert_msg(strstr(sentence, text) != NULL, "\"%s\" not in: %s", text, sentence);
    ck_assert_msg(strstr(sentence, advice) != NULL, "\"%s\" not in: %s", advice, sentence);
    free(sentence);
}

static void write_file(const char *text)
{
    FILE *file = fopen(file_path(), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_new_file_is_private_clean_and_has_an_identity_that_stays)
{
    struct stat status;
    open_store();
    struct id identity = store_identity(store);
    ck_assert(!store_was_unclean(store));
    ck_assert_int_eq(store_greatest_key(store), 0);
    ck_assert_int_eq(stat(file_path(), &status), 0);
    ck_assert_int_eq(status.st_mode & 07, 0);
    JOB_AUTO job = submitted();
    reopen_store();
    ck_assert(id_equal(store_identity(store), identity));
    ck_assert_int_eq(store_greatest_key(store), id_key(job->spec.id));
    close_store();
}
END_TEST

START_TEST(what_was_committed_survives_a_kill_and_the_next_life_knows_that_it_was_one)
{
    struct id kept = id_new();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        JOB_AUTO job = make_job("q", "t"), *lost = make_job("q", "t");
        job->spec.id = kept;
        open_store();
        submit(job);
        begin();
        submit_in_group(lost);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    open_store();
    ck_assert(store_was_unclean(store));
    ck_assert_int_eq(store_greatest_key(store), id_key(kept));
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    reopen_store();
    ck_assert(!store_was_unclean(store));
    close_store();
}
END_TEST

START_TEST(an_open_group_is_undone_by_close)
{
    JOB_AUTO job = make_job("q", "t");
    open_store();
    begin();
    submit_in_group(job);
    reopen_store();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
    close_store();
}
END_TEST

START_TEST(a_missing_folder_is_named)
{
    snprintf(url, sizeof url, "sqlite://%s/no/jobs.db", folder);
    char advice[96];
    snprintf(advice, sizeof advice, "mkdir -p %s/no)", folder);
    refused("does not exist", advice);
}
END_TEST

START_TEST(a_folder_in_place_of_the_file_is_refused)
{
    ck_assert_int_eq(mkdir(file_path(), 0700), 0);
    refused(file_path(), "is not a file");
}
END_TEST

START_TEST(a_folder_that_may_not_be_written_is_named)
{
    if (geteuid() == 0 && seteuid(65534) != 0) /* root may write anywhere */
        return;
    refused(file_path(), "chown 65534");
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_file_that_is_not_a_database_is_refused_and_left_alone)
{
    write_file(
        "these are notes, not a database; and they are long enough to be taken for a header of one, I hope");
    refused(file_path(), "is not a database");
    FILE *file = fopen(file_path(), "r");
    ck_assert_int_eq(fgetc(file), 't');
    fclose(file);
}
END_TEST

START_TEST(a_database_of_another_program_is_refused)
{
    change_file("CREATE TABLE recipes (name TEXT)");
    refused("another program", file_path());
}
END_TEST

START_TEST(a_newer_schema_is_refused_with_both_versions)
{
    open_store();
    close_store();
    change_file("PRAGMA user_version = 7");
    refused("schema version 7", "versions up to 4");
}
END_TEST

START_TEST(an_empty_file_becomes_a_store)
{
    write_file("");
    open_store();
    ck_assert(!store_was_unclean(store));
    close_store();
}
END_TEST

START_TEST(a_relative_path_works)
{
    ck_assert_int_eq(chdir(folder), 0);
    strcpy(url, "sqlite:here.db");
    open_store();
    close_store();
    ck_assert_int_eq(access("here.db", F_OK), 0);
}
END_TEST

START_TEST(a_reader_of_a_missing_store_fails)
{
    struct store_reader *reader;
    ck_assert_int_eq(store_reader_open(url, &reader), ERR_STORE_FAILED);
    ck_assert_ptr_null(reader);
}
END_TEST

START_TEST(a_reader_sees_what_is_committed_and_nothing_else)
{
    struct store_reader *reader;
    JOB_AUTO job = make_job("q", "t"), *read = NULL;
    open_store();
    ok(store_reader_open(url, &reader));
    begin();
    submit_in_group(job);
    ck_assert_int_eq(store_get(reader, job->spec.id, &read), ERR_UNKNOWN_JOB);
    ok(store_commit(store));
    ok(store_get(reader, job->spec.id, &read));
    store_reader_close(reader);
    close_store();
}
END_TEST

START_TEST(the_checkpointer_empties_the_log_and_makes_a_long_one_begin_anew)
{
    enum { BYTES = 1 << 20 };
    struct store_checkpointer *checkpointer;
    int pages;
    open_store();
    ok(store_checkpointer_open(url, &checkpointer));
    char *args = calloc(1, BYTES);
    for (int i = 0; i < 70; i++) { /* past 64 MB */
        JOB_AUTO job = make_job("q", "t");
        job->args = (struct text){args, BYTES};
        submit(job);
    }
    ok(store_checkpoint(checkpointer, &pages));
    ck_assert_int_gt(pages, 16384);
    job_free(submitted());
    ok(store_checkpoint(checkpointer, &pages));
    ck_assert_int_lt(pages, 100);
    struct buf message = {0};
    ok(store_check(checkpointer, &message));
    store_checkpointer_close(checkpointer);
    close_store();
    free(args);
}
END_TEST

START_TEST(the_check_finds_damage)
{
    struct store_checkpointer *checkpointer;
    BUF_AUTO message = {0};
    open_store();
    job_free(submitted());
    close_store();
    long page = (long)look("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'");
    FILE *file = fopen(file_path(), "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, (page - 1) * 4096, SEEK_SET);
    fputs("damage", file);
    fclose(file);
    ok(store_checkpointer_open(url, &checkpointer));
    ck_assert_int_eq(store_check(checkpointer, &message), ERR_STORE_FAILED);
    ck_assert_uint_gt(message.bytes, 0);
    store_checkpointer_close(checkpointer);
}
END_TEST

/* One group of a submit, a land, an end, a patch, a setting, and a due. */
static enum err try_group(struct job *fresh, struct job *run, struct job *waiting)
{
    struct store_submit submission = {.job = fresh};
    struct store_land landing = {.job = run, .keep_attempt = true};
    struct store_end end = {.id = waiting->spec.id, .ending = END_CANCEL, .now_ms = 5};
    struct store_patch patch = {.id = fresh->spec.id,
                                .has_tags = true,
                                .tags = {"[\"a\"]", 5},
                                .has_run_at = true,
                                .run_at_ms = 9,
                                .now_ms = 5};
    struct job *jobs[4];
    size_t count = 0;
    int64_t next_ms;
    enum err err = store_begin(store, DURABILITY_PROCESS);
    if (err == ERR_OK)
        err = store_submit(store, &submission);
    if (err == ERR_OK)
        err = store_land(store, &landing);
    if (err == ERR_OK)
        err = store_end(store, &end);
    job_free(end.job);
    if (err == ERR_OK)
        err = store_patch(store, &patch);
    job_free(patch.job);
    if (err == ERR_OK)
        err = store_setting_put(store, SETTING_QUEUE, "q", (struct text){"{}", 2});
    if (err == ERR_OK)
        err = store_due(store, INT64_MAX, 4, jobs, &count, &next_ms);
    while (count > 0)
        job_free(jobs[--count]);
    return err != ERR_OK ? err : store_commit(store);
}

START_TEST(memory_that_runs_out_anywhere_in_a_group_undoes_all_of_it)
{
    make_memory_scarce();
    open_store();
    JOB_AUTO fresh = make_job("q", "t"), *run = submitted(), *waiting = submitted();
    strcpy(fresh->spec.idempotency_key, "k");
    run_ended(run, JOB_RETRYING, OUTCOME_ERROR);
    enum err err = ERR_NO_MEMORY;
    int n = 0;
    for (; err != ERR_OK; n++) {
        reopen_store(); /* cold: statements and pages are allocated anew */
        allocations_left = n;
        err = try_group(fresh, run, waiting);
        allocations_left = -1;
        ck_assert_msg(err == ERR_OK || err == ERR_NO_MEMORY, "allocation %d: %s", n, err_code(err));
        ck_assert_int_eq(look("SELECT count(*) FROM jobs"), err == ERR_OK ? 3 : 2);
        ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 0"), 2);
        counts_are_right();
    }
    ck_assert_int_gt(n, 20);
    close_store();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_open");
    TCase *tcase = tcase_create("store_open");
    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_new_file_is_private_clean_and_has_an_identity_that_stays);
    tcase_add_test(tcase, what_was_committed_survives_a_kill_and_the_next_life_knows_that_it_was_one);
    tcase_add_test(tcase, an_open_group_is_undone_by_close);
    tcase_add_test(tcase, a_missing_folder_is_named);
    tcase_add_test(tcase, a_folder_in_place_of_the_file_is_refused);
    tcase_add_test(tcase, a_folder_that_may_not_be_written_is_named);
    tcase_add_test(tcase, a_file_that_is_not_a_database_is_refused_and_left_alone);
    tcase_add_test(tcase, a_database_of_another_program_is_refused);
    tcase_add_test(tcase, a_newer_schema_is_refused_with_both_versions);
    tcase_add_test(tcase, an_empty_file_becomes_a_store);
    tcase_add_test(tcase, a_relative_path_works);
    tcase_add_test(tcase, a_reader_of_a_missing_store_fails);
    tcase_add_test(tcase, a_reader_sees_what_is_committed_and_nothing_else);
    tcase_add_test(tcase, the_checkpointer_empties_the_log_and_makes_a_long_one_begin_anew);
    tcase_add_test(tcase, the_check_finds_damage);
    tcase_add_test(tcase, memory_that_runs_out_anywhere_in_a_group_undoes_all_of_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
