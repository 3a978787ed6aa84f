/* When a job is to run and until when; keys, meta, and the further rules of retrying. */
#include "run.h"

#include "extras.h"
#include "submission.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_fini(&f);
}

static json_t *document(bool whole)
{
    BUF_AUTO out = {0};
    codec_job(&out, f.job, whole);
    json_decref(f.json);
    f.json = json_loadb(out.data, out.bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(f.json);
    return f.json;
}

/* A submit of echo with one more member or several. */
static enum err with(const char *members)
{
    char body[2048];
    snprintf(body, sizeof body, "{\"task\":\"echo\",%s}", members);
    return submit(&f, body);
}

static void assert_extras(const char *expected)
{
    ck_assert_uint_eq(f.job->extras.bytes, strlen(expected));
    ck_assert_mem_eq(f.job->extras.at, expected, strlen(expected));
}

/* --- when --- */

START_TEST(a_delayed_job_is_scheduled_for_its_time)
{
    ck_assert_int_eq(with("\"delay\":1.5"), ERR_OK);
    ck_assert_int_eq(f.job->state, JOB_SCHEDULED);
    ck_assert_int_eq(f.job->spec.scheduled_ms, f.job->spec.created_ms + 1500);
    ck_assert_int_eq(f.job->spec.run_at_ms, f.job->spec.scheduled_ms);
    const json_t *now = document(true);
    ck_assert_str_eq(text_at(&f, "state"), "scheduled");
    ck_assert_str_eq(text_at(&f, "scheduled_at"), text_at(&f, "next_attempt_at"));
    ck_assert(json_is_null(json_object_get(now, "expires_at")));
}
END_TEST

START_TEST(a_time_with_any_zone_is_taken)
{
    ck_assert_int_eq(with("\"scheduled_at\":\"2100-01-01T00:00:00+02:00\""), ERR_OK);
    ck_assert_int_eq(f.job->state, JOB_SCHEDULED);
    document(false);
    ck_assert_str_eq(text_at(&f, "scheduled_at"), "2099-12-31T22:00:00.000Z");
}
END_TEST

START_TEST(what_is_not_later_runs_now)
{
    const char *now[] = {"\"delay\":0", "\"scheduled_at\":\"2001-01-01T00:00:00Z\"",
                         "\"delay\":0,\"durability\":\"memory\""};
    for (size_t i = 0; i < sizeof now / sizeof now[0]; i++) {
        ck_assert_int_eq(with(now[i]), ERR_OK);
        ck_assert_int_eq(f.job->state, JOB_QUEUED);
        ck_assert_int_eq(f.job->spec.scheduled_ms, 0);
        ck_assert_int_eq(f.job->spec.run_at_ms, 0);
    }
}
END_TEST

START_TEST(a_job_expires_at_a_time_or_in_a_time)
{
    ck_assert_int_eq(with("\"expires_in\":60,\"durability\":\"memory\""), ERR_OK);
    ck_assert_int_eq(f.job->spec.expires_ms, f.job->spec.created_ms + 60000);
    ck_assert_int_eq(with("\"expires_at\":\"2100-01-01T00:00:00Z\",\"delay\":5"), ERR_OK);
    document(true);
    ck_assert_str_eq(text_at(&f, "expires_at"), "2100-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(within_what_time_it_must_start_is_handed_on)
{
    ck_assert_int_eq(with("\"start_within\":2.5"), ERR_OK);
    ck_assert_int_eq(f.start_within_ms, 2500);
    ck_assert_int_eq(with("\"priority\":1"), ERR_OK);
    ck_assert_int_eq(f.start_within_ms, -1);
}
END_TEST

static const struct {
    const char *members, *pointer, *says;
} WRONG[] = {
    {"\"delay\":-1", "/delay", "0 to 315360000"},
    {"\"delay\":315360001", "/delay", "0 to 315360000"},
    {"\"delay\":\"5\"", "/delay", "seconds"},
    {"\"delay\":null", "/delay", "seconds"},
    {"\"scheduled_at\":\"2100-01-01T00:00:00\"", "/scheduled_at", "with its zone: append Z (UTC)"},
    {"\"scheduled_at\":\"2100-13-01T00:00:00Z\"", "/scheduled_at", "RFC 3339"},
    {"\"scheduled_at\":\"tomorrow\"", "/scheduled_at", "RFC 3339"},
    {"\"scheduled_at\":\"2030-02-30T00:00:00Z\"", "/scheduled_at", "a day that there is: that month has 28"},
    {"\"scheduled_at\":4102444800", "/scheduled_at", "RFC 3339"},
    {"\"scheduled_at\":null", "/scheduled_at", "RFC 3339"},
    {"\"scheduled_at\":\"2100-01-01T00:00:00Z\",\"delay\":1", "/scheduled_at", "one of them"},
    {"\"delay\":5,\"durability\":\"memory\"", "/delay", "durability memory"},
    {"\"scheduled_at\":\"2100-01-01T00:00:00Z\",\"durability\":\"memory\"", "/scheduled_at", "stored"},
    {"\"delay\":5,\"start_within\":1", "/start_within", "expires_in"},
    {"\"expires_at\":\"2001-01-01T00:00:00Z\"", "/expires_at", "has passed"},
    {"\"expires_at\":\"2100-01-01T00:00:00\"", "/expires_at", "with its zone"},
    {"\"expires_in\":0", "/expires_in", "above 0"},
    {"\"expires_in\":9,\"expires_at\":\"2100-01-01T00:00:00Z\"", "/expires_at", "one of them"},
    {"\"expires_in\":5,\"delay\":6", "/expires_in", "before it is to run"},
    {"\"start_within\":-0.5", "/start_within", "from 0"},
    {"\"concurrency_key\":\"\"", "/concurrency_key", "1 to 128"},
    {"\"concurrency_key\":\"a\\nb\"", "/concurrency_key", "printable"},
    {"\"concurrency_key\":7", "/concurrency_key", "printable"},
    {"\"retry\":{\"intervals\":[]}", "/retry/intervals", "1 to 16"},
    {"\"retry\":{\"intervals\":5}", "/retry/intervals", "array"},
    {"\"retry\":{\"intervals\":[1,-1]}", "/retry/intervals/1", "seconds"},
    {"\"retry\":{\"intervals\":[1,[2]]}", "/retry/intervals/1", "seconds"},
    {"\"retry\":{\"intervals\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", "/retry/intervals/16", "1 to 16"},
    {"\"retry\":{\"max_age\":0}", "/retry/max_age", "above 0"},
    {"\"retry\":{\"on\":[]}", "/retry/on", "1 to 8"},
    {"\"retry\":{\"on\":[\"Bad\"]}", "/retry/on/0", "a-z"},
    {"\"retry\":{\"never\":[\"ok\",\"\"]}", "/retry/never/1", "a-z"},
    {"\"retry\":{\"never\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}", "/retry/never/8",
     "1 to 8"},
    {"\"retry\":{\"on\":[\"0123456789012345678901234567890123456789\"]}", "/retry/on/0", "39"},
};

START_TEST(what_is_wrong_is_refused_at_its_place)
{
    ck_assert_msg(with(WRONG[_i].members) == ERR_INVALID_FIELD, "%s", WRONG[_i].members);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), WRONG[_i].pointer);
    ck_assert_msg(strstr(text_at(&f, "detail"), WRONG[_i].says) != NULL, "%s", text_at(&f, "detail"));
    ck_assert_ptr_null(f.job);
}
END_TEST

/* Each example of a hint is taken as it stands there. */
START_TEST(the_hint_is_a_value_that_is_taken)
{
    static const char *const WORDS[] = {"priority",   "timeout", "delay",           "queue", "durability",
                                        "expires_at", "tags",    "concurrency_key", "unique"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        char members[64], hinted[256];
        snprintf(members, sizeof members, "\"%s\":-0.5", WORDS[i]);
        ck_assert_msg(with(members) == ERR_INVALID_FIELD, "%s", members);
        const char *hint = text_at(&f, "hint"), *object = strchr(hint, '{');
        ck_assert_msg(object != NULL && strncmp(hint, "send, say, ", 11) == 0, "%s", hint);
        snprintf(hinted, sizeof hinted, "%.*s", (int)strlen(object) - 2, object + 1);
        ck_assert_msg(with(hinted) == ERR_OK, "%s", hinted);
    }
    ck_assert_int_eq(with("\"retry\":{\"max_attempts\":0}"), ERR_INVALID_FIELD);
    ck_assert_str_eq(text_at(&f, "hint"), "send, say, {\"retry\":{\"max_attempts\":5}}");
}
END_TEST

START_TEST(a_query_takes_the_same)
{
    static const struct parameter query[] = {
        {"delay", "2"}, {"expires_at", "2100-01-01T00:00:00+02:00"}, {"concurrency_key", "customer 17"}};
    struct submission submission = {.task = "echo", .parameters = query, .parameter_count = 3};
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_OK);
    ck_assert_int_eq(f.job->state, JOB_SCHEDULED);
    ck_assert_str_eq(f.job->spec.concurrency_key, "customer 17");
    static const struct parameter bad[] = {{"scheduled_at", "2100-01-01T00:00:00Z"},
                                           {"durability", "memory"}};
    submission.parameters = bad;
    submission.parameter_count = 2;
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_INVALID_PARAMETER);
    ck_assert_str_eq(fault_at(&f, 0, "parameter"), "scheduled_at");
}
END_TEST

