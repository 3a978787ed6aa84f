#include "json.h"
#include "log.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* Standard error goes into a file while a test runs, so that any number of lines fits. */
static int terminal, caught;
static char lines[1 << 20];

static void catch_errors(void)
{
    char path[] = "/tmp/forkpool-test-log-XXXXXX";
    fflush(stderr);
    terminal = dup(STDERR_FILENO);
    caught = mkstemp(path);
    ck_assert_int_ge(caught, 0);
    unlink(path);
    ck_assert_int_ge(fcntl(caught, F_SETFL, O_APPEND), 0);
    ck_assert_int_ge(dup2(caught, STDERR_FILENO), 0);
}

static void let_errors_go(void)
{
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    close(caught);
}

static const char *caught_lines(void)
{
    ssize_t bytes = pread(caught, lines, sizeof lines - 1, 0);
    ck_assert_int_ge(bytes, 0);
    lines[bytes] = '\0';
    return lines;
}

/* The value of a field of a line that is one JSON object, or "" if there is none. */
static const char *field(const char *line, size_t bytes, const char *name)
{
    static char value[512];
    struct json_scan scan;
    struct json_fault fault;
    value[0] = '\0';
    ck_assert_msg(json_check(line, bytes, &scan, &fault) == ERR_OK, "%s in %.*s", fault.what, (int)bytes,
                  line);
    ck_assert_int_eq(scan.type, '{');
    for (size_t i = 0; i < scan.member_count; i++) {
        struct json_span span = scan.members[i].value;
        if (!json_key_is(scan.members[i].key, name))
            continue;
        if (!json_text(span, value, sizeof value))
            snprintf(value, sizeof value, "%.*s", (int)span.bytes, span.at);
    }
    return value;
}

static const char *field_of_only_line(const char *name)
{
    const char *line = caught_lines(), *end = strchr(line, '\n');
    ck_assert_ptr_nonnull(end);
    ck_assert_str_eq(end, "\n");
    return field(line, (size_t)(end - line), name);
}

START_TEST(a_line_is_one_json_object_with_the_expected_fields)
{
    log_init("front", LOG_INFO, LOG_JSON_LINES);
    struct id id = id_new();
    char id_text[ID_TEXT_BYTES], pid[16];
    id_format(id, id_text);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    LOG(WORKER_DIED, LOG_INT("worker", -3), LOG_TEXT("cause", "it said \"no\"\n"), LOG_ID(id));
    ck_assert_str_eq(field_of_only_line("level"), "warn");
    ck_assert_str_eq(field_of_only_line("event"), "worker.die");
    ck_assert_str_eq(field_of_only_line("message"), "a worker died and is replaced");
    ck_assert_str_eq(field_of_only_line("process"), "front");
    ck_assert_str_eq(field_of_only_line("pid"), pid);
    ck_assert_str_eq(field_of_only_line("worker"), "-3");
    ck_assert_str_eq(field_of_only_line("cause"), "it said \"no\"\n");
    ck_assert_str_eq(field_of_only_line("job"), id_text);
    ck_assert_uint_eq(strlen(field_of_only_line("time")), 24);
}
END_TEST

START_TEST(an_event_without_fields_is_a_line_too)
{
    log_init("supervisor", LOG_INFO, LOG_JSON_LINES);
    LOG_EVENT(SERVER_READY);
    ck_assert_str_eq(field_of_only_line("event"), "server.ready");
}
END_TEST

START_TEST(every_event_is_a_noun_and_a_verb_and_valid_json)
{
    log_init("test", LOG_DEBUG, LOG_JSON_LINES);
    for (int i = 0; i < EVENT_COUNT; i++)
        log_write((enum log_event)i, (const struct log_field[]){{.name = NULL}});
    int count = 0;
    for (const char *line = caught_lines(), *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1, count++) {
        char event[64];
        snprintf(event, sizeof event, "%s", field(line, (size_t)(end - line), "event"));
        char *dot = strchr(event, '.');
        ck_assert_msg(dot != NULL && dot > event && dot[1] != '\0' && strchr(dot + 1, '.') == NULL, "%s",
                      event);
        ck_assert_str_ne(field(line, (size_t)(end - line), "message"), "");
    }
    ck_assert_int_eq(count, EVENT_COUNT);
}
END_TEST

START_TEST(lines_below_the_threshold_are_not_written)
{
    log_init("test", LOG_WARN, LOG_JSON_LINES);
    LOG_EVENT(SERVER_START); /* info */
    LOG_EVENT(JOB_ACCEPT);   /* debug */
    ck_assert_str_eq(caught_lines(), "");
    LOG_EVENT(TASK_BROKEN); /* warn: at the threshold */
    ck_assert_str_eq(field_of_only_line("event"), "task.broken");
}
END_TEST

