"""The log as the relay needs it: rows as they are stored, and how far they were relayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from domain.errors import StaleWriter, Unavailable
from infra.recorder import Epoch


@dataclass(frozen=True)
class Row:
    """A row of the log as it is stored; `recorded_at` in microseconds since the epoch."""

    position: int
    stream: str
    version: int
    name: str
    state: bytes
    recorded_at: int


@dataclass(frozen=True)
class Anchor:
    """The last event relayed: its position in the log and its record's offset in the topic."""

    position: int
    offset: int


NOTHING = Anchor(0, -1)
"""Nothing was relayed yet."""


class Outbox:
    """One relay's view of the log, on a connection of its own.

    Every method raises Unavailable when Postgres does not answer.
    """

    def __init__(self, dsn: str, topic: str) -> None:
        self._topic = topic
        with guarded():
            self._connection = psycopg.connect(dsn, autocommit=True, connect_timeout=3)

    def rows(self, after: int, limit: int) -> list[Row]:
        """Rows with positions above `after`, in log order, at most `limit`; never skips one."""
        with guarded():
            return read_rows(self._connection, after, limit)

    def anchor(self) -> Anchor:
        """How far the log was relayed to this topic."""
        with guarded():
            row = self._connection.execute(
                "SELECT position, kafka_offset FROM relay_positions WHERE topic = %s",
                (self._topic,),
            ).fetchone()
        return Anchor(*row) if row else NOTHING

    def advance(self, anchor: Anchor, epoch: Epoch) -> None:
        """Note how far the log was relayed; StaleWriter if another relay leads."""
        with guarded(), self._connection.transaction():
            self._connection.execute("SELECT assert_epoch(%s, %s)", (epoch.role, epoch.number))
            self._connection.execute(
                "INSERT INTO relay_positions (topic, position, kafka_offset) VALUES (%s, %s, %s)"
                " ON CONFLICT (topic) DO UPDATE SET position = excluded.position,"
                " kafka_offset = excluded.kafka_offset",
                (self._topic, anchor.position, anchor.offset),
            )

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def read_rows(connection: psycopg.Connection[Any], after: int, limit: int) -> list[Row]:
    """Rows with positions above `after`, in log order, at most `limit`; never skips one."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        found = cursor.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state,"
            " recorded_at FROM stored_events WHERE notification_id > %s"
            " ORDER BY notification_id LIMIT %s",
            (after, limit),
        )
        return [Row(*row) for row in found]


@contextmanager
def guarded() -> Iterator[None]:
    """A database's errors as ours: StaleWriter when another leads, Unavailable when it is away."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == "CP001":
            raise StaleWriter("stale_epoch", "another leader has taken over") from error
        if isinstance(error, psycopg.OperationalError):
            raise Unavailable("database_unavailable", "the database does not answer") from error
        raise
