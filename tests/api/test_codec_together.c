/* What a job has to do with others: unique, after, and what only a line of a bulk request may say. */
#include "run.h"

#include "extras.h"
#include "submission.h"

#define A "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f"
#define B "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e60"

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

/* A submit of echo with more members, alone or as a line of a bulk request. */
static enum err as(bool bulk, const char *members)
{
    char body[2048];
    snprintf(body, sizeof body, "{\"task\":\"echo\",%s}", members);
    return submit_as(&f, (struct submission){.bulk = bulk}, body);
}

static enum err with(const char *members)
{
    return as(false, members);
}

static void assert_extras(const char *expected)
{
    ck_assert_msg(f.job->extras.bytes == strlen(expected) &&
                      memcmp(f.job->extras.at, expected, f.job->extras.bytes) == 0,
                  "%.*s", (int)f.job->extras.bytes, f.job->extras.at);
}

static struct unique_rule rule(void)
{
    struct unique_rule read;
    ck_assert(extras_unique(f.job->extras, &read));
    ck_assert_int_eq(f.job->spec.flags & JOB_FLAG_UNIQUE, JOB_FLAG_UNIQUE);
    return read;
}

/* --- unique --- */

START_TEST(a_key_of_ones_own_is_kept_as_it_is)
{
    ck_assert_int_eq(
        with("\"unique\":{\"on_conflict\":\"return\",\"period\":1.5,\"key\":\"daily \\\"report\\\"\"}"),
        ERR_OK);
    assert_extras(
        "{\"unique\":{\"key\":\"daily \\\"report\\\"\",\"period\":1.5,\"on_conflict\":\"return\"}}");
    ck_assert_str_eq(rule().key, "daily \"report\"");
    ck_assert_int_eq(rule().period_ms, 1500);
    ck_assert_int_eq(rule().on_conflict, CONFLICT_RETURN);
    ck_assert_int_eq(f.job->spec.flags, JOB_FLAG_UNIQUE);
}
END_TEST

START_TEST(without_a_key_it_is_that_of_task_and_arguments)
{
    ck_assert_int_eq(with("\"unique\":true,\"args\":{\"a\" : [1, \"x y\"]}"), ERR_OK);
    struct unique_rule first = rule();
    ck_assert_int_eq(strncmp(first.key, "args:", 5), 0);
    ck_assert_uint_eq(strlen(first.key), 5 + 32);
    ck_assert_int_eq(first.period_ms, 0);
    ck_assert_int_eq(first.on_conflict, CONFLICT_REJECT);

    ck_assert_int_eq(with("\"args\":{\"a\":[1,\"x y\"]},\"unique\":{\"period\":60},\"priority\":9"), ERR_OK);
    ck_assert_str_eq(rule().key, first.key);
    ck_assert_int_eq(with("\"unique\":{},\"args\":{\"a\":[1,\"xy\"]}"), ERR_OK);
    ck_assert_str_ne(rule().key, first.key);
    ck_assert_int_eq(submit(&f, "{\"task\":\"sha256\",\"unique\":true,\"args\":{\"a\":[1,\"x y\"]}}"),
                     ERR_OK);
    ck_assert_str_ne(rule().key, first.key);

    ck_assert_int_eq(with("\"unique\":true"), ERR_OK);
    first = rule();
    ck_assert_int_eq(with("\"unique\":true,\"args\":null"), ERR_OK);
    ck_assert_str_eq(rule().key, first.key);
}
END_TEST

START_TEST(any_option_of_uniqueness_in_a_query_makes_a_job_unique)
{
    static const struct parameter query[] = {
        {"unique_key", "k 1"}, {"unique_period", "90"}, {"on_conflict", "replace"}};
    struct submission submission = {.task = "echo", .parameters = query, .parameter_count = 3};
    ck_assert_int_eq(submit_as(&f, submission, "{\"a\":1}"), ERR_OK);
    assert_extras("{\"unique\":{\"key\":\"k 1\",\"period\":90,\"on_conflict\":\"replace\"}}");
    ck_assert_int_eq(with("\"unique\":true,\"args\":{\"a\": 1}"), ERR_OK);
    struct unique_rule same = rule();
    for (size_t i = 1; i < 3; i++) {
        submission.parameters = &query[i];
        submission.parameter_count = 1;
        ck_assert_int_eq(submit_as(&f, submission, "{\"a\":1}"), ERR_OK);
        ck_assert_str_eq(rule().key, same.key);
    }
}
END_TEST

