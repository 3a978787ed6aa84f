"""The rest of a job's life: deleted, retried, tagged, found again, counted by queue, forgotten when its time is over."""

import re
import signal
import sqlite3
import threading
import time
from urllib.parse import quote

import pytest
import requests
import yaml

import processes
from processes import until
from server import run_forkpool
from test_jobs import busy, free

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}
UNKNOWN = "018f0000-0000-7000-8000-000000000000"
NO_RETRY = {"max_attempts": 1}


def failed(client, **args):
    """A job that has failed once and would succeed the next time."""
    job = client.submit("fail", {"message": "no luck", "until_attempt": 2, **args}, wait=10, retry=NO_RETRY)
    assert job["state"] == "failed" and job["attempt"] == 1
    return job


def logs_of(server, job_id):
    return sorted(path.name for path in (server.state / "logs" / job_id[-2:]).glob(f"{job_id}.*"))


def code(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["code"]


# ── delete ──


def test_a_deleted_job_is_gone_with_all_that_belongs_to_it(server, client):
    job = failed(client)["id"]
    assert logs_of(server, job) == [f"{job}.1.log"]
    answer = client.request("DELETE", f"/v1/jobs/{job}")
    assert answer.status_code == 204 and answer.content == b""
    for path in ("", "/result", "/attempts", "/log"):
        assert code(client.get(f"/v1/jobs/{job}{path}"), 404) == "unknown_job"
    assert code(client.post(f"/v1/jobs/{job}/cancel"), 404) == "unknown_job"
    assert code(client.post(f"/v1/jobs/{job}/retry"), 404) == "unknown_job"
    assert code(client.request("DELETE", f"/v1/jobs/{job}"), 404) == "unknown_job"
    assert job not in {one["id"] for one in client.all_jobs()}
    until(lambda: logs_of(server, job) == [], 5, "its logs are unlinked")


def test_a_deleted_job_leaves_the_counts_and_frees_its_key(client):
    headers = {"Idempotency-Key": "delete-me"}
    first = client.submit("echo", 1, wait=10, queue="deleted", headers=headers)["id"]
    assert client.submit("echo", 1, wait=10, queue="deleted", headers=headers)["id"] == first
    assert client.get("/v1/queues/deleted").json()["jobs"]["succeeded"] == 1
    assert client.request("DELETE", f"/v1/jobs/{first}").status_code == 204
    assert code(client.get("/v1/queues/deleted"), 404) == "unknown_queue"
    again = client.submit("echo", 1, wait=10, queue="deleted", headers=headers)
    assert again["id"] != first and again["result"] == 1


def test_what_has_not_ended_is_not_deleted_and_goes_on(client):
    blockers = busy(client)
    queued = client.submit("echo", 1)["id"]
    retrying = client.submit("fail", {"message": "later", "until_attempt": 2},
                             retry={"initial": 0.4, "jitter": 0})["id"]
    for job in (queued, blockers[0]):
        answer = client.request("DELETE", f"/v1/jobs/{job}")
        assert code(answer, 409) == "not_finished" and client.job(job)["state"] in answer.json()["detail"]
    assert client.job(blockers[0])["state"] == "running" and not client.job(blockers[0])["cancel_requested"]
    free(client, blockers)
    until(lambda: client.job(retrying)["state"] == "retrying", 5)
    assert code(client.request("DELETE", f"/v1/jobs/{retrying}"), 409) == "not_finished"
    assert client.wait(queued)["state"] == client.wait(retrying)["state"] == "succeeded"
    assert client.request("DELETE", f"/v1/jobs/{retrying}").status_code == 204


def test_a_delete_of_what_is_no_job_is_not_found(client):
    assert code(client.request("DELETE", f"/v1/jobs/{UNKNOWN}"), 404) == "unknown_job"
    assert code(client.request("DELETE", "/v1/jobs/17"), 404) == "unknown_job"
    assert code(client.request("DELETE", "/v1/jobs"), 405) == "method_not_allowed"
    answer = client.request("PUT", f"/v1/jobs/{UNKNOWN}")
    assert code(answer, 405) == "method_not_allowed" and answer.headers["Allow"] == "GET, HEAD, DELETE, PATCH"


# ── retry ──


def test_a_failed_job_that_is_retried_succeeds_and_keeps_its_history(client):
    job = client.submit("fail", {"message": "not yet", "until_attempt": 3}, wait=20,
                        retry={"max_attempts": 2, "initial": 0.02})
    assert job["state"] == "failed" and job["attempt"] == job["errors"] == 2
    answer = client.post(f"/v1/jobs/{job['id']}/retry")
    assert answer.status_code == 202 and answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert answer.json()["id"] == job["id"] and answer.json()["errors"] == 0
    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["attempt"] == 3
    assert ended["errors"] == ended["crashes"] == ended["lost"] == 0 and ended["error"] is None
    attempts = client.attempts(job["id"])
    assert [one["attempt"] for one in attempts] == [1, 2, 3]
    assert [one["outcome"] for one in attempts] == ["error", "error", "success"]
    assert "not yet" in client.get(f"/v1/jobs/{job['id']}/log?attempt=1").text


def test_a_retried_job_waits_its_turn_without_a_result(client):
    job = client.submit("echo", {"n": 1}, wait=10, tags=["again"])
    blockers = busy(client)
    assert client.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
    waiting = client.job(job["id"])
    assert waiting["state"] == "queued" and waiting["result"] is None and waiting["result_pruned"] is False
    assert waiting["finished_at"] is None and waiting["attempt"] == 1 and waiting["tags"] == ["again"]
    assert code(client.get(f"/v1/jobs/{job['id']}/result"), 409) == "not_finished"
    assert [one["outcome"] for one in client.attempts(job["id"])] == ["success"]
    free(client, blockers)
    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["result"] == {"n": 1}


def test_a_job_that_was_cancelled_before_it_ran_can_be_retried(client):
    blockers = busy(client)
    job = client.submit("echo", "x")["id"]
    client.post(f"/v1/jobs/{job}/cancel")
    answer = client.post(f"/v1/jobs/{job}/retry")
    assert answer.status_code == 202 and answer.json()["cancel_requested"] is False
    free(client, blockers)
    ended = client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 1


def test_a_memory_job_can_be_retried(client):
    job = client.submit("echo", "x", wait=10, durability="memory")["id"]
    assert client.post(f"/v1/jobs/{job}/retry").status_code == 202
    assert client.wait(job)["attempt"] == 2


def test_what_has_not_ended_is_not_retried(client):
    blockers = busy(client)
    queued = client.submit("echo", 1)["id"]
    for job in (blockers[0], queued):
        assert code(client.post(f"/v1/jobs/{job}/retry"), 409) == "not_finished"
    free(client, blockers)
    assert client.wait(queued)["attempt"] == 1
    assert code(client.post(f"/v1/jobs/{UNKNOWN}/retry"), 404) == "unknown_job"
    assert code(client.post("/v1/jobs/x/retry"), 404) == "unknown_job"


def test_of_many_retries_at_once_one_is_taken(server, client):
    job = failed(client)["id"]
    blockers = busy(client)
    clients = [server.new_client() for _ in range(8)]
    seen = []
    threads = [threading.Thread(target=lambda one=one: seen.append(one.post(f"/v1/jobs/{job}/retry").status_code))
               for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [202] + 7 * [409]
    free(client, blockers)
    assert client.wait(job)["attempt"] == 2


def test_retries_are_neither_lost_nor_doubled_while_the_front_is_killed(start_server):
    server = start_server(workers_count=2)
    jobs = [failed(server.client)["id"] for _ in range(30)]
    stop = threading.Event()

    def kill_fronts():
        for _ in range(4):
            time.sleep(0.15)
            front = server.fronts()
            if front:
                processes.kill(front[0])
            until(lambda front=front: server.fronts() and server.fronts() != front, 15, "a new front")
        stop.set()

    killer = threading.Thread(target=kill_fronts)
    killer.start()
    for job in jobs:
        time.sleep(0.02)
        while not retried(server, job):
            time.sleep(0.01)
    killer.join()
    assert stop.is_set()
    for job in jobs:
        ended = server.client.wait(job)
        assert ended["state"] == "succeeded" and ended["attempt"] == 2, ended
        assert [one["outcome"] for one in server.client.attempts(job)] == ["error", "success"]
    server.stop()


def retried(server, job):
    """True once the job is known to run again: a request that was cut off may have been carried out."""
    try:
        before = requests.get(f"{server.url}/v1/jobs/{job}", timeout=10)
        if before.status_code != 200:
            return False
        if before.json()["state"] != "failed":
            return True
        return requests.post(f"{server.url}/v1/jobs/{job}/retry", timeout=10).status_code == 202
    except requests.RequestException:
        return False


def test_a_retry_that_was_answered_survives_a_kill_of_everything(start_server):
    server = start_server(workers_count=1)
    job = failed(server.client)["id"]
    gone = server.client.submit("echo", 1, wait=10)["id"]
    busy(server.client, 1)
    assert server.client.post(f"/v1/jobs/{job}/retry").status_code == 202
    assert server.client.request("DELETE", f"/v1/jobs/{gone}").status_code == 204
    server.kill_everything()
    server.start()
    assert code(server.client.get(f"/v1/jobs/{gone}"), 404) == "unknown_job"
    for one in server.client.all_jobs(task="sleep"):
        server.client.post(f"/v1/jobs/{one['id']}/cancel")
    ended = server.client.wait(job)
    assert ended["state"] == "succeeded" and ended["attempt"] == 2 and ended["lost"] == 0


# ── HEAD and ETag ──


def test_every_get_route_answers_head_with_the_same_head(client):
    job = client.submit("echo", {"n": 1}, wait=10)["id"]
    batch = client.post("/v1/jobs/bulk?batch=true", data='{"task":"echo"}',
                        headers={"Content-Type": "application/x-ndjson"}).json()["batch"]
    assert client.put("/v1/schedules/yearly", {"cron": "@yearly", "job": {"task": "echo"}}).status_code == 201
    names = {"/batches/{id}": f"/batches/{batch}", "{id}": job, "{task}": "echo", "{queue}": "default",
             "{schedule}": "yearly"}
    paths = [line.split()[1] for line in run_forkpool("routes").stdout.splitlines() if line.startswith("GET ")]
    assert len(paths) > 15
    for path in paths:
        for name, value in names.items():
            path = path.replace(name, value)
        get, head = client.get(path), client.request("HEAD", path)
        assert get.status_code == head.status_code == 200, path
        assert head.content == b"" and head.headers.get("Content-Type") == get.headers.get("Content-Type"), path
        assert head.headers.get("ETag") == get.headers.get("ETag"), path
        if path.startswith(f"/v1/jobs/{job}"):
            assert head.headers["Content-Length"] == str(len(get.content)), path
    assert client.request("HEAD", f"/v1/jobs/{UNKNOWN}").status_code == 404


@pytest.mark.parametrize("path", ["", "/result"])
def test_what_has_not_changed_is_not_sent_again(client, path):
    job = client.submit("echo", {"n": 1}, wait=10)["id"]
    tag = client.get(f"/v1/jobs/{job}{path}").headers["ETag"]
    assert re.fullmatch('"[^"]+"', tag)
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        for method in ("GET", "HEAD"):
            again = client.request(method, f"/v1/jobs/{job}{path}", headers={"If-None-Match": known})
            assert again.status_code == 304 and not again.content and again.headers["ETag"] == tag
    assert client.get(f"/v1/jobs/{job}{path}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_result_has_another_etag(client):
    tags = {client.get(f"/v1/jobs/{client.submit('echo', n, wait=10)['id']}/result").headers["ETag"] for n in range(5)}
    assert len(tags) == 5


# ── tags ──


def found(client, **filters):
    return {job["id"] for job in client.all_jobs(**{key: quote(str(value), safe="") for key, value in filters.items()})}


def test_jobs_are_found_by_their_tags_in_every_state(client):
    done = client.submit("echo", 1, tags=["nightly", "customer 17"], wait=10)
    assert done["tags"] == ["nightly", "customer 17"]
    blockers = busy(client)
    running = client.submit("echo", 1, tags=["other"])
    queued = client.submit("echo", 1, tags=["nightly"], durability="process")
    bare = client.submit("echo", 1)
    assert queued["tags"] == ["nightly"] and bare["tags"] == []
    assert client.job(queued["id"])["tags"] == ["nightly"]
    assert found(client, tag="nightly") == {done["id"], queued["id"]}
    assert found(client, tag="customer 17") == {done["id"]}
    assert found(client, tag="nightly", state="queued") == {queued["id"]}
    assert found(client, tag="night") == found(client, tag="Nightly") == set()
    free(client, blockers)
    for job in (running, queued, bare):
        client.wait(job["id"])
    sleeper = client.submit("sleep", {"seconds": 20}, tags=["é, \"x\""])["id"]
    until(lambda: client.job(sleeper)["state"] == "running", 5)
    assert found(client, state="running", tag="é, \"x\"") == {sleeper}
    assert found(client, state="running", tag="x") == set()
    client.post(f"/v1/jobs/{sleeper}/cancel")
    client.wait(sleeper)
    assert found(client, tag="é, \"x\"", state="cancelled") == {sleeper}


@pytest.mark.parametrize("durability", ["full", "process", "memory"])
def test_tags_outlive_the_slot(client, durability):
    job = client.submit("echo", 1, wait=10, tags=["a", "b"], durability=durability)
    assert job["tags"] == client.job(job["id"])["tags"] == ["a", "b"]
    assert job["id"] in found(client, tag="b")


def test_tags_may_stand_in_the_query(client):
    answer = client.post("/v1/tasks/echo/jobs?tag=a%20b&tag=c&wait=10", 1)
    assert answer.status_code == 200 and answer.json()["tags"] == ["a b", "c"]
    assert code(client.post("/v1/tasks/echo/jobs?priority=1&priority=2", 1), 422) == "invalid_parameter"
    assert code(client.post("/v1/tasks/echo/jobs?tag=", 1), 422) == "invalid_parameter"
    assert code(client.post("/v1/tasks/echo/jobs?" + "&".join(f"tag={n}" for n in range(17)), 1), 422) == "invalid_parameter"
    assert code(client.get("/v1/jobs?tag=a&tag=b"), 422) == "invalid_parameter"
    assert code(client.get("/v1/jobs?tag=" + 65 * "a"), 422) == "invalid_parameter"


@pytest.mark.parametrize("tags", ["a", [1], [""], ["x" * 65], [str(n) for n in range(17)], ["a\n"], None, {"a": 1}])
def test_what_is_no_list_of_tags_is_refused(client, tags):
    answer = client.post("/v1/jobs", {"task": "echo", "tags": tags})
    assert code(answer, 422) == "invalid_field" and answer.json()["errors"][0]["pointer"].startswith("/tags")


# ── lists ──


def test_a_text_is_looked_for_in_task_error_and_id(client):
    bad = client.submit("fail", {"message": "Printer 7 is out of paper", "retryable": False}, wait=10, queue="texts")
    good = client.submit("wordcount", {"a": 1}, wait=10, queue="texts")
    ids = {job["id"] for job in (bad, good)}
    assert found(client, queue="texts", q="out of PAPER") == {bad["id"]}
    assert found(client, queue="texts", q="wordc") == {good["id"]}
    assert found(client, queue="texts", q="no such thing") == set()
    assert found(client, q=bad["id"]) == {bad["id"]}
    assert found(client, q=bad["id"].upper()) == {bad["id"]}
    assert found(client, queue="texts", q=bad["id"][:13]) >= {bad["id"]}
    assert found(client, queue="texts", q=bad["id"][:4]) == ids
    assert found(client, q=bad["id"], state="succeeded") == set()
    sleeper = client.submit("sleep", {"seconds": 20})["id"]
    until(lambda: client.job(sleeper)["state"] == "running", 5)
    assert found(client, q="slee", state="running") == {sleeper} == found(client, q=sleeper, state="running")
    assert found(client, q="echo", state="running") == set()
    client.post(f"/v1/jobs/{sleeper}/cancel")
    for q in ("", "x" * 129):
        assert code(client.get(f"/v1/jobs?q={q}"), 422) == "invalid_parameter"


def test_lists_go_up_and_down_and_their_links_lead_on(client):
    ids = [client.submit("echo", n, queue="sorted", tags=["up & down"], wait=10)["id"] for n in range(12)]
    for sort, expected in (("created", ids), ("-created", ids[::-1])):
        seen, path = [], f"/v1/jobs?q=ech&tag=up%20%26%20down&sort={sort}&limit=5&created_after=2020-01-01T01:00:00%2B01:00"
        while path:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            seen += [job["id"] for job in answer.json()["items"]]
            link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
            assert (link is None) == (answer.json()["next_cursor"] is None)
            path = link and link[1]
        assert seen == expected
    assert [job["id"] for job in client.all_jobs(queue="sorted")] == ids[::-1]


def test_running_jobs_are_sorted_too(client):
    blockers = busy(client)
    assert [job["id"] for job in client.all_jobs(state="running", sort="created", limit=1)] == blockers
    assert [job["id"] for job in client.all_jobs(state="running", limit=1)] == blockers[::-1]
    free(client, blockers)


@pytest.mark.parametrize("sort", ["finished", "", "created,-created", "-finished"])
def test_other_orders_are_refused_with_those_that_there_are(client, sort):
    answer = client.get(f"/v1/jobs?sort={sort}")
    assert code(answer, 422) == "invalid_parameter"
    assert "-created" in answer.json()["detail"] and "created" in answer.json()["detail"].replace("-created", "")


# ── queues ──


def test_a_queue_tells_what_waits_runs_and_has_ended(client):
    for n in range(3):
        client.submit("echo", n, queue="counted", wait=10)
    client.submit("fail", {"retryable": False}, queue="counted", wait=10)
    first = client.submit("sleep", {"seconds": 30}, queue="counted")["id"]
    second = client.submit("sleep", {"seconds": 30})["id"]
    until(lambda: client.job(first)["state"] == client.job(second)["state"] == "running", 5)
    assert client.get("/v1/queues/counted").json()["oldest_queued_seconds"] is None
    for name in ("counted", "elsewhere"):  # so that no job is handed to a worker that is still busy
        client.post(f"/v1/queues/{name}/pause")
    waiting = [client.submit("echo", n, queue="counted", priority=n)["id"] for n in (9, 1)]
    elsewhere = client.submit("echo", 1, queue="elsewhere")["id"]
    time.sleep(0.3)
    queue = client.get("/v1/queues/counted").json()
    assert queue["queue"] == "counted"
    assert queue["jobs"] == {"queued": 2, "running": 1, "retrying": 0, "succeeded": 3, "failed": 1, "cancelled": 0,
                             "scheduled": 0, "blocked": 0}
    assert (queue["waiting"], queue["in_flight"]) == (2, 1)
    assert 0.3 <= queue["oldest_queued_seconds"] < 10
    listed = {one["queue"]: one for one in client.get("/v1/queues").json()["items"]}
    assert {"default", "counted", "elsewhere"} <= set(listed) and list(listed) == sorted(listed)
    assert listed["elsewhere"]["jobs"]["queued"] == 1 and listed["elsewhere"]["oldest_queued_seconds"] >= 0.3
    assert listed["counted"]["jobs"] == queue["jobs"]
    free(client, [first, second])
    for name in ("counted", "elsewhere"):
        client.post(f"/v1/queues/{name}/resume")
    for job in [*waiting, elsewhere]:
        client.wait(job)
    assert client.get("/v1/queues/counted").json()["oldest_queued_seconds"] is None


def test_queues_that_nobody_knows_are_not_found(client):
    for name in ("nowhere", "a%20b", "x" * 200):
        answer = client.get(f"/v1/queues/{name}")
        assert code(answer, 404) == "unknown_queue" and "/v1/queues" in answer.json()["hint"]
    assert client.get("/v1/queues/default").status_code == 200


# ── retention ──


def test_jobs_are_forgotten_when_their_time_is_over(start_server):
    server = start_server(jobs_retain_succeeded="1s", jobs_retain_failed="4s", workers_count=2)
    client = server.client
    good = client.submit("echo", 0, wait=10, headers={"Idempotency-Key": "k"}, tags=["t"])["id"]
    bad = failed(client)["id"]
    cancelled = client.submit("sleep", {"seconds": 30})["id"]
    client.post(f"/v1/jobs/{cancelled}/cancel")
    client.wait(cancelled)
    waiting = client.submit("fail", {}, retry={"initial": 60})["id"]
    assert client.job(good)["state"] == "succeeded"
    until(lambda: client.get(f"/v1/jobs/{good}").status_code == 404, 10, "the success is forgotten")
    assert client.job(bad)["state"] == "failed" and client.job(cancelled)["state"] == "cancelled"
    assert client.submit("echo", 1, wait=10, headers={"Idempotency-Key": "k"})["result"] == 1  # the key is free
    until(lambda: client.get(f"/v1/jobs/{bad}").status_code == 404, 10, "the failure is forgotten")
    until(lambda: client.get(f"/v1/jobs/{cancelled}").status_code == 404, 10, "the cancelled one is forgotten")
    until(lambda: logs_of(server, bad) == [], 5, "its log is unlinked")
    assert client.job(waiting)["state"] == "retrying"
    until(lambda: sum(client.get("/v1/stats").json()["jobs"].values()) == 1, 10, "all that ended is forgotten")
    assert [job["id"] for job in client.all_jobs()] == [waiting]
    server.stop()
    counts_are_right(server)


def counts_are_right(server):
    store = sqlite3.connect(f"file:{server.state}/forkpool.db?mode=ro", uri=True)
    truth = store.execute("SELECT queue, task, state, count(*) FROM jobs GROUP BY 1, 2, 3").fetchall()
    kept = store.execute("SELECT queue, task, state, jobs FROM counts WHERE jobs <> 0 ORDER BY 1, 2, 3").fetchall()
    assert kept == truth
    for table, key in (("attempts", "id_key"), ("keys", "job_key"), ("tagged", "id_key"), ("tags", "id_key")):
        left = store.execute(f"SELECT count(*) FROM {table} WHERE {key} NOT IN (SELECT id_key FROM jobs)").fetchone()
        assert left == (0,), table
    assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_results_are_pruned_before_their_jobs_and_come_back_by_a_retry(start_server):
    server = start_server(jobs_retain_results="1s", workers_count=2)
    client = server.client
    job = client.submit("echo", {"n": 1}, wait=10, headers={"Idempotency-Key": "k"})
    assert job["result"] == {"n": 1} and job["result_pruned"] is False
    path = f"/v1/jobs/{job['id']}"
    until(lambda: client.get(path + "/result").status_code == 410, 10, "the result is pruned")
    answer = client.get(path + "/result")
    assert code(answer, 410) == "pruned" and "retry" in answer.json()["hint"]
    document = client.job(job["id"])
    assert document["state"] == "succeeded" and document["result"] is None and document["result_pruned"] is True
    assert document["args"] == {"n": 1}
    again = client.post("/v1/jobs?wait=5", {"task": "echo", "args": {"n": 1}}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 200 and again.json()["result_pruned"] is True
    assert client.post(path + "/retry").status_code == 202
    assert client.wait(job["id"])["result"] == {"n": 1}
    assert [one["outcome"] for one in client.attempts(job["id"])] == ["success", "success"]
    null = client.submit("echo", None, wait=10)
    assert client.get(f"/v1/jobs/{null['id']}/result").text == "null\n"
    server.stop()
    counts_are_right(server)


def write_tasks(path, jobs, **tasks):
    """{name: settings} as tasks of a configuration file."""
    temporary = path.with_suffix(".new")
    temporary.write_text(yaml.safe_dump({"jobs": jobs, "tasks": [{"name": name, **own} for name, own in tasks.items()]}))
    temporary.rename(path)


def is_there(client, job):
    return client.get(f"/v1/jobs/{job}").status_code == 200


def test_tasks_may_keep_their_jobs_for_times_of_their_own(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    usual = {"retain_succeeded": "2s", "retain_failed": "1h"}
    write_tasks(path, usual, echo={"retain_succeeded": 0}, fail={"retain_failed": "1s"})
    server = start_server(config=path, workers_count=2)
    client = server.client
    kept = client.submit("echo", 1, wait=10)["id"]
    short = failed(client)["id"]
    good = client.submit("wordcount", {"text": "a b"}, wait=10)["id"]
    bad = client.submit("crash", retry=NO_RETRY, wait=20)["id"]
    assert client.job(good)["state"] == "succeeded" and client.job(bad)["state"] == "failed"
    until(lambda: not is_there(client, short), 10, "the failure of a task that keeps it for 1 s is forgotten")
    until(lambda: not is_there(client, good), 10, "the success is forgotten after 2 s")
    until(lambda: logs_of(server, short) == [], 5, "its log is unlinked")
    time.sleep(0.5)
    assert is_there(client, kept) and is_there(client, bad)

    write_tasks(path, usual, echo={"retain_succeeded": "1s"}, crash={"retain_failed": "1s"})
    server.process.send_signal(signal.SIGHUP)
    until(lambda: not is_there(client, kept) and not is_there(client, bad), 10, "what was read again is in force")
    again = failed(client)["id"]
    last = client.submit("echo", 1, wait=10)["id"]
    until(lambda: not is_there(client, last), 10)
    assert is_there(client, again)  # the task has no time of its own any more
    server.stop()
    counts_are_right(server)


def test_a_result_may_be_over_before_a_job_that_its_task_keeps_long(tmp_path, start_server):
    path = tmp_path / "forkpool.yaml"
    write_tasks(path, {"retain_succeeded": "1s", "retain_results": "1s"}, echo={"retain_succeeded": "1h"})
    client = start_server(config=path, workers_count=1).client
    job = client.submit("echo", {"n": 1}, wait=10)["id"]
    until(lambda: client.get(f"/v1/jobs/{job}/result").status_code == 410, 10, "the result is pruned")
    assert client.job(job)["result_pruned"] is True


def test_retention_keeps_up_with_a_stream_of_jobs_and_nobody_waits_for_it(start_server):
    server = start_server(jobs_retain_succeeded="500ms", workers_count=2, store_durability="process")
    client, slowest, sent = server.client, 0, 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        began = time.monotonic()
        client.submit("echo", sent, tags=["stream"] if sent % 5 == 0 else [])
        slowest, sent = max(slowest, time.monotonic() - began), sent + 1
    assert sent > 100 and slowest < 2
    until(lambda: sum(client.get("/v1/stats").json()["jobs"].values()) == 0, 20, "all of them are forgotten")
    assert client.get("/v1/queues/default").json()["jobs"]["succeeded"] == 0
    server.stop()
    counts_are_right(server)


def test_logs_of_a_delete_before_a_kill_of_everything_do_not_stay_for_ever(start_server):
    server = start_server(workers_count=1)
    jobs = [failed(server.client)["id"] for _ in range(20)]
    for job in jobs:
        assert server.client.request("DELETE", f"/v1/jobs/{job}").status_code == 204
    server.kill_everything()
    server.start()
    until(lambda: not any(logs_of(server, job) for job in jobs), 10, "all logs are unlinked")
    server.stop()
