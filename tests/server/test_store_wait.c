/* The store: jobs that wait. Due, ended without a run, changed, expired, loaded; lanes and settings. */
#include "store_fixture.h"

static struct job *in_lane(const char *queue, uint8_t priority, const char *args)
{
    struct job *job = make_job(queue, "t");
    job->spec.priority = priority;
    job->args = (struct text){args, strlen(args)};
    submit(job);
    return job;
}

/* A job in any stored state; it has run if such a job must have. */
static struct job *in_state(enum job_state state)
{
    if (state == JOB_SCHEDULED || state == JOB_BLOCKED)
        return submitted_as(state, 5000);
    struct job *job = submitted();
    if (state != JOB_QUEUED) {
        run_ended(job, state, state == JOB_SUCCEEDED ? OUTCOME_SUCCESS : OUTCOME_ERROR);
        ck_assert(land(job, 0));
    }
    return job;
}

/* Due. */

START_TEST(due_jobs_become_queued_in_the_order_of_their_times_whether_scheduled_or_retrying)
{
    struct job *jobs[8];
    struct id order[6];
    size_t count;
    int64_t next_ms, seq = 0;
    begin();
    ok(store_due(store, INT64_MAX, 8, jobs, &count, &next_ms));
    ok(store_commit(store));
    ck_assert(count == 0 && next_ms == INT64_MAX);
    for (int i = 5; i >= 0; i--) {
        JOB_AUTO job = i % 2 == 0 ? submitted_as(JOB_SCHEDULED, 1000 * (i + 1)) : submitted();
        if (i % 2 == 1) {
            run_ended(job, JOB_RETRYING, OUTCOME_ERROR);
            job->spec.run_at_ms = 1000 * (i + 1);
            ck_assert(land(job, 0));
        }
        order[i] = job->spec.id;
        seq = job->spec.seq;
    }
    begin();
    ok(store_due(store, 4999, 3, jobs, &count, &next_ms)); /* four are due, three are taken */
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(next_ms, 4000);
    ok(store_due(store, 4999, 5, jobs + 3, &count, &next_ms));
    ok(store_commit(store));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(next_ms, 5000);
    for (size_t i = 0; i < 4; i++) {
        JOB_AUTO read = get(jobs[i]->spec.id);
        ck_assert(id_equal(read->spec.id, order[i]));
        ck_assert(read->state == JOB_QUEUED && jobs[i]->state == JOB_QUEUED);
        ck_assert(read->spec.run_at_ms == 0 && read->spec.seq > seq && read->spec.seq == jobs[i]->spec.seq);
        ck_assert_int_eq(read->spec.scheduled_ms, i % 2 == 0 ? (int64_t)(1000 * (i + 1)) : 0);
        ck_assert_uint_eq(read->attempt.number, i % 2);
        seq = read->spec.seq;
        job_free(jobs[i]);
    }
    counts_are_right();
}
END_TEST

START_TEST(the_next_time_is_known_if_only_one_kind_of_job_waits_for_it)
{
    struct job *jobs[1];
    size_t count;
    int64_t next_ms;
    JOB_AUTO scheduled = in_state(JOB_SCHEDULED);
    begin();
    ok(store_due(store, 1, 1, jobs, &count, &next_ms));
    ok(store_commit(store));
    ck_assert_int_eq(next_ms, 5000);
    ck_assert_int_eq(end_job(scheduled->spec.id, END_CANCEL, 1), ERR_OK);
    JOB_AUTO retrying = in_state(JOB_RETRYING);
    begin();
    ok(store_due(store, 1, 1, jobs, &count, &next_ms));
    ok(store_commit(store));
    ck_assert_int_eq(next_ms, retrying->spec.run_at_ms);
}
END_TEST

/* Ended without a run. */

