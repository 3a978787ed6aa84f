#include "run.h"

#include "routes.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

extern const char api_openapi_json[];
extern const unsigned long api_openapi_json_bytes;

static json_t *openapi;

static void setup(void)
{
    openapi = json_loadb(api_openapi_json, api_openapi_json_bytes, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(openapi);
}

static void teardown(void)
{
    json_decref(openapi);
}

static const json_t *resolve(const json_t *node)
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (reference == NULL)
        return node;
    char path[128], *save;
    snprintf(path, sizeof path, "%s", reference + 2);
    const json_t *at = openapi;
    for (char *part = strtok_r(path, "/", &save); part != NULL; part = strtok_r(NULL, "/", &save))
        at = json_object_get(at, part);
    ck_assert_msg(at != NULL, "%s leads nowhere", reference);
    return at;
}

static const json_t *operation_of(const struct route *route)
{
    char method[16] = "";
    for (size_t i = 0; route->method[i] != '\0'; i++)
        method[i] = (char)tolower(route->method[i]);
    return json_object_get(json_object_get(json_object_get(openapi, "paths"), route->path), method);
}

/* "a b c" holds "b"? */
static bool holds(const char *names, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = names; *at != '\0'; at += strcspn(at, " "), at += *at == ' ') {
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ' ' || at[bytes] == '\0'))
            return true;
    }
    return false;
}

static size_t words(const char *names)
{
    size_t count = names[0] != '\0';
    for (; *names != '\0'; names++)
        count += *names == ' ';
    return count;
}

START_TEST(each_route_is_named_once)
{
    for (size_t i = 0; i < route_count; i++) {
        for (size_t k = 0; k < i; k++) {
            ck_assert_str_ne(routes[i].name, routes[k].name);
            ck_assert(strcmp(routes[i].path, routes[k].path) != 0 ||
                      strcmp(routes[i].method, routes[k].method) != 0);
        }
    }
}
END_TEST

START_TEST(every_route_is_in_openapi_with_its_name_and_its_query)
{
    for (size_t i = 0; i < route_count; i++) {
        const json_t *operation = operation_of(&routes[i]), *parameter;
        size_t index, in_query = 0;
        ck_assert_msg(operation != NULL, "%s %s", routes[i].method, routes[i].path);
        ck_assert_str_eq(json_string_value(json_object_get(operation, "operationId")), routes[i].name);
        ck_assert_str_eq(json_string_value(json_object_get(operation, "summary")), routes[i].summary);
        json_array_foreach(json_object_get(operation, "parameters"), index, parameter)
        {
            parameter = resolve(parameter);
            if (strcmp(json_string_value(json_object_get(parameter, "in")), "query") != 0)
                continue;
            const char *name = json_string_value(json_object_get(parameter, "name"));
            ck_assert_msg(holds(routes[i].parameters, name), "%s: %s", routes[i].name, name);
            in_query++;
        }
        ck_assert_msg(in_query == words(routes[i].parameters), "%s", routes[i].name);
        ck_assert_msg((json_object_get(operation, "requestBody") != NULL) ==
                          ((routes[i].flags & (ROUTE_BODY | ROUTE_LINES)) != 0),
                      "%s", routes[i].name);
    }
}
END_TEST

/* "none" for an empty list of security, the role for [{bearer: [role]}]. */
static const char *stated_scope(const json_t *operation)
{
    const json_t *security = json_object_get(operation, "security");
    ck_assert(json_is_array(security));
    if (json_array_size(security) == 0)
        return "none";
    const json_t *roles = json_object_get(json_array_get(security, 0), "bearer");
    ck_assert_uint_eq(json_array_size(security), 1);
    ck_assert_uint_eq(json_array_size(roles), 1);
    return json_string_value(json_array_get(roles, 0));
}

START_TEST(every_route_needs_the_scope_that_openapi_says)
{
    for (size_t i = 0; i < route_count; i++) {
        const json_t *operation = operation_of(&routes[i]);
        ck_assert_msg(strcmp(stated_scope(operation), scope_word(routes[i].scope)) == 0, "%s",
                      routes[i].name);
        if (routes[i].scope != SCOPE_NONE) {
            const json_t *responses = json_object_get(operation, "responses");
            ck_assert_msg(json_object_get(responses, "401") != NULL, "%s", routes[i].name);
            ck_assert_msg(json_object_get(responses, "403") != NULL, "%s", routes[i].name);
        }
    }
}
END_TEST

START_TEST(only_probes_and_the_version_are_free)
{
    for (size_t i = 0; i < route_count; i++) {
        bool is_free = strcmp(routes[i].path, "/livez") == 0 || strcmp(routes[i].path, "/readyz") == 0 ||
                       strcmp(routes[i].path, "/version") == 0;
        ck_assert_msg((routes[i].scope == SCOPE_NONE) == is_free, "%s", routes[i].name);
        bool reads = strcmp(routes[i].method, "GET") == 0 || strcmp(routes[i].name, "previewSchedule") == 0;
        ck_assert_msg(is_free || (routes[i].scope == SCOPE_READ) == reads, "%s", routes[i].name);
        ck_assert(!is_free || (routes[i].flags & ROUTE_BODY) == 0); /* http_guard counts on it */
    }
}
END_TEST

