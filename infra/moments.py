"""Moments of the past: a position of the log and its time, each found from the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from infra.recorder import append_lock

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Moment:
    """What had happened up to a position, and when that was (microseconds)."""

    position: int
    at: int


@dataclass(frozen=True)
class Reach:
    """The moments there are: to the head of the log and to now, from where history is kept."""

    head: int
    now: int
    kept_from: int


def reach(connection: Connection) -> Reach:
    """How far back and forth one may ask."""
    row = connection.execute(
        "SELECT coalesce((SELECT max(notification_id) FROM stored_events), 0) AS head,"
        " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,"
        " (SELECT kept_from FROM history_horizon) AS kept_from"
    ).fetchone()
    assert row is not None, "it selects one row"
    return Reach(**row)


def at_position(connection: Connection, position: int) -> Moment:
    """The moment after the event of this position, or after the last one before it."""
    row = connection.execute("SELECT time_at(%s) AS at", (position,)).fetchone()
    return Moment(position, row["at"] if row else 0)


def at_time(connection: Connection, at: int) -> Moment:
    """The moment of a time that is past.

    Events get their time before they can be seen. So where nothing later is recorded yet, appends
    that are under way are waited for: none of them can then turn out to be of before.
    """
    position = _position_at(connection, at)
    later = connection.execute(
        "SELECT 1 AS later FROM stored_events WHERE notification_id > %s LIMIT 1", (position,)
    ).fetchone()
    if later is None:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (append_lock(),))
            position = _position_at(connection, at)
    return Moment(position, at)


def _position_at(connection: Connection, at: int) -> int:
    row = connection.execute("SELECT position_at(%s) AS position", (at,)).fetchone()
    assert row is not None, "it selects one row"
    return int(row["position"])
