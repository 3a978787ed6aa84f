"""Many jobs at once: retried, cancelled and deleted by ids or by a filter; queues purged."""

import errno
import threading
import time

import pytest
import requests

import processes
from faults import Faults
from load import submit_all
from processes import until

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}
UNKNOWN = "018f0000-0000-7000-8000-000000000000"
NO_RETRY = {"max_attempts": 1}


def code(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["code"]


def act(client, action, **members):
    answer = client.post("/v1/jobs/actions", {"action": action, **members})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["action"] == action
    if not found["more"] and not found["dry_run"]:
        assert found["matched"] == found["done"] + found.get("asked", 0) + found["skipped"], found
    return found


def counts(client, queue):
    answer = client.get(f"/v1/queues/{queue}")
    return answer.json()["jobs"] if answer.status_code == 200 else None


def paused(client, queue, number, **fields):
    """Jobs that wait in a paused queue."""
    client.post(f"/v1/queues/{queue}/pause")
    return [client.submit("echo", n, queue=queue, **fields)["id"] for n in range(number)]


def failed(client, queue, number, **fields):
    """Jobs that have failed once and would succeed the next time."""
    jobs = [client.submit("fail", {"message": "no luck", "until_attempt": 2}, queue=queue, retry=NO_RETRY, **fields)["id"]
            for _ in range(number)]
    for job in jobs:
        assert client.wait(job)["state"] == "failed"
    return jobs


def running(client, queue, number=1):
    """Jobs that run for long."""
    jobs = [client.submit("sleep", {"seconds": 60}, queue=queue)["id"] for _ in range(number)]
    until(lambda: all(client.job(job)["state"] == "running" for job in jobs), 10, "they run")
    return jobs


# ── by ids ──


def test_jobs_are_cancelled_by_their_ids(client):
    slow = running(client, "ids-run")
    waiting = paused(client, "ids-cancel", 5)
    later = client.submit("echo", 1, delay=300)["id"]
    ended = client.submit("echo", 1, wait=10)["id"]
    found = act(client, "cancel", ids=[*waiting[:4], later, ended, UNKNOWN, slow[0], waiting[0]])
    assert (found["matched"], found["done"], found["asked"], found["skipped"]) == (8, 5, 1, 2)
    assert found["more"] is False
    faults = {one["id"]: one for one in found["errors"]}
    assert {job: one["code"] for job, one in faults.items()} == {ended: "already_finished", UNKNOWN: "unknown_job"}
    assert "succeeded" in faults[ended]["detail"] and UNKNOWN in faults[UNKNOWN]["detail"]
    for job in [*waiting[:4], later]:
        assert client.job(job)["state"] == "cancelled"
    assert client.wait(slow[0])["state"] == "cancelled"
    assert client.job(waiting[4])["state"] == "queued"


def test_jobs_are_retried_and_deleted_by_their_ids(server, client):
    jobs = failed(client, "ids-again", 4)
    found = act(client, "retry", ids=jobs[:3])
    assert (found["matched"], found["done"], found["skipped"], found["errors"]) == (3, 3, 0, [])
    assert "asked" not in found
    for job in jobs[:3]:
        ended = client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 2
    waiting = paused(client, "ids-held", 1)
    found = act(client, "delete", ids=[*jobs, *waiting])
    assert (found["matched"], found["done"], found["skipped"]) == (5, 4, 1)
    assert found["errors"][0]["id"] == waiting[0] and found["errors"][0]["code"] == "not_finished"
    for job in jobs:
        assert code(client.get(f"/v1/jobs/{job}"), 404) == "unknown_job"
    assert client.job(waiting[0])["state"] == "queued"


def test_at_most_a_hundred_errors_are_told(client):
    ids = [UNKNOWN[:-4] + f"{n:04x}" for n in range(150)]
    found = act(client, "delete", ids=ids)
    assert (found["matched"], found["done"], found["skipped"], len(found["errors"])) == (150, 0, 150, 100)


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_a_dry_run_counts_and_changes_nothing(client, action):
    queue = f"dry-{action}"
    waiting, ended = paused(client, queue, 3), client.submit("echo", 1, queue=f"{queue}-ended", wait=10)["id"]
    found = act(client, action, ids=[*waiting, ended, UNKNOWN], dry_run=True)
    fits = 3 if action == "cancel" else 1
    assert found["dry_run"] is True
    assert (found["matched"], found["done"], found["skipped"]) == (5, 0, 5 - fits)
    found = act(client, action, filter={"queue": queue if action == "cancel" else f"{queue}-ended"}, dry_run=True)
    assert (found["matched"], found["done"], found["skipped"]) == (fits, 0, 0)
    assert {client.job(job)["state"] for job in waiting} == {"queued"}
    assert client.job(ended)["state"] == "succeeded" and client.job(ended)["attempt"] == 1


# ── by a filter ──


def test_what_a_filter_finds_is_cancelled_in_whatever_state_it_waits(client):
    queue = "filtered"
    waiting = paused(client, queue, 3)
    later = client.submit("echo", 1, queue=queue, delay=300)["id"]
    ended = failed(client, "filtered-elsewhere", 1)[0]
    other = paused(client, "filtered-other", 1)[0]
    found = act(client, "cancel", filter={"queue": queue})
    assert (found["matched"], found["done"], found["asked"], found["skipped"]) == (4, 4, 0, 0)
    assert "errors" not in found
    assert {client.job(job)["state"] for job in [*waiting, later]} == {"cancelled"}
    assert client.job(other)["state"] == "queued" and client.job(ended)["state"] == "failed"
    found = act(client, "cancel", filter={"queue": queue})
    assert found["matched"] == 0


@pytest.mark.parametrize("filter", [{"state": "failed"}, {}, {"q": "no LUCK"}, {"task": "fail"}, {"tag": "again"}])
def test_what_a_filter_finds_is_retried_once(client, filter):
    queue = f"once-{'-'.join(filter)}"
    jobs = failed(client, queue, 3, tags=["again"])
    for n in range(3):  # would fail again, as often as it is retried
        client.submit("fail", {"message": "no luck"}, queue=queue, retry=NO_RETRY, tags=["again"], wait=10)
    found = act(client, "retry", filter={"queue": queue, **filter})
    assert (found["matched"], found["done"], found["skipped"]) == (6, 6, 0)
    for job in jobs:
        assert client.wait(job)["attempt"] == 2
    until(lambda: counts(client, queue)["failed"] == counts(client, queue)["succeeded"] == 3, 10, "they ran once")
    assert {job["attempt"] for job in client.all_jobs(queue=queue)} == {2}


def test_only_what_the_whole_filter_fits_is_deleted(client):
    queue = "fits"
    first = [client.submit("echo", n, queue=queue, wait=10, tags=["a"])["id"] for n in range(2)]
    time.sleep(0.01)
    middle = client.job(client.submit("echo", 2, queue=queue, wait=10, tags=["b"])["id"])
    time.sleep(0.01)
    last = client.submit("echo", 3, queue=queue, wait=10, tags=["a"])["id"]
    for filter in ({"queue": queue, "tag": "c"}, {"queue": queue, "state": "failed"}, {"queue": queue, "task": "fail"},
                   {"queue": queue, "batch": UNKNOWN}, {"queue": "fits-not"}, {"queue": queue, "q": "no such text"}):
        assert act(client, "delete", filter=filter)["matched"] == 0, filter
    found = act(client, "delete", filter={"queue": queue, "tag": "a", "created_before": middle["created_at"]})
    assert found["done"] == 2
    assert [job["id"] for job in client.all_jobs(queue=queue)] == [last, middle["id"]]
    found = act(client, "delete", filter={"queue": queue, "state": "succeeded", "created_after": middle["created_at"]})
    assert found["done"] == 1
    assert first and [job["id"] for job in client.all_jobs(queue=queue)] == [middle["id"]]


def test_running_jobs_are_asked_to_stop(client):
    jobs = running(client, "stopped", 2)
    waiting = client.submit("sleep", {"seconds": 60}, queue="stopped")["id"]
    found = act(client, "cancel", filter={"queue": "stopped", "state": "running"})
    assert (found["matched"], found["done"], found["asked"]) == (2, 0, 2)
    assert {client.wait(job)["state"] for job in jobs} == {"cancelled"}
    until(lambda: client.job(waiting)["state"] == "running", 10)
    found = act(client, "cancel", filter={"queue": "stopped", "state": "queued"})
    assert found["matched"] == 0
    found = act(client, "cancel", filter={"queue": "stopped"})
    assert (found["matched"], found["done"], found["asked"]) == (1, 0, 1)
    assert client.wait(waiting)["state"] == "cancelled"


# ── refusals ──


def test_everything_must_be_confirmed(start_server):
    client = start_server(workers_count=1).client
    jobs = failed(client, "all", 3)
    for filter in ({}, {"created_after": "1970-01-01T00:00:00Z"}, {"created_before": "2999-01-01T00:00:00Z"}):
        answer = client.post("/v1/jobs/actions", {"action": "delete", "filter": filter})
        assert code(answer, 409) == "confirmation_needed"
        assert answer.json()["jobs"] == 3 and "3 jobs" in answer.json()["detail"] and "confirm" in answer.json()["hint"]
    assert act(client, "delete", filter={}, dry_run=True)["matched"] == 3
    assert len(client.all_jobs()) == 3
    found = act(client, "delete", filter={}, confirm=True)
    assert found["done"] == 3 and jobs and client.all_jobs() == []
    assert act(client, "delete", filter={}, confirm=True)["matched"] == 0


@pytest.mark.parametrize("body, pointer, said", [
    ({}, "/action", "missing"),
    ({"action": "retry"}, "", "which jobs"),
    ({"action": "stop", "ids": [UNKNOWN]}, "/action", "retry"),
    ({"action": "retry", "ids": []}, "/ids", "1 to 10000"),
    ({"action": "retry", "ids": [UNKNOWN] * 10001}, "/ids", "10001 elements"),
    ({"action": "retry", "ids": [UNKNOWN, "17"]}, "/ids/1", "the id of a job"),
    ({"action": "retry", "ids": UNKNOWN}, "/ids", "an array"),
    ({"action": "retry", "ids": [UNKNOWN], "filter": {}}, "", "one of them"),
    ({"action": "retry", "filter": []}, "/filter", "an object"),
    ({"action": "retry", "filter": {"state": "fialed"}}, "/filter/state", "did you mean failed?"),
    ({"action": "retry", "filter": {"state": "queued"}}, "/filter/state", "queued can be retried"),
    ({"action": "cancel", "filter": {"state": "failed"}}, "/filter/state", "failed can be cancelled"),
    ({"action": "delete", "filter": {"state": "running"}}, "/filter/state", "running can be deleted"),
    ({"action": "retry", "filter": {"queue": "a b"}}, "/filter/queue", "a name"),
    ({"action": "retry", "filter": {"created_after": "yesterday"}}, "/filter/created_after", "RFC 3339"),
    ({"action": "retry", "filter": {"batch": "7"}}, "/filter/batch", "batch"),
    ({"action": "retry", "filter": {"q": ""}}, "/filter/q", "0 bytes"),
    ({"action": "retry", "filter": {"task": 7}}, "/filter/task", "task is 7"),
    ({"action": "retry", "ids": [UNKNOWN], "dry_run": 1}, "/dry_run", "true or false"),
])
def test_what_is_wrong_in_a_body_is_told_with_its_place(client, body, pointer, said):
    answer = client.post("/v1/jobs/actions", body)
    assert code(answer, 422) == "invalid_field"
    fault = answer.json()["errors"][0]
    assert fault["pointer"] == pointer and said in fault["detail"]


@pytest.mark.parametrize("body, said", [
    ({"action": "retry", "id": [UNKNOWN]}, 'did you mean "ids"?'),
    ({"action": "retry", "ids": [UNKNOWN], "dryrun": True}, 'did you mean "dry_run"?'),
    ({"action": "retry", "filter": {"tags": "x"}}, 'did you mean "tag"?'),
    ({"action": "retry", "filter": {"colour": "red"}}, "state, task, queue, tag, batch"),
])
def test_fields_that_nobody_knows_are_refused(client, body, said):
    answer = client.post("/v1/jobs/actions", body)
    assert code(answer, 422) == "unknown_field" and said in answer.json()["detail"]


def test_actions_need_a_body_and_post(client):
    assert code(client.post("/v1/jobs/actions"), 422) == "invalid_field"
    assert code(client.post("/v1/jobs/actions", "{"), 400) == "invalid_json"
    assert code(client.get("/v1/jobs/actions"), 404) == "unknown_job"


# ── purge ──


def test_a_purge_cancels_what_waits_and_lets_run_what_runs(client):
    queue = "purged"
    slow = running(client, queue, 2)
    waiting = [client.submit("echo", n, queue=queue)["id"] for n in range(4)]
    waiting += [client.submit("echo", n, queue=queue, delay=300)["id"] for n in range(2)]
    other = paused(client, "purged-other", 1)[0]
    answer = client.post(f"/v1/queues/{queue}/purge")
    assert code(answer, 409) == "confirmation_needed"
    assert answer.json()["jobs"] == 6 and "confirm=true" in answer.json()["hint"]
    assert {client.job(job)["state"] for job in waiting} == {"queued", "scheduled"}
    answer = client.post(f"/v1/queues/{queue}/purge?confirm=true")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["action"], found["matched"], found["done"], found["asked"]) == ("cancel", 6, 6, 0)
    assert {client.job(job)["state"] for job in waiting} == {"cancelled"}
    for job in slow:
        document = client.job(job)
        assert document["state"] == "running" and not document["cancel_requested"]
    assert client.job(other)["state"] == "queued"
    assert client.post(f"/v1/queues/{queue}/purge?confirm=true").json()["matched"] == 0
    assert act(client, "cancel", ids=slow)["asked"] == 2
    for job in slow:
        client.wait(job)


