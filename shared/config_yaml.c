#include "config_reader.h"

#include "check.h"
#include "json.h"
#include "nearest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 << 20, NAMES_MAX = CONFIG_KEY_COUNT + 32, NAMES_SHOWN = 16 };

enum err config_refuse_node(struct reader *reader, const yaml_node_t *node)
{
    buf_printf(reader->message, "%s:%zu:%zu: ", reader->path, node->start_mark.line + 1,
               node->start_mark.column + 1);
    return ERR_CONFIG;
}

yaml_node_t *config_node(struct reader *reader, int index)
{
    return yaml_document_get_node(&reader->document, index);
}

/* An empty place, ~ or null. */
static bool is_nothing(const yaml_node_t *node)
{
    static const char *const NOTHING[] = {"", "~", "null"};
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof NOTHING / sizeof *NOTHING; i++) {
        if (strcmp((const char *)node->data.scalar.value, NOTHING[i]) == 0)
            return true;
    }
    return false;
}

const char *config_node_kind(const yaml_node_t *node)
{
    if (is_nothing(node))
        return "nothing";
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

/* The text of a scalar, borrowed; `subject` starts the sentence if it is none. */
static enum err scalar_text(struct reader *reader, const yaml_node_t *node, const char *subject,
                            const char **text)
{
    if (node->type != YAML_SCALAR_NODE || is_nothing(node)) {
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must be a single value, not %s", subject, config_node_kind(node));
        return err;
    }
    *text = (const char *)node->data.scalar.value;
    if (strlen(*text) != node->data.scalar.length) {
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must not hold a NUL character", subject);
        return err;
    }
    return ERR_OK;
}

enum err config_key_text(struct reader *reader, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
                         const char **text)
{
    const yaml_node_t *node = config_node(reader, pair->key);
    enum err err = scalar_text(reader, node, "a key", text);
    for (const yaml_node_pair_t *at = mapping->data.mapping.pairs.start; err == ERR_OK && at < pair; at++) {
        const yaml_node_t *earlier = config_node(reader, at->key);
        if (strcmp((const char *)earlier->data.scalar.value, *text) != 0)
            continue;
        err = config_refuse_node(reader, node);
        buf_put(reader->message, "the key ");
        config_put_quoted(reader->message, *text);
        buf_printf(reader->message, " stands here twice, first in line %zu", earlier->start_mark.line + 1);
    }
    return err;
}

/* ── unknown keys ── */

static void add_name(const char *name, const char **names, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(names[i], name) == 0)
            return;
    }
    CHECK(*count < NAMES_MAX);
    names[(*count)++] = name;
}

static size_t known_names(const struct shape *shape, const char *section, const char *names[NAMES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < shape->key_count; i++) {
        const struct config_key *key = &shape->keys[i];
        if (strcmp(key->section, section) == 0)
            add_name(key->key, names, &count);
        else if (section[0] == '\0')
            add_name(key->section, names, &count);
    }
    for (const struct sequence *list = shape->sequences; list != NULL && list->key != NULL; list++) {
        if (strcmp(list->section, section) == 0)
            add_name(list->key, names, &count);
    }
    return count;
}

static enum err unknown_key(struct reader *reader, const yaml_node_t *node, const struct shape *shape,
                            const char *section, const char *name)
{
    const char *names[NAMES_MAX];
    size_t count = known_names(shape, section, names);
    const char *nearest = nearest_name(name, names, count);
    struct buf *message = reader->message;
    enum err err = config_refuse_node(reader, node);
    if (section[0] == '\0')
        buf_put(message, shape->title);
    else
        buf_printf(message, "%s%s", shape->prefix, section);
    buf_put(message, " has no key ");
    config_put_quoted(message, name);
    if (nearest != NULL)
        buf_printf(message, "; did you mean %s?", nearest);
    for (size_t i = 0; i < count && count <= NAMES_SHOWN; i++)
        buf_printf(message, "%s%s", i > 0 ? ", " : nearest != NULL ? " It has " : "; it has ", names[i]);
    return err;
}

/* ── values ── */

