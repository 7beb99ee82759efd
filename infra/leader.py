"""Leadership: one holder of a role at a time, each with a higher epoch than the one before.

The lock only makes a second leader unlikely; the epoch, checked in every append, makes it
harmless. A leader says now and then that it lives: one that stands still, with its connection
open, loses the lock to the next that asks.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from infra.recorder import Epoch
from infra.store import Store

BEAT_SECONDS = 3.0
SILENT_SECONDS = 15
"""A leader that was not heard of for so long loses its connection, and the lock with it."""

log = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]


@contextmanager
def lead(dsn: str, store: Store, role: str) -> Iterator[Epoch | None]:
    """The epoch of the role if nobody leads, else None; ends with the connection's life."""
    with psycopg.connect(dsn, autocommit=True, connect_timeout=3) as connection:
        key = zlib.crc32(f"leader:{role}".encode())
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
        if row is None or not row[0]:
            _end_the_silent(connection, role, key)
            yield None
            return
        epoch = store.take_role(role, f"{socket.gethostname()}:{os.getpid()}")
        with _beating(connection, epoch):
            yield epoch


def _end_the_silent(connection: Connection, role: str, key: int) -> None:
    """Cut off a leader that stands still."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks, leaders"
        " WHERE locktype = 'advisory' AND granted AND objid = %s AND objsubid = 1"
        "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        "   AND role = %s AND since < clock_timestamp() - %s * interval '1 second'",
        (key, role, SILENT_SECONDS),
    ).fetchall()
    if ended:
        log.warning("%s: its leader was silent for %d s and is cut off", role, SILENT_SECONDS)


@contextmanager
def _beating(connection: Connection, epoch: Epoch) -> Iterator[None]:
    """Say every few seconds that this leader lives."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                connection.execute(
                    "UPDATE leaders SET since = clock_timestamp() WHERE role = %s AND epoch = %s",
                    (epoch.role, epoch.number),
                )
            except psycopg.Error as error:  # the lock is gone; its next append may tell it
                log.warning("%s: the leader's connection is lost: %s", epoch.role, error)
                return

    thread = threading.Thread(target=beat, name=f"beat-{epoch.role}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
