#include "mint.h"

#include "buf.h"
#include "token.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_WRONG_USE = 64, SHORT_BYTES = 8 };

struct wish {
    const char *name, *scopes; /* NULL: not said */
};

static int refuse(const char *what, const char *about)
{
    fprintf(stderr, "forkpool: %s%s; usage: forkpool token [--name NAME] [--scopes read,submit,admin]\n",
            about, what);
    return EXIT_WRONG_USE;
}

/* --flag VALUE or --flag=VALUE; moves *at on. */
static const char *value_of(const char *flag, int argc, char *const *argv, int *at)
{
    size_t bytes = strlen(flag);
    if (strncmp(argv[*at], flag, bytes) != 0)
        return NULL;
    if (argv[*at][bytes] == '=')
        return argv[*at] + bytes + 1;
    return argv[*at][bytes] == '\0' && *at + 1 < argc ? argv[++*at] : NULL;
}

static int read_flags(int argc, char *const *argv, struct wish *wish)
{
    for (int i = 0; i < argc; i++) {
        const char *value;
        if ((value = value_of("--name", argc, argv, &i)) != NULL)
            wish->name = value;
        else if ((value = value_of("--scopes", argc, argv, &i)) != NULL)
            wish->scopes = value;
        else
            return refuse(" is not understood", argv[i]);
    }
    return 0;
}

/* The bits, 0 if there is a word that is no scope. */
static uint32_t read_scopes(const char *text)
{
    uint32_t scopes = 0;
    while (text != NULL && *text != '\0') {
        char word[16];
        size_t bytes = strcspn(text, ",");
        text_copy(word, sizeof word, text, bytes);
        enum scope scope = scope_of(word);
        if (scope == SCOPE_NONE)
            return 0;
        scopes |= scope;
        text += bytes + (text[bytes] == ',');
    }
    return scopes;
}

static void put_scopes(struct buf *out, uint32_t scopes, const char *joint)
{
    bool first = true;
    for (const char *const *word = scope_words; *word != NULL; word++) {
        if ((scopes & scope_of(*word)) == 0)
            continue;
        buf_printf(out, "%s%s", first ? "" : joint, *word);
        first = false;
    }
}

/* The token and the lines alone on standard output, for scripts; what people need to know beside it. */
static int print(const char *secret, const struct token *token)
{
    BUF_AUTO out = {0};
    char hash[TOKEN_HASH_TEXT_BYTES];
    token_hash_write(token->hash, hash);
    buf_printf(&out, "token: %s\nyaml: - {name: %s, scopes: [", secret, token->name);
    put_scopes(&out, token->scopes, ", ");
    buf_printf(&out, "], hash: \"%s\"}\nentry: %s:", hash, token->name);
    put_scopes(&out, token->scopes, ",");
    buf_printf(&out, ":%s\n", hash);
    if (out.failed)
        return 1;
    fputs(
        "Clients send the token as \"Authorization: Bearer TOKEN\"; it is shown only now. The server gets "
        "one\n"
        "of the other lines: yaml under auth.tokens of its file, or entry in FORKPOOL_AUTH_TOKENS or in the\n"
        "file that auth.tokens_file names.\n",
        stderr);
    return fwrite(out.data, 1, out.bytes, stdout) == out.bytes && fflush(stdout) == 0 ? 0 : 1;
}

int mint_main(int argc, char *const *argv)
{
    struct wish wish = {.name = NULL, .scopes = "read,submit"};
    struct token token = {.scopes = 0};
    char secret[TOKEN_SECRET_BYTES], hash[TOKEN_HASH_TEXT_BYTES];
    int status = read_flags(argc, argv, &wish);
    if (status != 0)
        return status;
    token.scopes = read_scopes(wish.scopes);
    if (token.scopes == 0)
        return refuse(": the scopes are read, submit and admin, joined by commas", "--scopes");
    if (wish.name != NULL && !job_name_ok(wish.name))
        return refuse(": 1 to 63 of A-Z a-z 0-9 . _ -, and no dot at the start", "--name");
    if (!token_make(secret)) {
        fputs("forkpool: no random bytes are to be had\n", stderr);
        return 1;
    }
    token_hash(secret, strlen(secret), token.hash);
    token_hash_write(token.hash, hash);
    if (wish.name != NULL)
        text_copy(token.name, sizeof token.name, wish.name, strlen(wish.name));
    else /* so that two of them do not clash */
        snprintf(token.name, sizeof token.name, "token-%.*s", SHORT_BYTES, strchr(hash, ':') + 1);
    return print(secret, &token);
}
