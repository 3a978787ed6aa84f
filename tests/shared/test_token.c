#include "run.h"

#include "token.h"

#include <string.h>

START_TEST(a_hash_is_sha_256_and_is_written_as_it_is_read)
{
    uint8_t hash[TOKEN_HASH_BYTES], again[TOKEN_HASH_BYTES];
    char text[TOKEN_HASH_TEXT_BYTES];
    token_hash("abc", 3, hash);
    token_hash_write(hash, text);
    ck_assert_str_eq(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(token_hash_read(text, again));
    ck_assert_mem_eq(hash, again, sizeof hash);
    ck_assert(
        token_hash_read("sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", again));
    ck_assert_mem_eq(hash, again, sizeof hash);
}
END_TEST

START_TEST(what_is_no_hash_is_refused)
{
    static const char *const TEXTS[] = {
        "",
        "sha256:",
        "sha256",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015add",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    uint8_t hash[TOKEN_HASH_BYTES];
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        ck_assert_msg(!token_hash_read(TEXTS[i], hash), "%s", TEXTS[i]);
}
END_TEST

START_TEST(a_made_secret_is_random_and_acceptable)
{
    char one[TOKEN_SECRET_BYTES], two[TOKEN_SECRET_BYTES];
    ck_assert(token_make(one));
    ck_assert(token_make(two));
    ck_assert_uint_eq(strlen(one), TOKEN_SECRET_BYTES - 1);
    ck_assert_int_eq(strncmp(one, "fp_", 3), 0);
    ck_assert_str_ne(one, two);
    ck_assert_ptr_null(token_secret_fault(one, strlen(one)));
}
END_TEST

START_TEST(short_and_odd_secrets_are_refused)
{
    char most[TOKEN_SECRET_MOST + 1];
    memset(most, 'a', sizeof most);
    ck_assert_ptr_null(token_secret_fault("0123456789abcdef", 16));
    ck_assert_ptr_null(token_secret_fault("aB+/-._~0123456789==", 20));
    ck_assert_ptr_null(token_secret_fault(most, TOKEN_SECRET_MOST));
    ck_assert_ptr_nonnull(token_secret_fault(most, TOKEN_SECRET_MOST + 1));
    ck_assert_ptr_nonnull(token_secret_fault("", 0));
    ck_assert_ptr_nonnull(token_secret_fault("0123456789abcde", 15));
    ck_assert_ptr_nonnull(token_secret_fault("a word and another", 18));
    ck_assert_ptr_nonnull(token_secret_fault("0123456789=abcdef", 17));
    ck_assert_ptr_nonnull(token_secret_fault("================", 16));
    ck_assert_ptr_nonnull(token_secret_fault("0123456789abcdef\0", 17));
}
END_TEST

START_TEST(each_token_is_found_and_no_other)
{
    struct token tokens[TOKENS_MAX];
    uint8_t hash[TOKEN_HASH_BYTES];
    for (size_t i = 0; i < TOKENS_MAX; i++) {
        char secret[32];
        snprintf(secret, sizeof secret, "secret %zu", i);
        token_hash(secret, strlen(secret), tokens[i].hash);
    }
    for (size_t i = 0; i < TOKENS_MAX; i++) {
        ck_assert_ptr_eq(token_find(tokens, TOKENS_MAX, tokens[i].hash), &tokens[i]);
        ck_assert_ptr_null(token_find(tokens, i, tokens[i].hash));
    }
    memcpy(hash, tokens[3].hash, sizeof hash);
    hash[TOKEN_HASH_BYTES - 1] ^= 1;
    ck_assert_ptr_null(token_find(tokens, TOKENS_MAX, hash));
    ck_assert_ptr_null(token_find(NULL, 0, hash));
}
END_TEST

START_TEST(admin_allows_everything_and_the_others_only_themselves)
{
    ck_assert(scopes_allow(SCOPE_READ, SCOPE_READ));
    ck_assert(!scopes_allow(SCOPE_READ, SCOPE_SUBMIT));
    ck_assert(!scopes_allow(SCOPE_SUBMIT, SCOPE_READ));
    ck_assert(!scopes_allow(SCOPE_READ | SCOPE_SUBMIT, SCOPE_ADMIN));
    ck_assert(scopes_allow(SCOPE_READ | SCOPE_SUBMIT, SCOPE_SUBMIT));
    ck_assert(scopes_allow(SCOPE_ADMIN, SCOPE_READ));
    ck_assert(scopes_allow(SCOPE_ADMIN, SCOPE_SUBMIT));
    ck_assert(scopes_allow(SCOPE_ADMIN, SCOPE_ADMIN));
    ck_assert(scopes_allow(0, SCOPE_NONE));
    ck_assert(!scopes_allow(0, SCOPE_READ));
}
END_TEST

START_TEST(every_scope_has_a_word)
{
    for (const char *const *word = scope_words; *word != NULL; word++)
        ck_assert_str_eq(scope_word(scope_of(*word)), *word);
    ck_assert_int_eq(scope_of("write"), SCOPE_NONE);
    ck_assert_int_eq(scope_of("none"), SCOPE_NONE);
    ck_assert_int_eq(scope_of(""), SCOPE_NONE);
    ck_assert_str_eq(scope_word(SCOPE_NONE), "none");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared/token");
    TCase *tests = tcase_create("token");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, a_hash_is_sha_256_and_is_written_as_it_is_read);
    tcase_add_test(tests, what_is_no_hash_is_refused);
    tcase_add_test(tests, a_made_secret_is_random_and_acceptable);
    tcase_add_test(tests, short_and_odd_secrets_are_refused);
    tcase_add_test(tests, each_token_is_found_and_no_other);
    tcase_add_test(tests, admin_allows_everything_and_the_others_only_themselves);
    tcase_add_test(tests, every_scope_has_a_word);
    return run_suite(suite);
}
