/* The scan and jansson must agree about every text: what one accepts and the other refuses is a hole in one
 * of them. */
#include "json.h"
#include "run.h"

#include <jansson.h>
#include <string.h>

enum { DOCUMENTS = 20000, ROOM = 4096, FLAGS = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL };

static const char *const SEEDS[] = {
    "{\"task\":\"sha256\",\"args\":{\"path\":\"/etc/hosts\"},\"priority\":9,\"tags\":[\"a\",\"b\"]}",
    "[0,-0,1.5,-2.25e10,1E-7,123456789012345678901234567890,1e308,0.0e+0]",
    "{\"nested\":{\"nested\":{\"nested\":[[[{}]],[],{\"a\":null}]}},\"last\":true}",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\",\"\\u0000\"]",
    "[\"gr\xc3\xbc\xc3\x9f\",\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\",\"\xed\x9f\xbf\xee\x80\x80\"]",
    "[\"\xc2\x80\"]",
    " {\n\t\"a\" : [ true , false , null ] ,\r\n \"b\" : { } ,\n \"a b\" : \"\" }\n",
    "\"just a string that is somewhat longer than eight bytes, as results are\"",
    "{\"a\":1,\"b\":2,\"c\":{\"a\":1,\"b\":2},\"d\":[{\"a\":1},{\"a\":1}],\"e\\u0065\":0}",
    "-12.5e-3",
    "[[1,2],[3,4],{\"k\":[5,6,{\"k\":[7,8]}]}]",
};

/* clang-format off */
static const char *const PIECES[] = {
    "{", "}", "[", "]", ",", ":", "\"", "\\", "0", "1", "-", "+", ".", "e", "E", "9", " ", "\n", "\t",
    "'", "//", "/*", "#", "true", "false", "null", "nul", "NaN", "Infinity", "\\u", "\\ud800", "\\udc00",
    "\\u0000", "\\ud83d\\ude00", "\\x", "\xef\xbb\xbf", "\xc3", "\xa9", "\xe2\x82", "\xed\xa0\x80",
    "\xf4\x90\x80\x80", "\xc0\x80", "\xff", "\x7f", "\x1f", "1e400", "1e999999999999", "00", "\"a\":1",
    ",\"a\":1", "\"\"", "{}", "[]", "\"a\"", "\f", "\v", "\r", "\"a\":0,", "\"\\u0061\":[],", "\"b\":1,",
    "0,", "-1e309,",
};
/* clang-format on */

static uint64_t state;

static size_t below(size_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return limit == 0 ? 0 : (size_t)(state >> 11) % limit;
}

static void replace(struct buf *text, size_t at, size_t gone, const char *with, size_t bytes)
{
    if (text->bytes - gone + bytes > ROOM)
        return;
    BUF_AUTO result = {0};
    buf_add(&result, text->data, at);
    buf_add(&result, with, bytes);
    buf_add(&result, text->data + at + gone, text->bytes - at - gone);
    text->bytes = 0;
    buf_add(text, result.data, result.bytes);
}

/* The number of bytes up to and including the first of `any`, or all of them. */
static size_t up_to(const char *text, size_t bytes, const char *any)
{
    for (size_t at = 0; at < bytes; at++) {
        if (text[at] != '\0' && strchr(any, text[at]) != NULL)
            return at + 1;
    }
    return bytes;
}

static void mutate(struct buf *text)
{
    char byte = (char)below(256), copy[64];
    size_t at = below(text->bytes + 1), left = text->bytes - at, few = below(left < 12 ? left + 1 : 12);
    const char *piece = PIECES[below(sizeof PIECES / sizeof PIECES[0])];
    switch (below(10)) {
    case 0:
        replace(text, at, left > 0, &byte, 1);
        break;
    case 1:
        replace(text, at, few, "", 0);
        break;
    case 2:
        replace(text, at, 0, &byte, 1);
        break;
    case 3:
        memcpy(copy, text->data + at, few);
        replace(text, below(text->bytes + 1), 0, copy, few);
        break;
    case 4: /* only its beginning */
        if (below(4) == 0)
            text->bytes = at;
        break;
    case 5: /* a member or element twice, if all goes well */
        at += up_to(text->data + at, left, "{[,");
        few = up_to(text->data + at, text->bytes - at, ",");
        few = few < sizeof copy ? few : sizeof copy;
        memcpy(copy, text->data + at, few);
        replace(text, at, 0, copy, few);
        break;
    default:
        if (below(2)) /* a likely place */
            at += up_to(text->data + at, left, "{[,:");
        replace(text, at, below(4) == 0 && at < text->bytes, piece, strlen(piece));
    }
}

