"""Each shipped task does what it says, on real input."""

import hashlib
import os
import subprocess
import time

import pytest

from processes import alive, until
from server import add_script

SERVER = {"workers_count": 2, "jobs_max_crashes": 3}


def test_echo_returns_its_arguments(client):
    assert client.submit("echo", {"a": [1, "ü"]}, wait=10)["result"] == {"a": [1, "ü"]}


def test_sleep_sleeps_as_long_as_asked(client):
    began = time.monotonic()
    job = client.submit("sleep", {"seconds": 0.5}, wait=10)
    assert job["state"] == "succeeded" and 0.5 <= time.monotonic() - began < 3
    assert 0.5 <= job["run_seconds"] < 1.5


@pytest.mark.parametrize("seconds", ["long", -1, None])
def test_sleep_refuses_what_is_no_time(client, seconds):
    job = client.submit("sleep", {"seconds": seconds}, wait=10)
    assert job["state"] == "failed" and job["attempt"] == 1 and job["error"]["retryable"] is False


def test_fail_fails_with_the_message_given(client):
    job = client.submit("fail", {"message": "the printer is on fire", "retryable": False}, wait=10)
    assert job["state"] == "failed" and "the printer is on fire" in job["error"]["message"]


@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_003, 20_000_000])
def test_sha256_hashes_real_files(client, tmp_path, size):
    path = tmp_path / "data"
    data = os.urandom(size)
    path.write_bytes(data)
    job = client.submit("sha256", {"path": str(path)}, wait=30)
    assert job["state"] == "succeeded", job
    assert job["result"] == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": size}


def test_sha256_reports_progress_on_a_large_file(client, tmp_path):
    path = tmp_path / "data"
    with open(path, "wb") as file:
        file.truncate(400_000_000)
    job = client.submit("sha256", {"path": str(path)})
    seen = set()

    def ended():
        now = client.job(job["id"])
        if now["state"] == "running" and now.get("progress"):
            seen.add(now["progress"]["value"])
        return now["state"] == "succeeded"

    until(ended, 30)
    assert any(0 < value < 1 for value in seen), seen
    assert client.job(job["id"])["result"]["bytes"] == 400_000_000


def test_sha256_of_a_missing_file_fails_and_names_it(client):
    job = client.submit("sha256", {"path": "/nowhere/at/all"}, wait=10, retry={"max_attempts": 1})
    assert job["state"] == "failed" and "/nowhere/at/all" in job["error"]["message"]


def test_crash_really_kills_its_worker_and_the_next_attempt_succeeds(server, client):
    before = set(server.workers())
    job = client.submit("crash", {"signal": "SEGV", "until_attempt": 2}, wait=20)
    assert job["state"] == "succeeded" and job["attempt"] == 2 and job["crashes"] == 1
    assert job["errors"] == job["lost"] == 0
    attempts = client.attempts(job["id"])
    assert attempts[0]["outcome"] == "crash" and attempts[0]["error"]["signal"] == 11
    assert attempts[1]["outcome"] == "success"
    until(server.full_strength, 5, "two workers again")
    assert len(before - set(server.workers())) == 1


@pytest.mark.parametrize("how, signal, exit_code", [("SEGV", 11, None), ("ABRT", 6, None), ("exit", None, 3)])
def test_a_job_that_always_crashes_fails_after_three_workers(server, client, how, signal, exit_code):
    job = client.submit("crash", {"signal": how}, wait=30)
    assert job["state"] == "failed" and job["crashes"] == 3 and job["attempt"] == 3
    assert job["lost"] == job["errors"] == 0
    error = job["error"]
    assert error["code"] == "worker_crashed" and (error.get("signal"), error.get("exit_code")) == (signal, exit_code)
    until(server.full_strength, 5, "two workers again")


def test_a_kill_from_outside_is_a_loss_and_no_crash(server, client):
    job = client.submit("crash", {"signal": "KILL", "until_attempt": 3}, wait=30)
    assert job["state"] == "succeeded" and job["lost"] == 2 and job["crashes"] == 0 and job["attempt"] == 3


def test_the_log_of_a_crashed_attempt_survives_it(client):
    job = client.submit("crash", {"signal": "SEGV", "until_attempt": 2}, wait=20)
    assert "about to crash" in client.get(f"/v1/jobs/{job['id']}/log?attempt=1").text


def test_other_jobs_are_untouched_by_a_crash(client):
    steady = client.submit("sleep", {"seconds": 1.5})
    crash = client.submit("crash", {"signal": "SEGV"})
    echoes = [client.submit("echo", n)["id"] for n in range(20)]
    assert client.wait(crash["id"])["state"] == "failed"
    for job_id in [*echoes, steady["id"]]:
        ended = client.wait(job_id)
        assert ended["state"] == "succeeded" and ended["attempt"] == 1


