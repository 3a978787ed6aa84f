#include "listen.h"

#include "clock.h"
#include "paths.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 5000, LOCK_STEP_MS = 20, PORT_WAIT_MS = 1000, PORT_STEP_MS = 5, BACKLOG = 4096 };

enum err listen_lock_state(const struct config *config, struct buf *message)
{
    char path[PATH_BYTES + 32];
    if (mkdir(config->state_dir, 0750) < 0 && errno != EEXIST) {
        buf_printf(message, "store.url: the folder %s cannot be made: %s; make it, or set --store-url",
                   config->state_dir, strerror(errno));
        return ERR_CONFIG;
    }
    snprintf(path, sizeof path, "%s/forkpool.lock", config->state_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        buf_printf(
            message,
            "store.url: the folder %s is not writable: %s; let this user write there, or set --store-url",
            config->state_dir, strerror(errno));
        return ERR_CONFIG;
    }
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS) {
            buf_printf(
                message,
                "store.url: another forkpool uses the folder of %s (its lock %s is taken): stop it, or "
                "give this one a folder of its own with --store-url",
                config->store_path, path);
            close(fd);
            return ERR_CONFIG;
        }
        clock_sleep_ms(LOCK_STEP_MS);
    }
    if (log_dirs_create(config->state_dir) != ERR_OK) {
        buf_printf(message, "store.url: %s/logs cannot be made: %s", config->state_dir, strerror(errno));
        return ERR_CONFIG;
    }
    return ERR_OK; /* the descriptor stays open on purpose: closing it would end the lock */
}

static void log_address(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?", text[INET6_ADDRSTRLEN + 16];
    int port = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        port = ntohs(six->sin6_port);
        snprintf(text, sizeof text, "[%s]:%d", host, port);
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        port = ntohs(four->sin_port);
        snprintf(text, sizeof text, "%s:%d", host, port);
    }
    LOG(SERVER_LISTEN, LOG_TEXT("address", text), LOG_INT("port", port));
}

/* The last processes of a life that was killed give up the lock of the state folder first, and this port a
 * moment later. */
static int bind_patiently(int fd, const struct sockaddr_storage *address, socklen_t bytes)
{
    int waited = 0, code;
    while ((code = bind(fd, (const struct sockaddr *)address, bytes)) < 0 && errno == EADDRINUSE &&
           waited < PORT_WAIT_MS) {
        clock_sleep_ms(PORT_STEP_MS);
        waited += PORT_STEP_MS;
    }
    return code;
}

enum err listen_open(const struct config *config, int *fd, struct buf *message)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    if (config_listen_address(config->http_listen, &address, &bytes) != ERR_OK) {
        buf_printf(message, "http.listen: \"%s\" is not ADDRESS:PORT", config->http_listen);
        return ERR_CONFIG;
    }
    int one = 1;
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind_patiently(*fd, &address, bytes) < 0 || listen(*fd, BACKLOG) < 0) {
        buf_printf(message, "http.listen: cannot listen on %s: %s%s", config->http_listen, strerror(errno),
                   errno == EADDRINUSE ? "; another program has that port: choose one with --http-listen"
                                       : "");
        if (*fd >= 0)
            close(*fd);
        return ERR_CONFIG;
    }
    log_address(*fd);
    return ERR_OK;
}
