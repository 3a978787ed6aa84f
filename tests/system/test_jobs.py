"""Jobs over HTTP: documents, waiting, idempotency, lists, cancelling, retries, logs and attempts."""

import calendar
import json
import time

import pytest

from processes import until

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}


def test_arguments_and_results_come_back_as_they_were_sent(client):
    text = '{"big":12345678901234567890123,"exact":0.1000,"nested":[1,{"é":"\\u00e9\\n"}],"empty":{}}'
    answer = client.post("/v1/jobs?wait=10", '{"task":"echo","args":' + text + "}")
    assert answer.status_code == 200
    assert '"args":' + text in answer.text
    assert client.get(f"/v1/jobs/{answer.json()['id']}/result").text.strip() == text


@pytest.mark.parametrize("args", [None, True, 7, -0.5, "text", [1, 2], {}, {"a": {"b": []}}])
def test_any_json_value_may_be_the_arguments(client, args):
    assert client.submit("echo", args, wait=10)["result"] == args


def test_submitting_by_task_takes_the_body_as_arguments(client):
    answer = client.post("/v1/tasks/echo/jobs?priority=7&wait=10", {"task": "not a field here"})
    assert answer.status_code == 200
    job = answer.json()
    assert job["task"] == "echo" and job["args"] == {"task": "not a field here"} and job["priority"] == 7


def test_options_of_a_job_stand_in_its_document(client):
    job = client.submit("echo", 1, priority=9, timeout=12.5, durability="process", queue="mail",
                        retry={"max_attempts": 7, "backoff": "linear", "initial": 0.25, "max": 3, "jitter": 0})
    assert job["priority"] == 9 and job["timeout"] == 12.5 and job["durability"] == "process"
    assert job["queue"] == "mail" and job["max_attempts"] == 7
    assert job["retry"] == {"max_attempts": 7, "backoff": "linear", "initial": 0.25, "max": 3, "jitter": 0}
    assert client.wait(job["id"])["queue"] == "mail"


@pytest.mark.parametrize("durability", ["full", "process", "memory"])
def test_each_durability_runs_and_is_read_afterwards(client, durability):
    job = client.submit("echo", {"n": 1}, durability=durability)
    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["durability"] == durability and ended["result"] == {"n": 1}
    assert [one["attempt"] for one in client.attempts(job["id"])] == [1]


def test_a_large_result_is_returned_whole(client):
    args = {"text": "é" * 100_000}
    job = client.submit("echo", args, wait=10)
    assert job["state"] == "succeeded"
    assert client.get(f"/v1/jobs/{job['id']}/result").json() == args


# ── waiting ──


def test_a_submit_that_waits_is_answered_at_the_end(client):
    answer = client.post("/v1/jobs", {"task": "sleep", "args": {"seconds": 0.3}}, headers={"Prefer": "wait=10"})
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.json()["state"] == "succeeded"


def test_a_submit_may_be_answered_with_id_and_state_alone(client):
    for prefer, status, state in (("return=minimal", 202, "queued"), ('foo, Return="minimal"; x=1', 202, "queued"),
                                  ("return=minimal, wait=10", 200, "succeeded")):
        answer = client.post("/v1/jobs", {"task": "echo"}, headers={"Prefer": prefer})
        assert (answer.status_code, answer.json()) == (status, {"id": answer.json()["id"], "state": state})
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
        assert "return=minimal" in answer.headers["Preference-Applied"]
        client.wait(answer.json()["id"])
    for prefer in ("return=representation", "return", "returns=minimal", "return=minimalistic-as-can-be"):
        answer = client.post("/v1/jobs", {"task": "echo"}, headers={"Prefer": prefer})
        assert answer.json()["task"] == "echo" and "Preference-Applied" not in answer.headers
    refused = client.post("/v1/jobs", {"task": "none"}, headers={"Prefer": "return=minimal"})
    assert refused.status_code == 422 and refused.json()["code"] == "unknown_task"


def test_a_submit_that_waits_too_short_is_accepted(client):
    began = time.monotonic()
    answer = client.post("/v1/jobs?wait=0.2", {"task": "sleep", "args": {"seconds": 3}})
    assert answer.status_code == 202 and answer.json()["state"] in ("queued", "running")
    assert 0.15 < time.monotonic() - began < 2
    client.post(f"/v1/jobs/{answer.json()['id']}/cancel")
    client.wait(answer.json()["id"])


