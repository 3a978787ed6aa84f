#include "config_reader.h"

#include "check.h"
#include "json.h"

#include <string.h>

/* YAML to JSON, by the core schema of YAML 1.2. What JSON cannot say is refused, never changed: a number
 * keeps its digits, but for a form that JSON does not have. */

enum { JSON_BYTES_MAX = 1 << 20 }; /* aliases can make much of little */

static const char ONLY_STR[] = "must not hold a tag other than !!str";

struct writer {
    struct reader *reader;
    const char *subject;
    struct buf *out;
    int depth;
};

static enum err refuse(struct writer *writer, const yaml_node_t *node, const char *predicate)
{
    enum err err = config_refuse_node(writer->reader, node);
    buf_printf(writer->reader->message, "%s %s", writer->subject, predicate);
    return err;
}

/* ── what a plain scalar is ── */

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words != NULL && strcmp(*words, text) != 0)
        words++;
    return *words != NULL;
}

static const char *skip_digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

/* [-+]? [0-9]+ */
static bool is_decimal(const char *text)
{
    text += *text == '-' || *text == '+';
    return *text != '\0' && *skip_digits(text) == '\0';
}

/* 0o7 and 0xff; the base, or 0. */
static unsigned based(const char *text)
{
    if (text[0] != '0' || (text[1] != 'o' && text[1] != 'x') || text[2] == '\0')
        return 0;
    const char *digits = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
    return text[2 + strspn(text + 2, digits)] != '\0' ? 0 : text[1] == 'o' ? 8 : 16;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    const char *whole = text;
    text = skip_digits(text);
    bool any = text > whole;
    if (*text == '.') {
        const char *decimals = ++text;
        text = skip_digits(text);
        any = any || text > decimals;
    }
    if (any && (*text == 'e' || *text == 'E')) {
        text++;
        text += *text == '-' || *text == '+';
        const char *power = text;
        text = skip_digits(text);
        any = text > power;
    }
    return any && *text == '\0';
}

/* Without a plus and leading zeros, and with a digit on both sides of the point. */
static void put_decimal(struct buf *out, const char *text)
{
    if (*text == '-')
        buf_put(out, "-");
    text += *text == '-' || *text == '+';
    while (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
        text++;
    if (*text == '.')
        buf_put(out, "0");
    size_t whole = (size_t)(skip_digits(text) - text);
    buf_add(out, text, whole);
    text += whole;
    if (*text == '.') {
        size_t decimals = (size_t)(skip_digits(text + 1) - text);
        buf_add(out, text, decimals);
        if (decimals == 1)
            buf_put(out, "0");
        text += decimals;
    }
    buf_put(out, text);
}

static enum err put_based(struct writer *writer, const yaml_node_t *node, const char *text, unsigned base)
{
    uint64_t value = 0;
    for (const char *at = text + 2; *at != '\0'; at++) {
        unsigned digit = *at <= '9' ? (unsigned)(*at - '0') : (unsigned)(*at | 0x20) - 'a' + 10;
        if (value > ((uint64_t)INT64_MAX - digit) / base)
            return refuse(writer, node, "must not hold a whole number above 9223372036854775807");
        value = value * base + digit;
    }
    buf_put_int(writer->out, (int64_t)value);
    return ERR_OK;
}

/* True if the node says what it is, as in !!str 5. libyaml does not tell a tag of its own making from a
 * written one, and its node starts with the properties of the scalar: an anchor, a tag. */
static bool is_tagged(const struct writer *writer, const yaml_node_t *node)
{
    const char *at = config_mark_at(writer->reader, node->start_mark);
    const char *end = writer->reader->text.data + writer->reader->text.bytes;
    while (at != NULL && at < end && *at == '&') {
        while (at < end && strchr(" \t\r\n", *at) == NULL)
            at++;
        while (at < end && strchr(" \t\r\n", *at) != NULL)
            at++;
    }
    return at != NULL && at < end && *at == '!';
}

static enum err put_plain(struct writer *writer, const yaml_node_t *node, const char *text)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const TRUES[] = {"true", "True", "TRUE", NULL};
    static const char *const FALSES[] = {"false", "False", "FALSE", NULL};
    static const char *const NO_NUMBERS[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
                                             "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};
    struct buf *out = writer->out;
    unsigned base = based(text);
    if (is_one_of(text, NULLS))
        buf_put(out, "null");
    else if (is_one_of(text, TRUES))
        buf_put(out, "true");
    else if (is_one_of(text, FALSES))
        buf_put(out, "false");
    else if (is_one_of(text, NO_NUMBERS))
        return refuse(writer, node, "must not hold an infinite number or none, which JSON does not have");
    else if (base != 0)
        return put_based(writer, node, text, base);
    else if (is_decimal(text) || is_float(text))
        put_decimal(out, text);
    else
        buf_put_json(out, text, strlen(text));
    return ERR_OK;
}

static enum err put_scalar(struct writer *writer, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    bool tagged = is_tagged(writer, node), string = strcmp((const char *)node->tag, YAML_STR_TAG) == 0;
    if (tagged && !string)
        return refuse(writer, node, ONLY_STR);
    if (tagged || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        buf_put_json(writer->out, text, node->data.scalar.length);
    else
        return put_plain(writer, node, text);
    return ERR_OK;
}

/* ── nodes ── */

static enum err put_node(struct writer *writer, const yaml_node_t *node);

static enum err put_items(struct writer *writer, const yaml_node_t *node)
{
    enum err err = ERR_OK;
    buf_put(writer->out, "[");
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         err == ERR_OK && item < node->data.sequence.items.top; item++) {
        if (item > node->data.sequence.items.start)
            buf_put(writer->out, ",");
        err = put_node(writer, config_node(writer->reader, *item));
    }
    buf_put(writer->out, "]");
    return err;
}

static enum err put_pairs(struct writer *writer, const yaml_node_t *node)
{
    enum err err = ERR_OK;
    buf_put(writer->out, "{");
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         err == ERR_OK && pair < node->data.mapping.pairs.top; pair++) {
        const char *key;
        err = config_key_text(writer->reader, node, pair, &key);
        if (err != ERR_OK)
            break;
        if (pair > node->data.mapping.pairs.start)
            buf_put(writer->out, ",");
        buf_put_json(writer->out, key, strlen(key));
        buf_put(writer->out, ":");
        err = put_node(writer, config_node(writer->reader, pair->value));
    }
    buf_put(writer->out, "}");
    return err;
}

