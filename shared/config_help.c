#include "config_private.h"

#include <stdio.h>
#include <string.h>

/* What stands for a value. */
static const char *const PLACEHOLDERS[] = {
    [CONFIG_STRING] = "TEXT",        [CONFIG_INT] = "NUMBER",          [CONFIG_BYTES] = "SIZE",
    [CONFIG_DURATION] = "TIME",      [CONFIG_ENUM] = "WORD",           [CONFIG_LIST] = "A,B",
    [CONFIG_NAME] = "NAME",          [CONFIG_WORD] = "WORD",           [CONFIG_BOOL] = "true or false",
    [CONFIG_LIMIT] = "NUMBER",       [CONFIG_RATE] = "RATE",           [CONFIG_CPUS] = "0-3,5",
    [CONFIG_TIMES] = "[TIME, TIME]", [CONFIG_CODES] = "[CODE, CODE]",  [CONFIG_ARGV] = "[A, B]",
    [CONFIG_ENV] = "{NAME: value}",  [CONFIG_JOB] = "{task: NAME, …}", [CONFIG_SCOPES] = "[A, B]",
    [CONFIG_HASH] = "sha256:HEX"};

static void name_of(const struct config_key *key, enum config_style style, char text[NAME_ROOM])
{
    config_put_name(text, key->section, key->key, style);
}

void config_help(struct buf *out)
{
    buf_put(out, "  --config FILE\n        the configuration file, YAML; also the only place for tasks, "
                 "pools, queues and\n"
                 "        schedules\n");
    const char *section = NULL;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *key = &config_keys[i];
        if (section == NULL || strcmp(section, key->section) != 0)
            buf_printf(out, "\n%s:\n", key->section[0] ? key->section : "tasks");
        section = key->section;
        char flag[NAME_ROOM];
        name_of(key, STYLE_FLAG, flag);
        buf_printf(out, "  %s %s\n        %s [%s]\n", flag, PLACEHOLDERS[key->type], key->description,
                   key->fallback[0] ? key->fallback : "none");
    }
    buf_put(
        out,
        "\nEach flag is also a variable (--http-listen: FORKPOOL_HTTP_LISTEN) and a key of the file\n"
        "(http: {listen: …}). Flag > variable > file > default. Tokens (forkpool token makes them) stand\n"
        "in auth.tokens of the file or in FORKPOOL_AUTH_TOKENS; FORKPOOL_AUTH_TOKEN is a single plain "
        "one.\n");
}

static bool has_range(const struct config_key *key)
{
    return key->type == CONFIG_INT || key->type == CONFIG_LIMIT || key->type == CONFIG_TIMES ||
           key->type == CONFIG_BYTES || key->type == CONFIG_DURATION;
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

static void put_default(struct buf *out, const char *fallback)
{
    if (fallback != NULL && fallback[0] != '\0')
        buf_printf(out, "`%s`", fallback);
    else
        buf_put(out, "none");
}

static bool has_defaults(const struct config_key *keys, size_t count)
{
    size_t i = 0;
    while (i < count && keys[i].fallback == NULL)
        i++;
    return i < count;
}

static void put_entries(struct buf *out, const char *of, const struct config_key *keys, size_t count)
{
    bool defaults = has_defaults(keys, count);
    buf_printf(out, "\nEntries of %s:\n\n| key | value |%s what |\n|---|---|%s---|\n", of,
               defaults ? " default |" : "", defaults ? "---|" : "");
    for (size_t i = 0; i < count; i++) {
        char text[NAME_ROOM];
        name_of(&keys[i], STYLE_KEY, text);
        buf_printf(out, "| `%s` | ", text);
        put_type(out, &keys[i]);
        if (defaults) {
            buf_put(out, " | ");
            put_default(out, keys[i].fallback);
        }
        buf_printf(out, " | %s |\n", keys[i].description);
    }
}

void config_reference(struct buf *out)
{
    buf_put(out, "| key | flag | environment | value | default | what |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        char text[STYLE_COUNT][NAME_ROOM];
        for (size_t style = 0; style < STYLE_COUNT; style++)
            name_of(&config_keys[i], (enum config_style)style, text[style]);
        buf_printf(out, "| `%s` | `%s` | `%s` | ", text[STYLE_KEY], text[STYLE_FLAG], text[STYLE_ENV]);
        put_type(out, &config_keys[i]);
        buf_put(out, " | ");
        put_default(out, config_keys[i].fallback);
        buf_printf(out, " | %s |\n", config_keys[i].description);
    }
    for (size_t i = 0; i < CONFIG_LIST_COUNT; i++) {
        const struct config_list_kind *kind = &config_list_kinds[i];
        char of[48];
        snprintf(of, sizeof of, "`%s` (in the file only)", kind->list);
        put_entries(out, of, kind->keys, kind->key_count);
    }
    put_entries(out, "`auth.tokens` (see [access.md](access.md) for the environment)", config_token_keys,
                CONFIG_TOKEN_KEY_COUNT);
}
