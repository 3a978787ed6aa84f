"""When a job runs: later, not after, changed while it waits; what holds it up; what a queue, a task, all of it is told."""

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from processes import until
from server import ROOT
from test_jobs import busy, free

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}
UNKNOWN = "018f0000-0000-7000-8000-000000000000"


def code(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["code"]


def at(seconds, zone=timezone.utc):
    """So many seconds from now, as RFC 3339."""
    return (datetime.now(zone) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def why(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}/why")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["id"] == job_id and said["reason"] == said["reasons"][0]
    return said


def codes(said):
    return [one["code"] for one in said["reasons"]]


def document(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def blocked(client):
    """Both workers are taken until the test is over."""
    ids = busy(client)
    yield ids
    free(client, ids)


# ── later ──


def test_a_delayed_job_waits_as_scheduled_and_then_runs(client):
    job = client.submit("echo", 1, delay=0.6)
    assert job["state"] == "scheduled" and job["scheduled_at"] == job["next_attempt_at"]
    assert why(client, job["id"])["reason"]["code"] == "scheduled"
    assert client.get("/v1/jobs?state=scheduled").json()["items"][0]["id"] == job["id"]
    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["scheduled_at"] == job["scheduled_at"]
    assert 0 <= moment(ended["started_at"]) - moment(ended["scheduled_at"]) < 2


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=-9, minutes=-30))])
def test_a_job_runs_at_the_time_that_it_names_in_any_zone(client, zone):
    job = client.submit("echo", 1, scheduled_at=at(0.5, zone))
    assert job["state"] == "scheduled"
    ended = client.wait(job["id"])
    assert moment(ended["started_at"]) >= moment(job["scheduled_at"])


def test_a_time_that_has_passed_means_now(client):
    assert client.submit("echo", 1, wait=10, scheduled_at=at(-60))["state"] == "succeeded"


@pytest.mark.parametrize("fields, pointer", [
    ({"delay": -1}, "/delay"), ({"scheduled_at": "2100-01-01T00:00:00"}, "/scheduled_at"),
    ({"scheduled_at": "soon"}, "/scheduled_at"), ({"delay": 1, "scheduled_at": "2100-01-01T00:00:00Z"}, "/scheduled_at"),
    ({"delay": 5, "durability": "memory"}, "/delay"), ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ({"expires_in": 1, "expires_at": "2100-01-01T00:00:00Z"}, "/expires_at"), ({"meta": "x" * 20000}, "/meta"),
    ({"concurrency_key": "é"}, "/concurrency_key"), ({"retry": {"intervals": []}}, "/retry/intervals"),
    ({"retry": {"on": ["Timeout"]}}, "/retry/on/0")])
def test_options_that_make_no_sense_are_refused(client, fields, pointer):
    answer = client.post("/v1/jobs", {"task": "echo", **fields})
    assert code(answer, 422) == "invalid_field" and answer.json()["errors"][0]["pointer"] == pointer


def test_a_scheduled_job_outlives_the_server(start_server):
    server = start_server(workers_count=1)
    job = server.client.submit("echo", 1, delay=1.5)["id"]
    server.kill_everything()
    server.start()
    assert server.client.job(job)["state"] in ("scheduled", "queued", "running", "succeeded")
    assert server.client.wait(job)["state"] == "succeeded"


def test_a_scheduled_job_is_cancelled_but_neither_retried_nor_deleted(client):
    job = client.submit("echo", 1, delay=300)["id"]
    assert code(client.post(f"/v1/jobs/{job}/retry"), 409) == "not_finished"
    answer = client.request("DELETE", f"/v1/jobs/{job}")
    assert code(answer, 409) == "not_finished" and "cancel" in answer.json()["hint"]
    cancelled = document(client.post(f"/v1/jobs/{job}/cancel"))
    assert cancelled["state"] == "cancelled" and cancelled["cancel"] == {"outcome": "cancelled", "stopped_by": None}
    answer = client.post(f"/v1/jobs/{job}/cancel")
    assert code(answer, 409) == "already_finished" and "already" in answer.json()["hint"]