def test_a_purge_of_what_is_no_queue_or_not_confirmed_so_is_refused(client):
    for query in ("", "?confirm=true"):
        assert code(client.post(f"/v1/queues/nowhere/purge{query}"), 404) == "unknown_queue"
    assert code(client.post("/v1/queues/default/purge?confirm=yes"), 422) == "invalid_parameter"
    assert code(client.post("/v1/queues/default/purge?confirm=false"), 409) == "confirmation_needed"


# ── many ──

MANY = 12000


class Bystander(threading.Thread):
    """Another client, and how long its requests take at most."""

    def __init__(self, server):
        super().__init__()
        self.url, self.slowest, self.served, self.over = server.url, 0, 0, False
        self.faults = []
        self.start()

    def run(self):
        with requests.Session() as session:
            while not self.over:
                began = time.monotonic()
                answer = session.post(self.url + "/v1/tasks/echo/call?wait=10", json=self.served, timeout=20)
                if answer.status_code != 200 or answer.json() != self.served:
                    self.faults.append(answer.text)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.served += 1

    def leave(self):
        self.over = True
        self.join()
        assert not self.faults and self.served > 0
        return self.slowest


def fill(server, queue, number=MANY, **fields):
    body = {"task": "echo", "args": 1, "queue": queue, "durability": "process", **fields}
    acknowledged = submit_all(server, {f"{queue}-{n}": body for n in range(number)}, connections=16)
    assert len(acknowledged) == number
    return acknowledged


