#include "run.h"

#include "clock.h"
#include "listen.h"
#include "log.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct config config;
static char text[32];

/* Something else listens; its descriptor. */
static int occupy(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    config.http_listen = text;
    log_set_level(LOG_LEVEL_COUNT);
    return fd;
}

START_TEST(a_port_that_somebody_keeps_is_refused_with_its_name)
{
    BUF_AUTO message = {0};
    int other = occupy(), fd;
    ck_assert_int_eq(listen_open(&config, &fd, &message), ERR_CONFIG);
    buf_add(&message, "", 1);
    ck_assert_ptr_nonnull(strstr(message.data, text));
    ck_assert_ptr_nonnull(strstr(message.data, "another program has that port"));
    close(other);
}
END_TEST

/* As after kill -9 of everything: the lock is free, and somebody who dies has the port for a moment longer.
 */
START_TEST(a_port_that_is_about_to_be_given_up_is_waited_for)
{
    BUF_AUTO message = {0};
    int other = occupy(), fd = -1;
    pid_t dying = fork();
    if (dying == 0) {
        clock_sleep_ms(200);
        _exit(0);
    }
    close(other);
    ck_assert_int_eq(listen_open(&config, &fd, &message), ERR_OK);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(waitpid(dying, NULL, 0), dying);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listen");
    TCase *tests = tcase_create("port");
    tcase_add_test(tests, a_port_that_somebody_keeps_is_refused_with_its_name);
    tcase_add_test(tests, a_port_that_is_about_to_be_given_up_is_waited_for);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
