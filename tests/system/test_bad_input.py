"""Whatever is wrong with a request: the exact status and code, a sentence that helps, and a server that goes on."""

import json
import time

import pytest
import requests

SERVER = {"workers_count": 2, "http_max_body": "64KiB", "http_request_timeout": "2s", "jobs_max_result": "4KiB"}

JSON = "Content-Type: application/json\r\n"


def refused(client, body, status, code, path="/v1/jobs"):
    answer = client.post(path, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


# ── the body as JSON ──


def test_broken_json_is_shown_with_line_column_and_caret(client):
    body = '{\n  "task": "echo",\n  "args": {"a" 1}\n}'
    problem = refused(client, body, 400, "invalid_json")
    assert "line 3" in problem["detail"] and "column 16" in problem["detail"], problem["detail"]
    lines = problem["detail"].splitlines()
    caret = next(n for n, line in enumerate(lines) if line.strip() == "^")
    assert lines[caret - 1][lines[caret].index("^"):].startswith("1}")


@pytest.mark.parametrize("body", ["", "   ", "{", "[", '{"task":"echo"', '{"task":"echo",}', '{"task":"echo"} x',
                                  "{'task':'echo'}", '{"task":echo}', '{"task":"ec\nho"}', '{"task":"\\x"}',
                                  '{"task":"echo","args":01}', '{"task":"echo","args":NaN}', "nul"])
def test_what_is_not_json_is_refused(client, body):
    refused(client, body, 400, "invalid_json")


@pytest.mark.parametrize("body", ["[]", '"echo"', "1", "null", '[{"task":"echo"}]'])
def test_what_is_json_but_no_object_is_refused(client, body):
    refused(client, body, 422, "invalid_field")


@pytest.mark.parametrize("body", ['{"task":"echo","task":"sleep"}', '{"task":"echo","args":{"a":1,"b":{"c":1,"c":2}}}',
                                  '{"task":"echo","args":1,"ar\\u0067s":2}'])
def test_duplicate_keys_are_refused_at_any_depth(client, body):
    refused(client, body, 400, "duplicate_key")


def test_too_deep_json_is_refused_and_the_deepest_allowed_is_not(client):
    def nested(depth):
        return '{"task":"echo","args":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    refused(client, nested(65), 400, "json_too_deep")
    refused(client, nested(30000), 400, "json_too_deep")
    assert client.post("/v1/jobs?wait=10", nested(64)).json()["state"] == "succeeded"


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"])
def test_invalid_utf8_is_refused(client, bad):
    refused(client, b'{"task":"echo","args":"a' + bad + b'b"}', 400, "invalid_utf8")


def test_a_nul_byte_in_the_body_is_refused(client):
    refused(client, b'{"task":"echo","args":"a\0b"}', 400, "invalid_json")
    refused(client, b'{"task":"echo"}\0', 400, "invalid_json")


def test_an_escaped_nul_is_kept_in_arguments_and_refused_in_names(client):
    assert client.post("/v1/jobs?wait=10", '{"task":"echo","args":"a\\u0000b"}').json()["result"] == "a\0b"
    problem = client.post("/v1/jobs", '{"task":"echo\\u0000x"}')
    assert problem.status_code == 422 and problem.json()["code"] in ("invalid_field", "unknown_task")


def test_numbers_beyond_a_double_are_refused(client):
    refused(client, '{"task":"echo","args":1e999}', 422, "number_out_of_range")
    refused(client, '{"task":"echo","args":[{"n":-1e400}]}', 422, "number_out_of_range")


# ── the body as a job ──


def test_an_unknown_task_is_refused_with_the_nearest_name(client):
    problem = refused(client, {"task": "eccho"}, 422, "unknown_task")
    assert "eccho" in problem["detail"] and "echo" in problem["detail"] + problem["hint"]
    assert problem["errors"][0]["pointer"] == "/task"
    problem = refused(client, {}, 404, "unknown_task", path="/v1/tasks/eccho/jobs")
    assert "echo" in problem["detail"] + problem["hint"]
    refused(client, {}, 404, "unknown_task", path="/v1/tasks/eccho/call")


def test_an_unknown_field_is_refused_with_the_nearest_name(client):
    problem = refused(client, {"task": "echo", "arg": {}}, 422, "unknown_field")
    assert problem["errors"][0]["pointer"] == "/arg" and "args" in json.dumps(problem)
    problem = refused(client, {"task": "echo", "retry": {"max_atempts": 1}}, 422, "unknown_field")
    assert problem["errors"][0]["pointer"] == "/retry/max_atempts" and "max_attempts" in json.dumps(problem)


def test_a_missing_task_is_refused(client):
    problem = refused(client, {"args": 1}, 422, "invalid_field")
    assert "task" in problem["detail"]


@pytest.mark.parametrize("field, value", [
    ("task", 5), ("task", None), ("task", ["echo"]), ("task", ""), ("queue", 1), ("queue", "no spaces"), ("queue", "x" * 64),
    ("priority", "high"), ("priority", 10), ("priority", -1), ("priority", 1.5), ("timeout", "1h"), ("timeout", 0),
    ("timeout", -1), ("durability", "forever"), ("durability", True), ("retry", 3), ("retry", []),
])
def test_a_field_of_the_wrong_type_or_value_is_refused_by_name(client, field, value):
    body = {"task": "echo", field: value}
    answer = client.post("/v1/jobs", body)
    problem = answer.json()
    expected = ("invalid_field", "unknown_task") if field == "task" and value == "" else ("invalid_field",)
    assert answer.status_code == 422 and problem["code"] in expected, answer.text
    assert problem["errors"][0]["pointer"] == f"/{field}"


@pytest.mark.parametrize("field, value", [("max_attempts", 0), ("max_attempts", "3"), ("backoff", "random"),
                                          ("initial", -1), ("jitter", 1.5), ("max", "1s")])
def test_a_retry_policy_that_makes_no_sense_is_refused(client, field, value):
    problem = refused(client, {"task": "echo", "retry": {field: value}}, 422, "invalid_field")
    assert problem["errors"][0]["pointer"] == f"/retry/{field}"


def test_every_fault_of_a_body_is_listed(client):
    problem = refused(client, {"task": "echo", "priority": 11, "timeout": "x"}, 422, "invalid_field")
    assert {one["pointer"] for one in problem["errors"]} == {"/priority", "/timeout"}


@pytest.mark.parametrize("path", ["/v1/jobs?wait=x", "/v1/jobs?wait=-1", "/v1/jobs?wait=1&wait=2", "/v1/jobs?wiat=1"])
def test_bad_query_parameters_of_a_submit_are_refused(client, path):
    answer = client.post(path, {"task": "echo"})
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_parameter"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=100000", "state=done", "cursor=rubbish", "colour=red",
                                   "created_after=yesterday", "created_before=2024-13-01T00:00:00Z"])
