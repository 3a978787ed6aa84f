/* What is said of jobs that wait, of queues and tasks, of a cancel, and of requests that a state refuses. */
#include "run.h"

#include "submission.h"

#include <signal.h>

static struct job *job;
static json_t *json;

static void setup(void)
{
    job = job_new();
    job->spec.id = id_new();
    job->spec.created_ms = 1000;
    json = NULL;
}

static void teardown(void)
{
    job_free(job);
    json_decref(json);
}

static void load(const struct buf *out)
{
    json_decref(json);
    json = json_loadb(out->data, out->bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "%.*s", (int)out->bytes, out->data);
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text != NULL ? text : "";
}

/* --- why --- */

static void why(const struct why *said)
{
    BUF_AUTO out = {0};
    codec_why(&out, job, said, NULL);
    load(&out);
}

START_TEST(each_state_says_by_itself_why_the_job_does_not_wait_in_line)
{
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        job->state = (enum job_state)state;
        job->spec.run_at_ms = 5000;
        why(NULL);
        const json_t *reason = json_object_get(json, "reason");
        bool timed = state == JOB_SCHEDULED || state == JOB_RETRYING;
        ck_assert_str_eq(text_of(reason, "code"), job_state_text((enum job_state)state));
        ck_assert_str_ne(text_of(reason, "sentence"), "");
        ck_assert_uint_eq(json_array_size(json_object_get(json, "reasons")), 1);
        ck_assert(json_is_null(json_object_get(json, "position")));
        ck_assert_int_eq(json_is_string(json_object_get(json, "next_attempt_at")), timed);
        ck_assert_int_eq(json_object_get(reason, "at") != NULL, timed);
    }
}
END_TEST

START_TEST(of_a_queued_job_all_reasons_are_listed_and_the_first_stands_apart)
{
    struct why said = {.position = 3, .position_exact = true, .estimate_seconds = 1.5};
    said.holds[REASON_QUEUE_PAUSED] = said.holds[REASON_QUEUE_CONCURRENCY] = said.holds[REASON_TASK_RATE] =
        true;
    said.limit[REASON_QUEUE_CONCURRENCY] = 2;
    said.limit[REASON_TASK_RATE] = limit_rate((struct rate){10, 60});
    said.at_ms[REASON_TASK_RATE] = 60000;
    why(&said);
    const json_t *reasons = json_object_get(json, "reasons");
    ck_assert_str_eq(text_of(json_object_get(json, "reason"), "code"), "queue_paused");
    ck_assert_ptr_null(json_object_get(json_object_get(json, "reason"), "limit"));
    ck_assert_uint_eq(json_array_size(reasons), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(reasons, 1), "limit")), 2);
    ck_assert_str_eq(text_of(json_array_get(reasons, 2), "limit"), "10/m");
    ck_assert_str_eq(text_of(json_array_get(reasons, 2), "at"), "1970-01-01T00:01:00.000Z");
    ck_assert_int_eq(json_integer_value(json_object_get(json, "position")), 3);
    ck_assert(json_is_true(json_object_get(json, "position_exact")));
    ck_assert_double_eq(json_real_value(json_object_get(json, "estimate_seconds")), 1.5);
}
END_TEST

START_TEST(an_unknown_estimate_is_null)
{
    struct why said = {.estimate_seconds = -1, .pool = "big"};
    said.holds[REASON_NEXT] = true;
    why(&said);
    ck_assert(json_is_null(json_object_get(json, "estimate_seconds")));
    ck_assert_str_eq(text_of(json, "pool"), "big");
}
END_TEST

static const char ONE[] = "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f",
                  TWO[] = "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e60";

static void why_blocked(const struct waits *waits)
{
    BUF_AUTO out = {0};
    job->state = JOB_BLOCKED;
    codec_why(&out, job, NULL, waits);
    load(&out);
}

static const char *sentence(void)
{
    return text_of(json_object_get(json, "reason"), "sentence");
}

