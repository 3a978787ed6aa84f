"""Jobs that wait for others: when they start, what becomes of them if one does not succeed, and that no death loses one."""

import pytest

from processes import kill, until
from test_jobs import busy, free
from test_schedules import SECOND, jobs_of, put, remove, schedule, verb
from test_scheduling import why

SERVER = {"workers_count": 2, "jobs_kill_after": "500ms"}
UNKNOWN = "018f0000-0000-7000-8000-000000000000"
FOR_GOOD = {"retryable": False, "message": "no"}


@pytest.fixture
def held(client):
    """A job that has not ended until the test lets it: held() is its id, held.free() runs it."""

    class Held:
        def __init__(self):
            self.ids = []

        def __call__(self, task="echo", args=1, **fields):
            self.ids.append(client.submit(task, args, queue="held", **fields)["id"])
            return self.ids[-1]

        def free(self):
            assert client.post("/v1/queues/held/resume").status_code == 200

    assert client.post("/v1/queues/held/pause").status_code == 200
    one = Held()
    yield one
    one.free()
    for job_id in one.ids:
        client.wait(job_id)


def after(client, ids, policy=None, **fields):
    if policy:
        fields["after_policy"] = policy
    return client.submit("echo", "child", after=ids, **fields)


# ── the order ──


def test_a_job_starts_once_all_that_it_waits_for_have_succeeded(client, held):
    first, second = held(), client.submit("sleep", {"seconds": 0.3})["id"]
    child = after(client, [first, second])
    assert child["state"] == "blocked" and child["after"] == [first, second] and child["after_policy"] == "cancel"
    client.wait(second)
    assert client.job(child["id"])["state"] == "blocked"
    held.free()
    ended = client.wait(child["id"])
    assert ended["state"] == "succeeded" and ended["result"] == "child"
    assert ended["started_at"] >= client.job(first)["finished_at"]


def test_what_has_succeeded_already_is_not_waited_for(client):
    done = client.submit("echo", 1, wait=10)["id"]
    child = client.submit("echo", 2, wait=10, after=[done])
    assert child["state"] == "succeeded" and child["after"] == [done]


def test_a_wait_for_the_end_spans_the_time_in_which_it_is_blocked(client):
    parent = client.submit("sleep", {"seconds": 0.4})["id"]
    answer = client.post("/v1/jobs?wait=10", {"task": "echo", "args": 2, "after": [parent]})
    assert answer.status_code == 200 and answer.json()["state"] == "succeeded"
    parent = client.submit("sleep", {"seconds": 0.4})["id"]
    answer = client.post(f"/v1/tasks/echo/call?after={parent}", 7)
    assert answer.status_code == 200 and answer.json() == 7


def test_a_query_names_several_with_commas_or_one_by_one(client, held):
    ids = [held(), held(), held()]
    child = client.post(f"/v1/tasks/echo/jobs?after={ids[0]},{ids[1]}&after={ids[2]}&after_policy=run", 1).json()
    listed = next(one for one in client.all_jobs(state="blocked") if one["id"] == child["id"])
    for seen in (child, client.job(child["id"]), listed):
        assert seen["state"] == "blocked" and seen["after"] == ids and seen["after_policy"] == "run"


def test_a_chain_runs_in_its_order(client):
    chain = [client.submit("echo", 0)["id"]]
    for number in range(1, 30):
        chain.append(client.submit("echo", number, after=chain[-1:])["id"])
    client.wait(chain[-1])
    jobs = [client.job(one) for one in chain]
    assert all(one["state"] == "succeeded" for one in jobs)
    assert all(later["started_at"] >= earlier["finished_at"] for earlier, later in zip(jobs, jobs[1:]))


def test_many_wait_for_one_and_one_waits_for_many(client, held):
    first = held()
    middle = [after(client, [first])["id"] for _ in range(256)]
    last = after(client, middle)
    assert len(client.all_jobs(state="blocked")) == 257
    held.free()
    assert client.wait(last["id"], 60)["state"] == "succeeded"
    assert all(client.job(one)["state"] == "succeeded" for one in middle)


def test_one_with_a_time_waits_for_that_too(client):
    parent = client.submit("sleep", {"seconds": 0.2})["id"]
    child = after(client, [parent], delay=2.5)
    assert child["state"] == "blocked" and child["scheduled_at"] and child["next_attempt_at"] is None
    until(lambda: client.job(child["id"])["state"] == "scheduled", 2)
    ended = client.wait(child["id"])
    assert ended["state"] == "succeeded" and ended["started_at"] >= child["scheduled_at"]


# ── one that does not succeed ──


