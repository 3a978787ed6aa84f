/* What the jobs before it returned lies in a job's slot from its first run to its end, whoever dies
 * meanwhile; and so does what is needed at its end. */
#include "dispatcher_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static const char INPUTS[] = "[{\"id\":\"x\",\"result\":1}]", EXTRAS[] = "{\"meta\":{\"a\":1}}",
                  TAGS[] = "[\"one\",\"two\"]";

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

static struct job *job_with_inputs(enum durability durability)
{
    struct job *job = new_job(PRIORITY_DEFAULT, durability);
    job->inputs = (struct text){INPUTS, sizeof INPUTS - 1};
    job->extras = (struct text){EXTRAS, sizeof EXTRAS - 1};
    job->tags = (struct text){TAGS, sizeof TAGS - 1};
    job->spec.after_policy = AFTER_RUN;
    job->spec.flags = JOB_FLAG_FOLLOWER;
    return job;
}

static bool same(struct text text, const char *expected)
{
    return text.bytes == strlen(expected) && memcmp(text.at, expected, text.bytes) == 0;
}

static void assert_whole(uint64_t ticket)
{
    const struct slot *slot = slot_of_ticket(ticket);
    struct text args, tags, extras, inputs;
    ok(slot_args(&segment, slot, &args));
    ok(slot_tags(&segment, slot, &tags));
    ok(slot_extras(&segment, slot, &extras));
    ok(slot_inputs(&segment, slot, &inputs));
    ck_assert(same(args, "[1,2,3]") && same(tags, TAGS) && same(extras, EXTRAS) && same(inputs, INPUTS));
    ck_assert_int_eq(slot->spec.after_policy, AFTER_RUN);
    ck_assert_int_eq(slot->spec.flags, JOB_FLAG_FOLLOWER);
}

static void assert_all_given_up(void)
{
    assert_nothing_left();
    ck_assert_uint_eq(dispatcher.arena.used, 0);
}

static uint64_t start_one(enum durability durability, struct id *id)
{
    ok(submit_job(job_with_inputs(durability), id));
    uint64_t ticket = start_next(1);
    assert_whole(ticket);
    return ticket;
}

START_TEST(inputs_lie_in_the_slot_until_its_end)
{
    for (int durability = 0; durability < DURABILITY_COUNT; durability++) {
        struct id id;
        succeed(1, start_one((enum durability)durability, &id));
        assert_all_given_up();
        JOB_AUTO job = row(id);
        ck_assert_int_eq(job->state, JOB_SUCCEEDED);
        ck_assert_int_eq(job->spec.after_policy, AFTER_RUN);
        ck_assert_int_eq(job->spec.flags, JOB_FLAG_FOLLOWER);
        ck_assert(same(job->extras, EXTRAS) && same(job->tags, TAGS));
    }
}
END_TEST

START_TEST(a_job_whose_worker_died_finds_them_again)
{
    static const enum death_cause CAUSES[] = {DEATH_CRASH, DEATH_LOST, DEATH_DRAINED, DEATH_RECYCLED};
    for (int durability = 0; durability < DURABILITY_COUNT; durability++) {
        struct id id;
        start_one((enum durability)durability, &id);
        die(1, CAUSES[_i], SIGSEGV);
        TURN_UNTIL(deaths_acknowledged(1));
        uint64_t ticket = start_next(2);
        assert_whole(ticket);
        succeed(2, ticket);
        assert_all_given_up();
        JOB_AUTO job = row(id);
        ck_assert_int_eq(job->state, JOB_SUCCEEDED);
        ck_assert_int_eq(job->spec.after_policy, AFTER_RUN);
        ck_assert_int_eq(job->spec.flags, JOB_FLAG_FOLLOWER);
        ck_assert(same(job->extras, EXTRAS) && same(job->tags, TAGS));
    }
}
END_TEST

START_TEST(a_new_front_takes_them_over_with_the_slot)
{
    struct id waiting, running;
    uint64_t ticket = start_one(DURABILITY_PROCESS, &running);
    ok(submit_job(job_with_inputs(DURABILITY_MEMORY), &waiting));
    uint64_t used = dispatcher.arena.used;
    ck_assert_uint_gt(used, 0);
    restart();
    ck_assert_uint_eq(dispatcher.arena.used, used);
    assert_whole(ticket);
    succeed(1, ticket);
    ticket = start_next(2);
    ck_assert(id_equal(id_of_ticket(ticket), waiting));
    assert_whole(ticket);
    succeed(2, ticket);
    assert_all_given_up();
}
END_TEST

