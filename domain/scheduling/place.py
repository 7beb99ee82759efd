"""Placement: seats for a whole gang in a room, or none."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from domain.allocation.seat import Seat
from domain.job.where import Scope
from domain.scheduling.demand import Demand
from domain.scheduling.room import Found, Room, eligible, group_of, groups_near, models_for
from domain.scheduling.score import Scoring, order_of, rate
from domain.scheduling.space import Space
from domain.values.ids import DeviceId, NodeId


def place(demand: Demand, room: Room) -> Found | None:
    """Seats for the gang, or None; `room` is left as it was.

    All seats get one GPU model, the first of those accepted that has enough. A gang is put into the
    tightest rack that takes all of it, else the tightest spine, else anywhere; `together` says how
    near its seats must or should be. An elastic gang takes what fits, at least `least`. A board
    finds the same without looking at every node.
    """
    models = models_for(demand, room)
    if board := room.board(demand):
        seated = board.place(demand, models, room.spaces)
        return None if seated is None else Found(*seated)
    spaces = eligible(demand, room)
    for model in models:
        counts = {s.node.id: n for s in spaces if (n := s.count(demand, model))}
        if sum(counts.values()) < demand.least:
            continue
        able = [space for space in spaces if space.node.id in counts]
        for group in _groups(demand, able, counts):
            seats = _fill(demand, model, group, room)
            if len(seats) >= demand.least:
                return Found(tuple(seats), model)
    return None


def _groups(
    demand: Demand, spaces: list[Space], counts: dict[NodeId, int]
) -> Iterator[list[Space]]:
    """The sets of nodes to try for the gang, the nearest and tightest first."""
    where = demand.where
    if demand.replicas == 1:
        yield spaces
        return
    scopes = [Scope.RACK, Scope.SPINE] if where.together is None else [where.together]
    for scope in scopes:
        groups: dict[str, list[Space]] = {}
        for space in spaces:
            groups.setdefault(group_of(space, scope), []).append(space)
        groups.pop("", None)
        sizes = {name: sum(counts[s.node.id] for s in group) for name, group in groups.items()}
        whole = [name for name, size in sizes.items() if size >= demand.replicas]
        order = order_of if scope is Scope.NODE else _by_name
        for name in sorted(whole, key=lambda name: (sizes[name], order(name))):
            yield groups[name]
        if where.together_required:
            part = [name for name, size in sizes.items() if demand.least <= size < demand.replicas]
            for name in sorted(part, key=lambda name: (-sizes[name], name)):
                yield groups[name]
    if not where.together_required:
        yield spaces


def _by_name(name: str) -> tuple[bytes, str]:
    return b"", name


def _fill(demand: Demand, model: str, spaces: list[Space], room: Room) -> list[Seat]:
    """Seats one after the other, each on the best node for it, as many as fit."""
    wishes, where = _wishes(demand, room), demand.where
    apart = [
        (affinity.scope, set[str]())  # its own seats count too where it bears the label itself
        for affinity in where.affinity
        if affinity.avoid and affinity.required and affinity.label in demand.labels
    ]
    heap = []
    for number, space in enumerate(spaces):
        rank, devices = _rank(demand, model, space, wishes, room.scoring)
        heap.append((rank, number, devices))
    heapify(heap)
    mine: dict[int, Space] = {}
    seats: list[Seat] = []
    while heap and len(seats) < demand.replicas:
        _, number, devices = heappop(heap)
        space = mine.get(number) or spaces[number]
        groups = [(group_of(space, scope), used) for scope, used in apart]
        if any(group in used for group, used in groups):
            continue
        seats.append(Seat(len(seats), space.node.id, devices))
        if len(seats) == demand.replicas:
            break
        space = mine[number] = mine.get(number) or space.copy()
        space.take(devices, demand.per_seat, where.exclusive)
        for group, used in groups:
            used.add(group)
        if space.count(demand, model):
            rank, devices = _rank(demand, model, space, wishes, room.scoring)
            heappush(heap, (rank, number, devices))
    return seats


Wish = tuple[Scope, bool, set[str]]


def _wishes(demand: Demand, room: Room) -> list[Wish]:
    return [
        (affinity.scope, affinity.avoid, groups_near(demand, affinity, room))
        for affinity in demand.where.affinity
        if not affinity.required
    ]


def _rank(
    demand: Demand, model: str, space: Space, wishes: list[Wish], scoring: Scoring
) -> tuple[tuple[int, int, tuple[bytes, str]], tuple[DeviceId, ...]]:
    """The least is best: unmet wishes, then the score, then the order; and the devices it gets."""
    unmet = sum((group_of(space, scope) in groups) is avoid for scope, avoid, groups in wishes)
    score, devices = rate(demand, model, space, scoring)
    return (unmet, -score, order_of(space.node.id)), devices
