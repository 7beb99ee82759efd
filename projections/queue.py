"""Queue: who waits, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL

from domain.event import Recorded
from domain.job import events as e
from domain.job.events import JobEvent
from domain.scheduling.reason import WaitReason
from projections.view import Key, View

_LEAVES = (e.Placed, e.Suspended, e.Cancelled, e.Held)


@dataclass(frozen=True)
class QueueRow:
    """A job in the queue since a time (microseconds), with what it was told last."""

    job: str
    project: str
    user: str
    name: str
    priority: int
    queued_since: int
    reason: WaitReason | None
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, JobEvent):
        yield (recorded.stream.partition("/")[2],)


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
        row = replace(row, priority=event.priority)
    if isinstance(event, e.WaitExplained):
        row = replace(row, reason=event.reason)
    return replace(row, position=recorded.position)


VIEW = View(
    name="queue",
    row=QueueRow,
    key=("job",),
    touches=_touches,
    fold=_fold,
    indexes=("(priority DESC, queued_since, job)",),
)

Reader = Connection[dict[str, Any]]
_AHEAD = """
    (priority, -queued_since) > (%(priority)s, -%(since)s)
    OR (priority = %(priority)s AND queued_since = %(since)s AND job < %(job)s)
"""


def find(
    connection: Reader, projects: Sequence[str] | None, limit: int
) -> list[tuple[int, QueueRow]]:
    """Who waits, in order, with each one's place in the whole queue (from 1)."""
    records = connection.execute(
        "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY priority DESC, queued_since, job)"
        " AS place FROM view_queue) q WHERE %(all)s OR project = ANY(%(projects)s)"
        " ORDER BY place LIMIT %(limit)s",
        {"all": projects is None, "projects": list(projects or ()), "limit": limit},
    ).fetchall()
    return [(record.pop("place"), VIEW.read(record)) for record in records]


def by_reason(connection: Reader, projects: Sequence[str] | None) -> dict[str, int]:
    """How many wait for each dominant cause; `not_examined` before the scheduler's first look."""
    records = connection.execute(
        "SELECT coalesce(reason->>'code', 'not_examined') AS code, count(*) AS jobs"
        " FROM view_queue WHERE %(all)s OR project = ANY(%(projects)s)"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
        {"all": projects is None, "projects": list(projects or ())},
    ).fetchall()
    return {record["code"]: record["jobs"] for record in records}


def place(connection: Reader, job: str) -> int | None:
    """The job's place in the queue from 1, or None when it does not wait."""
    row = _get(connection, job)
    return None if row is None else 1 + _count_ahead(connection, row)


def ahead(connection: Reader, job: str, limit: int) -> tuple[list[QueueRow], int]:
    """The first jobs ahead of this one, and how many there are."""
    row = _get(connection, job)
    if row is None:
        return [], 0
    records = connection.execute(
        SQL(
            "SELECT * FROM view_queue WHERE {ahead}"
            " ORDER BY priority DESC, queued_since, job LIMIT %(limit)s"
        ).format(ahead=SQL(_AHEAD)),
        {"priority": row.priority, "since": row.queued_since, "job": job, "limit": limit},
    ).fetchall()
    return [VIEW.read(record) for record in records], _count_ahead(connection, row)


def _get(connection: Reader, job: str) -> QueueRow | None:
    record = connection.execute("SELECT * FROM view_queue WHERE job = %s", (job,)).fetchone()
    return VIEW.read(record) if record else None


def _count_ahead(connection: Reader, row: QueueRow) -> int:
    record = connection.execute(
        SQL("SELECT count(*) AS jobs FROM view_queue WHERE {ahead}").format(ahead=SQL(_AHEAD)),
        {"priority": row.priority, "since": row.queued_since, "job": row.job},
    ).fetchone()
    assert record is not None
    return int(record["jobs"])
