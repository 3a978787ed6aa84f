#include "bearer.h"
#include "http_private.h"
#include "problem.h"
#include "routes.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *text;
    size_t bytes;
} NAMES[HEADER_COUNT] = {
#define H(name, text) [HEADER_##name] = {text, sizeof text - 1},
    HTTP_HEADERS(H)
#undef H
};

void http_refuse(struct request *request, const char *format, ...)
{
    char detail[256];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    problem_answer(request, ERR_BAD_REQUEST, NULL, "%s", detail);
    request->reply.close = true;
}

static bool is_token(const char *text, size_t bytes)
{
    static const char TOKEN[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    return bytes > 0 && strspn(text, TOKEN) >= bytes;
}

static enum MHD_Result note_header(void *context, enum MHD_ValueKind kind, const char *key, size_t key_bytes,
                                   const char *value, size_t value_bytes)
{
    struct request *request = context;
    (void)kind;
    /* "Content-Length : 5", or a bare CR that another server takes for a line's end: how requests are
     * smuggled */
    if (!is_token(key, key_bytes) || (value_bytes > 0 && memchr(value, '\r', value_bytes) != NULL)) {
        request->malformed = true;
        return MHD_NO;
    }
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (NAMES[i].bytes != key_bytes || strncasecmp(NAMES[i].text, key, key_bytes) != 0)
            continue;
        if (request->header_counts[i] == 0)
            request->headers[i] = value != NULL ? value : "";
        if (request->header_counts[i] < 2)
            request->header_counts[i]++;
        return MHD_YES;
    }
    return MHD_YES;
}

static void name_request(struct request *request)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *given = request->headers[HEADER_X_REQUEST_ID];
    size_t bytes = given != NULL ? strlen(given) : 0;
    if (bytes > 0 && bytes < REQUEST_ID_BYTES && strspn(given, ALLOWED) == bytes) {
        memcpy(request->id, given, bytes + 1);
        return;
    }
    _Static_assert((int)REQUEST_ID_BYTES >= (int)ID_TEXT_BYTES, "an id must fit");
    id_format(id_new(), request->id);
}

/* What libmicrohttpd lets pass and two servers in a row would read differently. */
static bool framing_ok(struct request *request, const char *version)
{
    const char *length = request->headers[HEADER_CONTENT_LENGTH];
    const char *coding = request->headers[HEADER_TRANSFER_ENCODING];
    if (request->header_counts[HEADER_CONTENT_LENGTH] > 1)
        http_refuse(request, "the request has two Content-Length headers");
    else if (length != NULL && coding != NULL)
        http_refuse(request, "the request has both Content-Length and Transfer-Encoding");
    else if (length != NULL && (length[0] == '\0' || length[strspn(length, "0123456789")] != '\0'))
        http_refuse(request, "Content-Length is not a number");
    else if (request->header_counts[HEADER_TRANSFER_ENCODING] > 1 ||
             (coding != NULL && strcasecmp(coding, "chunked") != 0))
        http_refuse(request, "the only Transfer-Encoding understood here is chunked");
    else if (coding != NULL && strcmp(version, "HTTP/1.1") != 0)
        http_refuse(request, "Transfer-Encoding needs HTTP/1.1");
    else if (request->header_counts[HEADER_HOST] > 1)
        http_refuse(request, "the request has two Host headers");
    else if (request->headers[HEADER_HOST] == NULL && strcmp(version, "HTTP/1.1") == 0)
        http_refuse(request, "the request has no Host header, which HTTP/1.1 demands");
    else
        return true;
    return false;
}

/* The name of "name:port", "[::1]:port" or "name"; false if it is none of these. */
static bool host_name(const char *host, char *name, size_t room)
{
    size_t bytes = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (bytes == 0 || bytes >= room || bytes > strlen(host))
        return false;
    const char *port = host + bytes;
    if (*port != '\0' && (*port != ':' || port[1 + strspn(port + 1, "0123456789")] != '\0'))
        return false;
    memcpy(name, host, bytes);
    name[bytes] = '\0';
    return true;
}

static bool is_address(char *name)
{
    struct in6_addr address;
    size_t bytes = strlen(name);
    if (name[0] != '[')
        return inet_pton(AF_INET, name, &address) == 1;
    name[bytes - 1] = '\0';
    bool is = inet_pton(AF_INET6, name + 1, &address) == 1;
    name[bytes - 1] = ']';
    return is;
}

