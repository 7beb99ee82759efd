"""The tables of read models as tests see them: filled from a history, dumped, dropped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from domain.event import Recorded
from processors.projector import Connection, Projector, connect
from projections import tables
from projections.catalogue import VIEWS
from projections.fold import fold_event
from projections.tables import prepare
from projections.view import Key, View
from tests.projections.histories import Portions

Dump = dict[str, dict[Key, dict[str, Any]]]


def project_all(dsn: str, stream: Portions, views: Sequence[View[Any]] = VIEWS) -> None:
    """A projector's whole life: it makes what tables are missing and comes to the end."""
    with closing(connect(dsn)) as connection:
        prepare(connection, views)
        projector = Projector(connection, stream, views)
        while projector.step():
            pass


def drop(connection: Connection, views: Sequence[View[Any]] = VIEWS) -> None:
    """No read model was ever there."""
    for view in views:
        tables.drop(connection, view)
    connection.execute("DELETE FROM view_positions")


def dump(connection: Connection, columns: str = "*", views: Sequence[View[Any]] = VIEWS) -> Dump:
    """Every row of every read model as the database has it, by key; then those of its history, by
    key and end."""
    found: Dump = {}
    for view in views:
        records = connection.execute(f"SELECT {columns} FROM {view.table()}".encode()).fetchall()
        found[view.name] = {tuple(r[name] for name in view.key): r for r in records}
        past = connection.execute(f"SELECT {columns} FROM {view.past_table()}".encode()).fetchall()
        found[view.past_table()] = {
            (*(r[name] for name in view.key), r["to_position"]): r for r in past
        }
        assert len(found[view.past_table()]) == len(past)
    return found


def positions(connection: Connection) -> dict[str, int]:
    """How far each read model has come."""
    records = connection.execute("SELECT view, position FROM view_positions").fetchall()
    return {record["view"]: record["position"] for record in records}


def folded(events: Sequence[Recorded]) -> dict[str, dict[Key, Any]]:
    """Every read model event by event, in memory: no batches, no tables."""
    rows: dict[str, dict[Key, Any]] = {}
    for view in VIEWS:
        now: dict[Key, Any] = {}
        closed: list[tuple[Any, int]] = []
        for event in events:
            keys = list(view.touches(event))
            check_declared(view, now, keys, event)
            fold_event(view, now, keys, event, closed)
        past = {(*key_of(view, row), end): row for row, end in closed}
        rows |= {view.name: now, view.past_table(): past}
    return rows


def check_declared(
    view: View[Any], rows: dict[Key, Any], keys: Sequence[Key], event: Recorded
) -> None:
    """What a view says of events is so: `on` which it is, and `begins`, where no row was."""
    kind = event.event.__class__
    assert not keys or kind in view.on, f"{view.name} is not about {kind.topic}"
    begun = kind in view.begins and any(key in rows for key in keys)
    assert not begun, f"{view.name}: {kind.topic} on a row that was there"


def key_of(view: View[Any], row: Any) -> Key:
    """The key of a row."""
    return tuple(getattr(row, name) for name in view.key)


def parsed(found: Dump) -> dict[str, dict[Key, Any]]:
    """A dump with each record as the row it stands for."""
    rows: dict[str, dict[Key, Any]] = {}
    for view in VIEWS:
        now = {key: view.read(record) for key, record in found[view.name].items()}
        past = {
            key: view.read(record | {name: getattr(now[key[:-1]], name) for name in view.constant})
            for key, record in found[view.past_table()].items()
        }
        rows |= {view.name: now, view.past_table(): past}
    return rows
