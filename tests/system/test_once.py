"""Uniqueness: of the jobs with one key only one at a time, whatever comes at once, ends, or goes down in between."""

import threading

import pytest

from processes import until
from test_jobs import busy, free

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}


@pytest.fixture
def blocked(client):
    """Both workers are taken until the test is over."""
    ids = busy(client)
    yield ids
    free(client, ids)


def offer(client, args=None, unique=True, task="echo", query="", **fields):
    return client.post("/v1/jobs" + query, {"task": task, "args": args, "unique": unique, **fields})


def accepted(answer):
    assert answer.status_code in (200, 202), answer.text
    assert "Unique-Returned" not in answer.headers
    return answer.json()


def refused(answer, holder):
    """The 409 that names the job which holds the key."""
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["code"] == "duplicate_job" and problem["job_id"] == holder and holder in problem["detail"]
    assert answer.headers["Location"] == f"/v1/jobs/{holder}"
    assert f"({problem['job_state']})" in problem["detail"]
    return problem


def returned(answer, holder):
    assert answer.status_code in (200, 202), answer.text
    assert answer.headers["Unique-Returned"] == "true" and "Idempotency-Replayed" not in answer.headers
    assert answer.headers["Location"] == f"/v1/jobs/{holder}"
    assert answer.json()["id"] == holder
    return answer.json()


# ── the key ──


def test_the_same_task_with_the_same_arguments_is_refused_while_the_first_waits(client, blocked):
    first = accepted(offer(client, {"n": 1, "s": "a b"}))
    assert first["unique"]["on_conflict"] == "reject" and first["unique"]["key"].startswith("args:")
    problem = refused(client.post("/v1/jobs", '{"task":"echo","unique":true,"args":{ "n" : 1, "s" : "a b" }}'), first["id"])
    assert problem["job_state"] == "queued" and first["unique"]["key"] in problem["detail"]
    assert "return" in problem["hint"] and "replace" in problem["hint"]
    accepted(offer(client, {"n": 2, "s": "a b"}))
    accepted(offer(client, {"n": 1, "s": "a b"}, task="sleep"))
    assert client.submit("echo", {"n": 1, "s": "a b"})["state"] == "queued", "one that is not unique minds no key"


def test_a_key_of_ones_own_holds_over_tasks_and_arguments(client, blocked):
    first = accepted(offer(client, 1, {"key": "report of 7"}))
    assert first["unique"] == {"key": "report of 7", "on_conflict": "reject"}
    refused(offer(client, 2, {"key": "report of 7"}, task="sleep"), first["id"])
    accepted(offer(client, 1, {"key": "report of 8"}))


def test_the_options_of_a_query_mean_the_same(client, blocked):
    first = accepted(client.post("/v1/tasks/echo/jobs?unique_key=q-1&unique_period=60", {"n": 1}))
    assert first["unique"] == {"key": "q-1", "period": 60, "on_conflict": "reject"}
    refused(client.post("/v1/tasks/echo/jobs?unique_key=q-1", {"n": 2}), first["id"])
    by_arguments = accepted(client.post("/v1/tasks/echo/jobs?on_conflict=reject", {"q": 1}))
    refused(offer(client, {"q": 1}), by_arguments["id"])
    returned(client.post("/v1/tasks/echo/jobs?on_conflict=return", {"q": 1}), by_arguments["id"])


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_the_key_is_free_once_the_job_has_ended(client, end):
    key = {"key": f"ends-{end}"}
    if end == "cancelled":
        first = accepted(offer(client, 1, key, delay=60))
        refused(offer(client, 1, key), first["id"])
        assert client.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
    else:
        task = "echo" if end == "succeeded" else "fail"
        first = accepted(offer(client, {"retryable": False}, key, task=task, query="?wait=10"))
        assert first["state"] == end
    assert accepted(offer(client, 1, key, query="?wait=10"))["state"] == "succeeded"


def test_a_job_that_expires_gives_its_key_up(client, blocked):
    first = accepted(offer(client, 1, {"key": "expires"}, expires_in=0.3))
    refused(offer(client, 1, {"key": "expires"}), first["id"])
    assert client.wait(first["id"])["error"]["code"] == "expired"
    accepted(offer(client, 1, {"key": "expires"}))


