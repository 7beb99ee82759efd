"""Nodes and pools: what there is, what is in use, by whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import Connection

from domain.allocation.events import Granted, Released
from domain.event import Recorded
from domain.node import events as e
from domain.node.node import pool_of
from domain.values.resources import NOTHING, Resources
from projections.view import Key, View


@dataclass(frozen=True)
class NodeRow:
    """A node; `seats` are the allocations holding it: allocation id to job id."""

    id: str
    pool: str
    alive: bool
    cordoned: bool
    draining: bool
    cordon_reason: str
    offer: e.Registered
    allocated: Resources
    devices: dict[str, str]  # device id to the job that holds it
    seats: dict[str, str]
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    match recorded.event:
        case Granted(seats=seats) | Released(seats=seats):
            return {(seat.node,) for seat in seats}
        case e.Registered() | e.Lost() | e.Cordoned() | e.Uncordoned():
            return {(recorded.stream.partition("/")[2],)}
    return ()


def _fold(row: NodeRow | None, _key: Key, recorded: Recorded) -> NodeRow | None:
    event = recorded.event
    if isinstance(event, e.Registered):
        if row is None:
            return NodeRow(
                id=event.node,
                pool=pool_of(event),
                alive=True,
                cordoned=False,
                draining=False,
                cordon_reason="",
                offer=event,
                allocated=NOTHING,
                devices={},
                seats={},
                position=recorded.position,
            )
        return replace(
            row, offer=event, alive=True, pool=pool_of(event), position=recorded.position
        )
    assert row is not None, "a node is registered before anything else happens to it"
    row = replace(row, position=recorded.position)
    match event:
        case e.Lost():
            return replace(row, alive=False)
        case e.Cordoned(reason=reason, drain=drain):
            return replace(row, cordoned=True, draining=drain, cordon_reason=reason)
        case e.Uncordoned():
            return replace(row, cordoned=False, draining=False, cordon_reason="")
        case Granted(allocation=allocation, job=job, seats=seats, per_seat=per_seat):
            own = [seat for seat in seats if seat.node == row.id]
            return replace(
                row,
                allocated=row.allocated + per_seat * len(own),
                devices=row.devices | {device: job for seat in own for device in seat.devices},
                seats=row.seats | {allocation: job},
            )
        case Released(allocation=allocation, seats=seats, per_seat=per_seat):
            own = [seat for seat in seats if seat.node == row.id]
            freed = {device for seat in own for device in seat.devices}
            return replace(
                row,
                allocated=row.allocated - per_seat * len(own),
                devices={d: job for d, job in row.devices.items() if d not in freed},
                seats={a: job for a, job in row.seats.items() if a != allocation},
            )
    return row


VIEW = View(
    name="nodes", row=NodeRow, key=("id",), touches=_touches, fold=_fold, indexes=("(pool)",)
)

Reader = Connection[dict[str, Any]]


def find(connection: Reader) -> list[NodeRow]:
    """Every node, by name."""
    records = connection.execute("SELECT * FROM view_nodes ORDER BY id").fetchall()
    return [VIEW.read(record) for record in records]


def get(connection: Reader, node: str) -> NodeRow | None:
    """One node by name."""
    record = connection.execute("SELECT * FROM view_nodes WHERE id = %s", (node,)).fetchone()
    return VIEW.read(record) if record else None


@dataclass
class Pool:
    """The nodes of one pool together; amounts are those of nodes that are alive."""

    name: str
    nodes: int = 0
    alive: int = 0
    capacity: Resources = NOTHING
    allocated: Resources = NOTHING
    gpu_models: set[str] = field(default_factory=set)


def pools(connection: Reader) -> list[Pool]:
    """Every pool, by name."""
    found: dict[str, Pool] = {}
    for node in find(connection):
        pool = found.setdefault(node.pool, Pool(node.pool))
        pool.nodes += 1
        pool.gpu_models |= {device.model for device in node.offer.devices}
        if node.alive:
            pool.alive += 1
            pool.capacity += node.offer.capacity
            pool.allocated += node.allocated
    return [found[name] for name in sorted(found)]
