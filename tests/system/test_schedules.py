"""Schedules: cron jobs that fire once, whatever dies; overlap, catching up, the file, and the zone database as it changes."""

import os
import shutil
import signal
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from processes import until

SERVER = {"workers_count": 4, "store_durability": "process"}
SECOND = "* * * * * *"
ZONES = Path("/usr/share/zoneinfo")


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def put(client, name, cron, job, status=201, **more):
    answer = client.put(f"/v1/schedules/{name}", {"cron": cron, "job": {"tags": [name], **job}, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def schedule(client, name):
    answer = client.get(f"/v1/schedules/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def verb(client, name, what, status=200):
    answer = client.post(f"/v1/schedules/{name}/{what}")
    assert answer.status_code == status, answer.text
    return answer.json()


def jobs_of(client, name):
    """Those that a time made, in the order of their times."""
    jobs = [job for job in client.all_jobs(tag=name) if job["scheduled_at"]]
    return sorted(jobs, key=lambda job: job["scheduled_at"])


def times_of(client, name):
    return [moment(job["scheduled_at"]) for job in jobs_of(client, name)]


def each_second(first, last):
    return [first + timedelta(seconds=n) for n in range(int((last - first).total_seconds()) + 1)]


def remove(client, name):
    assert client.request("DELETE", f"/v1/schedules/{name}").status_code == 204


# ── firing ──

def test_each_second_becomes_one_job(client):
    put(client, "seconds", SECOND, {"task": "echo", "args": {"n": 1}})
    until(lambda: schedule(client, "seconds")["made"] >= 4, 15)
    made = verb(client, "seconds", "pause")
    times = times_of(client, "seconds")
    assert times == each_second(times[0], times[-1])
    assert (made["made"], made["skipped"], made["last_error"]) == (len(times), 0, None)
    assert moment(made["last_at"]) == times[-1]
    last = client.wait(made["last_job"])
    assert (last["schedule"], last["args"], last["scheduled_at"]) == ("seconds", {"n": 1}, made["last_at"])
    assert moment(last["created_at"]) >= times[-1], "not before its time"
    remove(client, "seconds")
    assert client.get("/v1/schedules/seconds").json()["code"] == "unknown_schedule"
    assert len(jobs_of(client, "seconds")) == len(times), "its jobs stay"


def test_a_replaced_definition_goes_on_counting(client):
    put(client, "changing", SECOND, {"task": "echo"})
    until(lambda: schedule(client, "changing")["made"] >= 1, 5)
    made = put(client, "changing", "0 0 1 1 *", {"task": "echo"}, 200, timezone="Asia/Kathmandu")
    assert made["made"] >= 1 and made["last_at"]
    assert made["next_at"].endswith("-12-31T18:15:00.000Z")
    assert len(made["next_times"]) == 5
    remove(client, "changing")


def test_a_patch_changes_what_it_names(client):
    before = put(client, "patched", "0 3 1 1 *", {"task": "echo"}, overlap="queue")
    verb(client, "patched", "pause")
    answer = client.patch("/v1/schedules/patched", {"timezone": "Asia/Kathmandu"})
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["timezone"], after["paused"]) == ("Asia/Kathmandu", True)
    assert [after[key] for key in ("cron", "overlap", "catch_up", "job")] == [before[key] for key in ("cron", "overlap", "catch_up", "job")]
    assert client.patch("/v1/schedules/patched", {"paused": False}).json()["next_at"].endswith("-12-31T21:15:00.000Z")
    assert client.patch("/v1/schedules/patched", {}).status_code == 422
    assert client.patch("/v1/schedules/patched", {"job": 5}).json()["errors"][0]["pointer"] == "/job"
    assert client.patch("/v1/schedules/patchd", {"cron": "@daily"}).status_code == 404
    remove(client, "patched")


def test_a_pause_is_kept_and_the_times_in_it_are_over(start_server):
    server = start_server(workers_count=1)
    put(server.client, "held", SECOND, {"task": "echo"})
    until(lambda: schedule(server.client, "held")["made"] >= 1, 5)
    before = verb(server.client, "held", "pause")
    assert (before["paused"], before["next_at"], before["next_times"]) == (True, None, [])
    server.kill_everything()
    server.start()
    time.sleep(2.2)
    after = schedule(server.client, "held")
    assert (after["paused"], after["made"], after["skipped"]) == (True, before["made"], before["skipped"])
    verb(server.client, "held", "resume")
    until(lambda: schedule(server.client, "held")["made"] > before["made"], 5)
    assert schedule(server.client, "held")["skipped"] == before["skipped"], "nothing is made up for"
    server.stop()


def test_a_trigger_makes_a_job_now(client):
    before = put(client, "rare", "0 0 29 2 *", {"task": "echo", "args": "x"}, paused=True)
    answer = client.post("/v1/schedules/rare/trigger")
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["schedule"], job["scheduled_at"], job["args"]) == ("rare", None, "x")
    assert client.wait(job["id"])["state"] == "succeeded"
    assert schedule(client, "rare") == before, "nothing else has changed"
    remove(client, "rare")


# ── overlap ──

def runs_of(client, name):
    """(start, end) of those that ran, in order; each has ended."""
    jobs = [client.wait(job["id"]) for job in jobs_of(client, name)]
    return sorted((moment(job["started_at"]), moment(job["finished_at"])) for job in jobs if job["started_at"])


def assert_apart(runs):
    for (_, end), (start, _) in zip(runs, runs[1:]):
        assert start >= end, runs


def test_a_time_is_skipped_while_the_last_job_runs(client):
    put(client, "skipping", SECOND, {"task": "sleep", "args": {"seconds": 1.6}})
    until(lambda: schedule(client, "skipping")["made"] >= 3, 20)
    made = verb(client, "skipping", "pause")
    assert made["skipped"] >= 2
    assert_apart(runs_of(client, "skipping"))
    times = times_of(client, "skipping")
    assert len(times) + made["skipped"] >= len(each_second(times[0], times[-1])), "each time is counted"
    remove(client, "skipping")


def test_jobs_wait_for_each_other(client):
    put(client, "queueing", SECOND, {"task": "sleep", "args": {"seconds": 1.3}}, overlap="queue")
    until(lambda: schedule(client, "queueing")["made"] >= 5, 20)
    made = verb(client, "queueing", "pause")
    times = times_of(client, "queueing")
    assert (made["skipped"], times) == (0, each_second(times[0], times[-1]))
    assert any(job["state"] == "blocked" for job in jobs_of(client, "queueing"))
    runs = runs_of(client, "queueing")
    assert len(runs) == len(times)
    assert_apart(runs)
    remove(client, "queueing")


def test_the_last_job_is_replaced(client):
    put(client, "replacing", SECOND, {"task": "sleep", "args": {"seconds": 60}, "kill_after": 0.1}, overlap="replace")
    until(lambda: schedule(client, "replacing")["made"] >= 4, 20)
    made = verb(client, "replacing", "pause")
    jobs = jobs_of(client, "replacing")
    assert [job["id"] for job in jobs][-1] == made["last_job"]
    for job in jobs[:-1]:
        assert client.wait(job["id"])["state"] == "cancelled"
    until(lambda: client.job(made["last_job"])["state"] == "running", 10, "the last one runs")
    assert client.post(f"/v1/jobs/{made['last_job']}/cancel").status_code in (200, 202)
    assert_apart(runs_of(client, "replacing"))
    remove(client, "replacing")


# ── what is refused, and when ──

def test_a_pause_of_everything_goes_on_making_jobs_and_a_drain_does_not(client):
    put(client, "drained", SECOND, {"task": "echo"}, overlap="queue")
    assert client.post("/v1/pause").status_code == 200
    made = schedule(client, "drained")["made"]
    until(lambda: schedule(client, "drained")["made"] >= made + 2, 10)
    assert client.post("/v1/drain").status_code == 200
    until(lambda: schedule(client, "drained")["skipped"] >= 2, 10)
    said = schedule(client, "drained")["last_error"]
    assert "the queue default takes no new jobs" in said["message"]
    answer = client.post("/v1/schedules/drained/trigger")
    submit = client.post("/v1/jobs", {"task": "echo"})
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_draining")
    for member in ("detail", "hint"):
        assert answer.json()[member] == submit.json()[member]
    assert answer.headers["Retry-After"] == submit.headers["Retry-After"] and "everything is being drained" in answer.json()["detail"]
    assert client.post("/v1/resume").status_code == 200
    remove(client, "drained")


def test_a_full_queue_skips(client):
    assert client.patch("/v1/queues/narrow", {"max_depth": 1, "paused": True}).status_code == 200
    put(client, "narrow", SECOND, {"task": "echo", "queue": "narrow"}, overlap="queue")
    until(lambda: schedule(client, "narrow")["skipped"] >= 1, 10)
    made = schedule(client, "narrow")
    assert made["made"] == 1 and "max_depth" in made["last_error"]["message"]
    answer = client.post("/v1/schedules/narrow/trigger")
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full") and answer.headers["Retry-After"]
    assert answer.json()["detail"].startswith("the queue narrow holds 1 waiting job, and may hold 1 (max_depth); none of them starts")
    remove(client, "narrow")
    client.post("/v1/queues/narrow/resume")


def test_a_held_uniqueness_key_skips(client):
    assert client.post("/v1/queues/alone/pause").status_code == 200
    put(client, "alone", SECOND, {"task": "echo", "queue": "alone", "unique": {"key": "only-one"}}, overlap="queue")
    until(lambda: schedule(client, "alone")["skipped"] >= 2, 10)
    made = verb(client, "alone", "pause")
    assert made["last_job"] == jobs_of(client, "alone")[0]["id"]
    assert made["made"] == 1 and made["last_error"]["message"] == f'the job {made["last_job"]} holds the uniqueness key "only-one"'
    answer = client.post("/v1/schedules/alone/trigger")
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_job")
    client.post("/v1/queues/alone/resume")
    remove(client, "alone")


JOB = {"task": "echo"}


@pytest.mark.parametrize("body, code, pointer, says", [
    ({"job": JOB}, "invalid_field", "/cron", "missing"),
    ({"cron": "@daily"}, "invalid_field", "/job", "missing"),
    ({"cron": "0 3 * *", "job": JOB}, "invalid_field", "/cron", "4 fields"),
    ({"cron": "0 3 31 2 *", "job": JOB}, "invalid_field", "/cron", "never fire"),
    ({"cron": "@dayly", "job": JOB}, "invalid_field", "/cron", "@daily"),
    ({"cron": 5, "job": JOB}, "invalid_field", "/cron", "is 5"),
    ({"cron": "@daily", "timezone": "Europe/Berln", "job": JOB}, "invalid_field", "/timezone", 'did you mean "Europe/Berlin"'),
    ({"cron": "@daily", "timezone": "../../etc/passwd", "job": JOB}, "invalid_field", "/timezone", "Europe/Berlin"),
    ({"cron": "@daily", "overlap": "skp", "job": JOB}, "invalid_field", "/overlap", "skip, queue or replace"),
    ({"cron": "@daily", "catch_up": True, "job": JOB}, "invalid_field", "/catch_up", "none, one or all"),
    ({"cron": "@daily", "paused": "no", "job": JOB}, "invalid_field", "/paused", "true or false"),
    ({"cron": "@daily", "job": "echo"}, "invalid_field", "/job", "an object"),
    ({"cron": "@daily", "jop": JOB, "job": JOB}, "unknown_field", "/jop", 'did you mean "job"'),
    ({"cron": "@daily", "job": {"task": "ecko"}}, "unknown_task", "/job/task", 'did you mean "echo"'),
    ({"cron": "@daily", "job": {"task": "echo", "priority": 10}}, "invalid_field", "/job/priority", "0 to 9"),
    ({"cron": "@daily", "job": {"task": "echo", "colour": 1}}, "unknown_field", "/job/colour", "colour"),
    ({"cron": "@daily", "job": {"task": "echo", "delay": 1}}, "invalid_field", "/job/delay", "makes no sense"),
    ({"cron": "@daily", "job": {"task": "echo", "scheduled_at": "2100-01-01T00:00:00Z"}}, "invalid_field",
     "/job/scheduled_at", "makes no sense"),
    ({"cron": "@daily", "job": {"task": "echo", "expires_at": "2100-01-01T00:00:00Z"}}, "invalid_field",
     "/job/expires_at", "expires_in"),
    ({"cron": "@daily", "job": {"task": "echo", "start_within": 1}}, "invalid_field", "/job/start_within", "expires_in"),
    ({"cron": "@daily", "job": {"task": "echo", "after": []}}, "invalid_field", "/job/after", "overlap"),
    ({"cron": "@daily", "job": {"task": "echo", "durability": "memory"}}, "invalid_field", "/job/durability", "full or process"),
    ({"cron": "@daily", "job": {"task": "echo", "unique": {"key": "k", "on_conflict": "replace"}}}, "invalid_field",
     "/job/unique/on_conflict", "overlap"),
    ({"cron": "@daily", "job": {"task": "echo", "unique": {"key": "k", "on_conflict": "return"}}}, "invalid_field",
     "/job/unique/on_conflict", "nobody waits for the answer"),
    ({"cron": "@daily", "overlap": "replace", "job": {"task": "echo", "unique": True}}, "invalid_field", "/overlap", "uniqueness key"),
    ({"cron": "@daily", "job": {"task": "echo", "idempotency_key": "k"}}, "invalid_field", "/job/idempotency_key", "unique"),
])
def test_what_cannot_be_is_refused(client, body, code, pointer, says):
    answer = client.put("/v1/schedules/refused", body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == code
    fault = next(fault for fault in problem["errors"] if fault["pointer"] == pointer)
    assert says in fault["detail"]
    assert "openapi" not in problem["hint"] or code == "unknown_field"
    assert client.get("/v1/schedules/refused").status_code == 404, "nothing was made"


def test_names_and_paths(client):
    put(client, "nightly", "@daily", JOB)
    answer = client.post("/v1/schedules/nightley/pause")
    assert answer.status_code == 404 and 'did you mean "nightly"' in answer.json()["detail"]
    assert client.put("/v1/schedules/.hidden", {"cron": "@daily", "job": JOB}).json()["code"] == "unknown_schedule"
    assert client.put("/v1/schedules/" + "a" * 64, {"cron": "@daily", "job": JOB}).status_code == 404
    assert client.put("/v1/schedules/preview", {"cron": "@daily", "job": JOB}).status_code == 201, "a name like any other"
    assert [one["schedule"] for one in client.get("/v1/schedules").json()["items"]] == ["nightly", "preview"]
    remove(client, "preview")
    remove(client, "nightly")


def test_a_patch_cannot_bring_together_what_a_put_may_not(client):
    put(client, "together", "0 3 29 2 *", {"task": "echo", "unique": True})
    answer = client.patch("/v1/schedules/together", {"overlap": "replace"})
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/overlap"
    assert "unique" in answer.json()["hint"] and schedule(client, "together")["overlap"] == "skip"
    remove(client, "together")


def test_the_list_comes_in_pages_and_at_once(start_server):
    client = start_server(workers_count=1).client
    names = [f"page-{n:03}" for n in range(230)]
    for name in names:
        put(client, name, "0 0 29 2 *", JOB, timezone="Europe/Berlin", paused=name == "page-001")
    found, pages, path = [], 0, "/v1/schedules"
    while path:
        before = time.monotonic()
        answer = client.get(path)
        assert time.monotonic() - before < 0.5, "it computes no times"
        found += answer.json()["items"]
        pages += 1
        path = answer.headers["Link"].split("<")[1].split(">")[0] if "Link" in answer.headers else None
        assert (answer.json()["next_cursor"] is None) == (path is None)
    assert ([one["schedule"] for one in found], pages) == (names, 3)
    alone = schedule(client, "page-000")
    assert {**found[0], "next_times": alone["next_times"]} == alone and len(alone["next_times"]) == 5
    assert found[1]["next_at"] is None and schedule(client, "page-001")["next_at"] is None
    few = client.get("/v1/schedules?limit=2&cursor=page-100").json()
    assert [one["schedule"] for one in few["items"]] == ["page-101", "page-102"] and few["next_cursor"] == "page-102"
    for query in ("limit=0", "limit=1001", "cursor=.x", "cursor="):
        assert client.get(f"/v1/schedules?{query}").json()["code"] == "invalid_parameter"


# ── the log ──

def test_the_log_says_what_was_done_and_the_same_failure_once_a_minute(start_server):
    server = start_server(workers_count=1)
    client = server.client
    put(client, "told", SECOND, {"task": "echo", "queue": "told"}, overlap="queue")
    client.post("/v1/queues/told/drain")
    until(lambda: schedule(client, "told")["skipped"] >= 3, 15)
    verb(client, "told", "pause")
    client.post("/v1/queues/told/resume")
    verb(client, "told", "resume")
    remove(client, "told")
    assert [(one["done"], one["by"]) for one in server.events("schedule.set")] == [
        ("put", "request"), ("pause", "request"), ("resume", "request"), ("drop", "request")]
    said = server.events("schedule.fail")
    assert len(said) == 1 and said[0]["schedule"] == "told" and said[0]["unsaid"] == 0
    client.patch("/v1/tasks/echo", {"concurrency": 2, "rate": None})
    client.post("/v1/pause")
    assert [(one["kind"], one["name"], one["set"]) for one in server.events("limits.set")] == [
        ("queue", "told", '{"draining":true}'), ("queue", "told", '{"paused":false,"draining":false}'),
        ("task", "echo", '{"concurrency":2,"rate":null}'), ("server", "", '{"paused":true}')]
    server.stop()


# ── preview ──

def test_a_preview_shows_both_clocks(client):
    answer = client.post("/v1/schedules/preview", {"cron": "30 2 * * *", "timezone": "Europe/Berlin",
                                                   "from": "2026-03-28T00:00:00Z", "count": 3})
    assert [(one["utc"], one["local"]) for one in answer.json()["times"]] == [
        ("2026-03-28T01:30:00.000Z", "2026-03-28T02:30:00+01:00"),
        ("2026-03-29T01:00:00.000Z", "2026-03-29T03:00:00+02:00"),
        ("2026-03-30T00:30:00.000Z", "2026-03-30T02:30:00+02:00")]
    answer = client.post("/v1/schedules/preview", {"cron": "0 9 * * *", "timezone": "America/St_Johns", "count": 1})
    assert answer.json()["times"][0]["local"][-6:] in ("-02:30", "-03:30")
    assert len(client.post("/v1/schedules/preview", {"cron": SECOND, "count": 100}).json()["times"]) == 100
    assert len(client.post("/v1/schedules/preview", {"cron": SECOND}).json()["times"]) == 10


@pytest.mark.parametrize("body, pointer", [({}, "/cron"), ({"cron": "61 * * * *"}, "/cron"), ({"cron": SECOND, "count": 101}, "/count"),
                                           ({"cron": SECOND, "count": 0}, "/count"), ({"cron": SECOND, "from": "now"}, "/from"),
                                           ({"cron": SECOND, "zone": "UTC"}, "/zone"), ({"cron": SECOND, "timezone": "Mars"}, "/timezone")])
def test_a_wrong_preview_is_refused(client, body, pointer):
    answer = client.post("/v1/schedules/preview", body)
    assert answer.status_code == 422
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


# ── deaths ──

def test_what_passed_while_everything_was_dead(start_server):
    server = start_server(workers_count=2, store_durability="process")
    for kind in ("none", "one", "all"):
        put(server.client, kind, SECOND, {"task": "echo"}, catch_up=kind, overlap="queue")
    until(lambda: all(schedule(server.client, kind)["made"] >= 2 for kind in ("none", "one", "all")), 15)
    server.kill_everything()
    killed = datetime.now(timezone.utc)
    time.sleep(4)
    server.start()
    up = datetime.now(timezone.utc)
    after = {kind: schedule(server.client, kind)["made"] for kind in ("none", "one", "all")}
    until(lambda: all(schedule(server.client, kind)["made"] >= after[kind] + 2 for kind in after), 15)
    made = {kind: verb(server.client, kind, "pause") for kind in after}
    dead = [time for time in each_second(killed.replace(microsecond=0) + timedelta(seconds=2), up)
            if time + timedelta(seconds=2) < up]
    assert dead
    times = {kind: times_of(server.client, kind) for kind in after}
    for kind, found in times.items():
        assert len(set(found)) == len(found), "never twice"
        assert made[kind]["made"] == len(found)
        assert made[kind]["made"] + made[kind]["skipped"] == len(each_second(found[0], found[-1])), "each time is counted"
    assert times["all"] == each_second(times["all"][0], times["all"][-1]), "none is missing"
    assert not set(times["none"]) & set(dead)
    late = [job for job in jobs_of(server.client, "one")
            if moment(job["created_at"]) - moment(job["scheduled_at"]) > timedelta(seconds=0.8)]
    assert len(late) <= 1, "at most one was made up for"
    assert made["one"]["skipped"] >= len(dead) - 1
    server.stop()


def test_no_second_is_lost_or_doubled_while_the_front_is_being_killed(start_server):
    server = start_server(workers_count=2, store_durability="process")
    put(server.client, "all", SECOND, {"task": "echo"}, catch_up="all", overlap="queue")
    put(server.client, "one", SECOND, {"task": "echo"}, overlap="queue")
    for turn in range(8):
        # Around the full second, where jobs are made, and elsewhere.
        time.sleep(1 - time.time() % 1 + (0.001 * turn if turn % 2 else 0.4))
        os.kill(server.front(), signal.SIGKILL)
        server.wait_ready()
    made = {}
    for kind in ("all", "one"):
        before = schedule(server.client, kind)["made"]
        until(lambda: schedule(server.client, kind)["made"] > before, 10)
        made[kind] = verb(server.client, kind, "pause")
    for kind in ("all", "one"):
        times = times_of(server.client, kind)
        assert len(set(times)) == len(times), "never twice"
        assert made[kind]["made"] == len(times)
        assert made[kind]["made"] + made[kind]["skipped"] == len(each_second(times[0], times[-1]))
    times = times_of(server.client, "all")
    assert times == each_second(times[0], times[-1]), "none is missing"
    assert all(server.client.wait(job["id"])["state"] == "succeeded" for job in jobs_of(server.client, "all"))
    server.stop()


def test_a_stop_and_a_start_make_up_for_one(start_server):
    server = start_server(workers_count=1)
    put(server.client, "stopped", SECOND, {"task": "echo"})
    until(lambda: schedule(server.client, "stopped")["made"] >= 1, 5)
    server.stop()
    time.sleep(2)
    server.start()
    until(lambda: schedule(server.client, "stopped")["skipped"] >= 1, 10)
    times = times_of(server.client, "stopped")
    assert len(set(times)) == len(times)
    server.stop()


# ── zones that change ──

def replace_zone(folder, source):
    """In one step, as a package manager does."""
    shutil.copy(ZONES / source, folder / ".new")
    (folder / ".new").rename(folder / "Somewhere")


def test_an_update_of_the_zone_database_counts_at_once(start_server, tmp_path):
    folder = tmp_path / "zones"
    folder.mkdir()
    replace_zone(folder, "Etc/GMT+3")
    server = start_server(workers_count=1, env={"TZDIR": str(folder)})
    # In a quarter of a minute by the clocks of what the zone becomes: hours away by those that it has now.
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=15)
    local = due + timedelta(hours=5)
    made = put(server.client, "moved", f"{local.second} {local.minute} {local.hour} * * *", JOB, timezone="Somewhere")
    assert moment(made["next_at"]) - due in (timedelta(hours=8), timedelta(hours=-16))
    replace_zone(folder, "Etc/GMT-5")
    assert moment(schedule(server.client, "moved")["next_at"]) == due
    until(lambda: schedule(server.client, "moved")["made"] == 1, 40)
    job = jobs_of(server.client, "moved")[0]
    assert moment(job["scheduled_at"]) == due
    assert moment(job["created_at"]) - due < timedelta(seconds=12)
    assert moment(schedule(server.client, "moved")["next_at"]) == due + timedelta(days=1)
    server.stop()
