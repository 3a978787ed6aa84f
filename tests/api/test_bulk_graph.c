/* Who waits for whom in one bulk request. */
#include "run.h"

#include "bulk_graph.h"
#include "buf.h"

#include <string.h>

enum { MOST = 10000 };

static struct bulk_entry entries[MOST];
static struct bulk_graph graph;
static struct buf faults; /* "line code where: detail\n" for each */

static void on_fault(void *context, size_t at, enum err err, const char *where, const char *detail)
{
    ck_assert_ptr_eq(context, entries);
    ck_assert_int_eq(entries[at].err, err);
    buf_printf(&faults, "%zu %s %s: %s\n", entries[at].number, err_code(err), where, detail);
}

static void setup(void)
{
    memset(entries, 0, sizeof entries);
    graph = (struct bulk_graph){.entries = entries, .batch = id_new(), .fault = on_fault, .context = entries};
    faults = (struct buf){0};
}

static void teardown(void)
{
    for (size_t i = 0; i < graph.count; i++)
        job_free(entries[i].job);
    bulk_graph_fini(&graph);
    buf_fini(&faults);
}

/* One more line. after: the elements of a JSON array, or NULL. */
static struct bulk_entry *line(const char *ref, const char *after)
{
    struct bulk_entry *entry = &entries[graph.count++];
    BUF_AUTO extras = {0};
    size_t bytes;
    entry->number = graph.count;
    entry->job = job_new();
    entry->job->spec.id = id_new();
    buf_put(&extras, "{\"meta\":\"@not a ref\"");
    if (after != NULL)
        buf_printf(&extras, ",\"after\":[%s]", after);
    if (ref != NULL) {
        strcpy(entry->ref, ref);
        buf_printf(&extras, ",\"ref\":\"%s\"", ref);
    }
    buf_put(&extras, "}");
    char *text = buf_take(&extras, &bytes);
    entry->job->owned[3] = text;
    entry->job->extras = (struct text){text, bytes};
    return entry;
}

static void read_all(void)
{
    ck_assert_int_eq(bulk_graph_read(&graph), ERR_OK);
}

static void assert_faults(const char *expected)
{
    ck_assert_msg(faults.bytes == strlen(expected) &&
                      (faults.bytes == 0 || memcmp(faults.data, expected, faults.bytes) == 0),
                  "%.*s", (int)faults.bytes, faults.bytes > 0 ? faults.data : "");
}

/* As "2 0 1". */
static void assert_order(const char *expected)
{
    BUF_AUTO order = {0};
    for (size_t i = 0; i < graph.count; i++)
        buf_printf(&order, "%s%u", i > 0 ? " " : "", (unsigned)graph.order[i]);
    ck_assert_msg(order.bytes == strlen(expected) && memcmp(order.data, expected, order.bytes) == 0, "%.*s",
                  (int)order.bytes, order.data);
}

/* The extras with $n for the id of line n and $b for that of the batch. */
static void assert_extras(size_t at, const char *expected)
{
    BUF_AUTO text = {0};
    char id[ID_TEXT_BYTES];
    for (; *expected != '\0'; expected++) {
        if (*expected != '$') {
            buf_add(&text, expected, 1);
            continue;
        }
        expected++;
        id_format(*expected == 'b' ? graph.batch : entries[*expected - '1'].job->spec.id, id);
        buf_put(&text, id);
    }
    const struct text *extras = &entries[at].job->extras;
    ck_assert_msg(extras->bytes == text.bytes && memcmp(extras->at, text.data, text.bytes) == 0, "%.*s",
                  (int)extras->bytes, extras->at);
}

START_TEST(jobs_that_have_nothing_to_do_with_each_other_need_no_graph)
{
    line(NULL, NULL);
    line(NULL, "\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\"");
    ck_assert(!bulk_graph_needed(entries, graph.count));
    line("a", NULL);
    ck_assert(bulk_graph_needed(entries, graph.count));
}
END_TEST