/* --- the lane --- */

START_TEST(the_lane_is_that_of_the_finished_spec)
{
    ck_assert_int_eq(with("\"concurrency_key\":\"k\",\"priority\":7,\"queue\":\"q\""), ERR_OK);
    ck_assert_int_eq(f.job->spec.lane, job_lane(&f.job->spec));
    int64_t lane = f.job->spec.lane;
    ck_assert_int_eq(with("\"concurrency_key\":\"l\",\"priority\":7,\"queue\":\"q\""), ERR_OK);
    ck_assert_int_ne(f.job->spec.lane, lane);
}
END_TEST

/* --- extras --- */

START_TEST(extras_are_canonical)
{
    ck_assert_int_eq(with("\"retry\":{\"never\":[ \"bad_input\" , \"x-1\" ],\"max_age\":60,"
                          "\"intervals\":[1, 2.50 ,10]},\"meta\": { \"a b\" : [ 1e2 , \"\\\" \\\\\" ] }"),
                     ERR_OK);
    assert_extras(
        "{\"meta\":{\"a b\":[1e2,\"\\\" \\\\\"]},\"retry\":{\"intervals\":[1,2.5,10],\"max_age\":60,"
        "\"never\":[\"bad_input\",\"x-1\"]}}");
    struct json_span retry;
    ck_assert(extras_find(f.job->extras, EXTRA_RETRY, &retry));
    struct retry_rules rules = retry_rules_read(retry);
    ck_assert_uint_eq(rules.interval_count, 3);
    ck_assert_int_eq(rules.intervals_ms[1], 2500);
    ck_assert_int_eq(rules.max_age_ms, 60000);
    ck_assert_uint_eq(rules.never_count, 2);
    ck_assert_str_eq(rules.never[1], "x-1");
}
END_TEST

