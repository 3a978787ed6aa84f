"""Disks that are full, read-only or failing, damaged files, and copies of a store in use: nothing acknowledged is lost."""

import contextlib
import errno
import json
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from faults import Disk, Faults
from load import submit_all
from processes import until
from server import BINARY, add_script, copy_tasks, environment, flags_of, run_forkpool
from test_processes import HOLD, running

MB = 1 << 20
BALLAST = 16 * MB
SWALLOW = "#!/bin/sh\ncat >/dev/null\necho 1\n"
EXIT_CONFIG, EXIT_STORE = 78, 74


@pytest.fixture
def tasks(tmp_path):
    return copy_tasks(tmp_path / "tasks", hold=HOLD, swallow=SWALLOW)


@pytest.fixture
def disk(tmp_path):
    one = Disk(tmp_path / "disk", 64)
    yield one
    one.unmount()


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path)


@pytest.fixture
def on_disk(start_server, disk, tasks):
    """A server whose store lies on the small disk; not started yet."""
    one = start_server(start=False, store_url=f"sqlite://{disk.path}/forkpool.db", tasks_dir=tasks)
    one.state = disk.path
    return one


@pytest.fixture
def faulty(start_server, tasks, faults):
    """A server whose writes and syncs may fail; not started yet."""
    one = start_server(start=False, tasks_dir=tasks)
    one.environment = faults.environment()
    return one


def cut_log(path):
    """The write-ahead log goes into the file, as the checkpointer does in its time."""
    store = sqlite3.connect(path, timeout=10)
    with contextlib.suppress(sqlite3.OperationalError):  # the disk is full
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def submit_until_full(server, kilobytes=900, each=lambda: None):
    """Submits large jobs until the store is full; the ids of those that were acknowledged, and the refusal."""
    acknowledged, body = [], {"task": "swallow", "args": "x" * (kilobytes * 1000)}
    for _ in range(200):
        answer = server.client.post("/v1/jobs", body)
        if answer.status_code == 507:
            return acknowledged, answer
        assert answer.status_code == 202, answer.text
        acknowledged.append(answer.json()["id"])
        each()
    raise AssertionError("the disk is larger than it should be")


def refused(server):
    answer = server.client.post("/v1/jobs", {"task": "echo", "args": 1})
    assert answer.status_code in (202, 507), answer.text
    return answer.status_code == 507


def jam(server, disk):
    """Until not a byte is left and the ballast is given up: nothing more can be written."""
    def jammed():
        disk.fill()
        assert refused(server)
        time.sleep(0.6)
        return ballast(server).st_size == 0 and disk.free() == 0
    until(jammed, 10)


def ballast(server):
    return (server.state / "forkpool.ballast").stat()


def read_store(path, query):
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return store.execute(query).fetchall()
    finally:
        store.close()


def ends_by_itself(server, status):
    """Starts the server, which ends with that status; what it gave as reasons."""
    said = run_forkpool("serve", *flags_of(server.config), env=server.environment)
    assert said.returncode == status, said.stderr
    return " ".join(json.loads(line).get("reason", "") for line in said.stderr.splitlines() if line.startswith("{"))


def refuses_to_start(server, *texts):
    said = ends_by_itself(server, EXIT_CONFIG)
    for text in texts:
        assert text in said


# ── a full disk ──


