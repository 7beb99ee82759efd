"""Why a job does not fit now: each node counted under the first constraint that excludes it."""

from __future__ import annotations

from collections import Counter

from domain.job.spec import JobSpec
from domain.node.node import Node
from domain.scheduling.reason import Constraint, Excluded, WaitCode, WaitReason
from domain.scheduling.room import Room, count_seats, place, runs_on
from domain.scheduling.snapshot import Snapshot

_SHORTAGE = {
    Constraint.GPU: WaitCode.INSUFFICIENT_GPU,
    Constraint.CPU: WaitCode.INSUFFICIENT_CPU,
    Constraint.MEMORY: WaitCode.INSUFFICIENT_MEMORY,
}
_SIZES = {Constraint.GPU_SIZE, Constraint.CPU_SIZE, Constraint.MEMORY_SIZE}


def explain(spec: JobSpec, snapshot: Snapshot, free: Room, room: Room) -> WaitReason:
    """The dominant reason for a job that does not fit into `room`: `free` less what is kept."""
    counts: Counter[Constraint] = Counter()
    fitting = 0
    for state in snapshot.nodes.values():
        constraint = _exclusion(spec, state.node, room)
        if constraint is None:
            fitting += 1
        else:
            counts[constraint] += 1
    seats = count_seats(spec, room)
    return WaitReason(
        code=_dominant(spec, snapshot, free, counts, fitting),
        nodes=len(snapshot.nodes),
        nodes_fitting=fitting,
        excluded=tuple(Excluded(c, counts[c]) for c in Constraint if counts[c]),
        seats=spec.replicas,
        seats_fitting=seats,
    )


def _exclusion(spec: JobSpec, node: Node, room: Room) -> Constraint | None:
    """The first constraint that keeps one seat off the node, None if it fits."""
    if not node.alive:
        return Constraint.LOST
    if not runs_on(spec, node):
        return Constraint.RUNNER
    want, capacity = spec.resources, node.offer.capacity
    if want.gpu_milli:
        models = Counter(device.model for device in node.offer.devices)
        usable = [n for m, n in models.items() if not spec.gpu_types or m in spec.gpu_types]
        if not usable:
            return Constraint.GPU_TYPE
        if max(usable) < want.whole_gpus:
            return Constraint.GPU_SIZE
    if want.cpu_milli > capacity.cpu_milli:
        return Constraint.CPU_SIZE
    if want.memory_bytes > capacity.memory_bytes:
        return Constraint.MEMORY_SIZE
    if node.cordoned:
        return Constraint.CORDONED
    space = room.spaces[node.id]
    if want.gpu_milli:
        free = [n for m, n in space.devices.items() if not spec.gpu_types or m in spec.gpu_types]
        if max((len(ids) for ids in free), default=0) < want.whole_gpus:
            return Constraint.GPU
    if want.cpu_milli > space.free.cpu_milli:
        return Constraint.CPU
    return Constraint.MEMORY if want.memory_bytes > space.free.memory_bytes else None


def _dominant(
    spec: JobSpec, snapshot: Snapshot, free: Room, counts: Counter[Constraint], fitting: int
) -> WaitCode:
    alive = len(snapshot.nodes) - counts[Constraint.LOST]
    if not alive:
        return WaitCode.NO_NODES
    left = alive - counts[Constraint.RUNNER]
    if not left:
        return WaitCode.NO_DOCKER if spec.image is not None else WaitCode.NO_SANDBOX
    left -= counts[Constraint.GPU_TYPE]
    if not left:
        return WaitCode.GPU_TYPE_ABSENT
    if left == sum(counts[c] for c in _SIZES) or place(spec, Room.empty(snapshot)) is None:
        return WaitCode.NEVER_FITS
    if place(spec, free) is not None:
        return WaitCode.CAPACITY_RESERVED
    shortages = [c for c in _SHORTAGE if counts[c]]
    if fitting:
        return WaitCode.GANG_TOO_LARGE
    if not shortages:
        return WaitCode.CORDONED
    return _SHORTAGE[max(shortages, key=lambda c: counts[c])]
