"""Room for one seat: the cheapest victims on any one node, kept while jobs that ask alike go on."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from domain.job.job import Job
from domain.scheduling.demand import Demand
from domain.scheduling.room import Room, eligible, models_for
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.space import Space
from domain.values.ids import JobId, NodeId


class OneSeat:
    """Finds whom to ask for a simple demand of one seat; `room` is followed while it changes.

    Each node stands at the candidate after whose leaving the seat would fit there, had all before
    left it too: the first node's victims are the cheapest. Where a node stands is counted when
    it comes first, as room that was given away meanwhile only moves it back; tell `left` what is
    given back.
    """

    def __init__(self, snapshot: Snapshot, demand: Demand, room: Room, found: list[Job]) -> None:
        """`found` are those that may be asked, in the order to ask them."""
        self._snapshot, self._demand, self.room = snapshot, demand, room
        self._models = models_for(demand, room)
        self._on: dict[NodeId, dict[JobId, tuple[int, Job]]] = {}
        for order, job in enumerate(found):
            for node in _nodes(job):
                self._on.setdefault(node, {})[job.id] = (order, job)
        self._able = self._qualify()
        self._heap = [
            (next(iter(self._on[node].values()))[0], node)
            for node in self._on
            if node in self._able
        ]
        heapify(self._heap)

    def _qualify(self) -> set[NodeId]:
        board = self.room.board(self._demand)
        if board is None:
            return {s.node.id for s in eligible(self._demand, self.room)} & self._on.keys()
        spaces, may_use = self.room.spaces, board.ground.may_use
        return {node for node in self._on if node in spaces and may_use(self._demand, node)}

    def victims(self) -> list[Job] | None:
        """The victims, in order; None if even all on any one node are not enough.

        Minimal: put any one of them back and the seat no longer fits.
        """
        while self._heap:
            order, node = self._heap[0]
            last = self._stands(node)
            if last == order:
                return self._fewest(node, last)
            if last is None:
                heappop(self._heap)
            else:
                heapreplace(self._heap, (last, node))
        return None

    def left(self, victims: Iterable[Job]) -> None:
        """These were asked to leave, and the room has what they held."""
        for victim in victims:
            for node in _nodes(victim):
                if node in self._able:
                    self._on[node].pop(victim.id, None)
                    if self._on[node]:
                        heappush(self._heap, (self._first(node), node))

    def _first(self, node: NodeId) -> int:
        """The node stands here or behind."""
        return next(iter(self._on[node].values()))[0]

    def _stands(self, node: NodeId) -> int | None:
        """The candidate after whose leaving the seat fits on the node; None if after none."""
        space = self.room.spaces[node].copy()
        for order, job in self._on[node].values():
            space.leave([self._snapshot.held_by(job)])
            if self._fits(space):
                return order
        return None

    def _fewest(self, node: NodeId, last: int) -> list[Job]:
        """Those to ask of the candidates up to the last, the most important spared first."""
        victims = [job for order, job in self._on[node].values() if order <= last]
        nodes = _nodes(victims[-1]) & self._able  # elsewhere the seat fits only after later ones
        for victim in sorted(victims, key=lambda v: -v.priority):
            rest = [job for job in victims if job is not victim]
            if any(self._fits(self._without(other, rest)) for other in nodes):
                victims = rest
        return victims

    def _without(self, node: NodeId, gone: Iterable[Job]) -> Space:
        space = self.room.spaces[node].copy()
        for job in gone:
            space.leave([self._snapshot.held_by(job)])
        return space

    def _fits(self, space: Space) -> bool:
        return any(space.count(self._demand, model) for model in self._models)


def _nodes(job: Job) -> set[NodeId]:
    return {seat.node for seat in job.seats}
