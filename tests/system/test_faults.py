"""Memory that runs out, calls that fail or fall short, clocks that jump, processes that are stopped, files that a power loss
has left torn: an error answer or a clean restart, and nothing acknowledged is lost. The long walks: tests/crash/faults."""

import errno
import os
import signal
import sqlite3
import subprocess
import time

import pytest
import requests

import processes
from faults import Faults
from processes import until
from server import BINARY, copy_tasks, environment, flags_of
from strain import STRIDE, WALKS, Strain, walk_of
from test_processes import HOLD, running

CHATTY = "#!/bin/sh\ncat >/dev/null\necho one line >&2\necho '\"done\"'\n"


@pytest.fixture
def strained(start_server, tmp_path):
    """A server whose memory may run out and whose clock may jump, and what makes them."""
    strain = Strain(tmp_path)
    one = start_server(start=False, workers_count=2, tasks_dir=copy_tasks(tmp_path / "tasks", chatty=CHATTY))
    one.environment = strain.environment()
    one.start()
    yield one, strain
    strain.disarm()


@pytest.fixture
def faulty(start_server, tmp_path):
    """A server whose calls may fail, and what makes them."""
    faults = Faults(tmp_path)
    one = start_server(start=False, workers_count=2,
                       tasks_dir=copy_tasks(tmp_path / "tasks", chatty=CHATTY, hold=HOLD))
    one.environment = faults.environment()
    one.start()
    return one, faults


