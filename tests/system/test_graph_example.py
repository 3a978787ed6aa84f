"""examples/graph.sh: one request, one graph, from files to a sum."""

import json
import os
import subprocess

from server import ROOT


def graph(tmp_path, *arguments):
    return subprocess.run([str(ROOT / "examples" / "graph.sh"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False,
                          env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"})


def test_the_sum_of_a_folder_comes_out_of_one_request(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(450):
        (folder / f"{n} ü 'x\ty.txt").write_bytes(os.urandom(n))
    done = graph(tmp_path, "--keep", tmp_path / "jobs", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'the sum is right: {{"jobs":450,"bytes":{sum(range(450))}}}' in done.stdout
    jobs = [json.loads(line) for line in (tmp_path / "jobs").read_text().splitlines()]
    assert len(jobs) == 450 + 3 + 1 + 1
    assert [len(job["after"]) for job in jobs if job["task"] == "total"] == [200, 200, 50, 3]


def test_what_it_cannot_do_is_said(tmp_path):
    done = graph(tmp_path, "--limit", "10001")
    assert done.returncode == 2 and "9900" in done.stderr
    (tmp_path / "empty").mkdir()
    done = graph(tmp_path, tmp_path / "empty")
    assert done.returncode == 2 and "no readable files" in done.stderr
