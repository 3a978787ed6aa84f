"""Whether a job is accepted: start_within by what the dispatcher knows, max_depth by all that wait, drains; and how it is said."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from processes import until
from server import Server
from test_jobs import busy, free
from test_scheduling import code, codes, document, why

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}


def ask(client, within, queue="default", task="echo", **fields):
    return client.post("/v1/jobs", {"task": task, "args": fields.pop("args", 1), "queue": queue, "start_within": within, **fields})


def refused(answer, *words):
    """The problem; nothing was accepted."""
    assert code(answer, 429) == "cannot_start_in_time", answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    for word in words:
        assert word in answer.json()["detail"], answer.json()
    return answer.json()


def accepted(client, answer, queue):
    assert answer.status_code == 202, answer.text
    assert answer.json()["queue"] == queue
    return client.wait(answer.json()["id"])


# ── start_within ──


def test_with_a_free_worker_a_job_starts_at_once(client):
    assert accepted(client, ask(client, 0.01, "at-once"), "at-once")["state"] == "succeeded"


def test_busy_workers_whose_runs_were_not_measured_yet_are_named(start_server):
    client = start_server(workers_count=3, jobs_kill_after="500ms").client
    blocked = busy(client, 3)
    refused(ask(client, 0.5, "empty"), "nobody knows", "the workers of the pool default run 3 jobs, and 0 go before it",
            "has not been measured yet")
    free(client, blocked)
    until(lambda: ask(client, 0.5, "empty").status_code == 202, 10)


def test_busy_workers_are_waited_for_as_long_as_their_jobs_ran_so_far(start_server):
    client = start_server(workers_count=1).client
    client.submit("sleep", {"seconds": 3}, wait=30)
    running = client.submit("sleep", {"seconds": 3})["id"]
    until(lambda: client.job(running)["state"] == "running", 10)
    problem = refused(ask(client, 0.5), "the job would start in about", "not within 0.5 s", "run 1 job, and 0 go before it")
    assert "hint" in problem
    answer = ask(client, 60)
    assert answer.status_code == 202, answer.text
    said = why(client, answer.json()["id"])
    assert said["state"] != "queued" or 0 <= said["estimate_seconds"] <= 4
    assert client.wait(answer.json()["id"])["state"] == "succeeded"


def test_of_many_at_once_only_as_many_are_accepted_as_workers_are_free(start_server):
    client = start_server(workers_count=2, jobs_kill_after="500ms").client
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: ask(client, 0.5, f"rush-{n % 3}", "sleep", args={"seconds": 30}), range(12)))
    ids = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert len(ids) == 2 and all(code(one, 429) == "cannot_start_in_time" for one in answers if one.status_code != 202)
    until(lambda: all(client.job(one)["state"] == "running" for one in ids), 10)
    free(client, ids)


@pytest.mark.parametrize("path, queue, words", [
    ("/v1/queues/still", "still", "the queue still is paused"), ("/v1/tasks/echo", "other", "the task echo is paused"),
    ("/v1", "other", "everything is paused")])
def test_a_pause_is_named_with_what_ends_it(client, path, queue, words):
    document(client.post(f"{path}/pause"))
    try:
        problem = refused(ask(client, 1, queue), words, "nobody knows whether the job would start within 1 s")
        assert f"POST {path}/resume" in problem["hint"]
    finally:
        document(client.post(f"{path}/resume"))
    until(lambda: ask(client, 1, queue).status_code == 202, 10)


def test_a_rate_that_is_used_up_is_named(client):
    document(client.patch("/v1/queues/hourly", {"rate": "1/h"}))
    assert accepted(client, ask(client, 1, "hourly"), "hourly")["state"] == "succeeded"
    answer = ask(client, 1, "hourly")
    refused(answer, "not within 1 s", "the queue hourly may start 1/h (rate), and 0 go before it")
    assert int(answer.headers["Retry-After"]) > 3000


def test_a_concurrency_that_is_used_up_is_named(client):
    document(client.patch("/v1/queues/few", {"concurrency": 1}))
    running = client.submit("sleep", {"seconds": 30}, queue="few")["id"]
    until(lambda: client.job(running)["state"] == "running", 10)
    refused(ask(client, 1, "few"), "the queue few may run 1 at a time (concurrency), 1 runs, and 0 go before it")
    refused(ask(client, 0.5, "few", concurrency_key="k"), "the queue few may run 1")
    free(client, [running])


def test_a_key_that_runs_is_named(client):
    running = client.submit("sleep", {"seconds": 30}, concurrency_key="customer-7")["id"]
    until(lambda: client.job(running)["state"] == "running", 10)
    refused(ask(client, 1, concurrency_key="customer-7"), "the concurrency_key customer-7 may run 1 at a time")
    assert ask(client, 1, concurrency_key="customer-8").status_code == 202
    free(client, [running])


def test_a_repeated_request_is_answered_however_late_it_would_start(client):
    headers = {"Idempotency-Key": "late-1"}
    body = {"task": "echo", "queue": "late", "start_within": 5}
    first = client.post("/v1/jobs", body, headers=headers)
    assert first.status_code == 202, first.text
    document(client.post("/v1/queues/late/pause"))
    again = client.post("/v1/jobs", body, headers=headers)
    assert again.status_code == 202 and again.json()["id"] == first.json()["id"]
    refused(client.post("/v1/jobs", body, headers={"Idempotency-Key": "late-2"}), "the queue late is paused")
    document(client.post("/v1/queues/late/resume"))


def test_a_waited_submit_with_start_within_gets_its_result(client):
    answer = client.post("/v1/tasks/echo/call?start_within=10", {"n": 1})
    assert answer.status_code == 200 and answer.json() == {"n": 1}, answer.text


# ── why, while a job lies out for a worker ──


@pytest.mark.parametrize("path, limit", [("/v1/queues/cc", {"concurrency": 1}), ("/v1/tasks/echo", {"concurrency": 1}),
                                         ("/v1/queues/cc", {"rate": "1/m"})])
def test_a_job_is_not_held_up_by_itself(start_server, path, limit):
    client = start_server(workers_count=2, jobs_kill_after="500ms").client
    blocked = busy(client)
    document(client.patch(path, limit))
    first, second = (client.submit("echo", n, queue="cc")["id"] for n in range(2))
    for _ in range(20):  # out, taken back, and out again
        said = why(client, first)
        assert (said["position"], codes(said)) == (0, ["next"]), said
        said = why(client, second)
        assert (said["position"], codes(said)) == (1, ["behind_others"]), said
        time.sleep(0.02)
    free(client, blocked)
    assert client.wait(first)["state"] == "succeeded"


# ── max_depth ──


def full(client, queue, **fields):
    answer = client.post("/v1/jobs", {"task": "echo", "queue": queue, **fields})
    assert code(answer, 429) == "queue_full", answer.text
    return answer


@pytest.mark.parametrize("fields", [{}, {"delay": 300}, {"after": True}])
def test_all_that_wait_count_and_are_refused_alike(client, fields):
    queue = "deep-" + "-".join(fields or ["plain"])
    document(client.patch(f"/v1/queues/{queue}", {"max_depth": 3, "paused": True}))
    first = client.submit("echo", 1, queue=queue)["id"]
    client.submit("echo", 1, queue=queue, after=[first])
    later = client.submit("echo", 1, queue=queue, delay=300)["id"]
    more = {"after": [first]} if "after" in fields else fields
    answer = full(client, queue, **more)
    assert f"the queue {queue} holds 3 waiting jobs, and may hold 3 (max_depth); none of them starts, as it is paused" in \
        answer.json()["detail"]
    assert f"POST /v1/queues/{queue}/resume" in answer.json()["hint"]
    document(client.patch(f"/v1/jobs/{later}", {"scheduled_at": None}))  # what is there already is never refused
    full(client, queue, **more)
    client.post(f"/v1/jobs/{later}/cancel")
    assert client.submit("echo", 1, queue=queue, **more)["id"]
    full(client, queue, **more)
    client.post(f"/v1/queues/{queue}/purge?confirm=true")
    until(lambda: client.post("/v1/jobs", {"task": "echo", "queue": queue, **({} if "after" in more else more)}).status_code == 202, 5)
    client.post(f"/v1/queues/{queue}/purge?confirm=true")
    document(client.post(f"/v1/queues/{queue}/resume"))


def test_what_waits_for_its_time_counts_after_a_restart(start_server):
    server: Server = start_server(workers_count=1)
    document(server.client.patch("/v1/queues/kept", {"max_depth": 2}))
    jobs = [server.client.submit("echo", 1, queue="kept", delay=300)["id"] for _ in range(2)]
    server.kill_everything()
    server.start()
    full(server.client, "kept")
    server.client.post(f"/v1/jobs/{jobs[0]}/cancel")
    assert server.client.submit("echo", 1, queue="kept", wait=10)["state"] == "succeeded"


def test_a_full_queue_that_goes_on_says_when_and_how(client):
    blocked = busy(client)
    document(client.patch("/v1/queues/going", {"max_depth": 1, "concurrency": 1}))
    client.submit("echo", 1, queue="going", delay=1)
    answer = full(client, "going")
    assert "try again in" in answer.json()["detail"] and "paused" not in answer.json()["detail"]
    assert answer.json()["hint"].endswith("raise max_depth: PATCH /v1/queues/going")
    free(client, blocked)


# ── drains ──


def test_a_drained_queue_takes_no_job_that_is_to_be_run_again(client):
    job = client.submit("echo", 1, queue="dry", wait=10)["id"]
    elsewhere = client.submit("echo", 1, queue="wet", wait=10)["id"]
    document(client.post("/v1/queues/dry/drain"))
    answer = client.post(f"/v1/jobs/{job}/retry")
    assert code(answer, 503) == "queue_draining" and int(answer.headers["Retry-After"]) >= 1
    assert "the queue dry takes no new jobs: it is being drained; 0 jobs wait in it" in answer.json()["detail"]
    assert answer.json()["hint"] == "POST /v1/queues/dry/resume ends its drain"
    many = document(client.post("/v1/jobs/actions", {"action": "retry", "ids": [job, elsewhere]}))
    assert (many["matched"], many["done"], many["skipped"]) == (2, 1, 1)
    assert many["errors"][0]["code"] == "queue_draining" and many["errors"][0]["id"] == job
    document(client.post("/v1/queues/dry/resume"))
    assert client.post(f"/v1/jobs/{job}/retry").status_code == 202
    assert client.wait(job)["state"] == "succeeded"


def test_a_drain_of_everything_takes_none_either(client):
    job = client.submit("echo", 1, wait=10)["id"]
    document(client.post("/v1/drain"))
    try:
        answer = client.post(f"/v1/jobs/{job}/retry")
        assert code(answer, 503) == "queue_draining" and "everything is being drained" in answer.json()["detail"]
        assert answer.json()["hint"] == "POST /v1/resume ends the drain of everything"
    finally:
        document(client.post("/v1/resume"))
