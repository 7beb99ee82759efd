"""This platform, started by `compute up` as a person would, with Postgres on this machine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contest import CLIENTS, SLOTS, Contestant
from bench.http_load import Connection, spread
from bench.raw import inserts
from compute_platform.client import Client
from demo.cell import Platform
from infra.embedded import postgres

if TYPE_CHECKING:
    from compute_platform.shapes import JsonObject
    from compute_platform.transport import Query

PROJECT = "ml-research"
LIVE = ("queued", "starting", "running", "preempting", "stopping")
LOOK_SECONDS = 0.05
LARGEST_BATCH = 1000


def job(name: str, *command: str, hold: bool = False) -> JsonObject:
    """A job on one CPU."""
    return {"name": name, "project_id": PROJECT, "command": list(command), "hold": hold}


class Cell:
    """The running platform and the Postgres server under it."""

    def __init__(self, url: str, token: str, dsn: str) -> None:
        self._client = Client(url, token, patience=60.0)
        self._connect = partial(Connection, url, token)
        self._dsn = dsn

    def wait_for_node(self) -> None:
        """Return when the agent offers its slots."""
        while not self._client.nodes():
            time.sleep(LOOK_SECONDS)

    def submit(self, count: int) -> float:
        return self._each(count, job("held", "true", hold=True))[0]

    def submit_keyed(self, count: int) -> float:
        """Like submit, each with an idempotency key, as the Python client sends them."""
        return self._each(count, job("held", "true", hold=True), key=str(time.time_ns()))[0]

    def inserts(self, count: int) -> float:
        """Seconds for as many bare commits on the same Postgres server."""
        return inserts(self._dsn, count)

    def starts(self, count: int) -> list[float]:
        found = []
        with self._connect() as connection:
            for number in range(count):
                content = json.dumps(job(f"date-{number}", "date", "+%s%N")).encode()
                began = time.time_ns()
                submitted = json.loads(connection.call("POST", "/jobs", content))
                path = f"/jobs/{submitted['id']}/logs?follow=true"
                line = connection.first_line(f"{path}&min_position={submitted['position']}")
                found.append((int(line) - began) / 1e6)
        return found

    def batch(self, count: int) -> float:
        began = time.perf_counter()
        for first in range(0, count, LARGEST_BATCH):
            self._client.submit_all([job("batch", "true")] * min(LARGEST_BATCH, count - first))
        while self._client.jobs(name="batch", phases=LIVE, limit=1)["items"]:
            time.sleep(LOOK_SECONDS)
        took = time.perf_counter() - began
        self._check("batch", count)
        return took

    def singles(self, count: int) -> float:
        began = time.perf_counter()
        _, position = self._each(count, job("single", "true"))
        query: Query = {"name": "single", "phase": list(LIVE), "limit": 1, "min_position": position}
        while self._client.transport.call("GET", "/jobs", query)["items"]:
            time.sleep(LOOK_SECONDS)
        took = time.perf_counter() - began
        self._check("single", count)
        return took

    def _each(self, count: int, body: JsonObject, key: str = "") -> tuple[float, int]:
        """Seconds to submit the job that often, and the highest log position answered."""
        content = json.dumps(body).encode()

        def work(client: int, numbers: range) -> None:
            with self._connect() as connection:
                for number in numbers:
                    each = f"{key}-{number}" if key else ""
                    answers[client] = connection.call("POST", "/jobs", content, each)

        answers = [b""] * CLIENTS
        began = time.perf_counter()
        spread(count, CLIENTS, work)
        took = time.perf_counter() - began
        return took, max(json.loads(answer)["position"] for answer in answers if answer)

    def _check(self, name: str, count: int) -> None:
        """RuntimeError unless exactly that many jobs of the name have succeeded."""
        done = len(self._client.jobs(name=name, phases=["succeeded"])["items"])
        if done != count:
            raise RuntimeError(f"{done} of {count} jobs succeeded")


@contextmanager
def _running(runner: str, folder: Path) -> Iterator[Cell]:
    """`compute up` with one agent that offers SLOTS CPUs by this runner; by none without."""
    options = ["--no-agent"]
    if runner:
        words = (f"--runners={runner}", f"--cpu={SLOTS}")
        options = [f"--agent-option={word}" for word in words]
    with (
        postgres(folder / "postgres") as server,
        Platform(folder / "data", "", options, {"COMPUTE_DATABASE_URL": server.dsn}) as platform,
    ):
        cell = Cell(*platform.credentials(), server.dsn)
        if runner:
            cell.wait_for_node()
        yield cell


def _no_sandbox() -> str:
    return "" if shutil.which("bwrap") else "bubblewrap is not installed"


CONTROL_PLANE = Contestant("platform", lambda: "", partial(_running, ""))
SANDBOX = Contestant("platform-sandbox", _no_sandbox, partial(_running, "sandbox"))
PLAIN = Contestant("platform-plain", lambda: "", partial(_running, "process"))