START_TEST(inputs_alone_take_room_too)
{
    struct id id;
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_MEMORY);
    job->args = (struct text){NULL, 0};
    job->inputs = (struct text){INPUTS, sizeof INPUTS - 1};
    ok(submit_job(job, &id));
    uint64_t ticket = start_next(1);
    restart();
    struct text inputs;
    ok(slot_inputs(&segment, slot_of_ticket(ticket), &inputs));
    ck_assert(same(inputs, INPUTS));
    ck_assert_uint_gt(dispatcher.arena.used, 0);
    succeed(1, ticket);
    assert_all_given_up();
}
END_TEST

/* --- damage --- */

static void beyond_the_arena(struct slot *slot)
{
    slot->inputs_bytes = 1 << 20;
}

static void beyond_any(struct slot *slot)
{
    slot->inputs_bytes = UINT32_MAX;
}

static void (*const DAMAGES[])(struct slot *slot) = {beyond_the_arena, beyond_any};

static int status_of(void (*act)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        act();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void take_over(void)
{
    front_up();
    turns(5);
}

static void collect(void)
{
    landing_collect(&dispatcher);
}

START_TEST(impossible_inputs_of_a_slot_end_a_new_front)
{
    struct id id;
    struct slot *slot = slot_of_ticket(start_one(DURABILITY_PROCESS, &id));
    uint32_t before = slot->inputs_bytes;
    front_dies();
    DAMAGES[_i](slot);
    ck_assert_int_eq(status_of(take_over), FRONT_EXIT_CORRUPT);
    slot->inputs_bytes = before;
    ck_assert_int_eq(status_of(take_over), 0);
    front_up();
}
END_TEST

/* The neighbour's arguments would be a part of them. */
START_TEST(inputs_that_reach_into_another_slot_end_a_new_front)
{
    struct id id;
    struct slot *slot = slot_of_ticket(start_one(DURABILITY_PROCESS, &id));
    ok(submit_job(job_with_inputs(DURABILITY_PROCESS), &id));
    ck_assert_int_eq(slots_in(SLOT_RUNNING), 1);
    front_dies();
    slot->inputs_bytes += 4096;
    ck_assert_int_eq(status_of(take_over), FRONT_EXIT_CORRUPT);
    slot->inputs_bytes -= 4096;
    front_up();
}
END_TEST

START_TEST(inputs_that_a_task_has_scribbled_over_end_the_front)
{
    struct id id;
    uint64_t ticket = start_one(DURABILITY_PROCESS, &id);
    struct slot *slot = slot_of_ticket(ticket);
    uint32_t before = slot->inputs_bytes;
    slot->attempt.outcome = OUTCOME_SUCCESS;
    slot_finish(slot, 1, incarnation_of(1));
    dispatcher.scan_now = true;
    DAMAGES[_i](slot);
    ck_assert_int_eq(status_of(collect), FRONT_EXIT_CORRUPT);
    slot->inputs_bytes = before;
    ck_assert_int_eq(status_of(collect), 0);
}
END_TEST

int main(void)
{
    enum { DAMAGE_COUNT = sizeof DAMAGES / sizeof DAMAGES[0] };
    Suite *suite = suite_create("dispatcher: inputs");
    TCase *tcase = tcase_create("inputs");
    tcase_add_checked_fixture(tcase, warm_up, rig_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, inputs_lie_in_the_slot_until_its_end);
    tcase_add_loop_test(tcase, a_job_whose_worker_died_finds_them_again, 0, 4);
    tcase_add_test(tcase, a_new_front_takes_them_over_with_the_slot);
    tcase_add_test(tcase, inputs_alone_take_room_too);
    tcase_add_loop_test(tcase, impossible_inputs_of_a_slot_end_a_new_front, 0, DAMAGE_COUNT);
    tcase_add_test(tcase, inputs_that_reach_into_another_slot_end_a_new_front);
    tcase_add_loop_test(tcase, inputs_that_a_task_has_scribbled_over_end_the_front, 0, DAMAGE_COUNT);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
