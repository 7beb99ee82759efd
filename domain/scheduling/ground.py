"""The ground: what does not change with what runs - which nodes there are, and who may use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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
    """Verdicts on every node by index for one demand, and the key that fleets know them by."""

    key: str
    verdicts: bytearray


class Ground:
    """Offers by index, in the fleet's order. Tables of demands are made when first asked for."""

    def __init__(self, ids: Sequence[str], offers: dict[NodeId, Registered], cells: Cells) -> None:
        self.ids = [NodeId(name) for name in ids]
        self.index = {name: number for number, name in enumerate(self.ids)}
        self.offers = [offers[name] for name in self.ids]
        self._kinds = [_kind(offer) for offer in self.offers]
        models = sorted({device.model for offer in self.offers for device in offer.devices})
        self.models = {model: number for number, model in enumerate(models[:MOST_MODELS])}
        self.odd = {number for number, offer in enumerate(self.offers) if self._is_odd(offer)}
        self._cells = cells
        self._tables: dict[Demand, Table] = {}
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
        """Which nodes the demand may never use, whatever runs there."""
        found = self._known.get(demand)
        if found is None:
            asked = replace(demand, replicas=1, least=1)
            found = self._tables.get(asked)
            if found is None:
                found = Table(str(len(self._tables) + 1), bytearray(self._verdicts(asked)))
                self._tables[asked] = found
            self._known[demand] = found
        return found

    def may_use(self, demand: Demand, node: NodeId) -> bool:
        """Whether the demand may use the node when it is free."""
        return not self.table(demand).verdicts[self.index[node]]

    def _verdicts(self, demand: Demand) -> Iterator[int]:
        """Nodes of one kind are judged once, unless an expression may name the node."""
        if demand.where.constraint:
            yield from (_number(demand, offer) for offer in self.offers)
            return
        known: dict[Kind, int] = {}
        for kind, offer in zip(self._kinds, self.offers, strict=True):
            verdict = known.get(kind)
            if verdict is None:
                verdict = known[kind] = _number(demand, offer)
            yield verdict

    def changed(self, offer: Registered) -> list[tuple[str, bool]]:
        """The node offers something else: by table, its key and whether it may be used now."""
        number = self.index[offer.node]
        self.offers[number], self._kinds[number] = offer, _kind(offer)
        found = []
        for demand, table in self._tables.items():
            table.verdicts[number] = _number(demand, offer)
            found.append((table.key, not table.verdicts[number]))
        return found

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
