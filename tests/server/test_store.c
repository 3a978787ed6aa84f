/* The store: one job's way through it, keys, order, groups. */
#include "store_fixture.h"

#include <sys/syscall.h>

/* SQLite's syncs come by here. */
static int syncs;

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

static void assert_text(struct text text, const char *bytes, size_t count)
{
    ck_assert_ptr_nonnull(text.at);
    ck_assert_uint_eq(text.bytes, count);
    ck_assert(count == 0 || memcmp(text.at, bytes, count) == 0);
}

static void assert_same_attempt(const struct attempt *a, const struct attempt *b)
{
#define INT(column, member)        ck_assert_int_eq(a->member, b->member)
#define TEXT(column, member)       ck_assert_str_eq(a->member, b->member)
#define REAL(column, member)       ck_assert_double_eq(a->member, b->member)
#define SAME(kind, column, member) kind(column, member);
    ATTEMPT_COLUMNS(SAME)
#undef SAME
#undef INT
#undef TEXT
#undef REAL
}

static void assert_same_job(const struct job *a, const struct job *b)
{
#define INT(column, member)        ck_assert_msg(a->member == b->member, #column)
#define TEXT(column, member)       ck_assert_str_eq(a->member, b->member)
#define ID(column, member)         ck_assert(id_equal(a->member, b->member))
#define SAME(kind, column, member) kind(column, member);
    JOB_FIXED(SAME)
    JOB_MOVING(SAME)
#undef SAME
#undef INT
#undef TEXT
#undef ID
    ck_assert(id_equal(a->spec.id, b->spec.id));
    assert_same_attempt(&a->attempt, &b->attempt);
}

/* One job. */

START_TEST(each_column_of_the_schema_is_known_to_the_code)
{
#define ONE(kind, column, member) +1
    ck_assert_int_eq(look("SELECT count(*) FROM pragma_table_info('jobs')"),
                     5 JOB_FIXED(ONE) JOB_MOVING(ONE) ATTEMPT_COLUMNS(ONE));
    ck_assert_int_eq(look("SELECT count(*) FROM pragma_table_info('attempts')"), 1 ATTEMPT_COLUMNS(ONE));
#undef ONE
}
END_TEST

START_TEST(each_statement_uses_an_index)
{
    static const char *const TEXTS[] = {
#define S(name, text) "EXPLAIN QUERY PLAN " text,
        STORE_SQL(S)
#undef S
    };
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_stmt *statement;
        ck_assert_int_eq(sqlite3_prepare_v2(store->reader.connection.db, TEXTS[i], -1, &statement, NULL),
                         SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(statement, 3);
            bool scans = strstr(step, "SCAN") != NULL && strcmp(step, "SCAN CONSTANT ROW") != 0;
            bool sorts = strstr(step, "TEMP B-TREE") != NULL;
            bool queued = i == SQL_WALK_QUEUED || i == SQL_WALK_QUEUED_UP;
            bool few = i == SQL_COUNTS || i == SQL_COUNT_QUEUED || i == SQL_DEBRIS_READ ||
                       i == SQL_SETTINGS || i == SQL_LANES || i == SQL_SCHEDULES;
            bool first = i == SQL_RELEASE_NEXT || i == SQL_EDGES_ANY; /* ends at the first row */
            ck_assert_msg(!scans || few || first || queued, "%s: %s", TEXTS[i], step);
            ck_assert_msg(!sorts || queued, "%s: %s", TEXTS[i], step);
        }
        sqlite3_finalize(statement);
    }
}
END_TEST

