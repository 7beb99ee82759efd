"""Rooms kept in step with the nodes between cycles, so that none is counted anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from domain.allocation.allocation import Allocation
from domain.policy.events import Overcommit
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.instances import untouched
from domain.scheduling.node_state import NodeState
from domain.scheduling.place import place
from domain.scheduling.room import Room
from domain.scheduling.score import Scoring
from domain.scheduling.space import Space
from domain.values.ids import NodeId

if TYPE_CHECKING:
    from domain.scheduling.snapshot import Snapshot


MOST_BELOW = 4
"""Rooms of so many priorities are kept."""
MOST_KNOWN = 4096


class Rooms:
    """What is free now, and what would be if nothing ran; nobody changes these rooms.

    Whoever changes a node of the snapshot notes it here.
    """

    def __init__(self) -> None:
        self._noted: set[NodeId] = set()
        self._changed: set[NodeId] = set()
        """Those of them that changed themselves."""
        self._never: dict[Demand, bool] = {}
        """Whether a demand would not fit if nothing ran, since nodes changed last."""
        self._overcommit: tuple[Overcommit, ...] = ()
        self._free: Room | None = None
        self._empty: Room | None = None
        self._later: Room | None = None
        self._later_noted: set[NodeId] = set()
        """Nodes that changed since it was last asked for what is free later."""
        self._below: dict[int, tuple[Room, set[NodeId]]] = {}
        """By priority, the one asked last at the end: with the nodes that changed since then."""

    def note(self, node: NodeId, itself: bool = False) -> None:
        """What the node holds changed, or the node `itself`."""
        self._noted.add(node)
        if itself:
            self._changed.add(node)
        self._later_noted.add(node)
        for _, noted in self._below.values():
            noted.add(node)

    def free(self, snapshot: Snapshot) -> Room:
        """What is free now on nodes that take work. Fork it to change it."""
        self._catch_up(snapshot)
        assert self._free is not None, "it was made"
        return self._free

    def later(self, snapshot: Snapshot) -> Room:
        """What is free once those have left who were asked to for another. Fork it to change it."""
        free, factors = self.free(snapshot), factors_of(snapshot)
        noted = [snapshot.nodes[node] for node in self._later_noted]
        self._later_noted.clear()
        space_of = _without_leaving(snapshot, free)
        room = None if self._later is None else _kept(self._later, noted, space_of, factors)
        if room is None:
            room = free.fork()
            leaving = (snapshot.jobs[job] for job in snapshot.leaving)
            for name in {seat.node for job in leaving for seat in job.seats}:
                room.put(name, space_of(snapshot.nodes[name], factors))
        self._later = room
        self._later.set_scoring(free.scoring)
        self._later.settle()
        return self._later

    def empty(self, snapshot: Snapshot) -> Room:
        """What would be free if nothing ran and no node were cordoned. Fork it to change it."""
        self._catch_up(snapshot)
        if self._empty is None:
            self._empty = _room(snapshot, _whole, factors_of(snapshot))
            self._empty.near = {}
            self._empty.set_scoring(self.free(snapshot).scoring)
        return self._empty

    def never_fits(self, snapshot: Snapshot, demand: Demand) -> bool:
        """Whether the nodes that are alive would not hold it even if nothing ran."""
        empty = self.empty(snapshot)
        if demand not in self._never:
            if len(self._never) >= MOST_KNOWN:
                self._never.clear()
            self._never[demand] = place(demand, empty) is None
        return self._never[demand]

    def below(self, snapshot: Snapshot, priority: int) -> Room:
        """What would be free if all had left who may be made to by a job of this priority, or were
        asked already. It tells who cannot be helped; fork it to change it."""
        scoring = self.free(snapshot).scoring
        factors, space_of = factors_of(snapshot), _less_important(snapshot, priority)
        known = self._below.pop(priority, None)
        room = None
        if known is not None:
            room = _kept(known[0], [snapshot.nodes[node] for node in known[1]], space_of, factors)
        if room is None:
            room = _room(snapshot, space_of, factors)
        room.set_scoring(scoring)
        room.settle()
        self._below[priority] = (room, set())
        if len(self._below) > MOST_BELOW:
            del self._below[next(iter(self._below))]
        return room

    def _catch_up(self, snapshot: Snapshot) -> None:
        settings = snapshot.policy.scheduler
        scoring = Scoring(settings.score, snapshot.arrivals.typical)
        if self._overcommit != settings.overcommit:
            self._overcommit, self._free, self._empty = settings.overcommit, None, None
            self._later = None
            self._below.clear()
            self._never.clear()
        factors = factors_of(snapshot)
        noted, changed = ([snapshot.nodes[node] for node in each] for each in self._both())
        if changed:
            self._never.clear()
        self._free = _kept(self._free, noted, _left, factors)
        self._empty = _kept(self._empty, changed, _whole, factors)
        if self._free is None:
            self._free = _room(snapshot, _left, factors)
        for room in (self._free, self._empty):
            if room is not None:
                room.set_scoring(scoring)
                room.settle()

    def _both(self) -> tuple[set[NodeId], set[NodeId]]:
        """The nodes that were noted, and those of them that changed themselves; then none are."""
        noted, changed, self._noted, self._changed = self._noted, self._changed, set(), set()
        return noted, changed


SpaceOf = Callable[[NodeState, dict[str, Overcommit]], Space | None]


def factors_of(snapshot: Snapshot) -> dict[str, Overcommit]:
    """The factors of each pool that promises more than it has."""
    return {over.pool: over for over in snapshot.policy.scheduler.overcommit}


def _kept(
    room: Room | None,
    noted: Iterable[NodeState],
    space_of: SpaceOf,
    factors: dict[str, Overcommit],
) -> Room | None:
    """The room with these nodes as they are now; None if it must be made anew."""
    for state in noted:
        if room is None or not room.adopt(state.node.offer):
            return None
        room.put(state.node.id, space_of(state, factors))
    return room


def _room(snapshot: Snapshot, space_of: SpaceOf, factors: dict[str, Overcommit]) -> Room:
    board = None
    if len(snapshot.nodes) >= snapshot.board_from:
        board = Board({name: state.node.offer for name, state in snapshot.nodes.items()})
    room = Room({}, snapshot.near, Scoring(), board)
    for name, state in snapshot.nodes.items():
        room.put(name, space_of(state, factors))
    return room


def _left(state: NodeState, factors: dict[str, Overcommit]) -> Space | None:
    return state.space(factors) if state.takes_work else None


def _whole(state: NodeState, factors: dict[str, Overcommit]) -> Space | None:
    if not state.node.alive:
        return None
    left, mig = untouched(state.node.offer)
    return Space(state.node, state.offered(factors), left, mig=mig)


def _less_important(snapshot: Snapshot, priority: int) -> SpaceOf:
    """What a node has left without those that give way to jobs of this priority."""

    def space_of(state: NodeState, factors: dict[str, Overcommit]) -> Space | None:
        if not state.takes_work:
            return None
        space = state.space(factors)
        space.leave(held for name in state.held if goes(held := snapshot.allocations[name]))
        return space

    def goes(held: Allocation) -> bool:
        job = snapshot.jobs.get(held.job)
        if job is None or (job.spec.preemptible and job.priority < priority):
            return True
        return held.job in snapshot.leaving

    return space_of


def _without_leaving(snapshot: Snapshot, free: Room) -> SpaceOf:
    """What a node has left without those that were asked to leave for another."""
    leaving = {snapshot.jobs[job].allocation for job in snapshot.leaving}

    def space_of(state: NodeState, _: dict[str, Overcommit]) -> Space | None:
        space = free.spaces.get(state.node.id)
        gone = state.held & leaving
        if space is not None and gone:
            space = space.copy()
            space.leave(snapshot.allocations[name] for name in gone)
        return space

    return space_of
