"""Checkpoints: what every job can go on from."""

from __future__ import annotations

from collections.abc import Iterable

from domain.checkpoint.events import Committed
from domain.event import Recorded
from projections.view import Key, Reader, Row, View, kinds


class CheckpointRow(Row, frozen=True, kw_only=True):
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


def _touches(recorded: Recorded) -> Iterable[Key]:
    event = recorded.event
    return [(event.job, event.number)] if isinstance(event, Committed) else []


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
    on=kinds(Committed),
    begins=kinds(Committed),
    touches=_touches,
    fold=_fold,
    over=lambda _: True,
    indexes=("(job, rank, number DESC)",),
)


def find(connection: Reader, job: str, limit: int, at: int | None = None) -> list[CheckpointRow]:
    """A job's checkpoints, newest first, or as they were at a position."""
    records = connection.execute(
        f"SELECT * FROM {VIEW.at_key(at)} v WHERE job = %s ORDER BY number DESC LIMIT %s".encode(),
        (job, limit),
    ).fetchall()
    return [VIEW.read(record) for record in records]
