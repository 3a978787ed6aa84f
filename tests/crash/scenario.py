"""A small life of a server that touches everything, whatever dies in it; and what must be true at its end."""

import json
import os
import signal
from datetime import datetime

from life import Unproved

TERMINAL = ("succeeded", "failed", "cancelled")
SCHEDULE = "/v1/schedules/seconds"


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Scenario:
    """`whole`: everything dies at the point. Only then may one attempt begin twice: it had ended, and its end was not kept."""

    def __init__(self, life, whole):
        self.life, self.whole = life, whole
        self.wanted = {}  # id → (name, states in which it may end)
        self.ids = {}
        self.forgotten = set()
        self.batch = None
        self.before = {}  # the schedule, as it was seen first
        self.triggers = 0  # how often it was asked to
        self.results = {}  # id → (attempt, result)
        self.ends = {}  # id → how it ended

    def run(self):
        self.life.start()
        self.schedule()
        self.submit_all()
        self.together()
        self.limits()
        self.afterwards()
        self.reload()
        self.front_dies()
        self.drain_and_restart()
        self.everything_dies()
        self.schedule_ends()
        self.check()
        self.life.stop()

    # ── asking ──

    def submit(self, name, task="ledger", args=None, ends=("succeeded",), **fields):
        body = {"task": task, "args": args or {}, "durability": "process", **fields}
        status, job = self.life.ask("POST", "/v1/jobs", body, {"Idempotency-Key": name})
        if status not in (200, 202):
            raise Unproved(f"submit {name}: {status} {job}")
        self.wanted[job["id"]] = (name, ends)
        self.ids[name] = job["id"]
        return job["id"]

    def state(self, job_id):
        job = self.life.get(f"/v1/jobs/{job_id}")
        if job["state"] == "succeeded" and job["result"]:
            self.results[job_id] = (job["attempt"], job["result"])  # it is pruned soon
        if job["state"] in TERMINAL and job_id != self.ids.get("plain"):  # which is run again on request
            end = (job["state"], job["attempt"], job["finished_at"])
            if self.ends.setdefault(job_id, end) != end:
                raise Unproved(f"{self.wanted[job_id][0]} had ended as {self.ends[job_id]}, and is {end}")
        return job["state"]

    def ended(self, job_id):
        self.life.until(f"the end of {self.wanted[job_id][0]}", lambda: self.state(job_id) in TERMINAL)

    def act(self, method, path, good, body=None):
        """Good: the statuses that say it is done, by this request or by one whose answer was lost."""
        status, document = self.life.ask(method, path, body)
        if status not in good:
            raise Unproved(f"{method} {path}: {status} {document}")

    # ── the scenario ──

    def schedule(self):
        """Fires while all the rest happens."""
        job = {"task": "note", "tags": ["scheduled"], "durability": "process"}
        self.act("PUT", SCHEDULE, (200, 201), {"cron": "* * * * * *", "catch_up": "all", "job": job})
        self.before = self.life.get(SCHEDULE)
        asked = self.life.asked
        self.act("POST", f"{SCHEDULE}/trigger", (202,))
        self.triggers = self.life.asked - asked

    def schedule_ends(self):
        self.life.until("the schedule fires", lambda: self.life.get(SCHEDULE)["made"] > self.before["made"])
        self.act("PATCH", SCHEDULE, (200,), {"catch_up": "one"})
        self.check_times(self.life.get(SCHEDULE))
        self.act("POST", f"{SCHEDULE}/pause", (200,))
        self.check_scheduled(self.life.get(SCHEDULE))
        self.act("DELETE", SCHEDULE, (204, 404))

    def check_times(self, now):
        """Each time since it was seen first is a job, or counted as skipped."""
        passed = (moment(now["next_at"]) - moment(self.before["next_at"])).total_seconds()
        counted = sum(now[count] - self.before[count] for count in ("made", "skipped"))
        if counted != passed:
            raise Unproved(f"{passed:g} times have come, and {counted} are counted: {self.before}, {now}")

    def check_scheduled(self, paused):
        """A job for each time that is counted as made, and only one; a job or none for each trigger that was not answered."""
        jobs = self.life.get("/v1/jobs?limit=1000&tag=scheduled")["items"]
        times = [job["scheduled_at"] for job in jobs if job["scheduled_at"]]
        if len(times) != len(set(times)) or len(times) != paused["made"]:
            raise Unproved(f"jobs for the times {sorted(times)}, and made is {paused['made']}")
        if not 1 <= len(jobs) - len(times) <= self.triggers:
            raise Unproved(f"{len(jobs) - len(times)} jobs by {self.triggers} triggers")
        self.wanted.update({job["id"]: (f"scheduled for {job['scheduled_at']}", ("succeeded",)) for job in jobs})

    def submit_all(self):
        self.submit("plain")
        self.submit("large", args={"bytes": 3000})
        self.submit("command", "note")
        self.submit("tagged", "note", args={"bytes": 2000}, tags=["a", "b"], meta={"k": "v"})
        self.submit("passing", "passing")
        self.submit("retrying", args={"fail": 1})
        self.submit("crashing", args={"crash": 1})
        self.submit("deaf", args={"ms": 3000, "deaf": 1}, timeout=0.05, retry={"max_attempts": 1}, ends=("failed",))
        self.submit("late", "note", args={"ms": 3000}, timeout=0.05, retry={"max_attempts": 1}, ends=("failed",))
        self.submit("delayed", delay=0.15)
        unique = {"key": "only", "on_conflict": "return"}
        first = self.submit("unique", args={"ms": 20}, unique=unique)
        self.ended(self.submit("unique again", args={"ms": 20}, unique=unique))
        self.ended(first)
        again = self.submit("unique later", unique={"key": "only"})
        if again == first:
            raise Unproved("the uniqueness key is not free again")
        stopped = self.submit("stopped", "note", args={"ms": 3000}, ends=("cancelled",))
        self.life.until("a job to be stopped runs", lambda: self.state(stopped) != "queued")
        self.act("POST", f"/v1/jobs/{stopped}/cancel", (200, 202, 409))

    def together(self):
        one, two = self.submit("parent 1", args={"ms": 10}), self.submit("parent 2", "note")
        self.submit("child", "note", after=[one, two])
        lines = [{"task": "ledger", "args": {}, "ref": "a"}, {"task": "note", "args": {}, "ref": "b"},
                 {"task": "ledger", "args": {}, "after": ["@a", "@b"]}]
        status, answer = self.life.ask("POST", "/v1/jobs/bulk?batch=true", "\n".join(map(json.dumps, lines)),
                                       {"Content-Type": "application/x-ndjson", "Idempotency-Key": "bulk"})
        if status not in (200, 202) or len(answer["ids"]) != 3:
            raise Unproved(f"bulk: {status} {answer}")
        self.batch = answer["batch"]
        for number, job_id in enumerate(answer["ids"]):
            self.wanted[job_id] = (f"bulk {number}", ("succeeded",))

    def limits(self):
        """Jobs that wait: paused, limited, less urgent. They are cancelled, changed, expire and are overtaken."""
        self.act("POST", "/v1/queues/slow/pause", (200,))
        self.act("PATCH", "/v1/queues/one", (200,), {"concurrency": 1})
        dropped = self.submit("dropped", queue="slow", ends=("cancelled",))
        self.submit("expiring", queue="slow", expires_in=0.05, ends=("failed",))
        changed = self.submit("changed", queue="slow")
        gate = {"ms": 3000, "gate": 1}
        busy = [self.submit(f"busy {n}", args=gate, priority=6, queue="one" if n == 0 else "default")
                for n in range(self.life.workers)]
        second = self.submit("second of one", queue="one")
        self.life.until("all are busy", lambda: all(self.state(one) != "queued" for one in busy))
        low = self.submit("low", priority=0)
        self.submit("high", priority=9)
        self.act("PATCH", f"/v1/jobs/{low}", (200, 409), {"priority": 1})
        self.act("PATCH", f"/v1/jobs/{second}", (200, 409), {"priority": 7})
        self.act("PATCH", f"/v1/jobs/{changed}", (200,), {"tags": ["x"], "priority": 9})
        self.life.open_gate(1)
        self.act("POST", f"/v1/jobs/{dropped}/cancel", (200, 409))
        self.ended(self.ids["expiring"])
        self.act("POST", "/v1/queues/slow/resume", (200,))
        self.ended(busy[0])

    def afterwards(self):
        plain, victim = self.ids["plain"], self.ids["tagged"]
        self.ended(plain)
        self.ended(victim)
        self.act("POST", f"/v1/jobs/{plain}/retry", (200, 202, 409))
        self.act("DELETE", f"/v1/jobs/{victim}", (204, 404))
        self.forget(victim)
        self.life.until("an old job is forgotten", lambda: self.is_gone(self.ids["passing"]))
        self.forget(self.ids["passing"])

    def forget(self, job_id):
        self.forgotten.add(job_id)
        del self.wanted[job_id]

    def is_gone(self, job_id):
        return self.life.ask("GET", f"/v1/jobs/{job_id}")[0] == 404

    def reload(self):
        """Enough jobs that workers are replaced, and a catalogue that is read again."""
        for number in range(2 * self.life.workers):
            self.submit(f"more {number}")
        self.life.revive()
        os.kill(self.life.process.pid, signal.SIGHUP)
        self.submit("after the reload", "note")

    def running_once(self, name):
        """A job that runs for long, but only the first time."""
        job_id = self.submit(name, args={"ms": 3000, "once": 1})
        self.life.until(f"{name} runs", lambda: self.state(job_id) != "queued")
        return job_id

    def front_dies(self):
        running = self.submit("over the front", args={"ms": 3000, "gate": 2})
        self.life.until("it runs", lambda: self.state(running) != "queued")
        self.submit("waits over the front", queue="slow", delay=0.05)
        self.life.revive()
        self.life.kill_front()
        self.submit("after the front", priority=9)  # answered by the next front
        self.life.open_gate(2)
        self.ended(running)

    def drain_and_restart(self):
        self.running_once("over the drain")
        self.life.revive()
        self.life.stop()
        self.ended(self.ids["over the drain"])

    def everything_dies(self):
        self.running_once("over the end")
        self.life.revive()
        self.life.kill_all()
        self.ended(self.ids["over the end"])

    # ── what must be true ──

    def check(self):
        for job_id in self.wanted:
            self.ended(job_id)
        self.life.until("the pool is full, no slot is taken", self.at_rest)
        self.life.until("an old result is pruned", self.is_pruned)
        runs, ends = self.read_ledger()
        for job_id, (name, states) in self.wanted.items():
            self.check_job(job_id, name, states, runs.get(job_id, {}), ends.get(job_id, {}))
        listed = {job["id"] for job in self.life.get("/v1/jobs?limit=1000")["items"]}
        if listed != set(self.wanted):
            raise Unproved(f"jobs that nobody asked for {listed - set(self.wanted)}, or missing {set(self.wanted) - listed}")
        if not set(runs) <= set(self.wanted) | self.forgotten:
            raise Unproved("jobs ran that nobody was told of")
        state = self.life.get(f"/v1/batches/{self.batch}")["state"]
        if state != "succeeded":
            raise Unproved(f"the batch is {state}")
        self.ended(self.submit("unique at the end", unique={"key": "only"}))

    def at_rest(self):
        stats = self.life.get("/v1/stats")
        return stats["slots"]["used"] == 0 and stats["arena"]["used"] == 0 and stats["workers"]["idle"] == self.life.workers

    def is_pruned(self):
        return self.life.ask("GET", f"/v1/jobs/{self.ids['large']}/result")[0] == 410

    def read_ledger(self):
        """Begins and ends by job and attempt: {id: {attempt: [nonce, …]}}."""
        runs, ends = {}, {}
        for line in self.life.ledger.read_text().splitlines():
            job_id, attempt, what, nonce = line.split()
            if what == "overlap":
                raise Unproved(f"two attempts at a time: {line}")
            where = runs if what == "begin" else ends
            where.setdefault(job_id, {}).setdefault(int(attempt), []).append(nonce)
        return runs, ends

    def check_job(self, job_id, name, states, runs, ends):
        job = self.life.get(f"/v1/jobs/{job_id}")
        if job["state"] not in states:
            raise Unproved(f"{name} is {job['state']}: {job['error']}")
        recorded = [item["attempt"] for item in self.life.get(f"/v1/jobs/{job_id}/attempts")["items"]]
        if len(recorded) != len(set(recorded)):
            raise Unproved(f"{name} has an attempt twice: {recorded}")
        unkept = self.whole and job["state"] == "cancelled"  # it had ended, that was not kept, and it did not run again
        if not set(runs) <= set(recorded) and not unkept:
            raise Unproved(f"{name} ran as {sorted(runs)}, recorded is {recorded}")
        if job["state"] == "succeeded":
            self.check_result(job_id, name, job["attempt"], ends)
        twice = [attempt for attempt, begun in runs.items() if len(begun) > 1]
        if twice and not self.whole and "once" not in job["args"]:
            raise Unproved(f"{name} began attempt {twice} twice")

    def check_result(self, job_id, name, attempt, ends):
        """It was written by the attempt on record, and after that one none has ended."""
        seen, result = self.results.get(job_id, (attempt, None))
        if attempt not in ends or (result and result["nonce"] not in ends.get(seen, [])):
            raise Unproved(f"{name} has a result that no attempt {attempt} wrote")
        if max(ends) > attempt:
            raise Unproved(f"{name} ran again as {max(ends)} after attempt {attempt} had succeeded")
        if name == "child" and result and result["inputs"] == 0:
            raise Unproved("the child did not get what its parents returned")
