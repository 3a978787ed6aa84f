/* Jobs that have to do with each other, through committer and dispatcher: released, replaced, sent in bulk.
 */
#include "dispatcher_fixture.h"
#include "extras.h"

static struct job *with_extras(struct job *job, const char *format, ...)
{
    BUF_AUTO text = {0};
    va_list list;
    va_start(list, format);
    char line[512];
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    buf_put(&text, line);
    size_t bytes;
    job->owned[3] = buf_take(&text, &bytes);
    job->extras = (struct text){job->owned[3], bytes};
    return job;
}

static struct job *job_after(struct id id)
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    struct job *job =
        with_extras(new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS), "{\"after\":[\"%s\"]}", text);
    job->spec.flags = JOB_FLAG_INPUTS;
    return job;
}

static struct job *job_unique(const char *key, enum on_conflict on_conflict)
{
    struct job *job = with_extras(new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS),
                                  "{\"unique\":{\"key\":\"%s\",\"on_conflict\":\"%s\"}}", key,
                                  on_conflict_text(on_conflict));
    job->spec.flags = JOB_FLAG_UNIQUE;
    return job;
}

static struct id submitted_after(struct id before)
{
    struct id id;
    ok(submit_job(job_after(before), &id));
    return id;
}

/* --- released --- */

START_TEST(a_released_job_runs_with_what_the_one_before_it_returned)
{
    struct text inputs;
    struct id before = submitted_job(), behind = submitted_after(before);
    ck_assert_int_eq(state_of(behind), JOB_BLOCKED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), before));
    ck_assert_uint_eq(claim_next(1), 0);
    succeed(0, ticket);
    ticket = start_next(1);
    ck_assert(id_equal(id_of_ticket(ticket), behind));
    ok(slot_inputs(&segment, slot_of_ticket(ticket), &inputs));
    ck_assert_ptr_nonnull(memmem(inputs.at, inputs.bytes, "\"result\":42", 11));
    succeed(1, ticket);
    TURN_UNTIL(state_of(behind) == JOB_SUCCEEDED);
    assert_nothing_left();
}
END_TEST

START_TEST(what_the_ends_of_jobs_set_free_is_found_by_the_next_front)
{
    struct id before = submitted_job(), behind = submitted_after(before);
    succeed(0, start_next(0));
    while (!store_releases_wait(store)) { /* the end is committed, and nothing but that */
        landing_collect(&dispatcher);
        usleep(200);
    }
    ck_assert_int_eq(state_of(behind), JOB_BLOCKED);
    everything_dies();
    ck_assert(id_equal(id_of_ticket(start_next(0)), behind));
}
END_TEST

static _Atomic int heard;

static void hear(struct waiter *waiter, struct job *job)
{
    (void)waiter;
    ck_assert_ptr_null(job); /* it is read from the store */
    atomic_fetch_add(&heard, 1);
}

START_TEST(a_released_job_that_ends_at_once_is_counted_and_its_waiters_hear_of_it)
{
    struct id before = submitted_job(), behind = submitted_after(before);
    struct waiter waiter = {.id = behind, .notify = hear};
    waiters_add(waiters, &waiter);
    atomic_store(&heard, 0);
    ok(cancel_job(before));
    TURN_UNTIL(state_of(behind) == JOB_CANCELLED);
    JOB_AUTO job = row(behind);
    ck_assert_str_eq(job->attempt.error_code, err_code(ERR_DEPENDENCY_FAILED));
    const struct metrics_row *counted = metrics_row(metrics, job->spec.queue, job->spec.task);
    TURN_UNTIL(atomic_load(&counted->finished[JOB_CANCELLED]) == 2 && atomic_load(&heard) == 1);
    assert_nothing_left();
}
END_TEST

