"""Many requests quickly: keep-alive connections in threads, each request acknowledged or known not to be."""

import json
import threading

from client import Raw


def post_bytes(path, body, headers=""):
    body = body if isinstance(body, str) else json.dumps(body)
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}").encode()


def get_bytes(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def submit_all(server, bodies, connections=8, stop=None):
    """Submits {key: body} over a few connections, with the keys as Idempotency-Keys.

    Returns {key: id} of what was acknowledged; a connection that breaks ends its share there. `stop` is called after
    each acknowledgement with their number so far."""
    items = list(bodies.items())
    acknowledged, lock, faults = {}, threading.Lock(), []

    def share(number):
        try:
            with Raw(server.address, 30) as raw:
                for key, body in items[number::connections]:
                    raw.send(post_bytes("/v1/jobs", body, f"Idempotency-Key: {key}\r\n"))
                    answer = raw.answer()
                    if answer is None:
                        return
                    if answer[0] not in (200, 202):
                        faults.append(answer)
                        return
                    with lock:
                        acknowledged[key] = json.loads(answer[2])["id"]
                        count = len(acknowledged)
                    if stop:
                        stop(count)
        except (OSError, AssertionError):
            return  # the server was killed under it: what has no answer is not acknowledged

    threads = [threading.Thread(target=share, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    return acknowledged
