"""api/openapi.yaml is true: the same routes as the code, and live answers that match its schemas, with nothing left out."""

import json
import re

import jsonschema
import pytest
import yaml

from client import ID, TIME
from processes import until
from server import ROOT, run_forkpool

SERVER = {"workers_count": 2}
METHODS = ("get", "put", "post", "patch", "delete", "head", "options")
UNKNOWN = "018f0000-0000-7000-8000-000000000000"

FORMATS = jsonschema.FormatChecker(())
FORMATS.checkers = {"date-time": (lambda text: not isinstance(text, str) or TIME.fullmatch(text), ()),
                    "uuid": (lambda text: not isinstance(text, str) or ID.fullmatch(text), ())}


@pytest.fixture(scope="module")
def document():
    with open(ROOT / "api" / "openapi.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def operations(document):
    """{(METHOD, path): operation}"""
    return {(method.upper(), path): operation for path, item in document["paths"].items()
            for method, operation in item.items() if method in METHODS}


def resolve(document, node):
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def code_routes():
    """{(METHOD, path): (operationId, scope, {query parameters})} as the program prints them."""
    lines = run_forkpool("routes").stdout.splitlines()
    assert lines
    return {(line.split()[0], line.split()[1]): (line.split()[2], line.split()[3], set(line.split()[4:]))
            for line in lines}


def test_the_file_is_openapi_31_and_all_its_references_lead_somewhere(document):
    assert document["openapi"].startswith("3.1")

    def visit(node):
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(document, node)
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(document)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_of_the_code_is_in_the_file_and_the_reverse(document):
    assert set(code_routes()) == set(operations(document))


def test_operations_and_query_parameters_are_the_same_on_both_sides(document):
    for key, (name, _, parameters) in code_routes().items():
        operation = operations(document)[key]
        item = document["paths"][key[1]]
        stated = [resolve(document, one) for one in operation.get("parameters", []) + item.get("parameters", [])]
        assert operation["operationId"] == name
        assert {one["name"] for one in stated if one["in"] == "query"} == parameters, key
        assert {one["name"] for one in stated if one["in"] == "path"} == set(re.findall(r"\{(\w+)\}", key[1])), key


def test_every_operation_states_the_scope_that_the_code_asks_for(document):
    assert list(document["components"]["securitySchemes"]) == ["bearer"]
    for key, (_, scope, _) in code_routes().items():
        assert operations(document)[key]["security"] == ([] if scope == "none" else [{"bearer": [scope]}]), key


def test_the_server_serves_the_file_as_json(document, client):
    assert client.get("/openapi.json").json() == json.loads(json.dumps(document, default=str))


def test_every_error_code_a_client_can_see_is_in_the_file(document):
    table = (ROOT / "shared" / "err.h").read_text()
    codes = set(re.findall(r'E\([A-Z_]+, "([a-z_0-9]+)", \d+,', table))
    text = json.dumps(document, default=str)
    for code in ("unknown_task", "unknown_job", "unknown_queue", "invalid_json", "invalid_field",
                 "idempotency_key_reused", "unknown_dependency", "duplicate_job", "queue_full", "cannot_start_in_time",
                 "queue_draining", "not_possible_now", "not_finished", "pruned", "job_failed"):
        assert code in codes and code in text, code


def closed(schema):
    """The same schema, but a member that it does not name is an error: so nothing undocumented is sent."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: closed(one) for name, one in value.items()}
        elif key in ("example", "examples", "enum", "const", "default"):
            made[key] = value
        else:
            made[key] = closed(value)
    if "properties" in schema and "additionalProperties" not in schema:
        made["unevaluatedProperties"] = False
    return made


class Checker:
    """Makes requests and holds their answers against the file."""

    def __init__(self, document, client):
        self.document, self.client = document, client
        self.closed = {"components": {"schemas": closed(document["components"]["schemas"])}}
        self.covered = set()

    def call(self, method, path, expect, body=None, values=None, headers=None, query=""):
        url = path
        for name, value in (values or {}).items():
            url = url.replace("{" + name + "}", value)
        assert "{" not in url
        options = {"headers": headers or {}}
        if isinstance(body, list):
            options["headers"].setdefault("Content-Type", "application/x-ndjson")
            options["data"] = "\n".join(json.dumps(line) for line in body)
            answer = self.client.request(method, url + query, **options)
        elif body is not None and method == "PATCH":
            answer = self.client.patch(url + query, body)
        elif body is not None and method == "PUT":
            answer = self.client.put(url + query, body)
        elif body is not None:
            answer = self.client.post(url + query, body, **options)
        else:
            answer = self.client.request(method, url + query, **options)
        assert answer.status_code == expect, (method, url, answer.status_code, answer.text)
        self.check(method, path, answer)
        return answer

    def check(self, method, path, answer):
        where = f"{method} {path} → {answer.status_code}"
        responses = operations(self.document)[method, path]["responses"]
        stated = responses.get(str(answer.status_code)) or responses.get("default")
        assert stated, f"{where} is not in the file"
        stated = resolve(self.document, stated)
        for name, header in stated.get("headers", {}).items():
            header = resolve(self.document, header)
            assert name in answer.headers or not header.get("required"), f"{where}: no header {name}"
        content = stated.get("content")
        if not content:
            assert not answer.content, f"{where}: a body that is not in the file"
            self.covered.add((method, path, answer.status_code))
            return
        kind = answer.headers["Content-Type"]
        assert kind in content, f"{where}: {kind}, not {list(content)}"
        if kind == "application/x-ndjson":
            self.check_lines(where, answer, "BulkStatus")
        elif kind.endswith("json"):
            resolver = jsonschema.RefResolver("", self.closed)
            validator = jsonschema.Draft202012Validator(closed(content[kind]["schema"]), resolver=resolver,
                                                        format_checker=FORMATS)
            errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
                      for error in validator.iter_errors(answer.json())]
            assert not errors, f"{where}: {errors[:5]}\n{answer.text}"
        self.covered.add((method, path, answer.status_code))


    def check_lines(self, where, answer, name):
        schema = closed(self.document["components"]["schemas"][name])
        validator = jsonschema.Draft202012Validator(schema, resolver=jsonschema.RefResolver("", self.closed),
                                                    format_checker=FORMATS)
        lines = answer.text.splitlines()
        assert lines, where
        for line in lines:
            errors = [error.message for error in validator.iter_errors(json.loads(line))]
            assert not errors, f"{where}: {errors}\n{line}"


def test_live_answers_of_every_route_match_their_schemas(document, server, client):
    check = Checker(document, client)
    call = check.call

    # Submitting: accepted, waited for, failed, refused.
    job = call("POST", "/v1/jobs", 202, {"task": "echo", "args": {"n": 1}, "priority": 3, "timeout": 9, "tags": ["one", "two"],
                                         "retry": {"max_attempts": 2, "jitter": 0.5}}).json()["id"]
    call("POST", "/v1/jobs", 200, {"task": "echo"}, query="?wait=10")
    call("POST", "/v1/jobs", 202, {"task": "echo"}, headers={"Prefer": "return=minimal"})
    call("POST", "/v1/jobs", 202, {"task": "echo"}, headers={"Idempotency-Key": "one", "Prefer": "wait=0"})
    call("POST", "/v1/jobs", 202, {"task": "echo"}, headers={"Idempotency-Key": "one", "Prefer": "wait=0"})
    call("POST", "/v1/jobs", 422, {"task": "echo", "priority": 2}, headers={"Idempotency-Key": "one"})
    failed = call("POST", "/v1/jobs", 200, {"task": "fail", "args": {"message": "no", "retryable": False}},
                  query="?wait=10").json()["id"]
    crashed = call("POST", "/v1/jobs", 200, {"task": "crash"}, query="?wait=20").json()["id"]
    command = call("POST", "/v1/jobs", 200, {"task": "wordcount", "args": {"text": 1}}, query="?wait=20").json()["id"]
    call("POST", "/v1/jobs", 400, "{")
    call("POST", "/v1/jobs", 422, {"task": "nope"})
    call("POST", "/v1/jobs", 422, {"task": "echo", "priority": "high", "colour": "red"})
    call("POST", "/v1/jobs", 415, "x", headers={"Content-Type": "text/plain"})
    call("POST", "/v1/tasks/{task}/jobs", 202, {"x": 1}, {"task": "echo"})
    call("POST", "/v1/tasks/{task}/jobs", 200, {"x": 1}, {"task": "echo"}, query="?wait=10&priority=9&queue=q")
    call("POST", "/v1/tasks/{task}/jobs", 404, {"x": 1}, {"task": "nope"})
    call("POST", "/v1/tasks/{task}/jobs", 422, {"x": 1}, {"task": "echo"}, query="?priority=99")
    call("POST", "/v1/tasks/{task}/call", 200, {"x": 1}, {"task": "echo"}, query="?wait=10")
    call("POST", "/v1/tasks/{task}/call", 202, {"seconds": 0.3}, {"task": "sleep"}, query="?wait=0.01")
    call("POST", "/v1/tasks/{task}/call", 500, {"retryable": False}, {"task": "fail"}, query="?wait=10")
    call("POST", "/v1/tasks/{task}/call", 404, {}, {"task": "nope"})

    # Many at once.
    graph = [{"task": "echo", "ref": "a"}, {"task": "echo", "ref": "b", "after": ["@a"]}, {"task": "echo", "after": ["@batch"]}]
    batch = call("POST", "/v1/jobs/bulk", 202, graph, headers={"Idempotency-Key": "many"}).json()["batch"]
    call("POST", "/v1/jobs/bulk", 202, graph, headers={"Idempotency-Key": "many"})
    call("POST", "/v1/jobs/bulk", 202, [{"task": "echo"}] * 2)
    call("POST", "/v1/jobs/bulk", 200, graph + [{"task": "nope"}], query="?atomic=false")
    call("POST", "/v1/jobs/bulk", 422, graph + [{"task": "nope"}])
    call("POST", "/v1/jobs/bulk", 422, [{"task": "echo", "ref": "a", "after": ["@a"]}])
    call("POST", "/v1/jobs/bulk", 400, "{", headers={"Content-Type": "application/x-ndjson"})
    call("POST", "/v1/jobs/bulk", 413, [{"task": "echo"}] * 10001)
    call("POST", "/v1/jobs/bulk", 415, {"task": "echo"})
    call("GET", "/v1/batches/{id}", 200, values={"id": batch})
    call("GET", "/v1/batches/{id}", 200, values={"id": batch}, query="?limit=1")
    call("GET", "/v1/batches/{id}", 422, values={"id": batch}, query="?limit=0")
    call("GET", "/v1/batches/{id}", 404, values={"id": UNKNOWN})
    call("POST", "/v1/batches/{id}/cancel", 200, values={"id": batch})
    call("POST", "/v1/batches/{id}/cancel", 404, values={"id": UNKNOWN})

    # One job, in each state.
    running = client.submit("sleep", {"seconds": 30})["id"]
    until(lambda: client.job(running)["state"] == "running", 5)
    retrying = client.submit("fail", {}, retry={"initial": 60})["id"]
    until(lambda: client.job(retrying)["state"] == "retrying", 5)
    other = client.submit("sleep", {"seconds": 30})["id"]
    until(lambda: client.job(other)["state"] == "running", 5)
    queued = client.submit("echo", 1)["id"]
    for one in (job, failed, crashed, command, running, retrying, queued):
        call("GET", "/v1/jobs/{id}", 200, values={"id": one})
        call("GET", "/v1/jobs/{id}/attempts", 200, values={"id": one})
        call("GET", "/v1/jobs/{id}/log", 200, values={"id": one}) if one in (failed, crashed, command) else None
    etag = client.get(f"/v1/jobs/{job}").headers["ETag"]
    call("GET", "/v1/jobs/{id}", 304, values={"id": job}, headers={"If-None-Match": etag})
    result = call("GET", "/v1/jobs/{id}/result", 200, values={"id": job})
    call("GET", "/v1/jobs/{id}/result", 304, values={"id": job}, headers={"If-None-Match": result.headers["ETag"]})
    call("GET", "/v1/jobs/{id}/result", 409, values={"id": running})
    call("GET", "/v1/jobs/{id}/result", 500, values={"id": failed})
    call("GET", "/v1/jobs/{id}/log", 404, values={"id": failed}, query="?attempt=7")
    call("GET", "/v1/jobs", 200)
    call("GET", "/v1/jobs", 200, query="?state=running&limit=1")
    call("GET", "/v1/jobs", 200, query="?limit=2")
    call("GET", "/v1/jobs", 422, query="?limit=0")
    call("GET", "/v1/jobs", 422, query="?sort=finished")
    call("GET", "/v1/jobs", 200, query="?tag=one&q=ech&sort=created")
    call("GET", "/v1/queues", 200)
    call("GET", "/v1/queues/{queue}", 200, values={"queue": "default"})
    call("GET", "/v1/queues/{queue}", 404, values={"queue": "nope"})
    call("GET", "/v1/workers", 200)
    for one in (job, failed, running, retrying, queued):
        call("GET", "/v1/jobs/{id}/why", 200, values={"id": one})
    scheduled = call("POST", "/v1/jobs", 202, {"task": "echo", "delay": 300, "expires_in": 400, "concurrency_key": "k",
                                               "meta": {"order": [1, "two"]}, "retry": {"intervals": [1, 2.5], "max_age": 60,
                                                                                       "on": ["timeout"], "never": ["bad"]}})
    scheduled = scheduled.json()["id"]
    call("GET", "/v1/jobs/{id}", 200, values={"id": scheduled})
    call("GET", "/v1/jobs/{id}/why", 200, values={"id": scheduled})
    call("GET", "/v1/jobs", 200, query="?state=scheduled")
    call("POST", "/v1/jobs", 422, {"task": "echo", "scheduled_at": "2100-01-01T00:00:00"})
    call("PATCH", "/v1/jobs/{id}", 200, {"priority": 7, "tags": ["x"], "expires_at": None}, {"id": scheduled})
    call("PATCH", "/v1/jobs/{id}", 422, {"state": "queued"}, {"id": scheduled})
    call("PATCH", "/v1/jobs/{id}", 409, {"priority": 7}, {"id": job})
    call("PATCH", "/v1/jobs/{id}", 404, {"priority": 7}, {"id": UNKNOWN})
    call("POST", "/v1/jobs/{id}/cancel", 200, values={"id": scheduled})

    # Limits and switches.
    call("PATCH", "/v1/queues/{queue}", 200, {"concurrency": 3, "rate": "10/m", "weight": 2}, {"queue": "limited"})
    call("GET", "/v1/queues/{queue}", 200, values={"queue": "limited"})
    call("PATCH", "/v1/queues/{queue}", 422, {"concurrency": 0}, {"queue": "limited"})
    call("PATCH", "/v1/queues/{queue}", 404, {"concurrency": 1}, {"queue": "a%20b"})
    call("PATCH", "/v1/tasks/{task}", 200, {"key_concurrency": 1}, {"task": "echo"})
    call("PATCH", "/v1/tasks/{task}", 422, {"max_depth": 1}, {"task": "echo"})
    call("PATCH", "/v1/tasks/{task}", 404, {"concurrency": 1}, {"task": "nope"})
    for verb in ("pause", "drain", "resume"):
        call("POST", "/v1/queues/{queue}/" + verb, 200, values={"queue": "limited"})
        call("POST", "/v1/queues/{queue}/" + verb, 404, values={"queue": "a%20b"})
        call("POST", "/v1/" + verb, 200)
        if verb == "drain":
            call("POST", "/v1/jobs", 503, {"task": "echo"})
    for verb in ("pause", "resume"):
        call("POST", "/v1/tasks/{task}/" + verb, 200, values={"task": "echo"})
        call("POST", "/v1/tasks/{task}/" + verb, 404, values={"task": "nope"})

    # Schedules.
    one, nobody = {"schedule": "nightly"}, {"schedule": "nobody"}
    nightly = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "overlap": "queue", "catch_up": "all",
               "job": {"task": "echo", "args": [1], "expires_in": 60}}
    call("PUT", "/v1/schedules/{schedule}", 201, nightly, one)
    call("PUT", "/v1/schedules/{schedule}", 200, nightly, one)
    call("PUT", "/v1/schedules/{schedule}", 422, {"cron": "x", "job": {"task": "nope"}}, one)
    call("PUT", "/v1/schedules/{schedule}", 404, nightly, {"schedule": "a%20b"})
    call("PATCH", "/v1/schedules/{schedule}", 200, {"cron": "0 4 * * *"}, one)
    call("PATCH", "/v1/schedules/{schedule}", 422, {"crom": "0 4 * * *"}, one)
    call("PATCH", "/v1/schedules/{schedule}", 404, {"cron": "0 4 * * *"}, nobody)
    call("GET", "/v1/schedules", 200)
    for verb, status in (("pause", 200), ("resume", 200), ("trigger", 202)):
        call("POST", "/v1/schedules/{schedule}/" + verb, status, values=one)
        call("POST", "/v1/schedules/{schedule}/" + verb, 404, values=nobody)
        call("GET", "/v1/schedules/{schedule}", 200, values=one)
    call("GET", "/v1/schedules/{schedule}", 404, values=nobody)
    call("POST", "/v1/schedules/preview", 200, {"cron": "0 3 29 2 *", "timezone": "Asia/Kolkata", "count": 2})
    call("POST", "/v1/schedules/preview", 422, {"cron": "0 3 30 2 *"})
    call("DELETE", "/v1/schedules/{schedule}", 204, values=one)
    call("DELETE", "/v1/schedules/{schedule}", 404, values=one)
    call("GET", "/v1/stats", 200)
    call("POST", "/v1/jobs/{id}/cancel", 200, values={"id": queued})
    call("GET", "/v1/jobs/{id}/result", 500, values={"id": queued})
    call("POST", "/v1/jobs/{id}/cancel", 200, values={"id": retrying})
    call("POST", "/v1/jobs/{id}/cancel", 202, values={"id": running})
    call("POST", "/v1/jobs/{id}/cancel", 202, values={"id": other})
    call("POST", "/v1/jobs/{id}/cancel", 409, values={"id": job})
    for path in ("/v1/jobs/{id}", "/v1/jobs/{id}/result", "/v1/jobs/{id}/log", "/v1/jobs/{id}/attempts",
                 "/v1/jobs/{id}/why"):
        call("GET", path, 404, values={"id": UNKNOWN})
    call("POST", "/v1/jobs/{id}/cancel", 404, values={"id": UNKNOWN})

    # Again, and gone.
    call("POST", "/v1/jobs/{id}/retry", 202, values={"id": failed})
    client.wait(failed)
    call("POST", "/v1/jobs/{id}/retry", 404, values={"id": UNKNOWN})
    held = client.submit("fail", {}, retry={"initial": 60})["id"]
    call("POST", "/v1/jobs/{id}/retry", 409, values={"id": held})
    call("DELETE", "/v1/jobs/{id}", 409, values={"id": held})
    call("DELETE", "/v1/jobs/{id}", 204, values={"id": failed})
    call("DELETE", "/v1/jobs/{id}", 404, values={"id": failed})

    # Many at once.
    call("POST", "/v1/jobs/actions", 200, {"action": "cancel", "ids": [held, crashed, UNKNOWN]})
    call("POST", "/v1/jobs/actions", 200, {"action": "delete", "filter": {"state": "cancelled", "queue": "nope"}, "dry_run": True})
    call("POST", "/v1/jobs/actions", 200, {"action": "retry", "filter": {"tag": "nope"}})
    call("POST", "/v1/jobs/actions", 409, {"action": "delete", "filter": {}})
    call("POST", "/v1/jobs/actions", 422, {"action": "delete", "filter": {"colour": "red"}})
    call("POST", "/v1/queues/{queue}/purge", 200, values={"queue": "default"}, query="?confirm=true")
    call("POST", "/v1/queues/{queue}/purge", 409, values={"queue": "default"})
    call("POST", "/v1/queues/{queue}/purge", 404, values={"queue": "nope"})

    # The rest.
    call("GET", "/v1/tasks", 200)
    call("GET", "/v1/tasks/{task}", 200, values={"task": "echo"})
    call("GET", "/v1/tasks/{task}", 200, values={"task": "thumbnail"})
    call("GET", "/v1/tasks/{task}", 404, values={"task": "nope"})
    for path in ("/livez", "/readyz", "/metrics", "/version", "/openapi.json", "/"):
        call("GET", path, 200)
    call("GET", "/readyz", 200, query="?verbose")

    missed = [key for key in operations(document) if not any((*key, status) in check.covered for status in range(200, 300))]
    assert not missed, f"no good answer was seen from {missed}"
    errors = [key for key in operations(document) if "{" in key[1] and (*key, 404) not in check.covered]
    assert not errors, f"no 404 was seen from {errors}"


def test_unique_and_blocked_jobs_are_answered_as_the_file_says(document, start_server):
    client = start_server(workers_count=1).client
    call = Checker(document, client).call
    assert client.post("/v1/queues/held/pause").status_code == 200
    parent = call("POST", "/v1/jobs", 202, {"task": "echo", "queue": "held", "unique": {"key": "k", "period": 60}}).json()["id"]
    call("POST", "/v1/jobs", 409, {"task": "echo", "unique": {"key": "k"}})
    call("POST", "/v1/jobs", 202, {"task": "echo", "unique": {"key": "k", "on_conflict": "return"}})
    call("POST", "/v1/tasks/{task}/jobs", 409, 1, {"task": "echo"}, query="?unique_key=k&unique_period=9&on_conflict=reject")
    call("POST", "/v1/tasks/{task}/call", 409, 1, {"task": "echo"}, query="?unique_key=k")
    call("POST", "/v1/jobs", 422, {"task": "echo", "after": [UNKNOWN]})
    call("POST", "/v1/tasks/{task}/jobs", 422, 1, {"task": "echo"}, query=f"?after={UNKNOWN}")
    child = call("POST", "/v1/jobs", 202, {"task": "echo", "after": [parent], "after_policy": "run", "unique": True}).json()["id"]
    call("GET", "/v1/jobs/{id}", 200, values={"id": child})
    call("GET", "/v1/jobs/{id}/why", 200, values={"id": child})
    call("GET", "/v1/jobs", 200, query="?state=blocked")
    call("GET", "/v1/jobs", 200, query=f"?batch={UNKNOWN}")
    call("GET", "/v1/jobs", 422, query="?batch=x")
    call("PATCH", "/v1/jobs/{id}", 200, {"priority": 9, "scheduled_at": None}, {"id": child})
    call("POST", "/v1/jobs/{id}/retry", 409, values={"id": child})
    call("DELETE", "/v1/jobs/{id}", 409, values={"id": child})
    call("POST", "/v1/jobs/{id}/cancel", 200, values={"id": child})


def test_a_pruned_result_is_answered_as_the_file_says(document, start_server):
    server = start_server(jobs_retain_results="1s", workers_count=1)
    check = Checker(document, server.client)
    job = server.client.submit("echo", 1, wait=10)["id"]
    until(lambda: server.client.job(job)["result_pruned"], 10)
    check.call("GET", "/v1/jobs/{id}", 200, values={"id": job})
    check.call("GET", "/v1/jobs/{id}/result", 410, values={"id": job})


def test_what_the_file_promises_of_headers_holds(client):
    answer = client.get("/livez", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    answer = client.get("/livez", headers={"X-Request-Id": "not sane <script>"})
    assert answer.headers["X-Request-Id"] not in ("", "not sane <script>")
    assert client.request("HEAD", "/v1/stats").status_code == 200