START_TEST(waiting_jobs_can_be_cancelled_and_finished_ones_cannot)
{
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        if (state == JOB_RUNNING)
            continue;
        JOB_AUTO job = in_state((enum job_state)state);
        bool may = !job_is_terminal(job->state);
        begin();
        struct store_end end = end_in_group(job->spec.id, END_CANCEL, 777);
        ok(store_commit(store));
        ck_assert_int_eq(end.err, may ? ERR_OK : ERR_ALREADY_FINISHED);
        ck_assert_int_eq(end.from, state);
        JOB_AUTO read = get(job->spec.id), *given = end.job;
        ck_assert_int_eq(given != NULL, may);
        ck_assert_int_eq(read->state, may ? JOB_CANCELLED : state);
        ck_assert_int_eq(read->attempt.finished_ms, may ? 777 : job->attempt.finished_ms);
        ck_assert_int_eq(read->attempt.outcome, may ? OUTCOME_CANCELLED : job->attempt.outcome);
        ck_assert_uint_eq(read->attempt.number, may ? 0 : 1);
        ck_assert_int_eq(read->spec.run_at_ms, 0);
        ck_assert_int_eq(read->cancel_requested, may);
    }
    ck_assert_int_eq(look("SELECT count(*) FROM attempts"), 1); /* of the retrying one */
    counts_are_right();
}
END_TEST

START_TEST(an_ended_job_is_given_back_as_it_is_now_without_its_arguments)
{
    JOB_AUTO job = make_job("q", "t");
    job->args = (struct text){"[3]", 3};
    job->tags = (struct text){"[\"a\"]", 5};
    job->extras = (struct text){"{\"ref\":\"a\"}", 11};
    submit(job);
    begin();
    struct store_end end = end_in_group(job->spec.id, END_CANCEL, 777);
    ok(store_commit(store));
    JOB_AUTO given = end.job;
    ck_assert(given->state == JOB_CANCELLED && given->cancel_requested);
    ck_assert(given->attempt.finished_ms == 777 && given->attempt.outcome == OUTCOME_CANCELLED);
    ck_assert_ptr_null(given->args.at);
    ck_assert_uint_eq(given->tags.bytes, 5);
    ck_assert_uint_eq(given->extras.bytes, 11);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE args = '[3]' AND length(extras) = 11"), 1);
}
END_TEST

START_TEST(a_request_to_stop_a_running_job_is_kept_without_ending_it)
{
    JOB_AUTO job = submitted();
    begin();
    struct store_end end = end_in_group(job->spec.id, END_ASK, 777);
    ok(store_commit(store));
    ck_assert_int_eq(end.err, ERR_OK);
    ck_assert_ptr_null(end.job);
    JOB_AUTO read = get(job->spec.id);
    ck_assert(read->cancel_requested);
    ck_assert_int_eq(read->state, JOB_QUEUED);
    counts_are_right();
}
END_TEST

START_TEST(jobs_that_never_began_expire_and_say_by_when)
{
    static const enum job_state STATES[] = {JOB_QUEUED, JOB_SCHEDULED, JOB_BLOCKED};
    for (size_t i = 0; i < 3; i++) {
        JOB_AUTO job = make_job("q", "t");
        job->state = STATES[i];
        job->spec.expires_ms = 86400000;
        submit(job);
        ck_assert_int_eq(end_job(job->spec.id, END_EXPIRE, 86399999), ERR_NOT_NOW);
        begin();
        struct store_end end = end_in_group(job->spec.id, END_EXPIRE, 86400000);
        ok(store_commit(store));
        JOB_AUTO read = get(job->spec.id), *given = end.job;
        ck_assert(end.err == ERR_OK && end.from == STATES[i] && given->state == JOB_FAILED);
        ck_assert(read->state == JOB_FAILED && !read->cancel_requested && read->attempt.number == 0);
        ck_assert_str_eq(read->attempt.error_code, "expired");
        ck_assert_str_eq(read->attempt.error_message, "The job was not started by 1970-01-02T00:00:00.000Z");
        ck_assert_int_eq(read->attempt.finished_ms, 86400000);
        ck_assert_int_eq(end_job(job->spec.id, END_EXPIRE, 86400000), ERR_ALREADY_FINISHED);
    }
    counts_are_right();
}
END_TEST

