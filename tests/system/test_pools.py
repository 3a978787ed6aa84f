"""Pools of workers: titles, priority and processors, replacement of workers that served long enough, min and max."""

import os
import threading
import time
from pathlib import Path

import pytest

import processes
from client import Client
from processes import until


def write_config(tmp_path, text):
    path = tmp_path / "forkpool.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def start(start_server, tmp_path):
    """start(yaml) → a server with that file and nothing said about workers elsewhere."""

    def make(text):
        server = start_server(start=False, config=write_config(tmp_path, text))
        del server.config["workers_count"]
        return server.start()

    return make


def titles(server):
    return sorted(processes.title(pid).removeprefix("forkpool: worker ") for pid in server.workers())


def listed(server, **members):
    items = server.client.get("/v1/workers").json()["items"]
    return [item for item in items if all(item[key] == value for key, value in members.items())]


class Load:
    """Clients that submit and wait, one job after the other, each with its own connection."""

    def __init__(self, server, clients=4, seconds=0.002):
        self.server, self.seconds, self.over = server, seconds, threading.Event()
        self.jobs, self.faults, self.ends = [], [], []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        client = Client(self.server.url)
        try:
            while not self.over.is_set():
                job = client.submit("sleep", {"seconds": self.seconds}, wait=30, durability="memory")
                self.ends.append(time.monotonic())
                self.jobs.append(job)
        except Exception as fault:  # a thread has nobody to tell
            self.faults.append(fault)
        finally:
            client.close()

    def longest_gap(self):
        ends = sorted(self.ends)
        return max(after - before for before, after in zip(ends, ends[1:]))


def most_at_a_time(jobs):
    """How many of them ran at once, by their own times."""
    edges = sorted([(job["started_at"], 1) for job in jobs] + [(job["finished_at"], -1) for job in jobs])
    running = most = 0
    for _, step in edges:  # at the same millisecond ends come first
        running += step
        most = max(most, running)
    return most


# ── what a pool is ──


def test_each_pool_has_its_workers_with_titles(start):
    server = start("pools:\n- {name: default, workers: 2}\n- {name: slow, workers: 3}\n")
    until(lambda: len(server.workers()) == 5, 10, "5 workers")
    assert titles(server) == ["default/0", "default/1", "slow/0", "slow/1", "slow/2"]
    until(lambda: len(listed(server, state="idle")) == 5, 10, "5 idle workers")
    assert [(item["pool"], item["number"]) for item in listed(server)] == [
        ("default", 0), ("default", 1), ("slow", 0), ("slow", 1), ("slow", 2)]
    assert {item["pid"] for item in listed(server)} == set(server.workers())
    counters = server.client.counters()
    assert counters['forkpool_workers{pool="default",state="idle"}'] == 2
    assert counters['forkpool_workers{pool="slow",state="idle"}'] == 3
    assert server.client.get("/v1/stats").json()["workers"]["total"] == 5
    job = server.client.submit("echo", 1, wait=10)
    assert job["state"] == "succeeded"
    server.stop()


def test_nice_and_processors_are_set_at_the_start_of_a_worker(start):
    last = max(os.sched_getaffinity(0))
    server = start(f"pools:\n- {{name: default, workers: 1}}\n- {{name: slow, workers: 1, nice: 7, cpus: '{last}'}}\n")
    until(lambda: len(listed(server, state="idle")) == 2, 10, "2 idle workers")
    plain, slow = listed(server, pool="default")[0]["pid"], listed(server, pool="slow")[0]["pid"]
    assert os.getpriority(os.PRIO_PROCESS, slow) == 7
    assert os.getpriority(os.PRIO_PROCESS, plain) == os.getpriority(os.PRIO_PROCESS, server.supervisor)
    assert os.sched_getaffinity(slow) == {last}
    assert os.sched_getaffinity(plain) == os.sched_getaffinity(0)
    server.stop()


def test_a_worker_killed_from_outside_is_replaced_in_its_pool(start):
    server = start("pools:\n- {name: default, workers: 1}\n- {name: slow, workers: 2}\n")
    until(lambda: len(server.workers()) == 3, 10, "3 workers")
    killed = listed(server, pool="slow")[0]["pid"]
    processes.kill(killed)
    until(lambda: len(server.workers()) == 3 and killed not in server.workers(), 10, "3 workers again")
    assert sum(title.startswith("slow/") for title in titles(server)) == 2
    server.stop()


# ── replacement ──