def test_ten_thousand_are_cancelled_retried_and_deleted_while_others_are_served(start_server, capsys):
    server = start_server(workers_count=2, memory_slots=1024)
    client, queue = server.client, "many"
    client.post(f"/v1/queues/{queue}/pause")
    fill(server, queue)
    for action, before, after in (("cancel", "queued", "cancelled"), ("retry", "cancelled", "queued"),
                                  ("cancel", "queued", "cancelled"), ("delete", "cancelled", None)):
        assert counts(client, queue)[before] == MANY
        bystander, began, calls, done = Bystander(server), time.monotonic(), 0, 0
        while True:
            found = act(client, action, filter={"queue": queue})
            done, calls = done + found["done"], calls + 1
            if not found["more"]:
                break
        seconds, slowest = time.monotonic() - began, bystander.leave()
        with capsys.disabled():
            print(f"\n{action}: {MANY / seconds:.0f} jobs/s in {calls} call(s); "
                  f"another client waited {slowest * 1000:.0f} ms at most ({bystander.served} calls)")
        assert done == MANY and calls == 1
        assert slowest < 3
        assert after is None or counts(client, queue)[after] == MANY
    assert sum(counts(client, queue).values()) == 0
    server.stop()


def test_ten_thousand_ids_are_taken_in_one_request(start_server):
    server = start_server(workers_count=2)
    client = server.client
    client.post("/v1/queues/ids/pause")
    ids = list(fill(server, "ids", 10000).values())
    assert act(client, "cancel", ids=ids, dry_run=True)["matched"] == 10000
    found = act(client, "cancel", ids=ids)
    assert (found["matched"], found["done"], found["more"], found["errors"]) == (10000, 10000, False, [])
    assert counts(client, "ids")["cancelled"] == 10000


