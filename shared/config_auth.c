#include "config_private.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Of token_file and FORKPOOL_AUTH_TOKEN. */
static const char PLAIN_NAME[] = "default";

static const char BLANKS[] = " \t\r";

/* Where the entry that is read stands, for messages. */
struct place {
    const char *file; /* or NULL: */
    const char *variable;
    int line, column, number;
};

enum err config_auth_add(struct config *config, const struct token *token, struct buf *why)
{
    for (size_t i = 0; i < config->token_count; i++) {
        const struct token *earlier = &config->tokens[i];
        if (strcmp(earlier->name, token->name) == 0)
            buf_printf(why, "there are two tokens of the name %s", token->name);
        else if (memcmp(earlier->hash, token->hash, TOKEN_HASH_BYTES) == 0)
            buf_printf(why, "the token %s is the same as %s", token->name, earlier->name);
        else
            continue;
        return ERR_CONFIG;
    }
    if (config->token_count == TOKENS_MAX) {
        buf_printf(why, "there are more than %d tokens", TOKENS_MAX);
        return ERR_CONFIG;
    }
    if (config->tokens == NULL)
        config->tokens = calloc(TOKENS_MAX, sizeof *config->tokens);
    if (config->tokens == NULL)
        return ERR_NO_MEMORY;
    config->tokens[config->token_count++] = *token;
    return ERR_OK;
}

/* ── name:scopes:sha256:HEX ── */

static void put_place(const struct place *place, struct buf *message)
{
    if (place->file != NULL)
        buf_printf(message, "%s:%d:%d: ", place->file, place->line, place->column);
    else
        buf_printf(message, "%s: entry %d: ", place->variable, place->number);
}

/* Nothing of a wrong entry is shown: any part may be a secret that stands in the wrong place. */
static enum err read_entry(struct config *config, char *entry, struct buf *why)
{
    struct token token = {.scopes = 0};
    BUF_AUTO unsaid = {0};
    char *scopes = strchr(entry, ':'), *hash = scopes != NULL ? strchr(scopes + 1, ':') : NULL;
    if (hash == NULL) {
        buf_put(why, "this is not NAME:SCOPES:sha256:HEX, as forkpool token prints it");
        return ERR_CONFIG;
    }
    *scopes++ = '\0';
    *hash++ = '\0';
    const char *const parts[] = {
        [CONFIG_TOKEN_KEY_name] = entry, [CONFIG_TOKEN_KEY_scopes] = scopes, [CONFIG_TOKEN_KEY_hash] = hash};
    static const char *const WANTED[] = {
        [CONFIG_TOKEN_KEY_name] = "the name of a token must be 1 to 63 of A-Z a-z 0-9 . _ -",
        [CONFIG_TOKEN_KEY_scopes] =
            "the scopes of a token must be some of read, submit and admin, joined by commas",
        [CONFIG_TOKEN_KEY_hash] =
            "the hash of a token must be sha256: and 64 hexadecimal digits, as forkpool token prints it"};
    for (size_t i = 0; i < CONFIG_TOKEN_KEY_COUNT; i++) {
        enum err err = config_value_set(&config_token_keys[i], &token, parts[i], &unsaid);
        if (err == ERR_CONFIG)
            buf_put(why, WANTED[i]);
        if (err != ERR_OK)
            return err;
    }
    return config_auth_add(config, &token, why);
}

static enum err read_line(struct config *config, char *line, struct place *place, struct buf *message)
{
    char *at = line + strspn(line, BLANKS);
    while (*at != '\0' && *at != '#') {
        size_t bytes = strcspn(at, BLANKS);
        char *next = at + bytes + strspn(at + bytes, BLANKS);
        BUF_AUTO why = {0};
        at[bytes] = '\0';
        place->column = (int)(at - line) + 1;
        place->number++;
        enum err err = read_entry(config, at, &why);
        if (err == ERR_CONFIG) {
            put_place(place, message);
            buf_add(message, why.data, why.bytes);
        }
        if (err != ERR_OK)
            return err;
        at = next;
    }
    return ERR_OK;
}

/* Entries stand in lines or apart by blanks; # starts a comment. Writes into the text. */
static enum err read_entries(struct config *config, char *text, struct place *place, struct buf *message)
{
    enum err err = ERR_OK;
    for (char *line = text, *next; err == ERR_OK && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        place->line++;
        err = read_line(config, line, place, message);
    }
    return err;
}

