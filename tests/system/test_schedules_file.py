"""Schedules that the configuration file gives: put into force, changed and removed by a reload; mistakes in their jobs."""

import shutil
import signal

import pytest

from processes import until
from server import TASKS, run_forkpool
from test_schedules import JOB, SECOND, put, schedule, verb

FILE = """schedules:
- name: filed
  cron: "{cron}"
  timezone: Europe/Berlin
  job: {{task: {task}, args: {{n: 7}}, tags: [filed]}}
"""


def reload(server):
    count = len(server.events("config.load"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(server.events("config.load")) > count, 10, "the file was read again")


def test_the_file_gives_schedules(start_server, tmp_path):
    path = tmp_path / "forkpool.yaml"
    path.write_text(FILE.format(cron=SECOND, task="echo"))
    server = start_server(config=path, workers_count=1)
    client = server.client
    until(lambda: client.get("/v1/schedules/filed").status_code == 200, 10)
    until(lambda: schedule(client, "filed")["made"] >= 1, 10)
    assert schedule(client, "filed")["origin"] == "file"
    assert client.wait(schedule(client, "filed")["last_job"])["args"] == {"n": 7}
    for answer in (client.put("/v1/schedules/filed", {"cron": "@daily", "job": JOB}),
                   client.patch("/v1/schedules/filed", {"cron": "@daily"}),
                   client.request("DELETE", "/v1/schedules/filed")):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "SIGHUP" in answer.json()["hint"] and "meanwhile" not in answer.json()["title"]

    verb(client, "filed", "pause")
    before = schedule(client, "filed")
    assert verb(client, "filed", "trigger", 202)["schedule"] == "filed"
    reload(server)
    server.kill_everything()
    server.start()
    assert schedule(server.client, "filed") == before, "unchanged, paused by request, with its past"

    client = server.client
    path.write_text(FILE.format(cron="0 3 1 1 *", task="echo"))
    reload(server)
    until(lambda: schedule(client, "filed")["cron"] == "0 3 1 1 *", 10)
    assert schedule(client, "filed")["paused"] and schedule(client, "filed")["made"] == before["made"]
    assert verb(client, "filed", "resume")["next_at"].endswith("-01-01T02:00:00.000Z")

    path.write_text("schedules: []\n")
    reload(server)
    until(lambda: client.get("/v1/schedules/filed").status_code == 404, 10)
    put(client, "filed", "@daily", JOB)
    server.stop()


def test_a_mistake_in_the_job_of_the_file_shows_before_it_is_due(start_server, tmp_path):
    path = tmp_path / "forkpool.yaml"
    path.write_text(FILE.format(cron="0 3 29 2 *", task="ecko"))
    server = start_server(config=path, workers_count=1)
    until(lambda: server.client.get("/v1/schedules/filed").status_code == 200, 5)  # it is kept before it is in force
    said = until(lambda: schedule(server.client, "filed")["last_error"], 20)
    assert 'did you mean "echo"' in said["message"]
    assert server.events("schedule.fail")[0]["schedule"] == "filed"
    assert server.client.post("/v1/schedules/filed/trigger").json()["code"] == "unknown_task"
    server.stop()


WRONG_JOBS = [
    ("{task: echo, delay: 5}", "skip", "delay makes no sense in the job of a schedule"),
    ("{task: echo, unique: true}", "replace", "uniqueness key"),
    ("{task: echo, unique: {key: k, on_conflict: return}}", "skip", "nobody waits for the answer"),
    ("{task: echo, priority: 11}", "skip", "priority is 11"),
]


def test_a_reload_says_at_once_what_is_wrong_with_the_jobs_in_the_file(start_server, tmp_path):
    path = tmp_path / "forkpool.yaml"
    path.write_text("schedules: []\n")
    server = start_server(config=path, workers_count=1)
    entry = "- {{name: wrong-{}, cron: '0 3 29 2 *', overlap: {}, job: {}}}\n"
    path.write_text("schedules:\n" + "".join(entry.format(n, overlap, job) for n, (job, overlap, _) in enumerate(WRONG_JOBS)))
    reload(server)
    until(lambda: len(server.events("schedule.fail")) == len(WRONG_JOBS), 5, "in the log")
    for n, (_, _, says) in enumerate(WRONG_JOBS):
        assert says in schedule(server.client, f"wrong-{n}")["last_error"]["message"]
        assert any(one["schedule"] == f"wrong-{n}" and says in one["reason"] for one in server.events("schedule.fail"))
        answer = server.client.post(f"/v1/schedules/wrong-{n}/trigger")
        assert answer.status_code == 422 and says in answer.json()["detail"]
    path.write_text("schedules:\n" + entry.format(0, "skip", "{task: echo}"))
    reload(server)
    until(lambda: schedule(server.client, "wrong-0")["last_error"] is None, 5, "mended")
    server.stop()


def test_a_task_that_comes_with_the_same_reload_is_no_mistake(start_server, tmp_path):
    path, tasks = tmp_path / "forkpool.yaml", tmp_path / "tasks"
    tasks.mkdir()
    shutil.copy(TASKS / "echo.so", tasks)
    path.write_text("schedules: []\n")
    server = start_server(config=path, tasks_dir=tasks, workers_count=1)
    (tasks / "fresh").write_text("#!/bin/sh\necho 1\n")
    (tasks / "fresh").chmod(0o755)
    path.write_text(FILE.format(cron="0 3 29 2 *", task="fresh"))
    loads = len(server.events("tasks.load"))
    reload(server)
    until(lambda: len(server.events("tasks.load")) > loads, 10)
    until(lambda: server.client.get("/v1/schedules/filed").status_code == 200, 5)
    assert verb(server.client, "filed", "trigger", 202)["task"] == "fresh"
    assert schedule(server.client, "filed")["last_error"] is None and not server.events("schedule.fail")
    (tasks / "fresh").unlink()
    reload(server)
    said = until(lambda: schedule(server.client, "filed")["last_error"], 10, "it is looked at again with the tasks that are there")
    assert "fresh" in said["message"] and server.events("schedule.fail")
    server.stop()


@pytest.mark.parametrize("text, says", [
    (FILE.format(cron="0 3 * *", task="echo"), ':2:3: the schedule filed has cron "0 3 * *": the expression has 4 fields'),
    (FILE.format(cron="@daily", task="echo").replace("Berlin", "Berln"),
     ":2:3: the schedule filed has timezone Europe/Berln, which is not known; did you mean Europe/Berlin?")])
def test_a_file_that_cannot_be_is_refused_with_its_line(tmp_path, text, says):
    path = tmp_path / "forkpool.yaml"
    path.write_text(text)
    said = run_forkpool("serve", "--config", path, "--store-url", f"sqlite://{tmp_path}/s/forkpool.db")
    assert said.returncode == 78 and f"{path}{says}" in said.stderr