def integrity(server):
    store = sqlite3.connect(f"file:{server.state}/forkpool.db?mode=ro", uri=True)
    try:
        return store.execute("PRAGMA integrity_check").fetchall()
    finally:
        store.close()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idles(pid, seconds=1.0):
    """That process does next to nothing for a while."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return cpu_seconds(pid) - before < 0.1 * seconds


# ── memory that runs out ──


@pytest.mark.parametrize("name", WALKS)
def test_each_allocation_may_fail_and_nothing_is_lost(strained, name):
    server, strain = strained
    walk = walk_of(name, server, strain)
    assert walk.run(most=250, stride=STRIDE) >= 1, "no allocation failed"
    assert walk.longest < 15, "a request hung"
    assert server.client.submit("echo", 1, wait=20)["result"] == 1
    server.terminate()
    assert server.ended() == 0
    assert integrity(server) == [("ok",)]


def test_many_allocations_in_a_row_may_fail(strained):
    server, strain = strained
    walk = walk_of("submit", server, strain)
    walk.run(most=60, stride=2.0, burst=50)
    assert server.client.submit("echo", 1, wait=20)["result"] == 1


def test_a_start_that_is_short_of_memory_says_so_or_is_ready(start_server, tmp_path):
    strain = Strain(tmp_path)
    server = start_server(start=False, workers_count=1)
    ended = number = 1
    while number < 3000 and ended < 40:
        strain.arm("", number)
        process = subprocess.Popen([str(BINARY), "serve", *flags_of(server.config)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                                   env={**environment(), **strain.environment()})
        server.sessions.append(process.pid)
        seen = b""
        while b"server.ready" not in seen:
            line = process.stderr.readline()
            seen += line
            if not line:
                break
        struck = strain.disarm()
        if process.poll() is None and b"server.ready" in seen:
            process.send_signal(signal.SIGTERM)
        process.stderr.read()
        status = process.wait(20)
        assert b"server.ready" in seen or (status > 0 and seen.strip()), (number, status, seen)
        ended += status != 0
        if struck == 0:
            break
        number = max(number + 1, int(number * 1.6))
    assert number > 100
    server.start()
    assert server.client.submit("echo", 1, wait=10)["result"] == 1
    server.stop()


# ── calls that fail or fall short ──


@pytest.mark.parametrize("lines", [
    [("short", 700, "forkpool.db")],
    [("pwrite", errno.EINTR, "forkpool.db", 3), ("pread", errno.EINTR, "forkpool.db", 3)],
    [("short", 3, "pipe:"), ("read", errno.EINTR, "pipe:", 2), ("write", errno.EINTR, "pipe:", 2)],
    [("short", 2, "/logs/"), ("write", errno.EINTR, "/logs/", 2)],
    [("recv", errno.EINTR, "socket:", 3), ("send", errno.EINTR, "socket:", 3), ("sendmsg", errno.EINTR, "socket:", 3)],
    [("open", errno.EMFILE, "/logs/")],
    [("write", errno.EIO, "/logs/")],
], ids=lambda lines: f"{lines[0][0]}-{lines[0][2].strip('/:')}")
def test_calls_that_fall_short_or_are_interrupted_are_no_fault(faulty, lines):
    server, faults = faulty
    faults.on(*lines)
    for n in range(5):
        ended = server.client.submit("chatty", "x" * (3000 * n), wait=20)
        assert (ended["state"], ended["result"], ended["attempt"]) == ("succeeded", "done", 1)
        assert server.client.submit("echo", ["y" * 5000, n], wait=20)["result"] == ["y" * 5000, n]
    faults.off()
    server.stop()
    assert integrity(server) == [("ok",)]


@pytest.mark.parametrize(("call", "number"), [("vfork", errno.EAGAIN), ("pipe", errno.EMFILE),
                                              ("memfd", errno.ENFILE)])
def test_a_command_that_cannot_be_started_is_tried_again(faulty, call, number):
    server, faults = faulty
    before = server.client.submit("echo", 1, wait=10)["id"]  # so it has inputs: a memfd
    faults.on((call, number, "worker"))
    job = server.client.submit("chatty", 1, after=[before], retry={"max_attempts": 30})["id"]
    until(lambda: server.client.job(job)["attempt"] > 0 or server.client.job(job)["lost"] > 0, 10, "a first attempt")
    faults.off()
    assert server.client.wait(job)["result"] == "done"
    until(server.full_strength, 10, "full strength")
    server.stop()


def test_processes_that_cannot_be_forked_come_once_they_can(faulty):
    server, faults = faulty
    faults.on(("fork", errno.ENOMEM, "supervisor"))
    for pid in server.workers():
        processes.kill(pid)
    processes.kill(server.front())
    time.sleep(1)
    assert not server.workers() and not server.fronts()
    assert idles(server.supervisor)
    faults.off()
    server.wait_ready()
    until(server.full_strength, 10, "full strength")
    assert server.client.submit("echo", 1, wait=10)["result"] == 1
    server.stop()


def test_without_descriptors_clients_wait_and_the_front_does_not_spin(faulty):
    server, faults = faulty
    server.client.submit("echo", 1, wait=10)
    front = server.front()
    faults.on(("accept", errno.EMFILE, "front"))
    with server.raw() as raw:
        raw.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idles(front)
        faults.off()
        assert raw.answer()[0] == 200
    assert server.front() == front
    server.stop()


def test_once_there_are_descriptors_again_clients_are_served_though_nobody_has_gone(faulty):
    server, faults = faulty
    request = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    held, late = [server.raw() for _ in range(40)], []
    for raw in held:  # idle connections in each of the loops
        raw.send(request)
        assert raw.answer()[0] == 200
    faults.on(("accept", errno.EMFILE, "front"))
    for _ in range(8):
        late.append(server.raw(5))
        late[-1].send(request)
    time.sleep(0.5)
    faults.off()
    assert [raw.answer()[0] for raw in late] == [200] * 8
    for raw in held + late:
        raw.socket.close()
    server.stop()


@pytest.mark.parametrize("call", ["pread", "pwrite"])
def test_a_store_that_cannot_be_read_or_written_ends_the_server_and_keeps_what_it_has(faulty, call):
    server, faults = faulty
    done = [server.client.submit("echo", n, wait=10)["id"] for n in range(5)]
    faults.on((call, errno.EIO, "forkpool.db"))
    acknowledged = []
    for _ in range(40):
        try:
            answer = requests.post(server.url + "/v1/jobs", json={"task": "echo", "args": 1}, timeout=10)
        except requests.RequestException:
            break
        if answer.status_code == 202:
            acknowledged.append(answer.json()["id"])
        time.sleep(0.02)
    try:
        assert server.ended(3 if call == "pread" else 20) == 74
    except subprocess.TimeoutExpired:
        assert call == "pread", "what it needed was in memory"
    faults.off()
    if server.process is None:
        server.start()
    for job in done + acknowledged:
        assert server.client.wait(job)["state"] == "succeeded"
    server.stop()
    assert integrity(server) == [("ok",)]


# ── clocks that jump ──


def test_ids_rise_and_jobs_run_while_the_clock_jumps(strained):
    server, strain = strained
    ids = []
    for shift in (0, 3600, -3600, 86400, 0, -86400, 1, 0):
        strain.shift(shift)
        ids += [server.client.submit("echo", n, wait=20)["id"] for n in range(5)]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    processes.kill(server.front())
    server.wait_ready()
    ids.append(server.client.submit("echo", 1, wait=20)["id"])
    assert ids[-1] == max(ids)
    assert [job["id"] for job in server.client.all_jobs()] == sorted(ids, reverse=True)
    assert idles(server.front()) and idles(server.supervisor)
    server.stop()


def test_what_waits_for_a_time_comes_when_the_clock_says_so_and_nothing_spins(strained):
    server, strain = strained
    later = server.client.submit("echo", "later", delay=1800)["id"]
    soon = server.client.submit("echo", "soon", delay=1)["id"]
    gone = server.client.submit("echo", "gone", delay=2000, expires_in=2500)["id"]
    strain.shift(-3600)  # `soon` is an hour away now
    assert idles(server.front(), 1.5)
    assert server.client.job(soon)["state"] == "scheduled"
    strain.shift(0)
    assert server.client.wait(soon)["state"] == "succeeded"
    assert server.client.job(later)["state"] == "scheduled"
    strain.shift(3600)
    assert server.client.wait(later, 10)["state"] == "succeeded"
    ended = server.client.wait(gone, 10)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "expired")
    assert idles(server.front())
    server.stop()


def test_deadlines_and_retries_do_not_mind_a_jump_forwards(strained):
    server, strain = strained
    slow = server.client.submit("sleep", {"seconds": 1.5}, timeout=20)["id"]
    stopped = server.client.submit("sleep", {"seconds": 30}, timeout=1, retry={"max_attempts": 1})["id"]
    server.worker_of(stopped)
    began = time.monotonic()
    strain.shift(86400)
    assert server.client.wait(slow)["state"] == "succeeded"
    strain.shift(-86400)
    ended = server.client.wait(stopped)
    assert ended["error"]["code"] == "timeout" and time.monotonic() - began < 5
    strain.shift(0)
    failing = server.client.submit("fail", {"message": "no"}, retry={"max_attempts": 3})["id"]
    strain.shift(600)
    assert server.client.wait(failing)["state"] == "failed"
    server.stop()


# ── processes that are stopped for longer than anything waits for them ──


def test_a_stopped_supervisor_and_a_stopped_server_go_on_where_they_were(start_server, tmp_path):
    tasks, release = copy_tasks(tmp_path / "tasks", hold=HOLD), tmp_path / "release"
    lone, whole = (start_server(name=name, workers_count=2, tasks_dir=tasks) for name in ("lone", "whole"))
    held = {server: running(server, server.client.submit("hold", str(release))["id"]) for server in (lone, whole)}
    late = lone.client.submit("sleep", {"seconds": 60}, timeout=2, retry={"max_attempts": 1})["id"]
    front = lone.front()
    os.kill(lone.supervisor, signal.SIGSTOP)
    os.killpg(whole.supervisor, signal.SIGSTOP)
    time.sleep(11)
    assert lone.client.submit("echo", "without a supervisor")["state"] == "queued"
    os.kill(lone.supervisor, signal.SIGCONT)
    os.killpg(whole.supervisor, signal.SIGCONT)
    assert lone.client.wait(late, 5)["error"]["code"] == "timeout"
    assert lone.front() == front, "it was never silent"
    release.touch()
    for server, job in held.items():
        server.wait_ready()
        ended = server.client.wait(job)
        assert (ended["state"], ended["attempt"], ended["lost"]) == ("succeeded", 1, 0)
        until(server.full_strength, 10, "full strength")
        server.stop()


# ── files that a power loss has left behind ──


def test_a_torn_black_box_ballast_and_marker_hold_up_no_start(start_server):
    server = start_server(workers_count=1)
    job = server.client.submit("echo", 1, wait=10)["id"]
    server.stop()
    box, ballast = server.state / "forkpool.blackbox", server.state / "forkpool.ballast"
    marker = server.state / "forkpool.fsync-failed"
    whole = box.read_bytes() if box.exists() else b"\0" * 4096
    for torn in (b"", b"\0" * 4096, whole[:100], whole[:512] + b"\0" * (len(whole) - 512), os.urandom(len(whole))):
        box.write_bytes(torn)
        ballast.write_bytes(torn[:512])
        marker.write_bytes(b"")  # only its name came to the disk
        server.start()
        assert server.client.job(job)["lost"] == 0
        assert server.client.submit("echo", 2, wait=10)["lost"] == 0
        assert not marker.exists()
        server.kill_everything()
    server.start()
    server.stop()


def test_damage_that_comes_while_it_runs_is_an_error_and_no_false_answer(start_server):
    server = start_server(workers_count=1)
    jobs = [server.client.submit("echo", f"needle {n:03} " + "x" * 3000)["id"] for n in range(60)]
    until(lambda: server.client.get("/v1/stats").json()["jobs"]["succeeded"] == 60, 20)
    processes.kill(server.front())  # so that nothing of the file is in anybody's memory
    server.wait_ready()
    path = server.state / "forkpool.db"
    until(lambda: b"needle 059" in path.read_bytes(), 5, "the log was copied into the file")
    data = path.read_bytes()
    with open(path, "r+b") as file:
        for at in range(0, len(data), 4096):  # leaves of the table of jobs; longer values have pages of their own
            if data[at] == 0x0d and b"needle 0" in data[at:at + 4096]:
                file.seek(at)
                file.write(b"\xff" * 4096)
    seen = set()
    for job in jobs:
        try:
            answer = requests.get(server.url + f"/v1/jobs/{job}", timeout=10)
        except requests.RequestException:
            break
        seen.add(answer.status_code)
        if answer.status_code == 200:
            assert answer.json()["state"] == "succeeded"
        else:
            assert answer.status_code in (500, 503), answer.text
    assert seen - {200} or server.process.wait(10) == 74, "the damage was not seen"  # by a request, or by the check of the file
