/* The store: schedules, and whether a job has ended. */
#include "store_fixture.h"

static struct store_schedule found[4];
static char names[4][NAME_BYTES], bodies[4][32];
static size_t count;

static enum err visit(void *context, const struct store_schedule *schedule)
{
    (void)context;
    ck_assert_uint_lt(count, 4);
    found[count] = *schedule;
    strcpy(names[count], schedule->name);
    snprintf(bodies[count++], sizeof bodies[0], "%.*s", (int)schedule->body.bytes, schedule->body.at);
    return ERR_OK;
}

static void read_all(void)
{
    count = 0;
    ok(store_schedules(store_own_reader(store), visit, NULL));
}

static void put(const char *name, const char *body, struct id last_job)
{
    struct store_schedule schedule = {.name = name,
                                      .body = {body, body != NULL ? strlen(body) : 0},
                                      .next_ms = INT64_MAX,
                                      .last_ms = 2,
                                      .last_job = last_job,
                                      .made = 3,
                                      .skipped = 4};
    ok(store_schedule_put(store, &schedule));
}

static void keep(const char *name, const char *body, struct id last_job)
{
    begin();
    put(name, body, last_job);
    ok(store_commit(store));
}

START_TEST(schedules_are_kept_in_order_of_their_names)
{
    struct id job = id_new();
    static const struct id NONE;
    keep("weekly", "{\"b\":1}", job);
    keep("daily", "{\"a\":\"ü\"}", NONE);
    reopen_store();
    read_all();
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], "daily");
    ck_assert_str_eq(bodies[0], "{\"a\":\"ü\"}");
    ck_assert(id_equal(found[0].last_job, NONE));
    ck_assert_str_eq(names[1], "weekly");
    ck_assert(id_equal(found[1].last_job, job));
    ck_assert(found[1].next_ms == INT64_MAX && found[1].last_ms == 2);
    ck_assert(found[1].made == 3 && found[1].skipped == 4);
}
END_TEST

START_TEST(a_row_is_replaced_and_goes)
{
    keep("daily", "{\"a\":1}", (struct id){0});
    keep("daily", "{\"a\":2}", (struct id){0});
    read_all();
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(bodies[0], "{\"a\":2}");
    keep("daily", NULL, (struct id){0});
    keep("nobody", NULL, (struct id){0});
    read_all();
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_is_rolled_back_has_not_happened)
{
    begin();
    put("daily", "{}", (struct id){0});
    store_rollback(store);
    read_all();
    ck_assert_uint_eq(count, 0);
}
END_TEST

static enum err refuse(void *context, const struct store_schedule *schedule)
{
    (void)context;
    (void)schedule;
    return ERR_NO_MEMORY;
}

START_TEST(a_visitor_may_end_the_reading)
{
    keep("daily", "{}", (struct id){0});
    ck_assert_int_eq(store_schedules(store_own_reader(store), refuse, NULL), ERR_NO_MEMORY);
    read_all(); /* from the start again */
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_job_is_open_until_it_has_ended)
{
    bool open = true;
    ok(store_is_open(store, id_new(), &open));
    ck_assert(!open);
    JOB_AUTO job = submitted();
    ok(store_is_open(store, job->spec.id, &open));
    ck_assert(open);
    begin();
    struct store_end end = {.id = job->spec.id, .ending = END_CANCEL, .now_ms = clock_real_ms()};
    ok(store_end(store, &end));
    ok(store_is_open(store, job->spec.id, &open)); /* seen in the same group */
    ck_assert(!open);
    ok(store_commit(store));
    job_free(end.job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_schedules");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, schedules_are_kept_in_order_of_their_names);
    tcase_add_test(tests, a_row_is_replaced_and_goes);
    tcase_add_test(tests, what_is_rolled_back_has_not_happened);
    tcase_add_test(tests, a_visitor_may_end_the_reading);
    tcase_add_test(tests, a_job_is_open_until_it_has_ended);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