TEXT = "one two  three\nfour\n\tfünf sechs\n"


def test_wordcount_counts_like_wc(client, tmp_path):
    wc = subprocess.run(["wc", "-l", "-w", "-c"], input=TEXT.encode(), stdout=subprocess.PIPE, check=True)
    lines, words, size = map(int, wc.stdout.split())
    expected = {"lines": lines, "words": words, "bytes": size}
    assert client.submit("wordcount", {"text": TEXT}, wait=10)["result"] == expected
    path = tmp_path / "a file"
    path.write_text(TEXT)
    assert client.submit("wordcount", {"path": str(path)}, wait=10)["result"] == expected


def test_wordcount_of_what_is_no_text_fails_for_good_and_its_log_says_why(client):
    job = client.submit("wordcount", {"text": 5}, wait=10)
    assert job["state"] == "failed" and job["attempt"] == 1
    assert job["error"]["code"] == "exit_status" and job["error"]["exit_code"] == 65
    log = client.get(f"/v1/jobs/{job['id']}/log")
    assert log.headers["Content-Type"].startswith("text/plain") and "arguments must be" in log.text


def test_thumbnail_makes_a_smaller_picture_of_the_same_proportions(client, tmp_path):
    source, target = tmp_path / "photo.png", tmp_path / "small.jpg"
    subprocess.run(["convert", "-size", "640x400", "gradient:blue-yellow", str(source)], check=True)
    job = client.submit("thumbnail", {"path": str(source), "width": 160, "height": 160, "output": str(target)}, wait=30)
    assert job["state"] == "succeeded", job
    assert job["result"] == {"path": str(target), "width": 160, "height": 100, "bytes": target.stat().st_size}
    size = subprocess.run(["identify", "-format", "%m %w %h", str(target)], stdout=subprocess.PIPE, check=True, text=True)
    assert size.stdout == "JPEG 160 100"
    assert job["progress"]["value"] == 1


def test_thumbnail_of_what_is_no_picture_fails_and_leaves_nothing(client, tmp_path):
    source = tmp_path / "no.png"
    source.write_text("this is text")
    job = client.submit("thumbnail", {"path": str(source)}, wait=30)
    assert job["state"] == "failed" and job["error"]["exit_code"] == 65 and job["attempt"] == 1
    assert "no readable png" in job["error"]["message"]
    assert "no.png" in client.get(f"/v1/jobs/{job['id']}/log").text
    assert [path.name for path in tmp_path.iterdir()] == ["no.png"]


def test_a_command_that_runs_too_long_is_stopped_with_all_its_children(start_server, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    pids = tmp_path / "pids"
    add_script(tasks, "family", f"#!/bin/sh\nsleep 97 & echo $! >{pids}\nsleep 98 & echo $! >>{pids}\nwait\n")
    server = start_server(tasks_dir=tasks, jobs_kill_after="200ms")
    job = server.client.submit("family", wait=10, timeout=0.5, retry={"max_attempts": 1})
    assert job["state"] == "failed" and job["error"]["code"] == "timeout"
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: not alive(pid), 5, "the children are gone")
    server.stop()


def test_a_command_that_ignores_the_request_to_stop_is_killed(start_server, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    add_script(tasks, "stubborn", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n")
    server = start_server(tasks_dir=tasks, jobs_kill_after="300ms")
    began = time.monotonic()
    job = server.client.submit("stubborn", wait=10, timeout=0.3, retry={"max_attempts": 1})
    assert job["state"] == "failed" and job["error"]["code"] == "timeout"
    assert 0.6 <= time.monotonic() - began < 3
    server.stop()


def test_exit_statuses_decide_whether_a_command_is_retried(start_server, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for status in (1, 65, 75):
        add_script(tasks, f"exit{status}", f"#!/bin/sh\necho reason >&2\nexit {status}\n")
    server = start_server(tasks_dir=tasks)
    for status, attempts in ((1, 3), (65, 1), (75, 3)):
        job = server.client.submit(f"exit{status}", wait=20)
        assert (job["state"], job["attempt"], job["error"]["exit_code"]) == ("failed", attempts, status)
        assert "reason" in job["error"]["message"]
    server.stop()


def test_output_that_is_no_json_is_a_string(start_server, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    add_script(tasks, "say", "#!/bin/sh\nprintf 'two\\nlines \\\\ \"ü\"\\n'\n")
    add_script(tasks, "json", "#!/bin/sh\ncat\n")
    server = start_server(tasks_dir=tasks)
    assert server.client.submit("say", wait=10)["result"] == 'two\nlines \\ "ü"'
    assert server.client.submit("json", {"a": [1.50]}, wait=10)["result"] == {"a": [1.5]}
    server.stop()
