"""The projector: folds the log into every read model, rows and positions in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from domain.errors import Conflict
from domain.event import Recorded
from infra.codec import UnknownEvent
from infra.failpoint import failpoint
from processors.isolate import Isolated, is_poison
from processors.stream import EventStream
from projections.catalogue import VIEWS
from projections.fold import fold
from projections.view import View

BATCH = 5000
"""The more at once, the fewer times a row is written that many events in a row change."""
CHANNEL = "views"

Connection = psycopg.Connection[dict[str, Any]]


def connect(dsn: str) -> Connection:
    """A connection for read models: they can be rebuilt, so commits need not wait for the disk."""
    connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row, connect_timeout=3)
    connection.execute("SET synchronous_commit = off")
    return connection


class RemadeView(Conflict):
    """A view's table is another version's: this one must make it anew before it projects."""


class Projector:
    """Brings all views forward, batch by batch. More than one at a time is safe, if useless.

    An event that a view cannot take goes to quarantine with its stream (processors/isolate.py).
    """

    def __init__(
        self,
        connection: Connection,
        stream: EventStream,
        views: Sequence[View[Any]] = VIEWS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._views = views
        self._isolated = Isolated(connection, views, project, clock=clock)

    def step(self) -> int:
        """Project one batch; returns how many events it held."""
        behind = min(self._positions("").values())
        try:
            batch = self._stream.read(behind, BATCH)
        except UnknownEvent as unreadable:
            bad = unreadable.poison
            self._bring(behind, bad.position, lambda at: self._isolated.refuse(bad, at))
            return 1
        if batch:
            last = batch[-1].position
            try:
                self._bring(behind, last, lambda at: self._isolated.take(batch, at))
            except Exception as error:
                if not is_poison(error):
                    raise
                self._bring(behind, last, lambda at: self._isolated.take(batch, at, careful=True))
        return len(batch)

    def _bring(self, behind: int, last: int, fold: Callable[[dict[str, int]], None]) -> None:
        """Fold and bring the positions to `last`, in one transaction."""
        with self._connection.transaction():
            positions = self._positions(" ORDER BY view FOR UPDATE")
            if min(positions.values()) < behind:  # a view began anew: it needs what is before
                return
            fold(positions)
            failpoint("projector.folded")
            self._advance(last)
            failpoint("projector.advanced")
        failpoint("projector.committed")

    def wait(self, seconds: float) -> None:
        """Return when there may be something new, at the latest after the time."""
        self._stream.wait(seconds)

    @property
    def spent(self) -> dict[str, float]:
        """Seconds that each read model took since this was cleared."""
        return self._isolated.spent

    def only(self, views: Sequence[View[Any]]) -> None:
        """Leave all other read models to somebody else."""
        self._views = list(views)
        self._isolated.only(views)

    def _positions(self, lock: str) -> dict[str, int]:
        layouts = {view.name: view.layout for view in self._views}
        query = f"SELECT view, position, layout FROM view_positions WHERE view = ANY(%s){lock}"  # noqa: S608  # a constant
        rows = self._connection.execute(query.encode(), (list(layouts),)).fetchall()
        for row in rows:
            if row["layout"] != layouts[row["view"]]:
                raise RemadeView("view_remade", f"another version made the table of {row['view']}")
        return {row["view"]: row["position"] for row in rows}

    def _advance(self, position: int) -> None:
        self._connection.execute(
            "UPDATE view_positions SET position = %s WHERE view = ANY(%s) AND position < %s",
            (position, [view.name for view in self._views], position),
        )
        self._connection.execute(f"NOTIFY {CHANNEL}".encode())


def project(connection: Connection, view: View[Any], events: Sequence[Recorded]) -> None:
    """Fold events into one view: read the rows they touch, fold in memory, write what changed."""
    if events:
        view.write(connection, fold(view, events, lambda keys: view.load(connection, keys)))
