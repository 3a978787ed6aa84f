"""The table of first mistakes: what a newcomer does, and what comes back. docs/mistakes.md is made of it:

    /usr/bin/python3 tests/system/mistakes.py --write      runs all of them and writes docs/mistakes.md anew
    /usr/bin/python3 tests/system/mistakes.py              prints what it would write

test_mistakes.py runs the same, and compares. How they are run and shown: mistakes_run.py.
"""

from dataclasses import dataclass, field

SUBMIT = "localhost:8080/v1/jobs"
SERVE = "forkpool serve --store-url sqlite:///var/lib/forkpool/other/jobs.db"


@dataclass
class Mistake:
    """`do` are shell commands; the last one is the mistake. ID in them is the id in the answer before; ports and folders
    are those of the documents and become real ones when they run (mistakes_run.py)."""
    title: str
    do: list
    status: int  # of HTTP, or of the program's exit
    code: str = ""  # of the problem, or of the job's error; "" for a program, or where nothing is wrong
    says: tuple = ()  # words of the answer that matter
    instead: str = ""  # what is right; is run too, and must succeed
    files: dict = field(default_factory=dict)  # made before: {"/srv/tasks/x": (mode, text)}
    serve: str = ""  # further flags of a server of its own, which answers at localhost:8080 then
    note: str = ""  # a sentence below


SH = "#!/bin/sh\n"

REQUEST = [
    Mistake("`curl -d` in place of `--json`", ["curl -d '{\"task\":\"echo\"}' " + SUBMIT], 415, "unsupported_media_type",
            ("--json",), "curl --json '{\"task\":\"echo\"}' " + SUBMIT),
    Mistake("A form", ["curl -F task=echo " + SUBMIT], 415, "unsupported_media_type", ("multipart/form-data;", "--json")),
    Mistake("JSON without quotes around it: the shell takes them away", ['curl --json {"task":"echo"} ' + SUBMIT],
            400, "invalid_json", ("line 1", "column 2", "single quotes around"), "curl --json '{\"task\":\"echo\"}' " + SUBMIT),
    Mistake("Single quotes inside", ['curl --json "{\'task\':\'echo\'}" ' + SUBMIT], 400, "invalid_json",
            ("double quotes",), 'curl --json "{\\"task\\":\\"echo\\"}" ' + SUBMIT),
    Mistake("A comma too many", ["curl --json '{\"task\":\"echo\",}' " + SUBMIT], 400, "invalid_json", ("line 1", "column 15")),
    Mistake("A bracket too few", ["curl --json '{\"task\":\"echo\",\"args\":{\"a\":1}' " + SUBMIT], 400, "invalid_json",
            ("end",)),
    Mistake("An empty body", ["curl --json '' " + SUBMIT], 400, "invalid_json", ("empty", "hint: send")),
    Mistake("A member twice", ["curl --json '{\"task\":\"echo\",\"task\":\"sleep\"}' " + SUBMIT], 400, "duplicate_key",
            ("task",)),
    Mistake("Several jobs in a list", ["curl --json '[{\"task\":\"echo\"},{\"task\":\"echo\"}]' " + SUBMIT], 422,
            "invalid_field", ("object",)),
    Mistake("Too large a body", ["head -c 1500000 /dev/zero | tr '\\0' x | sed 's/.*/{\"task\":\"echo\",\"args\":\"&\"}/' | "
                                 "curl --json @- " + SUBMIT], 413, "body_too_large", ("1048576", "http.max_body")),
    Mistake("A wrong path", ["curl localhost:8080/v1/job"], 404, "unknown_path", ("/v1/job", "/v1/jobs"), "curl " + SUBMIT),
    Mistake("The version left out", ["curl localhost:8080/jobs"], 404, "unknown_path", ("/v1/jobs",), "curl " + SUBMIT),
    Mistake("A wrong method", ["curl -X PUT --json '{\"task\":\"echo\"}' " + SUBMIT], 405, "method_not_allowed",
            ("PUT", "POST"), "curl --json '{\"task\":\"echo\"}' " + SUBMIT),
    Mistake("GET where something is to be run", ["curl localhost:8080/v1/tasks/echo/call"], 405, "method_not_allowed",
            ("POST",), "curl --json null localhost:8080/v1/tasks/echo/call"),
    Mistake("HTTP/1.1 without Host", ["curl -H Host: " + SUBMIT], 400, "bad_request", ("Host",)),
    Mistake("A name that the server does not know as its own", ["curl -H 'Host: jobs.example.org' " + SUBMIT], 421,
            "misdirected_request", ("jobs.example.org", "http.hosts")),
    Mistake("A page of another origin, in a browser",
            ["curl -H 'Origin: https://www.example.org' --json '{\"task\":\"echo\"}' " + SUBMIT], 403, "origin_refused",
            ("https://www.example.org",)),
]