START_TEST(a_blocked_job_names_what_it_waits_for)
{
    struct waits waits = {.items = {{.state = JOB_RUNNING, .task = "echo"}, {.is_batch = true}}, .count = 1};
    ck_assert_int_eq(id_parse(ONE, &waits.items[0].id), ERR_OK);
    ck_assert_int_eq(id_parse(TWO, &waits.items[1].id), ERR_OK);
    waits.items[1].batch = (struct store_batch){.jobs = 9, .succeeded = 3, .failed = 2, .cancelled = 1};
    why_blocked(&waits);
    ck_assert_str_eq(sentence(),
                     "it waits for the job 0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f, which is running");

    waits.count = 2;
    waits.others = 5;
    why_blocked(&waits);
    ck_assert_ptr_nonnull(strstr(sentence(), "which is running, and for 6 more"));
    const json_t *for_what = json_object_get(json, "waits_for"), *items = json_object_get(for_what, "items");
    ck_assert_int_eq(json_integer_value(json_object_get(for_what, "others")), 5);
    ck_assert_str_eq(text_of(json_array_get(items, 0), "state"), "running");
    ck_assert_str_eq(text_of(json_array_get(items, 0), "task"), "echo");
    ck_assert_str_eq(text_of(json_array_get(items, 1), "id"), TWO);
    ck_assert(json_is_true(json_object_get(json_array_get(items, 1), "batch")));
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(items, 1), "failed")), 2);

    waits.items[0] = waits.items[1];
    waits.count = 1;
    waits.others = 0;
    why_blocked(&waits);
    ck_assert_ptr_nonnull(strstr(sentence(), "e60, of whose 9 jobs 6 have ended"));
}
END_TEST

START_TEST(a_blocked_job_whose_last_has_just_ended_is_said_to_be_released)
{
    struct waits none = {0};
    why_blocked(&none);
    ck_assert_ptr_nonnull(strstr(sentence(), "released"));
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(json, "waits_for"), "items")), 0);
    job->state = JOB_RUNNING;
    why(NULL);
    ck_assert(json_is_null(json_object_get(json, "waits_for")));
}
END_TEST

/* --- lanes --- */

static void lane(unsigned whom, const struct lane_view *view)
{
    BUF_AUTO out = {0};
    buf_put(&out, "{\"a\":1");
    codec_lane(&out, whom, view, NULL);
    buf_put(&out, "}");
    load(&out);
}

START_TEST(a_queue_shows_its_limits_and_what_of_them_was_set)
{
    struct lane_view view = {.limits = limits_none(), .set = limits_none(), .in_flight = 4};
    view.limits.values[LIMIT_CONCURRENCY] = view.set.values[LIMIT_CONCURRENCY] = 4;
    view.limits.values[LIMIT_WEIGHT] = 7;
    view.limits.values[LIMIT_RATE] = limit_rate((struct rate){3, 10});
    view.holds[REASON_QUEUE_CONCURRENCY] = true;
    lane(FOR_QUEUE, &view);
    const json_t *limits = json_object_get(json, "limits");
    ck_assert_int_eq(json_integer_value(json_object_get(json, "weight")), 7);
    ck_assert_int_eq(json_integer_value(json_object_get(limits, "concurrency")), 4);
    ck_assert_str_eq(text_of(limits, "rate"), "3/10s");
    ck_assert(json_is_null(json_object_get(limits, "max_depth")));
    ck_assert_ptr_null(json_object_get(limits, "paused"));
    ck_assert_uint_eq(json_object_size(json_object_get(json, "set")), 1);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(json, "blocked_by"), 0)),
                     "queue_concurrency");
    ck_assert(json_is_false(json_object_get(json, "paused")));
}
END_TEST

