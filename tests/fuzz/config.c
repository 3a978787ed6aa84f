/* A configuration file; or, if the first line is "#env", one variable of the environment a line. What is
 * refused has a sentence; what is taken is sound, and can be taken again. */
#include "fuzz.h"

#include "config.h"
#include "job.h"
#include "log.h"

#include <sys/mman.h>
#include <unistd.h>

enum { VARIABLES = 8 };

static int file_fd = -1;
static char path[64];

static void check_names(const struct config *config)
{
    HOLDS(config->pool_count > 0 && strcmp(config->pools[0].name, "default") == 0, "no default pool");
    for (size_t i = 0; i < config->pool_count; i++)
        HOLDS(job_name_ok(config->pools[i].name) && config->pools[i].workers > 0, "a pool");
    for (size_t i = 0; i < config->queue_count; i++)
        HOLDS(job_name_ok(config->queues[i].name), "a queue");
    for (size_t i = 0; i < config->task_count; i++)
        HOLDS(job_name_ok(config->tasks[i].name), "a task");
}

static void check(const struct config *config)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    check_names(config);
    HOLDS(config_listen_address(config->http_listen, &address, &bytes) == ERR_OK, "no address: %s",
          config->http_listen);
    HOLDS(config->workers_count > 0 && config->http_loops > 0 && config->http_max_body > 0, "a number");
    for (size_t i = 0; i < config->schedule_count; i++)
        holds_json("the job of a schedule", config->schedules[i].job, strlen(config->schedules[i].job));
}

static enum err load(int argc, char **argv, char **env, bool client)
{
    struct config *config = NULL;
    struct buf message = {0};
    enum err err = client ? config_load_client(argc, argv, env, &config, &message)
                          : config_load(argc, argv, env, &config, &message);
    if (err != ERR_OK) {
        HOLDS(err == ERR_CONFIG && config == NULL && message.bytes > 0, "refused without a sentence: %s",
              err_code(err));
    } else {
        HOLDS(message.bytes == 0, "taken, and a sentence: %.*s", (int)message.bytes, message.data);
        if (!client)
            check(config);
    }
    buf_fini(&message);
    config_free(config);
    return err;
}

static void with_env(struct input input)
{
    char *env[VARIABLES + 1] = {NULL};
    for (size_t i = 0; i < VARIABLES && input.bytes > 0; i++)
        env[i] = input_text(input_line(&input));
    (void)load(0, env + VARIABLES, env, false);
    for (size_t i = 0; i < VARIABLES; i++)
        free(env[i]);
}

static void with_file(const uint8_t *data, size_t bytes)
{
    char *argv[] = {"--config", path, NULL}, *env[] = {NULL};
    HOLDS(ftruncate(file_fd, 0) == 0 && pwrite(file_fd, data, bytes, 0) == (ssize_t)bytes, "the file");
    enum err err = load(2, argv, env, false);
    HOLDS(load(2, argv, env, false) == err, "once it is taken, once not");
    if (err == ERR_OK)
        HOLDS(load(2, argv, env, true) == ERR_OK, "a client refuses it");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char ENV[] = "#env\n";
    if (file_fd < 0) {
        log_set_level(LOG_ERROR);
        file_fd = memfd_create("fuzz.yaml", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file_fd);
    }
    if (bytes >= sizeof ENV - 1 && memcmp(data, ENV, sizeof ENV - 1) == 0)
        with_env((struct input){data + sizeof ENV - 1, bytes - (sizeof ENV - 1)});
    else
        with_file(data, bytes);
    return 0;
}