static void fill_spec(struct job *job)
{
    job->spec.fingerprint = id_fingerprint("body", 4);
    job->spec.timeout_ms = INT64_C(5000000000);
    job->spec.kill_after_ms = 12;
    job->spec.retry = (struct retry){7, BACKOFF_LINEAR, 1001, 300007, 33, 0};
    job->spec.epoch = 4000000000;
    job->spec.priority = 9;
    job->spec.scheduled_ms = 4711;
    job->spec.expires_ms = INT64_C(9000000000000);
    job->spec.batch = id_new();
    job->spec.flags = JOB_FLAG_UNIQUE | JOB_FLAG_INPUTS;
    job->spec.after_policy = AFTER_RUN;
    strcpy(job->spec.concurrency_key, "tenant 1");
    job->extras = (struct text){"{\"ref\":\"a\"}", 11};
    strcpy(job->spec.idempotency_key, "key \"1\"");
    strcpy(job->spec.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    job->args = (struct text){"{\"a\":1}", 7};
}

START_TEST(a_submitted_job_comes_back_field_by_field)
{
    JOB_AUTO job = make_job("queue-1", "task.1");
    fill_spec(job);
    submit(job);
    JOB_AUTO read = get(job->spec.id);
    assert_same_job(job, read);
    assert_text(read->extras, "{\"ref\":\"a\"}", 11);
    ck_assert_int_eq(read->spec.stored, 1);
    assert_text(read->args, "{\"a\":1}", 7);
    ck_assert_ptr_null(read->result.at);
}
END_TEST

START_TEST(a_landed_job_comes_back_field_by_field)
{
    JOB_AUTO job = submitted();
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    job->spec.errors = 2, job->spec.crashes = 3, job->spec.lost = 4, job->spec.seq += 5;
    job->cancel_requested = true;
    job->attempt = (struct attempt){.started_ms = 1,
                                    .finished_ms = 2,
                                    .cpu_us = 3,
                                    .max_rss_bytes = 4,
                                    .progress = 0.25,
                                    .progress_ms = 6,
                                    .worker = 7,
                                    .exit_code = 8,
                                    .signal = 9,
                                    .number = 1,
                                    .outcome = OUTCOME_SUCCESS,
                                    .retryable = 1,
                                    .error_code = "code",
                                    .error_message = "m\xc3\xa4h",
                                    .progress_message = "half"};
    ck_assert(land(job, 0));
    JOB_AUTO read = get(job->spec.id);
    assert_same_job(job, read);
    assert_text(read->result, "[1]", 3);
}
END_TEST

START_TEST(bytes_come_back_exactly_nuls_and_emptiness_included)
{
    JOB_AUTO job = make_job("q", "t");
    job->args = (struct text){"a\0b\xff", 4};
    submit(job);
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    job->result = (struct text){"", 0};
    ck_assert(land(job, 0));
    JOB_AUTO read = get(job->spec.id);
    assert_text(read->args, "a\0b\xff", 4);
    assert_text(read->result, "", 0);
}
END_TEST

START_TEST(large_arguments_and_results_come_back)
{
    enum { BYTES = 3 << 20 };
    JOB_AUTO job = make_job("q", "t");
    job->args.at = job->owned[0] = calloc(1, BYTES);
    job->args.bytes = BYTES;
    submit(job);
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    job->result = job->args;
    ck_assert(land(job, 0));
    JOB_AUTO read = get(job->spec.id);
    assert_text(read->args, job->args.at, BYTES);
    assert_text(read->result, job->args.at, BYTES);
}
END_TEST

START_TEST(an_id_with_other_random_bits_is_unknown)
{
    JOB_AUTO job = submitted(), *none = NULL;
    struct id other = id_join(id_key(job->spec.id), id_random(job->spec.id) ^ 1);
    ck_assert_int_eq(store_get(store_own_reader(store), other, &none), ERR_UNKNOWN_JOB);
    ck_assert_int_eq(end_job(other, END_CANCEL, 1), ERR_UNKNOWN_JOB);
}
END_TEST

/* Landing. */

START_TEST(earlier_attempts_are_kept_when_a_job_is_retried)
{
    JOB_AUTO job = submitted();
    struct attempt first, second, *attempts;
    size_t count;
    run_ended(job, JOB_QUEUED, OUTCOME_CRASH);
    strcpy(job->attempt.error_message, "boom");
    first = job->attempt;
    ck_assert(land(job, 0));
    run_ended(job, JOB_QUEUED, OUTCOME_ERROR);
    second = job->attempt;
    ck_assert(land(job, 1));
    run_ended(job, JOB_FAILED, OUTCOME_ERROR);
    ck_assert(land(job, 2));
    ok(store_attempts(store_own_reader(store), job->spec.id, &attempts, &count));
    ck_assert_uint_eq(count, 3);
    assert_same_attempt(&attempts[0], &first);
    assert_same_attempt(&attempts[1], &second);
    assert_same_attempt(&attempts[2], &job->attempt);
    free(attempts);
    counts_are_right();
}
END_TEST

START_TEST(a_second_landing_changes_nothing)
{
    JOB_AUTO job = submitted();
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(job, 0));
    job->attempt.worker = 77;
    job->state = JOB_FAILED;
    ck_assert(!land(job, 0));
    JOB_AUTO read = get(job->spec.id);
    ck_assert_int_eq(read->state, JOB_SUCCEEDED);
    ck_assert_int_eq(read->attempt.worker, -1);
    counts_are_right();
}
END_TEST

