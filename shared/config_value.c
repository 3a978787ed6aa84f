#include "config_private.h"

#include "check.h"
#include "cpus.h"
#include "nearest.h"

#include <stdlib.h>
#include <string.h>

/* Numbers with units, the greatest first. A number without one counts `plain`. */
struct unit {
    const char *text;
    int64_t size;
};

struct scale {
    const char *what, *examples;
    int64_t plain;
    struct unit units[6];
};

static const struct scale COUNTS = {"a whole number", "", 1, {{NULL, 0}}};
static const struct scale SIZES = {"a size",
                                   " (64KiB, 1MiB, 4GiB or a plain number of bytes)",
                                   1,
                                   {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {NULL, 0}}};
static const struct scale TIMES = {
    "a duration",
    " (250ms, 8s, 5m, 1h, 7d or a plain number of seconds)",
    1000,
    {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}}};

/* NULL for types that are no numbers. */
static const struct scale *scale_of(const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_INT:
    case CONFIG_LIMIT:
        return &COUNTS;
    case CONFIG_BYTES:
        return &SIZES;
    case CONFIG_DURATION:
    case CONFIG_TIMES:
        return &TIMES;
    case CONFIG_STRING:
    case CONFIG_ENUM:
    case CONFIG_LIST:
    case CONFIG_NAME:
    case CONFIG_WORD:
    case CONFIG_BOOL:
    case CONFIG_RATE:
    case CONFIG_CPUS:
    case CONFIG_CODES:
    case CONFIG_ARGV:
    case CONFIG_ENV:
    case CONFIG_JOB:
    case CONFIG_SCOPES:
    case CONFIG_HASH:
        break;
    }
    return NULL;
}

static void *member_of(const struct config_key *key, void *base)
{
    return (char *)base + key->at;
}

void config_strings_free(char **strings)
{
    for (char **string = strings; string != NULL && *string != NULL; string++)
        free(*string);
    free(strings);
}

void config_value_unset(const struct config_key *key, void *base)
{
    if (key->type != CONFIG_TIMES && (scale_of(key) != NULL || key->type == CONFIG_ENUM))
        *(int64_t *)member_of(key, base) = -1;
}

void config_value_free(const struct config_key *key, void *base)
{
    void *member = member_of(key, base);
    switch (key->type) {
    case CONFIG_STRING:
    case CONFIG_WORD:
    case CONFIG_CPUS:
    case CONFIG_JOB:
        free(*(char **)member);
        break;
    case CONFIG_LIST:
        config_strings_free(((struct config_list *)member)->items);
        break;
    case CONFIG_ARGV:
    case CONFIG_ENV:
        config_strings_free(*(char ***)member);
        break;
    case CONFIG_INT:
    case CONFIG_BYTES:
    case CONFIG_DURATION:
    case CONFIG_ENUM:
    case CONFIG_NAME:
    case CONFIG_BOOL:
    case CONFIG_LIMIT:
    case CONFIG_RATE:
    case CONFIG_TIMES:
    case CONFIG_CODES:
    case CONFIG_SCOPES:
    case CONFIG_HASH:
        break;
    }
}

void config_put_quoted(struct buf *out, const char *text)
{
    enum { SHOWN_BYTES = 96 };
    char shown[SHOWN_BYTES];
    size_t bytes = strlen(text);
    text_copy(shown, sizeof shown, text, bytes);
    buf_put_json(out, shown, strlen(shown));
    if (bytes >= sizeof shown)
        buf_put(out, " (cut)");
}

void config_put_number(struct buf *out, const struct config_key *key, int64_t value)
{
    const struct scale *scale = scale_of(key);
    const struct unit *unit = scale->units;
    while (unit->text != NULL && (value % unit->size != 0 || (value == 0 && unit->size != scale->plain)))
        unit++;
    buf_put_int(out, unit->text == NULL ? value : value / unit->size);
    buf_put(out, unit->text == NULL ? "" : unit->text);
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* A run of digits, as large as fits: a range check follows. */
static const char *read_digits(const char *text, int64_t *value)
{
    for (*value = 0; is_digit(*text); text++) {
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *text - '0', value))
            *value = INT64_MAX;
    }
    return text;
}

