"""What was acknowledged survives kill -9 of everything, ends exactly once in the record, and only what ran is charged."""

import sqlite3
import threading
from pathlib import Path

import pytest

import processes
from load import submit_all
from processes import until
from server import add_script, copy_tasks
from test_processes import HOLD, running

SUCCEEDED, TERMINAL = 3, (3, 4, 5)
JOBS = 10_000


def watch_records(server):
    """A trigger in the store: any change to a row that is terminal is recorded as a violation."""
    with sqlite3.connect(server.state / "forkpool.db") as store:
        store.execute("CREATE TABLE violations (id_key INTEGER, was INTEGER, became INTEGER)")
        for event, became in (("UPDATE", "NEW.state"), ("DELETE", "-1")):
            store.execute(f"CREATE TRIGGER watch_{event} AFTER {event} ON jobs WHEN OLD.state IN (3, 4, 5) "
                          f"BEGIN INSERT INTO violations VALUES (OLD.id_key, OLD.state, {became}); END")
    store.close()


def read_store(server, query):
    store = sqlite3.connect(f"file:{server.state}/forkpool.db?mode=ro", uri=True)
    try:
        return store.execute(query).fetchall()
    finally:
        store.close()


def assert_record_is_whole(server, jobs):
    """jobs rows in the store, each terminal and as recorded once; numbers of attempts without gap or double."""
    assert read_store(server, "PRAGMA integrity_check") == [("ok",)]
    assert read_store(server, "SELECT * FROM violations") == []
    assert read_store(server, "SELECT state, count(*) FROM jobs GROUP BY state") == [(SUCCEEDED, jobs)]
    assert read_store(server, "SELECT count(*) FROM jobs WHERE number <> attempt OR outcome <> 1") == [(0,)]
    assert read_store(server, "SELECT count(*) FROM jobs j WHERE attempt - 1 <> "
                              "(SELECT count(*) FROM attempts a WHERE a.id_key = j.id_key AND a.number < j.attempt)"
                      ) == [(0,)]
    assert read_store(server, "SELECT sum(jobs) FROM counts WHERE state = 3") == [(jobs,)]
    assert read_store(server, "SELECT count(*) FROM counts WHERE state <> 3 AND jobs <> 0") == [(0,)]


def wait_for_all(server, jobs, seconds):
    """Until as many jobs as that have succeeded, by the server's own count."""
    def done():
        return server.client.get("/v1/stats").json()["jobs"]["succeeded"] == jobs
    until(done, seconds, f"{jobs} jobs have succeeded", 0.1)


@pytest.fixture
def server(start_server, tmp_path):
    """Started and stopped once, for the schema; then watched."""
    one = start_server(tasks_dir=copy_tasks(tmp_path / "tasks", hold=HOLD))
    one.stop()
    watch_records(one)
    return one


@pytest.mark.parametrize("durability", ["full", "process"])
def test_ten_thousand_acknowledged_jobs_survive_kill_9_of_everything(server, tmp_path, durability):
    release = tmp_path / "release"
    server.start()
    held = [running(server, server.client.submit("hold", str(release), durability=durability)["id"]) for _ in range(4)]
    bodies = {f"job-{n}": {"task": "echo", "args": n, "durability": durability} for n in range(JOBS)}
    acknowledged = submit_all(server, bodies)
    assert len(acknowledged) == JOBS == len(set(acknowledged.values()))
    server.kill_everything()

    release.touch()
    server.start()
    wait_for_all(server, JOBS + len(held), 60)
    for job in held:
        ended = server.client.job(job)
        assert ended["lost"] == 1 and ended["attempt"] == 2 and ended["errors"] == ended["crashes"] == 0
        assert [one["outcome"] for one in server.client.attempts(job)] == ["lost", "success"]
    listed = {job["id"]: job for job in server.client.all_jobs()}
    assert set(listed) == {*held, *acknowledged.values()}
    for job in acknowledged.values():
        assert listed[job]["lost"] == 0 and listed[job]["attempt"] == 1, "a job that did not run was charged"
    for key in ("job-0", "job-5000", f"job-{JOBS - 1}"):
        assert server.client.job(acknowledged[key])["result"] == int(key[4:])
    server.stop()
    assert_record_is_whole(server, JOBS + len(held))