@pytest.mark.parametrize("policy, state", [(None, "cancelled"), ("cancel", "cancelled"), ("fail", "failed")])
@pytest.mark.parametrize("before", [True, False])
def test_a_job_ends_with_one_before_it_that_fails(client, held, policy, state, before):
    failing = client.submit("fail", FOR_GOOD, wait=10)["id"] if before else held("fail", FOR_GOOD)
    other = held()
    child = after(client, [other, failing], policy)
    grandchild = after(client, [child["id"]], "fail")
    if not before:
        held.free()
    ended = client.wait(child["id"])
    assert ended["state"] == state and ended["attempt"] == 0 and client.attempts(child["id"]) == []
    assert ended["error"]["code"] == "dependency_failed" and failing in ended["error"]["message"]
    assert client.wait(grandchild["id"])["state"] == "failed"
    if before:
        assert client.job(other)["state"] == "queued", "it ended without waiting for the others"


def test_a_job_may_run_all_the_same_once_all_have_ended(client, held):
    failed = client.submit("fail", FOR_GOOD, wait=10)["id"]
    other = held("fail", FOR_GOOD)
    child = after(client, [failed, other], "run")
    assert child["state"] == "blocked"
    held.free()
    assert client.wait(child["id"])["state"] == "succeeded"


def test_a_cancelled_job_takes_those_behind_it_along(client, held):
    parent = held()
    child = after(client, [parent])
    runs = after(client, [parent], "run")
    assert client.post(f"/v1/jobs/{parent}/cancel").status_code == 200
    ended = client.wait(child["id"])
    assert ended["state"] == "cancelled" and parent in ended["error"]["message"]
    assert client.wait(runs["id"])["state"] == "succeeded"


def test_one_that_is_run_again_lets_its_child_be_run_again_behind_it(client, held):
    parent = client.submit("fail", {**FOR_GOOD, "until_attempt": 2}, wait=10)["id"]
    child = after(client, [parent])
    assert client.wait(child["id"])["state"] == "cancelled"
    assert client.post("/v1/tasks/fail/pause").status_code == 200
    assert client.post(f"/v1/jobs/{parent}/retry").status_code == 202
    again = client.post(f"/v1/jobs/{child['id']}/retry")
    assert again.status_code == 202 and again.json()["state"] == "blocked"
    assert client.post("/v1/tasks/fail/resume").status_code == 200
    assert client.wait(child["id"])["state"] == "succeeded"
    assert client.job(parent)["state"] == "succeeded"


# ── while it is blocked ──


def test_a_blocked_job_can_be_cancelled_changed_and_expires(client, held):
    parent = held()
    cancelled, changed = after(client, [parent]), after(client, [parent])
    expires = after(client, [parent], expires_in=0.3)
    assert client.post(f"/v1/jobs/{cancelled['id']}/cancel").json()["state"] == "cancelled"
    answer = client.patch(f"/v1/jobs/{changed['id']}", {"priority": 9, "tags": ["x"], "scheduled_at": None})
    assert answer.status_code == 200 and answer.json()["state"] == "blocked" and answer.json()["priority"] == 9
    assert client.wait(expires["id"])["error"]["code"] == "expired"
    for method, path in (("POST", "/retry"), ("DELETE", "")):
        answer = client.request(method, f"/v1/jobs/{changed['id']}{path}")
        assert answer.status_code == 409 and "blocked" in answer.json()["detail"]
    held.free()
    assert client.wait(changed["id"])["state"] == "succeeded"
    assert client.job(cancelled["id"])["state"] == "cancelled"


def test_why_names_what_it_waits_for(client, held):
    first, second, done = held(), held(), client.submit("echo", 1, wait=10)["id"]
    child = after(client, [done, first, second])["id"]
    said = why(client, child)
    assert said["state"] == "blocked" and said["reason"]["code"] == "blocked" and said["position"] is None
    assert said["reason"]["sentence"] == f"it waits for the job {first}, which is queued, and for 1 more"
    assert said["waits_for"] == {"items": [{"id": one, "task": "echo", "state": "queued"} for one in (first, second)],
                                 "others": 0}
    assert client.post(f"/v1/jobs/{second}/cancel").status_code == 200
    assert client.wait(child)["state"] == "cancelled"
    assert why(client, child)["waits_for"] is None


def test_a_job_of_a_schedule_names_the_one_before_it(client):
    put(client, "waits", SECOND, {"task": "sleep", "args": {"seconds": 8}}, overlap="queue")
    until(lambda: schedule(client, "waits")["made"] >= 2, 10)
    verb(client, "waits", "pause")
    first, second = jobs_of(client, "waits")[:2]
    until(lambda: client.job(first["id"])["state"] == "running", 10)
    said = why(client, second["id"])
    assert said["reason"] == {"code": "blocked", "sentence": f"it waits for the job {first['id']}, the one before it of the "
                                                             "schedule waits, which is running"}
    assert said["waits_for"] == {"items": [{"id": first["id"], "task": "sleep", "state": "running"}], "others": 0}
    job = client.job(second["id"])
    assert (job["after"], job["after_policy"], job["schedule"]) == ([first["id"]], "run", "waits")
    assert client.post(f"/v1/jobs/{second['id']}/cancel").status_code == 200
    assert client.post(f"/v1/jobs/{second['id']}/retry").json()["state"] == "blocked", "it waits again"
    remove(client, "waits")
    free(client, [job["id"] for job in client.all_jobs(tag="waits")])


