"""Jobs: each job as it stands, with the times and outcome a person asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from domain.event import Recorded
from domain.job import events as e
from domain.job.events import JobEvent
from domain.job.job import Job, evolve, limit_at
from domain.job.transitions import ENDED
from projections.view import Key, View


@dataclass(frozen=True)
class JobRow:
    """A job; times in microseconds. `state` is the aggregate, the rest is for asking."""

    id: str
    project: str
    user: str
    name: str
    phase: str
    priority: int
    submitted_at: int
    ended_at: int | None
    due_at: int | None
    stop_deadline: int | None
    limit_at: int | None
    preemptions: int
    outcome: str | None
    exit_code: int | None
    detail: str
    state: Job
    position: int
    version: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, JobEvent):
        yield (recorded.stream.partition("/")[2],)


def _fold(row: JobRow | None, _key: Key, recorded: Recorded) -> JobRow:
    event: Any = recorded.event
    state = evolve(row.state if row else None, event)
    if row is None:
        row = JobRow(
            id=state.id,
            project=state.spec.project,
            user=state.submitted_by,
            name=state.spec.name,
            phase=state.phase,
            priority=state.priority,
            submitted_at=recorded.recorded_at,
            ended_at=None,
            due_at=None,
            stop_deadline=None,
            limit_at=None,
            preemptions=0,
            outcome=None,
            exit_code=None,
            detail="",
            state=state,
            position=0,
            version=0,
        )
    if isinstance(event, e.AttemptEnded):
        row = replace(row, outcome=event.outcome, exit_code=event.exit_code, detail=event.detail)
    if isinstance(event, e.PreemptionRequested):
        row = replace(row, preemptions=row.preemptions + 1)
    return replace(
        row,
        phase=state.phase,
        priority=state.priority,
        ended_at=recorded.recorded_at if state.phase in ENDED else None,
        due_at=state.due_at,
        stop_deadline=None if state.grace_expired else state.stop_deadline,
        limit_at=limit_at(state),
        state=state,
        position=recorded.position,
        version=recorded.version,
    )


VIEW = View(
    name="jobs",
    row=JobRow,
    key=("id",),
    touches=_touches,
    fold=_fold,
    indexes=(
        "(submitted_at DESC, id DESC)",
        "(project, submitted_at DESC, id DESC)",
        "(due_at) WHERE due_at IS NOT NULL",
        "(stop_deadline) WHERE stop_deadline IS NOT NULL",
        "(limit_at) WHERE limit_at IS NOT NULL",
    ),
)

Reader = Connection[dict[str, Any]]


def get(connection: Reader, job: str) -> JobRow | None:
    """One job by id."""
    record = connection.execute("SELECT * FROM view_jobs WHERE id = %s", (job,)).fetchone()
    return VIEW.read(record) if record else None


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; None means any. `projects` bounds what the caller may see."""

    projects: Sequence[str] | None = None
    phases: Sequence[str] | None = None
    user: str | None = None
    name: str | None = None


def find(
    connection: Reader, which: Filter, before: tuple[int, str] | None, limit: int
) -> list[JobRow]:
    """Jobs, newest first, submitted before the (submitted_at, id) cursor."""
    conditions = [SQL("true")]
    arguments: dict[str, Any] = {"limit": limit}
    for column, value in (("project", which.projects), ("phase", which.phases)):
        if value is not None:
            conditions.append(SQL(f"{column} = ANY(%({column})s)"))
            arguments[column] = list(value)
    for column, text in (("user", which.user), ("name", which.name)):
        if text is not None:
            conditions.append(SQL(f'"{column}" = %({column})s'))
            arguments[column] = text
    if before is not None:
        conditions.append(SQL("(submitted_at, id) < (%(at)s, %(id)s)"))
        arguments.update(at=before[0], id=before[1])
    records = connection.execute(
        SQL(
            "SELECT * FROM view_jobs WHERE {} ORDER BY submitted_at DESC, id DESC LIMIT %(limit)s"
        ).format(SQL(" AND ").join(conditions)),
        arguments,
    ).fetchall()
    return [VIEW.read(record) for record in records]


@dataclass(frozen=True)
class Due:
    """Jobs something is due for, by id: retries, deadlines passed, time limits reached."""

    retries: list[str]
    graces: list[str]
    limits: list[str]


def due(connection: Reader, now: int, limit: int = 1000) -> Due:
    """What is due at `now` (microseconds)."""

    def ids(column: str) -> list[str]:
        rows = connection.execute(
            SQL("SELECT id FROM view_jobs WHERE {c} <= %s ORDER BY {c} LIMIT %s").format(
                c=Identifier(column)
            ),
            (now, limit),
        ).fetchall()
        return [row["id"] for row in rows]

    return Due(ids("due_at"), ids("stop_deadline"), ids("limit_at"))