START_TEST(a_job_that_began_or_has_no_time_or_is_unknown_does_not_expire)
{
    JOB_AUTO begun = make_job("q", "t"), *timeless = submitted();
    begun->spec.expires_ms = 100;
    submit(begun);
    run_ended(begun, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(begun, 0));
    ck_assert_int_eq(end_job(begun->spec.id, END_EXPIRE, 1000), ERR_NOT_NOW);
    run_ended(begun, JOB_RETRYING, OUTCOME_ERROR);
    ck_assert(land(begun, 1));
    ck_assert_int_eq(end_job(begun->spec.id, END_EXPIRE, 1000), ERR_NOT_NOW);
    ck_assert_int_eq(end_job(timeless->spec.id, END_EXPIRE, INT64_MAX), ERR_NOT_NOW);
    ck_assert_int_eq(end_job(id_new(), END_EXPIRE, 1000), ERR_UNKNOWN_JOB);
}
END_TEST

START_TEST(a_job_that_expired_and_is_retried_has_no_time_any_more_and_its_lane)
{
    JOB_AUTO job = make_job("q", "t");
    job->state = JOB_SCHEDULED;
    job->spec.scheduled_ms = job->spec.run_at_ms = 90;
    job->spec.expires_ms = 100;
    submit(job);
    ck_assert_int_eq(end_job(job->spec.id, END_EXPIRE, 100), ERR_OK);
    struct store_retry retry = {.id = job->spec.id};
    begin();
    ok(store_retry(store, &retry));
    ok(store_commit(store));
    JOB_AUTO read = get(job->spec.id), *given = retry.job;
    ck_assert(read->state == JOB_QUEUED && given->state == JOB_QUEUED);
    ck_assert(read->spec.scheduled_ms == 0 && read->spec.expires_ms == 0 && read->spec.run_at_ms == 0);
    ck_assert_int_eq(read->spec.lane, job->spec.lane);
    ck_assert_int_eq(end_job(job->spec.id, END_EXPIRE, INT64_MAX), ERR_NOT_NOW);
}
END_TEST

/* Changed on request. */

static struct store_patch patch_of(struct id id)
{
    return (struct store_patch){.id = id, .now_ms = 1000};
}

/* What the row is afterwards is what is given back. */
static struct job *patched(struct store_patch *patch)
{
    begin();
    ok(store_patch(store, patch));
    ok(store_commit(store));
    ck_assert_int_eq(patch->err, ERR_OK);
    struct job *read = get(patch->id);
    const struct job *given = patch->job;
#define INT(column, member)        ck_assert_msg(read->member == given->member, #column)
#define SAME(kind, column, member) INT(column, member);
    JOB_MOVING(SAME)
#undef SAME
#undef INT
    ck_assert_uint_eq(read->tags.bytes, given->tags.bytes);
    ck_assert_uint_eq(read->args.bytes, given->args.bytes);
    ck_assert_int_eq(read->spec.lane, job_lane(&read->spec));
    job_free(patch->job);
    patch->job = NULL;
    counts_are_right();
    return read;
}

START_TEST(a_patch_of_the_time_puts_each_waiting_job_where_it_belongs)
{
    static const struct {
        enum job_state from, later, now;
    } CASES[] = {{JOB_QUEUED, JOB_SCHEDULED, JOB_QUEUED},
                 {JOB_SCHEDULED, JOB_SCHEDULED, JOB_QUEUED},
                 {JOB_RETRYING, JOB_SCHEDULED, JOB_QUEUED},
                 {JOB_BLOCKED, JOB_BLOCKED, JOB_BLOCKED}};
    for (size_t i = 0; i < 2 * sizeof CASES / sizeof *CASES; i++) {
        bool later = i % 2 == 0;
        enum job_state from = CASES[i / 2].from, to = later ? CASES[i / 2].later : CASES[i / 2].now;
        JOB_AUTO job = in_state(from);
        struct store_patch patch = patch_of(job->spec.id);
        patch.has_run_at = true;
        patch.run_at_ms = later ? 1001 : 0;
        JOB_AUTO read = patched(&patch);
        ck_assert(patch.from == from && patch.from_lane == job->spec.lane);
        ck_assert_msg(read->state == to, "case %zu: %s", i, job_state_text(read->state));
        ck_assert_int_eq(read->spec.scheduled_ms, patch.run_at_ms);
        ck_assert_int_eq(read->spec.run_at_ms, to == JOB_SCHEDULED ? 1001 : 0);
        ck_assert_int_eq(read->spec.seq > job->spec.seq, to == JOB_QUEUED && from != JOB_QUEUED);
        ck_assert_uint_eq(read->attempt.number, job->attempt.number);
    }
}
END_TEST