# ── not after ──


@pytest.mark.parametrize("durability", ["full", "memory"])
def test_a_job_that_was_not_started_in_time_has_failed(client, blocked, durability):
    job = client.submit("echo", 1, expires_in=0.5, durability=durability)["id"]
    ended = client.wait(job, 10)
    assert ended["state"] == "failed" and ended["attempt"] == 0
    assert ended["error"]["code"] == "expired" and ended["error"]["message"]


def test_a_job_that_started_in_time_may_end_later(client):
    job = client.submit("sleep", {"seconds": 1}, expires_in=0.7)["id"]
    assert client.wait(job)["state"] == "succeeded"


@pytest.mark.parametrize("durability", ["full", "memory"])
def test_a_job_of_a_paused_queue_expires_too(client, durability):
    document(client.post("/v1/queues/idle/pause"))
    job = client.submit("echo", 1, expires_in=0.5, queue="idle", durability=durability)["id"]
    ended = client.wait(job, 10)
    assert ended["state"] == "failed" and ended["error"]["code"] == "expired"
    document(client.post("/v1/queues/idle/resume"))


def test_a_job_that_is_put_off_beyond_its_expiry_expires(client):
    job = client.submit("echo", 1, delay=0.3, expires_in=1, queue="idle")["id"]
    document(client.patch(f"/v1/jobs/{job}", {"delay": 300}))
    ended = client.wait(job, 10)
    assert ended["state"] == "failed" and ended["error"]["code"] == "expired"


# ── changed while it waits ──


def test_what_waits_longest_is_overtaken_after_a_patch(client, blocked):
    first, second = (client.submit("echo", n, priority=3)["id"] for n in (1, 2))
    changed = document(client.patch(f"/v1/jobs/{second}", {"priority": 8, "tags": ["hurry"]}))
    assert changed["priority"] == 8 and changed["tags"] == ["hurry"] and changed["state"] == "queued"
    free(client, blocked)
    ended = [client.wait(one) for one in (second, first)]
    assert ended[0]["started_at"] <= ended[1]["started_at"]


def test_a_scheduled_job_is_run_now_by_a_patch(client):
    job = client.submit("echo", 1, delay=300)["id"]
    assert document(client.patch(f"/v1/jobs/{job}", {"scheduled_at": None}))["state"] in ("queued", "running", "succeeded")
    assert client.wait(job, 10)["state"] == "succeeded"


def test_a_retrying_job_is_run_now_by_a_patch(client):
    job = client.submit("fail", {"message": "once", "until_attempt": 2}, retry={"initial": 300, "max": 300})["id"]
    until(lambda: client.job(job)["state"] == "retrying", 5)
    document(client.patch(f"/v1/jobs/{job}", {"delay": 0}))
    assert client.wait(job, 10)["state"] == "succeeded"


def test_a_queued_job_is_put_off_by_a_patch(client, blocked):
    job = client.submit("echo", 1)["id"]
    put_off = document(client.patch(f"/v1/jobs/{job}", {"delay": 300, "expires_at": at(600)}))
    assert put_off["state"] == "scheduled" and put_off["scheduled_at"] and put_off["expires_at"]
    assert document(client.patch(f"/v1/jobs/{job}", {"expires_at": None}))["expires_at"] is None
    document(client.post(f"/v1/jobs/{job}/cancel"))


def test_what_runs_or_has_ended_is_not_changed(client, blocked):
    answer = client.patch(f"/v1/jobs/{blocked[0]}", {"priority": 9})
    assert code(answer, 409) == "not_possible_now" and "running" in answer.json()["detail"]
    job = client.submit("echo", 1, delay=300)["id"]
    client.post(f"/v1/jobs/{job}/cancel")
    answer = client.patch(f"/v1/jobs/{job}", {"priority": 9})
    assert code(answer, 409) == "not_possible_now" and "retry" in answer.json()["hint"]
    assert code(client.patch(f"/v1/jobs/{UNKNOWN}", {"priority": 9}), 404) == "unknown_job"
    assert code(client.patch(f"/v1/jobs/{job}", {}), 422) == "invalid_field"
    assert code(client.patch(f"/v1/jobs/{job}", {"prioritty": 9}), 422) == "unknown_field"


