"""Room: what may still be given away in one planning cycle, node by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from domain.allocation.allocation import Allocation
from domain.allocation.seat import Seat
from domain.job.spec import JobSpec
from domain.node.node import Node
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, NodeId
from domain.values.resources import NOTHING, Resources


@dataclass
class Space:
    """What one node has left: resources and devices by model, in stable order.

    `short` is what it holds beyond its offer: the first that is given back settles that.
    """

    node: Node
    free: Resources
    devices: dict[str, list[DeviceId]]
    short: Resources = NOTHING

    def copy(self) -> Space:
        devices = {model: list(ids) for model, ids in self.devices.items()}
        return Space(self.node, self.free, devices, self.short)

    def give_back(self, seat: Seat, per_seat: Resources) -> None:
        """Count a seat as free, but for devices the node no longer offers."""
        models = {device.id: device.model for device in self.node.offer.devices}
        back = [device for device in seat.devices if device in models]
        for device in back:
            self.devices.setdefault(models[device], []).append(device)
        returned = replace(per_seat, gpu_milli=1000 * len(back))
        self.free = self.free + returned.less(self.short)
        self.short = self.short.less(returned)


class Room:
    """The spaces of the nodes that take work. Cheap to fork: spaces are copied when changed."""

    def __init__(self, spaces: dict[NodeId, Space]) -> None:
        self.spaces = spaces
        self._own: set[NodeId] = set()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Room:
        """What is free now."""
        spaces = {}
        for node_id in sorted(snapshot.nodes):
            state = snapshot.nodes[node_id]
            if state.takes_work:
                free = set(state.free_devices)
                spaces[node_id] = _space(state.node, state.free, free, state.short)
        return cls(spaces)

    @classmethod
    def empty(cls, snapshot: Snapshot) -> Room:
        """What would be free if nothing ran and no node were cordoned."""
        return cls(
            {
                node_id: _space(state.node, state.node.offer.capacity, None)
                for node_id, state in sorted(snapshot.nodes.items())
                if state.node.alive
            }
        )

    def fork(self) -> Room:
        """A room that starts like this one and changes by itself."""
        self._own = set()  # from now on both must copy before they change a space
        return Room(dict(self.spaces))

    def take(self, seats: Iterable[Seat], per_seat: Resources) -> None:
        """Give seats away; what is not there (still held by a victim) is not counted."""
        for seat in seats:
            space = self._mine(seat.node)
            space.free = space.free.less(per_seat)
            for ids in space.devices.values():
                ids[:] = [device for device in ids if device not in seat.devices]

    def give_back(self, allocation: Allocation) -> None:
        """Count an allocation's seats as free, on nodes that take work."""
        for seat in allocation.seats:
            if seat.node in self.spaces:
                self._mine(seat.node).give_back(seat, allocation.per_seat)

    def _mine(self, node_id: NodeId) -> Space:
        if node_id not in self._own:
            self.spaces[node_id] = self.spaces[node_id].copy()
            self._own.add(node_id)
        return self.spaces[node_id]


def _space(
    node: Node, free: Resources, only: set[DeviceId] | None, short: Resources = NOTHING
) -> Space:
    devices: dict[str, list[DeviceId]] = {}
    for device in node.offer.devices:
        if only is None or device.id in only:
            devices.setdefault(device.model, []).append(device.id)
    return Space(node, free, devices, short)


def models_for(spec: JobSpec, room: Room) -> list[str]:
    """The GPU models to try for a job, in order; `[""]` for a job without GPUs."""
    if not spec.resources.gpu_milli:
        return [""]
    if spec.gpu_types:
        return list(spec.gpu_types)
    return sorted({model for space in room.spaces.values() for model in space.devices})


def runs_on(spec: JobSpec, node: Node) -> bool:
    """Whether the node has a runner for the job: Docker for an image, else any other."""
    runners = node.offer.runners
    return "docker" in runners if spec.image is not None else any(r != "docker" for r in runners)


def place(spec: JobSpec, room: Room) -> tuple[tuple[Seat, ...], str] | None:
    """Seats for the whole gang and their GPU model, or None; `room` is left as it was.

    Each seat goes to the feasible node with the least GPUs left after it, then the least CPU,
    then the first name: best fit. All seats of a gang get the same GPU model.
    """
    for model in models_for(spec, room):
        scratch = room.fork()
        seats: list[Seat] = []
        for rank in range(spec.replicas):
            seat = _best_seat(spec, model, rank, scratch)
            if seat is None:
                break
            scratch.take([seat], spec.resources)
            seats.append(seat)
        else:
            return tuple(seats), model
    return None


def count_seats(spec: JobSpec, room: Room) -> int:
    """How many seats of the gang fit, at most all of them: the most over GPU models."""
    most = 0
    for model in models_for(spec, room):
        scratch, count = room.fork(), 0
        while count < spec.replicas:
            seat = _best_seat(spec, model, count, scratch)
            if seat is None:
                break
            scratch.take([seat], spec.resources)
            count += 1
        most = max(most, count)
    return most


def _best_seat(spec: JobSpec, model: str, rank: int, room: Room) -> Seat | None:
    want, gpus = spec.resources, spec.resources.whole_gpus
    best: tuple[int, int, NodeId] | None = None
    for node_id, space in room.spaces.items():
        if not want.fits(space.free) or not runs_on(spec, space.node):
            continue
        if gpus and len(space.devices.get(model, ())) < gpus:
            continue
        left = space.free - want
        score = (left.gpu_milli, left.cpu_milli, node_id)
        if best is None or score < best:
            best = score
    if best is None:
        return None
    node = best[2]
    devices = tuple(room.spaces[node].devices.get(model, [])[:gpus])
    return Seat(rank, node, devices)