/* A page of another site whose name was made to point here (DNS rebinding) still sends that name. Where a
 * token is needed it gets nowhere anyhow: browsers do not add one by themselves. */
static bool host_ok(struct request *request)
{
    const struct config *config = request->loop->config;
    const char *host = request->host;
    char name[256];
    if (http_rules(request)->mode != AUTH_LOOPBACK || host == NULL)
        return true;
    bool readable = host_name(host, name, sizeof name);
    if (readable && (strcasecmp(name, "localhost") == 0 || is_address(name)))
        return true;
    for (size_t i = 0; readable && i < config->http_hosts.count; i++) {
        if (strcasecmp(name, config->http_hosts.items[i]) == 0)
            return true;
    }
    problem_answer(request, ERR_BAD_HOST, NULL, "this server does not answer for the host \"%.200s\"", host);
    request->reply.close = true;
    return false;
}

/* Browsers send Origin with every POST, so a page of another site cannot make one here, even without reading.
 */
static bool origin_ok(struct request *request)
{
    const char *origin = request->headers[HEADER_ORIGIN];
    if (origin == NULL)
        return true;
    const char *authority = strstr(origin, "://");
    if (request->header_counts[HEADER_ORIGIN] == 1 && authority != NULL && request->host != NULL &&
        strcasecmp(authority + 3, request->host) == 0)
        return true;
    problem_answer(request, ERR_BAD_ORIGIN, NULL, "pages of the origin \"%.200s\" may not call this server",
                   origin);
    request->reply.close = true;
    return false;
}

size_t http_body_most(const struct request *request)
{
    const struct config *config = request->loop->config;
    return (size_t)(routes_take_lines(request) ? config->http_max_bulk : config->http_max_body);
}

void http_too_large(struct request *request, const char *bytes)
{
    const char *hint =
        routes_take_lines(request) ? "send the jobs in several requests, or raise http.max_bulk" : NULL;
    if (bytes != NULL)
        problem_answer(request, ERR_BODY_TOO_LARGE, hint,
                       "the body has %s bytes, more than the %zu that are allowed", bytes,
                       http_body_most(request));
    else
        problem_answer(request, ERR_BODY_TOO_LARGE, hint,
                       "the body has more than the %zu bytes that are allowed", http_body_most(request));
}

static bool length_ok(struct request *request)
{
    const char *length = request->headers[HEADER_CONTENT_LENGTH];
    int64_t bytes = 0, largest = (int64_t)http_body_most(request);
    for (; length != NULL && *length != '\0' && bytes <= largest; length++)
        bytes = bytes * 10 + (*length - '0');
    if (bytes <= largest)
        return true;
    http_too_large(request, request_printf(request, "%s", request->headers[HEADER_CONTENT_LENGTH]));
    request->reply.close = true;
    return false;
}

/* A body from nobody is not even read: no free route takes one. What the route needs is seen to once it is
 * known. */
static bool body_allowed(struct request *request)
{
    const char *length = request->headers[HEADER_CONTENT_LENGTH];
    bool has_body = request->headers[HEADER_TRANSFER_ENCODING] != NULL ||
                    (length != NULL && length[strspn(length, "0")] != '\0');
    if (!has_body || bearer_known(request))
        return true;
    request->reply.close = true;
    return false;
}

bool http_guard(struct request *request, struct MHD_Connection *mhd, const char *version)
{
    bool target_malformed = request->malformed;
    request->malformed = false;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, note_header, request);
    name_request(request);
    if (request->malformed) {
        http_refuse(request, "a header holds a character that it may not");
        return false;
    }
    if (target_malformed) {
        http_refuse(
            request,
            "the path or query holds %%00, another control character or a %% without two hexadecimal digits");
        return false;
    }
    if (!framing_ok(request, version))
        return false;
    if (request->path[0] != '/') {
        http_refuse(request, "the target must begin with / or http://");
        return false;
    }
    if (request->host == NULL)
        request->host = request->headers[HEADER_HOST];
    return host_ok(request) && origin_ok(request) && body_allowed(request) &&
           http_request_parameters(request) && length_ok(request);
}