# ── why ──


def test_a_queued_job_tells_its_place_in_line(client):
    document(client.post("/v1/queues/line/pause"))
    jobs = [client.submit("echo", n, queue="line")["id"] for n in range(3)]
    said = [why(client, one) for one in jobs]
    assert [one["position"] for one in said] == [0, 1, 2]
    assert all(one["reason"]["code"] == "queue_paused" for one in said) and "behind_others" in codes(said[2])
    document(client.post("/v1/queues/line/resume"))
    for one in jobs:
        client.wait(one)


def test_a_job_that_only_waits_for_a_worker_is_next(client, blocked):
    job = client.submit("echo", 1)["id"]
    said = why(client, job)
    assert said["reason"]["code"] == "next" and said["position"] == 0
    free(client, blocked)
    client.wait(job)


def test_what_does_not_wait_in_line_says_so(client, blocked):
    assert why(client, blocked[0])["reason"]["code"] == "running"
    job = client.submit("echo", 1, delay=300)["id"]
    said = why(client, job)
    assert said["reason"]["code"] == "scheduled" and said["reason"]["at"] == said["next_attempt_at"]
    client.post(f"/v1/jobs/{job}/cancel")
    assert why(client, job)["reason"]["code"] == "cancelled" and why(client, job)["position"] is None
    assert code(client.get(f"/v1/jobs/{UNKNOWN}/why"), 404) == "unknown_job"


def test_a_limit_is_named_with_its_value(client):
    document(client.patch("/v1/queues/why", {"concurrency": 1}))
    first = client.submit("sleep", {"seconds": 30}, queue="why")["id"]
    until(lambda: client.job(first)["state"] == "running", 5)
    second = client.submit("echo", 1, queue="why")["id"]
    until(lambda: "queue_concurrency" in codes(why(client, second)), 5)
    reason = next(one for one in why(client, second)["reasons"] if one["code"] == "queue_concurrency")
    assert reason["limit"] == 1 and reason["sentence"]
    assert "queue_concurrency" in client.get("/v1/queues/why").json()["blocked_by"]
    free(client, [first])
    assert client.wait(second)["state"] == "succeeded"


# ── pause, drain, resume ──


@pytest.mark.parametrize("path, reason", [("/v1/queues/held", "queue_paused"), ("/v1/tasks/echo", "task_paused"),
                                          ("/v1", "server_paused")])
def test_what_is_paused_accepts_jobs_and_starts_none(client, path, reason):
    assert document(client.post(f"{path}/pause"))["paused"] is True
    try:
        job = client.submit("echo", 1, queue="held")["id"]
        until(lambda: why(client, job)["reason"]["code"] == reason, 5)
        time.sleep(0.3)
        assert client.job(job)["state"] == "queued"
    finally:
        assert document(client.post(f"{path}/resume"))["paused"] is False
    assert client.wait(job)["state"] == "succeeded"


def test_what_runs_goes_on_through_a_pause(client):
    job = client.submit("sleep", {"seconds": 0.6}, queue="going")["id"]
    until(lambda: client.job(job)["state"] == "running", 5)
    document(client.post("/v1/queues/going/pause"))
    assert client.wait(job)["state"] == "succeeded"
    document(client.post("/v1/queues/going/resume"))


