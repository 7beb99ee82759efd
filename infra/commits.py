"""Group commit: appends that wait for their turn share one transaction, each with its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from eventsourcing.persistence import DatabaseError, OperationalError

from infra.recorder import Append, Positions

MOST_ROWS = 5000
"""A transaction takes no more appends in once it has this many rows."""


class GroupCommit:
    """Whoever gets the turn commits for all that wait: no thread of its own, no added delay.

    `commit` records appends in one transaction, all or none. When the database refuses them, each
    is tried by itself, so that one command's conflict is no other's.
    """

    def __init__(self, commit: Callable[[Sequence[Append]], list[Positions]]) -> None:
        self._commit = commit
        self._waiting: list[Append] = []
        self._list = threading.Lock()
        self._turn = threading.Lock()

    def append(self, item: Append) -> Positions:
        """Record the rows; what `commit` raises for them."""
        with self._list:
            self._waiting.append(item)
        with self._turn:
            while item.outcome is None:
                self._take_turn()
        return item.result()

    def _take_turn(self) -> None:
        batch = self._next()
        try:
            self._together(batch)
        except BaseException as error:
            for item in batch:
                item.outcome = item.outcome or error
            raise

    def _next(self) -> list[Append]:
        rows, count = 0, 0
        with self._list:
            while count < len(self._waiting) and rows < MOST_ROWS:
                rows += len(self._waiting[count].rows)
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _together(self, batch: list[Append]) -> None:
        try:
            found = self._commit(batch)
        except Exception as error:  # noqa: BLE001 - told to each of them
            if len(batch) > 1 and _refused(error):
                for item in batch:
                    self._together([item])
            else:
                for item in batch:
                    item.outcome = error
        else:
            for item, positions in zip(batch, found, strict=True):
                item.outcome = positions


def _refused(error: Exception) -> bool:
    """Whether the database answered, and with a no that may be meant for one of several."""
    return isinstance(error, DatabaseError) and not isinstance(error, OperationalError)
