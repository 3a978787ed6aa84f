#include "config_private.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ENV_PREFIX[] = "FORKPOOL_";

/* ── names ── */

static char styled(char byte, enum config_style style)
{
    if (style == STYLE_FLAG)
        return byte == '_' ? '-' : byte;
    if (style == STYLE_ENV && byte >= 'a' && byte <= 'z')
        return (char)(byte - 'a' + 'A');
    return byte;
}

void config_put_name(char text[NAME_ROOM], const char *section, const char *key, enum config_style style)
{
    static const struct {
        const char *prefix, *joint;
    } STYLES[] = {[STYLE_KEY] = {"", "."}, [STYLE_FLAG] = {"--", "-"}, [STYLE_ENV] = {ENV_PREFIX, "_"}};
    size_t bytes = (size_t)snprintf(text, NAME_ROOM, "%s%s%s%s", STYLES[style].prefix, section,
                                    section[0] ? STYLES[style].joint : "", key);
    CHECK(bytes < NAME_ROOM);
    for (char *at = text + strlen(STYLES[style].prefix); *at != '\0'; at++)
        *at = styled(*at, style);
}

static void name_of(size_t index, enum config_style style, char text[NAME_ROOM])
{
    static const char *const OTHERS[][2] = {
        [GIVEN_FILE - GIVEN_FILE] = {"", "config"},
        [GIVEN_TOKEN - GIVEN_FILE] = {"auth", "token"},
        [GIVEN_TOKENS - GIVEN_FILE] = {"auth", "tokens"},
    };
    if (index >= GIVEN_FILE)
        config_put_name(text, OTHERS[index - GIVEN_FILE][0], OTHERS[index - GIVEN_FILE][1], style);
    else
        config_put_name(text, config_keys[index].section, config_keys[index].key, style);
}

static void name_all(struct names *names, enum config_style style)
{
    for (size_t i = 0; i < GIVEN_COUNT; i++) {
        name_of(i, style, names->text[i]);
        names->list[i] = names->text[i];
    }
}

/* GIVEN_COUNT if there is none. */
static size_t find_name(const struct names *names, const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < GIVEN_COUNT && (strlen(names->list[i]) != bytes || memcmp(names->list[i], text, bytes) != 0))
        i++;
    return i;
}

static enum err refuse_name(const struct names *names, const char *text, size_t bytes, const char *what,
                            struct buf *message)
{
    char name[NAME_ROOM * 2];
    text_copy(name, sizeof name, text, bytes);
    const char *nearest = nearest_name(name, names->list, GIVEN_COUNT);
    buf_printf(message, "%s: there is no such %s; ", name, what);
    if (nearest != NULL)
        buf_printf(message, "did you mean %s?", nearest);
    else
        buf_put(message, "forkpool serve --help lists all");
    return ERR_CONFIG;
}

/* ── flags and environment ── */

static enum err refuse_argument(const char *text, struct buf *message)
{
    config_put_quoted(message, text);
    buf_put(message,
            ": only flags are taken here, --http-listen VALUE and so on; --config FILE names the file");
    return ERR_CONFIG;
}

/* A following flag is no value: a forgotten one would swallow it. --flag=--value still says what it says. */
static enum err refuse_missing(const char *flag, const char *next, struct buf *message)
{
    buf_printf(message, "%s: a value is missing%s%s: write %s VALUE or %s=VALUE", flag,
               next ? " before " : "", next ? next : "", flag, flag);
    return ERR_CONFIG;
}

static enum err refuse_secret(const struct given *given, size_t index, struct buf *message)
{
    struct names env;
    name_all(&env, STYLE_ENV);
    buf_printf(
        message,
        "%s: a token on the command line can be read by everyone (ps); set %s, or name a file with %s",
        given->names.list[index], env.list[index],
        given->names.list[index == GIVEN_TOKEN ? CONFIG_KEY_auth_token_file : CONFIG_KEY_auth_tokens_file]);
    return ERR_CONFIG;
}

static enum err take_flags(int argc, char *const *argv, struct given *given, struct buf *message)
{
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i];
        size_t bytes = strcspn(flag, "=");
        if (flag[0] != '-' || strcmp(flag, "-") == 0 || strcmp(flag, "--") == 0)
            return refuse_argument(flag, message);
        size_t index = find_name(&given->names, flag, bytes);
        if (index == GIVEN_COUNT)
            return refuse_name(&given->names, flag, bytes, "flag", message);
        if (index == GIVEN_TOKEN || index == GIVEN_TOKENS)
            return refuse_secret(given, index, message);
        if (flag[bytes] == '=') {
            given->texts[index] = flag + bytes + 1;
            continue;
        }
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (next == NULL || strncmp(next, "--", 2) == 0)
            return refuse_missing(flag, next, message);
        given->texts[index] = next;
        i++;
    }
    return ERR_OK;
}

/* Variables with our prefix that are not configuration: those a task sees, and those of tests and benchmarks.
 */
