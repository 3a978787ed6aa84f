"""How many instructions the hot paths take, counted by callgrind: a slow change is seen without a clock.

Counted are functions of ours with all that they call, libraries included, one job at a time. A number that has changed for
a reason is put into GUARDS anew: the test prints what it counted. Other libraries than those of Debian 12 take other numbers.
"""

import platform
import re
import subprocess

import pytest
from server import Server

pytestmark = pytest.mark.skipif(platform.freedesktop_os_release().get("VERSION_ID") != "12", reason="counted with Debian 12's libraries")

JOBS, READS, MORE = 200, 200, 1.10

# What is counted: a function, by how many its instructions are divided, and how many of them that were when it was last looked at.
GUARDS = {
    "submit: the request": ("api/handlers_submit.c:submit_job", JOBS, 8490),
    "submit: its answer": ("api/http_loop.c:go_on", JOBS, 6360),
    "submit and result: the store": ("server/store/committer.c:try_group", JOBS, 126000),
    "submit: into a slot": ("server/dispatcher/admit.c:admit_submitted", JOBS, 3170),
    "result: out of a slot": ("server/dispatcher/landing.c:landing_outcome", JOBS, 2424),
    "run: a plugin's task": ("worker/kind.c:kind_run", JOBS, 2727),
    "run: claim to done": ("worker/worker.c:run_job", JOBS, 5444),
    "read: a job": ("api/handlers_job.c:get_job", READS, 36480),
}


def counted(folder):
    """{FILE:FUNCTION: instructions}, over all processes and threads."""
    counts = {}
    for path in folder.glob("callgrind.*"):
        if path.stat().st_size == 0:
            continue
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(path)], capture_output=True, text=True,
                              check=True).stdout
        once = {}  # a function may be listed by several names of its file
        for number, name in re.findall(r"^ *([\d,]+) \( *[\d.]+%\)  .*?((?:api|server|shared|worker)/[\w/]+\.c:\w+)", text, re.M):
            once[name] = max(once.get(name, 0), int(number.replace(",", "")))
        for name, number in once.items():
            counts[name] = counts.get(name, 0) + number
    return counts


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("callgrind")
    server = Server(folder / "server", workers_count=1, store_durability="process",
                    under=("valgrind", "-q", "--tool=callgrind", "--separate-threads=yes",
                           f"--callgrind-out-file={folder}/callgrind.%p"))
    try:
        server.start()
        body = {"task": "echo", "args": {"user": 123456, "email": "someone@example.com", "template": "welcome", "tries": 3}}
        for _ in range(JOBS):
            answer = server.client.post("/v1/jobs?wait=10", body)
            assert answer.status_code == 200, answer.text
        for _ in range(READS):
            assert server.client.get("/v1/jobs/" + answer.json()["id"]).status_code == 200
        server.terminate()
        assert server.ended(60) == 0
        yield counted(folder)
    finally:
        server.clean_up()


@pytest.mark.parametrize("what", GUARDS)
def test_a_hot_path_has_not_become_longer(counts, what):
    name, times, most = GUARDS[what]
    assert name in counts, sorted(counts)
    now = counts[name] / times
    assert now <= most * MORE, f"{name}: {now:.0f} instructions, {most} before"
    assert now >= most / MORE, f"{name}: {now:.0f} instructions, {most} before: shorter, so the number in GUARDS is too lax"
