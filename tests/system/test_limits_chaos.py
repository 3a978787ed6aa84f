"""Limits, pauses and cancels hold while workers and the front are being killed."""

import json
import os
import random
import signal
import threading
import time

import requests

from processes import until
from server import copy_tasks

AT_A_TIME = 2
WORKERS = 5

# A lock of its own for each place that the limit gives. They are inherited by all that the task starts and go with the last of
# it, so that a run that was killed gives its place back exactly when nothing of it is left.
GUARDED = f"""#!/bin/sh
folder=$(sed 's/[" ]//g')
echo "$FORKPOOL_JOB_ID" >>"$folder/started"
place=0
while [ $place -lt {AT_A_TIME} ]; do
    exec 8>>"$folder/place$place"
    if flock -n 8; then
        sleep 0.03
        exit 0
    fi
    place=$((place + 1))
done
echo "$FORKPOOL_JOB_ID" >>"$folder/too-many"
"""


class Killer(threading.Thread):
    """Kills a worker each 100 ms, and the front each second."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.random, self.over, self.kills = server, random.Random(seed), threading.Event(), 0

    def run(self):
        for turn in range(1, 100000):
            if self.over.wait(0.1):
                return
            victims = self.server.fronts() if turn % 10 == 0 else self.server.workers()
            if victims:
                victim = self.random.choice(victims)
                try:
                    os.kill(victim, signal.SIGKILL)
                    self.kills += 1
                except ProcessLookupError:
                    pass

    def stop(self):
        self.over.set()
        self.join()


def ask(function, *arguments):
    """Until the front, which may have been killed under the request, has answered."""
    for _ in range(200):
        try:
            answer = function(*arguments)
            if answer.status_code < 500:
                return answer
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError(f"no answer to {arguments}")


def started(folder):
    path = folder / "started"
    return path.read_text().split() if path.exists() else []


def states(client, jobs):
    return [ask(client.get, f"/v1/jobs/{job}").json()["state"] for job in jobs]


def test_a_limit_and_a_pause_and_cancels_hold_under_kills(start_server, tmp_path):
    tasks, folder = copy_tasks(tmp_path / "tasks", guarded=GUARDED), tmp_path / "ledger"
    folder.mkdir()
    server = start_server(workers_count=WORKERS, tasks_dir=tasks, jobs_max_lost=1000)
    client = server.client
    assert client.patch("/v1/queues/guarded", {"concurrency": AT_A_TIME}).status_code == 200
    jobs = [client.submit("guarded", str(folder), queue="guarded", durability="process")["id"] for _ in range(120)]
    killer = Killer(server, 7)
    killer.start()

    until(lambda: len(started(folder)) > 20, 30, "some have run")
    assert ask(client.post, "/v1/queues/guarded/pause").status_code == 200
    time.sleep(0.5)  # what ran has ended, or was killed; nothing of it runs again
    before = len(started(folder))
    time.sleep(1.2)
    assert len(started(folder)) == before, "nothing starts while the queue is paused"

    cancelled = [job for job in reversed(jobs) if job not in started(folder)][:20]
    assert len(cancelled) == 20
    for job in cancelled:
        assert ask(client.post, f"/v1/jobs/{job}/cancel").status_code in (200, 202, 409)  # 409: its answer was lost, it was heard
    assert ask(client.post, "/v1/queues/guarded/resume").status_code == 200

    until(lambda: set(states(client, jobs)) <= {"succeeded", "cancelled"}, 120, "all have ended", every=0.5)
    killer.stop()
    assert killer.kills > 20
    assert states(client, cancelled) == ["cancelled"] * 20
    assert not set(cancelled) & set(started(folder)), "what was cancelled while it waited never starts"
    assert states(client, [job for job in jobs if job not in cancelled]) == ["succeeded"] * 100
    assert not (folder / "too-many").exists(), json.dumps((folder / "too-many").read_text().split())


def test_a_rate_outlives_the_front_and_the_server(start_server):
    server = start_server()
    client = server.client
    assert client.patch("/v1/queues/rated", {"rate": "5/h", "burst": 5}).status_code == 200
    jobs = [client.submit("echo", 1, queue="rated")["id"] for _ in range(16)]

    def succeeded():
        return states(server.client, jobs).count("succeeded")

    def only_five(after):
        until(lambda: succeeded() >= 5, 20, "the burst has run")
        time.sleep(1)
        assert succeeded() == 5, f"more than a burst has run {after}"

    only_five("in one life")
    front = server.front()
    os.kill(front, signal.SIGKILL)
    until(lambda: server.fronts() not in ([], [front]), 20, "another front")
    only_five("after the death of the front")
    server.kill_everything()
    server.start()
    only_five("after the death of everything")
    server.stop()
    server.start()
    only_five("after a stop and a start")
    assert server.client.patch("/v1/queues/rated", {"rate": "10/h"}).status_code == 200
    only_five("under another rate")
