"""The cell as the scheduler sees it: folded from the log, kept in memory, read by `plan`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation
from domain.allocation.events import AllocationEvent, Granted, Released
from domain.allocation.seat import Seat
from domain.checkpoint.events import Committed
from domain.event import Recorded, StreamId
from domain.job import job as jobs
from domain.job.events import (
    JobEvent,
    PreemptionRequested,
    PriorityChanged,
    StopCause,
    Submitted,
)
from domain.job.job import Job
from domain.job.transitions import ENDED, Phase
from domain.node import node as nodes
from domain.node.events import NodeEvent
from domain.policy.events import PolicyEvent, PricesSet
from domain.policy.policy import Policy
from domain.policy.policy import evolve as evolve_policy
from domain.project.budget import Budget
from domain.project.events import BudgetsSet, InheritanceSet, Quota, QuotaSet
from domain.reservation.events import Cancelled, ReservationEvent
from domain.reservation.reservation import Reservation, over_and_gone
from domain.reservation.reservation import evolve as evolve_reservation
from domain.scheduling.arrivals import Arrivals
from domain.scheduling.decay import Usage, half_life_us
from domain.scheduling.dependents import Dependents
from domain.scheduling.ends import Ends
from domain.scheduling.events import Decided
from domain.scheduling.inherit import Inheritance
from domain.scheduling.lines import Lines
from domain.scheduling.node_state import NodeState
from domain.scheduling.rooms import Rooms
from domain.scheduling.roster import Roster
from domain.scheduling.spending import Spending, User
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.resources import NOTHING, Resources
from domain.values.time import DAY, HOUR

Label = tuple[str, tuple[str, str]]
"""A project and a label of its jobs."""


def _usage() -> Usage:
    share = Policy().scheduler.fair_share
    return Usage(half_life_us(share.window_seconds, share.decay_milli))


RECEIPTS = StreamId("scheduler/main")
"""The stream of receipts; only the scheduler's leader appends to it."""
_NOBODY: frozenset[JobId] = frozenset()
_QUEUED = Phase.QUEUED  # as below: looking up a member of an enumeration is slow
OVER_KEPT = DAY
"""So long reservations that are over are kept: times of recording never fall, and if the clock was
set back, what is over by them may be still to come."""
FOLD = 4
"""Raised whenever the same events may leave another snapshot: saved ones are then passed over."""


@dataclass
class Asked:
    """How often a job was asked to leave for another: in all, and when lately."""

    times: int = 0
    lately: tuple[int, ...] = ()