static enum err take_variable_of_many(struct loader *loader)
{
    const char *text = loader->env.texts[GIVEN_TOKENS];
    struct place place = {.variable = loader->env.names.list[GIVEN_TOKENS]};
    if (text == NULL)
        return ERR_OK;
    char *copy = strdup(text);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    enum err err = read_entries(loader->config, copy, &place, loader->message);
    free(copy);
    if (err != ERR_OK || place.number > 0)
        return err;
    buf_printf(loader->message, "%s: it holds no token; unset it, or write NAME:SCOPES:sha256:HEX",
               place.variable);
    return ERR_CONFIG;
}

/* ── one plain token, or its hash ── */

static size_t trimmed(const char *text, size_t bytes)
{
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL && text[bytes - 1] != '\0')
        bytes--;
    return bytes;
}

/* NULL, or a predicate. */
static const char *read_plain(const char *text, size_t bytes, uint8_t hash[TOKEN_HASH_BYTES])
{
    char copy[TOKEN_HASH_TEXT_BYTES];
    bytes = trimmed(text, bytes);
    text_copy(copy, sizeof copy, text, bytes); /* a plain one may be cut here: then it is no hash */
    bool is_hash = bytes < sizeof copy && token_hash_read(copy, hash);
    explicit_bzero(copy, sizeof copy);
    if (is_hash)
        return NULL;
    const char *fault = token_secret_fault(text, bytes);
    if (fault == NULL)
        token_hash(text, bytes, hash);
    return fault;
}

static enum err add_plain(struct config *config, const char *text, size_t bytes, struct buf *why)
{
    struct token token = {.scopes = SCOPE_ADMIN};
    text_copy(token.name, sizeof token.name, PLAIN_NAME, strlen(PLAIN_NAME));
    const char *fault = read_plain(text, bytes, token.hash);
    if (fault == NULL)
        return config_auth_add(config, &token, why);
    buf_printf(why, "the token %s", fault);
    return ERR_CONFIG;
}

static enum err take_variable_of_one(struct loader *loader)
{
    const char *text = loader->env.texts[GIVEN_TOKEN];
    BUF_AUTO why = {0};
    if (text == NULL)
        return ERR_OK;
    enum err err = add_plain(loader->config, text, strlen(text), &why);
    if (err == ERR_CONFIG) {
        buf_printf(loader->message, "%s: ", loader->env.names.list[GIVEN_TOKEN]);
        buf_add(loader->message, why.data, why.bytes);
    }
    return err;
}

enum err config_hide_token(void)
{
    static const char NAME[] = "FORKPOOL_AUTH_TOKEN";
    char *secret = getenv(NAME), text[TOKEN_HASH_TEXT_BYTES];
    uint8_t hash[TOKEN_HASH_BYTES];
    if (secret == NULL || read_plain(secret, strlen(secret), hash) != NULL)
        return ERR_OK;
    token_hash_write(hash, text);
    size_t bytes = strlen(secret);
    if (strcmp(secret, text) == 0) /* setenv would keep the very string that is wiped below */
        return ERR_OK;
    if (setenv(NAME, text, 1) != 0)
        return ERR_NO_MEMORY;
    explicit_bzero(secret, bytes);
    return ERR_OK;
}

/* ── files ── */

/* Allocated once and wiped, so that no copy of a secret stays in free memory. */
static enum err read_file(struct loader *loader, enum config_key_index key, const char *path,
                          enum err (*take)(struct loader *, enum config_key_index, const char *,
                                           struct buf *))
{
    enum { ROOM = 65536 };
    BUF_AUTO text = {0};
    enum err err = buf_reserve(&text, ROOM) == NULL ? ERR_NO_MEMORY : config_slurp(path, &text);
    if (err == ERR_SYSTEM) {
        char reason[128] = "";
        err = config_refuse(loader, key);
        buf_printf(loader->message, "cannot read %s: %s", path, strerror_r(errno, reason, sizeof reason));
    } else if (err == ERR_OK && (text.bytes >= ROOM / 2 || memchr(text.data, '\0', text.bytes) != NULL)) {
        err = config_refuse(loader, key);
        buf_printf(loader->message, "%s is too long or holds a NUL character", path);
    } else if (err == ERR_OK) {
        buf_add(&text, "", 1);
        err = take(loader, key, path, &text);
    }
    if (text.data != NULL)
        explicit_bzero(text.data, text.room);
    return err;
}