def test_a_draining_queue_takes_no_new_jobs_and_runs_what_it_has(client, blocked):
    job = client.submit("echo", 1, queue="dry")["id"]
    assert document(client.post("/v1/queues/dry/drain"))["draining"] is True
    answer = client.post("/v1/jobs", {"task": "echo", "queue": "dry"})
    assert code(answer, 503) == "queue_draining" and int(answer.headers["Retry-After"]) >= 1
    elsewhere = client.submit("echo", 2)["id"]
    free(client, blocked)
    assert client.wait(job)["state"] == client.wait(elsewhere)["state"] == "succeeded"
    assert document(client.post("/v1/queues/dry/resume"))["draining"] is False
    assert client.submit("echo", 1, queue="dry", wait=10)["state"] == "succeeded"


def test_a_drain_of_everything_refuses_every_submit_and_shows_in_the_stats(client):
    assert document(client.post("/v1/drain")) == {"paused": False, "draining": True}
    try:
        assert code(client.post("/v1/jobs", {"task": "echo"}), 503) == "queue_draining"
        assert client.get("/v1/stats").json()["draining"] is True
    finally:
        assert document(client.post("/v1/resume")) == {"paused": False, "draining": False}
    assert client.submit("echo", 1, wait=10)["state"] == "succeeded"


def test_a_pause_outlives_the_server(start_server):
    server = start_server(workers_count=1)
    document(server.client.post("/v1/queues/held/pause"))
    document(server.client.patch("/v1/tasks/echo", {"concurrency": 1}))
    server.stop()
    server.start()
    assert server.client.get("/v1/queues/held").json()["paused"] is True
    assert server.client.get("/v1/tasks/echo").json()["set"] == {"concurrency": 1}


# ── limits ──


def overlap(jobs):
    """The most that ran at a time."""
    events = sorted([(moment(one["started_at"]), 1) for one in jobs] + [(moment(one["finished_at"]), -1) for one in jobs])
    most = now = 0
    for _, step in events:  # an end sorts before a start of the same millisecond
        now += step
        most = max(most, now)
    return most


def test_a_queue_of_concurrency_1_never_runs_two_jobs_at_a_time(client):
    queue = document(client.patch("/v1/queues/single", {"concurrency": 1}))
    assert queue["limits"]["concurrency"] == 1 and queue["set"] == {"concurrency": 1}
    jobs = [client.submit("sleep", {"seconds": 0.15}, queue="single")["id"] for _ in range(6)]
    assert overlap([client.wait(one) for one in jobs]) == 1
    assert document(client.patch("/v1/queues/single", {"concurrency": None}))["limits"]["concurrency"] is None
    jobs = [client.submit("sleep", {"seconds": 0.4}, queue="single")["id"] for _ in range(4)]
    assert overlap([client.wait(one) for one in jobs]) == 2


def test_jobs_of_one_key_take_turns_and_other_keys_do_not_wait(client):
    document(client.patch("/v1/queues/keyed", {"key_concurrency": 1}))
    jobs = [client.submit("sleep", {"seconds": 0.2}, queue="keyed", concurrency_key=key)["id"] for key in "aaabbb"]
    ended = [client.wait(one) for one in jobs]
    for key in "ab":
        assert overlap([one for one in ended if one["concurrency_key"] == key]) == 1
    assert overlap(ended) == 2


def test_a_rate_spaces_out_the_starts(client):
    document(client.patch("/v1/queues/slow", {"rate": "5/s", "burst": 1}))
    began = time.monotonic()
    for one in [client.submit("echo", n, queue="slow")["id"] for n in range(5)]:
        client.wait(one)
    assert 0.7 <= time.monotonic() - began < 5


def test_a_full_queue_refuses_with_the_numbers_and_takes_jobs_again(client):
    document(client.patch("/v1/queues/full", {"max_depth": 2, "paused": True}))
    jobs = [client.submit("echo", n, queue="full")["id"] for n in range(2)]
    answer = client.post("/v1/jobs", {"task": "echo", "queue": "full"})
    assert code(answer, 429) == "queue_full" and int(answer.headers["Retry-After"]) >= 1
    assert len(re.findall(r"\b2\b", answer.json()["detail"])) >= 2
    assert client.submit("echo", 1, wait=10)["state"] == "succeeded"  # of another queue
    document(client.post("/v1/queues/full/resume"))
    for one in jobs:
        client.wait(one)
    assert client.submit("echo", 1, queue="full", wait=10)["state"] == "succeeded"


