/* The store: tags, lists by tag, by text and in rising order; files of version 1. */
#include "store_fixture.h"

static const struct store_filter ANY = {
    .created_after_ms = -1, .created_before_ms = -1, .before_key = INT64_MAX, .limit = 7};

static struct job *tagged(const char *task, const char *tags)
{
    struct job *job = make_job("q", task);
    if (tags != NULL)
        job->tags = (struct text){tags, strlen(tags)};
    submit(job);
    return job;
}

/* Follows the pages; the keys must move one way. Returns how many, and the sum of their keys' last bits. */
static size_t list_all(struct store_filter filter, struct id *found)
{
    struct job *jobs[16];
    size_t count, total = 0;
    int64_t next = filter.ascending ? 0 : INT64_MAX, last = next;
    while (next != -1) {
        *(filter.ascending ? &filter.after_key : &filter.before_key) = next;
        ok(store_list(store_own_reader(store), &filter, jobs, &count, &next));
        ck_assert_uint_le(count, filter.limit);
        for (size_t i = 0; i < count; i++) {
            int64_t key = id_key(jobs[i]->spec.id);
            ck_assert(filter.ascending ? key > last : key < last);
            last = key;
            if (found != NULL)
                found[total] = jobs[i]->spec.id;
            total++;
            job_free(jobs[i]);
        }
    }
    return total;
}

static struct store_filter by_tag(const char *tag)
{
    struct store_filter filter = ANY;
    strcpy(filter.tag, tag);
    return filter;
}

static struct store_filter by_text(const char *text)
{
    struct store_filter filter = ANY;
    strcpy(filter.text, text);
    return filter;
}

START_TEST(tags_come_back_as_they_were_given_and_none_as_none)
{
    static const char TAGS[] = "[\"b\",\"a\\\"c\",\"\\\\\"]";
    JOB_AUTO with = tagged("t", TAGS), *without = tagged("t", NULL);
    JOB_AUTO one = get(with->spec.id), *other = get(without->spec.id);
    ck_assert_uint_eq(one->tags.bytes, strlen(TAGS));
    ck_assert_mem_eq(one->tags.at, TAGS, strlen(TAGS));
    ck_assert_ptr_null(other->tags.at);
    ck_assert_int_eq(look("SELECT count(*) FROM tags WHERE tag IN ('b', 'a\"c', '\\')"), 3);
    ck_assert_int_eq(look("SELECT count(*) FROM tagged"), 1);
}
END_TEST