JOB = [
    Mistake("A misspelt task", ["curl --json '{\"task\":\"eccho\"}' " + SUBMIT], 422, "unknown_task",
            ('did you mean "echo"', "known tasks"), "curl --json '{\"task\":\"echo\"}' " + SUBMIT),
    Mistake("A misspelt task in the path", ["curl --json '{}' localhost:8080/v1/tasks/sha265/call"], 404, "unknown_task",
            ('did you mean "sha256"',)),
    Mistake("No task", ["curl --json '{\"args\":{\"path\":\"/etc/os-release\"}}' " + SUBMIT], 422, "invalid_field", ("task",)),
    Mistake("A misspelt field", ["curl --json '{\"task\":\"echo\",\"agrs\":1}' " + SUBMIT], 422, "unknown_field",
            ('did you mean "args"',), "curl --json '{\"task\":\"echo\",\"args\":1}' " + SUBMIT),
    Mistake("Arguments beside the task, not in `args`",
            ["curl --json '{\"task\":\"sha256\",\"path\":\"/etc/os-release\"}' " + SUBMIT], 422, "unknown_field", ("path", "belongs into args"),
            "curl --json '{\"task\":\"sha256\",\"args\":{\"path\":\"/etc/os-release\"}}' " + SUBMIT),
    Mistake("`args` where the body is the arguments",
            ["curl --json '{\"args\":{\"path\":\"/etc/os-release\"}}' localhost:8080/v1/tasks/sha256/call"], 500, "job_failed",
            ("path",), "curl --json '{\"path\":\"/etc/os-release\"}' localhost:8080/v1/tasks/sha256/call"),
    Mistake("A string where a number belongs", ["curl --json '{\"task\":\"echo\",\"priority\":\"9\"}' " + SUBMIT], 422,
            "invalid_field", ("priority", "0", "9"), "curl --json '{\"task\":\"echo\",\"priority\":9}' " + SUBMIT),
    Mistake("A unit behind a time", ["curl --json '{\"task\":\"echo\",\"timeout\":\"30s\"}' " + SUBMIT], 422, "invalid_field",
            ("timeout", "seconds"), "curl --json '{\"task\":\"echo\",\"timeout\":30}' " + SUBMIT),
    Mistake("A number beyond its range", ["curl --json '{\"task\":\"echo\",\"priority\":10}' " + SUBMIT], 422,
            "invalid_field", ("priority", "0", "9")),
    Mistake("A misspelt parameter", ["curl --json '{\"task\":\"echo\"}' '" + SUBMIT + "?wiat=5'"], 422, "invalid_parameter",
            ("wiat", "wait"), "curl --json '{\"task\":\"echo\"}' '" + SUBMIT + "?wait=5'"),
    Mistake("A wait with a unit", ["curl --json '{\"task\":\"echo\"}' '" + SUBMIT + "?wait=5s'"], 422, "invalid_parameter",
            ("wait", "seconds")),
    Mistake("Waiting longer than the server lets", ["curl --json '{\"task\":\"echo\"}' '" + SUBMIT + "?wait=3600'"], 422,
            "invalid_parameter", ("wait", "60", "http.max_wait")),
    Mistake("A state that is none", ["curl '" + SUBMIT + "?state=done'"], 422, "invalid_parameter", ("done", "succeeded"),
            "curl '" + SUBMIT + "?state=succeeded'"),
    Mistake("An id that is none", ["curl " + SUBMIT + "/42"], 404, "unknown_job", ("42",)),
    Mistake("An id of another server", ["curl " + SUBMIT + "/0190a5d0-7c1e-7d3a-9c43-5f2e8a9b1c0d"], 404, "unknown_job",
            ("no job",)),
    Mistake("Reading the result too early",
            ["curl --json '{\"task\":\"sleep\",\"args\":{\"seconds\":3}}' " + SUBMIT, "curl " + SUBMIT + "/ID/result"], 409,
            "not_finished", ("wait=30",)),
    Mistake("Reading the result of a job that failed",
            ["curl --json '{\"task\":\"sha256\",\"args\":{\"path\":\"/etc/hots\"}}' '" + SUBMIT + "?wait=10'",
             "curl " + SUBMIT + "/ID/result"], 500, "job_failed", ("/etc/hots",)),
    Mistake("Cancelling what is over",
            ["curl --json '{\"task\":\"echo\"}' '" + SUBMIT + "?wait=10'", "curl -X POST " + SUBMIT + "/ID/cancel"], 409,
            "already_finished", ("succeeded",)),
    Mistake("Retrying what has not ended",
            ["curl --json '{\"action\":\"retry\",\"filter\":{\"state\":\"queued\"}}' " + SUBMIT + "/actions"], 422,
            "invalid_field", ("queued", "retried"),
            "curl --json '{\"action\":\"retry\",\"filter\":{\"state\":\"failed\"}}' " + SUBMIT + "/actions"),
    Mistake("Emptying a queue without saying so", ["curl -X POST localhost:8080/v1/queues/default/purge"], 409,
            "confirmation_needed", ("would be cancelled", "confirm=true"),
            "curl -X POST 'localhost:8080/v1/queues/default/purge?confirm=true'"),
    Mistake("An Idempotency-Key for another request",
            ["curl -H 'Idempotency-Key: order-7' --json '{\"task\":\"echo\",\"args\":1}' " + SUBMIT,
             "curl -H 'Idempotency-Key: order-7' --json '{\"task\":\"echo\",\"args\":2}' " + SUBMIT], 422,
            "idempotency_key_reused", ("order-7",)),
    Mistake("Too much is asked of a page", ["curl '" + SUBMIT + "?limit=100000'"], 422, "invalid_parameter",
            ("limit", "1000")),
]


