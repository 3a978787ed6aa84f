#include "http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536, VALUE_BYTES = 64 };

void http_client_init(struct http_client *client)
{
    *client = (struct http_client){.fd = -1};
}

void http_client_close(struct http_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

void http_client_fini(struct http_client *client)
{
    http_client_close(client);
    buf_fini(&client->out);
    buf_fini(&client->in);
}

static bool connect_to(struct http_client *client, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0)
        return false;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
        return true;
    http_client_close(client);
    return false;
}

bool http_client_send(struct http_client *client, uint16_t port, const char *method, const char *path,
                      const char *headers, const char *body)
{
    client->out.bytes = client->in.bytes = client->sent = 0;
    buf_printf(&client->out, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, headers);
    if (body != NULL)
        buf_printf(&client->out, "%sContent-Length: %zu\r\n",
                   strstr(headers, "Content-Type:") == NULL ? "Content-Type: application/json\r\n" : "",
                   strlen(body));
    buf_printf(&client->out, "\r\n%s", body != NULL ? body : "");
    if (client->out.failed || (client->fd < 0 && !connect_to(client, port)))
        return false;
    return true;
}

short http_client_events(const struct http_client *client)
{
    return client->sent < client->out.bytes ? POLLOUT : POLLIN;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR || errno == EINPROGRESS || errno == ENOTCONN;
}

/* The bytes of head and body together; 0: not all of the head is there. */
static size_t answer_bytes(const struct http_client *client)
{
    char length[VALUE_BYTES];
    const char *end = client->in.bytes == 0 ? NULL : memmem(client->in.data, client->in.bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - client->in.data) + 4;
    return head + (http_client_header(client, "content-length", length, sizeof length)
                       ? strtoul(length, NULL, 10)
                       : 0);
}

/* Whether the answer is whole; http_client_body relies on the NUL. */
static bool is_whole(struct http_client *client)
{
    size_t bytes = answer_bytes(client);
    if (bytes == 0 || client->in.bytes < bytes || buf_reserve(&client->in, 1) == NULL)
        return false;
    client->in.data[bytes] = '\0';
    return true;
}

static enum http_turn broken(struct http_client *client)
{
    http_client_close(client);
    return HTTP_BROKEN;
}

static enum http_turn answered(struct http_client *client)
{
    char value[VALUE_BYTES];
    if (http_client_header(client, "connection", value, sizeof value) && strcasecmp(value, "close") == 0)
        http_client_close(client);
    return HTTP_ANSWERED;
}

enum http_turn http_client_turn(struct http_client *client)
{
    while (client->sent < client->out.bytes) {
        ssize_t bytes =
            send(client->fd, client->out.data + client->sent, client->out.bytes - client->sent, MSG_NOSIGNAL);
        if (bytes < 0)
            return would_block() ? HTTP_PENDING : broken(client);
        client->sent += (size_t)bytes;
    }
    for (;;) {
        char *room = buf_reserve(&client->in, READ_BYTES);
        if (room == NULL)
            return broken(client);
        ssize_t bytes = recv(client->fd, room, READ_BYTES, 0);
        if (bytes < 0 && would_block())
            return HTTP_PENDING;
        if (bytes <= 0)
            return broken(client);
        client->in.bytes += (size_t)bytes;
        if (is_whole(client))
            return answered(client);
    }
}

int http_client_status(const struct http_client *client)
{
    const char *text = client->in.data;
    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
}

const char *http_client_body(const struct http_client *client)
{
    return strstr(client->in.data, "\r\n\r\n") + 4;
}

bool http_client_header(const struct http_client *client, const char *name, char *value, size_t room)
{
    const char *end = memmem(client->in.data, client->in.bytes, "\r\n\r\n", 4);
    size_t bytes = strlen(name);
    for (const char *line = client->in.data; line != NULL && line < end;) {
        const char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (strncasecmp(line, name, bytes) == 0 && line[bytes] == ':') {
            const char *from = line + bytes + 1 + strspn(line + bytes + 1, " ");
            snprintf(value, room, "%.*s", (int)(stop - from), from);
            return true;
        }
        line = stop + 2;
    }
    return false;
}
