"""The fleet: what nodes have left, and where a demand is best placed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from domain.errors import Conflict, Invalid
from domain.scheduling.fleet import counts, held, kernels, layout, leaving
from domain.scheduling.fleet.cells import Cells, ListCells
from domain.scheduling.fleet.demand import LARGEST_COUNT, Demand, FleetNode, Score
from domain.scheduling.fleet.layout import Ints
from domain.scheduling.fleet.rows import devices_of, flat_typical, node_row

SMALL = 64
"""Fleets of fewer nodes are served by plain Python; numba is then never imported."""
TREES = 256


class Chosen(NamedTuple):
    """A seat's node, by its index, and the numbers of the devices it would use."""

    node: int
    devices: tuple[int, ...]


@dataclass
class _Tree:
    """The scores of all nodes for one demand, and how much of the change log they have seen."""

    scores: Ints
    seen: int = -1
    shared: bool = False  # a copy of the fleet has it too: whoever repairs it takes one of its own


class Fleet:
    """Nodes in a fixed order by the hash of their ids; all answers are functions of the state.

    A demand asked often costs only the nodes that changed since it was last asked. At most
    `trees` demands are kept so. Not for several threads.
    """

    def __init__(
        self,
        nodes: Iterable[FleetNode],
        score: Score = Score.FRAGMENT,
        typical: Sequence[tuple[Demand, int]] = (),
        trees: int = TREES,
        compiled: bool | None = None,
    ) -> None:
        ordered = sorted(nodes, key=lambda node: node.place)
        self.ids = [node.id for node in ordered]
        self.index = {node_id: index for index, node_id in enumerate(self.ids)}
        if len(self.index) < len(ordered):
            raise Invalid("duplicate_node", "nodes: an id is there twice", field="nodes")
        self.score = score
        large = len(ordered) >= SMALL if compiled is None else compiled
        self.compiled = large
        self.cells, self._kernels, self._counts, self.leaving, self.held = _engine(large)
        self._most_trees = trees
        self._interned: dict[Demand, int] = {}
        self._demands: list[tuple[Demand, Ints]] = []
        self._allowed: dict[str, Ints] = {}
        self._live: OrderedDict[int, _Tree] = OrderedDict()
        self._build(ordered)
        self.set_typical(typical)

    def _build(self, ordered: list[FleetNode]) -> None:
        cells = self.cells
        self.nodes = cells.of([value for node in ordered for value in node_row(node)])
        size = 1
        while size < len(ordered):
            size *= 2
        self._leaves = size
        self._log, self._stamps = cells.filled(size, 0), cells.filled(len(ordered), -1)
        self._head = 0
        self._memo = cells.filled(layout.MEMO, 0)
        self._room = cells.filled(len(ordered), 0)
        self._all = cells.filled(len(ordered), 1)

    def copy(self) -> Fleet:
        """A fleet like this one that changes by itself; tables of allowed nodes stay shared."""
        other = copy(self)
        for tree in self._live.values():
            tree.shared = True
        for name in ("nodes", "_log", "_stamps", "_live"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def intern(self, demand: Demand) -> int:
        """The small number of a demand; the same for equal ones."""
        number = self._interned.get(demand)
        if number is None:
            number = self._interned[demand] = len(self._demands)
            self._demands.append((demand, self.cells.of(demand.row)))
        return number

    def set_typical(self, typical: Sequence[tuple[Demand, int]]) -> None:
        """What arrives as a rule: demands and how often. Scores are rebuilt as they are asked."""
        if any(count < 1 for _, count in typical):
            raise Invalid("out_of_range", "typical: counts must be 1 or more", field="typical")
        total = sum(count for _, count in typical)
        if total > LARGEST_COUNT:
            text = f"typical: counts must add up to at most {LARGEST_COUNT}"
            raise Invalid("out_of_range", text, field="typical")
        self._typical = self.cells.of(flat_typical(typical))
        self._weight = max(1, total)
        self._live.clear()
        for at in range(0, len(self.nodes), layout.STRIDE):
            self.nodes[at + layout.FRAGMENTS] = layout.UNKNOWN

    def allow(self, key: str, allowed: Sequence[bool]) -> None:
        """Which nodes, by index, demands with this key may use."""
        if not key or len(allowed) != len(self.ids):
            raise Invalid("out_of_range", "allowed: a key and one value a node", field="allowed")
        self._allowed[key] = self.cells.of([int(value) for value in allowed])
        for number, (demand, _) in enumerate(self._demands):
            if demand.key == key:
                self._live.pop(number, None)

    def allows(self, key: str) -> bool:
        """Whether there is a table with this key."""
        return key in self._allowed

    def set_model(self, index: int, model: int) -> None:
        """The node's GPUs are of this model."""
        self.nodes[index * layout.STRIDE + layout.MODEL] = model
        self.nodes[index * layout.STRIDE + layout.FRAGMENTS] = layout.UNKNOWN
        self._changed(index)

    def allow_node(self, key: str, index: int, allowed: bool) -> None:
        """Change one node of a key's table, in copies as well: make new ones afterwards."""
        self._allowed_by(key)[index] = int(allowed)
        self._changed(index)

    def asked(self, demand: int) -> tuple[Ints, Ints]:
        """Which nodes an interned demand may use, by index, and the demand as the loops read it."""
        wanted, row = self._demands[demand]
        return self._allowed_by(wanted.key), row

    def choose(self, demand: int) -> Chosen | None:
        """The best node for one seat of an interned demand, the first of equals, or None."""
        wanted, row = self._demands[demand]
        tree = self._tree(demand)
        found, mask = self._kernels.choose(
            self.nodes, self._allowed_by(wanted.key), tree.scores, self._log, self._stamps,
            self._memo, self._head, tree.seen, row, self._typical, self._weight, int(self.score),
        )  # fmt: skip
        tree.seen = self._head
        return None if found < 0 else Chosen(int(found), devices_of(int(mask)))

    def scan(self, demand: int) -> Chosen | None:
        """What `choose` answers, by scoring every node: for checks and comparison."""
        wanted, row = self._demands[demand]
        found, mask = self._kernels.scan(
            self.nodes, self._allowed_by(wanted.key), row, self._typical, self._weight,
            int(self.score),
        )  # fmt: skip
        return None if found < 0 else Chosen(int(found), devices_of(int(mask)))

    def counts(self, demand: int, most: int) -> tuple[Ints, int]:
        """How many seats each node takes, by index, at most `most`, and their sum.

        The row of counts is overwritten by the next such question.
        """
        wanted, row = self._demands[demand]
        allowed = self._allowed_by(wanted.key)
        total = self._counts.count_each(self.nodes, allowed, row, most, self._room)
        return self._room, int(total)

    def shortages(self, demand: int) -> tuple[list[int], list[int]]:
        """Allowed nodes by what one seat lacks there first - nothing, GPUs, CPU, memory, storage,
        network - and the indexes of those that take no work."""
        wanted, row = self._demands[demand]
        counts, away = self.cells.filled(6, 0), self.cells.filled(len(self.ids), 0)
        allowed = self._allowed_by(wanted.key)
        left_out = self._counts.shortages(self.nodes, allowed, row, counts, away)
        return [int(count) for count in counts], [int(i) for i in away[: int(left_out)]]

    def sums(self, counts: Ints, groups: Ints, size: int) -> list[int]:
        """The counts summed by each node's group; -1 is none of the `size` groups."""
        found = self.cells.filled(size, 0)
        self._counts.sum_groups(counts, groups, found)
        return [int(value) for value in found]

    def seat(self, demand: int, members: Ints, count: int) -> list[Chosen]:
        """Seats one after the other on these nodes, each on the best one then; at most `count`."""
        row, size = self._demands[demand][1], len(members)
        found = self.cells.filled(2 * count, 0)
        scores, masks = self.cells.filled(size, 0), self.cells.filled(size, 0)
        done = 0
        if size:
            done = self._kernels.seat_gang(
                self.nodes, members, size, row, count, self._typical,
                self._weight, int(self.score), scores, masks, found,
            )  # fmt: skip
        return [
            Chosen(int(found[2 * n]), devices_of(int(found[2 * n + 1]))) for n in range(int(done))
        ]

    def put(self, index: int, left: Sequence[int]) -> None:
        """What a node has left is now this: CPU, memory, storage, network, 1 if it takes work,
        then thousandths of each device."""
        self._kernels.put(
            self.nodes, self._log, self._stamps, self._head, index,
            self.cells.of(left),
        )  # fmt: skip
        self._head += 1

    def fragments(self, index: int) -> int:
        """GPU thousandths of a node that typical demands cannot use, summed over their counts."""
        return int(self._kernels.fragments(self.nodes, index * layout.STRIDE, self._typical))

    def take(self, index: int, devices: Iterable[int], demand: int) -> None:
        """Take a seat; Conflict if it is not all there."""
        self._move(index, devices, demand, -1)

    def give_back(self, index: int, devices: Iterable[int], demand: int) -> None:
        """Give a seat back; Conflict if more would be free than there is."""
        self._move(index, devices, demand, 1)

    def _move(self, index: int, devices: Iterable[int], demand: int, sign: int) -> None:
        mask = 0
        for device in devices:
            mask |= 1 << device
        if not self._kernels.take(
            self.nodes, self._log, self._stamps, self._head, index,
            self._demands[demand][1], mask, sign,
        ):  # fmt: skip
            way = "has not what the seat needs" if sign < 0 else "does not hold the seat"
            raise Conflict("does_not_fit", f"node {self.ids[index]} {way}")
        self._head += 1

    def _changed(self, index: int) -> None:
        kernels.note(self._log, self._stamps, self._head, index)
        self._head += 1

    def _allowed_by(self, key: str) -> Ints:
        if not key:
            return self._all
        if key not in self._allowed:
            raise Invalid("out_of_range", f"key: no table of nodes for {key!r}", field="key")
        return self._allowed[key]

    def _tree(self, demand: int) -> _Tree:
        tree = self._live.get(demand)
        if tree is None:
            tree = self._live[demand] = _Tree(self.cells.filled(2 * self._leaves, layout.NONE))
            if len(self._live) > self._most_trees:
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(demand)
            if tree.shared and tree.seen != self._head:
                tree = self._live[demand] = _Tree(tree.scores.copy(), tree.seen)
        return tree


def _engine(compiled: bool) -> tuple[Cells, ModuleType, ModuleType, ModuleType, ModuleType]:
    """Where integers are kept and the loops over them; numba is imported only here."""
    if not compiled:
        return ListCells(), kernels, counts, leaving, held
    from domain.scheduling.fleet import compiled as fast
    from domain.scheduling.fleet.cells import ArrayCells

    return ArrayCells(), fast, fast, fast, fast
