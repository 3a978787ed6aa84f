/* Tags in a body, in a query and in the document; results that were pruned. */
#include "run.h"

#include "submission.h"
#include "tags.h"

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

static void assert_tags(const char *expected)
{
    ck_assert_uint_eq(f.job->tags.bytes, strlen(expected));
    ck_assert_mem_eq(f.job->tags.at, expected, strlen(expected));
}

START_TEST(tags_of_a_body_are_kept_in_their_order_each_once)
{
    ck_assert_int_eq(
        submit(&f, "{\"task\":\"echo\",\"tags\": [ \"b\" , \"a\\u0062\",\"b\", \"ab\",\"\\\"\" ] }"), ERR_OK);
    assert_tags("[\"b\",\"ab\",\"\\\"\"]");
    ck_assert_uint_eq(json_array_size(json_object_get(document(true), "tags")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(document(false), "tags")), 3);
}
END_TEST

START_TEST(a_job_without_tags_has_no_text_and_an_empty_array_in_its_document)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    ck_assert_ptr_null(f.job->tags.at);
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"tags\":[ ]}"), ERR_OK);
    ck_assert_ptr_null(f.job->tags.at);
    const json_t *tags = json_object_get(document(true), "tags");
    ck_assert(json_is_array(tags) && json_array_size(tags) == 0);
}
END_TEST

START_TEST(sixteen_tags_of_64_characters_are_accepted_and_no_more)
{
    char body[16384] = "{\"task\":\"echo\",\"tags\":[";
    for (int i = 0; i < TAGS_MAX; i++) {
        snprintf(body + strlen(body), 16, "%s\"%02d", i > 0 ? "," : "", i);
        for (int k = 2; k < TAG_CHARACTERS; k++)
            strcat(body, "é");
        strcat(body, "\"");
    }
    size_t used = strlen(body);
    strcpy(body + used, "]}");
    ck_assert_int_eq(submit(&f, body), ERR_OK);
    char tag[TAG_BYTES];
    int count = 0;
    for (size_t at = 0; tags_next(f.job->tags, &at, tag);)
        count++;
    ck_assert_int_eq(count, TAGS_MAX);
    strcpy(body + used, ",\"one more\"]}");
    ck_assert_int_eq(submit(&f, body), ERR_INVALID_FIELD);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/tags/16");
}
END_TEST

static const struct {
    const char *tags, *pointer;
} WRONG[] = {
    {"\"a\"", "/tags"},
    {"null", "/tags"},
    {"{}", "/tags"},
    {"7", "/tags"},
    {"[1]", "/tags/0"},
    {"[\"a\",null]", "/tags/1"},
    {"[\"\"]", "/tags/0"},
    {"[[\"a\"]]", "/tags/0"},
    {"[\"a\\u0000\"]", "/tags/0"},
    {"[\"a\\n\"]", "/tags/0"},
    {"[\"a\",{\"b\":1}]", "/tags/1"},
};

START_TEST(what_is_no_array_of_tags_is_refused_with_its_place)
{
    char body[128];
    snprintf(body, sizeof body, "{\"task\":\"echo\",\"tags\":%s}", WRONG[_i].tags);
    ck_assert_int_eq(submit(&f, body), ERR_INVALID_FIELD);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), WRONG[_i].pointer);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "tags is"));
}
END_TEST

START_TEST(a_query_may_name_several_tags)
{
    static const struct parameter query[] = {{"tag", "b"}, {"priority", "7"}, {"tag", "a,c"}, {"tag", "b"}};
    struct submission submission = {.task = "echo", .parameters = query, .parameter_count = 4};
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_OK);
    assert_tags("[\"b\",\"a,c\"]");
    ck_assert_int_eq(f.job->spec.priority, 7);
    static const struct parameter bad[] = {{"tag", "a"}, {"tag", ""}};
    submission.parameters = bad;
    submission.parameter_count = 2;
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_INVALID_PARAMETER);
    ck_assert_str_eq(fault_at(&f, 0, "parameter"), "tag");
}
END_TEST

START_TEST(the_order_of_a_query_does_not_change_its_fingerprint)
{
    static const struct parameter one[] = {{"tag", "a"}, {"tag", "b"}},
                                  other[] = {{"tag", "b"}, {"tag", "a"}};
    struct submission submission = {
        .task = "echo", .parameters = one, .parameter_count = 2, .idempotency_key = "k"};
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_OK);
    struct id first = f.job->spec.fingerprint;
    submission.parameters = other;
    ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_OK);
    ck_assert(id_equal(first, f.job->spec.fingerprint));
}
END_TEST

START_TEST(a_misspelt_field_is_answered_with_tags)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\",\"tag\":[\"a\"]}"), ERR_UNKNOWN_FIELD);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "\"tags\""));
}
END_TEST

START_TEST(a_success_without_a_result_was_pruned)
{
    ck_assert_int_eq(submit(&f, "{\"task\":\"echo\"}"), ERR_OK);
    ck_assert(json_is_false(json_object_get(document(true), "result_pruned")));
    f.job->state = JOB_SUCCEEDED;
    ck_assert(json_is_true(json_object_get(document(true), "result_pruned")));
    ck_assert(json_is_null(json_object_get(f.json, "result")));
    f.job->result = (struct text){"null", 4};
    ck_assert(json_is_false(json_object_get(document(true), "result_pruned")));
    f.job->state = JOB_FAILED;
    f.job->result = (struct text){NULL, 0};
    ck_assert(json_is_false(json_object_get(document(true), "result_pruned")));
    ck_assert_ptr_null(json_object_get(document(false), "result_pruned"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_tags");
    TCase *tcase = tcase_create("codec_tags");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, tags_of_a_body_are_kept_in_their_order_each_once);
    tcase_add_test(tcase, a_job_without_tags_has_no_text_and_an_empty_array_in_its_document);
    tcase_add_test(tcase, sixteen_tags_of_64_characters_are_accepted_and_no_more);
    tcase_add_loop_test(tcase, what_is_no_array_of_tags_is_refused_with_its_place, 0,
                        (int)(sizeof WRONG / sizeof WRONG[0]));
    tcase_add_test(tcase, a_query_may_name_several_tags);
    tcase_add_test(tcase, the_order_of_a_query_does_not_change_its_fingerprint);
    tcase_add_test(tcase, a_misspelt_field_is_answered_with_tags);
    tcase_add_test(tcase, a_success_without_a_result_was_pruned);
    return run_suite(suite);
}
