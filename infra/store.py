"""The event store: append facts, read them back; the only door to the log."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.errors import Conflict, Invalid, StaleWriter, Unavailable
from domain.event import AnyEvent, Event, Meta, Recorded, StreamId
from domain.event import Change as Change  # those who append need it with the store
from domain.event import stream_of as stream_of
from infra import stream_snapshots as snapshots
from infra.codec import FAULTS, UnknownEvent, from_stored, from_stored_of, poison, to_stored
from infra.commits import GroupCommit
from infra.outbox import Row
from infra.recorder import Answer, Append, Datastore, Epoch, Recorder, Session

State = TypeVar("State")
log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 5
TRIES = 5


class VersionConflict(Conflict):
    """Another writer was first on one of the streams: read again and decide anew."""


class KeyTaken(Conflict):
    """The idempotency key was used meanwhile: its answer is saved."""


@dataclass(frozen=True)
class Saved:
    """A saved answer to a keyed command."""

    fingerprint: str
    status: int
    response: bytes
    position: int


class Log(ABC):
    """The log as everything above it sees it; `Store` keeps it in Postgres."""

    @abstractmethod
    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        """Record all changes in one transaction, or none.

        Raises VersionConflict, KeyTaken, StaleWriter (a claim is over) or Unavailable.
        """

    @abstractmethod
    def read(self, after: int, limit: int = 1000) -> list[Recorded]:
        """Events with positions above `after`, in log order; never skips one."""

    @abstractmethod
    def stream(self, stream: StreamId, after: int = 0) -> list[Recorded]:
        """Events of one stream with versions above `after`."""

    @abstractmethod
    def head(self) -> int:
        """The highest position, 0 for an empty log."""

    @abstractmethod
    def now(self) -> int:
        """Store time in microseconds since the epoch."""

    @abstractmethod
    def recall(self, principal: str, key: str) -> Saved | None:
        """The answer saved under an idempotency key, or None."""

    @abstractmethod
    def take_role(self, role: str, holder: str) -> Epoch:
        """Become the role's leader: every earlier epoch is over from this moment."""

    def load(
        self, stream: StreamId, evolve: Callable[[State, AnyEvent], State], initial: State
    ) -> tuple[State, int]:
        """An aggregate's state and version; UnknownEvent where its stream cannot be folded."""
        return _fold(self.stream(stream), evolve, initial)

    def execute(
        self,
        stream: StreamId,
        evolve: Callable[[State, AnyEvent], State],
        initial: State,
        command: Callable[[State], Sequence[Event]],
        meta: Meta,
        *,
        epoch: Epoch | None = None,
        answer: Callable[[State], Answer | None] = lambda _: None,
        session: Session | None = None,
    ) -> tuple[State, list[Recorded]]:
        """Decide on an aggregate's state and append; decide anew if a rival was first.

        `answer` makes the answer to save from the state after. Returns that state, and what was
        recorded (nothing, if the command had no effect).
        """
        for left in range(TRIES - 1, -1, -1):
            state, version = self.load(stream, evolve, initial)
            events = command(state)
            for event in events:
                state = evolve(state, cast(AnyEvent, event))
            change = Change(stream, version, events, meta)
            try:
                saved = answer(state)
                return state, self.append([change], epoch=epoch, answer=saved, session=session)
            except VersionConflict:
                if not left:
                    raise
        raise AssertionError("unreachable")


