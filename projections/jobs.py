"""Jobs: each job as it stands, with the times and outcome a person asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg.sql import SQL, Identifier

from domain.allocation.seat import Outcome, Seat
from domain.event import Recorded
from domain.job import events as e
from domain.job.events import JobEvent, StopCause
from domain.job.job import Job, evolve, limit_at
from domain.job.migration import Migration
from domain.job.spec import JobSpec
from domain.job.transitions import ENDED, Phase
from domain.job.waits import Waits, after
from domain.scheduling.reason import WaitReason
from domain.values.ids import AllocationId, JobId
from projections.view import Key, Reader, Row, View, kinds


class JobRow(Row, frozen=True, kw_only=True, dict=True):
    """A job; times in microseconds. `stop_deadline` is what a timer waits for: None after it."""

    id: JobId
    project: str
    user: str
    name: str
    phase: Phase
    priority: int
    submitted_at: int
    ended_at: int | None
    due_at: int | None
    stop_deadline: int | None
    limit_at: int | None
    preemptions: int
    outcome: Outcome | None
    exit_code: int | None
    detail: str
    version: int
    queued_since: int
    attempt: int
    failures: int
    allocation: AllocationId | None
    seats: tuple[Seat, ...] | None
    started_at: int | None
    stop_cause: StopCause | None
    stop_by: int | None
    preemptor: JobId | None
    grace_expired: bool
    waiting: WaitReason | None
    waits: Waits
    stop_at: int | None
    migration: Migration | None
    spec: JobSpec

    @cached_property
    def state(self) -> Job:
        """The aggregate."""
        return Job(
            self.id,
            self.spec,
            self.user,
            self.phase,
            self.priority,
            self.queued_since,
            self.attempt,
            self.failures,
            self.allocation,
            self.seats or (),
            self.started_at,
            self.due_at,
            self.stop_cause,
            self.stop_by,
            self.preemptor,
            self.grace_expired,
            self.waiting,
            self.stop_at,
            self.migration,
        )


_ON = kinds(JobEvent)


def _touches(recorded: Recorded) -> Iterable[Key]:
    if recorded.event.__class__ not in _ON:
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: JobRow | None, _key: Key, recorded: Recorded) -> JobRow:
    event: Any = recorded.event
    state = evolve(row.state if row else None, event)
    ended = event if isinstance(event, e.AttemptEnded) else row
    new = JobRow(
        position=recorded.position,
        id=state.id,
        project=state.spec.project,
        user=state.submitted_by,
        name=state.spec.name,
        phase=state.phase,
        priority=state.priority,
        submitted_at=row.submitted_at if row else recorded.recorded_at,
        ended_at=recorded.recorded_at if state.phase in ENDED else None,
        due_at=state.due_at,
        stop_deadline=None if state.grace_expired else state.stop_deadline,
        limit_at=limit_at(state),
        preemptions=(row.preemptions if row else 0) + e.is_preemption(event),
        outcome=ended.outcome if ended else None,
        exit_code=ended.exit_code if ended else None,
        detail=_detail(event, ended),
        version=recorded.version,
        queued_since=state.queued_since,
        attempt=state.attempt,
        failures=state.failures,
        allocation=state.allocation,
        seats=state.seats or None,
        started_at=state.started_at,
        stop_cause=state.stop_cause,
        stop_by=state.stop_deadline,
        preemptor=state.preemptor,
        grace_expired=state.grace_expired,
        waiting=state.waiting,
        waits=after(row.waits if row else Waits(), event, recorded.recorded_at),
        stop_at=state.stop_at,
        migration=state.migration,
        spec=state.spec,
    )
    new.__dict__["state"] = state  # known: need not be put together again
    return new


def _detail(event: JobEvent, ended: e.AttemptEnded | JobRow | None) -> str:
    if isinstance(event, e.Cancelled) and event.dependency is not None:
        return f"{event.dependency}, which it came after, did not succeed"
    return ended.detail if ended else ""


VIEW = View(
    name="jobs",
    row=JobRow,
    key=("id",),
    on=_ON,
    begins=kinds(e.Submitted),
    touches=_touches,
    fold=_fold,
    constant=("spec",),
    over=lambda row: row.ended_at is not None,
    indexes=(
        "(submitted_at DESC, id DESC)",
        "(project, submitted_at DESC, id DESC)",
        "(phase, submitted_at DESC, id DESC)",
        "(due_at) WHERE due_at IS NOT NULL",
        "(stop_deadline) WHERE stop_deadline IS NOT NULL",
        "(limit_at) WHERE limit_at IS NOT NULL",
    ),
    past_indexes=("(id)", "(phase, span, position)"),
)
_SPEC = ", (SELECT spec FROM view_jobs now WHERE now.id = v.id) AS spec"


def get(connection: Reader, job: str, at: int | None = None) -> JobRow | None:
    """One job by id, as it is or as it was at a position."""
    record = connection.execute(
        f"SELECT v.*{'' if at is None else _SPEC} FROM {VIEW.at_key(at)} v WHERE id = %s".encode(),
        (job,),
    ).fetchone()
    return VIEW.read(record) if record else None


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; None means any. `projects` bounds what the caller may see."""

    projects: Sequence[str] | None = None
    phases: Sequence[str] | None = None
    user: str | None = None
    name: str | None = None


