/* Bearer tokens: what one may do, how it is kept, how a request's one is found among them.
 *
 * Of a token only its SHA-256 is kept. A slow hash (scrypt, argon2) protects secrets that can be guessed; the
 * tokens made here are 256 random bits, which nobody guesses at any speed, and every request pays for the
 * hash. Callable from anywhere; nothing here allocates.
 *
 *  1. Neither a secret nor a hash of one is ever logged or put into a message.
 *  2. Whether and where a hash is found does not show in the time that token_find takes.
 */
#ifndef FORKPOOL_TOKEN_H
#define FORKPOOL_TOKEN_H

#include "job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, word, bit, what it allows */
#define SCOPES(S)                                                                                            \
    S(READ, "read", 1, "everything that GET answers")                                                        \
    S(SUBMIT, "submit", 2, "submitting, calling and cancelling jobs")                                        \
    S(ADMIN, "admin", 4, "everything")

enum scope {
    SCOPE_NONE = 0, /* of a route: free for all */
#define S(name, word, bit, what) SCOPE_##name = (bit),
    SCOPES(S)
#undef S
};

enum {
    TOKENS_MAX = 128,
    TOKEN_HASH_BYTES = 32,
    TOKEN_SECRET_LEAST = 16, /* of one that somebody else made */
    TOKEN_SECRET_MOST = 512,
    TOKEN_SECRET_BYTES = 68,   /* of one made here: "fp_", 64 hexadecimal digits, NUL */
    TOKEN_HASH_TEXT_BYTES = 72 /* "sha256:", 64 hexadecimal digits, NUL */
};

/* Lies in memory shared by supervisor and front (access.h). */
struct token {
    char name[NAME_BYTES];
    uint32_t scopes; /* bits of enum scope; 0: not set */
    uint8_t hash[TOKEN_HASH_BYTES];
};

/* "read" for SCOPE_READ, "none" for SCOPE_NONE. */
const char *scope_word(enum scope scope);
/* SCOPE_NONE if the word is none of a scope. */
enum scope scope_of(const char *word);
/* All words, NULL-terminated. */
extern const char *const scope_words[];
/* Do these scopes allow what needs that one? */
bool scopes_allow(uint32_t scopes, enum scope needed);

/* NULL, or why this cannot be a secret: a predicate that does not show it. */
const char *token_secret_fault(const char *secret, size_t bytes);
void token_hash(const char *secret, size_t bytes, uint8_t hash[TOKEN_HASH_BYTES]);
/* "sha256:" and 64 hexadecimal digits; false for anything else. */
bool token_hash_read(const char *text, uint8_t hash[TOKEN_HASH_BYTES]);
void token_hash_write(const uint8_t hash[TOKEN_HASH_BYTES], char text[TOKEN_HASH_TEXT_BYTES]);

/* A new random secret. False without randomness. */
bool token_make(char secret[TOKEN_SECRET_BYTES]);

/* NULL if it is none of them. */
const struct token *token_find(const struct token *tokens, size_t count,
                               const uint8_t hash[TOKEN_HASH_BYTES]);

#endif
