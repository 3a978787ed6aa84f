/* Tokens in the configuration: where they may stand, what they must look like, what mode follows. */
#include "config_fixture.h"

#define HASH_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SECRET "a-good-long-secret-of-mine"

static char *no_flags[] = {NULL};

static struct config *load_env(char *variable)
{
    char *env[] = {variable, NULL};
    return load(no_flags, env);
}

static void one_token(struct config *config, const char *name, uint32_t scopes)
{
    ck_assert_int_eq(config->auth_mode, AUTH_TOKEN);
    ck_assert_uint_eq(config->token_count, 1);
    ck_assert_str_eq(config->tokens[0].name, name);
    ck_assert_uint_eq(config->tokens[0].scopes, scopes);
    config_free(config);
}

START_TEST(tokens_in_the_file_switch_the_mode_on)
{
    write_yaml("auth:\n  tokens:\n  - {name: ci, scopes: [read, submit], hash: \"" HASH_A "\"}\n"
               "  - name: me\n    scopes: [admin]\n    hash: " HASH_B "\n");
    struct config *config = load_file();
    ck_assert_int_eq(config->auth_mode, AUTH_TOKEN);
    ck_assert_uint_eq(config->token_count, 2);
    ck_assert_str_eq(config->tokens[0].name, "ci");
    ck_assert_uint_eq(config->tokens[0].scopes, SCOPE_READ | SCOPE_SUBMIT);
    ck_assert_uint_eq(config->tokens[0].hash[0], 0xaa);
    ck_assert_str_eq(config->tokens[1].name, "me");
    ck_assert_uint_eq(config->tokens[1].scopes, SCOPE_ADMIN);
    config_free(config);
}
END_TEST

START_TEST(entries_of_the_variable_stand_apart_by_blanks_or_in_lines)
{
    struct config *config =
        load_env("FORKPOOL_AUTH_TOKENS= ci:read,submit:" HASH_A "  me:admin:" HASH_B "\n# not:this:one\n");
    ck_assert_int_eq(config->auth_mode, AUTH_TOKEN);
    ck_assert_uint_eq(config->token_count, 2);
    ck_assert_uint_eq(config->tokens[0].scopes, SCOPE_READ | SCOPE_SUBMIT);
    ck_assert_str_eq(config->tokens[1].name, "me");
    config_free(config);
}
END_TEST

START_TEST(a_file_holds_one_entry_a_line)
{
    char flag[128], variable[128];
    snprintf(flag, sizeof flag, "--auth-tokens-file=%s", file);
    snprintf(variable, sizeof variable, "FORKPOOL_AUTH_TOKENS_FILE=%s", file);
    char *flags[] = {flag, NULL};
    write_yaml("# ours\r\n\r\n  ci:submit:" HASH_A " # the builder\r\n");
    one_token(load_env(variable), "ci", SCOPE_SUBMIT);
    one_token(load(flags, no_env), "ci", SCOPE_SUBMIT);
}
END_TEST

START_TEST(a_single_plain_token_may_do_everything)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    char variable[128];
    token_hash(SECRET, strlen(SECRET), hash);
    struct config *config = load_env("FORKPOOL_AUTH_TOKEN=" SECRET);
    ck_assert_mem_eq(config->tokens[0].hash, hash, sizeof hash);
    one_token(config, "default", SCOPE_ADMIN);
    snprintf(variable, sizeof variable, "FORKPOOL_AUTH_TOKEN_FILE=%s", file);
    write_yaml(SECRET "\r\n\n");
    config = load_env(variable);
    ck_assert_mem_eq(config->tokens[0].hash, hash, sizeof hash);
    one_token(config, "default", SCOPE_ADMIN);
    config = load_env("FORKPOOL_AUTH_TOKEN=" HASH_A);
    ck_assert_uint_eq(config->tokens[0].hash[31], 0xaa);
    config_free(config);
}
END_TEST

START_TEST(tokens_of_all_sources_count_together)
{
    char *flags[] = {"--config", file, NULL};
    char *env[] = {"FORKPOOL_AUTH_TOKENS=ci:submit:" HASH_A, "FORKPOOL_AUTH_TOKEN=" SECRET, NULL};
    write_yaml("auth: {mode: token, tokens: [{name: me, scopes: [admin], hash: '" HASH_B "'}]}");
    struct config *config = load(flags, env);
    ck_assert_uint_eq(config->token_count, 3);
    config_free(config);
}
END_TEST

