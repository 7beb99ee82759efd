"""Inventory: the nodes that are expected to be there."""

from __future__ import annotations

from collections.abc import Iterable

from domain.event import Recorded
from domain.policy.events import InventorySet
from domain.policy.inventory import Cluster
from projections.view import Key, Reader, Row, View, kinds


class InventoryRow(Row, frozen=True, kw_only=True):
    """The cell's one inventory."""

    cell: str
    clusters: tuple[Cluster, ...]


def _touches(recorded: Recorded) -> Iterable[Key]:
    return [("cell",)] if isinstance(recorded.event, InventorySet) else []


def _fold(row: InventoryRow | None, _key: Key, recorded: Recorded) -> InventoryRow | None:
    event = recorded.event
    if not isinstance(event, InventorySet):
        return row
    return InventoryRow(position=recorded.position, cell="cell", clusters=event.clusters)


VIEW = View(
    name="inventory",
    row=InventoryRow,
    key=("cell",),
    on=kinds(InventorySet),
    touches=_touches,
    fold=_fold,
)


def get(connection: Reader, at: int | None = None) -> tuple[Cluster, ...]:
    """The clusters, now or at a position."""
    record = connection.execute(f"SELECT * FROM {VIEW.at(at)} v".encode()).fetchone()
    return VIEW.read(record).clusters if record else ()