def find(
    connection: Reader,
    which: Filter,
    before: tuple[int, str] | None,
    limit: int,
    at: int | None = None,
) -> list[JobRow]:
    """Jobs, newest first, submitted before the (submitted_at, id) cursor."""
    if which.phases is not None and not which.phases:
        return []
    conditions = ["true"]
    arguments: dict[str, Any] = {"limit": limit}
    if which.projects is not None:
        conditions.append("project = ANY(%(project)s)")
        arguments["project"] = list(which.projects)
    for column, text in (("user", which.user), ("name", which.name)):
        if text is not None:
            conditions.append(f'"{column}" = %({column})s')
            arguments[column] = text
    if before is not None:
        conditions.append("(submitted_at, id) < (%(at)s, %(id)s)")
        arguments.update(at=before[0], id=before[1])
    where = " AND ".join(conditions)
    query = _page(where, at) if which.phases is None else _page_of(which.phases, where, at)
    return VIEW.select(connection, query, arguments)


_ORDER = "ORDER BY submitted_at DESC, id DESC LIMIT %(limit)s"


def _page(where: str, at: int | None) -> str:
    """The query of a page, by conditions on what never changes of a job."""
    if at is None:
        return f"SELECT * FROM view_jobs WHERE {where} {_ORDER}"
    return (
        f"SELECT v.*, now.spec FROM (SELECT * FROM view_jobs WHERE {_by(where, at)}) now"
        # OFFSET 0: one look at a time, for as many as the page has
        f" CROSS JOIN LATERAL (SELECT * FROM {VIEW.at_key(at)} k WHERE k.id = now.id OFFSET 0) v"
        " ORDER BY now.submitted_at DESC, now.id DESC LIMIT %(limit)s"
    )


def _page_of(phases: Sequence[str], where: str, at: int | None) -> str:
    """The query of a page of jobs in these phases.

    Each phase is cut to the page first, by an index that begins with it; of the past both those
    that are so still, which are most jobs there ever were, and those that were.
    """
    among = [f"phase = '{Phase(phase)}'" for phase in dict.fromkeys(phases)]
    if at is None:
        parts = [VIEW.at(None, phase) for phase in among]
    else:
        parts = [part for phase in among for part in VIEW.parts(at, phase)]
    cut = (f"(SELECT * FROM {part} p WHERE {_by(where, at)} {_ORDER})" for part in parts)
    spec = "" if at is None else _SPEC
    return f"SELECT v.*{spec} FROM ({' UNION ALL '.join(cut)}) v {_ORDER}"


def _by(where: str, at: int | None) -> str:
    """What was there at a position was submitted by its time: all later ones need no look."""
    return where if at is None else f"{where} AND submitted_at <= (SELECT time_at({at:d}))"


_BLOCKED = f"phase = '{Phase.BLOCKED}'"


def blocked(connection: Reader, projects: Sequence[str] | None, at: int | None = None) -> int:
    """How many jobs wait outside of the queue for others to end."""
    record = connection.execute(
        f"SELECT count(*) AS jobs FROM {VIEW.at(at, _BLOCKED)} v"
        " WHERE %s OR project = ANY(%s)".encode(),
        (projects is None, list(projects or ())),
    ).fetchone()
    assert record is not None
    return int(record["jobs"])


@dataclass(frozen=True)
class Waited:
    """What one cause kept jobs from: how many, and their time (microseconds)."""

    cause: str
    jobs: int
    waited_us: int


def waited(
    connection: Reader, projects: Sequence[str] | None, until: int, at: int | None = None
) -> list[Waited]:
    """The wait ledgers of all jobs together, what lasts counted up to a time; the longest first."""
    records = connection.execute(
        "SELECT cause, count(*) AS jobs, sum(us)::bigint AS us FROM ("
        " SELECT id, cause, sum(us) AS us FROM ("
        "  SELECT id, project, each.key AS cause, each.value::bigint AS us"
        f"  FROM {VIEW.at(at)} v, jsonb_each_text(v.waits->'sums') each"
        "  UNION ALL SELECT id, project, waits->>'cause',"
        "   greatest(0, %(until)s - (waits->>'since')::bigint)"
        f"  FROM {VIEW.at(at)} w WHERE waits->>'cause' <> '') parts"
        " WHERE %(all)s OR project = ANY(%(projects)s) GROUP BY id, cause) byjob"
        " GROUP BY cause ORDER BY us DESC, cause".encode(),
        {"all": projects is None, "projects": list(projects or ()), "until": until},
    ).fetchall()
    return [Waited(record["cause"], record["jobs"], record["us"]) for record in records]


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
