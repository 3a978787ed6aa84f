"""Clients of forkpool and of beanstalkd, in a process of their own; node/load.js is the same for the others.

One argument, JSON: peer, port, log, connections, every_ms, seed; for a fixed number of jobs also first, count, ms.
Without a count it asks until SIGTERM, and then until everything that it asked for is answered.
"""

import http.client
import json
import os
import random
import signal
import sys
import threading
import time

from beanstalk import Beanstalk

RETRY_S = 0.05
LONG = 0.05  # so many of the jobs are long


class Refused(Exception):
    """The request was surely not taken."""


class ForkpoolClient:
    """The same Idempotency-Key until there is an answer."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def submit(self, order):
        if self.connection.sock is None:
            try:
                self.connection.connect()
            except OSError as error:
                raise Refused(str(error)) from error
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"job-{order['n']}"}
        body = json.dumps({"task": "peer_job", "args": order}, separators=(",", ":"))
        try:
            self.connection.request("POST", "/v1/jobs", body, headers)
            answer = self.connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.connection.close()
            raise ConnectionError(str(error)) from error
        if answer.status in (429, 503):
            raise Refused(str(answer.status))
        if answer.status != 202:
            sys.exit(f"job {order['n']}: {answer.status} {document}")
        return document["id"]


class BeanstalkClient:
    """There is no key, so who gets no answer can only put the job again."""

    def __init__(self, port):
        self.port, self.server = port, None

    def submit(self, order):
        try:
            self.server = self.server or Beanstalk(self.port, 30)
        except OSError as error:
            raise Refused(str(error)) from error
        try:
            return self.server.put(json.dumps(order).encode())
        except OSError:
            self.server.close()
            self.server = None
            raise


CLIENTS = {"forkpool": ForkpoolClient, "beanstalkd": BeanstalkClient}


class Load:
    def __init__(self, what):
        self.what, self.stopping = what, threading.Event()
        self.log = os.open(what["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words):
        os.write(self.log, (" ".join(map(str, (time.monotonic_ns(), *words))) + "\n").encode())

    def ask(self, client, order):
        """Until there is an answer."""
        self.say("ask", order["n"])
        while True:
            try:
                return self.say("ack", order["n"], client.submit(order))
            except Refused:
                self.say("refused", order["n"])
            except OSError:
                self.say("unanswered", order["n"])
            time.sleep(RETRY_S)

    def orders(self, connection, chance):
        """What one connection asks for."""
        what, step = self.what, self.what["connections"]
        number = what.get("first", 0) + connection
        while not self.stopping.is_set() and ("count" not in what or number < what["first"] + what["count"]):
            ms = chance.randint(300, 800) if chance.random() < LONG else chance.randint(5, 40)
            yield {"n": number, "ms": what.get("ms", ms)}
            number += step

    def run_connection(self, connection):
        chance = random.Random(f"{self.what['seed']}/{connection}")
        client = CLIENTS[self.what["peer"]](self.what["port"])
        for order in self.orders(connection, chance):
            self.ask(client, order)
            self.stopping.wait(chance.uniform(0, 2 * self.what["every_ms"]) / 1000)

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        threads = [threading.Thread(target=self.run_connection, args=(number,)) for number in range(self.what["connections"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    Load(json.loads(sys.argv[1])).run()
