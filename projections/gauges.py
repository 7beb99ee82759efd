"""What metrics show of the cell: how far consumers are, the queue, nodes, leaders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

Reader = Connection[dict[str, Any]]


@dataclass(frozen=True)
class Lag:
    """A consumer's place in the log.

    `events` it has not taken yet; `seconds` since the first of these was recorded, by the clock of
    the database.
    """

    consumer: str
    position: int
    events: int
    seconds: float


_LAGS = """
SELECT p.consumer, p.position, coalesce(h.events, 0) AS events,
       greatest(0, coalesce(extract(epoch FROM clock_timestamp()) - n.recorded_at / 1e6, 0))::float8
       AS seconds
FROM (SELECT view AS consumer, position FROM view_positions
      UNION ALL SELECT 'relay:' || topic, position FROM relay_positions
      UNION ALL SELECT consumer, position FROM consumer_places) p
LEFT JOIN LATERAL (
    SELECT recorded_at FROM stored_events WHERE notification_id > p.position
    ORDER BY notification_id LIMIT 1
) n ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS events FROM (
        SELECT 1 FROM stored_events WHERE notification_id > p.position LIMIT %s
    ) missed
) h ON true
ORDER BY p.consumer
"""
COUNTED = 10_000
"""Up to here events are counted; beyond, they are told by the difference of positions."""


def lags(connection: Reader, head: int) -> list[Lag]:
    """Every read model, every topic of the relay, and the scheduler."""
    rows = connection.execute(_LAGS, (COUNTED,)).fetchall()
    found = [Lag(**row) for row in rows]
    return [
        lag
        if lag.events < COUNTED
        else Lag(lag.consumer, lag.position, head - lag.position, lag.seconds)
        for lag in found
    ]


@dataclass(frozen=True)
class Rounds:
    """Cycles of the scheduler's leader, those that came to a part of the queue only, and what part
    of its lines was come to (1: all) in the round under way."""

    cycles: int
    cut: int
    reached: float


def rounds(connection: Reader) -> Rounds | None:
    """None while no scheduler ever led."""
    row = connection.execute(
        "SELECT cycles, cut, 1 - left_over / greatest(lines, 1)::float8 AS reached"
        " FROM consumer_places WHERE consumer = 'scheduler'"
    ).fetchone()
    return None if row is None else Rounds(**row)


def nodes(connection: Reader) -> dict[str, int]:
    """How many nodes are alive, and how many are lost."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE alive) AS alive, count(*) FILTER (WHERE NOT alive) AS lost"
        " FROM view_nodes"
    ).fetchone()
    return dict(row or {})


def epochs(connection: Reader) -> dict[str, int]:
    """The newest epoch of each role."""
    rows = connection.execute("SELECT role, epoch FROM leaders ORDER BY role").fetchall()
    return {row["role"]: row["epoch"] for row in rows}
