"""What jobs print: kept in the database beside the log, never in it; byte-exact and resumable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from domain.errors import Conflict, StaleWriter

CHANNEL = "job_logs"
Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Kept:
    """How many bytes of the seat are kept, and whether its cap is reached."""

    size: int
    full: bool


def append(
    connection: Connection,
    job: str,
    rank: int,
    attempt: int,
    offset: int,
    data: bytes,
    cap: int,
) -> Kept:
    """Keep bytes of a seat that begin at `offset`; what is known already is skipped.

    Conflict `log_gap` (with `size`) if bytes before `offset` are missing; StaleWriter for an
    attempt that a newer one followed.
    """
    with connection.transaction():
        connection.execute(
            "INSERT INTO job_log_heads (job_id, rank, attempt, size, seat_size)"
            " VALUES (%s, %s, %s, 0, 0) ON CONFLICT DO NOTHING",
            (job, rank, attempt),
        )
        head = connection.execute(
            "SELECT attempt, size, seat_size FROM job_log_heads"
            " WHERE job_id = %s AND rank = %s FOR UPDATE",
            (job, rank),
        ).fetchone()
        assert head is not None
        if head["attempt"] > attempt:
            raise StaleWriter("stale_attempt", f"attempt {head['attempt']} prints already")
        known = head["seat_size"] if head["attempt"] == attempt else 0
        if offset > known:
            raise Conflict("log_gap", "bytes before this offset are missing", size=known)
        fresh = data[known - offset :][: max(0, cap - known)]
        if fresh or head["attempt"] < attempt:
            _keep(connection, job, rank, attempt, head["size"], known, fresh)
    size = known + len(fresh)
    return Kept(size, size >= cap)


def _keep(
    connection: Connection, job: str, rank: int, attempt: int, size: int, known: int, data: bytes
) -> None:
    if data:
        connection.execute(
            "INSERT INTO job_logs (job_id, rank, start, data) VALUES (%s, %s, %s, %s)",
            (job, rank, size, data),
        )
    connection.execute(
        "UPDATE job_log_heads SET attempt = %s, size = %s, seat_size = %s"
        " WHERE job_id = %s AND rank = %s",
        (attempt, size + len(data), known + len(data), job, rank),
    )
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, job))


def read(connection: Connection, job: str, rank: int, offset: int, limit: int) -> bytes:
    """At most about `limit` bytes of the job's output from `offset` on; empty at its end."""
    rows = connection.execute(
        "SELECT start, data FROM job_logs WHERE job_id = %s AND rank = %s AND start >="
        "   coalesce((SELECT max(start) FROM job_logs"
        "             WHERE job_id = %s AND rank = %s AND start <= %s), 0)"
        " ORDER BY start LIMIT 64",
        (job, rank, job, rank, offset),
        binary=True,
    )
    found = bytearray()
    for row in rows:
        found += row["data"][max(0, offset - row["start"]) :]
        if len(found) >= limit:
            break
    return bytes(found)
