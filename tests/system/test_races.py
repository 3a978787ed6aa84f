"""A deadline or a cancel that strikes as a job ends never hits the next job: thousands of such races."""

import json
import random
import threading
import time

import pytest

from client import TERMINAL, Raw
from load import get_bytes, post_bytes
from processes import until
from server import copy_tasks

NAP = """#!/bin/sh
read -r seconds
sleep "$seconds"
"""


def settle(server, seconds=60):
    """Until nothing waits or runs."""
    def idle():
        counts = server.client.get("/v1/stats").json()["jobs"]
        return not any(count for state, count in counts.items() if state not in TERMINAL)
    until(idle, seconds, "every job has ended", 0.1)


def assert_untouched(jobs, echoes):
    """Bystanders succeeded at their first attempt, and nobody was charged for what happened to another."""
    for job_id in echoes:
        job = jobs[job_id]
        assert (job["state"], job["attempt"]) == ("succeeded", 1), f"a bystander was hit: {job}"
    for job in jobs.values():
        assert job["lost"] == job["crashes"] == 0, f"charged for a kill that we ordered: {job}"


@pytest.mark.parametrize("task, count", [("sleep", 3000), ("nap", 1000)])
def test_deadlines_at_the_very_end_of_a_job_hit_only_that_job(start_server, tmp_path, task, count):
    server = start_server(workers_count=16, tasks_dir=copy_tasks(tmp_path / "tasks", nap=NAP), jobs_kill_after=0)
    chance = random.Random(1)
    racers, echoes = [], []
    for n in range(count):
        seconds = chance.uniform(0.005, 0.105)  # the supervisor looks every 50 ms: ends fall before, on and after it
        timeout = max(0.001, round(seconds - chance.uniform(-0.002, 0.03), 3))
        args = {"seconds": round(seconds, 4)} if task == "sleep" else round(seconds, 4)
        racers.append(server.client.submit(task, args, timeout=timeout, durability="process",
                                           retry={"max_attempts": 1})["id"])
        echoes.append(server.client.submit("echo", n, durability="process")["id"])
    settle(server)
    jobs = {job["id"]: job for job in server.client.all_jobs()}
    assert_untouched(jobs, echoes)
    ends = {}
    for job_id in racers:
        job = jobs[job_id]
        how = job["state"] if job["state"] == "succeeded" else job["error"]["code"]
        assert how in ("succeeded", "timeout") and job["attempt"] == 1, job
        ends[how] = ends.get(how, 0) + 1
    assert min(ends.get("succeeded", 0), ends.get("timeout", 0)) > count // 50, f"no real race: {ends}"
    until(server.full_strength, 10, "the pool is full")
    server.stop()


@pytest.mark.parametrize("task, count", [("sleep", 2000), ("nap", 600)])
def test_cancels_at_the_very_end_of_a_job_hit_only_that_job(start_server, tmp_path, task, count):
    server = start_server(workers_count=4, tasks_dir=copy_tasks(tmp_path / "tasks", nap=NAP), jobs_kill_after=0)
    answers, echoes, lock, faults = {}, [], threading.Lock(), []

    def race(seed):
        chance = random.Random(seed)
        try:
            with Raw(server.address, 30) as raw:
                def say(data):
                    raw.send(data)
                    return raw.answer()
                for n in range(count // 8):
                    seconds = round(chance.uniform(0.001, 0.010), 4)
                    args = {"seconds": seconds} if task == "sleep" else seconds
                    body = {"task": task, "args": args, "durability": "process", "priority": 9}
                    job = json.loads(say(post_bytes("/v1/jobs", body))[2])["id"]
                    echo = json.loads(say(post_bytes("/v1/jobs", {"task": "echo", "args": n, "durability": "process"}))[2])
                    time.sleep(chance.uniform(0, 2.2) * seconds)
                    status, _, text = say(post_bytes(f"/v1/jobs/{job}/cancel", ""))
                    with lock:
                        answers[job] = status, text
                        echoes.append(echo["id"])
                assert say(get_bytes("/livez"))[0] == 200
        except Exception as fault:  # a thread must not die in silence
            faults.append(fault)

    threads = [threading.Thread(target=race, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    settle(server)
    jobs = {job["id"]: job for job in server.client.all_jobs()}
    assert_untouched(jobs, echoes)
    ends = {}
    for job_id, (status, text) in answers.items():
        state = jobs[job_id]["state"]
        if status == 200:
            assert state == "cancelled" and jobs[job_id]["attempt"] == 0, jobs[job_id]
        elif status == 202:
            assert state in ("cancelled", "succeeded"), jobs[job_id]
        else:
            assert status == 409 and json.loads(text)["code"] == "already_finished" and state == "succeeded", text
        ends[status, state] = ends.get((status, state), 0) + 1
    assert ends.get((202, "cancelled"), 0) > count // 50 and ends.get((409, "succeeded"), 0) > count // 50, ends
    until(server.full_strength, 10, "the pool is full")
    server.stop()
