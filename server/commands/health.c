#include "health.h"

#include "config.h"
#include "json.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT_S = 2, HOST_BYTES = 256, PORT_BYTES = 6, ANSWER_BYTES = 16384, LINE_BYTES = 1024 };

struct target {
    char host[HOST_BYTES], port[PORT_BYTES]; /* of an IPv6 address without its brackets */
    char name[HOST_BYTES + 32];              /* for people: http://127.0.0.1:8080/readyz */
};

struct answer {
    char text[ANSWER_BYTES + 1]; /* NUL-terminated */
    size_t bytes;
};

/* What the alarm says; written before each step, so that the handler has nothing to format. */
static char late_line[LINE_BYTES];
static size_t late_bytes;

/* One line on standard error; what came from elsewhere may not break it. */
static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    for (char *at = line; *at != '\0'; at++)
        if (iscntrl((unsigned char)*at))
            *at = ' ';
    fprintf(stderr, "forkpool: %s\n", line);
    return EXIT_FAILURE;
}

/* --- the time limit: one alarm for all of it, name resolution included --- */

static void give_up(int signal_number)
{
    (void)signal_number;
    if (write(STDERR_FILENO, late_line, late_bytes) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

static void set_alarm(void)
{
    struct sigaction action = {.sa_handler = give_up};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaction(SIGALRM, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* whoever started us may have blocked it */
    alarm(LIMIT_S);
}

/* What happens now, for the case that it takes too long. An alarm amid the change would show half a line, so
 * it waits. */
static void step(const struct target *target, const char *what)
{
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, &before);
    int bytes = snprintf(late_line, sizeof late_line, "forkpool: not ready: %s: %s within %d s\n",
                         target->name, what, LIMIT_S);
    late_bytes = bytes < (int)sizeof late_line ? (size_t)bytes : sizeof late_line - 1;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* --- where to ask --- */

static void name_target(struct target *target)
{
    bool six = strchr(target->host, ':') != NULL;
    snprintf(target->name, sizeof target->name, "http://%s%s%s:%s/readyz", six ? "[" : "", target->host,
             six ? "]" : "", target->port);
}

/* http://HOST[:PORT], HOST an address, [an IPv6 address] or a name; "/" and "/readyz" may follow. */
static bool parse_url(const char *url, struct target *target)
{
    static const char SCHEME[] = "http://";
    if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
        return false;
    const char *host = url + strlen(SCHEME);
    bool bracketed = host[0] == '[';
    host += bracketed;
    size_t bytes = strcspn(host, bracketed ? "]" : ":/?#@[]");
    if (bytes == 0 || bytes >= sizeof target->host || (bracketed && host[bytes] != ']'))
        return false;
    snprintf(target->host, sizeof target->host, "%.*s", (int)bytes, host);
    const char *rest = host + bytes + bracketed;
    snprintf(target->port, sizeof target->port, "80");
    if (rest[0] == ':') {
        size_t digits = strspn(rest + 1, "0123456789");
        if (digits == 0 || digits >= sizeof target->port)
            return false;
        snprintf(target->port, sizeof target->port, "%.*s", (int)digits, rest + 1);
        rest += 1 + digits;
    }
    long port = strtol(target->port, NULL, 10);
    return port >= 1 && port <= UINT16_MAX &&
           (rest[0] == '\0' || strcmp(rest, "/") == 0 || strcmp(rest, "/readyz") == 0);
}

static int target_from_url(const char *url, struct target *target)
{
    if (!parse_url(url, target))
        return complain("--url: \"%s\" is not http://ADDRESS:PORT (http://127.0.0.1:8080, http://[::1]:8080)",
                        url);
    name_target(target);
    return EXIT_SUCCESS;
}

/* Who listens everywhere also listens on loopback. */
static void put_address(struct sockaddr_storage *address, struct target *target)
{
    in_port_t port;
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
            six->sin6_addr = in6addr_loopback;
        inet_ntop(AF_INET6, &six->sin6_addr, target->host, sizeof target->host);
        port = six->sin6_port;
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)address;
        if (four->sin_addr.s_addr == htonl(INADDR_ANY))
            four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        inet_ntop(AF_INET, &four->sin_addr, target->host, sizeof target->host);
        port = four->sin_port;
    }
    snprintf(target->port, sizeof target->port, "%u", ntohs(port));
}

/* The configuration as `serve` reads it, but for the access to it: the server may have got that by flags or
 * files that are not seen here, and /readyz is free. */
static int load_config(int argc, char *const *argv, struct config **config)
{
    BUF_AUTO message = {0};
    if (config_load_client(argc, argv, environ, config, &message) == ERR_OK)
        return EXIT_SUCCESS;
    return complain("%.*s", (int)message.bytes, message.bytes > 0 ? message.data : "");
}

static int target_from_config(int argc, char *const *argv, struct target *target)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    struct config *config;
    if (load_config(argc, argv, &config) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int status = EXIT_SUCCESS;
    if (config_listen_address(config->http_listen, &address, &bytes) != ERR_OK)
        status = complain("http.listen: \"%s\" is not ADDRESS:PORT", config->http_listen);
    else
        put_address(&address, target);
    if (status == EXIT_SUCCESS && strcmp(target->port, "0") == 0)
        status = complain("http.listen is %s, a port of the system's choice: name it with --url "
                          "http://ADDRESS:PORT",
                          config->http_listen);
    config_free(config);
    name_target(target);
    return status;
}

static int find_target(int argc, char *const *argv, struct target *target)
{
    static const char FLAG[] = "--url";
    if (argc == 0 || strncmp(argv[0], FLAG, strlen(FLAG)) != 0)
        return target_from_config(argc, argv, target);
    const char *rest = argv[0] + strlen(FLAG);
    if (rest[0] == '=' && argc == 1)
        return target_from_url(rest + 1, target);
    if (rest[0] == '\0' && argc == 2)
        return target_from_url(argv[1], target);
    return complain("usage: forkpool health [--url http://ADDRESS:PORT], or the flags of forkpool serve");
}

/* --- asking --- */

static int connect_to(const struct target *target, int *fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    step(target, "its name was not resolved");
    int code = getaddrinfo(target->host, target->port, &hints, &found);
    if (code != 0)
        return complain("not ready: %s: the name %s is not resolved: %s", target->name, target->host,
                        gai_strerror(code));
    step(target, "no connection");
    int why = 0;
    *fd = -1;
    for (struct addrinfo *one = found; one != NULL && *fd < 0; one = one->ai_next) {
        *fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (*fd >= 0 && connect(*fd, one->ai_addr, one->ai_addrlen) == 0)
            break;
        why = errno;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    freeaddrinfo(found);
    if (*fd >= 0)
        return EXIT_SUCCESS;
    return complain("not ready: %s: %s%s", target->name, strerror(why),
                    why == ECONNREFUSED ? "; nothing listens there" : "");
}

static int send_request(const struct target *target, int fd)
{
    char request[HOST_BYTES + 256];
    bool six = strchr(target->host, ':') != NULL;
    int bytes = snprintf(request, sizeof request,
                         "GET /readyz HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: forkpool-health/%s\r\n"
                         "Accept: application/json\r\nConnection: close\r\n\r\n",
                         six ? "[" : "", target->host, six ? "]" : "", target->port, FORKPOOL_VERSION);
    step(target, "no answer");
    /* So few bytes always fit into a fresh connection at once. */
    if (send(fd, request, (size_t)bytes, MSG_NOSIGNAL) != bytes)
        return complain("not ready: %s: %s", target->name, strerror(errno));
    return EXIT_SUCCESS;
}

/* More of the answer; 0 at its end, -1 and errno on errors. */
static ssize_t read_more(int fd, struct answer *answer)
{
    size_t room = ANSWER_BYTES - answer->bytes;
    ssize_t bytes = room == 0 ? 0 : recv(fd, answer->text + answer->bytes, room, 0);
    if (bytes > 0)
        answer->bytes += (size_t)bytes;
    answer->text[answer->bytes] = '\0';
    return bytes;
}

/* The status of "HTTP/1.1 200 OK\r\n…", 0 if this is no HTTP. */
static int status_of(const struct answer *answer)
{
    const char *text = answer->text;
    if (strncmp(text, "HTTP/1.", strlen("HTTP/1.")) != 0 || !isdigit((unsigned char)text[7]) ||
        text[8] != ' ' || strspn(text + 9, "0123456789") != 3)
        return 0;
    return (int)strtol(text + 9, NULL, 10);
}

/* The sentence of a problem document, or "". */
static void find_detail(const struct answer *answer, char *out, size_t room)
{
    struct json_scan scan;
    const char *body = strstr(answer->text, "\r\n\r\n");
    out[0] = '\0';
    if (body == NULL || json_scan(body + 4, strlen(body + 4), &scan, NULL) != ERR_OK || scan.type != '{')
        return;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        if (json_key_is(scan.members[i].key, "detail") && !json_text(scan.members[i].value, out, room))
            out[0] = '\0';
}

/* A ready server has said so in its first line; why one is not, stands in the body. */
static int read_answer(const struct target *target, int fd)
{
    static struct answer answer;
    char detail[LINE_BYTES / 2], late[64];
    ssize_t bytes;
    bool known = false;
    while ((bytes = read_more(fd, &answer)) > 0) {
        if (known || strstr(answer.text, "\r\n") == NULL)
            continue;
        known = true;
        int status = status_of(&answer);
        if (status == 200)
            return EXIT_SUCCESS;
        snprintf(late, sizeof late, "status %d, and no end of the answer", status);
        step(target, late);
    }
    if (answer.bytes == 0)
        return complain("not ready: %s: the connection was closed without an answer%s%s", target->name,
                        bytes < 0 ? ": " : "", bytes < 0 ? strerror(errno) : "");
    int status = status_of(&answer);
    if (status == 0)
        return complain("not ready: %s: what answers there does not speak HTTP", target->name);
    find_detail(&answer, detail, sizeof detail);
    return complain("not ready: %s: status %d%s%s", target->name, status, detail[0] ? ": " : "", detail);
}

int health_main(int argc, char *const *argv)
{
    struct target target;
    int fd;
    if (find_target(argc, argv, &target) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    set_alarm();
    if (connect_to(&target, &fd) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int status = send_request(&target, fd);
    if (status == EXIT_SUCCESS)
        status = read_answer(&target, fd);
    close(fd);
    return status;
}
