/* What the files that know libyaml share: config_yaml.c, config_lists.c and config_json.c; nobody else
 * includes it.
 *
 * A refusal is refuse, which writes the place, then the sentence, then `return err`.
 */
#ifndef FORKPOOL_CONFIG_READER_H
#define FORKPOOL_CONFIG_READER_H

#include "config_private.h"

#include <yaml.h>

struct reader {
    const char *path;
    struct buf text;
    yaml_document_t document;
    struct config *config;
    struct config_origin *origins;
    struct buf *message;
};

/* What a mapping may hold: keys of section "" and one mapping for each other section. */
struct shape {
    const char *title, *prefix; /* of the whole and of its keys, in sentences */
    const struct config_key *keys;
    size_t key_count;
    void *base;
    const struct sequence *sequences; /* more keys; ended by one without a key, or NULL */
};

/* A key whose value is a list of mappings. */
struct sequence {
    const char *section, *key, *name, *entry; /* name of the whole; entry: what one looks like */
    size_t least;
    enum err (*make_room)(struct reader *reader, const struct sequence *list, size_t count); /* or NULL */
    enum err (*read)(struct reader *reader, const struct sequence *list, const yaml_node_t *node);
    const struct config_list_kind *kind; /* of a list of CONFIG_LISTS */
};

/* The lists of a whole file, for its shape. */
extern const struct sequence config_sequences[];

/* Starts the sentence about a node, which the caller continues. */
enum err config_refuse_node(struct reader *reader, const yaml_node_t *node) MUST_USE;
/* "nothing", "a single value", "a list" or "a mapping". */
const char *config_node_kind(const yaml_node_t *node);
yaml_node_t *config_node(struct reader *reader, int index);
/* The text of a pair's key, borrowed; refused if an earlier pair has it too. */
enum err config_key_text(struct reader *reader, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
                         const char **text) MUST_USE;
/* Where a mark lies in the text of the file; NULL beyond its end. */
const char *config_mark_at(const struct reader *reader, yaml_mark_t mark);
/* All pairs of one mapping into shape->base. */
enum err config_read_section(struct reader *reader, const struct shape *shape, const char *section,
                             const yaml_node_t *node) MUST_USE;

/* Appends a node as JSON text. `subject` starts the sentence if it cannot be. */
enum err config_json(struct reader *reader, const yaml_node_t *node, const char *subject,
                     struct buf *out) MUST_USE;

#endif