/* At most three decimals ("1.5h"), and only if they make a whole number in the end. */
static const char *read_decimals(const char *text, int64_t *decimals, int64_t *power)
{
    *decimals = 0;
    *power = 1;
    if (*text != '.')
        return text;
    const char *start = text + 1, *end = read_digits(start, decimals);
    for (const char *at = start; at < end; at++)
        *power = *power < 1000 ? *power * 10 : 0;
    return end == start || *power == 0 ? NULL : end;
}

static bool parse_number(const char *text, const struct scale *scale, int64_t *value)
{
    bool negative = *text == '-';
    const char *digits = text + negative;
    int64_t whole, decimals, power, size = scale->plain;
    const char *rest = read_digits(digits, &whole);
    if (rest == digits || (rest = read_decimals(rest, &decimals, &power)) == NULL)
        return false;
    if (*rest != '\0') {
        const struct unit *unit = scale->units;
        while (unit->text != NULL && strcmp(unit->text, rest) != 0)
            unit++;
        if (unit->text == NULL)
            return false;
        size = unit->size;
    }
    if (decimals * size % power != 0)
        return false;
    if (__builtin_mul_overflow(whole, size, value) ||
        __builtin_add_overflow(*value, decimals * size / power, value))
        *value = INT64_MAX;
    *value = negative ? -*value : *value;
    return true;
}

static enum err set_number(const struct config_key *key, int64_t *member, const char *text, struct buf *why)
{
    const struct scale *scale = scale_of(key);
    int64_t value = 0;
    bool parsed = parse_number(text, scale, &value);
    if (parsed && value >= key->minimum && value <= key->maximum) {
        *member = value;
        return ERR_OK;
    }
    buf_printf(why, "must be %s from ", scale->what);
    config_put_number(why, key, key->minimum);
    buf_put(why, " to ");
    config_put_number(why, key, key->maximum);
    buf_put(why, parsed ? "" : scale->examples);
    buf_put(why, ", not ");
    config_put_quoted(why, text);
    if (key->type == CONFIG_LIMIT && parsed && value == 0)
        buf_put(why,
                "; to start nothing, pause: a queue by paused: true, a task by POST /v1/tasks/NAME/pause");
    return ERR_CONFIG;
}