/* --- after --- */

START_TEST(the_ids_of_after_are_kept_in_lower_case_and_in_their_order)
{
    ck_assert_int_eq(with("\"after\":[ \"0193A2F4-7C3B-7D1E-9F10-4B1A2C3D4E60\" ,\"" A "\" ],"
                          "\"after_policy\":\"run\",\"meta\":1,\"unique\":{\"key\":\"k\"}"),
                     ERR_OK);
    assert_extras("{\"meta\":1,\"unique\":{\"key\":\"k\",\"on_conflict\":\"reject\"},\"after\":[\"" B
                  "\",\"" A "\"]}");
    ck_assert_int_eq(f.job->spec.flags, JOB_FLAG_UNIQUE | JOB_FLAG_INPUTS);
    ck_assert_int_eq(f.job->spec.after_policy, AFTER_RUN);
    struct id ids[AFTER_MAX];
    char text[ID_TEXT_BYTES];
    ck_assert_uint_eq(extras_after(f.job->extras, ids), 2);
    id_format(ids[1], text);
    ck_assert_str_eq(text, A);
}
END_TEST

START_TEST(after_in_a_query_is_a_list_and_may_be_repeated)
{
    static const struct parameter query[] = {
        {"after", A "," B}, {"after", "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e61"}, {"after_policy", "fail"}};
    struct submission submission = {.task = "echo", .parameters = query, .parameter_count = 3};
    ck_assert_int_eq(submit_as(&f, submission, ""), ERR_OK);
    assert_extras("{\"after\":[\"" A "\",\"" B "\",\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e61\"]}");
    ck_assert_int_eq(f.job->spec.after_policy, AFTER_FAIL);

    static const char *const WRONG[] = {"", A ",", "," A, "x", A "," A, "@a", A " "};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct parameter one = {"after", WRONG[i]};
        submission.parameters = &one;
        submission.parameter_count = 1;
        ck_assert_msg(submit_as(&f, submission, "") == ERR_INVALID_PARAMETER, "%s", WRONG[i]);
        ck_assert_str_eq(fault_at(&f, 0, "parameter"), "after");
    }
}
END_TEST

/* Nor is what only looks like the beginning of one read to its end. */
START_TEST(the_name_of_a_parameter_has_no_escapes)
{
    static const char *const NAMES[] = {"unique\\u005fkey", "unique_keys\\u", "unique_keys\\", "a\\ud83d"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char *name = strdup(NAMES[i]); /* on its own, so that reading behind it is seen */
        struct parameter query = {name, "k"};
        struct submission submission = {.task = "echo", .parameters = &query, .parameter_count = 1};
        ck_assert_int_eq(submit_as(&f, submission, "1"), ERR_OK);
        ck_assert_uint_eq(f.job->extras.bytes, 0);
        free(name);
    }
}
END_TEST

START_TEST(a_job_waits_for_256_others_and_no_more)
{
    BUF_AUTO body = {0};
    for (int count = 256; count <= 257; count++) {
        body.bytes = 0;
        buf_put(&body, "{\"task\":\"echo\",\"after\":[");
        for (int i = 0; i < count; i++)
            buf_printf(&body, "%s\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d%04x\"", i > 0 ? "," : "", i);
        buf_put(&body, "]}");
        buf_add(&body, "", 1);
        ck_assert_int_eq(submit(&f, body.data), count == 256 ? ERR_OK : ERR_INVALID_FIELD);
    }
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/after/256");
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "1 to 256"));
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "batch"));
}
END_TEST

START_TEST(a_job_that_waits_may_also_have_a_time)
{
    ck_assert_int_eq(with("\"after\":[\"" A "\"],\"delay\":60,\"expires_in\":90"), ERR_OK);
    ck_assert_int_eq(f.job->spec.scheduled_ms, f.job->spec.created_ms + 60000);
    ck_assert_int_eq(f.job->spec.after_policy, AFTER_CANCEL);
}
END_TEST

/* --- faults --- */