def test_a_long_poll_returns_when_the_job_ends(client):
    job = client.submit("sleep", {"seconds": 0.5})
    began = time.monotonic()
    answer = client.get(f"/v1/jobs/{job['id']}?wait=20")
    assert answer.json()["state"] == "succeeded" and time.monotonic() - began < 5


def test_a_wait_for_a_failed_job_ends_too(client):
    answer = client.post("/v1/jobs?wait=10", {"task": "fail", "args": {"message": "no", "retryable": False}})
    assert answer.status_code == 200 and answer.json()["state"] == "failed"


def test_a_call_answers_202_when_the_wait_runs_out(client):
    answer = client.post("/v1/tasks/sleep/call?wait=0.1", {"seconds": 2})
    assert answer.status_code == 202 and "Location" in answer.headers
    path = answer.headers["Location"].partition("/v1/")[2]
    client.post(f"/v1/{path}/cancel")


def test_a_call_of_a_failing_task_is_a_problem_naming_the_failure(client):
    answer = client.post("/v1/tasks/fail/call?wait=10", {"message": "out of paper", "retryable": False})
    assert answer.status_code == 500 and answer.json()["code"] == "job_failed"
    assert "out of paper" in answer.text


def test_an_unchanged_document_is_not_sent_again(client):
    job = client.submit("echo", 1, wait=10)
    first = client.get(f"/v1/jobs/{job['id']}")
    again = client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.content


def test_the_result_of_a_waiting_job_is_a_conflict(client):
    job = client.submit("sleep", {"seconds": 5})
    answer = client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.status_code == 409 and answer.json()["code"] == "not_finished"
    client.post(f"/v1/jobs/{job['id']}/cancel")


# ── idempotency ──


