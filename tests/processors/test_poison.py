"""Poison events and who decides: nothing is decided on what cannot be read, all else goes on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from random import Random

import pytest

from domain.allocation.events import Granted
from domain.event import Recorded, StreamId
from domain.job import job as jobs
from domain.policy.events import SchedulerSet, SchedulerSettings
from domain.scheduling.snapshot import RECEIPTS, Snapshot
from domain.values.time import HOUR
from infra import quarantine
from infra.codec import Poison, UnknownEvent
from infra.snapshots import Snapshots
from infra.store import Change, stream_of
from processors import scheduler as schedulers
from processors.reading import Again, PostgresQuarantine, Reading, StandsStill
from processors.scheduler import ROLE, Scheduler
from tests.processors.small_cell import META, SmallCell, settle
from tests.processors.test_projector import POISON, rename
from tests.processors.test_quarantine import discard
from tests.processors.test_timers import timers
from tests.projections.histories import SEEDS, Portions, history
from tests.replayed import check
from tests.simulation.log import MemoryLog


def scheduler(cell: SmallCell) -> Scheduler:
    """A new leader that tells of what it cannot read."""
    ward = PostgresQuarantine(cell.connection, ROLE)
    epoch = cell.store.take_role(ROLE, "test")
    return Scheduler(cell.store, cell.stream, epoch, cell.now, ward)


def spoil(cell: SmallCell, stream: str) -> tuple[int, str]:
    """Nobody knows the last event of a stream; its position and its name."""
    last = cell.store.stream(stream_of(*stream.split("/")))[-1]
    rename(cell, last.position, POISON)
    return last.position, last.event.topic


def readable(cell: SmallCell, after: int = 0) -> list[Recorded]:
    """The events that can be read."""
    found = []
    for position in range(after + 1, cell.store.head() + 1):
        with contextlib.suppress(UnknownEvent):
            found += [r for r in cell.store.read(position - 1, 1) if r.position == position]
    return found


def told(cell: SmallCell) -> list[tuple[str, str, int, bool]]:
    """What is held back."""
    found = quarantine.find(cell.connection)
    return [(h.consumer, h.stream, h.position, h.stops) for h in found]


def test_a_job_that_cannot_be_read_waits_and_others_are_placed(
    cell: SmallCell, caplog: pytest.LogCaptureFixture
) -> None:
    cell.register("node-1")
    cell.submit("bad")
    cell.submit("good")
    bad, name = spoil(cell, "job/bad")
    leader = scheduler(cell)
    with caplog.at_level(logging.ERROR):
        settle(leader)
        settle(scheduler(cell))
    assert cell.phase("good") == "starting"
    assert [r.event.job for r in readable(cell) if isinstance(r.event, Granted)] == ["good"]
    assert told(cell) == [(ROLE, "job/bad", bad, False)]
    assert len(caplog.records) == 1, "an alert, and not with every life"

    rename(cell, bad, name)
    assert not leader.cycle(), "it goes on as it is until it is asked"
    quarantine.ask_retry(cell.connection, ROLE)
    with pytest.raises(Again):
        leader.cycle()
    settle(scheduler(cell))
    assert cell.phase("bad") == "starting"
    assert told(cell) == []


@pytest.mark.parametrize("spoilt", ["job/low", "allocation/alloc-low-1", "node/node-1"])
def test_what_is_held_stays_held(cell: SmallCell, spoilt: str) -> None:
    """The job runs on and ends unseen; nobody gets its room, nobody preempts it."""
    cell.register("node-1")
    cell.submit("low", resources=cell.cpus(2))
    settle(scheduler(cell))
    cell.start("low")
    settle(scheduler(cell))
    if spoilt == "allocation/alloc-low-1":
        cell.end("low")
    if spoilt == "node/node-1":
        cell.cordon("node-1", drain=True)
    position, name = spoil(cell, spoilt)
    cell.submit("high", resources=cell.cpus(2), priority=500)
    cell.register("node-2", cpus=1)
    cell.submit("small")
    head = cell.store.head()
    settle(scheduler(cell))
    happened = readable(cell, head)
    streams = {recorded.stream for recorded in happened} - {RECEIPTS}
    assert streams == {"job/high", "job/small", "allocation/alloc-small-1"}
    assert cell.phase("small") == "starting"
    assert cell.phase("high") == "queued"
    assert told(cell) == [(ROLE, spoilt, position, False)]
    rename(cell, position, name)
    settle(scheduler(cell))
    assert told(cell) == []
    assert cell.phase("low") == ("succeeded" if spoilt.startswith("alloc") else "preempting")


@pytest.mark.parametrize("spoilt", ["allocation/alloc-low-1", "policy/cell", "project/ml"])
def test_where_no_decision_is_safe_the_scheduler_stands_still(cell: SmallCell, spoilt: str) -> None:
    """Who holds what or what the limits are is not known: nothing is decided, and that is told."""
    cell.register("node-1")
    cell.limit(2)
    settings = [SchedulerSet(SchedulerSettings(grace_seconds=7))]
    cell.store.append([Change(StreamId("policy/cell"), 0, settings, META)])
    cell.submit("low", resources=cell.cpus(2))
    settle(scheduler(cell))
    position, name = spoil(cell, spoilt)
    cell.submit("other")
    head = cell.store.head()
    for _ in range(2):
        with pytest.raises(StandsStill, match=f"{spoilt} at position {position}"):
            scheduler(cell).cycle()
    assert cell.store.head() == head
    assert told(cell) == [(ROLE, spoilt, position, True)]
    rename(cell, position, name)
    settle(scheduler(cell))
    assert cell.store.head() > head
    assert told(cell) == []


def test_a_discard_lets_the_scheduler_go_on_without_the_event(cell: SmallCell) -> None:
    cell.register("node-1")
    cell.limit(0)
    cell.submit("job")
    position, _ = spoil(cell, "project/ml")
    with pytest.raises(StandsStill):
        scheduler(cell).cycle()
    discard(cell.store, ROLE, "project/ml", position)
    settle(scheduler(cell))
    assert cell.phase("job") == "starting", "the limit that was not read does not hold"
    assert told(cell) == []


def test_what_no_decision_rests_on_is_read_past(cell: SmallCell) -> None:
    cell.register("node-1")
    position = discard_something(cell)
    rename(cell, position, POISON)
    cell.submit("job")
    settle(scheduler(cell))
    assert cell.phase("job") == "starting"
    assert told(cell) == []


def discard_something(cell: SmallCell) -> int:
    """An event on a stream the scheduler does not read; its position."""
    discard(cell.store, "jobs", "job/any", 1)
    return cell.store.head()


class Spoilt(Portions):
    """A history in which one event cannot be read."""

    bad: int

    def read(self, after: int, limit: int) -> list[Recorded]:
        found = super().read(after, limit)
        good = [r for r in found if r.position < self.bad or r.position > self.bad]
        before = [r for r in good if r.position < self.bad]
        if len(good) == len(found) or before:
            return before if len(good) < len(found) else found
        event = found[0]
        name = event.event.topic
        raise UnknownEvent(Poison(event.stream, event.position, event.version, name, "spoilt"))


class Ward:
    """The port `Quarantine` that remembers."""

    def __init__(self) -> None:
        self.stops = False

    def enter(self, bad: Poison, *, stops: bool = False) -> None:
        assert bad.error == "spoilt" or stops
        self.stops |= stops

    def keep_only(self, streams: Collection[str]) -> None:
        """Nothing to forget."""

    def retry_asked(self) -> bool:
        return False


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_nothing_is_free_that_an_unread_event_may_have_given_away(seed: int) -> None:
    """Against the whole truth: no room more, no job more to place, wherever the bad event is."""
    events, random = history(seed), Random(seed)
    stood = went = 0
    for _ in range(60):
        cut = random.randrange(1, len(events))
        truth, seen, ward = Snapshot(), Snapshot(), Ward()
        for recorded in events[:cut]:
            truth.apply(recorded)
        stream = Spoilt(events[:cut], [50])
        stream.bad = events[random.randrange(cut)].position
        try:
            Reading(MemoryLog(lambda: 0), stream, ROLE, ward).follow(seen)
        except StandsStill:
            assert ward.stops
            stood += 1
            continue
        went += 1
        assert seen.position == truth.position
        assert set(seen.lines.of_job) <= set(truth.lines.of_job)
        for name, state in seen.nodes.items():
            if state.takes_work:
                real = truth.nodes[name]
                assert all(left <= real.left[device] for device, left in state.left.items())
                assert state.taken.cpu_milli >= real.taken.cpu_milli
                assert state.taken.memory_bytes >= real.taken.memory_bytes
    assert stood
    assert went


def test_timers_tell_of_what_they_cannot_read_and_take_it_back(cell: SmallCell) -> None:
    cell.register("node-1", cpus=4)
    for name in ("bad", "good"):
        cell.submit(name, time_limit_seconds=60)
        settle(cell.scheduler())
        cell.decide(name, lambda job: jobs.start(job, 1, cell.now() - HOUR))
    cell.project()
    position, topic = spoil(cell, "job/bad")
    process = timers(cell)
    process.tick()
    process.tick()
    assert cell.phase("good") == "stopping"
    assert told(cell) == [("timers", "job/bad", position, False)]
    rename(cell, position, topic)
    process.tick()
    assert cell.phase("bad") == "stopping"
    assert told(cell) == []


def test_what_was_decided_without_a_stream_is_not_held_against_the_log(cell: SmallCell) -> None:
    """Whoever can read it now decides otherwise: a replay says how many it cannot confirm."""
    cell.register("node-1")
    cell.submit("bad")
    cell.submit("good")
    position, name = spoil(cell, "job/bad")
    settle(scheduler(cell))
    rename(cell, position, name)
    settle(scheduler(cell))
    cell.start("bad")
    cell.start("good")
    settle(scheduler(cell))
    tally = check(cell.store.read)
    assert tally.unconfirmed == 1
    assert tally.receipts > 1


def test_no_state_is_kept_that_could_not_be_tried_again(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader that begins from a kept state reads only what follows it."""
    monkeypatch.setattr(schedulers, "SAVE_EVENTS", 1)
    ward = PostgresQuarantine(cell.connection, ROLE)

    def lead(kept: Snapshots) -> None:
        epoch = cell.store.take_role(ROLE, "test")
        leader = Scheduler(cell.store, cell.stream, epoch, cell.now, ward, kept)
        settle(leader)
        leader.save()

    cell.register("node-1")
    cell.submit("bad")
    position, name = spoil(cell, "job/bad")
    kept = Snapshots(cell.dsn)
    lead(kept)
    assert kept.newest(cell.store.head()).position == 0
    rename(cell, position, name)
    lead(kept)
    assert kept.newest(cell.store.head()).position >= position
    assert cell.phase("bad") == "starting"
    assert told(cell) == []
