/* A small HTTP/1.1 client: one keep-alive connection to a loopback port, one request at a time, never
 * blocking.
 *
 * For `forkpool torture`, whose one thread has many of them. The calling loop:
 *
 *     if (http_client_send(&client, port, text, bytes))      connects if need be
 *         while ((turn = http_client_turn(&client)) == HTTP_PENDING)
 *             poll(client.fd, http_client_events(&client));
 *
 * After HTTP_ANSWERED the answer stands until the next call; after HTTP_BROKEN the connection is closed, and
 * whether the server has heard the request is not known. Answers must have a Content-Length, or no body (204,
 * 304): that is what forkpool sends. Owns its buffers; http_client_fini closes all.
 */
#ifndef FORKPOOL_HTTP_CLIENT_H
#define FORKPOOL_HTTP_CLIENT_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

struct http_client {
    int fd; /* -1: not connected */
    struct buf out, in;
    size_t sent;
};

enum http_turn { HTTP_PENDING, HTTP_ANSWERED, HTTP_BROKEN };

void http_client_init(struct http_client *client);
void http_client_fini(struct http_client *client);
void http_client_close(struct http_client *client);

/* method and path, and JSON as the body (NULL: none) unless the headers have another Content-Type; headers:
 * whole lines, "" for none. False: there is no connection to be had, nothing was sent. */
bool http_client_send(struct http_client *client, uint16_t port, const char *method, const char *path,
                      const char *headers, const char *body);
short http_client_events(const struct http_client *client);
enum http_turn http_client_turn(struct http_client *client);

/* Of the answer. The body is NUL-terminated. A header's value, false if it is not there; names in lower case.
 */
int http_client_status(const struct http_client *client);
const char *http_client_body(const struct http_client *client);
bool http_client_header(const struct http_client *client, const char *name, char *value, size_t room);

#endif