START_TEST(with_tokens_any_address_may_be_listened_on)
{
    char *flags[] = {"--http-listen=0.0.0.0:80", NULL}, *env[] = {"FORKPOOL_AUTH_TOKEN=" SECRET, NULL};
    one_token(load(flags, env), "default", SCOPE_ADMIN);
}
END_TEST

START_TEST(the_plain_token_in_the_environment_is_replaced_by_its_hash)
{
    static char variable[] = "FORKPOOL_AUTH_TOKEN=" SECRET;
    uint8_t hash[TOKEN_HASH_BYTES];
    char text[TOKEN_HASH_TEXT_BYTES];
    token_hash(SECRET, strlen(SECRET), hash);
    token_hash_write(hash, text);
    ck_assert_int_eq(putenv(variable), 0);
    ck_assert_int_eq(config_hide_token(), ERR_OK);
    ck_assert_str_eq(getenv("FORKPOOL_AUTH_TOKEN"), text);
    ck_assert_str_eq(variable, "FORKPOOL_AUTH_TOKEN=");
    ck_assert_int_eq(config_hide_token(), ERR_OK);
    ck_assert_str_eq(getenv("FORKPOOL_AUTH_TOKEN"), text);
    one_token(load(no_flags, environ), "default", SCOPE_ADMIN);
    unsetenv("FORKPOOL_AUTH_TOKEN");
    ck_assert_int_eq(config_hide_token(), ERR_OK);
}
END_TEST

START_TEST(a_client_is_not_asked_for_access)
{
    struct config *config;
    BUF_AUTO message = {0};
    char *flags[] = {"--http-listen=0.0.0.0:8080", NULL};
    char *env[] = {"FORKPOOL_AUTH_TOKENS_FILE=/nowhere", "FORKPOOL_AUTH_TOKEN=x", NULL};
    ck_assert_int_eq(config_load_client(1, flags, env, &config, &message), ERR_OK);
    ck_assert_str_eq(config->http_listen, "0.0.0.0:8080");
    config_free(config);
}
END_TEST

/* ── refused ── */

START_TEST(the_mode_token_needs_a_token)
{
    refused_flag("--auth-mode=token",
                 "--auth-mode: auth.mode is token, but there is no token: forkpool token makes one for "
                 "auth.tokens, or set FORKPOOL_AUTH_TOKEN or FORKPOOL_AUTH_TOKEN_FILE");
}
END_TEST

START_TEST(tokens_need_the_mode_token)
{
    static const char SENTENCE[] =
        ":1:14: auth.mode is %s, but there are tokens (a), which nobody would have to show: write auth.mode: "
        "token, or take the tokens out";
    static const char *const MODES[] = {"none", "loopback"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[256], said[256];
        snprintf(yaml, sizeof yaml,
                 "auth: {mode: %s, tokens: [{name: a, scopes: [read], hash: '" HASH_A "'}]}", MODES[i]);
        snprintf(said, sizeof said, SENTENCE, MODES[i]);
        refused_yaml(yaml, said);
    }
}
END_TEST

START_TEST(a_list_of_no_tokens_does_not_open_the_door)
{
    refused_yaml(
        "auth:\n  tokens:\n",
        ":2:10: auth.tokens must be a list of mappings [{name: …, scopes: […], hash: …}], not nothing");
    refused_yaml("auth: {tokens: []}",
                 ":1:16: auth.tokens must be a list of mappings [{name: …, scopes: […], "
                 "hash: …}], not an empty one");
    refused_yaml("auth: {tokens: secret}", ":1:16: auth.tokens must be a list of mappings [{name: …, scopes: "
                                           "[…], hash: …}], not a single value");
    refused_env("FORKPOOL_AUTH_TOKENS=", "FORKPOOL_AUTH_TOKENS: it holds no token; unset it, or write "
                                         "NAME:SCOPES:sha256:HEX");
    refused_env("FORKPOOL_AUTH_TOKEN=", "FORKPOOL_AUTH_TOKEN: the token is empty");
    refused_env("FORKPOOL_AUTH_TOKEN_FILE=", "FORKPOOL_AUTH_TOKEN_FILE: auth.token_file must not be empty: "
                                             "leave it out if there is none");
    refused_flag("--auth-tokens-file=",
                 "--auth-tokens-file: auth.tokens_file must not be empty: leave it out "
                 "if there is none");
}
END_TEST