/* The index of the word, or -1 and a predicate. */
static int find_word(const char *const *words, const char *text, struct buf *why)
{
    size_t count = 0;
    for (; words[count] != NULL; count++) {
        if (strcmp(words[count], text) == 0)
            return (int)count;
    }
    buf_put(why, "must be ");
    for (size_t i = 0; i < count; i++)
        buf_printf(why, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
    buf_put(why, ", not ");
    config_put_quoted(why, text);
    const char *nearest = nearest_name(text, words, count);
    if (nearest != NULL)
        buf_printf(why, "; did you mean %s?", nearest);
    return -1;
}

static enum err set_string(const struct config_key *key, char **member, const char *text, struct buf *why)
{
    if (strlen(text) < (size_t)key->minimum) {
        buf_put(why, "must not be empty");
        return ERR_CONFIG;
    }
    if (key->words != NULL && find_word(key->words, text, why) < 0)
        return ERR_CONFIG;
    char *copy = strdup(text);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    free(*member);
    *member = copy;
    return ERR_OK;
}

static enum err set_name(char *member, const char *text, struct buf *why)
{
    if (!job_name_ok(text)) {
        buf_printf(why, "must be 1 to %d of A-Z a-z 0-9 . _ - and not start with a dot, not ",
                   NAME_BYTES - 1);
        config_put_quoted(why, text);
        return ERR_CONFIG;
    }
    text_copy(member, NAME_BYTES, text, strlen(text));
    return ERR_OK;
}

static enum err set_bool(bool *member, const char *text, struct buf *why)
{
    static const char *const WORDS[] = {"false", "true", NULL};
    int word = find_word(WORDS, text, why);
    if (word < 0)
        return ERR_CONFIG;
    *member = word != 0;
    return ERR_OK;
}

static enum err set_rate(struct rate *member, const char *text, struct buf *why)
{
    if (rate_parse(text, member) == ERR_OK)
        return ERR_OK;
    buf_printf(why, "must be a rate of 1 to %d (10/s, 30/m, 100/h, 5/d or, for another period, 3/10s), not ",
               RATE_COUNT_MAX);
    config_put_quoted(why, text);
    return ERR_CONFIG;
}

static enum err set_cpus(const struct config_key *key, char **member, const char *text, struct buf *why)
{
    cpu_set_t cpus;
    if (text[0] == '\0' || cpus_parse(text, &cpus) == ERR_OK)
        return set_string(key, member, text, why);
    buf_printf(why, "must be numbers and ranges of processors below %d (0-3,5), not ", CPU_SETSIZE);
    config_put_quoted(why, text);
    return ERR_CONFIG;
}

/* A hash that is none may be the secret itself, put there by mistake: it is not shown. */
static enum err set_hash(uint8_t *member, const char *text, struct buf *why)
{
    if (token_hash_read(text, member))
        return ERR_OK;
    buf_put(why, "must be sha256: and 64 hexadecimal digits, as forkpool token prints it");
    return ERR_CONFIG;
}

static enum err take_scopes(const struct config_key *key, uint32_t *member, char *const *items,
                            struct buf *why)
{
    uint32_t scopes = 0;
    for (; *items != NULL; items++) {
        if (find_word(key->words, *items, why) < 0)
            return ERR_CONFIG;
        scopes |= scope_of(*items);
    }
    if (scopes == 0) {
        buf_put(why, "must name at least one scope");
        return ERR_CONFIG;
    }
    *member = scopes;
    return ERR_OK;
}

static bool code_ok(const char *text)
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t bytes = strlen(text);
    return bytes > 0 && bytes < ERROR_CODE_BYTES && strspn(text, LETTERS) == bytes;
}

static enum err add_time(const struct config_key *key, struct config_times *times, const char *text,
                         struct buf *why)
{
    enum err err = set_number(key, &times->ms[times->count], text, why);
    times->count += err == ERR_OK;
    return err;
}

static enum err add_code(struct config_codes *codes, const char *text, struct buf *why)
{
    if (!code_ok(text)) {
        buf_printf(why, "must hold codes of errors, 1 to %d of a-z 0-9 _ . -, not ", ERROR_CODE_BYTES - 1);
        config_put_quoted(why, text);
        return ERR_CONFIG;
    }
    text_copy(codes->items[codes->count++], ERROR_CODE_BYTES, text, strlen(text));
    return ERR_OK;
}

/* TIMES and CODES: lists of a bounded length, kept by value. None would mean the same as not set, and who
 * writes an empty list means something else. */
static enum err take_few(const struct config_key *key, void *member, char *const *items, struct buf *why)
{
    bool times = key->type == CONFIG_TIMES;
    struct config_times read_times = {.count = 0};
    struct config_codes read_codes = {.count = 0};
    size_t most = times ? INTERVALS_MAX : ERROR_CODES_MAX, count = 0;
    while (items[count] != NULL)
        count++;
    if (count == 0 || count > most) {
        buf_printf(why, "must be a list of 1 to %zu, not of %zu", most, count);
        return ERR_CONFIG;
    }
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = times ? add_time(key, &read_times, items[i], why) : add_code(&read_codes, items[i], why);
    if (err == ERR_OK && times)
        *(struct config_times *)member = read_times;
    else if (err == ERR_OK)
        *(struct config_codes *)member = read_codes;
    return err;
}

