"""Jobs of one bulk request that wait for each other, and the batches that they make."""

import pytest

from processes import until
from test_bulk import LINES_MAX, UNKNOWN, accepted, bulk, count, echo, refused, statuses

SERVER = {"workers_count": 2}


def batch(client, batch_id, query=""):
    answer = client.get(f"/v1/batches/{batch_id}{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def batch_ended(client, batch_id, seconds=30):
    until(lambda: batch(client, batch_id)["finished_at"], seconds, f"the end of batch {batch_id}")
    return batch(client, batch_id)


# ── graphs ──


def test_refs_may_stand_before_and_behind(client):
    body = accepted(client, [echo("last", after=["@mid"]), echo("mid", ref="mid", after=["@first"]), echo("first", ref="first")])
    last, mid, first = [client.wait(one) for one in body["ids"]]
    assert last["after"] == [mid["id"]] and mid["after"] == [first["id"]] and mid["ref"] == "mid"
    assert {one["state"] for one in (last, mid, first)} == {"succeeded"}
    assert last["started_at"] >= mid["finished_at"] and mid["started_at"] >= first["finished_at"]
    assert last["batch"] == mid["batch"] == body["batch"]


def test_refs_and_ids_may_stand_together(client):
    before = client.submit("echo", 1)["id"]
    body = accepted(client, [echo(2, ref="a"), echo(3, after=[before, "@a"])])
    assert client.wait(body["ids"][1])["after"] == [before, body["ids"][0]]


def test_an_unknown_ref_is_named_with_what_was_meant(client):
    problem = refused(bulk(client, [echo(1, ref="fetch"), echo(2, after=["@fecth"])]), 422, "unknown_dependency",
                      "line 2: ", "@fecth", "did you mean @fetch?")
    assert problem["errors"][0]["pointer"] == "/2/after"


def test_a_ref_is_given_once(client):
    refused(bulk(client, [echo(1, ref="a"), echo(2, ref="a")]), 422, "invalid_field", "line 2: ", "line 1")


def test_who_waits_for_a_bad_line_is_no_fault_of_its_own(client):
    problem = refused(bulk(client, [echo(1, ref="a", priority=99), echo(2, after=["@a"])]), 422, "invalid_field", "line 1: ")
    assert [error["line"] for error in problem["errors"]] == [1]


def test_a_circle_is_named_in_its_order(client):
    before = count(client)
    jobs = [echo(1, ref="a", after=["@b"]), echo(2, ref="b", after=["@c"]), echo(3, ref="c", after=["@a"])]
    refused(bulk(client, jobs), 422, "dependency_cycle", "line 1: ", "a → b → c → a")
    refused(bulk(client, [echo(1, ref="me", after=["@me"])]), 422, "dependency_cycle", "me → me")
    refused(bulk(client, [echo(1, ref="x", after=["@sum"]), echo(2, ref="sum", after=["@batch"])]), 422,
            "dependency_cycle", "x → sum → @batch → x")
    assert count(client) == before
    answers = statuses(bulk(client, jobs + [echo(4, after=["@a"]), echo(5)], "?atomic=false"))
    assert [one.get("code") for one in answers] == ["dependency_cycle"] * 3 + ["unknown_dependency", None]


def test_a_chain_as_long_as_a_request(start_server):
    server = start_server(workers_count=4, store_durability="process")
    jobs = [echo(n, ref=f"j{n}", after=[f"@j{n + 1}"]) for n in range(LINES_MAX - 1)] + [echo("first", ref=f"j{LINES_MAX - 1}")]
    body = accepted(server.client, jobs)
    ended = batch_ended(server.client, body["batch"], 120)
    assert ended["succeeded"] == LINES_MAX and ended["state"] == "succeeded"
    assert server.client.job(body["ids"][0])["state"] == "succeeded"
    closed = jobs[:-1] + [echo("first", ref=f"j{LINES_MAX - 1}", after=["@j0"])]
    refused(bulk(server.client, closed), 422, "dependency_cycle", "j0 → j1 →", "→ j0")
    server.stop()


# ── batches ──


def test_a_batch_tells_how_far_it_is(client):
    assert client.post("/v1/queues/steps/pause").status_code == 200
    jobs = [echo(1), echo(2), echo(3, ref="slow", queue="steps"), echo(4, ref="sum", after=["@batch"])]
    body = accepted(client, jobs)
    until(lambda: batch(client, body["batch"])["succeeded"] == 2, 10)
    half = batch(client, body["batch"])
    assert (half["state"], half["finished_at"]) == ("running", None)
    assert (half["jobs"], half["waiting"], half["failed"], half["cancelled"]) == (3, 1, 0, 0)
    assert half["progress"] == pytest.approx(0.6667) and half["id"] == body["batch"]
    assert client.job(body["ids"][3])["state"] == "blocked"
    nodes = half["graph"]["nodes"]
    assert [node["id"] for node in nodes] == body["ids"] and half["graph"]["next_cursor"] is None
    assert nodes[2] == {"id": body["ids"][2], "ref": "slow", "task": "echo", "state": "queued", "after": []}
    assert nodes[3] == {"id": body["ids"][3], "ref": "sum", "task": "echo", "state": "blocked", "after": [body["batch"]],
                        "follower": True}
    assert client.post("/v1/queues/steps/resume").status_code == 200
    ended = batch_ended(client, body["batch"])
    assert ended["state"] == "succeeded" and ended["progress"] == 1 and ended["waiting"] == 0
    assert client.wait(body["ids"][3])["state"] == "succeeded"


def test_a_follower_runs_once_all_have_succeeded(client):
    body = accepted(client, [echo(n) for n in range(20)] + [echo("sum", ref="sum", after=["@batch"]),
                                                           echo("mail", after=["@sum", "@batch"])])
    total, mail = client.wait(body["ids"][20]), client.wait(body["ids"][21])
    assert total["state"] == mail["state"] == "succeeded"
    assert total["started_at"] >= max(client.job(one)["finished_at"] for one in body["ids"][:20])
    assert mail["started_at"] >= total["finished_at"]


def test_a_follower_of_nobody_is_refused(client):
    assert client.post("/v1/queues/lead/pause").status_code == 200
    lead = echo("lead", queue="lead", unique={"key": "lead", "on_conflict": "return"})
    first = accepted(client, [lead, echo(1, after=["@batch"])])
    before = count(client)
    refused(bulk(client, [lead, echo(2, after=["@batch"])]), 422, "unknown_dependency", "line 2: ", "@batch", "stood already")
    lead["unique"]["on_conflict"] = "reject"
    lines = statuses(bulk(client, [lead, echo(3, after=["@batch"])], "?atomic=false"))
    assert [one["status"] for one in lines] == [409, 422] and "@batch" in lines[1]["detail"]
    assert count(client) == before
    client.post("/v1/queues/lead/resume")
    assert client.wait(first["ids"][1])["state"] == "succeeded"


@pytest.mark.parametrize("policy, state", [("cancel", "cancelled"), ("fail", "failed"), ("run", "succeeded")])
def test_a_follower_of_a_batch_that_failed_does_as_its_policy_says(client, policy, state):
    jobs = [echo(1), {"task": "fail", "args": {"message": "no", "retryable": False}}, {"task": "sleep", "args": {"seconds": 0.3}}]
    body = accepted(client, jobs + [echo("sum", after=["@batch"], after_policy=policy)])
    follower = client.wait(body["ids"][3])
    assert follower["state"] == state
    ended = batch_ended(client, body["batch"])
    assert ended["state"] == "failed" and (ended["succeeded"], ended["failed"]) == (2, 1)
    if policy == "run":
        assert follower["started_at"] >= ended["finished_at"]


def test_running_jobs_of_a_batch_are_shown_as_running(client):
    body = accepted(client, [{"task": "sleep", "args": {"seconds": 30}}], "?batch=true")
    until(lambda: batch(client, body["batch"])["graph"]["nodes"][0]["state"] == "running", 10)
    assert client.post(f"/v1/jobs/{body['ids'][0]}/cancel?wait=10").status_code in (200, 202)
    ended = batch_ended(client, body["batch"])
    assert (ended["state"], ended["cancelled"]) == ("failed", 1)


def test_a_batch_comes_in_pages(client):
    body = accepted(client, [echo(n) for n in range(250)], "?batch=true")
    ids, cursor, pages = [], "", 0
    while cursor is not None:
        graph = batch(client, body["batch"], f"?limit=100{'&cursor=' + cursor if cursor else ''}")["graph"]
        ids += [node["id"] for node in graph["nodes"]]
        cursor, pages = graph["next_cursor"], pages + 1
    assert ids == body["ids"] and pages == 3
    assert len(batch(client, body["batch"])["graph"]["nodes"]) == 100
    for query in ("?limit=0", "?limit=1001", "?cursor=zz"):
        assert client.get(f"/v1/batches/{body['batch']}{query}").status_code == 422


def test_refs_make_a_batch_unless_the_query_says_otherwise(client):
    jobs = [echo(1, ref="a"), echo(2, after=["@a"])]
    assert "batch" in accepted(client, jobs)
    assert "batch" not in accepted(client, jobs, "?batch=false")
    assert "batch" in accepted(client, [echo(1)], "?batch=true")
    refused(bulk(client, [echo(1), echo(2, after=["@batch"])], "?batch=false"), 422, "invalid_field", "line 2: ", "batch=false")


def test_without_atomic_the_batch_stands_in_location(client):
    answer = bulk(client, [echo(1, ref="a"), {"task": "nope"}, echo(2, after=["@batch"])], "?atomic=false")
    lines = statuses(answer)
    assert [one["status"] for one in lines] == [202, 422, 202]
    ended = batch_ended(client, answer.headers["Location"].rpartition("/")[2])
    assert ended["jobs"] == 1
    assert client.wait(lines[2]["id"])["state"] == "succeeded"


@pytest.mark.parametrize("name", [UNKNOWN, "nope", "bulk"])
def test_an_unknown_batch_is_no_batch(client, name):
    refused(client.get(f"/v1/batches/{name}"), 404, "unknown_batch", name)
    refused(client.post(f"/v1/batches/{name}/cancel"), 404, "unknown_batch", name)


def test_a_batch_can_be_cancelled_as_a_whole(client):
    jobs = [echo(1), {"task": "sleep", "args": {"seconds": 30}, "ref": "long"}, echo(2, delay=300)]
    jobs += [echo(n, after=["@long"]) for n in range(600)] + [echo("sum", after=["@batch"], after_policy="run")]
    body = accepted(client, jobs)
    other = client.submit("echo", 1, delay=300)["id"]
    client.wait(body["ids"][0])
    until(lambda: client.job(body["ids"][1])["state"] == "running", 10)
    links = batch(client, body["batch"])["links"]
    answer = client.post(links["cancel"])
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert done["action"] == "cancel" and done["asked"] == 1 and done["done"] == 602 and not done["more"]
    ended = batch_ended(client, body["batch"])
    assert (ended["state"], ended["succeeded"], ended["cancelled"]) == ("failed", 1, 602)
    assert client.wait(body["ids"][-1])["state"] == "cancelled"
    assert client.job(other)["state"] == "scheduled"
    assert client.post(f"/v1/jobs/{other}/cancel").status_code == 200
    assert len(client.get(links["jobs"] + "&limit=1000").json()["items"]) == len(jobs)
