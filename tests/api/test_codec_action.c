/* The body of POST /v1/jobs/actions, and what a filter means. */
#include "run.h"

#include "submission.h"

#define A "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f"
#define B "0193a2f4-7c3c-7d1e-9f10-4b1a2c3d4e5f"

static struct problem problem;
static struct action action;
static struct buf ids;
static json_t *json;

static void setup(void)
{
    problem = (struct problem){0};
    ids = (struct buf){0};
    json = NULL;
}

static void teardown(void)
{
    problem_fini(&problem);
    buf_fini(&ids);
    json_decref(json);
}

static enum err take(const char *body)
{
    BUF_AUTO bytes = {0}, out = {0};
    teardown();
    setup();
    buf_put(&bytes, body);
    enum err err = codec_action(&bytes, &action, &ids, &problem);
    problem_write(&problem, "req-1", &out);
    json = json_loadb(out.data, out.bytes, 0, NULL);
    ck_assert_ptr_nonnull(json);
    return err;
}

static const char *detail(void)
{
    return json_string_value(json_object_get(json, "detail"));
}

static const char *pointer_of(size_t number)
{
    const json_t *fault = json_array_get(json_object_get(json, "errors"), number);
    const char *at = json_string_value(json_object_get(fault, "pointer"));
    return at != NULL ? at : "none";
}

/* --- bodies --- */

START_TEST(ids_are_taken_each_once)
{
    ck_assert_int_eq(take("{\"action\":\"retry\",\"ids\":[ \"" B "\", \"" A "\" ,\"" B "\"]}"), ERR_OK);
    ck_assert_int_eq(action.wanted, REQUEST_RETRY);
    ck_assert(!action.by_filter && !action.dry_run && !action.confirm && !action.waiting);
    ck_assert_uint_eq(action.id_count, 2);
    struct id a, b;
    ck_assert_int_eq(id_parse(A, &a), ERR_OK);
    ck_assert_int_eq(id_parse(B, &b), ERR_OK);
    ck_assert(id_equal(action.ids[0], a) && id_equal(action.ids[1], b));
}
END_TEST

START_TEST(ten_thousand_ids_are_taken_and_one_more_is_refused)
{
    for (int number = 10000; number <= 10001; number++) {
        BUF_AUTO body = {0};
        buf_put(&body, "{\"action\":\"cancel\",\"ids\":[");
        for (int i = 0; i < number; i++)
            buf_printf(&body, "%s\"0193a2f4-7c3b-7d1e-9f10-%012x\"", i > 0 ? "," : "", i);
        buf_put(&body, "]}");
        buf_add(&body, "", 1);
        enum err err = take(body.data);
        ck_assert_int_eq(err, number == 10000 ? ERR_OK : ERR_INVALID_FIELD);
        if (number == 10000)
            ck_assert_uint_eq(action.id_count, 10000);
        else
            ck_assert_ptr_nonnull(strstr(detail(), "10001 elements"));
    }
}
END_TEST

START_TEST(a_filter_is_taken_whole)
{
    ck_assert_int_eq(take("{\"action\":\"delete\",\"dry_run\":true,\"confirm\":false,\"filter\":{"
                          "\"state\":\"failed\",\"task\":\"mail\",\"queue\":\"q\",\"tag\":\"\\u00e9\","
                          "\"batch\":\"" A "\",\"created_after\":\"1970-01-01T00:00:01Z\","
                          "\"created_before\":\"1970-01-01T00:00:02Z\",\"q\":\"no luck\"}}"),
                     ERR_OK);
    const struct store_filter *stored = &action.filter.stored;
    ck_assert(action.by_filter && action.dry_run && !action.confirm);
    ck_assert_int_eq(action.wanted, REQUEST_FORGET);
    ck_assert(stored->by_state && stored->state == JOB_FAILED && !action.filter.running);
    ck_assert_str_eq(stored->task, "mail");
    ck_assert_str_eq(stored->queue, "q");
    ck_assert_str_eq(stored->tag, "é");
    ck_assert_str_eq(stored->text, "no luck");
    ck_assert_int_eq(stored->created_after_ms, 1000);
    ck_assert_int_eq(stored->created_before_ms, 2000);
    struct id a;
    ck_assert_int_eq(id_parse(A, &a), ERR_OK);
    ck_assert(id_equal(stored->batch, a));
}
END_TEST

