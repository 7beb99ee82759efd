"""A cell without a store: commands whose events go straight into a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.events import Terms
from domain.allocation.seat import Outcome, Seat
from domain.event import Event, Meta, Recorded, StreamId
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.job import Job
from domain.job.migrate import explain_migration, migrate
from domain.job.spec import JobSpec
from domain.job.transitions import PLACED, Phase
from domain.node import node as nodes
from domain.node.events import Registered
from domain.policy.events import SchedulerSet, SchedulerSettings
from domain.project.events import Quota, QuotaSet
from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.budgets import stop_at
from domain.scheduling.conclude import conclude, settle
from domain.scheduling.grace import grace_of
from domain.scheduling.made import Plan
from domain.scheduling.plan import plan
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.time import SECOND
from tests.domain.examples import NOW

SUCCESS = SeatEnd(Outcome.EXITED, 0, "")
STOPPED = SeatEnd(Outcome.STOPPED, 143, "")


class Cell:
    """What the scheduler would see, moved by the same commands as the real one."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.now = NOW
        self.log: list[tuple[str, Event]] = []

    def __repr__(self) -> str:
        return "".join(f"\n  {stream}: {event}" for stream, event in self.log)

    def job(self, job: JobId) -> Job:
        return self.snapshot.jobs[job]

    def in_phase(self, *phases: Phase) -> list[JobId]:
        """Live jobs in these phases, in a stable order."""
        return sorted(job.id for job in self.snapshot.jobs.values() if job.phase in phases)

    def record(self, stream: str, events: Sequence[Event], project: str | None = None) -> None:
        """The events happened."""
        for event in events:
            self.now += 1
            self.log.append((stream, event))
            version = self.snapshot.versions.get(StreamId(stream), 0) + 1
            meta = Meta("test", "test", "test", project)
            position = self.snapshot.position + 1
            self.snapshot.apply(
                Recorded(position, StreamId(stream), version, self.now, meta, None, event)
            )

    def set_quota(self, project: str, quota: Quota) -> None:
        self.record(f"project/{project}", [QuotaSet(quota)])

    def set_preemption(self, enabled: bool) -> None:
        self.record("policy/cell", [SchedulerSet(SchedulerSettings(enable_preemption=enabled))])

    def offer(self, offer: Registered) -> None:
        """The node's agent registers, for the first time or again."""
        known = self.snapshot.nodes.get(offer.node)
        events = nodes.register(known.node if known else None, offer)
        self.record(f"node/{offer.node}", events)

    def cordon(self, node: str, *, drain: bool = False) -> None:
        events = nodes.cordon(self.snapshot.nodes[NodeId(node)].node, "test", drain)
        self.record(f"node/{node}", events)

    def uncordon(self, node: str) -> None:
        self.record(f"node/{node}", nodes.uncordon(self.snapshot.nodes[NodeId(node)].node))

    def lose(self, node: str) -> None:
        state = self.snapshot.nodes[NodeId(node)].node
        self.record(f"node/{node}", nodes.lose(state, state.offer.boot))

    def reboot(self, node: str) -> None:
        """The node registers from a new boot: what it ran is gone."""
        offer = self.snapshot.nodes[NodeId(node)].node.offer
        self.offer(replace(offer, boot=f"boot-at-{self.now}"))

    def befall(self, node: str, fate: int) -> None:
        """What may happen to a node, by a number that was drawn; from 4 on nothing."""
        state = self.snapshot.nodes[NodeId(node)].node
        match fate:
            case 0 if state.alive:
                self.lose(node)
            case 1:
                self.reboot(node)
            case 2 if not state.cordoned:
                self.cordon(node)
            case 3 if state.cordoned:
                self.uncordon(node)

    def submit(self, job: str, spec: JobSpec, user: str = "ada") -> JobId:
        self.record(f"job/{job}", jobs.submit(JobId(job), spec, user, self.now))
        return JobId(job)

    def grant(
        self,
        job: JobId,
        seats: tuple[Seat, ...],
        gpu_model: str = "",
        terms: Terms | None = None,
    ) -> AllocationId:
        """Give the job these seats, as the scheduler does."""
        state = self.job(job)
        allocation = AllocationId(f"alloc-{job}-{state.attempt + 1}")
        boots = tuple(self.snapshot.nodes[seat.node].node.offer.boot for seat in seats)
        granted = allocations.grant(
            allocation,
            job,
            state.attempt + 1,
            seats,
            boots,
            state.spec.resources,
            gpu_model=gpu_model,
            user=state.submitted_by,
            payer=self.payer(state),
            exclusive=state.spec.where.exclusive,
            labels=state.spec.labels,
            terms=terms,
        )
        until = None if terms is None else stop_at(terms, grace_of(state, self.snapshot))
        placed = jobs.place(state, allocation, seats, "test", until)
        self.record(f"allocation/{allocation}", granted, state.spec.project)
        self.record(f"job/{job}", placed, state.spec.project)
        return allocation

    def payer(self, job: Job) -> str:
        user = self.snapshot.inheritance.of(job).user
        return "" if user == job.submitted_by else user

    def allocation(self, job: JobId) -> Allocation:
        held = self.job(job).allocation
        assert held is not None, f"{job} is not placed"
        return self.snapshot.allocations[held]

    def start(self, job: JobId) -> None:
        """Every seat of the job starts."""
        allocation = self.allocation(job)
        for seat in allocation.seats:
            boot = allocation.boots[seat.rank]
            events = allocations.seat_started(allocation, seat.rank, seat.node, boot, "sandbox")
            self.record(f"allocation/{allocation.id}", events, self.job(job).spec.project)
        self.conclude()

    def preempt(self, victim: JobId, preemptor: JobId | None, kept: tuple[Seat, ...] = ()) -> None:
        cause = StopCause.PRIORITY if preemptor else StopCause.DRAIN
        asked = jobs.preempt(self.job(victim), cause, preemptor, self.now, kept)
        self.record(f"job/{victim}", asked)

    def migrate(self, job: str, to: str | None = None) -> None:
        state, node = self.job(JobId(job)), None if to is None else NodeId(to)
        self.record(f"job/{job}", migrate(state, node), state.spec.project)

    def cancel(self, job: JobId) -> None:
        self.record(f"job/{job}", jobs.cancel(self.job(job), self.now))

    def end_seat(self, job: JobId, rank: int, end: SeatEnd) -> None:
        """One seat ends; the scheduler has not looked yet."""
        allocation = self.allocation(job)
        seat, boot = allocation.seats[rank], allocation.boots[rank]
        events = allocations.seat_ended(allocation, rank, seat.node, boot, end)
        self.record(f"allocation/{allocation.id}", events, self.job(job).spec.project)

    def end(self, job: JobId, end: SeatEnd = SUCCESS) -> None:
        """All seats of the job end, and what follows from it is recorded."""
        for rank in range(len(self.allocation(job).seats)):
            self.end_seat(job, rank, end)
        self.conclude()

    def conclude(self) -> None:
        """Record what follows from the facts, until nothing more does."""
        while (found := conclude(self.snapshot, self.now)) or self.snapshot.dependents.ready:
            for job, events in settle(self.snapshot, self.now):
                self.record(f"job/{job.id}", events, job.spec.project)
            for one in found:
                project = one.job.spec.project
                self.record(f"allocation/{one.allocation.id}", one.allocation_events, project)
                self.record(f"job/{one.job.id}", one.job_events, project)
        self.snapshot.touched.clear()

    def decide(self, bound: Bound = WHOLE) -> Plan:
        """One cycle of the scheduler: the plan, recorded."""
        self.conclude()
        made = plan(self.snapshot, self.now, bound)
        self.carry_out(made)
        return made

    def round(self, units: int) -> list[Plan]:
        """Cycles of so many units of work each, from the top to the end of the queue."""
        made = [self.decide(Bound(units))]
        while made[-1].cursor is not None:
            assert len(made) < 10_000, "a round has no end"
            made.append(self.decide(Bound(units, made[-1].cursor)))
        return made

    def settle(self, units: int) -> list[Plan]:
        """Rounds until one decides nothing."""
        made = self.round(units)
        decided = made
        while any(one.placements or one.preemptions for one in decided):
            decided = self.round(units)
            made += decided
            assert len(made) < 10_000, "there is no end of decisions"
        return made

    def carry_out(self, made: Plan) -> None:
        """Record the decisions of a plan."""
        for placement in made.placements:
            self.grant(placement.job, placement.seats, placement.gpu_model, placement.terms)
        for preemption in made.preemptions:
            self.preempt(preemption.victim, preemption.preemptor, preemption.kept)
        for move in made.moves:
            deadline = self.now + grace_of(self.job(move.job), self.snapshot) * SECOND
            asked = jobs.preempt(
                self.job(move.job), StopCause.MIGRATION, None, deadline, move.seats
            )
            self.record(f"job/{move.job}", asked)
        for stay in made.stays:
            self.record(f"job/{stay.job}", explain_migration(self.job(stay.job), stay.reason))
        for wait in made.waits:
            self.record(f"job/{wait.job}", jobs.explain_wait(self.job(wait.job), wait.reason))

    def finish_leaving(self) -> None:
        """Every job that was asked to leave is gone for good."""
        for job in self.in_phase(Phase.PREEMPTING, Phase.STOPPING):
            self.end(job)

    def finish_all(self) -> None:
        """Every placed job succeeds."""
        for job in self.in_phase(*PLACED):
            if self.snapshot.jobs.get(job) is not None:
                self.end(job)


def project_of(cell: Cell, job: JobId) -> ProjectId:
    return cell.job(job).spec.project


def order_key(job: Job) -> tuple[int, int, str]:
    """Priority, then time in the queue, then id: the order of a cell without other policy."""
    return (-job.priority, job.queued_since, job.id)