static void make_document(struct buf *text)
{
    const char *seed = SEEDS[below(sizeof SEEDS / sizeof SEEDS[0])];
    text->bytes = 0;
    buf_put(text, seed);
    for (size_t i = below(4); i > 0; i--)
        mutate(text);
}

static enum json_error_code ask_jansson(const char *text, size_t bytes, size_t flags)
{
    json_error_t error = {.position = 0};
    json_t *json = json_loadb(text, bytes, flags, &error);
    if (json == NULL)
        return json_error_code(&error) == json_error_unknown ? json_error_invalid_syntax
                                                             : json_error_code(&error);
    json_decref(json);
    return json_error_unknown;
}

/* Line and column as an editor counts them, found in another way than json.c does. */
static void ck_place(const char *text, size_t bytes, const struct json_fault *fault)
{
    ck_assert_uint_le(fault->at, bytes);
    size_t line = 1, begins = 0, column = 1;
    for (const char *end; (end = memchr(text + begins, '\n', fault->at - begins)) != NULL; line++)
        begins = (size_t)(end - text) + 1;
    for (size_t at = begins; at < fault->at; column++) {
        size_t length = json_utf8_length(text + at, bytes - at);
        if (length == 0)
            ck_abort_msg("the fault lies behind byte %zu, which is not UTF-8", at);
        at += length;
    }
    ck_assert_uint_eq(fault->line, line);
    ck_assert_uint_eq(fault->column, column);
}

static void ck_sentence(const struct json_fault *fault)
{
    size_t bytes = strlen(fault->what);
    ck_assert_uint_gt(bytes, 10);
    ck_assert_uint_lt(bytes, sizeof fault->what - 1); /* not cut */
    for (size_t at = 0, length; at < bytes; at += length) {
        length = json_utf8_length(fault->what + at, bytes - at);
        if (length == 0)
            ck_abort_msg("%s", fault->what);
    }
}

static void ck_two_lines_of_utf8(const char *text, size_t bytes, const struct json_fault *fault)
{
    BUF_AUTO out = {0};
    size_t characters = 0, widest = 0, lines = 1;
    json_excerpt(text, bytes, fault, &out);
    for (size_t at = 0, length; at < out.bytes; at += length) {
        length = json_utf8_length(out.data + at, out.bytes - at);
        if (length == 0)
            ck_abort_msg("byte %zu of an excerpt is not UTF-8", at);
        characters = out.data[at] == '\n' ? 0 : characters + 1;
        lines += out.data[at] == '\n';
        widest = characters > widest ? characters : widest;
    }
    ck_assert_uint_eq(lines, 2);
    ck_assert_uint_le(widest, 73);
    ck_assert_int_eq(out.data[out.bytes - 1], '^');
}

static void ck_fault(const char *text, size_t bytes, const struct json_fault *fault)
{
    ck_place(text, bytes, fault);
    ck_sentence(fault);
    ck_two_lines_of_utf8(text, bytes, fault);
}

/* The differences: jansson allows 2,048 levels, and it swallows a NUL byte that follows a number or a
 * literal. */
static bool may_be_refused(const char *text, size_t bytes, enum err err)
{
    return err == ERR_TOO_DEEP || (err == ERR_INVALID_JSON && memchr(text, '\0', bytes) != NULL);
}

static bool scan_agrees(const char *text, size_t bytes, bool *accepted)
{
    struct json_fault fault;
    enum err err = json_scan(text, bytes, NULL, &fault);
    enum json_error_code code = ask_jansson(text, bytes, FLAGS);
    *accepted = err == ERR_OK;
    if (err != ERR_OK)
        ck_fault(text, bytes, &fault);
    return *accepted ? code == json_error_unknown || code == json_error_numeric_overflow
                     : code != json_error_unknown || may_be_refused(text, bytes, err);
}

static bool check_agrees(const char *text, size_t bytes, enum err *err)
{
    struct json_fault fault;
    *err = json_check(text, bytes, NULL, &fault);
    enum json_error_code code = ask_jansson(text, bytes, FLAGS | JSON_REJECT_DUPLICATES);
    if (*err != ERR_OK)
        ck_fault(text, bytes, &fault);
    return *err == ERR_OK              ? code == json_error_unknown
           : *err == ERR_DUPLICATE_KEY ? code == json_error_duplicate_key
           : *err == ERR_NUMBER_RANGE  ? code == json_error_numeric_overflow
                                       : code != json_error_unknown || may_be_refused(text, bytes, *err);
}

