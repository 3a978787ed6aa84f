"""Access: who may do what with which token, and that tokens never show."""

import hashlib
import json
import os
import re
import signal
import subprocess

import pytest
import yaml

from client import Client
from processes import until
from server import BINARY, environment, run_forkpool

UNKNOWN = "018f0000-0000-7000-8000-000000000000"
REALM = 'Bearer realm="forkpool"'
SECRETS = {name: f"{name}-secret-of-the-tests-0123456789" for name in ("reader", "submitter", "both", "admin")}
SCOPES = {"reader": ["read"], "submitter": ["submit"], "both": ["read", "submit"], "admin": ["admin"]}
STRANGER = "stranger-secret-of-the-tests-0123456789"


def hash_of(secret):
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def entry(name, scopes=None, secret=None):
    return f"{name}:{','.join(scopes or SCOPES[name])}:{hash_of(secret or SECRETS[name])}"


SERVER = {"workers_count": 1, "env": {"FORKPOOL_AUTH_TOKENS": " ".join(map(entry, SECRETS))}}

# What a request of somebody who may gets: so a 401 or 403 is about the token and nothing else.
ALLOWED = {
    ("POST", "/v1/jobs"): 202,
    ("GET", "/v1/jobs"): 200,
    ("GET", "/v1/jobs/{id}"): 404,
    ("GET", "/v1/jobs/{id}/result"): 404,
    ("GET", "/v1/jobs/{id}/log"): 404,
    ("GET", "/v1/jobs/{id}/attempts"): 404,
    ("GET", "/v1/jobs/{id}/why"): 404,
    ("PATCH", "/v1/jobs/{id}"): 404,
    ("POST", "/v1/jobs/{id}/cancel"): 404,
    ("POST", "/v1/jobs/{id}/retry"): 404,
    ("DELETE", "/v1/jobs/{id}"): 404,
    ("GET", "/v1/queues"): 200,
    ("GET", "/v1/queues/{queue}"): 200,
    ("PATCH", "/v1/queues/{queue}"): 200,
    ("POST", "/v1/queues/{queue}/pause"): 200,
    ("POST", "/v1/queues/{queue}/drain"): 200,
    ("POST", "/v1/queues/{queue}/resume"): 200,
    ("PATCH", "/v1/tasks/{task}"): 200,
    ("POST", "/v1/tasks/{task}/pause"): 200,
    ("POST", "/v1/tasks/{task}/resume"): 200,
    ("POST", "/v1/pause"): 200,
    ("POST", "/v1/drain"): 200,
    ("POST", "/v1/resume"): 200,
    ("GET", "/v1/tasks"): 200,
    ("GET", "/v1/tasks/{task}"): 200,
    ("POST", "/v1/tasks/{task}/jobs"): 202,
    ("POST", "/v1/tasks/{task}/call"): 200,
    ("GET", "/v1/workers"): 200,
    ("GET", "/v1/stats"): 200,
    ("GET", "/livez"): 200,
    ("GET", "/readyz"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/version"): 200,
    ("GET", "/openapi.json"): 200,
    ("GET", "/"): 200,
}


def routes():
    """(METHOD, path, scope) of every route."""
    lines = run_forkpool("routes").stdout.splitlines()
    return [(line.split()[0], line.split()[1], line.split()[3]) for line in lines]


def call(client, method, path, token=None, **headers):
    path = path.replace("{id}", UNKNOWN).replace("{task}", "echo").replace("{queue}", "default").replace("{schedule}", "nobody")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if method == "GET":
        return client.get(path, headers=headers)
    if method == "DELETE":
        return client.request("DELETE", path, headers=headers)
    if method == "PATCH":
        body = json.dumps({"priority": 5} if "/jobs/" in path else {"concurrency": None})
        return client.request("PATCH", path, data=body, headers={"Content-Type": "application/json", **headers})
    if method == "PUT":
        return client.request("PUT", path, data="{}", headers={"Content-Type": "application/json", **headers})
    bare = ("/cancel", "/retry", "/pause", "/drain", "/resume", "/trigger")
    body = {"task": "echo"} if path == "/v1/jobs" else None if path.endswith(bare) else {}
    return client.post(path, body, headers=headers)


def refused(answer, status, code, challenge):
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code
    assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("method, path, scope", routes())
def test_each_route_asks_for_its_scope(client, method, path, scope):
    good = ALLOWED.get((method, path))
    for name, secret in SECRETS.items():
        answer = call(client, method, path, secret)
        if scope == "none" or scope in SCOPES[name] or name == "admin":
            assert answer.status_code not in (401, 403), (name, answer.text)
            assert good is None or answer.status_code == good, (name, answer.text)
        else:
            refused(answer, 403, "insufficient_scope", f'{REALM}, error="insufficient_scope", scope="{scope}"')
            assert scope in answer.json()["detail"] and name in answer.json()["detail"]
    for token, challenge in ((None, REALM), (STRANGER, f'{REALM}, error="invalid_token"')):
        answer = call(client, method, path, token)
        if scope == "none":
            assert answer.status_code == 200
        else:
            refused(answer, 401, "unauthorized", challenge)


def test_only_the_probes_and_the_version_are_free():
    assert {path for _, path, scope in routes() if scope == "none"} == {"/livez", "/readyz", "/version"}


def test_a_submitter_gets_the_document_of_its_job_but_may_not_look_again(server):
    client = Client(server.url, SECRETS["submitter"])
    job = client.submit("echo", {"n": 1}, wait=10)
    assert job["state"] == "succeeded" and job["result"] == {"n": 1}
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 403
    assert client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 409


def test_head_needs_what_get_needs(client):
    assert client.request("HEAD", "/v1/stats").status_code == 401
    assert client.request("HEAD", "/v1/stats", headers={"Authorization": "Bearer " + SECRETS["reader"]}).status_code == 200
    assert client.request("HEAD", "/livez").status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", SECRETS["admin"], f"Token {SECRETS['admin']}",
                                   f"Bearer{SECRETS['admin']}", f"Bearer {SECRETS['admin']} x"])