/* Both readers of many values store each string at once, so that config_strings_free finds all of them. */
static enum err read_items(struct reader *reader, const yaml_node_t *node, const char *subject, char **items)
{
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        const char *text;
        enum err err = scalar_text(reader, config_node(reader, *item), subject, &text);
        if (err == ERR_OK && (*items++ = strdup(text)) == NULL)
            err = ERR_NO_MEMORY;
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static bool is_variable_name(const char *name)
{
    static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return name[0] != '\0' && strspn(name, LETTERS) == strlen(name) && (name[0] < '0' || name[0] > '9');
}

static enum err read_variable(struct reader *reader, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
                              const char *subject, char **variable)
{
    const char *name, *value;
    enum err err = config_key_text(reader, mapping, pair, &name);
    if (err == ERR_OK && !is_variable_name(name)) {
        err = config_refuse_node(reader, config_node(reader, pair->key));
        config_put_quoted(reader->message, name);
        buf_put(reader->message,
                " is no name of a variable: letters, digits and _, not starting with a digit");
    }
    if (err == ERR_OK)
        err = scalar_text(reader, config_node(reader, pair->value), subject, &value);
    if (err != ERR_OK)
        return err;
    BUF_AUTO entry = {0};
    size_t bytes;
    buf_printf(&entry, "%s=%s", name, value);
    *variable = buf_take(&entry, &bytes);
    return *variable == NULL ? ERR_NO_MEMORY : ERR_OK;
}

static enum err read_variables(struct reader *reader, const yaml_node_t *node, const char *subject,
                               char **items)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        enum err err = read_variable(reader, node, pair, subject, items++);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* LIST, ARGV and ENV. Nothing at all counts as an empty one. */
static enum err read_many(struct reader *reader, const struct config_key *key, void *base,
                          const yaml_node_t *node, const char *subject, struct buf *why)
{
    bool pairs = key->type == CONFIG_ENV, nothing = is_nothing(node);
    if (!nothing && node->type != (pairs ? YAML_MAPPING_NODE : YAML_SEQUENCE_NODE)) {
        buf_printf(why, "must be %s, not %s", pairs ? "a mapping {NAME: value}" : "a list [a, b]",
                   config_node_kind(node));
        return ERR_CONFIG;
    }
    size_t count = 0;
    if (!nothing && pairs)
        count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    else if (!nothing)
        count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    char **items = calloc(count + 1, sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    char part[160];
    snprintf(part, sizeof part, "an item of %s", subject);
    enum err err = ERR_OK;
    if (count > 0)
        err = pairs ? read_variables(reader, node, part, items) : read_items(reader, node, part, items);
    if (err == ERR_OK)
        return config_value_take(key, base, items, why);
    config_strings_free(items);
    return err;
}

static bool has_member(const struct json_scan *scan, const char *name)
{
    size_t noted = scan->member_count < JSON_MAX_MEMBERS ? scan->member_count : JSON_MAX_MEMBERS;
    for (size_t i = 0; i < noted; i++) {
        if (json_key_is(scan->members[i].key, name))
            return true;
    }
    return false;
}

static enum err read_job(struct reader *reader, const struct config_key *key, void *base,
                         const yaml_node_t *node, const char *subject)
{
    if (node->type != YAML_MAPPING_NODE) {
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must be a mapping {task: NAME, args: …}, not %s", subject,
                   config_node_kind(node));
        return err;
    }
    BUF_AUTO json = {0}, why = {0};
    enum err err = config_json(reader, node, subject, &json);
    if (err != ERR_OK)
        return err;
    struct json_scan scan;
    if (json_scan(json.data, json.bytes, &scan, NULL) != ERR_OK || !has_member(&scan, "task")) {
        err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must have a task", subject);
        return err;
    }
    buf_add(&json, "", 1);
    return json.failed ? ERR_NO_MEMORY : config_value_set(key, base, json.data, &why);
}

/* Errors of the value get their place here; those of a part of it have it already, and `why` stays empty. */
static enum err read_value(struct reader *reader, const struct shape *shape, const struct config_key *key,
                           const yaml_node_t *node)
{
    char subject[128];
    snprintf(subject, sizeof subject, "%s%s%s%s", shape->prefix, key->section, key->section[0] ? "." : "",
             key->key);
    BUF_AUTO why = {0};
    const char *text;
    enum err err;
    if (key->type == CONFIG_JOB)
        err = read_job(reader, key, shape->base, node, subject);
    else if (config_value_is_many(key))
        err = read_many(reader, key, shape->base, node, subject, &why);
    else if ((err = scalar_text(reader, node, subject, &text)) == ERR_OK)
        err = config_value_set(key, shape->base, text, &why);
    if (why.bytes > 0) {
        err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s ", subject);
        buf_add(reader->message, why.data, why.bytes);
    }
    if (err == ERR_OK && shape->base == reader->config)
        reader->origins[key - config_keys] =
            (struct config_origin){.source = ORIGIN_FILE,
                                   .line = (int)node->start_mark.line + 1,
                                   .column = (int)node->start_mark.column + 1};
    return err;
}

/* ── mappings ── */

static enum err read_sequence(struct reader *reader, const struct sequence *list, const yaml_node_t *node);

static enum err read_pair(struct reader *reader, const struct shape *shape, const char *section,
                          const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
    const char *name;
    enum err err = config_key_text(reader, mapping, pair, &name);
    if (err != ERR_OK)
        return err;
    const yaml_node_t *value = config_node(reader, pair->value);
    bool outermost = section[0] == '\0';
    for (size_t i = 0; i < shape->key_count; i++) {
        const struct config_key *key = &shape->keys[i];
        if (strcmp(key->section, section) == 0 && strcmp(key->key, name) == 0)
            return read_value(reader, shape, key, value);
        if (outermost && strcmp(key->section, name) == 0 && name[0] != '\0')
            return config_read_section(reader, shape, key->section, value);
    }
    for (const struct sequence *list = shape->sequences; list != NULL && list->key != NULL; list++) {
        if (strcmp(list->section, section) == 0 && strcmp(list->key, name) == 0)
            return read_sequence(reader, list, value);
    }
    return unknown_key(reader, config_node(reader, pair->key), shape, section, name);
}

/* A section whose keys are all commented out is nothing, and fine. */
enum err config_read_section(struct reader *reader, const struct shape *shape, const char *section,
                             const yaml_node_t *node)
{
    if (is_nothing(node))
        return ERR_OK;
    if (node->type != YAML_MAPPING_NODE) {
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s%s must be a mapping {key: value}, not %s",
                   section[0] ? shape->prefix : shape->title, section, config_node_kind(node));
        return err;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        enum err err = read_pair(reader, shape, section, node, pair);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err read_sequence(struct reader *reader, const struct sequence *list, const yaml_node_t *node)
{
    bool nothing = is_nothing(node);
    size_t count = 0;
    if (node->type == YAML_SEQUENCE_NODE)
        count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if ((node->type != YAML_SEQUENCE_NODE && !nothing) || count < list->least) {
        enum err err = config_refuse_node(reader, node);
        buf_printf(reader->message, "%s must be a list of mappings [%s], not %s", list->name, list->entry,
                   node->type == YAML_SEQUENCE_NODE ? "an empty one" : config_node_kind(node));
        return err;
    }
    enum err err = list->make_room != NULL ? list->make_room(reader, list, count) : ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = list->read(reader, list, config_node(reader, node->data.sequence.items.start[i]));
    return err;
}

/* ── the file ── */

static enum err read_root(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    struct shape shape = {"the configuration", "", config_keys, CONFIG_KEY_COUNT, reader->config,
                          config_sequences};
    return root == NULL ? ERR_OK : config_read_section(reader, &shape, "", root);
}

static enum err refuse_second(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    if (root == NULL)
        return ERR_OK;
    enum err err = config_refuse_node(reader, root);
    buf_put(reader->message, "a second document starts; the file must hold one");
    return err;
}

/* libyaml gives a mark for all errors but those of encoding, which come with the byte. */
static yaml_mark_t mark_of(const struct reader *reader, const yaml_parser_t *parser)
{
    yaml_mark_t mark = parser->problem_mark;
    if (parser->error != YAML_READER_ERROR)
        return mark;
    mark = (yaml_mark_t){0};
    for (size_t i = 0; i < parser->problem_offset && i < reader->text.bytes; i++) {
        bool newline = reader->text.data[i] == '\n';
        mark.line += newline;
        mark.column = newline ? 0 : mark.column + (((unsigned char)reader->text.data[i] & 0xc0) != 0x80);
    }
    return mark;
}

/* libyaml's own index counts characters, not bytes. */
const char *config_mark_at(const struct reader *reader, yaml_mark_t mark)
{
    const char *at = reader->text.data, *end = at + reader->text.bytes;
    for (size_t line = 0; line < mark.line && at != NULL; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at != NULL ? at + 1 : NULL;
    }
    for (size_t column = 0; column < mark.column && at != NULL && at < end; column++) {
        do
            at++;
        while (at < end && ((unsigned char)*at & 0xc0) == 0x80);
    }
    return at != NULL && at < end ? at : NULL;
}

/* The commonest reason, and the one that libyaml does not name. */
static bool is_tab(const struct reader *reader, yaml_mark_t mark)
{
    const char *at = config_mark_at(reader, mark);
    return at != NULL && *at == '\t';
}

static enum err refuse_syntax(const struct reader *reader, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return ERR_NO_MEMORY;
    yaml_mark_t mark = mark_of(reader, parser);
    if (is_tab(reader, mark)) {
        buf_printf(reader->message, "%s:%zu:%zu: a tab stands here; YAML is indented with spaces",
                   reader->path, mark.line + 1, mark.column + 1);
        return ERR_CONFIG;
    }
    buf_printf(reader->message, "%s:%zu:%zu: this is not valid YAML: %s", reader->path, mark.line + 1,
               mark.column + 1, parser->problem != NULL ? parser->problem : "no reason given");
    if (parser->context != NULL)
        buf_printf(reader->message, ", %s that starts in line %zu", parser->context,
                   parser->context_mark.line + 1);
    return ERR_CONFIG;
}

static enum err read_document(struct reader *reader, yaml_parser_t *parser, enum err (*read)(struct reader *))
{
    if (!yaml_parser_load(parser, &reader->document))
        return refuse_syntax(reader, parser);
    enum err err = read(reader);
    yaml_document_delete(&reader->document);
    return err;
}

static enum err parse(struct reader *reader)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return ERR_NO_MEMORY;
    yaml_parser_set_input_string(&parser, (const unsigned char *)reader->text.data, reader->text.bytes);
    enum err err = read_document(reader, &parser, read_root);
    if (err == ERR_OK)
        err = read_document(reader, &parser, refuse_second);
    yaml_parser_delete(&parser);
    return err;
}

static enum err read_all(int fd, struct buf *text)
{
    for (;;) {
        char *at = buf_reserve(text, 4096);
        if (at == NULL)
            return ERR_NO_MEMORY;
        ssize_t bytes = read(fd, at, 4096);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes == 0 ? ERR_OK : ERR_SYSTEM;
        text->bytes += (size_t)bytes;
        if (text->bytes > FILE_BYTES_MAX) {
            errno = EFBIG;
            return ERR_SYSTEM;
        }
    }
}

enum err config_slurp(const char *path, struct buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    enum err err = read_all(fd, text);
    int error = errno;
    close(fd);
    errno = error;
    return err;
}

enum err config_yaml_read(const char *path, const char *named_by, struct config *config,
                          struct config_origin *origins, struct buf *message)
{
    struct reader reader = {.path = path, .config = config, .origins = origins, .message = message};
    enum err err = config_slurp(path, &reader.text);
    if (err == ERR_SYSTEM) {
        char text[128] = "";
        buf_printf(message, "%s: cannot read %s: %s", named_by, path, strerror_r(errno, text, sizeof text));
        err = ERR_CONFIG;
    } else if (err == ERR_OK) {
        err = parse(&reader);
    }
    buf_fini(&reader.text);
    return err;
}
