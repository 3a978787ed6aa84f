#include "json.h"
#include "run.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#define T(literal) literal, sizeof literal - 1

/* A copy that ends where the text ends, so that the address sanitizer sees a byte read too far. */
static char *exact(const char *text, size_t bytes)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    return copy;
}

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static void ck_span(struct json_span found, const char *expected)
{
    ck_assert_msg(found.bytes == strlen(expected) && memcmp(found.at, expected, found.bytes) == 0,
                  "%.*s != %s", (int)found.bytes, found.at, expected);
}

static enum err scan_text(const char *text, struct json_scan *scan)
{
    struct json_fault fault;
    return json_scan(text, strlen(text), scan, &fault);
}

/* ------------------------------------------------------------------------------------------- what is
 * accepted */

static const struct {
    const char *text;
    size_t bytes;
    char type;
} VALID[] = {
    {T("{}"), '{'},
    {T("[]"), '['},
    {T("\"\""), '"'},
    {T("0"), '0'},
    {T("-0"), '0'},
    {T("-1.5e-7"), '0'},
    {T("1E+2"), '0'},
    {T("0.0"), '0'},
    {T("0e0"), '0'},
    {T("true"), 't'},
    {T("false"), 'f'},
    {T("null"), 'n'},
    {T(" \t\r\n null \t\r\n "), 'n'},
    {T("[ [ ] , { } ]"), '['},
    {T("{\"a\":{\"a\":{\"a\":[]}},\"b\":0}"), '{'},
    {T("{\"\":1}"), '{'},
    {T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""), '"'},
    {T("\"\\u0000\""), '"'},
    {T("\"\\ud83d\\ude00 \\uD83D\\uDE00\""), '"'},
    {T("\"\\uffff\\ue000\\ud7ff\""), '"'},
    {T("\"\x7f\""), '"'},
    {T("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""), '"'},
    {T("\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""), '"'},
    {T("\"0123456789abcdef0123456789abcdef\xc3\xa9"
       "0123456789abcdef\""),
     '"'},
    {T("1e-999999"), '0'},                        /* becomes 0, as in every language */
    {T("123456789012345678901234567890.0"), '0'}, /* kept as text */
    {T("1.7976931348623157e308"), '0'},
};

START_TEST(valid_texts_are_accepted_and_their_type_told)
{
    struct json_scan scan;
    struct json_fault fault = {.what = ""};
    char *text = exact(VALID[_i].text, VALID[_i].bytes);
    ck_assert_msg(json_check(text, VALID[_i].bytes, &scan, &fault) == ERR_OK, "%s: %s", VALID[_i].text,
                  fault.what);
    ck_assert_int_eq(scan.type, VALID[_i].type);
    free(text);
}
END_TEST

START_TEST(integers_of_any_length_within_the_range_of_a_double_are_accepted)
{
    char digits[400];
    struct json_fault fault;
    memset(digits, '9', sizeof digits);
    ck_assert_int_eq(json_check(digits, 308, NULL, &fault), ERR_OK);
    ck_assert_int_eq(json_check(digits, 400, NULL, &fault), ERR_NUMBER_RANGE);
    ck_assert_uint_eq(fault.at, 0);
    ck_assert_ptr_nonnull(strstr(fault.what, "the number 9999"));
    digits[1] = '.';
    ck_assert_int_eq(json_check(digits, 400, NULL, &fault), ERR_OK);
}
END_TEST

/* -------------------------------------------------------------------------------------------- what is
 * refused */

struct refusal {
    const char *text;
    size_t bytes;
    size_t at, line, column;
    enum err err;
    const char *what; /* how the sentence begins */
};

#define BAD(text, at, line, column, what)                                                                    \
    {                                                                                                        \
        T(text), at, line, column, ERR_INVALID_JSON, what                                                    \
    }
#define BYTES(text, at, column, what)                                                                        \
    {                                                                                                        \
        T(text), at, 1, column, ERR_INVALID_UTF8, what                                                       \
    }

static const struct refusal REFUSED[] = {
    BAD("", 0, 1, 1, "the body is empty"),
    BAD(" \r\n\t ", 0, 1, 1, "the body is empty"),
    /* the text ends early */
    BAD("[1,\n2\n\n", 5, 2, 2, "the text ends early: a comma or ] is missing"),
    BAD("{\"a\":1", 6, 1, 7, "the text ends early: a comma or } is missing"),
    BAD("{\"a\":", 5, 1, 6, "the text ends early: a value is missing"),
    BAD("{\"a\"", 4, 1, 5, "the text ends early: a colon is missing after the member's name"),
    BAD("{", 1, 1, 2, "the text ends early: a member's name in double quotes or } is missing"),
    BAD("[1, \"abc", 4, 1, 5, "the closing quote of this string is missing"),
    BAD("\"abc\\", 0, 1, 1, "the closing quote of this string is missing"),
    BAD("\"abc\\\"", 0, 1, 1, "the closing quote of this string is missing"),
    /* separators */
    BAD("[1, 2, ]", 5, 1, 6, "the comma before ] is one too many"),
    BAD("{\"a\":1,\n}", 6, 1, 7, "the comma before } is one too many"),
    BAD("[1 2]", 3, 1, 4, "a comma or ] is missing"),
    BAD("{\n  \"a\": 1\n  \"b\": 2\n}", 13, 3, 3, "a comma or } is missing"),
    BAD("[,1]", 1, 1, 2, "a value is missing before ,"),
    BAD("[1,,2]", 3, 1, 4, "a value is missing before ,"),
    BAD("{\"a\":}", 5, 1, 6, "a value is missing before }"),
    BAD("{\"a\":,}", 5, 1, 6, "a value is missing before ,"),
    BAD("{,}", 1, 1, 2, "a member's name is missing before ,"),
    BAD("{\"a\" 1}", 5, 1, 6, "a colon is missing after the member's name"),
    BAD("{\"a\"=1}", 4, 1, 5, "a colon is missing after the member's name"),
    BAD("[1}", 2, 1, 3, "a comma or ] is missing"),
    BAD("{\"a\":1]", 6, 1, 7, "a comma or } is missing"),
    BAD("]", 0, 1, 1, "a value is missing before ]"),
    BAD("{} {}", 3, 1, 4, "more text follows the JSON value; only one is allowed"),
    BAD("{}\n{}", 3, 2, 1, "more text follows the JSON value; only one is allowed"),
    BAD("1 2", 2, 1, 3, "more text follows"),
    BAD("[]]", 2, 1, 3, "more text follows"),
    /* the habits of other languages */
    BAD("{'a':1}", 1, 1, 2, "strings stand in double quotes, not in single quotes"),
    BAD("{\"a\":'b'}", 5, 1, 6, "strings stand in double quotes, not in single quotes"),
    BAD("[`b`]", 1, 1, 2, "strings stand in double quotes, not in backquotes"),
    BAD("[\xe2\x80\x9c"
        "b\xe2\x80\x9d]",
        1, 1, 2, "typographic quotes are not JSON"),
    BAD("{a:1}", 1, 1, 2, "the member's name a needs double quotes"),
    BAD("{1:2}", 1, 1, 2, "a member's name must be a string in double quotes"),
    BAD("[1] // why", 4, 1, 5, "comments are not allowed in JSON"),
    BAD("/* why */ []", 0, 1, 1, "comments are not allowed in JSON"),
    BAD("{\n# why\n}", 2, 2, 1, "comments are not allowed in JSON"),
    BAD("[NaN]", 1, 1, 2, "NaN is not a JSON number; send null or a string"),
    BAD("Infinity", 0, 1, 1, "Infinity is not a JSON number"),
    BAD("[-Infinity]", 1, 1, 2, "-Infinity is not a JSON number"),
    BAD("[-inf]", 1, 1, 2, "-inf is not a JSON number"),
    BAD("{\"a\": True}", 6, 1, 7, "True must be written true"),
    BAD("[FALSE]", 1, 1, 2, "FALSE must be written false"),
    BAD("[None]", 1, 1, 2, "None must be written null"),
    BAD("[undefined]", 1, 1, 2, "undefined must be written null"),
    BAD("[hello]", 1, 1, 2, "hello is not a JSON value; a string needs double quotes"),
    BAD("nulls", 0, 1, 1, "nulls is not a JSON value"),
    BAD("tru", 0, 1, 1, "tru is not a JSON value"),
    BAD("@", 0, 1, 1, "a value cannot begin with @"),
    BAD("\xef\xbb\xbf{}", 0, 1, 1, "the text begins with a byte order mark (U+FEFF); send it without"),
    BAD("[1,\xc2\xa0"
        "2]",
        3, 1, 4, "the character U+00A0 is not white space in JSON"),
    BAD("[\xc3\xa9]", 1, 1, 2, "a value cannot begin with this character"),
    BAD("[1,\0]", 3, 1, 4, "a NUL byte cannot stand in JSON; perhaps the text is UTF-16"),
    BAD("{\0\"\0}\0", 1, 1, 2, "a NUL byte cannot stand in JSON"),
    BAD("[1,\f2]", 3, 1, 4, "control character 0x0c is not white space in JSON"),
    /* numbers */
    BAD("[01]", 1, 1, 2, "a number may not begin with a needless 0"),
    BAD("-012", 0, 1, 1, "a number may not begin with a needless 0"),
    BAD("0x1F", 0, 1, 1, "hexadecimal numbers are not JSON"),
    BAD("[+1]", 1, 1, 2, "a number may not begin with +"),
    BAD(".5", 0, 1, 1, "a number needs a digit before its point"),
    BAD("[1.]", 1, 1, 2, "a number needs a digit after its point"),
    BAD("1.e5", 0, 1, 1, "a number needs a digit after its point"),
    BAD("1e", 0, 1, 1, "a number's exponent needs digits"),
    BAD("1e+", 0, 1, 1, "a number's exponent needs digits"),
    BAD("-", 0, 1, 1, "a minus sign must be followed by a digit"),
    BAD("--1", 0, 1, 1, "a minus sign must be followed by a digit"),
    BAD("1_000", 0, 1, 1, "a number may hold only digits, one point and an exponent"),
    BAD("[1.2.3]", 1, 1, 2, "a number may hold only digits"),
    BAD("[1-2]", 1, 1, 2, "a number may hold only digits"),
    /* strings */
    BAD("\"a\tb\"", 2, 1, 3, "a tab in a string must be written \\t"),
    BAD("\"a\nb\"", 2, 1, 3, "a line break in a string must be written \\n, or the closing quote is missing"),
    BAD("\"a\x01\"", 2, 1, 3, "control character 0x01 in a string must be written \\u0001"),
    BAD("\"a\0\"", 2, 1, 3, "control character 0x00 in a string must be written \\u0000"),
    BAD("[\"C:\\Users\"]", 4, 1, 5, "\\U is no escape; a backslash is written \\\\"),
    BAD("\"\\\xc3\xa9\"", 1, 1, 2, "a backslash in a string is written \\\\"),
    BAD("\"\\u12G4\"", 1, 1, 2, "\\u needs four hexadecimal digits"),
    BAD("\"\\u12\"", 1, 1, 2, "\\u needs four hexadecimal digits"),
    BAD("\"ab\\ud800\"", 3, 1, 4, "\\ud800 is half of a surrogate pair; the second half is missing"),
    BAD("\"\\ud800\\u0041\"", 1, 1, 2, "\\ud800 is half of a surrogate pair; the second half is missing"),
    BAD("\"\\uDC00\"", 1, 1, 2, "\\udc00 is half of a surrogate pair; the first half is missing"),
    BAD("{\"a\\u0000b\":1}", 3, 1, 4, "a member's name may not hold \\u0000"),
    /* columns count characters */
    BAD("[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\", x]", 14, 1, 9, "x is not a JSON value"),
    BAD("[\r\n 1,\r\n x]", 9, 3, 2, "x is not a JSON value"),
    /* UTF-8 */
    BYTES("\"\x80\"", 1, 2, "byte 0x80 begins no UTF-8 character"),
    BYTES("\"caf\xe9\"", 4, 5, "byte 0xe9 does not continue as UTF-8 does; perhaps the text is Latin-1"),
    BYTES("\"\xc0\xaf\"", 1, 2, "the character that begins with byte 0xc0 is longer than UTF-8 allows"),
    BYTES("\"\xc1\xbf\"", 1, 2, "the character that begins with byte 0xc1 is longer than UTF-8 allows"),
    BYTES("\"\xe0\x9f\xbf\"", 1, 2, "the character that begins with byte 0xe0 is longer than UTF-8 allows"),
    BYTES("\"\xf0\x8f\xbf\xbf\"", 1, 2,
          "the character that begins with byte 0xf0 is longer than UTF-8 allows"),
    BYTES("\"\xed\xa0\x80\"", 1, 2, "half of a surrogate pair"),
    BYTES("\"\xed\xbf\xbf\"", 1, 2, "half of a surrogate pair"),
    BYTES("\"\xf4\x90\x80\x80\"", 1, 2, "the character that begins with byte 0xf4 lies beyond U+10FFFF"),
    BYTES("\"\xf5\x80\x80\x80\"", 1, 2, "the character that begins with byte 0xf5 lies beyond U+10FFFF"),
    BYTES("\"\xff\"", 1, 2, "byte 0xff begins no UTF-8 character"),
    BYTES("\"\xc3\xa9\xe2\x82", 3, 3, "the text ends inside the UTF-8 character that begins with byte 0xe2"),
    BYTES("\"\xf0\x9f\x98", 1, 2, "the text ends inside the UTF-8 character that begins with byte 0xf0"),
    BYTES("\"\xe2\x82\"", 1, 2, "byte 0xe2 does not continue as UTF-8 does"),
    BYTES("[\xff]", 1, 2, "byte 0xff begins no UTF-8 character"),
    BYTES("\xff\xfe{\0}\0", 0, 1, "the text is UTF-16 (it begins with byte 0xff); send UTF-8"),
    /* jansson's part */
    {T("{\"a\":1,\n \"a\":2}"), 9, 2, 2, ERR_DUPLICATE_KEY, "this object already has a member \"a\""},
    {T("[[{\"x\":{\"k\":1, \"b\":[], \"\\u006b\" :2}}]]"), 23, 1, 24, ERR_DUPLICATE_KEY,
     "this object already has a member \"\\u006b\""},
    {T("{\"\xc3\xa9\":1,\"\\u00e9\":2}"), 8, 1, 8, ERR_DUPLICATE_KEY, "this object already has a member"},
    {T("{\"a\\\"b\":\"a\\\\\",\"a\\\"b\":2}"), 14, 1, 15, ERR_DUPLICATE_KEY, "this object already has"},
    {T("{\"\":1,\"\":2}"), 6, 1, 7, ERR_DUPLICATE_KEY, "this object already has a member \"\""},
    {T("1e400"), 0, 1, 1, ERR_NUMBER_RANGE, "the number 1e400 is beyond the range of a double"},
    {T("{\"a\": [1,\n -1.5e309 ]}"), 11, 2, 2, ERR_NUMBER_RANGE, "the number -1.5e309 is beyond"},
};

START_TEST(invalid_texts_are_refused_with_place_and_reason)
{
    const struct refusal *bad = &REFUSED[_i];
    struct json_fault fault = {.what = ""};
    char *text = exact(bad->text, bad->bytes);
    enum err err = json_check(text, bad->bytes, NULL, &fault);
    ck_assert_msg(err == bad->err && fault.err == err, "%s: %s", bad->text, err_code(err));
    ck_assert_msg(strncmp(fault.what, bad->what, strlen(bad->what)) == 0, "%s: %s", bad->text, fault.what);
    ck_assert_msg(fault.at == bad->at && fault.line == bad->line && fault.column == bad->column,
                  "%s: at %zu, line %zu, column %zu", bad->text, fault.at, fault.line, fault.column);
    ck_assert_int_eq(json_check(text, bad->bytes, NULL, NULL), bad->err);
    free(text);
}
END_TEST

/* --------------------------------------------------------------------------------------------- depth and
 * spans */

static void nest(struct buf *out, int depth, char open)
{
    for (int i = 0; i < depth; i++)
        buf_put(out, open == '[' || i % 2 ? "[" : "{\"a\":");
    for (int i = depth - 1; i >= 0; i--)
        buf_put(out, open == '[' || i % 2 ? "]" : i == depth - 1 ? "0}" : "}");
}

START_TEST(sixty_four_levels_are_accepted_and_sixty_five_are_not)
{
    struct json_fault fault;
    BUF_AUTO good = {0}, bad = {0}, wide = {0};
    nest(&good, 64, '[');
    ck_assert_int_eq(json_check(good.data, good.bytes, NULL, &fault), ERR_OK);
    nest(&bad, 65, '[');
    ck_assert_int_eq(json_check(bad.data, bad.bytes, NULL, &fault), ERR_TOO_DEEP);
    ck_assert_uint_eq(fault.at, 64);
    ck_assert_str_eq(fault.what, "more than 64 arrays and objects lie in each other");
    good.bytes = bad.bytes = 0;
    nest(&good, 64, '{');
    ck_assert_int_eq(json_check(good.data, good.bytes, NULL, &fault), ERR_OK);
    nest(&bad, 65, '{');
    ck_assert_int_eq(json_check(bad.data, bad.bytes, NULL, &fault), ERR_TOO_DEEP);
    buf_put(&wide, "[");
    for (int i = 0; i < 1000; i++)
        buf_put(&wide, "[[]],");
    buf_put(&wide, "{}]");
    ck_assert_int_eq(json_check(wide.data, wide.bytes, NULL, &fault), ERR_OK);
}
END_TEST

START_TEST(a_million_brackets_do_not_overflow_the_stack)
{
    struct json_fault fault;
    char *text = malloc(1000000);
    memset(text, '[', 1000000);
    ck_assert_int_eq(json_scan(text, 1000000, NULL, &fault), ERR_TOO_DEEP);
    free(text);
}
END_TEST

START_TEST(spans_hold_the_text_as_it_was_sent)
{
    struct json_scan scan;
    ck_assert_int_eq(
        scan_text(" { \"task\" : \"sha256\" ,\n\"args\":{ \"n\" : 1.0 , \"m\":[ ]} , \"p\": -0 , "
                  "\"\\u0071\":null,\"e\":\"\\\"\"} ",
                  &scan),
        ERR_OK);
    static const char *const MEMBERS[][2] = {{"task", "\"sha256\""},
                                             {"args", "{ \"n\" : 1.0 , \"m\":[ ]}"},
                                             {"p", "-0"},
                                             {"\\u0071", "null"},
                                             {"e", "\"\\\"\""}};
    ck_assert_int_eq(scan.type, '{');
    ck_assert_uint_eq(scan.member_count, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_span(scan.members[i].key, MEMBERS[i][0]);
        ck_span(scan.members[i].value, MEMBERS[i][1]);
    }
    ck_assert_int_eq(scan.value.at[0], '{');
    ck_assert_int_eq(scan.value.at[scan.value.bytes - 1], '}');
}
END_TEST

START_TEST(the_members_of_a_nested_object_are_had_by_scanning_its_span)
{
    struct json_scan outer, inner;
    ck_assert_int_eq(scan_text("{\"args\":{\"a\":[1,{\"x\":2}],\"b\":3}}", &outer), ERR_OK);
    ck_assert_uint_eq(outer.member_count, 1);
    struct json_span args = outer.members[0].value;
    ck_assert_int_eq(json_scan(args.at, args.bytes, &inner, NULL), ERR_OK);
    ck_assert_uint_eq(inner.member_count, 2);
    ck_span(inner.members[0].value, "[1,{\"x\":2}]");
    ck_span(inner.members[1].key, "b");
}
END_TEST

START_TEST(only_objects_have_members)
{
    struct json_scan scan;
    ck_assert_int_eq(scan_text(" [ {\"a\":1}, 2 ]\n", &scan), ERR_OK);
    ck_assert_uint_eq(scan.member_count, 0);
    ck_span(scan.value, "[ {\"a\":1}, 2 ]");
    ck_assert_int_eq(scan_text("{}", &scan), ERR_OK);
    ck_assert_uint_eq(scan.member_count, 0);
}
END_TEST

START_TEST(members_beyond_the_limit_are_counted_but_not_noted)
{
    BUF_AUTO text = {0};
    for (int i = 0; i < 100; i++)
        buf_printf(&text, "%c\"k%d\":%d", i == 0 ? '{' : ',', i, i);
    buf_put(&text, "}");
    struct {
        struct json_scan scan;
        char guard[16];
    } held;
    memset(held.guard, 'g', sizeof held.guard);
    ck_assert_int_eq(json_scan(text.data, text.bytes, &held.scan, NULL), ERR_OK);
    ck_assert_uint_eq(held.scan.member_count, 100);
    ck_span(held.scan.members[JSON_MAX_MEMBERS - 1].key, "k63");
    ck_assert_int_eq(held.guard[0], 'g');
}
END_TEST

/* ------------------------------------------------------------------------------------------ keys and scalars
 */

START_TEST(keys_are_compared_unescaped)
{
    ck_assert(json_key_is(span("task"), "task"));
    ck_assert(json_key_is(span("t\\u0061sk"), "task"));
    ck_assert(json_key_is(span("\\ud83d\\ude00"), "\xf0\x9f\x98\x80"));
    ck_assert(json_key_is(span(""), ""));
    ck_assert(!json_key_is(span("tasks"), "task"));
    ck_assert(!json_key_is(span("tas"), "task"));
    ck_assert(!json_key_is(span("Task"), "task"));
    ck_assert(!json_key_is(span("a\\nb"), "a\\nb"));
    ck_assert(json_key_is(span("a\\nb"), "a\nb"));
    char key[8];
    ck_assert(json_key(span("t\\u0061sk"), key, sizeof key));
    ck_assert_str_eq(key, "task");
    ck_assert(!json_key(span("eight888"), key, sizeof key));
}
END_TEST

START_TEST(strings_are_unescaped)
{
    char out[64];
    ck_assert(json_text(span("\"\\\"\\\\\\/\\b\\f\\n\\r\\t|\\u00e9\\u20AC\\ud83d\\ude00\xc3\xa9\""), out,
                        sizeof out));
    ck_assert_str_eq(out, "\"\\/\b\f\n\r\t|\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
    ck_assert(json_text(span("\"\""), out, sizeof out));
    ck_assert_str_eq(out, "");
    ck_assert(json_text(span("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""), out, sizeof out));
    ck_assert_str_eq(out, "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
}
END_TEST

START_TEST(strings_that_do_not_fit_or_hold_a_nul_are_refused)
{
    char out[5];
    ck_assert(json_text(span("\"1234\""), out, sizeof out));
    ck_assert(!json_text(span("\"12345\""), out, sizeof out));
    ck_assert(json_text(span("\"123\\n\""), out, sizeof out));
    ck_assert(!json_text(span("\"1234\\n\""), out, sizeof out));
    ck_assert(!json_text(span("\"12\\ud83d\\ude00\""), out, sizeof out));
    ck_assert(!json_text(span("\"a\\u0000\""), out, sizeof out));
    ck_assert(!json_text(span("12"), out, sizeof out));
    ck_assert(!json_text(span("null"), out, sizeof out));
    ck_assert(!json_text(span("\"ab"), out, sizeof out));
    ck_assert(!json_text((struct json_span){NULL, 0}, out, sizeof out));
}
END_TEST

START_TEST(numbers_are_read_as_doubles)
{
    static const struct {
        const char *text;
        double value;
    } CASES[] = {{"0", 0},     {"-1.5", -1.5}, {"1e3", 1000},
                 {"0.1", 0.1}, {"1e-400", 0},  {"9007199254740993", 9007199254740992.0}};
    double value;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ck_assert(json_number(span(CASES[i].text), &value));
        ck_assert_double_eq(value, CASES[i].value);
    }
    char fraction[300];
    memset(fraction, '3', sizeof fraction);
    memcpy(fraction, "0.", 2);
    ck_assert(json_number((struct json_span){fraction, sizeof fraction}, &value));
    ck_assert_double_eq_tol(value, 1.0 / 3, 1e-15);
    static const char *const BAD_NUMBERS[] = {"1e400", "-1e400", "\"1\"", "0x10", "inf",
                                              "nan",   "",       " 1",    "1 ",   "true"};
    for (size_t i = 0; i < sizeof BAD_NUMBERS / sizeof BAD_NUMBERS[0]; i++)
        ck_assert_msg(!json_number(span(BAD_NUMBERS[i]), &value), "%s", BAD_NUMBERS[i]);
}
END_TEST

START_TEST(whole_numbers_are_read_exactly_however_they_are_written)
{
    static const struct {
        const char *text;
        int64_t value;
    } CASES[] = {{"0", 0},
                 {"-0", 0},
                 {"5.0", 5},
                 {"5e0", 5},
                 {"1.5e1", 15},
                 {"-2E2", -200},
                 {"9007199254740993", 9007199254740993},
                 {"9223372036854775807", INT64_MAX},
                 {"-9223372036854775808", INT64_MIN}};
    int64_t value;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ck_assert_msg(json_int(span(CASES[i].text), &value), "%s", CASES[i].text);
        ck_assert_int_eq(value, CASES[i].value);
    }
    static const char *const BAD_INTS[] = {"0.5",
                                           "9223372036854775808",
                                           "-9223372036854775809",
                                           "1e300",
                                           "1e400",
                                           "99999999999999999999999999",
                                           "\"5\"",
                                           "null",
                                           "5 ",
                                           ""};
    for (size_t i = 0; i < sizeof BAD_INTS / sizeof BAD_INTS[0]; i++)
        ck_assert_msg(!json_int(span(BAD_INTS[i]), &value), "%s", BAD_INTS[i]);
}
END_TEST

START_TEST(utf8_characters_are_measured_as_rfc_3629_defines_them)
{
    size_t valid = 0;
    for (unsigned code = 0x80; code < 0x200000; code++) { /* each pattern of the 2-, 3- and 4-byte forms */
        char two[] = {(char)(0xc0 | (code >> 6 & 0x1f)), (char)(0x80 | (code & 0x3f))};
        char three[] = {(char)(0xe0 | (code >> 12 & 0x0f)), (char)(0x80 | (code >> 6 & 0x3f)), two[1]};
        char four[] = {(char)(0xf0 | (code >> 18)), (char)(0x80 | (code >> 12 & 0x3f)), three[1], two[1]};
        if (code < 0x800)
            ck_assert_uint_eq(json_utf8_length(two, 2), 2);
        if (code < 0x10000)
            ck_assert_uint_eq(json_utf8_length(three, 3),
                              code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 0 : 3);
        valid += json_utf8_length(four, 4) == 4;
    }
    ck_assert_uint_eq(valid, 0x100000); /* U+10000 to U+10FFFF */
    ck_assert_uint_eq(json_utf8_length("", 0), 0);
    ck_assert_uint_eq(json_utf8_length("a", 1), 1);
    ck_assert_uint_eq(json_utf8_length("\xc3\xa9", 1), 0);
    ck_assert_uint_eq(json_utf8_length("\xf0\x9f\x98\x80", 3), 0);
}
END_TEST

/* --------------------------------------------------------------------------------------- memory that runs
 * out */

static int allocations_left;

static void *few_allocations(size_t bytes)
{
    if (allocations_left-- > 0)
        return malloc(bytes);
    errno = ENOMEM;
    return NULL;
}

START_TEST(a_check_without_memory_is_never_a_success_and_never_a_crash)
{
    static const char TEXT[] = "{\"a\":[1,\"two\",{\"b\":3.5e1}],\"long name of a member\":null}";
    enum err err = ERR_NO_MEMORY;
    int allowed = 0;
    json_set_alloc_funcs(few_allocations, free);
    for (; err != ERR_OK && allowed < 200; allowed++) {
        struct json_fault fault = {.what = ""};
        allocations_left = allowed;
        err = json_check(TEXT, sizeof TEXT - 1, NULL, &fault);
        ck_assert_msg(err == ERR_OK || err == ERR_NO_MEMORY, "%d: %s %s", allowed, err_code(err), fault.what);
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_gt(allowed, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tests = tcase_create("json");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, valid_texts_are_accepted_and_their_type_told, 0,
                        sizeof VALID / sizeof VALID[0]);
    tcase_add_test(tests, integers_of_any_length_within_the_range_of_a_double_are_accepted);
    tcase_add_loop_test(tests, invalid_texts_are_refused_with_place_and_reason, 0,
                        sizeof REFUSED / sizeof REFUSED[0]);
    tcase_add_test(tests, sixty_four_levels_are_accepted_and_sixty_five_are_not);
    tcase_add_test(tests, a_million_brackets_do_not_overflow_the_stack);
    tcase_add_test(tests, spans_hold_the_text_as_it_was_sent);
    tcase_add_test(tests, the_members_of_a_nested_object_are_had_by_scanning_its_span);
    tcase_add_test(tests, only_objects_have_members);
    tcase_add_test(tests, members_beyond_the_limit_are_counted_but_not_noted);
    tcase_add_test(tests, keys_are_compared_unescaped);
    tcase_add_test(tests, strings_are_unescaped);
    tcase_add_test(tests, strings_that_do_not_fit_or_hold_a_nul_are_refused);
    tcase_add_test(tests, numbers_are_read_as_doubles);
    tcase_add_test(tests, whole_numbers_are_read_exactly_however_they_are_written);
    tcase_add_test(tests, utf8_characters_are_measured_as_rfc_3629_defines_them);
    tcase_add_test(tests, a_check_without_memory_is_never_a_success_and_never_a_crash);
    return run_suite(suite);
}
