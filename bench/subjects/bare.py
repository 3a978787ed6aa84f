"""The bare libmicrohttpd server."""

import http.client
import time
from contextlib import contextmanager

from ..lab import TOOLS, free_port

NAME = "bare libmicrohttpd"


@contextmanager
def bare(lab):
    """Its port."""
    port = free_port()
    with lab.running([TOOLS / "bare", port]):
        until_it_answers(port)
        yield port


def until_it_answers(port, path="/"):
    end = time.monotonic() + 20
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