def test_workers_are_replaced_after_max_jobs_without_a_gap_and_without_an_excess(start):
    server = start("pools: [{name: default, workers: 2, max_jobs: 20}]\n")
    until(lambda: len(server.workers()) == 2, 10, "2 workers")
    seen, most = set(), 0
    with Load(server) as load:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            now = server.workers()
            seen |= set(now)
            most = max(most, len(now))
            time.sleep(0.01)
    assert not load.faults, load.faults[0]
    assert len(seen) >= 8, "workers were replaced"
    assert most <= 3 and most_at_a_time(load.jobs) == 2
    assert all(job["state"] == "succeeded" for job in load.jobs)
    assert all(job["attempt"] == 1 and job["errors"] == job["crashes"] == job["lost"] == 0 for job in load.jobs)
    assert load.longest_gap() < 0.2
    recycled = server.client.counters()['forkpool_worker_restarts_total{pool="default",cause="recycled"}']
    assert recycled >= 6
    assert any(item["replaces"] == "max_jobs" for item in listed(server))
    reasons = {event["reason"] for event in server.events("worker.recycle")}
    assert reasons == {"max_jobs"}
    assert not server.events("worker.die")
    server.stop()


def test_a_worker_that_is_old_is_replaced_also_when_idle(start):
    server = start("pools: [{name: default, workers: 2, max_age: 1s}]\n")
    until(lambda: len(server.workers()) == 2, 10, "2 workers")
    first = set(server.workers())
    until(lambda: not first & set(server.workers()), 10, "two new workers")
    until(lambda: any(item["replaces"] == "max_age" for item in listed(server)), 5, "the reason")
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    server.stop()


def test_a_worker_that_grew_is_replaced(start):
    server = start("pools: [{name: default, workers: 1, max_rss: 64KiB}]\n")
    until(lambda: len(server.workers()) == 1, 10, "a worker")
    first = server.workers()
    time.sleep(0.7)
    assert server.workers() == first, "without a job its size says nothing"
    assert server.client.submit("echo", 1, wait=10)["state"] == "succeeded"
    until(lambda: server.workers() and not set(first) & set(server.workers()), 10, "a new worker")
    until(lambda: any(item["replaces"] == "max_rss" for item in listed(server)), 5, "the reason")
    server.stop()


def old_and_busy(server, seconds):
    """A worker that found itself old after one job and runs a longer one: (id of that, pid). Age is looked at
    between jobs, so that the replacement stands by meanwhile."""
    server.client.submit("sleep", {"seconds": 0.5})
    job = server.client.submit("sleep", {"seconds": seconds})["id"]
    return job, server.worker_of(job)


def test_a_long_job_of_a_worker_that_is_replaced_ends_first(start):
    server = start("pools: [{name: default, workers: 1, max_age: 300ms}]\n")
    job, old = old_and_busy(server, 1.5)
    until(lambda: listed(server, state="standby"), 5, "a worker in standby")
    assert listed(server, pid=old)[0]["recycling"] == "max_age"
    later = server.client.submit("echo", 2)["id"]
    assert server.client.job(later)["state"] == "queued"
    ended = server.client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 1 and ended["lost"] == 0
    assert server.client.wait(later)["state"] == "succeeded"
    until(lambda: old not in server.workers(), 5, "the old worker gone")
    server.stop()


def test_a_replacement_has_loaded_the_plugins_before_it_serves(start):
    server = start("pools: [{name: default, workers: 1, max_age: 300ms}]\n")
    job, old = old_and_busy(server, 1)
    standby = until(lambda: listed(server, state="standby"), 5, "a worker in standby")[0]["pid"]
    until(lambda: "/echo.so" in Path(f"/proc/{standby}/maps").read_text(), 5, "the plugin in its memory")
    assert "/echo.so" not in Path(f"/proc/{old}/maps").read_text()
    assert server.client.wait(job)["state"] == "succeeded"
    server.stop()


def test_a_replacement_that_is_killed_in_standby_leaves_the_old_one_at_work(start):
    server = start("pools: [{name: default, workers: 1, max_age: 300ms}]\n")
    job, old = old_and_busy(server, 2)
    for _ in range(3):
        standby = until(lambda: listed(server, state="standby"), 5, "a worker in standby")[0]["pid"]
        processes.kill(standby)
        until(lambda: standby not in server.workers(), 5, "the standby gone")
        assert old in server.workers()
    ended = server.client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 1 and ended["lost"] == 0
    until(lambda: old not in server.workers() and server.workers(), 5, "the old worker replaced")
    server.stop()