static const struct {
    const char *body, *pointer;
    enum err err;
} WRONG[] = {
    {"", "", ERR_INVALID_FIELD},
    {"7", "", ERR_INVALID_FIELD},
    {"[]", "", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\"", "none", ERR_INVALID_JSON},
    {"{}", "/action", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\"}", "", ERR_INVALID_FIELD},
    {"{\"ids\":[\"" A "\"]}", "/action", ERR_INVALID_FIELD},
    {"{\"action\":\"kill\",\"ids\":[\"" A "\"]}", "/action", ERR_INVALID_FIELD},
    {"{\"action\":null,\"ids\":[\"" A "\"]}", "/action", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[\"" A "\"],\"filter\":{}}", "", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[]}", "/ids", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":{}}", "/ids", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[\"" A "\",7]}", "/ids/1", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[\"x\"]}", "/ids/0", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":null}", "/filter", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"state\":\"done\"}}", "/filter/state", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"state\":\"succeeded\"}}", "/filter/state", ERR_INVALID_FIELD},
    {"{\"action\":\"retry\",\"filter\":{\"state\":\"running\"}}", "/filter/state", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"tag\":\"\"}}", "/filter/tag", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"batch\":\"x\"}}", "/filter/batch", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"queue\":[1]}}", "/filter/queue", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"filter\":{\"limit\":1}}", "/filter/limit", ERR_UNKNOWN_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[\"" A "\"],\"confirm\":\"yes\"}", "/confirm", ERR_INVALID_FIELD},
    {"{\"action\":\"cancel\",\"ids\":[\"" A "\"],\"idz\":1}", "/idz", ERR_UNKNOWN_FIELD},
};

START_TEST(what_is_wrong_is_refused_with_its_place)
{
    ck_assert_msg(take(WRONG[_i].body) == WRONG[_i].err, "%s", WRONG[_i].body);
    ck_assert_str_eq(pointer_of(0), WRONG[_i].pointer);
}
END_TEST

START_TEST(unknown_fields_name_the_nearest)
{
    take("{\"action\":\"cancel\",\"fliter\":{}}");
    ck_assert_ptr_nonnull(strstr(detail(), "did you mean \"filter\"?"));
    take("{\"action\":\"cancel\",\"filter\":{\"created\":\"x\",\"taks\":\"mail\"}}");
    ck_assert_str_eq(pointer_of(0), "/filter/created");
    ck_assert_str_eq(pointer_of(1), "/filter/taks");
}
END_TEST

/* --- filters --- */

static struct filter filter_of(enum filter_member member, const char *text)
{
    PROBLEM_AUTO none = {0};
    struct filter filter = filter_all();
    ck_assert(filter_take(&filter, member, text, PLACE_PARAMETER, "x", &none));
    return filter;
}

START_TEST(a_filter_restricts_unless_every_job_fits_by_now)
{
    enum { NOW_MS = 1000000 };
    struct filter all = filter_all();
    ck_assert(!filter_restricts(&all, NOW_MS));
    static const struct {
        enum filter_member member;
        const char *text;
        bool restricts;
    } CASES[] = {
        {FILTER_STATE, "failed", true},
        {FILTER_STATE, "running", true},
        {FILTER_TASK, "t", true},
        {FILTER_QUEUE, "q", true},
        {FILTER_TAG, "x", true},
        {FILTER_BATCH, A, true},
        {FILTER_Q, "x", true},
        {FILTER_CREATED_AFTER, "1970-01-01T00:00:00Z", false},
        {FILTER_CREATED_AFTER, "1970-01-01T00:00:01Z", true},
        {FILTER_CREATED_BEFORE, "1970-01-01T00:16:40Z", true}, /* now */
        {FILTER_CREATED_BEFORE, "1970-01-01T00:16:41Z", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct filter filter = filter_of(CASES[i].member, CASES[i].text);
        ck_assert_msg(filter_restricts(&filter, NOW_MS) == CASES[i].restricts, "%zu", i);
    }
}
END_TEST

START_TEST(a_job_fits_if_all_members_do)
{
    JOB_AUTO job = job_new();
    ck_assert_int_eq(id_parse(A, &job->spec.id), ERR_OK);
    ck_assert_int_eq(id_parse(B, &job->spec.batch), ERR_OK);
    strcpy(job->spec.task, "mail");
    strcpy(job->spec.queue, "q");
    job->spec.created_ms = 1000;
    job->tags = (struct text){"[\"a\"]", 5};
    static const struct {
        enum filter_member member;
        const char *fits, *fits_not;
    } CASES[] = {
        {FILTER_TASK, "mail", "mails"},
        {FILTER_QUEUE, "q", "Q"},
        {FILTER_TAG, "a", "b"},
        {FILTER_BATCH, B, A},
        {FILTER_Q, "mai", "x"},
        {FILTER_CREATED_AFTER, "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"},
        {FILTER_CREATED_BEFORE, "1970-01-01T00:00:02Z", "1970-01-01T00:00:01Z"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct filter one = filter_of(CASES[i].member, CASES[i].fits);
        struct filter other = filter_of(CASES[i].member, CASES[i].fits_not);
        ck_assert_msg(filter_fits(&one, job), "%s", CASES[i].fits);
        ck_assert_msg(!filter_fits(&other, job), "%s", CASES[i].fits_not);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_action");
    TCase *tcase = tcase_create("codec_action");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, ids_are_taken_each_once);
    tcase_add_test(tcase, ten_thousand_ids_are_taken_and_one_more_is_refused);
    tcase_add_test(tcase, a_filter_is_taken_whole);
    tcase_add_loop_test(tcase, what_is_wrong_is_refused_with_its_place, 0,
                        (int)(sizeof WRONG / sizeof WRONG[0]));
    tcase_add_test(tcase, unknown_fields_name_the_nearest);
    tcase_add_test(tcase, a_filter_restricts_unless_every_job_fits_by_now);
    tcase_add_test(tcase, a_job_fits_if_all_members_do);
    return run_suite(suite);
}