START_TEST(a_landing_of_an_older_attempt_changes_nothing)
{
    JOB_AUTO job = submitted();
    run_ended(job, JOB_QUEUED, OUTCOME_LOST);
    ck_assert(land(job, 0));
    job->state = JOB_SUCCEEDED;
    ck_assert(!land(job, 0));
    ck_assert_int_eq(look("SELECT state FROM jobs"), JOB_QUEUED);
}
END_TEST

START_TEST(a_landing_that_cannot_be_is_corrupt_and_undoes_its_group)
{
    JOB_AUTO unknown = make_job("q", "t"), *job = make_job("q", "t"), *none = NULL;
    struct store_land land = {.job = unknown, .keep_attempt = true};
    begin();
    submit_in_group(job);
    ck_assert_int_eq(store_land(store, &land), ERR_CORRUPT);
    ck_assert_int_eq(store_get(store_own_reader(store), job->spec.id, &none), ERR_UNKNOWN_JOB);
    store_rollback(store); /* harmless */
    submit(job);
    land = (struct store_land){.job = job, .before = 3, .keep_attempt = true};
    begin();
    ck_assert_int_eq(store_land(store, &land), ERR_CORRUPT);
    counts_are_right();
}
END_TEST

START_TEST(a_job_of_durability_memory_is_inserted_when_it_lands)
{
    JOB_AUTO job = make_job("q", "t");
    job->spec.durability = DURABILITY_MEMORY;
    strcpy(job->spec.idempotency_key, "k");
    job->args = (struct text){"[2]", 3};
    run_ended(job, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(job, 0));
    ck_assert(!land(job, 0)); /* a new front that does not know, lands it again */
    JOB_AUTO read = get(job->spec.id);
    assert_same_job(job, read);
    assert_text(read->args, "[2]", 3);
    assert_text(read->result, "[1]", 3);
    ck_assert(submit(job).replayed);
    counts_are_right();
}
END_TEST