START_TEST(a_patch_of_the_priority_moves_the_lane_and_a_queued_job_to_its_end)
{
    static const enum job_state STATES[] = {JOB_QUEUED, JOB_SCHEDULED, JOB_RETRYING, JOB_BLOCKED};
    for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++) {
        JOB_AUTO job = in_state(STATES[i]);
        struct store_patch patch = patch_of(job->spec.id);
        patch.has_priority = true;
        patch.priority = 9;
        JOB_AUTO read = patched(&patch);
        ck_assert(read->state == STATES[i] && read->spec.run_at_ms == job->spec.run_at_ms);
        ck_assert_uint_eq(read->spec.priority, 9);
        ck_assert_int_eq(patch.from_lane, job->spec.lane);
        ck_assert_int_ne(read->spec.lane, job->spec.lane);
        ck_assert_int_eq(read->spec.seq > job->spec.seq, STATES[i] == JOB_QUEUED);
        JOB_AUTO again = patched(&patch); /* the same priority once more: it keeps its place */
        ck_assert_int_eq(again->spec.seq, read->spec.seq);
    }
}
END_TEST

START_TEST(a_patch_replaces_all_tags_and_changes_nothing_that_it_does_not_have)
{
    JOB_AUTO job = make_job("q", "t");
    job->args = (struct text){"[3]", 3};
    job->tags = (struct text){"[\"a\",\"b\"]", 9};
    submit(job);
    struct store_patch patch = patch_of(job->spec.id);
    JOB_AUTO same = patched(&patch);
    ck_assert(same->spec.seq == job->spec.seq && same->state == JOB_QUEUED && same->tags.bytes == 9);
    patch.has_tags = patch.has_expires = true;
    patch.tags = (struct text){"[\"b\",\"c\"]", 9};
    patch.expires_ms = 4242;
    JOB_AUTO read = patched(&patch);
    ck_assert(read->spec.seq == job->spec.seq && read->spec.expires_ms == 4242);
    ck_assert(tags_hold(read->tags, "b") && tags_hold(read->tags, "c") && !tags_hold(read->tags, "a"));
    ck_assert_int_eq(look("SELECT count(*) FROM tags WHERE tag IN ('b', 'c')"), 2);
    ck_assert_int_eq(look("SELECT count(*) FROM tags"), 2);
    patch.tags = (struct text){"[]", 2};
    JOB_AUTO bare = patched(&patch);
    ck_assert_ptr_null(bare->tags.at);
    ck_assert_int_eq(look("SELECT (SELECT count(*) FROM tags) + (SELECT count(*) FROM tagged)"), 0);
}
END_TEST

START_TEST(a_finished_or_unknown_job_is_not_patched)
{
    for (int state = JOB_SUCCEEDED; state <= JOB_CANCELLED; state++) {
        JOB_AUTO job = in_state((enum job_state)state);
        struct store_patch patch = patch_of(job->spec.id);
        patch.has_priority = patch.has_run_at = true;
        begin();
        ok(store_patch(store, &patch));
        ok(store_commit(store));
        ck_assert_int_eq(patch.err, ERR_NOT_NOW);
        ck_assert_ptr_null(patch.job);
        JOB_AUTO read = get(job->spec.id);
        ck_assert(read->state == job->state && read->spec.priority == job->spec.priority);
    }
    struct store_patch unknown = patch_of(id_new());
    begin();
    ok(store_patch(store, &unknown));
    ok(store_commit(store));
    ck_assert_int_eq(unknown.err, ERR_UNKNOWN_JOB);
}
END_TEST

/* Expired. */

static struct job *expiring(enum job_state state, int64_t expires_ms)
{
    struct job *job = make_job("q", "t");
    job->state = state;
    job->spec.expires_ms = expires_ms;
    submit(job);
    return job;
}