def call(name, query="", args="{}"):
    return [f"curl --json '{args}' '{SUBMIT.replace('jobs', 'tasks')}/{name}/jobs?wait=20{query}'"]


def script(name, text, mode=0o755):
    return {f"/srv/tasks/{name}": (mode, text)}


TASK = [
    Mistake("A task that is not executable", call("report"), 422, "broken_task", ("chmod +x /srv/tasks/report",),
            files=script("report", SH + "echo 1\n", 0o644)),
    Mistake("An interpreter that is not installed", call("report"), 422, "broken_task", ("python9", "not installed"),
            files=script("report", "#!/usr/bin/env python9\n")),
    Mistake("A script without its first line", call("report"), 422, "broken_task", ("#!/bin/sh",),
            files=script("report", "echo 1\n")),
    Mistake("A script saved on Windows", call("report"), 422, "broken_task", ("CR LF",),
            files=script("report", "#!/bin/sh\r\necho 1\r\n")),
    Mistake("A new task, and no reload", ["printf '#!/bin/sh\\necho 1\\n' >/srv/tasks/new && chmod +x /srv/tasks/new",
                                          *call("new")], 404, "unknown_task", ("SIGHUP",), serve="--tasks-dir /srv/tasks"),
    Mistake("A tasks folder that is not there", call("report"), 404, "unknown_task", ("/srv/taks", "no such folder"),
            serve="--tasks-dir /srv/taks"),
    Mistake("No tasks folder at all", call("report"), 404, "unknown_task", ("--tasks-dir",), serve=" "),
    Mistake("A plugin of another version of forkpool.h", call("old"), 422, "broken_task", ("ABI 99", "build it again"),
            files={"/srv/tasks/old.so": (0o644, "tests/plugins/wrong_abi.so")}),
    Mistake("A result that is no JSON", call("report"), 200, "", ("done: 7 pages",),
            files=script("report", SH + "echo 'done: 7 pages'\n"), note="What is no JSON is taken as a string."),
    Mistake("Something is printed before the result", call("report"), 200, "", ("starting",),
            files=script("report", SH + "echo starting\necho '{\"pages\":7}'\n"),
            note="Standard output is the result; what is for people belongs on standard error, which is the job's log."),
    Mistake("Too large a result", call("report"), 200, "result_too_large", ("2000000", "1048576", "jobs.max_result"),
            files=script("report", SH + "head -c 2000000 /dev/zero\n")),
    Mistake("A result without end", call("report"), 200, "result_too_large", ("more than", "jobs.max_result"),
            files=script("report", SH + "exec yes\n")),
    Mistake("A program that the task needs is not installed", call("report", "&max_attempts=1"), 200, "exit_status",
            ("127", "frobnicate"), files=script("report", SH + "frobnicate --all\n")),
    Mistake("An exit status that means failure", call("report", "&max_attempts=1"), 200, "exit_status",
            ("exit status 3", "no pages today"), files=script("report", SH + "echo 'no pages today' >&2\nexit 3\n")),
    Mistake("A timeout that is too short", call("sleep", "&timeout=0.5&max_attempts=1", '{"seconds":5}'), 200, "timeout", ("0.5 s",)),
    Mistake("A crash in a plugin", ["curl --json '{\"task\":\"crash\",\"args\":{\"signal\":\"SEGV\"}}' '" + SUBMIT +
                                    "?wait=20'"], 200, "worker_crashed", ("signal 11",),
            note="Three times, then the job has failed; no other job is touched. Its log holds what it said before."),
]

