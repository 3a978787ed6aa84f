"""Supervisor, front and workers: who they are, and what happens when one of them dies or is asked to stop."""

import os
import signal
import time

import pytest
import requests

import processes
from load import post_bytes
from processes import alive, kill, until
from server import add_script, copy_tasks

# Runs until the file appears that its arguments name, so that a test decides when it ends.
HOLD = """#!/bin/sh
read -r path
path=${path#\\"}
path=${path%\\"}
while [ ! -e "$path" ]; do sleep 0.02; done
echo '"released"'
"""


@pytest.fixture
def tasks(tmp_path):
    return copy_tasks(tmp_path / "tasks", hold=HOLD)


def running(server, job_id):
    until(lambda: server.client.job(job_id)["state"] == "running", 10, "running")
    return job_id


def test_each_process_carries_its_title(start_server):
    server = start_server(workers_count=3)
    assert processes.title(server.supervisor) == "forkpool: supervisor"
    until(lambda: len(processes.children(server.supervisor)) == 4, 5, "front and workers alone")
    titles = sorted(processes.title(pid) for pid in processes.children(server.supervisor))
    assert titles == ["forkpool: front", "forkpool: worker default/0", "forkpool: worker default/1",
                      "forkpool: worker default/2"]
    listed = {item["pid"] for item in server.client.get("/v1/workers").json()["items"]}
    assert listed == set(server.workers())
    server.stop()


def test_a_clean_stop_leaves_no_process_and_status_0(start_server):
    server = start_server()
    server.client.submit("echo", 1, wait=10)
    server.stop()


def test_ctrl_c_is_a_clean_stop_too(start_server):
    server = start_server()
    server.process.send_signal(signal.SIGINT)
    assert server.ended() == 0


# ── drain ──