static const struct {
    const char *members, *pointer, *says;
} WRONG[] = {
    {"\"unique\":false", "/unique", "unique is false, but must be true, or an object"},
    {"\"unique\":null", "/unique", "must be true"},
    {"\"unique\":\"k\"", "/unique", "must be true"},
    {"\"unique\":[]", "/unique", "must be true"},
    {"\"unique\":{\"key\":\"\"}", "/unique/key", "1 to 128"},
    {"\"unique\":{\"key\":\"a\\nb\"}", "/unique/key", "printable"},
    {"\"unique\":{\"key\":7}", "/unique/key", "printable"},
    {"\"unique\":{\"key\":\"k\",\"period\":0}", "/unique/period", "above 0"},
    {"\"unique\":{\"period\":315360001}", "/unique/period", "315360000"},
    {"\"unique\":{\"on_conflict\":\"ignore\"}", "/unique/on_conflict", "reject, return or replace"},
    {"\"unique\":true,\"durability\":\"memory\"", "/unique", "durability memory"},
    {"\"after\":\"" A "\"", "/after", "an array of 1 to 256"},
    {"\"after\":[]", "/after", "an array of 1 to 256"},
    {"\"after\":null", "/after", "an array of 1 to 256"},
    {"\"after\":[\"" A "\",7]", "/after/1", "after is 7, but must be the id of a job or of a batch"},
    {"\"after\":[\"0193a2f4\"]", "/after/0", "\"0193a2f4\""},
    {"\"after\":[\"" A "\",\"" A "\"]", "/after/1", "twice"},
    {"\"after\":[\"@first\"]", "/after/0", "\"@first\""},
    {"\"after\":[\"" A "\"],\"after_policy\":\"skip\"", "/after_policy", "cancel, fail or run"},
    {"\"after_policy\":\"run\"", "/after_policy", "send after, too"},
    {"\"after\":[\"" A "\"],\"durability\":\"memory\"", "/after", "durability memory"},
    {"\"after\":[\"" A "\"],\"start_within\":5", "/start_within", "expires_in"},
};

START_TEST(what_is_wrong_is_refused_at_its_place)
{
    ck_assert_msg(with(WRONG[_i].members) == ERR_INVALID_FIELD, "%s", WRONG[_i].members);
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), WRONG[_i].pointer);
    ck_assert_msg(strstr(text_at(&f, "detail"), WRONG[_i].says) != NULL, "%s", text_at(&f, "detail"));
    ck_assert_ptr_null(f.job);
}
END_TEST

START_TEST(a_memory_job_is_refused_by_the_parameter_that_makes_it_unique)
{
    static const struct parameter query[] = {{"durability", "memory"}, {"on_conflict", "return"}};
    struct submission submission = {.task = "echo", .parameters = query, .parameter_count = 2};
    ck_assert_int_eq(submit_as(&f, submission, ""), ERR_INVALID_PARAMETER);
    ck_assert_str_eq(fault_at(&f, 0, "parameter"), "on_conflict");
}
END_TEST

START_TEST(a_misplaced_field_is_told_where_it_belongs)
{
    static const struct {
        const char *members, *pointer, *says;
    } MISPLACED[] = {
        {"\"period\":60", "/period", "{\"unique\":{\"period\":…}}"},
        {"\"on_conflict\":\"return\"", "/on_conflict", "belongs into unique"},
        {"\"unique\":{\"keys\":\"k\"}", "/unique/keys", "did you mean \"key\""},
        {"\"unique\":{\"queue\":\"k\"}", "/unique/queue", "key, period and on_conflict"},
        {"\"ref\":\"a\"", "/ref", "POST /v1/jobs/bulk"},
        {"\"idempotency_key\":\"a\"", "/idempotency_key", "header Idempotency-Key"},
    };
    for (size_t i = 0; i < sizeof MISPLACED / sizeof MISPLACED[0]; i++) {
        ck_assert_int_eq(with(MISPLACED[i].members), ERR_UNKNOWN_FIELD);
        ck_assert_str_eq(fault_at(&f, 0, "pointer"), MISPLACED[i].pointer);
        ck_assert_msg(strstr(text_at(&f, "detail"), MISPLACED[i].says) != NULL, "%s", text_at(&f, "detail"));
    }
    ck_assert_int_eq(with("\"after\":[\"@a\"]"), ERR_INVALID_FIELD);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "POST /v1/jobs/bulk"));
}
END_TEST

/* --- lines of a bulk request --- */

