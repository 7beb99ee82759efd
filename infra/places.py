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
        self._told: tuple[int, ...] = ()
        self._cycles = self._cut = self._lines = self._left = 0
        self._next = 0.0

    def planned(self, lines: int, left: int) -> None:
        """A cycle is over: of so many lines of the queue it left so many to the next."""
        self._cycles += 1
        self._cut += left > 0
        self._lines, self._left = lines, left

    def note(self, position: int) -> None:
        """The leader has read so far; written when anything is new, at most once a second.

        What a leader of before says is not taken in the place of its successor's.
        """
        told = position, self._cycles, self._cut, self._lines, self._left
        if told == self._told or self._clock() < self._next:
            return
        self._connection.execute(
            "INSERT INTO consumer_places AS p"
            " (consumer, epoch, position, cycles, cut, lines, left_over)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (consumer) DO UPDATE SET position = excluded.position,"
            " epoch = excluded.epoch, cycles = excluded.cycles, cut = excluded.cut,"
            " lines = excluded.lines, left_over = excluded.left_over"
            " WHERE p.epoch <= excluded.epoch",
            (self._epoch.role, self._epoch.number, *told),
        )
        self._told, self._next = told, self._clock() + EVERY_SECONDS