def test_the_same_key_and_body_give_the_first_job(client):
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/v1/jobs", {"task": "echo", "args": 1}, headers=headers)
    again = client.post("/v1/jobs", {"task": "echo", "args": 1}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"


def test_the_same_key_with_another_body_is_refused(client):
    headers = {"Idempotency-Key": "order-18"}
    client.post("/v1/jobs", {"task": "echo", "args": 1}, headers=headers)
    other = client.post("/v1/jobs", {"task": "echo", "args": 2}, headers=headers)
    assert other.status_code == 422 and other.json()["code"] == "idempotency_key_reused"


def test_a_replayed_wait_gives_the_result(client):
    headers = {"Idempotency-Key": "order-19"}
    body = {"task": "echo", "args": "x"}
    first = client.post("/v1/jobs?wait=10", body, headers=headers).json()
    again = client.post("/v1/jobs?wait=10", body, headers=headers)
    assert again.json()["id"] == first["id"] and again.json()["result"] == "x"


def test_a_key_holds_for_memory_jobs_too(client):
    headers = {"Idempotency-Key": "order-20"}
    body = {"task": "sleep", "args": {"seconds": 0.2}, "durability": "memory"}
    ids = {client.post("/v1/jobs", body, headers=headers).json()["id"] for _ in range(3)}
    assert len(ids) == 1
    client.wait(ids.pop())


# ── lists ──


def test_lists_page_through_everything_once_newest_first(client):
    ids = [client.submit("echo", n, queue="pages", durability="process")["id"] for n in range(25)]
    for job_id in ids:
        client.wait(job_id)
    seen, path = [], "/v1/jobs?queue=pages&limit=10"
    pages = 0
    while path:
        answer = client.get(path)
        page = answer.json()
        assert len(page["items"]) <= 10
        seen += [job["id"] for job in page["items"]]
        pages += 1
        path = f"/v1/jobs?queue=pages&limit=10&cursor={page['next_cursor']}" if page["next_cursor"] else None
        assert (path is not None) == ('rel="next"' in answer.headers.get("Link", ""))
    assert seen == sorted(ids, reverse=True) and pages in (3, 4)


def test_lists_filter_by_state_task_queue_and_time(client):
    good = client.submit("echo", 1, queue="filters", wait=10)
    bad = client.submit("fail", {"message": "no", "retryable": False}, queue="filters", wait=10)
    running = client.submit("sleep", {"seconds": 20}, queue="filters")
    until(lambda: client.job(running["id"])["state"] == "running", 5)

    def found(**filters):
        return {job["id"] for job in client.all_jobs(queue="filters", **filters)}

    assert found() == {good["id"], bad["id"], running["id"]}
    assert found(state="succeeded") == {good["id"]}
    assert found(state="failed") == {bad["id"]}
    assert found(state="running") == {running["id"]}
    assert found(state="queued") == set()
    assert found(task="fail") == {bad["id"]}
    assert found(created_after=bad["created_at"]) <= {running["id"]}
    assert found(created_before=bad["created_at"]) <= {good["id"]}
    client.post(f"/v1/jobs/{running['id']}/cancel")
    assert client.wait(running["id"])["state"] == "cancelled"


# ── cancelling ──


def busy(client, count=2):
    """Occupies the workers; returns the ids."""
    ids = [client.submit("sleep", {"seconds": 30})["id"] for _ in range(count)]
    until(lambda: all(client.job(one)["state"] == "running" for one in ids), 5)
    return ids


def free(client, ids):
    for one in ids:
        client.post(f"/v1/jobs/{one}/cancel")
    for one in ids:
        client.wait(one)


def test_a_queued_job_is_cancelled_at_once_and_never_runs(client):
    blockers = busy(client)
    job = client.submit("echo", 1)
    answer = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
    free(client, blockers)
    ended = client.job(job["id"])
    assert ended["state"] == "cancelled" and ended["attempt"] == 0
    assert client.attempts(job["id"]) == []


def test_a_running_job_is_asked_to_stop_and_ends_cancelled(client):
    job = busy(client, 1)[0]
    answer = client.post(f"/v1/jobs/{job}/cancel")
    assert answer.status_code == 202 and answer.json()["cancel_requested"] is True
    ended = client.wait(job, 10)
    assert ended["state"] == "cancelled" and ended["attempt"] == 1
    assert ended["errors"] == ended["crashes"] == ended["lost"] == 0


def test_a_finished_job_cannot_be_cancelled(client):
    job = client.submit("echo", 1, wait=10)
    answer = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert answer.status_code == 409 and answer.json()["code"] == "already_finished"
    assert client.job(job["id"])["state"] == "succeeded"


def test_a_job_that_waits_to_be_retried_can_be_cancelled(client):
    job = client.submit("fail", {"message": "later"}, retry={"initial": 60, "max": 60})
    until(lambda: client.job(job["id"])["state"] == "retrying", 5)
    assert client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    ended = client.job(job["id"])
    assert ended["state"] == "cancelled" and ended["attempt"] == 1


# ── retries ──


def test_a_failing_job_is_retried_until_it_succeeds(client):
    job = client.submit("fail", {"message": "not yet", "until_attempt": 3}, retry={"initial": 0.05})
    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["attempt"] == 3 and ended["errors"] == 2
    attempts = client.attempts(job["id"])
    assert [one["attempt"] for one in attempts] == [1, 2, 3]
    assert [one["outcome"] for one in attempts] == ["error", "error", "success"]
    assert "not yet" in attempts[0]["error"]["message"]


def test_a_job_fails_when_its_attempts_are_used_up(client):
    ended = client.submit("fail", {"message": "never"}, wait=20, retry={"max_attempts": 2, "initial": 0.05})
    assert ended["state"] == "failed" and ended["attempt"] == ended["errors"] == 2
    assert "never" in ended["error"]["message"] and ended["error"]["retryable"] is True


def test_a_failure_for_good_is_not_retried(client):
    ended = client.submit("fail", {"message": "bad data", "retryable": False}, wait=10)
    assert ended["state"] == "failed" and ended["attempt"] == 1 and ended["error"]["retryable"] is False


def test_the_wait_between_attempts_grows_as_asked(client):
    job = client.submit("fail", {"message": "x"}, wait=20,
                        retry={"max_attempts": 4, "backoff": "exponential", "initial": 0.2, "max": 10, "jitter": 0})
    attempts = client.attempts(job["id"])
    starts = [milliseconds(one["started_at"]) for one in attempts]
    ends = [milliseconds(one["finished_at"]) for one in attempts]
    waits = [starts[n + 1] - ends[n] for n in range(3)]
    for wait, planned in zip(waits, (200, 400, 800)):
        assert planned - 5 <= wait <= planned + 400, waits


def test_a_fixed_wait_stays_the_same(client):
    job = client.submit("fail", {"message": "x"}, wait=20,
                        retry={"max_attempts": 4, "backoff": "fixed", "initial": 0.2, "jitter": 0})
    attempts = client.attempts(job["id"])
    for before, after in zip(attempts, attempts[1:]):
        wait = milliseconds(after["started_at"]) - milliseconds(before["finished_at"])
        assert 195 <= wait <= 600


def milliseconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(fraction)


def test_a_job_past_its_timeout_is_stopped_and_says_so(client):
    began = time.monotonic()
    ended = client.submit("sleep", {"seconds": 30}, wait=20, timeout=0.3, retry={"max_attempts": 1})
    assert ended["state"] == "failed" and ended["error"]["code"] == "timeout"
    assert ended["errors"] == 1 and ended["crashes"] == ended["lost"] == 0
    assert time.monotonic() - began < 5
    assert [one["outcome"] for one in client.attempts(ended["id"])] == ["timeout"]


# ── order ──


def test_urgent_jobs_overtake_and_equals_keep_their_order(client):
    blockers = busy(client)
    low = [client.submit("echo", n, priority=1)["id"] for n in range(5)]
    middle = [client.submit("echo", n)["id"] for n in range(5)]
    high = [client.submit("echo", n, priority=9)["id"] for n in range(5)]
    client.post(f"/v1/jobs/{blockers[0]}/cancel")  # one worker: the order of starts is the order of running
    client.wait(blockers[0])
    ended = {one: client.wait(one) for one in low + middle + high}
    assert all(job["state"] == "succeeded" for job in ended.values())
    order = sorted(ended, key=lambda one: (ended[one]["started_at"], ended[one]["finished_at"]))
    ranks = {one: ended[one]["started_at"] for one in order}
    for earlier, later in ((high, middle), (middle, low)):
        assert max(ranks[one] for one in earlier) <= min(ranks[one] for one in later)
    for group in (high, middle, low):
        starts = [ranks[one] for one in group]
        assert starts == sorted(starts)
    free(client, blockers[1:])


# ── logs and attempts ──


def test_each_attempt_has_a_log_of_its_own(client):
    job = client.submit("fail", {"message": "no luck", "until_attempt": 2}, wait=10, retry={"initial": 0.05})
    assert job["state"] == "succeeded"
    log = client.get(f"/v1/jobs/{job['id']}/log?attempt=1")
    assert log.status_code == 200 and log.headers["Content-Type"].startswith("text/plain")
    assert "no luck" in log.text
    assert client.get(f"/v1/jobs/{job['id']}/log").text == ""


def test_an_attempt_records_who_ran_it_and_what_it_used(client):
    job = client.submit("echo", 1, wait=10)
    one = client.attempts(job["id"])[0]
    assert one["outcome"] == "success" and one["worker"] in (0, 1)
    assert one["cpu_seconds"] >= 0 and one["started_at"] <= one["finished_at"]
    assert job["run_seconds"] >= 0 and job["wait_seconds"] >= 0


def test_the_log_of_an_unknown_attempt_is_not_found(client):
    job = client.submit("echo", 1, wait=10)
    answer = client.get(f"/v1/jobs/{job['id']}/log?attempt=9")
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_attempt"


def test_many_jobs_of_many_sizes_all_come_back_right(server, client):
    jobs = {}
    for n in range(300):
        args = {"n": n, "pad": "x" * (n * 37 % 5000)}
        jobs[client.submit("echo", args, durability=("full", "process", "memory")[n % 3])["id"]] = args
    for job_id, args in jobs.items():
        ended = client.wait(job_id)
        assert ended["state"] == "succeeded" and ended["result"] == args and ended["attempt"] == 1
    assert json.loads(client.get("/v1/stats").text)
