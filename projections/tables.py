"""The tables of the read models: made where missing, begun anew where their layout changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from projections.catalogue import VIEWS
from projections.view import View

_PREPARE_LOCK = 0x76696577  # "view": one process makes tables at a time


def prepare(connection: Connection[dict[str, Any]], views: Sequence[View[Any]] = VIEWS) -> None:
    """Make the tables; a view whose layout changed begins anew at position 0."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARE_LOCK,))
        known = {
            row["view"]: row["layout"]
            for row in connection.execute("SELECT view, layout FROM view_positions").fetchall()
        }
        for view in views:
            if known.get(view.name) != view.layout:
                _begin(connection, view)


def _begin(connection: Connection[dict[str, Any]], view: View[Any]) -> None:
    drop(connection, view)
    connection.execute("DELETE FROM quarantine WHERE consumer = %s", (view.name,))
    for statement in view.ddl():
        connection.execute(statement.encode())
    connection.execute(
        "INSERT INTO view_positions (view, position, layout) VALUES (%s, 0, %s)"
        " ON CONFLICT (view) DO UPDATE SET position = 0, layout = excluded.layout",
        (view.name, view.layout),
    )


def drop(connection: Connection[dict[str, Any]], view: View[Any]) -> None:
    """Take a view's tables away, where they are."""
    for table, _ in view.tables():
        connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
