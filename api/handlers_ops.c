/* /, /livez, /readyz, /version and /openapi.json. */
#include "bearer.h"
#include "codec.h"
#include "handlers.h"
#include "routes.h"

#include <string.h>

extern const char api_openapi_json[];
extern const unsigned long api_openapi_json_bytes;

enum answer get_live(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"status\":\"alive\"}\n");
    return ANSWERED;
}

enum answer get_version(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"name\":\"forkpool\",\"version\":\"" FORKPOOL_VERSION "\",\"api\":\"v1\"}\n");
    return ANSWERED;
}

enum answer get_openapi(struct request *request)
{
    request->reply.status = 200;
    request->reply.content_type = "application/json";
    request->reply.fixed = api_openapi_json;
    request->reply.fixed_bytes = api_openapi_json_bytes;
    return ANSWERED;
}

/* ---------------------------------------------------------------------------------------------------------
 * ready */

/* What does not prevent it, but somebody should know. */
static void put_verbose(struct buf *out, struct front *front, const struct catalogue *catalogue)
{
    bool first = true;
    struct front_numbers numbers;
    front_numbers(front, &numbers);
    buf_printf(out, ",\"store_full\":%s", numbers.store_full ? "true" : "false");
    PUT(out, ",\"broken_tasks\":[");
    for (uint32_t i = 0; i < catalogue->task_count; i++) {
        const struct task *task = &catalogue->tasks[i];
        if (task->broken == 0)
            continue;
        buf_put(out, first ? "{\"task\":" : ",{\"task\":");
        buf_put_json(out, task->name, strlen(task->name));
        PUT(out, ",\"reason\":");
        buf_put_json(out, task->reason, strlen(task->reason));
        PUT(out, "}");
        first = false;
    }
    PUT(out, "],\"broken_files\":[");
    for (uint32_t i = 0; i < catalogue->fault_count; i++) {
        const struct catalogue_fault *fault = &catalogue->faults[i];
        buf_put(out, i > 0 ? ",{\"file\":" : "{\"file\":");
        buf_put_json(out, fault->file, strlen(fault->file));
        PUT(out, ",\"reason\":");
        buf_put_json(out, fault->reason, strlen(fault->reason));
        PUT(out, "}");
    }
    PUT(out, "]");
}

enum answer get_ready(struct request *request)
{
    const char *why = NULL;
    bool verbose = request_parameter(request, "verbose") != NULL;
    if (verbose && !bearer_allows(request, SCOPE_READ)) /* the route is free, the names of tasks are not */
        return ANSWERED;
    struct catalogue_ref *ref = verbose ? front_catalogue(request->front) : NULL;
    if (front_ready(request->front, &why)) {
        struct buf *out = reply_json(request, 200);
        PUT(out, "{\"status\":\"ready\"");
        if (ref != NULL)
            put_verbose(out, request->front, ref->catalogue);
        PUT(out, "}\n");
    } else {
        PROBLEM_AUTO problem = {0};
        problem_set(&problem, front_draining(request->front) ? ERR_DRAINING : ERR_STARTING, "%s",
                    why != NULL ? why : "the server is not ready");
        if (ref != NULL)
            put_verbose(&problem.extra, request->front, ref->catalogue);
        problem_reply(request, &problem);
    }
    if (ref != NULL)
        front_catalogue_drop(ref);
    return ANSWERED;
}

/* ---------------------------------------------------------------------------------------------------------
 * index */

/* The name under which the client found us, if it can stand in a page and in a command line. */
static const char *shown_host(const struct request *request)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:[]";
    const char *host = request->host;
    return host != NULL && host[0] != '\0' && host[strspn(host, ALLOWED)] == '\0' ? host : "localhost:8080";
}

/* `example` with the host in place of its one %s. */
static void put_example(struct buf *out, const char *example, const char *host)
{
    const char *gap = strstr(example, "%s");
    PUT(out, "curl ");
    buf_add(out, example, (size_t)(gap - example));
    buf_put(out, host);
    buf_put(out, gap + 2);
}

static void put_index_json(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    PUT(out, "{\"name\":\"forkpool\",\"version\":\"" FORKPOOL_VERSION
             "\",\"openapi\":\"/openapi.json\",\"routes\":[");
    for (size_t i = 0; i < route_count; i++) {
        const struct route *route = &routes[i];
        BUF_AUTO example = {0};
        buf_printf(out, "%s\n{\"method\":\"%s\",\"path\":\"%s\",\"summary\":\"%s\"", i > 0 ? "," : "",
                   route->method, route->path, route->summary);
        if (route->example != NULL) {
            put_example(&example, route->example, shown_host(request));
            PUT(out, ",\"example\":");
            buf_put_json(out, example.data, example.bytes);
        }
        PUT(out, "}");
    }
    PUT(out, "\n]}\n");
}

static void put_html(struct buf *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '<' || text[i] == '>' || text[i] == '&' || text[i] == '"')
            buf_printf(out, "&#%d;", text[i]);
        else
            buf_add(out, text + i, 1);
    }
}

static void put_index_row(struct buf *out, const struct route *route, const char *host)
{
    BUF_AUTO example = {0};
    bool link = strcmp(route->method, "GET") == 0 && strchr(route->path, '{') == NULL;
    buf_printf(out, "<tr><td>%s</td><td>", route->method);
    if (link)
        buf_printf(out, "<a href=\"%s\">%s</a>", route->path, route->path);
    else
        buf_put(out, route->path);
    buf_printf(out, "</td><td>%s</td><td><code>", route->summary);
    if (route->example != NULL)
        put_example(&example, route->example, host);
    put_html(out, example.data, example.bytes);
    PUT(out, "</code></td></tr>\n");
}

static void put_index_html(struct request *request)
{
    struct buf *out = reply_json(request, 200);
    request->reply.content_type = "text/html; charset=utf-8";
    reply_header(request, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    PUT(out,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>forkpool</title>\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem}td{padding:.1rem 1rem .1rem 0;"
        "vertical-align:top}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"
        "</style>\n<h1>forkpool " FORKPOOL_VERSION "</h1>\n<table>\n");
    for (size_t i = 0; i < route_count; i++)
        put_index_row(out, &routes[i], shown_host(request));
    PUT(out, "</table>\n</html>\n");
}

enum answer get_index(struct request *request)
{
    const char *accept = request->headers[HEADER_ACCEPT];
    reply_header(request, "Vary", "Accept");
    if (accept != NULL && strstr(accept, "text/html") != NULL)
        put_index_html(request);
    else
        put_index_json(request);
    return ANSWERED;
}