START_TEST(a_task_has_no_depth_and_no_weight_and_of_an_unknown_one_nothing_is_limited)
{
    lane(FOR_TASK, NULL);
    ck_assert_ptr_null(json_object_get(json, "weight"));
    ck_assert_ptr_null(json_object_get(json, "draining"));
    ck_assert_ptr_null(json_object_get(json_object_get(json, "limits"), "max_depth"));
    ck_assert_uint_eq(json_object_size(json_object_get(json, "set")), 0);
    lane(FOR_QUEUE, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "weight")), 1);
}
END_TEST

/* --- refusals --- */

/* Each request with the error that the front answers it with. */
static const enum err ERRORS[REQUEST_COUNT] = {[REQUEST_CANCEL] = ERR_ALREADY_FINISHED,
                                               [REQUEST_RETRY] = ERR_NOT_FINISHED,
                                               [REQUEST_FORGET] = ERR_NOT_FINISHED,
                                               [REQUEST_PATCH] = ERR_NOT_NOW};

START_TEST(every_refusal_is_a_409_with_the_state_and_the_hint_of_the_table)
{
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        for (int request = 0; request < REQUEST_COUNT; request++) {
            PROBLEM_AUTO problem = {0};
            BUF_AUTO out = {0};
            const char *hint = job_refusal((enum job_state)state, (enum job_request)request);
            job->state = (enum job_state)state;
            codec_refusal(&problem, ERRORS[request], job, (enum job_request)request);
            problem_write(&problem, "req-1", &out);
            load(&out);
            ck_assert_int_eq(json_integer_value(json_object_get(json, "status")), 409);
            ck_assert_ptr_nonnull(strstr(text_of(json, "detail"), job_state_text((enum job_state)state)));
            ck_assert_ptr_nonnull(
                strstr(text_of(json, "detail"), job_request_participle((enum job_request)request)));
            if (hint != NULL)
                ck_assert_str_eq(text_of(json, "hint"), hint);
            else
                ck_assert_str_ne(text_of(json, "hint"), "");
        }
    }
}
END_TEST

/* --- cancel --- */

static void cancel(bool now, const char *outcome, const char *by)
{
    BUF_AUTO out = {0};
    codec_cancelled(&out, job, now);
    load(&out);
    const json_t *said = json_object_get(json, "cancel");
    ck_assert_str_eq(text_of(said, "outcome"), outcome);
    ck_assert_str_eq(text_of(said, "stopped_by"), by);
}

START_TEST(what_came_of_a_cancel_is_told_as_the_record_has_it)
{
    job->state = JOB_CANCELLED;
    cancel(true, "cancelled", "");
    job->attempt.number = 1;
    job->attempt.outcome = OUTCOME_CANCELLED;
    cancel(false, "cancelled", "task");
    job->attempt.signal = SIGTERM;
    cancel(false, "cancelled", "SIGTERM");
    job->attempt.signal = SIGKILL;
    cancel(false, "cancelled", "SIGKILL");
    job->attempt.outcome = OUTCOME_CRASH;
    cancel(false, "cancelled", "");
    job->state = JOB_SUCCEEDED;
    cancel(false, "finished_first", "");
    job->state = JOB_RUNNING;
    cancel(false, "asked", "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_lane");
    TCase *tcase = tcase_create("codec_lane");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, each_state_says_by_itself_why_the_job_does_not_wait_in_line);
    tcase_add_test(tcase, of_a_queued_job_all_reasons_are_listed_and_the_first_stands_apart);
    tcase_add_test(tcase, an_unknown_estimate_is_null);
    tcase_add_test(tcase, a_blocked_job_names_what_it_waits_for);
    tcase_add_test(tcase, a_blocked_job_whose_last_has_just_ended_is_said_to_be_released);
    tcase_add_test(tcase, a_queue_shows_its_limits_and_what_of_them_was_set);
    tcase_add_test(tcase, a_task_has_no_depth_and_no_weight_and_of_an_unknown_one_nothing_is_limited);
    tcase_add_test(tcase, every_refusal_is_a_409_with_the_state_and_the_hint_of_the_table);
    tcase_add_test(tcase, what_came_of_a_cancel_is_told_as_the_record_has_it);
    return run_suite(suite);
}
