/* The checker of `forkpool torture`: evidence that is in order passes, and each kind of violation, planted in
 * small files, is found, alone. */
#include "torture_fixture.h"

/* --- in order --- */

START_TEST(evidence_in_order_passes_and_is_counted)
{
    good(1);
    asked(2, "hopeless", "failed", "-");
    acked(2, ended(waiting(2), JOB_FAILED, ""));
    asked(3, "unique", "any", "-");
    write_line("client.log", "refused 3 3\n");
    write_line("client.log", "killed 3 worker SEGV 100\n");
    passes();
    ck_assert_uint_eq(verdict.asked, 3);
    ck_assert_uint_eq(verdict.acknowledged, 2);
    ck_assert_uint_eq(verdict.refused, 1);
    ck_assert_uint_eq(verdict.rows, 2);
    ck_assert_uint_eq(verdict.ends[JOB_SUCCEEDED], 1);
    ck_assert_uint_eq(verdict.starts, 1);
    ck_assert_uint_eq(verdict.kills[VICTIM_WORKER][BLOW_SEGV], 1);
}
END_TEST

START_TEST(a_request_without_an_answer_may_have_made_a_job_or_none)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"aa\"");
    wrote("start", id, 1, "aa", 10);
    wrote("end", id, 1, "aa", 20);
    asked(1, "quick", "succeeded", "-");
    write_line("client.log", "unknown 2 1\n");
    asked(2, "quick", "succeeded", "-");
    write_line("client.log", "unknown 2 2\nrepeated 3 2\n");
    passes();
    ck_assert_uint_eq(verdict.unknown, 2);
    ck_assert_uint_eq(verdict.repeated, 1);
}
END_TEST

START_TEST(a_record_that_a_kill_has_torn_spoils_no_other)
{
    write_line("ledger", "\nstart 0190b3b1-0000-7000-8000");
    good(1);
    passes();
    ck_assert_uint_eq(verdict.torn, 1);
    ck_assert_uint_eq(verdict.starts, 1);
}
END_TEST

START_TEST(a_second_attempt_after_a_death_is_no_overlap_and_is_measured)
{
    char text[ID_TEXT_BYTES];
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "quick", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    write_line("client.log", "killed 15000000 worker KILL 100 1000000000000\n");
    id_format(id, text);
    write_line("server.log",
               "{\"time\":\"2001-09-09T01:46:40.003Z\",\"event\":\"job.lost\",\"job\":\"%s\"}\n", text);
    wrote("start", id, 1, "bb", 22);
    wrote("end", id, 1, "bb", 30);
    passes();
    ck_assert_uint_eq(verdict.again.count, 1);
    ck_assert_int_eq(verdict.again.at[0], 7000000);
    ck_assert_uint_eq(verdict.requeued.count, 1);
    ck_assert_int_eq(verdict.requeued.at[0], 3000000);
}
END_TEST

START_TEST(a_death_while_the_front_dies_too_is_not_measured)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "quick", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    write_line("client.log", "killed 15000000 worker KILL 100\nkilled 16000000 front KILL 99\n");
    wrote("start", id, 1, "bb", 500);
    wrote("end", id, 1, "bb", 510);
    passes();
    ck_assert_uint_eq(verdict.again.count, 0);
}
END_TEST

/* --- planted --- */

START_TEST(an_acknowledged_job_without_a_row_is_lost)
{
    asked(1, "quick", "succeeded", "-");
    acked(1, id_new());
    is_found(FAULT_LOST);
}
END_TEST

START_TEST(a_row_that_nobody_asked_for_is_invented)
{
    ended(waiting(7), JOB_FAILED, "");
    is_found(FAULT_INVENTED);
}
END_TEST

START_TEST(a_row_of_a_refused_request_is_invented)
{
    asked(1, "unique", "any", "-");
    write_line("client.log", "refused 3 1\n");
    ended(waiting(1), JOB_FAILED, "");
    is_found(FAULT_INVENTED);
}
END_TEST

START_TEST(a_second_row_of_one_request_is_doubled)
{
    good(1);
    struct job *second = waiting(2);
    change_file("UPDATE jobs SET idempotency_key = 'torture-1' WHERE idempotency_key = 'torture-2'");
    struct id id = ended(second, JOB_SUCCEEDED, "\"bb\"");
    wrote("start", id, 1, "bb", 30);
    wrote("end", id, 1, "bb", 40);
    is_found(FAULT_DOUBLED);
}
END_TEST

START_TEST(two_ids_for_one_request_are_doubled)
{
    acked(1, good(1));
    struct id id = good(2);
    write_line("client.log", "repeated 3 2\n");
    acked(2, id_new());
    acked(2, id);
    check();
    ck_assert_uint_eq(verdict.faults[FAULT_DOUBLED], 2); /* another one, and back again */
    ck_assert_uint_eq(verdict_total(&verdict), 2);
}
END_TEST

