"""The rebuilder: folds the log into a new table beside a read model's, then exchanges the two."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from domain.event import Recorded
from processors.projector import BATCH, CHANNEL, Connection, project
from processors.stream import EventStream
from projections.catalogue import VIEWS
from projections.tables import drop
from projections.view import View

POLL_SECONDS = 0.5
log = logging.getLogger("processors.rebuilder")


def beside(view: View[Any]) -> View[Any]:
    """The view whose table grows beside."""
    return replace(view, name=f"{view.name}_beside")


class Rebuilder:
    """Carries out the rebuilds asked for, batch by batch; more than one at a time is safe.

    The place in the log is kept with the rows, so a rebuild goes on after any end of the process.
    """

    def __init__(
        self,
        connection: Connection,
        stream: EventStream,
        views: Sequence[View[Any]] = VIEWS,
        most: int = BATCH,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._views = {view.name: view for view in views}
        self._most = most

    def step(self) -> bool:
        """Bring the oldest rebuild forward by a batch; whether there was one."""
        name = ""
        try:
            with self._connection.transaction():
                wanted = self._wanted()
                if wanted is None:
                    return False
                name = wanted["view"]
                self._advance(self._views[name], wanted["position"])
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            log.exception("the rebuild of %s failed", name)
            self._give_up(name, f"{type(error).__name__}: {error}")
        return True

    def run(self) -> None:
        """Carry out rebuilds for ever."""
        while True:
            if not self.step():
                time.sleep(POLL_SECONDS)

    def _wanted(self) -> dict[str, Any] | None:
        return self._connection.execute(
            "SELECT view, position FROM view_rebuilds"
            " WHERE finished_at IS NULL AND error IS NULL AND view = ANY(%s)"
            " ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            (list(self._views),),
        ).fetchone()

    def _advance(self, view: View[Any], position: int) -> None:
        new = beside(view)
        if position == 0:
            drop(self._connection, new)
            self._execute(*new.ddl())
        batch = self._stream.read(position, self._most)
        position = self._fold(new, batch, position)
        # The last batch is folded while the projector is held up: else it might stay ahead.
        done = not batch or self._live(view, "") - position <= self._most
        if done:
            position = self._exchange(view, new, position)
        self._connection.execute(
            "UPDATE view_rebuilds SET position = %s,"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE view = %s",
            (position, done, view.name),
        )

    def _fold(self, new: View[Any], batch: Sequence[Recorded], position: int) -> int:
        project(self._connection, new, batch)
        return batch[-1].position if batch else position

    def _exchange(self, view: View[Any], new: View[Any], position: int) -> int:
        """Put the new table in the old one's place; no projector writes meanwhile."""
        live = self._live(view, " FOR UPDATE")
        while position < live:
            position = self._fold(new, self._stream.read(position, self._most), position)
        for (old, _), (table, names) in zip(view.tables(), new.tables(), strict=True):
            self._execute(
                f"DROP TABLE {old}",
                f"ALTER TABLE {table} RENAME TO {old}",
                *(f"ALTER INDEX {table}_{name} RENAME TO {old}_{name}" for name in names),
            )
        self._execute(f"NOTIFY {CHANNEL}")
        self._connection.execute(
            "UPDATE view_positions SET position = %s WHERE view = %s", (position, view.name)
        )
        return position

    def _live(self, view: View[Any], lock: str) -> int:
        query = f"SELECT position, layout FROM view_positions WHERE view = %s{lock}"  # noqa: S608  # a constant
        row = self._connection.execute(query.encode(), (view.name,)).fetchone()
        if row is None or row["layout"] != view.layout:
            raise ValueError("another version made the table meanwhile")
        return int(row["position"])

    def _give_up(self, name: str, error: str) -> None:
        with self._connection.transaction():
            drop(self._connection, beside(self._views[name]))
            self._connection.execute(
                "UPDATE view_rebuilds SET error = %s WHERE view = %s", (error[:500], name)
            )

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(statement.encode())