static bool is_foreign(const char *name)
{
    static const char *const OTHERS[] = {"JOB_", "TASK_", "TEST_", "BENCH_"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        if (strncmp(name + strlen(ENV_PREFIX), OTHERS[i], strlen(OTHERS[i])) == 0)
            return true;
    }
    return false;
}

static enum err take_env(char *const *env, struct given *given, struct buf *message)
{
    for (; *env != NULL; env++) {
        const char *name = *env;
        if (strncmp(name, ENV_PREFIX, strlen(ENV_PREFIX)) != 0 || is_foreign(name))
            continue;
        size_t bytes = strcspn(name, "=");
        size_t index = find_name(&given->names, name, bytes);
        if (index == GIVEN_COUNT)
            return refuse_name(&given->names, name, bytes, "setting", message);
        given->texts[index] = name[bytes] == '=' ? name + bytes + 1 : "";
    }
    return ERR_OK;
}

/* ── loading ── */

static enum err set_defaults(struct loader *loader)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        BUF_AUTO why = {0};
        enum err err = config_value_set(&config_keys[i], loader->config, config_keys[i].fallback, &why);
        CHECK(err == ERR_OK || err == ERR_NO_MEMORY);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err read_file(struct loader *loader)
{
    const struct given *given = loader->flags.texts[GIVEN_FILE] != NULL ? &loader->flags : &loader->env;
    const char *path = given->texts[GIVEN_FILE];
    if (path == NULL)
        return ERR_OK;
    loader->config->file = strdup(path);
    if (loader->config->file == NULL)
        return ERR_NO_MEMORY;
    return config_yaml_read(path, given->names.list[GIVEN_FILE], loader->config, loader->origins,
                            loader->message);
}

static enum err apply(struct loader *loader, const struct given *given, struct config_origin origin)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        if (given->texts[i] == NULL)
            continue;
        BUF_AUTO why = {0};
        enum err err = config_value_set(&config_keys[i], loader->config, given->texts[i], &why);
        if (err == ERR_CONFIG) {
            buf_printf(loader->message, "%s: ", given->names.list[i]);
            buf_add(loader->message, why.data, why.bytes);
        }
        if (err != ERR_OK)
            return err;
        loader->origins[i] = origin;
    }
    return ERR_OK;
}

/* ── all together ── */

static enum err load(struct loader *loader, int argc, char *const *argv, char *const *env)
{
    name_all(&loader->flags.names, STYLE_FLAG);
    name_all(&loader->env.names, STYLE_ENV);
    enum err err = take_flags(argc, argv, &loader->flags, loader->message);
    if (err == ERR_OK)
        err = take_env(env, &loader->env, loader->message);
    if (err == ERR_OK)
        err = set_defaults(loader);
    if (err == ERR_OK)
        err = read_file(loader);
    if (err == ERR_OK)
        err = apply(loader, &loader->env, (struct config_origin){.source = ORIGIN_ENV});
    if (err == ERR_OK)
        err = apply(loader, &loader->flags, (struct config_origin){.source = ORIGIN_FLAG});
    if (err == ERR_OK)
        err = config_check(loader);
    return err;
}

static enum err load_as(bool client, int argc, char *const *argv, char *const *env, struct config **config,
                        struct buf *message)
{
    *config = NULL;
    BUF_AUTO sentence = {0};
    struct loader loader = {.config = calloc(1, sizeof **config), .message = &sentence, .client = client};
    if (loader.config == NULL)
        return ERR_NO_MEMORY;
    enum err err = load(&loader, argc, argv, env);
    if (err == ERR_OK) {
        *config = loader.config;
        return ERR_OK;
    }
    config_free(loader.config);
    buf_add(message, sentence.data, sentence.bytes);
    /* An error without its sentence is of no use to anyone. */
    return sentence.failed || message->failed || sentence.bytes == 0 ? ERR_NO_MEMORY : err;
}

enum err config_load(int argc, char *const *argv, char *const *env, struct config **config,
                     struct buf *message)
{
    return load_as(false, argc, argv, env, config, message);
}

enum err config_load_client(int argc, char *const *argv, char *const *env, struct config **config,
                            struct buf *message)
{
    return load_as(true, argc, argv, env, config, message);
}

static void free_entries(const struct config_list_kind *kind, struct config *config)
{
    for (size_t entry = 0; entry < *config_entry_count(kind, config); entry++) {
        for (size_t i = 0; i < kind->key_count; i++)
            config_value_free(&kind->keys[i], config_entry(kind, config, entry));
    }
    free(*(void **)((char *)config + kind->entries_at));
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        config_value_free(&config_keys[i], config);
    for (size_t i = 0; i < CONFIG_LIST_COUNT; i++)
        free_entries(&config_list_kinds[i], config);
    free(config->tokens);
    free(config->file);
    free(config->state_dir);
    free(config->store_path);
    free(config);
}