START_TEST(tags_are_there_when_a_job_is_loaded_listed_or_inserted_late)
{
    JOB_AUTO memory = make_job("q", "t");
    job_free(tagged("t", "[\"a\"]"));
    struct job *loaded[2], *listed[2];
    size_t count;
    int64_t next;
    struct store_load load = {.lane = job_lane(&memory->spec), .limit = 2};
    ok(store_load(store, &load, 1, 1000, loaded, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(loaded[0]->tags.bytes, 5);
    job_free(loaded[0]);
    memory->spec.durability = DURABILITY_MEMORY;
    memory->tags = (struct text){"[\"late\"]", 8};
    run_ended(memory, JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(memory, 0));
    struct store_filter filter = by_tag("late");
    ok(store_list(store_own_reader(store), &filter, listed, &count, &next));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(listed[0]->tags.bytes, 8);
    job_free(listed[0]);
}
END_TEST

START_TEST(lists_by_tag_find_each_job_once_with_other_filters_too)
{
    static const char *const TAGS[] = {"[\"a\"]", "[\"a\",\"b\"]", "[\"ab\"]", NULL};
    for (int i = 0; i < 100; i++)
        job_free(tagged(i % 2 == 0 ? "x" : "y", TAGS[i % 4]));
    ck_assert_uint_eq(list_all(by_tag("a"), NULL), 50);
    ck_assert_uint_eq(list_all(by_tag("b"), NULL), 25);
    ck_assert_uint_eq(list_all(by_tag("A"), NULL), 0);
    struct store_filter filter = by_tag("a");
    strcpy(filter.task, "y");
    ck_assert_uint_eq(list_all(filter, NULL), 25);
    filter.by_state = true;
    filter.state = JOB_FAILED;
    ck_assert_uint_eq(list_all(filter, NULL), 0);
    filter.state = JOB_QUEUED;
    filter.ascending = true;
    ck_assert_uint_eq(list_all(filter, NULL), 25);
}
END_TEST

START_TEST(rising_lists_are_falling_ones_turned_over)
{
    static struct id down[64], up[64];
    static const enum job_state STATES[] = {JOB_QUEUED, JOB_FAILED, JOB_SUCCEEDED};
    for (int i = 0; i < 60; i++) {
        JOB_AUTO job = make_job("q", "t");
        submit(job);
        run_ended(job, STATES[i % 3], OUTCOME_ERROR);
        ck_assert(land(job, 0));
    }
    for (int state = -1; state < 3; state++) {
        struct store_filter filter = ANY;
        filter.by_state = state >= 0;
        filter.state = STATES[state < 0 ? 0 : state];
        size_t count = list_all(filter, down);
        ck_assert_uint_eq(count, state < 0 ? 60 : 20);
        filter.ascending = true;
        ck_assert_uint_eq(list_all(filter, up), count);
        for (size_t i = 0; i < count; i++)
            ck_assert(id_equal(up[i], down[count - 1 - i]));
    }
}
END_TEST

START_TEST(a_text_is_found_in_task_error_and_id)
{
    JOB_AUTO hash = tagged("sha256", NULL), *mail = tagged("mail", NULL);
    run_ended(mail, JOB_FAILED, OUTCOME_ERROR);
    strcpy(mail->attempt.error_message, "Mailbox 0193a2f4 is 100 % full");
    ck_assert(land(mail, 0));
    char id[ID_TEXT_BYTES], part[ID_TEXT_BYTES];
    struct id found[8];
    ck_assert_uint_eq(list_all(by_text("SHA"), NULL), 1);
    ck_assert_uint_eq(list_all(by_text("mailbox"), NULL), 1);
    ck_assert_uint_eq(list_all(by_text("100 %"), NULL), 1);
    ck_assert_uint_eq(list_all(by_text("0193a2f4"), NULL), 1);
    ck_assert_uint_eq(list_all(by_text("nowhere"), NULL), 0);
    id_format(hash->spec.id, id);
    for (size_t bytes = 1; bytes < ID_TEXT_BYTES; bytes++) {
        snprintf(part, sizeof part, "%.*s", (int)bytes, id);
        size_t count = list_all(by_text(part), found);
        ck_assert_msg(count >= 1, "%s", part);
        if (bytes == ID_TEXT_BYTES - 1) {
            ck_assert_uint_eq(count, 1);
            ck_assert(id_equal(found[0], hash->spec.id));
        }
    }
}
END_TEST

START_TEST(a_text_that_is_the_beginning_of_an_id_says_where_its_keys_lie)
{
    struct id id = id_new();
    char text[ID_TEXT_BYTES];
    int64_t from, below, before = 0, after = INT64_MAX;
    id_format(id, text);
    for (size_t bytes = ID_TEXT_BYTES - 1; bytes > 0; bytes--) {
        text[bytes] = '\0';
        bool ids_only = store_text_keys(text, &from, &below);
        ck_assert_int_eq(ids_only, bytes > 8);
        if (!ids_only)
            break;
        ck_assert(from <= id_key(id) && id_key(id) < below);
        ck_assert(bytes == ID_TEXT_BYTES - 1 || (from <= before && below >= after));
        before = from;
        after = below;
    }
    id_format(id, text);
    ck_assert(store_text_keys(text, &from, &below));
    ck_assert_int_eq(below - from, 1);
    static const char *const OTHERS[] = {"",
                                         "0193a2f4",
                                         "0193a2fg-",
                                         "0193a2f4-7c3b-4d1e",
                                         "0193a2f4-7c3b7",
                                         "two words",
                                         "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f0"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++)
        ck_assert(!store_text_keys(OTHERS[i], &from, &below));
}
END_TEST

/* Files of version 1: its schema as it was, and rows as it wrote them. */

static void make_version_1(void)
{
    BUF_AUTO sql = {0};
    close_store();
    ck_assert_int_eq(remove(file_path()), 0);
    buf_put(&sql, "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x666f726b; PRAGMA user_version = 1;");
    buf_put(&sql, store_schema_sql);
    buf_put(
        &sql,
        "INSERT INTO meta VALUES ('id', x'00112233445566778899aabbccddeeff');"
        "UPDATE meta SET value = 500 WHERE name = 'seq';"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
        "INSERT INTO jobs (id_key, id_random, state, created_ms, queue, task, seq, priority, durability,"
        " timeout_ms, kill_after_ms, max_attempts, backoff, initial_ms, max_ms, jitter, epoch, attempt, "
        "number,"
        " outcome, started_ms, finished_ms, result, args)"
        " SELECT ((7000 + i) << 12) | i, i, CASE i % 3 WHEN 0 THEN 0 WHEN 1 THEN 3 ELSE 4 END, 7000 + i, 'q',"
        " 't', i, 5, 2, 1000, 100, 3, 0, 10, 10, 0, 1, i % 3 > 0, iif(i % 3 > 0, 1, NULL),"
        " iif(i % 3 > 0, i % 3, NULL), iif(i % 3 > 0, 7000, NULL), iif(i % 3 > 0, 7100, NULL),"
        " iif(i % 3 = 1, '[1]', NULL), '{}' FROM n;"
        "INSERT INTO counts SELECT queue, task, state, count(*) FROM jobs GROUP BY 1, 2, 3;");
    buf_add(&sql, "", 1);
    change_file(sql.data);
}

START_TEST(a_file_of_version_1_becomes_one_of_version_4_with_all_its_jobs)
{
    make_version_1();
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema WHERE name = 'tagged'"), 0);
    open_store();
    ck_assert_int_eq(look("PRAGMA user_version"), 4);
    ck_assert_int_eq(store_identity(store).bytes[1], 0x11);
    ck_assert_int_eq(store_greatest_key(store), 7030 << 12 | 30);
    ck_assert_uint_eq(list_all(ANY, NULL), 30);
    counts_are_right();
    JOB_AUTO success = get(id_join(7001 << 12 | 1, 1)), *failure = get(id_join(7002 << 12 | 2, 2));
    ck_assert_int_eq(success->state, JOB_SUCCEEDED);
    ck_assert_uint_eq(success->result.bytes, 3);
    ck_assert_ptr_null(success->tags.at);
    ck_assert_int_eq(failure->state, JOB_FAILED);
    reopen_store(); /* nothing left to do */
    ck_assert_uint_eq(list_all(ANY, NULL), 30);
}
END_TEST

START_TEST(jobs_of_version_1_live_on_like_any_other)
{
    make_version_1();
    open_store();
    JOB_AUTO fresh = tagged("t", "[\"new\"]");
    ck_assert_int_gt(fresh->spec.seq, 500);
    struct store_retry again = {.id = id_join(7002 << 12 | 2, 2)};
    struct store_past gone = {.id = id_join(7001 << 12 | 1, 1)}, bare = {.id = id_join(7004 << 12 | 4, 4)};
    begin();
    ok(store_retry(store, &again));
    ok(store_forget(store, &gone));
    ok(store_prune(store, &bare));
    ok(store_commit(store));
    ck_assert_int_eq(again.err | gone.err | bare.err, ERR_OK);
    ck_assert_int_eq(again.job->state, JOB_QUEUED);
    job_free(again.job);
    ck_assert_uint_eq(list_all(ANY, NULL), 30);
    ck_assert_uint_eq(list_all(by_tag("new"), NULL), 1);
    counts_are_right();
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_file_at_version_1)
{
    struct buf message = {0};
    make_version_1();
    change_file("CREATE TABLE debris (x)"); /* in the way */
    ck_assert_int_eq(store_open(url, &store, &message), ERR_STORE_UNUSABLE);
    buf_fini(&message);
    ck_assert_int_eq(look("PRAGMA user_version"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM sqlite_schema WHERE name = 'tagged'"), 0);
    change_file("DROP TABLE debris");
    open_store();
    ck_assert_uint_eq(list_all(ANY, NULL), 30);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_tags");
    TCase *tcase = tcase_create("store_tags");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, tags_come_back_as_they_were_given_and_none_as_none);
    tcase_add_test(tcase, tags_are_there_when_a_job_is_loaded_listed_or_inserted_late);
    tcase_add_test(tcase, lists_by_tag_find_each_job_once_with_other_filters_too);
    tcase_add_test(tcase, rising_lists_are_falling_ones_turned_over);
    tcase_add_test(tcase, a_text_is_found_in_task_error_and_id);
    tcase_add_test(tcase, a_text_that_is_the_beginning_of_an_id_says_where_its_keys_lie);
    tcase_add_test(tcase, a_file_of_version_1_becomes_one_of_version_4_with_all_its_jobs);
    tcase_add_test(tcase, jobs_of_version_1_live_on_like_any_other);
    tcase_add_test(tcase, a_migration_that_fails_leaves_the_file_at_version_1);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
