"""After a promoted standby took over: nobody decides before every agent is reconciled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

EPOCHS = 1_000_000
"""By so much every epoch is raised: what was lost cannot have held that many take-overs."""
POSITIONS = 1_000_000
"""By so much the positions are raised, for the same reason: none is ever given twice."""
HOLDER = "failover"


@dataclass(frozen=True)
class Promotion:
    """What is known of a failover: the log's head, and how many positions may have been lost.

    `lost` is None where nobody knows how far the log had come.
    """

    head: int
    lost: int | None


def fail_over(dsn: str, roles: Sequence[str], known_head: int | None) -> Promotion:
    """Make the database of a promoted standby ready to be used; run once, before anything else.

    1. every role's epoch is raised beyond any that may have been lost: whoever led writes no more;
    2. no role is given until `release`, and no seat started: the caller lets a lease and its margin
       go by first, on a clock that nobody sets. A lease whose renewal was lost has ended by then,
       so the seats it stood for are stopped, by the agents' own clocks;
    3. positions go on beyond any that may have been lost: whoever read what is lost, through Kafka
       for one, and passes over positions it has dealt with, misses nothing that comes;
    4. `known_head` (from a signed tree head, a backup report or the Kafka topic) less the head
       here is how much may have been lost.
    """
    with psycopg.connect(dsn, connect_timeout=3) as connection:
        connection.cursor().executemany(
            "INSERT INTO leaders (role, epoch, holder, since) VALUES"
            " (%(role)s, %(epochs)s, %(holder)s, 'infinity')"
            " ON CONFLICT (role) DO UPDATE SET epoch = leaders.epoch + %(epochs)s,"
            " holder = excluded.holder, since = excluded.since",
            [{"role": role, "epochs": EPOCHS, "holder": HOLDER} for role in roles],
        )
        row = connection.execute(
            "SELECT coalesce(max(notification_id), 0) FROM stored_events"
        ).fetchone()
        connection.execute(
            "SELECT setval('stored_events_notification_id_seq',"
            " greatest(last_value, %s) + %s) FROM stored_events_notification_id_seq",
            (known_head or 0, POSITIONS),
        )
    assert row is not None, "an aggregate is one row"
    head = int(row[0])
    return Promotion(head, None if known_head is None else max(0, known_head - head))


def release(dsn: str) -> None:
    """What a failover held is given: every lease of before is over."""
    with psycopg.connect(dsn, connect_timeout=3) as connection:
        connection.execute(
            "UPDATE leaders SET since = clock_timestamp() WHERE holder = %s", (HOLDER,)
        )


def holds(connection: psycopg.Connection[dict[str, Any]]) -> bool:
    """Whether a failover holds what leads and starts."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM leaders WHERE holder = %s AND since > clock_timestamp())"
        " AS yes",
        (HOLDER,),
    ).fetchone()
    assert row is not None, "EXISTS is one row"
    return bool(row["yes"])
