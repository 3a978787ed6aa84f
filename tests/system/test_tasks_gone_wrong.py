"""Tasks that go wrong, each as its author meets it: the sentence stands in the job, in the server's log and, if the task
cannot be used at all, in /readyz?verbose; the worker goes on, and no process stays behind."""

import os
import signal
import subprocess
import time

import pytest

import processes
from server import ROOT, add_script

SERVER = {"workers_count": 2, "jobs_max_attempts": 1, "jobs_kill_after": "300ms", "jobs_max_result": "64KiB"}

PLUGIN = '#include "forkpool.h"\nstatic int run(struct fp_job *job) { %s }\nFP_PLUGIN({.name = "%s", .run = run});\n'


def compile_plugin(folder, name, text, *flags):
    """Made elsewhere and moved in, so that no reload sees half of it."""
    source, target = folder / f".{name}.c", folder / f".{name}.so"
    source.write_text(text)
    subprocess.run(["cc", "-shared", "-fPIC", "-iquote", str(ROOT / "worker"), "-o", str(target), str(source), *flags],
                   check=True)
    source.unlink()
    target.rename(folder / f"{name}.so")


@pytest.fixture
def tasks(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(start_server, tasks):
    """A server with that folder; at the end of the test it stops cleanly, with the workers it began with."""
    made = []

    def start(workers_survive=True, **config):
        server = start_server(tasks_dir=tasks, **{**SERVER, **config})
        made.append((server, set(server.workers()) if workers_survive else None))
        return server

    yield start
    for server, workers in made:
        if workers is not None:
            assert set(server.workers()) == workers, "a worker died of a task that runs in a process of its own"
            assert not server.events("worker.die")
        nothing_left_of(server)
        server.stop()


def nothing_left_of(server):
    """Of tasks: no child of a worker, and no zombie of anybody's."""
    own = {server.supervisor, *processes.children(server.supervisor)}

    def left():
        found = []
        for name in os.listdir("/proc"):
            stat = name.isdigit() and processes._stat(int(name))  # pylint: disable=protected-access
            if stat and stat[1] in own and int(name) not in own:
                found.append((int(name), stat, processes.title(int(name))))
        return found

    processes.until(lambda: not left(), 5, f"nothing left behind, but there is {left()}")


def reload(server):
    """SIGHUP, until the new catalogue is loaded."""
    before = len(server.events("tasks.load"))
    os.kill(server.supervisor, signal.SIGHUP)
    processes.until(lambda: len(server.events("tasks.load")) > before, 10, "tasks.load")


def broken(server, name, *words):
    """The task is listed as broken with these words: by readyz, in the log, in the list, and to who submits."""
    ready = server.client.get("/readyz?verbose")
    assert ready.status_code == 200, "a broken task does not prevent readiness"
    reason = {one["task"]: one["reason"] for one in ready.json()["broken_tasks"]}.get(name)
    assert reason, (name, ready.text)
    for word in words:
        assert word in reason, (word, reason)
    assert reason in [event["reason"] for event in server.events("task.broken") if event.get("task") == name]
    listed = server.client.get(f"/v1/tasks/{name}").json()
    assert listed["broken"] is True and listed["reason"] == reason
    refused = server.client.post("/v1/jobs", {"task": name})
    assert (refused.status_code, refused.json()["code"]) == (422, "broken_task")
    assert reason in refused.json()["detail"] and "readyz?verbose" in refused.json()["hint"]


def failed(server, job, code, *words, logged=True):
    """The job failed with this code and these words; the log says so too, in the server's own words."""
    assert job["state"] == "failed" and job["error"]["code"] == code, job
    for word in words:
        assert word in job["error"]["message"], (word, job["error"]["message"])
    event = processes.until(lambda: [one for one in server.events("job.fail") if one["job"] == job["id"]], 5, "job.fail")[0]
    assert event["code"] == code and event["level"] == "warn" and event["task"] == job["task"]
    if logged:
        assert event["reason"] == job["error"]["message"]
    return event


# ── tasks that cannot be used at all ──


def test_a_script_that_is_not_executable(serve, tasks):
    (tasks / "report").write_text("#!/bin/sh\necho 1\n")
    (tasks / "notes.txt").write_text("this was never meant to be a task\n")
    server = serve(workers_survive=False)  # a reload replaces them
    broken(server, "report", f"{tasks}/report is not executable", f"chmod +x {tasks}/report")
    assert server.client.get("/v1/tasks/notes").status_code == 404
    (tasks / "report").chmod(0o755)  # as the sentence says
    reload(server)
    assert server.client.get("/readyz?verbose").json() == {"status": "ready", "broken_tasks": [], "broken_files": [],
                                                            "store_full": False}
    assert server.client.submit("report", wait=10)["result"] == 1


def test_it_stops_being_executable_while_the_server_runs(serve, tasks):
    add_script(tasks, "report", "#!/bin/sh\necho 1\n")
    server = serve()
    assert server.client.submit("report", wait=10)["state"] == "succeeded"
    (tasks / "report").chmod(0o644)
    failed(server, server.client.submit("report", wait=10), "task_not_started", "not executable", "chmod +x")
    (tasks / "report").unlink()
    failed(server, server.client.submit("report", wait=10), "task_not_started", f"{tasks}/report does not exist")


def test_a_job_that_waits_for_its_retry_meets_a_task_that_is_broken_by_then(serve, tasks):
    add_script(tasks, "report", "#!/bin/sh\nexit 1\n")
    server = serve(workers_survive=False)
    job = server.client.submit("report", retry={"max_attempts": 2, "backoff": "fixed", "initial": 1, "jitter": 0})
    processes.until(lambda: server.client.job(job["id"])["state"] == "retrying", 5, "retrying")
    (tasks / "report").chmod(0o644)
    reload(server)
    failed(server, server.client.wait(job["id"]), "broken_task", f"{tasks}/report is not executable", "chmod +x")


@pytest.mark.parametrize("first_line, words", [
    ("#!/opt/nowhere/python9", ["interpreter /opt/nowhere/python9 does not exist"]),
    ("#!/usr/bin/env python9", ["interpreter python9 is not installed", "PATH"]),
    ("#!python3", ["full path", "#!/usr/bin/env python3"]),
    ("#!/bin/sh\r", ["CR LF", "Unix line ends"]),
    ("echo hello", ["no #! line", "#!/bin/sh"]),
    ("", ["is empty"]),
])
def test_an_interpreter_is_missing(serve, tasks, first_line, words):
    add_script(tasks, "report", first_line + "\necho 1\n" if first_line else "")
    broken(serve(), "report", f"{tasks}/report", *words)


def test_the_interpreter_goes_away_while_the_server_runs(serve, tasks, tmp_path):
    interpreter = tmp_path / "sh"
    interpreter.symlink_to("/bin/sh")
    add_script(tasks, "report", f"#!{interpreter}\necho 1\n")
    server = serve()
    assert server.client.submit("report", wait=10)["state"] == "succeeded"
    interpreter.unlink()
    job = server.client.submit("report", wait=10, retry={"max_attempts": 2})
    failed(server, job, "task_not_started", f"interpreter {interpreter} does not exist")
    assert job["attempt"] == 2, "it may come back: tried again"
    assert [one["reason"] for one in server.events("job.retry")] == [job["error"]["message"]]


def test_a_plugin_of_another_abi(serve, tasks):
    compile_plugin(tasks, "old", '#include "forkpool.h"\nFP_EXPORT const struct fp_plugin fp_plugin = {7, 0, NULL};\n')
    broken(serve(), "old", f"{tasks}/old.so", "ABI 7", "this server takes 1 to 2", "build it again")


@pytest.mark.parametrize("name, text, words", [
    ("crashes", "__attribute__((constructor)) static void c(void) { __builtin_trap(); }\n", ["crashed", "SIG"]),
    ("leaves", "#include <stdlib.h>\n__attribute__((constructor)) static void c(void) { _Exit(3); }\n",
     ["ended its process", "status 3"]),
    ("hangs", "#include <unistd.h>\n__attribute__((constructor)) static void c(void) { for (;;) pause(); }\n",
     ["did not load within 5 s"]),
    ("symbol", "extern int from_nowhere(void);\nint call(void) { return from_nowhere(); }\n",
     ["cannot be loaded", "undefined symbol: from_nowhere"]),
    ("other", "int x;\n", ["is no plugin", "exports no fp_plugin", "FP_PLUGIN in forkpool.h"]),
])
def test_a_plugin_that_fails_to_load(serve, tasks, name, text, words):
    compile_plugin(tasks, name, text)
    broken(serve(), name, *words)


@pytest.mark.parametrize("content", [b"no object at all\n", b"\x7fELF and then nothing"])
def test_a_plugin_that_is_no_shared_object(serve, tasks, content):
    (tasks / "letter.so").write_bytes(content)
    broken(serve(), "letter", f"{tasks}/letter.so cannot be loaded")


def test_a_plugin_goes_away_while_the_server_runs(serve, tasks):
    compile_plugin(tasks, "late", PLUGIN % ("(void)job; return FP_OK;", "late"))
    server = serve()
    (tasks / "late.so").unlink()  # before any worker has loaded it
    failed(server, server.client.submit("late", wait=10), "task_not_started", f"{tasks}/late.so cannot be loaded",
           "No such file")


def test_there_is_no_tasks_folder(start_server, tmp_path):
    server = start_server(tasks_dir=tmp_path / "taks")
    ready = server.client.get("/readyz?verbose").json()
    assert ready["broken_tasks"] == []
    assert [one["file"] for one in ready["broken_files"]] == [str(tmp_path / "taks")]
    reason = ready["broken_files"][0]["reason"]
    assert "no such folder" in reason and "tasks_dir" in reason and "SIGHUP" in reason
    assert {"file": str(tmp_path / "taks"), "reason": reason}.items() <= server.events("task.broken")[0].items()
    refused = server.client.post("/v1/jobs", {"task": "echo"})
    assert refused.status_code == 422 and refused.json()["code"] == "unknown_task"
    assert f"{tmp_path}/taks: {reason}" in refused.json()["hint"]
    (tmp_path / "taks").mkdir()
    add_script(tmp_path / "taks", "echo", "#!/bin/sh\ncat\n")
    reload(server)
    assert server.client.submit("echo", 5, wait=10)["result"] == 5
    server.stop()


def test_the_tasks_folder_is_a_file_or_goes_away(serve, tasks, start_server, tmp_path):
    (tmp_path / "file").write_text("x")
    server = start_server(name="other", tasks_dir=tmp_path / "file")
    fault, = server.client.get("/readyz?verbose").json()["broken_files"]
    assert fault == {"file": str(tmp_path / "file"), "reason": "it is no folder; tasks_dir names one"}
    server.stop()

    add_script(tasks, "report", "#!/bin/sh\necho 1\n")
    other = serve()
    tasks.rename(tmp_path / "elsewhere")
    failed(other, other.client.submit("report", wait=10), "task_not_started", f"folder {tasks} cannot be entered",
           "No such file")


def test_two_tasks_of_one_name(serve, tasks):
    add_script(tasks, "report.py", "#!/bin/sh\necho py\n")
    add_script(tasks, "report.sh", "#!/bin/sh\necho sh\n")
    compile_plugin(tasks, "twin", PLUGIN % ("(void)job; return FP_OK;", "report"))
    server = serve()
    broken(server, "report.sh", "task report is already defined by report.py", "rename one")
    broken(server, "twin.so", "task report is already defined by report.py", "rename one")
    assert server.client.submit("report", wait=10)["result"] == "py"


def test_files_that_cannot_even_be_listed_as_tasks_are_named(serve, tasks):
    (tasks / "gone").symlink_to(tasks / "nowhere")
    add_script(tasks, "two words", "#!/bin/sh\necho 1\n")
    server = serve()
    faults = {one["file"]: one["reason"] for one in server.client.get("/readyz?verbose").json()["broken_files"]}
    assert "link to nothing" in faults[f"{tasks}/gone"] and "A-Z a-z 0-9" in faults["two words"]
    logged = {event["file"]: event["reason"] for event in server.events("task.broken")}
    assert logged == faults
    assert server.client.get("/v1/tasks").json()["items"] == []


# ── commands that run, and do not do what commands do ──


def test_a_flood_of_output_is_cut_off_and_does_not_go_on_for_ever(serve, tasks):
    add_script(tasks, "flood", "#!/bin/sh\nexec yes\n")
    server = serve()
    began = time.monotonic()
    job = server.client.submit("flood", wait=30)
    failed(server, job, "result_too_large", "more than", "max_result is 65536", "path of a file", "jobs.max_result")
    assert time.monotonic() - began < 10 and job["error"]["retryable"] is False
    assert job["max_rss_bytes"] is None or job["max_rss_bytes"] < 50_000_000


def test_a_flood_by_a_program_that_ignores_sigpipe_ends_too(serve, tasks):
    add_script(tasks, "flood", "#!/bin/sh\ntrap '' PIPE\nwhile head -c 1000000 /dev/zero; do :; done 2>/dev/null\nexit 0\n")
    server = serve()
    failed(server, server.client.submit("flood", wait=30), "result_too_large", "more than")


def test_a_flood_of_log_is_cut_and_the_result_stands(serve, tasks):
    add_script(tasks, "chatty", "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x >&2\necho 7\n")
    server = serve(jobs_max_log="4KiB")
    job = server.client.submit("chatty", wait=30)
    assert job["state"] == "succeeded" and job["result"] == 7
    log = server.client.get(f"/v1/jobs/{job['id']}/log").text
    assert len(log) < 5000 and "the log was cut here, max_log is 4096 bytes" in log


def test_stdin_that_is_never_read(serve, tasks):
    add_script(tasks, "deaf", "#!/bin/sh\nsleep 0.2\necho done\n")
    add_script(tasks, "shut", "#!/bin/sh\nexec <&-\nsleep 0.2\necho done\n")
    server = serve()
    large = "x" * 500_000  # more than a pipe holds
    for name in ("deaf", "shut"):
        began = time.monotonic()
        job = server.client.submit(name, large, wait=10)
        assert job["state"] == "succeeded" and job["result"] == "done" and time.monotonic() - began < 3


def test_a_child_that_forks_away_is_not_waited_for_and_the_log_says_so(serve, tasks, tmp_path):
    add_script(tasks, "leaver", f"#!/bin/sh\nsleep 91 & echo $! >{tmp_path}/pid\necho done\n")
    server = serve()
    began = time.monotonic()
    job = server.client.submit("leaver", wait=10)
    assert job["state"] == "succeeded" and job["result"] == "done" and time.monotonic() - began < 3
    pid = int((tmp_path / "pid").read_text())
    processes.until(lambda: not processes.alive(pid), 3, "what stayed in the group is killed")
    log = server.client.get(f"/v1/jobs/{job['id']}/log").text
    assert "left processes behind" in log and "killed" in log


def test_a_daemon_leaves_its_group_and_the_job_ends_all_the_same(serve, tasks, tmp_path):
    add_script(tasks, "daemon", f"#!/bin/sh\nsetsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 2' &\n"
                                f"while [ ! -s {tmp_path}/pid ]; do sleep 0.02; done\necho done\n")
    server = serve()
    began = time.monotonic()
    job = server.client.submit("daemon", wait=10)
    assert job["state"] == "succeeded" and time.monotonic() - began < 1.9
    assert "left processes behind" in server.client.get(f"/v1/jobs/{job['id']}/log").text
    pid = int((tmp_path / "pid").read_text())
    assert processes.alive(pid), "this is outside of the promise"
    processes.until(lambda: not os.path.exists(f"/proc/{pid}"), 5, "its end is reaped by the supervisor")


def test_a_well_behaved_command_has_no_such_line(serve, tasks):
    add_script(tasks, "pipeline", "#!/bin/sh\nsleep 0.1 | cat\n(sleep 0.1; echo in a subshell >&2) &\nwait\necho 1\n")
    server = serve()
    for _ in range(10):
        job = server.client.submit("pipeline", wait=10)
        assert server.client.get(f"/v1/jobs/{job['id']}/log").text == "in a subshell\n"


def test_a_child_that_ignores_sigterm(serve, tasks):
    add_script(tasks, "stubborn", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n")
    server = serve()
    began = time.monotonic()
    job = server.client.submit("stubborn", wait=10, timeout=0.4)
    assert 0.7 <= time.monotonic() - began < 3
    failed(server, job, "timeout", "timeout of 0.4 s", "nor on SIGTERM", "killed 0.3 s later")
    assert job["error"]["signal"] == signal.SIGKILL
    assert server.events("job.timeout")[0]["job"] == job["id"]


def test_a_child_that_ends_on_sigterm_is_not_said_to_have_been_killed(serve, tasks):
    add_script(tasks, "sleeper", "#!/bin/sh\nexec sleep 93\n")
    server = serve()
    job = server.client.submit("sleeper", wait=10, timeout=0.4)
    failed(server, job, "timeout", "did not end within its timeout of 0.4 s")
    assert "SIGTERM" not in job["error"]["message"] and job["error"]["signal"] == signal.SIGTERM


def test_a_child_that_closes_its_pipes_and_goes_on(serve, tasks):
    add_script(tasks, "silent", "#!/bin/sh\nexec <&- >&- 2>&- 3>&-\nsleep 0.5\n")
    server = serve()
    began = time.monotonic()
    job = server.client.submit("silent", {"x": 1}, wait=10)
    assert job["state"] == "succeeded" and job["result"] is None
    assert 0.5 <= time.monotonic() - began < 3
    assert job["cpu_seconds"] < 0.3, "nobody spins"


@pytest.mark.parametrize("number, words", [
    ("SEGV", ["ended by SIGSEGV (11)", "before the end"]), ("KILL", ["ended by SIGKILL (9)", "outside", "memory"]),
    ("TERM", ["ended by SIGTERM (15)"]), ("ABRT", ["ended by SIGABRT (6)"]),
])
def test_a_child_that_exits_with_a_signal(serve, tasks, number, words):
    add_script(tasks, "dies", f"#!/bin/sh\necho before the end >&2\nkill -{number} $$\nsleep 5\n")
    server = serve()
    job = server.client.submit("dies", wait=10, retry={"max_attempts": 2})
    event = failed(server, job, "killed_by_signal", *words, logged=False)
    assert job["error"]["signal"] == getattr(signal, "SIG" + number) and job["attempt"] == 2
    assert words[0] in event["reason"] and "before the end" not in event["reason"], "what a task says is not logged"
    assert server.client.get(f"/v1/jobs/{job['id']}/log").text == "before the end\n"


def test_an_exit_status_comes_with_the_last_line_of_the_log(serve, tasks):
    add_script(tasks, "typo", "#!/bin/sh\nfrobnicate --all\n")
    server = serve()
    job = server.client.submit("typo", wait=10)
    event = failed(server, job, "exit_status", "exit status 127", "frobnicate", "not found", logged=False)
    assert event["reason"] == "exit status 127"


# ── plugins, which take their worker with them ──


def test_a_plugin_that_crashes_costs_a_worker_and_says_so(serve, tasks):
    compile_plugin(tasks, "bad", PLUGIN % ("(void)job; *(volatile int *)8 = 1; return FP_OK;", "bad"))
    server = serve(workers_survive=False, jobs_max_crashes=2)
    job = server.client.submit("bad", wait=20)
    failed(server, job, "worker_crashed", "took its worker down", "signal 11", "Segmentation fault")
    assert (job["crashes"], job["attempt"]) == (2, 2)
    assert [one["crashes"] for one in server.events("job.crash")] == [1, 2]
    processes.until(server.full_strength, 5, "two workers again")


def test_a_plugin_that_does_not_stop_is_killed_with_its_worker(serve, tasks):
    compile_plugin(tasks, "deaf", PLUGIN % ("(void)job; for (;;) __asm__ volatile(\"\");", "deaf"))
    server = serve(workers_survive=False)
    began = time.monotonic()
    job = server.client.submit("deaf", wait=10, timeout=0.4)
    assert 0.7 <= time.monotonic() - began < 3
    failed(server, job, "timeout", "timeout of 0.4 s", "nor when asked to", "killed with its worker")
    processes.until(server.full_strength, 5, "two workers again")


def test_a_plugin_whose_result_is_no_json(serve, tasks):
    compile_plugin(tasks, "prose", PLUGIN % ('return fp_result(job, "it works", 8);', "prose"))
    server = serve()
    failed(server, server.client.submit("prose", wait=10), "invalid_result", "not JSON", "byte 0")


def test_what_a_plugin_says_stands_in_the_job_and_not_in_the_servers_log(serve, tasks):
    compile_plugin(tasks, "tells", PLUGIN % ('return fp_fail(job, "bad_card", "card 4711 was refused");', "tells"))
    server = serve()
    job = server.client.submit("tells", wait=10)
    event = failed(server, job, "bad_card", "card 4711 was refused", logged=False)
    assert "4711" not in str(event) and event["reason"]
