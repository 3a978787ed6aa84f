/* Many connections over loopback, each with one request on its way; how many were answered, and after which
 * time.
 *
 *     client PROTOCOL PORT [connections=N] [seconds=S] [count=N] [body=FILE] [path=P] [paths=FILE] [type=T]
 * [tally=FILE]
 *
 * PROTOCOL: http (POSTs the body to the path, or GETs the paths in turn), beanstalk-put, gearman-put,
 * gearman-call; and those that work for ever, until SIGTERM: beanstalk-work, gearman-work. tally: a file of 8
 * bytes, in which the number of answers stands while it runs. Prints one line of JSON.
 */
#include "histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 18, WORK_BYTES = 512, EVENTS = 512 };

struct text {
    char *data;
    size_t bytes;
};

struct connection {
    int fd;
    size_t bytes; /* of what came and is not used yet */
    int64_t began;
    char in[IN_BYTES];
};

struct protocol {
    const char *name;
    void (*begin)(struct connection *connection);
    /* Uses the first message of those that came, if it is complete: its size, or 0. */
    size_t (*take)(struct connection *connection);
};

static struct {
    int connections;
    long port;
    double seconds;
    uint64_t count;
    const char *body, *path, *paths, *type, *tally;
} asked = {.connections = 1, .path = "/", .type = "application/json"};

static struct text *requests; /* sent in turn */
static size_t request_count, next_request;
static struct histogram times;
static uint64_t sent, answered, errors, *tally = &(uint64_t){0};
static int64_t end_ns = INT64_MAX, last_ns;
static volatile sig_atomic_t stopping;

static void fail(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        fail("memory");
    return memory;
}

static void put(struct connection *connection, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t did = send(connection->fd, data, bytes, MSG_NOSIGNAL);
        if (did < 0)
            fail("send");
        data += did, bytes -= (size_t)did;
    }
}

/* ── what every protocol of clients does ── */

static void ask(struct connection *connection)
{
    if ((asked.count > 0 && sent >= asked.count) || connection->began >= end_ns)
        return;
    sent++;
    struct text *request = &requests[next_request++ % request_count];
    put(connection, request->data, request->bytes);
}

static void begin_asking(struct connection *connection)
{
    connection->began = now_ns();
    ask(connection);
}

static void is_answered(struct connection *connection, bool good)
{
    int64_t now = last_ns = now_ns();
    if (good)
        answered++;
    else
        errors++;
    *tally = answered;
    histogram_add(&times, now - connection->began);
    connection->began = now;
}

static struct text *new_request(size_t bytes)
{
    requests = must(realloc(requests, (request_count + 1) * sizeof *requests));
    struct text *request = &requests[request_count++];
    *request = (struct text){must(malloc(bytes + 1)), bytes};
    return request;
}

/* ── HTTP ── */