def test_a_job_holds_its_key_between_two_attempts(client):
    first = accepted(offer(client, {}, {"key": "retries"}, task="fail", retry={"initial": 60}))
    until(lambda: client.job(first["id"])["state"] == "retrying", 5)
    assert refused(offer(client, 1, {"key": "retries"}), first["id"])["job_state"] == "retrying"
    assert client.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
    accepted(offer(client, 1, {"key": "retries"}))


def test_a_period_goes_on_after_the_end_and_then_is_over(client):
    key = {"key": "period", "period": 3}
    first = accepted(offer(client, 1, key, query="?wait=10"))
    assert first["state"] == "succeeded" and first["unique"]["period"] == 3
    problem = refused(offer(client, 1, {"key": "period"}), first["id"])
    assert problem["job_state"] == "succeeded" and " until 20" in problem["detail"]
    assert returned(offer(client, 1, {"key": "period", "on_conflict": "return"}), first["id"])["state"] == "succeeded"
    until(lambda: offer(client, 2, key).status_code == 202, 10)


# ── what becomes of the second one ──


def test_return_answers_with_the_first_and_can_wait_for_its_end(client):
    key = {"key": "returns", "on_conflict": "return"}
    first = accepted(offer(client, {"seconds": 0.5}, key, task="sleep"))
    before = len(client.all_jobs())
    assert returned(offer(client, 1, key), first["id"])["task"] == "sleep"
    answer = offer(client, 1, key, query="?wait=10")
    assert answer.status_code == 200 and returned(answer, first["id"])["state"] == "succeeded"
    assert len(client.all_jobs()) == before


def test_a_call_with_return_gets_the_result_of_the_first(client):
    first = accepted(client.post("/v1/tasks/sleep/jobs?unique_key=call", {"seconds": 0.4}))
    answer = client.post("/v1/tasks/echo/call?unique_key=call&on_conflict=return", {"n": 1})
    assert answer.status_code == 200 and answer.json() == {"slept": 0.4}
    assert answer.headers["Unique-Returned"] == "true" and answer.headers["Location"] == f"/v1/jobs/{first['id']}"


@pytest.mark.parametrize("fields", [{}, {"delay": 60}])
def test_replace_cancels_what_waits_and_takes_its_place(client, blocked, fields):
    key = {"key": f"replaced-{len(fields)}", "on_conflict": "replace"}
    first = accepted(offer(client, 1, key, **fields))
    second = accepted(offer(client, 2, key))
    assert second["id"] != first["id"] and second["state"] == "queued"
    gone = client.job(first["id"])
    assert gone["state"] == "cancelled" and gone["error"]["code"] == "replaced" and second["id"] in gone["error"]["message"]
    refused(offer(client, 3, {"key": key["key"]}), second["id"])


def test_replace_takes_the_place_of_one_that_waits_to_retry(client):
    key = {"key": "replaced-retrying", "on_conflict": "replace"}
    first = accepted(offer(client, {}, key, task="fail", retry={"initial": 60}))
    until(lambda: client.job(first["id"])["state"] == "retrying", 5)
    second = accepted(offer(client, 2, key, query="?wait=10"))
    assert second["state"] == "succeeded" and client.job(first["id"])["state"] == "cancelled"


def test_what_runs_does_not_give_way(client):
    key = {"key": "runs", "on_conflict": "replace"}
    first = accepted(offer(client, {"seconds": 30}, key, task="sleep"))
    until(lambda: client.job(first["id"])["state"] == "running", 5)
    problem = refused(offer(client, 1, key), first["id"])
    assert problem["job_state"] == "running" and "it runs already, so it cannot give way" in problem["hint"]
    free(client, [first["id"]])
    assert accepted(offer(client, 1, key, query="?wait=10"))["state"] == "succeeded"


def test_an_idempotency_key_is_looked_at_first(client, blocked):
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/jobs", {"task": "echo", "unique": {"key": "both"}}, headers=headers)
    again = client.post("/v1/jobs", {"task": "echo", "unique": {"key": "both"}}, headers=headers)
    assert again.status_code == 202 and again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true" and "Unique-Returned" not in again.headers
    refused(client.post("/v1/jobs", {"task": "echo", "unique": {"key": "both"}}), first.json()["id"])


