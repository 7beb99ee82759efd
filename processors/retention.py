"""Retention: closed versions of read models' rows are deleted once older than the settings say."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from domain.values.time import SECOND
from infra.moments import at_time, reach
from processors.projector import Connection
from projections.catalogue import VIEWS
from projections.view import View

PAUSE_SECONDS = 60.0
PIECE = 10_000
"""Rows deleted in one transaction."""
log = logging.getLogger(__name__)


class Retention:
    """Keeps the history of `seconds` (0: all of it). More than one at a time is safe, if useless.

    What is to be deleted is refused to queries a turn before, so none misses half of its rows.
    """

    def __init__(
        self, connection: Connection, seconds: int, views: Sequence[View[Any]] = VIEWS
    ) -> None:
        self._connection = connection
        self._seconds = seconds
        self._views = views

    def step(self) -> int:
        """Delete what was refused since the last turn, then refuse more; how many rows went."""
        known = reach(self._connection)
        gone = sum(self._delete(view, known.kept_from) for view in self._views)
        oldest = known.now - self._seconds * SECOND
        if self._seconds and oldest > 0:
            self._connection.execute(
                "UPDATE history_horizon SET kept_from = greatest(kept_from, %s)",
                (at_time(self._connection, oldest).position,),
            )
        if gone:
            log.info("deleted %s old versions, up to position %s", gone, known.kept_from)
        return gone

    def run(self) -> None:
        """Delete for ever what is too old."""
        while True:
            self.step()
            time.sleep(PAUSE_SECONDS)

    def _delete(self, view: View[Any], horizon: int) -> int:
        total = 0
        while horizon:
            cursor = self._connection.execute(
                f"DELETE FROM {view.past_table()} WHERE ctid = ANY(ARRAY("  # noqa: S608  # ours
                f" SELECT ctid FROM {view.past_table()} WHERE span <= 62 AND position < %s"
                " AND to_position <= %s LIMIT %s))".encode(),
                (horizon, horizon, PIECE),
            )
            total += cursor.rowcount
            if cursor.rowcount < PIECE:
                break
        return total