def test_what_is_no_bearer_token_counts_as_none(client, value):
    answer = client.get("/v1/stats", headers={"Authorization": value})
    refused(answer, 401, "unauthorized", REALM)


def test_almost_right_is_wrong(client):
    secret = SECRETS["admin"]
    for near in (secret[:-1], secret + "0", secret.upper(), secret[1:], hash_of(secret), "a" * 8000):
        answer = client.get("/v1/stats", headers={"Authorization": "Bearer " + near})
        refused(answer, 401, "unauthorized", f'{REALM}, error="invalid_token"')
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert client.get("/v1/stats", headers={"Authorization": f"{scheme} {secret}"}).status_code == 200


def test_two_tokens_in_one_request_are_none(server):
    with server.raw() as raw:
        raw.send(f"GET /v1/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {STRANGER}\r\n"
                 f"Authorization: Bearer {SECRETS['admin']}\r\n\r\n")
        assert raw.answer()[0] == 401


def test_a_token_in_the_query_or_another_spelling_of_the_path_opens_nothing(client):
    assert client.get("/v1/stats?access_token=" + SECRETS["admin"]).status_code == 401
    for path in ("/v1/%6aobs", "/%761/stats", "/metric%73"):
        assert client.get(path).status_code == 401


def test_paths_and_methods_that_do_not_exist_are_said_so_to_everyone(client):
    assert client.get("/nope").status_code == 404
    assert client.request("DELETE", "/v1/jobs").status_code == 405


