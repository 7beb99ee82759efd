"""The simulator's engine over the whole planner: a snapshot kept by events, `plan` decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.fragments import Fragments
from bench.trace import TraceJob
from domain.allocation import allocation as allocations
from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome
from domain.event import Event, Meta, Recorded, StreamId
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.node import node as nodes
from domain.node.events import Registered
from domain.scheduling.conclude import conclude
from domain.scheduling.made import Placement
from domain.scheduling.plan import plan
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId, JobId

SECOND = 1_000_000
ENDED = SeatEnd(Outcome.EXITED, 0, "")
LEFT = SeatEnd(Outcome.STOPPED, 143, "")


class PlannerEngine:
    """Runs jobs by `domain.scheduling.plan.plan` on the offered nodes.

    Seats start at once, and who is preempted leaves at once and runs anew from its beginning.
    """

    def __init__(self, offers: Sequence[Registered], spec: Callable[[TraceJob], JobSpec]) -> None:
        self.snapshot = Snapshot()
        self.spec = spec
        self.jobs: dict[JobId, TraceJob] = {}
        self.now = 0
        self.fragments = Fragments()
        for offer in offers:
            self._record(f"node/{offer.node}", nodes.register(None, offer))

    def arrive(self, job: TraceJob) -> None:
        name = JobId(job.name)
        self.now = job.submitted * SECOND
        self.jobs[name] = job
        submitted = jobs.submit(name, self.spec(job), job.user or "trace", self.now)
        self._record(f"job/{name}", submitted)

    def finish(self, job: TraceJob, now: int) -> None:
        self.now = now * SECOND
        self._end(JobId(job.name), ENDED)
        del self.jobs[JobId(job.name)]

    def decide(self, now: int) -> Iterable[tuple[TraceJob, str]]:
        self.now = now * SECOND
        found: list[tuple[TraceJob, str]] = []
        while True:
            made = plan(self.snapshot, self.now)
            for placement in made.placements:
                self._start(placement)
                found.append((self.jobs[placement.job], "start"))
            for preemption in made.preemptions:
                victim = self.snapshot.jobs[preemption.victim]
                preemptor, kept = preemption.preemptor, preemption.kept
                asked = jobs.preempt(victim, StopCause.PRIORITY, preemptor, self.now, kept)
                self._record(f"job/{victim.id}", asked)
                self._end(victim.id, LEFT)
                found.append((self.jobs[victim.id], "stop"))
            if not made.preemptions:
                return found

    def idle(self) -> tuple[int, float]:
        return self.fragments.free, self.fragments.lost

    def _start(self, placement: Placement) -> None:
        job = self.snapshot.jobs[placement.job]
        name = AllocationId(f"{job.id}-{job.attempt + 1}")
        boots = tuple(self.snapshot.nodes[seat.node].node.offer.boot for seat in placement.seats)
        granted = allocations.grant(
            name,
            job.id,
            job.attempt + 1,
            placement.seats,
            boots,
            job.spec.resources,
            gpu_model=placement.gpu_model,
            user="trace",
        )
        self._record(f"allocation/{name}", granted, job.spec.project)
        self._record(f"job/{job.id}", jobs.place(job, name, placement.seats, "simulated"))
        for seat, boot in zip(placement.seats, boots, strict=True):
            held = self.snapshot.allocations[name]
            started = allocations.seat_started(held, seat.rank, seat.node, boot, "sandbox")
            self._record(f"allocation/{name}", started, job.spec.project)
        self._conclude()

    def _end(self, name: JobId, end: SeatEnd) -> None:
        held = self.snapshot.jobs[name].allocation
        assert held is not None, f"{name} runs"
        project = self.snapshot.jobs[name].spec.project
        for rank, seat in enumerate(self.snapshot.allocations[held].seats):
            state = self.snapshot.allocations[held]
            ended = allocations.seat_ended(state, rank, seat.node, state.boots[rank], end)
            self._record(f"allocation/{held}", ended, project)
        self._conclude()
        left = self.snapshot.jobs.get(name)
        assert left is None or left.phase is Phase.QUEUED, f"{name} is {left}"

    def _conclude(self) -> None:
        while found := conclude(self.snapshot, self.now):
            for one in found:
                project = one.job.spec.project
                self._record(f"allocation/{one.allocation.id}", one.allocation_events, project)
                self._record(f"job/{one.job.id}", one.job_events, project)
        self.snapshot.touched.clear()

    def _record(self, stream: str, events: Sequence[Event], project: str | None = None) -> None:
        for event in events:
            name = StreamId(stream)
            version = self.snapshot.versions.get(name, 0) + 1
            meta = Meta("simulator", "simulator", "simulator", project)
            position = self.snapshot.position + 1
            recorded = Recorded(position, name, version, self.now, meta, None, event)
            self.snapshot.apply(recorded)
            self.fragments.see(self.snapshot, recorded)