static enum err take_file_of_many(struct loader *loader, enum config_key_index key, const char *path,
                                  struct buf *text)
{
    struct place place = {.file = path};
    enum err err = read_entries(loader->config, text->data, &place, loader->message);
    if (err != ERR_OK || place.number > 0)
        return err;
    err = config_refuse(loader, key);
    buf_printf(loader->message, "%s holds no token; a line is NAME:SCOPES:sha256:HEX", path);
    return err;
}

static enum err take_file_of_one(struct loader *loader, enum config_key_index key, const char *path,
                                 struct buf *text)
{
    BUF_AUTO why = {0};
    enum err err = add_plain(loader->config, text->data, strlen(text->data), &why);
    if (err == ERR_CONFIG) {
        err = config_refuse(loader, key);
        buf_printf(loader->message, "%s: ", path);
        buf_add(loader->message, why.data, why.bytes);
    }
    return err;
}

/* A setting that was meant to guard the server and is empty, as unset variables make it, must not open it. */
static enum err take_file(struct loader *loader, enum config_key_index key, const char *path,
                          enum err (*take)(struct loader *, enum config_key_index, const char *,
                                           struct buf *))
{
    if (path[0] != '\0')
        return read_file(loader, key, path, take);
    if (loader->origins[key].source == ORIGIN_DEFAULT)
        return ERR_OK;
    enum err err = config_refuse(loader, key);
    buf_printf(loader->message, "auth.%s must not be empty: leave it out if there is none",
               config_keys[key].key);
    return err;
}

/* ── mode and address ── */

static enum err check_mode(struct loader *loader)
{
    struct config *config = loader->config;
    const struct config_key *key = &config_keys[CONFIG_KEY_auth_mode];
    if (loader->origins[CONFIG_KEY_auth_mode].source == ORIGIN_DEFAULT && config->token_count > 0)
        config->auth_mode = AUTH_TOKEN;
    if ((config->auth_mode == AUTH_TOKEN) == (config->token_count > 0))
        return ERR_OK;
    enum err err = config_refuse(loader, CONFIG_KEY_auth_mode);
    if (config->auth_mode == AUTH_TOKEN)
        buf_put(loader->message, "auth.mode is token, but there is no token: forkpool token makes one for "
                                 "auth.tokens, or set FORKPOOL_AUTH_TOKEN or FORKPOOL_AUTH_TOKEN_FILE");
    else
        buf_printf(loader->message,
                   "auth.mode is %s, but there are tokens (%s), which nobody would have to show: write "
                   "auth.mode: token, or take the tokens out",
                   key->words[config->auth_mode], config->tokens[0].name);
    return err;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static enum err check_listen(struct loader *loader)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    const struct config *config = loader->config;
    if (config_listen_address(config->http_listen, &address, &bytes) != ERR_OK) {
        enum err err = config_refuse(loader, CONFIG_KEY_http_listen);
        buf_put(loader->message,
                "http.listen must be ADDRESS:PORT (127.0.0.1:8080, localhost:8080, 0.0.0.0:8080, "
                "[::1]:8080), not ");
        config_put_quoted(loader->message, config->http_listen);
        return err;
    }
    if (loader->client || config->auth_mode != AUTH_LOOPBACK || is_loopback(&address))
        return ERR_OK;
    enum err err = config_refuse_pair(loader, CONFIG_KEY_http_listen, CONFIG_KEY_auth_mode);
    buf_printf(
        loader->message,
        "http.listen is %s, which is not a loopback address: anyone who reaches it could run jobs; set a "
        "token (auth.tokens or FORKPOOL_AUTH_TOKEN; forkpool token makes one), write auth.mode: none "
        "(--auth-mode none) if that is meant, or listen on 127.0.0.1",
        config->http_listen);
    return err;
}

enum err config_auth_check(struct loader *loader)
{
    const struct config *config = loader->config;
    if (loader->client)
        return check_listen(loader);
    enum err err = take_variable_of_many(loader);
    if (err == ERR_OK)
        err = take_file(loader, CONFIG_KEY_auth_tokens_file, config->auth_tokens_file, take_file_of_many);
    if (err == ERR_OK)
        err = take_variable_of_one(loader);
    if (err == ERR_OK)
        err = take_file(loader, CONFIG_KEY_auth_token_file, config->auth_token_file, take_file_of_one);
    if (err == ERR_OK)
        err = check_mode(loader);
    return err != ERR_OK ? err : check_listen(loader);
}