START_TEST(openapi_has_no_other_operations)
{
    const char *path, *method;
    json_t *item, *operation;
    size_t count = 0;
    json_object_foreach(json_object_get(openapi, "paths"), path, item)
    {
        json_object_foreach(item, method, operation) count++;
    }
    ck_assert_uint_eq(count, route_count);
}
END_TEST

START_TEST(every_error_that_openapi_names_is_in_the_table)
{
    const json_t *schemas = json_object_get(json_object_get(openapi, "components"), "schemas");
    const json_t *problem = json_object_get(schemas, "Problem");
    const json_t *codes =
        json_object_get(json_object_get(json_object_get(problem, "properties"), "code"), "enum");
    size_t index;
    json_t *code;
    ck_assert_uint_gt(json_array_size(codes), 30);
    json_array_foreach(codes, index, code)
    {
        bool found = false;
        for (int err = 0; err < ERR_COUNT; err++)
            found = found || strcmp(err_code((enum err)err), json_string_value(code)) == 0;
        ck_assert_msg(found, "%s", json_string_value(code));
    }
}
END_TEST

START_TEST(every_example_has_one_place_for_the_host)
{
    for (size_t i = 0; i < route_count; i++) {
        if (routes[i].example == NULL)
            continue;
        const char *gap = strstr(routes[i].example, "%s");
        ck_assert_msg(gap != NULL && strstr(gap + 2, "%s") == NULL, "%s", routes[i].name);
    }
}
END_TEST

START_TEST(a_template_matches_whole_segments)
{
    struct text capture = {0};
    ck_assert(routes_match("/v1/jobs/{id}", "/v1/jobs/abc", &capture));
    ck_assert_uint_eq(capture.bytes, 3);
    ck_assert(routes_match("/v1/jobs/{id}/log", "/v1/jobs/abc/log", &capture));
    ck_assert_uint_eq(capture.bytes, 3);
    ck_assert(!routes_match("/v1/jobs/{id}", "/v1/jobs/", &capture));
    ck_assert(!routes_match("/v1/jobs/{id}", "/v1/jobs/a/b", &capture));
    ck_assert(!routes_match("/v1/jobs/{id}", "/v1/jobs/a/", &capture));
    ck_assert(!routes_match("/v1/jobs", "/v1/jobs/", &capture));
    ck_assert(!routes_match("/v1/jobs", "/v1/job", &capture));
    ck_assert(routes_match("/", "/", &capture));
    ck_assert(!routes_match("/", "//", &capture));
}
END_TEST

START_TEST(the_nearest_path_is_found)
{
    const char *cases[][2] = {{"/v1/job", "/v1/jobs"},
                              {"/jobs", "/v1/jobs"},
                              {"/v1/jobs/", "/v1/jobs"},
                              {"/v1/job/17/resutl", "/v1/jobs/17/result"},
                              {"/v1/task/echo/cal", "/v1/tasks/echo/call"},
                              {"/V1/Jobs", "/v1/jobs"},
                              {"/health", NULL},
                              {"/livz", "/livez"},
                              {"/", NULL},
                              {"//", NULL},
                              {"/favicon.ico", NULL},
                              {"/v1/jobs/1/2/3", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char near[512] = "";
        bool found = routes_nearest(cases[i][0], near, sizeof near);
        ck_assert_msg(found == (cases[i][1] != NULL), "%s: %s", cases[i][0], near);
        if (found)
            ck_assert_str_eq(near, cases[i][1]);
    }
}
END_TEST

START_TEST(long_and_odd_paths_have_no_nearest)
{
    char path[5000], near[512];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    ck_assert(!routes_nearest(path, near, sizeof near));
    memset(path, '/', sizeof path - 1);
    ck_assert(!routes_nearest(path, near, sizeof near));
}
END_TEST

START_TEST(the_table_prints_one_line_a_route)
{
    BUF_AUTO out = {0};
    size_t lines = 0;
    routes_print(&out);
    buf_add(&out, "", 1);
    for (const char *at = out.data; *at != '\0'; at++)
        lines += *at == '\n';
    ck_assert_uint_eq(lines, route_count);
    ck_assert_ptr_nonnull(strstr(out.data, "GET /v1/jobs/{id} getJob read wait\n"));
    ck_assert_ptr_nonnull(strstr(out.data, "GET /livez getLive none\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("routes");
    TCase *tcase = tcase_create("routes");
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, each_route_is_named_once);
    tcase_add_test(tcase, a_template_matches_whole_segments);
    tcase_add_test(tcase, the_nearest_path_is_found);
    tcase_add_test(tcase, long_and_odd_paths_have_no_nearest);
    tcase_add_test(tcase, every_example_has_one_place_for_the_host);
    tcase_add_test(tcase, the_table_prints_one_line_a_route);
    tcase_add_test(tcase, every_route_is_in_openapi_with_its_name_and_its_query);
    tcase_add_test(tcase, every_route_needs_the_scope_that_openapi_says);
    tcase_add_test(tcase, only_probes_and_the_version_are_free);
    tcase_add_test(tcase, openapi_has_no_other_operations);
    tcase_add_test(tcase, every_error_that_openapi_names_is_in_the_table);
    return run_suite(suite);
}
