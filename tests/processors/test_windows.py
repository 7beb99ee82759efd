"""Windows wake the scheduler though nothing happens, and what it decides then comes out again."""

from __future__ import annotations

from typing import Any

from domain.allocation.seat import Outcome
from domain.event import stream_of
from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.schedule import Schedule
from domain.scheduling.saved import pack, unpack
from domain.values.ids import NodeId
from domain.values.time import HOUR, SECOND
from processors.scheduler import ROLE, Scheduler
from tests.processors.small_cell import META, SmallCell, settle
from tests.replayed import check


class Timed:
    """A cell whose scheduler has its own clock."""

    def __init__(self, cell: SmallCell) -> None:
        self.cell, self.clock = cell, cell.now()
        epoch = cell.store.take_role(ROLE, "test")
        self.leader = Scheduler(cell.store, cell.stream, epoch, lambda: self.clock)

    def reserve(self, name: str, start: int, seconds: int, **terms: Any) -> None:
        wish = Terms(Schedule(start, seconds), (NodeId("node-1"),), **terms)
        self.cell.store.execute(
            stream_of("reservation", name),
            reservations.evolve,
            None,
            lambda state: reservations.create(state, name, wish, self.clock),
            META,
        )

    def at(self, moment: int) -> bool:
        """It is so late now; whether the scheduler had anything to do."""
        self.clock = moment
        busy = self.leader.cycle()
        settle(self.leader)
        return busy


def test_time_alone_moves_jobs_out_and_lets_them_in_again(cell: SmallCell) -> None:
    cell.register("node-1", cpus=1)
    timed = Timed(cell)
    cell.submit("runs", grace_seconds=60)
    settle(timed.leader)
    cell.start("runs")
    start = timed.clock + HOUR
    timed.reserve("fans", start, 3600, maintenance=True)
    settle(timed.leader)
    assert not timed.at(start - 61 * SECOND)
    assert cell.phase("runs") == "running"
    assert timed.at(start - 60 * SECOND)
    assert cell.phase("runs") == "preempting"
    cell.end("runs", Outcome.STOPPED, None)
    assert timed.at(start - 30 * SECOND)
    assert cell.phase("runs") == "queued"
    assert timed.at(start)
    assert not timed.at(start + HOUR - SECOND)
    assert timed.at(start + HOUR)
    assert cell.phase("runs") == "starting"
    tally = check(cell.store.read)
    assert tally.decisions > 0


def test_what_begins_while_a_cycle_is_under_way_is_seen_in_the_next(cell: SmallCell) -> None:
    """The clock passes the window's start between the two steps of a cycle."""
    cell.register("node-1", cpus=1)
    timed = Timed(cell)
    cell.submit("runs", grace_seconds=0)
    settle(timed.leader)
    cell.start("runs")
    start = timed.clock + HOUR
    timed.reserve("fans", start, 3600, maintenance=True)
    times = iter([start - 2, start - 2, start - 2, start + 1])
    timed.leader._now = lambda: next(times, start + 1)
    settle(timed.leader)
    assert cell.phase("runs") == "preempting"
    check(cell.store.read)


def test_a_leader_that_takes_over_knows_the_reservations_kept(cell: SmallCell) -> None:
    cell.register("node-1", cpus=1)
    timed = Timed(cell)
    timed.reserve("fans", timed.clock, 3600, users=("grace",))
    settle(timed.leader)
    timed.leader.snapshot = unpack(pack(timed.leader.snapshot))
    cell.submit("job", estimate_seconds=60)
    settle(timed.leader)
    assert cell.phase("job") == "queued"
    assert timed.at(timed.clock + HOUR)
    assert cell.phase("job") == "starting"
    check(cell.store.read)
