"""Waiters: blocked jobs and the jobs they come after, and what those inherit from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from domain.event import Recorded
from domain.job import events as e
from domain.job.events import QueuedCause
from projections.view import Key, Reader, Row, View, kinds

_ON = kinds(
    e.Submitted, e.Reopened, e.Blocked, e.Queued, e.Suspended, e.Cancelled, e.PriorityChanged
)


class WaiterRow(Row, frozen=True, kw_only=True):
    """A job that comes after others and was not in the queue yet; `blocked` while it waits."""

    job: str
    priority: int
    after: list[str]
    blocked: bool


def _touches(recorded: Recorded) -> Iterable[Key]:
    event = recorded.event
    if event.__class__ not in _ON:
        return []
    if isinstance(event, e.Submitted | e.Reopened) and not event.spec.after:
        return []
    if isinstance(event, e.Queued) and event.cause is not QueuedCause.UNBLOCKED:
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: WaiterRow | None, key: Key, recorded: Recorded) -> WaiterRow | None:
    event, at = recorded.event, recorded.position
    if isinstance(event, e.Submitted | e.Reopened):
        priority = event.priority if isinstance(event, e.Reopened) else event.spec.priority
        after: list[str] = [each.job for each in event.spec.after]
        return WaiterRow(
            job=str(key[0]), priority=priority, after=after, blocked=False, position=at
        )
    if row is None or isinstance(event, e.Queued | e.Cancelled):
        return None
    if isinstance(event, e.PriorityChanged):
        return replace(row, priority=event.priority, position=at)
    return replace(row, blocked=isinstance(event, e.Blocked), position=at)


VIEW = View(
    name="waiters",
    row=WaiterRow,
    key=("job",),
    on=_ON,
    begins=kinds(e.Submitted),
    touches=_touches,
    fold=_fold,
)


def inherited(connection: Reader, jobs: Sequence[str], at: int | None = None) -> dict[str, int]:
    """The highest priority of those that wait for each of the jobs, directly or along a chain.

    A job that was requeued counts as waited for again by all that come after it, also by those
    that were content with how it had ended.
    """
    if not jobs:
        return {}
    records = connection.execute(
        "WITH RECURSIVE waits AS MATERIALIZED (SELECT v.job, v.priority, dependency"
        f"  FROM {VIEW.at(at)} v, jsonb_array_elements_text(v.after) AS dependency"
        "  WHERE v.blocked),"
        " chain (target, job, priority) AS ("
        "  SELECT dependency, job, priority FROM waits WHERE dependency = ANY(%s)"
        "  UNION SELECT c.target, w.job, w.priority FROM chain c"
        "  JOIN waits w ON w.dependency = c.job)"
        " SELECT target, max(priority) AS priority FROM chain GROUP BY target".encode(),
        (list(jobs),),
    ).fetchall()
    return {record["target"]: record["priority"] for record in records}