def test_a_job_of_durability_memory_cannot_be_unique(client):
    answer = offer(client, 1, durability="memory")
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/unique"
    assert '"durability":"process"' in answer.json()["detail"]
    answer = client.post("/v1/tasks/echo/jobs?durability=memory&on_conflict=return", 1)
    assert answer.status_code == 422 and answer.json()["errors"][0]["parameter"] == "on_conflict"


@pytest.mark.parametrize("unique, pointer", [(False, "/unique"), ("k", "/unique"), ({"key": ""}, "/unique/key"),
                                             ({"key": "x" * 129}, "/unique/key"), ({"period": 0}, "/unique/period"),
                                             ({"on_conflict": "skip"}, "/unique/on_conflict"),
                                             ({"keys": "k"}, "/unique/keys")])
def test_what_is_no_rule_is_refused_at_its_place(client, unique, pointer):
    answer = offer(client, 1, unique)
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == pointer


# ── again ──


def test_a_failed_job_is_run_again_only_if_its_key_is_free(client, blocked):
    key = {"key": "again"}
    first = accepted(offer(client, 1, key))
    assert client.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
    second = accepted(offer(client, 2, key))
    answer = client.post(f"/v1/jobs/{first['id']}/retry")
    problem = refused(answer, second["id"])
    assert first["id"] in problem["detail"] and f"/v1/jobs/{second['id']}?wait=30" in problem["hint"]
    assert client.job(first["id"])["state"] == "cancelled"
    assert client.post(f"/v1/jobs/{second['id']}/cancel").status_code == 200
    assert client.post(f"/v1/jobs/{first['id']}/retry").status_code == 202
    refused(offer(client, 3, key), first["id"])


# ── at once, and after a death ──


def at_once(server, count, body):
    """The answers to the same request, sent by so many clients at the same time."""
    answers, barrier = [None] * count, threading.Barrier(count)

    def send(number):
        client = server.new_client()
        barrier.wait()
        answers[number] = client.post("/v1/jobs", body)
        client.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("on_conflict", ["reject", "return"])
def test_of_many_at_once_exactly_one_is_accepted(server, client, blocked, on_conflict):
    key = f"at-once-{on_conflict}"
    answers = at_once(server, 24, {"task": "echo", "unique": {"key": key, "on_conflict": on_conflict}})
    won = [one for one in answers if one.status_code == 202 and "Unique-Returned" not in one.headers]
    assert len(won) == 1, [one.status_code for one in answers]
    holder = won[0].json()["id"]
    for one in answers:
        if one is not won[0]:
            returned(one, holder) if on_conflict == "return" else refused(one, holder)
    jobs = [one for one in client.all_jobs(task="echo") if one.get("unique", {}).get("key") == key]
    assert [one["id"] for one in jobs] == [holder]


def test_of_many_that_replace_each_other_one_is_left(server, client, blocked):
    key = "at-once-replace"
    answers = at_once(server, 16, {"task": "echo", "unique": {"key": key, "on_conflict": "replace"}})
    ids = {one.json()["id"] for one in answers if one.status_code == 202}
    assert ids, [one.status_code for one in answers]
    states = [client.job(one)["state"] for one in ids]
    assert states.count("queued") == 1 and states.count("cancelled") == len(ids) - 1


def test_a_key_is_held_through_the_death_of_everything(start_server):
    server = start_server(workers_count=1)
    waiting = accepted(offer(server.client, 1, {"key": "waits"}, delay=60))
    ended = accepted(offer(server.client, 1, {"key": "ended", "period": 3600}, query="?wait=10"))
    server.kill_everything()
    server.start()
    assert refused(offer(server.client, 1, {"key": "waits"}), waiting["id"])["job_state"] == "scheduled"
    assert refused(offer(server.client, 1, {"key": "ended"}), ended["id"])["job_state"] == "succeeded"
    assert server.client.post(f"/v1/jobs/{waiting['id']}/cancel").status_code == 200
    accepted(offer(server.client, 1, {"key": "waits"}))
