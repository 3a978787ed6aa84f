/* What the tests of the configuration share: a folder with one YAML file, and loading that must or must not
 * work. */
#ifndef FORKPOOL_TESTS_CONFIG_FIXTURE_H
#define FORKPOOL_TESTS_CONFIG_FIXTURE_H

#include "run.h"

#include "config.h"

#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/forkpool-config-XXXXXX";
static char file[sizeof folder + 8];
static char *no_env[] = {NULL};

static inline void set_up(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/f.yaml", folder);
}

static inline void tear_down(void)
{
    unlink(file);
    rmdir(folder);
}

static inline void write_bytes(const char *bytes, size_t count)
{
    FILE *out = fopen(file, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, count, out), count);
    ck_assert_int_eq(fclose(out), 0);
}

static inline void write_yaml(const char *yaml)
{
    write_bytes(yaml, strlen(yaml));
}

static inline int count_of(char *const *list)
{
    int count = 0;
    while (list[count] != NULL)
        count++;
    return count;
}

static inline struct config *load(char *const *flags, char *const *env)
{
    struct config *config;
    BUF_AUTO message = {0};
    enum err err = config_load(count_of(flags), flags, env, &config, &message);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)message.bytes, message.data);
    ck_assert_uint_eq(message.bytes, 0);
    return config;
}

static inline struct config *load_file(void)
{
    char *flags[] = {"--config", file, NULL};
    return load(flags, no_env);
}

static inline void refused(char *const *flags, char *const *env, const char *expected)
{
    struct config *config = (struct config *)folder;
    struct buf message = {0};
    ck_assert_int_eq(config_load(count_of(flags), flags, env, &config, &message), ERR_CONFIG);
    ck_assert_ptr_null(config);
    size_t bytes;
    char *text = buf_take(&message, &bytes);
    size_t path = strncmp(text, file, strlen(file)) == 0 ? strlen(file) : 0; /* differs from run to run */
    ck_assert_str_eq(text + path, expected);
    free(text);
}

static inline void refused_yaml(const char *yaml, const char *expected)
{
    char *flags[] = {"--config", file, NULL};
    write_yaml(yaml);
    refused(flags, no_env, expected);
}

static inline void refused_flag(char *flag, const char *expected)
{
    char *flags[] = {flag, NULL};
    refused(flags, no_env, expected);
}

static inline void refused_env(char *variable, const char *expected)
{
    char *flags[] = {NULL}, *env[] = {"HOME=/root", variable, NULL};
    refused(flags, env, expected);
}

static inline void add_case(Suite *suite, const char *name, void (*add)(TCase *))
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    add(tests);
    suite_add_tcase(suite, tests);
}

#endif