START_TEST(expired_jobs_are_found_in_order_and_step_by_step)
{
    static const int64_t TIMES[] = {300, 100, 200, 200, 200, 5000, 0};
    static const int ORDER[] = {1, 2, 3, 4, 0};
    static const enum job_state STATES[] = {JOB_QUEUED, JOB_SCHEDULED, JOB_BLOCKED};
    struct id made[7], found[8];
    size_t total = 0;
    struct store_expiry expiry = {.now_ms = 1000, .limit = 2};
    for (size_t i = 0; i < 7; i++) {
        JOB_AUTO job = expiring(STATES[i % 3], TIMES[i]);
        made[i] = job->spec.id;
    }
    do {
        ok(store_expired(store, &expiry, found + total));
        total += expiry.count;
    } while (expiry.count == expiry.limit);
    ck_assert_uint_eq(total, 5);
    ck_assert_int_eq(expiry.next_ms, 5000);
    for (size_t i = 0; i < total; i++)
        ck_assert(id_equal(found[i], made[ORDER[i]]));
    ok(store_expired(store, &expiry, found));
    ck_assert_uint_eq(expiry.count, 0);
}
END_TEST

START_TEST(begun_and_finished_jobs_are_not_among_the_expired)
{
    struct id found[4];
    struct store_expiry expiry = {.now_ms = 1000, .limit = 4};
    JOB_AUTO begun = expiring(JOB_QUEUED, 100), *cancelled = expiring(JOB_QUEUED, 100),
             *failed = expiring(JOB_SCHEDULED, 100), *left = expiring(JOB_QUEUED, 100);
    run_ended(begun, JOB_QUEUED, OUTCOME_CRASH);
    ck_assert(land(begun, 0));
    ck_assert_int_eq(end_job(cancelled->spec.id, END_CANCEL, 1), ERR_OK);
    begin();
    job_free(end_in_group(failed->spec.id, END_EXPIRE, 1000).job);
    ok(store_expired(store, &expiry, found)); /* within a group it sees the group */
    ok(store_commit(store));
    ck_assert(expiry.count == 1 && id_equal(found[0], left->spec.id));
    ck_assert_int_eq(expiry.next_ms, INT64_MAX);
}
END_TEST

/* Loaded. */

static void assert_loaded(const struct store_load *load, size_t count, const struct job *next)
{
    ck_assert_uint_eq(load->count, count);
    ck_assert_int_eq(load->next_seq, next != NULL ? next->spec.seq : INT64_MAX);
}

static void free_all(struct job **jobs, size_t count)
{
    while (count > 0)
        job_free(jobs[--count]);
}

START_TEST(queued_jobs_load_lane_after_lane_in_order_of_seq_from_a_place_on)
{
    struct job *jobs[16], *a[4], *b[3];
    size_t count;
    for (size_t i = 0; i < 4; i++) { /* the lanes' jobs alternate */
        a[i] = in_lane("a", 5, "[1]");
        if (i < 3)
            b[i] = in_lane("b", 6, "[2]");
    }
    run_ended(a[0], JOB_QUEUED, OUTCOME_CRASH);
    a[0]->spec.seq = a[3]->spec.seq + 1; /* back into the line, behind all */
    ck_assert(land(a[0], 0));
    run_ended(a[1], JOB_SUCCEEDED, OUTCOME_SUCCESS);
    ck_assert(land(a[1], 0));
    struct store_load loads[] = {{.lane = b[0]->spec.lane, .from_seq = b[1]->spec.seq, .limit = 1},
                                 {.lane = 12345, .limit = 5},
                                 {.lane = a[0]->spec.lane, .limit = 5},
                                 {.lane = b[0]->spec.lane, .limit = 0}};
    ok(store_load(store, loads, 4, SIZE_MAX, jobs, &count));
    assert_loaded(&loads[0], 1, b[2]);
    assert_loaded(&loads[1], 0, NULL);
    assert_loaded(&loads[2], 3, NULL);
    assert_loaded(&loads[3], 0, b[0]);
    ck_assert_uint_eq(count, 4);
    const struct job *order[] = {b[1], a[2], a[3], a[0]};
    for (size_t i = 0; i < count; i++) {
        ck_assert(id_equal(jobs[i]->spec.id, order[i]->spec.id));
        ck_assert_int_eq(jobs[i]->spec.seq, order[i]->spec.seq);
        ck_assert(jobs[i]->args.bytes == 3 && memcmp(jobs[i]->args.at, order[i]->args.at, 3) == 0);
    }
    free_all(jobs, count);
    free_all(a, 4);
    free_all(b, 3);
}
END_TEST

