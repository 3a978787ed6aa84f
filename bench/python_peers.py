"""Celery and multiprocessing.Pool for bench/: the worker's tasks (celery -A python_peers), and their loads.

    python_peers.py version | celery-load PROCESSES SECONDS | celery-call COUNT | pool-load WORKERS SECONDS | pool-call WORKERS COUNT

The loads print what bench/client.c prints.
"""

import json
import mmap
import multiprocessing
import os
import struct
import sys
import time

ARGS = {"user": 123456, "email": "someone@example.com", "template": "welcome", "tries": 3}

if os.environ.get("BENCH_REDIS"):
    import celery

    app = celery.Celery("python_peers", broker=os.environ["BENCH_REDIS"] + "/1", backend=os.environ["BENCH_REDIS"] + "/2")
    app.conf.update(worker_prefetch_multiplier=64, task_serializer="json", result_expires=600, broker_pool_limit=10,
                    task_default_delivery_mode=1, broker_connection_retry_on_startup=True)

    # A byte for each job that was done, by all processes of the worker.
    TALLY = os.open(os.environ["BENCH_TALLY"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @app.task
    def job(args):
        os.write(TALLY, b".")
        return args


def echo(args):
    return args


def said(answered, seconds, times=()):
    print(json.dumps({"answered": answered, "errors": 0, "seconds": seconds, "times": [[us, 1] for us in sorted(times)]}))


def each(count, call):
    times = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e6)
    said(count, sum(times) / 1e6, times)


def submit(end, shared, index):
    count = 0
    while time.monotonic() < end:
        job.delay(ARGS)
        count += 1
    struct.pack_into("=Q", shared, 8 * index, count)


def celery_load(processes, seconds):
    shared, began = mmap.mmap(-1, 8 * processes), time.monotonic()
    all_of_them = [multiprocessing.Process(target=submit, args=(began + seconds, shared, index)) for index in range(processes)]
    for process in all_of_them:
        process.start()
    for process in all_of_them:
        process.join()
    said(sum(struct.unpack(f"={processes}Q", shared[:])), time.monotonic() - began)


def pool_load(workers, seconds):
    """Submits as fast as it can, but no more ahead than 10,000; until all results are here."""
    ended = [0]

    def one(_):
        ended[0] += 1

    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.map(echo, [ARGS] * 100)
        asked, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            if asked - ended[0] > 10000:
                time.sleep(0.001)
                continue
            pool.apply_async(echo, (ARGS,), callback=one)
            asked += 1
        while ended[0] < asked:
            time.sleep(0.001)
        said(asked, time.monotonic() - began)


def pool_call(workers, count):
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.map(echo, [ARGS] * 100)
        each(count, lambda: pool.apply(echo, (ARGS,)))


def main(mode, *words):
    numbers = [float(word) if "." in word else int(word) for word in words]
    if mode == "version":
        print(json.dumps({"version": celery.__version__}))
    elif mode == "celery-load":
        celery_load(*numbers)
    elif mode == "celery-call":
        each(*numbers, lambda: job.delay(ARGS).get(timeout=30))
    elif mode == "pool-load":
        pool_load(*numbers)
    elif mode == "pool-call":
        pool_call(*numbers)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