static size_t take_http(struct connection *connection)
{
    char *end = memmem(connection->in, connection->bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    *end = '\0';
    char *length = strcasestr(connection->in, "\r\nContent-Length:");
    size_t bytes = (size_t)(end - connection->in) + 4 + (length == NULL ? 0 : strtoul(length + 17, NULL, 10));
    bool good = connection->in[9] == '2';
    *end = '\r';
    if (bytes > IN_BYTES) {
        errno = EMSGSIZE;
        fail("answer");
    }
    if (connection->bytes < bytes)
        return 0;
    if (!good && errors == 0)
        fprintf(stderr, "client: %.*s\n", (int)(bytes < 600 ? bytes : 600), connection->in);
    is_answered(connection, good);
    ask(connection);
    return bytes;
}

/* ── beanstalkd ── */

static size_t line_bytes(const struct connection *connection)
{
    const char *end = memmem(connection->in, connection->bytes, "\r\n", 2);
    return end == NULL ? 0 : (size_t)(end - connection->in) + 2;
}

static size_t take_beanstalk(struct connection *connection)
{
    size_t bytes = line_bytes(connection);
    if (bytes > 0) {
        is_answered(connection, strncmp(connection->in, "INSERTED", 8) == 0);
        ask(connection);
    }
    return bytes;
}

static void reserve(struct connection *connection)
{
    connection->began = now_ns();
    put(connection, "reserve\r\n", 9);
}

static size_t take_beanstalk_work(struct connection *connection)
{
    size_t bytes = line_bytes(connection), size;
    char command[WORK_BYTES];
    unsigned long id;
    if (bytes == 0)
        return 0;
    if (sscanf(connection->in, "RESERVED %lu %zu", &id, &size) != 2) {
        is_answered(connection, strncmp(connection->in, "DELETED", 7) == 0);
        reserve(connection);
        return bytes;
    }
    if (connection->bytes < bytes + size + 2)
        return 0;
    put(connection, command, (size_t)snprintf(command, sizeof command, "delete %lu\r\n", id));
    return bytes + size + 2;
}

/* ── gearmand ── */

enum {
    CAN_DO = 1,
    PRE_SLEEP = 4,
    NOOP = 6,
    SUBMIT_JOB = 7,
    JOB_CREATED = 8,
    GRAB_JOB = 9,
    NO_JOB = 10,
    JOB_ASSIGN = 11,
    WORK_COMPLETE = 13,
    SUBMIT_JOB_BG = 18,
    HEAD_BYTES = 12
};

static size_t packet(char *out, uint32_t type, const char *data, size_t bytes)
{
    uint32_t words[] = {htonl(type), htonl((uint32_t)bytes)};
    memcpy(out, "\0REQ", 4);
    memcpy(out + 4, words, sizeof words);
    memcpy(out + HEAD_BYTES, data, bytes);
    return HEAD_BYTES + bytes;
}

/* The size of the first packet and its type, or 0. */
static size_t packet_came(const struct connection *connection, uint32_t *type)
{
    uint32_t words[2];
    if (connection->bytes < HEAD_BYTES)
        return 0;
    memcpy(words, connection->in + 4, sizeof words);
    *type = ntohl(words[0]);
    size_t bytes = HEAD_BYTES + ntohl(words[1]);
    return connection->bytes < bytes ? 0 : bytes;
}

static size_t take_gearman(struct connection *connection, uint32_t last)
{
    uint32_t type;
    size_t bytes = packet_came(connection, &type);
    if (bytes > 0 && (type == last || type != JOB_CREATED)) {
        is_answered(connection, type == last);
        ask(connection);
    }
    return bytes;
}

static size_t take_gearman_put(struct connection *connection)
{
    return take_gearman(connection, JOB_CREATED);
}

static size_t take_gearman_call(struct connection *connection)
{
    return take_gearman(connection, WORK_COMPLETE);
}

static void can_do(struct connection *connection)
{
    char out[WORK_BYTES];
    size_t bytes = packet(out, CAN_DO, "echo", 4);
    put(connection, out, bytes + packet(out + bytes, GRAB_JOB, "", 0));
    connection->began = now_ns();
}

static size_t take_gearman_work(struct connection *connection)
{
    uint32_t type;
    char out[2 * WORK_BYTES + IN_BYTES];
    size_t bytes = packet_came(connection, &type), out_bytes = 0;
    if (bytes == 0)
        return 0;
    if (type == JOB_ASSIGN) { /* handle, function, arguments: the result is the arguments */
        const char *handle = connection->in + HEAD_BYTES, *args = handle + strlen(handle) + 1;
        args += strlen(args) + 1;
        char data[IN_BYTES];
        size_t handle_bytes = strlen(handle) + 1, args_bytes = (size_t)(connection->in + bytes - args);
        memcpy(data, handle, handle_bytes);
        memcpy(data + handle_bytes, args, args_bytes);
        out_bytes = packet(out, WORK_COMPLETE, data, handle_bytes + args_bytes);
        is_answered(connection, true);
    }
    out_bytes += packet(out + out_bytes, type == NO_JOB ? PRE_SLEEP : GRAB_JOB, "", 0);
    put(connection, out, out_bytes);
    return bytes;
}

static const struct protocol PROTOCOLS[] = {
    {"http", begin_asking, take_http},
    {"beanstalk-put", begin_asking, take_beanstalk},
    {"beanstalk-work", reserve, take_beanstalk_work},
    {"gearman-put", begin_asking, take_gearman_put},
    {"gearman-call", begin_asking, take_gearman_call},
    {"gearman-work", can_do, take_gearman_work},
};

/* ── the requests, made beforehand ── */

static struct text read_file(const char *path)
{
    struct text text = {0};
    if (path == NULL)
        return text;
    FILE *file = fopen(path, "r");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        fail(path);
    text.bytes = (size_t)ftell(file);
    text.data = must(calloc(1, text.bytes + 1));
    rewind(file);
    if (fread(text.data, 1, text.bytes, file) != text.bytes)
        fail(path);
    fclose(file);
    return text;
}

static void make_http(struct text body)
{
    if (asked.paths == NULL) {
        struct text *request = new_request(body.bytes + 1024);
        int head =
            snprintf(request->data, 1024,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nPrefer: return=minimal\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     asked.path, asked.type, body.bytes);
        if (body.bytes > 0)
            memcpy(request->data + head, body.data, body.bytes);
        request->bytes = (size_t)head + body.bytes;
        return;
    }
    struct text all = read_file(asked.paths);
    char *rest = all.data, *path;
    while ((path = strsep(&rest, "\n")) != NULL) {
        if (*path == '\0')
            continue;
        struct text *request = new_request(strlen(path) + 64);
        request->bytes = (size_t)sprintf(request->data, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    }
    free(all.data);
}

static void make_requests(const char *protocol, struct text body)
{
    if (strcmp(protocol, "http") == 0) {
        make_http(body);
        return;
    }
    struct text *request = new_request(body.bytes + 64);
    if (strcmp(protocol, "beanstalk-put") == 0) {
        request->bytes = (size_t)sprintf(request->data, "put 0 0 120 %zu\r\n%s\r\n", body.bytes,
                                         body.data == NULL ? "" : body.data);
        return;
    }
    char *data = must(malloc(body.bytes + 8));
    memcpy(data, "echo\0", 6); /* the task, and no id of its own */
    if (body.bytes > 0)
        memcpy(data + 6, body.data, body.bytes);
    request->bytes = packet(request->data, strcmp(protocol, "gearman-call") == 0 ? SUBMIT_JOB : SUBMIT_JOB_BG,
                            data, body.bytes + 6);
    free(data);
}

/* ── the loop ── */

static struct connection *connect_one(int poll)
{
    struct connection *connection = must(calloc(1, sizeof *connection));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)asked.port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = connection}};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (epoll_ctl(poll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail("epoll");
    return connection;
}

static void read_some(const struct protocol *protocol, struct connection *connection)
{
    ssize_t came =
        recv(connection->fd, connection->in + connection->bytes, IN_BYTES - connection->bytes, MSG_DONTWAIT);
    if (came == 0) {
        errno = ECONNRESET;
        fail("the server closed a connection");
    }
    if (came < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return;
        fail("recv");
    }
    connection->bytes += (size_t)came;
    size_t used;
    while (connection->bytes > 0 && (used = protocol->take(connection)) > 0) {
        connection->bytes -= used;
        memmove(connection->in, connection->in + used, connection->bytes);
    }
}

static bool over(bool works)
{
    return stopping || (!works && sent == answered + errors &&
                        ((asked.count > 0 && sent >= asked.count) || now_ns() >= end_ns));
}

static void loop(const struct protocol *protocol, int poll)
{
    struct epoll_event events[EVENTS];
    bool works = strstr(protocol->name, "-work") != NULL;
    while (!over(works)) {
        int count = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < count; i++)
            read_some(protocol, events[i].data.ptr);
    }
}