START_TEST(the_bytes_of_all_lanes_together_end_a_load)
{
    struct job *jobs[16], *a[3], *b[2];
    size_t count;
    for (size_t i = 0; i < 3; i++)
        a[i] = in_lane("a", 5, "[1]");
    for (size_t i = 0; i < 2; i++)
        b[i] = in_lane("b", 5, "[2]");
    struct store_load loads[] = {{.lane = a[0]->spec.lane, .limit = 2},
                                 {.lane = b[0]->spec.lane, .limit = 8},
                                 {.lane = a[0]->spec.lane, .from_seq = a[2]->spec.seq, .limit = 8}};
    ok(store_load(store, loads, 3, 7, jobs, &count)); /* the third one reaches 7 */
    ck_assert_uint_eq(count, 3);
    assert_loaded(&loads[0], 2, a[2]);
    assert_loaded(&loads[1], 1, b[1]);
    assert_loaded(&loads[2], 0, a[2]);
    free_all(jobs, count);
    ok(store_load(store, loads, 3, 0, jobs, &count));
    ck_assert_uint_eq(count, 0);
    assert_loaded(&loads[0], 0, a[0]);
    free_all(a, 3);
    free_all(b, 2);
}
END_TEST

/* Lanes. */

struct lanes {
    struct store_lane all[4];
    size_t count, most;
};

static enum err note_lane(void *context, const struct store_lane *lane)
{
    struct lanes *lanes = context;
    ck_assert_uint_lt(lanes->count, 4);
    lanes->all[lanes->count++] = *lane;
    return lanes->count == lanes->most ? ERR_AGAIN : ERR_OK;
}

START_TEST(lanes_say_what_waits_in_them_and_a_visitor_may_leave)
{
    struct lanes lanes = {.count = 0}, few = {.most = 1};
    JOB_AUTO first = in_lane("q", 5, "1"), *other = make_job("q", "t"), *last = in_lane("q", 5, "2"),
             *gone = in_lane("gone", 5, "3"), *later = in_state(JOB_SCHEDULED);
    (void)later;
    strcpy(other->spec.concurrency_key, "k");
    submit(other);
    ck_assert_int_eq(end_job(gone->spec.id, END_CANCEL, 1), ERR_OK);
    ok(store_lanes(store_own_reader(store), note_lane, &lanes));
    ck_assert_uint_eq(lanes.count, 2);
    const struct store_lane *lane = &lanes.all[lanes.all[0].lane != first->spec.lane];
    const struct store_lane *keyed = &lanes.all[lanes.all[0].lane == first->spec.lane];
    ck_assert(lane->lane == first->spec.lane && lane->jobs == 2);
    ck_assert(lane->first_seq == first->spec.seq && lane->last_seq == last->spec.seq);
    ck_assert_int_eq(lane->first_created_ms, first->spec.created_ms);
    ck_assert_str_eq(lane->spec.concurrency_key, "");
    ck_assert(keyed->lane == other->spec.lane && keyed->jobs == 1);
    ck_assert_str_eq(keyed->spec.concurrency_key, "k");
    ck_assert_str_eq(keyed->spec.queue, "q");
    ck_assert_str_eq(keyed->spec.task, "t");
    ck_assert_uint_eq(keyed->spec.priority, 5);
    ck_assert_int_eq(store_lanes(store_own_reader(store), note_lane, &few), ERR_AGAIN);
    ck_assert_uint_eq(few.count, 1);
}
END_TEST

/* Settings. */

static void set(enum setting_kind kind, const char *name, const char *body)
{
    begin();
    ok(store_setting_put(store, kind, name, (struct text){body, body != NULL ? strlen(body) : 0}));
    ok(store_commit(store));
}

static enum err note_setting(void *context, enum setting_kind kind, const char *name, struct text body)
{
    char *text = context;
    size_t at = strlen(text);
    snprintf(text + at, 256 - at, "%d %s %.*s;", (int)kind, name, (int)body.bytes, body.at);
    return ERR_OK;
}

