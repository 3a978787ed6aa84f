#include "config_reader.h"

#include <stdlib.h>
#include <string.h>

void *config_entry(const struct config_list_kind *kind, struct config *config, size_t i)
{
    char *entries = *(char **)((char *)config + kind->entries_at);
    return entries + i * kind->entry_bytes;
}

size_t *config_entry_count(const struct config_list_kind *kind, struct config *config)
{
    return (size_t *)((char *)config + kind->count_at);
}

static int *line_of(const struct config_list_kind *kind, void *entry)
{
    return (int *)((char *)entry + kind->line_at);
}

enum err config_entry_init(const struct config_list_kind *kind, void *entry)
{
    memset(entry, 0, kind->entry_bytes);
    for (size_t i = 0; i < kind->key_count; i++) {
        const struct config_key *key = &kind->keys[i];
        BUF_AUTO why = {0};
        config_value_unset(key, entry);
        enum err err = key->fallback != NULL ? config_value_set(key, entry, key->fallback, &why) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err make_room(struct reader *reader, const struct sequence *list, size_t count)
{
    void *entries = calloc(count + 1, list->kind->entry_bytes);
    *(void **)((char *)reader->config + list->kind->entries_at) = entries;
    return entries == NULL ? ERR_NO_MEMORY : ERR_OK;
}

/* Keys without which an entry says nothing. NULL, or the missing one. */
static const char *missing_key(const struct config_list_kind *kind, const void *entry)
{
    const struct schedule_config *schedule = entry;
    if (((const char *)entry)[0] == '\0')
        return "name";
    if (kind != &config_list_kinds[CONFIG_LIST_schedules])
        return NULL;
    return schedule->cron == NULL ? "cron" : schedule->job == NULL ? "job" : NULL;
}

static enum err refuse_twin(struct reader *reader, const struct config_list_kind *kind, const void *entry,
                            const yaml_node_t *node)
{
    for (char *earlier = config_entry(kind, reader->config, 0); earlier < (const char *)entry;
         earlier += kind->entry_bytes) {
        if (strcmp(earlier, entry) != 0)
            continue;
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "the %s %s stands in %s twice, first in line %d", kind->word, earlier,
                   kind->list, *line_of(kind, earlier));
        return err;
    }
    return ERR_OK;
}

static enum err read_entry(struct reader *reader, const struct sequence *list, const yaml_node_t *node)
{
    const struct config_list_kind *kind = list->kind;
    void *entry = config_entry(kind, reader->config, (*config_entry_count(kind, reader->config))++);
    enum err err = config_entry_init(kind, entry);
    if (err != ERR_OK)
        return err;
    struct shape shape = {kind->title, kind->prefix, kind->keys, kind->key_count, entry, NULL};
    *line_of(kind, entry) = (int)node->start_mark.line + 1;
    *(int *)((char *)entry + kind->column_at) = (int)node->start_mark.column + 1;
    err = config_read_section(reader, &shape, "", node);
    if (err != ERR_OK)
        return err;
    const char *missing = missing_key(kind, entry);
    if (missing != NULL) {
        err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must have a %s", kind->title, missing);
        return err;
    }
    return refuse_twin(reader, kind, entry, node);
}

static enum err read_token(struct reader *reader, const struct sequence *list, const yaml_node_t *node)
{
    (void)list;
    struct token token = {.scopes = 0};
    struct shape shape = {"a token", "auth.tokens[].", config_token_keys, CONFIG_TOKEN_KEY_COUNT, &token,
                          NULL};
    static const uint8_t NO_HASH[TOKEN_HASH_BYTES];
    enum err err = config_read_section(reader, &shape, "", node);
    if (err != ERR_OK)
        return err;
    if (token.name[0] == '\0' || token.scopes == 0 || memcmp(token.hash, NO_HASH, TOKEN_HASH_BYTES) == 0) {
        err = config_refuse_node(reader, node);
        buf_put(reader->message, "a token must have a name, scopes and a hash; forkpool token prints all");
        return err;
    }
    BUF_AUTO why = {0};
    err = config_auth_add(reader->config, &token, &why);
    if (err == ERR_CONFIG) {
        err = config_refuse_node(reader, node);
        buf_add(reader->message, why.data, why.bytes);
    }
    return err;
}

const struct sequence config_sequences[] = {
#define L(word, list, TABLE, title)                                                                          \
    {"", #list, #list, "{name: …}", 0, make_room, read_entry, &config_list_kinds[CONFIG_LIST_##list]},
    CONFIG_LISTS(L)
#undef L
    /* Tokens that are all commented out would leave the door open: nothing is not enough there. */
    {"auth", "tokens", "auth.tokens", "{name: …, scopes: […], hash: …}", 1, NULL, read_token, NULL},
    {.key = NULL}};