START_TEST(a_wait_for_the_batch_alone_needs_the_graph)
{
    line(NULL, NULL);
    line(NULL, "\"@batch\"");
    ck_assert(bulk_graph_needed(entries, graph.count));
}
END_TEST

START_TEST(refs_become_ids)
{
    line("a", NULL);
    line("b", NULL);
    line("c", "\"@b\",\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"@a\"");
    read_all();
    assert_faults("");
    assert_order("0 1 2");
    ck_assert_int_eq(bulk_graph_rewrite(&graph), ERR_OK);
    assert_extras(0, "{\"meta\":\"@not a ref\",\"ref\":\"a\"}");
    assert_extras(
        2, "{\"meta\":\"@not a ref\",\"after\":[\"$2\",\"0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"$1\"],"
           "\"ref\":\"c\"}");
}
END_TEST

START_TEST(a_ref_may_stand_further_down)
{
    line(NULL, "\"@c\"");
    line("b", NULL);
    line("c", "\"@d\"");
    line("d", NULL);
    read_all();
    assert_faults("");
    assert_order("3 2 0 1");
    ck_assert_int_eq(bulk_graph_rewrite(&graph), ERR_OK);
    assert_extras(0, "{\"meta\":\"@not a ref\",\"after\":[\"$3\"]}");
}
END_TEST

START_TEST(an_unknown_ref_is_named_with_what_was_meant)
{
    line("fetch", NULL);
    line(NULL, "\"@fetc\",\"@nothing-like-it\"");
    line(NULL, "\"@zz\"");
    read_all();
    assert_faults(
        "2 unknown_dependency /after: after names @fetc, but no line of this request has the ref "
        "\"fetc\"; did you mean @fetch?\n"
        "3 unknown_dependency /after: after names @zz, but no line of this request has the ref \"zz\"\n");
}
END_TEST

START_TEST(a_ref_is_given_once)
{
    line("a", NULL);
    line("b", NULL);
    line("a", NULL);
    line("a", "\"@a\"");
    read_all();
    assert_faults("3 invalid_field /ref: the ref \"a\" is that of line 1 already; each line needs its own\n"
                  "4 invalid_field /ref: the ref \"a\" is that of line 1 already; each line needs its own\n");
}
END_TEST

START_TEST(a_circle_is_named_in_its_order)
{
    line("x", "\"@a\"");
    line("a", "\"@b\"");
    line("b", "\"@c\"");
    line("c", "\"@a\"");
    read_all();
    assert_faults("2 dependency_cycle /after: the jobs wait for each other in a circle: a → b → c → a\n"
                  "3 dependency_cycle /after: the jobs wait for each other in a circle: a → b → c → a\n"
                  "4 dependency_cycle /after: the jobs wait for each other in a circle: a → b → c → a\n");
    ck_assert_int_eq(entries[0].err, ERR_OK);
    ck_assert_ptr_eq(bulk_graph_refused(&graph, 0), &entries[1]);
}
END_TEST

START_TEST(a_job_that_waits_for_itself_is_a_circle)
{
    line("a", "\"@a\"");
    read_all();
    assert_faults("1 dependency_cycle /after: the jobs wait for each other in a circle: a → a\n");
}
END_TEST

START_TEST(of_a_long_circle_the_middle_is_left_out)
{
    for (int i = 0; i < 20; i++) {
        char ref[16], after[16];
        snprintf(ref, sizeof ref, "j%d", i);
        snprintf(after, sizeof after, "\"@j%d\"", (i + 1) % 20);
        line(ref, after);
    }
    read_all();
    static const char EXPECTED[] =
        "1 dependency_cycle /after: the jobs wait for each other in a circle: j0 → j1 → j2 → "
        "j3 → … (12 more) → j16 → j17 → j18 → j19 → j0\n";
    ck_assert_uint_gt(faults.bytes, sizeof EXPECTED);
    ck_assert_mem_eq(faults.data, EXPECTED, sizeof EXPECTED - 1);
}
END_TEST