@pytest.mark.parametrize("durability", ["process", "memory"])
def test_a_repeated_request_is_answered_however_full_its_queue_is(client, durability):
    queue, headers = f"again-{durability}", {"Idempotency-Key": f"again-{durability}"}
    document(client.patch(f"/v1/queues/{queue}", {"max_depth": 1, "paused": True}))
    body = {"task": "echo", "queue": queue, "durability": durability}
    first = client.post("/v1/jobs", body, headers=headers)
    again = client.post("/v1/jobs", body, headers=headers)
    assert first.status_code == again.status_code == 202 and first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert code(client.post("/v1/jobs", {**body, "args": 1}, headers=headers), 422) == "idempotency_key_reused"
    for other in ({}, {"Idempotency-Key": f"other-{durability}"}):
        refused = client.post("/v1/jobs", body, headers=other)
        assert code(refused, 429) == "queue_full" and int(refused.headers["Retry-After"]) >= 1
    document(client.post(f"/v1/queues/{queue}/drain"))
    assert client.post("/v1/jobs", body, headers=headers).json()["id"] == first.json()["id"]
    document(client.post(f"/v1/queues/{queue}/resume"))
    client.wait(first.json()["id"])


def test_the_holder_of_a_uniqueness_key_is_returned_however_full_its_queue_is(client):
    body = {"task": "echo", "queue": "wanted", "unique": {"key": "wanted", "on_conflict": "return"}}
    document(client.patch("/v1/queues/wanted", {"max_depth": 1, "paused": True}))
    first = client.post("/v1/jobs", body).json()["id"]

    def both_ways():
        alone = client.post("/v1/jobs", body)
        assert (alone.status_code, alone.json()["id"], alone.headers["Unique-Returned"]) == (202, first, "true")
        for query in ("", "?atomic=false"):
            many = client.request("POST", "/v1/jobs/bulk" + query, data=json.dumps(body) + "\n",
                                  headers={"Content-Type": "application/x-ndjson"})
            assert many.status_code in (200, 202) and first in many.text, many.text
        return client.post("/v1/jobs", {**body, "unique": {"key": "free", "on_conflict": "return"}})

    assert code(both_ways(), 429) == "queue_full"
    assert code(client.post("/v1/jobs", {**body, "unique": {"key": "wanted"}}), 429) == "queue_full"
    document(client.post("/v1/queues/wanted/drain"))
    assert code(both_ways(), 503) == "queue_draining"
    document(client.post("/v1/queues/wanted/resume"))
    waited = client.post("/v1/jobs?wait=10", body)
    assert waited.status_code in (200, 202)
    client.wait(first)
    assert client.submit("echo", 1, queue="wanted", wait=10)["state"] == "succeeded", "no place was kept"


def test_a_burst_without_a_rate_is_refused(client):
    answer = client.patch("/v1/queues/bursts", {"burst": 5})
    assert code(answer, 422) == "invalid_field" and answer.json()["errors"][0]["pointer"] == "/burst"
    assert "the queue bursts has no rate" in answer.json()["detail"] and '"rate":"10/s"' in answer.json()["hint"]
    assert "the task echo has no key_rate" in client.patch("/v1/tasks/echo", {"key_burst": 5}).json()["detail"]
    assert document(client.patch("/v1/queues/bursts", {"burst": 5, "rate": "10/s"}))["set"] == {"rate": "10/s", "burst": 5}
    assert document(client.patch("/v1/queues/bursts", {"burst": 6}))["set"] == {"rate": "10/s", "burst": 6}
    assert document(client.patch("/v1/queues/bursts", {"burst": None, "rate": None}))["set"] == {}


