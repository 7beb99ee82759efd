"""The board: a room of many nodes as rows of integers, so that no question looks at objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

from domain.allocation.seat import Seat
from domain.job.where import Scope
from domain.node.events import Registered
from domain.scheduling.demand import Demand
from domain.scheduling.fleet import layout
from domain.scheduling.fleet.cells import Cells
from domain.scheduling.fleet.demand import ANY_MODEL, MOST_GPUS, WHOLE, FleetNode
from domain.scheduling.fleet.demand import Demand as Wanted
from domain.scheduling.fleet.fleet import Chosen, Fleet
from domain.scheduling.fleet.layout import Ints
from domain.scheduling.ground import CONSTRAINTS, Ground
from domain.scheduling.node_state import NodeState
from domain.scheduling.reason import Constraint
from domain.scheduling.score import POLICIES, Scoring, typical_wanted
from domain.scheduling.space import Space
from domain.values.ids import NodeId
from domain.values.resources import NOTHING

_LACKS = (
    None,
    Constraint.GPU,
    Constraint.CPU,
    Constraint.MEMORY,
    Constraint.STORAGE,
    Constraint.NETWORK,
)


class Board:
    """Answers for simple demands (`Demand.simple`) what `place` finds by looking at every node.

    `put` tells what a node has left. Copies are cheap and change by themselves.
    """

    def __init__(self, offers: Mapping[NodeId, Registered], compiled: bool | None = None) -> None:
        nodes = [FleetNode(name, 0, 0, (0,) * _devices(offers[name])) for name in offers]
        self._fleet = Fleet(nodes, compiled=compiled)
        self.ground = Ground(self._fleet.ids, dict(offers), self._fleet.cells)
        self._wanted: dict[tuple[Demand, tuple[str, ...]], int] = {}
        self._special = set[int]()
        """Nodes that somebody has for himself, or that hold more than they offer."""
        self._scoring = Scoring()
        for number, offer in enumerate(self.ground.offers):
            if number not in self.ground.odd:
                self._fleet.set_model(number, self.ground.model_of(offer))

    def copy(self) -> Board:
        """A board like this one that changes by itself."""
        other = object.__new__(Board)
        other.__dict__.update(self.__dict__)
        other._fleet, other._special = self._fleet.copy(), set(self._special)
        return other

    @property
    def cells(self) -> Cells:
        """Where its integers are kept."""
        return self._fleet.cells

    @property
    def leaving(self) -> ModuleType:
        """The loops of `fleet.leaving`, compiled for large fleets."""
        return self._fleet.leaving

    @property
    def held(self) -> ModuleType:
        """The loops of `fleet.held`, likewise."""
        return self._fleet.held

    def put(self, node: NodeId, space: Space | None) -> None:
        """What the node has left is now this; None takes no work."""
        number = self.ground.index[node]
        self._special.discard(number)
        if space is not None and (space.owned or space.short != NOTHING):
            self._special.add(number)
        if space is None or space.owned or number in self.ground.odd:
            left = [0] * (5 + _devices(self.ground.offers[number]))
        else:
            free, devices = space.free, self.ground.offers[number].devices
            left = [free.cpu_milli, free.memory_bytes, free.storage_bytes, free.network_mbps, 1]
            left += [space.left.get(device.id, 0) for device in devices]
        self._fleet.put(number, left)

    def offer(self, offer: Registered) -> None:
        """The node offers something else that is `Ground.alike`."""
        tables, apart = self.ground.changed(offer)
        for key, allowed in tables:
            if self._fleet.allows(key):  # else no seat of it was asked for yet
                self._fleet.allow_node(key, self.ground.index[offer.node], allowed)
        for asked in [asked for asked in self._wanted if asked[0] in apart]:
            del self._wanted[asked]

    def set_scoring(self, scoring: Scoring) -> None:
        """How nodes are scored from now on."""
        if scoring != self._scoring:
            self._scoring = scoring
            self._fleet.score = POLICIES[scoring.score]
            self._fleet.set_typical(typical_wanted(scoring.typical, self._mask))

    def covers(self, demand: Demand) -> bool:
        """Whether it can answer for the demand."""
        if not demand.simple or demand.per_seat.gpus > MOST_GPUS:
            return False
        verdicts = self.ground.table(demand).verdicts
        return all(verdicts[number] for number in self.ground.odd)

    def place(
        self, demand: Demand, models: Iterable[str], spaces: Mapping[NodeId, Space]
    ) -> tuple[tuple[Seat, ...], str] | None:
        """Seats for the gang and their GPU model, or None."""
        for model in models:
            number = self._number(demand, _only(model))
            if demand.replicas == 1:
                chosen = self._fleet.choose(number)
                found = [] if chosen is None else [chosen]
            else:
                found = self._gang(demand, number)
            if found:
                return self._seats(demand, model, found, spaces), model
        return None

    def count(self, demand: Demand, models: Iterable[str]) -> int:
        """How many seats of the gang fit, at most all of them: the most over GPU models."""
        most = demand.replicas
        totals = (
            self._fleet.counts(self._number(demand, _only(model)), most)[1] for model in models
        )
        return min(most, max(totals, default=0))

    def usable(self, demand: Demand, model: str) -> dict[NodeId, int]:
        """The seats, at most all, on each node that takes some."""
        counts, _ = self._fleet.counts(self._number(demand, _only(model)), demand.replicas)
        ids = self.ground.ids
        return {ids[i]: int(counts[i]) for i in self._fleet.cells.where(counts)}

    def rows_for(self, demand: Demand, spaces: Mapping[NodeId, Space]) -> tuple[Ints, Ints, Ints]:
        """For `fleet.leaving`: the nodes, which of them the demand may use, and one seat of it.

        What a node holds beyond its offer is below nothing.
        """
        allowed, row = self._fleet.asked(self._number(demand, demand.gpu_types))
        nodes = self._fleet.nodes
        if self._special:
            nodes = nodes.copy()
        for number in self._special - self.ground.odd:
            space, at = spaces[self.ground.ids[number]], number * layout.STRIDE
            free, short = space.free, space.short
            nodes[at + layout.CPU] = free.cpu_milli - short.cpu_milli
            nodes[at + layout.MEMORY] = free.memory_bytes - short.memory_bytes
            nodes[at + layout.STORAGE] = free.storage_bytes - short.storage_bytes
            nodes[at + layout.NETWORK] = free.network_mbps - short.network_mbps
            nodes[at + layout.TAKES], nodes[at + layout.OWNED] = 1, space.owned
            for device, offered in enumerate(self.ground.offers[number].devices):
                nodes[at + layout.GPU + device] = space.left.get(offered.id, 0)
        return nodes, allowed, row

    def exclusions(
        self, demand: Demand, states: Mapping[NodeId, NodeState]
    ) -> Counter[Constraint | None]:
        """Nodes by the first constraint that keeps one seat off them, None where it fits."""
        verdicts = self.ground.table(demand).verdicts
        found = Counter[Constraint | None](
            {constraint: verdicts.count(n) for n, constraint in enumerate(CONSTRAINTS) if n}
        )
        counts, away = self._fleet.shortages(self._number(demand, ()))
        for constraint, count in zip(_LACKS, counts, strict=True):
            found[constraint] += count
        for number in away:
            state, verdict = states[self.ground.ids[number]], verdicts[number]
            if not state.node.alive:
                found[CONSTRAINTS[verdict]] -= bool(verdict)
                found[Constraint.LOST] += 1
            elif not verdict:
                cordoned = state.node.cordoned
                found[Constraint.CORDONED if cordoned else Constraint.IN_USE] += 1
        return found

    def _gang(self, demand: Demand, number: int) -> list[Chosen]:
        counts, total = self._fleet.counts(number, demand.replicas)
        if total < demand.least:
            return []
        for members in self._groups(demand, counts):
            found = self._fleet.seat(number, members, demand.replicas)
            if len(found) >= demand.least:
                return found
        return []

    def _groups(self, demand: Demand, counts: Ints) -> Iterator[Ints]:
        """The sets of nodes to try, the nearest and tightest first, as `place` has them."""
        cells, together = self._fleet.cells, demand.where.together
        for scope in [Scope.RACK, Scope.SPINE] if together is None else [together]:
            if scope is Scope.NODE:
                whole = [(int(counts[i]), int(i)) for i in cells.where(counts)]
                for _, i in sorted(each for each in whole if each[0] >= demand.replicas):
                    yield cells.of([i])
                continue
            groups = self.ground.racks if scope is Scope.RACK else self.ground.spines
            sums = self._fleet.sums(counts, groups.of, len(groups.members))
            whole = [(size, g) for g, size in enumerate(sums) if size >= demand.replicas]
            for _, group in sorted(whole):
                yield cells.of([i for i in groups.members[group] if counts[i]])
        yield cells.where(counts)

    def _seats(
        self, demand: Demand, model: str, found: list[Chosen], spaces: Mapping[NodeId, Space]
    ) -> tuple[Seat, ...]:
        want, mine, seats = demand.per_seat, dict[NodeId, Space](), []
        for rank, chosen in enumerate(found):
            name = self.ground.ids[chosen.node]
            space = mine.get(name) or spaces[name]
            if want.gpu_milli < 1000:
                offered = self.ground.offers[chosen.node].devices
                devices = tuple(offered[number].id for number in chosen.devices)
            else:
                devices = space.choose(want, model)
            seats.append(Seat(rank, name, devices))
            if rank + 1 < len(found):
                space = mine[name] = mine.get(name) or space.copy()
                space.take(devices, want, demand.where.exclusive)
        return tuple(seats)

    def _number(self, demand: Demand, models: tuple[str, ...]) -> int:
        """The fleet's number of a seat of this demand on GPUs of these models; none: of any."""
        number = self._wanted.get((demand, models))
        if number is None:
            table = self.ground.table(demand)
            if not self._fleet.allows(table.key):
                self._fleet.allow(table.key, [not verdict for verdict in table.verdicts])
            mask = self._mask(models)
            want = demand.per_seat
            seat = Wanted(
                want.cpu_milli,
                want.memory_bytes,
                want.gpus,
                want.milli_each or WHOLE,
                mask,
                table.key,
                want.storage_bytes,
                want.network_mbps,
            )
            number = self._wanted[demand, models] = self._fleet.intern(seat)
        return number

    def _mask(self, models: tuple[str, ...]) -> int:
        """The bit mask of models; all of them if none are named."""
        if not models:
            return ANY_MODEL
        known = self.ground.models
        return sum(1 << known[model] for model in models if model in known)


def _only(model: str) -> tuple[str, ...]:
    return (model,) if model else ()


def _devices(offer: Registered) -> int:
    return min(MOST_GPUS, len(offer.devices))