def test_a_disk_fills_up_and_gets_room_again_and_nothing_is_lost(on_disk, disk, tmp_path):
    server, client, release = on_disk.start(), on_disk.client, tmp_path / "release"
    until(lambda: (disk.path / "forkpool.ballast").exists() and ballast(server).st_blocks * 512 >= BALLAST, 5, "ballast")
    held = [running(server, client.submit("hold", str(release))["id"]) for _ in range(4)]
    stored, refusal = submit_until_full(server)
    assert len(stored) > 10
    assert refusal.json()["code"] == "store_full" and int(refusal.headers["Retry-After"]) >= 1
    assert server.events("store.full")[0]["ballast_freed"] == BALLAST
    jam(server, disk)
    assert client.get("/readyz?verbose").json()["store_full"] is True
    assert client.counters()["forkpool_store_full"] == 1

    began = time.monotonic()
    answer = client.post(f"/v1/jobs/{stored[-1]}/cancel")
    assert answer.status_code == 507 and answer.headers["Retry-After"] and time.monotonic() - began < 2
    assert client.job(stored[-1])["state"] == "queued"
    release.touch()
    time.sleep(1.2)
    assert [client.job(job)["state"] for job in held] == ["running"] * 4

    disk.remount("size=72m")
    began = time.monotonic()
    for job in held:
        assert client.wait(job)["result"] == "released"
    assert time.monotonic() - began < 2.5
    for job in stored[:-1]:
        assert client.wait(job)["state"] == "succeeded"
    assert refused(server), "the ballast does not fit yet"

    disk.remount("size=128m")
    until(lambda: not refused(server), 2.5, "submissions are taken again", 0.1)
    assert ballast(server).st_size == BALLAST
    assert client.get("/readyz?verbose").json()["store_full"] is False
    assert [event["event"] for event in server.events() if event["event"] in ("store.full", "store.room")][-2:] == [
        "store.full", "store.room"]
    assert client.wait(stored[-1])["state"] == "cancelled"
    listed = {job["id"]: job for job in client.all_jobs()}
    assert set(held + stored) <= set(listed)
    assert all(job["lost"] == job["crashes"] == job["errors"] == 0 for job in listed.values())
    until(lambda: client.get("/v1/stats").json()["jobs"]["queued"] == 0, 10)
    server.stop()
    assert read_store(disk.path / "forkpool.db", "PRAGMA integrity_check") == [("ok",)]


def test_room_that_deletes_make_inside_the_file_is_room(on_disk, disk):
    server = on_disk.start(store_ballast="8MiB")
    # With the log cut after each, the file is nearly all of it: how much else it would have to grow is chance.
    stored, _ = submit_until_full(server, each=lambda: cut_log(disk.path / "forkpool.db"))
    jam(server, disk)
    disk.remount("size=70m")  # some for the log, too little for the ballast
    for job in stored:
        assert server.client.wait(job)["state"] == "succeeded"
    assert refused(server)
    for job in stored:
        assert server.client.request("DELETE", f"/v1/jobs/{job}").status_code == 204
    until(lambda: not refused(server), 5)
    assert ballast(server).st_size == 0
    assert server.client.submit("echo", 1, wait=10)["result"] == 1
    again, _ = submit_until_full(server)
    assert len(again) > 5, "it was used"
    disk.remount("size=160m")
    until(lambda: not refused(server) and ballast(server).st_size == 8 * MB, 2.5)
    server.stop()


def test_everything_killed_on_a_full_disk_is_there_again_once_there_is_room(on_disk, disk, tmp_path):
    server, release = on_disk.start(), tmp_path / "release"
    held = [running(server, server.client.submit("hold", str(release))["id"]) for _ in range(4)]
    stored, _ = submit_until_full(server)
    jam(server, disk)
    release.touch()
    time.sleep(0.8)
    server.kill_everything()

    said = run_forkpool("serve", *flags_of(server.config))  # not a byte left, and no ballast to give up
    assert said.returncode == EXIT_CONFIG
    assert "No space left on device" in said.stderr or "is full" in said.stderr

    disk.remount("size=72m")
    server.start()
    for job in held:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["lost"] <= 1 and ended["errors"] == 0
    for job in stored:
        assert server.client.wait(job)["state"] == "succeeded"
    assert refused(server), "the ballast was given up in an earlier life"
    disk.remount("size=128m")
    until(lambda: not refused(server), 2.5)
    server.stop()


def test_a_start_on_a_full_disk_gives_the_ballast_up_and_goes_on(on_disk, disk):
    server = on_disk.start()
    done = server.client.submit("echo", 1, wait=10)["id"]
    until(lambda: ballast(server).st_size == BALLAST, 5)
    server.stop()
    disk.fill()
    assert disk.free() == 0
    server.start()
    assert server.client.job(done)["state"] == "succeeded"
    assert refused(server)
    disk.empty()
    until(lambda: not refused(server), 2.5)
    assert ballast(server).st_size == BALLAST
    server.stop()