START_TEST(a_landing_without_an_attempt_keeps_the_recorded_one_among_the_attempts)
{
    JOB_AUTO job = submitted();
    struct store_land cancelled = {.job = job, .before = 1};
    struct attempt *attempts;
    size_t count;
    run_ended(job, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(job, 0));
    job->attempt = attempt_blank();
    job->attempt.outcome = OUTCOME_CANCELLED;
    job->attempt.finished_ms = 4321;
    job->state = JOB_CANCELLED;
    begin();
    ok(store_land(store, &cancelled));
    ok(store_commit(store));
    JOB_AUTO read = get(job->spec.id);
    assert_same_job(job, read);
    ok(store_attempts(store_own_reader(store), job->spec.id, &attempts, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(attempts[0].outcome, OUTCOME_CRASH);
    free(attempts);
}
END_TEST

START_TEST(moving_a_queued_job_leaves_its_attempt_alone)
{
    JOB_AUTO job = submitted();
    struct store_land moved = {.job = job, .before = 1};
    run_ended(job, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(job, 0));
    struct attempt kept = job->attempt;
    job->attempt = attempt_blank();
    job->spec.seq += 10;
    begin();
    ok(store_land(store, &moved));
    ok(store_commit(store));
    JOB_AUTO read = get(job->spec.id);
    ck_assert_int_eq(read->spec.seq, job->spec.seq);
    assert_same_attempt(&read->attempt, &kept);
}
END_TEST

/* Idempotency keys. */

static struct job *keyed(const char *key, const char *body)
{
    struct job *job = make_job("q", "t");
    strcpy(job->spec.idempotency_key, key);
    job->spec.fingerprint = id_fingerprint(body, strlen(body));
    return job;
}

START_TEST(a_key_replays_its_first_job_and_refuses_another_request)
{
    JOB_AUTO first = keyed("k", "body"), *again = keyed("k", "body"), *other = keyed("k", "else"),
             *free_key = keyed("l", "body");
    struct store_submit find = {.job = again}, unknown = {.job = free_key};
    submit(first);
    struct store_submit replay = submit(again), reuse = submit(other);
    ck_assert(replay.err == ERR_OK && replay.replayed && id_equal(replay.original, first->spec.id));
    ck_assert(reuse.err == ERR_KEY_REUSED && !reuse.replayed && id_equal(reuse.original, first->spec.id));
    ok(store_find_standing(store, &find));
    ok(store_find_standing(store, &unknown));
    ck_assert(find.err == ERR_OK && find.replayed && id_equal(find.original, first->spec.id));
    ck_assert_int_eq(unknown.err, ERR_NOT_FOUND);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    counts_are_right();
}
END_TEST

START_TEST(two_jobs_of_one_group_see_each_others_key)
{
    JOB_AUTO first = keyed("k", "body"), *again = keyed("k", "body");
    begin();
    ck_assert(!submit_in_group(first).replayed);
    ck_assert(submit_in_group(again).replayed);
    ok(store_commit(store));
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
}
END_TEST

START_TEST(a_key_expires_after_a_day_and_a_rolled_back_one_never_was)
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    JOB_AUTO first = keyed("k", "body"), *late = keyed("k", "else"), *later = keyed("k", "else");
    begin();
    submit_in_group(first);
    store_rollback(store);
    ck_assert(!submit(first).replayed);
    late->spec.created_ms = first->spec.created_ms + DAY_MS - 1;
    ck_assert_int_eq(submit(late).err, ERR_KEY_REUSED);
    later->spec.created_ms = first->spec.created_ms + DAY_MS;
    ck_assert(submit(later).err == ERR_OK);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 2);
    begin();
    ok(store_sweep_keys(store, later->spec.created_ms + DAY_MS - 1, 10));
    ok(store_commit(store));
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 1);
    begin();
    ok(store_sweep_keys(store, later->spec.created_ms + DAY_MS, 10));
    ok(store_commit(store));
    ck_assert_int_eq(look("SELECT count(*) FROM keys"), 0);
}
END_TEST

/* Order. */

START_TEST(seq_grows_over_rollback_and_reopening)
{
    int64_t last = 0, seq = 0;
    for (int life = 0; life < 3; life++) {
        for (int group = 0; group < 4; group++) {
            begin();
            for (int i = 0; i < 60000; i++, last = seq) {
                ok(store_next_seq(store, &seq));
                ck_assert_int_gt(seq, last);
            }
            if (group % 2 == 0)
                store_rollback(store);
            else
                ok(store_commit(store));
        }
        ck_assert_int_ge(look("SELECT value FROM meta WHERE name = 'seq'"), last);
        reopen_store();
    }
}
END_TEST

