"""Why a job does not fit now: each node counted under the first constraint that excludes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet

from domain.job.job import Job
from domain.scheduling import instances
from domain.scheduling.demand import Demand
from domain.scheduling.elsewhere import elsewhere
from domain.scheduling.filters import models_with, never_on
from domain.scheduling.node_state import NodeState
from domain.scheduling.place import place
from domain.scheduling.reason import Constraint, Excluded, WaitCode, WaitReason
from domain.scheduling.room import Room, count_seats, eligible
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.space import Space
from domain.values.ids import NodeId

_SHORTAGE = {
    Constraint.GPU: WaitCode.INSUFFICIENT_GPU,
    Constraint.CPU: WaitCode.INSUFFICIENT_CPU,
    Constraint.MEMORY: WaitCode.INSUFFICIENT_MEMORY,
    Constraint.STORAGE: WaitCode.INSUFFICIENT_STORAGE,
    Constraint.NETWORK: WaitCode.INSUFFICIENT_NETWORK,
    Constraint.IN_USE: WaitCode.NODE_IN_USE,
    Constraint.AFFINITY: WaitCode.AFFINITY,
    Constraint.RESERVED: WaitCode.RESERVED_WINDOW,
}
_SIZES = {
    Constraint.GPU_SIZE,
    Constraint.CPU_SIZE,
    Constraint.MEMORY_SIZE,
    Constraint.STORAGE_SIZE,
    Constraint.NETWORK_SIZE,
}
_CONDITIONS = {Constraint.POOL, Constraint.TAINT, Constraint.SELECTOR, Constraint.CONSTRAINT}


def explain(
    demand: Demand,
    snapshot: Snapshot,
    free: Room,
    room: Room,
    reserved: frozenset[NodeId] = frozenset(),
    mover: Job | None = None,
) -> WaitReason:
    """The dominant reason for a demand that does not fit into `room`: `free` less what is kept.

    Nodes that are `reserved` for others, or for maintenance, are not for it; nor, where it is that
    of a `mover`, those that the job is not to move to.
    """
    counts = _counted(demand, snapshot, room, reserved, mover)
    if mover is not None:
        free, room = (elsewhere(each, demand, mover, snapshot) for each in (free, room))
    fitting = counts.pop(None, 0)
    return WaitReason(
        code=_dominant(demand, snapshot, (free, reserved), counts, fitting),
        nodes=len(snapshot.nodes),
        nodes_fitting=fitting,
        excluded=tuple(Excluded(c, counts[c]) for c in Constraint if counts[c]),
        seats=demand.replicas,
        seats_fitting=count_seats(demand, room.without(reserved)),
    )


def _counted(
    demand: Demand,
    snapshot: Snapshot,
    room: Room,
    reserved: frozenset[NodeId],
    mover: Job | None,
) -> Counter[Constraint | None]:
    """Nodes by the first constraint that keeps one seat off them, None where it fits."""
    states, move = snapshot.nodes, None if mover is None else mover.migration
    near: AbstractSet[NodeId]
    counts = Counter[Constraint | None]()
    if board := room.board(demand):
        near = states.keys()
        if move is None or move.to is None:
            counts = board.exclusions(demand, states)
    else:
        near = {space.node.id for space in eligible(demand, room)}
        counts = Counter(_exclusion(demand, state, room, near) for state in states.values())
    if move is not None and move.to is not None:
        counts = Counter({Constraint.OTHER: len(states)})
        if move.to in states:
            counts[Constraint.OTHER] -= 1
            counts[_exclusion(demand, states[move.to], room, near)] += 1
        reserved &= {move.to}
    elif move is not None:
        for node in states.keys() & set(move.leaves):
            counts[_exclusion(demand, states[node], room, near)] -= 1
            counts[Constraint.LEFT] += 1
        reserved -= set(move.leaves)
    for node in reserved:
        if node in states and _exclusion(demand, states[node], room, near) is None:
            counts[None] -= 1
            counts[Constraint.RESERVED] += 1
    return counts


def _exclusion(
    demand: Demand, state: NodeState, room: Room, near: AbstractSet[NodeId]
) -> Constraint | None:
    """The first constraint that keeps one seat off the node, None if it fits."""
    if not state.node.alive:
        return Constraint.LOST
    constraint = never_on(demand, state.node.offer)
    if constraint is not None:
        return constraint
    if state.node.cordoned:
        return Constraint.CORDONED
    space = room.spaces[state.node.id]
    if space.owned or (demand.where.exclusive and space.seats):
        return Constraint.IN_USE
    shortage = _shortage(demand, space)
    if shortage is None and state.node.id not in near:
        return Constraint.AFFINITY
    return shortage


def _shortage(demand: Demand, space: Space) -> Constraint | None:
    want, free = demand.per_seat, space.free
    if demand.mig:
        models = demand.gpu_types or models_with(demand.mig, space.node.offer)
        if not any(instances.count(space.node.offer, space.mig, demand.mig, m) for m in models):
            return Constraint.GPU
    elif want.gpu_milli:
        each = want.milli_each
        fit = Counter(
            device.model
            for device in space.node.offer.devices
            if space.left.get(device.id, 0) >= each
        )
        usable = [n for m, n in fit.items() if not demand.gpu_types or m in demand.gpu_types]
        if max(usable, default=0) < want.gpus:
            return Constraint.GPU
    if want.cpu_milli > free.cpu_milli:
        return Constraint.CPU
    if want.memory_bytes > free.memory_bytes:
        return Constraint.MEMORY
    if want.storage_bytes > free.storage_bytes:
        return Constraint.STORAGE
    return Constraint.NETWORK if want.network_mbps > free.network_mbps else None


def _dominant(
    demand: Demand,
    snapshot: Snapshot,
    place_in: tuple[Room, frozenset[NodeId]],
    counts: Counter[Constraint | None],
    fitting: int,
) -> WaitCode:
    everything, reserved = place_in
    free = everything.without(reserved)
    left = len(snapshot.nodes) - counts[Constraint.LEFT] - counts[Constraint.OTHER]
    if snapshot.nodes and not left:
        return WaitCode.NOT_ELIGIBLE
    left -= counts[Constraint.LOST]
    if not left:
        return WaitCode.NO_NODES
    left -= counts[Constraint.RUNNER]
    if not left:
        return WaitCode.NO_DOCKER if demand.docker else WaitCode.NO_SANDBOX
    left -= sum(counts[c] for c in _CONDITIONS)
    if not left:
        return WaitCode.NOT_ELIGIBLE
    left -= counts[Constraint.GPU_TYPE]
    if not left:
        return WaitCode.GPU_TYPE_ABSENT
    if left == sum(counts[c] for c in _SIZES) or snapshot.rooms.never_fits(snapshot, demand):
        return WaitCode.NEVER_FITS
    if place(demand, free) is not None:
        return WaitCode.CAPACITY_RESERVED
    if reserved and place(demand, everything) is not None:
        return WaitCode.RESERVED_WINDOW
    shortages = [c for c in _SHORTAGE if counts[c]]
    if fitting:
        together = demand.where.together_required and count_seats(demand, free) >= demand.least
        return WaitCode.SCATTERED if together else WaitCode.GANG_TOO_LARGE
    if not shortages:
        return WaitCode.CORDONED
    return _SHORTAGE[max(shortages, key=lambda c: counts[c])]
