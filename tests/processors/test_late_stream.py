"""The scheduler on a stream that lags behind the log, as one through Kafka does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from domain.event import Recorded
from processors.scheduler import ROLE, Scheduler
from tests.processors.small_cell import SmallCell


class Late:
    """The log as a relay has copied it up to `until`; everything later is on its way."""

    def __init__(self, cell: SmallCell) -> None:
        self._cell = cell
        self.until = 0

    def read(self, after: int, limit: int) -> list[Recorded]:
        return [r for r in self._cell.store.read(after, limit) if r.position <= self.until]

    def wait(self, seconds: float) -> None:
        """The port of streams, of which only reading is needed here."""

    def catch_up(self) -> None:
        """All that is in the log has arrived."""
        self.until = self._cell.store.head()


@pytest.fixture
def cell(dsn: str) -> Iterator[SmallCell]:
    with closing(SmallCell(dsn)) as cell:
        yield cell


def leader(cell: SmallCell, stream: Late) -> Scheduler:
    return Scheduler(cell.store, stream, cell.store.take_role(ROLE, "test"), cell.now)


def phases(cell: SmallCell) -> list[str]:
    return [cell.phase(name) for name in ("job-a", "job-b")]


def test_what_it_decided_is_counted_before_it_decides_again(cell: SmallCell) -> None:
    """Its own grant is in the log, but behind a more urgent submission on the way to it."""
    stream = Late(cell)
    cell.register("node-1", cpus=2)
    for name in ("job-0", "job-a"):
        cell.submit(name, resources=cell.cpus(2))
    scheduler = leader(cell, stream)
    stream.catch_up()
    assert scheduler.cycle()
    cell.start("job-0")
    cell.end("job-0")
    stream.catch_up()
    scheduler.cycle()
    assert (cell.phase("job-0"), cell.phase("job-a")) == ("succeeded", "queued")

    stream.catch_up()
    cell.submit("job-b", resources=cell.cpus(2), priority=9)
    between = cell.store.head()
    assert scheduler.cycle()
    assert phases(cell) == ["starting", "queued"]

    stream.until = between
    scheduler.cycle()
    scheduler.cycle()
    assert phases(cell) == ["starting", "queued"], "the node has no room for both"

    stream.catch_up()
    while scheduler.cycle():
        stream.catch_up()
    assert phases(cell) == ["preempting", "queued"]


def test_a_new_leader_first_reads_what_others_decided(cell: SmallCell) -> None:
    stream = Late(cell)
    cell.register("node-1", cpus=2)
    cell.submit("job-a", resources=cell.cpus(2))
    cell.submit("job-b", resources=cell.cpus(2))
    stream.catch_up()
    assert leader(cell, stream).cycle()
    assert phases(cell) == ["starting", "queued"]

    another = leader(cell, stream)
    assert not another.cycle()
    assert phases(cell) == ["starting", "queued"]
    stream.catch_up()
    another.cycle()
    assert phases(cell) == ["starting", "queued"]
