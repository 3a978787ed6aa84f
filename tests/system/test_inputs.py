"""What the jobs before returned is handed to the job that waited for them."""

import json
import shutil

import pytest

from server import ROOT, copy_tasks

SEEN = "#!/bin/sh\ncat \"$FORKPOOL_JOB_INPUTS\"\n"
WITHOUT = "#!/bin/sh\necho \"<${FORKPOOL_JOB_INPUTS-none}>\"\nls /dev/fd/4 2>/dev/null\nexit 0\n"
ONCE_KILLED = """#!/bin/sh
cat <&4 >"$FORKPOOL_JOB_ID.$FORKPOOL_ATTEMPT"
[ "$FORKPOOL_ATTEMPT" -gt 1 ] || kill -KILL $$
cat /dev/fd/4
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = copy_tasks(tmp_path_factory.mktemp("tasks") / "tasks", seen=SEEN, once_killed=ONCE_KILLED,
                        without=WITHOUT)
    shutil.copy(ROOT / "examples" / "total.sh", folder)
    return folder


@pytest.fixture
def client(start_server, tasks):
    server = start_server(tasks_dir=tasks, workers_count=2, jobs_max_inputs="8KiB")
    yield server.client
    server.stop()


def ended(client, task, args=None, **fields):
    job = client.submit(task, args, wait=20, **fields)
    assert job["state"] in ("succeeded", "failed", "cancelled"), job
    return job


def test_results_come_in_the_order_of_after(client):
    slow = client.submit("sleep", {"seconds": 0.3})
    echo = client.submit("echo", {"n": 12345678901234567890, "s": "ü"})
    for after in ([slow["id"], echo["id"]], [echo["id"], slow["id"]]):
        job = ended(client, "seen", after=after)
        assert job["state"] == "succeeded", job
        assert [one["id"] for one in job["result"]] == after
        results = {one["id"]: (one["task"], one["state"], one["result"]) for one in job["result"]}
        assert results[slow["id"]] == ("sleep", "succeeded", {"slept": 0.3})
        assert results[echo["id"]] == ("echo", "succeeded", {"n": 12345678901234567890, "s": "ü"})


def test_a_job_that_had_not_to_wait_gets_them_too(client):
    before = ended(client, "echo", [1])
    job = ended(client, "seen", after=[before["id"]])
    assert [one["result"] for one in job["result"]] == [[1]]


def test_a_failed_one_shows_its_error(client):
    before = ended(client, "fail", {"message": "the printer is on fire", "retryable": False})
    job = ended(client, "seen", after=[before["id"]], after_policy="run")
    (one,) = job["result"]
    assert one["state"] == "failed" and one["result"] is None
    assert one["error"]["code"] == before["error"]["code"] and "on fire" in one["error"]["message"]


def test_what_would_be_too_large_is_left_out(client):
    large, small = ended(client, "echo", "x" * 9000), ended(client, "echo", "y")
    job = ended(client, "seen", after=[large["id"], small["id"]])
    first, second = job["result"]
    assert first["omitted"] is True and first.get("result") is None and first["state"] == "succeeded"
    assert second["result"] == "y" and "omitted" not in second
    fitting = ended(client, "echo", "x" * 6000)
    job = ended(client, "seen", after=[fitting["id"]])
    assert job["result"][0]["result"] == "x" * 6000


def test_a_job_that_waits_for_none_gets_none(client):
    assert ended(client, "without")["result"] == "<none>"


def test_the_arguments_are_its_own(client):
    before = ended(client, "echo", "before")
    assert ended(client, "echo", {"own": 1}, after=[before["id"]])["result"] == {"own": 1}


def test_each_attempt_gets_them_again(client, tasks):
    before = ended(client, "echo", [1, 2])
    job = ended(client, "once_killed", after=[before["id"]], retry={"max_attempts": 2, "initial": 0.01})
    assert job["state"] == "succeeded" and job["attempt"] == 2, job
    seen = [json.loads((tasks / f"{job['id']}.{attempt}").read_text()) for attempt in (1, 2)]
    assert seen[0] == seen[1] == job["result"] and job["result"][0]["result"] == [1, 2]


def test_they_outlive_the_death_of_everything(start_server, tasks):
    server = start_server(tasks_dir=tasks, workers_count=1, name="killed")
    before = server.client.submit("sleep", {"seconds": 1.5})
    job = server.client.submit("seen", after=[before["id"]])
    assert job["state"] == "blocked"
    server.kill_everything()
    server.start()
    job = server.new_client().wait(job["id"])
    assert job["state"] == "succeeded" and job["result"][0]["result"] == {"slept": 1.5}, job
    server.stop()


def test_the_example_adds_up_what_was_counted(client, tmp_path):
    counts = []
    for n, text in enumerate(["one two\nthree\n", "four\n", ""]):
        (tmp_path / str(n)).write_text(text)
        counts.append(client.submit("wordcount", {"path": str(tmp_path / str(n))}))
    job = ended(client, "total", after=[one["id"] for one in counts])
    assert job["result"] == {"jobs": 3, "lines": 3, "words": 4, "bytes": 19}, job


def test_the_example_says_what_it_cannot_add_up(client):
    assert "there is nothing to add up" in ended(client, "total")["error"]["message"]
    before = ended(client, "echo", "no object")
    job = ended(client, "total", after=[before["id"]])
    assert job["state"] == "failed" and job["attempt"] == 1 and before["id"] in job["error"]["message"]
