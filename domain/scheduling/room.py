"""Room: what may still be given away in one planning cycle, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from domain.allocation.allocation import Allocation
from domain.allocation.seat import Seat
from domain.job.where import Affinity, Scope
from domain.policy.events import Overcommit
from domain.scheduling.demand import Demand
from domain.scheduling.filters import never_on
from domain.scheduling.instances import untouched
from domain.scheduling.snapshot import Label, Snapshot
from domain.scheduling.space import Space
from domain.values.ids import NodeId


@dataclass(frozen=True)
class Found:
    """Seats for a whole gang, and the GPU model all of them get."""

    seats: tuple[Seat, ...]
    gpu_model: str


class Room:
    """The spaces of the nodes that take work. Cheap to fork: spaces are copied when changed."""

    def __init__(self, spaces: dict[NodeId, Space], near: Mapping[Label, Counter[NodeId]]) -> None:
        self.spaces = spaces
        self.near = near
        self._own: set[NodeId] = set()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Room:
        """What is free now."""
        overcommit = overcommit_of(snapshot)
        spaces = {
            node_id: snapshot.nodes[node_id].space(overcommit)
            for node_id in sorted(snapshot.nodes)
            if snapshot.nodes[node_id].takes_work
        }
        return cls(spaces, snapshot.near)

    @classmethod
    def empty(cls, snapshot: Snapshot) -> Room:
        """What would be free if nothing ran and no node were cordoned."""
        overcommit = overcommit_of(snapshot)
        spaces = {}
        for node_id, state in sorted(snapshot.nodes.items()):
            if state.node.alive:
                left, mig = untouched(state.node.offer)
                spaces[node_id] = Space(state.node, state.offered(overcommit), left, mig=mig)
        return cls(spaces, {})

    def fork(self) -> Room:
        """A room that starts like this one and changes by itself."""
        self._own = set()  # from now on both must copy before they change a space
        return Room(dict(self.spaces), self.near)

    def least(self, other: Room) -> Room:
        """What is free both here and there."""
        spaces = {
            node_id: space if space is other.spaces[node_id] else space.least(other.spaces[node_id])
            for node_id, space in self.spaces.items()
            if node_id in other.spaces
        }
        self._own, other._own = set(), set()
        return Room(spaces, self.near)

    def without(self, nodes: AbstractSet[NodeId]) -> Room:
        """A room like this one that lacks these nodes."""
        if not nodes:
            return self
        room = self.fork()
        for node in nodes:
            room.spaces.pop(node, None)
        return room

    def take(self, seats: Iterable[Seat], demand: Demand) -> None:
        """Give seats away; what is not there (still held by a victim) is not counted."""
        for seat in seats:
            if seat.node in self.spaces:
                space = self._mine(seat.node)
                space.take(seat.devices, demand.per_seat, demand.where.exclusive)

    def give_back(self, allocation: Allocation) -> None:
        """Count an allocation's seats as free, on nodes that take work."""
        for seat in allocation.seats:
            if seat.node in self.spaces:
                space = self._mine(seat.node)
                space.give_back(seat.devices, allocation.per_seat, allocation.exclusive)

    def give_back_seats(self, seats: Iterable[Seat], demand: Demand) -> None:
        """Count seats that were given away in this cycle as free again."""
        for seat in seats:
            if seat.node in self.spaces:
                space = self._mine(seat.node)
                space.give_back(seat.devices, demand.per_seat, demand.where.exclusive)

    def _mine(self, node_id: NodeId) -> Space:
        if node_id not in self._own:
            self.spaces[node_id] = self.spaces[node_id].copy()
            self._own.add(node_id)
        return self.spaces[node_id]


def overcommit_of(snapshot: Snapshot) -> dict[str, Overcommit]:
    """The factors of each pool that has some."""
    return {over.pool: over for over in snapshot.policy.scheduler.overcommit}


def group_of(space: Space, scope: Scope) -> str:
    """The node, rack or spine a space belongs to; empty where it was not told."""
    match scope:
        case Scope.NODE:
            return space.node.id
        case Scope.RACK:
            return space.node.offer.location.rack
        case Scope.SPINE:
            return space.node.offer.location.spine


def models_for(demand: Demand, room: Room) -> list[str]:
    """The GPU models to try, in order; `[""]` without GPUs."""
    if not demand.per_seat.gpu_milli:
        return [""]
    if demand.gpu_types:
        return list(demand.gpu_types)
    return sorted({d.model for space in room.spaces.values() for d in space.node.offer.devices})


def eligible(demand: Demand, room: Room) -> list[Space]:
    """The nodes that qualify whatever runs there, and lie near to and away from what they must."""
    found = [s for s in room.spaces.values() if never_on(demand, s.node.offer) is None]
    for affinity in demand.where.affinity:
        if affinity.required:
            groups = groups_near(demand, affinity, room)
            if affinity.avoid:
                found = [s for s in found if group_of(s, affinity.scope) not in groups]
            elif groups or affinity.label not in demand.labels:
                found = [s for s in found if group_of(s, affinity.scope) in groups]
    return found


def groups_near(demand: Demand, affinity: Affinity, room: Room) -> set[str]:
    """The nodes, racks or spines where jobs with the label run."""
    nodes = room.near.get((demand.project, affinity.label), Counter())
    groups = {group_of(room.spaces[n], affinity.scope) for n in nodes if n in room.spaces}
    return groups - {""}


def count_seats(demand: Demand, room: Room) -> int:
    """How many seats of the gang fit, at most all of them: the most over GPU models."""
    spaces, most = eligible(demand, room), 0
    for model in models_for(demand, room):
        count = 0
        for space in spaces:
            count += space.count(demand, model)
            if count >= demand.replicas:
                return demand.replicas
        most = max(most, count)
    return most
