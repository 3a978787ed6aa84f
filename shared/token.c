#include "token.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const char HASH_PREFIX[] = "sha256:";
static const char HEX[] = "0123456789abcdef";

const char *const scope_words[] = {
#define S(name, word, bit, what) word,
    SCOPES(S)
#undef S
        NULL};

_Static_assert(TOKEN_HASH_BYTES == SHA256_DIGEST_SIZE, "the hash is a SHA-256");

const char *scope_word(enum scope scope)
{
    switch (scope) {
#define S(name, word, bit, what)                                                                             \
    case SCOPE_##name:                                                                                       \
        return word;
        SCOPES(S)
#undef S
    case SCOPE_NONE:
        break;
    }
    return "none";
}

enum scope scope_of(const char *word)
{
#define S(name, text, bit, what)                                                                             \
    if (strcmp(word, text) == 0)                                                                             \
        return SCOPE_##name;
    SCOPES(S)
#undef S
    return SCOPE_NONE;
}

bool scopes_allow(uint32_t scopes, enum scope needed)
{
    return needed == SCOPE_NONE || (scopes & (needed | (uint32_t)SCOPE_ADMIN)) != 0;
}

const char *token_secret_fault(const char *secret, size_t bytes)
{
    /* What RFC 6750 lets stand behind "Bearer". */
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    size_t end = 0;
    while (end < bytes && secret[end] != '\0' && strchr(ALLOWED, secret[end]) != NULL)
        end++;
    while (end > 0 && end < bytes && secret[end] == '=')
        end++;
    if (bytes == 0)
        return "is empty";
    if (end < bytes)
        return "holds a character that no token may have: only A-Z a-z 0-9 - . _ ~ + / and, at the end, =";
    if (bytes < TOKEN_SECRET_LEAST)
        return "is shorter than 16 characters and could be guessed: forkpool token makes a good one";
    return bytes > TOKEN_SECRET_MOST ? "is longer than 512 characters" : NULL;
}

void token_hash(const char *secret, size_t bytes, uint8_t hash[TOKEN_HASH_BYTES])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, bytes, (const uint8_t *)secret);
    sha256_digest(&context, TOKEN_HASH_BYTES, hash);
    explicit_bzero(&context, sizeof context);
}

static int digit(char byte)
{
    if (byte >= 'A' && byte <= 'F')
        byte = (char)(byte - 'A' + 'a');
    const char *at = byte == '\0' ? NULL : strchr(HEX, byte);
    return at == NULL ? -1 : (int)(at - HEX);
}

bool token_hash_read(const char *text, uint8_t hash[TOKEN_HASH_BYTES])
{
    size_t prefix = strlen(HASH_PREFIX);
    if (strncmp(text, HASH_PREFIX, prefix) != 0 || strlen(text) != prefix + 2 * (size_t)TOKEN_HASH_BYTES)
        return false;
    text += prefix;
    for (size_t i = 0; i < TOKEN_HASH_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void put_hex(const uint8_t *bytes, size_t count, char *text)
{
    for (size_t i = 0; i < count; i++) {
        *text++ = HEX[bytes[i] >> 4];
        *text++ = HEX[bytes[i] & 15];
    }
    *text = '\0';
}

void token_hash_write(const uint8_t hash[TOKEN_HASH_BYTES], char text[TOKEN_HASH_TEXT_BYTES])
{
    memcpy(text, HASH_PREFIX, strlen(HASH_PREFIX));
    put_hex(hash, TOKEN_HASH_BYTES, text + strlen(HASH_PREFIX));
}

bool token_make(char secret[TOKEN_SECRET_BYTES])
{
    static const char PREFIX[] = "fp_"; /* so that scanners of repositories can know it */
    uint8_t random[32];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    memcpy(secret, PREFIX, strlen(PREFIX));
    put_hex(random, sizeof random, secret + strlen(PREFIX));
    explicit_bzero(random, sizeof random);
    return true;
}

/* Every token is looked at, and the place of the right one is gathered without a branch. */
const struct token *token_find(const struct token *tokens, size_t count, const uint8_t hash[TOKEN_HASH_BYTES])
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t equal = (size_t)(memeql_sec(tokens[i].hash, hash, TOKEN_HASH_BYTES) != 0);
        found |= (i + 1) & (0 - equal);
    }
    return found == 0 ? NULL : &tokens[found - 1];
}
