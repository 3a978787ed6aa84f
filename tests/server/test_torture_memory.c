/* The checker of `forkpool torture`, on jobs of durability memory: they may be gone when everything died
 * while memory alone had them, and only then. */
#include "torture_fixture.h"

/* Sent and acknowledged at these nanoseconds; not in the store. */
static struct id missing(int sent, int acknowledged)
{
    char text[ID_TEXT_BYTES];
    struct id id = id_new();
    id_format(id, text);
    write_line("client.log", "asked %d 1 memory succeeded 9 0 -\nacked %d 1 %s\n", sent, acknowledged, text);
    return id;
}

static void is_excused(void)
{
    passes();
    ck_assert_uint_eq(verdict.memory, 1);
    ck_assert_uint_eq(verdict.gone, 1);
}

START_TEST(one_that_has_ended_is_in_the_store)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"aa\"");
    asked(1, "memory", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    wrote("end", id, 1, "aa", 20);
    write_line("client.log", "ended 30000000 1 succeeded\nkilled 40000000 group KILL 100 1\n");
    passes();
    ck_assert_uint_eq(verdict.memory, 1);
    ck_assert_uint_eq(verdict.gone, 0);
}
END_TEST

START_TEST(one_is_gone_when_everything_was_killed)
{
    static const char *const BLOWS[] = {"supervisor KILL", "supervisor SEGV", "group KILL"};
    missing(1, 2);
    write_line("client.log", "killed 3 %s 100 1\nstarted 4 2 1\ngone 5 1\n", BLOWS[_i]);
    is_excused();
}
END_TEST

START_TEST(one_that_had_begun_its_first_attempt_is_gone_too)
{
    wrote("start", missing(1, 2), 1, "aa", 3);
    write_line("client.log", "killed 5000000 supervisor KILL 100 1\nstarted 6000000 2 1\n");
    is_excused();
}
END_TEST

START_TEST(one_that_a_dying_server_took_is_gone)
{
    write_line("client.log", "killed 1 supervisor KILL 100 1\n");
    missing(2, 3);
    write_line("client.log", "started 4 2 1\n");
    is_excused();
}
END_TEST

START_TEST(one_is_gone_when_the_server_made_its_memory_anew)
{
    write_line("client.log", "started 1000000000 1 1000000000000\n");
    missing(2000000000, 2000000001);
    write_line("server.log", "{\"time\":\"2001-09-09T01:46:42.003Z\",\"event\":\"server.reset\"}\n");
    is_excused();
}
END_TEST

START_TEST(one_is_gone_when_the_front_crashed_at_the_end_of_a_drain)
{
    missing(1, 2);
    write_line("client.log", "killed 3 supervisor TERM 100 1\nkilled 4 front SEGV 101 1\nstarted 5 2 1\n");
    is_excused();
}
END_TEST

/* --- planted --- */