/* "a, b" → a list of its own, NULL without memory; "" is the empty list. */
static char **split_at_commas(const char *text)
{
    size_t count = text[0] != '\0';
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ',';
    char **items = calloc(count + 1, sizeof *items);
    for (size_t i = 0; items != NULL && i < count; i++) {
        text += strspn(text, " ");
        size_t bytes = strcspn(text, ","), kept = bytes;
        while (kept > 0 && text[kept - 1] == ' ')
            kept--;
        items[i] = strndup(text, kept);
        text += bytes + (text[bytes] == ',');
        if (items[i] == NULL) {
            config_strings_free(items);
            return NULL;
        }
    }
    return items;
}

enum err config_value_set(const struct config_key *key, void *base, const char *text, struct buf *why)
{
    void *member = member_of(key, base);
    switch (key->type) {
    case CONFIG_STRING:
    case CONFIG_WORD:
    case CONFIG_JOB: /* JSON text already */
        return set_string(key, member, text, why);
    case CONFIG_INT:
    case CONFIG_BYTES:
    case CONFIG_DURATION:
    case CONFIG_LIMIT:
        return set_number(key, member, text, why);
    case CONFIG_BOOL:
        return set_bool(member, text, why);
    case CONFIG_RATE:
        return set_rate(member, text, why);
    case CONFIG_CPUS:
        return set_cpus(key, member, text, why);
    case CONFIG_NAME:
        return set_name(member, text, why);
    case CONFIG_ENUM: {
        int word = find_word(key->words, text, why);
        if (word < 0)
            return ERR_CONFIG;
        *(int64_t *)member = word;
        return ERR_OK;
    }
    case CONFIG_HASH:
        return set_hash(member, text, why);
    case CONFIG_LIST:
    case CONFIG_TIMES:
    case CONFIG_CODES:
    case CONFIG_ARGV:
    case CONFIG_ENV:
    case CONFIG_SCOPES:
        break;
    }
    char **items = split_at_commas(text);
    return items == NULL ? ERR_NO_MEMORY : config_value_take(key, base, items, why);
}

bool config_value_is_many(const struct config_key *key)
{
    return key->type == CONFIG_LIST || key->type == CONFIG_ARGV || key->type == CONFIG_ENV ||
           key->type == CONFIG_SCOPES || key->type == CONFIG_TIMES || key->type == CONFIG_CODES;
}

/* NULL, or what is wrong with the items. */
static const char *items_fault(const struct config_key *key, char *const *items)
{
    if (key->type == CONFIG_ARGV && (items[0] == NULL || items[0][0] == '\0'))
        return "must start with the name of a program";
    for (; key->type == CONFIG_LIST && *items != NULL; items++) {
        if ((*items)[0] == '\0')
            return "must not have an empty item";
    }
    return NULL;
}

enum err config_value_take(const struct config_key *key, void *base, char **items, struct buf *why)
{
    CHECK(config_value_is_many(key));
    if (key->type == CONFIG_SCOPES || key->type == CONFIG_TIMES || key->type == CONFIG_CODES) {
        enum err err = key->type == CONFIG_SCOPES ? take_scopes(key, member_of(key, base), items, why)
                                                  : take_few(key, member_of(key, base), items, why);
        config_strings_free(items);
        return err;
    }
    const char *fault = items_fault(key, items);
    if (fault != NULL) {
        buf_put(why, fault);
        config_strings_free(items);
        return ERR_CONFIG;
    }
    config_value_free(key, base);
    if (key->type != CONFIG_LIST) {
        *(char ***)member_of(key, base) = items;
        return ERR_OK;
    }
    size_t count = 0;
    while (items[count] != NULL)
        count++;
    *(struct config_list *)member_of(key, base) = (struct config_list){.items = items, .count = count};
    return ERR_OK;
}