@pytest.fixture
def slow_server(start_server, tmp_path):
    """slow_server(queue, number): a server with so many jobs in a paused queue, whose disk syncs slowly; and its client."""
    faults = Faults(tmp_path)

    def make(queue, number, **fields):
        server = start_server(start=False, workers_count=2)
        server.environment = faults.environment()
        server.start()
        server.client.post(f"/v1/queues/{queue}/pause")
        fill(server, queue, number, **fields)
        return server

    make.down = lambda: faults.on(("slow", 60, "forkpool.db"))
    make.up = faults.off
    return make


def act_in_background(server, **body):
    """Sends an action; what .join() leaves in .answers is its answer, or None if the connection broke."""
    client = server.new_client()

    def ask():
        try:
            thread.answers.append(client.post("/v1/jobs/actions", body))
        except requests.RequestException:
            thread.answers.append(None)

    thread = threading.Thread(target=ask)
    thread.answers = []
    thread.start()
    return thread


@pytest.mark.parametrize("action", ["cancel", "delete", "retry"])
def test_after_a_kill_of_the_front_in_the_middle_a_repeat_does_the_rest(slow_server, action):
    queue, number = "killed", 6000
    server = slow_server(queue, number)
    client = server.client
    if action != "cancel":
        assert act(client, "cancel", filter={"queue": queue})["done"] == number
    state = "queued" if action == "cancel" else "cancelled"
    front = server.front()
    slow_server.down()
    asking = act_in_background(server, action=action, filter={"queue": queue})
    until(lambda: counts(client, queue)[state] < number, 10, "it has begun")
    processes.kill(front)
    asking.join()
    slow_server.up()
    assert asking.answers == [None], "the front was killed before it could answer"
    until(lambda: server.fronts() not in ([], [front]) and server.ready(), 20, "another front")
    client = server.new_client()
    left = counts(client, queue)[state]
    assert 0 < left < number
    found = act(client, action, filter={"queue": queue})
    assert found["done"] == left and found["skipped"] == 0
    after = {"cancel": "cancelled", "retry": "queued", "delete": None}[action]
    assert after is None or counts(client, queue)[after] == number
    assert sum(counts(client, queue).values()) == (0 if after is None else number)
    server.stop()


