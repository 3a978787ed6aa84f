#include "run.h"

#include "http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_client client;
static int listener, peer;
static uint16_t port;

static void begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    port = ntohs(address.sin_port);
    ck_assert_int_eq(listen(listener, 4), 0);
    peer = -1;
    http_client_init(&client);
}

static void end(void)
{
    http_client_fini(&client);
    if (peer >= 0)
        close(peer);
    close(listener);
}

/* Asks, and what the server hears, NUL-terminated. */
static const char *heard(const char *method, const char *headers, const char *body)
{
    static char text[4096];
    ck_assert(http_client_send(&client, port, method, "/v1/jobs", headers, body));
    if (peer < 0)
        peer = accept(listener, NULL, NULL);
    ck_assert_int_eq(http_client_turn(&client), HTTP_PENDING);
    ssize_t bytes = recv(peer, text, sizeof text - 1, 0);
    ck_assert_int_gt(bytes, 0);
    text[bytes] = '\0';
    return text;
}

static void say(const char *text)
{
    ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static enum http_turn turn(void)
{
    struct pollfd polled = {.fd = client.fd, .events = http_client_events(&client)};
    poll(&polled, 1, 2000);
    return http_client_turn(&client);
}

START_TEST(a_request_is_sent_whole_and_its_answer_is_read)
{
    char type[32];
    ck_assert_str_eq(heard("POST", "Idempotency-Key: a\r\n", "{\"task\":\"t\"}"),
                     "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\n"
                     "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"task\":\"t\"}");
    say("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull");
    ck_assert_int_eq(turn(), HTTP_ANSWERED);
    ck_assert_int_eq(http_client_status(&client), 202);
    ck_assert_str_eq(http_client_body(&client), "null");
    ck_assert(http_client_header(&client, "content-type", type, sizeof type));
    ck_assert_str_eq(type, "application/json");
    ck_assert(!http_client_header(&client, "content", type, sizeof type));
}
END_TEST

START_TEST(an_answer_may_come_in_pieces)
{
    heard("GET", "", NULL);
    say("HTTP/1.1 200 OK\r\nContent-Le");
    ck_assert_int_eq(turn(), HTTP_PENDING);
    say("ngth: 5\r\n\r\n12");
    ck_assert_int_eq(turn(), HTTP_PENDING);
    say("345");
    ck_assert_int_eq(turn(), HTTP_ANSWERED);
    ck_assert_str_eq(http_client_body(&client), "12345");
}
END_TEST

START_TEST(a_connection_serves_one_request_after_another)
{
    heard("GET", "", NULL);
    say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    ck_assert_int_eq(turn(), HTTP_ANSWERED);
    ck_assert_ptr_nonnull(strstr(heard("GET", "", NULL), "GET /v1/jobs"));
    say("HTTP/1.1 204 No Content\r\n\r\n");
    ck_assert_int_eq(turn(), HTTP_ANSWERED);
    ck_assert_int_eq(http_client_status(&client), 204);
    ck_assert_str_eq(http_client_body(&client), "");
}
END_TEST

START_TEST(after_connection_close_the_next_request_has_a_new_one)
{
    heard("GET", "", NULL);
    say("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    ck_assert_int_eq(turn(), HTTP_ANSWERED);
    ck_assert_int_eq(client.fd, -1);
    close(peer);
    peer = -1;
    ck_assert_ptr_nonnull(strstr(heard("GET", "", NULL), "GET /v1/jobs"));
}
END_TEST

START_TEST(a_connection_that_ends_amid_an_answer_is_broken)
{
    heard("GET", "", NULL);
    say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12");
    close(peer);
    peer = -1;
    ck_assert_int_eq(turn(), HTTP_BROKEN);
    ck_assert_int_eq(client.fd, -1);
}
END_TEST

START_TEST(where_nobody_listens_nothing_is_answered)
{
    close(listener);
    listener = -1;
    bool sent = http_client_send(&client, port, "GET", "/", "", NULL);
    ck_assert(!sent || turn() == HTTP_BROKEN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_client");
    TCase *tests = tcase_create("client");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, a_request_is_sent_whole_and_its_answer_is_read);
    tcase_add_test(tests, an_answer_may_come_in_pieces);
    tcase_add_test(tests, a_connection_serves_one_request_after_another);
    tcase_add_test(tests, after_connection_close_the_next_request_has_a_new_one);
    tcase_add_test(tests, a_connection_that_ends_amid_an_answer_is_broken);
    tcase_add_test(tests, where_nobody_listens_nothing_is_answered);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
