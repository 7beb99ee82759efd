"""A large cell in memory: a snapshot kept by events, as the scheduler keeps it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from domain.allocation import allocation as allocations
from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome, Seat
from domain.event import Event, Meta, Recorded, StreamId
from domain.job import job as jobs
from domain.job.spec import JobSpec
from domain.node.events import Registered
from domain.scheduling.conclude import conclude
from domain.scheduling.decide import planned
from domain.scheduling.made import Placement, Plan
from domain.scheduling.plan import MOST_PLACEMENTS, plan
from domain.scheduling.room import Room
from domain.scheduling.score import order_of
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, JobId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.topology import Device, Location

SECOND = 1_000_000
GIB = 2**30
RACK, SPINE = 16, 256
CPUS, MEMORY = 128_000, 1024 * GIB
ENDED = SeatEnd(Outcome.EXITED, 0, "")
PROJECTS = 8
SIZES = ((1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4))
"""GPUs of a seat, and seats."""
BACKLOG = 20_000


def shapes(draw: random.Random, count: int, *, estimates: bool) -> list[JobSpec]:
    """So many kinds of jobs, of several projects, sizes, priorities and lengths."""
    found = []
    for number in range(count):
        gpus, seats = SIZES[number % len(SIZES)]
        seconds = draw.choice((600, 3600, 14_400)) if estimates else None
        found.append(
            JobSpec(
                f"shape-{number}",
                ProjectId(f"project-{number % PROJECTS}"),
                ("true",),
                resources=Resources(gpus * 4000, gpus * draw.randint(8, 64) * GIB, gpus * 1000),
                replicas=seats,
                priority=draw.choice((0, 50, 100)),
                estimate_seconds=seconds,
            )
        )
    return found


class BigCell:
    """Nodes of 8 GPUs; what is decided happens at once."""

    def __init__(self, nodes: int) -> None:
        self.snapshot = Snapshot()
        self.now = SECOND
        self._number = 0
        self._running: list[JobId] = []
        for number in range(nodes):
            self._record(f"node/node-{number}", [_offer(number)])

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self.snapshot.allocations)

    def fill(self, kinds: Sequence[JobSpec], draw: random.Random) -> int:
        """Run jobs until no GPU job of a full queue fits."""
        while True:
            self.queue(kinds, draw, BACKLOG)
            before = self.running
            while self.cycle().placements:
                pass
            if self.running == before:
                return before

    def fill_by_hand(self, live: int, estimates: bool = False) -> int:
        """Run so many small jobs as the planner would, node after node, but without it."""
        nodes = sorted(self.snapshot.nodes, key=order_of)
        each = -(-live // len(nodes))
        spec = small(CPUS // each, estimates)
        for begin in range(0, live, MOST_PLACEMENTS):
            numbers = range(begin, min(live, begin + MOST_PLACEMENTS))
            self.submit([spec] * len(numbers))
            waiting = zip(numbers, [*self.snapshot.lines.of_job], strict=True)
            seats = ((job, (Seat(0, nodes[n // each], ()),)) for n, job in waiting)
            self.carry_out(Plan([Placement(job, seat, "") for job, seat in seats]))
        return self.running

    def fill_with_small(self, priority: int) -> None:
        """One GPU each, on every GPU there is."""
        spec = _one_gpu(priority)
        self.submit([spec] * (8 * len(self.snapshot.nodes)))
        while self.cycle().placements:
            pass

    def ask_for_nodes(self, count: int, replicas: int, priority: int) -> None:
        """Jobs that want nodes with all GPUs."""
        spec = JobSpec(
            "whole",
            ProjectId("project-0"),
            ("true",),
            resources=Resources(8000, 8 * GIB, 8000),
            replicas=replicas,
            priority=priority,
        )
        self.submit([spec] * count)

    def queue(self, kinds: Sequence[JobSpec], draw: random.Random, count: int) -> None:
        """Submit, or cancel the newest, until so many wait."""
        waiting = list(self.snapshot.lines.of_job)
        for name in waiting[count:]:
            self._record(f"job/{name}", jobs.cancel(self.snapshot.jobs[name], self.now))
        self.submit(draw.choices(kinds, k=max(0, count - len(waiting))))

    def submit(self, specs: Iterable[JobSpec]) -> None:
        """Each spec as a job."""
        for spec in specs:
            self._number += 1
            name = JobId(f"job-{self._number:08}")
            self._record(
                f"job/{name}", jobs.submit(name, spec, f"user-{self._number % 20}", self.now)
            )

    def room(self) -> Room:
        """What is free, to be changed at will."""
        return self.snapshot.rooms.free(self.snapshot).fork()

    def plan(self) -> Plan:
        """Decide, and change nothing."""
        return plan(self.snapshot, self.now)

    def cycle(self) -> Plan:
        """Decide and carry it out."""
        made = self.plan()
        self.carry_out(made)
        return made

    def carry_out(self, made: Plan) -> None:
        """What was decided is recorded; who was placed runs."""
        for decision in planned(self.snapshot, made, self.now):
            for change in decision:
                self._record(change.stream, change.events, change.meta.project)
        for placement in made.placements:
            job = self.snapshot.jobs[placement.job]
            assert job.allocation is not None, "it was placed"
            held = self.snapshot.allocations[job.allocation]
            for seat, boot in zip(held.seats, held.boots, strict=True):
                state = self.snapshot.allocations[held.id]
                begun = allocations.seat_started(state, seat.rank, seat.node, boot, "sandbox")
                self._record(f"allocation/{held.id}", begun, job.spec.project)
            self._running.append(job.id)
        self._conclude()

    def end(self, draw: random.Random, count: int) -> None:
        """So many running jobs end, drawn evenly; time goes on."""
        self.now += SECOND
        for _ in range(min(count, len(self._running))):
            at = draw.randrange(len(self._running))
            self._running[at], self._running[-1] = self._running[-1], self._running[at]
            self._end(self._running.pop())
        self._conclude()

    def leave(self, draw: random.Random, count: int) -> None:
        """So many of those that were asked to leave end."""
        leaving = sorted(self.snapshot.leaving)
        gone = set(draw.sample(leaving, min(count, len(leaving))))
        for name in gone:
            self._end(name)
        self._running = [name for name in self._running if name not in gone]
        self._conclude()

    def _end(self, name: JobId) -> None:
        job = self.snapshot.jobs[name]
        assert job.allocation is not None, "it runs"
        for seat in self.snapshot.allocations[job.allocation].seats:
            held = self.snapshot.allocations[job.allocation]
            boot = held.boots[seat.rank]
            ended = allocations.seat_ended(held, seat.rank, seat.node, boot, ENDED)
            self._record(f"allocation/{held.id}", ended, job.spec.project)

    def _conclude(self) -> None:
        for one in conclude(self.snapshot, self.now):
            project = one.job.spec.project
            self._record(f"allocation/{one.allocation.id}", one.allocation_events, project)
            self._record(f"job/{one.job.id}", one.job_events, project)
        self.snapshot.touched.clear()

    def _record(self, stream: str, events: Sequence[Event], project: str | None = None) -> None:
        name = StreamId(stream)
        meta = Meta("bench", "bench", "bench", project)
        for event in events:
            version = self.snapshot.versions.get(name, 0) + 1
            position = self.snapshot.position + 1
            self.snapshot.apply(Recorded(position, name, version, self.now, meta, None, event))


def _offer(number: int) -> Registered:
    devices = tuple(
        Device(
            DeviceId(f"GPU-{number}-{each}"), "H100", 80 * GIB, island="nvswitch", numa=each // 4
        )
        for each in range(8)
    )
    return Registered(
        NodeId(f"node-{number}"),
        "boot",
        Resources(CPUS, MEMORY, 8000),
        devices,
        ("sandbox",),
        location=Location(f"rack-{number // RACK}", f"spine-{number // SPINE}"),
    )


def small(cpu_milli: int, estimates: bool = False) -> JobSpec:
    """A small job without GPUs."""
    return JobSpec(
        "small",
        ProjectId("project-0"),
        ("true",),
        resources=Resources(cpu_milli, GIB),
        estimate_seconds=3600 if estimates else None,
    )


def _one_gpu(priority: int) -> JobSpec:
    return JobSpec(
        "one",
        ProjectId("project-1"),
        ("true",),
        resources=Resources(1000, GIB, 1000),
        priority=priority,
    )
