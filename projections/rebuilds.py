"""Rebuilds of read models: asked for here, carried out by `processors/rebuilder.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import Connection

Reader = Connection[dict[str, Any]]


@dataclass(frozen=True)
class Rebuild:
    """The newest rebuild of a view; `position` is how far the new table has come.

    Neither `finished_at` nor `error` while it goes on; with an error the table in use stayed.
    """

    position: int
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class Progress:
    """How far a read model has come, and its newest rebuild."""

    view: str
    position: int
    rebuild: Rebuild | None


def request(connection: Reader, view: str, by: str, *, retry: bool = False) -> None:
    """Ask for a rebuild; one that is going on is left to go on.

    A `retry` begins anew, and its table is taken even where it holds more streams back.
    """
    connection.execute(
        "INSERT INTO view_rebuilds AS r (view, requested_by, retry) VALUES (%s, %s, %s)"
        " ON CONFLICT (view) DO UPDATE SET position = 0, requested_by = excluded.requested_by,"
        " requested_at = excluded.requested_at, finished_at = NULL, error = NULL,"
        " retry = excluded.retry"
        " WHERE excluded.retry OR r.finished_at IS NOT NULL OR r.error IS NOT NULL",
        (view, by, retry),
    )


def find(connection: Reader, view: str | None = None) -> list[Progress]:
    """Every read model by name, or that one."""
    records = connection.execute(
        "SELECT r.*, p.view, p.position AS shown FROM view_positions p"
        " LEFT JOIN view_rebuilds r USING (view)"
        " WHERE %(view)s::text IS NULL OR p.view = %(view)s ORDER BY p.view",
        {"view": view},
    ).fetchall()
    return [
        Progress(
            record["view"],
            record["shown"],
            Rebuild(**{field.name: record[field.name] for field in fields(Rebuild)})
            if record["requested_by"]
            else None,
        )
        for record in records
    ]
