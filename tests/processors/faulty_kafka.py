"""A cell whose consumers all read through Kafka, for tests that break Kafka under it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.event import Recorded
from infra.kafka import Cell
from projections.catalogue import VIEWS
from tests.processors.kafka_cell import add, cell_on
from tests.processors.small_cell import SmallCell
from tests.projections.tables import dump, folded, parsed, positions
from tests.real_kafka import Broker

SETTLED_SECONDS = 150.0
LOOK_SECONDS = 0.05
ALL = ("projector", "scheduler", "relay")
READ = 1_000
"""Events of the log read at once."""


class FaultyKafka:
    """The platform's processes as they are deployed, and what people do meanwhile."""

    def __init__(self, cell: SmallCell, broker: Broker, name: str, folder: Path) -> None:
        self.cell = cell
        self.broker = broker
        self.topic: Cell = cell_on(broker.address, name)
        self._name = name
        self._log = folder / f"{name}.log"
        self._jobs = 0
        self._projects = 0
        self._running: list[subprocess.Popen[bytes]] = []
        cell.register("node-1", cpus=8)

    def start(self, *names: str) -> None:
        """Start these processes in one of the system's, all if none is named."""
        settings = {
            "COMPUTE_DATABASE_URL": self.cell.dsn,
            "COMPUTE_KAFKA": self.broker.address,
            "COMPUTE_FOLLOW": "kafka",
            "COMPUTE_CELL": self._name,
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "processors", *(names or ALL)]
            process = subprocess.Popen(
                command, env={**os.environ, **settings}, stdout=log, stderr=log
            )
        self._running.append(process)

    def stop(self) -> None:
        """End all that was started."""
        for process in self._running:
            process.kill()
            process.wait()

    def submit(self, count: int) -> None:
        """So many jobs, each accepted: it is in the log when this returns."""
        for _ in range(count):
            self.cell.submit(f"job-{self._jobs}")
            self._jobs += 1

    def fill(self, count: int) -> None:
        """So many other events, by hundreds."""
        for _ in range(0, count, 100):
            add(self.cell.store, self._projects, 100)
            self._projects += 100

    def settle(self) -> None:
        """Wait until the read models have the whole log, and nothing is added to it any more."""
        deadline = time.monotonic() + SETTLED_SECONDS
        calm_since, head = time.monotonic(), -1
        while head != self.cell.store.head() or time.monotonic() - calm_since < 1.0:
            assert time.monotonic() < deadline, f"{self._where()}: {self.told()[-3000:]}"
            if min(positions(self.cell.connection).values()) < self.cell.store.head():
                head = -1
            elif head != self.cell.store.head():
                calm_since, head = time.monotonic(), self.cell.store.head()
            time.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Every read model is, row by row, the fold of the log, which has every job submitted."""
        log: list[Recorded] = []
        while some := self.cell.store.read(log[-1].position if log else 0, READ):
            log += some
        expected = folded(log)
        found = parsed(dump(self.cell.connection))
        for view in VIEWS:
            assert found[view.name] == expected[view.name], view.name
        submitted = {str(r.event.job) for r in log if r.event.topic == "job.submitted.v1"}  # type: ignore[attr-defined]  # by its topic
        assert submitted == {f"job-{number}" for number in range(self._jobs)}

    def told(self) -> str:
        """What the processes logged."""
        return self._log.read_text()

    def _where(self) -> str:
        return f"{positions(self.cell.connection)} of {self.cell.store.head()}"


@contextmanager
def faulty_kafka(cell: SmallCell, broker: Broker, name: str, folder: Path) -> Iterator[FaultyKafka]:
    """The cell, its processes stopped at the end."""
    made = FaultyKafka(cell, broker, name, folder)
    try:
        yield made
    finally:
        made.stop()
