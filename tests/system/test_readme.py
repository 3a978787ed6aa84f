"""The commands of the README do what it says: scripts/readme-commands.sh takes them out of it and runs them, here against a
server of the tests; scripts/check-clean-root.sh does so in an empty Debian root."""

import shutil
import socket
import subprocess

import pytest

from server import BINARY, ROOT, copy_tasks

SCRIPT = ROOT / "scripts" / "readme-commands.sh"


def run(tmp_path, *arguments):
    return subprocess.run([str(SCRIPT), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)})


@pytest.fixture
def place(tmp_path):
    """A folder with a build/ as ./run.sh leaves it, which may be written to."""
    (tmp_path / "here" / "build").mkdir(parents=True)
    (tmp_path / "here" / "build" / "forkpool").symlink_to(BINARY)
    copy_tasks(tmp_path / "here" / "build" / "tasks")
    return tmp_path / "here"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_first_job_word_for_word(tmp_path, place, start_server):
    server = start_server(tasks_dir=place / "build" / "tasks")
    done = run(tmp_path, "--in", place, "--url", server.url, "--pid", server.supervisor, "A first job")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n$ ") + done.stdout.startswith("$ ") >= 11
    assert '"sha256":"' in done.stdout and "== A first job: " in done.stdout
    states = {job["task"]: job["state"] for job in server.client.all_jobs()}
    assert states == {"sha256": "succeeded", "count": "succeeded"}
    server.stop()


def test_running_it_word_for_word(tmp_path, place):
    prefix = tmp_path / "root"
    (prefix / "var" / "lib").mkdir(parents=True)
    done = run(tmp_path, "--in", place, "--prefix", prefix, "--url", f"http://127.0.0.1:{free_port()}", "Running it")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (prefix / "var" / "lib" / "forkpool" / "forkpool.db").exists()
    assert (prefix / "srv" / "tasks" / "sha256.so").exists()
    assert '"name":"wordcount"' in done.stdout and "stopped by SIGTERM: status 0" in done.stdout


@pytest.mark.parametrize("line, says", [
    ("curl localhost:8080/v1/jobs/nonsense", "status 22"), ("false", "status 1"), ("curl localhost:8080/v1/jobs/ID", "no answer"),
    ("kill -HUP PID", "--pid"), ("build/forkpool serve --worker-count 3", "the server ended"),
])
def test_a_command_that_fails_is_found_out(tmp_path, place, server, line, says):
    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n\n## A first job\n\nwords\n\n    curl localhost:8080/livez\n    {line}\n    touch {tmp_path}/after\n")
    done = run(tmp_path, "--readme", readme, "--in", place, "--url", server.url, "A first job")
    assert done.returncode == 1 and says in done.stderr, done.stdout + done.stderr
    assert "$ curl" in done.stdout and not (tmp_path / "after").exists()


def test_a_block_that_nobody_runs_is_found_out(tmp_path):
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", readme)
    assert run(tmp_path, "--readme", readme, "--list").returncode == 0
    with open(readme, "a", encoding="utf-8") as file:
        file.write("\n## Later\n\n    curl localhost:8080/v1/later\n")
    done = run(tmp_path, "--readme", readme, "--list")
    assert done.returncode == 1 and "Later" in done.stderr


def test_every_command_of_the_readme_is_in_a_section_that_is_run(tmp_path):
    listed = run(tmp_path, "--list").stdout.splitlines()
    assert {line.split("\t")[0] for line in listed} == {"Two commands", "A first job", "Running it", "In a container"}
    assert [line.split("\t")[1].split()[0] for line in listed if line.startswith("Two")] == ["./run.sh", "./test.sh"]
