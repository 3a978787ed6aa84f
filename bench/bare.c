/* The limit to compare with: a bare libmicrohttpd server that parses a POSTed JSON body and answers a little
 * JSON; a GET is answered with a document of the size of a job's.
 *
 *     bare PORT        127.0.0.1, two polling threads; ends on SIGTERM
 */
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 2, CONNECTIONS = 4096, BODY_BYTES = 4096 };

struct body {
    size_t bytes;
    char data[BODY_BYTES];
};

static const char ACCEPTED[] = "{\"id\":\"0190f4a2-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"state\":\"queued\"}";
static const char REFUSED[] = "{\"error\":\"a JSON object of at most 4096 bytes with a task is wanted\"}";

/* 1,200 bytes, as a job that waits. */
#define WORDS      "sixty-four bytes of text, which is what a member may be long...."
#define MORE_WORDS WORDS WORDS WORDS WORDS WORDS WORDS
static const char JOB[] =
    "{\"id\":\"0190f4a2-7c3b-7d1e-9f10-4b1a2c3d4e5f\",\"text\":\"" MORE_WORDS MORE_WORDS MORE_WORDS "\"}";

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request)
{
    struct body *body = *request;
    (void)context, (void)url, (void)version;
    if (body == NULL) {
        *request = body = malloc(sizeof *body);
        if (body == NULL)
            return MHD_NO;
        body->bytes = 0;
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        if (*upload_bytes > sizeof body->data - body->bytes)
            return MHD_NO;
        memcpy(body->data + body->bytes, upload, *upload_bytes);
        body->bytes += *upload_bytes;
        *upload_bytes = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0)
        return answer(connection, MHD_HTTP_OK, JOB);
    json_t *json = json_loadb(body->data, body->bytes, JSON_REJECT_DUPLICATES, NULL);
    int ok = json_string_value(json_object_get(json, "task")) != NULL;
    json_decref(json);
    return answer(connection, ok ? MHD_HTTP_ACCEPTED : MHD_HTTP_BAD_REQUEST, ok ? ACCEPTED : REFUSED);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    free(*request);
    *request = NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: bare PORT\n", stderr);
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR,
                         (struct sockaddr *)&address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, NULL, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "bare: cannot listen on 127.0.0.1:%s\n", argv[1]);
        return 1;
    }
    int number;
    sigwait(&signals, &number);
    MHD_stop_daemon(daemon);
    return 0;
}