def test_what_is_retried_and_ends_meanwhile_is_not_retried_again(slow_server):
    """Those that succeed the second time would be met again among the succeeded ones."""
    queue, number = "again", 1500
    server = slow_server(queue, number, task="fail", args={"until_attempt": 2}, retry=NO_RETRY)
    client = server.client
    client.post(f"/v1/queues/{queue}/resume")
    until(lambda: counts(client, queue)["failed"] == number, 20, "all have failed once")
    slow_server.down()
    found = act(client, "retry", filter={"queue": queue})
    slow_server.up()
    assert (found["matched"], found["done"]) == (number, number)
    until(lambda: counts(client, queue)["succeeded"] == number, 20, "all have succeeded")
    assert {job["attempt"] for job in client.all_jobs(queue=queue)} == {2}


def test_jobs_that_keep_failing_and_waiting_are_all_caught(slow_server):
    """While the retrying ones are cancelled, others pass from queued to retrying behind that."""
    queue, number = "restless", 1500
    server = slow_server(queue, number, task="fail", args={}, retry={"max_attempts": 1000, "initial": 0.02, "jitter": 0,
                                                                      "backoff": "fixed"})
    client = server.client
    client.post(f"/v1/queues/{queue}/resume")
    until(lambda: counts(client, queue)["retrying"] > number / 10, 10)
    slow_server.down()
    found = act(client, "cancel", filter={"queue": queue})
    slow_server.up()
    assert found["more"] is False
    until(lambda: counts(client, queue)["cancelled"] == number, 5, str(counts(client, queue)))


