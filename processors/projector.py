"""The projector: folds the log into every read model, rows and positions in one transaction."""

from __future__ import annotations

import logging
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
from projections.recent import Recent
from projections.view import View

BATCH = 10_000
"""The more at once, the fewer times a row is written that many events in a row change."""
FEW = 500
"""Up to so many events what counts is how soon they are shown, not what they cost."""
CHANNEL = "views"
log = logging.getLogger(__name__)
_ADVANCE = f"""
    WITH moved AS (
        UPDATE view_positions SET position = %s WHERE view = ANY(%s) AND position < %s
        RETURNING view, xmin::text AS mark
    ) SELECT view, mark, pg_notify('{CHANNEL}', '') FROM moved
""".encode()  # noqa: S608  # a constant

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
        self._recent = Recent(2 * BATCH)
        self._reached: int | None = None
        """How far all read models had come after the last batch; None to ask the database."""

    def step(self) -> int:
        """Project one batch; returns how many events it held."""
        behind, self._reached = self._reached, None
        if behind is None:
            behind = min(self._positions("")[0].values())
        try:
            batch = self._stream.read(behind, BATCH)
        except UnknownEvent as unreadable:
            bad = unreadable.poison
            self._bring(behind, bad.position, lambda at: self._isolated.refuse(bad, at))
            return 1
        if batch and not self._bring_at_once(behind, batch):
            last = batch[-1].position
            try:
                self._bring(behind, last, lambda at: self._isolated.take(batch, at, self._project))
            except Exception as error:
                if not is_poison(error):
                    raise
                self._bring(behind, last, lambda at: self._isolated.take(batch, at))
        return len(batch)

    def _bring_at_once(self, behind: int, batch: Sequence[Recorded]) -> bool:
        """Bring a few events in one pipeline, as good as without round trips; whether it went well.

        Where it did not, nothing is changed, and it cannot be said whose fault it was.
        """
        if len(batch) > FEW:
            return False
        last = batch[-1].position
        try:
            with self._connection.pipeline():
                self._bring(behind, last, lambda at: self._isolated.take(batch, at, self._project))
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - it is met again, one statement at a time
            log.debug("not in a pipeline: %s", error)
            return False
        return True

    def _bring(self, behind: int, last: int, fold: Callable[[dict[str, int]], None]) -> None:
        """Fold and bring the positions to `last`, in one transaction."""
        try:
            with self._connection.transaction():
                positions, marks = self._positions(" ORDER BY view FOR UPDATE")
                least = min(positions.values())
                if least < behind:  # a view began anew: it needs what is before
                    return
                self._recent.check(marks)
                fold(positions)
                failpoint("projector.folded")
                left = self._advance(last)
                failpoint("projector.advanced")
        except BaseException:
            self._recent.forget()
            raise
        self._recent.wrote(left)
        self._reached = max(least, last)
        failpoint("projector.committed")

    def _project(self, _: Connection, view: View[Any], events: Sequence[Recorded]) -> None:
        """As `project`, reading only rows that were not touched lately."""
        recent, connection = self._recent, self._connection
        changes = fold(view, events, lambda keys: recent.load(view, connection, keys))
        view.write(connection, changes)
        recent.keep(view, changes)

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

    def _positions(self, lock: str) -> tuple[dict[str, int], dict[str, str]]:
        """How far the read models are, and who moved each there: the same mark, the same rows."""
        layouts = {view.name: view.layout for view in self._views}
        query = f"SELECT view, position, layout, xmin::text AS mark FROM view_positions WHERE view = ANY(%s){lock}"  # noqa: S608, E501  # a constant
        rows = self._connection.execute(query.encode(), (list(layouts),)).fetchall()
        for row in rows:
            if row["layout"] != layouts[row["view"]]:
                raise RemadeView("view_remade", f"another version made the table of {row['view']}")
        return (
            {row["view"]: row["position"] for row in rows},
            {row["view"]: row["mark"] for row in rows},
        )

    def _advance(self, position: int) -> dict[str, str]:
        """Move the read models there, and wake who waits for it; the marks of those that moved."""
        rows = self._connection.execute(
            _ADVANCE, (position, [view.name for view in self._views], position)
        )
        return {row["view"]: row["mark"] for row in rows}


def project(connection: Connection, view: View[Any], events: Sequence[Recorded]) -> None:
    """Fold events into one view: read the rows they touch, fold in memory, write what changed."""
    if events:
        view.write(connection, fold(view, events, lambda keys: view.load(connection, keys)))
