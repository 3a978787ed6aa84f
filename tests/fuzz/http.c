/* Raw bytes into the HTTP loop, routes and handlers, on a real front. The first byte says in what pieces they
 * come ('0': all at once). The client then closes its half and reads to the end.
 *
 * Whatever comes: no crash; the connection ends; the answers are HTTP/1.1, and what says it is JSON is JSON.
 */
#include "http_loop.c" /* for its single steps */

#include "front_rig.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { TURNS_MOST = 3000, ANSWER_MOST = 4 << 20 };

static struct http_loop loop;
static struct sockaddr_in address; /* where it listens */

static int listen_anywhere(void)
{
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    HOLDS(fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0 && listen(fd, 1) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &bytes) == 0,
          "a socket");
    return fd;
}

static void loop_up(void)
{
    int fd = listen_anywhere();
    rig_up();
    rig_settle();
    rig_ok(http_loop_open(&loop, &rig.front, fd), "a loop");
    close(fd);
}

static void loop_down(void)
{
    http_connections_drop(&loop);
    http_loop_close(&loop);
    rig_down();
}

/* A turn of the loop without its sleep. */
static void loop_turn(void)
{
    uint64_t spent;
    (void)!read(loop.event_fd, &spent, sizeof spent);
    loop.now_ns = clock_mono_ns();
    for (struct http_connection *at = loop.lingering.first, *next; at != NULL; at = next) {
        next = at->next;
        http_connection_drain(&loop, at);
    }
    take_wakes(&loop);
    take_deadlines(&loop);
    loop.next_sweep_ns = 0;
    sweep(&loop);
    loop.closed = false;
    MHD_run(loop.daemon);
}

/* As if an hour had passed: nobody waits for what does not come. */
static void end_patience(void)
{
    for (struct request *request = loop.suspended, *next; request != NULL; request = next) {
        next = request->next;
        if (request->deadline_at == 0)
            continue;
        http_deadline_remove(request);
        request->expired = true;
        go_on(request, NULL);
    }
    for (struct http_connection *at = loop.idle.first; at != NULL; at = at->next)
        at->since_ns = loop.now_ns - 3600 * NS_PER_SEC;
    for (struct http_connection *at = loop.lingering.first; at != NULL; at = at->next)
        at->since_ns = loop.now_ns - 3600 * NS_PER_SEC;
}

/* Over loopback, not a pair of sockets: libmicrohttpd treats what is no TCP differently. Closed by a reset,
 * so that no port waits for two minutes. */
static int connect_to_loop(void)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0 &&
              connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
              fcntl(fd, F_SETFL, O_NONBLOCK) == 0,
          "a connection");
    return fd;
}

/* False once the other side has closed. */
static bool receive(int fd, struct buf *answer)
{
    static char chunk[65536];
    ssize_t bytes;
    while ((bytes = recv(fd, chunk, sizeof chunk, 0)) > 0)
        buf_add(answer, chunk, (size_t)bytes);
    HOLDS(answer->bytes < ANSWER_MOST, "an answer without end");
    return bytes != 0 && (errno == EAGAIN || errno == EINTR);
}

static void send_all(int fd, struct input input, size_t piece, struct buf *answer)
{
    while (input.bytes > 0) {
        ssize_t sent = send(fd, input.data, piece < input.bytes ? piece : input.bytes, MSG_NOSIGNAL);
        if (sent > 0)
            (void)input_take(&input, (size_t)sent);
        loop_turn();
        if (!receive(fd, answer) || (sent < 0 && errno != EAGAIN))
            return;
        rig_step();
    }
}

static void exchange(struct input input, size_t piece, struct buf *answer)
{
    int fd = connect_to_loop(), turns = 0;
    send_all(fd, input, piece, answer);
    shutdown(fd, SHUT_WR);
    for (loop_turn(); receive(fd, answer); loop_turn()) {
        HOLDS(++turns < TURNS_MOST, "the connection does not end");
        rig_step();
        if (turns % 8 == 0)
            end_patience();
    }
    close(fd);
    for (turns = 0; loop.suspended != NULL || loop.idle.first != NULL || loop.lingering.first != NULL;
         turns++) { /* who was still at it when the client closed */
        HOLDS(turns < TURNS_MOST, "something of the connection stays");
        rig_step();
        end_patience();
        loop_turn();
    }
}

/* --- what came back --- */