START_TEST(a_terminal_row_that_is_written_again_is_a_changed_record)
{
    good(1);
    change_file("UPDATE jobs SET finished_ms = finished_ms");
    is_found(FAULT_CHANGED);
}
END_TEST

START_TEST(a_row_deleted_before_its_end_is_a_changed_record)
{
    good(1);
    job_free(waiting(2));
    asked(2, "quick", "succeeded", "-");
    change_file("DELETE FROM jobs WHERE state = 0");
    is_found(FAULT_CHANGED);
}
END_TEST

START_TEST(forgetting_a_finished_job_is_no_change)
{
    struct id id = good(1);
    struct store_past past = {.id = id};
    good(2);
    begin();
    ok(store_forget(store, &past));
    ok(store_commit(store));
    is_found(FAULT_LOST); /* since nobody asked for that here */
}
END_TEST

START_TEST(two_attempts_at_the_same_time_overlap)
{
    struct id id = good(1);
    wrote("overlap", id, 1, "-", 15);
    is_found(FAULT_OVERLAP);
}
END_TEST

START_TEST(two_jobs_with_one_uniqueness_key_at_the_same_time_clash)
{
    struct id id = good(1);
    wrote("clash", id, 1, "-", 15);
    is_found(FAULT_CLASH);
}
END_TEST

START_TEST(a_job_that_has_not_ended_is_stuck)
{
    struct job *job = waiting(1);
    asked(1, "quick", "succeeded", "-");
    acked(1, job->spec.id);
    job_free(job);
    is_found(FAULT_STUCK);
}
END_TEST

START_TEST(a_result_with_the_nonce_of_another_job_is_unproved)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"cc\""), other = good(2);
    asked(1, "quick", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "bb", 10);
    wrote("end", id, 1, "bb", 20);
    wrote("end", other, 2, "cc", 30);
    is_found(FAULT_NONCE);
}
END_TEST

START_TEST(a_large_result_has_to_be_whole)
{
    struct id whole = ended(waiting(1), JOB_SUCCEEDED, "\"aaxxx\""),
              torn = ended(waiting(2), JOB_SUCCEEDED, "\"bbxx-\"");
    write_line("client.log", "asked 1 1 large succeeded 9 3 -\nasked 1 2 large succeeded 9 3 -\n");
    acked(1, whole);
    acked(2, torn);
    wrote("end", whole, 1, "aa", 20);
    wrote("end", torn, 2, "bb", 20);
    is_found(FAULT_NONCE);
}
END_TEST

START_TEST(arguments_that_were_not_whole_are_garbled)
{
    struct id id = good(1);
    wrote("garbled", id, 0, "-", 15);
    is_found(FAULT_GARBLED);
}
END_TEST

START_TEST(a_result_of_an_attempt_that_has_not_come_to_its_end_is_unproved)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "quick", "succeeded", "-");
    acked(1, id);
    wrote("start", id, 1, "bb", 10);
    is_found(FAULT_NONCE);
}
END_TEST

/* Two, the second of which waits for the first; they begin and end at these milliseconds. */
static void one_behind_the_other(int end, int start)
{
    struct id first = ended(waiting(1), JOB_SUCCEEDED, "\"aa\""),
              second = ended(waiting(2), JOB_SUCCEEDED, "\"bb\"");
    asked(1, "quick", "succeeded", "-");
    acked(1, first);
    asked(2, "after", "succeeded", "1");
    acked(2, second);
    wrote("start", first, 1, "aa", 10);
    if (end < start)
        wrote("end", first, 1, "aa", end);
    wrote("start", second, 2, "bb", start);
    if (end > start)
        wrote("end", first, 1, "aa", end);
    wrote("end", second, 2, "bb", 90);
}

START_TEST(one_that_starts_behind_the_end_of_the_other_is_in_order)
{
    one_behind_the_other(20, 30);
    passes();
}
END_TEST

START_TEST(one_that_starts_before_the_end_of_the_other_is_too_early)
{
    one_behind_the_other(40, 30);
    is_found(FAULT_EARLY);
}
END_TEST

START_TEST(one_that_had_to_fail_and_succeeded_has_ended_wrong)
{
    struct id id = ended(waiting(1), JOB_SUCCEEDED, "\"aa\"");
    asked(1, "hopeless", "failed", "-");
    acked(1, id);
    wrote("start", id, 1, "aa", 10);
    wrote("end", id, 1, "aa", 20);
    is_found(FAULT_END);
}
END_TEST

START_TEST(an_answer_that_the_store_contradicts_is_a_wrong_end)
{
    good(1);
    write_line("client.log", "ended 4 1 failed\n");
    is_found(FAULT_END);
}
END_TEST