START_TEST(a_diamond_is_no_circle)
{
    line("d", "\"@b\",\"@c\"");
    line("c", "\"@a\"");
    line("b", "\"@a\"");
    line("a", NULL);
    read_all();
    assert_faults("");
    assert_order("3 2 1 0");
}
END_TEST

START_TEST(a_follower_waits_for_the_batch_and_comes_last)
{
    line("sum", "\"@batch\"");
    line("a", NULL);
    line("mail", "\"@sum\",\"@batch\"");
    read_all();
    assert_faults("");
    assert_order("1 0 2");
    ck_assert_int_eq(bulk_graph_rewrite(&graph), ERR_OK);
    assert_extras(0, "{\"meta\":\"@not a ref\",\"after\":[\"$b\"],\"ref\":\"sum\"}");
    assert_extras(2, "{\"meta\":\"@not a ref\",\"after\":[\"$1\",\"$b\"],\"ref\":\"mail\"}");
    ck_assert_int_eq(entries[0].job->spec.flags, JOB_FLAG_FOLLOWER);
    ck_assert_int_eq(entries[1].job->spec.flags, 0);
}
END_TEST

START_TEST(who_waits_for_a_follower_has_to_be_one)
{
    line("a", "\"@sum\"");
    line("sum", "\"@batch\"");
    line(NULL, "\"@sum\"");
    read_all();
    assert_faults(
        "1 dependency_cycle /after: the jobs wait for each other in a circle: a → sum → @batch → a; to run "
        "behind the batch as well, it needs \"@batch\" in its own `after`\n"
        "3 dependency_cycle /after: the jobs wait for each other in a circle: line 3 → sum → @batch → line "
        "3; to run behind the batch as well, it needs \"@batch\" in its own `after`\n");
}
END_TEST

START_TEST(followers_need_somebody_to_follow)
{
    line("a", "\"@batch\"");
    line("b", "\"@batch\"");
    read_all();
    assert_faults(
        "1 dependency_cycle /after: all jobs of the request wait for @batch, so there is none that they "
        "could wait for\n");
}
END_TEST

START_TEST(without_a_batch_nobody_follows_it)
{
    graph.batch = (struct id){0};
    line(NULL, NULL);
    line(NULL, "\"@batch\"");
    read_all();
    assert_faults("2 invalid_field /after: after names @batch, but the query says batch=false\n");
}
END_TEST

/* A line that could not be read still has its ref, as far as that was to be had. */
START_TEST(who_waits_for_a_refused_line_is_refused_for_that)
{
    line("a", NULL);
    line("b", "\"@a\"");
    line("c", "\"@b\"");
    job_free(entries[0].job);
    entries[0].job = NULL;
    entries[0].err = ERR_UNKNOWN_TASK;
    read_all();
    assert_faults("");
    ck_assert_ptr_eq(bulk_graph_refused(&graph, 1), &entries[0]);
    ck_assert_ptr_null(bulk_graph_refused(&graph, 2));
    entries[1].err = ERR_UNKNOWN_DEPENDENCY;
    ck_assert_ptr_eq(bulk_graph_refused(&graph, 2), &entries[1]);
}
END_TEST

START_TEST(a_follower_is_refused_only_if_nobody_is_left)
{
    line(NULL, NULL);
    line(NULL, NULL);
    line(NULL, "\"@batch\"");
    read_all();
    entries[0].err = ERR_QUEUE_FULL;
    ck_assert_ptr_null(bulk_graph_refused(&graph, 2));
    entries[1].err = ERR_QUEUE_FULL;
    ck_assert_ptr_eq(bulk_graph_refused(&graph, 2), &entries[0]);
}
END_TEST