def test_a_kill_in_the_middle_of_everything_loses_nothing_and_charges_only_what_ran(server):
    """Submitting, running and finishing go on at once when everything is killed, again and again."""
    bodies = {f"job-{n}": {"task": "sleep", "args": {"seconds": 0.001 * (n % 4)}} for n in range(4000)}
    acknowledged = {}
    for life in range(4):
        server.start()
        left = {key: body for key, body in bodies.items() if key not in acknowledged}
        enough, target = threading.Event(), 600 * (life + 1)
        killer = threading.Thread(target=lambda e=enough: (e.wait(30), server.kill_everything()))
        killer.start()
        acknowledged.update(submit_all(server, left, stop=lambda n, e=enough, t=target: n >= t and e.set()))
        enough.set()
        killer.join()
        server.process = None
    server.start()
    again = submit_all(server, bodies)
    assert len(again) == len(bodies), server.log_text()
    assert all(again[key] == job for key, job in acknowledged.items()), "a key stands for its first job"
    wait_for_all(server, len(bodies), 60)
    listed = {job["id"]: job for job in server.client.all_jobs()}
    assert set(listed) == set(again.values()), "as many jobs as keys, and no others"
    charged = [job for job in listed.values() if job["lost"] > 0]
    assert len(charged) <= 4 * 4, "at most one for each worker and kill"
    for job in listed.values():
        assert job["attempt"] == job["lost"] + 1 and job["crashes"] == job["errors"] == 0
    server.stop()
    assert_record_is_whole(server, len(bodies))


def test_jobs_that_ran_at_a_drain_are_not_charged(server, tmp_path):
    release = tmp_path / "release"
    server.start(shutdown_drain="200ms")
    held = [running(server, server.client.submit("hold", str(release))["id"]) for _ in range(4)]
    queued = submit_all(server, {f"job-{n}": {"task": "echo", "args": n} for n in range(200)})
    server.stop()
    release.touch()
    server.start()
    wait_for_all(server, 204, 20)
    for job in server.client.all_jobs():
        assert job["lost"] == job["crashes"] == job["errors"] == 0 and job["attempt"] == 1
    assert {job["id"] for job in server.client.all_jobs()} == {*held, *queued.values()}
    server.stop()
    assert_record_is_whole(server, 204)


def test_a_job_that_is_there_at_every_kill_of_everything_is_charged_until_it_has_failed(server, tmp_path):
    job = None
    for life in range(3):
        server.start(jobs_max_lost=3)
        if job is None:
            job = server.client.submit("hold", str(tmp_path / "never"))["id"]
        running(server, job)
        assert server.client.job(job)["lost"] == life
        server.kill_everything()
    server.start()
    ended = server.client.wait(job)
    assert ended["state"] == "failed" and ended["lost"] == 3 and ended["error"]["code"] == "worker_lost"
    server.stop()


def test_processes_of_commands_do_not_outlive_kill_9_of_everything(server, tmp_path):
    server.start()
    job = running(server, server.client.submit("hold", str(tmp_path / "never"))["id"])
    session = server.supervisor
    server.process.kill()
    server.ended()  # asserts that nothing of the session is left
    server.start()
    until(lambda: server.client.job(job)["state"] == "running", 10)
    assert server.supervisor != session
    server.client.post(f"/v1/jobs/{job}/cancel")
    assert server.client.wait(job)["state"] == "cancelled"
    server.stop()


def test_memory_jobs_survive_every_death_but_that_of_everything(server):
    server.start()
    jobs = [server.client.submit("sleep", {"seconds": 0.02}, durability="memory")["id"] for _ in range(100)]
    processes.kill(server.front())
    processes.kill(server.workers()[0])
    for job in jobs:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == ended["lost"] + 1
    server.stop()
    server.start()
    assert {job["id"] for job in server.client.all_jobs()} == set(jobs)
    server.stop()


def test_a_cancel_of_a_running_job_outlives_a_kill_of_everything(server):
    add_script(Path(server.config["tasks_dir"]), "deaf", "#!/bin/sh\ntrap '' TERM\necho '{\"progress\":0.5}' >&3\nexec sleep 30\n")
    server.start()
    deaf, other = (server.client.submit("deaf", {}, kill_after=20) for _ in range(2))
    for job in (deaf, other):
        until(lambda job=job: server.client.job(job["id"])["progress"], 10, "it is deaf")
    assert server.client.post(f"/v1/jobs/{deaf['id']}/cancel").status_code == 202
    server.kill_everything()
    server.start()
    ended = server.client.wait(deaf["id"])
    assert (ended["state"], ended["cancel_requested"], ended["lost"]) == ("cancelled", True, 1)
    server.worker_of(other["id"])
    server.kill_everything()
