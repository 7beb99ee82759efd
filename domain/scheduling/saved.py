"""The scheduler's state in a form to keep: plain values, and nothing that follows from others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from domain.allocation.allocation import Allocation
from domain.allocation.events import Granted
from domain.allocation.seat import Seat
from domain.event import StreamId
from domain.job.after import Condition
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.node.node import Node
from domain.policy.policy import Policy
from domain.project.budget import Budget
from domain.project.events import Quota
from domain.reservation.reservation import Reservation
from domain.scheduling.arrivals import Arrival, Arrivals
from domain.scheduling.decay import Faded, Usage
from domain.scheduling.node_state import NodeState
from domain.scheduling.snapshot import Asked, Snapshot
from domain.scheduling.spending import Amount, Piece, Ring, Spending
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.resources import Resources


@dataclass(frozen=True)
class SavedUsage:
    """Held amounts and weighted sums of a user of a project; the sums are larger than 64 bits."""

    project: str
    user: str
    held: Resources
    rate: tuple[int, int, int]
    sums: tuple[str, str, str]


Sums = tuple[tuple[int, str, str], ...]
"""Amounts by step; they may be larger than 64 bits."""


@dataclass(frozen=True)
class SavedSpent:
    """What a user of a project used, by hours and by days: of each the whole pieces and rests."""

    project: str
    user: str
    hours: tuple[Sums, Sums]
    days: tuple[Sums, Sums]


@dataclass(frozen=True)
class SavedNear:
    """Seats of a project's jobs with a label on a node."""

    project: str
    label: tuple[str, str]
    node: NodeId
    seats: int


@dataclass(frozen=True)
class Saved:
    """A snapshot (domain/scheduling/snapshot.py) without lines and counts, which are made anew."""

    position: int
    policy: Policy
    jobs: dict[JobId, Job]
    allocations: dict[AllocationId, Allocation]
    granted: dict[AllocationId, Granted]
    nodes: dict[NodeId, Node]
    quotas: dict[ProjectId, Quota]
    budgets: dict[ProjectId, tuple[Budget, ...]]
    spent: tuple[SavedSpent, ...]
    held: dict[AllocationId, Piece]
    waits: dict[JobId, dict[JobId, Condition]]
    failed: dict[JobId, JobId]
    recent: tuple[tuple[JobId, int, bool], ...]
    most: dict[ProjectId, int]
    half_life: int
    origin: int | None
    usage: tuple[SavedUsage, ...]
    near: tuple[SavedNear, ...]
    saved: dict[JobId, int]
    asked: dict[JobId, Asked]
    made: dict[ProjectId, tuple[int, ...]]
    versions: dict[StreamId, int]
    touched: tuple[AllocationId, ...]
    submissions: int
    arrivals: tuple[tuple[Arrival, int], ...]
    typical: tuple[tuple[Arrival, int], ...]
    promised: dict[JobId, tuple[Seat, ...]]
    freed: dict[NodeId, int]
    reservations: tuple[Reservation, ...] = ()


def pack(snapshot: Snapshot) -> Saved:
    """The snapshot as it is kept; none is while streams are held out of it."""
    assert not snapshot.held_out, "they could not be tried again"
    usage = snapshot.usage
    return Saved(
        position=snapshot.position,
        policy=snapshot.policy,
        jobs=snapshot.jobs,
        allocations=snapshot.allocations,
        granted=snapshot.granted,
        nodes={name: state.node for name, state in snapshot.nodes.items()},
        quotas=snapshot.quotas,
        budgets=snapshot.budgets,
        spent=tuple(
            SavedSpent(*key, _sums(hours), _sums(days))
            for key, (hours, days) in snapshot.spending.ended.items()
        ),
        held=snapshot.spending.held,
        waits=snapshot.dependents.waits,
        failed=snapshot.dependents.failed,
        recent=tuple((job, at, ok) for job, (at, ok) in snapshot.dependents.recent.items()),
        most=snapshot.inheritance.most,
        half_life=usage.half_life,
        origin=usage.origin,
        usage=tuple(
            SavedUsage(*key, snapshot.used[key], faded.rate, _texts(faded.sums))
            for key, faded in usage.by.items()
        ),
        near=tuple(
            SavedNear(project, label, node, seats)
            for (project, label), nodes in snapshot.near.items()
            for node, seats in nodes.items()
        ),
        saved=snapshot.saved,
        asked=snapshot.asked,
        made=snapshot.made,
        versions=snapshot.versions,
        touched=tuple(sorted(snapshot.touched)),
        submissions=snapshot.arrivals.seen,
        arrivals=tuple(snapshot.arrivals.counts.items()),
        typical=snapshot.arrivals.typical,
        promised=snapshot.promised,
        freed=snapshot.freed,
        reservations=tuple(snapshot.reservations.values()),
    )