@dataclass
class Snapshot:
    """Live jobs, allocations that hold something, nodes, policy, quotas and budgets.

    `apply` keeps it; nothing else changes it. `versions` are the stream versions seen, for
    optimistic appends. `touched` are allocations that changed since it was last cleared. `near`
    counts the seats of jobs with a label on each node; `saved` is when a job last committed a
    checkpoint; `made` is when a project's jobs last made others leave. `held_out` are streams whose
    events are not taken in any more (`domain/scheduling/holdout`). `arrivals` is what is asked for
    as a rule, `leaving` who was asked to leave for another, `promised` the seats kept for
    preemptors, `migrating` who is to run elsewhere or on the way there, `freed` the position at
    which something last came free on a node, `ends` when who runs will have left; `reservations`
    are in the order they were made, `longest_grace` (seconds) is no less than what any live job
    wishes for. `rooms` follow from the rest: rooms with the nodes' state, with boards where there
    are at least `board_from` nodes; so does `roster`: who may be asked to make room.
    """

    position: int = 0
    policy: Policy = field(default_factory=Policy)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    allocations: dict[AllocationId, Allocation] = field(default_factory=dict)
    nodes: dict[NodeId, NodeState] = field(default_factory=dict)
    quotas: dict[ProjectId, Quota] = field(default_factory=dict)
    budgets: dict[ProjectId, tuple[Budget, ...]] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)
    dependents: Dependents = field(default_factory=Dependents)
    inheritance: Inheritance = field(default_factory=Inheritance)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    used: dict[User, Resources] = field(default_factory=dict)
    usage: Usage = field(default_factory=_usage)
    near: dict[Label, Counter[NodeId]] = field(default_factory=dict)
    saved: dict[JobId, int] = field(default_factory=dict)
    asked: dict[JobId, Asked] = field(default_factory=dict)
    made: dict[ProjectId, tuple[int, ...]] = field(default_factory=dict)
    granted: dict[AllocationId, Granted] = field(default_factory=dict)
    versions: dict[StreamId, int] = field(default_factory=dict)
    touched: set[AllocationId] = field(default_factory=set)
    held_out: set[StreamId] = field(default_factory=set)
    arrivals: Arrivals = field(default_factory=Arrivals)
    leaving: set[JobId] = field(default_factory=set)
    promised: dict[JobId, tuple[Seat, ...]] = field(default_factory=dict)
    migrating: set[JobId] = field(default_factory=set)
    freed: dict[NodeId, int] = field(default_factory=dict)
    ends: Ends = field(default_factory=Ends)
    longest_grace: int = field(default=0, compare=False)
    board_from: int = 64
    rooms: Rooms = field(default_factory=Rooms, init=False, repr=False, compare=False)
    roster: Roster = field(default_factory=Roster, init=False, repr=False, compare=False)

    def held_by(self, job: Job) -> Allocation:
        """What a placed job holds."""
        assert job.allocation is not None, "a placed job has an allocation"
        return self.allocations[job.allocation]

    def model_of(self, seat: Seat) -> str:
        """The model of the seat's GPUs; empty where it has none."""
        if not seat.devices:
            return ""
        devices = self.nodes[seat.node].node.offer.devices
        held = {device.partition("/")[0] for device in seat.devices}  # a MIG instance names its GPU
        return next((d.model for d in devices if d.id in held), "")

    def apply(self, recorded: Recorded) -> bool:
        """Take in the next event of the log; whether it can change a decision."""
        self.position = recorded.position
        if recorded.stream in self.held_out:
            return False
        take = _TAKERS.get(type(recorded.event))
        return take is not None and take(self, recorded, recorded.event)

    def _job(self, recorded: Recorded, event: JobEvent) -> bool:
        stream = recorded.stream
        self.versions[stream] = recorded.version
        job_id = JobId(stream.partition("/")[2])
        known = self.jobs.get(job_id)
        job = jobs.evolve(known, event)
        if known is None:
            self.longest_grace = max(self.longest_grace, job.spec.grace_seconds or 0)
        if job.allocation is not None or (known is not None and known.allocation is not None):
            self._moves(job, event, recorded.recorded_at)
        waiters = self.dependents.waiters.get(job_id, _NOBODY).copy()
        self.dependents.apply(known, job, event, recorded.recorded_at, self.jobs)
        if isinstance(event, Submitted):
            self.arrivals.add(event.spec)
        if job.migration is not None:
            self.migrating.add(job_id)
        elif self.migrating:
            self.migrating.discard(job_id)
        if job.phase in ENDED:
            self.jobs.pop(job_id, None)
            self.versions.pop(stream, None)
            self.saved.pop(job_id, None)
            self.asked.pop(job_id, None)
        else:
            self.jobs[job_id] = job
        queued = job.phase is _QUEUED
        if not queued:
            self.promised.pop(job_id, None)
            self.lines.remove(job_id)
        if not self.inheritance.idle(self.dependents):
            waiters |= self.dependents.waiters.get(job_id, _NOBODY)
            self.stand([*sorted(waiters), job_id])
        if queued:
            self.lines.put(job, self.inheritance.of(job))
        return True

    def _moves(self, job: Job, event: JobEvent, at: int) -> None:
        """What happens to a job that holds something, or did until now."""
        self.roster.note(job.id)
        if job.allocation is not None:
            self.touched.add(job.allocation)
            if job.allocation in self.allocations:
                self.ends.note(job.allocation, job)
        if isinstance(event, PreemptionRequested) and event.cause is StopCause.PRIORITY:
            self._count_preemption(job, event, at)
        leaves = job.leaves_for_another
        if leaves != (job.id in self.leaving) or isinstance(event, PriorityChanged):
            for seat in job.seats:
                self.rooms.note(seat.node)
        if leaves:
            self.leaving.add(job.id)
        else:
            self.leaving.discard(job.id)

    def stand(self, changed: list[JobId]) -> None:
        """Jobs changed: those for which others stand elsewhere now change lines."""
        for name in sorted(self.inheritance.update(changed, self.jobs, self.dependents)):
            job = self.jobs[name]
            if job.phase is Phase.QUEUED and name in self.lines.of_job:
                self.lines.put(job, self.inheritance.of(job))

    def _count_preemption(self, job: Job, event: PreemptionRequested, at: int) -> None:
        asked = self.asked.setdefault(job.id, Asked())
        asked.times += 1
        asked.lately = (*(t for t in asked.lately if t > at - HOUR), at)
        preemptor = self.jobs.get(event.preemptor) if event.preemptor else None
        if preemptor is not None and preemptor.phase is Phase.QUEUED and event.seats:
            self.promised[preemptor.id] = event.seats
        if preemptor is not None:
            project = preemptor.spec.project
            self.made[project] = (*(t for t in self.made.get(project, ()) if t > at - HOUR), at)

    def _allocation(self, recorded: Recorded, event: AllocationEvent) -> bool:
        self.versions[recorded.stream] = recorded.version
        allocation_id = AllocationId(recorded.stream.partition("/")[2])
        allocation = allocations.evolve(self.allocations.get(allocation_id), event)
        self.roster.note(allocation.job)
        if isinstance(event, Granted):
            if allocation.job not in self.jobs:
                raise LookupError(f"it is granted to {allocation.job}, which was not read")
            self.granted[allocation_id] = event
            self._charge(recorded, event, 1)
            for seat_node in {seat.node for seat in allocation.seats}:
                self.nodes[seat_node].hold(allocation)
                self.nodes[seat_node].held.add(allocation_id)
                self.rooms.note(seat_node)
        if isinstance(event, Released):
            self._charge(recorded, self.granted.pop(allocation_id), -1)
            self.ends.forget(allocation_id)
            self.allocations.pop(allocation_id, None)
            self.versions.pop(recorded.stream, None)
            self.touched.discard(allocation_id)
            for seat_node in {seat.node for seat in allocation.seats}:
                state = self.nodes[seat_node]
                state.held.discard(allocation_id)
                self.freed[seat_node] = recorded.position
                if state.release(allocation):
                    self.rooms.note(seat_node)
                else:
                    self._recount(state)
            return True
        self.allocations[allocation_id] = allocation
        self.touched.add(allocation_id)
        return True

    def _charge(self, recorded: Recorded, grant: Granted, sign: int) -> None:
        """Count what an allocation holds for its project and user, and where its labels are."""
        project = recorded.meta.project or ""
        key = (project, grant.user)
        total = grant.per_seat * len(grant.seats)
        used = self.used.get(key, NOTHING)
        self.used[key] = used + total if sign > 0 else used - total
        if sign > 0:
            self.spending.grant(project, grant, self.policy.prices, recorded.recorded_at)
        else:
            self.spending.release(grant.allocation, recorded.recorded_at)
        amount = (sign * total.gpu_milli, sign * total.cpu_milli, sign * total.memory_bytes)
        payer = (project, grant.payer or grant.user)
        if payer != key:
            self.used.setdefault(payer, NOTHING)
            self.usage.change(key, (0, 0, 0), recorded.recorded_at)
        self.usage.change(payer, amount, recorded.recorded_at)
        for pair in grant.labels:
            nodes_near = self.near.setdefault((project, pair), Counter())
            for seat in grant.seats:
                nodes_near[seat.node] += sign
                if not nodes_near[seat.node]:
                    del nodes_near[seat.node]
            if not nodes_near:
                del self.near[project, pair]

    def _node(self, recorded: Recorded, event: NodeEvent) -> bool:
        node_id = NodeId(recorded.stream.partition("/")[2])
        known = self.nodes.get(node_id)
        node = nodes.evolve(known.node if known else None, event)
        if known is None:
            known = self.nodes[node_id] = NodeState(node)
        known.node = node
        self.freed[node_id] = recorded.position
        self._recount(known)
        self.touched |= known.held
        for held in known.held:
            self.roster.note(self.allocations[held].job)
        return True

    def _policy(self, recorded: Recorded, event: PolicyEvent) -> bool:
        self.policy = evolve_policy(self.policy, event)
        share = self.policy.scheduler.fair_share
        half_life = half_life_us(share.window_seconds, share.decay_milli)
        self.usage.set_half_life(half_life, recorded.recorded_at)
        if isinstance(event, PricesSet):
            self.spending.reprice(event.prices, recorded.recorded_at)
        return True

    def _project(self, recorded: Recorded, event: QuotaSet | BudgetsSet | InheritanceSet) -> bool:
        project = ProjectId(recorded.stream.partition("/")[2])
        if isinstance(event, QuotaSet):
            self.quotas[project] = event.quota
        elif isinstance(event, InheritanceSet):
            self.inheritance.most[project] = event.max_priority
            self.stand(sorted(self.inheritance.claims))
        else:
            self.budgets.pop(project, None)
            if event.budgets:
                self.budgets[project] = event.budgets
        return True

    def _checkpoint(self, recorded: Recorded, event: Committed) -> bool:
        if event.job in self.jobs:
            self.saved[event.job] = recorded.recorded_at
            self.roster.note(event.job)
        return False

    def _receipt(self, recorded: Recorded, _: Decided) -> bool:
        self.versions[recorded.stream] = recorded.version
        return False

    def _reservation(self, recorded: Recorded, event: ReservationEvent) -> bool:
        name = recorded.stream.partition("/")[2]
        at = recorded.recorded_at - OVER_KEPT  # the clock that decides may be behind it
        known = self.reservations.pop(name, None)
        if known is None and isinstance(event, Cancelled):
            return True  # it was over long before, though not by the clock of the command
        changed = evolve_reservation(known, event)
        for gone in over_and_gone(self.reservations.values(), at):
            del self.reservations[gone]
        if not changed.is_over(at):
            self.reservations[name] = changed
        return True

    def _recount(self, state: NodeState) -> None:
        self.rooms.note(state.node.id, itself=True)
        state.recount(self.allocations[held] for held in sorted(state.held))

    @classmethod
    def takers(cls) -> dict[type, Callable[[Snapshot, Recorded, Any], bool]]:
        """What takes in which events; all others change nothing here."""
        return {
            **dict.fromkeys(get_args(JobEvent), cls._job),
            **dict.fromkeys(get_args(AllocationEvent), cls._allocation),
            **dict.fromkeys(get_args(NodeEvent), cls._node),
            **dict.fromkeys(get_args(PolicyEvent), cls._policy),
            **dict.fromkeys(get_args(ReservationEvent), cls._reservation),
            **dict.fromkeys((QuotaSet, BudgetsSet, InheritanceSet), cls._project),
            Committed: cls._checkpoint,
            Decided: cls._receipt,
        }


_TAKERS = Snapshot.takers()
