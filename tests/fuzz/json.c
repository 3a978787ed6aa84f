/* json_scan and json_check against jansson: what one of them accepts the other accepts, but for what json.h
 * says; and what a scan notes is what jansson reads. */
#include "fuzz.h"

#include <jansson.h>
#include <math.h>

enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL };

static void check_fault(const char *text, size_t bytes, const struct json_fault *fault)
{
    struct buf excerpt = {0};
    HOLDS(fault->at <= bytes && fault->line >= 1 && fault->column >= 1, "byte %zu of %zu", fault->at, bytes);
    HOLDS(fault->what[0] != '\0' && memchr(fault->what, '\0', sizeof fault->what) != NULL, "no sentence");
    holds_utf8("the sentence", fault->what);
    json_excerpt(text, bytes, fault, &excerpt);
    HOLDS(memchr(excerpt.data, '\n', excerpt.bytes) != NULL, "no caret");
    buf_add(&excerpt, "", 1);
    holds_utf8("the excerpt", excerpt.data);
    buf_fini(&excerpt);
}

/* A scalar as jansson has it. */
static void check_value(struct json_span span, const json_t *value)
{
    static char text[65536];
    double number;
    int64_t whole;
    bool is_text = json_text(span, text, sizeof text);
    if (json_is_string(value)) {
        size_t bytes = json_string_length(value);
        bool fits = bytes < sizeof text && memchr(json_string_value(value), '\0', bytes) == NULL;
        HOLDS(is_text == fits, "a text of %zu bytes", bytes);
        HOLDS(!fits || strcmp(text, json_string_value(value)) == 0, "\"%s\" is \"%s\"", text,
              json_string_value(value));
    } else {
        HOLDS(!is_text, "a text out of nothing");
    }
    HOLDS(json_number(span, &number) == json_is_real(value), "whether it is a number");
    if (!json_is_real(value))
        return;
    double read = json_real_value(value);
    HOLDS(memcmp(&number, &read, sizeof read) == 0, "%.17g is %.17g", number, read);
    if (json_int(span, &whole))
        HOLDS(fabs((double)whole - read) <= fabs(read) * 1e-15, "%lld is %.17g", (long long)whole, read);
}

static void check_members(const struct json_scan *scan, const json_t *object)
{
    static char key[65536];
    HOLDS(scan->member_count == json_object_size(object), "%zu members are %zu", scan->member_count,
          json_object_size(object));
    for (size_t i = 0; i < scan->member_count && i < JSON_MAX_MEMBERS; i++) {
        if (!json_key(scan->members[i].key, key, sizeof key))
            continue; /* it is too long */
        HOLDS(json_key_is(scan->members[i].key, key), "%s is not itself", key);
        const json_t *value = json_object_get(object, key);
        HOLDS(value != NULL, "no member %s", key);
        check_value(scan->members[i].value, value);
    }
}

/* json.h: "Stricter than the RFC where it leaves a choice". And jansson takes a NUL byte for the end of the
 * text, whatever comes behind it. */
static bool is_stated(const struct json_fault *fault)
{
    return fault->err == ERR_TOO_DEEP || strstr(fault->what, "surrogate") != NULL ||
           strstr(fault->what, "\\u0000") != NULL || strstr(fault->what, "a NUL byte") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = input_text((struct input){data, bytes});
    struct json_scan scan;
    struct json_fault fault, checked;
    json_error_t error = {.position = 0};
    json_t *json = json_loadb(text, bytes, FLAGS, &error);
    enum err err = json_scan(text, bytes, &scan, &fault);
    HOLDS(json_check(text, bytes, NULL, &checked) == (err != ERR_OK ? err : checked.err) || err == ERR_OK,
          "the check forgot the scan");
    if (err != ERR_OK) {
        check_fault(text, bytes, &fault);
        HOLDS(json == NULL || is_stated(&fault), "jansson takes it: %s", fault.what);
    } else if (json == NULL) {
        int code = (int)json_error_code(&error);
        HOLDS(code == json_error_duplicate_key || code == json_error_numeric_overflow,
              "only jansson refuses it: %s", error.text);
        HOLDS(json_check(text, bytes, NULL, &checked) != ERR_OK, "the check forgot jansson");
        check_fault(text, bytes, &checked);
    } else {
        HOLDS(json_check(text, bytes, NULL, NULL) == ERR_OK, "the check refuses what both take");
        if (json_is_object(json))
            check_members(&scan, json);
        else
            check_value(scan.value, json);
    }
    json_decref(json);
    free(text);
    return 0;
}
