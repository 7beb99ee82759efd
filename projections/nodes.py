"""Nodes and pools: what there is, what is in use, by whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from domain.event import Recorded
from domain.node import events as e
from domain.node.flapping import Others
from domain.node.node import pool_of
from domain.values.resources import NOTHING, Resources
from projections import policy, seats
from projections.view import Key, Reader, Row, View, kinds


class NodeRow(Row, frozen=True, kw_only=True):
    """A node; what is in use of it is in the seats."""

    id: str
    pool: str
    alive: bool
    cordoned: bool
    draining: bool
    cordon_reason: str
    cordoned_until: int | None
    offer: e.Registered


def _touches(recorded: Recorded) -> Iterable[Key]:
    if not isinstance(recorded.event, e.NodeEvent):
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: NodeRow | None, _key: Key, recorded: Recorded) -> NodeRow | None:
    event, position = recorded.event, recorded.position
    if isinstance(event, e.Registered):
        if row is None:
            return NodeRow(
                position=position,
                id=event.node,
                pool=pool_of(event),
                alive=True,
                cordoned=False,
                draining=False,
                cordon_reason="",
                cordoned_until=None,
                offer=event,
            )
        return replace(row, position=position, offer=event, alive=True, pool=pool_of(event))
    assert row is not None, "a node is registered before anything else happens to it"
    match event:
        case e.Lost():
            return replace(row, position=position, alive=False)
        case e.Cordoned(reason=reason, drain=drain, until=until):
            return replace(
                row,
                position=position,
                cordoned=True,
                draining=drain,
                cordon_reason=reason,
                cordoned_until=until,
            )
        case e.Uncordoned():
            return replace(
                row,
                position=position,
                cordoned=False,
                draining=False,
                cordon_reason="",
                cordoned_until=None,
            )
    return row


VIEW = View(
    name="nodes",
    row=NodeRow,
    key=("id",),
    on=kinds(e.NodeEvent),
    touches=_touches,
    fold=_fold,
    indexes=("(pool)", "(position)", "(cordoned_until)"),
)


@dataclass(frozen=True)
class Node:
    """A node and what is held of it: devices and allocations, each to the job that holds it."""

    row: NodeRow
    allocated: Resources
    devices: dict[str, str]
    seats: dict[str, str]


def find(connection: Reader, at: int | None = None) -> list[Node]:
    """Every node, by name, as they are or as they were at a position."""
    return _nodes(connection, None, at)


def get(connection: Reader, node: str, at: int | None = None) -> Node | None:
    """One node by name."""
    found = _nodes(connection, node, at)
    return found[0] if found else None


def newest(connection: Reader) -> tuple[int, int]:
    """The positions at which a node and the policy changed last; 0 before that. One statement:
    every submission asks."""
    record = connection.execute(_NEWEST).fetchone()
    assert record is not None
    return record["nodes"], record["policy"]


_NEWEST = (
    f"SELECT (SELECT coalesce(max(position), 0) FROM {VIEW.table()}) AS nodes,"
    f" (SELECT coalesce(max(position), 0) FROM {policy.VIEW.table()}) AS policy"
).encode()


def changed(connection: Reader, after: int) -> list[NodeRow]:
    """The nodes that changed after a position."""
    records = connection.execute(
        f"SELECT * FROM {VIEW.table()} WHERE position > %s".encode(), (after,)
    ).fetchall()
    return [VIEW.read(record) for record in records]


def cordons_over(connection: Reader, now: int) -> list[str]:
    """The nodes that are cordoned until a time that has come."""
    records = connection.execute(
        f"SELECT id FROM {VIEW.table()} WHERE cordoned_until <= %s ORDER BY id".encode(), (now,)
    ).fetchall()
    return [record["id"] for record in records]


def others(connection: Reader, node: str) -> Others:
    """The nodes beside this one."""
    record = connection.execute(_OTHERS, (node,)).fetchone()
    assert record is not None
    return Others(**record)


_OTHERS = (
    "SELECT count(*) AS nodes, count(*) FILTER (WHERE alive AND NOT cordoned) AS ready,"
    f" count(cordoned_until) AS flapping FROM {VIEW.table()} WHERE id <> %s"
).encode()
_SUMS = ", ".join(
    f"sum({name})::bigint AS {name}"
    for name in ("cpu_milli", "memory_bytes", "gpu_milli", "storage_bytes", "network_mbps")
)


def _nodes(connection: Reader, node: str | None, at: int | None) -> list[Node]:
    """One statement, so that nodes and seats are of the same moment."""
    query = f"""
        SELECT v.*, row_to_json(h) AS held FROM {VIEW.at(at)} v LEFT JOIN (
            SELECT node, {_SUMS}, json_agg(json_build_array(allocation, job, devices)) AS seats
            FROM {seats.VIEW.at(at)} s WHERE %(node)s::text IS NULL OR node = %(node)s GROUP BY node
        ) h ON h.node = v.id
        WHERE %(node)s::text IS NULL OR v.id = %(node)s ORDER BY v.id
    """
    records = connection.execute(query.encode(), {"node": node}).fetchall()
    return [_node(record) for record in records]


def _node(record: dict[str, Any]) -> Node:
    held = record.pop("held") or {}
    seats_held = held.pop("seats", [])
    held.pop("node", None)
    return Node(
        row=VIEW.read(record),
        allocated=Resources(**held),
        devices={device: job for _, job, devices in seats_held for device in devices},
        seats={allocation: job for allocation, job, _ in seats_held},
    )


@dataclass
class Pool:
    """The nodes of one pool together; amounts are those of nodes that are alive."""

    name: str
    nodes: int = 0
    alive: int = 0
    capacity: Resources = NOTHING
    allocated: Resources = NOTHING
    gpu_models: set[str] = field(default_factory=set)


def pools(connection: Reader, at: int | None = None) -> list[Pool]:
    """Every pool, by name."""
    found: dict[str, Pool] = {}
    for node in find(connection, at):
        row = node.row
        pool = found.setdefault(row.pool, Pool(row.pool))
        pool.nodes += 1
        pool.gpu_models |= {device.model for device in row.offer.devices}
        if row.alive:
            pool.alive += 1
            pool.capacity += row.offer.capacity
            pool.allocated += node.allocated
    return [found[name] for name in sorted(found)]
