"""Run by a Python that has `hyperqueue`: one measurement in a local cluster, printed as JSON.

`python hq_load.py FOLDER MEASURE COUNT CLIENTS SLOTS`. It imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hyperqueue import Client, Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def one(*command: str, output: str | None = None) -> Job:
    """A job of one task."""
    job = Job()
    job.program(list(command), stdout=output, stderr=None)
    return job


def submit(cluster: LocalCluster, count: int, clients: int) -> list[Any]:
    """Jobs of one `true` each, submitted by several clients."""

    def some(number: int) -> list[Any]:
        client = cluster.client()
        return [client.submit(one("true")) for _ in range(number, count, clients)]

    with ThreadPoolExecutor(clients) as pool:
        return [job for jobs in pool.map(some, range(clients)) for job in jobs]


def measure(what: str, count: int, clients: int, slots: int, folder: Path) -> object:
    """Seconds, or for `starts` milliseconds of each job."""
    with LocalCluster(str(folder)) as cluster:
        began = time.perf_counter()
        if what == "submit":  # no worker: nothing can start
            submit(cluster, count, clients)
            return time.perf_counter() - began
        cluster.start_worker(WorkerConfig(cores=slots))
        client = cluster.client()
        client.wait_for_jobs([client.submit(one("true"))])  # the worker is there
        if what == "starts":
            return [start(client, folder / f"date-{number}") for number in range(count)]
        began = time.perf_counter()
        if what == "singles":
            client.wait_for_jobs(submit(cluster, count, clients))
            return time.perf_counter() - began
        return batch(client, count, folder / "done")


def start(client: Client, output: Path) -> float:
    """Milliseconds from before the submission to the clock as the job reads it."""
    began = time.time_ns()
    client.submit(one("date", "+%s%N", output=str(output)))
    while not (output.exists() and output.read_text().endswith("\n")):
        time.sleep(0.002)
    return (int(output.read_text()) - began) / 1e6


def batch(client: Client, count: int, mark: Path) -> float:
    """Seconds for one job of that many tasks.

    Its `wait` looks once a second; a last task that depends on all others tells sooner.
    """
    began = time.perf_counter()
    job = Job()
    tasks = [job.program(["true"], stdout=None, stderr=None) for _ in range(count)]
    job.program(["touch", str(mark)], stdout=None, stderr=None, deps=tasks)
    submitted = client.submit(job)
    while not mark.exists():
        time.sleep(0.002)
    took = time.perf_counter() - began
    client.wait_for_jobs([submitted])  # raises if one failed
    return took


if __name__ == "__main__":
    folder, what, count, clients, slots = sys.argv[1:]
    print(json.dumps(measure(what, int(count), int(clients), int(slots), Path(folder))))
