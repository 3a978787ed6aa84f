"""Configuration: what is wrong is said in one sentence that names the place and what would be right."""

import os
import socket
import subprocess

import pytest

import processes
from server import BINARY, TASKS, environment, run_forkpool


def serve(tmp_path, *flags, env=None):
    """A start that is expected to fail."""
    base = ["--http-listen", "127.0.0.1:0", "--store-url", f"sqlite://{tmp_path}/forkpool.db", "--tasks-dir", TASKS]
    result = run_forkpool("serve", *base, *flags, env=env)
    assert result.returncode not in (0, -6, -11), result
    return result.stdout + result.stderr


def serve_file(tmp_path, text):
    path = tmp_path / "forkpool.yaml"
    path.write_text(text)
    return path, serve(tmp_path, "--config", path)


def test_a_misspelt_flag_names_the_nearest(tmp_path):
    said = serve(tmp_path, "--worker-count", "2")
    assert "--worker-count" in said and "--workers-count" in said


def test_a_misspelt_variable_names_the_nearest(tmp_path):
    said = serve(tmp_path, env={"FORKPOOL_WORKER_COUNT": "2"})
    assert "FORKPOOL_WORKER_COUNT" in said and "FORKPOOL_WORKERS_COUNT" in said


def test_a_misspelt_key_names_line_column_and_the_nearest(tmp_path):
    path, said = serve_file(tmp_path, "log:\n  level: info\nworkers:\n  cuont: 2\n")
    assert f"{path}:4:3" in said and "cuont" in said and "count" in said


def test_a_misspelt_section_names_line_column_and_the_nearest(tmp_path):
    path, said = serve_file(tmp_path, "htttp:\n  listen: 127.0.0.1:0\n")
    assert f"{path}:1:1" in said and "http" in said


def test_broken_yaml_names_the_line(tmp_path):
    path, said = serve_file(tmp_path, "http:\n  listen: [1\nlog: }\n")
    assert f"{path}:" in said


def test_a_missing_file_is_named(tmp_path):
    said = serve(tmp_path, "--config", tmp_path / "none.yaml")
    assert str(tmp_path / "none.yaml") in said


@pytest.mark.parametrize("flag, value", [
    ("--workers-count", "many"), ("--workers-count", "-1"), ("--workers-count", "100000"), ("--jobs-timeout", "soon"),
    ("--http-max-body", "5 apples"), ("--store-durability", "ful"), ("--log-level", "loud"), ("--auth-mode", "maybe"),
    ("--http-listen", "localhost"), ("--http-listen", "127.0.0.1:99999"), ("--http-listen", "nowhere:80"),
    ("--store-url", "sqlite::memory:"), ("--jobs-backoff", "quadratic"),
])
def test_a_wrong_value_is_named(tmp_path, flag, value):
    said = serve(tmp_path, flag, value)
    assert flag in said and value in said


def test_a_flag_without_its_value_is_named(tmp_path):
    assert "--workers-count" in serve(tmp_path, "--workers-count")


def test_an_unknown_command_is_named_with_the_nearest():
    result = run_forkpool("srve")
    assert result.returncode != 0 and "srve" in result.stderr and "serve" in result.stderr


def test_help_lists_every_section():
    result = run_forkpool("serve", "--help")
    assert result.returncode == 0
    for flag in ("--http-listen", "--store-url", "--workers-count", "--jobs-timeout", "--tasks-dir", "--shutdown-drain"):
        assert flag in result.stdout


def test_a_port_in_use_is_named_and_nothing_stays_behind(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "127.0.0.1:%d" % other.getsockname()[1]
        said = serve(tmp_path, "--http-listen", address)
    assert address in said and "in use" in said


def test_two_servers_on_one_store_are_refused(tmp_path, start_server):
    server = start_server()
    result = run_forkpool("serve", "--http-listen", "127.0.0.1:0", "--store-url", server.config["store_url"],
                          "--tasks-dir", TASKS, timeout=30)
    assert result.returncode not in (0, -6, -11)
    assert str(server.state) in result.stdout + result.stderr
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"


def test_a_store_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "forkpool.db"
    path.write_bytes(b"this is a letter to my aunt, not a database\n" * 100)
    before = path.read_bytes()
    assert str(path) in serve(tmp_path)
    assert path.read_bytes() == before


def test_a_store_in_a_missing_or_impossible_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    said = serve(tmp_path, "--store-url", f"sqlite://{tmp_path}/file/forkpool.db")
    assert f"{tmp_path}/file" in said


def test_a_store_that_is_not_writable_is_refused(tmp_path):
    """Root may write anywhere, so the server runs as nobody here."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    result = subprocess.run(
        [str(BINARY), "serve", "--http-listen", "127.0.0.1:0", "--store-url", f"sqlite://{folder}/forkpool.db"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, user="nobody", group="nogroup",
        extra_groups=[], env=environment(), check=False)
    assert result.returncode not in (0, -6, -11), result
    assert str(folder) in result.stdout + result.stderr
    assert "ermission" in result.stdout + result.stderr


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_listening_beyond_loopback_is_refused_unless_written_out(tmp_path, listen):
    said = serve(tmp_path, "--http-listen", listen)
    assert listen in said and "auth" in said and "none" in said


def test_listening_beyond_loopback_works_when_written_out(start_server):
    server = start_server(http_listen="0.0.0.0:0", auth_mode="none")
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    server.stop()


def test_flag_beats_environment_beats_file(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    path.write_text("workers:\n  count: 3\njobs:\n  max_attempts: 9\n")
    server = start_server(workers_count=2, config=path)
    assert len(server.workers()) == 2
    assert server.client.submit("echo", 1)["max_attempts"] == 9
    server.stop()


def test_tasks_can_be_set_up_in_the_file(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    path.write_text("tasks:\n"
                    "  - name: greet\n    argv: [/bin/sh, -c, 'echo \"\\\"hello $WHO\\\"\"']\n    env: {WHO: world}\n"
                    "  - name: sleep\n    timeout: 300ms\n    retry: {max_attempts: 1}\n")
    server = start_server(config=path)
    assert server.client.submit("greet", wait=10)["result"] == "hello world"
    ended = server.client.submit("sleep", {"seconds": 20}, wait=10)
    assert ended["state"] == "failed" and ended["error"]["code"] == "timeout" and ended["attempt"] == 1
    server.stop()


def test_a_broken_task_does_not_keep_the_server_from_serving(tmp_path, start_server):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "broken.so").write_bytes(b"not an object")
    (tasks / "good").write_text("#!/bin/sh\necho 1\n")
    (tasks / "good").chmod(0o755)
    (tasks / "lost").write_text("#!/nowhere/interpreter\n")
    (tasks / "lost").chmod(0o755)
    (tasks / "notes.txt").write_text("no task")
    server = start_server(tasks_dir=tasks)
    listed = {task["name"]: task for task in server.client.get("/v1/tasks").json()["items"]}
    assert set(listed) == {"broken", "good", "lost"}
    assert server.client.submit("good", wait=10)["result"] == 1
    for name in ("broken", "lost"):
        answer = server.client.post("/v1/jobs", {"task": name})
        assert answer.status_code == 422 and answer.json()["code"] == "broken_task"
    server.stop()


def test_no_process_is_left_by_a_refused_start(tmp_path):
    serve(tmp_path, "--http-listen", "0.0.0.0:0")
    mine = [pid for pid in processes.children(os.getpid()) if "forkpool" in processes.title(pid)]
    assert not mine
