"""Where a leader is in the log, as others see it: for metrics only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg

from infra.recorder import Epoch

EVERY_SECONDS = 1.0


class Place:
    """A leader's place, kept in the table `consumer_places` under its role."""

    def __init__(
        self,
        connection: psycopg.Connection[dict[str, Any]],
        epoch: Epoch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._epoch, self._clock = connection, epoch, clock
        self._told = -1
        self._next = 0.0

    def note(self, position: int) -> None:
        """The leader has read so far; written when that is new, at most once a second.

        What a leader of before says is not taken in the place of its successor's.
        """
        if position == self._told or self._clock() < self._next:
            return
        self._connection.execute(
            "INSERT INTO consumer_places AS p (consumer, position, epoch) VALUES (%s, %s, %s)"
            " ON CONFLICT (consumer) DO UPDATE SET position = excluded.position,"
            " epoch = excluded.epoch WHERE p.epoch <= excluded.epoch",
            (self._epoch.role, position, self._epoch.number),
        )
        self._told, self._next = position, self._clock() + EVERY_SECONDS