START_TEST(the_document_shows_extras_as_they_are)
{
    ck_assert_int_eq(with("\"meta\":[1],\"retry\":{\"on\":[\"timeout\"]}"), ERR_OK);
    const json_t *now = document(true), *retry = json_object_get(now, "retry");
    ck_assert_uint_eq(json_array_size(json_object_get(now, "meta")), 1);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(retry, "on"), 0)), "timeout");
    ck_assert_ptr_nonnull(json_object_get(retry, "jitter"));
    ck_assert_ptr_null(json_object_get(retry, "never"));
    ck_assert_ptr_null(json_object_get(document(false), "meta"));
}
END_TEST

START_TEST(without_any_there_are_none)
{
    ck_assert_int_eq(with("\"meta\":null,\"retry\":{}"), ERR_OK);
    ck_assert_ptr_null(f.job->extras.at);
    ck_assert(json_is_null(json_object_get(document(true), "meta")));
    ck_assert(json_is_null(json_object_get(f.json, "concurrency_key")));
    ck_assert_uint_eq(json_object_size(json_object_get(f.json, "retry")), 5);
}
END_TEST

START_TEST(a_meta_of_16_kib_is_taken_and_white_space_does_not_count)
{
    BUF_AUTO body = {0};
    for (int more = 0; more < 2; more++) {
        body.bytes = 0;
        buf_put(&body, "{\"task\":\"echo\",\"meta\": [  \"");
        for (int i = 0; i < 16384 - 4 + more; i++)
            buf_put(&body, "x");
        buf_put(&body, "\"  ] }");
        buf_add(&body, "", 1);
        ck_assert_int_eq(submit(&f, body.data), more ? ERR_INVALID_FIELD : ERR_OK);
    }
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/meta");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_times");
    TCase *tcase = tcase_create("codec_times");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_delayed_job_is_scheduled_for_its_time);
    tcase_add_test(tcase, a_time_with_any_zone_is_taken);
    tcase_add_test(tcase, what_is_not_later_runs_now);
    tcase_add_test(tcase, a_job_expires_at_a_time_or_in_a_time);
    tcase_add_test(tcase, within_what_time_it_must_start_is_handed_on);
    tcase_add_loop_test(tcase, what_is_wrong_is_refused_at_its_place, 0,
                        (int)(sizeof WRONG / sizeof WRONG[0]));
    tcase_add_test(tcase, the_hint_is_a_value_that_is_taken);
    tcase_add_test(tcase, a_query_takes_the_same);
    tcase_add_test(tcase, the_lane_is_that_of_the_finished_spec);
    tcase_add_test(tcase, extras_are_canonical);
    tcase_add_test(tcase, the_document_shows_extras_as_they_are);
    tcase_add_test(tcase, without_any_there_are_none);
    tcase_add_test(tcase, a_meta_of_16_kib_is_taken_and_white_space_does_not_count);
    return run_suite(suite);
}