def test_why_lists_twenty_and_counts_the_others(client, held):
    ids = [held() for _ in range(23)]
    said = why(client, after(client, ids)["id"])
    assert [one["id"] for one in said["waits_for"]["items"]] == ids[:20] and said["waits_for"]["others"] == 3
    assert said["reason"]["sentence"].endswith("and for 22 more")


def test_a_blocked_job_takes_no_worker_and_holds_up_nobody(client, held):
    parent = held()
    for _ in range(20):
        after(client, [parent])
    assert client.submit("echo", 1, wait=10)["state"] == "succeeded"
    assert client.get("/v1/jobs?state=blocked&limit=1").json()["items"][0]["state"] == "blocked"


# ── refused ──


def test_what_there_is_none_of_is_named_with_its_place(client):
    done = client.submit("echo", 1, wait=10)["id"]
    answer = client.post("/v1/jobs", {"task": "echo", "after": [done, UNKNOWN]})
    problem = answer.json()
    assert answer.status_code == 422 and problem["code"] == "unknown_dependency"
    assert problem["errors"][0]["pointer"] == "/after/1" and f"no job and no batch {UNKNOWN}" in problem["detail"]
    answer = client.post(f"/v1/tasks/echo/jobs?after={UNKNOWN}", 1)
    assert answer.status_code == 422 and answer.json()["errors"][0]["parameter"] == "after"


def test_a_job_that_is_in_memory_alone_cannot_be_waited_for(client):
    ids = busy(client)
    memory = client.submit("echo", 1, durability="memory")["id"]
    answer = client.post("/v1/jobs", {"task": "echo", "after": [memory]})
    problem = answer.json()
    assert answer.status_code == 422 and problem["code"] == "unknown_dependency"
    assert f"the job {memory} has the durability memory" in problem["detail"] and "process or full" in problem["hint"]
    free(client, ids)
    client.wait(memory)
    assert client.submit("echo", 2, wait=10, after=[memory])["state"] == "succeeded", "it has ended, so it is stored"


@pytest.mark.parametrize("fields, pointer", [({"after": UNKNOWN}, "/after"), ({"after": []}, "/after"),
                                             ({"after": ["x"]}, "/after/0"), ({"after": [UNKNOWN] * 2}, "/after/1"),
                                             ({"after": ["@first"]}, "/after/0"), ({"after_policy": "run"}, "/after_policy"),
                                             ({"after": [UNKNOWN], "after_policy": "skip"}, "/after_policy"),
                                             ({"after": [UNKNOWN], "durability": "memory"}, "/after"),
                                             ({"after": [UNKNOWN], "start_within": 1}, "/start_within")])
def test_what_is_wrong_is_refused_at_its_place(client, fields, pointer):
    answer = client.post("/v1/jobs", {"task": "echo", **fields})
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_field"
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_too_many_are_told_of_batches(client):
    ids = [f"018f0000-0000-7000-8000-{number:012x}" for number in range(257)]
    answer = client.post("/v1/jobs", {"task": "echo", "after": ids})
    assert answer.status_code == 422 and "1 to 256" in answer.json()["detail"] and "batch" in answer.json()["hint"]


def test_the_jobs_of_a_batch_can_be_asked_for(client):
    assert client.get(f"/v1/jobs?batch={UNKNOWN}").json() == {"items": [], "next_cursor": None}
    answer = client.get("/v1/jobs?batch=first")
    assert answer.status_code == 422 and answer.json()["errors"][0]["parameter"] == "batch"


# ── deaths ──


def test_what_was_blocked_runs_after_the_death_of_everything(start_server):
    server = start_server(workers_count=2, jobs_max_lost=5)
    parent = server.client.submit("sleep", {"seconds": 1.0})["id"]
    failing = server.client.submit("fail", {**FOR_GOOD}, delay=1.0)["id"]
    child, ends, last = (server.client.submit("echo", number, after=[one])["id"]
                         for number, one in enumerate((parent, failing, parent)))
    grandchild = server.client.submit("echo", 3, after=[child, last])["id"]
    until(lambda: server.client.job(parent)["state"] == "running", 5)
    for _ in range(2):
        server.kill_everything()
        server.start()
        assert server.client.job(child)["state"] in ("blocked", "queued", "succeeded")
    assert server.client.wait(grandchild, 40)["state"] == "succeeded"
    assert server.client.wait(ends)["error"]["code"] == "dependency_failed"


def test_what_was_blocked_runs_after_the_death_of_the_front(start_server):
    server = start_server(workers_count=2)
    parent = server.client.submit("sleep", {"seconds": 0.5})["id"]
    children = [server.client.submit("echo", number, after=[parent])["id"] for number in range(50)]
    until(lambda: server.client.job(parent)["state"] == "running", 5)
    kill(server.front())
    for one in children:
        assert server.client.wait(one, 40)["state"] == "succeeded"