START_TEST(a_status_that_may_not_be_is_a_wrong_answer)
{
    good(1);
    write_line("client.log", "odd 4 1 500 store_failed\n");
    is_found(FAULT_ANSWER);
}
END_TEST

#define DEATH "{\"event\":\"worker.die\",\"cause\":\"crash\",\"exit_code\":-1,\"signal\":%d}\n"

START_TEST(a_death_by_sigsegv_that_was_brought_about_is_in_order)
{
    write_line("client.log", "killed 3 worker SEGV 100\nkilled 4 worker KILL 101\n");
    write_line("server.log", DEATH DEATH, 11, 9);
    passes();
}
END_TEST

START_TEST(one_more_by_sigsegv_than_was_brought_about_is_found)
{
    write_line("client.log", "killed 3 worker SEGV 100\nkilled 4 child SEGV 101\n");
    write_line("server.log", DEATH DEATH, 11, 11);
    is_found(FAULT_ENDED);
}
END_TEST

START_TEST(an_abort_is_found)
{
    write_line("server.log", DEATH, 6);
    is_found(FAULT_ENDED);
}
END_TEST

START_TEST(a_broken_invariant_is_found)
{
    write_line("server.log", "forkpool: broken invariant: slot->state == HELD\n");
    is_found(FAULT_ENDED);
}
END_TEST

START_TEST(a_folder_without_evidence_is_no_pass)
{
    char command[128];
    close_store();
    snprintf(command, sizeof command, "rm %s/ledger", folder);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_ne(torture_check(folder, &verdict), ERR_OK);
}
END_TEST

START_TEST(a_store_without_a_witness_is_no_pass)
{
    change_file("DROP TABLE witness");
    close_store();
    ck_assert_int_ne(torture_check(folder, &verdict), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_check");
    TCase *order = tcase_create("in order"), *planted = tcase_create("planted");
    tcase_add_checked_fixture(order, make_evidence, remove_evidence);
    tcase_add_test(order, evidence_in_order_passes_and_is_counted);
    tcase_add_test(order, a_request_without_an_answer_may_have_made_a_job_or_none);
    tcase_add_test(order, a_record_that_a_kill_has_torn_spoils_no_other);
    tcase_add_test(order, a_second_attempt_after_a_death_is_no_overlap_and_is_measured);
    tcase_add_test(order, a_death_while_the_front_dies_too_is_not_measured);
    tcase_add_test(order, a_death_by_sigsegv_that_was_brought_about_is_in_order);
    tcase_add_test(order, one_that_starts_behind_the_end_of_the_other_is_in_order);
    tcase_add_checked_fixture(planted, make_evidence, remove_evidence);
    tcase_add_test(planted, an_acknowledged_job_without_a_row_is_lost);
    tcase_add_test(planted, a_row_that_nobody_asked_for_is_invented);
    tcase_add_test(planted, a_row_of_a_refused_request_is_invented);
    tcase_add_test(planted, a_second_row_of_one_request_is_doubled);
    tcase_add_test(planted, two_ids_for_one_request_are_doubled);
    tcase_add_test(planted, a_terminal_row_that_is_written_again_is_a_changed_record);
    tcase_add_test(planted, a_row_deleted_before_its_end_is_a_changed_record);
    tcase_add_test(planted, forgetting_a_finished_job_is_no_change);
    tcase_add_test(planted, two_attempts_at_the_same_time_overlap);
    tcase_add_test(planted, two_jobs_with_one_uniqueness_key_at_the_same_time_clash);
    tcase_add_test(planted, a_job_that_has_not_ended_is_stuck);
    tcase_add_test(planted, a_result_with_the_nonce_of_another_job_is_unproved);
    tcase_add_test(planted, a_large_result_has_to_be_whole);
    tcase_add_test(planted, arguments_that_were_not_whole_are_garbled);
    tcase_add_test(planted, a_result_of_an_attempt_that_has_not_come_to_its_end_is_unproved);
    tcase_add_test(planted, one_that_starts_before_the_end_of_the_other_is_too_early);
    tcase_add_test(planted, one_that_had_to_fail_and_succeeded_has_ended_wrong);
    tcase_add_test(planted, an_answer_that_the_store_contradicts_is_a_wrong_end);
    tcase_add_test(planted, a_status_that_may_not_be_is_a_wrong_answer);
    tcase_add_test(planted, one_more_by_sigsegv_than_was_brought_about_is_found);
    tcase_add_test(planted, an_abort_is_found);
    tcase_add_test(planted, a_broken_invariant_is_found);
    tcase_add_test(planted, a_folder_without_evidence_is_no_pass);
    tcase_add_test(planted, a_store_without_a_witness_is_no_pass);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, planted);
    return run_suite(suite);
}