static void on_term(int number)
{
    (void)number;
    stopping = 1;
}

static bool parse_option(const char *option)
{
    const char *value = strchr(option, '=');
    const struct {
        const char *name;
        const char **text;
    } TEXTS[] = {{"body=", &asked.body},
                 {"path=", &asked.path},
                 {"paths=", &asked.paths},
                 {"type=", &asked.type},
                 {"tally=", &asked.tally}};
    if (value == NULL)
        return false;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        if (strncmp(option, TEXTS[i].name, strlen(TEXTS[i].name)) == 0) {
            *TEXTS[i].text = value + 1;
            return true;
        }
    }
    if (strncmp(option, "connections=", 12) == 0)
        return (asked.connections = atoi(value + 1)) > 0;
    if (strncmp(option, "seconds=", 8) == 0)
        return (asked.seconds = atof(value + 1)) > 0;
    if (strncmp(option, "count=", 6) == 0)
        return (asked.count = strtoull(value + 1, NULL, 10)) > 0;
    return false;
}

static const struct protocol *parse(int argc, char **argv)
{
    bool good = argc > 2 && (asked.port = strtol(argv[2], NULL, 10)) > 0;
    for (int i = 3; i < argc; i++)
        good = good && parse_option(argv[i]);
    for (size_t i = 0; good && i < sizeof PROTOCOLS / sizeof *PROTOCOLS; i++) {
        if (strcmp(argv[1], PROTOCOLS[i].name) == 0)
            return &PROTOCOLS[i];
    }
    fputs("usage: client PROTOCOL PORT [connections=N] [seconds=S] [count=N] [body=FILE] [path=P] "
          "[paths=FILE] [type=T] "
          "[tally=FILE]\nprotocols:",
          stderr);
    for (size_t i = 0; i < sizeof PROTOCOLS / sizeof *PROTOCOLS; i++)
        fprintf(stderr, " %s", PROTOCOLS[i].name);
    fputs("\n", stderr);
    exit(2);
}

static void open_tally(void)
{
    int fd = open(asked.tally, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *tally) != 0)
        fail(asked.tally);
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (tally == MAP_FAILED)
        fail(asked.tally);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct protocol *protocol = parse(argc, argv);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    if (asked.tally != NULL)
        open_tally();
    struct text body = read_file(asked.body);
    make_requests(protocol->name, body);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct connection **all = must(calloc((size_t)asked.connections, sizeof(struct connection *)));
    for (int i = 0; i < asked.connections; i++)
        all[i] = connect_one(poll);
    int64_t began = last_ns = now_ns();
    if (asked.seconds > 0)
        end_ns = began + (int64_t)(asked.seconds * 1e9);
    for (int i = 0; i < asked.connections; i++)
        protocol->begin(all[i]);
    loop(protocol, poll);
    printf("{\"answered\":%llu,\"errors\":%llu,\"seconds\":%.6f,\"times\":", (unsigned long long)answered,
           (unsigned long long)errors, (double)(last_ns - began) / 1e9);
    histogram_print(&times);
    printf("}\n");
    return 0;
}