class Store(Log):
    """The log in Postgres. Thread-safe. Raises Unavailable when Postgres does not answer."""

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 8,
        appended: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`appended` hears how many events each append recorded."""
        self._appended = appended
        self._datastore = Datastore(
            dsn, pool_size=pool_size, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS
        )
        try:
            self._recorder = _guarded(lambda: Recorder(self._datastore))
        except BaseException:
            self._datastore.close()  # its pool would go on trying to connect
            raise
        self._commits = GroupCommit(self._recorder.append_all)

    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        number = epoch.number if epoch else None
        planned = [
            (change, change.version + offset, event)
            for change in changes
            for offset, event in enumerate(change.events, start=1)
        ]
        if not planned:
            return []
        rows = [
            to_stored(c.stream, version, event, c.meta, number) for c, version, event in planned
        ]
        item = Append(rows, epoch, answer, session)
        positions, at = _guarded(lambda: self._commits.append(item))
        self._appended(len(positions))
        return [
            Recorded(position, c.stream, version, at, c.meta, number, event)
            for position, (c, version, event) in zip(positions, planned, strict=True)
        ]

    def read(self, after: int, limit: int = 1000) -> list[Recorded]:
        return [
            from_stored(*row) for row in _guarded(lambda: self._recorder.read_log(after, limit))
        ]

    def rows(self, after: int, limit: int) -> list[Row]:
        """As `read`, as they are stored."""
        return [Row(*row) for row in _guarded(lambda: self._recorder.read_log(after, limit))]

    def read_of(self, names: Collection[str], after: int, limit: int) -> list[Recorded]:
        """As `read`; events of names that are not among these have their places, and no more."""
        rows = _guarded(lambda: self._recorder.read_log(after, limit))
        return [from_stored_of(names, row) for row in rows]

    def stream(self, stream: StreamId, after: int = 0) -> list[Recorded]:
        return [
            from_stored(*row) for row in _guarded(lambda: self._recorder.read_stream(stream, after))
        ]

    def load(
        self, stream: StreamId, evolve: Callable[[State, AnyEvent], State], initial: State
    ) -> tuple[State, int]:
        """As of any log, from the stream's snapshot on where it has one; it is given one."""
        decoder = snapshots.DECODERS.get(evolve)
        if decoder is None:
            return super().load(stream, evolve, initial)
        rows = _guarded(lambda: self._recorder.read_end(stream, snapshots.form()))
        state, kept = initial, 0
        if rows and rows[0][2] > 1:
            found = self._query(snapshots.FIND, (stream, snapshots.form()))
            begun = snapshots.unpack(stream, found[0], decoder) if found else None
            if begun is None:
                return super().load(stream, evolve, initial)
            state, kept = begun
        end = [from_stored(*row) for row in rows if row[2] > kept]
        state, version = _fold(end, evolve, state, kept)
        if version - kept >= snapshots.EVERY:
            self._keep(stream, version, state)
        return state, version

    def _keep(self, stream: StreamId, version: int, state: object) -> None:
        try:
            self._query(snapshots.KEEP, snapshots.pack(stream, version, state))
        except (Unavailable, PersistenceError) as error:  # who loads needs none
            log.warning("no snapshot of %s: %s", stream, error)

    def head(self) -> int:
        return _guarded(self._recorder.max_notification_id) or 0

    def now(self) -> int:
        rows = self._query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return int(rows[0][0])

    def recall(self, principal: str, key: str) -> Saved | None:
        rows = self._query(
            "SELECT fingerprint, status, response, position FROM idempotency"
            " WHERE principal = %s AND key = %s",
            (principal, key),
        )
        return Saved(rows[0][0], rows[0][1], bytes(rows[0][2]), rows[0][3]) if rows else None

    def take_role(self, role: str, holder: str) -> Epoch:
        rows = self._query(
            "INSERT INTO leaders (role, epoch, holder) VALUES (%s, 1, %s)"
            " ON CONFLICT (role) DO UPDATE SET epoch = leaders.epoch + 1,"
            " holder = excluded.holder, since = clock_timestamp()"
            " WHERE leaders.holder <> 'failover' OR leaders.since <= clock_timestamp()"
            " RETURNING epoch",
            (role, holder),
        )
        if not rows:  # `infra.failover` holds it
            detail = "the database was failed over: nobody leads until old leases are over"
            raise Unavailable("failover", detail)
        return Epoch(role, rows[0][0])

    def close(self) -> None:
        """Give the connections back."""
        self._datastore.close()

    def _query(self, query: str, arguments: tuple[Any, ...] = ()) -> list[Any]:
        def run() -> list[Any]:
            with self._datastore.get_connection() as connection:
                rows = connection.execute(query.encode(), arguments).fetchall()
            return [tuple(row.values()) for row in rows]

        return _guarded(run)


def _fold(
    events: Sequence[Recorded],
    evolve: Callable[[State, AnyEvent], State],
    state: State,
    version: int = 0,
) -> tuple[State, int]:
    for recorded in events:
        try:
            state = evolve(state, cast(AnyEvent, recorded.event))
        except FAULTS as error:
            raise UnknownEvent(poison(recorded, error)) from error
        version = recorded.version
    return state, version


Result = TypeVar("Result")


def _guarded(operation: Callable[[], Result]) -> Result:
    """Run a database operation, with its errors as ours."""
    try:
        return operation()
    except IntegrityError as error:
        raise _integrity(error) from error
    except PersistenceError as error:
        raise _persistence(error) from error
    except psycopg.OperationalError as error:  # the pool's own errors
        raise Unavailable("database_unavailable", "the database does not answer") from error


def _cause(error: BaseException) -> psycopg.Error | None:
    cause = error.__cause__
    return cause if isinstance(cause, psycopg.Error) else None


def _integrity(error: IntegrityError) -> Conflict:
    cause = _cause(error)
    if cause is not None and cause.diag.constraint_name == "idempotency_pkey":
        return KeyTaken("key_taken", "the idempotency key was just used")
    return VersionConflict("version_conflict", "another writer was first: try again")


_AWAY = ("08", "40", "53", "54", "55", "57", "58", "XX")
"""SQLSTATE classes after which a later try may do: no connection, a deadlock, no room, a full queue
of notifications, a lock held too long, a server that stops or is broken."""


def _persistence(error: PersistenceError) -> Exception:
    cause = _cause(error)
    state = cause.sqlstate if cause is not None else None
    if state == "CP001":
        return StaleWriter("stale_epoch", "another leader has taken over")
    if state == "CP002":
        return StaleWriter("stale_lease", "the node's lease was lost meanwhile: register again")
    if state == "22P05" or state == "22021":
        return Invalid("bad_text", "no NUL or broken characters in texts", field="body")
    if state is None or state[:2] in _AWAY or state == "25006":  # read-only: a standby
        return Unavailable("database_unavailable", "the database does not answer")
    return error
