#include "config_private.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One more name besides the keys, on the command line and in the environment: the file. */
enum { GIVEN_FILE = CONFIG_KEY_COUNT, GIVEN_COUNT, NAME_ROOM = 48 };

enum style { STYLE_KEY, STYLE_FLAG, STYLE_ENV };

/* What all keys are called in one style. */
struct names {
    char text[GIVEN_COUNT][NAME_ROOM];
    const char *list[GIVEN_COUNT];
};

/* The texts of one source; NULL where it says nothing. Borrowed from argv or environ. */
struct given {
    struct names names;
    const char *texts[GIVEN_COUNT];
};

struct loader {
    struct config *config;
    struct given flags, env;
    struct config_origin origins[CONFIG_KEY_COUNT];
    struct buf *message;
};

static const char ENV_PREFIX[] = "FORKPOOL_";

/* ── names ── */

static char styled(char byte, enum style style)
{
    if (style == STYLE_FLAG)
        return byte == '_' ? '-' : byte;
    if (style == STYLE_ENV && byte >= 'a' && byte <= 'z')
        return (char)(byte - 'a' + 'A');
    return byte;
}

/* http.max_body, --http-max-body or FORKPOOL_HTTP_MAX_BODY. */
static void put_name(char text[NAME_ROOM], const char *section, const char *key, enum style style)
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

static void name_of(size_t index, enum style style, char text[NAME_ROOM])
{
    if (index == GIVEN_FILE)
        put_name(text, "", "config", style);
    else
        put_name(text, config_keys[index].section, config_keys[index].key, style);
}

static void name_all(struct names *names, enum style style)
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

/* ── checks across keys ── */

/* Starts the sentence about a value with where it came from; a default came from nowhere. */
static enum err refuse(struct loader *loader, enum config_key_index index)
{
    const struct config_origin *origin = &loader->origins[index];
    switch (origin->source) {
    case ORIGIN_DEFAULT:
        break;
    case ORIGIN_FILE:
        buf_printf(loader->message, "%s:%d:%d: ", loader->config->file, origin->line, origin->column);
        break;
    case ORIGIN_ENV:
        buf_printf(loader->message, "%s: ", loader->env.names.list[index]);
        break;
    case ORIGIN_FLAG:
        buf_printf(loader->message, "%s: ", loader->flags.names.list[index]);
        break;
    }
    return ERR_CONFIG;
}

/* Of two settings that do not go together, the one that was set more deliberately. */
static enum err refuse_pair(struct loader *loader, enum config_key_index a, enum config_key_index b)
{
    return refuse(loader, loader->origins[b].source > loader->origins[a].source ? b : a);
}

static bool read_port(const char *text, in_port_t *port)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > 5 || strspn(text, "0123456789") != bytes)
        return false;
    long number = strtol(text, NULL, 10);
    *port = htons((uint16_t)number);
    return number <= UINT16_MAX;
}

enum err config_listen_address(const char *listen, struct sockaddr_storage *address, socklen_t *bytes)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(listen, ':');
    in_port_t port;
    if (colon == NULL || !read_port(colon + 1, &port))
        return ERR_CONFIG;
    size_t host_bytes = (size_t)(colon - listen);
    bool bracketed = host_bytes >= 2 && listen[0] == '[' && colon[-1] == ']';
    if (host_bytes - (bracketed ? 2 : 0) >= sizeof host)
        return ERR_CONFIG;
    text_copy(host, sizeof host, listen + bracketed, host_bytes - (bracketed ? 2 : 0));

    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
    *address = (struct sockaddr_storage){0};
    if (bracketed && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, *bytes = sizeof v6);
        return ERR_OK;
    }
    const char *digits = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (!bracketed && inet_pton(AF_INET, digits, &v4.sin_addr) == 1) {
        memcpy(address, &v4, *bytes = sizeof v4);
        return ERR_OK;
    }
    return ERR_CONFIG;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static enum err check_listen(struct loader *loader)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    const struct config *config = loader->config;
    if (config_listen_address(config->http_listen, &address, &bytes) != ERR_OK) {
        enum err err = refuse(loader, CONFIG_KEY_http_listen);
        buf_put(loader->message,
                "http.listen must be ADDRESS:PORT (127.0.0.1:8080, localhost:8080, 0.0.0.0:8080, "
                "[::1]:8080), not ");
        config_put_quoted(loader->message, config->http_listen);
        return err;
    }
    if (config->auth_mode != AUTH_LOOPBACK || is_loopback(&address))
        return ERR_OK;
    enum err err = refuse_pair(loader, CONFIG_KEY_http_listen, CONFIG_KEY_auth_mode);
    buf_printf(
        loader->message,
        "http.listen is %s, which is not a loopback address: anyone who reaches it could run jobs; write "
        "auth.mode: none (--auth-mode none) if that is meant, or listen on 127.0.0.1",
        config->http_listen);
    return err;
}

