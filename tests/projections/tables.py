"""The tables of read models as tests see them: filled from a history, dumped, dropped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from domain.event import Recorded
from processors.projector import Connection, Projector, connect, fold_event
from projections.catalogue import VIEWS
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
        connection.execute(f"DROP TABLE IF EXISTS {view.table()}".encode())
    connection.execute("DELETE FROM view_positions")


def dump(connection: Connection, columns: str = "*", views: Sequence[View[Any]] = VIEWS) -> Dump:
    """Every row of every read model as the database has it, by key."""
    found: Dump = {}
    for view in views:
        records = connection.execute(f"SELECT {columns} FROM {view.table()}".encode()).fetchall()
        found[view.name] = {tuple(r[name] for name in view.key): r for r in records}
    return found


def positions(connection: Connection) -> dict[str, int]:
    """How far each read model has come."""
    records = connection.execute("SELECT view, position FROM view_positions").fetchall()
    return {record["view"]: record["position"] for record in records}


def folded(events: Sequence[Recorded]) -> dict[str, dict[Key, Any]]:
    """Every read model event by event, in memory: no batches, no tables."""
    rows: dict[str, dict[Key, Any]] = {view.name: {} for view in VIEWS}
    for event in events:
        for view in VIEWS:
            fold_event(view, rows[view.name], list(view.touches(event)), event)
    return rows


def parsed(found: Dump) -> dict[str, dict[Key, Any]]:
    """A dump with each record as the row it stands for."""
    return {
        view.name: {key: view.read(record) for key, record in found[view.name].items()}
        for view in VIEWS
    }
