#include "run.h"

#include "extras.h"

#include <string.h>

static const char FULL[] =
    "{\"meta\":{\"retry\":{\"max_age\":1},\"a\":[1,2]},\"retry\":{\"intervals\":[1,5]},"
    "\"unique\":{\"key\":\"k\"},\"after\":[\"x\",\"y\"],\"ref\":\"a \\\"b\\\"\",\"schedule\":\"nightly\"}";

static struct text text(const char *at)
{
    return (struct text){at, strlen(at)};
}

static bool found_as(struct text extras, enum extra extra, const char *expected)
{
    struct json_span value = {NULL, 0};
    return extras_find(extras, extra, &value) && value.bytes == strlen(expected) &&
           memcmp(value.at, expected, value.bytes) == 0;
}

static struct retry_rules rules_of(const char *json)
{
    return retry_rules_read((struct json_span){json, strlen(json)});
}

START_TEST(each_member_is_found_as_it_was_written)
{
    static const char *const VALUES[EXTRA_COUNT] = {
        [EXTRA_META] = "{\"retry\":{\"max_age\":1},\"a\":[1,2]}",
        [EXTRA_RETRY] = "{\"intervals\":[1,5]}", /* not the one within meta */
        [EXTRA_UNIQUE] = "{\"key\":\"k\"}",
        [EXTRA_AFTER] = "[\"x\",\"y\"]",
        [EXTRA_REF] = "\"a \\\"b\\\"\"",
        [EXTRA_SCHEDULE] = "\"nightly\"",
    };
    for (int i = 0; i < EXTRA_COUNT; i++)
        ck_assert_msg(found_as(text(FULL), (enum extra)i, VALUES[i]), "%s", extra_member((enum extra)i));
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
    static const char *const TEXTS[] = {"{}", "{\"metal\":1,\"met\":2}", "[\"meta\"]", "\"meta\"",
                                        "{\"meta\":"};
    struct json_span value;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        ck_assert_msg(!extras_find(text(TEXTS[i]), EXTRA_META, &value), "%s", TEXTS[i]);
    ck_assert(!extras_find((struct text){NULL, 0}, EXTRA_META, &value));
}
END_TEST

START_TEST(a_value_is_read_from_bytes_that_do_not_end_with_nul)
{
    char *bytes = malloc(sizeof FULL - 1); /* the address sanitizer watches its end */
    memcpy(bytes, FULL, sizeof FULL - 1);
    ck_assert(found_as((struct text){bytes, sizeof FULL - 1}, EXTRA_SCHEDULE, "\"nightly\""));
    free(bytes);
}
END_TEST

START_TEST(without_rules_there_are_none)
{
    struct retry_rules all[] = {retry_rules_read((struct json_span){NULL, 0}), rules_of("{}"), rules_of("[]"),
                                rules_of("{\"intervals\":[],\"on\":[],\"never\":[]}")};
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(all[i].interval_count, 0);
        ck_assert_int_eq(all[i].max_age_ms, -1);
        ck_assert_uint_eq(all[i].on_count, 0);
        ck_assert_uint_eq(all[i].never_count, 0);
    }
}
END_TEST