/* Groups. */

START_TEST(a_full_group_is_synced_and_a_process_group_is_not)
{
    JOB_AUTO first = make_job("q", "t"), *second = make_job("q", "t"), *third = make_job("q", "t");
    int before = syncs;
    ok(store_begin(store, DURABILITY_FULL));
    submit_in_group(first);
    ok(store_commit(store));
    ck_assert_int_gt(syncs, before);
    before = syncs;
    submit(second);
    ck_assert_int_eq(syncs, before);
    ok(store_begin(store, DURABILITY_FULL));
    submit_in_group(third);
    ok(store_commit(store));
    ck_assert_int_gt(syncs, before);
}
END_TEST

START_TEST(a_full_disk_undoes_the_group_and_may_pass)
{
    enum { BYTES = 1 << 20 };
    JOB_AUTO large = make_job("q", "t");
    struct store_submit submission = {.job = large};
    sqlite3 *db = store->reader.connection.db;
    large->args.at = large->owned[0] = calloc(1, BYTES);
    large->args.bytes = BYTES;
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA max_page_count = 40", NULL, NULL, NULL), SQLITE_OK);
    begin();
    ok(store_next_seq(store, &large->spec.seq));
    enum err err = store_submit(store, &submission);
    ck_assert_int_eq(err != ERR_OK ? err : store_commit(store), ERR_STORE_FULL);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL), SQLITE_OK);
    submit(large);
    counts_are_right();
}
END_TEST

START_TEST(another_program_that_keeps_the_file_locked_is_no_failure)
{
    sqlite3 *other;
    ck_assert_int_eq(sqlite3_open(file_path(), &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(store->reader.connection.db, 10);
    ck_assert_int_eq(store_begin(store, DURABILITY_FULL), ERR_STORE_FULL);
    ck_assert_int_eq(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    ok(store_begin(store, DURABILITY_FULL));
    ok(store_commit(store));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, each_column_of_the_schema_is_known_to_the_code);
    tcase_add_test(tcase, each_statement_uses_an_index);
    tcase_add_test(tcase, a_submitted_job_comes_back_field_by_field);
    tcase_add_test(tcase, a_landed_job_comes_back_field_by_field);
    tcase_add_test(tcase, bytes_come_back_exactly_nuls_and_emptiness_included);
    tcase_add_test(tcase, large_arguments_and_results_come_back);
    tcase_add_test(tcase, an_id_with_other_random_bits_is_unknown);
    tcase_add_test(tcase, earlier_attempts_are_kept_when_a_job_is_retried);
    tcase_add_test(tcase, a_second_landing_changes_nothing);
    tcase_add_test(tcase, a_landing_of_an_older_attempt_changes_nothing);
    tcase_add_test(tcase, a_landing_that_cannot_be_is_corrupt_and_undoes_its_group);
    tcase_add_test(tcase, a_job_of_durability_memory_is_inserted_when_it_lands);
    tcase_add_test(tcase, a_landing_without_an_attempt_keeps_the_recorded_one_among_the_attempts);
    tcase_add_test(tcase, moving_a_queued_job_leaves_its_attempt_alone);
    tcase_add_test(tcase, a_key_replays_its_first_job_and_refuses_another_request);
    tcase_add_test(tcase, two_jobs_of_one_group_see_each_others_key);
    tcase_add_test(tcase, a_key_expires_after_a_day_and_a_rolled_back_one_never_was);
    tcase_add_test(tcase, seq_grows_over_rollback_and_reopening);
    tcase_add_test(tcase, a_full_group_is_synced_and_a_process_group_is_not);
    tcase_add_test(tcase, a_full_disk_undoes_the_group_and_may_pass);
    tcase_add_test(tcase, another_program_that_keeps_the_file_locked_is_no_failure);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
