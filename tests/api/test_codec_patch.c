/* The bodies of PATCH. */
#include "run.h"

#include "submission.h"

static struct problem problem;
static struct store_patch patch;
static struct setting setting;
static struct buf tags;
static json_t *json;

static void setup(void)
{
    problem = (struct problem){0};
    setting = (struct setting){0};
    tags = (struct buf){0};
    json = NULL;
}

static void teardown(void)
{
    problem_fini(&problem);
    buf_fini(&tags);
    json_decref(json);
}

enum { NOW_MS = 1000000 };

static void read_problem(void)
{
    BUF_AUTO out = {0};
    problem_write(&problem, "req-1", &out);
    json_decref(json);
    json = json_loadb(out.data, out.bytes, 0, NULL);
}

static const char *text(const char *member)
{
    return json_string_value(json_object_get(json, member));
}

static const char *pointer_of(size_t number)
{
    const json_t *fault = json_array_get(json_object_get(json, "errors"), number);
    const char *at = json_string_value(json_object_get(fault, "pointer"));
    return at != NULL ? at : "";
}

static enum err take(const char *body)
{
    BUF_AUTO bytes = {0};
    teardown();
    setup();
    buf_put(&bytes, body);
    enum err err = codec_patch(&bytes, NOW_MS, &patch, &tags, &problem);
    read_problem();
    return err;
}

static enum err limit(const char *body, unsigned whom)
{
    BUF_AUTO bytes = {0};
    teardown();
    setup();
    buf_put(&bytes, body);
    enum err err = codec_limits(&bytes, whom, &setting, &problem);
    read_problem();
    return err;
}

/* --- of a job --- */

START_TEST(only_what_is_sent_is_changed)
{
    ck_assert_int_eq(take("{\"priority\":0}"), ERR_OK);
    ck_assert(patch.has_priority && !patch.has_run_at && !patch.has_expires && !patch.has_tags);
    ck_assert_int_eq(patch.priority, 0);
    ck_assert_int_eq(patch.now_ms, NOW_MS);
}
END_TEST

START_TEST(all_of_it_is_taken)
{
    ck_assert_int_eq(
        take("{\"scheduled_at\":\"2100-01-01T00:00:00Z\",\"expires_at\":\"2100-01-02T00:00:00Z\","
             "\"tags\":[\"a\",\"b\"]}"),
        ERR_OK);
    ck_assert(patch.has_run_at && patch.has_expires && patch.has_tags);
    ck_assert_int_eq(patch.expires_ms - patch.run_at_ms, 86400000);
    ck_assert_mem_eq(patch.tags.at, "[\"a\",\"b\"]", 9);
}
END_TEST

START_TEST(null_means_now_and_never)
{
    ck_assert_int_eq(take("{\"scheduled_at\":null,\"expires_at\":null,\"tags\":[]}"), ERR_OK);
    ck_assert(patch.has_run_at && patch.has_expires && patch.has_tags);
    ck_assert_int_eq(patch.run_at_ms, 0);
    ck_assert_int_eq(patch.expires_ms, 0);
    ck_assert_mem_eq(patch.tags.at, "[]", 2);
    ck_assert_int_eq(take("{\"scheduled_at\":\"1970-01-01T00:00:01Z\"}"), ERR_OK);
    ck_assert(patch.has_run_at && patch.run_at_ms == 0);
    ck_assert_int_eq(take("{\"delay\":0}"), ERR_OK);
    ck_assert(patch.has_run_at && patch.run_at_ms == 0);
    ck_assert_int_eq(take("{\"delay\":2}"), ERR_OK);
    ck_assert_int_eq(patch.run_at_ms, NOW_MS + 2000);
}
END_TEST

static const struct {
    const char *body, *pointer;
    enum err err;
} WRONG[] = {
    {"", "", ERR_INVALID_FIELD},
    {"{}", "", ERR_INVALID_FIELD},
    {"[]", "", ERR_INVALID_FIELD},
    {"7", "", ERR_INVALID_FIELD},
    {"{", "", ERR_INVALID_JSON},
    {"{\"priority\":10}", "/priority", ERR_INVALID_FIELD},
    {"{\"priority\":null}", "/priority", ERR_INVALID_FIELD},
    {"{\"delay\":1,\"scheduled_at\":null}", "/scheduled_at", ERR_INVALID_FIELD},
    {"{\"expires_at\":\"1970-01-01T00:00:01Z\"}", "/expires_at", ERR_INVALID_FIELD},
    {"{\"expires_at\":\"2100-01-01T00:00:00\"}", "/expires_at", ERR_INVALID_FIELD},
    {"{\"tags\":[1]}", "/tags/0", ERR_INVALID_FIELD},
    {"{\"state\":\"queued\"}", "/state", ERR_UNKNOWN_FIELD},
    {"{\"queue\":\"q\"}", "/queue", ERR_UNKNOWN_FIELD},
    {"{\"prioritty\":1}", "/prioritty", ERR_UNKNOWN_FIELD},
};

START_TEST(what_cannot_be_changed_so_is_refused)
{
    ck_assert_msg(take(WRONG[_i].body) == WRONG[_i].err, "%s", WRONG[_i].body);
    ck_assert_str_eq(pointer_of(0), WRONG[_i].pointer);
}
END_TEST