START_TEST(intervals_and_the_age_are_seconds_to_the_millisecond)
{
    struct retry_rules rules = rules_of("{\"intervals\":[0,1.5,0.001,86400],\"max_age\":2.25}");
    static const int64_t MS[] = {0, 1500, 1, 86400000};
    ck_assert_uint_eq(rules.interval_count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(rules.intervals_ms[i], MS[i]);
    ck_assert_int_eq(rules.max_age_ms, 2250);
    ck_assert_int_eq(rules_of("{\"max_age\":0}").max_age_ms, 0);
}
END_TEST

START_TEST(codes_are_read_in_order)
{
    struct retry_rules rules = rules_of("{\"on\":[\"timeout\",\"busy\"],\"never\":[\"bad_input\"]}");
    ck_assert_uint_eq(rules.on_count, 2);
    ck_assert_str_eq(rules.on[0], "timeout");
    ck_assert_str_eq(rules.on[1], "busy");
    ck_assert_uint_eq(rules.never_count, 1);
    ck_assert_str_eq(rules.never[0], "bad_input");
}
END_TEST

START_TEST(what_cannot_be_read_is_left_out_and_the_rest_is_read)
{
    struct retry_rules rules =
        rules_of("{\"intervals\":[1,-1,\"x\",2],\"max_age\":-5,\"on\":[7,\"ok\"],\"never\":\"timeout\"}");
    ck_assert_uint_eq(rules.interval_count, 2);
    ck_assert_int_eq(rules.intervals_ms[1], 2000);
    ck_assert_int_eq(rules.max_age_ms, -1);
    ck_assert_uint_eq(rules.on_count, 1);
    ck_assert_str_eq(rules.on[0], "ok");
}
END_TEST

START_TEST(more_than_there_is_room_for_is_cut)
{
    struct retry_rules rules =
        rules_of("{\"intervals\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18],"
                 "\"on\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"],"
                 "\"never\":[\"a-code-that-is-longer-than-any-error-code-may-be\",\"z\"]}");
    ck_assert_uint_eq(rules.interval_count, RETRY_INTERVALS_MAX);
    ck_assert_int_eq(rules.intervals_ms[RETRY_INTERVALS_MAX - 1], 16000);
    ck_assert_uint_eq(rules.on_count, RETRY_CODES_MAX);
    ck_assert_str_eq(rules.on[RETRY_CODES_MAX - 1], "h");
    ck_assert_uint_eq(rules.never_count, 1);
    ck_assert_str_eq(rules.never[0], "z");
}
END_TEST

START_TEST(an_id_in_after_becomes_another)
{
    static const char BEFORE[] =
        "{\"meta\":\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"after\":["
        "\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e50\",\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\"]}";
    static const char AFTER[] =
        "{\"meta\":\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"after\":["
        "\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e50\",\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e61\"]}";
    struct id from, to;
    struct job *job = job_new();
    job->owned[3] = strdup(BEFORE);
    job->extras = (struct text){job->owned[3], sizeof BEFORE - 1};
    ck_assert_int_eq(id_parse("0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f", &from), ERR_OK);
    ck_assert_int_eq(id_parse("0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e61", &to), ERR_OK);
    extras_rename_after(job, from, to);
    ck_assert_str_eq(job->extras.at, AFTER);
    extras_rename_after(job, from, to); /* it is not there any more */
    ck_assert_str_eq(job->extras.at, AFTER);
    job_free(job);
}
END_TEST

static bool may_stand(const char *extras, const char *key)
{
    struct job *job = job_new();
    job->spec.flags = extras[0] != '\0' ? JOB_FLAG_UNIQUE : 0;
    job->extras = (struct text){extras, strlen(extras)};
    strcpy(job->spec.idempotency_key, key);
    bool may = extras_may_stand(job);
    job_free(job);
    return may;
}

START_TEST(a_job_may_stand_by_its_idempotency_key_or_if_the_other_one_is_wanted)
{
    ck_assert(may_stand("", "k"));
    ck_assert(may_stand("{\"unique\":{\"key\":\"k\",\"on_conflict\":\"return\"}}", ""));
    ck_assert(!may_stand("{\"unique\":{\"key\":\"k\",\"on_conflict\":\"replace\"}}", ""));
    ck_assert(!may_stand("{\"unique\":{\"key\":\"k\"}}", ""));
    ck_assert(!may_stand("", ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("extras");
    TCase *tests = tcase_create("extras");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, each_member_is_found_as_it_was_written);
    tcase_add_test(tests, what_is_not_there_is_not_found);
    tcase_add_test(tests, a_value_is_read_from_bytes_that_do_not_end_with_nul);
    tcase_add_test(tests, without_rules_there_are_none);
    tcase_add_test(tests, intervals_and_the_age_are_seconds_to_the_millisecond);
    tcase_add_test(tests, codes_are_read_in_order);
    tcase_add_test(tests, what_cannot_be_read_is_left_out_and_the_rest_is_read);
    tcase_add_test(tests, more_than_there_is_room_for_is_cut);
    tcase_add_test(tests, an_id_in_after_becomes_another);
    tcase_add_test(tests, a_job_may_stand_by_its_idempotency_key_or_if_the_other_one_is_wanted);
    return run_suite(suite);
}
