#include "run.h"

#include "access.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct access *area;
static struct token tokens[TOKENS_MAX];
static struct access_rules rules;

static void set_up(void)
{
    memset(&rules, 0, sizeof rules);
    ck_assert_int_eq(access_open(&area), ERR_OK);
}

static void tear_down(void)
{
    access_close(area);
}

/* `count` tokens, all of one name. */
static void publish(const char *name, size_t count)
{
    struct config config = {.auth_mode = AUTH_TOKEN, .tokens = tokens, .token_count = count};
    for (size_t i = 0; i < count; i++)
        snprintf(tokens[i].name, sizeof tokens[i].name, "%s", name);
    access_publish(area, &config);
}

START_TEST(what_was_published_is_seen_after_a_refresh)
{
    access_refresh(area, &rules);
    ck_assert_uint_eq(rules.epoch, 0);
    publish("one", 1);
    access_refresh(area, &rules);
    ck_assert_uint_eq(rules.mode, AUTH_TOKEN);
    ck_assert_uint_eq(rules.token_count, 1);
    ck_assert_str_eq(rules.tokens[0].name, "one");
    publish("two", TOKENS_MAX);
    ck_assert_str_eq(rules.tokens[0].name, "one");
    access_refresh(area, &rules);
    ck_assert_uint_eq(rules.token_count, TOKENS_MAX);
    ck_assert_str_eq(rules.tokens[TOKENS_MAX - 1].name, "two");
}
END_TEST

START_TEST(no_tokens_can_be_published_too)
{
    struct config config = {.auth_mode = AUTH_LOOPBACK};
    access_publish(area, &config);
    access_refresh(area, &rules);
    ck_assert_uint_eq(rules.mode, AUTH_LOOPBACK);
    ck_assert_uint_eq(rules.token_count, 0);
}
END_TEST

/* Each publication has as many tokens as its name says, so a torn copy shows. */
START_TEST(another_process_never_sees_half_of_a_publication)
{
    enum { ROUNDS = 20000 };
    publish("1", 1);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 2; i < ROUNDS; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            publish(name, (size_t)(i % TOKENS_MAX));
        }
        _exit(0);
    }
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        access_refresh(area, &rules);
        for (uint32_t i = 0; i < rules.token_count; i++) {
            ck_assert_uint_eq((uint32_t)atoi(rules.tokens[i].name), rules.epoch);
            ck_assert_uint_eq(rules.token_count, rules.epoch % TOKENS_MAX);
        }
    }
    ck_assert_int_eq(status, 0);
    access_refresh(area, &rules);
    ck_assert_uint_eq(rules.epoch, ROUNDS - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/access");
    TCase *tests = tcase_create("access");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, what_was_published_is_seen_after_a_refresh);
    tcase_add_test(tests, no_tokens_can_be_published_too);
    tcase_add_test(tests, another_process_never_sees_half_of_a_publication);
    return run_suite(suite);
}