/* SQLite gives a meaning of its own to ":memory:" and "?mode=…"; here a path is nothing but a path. */
static bool is_file_path(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 0 && path[bytes - 1] != '/' && path[0] != ':' && strchr(path, '?') == NULL;
}

/* NULL if the URL names no file. */
static const char *sqlite_path(const char *url)
{
    static const char SCHEME[] = "sqlite:";
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
        return NULL;
    const char *path = url + strlen(SCHEME);
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    else if (path[0] == '/')
        return NULL;
    return is_file_path(path) ? path : NULL;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static enum err check_store(struct loader *loader)
{
    struct config *config = loader->config;
    const char *path = sqlite_path(config->store_url);
    if (path != NULL) {
        config->store_path = strdup(path);
        config->state_dir = folder_of(path);
        return config->store_path == NULL || config->state_dir == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    enum err err = refuse(loader, CONFIG_KEY_store_url);
    buf_put(loader->message, "store.url must be sqlite:///absolute/path or sqlite:relative/path of a file");
    /* Not quoted: it may hold a password. */
    if (strncmp(config->store_url, "postgres", strlen("postgres")) == 0) {
        buf_put(loader->message, "; postgres:// is not supported in this version");
        return err;
    }
    buf_put(loader->message, ", not ");
    config_put_quoted(loader->message, config->store_url);
    return err;
}

/* a ≥ factor × b, else a sentence with both. */
static enum err check_holds(struct loader *loader, enum config_key_index a, int factor,
                            enum config_key_index b)
{
    const struct config_key *holder = &config_keys[a], *held = &config_keys[b];
    const char *base = (const char *)loader->config;
    int64_t room, need;
    memcpy(&room, base + holder->at, sizeof room);
    memcpy(&need, base + held->at, sizeof need);
    if (room >= factor * need)
        return ERR_OK;
    enum err err = refuse_pair(loader, a, b);
    buf_printf(loader->message, "%s.%s is ", holder->section, holder->key);
    config_put_number(loader->message, holder, room);
    buf_put(loader->message, ", but must be at least ");
    if (factor > 1)
        buf_printf(loader->message, "%d times ", factor);
    buf_printf(loader->message, "%s.%s, which is ", held->section, held->key);
    config_put_number(loader->message, held, need);
    return err;
}

/* A task that sets only one of the two lives with the other from jobs.*. */
static enum err check_tasks(struct loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->task_count; i++) {
        const struct task_config *task = &config->tasks[i];
        int64_t initial =
            task->backoff_initial_ms >= 0 ? task->backoff_initial_ms : config->jobs_backoff_initial_ms;
        int64_t max = task->backoff_max_ms >= 0 ? task->backoff_max_ms : config->jobs_backoff_max_ms;
        if (initial <= max)
            continue;
        const struct config_key *key = &config_keys[CONFIG_KEY_jobs_backoff_max_ms];
        buf_printf(loader->message, "%s:%d:%d: the task %s has %s, ", config->file, task->line, task->column,
                   task->name, task->backoff_max_ms >= 0 ? "retry.max" : "jobs.backoff_max as its retry.max");
        config_put_number(loader->message, key, max);
        buf_printf(loader->message, ", below %s, ",
                   task->backoff_initial_ms >= 0 ? "retry.initial" : "jobs.backoff_initial");
        config_put_number(loader->message, key, initial);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err check_all(struct loader *loader)
{
    enum err err = check_listen(loader);
    if (err == ERR_OK)
        err = check_store(loader);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_memory_tray, 2, CONFIG_KEY_jobs_max_result);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_memory_arena, 4, CONFIG_KEY_http_max_body);
    if (err == ERR_OK)
        err = check_holds(loader, CONFIG_KEY_jobs_backoff_max_ms, 1, CONFIG_KEY_jobs_backoff_initial_ms);
    if (err == ERR_OK)
        err = check_tasks(loader);
    return err;
}

static void resolve_workers(struct config *config)
{
    const struct config_key *key = &config_keys[CONFIG_KEY_workers_count];
    if (config->workers_count != 0)
        return;
    int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
    config->workers_count = cores < 2 ? 2 : cores > key->maximum ? key->maximum : cores;
}

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
        err = check_all(loader);
    if (err == ERR_OK)
        resolve_workers(loader->config);
    return err;
}