/* More children than one turn of the committer releases. */
START_TEST(many_that_wait_for_one_are_released_in_steps)
{
    enum { CHILDREN = RELEASE_BATCH + 100 };
    struct id before = submitted_job(), last = before;
    for (int i = 0; i < CHILDREN; i++)
        last = submitted_after(before);
    succeed(0, start_next(0));
    for (int i = 0; i < CHILDREN; i++)
        succeed(0, start_next(0));
    TURN_UNTIL(state_of(last) == JOB_SUCCEEDED);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_run_again_waits_again_for_one_that_runs_again)
{
    struct asked asked[2];
    struct id ids[] = {submitted_job(), {{0}}};
    ids[1] = submitted_after(ids[0]);
    succeed(0, start_next(0));
    succeed(0, start_next(0));
    TURN_UNTIL(state_of(ids[1]) == JOB_SUCCEEDED && all_free());
    for (int i = 0; i < 2; i++) {
        struct work *work = work_new(WORK_RETRY);
        asked[i] = (struct asked){.errand = {.kind = ERRAND_RETRY, .id = ids[i], .notify = on_answer}};
        work->errand = &asked[i].errand;
        work->id = ids[i];
        dispatcher_give(&dispatcher, work);
        TURN_UNTIL(answered(&asked[i]));
        ok(asked[i].errand.err);
    }
    ck_assert_int_eq(state_of(ids[1]), JOB_BLOCKED);
    succeed(0, start_next(0));
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), ids[1]));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

/* --- replaced --- */