def test_a_front_killed_on_a_full_disk_is_replaced_by_one_that_keeps_the_results(on_disk, disk, tmp_path):
    server, release = on_disk.start(), tmp_path / "release"
    held = [running(server, server.client.submit("hold", str(release))["id"]) for _ in range(4)]
    submit_until_full(server)
    jam(server, disk)
    release.touch()
    time.sleep(0.8)
    os.kill(server.front(), 9)
    time.sleep(1.5)
    disk.remount("size=72m")
    server.wait_ready()
    for job in held:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["lost"] == 0 and ended["attempt"] == 1
    server.clean_up()


def test_a_disk_without_room_for_the_ballast_serves_without_one(on_disk, disk):
    server = on_disk.start(store_ballast="80MiB")
    until(lambda: server.events("store.ballast"), 5)
    assert not (disk.path / "forkpool.ballast").exists()
    assert server.client.submit("echo", 7, wait=10)["result"] == 7
    submit_until_full(server)
    disk.remount("size=128m")
    until(lambda: not refused(server), 2.5)
    until(lambda: server.client.get("/v1/stats").json()["jobs"]["queued"] == 0, 20)
    server.stop()


def test_no_ballast_is_no_ballast(start_server):
    server = start_server(store_ballast=0)
    server.client.submit("echo", 1, wait=10)
    assert not (server.state / "forkpool.ballast").exists()
    server.stop()


def test_a_log_that_finds_no_room_fails_no_job(faulty, faults, tasks):
    add_script(tasks, "chatty", "#!/bin/sh\ncat >/dev/null\necho one line >&2\necho '\"done\"'\n")
    server = faulty.start()
    faults.on(("write", errno.ENOSPC, "/logs/"))
    ended = server.client.submit("chatty", None, wait=10)
    assert ended["state"] == "succeeded" and ended["result"] == "done"
    faults.off()
    ended = server.client.submit("chatty", None, wait=10)
    assert server.client.get(f"/v1/jobs/{ended['id']}/log").text == "one line\n"
    server.stop()


# ── a read-only disk ──


def test_a_disk_that_is_read_only_at_the_start_is_refused(on_disk, disk):
    server = on_disk.start()
    server.stop()
    disk.remount("ro")
    said = run_forkpool("serve", *flags_of(server.config))
    assert said.returncode == EXIT_CONFIG
    assert "not writable: Read-only file system" in said.stderr
    disk.remount("rw")
    server.start()
    server.stop()


def test_a_disk_that_becomes_read_only_refuses_keeps_results_and_goes_on(faulty, faults, tmp_path):
    server, release = faulty.start(), tmp_path / "release"
    held = running(server, server.client.submit("hold", str(release))["id"])
    faults.on(("pwrite", errno.EROFS, "forkpool.db"))
    assert refused(server)
    assert any(event["reason"] == "Read-only file system" for event in server.events("store.error"))
    release.touch()
    time.sleep(1)
    assert server.client.job(held)["state"] == "running"
    assert len(server.events("store.error")) < 8, "twice a second is no reason to log twice a second"
    faults.off()
    assert server.client.wait(held, 3)["result"] == "released"
    until(lambda: not refused(server), 2.5)
    server.stop()


# ── failed syncs ──


def fails_to_sync(server, durability):
    """Submits until the server is gone; the ids that were acknowledged."""
    acknowledged = []
    for _ in range(200):
        try:
            answer = server.client.post("/v1/jobs", {"task": "echo", "args": 1, "durability": durability})
        except requests.RequestException:
            return acknowledged
        acknowledged.append(answer.json()["id"])
        time.sleep(0.01)
    raise AssertionError("the server goes on with a disk that fails")


