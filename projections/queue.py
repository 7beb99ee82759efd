"""Queue: who waits, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from domain.event import Recorded
from domain.job import events as e
from domain.scheduling.reason import WaitReason
from projections.view import Key, Reader, Row, View, kinds

_LEAVES = (e.Placed, e.Suspended, e.Cancelled, e.Held)
_ON = kinds(e.Queued, e.PriorityChanged, e.WaitExplained, *_LEAVES)


class QueueRow(Row, frozen=True, kw_only=True):
    """A job in the queue since a time (microseconds), with what it was told last."""

    job: str
    project: str
    user: str
    name: str
    priority: int
    queued_since: int
    reason: WaitReason | None


def _touches(recorded: Recorded) -> Iterable[Key]:
    if recorded.event.__class__ not in _ON:
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: QueueRow | None, key: Key, recorded: Recorded) -> QueueRow | None:
    event = recorded.event
    if isinstance(event, e.Queued):
        return QueueRow(
            job=str(key[0]),
            project=recorded.meta.project or "",
            user=event.user,
            name=event.name,
            priority=event.priority,
            queued_since=event.since,
            reason=None,
            position=recorded.position,
        )
    if row is None or isinstance(event, _LEAVES):
        return None
    if isinstance(event, e.PriorityChanged):
        return replace(row, priority=event.priority, position=recorded.position)
    assert isinstance(event, e.WaitExplained)
    return replace(row, reason=event.reason, position=recorded.position)


VIEW = View(
    name="queue",
    row=QueueRow,
    key=("job",),
    on=_ON,
    begins=kinds(e.Queued),
    touches=_touches,
    fold=_fold,
    indexes=("(priority DESC, queued_since, job)",),
)

_AHEAD = """
    (priority, -queued_since) > (%(priority)s, -%(since)s)
    OR (priority = %(priority)s AND queued_since = %(since)s AND job < %(job)s)
"""


def find(
    connection: Reader, projects: Sequence[str] | None, limit: int, at: int | None = None
) -> list[tuple[int, QueueRow]]:
    """Who waits, in order, with each one's place in the whole queue (from 1)."""
    records = connection.execute(
        "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY priority DESC, queued_since, job)"
        f" AS place FROM {VIEW.at(at)} v) q WHERE %(all)s OR project = ANY(%(projects)s)"
        " ORDER BY place LIMIT %(limit)s".encode(),
        {"all": projects is None, "projects": list(projects or ()), "limit": limit},
    ).fetchall()
    return [(record.pop("place"), VIEW.read(record)) for record in records]


def by_reason(
    connection: Reader, projects: Sequence[str] | None, at: int | None = None
) -> dict[str, int]:
    """How many wait for each dominant cause; `not_examined` before the scheduler's first look."""
    records = connection.execute(
        "SELECT coalesce(reason->>'code', 'not_examined') AS code, count(*) AS jobs"
        f" FROM {VIEW.at(at)} v WHERE %(all)s OR project = ANY(%(projects)s)"
        " GROUP BY 1 ORDER BY 2 DESC, 1".encode(),
        {"all": projects is None, "projects": list(projects or ())},
    ).fetchall()
    return {record["code"]: record["jobs"] for record in records}


def places(connection: Reader, jobs: Sequence[str], at: int | None = None) -> dict[str, int]:
    """The places, from 1, of those of the jobs that wait."""
    records = connection.execute(
        "SELECT job, place FROM (SELECT job, row_number() OVER"
        f" (ORDER BY priority DESC, queued_since, job) AS place FROM {VIEW.at(at)} v) q"
        " WHERE job = ANY(%s)".encode(),
        (list(jobs),),
    ).fetchall()
    return {record["job"]: record["place"] for record in records}


def place(connection: Reader, job: str, at: int | None = None) -> int | None:
    """The job's place in the queue from 1, or None when it does not wait."""
    row = _get(connection, job, at)
    return None if row is None else 1 + _count_ahead(connection, row, at)


def ahead(
    connection: Reader, job: str, limit: int, at: int | None = None
) -> tuple[list[QueueRow], int]:
    """The first jobs ahead of this one, and how many there are."""
    row = _get(connection, job, at)
    if row is None:
        return [], 0
    records = connection.execute(
        f"SELECT * FROM {VIEW.at(at)} v WHERE {_AHEAD}"
        " ORDER BY priority DESC, queued_since, job LIMIT %(limit)s".encode(),
        {"priority": row.priority, "since": row.queued_since, "job": job, "limit": limit},
    ).fetchall()
    return [VIEW.read(record) for record in records], _count_ahead(connection, row, at)


def _get(connection: Reader, job: str, at: int | None) -> QueueRow | None:
    record = connection.execute(
        f"SELECT * FROM {VIEW.at(at)} v WHERE job = %s".encode(), (job,)
    ).fetchone()
    return VIEW.read(record) if record else None


def _count_ahead(connection: Reader, row: QueueRow, at: int | None) -> int:
    record = connection.execute(
        f"SELECT count(*) AS jobs FROM {VIEW.at(at)} v WHERE {_AHEAD}".encode(),
        {"priority": row.priority, "since": row.queued_since, "job": row.job},
    ).fetchone()
    assert record is not None
    return int(record["jobs"])
