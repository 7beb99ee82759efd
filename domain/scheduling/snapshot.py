"""The cell as the scheduler sees it: folded from the log, kept in memory, read by `plan`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation
from domain.allocation.events import AllocationEvent, Granted, Released
from domain.event import Recorded, StreamId
from domain.job import job as jobs
from domain.job.events import JobEvent
from domain.job.job import Job
from domain.job.transitions import ENDED, Phase
from domain.node import node as nodes
from domain.node.events import NodeEvent
from domain.node.node import Node
from domain.policy.events import PolicyEvent
from domain.policy.policy import Policy
from domain.policy.policy import evolve as evolve_policy
from domain.project.events import Quota, QuotaSet
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId, ProjectId
from domain.values.resources import NOTHING, Resources


@dataclass
class NodeState:
    """A node, what its allocations hold together, and the offered devices they do not hold.

    A later, smaller offer may be less than what is held; `short` is how much less.
    """

    node: Node
    taken: Resources = NOTHING
    free_devices: tuple[DeviceId, ...] = ()
    held: set[AllocationId] = field(default_factory=set)

    @property
    def free(self) -> Resources:
        left = self.node.offer.capacity.less(self.taken)
        return replace(left, gpu_milli=1000 * len(self.free_devices))

    @property
    def short(self) -> Resources:
        return replace(self.taken.less(self.node.offer.capacity), gpu_milli=0)

    @property
    def takes_work(self) -> bool:
        return self.node.alive and not self.node.cordoned


@dataclass
class Snapshot:
    """Live jobs, allocations that hold something, nodes, policy and quotas.

    `apply` keeps it; nothing else changes it. `versions` are the stream versions seen, for
    optimistic appends. `touched` are allocations that changed since it was last cleared.
    `held_out` are streams whose events are not taken in any more (`domain/scheduling/holdout`).
    """

    position: int = 0
    policy: Policy = field(default_factory=Policy)
    jobs: dict[JobId, Job] = field(default_factory=dict)
    queued: set[JobId] = field(default_factory=set)
    allocations: dict[AllocationId, Allocation] = field(default_factory=dict)
    nodes: dict[NodeId, NodeState] = field(default_factory=dict)
    quotas: dict[ProjectId, Quota] = field(default_factory=dict)
    used: dict[ProjectId, Resources] = field(default_factory=dict)
    versions: dict[StreamId, int] = field(default_factory=dict)
    touched: set[AllocationId] = field(default_factory=set)
    held_out: set[StreamId] = field(default_factory=set)

    def apply(self, recorded: Recorded) -> bool:
        """Take in the next event of the log; whether it can change a decision."""
        self.position = recorded.position
        if recorded.stream in self.held_out:
            return False
        event = recorded.event
        if isinstance(event, JobEvent):
            self.versions[recorded.stream] = recorded.version
            return self._job(recorded.stream, event)
        if isinstance(event, AllocationEvent):
            self.versions[recorded.stream] = recorded.version
            return self._allocation(recorded, event)
        if isinstance(event, NodeEvent):
            return self._node(NodeId(recorded.stream.partition("/")[2]), event)
        if isinstance(event, PolicyEvent):
            self.policy = evolve_policy(self.policy, event)
            return True
        if isinstance(event, QuotaSet):
            self.quotas[ProjectId(recorded.stream.partition("/")[2])] = event.quota
            return True
        return False

    def _job(self, stream: StreamId, event: JobEvent) -> bool:
        job_id = JobId(stream.partition("/")[2])
        job = jobs.evolve(self.jobs.get(job_id), event)
        if job.allocation is not None:
            self.touched.add(job.allocation)
        if job.phase is Phase.QUEUED:
            self.queued.add(job_id)
        else:
            self.queued.discard(job_id)
        if job.phase in ENDED:
            self.jobs.pop(job_id, None)
            self.versions.pop(stream, None)
        else:
            self.jobs[job_id] = job
        return True

    def _allocation(self, recorded: Recorded, event: AllocationEvent) -> bool:
        allocation_id = AllocationId(recorded.stream.partition("/")[2])
        allocation = allocations.evolve(self.allocations.get(allocation_id), event)
        project = ProjectId(recorded.meta.project or "")
        total = allocation.per_seat * len(allocation.seats)
        if isinstance(event, Granted):
            if allocation.job not in self.jobs:
                raise LookupError(f"it is granted to {allocation.job}, which was not read")
            self.used[project] = self.used.get(project, NOTHING) + total
            self._hold(allocation)
        if isinstance(event, Released):
            self.used[project] = self.used[project] - total
            self._free(allocation)
            self.allocations.pop(allocation_id, None)
            self.versions.pop(recorded.stream, None)
            self.touched.discard(allocation_id)
            return True
        self.allocations[allocation_id] = allocation
        self.touched.add(allocation_id)
        return True

    def _hold(self, allocation: Allocation) -> None:
        for seat in allocation.seats:
            state = self.nodes[seat.node]
            state.taken = state.taken + allocation.per_seat
            state.free_devices = tuple(d for d in state.free_devices if d not in seat.devices)
            state.held.add(allocation.id)

    def _free(self, allocation: Allocation) -> None:
        for seat in allocation.seats:
            self.nodes[seat.node].held.discard(allocation.id)
        for seat in allocation.seats:
            self._recount(self.nodes[seat.node])

    def _node(self, node_id: NodeId, event: NodeEvent) -> bool:
        known = self.nodes.get(node_id)
        node = nodes.evolve(known.node if known else None, event)
        if known is None:
            known = self.nodes[node_id] = NodeState(node)
        known.node = node
        self._recount(known)
        self.touched |= known.held
        return True

    def _recount(self, state: NodeState) -> None:
        """What is held, and the devices that are not, from the offer and the allocations."""
        seats = [
            (seat, allocation.per_seat)
            for allocation in (self.allocations[held] for held in state.held)
            for seat in allocation.seats
            if seat.node == state.node.id
        ]
        state.taken = NOTHING
        for _, per_seat in seats:
            state.taken = state.taken + per_seat
        taken = {device for seat, _ in seats for device in seat.devices}
        state.free_devices = tuple(d.id for d in state.node.offer.devices if d.id not in taken)


def order_key(job: Job) -> tuple[int, int, str]:
    """Priority, then time in the queue, then id."""
    return (-job.priority, job.queued_since, job.id)
