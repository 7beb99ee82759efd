"""Leadership: one holder of a role at a time, each with a higher epoch than the one before.

The lock only makes a second leader unlikely; the epoch, checked in every append, makes it
harmless.
"""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from infra.recorder import Epoch
from infra.store import Store


@contextmanager
def lead(dsn: str, store: Store, role: str) -> Iterator[Epoch | None]:
    """The epoch of the role if nobody leads, else None; ends with the connection's life."""
    with psycopg.connect(dsn, autocommit=True, connect_timeout=3) as connection:
        key = zlib.crc32(f"leader:{role}".encode())
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
        if row is None or not row[0]:
            yield None
            return
        yield store.take_role(role, f"{socket.gethostname()}:{os.getpid()}")
