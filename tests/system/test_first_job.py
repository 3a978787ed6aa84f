"""What a stranger does first: look, run a job, read its answer."""

import hashlib

from client import ID, TIME
from server import ROOT


def test_the_server_says_that_it_lives_and_is_ready(client):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_the_root_gives_curl_a_short_json_index(client):
    answer = client.get("/", headers={"Accept": "*/*"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(answer.json(), dict)


def test_the_version_names_the_program(client):
    assert "0.1.0" in client.get("/version").text


def test_a_job_runs_and_its_result_can_be_read(client):
    answer = client.post("/v1/jobs", {"task": "echo", "args": {"greeting": "hello"}})
    assert answer.status_code == 202
    job = answer.json()
    assert ID.fullmatch(job["id"])
    assert answer.headers["Location"].endswith(f"/v1/jobs/{job['id']}")
    assert job["task"] == "echo" and job["args"] == {"greeting": "hello"}

    ended = client.wait(job["id"])
    assert ended["state"] == "succeeded" and ended["result"] == {"greeting": "hello"}
    assert ended["attempt"] == 1 and ended["errors"] == ended["crashes"] == ended["lost"] == 0
    for member in ("created_at", "started_at", "finished_at"):
        assert TIME.fullmatch(ended[member]), member
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]

    result = client.get(f"/v1/jobs/{job['id']}/result")
    assert (result.status_code, result.json()) == (200, {"greeting": "hello"})


def test_the_readme_is_hashed_by_one_call(client):
    readme = ROOT / "ARCHITECTURE.md"
    readme = readme if readme.exists() else ROOT / "CMakeLists.txt"
    answer = client.post("/v1/tasks/sha256/call?wait=10", {"path": str(readme)})
    assert answer.status_code == 200
    data = readme.read_bytes()
    assert answer.json() == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_shipped_tasks_are_listed_with_their_kinds(client):
    kinds = {task["name"]: task["kind"] for task in client.get("/v1/tasks").json()["items"]}
    shipped = {"echo": "plugin", "sleep": "plugin", "fail": "plugin", "sha256": "plugin", "crash": "plugin",
               "wordcount": "command", "thumbnail": "command"}
    assert kinds.items() >= shipped.items()  # and what somebody put there, as the README says
