"""Room: what may still be given away in one planning cycle, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.allocation.allocation import Allocation
from domain.allocation.seat import Seat
from domain.job.where import Affinity, Scope
from domain.node.events import Registered
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.filters import never_on
from domain.scheduling.score import Scoring
from domain.scheduling.space import Space
from domain.values.ids import NodeId

if TYPE_CHECKING:
    from domain.scheduling.snapshot import Label


@dataclass(frozen=True)
class Found:
    """Seats for a whole gang, and the GPU model all of them get."""

    seats: tuple[Seat, ...]
    gpu_model: str


class Room:
    """The spaces of the nodes that take work, and a board of them where nodes are many.

    Cheap to fork: spaces and board are copied when they change.
    """

    def __init__(
        self,
        spaces: dict[NodeId, Space],
        near: Mapping[Label, Counter[NodeId]],
        scoring: Scoring,
        board: Board | None = None,
    ) -> None:
        self.spaces = spaces
        self.near = near
        self.scoring = scoring
        self._own: set[NodeId] = set()
        self._board = board
        self._shared = False
        self._stale: set[NodeId] = set()
        """Nodes the board does not know the latest of."""

    def fork(self) -> Room:
        """A room that starts like this one and changes by itself."""
        self._own = set()  # from now on both must copy before they change a space
        self._shared = True
        other = Room(dict(self.spaces), self.near, self.scoring, self._board)
        other._shared, other._stale = True, set(self._stale)
        return other

    def board(self, demand: Demand) -> Board | None:
        """The board, if there is one that covers the demand."""
        if self._board is None or not self._board.covers(demand):
            return None
        self.settle()
        return self._board

    def settle(self) -> None:
        """Tell the board the latest of every node; forks made afterwards need not."""
        if self._board is not None and self._stale:
            board = self._own_board()
            for node_id in self._stale:
                board.put(node_id, self.spaces.get(node_id))
            self._stale.clear()

    def set_scoring(self, scoring: Scoring) -> None:
        """How nodes are scored from now on."""
        if scoring != self.scoring:
            self.scoring = scoring
            if self._board is not None:
                self._own_board().set_scoring(scoring)

    def adopt(self, offer: Registered) -> bool:
        """The node offers this now; False if this room cannot follow and must be made anew."""
        if self._board is None or self._board.ground.offers_same(offer):
            return True
        if not self._board.ground.alike(offer):
            return False
        self._own_board().offer(offer)
        return True

    @property
    def models(self) -> list[str]:
        """The GPU models of the nodes that take work."""
        if self._board is not None:
            return sorted(self._board.ground.models)
        return sorted({d.model for s in self.spaces.values() for d in s.node.offer.devices})

    def _own_board(self) -> Board:
        assert self._board is not None, "the room has one"
        if self._shared:
            self._board, self._shared = self._board.copy(), False
        return self._board

    def put(self, node_id: NodeId, space: Space | None) -> None:
        """What the node has left is now this; None: it takes no work."""
        if space is None:
            self.spaces.pop(node_id, None)
        else:
            self.spaces[node_id] = space
        self._own.discard(node_id)
        self._stale.add(node_id)

    def without(self, nodes: AbstractSet[NodeId]) -> Room:
        """A room like this one that lacks these nodes."""
        if not nodes:
            return self
        room = self.fork()
        for node in nodes:
            if node in room.spaces:
                room.put(node, None)
        return room

    def least(self, other: Room) -> Room:
        """What is free both here and there."""
        both = self.fork()
        for node_id, space in self.spaces.items():
            there = other.spaces.get(node_id)
            if there is not space:
                both.put(node_id, None if there is None else space.least(there))
        other._own = set()
        return both

    def holds(self, seats: Iterable[Seat], demand: Demand) -> bool:
        """Whether just these seats are free, all of them."""
        mine: dict[NodeId, Space] = {}
        wanted = [*seats]
        for seat in wanted:
            space = mine.get(seat.node) or self.spaces.get(seat.node)
            owned = demand.where.exclusive
            if space is None or not space.holds(seat.devices, demand.per_seat, owned):
                return False
            if len(wanted) > 1:
                space = mine[seat.node] = mine.get(seat.node) or space.copy()
                space.take(seat.devices, demand.per_seat, owned)
        return True

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
        self._stale.add(node_id)
        return self.spaces[node_id]


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
    return room.models


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
    if board := room.board(demand):
        return board.count(demand, models_for(demand, room))
    spaces, most = eligible(demand, room), 0
    for model in models_for(demand, room):
        count = 0
        for space in spaces:
            count += space.count(demand, model)
            if count >= demand.replicas:
                return demand.replicas
        most = max(most, count)
    return most