START_TEST(the_threshold_can_be_changed_later)
{
    log_init("test", LOG_ERROR, LOG_JSON_LINES);
    log_set_level(LOG_DEBUG);
    LOG_EVENT(JOB_ACCEPT);
    ck_assert_str_eq(field_of_only_line("level"), "debug");
    log_set_level(LOG_ERROR);
    LOG_EVENT(JOB_ACCEPT);
    ck_assert_str_eq(field_of_only_line("level"), "debug");
}
END_TEST

START_TEST(errno_survives_a_line)
{
    log_init("test", LOG_INFO, LOG_JSON_LINES);
    errno = ENOSPC;
    LOG_EVENT(SERVER_START);
    ck_assert_int_eq(errno, ENOSPC);
    log_errno("write", "file");
    ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

START_TEST(a_failed_call_is_named_with_its_object_and_errno)
{
    log_init("test", LOG_INFO, LOG_JSON_LINES);
    errno = ENOENT;
    log_errno("open", "/no/such/file");
    ck_assert_str_eq(field_of_only_line("event"), "system.error");
    ck_assert_str_eq(field_of_only_line("call"), "open");
    ck_assert_str_eq(field_of_only_line("object"), "/no/such/file");
    ck_assert_str_eq(field_of_only_line("errno"), "2");
    ck_assert_str_eq(field_of_only_line("error"), "No such file or directory");
}
END_TEST

START_TEST(text_that_is_not_there_or_not_utf8_still_makes_valid_json)
{
    log_init("test", LOG_INFO, LOG_JSON_LINES);
    LOG(SERVER_FAIL, LOG_TEXT("absent", NULL), LOG_TEXT("bytes", "a\xff\x01z"), LOG_INT("least", INT64_MIN));
    ck_assert_str_eq(field_of_only_line("absent"), "");
    ck_assert_str_eq(field_of_only_line("bytes"), "a\xef\xbf\xbd\x01z");
    ck_assert_str_eq(field_of_only_line("least"), "-9223372036854775808");
}
END_TEST

START_TEST(lines_for_people_are_text_of_one_line)
{
    log_init("worker default/0", LOG_INFO, LOG_TEXT_LINES);
    LOG(JOB_RETRY, LOG_TEXT("error", "first\nsecond"), LOG_INT("attempt", 2));
    const char *line = caught_lines();
    ck_assert_ptr_nonnull(strstr(line,
                                 " info  worker default/0 job.retry: an attempt failed; the job will be "
                                 "retried error=\"first\\nsecond\" attempt=2\n"));
    ck_assert_int_eq(line[2], ':'); /* the time of day in front */
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

START_TEST(a_file_gets_json_when_the_format_is_auto)
{
    log_init("test", LOG_INFO, LOG_AUTO);
    LOG_EVENT(SERVER_START);
    ck_assert_str_eq(field_of_only_line("event"), "server.start");
}
END_TEST

static void *write_lines(void *nothing)
{
    for (int i = 0; i < 500; i++)
        LOG(JOB_RETRY, LOG_INT("i", i), LOG_TEXT("text", "some text that makes the line longer"));
    return nothing;
}

START_TEST(lines_of_several_threads_do_not_mix)
{
    log_init("test", LOG_INFO, LOG_JSON_LINES);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int count = 0;
    for (const char *line = caught_lines(), *end; (end = strchr(line, '\n')) != NULL; line = end + 1, count++)
        ck_assert_str_eq(field(line, (size_t)(end - line), "event"), "job.retry");
    ck_assert_int_eq(count, 2000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, catch_errors, let_errors_go);
    tcase_add_test(tests, a_line_is_one_json_object_with_the_expected_fields);
    tcase_add_test(tests, an_event_without_fields_is_a_line_too);
    tcase_add_test(tests, every_event_is_a_noun_and_a_verb_and_valid_json);
    tcase_add_test(tests, lines_below_the_threshold_are_not_written);
    tcase_add_test(tests, the_threshold_can_be_changed_later);
    tcase_add_test(tests, errno_survives_a_line);
    tcase_add_test(tests, a_failed_call_is_named_with_its_object_and_errno);
    tcase_add_test(tests, text_that_is_not_there_or_not_utf8_still_makes_valid_json);
    tcase_add_test(tests, lines_for_people_are_text_of_one_line);
    tcase_add_test(tests, a_file_gets_json_when_the_format_is_auto);
    tcase_add_test(tests, lines_of_several_threads_do_not_mix);
    return run_suite(suite);
}