START_TEST(a_waiting_job_gives_way_out_of_its_slot)
{
    struct id first, second;
    ok(submit_job(job_unique("k", CONFLICT_REJECT), &first));
    TURN_UNTIL(slots_in(SLOT_FREE) < SLOT_COUNT);
    ok(submit_job(job_unique("k", CONFLICT_REPLACE), &second));
    JOB_AUTO gone = row(first);
    char text[ID_TEXT_BYTES];
    id_format(second, text);
    ck_assert_int_eq(gone->state, JOB_CANCELLED);
    ck_assert_str_eq(gone->attempt.error_code, err_code(ERR_REPLACED));
    ck_assert_ptr_nonnull(strstr(gone->attempt.error_message, text));
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), second));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_running_job_does_not_give_way)
{
    struct asked asked;
    struct id first;
    ok(submit_job(job_unique("k", CONFLICT_REJECT), &first));
    uint64_t ticket = start_next(0);
    struct id second = send_job(&asked, job_unique("k", CONFLICT_REPLACE));
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(asked.errand.err, ERR_DUPLICATE_JOB);
    ck_assert(id_equal(asked.errand.original, first));
    ck_assert(!in_store(second));
    succeed(0, ticket);
    assert_nothing_left();
    ok(submit_job(job_unique("k", CONFLICT_REPLACE), &second));
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

START_TEST(who_wants_the_first_job_gets_it_and_who_does_not_is_refused)
{
    struct asked asked;
    struct id first;
    ok(submit_job(job_unique("k", CONFLICT_REJECT), &first));
    (void)send_job(&asked, job_unique("k", CONFLICT_RETURN));
    TURN_UNTIL(answered(&asked));
    ok(asked.errand.err);
    ck_assert(asked.errand.returned && id_equal(asked.errand.original, first));
    (void)send_job(&asked, job_unique("k", CONFLICT_REJECT));
    TURN_UNTIL(answered(&asked));
    ck_assert_int_eq(asked.errand.err, ERR_DUPLICATE_JOB);
    ck_assert(id_equal(asked.errand.original, first));
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

/* --- in bulk --- */

enum { LINES = 4 };

static void send_bulk(struct asked *asked, struct bulk *bulk)
{
    struct work *work = work_new(WORK_BULK);
    *asked = (struct asked){.errand = {.kind = ERRAND_BULK, .bulk = bulk, .notify = on_answer}};
    work->errand = &asked->errand;
    work->jobs = calloc(bulk->count, sizeof(struct job *));
    for (size_t i = 0; i < bulk->count; i++)
        bulk->lines[i].job->spec.lane = job_lane(&bulk->lines[i].job->spec);
    committer_give(&committer, work);
    TURN_UNTIL(answered(asked));
}

static void free_lines(struct bulk *bulk)
{
    for (size_t i = 0; i < bulk->count; i++)
        job_free(bulk->lines[i].job);
}

static void make_lines(struct bulk_line lines[LINES], struct bulk *bulk, bool atomic)
{
    *bulk = (struct bulk){.lines = lines, .count = LINES, .atomic = atomic, .batch = id_new()};
    for (int i = 0; i < LINES; i++)
        lines[i] = (struct bulk_line){.job = job_unique(i == 2   ? "taken"
                                                        : i == 0 ? "a"
                                                        : i == 1 ? "b"
                                                                 : "c",
                                                        CONFLICT_REJECT)};
    for (int i = 0; i < LINES; i++)
        lines[i].job->spec.batch = bulk->batch;
}

START_TEST(of_an_atomic_request_nothing_is_stored_if_one_line_cannot_be)
{
    struct bulk_line lines[LINES];
    struct bulk bulk;
    struct asked asked;
    struct id holder;
    struct store_batch batch;
    ok(submit_job(job_unique("taken", CONFLICT_REJECT), &holder));
    make_lines(lines, &bulk, true);
    struct id wanted = bulk.batch;
    send_bulk(&asked, &bulk);
    ck_assert_int_eq(asked.errand.err, ERR_DUPLICATE_JOB);
    ck_assert_uint_eq(bulk.failed, 2);
    ck_assert(id_equal(lines[2].original, holder));
    for (int i = 0; i < LINES; i++)
        ck_assert(!in_store(lines[i].job->spec.id));
    ck_assert_int_eq(store_batch_get(reader, wanted, &batch), ERR_UNKNOWN_BATCH);
    free_lines(&bulk);
    succeed(0, start_next(0));
    assert_nothing_left();
    struct id free_again; /* no key was kept */
    ok(submit_job(job_unique("a", CONFLICT_REJECT), &free_again));
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

START_TEST(of_any_other_the_rest_is_stored_and_the_line_named)
{
    struct bulk_line lines[LINES];
    struct bulk bulk;
    struct asked asked;
    struct id holder;
    struct store_batch batch;
    ok(submit_job(job_unique("taken", CONFLICT_REJECT), &holder));
    make_lines(lines, &bulk, false);
    send_bulk(&asked, &bulk);
    ok(asked.errand.err);
    for (int i = 0; i < LINES; i++) {
        ck_assert_int_eq(lines[i].err, i == 2 ? ERR_DUPLICATE_JOB : ERR_OK);
        ck_assert_int_eq(in_store(lines[i].job->spec.id), i != 2);
    }
    ok(store_batch_get(reader, bulk.batch, &batch));
    ck_assert_int_eq(batch.jobs, LINES - 1);
    free_lines(&bulk);
    for (int i = 0; i < LINES; i++)
        succeed(0, start_next(0));
    assert_nothing_left();
    ok(store_batch_get(reader, bulk.batch, &batch));
    ck_assert_int_eq(batch.succeeded, LINES - 1);
    ck_assert_int_gt(batch.finished_ms, 0);
}
END_TEST

/* A line may name one that comes behind it, if the order says so. */
START_TEST(lines_are_inserted_in_the_order_that_is_given)
{
    static const uint32_t order[] = {1, 0};
    struct bulk_line lines[2] = {{.err = ERR_OK}, {.job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS)}};
    lines[0].job = job_after(lines[1].job->spec.id);
    struct id first = lines[1].job->spec.id, second = lines[0].job->spec.id;
    struct bulk bulk = {.lines = lines, .count = 2, .order = order, .atomic = true};
    struct asked asked;
    send_bulk(&asked, &bulk);
    ok(asked.errand.err);
    free_lines(&bulk);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), first));
    succeed(0, ticket);
    ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), second));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(who_waits_for_a_line_that_stood_already_waits_for_what_stands)
{
    static const size_t first[] = {0, 0, 1}, befores[] = {0};
    struct id holder;
    ok(submit_job(job_unique("taken", CONFLICT_REJECT), &holder));
    struct bulk_line lines[2] = {{.job = job_unique("taken", CONFLICT_RETURN)}, {.err = ERR_OK}};
    lines[1].job = job_after(lines[0].job->spec.id);
    struct id behind = lines[1].job->spec.id;
    struct bulk bulk = {.lines = lines, .count = 2, .first = first, .befores = befores, .atomic = true};
    struct asked asked;
    send_bulk(&asked, &bulk);
    ok(asked.errand.err);
    ck_assert(lines[0].returned);
    free_lines(&bulk);
    JOB_AUTO job = row(behind);
    struct id after[AFTER_MAX];
    ck_assert_uint_eq(extras_after(job->extras, after), 1);
    ck_assert(id_equal(after[0], holder));
    ck_assert_int_eq(job->state, JOB_BLOCKED);
    for (int i = 0; i < 2; i++)
        succeed(0, start_next(0));
    TURN_UNTIL(state_of(behind) == JOB_SUCCEEDED);
    assert_nothing_left();
}
END_TEST

