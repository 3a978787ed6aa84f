"""beanstalkd's protocol, as far as it is needed here (Debian has no Python client for it), and a worker that uses it."""

import json
import os
import socket
import sys
import time

TTR_S = 10  # a job whose worker hangs is given out again after so long; one whose connection closes at once
RECONNECT_S = 0.1


class Beanstalk:
    def __init__(self, port, timeout=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def ask(self, command, body=None):
        """The words of the answer's first line."""
        self.socket.sendall(command.encode() + b"\r\n" + (body + b"\r\n" if body is not None else b""))
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("beanstalkd closed the connection")
        return line.decode().split()

    def body(self, size):
        data = self.file.read(int(size) + 2)
        if len(data) != int(size) + 2:
            raise ConnectionResetError("beanstalkd closed the connection")
        return data[:-2]

    def put(self, body):
        answer = self.ask(f"put 0 0 {TTR_S} {len(body)}", body)
        if answer[0] != "INSERTED":
            raise RuntimeError(f"put: {answer}")
        return answer[1]

    def reserve(self):
        answer = self.ask("reserve")
        if answer[0] != "RESERVED":
            raise RuntimeError(f"reserve: {answer}")
        return answer[1], self.body(answer[2])

    def delete(self, job_id):
        """NOT_FOUND: the job was given to somebody else meanwhile, and there is nothing that one could do."""
        return self.ask(f"delete {job_id}")[0] == "DELETED"

    def stats(self, of=""):
        answer = self.ask(f"stats-job {of}" if of else "stats")
        if answer[0] != "OK":
            raise RuntimeError(f"stats: {answer}")
        lines = self.body(answer[1]).decode().splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def close(self):
        self.file.close()
        self.socket.close()


def attempt(ledger, job_id, number, order):
    """One run of a job: two lines in the ledger, and time in between."""
    nonce = f"{os.getpid()}-{time.monotonic_ns()}"
    tail = f"{order['n']} {number} {nonce} {os.getpid()}"
    os.write(ledger, f"start {tail} {time.monotonic_ns()}\n".encode())
    time.sleep(order["ms"] / 1000)
    os.write(ledger, f"end {tail} {time.monotonic_ns()}\n".encode())
    return job_id


def work(port, ledger):
    """Works for ever, over all lives of the server. A delete that got no answer is tried once more after a reconnect."""
    done = None
    while True:
        try:
            server = Beanstalk(port)
            while True:
                if done is not None:
                    server.delete(done)
                    done = None
                job_id, body = server.reserve()
                number = int(server.stats(job_id)["reserves"])
                done = attempt(ledger, job_id, number, json.loads(body))
        except OSError:
            time.sleep(RECONNECT_S)


if __name__ == "__main__":
    what = json.loads(sys.argv[1])
    work(what["port"], os.open(what["ledger"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