def test_a_drain_lets_running_jobs_finish(start_server):
    server = start_server()
    job = running(server, server.client.submit("sleep", {"seconds": 1})["id"])
    server.stop()
    server.start()
    ended = server.client.job(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 1
    server.stop()


def test_a_drain_takes_no_new_jobs(start_server):
    server = start_server()
    job = running(server, server.client.submit("sleep", {"seconds": 2})["id"])
    server.terminate()

    def refused():
        try:
            answer = server.new_client().post("/v1/jobs", {"task": "echo"}, timeout=5)
        except requests.ConnectionError:
            return ["no longer accepting is as good"]
        if answer.status_code == 202:
            return None  # the signal has not arrived yet
        return [answer.status_code, answer.json()["code"], answer.headers.get("Retry-After")]

    said = until(refused, 1, "submits are refused")
    assert said == [503, "draining", "1"] or len(said) == 1
    assert server.ended() == 0
    server.start()
    assert server.client.job(job)["state"] == "succeeded"
    server.stop()


def test_a_drain_answers_who_waits_for_a_job_that_it_runs_to_its_end(start_server):
    server = start_server()
    with server.raw(20) as raw:
        raw.send(post_bytes("/v1/tasks/sleep/call?wait=20", {"seconds": 1}))
        until(lambda: server.client.get("/v1/stats").json()["jobs"]["running"] == 1, 5)
        server.terminate()
        status, _, body = raw.answer()
    assert (status, body.strip()) == (200, b'{"slept":1}')
    assert server.ended() == 0


def test_what_outlasts_the_drain_is_requeued_uncharged(start_server, tasks, tmp_path):
    server = start_server(shutdown_drain="300ms", tasks_dir=tasks)
    release = tmp_path / "release"
    jobs = [running(server, server.client.submit("hold", str(release))["id"]) for _ in range(3)]
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5
    release.touch()
    server.start()
    for job in jobs:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 1
        assert ended["lost"] == ended["crashes"] == ended["errors"] == 0
    server.stop()


def test_a_second_signal_hurries(start_server, tasks, tmp_path):
    server = start_server(shutdown_drain="60s", tasks_dir=tasks)
    release = tmp_path / "release"
    job = running(server, server.client.submit("hold", str(release))["id"])
    server.terminate()
    until(lambda: server.events("server.drain"), 5, "the drain begins")
    time.sleep(0.3)
    assert server.process.poll() is None, "the first signal waits for running jobs"
    began = time.monotonic()
    server.terminate()
    assert server.ended(10) == 0 and time.monotonic() - began < 5
    release.touch()
    server.start()
    ended = server.client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 1 and ended["lost"] == 0
    server.stop()


# ── reload ──


def test_a_reload_finds_new_tasks_and_forgets_old_ones(start_server, tasks):
    server = start_server(tasks_dir=tasks)
    assert server.client.post("/v1/jobs", {"task": "fresh"}).status_code == 422
    add_script(tasks, "fresh", "#!/bin/sh\necho '\"new\"'\n")
    (tasks / "wordcount").unlink()
    os.kill(server.supervisor, signal.SIGHUP)

    def names():
        return {task["name"] for task in server.client.get("/v1/tasks").json()["items"]}

    until(lambda: "fresh" in names(), 10, "the new task")
    assert "wordcount" not in names()
    ended = server.client.submit("fresh", wait=10)
    assert ended["state"] == "succeeded" and ended["result"] == "new" and ended["attempt"] == 1
    server.stop()


def test_a_reload_disturbs_no_job(start_server, tasks, tmp_path):
    server = start_server(tasks_dir=tasks)
    release = tmp_path / "release"
    held = running(server, server.client.submit("hold", str(release))["id"])
    jobs = []
    for n in range(200):
        jobs.append(server.client.submit("echo", n, durability="process")["id"])
        if n % 50 == 25:
            add_script(tasks, f"fresh{n}", "#!/bin/sh\necho 1\n")
            os.kill(server.supervisor, signal.SIGHUP)
    release.touch()
    for job in [held, *jobs]:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 1
        assert ended["lost"] == ended["crashes"] == ended["errors"] == 0
    until(server.full_strength, 10, "the pool is full")
    server.stop()


def reloads(server):
    return len(server.events("config.load"))


def test_a_reload_says_that_other_pools_need_a_restart(start_server, tmp_path):
    path = tmp_path / "forkpool.yaml"
    path.write_text("queues: [{name: mail}]\nschedules: [{name: s, cron: 0 3 * * *, job: {task: echo}}]\n")
    server = start_server(config=path)
    path.write_text("queues: [{name: mail, weight: 2}, {name: more}]\n")
    os.kill(server.supervisor, signal.SIGHUP)
    until(lambda: reloads(server) == 1, 10, "the reload")
    assert not server.events("config.pools")
    path.write_text("pools: [{name: heavy}]\nqueues: [{name: mail, pool: heavy}]\n")
    os.kill(server.supervisor, signal.SIGHUP)
    until(lambda: server.events("config.pools"), 10, "a word about the pools")
    path.write_text("queues: [{name: mail, pool: heavy}]\n")
    os.kill(server.supervisor, signal.SIGHUP)
    said = until(lambda: server.events("config.error"), 10, "config.error")[0]["reason"]
    assert "heavy" in said and reloads(server) == 2
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    server.stop()


# ── the front dies ──


def test_a_killed_front_is_replaced_and_running_jobs_go_on(start_server, tasks, tmp_path):
    server = start_server(tasks_dir=tasks)
    release = tmp_path / "release"
    held = running(server, server.client.submit("hold", str(release))["id"])
    memory = running(server, server.client.submit("hold", str(release), durability="memory")["id"])
    queued = [server.client.submit("echo", n)["id"] for n in range(20)]
    workers, front = set(server.workers()), server.front()
    kill(front)
    until(lambda: server.fronts() and front not in server.fronts(), 5, "a new front")
    server.wait_ready(5)
    assert set(server.workers()) == workers, "no worker was touched"
    assert server.client.job(held)["state"] == server.client.job(memory)["state"] == "running"
    release.touch()
    for job in [held, memory, *queued]:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 1 and ended["lost"] == 0
    server.stop()


def test_a_result_that_comes_while_there_is_no_front_is_kept(start_server):
    server = start_server()
    jobs = [running(server, server.client.submit("sleep", {"seconds": 0.4}, durability=level)["id"])
            for level in ("full", "memory")]
    kill(server.front())
    for job in jobs:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 1
    server.stop()


def test_fronts_killed_again_and_again_lose_nothing(start_server):
    server = start_server()
    jobs = {}
    for n in range(15):
        for m in range(10):
            key = f"{n}.{m}"

            def submit(key=key):
                try:
                    answer = server.client.post("/v1/jobs", {"task": "echo", "args": key},
                                                headers={"Idempotency-Key": key})
                    return answer if answer.status_code == 202 else None
                except requests.ConnectionError:
                    return None

            jobs[until(submit, 20, "an acknowledgement").json()["id"]] = key
        front = server.front()
        kill(front)
        until(lambda front=front: server.fronts() and front not in server.fronts(), 10, "a new front")
    assert len(jobs) == 150
    for job, key in jobs.items():
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["result"] == key
    until(server.full_strength, 10, "the pool is full")
    server.stop()


def test_a_silent_front_is_killed_and_replaced(start_server):
    server = start_server()
    front = server.front()
    os.kill(front, signal.SIGSTOP)
    until(lambda: server.fronts() and front not in server.fronts(), 20, "a new front")
    server.wait_ready(5)
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    server.stop()


# ── a worker dies ──


def test_a_killed_worker_costs_a_loss_and_the_job_runs_again(start_server, tasks, tmp_path):
    server = start_server(tasks_dir=tasks)
    release = tmp_path / "release"
    job = running(server, server.client.submit("hold", str(release))["id"])
    worker = server.worker_of(job)
    group = processes.children(worker)
    assert len(group) == 1
    kill(worker)
    until(lambda: not alive(group[0]), 5, "the child of a dead worker is killed")
    until(lambda: server.client.job(job)["lost"] == 1, 5, "the loss is charged")
    running(server, job)
    release.touch()
    ended = server.client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["lost"] == 1
    assert ended["errors"] == ended["crashes"] == 0
    assert [one["outcome"] for one in server.client.attempts(job)] == ["lost", "success"]
    until(server.full_strength, 5, "the pool is full")
    server.stop()


def test_a_job_that_loses_too_many_workers_fails(start_server):
    server = start_server(workers_count=1, jobs_max_lost=3)
    job = server.client.submit("sleep", {"seconds": 30})["id"]
    for n in range(3):
        kill(server.worker_of(job))
        until(lambda n=n: server.client.job(job)["lost"] == n + 1, 5, "the loss is charged")
    ended = server.client.wait(job)
    assert ended["state"] == "failed" and ended["error"]["code"] == "worker_lost" and ended["lost"] == 3
    server.stop()


def test_idle_workers_that_are_killed_come_back_and_charge_nobody(start_server):
    server = start_server()
    for _ in range(5):
        server.client.submit("echo", 0, wait=10)
        for worker in server.workers():
            kill(worker)
        ended = server.client.submit("echo", 1, wait=10)
        assert ended["state"] == "succeeded" and ended["lost"] <= 1
    until(server.full_strength, 10, "the pool is full")
    server.stop()


def test_a_stopped_worker_holds_up_only_its_own_job(start_server):
    server = start_server(workers_count=2)
    job = running(server, server.client.submit("sleep", {"seconds": 0.3})["id"])
    worker = server.worker_of(job)
    os.kill(worker, signal.SIGSTOP)
    others = [server.client.submit("echo", n)["id"] for n in range(20)]
    for other in others:
        assert server.client.wait(other)["attempt"] == 1
    assert server.client.job(job)["state"] == "running"
    os.kill(worker, signal.SIGCONT)
    assert server.client.wait(job)["attempt"] == 1
    server.stop()


def test_dead_workers_come_back_within_a_moment(start_server):
    server = start_server(workers_count=4)
    server.client.submit("echo", 1, wait=10)
    took = []
    for _ in range(20):
        jobs = [server.client.submit("sleep", {"seconds": 0.05}, durability="memory")["id"] for _ in range(4)]
        running(server, jobs[0]) if server.client.job(jobs[0])["state"] == "queued" else None
        victim = server.workers()[0]
        began = time.monotonic()
        kill(victim)
        until(lambda victim=victim: server.full_strength() and victim not in server.workers(), 5, "replaced", 0.002)
        took.append(time.monotonic() - began)
        for job in jobs:
            assert server.client.wait(job)["state"] == "succeeded"
    assert sorted(took)[len(took) // 2] < 0.5, took
    server.stop()


# ── the supervisor dies ──


def test_when_the_supervisor_dies_everything_dies_and_a_restart_recovers(start_server, tasks, tmp_path):
    server = start_server(tasks_dir=tasks)
    release = tmp_path / "release"
    held = running(server, server.client.submit("hold", str(release))["id"])
    done = server.client.submit("echo", "done", wait=10)["id"]
    members = processes.session_members(server.supervisor)
    assert len(members) >= 7
    server.process.kill()
    assert server.ended() == -signal.SIGKILL  # asserts that nothing is left
    release.touch()
    server.start()
    assert server.client.job(done)["result"] == "done"
    ended = server.client.wait(held)
    assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["lost"] == 1
    server.stop()


def test_a_restart_goes_on_with_what_was_queued(start_server):
    server = start_server(workers_count=2)
    later = server.client.submit("fail", {"message": "x", "until_attempt": 2}, retry={"initial": 0.5})["id"]
    until(lambda: server.client.job(later)["state"] == "retrying", 5)
    blockers = [running(server, server.client.submit("sleep", {"seconds": 1})["id"]) for _ in range(2)]
    jobs = [server.client.submit("echo", n)["id"] for n in range(100)]
    server.process.kill()
    server.ended()
    server.start()
    for n, job in enumerate(jobs):
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["result"] == n and ended["attempt"] == 1
    for blocker in blockers:
        ended = server.client.wait(blocker)
        assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["lost"] == 1
    ended = server.client.wait(later)
    assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["lost"] == 0
    server.stop()
