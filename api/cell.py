"""What the routes stand on: the store, a pool for queries, and waiting for what is new."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from api.fleet import KnownFleet
from domain.errors import Invalid, Unavailable
from infra.pools import check
from infra.recorder import ANSWER_SECONDS, RECONNECT_SECONDS
from infra.settings import Settings
from infra.space import Space
from infra.store import Store
from projections.tables import prepare

Connection = psycopg.Connection[dict[str, Any]]
CATCH_UP_SECONDS = 5.0


class Cell:
    """One per API process; made when it starts."""

    def __init__(
        self, settings: Settings, appended: Callable[[int], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.store = Store(settings.database_url, pool_size=settings.pool_size, appended=appended)
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            settings.database_url,
            min_size=1,
            max_size=settings.pool_size,
            timeout=ANSWER_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            open=True,
            check=check,
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": 3},
        )
        with self.connection() as connection:
            prepare(connection)
        self.space = Space(
            settings.database_folder, settings.database_reserve_bytes, self.connection
        )
        self.fleet = KnownFleet(self.connection)
        self.views = Watch(settings.database_url, "views")
        self.logs = Watch(settings.database_url, "job_logs")

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for queries; Unavailable when Postgres does not answer."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise Unavailable("database_unavailable", "the database does not answer") from error

    def wait_for(self, position: int) -> None:
        """Return when every read model shows at least `position`; Unavailable after 5 s.

        Invalid for a position that the log has not reached: waiting would not help.
        """
        with self.connection() as connection:
            if _shown(connection) >= position:
                return
            if position > (head := self.store.head()):
                detail = f"the log ends at {head}: pass a position as it was answered"
                raise Invalid("beyond_the_log", detail, field="min_position")
            deadline = time.monotonic() + CATCH_UP_SECONDS
            while _shown(connection) < position:
                if time.monotonic() > deadline:
                    detail = f"the read models have not reached {position} yet"
                    raise Unavailable("not_caught_up", detail)
                time.sleep(0.005)  # in a worker thread; the projector needs about as long

    def close(self) -> None:
        """Give everything back."""
        self.views.close()
        self.logs.close()
        self._pool.close()
        self.store.close()


def _shown(connection: Connection) -> int:
    row = connection.execute("SELECT min(position) AS position FROM view_positions").fetchone()
    return 0 if row is None else row["position"] or 0


class Watch:
    """Lets coroutines wait for a NOTIFY channel; one thread listens for all of them."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"watch-{channel}", daemon=True)
        self._thread.start()

    async def changed(self, seconds: float) -> None:
        """Return when the channel rings, at the latest after the time."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter[1].wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._thread.join(timeout=2)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=3) as connection:
                    connection.execute(f"LISTEN {self._channel}".encode())
                    while not self._closed.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._ring()
            except psycopg.Error:  # away, or no listening is allowed: who waits polls
                self._ring()
                self._closed.wait(0.5)

    def _ring(self) -> None:
        with self._lock:
            for loop, event in self._waiters:
                with contextlib.suppress(RuntimeError):  # the loop was just closed
                    loop.call_soon_threadsafe(event.set)
