"""Our recorder on the library's classes: one advisory lock orders all appends.

It overrides private methods of eventsourcing 9.5.6 (pinned). Never enable the library's database
functions: they drop the lock and tailing readers miss events.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier, Literal

from infra.pools import check

CHANNEL = "stored_events"
ANSWER_SECONDS = 2.0
"""How long a caller waits for a connection before the database counts as away."""
RECONNECT_SECONDS = 1.0
"""A pool tries this long by itself, then anew for each caller: its own pauses keep doubling."""


@dataclass(frozen=True)
class Epoch:
    """A leader's claim, checked in the transaction of its append."""

    role: str
    number: int


@dataclass(frozen=True)
class Session:
    """A node's claim to the lease it began with a nonce, checked in the transaction of an append.

    It is over once somebody has begun or renewed the lease since (`infra.leases`).
    """

    node: str
    nonce: str


@dataclass(frozen=True)
class Answer:
    """What was answered to a keyed command, saved with its events."""

    principal: str
    key: str
    fingerprint: str
    status: int
    response: bytes


Positions = tuple[list[int], int]
"""The positions of an append's rows, and the time of their recording."""


@dataclass
class Append:
    """One command's rows, recorded all or none, and what became of them."""

    rows: Sequence[StoredEvent]
    epoch: Epoch | None
    answer: Answer | None
    session: Session | None = None
    outcome: Positions | BaseException | None = field(default=None, init=False)

    def result(self) -> Positions:
        """The positions, or raises what went wrong."""
        assert self.outcome is not None, "it had its turn"
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


TABLE = "stored_events"
_APPEND = (
    "SELECT positions, at FROM append_events(%b::int8, %b::text, %b::text,"
    " %b::text[], %b::int8[], %b::text[], %b::text[],"
    " %b::text[], %b::int8[], %b::text[], %b::bytea[],"
    " %b::text[], %b::text[], %b::text[], %b::int4[], %b::bytea[], %b::int4[])"
)


class Datastore(PostgresDatastore):
    """The library's pool, opened from a DSN with all that the DSN says (TLS included)."""

    def __init__(self, dsn: str, *, pool_size: int, lock_timeout_seconds: int) -> None:
        parts: dict[str, Any] = conninfo_to_dict(dsn)
        super().__init__(
            dbname=parts.pop("dbname", "postgres"),
            host=parts.pop("host", ""),
            port=parts.pop("port", 5432),
            user=parts.pop("user", "postgres"),
            password=parts.pop("password", ""),
            connect_timeout=ANSWER_SECONDS,
            pool_size=1,
            max_overflow=pool_size - 1,
            pre_ping=True,
            lock_timeout=lock_timeout_seconds,
            originator_id_type="text",
        )
        self.pool.reconnect_timeout = RECONNECT_SECONDS
        self.pool._check = check  # noqa: SLF001 - the library sets none but a ping at each use
        self.pool.kwargs = {**(self.pool.kwargs or {}), **parts}  # type: ignore[dict-item]  # kwargs may be a callable


def append_lock(schema: str = "public") -> int:
    """The advisory lock that appends to the log hold one after the other."""
    return zlib.crc32(f"{schema}.{TABLE}".encode())


class Recorder(PostgresApplicationRecorder):
    """Appends with a time of recording, checks of claims and a saved answer in one transaction."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name=TABLE)
        table = SQL("{}.{}").format(
            Identifier(datastore.schema), Identifier(self.events_table_name)
        )
        key = append_lock(datastore.schema)
        self.lock_table_statements = [
            SQL("SET LOCAL lock_timeout = {}").format(Literal(f"{datastore.lock_timeout}s")),
            SQL("SELECT pg_advisory_xact_lock({})").format(Literal(key)),
        ]
        self._orders = (key, f"{datastore.lock_timeout}s", self.channel_name)
        self._select = SQL(
            "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at"
            " FROM {table} WHERE "
        ).format(table=table)

    def append_all(self, appends: Sequence[Append]) -> list[Positions]:
        """Record the rows of all in one transaction; each one's positions and time of recording.

        Raises the library's errors: IntegrityError for a taken version or key, InternalError
        with SQLSTATE CP001 for an epoch and CP002 for a session that is over, OperationalError.
        """
        rows = [row for item in appends for row in item.rows]
        epochs = dict.fromkeys(item.epoch for item in appends if item.epoch)
        sessions = dict.fromkeys(item.session for item in appends if item.session)
        ends = list(accumulate(len(item.rows) for item in appends))
        answers = [(i.answer, end) for i, end in zip(appends, ends, strict=True) if i.answer]
        arguments = (
            *self._orders,
            [epoch.role for epoch in epochs],
            [epoch.number for epoch in epochs],
            [session.node for session in sessions],
            [session.nonce for session in sessions],
            [row.originator_id for row in rows],
            [row.originator_version for row in rows],
            [row.topic for row in rows],
            [row.state for row in rows],
            [a.principal for a, _ in answers],
            [a.key for a, _ in answers],
            [a.fingerprint for a, _ in answers],
            [a.status for a, _ in answers],
            [a.response for a, _ in answers],
            [end for _, end in answers],
        )
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            [(positions, at)] = cursor.execute(_APPEND, arguments, prepare=True).fetchall()
        starts = [0, *ends]
        return [(positions[start:end], at) for start, end in zip(starts, ends, strict=False)]

    def read_log(self, after: int, limit: int) -> list[tuple[int, str, int, str, bytes, int]]:
        """Rows with positions above `after`, in log order."""
        where = SQL("notification_id > %s ORDER BY notification_id LIMIT %s")
        return self._rows(self._select + where, (after, limit))

    def read_stream(
        self, stream: str, after: int = 0
    ) -> list[tuple[int, str, int, str, bytes, int]]:
        """Rows of one stream with versions above `after`, in order."""
        where = SQL("originator_id = %s AND originator_version > %s ORDER BY originator_version")
        return self._rows(self._select + where, (stream, after))

    def read_end(self, stream: str, form: str) -> list[tuple[int, str, int, str, bytes, int]]:
        """Rows of one stream, in order, from the event on that its snapshot of this form ends with.

        All of them where there is none.
        """
        where = SQL(
            "originator_id = %s AND originator_version >= coalesce((SELECT version FROM"
            " stream_snapshots WHERE stream = %s AND form = %s), 0) ORDER BY originator_version"
        )
        return self._rows(self._select + where, (stream, stream, form))

    def _rows(self, query: Any, arguments: tuple[Any, ...]) -> list[Any]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            return cursor.execute(query, arguments, prepare=True).fetchall()