YAML = "/etc/forkpool.yaml"
LISTEN = SERVE + " --http-listen 127.0.0.1:8080"


def config(text):
    return {YAML: (0o644, text)}


START = [
    Mistake("No command", ["forkpool"], 64, says=("forkpool serve", "forkpool help")),
    Mistake("An unknown command", ["forkpool srve"], 64, says=("srve", "did you mean serve")),
    Mistake("A misspelt flag", [SERVE + " --worker-count 4"], 78, says=("--worker-count", "--workers-count")),
    Mistake("A flag without its value", [SERVE + " --workers-count"], 78, says=("--workers-count",)),
    Mistake("A misspelt variable", ["FORKPOOL_WORKER_COUNT=4 " + SERVE], 78,
            says=("FORKPOOL_WORKER_COUNT", "FORKPOOL_WORKERS_COUNT")),
    Mistake("A port in use", [LISTEN], 78, says=("127.0.0.1:8080", "in use", "--http-listen")),
    Mistake("A second server on one store", ["forkpool serve --http-listen 127.0.0.1:0 "
                                             "--store-url sqlite:///var/lib/forkpool/forkpool.db"], 78,
            says=("another forkpool", "/var/lib/forkpool/forkpool.db")),
    Mistake("A port alone", [SERVE + " --http-listen 8080"], 78, says=("--http-listen", "8080", "127.0.0.1:8080")),
    Mistake("Listening to everybody without saying so", [SERVE + " --http-listen 0.0.0.0:8080"], 78,
            says=("0.0.0.0:8080", "auth.mode: none", "--auth-mode none")),
    Mistake("A store in a folder that is not there", ["forkpool serve --store-url sqlite:///var/lib/forkpool/a/b/jobs.db"], 78,
            says=("/var/lib/forkpool/a/b", "No such file")),
    Mistake("A store in a folder that may not be written",
            ["forkpool serve --store-url sqlite:///var/lib/forkpool/readonly/jobs.db"], 78,
            says=("/var/lib/forkpool/readonly", "Permission denied", "--store-url")),
    Mistake("A store that is a bare path", ["forkpool serve --store-url /var/lib/forkpool/forkpool.db"], 78,
            says=("--store-url", "sqlite:///")),
    Mistake("A configuration file that is not there", [SERVE + " --config /etc/forkpool.yml"], 78,
            says=("/etc/forkpool.yml", "No such file")),
    Mistake("A misspelt key", [f"{SERVE} --config {YAML}"], 78, says=("4:3", "cuont", "count"),
            files=config("log:\n  level: info\nworkers:\n  cuont: 4\n")),
    Mistake("Broken YAML", [f"{SERVE} --config {YAML}"], 78, says=(f"{YAML}:3",),
            files=config("http:\n  listen: [127.0.0.1:8080\nlog: {}\n")),
    Mistake("A tab in YAML", [f"{SERVE} --config {YAML}"], 78, says=(f"{YAML}:2", "tab"),
            files=config("workers:\n\tcount: 4\n")),
    Mistake("A time that is none", [f"{SERVE} --config {YAML}"], 78, says=("2:12", "soon", "8s"),
            files=config("jobs:\n  timeout: soon\n")),
    Mistake("A size that is none", [SERVE + " --http-max-body 5megs"], 78, says=("--http-max-body", "5megs", "MiB")),
    Mistake("A number in words", [SERVE + " --workers-count many"], 78, says=("--workers-count", "many")),
    Mistake("A health check where nothing listens", ["forkpool health --url http://localhost:1"], 1,
            says=("localhost:1",)),
]

SECTIONS = [("The request", REQUEST), ("The job", JOB), ("The task", TASK), ("The start of the server", START)]

if __name__ == "__main__":
    import sys

    from mistakes_run import main
    sys.exit(main(SECTIONS))
