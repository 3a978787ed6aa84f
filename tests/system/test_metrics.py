"""/metrics is well-formed Prometheus text and counts what happened; /v1/stats agrees."""

import re

from processes import until

SERVER = {"workers_count": 2}

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\"\\n])*\",?)*)\})? "
                    r"(-?(?:[0-9.]+(?:e[+-]?[0-9]+)?|\+?Inf|NaN))")


def parse(text):
    """{family: (type, [(name, labels, value)])}; fails on whatever promtool would complain about."""
    assert text.endswith("\n")
    families, current, seen = {}, None, set()
    helps = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert name not in helps and words, line
            helps.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helps and name not in families, line
            assert kind in ("counter", "gauge", "histogram"), line
            assert kind != "counter" or name.endswith("_total"), line
            assert kind == "counter" or not name.endswith("_total"), line
            families[name] = (kind, [])
            current = name
        else:
            found = SAMPLE.fullmatch(line)
            assert found, f"not a sample: {line}"
            name, labels, value = found[1], found[2] or "", float(found[3])
            kind, samples = families[current]
            endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert name in [current + ending for ending in endings], f"{line} under {current}"
            assert (name, labels) not in seen, f"twice: {line}"
            seen.add((name, labels))
            pairs = dict(re.findall(r"([a-zA-Z0-9_]+)=\"((?:[^\"\\]|\\.)*)\"", labels))
            assert kind == "gauge" or value >= 0, line
            samples.append((name, pairs, value))
    return families


def total(families, name, **labels):
    return sum(value for _, pairs, value in families[name][1]
               if all(pairs.get(key) == wanted for key, wanted in labels.items()))


def test_the_text_is_well_formed(client):
    client.submit("echo", 1, wait=10)
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = parse(answer.text)
    assert {"forkpool_jobs_submitted_total", "forkpool_jobs_finished_total", "forkpool_jobs", "forkpool_job_wait_seconds",
            "forkpool_job_run_seconds", "forkpool_workers", "forkpool_worker_restarts_total",
            "forkpool_http_request_seconds", "forkpool_commit_seconds", "forkpool_commit_jobs",
            "forkpool_slots"} <= set(families)


def test_histograms_are_cumulative_and_agree_with_their_count(client):
    client.submit("echo", 1, wait=10)
    families = parse(client.get("/metrics").text)
    histograms = {name: samples for name, (kind, samples) in families.items() if kind == "histogram"}
    assert len(histograms) >= 5
    for name, samples in histograms.items():
        buckets = [(float(pairs["le"].replace("+Inf", "inf")), value)
                   for one, pairs, value in samples if one == name + "_bucket"]
        assert buckets == sorted(buckets) and [value for _, value in buckets] == sorted(value for _, value in buckets)
        count = [value for one, _, value in samples if one == name + "_count"]
        assert buckets[-1] == (float("inf"), count[0]), name
        assert [one for one, _, _ in samples].count(name + "_sum") == 1


def test_counters_match_what_was_done(client):
    def look():
        return parse(client.get("/metrics").text)

    before = look()
    for n in range(7):
        client.submit("echo", n, wait=10)
    for _ in range(3):
        client.submit("fail", {"message": "x", "retryable": False}, wait=10, queue="mail")
    job = client.submit("sleep", {"seconds": 30})
    until(lambda: total(look(), "forkpool_jobs", state="running") == 1, 5)
    assert total(look(), "forkpool_workers", state="busy") == 1
    client.post(f"/v1/jobs/{job['id']}/cancel")
    client.wait(job["id"])
    after = look()

    def more(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)

    assert more("forkpool_jobs_submitted_total", task="echo", queue="default") == 7
    assert more("forkpool_jobs_submitted_total", task="fail", queue="mail") == 3
    assert more("forkpool_jobs_submitted_total") == 11
    assert more("forkpool_jobs_finished_total", task="echo", state="succeeded") == 7
    assert more("forkpool_jobs_finished_total", queue="mail", state="failed") == 3
    assert more("forkpool_jobs_finished_total", state="cancelled") == 1
    assert more("forkpool_jobs", state="succeeded") == 7 and more("forkpool_jobs", state="failed") == 3
    assert total(after, "forkpool_jobs", state="running") == total(after, "forkpool_jobs", state="queued") == 0
    assert more("forkpool_job_run_seconds_count" if "forkpool_job_run_seconds_count" in after
                else "forkpool_job_run_seconds") > 0


def test_no_label_holds_an_id(client):
    client.submit("echo", 1, wait=10)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", client.get("/metrics").text)


def test_stats_agree_with_the_lists(client):
    client.submit("echo", 1, wait=10)
    counts = client.get("/v1/stats").json()["jobs"]
    for state in ("succeeded", "failed", "cancelled", "queued"):
        assert counts[state] == len(client.all_jobs(state=state)), state


def test_restarts_are_counted_by_cause(server, client):
    before = total(parse(client.get("/metrics").text), "forkpool_worker_restarts_total", cause="crash")
    client.submit("crash", {"signal": "SEGV", "until_attempt": 2}, wait=10)
    until(server.full_strength, 5, "the pool is full")
    until(lambda: total(parse(client.get("/metrics").text), "forkpool_worker_restarts_total", cause="crash")
          == before + 1, 5, "the restart is counted")
