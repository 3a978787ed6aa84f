#include "bearer.h"

#include "problem.h"
#include "routes.h"

#include <string.h>
#include <strings.h>

#define REALM "Bearer realm=\"forkpool\""

bool bearer_read(const char *value, struct text *token)
{
    static const char SCHEME[] = "Bearer";
    static const char BLANKS[] = " \t";
    size_t scheme = strlen(SCHEME);
    if (strncasecmp(value, SCHEME, scheme) != 0 || value[scheme] == '\0' ||
        strchr(BLANKS, value[scheme]) == NULL)
        return false;
    value += scheme;
    value += strspn(value, BLANKS);
    size_t bytes = strcspn(value, BLANKS);
    *token = (struct text){value, bytes};
    return bytes > 0 && value[bytes + strspn(value + bytes, BLANKS)] == '\0';
}

static bool refuse_nobody(struct request *request)
{
    reply_header(request, "WWW-Authenticate", REALM);
    problem_answer(request, ERR_UNAUTHORIZED, NULL,
                   request->headers[HEADER_AUTHORIZATION] == NULL
                       ? "the request has no Authorization header"
                       : "the Authorization header is not \"Bearer\" and one token");
    return false;
}

static bool refuse_unknown(struct request *request)
{
    reply_header(request, "WWW-Authenticate", REALM ", error=\"invalid_token\"");
    problem_answer(request, ERR_UNAUTHORIZED, "check the token; one that was replaced is refused at once",
                   "this server does not know the token");
    return false;
}

static bool refuse_scope(struct request *request, const struct token *token, enum scope needed)
{
    reply_header(
        request, "WWW-Authenticate",
        request_printf(request, REALM ", error=\"insufficient_scope\", scope=\"%s\"", scope_word(needed)));
    problem_answer(request, ERR_FORBIDDEN,
                   request_printf(request, "use a token with the scope %s or admin", scope_word(needed)),
                   "%s %s needs the scope %s, which the token %s does not have", request->method,
                   request->route->path, scope_word(needed), token->name);
    return false;
}

/* *token is NULL where none is needed; borrowed from the rules, until they are refreshed. */
static bool identify(struct request *request, const struct token **token)
{
    const struct access_rules *rules = http_rules(request);
    const char *value = request->headers[HEADER_AUTHORIZATION];
    uint8_t hash[TOKEN_HASH_BYTES];
    struct text secret;
    *token = NULL;
    if (rules->mode != AUTH_TOKEN)
        return true;
    if (request->header_counts[HEADER_AUTHORIZATION] != 1 || !bearer_read(value, &secret))
        return refuse_nobody(request);
    token_hash(secret.at, secret.bytes, hash);
    *token = token_find(rules->tokens, rules->token_count, hash);
    return *token != NULL || refuse_unknown(request);
}

bool bearer_known(struct request *request)
{
    const struct token *token;
    return identify(request, &token);
}

bool bearer_allows(struct request *request, enum scope needed)
{
    const struct token *token;
    if (needed == SCOPE_NONE)
        return true;
    if (!identify(request, &token))
        return false;
    return token == NULL || scopes_allow(token->scopes, needed) || refuse_scope(request, token, needed);
}