START_TEST(a_line_has_a_name_and_names_others)
{
    ck_assert_int_eq(as(true, "\"ref\":\"sum.1\",\"after\":[\"@part-1\",\"" A "\",\"@batch\"],"
                              "\"idempotency_key\":\"k\""),
                     ERR_OK);
    assert_extras("{\"after\":[\"@part-1\",\"" A "\",\"@batch\"],\"ref\":\"sum.1\"}");
    ck_assert_str_eq(f.job->spec.idempotency_key, "k");
    struct id first = f.job->spec.fingerprint;
    ck_assert_int_eq(as(true, "\"ref\":\"sum.2\",\"idempotency_key\":\"k\""), ERR_OK);
    ck_assert(!id_equal(first, f.job->spec.fingerprint));
}
END_TEST

START_TEST(a_line_is_refused_what_only_a_job_alone_may_have)
{
    static const struct {
        const char *members, *pointer, *says;
    } REFUSED[] = {
        {"\"durability\":\"memory\"", "/durability", "stored, all at once"},
        {"\"durability\":\"memory\",\"unique\":true", "/durability", "stored, all at once"},
        {"\"start_within\":5", "/start_within", "comes alone"},
        {"\"unique\":{\"key\":\"k\",\"on_conflict\":\"replace\"}", "/unique", "comes alone"},
        {"\"ref\":\"batch\"", "/ref", "other than batch"},
        {"\"ref\":\"a b\"", "/ref", "1 to 63"},
        {"\"ref\":\"\"", "/ref", "1 to 63"},
        {"\"idempotency_key\":\"\"", "/idempotency_key", "1 to 128"},
        {"\"after\":[\"@\"]", "/after/0", "ref of another line"},
        {"\"after\":[\"@a\",\"@a\"]", "/after/1", "@a twice"},
    };
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        ck_assert_msg(as(true, REFUSED[i].members) == ERR_INVALID_FIELD, "%s", REFUSED[i].members);
        ck_assert_str_eq(fault_at(&f, 0, "pointer"), REFUSED[i].pointer);
        ck_assert_str_eq(fault_at(&f, 1, "pointer"), "");
        ck_assert_msg(strstr(text_at(&f, "detail"), REFUSED[i].says) != NULL, "%s", text_at(&f, "detail"));
    }
}
END_TEST

/* --- refused by what stands already --- */

/* Loads f.problem. */
static void refusal(void)
{
    BUF_AUTO out = {0};
    problem_write(&f.problem, "req-1", &out);
    json_decref(f.json);
    f.json = json_loadb(out.data, out.bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(f.json);
    problem_fini(&f.problem);
    f.problem = (struct problem){0};
}

START_TEST(a_duplicate_is_told_who_has_the_key_and_until_when)
{
    JOB_AUTO holder = NULL;
    struct id id;
    ck_assert_int_eq(id_parse(A, &id), ERR_OK);
    ck_assert_int_eq(with("\"unique\":{\"key\":\"k\",\"period\":60}"), ERR_OK);
    holder = job_share(f.job);
    holder->spec.created_ms = 1000;
    holder->state = JOB_SUCCEEDED;
    ck_assert_int_eq(with("\"unique\":{\"key\":\"k\"}"), ERR_OK);
    codec_duplicate(&f.problem, f.job, false, id, holder);
    refusal();
    ck_assert_str_eq(text_at(&f, "detail"), "the job " A " (succeeded) holds the uniqueness key \"k\" "
                                            "until 1970-01-01T00:01:01.000Z");
    ck_assert_str_eq(text_at(&f, "code"), "duplicate_job");
    ck_assert_str_eq(text_at(&f, "job_id"), A);
    ck_assert_str_eq(text_at(&f, "job_state"), "succeeded");
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "once the period is over"));

    codec_duplicate(&f.problem, f.job, false, id, f.job);
    refusal();
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "(queued)"));
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "until it has ended"));
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "\"replace\""));

    codec_duplicate(&f.problem, f.job, false, id, NULL);
    refusal();
    ck_assert_str_eq(text_at(&f, "detail"), "the job " A " holds the uniqueness key \"k\"");
    ck_assert_ptr_null(json_object_get(f.json, "job_state"));
}
END_TEST

START_TEST(what_is_to_be_replaced_and_runs_cannot_give_way)
{
    struct id id;
    ck_assert_int_eq(id_parse(A, &id), ERR_OK);
    ck_assert_int_eq(with("\"unique\":{\"key\":\"k\",\"on_conflict\":\"replace\"}"), ERR_OK);
    f.job->state = JOB_RUNNING;
    codec_duplicate(&f.problem, f.job, false, id, f.job);
    refusal();
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "it runs already, so it cannot give way"));
    codec_duplicate(&f.problem, f.job, true, id, f.job);
    refusal();
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), " cannot run again: the job " A " (running) holds"));
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "/v1/jobs/" A "?wait=30"));
    f.job->state = JOB_QUEUED;
    codec_duplicate(&f.problem, f.job, false, id, f.job);
    refusal();
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "again"));
}
END_TEST