def test_bad_query_parameters_of_a_list_are_refused(client, query):
    answer = client.get("/v1/jobs?" + query)
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_parameter", answer.text
    assert query.partition("=")[0] in answer.text


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\there"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(server, key):
    body = '{"task":"echo"}'
    with server.raw() as raw:
        raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Idempotency-Key: {key}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body}")
        status, _, answer = raw.answer()
    assert status == 422 and json.loads(answer)["code"] == "invalid_parameter"


# ── the request as HTTP ──


def test_a_form_is_refused_and_the_hint_names_curl_json(client):
    answer = client.request("POST", "/v1/jobs", data='{"task":"echo"}',
                            headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 415 and answer.json()["code"] == "unsupported_media_type"
    assert "--json" in answer.json()["hint"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonx", "multipart/form-data; boundary=x", ""])
def test_other_content_types_are_refused(client, content_type):
    answer = client.request("POST", "/v1/jobs", data='{"task":"echo"}', headers={"Content-Type": content_type})
    assert answer.status_code == 415 and answer.json()["code"] == "unsupported_media_type"


def test_a_charset_of_utf8_is_fine(client):
    answer = client.request("POST", "/v1/jobs", data='{"task":"echo"}',
                            headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 202


def test_too_large_a_body_is_refused_with_and_without_a_length(server, client):
    large = json.dumps({"task": "echo", "args": "x" * 70_000})
    refused(client, large, 413, "body_too_large")
    with server.raw() as raw:
        raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n")
        raw.send(f"{len(large):x}\r\n{large}\r\n0\r\n\r\n")
        status, _, body = raw.answer()
    assert status == 413 and json.loads(body)["code"] == "body_too_large"


def test_a_huge_length_is_refused_before_the_body_comes(server):
    with server.raw() as raw:
        raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 99999999999\r\n\r\n")
        status, headers, body = raw.answer()
        assert status == 413 and json.loads(body)["code"] == "body_too_large"
        assert headers["connection"].lower() == "close" and raw.closed()


def test_a_chunked_body_is_accepted(server):
    with server.raw() as raw:
        raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
                 '6\r\n{"task\r\n9\r\n":"echo"}\r\n0\r\n\r\n')
        assert raw.answer()[0] == 202


SMUGGLED = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
MALFORMED = {
    "two Content-Length, equal": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 15\r\n"
                                 'Content-Length: 15\r\n\r\n{"task":"echo"}',
    "two Content-Length, different": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 15\r\n"
                                     f'Content-Length: 0\r\n\r\n{{"task":"echo"}}',
    "Content-Length and Transfer-Encoding": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 4\r\n"
                                            f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "Transfer-Encoding gzip": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: gzip\r\n\r\n",
    "Transfer-Encoding gzip, chunked": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}"
                                       "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding xchunked": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}"
                                  "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two Transfer-Encoding": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n"
                             "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "two Hosts": "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "two equal Hosts": "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "no Host": "GET /livez HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "%00 in the path": "GET /livez%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "%00 in the query": "GET /v1/jobs?state=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an escape": "GET /v1/jobs/%4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no hexadecimal escape": "GET /v1/jobs/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("request_text", MALFORMED.values(), ids=MALFORMED.keys())
def test_ambiguous_http_is_refused_and_nothing_behind_it_is_served(server, request_text):
    with server.raw() as raw:
        raw.send(request_text)
        raw.send(SMUGGLED)
        status, headers, body = raw.answer()
        assert status == 400, body
        assert headers["content-type"].startswith("application/problem+json")
        assert json.loads(body)["code"] == "bad_request"
        assert headers["connection"].lower() == "close"
        assert raw.closed(), f"something was served behind it: {raw.buffer!r}"


def test_lengths_that_libmicrohttpd_itself_refuses_end_the_connection(server):
    """Its page is HTML, and version 0.9.75 sends its head twice; but nothing is read behind it."""
    for length in ("15, 15", "-1", "0x0f", "15a", "9" * 30):
        with server.raw() as raw:
            raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {length}\r\n\r\n"
                     f'{{"task":"echo"}}{SMUGGLED}')
            text = b""
            while data := raw.socket.recv(65536):
                text += data
        assert text.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")) and b"onnection: close" in text, (length, text)
        assert b"HTTP/1.1 20" not in text, (length, text)