def test_while_jobs_start_a_purge_stops_none_of_them(slow_server):
    """They are either cancelled before they start, or run to their end."""
    queue, number = "starting", 500
    server = slow_server(queue, number, task="sleep", args={"seconds": 0.02}, durability="full")
    client = server.client
    slow_server.down()
    client.post(f"/v1/queues/{queue}/resume")
    answer = client.post(f"/v1/queues/{queue}/purge?confirm=true")
    slow_server.up()
    found = answer.json()
    assert found["asked"] == 0 and found["done"] > 0
    until(lambda: sum(counts(client, queue)[state] for state in ("succeeded", "cancelled")) == number, 10)
    assert counts(client, queue)["succeeded"] >= found["skipped"]
    for job in client.all_jobs(queue=queue, state="cancelled"):
        assert job["started_at"] is None


def test_a_stop_of_the_server_ends_an_action_with_more_to_do(slow_server):
    queue, number = "stopping", 20000
    server = slow_server(queue, number)
    client = server.client
    slow_server.down()
    asking = act_in_background(server, action="cancel", filter={"queue": queue})
    until(lambda: counts(client, queue)["queued"] < number, 10, "it has begun")
    server.stop()
    asking.join()
    slow_server.up()
    assert asking.answers[0] is not None and asking.answers[0].status_code == 200
    found = asking.answers[0].json()
    assert found["more"] is True and 0 < found["done"] == found["matched"] < number
    server.start()
    assert counts(server.client, queue)["queued"] == number - found["done"]
    assert act(server.client, "cancel", filter={"queue": queue})["done"] == number - found["done"]


def test_an_action_ends_with_more_to_do_when_its_time_is_over(slow_server):
    """Which is http.max_wait, but a second at least."""
    queue, number = "timed", 20000
    server = slow_server(queue, number)
    server.stop()
    server.start(http_max_wait="100ms")
    slow_server.down()
    began = time.monotonic()
    found = act(server.client, "cancel", filter={"queue": queue})
    seconds = time.monotonic() - began
    assert found["more"] is True and 0 < found["done"] == found["matched"] < number
    assert 1 <= seconds < 3
    slow_server.up()
    done = found["done"]
    while found["more"]:
        found = act(server.client, "cancel", filter={"queue": queue})
        done += found["done"]
    assert done == number and counts(server.client, queue)["cancelled"] == number


def test_a_full_disk_stops_an_action_with_what_was_done(start_server, tmp_path):
    faults = Faults(tmp_path)
    server = start_server(start=False, workers_count=1)
    server.environment = faults.environment()
    server.start()
    waiting = paused(server.client, "full", 10)
    faults.on(("pwrite", errno.ENOSPC, "forkpool.db"))
    answer = server.client.post("/v1/jobs/actions", {"action": "cancel", "filter": {"queue": "full"}})
    assert code(answer, 507) == "store_full" and "0 jobs were cancelled" in answer.json()["detail"]
    faults.off()
    until(lambda: server.client.post("/v1/jobs", {"task": "echo"}).status_code == 202, 10, "there is room again")
    act(server.client, "cancel", filter={"queue": "full"})
    until(lambda: {server.client.job(job)["state"] for job in waiting} == {"cancelled"}, 10)