@pytest.mark.parametrize("durability", ["full", "process"])
def test_a_failed_sync_stops_everything_and_the_next_start_rewrites_the_store(faulty, faults, tmp_path, durability):
    server, store = faulty.start(), faulty.state / "forkpool.db"
    marker = faulty.state / "forkpool.fsync-failed"
    done = [server.client.submit("echo", n, wait=10)["id"] for n in range(20)]
    held = running(server, server.client.submit("hold", str(tmp_path / "release"))["id"])
    faults.on(("sync", errno.EIO, "forkpool.db"))
    acknowledged = fails_to_sync(server, durability)
    assert (durability == "full") == (acknowledged == [])
    assert server.ended(5) == EXIT_STORE
    assert server.events("store.unsynced")[0]["reason"] == "Input/output error"
    assert "Input/output error" in marker.read_text() and str(store) in marker.read_text()

    refuses_to_start(server, "forkpool.fsync-failed", "Input/output error")  # the disk still fails
    assert marker.exists() and not list(server.state.glob("*.rewritten*"))
    faults.off()
    before = store.stat().st_ino
    (tmp_path / "release").touch()
    server.start()
    assert not marker.exists()
    assert len(server.events("store.rewrite")) == 1
    assert store.stat().st_ino != before
    for job in done + acknowledged + [held]:
        assert server.client.wait(job)["state"] == "succeeded"
    server.stop()
    server.start()
    assert server.events("store.rewrite") == []
    server.stop()


# ── damaged and foreign files ──


def make_unclean(path, *statements):
    with sqlite3.connect(path) as store:
        for statement in statements:
            store.execute(statement)
    store.close()


def test_damage_found_after_an_unclean_stop_ends_the_server_and_leaves_the_file_alone(start_server):
    server = start_server()
    submit_all(server, {f"job-{n}": {"task": "echo", "args": f"needle {n} " + "x" * 300} for n in range(500)})
    until(lambda: server.client.get("/v1/stats").json()["jobs"]["succeeded"] == 500, 20)
    server.stop()
    path = server.state / "forkpool.db"
    make_unclean(path, "UPDATE meta SET value = 0 WHERE name = 'clean'")
    data = bytearray(path.read_bytes())
    page = data.index(b"needle 100 ") // 4096 * 4096
    data[page:page + 64] = b"damage! " * 8
    path.write_bytes(data)
    said = ends_by_itself(server, EXIT_STORE)
    assert "is damaged" in said and "restore a backup" in said
    assert path.read_bytes() == data


