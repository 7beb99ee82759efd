"""The rebuilder: folds the log into a new table beside a read model's, then exchanges the two."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infra import quarantine
from infra.codec import FAULTS, Poison, UnknownEvent, said
from processors.isolate import Isolated
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


class Worse(ValueError):
    """The new table would hold a stream back that the one in use does not."""

    def __init__(self, bad: Poison) -> None:
        super().__init__(f"{bad.stream} at position {bad.position}, {bad.name}: {bad.error}")


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
                self._advance(self._views[name], wanted["position"], wanted["retry"])
        except Worse as error:
            log.error("the rebuild of %s failed: %s", name, error)
            self._give_up(name, str(error))
        except FAULTS as error:
            log.exception("the rebuild of %s failed", name)
            self._give_up(name, said(error))
        return True

    def run(self) -> None:
        """Carry out rebuilds for ever."""
        while True:
            if not self.step():
                time.sleep(POLL_SECONDS)

    def _wanted(self) -> dict[str, Any] | None:
        return self._connection.execute(
            "SELECT view, position, retry FROM view_rebuilds"
            " WHERE finished_at IS NULL AND error IS NULL AND view = ANY(%s)"
            " ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            (list(self._views),),
        ).fetchone()

    def _advance(self, view: View[Any], position: int, retry: bool) -> None:
        new = beside(view)
        if position == 0:
            drop(self._connection, new)
            self._execute(*new.ddl())
            quarantine.forget(self._connection, new.name)
        isolated = Isolated(self._connection, [new], project, {new.name: view.name})
        start, position = position, self._fold(isolated, new, position)
        live = self._live(view, "")
        # The last batch is folded while the projector is held up: else it might stay ahead.
        done = position == start or live - position <= self._most
        if not retry:
            self._refuse_worse(view, new, live)
        if done:
            position = self._exchange(isolated, view, new, position)
        self._connection.execute(
            "UPDATE view_rebuilds SET position = %s,"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE view = %s",
            (position, done, view.name),
        )

    def _fold(self, isolated: Isolated, new: View[Any], position: int) -> int:
        """Fold the next batch; how far the new table has come."""
        reached = {new.name: position}
        try:
            batch = self._stream.read(position, self._most)
        except UnknownEvent as unreadable:
            isolated.refuse(unreadable.poison, reached)
            return unreadable.poison.position
        if batch:
            isolated.take(batch, reached)
        return batch[-1].position if batch else position

    def _exchange(self, isolated: Isolated, view: View[Any], new: View[Any], position: int) -> int:
        """Put the new table in the old one's place; no projector writes meanwhile."""
        live = self._live(view, " FOR UPDATE")
        while position < live:
            position = self._fold(isolated, new, position)
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
        quarantine.exchange(self._connection, new.name, view.name)
        return position

    def _refuse_worse(self, view: View[Any], new: View[Any], live: int) -> None:
        bad = quarantine.worse(self._connection, new.name, view.name, live)
        if bad is not None:
            raise Worse(bad)

    def _live(self, view: View[Any], lock: str) -> int:
        query = f"SELECT position, layout FROM view_positions WHERE view = %s{lock}"  # noqa: S608  # a constant
        row = self._connection.execute(query.encode(), (view.name,)).fetchone()
        if row is None or row["layout"] != view.layout:
            raise ValueError("another version made the table meanwhile")
        return int(row["position"])

    def _give_up(self, name: str, error: str) -> None:
        with self._connection.transaction():
            new = beside(self._views[name])
            drop(self._connection, new)
            quarantine.forget(self._connection, new.name)
            self._connection.execute(
                "UPDATE view_rebuilds SET error = %s WHERE view = %s", (error[:500], name)
            )

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(statement.encode())