static bool tag_is_usual(const yaml_node_t *node)
{
    const char *usual = node->type == YAML_MAPPING_NODE ? YAML_MAP_TAG : YAML_SEQ_TAG;
    return strcmp((const char *)node->tag, usual) == 0;
}

static enum err put_node(struct writer *writer, const yaml_node_t *node)
{
    if (writer->out->bytes > JSON_BYTES_MAX)
        return refuse(writer, node, "must not be longer than 1 MiB of JSON");
    if (writer->depth == JSON_MAX_DEPTH) /* also an alias of what it lies in */
        return refuse(writer, node, "is nested too deeply");
    if (node->type != YAML_SCALAR_NODE && !tag_is_usual(node))
        return refuse(writer, node, ONLY_STR);
    enum err err = ERR_OK;
    writer->depth++;
    switch (node->type) {
    case YAML_SCALAR_NODE:
        err = put_scalar(writer, node);
        break;
    case YAML_SEQUENCE_NODE:
        err = put_items(writer, node);
        break;
    case YAML_MAPPING_NODE:
        err = put_pairs(writer, node);
        break;
    case YAML_NO_NODE:
        CHECK(node->type != YAML_NO_NODE); /* a node of a loaded document is something */
    }
    writer->depth--;
    return err;
}

/* The second look is the one that a request gets, also for what this file need not know: how large a number
 * may be. */
enum err config_json(struct reader *reader, const yaml_node_t *node, const char *subject, struct buf *out)
{
    struct writer writer = {.reader = reader, .subject = subject, .out = out};
    struct json_fault fault;
    enum err err = put_node(&writer, node);
    if (err == ERR_OK && out->failed)
        err = ERR_NO_MEMORY;
    if (err != ERR_OK)
        return err;
    err = json_check(out->data, out->bytes, NULL, &fault);
    if (err == ERR_OK || err == ERR_NO_MEMORY)
        return err;
    err = config_refuse_node(reader, node);
    buf_printf(reader->message, "%s would be no JSON that a job can have: %s", subject, fault.what);
    return err;
}