struct head {
    int status;
    bool chunked, json, ours;
    size_t length; /* SIZE_MAX: not said */
};

static bool is_header(const char *line, const char *name, const char **value)
{
    size_t bytes = strlen(name);
    if (strncasecmp(line, name, bytes) != 0 || line[bytes] != ':')
        return false;
    *value = line + bytes + 1 + strspn(line + bytes + 1, " ");
    return true;
}

/* One line of the answer without its CR LF, as a text; the caller frees it. */
static char *answer_line(struct input *rest)
{
    struct input line = input_line(rest);
    HOLDS(line.bytes > 0 && line.data[line.bytes - 1] == '\r', "a line without CR LF: %.*s", (int)line.bytes,
          (const char *)line.data);
    HOLDS(memchr(line.data, '\0', line.bytes) == NULL &&
              memchr(line.data, '\r', line.bytes) == line.data + line.bytes - 1,
          "a control character in a header");
    line.bytes--;
    return input_text(line);
}

static struct head read_head(struct input *rest)
{
    struct head head = {.length = SIZE_MAX};
    const char *value;
    char *line = answer_line(rest), reason;
    HOLDS(sscanf(line, "HTTP/1.%*[01] %3d %c", &head.status, &reason) == 2 && head.status >= 100 &&
              head.status < 600,
          "no status line: %s", line);
    for (free(line); *(line = answer_line(rest)) != '\0'; free(line)) {
        HOLDS(strchr(line, ':') != NULL, "no header: %s", line);
        if (is_header(line, "Content-Length", &value)) {
            HOLDS(head.length == SIZE_MAX, "two lengths");
            head.length = (size_t)strtoull(value, NULL, 10);
        } else if (is_header(line, "Transfer-Encoding", &value)) {
            head.chunked = true;
        } else if (is_header(line, "X-Request-Id", &value)) {
            head.ours = true;
        } else if (is_header(line, "Content-Type", &value)) {
            head.json = strncmp(value, "application/json", 16) == 0 ||
                        strncmp(value, "application/problem+json", 24) == 0;
        }
    }
    free(line);
    HOLDS(!head.chunked || head.length == SIZE_MAX, "a length and chunks");
    return head;
}

static bool begins_answer(const struct input *rest)
{
    return rest->bytes == 0 || (rest->bytes >= 7 && memcmp(rest->data, "HTTP/1.", 7) == 0);
}

/* head_asked: the input has HEAD in it, so the body may be missing. */
static void read_body(const struct head *head, struct input *rest, bool head_asked)
{
    if (head->status < 200 || head->status == 204 || head->status == 304 || head->length == 0 ||
        (head_asked && begins_answer(rest)))
        return;
    size_t length = head->length != SIZE_MAX ? head->length : rest->bytes;
    HOLDS(!head->chunked, "none of our answers is chunked");
    HOLDS(length <= rest->bytes, "%zu bytes are missing", length - rest->bytes);
    struct input body = input_take(rest, length);
    if (head->json)
        holds_json("an answer", (const char *)body.data, body.bytes);
}

static void check_answers(const struct buf *answer, bool head_asked)
{
    struct input rest = {(const uint8_t *)answer->data, answer->bytes};
    if (getenv("FUZZ_SHOW") != NULL) /* to look at one input */
        fwrite(answer->data, 1, answer->bytes, stderr);
    while (rest.bytes > 0) {
        struct head head = read_head(&rest);
        if (!head.ours && head.status >= 400)
            break; /* a page of libmicrohttpd's: it ends the connection, and may have its header twice */
        read_body(&head, &rest, head_asked);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char *const FLAGS[] = {"--http-listen=127.0.0.1:0", "--http-max-body=4KiB",
                                  "--http-max-bulk=16KiB",     "--http-loops=1",
                                  "--http-max-wait=1",         NULL};
    struct input input = {data, bytes};
    struct buf answer = {0};
    size_t piece = input_byte(&input) - (size_t)'0';
    rig_prepare(FLAGS);
    if (!rig.up)
        loop_up();
    exchange(input, piece == 0 || piece > 4096 ? SIZE_MAX : piece * piece, &answer);
    check_answers(&answer, memmem(input.data, input.bytes, "HEAD", 4) != NULL);
    buf_fini(&answer);
    for (int i = 0; i < 3; i++)
        rig_step();
    if (rig_is_used())
        loop_down();
    return 0;
}