def test_a_job_that_was_asked_to_stop_says_so(start_server, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "stay").write_text("#!/bin/sh\ntrap '' TERM; while :; do sleep 0.05; done\n")
    (tasks / "stay").chmod(0o755)
    client = start_server(tasks_dir=tasks, workers_count=1, jobs_kill_after="3s").client
    job = client.submit("stay")["id"]
    until(lambda: client.job(job)["state"] == "running", 5)
    assert why(client, job)["reason"] == {"code": "running", "sentence": "it runs now"}
    client.post(f"/v1/jobs/{job}/cancel")
    until(lambda: "asked to stop" in why(client, job)["reason"]["sentence"], 2)


def test_a_refused_or_replayed_submit_gives_its_place_back(client):
    document(client.patch("/v1/queues/places", {"max_depth": 2, "paused": True}))
    headers = {"Idempotency-Key": "one-place"}
    first = client.submit("echo", 1, queue="places", headers=headers)["id"]
    for _ in range(5):
        assert client.submit("echo", 1, queue="places", headers=headers)["id"] == first
        answer = client.post("/v1/jobs", {"task": "echo", "args": 2, "queue": "places"}, headers=headers)
        assert code(answer, 422) == "idempotency_key_reused"
    assert client.submit("echo", 2, queue="places")["id"] != first
    assert code(client.post("/v1/jobs", {"task": "echo", "queue": "places"}), 429) == "queue_full"
    document(client.post("/v1/queues/places/resume"))


def test_what_cannot_start_in_time_is_refused(client, blocked):
    document(client.post("/v1/queues/stuck/pause"))
    answer = client.post("/v1/jobs", {"task": "echo", "queue": "stuck", "start_within": 1})
    assert code(answer, 429) == "cannot_start_in_time" and "Retry-After" in answer.headers
    document(client.post("/v1/queues/stuck/resume"))


@pytest.mark.parametrize("path, body, expected", [
    ("/v1/queues/q", {"concurrency": 0}, "invalid_field"), ("/v1/queues/q", {"rate": "fast"}, "invalid_field"),
    ("/v1/queues/q", {"concurency": 1}, "unknown_field"), ("/v1/queues/q", {}, "invalid_field"),
    ("/v1/tasks/echo", {"max_depth": 1}, "unknown_field"), ("/v1/tasks/echo", [], "invalid_field")])
def test_limits_that_make_no_sense_are_refused(client, path, body, expected):
    assert code(client.patch(path, body), 422) == expected


# ── what a state refuses ──

TAKES = re.findall(r'T\((\w+), (\w+), (true|false), "(.*)"\) *\\?$', (ROOT / "shared" / "job.h").read_text(), re.MULTILINE)
ASK = {"CANCEL": lambda client, job: client.post(f"/v1/jobs/{job}/cancel"),
       "RETRY": lambda client, job: client.post(f"/v1/jobs/{job}/retry"),
       "FORGET": lambda client, job: client.request("DELETE", f"/v1/jobs/{job}"),
       "PATCH": lambda client, job: client.patch(f"/v1/jobs/{job}", {"tags": ["asked"]})}


def one_in(client, state):
    """A job that stays in that state."""
    if state in ("SUCCEEDED", "FAILED"):
        task = "echo" if state == "SUCCEEDED" else "fail"
        return client.submit(task, {"retryable": False}, wait=10)["id"]
    if state == "CANCELLED":
        job = client.submit("echo", 1, delay=300)["id"]
        client.post(f"/v1/jobs/{job}/cancel")
        return job
    if state == "RUNNING":
        return client.submit("sleep", {"seconds": 30})["id"]
    if state == "RETRYING":
        return client.submit("fail", {}, retry={"initial": 300, "max": 300})["id"]
    if state == "SCHEDULED":
        return client.submit("echo", 1, delay=300)["id"]
    if state == "BLOCKED":
        return client.submit("echo", 1, after=[one_in(client, "SCHEDULED")])["id"]
    assert state == "QUEUED", state
    return client.submit("echo", 1, queue="refusals")["id"]


