"""Following the log in Postgres: NOTIFY is a hint, the poll is the guarantee."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import psycopg

from domain.event import Recorded
from infra.codec import UnknownEvent
from infra.recorder import CHANNEL
from infra.store import Store

POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


def read_to_bad(
    read: Callable[[int, int], list[Recorded]], after: int, limit: int
) -> list[Recorded]:
    """Events above `after`, in log order, at most `limit`.

    Ends before an event that cannot be read; UnknownEvent when that is the next one.
    """
    try:
        return read(after, limit)
    except UnknownEvent:
        if limit == 1:
            raise
        return read_to_bad(read, after, limit // 2)


class Bell:
    """Waits for a NOTIFY on a channel, on a connection of its own that it renews when lost."""

    def __init__(self, dsn: str, channel: str = CHANNEL) -> None:
        self._dsn = dsn
        self._channel = channel
        self._connection: psycopg.Connection[Any] | None = None
        self._deaf = False

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Return when the channel rang, or after the time; never raises: the poll goes on."""
        try:
            for _ in self._listening().notifies(timeout=seconds, stop_after=1):
                return
        except psycopg.OperationalError:
            self.close()
            time.sleep(min(seconds, 0.2))  # Postgres is away: the caller polls and finds out
        except psycopg.Error as error:  # it does not let us listen, a standby for one
            self.close()
            if not self._deaf:
                log.warning("no notifications on %s, only the poll: %s", self._channel, error)
            self._deaf = True
            time.sleep(seconds)

    def _listening(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=3)
            self._connection.execute(f"LISTEN {self._channel}".encode())
        return self._connection

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresStream:
    """The port `EventStream` on the log itself."""

    def __init__(self, store: Store, bell: Bell, names: Collection[str] | None = None) -> None:
        """`names` are those of the events to read, for whom it is not all."""
        self._store = store
        self._bell = bell
        self._names = names

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events above `after`, in log order, at most `limit`.

        Ends before an event that cannot be read; UnknownEvent when that is the next one.
        """
        if self._names is None:
            return read_to_bad(self._store.read, after, limit)
        return read_to_bad(partial(self._store.read_of, self._names), after, limit)

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Return when there may be something new, at the latest after the time."""
        self._bell.wait(seconds)

    def close(self) -> None:
        """Give the connection back."""
        self._bell.close()
