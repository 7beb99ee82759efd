"""Checking pooled connections only when it may be news: a ping is a round trip."""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection
from psycopg_pool import ConnectionPool

TRUST_SECONDS = 0.5
"""A connection that answered this short a time ago is given out without asking it again."""

_answered: WeakKeyDictionary[Connection[Any], float] = WeakKeyDictionary()


def check(connection: Connection[Any]) -> None:
    """A pool's check of a connection it is about to give out; raises if it is broken."""
    now = time.monotonic()
    if now - _answered.get(connection, -TRUST_SECONDS) < TRUST_SECONDS:
        return
    ConnectionPool.check_connection(connection)
    _answered[connection] = now