@pytest.mark.parametrize("state", sorted({state for state, *_ in TAKES}))
def test_each_state_takes_or_refuses_each_request_as_the_table_says(client, state):
    assert len(TAKES) == 8 * len(ASK)
    document(client.post("/v1/queues/refusals/pause"))
    for _, request, takes, hint in (row for row in TAKES if row[0] == state):
        job = one_in(client, state)
        until(lambda: client.job(job)["state"] == state.lower(), 5)
        answer = ASK[request](client, job)
        if takes == "true":
            assert answer.status_code in (200, 202, 204), answer.text
        else:
            assert code(answer, 409) in ("already_finished", "not_finished", "not_possible_now")
            assert answer.json()["hint"] == hint.replace('\\"', '"') and state.lower() in answer.json()["detail"]
        if request != "FORGET" or takes == "false":
            client.post(f"/v1/jobs/{job}/cancel")
            client.wait(job)
    document(client.post("/v1/queues/refusals/resume"))


# ── cancel, waited for ──


def test_a_waited_cancel_tells_what_became_of_the_job(client):
    job = client.submit("sleep", {"seconds": 30})["id"]
    until(lambda: client.job(job)["state"] == "running", 5)
    ended = document(client.post(f"/v1/jobs/{job}/cancel?wait=10"))
    assert ended["state"] == "cancelled" and ended["cancel"]["outcome"] == "cancelled"
    assert ended["cancel"]["stopped_by"] in ("task", "SIGTERM", "SIGKILL")


@pytest.mark.parametrize("script, by", [
    ("exec sleep 30", "SIGTERM"), ("trap '' TERM; while :; do sleep 0.05; done", "SIGKILL"),
    ("trap 'exit 3' TERM; while :; do sleep 0.05; done", "task")])
def test_the_answer_names_what_stopped_the_task(start_server, tmp_path, script, by):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "stay").write_text(f"#!/bin/sh\n{script}\n")
    (tasks / "stay").chmod(0o755)
    client = start_server(tasks_dir=tasks, workers_count=1, jobs_kill_after="400ms").client
    job = client.submit("stay")["id"]
    until(lambda: client.job(job)["state"] == "running", 5)
    time.sleep(0.3)  # the shell has set its trap
    ended = document(client.request("POST", f"/v1/jobs/{job}/cancel", headers={"Prefer": "wait=10"}))
    assert ended["state"] == "cancelled" and ended["cancel"] == {"outcome": "cancelled", "stopped_by": by}


def test_a_cancel_without_wait_says_that_it_has_asked(client):
    job = client.submit("sleep", {"seconds": 30})["id"]
    until(lambda: client.job(job)["state"] == "running", 5)
    answer = client.post(f"/v1/jobs/{job}/cancel")
    assert answer.status_code == 202 and answer.json()["cancel_requested"] is True
    assert answer.json()["cancel"]["outcome"] in ("asked", "cancelled")
    assert client.wait(job)["state"] == "cancelled"


# ── the rules of retrying ──


def test_intervals_and_codes_stand_in_the_document(client):
    job = client.submit("echo", 1, wait=10, meta={"a": [1, None]},
                        retry={"intervals": [0.1, 2], "max_age": 60, "on": ["task_failed"], "never": ["timeout"]})
    assert job["meta"] == {"a": [1, None]}
    assert job["retry"]["intervals"] == [0.1, 2] and job["retry"]["max_age"] == 60
    assert job["retry"]["on"] == ["task_failed"] and job["retry"]["never"] == ["timeout"]


def test_intervals_are_kept_to(client):
    job = client.submit("fail", {"message": "no", "until_attempt": 3}, retry={"intervals": [0.3, 0.6], "jitter": 0})["id"]
    assert client.wait(job)["state"] == "succeeded"
    tries = client.attempts(job)
    waits = [moment(after["started_at"]) - moment(before["finished_at"]) for before, after in zip(tries, tries[1:])]
    assert 0.25 <= waits[0] < 0.6 <= waits[1] < 2
