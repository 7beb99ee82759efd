"""The scheduler as a process on a real log: decisions, rivals, take-overs, ends in mid-cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

import pytest

from domain.allocation.events import Granted, Released
from domain.allocation.seat import Outcome
from domain.errors import StaleWriter
from domain.event import Recorded
from domain.job import events as e
from domain.job import job as jobs
from domain.job.events import QueuedCause, StopCause
from domain.scheduling.reason import WaitCode
from infra.recorder import Answer, Epoch, Session
from infra.store import Change, Store
from processors import scheduler as module
from tests.processors.small_cell import SmallCell, settle


class Disturbed(Store):
    """The store as the scheduler sees it; something happens around its appends."""

    before: Callable[[], None] = staticmethod(lambda: None)
    after: Callable[[], None] = staticmethod(lambda: None)

    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        if not changes:
            return []
        self.before()
        recorded = super().append(changes, epoch=epoch, answer=answer, session=session)
        self.after()
        return recorded


def phases(cell: SmallCell, *names: str) -> list[str]:
    return [cell.phase(name) for name in names]


def test_who_fits_is_placed_who_does_not_waits_and_is_next(cell: SmallCell) -> None:
    cell.register("node-1", cpus=2)
    for name in ("a", "b", "c"):
        cell.submit(name)
    leader = cell.scheduler()
    settle(leader)
    assert phases(cell, "a", "b", "c") == ["starting", "starting", "queued"]
    waiting = cell.job("c").waiting
    assert waiting is not None
    assert waiting.code is WaitCode.INSUFFICIENT_CPU
    cell.start("a")
    settle(leader)
    assert cell.phase("a") == "running"
    cell.end("a")
    settle(leader)
    assert phases(cell, "a", "b", "c") == ["succeeded", "starting", "starting"]
    assert [r.allocation for r in cell.happened(Released)] == ["alloc-a-1"]


def test_a_victim_leaves_before_its_room_is_given_away(cell: SmallCell) -> None:
    cell.register("node-1", cpus=1)
    cell.submit("low")
    leader = cell.scheduler()
    settle(leader)
    cell.start("low")
    cell.submit("high", priority=9)
    settle(leader)
    assert phases(cell, "low", "high") == ["preempting", "queued"]
    [asked] = cell.happened(e.PreemptionRequested)
    assert (asked.attempt, asked.cause, asked.preemptor) == (1, StopCause.PRIORITY, "high")
    since = cell.job("low").queued_since
    cell.end("low", Outcome.STOPPED, None)
    settle(leader)
    assert phases(cell, "low", "high") == ["queued", "starting"]
    again = cell.happened(e.Queued)[-1]
    assert (again.cause, again.since) == (QueuedCause.PREEMPTED, since)


def test_a_drained_node_is_left_and_a_gang_is_one(cell: SmallCell) -> None:
    for node in ("node-1", "node-2", "node-3"):
        cell.register(node, cpus=1)
    cell.submit("gang", replicas=2)
    leader = cell.scheduler()
    settle(leader)
    [granted] = cell.happened(Granted)
    assert len({seat.node for seat in granted.seats}) == 2
    cell.start("gang")
    cell.cordon(granted.seats[0].node, drain=True)
    settle(leader)
    assert cell.phase("gang") == "preempting"
    cell.end("gang", Outcome.STOPPED, None)
    settle(leader)
    second = cell.happened(Granted)[-1]
    assert granted.seats[0].node not in {seat.node for seat in second.seats}
    assert cell.phase("gang") == "starting"


def test_a_quota_lets_wait(cell: SmallCell) -> None:
    cell.register("node-1", cpus=8)
    cell.limit(cpus=1)
    cell.submit("a")
    cell.submit("b")
    settle(cell.scheduler())
    waiting = cell.job("b").waiting
    assert waiting is not None
    assert (waiting.code, waiting.blocker) == (WaitCode.OVER_QUOTA, "cpu")


def test_whoever_leads_no_more_is_refused_and_places_nothing(cell: SmallCell) -> None:
    """Both leaders decide from the same log, and so the same: only the newer may say it."""
    cell.register("node-1")
    stale = cell.scheduler()
    fresh = cell.scheduler()
    cell.submit("a")
    head = cell.store.head()
    with pytest.raises(StaleWriter):
        stale.cycle()
    assert cell.store.head() == head
    settle(fresh)
    cell.start("a")
    cell.end("a")
    with pytest.raises(StaleWriter):
        settle(stale)
    settle(fresh)
    assert cell.phase("a") == "succeeded"
    assert len(cell.happened(Granted)) == 1


def test_a_take_over_between_two_appends_of_a_cycle(cell: SmallCell) -> None:
    """The conclusion is recorded, then another leads: it goes on from there."""
    cell.register("node-1", cpus=1)
    cell.submit("a")
    with closing(Disturbed(cell.dsn)) as store:
        first = cell.scheduler(store)
        settle(first)
        cell.start("a")
        cell.end("a")
        cell.submit("b")
        leaders = [first]
        store.after = lambda: leaders.append(cell.scheduler())
        with pytest.raises(StaleWriter):
            settle(first)
    assert phases(cell, "a", "b") == ["succeeded", "queued"]
    settle(leaders[-1])
    assert cell.phase("b") == "starting"


@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_rival_write_makes_it_decide_anew(
    cell: SmallCell, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job is cancelled just before the placements: none of its transaction is recorded."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    cell.register("node-1", cpus=2)
    for name in ("a", "b", "c"):
        cell.submit(name)
    with closing(Disturbed(cell.dsn)) as store:

        def rival() -> None:
            store.before = lambda: None
            cell.decide("a", lambda job: jobs.cancel(job, 0))

        store.before = rival
        leader = cell.scheduler(store)
        assert leader.cycle()
        assert phases(cell, "a", "b", "c") == ["cancelled", "queued", "queued"]
        assert cell.happened(Granted) == []
        settle(leader)
    assert phases(cell, "a", "b", "c") == ["cancelled", "starting", "starting"]
    assert [granted.job for granted in cell.happened(Granted)] == ["b", "c"]


class Killed(BaseException):
    """The process ended here."""


class Lives:
    """A scheduler that is killed before or after its append of this number, and its successor."""

    def __init__(self, cell: SmallCell, store: Disturbed, when: str, number: int) -> None:
        self._cell, self._store, self.left = cell, store, number
        setattr(store, when, self._count)
        self._leader = cell.scheduler(store)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def settle(self) -> None:
        """Decide all there is to decide, by as many leaders as it takes."""
        try:
            settle(self._leader)
        except Killed:
            self._leader = self._cell.scheduler(self._store)
            settle(self._leader)


def story(cell: SmallCell, run: Callable[[], None]) -> list[Counter[tuple[str, str]]]:
    """A gang, a victim, a failure; what was recorded, in whichever order, after each step."""
    found = []

    def step() -> None:
        run()
        log = cell.store.read(0, 10_000)
        found.append(Counter((str(item.stream), item.event.topic) for item in log))

    cell.register("node-1", cpus=2)
    cell.submit("gang", replicas=2)
    cell.submit("small")
    step()
    cell.start("gang")
    step()
    cell.submit("high", priority=9)
    step()
    cell.end("gang", Outcome.STOPPED, None)
    step()
    cell.end("high", Outcome.EXITED, 3)
    step()
    return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_append_the_next_leader_records_the_same(cell: SmallCell, when: str) -> None:
    """For every append of the story in turn, until there is none left to be killed at."""
    whole = story(cell, partial(settle, cell.scheduler()))
    for number in range(1, 100):
        cell.connection.execute("TRUNCATE stored_events, leaders")
        with closing(Disturbed(cell.dsn)) as store:
            lives = Lives(cell, store, when, number)
            found = story(cell, lives.settle)
        if lives.left > 0:
            break
        assert found == whole, f"killed {when} append {number}"
    assert number > 6
