"""Checkpoints: what every job can go on from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from domain.checkpoint.events import Committed
from domain.event import Recorded
from projections.view import Key, View


@dataclass(frozen=True)
class CheckpointRow:
    """A complete checkpoint of one rank; sizes in bytes, time in microseconds."""

    job: str
    number: int
    attempt: int
    rank: int
    cause: str
    digest: str
    files: int
    bytes: int
    new_bytes: int
    committed_at: int
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, Committed):
        yield (recorded.event.job, recorded.event.number)


def _fold(row: CheckpointRow | None, _key: Key, recorded: Recorded) -> CheckpointRow | None:
    event = recorded.event
    if not isinstance(event, Committed):
        return row
    return CheckpointRow(
        job=event.job,
        number=event.number,
        attempt=event.attempt,
        rank=event.manifest.rank,
        cause=event.cause,
        digest=event.manifest.digest,
        files=event.manifest.files,
        bytes=event.manifest.bytes,
        new_bytes=event.manifest.new_bytes,
        committed_at=recorded.recorded_at,
        position=recorded.position,
    )


VIEW = View(
    name="checkpoints",
    row=CheckpointRow,
    key=("job", "number"),
    touches=_touches,
    fold=_fold,
    indexes=("(job, rank, number DESC)",),
)


def find(connection: Connection[dict[str, Any]], job: str, limit: int) -> list[CheckpointRow]:
    """A job's checkpoints, newest first."""
    records = connection.execute(
        "SELECT * FROM view_checkpoints WHERE job = %s ORDER BY number DESC LIMIT %s",
        (job, limit),
    ).fetchall()
    return [VIEW.read(record) for record in records]
