#include "http_private.h"
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct request_chunk {
    struct request_chunk *next;
    max_align_t bytes[];
};

/* Only what a request can have left behind is cleared: the space is large and the hot path pays for each
 * byte. */
static void reset(struct request *request)
{
    struct buf body = {.data = request->body.data, .room = request->body.room};
    struct http_loop *loop = request->loop;
    memset(request, 0, offsetof(struct request, space));
    request->body = body;
    request->loop = loop;
    request->front = loop->front;
    request->reader = loop->reader;
    request->reply.file = -1;
    request->method = request->query = request->path = request->space;
    request->space[0] = '\0';
    request->used = 1;
    request->errand_wake.request = request->waiter_wake.request = request;
}

struct request *http_request_new(struct http_loop *loop)
{
    struct request *request = loop->recycled;
    if (request != NULL) {
        loop->recycled = request->next;
        loop->recycled_count--;
    } else {
        request = malloc(sizeof *request);
        if (request == NULL)
            return NULL;
        request->body = (struct buf){0};
    }
    request->loop = loop;
    reset(request);
    return request;
}

static void release(struct request *request)
{
    job_free(request->job);
    job_free(request->ended);
    if (request->own != NULL)
        request->own_free(request->own);
    buf_fini(&request->reply.body);
    if (request->reply.file >= 0)
        close(request->reply.file);
    for (struct request_chunk *chunk = request->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
}

void http_request_free(struct request *request)
{
    struct http_loop *loop = request->loop;
    release(request);
    if (request->body.room > KEPT_BODY_BYTES || request->body.failed)
        buf_fini(&request->body);
    if (loop->recycled_count == RECYCLED_MAX) {
        buf_fini(&request->body);
        free(request);
        return;
    }
    request->next = loop->recycled;
    loop->recycled = request;
    loop->recycled_count++;
}

const struct access_rules *http_rules(struct request *request)
{
    access_refresh(front_access(request->front), &request->loop->rules);
    return &request->loop->rules;
}

struct store_reader *request_reader(struct request *request)
{
    doorbells_flush();
    return request->reader;
}

char *request_alloc(struct request *request, size_t bytes)
{
    if (bytes <= REQUEST_SPACE_BYTES - request->used) {
        char *at = request->space + request->used;
        request->used += bytes;
        return at;
    }
    struct request_chunk *chunk = malloc(sizeof *chunk + bytes);
    if (chunk == NULL)
        return NULL;
    chunk->next = request->chunks;
    request->chunks = chunk;
    return (char *)chunk->bytes;
}

void *request_new(struct request *request, size_t bytes)
{
    size_t rest = request->used % sizeof(int64_t); /* space itself is aligned, as a chunk's bytes are */
    if (rest > 0)
        request->used += sizeof(int64_t) - rest;
    void *at = request_alloc(request, bytes);
    return at != NULL ? memset(at, 0, bytes) : NULL;
}

const char *request_printf(struct request *request, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int bytes = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *at = bytes < 0 ? NULL : request_alloc(request, (size_t)bytes + 1);
    if (at != NULL)
        vsnprintf(at, (size_t)bytes + 1, format, again);
    va_end(again);
    return at != NULL ? at : "";
}

const char *request_parameter(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->parameter_count; i++) {
        if (strcmp(request->parameters[i].name, name) == 0)
            return request->parameters[i].value;
    }
    return NULL;
}

void reply_header(struct request *request, const char *name, const char *value)
{
    struct reply *reply = &request->reply;
    if (reply->header_count < REPLY_HEADERS_MAX)
        reply->headers[reply->header_count++] = (struct parameter){name, value};
}

struct buf *reply_json(struct request *request, int status)
{
    enum { USUAL_BYTES = 512 };
    request->reply.status = status;
    request->reply.content_type = "application/json";
    (void)buf_reserve(&request->reply.body, USUAL_BYTES);
    return &request->reply.body;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* No control characters, escaped or not, and escapes of two hexadecimal digits only. */
static bool target_ok(const char *text)
{
    for (; *text != '\0'; text++) {
        int byte = (unsigned char)*text;
        if (byte == '%') {
            int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0)
                return false;
            byte = high << 4 | low;
            text += 2;
        }
        if (byte < 0x20 || byte == 0x7f)
            return false;
    }
    return true;
}

/* In place, of a text that target_ok has passed. A plus sign stays one: no parameter here holds spaces, and
 * times hold
 * "+01:00". */
static void decode(char *text)
{
    char *to = strchr(text, '%');
    if (to == NULL)
        return;
    for (const char *from = to; *from != '\0'; from++) {
        if (*from == '%') {
            *to++ = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Takes the raw target apart: an absolute one (RFC 9112, 3.2.2) gives the host, the rest is path and query.
 */
bool http_request_target(struct request *request, const char *target)
{
    size_t bytes = strlen(target) + 1;
    char *copy = request_alloc(request, bytes + 2); /* the path "/" of an absolute target without one */
    if (copy == NULL)
        return false;
    request->malformed = !target_ok(target);
    memcpy(copy, target, bytes);
    request->path = copy;
    if (strncasecmp(copy, "http://", 7) == 0) {
        size_t length = strcspn(copy + 7, "/?");
        memmove(copy, copy + 7,
                length); /* to the front, over the scheme: its NUL must not fall onto the path */
        copy[length] = '\0';
        request->host = copy;
        request->path = copy + 7 + length;
    }
    char *query = strchr(request->path, '?');
    if (query != NULL)
        *query++ = '\0';
    request->query = query != NULL ? query : copy + bytes - 1;
    if (request->path[0] == '\0' && request->host != NULL)
        request->path = memcpy(copy + bytes, "/", 2);
    return true;
}

static bool take_parameter(struct request *request, char *pair)
{
    char *value = strchr(pair, '=');
    if (value != NULL)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    decode(pair);
    decode(value);
    PROBLEM_AUTO problem = {0};
    if (request->parameter_count == PARAMETERS_MAX)
        problem_set(&problem, ERR_INVALID_PARAMETER, "the query has more than %d parameters", PARAMETERS_MAX);
    else
        request->parameters[request->parameter_count++] = (struct parameter){pair, value};
    if (problem.err != ERR_OK)
        problem_reply(request, &problem);
    return problem.err == ERR_OK;
}

bool http_request_parameters(struct request *request)
{
    decode(request->path);
    for (char *pair = request->query, *next; pair != NULL && *pair != '\0'; pair = next) {
        next = strchr(pair, '&');
        if (next != NULL)
            *next++ = '\0';
        if (*pair != '\0' && !take_parameter(request, pair))
            return false;
    }
    return true;
}
