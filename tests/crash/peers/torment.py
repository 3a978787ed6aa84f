"""One system under load, killed again and again; then what its files say."""

import json
import random
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from count import (Kill, again_after, answered_after, close_broken, done_after, middle_and_worst, read_ledger,
                   read_requests, tally)
from systems import WORKERS, processes

CONNECTIONS, EVERY_MS = 8, 130   # about 55 jobs a second, of which four workers could do 90
STRUCK, STRUCK_MS = 3, 1500      # in the second part: so many jobs, so long, lose their workers
STRUCK_FIRST = 1_000_000         # and their numbers begin here
STRUCK_PATIENCE_S = 90
NOTICED_S = 0.05                 # PostgreSQL answers until its postmaster has seen that a backend was killed


class Workers:
    """Worker processes outside of the server; whichever ends is started again, as a process manager does it."""

    def __init__(self, system):
        self.system, self.stopping, self.deaths = system, threading.Event(), defaultdict(list)
        self.running, self.restarts, self.thread = [], 0, None

    def command(self):
        what = {"peer": self.system.peer, "port": self.system.port, "ledger": str(self.system.ledger)}
        return [*self.system.lines("worker"), json.dumps(what)]

    def start(self):
        if not self.system.own_workers:
            self.running = [self.system.spawn(self.command(), "workers.log") for _ in range(WORKERS)]
            self.thread = threading.Thread(target=self.watch)
            self.thread.start()

    def watch(self):
        while not self.stopping.wait(0.02):
            for at, process in enumerate(self.running):
                if process.poll() is not None:
                    self.deaths[process.pid].append(time.monotonic_ns())
                    self.restarts += 1
                    self.running[at] = self.system.spawn(self.command(), "workers.log")

    def stop(self):
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()
        for process in self.running:
            process.kill()
            process.wait()


@dataclass
class Outcome:
    name: str
    version: str
    tally: object
    kills: list
    attempts: list
    restarts: int
    by_hand: int       # jobs that were open when nothing happened any more, and had to be unlocked by hand
    left: int          # jobs that the system still has at the end
    struck: list = ()  # ms from a worker's death to the next start of its job; None: not within STRUCK_PATIENCE_S

    def answered(self, victim="server"):
        return middle_and_worst(answered_after(self.kills, victim))

    def done(self, victim="server"):
        return middle_and_worst(done_after(self.kills, victim, self.attempts))


class Torment:
    def __init__(self, system, rounds, seconds, seed, say):
        self.system, self.rounds, self.seconds, self.say = system, rounds, seconds, say
        self.seed, self.chance = seed, random.Random(f"{seed}/{system.name}")
        self.workers, self.kills, self.by_hand, self.load = Workers(system), [], 0, None

    def run(self):
        system = self.system
        try:
            system.prepare()
            system.start()
            system.until_it_answers()
            system.settle()
            self.ask_for(count=0, first=0).wait()  # what a client sets up first, such as tables, is there
            self.workers.start()
            self.load = self.ask_for()
            for number in range(self.rounds):
                time.sleep(self.seconds * self.chance.uniform(0.5, 1.5))
                self.strike()
                self.say(f"{system.name}: kill {number + 1} of {self.rounds}, {self.kills[-1].victim}")
            time.sleep(self.seconds)
            self.load.send_signal(signal.SIGTERM)
            self.load.wait(60)
            self.drain()
            outcome = self.outcome()
            outcome.struck = self.strike_workers()
            return outcome
        finally:
            self.workers.stop()
            if self.load is not None and self.load.poll() is None:
                self.load.kill()
                self.load.wait()
            system.stop()

    def ask_for(self, **more):
        what = {"peer": self.system.peer, "port": self.system.port, "log": str(self.system.client_log), "seed": self.seed,
                "connections": CONNECTIONS, "every_ms": EVERY_MS, **more}
        return self.system.spawn([*self.system.lines("load"), json.dumps(what)], "load.log")

    # ── the server is killed ──

    def strike(self):
        system = self.system
        victim = None
        while victim is None:
            kind = self.chance.choices(list(system.victims), list(system.victims.values()))[0]
            victim = system.victim(kind, self.chance)
        kill = Kill(kind, time.monotonic_ns(), victim[1])
        processes.kill(victim[0])
        if kind == "server":
            system.process.wait()
            kill.again = time.monotonic_ns()
            system.start()
        else:
            time.sleep(NOTICED_S)
        answered = system.until_it_answers()
        kill.answered = answered if kind in system.measured else 0
        self.kills.append(kill)

    # ── and what it had is done ──

    def files(self):
        attempts = read_ledger(self.system.ledger.read_text().splitlines(keepends=True))
        return attempts, read_requests(self.system.client_log.read_text().splitlines())

    def undone(self):
        attempts, requests = self.files()
        return set(requests.acknowledged) - {attempt.job for attempt in attempts if not attempt.broken}

    def drain(self):
        """Until nothing is open any more, or nothing has happened for as long as the system may need."""
        moved, last = time.monotonic(), None
        while time.monotonic() - moved < self.system.idle_s:
            now = (self.system.open_jobs(), len(self.undone()), self.system.ledger.stat().st_size)
            if now[:2] == (0, 0):
                return
            if now != last:
                moved, last = time.monotonic(), now
            time.sleep(0.2)
        self.say(f"{self.system.name}: nothing happens any more, and {now[0]} jobs are open, {now[1]} not done")
        if not self.by_hand and self.system.unlock():
            self.by_hand = now[0]
            self.drain()

    # ── workers are killed ──

    def strike_workers(self):
        """Some jobs alone; their workers are killed while they run."""
        if self.undone():
            return []
        self.ask_for(count=STRUCK, first=STRUCK_FIRST, ms=STRUCK_MS, connections=STRUCK).wait()
        processes.until(lambda: len(self.struck_jobs()) == STRUCK, 30, "the jobs whose workers are to be killed run")
        time.sleep(0.2)
        running = {attempt.job: attempt.pid for attempt in self.struck_jobs()}
        struck = {}
        for job, pid in running.items():
            struck[job] = time.monotonic_ns()
            processes.kill(pid)
        end, again = time.monotonic() + STRUCK_PATIENCE_S, [None]
        while None in again and time.monotonic() < end:
            again = again_after(struck, self.files()[0])
            time.sleep(0.2)
        self.say(f"{self.system.name}: {STRUCK} workers killed; their jobs ran again after (ms): {again}")
        return again

    def struck_jobs(self):
        return [attempt for attempt in self.files()[0] if attempt.job >= STRUCK_FIRST]

    def outcome(self):
        attempts, requests = self.files()
        deaths = defaultdict(list, {pid: list(times) for pid, times in self.workers.deaths.items()})
        for kill in self.kills:
            for pid in kill.pids:
                deaths[pid].append(kill.at)
        close_broken(attempts, deaths)
        return Outcome(self.system.name, self.system.version(), tally(requests, attempts, self.kills, self.system.records()),
                       self.kills, attempts, self.workers.restarts, self.by_hand, self.system.open_jobs())
