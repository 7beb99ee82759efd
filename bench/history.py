"""A long history for benchmarks: jobs that were decided by the real scheduler's rules and ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from domain.allocation import allocation as allocations
from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome
from domain.event import Change, Event, Meta, Recorded, stream_of
from domain.job import job as jobs
from domain.job.spec import JobSpec
from domain.node import node as nodes
from domain.node.events import Registered
from domain.scheduling.decide import decide
from domain.scheduling.events import Step
from domain.scheduling.receipt import with_receipts
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.topology import Device
from infra.store import Store

GIB = 2**30
META = Meta("ada", "command:bench", "bench", "ml")
CPUS = 64
WAVE = 500
"""Jobs submitted together; as many as fit run at a time."""


def spec(number: int) -> JobSpec:
    """A job of one of a few shapes."""
    want = Resources(1000 * (1 + number % 4), GIB * (1 + number % 8))
    words = ("python", "train.py", "--seed", str(number))
    return JobSpec(f"job-{number}", ProjectId("ml"), words, resources=want)


def submissions(count: int, now: int) -> list[Change]:
    """New jobs, numbered by time."""
    found = []
    for number in range(count):
        job = JobId(f"job-{now:012d}{number:06d}")
        events = jobs.submit(job, spec(number), "ada", now)
        found.append(Change(stream_of("job", job), 0, events, META))
    return found


def register(store: Store, count: int) -> None:
    """So many nodes with 8 GPUs each."""
    for number in range(count):
        name = f"node-{number:05d}"
        gpus = tuple(Device(DeviceId(f"{name}-{n}"), "H100", 80 * GIB) for n in range(8))
        capacity = Resources(CPUS * 1000, 512 * GIB, 8000)
        offer = Registered(NodeId(name), "boot", capacity, gpus, ("process",))
        store.append([Change(stream_of("node", name), 0, nodes.register(None, offer), META)])


def write_history(store: Store, count: int) -> Snapshot:
    """`count` jobs submitted, decided, run and ended, in waves; the snapshot after it."""
    world = _World(store)
    for wave in range(0, count, WAVE):
        world.append(submissions(min(WAVE, count - wave), world.now))
        while world.snapshot.jobs:
            world.decide()
            world.append(list(world.report(started)))
            world.decide()
            world.append(list(world.report(ended)))
            world.decide()
    return world.snapshot


Fact = Callable[[Snapshot, AllocationId], list[Event]]


def started(snapshot: Snapshot, name: AllocationId) -> list[Event]:
    """Facts: every seat of an allocation runs."""
    state = snapshot.allocations[name]
    return [
        event
        for seat in state.seats
        for event in allocations.seat_started(state, seat.rank, seat.node, "boot", "process")
    ]


def ended(snapshot: Snapshot, name: AllocationId) -> list[Event]:
    """Facts: every seat of an allocation ended well."""
    state = snapshot.allocations[name]
    end = SeatEnd(Outcome.EXITED, 0, "")
    return [
        event
        for seat in state.seats
        for event in allocations.seat_ended(state, seat.rank, seat.node, "boot", end)
    ]


class _World:
    """The log and the snapshot that follows it, without reading it again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.snapshot = Snapshot()
        self.now = store.head()
        position = 0
        while batch := store.read(position, 5000):
            self.apply(batch)
            position = batch[-1].position

    def apply(self, batch: list[Recorded]) -> None:
        for recorded in batch:
            self.snapshot.apply(recorded)

    def append(self, changes: list[Change]) -> None:
        self.now += 1
        for first in range(0, len(changes), 1000):
            self.apply(self.store.append(changes[first : first + 1000]))

    def report(self, fact: Fact) -> Iterator[Change]:
        for name in sorted(self.snapshot.allocations):
            stream = stream_of("allocation", name)
            events = fact(self.snapshot, name)
            yield Change(stream, self.snapshot.versions[stream], events, META)

    def decide(self) -> None:
        """One cycle, as the scheduler makes it."""
        for step in Step:
            self.now += 1
            decisions = decide(step, self.snapshot, self.now)
            if step is Step.CONCLUDE and not decisions:
                self.snapshot.touched.clear()
            for changes in with_receipts(step, self.snapshot, self.now, decisions, 1000):
                self.apply(self.store.append(changes))