def test_a_body_from_nobody_is_not_read(server):
    for header in ("", f"Authorization: Bearer {STRANGER}\r\n"):
        with server.raw() as raw:
            raw.send(f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{header}Content-Type: application/json\r\n"
                     "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
            status, headers, _ = raw.answer()
            assert status == 401 and headers["connection"] == "close"
            assert raw.closed()
    with server.raw() as raw:
        raw.send("POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert raw.answer()[0] == 401


def test_the_list_of_broken_tasks_is_not_free(client):
    assert client.get("/readyz?verbose").status_code == 401
    assert call(client, "GET", "/readyz?verbose", SECRETS["submitter"]).status_code == 403
    assert call(client, "GET", "/readyz?verbose", SECRETS["reader"]).json() == {"status": "ready", "broken_tasks": [], "broken_files": [], "store_full": False}


def test_with_tokens_any_host_name_will_do_but_a_foreign_origin_will_not(client):
    assert call(client, "GET", "/v1/stats", SECRETS["reader"], Host="jobs.example").status_code == 200
    assert call(client, "GET", "/livez", Host="jobs.example").status_code == 200
    answer = call(client, "POST", "/v1/jobs", SECRETS["admin"], Origin="http://evil.example")
    assert answer.status_code == 403 and answer.json()["code"] == "origin_refused"


def test_health_needs_no_token(server):
    assert run_forkpool("health", "--url", server.url).returncode == 0
    result = run_forkpool("health", "--http-listen", "%s:%d" % server.address,
                          env={"FORKPOOL_AUTH_TOKEN_FILE": "/nowhere", **SERVER["env"]})
    assert result.returncode == 0, result.stderr


# ── where tokens come from ──


def test_what_forkpool_token_prints_works(tmp_path, start_server):
    printed = run_forkpool("token", "--name", "ci", "--scopes", "submit").stdout
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert re.fullmatch(r"fp_[0-9a-f]{64}", lines["token"]) and printed.count(lines["token"]) == 1
    path = tmp_path / "forkpool.yaml"
    path.write_text(f"auth:\n  tokens:\n  {lines['yaml']}\n")
    (tmp_path / "tokens").write_text(f"# another\n{run_forkpool('token').stdout.split('entry: ')[1]}")
    server = start_server(config=path, auth_tokens_file=tmp_path / "tokens", token=lines["token"], workers_count=1)
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    assert server.client.get("/v1/jobs").status_code == 403
    assert [event["tokens"] for event in server.events("access.load")] == [2]
    server.stop()


def test_forkpool_token_refuses_what_it_does_not_know():
    for arguments in (("--scopes", "read,write"), ("--scopes", ""), ("--name", "a b"), ("--nme", "x"), ("x",), ("--name",)):
        result = run_forkpool("token", *arguments)
        assert result.returncode == 64 and "usage" in result.stderr and not result.stdout, arguments


def secret_shows(pid, secret):
    """Whether the bytes are anywhere in the memory, the arguments or the environment of a process."""
    needle = secret.encode()
    for name in ("environ", "cmdline"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            if needle in file.read():
                return name
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw") or end - start > 1 << 26:
                continue
            memory.seek(start)
            try:
                if needle in memory.read(end - start):
                    return line
            except OSError:
                continue
    return None


@pytest.mark.parametrize("by", ["variable", "file"])
def test_one_plain_token_may_do_everything_and_shows_nowhere(tmp_path, start_server, by):
    secret = "plain-" + os.urandom(16).hex()
    (tmp_path / "token").write_text(secret + "\n")
    env = {"FORKPOOL_AUTH_TOKEN": secret} if by == "variable" else {"FORKPOOL_AUTH_TOKEN_FILE": str(tmp_path / "token")}
    server = start_server(env=env, workers_count=1, log_level="debug", token=secret)
    for pid in (server.supervisor, *server.workers()):
        assert secret_shows(pid, secret) is None
        assert secret_shows(pid, "FORKPOOL_AUTH_TOKEN")  # so it would be found
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    assert server.client.get("/v1/jobs").status_code == 200
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(server.events("access.load")) == 2, 10, "the reload")
    assert server.client.get("/v1/jobs").status_code == 200
    Client(server.url, STRANGER).get("/v1/jobs")
    with open(f"/proc/{server.front()}/environ", "rb") as file:
        assert secret.encode() not in file.read()
    server.stop()
    log = server.log_path.read_text()
    assert secret not in log and STRANGER not in log and hash_of(secret)[7:] not in log


# ── reload ──


def write_tokens(path, **tokens):
    """{name: (scopes, secret)} as auth.tokens of a configuration file."""
    temporary = path.with_suffix(".new")
    temporary.write_text(yaml.safe_dump({"auth": {"tokens": [
        {"name": name, "scopes": scopes, "hash": hash_of(secret)} for name, (scopes, secret) in tokens.items()]}}))
    temporary.rename(path)


def test_sighup_adds_and_revokes(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    write_tokens(path, old=(["admin"], SECRETS["reader"]), stays=(["read"], SECRETS["both"]))
    server = start_server(config=path, workers_count=1)
    old, stays, new = (Client(server.url, SECRETS[name]) for name in ("reader", "both", "admin"))
    assert [one.get("/v1/stats").status_code for one in (old, stays, new)] == [200, 200, 401]

    write_tokens(path, stays=(["read"], SECRETS["both"]), new=(["admin"], SECRETS["admin"]))
    assert [one.get("/v1/stats").status_code for one in (old, stays, new)] == [200, 200, 401]
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(server.events("access.load")) == 2, 10, "the reload")
    assert [one.get("/v1/stats").status_code for one in (old, stays, new)] == [401, 200, 200]

    # A new front knows the same ones.
    front = server.front()
    os.kill(front, signal.SIGKILL)
    until(lambda: server.fronts() and server.front() != front and server.ready(), 20, "a new front")
    for client, status in ((old, 401), (stays, 200), (new, 200)):
        client.close()
        assert client.get("/v1/stats").status_code == status
    server.stop()


@pytest.mark.parametrize("text", ["auth: {}\n", "auth: {mode: none}\n", "auth: {mode: loopback}\n", "auth: {tokens: []}\n",
                                  "auth: {tokens: [{name: x, scopes: [read], hash: oops-a-secret}]}\n", "auth: [\n"])
def test_a_reload_never_opens_what_tokens_guard(tmp_path, start_server, text):
    path = tmp_path / "forkpool.yaml"
    write_tokens(path, mine=(["admin"], SECRETS["admin"]))
    server = start_server(config=path, token=SECRETS["admin"], workers_count=1)
    path.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    reason = until(lambda: server.events("config.error"), 10, "config.error")[0]["reason"]
    assert "token" in reason or "YAML" in reason
    assert "oops" not in reason
    assert server.client.get("/v1/stats").status_code == 200
    assert Client(server.url).get("/v1/stats").status_code == 401
    server.stop()


def test_a_reload_may_bring_the_first_token(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    path.write_text("# nothing yet\n")
    server = start_server(config=path, workers_count=1)
    assert server.client.get("/v1/stats").status_code == 200
    assert server.client.get("/v1/stats", headers={"Host": "jobs.example"}).status_code == 421
    write_tokens(path, mine=(["admin"], SECRETS["admin"]))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.client.get("/v1/stats").status_code == 401, 10, "the reload")
    assert Client(server.url, SECRETS["admin"]).get("/v1/stats", headers={"Host": "jobs.example"}).status_code == 200
    server.stop()


# ── starts that are refused ──


@pytest.mark.parametrize("env, said", [
    ({"FORKPOOL_AUTH_MODE": "token"}, "there is no token"),
    ({"FORKPOOL_AUTH_MODE": "none", "FORKPOOL_AUTH_TOKEN": SECRETS["admin"]}, "write auth.mode: token"),
    ({"FORKPOOL_AUTH_TOKEN": ""}, "empty"),
    ({"FORKPOOL_AUTH_TOKEN": "changeme"}, "forkpool token"),
    ({"FORKPOOL_AUTH_TOKENS": SECRETS["admin"]}, "NAME:SCOPES:sha256:HEX"),
    ({"FORKPOOL_AUTH_TOKENS_FILE": "/nowhere/tokens"}, "/nowhere/tokens"),
    ({"FORKPOOL_HTTP_LISTEN": "0.0.0.0:0"}, "auth.mode: none"),
])
def test_a_start_with_wrong_access_is_refused_without_showing_a_secret(tmp_path, env, said):
    result = subprocess.run([str(BINARY), "serve", "--store-url", f"sqlite://{tmp_path}/forkpool.db"],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=15,
                            env={**environment(), "FORKPOOL_HTTP_LISTEN": "127.0.0.1:0", **env}, check=False)
    assert result.returncode == 78 and said in result.stderr, result
    assert SECRETS["admin"] not in result.stderr