def test_a_newer_a_truncated_and_a_foreign_file_are_refused(start_server):
    server = start_server()
    submit_all(server, {f"job-{n}": {"task": "echo", "args": "x" * 3000} for n in range(200)})
    server.stop()
    path = server.state / "forkpool.db"
    whole = path.read_bytes()
    make_unclean(path, "PRAGMA user_version = 9")
    refuses_to_start(server, "schema version 9", "newer forkpool")
    path.write_bytes(whole[:len(whole) // 3])
    refuses_to_start(server, "is damaged", "restore a backup")
    assert path.stat().st_size == len(whole) // 3
    path.write_bytes(b"")
    (server.state / "forkpool.db-wal").write_bytes(b"x" * 5000)
    refuses_to_start(server, "was cut or removed")
    (server.state / "forkpool.db-wal").unlink()
    path.write_bytes(b"notes of mine, " * 300)
    refuses_to_start(server, "is not a database")
    path.write_bytes(whole)
    server.start()
    server.stop()


# ── backup ──


def back_up(server, output, *flags, status=0):
    said = run_forkpool("backup", *flags, "--store-url", server.config["store_url"], output, timeout=60)
    assert said.returncode == status, said.stderr
    return said


def serve_copy(start_server, copy, folder):
    folder.mkdir()
    copy.rename(folder / "forkpool.db")
    return start_server(name="second", store_url=f"sqlite://{folder}/forkpool.db")


def test_a_copy_made_while_eight_clients_submit_holds_all_that_was_acknowledged(start_server, tmp_path):
    server, copy = start_server(), tmp_path / "copy.db"
    bodies = {f"job-{n}": {"task": "echo", "args": n} for n in range(6000)}
    known, enough = [0], threading.Event()
    acknowledged = {}

    def count(number):
        known[0] = number
        if number >= 1500:
            enough.set()

    thread = threading.Thread(target=lambda: acknowledged.update(submit_all(server, bodies, stop=count)))
    thread.start()
    assert enough.wait(30)
    before = {job["id"] for job in server.client.all_jobs()}
    at_begin = known[0]
    said = back_up(server, copy)
    at_end = known[0]
    thread.join()
    assert at_end > at_begin, "submissions went on meanwhile"
    assert len(acknowledged) == len(bodies) and len(before) >= 1500
    assert said.stdout.startswith(f"{copy}: ") and "checked and synced" in said.stdout
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.db"]
    assert read_store(copy, "PRAGMA integrity_check") == [("ok",)]

    second = serve_copy(start_server, copy, tmp_path / "elsewhere")
    copied = {job["id"] for job in second.client.all_jobs()}
    assert before <= copied <= set(acknowledged.values())
    until(lambda: second.client.get("/v1/stats").json()["jobs"]["succeeded"] == len(copied), 30)
    second.stop()
    server.stop()


def test_a_store_that_nobody_serves_is_copied_also_after_a_kill(start_server, tmp_path):
    server = start_server()
    jobs = set(submit_all(server, {f"job-{n}": {"task": "echo", "args": n} for n in range(300)}).values())
    server.kill_everything()
    back_up(server, tmp_path / "killed.db")
    server.start()
    server.stop()
    back_up(server, tmp_path / "stopped.db")
    for name in ("killed", "stopped"):
        assert read_store(tmp_path / f"{name}.db", "SELECT count(*) FROM jobs") == [(len(jobs),)]
    server.start()
    server.stop()


def test_a_copy_is_refused_with_a_sentence(start_server, tmp_path):
    server = start_server()
    (tmp_path / "there").write_text("precious")
    assert "Nothing was overwritten" in back_up(server, tmp_path / "there", status=1).stderr
    assert (tmp_path / "there").read_text() == "precious"
    assert "cannot be written: No such file" in back_up(server, tmp_path / "no" / "copy", status=1).stderr
    said = run_forkpool("backup", "--store-url", f"sqlite://{tmp_path}/none.db", tmp_path / "copy")
    assert said.returncode == 1 and "There is no store at" in said.stderr
    for arguments in ([], ["a", "b"], ["--store-url", "sqlite:///x"]):
        said = run_forkpool("backup", *arguments)
        assert said.returncode == 64 and said.stderr.startswith("usage: forkpool backup")
    said = run_forkpool("backup", "--store-utl", "x", tmp_path / "copy")
    assert said.returncode == EXIT_CONFIG and "did you mean --store-url" in said.stderr
    assert run_forkpool("backup", "--help").stdout.startswith("usage: forkpool backup")
    server.stop()


def test_a_copy_onto_a_full_disk_leaves_nothing_and_harms_nobody(start_server, disk, tmp_path):
    server = start_server()
    server.client.submit("echo", 1, wait=10)
    disk.fill()
    assert "There is no room for" in back_up(server, disk.path / "copy.db", status=1).stderr
    assert not list(disk.path.glob("copy*"))
    server.client.submit("echo", 1, wait=10)
    server.stop()


def test_a_copy_shows_its_progress_on_a_terminal(start_server, tmp_path):
    server = start_server()
    for _ in range(20):
        server.client.submit("echo", "x" * 900_000)
    ours, theirs = os.openpty()
    command = [str(BINARY), "backup", "--store-url", server.config["store_url"], str(tmp_path / "copy.db")]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.wait(60) == 0
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "copying, " in shown and "checking the copy" in shown
    server.stop()


def test_the_log_of_writes_begins_anew_after_a_copy(start_server, tmp_path):
    """A copy pins the write-ahead log while it lasts, and not a moment longer."""
    server = start_server()
    submit_all(server, {f"job-{n}": {"task": "echo", "args": n} for n in range(500)})
    back_up(server, tmp_path / "copy.db")
    until(lambda: server.client.get("/v1/stats").json()["jobs"]["succeeded"] == 500, 20)
    server.stop()
    assert not Path(f"{server.state}/forkpool.db-wal").exists()