START_TEST(a_wrong_part_of_an_entry_in_the_file_is_named_with_its_place)
{
    refused_yaml("auth:\n  tokens:\n  - name: a b\n",
                 ":3:11: auth.tokens[].name must be 1 to 63 of A-Z a-z 0-9 . _ - and not start with a dot, "
                 "not \"a b\"");
    refused_yaml(
        "auth:\n  tokens:\n  - scopes: [raed]\n",
        ":3:13: auth.tokens[].scopes must be read, submit or admin, not \"raed\"; did you mean read?");
    refused_yaml("auth: {tokens: [{scopes: []}]}",
                 ":1:26: auth.tokens[].scopes must name at least one scope");
    refused_yaml("auth: {tokens: [{scopes: read}]}",
                 ":1:26: auth.tokens[].scopes must be a list [a, b], not a single value");
    refused_yaml("auth: {tokens: [{hash: mysecretmysecret}]}",
                 ":1:24: auth.tokens[].hash must be sha256: and 64 hexadecimal digits, as forkpool token "
                 "prints it");
    refused_yaml("auth: {tokens: [{name: a, scopes: [read]}]}",
                 ":1:17: a token must have a name, scopes and a hash; forkpool token prints all");
    refused_yaml("auth: {tokens: [{name: a, scope: [read]}]}",
                 ":1:27: a token has no key \"scope\"; did you mean scopes? It has name, scopes, hash");
    refused_yaml("auth: {token: x}", ":1:8: auth has no key \"token\"; did you mean tokens? It has mode, "
                                     "token_file, tokens_file, tokens");
}
END_TEST

START_TEST(two_tokens_of_one_name_or_hash_are_refused)
{
    refused_yaml("auth:\n  tokens:\n  - {name: a, scopes: [read], hash: '" HASH_A "'}\n"
                 "  - {name: a, scopes: [read], hash: '" HASH_B "'}\n",
                 ":4:5: there are two tokens of the name a");
    refused_env("FORKPOOL_AUTH_TOKENS=a:read:" HASH_A " b:admin:" HASH_A,
                "FORKPOOL_AUTH_TOKENS: entry 2: the token b is the same as a");
}
END_TEST

START_TEST(a_wrong_entry_is_named_by_its_place_and_never_shown)
{
    static const char FORM[] =
        "FORKPOOL_AUTH_TOKENS: entry 1: this is not NAME:SCOPES:sha256:HEX, as forkpool "
        "token prints it";
    refused_env("FORKPOOL_AUTH_TOKENS=" SECRET, FORM);
    refused_env("FORKPOOL_AUTH_TOKENS=ci:" SECRET, FORM);
    refused_env(
        "FORKPOOL_AUTH_TOKENS=a:read:" HASH_A "\nci:read:" SECRET,
        "FORKPOOL_AUTH_TOKENS: entry 2: the hash of a token must be sha256: and 64 hexadecimal digits, "
        "as forkpool token prints it");
    refused_env(
        "FORKPOOL_AUTH_TOKENS=ci:" SECRET ":" HASH_A,
        "FORKPOOL_AUTH_TOKENS: entry 1: the scopes of a token must be some of read, submit and admin, "
        "joined by commas");
    refused_env("FORKPOOL_AUTH_TOKENS=" SECRET "/:read:" HASH_A,
                "FORKPOOL_AUTH_TOKENS: entry 1: the name of a token must be 1 to 63 of A-Z a-z 0-9 . _ -");
}
END_TEST

START_TEST(a_wrong_line_of_a_file_is_named_by_line_and_column)
{
    char variable[128], said[256];
    snprintf(variable, sizeof variable, "FORKPOOL_AUTH_TOKENS_FILE=%s", file);
    write_yaml("# ours\nci:read:" HASH_A "\n  me:root:" HASH_B "\n");
    refused_env(variable,
                ":3:3: the scopes of a token must be some of read, submit and admin, joined by commas");
    write_yaml("# nothing here\n");
    snprintf(said, sizeof said,
             "FORKPOOL_AUTH_TOKENS_FILE: %s holds no token; a line is NAME:SCOPES:sha256:HEX", file);
    refused_env(variable, said);
}
END_TEST

