"""`forkpool health`: exit 0 when /readyz answers 200 within 2 s, else 1 and one line that says why."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

import processes
from server import BINARY, TASKS, environment, run_forkpool


def health(*arguments, env=None):
    """(exit status, standard error); nothing is ever written to standard output."""
    result = run_forkpool("health", *arguments, env=env, timeout=10)
    assert result.stdout == ""
    return result.returncode, result.stderr


def refusal(*arguments, env=None):
    """The one line of a refusal."""
    status, said = health(*arguments, env=env)
    assert status == 1, said
    assert said.startswith("forkpool: ") and said.endswith("\n") and said.count("\n") == 1, said
    return said


@contextlib.contextmanager
def answering(handle, host="127.0.0.1"):
    """Something that listens; handle(connection) answers the first one. Gives its port and what was asked."""
    asked = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.settimeout(10)

        def serve():
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(10)
                asked.append(connection.recv(4096).decode())
                handle(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join(10)


def saying(text):
    return lambda connection: connection.sendall(text)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# ── a real server ──

def test_a_ready_server_is_healthy(server):
    assert health("--url", server.url) == (0, "")
    for form in (f"--url={server.url}/", f"--url={server.url}/readyz", f"--url=http://localhost:{server.address[1]}"):
        assert health(form) == (0, "")


def test_the_address_is_that_of_the_configuration(server, tmp_path):
    port = server.address[1]
    assert health("--http-listen", f"127.0.0.1:{port}") == (0, "")
    assert health(env={"FORKPOOL_HTTP_LISTEN": f"localhost:{port}"}) == (0, "")
    path = tmp_path / "forkpool.yaml"
    path.write_text(f"http:\n  listen: 127.0.0.1:{port}\n")
    assert health("--config", path) == (0, "")
    assert health(env={"FORKPOOL_CONFIG": str(path)}) == (0, "")


def test_any_address_means_loopback_whatever_the_access_mode(server):
    listen = f"0.0.0.0:{server.address[1]}"
    assert health("--http-listen", listen, "--auth-mode", "none") == (0, "")
    assert health(env={"FORKPOOL_HTTP_LISTEN": listen}) == (0, "")


def test_a_stopped_server_is_not_healthy(start_server):
    server = start_server()
    server.stop()
    said = refusal("--url", server.url)
    assert server.url in said and "Connection refused" in said


def test_a_draining_server_gives_its_reason(start_server):
    server = start_server(shutdown_drain="6s", workers_count=2)
    job = server.client.submit("sleep", {"seconds": 4})
    server.worker_of(job["id"])
    server.terminate()

    def reason():
        status, said = health("--url", server.url)
        return said if status else None
    said = processes.until(reason, 3, "a drain that shows")
    assert "status 503: " in said and ("drain" in said or "shut" in said), said
    assert server.ended() == 0


def test_a_server_that_is_stopped_in_its_tracks_times_out(start_server):
    server = start_server()
    front = server.front()
    processes.kill(front, signal.SIGSTOP)
    try:
        started = time.monotonic()
        said = refusal("--url", server.url)
        assert 1.8 < time.monotonic() - started < 3.5
        assert "no answer within 2 s" in said
    finally:
        processes.kill(front, signal.SIGCONT)
    processes.until(server.ready, 5, "ready again")
    assert health("--url", server.url) == (0, "")
    server.stop()


# ── what is asked, and strange answers ──

def test_the_request_is_a_plain_get():
    with answering(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (port, asked):
        assert health("--url", f"http://127.0.0.1:{port}") == (0, "")
    lines = asked[0].split("\r\n")
    assert lines[0] == "GET /readyz HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines and "Connection: close" in lines and lines[-2:] == ["", ""]


def test_ipv6_and_its_any_address():
    for arguments in (["--url", "http://[::1]:%d"], ["--http-listen", "[::]:%d"]):
        with answering(saying(b"HTTP/1.1 200 OK\r\n\r\n"), "::1") as (port, asked):
            assert health(arguments[0], arguments[1] % port) == (0, "")
        assert f"Host: [::1]:{port}\r\n" in asked[0]


def test_a_200_counts_although_the_connection_stays_open():
    with answering(lambda one: (one.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), time.sleep(1))) as (port, _):
        started = time.monotonic()
        assert health("--url", f"http://127.0.0.1:{port}") == (0, "")
        assert time.monotonic() - started < 0.9


def test_the_detail_of_a_problem_is_shown_on_one_line():
    body = json.dumps({"status": 503, "detail": "no worker\nwaits"}).encode()
    with answering(saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n" + body)) as (port, _):
        assert "status 503: no worker waits" in refusal("--url", f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("answer, expected", [
    (b"HTTP/1.1 404 Not Found\r\n\r\n<html>", "status 404"),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"detail\":17}", "status 503"),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"detail\":", "status 503"),
    (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", "status 301"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
    (b"HTTP/1.1 200", "status 200"),
    (b"HTTP/1.1 2000 X\r\n\r\n", "does not speak HTTP"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
    (b"H", "does not speak HTTP"),
    (b"\0\0\0\0\r\n\r\n", "does not speak HTTP"),
    (b"HTTP/1.1 500 X\r\n" + b"X: y\r\n" * 20000, "status 500"),
    (b"", "without an answer"),
], ids=["404", "no_sentence", "cut_json", "redirect", "another_2xx", "cut_line", "four_digits", "ssh", "one_byte", "nuls",
        "flood", "nothing"])
def test_any_other_answer_is_named(answer, expected):
    with answering(saying(answer)) as (port, _):
        said = refusal("--url", f"http://127.0.0.1:{port}")
    assert expected in said and f"http://127.0.0.1:{port}/readyz" in said


def test_the_limit_holds_for_an_answer_that_drips():
    def drip(connection):
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n")
            for _ in range(80):
                connection.sendall(b"X")
                time.sleep(0.1)
    with answering(drip) as (port, _):
        started = time.monotonic()
        said = refusal("--url", f"http://127.0.0.1:{port}")
        assert time.monotonic() - started < 3.5
    assert "status 503" in said and "within 2 s" in said


def test_the_limit_holds_where_the_alarm_was_blocked():
    def hold(connection):
        with contextlib.suppress(OSError):
            connection.recv(1)
    with answering(hold) as (port, _):
        result = subprocess.run(
            [str(BINARY), "health", "--url", f"http://127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=10, env=environment(), check=False,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}))
    assert result.returncode == 1 and "no answer within 2 s" in result.stderr


# ── arguments ──

@pytest.mark.parametrize("url", [
    "", "127.0.0.1:8080", "https://127.0.0.1:8080", "http://", "http://:8080", "http://127.0.0.1:", "http://127.0.0.1:0",
    "http://127.0.0.1:99999", "http://127.0.0.1:80x", "http://127.0.0.1:8080/v1/jobs", "http://user@127.0.0.1:8080",
    "http://[::1", "http://::1:80", "http://127.0.0.1:8080?x", "http://" + "a" * 300,
])
def test_a_wrong_url_is_named_with_the_right_form(url):
    said = refusal("--url", url)
    assert "--url" in said and "http://127.0.0.1:8080" in said


def test_a_name_that_does_not_exist_is_named():
    said = refusal("--url", "http://no-such-host.invalid:8080")
    assert "no-such-host.invalid" in said


def test_wrong_arguments_are_refused():
    assert "usage: forkpool health" in refusal("--url")
    assert "usage: forkpool health" in refusal("--url", "http://127.0.0.1:1", "--verbose")
    assert "--http-listen" in refusal("--http-lisen", "127.0.0.1:1")
    assert "nonsense" in refusal("nonsense")
    assert "FORKPOOL_HTTP_LISTEN" in refusal(env={"FORKPOOL_HTTP_LISTEN": "here"})


def test_any_free_port_cannot_be_guessed():
    assert "--url" in refusal("--http-listen", "127.0.0.1:0")


def test_help_names_it():
    assert "forkpool health" in run_forkpool("help").stdout


def test_it_touches_no_state_folder(tmp_path):
    port = free_port()
    refusal("--http-listen", f"127.0.0.1:{port}", "--store-url", f"sqlite://{tmp_path}/x/forkpool.db",
            "--tasks-dir", TASKS)
    assert not list(tmp_path.iterdir())