static struct job *job_keyed(const char *key)
{
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    snprintf(job->spec.idempotency_key, sizeof job->spec.idempotency_key, "%s", key);
    return job;
}

START_TEST(a_line_that_may_not_be_inserted_is_taken_if_it_stands_already)
{
    struct id stands;
    ok(submit_job(job_keyed("one"), &stands));
    struct bulk_line lines[2] = {{.job = job_keyed("one"), .otherwise = ERR_QUEUE_FULL},
                                 {.job = job_keyed("two"), .otherwise = ERR_QUEUE_FULL}};
    struct bulk bulk = {.lines = lines, .count = 2};
    struct asked asked;
    send_bulk(&asked, &bulk);
    ok(asked.errand.err);
    ck_assert(lines[0].err == ERR_OK && lines[0].replayed && id_equal(lines[0].original, stands));
    ck_assert_int_eq(lines[1].err, ERR_QUEUE_FULL);
    ck_assert(!in_store(lines[1].job->spec.id));
    free_lines(&bulk);
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

START_TEST(nobody_waits_for_a_batch_without_jobs)
{
    struct id holder;
    ok(submit_job(job_unique("taken", CONFLICT_REJECT), &holder));
    struct bulk_line lines[2] = {{.job = job_unique("taken", CONFLICT_REJECT)}, {.err = ERR_OK}};
    struct bulk bulk = {.lines = lines, .count = 2, .batch = id_new()};
    struct id wanted = bulk.batch;
    struct asked asked;
    lines[1].job = job_after(wanted);
    lines[1].job->spec.flags |= JOB_FLAG_FOLLOWER;
    send_bulk(&asked, &bulk);
    ok(asked.errand.err);
    ck_assert_int_eq(lines[0].err, ERR_DUPLICATE_JOB);
    ck_assert_int_eq(lines[1].err, ERR_UNKNOWN_DEPENDENCY);
    ck_assert(id_equal(lines[1].original, wanted));
    free_lines(&bulk);
    succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher_together");
    TCase *tcase = tcase_create("dispatcher_together");
    tcase_add_checked_fixture(tcase, rig_up, rig_down);
    tcase_add_test(tcase, a_released_job_runs_with_what_the_one_before_it_returned);
    tcase_add_test(tcase, what_the_ends_of_jobs_set_free_is_found_by_the_next_front);
    tcase_add_test(tcase, a_released_job_that_ends_at_once_is_counted_and_its_waiters_hear_of_it);
    tcase_add_test(tcase, many_that_wait_for_one_are_released_in_steps);
    tcase_add_test(tcase, a_job_run_again_waits_again_for_one_that_runs_again);
    tcase_add_test(tcase, a_waiting_job_gives_way_out_of_its_slot);
    tcase_add_test(tcase, a_running_job_does_not_give_way);
    tcase_add_test(tcase, who_wants_the_first_job_gets_it_and_who_does_not_is_refused);
    tcase_add_test(tcase, of_an_atomic_request_nothing_is_stored_if_one_line_cannot_be);
    tcase_add_test(tcase, of_any_other_the_rest_is_stored_and_the_line_named);
    tcase_add_test(tcase, lines_are_inserted_in_the_order_that_is_given);
    tcase_add_test(tcase, who_waits_for_a_line_that_stood_already_waits_for_what_stands);
    tcase_add_test(tcase, a_line_that_may_not_be_inserted_is_taken_if_it_stands_already);
    tcase_add_test(tcase, nobody_waits_for_a_batch_without_jobs);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