START_TEST(a_bad_plain_token_is_refused_and_never_shown)
{
    char variable[128], said[256];
    refused_env("FORKPOOL_AUTH_TOKEN=changeme",
                "FORKPOOL_AUTH_TOKEN: the token is shorter than 16 characters and could be guessed: forkpool "
                "token makes a good one");
    refused_env(
        "FORKPOOL_AUTH_TOKEN=correct horse battery",
        "FORKPOOL_AUTH_TOKEN: the token holds a character that no token may have: only A-Z a-z 0-9 - . "
        "_ ~ + / and, at the end, =");
    snprintf(variable, sizeof variable, "FORKPOOL_AUTH_TOKEN_FILE=%s", file);
    snprintf(said, sizeof said, "FORKPOOL_AUTH_TOKEN_FILE: %s: the token is empty", file);
    write_yaml("\n");
    refused_env(variable, said);
}
END_TEST

START_TEST(a_file_that_is_not_there_or_no_text_is_named)
{
    refused_env("FORKPOOL_AUTH_TOKEN_FILE=/nowhere/token",
                "FORKPOOL_AUTH_TOKEN_FILE: cannot read /nowhere/token: No such file or directory");
    char flag[128], said[256];
    snprintf(flag, sizeof flag, "--auth-tokens-file=%s", file);
    snprintf(said, sizeof said, "--auth-tokens-file: %s is too long or holds a NUL character", file);
    write_bytes("a\0b", 3);
    refused_flag(flag, said);
}
END_TEST

START_TEST(a_token_has_no_flag)
{
    refused_flag("--auth-token=" SECRET,
                 "--auth-token: a token on the command line can be read by everyone (ps); set "
                 "FORKPOOL_AUTH_TOKEN, or name a file with --auth-token-file");
    refused_flag("--auth-tokens",
                 "--auth-tokens: a token on the command line can be read by everyone (ps); set "
                 "FORKPOOL_AUTH_TOKENS, or name a file with --auth-tokens-file");
}
END_TEST

START_TEST(there_may_be_128_tokens_and_no_more)
{
    BUF_AUTO text = {0};
    char variable[128], said[128];
    snprintf(variable, sizeof variable, "FORKPOOL_AUTH_TOKENS_FILE=%s", file);
    for (int i = 0; i < TOKENS_MAX; i++)
        buf_printf(&text, "t%d:read:sha256:%064x\n", i, i + 1);
    write_bytes(text.data, text.bytes);
    struct config *config = load_env(variable);
    ck_assert_uint_eq(config->token_count, TOKENS_MAX);
    config_free(config);
    buf_printf(&text, "more:read:" HASH_A);
    write_bytes(text.data, text.bytes);
    snprintf(said, sizeof said, ":%d:1: there are more than 128 tokens", TOKENS_MAX + 1);
    refused_env(variable, said);
}
END_TEST

static void add_accepted(TCase *tests)
{
    tcase_add_test(tests, tokens_in_the_file_switch_the_mode_on);
    tcase_add_test(tests, entries_of_the_variable_stand_apart_by_blanks_or_in_lines);
    tcase_add_test(tests, a_file_holds_one_entry_a_line);
    tcase_add_test(tests, a_single_plain_token_may_do_everything);
    tcase_add_test(tests, tokens_of_all_sources_count_together);
    tcase_add_test(tests, with_tokens_any_address_may_be_listened_on);
    tcase_add_test(tests, the_plain_token_in_the_environment_is_replaced_by_its_hash);
    tcase_add_test(tests, a_client_is_not_asked_for_access);
    tcase_add_test(tests, there_may_be_128_tokens_and_no_more);
}

static void add_refused(TCase *tests)
{
    tcase_add_test(tests, the_mode_token_needs_a_token);
    tcase_add_test(tests, tokens_need_the_mode_token);
    tcase_add_test(tests, a_list_of_no_tokens_does_not_open_the_door);
    tcase_add_test(tests, a_wrong_part_of_an_entry_in_the_file_is_named_with_its_place);
    tcase_add_test(tests, two_tokens_of_one_name_or_hash_are_refused);
    tcase_add_test(tests, a_wrong_entry_is_named_by_its_place_and_never_shown);
    tcase_add_test(tests, a_wrong_line_of_a_file_is_named_by_line_and_column);
    tcase_add_test(tests, a_bad_plain_token_is_refused_and_never_shown);
    tcase_add_test(tests, a_file_that_is_not_there_or_no_text_is_named);
    tcase_add_test(tests, a_token_has_no_flag);
}

int main(void)
{
    Suite *suite = suite_create("shared/config, auth");
    add_case(suite, "accepted", add_accepted);
    add_case(suite, "refused", add_refused);
    return run_suite(suite);
}