def test_an_old_one_that_is_killed_is_followed_by_its_replacement(start):
    server = start("pools: [{name: default, workers: 1, max_age: 300ms}]\n")
    job, old = old_and_busy(server, 1)
    standby = until(lambda: listed(server, state="standby"), 5, "a worker in standby")[0]["pid"]
    processes.kill(old)
    assert server.client.wait(job)["state"] == "succeeded"
    assert server.client.attempts(job)[-1]["outcome"] == "success"
    assert server.client.job(job)["lost"] == 1
    assert old not in server.workers()
    assert listed(server)[0]["pid"] == standby or listed(server)[0]["replaces"] == "max_age"
    server.stop()


def test_a_reload_while_workers_are_replaced_ends_with_full_pools(start):
    server = start("pools: [{name: default, workers: 2, max_jobs: 5}]\n")
    with Load(server) as load:
        for _ in range(5):
            os.kill(server.supervisor, 1)
            time.sleep(0.3)
    assert not load.faults, load.faults[0]
    assert all(job["state"] == "succeeded" and job["attempt"] == 1 for job in load.jobs)
    until(lambda: len(listed(server, state="idle")) == 2 and len(server.workers()) <= 3, 10, "2 idle workers")
    server.stop()


def test_a_drain_while_a_replacement_stands_by_ends_cleanly(start):
    server = start("pools: [{name: default, workers: 1, max_age: 300ms}]\n")
    job, _ = old_and_busy(server, 1.5)
    until(lambda: listed(server, state="standby"), 5, "a worker in standby")
    server.stop()
    server.start()
    assert server.client.job(job)["state"] == "succeeded"
    server.stop()


# ── how many ──


def test_a_pool_begins_with_min_workers(start):
    server = start("pools: [{name: default, workers: 4, min_workers: 1, idle_timeout: 200ms}]\n")
    until(lambda: len(listed(server, state="idle")) == 1, 10, "a worker")
    time.sleep(0.5)
    assert titles(server) == ["default/0"]
    server.stop()


def test_a_pool_grows_while_jobs_wait_and_shrinks_when_nothing_does(start):
    server = start("pools: [{name: default, workers: 4, min_workers: 1, idle_timeout: 300ms}]\n")
    assert titles(server) == ["default/0"]
    jobs = [server.client.submit("sleep", {"seconds": 1})["id"] for _ in range(6)]
    until(lambda: len(listed(server, state="busy")) == 4, 5, "the pool has grown as far as it may")
    for job in jobs:
        assert server.client.wait(job)["state"] == "succeeded"
    until(lambda: len(titles(server)) == 1, 10, "and has shrunk")
    assert server.client.submit("echo", 1, wait=5)["state"] == "succeeded"


def test_jobs_run_in_the_pool_of_their_queue_and_a_busy_pool_holds_up_no_other(start):
    server = start("pools: [{name: default, workers: 1}, {name: heavy, workers: 1}]\n"
                   "queues: [{name: pictures, pool: heavy}, {name: mail, concurrency: 1}]\n")
    of = {pool: listed(server, pool=pool)[0]["worker"] for pool in ("default", "heavy")}
    slow = server.client.submit("sleep", {"seconds": 30}, queue="pictures")["id"]
    until(lambda: server.client.job(slow)["state"] == "running", 5, "the heavy pool is busy")
    behind = server.client.submit("echo", 1, queue="pictures", priority=9)["id"]
    for queue in ("default", "mail"):
        job = server.client.submit("echo", 1, queue=queue, wait=5)
        assert job["state"] == "succeeded" and job["worker"] == of["default"]
    assert server.client.get(f"/v1/jobs/{behind}/why").json()["pool"] == "heavy"
    server.client.post(f"/v1/jobs/{slow}/cancel")
    ended = server.client.wait(behind)
    assert ended["state"] == "succeeded" and ended["worker"] == of["heavy"]


def test_changed_pools_in_the_file_wait_for_a_restart(start, tmp_path):
    server = start("pools: [{name: default, workers: 1}]\n")
    write_config(tmp_path, "pools: [{name: default, workers: 3}]\n")
    os.kill(server.supervisor, 1)
    until(lambda: server.events("config.pools"), 5, "the log says so")
    until(lambda: len(listed(server, state="idle")) == 1, 5, "one worker as before")
    server.stop()
    server.start()
    until(lambda: len(server.workers()) == 3, 10, "3 workers")
    server.stop()