static void chain(bool closed)
{
    for (int i = 0; i < MOST; i++) {
        char ref[16], after[16];
        snprintf(ref, sizeof ref, "j%d", i);
        snprintf(after, sizeof after, "\"@j%d\"", (i + 1) % MOST);
        line(ref, i < MOST - 1 || closed ? after : NULL);
    }
    read_all();
}

START_TEST(a_chain_may_be_as_long_as_the_request)
{
    chain(false);
    assert_faults("");
    for (uint32_t i = 0; i < MOST; i++)
        ck_assert_uint_eq(graph.order[i], MOST - 1 - i);
}
END_TEST

START_TEST(so_may_a_circle)
{
    chain(true);
    for (size_t i = 0; i < MOST; i++)
        ck_assert_int_eq(entries[i].err, ERR_CYCLE);
}
END_TEST

/* Each order that comes out has all entries once, and nobody before those that it waits for. */
START_TEST(any_graph_without_circles_comes_into_order)
{
    static size_t place[200];
    unsigned seed = 7;
    for (int i = 0; i < 200; i++) { /* each waits for some with a greater number times 37 modulo 200 */
        BUF_AUTO after = {0};
        char ref[16];
        int rank = i * 37 % 200;
        for (int tries = 0; tries < 5; tries++) {
            int other = (int)((seed = seed * 1103515245 + 12345) >> 16) % 200;
            char text[16];
            snprintf(text, sizeof text, "\"@j%d\"", other);
            if (other * 37 % 200 > rank &&
                (after.bytes == 0 || memmem(after.data, after.bytes, text, strlen(text)) == NULL))
                buf_printf(&after, "%s%s", after.bytes > 0 ? "," : "", text);
        }
        snprintf(ref, sizeof ref, "j%d", i);
        buf_add(&after, "", 1);
        line(ref, after.bytes > 1 ? after.data : NULL);
    }
    read_all();
    assert_faults("");
    memset(place, 0xff, sizeof place);
    for (size_t i = 0; i < 200; i++) {
        ck_assert_uint_eq(place[graph.order[i]], SIZE_MAX);
        place[graph.order[i]] = i;
    }
    ck_assert_uint_gt(graph.first[200], 200);
    for (size_t i = 0; i < 200; i++)
        for (size_t k = graph.first[i]; k < graph.first[i + 1]; k++)
            ck_assert_uint_lt(place[graph.befores[k]], place[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bulk_graph");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, jobs_that_have_nothing_to_do_with_each_other_need_no_graph);
    tcase_add_test(tcase, a_wait_for_the_batch_alone_needs_the_graph);
    tcase_add_test(tcase, refs_become_ids);
    tcase_add_test(tcase, a_ref_may_stand_further_down);
    tcase_add_test(tcase, an_unknown_ref_is_named_with_what_was_meant);
    tcase_add_test(tcase, a_ref_is_given_once);
    tcase_add_test(tcase, a_circle_is_named_in_its_order);
    tcase_add_test(tcase, a_job_that_waits_for_itself_is_a_circle);
    tcase_add_test(tcase, of_a_long_circle_the_middle_is_left_out);
    tcase_add_test(tcase, a_diamond_is_no_circle);
    tcase_add_test(tcase, a_follower_waits_for_the_batch_and_comes_last);
    tcase_add_test(tcase, who_waits_for_a_follower_has_to_be_one);
    tcase_add_test(tcase, followers_need_somebody_to_follow);
    tcase_add_test(tcase, without_a_batch_nobody_follows_it);
    tcase_add_test(tcase, who_waits_for_a_refused_line_is_refused_for_that);
    tcase_add_test(tcase, a_follower_is_refused_only_if_nobody_is_left);
    tcase_add_test(tcase, a_chain_may_be_as_long_as_the_request);
    tcase_add_test(tcase, so_may_a_circle);
    tcase_add_test(tcase, any_graph_without_circles_comes_into_order);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
