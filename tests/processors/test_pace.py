"""The leader's rounds: small cycles go through the whole queue, and replay confirms them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from domain.event import Recorded
from domain.job.job import set_priority
from domain.scheduling.events import Decided
from processors.pace import CHANGE, FIRST, SHARE, Measured
from processors.scheduler import ROLE, Scheduler
from processors.stream import EventStream
from tests.processors.small_cell import SmallCell, settle
from tests.replayed import check


class Fixed:
    """Always so many units."""

    def __init__(self, units: int) -> None:
        self.units = units

    def begin(self) -> None:
        """Of no interest."""

    def bound(self, budget_ms: int) -> int:
        """As given."""
        assert budget_ms == 500, "the policy's default"
        return self.units

    def did(self, units: int) -> None:
        """Of no interest."""


def leader_of(cell: SmallCell, units: int) -> Scheduler:
    epoch = cell.store.take_role(ROLE, "test")
    return Scheduler(cell.store, cell.stream, epoch, cell.now, pace=Fixed(units))


def crowd(cell: SmallCell) -> list[str]:
    """A full node of 4 CPUs, ten jobs that are too large for what is left, one that would fit."""
    cell.register("node-1", cpus=4)
    cell.submit("runs", resources=cell.cpus(3), priority=9)
    settle(cell.scheduler())
    large = [f"large-{number}" for number in range(10)]
    for number, name in enumerate(large):
        cell.submit(name, resources=cell.cpus(2), priority=5, time_limit_seconds=100 + number)
    cell.submit("last")
    return large


@pytest.mark.parametrize("units", [1, 25])
def test_a_round_of_small_cycles_comes_to_the_last_and_is_confirmed(
    cell: SmallCell, units: int
) -> None:
    large = crowd(cell)
    leader = leader_of(cell, units)
    cycles = 0
    while cell.phase("last") == "queued":
        assert cell.job("last").waiting is None, "nothing is said of it that is not known"
        assert leader.cycle()
        cycles += 1
    assert cycles > 2
    settle(leader)
    assert all(cell.job(name).waiting for name in large)
    receipts = [r for r in cell.happened(Decided) if r.bound.cursor is not None]
    assert receipts, "some cycle went on behind another"
    assert all(receipt.bound.units == units for receipt in receipts)
    assert check(cell.store.read).unconfirmed == 0


def test_a_leader_at_rest_stays_at_rest_and_a_new_one_begins_at_the_top(cell: SmallCell) -> None:
    crowd(cell)
    leader = leader_of(cell, 1)
    settle(leader)
    assert not leader.cycle()
    cell.submit("more", priority=1)
    assert leader.cycle()
    successor = leader_of(cell, 1)
    settle(successor)
    assert cell.job("more").waiting is not None
    check(cell.store.read)


def test_what_happens_in_a_round_makes_another(cell: SmallCell) -> None:
    """What came free behind the cursor's back goes to the first, without any further event."""
    crowd(cell)
    leader = leader_of(cell, 60)
    for _ in range(3):
        leader.cycle()
    cell.end("runs")
    settle(leader)
    phases = [cell.phase(name) for name in ("large-0", "large-1", "large-2", "last")]
    assert phases == ["starting", "starting", "queued", "queued"]
    check(cell.store.read)


@dataclass
class Late:
    """The port `EventStream` before another, which has not come further than `until` yet."""

    stream: EventStream
    until: int

    def read(self, after: int, limit: int) -> list[Recorded]:
        return [each for each in self.stream.read(after, limit) if each.position <= self.until]

    def wait(self, seconds: float) -> None:
        self.stream.wait(seconds)


def test_in_a_round_a_rivals_write_is_awaited_before_anything_else(cell: SmallCell) -> None:
    """Deciding the same again and again, until the stream has it, would only keep it busy."""
    large = crowd(cell)
    stream = Late(cell.stream, cell.store.head())
    epoch = cell.store.take_role(ROLE, "test")
    leader = Scheduler(cell.store, stream, epoch, cell.now, pace=Fixed(1))
    assert leader.cycle()
    stream.until = cell.store.head()
    for name in (*large, "last"):
        cell.decide(name, lambda job: set_priority(job, job.priority + 1))
    assert leader.cycle(), "it met the rival's write"
    assert not leader.cycle()
    stream.until = cell.store.head() + 1_000_000
    settle(leader)
    assert cell.phase("last") != "queued"
    assert check(cell.store.read).unconfirmed == 0


def test_the_bound_follows_the_clock() -> None:
    now = [0.0]
    pace = Measured(lambda: now[0])

    def cycle(prepare: float, per_unit: float) -> int:
        pace.begin()
        now[0] += prepare
        units = pace.bound(1000)
        now[0] += units * per_unit
        pace.did(units)
        return units

    assert cycle(0, 0.001) == FIRST
    for _ in range(20):
        last = cycle(0, 0.001)
    assert 990 <= last <= 1010, "a thousand units of a millisecond in a second"
    assert 490 <= cycle(0.5, 0.001) <= 510, "what it took to prepare is spent"
    assert last // SHARE - 10 <= cycle(60, 0.001) <= last // SHARE + 10, "some always go on"
    before = cycle(0, 0.001)
    cycle(0, 1.0)
    assert cycle(0, 0.001) >= before / CHANGE, "one slow cycle is no rule"
    pace.begin()
    pace.did(1)
    assert cycle(0, 0.001) >= before / CHANGE, "nor is one of a single job"