enum err config_load(int argc, char *const *argv, char *const *env, struct config **config,
                     struct buf *message)
{
    *config = NULL;
    BUF_AUTO sentence = {0};
    struct loader loader = {.config = calloc(1, sizeof **config), .message = &sentence};
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

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        config_value_free(&config_keys[i], config);
    for (size_t task = 0; task < config->task_count; task++) {
        for (size_t i = 0; i < CONFIG_TASK_KEY_COUNT; i++)
            config_value_free(&config_task_keys[i], &config->tasks[task]);
    }
    free(config->tasks);
    free(config->file);
    free(config->state_dir);
    free(config->store_path);
    free(config);
}

/* ── help and reference ── */

/* What stands for a value in the help; the types of tasks[] never get there. */
static const char *const PLACEHOLDERS[] = {
    [CONFIG_STRING] = "TEXT",      [CONFIG_INT] = "NUMBER", [CONFIG_BYTES] = "SIZE",
    [CONFIG_DURATION] = "TIME",    [CONFIG_ENUM] = "WORD",  [CONFIG_LIST] = "A,B",
    [CONFIG_NAME] = "NAME",        [CONFIG_WORD] = "WORD",  [CONFIG_ARGV] = "[A, B]",
    [CONFIG_ENV] = "{NAME: value}"};

void config_help(struct buf *out)
{
    buf_put(out, "  --config FILE\n        the configuration file, YAML; also the only place for tasks\n");
    const char *section = NULL;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        if (section == NULL || strcmp(section, key->section) != 0)
            buf_printf(out, "\n%s:\n", key->section[0] ? key->section : "tasks");
        section = key->section;
        char flag[NAME_ROOM];
        name_of(i, STYLE_FLAG, flag);
        buf_printf(out, "  %s %s\n        %s [%s]\n", flag, PLACEHOLDERS[key->type], key->description,
                   key->fallback[0] ? key->fallback : "none");
    }
    buf_put(out,
            "\nEach flag is also a variable (--http-listen: FORKPOOL_HTTP_LISTEN) and a key of the file\n"
            "(http: {listen: …}). Flag > variable > file > default.\n");
}

static bool has_range(const struct config_key *key)
{
    return key->type == CONFIG_INT || key->type == CONFIG_BYTES || key->type == CONFIG_DURATION;
}

/* "SIZE, 1KiB to 64MiB" or "WORD". */
static void put_type(struct buf *out, const struct config_key *key)
{
    buf_put(out, PLACEHOLDERS[key->type]);
    if (!has_range(key))
        return;
    buf_put(out, ", ");
    config_put_number(out, key, key->minimum);
    buf_put(out, " to ");
    config_put_number(out, key, key->maximum);
}

void config_reference(struct buf *out)
{
    buf_put(out, "| key | flag | environment | value | default | what |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        char text[3][NAME_ROOM];
        for (size_t style = 0; style < 3; style++)
            name_of(i, (enum style)style, text[style]);
        buf_printf(out, "| `%s` | `%s` | `%s` | ", text[STYLE_KEY], text[STYLE_FLAG], text[STYLE_ENV]);
        put_type(out, &config_keys[i]);
        const char *fallback = config_keys[i].fallback;
        buf_printf(out, " | %s%s%s | %s |\n", fallback[0] ? "`" : "", fallback[0] ? fallback : "none",
                   fallback[0] ? "`" : "", config_keys[i].description);
    }
    buf_put(out, "\nEntries of `tasks` (in the file only):\n\n| key | value | what |\n|---|---|---|\n");
    for (size_t i = 0; i < CONFIG_TASK_KEY_COUNT; i++) {
        char text[NAME_ROOM];
        put_name(text, config_task_keys[i].section, config_task_keys[i].key, STYLE_KEY);
        buf_printf(out, "| `%s` | ", text);
        put_type(out, &config_task_keys[i]);
        buf_printf(out, " | %s |\n", config_task_keys[i].description);
    }
}