NO_HTTP = {
    "a TLS greeting": "\x16\x03\x01\x02\0\x01",
    "a method alone": "GET\r\n\r\n",
    "HTTP/0.9": "GET /livez\r\n\r\n",
    "words": "HELLO WORLD FOO\r\n\r\n",
    "a version of the future": "GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "NUL bytes": "\0\0\0\0\r\n\r\n",
    "empty lines": "\r\n" * 2000,
    "a target without slash": "GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("text", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http_never_succeeds_and_harms_nobody(server, client, text):
    with server.raw(5) as raw:
        raw.send(text.encode("latin-1"))
        raw.socket.shutdown(1)
        try:
            answer = raw.answer()
        except AssertionError:
            answer = None  # an HTTP/0.9 answer has no headers
    assert answer is None or answer[0] >= 400, answer
    assert client.get("/livez").status_code == 200


def test_headers_beyond_the_limit_are_refused(server, client):
    with server.raw() as raw:
        raw.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n" + f"X-Long: {'x' * 60_000}\r\n\r\n")
        answer = raw.answer()
    assert answer is None or answer[0] in (413, 431), answer
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8080"])
def test_a_foreign_host_name_is_misdirected(client, host):
    answer = client.get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == 421 and answer.json()["code"] == "misdirected_request"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:1234"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_pages_of_other_sites_may_not_submit(client, origin):
    answer = client.post("/v1/jobs", {"task": "echo"}, headers={"Origin": origin})
    assert answer.status_code == 403 and answer.json()["code"] == "origin_refused"


@pytest.mark.parametrize("job_id", ["018f0000-0000-7000-8000-000000000000", "nonsense", "1", "x" * 500, "..",
                                    "018F0000-0000-7000-8000-00000000000", "%e2%82%ac", "0"])
def test_an_unknown_or_malformed_id_is_an_unknown_job(client, job_id):
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/log"), ("GET", "/attempts"), ("POST", "/cancel")):
        answer = client.session.send(prepared(client, method, f"/v1/jobs/{job_id}{path}"), timeout=10)
        assert answer.status_code == 404 and answer.json()["code"] == "unknown_job", (method, path, answer.text)


def prepared(client, method, path):
    """A request whose path is sent as it stands."""
    one = requests.Request(method, client.base + "/x").prepare()
    one.url = client.base + path
    return one


@pytest.mark.parametrize("path", ["/v1", "/v2/jobs", "/v1/job", "/favicon.ico", "/v1/jobs/", "//", "/v1/jobs/x/y/z"])
def test_an_unknown_path_is_not_found(client, path):
    answer = client.session.send(prepared(client, "GET", path), timeout=10)
    assert answer.status_code == 404 and answer.json()["code"] in ("unknown_path", "unknown_job"), answer.text


@pytest.mark.parametrize("method, path, allowed", [
    ("DELETE", "/v1/jobs", {"GET", "POST"}), ("PUT", "/v1/jobs", {"GET", "POST"}), ("POST", "/livez", {"GET"}),
    ("GET", "/v1/tasks/echo/call", {"POST"}), ("PATCH", "/metrics", {"GET"}), ("BREW", "/v1/stats", {"GET"}),
])
def test_a_wrong_method_is_refused_and_the_right_ones_are_named(client, method, path, allowed):
    answer = client.request(method, path)
    assert answer.status_code == 405 and answer.json()["code"] == "method_not_allowed"
    named = {one.strip() for one in answer.headers["Allow"].split(",")}
    assert allowed <= named <= allowed | {"HEAD", "OPTIONS"}, named


# ── slow clients and large results ──


@pytest.mark.parametrize("beginning", ["", "GET /livez HTTP/1.1\r\nHost: lo",
                                       f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 100\r\n\r\n{{"])
def test_a_slow_client_is_ended_in_time_and_harms_nobody(server, client, beginning):
    with server.raw(15) as raw:
        began = time.monotonic()
        raw.send(beginning)
        assert client.get("/livez").status_code == 200
        answer = raw.answer()
        took = time.monotonic() - began
    assert 1.5 < took < 8, took
    if answer:
        assert answer[0] == 408 and json.loads(answer[2])["code"] == "request_timeout"


def test_a_trickle_of_bytes_does_not_hold_a_connection_for_ever(server):
    text = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 10000\r\n\r\n"
    began = time.monotonic()
    with server.raw(0.1) as raw:
        try:
            while time.monotonic() - began < 12:
                raw.send(text[:1])
                text = text[1:] or " "
                try:
                    if not raw.socket.recv(4096):
                        break
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - began < 10


def test_a_result_that_is_too_large_fails_its_job(client):
    job = client.submit("echo", "x" * 5000, wait=10)
    assert job["state"] == "failed" and job["error"]["code"] == "result_too_large"
    assert job["attempt"] == 1, "no further attempt makes sense"
    assert client.submit("echo", "x" * 4000, wait=10)["state"] == "succeeded"


def test_after_all_this_the_server_is_as_it_was(server, client):
    assert client.get("/readyz").status_code == 200
    assert client.submit("echo", 1, wait=10)["attempt"] == 1
    assert not server.events("front.die") and not server.events("worker.die")
