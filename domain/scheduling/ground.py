"""The ground: what does not change with what runs - which nodes there are, and who may use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from domain.node.events import Registered
from domain.scheduling.demand import Demand
from domain.scheduling.filters import never_on
from domain.scheduling.fleet.cells import Cells
from domain.scheduling.fleet.demand import MOST_GPUS, MOST_MODELS
from domain.scheduling.fleet.layout import NONE, Ints
from domain.scheduling.reason import Constraint
from domain.values.ids import NodeId

MOST_TABLES = 4096
Kind = tuple[object, ...]
_NUMBERS = {constraint: number for number, constraint in enumerate(Constraint, start=1)}
CONSTRAINTS = (None, *Constraint)
"""What a verdict means: 0 is that the node may be used."""


@dataclass
class Groups:
    """Racks or spines: the group of each node by index (NONE for none), numbered by name."""

    of: Ints
    members: list[list[int]]


@dataclass
class Table:
    """Verdicts on every node by index, the demands they are of, and the key fleets know them by."""

    key: str
    verdicts: bytearray
    demands: list[Demand] = field(default_factory=list)


class Ground:
    """Offers by index, in the fleet's order. Tables of demands are made when first asked for."""

    def __init__(self, ids: Sequence[str], offers: dict[NodeId, Registered], cells: Cells) -> None:
        self.ids = [NodeId(name) for name in ids]
        self.index = {name: number for number, name in enumerate(self.ids)}
        self.offers = [offers[name] for name in self.ids]
        self._kinds: dict[Kind, int] = {}
        self._examples: list[Registered] = []
        """An offer of each kind."""
        self._kind_of = [self._kind_number(offer) for offer in self.offers]
        models = sorted({device.model for offer in self.offers for device in offer.devices})
        self.models = {model: number for number, model in enumerate(models[:MOST_MODELS])}
        self.odd = {number for number, offer in enumerate(self.offers) if self._is_odd(offer)}
        self._cells = cells
        self._tables: list[Table] = []
        self._made = 0
        self._alike: dict[bytes, Table] = {}
        """Tables by the verdicts on each kind of node, since an offer last changed."""
        self._known: dict[Demand, Table] = {}
        """The tables by each demand that asked, however many seats it wants."""
        self.racks = self._groups(offer.location.rack for offer in self.offers)
        self.spines = self._groups(offer.location.spine for offer in self.offers)

    def model_of(self, offer: Registered) -> int:
        """The number of the model of a node's GPUs; a row has one model."""
        return self.models[offer.devices[0].model] if offer.devices else 0

    def offers_same(self, offer: Registered) -> bool:
        """Whether the node is known with this offer."""
        number = self.index.get(offer.node)
        return number is not None and self.offers[number] is offer

    def alike(self, offer: Registered) -> bool:
        """Whether this offer of a known node only changes who may use it."""
        number = self.index.get(offer.node)
        if number is None or number in self.odd or len(self._known) > MOST_TABLES:
            return False
        known = self.offers[number]
        return known.location == offer.location and [d.model for d in known.devices] == [
            d.model for d in offer.devices
        ]

    def table(self, demand: Demand) -> Table:
        """Which nodes the demand may never use, whatever runs there; one for all of like mind."""
        found = self._known.get(demand)
        if found is None:
            asked = replace(demand, replicas=1, least=1)
            found = self._known.get(asked)
            if found is None:
                found = self._known[asked] = self._table(asked)
                found.demands.append(asked)
            self._known[demand] = found
        return found

    def _table(self, asked: Demand) -> Table:
        """Nodes of one kind are judged once, unless an expression may name the node."""
        if asked.where.constraint:
            return self._new(_number(asked, offer) for offer in self.offers)
        by_kind = bytes(_number(asked, offer) for offer in self._examples)
        if by_kind not in self._alike:
            self._alike[by_kind] = self._new(by_kind[kind] for kind in self._kind_of)
        return self._alike[by_kind]

    def _new(self, verdicts: Iterable[int]) -> Table:
        self._made += 1
        self._tables.append(Table(str(self._made), bytearray(verdicts)))
        return self._tables[-1]

    def may_use(self, demand: Demand, node: NodeId) -> bool:
        """Whether the demand may use the node when it is free."""
        return not self.table(demand).verdicts[self.index[node]]

    def changed(self, offer: Registered) -> tuple[list[tuple[str, bool]], set[Demand]]:
        """The node offers something else: by table, its key and whether it may be used now.

        And the demands that no longer share a table: they get another when they are asked for.
        """
        number = self.index[offer.node]
        self.offers[number], self._kind_of[number] = offer, self._kind_number(offer)
        self._alike.clear()
        found, apart = [], set[Demand]()
        for table in self._tables:
            verdict = _number(table.demands[0], offer)
            table.verdicts[number] = verdict
            found.append((table.key, not verdict))
            others = {each for each in table.demands if _number(each, offer) != verdict}
            if others:
                table.demands = [each for each in table.demands if each not in others]
                apart |= others
        gone = set[Demand]()
        if apart:
            gone = {d for d in self._known if replace(d, replicas=1, least=1) in apart}
        for demand in gone:
            del self._known[demand]
        return found, gone

    def _kind_number(self, offer: Registered) -> int:
        kind = _kind(offer)
        if kind not in self._kinds:
            self._kinds[kind] = len(self._examples)
            self._examples.append(offer)
        return self._kinds[kind]

    def _is_odd(self, offer: Registered) -> bool:
        """Whether the node's GPUs do not go into a row: several models, or too many."""
        models = {device.model for device in offer.devices}
        return len(models) > 1 or len(offer.devices) > MOST_GPUS or not models <= set(self.models)

    def _groups(self, names: Iterable[str]) -> Groups:
        each = list(names)
        numbers = {name: number for number, name in enumerate(sorted(set(each) - {""}))}
        members: list[list[int]] = [[] for _ in numbers]
        for index, name in enumerate(each):
            if name:
                members[numbers[name]].append(index)
        return Groups(self._cells.of([numbers.get(name, NONE) for name in each]), members)


def _number(demand: Demand, offer: Registered) -> int:
    constraint = never_on(demand, offer)
    return 0 if constraint is None else _NUMBERS[constraint]


def _kind(offer: Registered) -> Kind:
    """All of an offer that any condition but an expression asks for."""
    models = tuple((device.model, device.mig) for device in offer.devices)
    return offer.runners, offer.pool, offer.taints, offer.labels, offer.capacity, models
