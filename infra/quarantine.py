"""Streams that consumers of the log hold back, since when and why.

A consumer is a read model by its name, or a process that decides. Which events it passes over is
in the log (`domain/consumer`); this table only says what it holds back now.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import psycopg

from domain.consumer.consumer import Consumer, evolve, stream_of_consumer
from domain.consumer.events import ConsumerEvent
from infra.codec import Poison, from_stored

Connection = psycopg.Connection[dict[str, Any]]
FEW = 100
"""Rows that are read whether they are asked for or not: as a rule there are none."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """A stream held back by a consumer; `held` counts its events from the bad one on."""

    consumer: str
    stream: str
    position: int
    version: int
    name: str
    error: str
    stops: bool
    retry: bool
    since: datetime
    held: int


def enter(connection: Connection, consumer: str, poison: Poison, *, stops: bool = False) -> None:
    """Hold the stream back from this event on; says so where it was not said before."""
    row = connection.execute(
        "INSERT INTO quarantine AS q (consumer, stream, position, version, name, error, stops)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (consumer, stream) DO UPDATE SET"
        " position = excluded.position, version = excluded.version, name = excluded.name,"
        " error = excluded.error, stops = excluded.stops, retry = false,"
        " since = CASE WHEN q.position = excluded.position THEN q.since ELSE excluded.since END"
        " RETURNING xmax = 0 AS fresh",
        (
            consumer,
            poison.stream,
            poison.position,
            poison.version,
            poison.name,
            poison.error,
            stops,
        ),
    ).fetchone()
    if row is not None and row["fresh"]:
        log.error(
            "quarantine: %s %s stream %s at position %d, %s: %s",
            consumer,
            "stands still at" if stops else "holds back",
            poison.stream,
            poison.position,
            poison.name,
            poison.error,
        )


def held(
    connection: Connection, consumers: Collection[str], streams: Iterable[str]
) -> set[tuple[str, str]]:
    """Which (consumer, stream) are held back: all there are, or of many those of these streams."""
    query, names = "SELECT consumer, stream FROM quarantine WHERE consumer = ANY(%s)", [*consumers]
    rows = connection.execute(f"{query} LIMIT %s".encode(), (names, FEW)).fetchall()
    if len(rows) == FEW:
        wanted = list({*streams})
        query += " AND stream = ANY(%s)"
        rows = connection.execute(query.encode(), (names, wanted)).fetchall()
    return {(row["consumer"], row["stream"]) for row in rows}


def keep_only(connection: Connection, consumer: str, streams: Iterable[str]) -> None:
    """The consumer came past its other streams: they are held back no more."""
    gone = connection.execute(
        "DELETE FROM quarantine WHERE consumer = %s AND stream <> ALL(%s) RETURNING stream",
        (consumer, list(streams)),
    ).fetchall()
    for row in gone:
        log.warning("quarantine: %s goes on with stream %s", consumer, row["stream"])


def forget(connection: Connection, consumer: str) -> None:
    """The consumer begins anew: what it holds back is found anew."""
    connection.execute("DELETE FROM quarantine WHERE consumer = %s", (consumer,))


def exchange(connection: Connection, beside: str, consumer: str) -> None:
    """What the table beside holds back is what the read model holds back from now on."""
    connection.execute(
        "UPDATE quarantine b SET since = q.since FROM quarantine q WHERE b.consumer = %s"
        " AND q.consumer = %s AND q.stream = b.stream AND q.position = b.position",
        (beside, consumer),
    )
    forget(connection, consumer)
    connection.execute(
        "UPDATE quarantine SET consumer = %s WHERE consumer = %s", (consumer, beside)
    )


def worse(connection: Connection, beside: str, consumer: str, live: int) -> Poison | None:
    """The first event, up to where the read model is, that only the table beside holds back at."""
    row = connection.execute(
        "SELECT stream, position, version, name, error FROM quarantine b WHERE consumer = %s"
        " AND position <= %s AND NOT EXISTS (SELECT 1 FROM quarantine q"
        "  WHERE q.consumer = %s AND q.stream = b.stream) ORDER BY position LIMIT 1",
        (beside, live, consumer),
    ).fetchone()
    return None if row is None else Poison(**row)


def retry_asked(connection: Connection, consumer: str) -> bool:
    """Whether somebody wants the consumer to try its streams again."""
    row = connection.execute(
        "SELECT 1 FROM quarantine WHERE consumer = %s AND retry LIMIT 1", (consumer,)
    ).fetchone()
    return row is not None


def ask_retry(connection: Connection, consumer: str) -> None:
    """Have the consumer try its streams again."""
    connection.execute("UPDATE quarantine SET retry = true WHERE consumer = %s", (consumer,))


def find(connection: Connection) -> list[Held]:
    """Everything that is held back; tables that grow beside are left out."""
    rows = connection.execute(
        "SELECT q.*, (SELECT count(*) FROM stored_events e WHERE e.originator_id = q.stream"
        " AND e.originator_version >= q.version) AS held FROM quarantine q"
        " WHERE consumer NOT LIKE '%\\_beside' ORDER BY position, consumer, stream"
    ).fetchall()
    return [Held(**row) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """How many streams each consumer holds back."""
    rows = connection.execute(
        "SELECT consumer, count(*) AS streams FROM quarantine"
        " WHERE consumer NOT LIKE '%\\_beside' GROUP BY 1"
    ).fetchall()
    return {row["consumer"]: row["streams"] for row in rows}


def discarded(connection: Connection, consumer: str) -> frozenset[int]:
    """The positions the consumer passes over, as the log says."""
    rows = connection.execute(
        "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at"
        " FROM stored_events WHERE originator_id = %s ORDER BY originator_version",
        (stream_of_consumer(consumer),),
    ).fetchall()
    state = Consumer()
    for row in rows:
        position, stream, version, name, data, at = row.values()
        event = from_stored(position, stream, version, name, bytes(data), at).event
        state = evolve(state, cast(ConsumerEvent, event))
    return state.discarded