START_TEST(an_unknown_member_names_what_can_be_changed)
{
    take("{\"state\":\"queued\"}");
    ck_assert_ptr_nonnull(strstr(text("detail"), "priority, delay, scheduled_at, expires_at and tags"));
    take("{\"prioritty\":1}");
    ck_assert_ptr_nonnull(strstr(text("detail"), "did you mean \"priority\"?"));
}
END_TEST

/* --- limits --- */

START_TEST(limits_are_given_with_their_values)
{
    ck_assert_int_eq(
        limit("{\"concurrency\":2,\"rate\":\"10/s\",\"paused\":true,\"weight\":null}", FOR_QUEUE), ERR_OK);
    ck_assert(setting.given[LIMIT_CONCURRENCY] && setting.given[LIMIT_RATE] && setting.given[LIMIT_WEIGHT]);
    ck_assert(!setting.given[LIMIT_MAX_DEPTH]);
    ck_assert_int_eq(setting.to.values[LIMIT_CONCURRENCY], 2);
    ck_assert_int_eq(setting.to.values[LIMIT_RATE], limit_rate((struct rate){10, 1}));
    ck_assert_int_eq(setting.to.values[LIMIT_PAUSED], 1);
    ck_assert_int_eq(setting.to.values[LIMIT_WEIGHT], LIMIT_NOT_SET);
}
END_TEST

START_TEST(a_limit_of_nothing_is_refused_and_the_hint_says_paused)
{
    const char *bodies[] = {"{\"concurrency\":0}", "{\"rate\":\"0/s\"}", "{\"key_concurrency\":0}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        ck_assert_int_eq(limit(bodies[i], FOR_QUEUE), ERR_INVALID_FIELD);
        ck_assert_ptr_nonnull(strstr(text("hint"), "\"paused\":true"));
    }
}
END_TEST

START_TEST(other_limits_have_hints_of_their_own)
{
    static const struct {
        const char *body, *detail, *hint;
    } CASES[] = {{"{\"max_depth\":0}", "from 1 to 1000000000", "\"draining\":true"},
                 {"{\"weight\":0}", "from 1 to 1000", "smallest share"},
                 {"{\"burst\":0}", "from 1 to 1000000", "{\"burst\":10}"},
                 {"{\"rate\":\"2000000/s\"}", "1 to 1000000 in a time", "{\"rate\":\"10/s\"}"},
                 {"{\"paused\":1}", "true or false", "{\"paused\":true}"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ck_assert_int_eq(limit(CASES[i].body, FOR_QUEUE), ERR_INVALID_FIELD);
        ck_assert_msg(strstr(text("detail"), CASES[i].detail) != NULL, "%s", text("detail"));
        ck_assert_msg(strstr(text("hint"), CASES[i].hint) != NULL, "%s", text("hint"));
    }
}
END_TEST

START_TEST(what_only_a_submit_says_cannot_be_changed)
{
    ck_assert_int_eq(take("{\"task\":\"sleep\"}"), ERR_UNKNOWN_FIELD);
    read_problem();
    ck_assert_ptr_nonnull(strstr(text("detail"), "task cannot be changed"));
    ck_assert_ptr_nonnull(strstr(text("detail"), "priority"));
    ck_assert_ptr_nonnull(strstr(text("hint"), "cancel"));
    ck_assert_int_eq(take("{\"prioritty\":1}"), ERR_UNKNOWN_FIELD);
    read_problem();
    ck_assert_ptr_nonnull(strstr(text("detail"), "did you mean \"priority\"?"));
}
END_TEST

START_TEST(limits_that_are_wrong_or_unknown_are_refused)
{
    ck_assert_int_eq(limit("{\"concurency\":1}", FOR_QUEUE), ERR_UNKNOWN_FIELD);
    ck_assert_ptr_nonnull(strstr(text("detail"), "did you mean \"concurrency\"?"));
    ck_assert_int_eq(limit("{\"max_depth\":1}", FOR_TASK), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(limit("{\"rate\":\"fast\",\"weight\":1001}", FOR_QUEUE), ERR_INVALID_FIELD);
    ck_assert_str_eq(pointer_of(0), "/rate");
    ck_assert_str_eq(pointer_of(1), "/weight");
    ck_assert_int_eq(limit("{\"paused\":1}", FOR_TASK), ERR_INVALID_FIELD);
    ck_assert_int_eq(limit("{}", FOR_TASK), ERR_INVALID_FIELD);
    ck_assert_int_eq(limit("{\"a\":1,", FOR_TASK), ERR_INVALID_JSON);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_patch");
    TCase *tcase = tcase_create("codec_patch");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, only_what_is_sent_is_changed);
    tcase_add_test(tcase, all_of_it_is_taken);
    tcase_add_test(tcase, null_means_now_and_never);
    tcase_add_loop_test(tcase, what_cannot_be_changed_so_is_refused, 0,
                        (int)(sizeof WRONG / sizeof WRONG[0]));
    tcase_add_test(tcase, an_unknown_member_names_what_can_be_changed);
    tcase_add_test(tcase, limits_are_given_with_their_values);
    tcase_add_test(tcase, a_limit_of_nothing_is_refused_and_the_hint_says_paused);
    tcase_add_test(tcase, other_limits_have_hints_of_their_own);
    tcase_add_test(tcase, what_only_a_submit_says_cannot_be_changed);
    tcase_add_test(tcase, limits_that_are_wrong_or_unknown_are_refused);
    return run_suite(suite);
}