START_TEST(settings_survive_are_replaced_and_forgotten)
{
    char text[256] = "";
    set(SETTING_TASK, "q", "{\"a\":1}");
    set(SETTING_QUEUE, "q", "{\"a\":2}");
    set(SETTING_QUEUE, "p", "{}");
    set(SETTING_SERVER, "", "{\"paused\":true}");
    set(SETTING_QUEUE, "q", "{\"a\":3}");
    set(SETTING_QUEUE, "p", NULL);
    set(SETTING_QUEUE, "never", NULL);
    begin();
    ok(store_setting_put(store, SETTING_TASK, "undone", (struct text){"{}", 2}));
    store_rollback(store);
    reopen_store();
    ok(store_settings(store_own_reader(store), note_setting, text));
    ck_assert_str_eq(text, "0  {\"paused\":true};1 q {\"a\":3};2 q {\"a\":1};");
}
END_TEST

/* Retention. */

START_TEST(nobody_forgets_prunes_retries_or_finds_old_what_still_waits)
{
    static const enum job_state STATES[] = {JOB_QUEUED, JOB_RETRYING, JOB_SCHEDULED, JOB_BLOCKED};
    for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++) {
        JOB_AUTO job = in_state(STATES[i]);
        struct store_past forget = {.id = job->spec.id}, prune = forget;
        struct store_retry retry = {.id = job->spec.id};
        begin();
        ok(store_forget(store, &forget));
        ok(store_prune(store, &prune));
        ok(store_retry(store, &retry));
        ok(store_commit(store));
        ck_assert_int_eq(forget.err, ERR_NOT_FINISHED);
        ck_assert_int_eq(prune.err, ERR_NOT_FINISHED);
        ck_assert_int_eq(retry.err, ERR_NOT_FINISHED);
    }
    for (int state = JOB_SUCCEEDED; state <= JOB_CANCELLED; state++) {
        struct store_ageing ageing = {.state = (enum job_state)state, .before_ms = INT64_MAX / 2, .limit = 8};
        struct store_past past[8];
        size_t count;
        int64_t seen;
        bool end;
        ok(store_find_past(store_own_reader(store), &ageing, past, &count, &seen, &end));
        ck_assert(count == 0 && end);
    }
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_wait");
    TCase *tcase = tcase_create("store_wait");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, due_jobs_become_queued_in_the_order_of_their_times_whether_scheduled_or_retrying);
    tcase_add_test(tcase, the_next_time_is_known_if_only_one_kind_of_job_waits_for_it);
    tcase_add_test(tcase, waiting_jobs_can_be_cancelled_and_finished_ones_cannot);
    tcase_add_test(tcase, an_ended_job_is_given_back_as_it_is_now_without_its_arguments);
    tcase_add_test(tcase, a_request_to_stop_a_running_job_is_kept_without_ending_it);
    tcase_add_test(tcase, jobs_that_never_began_expire_and_say_by_when);
    tcase_add_test(tcase, a_job_that_began_or_has_no_time_or_is_unknown_does_not_expire);
    tcase_add_test(tcase, a_job_that_expired_and_is_retried_has_no_time_any_more_and_its_lane);
    tcase_add_test(tcase, a_patch_of_the_time_puts_each_waiting_job_where_it_belongs);
    tcase_add_test(tcase, a_patch_of_the_priority_moves_the_lane_and_a_queued_job_to_its_end);
    tcase_add_test(tcase, a_patch_replaces_all_tags_and_changes_nothing_that_it_does_not_have);
    tcase_add_test(tcase, a_finished_or_unknown_job_is_not_patched);
    tcase_add_test(tcase, expired_jobs_are_found_in_order_and_step_by_step);
    tcase_add_test(tcase, begun_and_finished_jobs_are_not_among_the_expired);
    tcase_add_test(tcase, queued_jobs_load_lane_after_lane_in_order_of_seq_from_a_place_on);
    tcase_add_test(tcase, the_bytes_of_all_lanes_together_end_a_load);
    tcase_add_test(tcase, lanes_say_what_waits_in_them_and_a_visitor_may_leave);
    tcase_add_test(tcase, settings_survive_are_replaced_and_forgotten);
    tcase_add_test(tcase, nobody_forgets_prunes_retries_or_finds_old_what_still_waits);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