START_TEST(one_that_is_gone_though_nobody_died_is_lost)
{
    missing(1, 2);
    write_line("client.log", "gone 3 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(no_other_blow_may_cost_one)
{
    static const char *const BLOWS[] = {"worker KILL",     "child KILL",      "front KILL",    "front SEGV",
                                        "supervisor STOP", "supervisor TERM", "supervisor HUP"};
    missing(1, 2);
    write_line("client.log", "killed 3 %s 100 1\nstarted 4 2 1\ngone 5 1\n", BLOWS[_i]);
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_crash_of_the_front_after_the_drain_may_not_cost_one)
{
    write_line("client.log", "killed 1 supervisor TERM 100 1\nstarted 2 2 1\n");
    missing(3, 4);
    write_line("client.log", "killed 5 front SEGV 101 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_death_of_everything_before_it_was_sent_does_not_count)
{
    write_line("client.log", "killed 1 supervisor KILL 100 1\nstarted 2 2 1\n");
    missing(3, 4);
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_death_of_everything_before_the_sending_that_was_acknowledged_does_not_count)
{
    asked(1, "memory", "succeeded", "-");
    write_line("client.log", "killed 2 group KILL 100 1\nunknown 3 1\nstarted 4 2 1\nrepeated 5 1\n");
    acked(1, id_new());
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_death_of_everything_after_it_was_found_missing_does_not_count)
{
    missing(1, 2);
    write_line("client.log", "gone 3 1\nkilled 4 supervisor KILL 100 1\nstarted 5 2 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(memory_made_anew_before_it_was_sent_does_not_count)
{
    write_line("client.log", "started 1000000000 1 1000000000000\n");
    missing(2000000000, 2000000001);
    write_line("server.log", "{\"time\":\"2001-09-09T01:46:40.903Z\",\"event\":\"server.reset\"}\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(one_of_which_an_answer_said_that_it_had_ended_is_lost)
{
    missing(1, 2);
    write_line("client.log", "ended 3 1 succeeded\nkilled 4 supervisor KILL 100 1\nstarted 5 2 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(one_whose_second_attempt_has_begun_is_lost)
{
    char text[ID_TEXT_BYTES];
    struct id id = missing(1, 2);
    id_format(id, text);
    wrote("start", id, 1, "aa", 3);
    write_line("ledger", "\nstart %s 1 2 bb 201 101 4000000 .\n", text);
    write_line("client.log", "killed 5000000 supervisor KILL 100 1\nstarted 6000000 2 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_stored_job_is_lost_whoever_died)
{
    asked(1, "quick", "succeeded", "-");
    acked(1, id_new());
    write_line("client.log", "killed 3 supervisor KILL 100 1\nstarted 4 2 1\n");
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(one_that_was_said_not_to_be_there_and_is_was_a_wrong_answer)
{
    good(1);
    write_line("client.log", "gone 3 1\n");
    is_found(FAULT_ANSWER);
}
END_TEST

START_TEST(one_that_is_stuck_is_found)
{
    struct job *job = waiting(1);
    asked(1, "memory", "succeeded", "-");
    acked(1, job->spec.id);
    write_line("client.log", "killed 3 supervisor KILL 100 1\nstarted 4 2 1\n");
    job_free(job);
    is_found(FAULT_STUCK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_memory");
    TCase *order = tcase_create("in order"), *planted = tcase_create("planted");
    tcase_add_checked_fixture(order, make_evidence, remove_evidence);
    tcase_add_test(order, one_that_has_ended_is_in_the_store);
    tcase_add_loop_test(order, one_is_gone_when_everything_was_killed, 0, 3);
    tcase_add_test(order, one_that_had_begun_its_first_attempt_is_gone_too);
    tcase_add_test(order, one_that_a_dying_server_took_is_gone);
    tcase_add_test(order, one_is_gone_when_the_server_made_its_memory_anew);
    tcase_add_test(order, one_is_gone_when_the_front_crashed_at_the_end_of_a_drain);
    tcase_add_checked_fixture(planted, make_evidence, remove_evidence);
    tcase_add_test(planted, one_that_is_gone_though_nobody_died_is_lost);
    tcase_add_loop_test(planted, no_other_blow_may_cost_one, 0, 7);
    tcase_add_test(planted, a_crash_of_the_front_after_the_drain_may_not_cost_one);
    tcase_add_test(planted, a_death_of_everything_before_it_was_sent_does_not_count);
    tcase_add_test(planted, a_death_of_everything_before_the_sending_that_was_acknowledged_does_not_count);
    tcase_add_test(planted, a_death_of_everything_after_it_was_found_missing_does_not_count);
    tcase_add_test(planted, memory_made_anew_before_it_was_sent_does_not_count);
    tcase_add_test(planted, one_of_which_an_answer_said_that_it_had_ended_is_lost);
    tcase_add_test(planted, one_whose_second_attempt_has_begun_is_lost);
    tcase_add_test(planted, a_stored_job_is_lost_whoever_died);
    tcase_add_test(planted, one_that_was_said_not_to_be_there_and_is_was_a_wrong_answer);
    tcase_add_test(planted, one_that_is_stuck_is_found);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, planted);
    return run_suite(suite);
}