START_TEST(what_nobody_can_wait_for_is_refused_at_its_place)
{
    struct id id;
    ck_assert_int_eq(id_parse(B, &id), ERR_OK);
    ck_assert_int_eq(with("\"after\":[\"" A "\",\"" B "\"]"), ERR_OK);
    codec_unknown_dependency(&f.problem, f.job, id, NULL, false);
    refusal();
    ck_assert_str_eq(fault_at(&f, 0, "pointer"), "/after/1");
    ck_assert_int_eq(json_integer_value(json_object_get(f.json, "status")), 422);
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "no job and no batch " B));

    codec_unknown_dependency(&f.problem, f.job, id, f.job, true);
    refusal();
    ck_assert_str_eq(fault_at(&f, 0, "parameter"), "after");
    ck_assert_ptr_nonnull(strstr(text_at(&f, "detail"), "the job " B " has the durability memory"));
    ck_assert_ptr_nonnull(strstr(text_at(&f, "hint"), "process or full"));
}
END_TEST

/* --- the document --- */

START_TEST(the_document_shows_what_there_is_and_nothing_else)
{
    static const char *const FEW[] = {"unique", "after", "after_policy", "ref", "schedule", "batch"};
    ck_assert_int_eq(with("\"meta\":1"), ERR_OK);
    for (size_t i = 0; i < sizeof FEW / sizeof FEW[0]; i++)
        ck_assert_ptr_null(json_object_get(document(true), FEW[i]));

    ck_assert_int_eq(as(true, "\"unique\":{\"key\":\"k\",\"period\":5},\"after\":[\"" A "\"],\"ref\":\"a\""),
                     ERR_OK);
    ck_assert_int_eq(id_parse(B, &f.job->spec.batch), ERR_OK);
    for (int whole = 0; whole < 2; whole++) {
        const json_t *unique = json_object_get(document(whole), "unique");
        ck_assert_uint_eq(json_object_size(unique), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(unique, "period")), 5);
        ck_assert_str_eq(json_string_value(json_array_get(json_object_get(f.json, "after"), 0)), A);
        ck_assert_str_eq(text_at(&f, "after_policy"), "cancel");
        ck_assert_str_eq(text_at(&f, "ref"), "a");
        ck_assert_str_eq(text_at(&f, "batch"), B);
        ck_assert_ptr_null(json_object_get(f.json, "schedule"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_together");
    TCase *tcase = tcase_create("codec_together");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, a_key_of_ones_own_is_kept_as_it_is);
    tcase_add_test(tcase, without_a_key_it_is_that_of_task_and_arguments);
    tcase_add_test(tcase, any_option_of_uniqueness_in_a_query_makes_a_job_unique);
    tcase_add_test(tcase, the_ids_of_after_are_kept_in_lower_case_and_in_their_order);
    tcase_add_test(tcase, after_in_a_query_is_a_list_and_may_be_repeated);
    tcase_add_test(tcase, the_name_of_a_parameter_has_no_escapes);
    tcase_add_test(tcase, a_job_waits_for_256_others_and_no_more);
    tcase_add_test(tcase, a_job_that_waits_may_also_have_a_time);
    tcase_add_loop_test(tcase, what_is_wrong_is_refused_at_its_place, 0,
                        (int)(sizeof WRONG / sizeof WRONG[0]));
    tcase_add_test(tcase, a_memory_job_is_refused_by_the_parameter_that_makes_it_unique);
    tcase_add_test(tcase, a_misplaced_field_is_told_where_it_belongs);
    tcase_add_test(tcase, a_line_has_a_name_and_names_others);
    tcase_add_test(tcase, a_line_is_refused_what_only_a_job_alone_may_have);
    tcase_add_test(tcase, a_duplicate_is_told_who_has_the_key_and_until_when);
    tcase_add_test(tcase, what_is_to_be_replaced_and_runs_cannot_give_way);
    tcase_add_test(tcase, what_nobody_can_wait_for_is_refused_at_its_place);
    tcase_add_test(tcase, the_document_shows_what_there_is_and_nothing_else);
    return run_suite(suite);
}