def unpack(kept: Saved) -> Snapshot:
    """The snapshot that was kept."""
    snapshot = Snapshot(
        position=kept.position,
        policy=kept.policy,
        jobs=kept.jobs,
        allocations=kept.allocations,
        granted=kept.granted,
        quotas=kept.quotas,
        budgets=kept.budgets,
        spending=Spending(held=kept.held),
        saved=kept.saved,
        asked=kept.asked,
        made=kept.made,
        versions=kept.versions,
        touched=set(kept.touched),
        arrivals=Arrivals(kept.submissions, Counter(dict(kept.arrivals)), kept.typical),
        promised=kept.promised,
        freed=kept.freed,
        leaving={job.id for job in kept.jobs.values() if job.leaves_for_another},
        migrating={job.id for job in kept.jobs.values() if job.migration is not None},
        reservations={each.name: each for each in kept.reservations},
        longest_grace=max((job.spec.grace_seconds or 0 for job in kept.jobs.values()), default=0),
    )
    snapshot.usage = Usage(kept.half_life, kept.origin)
    for one in kept.usage:
        key = (one.project, one.user)
        snapshot.used[key] = one.held
        g, c, m = (int(text) for text in one.sums)
        snapshot.usage.by[key] = Faded(one.rate, (g, c, m))
    for spent in kept.spent:
        hours, days = snapshot.spending.rings_of(spent.project, spent.user)
        hours.whole, hours.rest = map(_amounts, spent.hours)
        days.whole, days.rest = map(_amounts, spent.days)
    dependents = snapshot.dependents
    dependents.failed = kept.failed
    dependents.recent = {job: (at, ok) for job, at, ok in kept.recent}
    for waiter, waits in kept.waits.items():
        for dependency, on in waits.items():
            dependents.add(waiter, dependency, on)
    for job in kept.jobs.values():
        dependents.look(job)
    snapshot.inheritance.most = kept.most
    snapshot.inheritance.update(sorted(kept.waits), kept.jobs, dependents)
    for near in kept.near:
        nodes = snapshot.near.setdefault((near.project, near.label), Counter())
        nodes[near.node] = near.seats
    for job in sorted(kept.jobs.values(), key=lambda job: (job.queued_since, job.id)):
        if job.phase is Phase.QUEUED:
            snapshot.lines.put(job, snapshot.inheritance.of(job))
        if job.allocation is not None:
            snapshot.ends.note(job.allocation, job)
    held: dict[NodeId, set[AllocationId]] = {name: set() for name in kept.nodes}
    for allocation in kept.allocations.values():
        for seat in allocation.seats:
            held[seat.node].add(allocation.id)
    for name, node in kept.nodes.items():
        state = snapshot.nodes[name] = NodeState(node, held=held[name])
        state.recount(kept.allocations[a] for a in sorted(held[name]))
    return snapshot


def _sums(ring: Ring) -> tuple[Sums, Sums]:
    whole, rest = (
        tuple((step, str(gpu), str(money)) for step, (gpu, money) in sums.items())
        for sums in (ring.whole, ring.rest)
    )
    return whole, rest


def _amounts(sums: Sums) -> dict[int, Amount]:
    return {step: (int(gpu), int(money)) for step, gpu, money in sums}


def _texts(sums: tuple[int, int, int]) -> tuple[str, str, str]:
    return str(sums[0]), str(sums[1]), str(sums[2])