START_TEST(a_nul_byte_that_jansson_swallows_is_refused_by_the_scan)
{
    static const char TEXT[] = "[1\0,2]";
    struct json_fault fault;
    ck_assert_int_eq(ask_jansson(TEXT, sizeof TEXT - 1, FLAGS), json_error_unknown);
    ck_assert_int_eq(json_check(TEXT, sizeof TEXT - 1, NULL, &fault), ERR_INVALID_JSON);
    ck_assert_uint_eq(fault.at, 2);
    ck_assert_str_eq(fault.what, "a NUL byte cannot stand in JSON; perhaps the text is UTF-16");
}
END_TEST

START_TEST(scan_and_jansson_agree_about_twenty_thousand_mutated_documents)
{
    size_t counts[ERR_COUNT] = {0}, accepted_count = 0;
    BUF_AUTO text = {0};
    state = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < DOCUMENTS; i++) {
        enum err err;
        bool accepted;
        make_document(&text);
        char *exact = malloc(text.bytes > 0 ? text.bytes : 1); /* ends where the text ends */
        memcpy(exact, text.data, text.bytes);
        ck_assert_msg(scan_agrees(exact, text.bytes, &accepted), "%d, scan: %.*s", i, (int)text.bytes, exact);
        ck_assert_msg(check_agrees(exact, text.bytes, &err), "%d, check: %.*s", i, (int)text.bytes, exact);
        counts[err]++;
        accepted_count += accepted;
        free(exact);
    }
    /* the test is worth something only if it sees all kinds */
    ck_assert_uint_gt(accepted_count, DOCUMENTS / 10);
    ck_assert_uint_gt(counts[ERR_INVALID_JSON], DOCUMENTS / 10);
    ck_assert_uint_gt(counts[ERR_INVALID_UTF8], DOCUMENTS / 100);
    ck_assert_uint_gt(counts[ERR_DUPLICATE_KEY], 10);
    ck_assert_uint_gt(counts[ERR_NUMBER_RANGE], 10);
}
END_TEST

/* The spans of what is accepted are JSON themselves. */
START_TEST(the_span_of_every_member_of_a_mutated_document_is_accepted_by_itself)
{
    BUF_AUTO text = {0};
    state = 0x2545f4914f6cdd1du;
    for (int i = 0; i < DOCUMENTS; i++) {
        struct json_scan scan, part;
        make_document(&text);
        if (json_scan(text.data, text.bytes, &scan, NULL) != ERR_OK)
            continue;
        for (size_t j = 0; j < scan.member_count; j++) {
            struct json_span key = scan.members[j].key, value = scan.members[j].value;
            ck_assert_int_eq(json_scan(key.at - 1, key.bytes + 2, &part, NULL), ERR_OK);
            ck_assert_int_eq(part.type, '"');
            ck_assert_uint_eq(part.value.bytes, key.bytes + 2);
            ck_assert_int_eq(json_scan(value.at, value.bytes, &part, NULL), ERR_OK);
            ck_assert_ptr_eq(part.value.at, value.at);
            ck_assert_uint_eq(part.value.bytes, value.bytes);
        }
    }
}
END_TEST

/* What we unescape is what jansson unescapes. */
START_TEST(unescaped_strings_are_those_of_jansson)
{
    BUF_AUTO text = {0};
    char out[ROOM];
    size_t compared = 0;
    state = 0xda942042e4dd58b5u;
    for (int i = 0; i < DOCUMENTS; i++) {
        text.bytes = 0;
        buf_put(&text, "\"\\u00e9 \\ud83d\\ude00 \\\\ \\\" \\/ \\n\xc3\xa9\"");
        for (size_t rounds = below(4); rounds > 0; rounds--)
            mutate(&text);
        json_t *json = json_loadb(text.data, text.bytes, JSON_DECODE_ANY, NULL);
        if (json_is_string(json)) {
            struct json_scan scan;
            ck_assert_int_eq(json_scan(text.data, text.bytes, &scan, NULL), ERR_OK);
            ck_assert(json_text(scan.value, out, sizeof out));
            ck_assert_str_eq(out, json_string_value(json));
            compared++;
        }
        json_decref(json);
    }
    ck_assert_uint_gt(compared, DOCUMENTS / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_check");
    TCase *tests = tcase_create("mutations");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, a_nul_byte_that_jansson_swallows_is_refused_by_the_scan);
    tcase_add_test(tests, scan_and_jansson_agree_about_twenty_thousand_mutated_documents);
    tcase_add_test(tests, the_span_of_every_member_of_a_mutated_document_is_accepted_by_itself);
    tcase_add_test(tests, unescaped_strings_are_those_of_jansson);
    return run_suite(suite);
}
