"""The tree's tables: signed heads, tiles of leaf hashes, and proofs made from them."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from domain.errors import NotFound
from domain.merkle import inclusion_proof, leaf_hash, root_of
from infra.envelope import envelope
from infra.heads import Head, head_of
from infra.outbox import Row, read_rows
from infra.recorder import Epoch

EXPORT = "compute-platform log export v1"
TILE = 1024
"""Leaves a tile; a power of two, so that each tile is a complete subtree."""
BATCH = 1000

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Tile:
    """The complete subtree of TILE leaves with this number, from 0; where its last event is."""

    number: int
    last_position: int
    root: bytes


@dataclass(frozen=True)
class Proof:
    """That the tree of `head` holds `entry` as its leaf `index`; docs/audit-log.md."""

    entry: bytes
    index: int
    path: list[bytes]
    head: Head


def canonical(row: Row, previous: int) -> bytes:
    """The canonical envelope of a row; `previous` is the position of the row before."""
    return envelope(
        previous, row.position, row.stream, row.version, row.name, row.state, row.recorded_at
    )


def entries(connection: Connection, after: int, upto: int) -> Iterator[tuple[int, bytes]]:
    """Position and canonical envelope of each event above `after`, at most `upto`, in order."""
    while after < upto:
        rows = [row for row in read_rows(connection, after, BATCH) if row.position <= upto]
        for row in rows:
            yield row.position, canonical(row, after)
            after = row.position
        if not rows:
            return


def write(connection: Connection, tree: str, epoch: Epoch, tiles: list[Tile], head: Head) -> int:
    """Store a head and the tiles before it, if `epoch` still leads.

    Returns how many of the tiles are not as they were stored before.
    """
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT assert_epoch(%s, %s)", (epoch.role, epoch.number))
        wrong = 0
        for tile in tiles:
            key = (tree, tile.number)
            cursor.execute(
                "INSERT INTO tree_tiles (tree, number, last_position, root)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (*key, tile.last_position, tile.root),
            )
            cursor.execute(
                "SELECT last_position, root FROM tree_tiles WHERE tree = %s AND number = %s", key
            )
            wrong += cursor.fetchone() != (tile.last_position, tile.root)
        cursor.execute(
            "INSERT INTO tree_heads (tree, size, at, line) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (tree, head.size, head.time, head.line()),
        )
        return wrong


def newest(connection: Connection) -> Head | None:
    """The newest head of all."""
    rows = _fetch(connection, "SELECT line FROM tree_heads ORDER BY at DESC LIMIT 1")
    return head_of(rows[0][0]) if rows else None


def heads(connection: Connection, tree: str) -> list[str]:
    """The lines of all heads of a tree, oldest first."""
    query = "SELECT line FROM tree_heads WHERE tree = %s ORDER BY size, at"
    return [line for (line,) in _fetch(connection, query, tree)]


def prove(connection: Connection, position: int) -> Proof:
    """That the newest head covers the event at a position. NotFound if none does."""
    head = newest(connection)
    found = read_rows(connection, position - 1, 1)
    if not found or found[0].position != position:
        raise NotFound("no_such_event", f"there is no event at position {position}")
    if head is None or position > head.position:
        raise NotFound("not_signed_yet", f"no signed head covers position {position} yet")
    whole = head.size // TILE
    tiles = _fetch(
        connection,
        "SELECT last_position, root FROM tree_tiles WHERE tree = %s AND number < %s"
        " ORDER BY number",
        head.tree,
        whole,
    )
    ends = [0, *(end for end, _ in tiles), head.position]
    number = bisect_left(ends, position, hi=whole + 1) - 1
    listed = list(entries(connection, ends[number], ends[number + 1]))
    at = [place for place, _ in listed].index(position)
    tops = [root for _, root in tiles]
    if head.size % TILE:
        tail = listed if number == whole else entries(connection, ends[whole], head.position)
        tops.append(_root(tail))
    path = inclusion_proof([leaf_hash(entry) for _, entry in listed], at)
    path += inclusion_proof(tops, number)
    return Proof(listed[at][1], number * TILE + at, path, head)


def _root(listed: Iterable[tuple[int, bytes]]) -> bytes:
    return root_of(leaf_hash(entry) for _, entry in listed)


def _fetch(connection: Connection, query: str, *arguments: object) -> list[Any]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), arguments).fetchall()


def export(connection: Connection) -> Iterator[bytes]:
    """The lines of an export of all that is signed: header, heads, events (docs/audit-log.md).

    NotFound if nothing is signed yet.
    """
    head = newest(connection)
    if head is None:
        raise NotFound("not_signed_yet", "nothing of the log is signed yet")
    lines = heads(connection, head.tree)
    facts = {"format": EXPORT, "cell": head.cell, "tree": head.tree, "heads": len(lines)}
    yield json.dumps(facts, separators=(",", ":")).encode() + b"\n"
    for line in lines:
        yield line.encode() + b"\n"
    for _, entry in entries(connection, 0, head_of(lines[-1]).position):
        yield entry + b"\n"
